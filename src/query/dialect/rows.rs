//! Rows that are compared, column by column, as PostgreSQL does (its manual, 9.24.5): the engine compares them whole, and takes NULL for a value.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};

use super::syntax::binary;
use crate::error::{ErrorKind, Fault, Result};

/// The longest comparison, as text: parts of it are said twice, and again where a row is in a row.
const LONGEST: usize = 20_000;
/// The most rows in `IN` that are compared one by one.
const MOST: usize = 200;

/// `(a, b) < (c, d)`, `(a, b) IN ((c, d), …)`, `(a, b) IS NULL`, in plain words.
pub(super) fn turned(expr: &Expr) -> Result<Option<Expr>> {
    let compared = match expr {
        Expr::BinaryOp { left, op, right } => match (row(left), row(right)) {
            (Some(left), Some(right)) => compare(left, op, right)?,
            _ => None,
        },
        Expr::InList { expr: left, list, negated } if list.len() <= MOST => {
            let (Some(left), Some(list)) = (row(left), list.iter().map(row).collect::<Option<Vec<_>>>()) else { return Ok(None) };
            let each = list.into_iter().map(|right| compare(left, &BinaryOperator::Eq, right)).collect::<Result<Option<Vec<_>>>>()?;
            let any = each.and_then(|each| joined(each, &BinaryOperator::Or));
            if *negated { any.map(|any| Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(any) }) } else { any }
        }
        Expr::IsNull(inner) => row(inner).and_then(|row| each(row, |part| Expr::IsNull(Box::new(part)))),
        Expr::IsNotNull(inner) => row(inner).and_then(|row| each(row, |part| Expr::IsNotNull(Box::new(part)))),
        _ => None,
    };
    match compared {
        // A long list is the engine's, which looks rows up.
        Some(compared) if compared.to_string().len() > LONGEST && matches!(expr, Expr::InList { .. }) => Ok(None),
        Some(compared) if compared.to_string().len() > LONGEST => {
            Err(Fault::new(ErrorKind::TooComplex, "a comparison of rows that are too long"))
        }
        compared => Ok(compared.map(|compared| Expr::Nested(Box::new(compared)))),
    }
}

fn row(expr: &Expr) -> Option<&[Expr]> {
    match expr {
        Expr::Tuple(parts) if !parts.is_empty() => Some(parts),
        Expr::Nested(inner) => row(inner),
        _ => None,
    }
}

fn each(row: &[Expr], test: impl Fn(Expr) -> Expr) -> Option<Expr> {
    joined(row.iter().cloned().map(test).collect(), &BinaryOperator::And)
}

fn joined(parts: Vec<Expr>, op: &BinaryOperator) -> Option<Expr> {
    parts.into_iter().reduce(|all, one| binary(all, op.clone(), one))
}

fn compare(left: &[Expr], op: &BinaryOperator, right: &[Expr]) -> Result<Option<Expr>> {
    use BinaryOperator as O;
    if !matches!(op, O::Eq | O::NotEq | O::Lt | O::LtEq | O::Gt | O::GtEq) {
        return Ok(None);
    }
    if left.len() != right.len() {
        return Err(Fault::new(ErrorKind::Syntax, "unequal number of entries in row expressions"));
    }
    let pairs = || left.iter().cloned().zip(right.iter().cloned());
    let pairwise = |op: &O| pairs().map(|(left, right)| binary(left, op.clone(), right)).collect();
    let strict = match op {
        O::Eq => return Ok(joined(pairwise(op), &O::And)),
        O::NotEq => return Ok(joined(pairwise(op), &O::Or)),
        O::Lt | O::LtEq => O::Lt,
        _ => O::Gt,
    };
    // The first columns that differ decide; of those that do not, whether equal rows are meant.
    let decided = pairs().rev().fold(None, |rest, (left, right)| {
        Some(match rest {
            None => binary(left, op.clone(), right),
            Some(rest) => {
                let same = binary(binary(left.clone(), O::Eq, right.clone()), O::And, rest);
                binary(binary(left, strict.clone(), right), O::Or, same)
            }
        })
    });
    Ok(decided)
}

/// `-x ^ y` is `(-x) ^ y`: the SQL parser binds the sign less than the power.
pub(super) fn signed(expr: &mut Expr) {
    let Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } = expr else { return };
    if !is_power(inner) {
        return;
    }
    let mut power = std::mem::replace(inner.as_mut(), Expr::value(Value::Null));
    let mut first = &mut power;
    while is_power(first) {
        let Expr::BinaryOp { left, .. } = first else { break };
        first = left.as_mut();
    }
    let base = std::mem::replace(first, Expr::value(Value::Null));
    *first = Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(base) };
    *expr = power;
}

fn is_power(expr: &Expr) -> bool {
    matches!(expr, Expr::BinaryOp { op: BinaryOperator::PGExp, .. })
}
