//! Tells watchers of this process that an order has changed. Costs a look at a counter when nobody
//! watches; what is missed here (another process's change) the watchers find by polling.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;
use uuid::Uuid;

/// Most watch streams of one process; more are refused.
pub const MAX_WATCHERS: usize = 10_000;

#[derive(Default)]
struct Inner {
    watchers: AtomicUsize,
    orders: Mutex<HashMap<Uuid, watch::Sender<()>>>,
}

/// The orders that somebody watches. Clones share them.
#[derive(Clone, Default)]
pub struct Hub(Arc<Inner>);

/// One watcher; gone when dropped.
pub struct Watcher {
    hub: Hub,
    order_id: Uuid,
    changed: Option<watch::Receiver<()>>,
}

impl Hub {
    /// Starts watching an order; `None` beyond [`MAX_WATCHERS`].
    #[must_use]
    pub fn watch(&self, order_id: Uuid) -> Option<Watcher> {
        if self.0.watchers.fetch_add(1, Ordering::SeqCst) >= MAX_WATCHERS {
            self.0.watchers.fetch_sub(1, Ordering::SeqCst);
            return None;
        }
        let mut orders = self.0.orders.lock();
        let sender = orders.entry(order_id).or_insert_with(|| watch::channel(()).0);
        let changed = Some(sender.subscribe());
        drop(orders);
        Some(Watcher { hub: self.clone(), order_id, changed })
    }

    /// Says that an order has changed; call it after the change is durable.
    pub fn changed(&self, order_id: Uuid) {
        if self.0.watchers.load(Ordering::SeqCst) == 0 {
            return;
        }
        if let Some(sender) = self.0.orders.lock().get(&order_id) {
            sender.send_replace(());
        }
    }
}

impl Watcher {
    /// Returns after the next change since the last call.
    pub async fn changed(&mut self) {
        let heard = match &mut self.changed {
            Some(changed) => changed.changed().await.is_ok(),
            None => false,
        };
        if !heard {
            // Not reachable while this watcher keeps the sender alive; never spin.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut orders = self.hub.0.orders.lock();
        self.changed = None;
        if orders.get(&self.order_id).is_some_and(|sender| sender.receiver_count() == 0) {
            orders.remove(&self.order_id);
        }
        self.hub.0.watchers.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_watcher_hears_of_its_order_and_leaves_nothing_behind() {
        let hub = Hub::default();
        let order_id = Uuid::from_u128(1);
        let mut watcher = hub.watch(order_id).unwrap();
        hub.changed(Uuid::from_u128(2));
        hub.changed(order_id);
        watcher.changed().await;
        drop(watcher);
        assert!(hub.0.orders.lock().is_empty());
        assert_eq!(hub.0.watchers.load(Ordering::SeqCst), 0);
    }
}
