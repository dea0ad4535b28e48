//! The engine's errors in PostgreSQL's words.
//!
//! Messages of the engine can quote cells, paths and URLs, so none is passed on as it is. Planning errors are told by their type and, where
//! the engine only has text, by the phrases that it uses; what is not recognised becomes a fixed sentence, and the engine's own text goes
//! to the log. Errors from below a scan arrive as types of our own and name the product only.

use arrow::error::ArrowError;
use chrono::SecondsFormat;
use datafusion::common::{Column, DataFusionError, Diagnostic, SchemaError};
use rust_decimal::Decimal;

use crate::catalog::{Each, Workload};
use crate::error::{ErrorKind, Fault, causes};
use crate::metering::{LimitReached, Share};

use super::govern::BarrierError;

/// The fault that a reader sees for `error`.
pub(crate) fn fault_of(error: DataFusionError) -> Fault {
    let position = position_of(&error);
    let fault = classify(&error).with_source(error);
    match position {
        Some(position) if fault.position().is_none() => fault.with_position(position),
        _ => fault,
    }
}

/// Looks for what the error is at heart.
fn classify(error: &DataFusionError) -> Fault {
    if let Some(fault) = own_fault(error) {
        return fault;
    }
    match error {
        // The optimiser reads constant expressions, with a reader that is no dependency of ours.
        DataFusionError::Context(what, _) if what == "Invalid regex" => invalid_regex(),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => classify(inner),
        DataFusionError::Shared(inner) => classify(inner),
        DataFusionError::Collection(errors) => errors.first().map_or_else(internal, classify),
        DataFusionError::SchemaError(schema, _) => schema_fault(schema),
        DataFusionError::Plan(text) => plan_fault(text),
        DataFusionError::NotImplemented(text) => not_implemented(text),
        DataFusionError::SQL(..) => Fault::new(ErrorKind::Syntax, "syntax error"),
        DataFusionError::ArrowError(arrow, _) => arrow_fault(arrow),
        DataFusionError::ResourcesExhausted(_) => out_of_memory(),
        DataFusionError::Execution(text) => execution_fault(text),
        DataFusionError::External(inner) => {
            if let Some(arrow) = inner.downcast_ref::<ArrowError>() {
                arrow_fault(arrow)
            } else if let Some(engine) = inner.downcast_ref::<DataFusionError>() {
                classify(engine)
            } else if inner.is::<regex::Error>() {
                invalid_regex()
            } else {
                internal()
            }
        }
        DataFusionError::ObjectStore(_) | DataFusionError::ParquetError(_) | DataFusionError::IoError(_) => {
            Fault::new(ErrorKind::Storage, "the data of a product cannot be read")
        }
        _ => internal(),
    }
}

fn internal() -> Fault {
    Fault::new(ErrorKind::Internal, "internal error").with_hint("The gateway's log has the cause under this query's id.")
}

fn out_of_memory() -> Fault {
    Fault::new(ErrorKind::OutOfMemory, "out of memory")
        .with_detail("The query needs more memory than one query may use.")
        .with_hint("Read fewer rows or columns, or aggregate in smaller groups.")
}

fn invalid_regex() -> Fault {
    Fault::new(ErrorKind::InvalidRegex, "invalid regular expression")
}

/// A fault of ours that travelled through the engine.
fn own_fault(error: &DataFusionError) -> Option<Fault> {
    causes(error).find_map(|cause| {
        let fault = cause.downcast_ref().map(Fault::without_source);
        let limit = || cause.downcast_ref().map(limit_fault);
        let regex = || cause.downcast_ref::<regex::Error>().map(|_| invalid_regex());
        fault.or_else(limit).or_else(regex).or_else(|| cause.downcast_ref().map(BarrierError::to_fault))
    })
}

/// `53400`: the next read would have passed the limit.
pub(crate) fn limit_fault(limit: &LimitReached) -> Fault {
    match limit {
        LimitReached::Scan { limit } => Fault::new(ErrorKind::ScanLimit, "scan limit reached")
            .with_detail(format!("The query may scan {limit} bytes, and its next read would pass that."))
            .with_hint("Read fewer columns or partitions, or raise \"meshgate.max_scan_bytes\" where the limit is your own."),
        LimitReached::Budget { month, monthly, currency, used, .. } => {
            let next = month.next().first_day();
            let share = share(*used, &format!("{} {currency}", left(*monthly, *used)));
            Fault::new(ErrorKind::ScanLimit, limit.to_string())
                .with_detail(format!("It is {monthly} {currency} for {month}, and the next read would pass it. {share}"))
                .with_hint(format!("The next month begins on {next}; until then a steward of the domain can raise it."))
        }
        LimitReached::Limit { limit: which, bytes, used, until } => {
            let per = which.per.word();
            let allowed = match which.each {
                Each::Principal => format!("A principal may scan {bytes} bytes in a {per}"),
                Each::Consumer => format!("A consumer domain may scan {bytes} bytes in a {per}"),
                Each::Product => format!("{bytes} bytes of a product may be scanned in a {per}"),
                Each::ConsumerProduct => format!("A consumer domain may scan {bytes} bytes of a product in a {per}"),
            };
            let work = match which.workload {
                Some(Workload::Crawl) => " for crawling",
                Some(Workload::Interactive) => " for questions",
                None => "",
            };
            let share = used.map(|used| format!(" {}", share(used, &format!("{} bytes", left((*bytes).into(), used).trunc()))));
            let hint = match until {
                Some(until) => {
                    format!("It begins anew at {}; until then a steward can raise it.", until.to_rfc3339_opts(SecondsFormat::Secs, true))
                }
                None => "Read fewer columns or partitions.".to_owned(),
            };
            Fault::new(ErrorKind::ScanLimit, limit.to_string())
                .with_detail(format!("{allowed}{work}, and the next read would pass that.{}", share.unwrap_or_default()))
                .with_hint(hint)
        }
    }
}

