//! The second half: a filter's nodes to the engine's expression, with every value of exactly its column's type.

use arrow::array::{Array, ArrayRef, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::expr::{InList, Like};
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator, lit};
use rust_decimal::Decimal;

use super::{Binding, Node, Operand, Truth, Types};

/// Gives a bound value, `None` where only the types are checked, or why there is none.
type Resolve<'a> = &'a dyn Fn(&Binding) -> Result<Option<String>, String>;

pub(super) fn compile(node: &Node, types: &Types<'_>, resolve: Resolve<'_>) -> Result<Expr, String> {
    Compiler { types, resolve }.node(node)
}

struct Compiler<'a> {
    types: &'a Types<'a>,
    resolve: Resolve<'a>,
}

impl Compiler<'_> {
    fn node(&self, node: &Node) -> Result<Expr, String> {
        Ok(match node {
            Node::Constant(constant) => lit(*constant),
            Node::Column(name) => match self.type_of(name)? {
                DataType::Boolean => reference(name),
                other => return Err(format!("the column `{name}` is {other}, which is neither true nor false")),
            },
            Node::And(left, right) => self.node(left)?.and(self.node(right)?),
            Node::Or(left, right) => self.node(left)?.or(self.node(right)?),
            Node::Not(inner) => Expr::Not(Box::new(self.node(inner)?)),
            Node::Is(inner, truth) => is(self.node(inner)?, *truth),
            Node::IsNull { operand, negated } => {
                let inner = Box::new(self.column(operand)?);
                if *negated { Expr::IsNotNull(inner) } else { Expr::IsNull(inner) }
            }
            Node::Compare { left, operator, right } => self.compare(left, *operator, right)?,
            Node::In { operand, list, negated } => {
                let data_type = self.comparable(operand)?;
                let list = list.iter().map(|item| self.value_of(operand, item, data_type)).collect::<Result<_, _>>()?;
                Expr::InList(InList::new(Box::new(self.column(operand)?), list, *negated))
            }
            Node::Between { operand, low, high, negated } => {
                let data_type = self.comparable(operand)?;
                let (low, high) = (self.value_of(operand, low, data_type)?, self.value_of(operand, high, data_type)?);
                Expr::Between(Between::new(Box::new(self.column(operand)?), *negated, Box::new(low), Box::new(high)))
            }
            Node::Like { column, pattern, negated, any_case } => {
                let data_type = self.type_of(column)?;
                if self.is_uuid(column) {
                    return Err(format!("LIKE takes text, and the column `{column}` is uuid"));
                }
                if !matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
                    return Err(format!("LIKE takes text, and the column `{column}` is {data_type}"));
                }
                let pattern = Box::new(self.value(&Operand::Text(pattern.clone()), data_type)?);
                Expr::Like(Like::new(*negated, Box::new(reference(column)), pattern, None, *any_case))
            }
        })
    }

    /// A comparison whose two sides have one type: that of the column, or text where two values are compared with each other.
    fn compare(&self, left: &Operand, operator: Operator, right: &Operand) -> Result<Expr, String> {
        let (left, right) = match (left, right) {
            (Operand::Column(a), Operand::Column(b)) => {
                let (type_a, type_b) = (self.comparable(left)?, self.comparable(right)?);
                if type_a != type_b || self.is_uuid(a) != self.is_uuid(b) {
                    return Err(format!("`{a}` is {type_a} and `{b}` is {type_b}: they cannot be compared without a cast"));
                }
                (reference(a), reference(b))
            }
            (Operand::Column(name), value) => (reference(name), self.value_of(left, value, self.comparable(left)?)?),
            (value, Operand::Column(name)) => (self.value_of(right, value, self.comparable(right)?)?, reference(name)),
            (a, b) => (self.value(a, &DataType::Utf8)?, self.value(b, &DataType::Utf8)?),
        };
        Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(right))))
    }

    fn type_of(&self, name: &str) -> Result<&DataType, String> {
        self.types.get(name).map(|(data_type, _)| *data_type).ok_or_else(|| format!("there is no column `{name}`"))
    }

    fn is_uuid(&self, name: &str) -> bool {
        self.types.get(name).is_some_and(|(_, is_uuid)| *is_uuid)
    }

    fn column(&self, operand: &Operand) -> Result<Expr, String> {
        match operand {
            Operand::Column(name) => self.type_of(name).map(|_| reference(name)),
            _ => Err("a column must come first, before IS NULL, IN and BETWEEN".into()),
        }
    }

    /// The type of a column whose values have an order.
    fn comparable(&self, operand: &Operand) -> Result<&DataType, String> {
        let Operand::Column(name) = operand else {
            return Err("a column must come first, before IN and BETWEEN".into());
        };
        let data_type = self.type_of(name)?;
        if is_comparable(data_type) { Ok(data_type) } else { Err(format!("the column `{name}` is {data_type}, which cannot be compared")) }
    }

    /// A value for a column. A `uuid` is compared as a text, of which it has one spelling: the one in which scans let it through.
    fn value_of(&self, column: &Operand, operand: &Operand, data_type: &DataType) -> Result<Expr, String> {
        let value = self.value(operand, data_type)?;
        let Operand::Column(name) = column else { return Ok(value) };
        match &value {
            Expr::Literal(known, _) if self.is_uuid(name) => match known.try_as_str().flatten() {
                Some(text) => {
                    let uuid = uuid::Uuid::try_parse(text).map_err(|_| format!("a value beside the column `{name}` is no uuid"))?;
                    Ok(Expr::Literal(scalar(&uuid.to_string(), data_type)?, None))
                }
                None => Ok(value),
            },
            _ => Ok(value),
        }
    }

    fn value(&self, operand: &Operand, data_type: &DataType) -> Result<Expr, String> {
        let value = match operand {
            Operand::Number(digits) if plain(data_type).is_numeric() => scalar(digits, data_type)?,
            Operand::Number(digits) => return Err(format!("{digits} is a number, and {data_type} is wanted")),
            Operand::Boolean(constant) if *plain(data_type) == DataType::Boolean => ScalarValue::Boolean(Some(*constant)),
            Operand::Boolean(constant) => return Err(format!("{constant} is a boolean, and {data_type} is wanted")),
            Operand::Text(text) => scalar(text, data_type)?,
            Operand::Bound(binding) => match (self.resolve)(binding)? {
                Some(text) => scalar(&text, data_type).map_err(|_| format!("a bound value is not of type {data_type}"))?,
                None => ScalarValue::try_from(data_type).map_err(|_| format!("nothing can be bound as {data_type}"))?,
            },
            Operand::Column(name) => return Err(format!("`{name}` is a column, and a value is wanted")),
        };
        Ok(Expr::Literal(value, None))
    }
}

