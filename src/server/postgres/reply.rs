//! What the gateway sends: pgwire's message types written into one bounded buffer, and the buffer's way to the client.
//!
//! Rows are not here: `encode` writes them straight into the buffer.

use std::time::Duration;

use pgwire::messages::Message;
use pgwire::messages::response::{CommandComplete, EmptyQueryResponse, ErrorResponse, NoticeResponse};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::error::{ErrorKind, Fault};
use crate::query::Notice;

/// Sent when so much is buffered: large enough to make few system calls, small enough that a slow reader holds little.
pub const FLUSH_AT: usize = 64 << 10;

/// A buffer that a huge value grew is given back beyond this.
const KEEP: usize = 1 << 20;

/// A client that takes nothing for so long is gone.
const STALLED: Duration = Duration::from_secs(300);

/// Bytes on their way to the client.
#[derive(Debug)]
pub struct Outbox<W> {
    io: W,
    /// What is to be sent; `encode` appends rows here.
    pub buffer: Vec<u8>,
    sent: usize,
}

impl<W: AsyncWrite + Unpin> Outbox<W> {
    /// Starts empty.
    pub fn new(io: W) -> Self {
        Self { io, buffer: Vec::new(), sent: 0 }
    }

    /// Buffers a message.
    pub fn put(&mut self, message: &impl Message) {
        put(&mut self.buffer, message);
    }

    /// Whether it is time to flush.
    pub fn is_full(&self) -> bool {
        self.buffer.len() >= FLUSH_AT
    }

    /// Sends what there is. Cancel-safe: what was sent is not sent again.
    pub async fn flush(&mut self) -> std::io::Result<()> {
        while let Some(rest) = self.buffer.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let written = tokio::time::timeout(STALLED, self.io.write(rest)).await??;
            if written == 0 {
                return Err(std::io::ErrorKind::WriteZero.into());
            }
            self.sent += written;
        }
        self.sent = 0;
        self.buffer.clear();
        self.buffer.shrink_to(KEEP);
        tokio::time::timeout(STALLED, self.io.flush()).await?
    }

    /// Sends what there is and says good bye.
    pub async fn close(&mut self) {
        if self.flush().await.is_ok() {
            let _ = tokio::time::timeout(Duration::from_secs(1), self.io.shutdown()).await;
        }
    }
}

/// Appends a message to a buffer.
pub fn put(buffer: &mut Vec<u8>, message: &impl Message) {
    let mut bytes = bytes::BytesMut::with_capacity(message.message_length() + 1);
    match message.encode(&mut bytes) {
        Ok(()) => buffer.extend_from_slice(&bytes),
        // Only lengths beyond pgwire's limits end here, and our messages are bounded far below them.
        Err(error) => tracing::error!(%error, "a message was too long to send"),
    }
}

/// How bad an error is for the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The statement failed.
    Error,
    /// The connection ends.
    Fatal,
}

/// A fault in the protocol's words.
pub fn error(fault: &Fault, severity: Severity) -> ErrorResponse {
    if fault.kind() == ErrorKind::Internal {
        tracing::error!(?fault, "internal error");
    }
    let severity = match severity {
        Severity::Error => "ERROR",
        Severity::Fatal => "FATAL",
    };
    let mut fields = fields(severity, fault.sqlstate(), fault.message(), fault.detail(), fault.hint());
    if let Some(position) = fault.position() {
        fields.push((b'P', position.to_string()));
    }
    ErrorResponse::new(fields)
}

/// A notice of the pipeline.
pub fn notice(notice: &Notice) -> NoticeResponse {
    NoticeResponse::new(fields("NOTICE", "00000", &notice.message, notice.detail.as_deref(), notice.hint.as_deref()))
}

/// A warning of the door's own.
pub fn warning(sqlstate: &str, message: &str) -> NoticeResponse {
    NoticeResponse::new(fields("WARNING", sqlstate, message, None, None))
}

/// A command's end.
pub fn complete(tag: impl Into<String>) -> CommandComplete {
    CommandComplete::new(tag.into())
}

/// The end of a statement that was none.
pub fn empty() -> EmptyQueryResponse {
    EmptyQueryResponse::new()
}

fn fields(severity: &str, sqlstate: &str, message: &str, detail: Option<&str>, hint: Option<&str>) -> Vec<(u8, String)> {
    let mut fields =
        vec![(b'S', severity.to_owned()), (b'V', severity.to_owned()), (b'C', sqlstate.to_owned()), (b'M', printable(message))];
    fields.extend(detail.map(|detail| (b'D', printable(detail))));
    fields.extend(hint.map(|hint| (b'H', printable(hint))));
    fields
}

/// A NUL byte would end the field early, and let what follows it pass for another field.
fn printable(text: &str) -> String {
    const LONGEST: usize = 16 << 10;
    text.chars().filter(|c| *c != '\0').take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_its_fields_in_postgres_order() {
        let fault = Fault::new(ErrorKind::Denied, "permission denied for table t").with_hint("Ask.").with_position(8);
        let mut bytes = Vec::new();
        put(&mut bytes, &error(&fault, Severity::Error));
        assert_eq!(&bytes[5..], b"SERROR\0VERROR\0C42501\0Mpermission denied for table t\0HAsk.\0P8\0\0");
        assert_eq!(bytes[0], b'E');
        assert_eq!(bytes[1..5], (bytes.len() as u32 - 1).to_be_bytes());
    }

    #[test]
    fn a_nul_byte_in_a_text_does_not_make_a_field() {
        let mut bytes = Vec::new();
        put(&mut bytes, &error(&Fault::new(ErrorKind::Syntax, "a\0Cxxxxx"), Severity::Fatal));
        assert_eq!(&bytes[5..], b"SFATAL\0VFATAL\0C42601\0MaCxxxxx\0\0");
    }

    #[tokio::test]
    async fn a_flush_that_was_dropped_goes_on_where_it_was() {
        use tokio::io::AsyncReadExt as _;
        let (mut client, server) = tokio::io::duplex(4);
        let mut outbox = Outbox::new(server);
        outbox.buffer.extend_from_slice(b"0123456789");
        let full = tokio::time::timeout(Duration::from_millis(20), outbox.flush()).await;
        assert!(full.is_err(), "the pipe is full, so the flush waits");
        let mut got = vec![0; 10];
        let (read, flushed) = tokio::join!(client.read_exact(&mut got), outbox.flush());
        read.unwrap();
        flushed.unwrap();
        assert_eq!(got, b"0123456789");
        assert!(outbox.buffer.is_empty());
    }
}
