//! What comes at the same time goes to the server in one message.
//!
//! What a server spends on a message is more than what it spends on a small row in it. So few messages of a sort are
//! under way at once, and what comes meanwhile goes along with the next: a shop at rest waits for nothing, and a busy one
//! sends a fraction of the messages. When so much waits that it fills a message, that one goes beside the others, so that
//! a slow server does not make a queue where there would be none. [`super::writes`] gathers plain writes, [`super::lookup`] reads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::Error;

/// Messages of one sort under way at once, of one process.
const MESSAGES_AT_ONCE: usize = 2;
/// Messages under way beside those, of which each is as full as one may be: there is nothing to be gained by waiting.
const FULL_MESSAGES_AT_ONCE: usize = 14;
/// After so long the next message does not wait for the one before.
const PATIENCE: Duration = Duration::from_millis(250);

/// Sends what is asked for at the same time in one message.
pub(super) trait Gathers: Clone + Send + Sync + 'static {
    /// What each asks for.
    type Asked: Send + 'static;
    /// What each gets.
    type Answer: Send + 'static;
    /// How many make a message full.
    const FULL: usize;

    fn queue(&self) -> &Queue<Self>;
    /// How long one may wait for its turn.
    fn limit(&self) -> Duration;
    /// Whether one more goes into a message that has some already.
    fn has_room(message: &[Waiting<Self>], next: &Self::Asked) -> bool;
    /// Sends a message of one at least, and answers them all.
    fn send(&self, message: Vec<Waiting<Self>>) -> impl Future<Output = ()> + Send;
}

/// Who waits for the next message.
pub(super) struct Queue<G: Gathers> {
    waiting: Mutex<VecDeque<Waiting<G>>>,
    messages: Arc<Semaphore>,
    full_messages: Arc<Semaphore>,
}

/// The right to send messages.
struct Turn {
    _permit: OwnedSemaphorePermit,
    /// How many must wait for each.
    least: usize,
}

pub(super) struct Waiting<G: Gathers> {
    pub asked: G::Asked,
    since: Instant,
    answer: oneshot::Sender<Result<G::Answer, Error>>,
}

impl<G: Gathers> Waiting<G> {
    /// Who has left does not hear it.
    pub fn tell(self, answer: Result<G::Answer, Error>) {
        let _ = self.answer.send(answer);
    }

    /// Whether it has waited for longer than a call may take.
    pub fn is_late(&self, limit: Duration) -> bool {
        self.since.elapsed() > limit
    }
}

impl<G: Gathers> Queue<G> {
    pub fn new() -> Queue<G> {
        let messages = Arc::new(Semaphore::new(MESSAGES_AT_ONCE));
        let full_messages = Arc::new(Semaphore::new(FULL_MESSAGES_AT_ONCE));
        Queue { waiting: Mutex::default(), messages, full_messages }
    }

    /// For who sees that something waits; whoever has a turn looks again when it is over.
    fn turn(&self) -> Option<Turn> {
        let (semaphore, least) = match self.waiting.lock().len() {
            0 => return None,
            _ if self.messages.available_permits() > 0 => (&self.messages, 1),
            waiting if waiting >= G::FULL => (&self.full_messages, G::FULL),
            _ => return None,
        };
        let permit = Arc::clone(semaphore).try_acquire_owned().ok()?;
        Some(Turn { _permit: permit, least })
    }

    /// What goes into the next message. Who does not wait any more, or has for longer than a call may take, is left out.
    fn take(&self, least: usize, limit: Duration) -> Vec<Waiting<G>> {
        let mut waiting = self.waiting.lock();
        let mut taken = Vec::new();
        if waiting.len() < least {
            return taken;
        }
        while let Some(first) = waiting.front() {
            if !taken.is_empty() && !G::has_room(&taken, &first.asked) {
                break;
            }
            let Some(first) = waiting.pop_front() else { break };
            if first.is_late(limit) {
                first.tell(Err(Error::Unavailable("it was not its turn in time".into())));
            } else if !first.answer.is_closed() {
                taken.push(first);
            }
        }
        taken
    }
}

/// Asks for something, with whatever else is asked for now. `None` when the process ends before there is an answer.
pub(super) async fn ask<G: Gathers>(of: &G, asked: G::Asked) -> Option<Result<G::Answer, Error>> {
    let (answer, answered) = oneshot::channel();
    let queue = of.queue();
    queue.waiting.lock().push_back(Waiting { asked, since: Instant::now(), answer });
    if let Some(turn) = queue.turn() {
        tokio::spawn(send_all(of.clone(), turn));
    }
    answered.await.ok()
}

/// Sends message after message until too little waits.
async fn send_all<G: Gathers>(of: G, turn: Turn) {
    // Who asks for several things beside each other does so in one go: all of them are there after this.
    tokio::task::yield_now().await;
    let queue = of.queue();
    let mut turn = Some(turn);
    while let Some(held) = turn.take() {
        loop {
            let message = queue.take(held.least, of.limit());
            if message.is_empty() {
                break;
            }
            let sender = of.clone();
            let sending = tokio::spawn(async move { sender.send(message).await });
            // One that takes its time, since a node does not answer, is not to hold the others up.
            let _ = tokio::time::timeout(PATIENCE, sending).await;
        }
        drop(held);
        // Who came between the last look and here has found no turn.
        turn = queue.turn();
    }
}

#[cfg(test)]
mod tests;
