//! PostgreSQL's functions about the session and the catalogs, as scalar functions bound to one viewer.
//!
//! They answer from the viewer's [`World`] alone, so a function can tell no more than the tables do. Functions on data are the planner's.

mod catalog;
mod privileges;
mod session;
mod text;

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::grid::{Cell, array};
use super::shape::field;
use super::world::World;

pub(crate) use self::text::{quote_ident, quote_literal};
use crate::error::Fault;

/// What a function does with one row of arguments.
type Body = fn(&World, &Row<'_>) -> std::result::Result<Cell<'static>, Fault>;

/// A function.
#[derive(Debug)]
struct Def {
    name: &'static str,
    /// Least and most arguments.
    arguments: (usize, usize),
    /// The result's PostgreSQL type.
    returns: &'static str,
    /// Whether a NULL argument makes the result NULL.
    strict: bool,
    /// Whether it must run with the query rather than be answered while planning.
    volatile: bool,
    body: Body,
}

impl Def {
    /// A function that is NULL for NULL and the same throughout a statement.
    const fn new(name: &'static str, arguments: (usize, usize), returns: &'static str, body: Body) -> Self {
        Self { name, arguments, returns, strict: true, volatile: false, body }
    }

    /// A function that is asked even about NULL.
    const fn lax(mut self) -> Self {
        self.strict = false;
        self
    }

    /// A function that must run with the query.
    const fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }
}

static DEFS: LazyLock<HashMap<&'static str, &'static Def>> = LazyLock::new(|| {
    let parts: [&'static [Def]; 4] = [session::DEFS, catalog::DEFS, privileges::DEFS, text::DEFS];
    parts.into_iter().flatten().map(|def| (def.name, def)).collect()
});

/// Whether there is a function of that name.
pub(super) fn is_known(name: &str) -> bool {
    DEFS.contains_key(name)
}

/// All functions, for the viewer whose world it is.
pub(super) fn all(world: &Arc<World>) -> Vec<Arc<ScalarUDF>> {
    let function = |def: &&'static Def| Arc::new(ScalarUDF::new_from_impl(PgFunction::new(def, world)));
    DEFS.values().map(function).collect()
}

/// A function bound to a viewer.
struct PgFunction {
    def: &'static Def,
    aliases: [String; 1],
    signature: Signature,
    world: Arc<World>,
}

impl PgFunction {
    fn new(def: &'static Def, world: &Arc<World>) -> Self {
        let (least, most) = def.arguments;
        let counts = (least..=most).map(|count| if count == 0 { TypeSignature::Nullary } else { TypeSignature::Any(count) });
        let volatility = if def.volatile { Volatility::Volatile } else { Volatility::Stable };
        Self {
            def,
            aliases: [format!("pg_catalog.{}", def.name)],
            signature: Signature::one_of(counts.collect(), volatility),
            world: Arc::clone(world),
        }
    }
}

impl fmt::Debug for PgFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.def.name)
    }
}

impl PartialEq for PgFunction {
    fn eq(&self, other: &Self) -> bool {
        self.def.name == other.def.name && Arc::ptr_eq(&self.world, &other.world)
    }
}

impl Eq for PgFunction {}

impl Hash for PgFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.def.name.hash(state);
    }
}

impl ScalarUDFImpl for PgFunction {
    fn name(&self) -> &str {
        self.def.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(super::shape::arrow_type(self.def.returns))
    }

    fn return_field_from_args(&self, _arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(field(self.def.name, self.def.returns, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_))) && !self.def.volatile;
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|arg| arg.clone().into_array(rows)).collect::<Result<Vec<_>>>()?;
        let columns = arrays.iter().map(Column::of).collect::<Result<Vec<_>>>()?;
        let mut cells = Vec::with_capacity(rows);
        for index in 0..rows {
            let row = Row { columns: &columns, index };
            let absent = self.def.strict && (0..columns.len()).any(|argument| row.is_null(argument));
            cells.push(if absent {
                Cell::Null
            } else {
                (self.def.body)(&self.world, &row).map_err(|fault| DataFusionError::External(Box::new(fault)))?
            });
        }
        let made = array(&field(self.def.name, self.def.returns, true), rows, cells.into_iter());
        Ok(if constant { ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?) } else { ColumnarValue::Array(made) })
    }
}

/// One argument over all rows, in one of the few forms that functions read.
enum Column {
    Null,
    Int(Int64Array),
    Bool(BooleanArray),
    Text(StringArray),
    List(ListArray),
}

impl Column {
    fn of(array: &ArrayRef) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Bool(array.as_boolean().clone()),
            DataType::List(_) => Self::List(array.as_list::<i32>().clone()),
            integer if integer.is_integer() => Self::Int(cast(array, &DataType::Int64)?.as_primitive().clone()),
            _ => Self::Text(cast(array, &DataType::Utf8)?.as_string::<i32>().clone()),
        })
    }
}

/// One row of arguments. An argument that is not there is like one that is NULL.
struct Row<'a> {
    columns: &'a [Column],
    index: usize,
}

impl Row<'_> {
    fn is_null(&self, argument: usize) -> bool {
        match self.columns.get(argument) {
            None | Some(Column::Null) => true,
            Some(Column::Int(values)) => values.is_null(self.index),
            Some(Column::Bool(values)) => values.is_null(self.index),
            Some(Column::Text(values)) => values.is_null(self.index),
            Some(Column::List(values)) => values.is_null(self.index),
        }
    }

    /// How many arguments there are.
    fn len(&self) -> usize {
        self.columns.len()
    }

    /// The argument as text.
    fn text(&self, argument: usize) -> Option<String> {
        if self.is_null(argument) {
            return None;
        }
        match self.columns.get(argument)? {
            Column::Int(values) => Some(values.value(self.index).to_string()),
            Column::Bool(values) => Some(values.value(self.index).to_string()),
            Column::Text(values) => Some(values.value(self.index).to_owned()),
            Column::List(_) | Column::Null => None,
        }
    }

    /// The argument as an integer, also where it came as text.
    fn int(&self, argument: usize) -> Option<i64> {
        match self.columns.get(argument)? {
            Column::Int(values) if values.is_valid(self.index) => Some(values.value(self.index)),
            Column::Text(values) if values.is_valid(self.index) => values.value(self.index).trim().parse().ok(),
            _ => None,
        }
    }

    /// The argument as an oid.
    fn oid(&self, argument: usize) -> Option<u32> {
        self.int(argument).and_then(|oid| u32::try_from(oid).ok())
    }

    /// The argument as a boolean, also where it came as text.
    fn flag(&self, argument: usize) -> Option<bool> {
        match self.text(argument)?.to_ascii_lowercase().as_str() {
            "t" | "true" | "on" | "yes" | "1" => Some(true),
            "f" | "false" | "off" | "no" | "0" => Some(false),
            _ => None,
        }
    }

    /// The argument as an array of texts.
    fn texts(&self, argument: usize) -> Option<Vec<Option<String>>> {
        match self.columns.get(argument)? {
            Column::List(values) if values.is_valid(self.index) => {
                let items = Column::of(&values.value(self.index)).ok()?;
                let count = values.value(self.index).len();
                let columns = [items];
                Some((0..count).map(|index| Row { columns: &columns, index }.text(0)).collect())
            }
            _ => None,
        }
    }
}
