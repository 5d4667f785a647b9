//! Orders of five steps beside the raw limit: short rounds in turn, a fresh store each, and the medians of them.

use std::path::Path;

use anyhow::{Context, Result};

use crate::engine::Options;
use crate::engine::contender::{Contender, Round};
use crate::engine::load::Load;
use crate::engine::new_folder;
use crate::engine::own::Own;
use crate::engine::peers::Peers;
use crate::engine::raw::RawLimit;
use crate::engine::report::{Figures, Report, Versus};

/// The first two contenders; the peers follow.
const LIMIT: usize = 0;
const OWN: usize = 1;

/// All contenders at every number in flight. The first is what the others are compared with.
///
/// # Errors
/// When one of them fails.
pub async fn measure(options: &Options, folder: &Path) -> Result<Report> {
    let peers = Peers::start(&options.peers, folder).await?;
    let report = in_turn(options, folder, &peers).await;
    peers.stop().await?;
    report
}

async fn in_turn(options: &Options, folder: &Path, peers: &Peers) -> Result<Report> {
    let (warm_up, measured) = options.times();
    let sizing = new_folder(folder)?;
    let append_bytes = Own::commit_bytes(sizing.path()).await?;
    let mut contenders: Vec<Box<dyn Contender>> =
        vec![Box::new(RawLimit { append_bytes }), Box::new(Own)];
    for peer in &peers.running {
        contenders.push(Box::new(peer.clone()));
    }
    let mut report = Report::new(format!(
        "orders of five steps: 6 commits of {append_bytes} B, each synced; {} rounds of {} s in turn, medians",
        options.rounds, options.seconds
    ));
    for in_flight in options.in_flight.iter().copied() {
        let load = Load { in_flight, warm_up, measured };
        let contenders: Vec<_> = contenders.iter().filter(|it| it.takes_part(in_flight)).collect();
        let mut rounds: Vec<Vec<Round>> = contenders.iter().map(|_| Vec::new()).collect();
        for _ in 0..options.rounds {
            for (contender, rounds) in contenders.iter().zip(&mut rounds) {
                let own = new_folder(folder)?;
                let round = contender.round(&load, own.path()).await;
                rounds.push(round.with_context(|| format!("{} failed", contender.name()))?);
            }
        }
        let label = format!("{in_flight} in flight");
        for (contender, of_contender) in contenders.iter().zip(&rounds) {
            report.add(Figures::of(label.clone(), contender.name(), of_contender, &rounds[LIMIT]));
        }
        for (contender, of_peer) in contenders.iter().zip(&rounds).skip(OWN + 1) {
            report.compare(Versus::of(label.clone(), contender.name(), &rounds[OWN], of_peer));
        }
    }
    peers.remarks.iter().for_each(|remark| report.remark(remark.clone()));
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
        let line =
            "bench --no-peers --in-flight 1,8 --rounds 1 --seconds 0.1 --warm-up-seconds 0.05";
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
