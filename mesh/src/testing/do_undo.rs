//! The contract of every participant of a saga: do and undo serialize on one key.
//!
//! Messages get lost, repeated and reordered, so a participant must come to the same end whatever
//! the order: once an undo was accepted, nothing is held or charged under its key, for good. An
//! undo that arrives first leaves a tombstone that refuses the late do. [`run`] checks every
//! sequence of do and undo up to [`LONGEST_SEQUENCE`], and races of them, each on a new key.

use std::fmt;

use async_trait::async_trait;
use futures::future::join_all;
use tonic::{Code, Status};
use uuid::Uuid;

/// Every sequence of dos and undos up to this length is tried.
pub const LONGEST_SEQUENCE: usize = 4;
/// Rounds of each race, as one alone may not meet.
pub const RACE_ROUNDS: usize = 8;
/// Calls of a kind that race each other.
const RACERS: usize = 8;

/// One participant, seen through its own interface (best: through its gRPC service).
#[async_trait]
pub trait Participant: Send + Sync {
    /// Does, under this key: hold stock, authorize a payment, record an order.
    async fn forward(&self, key: Uuid) -> Result<(), Status>;
    /// Undoes what was done under this key, from whatever state it is in, also none.
    async fn undo(&self, key: Uuid) -> Result<(), Status>;
    /// Nothing is held and nothing is charged under this key, as seen by those who count: the
    /// stock that can be sold, the provider's ledger.
    async fn is_clean(&self, key: Uuid) -> bool;
    /// It is done under this key, exactly once.
    async fn is_done(&self, key: Uuid) -> bool;
}

/// How a participant broke the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The calls on the key so far, such as `undo, do`.
    pub calls: String,
    /// What was wrong after them.
    pub problem: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "after [{}]: {}", self.calls, self.problem)
    }
}

/// Checks the whole contract; panics with every violation found. For tests.
///
/// # Panics
/// When the participant breaks the contract.
pub async fn run(participant: &dyn Participant) {
    let violations = violations(participant).await;
    assert!(
        violations.is_empty(),
        "the do/undo contract is broken:\n{}",
        violations.iter().map(Violation::to_string).collect::<Vec<_>>().join("\n")
    );
}

/// Checks the whole contract; returns what is broken.
pub async fn violations(participant: &dyn Participant) -> Vec<Violation> {
    let mut found = Vec::new();
    for length in 1..=LONGEST_SEQUENCE {
        for choice in 0..1_usize << length {
            let calls: Vec<Call> = (0..length)
                .map(|at| if choice >> at & 1 == 0 { Call::Do } else { Call::Undo })
                .collect();
            found.extend(sequence(participant, &calls).await.err());
        }
    }
    for _ in 0..RACE_ROUNDS {
        found.extend(race(participant, RACERS, 0).await.err());
        found.extend(race(participant, 0, RACERS).await.err());
        found.extend(race(participant, RACERS, RACERS).await.err());
        found.extend(race(participant, 1, 1).await.err());
        found.extend(undo_amid_dos(participant).await.err());
    }
    found
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Do,
    Undo,
}

impl Call {
    async fn on(self, participant: &dyn Participant, key: Uuid) -> Result<(), Status> {
        match self {
            Call::Do => participant.forward(key).await,
            Call::Undo => participant.undo(key).await,
        }
    }
}

/// Codes that tell the caller for certain that the do was refused. The others leave it open
/// whether trying again would help, and a saga would try for ever.
fn is_definite(code: Code) -> bool {
    matches!(
        code,
        Code::FailedPrecondition | Code::AlreadyExists | Code::NotFound | Code::OutOfRange
    )
}

/// One sequence of calls on a new key, each answered before the next.
async fn sequence(participant: &dyn Participant, calls: &[Call]) -> Result<(), Violation> {
    let key = Uuid::new_v4();
    let mut undone = false;
    let mut refusal: Option<Code> = None;
    for (at, call) in calls.iter().enumerate() {
        let broken = |problem: String| Violation { calls: name(&calls[..=at]), problem };
        let answer = call.on(participant, key).await;
        match (call, undone) {
            (Call::Undo, _) => {
                answer.map_err(|status| broken(format!("the undo was refused: {status}")))?;
                undone = true;
            }
            (Call::Do, false) => {
                answer.map_err(|status| broken(format!("the do was refused: {status}")))?;
            }
            (Call::Do, true) => {
                let status = answer.err().ok_or_else(|| broken("a late do was accepted".into()))?;
                check_refusal(&status, &mut refusal).map_err(broken)?;
            }
        }
        check_state(participant, key, undone).await.map_err(|problem| broken(problem.into()))?;
    }
    Ok(())
}

fn check_refusal(status: &Status, earlier: &mut Option<Code>) -> Result<(), String> {
    if !is_definite(status.code()) {
        return Err(format!("a late do was refused without a definite code: {status}"));
    }
    let first = *earlier.get_or_insert(status.code());
    if first == status.code() {
        Ok(())
    } else {
        Err(format!("a late do was refused as {first:?}, then as {:?}", status.code()))
    }
}

async fn check_state(
    participant: &dyn Participant,
    key: Uuid,
    undone: bool,
) -> Result<(), &'static str> {
    let (clean, done) = (participant.is_clean(key).await, participant.is_done(key).await);
    match (undone, clean, done) {
        (true, false, _) => Err("something is held or charged although it was undone"),
        (true, true, true) => Err("it counts as done although it was undone"),
        (false, true, _) => Err("nothing is held or charged although it was done"),
        (false, false, false) => Err("it does not count as done, once, although it was done"),
        (true, true, false) | (false, false, true) => Ok(()),
    }
}

