//! Tasks that die together.

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::task::AbortHandle;

use crate::engine::seams::Spawner;

/// All that runs in one life of the engine's process.
#[derive(Default)]
pub(super) struct Process {
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Process {
    /// Ends everything at once, wherever it is.
    pub fn kill(&self) {
        self.tasks.lock().drain(..).for_each(|task| task.abort());
    }
}

impl Spawner for Process {
    fn spawn(&self, _: &'static str, work: BoxFuture<'static, ()>) {
        let mut tasks = self.tasks.lock();
        tasks.retain(|task| !task.is_finished());
        tasks.push(tokio::spawn(work).abort_handle());
    }

    fn spawn_blocking(&self, name: &'static str, work: BoxFuture<'static, ()>) {
        self.spawn(name, work);
    }
}
