//! Registrations: an e-mail address is claimed by one conditional write, which holds all that the account is made of;
//! making it is another.
//!
//! Whoever meets a claim whose account is missing makes the account: the repeat of the registration, somebody else
//! who wants the address, a login, and the sweeper of the outbox, since a registration is marked under its address
//! before that is claimed. So a claim is as good as an account, and no address is lost to a process that died. The
//! password's hash leaves the claim once the account has it.

use async_trait::async_trait;
use prost::Message;
use scylla::DeserializeRow;
use souk_mesh::cql::outbox::Events;
use souk_mesh::cql::{self, Batch, Session};
use souk_proto::event::v1::Event;
use uuid::Uuid;

use super::schema::Statements;
use crate::domain::User;
use crate::error::Error;
use crate::store::RequestKey;
use crate::wire;

/// The tables and the statements on them.
pub struct Accounts {
    pub session: Session,
    pub statements: Statements,
}

#[derive(DeserializeRow)]
struct AccountRow {
    version: Option<i64>,
    email: Option<String>,
    display_name: Option<String>,
    is_staff: Option<bool>,
    password_hash: Option<String>,
    created_ms: Option<i64>,
    updated_ms: Option<i64>,
}

/// Whose an e-mail address is.
#[derive(DeserializeRow)]
pub struct Claim {
    /// Whose.
    pub user_id: Uuid,
    request: Option<Vec<u8>>,
    fingerprint: Option<Vec<u8>>,
    display_name: String,
    is_staff: bool,
    /// Gone once the account is made.
    password_hash: Option<String>,
    created_ms: i64,
}

/// How a claim came about, as the repeat of a request sees it.
pub enum Origin {
    /// By that request.
    Same,
    /// By that request with other parameters.
    Reused,
    /// By another one.
    Other,
}

impl Claim {
    /// Whether the request of this key made it.
    pub fn origin(&self, key: Option<&RequestKey>) -> Origin {
        let Some(key) = key else { return Origin::Other };
        if self.request.as_deref() != Some(key.digest().as_slice()) {
            Origin::Other
        } else if self.fingerprint.as_deref() == Some(key.fingerprint.as_slice()) {
            Origin::Same
        } else {
            Origin::Reused
        }
    }

    fn user(&self, email: &str) -> User {
        User {
            id: self.user_id,
            email: email.to_owned(),
            display_name: self.display_name.clone(),
            is_staff: self.is_staff,
            created_at_ms: self.created_ms,
            updated_at_ms: self.created_ms,
            version: 1,
        }
    }
}

impl Accounts {
    /// Whose an e-mail address is.
    pub async fn claim_of(&self, email: &str, is_settled: bool) -> Result<Option<Claim>, Error> {
        let Statements { email: plain, settled_email, .. } = &self.statements;
        let read = if is_settled { settled_email } else { plain };
        Ok(self.session.row::<Claim>(read, (email,)).await?)
    }

    /// Notes what a request to register is used with; refuses one that was used with something else. Each use is
    /// written before all are read, so that of two at once at least one finds the other.
    pub async fn use_request(&self, key: &RequestKey) -> Result<(), Error> {
        let Statements { registration, registrations, .. } = &self.statements;
        let (request, own) = (key.digest(), key.fingerprint);
        self.session.write(registration, (request.as_slice(), own.as_slice())).await?;
        let used: Vec<(Vec<u8>,)> = self.session.rows(registrations, (request.as_slice(),)).await?;
        let is_alone = used.iter().all(|(fingerprint,)| *fingerprint == own);
        if is_alone { Ok(()) } else { Err(Error::RequestIdReused) }
    }

