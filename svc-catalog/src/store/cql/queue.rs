//! What waits on each product: operations that somebody waits for, and parts of sales, which nobody does.
//!
//! A part of a sale changes nothing that could be bought, so it starts no group of its own: it goes along with the next
//! group of its product, or by itself after a second at most. One that is lost with its process is found by the sweeper.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use souk_mesh::cql::Error as CqlError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use super::draft::Asked;
use super::operation::{Operation, Reply};
use super::partition::MAX_ROWS;
use crate::error::Error;

/// Operations of one write. Each needs a row to be read, beside the head.
const MAX_GROUP: usize = 96;
/// Operations that may wait on one product; more are refused.
const MAX_WAITING: usize = 8_192;
/// Parts of sales that may wait on one product for others to go along with.
const MAX_LATER: usize = 48;
/// The same, on all products.
const MAX_LATER_IN_ALL: u32 = 4_096;
/// How long such a part waits at least, if nothing else is asked of its product; also for its next try.
const LATER_AFTER: Duration = Duration::from_millis(750);
/// The same in a process that ends.
const LATER_AT_THE_END: Duration = Duration::from_millis(50);
/// How often it is looked whether one has waited so long.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Products whose parts are begun with at one look.
const MAX_BEGUN: usize = 64;

const _: () = assert!(MAX_GROUP < MAX_ROWS && MAX_LATER < MAX_GROUP);

/// One operation, and who waits for it.
pub(super) struct Task {
    pub(super) operation: Operation,
    pub(super) asked: Asked,
    pub(super) waiter: Waiter,
}

/// Who waits for an operation.
pub(super) enum Waiter {
    /// A caller, who may go.
    Caller(oneshot::Sender<Result<Reply, Error>>),
    /// Nobody: it has a place among those that may wait on all products until it is done.
    Nobody(#[expect(dead_code, reason = "given back when it is dropped")] OwnedSemaphorePermit),
}

impl Waiter {
    fn is_gone(&self) -> bool {
        matches!(self, Waiter::Caller(answer) if answer.is_closed())
    }
}

/// What waits, by product.
pub(super) struct Queues {
    waiting: Mutex<Waiting>,
    places: Arc<Semaphore>,
}

#[derive(Default)]
struct Waiting {
    products: HashMap<Uuid, Queue>,
    /// The process ends: nothing is left for later any more.
    is_closing: bool,
}

#[derive(Default)]
struct Queue {
    tasks: VecDeque<Task>,
    later: VecDeque<Task>,
    /// Since when the oldest of `later` may have waited.
    later_since: Option<Instant>,
    /// Somebody takes groups from it until nothing waits.
    is_served: bool,
}

impl Queue {
    fn push_later(&mut self, task: Task) {
        self.later.push_back(task);
        self.later_since.get_or_insert_with(Instant::now);
    }

    fn is_overdue(&self, is_closing: bool) -> bool {
        let after = if is_closing { LATER_AT_THE_END } else { LATER_AFTER };
        !self.later.is_empty() && self.later_since.is_some_and(|since| since.elapsed() >= after)
    }
}

impl Queues {
    pub(super) fn new() -> Queues {
        let places = Arc::new(Semaphore::new(MAX_LATER_IN_ALL as usize));
        Queues { waiting: Mutex::default(), places }
    }

    /// Has a task wait for the next group; says whether the product is now to be served by whoever asks.
    pub(super) fn put(&self, product_id: Uuid, task: Task) -> Result<bool, Error> {
        let mut waiting = self.lock();
        let queue = waiting.products.entry(product_id).or_default();
        if queue.tasks.len() >= MAX_WAITING {
            return Err(CqlError::Overloaded.into());
        }
        queue.tasks.push_back(task);
        Ok(!std::mem::replace(&mut queue.is_served, true))
    }

    /// Has an operation wait that can go along with others; `false` when too many do, or the process ends.
    pub(super) fn put_later(&self, product_id: Uuid, operation: Operation, asked: Asked) -> bool {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return false };
        let mut waiting = self.lock();
        if waiting.is_closing {
            return false;
        }
        let queue = waiting.products.entry(product_id).or_default();
        if queue.later.len() >= MAX_LATER {
            return false;
        }
        queue.push_later(Task { operation, asked, waiter: Waiter::Nobody(place) });
        true
    }

    /// Has a task that nobody waits for wait once more: it is not certain that it was done.
    pub(super) fn put_again(&self, product_id: Uuid, task: Task) {
        self.lock().products.entry(product_id).or_default().push_later(task);
    }

    /// What waits now, without those whose callers have gone. `None`, and the product is not served any more, when
    /// nothing does that cannot wait longer.
    pub(super) fn next_group(&self, product_id: Uuid) -> Option<Vec<Task>> {
        let mut guard = self.lock();
        let waiting = &mut *guard;
        let is_closing = waiting.is_closing;
        let queue = waiting.products.get_mut(&product_id)?;
        queue.tasks.retain(|task| !task.waiter.is_gone());
        if queue.tasks.is_empty() && !queue.is_overdue(is_closing) {
            queue.is_served = false;
            if queue.later.is_empty() {
                waiting.products.remove(&product_id);
            }
            return None;
        }
        // These first: corrections of the stock find it as it is.
        let later = queue.later.len().min(MAX_LATER);
        let mut group: Vec<Task> = queue.later.drain(..later).collect();
        queue.later_since = (!queue.later.is_empty()).then_some(queue.later_since).flatten();
        let room = (MAX_GROUP - later).min(queue.tasks.len());
        group.extend(queue.tasks.drain(..room));
        Some(group)
    }

    /// Products whose parts have waited for long enough, longest first, to be served by whoever asks.
    pub(super) fn overdue(&self) -> Vec<Uuid> {
        let mut guard = self.lock();
        let waiting = &mut *guard;
        let is_begun = |queue: &Queue| !queue.is_served && queue.is_overdue(waiting.is_closing);
        let mut overdue: Vec<(&Uuid, &mut Queue)> =
            waiting.products.iter_mut().filter(|(_, queue)| is_begun(queue)).collect();
        overdue.sort_by_key(|(_, queue)| queue.later_since);
        let begin = |(id, queue): (&Uuid, &mut Queue)| {
            queue.is_served = true;
            *id
        };
        overdue.into_iter().take(MAX_BEGUN).map(begin).collect()
    }

    /// From now on nothing more is left for later.
    pub(super) fn close(&self) {
        self.lock().is_closing = true;
    }

    /// Waits until nothing waits that nobody waits for, and none of it is under way.
    pub(super) async fn all_followed(&self) {
        // Nobody closes the semaphore.
        drop(self.places.acquire_many(MAX_LATER_IN_ALL).await);
    }

    /// Forgets a product whose server was stopped midway: nobody else must wait behind it for ever.
    pub(super) fn forget(&self, product_id: Uuid) {
        drop(self.lock().products.remove(&product_id));
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
