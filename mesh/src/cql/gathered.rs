//! Plain writes that come at the same time share a message.
//!
//! What a server spends on a message is more than what it spends on a small row in it. So a process has few messages of
//! plain writes under way at once, and what comes meanwhile goes along with the next: a shop at rest waits for nothing,
//! and a busy one sends a fraction of the messages. A message is an unlogged batch. Each write in it is as durable as
//! alone when it is answered, and they are no more atomic than apart: some may happen and others not.

use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::RowWriter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{Batch, Error, Kind, Prepared, Session};

/// Messages of plain writes under way at once, of one process in one keyspace.
const MESSAGES_AT_ONCE: usize = 2;
/// Writes in a message: Cassandra complains of unlogged batches over more partitions
/// (`unlogged_batch_across_partitions_warn_threshold`, 10 by default).
const WRITES_OF_A_MESSAGE: usize = 10;
/// Bytes of values in a message: Cassandra complains of batches of more than 5 KiB (`batch_size_warn_threshold`). A
/// write that is as large by itself goes alone.
const BYTES_OF_A_MESSAGE: usize = 4 * 1024;
/// After so long the next message does not wait for the one before.
const PATIENCE: Duration = Duration::from_millis(250);
/// A length before each value. <https://cassandra.apache.org/doc/latest/cassandra/_attachments/native_protocol_v4.html>
const LENGTH_BYTES: usize = size_of::<i32>();
const NULL: i32 = -1;

/// The queue before a keyspace.
pub(super) struct Gathered {
    waiting: Mutex<VecDeque<Waiting>>,
    messages: Arc<Semaphore>,
}

struct Waiting {
    statement: Prepared,
    values: Values,
    since: Instant,
    answer: oneshot::Sender<Result<(), Error>>,
}

impl Gathered {
    pub fn new() -> Gathered {
        let messages = Arc::new(Semaphore::new(MESSAGES_AT_ONCE));
        Gathered { waiting: Mutex::default(), messages }
    }

    fn free(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.messages).try_acquire_owned().ok()
    }

    /// What goes into the next message. Who does not wait any more, or has for longer than a call may take, is left out.
    fn take(&self, limit: Duration) -> Vec<Waiting> {
        let mut waiting = self.waiting.lock();
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(first) = waiting.front() {
            bytes += first.values.bytes.len();
            if taken.len() == WRITES_OF_A_MESSAGE
                || (bytes > BYTES_OF_A_MESSAGE && !taken.is_empty())
            {
                break;
            }
            let Some(first) = waiting.pop_front() else { break };
            if first.since.elapsed() > limit {
                let _ = first
                    .answer
                    .send(Err(Error::Unavailable("it was not its turn in time".into())));
            } else if !first.answer.is_closed() {
                taken.push(first);
            }
        }
        taken
    }
}

/// Writes, with whatever else is to be written now.
pub(super) async fn write(
    session: &Session,
    statement: &Prepared,
    values: &impl SerializeRow,
) -> Result<(), Error> {
    let values =
        Values::of(statement, values).map_err(|error| Error::Refused(error.to_string()))?;
    if values.bytes.len() > BYTES_OF_A_MESSAGE {
        return session.run(statement, &values).await.map(drop);
    }
    let gathered = &session.shared.gathered;
    let (answer, answered) = oneshot::channel();
    let (statement, since) = (statement.clone(), Instant::now());
    gathered.waiting.lock().push_back(Waiting { statement, values, since, answer });
    if let Some(permit) = gathered.free() {
        tokio::spawn(send_all(session.clone(), permit));
    }
    answered.await.unwrap_or_else(|_| Err(Error::Unknown("the process ends".to_owned())))
}

/// Sends message after message until nothing waits.
async fn send_all(session: Session, permit: OwnedSemaphorePermit) {
    // Who writes several rows beside each other does so in one go: all of them are there after this.
    tokio::task::yield_now().await;
    let gathered = &session.shared.gathered;
    let mut permit = Some(permit);
    while permit.is_some() {
        loop {
            let message = gathered.take(session.shared.limit);
            if message.is_empty() {
                break;
            }
            let sending = tokio::spawn(send(session.clone(), message));
            // One that takes its time, since a node does not answer, is not to hold the others up.
            let _ = tokio::time::timeout(PATIENCE, sending).await;
        }
        drop(permit.take());
        // Who came between the last look and here has found no place.
        if !gathered.waiting.lock().is_empty() {
            permit = gathered.free();
        }
    }
}

async fn send(session: Session, message: Vec<Waiting>) {
    let keyspace = session.keyspace().to_owned();
    metrics::histogram!("souk_cql_message_writes", "keyspace" => keyspace)
        .record(message.len() as f64);
    let result = match &message[..] {
        [one] => session.run(&one.statement, &one.values).await.map(drop),
        several => {
            let mut batch = Batch::plain();
            several.iter().for_each(|one| batch.add(&one.statement, one.values.clone()));
            session.run_batch(Kind::Write, batch).await.map(drop)
        }
    };
    match result {
        // One of them is not right; the others are not to suffer for it.
        Err(Error::Refused(_)) if message.len() > 1 => {
            for Waiting { statement, values, answer, .. } in message {
                let _ = answer.send(session.run(&statement, &values).await.map(drop));
            }
        }
        // Some partitions may have been written.
        Err(Error::Unavailable(why)) if message.len() > 1 => {
            tell(message, &Err(Error::Unknown(why)))
        }
        result => tell(message, &result),
    }
}

fn tell(message: Vec<Waiting>, result: &Result<(), Error>) {
    for one in message {
        let _ = one.answer.send(result.clone());
    }
}

/// The values of a statement as they are sent: a length before each, negative for null.
#[derive(Clone)]
struct Values {
    bytes: Vec<u8>,
}

impl Values {
    fn of(statement: &Prepared, values: &impl SerializeRow) -> Result<Values, SerializationError> {
        let columns = statement.driver().get_variable_col_specs();
        let mut bytes = Vec::new();
        let context = RowSerializationContext::from_specs(columns.as_slice());
        values.serialize(&context, &mut RowWriter::new(&mut bytes))?;
        Ok(Values { bytes })
    }
}

impl SerializeRow for Values {
    fn serialize(
        &self,
        _: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        let mut left = &self.bytes[..];
        while let Some((length, rest)) = left.split_first_chunk::<LENGTH_BYTES>() {
            let cell = writer.make_cell_writer();
            let length = i32::from_be_bytes(*length);
            let value =
                usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
            left = match value {
                Some((value, rest)) => {
                    cell.set_value(value).map_err(SerializationError::new)?;
                    rest
                }
                None if length == NULL => {
                    cell.set_null();
                    rest
                }
                None => {
                    cell.set_unset();
                    rest
                }
            };
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}
