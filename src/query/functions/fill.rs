//! Texts made of values: `format('%s of %I', …)`, `concat` and `concat_ws`, `array_to_string`.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result as EngineResult};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, Volatility};

use super::super::written::Values;
use super::own::{MOST, Own, Remembered, Rows, is_text, no_such, sent, too_long, values};
use crate::error::{ErrorKind, Fault, Result};
use crate::system::{quote_ident, quote_literal};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let own = |name, coerce, body| Own { name, volatility: Volatility::Stable, coerce, returns: |_| Ok(DataType::Utf8), body };
    vec![
        own("format", coerce_template, format).made(),
        own("concat", |_, types| Ok(types.to_vec()), concat).made(),
        own("concat_ws", coerce_template, concat_ws).made(),
        own("array_to_string", coerce_array, array_to_string).also("array_join").made(),
    ]
}

/// A text, and anything.
fn coerce_template(name: &'static str, types: &[DataType]) -> EngineResult<Vec<DataType>> {
    match types {
        [template, others @ ..] if is_text(template) => Ok([&[DataType::Utf8][..], others].concat()),
        _ => no_such(name, types),
    }
}

fn is_list(of: &DataType) -> bool {
    matches!(of, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) | DataType::Null)
}

/// A list, what is put between its items, and what stands for NULL.
fn coerce_array(name: &'static str, types: &[DataType]) -> EngineResult<Vec<DataType>> {
    match types {
        [list, texts @ ..] if is_list(list) && matches!(texts.len(), 1 | 2) && texts.iter().all(is_text) => {
            Ok(std::iter::once(list.clone()).chain(texts.iter().map(|_| DataType::Utf8)).collect())
        }
        _ => no_such(name, types),
    }
}

/// How wide a place is, at least.
#[derive(Debug, Clone, Copy)]
enum Width {
    Fixed(usize),
    /// `*`: as the next argument says.
    Next,
    /// `*2$`.
    At(usize),
}

/// `%[position][flags][width]type`.
#[derive(Debug)]
struct Place {
    position: Option<usize>,
    left: bool,
    width: Width,
    kind: char,
}

#[derive(Debug)]
enum Item {
    Text(String),
    Place(Place),
}

fn fault(message: impl Into<String>) -> Fault {
    Fault::new(ErrorKind::InvalidParameter, message)
}

/// Digits, if there are some, as a number.
fn number(rest: &mut &str) -> Result<Option<usize>> {
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let Some((digits, after)) = rest.split_at_checked(end).filter(|(digits, _)| !digits.is_empty()) else { return Ok(None) };
    *rest = after;
    let number = digits.parse::<i32>().ok().and_then(|number| usize::try_from(number).ok());
    number.map(Some).ok_or_else(|| Fault::new(ErrorKind::OutOfRange, "number is out of range"))
}

fn argument(number: usize) -> Result<usize> {
    if number == 0 { Err(fault("format specifies argument 0, but arguments are numbered from 1")) } else { Ok(number) }
}

/// Takes one place apart, behind its `%`.
fn place(rest: &mut &str) -> Result<Place> {
    let mut place = Place { position: None, left: false, width: Width::Fixed(0), kind: ' ' };
    let mut first = number(rest)?;
    if let (Some(number), Some(after)) = (first, rest.strip_prefix('$')) {
        (place.position, first, *rest) = (Some(argument(number)?), None, after);
    }
    if let Some(width) = first {
        place.width = Width::Fixed(width);
    } else {
        let flags = rest.trim_start_matches('-');
        (place.left, *rest) = (flags.len() < rest.len(), flags);
        if let Some(after) = rest.strip_prefix('*') {
            *rest = after;
            place.width = match number(rest)? {
                None => Width::Next,
                Some(number) => {
                    *rest = rest.strip_prefix('$').ok_or_else(|| fault("width argument position must be ended by \"$\""))?;
                    Width::At(argument(number)?)
                }
            };
        } else if let Some(width) = number(rest)? {
            place.width = Width::Fixed(width);
        }
    }
    let hint = "For a single \"%\" use \"%%\".";
    let mut chars = rest.chars();
    place.kind = chars.next().ok_or_else(|| fault("unterminated format() type specifier").with_hint(hint))?;
    *rest = chars.as_str();
    match place.kind {
        's' | 'I' | 'L' => Ok(place),
        other => Err(fault(format!("unrecognized format() type specifier \"{other}\"")).with_hint(hint)),
    }
}

