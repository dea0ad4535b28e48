//! Expressions that the planner lacks, one by one, each turned when its parts have been.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, BinaryOperator, CaseWhen, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, GroupByExpr, Ident, ObjectName, OrderByKind, Query, Select, SelectItem, TableAlias, TableFactor, Value,
    ValueWithSpan, visit_expressions_mut,
};

use super::{ast, fold};
use crate::system::functions;
use crate::system::shape;
use crate::system::types::type_name;

/// Columns of type `regproc` or `regtype`: numbers that are shown as names.
const REGPROC_COLUMNS: [&str; 26] = [
    "aggcombinefn",
    "aggdeserialfn",
    "aggfinalfn",
    "aggfnoid",
    "aggmfinalfn",
    "aggminvtransfn",
    "aggmtransfn",
    "aggserialfn",
    "aggtransfn",
    "amhandler",
    "amproc",
    "oprcode",
    "oprjoin",
    "oprrest",
    "prosupport",
    "rngcanonical",
    "rngsubdiff",
    "typanalyze",
    "typinput",
    "typmodin",
    "typmodout",
    "typoutput",
    "typreceive",
    "typsend",
    "typsubscript",
    "conproc",
];

/// The functions that read and write a `reg…` type.
fn reader_of(data_type: &DataType) -> Option<(&'static str, &'static str)> {
    let name = match data_type {
        DataType::Regclass => "regclass".to_owned(),
        DataType::Custom(name, _) => type_name(name)?,
        _ => return None,
    };
    Some(match name.as_str() {
        "regclass" => ("regclassin", "regclassout"),
        "regtype" => ("regtypein", "regtypeout"),
        "regproc" | "regprocedure" => ("regprocin", "regprocout"),
        "regnamespace" => ("regnamespacein", "regnamespaceout"),
        "regrole" => ("regrolein", "regroleout"),
        _ => return None,
    })
}

/// Whether the expression is a function that the parser took for a column.
pub(super) fn is_keyword(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(ident) if keyword(ident).is_some())
}

/// Functions that SQL calls without parentheses and the parser takes for columns.
fn keyword(ident: &Ident) -> Option<&'static str> {
    let name = ident.value.to_ascii_lowercase();
    ["current_schema", "current_role", "current_catalog"].into_iter().find(|word| ident.quote_style.is_none() && *word == name)
}

/// The function that shows the expression by name, where its type is a `reg…` one.
pub(super) fn writer(expr: &Expr) -> Option<&'static str> {
    if ast::column(expr).is_some_and(|name| REGPROC_COLUMNS.contains(&name.as_str())) {
        return Some("regprocout");
    }
    match expr {
        Expr::Nested(inner) => writer(inner),
        _ => Some(match ast::called(expr)?.as_str() {
            "regclassin" | "to_regclass" => "regclassout",
            "regtypein" | "to_regtype" => "regtypeout",
            "regprocin" | "to_regproc" => "regprocout",
            "regnamespacein" | "to_regnamespace" => "regnamespaceout",
            "regrolein" | "to_regrole" => "regroleout",
            _ => return None,
        }),
    }
}

/// Turns one expression, whose parts have been turned.
pub(super) fn expr(expr: &mut Expr) {
    let turned = match expr {
        Expr::Function(function) => call(function),
        Expr::Identifier(ident) => keyword(ident).map(|name| ast::call(name, Vec::new())),
        Expr::Cast { expr: inner, data_type, .. } => cast(inner, data_type),
        Expr::Collate { expr: inner, .. } => Some((**inner).clone()),
        Expr::BinaryOp { left, op, right } => binary(left, op, right),
        Expr::AnyOp { left, compare_op, right, .. } => any(left, compare_op, right),
        Expr::AllOp { right, .. } => {
            if let Some(array) = text_array(right) {
                **right = array;
            }
            None
        }
        Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
            escape(pattern, escape_char);
            None
        }
        Expr::Subquery(query) => subquery(query),
        Expr::Case { conditions, .. } => {
            domain(conditions);
            typed_case(expr)
        }
        Expr::Exists { subquery, negated } => fold::is_empty(subquery).then(|| ast::boolean(*negated)),
        _ => None,
    };
    if let Some(turned) = turned {
        *expr = turned;
    }
}

