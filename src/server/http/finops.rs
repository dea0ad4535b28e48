//! `/finops/costs`: reports for programs, with the rows that `finops.monthly_costs` has for the caller.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use clap::ValueEnum;
use serde::Deserialize;

use super::caller::Caller;
use super::{Context, Refusal};
use crate::error::{ErrorKind, Fault, Result};
use crate::metering::report::{By, Span};
use crate::metering::{Month, Sheet};
use crate::system::finops::costs;

pub(super) fn routes() -> Router<Context> {
    Router::new().route("/finops/costs", get(report))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    month: Option<String>,
    from: Option<String>,
    to: Option<String>,
    by: Option<String>,
    format: Option<String>,
}

async fn report(State(context): State<Context>, caller: Caller, asked: Result<Query<Asked>, QueryRejection>) -> Result<Response, Refusal> {
    let known = "the parameters are \"month\", or \"from\" and \"to\", \"by\" and \"format\"";
    let Query(asked) = asked.map_err(|_| wrong(known))?;
    let (principal, journal) = (Arc::clone(caller.session.principal()), context.watched.journal.clone());
    let (span, by, csv) = (span(&asked, Month::of(journal.now()))?, by(asked.by.as_deref())?, is_csv(asked.format.as_deref())?);
    let sheet = tokio::task::spawn_blocking(move || costs(&principal, &journal, span, by)).await.map_err(Fault::internal)??;
    let (kind, text) = if csv {
        ("text/csv; charset=utf-8; header=present", as_csv(&sheet)?)
    } else {
        ("application/json", sheet.json().to_string().into_bytes())
    };
    // Whose it is depends on who asks.
    Ok(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")], text).into_response())
}

fn wrong(what: &str) -> Fault {
    Fault::new(ErrorKind::InvalidParameter, what)
}

fn span(asked: &Asked, now: Month) -> Result<Span> {
    let month = |text: &Option<String>| {
        text.as_ref().map(|text| text.parse::<Month>()).transpose().map_err(|_| wrong("a month is written as 2026-11"))
    };
    match (month(&asked.month)?, month(&asked.from)?, month(&asked.to)?) {
        (month, None, None) => Ok(Span::of(month.unwrap_or(now))),
        (None, Some(from), to) if to.is_none_or(|to| to >= from) => Ok(Span { from, to: to.unwrap_or(now.max(from)) }),
        _ => Err(wrong("give either \"month\", or \"from\" and perhaps a \"to\" that is not before it")),
    }
}

fn by(asked: Option<&str>) -> Result<By> {
    let words = || By::value_variants().iter().map(|by| by.word()).collect::<Vec<_>>().join(", ");
    let found = |word: &str| By::value_variants().iter().copied().find(|by| by.word() == word);
    asked.map_or(Ok(By::Domain), |word| found(word).ok_or_else(|| wrong(&format!("\"by\" is one of: {}", words()))))
}

fn is_csv(asked: Option<&str>) -> Result<bool> {
    match asked {
        None | Some("json") => Ok(false),
        Some("csv") => Ok(true),
        Some(_) => Err(wrong("\"format\" is one of: json, csv")),
    }
}

fn as_csv(sheet: &Sheet) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    sheet.csv(&mut text).map_err(Fault::internal)?;
    Ok(text)
}
