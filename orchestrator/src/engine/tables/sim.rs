//! The tables on a simulated disk. See [`crate::engine::log::sim`].

mod content;

use async_trait::async_trait;

pub(crate) use self::content::{TableContent, TableWrite};

use super::{DrainStep, Error, Expired, Listed, Tables};
use crate::engine::filter::Filter;
use crate::engine::ids::{LogId, RunId};
use crate::engine::log::sim::{Disk, Fault, Operation, TABLES};
use crate::engine::partition::PartitionSet;
use crate::engine::row::{Cursor, HistoryChunk, RunRow, TimerRow};

/// The tables form of a [`Disk`].
pub struct SimTables {
    disk: Disk,
}

impl SimTables {
    /// The tables on a disk.
    pub fn new(disk: &Disk) -> Self {
        Self { disk: disk.clone() }
    }

    async fn look<T>(&self, read: impl FnOnce(&TableContent) -> T) -> T {
        self.disk.alive().await;
        self.disk.look(TABLES, read)
    }
}

#[async_trait]
impl Tables for SimTables {
    async fn cursor(&self) -> Result<Option<Cursor>, Error> {
        Ok(self.look(TableContent::cursor).await)
    }

    async fn cursor_of(&self, log: LogId) -> Result<Option<Cursor>, Error> {
        Ok(self.look(|tables| tables.cursor_of(log)).await)
    }

    async fn apply(&self, step: DrainStep) -> Result<(), Error> {
        let fault = self.disk.begin(Operation::Apply).await;
        let written = self.disk.write(TABLES, TableWrite::Step(step), fault.as_ref()).await;
        if fault == Some(Fault::CrashAfter) {
            self.disk.die().await;
        }
        written.map_err(|refusal| Error::Store(refusal.to_string()))
    }

    async fn sync(&self) -> Result<(), Error> {
        let fault = self.disk.begin(Operation::Sync).await;
        if fault == Some(Fault::CrashDuring) {
            self.disk.die().await;
        }
        let synced = self.disk.sync(TABLES, fault.as_ref()).await;
        synced.map_err(|refusal| Error::Store(refusal.to_string()))
    }

    async fn run_by_workflow_id(&self, workflow_id: &str) -> Result<Option<RunRow>, Error> {
        Ok(self.look(|tables| tables.run_by_workflow_id(workflow_id)).await)
    }

    async fn run(&self, run_id: RunId) -> Result<Option<RunRow>, Error> {
        Ok(self.look(|tables| tables.run(run_id)).await)
    }

    async fn history(
        &self,
        run_id: RunId,
        from_sequence: u64,
        limit_bytes: usize,
    ) -> Result<Vec<HistoryChunk>, Error> {
        Ok(self.look(|tables| tables.history(run_id, from_sequence, limit_bytes)).await)
    }

    async fn timers(
        &self,
        partitions: &PartitionSet,
        until_ms: i64,
        after: Option<&TimerRow>,
        limit: usize,
    ) -> Result<Vec<TimerRow>, Error> {
        Ok(self.look(|tables| tables.timers(partitions, until_ms, after, limit)).await)
    }

    async fn open_runs(
        &self,
        partitions: &PartitionSet,
        only_active: bool,
        after: Option<RunId>,
        limit: usize,
    ) -> Result<Vec<RunRow>, Error> {
        Ok(self.look(|tables| tables.open_runs(partitions, only_active, after, limit)).await)
    }

    async fn list(
        &self,
        filter: &Filter,
        before: Option<RunId>,
        limit: usize,
    ) -> Result<Listed, Error> {
        Ok(self.look(|tables| tables.list(filter, before, limit)).await)
    }

    async fn expire(
        &self,
        closed_before_ms: i64,
        after: Option<RunId>,
        limit: usize,
    ) -> Result<Expired, Error> {
        let fault = self.disk.begin(Operation::Expire).await;
        let (ended, next) =
            self.look(|tables| tables.expiring(closed_before_ms, after, limit)).await;
        let deleted = ended.len();
        let written = self.disk.write(TABLES, TableWrite::Expire(ended), fault.as_ref()).await;
        if fault == Some(Fault::CrashAfter) {
            self.disk.die().await;
        }
        written.map_err(|refusal| Error::Store(refusal.to_string()))?;
        Ok(Expired { deleted, next })
    }
}
