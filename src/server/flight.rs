//! The Arrow Flight door: Flight SQL, and plain Flight with SQL text as the command.
//!
//! The door only decodes and encodes. A call says who asks (`login`), what is asked (`asked`), and is answered from the pipeline of
//! `query` (`statement`, `prepared`) or from the catalog that its principal may see (`metadata`). Everything that a client is given to
//! bring back - tickets, prepared statements, sessions - is a sealed request without any right in it (`sealed`): it is authorised when
//! it is used, so nothing has to be remembered here, and a revoked grant bites.
//!
//! `arrow_flight`'s `FlightSqlService` is not used: it fixes GetSchema, ListFlights and PollFlightInfo as unimplemented, and it decodes
//! before the door knows who asks.

mod asked;
mod cancel;
mod columns;
mod connection;
mod fault;
mod gzip;
mod login;
mod metadata;
mod prepared;
mod sealed;
mod server_info;
mod service;
mod session;
mod statement;

use std::io;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;

use crate::server::Door;

use self::cancel::Running;
use self::connection::Acceptor;
use self::gzip::Gzip;

/// The only catalog.
const CATALOG: &str = "mesh";

/// Largest request message. Results are not bound by it: they are split (see [`statement`]).
const MAX_REQUEST: usize = 4 << 20;

/// Largest header list of a request: a bearer token, a session and what proxies add.
const MAX_HEADERS: u32 = 64 << 10;

/// Calls at once on one connection.
const MAX_STREAMS: u32 = 128;

/// How often an idle connection is asked whether it still lives, and how long it may take to answer.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(20));

/// Between telling running queries to end and cutting connections whose clients do not read that.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The service. Cheap to clone; shared by all calls.
#[derive(Debug, Clone)]
struct Flight {
    door: Door,
    running: Running,
}

/// Serves Flight on `listener` until the door drains and its last call is over, or the door ends.
pub async fn serve(listener: TcpListener, door: Door) -> io::Result<()> {
    let cut = CancellationToken::new();
    let _cut_when_dropped = cut.clone().drop_guard();
    let incoming = Acceptor::start(listener, &door, &cut);
    let flight = Flight { door: door.clone(), running: Running::default() };
    // Bound by its size unpacked.
    let service = FlightServiceServer::new(flight)
        .max_decoding_message_size(MAX_REQUEST)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);
    let server = Server::builder()
        .max_concurrent_streams(Some(MAX_STREAMS))
        .http2_max_header_list_size(Some(MAX_HEADERS))
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1))
        .add_service(Gzip(service))
        .serve_with_incoming_shutdown(incoming, door.draining.clone().cancelled_owned());
    let cutter = async {
        door.ending.cancelled().await;
        tokio::time::sleep(LAST_WORDS).await;
        cut.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        served = server => served.map_err(io::Error::other),
        () = cutter => Ok(()),
    }
}

impl Flight {
    /// Refuses new work while the gateway drains.
    fn admit(&self) -> crate::error::Result<()> {
        if self.door.draining.is_cancelled() || self.door.ending.is_cancelled() { Err(fault::shutting_down()) } else { Ok(()) }
    }
}
