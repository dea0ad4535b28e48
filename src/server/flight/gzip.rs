//! gRPC's own compression of messages, by gzip.
//!
//! Results are better compressed as Arrow data (`meshgate.compression`). This is for channels that compress all that they send, and expect to
//! be answered in kind. An offer alone (`grpc-accept-encoding`) is not taken up: gRPC's libraries for C++, Python and Java make it in
//! every call, without anybody having asked, and every result would be the slower for it.
//!
//! A message does not say how long it is unpacked, so a stranger's is not unpacked: a few bytes would become megabytes. Handshake is open
//! to them nevertheless. Its credentials are in a header, and its messages are not read.

use std::task::{Context, Poll};

use futures::future::{Either, Ready, ready};
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;

use super::connection::ConnectionInfo;
use super::fault;

/// What is sent is compressed with this.
const SENT: &str = "grpc-encoding";
/// What may be sent back.
const ACCEPTED: &str = "grpc-accept-encoding";

const HANDSHAKE: &str = "/arrow.flight.protocol.FlightService/Handshake";

/// The service `S`, with the rules above kept.
#[derive(Debug, Clone)]
pub(super) struct Gzip<S>(pub(super) S);

impl<S: NamedService> NamedService for Gzip<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Gzip<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<S::Response, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let compressed = request.headers().get(SENT).is_some_and(|encoding| encoding != "identity");
        if !compressed {
            request.headers_mut().remove(ACCEPTED);
        } else if is_strangers(&request) && request.uri().path() != HANDSHAKE {
            let fault = fault::unsupported("compressed messages are not read before a login").with_hint("Call Handshake first.");
            return Either::Right(ready(Ok(fault::status(fault).into_http())));
        }
        Either::Left(self.0.call(request))
    }
}

/// Whether nobody has logged in on the connection of a request.
fn is_strangers(request: &http::Request<Body>) -> bool {
    request.extensions().get::<ConnectionInfo>().is_none_or(|connection| !connection.login.is_done())
}
