//! `SIMILAR TO`: SQL's own patterns, as the regular expressions that the engine matches.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::Result as EngineResult;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility};

use super::super::functions::own::{columns, no_such, sent};
use crate::error::{ErrorKind, Fault};

/// The function that turns a pattern: PostgreSQL has it by this name.
pub(super) const SIMILAR: &str = "similar_to_escape";

pub(super) fn function() -> Arc<ScalarUDF> {
    let signatures = vec![TypeSignature::String(1), TypeSignature::String(2)];
    Arc::new(ScalarUDF::new_from_impl(Similar(Signature::one_of(signatures, Volatility::Immutable))))
}

/// `similar_to_escape(pattern [, escape])`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Similar(Signature);

impl ScalarUDFImpl for Similar {
    fn name(&self) -> &'static str {
        SIMILAR
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> EngineResult<DataType> {
        Ok(DataType::Utf8)
    }

    /// An expression that is none is found where it is matched, which is with every one.
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        columns(&args, |texts| {
            let texts = texts.iter().map(|array| cast(array, &DataType::Utf8)).collect::<Result<Vec<ArrayRef>, _>>()?;
            let Some(patterns) = texts.first().map(AsArray::as_string::<i32>) else { return no_such(SIMILAR, &[]) };
            let escapes = texts.get(1).map(AsArray::as_string::<i32>);
            let turned = patterns.iter().enumerate().map(|(row, pattern)| {
                let escape = match escapes {
                    None => Some('\\'),
                    Some(escapes) if escapes.is_null(row) => return Ok(None),
                    Some(escapes) => escape(escapes.value(row))?,
                };
                Ok(pattern.map(|pattern| regular(pattern, escape)))
            });
            Ok(Arc::new(turned.collect::<EngineResult<StringArray>>()?))
        })
    }
}

/// The escape character: one, or none where the text is empty.
fn escape(text: &str) -> EngineResult<Option<char>> {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (first, None) => Ok(first),
        _ => {
            let fault = Fault::new(ErrorKind::InvalidParameter, "invalid escape string");
            Err(sent(fault.with_hint("Escape string must be empty or one character.")))
        }
    }
}

/// The whole text must match; `%` and `_` are those of LIKE; what has a meaning only in regular expressions has none.
fn regular(pattern: &str, escape: Option<char>) -> String {
    let mut regular = String::from("(?s)^(?:");
    let mut in_class = false;
    let mut chars = pattern.chars();
    while let Some(char) = chars.next() {
        match char {
            _ if Some(char) == escape => {
                if let Some(literal) = chars.next() {
                    regular.push_str(&regex::escape(literal.encode_utf8(&mut [0; 4])));
                }
            }
            ']' if in_class => {
                in_class = false;
                regular.push(']');
            }
            '\\' => regular.push_str("\\\\"),
            '[' | '&' | '~' if in_class => {
                regular.push('\\');
                regular.push(char);
            }
            _ if in_class => regular.push(char),
            '[' => {
                in_class = true;
                regular.push('[');
            }
            '%' => regular.push_str(".*"),
            '_' => regular.push('.'),
            // A group that is not kept, whatever follows it.
            '(' => regular.push_str("(?:"),
            '.' | '^' | '$' => {
                regular.push('\\');
                regular.push(char);
            }
            _ => regular.push(char),
        }
    }
    regular.push_str(")$");
    regular
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_what_it_matches_in_postgresql() {
        for (text, pattern, matches) in [
            ("abc", "abc", true),
            ("abc", "a", false),
            ("abc", "%(b|d)%", true),
            ("abc", "(b|c)%", false),
            ("abc", "a_c", true),
            ("axc", "a.c", false),
            ("a.c", "a.c", true),
            ("a\nb", "a%b", true),
            ("aab", "a{2}b", true),
            ("a%b", "a\\%b", true),
            ("axb", "a\\%b", false),
            ("b", "[a-c]", true),
            ("^", "[^a]", true),
            ("xyz", "x?xyz+", true),
            ("$5", "$5", true),
            ("x&&y", "[x&&y]+", true),
        ] {
            let regular = regex::Regex::new(&regular(pattern, Some('\\'))).unwrap();
            assert_eq!(regular.is_match(text), matches, "{text} {pattern}");
        }
    }
}
