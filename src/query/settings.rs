//! The settings of one session: one table of all of them, with PostgreSQL's names, checks and rules of transaction.
//!
//! None of them reaches the engine's own options by name; a stage that needs one asks for it here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use parking_lot::Mutex;

use crate::error::{ErrorKind, Fault, Result};

/// What values a setting takes.
#[derive(Debug, Clone, Copy)]
enum Check {
    Any,
    /// A name, cut as PostgreSQL cuts names, and without what would do something to a terminal.
    Name,
    Bool,
    Integer {
        min: i64,
        max: i64,
    },
    /// Milliseconds unless a unit is given.
    Duration,
    /// Bytes, with or without a unit; empty is none.
    Bytes,
    OneOf(&'static [&'static str]),
    /// `key=value, …`, kept in the order of the keys.
    Tags,
    /// One value is served, spelt as the client likes: compared without case and punctuation.
    Only(&'static str),
    TimeZone,
    DateStyle,
    /// Cannot be set.
    Fixed,
}

/// One setting as declared.
#[derive(Debug)]
struct Declaration {
    /// As PostgreSQL spells it.
    name: &'static str,
    default: &'static str,
    check: Check,
    /// Whether clients are told of changes (`ParameterStatus`).
    reported: bool,
    description: &'static str,
}

const fn declare(name: &'static str, default: &'static str, check: Check, description: &'static str) -> Declaration {
    Declaration { name, default, check, reported: false, description }
}

const fn reported(name: &'static str, default: &'static str, check: Check, description: &'static str) -> Declaration {
    Declaration { name, default, check, reported: true, description }
}

const ISOLATION: Check = Check::OneOf(&["read uncommitted", "read committed", "repeatable read", "serializable"]);
const LEVELS: Check =
    Check::OneOf(&["debug5", "debug4", "debug3", "debug2", "debug1", "debug", "log", "info", "notice", "warning", "error"]);

