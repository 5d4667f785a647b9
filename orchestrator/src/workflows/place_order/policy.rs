//! How the order's steps and their undos are repeated.

use std::time::Duration;

use crate::engine::step::Policy;

/// Steps that a customer waits for: the first tries come quickly, and nobody waits much longer than half a minute.
pub(super) fn prompt() -> Policy {
    Policy { initial: Duration::from_millis(250), attempts: 10, ..Policy::step() }
}

/// Undos, and what only svc-order may decide: giving up needs a person, so nearly an hour's outage is sat out.
pub(super) fn patient() -> Policy {
    Policy {
        maximum: Duration::from_secs(60),
        attempts: 60,
        total: Duration::from_secs(2 * 3600),
        ..Policy::compensation()
    }
}
