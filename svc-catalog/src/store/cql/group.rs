//! Groups: all operations that wait on one product are decided together and written as one conditional write.
//!
//! While a group is under way the next one gathers, so a hot product costs one conditional write per round trip to the
//! store, whatever the number of orders. A product is served while something waits for it, and takes no memory after.
//! Other processes may serve the same product: whoever finds its write not applied reads again and decides again, so
//! more processes cost retries, never pieces.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use souk_mesh::context::CallContext;
use souk_mesh::cql::Error as CqlError;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::categories::Categories;
use super::draft::{Asked, Draft};
use super::operation::{Operation, Reply};
use super::partition::{Facts, MAX_ROWS, Partitions};
use crate::error::Error;

/// Operations of one write. Each needs a row to be read, beside the head.
const MAX_GROUP: usize = 96;
/// Operations that may wait on one product; more are refused.
const MAX_WAITING: usize = 8_192;
/// How often a group is decided anew because another process changed the product.
const MAX_TRIES: u32 = 16;
/// Pause before the second try, doubled for each one after up to the longest; a random part of it is waited.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

const _: () = assert!(MAX_GROUP < MAX_ROWS);

/// Serves products.
#[derive(Clone)]
pub(super) struct Groups {
    shared: Arc<Shared>,
}

struct Shared {
    partitions: Arc<Partitions>,
    categories: Arc<Categories>,
    waiting: Mutex<HashMap<Uuid, VecDeque<Task>>>,
}

struct Task {
    operation: Operation,
    asked: Asked,
    answer: oneshot::Sender<Result<Reply, Error>>,
}

type Replies = Vec<Result<Reply, Error>>;

impl Groups {
    pub(super) fn new(partitions: Arc<Partitions>, categories: Arc<Categories>) -> Groups {
        let waiting = Mutex::default();
        Groups { shared: Arc::new(Shared { partitions, categories, waiting }) }
    }

    /// Has one operation done with the next group of its product. It may be done although this future is dropped.
    pub(super) async fn ask(
        &self,
        product_id: Uuid,
        operation: Operation,
        now_ms: i64,
    ) -> Result<Reply, Error> {
        let (answer, answered) = oneshot::channel();
        let task = Task { operation, asked: asked(now_ms), answer };
        self.put(product_id, task)?;
        // Only a process that ends drops what waits.
        let ended = |_| CqlError::Unknown("the process ends".to_owned());
        answered.await.map_err(ended)?
    }

    fn put(&self, product_id: Uuid, task: Task) -> Result<(), Error> {
        match self.shared.waiting().entry(product_id) {
            Slot::Occupied(mut queue) if queue.get().len() < MAX_WAITING => {
                queue.get_mut().push_back(task);
            }
            Slot::Occupied(_) => return Err(CqlError::Overloaded.into()),
            Slot::Vacant(slot) => {
                slot.insert(VecDeque::from([task]));
                let shared = Arc::clone(&self.shared);
                tokio::spawn(Server { shared, product_id, has_ended: false }.run());
            }
        }
        Ok(())
    }
}

/// What an operation carries along.
pub(super) fn asked(now_ms: i64) -> Asked {
    let trace = CallContext::current().map(|context| context.trace.to_string());
    Asked { now_ms, trace_parent: trace.unwrap_or_default() }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, HashMap<Uuid, VecDeque<Task>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits now, without those whose callers have gone. `None`, and the product is forgotten, when nothing does.
    fn next_group(&self, product_id: Uuid) -> Option<Vec<Task>> {
        let mut waiting = self.waiting();
        let queue = waiting.get_mut(&product_id)?;
        let mut group = Vec::new();
        while group.len() < MAX_GROUP
            && let Some(task) = queue.pop_front()
        {
            if !task.answer.is_closed() {
                group.push(task);
            }
        }
        if group.is_empty() {
            waiting.remove(&product_id);
            return None;
        }
        Some(group)
    }
}

/// Serves one product while something waits for it.
struct Server {
    shared: Arc<Shared>,
    product_id: Uuid,
    /// Nothing waited any more, and the product was forgotten.
    has_ended: bool,
}

