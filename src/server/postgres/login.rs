//! From the first byte to an authenticated client: TLS, startup packet, SCRAM-SHA-256, or a token where the user name says so.
//!
//! Nothing here runs a statement, and nothing here goes on after an error: every fault is FATAL and ends the connection. Before the
//! login only the expected message is read, and its announced length is checked before its bytes are.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pgwire::api::auth::sasl::scram::{ScramSecret, ScramServerAuth};
use pgwire::messages::startup::{Authentication, NegotiateProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::cancel::Registry;
use super::reply::{self, Severity};
use super::startup::{self, Packet, Startup};
use super::wire::{FrameError, Frames, Reader};
use crate::error::{ErrorKind, Fault};
use crate::id::PrincipalName;
use crate::identity::{Identity, Principal};

/// A client's connection, encrypted or not.
pub type Socket = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// The protocol that direct TLS must name.
const ALPN: &[u8] = b"postgresql";

/// The mechanism of every connection.
const MECHANISM: &str = "SCRAM-SHA-256";
/// The same, bound to the TLS channel by the gateway's certificate (RFC 5929, `tls-server-end-point`): whoever stands between with another
/// certificate cannot pass the proof on.
const BOUND: &str = "SCRAM-SHA-256-PLUS";

/// Why nobody is logged in.
#[derive(Debug)]
pub enum Refusal {
    /// Nothing to say: a cancel request, or a client that left.
    Silent,
    /// Tell the client, then close.
    Fatal(Fault),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fatal(fault)
    }
}

impl From<FrameError> for Refusal {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Closed => Self::Silent,
            FrameError::Broken(fault) => Self::Fatal(fault),
        }
    }
}

impl From<std::io::Error> for Refusal {
    fn from(_: std::io::Error) -> Self {
        Self::Silent
    }
}

/// Where the negotiation of encryption ended.
#[derive(Debug)]
pub struct Opened {
    /// The connection from here on.
    pub frames: Frames<Socket>,
    /// The startup packet, or the fault to be told over the connection.
    pub startup: Result<Startup, Fault>,
    /// Whether nobody else reads what is sent: by TLS, or because it does not leave this machine.
    pub private: bool,
}

/// What a connection may be before its client is known.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// TLS, where it is set up; then it is required of all but this machine.
    pub tls: Option<&'a Arc<rustls::ServerConfig>>,
    /// Bytes of a packet.
    pub longest: usize,
}

/// Negotiates encryption and reads the startup packet. Handles CancelRequests, which end the connection.
pub async fn open(stream: TcpStream, peer: SocketAddr, terms: Terms<'_>, registry: &Registry) -> Result<Opened, Refusal> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Err(Refusal::Silent);
    }
    let mut frames = match (terms.tls, first) {
        (Some(tls), [0x16]) => Frames::new(Either::Right(direct_tls(stream, tls).await?)),
        _ => Frames::new(Either::Left(stream)),
    };
    let mut asked = (false, false);
    let here = peer.ip().to_canonical().is_loopback();
    loop {
        let packet = frames.startup(startup::LONGEST.min(terms.longest)).await;
        match packet.map_err(Refusal::from).and_then(|packet| startup::parse(packet).map_err(Refusal::from)) {
            Ok(Packet::Ssl) if !asked.0 && matches!(frames.get_mut(), Either::Left(_)) => {
                asked.0 = true;
                frames = answer_ssl(frames, terms.tls).await?;
            }
            Ok(Packet::Gss) if !asked.1 => {
                asked.1 = true;
                frames.get_mut().write_all(b"N").await?;
            }
            Ok(Packet::Ssl | Packet::Gss) => {
                let fault = Fault::new(ErrorKind::Protocol, "unsupported frontend protocol: encryption was negotiated already");
                return Ok(Opened { frames, startup: Err(fault), private: false });
            }
            Ok(Packet::Cancel { pid, key }) => {
                registry.cancel(pid, &key);
                return Err(Refusal::Silent);
            }
            Ok(Packet::Startup(startup)) => {
                let clear = matches!(frames.get_mut(), Either::Left(_));
                let startup = if clear && terms.tls.is_some() && !here {
                    Err(Fault::new(ErrorKind::LoginMalformed, "connection requires TLS").with_hint("Connect with sslmode=require."))
                } else {
                    Ok(startup)
                };
                return Ok(Opened { frames, startup, private: here || !clear });
            }
            Err(Refusal::Fatal(fault)) => return Ok(Opened { frames, startup: Err(fault), private: false }),
            Err(Refusal::Silent) => return Err(Refusal::Silent),
        }
    }
}

