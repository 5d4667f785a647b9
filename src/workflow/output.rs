//! Answers as people read them, or as scripts do.

use anyhow::{Context, Result};
use clap::ValueEnum;
use prost::Message;
use prost_reflect::DynamicMessage;

/// How to print an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For scripts: the contract's messages in their JSON form, one to a line.
    Json,
}

/// Prints a message of the contract as one line of JSON. `name` is its full name.
pub fn print_json(name: &str, message: &impl Message) -> Result<()> {
    let descriptor =
        souk_proto::pool().get_message_by_name(name).context("the contract has no such message")?;
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
    println!("{}", serde_json::to_string(&dynamic)?);
    Ok(())
}
