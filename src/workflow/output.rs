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
    println!("{}", serde_json::to_string(&json(name, message)?)?);
    Ok(())
}

/// A message of the contract in its JSON form. `name` is its full name.
pub fn json(name: &str, message: &impl Message) -> Result<DynamicMessage> {
    let descriptor =
        souk_proto::pool().get_message_by_name(name).context("the contract has no such message")?;
    Ok(DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?)
}
