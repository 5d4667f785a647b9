//! Who is counted: a user by their token, everybody else by their address.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::ConnectInfo;
use http::{HeaderMap, request};
use serde::Deserialize;
use uuid::Uuid;

/// Added by proxies, from the client on: `client, proxy1, proxy2`.
const FORWARDED_FOR: &str = "x-forwarded-for";
/// Proxies that are looked past at most.
const MAX_HOPS: usize = 16;
/// The part of an IPv6 address that is one customer's: RFC 6177 has sites get at least a /64.
const SITE_BITS: u32 = 64;

/// Who is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// Somebody with an account, wherever they are.
    User(Uuid),
    /// Whoever is at this address; of IPv6, the site.
    Address(IpAddr),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user_id) => write!(f, "user:{user_id}"),
            Self::Address(address) => write!(f, "address:{address}"),
        }
    }
}

impl Who {
    /// Everybody at an address that cannot be told from it.
    pub fn at(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(address) => {
                let site = address.to_bits() >> (128 - SITE_BITS) << (128 - SITE_BITS);
                IpAddr::V6(Ipv6Addr::from_bits(site))
            }
            address => address,
        })
    }
}

/// Addresses that begin alike: `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    first: IpAddr,
    bits: u32,
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let refused = || format!("{text:?} is no address, nor a network such as \"10.0.0.0/8\"");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().map_err(|_| refused())?)),
            None => (text.as_str(), None),
        };
        let first: IpAddr = address.parse().map_err(|_| refused())?;
        let most = if first.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        if bits > most { Err(refused()) } else { Ok(Self { first, bits }) }
    }
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        let shared = match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                (first.to_bits() ^ address.to_bits()).leading_zeros()
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                (first.to_bits() ^ address.to_bits()).leading_zeros()
            }
            _ => return false,
        };
        shared >= self.bits
    }
}

/// The address of the client of a request: the connection's, or, where that is a trusted proxy's, the one that it names.
/// What anybody else says of addresses is not believed.
pub fn client_address(parts: &request::Parts, trusted: &[Network]) -> IpAddr {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    // Every listener tells the peer; who cannot be told apart is counted together.
    let mut nearest = peer
        .map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip())
        .to_canonical();
    let is_trusted = |address| trusted.iter().any(|network| network.contains(address));
    // From the last proxy back to the client: each is believed as far as the one before it is trusted.
    for told in hops(&parts.headers).take(MAX_HOPS) {
        match (is_trusted(nearest), told) {
            (true, Some(address)) => nearest = address,
            (false, _) | (true, None) => break,
        }
    }
    nearest
}

/// What `x-forwarded-for` says, the last first; nothing for what is no address.
fn hops(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    let lines: Vec<_> = headers.get_all(FORWARDED_FOR).iter().collect();
    let hops = lines.into_iter().rev().flat_map(|line| {
        let hops: Vec<_> = line.to_str().unwrap_or("unreadable").split(',').rev().collect();
        hops
    });
    hops.map(|hop| {
        let hop = hop.trim();
        let with_port = || hop.parse::<SocketAddr>().map(|address| address.ip());
        hop.parse().or_else(|_| with_port()).ok().map(|address: IpAddr| address.to_canonical())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut request = http::Request::new(());
        let peer: IpAddr = peer.parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(peer, 4711)));
        for line in forwarded {
            request.headers_mut().append(FORWARDED_FOR, line.parse().unwrap());
        }
        let trusted: Vec<_> =
            trusted.iter().map(|text| Network::try_from((*text).to_owned()).unwrap()).collect();
        client_address(&request.into_parts().0, &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_say_who_the_client_is() {
        let ours = ["10.0.0.0/8", "fd00::/8"];
        for (peer, forwarded, expected) in [
            ("203.0.113.7", &["198.51.100.1"][..], "203.0.113.7"),
            ("10.1.1.1", &[], "10.1.1.1"),
            ("10.1.1.1", &["198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.1.1.1", &["198.51.100.1"], "198.51.100.1"),
            // What the client itself sent stands first, and is not believed.
            ("10.1.1.1", &["192.0.2.66, 198.51.100.1"], "198.51.100.1"),
            ("10.1.1.1", &["192.0.2.66", "198.51.100.1, 10.2.2.2"], "198.51.100.1"),
            ("fd00::1", &["2001:db8::5, 10.2.2.2"], "2001:db8::5"),
            ("10.1.1.1", &["198.51.100.1:50000"], "198.51.100.1"),
            ("10.1.1.1", &["198.51.100.1, unknown"], "10.1.1.1"),
            ("10.1.1.1", &["198.51.100.1, unknown, 10.2.2.2"], "10.2.2.2"),
        ] {
            assert_eq!(client(peer, forwarded, &ours), expected, "{peer} {forwarded:?}");
        }
        assert_eq!(client("127.0.0.1", &["198.51.100.1"], &[]), "127.0.0.1");
        let many = vec!["10.0.0.1"; 1_000].join(",");
        assert_eq!(client("10.1.1.1", &[&format!("192.0.2.66,{many}")], &ours), "10.0.0.1");
    }

    #[test]
    fn a_site_of_ipv6_is_one_and_an_address_of_ipv4_is_one() {
        let who = |text: &str| Who::at(text.parse().unwrap());
        assert_eq!(who("2001:db8:1:2::1"), who("2001:db8:1:2:ffff::9"));
        assert_ne!(who("2001:db8:1:2::1"), who("2001:db8:1:3::1"));
        assert_eq!(who("::ffff:192.0.2.1"), who("192.0.2.1"));
        assert_ne!(who("192.0.2.1"), who("192.0.2.2"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "proxy", "10.0.0.0/33", "::1/129", "10.0.0.0/", "10.0.0/8"] {
            assert!(Network::try_from(text.to_owned()).is_err(), "{text}");
        }
        let all = Network::try_from("0.0.0.0/0".to_owned()).unwrap();
        assert!(all.contains("203.0.113.7".parse().unwrap()));
        assert!(!all.contains("::1".parse().unwrap()));
    }
}
