//! Accepting connections: no more than there are slots, and without spinning where the machine is out of file descriptors.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The longest pause after accepting failed.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The next connection, with the slot that it takes until it is dropped. Where there is no slot, connections wait in the listener's
/// queue. Cancel-safe.
pub(super) async fn next(listener: &TcpListener, slots: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let mut pause = Duration::from_millis(5);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // A socket that cannot do this is slower, not wrong.
                let _ = stream.set_nodelay(true);
                return Ok((stream, slot));
            }
            // The client went away again before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}
