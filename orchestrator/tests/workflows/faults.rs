//! What goes wrong between a step and its participant.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use souk_mesh::error;
use tonic::{Code, Status};

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The participant says no, and always will.
    Refuse,
    /// The call does not arrive.
    Away,
    /// The work is done, the reply is lost.
    LoseReply,
    /// The work is done, and nobody ever answers.
    Hang,
    /// The call arrives twice.
    Twice,
    /// The caller is told that nobody is there; the call arrives this much later all the same, in milliseconds.
    Late(u64),
}

/// A fault, and how many calls it strikes; without a number, all.
#[derive(Clone, Copy, Debug)]
pub struct Strike {
    pub fault: Fault,
    pub calls: Option<u32>,
}

/// Strikes by the name of step or undo.
#[derive(Default)]
pub struct Faults {
    strikes: Mutex<BTreeMap<String, Strike>>,
}

impl Faults {
    /// Every call of `name` is struck.
    pub fn always(&self, name: &str, fault: Fault) {
        self.strikes.lock().insert(name.to_owned(), Strike { fault, calls: None });
    }

    /// The next call of `name` is struck.
    pub fn once(&self, name: &str, fault: Fault) {
        self.strikes.lock().insert(name.to_owned(), Strike { fault, calls: Some(1) });
    }

    pub fn repair(&self, name: &str) {
        self.strikes.lock().remove(name);
    }

    fn next(&self, name: &str) -> Option<Fault> {
        let mut strikes = self.strikes.lock();
        let strike = strikes.get_mut(name)?;
        if let Some(calls) = &mut strike.calls {
            *calls = calls.checked_sub(1)?;
        }
        Some(strike.fault)
    }

    /// Does `work` as the strikes have it.
    pub async fn meet<T: Send + 'static>(
        &self,
        name: &str,
        work: impl Fn() -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        // Others get their turn, as they do while a real call is under way.
        tokio::task::yield_now().await;
        let lost = || Err(Status::unavailable("told to be away"));
        match self.next(name) {
            None => work(),
            Some(Fault::Refuse) => {
                Err(error::status(Code::FailedPrecondition, "BROKEN", "told to refuse"))
            }
            Some(Fault::Away) => lost(),
            Some(Fault::LoseReply) => {
                let _ = work();
                lost()
            }
            Some(Fault::Hang) => {
                let _ = work();
                std::future::pending().await
            }
            Some(Fault::Twice) => {
                let _ = work();
                work()
            }
            Some(Fault::Late(ms)) => {
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    let _ = work();
                });
                lost()
            }
        }
    }
}
