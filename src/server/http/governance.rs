//! `/governance/policy-check`: what a query would be allowed, and why.

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::{Value, json};

use super::Context;
use super::body::{Answer, Body};
use super::caller::Caller;
use crate::error::{ErrorKind, Fault, Result};
use crate::id::PrincipalName;
use crate::policy::Permit;
use crate::query::Question;

pub(super) fn routes() -> Router<Context> {
    Router::new().route("/governance/policy-check", post(check))
}

async fn check(State(context): State<Context>, caller: Caller, body: Body) -> Answer {
    let fields = body.fields(&["principal", "product", "port", "purpose"])?;
    let (schema, product) = named(fields.required("product")?)?;
    let question = Question {
        principal: fields.text("principal")?.map(PrincipalName::new),
        schema,
        table: fields.text("port")?.map_or_else(|| product.clone(), |port| format!("{product}__{port}")),
        purpose: fields.text("purpose")?.filter(|purpose| !purpose.is_empty()).map(str::to_owned),
    };
    let finding = context.door.gateway.check(&caller.session, &question).await?;
    let product = &finding.target.product;
    let mut answer = json!({
        "principal": finding.principal,
        "product": product.id.to_string(),
        "version": product.version.to_string(),
        "port": finding.target.port().name,
        "purpose": question.purpose,
        "policy_revision": finding.policy_revision,
        "reasons": finding.reasons,
    });
    let outcome = match &finding.answer {
        Ok(permit) => permitted(permit),
        Err(fault) => json!({"decision": "deny", "sqlstate": fault.sqlstate(), "message": fault.message(), "hint": fault.hint()}),
    };
    if let (Some(answer), Value::Object(outcome)) = (answer.as_object_mut(), outcome) {
        answer.extend(outcome);
    }
    Ok((StatusCode::OK, Json(answer)))
}

fn permitted(permit: &Permit) -> Value {
    let masks: Vec<Value> = permit.masked().into_iter().map(|(column, mask)| json!({"column": column, "mask": mask.to_string()})).collect();
    json!({"decision": "permit", "row_filters": permit.filter_texts(), "masks": masks})
}

/// A product as SQL names it: `claims.claims_enriched`, `claims.claims_enriched_v1`.
fn named(text: &str) -> Result<(String, String)> {
    let parts = text.split_once('.').filter(|(schema, table)| is_name(schema) && is_name(table));
    let (schema, table) = parts.ok_or_else(|| Fault::new(ErrorKind::InvalidParameter, "\"product\" must be written as domain.product"))?;
    Ok((schema.to_owned(), table.to_owned()))
}

fn is_name(text: &str) -> bool {
    text.len() <= 200 && !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}
