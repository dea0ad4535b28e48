//! Calls: functions under PostgreSQL's names, those that SQL calls without parentheses, and arguments by name.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, Interval,
    ObjectName, TableAlias, TableFactor, TimezoneInfo,
};

use super::super::functions::json::AGGREGATES;
use super::series::TABLE_FUNCTION;
use super::syntax::{binary, number};
use super::whole::digits_of;
use crate::error::{ErrorKind, Fault, Result};
use crate::system::syntax;

/// Functions whose arguments may be named, and the value of one that is left out.
const NAMED: &[(&str, &[&str], Option<&str>)] = &[
    ("make_interval", &["years", "months", "weeks", "days", "hours", "mins", "secs"], Some("0")),
    ("make_date", &["year", "month", "day"], None),
    ("make_time", &["hour", "min", "sec"], None),
    ("make_timestamp", &["year", "month", "mday", "hour", "min", "sec"], None),
    ("make_timestamptz", &["year", "month", "mday", "hour", "min", "sec", "timezone"], None),
];

/// Functions that give rows, and those that give the same as an array.
pub(super) const ROWS_OF: [(&str, &str); 2] = [("regexp_split_to_table", "regexp_split_to_array"), ("string_to_table", "string_to_array")];

/// One of them in FROM.
pub(super) fn rows_of(factor: &mut TableFactor) {
    let TableFactor::Table { name, alias, args: Some(args), with_ordinality, .. } = factor else { return };
    let Some((called, array)) = ROWS_OF.iter().find(|(rows, _)| syntax::catalog_name(name).as_deref() == Some(rows)) else { return };
    let Some(arguments) = expressions(&args.args) else { return };
    let alias = alias.take().unwrap_or_else(|| TableAlias { explicit: true, name: Ident::new(*called), columns: Vec::new(), at: None });
    *factor = TableFactor::UNNEST {
        alias: Some(alias),
        array_exprs: vec![syntax::call(array, arguments)],
        with_offset: false,
        with_offset_alias: None,
        with_ordinality: *with_ordinality,
    };
}

/// What is planned instead of a call.
pub(super) fn turned(function: &Function) -> Result<Option<Expr>> {
    let Some(name) = syntax::catalog_name(&function.name) else { return Ok(None) };
    if name == TABLE_FUNCTION {
        return Err(Fault::new(ErrorKind::Unsupported, "generate_series is not supported here")
            .with_hint("It stands in FROM, and once in a SELECT list, over constants."));
    }
    let now = |data_type| Some(syntax::cast(syntax::call("now", Vec::new()), data_type));
    let FunctionArguments::List(list) = &function.args else {
        return Ok(match name.as_str() {
            "localtimestamp" => now(DataType::Timestamp(None, TimezoneInfo::None)),
            "localtime" => now(DataType::Time(None, TimezoneInfo::None)),
            _ => None,
        });
    };
    if list.args.iter().any(|arg| named(arg).is_some()) {
        let Some((_, parameters, default)) = NAMED.iter().find(|(known, ..)| *known == name) else { return Ok(None) };
        return in_order(&name, list, parameters, *default).map(|args| Some(syntax::call(&name, args)));
    }
    if let Some((_, item, result)) = AGGREGATES.iter().find(|(known, ..)| *known == name) {
        return Ok(Some(gathered(function, list, item, result)));
    }
    let Some(arguments) = expressions(&list.args) else { return Ok(None) };
    if let Some((_, array)) = ROWS_OF.iter().find(|(rows, _)| *rows == name) {
        return Ok(Some(syntax::call("unnest", vec![syntax::call(array, arguments)])));
    }
    Ok(match (name.as_str(), <[Expr; 2]>::try_from(arguments)) {
        ("mod", Ok([left, right])) => Some(Expr::Nested(Box::new(binary(left, BinaryOperator::Modulo, right)))),
        // An empty array has no dimension.
        ("array_length", Ok(both)) => {
            Some(syntax::cast(syntax::call("nullif", vec![syntax::call("array_length", both.into()), number("0")]), DataType::Int(None)))
        }
        ("age", Err(one)) if one.len() == 1 => {
            Some(syntax::call("age", [syntax::call("current_date", Vec::new())].into_iter().chain(one).collect()))
        }
        ("localtimestamp", Err(digits)) => {
            now(DataType::Timestamp(None, TimezoneInfo::None)).and_then(|moment| rounded(moment, digits.first()))
        }
        ("current_timestamp", Err(digits)) => rounded(syntax::call("now", Vec::new()), digits.first()),
        ("localtime", Err(_)) => now(DataType::Time(None, TimezoneInfo::None)),
        _ => None,
    })
}

