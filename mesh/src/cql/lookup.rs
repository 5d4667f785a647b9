//! Reads of rows by the key of their partition, of which those that come at the same time share a statement: a server
//! spends six times less on a row of eight that are asked for at once than on one that is asked for alone.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use scylla::deserialize::row::DeserializeRow;
use scylla::serialize::value::SerializeValue;

use super::gathered::{Gathers, Queue, Waiting, ask};
use super::{Error, Kind, Prepared, Session};

/// Keys in a statement: ScyllaDB takes at most 100 (`max_partition_key_restrictions_per_query`), and the answer waits for
/// the slowest.
const KEYS_OF_A_MESSAGE: usize = 32;

/// The key of a partition: one column.
pub trait Key: SerializeValue + Clone + Eq + Hash + Send + Sync + 'static {}
impl<K: SerializeValue + Clone + Eq + Hash + Send + Sync + 'static> Key for K {}

/// A row that tells the key of its partition.
pub trait Row<K>:
    for<'frame, 'metadata> DeserializeRow<'frame, 'metadata> + Clone + Send + Sync + 'static
{
    /// The key of the partition that it is in.
    fn key(&self) -> K;
}

impl<K: Key, V: Clone + Send + Sync + 'static> Row<K> for (K, V)
where
    (K, V): for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
{
    fn key(&self) -> K {
        self.0.clone()
    }
}

/// A statement that reads by the key of a partition; [`Kind::Read`]. Clones share what is under way.
///
/// What is read began to be read after it was asked for: it has every plain write that was answered before.
pub struct Lookup<K: Key, R: Row<K>> {
    shared: Arc<Shared<K, R>>,
}

struct Shared<K: Key, R: Row<K>> {
    session: Session,
    of_one: Prepared,
    of_several: Prepared,
    queue: Queue<Lookup<K, R>>,
}

impl<K: Key, R: Row<K>> Clone for Lookup<K, R> {
    fn clone(&self) -> Lookup<K, R> {
        Lookup { shared: Arc::clone(&self.shared) }
    }
}

impl<K: Key, R: Row<K>> Lookup<K, R> {
    /// Prepares it. `{key}` in the text stands for what the key is compared to: `SELECT id, name FROM {}.product WHERE id
    /// {key} PER PARTITION LIMIT 1`. Bound it per partition.
    ///
    /// # Errors
    /// Those of [`Session::prepare`].
    pub async fn prepare(session: &Session, text: &str) -> Result<Lookup<K, R>, Error> {
        let prepare =
            async |condition| session.prepare(Kind::Read, &text.replace("{key}", condition)).await;
        let (of_one, of_several) = (prepare("= ?").await?, prepare("IN ?").await?);
        let (session, queue) = (session.clone(), Queue::new());
        Ok(Lookup { shared: Arc::new(Shared { session, of_one, of_several, queue }) })
    }

    /// The rows of one partition, in their order.
    ///
    /// # Errors
    /// Those of [`Session::rows`].
    pub async fn rows(&self, key: K) -> Result<Vec<R>, Error> {
        let _place = self.shared.session.place()?;
        let ended = || Err(Error::Unavailable("the process ends".to_owned()));
        ask(self, key).await.unwrap_or_else(ended)
    }

    /// The first row of a partition, if it has any.
    ///
    /// # Errors
    /// Those of [`Session::rows`].
    pub async fn row(&self, key: K) -> Result<Option<R>, Error> {
        Ok(self.rows(key).await?.into_iter().next())
    }

    async fn rows_of_all(&self, keys: Vec<K>) -> Result<HashMap<K, Vec<R>>, Error> {
        let Shared { session, of_one, of_several, .. } = &*self.shared;
        let rows: Vec<R> = match &keys[..] {
            [key] => session.rows(of_one, (key,)).await?,
            keys => session.rows(of_several, (keys,)).await?,
        };
        let mut found: HashMap<K, Vec<R>> = keys.into_iter().map(|key| (key, Vec::new())).collect();
        for row in rows {
            found.entry(row.key()).or_default().push(row);
        }
        Ok(found)
    }

    async fn send_alone(&self, one: Waiting<Self>) {
        let key = one.asked.clone();
        let found = self.rows_of_all(vec![key.clone()]).await;
        one.tell(found.map(|mut found| found.remove(&key).unwrap_or_default()));
    }
}

impl<K: Key, R: Row<K>> Gathers for Lookup<K, R> {
    type Asked = K;
    type Answer = Vec<R>;
    const FULL: usize = KEYS_OF_A_MESSAGE;

    fn queue(&self) -> &Queue<Self> {
        &self.shared.queue
    }

    fn limit(&self) -> Duration {
        self.shared.session.shared.limit
    }

    fn has_room(message: &[Waiting<Self>], _: &K) -> bool {
        message.len() < KEYS_OF_A_MESSAGE
    }

    async fn send(&self, message: Vec<Waiting<Self>>) {
        let mut keys: Vec<K> = Vec::with_capacity(message.len());
        for Waiting { asked, .. } in &message {
            if !keys.contains(asked) {
                keys.push(asked.clone());
            }
        }
        let count = keys.len();
        let keyspace = self.shared.session.shared.keyspace.clone();
        metrics::histogram!("souk_cql_message_keys", "keyspace" => keyspace).record(count as f64);
        match self.rows_of_all(keys).await {
            Ok(found) => {
                for one in message {
                    let rows = found.get(&one.asked).cloned().unwrap_or_default();
                    one.tell(Ok(rows));
                }
            }
            // One of the partitions cannot be read; the others are not to suffer for it.
            Err(Error::Unavailable(_) | Error::Refused(_) | Error::Form(_)) if count > 1 => {
                let limit = self.limit();
                let (late, rest): (Vec<_>, Vec<_>) =
                    message.into_iter().partition(|one| one.is_late(limit));
                for one in late {
                    one.tell(Err(Error::Unavailable("it was not read in time".to_owned())));
                }
                join_all(rest.into_iter().map(|one| self.send_alone(one))).await;
            }
            Err(error) => {
                for one in message {
                    one.tell(Err(error.clone()));
                }
            }
        }
    }
}
