//! Relations that are empty for everybody make what joins them empty: indexes, constraints, policies, triggers, sequences, publications.
//! Such a query becomes one without tables that gives the same columns and no row, whatever its expressions need.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, Expr, GroupByExpr, Ident, JoinOperator, ObjectName, Query, Select, SelectItem, SetExpr, SetOperator,
    SetQuantifier, TableFactor, TableWithJoins, Value,
};

use super::Pass;
use super::ast;
use crate::system::shape::{self, PG_TYPE};
use crate::system::{information_schema, pg_catalog};

/// Columns that are NULL in every row of the catalogs.
const NULL_COLUMNS: [&str; 15] = [
    "attacl",
    "attfdwoptions",
    "attoptions",
    "datacl",
    "evttags",
    "lanacl",
    "nspacl",
    "nspoptions",
    "proacl",
    "reloptions",
    "relacl",
    "setconfig",
    "spcacl",
    "spcoptions",
    "typacl",
];

/// The types of columns by their names, which differ between catalogs where the types do.
static COLUMN_TYPES: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
    let shapes = shape::information_schema().values().chain(shape::pg_catalog().values());
    let fields = shapes.flat_map(|shape| shape.schema.fields().iter().cloned());
    fields.filter_map(|field| Some((field.name().clone(), field_type(&field)?))).collect()
});

fn field_type(field: &arrow::datatypes::Field) -> Option<String> {
    use arrow::datatypes::DataType as Arrow;
    Some(match (field.metadata().get(PG_TYPE), field.data_type()) {
        (Some(pg_type), _) => pg_type.clone(),
        (None, Arrow::Boolean) => "bool".to_owned(),
        (None, Arrow::Int16) => "int2".to_owned(),
        (None, Arrow::Int32) => "int4".to_owned(),
        (None, Arrow::Int64) => "int8".to_owned(),
        (None, Arrow::Float32) => "float4".to_owned(),
        (None, Arrow::Float64) => "float8".to_owned(),
        (None, Arrow::Timestamp(..)) => "timestamptz".to_owned(),
        _ => return None,
    })
}

/// Whether the column is NULL in every row.
pub(super) fn is_null_column(expr: &Expr) -> bool {
    ast::column(expr).is_some_and(|name| NULL_COLUMNS.contains(&name.as_str()))
}

/// Whether a query was found to be empty.
pub(super) fn is_empty(query: &Query) -> bool {
    set_is_empty(&query.body)
}

fn set_is_empty(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => select_is_empty(select),
        SetExpr::Query(query) => is_empty(query),
        SetExpr::SetOperation { op, left, right, .. } => match op {
            SetOperator::Union => set_is_empty(left) && set_is_empty(right),
            SetOperator::Intersect => set_is_empty(left) || set_is_empty(right),
            _ => set_is_empty(left),
        },
        _ => false,
    }
}

fn select_is_empty(select: &Select) -> bool {
    select.selection.as_ref().is_some_and(is_false) && !gives_one_row(select)
}

/// An aggregate without GROUP BY gives a row even of nothing.
fn gives_one_row(select: &Select) -> bool {
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(exprs, _) if exprs.is_empty());
    !grouped && (select.having.is_some() || select.projection.iter().filter_map(ast::item_expr).any(ast::aggregates))
}

/// Whether a condition is false, or NULL, in every row.
fn is_false(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => matches!(value.value, Value::Boolean(false)),
        Expr::Nested(inner) => is_false(inner),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => is_false(left) || is_false(right),
        Expr::IsNotNull(column) => is_null_column(column),
        // A column has its type's collation here: there is no other way to declare one, and no type is made of another.
        Expr::BinaryOp { left, op: BinaryOperator::NotEq, right } => {
            let collation = |expr: &Expr| ast::column(expr).is_some_and(|name| name == "attcollation" || name == "typcollation");
            collation(left) && collation(right)
        }
        _ => false,
    }
}

impl Pass {
    fn reads_nothing(&self, from: &[TableWithJoins]) -> bool {
        from.iter().any(|tables| self.joins_are_empty(tables))
    }

    fn joins_are_empty(&self, tables: &TableWithJoins) -> bool {
        let mut empty = self.factor_is_empty(&tables.relation);
        for join in &tables.joins {
            let joined = self.factor_is_empty(&join.relation);
            empty = match join.join_operator {
                JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_) => empty || joined,
                JoinOperator::Right(_) | JoinOperator::RightOuter(_) => joined,
                JoinOperator::FullOuter(_) => empty && joined,
                _ => empty,
            };
        }
        empty
    }

    fn factor_is_empty(&self, factor: &TableFactor) -> bool {
        match factor {
            TableFactor::Table { name, args: None, .. } => self.table_is_empty(name),
            TableFactor::Table { name, args: Some(args), .. } => {
                let unnests = ast::catalog_name(name).as_deref() == Some("unnest");
                unnests && args.args.iter().any(argument_is_null)
            }
            TableFactor::Function { name, args, .. } => {
                ast::catalog_name(name).as_deref() == Some("unnest") && args.iter().any(argument_is_null)
            }
            TableFactor::UNNEST { array_exprs, .. } => array_exprs.iter().any(is_null_column),
            TableFactor::Derived { subquery, .. } => is_empty(subquery),
            TableFactor::NestedJoin { table_with_joins, .. } => self.joins_are_empty(table_with_joins),
            _ => false,
        }
    }

    fn table_is_empty(&self, name: &ObjectName) -> bool {
        let parts = ast::parts(name);
        match parts.as_slice() {
            [table] if self.ctes.contains(table) => self.empty_ctes.contains(table),
            [table] => never_filled("pg_catalog", table),
            [schema, table] => never_filled(schema, table),
            _ => false,
        }
    }
}

