//! The workloads: an order of five trivial steps; a run that waits; a run of very many steps.
//!
//! An order is six commits, each durable before the next thing happens: the start with the first step, four results with the step
//! after each, and the last result with the end. That is twelve events, each with a payload of at least 256 bytes.

use std::time::Duration;

use rand::distr::{Alphanumeric, SampleString as _};
use serde::{Deserialize, Serialize};
use souk_orchestrator::engine::cx::{Signal, View};
use souk_orchestrator::engine::step::{Irreversible, Step, StepContext, StepError};
use souk_orchestrator::engine::{Cx, Failure, Registry};

/// The workflow's type.
pub const ORDER: &str = "bench.order";
/// The type of the runs that wait.
pub const WAITING: &str = "bench.waiting";
/// The type of the run of very many steps.
pub const LONG: &str = "bench.long";
/// Steps of an order.
pub const STEPS: u32 = 5;
/// Commits of an order: its start, and the result of each step.
pub const COMMITS_PER_ORDER: u64 = STEPS as u64 + 1;
/// Events of an order: two in each commit.
pub const EVENTS_PER_ORDER: u64 = 2 * COMMITS_PER_ORDER;
/// How long a run waits that nobody wakes.
const A_MONTH: Duration = Duration::from_secs(30 * 24 * 3600);
/// Bytes of every payload.
const PAYLOAD_BYTES: usize = 256;
/// Bytes from which payloads are cut: more than an order has, so that none can be compressed into another's.
const POOL_BYTES: usize = 64 * 1024;

/// Where payloads come from: letters and digits by chance, which compress as badly as ids and names do.
pub struct Payloads {
    pool: String,
}

impl Payloads {
    /// A new pool.
    pub fn new() -> Payloads {
        Payloads { pool: Alphanumeric.sample_string(&mut rand::rng(), POOL_BYTES) }
    }

    /// The input of an order.
    pub fn order(&self, number: u64) -> Order {
        Order { number, text: self.text(number, 0).to_owned() }
    }

    /// One of the texts of an order.
    fn text(&self, number: u64, part: u64) -> &str {
        let places = (POOL_BYTES - PAYLOAD_BYTES) as u64;
        let place = number.wrapping_mul(7_919).wrapping_add(part.wrapping_mul(4_099)) % places;
        let place = place as usize;
        &self.pool[place..place + PAYLOAD_BYTES]
    }
}

/// What is ordered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    number: u64,
    text: String,
}

/// A step that does nothing: what it costs is what the engine costs.
#[derive(Serialize, Deserialize)]
struct Confirm {
    number: u64,
    step: u32,
    text: String,
}

/// What a step answers, and the workflow.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Confirmation {
    text: String,
}

impl Step for Confirm {
    const NAME: &'static str = "confirm";
    type Output = Confirmation;
    type Undo = Irreversible;

    async fn run(&self, context: &StepContext) -> Result<Confirmation, StepError> {
        let payloads = context.resource::<Payloads>()?;
        Ok(Confirmation { text: payloads.text(self.number, u64::from(self.step)).to_owned() })
    }
}

async fn order(cx: &Cx, order: Order) -> Result<Confirmation, Failure> {
    let mut text = order.text;
    for step in 1..=STEPS {
        text = cx.step(Confirm { number: order.number, step, text }).await?.text;
    }
    Ok(Confirmation { text })
}

/// Ends what waits.
#[derive(Deserialize)]
pub struct Wake;

impl Signal for Wake {
    const NAME: &'static str = "wake";
}

/// Waits for a signal, or a month.
async fn waiting(cx: &Cx, order: Order) -> Result<u64, Failure> {
    tokio::select! {
        biased;
        woken = cx.signal::<Wake>() => {
            woken?;
        }
        slept = cx.sleep(A_MONTH) => slept?,
    }
    Ok(order.number)
}

/// How many steps the long run has done.
#[derive(Serialize)]
pub struct Done(u64);

impl View for Done {
    const NAME: &'static str = "done";
}

/// Step after step, then a wait.
async fn long(cx: &Cx, steps: u64) -> Result<u64, Failure> {
    cx.publish(&Done(0));
    let mut text = "x".repeat(PAYLOAD_BYTES);
    for number in 1..=steps {
        text = cx.step(Confirm { number, step: 1, text }).await?.text;
        cx.publish(&Done(number));
    }
    cx.signal::<Wake>().await?;
    Ok(steps)
}

/// The registry that knows the workloads.
pub fn registry() -> Registry {
    Registry::new().workflow(ORDER, order).workflow(WAITING, waiting).workflow(LONG, long)
}
