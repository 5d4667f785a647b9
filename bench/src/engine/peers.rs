//! Other engines of durable execution on the same orders, in the same run: programs of their own, started once for all
//! rounds and spoken to as bench/peers/README.md says.
//!
//! | file | what |
//! | --- | --- |
//! | `installed.rs` | which are installed, and by which command they are started |
//! | `conversation.rs` | the program: its start, its rounds, its end |
//! | `tree.rs` | CPU time of it and all its children |

mod conversation;
mod installed;
mod tree;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use clap::Args;
use tokio::sync::Mutex;

use self::conversation::Conversation;
use self::installed::{Kind, Place};
use super::contender::{Contender, Round};
use super::load::Load;

/// Which peers take part.
#[derive(Args, Clone, Debug)]
pub struct PeerOptions {
    /// Measure without other engines, even if they are installed.
    #[arg(long)]
    no_peers: bool,
    /// Where `cargo xtask bench-peers` has put them.
    #[arg(long, value_name = "FOLDER", default_value_os_t = installed::default_folder())]
    peers: PathBuf,
}

/// The peers of a run: those that were started, and what is to be said of all.
pub struct Peers {
    /// In the order in which they take their turns.
    pub running: Vec<Arc<Peer>>,
    /// What runs with which settings, and what does not and why.
    pub remarks: Vec<String>,
}

impl Peers {
    /// Starts those that are installed, with their data beside `folder`.
    ///
    /// # Errors
    /// When one is installed and does not start: a table without it would look like a choice.
    pub async fn start(options: &PeerOptions, folder: &Path) -> Result<Peers> {
        let mut peers = Peers { running: Vec::new(), remarks: Vec::new() };
        if options.no_peers {
            return Ok(peers);
        }
        // Beside, not in it: an interrupted peer removes its own folder, a little later than this program does.
        let beside = folder.parent().unwrap_or(folder);
        for kind in [Kind::Restate, Kind::Dbos] {
            let command = match kind.command(&options.peers, beside) {
                Place::Here(command) => command,
                Place::Missing(what) => {
                    let missing = what.display();
                    peers.remarks.push(format!(
                        "{}: not measured, {missing} is missing; `cargo xtask bench-peers` installs it",
                        kind.name()
                    ));
                    continue;
                }
            };
            let (conversation, settings) = Conversation::start(kind.name(), command).await?;
            peers.remarks.push(format!("{}: {settings}", kind.name()));
            let peer = Peer { kind, conversation: Mutex::new(conversation) };
            peers.running.push(Arc::new(peer));
        }
        Ok(peers)
    }

    /// Ends them, and waits until they have removed what they kept.
    ///
    /// # Errors
    /// When one does not end.
    pub async fn stop(self) -> Result<()> {
        for peer in self.running {
            peer.conversation.lock().await.stop().await?;
        }
        Ok(())
    }
}

/// A peer that runs.
pub struct Peer {
    kind: Kind,
    conversation: Mutex<Conversation>,
}

#[async_trait]
impl Contender for Arc<Peer> {
    fn name(&self) -> String {
        self.kind.name().to_owned()
    }

    fn takes_part(&self, in_flight: u32) -> bool {
        in_flight <= self.kind.in_flight_limit()
    }

    /// Its store is its own and stays from round to round, so that it is as warm as it gets.
    async fn round(&self, load: &Load, _folder: &Path) -> Result<Round> {
        let (least_warm_up, least_measured) = self.kind.least_times(load.in_flight);
        let load = Load {
            in_flight: load.in_flight,
            warm_up: load.warm_up.max(least_warm_up),
            measured: load.measured.max(least_measured),
        };
        let mut conversation = self.conversation.lock().await;
        let before = conversation.cpu_time();
        let answer = conversation.round(&load).await?;
        let used =
            before.zip(conversation.cpu_time()).map(|(before, now)| now.saturating_sub(before));
        let orders = answer.orders.max(1) as f64;
        Ok(Round {
            waits: answer.latencies_us.into_iter().map(Duration::from_micros).collect(),
            measured: load.measured,
            cpu_per_order: used.map(|cpu| cpu.div_f64(orders)),
            ..Round::default()
        })
    }
}