/// All settings, sorted by lower-case name.
static DECLARATIONS: &[Declaration] = &[
    reported("application_name", "", Check::Name, "Sets the application name to be reported in statistics and logs."),
    declare("array_nulls", "on", Check::Bool, "Enables input of NULL elements in arrays."),
    declare("bytea_output", "hex", Check::OneOf(&["hex"]), "Sets the output format for bytea."),
    reported("client_encoding", "UTF8", Check::Only("utf8"), "Sets the client's character set encoding."),
    declare("client_min_messages", "notice", LEVELS, "Sets the message levels that are sent to the client."),
    reported("DateStyle", "ISO, MDY", Check::DateStyle, "Sets the display format for date and time values."),
    declare("default_transaction_isolation", "read committed", ISOLATION, "Sets the isolation level of each new transaction."),
    reported("default_transaction_read_only", "on", Check::Only("on"), "The gateway only reads."),
    declare(
        "extra_float_digits",
        "1",
        Check::Integer { min: -15, max: 3 },
        "Sets the number of digits displayed for floating-point values.",
    ),
    declare("idle_in_transaction_session_timeout", "0", Check::Duration, "Sets the maximum idle time between queries in a transaction."),
    reported("in_hot_standby", "off", Check::Fixed, "Shows whether hot standby is currently active."),
    reported("integer_datetimes", "on", Check::Fixed, "Shows whether datetimes are integer based."),
    reported("IntervalStyle", "postgres", Check::OneOf(&["postgres"]), "Sets the display format for interval values."),
    reported("is_superuser", "off", Check::Fixed, "Shows whether the current user is a superuser."),
    declare("jit", "off", Check::Bool, "Has no effect: the engine plans on its own."),
    declare("lc_collate", "C", Check::Fixed, "Shows the collation order locale."),
    declare("lc_ctype", "C", Check::Fixed, "Shows the character classification and case conversion locale."),
    declare("lc_messages", "C", Check::OneOf(&["C"]), "Sets the language in which messages are displayed."),
    declare("lock_timeout", "0", Check::Duration, "Has no effect: readers take no locks."),
    declare("max_identifier_length", "63", Check::Fixed, "Shows the maximum identifier length."),
    declare("max_index_keys", "32", Check::Fixed, "Shows the maximum number of index keys."),
    declare("meshgate.compression", "none", Check::OneOf(&["none", "lz4", "zstd"]), "Sets how results over Flight are compressed."),
    declare("meshgate.max_scan_bytes", "", Check::Bytes, "Sets how many bytes one query may scan; empty is no limit."),
    declare("meshgate.max_staleness", "", Check::Duration, "Sets how old a product's data may be; empty is no limit."),
    declare("meshgate.purpose", "", Check::Any, "Declares why this session reads."),
    declare("meshgate.tags", "", Check::Tags, "Tags what this session reads in the ledger: key=value, ..."),
    declare("row_security", "on", Check::Bool, "When off, fails rather than answer from filtered or masked data."),
    reported("scram_iterations", "4096", Check::Fixed, "Shows the iteration count of SCRAM verifiers."),
    reported("search_path", "", Check::Any, "Sets the schema search order for names that are not schema-qualified."),
    reported("server_encoding", "UTF8", Check::Fixed, "Shows the server's character set encoding."),
    reported("server_version", "16.4", Check::Fixed, "Shows the server version."),
    declare("server_version_num", "160004", Check::Fixed, "Shows the server version as an integer."),
    reported("session_authorization", "", Check::Fixed, "Shows the session user's name."),
    declare("ssl", "off", Check::Fixed, "Shows whether the server takes TLS connections."),
    reported("standard_conforming_strings", "on", Check::Only("on"), "Causes '...' strings to treat backslashes literally."),
    declare("statement_timeout", "", Check::Duration, "Sets the maximum allowed duration of any statement."),
    reported("TimeZone", "UTC", Check::TimeZone, "Sets the time zone for displaying and interpreting time stamps."),
    declare("transaction_deferrable", "off", Check::Bool, "Has no effect: readers do not wait."),
    declare("transaction_isolation", "read committed", ISOLATION, "Sets the current transaction's isolation level."),
    declare("transaction_read_only", "on", Check::Only("on"), "The gateway only reads."),
    declare("work_mem", "4MB", Check::Any, "Has no effect: memory is bounded by the gateway."),
];

fn find(name: &str) -> Result<&'static Declaration> {
    DECLARATIONS
        .iter()
        .find(|declaration| declaration.name.eq_ignore_ascii_case(name))
        .ok_or_else(|| Fault::new(ErrorKind::UndefinedObject, format!("unrecognized configuration parameter \"{}\"", name.to_lowercase())))
}

/// Values by declared name. A setting without an entry has its default.
type Values = BTreeMap<&'static str, Arc<str>>;

/// What a transaction can take back.
#[derive(Debug, Default, Clone)]
struct Layers {
    /// `SET` so far.
    session: Values,
    /// `SET LOCAL` of this transaction.
    local: Values,
}

/// The settings as they were at some moment, to go back to. Costs nothing until one is changed.
#[derive(Debug, Clone, Default)]
pub struct Snapshot(Arc<Layers>);

#[derive(Debug, Default)]
struct State {
    /// Where `RESET` goes back to: what the session was opened with.
    startup: Values,
    now: Arc<Layers>,
    /// As it was when the transaction began.
    saved: Option<Arc<Layers>>,
    /// What clients were told last.
    told: Values,
}

impl State {
    fn value(&self, declaration: &Declaration) -> Arc<str> {
        let layers = [&self.now.local, &self.now.session, &self.startup];
        let set = layers.into_iter().find_map(|layer| layer.get(declaration.name));
        set.cloned().unwrap_or_else(|| declaration.default.into())
    }
}

/// The settings of one session. Interior mutability, because `set_config()` in a query changes them too.
#[derive(Debug, Default)]
pub struct Settings(Mutex<State>);