/// So many dos and undos at once on a new key. Whatever the order they took, an undo that was
/// accepted leaves it clean, and dos alone leave it done once.
async fn race(participant: &dyn Participant, dos: usize, undos: usize) -> Result<(), Violation> {
    let key = Uuid::new_v4();
    let calls = format!("{dos} dos and {undos} undos at once");
    let broken = |problem: String| Violation { calls: calls.clone(), problem };
    let kinds = interleaved(dos, undos);
    let answers = join_all(kinds.iter().map(|call| call.on(participant, key))).await;
    for (call, answer) in kinds.iter().zip(answers) {
        let Err(status) = answer else { continue };
        let allowed = *call == Call::Do && undos > 0 && is_definite(status.code());
        if !allowed {
            return Err(broken(format!("a {call:?} was refused: {status}")));
        }
    }
    let undone = undos > 0;
    check_state(participant, key, undone).await.map_err(|problem| broken(problem.into()))?;
    if undone {
        late_do(participant, key).await.map_err(broken)?;
    }
    Ok(())
}

/// A done key is undone while its do is repeated, as when a retry crosses the compensation.
async fn undo_amid_dos(participant: &dyn Participant) -> Result<(), Violation> {
    let key = Uuid::new_v4();
    let broken = |problem: String| Violation {
        calls: format!("do, then an undo amid {RACERS} dos"),
        problem,
    };
    let first = participant.forward(key).await;
    first.map_err(|status| broken(format!("the do was refused: {status}")))?;
    let kinds = interleaved(RACERS, 1);
    let answers = join_all(kinds.iter().map(|call| call.on(participant, key))).await;
    for (call, answer) in kinds.iter().zip(answers) {
        let Err(status) = answer else { continue };
        if *call == Call::Undo || !is_definite(status.code()) {
            return Err(broken(format!("a {call:?} was refused: {status}")));
        }
    }
    check_state(participant, key, true).await.map_err(|problem| broken(problem.into()))?;
    late_do(participant, key).await.map_err(broken)
}

async fn late_do(participant: &dyn Participant, key: Uuid) -> Result<(), String> {
    match participant.forward(key).await {
        Ok(()) => Err("a late do was accepted".into()),
        Err(status) => check_refusal(&status, &mut None),
    }?;
    check_state(participant, key, true).await.map_err(str::to_owned)
}

fn interleaved(dos: usize, undos: usize) -> Vec<Call> {
    (0..dos.max(undos))
        .flat_map(|at| [(at < dos).then_some(Call::Do), (at < undos).then_some(Call::Undo)])
        .flatten()
        .collect()
}

fn name(calls: &[Call]) -> String {
    let names: Vec<&str> = calls
        .iter()
        .map(|call| match call {
            Call::Do => "do",
            Call::Undo => "undo",
        })
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Copy, PartialEq, Eq)]
    enum State {
        Done(u32),
        Undone,
    }

    /// What a participant can get wrong.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Flaw {
        None,
        NoTombstone,
        DoesTwice,
        ForgetsUndo,
        VagueRefusal,
        UndoNeedsDo,
        ChecksThenActs,
    }

    struct Toy {
        flaw: Flaw,
        states: Mutex<HashMap<Uuid, State>>,
    }

    impl Toy {
        fn new(flaw: Flaw) -> Self {
            Toy { flaw, states: Mutex::new(HashMap::new()) }
        }
    }

    #[async_trait]
    impl Participant for Toy {
        async fn forward(&self, key: Uuid) -> Result<(), Status> {
            let known = self.states.lock().get(&key).copied();
            if self.flaw == Flaw::ChecksThenActs {
                tokio::task::yield_now().await;
            }
            let next = match known {
                Some(State::Undone) if self.flaw == Flaw::ForgetsUndo => State::Done(1),
                Some(State::Undone) if self.flaw == Flaw::VagueRefusal => {
                    return Err(Status::unavailable("try again"));
                }
                Some(State::Undone) => return Err(Status::failed_precondition("undone")),
                Some(State::Done(times)) if self.flaw == Flaw::DoesTwice => State::Done(times + 1),
                Some(State::Done(times)) => State::Done(times),
                None => State::Done(1),
            };
            self.states.lock().insert(key, next);
            Ok(())
        }

        async fn undo(&self, key: Uuid) -> Result<(), Status> {
            let mut states = self.states.lock();
            match (states.get(&key), self.flaw) {
                (None, Flaw::UndoNeedsDo) => return Err(Status::not_found("nothing to undo")),
                (None, Flaw::NoTombstone) => return Ok(()),
                _ => states.insert(key, State::Undone),
            };
            Ok(())
        }

        async fn is_clean(&self, key: Uuid) -> bool {
            !matches!(self.states.lock().get(&key), Some(State::Done(_)))
        }

        async fn is_done(&self, key: Uuid) -> bool {
            self.states.lock().get(&key) == Some(&State::Done(1))
        }
    }

    #[tokio::test]
    async fn a_sound_participant_passes() {
        run(&Toy::new(Flaw::None)).await;
    }

    #[tokio::test]
    async fn every_flaw_is_found() {
        for (flaw, calls) in [
            (Flaw::NoTombstone, "undo, do"),
            (Flaw::DoesTwice, "do, do"),
            (Flaw::ForgetsUndo, "do, undo, do"),
            (Flaw::VagueRefusal, "undo, do"),
            (Flaw::UndoNeedsDo, "undo"),
            (Flaw::ChecksThenActs, "do, then an undo amid 8 dos"),
        ] {
            let found = violations(&Toy::new(flaw)).await;
            assert!(
                found.iter().any(|violation| violation.calls == calls),
                "{flaw:?} was not found by [{calls}]: {found:?}"
            );
        }
    }
}