    /// Claims an e-mail address, unless it is claimed; answers whose it is then.
    pub async fn claim(
        &self,
        user: &User,
        password_hash: &str,
        key: Option<&RequestKey>,
    ) -> Result<Claim, Error> {
        let request = key.map(RequestKey::digest);
        let fingerprint = key.map(|key| key.fingerprint);
        let values = (
            &user.email,
            user.id,
            request.as_ref().map(|bytes| bytes.as_slice()),
            fingerprint.as_ref().map(|bytes| bytes.as_slice()),
            &user.display_name,
            user.is_staff,
            password_hash,
            user.created_at_ms,
        );
        let claimed = self.session.conditional(&self.statements.claim_email, values).await;
        let unknown = match claimed {
            Ok(_) => None,
            Err(unknown @ cql::Error::Unknown(_)) => Some(unknown),
            Err(error) => return Err(error.into()),
        };
        match (self.claim_of(&user.email, true).await?, unknown) {
            (Some(claim), _) => Ok(claim),
            (None, Some(unknown)) => Err(unknown.into()),
            (None, None) => Err(Error::Contended),
        }
    }

    /// The account of a claim, made if it is missing, and what that tells.
    pub async fn complete(&self, email: &str, claim: &Claim) -> Result<(User, Vec<Event>), Error> {
        if let Some((user, _)) = self.account(claim.user_id, false).await? {
            return Ok((user, Vec::new()));
        }
        let user = claim.user(email);
        let Some(password_hash) = &claim.password_hash else {
            // It was made between the two reads.
            return Ok((user, Vec::new()));
        };
        let event = wire::registered(&user);
        let mut batch = Batch::conditional();
        let values = (
            user.version as i64,
            user.email.clone(),
            user.display_name.clone(),
            user.is_staff,
            password_hash.clone(),
            user.created_at_ms,
            user.updated_at_ms,
            user.id,
        );
        batch.add(&self.statements.make_account, values);
        let item = event.aggregate_version.to_be_bytes().to_vec();
        batch.add(&self.statements.event, (user.id, item, event.encode_to_vec()));
        let events = match self.session.conditional_batch(batch).await {
            Ok(true) => vec![event],
            Ok(false) => Vec::new(),
            Err(unknown @ cql::Error::Unknown(_)) => {
                // Whoever made it, it is the same account.
                if self.account(user.id, true).await?.is_none() {
                    return Err(unknown.into());
                }
                self.told(user.id, 1).await?
            }
            Err(error) => return Err(error.into()),
        };
        let forgotten =
            self.session.conditional(&self.statements.forget_secret, (email, user.id)).await;
        if let Err(error) = forgotten {
            tracing::warn!(user_id = %user.id, %error, "a password's hash stays with its e-mail address");
        }
        Ok((user, events))
    }

    /// An account, and its password hash.
    pub async fn account(
        &self,
        user_id: Uuid,
        is_settled: bool,
    ) -> Result<Option<(User, String)>, Error> {
        let Statements { account, settled_account, .. } = &self.statements;
        let read = if is_settled { settled_account } else { account };
        let row = self.session.row::<AccountRow>(read, (user_id,)).await?;
        let Some((row, version)) = row.and_then(|row| row.version.map(|version| (row, version)))
        else {
            return Ok(None);
        };
        let user = User {
            id: user_id,
            email: row.email.unwrap_or_default(),
            display_name: row.display_name.unwrap_or_default(),
            is_staff: row.is_staff.unwrap_or_default(),
            created_at_ms: row.created_ms.unwrap_or_default(),
            updated_at_ms: row.updated_ms.unwrap_or_default(),
            version: version.unsigned_abs(),
        };
        Ok(Some((user, row.password_hash.unwrap_or_default())))
    }

    /// What an account told, from a version on.
    async fn told(&self, user_id: Uuid, from_version: i64) -> Result<Vec<Event>, Error> {
        let from = from_version.to_be_bytes();
        let read = (user_id, from.as_slice());
        let rows = self.session.rows::<(Vec<u8>,)>(&self.statements.events, read).await?;
        let events = rows.into_iter().map(|(event,)| Event::decode(event.as_slice()));
        Ok(events.collect::<Result<_, _>>().map_err(cql::Error::form)?)
    }
}

#[async_trait]
impl Events for Accounts {
    /// A registration is marked under its e-mail address: what was left half done is done here.
    async fn events_since(&self, email: &str, from_version: i64) -> Result<Vec<Event>, String> {
        let told = async {
            let Some(claim) = self.claim_of(email, true).await? else { return Ok(Vec::new()) };
            self.complete(email, &claim).await?;
            self.told(claim.user_id, from_version).await
        };
        told.await.map_err(|error: Error| error.to_string())
    }
}