impl Settings {
    /// The settings of `user`, whose names resolve in `search_path` first, with the gateway's default timeout.
    pub(crate) fn new(user: &str, search_path: &str, statement_timeout: Duration) -> Self {
        let settings = Self::default();
        {
            let mut state = settings.0.lock();
            state.startup.insert("session_authorization", user.into());
            state.startup.insert("search_path", search_path.into());
            state.startup.insert("statement_timeout", show_duration(statement_timeout).into());
        }
        settings
    }

    /// The value as `SHOW` prints it; `42704` for a setting that does not exist.
    pub fn show(&self, name: &str) -> Result<String> {
        let declaration = find(name)?;
        Ok(self.0.lock().value(declaration).as_ref().to_owned())
    }

    /// All settings as `SHOW ALL` prints them: name, value, description.
    pub fn show_all(&self) -> Vec<(String, String, String)> {
        let state = self.0.lock();
        DECLARATIONS.iter().map(|d| (d.name.to_owned(), state.value(d).as_ref().to_owned(), d.description.to_owned())).collect()
    }

    /// `SET` (`local` ends with the transaction). Checks the value.
    pub fn set(&self, name: &str, value: &str, local: bool) -> Result<()> {
        let declaration = find(name)?;
        let value = check(declaration, value)?;
        let mut state = self.0.lock();
        let in_transaction = state.saved.is_some();
        let layers = Arc::make_mut(&mut state.now);
        if !local {
            layers.local.remove(declaration.name);
            layers.session.insert(declaration.name, value.into());
        } else if in_transaction {
            // Outside a transaction SET LOCAL has no effect, as in PostgreSQL.
            layers.local.insert(declaration.name, value.into());
        }
        Ok(())
    }

    /// `RESET name`, or all of them.
    pub fn reset(&self, name: Option<&str>) -> Result<()> {
        let declaration = name.map(find).transpose()?;
        let mut state = self.0.lock();
        match declaration {
            Some(declaration) => {
                let layers = Arc::make_mut(&mut state.now);
                layers.local.remove(declaration.name);
                layers.session.remove(declaration.name);
            }
            None => {
                // What a transaction is, is not taken back within it.
                let layers = Arc::make_mut(&mut state.now);
                let of_transaction = |name: &&'static str, _: &mut Arc<str>| name.starts_with("transaction_");
                layers.local.retain(of_transaction);
                layers.session.retain(of_transaction);
            }
        }
        Ok(())
    }

    /// `SET LOCAL name TO DEFAULT`: what `RESET` goes back to, until the transaction ends.
    pub fn reset_local(&self, name: &str) -> Result<()> {
        let declaration = find(name)?;
        let mut state = self.0.lock();
        if state.saved.is_some() {
            let value = state.startup.get(declaration.name).cloned().unwrap_or_else(|| declaration.default.into());
            Arc::make_mut(&mut state.now).local.insert(declaration.name, value);
        }
        Ok(())
    }

    /// Marks the value from the client's startup packet as what `RESET` goes back to.
    pub fn set_startup(&self, name: &str, value: &str) -> Result<()> {
        let declaration = find(name)?;
        let value = check(declaration, value)?;
        self.0.lock().startup.insert(declaration.name, value.into());
        Ok(())
    }

    /// A transaction began: `SET LOCAL` works from here, and a rollback goes back to here.
    pub fn begin(&self) {
        let mut state = self.0.lock();
        if state.saved.is_none() {
            state.saved = Some(Arc::clone(&state.now));
        }
    }

    /// The transaction ended; `SET LOCAL` ends, and where it did not commit every `SET` within it too.
    pub fn end(&self, committed: bool) {
        let mut state = self.0.lock();
        if let Some(saved) = state.saved.take()
            && !committed
        {
            state.now = saved;
        }
        if !state.now.local.is_empty() {
            Arc::make_mut(&mut state.now).local.clear();
        }
    }

    /// Something failed in a transaction, and it goes on: they are as they were when it began, or at its last savepoint.
    pub fn fail(&self, savepoint: Option<&Snapshot>) {
        let mut state = self.0.lock();
        if let Some(then) = savepoint.map(|savepoint| &savepoint.0).or(state.saved.as_ref()).cloned() {
            state.now = then;
        }
    }

