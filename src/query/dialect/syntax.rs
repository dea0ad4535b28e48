//! Spellings: what the planner does not read, in words that it does.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Array, ArrayElemTypeDef, BinaryOperator, CastKind, CharacterLength, DataType, ExactNumberInfo, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentList, FunctionArguments, GroupByExpr, Ident, Interval, LimitClause, ObjectName, OrderBy, OrderByKind,
    Query, Select, SelectItem, SetExpr, SetOperator, SetQuantifier, Statement, TableFactor, TableSampleKind, TableSampleMethod,
    TimezoneInfo, TypedString, UnaryOperator, Value, VisitMut, VisitorMut, WindowType, visit_expressions,
};

use super::super::written::json;
use super::calls;
use super::literal::{self, Kind};
use super::records;
use super::rows;
use super::series;
use super::similar::SIMILAR;
use super::whole;
use crate::error::{ErrorKind, Fault, Result};
use crate::system::{self, syntax};
use crate::values::nested::split_array;

/// The longest sides of `OVERLAPS` and `BETWEEN SYMMETRIC`, as text.
const LONGEST_PERIODS: usize = 1_000;

/// The longest `LIKE ANY`, as text: the expression once for each pattern.
const LONGEST_LIKES: usize = 20_000;
/// The most patterns of one.
const MOST_LIKES: usize = 100;
/// The longest of them, as text.
const LONGEST_PATTERN: usize = 1_000;

/// Puts a statement into the planner's words, in place. Fails for a literal that is no value of its type.
pub(in crate::query) fn translate(statement: &mut Statement) -> Result<()> {
    match statement.visit(&mut Translation::default()) {
        ControlFlow::Break(fault) => Err(fault),
        ControlFlow::Continue(()) => Ok(()),
    }
}

#[derive(Default)]
struct Translation {
    /// What the SELECT that is read next may not call its columns.
    ordered_by: HashSet<String>,
}

