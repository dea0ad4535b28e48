//! `substring`, also by a regular expression.
//!
//! The expressions are those of the engine's functions: of two alternatives the first is taken, where POSIX takes the longer, and there
//! are no back references.

use std::sync::Arc;

use arrow::array::StringBuilder;
use arrow::datatypes::DataType;
use datafusion::common::Result as EngineResult;
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, Volatility};

use super::own::{Own, Remembered, Rows, is_text, no_such, types_of};
use super::regexp::compiled;

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let substr = Own { name: "substr", volatility: Volatility::Immutable, coerce, returns, body: substring };
    vec![substr.also("substring").made()]
}

fn coerce(name: &'static str, types: &[DataType]) -> EngineResult<Vec<DataType>> {
    let number = |data_type: &DataType| data_type.is_integer() || data_type.is_null();
    match types {
        [text, pattern] if is_text(text) && is_text(pattern) && !pattern.is_null() => Ok(vec![DataType::Utf8; 2]),
        [text, numbers @ ..] if is_text(text) && (1..=2).contains(&numbers.len()) && numbers.iter().all(number) => {
            let text = match text {
                DataType::Null => DataType::Utf8,
                DataType::Dictionary(_, value) => value.as_ref().clone(),
                other => other.clone(),
            };
            Ok(std::iter::once(text).chain(numbers.iter().map(|_| DataType::Int64)).collect())
        }
        _ => no_such(name, types),
    }
}

fn returns(args: &ReturnFieldArgs<'_>) -> EngineResult<DataType> {
    match types_of(args).as_slice() {
        [_, DataType::Utf8] => Ok(DataType::Utf8),
        types => datafusion::functions::unicode::substr().return_type(types),
    }
}

fn substring(args: &ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
    match args.args.get(1).map(ColumnarValue::data_type) {
        Some(DataType::Utf8) => by_pattern(&Rows::of(args)?),
        _ => datafusion::functions::unicode::substr().invoke_with_args(args.clone()),
    }
}

/// What the first group of the pattern matched, the whole where it has none. NULL without a match.
fn by_pattern(rows: &Rows) -> EngineResult<ColumnarValue> {
    let mut regex = Remembered::none();
    let mut found = StringBuilder::new();
    for row in 0..rows.count {
        if !rows.has_all(row) {
            found.append_null();
            continue;
        }
        let regex = regex.get(rows.text(1, row)?, |pattern| compiled(pattern, ""))?;
        let captures = regex.captures(rows.text(0, row)?);
        let group = captures.and_then(|captures| captures.get(usize::from(regex.captures_len() > 1)));
        found.append_option(group.map(|group| group.as_str()));
    }
    rows.result(Arc::new(found.finish()))
}
