//! Small pieces of syntax: read and made.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, GroupByExpr,
    Ident, ObjectName, ObjectNamePart, Query, Select, SelectFlavor, SelectItem, SetExpr, Statement, Value, visit_expressions,
};

/// A name without quotes in lower case, one with quotes as it is.
pub(crate) fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() }
}

/// The parts of a name.
pub(super) fn parts(name: &ObjectName) -> Vec<String> {
    name.0.iter().filter_map(ObjectNamePart::as_ident).map(folded).collect()
}

/// The last part of a name, where the parts before it are nothing or a catalog schema.
pub(crate) fn catalog_name(name: &ObjectName) -> Option<String> {
    let mut parts = parts(name);
    let last = parts.pop()?;
    let ours = parts.iter().all(|schema| schema == "pg_catalog" || schema == "information_schema");
    (ours && parts.len() <= 1).then_some(last)
}

/// The last part of a column's name.
pub(super) fn column(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(folded(ident)),
        Expr::CompoundIdentifier(idents) => idents.last().map(folded),
        Expr::Nested(inner) => column(inner),
        _ => None,
    }
}

/// The function's name, where the expression is a call.
pub(crate) fn called(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Function(function) => catalog_name(&function.name),
        _ => None,
    }
}

/// The text of a string literal.
pub(crate) fn string(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// Whether it is `$1`.
pub(crate) fn is_placeholder(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if matches!(value.value, Value::Placeholder(_)))
}

/// All `$1` of a statement.
pub(super) fn placeholders(statement: &Statement) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let ControlFlow::Continue(()) = visit_expressions(statement, |expr| {
        if let Expr::Value(value) = expr
            && let Value::Placeholder(name) = &value.value
        {
            found.insert(name.clone());
        }
        ControlFlow::<Infallible>::Continue(())
    });
    found
}

pub(crate) fn literal(text: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(text.to_owned()))
}

pub(super) fn boolean(value: bool) -> Expr {
    Expr::value(Value::Boolean(value))
}

pub(crate) fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

pub(super) fn and(left: Expr, right: Expr) -> Expr {
    let nested = |expr| Box::new(Expr::Nested(Box::new(expr)));
    Expr::BinaryOp { left: nested(left), op: BinaryOperator::And, right: nested(right) }
}

pub(super) fn or(left: Expr, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op: BinaryOperator::Or, right: Box::new(right) }
}

/// NULL of a type.
pub(super) fn null(data_type: DataType) -> Expr {
    cast(Expr::value(Value::Null), data_type)
}

/// A PostgreSQL type by its name in the catalog.
pub(super) fn type_named(name: &str) -> DataType {
    match name {
        "text" => DataType::Text,
        "bool" => DataType::Boolean,
        other => DataType::Custom(ObjectName::from(vec![Ident::with_quote('"', other)]), Vec::new()),
    }
}

/// `name(arguments)`.
pub(crate) fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let args = arguments.into_iter().map(|argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))).collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// `SELECT items`, without FROM.
pub(super) fn select(projection: Vec<SelectItem>) -> Select {
    Select {
        select_token: AttachedToken::empty(),
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection,
        exclude: None,
        into: None,
        from: Vec::new(),
        lateral_views: Vec::new(),
        prewhere: None,
        selection: None,
        connect_by: Vec::new(),
        group_by: GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: SelectFlavor::Standard,
    }
}

/// A query that is nothing but this.
pub(super) fn query(select: Select) -> Query {
    Query {
        with: None,
        body: Box::new(SetExpr::Select(Box::new(select))),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}

/// The one select that a query is, where it is one.
pub(super) fn only_select(query: &Query) -> Option<&Select> {
    match query.body.as_ref() {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(inner) => only_select(inner),
        _ => None,
    }
}

/// The one select that a query is, to change it.
pub(super) fn only_select_mut(query: &mut Query) -> Option<&mut Select> {
    match query.body.as_mut() {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(inner) => only_select_mut(inner),
        _ => None,
    }
}

/// The expression of a select item.
pub(super) fn item_expr(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}

const AGGREGATES: [&str; 14] = [
    "array_agg",
    "avg",
    "bool_and",
    "bool_or",
    "count",
    "every",
    "first_value",
    "json_agg",
    "json_object_agg",
    "jsonb_agg",
    "max",
    "min",
    "string_agg",
    "sum",
];

/// Whether the expression is made of an aggregate; a subquery's own do not count.
pub(crate) fn aggregates(expr: &Expr) -> bool {
    let any = |exprs: &[&Expr]| exprs.iter().any(|expr| aggregates(expr));
    match expr {
        Expr::Function(function) => {
            let own = called(expr).is_some_and(|name| AGGREGATES.contains(&name.as_str())) && function.over.is_none();
            own || arguments(function).into_iter().any(aggregates)
        }
        Expr::Nested(inner) | Expr::UnaryOp { expr: inner, .. } | Expr::Cast { expr: inner, .. } => aggregates(inner),
        Expr::IsNull(inner) | Expr::IsNotNull(inner) => aggregates(inner),
        Expr::BinaryOp { left, right, .. } => any(&[left, right]),
        Expr::Case { operand, conditions, else_result, .. } => {
            let when = conditions.iter().any(|when| any(&[&when.condition, &when.result]));
            when || operand.iter().chain(else_result).any(|expr| aggregates(expr))
        }
        _ => false,
    }
}

/// The plain arguments of a call.
pub(super) fn arguments(function: &Function) -> Vec<&Expr> {
    let FunctionArguments::List(list) = &function.args else { return Vec::new() };
    list.args
        .iter()
        .filter_map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        })
        .collect()
}

/// The plain arguments of a call, to change them.
pub(super) fn arguments_mut(function: &mut Function) -> Vec<&mut Expr> {
    let FunctionArguments::List(list) = &mut function.args else { return Vec::new() };
    list.args
        .iter_mut()
        .filter_map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        })
        .collect()
}
