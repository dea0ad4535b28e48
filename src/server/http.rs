//! The HTTP door: health, readiness and metrics for machines that watch the gateway, and the API of access, governance and costs.
//!
//! It stays open while the gateway drains, so that `/readyz` can say so, and closes when everything ends.

mod access;
mod auth;
mod body;
mod caller;
mod finops;
mod governance;
mod health;
mod refusal;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, FromRef};
use axum::routing::get;
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use self::caller::Peer;
use super::{Door, accept, tls};
use crate::catalog::Catalog;
use crate::identity::Identity;
use crate::metering::{Journal, Overrides, Protocol};

pub use auth::Authenticated;
pub use refusal::Refusal;

/// Bytes of a request's body.
const MAX_BODY: usize = 1 << 20;
/// Bytes of a request's head: hyper's own minimum is 8 KiB.
const MAX_HEAD: usize = 32 << 10;
/// From the end of everything until a connection is cut.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What `/readyz` asks, and `/finops` tells.
#[derive(Debug, Clone)]
pub struct Watched {
    /// Whether usage can be recorded.
    pub journal: Journal,
    /// What raises budgets and limits.
    pub overrides: Overrides,
    /// What exists.
    pub catalog: Catalog,
}

/// What the routes need.
#[derive(Debug, Clone)]
struct Context {
    door: Door,
    watched: Watched,
}

impl FromRef<Context> for Identity {
    fn from_ref(context: &Context) -> Self {
        context.door.identity.clone()
    }
}

fn routes(context: Context) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .merge(access::routes())
        .merge(governance::routes())
        .merge(finops::routes())
        .fallback(refusal::not_found)
        .method_not_allowed_fallback(refusal::method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(context)
}

/// Serves until the gateway ends.
pub async fn serve(listener: TcpListener, door: Door, watched: Watched) -> io::Result<()> {
    let tls = door.tls.as_ref().map(|tls| tokio_rustls::TlsAcceptor::from(tls::with_protocols(&tls.config, &[b"http/1.1"])));
    let connections = Arc::new(Semaphore::new(door.limits.connections));
    let tasks = TaskTracker::new();
    let routes = routes(Context { door: door.clone(), watched });
    let ending = door.ending.clone();
    while let Some(accepted) = ending.run_until_cancelled(accept::next(&listener, &connections)).await {
        let (stream, slot) = accepted?;
        let (door, tls) = (door.clone(), tls.clone());
        let routes = match stream.peer_addr() {
            Ok(peer) => routes.clone().layer(Extension(Peer(peer))),
            // It is gone already.
            Err(_) => continue,
        };
        tasks.spawn(async move {
            let _slot = slot;
            let _guard = door.metrics.connection(Protocol::Http);
            match tls {
                None => talk(stream, routes, &door).await,
                // A client that fails the handshake, or takes too long over it, is no concern of the night shift.
                Some(tls) => {
                    if let Ok(Ok(stream)) = tokio::time::timeout(door.limits.login_timeout, tls.accept(stream)).await {
                        talk(stream, routes, &door).await;
                    }
                }
            }
        });
    }
    tasks.close();
    if tokio::time::timeout(LAST_WORDS, tasks.wait()).await.is_err() {
        tracing::debug!(connections = tasks.len(), "http connections cut");
    }
    Ok(())
}

/// One connection, until either side ends it.
async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, routes: Router, door: &Door) {
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(door.limits.login_timeout).max_buf_size(MAX_HEAD);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = door.ending.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "http connection ended");
    }
}

#[cfg(test)]
mod tests;
