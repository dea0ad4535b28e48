//! One writer for each Arrow type in each format.

use arrow::array::types::*;
use arrow::array::{Array, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

use super::number::{self, Unscaled};
use super::time::{self, Interval};
use super::types::{self, oid};
use super::{Cell, Format, Style, Unwritable, nested};
use crate::error::{ErrorKind, Fault};

/// The writer of an array's values as a type.
pub fn cell<'a>(array: &'a dyn Array, oid: u32, format: Format, style: &Style) -> Result<Cell<'a>, Fault> {
    use DataType as A;
    Ok(match array.data_type() {
        A::Null => Box::new(|_, _| Ok(())),
        A::Boolean => boolean(array, format),
        A::Int8 => integer::<Int8Type>(array, oid, format),
        A::Int16 => integer::<Int16Type>(array, oid, format),
        A::Int32 => integer::<Int32Type>(array, oid, format),
        A::Int64 => integer::<Int64Type>(array, oid, format),
        A::UInt8 => integer::<UInt8Type>(array, oid, format),
        A::UInt16 => integer::<UInt16Type>(array, oid, format),
        A::UInt32 => integer::<UInt32Type>(array, oid, format),
        A::UInt64 if oid == oid::NUMERIC => numeric::<UInt64Type>(array, 0, format, |value| Unscaled::Small(i128::from(value))),
        A::UInt64 => wide_unsigned(array, oid, format),
        A::Float16 => float4::<Float16Type>(array, format, style, |value| value.to_f32()),
        A::Float32 => float4::<Float32Type>(array, format, style, |value| value),
        A::Float64 => float8(array, format, style),
        A::Decimal32(_, scale) => numeric::<Decimal32Type>(array, *scale, format, |value| Unscaled::Small(i128::from(value))),
        A::Decimal64(_, scale) => numeric::<Decimal64Type>(array, *scale, format, |value| Unscaled::Small(i128::from(value))),
        A::Decimal128(_, scale) => numeric::<Decimal128Type>(array, *scale, format, Unscaled::Small),
        A::Decimal256(_, scale) => numeric::<Decimal256Type>(array, *scale, format, Unscaled::Large),
        A::Utf8 => text(oid, format, {
            let a = array.as_string::<i32>();
            move |row| a.value(row)
        }),
        A::LargeUtf8 => text(oid, format, {
            let a = array.as_string::<i64>();
            move |row| a.value(row)
        }),
        A::Utf8View => text(oid, format, {
            let a = array.as_string_view();
            move |row| a.value(row)
        }),
        A::Binary => binary(oid, format, style, {
            let a = array.as_binary::<i32>();
            move |row| a.value(row)
        }),
        A::LargeBinary => binary(oid, format, style, {
            let a = array.as_binary::<i64>();
            move |row| a.value(row)
        }),
        A::BinaryView => binary(oid, format, style, {
            let a = array.as_binary_view();
            move |row| a.value(row)
        }),
        A::FixedSizeBinary(_) => binary(oid, format, style, {
            let a = array.as_fixed_size_binary();
            move |row| a.value(row)
        }),
        A::Date32 => date::<Date32Type>(array, format, i64::from),
        A::Date64 => date::<Date64Type>(array, format, |millis| millis.div_euclid(86_400_000)),
        A::Time32(TimeUnit::Second) => clock::<Time32SecondType>(array, format, |value| i64::from(value) * 1_000_000),
        A::Time32(_) => clock::<Time32MillisecondType>(array, format, |value| i64::from(value) * 1_000),
        A::Time64(TimeUnit::Nanosecond) => clock::<Time64NanosecondType>(array, format, |value| value / 1_000),
        A::Time64(_) => clock::<Time64MicrosecondType>(array, format, |value| value),
        A::Timestamp(unit, zone) => timestamp(array, *unit, zone.is_some(), format, style),
        A::Interval(IntervalUnit::YearMonth) => {
            interval::<IntervalYearMonthType>(array, format, |months| Ok(Interval { months, days: 0, micros: 0 }))
        }
        A::Interval(IntervalUnit::DayTime) => interval::<IntervalDayTimeType>(array, format, |value| {
            Ok(Interval { months: 0, days: value.days, micros: i64::from(value.milliseconds) * 1_000 })
        }),
        A::Interval(IntervalUnit::MonthDayNano) => interval::<IntervalMonthDayNanoType>(array, format, |value| {
            Ok(Interval { months: value.months, days: value.days, micros: value.nanoseconds / 1_000 })
        }),
        A::Duration(unit) => duration(array, *unit, format),
        A::Dictionary(..) => dictionary(array, oid, format, style)?,
        A::List(_) | A::LargeList(_) | A::FixedSizeList(..) if matches!(oid, oid::JSON | oid::JSONB) => nested::json(array, oid, format)?,
        A::List(_) | A::LargeList(_) | A::FixedSizeList(..) => nested::list(array, oid, format, style)?,
        A::Struct(_) | A::Map(..) => nested::json(array, oid, format)?,
        A::Union(..) | A::RunEndEncoded(..) | A::ListView(_) | A::LargeListView(_) => {
            return Err(Fault::new(ErrorKind::Unsupported, "a column's type cannot be sent over this protocol"));
        }
    })
}

