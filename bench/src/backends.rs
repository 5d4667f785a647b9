//! The backends of a mesh that are on this machine, so that what an order costs them can be told, too.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::str::FromStr as _;

/// Processes, each with its name, that listen where this configuration (TOML of a mesh) says its backends are. Those that
/// are elsewhere, or belong to somebody else, are left out.
pub fn on_this_machine(config: &str) -> Vec<(String, u32)> {
    let mut found: Vec<(String, u32)> = Vec::new();
    for address in addresses(config) {
        let Some(pid) = listener(address) else { continue };
        if found.iter().all(|(_, known)| *known != pid) {
            found.push((name(pid), pid));
        }
    }
    found
}

/// Everything in it that reads as `address:port`.
fn addresses(config: &str) -> Vec<SocketAddr> {
    let is_part = |char: char| char.is_ascii_alphanumeric() || ".:".contains(char);
    let words = config.lines().filter(|line| !line.trim_start().starts_with('#'));
    let words = words.flat_map(|line| line.split(|char| !is_part(char)));
    words.filter_map(|word| SocketAddr::from_str(word.trim_matches(':')).ok()).collect()
}

/// As the kernel calls it.
fn name(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm"));
    name.map_or_else(|_| pid.to_string(), |name| name.trim().to_owned())
}

/// The process that listens at an address of this machine: whose open files include the socket, by its inode.
fn listener(address: SocketAddr) -> Option<u32> {
    let inode = inode_of_listener(address)?;
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| has_open(*pid, inode))
}

fn has_open(pid: u32, inode: u64) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files.filter_map(Result::ok).any(|file| {
        fs::metadata(file.path())
            .is_ok_and(|file| file.ino() == inode && file.mode() & SOCKET == SOCKET)
    })
}

/// The bits of a socket in a file's mode: inode(7).
const SOCKET: u32 = 0o140_000;
/// How a listening socket is marked in `/proc/net/tcp`: proc_net(5), the kernel's tcp_states.h.
const LISTENING: &str = "0A";

fn inode_of_listener(address: SocketAddr) -> Option<u64> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    let mut sockets = tables.iter().flatten().flat_map(|table| table.lines());
    sockets.find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, _, state) = (fields.next()?, fields.next()?, fields.next()?);
        let inode = fields.nth(5)?;
        (state == LISTENING && listens_at(local, address)).then(|| inode.parse().ok())?
    })
}

/// Whether `local` (`0100007F:1F90`: the address in the machine's order of bytes, the port as a number) takes what is
/// sent to an address: one of IPv6, which takes IPv4 as well, is told by its port alone.
fn listens_at(local: &str, address: SocketAddr) -> bool {
    let Some((host, port)) = local.split_once(':') else { return false };
    if u16::from_str_radix(port, 16) != Ok(address.port()) {
        return false;
    }
    match (u32::from_str_radix(host, 16), address.ip()) {
        (Ok(0), _) | (Err(_), _) => true,
        (Ok(host), IpAddr::V4(ip)) => host.to_ne_bytes() == ip.octets(),
        (Ok(_), IpAddr::V6(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn who_listens_where_a_configuration_points_is_found() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let config = format!(
            "# 127.0.0.1:1\nredis.url = \"redis://{address}/0\"\ncql.contact_points = \"{address},127.0.0.1:2\"\n"
        );
        let found = on_this_machine(&config);
        assert_eq!(found.iter().map(|(_, pid)| *pid).collect::<Vec<_>>(), [std::process::id()]);
        drop(listener);
        assert_eq!(on_this_machine(&config), []);
    }
}