fn call(function: &mut Function) -> Option<Expr> {
    let name = ast::catalog_name(&function.name)?;
    if let FunctionArguments::Subquery(query) = &function.args
        && name == "array"
    {
        return Some(array_of(query));
    }
    if function.name.0.len() > 1 {
        function.name = ObjectName::from(vec![Ident::new(name.as_str())]);
    }
    if functions::is_known(&name) {
        for argument in ast::arguments_mut(function) {
            if ast::is_placeholder(argument) {
                *argument = ast::cast(argument.clone(), DataType::Text);
            }
        }
    }
    if name == "array_agg" {
        return typed_array(function);
    }
    if name == "coalesce" {
        for argument in ast::arguments_mut(function).into_iter().skip(1) {
            if ast::string(argument) == Some("{}") {
                *argument = empty_array();
            }
        }
    }
    None
}

/// What is gathered from a column of a type of the catalogs' own is an array of it: an `oid[]` is no list of numbers.
fn typed_array(function: &Function) -> Option<Expr> {
    let element = ast::arguments(function).first().map(|argument| fold::type_of(argument))?;
    is_oid(&element).then_some(())?;
    let array = DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(element), None));
    Some(ast::cast(Expr::Function(function.clone()), array))
}

/// A choice among such arrays is one of them.
fn typed_case(case: &Expr) -> Option<Expr> {
    let Expr::Case { conditions, .. } = case else { return None };
    let result = fold::type_of(&conditions.first()?.result);
    let DataType::Array(ArrayElemTypeDef::SquareBracket(element, _)) = &result else { return None };
    is_oid(element).then(|| ast::cast(case.clone(), result))
}

fn is_oid(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Custom(name, _) if type_name(name).as_deref() == Some("oid"))
}

/// No type here is a domain, so nothing is asked of one: a query for the type below one goes through types step by step.
fn domain(conditions: &mut [CaseWhen]) {
    for CaseWhen { condition, result } in conditions {
        let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = condition else { continue };
        if ast::column(left).as_deref() == Some("typtype") && ast::string(right) == Some("d") {
            let asked = strip(result);
            if matches!(asked, Expr::Subquery(_)) {
                *result = ast::null(fold::type_of(asked));
            }
        }
    }
}

fn cast(inner: &Expr, data_type: &DataType) -> Option<Expr> {
    if let Some((reader, _)) = reader_of(data_type) {
        let given = if ast::is_placeholder(inner) { ast::cast(inner.clone(), DataType::Text) } else { inner.clone() };
        return Some(ast::call(reader, vec![given]));
    }
    let name = match data_type {
        DataType::Custom(name, _) => type_name(name)?,
        DataType::Text | DataType::Varchar(_) | DataType::CharacterVarying(_) => "text".to_owned(),
        // Of numbers it is the dialect's.
        DataType::Array(ArrayElemTypeDef::SquareBracket(element, _)) if is_text(element) => {
            return ast::string(inner).map(|_| array_call(inner));
        }
        _ => return None,
    };
    match name.as_str() {
        "text" | "varchar" | "name" => writer(inner).map(|out| ast::call(out, vec![inner.clone()])),
        _ => None,
    }
}

fn binary(left: &mut Box<Expr>, op: &mut BinaryOperator, right: &mut Box<Expr>) -> Option<Expr> {
    if let BinaryOperator::PGCustomBinaryOperator(parts) = op {
        *op = named_operator(parts.last()?)?;
    }
    match op {
        BinaryOperator::StringConcat if is_empty_array(right) => return Some((**left).clone()),
        BinaryOperator::StringConcat if is_empty_array(left) => return Some((**right).clone()),
        BinaryOperator::Eq | BinaryOperator::NotEq => {
            by_name(left, right);
            by_name(right, left);
        }
        _ => {}
    }
    None
}

/// A `reg…` value is compared to a text by its name.
fn by_name(value: &mut Expr, other: &Expr) {
    if ast::string(other).is_some_and(|text| text.parse::<u32>().is_err())
        && let Some(out) = writer(value)
    {
        *value = ast::call(out, vec![value.clone()]);
    }
}

fn named_operator(name: &str) -> Option<BinaryOperator> {
    Some(match name {
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "~~*" => BinaryOperator::PGILikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "!~~*" => BinaryOperator::PGNotILikeMatch,
        "=" => BinaryOperator::Eq,
        "<>" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        ">" => BinaryOperator::Gt,
        "<=" => BinaryOperator::LtEq,
        ">=" => BinaryOperator::GtEq,
        "||" => BinaryOperator::StringConcat,
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        _ => return None,
    })
}

