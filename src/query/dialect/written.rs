//! Casts to text: values as PostgreSQL writes them, where the engine writes another text.

use std::sync::Arc;

use arrow::array::StringBuilder;
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result as EngineResult};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::super::functions::own::{columns, sent};
use super::super::functions::zone::tz_of_session;
use crate::values::{Column, Format, Style, types};

/// The value as text.
pub(super) fn text(value: Expr) -> Expr {
    // A moment is written by the session's clock.
    ScalarUDF::new_from_impl(Text(Signature::any(1, Volatility::Stable))).call(vec![value])
}

/// Whether values of this type are written otherwise by the engine.
pub(super) fn differs(data_type: &DataType) -> bool {
    use DataType as T;
    matches!(
        data_type,
        T::Float16
            | T::Float32
            | T::Float64
            | T::Timestamp(..)
            | T::Interval(_)
            | T::Duration(_)
            | T::Time32(_)
            | T::Time64(_)
            | T::Binary
            | T::LargeBinary
            | T::BinaryView
            | T::FixedSizeBinary(_)
            | T::List(_)
            | T::LargeList(_)
            | T::FixedSizeList(..)
            | T::Struct(_)
            | T::Map(..)
    )
}

/// `text(value)`.
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
        let zone = tz_of_session(&args.config_options);
        columns(&args, |values| {
            let [values] = values else { return Err(DataFusionError::Internal("one argument".into())) };
            let unwritable = |other: &DataType| DataFusionError::Plan(format!("No function matches: text of {other}"));
            let oid = types::of_arrow(values.data_type()).map_err(unwritable)?.oid;
            let column = Column::new(values.as_ref(), oid, Format::Text, &Style { zone, ..Style::default() }).map_err(sent)?;
            let mut texts = StringBuilder::new();
            let mut out = Vec::new();
            for row in 0..values.len() {
                if column.is_null(row) {
                    texts.append_null();
                    continue;
                }
                out.clear();
                column.write(row, &mut out).map_err(|error| sent(error.into()))?;
                texts.append_value(String::from_utf8_lossy(&out));
            }
            Ok(Arc::new(texts.finish()))
        })
    }
}