    /// As they are now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(Arc::clone(&self.0.lock().now))
    }

    /// As they were then. The transaction goes on.
    pub fn go_back_to(&self, then: Snapshot) {
        self.0.lock().now = then.0;
    }

    /// Settings that clients are told of (`ParameterStatus`) and that changed since the last call: name and value.
    pub fn take_reported(&self) -> Vec<(&'static str, String)> {
        let mut state = self.0.lock();
        let mut changed = Vec::new();
        for declaration in DECLARATIONS.iter().filter(|d| d.reported) {
            let value = state.value(declaration);
            if state.told.get(declaration.name) != Some(&value) {
                state.told.insert(declaration.name, Arc::clone(&value));
                changed.push((declaration.name, value.as_ref().to_owned()));
            }
        }
        changed
    }

    /// The session's time zone.
    pub fn time_zone(&self) -> Tz {
        self.text("TimeZone").parse().unwrap_or(Tz::UTC)
    }

    /// How long a statement may run; `None` is for ever.
    pub fn statement_timeout(&self) -> Option<Duration> {
        parse_duration(&self.text("statement_timeout")).filter(|timeout| !timeout.is_zero())
    }

    /// The declared purpose.
    pub(crate) fn purpose(&self) -> Option<String> {
        Some(self.text("meshgate.purpose")).filter(|purpose| !purpose.is_empty())
    }

    /// What the client calls itself.
    pub(crate) fn application_name(&self) -> Option<String> {
        Some(self.text("application_name")).filter(|name| !name.is_empty())
    }

    /// What the session tags its work with, as an object of JSON.
    pub(crate) fn tags(&self) -> Option<String> {
        let text = self.text("meshgate.tags");
        let tags = parse_tags(&text)?;
        (!tags.is_empty()).then(|| serde_json::json!(tags).to_string())
    }

    /// The session's own scan limit, in bytes.
    pub(crate) fn max_scan_bytes(&self) -> Option<u64> {
        parse_bytes(&self.text("meshgate.max_scan_bytes"))
    }

    /// How old data may be.
    pub(crate) fn max_staleness(&self) -> Option<Duration> {
        parse_duration(&self.text("meshgate.max_staleness"))
    }

    /// How results over Flight are compressed: `none`, `lz4` or `zstd`.
    pub(crate) fn compression(&self) -> String {
        self.text("meshgate.compression")
    }

    /// Whether governed data may be answered from (`row_security`).
    pub(crate) fn row_security(&self) -> bool {
        self.text("row_security") != "off"
    }

    /// Schemas in which an unqualified name is looked for.
    pub(crate) fn search_path(&self) -> Vec<String> {
        let text = self.text("search_path");
        text.split(',').map(|part| part.trim().trim_matches('"').to_owned()).filter(|part| !part.is_empty()).collect()
    }

    /// The value of a setting that is declared.
    fn text(&self, name: &'static str) -> String {
        self.show(name).unwrap_or_default()
    }
}

fn invalid(declaration: &Declaration, value: &str) -> Fault {
    Fault::new(ErrorKind::InvalidParameter, format!("invalid value for parameter \"{}\": \"{value}\"", declaration.name))
}

