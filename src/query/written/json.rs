//! JSON texts: what is in one, and how `jsonb` writes it.

use std::collections::BTreeMap;

use crate::error::{ErrorKind, Fault, Result};

/// How deep a document may be: it is read by recursion.
const DEEPEST: usize = 200;
/// The largest exponent of a number that is written out.
const LARGEST_EXPONENT: i32 = 1_000;

/// Appends a text as a JSON string.
pub(in crate::query) fn string(text: &str, out: &mut String) {
    // A text is always JSON.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

/// What a value is.
#[derive(Debug)]
enum Node {
    /// Anything without parts, as it is written.
    Scalar(String),
    Array(Vec<Node>),
    /// Shorter keys come first, and of equal keys the last counts.
    Object(BTreeMap<(usize, String), Node>),
}

/// The document in `jsonb`'s layout: keys in its order and once each, one blank behind commas and colons.
pub(in crate::query) fn jsonb(text: &str) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    read(text)?.write(&mut out);
    Ok(out)
}

/// What `json_typeof` calls a document.
pub(in crate::query) fn kind(text: &str) -> Result<&'static str> {
    check(text)?;
    Ok(match text.trim_start().as_bytes().first() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        _ => "number",
    })
}

/// How many items an array has.
pub(in crate::query) fn length(text: &str) -> Result<usize> {
    let fault = |what: &str| Err(Fault::new(ErrorKind::InvalidParameter, format!("cannot get array length of a {what}")));
    match kind(text)? {
        "array" => serde_json::from_str::<Vec<serde::de::IgnoredAny>>(text).map(|items| items.len()).map_err(|_| invalid(text)),
        "object" => fault("non-array"),
        _ => fault("scalar"),
    }
}

/// Whether a text is JSON.
pub(in crate::query) fn check(text: &str) -> Result<()> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).map(drop).map_err(|_| invalid(text))
}

fn invalid(text: &str) -> Fault {
    let shown: String = text.chars().take(60).collect();
    Fault::new(ErrorKind::InvalidText, format!("invalid input syntax for type json: \"{shown}\""))
}

fn read(text: &str) -> Result<Node> {
    check(text)?;
    let mut reader = Reader { all: text, rest: text };
    reader.value(0)
}

/// A valid document, of which a part has been read.
struct Reader<'a> {
    all: &'a str,
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// The next character that is no blank.
    fn next(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
        self.rest.as_bytes().first().copied()
    }

    /// Passes one character, if it comes next.
    fn pass(&mut self, c: u8) -> bool {
        let found = self.next() == Some(c);
        if found {
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
        found
    }

    fn take(&mut self, length: usize) -> Result<&'a str> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(|| invalid(self.all))?;
        self.rest = rest;
        Ok(taken)
    }

    fn text(&mut self) -> Result<String> {
        let mut escaped = false;
        let end = self.rest.bytes().skip(1).position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let taken = self.take(end.map_or(0, |end| end + 2))?;
        let text: String = serde_json::from_str(taken).map_err(|_| invalid(self.all))?;
        if text.contains('\0') {
            return Err(Fault::new(ErrorKind::InvalidText, "unsupported Unicode escape sequence")
                .with_detail("\\u0000 cannot be converted to text."));
        }
        Ok(text)
    }

    fn value(&mut self, depth: usize) -> Result<Node> {
        if depth > DEEPEST {
            return Err(Fault::new(ErrorKind::TooComplex, "a JSON document is nested too deep"));
        }
        match self.next() {
            Some(b'[') => {
                let mut items = Vec::new();
                self.pass(b'[');
                while !self.pass(b']') {
                    items.push(self.value(depth + 1)?);
                    self.pass(b',');
                }
                Ok(Node::Array(items))
            }
            Some(b'{') => {
                let mut members = BTreeMap::new();
                self.pass(b'{');
                while !self.pass(b'}') {
                    self.next();
                    let key = self.text()?;
                    self.pass(b':');
                    members.insert((key.len(), key), self.value(depth + 1)?);
                    self.pass(b',');
                }
                Ok(Node::Object(members))
            }
            Some(b'"') => {
                let mut written = String::new();
                string(&self.text()?, &mut written);
                Ok(Node::Scalar(written))
            }
            Some(_) => {
                let end = self.rest.find([',', ']', '}', ' ', '\t', '\n', '\r']).unwrap_or(self.rest.len());
                let word = self.take(end.max(1))?;
                let is_word = word.starts_with(|c: char| c.is_ascii_alphabetic());
                Ok(Node::Scalar(if is_word { word.to_owned() } else { number(word)? }))
            }
            None => Err(invalid(self.all)),
        }
    }
}

