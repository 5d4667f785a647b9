//! Workflows with children, and the children.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use souk_orchestrator::engine::cx::Signal;
use souk_orchestrator::engine::step::{Compensation, Irreversible, StepContext, StepError};
use souk_orchestrator::engine::{ChildWorkflow, Cx, Failure, ParentClose, Registry, Round};

use super::bank::Bank;
use super::shapes::note;
use super::world::{World, quick};

/// A child that takes a note, and then waits, fails or ends, as it is told.
#[derive(Clone, Serialize, Deserialize)]
pub struct Leaf {
    pub label: String,
    /// Waits for a signal before it goes on.
    pub waits: bool,
    pub fails: bool,
    pub policy: ParentClose,
    pub id: Option<String>,
    /// Has a leaf of its own, which waits.
    pub nested: bool,
}

pub fn leaf(label: &str) -> Leaf {
    Leaf {
        label: label.into(),
        waits: false,
        fails: false,
        policy: ParentClose::Cancel,
        id: None,
        nested: false,
    }
}

pub fn waiting(label: &str) -> Leaf {
    Leaf { waits: true, ..leaf(label) }
}

pub fn nested(label: &str) -> Leaf {
    Leaf { nested: true, ..waiting(label) }
}

impl ChildWorkflow for Leaf {
    const TYPE: &'static str = "leaf";
    type Output = String;
    type Undo = Prune;

    fn workflow_id(&self) -> Option<String> {
        self.id.clone()
    }

    fn parent_close(&self) -> ParentClose {
        self.policy
    }
}

/// Undoes a leaf that has completed.
#[derive(Serialize, Deserialize)]
pub struct Prune {
    label: String,
}

impl From<&Leaf> for Prune {
    fn from(leaf: &Leaf) -> Prune {
        Prune { label: leaf.label.clone() }
    }
}

impl Compensation for Prune {
    const NAME: &'static str = "prune";

