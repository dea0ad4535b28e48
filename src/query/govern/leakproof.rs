//! Which of the reader's predicates may run below the barrier.
//!
//! Only what cannot fail, cannot be observed, and cannot be bent: comparisons of an allowed column with literals of exactly its type, and
//! AND, OR, NOT over them. No casts, functions, arithmetic or patterns, and no floats, whose NaNs and zeros compare in surprising ways.
//! Whatever is not listed stays above, on governed rows.

use std::collections::BTreeSet;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};

/// The predicate over the ungoverned columns, or `None` where it must stay above the barrier.
pub(super) fn translate(filter: &Expr, allowed: &BTreeSet<String>, schema: &Schema) -> Option<Expr> {
    Translator { allowed, schema }.predicate(filter)
}

struct Translator<'a> {
    allowed: &'a BTreeSet<String>,
    schema: &'a Schema,
}

impl Translator<'_> {
    fn predicate(&self, expr: &Expr) -> Option<Expr> {
        let boxed = |inner: &Expr| self.predicate(inner).map(Box::new);
        Some(match expr {
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
                Expr::BinaryExpr(BinaryExpr::new(boxed(left)?, *op, boxed(right)?))
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => self.comparison(left, *op, right)?,
            Expr::Not(inner) => Expr::Not(boxed(inner)?),
            Expr::IsNull(inner) => Expr::IsNull(Box::new(self.column(inner)?.0)),
            Expr::IsNotNull(inner) => Expr::IsNotNull(Box::new(self.column(inner)?.0)),
            Expr::Column(_) => match self.column(expr)? {
                (column, DataType::Boolean) => column,
                _ => return None,
            },
            Expr::InList(InList { expr, list, negated }) => {
                let (column, data_type) = self.column(expr)?;
                let list = list.iter().map(|item| literal(item, data_type)).collect::<Option<Vec<_>>>()?;
                Expr::InList(InList::new(Box::new(column), list, *negated))
            }
            Expr::Between(Between { expr, negated, low, high }) => {
                let (column, data_type) = self.column(expr)?;
                let (low, high) = (Box::new(literal(low, data_type)?), Box::new(literal(high, data_type)?));
                Expr::Between(Between::new(Box::new(column), *negated, low, high))
            }
            _ => return None,
        })
    }

    fn comparison(&self, left: &Expr, op: Operator, right: &Expr) -> Option<Expr> {
        let (left, right) = match (left, right) {
            (Expr::Column(_), Expr::Literal(..)) => {
                let (column, data_type) = self.column(left)?;
                (column, literal(right, data_type)?)
            }
            (Expr::Literal(..), Expr::Column(_)) => {
                let (column, data_type) = self.column(right)?;
                (literal(left, data_type)?, column)
            }
            _ => return None,
        };
        Some(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))))
    }

    /// An allowed column, by name: the reader's plan may have given the table another one.
    fn column(&self, expr: &Expr) -> Option<(Expr, &DataType)> {
        let Expr::Column(column) = expr else { return None };
        if !self.allowed.contains(&column.name) {
            return None;
        }
        let (_, field) = self.schema.fields().find(&column.name)?;
        let comparable = match field.data_type() {
            DataType::Dictionary(_, values) => is_comparable(values),
            other => is_comparable(other),
        };
        comparable.then(|| (Expr::Column(Column::new_unqualified(&column.name)), field.data_type()))
    }
}

fn is_comparison(op: Operator) -> bool {
    matches!(op, Operator::Eq | Operator::NotEq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq)
}

fn is_comparable(data_type: &DataType) -> bool {
    data_type.is_integer()
        || data_type.is_decimal()
        || matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Boolean)
        || matches!(data_type, DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _))
}

/// A literal of exactly the column's type. The reader's plan has plain values where the port has a dictionary.
fn literal(expr: &Expr, data_type: &DataType) -> Option<Expr> {
    let Expr::Literal(value, _) = expr else { return None };
    let value = match data_type {
        DataType::Dictionary(keys, values) if value.data_type() == **values => {
            ScalarValue::Dictionary(keys.clone(), Box::new(value.clone()))
        }
        same if value.data_type() == *same => value.clone(),
        _ => return None,
    };
    Some(Expr::Literal(value, None))
}
