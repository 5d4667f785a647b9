//! The log on a simulated disk: it loses what was not synced when it crashes, and fails where a test wants it to.
//!
//! ```
//! # use std::sync::Arc;
//! # use souk_orchestrator::engine::ids::{LogId, Slot};
//! # use souk_orchestrator::engine::log::sim::{Disk, Fault, Operation, SimLog, Unsynced};
//! # use souk_orchestrator::engine::log::{Appended, Log};
//! # use souk_orchestrator::engine::seams::TokioClock;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let disk = Disk::new(7, Arc::new(TokioClock::starting_at(0)));
//! disk.inject(Operation::Append, 1, Fault::CrashBefore);
//! let log = SimLog::new(&disk);
//! assert_eq!(log.append(LogId(0), Slot(0), "first".into()).await, Appended::Applied);
//! // This one never answers: the process is dead.
//! tokio::select! {
//!     _ = log.append(LogId(0), Slot(1), "second".into()) => unreachable!(),
//!     () = disk.crashed() => {}
//! }
//! let log = SimLog::new(&disk.crash(Unsynced::Lost));
//! assert_eq!(log.read(LogId(0), Slot(0), 1024).await.unwrap().len(), 1);
//! # }
//! ```

mod content;
mod disk;

use async_trait::async_trait;
use bytes::Bytes;

pub(crate) use self::disk::TABLES;

use self::content::LogWrite;
use self::disk::LOG;
pub use self::disk::{Disk, Fault, Operation, Unsynced};

use super::{Appended, Error, Log, Written};
use crate::engine::ids::{LogId, Slot};
use crate::engine::limits::{MAX_APPEND_TRIES, MAX_DISTANT_APPEND_TRIES};

/// The log form of a [`Disk`].
pub struct SimLog {
    disk: Disk,
}

impl SimLog {
    /// The log on a disk.
    pub fn new(disk: &Disk) -> Self {
        Self { disk: disk.clone() }
    }
}

#[async_trait]
impl Log for SimLog {
    async fn append(&self, log: LogId, slot: Slot, bytes: Bytes) -> Appended {
        let fault = self.disk.begin(Operation::Append).await;
        match &fault {
            Some(Fault::UnknownNotApplied) => return Appended::Unknown("injected".to_owned()),
            Some(Fault::Fenced(other)) => {
                let other = LogWrite::Slot { log, slot, bytes: other.clone() };
                if self.disk.write(LOG, other, None).await.is_ok() {
                    let _ = self.disk.sync(LOG, None).await;
                }
            }
            _ => {}
        }
        if let Some(answer) = self.disk.look(LOG, |content| content.held(log, slot, &bytes)) {
            return answer;
        }
        let written =
            self.disk.write(LOG, LogWrite::Slot { log, slot, bytes }, fault.as_ref()).await;
        let outcome = match written {
            Ok(()) => self.disk.sync(LOG, fault.as_ref()).await,
            Err(refusal) => Err(refusal),
        };
        match (outcome, fault) {
            (Err(refusal), _) => Appended::Unknown(refusal.to_string()),
            (Ok(()), Some(Fault::UnknownApplied)) => Appended::Unknown("injected".to_owned()),
            (Ok(()), _) => Appended::Applied,
        }
    }

    fn slots_in_flight(&self) -> usize {
        self.disk.slots_in_flight()
    }

    /// A log with several slots in flight stands for one that is a journey away.
    fn append_tries(&self) -> u32 {
        if self.slots_in_flight() > 1 { MAX_DISTANT_APPEND_TRIES } else { MAX_APPEND_TRIES }
    }

    async fn read(
        &self,
        log: LogId,
        from: Slot,
        limit_bytes: usize,
    ) -> Result<Vec<Written>, Error> {
        self.disk.alive().await;
        self.disk.look(LOG, |content| content.read(log, from, limit_bytes))
    }

    async fn trim(&self, log: LogId, before: Slot) -> Result<(), Error> {
        let fault = self.disk.begin(Operation::Trim).await;
        let trimmed = self.disk.write(LOG, LogWrite::Trim { log, before }, fault.as_ref()).await;
        trimmed.map_err(|refusal| Error::Store(refusal.to_string()))
    }
}
