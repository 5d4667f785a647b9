//! `souk`: a whole shop in one binary. Without an argument it runs the shop on this machine; as `serve ROLE…` it is
//! one process of a mesh; the other commands talk to a running shop, as customers or as those who run it.

mod backends;
mod cli;
mod complaint;
mod config;
mod demo;
mod doctor;
mod events;
mod operator;
mod process;
mod provider;
mod replay;
mod role;
mod schedule;
mod workflow;

use std::process::ExitCode;

use clap::Parser as _;

/// The engine and the gRPC stack allocate in small pieces on many threads: a fifth to a third less CPU per workflow
/// than with the system's allocator (docs/PERFORMANCE.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    complaint::end_quietly_when_nobody_reads();
    let command = cli::Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("souk: cannot start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(command.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("souk: {}", complaint::of(&error));
            ExitCode::FAILURE
        }
    }
}