impl VisitorMut for Translation {
    type Break = Fault;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Fault> {
        if let Some(all) = counted_rows(&query.body) {
            let fault = Fault::new(ErrorKind::Unsupported, format!("{all} ALL is not supported"));
            return ControlFlow::Break(fault.with_hint(format!("{all} leaves each row once.")));
        }
        limit(query);
        self.ordered_by = order(query);
        series::of_query(query);
        whole::of_query(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Fault> {
        system::name_columns(select, std::mem::take(&mut self.ordered_by));
        let tables = records::tables(select);
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                let ControlFlow::Continue(()) = expr.visit(&mut Shown { depth: 0, tables: &tables });
            }
        }
        series::of_select(select);
        whole::of_select(select);
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Fault> {
        whole::frames(select, false);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Fault> {
        if let TableFactor::Table { sample: sample @ Some(_), .. } | TableFactor::Derived { sample: sample @ Some(_), .. } = factor {
            // The planner would leave it out without a word.
            if !sample.take().is_some_and(|sample| is_all(&sample)) {
                let fault = Fault::new(ErrorKind::Unsupported, "TABLESAMPLE is not supported");
                return ControlFlow::Break(fault.with_hint("Order by random() and take a LIMIT."));
            }
        }
        whole::of_table(factor);
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Fault> {
        calls::rows_of(factor);
        series::name(factor);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Fault> {
        rows::signed(expr);
        whole::of_expr(expr);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Fault> {
        match turned(expr) {
            Ok(Some(turned)) => *expr = turned,
            Ok(None) => {}
            Err(fault) => return ControlFlow::Break(fault),
        }
        ControlFlow::Continue(())
    }
}

/// In ORDER BY a name alone is a column of the result, and a name in an expression one of the tables; the planner takes both for the first.
/// What is ordered by as it is shown is ordered by its place; the names in all else are given back, and columns are not called so.
fn order(query: &mut Query) -> HashSet<String> {
    let mut names = HashSet::new();
    let SetExpr::Select(select) = query.body.as_ref() else { return names };
    let Some(OrderBy { kind: OrderByKind::Expressions(by), .. }) = &mut query.order_by else { return names };
    let wild = |item: &SelectItem| !matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
    let known = select.projection.iter().position(wild).unwrap_or(select.projection.len());
    let shown: Vec<(Option<String>, &Expr)> = select
        .projection
        .iter()
        .take(known)
        .filter_map(|item| match item {
            SelectItem::UnnamedExpr(expr) => Some((system::name_of(expr), expr)),
            SelectItem::ExprWithAlias { expr, alias } => Some((Some(syntax::folded(alias)), expr)),
            _ => None,
        })
        .collect();
    let column = |expr: &Expr| matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
    for item in by {
        let name = match &item.expr {
            Expr::Identifier(ident) => Some(syntax::folded(ident)),
            _ => None,
        };
        let found = shown.iter().position(|(called, expr)| !column(expr) && (**expr == item.expr || (name.is_some() && *called == name)));
        match found {
            Some(place) => item.expr = number(&(place + 1).to_string()),
            None if name.is_some() => {}
            None => {
                let ControlFlow::Continue(()) = visit_expressions(&item.expr, |part| {
                    if let Expr::Identifier(ident) = part {
                        names.insert(syntax::folded(ident));
                    }
                    ControlFlow::<std::convert::Infallible>::Continue(())
                });
            }
        }
    }
    names
}

/// `EXCEPT ALL` and `INTERSECT ALL`, by which equal rows are counted against each other: the engine does not count them.
fn counted_rows(body: &SetExpr) -> Option<SetOperator> {
    match body {
        SetExpr::SetOperation { op: op @ (SetOperator::Except | SetOperator::Intersect), set_quantifier: SetQuantifier::All, .. } => {
            Some(*op)
        }
        SetExpr::SetOperation { left, right, .. } => counted_rows(left).or_else(|| counted_rows(right)),
        _ => None,
    }
}

/// `TABLESAMPLE SYSTEM (100)` is every row.
fn is_all(sample: &TableSampleKind) -> bool {
    let (TableSampleKind::BeforeTableAlias(sample) | TableSampleKind::AfterTableAlias(sample)) = sample;
    let known = matches!(sample.name, Some(TableSampleMethod::Bernoulli | TableSampleMethod::System));
    known && sample.quantity.as_ref().is_some_and(|quantity| quantity.unit.is_none() && quantity.value == number_as_written("100"))
}

/// `FETCH FIRST 2 ROWS ONLY` is `LIMIT 2`.
fn limit(query: &mut Query) {
    let plain = query.fetch.as_ref().is_some_and(|fetch| !fetch.with_ties && !fetch.percent);
    if !plain {
        return;
    }
    let count = query.fetch.take().and_then(|fetch| fetch.quantity).unwrap_or_else(|| number("1"));
    match &mut query.limit_clause {
        Some(LimitClause::LimitOffset { limit: limit @ None, .. }) => *limit = Some(count),
        clause => *clause = Some(LimitClause::LimitOffset { limit: Some(count), offset: None, limit_by: Vec::new() }),
    }
}

/// One expression, whose parts have been turned.
fn turned(expr: &mut Expr) -> Result<Option<Expr>> {
    if let Some(compared) = rows::turned(expr)? {
        return Ok(Some(compared));
    }
    Ok(match expr {
        Expr::SimilarTo { negated, expr, pattern, escape_char } => {
            let escape = escape_char.take().map(Expr::Value);
            let pattern = syntax::call(SIMILAR, [(**pattern).clone()].into_iter().chain(escape).collect());
            let op = if *negated { BinaryOperator::PGRegexNotMatch } else { BinaryOperator::PGRegexMatch };
            Some(binary((**expr).clone(), op, pattern))
        }
        Expr::BinaryOp { left, op: BinaryOperator::PGOverlap, right } => {
            Some(syntax::call("arrays_overlap", vec![(**left).clone(), (**right).clone()]))
        }
        Expr::BinaryOp { left, op: BinaryOperator::PGStartsWith, right } => {
            Some(syntax::call("starts_with", vec![(**left).clone(), (**right).clone()]))
        }
        Expr::BinaryOp { left, op: BinaryOperator::Overlaps, right } => overlaps(left, right),
        Expr::UnaryOp { op: UnaryOperator::BitwiseNot, expr } => {
            Some(binary((**expr).clone(), BinaryOperator::PGBitwiseXor, syntax::cast(number("-1"), DataType::Int(None))))
        }
        Expr::UnaryOp { op: UnaryOperator::PGSquareRoot, expr } => Some(syntax::call("sqrt", vec![(**expr).clone()])),
        Expr::UnaryOp { op: UnaryOperator::PGCubeRoot, expr } => Some(syntax::call("cbrt", vec![(**expr).clone()])),
        Expr::Between { .. } => symmetric(expr)?,
        // The planner drops the sign.
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } if matches!(**expr, Expr::Interval(_)) => {
            Some(Expr::Nested(Box::new(binary((**expr).clone(), BinaryOperator::Multiply, number("-1")))))
        }
        Expr::CompoundFieldAccess { access_chain, .. } => {
            for access in access_chain {
                if let AccessExpr::Dot(Expr::Identifier(field)) = access {
                    *access = AccessExpr::Dot(syntax::literal(&syntax::folded(field)));
                }
            }
            None
        }
        Expr::BinaryOp { left, op, right } => document(left, op, right),
        Expr::Function(function) => {
            if let Some(WindowType::WindowSpec(spec)) = &mut function.over {
                whole::frame(spec, false);
            }
            calls::turned(function)?
        }
        Expr::AtTimeZone { timestamp, time_zone } => Some(syntax::call("timezone", vec![(**time_zone).clone(), (**timestamp).clone()])),
        Expr::Cast { expr: inner, data_type, kind: CastKind::Cast | CastKind::DoubleColon, .. } => match syntax::string(inner) {
            Some(text) => literal_cast(text, data_type)?,
            // `1e308` is no decimal that the engine holds.
            None => match exponential(inner).filter(|_| is_float(data_type)) {
                Some(text) => Some(syntax::cast(syntax::literal(&text), data_type.clone())),
                None => cut(inner, data_type),
            },
        },
        Expr::TypedString(TypedString { data_type, value, .. }) => match &value.value {
            Value::SingleQuotedString(text) => literal_cast(text, data_type)?,
            _ => None,
        },
        Expr::Interval(Interval { value, leading_field, last_field: None, .. }) => match syntax::string(value) {
            Some(written) => {
                let unit = leading_field.take().map(|field| field.to_string());
                **value = syntax::literal(&literal::interval(written, unit.as_deref())?);
                None
            }
            None => None,
        },
        Expr::Like { any: true, .. } | Expr::ILike { any: true, .. } => like_any(expr)?,
        Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => {
            if let Some(items) = syntax::string(right).and_then(split_array) {
                **right = array(items);
            }
            None
        }
        Expr::Value(_) => whole::typed(expr),
        _ => None,
    })
}

/// A text that is written as a value of a type, in the one spelling that the engine reads.
fn literal_cast(written: &str, data_type: &DataType) -> Result<Option<Expr>> {
    let zoned = |zone: &TimezoneInfo| matches!(zone, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz);
    Ok(match data_type {
        DataType::Interval { .. } => Some(Expr::Interval(Interval {
            value: Box::new(syntax::literal(&literal::interval(written, None)?)),
            leading_field: None,
            leading_precision: None,
            last_field: None,
            fractional_seconds_precision: None,
        })),
        DataType::Date => Some(literal::moment(written, Kind::Date)?.into_expr(data_type)),
        DataType::Timestamp(_, zone) if zoned(zone) => Some(literal::moment(written, Kind::Instant)?.into_expr(data_type)),
        DataType::Timestamp(..) => Some(literal::moment(written, Kind::Timestamp)?.into_expr(data_type)),
        DataType::Time(_, zone) if !zoned(zone) => Some(literal::moment(written, Kind::Time)?.into_expr(data_type)),
        DataType::Array(ArrayElemTypeDef::SquareBracket(..)) => {
            split_array(written).map(|items| syntax::cast(array(items), data_type.clone()))
        }
        DataType::Uuid => Some(syntax::cast(syntax::literal(&literal::uuid(written)?), data_type.clone())),
        DataType::JSON => {
            json::check(written)?;
            None
        }
        // With the decimals that are written.
        DataType::Numeric(ExactNumberInfo::None) | DataType::Decimal(ExactNumberInfo::None) => {
            let scale = written.trim().split_once('.').map_or(0, |(_, decimals)| decimals.len());
            let plain = scale <= 30 && written.bytes().all(|byte| byte.is_ascii_digit() || b"+-. ".contains(&byte));
            let scale = i64::try_from(scale).ok().filter(|_| plain);
            scale.map(|scale| syntax::cast(syntax::literal(written), DataType::Numeric(ExactNumberInfo::PrecisionAndScale(38, scale))))
        }
        DataType::JSONB => Some(syntax::cast(syntax::literal(&json::jsonb(written)?), data_type.clone())),
        _ => cut(&syntax::literal(written), data_type),
    })
}

fn is_float(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Double(_) | DataType::DoublePrecision | DataType::Float8 | DataType::Float(_) | DataType::Float4 | DataType::Real
    )
}

/// A number with an exponent, as it is written.
fn exponential(expr: &Expr) -> Option<String> {
    let Expr::Value(value) = expr else { return None };
    match &value.value {
        Value::Number(digits, _) if digits.contains(['e', 'E']) => Some(digits.clone()),
        _ => None,
    }
}

/// `varchar(3)` keeps three characters.
fn cut(inner: &Expr, data_type: &DataType) -> Option<Expr> {
    let length = match data_type {
        DataType::Varchar(Some(length))
        | DataType::CharacterVarying(Some(length))
        | DataType::CharVarying(Some(length))
        | DataType::Char(Some(length))
        | DataType::Character(Some(length)) => length,
        _ => return None,
    };
    let CharacterLength::IntegerLength { length, .. } = length else { return None };
    Some(syntax::call("left", vec![syntax::cast(inner.clone(), DataType::Text), number(&length.to_string())]))
}

/// A path into a JSON document: `->`, `->>`, `#>`, `#>>`, `?`.
fn document(left: &Expr, op: &BinaryOperator, right: &Expr) -> Option<Expr> {
    let path = |name: &str| {
        let steps = syntax::string(right).and_then(split_array)?;
        let step = |step: Option<String>| {
            let step = step?;
            let index = step.parse::<u32>().is_ok();
            Some(if index { number(&step) } else { syntax::literal(&step) })
        };
        let steps = steps.into_iter().map(step).collect::<Option<Vec<_>>>()?;
        Some(syntax::call(name, std::iter::once(left.clone()).chain(steps).collect()))
    };
    // Indexes are of the widest type; a parameter that nobody gave a type is a key.
    let step = || match right {
        Expr::Cast { expr, data_type, .. } if is_index(data_type) => syntax::cast((**expr).clone(), DataType::BigInt(None)),
        right if syntax::is_placeholder(right) => syntax::cast(right.clone(), DataType::Text),
        right => right.clone(),
    };
    let one = |name: &str| Some(syntax::call(name, vec![left.clone(), step()]));
    match op {
        BinaryOperator::Arrow => one("json_get_json"),
        BinaryOperator::LongArrow => one("json_as_text"),
        BinaryOperator::Question => one("json_contains"),
        BinaryOperator::HashArrow => path("json_get_json"),
        BinaryOperator::HashLongArrow => path("json_as_text"),
        _ => None,
    }
}

fn is_index(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int(_) | DataType::Integer(_) | DataType::SmallInt(_) | DataType::Int2(_) | DataType::Int4(_))
}

/// `(a, b) OVERLAPS (c, d)`: half-open, each pair in either order.
fn overlaps(left: &Expr, right: &Expr) -> Option<Expr> {
    let (Expr::Tuple(left), Expr::Tuple(right)) = (left, right) else { return None };
    let ([a, b], [c, d]) = (left.as_slice(), right.as_slice()) else { return None };
    let end = |from: &Expr, to: &Expr| match to {
        Expr::Interval(_) => binary(from.clone(), BinaryOperator::Plus, to.clone()),
        _ => to.clone(),
    };
    // Each side is said six times: what is long itself, as one in another is, would grow without end.
    if [a, b, c, d].iter().map(|side| side.to_string().len()).sum::<usize>() > LONGEST_PERIODS {
        return None;
    }
    let (b, d) = (end(a, b), end(c, d));
    let first = |x: &Expr, y: &Expr| syntax::call("least", vec![x.clone(), y.clone()]);
    let last = |x: &Expr, y: &Expr| syntax::call("greatest", vec![x.clone(), y.clone()]);
    let before = |x: Expr, y: Expr| binary(x, BinaryOperator::Lt, y);
    let same = binary(first(a, &b), BinaryOperator::Eq, first(c, &d));
    let crossing = binary(before(first(a, &b), last(c, &d)), BinaryOperator::And, before(first(c, &d), last(a, &b)));
    Some(Expr::Nested(Box::new(binary(same, BinaryOperator::Or, Expr::Nested(Box::new(crossing))))))
}

/// `x LIKE ANY (ARRAY[a, b])`: like one or the other.
fn like_any(like: &Expr) -> Result<Option<Expr>> {
    let (Expr::Like { expr, pattern, .. } | Expr::ILike { expr, pattern, .. }) = like else { return Ok(None) };
    let mut patterns = pattern.as_ref();
    while let Expr::Nested(inner) = patterns {
        patterns = inner;
    }
    let patterns = match patterns {
        Expr::Array(Array { elem, .. }) => elem.clone(),
        Expr::Cast { expr, data_type: DataType::Array(_), .. } => match expr.as_ref() {
            Expr::Array(Array { elem, .. }) => elem.clone(),
            _ => return Ok(None),
        },
        written => match syntax::string(written).and_then(split_array).map(array) {
            Some(Expr::Array(Array { elem, .. })) => elem,
            _ => return Ok(None),
        },
    };
    if rows::is_volatile(expr) {
        return Ok(None);
    }
    // It is said once for each pattern: what is long itself, as one in another is, would grow without end.
    let long = patterns.iter().any(|pattern| pattern.to_string().len() > LONGEST_PATTERN);
    if long || patterns.len() > MOST_LIKES || expr.to_string().len().saturating_mul(patterns.len()) > LONGEST_LIKES {
        let fault = Fault::new(ErrorKind::TooComplex, "LIKE ANY of an expression that is too long, or of too many patterns");
        return Err(fault.with_hint(format!("There may be {MOST_LIKES} patterns of {LONGEST_PATTERN} bytes.")));
    }
    let one = |one: Expr| {
        let mut like = like.clone();
        if let Expr::Like { any, pattern, .. } | Expr::ILike { any, pattern, .. } = &mut like {
            (*any, **pattern) = (false, one);
        }
        like
    };
    let either = rows::joined(patterns.into_iter().map(one).collect(), &BinaryOperator::Or);
    Ok(Some(Expr::Nested(Box::new(either.unwrap_or_else(|| Expr::value(Value::Boolean(false)))))))
}

/// `x BETWEEN SYMMETRIC a AND b`: between them in either order. The word is an operator before the first bound ([`super::super::parse`]).
fn symmetric(between: &mut Expr) -> Result<Option<Expr>> {
    let Expr::Between { low, .. } = between else { return Ok(None) };
    let mut first = low.as_mut();
    while let Expr::BinaryOp { left, .. } = first {
        first = left.as_mut();
    }
    let Expr::UnaryOp { op: UnaryOperator::PGPrefixFactorial, expr: bound } = first else { return Ok(None) };
    *first = std::mem::replace(bound.as_mut(), Expr::value(Value::Null));
    // Everything is said twice: what is long itself, as one in another is, would grow without end.
    if between.to_string().len() > LONGEST_PERIODS {
        return Err(Fault::new(ErrorKind::TooComplex, "BETWEEN SYMMETRIC of expressions that are too long"));
    }
    let mut turned = between.clone();
    let Expr::Between { negated, low, high, .. } = &mut turned else { return Ok(None) };
    std::mem::swap(low, high);
    let op = if *negated { BinaryOperator::And } else { BinaryOperator::Or };
    let nested = |expr| Box::new(Expr::Nested(Box::new(expr)));
    Ok(Some(Expr::Nested(Box::new(Expr::BinaryOp { left: nested(between.clone()), op, right: nested(turned) }))))
}

/// Walks the expressions of a SELECT list, but not those of its sub-queries.
struct Shown<'a> {
    depth: usize,
    tables: &'a HashMap<String, ObjectName>,
}

impl VisitorMut for Shown<'_> {
    type Break = std::convert::Infallible;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<Self::Break> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Self::Break> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        if let (0, Expr::Exists { subquery, negated }) = (self.depth, &mut *expr)
            && let Some(counted) = counted(subquery, *negated)
        {
            *expr = counted;
        }
        if let (0, Expr::Function(function)) = (self.depth, expr) {
            records::take(function, self.tables);
        }
        ControlFlow::Continue(())
    }
}