/// The value in the form in which it is kept and shown.
fn check(declaration: &Declaration, value: &str) -> Result<String> {
    const MAX: usize = 8192;
    const MAX_NAME: usize = 63;
    if value.len() > MAX || value.contains('\0') {
        return Err(Fault::new(ErrorKind::InvalidParameter, format!("value of parameter \"{}\" is too long", declaration.name)));
    }
    let trimmed = value.trim();
    match declaration.check {
        Check::Any => Ok(value.to_owned()),
        Check::Name => Ok(value.chars().take(MAX_NAME).map(|c| if c.is_control() { '?' } else { c }).collect()),
        Check::Bool => parse_bool(trimmed)
            .map(|on| if on { "on" } else { "off" }.to_owned())
            .ok_or_else(|| Fault::new(ErrorKind::InvalidParameter, format!("parameter \"{}\" requires a Boolean value", declaration.name))),
        Check::Integer { min, max } => {
            let number: i64 = trimmed.parse().map_err(|_| invalid(declaration, value))?;
            if (min..=max).contains(&number) {
                Ok(number.to_string())
            } else {
                Err(invalid(declaration, value).with_detail(format!("Valid values are between {min} and {max}.")))
            }
        }
        Check::Duration | Check::Bytes if trimmed.is_empty() => Ok(String::new()),
        Check::Duration => parse_duration(trimmed).map(show_duration).ok_or_else(|| {
            invalid(declaration, value).with_hint("Valid units for this parameter are \"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\".")
        }),
        Check::Bytes => parse_bytes(trimmed).map(|_| trimmed.to_owned()).ok_or_else(|| {
            invalid(declaration, value).with_hint(
                "Valid units for this parameter are \"B\", \"kB\", \"MB\", \"GB\", \"TB\", \"KiB\", \"MiB\", \"GiB\", and \"TiB\".",
            )
        }),
        Check::Tags => parse_tags(value)
            .map(|tags| tags.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", "))
            .ok_or_else(|| {
                invalid(declaration, value).with_hint(
                    "Tags are written \"team=growth, job=nightly\": at most 16, each key once, of letters, digits and \"_.-\"; values are of at most \
                     128 characters, without \",\" and \"=\".",
                )
            }),
        Check::OneOf(values) => values
            .iter()
            .find(|allowed| allowed.eq_ignore_ascii_case(trimmed))
            .map(|allowed| (*allowed).to_owned())
            .ok_or_else(|| invalid(declaration, value).with_hint(format!("Available values: {}.", values.join(", ")))),
        Check::Only(allowed) => check_only(declaration, allowed, trimmed),
        Check::TimeZone => time_zone(trimmed).ok_or_else(|| invalid(declaration, value)),
        Check::DateStyle => date_style(trimmed).ok_or_else(|| invalid(declaration, value).with_hint("Only the ISO format is served.")),
        Check::Fixed => Err(Fault::new(ErrorKind::CannotChange, format!("parameter \"{}\" cannot be changed", declaration.name))),
    }
}

fn check_only(declaration: &Declaration, allowed: &str, value: &str) -> Result<String> {
    let plain: String = value.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let served = match allowed {
        "on" => parse_bool(&plain) == Some(true),
        "utf8" => plain == "utf8" || plain == "unicode",
        _ => plain == allowed,
    };
    if served {
        Ok(declaration.default.to_owned())
    } else if declaration.name.ends_with("read_only") {
        Err(Fault::new(ErrorKind::ReadOnly, format!("parameter \"{}\" cannot be changed: the gateway only reads", declaration.name)))
    } else {
        Err(invalid(declaration, value).with_hint(format!("Only \"{}\" is served.", declaration.default)))
    }
}

fn parse_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "on" | "true" | "t" | "yes" | "y" | "1" => Some(true),
        "off" | "false" | "f" | "no" | "n" | "0" => Some(false),
        _ => None,
    }
}

/// Splits `5min` into its number and its unit.
fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim()))
}

/// Milliseconds unless a unit is given, as PostgreSQL reads its timeouts.
fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let seconds = match unit {
        "us" => 1e-6,
        "" | "ms" => 1e-3,
        "s" => 1.0,
        "min" | "m" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * seconds).ok()
}

/// As PostgreSQL shows its timeouts: the largest unit that is exact.
fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0 => "0".to_owned(),
        _ if ms.is_multiple_of(86_400_000) => format!("{}d", ms / 86_400_000),
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}min", ms / 60_000),
        _ if ms.is_multiple_of(1000) => format!("{}s", ms / 1000),
        _ => format!("{ms}ms"),
    }
}

