//! Writes markers: those that wait for a write to return share the next one.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::super::Error;
use super::WAITING_MARKS;
use super::markers::{Markers, Share};

/// Most aggregates that share a row.
const MAX_GROUP: usize = 64;

type Answer = Result<Share, Error>;

/// A mark that somebody waits for.
pub(super) struct Asked {
    name: (String, i64),
    answer: oneshot::Sender<Answer>,
}

impl Asked {
    pub fn new(aggregate: &str, from_version: i64) -> (Asked, oneshot::Receiver<Answer>) {
        let (answer, receiver) = oneshot::channel();
        (Asked { name: (aggregate.to_owned(), from_version), answer }, receiver)
    }
}

/// The writer of one shard: one write at a time.
pub(super) struct Lane {
    shard: i32,
    markers: Arc<Markers>,
}

impl Lane {
    /// Ends when nobody can ask any more.
    pub fn start(shard: i32, markers: Arc<Markers>) -> mpsc::Sender<Asked> {
        let (asked, waiting) = mpsc::channel(WAITING_MARKS);
        tokio::spawn(Lane { shard, markers }.run(waiting));
        asked
    }

    async fn run(self, mut waiting: mpsc::Receiver<Asked>) {
        let mut group = Vec::with_capacity(MAX_GROUP);
        let mut number = 0_u16;
        while waiting.recv_many(&mut group, MAX_GROUP).await > 0 {
            // Nothing was changed for those who have left.
            group.retain(|asked| !asked.answer.is_closed());
            if !group.is_empty() {
                self.mark(number, &mut group).await;
                number = number.wrapping_add(1);
            }
        }
    }

    async fn mark(&self, number: u16, group: &mut Vec<Asked>) {
        let (names, answers): (Vec<_>, Vec<_>) =
            group.drain(..).map(|asked| (asked.name, asked.answer)).unzip();
        match self.markers.write(self.shard, number, &names).await {
            Ok(row) => {
                for answer in answers {
                    // Whoever has left changes nothing.
                    if let Err(Ok(share)) = answer.send(Ok(Share::of(&row))) {
                        share.settle();
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, "changes are refused: their markers cannot be written");
                for answer in answers {
                    let _ = answer.send(Err(Error::Unavailable(error.to_string())));
                }
            }
        }
    }
}