/// `EXISTS (SELECT …)` where a value stands, as a count: the planner knows it in conditions only.
fn counted(subquery: &Query, negated: bool) -> Option<Expr> {
    let mut query = subquery.clone();
    query.order_by = None;
    let plain = query.with.is_none() && query.limit_clause.is_none() && query.fetch.is_none();
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    // With an aggregate there is always a row.
    let gathers = select.projection.iter().any(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => syntax::aggregates(expr),
        _ => false,
    });
    if !plain || grouped || gathers || select.having.is_some() || select.distinct.is_some() {
        return None;
    }
    let op = if negated { BinaryOperator::Eq } else { BinaryOperator::Gt };
    let count = FunctionArguments::List(FunctionArgumentList {
        duplicate_treatment: None,
        args: vec![FunctionArg::Unnamed(FunctionArgExpr::Wildcard)],
        clauses: Vec::new(),
    });
    let Expr::Function(count) = (match syntax::call("count", Vec::new()) {
        Expr::Function(function) => Expr::Function(Function { args: count, ..function }),
        other => other,
    }) else {
        return None;
    };
    let counted = binary(Expr::Function(count), op, number("0"));
    select.projection = vec![SelectItem::ExprWithAlias { expr: counted, alias: Ident::with_quote('"', "exists") }];
    Some(Expr::Subquery(Box::new(query)))
}

fn number_as_written(digits: &str) -> Expr {
    Expr::value(Value::Number(digits.to_owned(), false))
}

/// A number as it stands: see [`whole`].
pub(super) fn number(digits: &str) -> Expr {
    Expr::value(Value::Number(digits.to_owned(), true))
}

fn array(items: Vec<Option<String>>) -> Expr {
    let elem = items.into_iter().map(|item| item.map_or_else(|| Expr::value(Value::Null), |item| syntax::literal(&item))).collect();
    Expr::Array(Array { elem, named: true })
}

pub(super) fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    let nested = |expr: Expr| match expr {
        Expr::BinaryOp { .. } => Expr::Nested(Box::new(expr)),
        other => other,
    };
    Expr::BinaryOp { left: Box::new(nested(left)), op, right: Box::new(nested(right)) }
}
