//! What the broker is, and whether it lets us in: for `souk doctor`.
//!
//! The broker says its version in the first frame of a connection (AMQP 0-9-1, sections 2.2.4 and 4.2), which the client
//! library keeps to itself; so it is read here before one is made by the library.

use lapin::uri::{AMQPScheme, AMQPUri};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::link::{CONNECT_LIMIT, Link};
use crate::bus::Error;

/// What a client of version 0-9-1 begins with.
const PROTOCOL: &[u8] = b"AMQP\x00\x00\x09\x01";
/// Type, channel and size of a frame's payload.
const FRAME_HEADER_LENGTH: usize = 7;
/// Class and method of Connection.Start, and the version of the protocol.
const START_LENGTH: usize = 6;
/// Longest first frame that is read, in bytes.
const LONGEST_FRAME: usize = 64 * 1024;

/// What the broker says of itself; empty where it speaks TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// `RabbitMQ`.
    pub product: String,
    /// `3.10.8`.
    pub version: String,
}

/// Looks at the broker behind a URL, and whether it lets us in. Changes nothing.
///
/// # Errors
/// [`Error::Url`]; [`Error::Broker`] and [`Error::Silent`] when it is away or lets nobody in.
pub async fn look(url: &SecretString) -> Result<Look, Error> {
    let uri: AMQPUri = url.expose_secret().parse().map_err(|_| Error::Url)?;
    let look = match uri.scheme {
        AMQPScheme::AMQP => {
            let reading = first_frame(&uri.authority.host, uri.authority.port);
            let doing = "connecting";
            let read = timeout(CONNECT_LIMIT, reading).await;
            let read = read.map_err(|_| Error::Silent { doing, limit: CONNECT_LIMIT })?;
            let frame =
                read.map_err(|source| Error::Broker { doing, source: Box::new(source.into()) })?;
            said_in(&frame).unwrap_or_default()
        }
        AMQPScheme::AMQPS => Look::default(),
    };
    Link::new(uri, "doctor").channel().await?;
    Ok(look)
}

async fn first_frame(host: &str, port: u16) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((host, port)).await?;
    stream.write_all(PROTOCOL).await?;
    let mut header = [0; FRAME_HEADER_LENGTH];
    stream.read_exact(&mut header).await?;
    let size = u32::from_be_bytes([header[3], header[4], header[5], header[6]]) as usize;
    let mut payload = vec![0; size.min(LONGEST_FRAME)];
    stream.read_exact(&mut payload).await?;
    Ok(payload)
}

/// Reads the server's properties: a table of short names and typed values.
fn said_in(payload: &[u8]) -> Option<Look> {
    let mut rest = payload.get(START_LENGTH..)?;
    let mut table = taken(&mut rest, 4)?;
    let mut look = Look::default();
    while !table.is_empty() {
        let name = taken(&mut table, 1)?;
        let (kind, value) = table.split_first()?;
        table = value;
        let value = match kind {
            b'S' | b'x' | b'F' | b'A' => taken(&mut table, 4)?,
            b't' | b'b' | b'B' => fixed(&mut table, 1)?,
            b's' | b'u' | b'U' => fixed(&mut table, 2)?,
            b'I' | b'i' | b'f' => fixed(&mut table, 4)?,
            b'D' => fixed(&mut table, 5)?,
            b'l' | b'L' | b'd' | b'T' => fixed(&mut table, 8)?,
            b'V' => &[],
            _ => return None,
        };
        let text = || String::from_utf8_lossy(value).into_owned();
        match name {
            b"product" => look.product = text(),
            b"version" => look.version = text(),
            _ => {}
        }
    }
    Some(look)
}

fn fixed<'a>(from: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (value, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(value)
}

/// What follows its own length, of so many bytes.
fn taken<'a>(from: &mut &'a [u8], length_bytes: usize) -> Option<&'a [u8]> {
    let length = fixed(from, length_bytes)?;
    let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    fixed(from, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_frame_tells_product_and_version_and_a_broken_one_nothing() {
        let mut table: Vec<u8> = Vec::new();
        table.extend(b"\x0ccapabilitiesF\x00\x00\x00\x0a\x07confirmt\x01");
        table.extend(b"\x07productS\x00\x00\x00\x08RabbitMQ\x07versionS\x00\x00\x00\x063.10.8");
        let mut frame = b"\x00\x0a\x00\x0a\x00\x09".to_vec();
        frame.extend((table.len() as u32).to_be_bytes());
        frame.extend(table);
        let look = said_in(&frame).unwrap();
        assert_eq!((&*look.product, &*look.version), ("RabbitMQ", "3.10.8"));
        for end in 0..frame.len() {
            assert_eq!(said_in(&frame[..end]), None, "{end}");
        }
    }
}