fn boolean(array: &dyn Array, format: Format) -> Cell<'_> {
    let values = array.as_boolean();
    let (no, yes) = match format {
        Format::Text => (b'f', b't'),
        Format::Binary => (0, 1),
    };
    Box::new(move |row, out| {
        out.push(if values.value(row) { yes } else { no });
        Ok(())
    })
}

/// Integers of up to 64 bits with sign, in the width of their type on the wire.
fn integer<'a, T>(array: &'a dyn Array, oid: u32, format: Format) -> Cell<'a>
where
    T: ArrowPrimitiveType,
    T::Native: Into<i64>,
{
    let values: &PrimitiveArray<T> = array.as_primitive();
    if format == Format::Text {
        return Box::new(move |row, out| {
            number::signed(values.value(row).into(), out);
            Ok(())
        });
    }
    match oid {
        oid::NUMERIC => numeric::<T>(array, 0, format, |value| Unscaled::Small(i128::from(value.into()))),
        oid::INT2 => Box::new(move |row, out| {
            let value = i16::try_from(values.value(row).into()).map_err(|_| Unwritable("smallint out of range"))?;
            out.extend_from_slice(&value.to_be_bytes());
            Ok(())
        }),
        oid::INT4 => Box::new(move |row, out| {
            let value = i32::try_from(values.value(row).into()).map_err(|_| Unwritable("integer out of range"))?;
            out.extend_from_slice(&value.to_be_bytes());
            Ok(())
        }),
        oid::INT8 | oid::XID8 => Box::new(move |row, out| {
            out.extend_from_slice(&values.value(row).into().to_be_bytes());
            Ok(())
        }),
        other if types::length(other) == 4 => Box::new(move |row, out| {
            let value: i64 = values.value(row).into();
            let value = u32::try_from(value).or_else(|_| i32::try_from(value).map(i32::cast_unsigned));
            out.extend_from_slice(&value.map_err(|_| Unwritable("OID out of range"))?.to_be_bytes());
            Ok(())
        }),
        _ => Box::new(move |row, out| {
            number::signed(values.value(row).into(), out);
            Ok(())
        }),
    }
}

/// `UInt64` where the field says another type than `numeric`.
fn wide_unsigned(array: &dyn Array, oid: u32, format: Format) -> Cell<'_> {
    let values = array.as_primitive::<UInt64Type>();
    let length = if format == Format::Text { -1 } else { types::length(oid) };
    Box::new(move |row, out| {
        let value = values.value(row);
        match length {
            8 => out.extend_from_slice(&value.to_be_bytes()),
            4 => out.extend_from_slice(&u32::try_from(value).map_err(|_| Unwritable("OID out of range"))?.to_be_bytes()),
            _ => number::unsigned(value, out),
        }
        Ok(())
    })
}

fn float4<'a, T: ArrowPrimitiveType>(array: &'a dyn Array, format: Format, style: &Style, widen: fn(T::Native) -> f32) -> Cell<'a> {
    let values: &PrimitiveArray<T> = array.as_primitive();
    let digits = style.digits;
    match format {
        Format::Text => Box::new(move |row, out| {
            number::float4(widen(values.value(row)), digits, out);
            Ok(())
        }),
        Format::Binary => Box::new(move |row, out| {
            out.extend_from_slice(&widen(values.value(row)).to_be_bytes());
            Ok(())
        }),
    }
}

fn float8<'a>(array: &'a dyn Array, format: Format, style: &Style) -> Cell<'a> {
    let values = array.as_primitive::<Float64Type>();
    let digits = style.digits;
    match format {
        Format::Text => Box::new(move |row, out| {
            number::float8(values.value(row), digits, out);
            Ok(())
        }),
        Format::Binary => Box::new(move |row, out| {
            out.extend_from_slice(&values.value(row).to_be_bytes());
            Ok(())
        }),
    }
}

