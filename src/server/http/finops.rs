//! `/finops/costs`: reports for programs, with the rows that `finops.monthly_costs` has for the caller. `/finops/overrides`: raising a budget or
//! limit; who may is `metering`'s to say.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::ValueEnum;
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{product_id, time};
use super::body::{Answer, Body};
use super::caller::Caller;
use super::{Context, Refusal};
use crate::catalog::{amount, bytes};
use crate::error::{ErrorKind, Fault, Result};
use crate::id::DomainName;
use crate::metering::report::{By, Span};
use crate::metering::{Month, Override, Raised, Sheet, Wish};
use crate::system::finops::costs;

pub(super) fn routes() -> Router<Context> {
    Router::new().route("/finops/costs", get(report)).route("/finops/overrides", post(raise))
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

async fn raise(State(context): State<Context>, caller: Caller, body: Body) -> Answer {
    let fields = body.fields(&["domain", "product", "limit", "amount", "bytes", "reason"])?;
    let wish = Wish {
        consumer: fields
            .text("domain")?
            .map(|name| DomainName::new(name).map_err(|_| wrong("\"domain\" is no name of a domain")))
            .transpose()?,
        product: fields.text("product")?.map(product_id).transpose()?,
        limit: fields.text("limit")?.map(str::to_owned),
        amount: fields.text("amount")?.map(|text| amount(text).map_err(|why| wrong(&why))).transpose()?,
        bytes: fields.text("bytes")?.map(|text| bytes(text).map_err(|why| wrong(&why))).transpose()?,
        reason: fields.required("reason")?.to_owned(),
    };
    let (overrides, by) = (context.watched.overrides.clone(), Arc::clone(caller.session.principal()));
    let snapshot = context.door.gateway.catalog().current();
    let new = tokio::task::spawn_blocking(move || overrides.raise(&by, &snapshot, wish)).await.map_err(Fault::internal)??;
    Ok((StatusCode::CREATED, Json(shown(&new))))
}

fn shown(new: &Override) -> Value {
    let (consumer, product, limit, amount, currency, bytes) = match &new.raised {
        Raised::Budget { consumer, amount, currency } => (Some(consumer), None, None, Some(amount.to_string()), Some(currency), None),
        Raised::Limit { limit, consumer, product, bytes } => {
            (consumer.as_ref(), product.as_ref().map(ToString::to_string), Some(limit), None, None, Some(bytes))
        }
    };
    json!({
        "id": new.id,
        "domain": consumer,
        "product": product,
        "limit": limit,
        "amount": amount,
        "currency": currency,
        "bytes": bytes,
        "month": new.month.to_string(),
        "until": time(new.month.end()),
        "raised_by": new.raised_by,
        "raised_at": time(new.raised_at),
        "reason": new.reason,
    })
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
