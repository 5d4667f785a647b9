//! `cargo xtask test`: every check of the project, in the order in which they fail fastest.
//!
//! `cargo xtask test` runs all steps; `cargo xtask test STEP…` runs the named ones; `cargo xtask prove` runs the tests of
//! faults in their long form. `cargo xtask tools` installs what the steps need and says where, `cargo xtask bench-peers`
//! what benchmarks compare with. A step whose tool cannot be had is skipped loudly, and is a failure when `CI=true`.

mod peers;
mod previous;
mod steps;
mod tools;

use std::process::ExitCode;

use steps::Suite;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((command, names)) if command == "test" => steps::run(Suite::Test, names),
        Some((command, names)) if command == "prove" => steps::run(Suite::Prove, names),
        Some((command, [])) if command == "tools" => tools::install_all().map(|()| true),
        Some((command, [])) if command == "bench-peers" => peers::install().map(|()| true),
        _ => {
            eprintln!(
                "usage: cargo xtask test [{}]\n       cargo xtask prove [{}]\n       cargo xtask tools\n       \
                 cargo xtask bench-peers",
                Suite::Test.names(),
                Suite::Prove.names()
            );
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