/// A moment with so many digits of a second.
fn rounded(moment: Expr, digits: Option<&Expr>) -> Option<Expr> {
    let Some(digits) = digits else { return Some(moment) };
    let digits: u32 = digits_of(digits)?.parse().ok()?;
    let Some(left) = 6u32.checked_sub(digits).filter(|left| *left > 0) else { return Some(moment) };
    let interval = |micros: u32| {
        Expr::Interval(Interval {
            value: Box::new(syntax::literal(&format!("{}.{:06} seconds", micros / 1_000_000, micros % 1_000_000))),
            leading_field: None,
            leading_precision: None,
            last_field: None,
            fractional_seconds_precision: None,
        })
    };
    let step = 10u32.pow(left);
    Some(syntax::call("date_bin", vec![interval(step), binary(moment, BinaryOperator::Plus, interval(step / 2))]))
}

pub(super) fn expressions(args: &[FunctionArg]) -> Option<Vec<Expr>> {
    let expr = |arg: &FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    };
    args.iter().map(expr).collect()
}

/// An argument that says which it is: `days => 3`, and as PostgreSQL once had it, `days := 3`.
fn named(arg: &FunctionArg) -> Option<(&Ident, &Expr)> {
    match arg {
        FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. }
        | FunctionArg::ExprNamed { name: Expr::Identifier(name), arg: FunctionArgExpr::Expr(value), .. } => Some((name, value)),
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::BinaryOp { left, op: BinaryOperator::Assignment, right })) => {
            match left.as_ref() {
                Expr::Identifier(name) => Some((name, right.as_ref())),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The arguments by place. Each is given once.
fn in_order(function: &str, list: &FunctionArgumentList, parameters: &[&str], default: Option<&str>) -> Result<Vec<Expr>> {
    let none = || Fault::new(ErrorKind::UndefinedFunction, format!("no function {function} has these arguments"));
    let mut given: Vec<Option<Expr>> = vec![None; parameters.len()];
    for (place, arg) in list.args.iter().enumerate() {
        let (place, value) = match (named(arg), arg) {
            (Some((name, value)), _) => (parameters.iter().position(|known| *known == syntax::folded(name)), value),
            (None, FunctionArg::Unnamed(FunctionArgExpr::Expr(value))) => (Some(place), value),
            _ => return Err(none()),
        };
        let slot = place.and_then(|place| given.get_mut(place)).filter(|slot| slot.is_none());
        *slot.ok_or_else(none)? = Some(value.clone());
    }
    // The last of `make_timestamptz` may be left out, and it alone.
    if given.last().is_some_and(Option::is_none) && default.is_none() {
        given.pop();
    }
    given.into_iter().map(|arg| arg.or_else(|| default.map(number)).ok_or_else(none)).collect()
}

/// `json_agg(x ORDER BY y)`: the JSON of each, in that order, gathered by `array_agg`, which is bounded as all aggregates are. `string_agg`
/// would be the shorter way; of it, the engine takes one order in a SELECT.
fn gathered(function: &Function, list: &FunctionArgumentList, item: &str, result: &str) -> Expr {
    let item = match syntax::call(item, Vec::new()) {
        Expr::Function(call) => {
            let args = FunctionArgumentList { duplicate_treatment: None, args: list.args.clone(), clauses: Vec::new() };
            Expr::Function(Function { args: FunctionArguments::List(args), ..call })
        }
        other => other,
    };
    let args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(item))];
    let gathered = Function {
        name: ObjectName::from(vec![Ident::new("array_agg")]),
        args: FunctionArguments::List(FunctionArgumentList { args, ..list.clone() }),
        ..function.clone()
    };
    syntax::call(result, vec![Expr::Function(gathered)])
}
