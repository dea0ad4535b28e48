//! Regular expressions: `regexp_split_to_array`, `regexp_substr` and `regexp_instr`. What the expressions are is said in [`super::text`].

use std::sync::Arc;

use arrow::array::{AsArray, Int32Array, ListBuilder, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Int32Type};
use datafusion::common::Result as EngineResult;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, Volatility};
use regex::{Match, Regex, RegexBuilder};

use super::own::{Own, Remembered, Rows, is_text, no_such, sent};
use crate::error::{ErrorKind, Fault};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let own = |name, coerce, returns, body| Own { name, volatility: Volatility::Immutable, coerce, returns, body }.made();
    vec![
        own("regexp_split_to_array", coerce_texts, |_| Ok(DataType::new_list(DataType::Utf8, true)), split),
        own("regexp_substr", |name, types| coerce(name, types, "ttnntn"), |_| Ok(DataType::Utf8), substr),
        own("regexp_instr", |name, types| coerce(name, types, "ttnnntn"), |_| Ok(DataType::Int32), instr),
    ]
}

fn coerce_texts(name: &'static str, types: &[DataType]) -> EngineResult<Vec<DataType>> {
    coerce(name, types, "ttt")
}

/// Two texts and what may follow them: `t` is a text, `n` a number.
fn coerce(name: &str, types: &[DataType], letters: &str) -> EngineResult<Vec<DataType>> {
    if types.len() < 2 || types.len() > letters.len() {
        return no_such(name, types);
    }
    let one = |(of, letter): (&DataType, char)| match letter {
        't' if is_text(of) => Ok(DataType::Utf8),
        'n' if of.is_integer() || is_text(of) => Ok(DataType::Int32),
        _ => no_such(name, types),
    };
    types.iter().zip(letters.chars()).map(one).collect()
}

/// A regular expression with PostgreSQL's letters for how it is read.
pub(super) fn compiled(pattern: &str, flags: &str) -> EngineResult<Regex> {
    let mut builder = RegexBuilder::new(pattern);
    // A point is every character, also the end of a line. A short pattern can become a large machine, anew for every row.
    builder.dot_matches_new_line(true).size_limit(1 << 18);
    for flag in flags.chars() {
        match flag {
            'i' => builder.case_insensitive(true),
            'c' => builder.case_insensitive(false),
            'x' => builder.ignore_whitespace(true),
            's' => builder.dot_matches_new_line(true).multi_line(false),
            'n' | 'm' => builder.dot_matches_new_line(false).multi_line(true),
            'p' => builder.dot_matches_new_line(false).multi_line(false),
            'w' => builder.dot_matches_new_line(true).multi_line(true),
            'e' | 't' => &mut builder,
            other => {
                let message = format!("invalid regular expression option: \"{other}\"");
                return Err(sent(Fault::new(ErrorKind::InvalidParameter, message)));
            }
        };
    }
    let built = builder.build();
    built.map_err(|error| sent(Fault::new(ErrorKind::InvalidRegex, "invalid regular expression").with_source(error)))
}

/// The expression of a row, with the flags in an argument that may be left out.
struct Expressions<'a> {
    rows: &'a Rows,
    function: &'static str,
    flags: usize,
    last: Remembered<Regex>,
}

impl<'a> Expressions<'a> {
    fn of(rows: &'a Rows, function: &'static str, flags: usize) -> Self {
        Self { rows, function, flags, last: Remembered::none() }
    }

    fn at(&mut self, row: usize) -> EngineResult<&Regex> {
        let pattern = self.rows.text(1, row)?;
        let flags = if self.flags < self.rows.arguments() { self.rows.text(self.flags, row)? } else { "" };
        if flags.contains('g') {
            let message = format!("{}() does not support the \"global\" option", self.function);
            return Err(sent(Fault::new(ErrorKind::InvalidParameter, message)));
        }
        // No flag is a line's end, so that no two pairs are one text.
        self.last.get(&format!("{flags}\n{pattern}"), |_| compiled(pattern, flags))
    }
}

