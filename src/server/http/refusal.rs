//! Faults as HTTP says them: a status, and `{"error": {"code", "sqlstate", "message", "detail"?, "hint"?}}`.

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::error::{ErrorKind, Fault};

/// A fault on its way out.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    error: Body,
}

#[derive(Debug, Serialize)]
struct Body {
    code: &'static str,
    sqlstate: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        let codes = fault.kind().codes();
        let error = Body {
            code: codes.label,
            sqlstate: codes.sqlstate,
            message: fault.message().to_owned(),
            detail: fault.detail().map(str::to_owned),
            hint: fault.hint().map(str::to_owned),
        };
        Self { status: StatusCode::from_u16(codes.http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), error }
    }
}

impl Refusal {
    /// Whether somebody gave a wrong name, password or token.
    pub(super) fn is_failed_login(&self) -> bool {
        self.error.code == ErrorKind::Login.codes().label
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Envelope {
            error: Body,
        }
        let mut response = (self.status, Json(Envelope { error: self.error })).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"meshgate\", Bearer"));
        }
        response
    }
}

/// Nothing is at this path.
pub(super) async fn not_found(uri: Uri) -> Refusal {
    plain(StatusCode::NOT_FOUND, "NOT_FOUND", format!("there is nothing at {}", shown(uri.path())))
}

/// Something is at this path, but not for this method.
pub(super) async fn method_not_allowed(method: Method, uri: Uri) -> Refusal {
    plain(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", format!("{method} is not possible at {}", shown(uri.path())))
}

/// A refusal that no other door knows.
pub(super) fn plain(status: StatusCode, code: &'static str, message: String) -> Refusal {
    Refusal { status, error: Body { code, sqlstate: "0A000", message, detail: None, hint: None } }
}

fn shown(path: &str) -> String {
    path.chars().take(200).collect()
}
