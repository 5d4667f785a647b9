//! A sandbox payment provider: its own process, ledger and faults, spoken to over HTTP.
