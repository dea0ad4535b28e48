//! What PostgreSQL means by a statement, said so that the engine means it too.
//!
//! The engine reads much of PostgreSQL's SQL and understands some of it otherwise: a cast of 2.5 to an integer cuts, an overflow goes round,
//! `SIMILAR TO` matches anywhere. Two passes put that right. [`translate`] works on the tree before planning, where names and spellings are;
//! [`interpret`] on the plan, where types are. Neither adds or takes away a relation, or a row or a column of one: what is read, and by which
//! right, was decided before.

mod arithmetic;
mod calls;
mod clock;
mod dates;
mod integer;
mod interval;
mod literal;
mod moment;
mod named;
mod operators;
mod parameters;
mod plan;
mod records;
mod rows;
mod series;
mod similar;
mod span;
mod syntax;
mod whole;
mod written;

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

pub(super) use self::arithmetic::as_decimal;
pub(crate) use self::arithmetic::is_taken;
pub(super) use self::dates::DatesAsDates;
pub(crate) use self::literal::moment_value;
pub(super) use self::operators::Operators;
pub(super) use self::parameters::parameter_types;
pub(super) use self::plan::interpret;
pub(super) use self::series::TABLE_FUNCTION;
pub(super) use self::syntax::translate;

/// The functions that a translated statement calls.
pub(super) fn functions() -> [Arc<ScalarUDF>; 1] {
    [similar::function()]
}
