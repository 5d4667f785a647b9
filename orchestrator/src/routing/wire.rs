//! Calls between engines as messages of the contract, and back.

mod error;
pub(super) mod reply;
pub(super) mod request;
mod run;

#[cfg(test)]
mod tests;
