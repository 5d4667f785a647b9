//! Steps: the only way in which a workflow touches the world.
//!
//! A step is a type. Its value is the input that goes on record; its type says what it is called, how it is retried, and
//! how it is undone. There is no default for the last: a step that says neither does not compile.
//!
//! ```compile_fail,E0046
//! use souk_orchestrator::engine::step::{Step, StepContext, StepError};
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct ChargeCard;
//!
//! impl Step for ChargeCard {
//!     const NAME: &'static str = "charge_card";
//!     type Output = ();
//!     // No `type Undo`: the compiler refuses.
//!     async fn run(&self, _: &StepContext) -> Result<(), StepError> {
//!         Ok(())
//!     }
//! }
//! ```
//!
//! With `type Undo = Irreversible;` the same compiles:
//!
//! ```
//! use souk_orchestrator::engine::step::{Irreversible, Step, StepContext, StepError};
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct ChargeCard;
//!
//! impl Step for ChargeCard {
//!     const NAME: &'static str = "charge_card";
//!     type Output = ();
//!     type Undo = Irreversible;
//!     async fn run(&self, _: &StepContext) -> Result<(), StepError> {
//!         Ok(())
//!     }
//! }
//! ```

use std::future::Future;

use serde::{Serialize, de::DeserializeOwned};

use super::failure::Failure;

mod context;
mod error;
mod heartbeat;
mod policy;
mod undo;

pub(crate) use context::effect_key;
pub use context::{StepContext, effect_id};
pub use error::{StepError, StepErrorKind};
pub(crate) use heartbeat::Heartbeat;
pub use policy::Policy;
pub use undo::{Irreversible, PlannedUndo, UndoOf, UndoneBy};

/// Something that a workflow does to the world, at least once, under one key.
pub trait Step: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Part of the effect key and of every history: never change it while runs are open.
    const NAME: &'static str;
    /// What it gives back, as it goes on record.
    type Output: Serialize + DeserializeOwned + Send + 'static;
    /// How it is undone: a [`Compensation`] that can be made from `&Self`, [`UndoneBy`] one that is on record
    /// already, or [`Irreversible`].
    type Undo: UndoOf<Self>;

    /// How it is retried, and how long it may take.
    fn policy(&self) -> Policy {
        Policy::step()
    }

    /// Does it. May be called again, after a failure or a crash, with the same effect key.
    fn run(
        &self,
        context: &StepContext,
    ) -> impl Future<Output = Result<Self::Output, StepError>> + Send;
}

/// The undo of a step. It must cope with a step that never happened, or that happens later, or twice.
pub trait Compensation: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Part of the record: never change it while runs are open.
    const NAME: &'static str;

    /// How it is retried before the run is parked.
    fn policy(&self) -> Policy {
        Policy::compensation()
    }

    /// Undoes it. `cause` is why the run is being undone.
    fn run(
        &self,
        context: &StepContext,
        cause: &Failure,
    ) -> impl Future<Output = Result<(), StepError>> + Send;
}
