//! Connections: accepted, counted, and bounded until somebody has logged in.
//!
//! gRPC authenticates calls, not connections, so the bounds on strangers are kept here, below it: a connection on which no call has been
//! authenticated may send only so many bytes, and is closed when its time is up.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::Stream;
use futures::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::transport::server::Connected;

use crate::metering::Protocol;
use crate::server::Door;
use crate::server::tls::with_protocols;
use crate::telemetry::ConnectionGuard;

/// Pause after a failed accept: it is likely to fail again at once (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections that are ready and not yet served.
const READY: usize = 16;

/// The connections as the server takes them.
#[derive(Debug)]
pub(super) struct Acceptor {
    ready: mpsc::Receiver<Connection>,
}

impl Acceptor {
    /// Accepts connections until the door drains. TLS handshakes run side by side, so a slow one holds up nobody.
    pub(super) fn start(listener: TcpListener, door: &Door, cut: &CancellationToken) -> Self {
        let (sender, ready) = mpsc::channel(READY);
        let tls = door.tls.as_ref().map(|tls| TlsAcceptor::from(with_protocols(&tls.config, &[b"h2"])));
        let accept = Accept {
            door: door.clone(),
            tls,
            cut: cut.clone(),
            free: Arc::new(Semaphore::new(door.limits.connections.min(Semaphore::MAX_PERMITS))),
            sender,
        };
        door.tasks.spawn(accept.run(listener));
        Self { ready }
    }
}

impl Stream for Acceptor {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.ready.poll_recv(cx).map(|connection| connection.map(Ok))
    }
}

/// What accepting needs.
struct Accept {
    door: Door,
    tls: Option<TlsAcceptor>,
    cut: CancellationToken,
    free: Arc<Semaphore>,
    sender: mpsc::Sender<Connection>,
}

impl Accept {
    async fn run(self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.door.draining.cancelled() => return,
                () = self.sender.closed() => return,
            };
            match accepted {
                Ok((socket, peer)) => self.admit(socket, peer),
                Err(error) => {
                    tracing::warn!(%error, "accepting a Flight connection failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Past the limit the connection is closed at once: gRPC has no words for it before the first call, and clients try again.
    fn admit(&self, socket: TcpStream, peer: SocketAddr) {
        let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() else {
            self.door.metrics.connection_refused(Protocol::Flight);
            tracing::warn!(%peer, "too many Flight connections");
            return;
        };
        let _ = socket.set_nodelay(true);
        let login = Arc::new(Login::default());
        let held = Held { _permit: permit, _counted: self.door.metrics.connection(Protocol::Flight), _tracked: self.door.tasks.token() };
        let deadline = tokio::time::Instant::now() + self.door.limits.login_timeout;
        let connection = move |socket, cut: &CancellationToken, allowance| Connection {
            socket,
            login,
            peer,
            deadline: Box::pin(tokio::time::sleep_until(deadline)),
            allowance,
            cut: Box::pin(cut.clone().cancelled_owned()),
            _held: held,
        };
        let (sender, cut, allowance) = (self.sender.clone(), self.cut.clone(), self.door.limits.login_bytes);
        let tls = self.tls.clone();
        self.door.tasks.spawn(async move {
            let socket = match tls {
                None => Socket::Plain(socket),
                Some(tls) => match tokio::time::timeout_at(deadline, tls.accept(socket)).await {
                    Ok(Ok(socket)) => Socket::Tls(Box::new(socket)),
                    Ok(Err(error)) => return tracing::debug!(%peer, %error, "TLS handshake failed"),
                    Err(_) => return tracing::debug!(%peer, "TLS handshake took too long"),
                },
            };
            let _ = sender.send(connection(socket, &cut, allowance)).await;
        });
    }
}

/// Whether a call of this connection has been authenticated. Reaches the calls as a request extension.
#[derive(Debug, Default)]
pub(super) struct Login {
    done: AtomicBool,
    reader: AtomicWaker,
}

impl Login {
    /// Lifts the bounds on strangers.
    pub(super) fn succeeded(&self) {
        if !self.done.swap(true, Ordering::AcqRel) {
            self.reader.wake();
        }
    }

    /// Whether somebody has logged in.
    pub(super) fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }
}

/// What calls know of their connection.
#[derive(Debug, Clone)]
pub(super) struct ConnectionInfo {
    /// Whether somebody has logged in.
    pub(super) login: Arc<Login>,
    /// Where from.
    pub(super) peer: SocketAddr,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    socket: Socket,
    login: Arc<Login>,
    peer: SocketAddr,
    deadline: Pin<Box<Sleep>>,
    /// Bytes that may still be read before a login.
    allowance: usize,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _held: Held,
}

/// What a connection gives back when it closes.
#[derive(Debug)]
struct Held {
    _permit: OwnedSemaphorePermit,
    _counted: ConnectionGuard,
    _tracked: TaskTrackerToken,
}

#[derive(Debug)]
enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connected for Connection {
    type ConnectInfo = ConnectionInfo;

    fn connect_info(&self) -> ConnectionInfo {
        ConnectionInfo { login: Arc::clone(&self.login), peer: self.peer }
    }
}

impl Connection {
    /// Reads for a stranger: within the time, within the allowance. Past the allowance it waits for a login that is under way.
    fn poll_read_stranger(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "nobody logged in")));
        }
        if self.allowance == 0 {
            self.login.reader.register(cx.waker());
            return if self.login.is_done() { self.socket.poll_read(cx, buf) } else { Poll::Pending };
        }
        let mut chunk = [0_u8; 4096];
        let room = chunk.len().min(self.allowance).min(buf.remaining());
        let mut limited = ReadBuf::new(chunk.get_mut(..room).unwrap_or_default());
        ready!(self.socket.poll_read(cx, &mut limited))?;
        self.allowance -= limited.filled().len();
        buf.put_slice(limited.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the gateway is going down")));
        }
        if self.login.is_done() { self.socket.poll_read(cx, buf) } else { self.poll_read_stranger(cx, buf) }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Socket::Tls(socket) => Pin::new(socket).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Socket::Tls(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.socket {
            Socket::Plain(socket) => socket.is_write_vectored(),
            Socket::Tls(socket) => socket.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Socket::Tls(socket) => Pin::new(socket).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Socket::Tls(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }
}

impl Socket {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(socket) => Pin::new(socket).poll_read(cx, buf),
        }
    }
}
