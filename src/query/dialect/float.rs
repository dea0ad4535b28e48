//! Floating-point numbers as PostgreSQL writes them, in results and in casts to text.

use std::io::Write as _;
use std::sync::Arc;

use arrow::array::{Array, AsArray, StringBuilder};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::{DataFusionError, Result as EngineResult};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::super::functions::own::columns;

/// How many digits floats get: `extra_float_digits`. Positive is the shortest text that reads back the same, which is the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FloatDigits(pub i32);

impl Default for FloatDigits {
    fn default() -> Self {
        Self(1)
    }
}

/// Appends a `float8`.
pub fn float8(value: f64, digits: FloatDigits, out: &mut Vec<u8>) {
    if digits.0 > 0 { float(value, &format!("{value:e}"), 15, out) } else { rounded(value, (15 + digits.0).max(1), out) }
}

/// Appends a `float4`.
pub fn float4(value: f32, digits: FloatDigits, out: &mut Vec<u8>) {
    if digits.0 > 0 {
        float(f64::from(value), &format!("{value:e}"), 6, out);
    } else {
        rounded(f64::from(value), (6 + digits.0).max(1), out);
    }
}

fn rounded(value: f64, precision: i32, out: &mut Vec<u8>) {
    let digits = usize::try_from(precision - 1).unwrap_or(0);
    let scientific = format!("{value:.digits$e}");
    let trimmed = match scientific.split_once('e') {
        Some((mantissa, exponent)) if mantissa.contains('.') => {
            format!("{}e{exponent}", mantissa.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => scientific,
    };
    float(value, &trimmed, precision, out);
}

/// Lays out Rust's `d.ddde±x` as C's `%g` does: fixed from 1e-4 up to `precision` digits, scientific with two exponent digits beyond.
fn float(value: f64, scientific: &str, precision: i32, out: &mut Vec<u8>) {
    if value.is_nan() {
        return out.extend_from_slice(b"NaN");
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    if value.is_infinite() {
        return out.extend_from_slice(b"Infinity");
    }
    let (mantissa, exponent) = scientific.trim_start_matches('-').split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..precision).contains(&exponent) {
        out.extend_from_slice(mantissa.as_bytes());
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "e{sign}{:02}", exponent.unsigned_abs());
        return;
    }
    let digits = mantissa.bytes().filter(|byte| *byte != b'.');
    if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', usize::try_from(-exponent - 1).unwrap_or(0)));
        out.extend(digits);
        return;
    }
    let whole = usize::try_from(exponent + 1).unwrap_or(1);
    let mut written = 0;
    for digit in digits {
        if written == whole {
            out.push(b'.');
        }
        out.push(digit);
        written += 1;
    }
    out.extend(std::iter::repeat_n(b'0', whole.saturating_sub(written)));
}

/// The number as text: PostgreSQL writes `2`, where the engine writes `2.0`.
pub(super) fn text(value: Expr) -> Expr {
    ScalarUDF::new_from_impl(Text(Signature::any(1, Volatility::Immutable))).call(vec![value])
}

/// Whether values of this type are written otherwise.
pub(super) fn differs(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64)
}

/// `text(double precision)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Text(Signature);

impl ScalarUDFImpl for Text {
    fn name(&self) -> &'static str {
        "text"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    /// What is cast names the cast, as the engine's are: a chain of casts has a short name.
    fn schema_name(&self, args: &[Expr]) -> EngineResult<String> {
        Ok(args.first().map(|arg| arg.schema_name().to_string()).unwrap_or_default())
    }

    fn return_type(&self, _: &[DataType]) -> EngineResult<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        columns(&args, |values| {
            let [values] = values else { return Err(DataFusionError::Internal("one argument".into())) };
            let mut texts = StringBuilder::new();
            let mut out = Vec::new();
            for row in 0..values.len() {
                out.clear();
                match values.data_type() {
                    DataType::Float32 => float4(values.as_primitive::<Float32Type>().value(row), FloatDigits::default(), &mut out),
                    _ => float8(values.as_primitive::<Float64Type>().value(row), FloatDigits::default(), &mut out),
                }
                texts.append_option(std::str::from_utf8(&out).ok().filter(|_| values.is_valid(row)));
            }
            Ok(Arc::new(texts.finish()))
        })
    }
}