async fn direct_tls(stream: TcpStream, tls: &Arc<rustls::ServerConfig>) -> Result<Box<TlsStream<TcpStream>>, Refusal> {
    let stream = accept_tls(stream, tls).await?;
    // Without it, a TLS client of another protocol could be led here.
    if stream.get_ref().1.alpn_protocol() == Some(ALPN) { Ok(stream) } else { Err(Refusal::Silent) }
}

async fn accept_tls(stream: TcpStream, tls: &Arc<rustls::ServerConfig>) -> Result<Box<TlsStream<TcpStream>>, Refusal> {
    let mut config = rustls::ServerConfig::clone(tls);
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Box::new(tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(stream).await?))
}

/// Answers an SSLRequest. What came in clear after it is never looked at: it could be anybody's (CVE-2021-23214), so it ends the
/// connection.
async fn answer_ssl(frames: Frames<Socket>, tls: Option<&Arc<rustls::ServerConfig>>) -> Result<Frames<Socket>, Refusal> {
    let (socket, buffered) = frames.into_parts();
    let Either::Left(mut stream) = socket else { return Err(Refusal::Silent) };
    let Some(tls) = tls else {
        stream.write_all(b"N").await?;
        return Ok(Frames::from_parts(Either::Left(stream), buffered));
    };
    if !buffered.is_empty() || matches!(stream.try_read(&mut [0]), Ok(1..)) {
        let fault = Fault::new(ErrorKind::Protocol, "received unencrypted data after SSL request")
            .with_detail("This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.");
        tracing::warn!("unencrypted data after an SSL request");
        let mut bytes = Vec::new();
        reply::put(&mut bytes, &reply::error(&fault, Severity::Fatal));
        let _ = stream.write_all(&bytes).await;
        return Err(Refusal::Silent);
    }
    stream.write_all(b"S").await?;
    Ok(Frames::new(Either::Right(accept_tls(stream, tls).await?)))
}

/// Who a client proved to be.
#[derive(Debug)]
pub struct Login {
    /// Who.
    pub principal: Arc<Principal>,
    /// The protocol's minor version.
    pub minor: i32,
}

/// How a login goes.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// What binds it to the channel, where there is one to be bound to.
    pub binding: Option<&'a ScramServerAuth>,
    /// Bytes of a message.
    pub longest: usize,
}

/// Authenticates, and checks the database. The client is not told yet that it is in.
pub async fn authenticate<S>(frames: &mut Frames<S>, startup: &Startup, identity: &Identity, rules: Rules<'_>) -> Result<Login, Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (minor, tell) = startup.negotiate();
    let mut out = Vec::new();
    if tell {
        reply::put(&mut out, &NegotiateProtocolVersion::new(startup::version(minor), startup.unknown.clone()));
    }
    let takes_token = identity.takes_token_from(&startup.user);
    let mechanisms = || rules.binding.map(|_| BOUND).into_iter().chain([MECHANISM]).map(str::to_owned).collect();
    reply::put(&mut out, &if takes_token { Authentication::CleartextPassword } else { Authentication::SASL(mechanisms()) });
    send(frames, &out).await?;
    let principal = match takes_token {
        true => token(frames, &startup.user, identity, rules.longest).await?,
        false => scram(frames, &startup.user, identity, rules).await?,
    };
    if !matches!(startup.database.as_str(), "" | "mesh") {
        let fault = Fault::new(ErrorKind::UndefinedDatabase, format!("database \"{}\" does not exist", startup.database));
        return Err(fault.with_hint("The database is called \"mesh\".").into());
    }
    Ok(Login { principal, minor })
}

