//! Intervals by their length: PostgreSQL counts thirty days to the month and twenty-four hours to the day where it compares them.

use std::sync::Arc;

use arrow::array::{AsArray, Decimal128Array};
use arrow::datatypes::{DataType, IntervalMonthDayNanoType};
use datafusion::common::{DataFusionError, Result as EngineResult};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::super::functions::own::columns;

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
        columns(&args, |values| {
            let intervals = values.first().and_then(|values| values.as_primitive_opt::<IntervalMonthDayNanoType>());
            let intervals = intervals.ok_or_else(|| DataFusionError::Internal("an interval".into()))?;
            let length = |months: i32, days: i32, nanos: i64| (i128::from(months) * 30 + i128::from(days)) * DAY + i128::from(nanos);
            let spans: Decimal128Array = intervals.iter().map(|one| one.map(|one| length(one.months, one.days, one.nanoseconds))).collect();
            Ok(Arc::new(spans.with_precision_and_scale(38, 0)?))
        })
    }
}
