//! Which bus a process uses.

use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;
use serde::Deserialize;

use super::embedded::Embedded;
use super::rabbitmq::RabbitMq;
use super::{Bus, Error};
use crate::clock::SharedClock;

/// The section `bus` of a process's configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `amqp://user:password@host:port/vhost`, or `amqps://` for TLS. Without it the bus is embedded,
    /// in the data folder.
    pub rabbitmq_url: Option<SecretString>,
}

impl Config {
    /// The bus that is asked for. A broker is connected to when it is first used.
    ///
    /// # Errors
    /// [`Error::Url`]; [`Error::Store`] when the embedded one cannot be opened.
    pub fn open(&self, folder: &Path, clock: SharedClock) -> Result<Arc<dyn Bus>, Error> {
        Ok(match &self.rabbitmq_url {
            Some(url) => Arc::new(RabbitMq::new(url, clock)?),
            None => Arc::new(Embedded::open(folder, clock)?),
        })
    }
}
