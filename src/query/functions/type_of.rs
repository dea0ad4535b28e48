//! `pg_typeof`: what PostgreSQL calls a value's type.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Result as EngineResult;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, Volatility};
use datafusion::scalar::ScalarValue;

use super::own::{Own, no_such};
use crate::system::{format_type, type_of};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let one = |name, types: &[DataType]| if types.len() == 1 { Ok(types.to_vec()) } else { no_such(name, types) };
    vec![Own { name: "pg_typeof", volatility: Volatility::Stable, coerce: one, returns: |_| Ok(DataType::Utf8), body: pg_typeof }.made()]
}

/// The field says it, so that every row has the same.
fn pg_typeof(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    let name = args.arg_fields.first().map(|field| match field.data_type() {
        DataType::Null => "unknown".to_owned(),
        _ => format_type(type_of(field).0, None),
    });
    Ok(ColumnarValue::Scalar(ScalarValue::Utf8(name)))
}
