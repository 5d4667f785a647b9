//! Dead letters, listed and replayed.
//!
//! A queue cannot be looked into without taking its messages, so a reader takes them all, up to a mark
//! that it has put behind them, acknowledges what it moves elsewhere, and gives back the rest. The
//! queue serves one reader at a time; the others wait.

use std::collections::HashSet;

use futures::StreamExt as _;
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use tokio::time::timeout;
use uuid::Uuid;

use super::Shared;
use super::link::{ANSWER_LIMIT, answer};
use super::message::{self, Read};
use crate::bus::{DeadLetter, DeadLetterQuery, Error, Replay};

/// Dead letters that are seen at once: the oldest. Those behind are seen when these are replayed.
const SEEN: u16 = 10_000;
/// Dead letters listed at once, at most.
const LISTED: usize = 500;

/// A look at the dead letters, which nobody else has meanwhile.
struct Look {
    channel: Channel,
    /// With the broker's tags, oldest first.
    letters: Vec<(u64, DeadLetter)>,
}

impl Look {
    async fn take(shared: &Shared) -> Result<Look, Error> {
        let channel = shared.consuming.channel().await?;
        let names = &shared.names;
        let mark = Uuid::new_v4().to_string();
        shared.publisher.publish(vec![message::of_mark(names.dead(), &mark)]).await?;
        let mut consumer = answer("reading dead letters", async {
            channel.basic_qos(SEEN, BasicQosOptions::default()).await?;
            let options = BasicConsumeOptions::default();
            channel.basic_consume(names.dead(), "".into(), options, FieldTable::default()).await
        })
        .await?;
        let mut letters = Vec::new();
        for _ in 0..SEEN {
            let doing = "reading dead letters";
            let next = timeout(ANSWER_LIMIT, consumer.next()).await;
            let next = next.map_err(|_| Error::Silent { doing, limit: ANSWER_LIMIT })?;
            let next = next.ok_or(Error::Cancelled)?;
            let got = next.map_err(|source| Error::Broker { doing, source: Box::new(source) })?;
            match message::read(&got.properties, &got.data) {
                Read::Letter(letter) => letters.push((got.delivery_tag, *letter)),
                Read::Mark(read) if read == mark => {
                    acknowledge(&channel, got.delivery_tag).await?;
                    break;
                }
                // Of a reader whose turn is still to come, or of one that went away: it expires.
                Read::Mark(_) => {}
                Read::Unknown => tracing::warn!("there is a dead letter that is none of ours"),
            }
        }
        letters.sort_by_key(|(_, letter)| letter.id);
        Ok(Look { channel, letters })
    }

    /// Gives back what was not acknowledged.
    async fn end(self) -> Result<Vec<(u64, DeadLetter)>, Error> {
        answer("closing", self.channel.close(200, "done".into())).await?;
        Ok(self.letters)
    }
}

async fn acknowledge(channel: &Channel, tag: u64) -> Result<(), Error> {
    answer("acknowledging", channel.basic_ack(tag, BasicAckOptions::default())).await
}

/// Newest first.
pub(super) async fn list(
    shared: &Shared,
    which: &DeadLetterQuery,
) -> Result<Vec<DeadLetter>, Error> {
    let letters = Look::take(shared).await?.end().await?;
    let wanted = |letter: &DeadLetter| {
        which.queue.as_ref().is_none_or(|queue| *queue == letter.queue)
            && which.before_id.is_none_or(|before| letter.id < before)
    };
    let letters = letters.into_iter().rev().map(|(_, letter)| letter).filter(wanted);
    Ok(letters.take(which.limit.min(LISTED)).collect())
}

/// Oldest first. A failure in the middle leaves one of them both replayed and dead, at most.
pub(super) async fn replay(shared: &Shared, which: &Replay) -> Result<usize, Error> {
    let look = Look::take(shared).await?;
    let ids: HashSet<i64> = which.ids.iter().copied().collect();
    let mut replayed = 0;
    for (tag, letter) in &look.letters {
        let wanted = which.queue.as_ref().is_none_or(|queue| *queue == letter.queue)
            && (ids.is_empty() || ids.contains(&letter.id));
        if !wanted {
            continue;
        }
        let message = message::of_event_for(&shared.names, &letter.queue, &letter.event);
        let routed = shared.publisher.publish(vec![message]).await?;
        if routed.contains(&false) {
            let queue = &letter.queue;
            tracing::warn!(queue, id = letter.id, "its queue is gone: the dead letter stays");
            continue;
        }
        acknowledge(&look.channel, *tag).await?;
        replayed += 1;
    }
    look.end().await?;
    Ok(replayed)
}
