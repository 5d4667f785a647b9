//! The steps of `cargo xtask test` and `cargo xtask prove`, and the loop that runs, times and sums them up.

use std::ffi::OsString;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::previous;
use crate::tools::{self, Tool};

/// One check: its name, the tools without which it cannot run, and the commands that are the check.
struct Step {
    name: &'static str,
    why: &'static str,
    tools: &'static [Tool],
    without_tools: Without,
    /// Whether one CQL server is started for all of its test programs, unless `SOUK_TEST_CQL` names one.
    shares_cql: bool,
    /// Whether its tests upgrade a shop from the commit before this one, which is built first.
    upgrades: bool,
    commands: &'static [&'static [&'static str]],
}

/// Which steps there are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// What every change has to pass.
    Test,
    /// The tests of faults in their long form.
    Prove,
}

/// What of a step can be done without its tools, where their absence is no failure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Without {
    /// Nothing: the step is skipped.
    Nothing,
    /// A part: its tests skip themselves, as loudly.
    Part,
}

const STEPS: &[Step] = &[
    Step {
        name: "format",
        why: "one layout, no debate",
        tools: &[],
        without_tools: Without::Nothing,
        shares_cql: false,
        upgrades: false,
        commands: &[&["cargo", "fmt", "--all", "--check"]],
    },
    Step {
        name: "contract",
        why: "the protos follow buf's STANDARD rules",
        tools: &[Tool::Buf],
        without_tools: Without::Nothing,
        shares_cql: false,
        upgrades: false,
        commands: &[&["buf", "lint", "proto"]],
    },
    Step {
        name: "lint",
        why: "clippy and rustc warnings are errors",
        tools: &[],
        without_tools: Without::Nothing,
        shares_cql: false,
        upgrades: false,
        commands: &[&[
            "cargo",
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ]],
    },
    // One command for all of it: a selection of packages has dependencies of its own, and would compile twice.
    Step {
        name: "tests",
        why: "every crate, and the whole shop as real processes: kills, grpcurl, the browser",
        tools: &[Tool::Grpcurl, Tool::Chromium, Tool::Playwright, Tool::Backends],
        without_tools: Without::Part,
        shares_cql: true,
        upgrades: true,
        commands: &[&["cargo", "test", "--workspace", "--locked"]],
    },
];

const PROOFS: &[Step] = &[
    Step {
        name: "bus",
        why: "a broker that is frozen and killed again and again loses nothing",
        tools: &[Tool::Backends],
        without_tools: Without::Nothing,
        shares_cql: false,
        upgrades: false,
        commands: &[&["cargo", "test", "--package", "souk-mesh", "--locked", "rabbitmq"]],
    },
    Step {
        name: "kills",
        why: "a shop that is killed again and again keeps its word",
        tools: &[Tool::Backends],
        without_tools: Without::Nothing,
        shares_cql: true,
        upgrades: false,
        commands: &[&["cargo", "test", "--package", "souk", "--locked", "crash"]],
    },
    Step {
        name: "cluster",
        why: "a shop of many processes keeps its word while nodes die, freeze, leave, join and are upgraded",
        tools: &[Tool::Backends],
        without_tools: Without::Nothing,
        shares_cql: false,
        upgrades: true,
        commands: &[&["cargo", "test", "--package", "souk", "--locked", "cluster::"]],
    },
    Step {
        name: "network",
        why: "connections that are slow, torn, half open or a trickle cost no order",
        tools: &[Tool::Backends],
        without_tools: Without::Nothing,
        shares_cql: true,
        upgrades: false,
        commands: &[&["cargo", "test", "--package", "souk", "--locked", "network"]],
    },
];

impl Suite {
    fn steps(self) -> &'static [Step] {
        match self {
            Suite::Test => STEPS,
            Suite::Prove => PROOFS,
        }
    }

    /// The names of all steps, for the usage line.
    pub fn names(self) -> String {
        self.steps().iter().map(|step| step.name).collect::<Vec<_>>().join("|")
    }
}

