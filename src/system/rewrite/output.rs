//! How a result's columns are named and shown.

use std::collections::HashSet;

use datafusion::sql::sqlparser::ast::{
    DataType, Expr, GroupByExpr, Ident, OrderBy, OrderByExpr, OrderByKind, OrderByOptions, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, Statement, Value,
};

use super::names::name_of;
use super::{ast, expressions};

/// Names every column that PostgreSQL would name by its expression, and numbers the second of two names.
/// `others` are names that mean something else where they are read, and are not given.
pub(crate) fn name_columns(select: &mut Select, others: HashSet<String>) {
    let mut taken = others.clone();
    let wild: Vec<Option<String>> = select.projection.iter().filter_map(wildcard).collect();
    for item in &mut select.projection {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                if let Some(name) = ast::column(expr).filter(|_| repeated(expr, &wild)) {
                    let alias = Ident::with_quote('"', format!("{name}_2"));
                    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
                    continue;
                }
                let own = ast::column(expr).filter(|_| matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)));
                if let Some(own) = own.filter(|own| !expressions::is_keyword(expr) && (others.contains(own) || !taken.contains(own))) {
                    taken.insert(own);
                    continue;
                }
                let name = name_of(expr).unwrap_or_else(|| "?column?".to_owned());
                let alias = Ident::with_quote('"', free(name, &mut taken));
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            }
            SelectItem::ExprWithAlias { alias, .. } => {
                let name = ast::folded(alias);
                taken.retain(|taken| *taken != name || !others.contains(taken));
                let free = free(name.clone(), &mut taken);
                if free != name {
                    *alias = Ident::with_quote('"', free);
                }
            }
            _ => {}
        }
    }
}

/// Of which table an item is all columns: of all, where `Some(None)`.
fn wildcard(item: &SelectItem) -> Option<Option<String>> {
    match item {
        SelectItem::Wildcard(_) => Some(None),
        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => Some(ast::parts(name).pop()),
        _ => None,
    }
}

/// Whether a column comes again in a wildcard: `n.oid, n.*`.
fn repeated(expr: &Expr, wild: &[Option<String>]) -> bool {
    let of = match expr {
        Expr::CompoundIdentifier(parts) => parts.len().checked_sub(2).and_then(|table| parts.get(table)).map(ast::folded),
        Expr::Identifier(_) => None,
        _ => return false,
    };
    wild.iter().any(|table| table.is_none() || *table == of)
}

pub(super) fn free(name: String, taken: &mut HashSet<String>) -> String {
    let mut free = name.clone();
    let mut number = 2;
    while !taken.insert(free.clone()) {
        free = format!("{name}_{number}");
        number += 1;
    }
    free
}

/// Finishes the outermost result: `reg…` values are shown by name, as PostgreSQL writes them, and rows come in the order in which
/// PostgreSQL would find them, where the client did not say: some show columns as they come.
pub(super) fn finish(statement: &mut Statement) {
    match statement {
        Statement::Query(query) => {
            order(query);
            show(query);
        }
        Statement::Explain { statement, .. } => finish(statement),
        _ => {}
    }
}

/// Names the parameters that went with what was folded away, so that a client may still bind them.
pub(super) fn keep_parameters<'a>(statement: &mut Statement, lost: impl Iterator<Item = &'a String>) {
    let query = match statement {
        Statement::Query(query) => query,
        Statement::Explain { statement, .. } => return keep_parameters(statement, lost),
        _ => return,
    };
    let Some(select) = first_select(&mut query.body) else { return };
    for name in lost {
        let value = ast::cast(Expr::value(Value::Placeholder(name.clone())), DataType::Text);
        let always = ast::or(Expr::IsNull(Box::new(value)), ast::boolean(true));
        select.selection = Some(match select.selection.take() {
            Some(condition) => ast::and(condition, always),
            None => always,
        });
    }
}

fn first_select(body: &mut SetExpr) -> Option<&mut Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(query) => first_select(&mut query.body),
        SetExpr::SetOperation { left, .. } => first_select(left),
        _ => None,
    }
}

/// What rows of a catalog are ordered by.
const ORDERS: [(&str, &[&str]); 6] = [
    ("pg_attribute", &["attrelid", "attnum"]),
    ("columns", &["table_schema", "table_name", "ordinal_position"]),
    ("pg_class", &["relname", "oid"]),
    ("tables", &["table_schema", "table_name"]),
    ("pg_type", &["oid"]),
    ("pg_namespace", &["nspname"]),
];

fn order(query: &mut Query) {
    if query.order_by.is_some() || query.limit_clause.is_some() {
        return;
    }
    let SetExpr::Select(select) = query.body.as_ref() else { return };
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    let gathers = select.projection.iter().filter_map(ast::item_expr).any(ast::aggregates);
    if grouped || gathers || select.distinct.is_some() || select.having.is_some() {
        return;
    }
    let tables = expressions::named_tables(select);
    let found = ORDERS.iter().find_map(|(catalog, keys)| tables.iter().find(|(table, _)| table == catalog).map(|(_, alias)| (alias, keys)));
    if let Some((alias, keys)) = found {
        let renamed =
            |key: &str| select.projection.iter().any(|item| matches!(item, SelectItem::ExprWithAlias { alias, .. } if alias.value == key));
        let keys: Vec<_> = keys.iter().filter(|key| !renamed(key)).collect();
        if keys.is_empty() {
            return;
        }
        let by = |key: &&&str| OrderByExpr {
            expr: Expr::CompoundIdentifier(alias.iter().cloned().chain([Ident::new(**key)]).collect()),
            options: OrderByOptions { asc: None, nulls_first: None },
            with_fill: None,
        };
        query.order_by = Some(OrderBy { kind: OrderByKind::Expressions(keys.iter().map(by).collect()), interpolate: None });
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
