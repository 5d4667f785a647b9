//! What only one may have: article numbers, names in URLs, ids of requests. A claim names its owner, a product or a
//! category, so that whoever meets one that leads nowhere can take it over.

use souk_mesh::cql::{Error as CqlError, Kind, Prepared, Session};
use uuid::Uuid;

use crate::error::Error;
use crate::store::RequestKey;

/// How often a claim whose outcome is not known is tried.
const MAX_TRIES: usize = 4;

/// What is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claimed {
    /// An article number.
    Sku,
    /// A category's name in URLs.
    Slug,
    /// The id of a request.
    Request,
}

impl Claimed {
    fn number(self) -> i8 {
        match self {
            Claimed::Sku => 1,
            Claimed::Slug => 2,
            Claimed::Request => 3,
        }
    }
}

/// The statements of the table `claim`.
pub(super) struct Claims {
    session: Session,
    take: Prepared,
    look: Prepared,
    pass: Prepared,
    free: Prepared,
}

impl Claims {
    pub(super) async fn prepare(session: &Session) -> Result<Claims, CqlError> {
        let take = "INSERT INTO {}.claim (kind, name, owner, fingerprint) VALUES (?, ?, ?, ?)
            IF NOT EXISTS";
        let look = "SELECT owner, fingerprint FROM {}.claim WHERE kind = ? AND name = ?";
        let pass = "UPDATE {}.claim SET owner = ? WHERE kind = ? AND name = ? IF owner = ?";
        let free = "DELETE FROM {}.claim WHERE kind = ? AND name = ? IF owner = ?";
        Ok(Claims {
            take: session.prepare(Kind::Conditional, take).await?,
            look: session.prepare(Kind::SettledRead, look).await?,
            pass: session.prepare(Kind::Conditional, pass).await?,
            free: session.prepare(Kind::Conditional, free).await?,
            session: session.clone(),
        })
    }

    /// Claims a name for `owner`, unless it is claimed already; whose it is now.
    pub(super) async fn take(
        &self,
        claimed: Claimed,
        name: &str,
        owner: Uuid,
    ) -> Result<Uuid, Error> {
        let found = self.take_with(claimed, name.as_bytes().to_vec(), owner, None).await?;
        Ok(found.0)
    }

    /// Binds a request's id to its parameters and to what it makes or changes; what that is, also from before.
    pub(super) async fn request(&self, request: &RequestKey, owner: Uuid) -> Result<Uuid, Error> {
        let (digest, fingerprint) = (request.digest().to_vec(), request.fingerprint.to_vec());
        let claimed = Claimed::Request;
        let found = self.take_with(claimed, digest, owner, Some(fingerprint.clone())).await?;
        match found {
            (owner, Some(known)) if known == fingerprint => Ok(owner),
            _ => Err(Error::RequestIdReused),
        }
    }

    async fn take_with(
        &self,
        claimed: Claimed,
        name: Vec<u8>,
        owner: Uuid,
        fingerprint: Option<Vec<u8>>,
    ) -> Result<(Uuid, Option<Vec<u8>>), Error> {
        let kind = claimed.number();
        for _ in 0..MAX_TRIES {
            let values = (kind, &name, owner, &fingerprint);
            match self.session.conditional(&self.take, values).await {
                Ok(true) => return Ok((owner, fingerprint)),
                Ok(false) | Err(CqlError::Unknown(_)) => {}
                Err(error) => return Err(error.into()),
            }
            if let Some(found) = self.session.row(&self.look, (kind, &name)).await? {
                return Ok(found);
            }
        }
        Err(CqlError::Unknown("a claim that was neither made nor refused".to_owned()).into())
    }

    /// Hands a claim on, if it is still `from`'s. Whether it was is seen by who takes it.
    pub(super) async fn pass(
        &self,
        claimed: Claimed,
        name: &str,
        from: Uuid,
        to: Uuid,
    ) -> Result<(), Error> {
        let values = (to, claimed.number(), name.as_bytes(), from);
        maybe(self.session.conditional(&self.pass, values).await)
    }

    /// Gives a claim up, if it is still `owner`'s.
    pub(super) async fn free(
        &self,
        claimed: Claimed,
        name: &str,
        owner: Uuid,
    ) -> Result<(), Error> {
        let values = (claimed.number(), name.as_bytes(), owner);
        maybe(self.session.conditional(&self.free, values).await)
    }
}

/// Where it does not matter whether it was applied.
fn maybe(outcome: Result<bool, CqlError>) -> Result<(), Error> {
    match outcome {
        Ok(_) | Err(CqlError::Unknown(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
