//! What waits on each product: operations that somebody waits for, and parts of sales, which nobody does.
//!
//! A part of a sale changes nothing that could be bought, so it starts no group of its own: it goes along with the next
//! group of its product, or by itself after a second at most. One that is lost with its process is found by the sweeper.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use souk_mesh::cql::Error as CqlError;
use tokio::sync::oneshot;
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
const MAX_LATER_IN_ALL: usize = 4_096;
/// How long such a part waits at least, if nothing else is asked of its product.
const LATER_AFTER: Duration = Duration::from_millis(750);
/// How often it is looked whether one has waited so long.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Products whose parts are begun with at one look.
const MAX_BEGUN: usize = 64;
/// How often a part is tried by the process that sold it; the sweeper has it follow after that.
const MAX_TRIES: u32 = 8;

const _: () = assert!(MAX_GROUP < MAX_ROWS && MAX_LATER < MAX_GROUP);

/// One operation, and who waits for it.
pub(super) struct Task {
    pub(super) operation: Operation,
    pub(super) asked: Asked,
    /// `None`: nobody does.
    pub(super) answer: Option<oneshot::Sender<Result<Reply, Error>>>,
    /// How often it was tried in vain.
    pub(super) tries: u32,
}

/// What waits, by product.
#[derive(Default)]
pub(super) struct Queues {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    products: HashMap<Uuid, Queue>,
    /// How many parts wait on all of them.
    later: usize,
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
    fn is_overdue(&self, is_closing: bool) -> bool {
        !self.later.is_empty()
            && (is_closing || self.later_since.is_some_and(|since| since.elapsed() >= LATER_AFTER))
    }
}

impl Queues {
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

    /// Has a task wait that can go along with others; `false` when too many do, it was tried too often, or
    /// the process ends.
    pub(super) fn put_later(&self, product_id: Uuid, task: Task) -> bool {
        let mut guard = self.lock();
        let waiting = &mut *guard;
        if waiting.is_closing || waiting.later >= MAX_LATER_IN_ALL || task.tries >= MAX_TRIES {
            return false;
        }
        let queue = waiting.products.entry(product_id).or_default();
        if queue.later.len() >= MAX_LATER {
            return false;
        }
        queue.later.push_back(task);
        queue.later_since.get_or_insert_with(Instant::now);
        waiting.later += 1;
        true
    }

    /// What waits now, without those whose callers have gone. `None`, and the product is not served any more, when
    /// nothing does that cannot wait longer.
    pub(super) fn next_group(&self, product_id: Uuid) -> Option<Vec<Task>> {
        let mut guard = self.lock();
        let waiting = &mut *guard;
        let is_closing = waiting.is_closing;
        let queue = waiting.products.get_mut(&product_id)?;
        queue.tasks.retain(|task| !task.answer.as_ref().is_some_and(oneshot::Sender::is_closed));
        if queue.tasks.is_empty() && !queue.is_overdue(is_closing) {
            queue.is_served = false;
            if queue.later.is_empty() {
                waiting.products.remove(&product_id);
            }
            return None;
        }
        // These first: corrections of the stock find it as it is.
        let mut group: Vec<Task> = queue.later.drain(..).collect();
        queue.later_since = None;
        let later = group.len();
        let room = (MAX_GROUP - later).min(queue.tasks.len());
        group.extend(queue.tasks.drain(..room));
        waiting.later -= later;
        Some(group)
    }

    /// Products whose parts have waited for long enough, longest first, to be served by whoever asks.
    pub(super) fn overdue(&self) -> Vec<Uuid> {
        let mut guard = self.lock();
        let waiting = &mut *guard;
        if waiting.later == 0 {
            return Vec::new();
        }
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

    /// From now on nothing waits for later.
    pub(super) fn close(&self) {
        self.lock().is_closing = true;
    }

    /// Forgets a product whose server was stopped midway: nobody else must wait behind it for ever.
    pub(super) fn forget(&self, product_id: Uuid) {
        let mut waiting = self.lock();
        if let Some(queue) = waiting.products.remove(&product_id) {
            waiting.later -= queue.later.len();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
