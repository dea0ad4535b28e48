//! What clients send: a JSON object of bounded size, whose keys are all known.

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use serde_json::{Map, Value};

use super::{Context, Refusal, refusal};
use crate::config::unknown;
use crate::error::{ErrorKind, Fault};

/// Bytes of a body: a few texts of at most a thousand characters.
const MAX_BODY: usize = 16 << 10;

/// A JSON object as it came. No body at all is an empty one.
#[derive(Debug)]
pub(super) struct Body(Map<String, Value>);

/// The values of an object that has no other keys than these.
#[derive(Debug)]
pub(super) struct Fields(Map<String, Value>);

impl FromRequest<Context> for Body {
    type Rejection = Refusal;

    async fn from_request(request: Request, context: &Context) -> Result<Self, Refusal> {
        let json = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(is_json);
        let reading = tokio::time::timeout(context.door.limits.login_timeout, to_bytes(request.into_body(), super::MAX_BODY));
        let bytes = match reading.await {
            Ok(Ok(bytes)) if bytes.len() <= MAX_BODY => bytes,
            // Somewhat too long is read to its end, so that whoever sends it hears why.
            Ok(_) => return Err(Fault::new(ErrorKind::ProgramLimit, format!("the body is longer than {MAX_BODY} bytes")).into()),
            Err(_) => return Err(refusal::plain(StatusCode::REQUEST_TIMEOUT, "TIMEOUT", "the body did not come in time".to_owned())),
        };
        if bytes.is_empty() {
            return Ok(Self(Map::new()));
        }
        // Also so that no web page can make a browser send one: a form cannot say this.
        if !json {
            let message = "the body must be JSON, and the header Content-Type must say application/json".to_owned();
            return Err(refusal::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message));
        }
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(object)) => Ok(Self(object)),
            Ok(_) => Err(Fault::new(ErrorKind::InvalidText, "the body is JSON, but not an object").into()),
            Err(error) => {
                let place = format!("the body is not JSON: line {}, column {}", error.line(), error.column());
                Err(Fault::new(ErrorKind::InvalidText, place).into())
            }
        }
    }
}

fn is_json(content_type: &str) -> bool {
    content_type.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
}

impl Body {
    /// Its fields, if it has no others than `known`.
    pub(super) fn fields(self, known: &[&str]) -> Result<Fields, Fault> {
        match self.0.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(Fault::new(ErrorKind::InvalidParameter, unknown("key", key, "", known))),
            None => Ok(Fields(self.0)),
        }
    }
}

impl Fields {
    /// A text that may be missing; `null` is missing.
    pub(super) fn text(&self, key: &str) -> Result<Option<&str>, Fault> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Fault::new(ErrorKind::InvalidParameter, format!("\"{key}\" must be a text"))),
        }
    }

    /// A text that must be there.
    pub(super) fn required(&self, key: &str) -> Result<&str, Fault> {
        self.text(key)?.ok_or_else(|| Fault::new(ErrorKind::InvalidParameter, format!("\"{key}\" is missing")))
    }
}

/// An answer in JSON.
pub(super) type Answer = Result<(StatusCode, Json<Value>), Refusal>;
