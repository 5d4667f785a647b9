//! Groups: all operations that wait on one product are decided together and written as one conditional write.
//!
//! While a group is under way the next one gathers, so a hot product costs one conditional write per round trip to the
//! store, whatever the number of orders. A product is served while something waits for it ([`Queues`]).
//! Other processes may serve the same product: whoever finds its write not applied reads again and decides again, so
//! more processes cost retries, never pieces.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use souk_mesh::context::CallContext;
use souk_mesh::cql::Error as CqlError;
use souk_mesh::tasks::Tasks;
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use super::categories::Categories;
use super::draft::{Asked, Draft};
use super::memory::{Memory, Written};
use super::operation::{Operation, Reply};
use super::partition::{Facts, Loaded, Partitions};
use super::queue::{LOOK_EVERY, Queues, Task, Waiter};
use crate::error::Error;

/// How often a process that ends looks whether something still waits, and for how long it does.
const LAST_LOOK_EVERY: Duration = Duration::from_millis(25);
const MAX_FINISH: Duration = Duration::from_secs(5);
/// How often a group is decided anew because another process changed the product.
const MAX_TRIES: u32 = 16;
/// Pause before the second try, doubled for each one after up to the longest; a random part of it is waited.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

/// Serves products.
#[derive(Clone)]
pub(super) struct Groups {
    shared: Arc<Shared>,
}

struct Shared {
    partitions: Arc<Partitions>,
    categories: Arc<Categories>,
    memory: Arc<Memory>,
    queues: Queues,
}

type Replies = Vec<Result<Reply, Error>>;

impl Groups {
    /// Serves products until the drain, and what waits then.
    pub(super) fn start(
        partitions: Arc<Partitions>,
        categories: Arc<Categories>,
        memory: Arc<Memory>,
        tasks: &Tasks,
    ) -> Groups {
        let queues = Queues::new();
        let shared = Arc::new(Shared { partitions, categories, memory, queues });
        let (following, token) = (Arc::clone(&shared), tasks.token());
        tasks.spawn("catalog.parts", async move {
            let mut looks = tokio::time::interval(LOOK_EVERY);
            looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            while token.run_until_cancelled(looks.tick()).await.is_some() {
                following.begin_overdue();
            }
            if tokio::time::timeout(MAX_FINISH, following.finish()).await.is_err() {
                tracing::warn!("parts of sales are left to the sweeper");
            }
        });
        Groups { shared }
    }

    /// Has one operation done with the next group of its product. It may be done although this future is dropped.
    pub(super) async fn ask(
        &self,
        product_id: Uuid,
        operation: Operation,
        now_ms: i64,
    ) -> Result<Reply, Error> {
        let (answer, answered) = oneshot::channel();
        let task = Task { operation, asked: asked(now_ms), waiter: Waiter::Caller(answer) };
        if self.shared.queues.put(product_id, task)? {
            tokio::spawn(Server::new(&self.shared, product_id).run());
        }
        // Only a process that ends drops what waits.
        let ended = |_| CqlError::Unknown("the process ends".to_owned());
        answered.await.map_err(ended)?
    }

    /// Has one operation done within about a second, with a group of its product or by itself, if this process lives
    /// on; `false` if too much waits, or the process ends: then nothing is done.
    pub(super) fn leave(&self, product_id: Uuid, operation: Operation, now_ms: i64) -> bool {
        self.shared.queues.put_later(product_id, operation, asked(now_ms))
    }
}

/// What an operation carries along.
pub(super) fn asked(now_ms: i64) -> Asked {
    let trace = CallContext::current().map(|context| context.trace.to_string());
    Asked { now_ms, trace_parent: trace.unwrap_or_default() }
}

impl Shared {
    /// Serves products whose parts have waited for long enough.
    fn begin_overdue(self: &Arc<Self>) {
        for product_id in self.queues.overdue() {
            tokio::spawn(Server::new(self, product_id).run());
        }
    }

    /// Has done at once what waits without anybody who waits for it.
    async fn finish(self: &Arc<Self>) {
        self.queues.close();
        let followed = self.queues.all_followed();
        let begin = async {
            loop {
                self.begin_overdue();
                tokio::time::sleep(LAST_LOOK_EVERY).await;
            }
        };
        tokio::select! {
            () = followed => {}
            () = begin => {}
        }
    }

    /// Answers a task. Where nobody waits and it may not have been done, it waits once more.
    fn answer(&self, product_id: Uuid, task: Task, reply: Result<Reply, Error>) {
        match (task.waiter, reply) {
            // Its caller may have gone.
            (Waiter::Caller(answer), reply) => drop(answer.send(reply)),
            (Waiter::Nobody(_), Ok(_)) => {}
            (waiter, Err(error @ (Error::Cql(_) | Error::Contended(_)))) => {
                tracing::debug!(%product_id, %error, "a part of a sale is tried again");
                let Task { operation, asked, .. } = task;
                self.queues.put_again(product_id, Task { operation, asked, waiter });
            }
            (Waiter::Nobody(_), Err(error)) => {
                tracing::warn!(%product_id, %error, "a part of a sale does not follow");
            }
        }
    }
}

