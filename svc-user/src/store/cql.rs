//! Accounts on ScyllaDB or Cassandra, for any number of processes.
//!
//! A user's partition holds the account, its address book and what it told; an e-mail address is a partition of its
//! own, so a registration is two conditional writes ([`accounts`]). A change of the address book is one ([`books`]).

mod accounts;
mod books;
mod schema;

use std::sync::Arc;

use async_trait::async_trait;
use souk_mesh::bus::Bus;
use souk_mesh::clock::SharedClock;
use souk_mesh::cql::outbox::Outbox;
use souk_mesh::cql::{Config, Session};
use souk_mesh::tasks::Tasks;
use uuid::Uuid;

use super::{Registered, RequestKey, UserStore, check_version};
use crate::domain::{Address, AddressChange, MAX_ADDRESSES, User};
use crate::error::Error;
use accounts::{Accounts, Claim, Origin};
use books::{Decided, Edit};
use schema::{MIGRATIONS, Statements};

/// The version of the tables that this build makes.
pub const SCHEMA_VERSION: u32 = MIGRATIONS.len() as u32;

/// The store in a keyspace that processes share.
#[derive(Clone)]
pub struct Cql {
    accounts: Arc<Accounts>,
    outbox: Outbox,
}

impl Cql {
    /// Brings the keyspace up to date, and starts the outbox.
    ///
    /// # Errors
    /// When no node answers, or the keyspace was written by a newer build.
    pub async fn open(
        config: &Config,
        bus: Arc<dyn Bus>,
        tasks: &Tasks,
        clock: SharedClock,
    ) -> Result<Self, Error> {
        let session = Session::open(config, crate::NAME, MIGRATIONS).await?;
        let statements = Statements::prepare(&session).await?;
        let accounts = Arc::new(Accounts { session, statements });
        let events = Arc::clone(&accounts);
        let outbox =
            Outbox::start(&accounts.session, bus, tasks, clock, crate::NAME, events).await?;
        Ok(Self { accounts, outbox })
    }

    /// What tells of registrations.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The account of a claim, made and told of where it is missing.
    async fn complete(&self, email: &str, claim: &Claim) -> Result<User, Error> {
        if let Some((user, _)) = self.accounts.account(claim.user_id, false).await? {
            return Ok(user);
        }
        let marker = self.outbox.mark(email, 1).await?;
        let (user, events) = self.accounts.complete(email, claim).await?;
        marker.publish(events);
        Ok(user)
    }
}

#[async_trait]
impl UserStore for Cql {
    async fn register(
        &self,
        user: User,
        password_hash: String,
        key: Option<RequestKey>,
    ) -> Result<Registered, Error> {
        let claim = match self.accounts.claim_of(&user.email, false).await? {
            Some(claim) => claim,
            None => {
                if let Some(key) = &key {
                    self.accounts.use_request(key).await?;
                }
                let marker = self.outbox.mark(&user.email, 1).await?;
                let claim = self.accounts.claim(&user, &password_hash, key.as_ref()).await?;
                let (_, events) = self.accounts.complete(&user.email, &claim).await?;
                marker.publish(events);
                claim
            }
        };
        let made = self.complete(&user.email, &claim).await?;
        match claim.origin(key.as_ref()) {
            _ if made.id == user.id => Ok(Registered::New(made)),
            Origin::Same => Ok(Registered::Before(made)),
            Origin::Reused => Err(Error::RequestIdReused),
            Origin::Other => Err(Error::EmailTaken),
        }
    }

    async fn user(&self, user_id: Uuid) -> Result<Option<User>, Error> {
        Ok(self.accounts.account(user_id, false).await?.map(|(user, _)| user))
    }

    async fn credentials(&self, email: &str) -> Result<Option<(User, String)>, Error> {
        let Some(claim) = self.accounts.claim_of(email, false).await? else { return Ok(None) };
        self.complete(email, &claim).await?;
        self.accounts.account(claim.user_id, false).await
    }

    async fn addresses(
        &self,
        user_id: Uuid,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Address>, Error> {
        let addresses = self.accounts.book(user_id, false).await?.addresses.into_iter();
        let later = addresses.filter(|address| after.is_none_or(|after| address.id > after));
        Ok(later.take(limit).collect())
    }

    async fn create_address(
        &self,
        address: Address,
        key: Option<RequestKey>,
    ) -> Result<Address, Error> {
        let user_id = address.user_id;
        self.user(user_id).await?.ok_or(Error::UserNotFound)?;
        self.accounts
            .edit(user_id, key.as_ref(), |book, earlier| {
                if let Some(earlier) = earlier {
                    let earlier = book.address(earlier).ok_or(Error::AddressNotFound)?;
                    return Ok(Decided::Nothing(earlier.clone()));
                }
                if book.addresses.len() >= MAX_ADDRESSES {
                    return Err(Error::TooManyAddresses);
                }
                let mut address = address.clone();
                address.is_default |= book.addresses.is_empty();
                Ok(Decided::Edit(Edit::Put(Box::new(address.clone())), address))
            })
            .await
    }

    async fn update_address(
        &self,
        user_id: Uuid,
        address_id: Uuid,
        version: Option<u64>,
        change: AddressChange,
        now_ms: i64,
    ) -> Result<Address, Error> {
        self.accounts
            .edit(user_id, None, |book, _| {
                let current = book.address(address_id).ok_or(Error::AddressNotFound)?;
                check_version(current, version)?;
                let changed = change.clone().apply(current.clone(), now_ms);
                Ok(Decided::Edit(Edit::Put(Box::new(changed.clone())), changed))
            })
            .await
    }

    async fn delete_address(
        &self,
        user_id: Uuid,
        address_id: Uuid,
        version: Option<u64>,
    ) -> Result<(), Error> {
        self.accounts
            .edit(user_id, None, |book, _| match book.address(address_id) {
                Some(current) => {
                    check_version(current, version)?;
                    Ok(Decided::Edit(Edit::Delete(address_id), ()))
                }
                None => Ok(Decided::Nothing(())),
            })
            .await
    }
}