/// What became of a step.
enum Outcome {
    Passed,
    Failed,
    Skipped,
}

/// Runs the named steps (all when none is named). `Ok(false)` when one failed.
pub fn run(suite: Suite, wanted: &[String]) -> Result<bool> {
    let steps = suite.steps();
    if let Some(unknown) = wanted.iter().find(|name| steps.iter().all(|step| step.name != **name)) {
        bail!("no step is called {unknown:?}; there are {}", suite.names());
    }
    let chosen = steps
        .iter()
        .filter(|step| wanted.is_empty() || wanted.iter().any(|name| name == step.name));
    let mut report = Vec::new();
    for step in chosen {
        println!("\n=== {}: {}", step.name, step.why);
        let started = Instant::now();
        let outcome = run_step(suite, step)?;
        let failed = matches!(outcome, Outcome::Failed);
        report.push((step.name, outcome, started.elapsed()));
        if failed {
            break;
        }
    }
    println!();
    for (name, outcome, took) in &report {
        let word = match outcome {
            Outcome::Passed => "passed",
            Outcome::Failed => "FAILED",
            Outcome::Skipped => "SKIPPED",
        };
        println!("{name:<10} {word:<8} {:>6.1} s", took.as_secs_f64());
    }
    let count = |wanted: fn(&Outcome) -> bool| report.iter().filter(|(_, o, _)| wanted(o)).count();
    let failed = count(|outcome| matches!(outcome, Outcome::Failed));
    println!(
        "{} passed, {failed} failed, {} skipped",
        count(|outcome| matches!(outcome, Outcome::Passed)),
        count(|outcome| matches!(outcome, Outcome::Skipped)),
    );
    Ok(failed == 0)
}

fn run_step(suite: Suite, step: &Step) -> Result<Outcome> {
    for tool in step.tools {
        if let Err(error) = tools::ensure(*tool) {
            eprintln!("!!! {}: {tool:?} cannot be had: {error:#}", step.name);
            if tools::under_ci() {
                return Ok(Outcome::Failed);
            }
            if step.without_tools == Without::Nothing {
                eprintln!("!!! {} IS SKIPPED (with CI=true this is a failure)", step.name);
                return Ok(Outcome::Skipped);
            }
            eprintln!("!!! PARTS OF {} ARE SKIPPED (with CI=true this is a failure)", step.name);
        }
    }
    let environment = environment(suite, step)?;
    for command in step.commands {
        let (program, arguments) = command.split_first().context("a step has a program")?;
        let status = Command::new(program)
            .args(arguments)
            .envs(environment.iter().cloned())
            .current_dir(tools::root())
            .status()
            .with_context(|| format!("starting {program}"))?;
        if !status.success() {
            eprintln!("!!! {} failed: {} ({status})", step.name, command.join(" "));
            return Ok(Outcome::Failed);
        }
    }
    Ok(Outcome::Passed)
}

/// The installed tools come first on the path, Node finds the installed packages, and tests find the CQL server, which
/// ends with this process.
fn environment(suite: Suite, step: &Step) -> Result<Vec<(&'static str, OsString)>> {
    let mut folders = vec![tools::binaries(), tools::node_modules().join(".bin")];
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let path = std::env::join_paths(folders).unwrap_or_default();
    let mut all = vec![("PATH", path), ("NODE_PATH", tools::node_modules().into_os_string())];
    if step.shares_cql
        && let Some(contact_points) = souk_backends::cql_for_tests()
    {
        all.push((souk_backends::CQL_VARIABLE, contact_points.join(",").into()));
    }
    if suite == Suite::Prove {
        all.push((souk_backends::PROVE_VARIABLE, "1".into()));
    }
    if step.upgrades
        && let Some(program) = previous::program()?
    {
        all.push((souk_backends::PREVIOUS_VARIABLE, program.into()));
    }
    Ok(all)
}