/// `x = ANY(ARRAY[a, b])` is `x IN (a, b)`; an array that is a text or not known yet is one of texts.
fn any(left: &Expr, op: &BinaryOperator, right: &mut Expr) -> Option<Expr> {
    let listed = match strip(right) {
        Expr::Array(array) if *op == BinaryOperator::Eq => Some(array.elem.clone()),
        _ => None,
    };
    if let Some(list) = listed.filter(|list| !list.is_empty()) {
        return Some(Expr::InList { expr: Box::new(left.clone()), list, negated: false });
    }
    if let Some(array) = text_array(right) {
        *right = array;
    }
    None
}

/// The planner escapes with a backslash only; PostgreSQL's own function turns a pattern into one of those.
fn escape(pattern: &mut Expr, letter: &mut Option<ValueWithSpan>) {
    let Some(given) = letter.take() else { return };
    *pattern = ast::call("like_escape", vec![pattern.clone(), Expr::Value(given)]);
}

fn strip(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => strip(inner),
        other => other,
    }
}

fn text_array(expr: &Expr) -> Option<Expr> {
    let inner = strip(expr);
    if ast::is_placeholder(inner) {
        return Some(ast::call("pg_text_array", vec![ast::cast(inner.clone(), DataType::Text)]));
    }
    ast::string(inner).map(|_| array_call(inner))
}

fn array_call(text: &Expr) -> Expr {
    ast::call("pg_text_array", vec![text.clone()])
}

fn empty_array() -> Expr {
    array_call(&ast::literal("{}"))
}

/// Whether values of the type are computed as texts.
fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Text | DataType::Varchar(_) | DataType::CharacterVarying(_) | DataType::Char(_) => true,
        DataType::Custom(name, _) => type_name(name).is_some_and(|name| shape::arrow_type(&name) == arrow::datatypes::DataType::Utf8),
        _ => false,
    }
}

fn is_empty_array(expr: &Expr) -> bool {
    match strip(expr) {
        Expr::Function(function) if ast::called(expr).as_deref() == Some("pg_text_array") => {
            ast::arguments(function).first().copied().and_then(ast::string) == Some("{}")
        }
        _ => false,
    }
}

/// `ARRAY(SELECT x …)`: an aggregate, and the empty array where there is no row.
fn array_of(query: &Query) -> Expr {
    let mut query = query.clone();
    let order = query.order_by.take();
    if fold::is_empty(&query) {
        return empty_array();
    }
    let Some(select) = ast::only_select_mut(&mut query) else { return empty_array() };
    let Some(item) = select.projection.first().and_then(ast::item_expr).cloned() else { return empty_array() };
    let mut collected = ast::call("array_agg", vec![ast::cast(item.clone(), DataType::Text)]);
    if let (Expr::Function(function), Some(order)) = (&mut collected, order)
        && let (FunctionArguments::List(list), OrderByKind::Expressions(mut by)) = (&mut function.args, order.kind)
    {
        for key in &mut by {
            if matches!(&key.expr, Expr::Value(value) if matches!(value.value, Value::Number(..))) {
                key.expr = ast::cast(item.clone(), DataType::Text);
            }
        }
        list.clauses.push(FunctionArgumentClause::OrderBy(by));
    }
    select.projection = vec![SelectItem::ExprWithAlias { expr: collected, alias: Ident::new("array") }];
    ast::call("coalesce", vec![Expr::Subquery(Box::new(query)), empty_array()])
}

/// A scalar subquery over the catalogs asks by key, so any value that it gives is the one.
fn subquery(query: &mut Query) -> Option<Expr> {
    if fold::is_empty(query) {
        let item = ast::only_select(query)?.projection.first().and_then(ast::item_expr)?;
        return Some(ast::null(fold::type_of(item)));
    }
    if query.limit_clause.is_some() || query.order_by.is_some() || query.with.is_some() {
        return None;
    }
    let select = ast::only_select_mut(query)?;
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    // Of what a user made up in the statement itself, more than one row is an error that must stay one.
    let by_key = !select.from.is_empty()
        && select.from.iter().all(|tables| {
            let mut factors = std::iter::once(&tables.relation).chain(tables.joins.iter().map(|join| &join.relation));
            factors.all(is_catalog)
        });
    if grouped || !by_key || select.distinct.is_some() {
        return None;
    }
    let item = select.projection.first_mut()?;
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } if !ast::aggregates(expr) => {
            *expr = ast::call("first_value", vec![expr.clone()]);
        }
        _ => {}
    }
    None
}

