//! A column's values as text and as JSON, whatever their type.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, DecimalType, DurationMicrosecondType, Field, Float32Type, Float64Type, Int64Type,
    IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use chrono_tz::Tz;
use datafusion::common::{Result as EngineResult, not_impl_err};

use super::super::functions::calendar::DAY;
use super::json;
use crate::values::time::{self, Interval};
use crate::values::types;
use crate::values::{FloatDigits, float4, float8};

/// A column, ready to be written value by value.
#[derive(Debug)]
pub(in crate::query) struct Values {
    /// In one of the few types that are told apart below.
    array: ArrayRef,
    /// Its texts are JSON.
    is_json: bool,
    zone: Tz,
    /// Of a list its items, of a record its fields with their names.
    parts: Vec<(String, Values)>,
}

/// The type of those that are written alike. `None` for what cannot be written.
fn written_as(data_type: &DataType) -> Option<DataType> {
    use DataType as T;
    Some(match data_type {
        T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::UInt8 | T::UInt16 | T::UInt32 => T::Int64,
        T::UInt64 => T::Decimal128(20, 0),
        T::Float16 | T::Float32 => T::Float32,
        T::Decimal32(precision, scale) | T::Decimal64(precision, scale) => T::Decimal128(*precision, *scale),
        T::Utf8 | T::LargeUtf8 | T::Utf8View => T::Utf8,
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => T::Binary,
        T::Date32 | T::Date64 => T::Date32,
        T::Timestamp(_, zone) => T::Timestamp(TimeUnit::Microsecond, zone.clone()),
        T::Time32(_) | T::Time64(_) => T::Time64(TimeUnit::Microsecond),
        T::Interval(_) => T::Interval(IntervalUnit::MonthDayNano),
        T::Duration(_) => T::Duration(TimeUnit::Microsecond),
        T::Dictionary(_, value) => written_as(value)?,
        T::LargeList(item) | T::FixedSizeList(item, _) => T::List(Arc::clone(item)),
        T::Null | T::Boolean | T::Float64 | T::Decimal128(..) | T::Decimal256(..) | T::List(_) | T::Struct(_) => data_type.clone(),
        _ => return None,
    })
}

/// Whether a field says that its texts are JSON.
pub(in crate::query) fn is_json(field: &Field) -> bool {
    matches!(types::named(field), Some("json" | "jsonb"))
}

impl Values {
    /// The values of a column, with the moments among them as the clocks of `zone` show them.
    pub(in crate::query) fn of(array: &ArrayRef, field: &Field, zone: Tz) -> EngineResult<Self> {
        let Some(to) = written_as(array.data_type()) else { return not_impl_err!("values of type {} as text", array.data_type()) };
        let array = if *array.data_type() == to { Arc::clone(array) } else { cast(array, &to)? };
        let parts = match &to {
            DataType::List(item) => vec![(String::new(), Self::of(array.as_list::<i32>().values(), item, zone)?)],
            DataType::Struct(fields) => {
                let columns = fields.iter().zip(array.as_struct().columns());
                columns.map(|(field, column)| Ok((field.name().clone(), Self::of(column, field, zone)?))).collect::<EngineResult<_>>()?
            }
            _ => Vec::new(),
        };
        Ok(Self { array, is_json: is_json(field), zone, parts })
    }

    pub(in crate::query) fn is_null(&self, row: usize) -> bool {
        self.array.data_type().is_null() || self.array.is_null(row)
    }

