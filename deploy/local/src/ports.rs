//! Ports that nobody uses.

use std::net::{IpAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, bail};

/// Ports below those that systems give to whoever asks for any, so that a server that was killed finds its own again.
const RANGE: std::ops::Range<u16> = 30_000..32_000;

/// How many this process has looked at: nobody is given a port that another has just been given.
static LOOKED: AtomicU32 = AtomicU32::new(0);

/// A port that is free on all of these addresses. Where to begin to look differs by process, so that several may look at
/// once.
pub fn free_on(addresses: &[IpAddr]) -> Result<u16> {
    let count = u32::from(RANGE.end - RANGE.start);
    for _ in 0..count {
        let looked = LOOKED.fetch_add(1, Ordering::Relaxed);
        let step = std::process::id().wrapping_mul(97).wrapping_add(looked) % count;
        let port = RANGE.start + step as u16;
        if addresses.iter().all(|address| TcpListener::bind((*address, port)).is_ok()) {
            return Ok(port);
        }
    }
    bail!("no port from {} to {} is free", RANGE.start, RANGE.end)
}
