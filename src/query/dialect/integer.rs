//! Casts to whole numbers: rounded, and refused where they do not fit.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::{DataFusionError, Result as EngineResult};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::super::functions::own::{columns, sent};
use crate::error::{ErrorKind, Fault};

/// `int4(value)`: PostgreSQL has its casts as functions by these names.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Integer {
    to: DataType,
    signature: Signature,
}

/// Whether the cast from one type to the other is one that the engine does otherwise.
pub(super) fn differs(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    let target = matches!(to, T::Int16 | T::Int32 | T::Int64);
    let narrows = matches!((from, to), (T::Int64, T::Int16 | T::Int32) | (T::Int32, T::Int16));
    let text = matches!(from, T::Utf8 | T::LargeUtf8 | T::Utf8View);
    target && (narrows || text || matches!(from, T::Float32 | T::Float64 | T::Decimal128(..) | T::Decimal256(..)))
}

/// The value as a whole number of that type.
pub(super) fn integer(value: Expr, to: &DataType) -> Expr {
    ScalarUDF::new_from_impl(Integer { to: to.clone(), signature: Signature::any(1, Volatility::Immutable) }).call(vec![value])
}

impl Integer {
    fn sql(&self) -> &'static str {
        match self.to {
            DataType::Int16 => "smallint",
            DataType::Int32 => "integer",
            _ => "bigint",
        }
    }

    fn out_of_range(&self) -> DataFusionError {
        sent(Fault::new(ErrorKind::OutOfRange, format!("{} out of range", self.sql())))
    }

    /// Every value as the widest whole number.
    fn widest(&self, array: &ArrayRef) -> EngineResult<Int64Array> {
        match array.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                let texts = cast(array, &DataType::LargeUtf8)?;
                texts.as_string::<i64>().iter().map(|text| text.map(|text| self.read(text)).transpose()).collect()
            }
            DataType::Float32 | DataType::Float64 => {
                let floats = cast(array, &DataType::Float64)?;
                let whole = |number: f64| {
                    let whole = number.round_ties_even();
                    // 2^63 is the first that does not fit, and the last negative one does.
                    #[expect(clippy::cast_possible_truncation, reason = "checked to be within")]
                    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&whole) {
                        Ok(whole as i64)
                    } else {
                        Err(self.out_of_range())
                    }
                };
                floats.as_primitive::<Float64Type>().iter().map(|number| number.map(whole).transpose()).collect()
            }
            DataType::Decimal128(precision, scale) if *scale != 0 => {
                // Arrow's cast between scales rounds half away from zero.
                let whole = cast_with_options(array, &DataType::Decimal128(*precision, 0), &STRICT).map_err(|_| self.out_of_range())?;
                self.widest(&whole)
            }
            DataType::Decimal256(precision, scale) if *scale != 0 => {
                let whole = cast_with_options(array, &DataType::Decimal256(*precision, 0), &STRICT).map_err(|_| self.out_of_range())?;
                self.widest(&whole)
            }
            _ => {
                let wide = cast_with_options(array, &DataType::Int64, &STRICT).map_err(|_| self.out_of_range())?;
                Ok(wide.as_primitive::<Int64Type>().clone())
            }
        }
    }

    fn read(&self, text: &str) -> EngineResult<i64> {
        let digits = text.trim();
        let plain = digits.strip_prefix(['+', '-']).unwrap_or(digits);
        if plain.is_empty() || !plain.bytes().all(|byte| byte.is_ascii_digit()) {
            let message = format!("invalid input syntax for type {}: \"{text}\"", self.sql());
            return Err(sent(Fault::new(ErrorKind::InvalidText, message)));
        }
        let number: Option<i64> = digits.parse().ok();
        let fits = |number: &i64| match self.to {
            DataType::Int16 => i16::try_from(*number).is_ok(),
            DataType::Int32 => i32::try_from(*number).is_ok(),
            _ => true,
        };
        number.filter(fits).ok_or_else(|| {
            let message = format!("value \"{text}\" is out of range for type {}", self.sql());
            sent(Fault::new(ErrorKind::OutOfRange, message))
        })
    }
}

const STRICT: CastOptions<'static> = CastOptions { safe: false, format_options: arrow::util::display::FormatOptions::new() };

impl ScalarUDFImpl for Integer {
    fn name(&self) -> &str {
        match self.to {
            DataType::Int16 => "int2",
            DataType::Int32 => "int4",
            _ => "int8",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// What is cast names the cast, as the engine's are: a chain of casts has a short name.
    fn schema_name(&self, args: &[Expr]) -> EngineResult<String> {
        Ok(args.first().map(|arg| arg.schema_name().to_string()).unwrap_or_default())
    }

    fn return_type(&self, _: &[DataType]) -> EngineResult<DataType> {
        Ok(self.to.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        columns(&args, |values| {
            let [values] = values else { return Err(DataFusionError::Internal("one argument".into())) };
            let wide: ArrayRef = Arc::new(self.widest(values)?);
            cast_with_options(&wide, &self.to, &STRICT).map_err(|_| self.out_of_range())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Decimal128Array, Float64Array, StringArray};

    fn of(to: DataType, array: ArrayRef) -> Result<Vec<Option<i64>>, String> {
        let integer = Integer { to, signature: Signature::any(1, Volatility::Immutable) };
        let wide: ArrayRef = Arc::new(integer.widest(&array).map_err(|error| error.to_string())?);
        let cast = cast_with_options(&wide, &integer.to, &STRICT).map_err(|error| error.to_string())?;
        Ok(super::cast(&cast, &DataType::Int64).unwrap().as_primitive::<Int64Type>().iter().collect())
    }

    #[test]
    fn numerics_round_away_from_zero_and_doubles_to_even() {
        let numbers = Decimal128Array::from(vec![Some(25), Some(-25), Some(24), None]).with_precision_and_scale(10, 1).unwrap();
        assert_eq!(of(DataType::Int32, Arc::new(numbers)).unwrap(), [Some(3), Some(-3), Some(2), None]);
        let doubles = Float64Array::from(vec![2.5, 3.5, -1.5, 0.4]);
        assert_eq!(of(DataType::Int64, Arc::new(doubles)).unwrap(), [Some(2), Some(4), Some(-2), Some(0)]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for number in [f64::NAN, f64::INFINITY, 9.3e18, -9.3e18] {
            assert!(of(DataType::Int64, Arc::new(Float64Array::from(vec![number]))).is_err(), "{number}");
        }
        assert!(of(DataType::Int16, Arc::new(Int64Array::from(vec![40_000]))).is_err());
        let read = |text: &str| of(DataType::Int32, Arc::new(StringArray::from(vec![text])));
        assert_eq!(read(" +42 ").unwrap(), [Some(42)]);
        assert!(read("99999999999").unwrap_err().contains("out of range for type integer"));
        for text in ["", "1.5", "x", "+", "1 2"] {
            assert!(read(text).unwrap_err().contains("invalid input syntax for type integer"), "{text}");
        }
    }
}