/// A token as the password. Only one user name asks for it, whoever exists: so it says nothing of who does.
async fn token<S>(frames: &mut Frames<S>, user: &str, identity: &Identity, longest: usize) -> Result<Arc<Principal>, Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let token = Reader(password_message(frames, longest).await?).text()?;
    identity.verify_token(&token).await.ok_or_else(|| Identity::refused(user).into())
}

/// SCRAM-SHA-256. An unknown user goes through the same steps with a made-up verifier, and fails where a wrong password does.
async fn scram<S>(frames: &mut Frames<S>, user: &str, identity: &Identity, rules: Rules<'_>) -> Result<Arc<Principal>, Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut first = Reader(password_message(frames, rules.longest).await?);
    let bound = match first.text()?.as_str() {
        MECHANISM => false,
        BOUND if rules.binding.is_some() => true,
        _ => return Err(Fault::new(ErrorKind::Protocol, "client selected an invalid SASL authentication mechanism").into()),
    };
    let length = usize::try_from(first.i32()?).map_err(|_| malformed())?;
    let client_first = first.take(length)?;
    if client_first.starts_with(b"p=") != bound {
        return Err(malformed().into());
    }
    let verifier = identity.scram_verifier(user);
    let secret = ScramSecret::Verifier {
        salt: verifier.salt,
        iterations: usize::try_from(verifier.iterations).unwrap_or(4096),
        stored_key: verifier.stored_key.to_vec(),
        server_key: verifier.server_key.to_vec(),
    };
    // One that says that it would have bound the login, had it been told how, was not told what was sent.
    let scram = rules.binding.cloned().unwrap_or_default();
    let exchange = scram.on_client_first_message_with_secret(&client_first, secret);
    let (server_first, exchange) = exchange.map_err(|_| malformed())?;
    let mut out = Vec::new();
    reply::put(&mut out, &Authentication::SASLContinue(server_first.into()));
    send(frames, &out).await?;
    let client_final = password_message(frames, rules.longest).await?;
    let proven = exchange.on_client_final_message(&client_final);
    let principal = identity.lookup(&PrincipalName::new(user));
    match (proven, principal) {
        (Ok(server_final), Some(principal)) if verifier.known => {
            out.clear();
            reply::put(&mut out, &Authentication::SASLFinal(server_final.into()));
            send(frames, &out).await?;
            Ok(principal)
        }
        _ => Err(Identity::refused(user).into()),
    }
}

fn malformed() -> Fault {
    Fault::new(ErrorKind::Protocol, "malformed SCRAM message")
}

/// The body of the only message that is expected.
async fn password_message<S: AsyncRead + Unpin>(frames: &mut Frames<S>, longest: usize) -> Result<bytes::Bytes, Refusal> {
    let (kind, length) = frames.header().await?;
    if kind != b'p' {
        return Err(Fault::new(ErrorKind::Protocol, format!("expected SASL response, got message type {kind}")).into());
    }
    if length > longest {
        return Err(Fault::new(ErrorKind::Protocol, "invalid message length").into());
    }
    Ok(frames.body(kind, length).await?.body)
}

async fn send<S: AsyncRead + AsyncWrite + Unpin>(frames: &mut Frames<S>, bytes: &[u8]) -> Result<(), Refusal> {
    frames.get_mut().write_all(bytes).await?;
    Ok(frames.get_mut().flush().await?)
}

/// How much of what a refused client still sends is read, and for how long, so that the fault reaches it and not a reset.
const LINGER: (u64, Duration) = (64 << 10, Duration::from_millis(250));

/// Tells a client why it is refused. What it has sent meanwhile is thrown away unread.
pub async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(frames: &mut Frames<S>, fault: &Fault) {
    let mut out = Vec::new();
    reply::put(&mut out, &reply::error(fault, Severity::Fatal));
    if send(frames, &out).await.is_ok() && frames.get_mut().shutdown().await.is_ok() {
        let mut rest = frames.get_mut().take(LINGER.0);
        let _ = tokio::time::timeout(LINGER.1, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
#[path = "../../fuzz/scram.rs"]
mod fuzz;