fn is_catalog(factor: &TableFactor) -> bool {
    let listed = |name: &str| shape::pg_catalog().contains_key(name) || shape::information_schema().contains_key(name);
    matches!(factor, TableFactor::Table { name, args: None, .. } if ast::catalog_name(name).is_some_and(|name| listed(&name)))
}

/// Functions in FROM that give rows, each with the one that gives them as an array.
const ROWS_OF: [(&str, &str); 2] = [("generate_series", "pg_series"), ("pg_get_keywords", "pg_keywords")];

/// What the function calls its column, where it has a name of its own.
fn column_of(function: &str) -> Option<Ident> {
    (function == "pg_get_keywords").then(|| Ident::new("word"))
}

/// `FROM current_schema()`: a function that gives one value is a subquery of one row. `FROM generate_series(1, 3)` is one of as many rows.
pub(super) fn table_factor(factor: &mut TableFactor) {
    let TableFactor::Table { name, alias, args: Some(args), .. } = factor else { return };
    let Some(function) = ast::catalog_name(name).filter(|name| ROWS_OF.iter().any(|(of, _)| of == name) || functions::is_known(name))
    else {
        return;
    };
    let arguments = args.args.iter().filter_map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    });
    // Over constants it is the engine's own, which is of any length.
    let constant = |arg: &FunctionArg| matches!(arg, FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) if is_number(expr));
    if function == "generate_series" && (args.args.len() != 2 || args.args.iter().all(constant)) {
        return;
    }
    let column = alias.as_ref().map_or_else(|| Ident::new(function.as_str()), |alias| alias.name.clone());
    let (call, column) = match ROWS_OF.iter().find(|(of, _)| *of == function) {
        Some((_, array)) => (ast::call("unnest", vec![ast::call(array, arguments.collect())]), column_of(&function).unwrap_or(column)),
        None => (ast::call(&function, arguments.collect()), column),
    };
    let item = SelectItem::ExprWithAlias { expr: call, alias: column.clone() };
    let mut alias = alias.clone();
    if alias.is_none() {
        alias = Some(TableAlias { explicit: true, name: Ident::new(function.as_str()), columns: Vec::new(), at: None });
    }
    let subquery = Box::new(ast::query(ast::select(vec![item])));
    *factor = TableFactor::Derived { lateral: false, subquery, alias, sample: None };
}

fn is_number(expr: &Expr) -> bool {
    match expr {
        Expr::UnaryOp { expr, .. } | Expr::Nested(expr) => is_number(expr),
        Expr::Value(value) => matches!(value.value, Value::Number(..)),
        _ => false,
    }
}

/// The catalog tables in FROM by name, each with what its columns are qualified by.
pub(super) fn named_tables(select: &Select) -> Vec<(String, Vec<Ident>)> {
    let mut named = Vec::new();
    for tables in &select.from {
        for factor in std::iter::once(&tables.relation).chain(tables.joins.iter().map(|join| &join.relation)) {
            if let TableFactor::Table { name, alias, args: None, .. } = factor
                && let Some(table) = ast::catalog_name(name)
            {
                let parts = || name.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
                named.push((table, alias.as_ref().map_or_else(parts, |alias| vec![alias.name.clone()])));
            }
        }
    }
    named
}

/// `x.tableoid` is the oid of the catalog that `x` stands for.
pub(super) fn resolve_tableoid(select: &mut Select) {
    let named = named_tables(select).into_iter();
    let oids: HashMap<String, u32> =
        named.filter_map(|(table, alias)| Some((ast::folded(alias.last()?), shape::pg_catalog().get(table.as_str())?.oid))).collect();
    if oids.is_empty() {
        return;
    }
    let ControlFlow::Continue(()) = visit_expressions_mut(select, |expr| {
        let oid = match expr {
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [table, column] if ast::folded(column) == "tableoid" => oids.get(&ast::folded(table)),
                _ => None,
            },
            Expr::Identifier(column) if ast::folded(column) == "tableoid" && oids.len() == 1 => oids.values().next(),
            _ => None,
        };
        if let Some(oid) = oid {
            *expr = ast::cast(Expr::value(Value::Number(oid.to_string(), false)), ast::type_named("oid"));
        }
        ControlFlow::<std::convert::Infallible>::Continue(())
    });
}