/// Tags by key; `None` where they cannot be read.
fn parse_tags(text: &str) -> Option<BTreeMap<&str, &str>> {
    const MOST: usize = 16;
    const LONGEST_KEY: usize = 63;
    const LONGEST_VALUE: usize = 128;
    let mut tags = BTreeMap::new();
    for tag in text.split(',').map(str::trim).filter(|_| !text.trim().is_empty()) {
        let (key, value) = tag.split_once('=').map(|(key, value)| (key.trim(), value.trim()))?;
        let is_key = key.starts_with(|c: char| c.is_ascii_alphabetic())
            && key.len() <= LONGEST_KEY
            && key.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
        let is_value =
            !value.is_empty() && value.chars().count() <= LONGEST_VALUE && !value.contains('=') && !value.contains(char::is_control);
        if !(is_key && is_value) || tags.insert(key, value).is_some() || tags.len() > MOST {
            return None;
        }
    }
    Some(tags)
}

fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let factor: u64 = match unit {
        "" | "B" => 1,
        "kB" | "KiB" => 1 << 10,
        "MB" | "MiB" => 1 << 20,
        "GB" | "GiB" => 1 << 30,
        "TB" | "TiB" => 1 << 40,
        _ => return None,
    };
    let bytes = number * factor as f64;
    (bytes < u64::MAX as f64).then_some(bytes as u64)
}

/// The IANA name. Whole-hour offsets are served by the `Etc` zone that stands for them.
fn time_zone(text: &str) -> Option<String> {
    if let Some(zone) = chrono_tz::TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(text)) {
        return Some(zone.name().to_owned());
    }
    if matches!(text.to_ascii_lowercase().as_str(), "default" | "local" | "z") {
        return Some("UTC".to_owned());
    }
    let hours: i32 = text.trim_start_matches('+').trim_end_matches(":00").parse().ok()?;
    match hours {
        0 => Some("UTC".to_owned()),
        // In `Etc` zones, as in POSIX, the sign is turned round.
        -12..=14 => Some(format!("Etc/GMT{:+}", -hours)),
        _ => None,
    }
}

