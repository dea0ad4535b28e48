//! JSON of values: `to_json`, `json_build_object`, what `json_agg` is made of, and what a document is.
//!
//! `jsonb` is a text here like `json`; its functions write it in `jsonb`'s layout.

use std::sync::Arc;

use arrow::array::{AsArray, Int32Array};
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result as EngineResult};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, Volatility};

use super::super::written::{Values, json};
use super::own::{MOST, Own, Rows, Udf, is_text, no_such, sent, too_long, values};
use crate::error::{ErrorKind, Fault};

/// Makes of an aggregate's argument what is gathered, and of what was gathered the result; by PostgreSQL's names of such functions.
pub(in crate::query) const AGGREGATES: &[(&str, &str, &str)] = &[
    ("json_agg", "json_agg_transfn", "json_agg_finalfn"),
    ("jsonb_agg", "json_agg_transfn", "jsonb_agg_finalfn"),
    ("json_object_agg", "json_object_agg_transfn", "json_object_agg_finalfn"),
    ("jsonb_object_agg", "json_object_agg_transfn", "jsonb_object_agg_finalfn"),
];

/// `json_agg` writes arrays and records on a line each.
const LINE: &str = "\n ";

pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    let own = |name, coerce, body| Own { name, volatility: Volatility::Stable, coerce, returns: |_| Ok(DataType::Utf8), body };
    let json = |of: Own| Udf { called: Some("json"), ..of.plain() }.made();
    let jsonb = |of: Own| Udf { called: Some("jsonb"), ..of.plain() }.made();
    vec![
        json(own("to_json", one, |args| to_json(args, false))),
        jsonb(own("to_jsonb", one, |args| to_json(args, true))),
        json(own("array_to_json", list, |args| to_json(args, false))),
        json(own("row_to_json", record, |args| to_json(args, false))),
        json(own("json_build_object", any, |args| object(args, false))),
        jsonb(own("jsonb_build_object", any, |args| object(args, true))),
        json(own("json_build_array", any, |args| array(args, false))),
        jsonb(own("jsonb_build_array", any, |args| array(args, true))),
        own("json_typeof", document, kind).also("jsonb_typeof").made(),
        Own { returns: |_| Ok(DataType::Int32), ..own("json_array_length", document, length) }.also("jsonb_array_length").made(),
        own("json_agg_transfn", one, item).made(),
        own("json_object_agg_transfn", two, member).made(),
        json(own("json_agg_finalfn", items, |args| gathered(args, ["[", "]"], false))),
        jsonb(own("jsonb_agg_finalfn", items, |args| gathered(args, ["[", "]"], true))),
        json(own("json_object_agg_finalfn", items, |args| gathered(args, ["{ ", " }"], false))),
        jsonb(own("jsonb_object_agg_finalfn", items, |args| gathered(args, ["{", "}"], true))),
    ]
}

fn any(_: &'static str, types: &[DataType]) -> EngineResult<Vec<DataType>> {
    Ok(types.to_vec())
}

fn one(name: &'static str, types: &[DataType]) -> EngineResult<Vec<DataType>> {
    if types.len() == 1 { Ok(types.to_vec()) } else { no_such(name, types) }
}

fn two(name: &'static str, types: &[DataType]) -> EngineResult<Vec<DataType>> {
    if types.len() == 2 { Ok(types.to_vec()) } else { no_such(name, types) }
}

fn list(name: &'static str, types: &[DataType]) -> EngineResult<Vec<DataType>> {
    match types {
        [DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..)] => Ok(types.to_vec()),
        _ => no_such(name, types),
    }
}

fn record(name: &'static str, types: &[DataType]) -> EngineResult<Vec<DataType>> {
    match types {
        // What a row is made of is known when the plan is.
        [DataType::Struct(_) | DataType::Null] => Ok(types.to_vec()),
        _ => no_such(name, types),
    }
}

/// What `array_agg` made of texts.
fn items(name: &'static str, types: &[DataType]) -> EngineResult<Vec<DataType>> {
    match types {
        [DataType::List(_) | DataType::Null] => Ok(vec![DataType::new_list(DataType::Utf8, true)]),
        _ => no_such(name, types),
    }
}

fn document(name: &'static str, types: &[DataType]) -> EngineResult<Vec<DataType>> {
    match types {
        [text] if is_text(text) => Ok(vec![DataType::Utf8]),
        _ => no_such(name, types),
    }
}

/// The longest document that is taken apart: in its parts, each of a few bytes, it takes many times as much.
const LONGEST: usize = MOST / 4;

