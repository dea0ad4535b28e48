//! Walks a TOML document and collects everything that is wrong with it, with its place.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{Key, SECTIONS};
use super::kinds::{Kind, Wrong};

/// A section of the file.
pub(super) trait Section {
    const NAME: &'static str;
    const KEYS: &'static [Key];
    /// Keys that a later version will read: refused in so many words rather than ignored.
    const LATER: &'static [&'static str];

    fn read(reader: &mut Reader<'_>) -> Self;
}

/// A mistake and its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Problem {
    line: usize,
    column: usize,
    message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

/// Reads one document.
pub(super) struct Reader<'a> {
    text: &'a str,
    base: &'a Path,
    env: &'a dyn Fn(&str) -> Option<String>,
    root: DeTable<'a>,
    problems: Vec<Problem>,
    /// Where each key of a section was written.
    places: BTreeMap<(&'static str, &'static str), Range<usize>>,
}

impl<'a> Reader<'a> {
    pub fn new(text: &'a str, base: &'a Path, env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut reader = Self { text, base, env, root: root.into_inner(), problems: Vec::new(), places: BTreeMap::new() };
        for error in errors {
            reader.problem(error.span().unwrap_or(0..0), error.message().replace('\n', ", "));
        }
        reader.check_sections();
        reader
    }

