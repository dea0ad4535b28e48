//! How a result's columns are named and shown.

use std::collections::HashSet;

use datafusion::sql::sqlparser::ast::{DataType, Expr, Ident, Query, Select, SelectItem, SetExpr, Statement};

use super::{ast, expressions};
use crate::system::types;

/// Names every column that PostgreSQL would name by its expression, and numbers the second of two names.
pub(super) fn name_columns(select: &mut Select) {
    let mut taken = HashSet::new();
    for item in &mut select.projection {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                if matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
                    taken.insert(ast::column(expr).unwrap_or_default());
                    continue;
                }
                let name = name_of(expr).unwrap_or_else(|| "?column?".to_owned());
                let alias = Ident::with_quote('"', free(name, &mut taken));
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            }
            SelectItem::ExprWithAlias { alias, .. } => {
                let name = ast::folded(alias);
                let free = free(name.clone(), &mut taken);
                if free != name {
                    *alias = Ident::with_quote('"', free);
                }
            }
            _ => {}
        }
    }
}

fn free(name: String, taken: &mut HashSet<String>) -> String {
    let mut free = name.clone();
    let mut number = 2;
    while !taken.insert(free.clone()) {
        free = format!("{name}_{number}");
        number += 1;
    }
    free
}

/// What PostgreSQL calls a column that is this expression.
pub(super) fn name_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => ast::column(expr),
        Expr::Function(_) => ast::called(expr).map(|name| shown_function(&name).to_owned()),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => name_of(inner),
        Expr::Cast { expr: inner, data_type, .. } => name_of(inner).or_else(|| type_name(data_type)),
        Expr::Case { else_result, .. } => {
            let column = else_result.as_deref().filter(|expr| ast::column(expr).is_some());
            column.and_then(name_of).or_else(|| Some("case".to_owned()))
        }
        Expr::Exists { .. } => Some("exists".to_owned()),
        Expr::Subquery(query) => match ast::only_select(query)?.projection.first()? {
            SelectItem::ExprWithAlias { alias, .. } => Some(ast::folded(alias)),
            SelectItem::UnnamedExpr(expr) => name_of(expr),
            _ => None,
        },
        Expr::Array(_) => Some("array".to_owned()),
        Expr::Substring { .. } => Some("substring".to_owned()),
        Expr::Trim { .. } => Some("btrim".to_owned()),
        Expr::Position { .. } => Some("position".to_owned()),
        Expr::Extract { .. } => Some("extract".to_owned()),
        _ => None,
    }
}

/// A function that a cast or an array became is named by what it was.
fn shown_function(name: &str) -> &str {
    match name {
        "pg_text_array" => "array",
        "regclassin" | "regclassout" => "regclass",
        "regtypein" | "regtypeout" => "regtype",
        "regprocin" | "regprocout" => "regproc",
        "regnamespacein" | "regnamespaceout" => "regnamespace",
        "regrolein" | "regroleout" => "regrole",
        other => other,
    }
}

fn type_name(data_type: &DataType) -> Option<String> {
    match data_type {
        DataType::Custom(name, _) => types::type_name(name),
        DataType::Text => Some("text".to_owned()),
        DataType::Varchar(_) | DataType::CharacterVarying(_) => Some("varchar".to_owned()),
        DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) => Some("int4".to_owned()),
        DataType::BigInt(_) | DataType::Int8(_) => Some("int8".to_owned()),
        DataType::SmallInt(_) | DataType::Int2(_) => Some("int2".to_owned()),
        DataType::Bool | DataType::Boolean => Some("bool".to_owned()),
        _ => None,
    }
}

/// Shows `reg…` values of the outermost result by name, as PostgreSQL writes them.
pub(super) fn finish(statement: &mut Statement) {
    match statement {
        Statement::Query(query) => show(query),
        Statement::Explain { statement, .. } => finish(statement),
        _ => {}
    }
}

fn show(query: &mut Query) {
    show_set(&mut query.body);
}

fn show_set(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => select.projection.iter_mut().for_each(show_item),
        SetExpr::Query(query) => show(query),
        SetExpr::SetOperation { left, right, .. } => {
            show_set(left);
            show_set(right);
        }
        _ => {}
    }
}

fn show_item(item: &mut SelectItem) {
    let (expr, alias) = match item {
        SelectItem::UnnamedExpr(expr) => (expr, None),
        SelectItem::ExprWithAlias { expr, alias } => (expr, Some(alias.clone())),
        _ => return,
    };
    let Some(out) = expressions::writer(expr) else { return };
    let alias = alias.unwrap_or_else(|| Ident::with_quote('"', name_of(expr).unwrap_or_else(|| "?column?".to_owned())));
    *item = SelectItem::ExprWithAlias { expr: ast::call(out, vec![expr.clone()]), alias };
}
