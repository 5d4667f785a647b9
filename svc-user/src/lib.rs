//! Accounts: who the customers and the staff are, how they prove it, and where they live.
//!
//! Passwords are kept as argon2id hashes and checked in a bounded pool ([`password`]); a login is answered
//! with a signed token that every service verifies by itself. E-mail addresses are unique without regard
//! to case. `user.registered` leaves by outbox in the transaction that makes the account.

mod addresses;
pub mod config;
pub mod domain;
pub mod error;
pub mod password;
mod service;
pub mod sessions;
pub mod store;
mod wire;

use std::sync::Arc;

use souk_mesh::outbox;
use souk_mesh::platform::Platform;
use souk_proto::user::v1::user_service_server::UserServiceServer;
use tonic::service::Routes;

pub use config::Config;
pub use error::Error;

/// The service's name in the directory, in logs and as its data folder.
pub const NAME: &str = "user";

/// Opens the store, starts the outbox relay and returns the service.
///
/// # Errors
/// When a store cannot be opened, or the staff account that the configuration asks for cannot be made. A Redis that is
/// away is no error.
pub async fn start(platform: &Platform, config: Config) -> Result<Routes, Error> {
    let platform = platform.for_service(NAME);
    let service = service::Service::new(
        open_store(&platform, &config).await?,
        sessions::Sessions::start(&platform, &config).await?,
        password::Passwords::new(config.hashes_at_once)?,
        Arc::clone(&platform.keys),
        Arc::clone(&platform.clock),
        config.token_lifetime_ms,
    );
    Ok(Routes::new(UserServiceServer::new(service)))
}

/// Opens the store that the configuration names, and begins to move its events to the bus.
async fn open_store(
    platform: &Platform,
    config: &Config,
) -> Result<Arc<dyn store::UserStore>, Error> {
    let Platform { bus, tasks, clock, .. } = platform;
    Ok(match config.store {
        config::Store::Sqlite => {
            let store = store::Sqlite::open(&platform.data_folder(NAME)?)?;
            outbox::spawn_relay(store.inner(), Arc::clone(bus), tasks, NAME);
            Arc::new(store)
        }
        config::Store::Cql => {
            let open = store::Cql::open(&config.cql, Arc::clone(bus), tasks, Arc::clone(clock));
            // Boxed: the driver's futures are deep, and those of the whole shop are made of them.
            Arc::new(Box::pin(open).await?)
        }
    })
}
