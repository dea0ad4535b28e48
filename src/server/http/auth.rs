//! Who is calling, for the routes that ask: Basic or bearer.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::header;
use axum::http::request::Parts;

use super::Refusal;
use crate::error::{ErrorKind, Fault};
use crate::identity::{Credential, Identity, Principal};

/// A route that takes this is for known principals only.
#[derive(Debug, Clone)]
pub struct Authenticated(pub Arc<Principal>);

impl<S: Send + Sync> FromRequestParts<S> for Authenticated
where
    Identity: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let malformed = || Fault::new(ErrorKind::LoginMalformed, "malformed authorization header");
        let header = parts
            .headers
            .get(header::AUTHORIZATION)
            .ok_or_else(|| Fault::new(ErrorKind::LoginMalformed, "no authorization header").with_hint("Use Basic or Bearer."))?;
        let credential = Credential::from_authorization(header.to_str().map_err(|_| malformed())?)?;
        Ok(Self(Identity::from_ref(state).authenticate(&credential).await?))
    }
}
