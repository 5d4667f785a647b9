//! One run of very many steps: whether a step costs the same at the end, in time and in memory, and how long the run takes
//! to come back by replay.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};

use souk_orchestrator::engine::engine::Footprint;

use crate::engine::Options;
use crate::engine::own::Node;
use crate::engine::report::{Fact, Report};
use crate::engine::usage;

/// Stretches of the whole whose figures are shown.
const STRETCHES: u64 = 5;

/// Runs it, stretch after stretch, and starts the engine again.
///
/// # Errors
/// When the run fails.
pub async fn measure(options: &Options, folder: &Path) -> Result<Report> {
    let stretch = options.steps / STRETCHES;
    let steps = stretch * STRETCHES;
    let mut report = Report::new(format!("one run of {steps} steps, each synced"));
    let node = Node::open(folder).await?;
    node.start_long(steps).await?;
    let mut begun = Instant::now();
    for number in 1..=STRETCHES {
        node.long_at(number * stretch).await?;
        let rate = stretch as f64 / begun.elapsed().as_secs_f64();
        begun = Instant::now();
        report.tell(Fact::new(format!("to step {}", number * stretch), rate, "steps/s"));
        report.tell(Fact::new("  resident there", usage::resident_mb(), "MB"));
        let Footprint { commands, open_undo, unread, message_ids, names, .. } =
            node.long_footprint()?;
        let held = commands + open_undo + unread + message_ids + names;
        report.tell(Fact::new("  things that the run holds", held as f64, ""));
    }
    node.close(folder).await?;

    let node = Node::open(folder).await?;
    let begun = Instant::now();
    let came_to = node.end_long().await?;
    report.tell(Fact::new("back by replay, and ended", begun.elapsed().as_secs_f64(), "s"));
    ensure!(came_to == steps, "the run came to {came_to} instead of {steps}");
    report.tell(Fact::new("resident after that", usage::resident_mb(), "MB"));
    node.engine.shutdown().await?;
    Ok(report)
}