    pub fn base(&self) -> &'a Path {
        self.base
    }

    /// Reads a section, checking its names.
    pub fn section<S: Section>(&mut self) -> S {
        if let Some(value) = self.root.get(S::NAME).cloned() {
            let names: Vec<&str> = S::KEYS.iter().map(|key| key.name).collect();
            match value.get_ref().as_table() {
                Some(table) => self.check_names(table, &format!("[{}]", S::NAME), &names, S::LATER),
                None => self.problem(value.span(), format!("`{}` is a section; write [{}]", S::NAME, S::NAME)),
            }
        }
        S::read(self)
    }

    /// A key's value: what the file says, or its default.
    pub fn value<K: Kind>(&mut self, section: &'static str, name: &'static str, default: &str) -> K::Value {
        let table = self.root.get(section).and_then(|value| value.get_ref().as_table());
        let Some(value) = table.and_then(|table| table.get(name)).cloned() else {
            return self.default_value::<K>(default);
        };
        self.places.insert((section, name), value.span());
        self.parsed::<K>(name, &value).unwrap_or_else(K::fallback)
    }

    fn default_value<K: Kind>(&mut self, default: &str) -> K::Value {
        if default == "none" {
            return K::fallback();
        }
        // The defaults are ours, and a test reads them all.
        let parsed = DeValue::parse(default).ok().and_then(|value| K::parse(self, &value).ok());
        parsed.unwrap_or_else(K::fallback)
    }

    /// A field of an inline table, where it is there.
    pub fn field<K: Kind>(&mut self, table: &DeTable<'_>, name: &str) -> Option<K::Value> {
        let value = table.get(name)?;
        self.parsed::<K>(name, value)
    }

    fn parsed<K: Kind>(&mut self, name: &str, value: &Spanned<DeValue<'_>>) -> Option<K::Value> {
        match K::parse(self, value) {
            Ok(value) => Some(value),
            Err(Wrong::Told) => None,
            Err(Wrong::NotExpected) => {
                self.problem(value.span(), format!("`{name}`: expected {}", K::expected()));
                None
            }
        }
    }

    /// The tables below `section`, by name: `[credentials.x]`.
    pub fn tables(&mut self, section: &str) -> Vec<(String, Range<usize>, DeTable<'a>)> {
        let Some(value) = self.root.get(section).cloned() else { return Vec::new() };
        let Some(table) = value.get_ref().as_table() else {
            self.problem(value.span(), format!("`{section}` is a section; write [{section}.<name>]"));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (name, value) in table.iter() {
            match value.get_ref().as_table() {
                Some(table) => tables.push((name.get_ref().to_string(), name.span(), table.clone())),
                None => self.problem(name.span(), format!("`{}` is not a table; write [{section}.<name>]", name.get_ref())),
            }
        }
        tables
    }

    /// Refuses every name of `table` that is none of `known`, with the nearest one.
    pub fn check_names(&mut self, table: &DeTable<'_>, place: &str, known: &[&str], later: &[&str]) {
        for name in table.keys() {
            let given: &str = name.get_ref();
            if later.contains(&given) {
                self.problem(name.span(), format!("`{given}` in {place} is not supported by this version"));
            } else if !known.contains(&given) {
                self.problem(name.span(), unknown("key", given, &format!(" in {place}"), known));
            }
        }
    }

    fn check_sections(&mut self) {
        let known: Vec<&str> = SECTIONS.iter().map(|(name, ..)| *name).chain(["credentials"]).collect();
        let wrong: Vec<_> = self.root.keys().filter(|name| !known.contains(&name.get_ref().as_ref())).cloned().collect();
        for name in wrong {
            self.problem(name.span(), unknown("section", name.get_ref(), "", &known));
        }
    }

    /// A secret: `{ env = "NAME" }` or `{ file = "path" }`.
    pub fn secret(&mut self, name: &str, value: &Spanned<DeValue<'_>>) -> Option<String> {
        const FORM: &str = "expected { env = \"NAME\" } or { file = \"path\" }: secrets do not belong in this file";
        let Some(table) = value.get_ref().as_table().filter(|table| table.len() == 1) else {
            self.problem(value.span(), format!("`{name}`: {FORM}"));
            return None;
        };
        let text = |key: &str| table.get(key).and_then(|value| value.get_ref().as_str()).filter(|text| !text.is_empty());
        let found = match (text("env"), text("file")) {
            (Some(variable), None) => (self.env)(variable).ok_or_else(|| format!("the environment has no `{variable}`")),
            (None, Some(file)) => read_secret(&self.base.join(file)).map_err(|error| format!("{file}: {error}")),
            _ => Err(FORM.to_owned()),
        };
        match found {
            Ok(secret) if secret.is_empty() => {
                self.problem(value.span(), format!("`{name}` is empty"));
                None
            }
            Ok(secret) => Some(secret),
            Err(message) => {
                self.problem(value.span(), format!("`{name}`: {message}"));
                None
            }
        }
    }

    pub fn problem(&mut self, at: Range<usize>, message: String) {
        let before = self.text.get(..at.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |start| start.chars().count()) + 1;
        self.problems.push(Problem { line, column, message });
    }

    /// A mistake that shows only when several keys are seen together.
    pub fn problem_at(&mut self, section: &'static str, name: &'static str, message: String) {
        let at = self.places.get(&(section, name)).cloned().unwrap_or(0..0);
        self.problem(at, message);
    }

    /// All mistakes in the order of the file, if there are any.
    pub fn finish(mut self) -> Result<(), Vec<Problem>> {
        self.problems.sort();
        self.problems.dedup();
        if self.problems.is_empty() { Ok(()) } else { Err(self.problems) }
    }
}

/// What to say of a name that is none of `known`.
pub(crate) fn unknown(what: &str, given: &str, place: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|name| (strsim::jaro_winkler(given, name), *name)).max_by(|a, b| a.0.total_cmp(&b.0));
    let given: String = given.chars().take(80).collect::<String>().escape_debug().to_string();
    match nearest {
        Some((score, name)) if score > 0.7 => format!("unknown {what} `{given}`{place}; did you mean `{name}`?"),
        _ if known.is_empty() => format!("unknown {what} `{given}`{place}; there are none"),
        _ => format!("unknown {what} `{given}`{place}; there are: {}", known.join(", ")),
    }
}

/// A file of at most `limit` bytes.
pub(super) fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("longer than {limit} bytes")));
    }
    Ok(bytes)
}

fn read_secret(path: &Path) -> io::Result<String> {
    let text = String::from_utf8(read_bounded(path, 64 << 10)?).map_err(|_| io::Error::other("not UTF-8"))?;
    // Editors and `echo` end a file with a line end that is no part of the secret.
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}
