//! Rows that are compared, column by column, as PostgreSQL does (its manual, 9.24.5): the engine compares them whole, and takes NULL for a value.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, FunctionArguments, UnaryOperator, Value};

use super::calls::expressions;
use super::series;
use super::syntax::binary;
use crate::error::{ErrorKind, Fault, Result};
use crate::system::syntax;

/// The longest comparison, as text: parts of it are said twice, and again where a row is in a row.
const LONGEST: usize = 20_000;
/// Functions that give another value each time.
const VOLATILE: [&str; 5] = ["clock_timestamp", "gen_random_uuid", "random", "timeofday", "uuid"];
/// The most rows in `IN` that are compared one by one.
const MOST: usize = 200;

/// `(a, b) < (c, d)`, `(a, b) IN ((c, d), …)`, `(a, b) IS NULL`, in plain words.
pub(super) fn turned(expr: &Expr) -> Result<Option<Expr>> {
    let compared = match expr {
        Expr::BinaryOp { left, op, right } => match (row(left), row(right)) {
            (Some(left), Some(right)) => compare(&left, op, &right)?,
            _ => None,
        },
        Expr::InList { expr: left, list, negated } if list.len() <= MOST => {
            let (Some(left), Some(list)) = (row(left), list.iter().map(row).collect::<Option<Vec<_>>>()) else { return Ok(None) };
            let each = list.iter().map(|right| compare(&left, &BinaryOperator::Eq, right)).collect::<Result<Option<Vec<_>>>>()?;
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

/// `(a, b)` and `ROW (a, b)`. What is another value each time that it is said is left to the engine, which says it once.
fn row(expr: &Expr) -> Option<Vec<Expr>> {
    let parts = match expr {
        Expr::Tuple(parts) => parts.clone(),
        Expr::Function(function) if syntax::catalog_name(&function.name).as_deref() == Some("row") => match &function.args {
            FunctionArguments::List(list) => expressions(&list.args)?,
            _ => return None,
        },
        Expr::Nested(inner) => return row(inner),
        _ => return None,
    };
    (!parts.is_empty() && !parts.iter().any(is_volatile)).then_some(parts)
}

/// Whether the expression is another value each time.
pub(super) fn is_volatile(expr: &Expr) -> bool {
    series::any(expr, |part| syntax::called(part).is_some_and(|name| VOLATILE.contains(&name.as_str())))
}

/// All of them in one tree that is as shallow as can be.
pub(super) fn joined(mut parts: Vec<Expr>, op: &BinaryOperator) -> Option<Expr> {
    let rest = parts.split_off(parts.len().div_ceil(2));
    if rest.is_empty() {
        return parts.pop();
    }
    Some(binary(joined(parts, op)?, op.clone(), joined(rest, op)?))
}

fn each(row: Vec<Expr>, test: impl Fn(Expr) -> Expr) -> Option<Expr> {
    joined(row.into_iter().map(test).collect(), &BinaryOperator::And)
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

/// `-x ^ y` is `(-x) ^ y`: the SQL parser binds signs less than the power.
pub(super) fn signed(expr: &mut Expr) {
    let (mut signs, mut inner) = (Vec::new(), &*expr);
    while let Expr::UnaryOp { op: op @ (UnaryOperator::Minus | UnaryOperator::Plus), expr } = inner {
        signs.push(*op);
        inner = expr;
    }
    if signs.is_empty() || !is_power(inner) {
        return;
    }
    let mut power = inner.clone();
    let mut first = &mut power;
    while is_power(first) {
        let Expr::BinaryOp { left, .. } = first else { break };
        first = left.as_mut();
    }
    let base = std::mem::replace(first, Expr::value(Value::Null));
    *first = signs.into_iter().rev().fold(base, |base, op| Expr::UnaryOp { op, expr: Box::new(base) });
    *expr = power;
}

fn is_power(expr: &Expr) -> bool {
    matches!(expr, Expr::BinaryOp { op: BinaryOperator::PGExp, .. })
}
