//! Rows as values: `row_to_json(t)`, `json_agg(t)`, where `t` is a table.
//!
//! The tree says `t.*` for it, because the columns are not known yet; the plan says which they are.

use std::collections::HashMap;

use datafusion::common::{DFSchema, ScalarValue, TableReference};
use datafusion::functions::core::named_struct;
use datafusion::logical_expr::{Expr as PlanExpr, lit};
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Select, TableFactor,
};

use crate::system::syntax;

/// Functions that take a row.
const TAKE_ROWS: &[&str] = &[
    "json_agg",
    "json_build_array",
    "json_build_object",
    "json_object_agg",
    "jsonb_agg",
    "jsonb_build_array",
    "jsonb_build_object",
    "jsonb_object_agg",
    "row_to_json",
    "to_json",
    "to_jsonb",
];

/// The tables of a SELECT by the names that its expressions know them by.
pub(super) fn tables(select: &Select) -> HashMap<String, ObjectName> {
    let factors = select.from.iter().flat_map(|from| std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)));
    let named = factors.filter_map(|factor| match factor {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            Some((syntax::folded(&alias.name), ObjectName::from(vec![alias.name.clone()])))
        }
        TableFactor::Table { name, alias: None, .. } => Some((syntax::folded(name.0.last()?.as_ident()?), name.clone())),
        _ => None,
    });
    named.collect()
}

/// Turns an argument that is a table's name into all of its columns.
pub(super) fn take(function: &mut Function, tables: &HashMap<String, ObjectName>) {
    let takes = syntax::catalog_name(&function.name).is_some_and(|name| TAKE_ROWS.contains(&name.as_str()));
    let FunctionArguments::List(list) = &mut function.args else { return };
    for arg in list.args.iter_mut().filter(|_| takes) {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = arg else { continue };
        match expr {
            Expr::Identifier(ident) => {
                if let Some(table) = tables.get(&syntax::folded(ident)) {
                    *arg = FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(table.clone()));
                }
            }
            Expr::Function(row) if syntax::catalog_name(&row.name).as_deref() == Some("row") => name_fields(row),
            _ => {}
        }
    }
}

/// The fields of `row(1, 'a')` are called `f1` and `f2`.
fn name_fields(row: &mut Function) {
    let FunctionArguments::List(list) = &mut row.args else { return };
    let named = std::mem::take(&mut list.args).into_iter().enumerate().flat_map(|(place, arg)| {
        let name = syntax::literal(&format!("f{}", place + 1));
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(name)), arg]
    });
    list.args = named.collect();
    row.name = ObjectName::from(vec![Ident::new("named_struct")]);
}

/// All columns of a table as one value.
pub(super) fn record(table: &TableReference, schema: &DFSchema) -> PlanExpr {
    let columns = schema.iter().filter(|(qualifier, _)| *qualifier == Some(table));
    let members = columns.flat_map(|column| [lit(ScalarValue::from(column.1.name().as_str())), PlanExpr::from(column)]);
    named_struct().call(members.collect())
}
