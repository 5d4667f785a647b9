//! Workflows that join, race and select, and versions of workflows that do not fit each other.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use souk_orchestrator::engine::step::{
    Compensation, Irreversible, Policy, Step, StepContext, StepError, UndoneBy,
};
use souk_orchestrator::engine::{Cx, Failure, Registry};

use super::bank::Bank;
use super::transfer::{Confirm, GiveBack, Word};

fn bank(context: &StepContext) -> Result<Arc<Bank>, StepError> {
    context.resource::<Arc<Bank>>().cloned()
}

/// A step that behaves as the bank says for its label.
#[derive(Serialize, Deserialize)]
pub struct Note {
    pub label: String,
}

pub fn note(label: impl Into<String>) -> Note {
    Note { label: label.into() }
}

impl Step for Note {
    const NAME: &'static str = "note";
    type Output = String;
    type Undo = Erase;

    async fn run(&self, context: &StepContext) -> Result<String, StepError> {
        bank(context)?.execute(&self.label, context).await?;
        Ok(self.label.clone())
    }
}

#[derive(Serialize, Deserialize)]
pub struct Erase {
    label: String,
}

impl From<&Note> for Erase {
    fn from(note: &Note) -> Erase {
        Erase { label: note.label.clone() }
    }
}

impl Compensation for Erase {
    const NAME: &'static str = "erase";

    async fn run(&self, context: &StepContext, cause: &Failure) -> Result<(), StepError> {
        bank(context)?.undo(&format!("erase {} for {}", self.label, cause.code), context).await
    }
}

/// Says that something undoes it that is not on record.
#[derive(Serialize, Deserialize)]
pub struct Orphan;

impl Step for Orphan {
    const NAME: &'static str = "orphan";
    type Output = ();
    type Undo = UndoneBy<GiveBack>;

    async fn run(&self, _: &StepContext) -> Result<(), StepError> {
        Ok(())
    }
}

/// Takes its time, in milliseconds.
#[derive(Serialize, Deserialize)]
pub struct Wait {
    pub ms: u64,
}

impl Step for Wait {
    const NAME: &'static str = "wait";
    type Output = u64;
    type Undo = Irreversible;

    fn policy(&self) -> Policy {
        Policy::once()
    }

    async fn run(&self, _: &StepContext) -> Result<u64, StepError> {
        tokio::time::sleep(Duration::from_millis(self.ms)).await;
        Ok(self.ms)
    }
}

/// Joins steps, then takes more as they come, then races one against a timer.
pub async fn weave(cx: &Cx, _: ()) -> Result<Vec<String>, Failure> {
    let saga = cx.saga();
    let (a, b) = futures::try_join!(saga.step(note("a")), saga.step(note("b")))?;
    let mut words = vec![a, b];
    let mut waits: FuturesUnordered<_> =
        [30, 10, 20].into_iter().map(|ms| cx.step(Wait { ms })).collect();
    while let Some(ms) = waits.next().await {
        words.push(ms?.to_string());
    }
    tokio::select! {
        biased;
        slow = cx.step(Wait { ms: 5_000 }) => words.push(format!("step {}", slow?)),
        timer = cx.sleep(Duration::from_millis(100)) => {
            timer?;
            words.push("timer".into());
        }
    }
    words.push(cx.uuid().to_string());
    words.push(saga.step(note(format!("{} at {}", cx.random(), cx.now_ms()))).await?);
    Ok(words)
}

/// Two steps side by side, of which one fails.
pub async fn siblings(cx: &Cx, _: ()) -> Result<(), Failure> {
    let saga = cx.saga();
    saga.step(note("first")).await?;
    futures::try_join!(saga.step(note("left")), saga.step(note("right")))?;
    Ok(())
}

/// Finishes its work although it is cancelled.
pub async fn stubborn(cx: &Cx, _: ()) -> Result<String, Failure> {
    let reason = cx.cancelled().await;
    cx.shielded().step(note("tidy up")).await?;
    Ok(reason)
}

pub async fn story(cx: &Cx, _: ()) -> Result<String, Failure> {
    cx.step(note("one")).await?;
    cx.signal::<Confirm>().await?;
    cx.step(note("two")).await?;
    Ok("told".into())
}

async fn story_with_another_step(cx: &Cx, _: ()) -> Result<String, Failure> {
    cx.step(note("zero")).await?;
    cx.step(note("one")).await?;
    Ok("another".into())
}

async fn story_that_is_shorter(_: &Cx, _: ()) -> Result<String, Failure> {
    Ok("short".into())
}

async fn story_that_takes_words(cx: &Cx, _: ()) -> Result<String, Failure> {
    cx.step(note("one")).await?;
    cx.sleep(Duration::from_secs(1)).await?;
    let _ = cx.signal::<Word>().await?;
    Ok("words".into())
}

async fn story_that_panics(cx: &Cx, _: ()) -> Result<String, Failure> {
    cx.step(note("one")).await?;
    cx.signal::<Confirm>().await?;
    panic!("a bug in the second half");
}

async fn story_that_waits_elsewhere(cx: &Cx, _: ()) -> Result<String, Failure> {
    cx.step(note("one")).await?;
    cx.signal::<Confirm>().await?;
    futures::future::pending::<()>().await;
    Ok("never".into())
}

async fn story_that_spins(cx: &Cx, _: ()) -> Result<String, Failure> {
    cx.step(note("one")).await?;
    cx.signal::<Confirm>().await?;
    futures::future::poll_fn(|task| {
        task.waker().wake_by_ref();
        std::task::Poll::<()>::Pending
    })
    .await;
    Ok("never".into())
}

async fn story_with_an_orphan(cx: &Cx, _: ()) -> Result<String, Failure> {
    cx.step(note("one")).await?;
    cx.signal::<Confirm>().await?;
    cx.step(Orphan).await?;
    Ok("never".into())
}

async fn story_in_versions(cx: &Cx, _: ()) -> Result<String, Failure> {
    cx.step(note("one")).await?;
    let version = cx.version("a-half", 0, 1);
    if version >= 1 {
        cx.step(note("one and a half")).await?;
    }
    cx.signal::<Confirm>().await?;
    let again = cx.version("a-half", 0, 1);
    cx.step(note("two")).await?;
    Ok(format!("version {version} {again}"))
}

async fn story_without_the_old(cx: &Cx, _: ()) -> Result<String, Failure> {
    cx.step(note("one")).await?;
    let version = cx.version("a-half", 1, 2);
    cx.signal::<Confirm>().await?;
    Ok(format!("version {version}"))
}

/// The workflows of this module, with one or another `story`.
pub fn registry(variant: &str) -> Registry {
    let registry = super::transfer::registry()
        .compensation::<Erase>()
        .workflow("weave", weave)
        .workflow("siblings", siblings)
        .workflow("stubborn", stubborn)
        .rounds("tally", super::rounds::tally)
        .rounds_in_turns_of(5, "short_tally", super::rounds::tally);
    match variant {
        "story" => registry.workflow("story", story),
        "another step" => registry.workflow("story", story_with_another_step),
        "shorter" => registry.workflow("story", story_that_is_shorter),
        "words" => registry.workflow("story", story_that_takes_words),
        "panics" => registry.workflow("story", story_that_panics),
        "elsewhere" => registry.workflow("story", story_that_waits_elsewhere),
        "spins" => registry.workflow("story", story_that_spins),
        "orphan" => registry.workflow("story", story_with_an_orphan),
        "versions" => registry.workflow("story", story_in_versions),
        "new only" => registry.workflow("story", story_without_the_old),
        "none" => registry,
        other => panic!("no story is called {other}"),
    }
}