    async fn run(&self, context: &StepContext, _: &Failure) -> Result<(), StepError> {
        let bank = context.resource::<std::sync::Arc<Bank>>()?;
        // The child is known by its workflow id.
        assert!(context.undone_key().contains("leaf"), "{}", context.undone_key());
        bank.execute(&format!("prune {}", self.label), context).await?;
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct Go;

impl Signal for Go {
    const NAME: &'static str = "go";
}

pub async fn grow(cx: &Cx, leaf: Leaf) -> Result<String, Failure> {
    cx.saga().step(note(&leaf.label)).await?;
    if leaf.nested {
        let below = Leaf { nested: false, waits: true, ..leaf.clone() };
        cx.start_child(below).await?;
    }
    if leaf.waits {
        cx.signal::<Go>().await?;
    }
    match leaf.fails {
        true => Err(Failure::new("WILTED", "it was too dry")),
        false => Ok(format!("{} of {}", leaf.label, cx.parent_workflow_id().unwrap_or_default())),
    }
}

/// One child after the other; fails in the end if it is told to.
pub async fn row(cx: &Cx, (leaves, fails): (Vec<Leaf>, bool)) -> Result<Vec<String>, Failure> {
    let saga = cx.saga();
    saga.step(note("ground")).await?;
    let mut grown = Vec::new();
    for leaf in leaves {
        grown.push(saga.child(leaf).await?);
    }
    match fails {
        true => Err(Failure::new("STORM", "everything is to be undone")),
        false => Ok(grown),
    }
}

/// All children at once.
async fn bush(cx: &Cx, leaves: Vec<Leaf>) -> Result<Vec<String>, Failure> {
    cx.saga().step(note("ground")).await?;
    futures::future::try_join_all(leaves.into_iter().map(|leaf| cx.child(leaf))).await
}

/// Starts its children, waits for a signal, and ends without them: well or badly.
async fn scatter(cx: &Cx, (leaves, fails): (Vec<Leaf>, bool)) -> Result<usize, Failure> {
    cx.saga().step(note("ground")).await?;
    let mut handles = Vec::new();
    for leaf in leaves {
        handles.push(cx.start_child(leaf).await?);
    }
    cx.signal::<Go>().await?;
    match fails {
        true => Err(Failure::new("STORM", "everything is to be undone")),
        false => Ok(handles.len()),
    }
}

/// Loses patience with its child, and goes on for a while.
async fn impatient(cx: &Cx, leaf: Leaf) -> Result<String, Failure> {
    tokio::select! {
        biased;
        grown = cx.child(leaf) => grown,
        timer = cx.sleep(Duration::from_secs(1)) => {
            timer?;
            cx.sleep(Duration::from_secs(10)).await?;
            Ok("without".into())
        }
    }
}

/// Changes its mind before its child can have been started.
async fn hurried(cx: &Cx, leaf: Leaf) -> Result<String, Failure> {
    tokio::select! {
        biased;
        grown = cx.child(leaf) => return grown,
        () = std::future::ready(()) => {}
    }
    cx.sleep(Duration::from_secs(10)).await?;
    Ok("without".into())
}

/// Talks to its child: tells it to go on, or to end.
async fn gardener(cx: &Cx, (leaf, cancels): (Leaf, bool)) -> Result<String, Failure> {
    let mut child = cx.start_child(leaf).await?;
    cx.answer(&child.workflow_id());
    match cancels {
        true => child.cancel().await?,
        false => child.signal(&Go).await?,
    }
    let first = child.outcome().await;
    let again = child.outcome().await;
    assert_eq!(first, again);
    if first.is_ok() {
        let late = child.signal(&Go).await.unwrap_err();
        assert_eq!(late.code, "CHILD_ENDED");
    }
    first
}

/// Goes on in turns, and takes its child along: it began in the first, and ends in the last.
async fn seasons(cx: &Cx, turn: u32) -> Result<String, Failure> {
    if turn == 0 {
        // Dropped, not given up.
        drop(cx.start_child(Leaf { id: Some("evergreen leaf".into()), ..waiting("a") }).await?);
    }
    let mut child = cx.open_child::<Leaf>("evergreen leaf").expect("is open in every turn");
    if turn < 3 {
        cx.sleep(Duration::from_secs(1)).await?;
        return cx.continue_as_new(&(turn + 1)).await;
    }
    cx.answer(&turn);
    child.outcome().await
}

/// [`seasons`], as the child of another run.
#[derive(Serialize)]
struct Tree(u32);

impl ChildWorkflow for Tree {
    const TYPE: &'static str = "seasons";
    type Output = String;
    type Undo = Irreversible;

    fn workflow_id(&self) -> Option<String> {
        Some("tree".into())
    }
}

async fn orchard(cx: &Cx, (): ()) -> Result<String, Failure> {
    cx.child(Tree(0)).await
}

/// Continues while its child is only being started.
async fn hasty(cx: &Cx, turn: u32) -> Result<String, Failure> {
    if turn == 0 {
        cx.sleep(Duration::from_secs(1)).await?;
        let child = cx.start_child(Leaf { id: Some("hasty leaf".into()), ..waiting("a") });
        let (_, never) = futures::join!(child, cx.continue_as_new::<_, ()>(&1));
        return Ok(format!("{never:?}"));
    }
    cx.open_child::<Leaf>("hasty leaf").expect("is open").outcome().await
}

/// Round after round, gives up one child and forgets another.
async fn fickle(cx: &Cx, round: u32) -> Result<Round<u32, u32>, Failure> {
    if round == 6 {
        return Ok(Round::Done(round));
    }
    cx.saga().step(note("round")).await?;
    drop(cx.start_child(Leaf { policy: ParentClose::Abandon, ..leaf("kept") }).await?);
    tokio::select! {
        biased;
        grown = cx.child(waiting("dropped")) => drop(grown?),
        timer = cx.sleep(Duration::from_secs(1)) => timer?,
    }
    Ok(Round::Again(round + 1))
}

/// Nests until it cannot.
#[derive(Serialize, Deserialize)]
struct Nest(u32);

impl ChildWorkflow for Nest {
    const TYPE: &'static str = "nest";
    type Output = u32;
    type Undo = Irreversible;

    fn workflow_id(&self) -> Option<String> {
        Some(format!("nest {}", self.0))
    }
}

async fn nest(cx: &Cx, Nest(depth): Nest) -> Result<u32, Failure> {
    match cx.child(Nest(depth + 1)).await {
        Ok(deepest) => Ok(deepest),
        Err(failure) if failure.code == "CHILD_TOO_DEEP" => Ok(depth),
        Err(failure) => Err(failure),
    }
}

pub fn registry() -> Registry {
    add_to(Registry::new())
}

/// The workflows of this module, besides others.
pub fn add_to(registry: Registry) -> Registry {
    registry
        .workflow("leaf", grow)
        .workflow("row", row)
        .workflow("bush", bush)
        .workflow("scatter", scatter)
        .workflow("impatient", impatient)
        .workflow("hurried", hurried)
        .workflow("gardener", gardener)
        .workflow("seasons", seasons)
        .workflow("orchard", orchard)
        .workflow("hasty", hasty)
        .rounds_in_turns_of(2, "fickle", fickle)
        .workflow("nest", nest)
}

pub async fn world(seed: u64) -> World {
    World::with(seed, quick(), registry()).await
}

/// Tells a run to go on.
pub async fn go(world: &World, workflow_id: &str) {
    world.signal(workflow_id, "go", "1").await.unwrap();
}

/// How often a run's own note was done and undone.
pub fn noted(world: &World, workflow_id: &str) -> (u32, u32) {
    let effect = world.bank.effect(&format!("{workflow_id}/note/1"));
    (effect.done, effect.undone)
}

/// The leaves that were undone by their compensation, in order.
pub fn pruned(world: &World) -> Vec<String> {
    let journal = world.bank.journal();
    journal.into_iter().filter(|line| line.starts_with("prune")).collect()
}
