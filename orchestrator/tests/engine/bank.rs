//! The participants of the toy saga: they outlive every crash, remember effects by key, and fail as they are told.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;
use souk_orchestrator::engine::step::{StepContext, StepError};

/// What the next attempt at something does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Does nothing; may be tried again.
    Fail,
    /// Works, and its answer is lost.
    LoseReply,
    /// Does nothing, and never will.
    Permanent,
    /// Says, if nothing was done under this key, that nothing ever will be.
    Refuse,
    /// Never answers.
    Hang,
    /// Panics.
    Panic,
    /// Fails, and asks for this pause, in milliseconds.
    FailFor(u64),
}

/// What became of one effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// How often it was really done: once at most, or the books are wrong.
    pub done: u32,
    /// How often it was really undone.
    pub undone: u32,
    /// An undo came, so that a do that comes later is refused.
    pub tombstone: bool,
    /// How often it was asked for.
    pub calls: u32,
}

/// See the module.
#[derive(Default)]
pub struct Bank {
    effects: Mutex<BTreeMap<String, Effect>>,
    behaviours: Mutex<BTreeMap<String, VecDeque<Behaviour>>>,
    always: Mutex<BTreeMap<String, Behaviour>>,
    /// Everything that was asked for, in order.
    journal: Mutex<Vec<String>>,
}

impl Bank {
    /// The next attempts at `name` behave like this; those behind them work.
    pub fn next(&self, name: &str, behaviours: &[Behaviour]) {
        self.behaviours.lock().entry(name.into()).or_default().extend(behaviours.iter().cloned());
    }

    /// Every attempt at `name` behaves like this, until [`Bank::repair`].
    pub fn always(&self, name: &str, behaviour: Behaviour) {
        self.always.lock().insert(name.into(), behaviour);
    }

    pub fn repair(&self, name: &str) {
        self.always.lock().remove(name);
    }

    /// Everything works from now on.
    pub fn calm(&self) {
        self.behaviours.lock().clear();
        self.always.lock().clear();
    }

    pub fn journal(&self) -> Vec<String> {
        self.journal.lock().clone()
    }

    /// All effects, by key.
    pub fn effects(&self) -> BTreeMap<String, Effect> {
        self.effects.lock().clone()
    }

    pub fn effect(&self, key: &str) -> Effect {
        self.effects.lock().get(key).cloned().unwrap_or_default()
    }

    pub async fn execute(&self, name: &str, context: &StepContext) -> Result<String, StepError> {
        let behaviour = self.begin(name, context.effect_key()).await?;
        {
            let mut effects = self.effects.lock();
            let effect = effects.entry(context.effect_key().into()).or_default();
            if effect.tombstone {
                return Err(StepError::permanent("UNDONE", "an undo was here before"));
            }
            effect.done = effect.done.max(1);
        }
        finish(behaviour).await?;
        Ok(context.effect_id().to_string())
    }

    pub async fn undo(&self, name: &str, context: &StepContext) -> Result<(), StepError> {
        let behaviour = self.begin(name, context.undone_key()).await?;
        {
            let mut effects = self.effects.lock();
            let effect = effects.entry(context.undone_key().into()).or_default();
            effect.tombstone = true;
            effect.undone = effect.done;
        }
        finish(behaviour).await
    }

    /// Refuses for ever what was not done before; what was done is repeated.
    fn refuse(&self, key: &str) -> Result<Option<Behaviour>, StepError> {
        let mut effects = self.effects.lock();
        let effect = effects.entry(key.into()).or_default();
        if effect.done > effect.undone {
            return Ok(None);
        }
        effect.tombstone = true;
        Err(StepError::refused("REFUSED", "told to refuse"))
    }

    async fn begin(&self, name: &str, key: &str) -> Result<Option<Behaviour>, StepError> {
        self.journal.lock().push(name.into());
        self.effects.lock().entry(key.into()).or_default().calls += 1;
        let next = self.behaviours.lock().get_mut(name).and_then(|queue| queue.pop_front());
        let behaviour = next.or_else(|| self.always.lock().get(name).cloned());
        // Others get their turn, as they do while a real call is under way.
        tokio::task::yield_now().await;
        match behaviour {
            Some(Behaviour::Fail) => Err(StepError::retryable("UNAVAILABLE", "told to fail")),
            Some(Behaviour::Permanent) => Err(StepError::permanent("BROKEN", "told to fail")),
            Some(Behaviour::Refuse) => self.refuse(key),
            Some(Behaviour::Panic) => panic!("told to panic"),
            Some(Behaviour::FailFor(ms)) => {
                let pause = std::time::Duration::from_millis(ms);
                Err(StepError::retryable("BUSY", "told to wait").after(pause))
            }
            other => Ok(other),
        }
    }
}

async fn finish(behaviour: Option<Behaviour>) -> Result<(), StepError> {
    match behaviour {
        Some(Behaviour::LoseReply) => Err(StepError::retryable("RESET", "the reply was lost")),
        Some(Behaviour::Hang) => std::future::pending().await,
        _ => Ok(()),
    }
}