/// A number as a `numeric` writes it: without an exponent, and nothing is below zero.
fn number(word: &str) -> Result<String> {
    let overflow = || Fault::new(ErrorKind::OutOfRange, "value overflows numeric format");
    let (sign, plain) = word.strip_prefix('-').map_or(("", word), |rest| ("-", rest));
    let (mantissa, exponent) = plain.split_once(['e', 'E']).unwrap_or((plain, "0"));
    let exponent: i32 = exponent.parse().map_err(|_| overflow())?;
    if exponent.abs() > LARGEST_EXPONENT {
        return Err(overflow());
    }
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = format!("{whole}{fraction}");
    let point = i64::try_from(whole.len()).unwrap_or(0) + i64::from(exponent);
    let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
    if point <= 0 {
        digits.insert_str(0, &zeros(1 - point));
    }
    let point = usize::try_from(point.max(1)).unwrap_or(1);
    if point > digits.len() {
        digits.push_str(&"0".repeat(point - digits.len()));
    }
    let (whole, fraction) = digits.split_at_checked(point).unwrap_or((&digits, ""));
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let sign = if digits.bytes().all(|digit| digit == b'0') { "" } else { sign };
    Ok(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

impl Node {
    fn write(&self, out: &mut String) {
        match self {
            Self::Scalar(text) => out.push_str(text),
            Self::Array(items) => {
                out.push('[');
                for (place, item) in items.iter().enumerate() {
                    if place > 0 {
                        out.push_str(", ");
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (place, ((_, key), value)) in members.iter().enumerate() {
                    if place > 0 {
                        out.push_str(", ");
                    }
                    string(key, out);
                    out.push_str(": ");
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What PostgreSQL 15 answers to `'…'::jsonb`.
    #[test]
    fn a_document_is_laid_out_as_jsonb() {
        for (text, laid) in [
            (r#"{"b":1,"a":2,"aa":[1,{}]}"#, r#"{"a": 2, "b": 1, "aa": [1, {}]}"#),
            (r#"{"a": 1.0, "a":2}"#, r#"{"a": 2}"#),
            (r#" [ 1.50 , -0 , 1e5, 1.5E3, 12e-3, -1.25e1, 0e5, 100, 0.0 ] "#, "[1.50, 0, 100000, 1500, 0.012, -12.5, 0, 100, 0.0]"),
            (r#""\u0041\"\\\/\n""#, r#""A\"\\/\n""#),
            ("null", "null"),
            ("[[],{},\"\",true]", "[[], {}, \"\", true]"),
        ] {
            assert_eq!(jsonb(text).unwrap(), laid, "{text}");
        }
        for (text, code) in [("nope", "22P02"), ("", "22P02"), ("{} x", "22P02"), (r#""\u0000""#, "22P02"), ("1e99999", "22003")] {
            assert_eq!(jsonb(text).unwrap_err().sqlstate(), code, "{text}");
        }
        assert_eq!(jsonb(&"[".repeat(100_000)).unwrap_err().sqlstate(), "22P02");
        assert!(jsonb(&format!("{}{}", "[".repeat(300), "]".repeat(300))).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_ends_the_reader(text in "[\\[\\]{}\",:0-9eE.+ \\\\utrfnalsé-]{0,40}") {
            if let Ok(laid) = jsonb(&text) {
                proptest::prop_assert_eq!(jsonb(&laid).unwrap(), laid);
            }
            let _ = (kind(&text), length(&text));
        }
    }
}
