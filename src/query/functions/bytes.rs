//! Bytes as text and back: `encode` and `decode`.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{AsArray, BinaryBuilder};
use arrow::datatypes::DataType;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datafusion::common::Result as EngineResult;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, Volatility};

use super::own::{Own, Rows, is_text, no_such, sent};
use crate::error::{ErrorKind, Fault, Result};

/// Characters in a line of base64.
const LINE: usize = 76;

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let own = |name, coerce, returns, body| Own { name, volatility: Volatility::Immutable, coerce, returns, body }.made();
    vec![own("encode", coerce_bytes, |_| Ok(DataType::Utf8), encode), own("decode", coerce_texts, |_| Ok(DataType::Binary), decode)]
}

fn coerce_bytes(name: &'static str, types: &[DataType]) -> EngineResult<Vec<DataType>> {
    match types {
        [bytes, format] if (is_binary(bytes) || is_text(bytes)) && is_text(format) => Ok(vec![DataType::Binary, DataType::Utf8]),
        _ => no_such(name, types),
    }
}

fn is_binary(of: &DataType) -> bool {
    matches!(of, DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_))
}

fn coerce_texts(name: &'static str, types: &[DataType]) -> EngineResult<Vec<DataType>> {
    if types.len() == 2 && types.iter().all(is_text) { Ok(vec![DataType::Utf8; 2]) } else { no_such(name, types) }
}

fn invalid(message: impl Into<String>) -> Fault {
    Fault::new(ErrorKind::InvalidParameter, message)
}

fn unknown(format: &str) -> Fault {
    let shown: String = format.chars().take(60).collect();
    invalid(format!("unrecognized encoding: \"{shown}\""))
}

fn encode(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let bytes = rows.column(0)?.as_binary::<i32>();
    rows.texts(|row, out| encoded(bytes.value(rows.at(0, row)), rows.text(1, row)?, out).map_err(sent))
}

fn encoded(bytes: &[u8], format: &str, out: &mut String) -> Result<()> {
    match format.to_ascii_lowercase().as_str() {
        "hex" => {
            for byte in bytes {
                // Writing to memory does not fail, here and below.
                let _ = write!(out, "{byte:02x}");
            }
        }
        "base64" => {
            for (line, text) in STANDARD.encode(bytes).as_bytes().chunks(LINE).enumerate() {
                out.push_str(if line > 0 { "\n" } else { "" });
                out.push_str(&String::from_utf8_lossy(text));
            }
        }
        "escape" => {
            for byte in bytes {
                match byte {
                    b'\\' => out.push_str("\\\\"),
                    1..0x80 => out.push(char::from(*byte)),
                    other => {
                        let _ = write!(out, "\\{other:03o}");
                    }
                }
            }
        }
        _ => return Err(unknown(format)),
    }
    Ok(())
}

fn decode(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let rows = Rows::of(args)?;
    let mut decoded = BinaryBuilder::new();
    for row in 0..rows.count {
        if rows.has_all(row) {
            decoded.append_value(decoded_from(rows.text(0, row)?, rows.text(1, row)?).map_err(sent)?);
        } else {
            decoded.append_null();
        }
    }
    rows.result(Arc::new(decoded.finish()))
}

fn decoded_from(text: &str, format: &str) -> Result<Vec<u8>> {
    match format.to_ascii_lowercase().as_str() {
        "hex" => from_hex(text),
        "base64" => {
            let plain: String = text.chars().filter(|c| !matches!(c, ' ' | '\t' | '\n' | '\r')).collect();
            match plain.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '='))) {
                Some(other) => Err(invalid(format!("invalid symbol \"{other}\" found while decoding base64 sequence"))),
                None => STANDARD.decode(plain).map_err(|_| {
                    invalid("invalid base64 end sequence")
                        .with_hint("Input data is missing padding, is truncated, or is otherwise corrupted.")
                }),
            }
        }
        "escape" => from_escapes(text),
        _ => Err(unknown(format)),
    }
}

fn from_hex(text: &str) -> Result<Vec<u8>> {
    let digits = text.chars().filter(|c| !matches!(c, ' ' | '\t' | '\n' | '\r'));
    let digits = digits
        .map(|c| c.to_digit(16).ok_or_else(|| invalid(format!("invalid hexadecimal digit: \"{c}\""))))
        .collect::<Result<Vec<u32>>>()?;
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(high * 16 + low).map_err(|_| invalid("invalid hexadecimal data")),
        _ => Err(invalid("invalid hexadecimal data: odd number of digits")),
    });
    pairs.collect()
}

/// `\\` is a backslash, `\ooo` a byte, and everything else itself.
fn from_escapes(text: &str) -> Result<Vec<u8>> {
    let wrong = || Fault::new(ErrorKind::InvalidText, "invalid input syntax for type bytea");
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        match rest {
            [] => return Ok(decoded),
            [b'\\', b'\\', after @ ..] => {
                decoded.push(b'\\');
                rest = after;
            }
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                decoded.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                rest = after;
            }
            [b'\\', ..] => return Err(wrong()),
            [byte, after @ ..] => {
                decoded.push(*byte);
                rest = after;
            }
        }
    }
}
