//! Signals and updates into runs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;

use super::Engine;
use crate::engine::cell::Published;
use crate::engine::core::{check_payload, check_size, closed, closed_error};
use crate::engine::cx::{Acceptor, Refusal};
use crate::engine::error::Error;
use crate::engine::event::{Body, MessageReceived};
use crate::engine::failure::Failure;
use crate::engine::limits::{MAX_ID_BYTES, MAX_SIGNALS, MAX_UNREAD_BYTES, MAX_UPDATES};
use crate::engine::run::{Phase, Run};

impl Engine {
    /// Tells an open run something. Durable when it returns. A signal whose id the run knows changes nothing; returns
    /// whether this one was new to it.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Closed`]; [`Error::InvalidInput`] if the payload is not JSON; [`Error::TooLarge`];
    /// [`Error::Overloaded`]: try again.
    pub async fn signal(
        &self,
        workflow_id: &str,
        name: &str,
        signal_id: &str,
        payload: Bytes,
    ) -> Result<bool, Error> {
        check_ids(name, signal_id)?;
        check_payload(name, &payload)?;
        self.core.admit()?;
        self.in_open_turn(|| self.signal_turn(workflow_id, name, signal_id, payload.clone())).await
    }

    async fn signal_turn(
        &self,
        workflow_id: &str,
        name: &str,
        signal_id: &str,
        payload: Bytes,
    ) -> Result<bool, Error> {
        let held = self.core.hold(workflow_id).await?;
        let mut is_new = true;
        let sequence = self.core.deliver(&held, |run| {
            if run.knows_signal(signal_id) {
                is_new = false;
                return Ok(None);
            }
            if let Some(error) = closed_error(&held, run) {
                return Err(error);
            }
            let (unread, unread_bytes) = run.unread_signals();
            let count = unread.max(run.signals_taken()) + 1;
            check_size("the signals of one run", count, MAX_SIGNALS)?;
            let bytes = unread_bytes + payload.len();
            check_size("the bytes of signals that nobody has taken", bytes, MAX_UNREAD_BYTES)?;
            Ok(Some(Body::SignalReceived(MessageReceived {
                name: name.to_owned(),
                id: signal_id.to_owned(),
                payload,
            })))
        })?;
        self.core.wait_durable(&held, sequence).await?;
        Ok(is_new)
    }

    /// Asks an open run to do something, and waits for its answer (JSON). The workflow's validator is asked first; what it
    /// refuses is not recorded. An update whose id the run knows gets the answer of the first.
    ///
    /// Returns `None` if the answer takes longer than `wait`: ask again with the same id.
    ///
    /// # Errors
    /// [`Error::UpdateRefused`] by the validator or the workflow; [`Error::NotAccepting`]; [`Error::Closed`], also if the
    /// run ends without an answer; those of [`Engine::signal`].
    pub async fn update(
        &self,
        workflow_id: &str,
        name: &str,
        update_id: &str,
        payload: Bytes,
        wait: Duration,
    ) -> Result<Option<Bytes>, Error> {
        check_ids(name, update_id)?;
        check_payload(name, &payload)?;
        self.core.admit()?;
        self.in_open_turn(|| self.update_turn(workflow_id, name, update_id, payload.clone(), wait))
            .await
    }

    async fn update_turn(
        &self,
        workflow_id: &str,
        name: &str,
        update_id: &str,
        payload: Bytes,
        wait: Duration,
    ) -> Result<Option<Bytes>, Error> {
        let held = self.core.hold(workflow_id).await?;
        let sequence = self.core.deliver(&held, |run| {
            if run.updates.contains_key(update_id) {
                return Ok(None);
            }
            if let Some(error) = closed_error(&held, run) {
                return Err(error);
            }
            check_size("the updates of one run", run.updates.len() + 1, MAX_UPDATES)?;
            validate(run, name, &payload)?;
            Ok(Some(Body::UpdateAccepted(MessageReceived {
                name: name.to_owned(),
                id: update_id.to_owned(),
                payload,
            })))
        })?;
        self.core.wait_durable(&held, sequence).await?;
        let look = |published: &Published| {
            let outcome = published.updates.get(update_id).cloned();
            let end = published.closed.as_ref().map(|outcome| outcome.state);
            match (outcome, end) {
                (Some(outcome), _) => Some(outcome.map_err(Error::UpdateRefused)),
                (None, Some(state)) => Some(Err(closed(workflow_id, state))),
                (None, None) => None,
            }
        };
        tokio::select! {
            biased;
            outcome = self.core.wait_published(&held, look) => outcome?.map(Some),
            () = self.core.seams.clock.sleep(wait) => Ok(None),
        }
    }
}

fn check_ids(name: &str, id: &str) -> Result<(), Error> {
    check_size("the name's bytes", name.len(), MAX_ID_BYTES)?;
    check_size("the id's bytes", id.len(), MAX_ID_BYTES)
}

fn validate(run: &Run, name: &str, payload: &Bytes) -> Result<(), Error> {
    if let Phase::Stuck(misfit) = &run.phase {
        return Err(Error::stuck(misfit));
    }
    let acceptor: Acceptor =
        run.acceptor(name).ok_or_else(|| Error::NotAccepting(name.to_owned()))?;
    let verdict = catch_unwind(AssertUnwindSafe(|| acceptor(payload)));
    match verdict {
        Ok(Ok(())) => Ok(()),
        Ok(Err(Refusal::Refused(failure))) => Err(Error::UpdateRefused(failure)),
        Ok(Err(Refusal::Unreadable(error))) => {
            Err(Error::InvalidInput { what: name.to_owned(), problem: error.to_string() })
        }
        Err(_) => {
            let failure =
                Failure::new("VALIDATOR_PANICKED", format!("the validator of {name} panicked"));
            Err(Error::UpdateRefused(failure))
        }
    }
}