/// What was used and what is left, as far as it is told.
fn share(used: Share, left: &str) -> String {
    format!("At least {} % of it is used or held by running queries; at most {left} are left.", used.percent())
}

fn left(all: Decimal, used: Share) -> Decimal {
    (all * Decimal::from(100 - used.percent()) / Decimal::ONE_HUNDRED).normalize()
}

fn schema_fault(error: &SchemaError) -> Fault {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => undefined_column(field, valid_fields),
        SchemaError::AmbiguousReference { field } => {
            Fault::new(ErrorKind::AmbiguousColumn, format!("column reference \"{}\" is ambiguous", field.name))
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            Fault::new(ErrorKind::AmbiguousColumn, format!("column name \"{name}\" is specified more than once"))
                .with_hint("Give each column of the sub-query a name of its own with AS.")
        }
    }
}

/// `42703`, with the nearest name as PostgreSQL offers it.
fn undefined_column(field: &Column, valid: &[Column]) -> Fault {
    let name = match &field.relation {
        Some(relation) => format!("{}.{}", relation.table(), field.name),
        None => format!("\"{}\"", field.name),
    };
    let fault = Fault::new(ErrorKind::UndefinedColumn, format!("column {name} does not exist"));
    let near = valid.iter().map(|c| (strsim::damerau_levenshtein(&c.name, &field.name), c)).min_by_key(|(distance, _)| *distance);
    match near {
        Some((distance, column)) if distance <= 1 + field.name.len() / 4 => {
            let shown = match &column.relation {
                Some(relation) => format!("{}.{}", relation.table(), column.name),
                None => column.name.clone(),
            };
            fault.with_hint(format!("Perhaps you meant to reference the column \"{shown}\"."))
        }
        _ => fault,
    }
}

/// What the planner says in words. The texts quoted are the reader's own SQL: names and types, never data.
fn plan_fault(text: &str) -> Fault {
    let has = |phrase: &str| text.contains(phrase);
    let line = || tidy(text);
    if let Some(name) = between(text, "Invalid function '", "'") {
        let fault = Fault::new(ErrorKind::UndefinedFunction, format!("function {name} does not exist"));
        return match between(text, "Did you mean '", "'") {
            Some(near) => fault.with_hint(format!("Perhaps you meant the function {near}.")),
            None => fault.with_hint("No function matches the given name. docs/sql.md lists the functions."),
        };
    }
    if has("must be in the GROUP BY") || has("must appear in the GROUP BY") || has("in GROUP BY clause") || has("non-aggregate values") {
        let fault = Fault::new(ErrorKind::Grouping, "column must appear in the GROUP BY clause or be used in an aggregate function");
        return fault.with_detail(sentence(&line()));
    }
    if has("is ambiguous") {
        return Fault::new(ErrorKind::AmbiguousColumn, line());
    }
    if has("Placeholder type") || has("placeholder type") || has("could not be resolved. Make sure") {
        return Fault::new(ErrorKind::IndeterminateDatatype, "could not determine data type of a parameter")
            .with_hint("Give it a type: $1::text.");
    }
    if has("more than one row") {
        return Fault::new(ErrorKind::Cardinality, "more than one row returned by a subquery used as an expression");
    }
    if has("coerc") || has("No function matches") || has("common argument type") || has("Cannot get result type") || has("type signature") {
        return Fault::new(ErrorKind::UndefinedFunction, "no operator or function matches the given types")
            .with_detail(sentence(&line()))
            .with_hint("You might need to add explicit type casts.");
    }
    if has("Cannot cast") || has("cannot be cast") || has("Unsupported CAST") {
        return Fault::new(ErrorKind::DatatypeMismatch, "cannot cast between these types").with_detail(sentence(&line()));
    }
    if has("not found") && has("table") {
        return Fault::new(ErrorKind::UndefinedTable, line());
    }
    if has("is not implemented") {
        return Fault::new(ErrorKind::Unsupported, line());
    }
    Fault::new(ErrorKind::Syntax, line())
}