/// A column of the port, by its exact name.
fn reference(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

fn is(inner: Expr, truth: Truth) -> Expr {
    let inner = Box::new(inner);
    match truth {
        Truth::True => Expr::IsTrue(inner),
        Truth::NotTrue => Expr::IsNotTrue(inner),
        Truth::False => Expr::IsFalse(inner),
        Truth::NotFalse => Expr::IsNotFalse(inner),
        Truth::Unknown => Expr::IsUnknown(inner),
        Truth::NotUnknown => Expr::IsNotUnknown(inner),
    }
}

/// The type of a dictionary's values.
fn plain(data_type: &DataType) -> &DataType {
    if let DataType::Dictionary(_, values) = data_type { plain(values) } else { data_type }
}

fn is_comparable(data_type: &DataType) -> bool {
    let data_type = plain(data_type);
    data_type.is_numeric()
        || matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Boolean)
        || matches!(data_type, DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _))
        || matches!(data_type, DataType::Time32(_) | DataType::Time64(_))
}

/// The text as a value of exactly this type, or an error: never NULL, never rounded.
fn scalar(text: &str, data_type: &DataType) -> Result<ScalarValue, String> {
    let wrong = || format!("`{}` is not a value of type {data_type}", text.chars().take(80).collect::<String>());
    if let DataType::Dictionary(keys, values) = data_type {
        return Ok(ScalarValue::Dictionary(keys.clone(), Box::new(scalar(text, values)?)));
    }
    if let DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) =
        data_type
    {
        let fraction = text.parse::<Decimal>().map_err(|_| wrong())?.normalize().scale();
        if i64::from(fraction) > i64::from(*scale) {
            return Err(wrong());
        }
    }
    let one = StringArray::from(vec![text]);
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let value: ArrayRef = cast_with_options(&one, data_type, &strict).map_err(|_| wrong())?;
    let scalar = ScalarValue::try_from_array(&value, 0).map_err(|_| wrong())?;
    let finite = match scalar {
        ScalarValue::Float32(Some(number)) => number.is_finite(),
        ScalarValue::Float64(Some(number)) => number.is_finite(),
        _ => true,
    };
    if finite && !value.is_null(0) { Ok(scalar) } else { Err(wrong()) }
}
