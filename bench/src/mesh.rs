//! A shop of many processes, one for each role and several for some, that meet over sockets: what a cluster runs, on one
//! machine. Benchmarks load it; the tests of the whole shop kill, freeze and replace its members.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::child::{Child, address_on};
use crate::invariants::Places;
use crate::provider;

/// Roles of a shop, in the order in which they are started: each after those that it calls first.
const ROLES: [&str; 9] =
    ["workflow", "user", "catalog", "cart", "payment", "notify", "search", "order", "edge"];
/// Ports below those that systems give to whoever asks for any, and how many are tried.
const STEADY_PORTS: std::ops::Range<u16> = 20_000..30_000;
const STEADY_TRIES: u32 = 100;
/// What an orchestrator says last that the others took for dead.
const FENCED: &str = "this node was taken for dead";
/// The file that all members read.
const CONFIG_FILE: &str = "mesh.toml";

/// How a mesh is to be.
pub struct Plan {
    /// The program that its members run.
    pub program: PathBuf,
    /// Where configuration, data and logs are.
    pub folder: PathBuf,
    /// What is added to the configuration, as TOML: where the stores are, for one.
    pub config: String,
    /// Roles of which there are several, and how many.
    pub replicas: BTreeMap<String, usize>,
}

/// A running mesh, and its payment provider.
pub struct Mesh {
    /// Where the edge is.
    pub edge: String,
    /// Where the payment provider is.
    pub provider: String,
    folder: PathBuf,
    members: Vec<Member>,
    provider_child: Child,
}

/// One process of the mesh. Killed when it is dropped.
pub struct Member {
    /// Its role.
    pub role: &'static str,
    /// Where it serves the others, `http://host:port`: the same for as long as it is a member.
    pub internal: String,
    /// Where browsers and phones reach it, if it is an edge; the same, too.
    pub edge: Option<String>,
    /// Where its metrics are, since it was started last.
    pub ops: String,
    program: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
}

impl Mesh {
    /// Starts everything, and returns when all serve.
    ///
    /// # Errors
    /// When a process does not start; with the end of its log.
    pub async fn start(plan: Plan) -> Result<Mesh> {
        let Plan { program, folder, config, replicas } = plan;
        let (provider_child, provider) = provider::start(&program, &folder).await?;
        let mut members = Vec::new();
        for role in ROLES {
            for number in 0..replicas.get(role).copied().unwrap_or(1) {
                members.push(Member::new(&program, &folder, role, number)?);
            }
        }
        let text = configuration(&config, &provider, &folder, &members)?;
        std::fs::write(folder.join(CONFIG_FILE), text)?;
        for member in &mut members {
            member.start_again().await?;
        }
        let edge = members.iter().find_map(|member| member.edge.clone());
        let edge = edge.context("a mesh has an edge")?;
        Ok(Mesh { edge, provider, folder, members, provider_child })
    }

    /// All roles, in the order in which they are started.
    pub fn roles(&self) -> impl Iterator<Item = &'static str> + use<> {
        ROLES.into_iter()
    }

    /// The members of a role.
    pub fn members(&mut self, role: &str) -> Vec<&mut Member> {
        self.members.iter_mut().filter(|member| member.role == role).collect()
    }

    /// A new member of a role that the others reach only through what stores say of it (as nodes of the orchestrator do):
    /// the configuration of the others does not change.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn add(&mut self, role: &'static str) -> Result<&mut Member> {
        let program = self.members.first().context("a mesh has members")?.program.clone();
        let number = self.members.iter().filter(|member| member.role == role).count();
        let mut member = Member::new(&program, &self.folder, role, number)?;
        member.start_again().await?;
        self.members.push(member);
        self.members.last_mut().context("it has just been added")
    }

    /// Starts those again that the others took for dead and that ended for it, as whoever runs a cluster does; how many.
    /// On a machine with more to do than it can, a node may be silent for too long.
    ///
    /// # Errors
    /// When one has ended for another reason, or does not start.
    pub async fn start_fenced_again(&mut self) -> Result<usize> {
        let mut started = 0;
        for member in &mut self.members {
            let Some(child) = &mut member.child else { continue };
            if !child.has_ended()? {
                continue;
            }
            let tail = child.tail();
            ensure!(tail.contains(FENCED), "{} has ended:\n{tail}", member.role);
            member.start_again().await?;
            started += 1;
        }
        Ok(started)
    }

    /// Where each service is.
    pub fn places(&self) -> Places {
        let first = |role: &str| self.members.iter().find(|member| member.role == role);
        let place = |role| first(role).map_or_else(String::new, |member| member.internal.clone());
        Places {
            catalog: place("catalog"),
            order: place("order"),
            payment: place("payment"),
            workflow: place("workflow"),
        }
    }

    /// The folder with the shop's keys.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The configuration that all members read.
    pub fn config_file(&self) -> PathBuf {
        self.folder.join(CONFIG_FILE)
    }

    /// Process ids of those that run, by role, in the order in which they were started.
    pub fn pids(&self) -> Vec<(&'static str, u32)> {
        let running = |member: &Member| Some((member.role, member.child.as_ref()?.pid()?));
        self.members.iter().filter_map(running).collect()
    }

    /// Where the metrics of all members are.
    pub fn ops(&self) -> Vec<String> {
        self.members.iter().map(|member| member.ops.clone()).collect()
    }

    /// The provider's process id, unless it has ended.
    pub fn provider_pid(&self) -> Option<u32> {
        self.provider_child.pid()
    }

    /// The ends of the logs of all members.
    pub fn log_tails(&self) -> String {
        let mut text = String::new();
        for child in self.members.iter().filter_map(|member| member.child.as_ref()) {
            let _ = writeln!(text, "{}", child.tail());
        }
        text
    }
}

