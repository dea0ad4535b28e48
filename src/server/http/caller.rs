//! Who calls the API: authenticated, with the session that the engine knows them by. Failed logins are counted and logged, as at the other doors.

use std::net::SocketAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::{Authenticated, Context, Refusal};
use crate::metering::Protocol;
use crate::query::Session;

/// Where a connection comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub SocketAddr);

/// A route that takes this is for known principals only.
#[derive(Debug)]
pub(super) struct Caller {
    pub session: Session,
}

impl FromRequestParts<Context> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, Refusal> {
        match Authenticated::from_request_parts(parts, context).await {
            Ok(Authenticated(principal)) => Ok(Self { session: Session::new(&context.door.gateway, principal, Protocol::Http) }),
            Err(refusal) => {
                if refusal.is_failed_login() {
                    context.door.metrics.login_failed(Protocol::Http);
                    let peer = parts.extensions.get::<Peer>().map(|Peer(peer)| peer.to_string());
                    tracing::info!(peer, "HTTP login failed");
                }
                Err(refusal)
            }
        }
    }
}
