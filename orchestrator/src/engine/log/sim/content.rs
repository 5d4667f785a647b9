//! What the simulated log holds.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::engine::ids::{LogId, Slot};
use crate::engine::log::{Appended, Error, Written};

/// One write to the log.
#[derive(Clone)]
pub(crate) enum LogWrite {
    Slot { log: LogId, slot: Slot, bytes: Bytes },
    Trim { log: LogId, before: Slot },
}

/// All logs.
#[derive(Clone, Default)]
pub(crate) struct LogContent {
    slots: BTreeMap<(LogId, Slot), Bytes>,
    trimmed: BTreeMap<LogId, Slot>,
}

impl LogContent {
    pub(super) fn apply(&mut self, write: &LogWrite) {
        match write {
            LogWrite::Slot { log, slot, bytes } => {
                self.slots.entry((*log, *slot)).or_insert_with(|| bytes.clone());
            }
            LogWrite::Trim { log, before } => {
                self.slots.retain(|(of, slot), _| of != log || slot >= before);
                let trimmed = self.trimmed.entry(*log).or_default();
                *trimmed = (*trimmed).max(*before);
            }
        }
    }

    fn is_trimmed(&self, log: LogId, slot: Slot) -> bool {
        self.trimmed.get(&log).is_some_and(|before| slot < *before)
    }

    /// What an append of `bytes` answers without writing anything; `None` if the slot is empty, or holds these bytes
    /// and only the sync is missing.
    pub(super) fn held(&self, log: LogId, slot: Slot, bytes: &Bytes) -> Option<Appended> {
        let holds_other = self.slots.get(&(log, slot)).is_some_and(|held| held != bytes);
        (self.is_trimmed(log, slot) || holds_other).then_some(Appended::Lost)
    }

    pub(super) fn read(
        &self,
        log: LogId,
        from: Slot,
        limit_bytes: usize,
    ) -> Result<Vec<Written>, Error> {
        if self.is_trimmed(log, from) {
            return Err(Error::Damaged { log, slot: from, what: "it was trimmed".to_owned() });
        }
        let mut slots = Vec::new();
        let mut gathered = 0;
        let mut expected = from;
        for ((_, slot), bytes) in self.slots.range((log, from)..=(log, Slot(u64::MAX))) {
            if *slot != expected || (gathered >= limit_bytes && !slots.is_empty()) {
                break;
            }
            gathered += bytes.len();
            slots.push(Written { slot: *slot, bytes: bytes.clone() });
            expected = expected.next();
        }
        Ok(slots)
    }
}