impl Member {
    fn new(program: &Path, folder: &Path, role: &'static str, number: usize) -> Result<Member> {
        let internal = steady_address()?;
        let edge = if role == "edge" { Some(steady_address()?) } else { None };
        let name = format!("{role}-{number}");
        let mut arguments = vec![
            "serve".to_owned(),
            role.to_owned(),
            "--config".to_owned(),
            folder.join(CONFIG_FILE).display().to_string(),
        ];
        let mut set =
            vec![format!("listen.internal={internal}"), "listen.ops=127.0.0.1:0".to_owned()];
        if let Some(edge) = &edge {
            // All customers of a load come from one address, and order as fast as they can.
            set.extend([format!("listen.edge={edge}"), "edge.rate_limits=off".to_owned()]);
        }
        if role == "catalog" && number == 0 {
            set.push("catalog.seed=true".to_owned());
        }
        for setting in set {
            arguments.extend(["--set".to_owned(), setting]);
        }
        let log = folder.join(format!("{name}.log"));
        Ok(Member {
            role,
            internal: format!("http://{internal}"),
            edge: edge.map(|edge| format!("http://{edge}")),
            ops: String::new(),
            program: program.to_owned(),
            arguments,
            log,
            child: None,
        })
    }

    /// Starts it, where it was; returns when it serves.
    ///
    /// # Errors
    /// When it does not start; with the end of its log.
    pub async fn start_again(&mut self) -> Result<()> {
        // Said last of all addresses: by then it serves.
        let ready = |line: &str| address_on(line, "metrics");
        let (child, metrics) =
            Child::start(&self.program, &self.arguments, &self.log, ready).await?;
        self.ops = metrics.trim_end_matches("/metrics").to_owned();
        self.child = Some(child);
        Ok(())
    }

    /// From its next start on it runs another build.
    pub fn replace_program(&mut self, program: &Path) {
        program.clone_into(&mut self.program);
    }

    /// Ends it as a power cut would.
    ///
    /// # Errors
    /// When the system does not let it.
    pub async fn kill(&mut self) -> Result<()> {
        match self.child.take() {
            Some(mut child) => child.kill().await,
            None => Ok(()),
        }
    }

    /// Tells it to stop, and waits until it has.
    ///
    /// # Errors
    /// When it does not within `limit`.
    pub async fn stop(&mut self, limit: Duration) -> Result<()> {
        self.signal("TERM")?;
        match self.child.take() {
            Some(mut child) => child.ended(limit).await.map(drop),
            None => Ok(()),
        }
    }

    /// Waits until it has ended by itself, as one does that has lost its log.
    ///
    /// # Errors
    /// When it does not within `limit`.
    pub async fn ended(&mut self, limit: Duration) -> Result<()> {
        match &mut self.child {
            Some(child) => child.ended(limit).await?,
            None => return Ok(()),
        };
        self.child = None;
        Ok(())
    }

    /// Sends it a signal by name: `STOP` freezes it, `CONT` wakes it.
    ///
    /// # Errors
    /// When it is not running.
    pub fn signal(&self, name: &str) -> Result<()> {
        let pid = self.child.as_ref().and_then(Child::pid).context("it is not running")?;
        let sent =
            std::process::Command::new("kill").args(["-s", name, &pid.to_string()]).status()?;
        ensure!(sent.success(), "it cannot be sent {name}");
        Ok(())
    }
}

/// What all members read: where each of them is, and what the plan adds.
fn configuration(
    config: &str,
    provider: &str,
    folder: &Path,
    members: &[Member],
) -> Result<String> {
    let mut text = String::new();
    writeln!(text, "data = {:?}", folder.join("data").display().to_string())?;
    writeln!(text, "payment.provider_url = {provider:?}")?;
    for role in ROLES.iter().filter(|role| **role != "edge") {
        let places = members.iter().filter(|member| member.role == *role);
        let places: Vec<&String> = places.map(|member| &member.internal).collect();
        match places[..] {
            [one] => writeln!(text, "mesh.services.{role} = {one:?}")?,
            _ => writeln!(text, "mesh.services.{role} = {places:?}")?,
        }
    }
    text.push_str(config);
    Ok(text)
}

/// A free port that the system gives to nobody by itself: who listens there, ends and comes back, finds it free.
///
/// # Errors
/// When none is found.
pub fn steady_address() -> Result<String> {
    let bind = |_| TcpListener::bind(("127.0.0.1", rand::random_range(STEADY_PORTS))).ok();
    let listener = (0..STEADY_TRIES).find_map(bind).context("no port is free")?;
    Ok(listener.local_addr()?.to_string())
}
