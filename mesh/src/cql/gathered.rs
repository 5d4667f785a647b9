//! What comes at the same time goes to the server in one message.
//!
//! What a server spends on a message is more than what it spends on a small row in it. So few messages of a sort are
//! under way at once, and what comes meanwhile goes along with the next: a shop at rest waits for nothing, and a busy one
//! sends a fraction of the messages. [`super::writes`] gathers plain writes, [`super::lookup`] reads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::Error;

/// Messages of one sort under way at once, of one process.
const MESSAGES_AT_ONCE: usize = 2;
/// After so long the next message does not wait for the one before.
const PATIENCE: Duration = Duration::from_millis(250);

/// Sends what is asked for at the same time in one message.
pub(super) trait Gathers: Clone + Send + Sync + 'static {
    /// What each asks for.
    type Asked: Send + 'static;
    /// What each gets.
    type Answer: Send + 'static;

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
        Queue { waiting: Mutex::default(), messages }
    }

    fn free(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.messages).try_acquire_owned().ok()
    }

    /// What goes into the next message. Who does not wait any more, or has for longer than a call may take, is left out.
    fn take(&self, limit: Duration) -> Vec<Waiting<G>> {
        let mut waiting = self.waiting.lock();
        let mut taken = Vec::new();
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
    if let Some(permit) = queue.free() {
        tokio::spawn(send_all(of.clone(), permit));
    }
    answered.await.ok()
}

/// Sends message after message until nothing waits.
async fn send_all<G: Gathers>(of: G, permit: OwnedSemaphorePermit) {
    // Who asks for several things beside each other does so in one go: all of them are there after this.
    tokio::task::yield_now().await;
    let queue = of.queue();
    let mut permit = Some(permit);
    while permit.is_some() {
        loop {
            let message = queue.take(of.limit());
            if message.is_empty() {
                break;
            }
            let sender = of.clone();
            let sending = tokio::spawn(async move { sender.send(message).await });
            // One that takes its time, since a node does not answer, is not to hold the others up.
            let _ = tokio::time::timeout(PATIENCE, sending).await;
        }
        drop(permit.take());
        // Who came between the last look and here has found no place.
        if !queue.waiting.lock().is_empty() {
            permit = queue.free();
        }
    }
}
