//! Signs of life of a long attempt, and how far it has come.

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Serialize, de::DeserializeOwned};

use super::{StepContext, StepError};
use crate::engine::limits::MAX_PROGRESS_BYTES;

/// What all attempts of one call on this node share.
pub(crate) struct Heartbeat {
    beat: Mutex<Beat>,
}

struct Beat {
    at_ms: i64,
    progress: Option<Bytes>,
    is_recorded: bool,
}

impl Heartbeat {
    /// `progress` is what is on record.
    pub fn new(at_ms: i64, progress: Option<Bytes>) -> Heartbeat {
        Heartbeat { beat: Mutex::new(Beat { at_ms, progress, is_recorded: true }) }
    }

    /// One that knows what this one knows; what it is told does not come here.
    pub fn unheard(&self, at_ms: i64) -> Heartbeat {
        Heartbeat::new(at_ms, self.progress())
    }

    /// An attempt has begun, or tells something.
    pub fn beat(&self, at_ms: i64, progress: Option<Bytes>) {
        let mut beat = self.beat.lock();
        beat.at_ms = at_ms;
        if progress.is_some() {
            beat.progress = progress;
            beat.is_recorded = false;
        }
    }

    /// The time of the last sign of life, in unix milliseconds.
    pub fn at_ms(&self) -> i64 {
        self.beat.lock().at_ms
    }

    /// The last sign of life cannot be in the future.
    pub fn not_after(&self, now_ms: i64) {
        let mut beat = self.beat.lock();
        beat.at_ms = beat.at_ms.min(now_ms);
    }

    fn progress(&self) -> Option<Bytes> {
        self.beat.lock().progress.clone()
    }

    /// How far the attempt has come, if that is not on record yet; the caller records it.
    pub fn take_unrecorded(&self) -> Option<Bytes> {
        let mut beat = self.beat.lock();
        if std::mem::replace(&mut beat.is_recorded, true) {
            return None;
        }
        beat.progress.clone()
    }
}

impl StepContext {
    /// A sign of life, and how far the attempt has come: an attempt that gives none for longer than
    /// [`Policy::heartbeat`](super::Policy::heartbeat) is given up, and the next one finds the progress.
    ///
    /// # Errors
    /// Permanent, if the progress cannot be written as JSON or is larger than [`MAX_PROGRESS_BYTES`].
    pub fn heartbeat<T: Serialize>(&self, progress: &T) -> Result<(), StepError> {
        let json = serde_json::to_vec(progress)
            .map_err(|error| StepError::permanent("PROGRESS_NOT_JSON", error.to_string()))?;
        if json.len() > MAX_PROGRESS_BYTES {
            let message = format!("{} bytes, at most {MAX_PROGRESS_BYTES} are kept", json.len());
            return Err(StepError::permanent("PROGRESS_TOO_LARGE", message));
        }
        self.heartbeat.beat(self.core.now_ms(), Some(Bytes::from(json)));
        Ok(())
    }

    /// How far the step has come, as the last heartbeat says; that of an earlier attempt until this one has given its
    /// first. `None` at the very beginning, or if it does not fit `T`. After a crash it may be up to
    /// [`PROGRESS_EVERY_MS`](crate::engine::limits::PROGRESS_EVERY_MS) older than the last one.
    pub fn progress<T: DeserializeOwned>(&self) -> Option<T> {
        self.heartbeat.progress().and_then(|json| serde_json::from_slice(&json).ok())
    }
}
