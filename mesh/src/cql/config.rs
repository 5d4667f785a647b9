//! The settings of a store that speaks CQL.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer};

use super::Error;

/// How long a statement may take unless something else is set, in milliseconds.
const REQUEST_LIMIT_MS: u64 = 5_000;
/// How long a start waits for a store that is away unless something else is set, in milliseconds: a mesh is started
/// together with its stores, and theirs takes longer.
const START_LIMIT_MS: u64 = 60_000;
/// Longest prefix and service together: CQL's names of keyspaces have at most 48 characters.
const MAX_NAME_CHARS: usize = 48;

/// A section `cql` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Some nodes of the cluster, as `host:port`; the others are found through them. A list, or text with commas between,
    /// as environment and flags have no lists.
    #[serde(deserialize_with = "list")]
    pub contact_points: Vec<String>,
    /// Keyspaces are called `<prefix>_<service>`.
    pub keyspace_prefix: String,
    /// Copies of each row, where the keyspace is made by this shop; 3 where money is meant.
    pub replication_factor: u8,
    /// The nearest datacenter, whose nodes are asked first; empty where there is one.
    pub datacenter: String,
    /// The user; empty where the cluster asks for none.
    pub user: String,
    /// The user's password.
    pub password: SecretString,
    /// How long one statement may take, its retries included, in milliseconds; at least 1.
    pub request_limit_ms: u64,
    /// How long the start of a service waits for a store that is away, in milliseconds; 0: not at all.
    pub start_limit_ms: u64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum List {
    Items(Vec<String>),
    Text(String),
}

fn list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Ok(match List::deserialize(from)? {
        List::Items(items) => items,
        List::Text(text) => text.split(',').map(|item| item.trim().to_owned()).collect(),
    })
}

impl Default for Config {
    fn default() -> Self {
        Self {
            contact_points: vec!["127.0.0.1:9042".to_owned()],
            keyspace_prefix: "souk".to_owned(),
            replication_factor: 3,
            datacenter: String::new(),
            user: String::new(),
            password: SecretString::default(),
            request_limit_ms: REQUEST_LIMIT_MS,
            start_limit_ms: START_LIMIT_MS,
        }
    }
}

impl Config {
    /// For tests: keyspaces of their own on a single node.
    #[must_use]
    pub fn for_tests(contact_points: Vec<String>) -> Self {
        let own = uuid::Uuid::new_v4().simple().to_string();
        let keyspace_prefix = format!("test_{}", &own[..12]);
        Self { contact_points, keyspace_prefix, replication_factor: 1, ..Self::default() }
    }

    /// How long one statement may take.
    #[must_use]
    pub fn limit(&self) -> Duration {
        Duration::from_millis(self.request_limit_ms.max(1))
    }

    /// How long a start waits for a store that is away.
    #[must_use]
    pub fn start_limit(&self) -> Duration {
        Duration::from_millis(self.start_limit_ms)
    }

    /// A service's keyspace.
    ///
    /// # Errors
    /// [`Error::Refused`] if that is no name of a keyspace.
    pub fn keyspace(&self, service: &str) -> Result<String, Error> {
        let name = format!("{}_{service}", self.keyspace_prefix);
        let is_name = name.len() <= MAX_NAME_CHARS
            && name.starts_with(|first: char| first.is_ascii_lowercase())
            && name
                .chars()
                .all(|one| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '_');
        if is_name {
            return Ok(name);
        }
        Err(Error::Refused(format!(
            "{name:?} is no name of a keyspace: lower-case letters, digits and _, at most {MAX_NAME_CHARS}"
        )))
    }

    pub(super) fn credentials(&self) -> Option<(&str, &str)> {
        (!self.user.is_empty()).then(|| (self.user.as_str(), self.password.expose_secret()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contact_points_are_a_list_or_text_with_commas() {
        for text in [r#"{"contact_points":["a:1","b:2"]}"#, r#"{"contact_points":"a:1, b:2"}"#] {
            let config: Config = serde_json::from_str(text).unwrap();
            assert_eq!(config.contact_points, ["a:1", "b:2"]);
        }
    }

    #[test]
    fn a_keyspace_is_named_by_prefix_and_service_and_nothing_else_gets_into_a_statement() {
        let config = |prefix: &str| Config { keyspace_prefix: prefix.into(), ..Config::default() };
        assert_eq!(config("souk").keyspace("order").unwrap(), "souk_order");
        for prefix in ["", "Shop", "1shop", "a;drop", &"x".repeat(48)] {
            assert!(config(prefix).keyspace("order").is_err(), "{prefix}");
        }
    }
}
