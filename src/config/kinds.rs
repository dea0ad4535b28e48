//! The types of values: what is accepted, and what is said where it is not.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::document::Reader;
use super::{Statements, TlsFiles};
use crate::catalog::Location;

/// A type of value.
pub(super) trait Kind {
    /// What it gives.
    type Value;

    /// What is accepted, to be read after "expected".
    fn expected() -> String;

    /// Reads a value; `None` where it is not one, unless the reader was told better.
    fn parse(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<Self::Value, Wrong>;

    /// Stands in where the value is missing or wrong, so that the other mistakes are found too.
    fn fallback() -> Self::Value;
}

/// Why a value is refused.
pub(super) enum Wrong {
    /// It is not as [`Kind::expected`] says.
    NotExpected,
    /// The reader was told already.
    Told,
}

/// `ip:port`.
pub(super) struct Address;
/// A path, relative to the file.
pub(super) struct Folder;
/// A folder on this machine, relative to the file, or of a bucket of S3.
pub(super) struct Place;
/// `true` or `false`.
pub(super) struct Flag;
/// Any text that is not empty.
pub(super) struct Text;
/// A whole number.
pub(super) struct Count<const MIN: u64, const MAX: u64>;
/// Bytes.
pub(super) struct Size<const MIN: u64, const MAX: u64>;
/// Bytes, or a share of the machine's memory.
pub(super) struct Memory<const MIN: u64, const MAX: u64>;
/// A duration, bounds in seconds.
pub(super) struct Time<const MIN: u64, const MAX: u64>;
/// The TLS files.
pub(super) struct Tls;
/// How much of a statement is kept.
pub(super) struct StatementText;
/// A value that may be missing.
pub(super) struct Maybe<K>(std::marker::PhantomData<K>);

impl Kind for Address {
    type Value = SocketAddr;

    fn expected() -> String {
        "an IP address with a port, such as \"127.0.0.1:5433\"".to_owned()
    }

    fn parse(_: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<SocketAddr, Wrong> {
        text(value)?.parse().map_err(|_| Wrong::NotExpected)
    }

    fn fallback() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }
}

impl Kind for Folder {
    type Value = PathBuf;

    fn expected() -> String {
        "a path".to_owned()
    }

    fn parse(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<PathBuf, Wrong> {
        let text = text(value)?;
        if text.is_empty() || text.contains('\0') { Err(Wrong::NotExpected) } else { Ok(reader.base().join(text)) }
    }

    fn fallback() -> PathBuf {
        PathBuf::new()
    }
}

impl Kind for Place {
    type Value = Location;

    fn expected() -> String {
        "\"file:\" and a folder, or \"s3://bucket/folder/\"".to_owned()
    }

    fn parse(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<Location, Wrong> {
        match Location::parse(text(value)?, reader.base()) {
            Ok(Location::Remote(url)) if !url.starts_with("s3://") => Err(Wrong::NotExpected),
            Ok(place) => Ok(place),
            Err(why) => {
                reader.problem(value.span(), why);
                Err(Wrong::Told)
            }
        }
    }

    fn fallback() -> Location {
        Location::File(PathBuf::new())
    }
}

impl Kind for Flag {
    type Value = bool;

    fn expected() -> String {
        "true or false".to_owned()
    }

    fn parse(_: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<bool, Wrong> {
        value.get_ref().as_bool().ok_or(Wrong::NotExpected)
    }

    fn fallback() -> bool {
        false
    }
}

impl Kind for StatementText {
    type Value = Statements;

    fn expected() -> String {
        "\"digest\" or \"full\"".to_owned()
    }

    fn parse(_: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<Statements, Wrong> {
        match text(value)? {
            "digest" => Ok(Statements::Digest),
            "full" => Ok(Statements::Full),
            _ => Err(Wrong::NotExpected),
        }
    }

    fn fallback() -> Statements {
        Statements::Digest
    }
}

impl Kind for Text {
    type Value = String;

    fn expected() -> String {
        "a text".to_owned()
    }

    fn parse(_: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<String, Wrong> {
        let text = text(value)?;
        if text.is_empty() || text.chars().any(char::is_control) { Err(Wrong::NotExpected) } else { Ok(text.to_owned()) }
    }

    fn fallback() -> String {
        String::new()
    }
}

impl<const MIN: u64, const MAX: u64> Kind for Count<MIN, MAX> {
    type Value = usize;

    fn expected() -> String {
        format!("a whole number from {MIN} to {MAX}")
    }

    fn parse(_: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<usize, Wrong> {
        let number = integer(value)?;
        within(number, MIN, MAX).and_then(|number| usize::try_from(number).map_err(|_| Wrong::NotExpected))
    }

    fn fallback() -> usize {
        1
    }
}

impl<const MIN: u64, const MAX: u64> Kind for Size<MIN, MAX> {
    type Value = u64;

    fn expected() -> String {
        format!("a size from {} to {}, such as \"64MiB\"", show_bytes(MIN), show_bytes(MAX))
    }

    fn parse(_: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<u64, Wrong> {
        let bytes = match value.get_ref() {
            DeValue::String(text) => parse_bytes(text).ok_or(Wrong::NotExpected)?,
            _ => integer(value)?,
        };
        within(bytes, MIN, MAX)
    }

    fn fallback() -> u64 {
        MIN
    }
}

impl<const MIN: u64, const MAX: u64> Kind for Memory<MIN, MAX> {
    type Value = u64;

