//! Dead letters, listed and replayed.
//!
//! A queue cannot be looked into without taking its messages, so a reader takes them all, up to a mark
//! that it has put behind them, acknowledges what it moves elsewhere, and gives back the rest. The
//! queue serves one reader at a time; the others wait.
//!
//! What a request replays is written down before anything moves, in a queue of receipts: a repeat of it
//! finds its receipt, brings what is left of it to its end and touches nothing that has died since.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use tokio::time::timeout;
use uuid::Uuid;

use super::Shared;
use super::link::{ANSWER_LIMIT, answer};
use super::message::{self, Read, Receipt};
use crate::bus::{DeadLetter, DeadLetterQuery, Error, Replay};
use crate::idempotency::RequestKey;

/// Messages of a queue that are seen at once: the oldest. Those behind are seen when these are gone.
const SEEN: u16 = 10_000;
/// Dead letters listed at once, at most.
const LISTED: usize = 500;

/// A look at what a queue holds, which nobody else has meanwhile.
struct Look {
    channel: Channel,
    /// With the broker's tags, as the queue has them.
    messages: Vec<(u64, Read)>,
}

impl Look {
    async fn take(shared: &Shared, queue: ShortString) -> Result<Look, Error> {
        const DOING: &str = "reading dead letters";
        let channel = shared.consuming.channel().await?;
        let mark = Uuid::new_v4().to_string();
        shared.publisher.publish(vec![message::of_mark(queue.clone(), &mark)]).await?;
        let mut consumer = answer(DOING, async {
            channel.basic_qos(SEEN, BasicQosOptions::default()).await?;
            let options = BasicConsumeOptions::default();
            channel.basic_consume(queue, "".into(), options, FieldTable::default()).await
        })
        .await?;
        let mut messages = Vec::new();
        for _ in 0..SEEN {
            let next = timeout(ANSWER_LIMIT, consumer.next()).await;
            let next = next.map_err(|_| Error::Silent { doing: DOING, limit: ANSWER_LIMIT })?;
            let next = next.ok_or(Error::Cancelled)?;
            let got =
                next.map_err(|source| Error::Broker { doing: DOING, source: Box::new(source) })?;
            match message::read(&got.properties, &got.data) {
                Read::Mark(read) if read == mark => {
                    acknowledge(&channel, got.delivery_tag).await?;
                    break;
                }
                // Of a reader whose turn is still to come, or of one that went away: it expires.
                Read::Mark(_) => {}
                Read::Unknown => {
                    tracing::warn!("among the dead letters is one that is none of ours")
                }
                read @ (Read::Letter(_) | Read::Receipt(_)) => {
                    messages.push((got.delivery_tag, read));
                }
            }
        }
        Ok(Look { channel, messages })
    }

    /// The dead letters with their tags, oldest first.
    fn letters(&self) -> Vec<(u64, &DeadLetter)> {
        let mut letters: Vec<_> = self
            .messages
            .iter()
            .filter_map(|(tag, read)| match read {
                Read::Letter(letter) => Some((*tag, &**letter)),
                Read::Receipt(_) | Read::Mark(_) | Read::Unknown => None,
            })
            .collect();
        letters.sort_by_key(|(_, letter)| letter.id);
        letters
    }

    fn receipt_of(&self, request: &str) -> Option<&Receipt> {
        self.messages.iter().find_map(|(_, read)| match read {
            Read::Receipt(receipt) if receipt.request == request => Some(receipt),
            _ => None,
        })
    }

    /// Gives back what was not acknowledged.
    async fn end(self) -> Result<(), Error> {
        answer("closing", self.channel.close(200, "done".into())).await
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
    let look = Look::take(shared, shared.names.dead()).await?;
    let wanted = |letter: &&DeadLetter| {
        which.queue.as_ref().is_none_or(|queue| *queue == letter.queue)
            && which.before_id.is_none_or(|before| letter.id < before)
    };
    let letters = look.letters();
    let letters = letters.into_iter().rev().map(|(_, letter)| letter).filter(wanted);
    let letters = letters.take(which.limit.min(LISTED)).cloned().collect();
    look.end().await?;
    Ok(letters)
}

/// Oldest first. A failure in the middle leaves one of them both replayed and dead, at most.
pub(super) async fn replay(shared: &Shared, which: &Replay) -> Result<usize, Error> {
    // Before the receipts are read, so that two with the same request do not both find none.
    let look = Look::take(shared, shared.names.dead()).await?;
    let done = async {
        let chosen = match &which.request {
            Some(request) => chosen_by(shared, request, || oldest(&look, which)).await?,
            None => oldest(&look, which),
        };
        move_back(shared, &look, &chosen).await
    };
    let done = done.await;
    look.end().await?;
    done
}

fn oldest(look: &Look, which: &Replay) -> BTreeSet<i64> {
    let wanted = |letter: &&DeadLetter| {
        which.queue.as_ref().is_none_or(|queue| *queue == letter.queue)
            && (which.ids.is_empty() || which.ids.contains(&letter.id))
    };
    let letters = look.letters().into_iter().map(|(_, letter)| letter).filter(wanted);
    letters.take(which.limit).map(|letter| letter.id).collect()
}

/// What the receipt of a request says; it is written if there is none.
async fn chosen_by(
    shared: &Shared,
    request: &RequestKey,
    choose: impl FnOnce() -> BTreeSet<i64>,
) -> Result<BTreeSet<i64>, Error> {
    let (name, fingerprint) = (hex(&request.digest()), hex(&request.fingerprint));
    let receipts = Look::take(shared, shared.names.replays()).await?;
    let known = receipts.receipt_of(&name).map(|receipt| {
        (receipt.fingerprint == fingerprint)
            .then(|| receipt.ids.iter().copied().collect())
            .ok_or(Error::RequestReused)
    });
    receipts.end().await?;
    if let Some(known) = known {
        return known;
    }
    let chosen = choose();
    let ids = chosen.iter().copied().collect();
    let receipt = message::of_receipt(&shared.names, &Receipt { request: name, fingerprint, ids });
    let routed = shared.publisher.publish(vec![receipt]).await?;
    if routed.contains(&false) {
        shared.publisher.declare_again().await;
        return Err(Error::NoDeadLetterQueue);
    }
    Ok(chosen)
}

/// Returns how many of the chosen are not dead any more.
async fn move_back(shared: &Shared, look: &Look, chosen: &BTreeSet<i64>) -> Result<usize, Error> {
    let mut left = 0;
    for (tag, letter) in look.letters() {
        if !chosen.contains(&letter.id) {
            continue;
        }
        let message = message::of_event_for(&shared.names, &letter.queue, &letter.event);
        let routed = shared.publisher.publish(vec![message]).await?;
        if routed.contains(&false) {
            let queue = &letter.queue;
            tracing::warn!(queue, id = letter.id, "its queue is gone: the dead letter stays");
            left += 1;
            continue;
        }
        acknowledge(&look.channel, tag).await?;
    }
    Ok(chosen.len() - left)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
