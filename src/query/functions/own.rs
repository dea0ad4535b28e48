//! What the functions of our own have in common: how they are declared, how they meet their columns, how they fail.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result as EngineResult, plan_err};
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::scalar::ScalarValue;

use super::super::written::Values;
use super::zone::tz_of_session;
use crate::error::{ErrorKind, Fault};
use crate::system::PG_TYPE;

/// A function of our own.
pub(super) struct Own {
    pub(super) name: &'static str,
    pub(super) volatility: Volatility,
    /// The types that arguments are cast to, or why there is no such function for them.
    pub(super) coerce: fn(&'static str, &[DataType]) -> EngineResult<Vec<DataType>>,
    pub(super) returns: fn(&ReturnFieldArgs<'_>) -> EngineResult<DataType>,
    pub(super) body: fn(&ScalarFunctionArgs) -> EngineResult<ColumnarValue>,
}

impl Own {
    pub(super) fn made(self) -> Arc<ScalarUDF> {
        self.plain().made()
    }

    /// The same under a second name.
    pub(super) fn also(self, alias: &str) -> Udf {
        Udf { aliases: vec![alias.to_owned()], ..self.plain() }
    }

    pub(super) fn plain(self) -> Udf {
        let signature = Signature::user_defined(self.volatility);
        Udf { own: self, aliases: Vec::new(), signature, called: None, ordering: None, preimage: None }
    }
}

/// How the result is ordered where the arguments are.
type Ordering = fn(&[ExprProperties]) -> EngineResult<SortProperties>;
/// The range of an argument in which the result is a given value.
type Preimage = fn(&[Expr], &Expr, &SimplifyContext) -> EngineResult<PreimageResult>;

/// A function of our own, with what the engine may know of it.
pub(super) struct Udf {
    pub(super) own: Own,
    pub(super) aliases: Vec<String>,
    pub(super) signature: Signature,
    /// PostgreSQL's type of the result, where its Arrow type does not tell.
    pub(super) called: Option<&'static str>,
    pub(super) ordering: Option<Ordering>,
    pub(super) preimage: Option<Preimage>,
}

impl Udf {
    pub(super) fn made(self) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::new_from_impl(self))
    }
}

impl fmt::Debug for Udf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.own.name)
    }
}

impl PartialEq for Udf {
    fn eq(&self, other: &Self) -> bool {
        self.own.name == other.own.name
    }
}

impl Eq for Udf {}

impl Hash for Udf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.own.name.hash(state);
    }
}