    fn expected() -> String {
        format!("a size from {} to {}, or a share of the memory, such as \"4GiB\" or \"75%\"", show_bytes(MIN), show_bytes(MAX))
    }

    fn parse(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<u64, Wrong> {
        let Some(percent) = value.get_ref().as_str().and_then(|text| text.strip_suffix('%')) else {
            return Size::<MIN, MAX>::parse(reader, value);
        };
        let percent: u64 = percent.trim().parse().map_err(|_| Wrong::NotExpected)?;
        let percent = within(percent, 1, 100)?;
        // A machine that does not say how much it has is taken for a small one.
        let memory = machine_memory().unwrap_or(4 << 30);
        Ok((memory / 100 * percent).clamp(MIN, MAX))
    }

    fn fallback() -> u64 {
        MIN
    }
}

impl<const MIN: u64, const MAX: u64> Kind for Time<MIN, MAX> {
    type Value = Duration;

    fn expected() -> String {
        format!("a duration from {} to {}, such as \"30s\", \"10m\" or \"8h\"", show_seconds(MIN), show_seconds(MAX))
    }

    fn parse(_: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<Duration, Wrong> {
        let duration = parse_duration(text(value)?).ok_or(Wrong::NotExpected)?;
        let bounds = Duration::from_secs(MIN)..=Duration::from_secs(MAX);
        if bounds.contains(&duration) { Ok(duration) } else { Err(Wrong::NotExpected) }
    }

    fn fallback() -> Duration {
        Duration::from_secs(MIN)
    }
}

impl Kind for Tls {
    type Value = TlsFiles;

    fn expected() -> String {
        "{ cert = \"…\", key = \"…\" }, with client_ca = \"…\" if clients need certificates".to_owned()
    }

    fn parse(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<TlsFiles, Wrong> {
        let table = value.get_ref().as_table().ok_or(Wrong::NotExpected)?;
        reader.check_names(table, "`tls`", &["cert", "key", "client_ca"], &[]);
        let cert = reader.field::<Folder>(table, "cert");
        let key = reader.field::<Folder>(table, "key");
        let client_ca = reader.field::<Folder>(table, "client_ca");
        let (Some(cert), Some(key)) = (cert, key) else {
            let both_given = table.contains_key("cert") && table.contains_key("key");
            return Err(if both_given { Wrong::Told } else { Wrong::NotExpected });
        };
        Ok(TlsFiles { cert, key, client_ca })
    }

    fn fallback() -> TlsFiles {
        TlsFiles { cert: PathBuf::new(), key: PathBuf::new(), client_ca: None }
    }
}

impl<K: Kind> Kind for Maybe<K> {
    type Value = Option<K::Value>;

    fn expected() -> String {
        K::expected()
    }

    fn parse(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<Self::Value, Wrong> {
        K::parse(reader, value).map(Some)
    }

    fn fallback() -> Self::Value {
        None
    }
}

pub(super) fn text<'a>(value: &'a Spanned<DeValue<'_>>) -> Result<&'a str, Wrong> {
    value.get_ref().as_str().ok_or(Wrong::NotExpected)
}

fn integer(value: &Spanned<DeValue<'_>>) -> Result<u64, Wrong> {
    let integer = value.get_ref().as_integer().ok_or(Wrong::NotExpected)?;
    u64::from_str_radix(integer.as_str(), integer.radix()).map_err(|_| Wrong::NotExpected)
}

fn within(number: u64, min: u64, max: u64) -> Result<u64, Wrong> {
    if (min..=max).contains(&number) { Ok(number) } else { Err(Wrong::NotExpected) }
}

const UNITS: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

/// `64KiB`, `1GB`, `512B`.
fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn show_bytes(bytes: u64) -> String {
    let unit = UNITS.iter().take(4).find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor));
    unit.map_or_else(|| format!("{bytes}B"), |(name, factor)| format!("{}{name}", bytes / factor))
}

/// `500ms`, `30s`, `10m`, `8h`, `1d`.
fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let milliseconds = match unit.trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

fn show_seconds(seconds: u64) -> String {
    match seconds {
        0 => "0s".to_owned(),
        s if s.is_multiple_of(86_400) => format!("{}d", s / 86_400),
        s if s.is_multiple_of(3_600) => format!("{}h", s / 3_600),
        s if s.is_multiple_of(60) => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

/// The machine's memory, or the container's share of it.
fn machine_memory() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    });
    let container = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse::<u64>().ok());
    match (machine, container) {
        (Some(machine), Some(container)) => Some(machine.min(container)),
        (machine, container) => machine.or(container),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_are_read_with_their_units() {
        assert_eq!(parse_bytes("64KiB"), Some(65_536));
        assert_eq!(parse_bytes("1 GB"), Some(1_000_000_000));
        for bad in ["", "64", "KiB", "-1B", "1.5GiB", "1kib", "99999999999TiB"] {
            assert_eq!(parse_bytes(bad), None, "{bad}");
        }
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_duration("10m"), Some(Duration::from_secs(600)));
        for bad in ["", "10", "s", "1y", "-1s", "99999999999999999d"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
        assert_eq!((show_bytes(1536), show_bytes(1 << 20), show_seconds(5400)), ("1536B".to_owned(), "1MiB".to_owned(), "90m".to_owned()));
    }
}