fn date_style(text: &str) -> Option<String> {
    let mut order = "MDY";
    for part in text.split(',').map(|part| part.trim().to_ascii_uppercase()) {
        match part.as_str() {
            "ISO" | "DEFAULT" => {}
            "MDY" | "US" | "NONEURO" | "NONEUROPEAN" => order = "MDY",
            "DMY" | "EURO" | "EUROPEAN" => order = "DMY",
            "YMD" => order = "YMD",
            _ => return None,
        }
    }
    Some(format!("ISO, {order}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::new("ada", "claims, public", Duration::from_secs(600))
    }

    #[test]
    fn names_are_sorted_so_that_show_all_is() {
        assert!(DECLARATIONS.is_sorted_by_key(|d| d.name.to_lowercase()));
    }

    #[test]
    fn every_default_passes_its_own_check() {
        for declaration in DECLARATIONS {
            if !matches!(declaration.check, Check::Fixed) {
                assert_eq!(check(declaration, declaration.default).unwrap(), declaration.default, "{}", declaration.name);
            }
        }
    }

    #[test]
    fn values_are_normalised_as_postgresql_does() {
        let s = settings();
        for (name, given, shown) in [
            ("statement_timeout", "5000", "5s"),
            ("statement_timeout", "2min", "2min"),
            ("statement_timeout", "0", "0"),
            ("datestyle", "iso, dmy", "ISO, DMY"),
            ("timezone", "europe/berlin", "Europe/Berlin"),
            ("TIMEZONE", "+02:00", "Etc/GMT-2"),
            ("client_encoding", "utf-8", "UTF8"),
            ("row_security", "FALSE", "off"),
            ("application_name", "a\u{1b}[2Jb", "a?[2Jb"),
            ("application_name", &"n".repeat(70), &"n".repeat(63)),
            ("meshgate.max_scan_bytes", "1GiB", "1GiB"),
            ("meshgate.tags", " team =growth,job=nightly load 7", "job=nightly load 7, team=growth"),
        ] {
            s.set(name, given, false).unwrap();
            assert_eq!(s.show(name).unwrap(), shown, "{name} = {given}");
        }
        assert_eq!(s.max_scan_bytes(), Some(1 << 30));
        assert_eq!(s.tags().as_deref(), Some(r#"{"job":"nightly load 7","team":"growth"}"#));
        s.set("meshgate.tags", "", false).unwrap();
        assert_eq!(s.tags(), None);
    }

    #[test]
    fn bad_values_and_unknown_names_are_refused() {
        let s = settings();
        let code = |name: &str, value: &str| s.set(name, value, false).unwrap_err().sqlstate();
        assert_eq!(code("datafusion.runtime.memory_limit", "1T"), "42704");
        assert_eq!(code("client_encoding", "LATIN1"), "22023");
        assert_eq!(code("statement_timeout", "soon"), "22023");
        assert_eq!(code("default_transaction_read_only", "off"), "25006");
        assert_eq!(code("server_version", "9.6"), "55P02");
        assert_eq!(code("extra_float_digits", "4"), "22023");
        let (many, long) = ((0..17).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(","), format!("k={}", "v".repeat(129)));
        for tags in ["team", "team=", "=growth", "a=1,a=2", "a=1,", "1a=1", "mesh/consumer=x", "a=b=c", "a=b\nc", &many, &long] {
            assert_eq!(code("meshgate.tags", tags), "22023", "{tags}");
        }
    }

    #[test]
    fn local_ends_with_the_transaction_and_a_rollback_takes_sets_back() {
        let s = settings();
        s.begin();
        s.set("application_name", "a", true).unwrap();
        s.set("TimeZone", "Asia/Tokyo", false).unwrap();
        assert_eq!(s.show("application_name").unwrap(), "a");
        s.end(false);
        assert_eq!((s.show("application_name").unwrap(), s.show("TimeZone").unwrap()), (String::new(), "UTC".to_owned()));
        s.set("application_name", "outside", true).unwrap();
        assert_eq!(s.show("application_name").unwrap(), "");
    }

    #[test]
    fn what_was_set_since_a_snapshot_is_taken_back_and_the_transaction_goes_on() {
        let s = settings();
        s.begin();
        s.set("application_name", "a", false).unwrap();
        let before = s.snapshot();
        s.set("application_name", "b", true).unwrap();
        s.set("TimeZone", "Asia/Tokyo", false).unwrap();
        s.go_back_to(before);
        assert_eq!((s.show("application_name").unwrap(), s.show("TimeZone").unwrap()), ("a".to_owned(), "UTC".to_owned()));
        s.set("application_name", "c", true).unwrap();
        assert_eq!(s.show("application_name").unwrap(), "c");
        s.end(true);
        assert_eq!(s.show("application_name").unwrap(), "a");
    }

    #[test]
    fn a_failure_takes_sets_back_at_once_and_a_local_default_ends_with_its_transaction() {
        let s = settings();
        s.set("application_name", "a", false).unwrap();
        s.begin();
        s.set("application_name", "b", false).unwrap();
        let savepoint = s.snapshot();
        s.set("application_name", "c", false).unwrap();
        s.fail(Some(&savepoint));
        assert_eq!(s.show("application_name").unwrap(), "b");
        s.fail(None);
        assert_eq!(s.show("application_name").unwrap(), "a");
        s.reset_local("application_name").unwrap();
        s.set("transaction_isolation", "serializable", true).unwrap();
        s.reset(None).unwrap();
        assert_eq!(s.show("transaction_isolation").unwrap(), "serializable");
        s.end(true);
        s.set("application_name", "a", false).unwrap();
        s.begin();
        s.reset_local("application_name").unwrap();
        assert_eq!(s.show("application_name").unwrap(), "");
        s.end(true);
        assert_eq!(s.show("application_name").unwrap(), "a");
    }

    #[test]
    fn clients_are_told_of_changes_once() {
        let s = settings();
        assert!(s.take_reported().iter().any(|(name, value)| *name == "server_version" && value.starts_with("16")));
        assert!(s.take_reported().is_empty());
        s.set("timezone", "Europe/Paris", false).unwrap();
        assert_eq!(s.take_reported(), vec![("TimeZone", "Europe/Paris".to_owned())]);
        s.reset(None).unwrap();
        assert_eq!(s.take_reported(), vec![("TimeZone", "UTC".to_owned())]);
    }
}