impl ScalarUDFImpl for Udf {
    fn name(&self) -> &str {
        self.own.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> EngineResult<DataType> {
        Err(DataFusionError::Internal("asked for a type without the arguments".to_owned()))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> EngineResult<FieldRef> {
        let field = Field::new(self.own.name, (self.own.returns)(&args)?, true);
        let called = self.called.map(|name| (PG_TYPE.to_owned(), name.to_owned()));
        Ok(Arc::new(field.with_metadata(called.into_iter().collect())))
    }

    fn coerce_types(&self, types: &[DataType]) -> EngineResult<Vec<DataType>> {
        (self.own.coerce)(self.own.name, types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        (self.own.body)(&args)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> EngineResult<SortProperties> {
        self.ordering.map_or(Ok(SortProperties::Unordered), |ordering| ordering(inputs))
    }

    fn preimage(&self, args: &[Expr], value: &Expr, info: &SimplifyContext) -> EngineResult<PreimageResult> {
        self.preimage.map_or(Ok(PreimageResult::None), |preimage| preimage(args, value, info))
    }
}

/// The types of the arguments.
pub(super) fn types_of(args: &ReturnFieldArgs<'_>) -> Vec<DataType> {
    args.arg_fields.iter().map(|field| field.data_type().clone()).collect()
}

/// There is no such function for these types.
pub(in crate::query) fn no_such<T>(name: &str, types: &[DataType]) -> EngineResult<T> {
    plan_err!("No function matches the given name and argument types: {name}({types:?})")
}

/// A fault on its way through the engine.
pub(in crate::query) fn sent(fault: Fault) -> DataFusionError {
    DataFusionError::External(Box::new(fault))
}

pub(super) fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

/// What `body` makes of the arguments as columns of one length. Of constants it makes one row, which is a constant.
pub(in crate::query) fn columns(
    args: &ScalarFunctionArgs,
    body: impl FnOnce(&[ArrayRef]) -> EngineResult<ArrayRef>,
) -> EngineResult<ColumnarValue> {
    let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    let rows = if constant { 1 } else { args.number_rows };
    let arrays = args.args.iter().map(|arg| arg.to_array(rows)).collect::<EngineResult<Vec<_>>>()?;
    let made = body(&arrays)?;
    if constant { Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?)) } else { Ok(ColumnarValue::Array(made)) }
}

/// What a function makes of a batch is allocated outside every memory pool, so it is bounded.
pub(super) const MOST: usize = 64 << 20;

/// The fault of what would make more.
pub(super) fn too_long() -> DataFusionError {
    let fault = Fault::new(ErrorKind::ProgramLimit, "requested length too large");
    sent(fault.with_detail(format!("The texts would make more than {MOST} bytes at once.")))
}

/// The arguments, ready to be written.
pub(super) fn values(args: &ScalarFunctionArgs, rows: &Rows) -> EngineResult<Vec<Values>> {
    let zone = tz_of_session(&args.config_options);
    args.arg_fields.iter().enumerate().map(|(argument, field)| Values::of(rows.column(argument)?, field, zone)).collect()
}

/// The arguments as columns. A constant is a column of one row that is read for every row.
#[derive(Debug)]
pub(super) struct Rows {
    columns: Vec<(ArrayRef, bool)>,
    pub(super) count: usize,
    /// All arguments are constants, and so is the result.
    constant: bool,
}

impl Rows {
    pub(super) fn of(args: &ScalarFunctionArgs) -> EngineResult<Self> {
        let columns: Vec<(ArrayRef, bool)> = args
            .args
            .iter()
            .map(|arg| match arg {
                ColumnarValue::Array(array) => Ok((Arc::clone(array), false)),
                ColumnarValue::Scalar(scalar) => Ok((scalar.to_array()?, true)),
            })
            .collect::<EngineResult<_>>()?;
        let constant = columns.iter().all(|(_, constant)| *constant);
        Ok(Self { columns, count: if constant { 1 } else { args.number_rows }, constant })
    }

    pub(super) fn column(&self, argument: usize) -> EngineResult<&ArrayRef> {
        let column = self.columns.get(argument).map(|(array, _)| array);
        column.ok_or_else(|| DataFusionError::Internal("an argument is missing".to_owned()))
    }

    /// Where a row's value of an argument is.
    pub(super) fn at(&self, argument: usize, row: usize) -> usize {
        if self.columns.get(argument).is_some_and(|(_, constant)| *constant) { 0 } else { row }
    }

    /// Whether no argument of a row is NULL.
    pub(super) fn has_all(&self, row: usize) -> bool {
        (0..self.columns.len()).all(|argument| self.is_valid(argument, row))
    }

    /// Whether an argument of a row is not NULL.
    pub(super) fn is_valid(&self, argument: usize, row: usize) -> bool {
        let at = self.at(argument, row);
        self.columns.get(argument).is_some_and(|(array, _)| !array.data_type().is_null() && array.is_valid(at))
    }

    /// How many arguments there are.
    pub(super) fn arguments(&self) -> usize {
        self.columns.len()
    }

    /// The text of an argument, which is a column of texts.
    pub(super) fn text(&self, argument: usize, row: usize) -> EngineResult<&str> {
        let texts = self.column(argument)?.as_string_opt::<i32>();
        let texts = texts.ok_or_else(|| DataFusionError::Internal("an argument is no text".to_owned()))?;
        Ok(texts.value(self.at(argument, row)))
    }

    pub(super) fn result(&self, array: ArrayRef) -> EngineResult<ColumnarValue> {
        if self.constant { Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)) } else { Ok(ColumnarValue::Array(array)) }
    }

    /// A column of texts, each of which `write` appends. Rows with a NULL are NULL.
    pub(super) fn texts(&self, write: impl FnMut(usize, &mut String) -> EngineResult<()>) -> EngineResult<ColumnarValue> {
        self.texts_where(|row| self.has_all(row), write)
    }

    /// The same, where the rows that are `present` are not NULL.
    pub(super) fn texts_where(
        &self,
        present: impl Fn(usize) -> bool,
        mut write: impl FnMut(usize, &mut String) -> EngineResult<()>,
    ) -> EngineResult<ColumnarValue> {
        let mut texts = StringBuilder::new();
        let (mut one, mut total) = (String::new(), 0usize);
        for row in 0..self.count {
            if !present(row) {
                texts.append_null();
                continue;
            }
            one.clear();
            write(row, &mut one)?;
            total = total.saturating_add(one.len());
            if total > MOST {
                return Err(too_long());
            }
            texts.append_value(&one);
        }
        self.result(Arc::new(texts.finish()))
    }
}

/// The last text that was taken apart, for the next row that has the same.
#[derive(Debug)]
pub(super) struct Remembered<T>(Option<(String, T)>);

impl<T> Remembered<T> {
    pub(super) const fn none() -> Self {
        Self(None)
    }

    pub(super) fn get(&mut self, text: &str, parse: impl FnOnce(&str) -> EngineResult<T>) -> EngineResult<&T> {
        if self.0.as_ref().is_none_or(|(known, _)| known != text) {
            self.0 = Some((text.to_owned(), parse(text)?));
        }
        match &self.0 {
            Some((_, parsed)) => Ok(parsed),
            None => Err(DataFusionError::Internal("nothing was remembered".to_owned())),
        }
    }
}
