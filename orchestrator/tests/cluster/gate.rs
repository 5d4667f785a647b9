//! The process of one node: it can be killed, and it can be frozen and go on later as if nothing had happened.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use souk_orchestrator::engine::seams::Spawner;
use tokio::task::AbortHandle;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Running,
    Frozen,
    Dead,
}

/// All that runs in one process.
pub struct Gate {
    state: Mutex<State>,
    waiting: Mutex<Vec<Waker>>,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Gate {
    pub fn new() -> Arc<Gate> {
        Arc::new(Gate {
            state: Mutex::new(State::Running),
            waiting: Mutex::default(),
            tasks: Mutex::default(),
        })
    }

    /// Nothing of it goes on, ever.
    pub fn kill(&self) {
        *self.state.lock() = State::Dead;
        self.tasks.lock().drain(..).for_each(|task| task.abort());
    }

    pub fn is_dead(&self) -> bool {
        *self.state.lock() == State::Dead
    }

    /// Nothing of it goes on until [`Gate::thaw`].
    pub fn freeze(&self) {
        *self.state.lock() = State::Frozen;
    }

    pub fn thaw(&self) {
        *self.state.lock() = State::Running;
        self.waiting.lock().drain(..).for_each(Waker::wake);
    }

    /// Does something within the process.
    pub fn within<F: Future + Send>(
        self: &Arc<Self>,
        work: F,
    ) -> impl Future<Output = F::Output> + Send + use<F> {
        Within { gate: self.clone(), work: Box::pin(work) }
    }
}

struct Within<F> {
    gate: Arc<Gate>,
    work: Pin<Box<F>>,
}

impl<F: Future> Future for Within<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let state = *self.gate.state.lock();
        match state {
            State::Running => self.work.as_mut().poll(context),
            State::Frozen => {
                self.gate.waiting.lock().push(context.waker().clone());
                Poll::Pending
            }
            State::Dead => Poll::Pending,
        }
    }
}

/// What an engine spawns runs within its process.
pub struct Tasks(pub Arc<Gate>);

impl Spawner for Tasks {
    fn spawn(&self, _: &'static str, work: BoxFuture<'static, ()>) {
        if self.0.is_dead() {
            return;
        }
        let task = tokio::spawn(self.0.within(work)).abort_handle();
        let mut tasks = self.0.tasks.lock();
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
    }

    fn spawn_blocking(&self, name: &'static str, work: BoxFuture<'static, ()>) {
        self.spawn(name, work);
    }
}