fn numeric<'a, T: ArrowPrimitiveType>(
    array: &'a dyn Array,
    scale: i8,
    format: Format,
    widen: impl Fn(T::Native) -> Unscaled + Send + Sync + 'static,
) -> Cell<'a> {
    let values: &PrimitiveArray<T> = array.as_primitive();
    match format {
        Format::Text => Box::new(move |row, out| {
            number::numeric_text(widen(values.value(row)), scale, out);
            Ok(())
        }),
        Format::Binary => Box::new(move |row, out| {
            number::numeric_binary(widen(values.value(row)), scale, out);
            Ok(())
        }),
    }
}

/// Text, whatever its type is called. In binary some types are not their text.
fn text<'a>(oid: u32, format: Format, value: impl Fn(usize) -> &'a str + Send + Sync + 'a) -> Cell<'a> {
    let convert: fn(&str, &mut Vec<u8>) = match (format, oid) {
        (Format::Text, _) => |text, out| out.extend_from_slice(text.as_bytes()),
        (_, oid::JSONB) => |text, out| {
            out.push(1);
            out.extend_from_slice(text.as_bytes());
        },
        // A contract says that a column has them; its data are the domain's.
        (_, oid::UUID) => {
            return Box::new(move |row, out| {
                let uuid = uuid::Uuid::try_parse(value(row)).map_err(|_| Unwritable("a text in a column of type uuid is not one"))?;
                out.extend_from_slice(uuid.as_bytes());
                Ok(())
            });
        }
        (_, oid::INT2VECTOR) => |text, out| nested::vector(text, oid::INT2, out),
        (_, oid::OIDVECTOR) => |text, out| nested::vector(text, oid::OID, out),
        (_, array) if types::element_of(array).is_some() => {
            let element = types::element_of(array).unwrap_or(oid::TEXT);
            return Box::new(move |row, out| nested::array_from_text(value(row), element, out));
        }
        // Names of functions, types and tables stand for an object id, which is not known here; a number is one.
        (_, other) if types::length(other) == 4 => |text, out| out.extend_from_slice(&text.parse::<u32>().unwrap_or(0).to_be_bytes()),
        _ => |text, out| out.extend_from_slice(text.as_bytes()),
    };
    Box::new(move |row, out| {
        convert(value(row), out);
        Ok(())
    })
}

fn binary<'a>(oid: u32, format: Format, style: &Style, value: impl Fn(usize) -> &'a [u8] + Send + Sync + 'a) -> Cell<'a> {
    if format == Format::Binary {
        return Box::new(move |row, out| {
            out.extend_from_slice(value(row));
            Ok(())
        });
    }
    if oid == oid::UUID {
        return Box::new(move |row, out| {
            let uuid = uuid::Uuid::from_slice(value(row)).map_err(|_| Unwritable("a uuid has sixteen bytes"))?;
            out.extend_from_slice(uuid.as_hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()).as_bytes());
            Ok(())
        });
    }
    let write = if style.escape_bytea { escaped } else { hexadecimal };
    Box::new(move |row, out| {
        write(value(row), out);
        Ok(())
    })
}

/// `\x0aff`.
pub fn hexadecimal(bytes: &[u8], out: &mut Vec<u8>) {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    out.extend_from_slice(b"\\x");
    out.reserve(2 * bytes.len());
    for byte in bytes {
        out.push(digit(byte >> 4));
        out.push(digit(byte & 15));
    }
}

/// Printable bytes as they are, others as `\ooo`.
fn escaped(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x20..=0x7e => out.push(*byte),
            other => out.extend_from_slice(&[b'\\', b'0' + (other >> 6), b'0' + ((other >> 3) & 7), b'0' + (other & 7)]),
        }
    }
}

fn date<'a, T: ArrowPrimitiveType>(array: &'a dyn Array, format: Format, days: fn(T::Native) -> i64) -> Cell<'a> {
    let values: &PrimitiveArray<T> = array.as_primitive();
    match format {
        Format::Text => Box::new(move |row, out| {
            time::date(days(values.value(row)), out);
            Ok(())
        }),
        Format::Binary => Box::new(move |row, out| {
            // PostgreSQL's largest and smallest are its infinities.
            let since = i32::try_from(days(values.value(row)) - time::EPOCH_DAYS).ok().filter(|days| !matches!(*days, i32::MIN | i32::MAX));
            out.extend_from_slice(&since.ok_or(Unwritable("date out of range"))?.to_be_bytes());
            Ok(())
        }),
    }
}

