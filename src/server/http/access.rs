//! `/access-requests` and `/grants`: asking for access, deciding on it, ending it. What is allowed is `access`'s to say.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{Answer, Body};
use super::caller::Caller;
use super::{Context, Refusal};
use crate::access::{Access, AccessRequest, Grant, Status, Term, Wish};
use crate::catalog::{Snapshot, duration};
use crate::error::{ErrorKind, Fault, Result};
use crate::id::{DomainName, ProductId, ProductName};
use crate::identity::Principal;

pub(super) fn routes() -> Router<Context> {
    Router::new()
        .route("/access-requests", get(list).post(ask))
        .route("/access-requests/{id}", delete(withdraw))
        .route("/access-requests/{id}/approve", post(approve))
        .route("/access-requests/{id}/reject", post(reject))
        .route("/grants/{id}", delete(revoke))
}

/// The id in a path; what is no id is that of nothing.
type Id = Result<Path<String>, PathRejection>;

fn id_of<T: std::str::FromStr>(path: Id, what: &str) -> Result<T> {
    let text = path.map(|Path(text)| text).unwrap_or_default();
    let shown: String = text.chars().filter(|c| !c.is_control()).take(64).collect();
    text.parse().map_err(|_| Fault::new(ErrorKind::NotFound, format!("there is no {what} {shown}")))
}

async fn ask(State(context): State<Context>, caller: Caller, body: Body) -> Answer {
    let fields = body.fields(&["product", "purpose", "reason", "expires"])?;
    let id = product_id(fields.required("product")?)?;
    let (purpose, reason) = (fields.text("purpose")?.map(str::to_owned), fields.required("reason")?.to_owned());
    let term = term(fields.required("expires")?)?;
    let product = context.door.gateway.known_product(&caller.session, &id)?;
    let ask =
        move |access: Access, by: Arc<Principal>, _: Arc<Snapshot>| access.ask(&by, Wish { product: &product, purpose, reason, term });
    let request = blocking(&context, &caller, ask).await?;
    Ok((StatusCode::CREATED, Json(shown_request(&request))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    status: Option<String>,
}

async fn list(State(context): State<Context>, caller: Caller, filter: Result<Query<Filter>, QueryRejection>) -> Answer {
    let wrong = |_| Fault::new(ErrorKind::InvalidParameter, "the only parameter of this list is \"status\"");
    let Query(filter) = filter.map_err(wrong)?;
    let status = filter.status.map(|label| Status::of(&label).ok_or_else(no_such_status)).transpose()?;
    let requests = blocking(&context, &caller, move |access, by, snapshot| access.requests(&by, &snapshot, status)).await?;
    Ok((StatusCode::OK, Json(json!({"access_requests": requests.iter().map(shown_request).collect::<Vec<_>>()}))))
}

fn no_such_status() -> Fault {
    let all: Vec<&str> = Status::ALL.iter().map(|status| status.label()).collect();
    Fault::new(ErrorKind::InvalidParameter, format!("\"status\" is one of: {}", all.join(", ")))
}

async fn approve(State(context): State<Context>, caller: Caller, id: Id, body: Body) -> Answer {
    let (id, reason) = (id_of(id, "access request")?, body.fields(&["reason"])?.required("reason")?.to_owned());
    let grant = blocking(&context, &caller, move |access, by, snapshot| access.approve(id, &by, &snapshot, &reason)).await?;
    Ok((StatusCode::OK, Json(shown_grant(&grant))))
}

async fn reject(State(context): State<Context>, caller: Caller, id: Id, body: Body) -> Answer {
    let (id, reason) = (id_of(id, "access request")?, body.fields(&["reason"])?.required("reason")?.to_owned());
    let request = blocking(&context, &caller, move |access, by, snapshot| access.reject(id, &by, &snapshot, &reason)).await?;
    Ok((StatusCode::OK, Json(shown_request(&request))))
}

async fn withdraw(State(context): State<Context>, caller: Caller, id: Id, body: Body) -> Answer {
    body.fields(&[])?;
    let id = id_of(id, "access request")?;
    let request = blocking(&context, &caller, move |access, by, snapshot| access.withdraw(id, &by, &snapshot)).await?;
    Ok((StatusCode::OK, Json(shown_request(&request))))
}

async fn revoke(State(context): State<Context>, caller: Caller, id: Id, body: Body) -> Result<StatusCode, Refusal> {
    let (id, reason) = (id_of(id, "grant")?, body.fields(&["reason"])?.text("reason")?.map(str::to_owned));
    blocking(&context, &caller, move |access, by, snapshot| access.revoke(id, &by, &snapshot, reason.as_deref())).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Runs what waits for the disk where nobody else waits for it.
async fn blocking<T: Send + 'static>(
    context: &Context,
    caller: &Caller,
    work: impl FnOnce(Access, Arc<Principal>, Arc<Snapshot>) -> Result<T> + Send + 'static,
) -> Result<T> {
    let gateway = &context.door.gateway;
    let (access, snapshot, by) = (gateway.access().clone(), gateway.catalog().current(), Arc::clone(caller.session.principal()));
    tokio::task::spawn_blocking(move || work(access, by, snapshot)).await.map_err(Fault::internal)?
}

/// `claims.claims_enriched`.
pub(super) fn product_id(text: &str) -> Result<ProductId> {
    let parts = text.split_once('.').and_then(|(domain, product)| Some((DomainName::new(domain).ok()?, ProductName::new(product).ok()?)));
    let (domain, product) =
        parts.ok_or_else(|| Fault::new(ErrorKind::InvalidParameter, "\"product\" must be written as domain.product"))?;
    Ok(ProductId { domain, product })
}

/// `30d`, or a time with its zone.
fn term(text: &str) -> Result<Term> {
    let until = DateTime::parse_from_rfc3339(text).map(|until| Term::Until(until.with_timezone(&Utc)));
    until.or_else(|_| duration(text).map(Term::For)).map_err(|_| {
        Fault::new(ErrorKind::InvalidParameter, "\"expires\" is neither a duration nor a time")
            .with_hint("Write \"30d\" or \"12h\", counted from the approval, or a time with its zone: \"2026-12-31T18:00:00Z\".")
    })
}

pub(super) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn shown_request(request: &AccessRequest) -> Value {
    json!({
        "id": request.id.to_string(),
        "principal": request.principal,
        "consumer_domain": request.domain,
        "product": request.product.to_string(),
        "purpose": request.purpose,
        "reason": request.reason,
        "requested_at": time(request.requested_at),
        "expires": request.term.to_string(),
        "status": request.status.label(),
        "decided_by": request.decided_by,
        "decided_at": request.decided_at.map(time),
        "decision_reason": request.decision_reason,
    })
}

fn shown_grant(grant: &Grant) -> Value {
    json!({
        "id": grant.id.to_string(),
        "request_id": grant.request_id.to_string(),
        "principal": grant.principal,
        "consumer_domain": grant.domain,
        "product": grant.product.to_string(),
        "purpose": grant.purpose,
        "reason": grant.reason,
        "granted_by": grant.granted_by,
        "granted_at": time(grant.granted_at),
        "expires_at": time(grant.expires_at),
    })
}
