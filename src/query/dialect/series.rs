//! `generate_series`, which the planner knows in FROM only, and with one name for its table and its column.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, ObjectName, OrderBy, OrderByExpr, OrderByKind,
    OrderByOptions, Query, Select, SelectItem, SetExpr, TableAlias, TableAliasColumnDef, TableFactor, TableFunctionArgs, TableWithJoins,
    visit_expressions,
};

use super::{calls, whole};

use crate::system::{self, syntax};

/// The function that stands in FROM.
pub(in crate::query) const TABLE_FUNCTION: &str = "generate_series";
/// What FROM calls one that stood in a SELECT list, and its column: nobody else calls anything so.
const OF_LIST: &str = "generate_series()";

/// The one column of `generate_series(…) AS g` is called `g`, and so is that of `unnest`.
pub(super) fn name(factor: &mut TableFactor) {
    let (name, alias) = match factor {
        TableFactor::Table { name, alias, args: Some(_), .. } if syntax::catalog_name(name).as_deref() == Some(TABLE_FUNCTION) => {
            (TABLE_FUNCTION, alias)
        }
        TableFactor::UNNEST { alias, array_exprs, with_offset: false, with_ordinality: false, .. } if array_exprs.len() == 1 => {
            ("unnest", alias)
        }
        _ => return,
    };
    let alias = alias.get_or_insert_with(|| TableAlias { explicit: true, name: Ident::new(name), columns: Vec::new(), at: None });
    if alias.columns.is_empty() {
        alias.columns.push(TableAliasColumnDef::from_name(alias.name.value.clone()));
    }
}

/// `SELECT x, generate_series(1, 3) FROM t` gives each row once for each number, as `FROM t, generate_series(1, 3)` does. Two of them side by
/// side, one over columns, and one beside an aggregate or a window, which are computed first, stay as they are, and are refused later. Within
/// an order of the other columns the numbers stay in theirs.
pub(super) fn of_query(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let falls = of_select(select);
    if let (Some(falls), Some(OrderBy { kind: OrderByKind::Expressions(by), .. }), None) = (falls, &mut query.order_by, &select.distinct) {
        let options = OrderByOptions { asc: Some(!falls), nulls_first: None };
        by.push(OrderByExpr { expr: column(), options, with_fill: None });
    }
}

/// One SELECT, whose columns have names: whether its numbers fall, where it has any.
pub(super) fn of_select(select: &mut Select) -> Option<bool> {
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty()) || select.having.is_some();
    let alone = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => !syntax::aggregates(expr) && !has_window(expr),
        SelectItem::QualifiedWildcard(..) => true,
        _ => false,
    };
    let beside = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => any(expr, gives_rows),
        _ => false,
    };
    if grouped || !select.projection.iter().all(alone) || select.projection.iter().any(beside) {
        return None;
    }
    let mut calls = Vec::new();
    for item in &mut select.projection {
        // It is called after the function, which will be gone.
        if let SelectItem::UnnamedExpr(expr) = item
            && any(expr, is_series)
        {
            let name = system::name_of(expr).unwrap_or_else(|| "?column?".to_owned());
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', name) };
        }
        if let SelectItem::ExprWithAlias { expr, .. } = item {
            find(expr, &mut calls);
        }
    }
    let [call] = calls.as_mut_slice() else { return None };
    let Expr::Function(function) = &mut **call else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    let fixed = |arg: &FunctionArg| matches!(arg, FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) if !names_columns(expr));
    let plain = list.clauses.is_empty() && list.duplicate_treatment.is_none();
    if !plain || !(2..=3).contains(&list.args.len()) || !list.args.iter().all(fixed) {
        return None;
    }
    let falls = list.args.get(2).is_some_and(|step| step.to_string().contains('-'));
    let narrow = |arg: &FunctionArg| matches!(arg, FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) if is_narrow(expr));
    let narrow = list.args.iter().all(narrow);
    let args = Some(TableFunctionArgs { args: list.args.clone(), settings: None });
    **call = if narrow { syntax::cast(column(), DataType::Int(None)) } else { column() };
    let columns = vec![TableAliasColumnDef { name: quoted(), data_type: None }];
    let relation = TableFactor::Table {
        name: ObjectName::from(vec![Ident::new(TABLE_FUNCTION)]),
        alias: Some(TableAlias { explicit: true, name: quoted(), columns, at: None }),
        args,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    };
    select.from.push(TableWithJoins { relation, joins: Vec::new() });
    Some(falls)
}

fn quoted() -> Ident {
    Ident::with_quote('"', OF_LIST)
}

/// The numbers.
fn column() -> Expr {
    Expr::CompoundIdentifier(vec![quoted(), quoted()])
}

/// Whether it is written as a number that is an `integer`.
fn is_narrow(expr: &Expr) -> bool {
    match expr {
        Expr::UnaryOp { expr, .. } | Expr::Nested(expr) => is_narrow(expr),
        expr => whole::digits_of(expr).is_some_and(|digits| digits.parse::<i32>().is_ok()),
    }
}

/// The calls in an expression that is computed from them for each row.
fn find<'e>(expr: &'e mut Expr, calls: &mut Vec<&'e mut Expr>) {
    if is_series(expr) {
        calls.push(expr);
        return;
    }
    match expr {
        // There, PostgreSQL has none.
        Expr::Function(function) if syntax::catalog_name(&function.name).as_deref() == Some("coalesce") => {}
        Expr::Function(function) => {
            let FunctionArguments::List(list) = &mut function.args else { return };
            for arg in &mut list.args {
                if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = arg {
                    find(expr, calls);
                }
            }
        }
        Expr::Cast { expr, .. } | Expr::Nested(expr) | Expr::UnaryOp { expr, .. } => find(expr, calls),
        Expr::BinaryOp { left, right, .. } => {
            find(left, calls);
            find(right, calls);
        }
        _ => {}
    }
}

/// Whether it is another function that gives rows: those of a SELECT list go in step.
fn gives_rows(expr: &Expr) -> bool {
    syntax::called(expr).is_some_and(|name| name == "unnest" || calls::ROWS_OF.iter().any(|(rows, _)| *rows == name))
}

fn is_series(expr: &Expr) -> bool {
    syntax::called(expr).as_deref() == Some(TABLE_FUNCTION)
}

pub(super) fn any(expr: &Expr, is: impl Fn(&Expr) -> bool) -> bool {
    visit_expressions(expr, |part| if is(part) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }).is_break()
}

fn has_window(expr: &Expr) -> bool {
    any(expr, |part| matches!(part, Expr::Function(function) if function.over.is_some()))
}

/// Whether it is another value for another row.
fn names_columns(expr: &Expr) -> bool {
    any(expr, |part| matches!(part, Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Subquery(_)))
}
