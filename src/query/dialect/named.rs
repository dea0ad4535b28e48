//! Types that Arrow has no word for: `uuid`, `json`, `oid`. A field's metadata names them, and it must go where PostgreSQL's type goes, and
//! no further.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result as EngineResult, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Union, Volatility,
};

use super::super::functions::own::{columns, no_such, sent};
use super::literal;
use crate::values::types::{self, PG_TYPE};

/// The type's name, where the expression's field says one.
fn name_of(expr: &Expr, schema: &DFSchema) -> Option<String> {
    types::named(&expr.to_field(schema).ok()?.1).map(str::to_owned)
}

fn is_uuid(expr: &Expr, schema: &DFSchema) -> bool {
    name_of(expr, schema).is_some_and(|name| name == "uuid")
}

/// A cast to `uuid`: what is not one fails here, and not where it is sent.
pub(super) fn to_uuid(inner: &Expr, field: &Field, schema: &DFSchema) -> EngineResult<Option<Expr>> {
    let to_uuid = types::named(field) == Some("uuid");
    if !to_uuid || is_uuid(inner, schema) || !inner.get_type(schema).is_ok_and(|data_type| data_type.is_string()) {
        return Ok(None);
    }
    Ok(match inner {
        Expr::Placeholder(_) => None,
        inner => Some(Expr::ScalarFunction(ScalarFunction::new_udf(reader(), vec![inner.clone()]))),
    })
}

/// A cast from such a type to one that Arrow has: the engine hands a cast's metadata down.
pub(super) fn unnamed(cast: Transformed<Expr>, schema: &DFSchema) -> Transformed<Expr> {
    match &cast.data {
        Expr::Cast(Cast { expr, field }) if field.metadata().is_empty() && name_of(expr, schema).is_some() => {
            Transformed::yes(plain(cast.data))
        }
        _ => cast,
    }
}

/// The same values, and nothing said of them.
fn plain(expr: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(Plain::default())), vec![expr]))
}

/// The plan is turned again when its parameters are known: once is enough.
pub(super) fn is_plain_twice(function: &ScalarFunction) -> bool {
    let is_plain = |function: &ScalarFunction| function.name() == PLAIN;
    is_plain(function) && matches!(function.args.as_slice(), [Expr::ScalarFunction(inner)] if is_plain(inner))
}

/// Both sides of a comparison.
pub(super) fn beside(left: Expr, right: Expr, schema: &DFSchema) -> EngineResult<(Expr, Expr)> {
    let left = uuid(left, &right, schema)?;
    let right = uuid(right, &left, schema)?;
    Ok((left, right))
}

/// A text beside a `uuid`, in the spelling in which a column has it.
pub(super) fn uuid(expr: Expr, beside: &Expr, schema: &DFSchema) -> EngineResult<Expr> {
    let Expr::Literal(value, None) = &expr else { return Ok(expr) };
    match value.try_as_str().flatten() {
        Some(text) if is_uuid(beside, schema) => Ok(Expr::Literal(ScalarValue::Utf8(Some(literal::uuid(text).map_err(sent)?)), None)),
        _ => Ok(expr),
    }
}

/// Columns of a union are of such a type where all of its inputs say so.
pub(super) fn union(node: LogicalPlan) -> EngineResult<LogicalPlan> {
    let LogicalPlan::Union(union) = &node else { return Ok(node) };
    let name = |input: &LogicalPlan, at: usize| input.schema().fields().get(at).and_then(|field| types::named(field).map(str::to_owned));
    let differs = |at: &usize| union.inputs.iter().map(|input| name(input, *at)).collect::<HashSet<_>>().len() > 1;
    let differing: HashSet<usize> = (0..union.schema.fields().len()).filter(differs).collect();
    if differing.is_empty() {
        return Ok(node);
    }
    let plain = |input: &Arc<LogicalPlan>| {
        let exprs = input.schema().iter().enumerate().map(|(at, (table, field))| {
            let column = Expr::from((table, field));
            if !differing.contains(&at) {
                return column;
            }
            plain(column).alias_qualified(table.cloned(), field.name())
        });
        LogicalPlanBuilder::new_from_arc(Arc::clone(input)).project(exprs.collect::<Vec<_>>())?.build().map(Arc::new)
    };
    let inputs = union.inputs.iter().map(plain).collect::<EngineResult<Vec<_>>>()?;
    Ok(LogicalPlan::Union(Union::try_new(inputs)?))
}

/// Reads texts as UUIDs.
fn reader() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Reader(Signature::any(1, Volatility::Immutable))))
}

/// `uuid_in(text)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Reader(Signature);

impl ScalarUDFImpl for Reader {
    fn name(&self) -> &'static str {
        "uuid_in"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> EngineResult<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> EngineResult<FieldRef> {
        let named = [(PG_TYPE.to_owned(), "uuid".to_owned())];
        Ok(Arc::new(Field::new(self.name(), DataType::Utf8, true).with_metadata(named.into())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        columns(&args, |texts| {
            let texts: Option<ArrayRef> = texts.first().map(|texts| arrow::compute::cast(texts, &DataType::Utf8)).transpose()?;
            let texts = texts.iter().flat_map(|texts| texts.as_string::<i32>().iter());
            let read = texts.map(|text| text.map(literal::uuid).transpose().map_err(sent));
            Ok(Arc::new(read.collect::<EngineResult<StringArray>>()?))
        })
    }
}

const PLAIN: &str = "plain";

/// `plain(value)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Plain(Signature);

impl Default for Plain {
    fn default() -> Self {
        Self(Signature::any(1, Volatility::Immutable))
    }
}

impl ScalarUDFImpl for Plain {
    fn name(&self) -> &'static str {
        PLAIN
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, types: &[DataType]) -> EngineResult<DataType> {
        types.first().map_or_else(|| no_such(PLAIN, types), |data_type| Ok(data_type.clone()))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> EngineResult<FieldRef> {
        let Some(value) = args.arg_fields.first() else { return no_such(PLAIN, &[]) };
        Ok(Arc::new(Field::new(PLAIN, value.data_type().clone(), value.is_nullable())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        args.args.into_iter().next().map_or_else(|| no_such(PLAIN, &[]), Ok)
    }
}
