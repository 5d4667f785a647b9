//! What the service does with a payment: the store, the provider and the domain's rules together.
//!
//! All work on one payment goes one after the other ([`crate::keyed_lock`]; between processes, the
//! payment's version). A call to the provider carries a key that follows from our own ids, so that
//! it can be repeated when its answer is lost. What a repeat would find forgotten, it looks up.

mod authorize;
mod cancel;
mod create;
mod housekeeping;
mod refund;

use std::future::Future;
use std::sync::Arc;

use souk_mesh::clock::SharedClock;
use souk_mesh::context::CallContext;
use souk_mesh::tasks::Tasks;
use tokio::sync::oneshot;
use tracing::Instrument;
use uuid::Uuid;

use crate::domain::{Change, Payment, Snapshot};
use crate::error::Error;
use crate::keyed_lock::{Guard, KeyedLocks};
use crate::provider::Provider;
use crate::store::{Found, PaymentStore};
use crate::wire;

pub use cancel::Cancel;
pub use housekeeping::spawn_housekeeping;
pub use refund::AskedRefund;

/// Payments; clones share everything.
#[derive(Clone)]
pub struct Payments {
    store: Arc<dyn PaymentStore>,
    provider: Arc<dyn Provider>,
    clock: SharedClock,
    tasks: Tasks,
    locks: Arc<KeyedLocks>,
}

/// A call to do something: which payment, under which request, and until when it may begin.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// The payment.
    pub payment_id: Uuid,
    /// A digest of the caller's scope, the method and the request id.
    pub request_key: Uuid,
    /// Unix milliseconds.
    pub not_after_ms: Option<i64>,
}

impl Payments {
    /// Payments on `store`, by `provider`.
    pub fn new(
        store: Arc<dyn PaymentStore>,
        provider: Arc<dyn Provider>,
        clock: SharedClock,
        tasks: Tasks,
    ) -> Payments {
        Payments { store, provider, clock, tasks, locks: Arc::default() }
    }

    /// The payment of that id.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for a tombstone.
    pub async fn get(&self, payment_id: Uuid) -> Result<Payment, Error> {
        match self.store.find(payment_id, None).await?.0 {
            Found::Payment(payment) => Ok(payment),
            Found::Tombstone | Found::Nothing => Err(Error::NotFound(payment_id)),
        }
    }

    /// Where payments are kept, for reading.
    pub fn store(&self) -> &dyn PaymentStore {
        &*self.store
    }

    /// Runs work on a payment to its end, also when the caller stops waiting: what was asked of the
    /// provider is always written down.
    async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let (sender, answer) = oneshot::channel();
        let context = CallContext::current();
        let work = Box::pin(async move {
            // Nobody listening is no reason to stop.
            let _ = sender.send(work.await);
        });
        let task = async move {
            match context {
                Some(context) => context.scope(work).await,
                None => work.await,
            }
        };
        self.tasks.spawn("payment-call", task.in_current_span());
        answer.await.unwrap_or(Err(Error::Stopping))
    }

    fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    async fn lock(&self, payment_id: Uuid) -> Result<Guard, Error> {
        self.locks.acquire(payment_id).await
    }

    /// The payment that a do works on.
    async fn load(&self, call: Call) -> Result<Payment, Error> {
        let (found, used_for) = self.store.find(call.payment_id, Some(call.request_key)).await?;
        if used_for.is_some_and(|used_for| used_for != call.payment_id) {
            return Err(Error::RequestIdReused);
        }
        match found {
            Found::Payment(payment) => Ok(payment),
            Found::Tombstone => Err(Error::Undone(call.payment_id)),
            Found::Nothing => Err(Error::NotFound(call.payment_id)),
        }
    }

    fn check_in_time(&self, call: Call) -> Result<(), Error> {
        match call.not_after_ms {
            Some(limit) if self.now_ms() > limit => Err(Error::TooLate),
            Some(_) | None => Ok(()),
        }
    }

    /// Saves a change with its events, and gives the payment after it.
    async fn save(&self, change: Change, request_key: Option<Uuid>) -> Result<Payment, Error> {
        let payment = change.payment.clone();
        let events = wire::events(&change);
        self.store.save(change, request_key, events).await?;
        Ok(payment)
    }

    /// Brings a payment up to what the provider says, durably.
    async fn learn(
        &self,
        payment: Payment,
        seen: &Snapshot,
        request_key: Option<Uuid>,
    ) -> Result<Payment, Error> {
        match payment.learn(seen, self.now_ms())? {
            Some(change) => self.save(change, request_key).await,
            None => Ok(payment),
        }
    }
}