/// A document as it was written, or in `jsonb`'s layout.
fn laid(text: &str, out: &mut String, jsonb: bool) -> EngineResult<()> {
    if text.len() > if jsonb { LONGEST } else { MOST } {
        return Err(too_long());
    }
    out.push_str(&if jsonb { json::jsonb(text).map_err(sent)? } else { text.to_owned() });
    Ok(())
}

fn only(values: &[Values]) -> EngineResult<&Values> {
    values.first().ok_or_else(|| DataFusionError::Internal("an argument is missing".to_owned()))
}

fn to_json(args: &ScalarFunctionArgs, jsonb: bool) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let values = values(args, &rows)?;
    let value = only(&values)?;
    rows.texts_where(
        |row| !value.is_null(rows.at(0, row)),
        |row, out| {
            let mut text = String::new();
            value.json(rows.at(0, row), &mut text);
            laid(&text, out, jsonb)
        },
    )
}

/// A member's name, which is the text of any value.
fn key(value: &Values, row: usize, out: &mut String) {
    let mut name = String::new();
    value.text(row, &mut name);
    json::string(&name, out);
}

fn invalid(message: impl Into<String>) -> DataFusionError {
    sent(Fault::new(ErrorKind::InvalidParameter, message))
}

fn object(args: &ScalarFunctionArgs, jsonb: bool) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let values = values(args, &rows)?;
    if values.len() % 2 == 1 {
        let fault = Fault::new(ErrorKind::InvalidParameter, "argument list must have even number of elements");
        return Err(sent(fault.with_hint("The arguments must consist of alternating keys and values.")));
    }
    rows.texts_where(
        |_| true,
        |row, out| {
            let mut text = String::from("{");
            for (pair, members) in values.chunks_exact(2).enumerate() {
                let [name, value] = members else { continue };
                if name.is_null(rows.at(2 * pair, row)) {
                    return Err(invalid(format!("argument {}: key must not be null", 2 * pair + 1)));
                }
                text.push_str(if pair > 0 { ", " } else { "" });
                key(name, rows.at(2 * pair, row), &mut text);
                text.push_str(" : ");
                value.json(rows.at(2 * pair + 1, row), &mut text);
            }
            text.push('}');
            laid(&text, out, jsonb)
        },
    )
}

fn array(args: &ScalarFunctionArgs, jsonb: bool) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let values = values(args, &rows)?;
    rows.texts_where(
        |_| true,
        |row, out| {
            let mut text = String::from("[");
            for (place, value) in values.iter().enumerate() {
                text.push_str(if place > 0 { ", " } else { "" });
                value.json(rows.at(place, row), &mut text);
            }
            text.push(']');
            laid(&text, out, jsonb)
        },
    )
}

/// One of the values that `json_agg` gathers.
fn item(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let values = values(args, &rows)?;
    let value = only(&values)?;
    rows.texts_where(
        |_| true,
        |row, out| {
            out.push_str(if value.is_nested() { LINE } else { "" });
            value.json(rows.at(0, row), out);
            Ok(())
        },
    )
}

fn member(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let values = values(args, &rows)?;
    let [name, value] = values.as_slice() else { return no_such("json_object_agg", &[]) };
    rows.texts_where(
        |_| true,
        |row, out| {
            if name.is_null(rows.at(0, row)) {
                return Err(invalid("field name must not be null"));
            }
            key(name, rows.at(0, row), out);
            out.push_str(" : ");
            value.json(rows.at(1, row), out);
            Ok(())
        },
    )
}

/// What was gathered, between brackets.
fn gathered(args: &ScalarFunctionArgs, [open, close]: [&str; 2], jsonb: bool) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let lists = rows.column(0)?.as_list::<i32>();
    rows.texts(|row, out| {
        let items = lists.value(rows.at(0, row));
        let mut text = open.to_owned();
        for (place, item) in items.as_string::<i32>().iter().flatten().enumerate() {
            text.push_str(if place > 0 { ", " } else { "" });
            text.push_str(if place > 0 { item } else { item.strip_prefix(LINE).unwrap_or(item) });
            if text.len() > MOST {
                return Err(too_long());
            }
        }
        text.push_str(close);
        laid(&text, out, jsonb)
    })
}

fn kind(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    rows.texts(|row, out| {
        out.push_str(json::kind(rows.text(0, row)?).map_err(sent)?);
        Ok(())
    })
}

fn length(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let length = |row| json::length(rows.text(0, row)?).map(|length| i32::try_from(length).ok()).map_err(sent);
    let lengths = (0..rows.count).map(|row| if rows.has_all(row) { length(row) } else { Ok(None) });
    rows.result(Arc::new(lengths.collect::<EngineResult<Int32Array>>()?))
}
