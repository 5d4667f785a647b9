//! Plain writes that come at the same time share a message: an unlogged batch. Each write in it is as durable as alone
//! when it is answered, and they are no more atomic than apart: some may happen and others not.

use std::mem::size_of;
use std::time::Duration;

use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::RowWriter;

use super::gathered::{Gathers, Queue, Waiting, ask};
use super::{Batch, Error, Kind, Prepared, Session};

/// Writes in a message: Cassandra complains of unlogged batches over more partitions
/// (`unlogged_batch_across_partitions_warn_threshold`, 10 by default).
const WRITES_OF_A_MESSAGE: usize = 10;
/// Bytes of values in a message: Cassandra complains of batches of more than 5 KiB (`batch_size_warn_threshold`). A
/// write that is as large by itself goes alone.
const BYTES_OF_A_MESSAGE: usize = 4 * 1024;
/// A length before each value. <https://cassandra.apache.org/doc/latest/cassandra/_attachments/native_protocol_v4.html>
const LENGTH_BYTES: usize = size_of::<i32>();
const NULL: i32 = -1;

/// A statement and its values.
pub(super) struct Write {
    statement: Prepared,
    values: Values,
}

impl Gathers for Session {
    type Asked = Write;
    type Answer = ();
    const FULL: usize = WRITES_OF_A_MESSAGE;

    fn queue(&self) -> &Queue<Session> {
        &self.shared.writes
    }

    fn limit(&self) -> Duration {
        self.shared.limit
    }

    fn has_room(message: &[Waiting<Session>], next: &Write) -> bool {
        let bytes: usize = message.iter().map(|one| one.asked.values.bytes.len()).sum();
        message.len() < WRITES_OF_A_MESSAGE && bytes + next.values.bytes.len() <= BYTES_OF_A_MESSAGE
    }

    async fn send(&self, message: Vec<Waiting<Session>>) {
        let keyspace = self.shared.keyspace.clone();
        metrics::histogram!("souk_cql_message_writes", "keyspace" => keyspace)
            .record(message.len() as f64);
        let result = match &message[..] {
            [one] => self.run_write(&one.asked).await,
            several => {
                let mut batch = Batch::plain();
                for Waiting { asked, .. } in several {
                    batch.add(&asked.statement, asked.values.clone());
                }
                self.run_batch(Kind::Write, batch).await.map(drop)
            }
        };
        match result {
            // One of them is not right; the others are not to suffer for it.
            Err(Error::Refused(_)) if message.len() > 1 => {
                for one in message {
                    let result = self.run_write(&one.asked).await;
                    one.tell(result);
                }
            }
            // Some partitions may have been written.
            Err(Error::Unavailable(why)) if message.len() > 1 => {
                tell_all(message, &Err(Error::Unknown(why)));
            }
            result => tell_all(message, &result),
        }
    }
}

impl Session {
    async fn run_write(&self, write: &Write) -> Result<(), Error> {
        self.run(&write.statement, &write.values).await.map(drop)
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
    let write = Write { statement: statement.clone(), values };
    if write.values.bytes.len() > BYTES_OF_A_MESSAGE {
        return session.run_write(&write).await;
    }
    let ended = || Err(Error::Unknown("the process ends".to_owned()));
    ask(session, write).await.unwrap_or_else(ended)
}

fn tell_all(message: Vec<Waiting<Session>>, result: &Result<(), Error>) {
    for one in message {
        one.tell(result.clone());
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