fn parse(template: &str) -> EngineResult<Vec<Item>> {
    let mut items = Vec::new();
    let mut rest = template;
    while let Some((text, after)) = rest.split_once('%') {
        items.push(Item::Text(text.to_owned()));
        rest = after;
        match rest.strip_prefix('%') {
            Some(after) => {
                items.push(Item::Text("%".to_owned()));
                rest = after;
            }
            None => items.push(Item::Place(place(&mut rest).map_err(sent)?)),
        }
    }
    items.push(Item::Text(rest.to_owned()));
    Ok(items)
}

fn format(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let values = values(args, &rows)?;
    let mut template = Remembered::none();
    rows.texts_where(
        |row| values.first().is_some_and(|template| !template.is_null(rows.at(0, row))),
        |row, out| {
            let mut next = 0;
            for item in template.get(rows.text(0, row)?, parse)? {
                match item {
                    Item::Text(text) => out.push_str(text),
                    Item::Place(place) => place.fill(&values, |argument| rows.at(argument, row), &mut next, out).map_err(sent)?,
                }
                if out.len() > MOST {
                    return Err(too_long());
                }
            }
            Ok(())
        },
    )
}

impl Place {
    /// Appends what stands here. `last` is the argument that was taken last.
    fn fill(&self, values: &[Values], at: impl Fn(usize) -> usize, last: &mut usize, out: &mut String) -> Result<()> {
        let mut take = |argument: Option<usize>| {
            *last = argument.unwrap_or(*last + 1);
            let value = values.get(*last).ok_or_else(|| fault("too few arguments for format()"))?;
            let (value, row) = (value, at(*last));
            let mut text = String::new();
            let present = !value.is_null(row);
            if present {
                value.text(row, &mut text);
            }
            Ok::<_, Fault>(Some(text).filter(|_| present))
        };
        let mut left = self.left;
        let mut counted = |text: Option<String>| {
            let Some(text) = text else { return Ok(0) };
            let invalid = || Fault::new(ErrorKind::InvalidText, format!("invalid input syntax for type integer: \"{text}\""));
            let number: i32 = text.trim().parse().map_err(|_| invalid())?;
            left |= number < 0;
            Ok::<_, Fault>(usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX))
        };
        let width = match self.width {
            Width::Fixed(width) => width,
            Width::Next => counted(take(None)?)?,
            Width::At(argument) => counted(take(Some(argument))?)?,
        };
        if width > MOST {
            return Err(Fault::new(ErrorKind::ProgramLimit, "requested length too large"));
        }
        let text = match (self.kind, take(self.position)?) {
            ('I', None) => return Err(Fault::new(ErrorKind::NullValue, "null values cannot be formatted as an SQL identifier")),
            ('I', Some(name)) => quote_ident(&name),
            ('L', value) => value.map_or_else(|| "NULL".to_owned(), |text| quote_literal(&text)),
            (_, value) => value.unwrap_or_default(),
        };
        let padding = " ".repeat(width.saturating_sub(text.chars().count()));
        let (first, second) = if left { (&text, &padding) } else { (&padding, &text) };
        out.push_str(first);
        out.push_str(second);
        Ok(())
    }
}

fn concat(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    joined(args, 0, |_| Ok(""), |_| true)
}

fn concat_ws(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    joined(args, 1, |row| rows.text(0, row), |row| rows.is_valid(0, row))
}

/// The arguments from `first` that are not NULL, with a separator between them.
fn joined<'a>(
    args: &ScalarFunctionArgs,
    first: usize,
    separator: impl Fn(usize) -> EngineResult<&'a str>,
    present: impl Fn(usize) -> bool,
) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let values = values(args, &rows)?;
    rows.texts_where(present, |row, out| {
        let mut is_first = true;
        for (argument, value) in values.iter().enumerate().skip(first) {
            let at = rows.at(argument, row);
            if value.is_null(at) {
                continue;
            }
            if !std::mem::replace(&mut is_first, false) {
                out.push_str(separator(row)?);
            }
            value.text(at, out);
        }
        Ok(())
    })
}

fn array_to_string(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let values = values(args, &rows)?;
    let Some(lists) = values.first() else { return Err(DataFusionError::Internal("an argument is missing".to_owned())) };
    let has_null = args.args.len() == 3;
    rows.texts_where(
        |row| rows.is_valid(0, row) && rows.is_valid(1, row),
        |row, out| {
            let separator = rows.text(1, row)?;
            let null = if has_null && rows.is_valid(2, row) { Some(rows.text(2, row)?) } else { None };
            lists.join(rows.at(0, row), separator, null, MOST, out);
            if out.len() > MOST { Err(too_long()) } else { Ok(()) }
        },
    )
}
