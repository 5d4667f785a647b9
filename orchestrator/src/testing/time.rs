//! Time that skips: tokio's paused time, which jumps to the next timer whenever every task waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};

/// For how long, in real time, [`TestEnvironment::hold_time`](super::TestEnvironment::hold_time) holds time at most: a test
/// that waits for what needs time fails instead of hanging.
pub const HELD_AT_MOST: Duration = Duration::from_secs(10);

/// Makes time skip from here on, in the runtime of the caller.
///
/// # Panics
/// Outside a current-thread runtime: what waits on other threads cannot be known.
pub(super) fn skip_from_here_on() {
    let flavor = Handle::current().runtime_flavor();
    assert!(
        flavor == RuntimeFlavor::CurrentThread,
        "time skips in a current-thread runtime only: use #[tokio::test] without a flavor"
    );
    if !is_paused() {
        tokio::time::pause();
    }
}

/// Whether tokio's time stands still while the machine's goes on.
fn is_paused() -> bool {
    let (tokio_before, before) = (tokio::time::Instant::now(), Instant::now());
    while before.elapsed() < Duration::from_micros(1) {
        std::hint::spin_loop();
    }
    tokio::time::Instant::now() == tokio_before
}

/// Time stands still until this is dropped.
#[must_use = "time goes on when this is dropped"]
pub struct HeldTime {
    release: Option<Sender<()>>,
    is_overdue: Arc<AtomicBool>,
}

impl HeldTime {
    pub(super) fn new() -> HeldTime {
        let (release, released) = channel::<()>();
        let is_overdue = Arc::new(AtomicBool::new(false));
        let overdue = is_overdue.clone();
        // Paused time does not skip while a blocking task runs.
        tokio::task::spawn_blocking(move || {
            if released.recv_timeout(HELD_AT_MOST) == Err(RecvTimeoutError::Timeout) {
                overdue.store(true, Ordering::Relaxed);
            }
        });
        HeldTime { release: Some(release), is_overdue }
    }
}

impl Drop for HeldTime {
    fn drop(&mut self) {
        self.release.take();
        let is_overdue = self.is_overdue.load(Ordering::Relaxed);
        assert!(
            !is_overdue || std::thread::panicking(),
            "time was held for longer than {HELD_AT_MOST:?}: something waited for what needs time"
        );
    }
}
