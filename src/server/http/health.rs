//! `/healthz`, `/readyz`, `/metrics`.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;

use super::Context;

#[derive(Serialize)]
pub(super) struct Status {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<&'static str>,
}

/// The process answers.
pub(super) async fn healthz() -> impl IntoResponse {
    Json(Status { status: "ok", reasons: Vec::new() })
}

/// Whether a query sent now would be taken.
pub(super) async fn readyz(State(context): State<Context>) -> impl IntoResponse {
    let mut reasons = Vec::new();
    if context.door.draining.is_cancelled() {
        reasons.push("draining");
    }
    if !context.watched.journal.is_writable() {
        reasons.push("the usage journal cannot be written");
    }
    if context.watched.catalog.current().domains.is_empty() {
        reasons.push("the catalog has no domain");
    }
    match reasons.is_empty() {
        true => (StatusCode::OK, Json(Status { status: "ready", reasons })),
        false => (StatusCode::SERVICE_UNAVAILABLE, Json(Status { status: "not ready", reasons })),
    }
}

/// Prometheus' text format.
pub(super) async fn metrics(State(context): State<Context>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], context.door.metrics.render())
}
