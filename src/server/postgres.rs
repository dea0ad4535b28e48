//! The PostgreSQL door: accepts connections, and hands them from floor to floor.
//!
//! `startup` and `login` let a client in, `connection` reads and orders its messages, `extended` and `statements` work on them, `portal`
//! keeps what outlives a message, `transaction` and `cancel` say what may run and what ends it, `params` and `encode` turn values in and
//! out, `wire` and `reply` are the bytes. What a query means is not here: all of them go through `query`.
//!
//! pgwire gives the messages and SCRAM; its server loop is not used (`docs/decisions/0002-own-postgres-loop.md` says why).

mod cancel;
mod connection;
pub mod encode;
mod extended;
mod login;
mod params;
mod portal;
mod reply;
mod startup;
mod statements;
mod transaction;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use self::cancel::{Registry, Signals};
use self::connection::Connection;
use self::login::{Login, Refusal, Socket, Terms};
use self::startup::Startup;
use self::wire::Frames;
use crate::error::{ErrorKind, Fault};
use crate::metering::Protocol;
use crate::query::Session;
use crate::server::Door;

/// Connections beyond the limit that are let in only to be told so, or to cancel.
const SPARE: usize = 32;

/// After an accept that failed, mostly for want of file descriptors.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Serves until the gateway drains. Connections that are open then go on in `door.tasks`.
pub async fn serve(listener: TcpListener, door: Door) -> std::io::Result<()> {
    let registry = Registry::default();
    let places = Places { sessions: Arc::new(Semaphore::new(door.limits.connections)), spare: Arc::new(Semaphore::new(SPARE)) };
    loop {
        let accepted = tokio::select! {
            biased;
            () = door.draining.cancelled() => return Ok(()),
            () = door.ending.cancelled() => return Ok(()),
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                let connection = Box::pin(connect(stream, peer, door.clone(), registry.clone(), place));
                door.tasks.spawn(connection);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

/// How many may come in.
struct Places {
    sessions: Arc<Semaphore>,
    spare: Arc<Semaphore>,
}

/// A connection's place, held until it ends.
#[derive(Debug)]
enum Place {
    Session { _permit: OwnedSemaphorePermit },
    Spare { _permit: OwnedSemaphorePermit },
}

/// Takes a place first: what waits, waits in the kernel.
async fn accept(listener: &TcpListener, places: &Places) -> std::io::Result<(TcpStream, SocketAddr, Place)> {
    let session = Arc::clone(&places.sessions).acquire_owned();
    let spare = Arc::clone(&places.spare).acquire_owned();
    let place = tokio::select! {
        biased;
        Ok(permit) = session => Place::Session { _permit: permit },
        Ok(permit) = spare => Place::Spare { _permit: permit },
        else => return Err(std::io::ErrorKind::ConnectionAborted.into()),
    };
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, peer, place))
}

/// One connection from its first byte to its last.
async fn connect(stream: TcpStream, peer: SocketAddr, door: Door, registry: Registry, place: Place) {
    let _guard = door.metrics.connection(Protocol::Postgres);
    let admitted = tokio::select! {
        biased;
        () = door.ending.cancelled() => return,
        admitted = tokio::time::timeout(door.limits.login_timeout, admit(stream, peer, &door, &registry, &place)) => admitted,
    };
    match admitted {
        Ok(Some((frames, startup, login))) => Box::pin(session(frames, startup, login, door, &registry)).await,
        Ok(None) => {}
        Err(_) => tracing::debug!(%peer, "login took too long"),
    }
}

/// Lets a client in, or tells it why not.
async fn admit(
    stream: TcpStream,
    peer: SocketAddr,
    door: &Door,
    registry: &Registry,
    place: &Place,
) -> Option<(Frames<Socket>, Startup, Login)> {
    let terms = Terms { tls: door.tls.as_ref().map(|tls| &tls.config), longest: door.limits.login_bytes };
    let mut opened = login::open(stream, peer, terms, registry).await.ok()?;
    let refusal = match opened.startup {
        Err(fault) => Refusal::Fatal(fault),
        Ok(_) if matches!(place, Place::Spare { .. }) => {
            Refusal::Fatal(Fault::new(ErrorKind::TooManyConnections, "sorry, too many clients already"))
        }
        Ok(_) if door.draining.is_cancelled() => Refusal::Fatal(cancel::shutting_down()),
        Ok(startup) if door.identity.takes_token_from(&startup.user) && !opened.private => {
            let fault = Fault::new(ErrorKind::LoginMalformed, "a token as the password requires TLS");
            Refusal::Fatal(fault.with_hint("Connect with sslmode=require."))
        }
        Ok(startup) => {
            let encrypted = matches!(opened.frames.get_mut(), Socket::Right(_));
            let binding = door.tls.as_ref().filter(|_| encrypted).and_then(|tls| tls.binding.as_ref());
            let rules = login::Rules { binding, longest: door.limits.login_bytes };
            match login::authenticate(&mut opened.frames, &startup, &door.identity, rules).await {
                Ok(login) => return Some((opened.frames, startup, login)),
                Err(refusal) => refusal,
            }
        }
    };
    if let Refusal::Fatal(fault) = refusal {
        match fault.kind() {
            ErrorKind::Login => door.metrics.login_failed(Protocol::Postgres),
            ErrorKind::TooManyConnections => door.metrics.connection_refused(Protocol::Postgres),
            _ => {}
        }
        tracing::info!(%peer, sqlstate = fault.sqlstate(), "login refused");
        login::refuse(&mut opened.frames, &fault).await;
    }
    None
}

/// The session of a client that is in.
async fn session(mut frames: Frames<Socket>, startup: Startup, login: Login, door: Door, registry: &Registry) {
    let session = Session::new(&door.gateway, login.principal, Protocol::Postgres);
    for (name, value) in &startup.settings {
        if let Err(fault) = session.settings().set_startup(name, value) {
            return login::refuse(&mut frames, &fault).await;
        }
    }
    let signals = Signals { gone: CancellationToken::new(), ending: door.ending.clone() };
    let registration = registry.register(login.minor >= 2);
    let (socket, buffered) = frames.into_parts();
    let (reader, writer) = tokio::io::split(socket);
    let (sender, inbox) = mpsc::unbounded_channel();
    let longest = door.limits.message_bytes;
    let reading = connection::read(Frames::from_parts(reader, buffered), sender, connection::room(longest), longest, signals.gone.clone());
    door.tasks.spawn(reading);
    Box::pin(Connection::new(door, session, writer, signals, registration).run(login.minor, inbox)).await;
}