fn clock<'a, T: ArrowPrimitiveType>(array: &'a dyn Array, format: Format, micros: fn(T::Native) -> i64) -> Cell<'a> {
    let values: &PrimitiveArray<T> = array.as_primitive();
    Box::new(move |row, out| {
        let value = micros(values.value(row));
        if !(0..=time::DAY).contains(&value) {
            return Err(Unwritable("time out of range"));
        }
        match format {
            Format::Text => time::clock(value, out),
            Format::Binary => out.extend_from_slice(&value.to_be_bytes()),
        }
        Ok(())
    })
}

fn timestamp<'a>(array: &'a dyn Array, unit: TimeUnit, zoned: bool, format: Format, style: &Style) -> Cell<'a> {
    let value: Box<dyn Fn(usize) -> i64 + Send + Sync + 'a> = match unit {
        TimeUnit::Second => reader::<TimestampSecondType>(array),
        TimeUnit::Millisecond => reader::<TimestampMillisecondType>(array),
        TimeUnit::Microsecond => reader::<TimestampMicrosecondType>(array),
        TimeUnit::Nanosecond => reader::<TimestampNanosecondType>(array),
    };
    let zone = style.zone;
    Box::new(move |row, out| {
        let micros = time::micros(value(row), unit)?;
        match format {
            Format::Text if zoned => time::timestamptz(micros, zone, out),
            Format::Text => time::timestamp(micros, out),
            Format::Binary => {
                let since = micros.checked_sub(time::EPOCH_MICROS).filter(|since| *since != i64::MIN);
                out.extend_from_slice(&since.ok_or(Unwritable("timestamp out of range"))?.to_be_bytes());
            }
        }
        Ok(())
    })
}

fn reader<'a, T: ArrowPrimitiveType<Native = i64>>(array: &'a dyn Array) -> Box<dyn Fn(usize) -> i64 + Send + Sync + 'a> {
    let values: &PrimitiveArray<T> = array.as_primitive();
    Box::new(move |row| values.value(row))
}

fn interval<'a, T: ArrowPrimitiveType>(
    array: &'a dyn Array,
    format: Format,
    convert: impl Fn(T::Native) -> Result<Interval, Unwritable> + Send + Sync + 'static,
) -> Cell<'a> {
    let values: &PrimitiveArray<T> = array.as_primitive();
    Box::new(move |row, out| {
        let value = convert(values.value(row))?;
        match format {
            Format::Text => time::interval(value, out),
            Format::Binary => {
                out.extend_from_slice(&value.micros.to_be_bytes());
                out.extend_from_slice(&value.days.to_be_bytes());
                out.extend_from_slice(&value.months.to_be_bytes());
            }
        }
        Ok(())
    })
}

/// In microseconds.
const DAY: i64 = 86_400_000_000;

fn duration(array: &dyn Array, unit: TimeUnit, format: Format) -> Cell<'_> {
    let convert = move |value| {
        let micros = time::micros(value, unit).map_err(|_| Unwritable("interval out of range"))?;
        // PostgreSQL's difference of two timestamps counts days of 24 hours.
        let days = i32::try_from(micros / DAY).map_err(|_| Unwritable("interval out of range"))?;
        Ok(Interval { months: 0, days, micros: micros % DAY })
    };
    match unit {
        TimeUnit::Second => interval::<DurationSecondType>(array, format, convert),
        TimeUnit::Millisecond => interval::<DurationMillisecondType>(array, format, convert),
        TimeUnit::Microsecond => interval::<DurationMicrosecondType>(array, format, convert),
        TimeUnit::Nanosecond => interval::<DurationNanosecondType>(array, format, convert),
    }
}

fn dictionary<'a>(array: &'a dyn Array, oid: u32, format: Format, style: &Style) -> Result<Cell<'a>, Fault> {
    let dictionary = array.as_any_dictionary();
    if dictionary.values().is_empty() {
        // Every row is NULL.
        return Ok(Box::new(|_, _| Ok(())));
    }
    let keys = dictionary.normalized_keys();
    let values = cell(dictionary.values().as_ref(), oid, format, style)?;
    Ok(Box::new(move |row, out| match keys.get(row) {
        Some(key) => values(*key, out),
        None => Ok(()),
    }))
}
