//! Calls: steps and compensations with their types erased, as the engine runs them.

use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::core::Core;
use super::cx::write_json;
use super::failure::Failure;
use super::limits::MAX_PAYLOAD_BYTES;
use super::row::FailureRecord;
use super::step::{Compensation, Policy, Step, StepContext, StepError};

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallKind {
    /// A step.
    Step,
    /// A compensation.
    Undo,
    /// The start of a child.
    ChildStart,
}

/// Something that can be attempted.
pub(crate) trait Callable: Send + Sync {
    /// How it is retried.
    fn policy(&self) -> Policy;
    /// One attempt; the output is JSON.
    fn attempt(
        self: Arc<Self>,
        core: &Arc<Core>,
        context: StepContext,
    ) -> BoxFuture<'static, Result<Bytes, StepError>>;
}

/// A call that is on record and has no outcome yet.
#[derive(Clone)]
pub(crate) struct Call {
    pub command: u64,
    pub name: &'static str,
    pub kind: CallKind,
    pub callable: Arc<dyn Callable>,
    pub effect_key: Arc<str>,
    pub undone_key: Option<Arc<str>>,
    pub scheduled_at_ms: i64,
    /// Attempts that are known to have failed.
    pub failed_attempts: u32,
    /// What the last of them failed with.
    pub last_failure: Option<FailureRecord>,
    /// How far the last attempt had come, as far as it is on record: JSON.
    pub progress: Option<Bytes>,
    pub token: Token,
}

/// Cancels a call, and all clones of it. Made when somebody asks for it, since most calls are over at once.
#[derive(Default)]
pub(crate) struct Token(OnceLock<CancellationToken>);

impl Token {
    pub fn get(&self) -> &CancellationToken {
        self.0.get_or_init(CancellationToken::new)
    }

    pub fn cancel(&self) {
        self.get().cancel();
    }
}

impl Clone for Token {
    fn clone(&self) -> Token {
        Token(OnceLock::from(self.get().clone()))
    }
}

impl Call {
    pub fn is_undo(&self) -> bool {
        self.kind == CallKind::Undo
    }
}

/// A step with its input.
pub(crate) struct StepCall<S>(pub S);

impl<S: Step> Callable for StepCall<S> {
    fn policy(&self) -> Policy {
        self.0.policy()
    }

    fn attempt(
        self: Arc<Self>,
        _: &Arc<Core>,
        context: StepContext,
    ) -> BoxFuture<'static, Result<Bytes, StepError>> {
        Box::pin(async move {
            let output = self.0.run(&context).await?;
            // Not refused: the step did something, and how to undo it stays on record.
            let json = write_json(&output)
                .map_err(|error| StepError::permanent("OUTPUT_NOT_JSON", error.to_string()))?;
            if json.len() > MAX_PAYLOAD_BYTES {
                let message = format!("{} bytes, at most {MAX_PAYLOAD_BYTES} are kept", json.len());
                return Err(StepError::permanent("OUTPUT_TOO_LARGE", message));
            }
            Ok(json)
        })
    }
}

/// Makes a call of a compensation from what is on record.
pub trait UndoRunner: Send + Sync {
    /// The compensation's name.
    #[doc(hidden)]
    fn name(&self) -> &'static str;
    /// The call.
    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn call(&self, input: &Bytes, cause: &Failure) -> Result<Arc<dyn Callable>, serde_json::Error>;
}

struct TypedRunner<C>(PhantomData<fn() -> C>);

/// The runner of a type of compensation.
pub(crate) fn undo_runner<C: Compensation>() -> Arc<dyn UndoRunner> {
    Arc::new(TypedRunner::<C>(PhantomData))
}

impl<C: Compensation> UndoRunner for TypedRunner<C> {
    fn name(&self) -> &'static str {
        C::NAME
    }

    #[allow(private_interfaces)]
    fn call(&self, input: &Bytes, cause: &Failure) -> Result<Arc<dyn Callable>, serde_json::Error> {
        let compensation: C = serde_json::from_slice(input)?;
        Ok(Arc::new(UndoCall { compensation, cause: cause.clone() }))
    }
}

struct UndoCall<C> {
    compensation: C,
    cause: Failure,
}

impl<C: Compensation> Callable for UndoCall<C> {
    fn policy(&self) -> Policy {
        self.compensation.policy()
    }

    fn attempt(
        self: Arc<Self>,
        _: &Arc<Core>,
        context: StepContext,
    ) -> BoxFuture<'static, Result<Bytes, StepError>> {
        Box::pin(async move {
            self.compensation.run(&context, &self.cause).await?;
            Ok(Bytes::new())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_a_call_is_cancelled_with_it_whoever_asked_first() {
        let token = Token::default();
        let copy = token.clone();
        token.cancel();
        assert!(copy.get().is_cancelled());
    }
}