    /// Whether the values are made of others.
    pub(in crate::query) fn is_nested(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Where the items of a row's list are among all items.
    fn items(&self, row: usize) -> std::ops::Range<usize> {
        let offsets = self.array.as_list::<i32>().value_offsets();
        let at = |row: usize| offsets.get(row).and_then(|offset| usize::try_from(*offset).ok()).unwrap_or(0);
        at(row)..at(row + 1)
    }

    /// Appends a value's text. A record is JSON, as it is for clients.
    pub(in crate::query) fn text(&self, row: usize, out: &mut String) {
        let mut bytes = Vec::new();
        match self.array.data_type() {
            DataType::Utf8 => out.push_str(self.array.as_string::<i32>().value(row)),
            DataType::Boolean => out.push(if self.array.as_boolean().value(row) { 't' } else { 'f' }),
            // Writing to memory does not fail, here and below.
            DataType::Int64 => {
                let _ = write!(out, "{}", self.array.as_primitive::<Int64Type>().value(row));
            }
            DataType::Decimal128(precision, scale) => {
                out.push_str(&Decimal128Type::format_decimal(self.array.as_primitive::<Decimal128Type>().value(row), *precision, *scale));
            }
            DataType::Decimal256(precision, scale) => {
                out.push_str(&Decimal256Type::format_decimal(self.array.as_primitive::<Decimal256Type>().value(row), *precision, *scale));
            }
            DataType::Float32 => float4(self.array.as_primitive::<Float32Type>().value(row), FloatDigits::default(), &mut bytes),
            DataType::Float64 => float8(self.array.as_primitive::<Float64Type>().value(row), FloatDigits::default(), &mut bytes),
            DataType::Date32 => time::date(self.array.as_primitive::<Date32Type>().value(row).into(), &mut bytes),
            DataType::Time64(_) => time::clock(self.array.as_primitive::<Time64MicrosecondType>().value(row), &mut bytes),
            DataType::Timestamp(_, zone) => {
                let moment = self.array.as_primitive::<TimestampMicrosecondType>().value(row);
                match zone {
                    Some(_) => time::timestamptz(moment, self.zone, &mut bytes),
                    None => time::timestamp(moment, &mut bytes),
                }
            }
            DataType::Interval(_) => {
                let span = self.array.as_primitive::<IntervalMonthDayNanoType>().value(row);
                time::interval(Interval { months: span.months, days: span.days, micros: span.nanoseconds / 1_000 }, &mut bytes);
            }
            DataType::Duration(_) => {
                let micros = self.array.as_primitive::<DurationMicrosecondType>().value(row);
                let days = i32::try_from(micros / DAY).unwrap_or(i32::MAX);
                time::interval(Interval { months: 0, days, micros: micros % DAY }, &mut bytes);
            }
            DataType::Binary => {
                out.push_str("\\x");
                for byte in self.array.as_binary::<i32>().value(row) {
                    let _ = write!(out, "{byte:02x}");
                }
            }
            DataType::List(_) => self.list(row, out),
            _ => self.json(row, out),
        }
        out.push_str(&String::from_utf8_lossy(&bytes));
    }

    /// `{a,"b c",NULL}`.
    fn list(&self, row: usize, out: &mut String) {
        let Some((_, values)) = self.parts.first() else { return };
        let mut item = String::new();
        out.push('{');
        for (place, at) in self.items(row).enumerate() {
            if place > 0 {
                out.push(',');
            }
            if values.is_null(at) {
                out.push_str("NULL");
                continue;
            }
            item.clear();
            values.text(at, &mut item);
            let plain = !item.is_empty()
                && !item.eq_ignore_ascii_case("null")
                && !item.contains(|c: char| matches!(c, '{' | '}' | '"' | '\\' | ',' | '\u{b}') || c.is_ascii_whitespace());
            if plain || matches!(values.array.data_type(), DataType::List(_)) {
                out.push_str(&item);
                continue;
            }
            out.push('"');
            for c in item.chars() {
                if matches!(c, '"' | '\\') {
                    out.push('\\');
                }
                out.push(c);
            }
            out.push('"');
        }
        out.push('}');
    }

    /// Appends the items of a row's list, and of the lists in it, with a separator between them. `null` stands for NULL, which is left out
    /// without. Stops when the text is longer than `most`.
    pub(in crate::query) fn join(&self, row: usize, separator: &str, null: Option<&str>, most: usize, out: &mut String) {
        let mut is_first = true;
        self.join_on(row, separator, null, most, &mut is_first, out);
    }

    fn join_on(&self, row: usize, separator: &str, null: Option<&str>, most: usize, is_first: &mut bool, out: &mut String) {
        let Some((_, values)) = self.parts.first() else { return };
        for at in self.items(row) {
            let absent = values.is_null(at);
            if out.len() > most || (absent && null.is_none()) {
                continue;
            }
            if !absent && matches!(values.array.data_type(), DataType::List(_)) {
                values.join_on(at, separator, null, most, is_first, out);
                continue;
            }
            if !std::mem::replace(is_first, false) {
                out.push_str(separator);
            }
            if absent {
                out.push_str(null.unwrap_or_default());
            } else {
                values.text(at, out);
            }
        }
    }

    /// Appends a value as `to_json` does, `null` included.
    pub(in crate::query) fn json(&self, row: usize, out: &mut String) {
        if self.is_null(row) {
            return out.push_str("null");
        }
        match (self.array.data_type(), self.parts.as_slice()) {
            (DataType::List(_), [(_, values)]) => {
                out.push('[');
                for (place, at) in self.items(row).enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    values.json(at, out);
                }
                out.push(']');
            }
            (DataType::Struct(_), fields) => {
                out.push('{');
                for (place, (name, values)) in fields.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    json::string(name, out);
                    out.push(':');
                    values.json(row, out);
                }
                out.push('}');
            }
            _ => self.json_scalar(row, out),
        }
    }

    fn json_scalar(&self, row: usize, out: &mut String) {
        use DataType as T;
        let mut text = String::new();
        self.text(row, &mut text);
        match self.array.data_type() {
            T::Boolean => out.push_str(if text == "t" { "true" } else { "false" }),
            T::Utf8 if self.is_json => out.push_str(&text),
            // NaN and the infinities are no JSON numbers.
            T::Int64 | T::Decimal128(..) | T::Decimal256(..) | T::Float32 | T::Float64 if text.ends_with(|c: char| c.is_ascii_digit()) => {
                out.push_str(&text);
            }
            T::Timestamp(_, zone) => {
                let mut text = text.replacen(' ', "T", 1);
                // An offset has its minutes here.
                if zone.is_some() && text.bytes().rev().nth(2).is_some_and(|sign| matches!(sign, b'+' | b'-')) {
                    text.push_str(":00");
                }
                json::string(&text, out);
            }
            _ => json::string(&text, out),
        }
    }
}
