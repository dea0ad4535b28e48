//! Reads the tree of a catalog file key by key, and notes every mistake with its place.
//!
//! Readers return `None` where a value cannot be used and carry on, so that one pass finds all the mistakes of a file.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use crate::catalog::{Origin, Problem, Severity, Sourced};
use crate::id::{GroupName, ProductId};

use super::yaml::{Entry, Kind, Mark, Mistake, Node};

/// The mistakes of one file.
#[derive(Debug)]
pub(super) struct Report {
    file: String,
    product: Option<ProductId>,
    problems: Vec<Problem>,
}

impl Report {
    pub(super) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), product: None, problems: Vec::new() }
    }

    /// From here on problems are about this product; so are those already noted.
    pub(super) fn about(&mut self, product: &ProductId) {
        for problem in &mut self.problems {
            problem.product = Some(product.clone());
        }
        self.product = Some(product.clone());
    }

    pub(super) fn error(&mut self, at: Mark, message: impl Into<String>) {
        self.push(at, Severity::Error, message.into());
    }

    pub(super) fn warn(&mut self, at: Mark, message: impl Into<String>) {
        self.push(at, Severity::Warning, message.into());
    }

    pub(super) fn mistakes(&mut self, mistakes: Vec<Mistake>) {
        for (at, message) in mistakes {
            self.error(at, message);
        }
    }

    pub(super) fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    pub(super) fn origin(&self, at: Mark) -> Origin {
        Origin { file: self.file.clone(), line: at.line, column: at.column }
    }

    pub(super) fn sourced<T>(&self, value: T, at: Mark) -> Sourced<T> {
        Sourced { value, origin: self.origin(at) }
    }

    /// All problems in the order of the file.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        self.problems.sort_by(|a, b| a.origin.cmp(&b.origin));
        self.problems.dedup();
        self.problems
    }

    fn push(&mut self, at: Mark, severity: Severity, message: String) {
        let origin = self.origin(at);
        self.problems.push(Problem { origin, severity, product: self.product.clone(), message });
    }
}

/// Text from outside, made fit for one line of a message.
pub(super) fn clip(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut shown: String =
        text.chars().take(LONGEST).flat_map(|c| if c == '"' || c == '\'' { vec![c] } else { c.escape_debug().collect() }).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// The known word that was most likely meant.
pub(super) fn nearest<'k>(given: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let given: String = given.chars().take(64).collect::<String>().to_lowercase();
    let (score, word) =
        known.into_iter().map(|word| (strsim::jaro_winkler(&given, &word.to_lowercase()), word)).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (score > 0.75).then_some(word)
}

/// `a, b or c`.
pub(super) fn one_of(words: &[&str]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [word] => (*word).to_owned(),
        [init @ .., last] => format!("{} or {last}", init.join(", ")),
    }
}

/// A value with the path under which messages speak of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'n> {
    pub(super) name: &'n str,
    pub(super) node: &'n Node,
}

impl<'n> Value<'n> {
    pub(super) fn at(self) -> Mark {
        self.node.at
    }

    fn is_not(self, wanted: &str, report: &mut Report) {
        let given = match &self.node.kind {
            Kind::Null => "empty".to_owned(),
            Kind::Scalar { text, .. } => format!("`{}`", clip(text)),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a map".to_owned(),
        };
        report.error(self.at(), format!("`{}` must be {wanted}, not {given}", self.name));
    }

    /// A map with these keys only.
    pub(super) fn fields(self, known: &[&str], report: &mut Report) -> Option<Fields<'n>> {
        let Kind::Map(entries) = &self.node.kind else {
            self.is_not(&format!("a map with {}", known.join(", ")), report);
            return None;
        };
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let what_to_do = match nearest(&entry.key, known.iter().copied()) {
                Some(word) => format!("did you mean `{word}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            report.error(entry.at, format!("unknown key `{}` in `{}`: {what_to_do}", clip(&entry.key), self.name));
        }
        Some(Fields { name: self.name, at: self.at(), entries })
    }

