//! Orders of five steps beside the raw limit: short rounds in turn, a fresh store each, and the medians of them.

use std::path::Path;

use anyhow::{Context, Result};

use crate::engine::Options;
use crate::engine::contender::{Contender, Round};
use crate::engine::load::Load;
use crate::engine::new_folder;
use crate::engine::own::Own;
use crate::engine::raw::RawLimit;
use crate::engine::report::{Figures, Report};

/// All contenders at every number in flight. The first is what the others are compared with.
///
/// # Errors
/// When one of them fails.
pub async fn measure(options: &Options, folder: &Path) -> Result<Report> {
    let (warm_up, measured) = options.times();
    let sizing = new_folder(folder)?;
    let append_bytes = Own::commit_bytes(sizing.path()).await?;
    let contenders: Vec<Box<dyn Contender>> =
        vec![Box::new(RawLimit { append_bytes }), Box::new(Own)];
    let mut report = Report::new(format!(
        "orders of five steps: 6 commits of {append_bytes} B, each synced; {} rounds of {} s in turn, medians",
        options.rounds, options.seconds
    ));
    for in_flight in options.in_flight.iter().copied() {
        let load = Load { in_flight, warm_up, measured };
        let mut rounds: Vec<Vec<Round>> = contenders.iter().map(|_| Vec::new()).collect();
        for _ in 0..options.rounds {
            for (contender, rounds) in contenders.iter().zip(&mut rounds) {
                let own = new_folder(folder)?;
                let round = contender.round(&load, own.path()).await;
                rounds.push(round.with_context(|| format!("{} failed", contender.name()))?);
            }
        }
        let limit = rounds[0].clone();
        for (contender, rounds) in contenders.iter().zip(&rounds) {
            let label = format!("{in_flight} in flight");
            report.add(Figures::of(label, contender.name(), rounds, &limit));
        }
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        options: Options,
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_contender_has_a_line_for_every_load() {
        let line = "bench --in-flight 1,8 --rounds 1 --seconds 0.1 --warm-up-seconds 0.05";
        let options = Command::parse_from(line.split(' ')).options;
        let folder = tempfile::tempdir().unwrap();
        let report = measure(&options, folder.path()).await.unwrap();
        let report = serde_json::to_value(&report).unwrap();
        let figures = report["figures"].as_array().unwrap();
        let lines: Vec<_> = figures.iter().map(|it| (&it["load"], &it["contender"])).collect();
        let (one, eight) = ("1 in flight".into(), "8 in flight".into());
        let (raw, own) = ("raw limit".into(), "souk".into());
        assert_eq!(lines, [(&one, &raw), (&one, &own), (&eight, &raw), (&eight, &own)]);
        for figures in figures {
            assert!(figures["orders_per_second"].as_f64().unwrap() > 0.0, "{figures}");
            assert!(figures["of_reference"].as_f64().unwrap() > 0.0, "{figures}");
        }
        // All folders of the rounds are gone.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
