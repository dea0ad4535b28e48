//! YAML text to a tree that knows where everything was written.
//!
//! The tree is built from parser events rather than by serde, because serde stops at the first mistake and a catalog author wants them
//! all, each with its line and column. Scalars keep their text as written, so `1.10` stays `1.10` and money stays exact. What YAML
//! offers beyond plain data (tags, merge keys, several documents) is refused; aliases are allowed and their expansion is bounded.

use std::collections::HashMap;
use std::rc::Rc;

use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle, ScanError, Span};

/// Deepest nesting of a catalog file.
const MAX_DEPTH: usize = 32;
/// Most values in a catalog file, with aliases written out.
const MAX_NODES: usize = 50_000;

/// A place in a file: line and column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    pub(super) line: u64,
    pub(super) column: u64,
}

impl Mark {
    /// The file as a whole.
    pub(super) const FILE: Self = Self { line: 0, column: 0 };

    fn of(span: &Span) -> Self {
        Self::at(span.start.line(), span.start.col())
    }

    fn at(line: usize, column_from_zero: usize) -> Self {
        let widen = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        Self { line: widen(line), column: widen(column_from_zero).saturating_add(1) }
    }
}

/// A value and where it was written.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) at: Mark,
    pub(super) kind: Kind,
    /// How many values it holds, itself included, with aliases written out.
    weight: usize,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Null,
    /// Text as written, and whether it stood there without quotes.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Rc<Node>>),
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: Mark,
    pub(super) value: Rc<Node>,
}

/// Something wrong, and where.
pub(super) type Mistake = (Mark, String);

