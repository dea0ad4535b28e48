//! Intervals by their length: PostgreSQL counts thirty days to the month and twenty-four hours to the day where it compares them.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array};
use arrow::datatypes::{DataType, IntervalMonthDayNanoType};
use datafusion::common::{DataFusionError, Result as EngineResult, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// Nanoseconds of a day.
const DAY: i128 = 86_400_000_000_000;

/// An interval's length, by which it is compared.
pub(super) fn of(interval: Expr) -> Expr {
    ScalarUDF::new_from_impl(Span(Signature::any(1, Volatility::Immutable))).call(vec![interval])
}

/// `span(interval)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Span(Signature);

impl ScalarUDFImpl for Span {
    fn name(&self) -> &'static str {
        "span"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> EngineResult<DataType> {
        Ok(DataType::Decimal128(38, 0))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        let Some(value) = args.args.first() else { return Err(DataFusionError::Internal("one argument".into())) };
        let plain = matches!(value, ColumnarValue::Scalar(_));
        let array = value.to_array(if plain { 1 } else { args.number_rows })?;
        let intervals = array.as_primitive_opt::<IntervalMonthDayNanoType>();
        let intervals = intervals.ok_or_else(|| DataFusionError::Internal("an interval".into()))?;
        let length = |months: i32, days: i32, nanos: i64| (i128::from(months) * 30 + i128::from(days)) * DAY + i128::from(nanos);
        let spans: Decimal128Array = intervals.iter().map(|one| one.map(|one| length(one.months, one.days, one.nanoseconds))).collect();
        let spans: ArrayRef = Arc::new(spans.with_precision_and_scale(38, 0)?);
        if plain { Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&spans, 0)?)) } else { Ok(ColumnarValue::Array(spans)) }
    }
}
