//! `souk workflow nodes`: which nodes share the runs, and how.

use anyhow::Result;
use clap::Args;
use souk_proto::time;
use souk_proto::workflow::v1::{EngineNode, EngineNodeState, ListNodesRequest};

use super::output::{Output, print_json};
use super::{Client, moment};

/// How it is printed.
#[derive(Args)]
pub struct List {
    /// A table for people, or a line of JSON per node.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// Prints a line for each node.
pub async fn print(client: &mut Client, list: List) -> Result<()> {
    let answer = client.list_nodes(ListNodesRequest {}).await?.into_inner();
    if list.output == Output::Text {
        println!(
            "{:>6} {:<10} {:>10} {:<21} ADDRESS",
            "NODE", "STATE", "PARTITIONS", "TABLES AS OF"
        );
    }
    for node in &answer.nodes {
        match list.output {
            Output::Text => print_row(node),
            Output::Json => print_json("souk.workflow.v1.EngineNode", node)?,
        }
    }
    if list.output == Output::Text && answer.free_partitions > 0 {
        println!("{} partitions are nobody's now", answer.free_partitions);
    }
    Ok(())
}

fn print_row(node: &EngineNode) {
    let state = match node.state() {
        EngineNodeState::Live => "live",
        EngineNodeState::Leaving => "leaving",
        EngineNodeState::Sealed => "sealed",
        EngineNodeState::Unspecified => "unknown",
    };
    let as_of = node.as_of.as_ref().map_or_else(|| "-".to_owned(), |at| moment(time::unix_ms(at)));
    let address = if node.address.is_empty() { "-" } else { &node.address };
    println!(
        "{:>6} {:<10} {:>10} {:<21} {address}",
        node.log_id,
        state,
        node.partitions.len(),
        as_of
    );
}
