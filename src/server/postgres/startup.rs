//! The first packets, before anybody is authenticated: encryption, CancelRequest, and the startup packet with its options.

use bytes::Bytes;

use super::wire::Reader;
use crate::error::{ErrorKind, Fault};

/// PostgreSQL's own bound on a startup packet.
pub const LONGEST: usize = 10_000;

const CANCEL: i32 = 80_877_102;
const SSL: i32 = 80_877_103;
const GSS: i32 = 80_877_104;
const MAJOR: i32 = 3;
/// The newest minor version that we speak: keys for cancelling may be longer than four bytes.
const NEWEST_MINOR: i32 = 2;

/// A packet without a type.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet {
    /// Asks for TLS.
    Ssl,
    /// Asks for GSSAPI encryption.
    Gss,
    /// Asks to cancel what another connection runs.
    Cancel {
        /// That connection's number.
        pid: i32,
        /// Its key.
        key: Bytes,
    },
    /// Begins a session.
    Startup(Startup),
}

/// What a client says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Startup {
    /// The minor version of protocol 3 that it asks for.
    pub minor: i32,
    /// Who it says it is.
    pub user: String,
    /// The database; empty where not said.
    pub database: String,
    /// Settings, in order.
    pub settings: Vec<(String, String)>,
    /// Protocol options that we do not know.
    pub unknown: Vec<String>,
}

impl Startup {
    /// The minor version to go on with, and whether the client must be told.
    pub fn negotiate(&self) -> (i32, bool) {
        (self.minor.min(NEWEST_MINOR), self.minor > NEWEST_MINOR || !self.unknown.is_empty())
    }
}

/// The full number of a minor version, as NegotiateProtocolVersion carries it.
pub fn version(minor: i32) -> i32 {
    (MAJOR << 16) | minor
}

/// Reads a packet without a type.
pub fn parse(packet: Bytes) -> Result<Packet, Fault> {
    let mut packet = Reader(packet);
    match packet.i32()? {
        SSL => Ok(Packet::Ssl),
        GSS => Ok(Packet::Gss),
        CANCEL => Ok(Packet::Cancel { pid: packet.i32()?, key: packet.rest() }),
        number if number >> 16 == MAJOR => startup(number & 0xffff, packet).map(Packet::Startup),
        number => {
            let (major, minor) = (number >> 16, number & 0xffff);
            let message = format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.{NEWEST_MINOR}");
            Err(Fault::new(ErrorKind::Unsupported, message))
        }
    }
}

fn startup(minor: i32, mut packet: Reader) -> Result<Startup, Fault> {
    let mut startup = Startup { minor, ..Startup::default() };
    loop {
        let name = packet.text()?;
        if name.is_empty() {
            break;
        }
        let value = packet.text()?;
        match name.as_str() {
            "user" => startup.user = value,
            "database" => startup.database = value,
            "replication" if matches!(value.as_str(), "false" | "off" | "no" | "0") => {}
            "replication" => return Err(Fault::new(ErrorKind::Unsupported, "replication is not supported")),
            "options" => startup.settings.extend(options(&value)?),
            option if option.starts_with("_pq_.") => startup.unknown.push(option.to_owned()),
            _ => startup.settings.push((name, value)),
        }
    }
    if !packet.rest().is_empty() {
        return Err(Fault::new(ErrorKind::Protocol, "invalid startup packet layout: expected terminator as last byte"));
    }
    if startup.user.is_empty() {
        return Err(Fault::new(ErrorKind::LoginMalformed, "no PostgreSQL user name specified in startup packet"));
    }
    Ok(startup)
}

/// `-c name=value --name=value`, with backslashes before blanks.
fn options(text: &str) -> Result<Vec<(String, String)>, Fault> {
    let mut words = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, words.last_mut()) {
            ('\\', Some(word)) => word.extend(characters.next()),
            (blank, Some(word)) if blank.is_whitespace() => {
                if !word.is_empty() {
                    words.push(String::new());
                }
            }
            (other, Some(word)) => word.push(other),
            (_, None) => {}
        }
    }
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let setting = match (word.strip_prefix("--"), word.strip_prefix("-c")) {
            (Some(setting), _) => setting.to_owned(),
            (None, Some("")) => words.next().unwrap_or_default(),
            (None, Some(setting)) => setting.to_owned(),
            (None, None) => String::new(),
        };
        match setting.split_once('=') {
            Some((name, value)) if !name.is_empty() => settings.push((name.replace('-', "_"), value.to_owned())),
            _ => return Err(Fault::new(ErrorKind::Syntax, format!("invalid command-line argument for server process: {word}"))),
        }
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(number: i32, rest: &[u8]) -> Bytes {
        let mut bytes = number.to_be_bytes().to_vec();
        bytes.extend_from_slice(rest);
        bytes.into()
    }

    #[test]
    fn a_startup_packet_is_read_whole() {
        let bytes =
            packet(196_608, b"user\0ann\0database\0mesh\0options\0-c a.b=1 --search-path=x\\ y -cz=\0TimeZone\0UTC\0_pq_.new\x001\0\0");
        let Packet::Startup(startup) = parse(bytes).unwrap() else { panic!() };
        assert_eq!((startup.user.as_str(), startup.database.as_str(), startup.minor), ("ann", "mesh", 0));
        let settings: Vec<_> = startup.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(settings, [("a.b", "1"), ("search_path", "x y"), ("z", ""), ("TimeZone", "UTC")]);
        assert_eq!(startup.negotiate(), (0, true));
    }

    #[test]
    fn newer_minor_versions_are_negotiated_down() {
        for (minor, expected) in [(0, (0, false)), (2, (2, false)), (3, (2, true)), (9999, (2, true))] {
            let Packet::Startup(startup) = parse(packet(version(minor), b"user\0ann\0\0")).unwrap() else { panic!() };
            assert_eq!(startup.negotiate(), expected);
        }
    }

    #[test]
    fn what_is_not_a_startup_packet_is_refused_with_its_code() {
        for (bytes, code) in [
            (packet(131_072, b""), "0A000"),
            (packet(196_608, b""), "08P01"),
            (packet(196_608, b"\0"), "28000"),
            (packet(196_608, b"user\0ann"), "08P01"),
            (packet(196_608, b"user\0ann\0\0more"), "08P01"),
            (packet(196_608, b"user\0ann\0replication\0database\0\0"), "0A000"),
            (packet(196_608, b"user\0ann\0options\0nonsense\0\0"), "42601"),
        ] {
            assert_eq!(parse(bytes).unwrap_err().sqlstate(), code);
        }
    }

    #[test]
    fn the_special_requests_are_known_by_their_numbers() {
        assert_eq!(parse(packet(SSL, b"")).unwrap(), Packet::Ssl);
        assert_eq!(parse(packet(GSS, b"")).unwrap(), Packet::Gss);
        assert_eq!(parse(packet(CANCEL, b"\0\0\0\x05abcd")).unwrap(), Packet::Cancel { pid: 5, key: Bytes::from_static(b"abcd") });
    }
}

#[cfg(test)]
#[path = "../../fuzz/startup.rs"]
mod fuzz;
