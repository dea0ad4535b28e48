//! Whole numbers that are written without a type: `integer`, and `bigint` from where that ends.

use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, DataType, Distinct, Expr, Function, FunctionArg, FunctionArgExpr, GroupByExpr, LimitClause,
    NamedWindowDefinition, NamedWindowExpr, OrderByKind, Query, Select, SelectItem, Subscript, TableFactor, Value, WindowFrameBound,
    WindowSpec, WindowType,
};

use super::syntax::number;
use crate::system::syntax;

/// A number that is typed, if it is one that is whole and small. What the passes here have marked stays as it is.
pub(super) fn typed(expr: &Expr) -> Option<Expr> {
    let Expr::Value(value) = expr else { return None };
    let Value::Number(digits, false) = &value.value else { return None };
    digits.parse::<i32>().ok()?;
    Some(syntax::cast(number(digits), DataType::Int(None)))
}

/// The digits of a whole number as it is written, typed or not.
pub(super) fn digits_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Cast { expr, .. } => digits_of(expr),
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => Some(digits),
            _ => None,
        },
        _ => None,
    }
}

/// The bounds of a window's frame, which the planner reads only as they are written: marked while they are walked over, and not after.
pub(super) fn frame(spec: &mut WindowSpec, kept: bool) {
    let Some(frame) = &mut spec.window_frame else { return };
    for bound in [Some(&mut frame.start_bound), frame.end_bound.as_mut()].into_iter().flatten() {
        if let WindowFrameBound::Preceding(Some(count)) | WindowFrameBound::Following(Some(count)) = bound {
            set(count, kept);
        }
    }
}

/// The frames of a SELECT's named windows.
pub(super) fn frames(select: &mut Select, kept: bool) {
    for NamedWindowDefinition(_, window) in &mut select.named_window {
        if let NamedWindowExpr::WindowSpec(spec) = window {
            frame(spec, kept);
        }
    }
}

/// Marks a number that stands for a place, a count or a step and not for a value: the planner reads it as it is.
fn mark(expr: &mut Expr) {
    set(expr, true);
}

fn set(expr: &mut Expr, mark: bool) {
    if let Expr::Value(value) = expr
        && let Value::Number(_, marked) = &mut value.value
    {
        *marked = mark;
    }
}

/// LIMIT, OFFSET, and columns by their place in ORDER BY.
pub(super) fn of_query(query: &mut Query) {
    match &mut query.limit_clause {
        Some(LimitClause::LimitOffset { limit, offset, .. }) => {
            limit.iter_mut().for_each(mark);
            offset.iter_mut().for_each(|offset| mark(&mut offset.value));
        }
        Some(LimitClause::OffsetCommaLimit { offset, limit }) => [offset, limit].into_iter().for_each(mark),
        None => {}
    }
    if let Some(by) = &mut query.order_by
        && let OrderByKind::Expressions(by) = &mut by.kind
    {
        by.iter_mut().for_each(|item| mark(&mut item.expr));
    }
}

/// Columns by their place in GROUP BY and DISTINCT ON, and the frames of named windows.
pub(super) fn of_select(select: &mut Select) {
    if let GroupByExpr::Expressions(by, _) = &mut select.group_by {
        for item in by {
            match item {
                Expr::Rollup(sets) | Expr::Cube(sets) | Expr::GroupingSets(sets) => sets.iter_mut().flatten().for_each(mark),
                one => mark(one),
            }
        }
    }
    if let Some(Distinct::On(by)) = &mut select.distinct {
        for item in by {
            if let Expr::Value(value) = &*item
                && let Value::Number(place, _) = &value.value
                && let Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) =
                    place.parse::<usize>().ok().and_then(|place| select.projection.get(place.checked_sub(1)?))
            {
                *item = expr.clone();
            }
        }
    }
    frames(select, true);
}

/// What a function in FROM is given.
pub(super) fn of_table(factor: &mut TableFactor) {
    let TableFactor::Table { args: Some(args), .. } = factor else { return };
    for arg in &mut args.args {
        if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = arg {
            match expr {
                Expr::UnaryOp { expr, .. } => mark(expr),
                expr => mark(expr),
            }
        }
    }
}

/// Subscripts, steps into JSON documents, and the frames of windows.
pub(super) fn of_expr(expr: &mut Expr) {
    match expr {
        Expr::CompoundFieldAccess { access_chain, .. } => {
            for access in access_chain {
                match access {
                    AccessExpr::Subscript(Subscript::Index { index }) => mark(index),
                    AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, stride }) => {
                        [lower_bound, upper_bound, stride].into_iter().flatten().for_each(mark);
                    }
                    AccessExpr::Dot(_) => {}
                }
            }
        }
        Expr::BinaryOp { op: BinaryOperator::Arrow | BinaryOperator::LongArrow, right, .. } => match right.as_mut() {
            Expr::UnaryOp { expr, .. } => mark(expr),
            step => mark(step),
        },
        Expr::Function(Function { over: Some(WindowType::WindowSpec(spec)), .. }) => frame(spec, true),
        _ => {}
    }
}