    /// A map with keys of any name.
    pub(super) fn entries(self, report: &mut Report) -> Option<&'n [Entry]> {
        match &self.node.kind {
            Kind::Map(entries) => Some(entries),
            _ => {
                self.is_not("a map", report);
                None
            }
        }
    }

    pub(super) fn items(self, report: &mut Report) -> Option<impl Iterator<Item = Value<'n>> + use<'n>> {
        let name = self.name;
        match &self.node.kind {
            Kind::List(items) => Some(items.iter().map(move |node| Value { name, node: node.as_ref() })),
            _ => {
                self.is_not("a list (`[…]`)", report);
                None
            }
        }
    }

    /// Any scalar as it was written.
    pub(super) fn text(self, report: &mut Report) -> Option<&'n str> {
        match &self.node.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => {
                self.is_not("text", report);
                None
            }
        }
    }

    /// A scalar with something in it.
    pub(super) fn filled(self, report: &mut Report) -> Option<&'n str> {
        let text = self.text(report)?.trim();
        if text.is_empty() {
            self.is_not("text", report);
            return None;
        }
        Some(text)
    }

    pub(super) fn boolean(self, report: &mut Report) -> Option<bool> {
        match &self.node.kind {
            Kind::Scalar { text, plain: true } if text == "true" => Some(true),
            Kind::Scalar { text, plain: true } if text == "false" => Some(false),
            _ => {
                self.is_not("true or false", report);
                None
            }
        }
    }

    pub(super) fn number<T: FromStr>(self, wanted: &str, fits: impl FnOnce(&T) -> bool, report: &mut Report) -> Option<T> {
        let parsed = match &self.node.kind {
            Kind::Scalar { text, .. } => text.trim().parse().ok().filter(fits),
            _ => None,
        };
        if parsed.is_none() {
            self.is_not(wanted, report);
        }
        parsed
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(self, words: &[(&'static str, T)], report: &mut Report) -> Option<T> {
        let found = match &self.node.kind {
            Kind::Scalar { text, .. } => words.iter().find(|(word, _)| word == text),
            _ => None,
        };
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.is_not(&one_of(&known), report);
        }
        found.map(|(_, value)| *value)
    }

    /// Text that a reader of its own understands, which says what is wrong with it and what would be right.
    pub(super) fn parsed<T, E: Display>(self, parse: impl FnOnce(&str) -> Result<T, E>, report: &mut Report) -> Option<T> {
        let text = self.text(report)?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(error) => {
                report.error(self.at(), format!("`{}`: {}", self.name, one_line(&error.to_string())));
                None
            }
        }
    }

    pub(super) fn texts(self, report: &mut Report) -> Vec<String> {
        let Some(items) = self.items(report) else { return Vec::new() };
        items.filter_map(|item| item.filled(report).map(str::to_owned)).collect()
    }

    pub(super) fn groups(self, report: &mut Report) -> Vec<GroupName> {
        self.texts(report).iter().map(|text| GroupName::new(text)).collect()
    }
}

pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect()
}

/// Anything, as JSON; a scalar in quotes is text, one without is a number or truth value where it reads as one.
fn json(node: &Node) -> serde_json::Value {
    use serde_json::Value as Json;
    match &node.kind {
        Kind::Null => Json::Null,
        Kind::Scalar { text, plain: true } => match text.as_str() {
            "true" => Json::Bool(true),
            "false" => Json::Bool(false),
            _ => serde_json::from_str::<serde_json::Number>(text).map_or_else(|_| Json::String(text.clone()), Json::Number),
        },
        Kind::Scalar { text, .. } => Json::String(text.clone()),
        Kind::List(items) => Json::Array(items.iter().map(|item| json(item)).collect()),
        Kind::Map(entries) => Json::Object(entries.iter().map(|entry| (entry.key.clone(), json(&entry.value))).collect()),
    }
}

/// A map whose keys were checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'n> {
    name: &'n str,
    pub(super) at: Mark,
    entries: &'n [Entry],
}

impl<'n> Fields<'n> {
    /// The value of a key; a key without a value counts as absent.
    pub(super) fn get(&self, key: &str) -> Option<Value<'n>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        let node = entry.value.as_ref();
        (!matches!(node.kind, Kind::Null)).then_some(Value { name: &entry.key, node })
    }

    pub(super) fn require(&self, key: &str, report: &mut Report) -> Option<Value<'n>> {
        let found = self.get(key);
        if found.is_none() {
            let at = self.entries.iter().find(|entry| entry.key == key).map_or(self.at, |entry| entry.at);
            report.error(at, format!("`{}` needs `{key}`", self.name));
        }
        found
    }

    /// The values of all keys but these, as JSON.
    pub(super) fn rest(entries: &'n [Entry], but: &[&str]) -> serde_json::Value {
        let rest = entries.iter().filter(|entry| !but.contains(&entry.key.as_str()));
        let map: BTreeMap<_, _> = rest.map(|entry| (entry.key.clone(), json(&entry.value))).collect();
        serde_json::Value::Object(map.into_iter().collect())
    }
}

/// Checks `apiVersion` and `kind` and gives `metadata` and `spec`.
pub(super) fn envelope<'n>(root: &'n Node, kind: &str, report: &mut Report) -> Option<(Value<'n>, Value<'n>)> {
    let fields = Value { name: "file", node: root }.fields(&["apiVersion", "kind", "metadata", "spec"], report)?;
    for (key, wanted) in [("apiVersion", "datamesh.io/v1"), ("kind", kind)] {
        if let Some(value) = fields.require(key, report)
            && value.text(report).is_some_and(|given| given != wanted)
        {
            value.is_not(&format!("`{wanted}`"), report);
        }
    }
    let (metadata, spec) = (fields.require("metadata", report), fields.require("spec", report));
    Some((metadata?, spec?))
}