fn argument_is_null(argument: &datafusion::sql::sqlparser::ast::FunctionArg) -> bool {
    use datafusion::sql::sqlparser::ast::{FunctionArg, FunctionArgExpr};
    matches!(argument, FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) if is_null_column(expr))
}

fn never_filled(schema: &str, table: &str) -> bool {
    match schema {
        "pg_catalog" => shape::pg_catalog().contains_key(table) && !pg_catalog::FILLED.contains(&table),
        "information_schema" => shape::information_schema().contains_key(table) && !information_schema::FILLED.contains(&table),
        _ => false,
    }
}

/// Makes an empty select one that needs no tables.
pub(super) fn select(select: &mut Select, pass: &Pass) {
    let empty = pass.reads_nothing(&select.from) || select.selection.as_ref().is_some_and(is_false);
    if !empty || select.from.is_empty() || gives_one_row(select) {
        return;
    }
    let wild = select.projection.iter().any(|item| ast::item_expr(item).is_none());
    if wild {
        select.selection = Some(ast::boolean(false));
        return;
    }
    // `ic.relname, tc.relname` were told apart by their tables, which are gone.
    let mut taken: HashSet<String> = select.projection.iter().filter_map(alias_of).collect();
    let items = select.projection.iter().map(|item| match item {
        SelectItem::ExprWithAlias { expr, alias } => SelectItem::ExprWithAlias { expr: ast::null(type_of(expr)), alias: alias.clone() },
        SelectItem::UnnamedExpr(expr) => {
            let name = super::names::name_of(expr).unwrap_or_else(|| "?column?".to_owned());
            let alias = Ident::with_quote('"', super::output::free(name, &mut taken));
            SelectItem::ExprWithAlias { expr: ast::null(type_of(expr)), alias }
        }
        other => other.clone(),
    });
    let mut made = ast::select(items.collect());
    made.selection = Some(ast::boolean(false));
    *select = made;
}

fn alias_of(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(ast::folded(alias)),
        _ => None,
    }
}

/// Drops what an empty query does not need: its order, which may speak of what is gone, and empty arms of a UNION ALL.
pub(super) fn query(query: &mut Query) {
    arms(&mut query.body);
    if is_empty(query) && ast::only_select(query).is_some_and(|select| select.from.is_empty()) {
        query.order_by = None;
    }
}

fn arms(body: &mut SetExpr) {
    if let SetExpr::SetOperation { op: SetOperator::Union, left, right, set_quantifier } = body {
        arms(left);
        arms(right);
        let kept = match (set_is_empty(left), set_is_empty(right)) {
            (true, true) => left,
            (true, false) if *set_quantifier == SetQuantifier::All => right,
            (false, true) if *set_quantifier == SetQuantifier::All => left,
            _ => return,
        };
        *body = (**kept).clone();
    }
}

/// The type of an expression in an empty result: the column's, the cast's, else the likeliest.
pub(super) fn type_of(expr: &Expr) -> DataType {
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => {
            let named = ast::column(expr).and_then(|name| COLUMN_TYPES.get(&name));
            named.map_or(DataType::Text, |name| ast::type_named(name))
        }
        Expr::Cast { data_type, .. } => data_type.clone(),
        Expr::Nested(inner) => type_of(inner),
        Expr::Subquery(query) => {
            let item = ast::only_select(query).and_then(|select| select.projection.first()).and_then(ast::item_expr);
            item.map_or(DataType::Text, type_of)
        }
        Expr::IsNull(_) | Expr::IsNotNull(_) | Expr::Exists { .. } | Expr::InList { .. } | Expr::AnyOp { .. } => DataType::Boolean,
        Expr::BinaryOp { op, .. } => match op {
            BinaryOperator::StringConcat => DataType::Text,
            BinaryOperator::Plus | BinaryOperator::Minus | BinaryOperator::Multiply | BinaryOperator::Divide => DataType::Integer(None),
            _ => DataType::Boolean,
        },
        Expr::Function(_) => match ast::called(expr).as_deref() {
            Some("bool_and" | "bool_or" | "every") => DataType::Boolean,
            Some("count") => DataType::BigInt(None),
            Some("min" | "max" | "coalesce" | "unnest") => first_argument(expr).map_or(DataType::Text, type_of),
            Some("generate_subscripts" | "array_upper" | "array_lower" | "array_length") => DataType::Integer(None),
            Some("array_agg") => ast::type_named("_text"),
            _ => DataType::Text,
        },
        _ => DataType::Text,
    }
}

fn first_argument(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::Function(function) => ast::arguments(function).first().copied(),
        _ => None,
    }
}