/// What a group is decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Memory,
    Read,
    SettledRead,
}

impl Source {
    fn is_settled(self) -> bool {
        self == Source::SettledRead
    }
}

/// What came of a group.
enum Outcome {
    /// It is done.
    Done(Replies),
    /// Nothing was written, and so memory not checked, or not enough is remembered: what is decided is to be read.
    Unchecked,
    /// The product was changed in between, or may have been: what is read then shows what was done, and deciding again
    /// gives every operation that was done its answer.
    Changed { by_others: bool },
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
            self.shared.queues.forget(self.product_id);
            self.shared.memory.forget(self.product_id, false);
        }
    }
}

impl Server {
    fn new(shared: &Arc<Shared>, product_id: Uuid) -> Server {
        Server { shared: Arc::clone(shared), product_id, has_ended: false }
    }

    async fn run(mut self) {
        while let Some(group) = self.shared.queues.next_group(self.product_id) {
            metrics::histogram!("souk_catalog_stock_group_operations").record(group.len() as f64);
            let replies = self.settle(&group).await;
            for (task, reply) in group.into_iter().zip(replies) {
                self.shared.answer(self.product_id, task, reply);
            }
        }
        self.has_ended = true;
    }

    async fn settle(&self, group: &[Task]) -> Replies {
        let mut pause = FIRST_PAUSE;
        let mut source = Source::Memory;
        for _ in 0..MAX_TRIES {
            match self.attempt(group, source).await {
                Ok(Outcome::Done(replies)) => return replies,
                Ok(Outcome::Unchecked) => source = Source::Read,
                Ok(Outcome::Changed { by_others }) => {
                    self.shared.memory.forget(self.product_id, by_others);
                    source = Source::SettledRead;
                    tokio::time::sleep(pause.mul_f64(rand::random::<f64>())).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => {
                    self.shared.memory.forget(self.product_id, false);
                    return group.iter().map(|_| Err(again(&error))).collect();
                }
            }
        }
        group.iter().map(|_| Err(Error::Contended(self.product_id))).collect()
    }

    /// Has the product as it is or was, decides and writes.
    async fn attempt(&self, group: &[Task], source: Source) -> Result<Outcome, Error> {
        let Some(loaded) = self.load(group, source).await? else { return Ok(Outcome::Unchecked) };
        let revision = loaded.head.map(|head| head.revision);
        let updates = group.iter().any(|task| matches!(task.operation, Operation::Update(_)));
        let mut facts = None;
        if updates && revision.is_some() {
            facts = self.facts_at(revision, source).await?;
            if facts.is_none() {
                return Ok(Outcome::Changed { by_others: true });
            }
        }
        let mut draft = Draft::new(self.product_id, loaded, facts);
        let decide = |task: &Task| draft.decide(&task.operation, &task.asked);
        let replies: Replies = group.iter().map(decide).collect();
        if draft.is_changed() {
            return self.write(draft, replies, source).await;
        }
        Ok(match source {
            Source::Memory => Outcome::Unchecked,
            Source::Read | Source::SettledRead => Outcome::Done(replies),
        })
    }

    /// The product with the rows of a group; `None` if not all of them are remembered.
    async fn load(&self, group: &[Task], source: Source) -> Result<Option<Loaded>, Error> {
        let Shared { partitions, memory, .. } = self.shared.as_ref();
        let operations = group.iter().map(|task| &task.operation);
        if source == Source::Memory {
            return Ok(memory.recall(self.product_id, operations, Instant::now()));
        }
        let entries: BTreeSet<_> = operations.map(Operation::entry).collect();
        let loaded = partitions.load(self.product_id, &entries, source.is_settled()).await?;
        memory.read(self.product_id, &loaded);
        Ok(Some(loaded))
    }

    async fn write(
        &self,
        draft: Draft,
        replies: Replies,
        source: Source,
    ) -> Result<Outcome, Error> {
        let Shared { partitions, categories, memory, .. } = self.shared.as_ref();
        let mut facts = None;
        if draft.needs_facts() {
            facts = self.facts_at(draft.based_on(), source).await?;
            if facts.is_none() {
                return Ok(Outcome::Changed { by_others: true });
            }
        }
        let mut names = HashMap::new();
        for id in draft.categories_told(facts.as_ref()) {
            names.insert(id, categories.name(id).await?);
        }
        let changes = draft.into_changes(facts.as_ref(), &names);
        let written = Written::of(&changes);
        match partitions.write(self.product_id, changes).await {
            Ok(true) => {
                memory.wrote(self.product_id, written);
                Ok(Outcome::Done(replies))
            }
            Ok(false) => Ok(Outcome::Changed { by_others: true }),
            Err(CqlError::Unknown(why)) => {
                tracing::debug!(product_id = %self.product_id, why, "a stock write is looked for");
                Ok(Outcome::Changed { by_others: false })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The product as it was at this revision; `None` if it has changed since.
    async fn facts_at(
        &self,
        revision: Option<i64>,
        source: Source,
    ) -> Result<Option<Facts>, Error> {
        let facts = self.shared.partitions.facts(self.product_id, source.is_settled()).await?;
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