fn not_implemented(text: &str) -> Fault {
    Fault::new(ErrorKind::Unsupported, "this is not supported").with_detail(sentence(&tidy(text)))
}

/// Faults of values. Their texts quote the value, which by here is one that the reader may see: scans pass on errors as types of our
/// own, so what arrives as the engine's came from above the barrier.
fn arrow_fault(error: &ArrowError) -> Fault {
    match error {
        ArrowError::DivideByZero => Fault::new(ErrorKind::DivisionByZero, "division by zero"),
        ArrowError::ArithmeticOverflow(_) => Fault::new(ErrorKind::OutOfRange, "value out of range"),
        ArrowError::CastError(text) | ArrowError::ParseError(text) => value_fault(text),
        ArrowError::ComputeError(text) | ArrowError::InvalidArgumentError(text) => execution_fault(text),
        ArrowError::MemoryError(_) | ArrowError::OffsetOverflowError(_) => out_of_memory(),
        ArrowError::NotYetImplemented(text) => not_implemented(text),
        ArrowError::ExternalError(inner) => match inner.downcast_ref::<DataFusionError>() {
            Some(engine) => classify(engine),
            None if inner.is::<regex::Error>() => invalid_regex(),
            None => internal(),
        },
        _ => internal(),
    }
}

fn value_fault(text: &str) -> Fault {
    if text.contains("overflow") || text.contains("out of range") || text.contains("too large") || text.contains("can't be represented") {
        return Fault::new(ErrorKind::OutOfRange, "value out of range").with_detail(sentence(&tidy(text)));
    }
    if let (Some(value), Some(target)) = (between(text, "Cannot cast string '", "' to"), text.rsplit("value of ").next()) {
        let target = target.trim_end_matches(" type");
        return Fault::new(ErrorKind::InvalidText, format!("invalid input syntax for type {}: \"{value}\"", sql_type(target)));
    }
    Fault::new(ErrorKind::InvalidText, "invalid input syntax").with_detail(sentence(&tidy(text)))
}

fn execution_fault(text: &str) -> Fault {
    let lower = text.to_ascii_lowercase();
    if lower.contains("divide by zero") || lower.contains("division by zero") {
        Fault::new(ErrorKind::DivisionByZero, "division by zero")
    } else if lower.contains("overflow") || lower.contains("out of range") {
        Fault::new(ErrorKind::OutOfRange, "value out of range")
    } else if lower.contains("more than one row") {
        Fault::new(ErrorKind::Cardinality, "more than one row returned by a subquery used as an expression")
    } else if lower.contains("regex") || lower.contains("regular expression") {
        invalid_regex()
    } else if lower.contains("parsing") || lower.contains("parse") || lower.contains("invalid") {
        Fault::new(ErrorKind::InvalidText, "invalid input").with_detail(sentence(&tidy(text)))
    } else {
        Fault::new(ErrorKind::InvalidParameter, "a function cannot be computed").with_detail(sentence(&tidy(text)))
    }
}

/// Arrow's type as PostgreSQL calls it.
fn sql_type(arrow: &str) -> String {
    let name = match arrow.trim() {
        "Int16" => "smallint",
        "Int32" => "integer",
        "Int64" => "bigint",
        "Float32" => "real",
        "Float64" => "double precision",
        "Boolean" => "boolean",
        "Date32" => "date",
        other if other.starts_with("Timestamp") => "timestamp",
        other if other.starts_with("Decimal") => "numeric",
        other => return other.to_lowercase(),
    };
    name.to_owned()
}

/// Where the engine says the fault is. One line or many: only the first line's column is a position on its own.
fn position_of(error: &DataFusionError) -> Option<usize> {
    match error {
        DataFusionError::Diagnostic(diagnostic, _) => span_start(diagnostic),
        DataFusionError::Context(_, inner) => position_of(inner),
        DataFusionError::Collection(errors) => errors.first().and_then(position_of),
        _ => None,
    }
}

fn span_start(diagnostic: &Diagnostic) -> Option<usize> {
    let span = diagnostic.span?;
    (span.start.line == 1).then(|| usize::try_from(span.start.column).ok()).flatten()
}

/// What lies between two texts.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

/// The first line, capped, without the engine's headings, in lower case at the start.
fn tidy(text: &str) -> String {
    const MAX: usize = 300;
    let line = text.lines().next().unwrap_or_default();
    let line = ["Error during planning: ", "Execution error: ", "Arrow error: ", "Cast error: ", "Parser error: "]
        .into_iter()
        .fold(line, |line, heading| line.strip_prefix(heading).unwrap_or(line));
    let mut chars = line.chars().take(MAX);
    chars.next().map(|first| first.to_lowercase().chain(chars).collect::<String>()).unwrap_or_default().trim_end_matches('.').to_owned()
}

/// A fragment as a sentence.
fn sentence(fragment: &str) -> String {
    let mut chars = fragment.chars();
    let start: String = chars.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    format!("{start}{}.", chars.as_str())
}
