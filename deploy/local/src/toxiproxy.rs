//! Toxiproxy: connections that are slow, torn, half open or a trickle, on demand.
//!
//! Its HTTP interface: <https://github.com/Shopify/toxiproxy#http-api>.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::server::{Recipe, make_folder};
use crate::{Server, install, ports};

/// How long Toxiproxy may take for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Longest answer that is read, in bytes.
const ANSWER_LENGTH: u64 = 1 << 20;

/// A Toxiproxy of one's own.
pub struct Toxiproxy {
    server: Server,
}

/// A port that leads to a server, in such a condition as is asked for. Gone with its [`Toxiproxy`].
#[derive(Clone, Debug)]
pub struct Proxy {
    api: SocketAddr,
    name: String,
    listen: SocketAddr,
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Upstream,
    /// From the server to the client.
    Downstream,
}

/// What can be wrong with connections, old and new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toxic {
    /// Everything comes later, by so many milliseconds and at most so many more or less.
    Latency {
        /// By how much.
        latency_ms: u32,
        /// How much more or less.
        jitter_ms: u32,
    },
    /// No more than so many thousand bytes a second.
    Bandwidth {
        /// How many.
        kilobytes_per_s: u32,
    },
    /// Connections are torn (RST) so many milliseconds after they are used.
    ResetPeer {
        /// How many.
        after_ms: u32,
    },
    /// Connections stay open and nothing comes through: half-open, as when a machine on the way is gone. When this is
    /// healed they are closed.
    HalfOpen,
}

impl Toxic {
    fn described(self, name: &str, direction: Direction) -> Value {
        let (kind, attributes) = match self {
            Toxic::Latency { latency_ms, jitter_ms } => {
                ("latency", json!({ "latency": latency_ms, "jitter": jitter_ms }))
            }
            Toxic::Bandwidth { kilobytes_per_s } => {
                ("bandwidth", json!({ "rate": kilobytes_per_s }))
            }
            Toxic::ResetPeer { after_ms } => ("reset_peer", json!({ "timeout": after_ms })),
            // Without end.
            Toxic::HalfOpen => ("timeout", json!({ "timeout": 0 })),
        };
        let stream = match direction {
            Direction::Upstream => "upstream",
            Direction::Downstream => "downstream",
        };
        json!({ "name": name, "type": kind, "stream": stream, "attributes": attributes })
    }
}

impl Toxiproxy {
    /// Starts it on a free port, with its log in `folder`.
    ///
    /// # Errors
    /// When it can neither be found nor installed, and when it does not come up.
    pub fn start(folder: &Path) -> Result<Toxiproxy> {
        let program = install::toxiproxy()?;
        let port = ports::free_on(&[IpAddr::V4(Ipv4Addr::LOCALHOST)])?;
        let recipe = Recipe {
            name: "toxiproxy".to_owned(),
            program,
            arguments: ["-host", "127.0.0.1", "-port", &port.to_string()]
                .map(str::to_owned)
                .to_vec(),
            environment: vec![("LOG_LEVEL".to_owned(), "warn".to_owned())],
            folder: make_folder(folder)?,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            hello: b"GET /version HTTP/1.0\r\n\r\n",
            answer: b"HTTP/1.",
            patience: Duration::from_secs(20),
            disposable: None,
        };
        Ok(Toxiproxy { server: Server::start(recipe)? })
    }

    /// A new port that leads to `server`, in good condition.
    ///
    /// # Errors
    /// When there is one of this name, or no port is free.
    pub fn lead_to(&self, name: &str, server: SocketAddr) -> Result<Proxy> {
        let port = ports::free_on(&[IpAddr::V4(Ipv4Addr::LOCALHOST)])?;
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let api = self.server.address();
        let body = json!({
            "name": name, "listen": listen.to_string(), "upstream": server.to_string(),
            "enabled": true,
        });
        ask(api, "POST", "/proxies", Some(&body))?;
        Ok(Proxy { api, name: name.to_owned(), listen })
    }
}

impl Proxy {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// Adds what is wrong from now on, in one direction.
    ///
    /// # Errors
    /// When Toxiproxy refuses, or such a toxic is there in that direction.
    pub fn poison(&self, toxic: Toxic, direction: Direction) -> Result<()> {
        let described = toxic.described("", direction);
        let path = format!("/proxies/{}/toxics", self.name);
        ask(self.api, "POST", &path, Some(&described)).map(drop)
    }

    /// The same in both directions.
    ///
    /// # Errors
    /// Those of [`Proxy::poison`].
    pub fn poison_both(&self, toxic: Toxic) -> Result<()> {
        self.poison(toxic, Direction::Upstream)?;
        self.poison(toxic, Direction::Downstream)
    }

    /// Nothing is wrong any more.
    ///
    /// # Errors
    /// When Toxiproxy refuses.
    pub fn heal(&self) -> Result<()> {
        let path = format!("/proxies/{}/toxics", self.name);
        let toxics = ask(self.api, "GET", &path, None)?;
        for toxic in toxics.as_array().context("a list of toxics")? {
            let name = toxic["name"].as_str().context("a toxic has a name")?;
            ask(self.api, "DELETE", &format!("{path}/{name}"), None)?;
        }
        Ok(())
    }
}

/// One call of the HTTP interface; `Null` where the answer is empty.
fn ask(api: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
    let what = || format!("{method} {path} of Toxiproxy");
    let mut stream = TcpStream::connect_timeout(&api, ANSWER_LIMIT).with_context(what)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    let body = body.map_or_else(String::new, Value::to_string);
    let length = body.len();
    // In version 1.0 an answer ends with its connection.
    write!(stream, "{method} {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}")?;
    let mut answer = String::new();
    stream.take(ANSWER_LENGTH).read_to_string(&mut answer).with_context(what)?;
    let (head, content) = answer.split_once("\r\n\r\n").with_context(what)?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if !status.starts_with('2') {
        bail!("{} answers {status}: {content}", what());
    }
    if content.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(content).with_context(what)
}