impl Drop for Server {
    /// If it is stopped midway, nobody else must wait behind it for ever.
    fn drop(&mut self) {
        if !self.has_ended {
            self.shared.waiting().remove(&self.product_id);
        }
    }
}

impl Server {
    async fn run(mut self) {
        while let Some(group) = self.shared.next_group(self.product_id) {
            metrics::histogram!("souk_catalog_stock_group_operations").record(group.len() as f64);
            let replies = self.settle(&group).await;
            for (task, reply) in group.into_iter().zip(replies) {
                // Its caller may have gone.
                drop(task.answer.send(reply));
            }
        }
        self.has_ended = true;
    }

    async fn settle(&self, group: &[Task]) -> Replies {
        let mut pause = FIRST_PAUSE;
        for attempt in 0..MAX_TRIES {
            if attempt > 0 {
                tokio::time::sleep(pause.mul_f64(rand::random::<f64>())).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            match self.attempt(group, attempt > 0).await {
                Ok(Some(replies)) => return replies,
                Ok(None) => {}
                Err(error) => return group.iter().map(|_| Err(again(&error))).collect(),
            }
        }
        group.iter().map(|_| Err(Error::Contended(self.product_id))).collect()
    }

    /// Reads, decides and writes. `None` if the product was changed in between, or may have been: what is read then
    /// shows what was done, and deciding again gives every operation that was done its answer.
    async fn attempt(&self, group: &[Task], settled: bool) -> Result<Option<Replies>, Error> {
        let Shared { partitions, .. } = self.shared.as_ref();
        let entries: BTreeSet<_> = group.iter().map(|task| task.operation.entry()).collect();
        let loaded = partitions.load(self.product_id, &entries, settled).await?;
        let revision = loaded.head.map(|head| head.revision);
        let updates = group.iter().any(|task| matches!(task.operation, Operation::Update(_)));
        let mut facts = None;
        if updates && revision.is_some() {
            facts = self.facts_at(revision, settled).await?;
            if facts.is_none() {
                return Ok(None);
            }
        }
        let mut draft = Draft::new(self.product_id, loaded, facts);
        let decide = |task: &Task| draft.decide(&task.operation, &task.asked);
        let replies: Replies = group.iter().map(decide).collect();
        if !draft.is_changed() {
            return Ok(Some(replies));
        }
        let written = self.write(draft, settled).await?;
        Ok(written.then_some(replies))
    }

    async fn write(&self, draft: Draft, settled: bool) -> Result<bool, Error> {
        let Shared { partitions, categories, .. } = self.shared.as_ref();
        let mut facts = None;
        if draft.needs_facts() {
            facts = self.facts_at(draft.based_on(), settled).await?;
            if facts.is_none() {
                return Ok(false);
            }
        }
        let mut names = HashMap::new();
        for id in draft.categories_told(facts.as_ref()) {
            names.insert(id, categories.name(id).await?);
        }
        match partitions.write(self.product_id, draft.into_changes(facts.as_ref(), &names)).await {
            Ok(is_applied) => Ok(is_applied),
            Err(CqlError::Unknown(why)) => {
                tracing::debug!(product_id = %self.product_id, why, "a stock write is looked for");
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The product as it was at this revision; `None` if it has changed since.
    async fn facts_at(&self, revision: Option<i64>, settled: bool) -> Result<Option<Facts>, Error> {
        let facts = self.shared.partitions.facts(self.product_id, settled).await?;
        Ok(facts.filter(|facts| Some(facts.revision) == revision))
    }
}

/// The error of a whole group, for each of its callers.
fn again(error: &Error) -> Error {
    match error {
        Error::Cql(CqlError::Overloaded) => CqlError::Overloaded.into(),
        Error::Cql(CqlError::Unavailable(why)) => CqlError::Unavailable(why.clone()).into(),
        Error::Cql(CqlError::Unknown(why)) => CqlError::Unknown(why.clone()).into(),
        other => Error::Damaged(other.to_string()),
    }
}