/// The parts between matches. An empty match at an end, or at the end of the match before it, is none.
fn split(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let mut expressions = Expressions::of(&rows, "regexp_split_to_array", 2);
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in 0..rows.count {
        if !rows.has_all(row) {
            lists.append_null();
            continue;
        }
        let text = rows.text(0, row)?;
        let (mut from, mut before) = (0, 0);
        for found in expressions.at(row)?.find_iter(text) {
            if found.start() < text.len() && found.end() > before {
                lists.values().append_value(text.get(from..found.start()).unwrap_or_default());
                from = found.end();
            }
            before = found.end();
        }
        lists.values().append_value(text.get(from..).unwrap_or_default());
        lists.append(true);
    }
    rows.result(Arc::new(lists.finish()))
}

/// A number of a row that may be left out, and is not less than `least`.
fn number(rows: &Rows, argument: usize, row: usize, name: &str, default: i32, least: i32) -> EngineResult<usize> {
    let given = if argument < rows.arguments() {
        rows.column(argument)?.as_primitive::<Int32Type>().value(rows.at(argument, row))
    } else {
        default
    };
    let invalid = || sent(Fault::new(ErrorKind::InvalidParameter, format!("invalid value for parameter \"{name}\": {given}")));
    usize::try_from(given).ok().filter(|_| given >= least).ok_or_else(invalid)
}

/// The nth match from a character on, or a group of it.
fn nth<'a>(regex: &Regex, text: &'a str, start: usize, nth: usize, group: usize) -> Option<Match<'a>> {
    let (mut at, _) = text.char_indices().chain(std::iter::once((text.len(), ' '))).nth(start - 1)?;
    let mut left = nth;
    loop {
        let captures = regex.captures_at(text, at)?;
        let whole = captures.get(0)?;
        left -= 1;
        if left == 0 {
            return captures.get(group);
        }
        at = whole.end();
        if whole.is_empty() {
            at += text.get(at..)?.chars().next()?.len_utf8();
        }
    }
}

fn substr(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let mut expressions = Expressions::of(&rows, "regexp_substr", 4);
    let mut found = StringBuilder::new();
    for row in 0..rows.count {
        if !rows.has_all(row) {
            found.append_null();
            continue;
        }
        let (start, n) = (number(&rows, 2, row, "start", 1, 1)?, number(&rows, 3, row, "n", 1, 1)?);
        let group = number(&rows, 5, row, "subexpr", 0, 0)?;
        found.append_option(nth(expressions.at(row)?, rows.text(0, row)?, start, n, group).map(|found| found.as_str()));
    }
    let found: StringArray = found.finish();
    rows.result(Arc::new(found))
}

fn instr(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let mut expressions = Expressions::of(&rows, "regexp_instr", 5);
    let mut places = Int32Array::builder(rows.count);
    for row in 0..rows.count {
        if !rows.has_all(row) {
            places.append_null();
            continue;
        }
        let (start, n) = (number(&rows, 2, row, "start", 1, 1)?, number(&rows, 3, row, "n", 1, 1)?);
        let end = number(&rows, 4, row, "endoption", 0, 0)?;
        if end > 1 {
            return Err(sent(Fault::new(ErrorKind::InvalidParameter, format!("invalid value for parameter \"endoption\": {end}"))));
        }
        let group = number(&rows, 6, row, "subexpr", 0, 0)?;
        let text = rows.text(0, row)?;
        let found = nth(expressions.at(row)?, text, start, n, group).map(|found| if end == 1 { found.end() } else { found.start() });
        let place = found.map_or(0, |at| text.get(..at).map_or(0, |before| before.chars().count()) + 1);
        places.append_value(i32::try_from(place).unwrap_or(i32::MAX));
    }
    rows.result(Arc::new(places.finish()))
}
