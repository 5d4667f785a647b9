//! The sandbox payment provider as a child: it stands for somebody else, so it outlives whatever happens to the shop.

use std::path::Path;

use anyhow::Result;

use crate::child::{Child, address_on};

/// What it prints before its address.
const GREETING: &str = "sandbox-provider listens on";

/// Starts it with its books in `folder`; where it is.
///
/// # Errors
/// When it does not start.
pub async fn start(program: &Path, folder: &Path) -> Result<(Child, String)> {
    let ledger = folder.join("provider").display().to_string();
    let arguments =
        ["sandbox-provider", "--with-parent", "--listen", "127.0.0.1:0", "--ledger", &ledger];
    let arguments = arguments.map(str::to_owned);
    let log = folder.join("provider.log");
    Child::start(program, &arguments, &log, |line| address_on(line, GREETING)).await
}