/// Reads one document. What is not YAML ends the reading; what is YAML but not plain data is noted and left out.
pub(super) fn parse(text: &str, mistakes: &mut Vec<Mistake>) -> Option<Node> {
    let options = granit_parser::options! {
        emit_comments: false,
        disallow_directives: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let parser = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder { parser, mistakes, anchors: HashMap::new() };
    match builder.document() {
        Ok(node) => node,
        Err(mistake) => {
            mistakes.push(mistake);
            None
        }
    }
}

struct Builder<'a, 'm> {
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    mistakes: &'m mut Vec<Mistake>,
    anchors: HashMap<usize, Rc<Node>>,
}

impl<'a> Builder<'a, '_> {
    fn document(&mut self) -> Result<Option<Node>, Mistake> {
        let mut root: Option<Node> = None;
        while let Some((event, span)) = self.next()? {
            match event {
                Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
                Event::DocumentStart(..) if root.is_none() => {}
                Event::DocumentStart(..) => return Err((Mark::of(&span), "a second document starts here: one file holds one".into())),
                other => root = Some(self.node(other, &span, 0)?.as_ref().clone()),
            }
        }
        Ok(root)
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Mistake> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok(event)) => Ok(Some(event)),
            Some(Err(error)) => Err(scan_mistake(&error)),
        }
    }

    fn must_next(&mut self, from: Mark) -> Result<(Event<'a>, Span), Mistake> {
        self.next()?.ok_or_else(|| (from, "the file ends before this value does".to_owned()))
    }

    fn node(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<Rc<Node>, Mistake> {
        let at = Mark::of(span);
        if depth > MAX_DEPTH {
            return Err((at, format!("nested more than {MAX_DEPTH} deep")));
        }
        let (kind, anchor, tagged) = match event {
            Event::Scalar(text, style, anchor, tag) => (scalar(&text, style), anchor, tag.is_some()),
            Event::SequenceStart(_, anchor, tag) => (self.list(at, depth)?, anchor, tag.is_some()),
            Event::MappingStart(_, anchor, tag) => (self.map(at, depth)?, anchor, tag.is_some()),
            Event::Alias(id) => return self.alias(id, at),
            _ => return Err((at, "a value is missing here".into())),
        };
        if tagged {
            self.mistakes.push((at, "YAML tags (`!…`) are not supported: write the plain value".into()));
        }
        let weight = weigh(&kind);
        if weight > MAX_NODES {
            return Err((at, format!("holds more than {MAX_NODES} values")));
        }
        let node = Rc::new(Node { at, kind, weight });
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        Ok(node)
    }

    /// An alias shares its anchor's value; only its weight is paid again. It cannot be inside its own anchor: that is not built yet.
    fn alias(&self, id: usize, at: Mark) -> Result<Rc<Node>, Mistake> {
        self.anchors.get(&id).cloned().ok_or_else(|| (at, "an alias inside the value that it stands for".to_owned()))
    }

    fn list(&mut self, at: Mark, depth: usize) -> Result<Kind, Mistake> {
        let mut items = Vec::new();
        loop {
            match self.must_next(at)? {
                (Event::SequenceEnd, _) => return Ok(Kind::List(items)),
                (event, span) => items.push(self.node(event, &span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, at: Mark, depth: usize) -> Result<Kind, Mistake> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: HashMap<String, u64> = HashMap::new();
        loop {
            let (event, span) = self.must_next(at)?;
            if matches!(event, Event::MappingEnd) {
                return Ok(Kind::Map(entries));
            }
            let key_at = Mark::of(&span);
            let key = self.node(event, &span, depth + 1)?;
            let (event, span) = self.must_next(at)?;
            let value = self.node(event, &span, depth + 1)?;
            let Kind::Scalar { text, plain } = &key.kind else {
                self.mistakes.push((key_at, "a key must be a plain name".into()));
                continue;
            };
            if *plain && text == "<<" {
                self.mistakes.push((key_at, "merge keys (`<<`) are not supported: write the keys out".into()));
            } else if let Some(first) = seen.get(text) {
                self.mistakes.push((key_at, format!("`{}` is given twice, first on line {first}", super::read::clip(text))));
            } else {
                seen.insert(text.clone(), key_at.line);
                entries.push(Entry { key: text.clone(), at: key_at, value });
            }
        }
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Kind {
    let plain = style == ScalarStyle::Plain;
    if plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") { Kind::Null } else { Kind::Scalar { text: text.to_owned(), plain } }
}

fn weigh(kind: &Kind) -> usize {
    let below: usize = match kind {
        Kind::Null | Kind::Scalar { .. } => 0,
        Kind::List(items) => items.iter().fold(0, |sum, item| item.weight.saturating_add(sum)),
        Kind::Map(entries) => entries.iter().fold(0, |sum, entry| entry.value.weight.saturating_add(sum)),
    };
    below.saturating_add(1)
}

fn scan_mistake(error: &ScanError) -> Mistake {
    let mark = error.marker();
    let info: String = error.info().chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
    (Mark::at(mark.line().max(1), mark.col()), format!("not YAML: {info}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Option<Node>, Vec<Mistake>) {
        let mut mistakes = Vec::new();
        let node = parse(text, &mut mistakes);
        (node, mistakes)
    }

    #[test]
    fn values_know_their_line_and_column() {
        let (node, mistakes) = read("a: 1\nb:\n  - {c: \"x\"}\n");
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let Kind::Map(entries) = node.unwrap().kind else { panic!("a map") };
        assert_eq!((entries[0].at, entries[0].value.at), (Mark { line: 1, column: 1 }, Mark { line: 1, column: 4 }));
        let Kind::List(items) = &entries[1].value.kind else { panic!("a list") };
        assert_eq!(items[0].at, Mark { line: 3, column: 5 });
    }

    #[test]
    fn h4_an_alias_bomb_is_refused_before_it_grows() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..12 {
            let row = vec![format!("*a{}", i - 1); 10].join(", ");
            text.push_str(&format!("a{i}: &a{i} [{row}]\n"));
        }
        let (node, mistakes) = read(&text);
        assert!(node.is_none());
        assert!(mistakes[0].1.contains("holds more than"), "{mistakes:?}");
    }

    #[test]
    fn deep_nesting_is_refused() {
        for text in ["[".repeat(10_000), "{a: ".repeat(10_000), "- ".repeat(10_000), "? ".repeat(5_000)] {
            let (node, mistakes) = read(&text);
            assert!(node.is_none() && !mistakes.is_empty());
        }
    }

    #[test]
    fn what_is_not_plain_data_is_noted() {
        for (text, said) in [
            ("a: !!int 5", "tags"),
            ("a: &x {b: 1}\nc:\n  <<: *x", "merge keys"),
            ("a: 1\na: 2", "given twice, first on line 1"),
            ("a: 1\n---\nb: 2", "second document"),
            ("? [x]\n: 1", "plain name"),
            ("a: *nowhere", "not YAML"),
            ("%YAML 1.1\n---\na: 1", "not YAML"),
        ] {
            let (_, mistakes) = read(text);
            assert!(mistakes.iter().any(|(_, m)| m.contains(said)), "{text:?}: {mistakes:?}");
        }
    }
}
