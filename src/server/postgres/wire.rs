//! What clients send: frames, checked for length before a byte of them is buffered, and messages, parsed with every read bounded.
//!
//! pgwire's decoder is not used here: it indexes past the end of a truncated Bind, and buffers whatever length a client announces. What
//! the messages mean is not known here.

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::error::{ErrorKind, Fault};

/// A message of an authenticated client.
#[derive(Debug, PartialEq, Eq)]
pub enum Frontend {
    /// Simple query.
    Query(String),
    /// Makes a prepared statement.
    Parse {
        /// Its name; empty is the unnamed one.
        name: String,
        /// The statement.
        sql: String,
        /// The parameters' types; 0 is unknown.
        types: Vec<u32>,
    },
    /// Makes a portal.
    Bind(Bind),
    /// Asks what a statement or portal needs and gives.
    Describe(Target, String),
    /// Runs a portal.
    Execute {
        /// The portal.
        portal: String,
        /// At most so many rows; zero or less is all.
        max_rows: i32,
    },
    /// Forgets a statement or portal.
    Close(Target, String),
    /// Send what there is.
    Flush,
    /// The end of a pipeline.
    Sync,
    /// Good bye.
    Terminate,
    /// A part of COPY FROM STDIN, which we never ask for; ignored as PostgreSQL does.
    Copy,
    /// The function call sub-protocol, which is obsolete.
    FunctionCall,
}

/// What Bind holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Bind {
    /// The portal; empty is the unnamed one.
    pub portal: String,
    /// The prepared statement.
    pub statement: String,
    /// The parameters' formats: none, one for all, or one each.
    pub parameter_formats: Vec<i16>,
    /// The values; `None` is NULL.
    pub parameters: Vec<Option<Bytes>>,
    /// The result columns' formats: none, one for all, or one each.
    pub result_formats: Vec<i16>,
}

/// What Describe and Close are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A prepared statement.
    Statement,
    /// A portal.
    Portal,
}

/// One message, cut out but not looked into.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its type byte.
    pub kind: u8,
    /// What follows the length.
    pub body: Bytes,
}

/// Why there is no next frame.
#[derive(Debug)]
pub enum FrameError {
    /// The client is gone.
    Closed,
    /// The client does not keep to the protocol; the connection cannot go on.
    Broken(Fault),
}

/// Cuts a stream of bytes into frames.
#[derive(Debug)]
pub struct Frames<R> {
    io: R,
    buffer: BytesMut,
}

/// Read at once; a longer message grows the buffer as its bytes come, not as they are announced.
const CHUNK: usize = 16 << 10;

impl<R: AsyncRead + Unpin> Frames<R> {
    /// Starts with nothing buffered.
    pub fn new(io: R) -> Self {
        Self { io, buffer: BytesMut::new() }
    }

    /// The next message's type and the length of its body, without its body. Cancel-safe.
    pub async fn header(&mut self) -> Result<(u8, usize), FrameError> {
        self.fill(5).await?;
        let mut header = self.buffer.get(..5).unwrap_or_default();
        let kind = header.try_get_u8().unwrap_or_default();
        let length = header.try_get_i32().unwrap_or_default();
        match usize::try_from(length) {
            Ok(length) if length >= 4 => Ok((kind, length - 4)),
            _ => Err(broken("invalid message length")),
        }
    }

    /// The body that [`Frames::header`] announced. Cancel-safe as long as it is called again with the same length.
    pub async fn body(&mut self, kind: u8, length: usize) -> Result<Frame, FrameError> {
        self.fill(length.saturating_add(5)).await?;
        self.buffer.advance(5);
        Ok(Frame { kind, body: self.buffer.split_to(length).freeze() })
    }

    /// A packet of the login phase, which has a length and no type: what follows the length.
    pub async fn startup(&mut self, at_most: usize) -> Result<Bytes, FrameError> {
        self.fill(4).await?;
        let length = self.buffer.get(..4).unwrap_or_default().try_get_i32().unwrap_or_default();
        let length = usize::try_from(length).ok().filter(|length| (8..=at_most).contains(length));
        let Some(length) = length else { return Err(broken("invalid length of startup packet")) };
        self.fill(length).await?;
        self.buffer.advance(4);
        Ok(self.buffer.split_to(length - 4).freeze())
    }

    /// The stream, with what was read of it and not used.
    pub fn into_parts(self) -> (R, BytesMut) {
        (self.io, self.buffer)
    }

    /// The stream, to write to.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.io
    }

    /// Goes on with a stream of which something was read already.
    pub fn from_parts(io: R, buffer: BytesMut) -> Self {
        Self { io, buffer }
    }

    async fn fill(&mut self, length: usize) -> Result<(), FrameError> {
        while self.buffer.len() < length {
            self.buffer.reserve(CHUNK.min(length.max(64)));
            match self.io.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return Err(FrameError::Closed),
                Ok(_) => {}
            }
        }
        Ok(())
    }
}

fn broken(message: &str) -> FrameError {
    FrameError::Broken(Fault::new(ErrorKind::Protocol, message))
}

/// Whether an authenticated client may send a message of this type.
pub fn is_known(kind: u8) -> bool {
    matches!(kind, b'Q' | b'P' | b'B' | b'D' | b'E' | b'C' | b'H' | b'S' | b'X' | b'd' | b'c' | b'f' | b'F')
}

/// Looks into a frame. An error leaves the stream in order: only this message is bad.
pub fn parse(frame: Frame) -> Result<Frontend, Fault> {
    let mut body = Reader(frame.body);
    let message = match frame.kind {
        b'Q' => Frontend::Query(body.text()?),
        b'P' => Frontend::Parse { name: body.text()?, sql: body.text()?, types: body.list(Reader::u32)? },
        b'B' => Frontend::Bind(Bind {
            portal: body.text()?,
            statement: body.text()?,
            parameter_formats: body.list(Reader::format)?,
            parameters: body.list(Reader::value)?,
            result_formats: body.list(Reader::format)?,
        }),
        b'D' => Frontend::Describe(body.target()?, body.text()?),
        b'E' => Frontend::Execute { portal: body.text()?, max_rows: body.i32()? },
        b'C' => Frontend::Close(body.target()?, body.text()?),
        b'H' => Frontend::Flush,
        b'S' => Frontend::Sync,
        b'X' => Frontend::Terminate,
        b'd' | b'c' | b'f' => return Ok(Frontend::Copy),
        b'F' => return Ok(Frontend::FunctionCall),
        other => return Err(Fault::new(ErrorKind::Protocol, format!("invalid frontend message type {other}"))),
    };
    if body.0.is_empty() { Ok(message) } else { Err(Fault::new(ErrorKind::Protocol, "invalid message format")) }
}

/// Reads a message's fields. Never past its end.
#[derive(Debug)]
pub struct Reader(pub Bytes);

impl Reader {
    fn short<E>(_: E) -> Fault {
        Fault::new(ErrorKind::Protocol, "insufficient data left in message")
    }

    /// Text up to a NUL byte.
    pub fn text(&mut self) -> Result<String, Fault> {
        let Some(end) = self.0.iter().position(|byte| *byte == 0) else {
            return Err(Fault::new(ErrorKind::Protocol, "invalid string in message"));
        };
        let text = self.0.split_to(end);
        self.0.advance(1);
        match std::str::from_utf8(&text) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(Fault::new(ErrorKind::InvalidText, "invalid byte sequence for encoding \"UTF8\"")),
        }
    }

    /// Four bytes.
    pub fn i32(&mut self) -> Result<i32, Fault> {
        self.0.try_get_i32().map_err(Self::short)
    }

    /// What is left.
    pub fn rest(self) -> Bytes {
        self.0
    }

    /// So many bytes.
    pub fn take(&mut self, length: usize) -> Result<Bytes, Fault> {
        if length <= self.0.len() { Ok(self.0.split_to(length)) } else { Err(Self::short(())) }
    }

    fn u32(&mut self) -> Result<u32, Fault> {
        self.0.try_get_u32().map_err(Self::short)
    }

    fn format(&mut self) -> Result<i16, Fault> {
        match self.0.try_get_i16().map_err(Self::short)? {
            format @ (0 | 1) => Ok(format),
            other => Err(Fault::new(ErrorKind::InvalidParameter, format!("unsupported format code: {other}"))),
        }
    }

    fn value(&mut self) -> Result<Option<Bytes>, Fault> {
        match self.i32()? {
            -1 => Ok(None),
            length => match usize::try_from(length) {
                Ok(length) => self.take(length).map(Some),
                Err(_) => Err(Self::short(())),
            },
        }
    }

    /// A counted list. Room is made for what can be there, not for what is announced.
    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
        let count = usize::from(self.0.try_get_u16().map_err(Self::short)?);
        let mut items = Vec::with_capacity(count.min(self.0.len() / 2));
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn target(&mut self) -> Result<Target, Fault> {
        match self.0.try_get_u8().map_err(Self::short)? {
            b'S' => Ok(Target::Statement),
            b'P' => Ok(Target::Portal),
            other => Err(Fault::new(ErrorKind::Protocol, format!("invalid target type {other}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, body: &[u8]) -> Frame {
        Frame { kind, body: Bytes::copy_from_slice(body) }
    }

    #[test]
    fn a_bind_is_read_whole() {
        let body = b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x02hi\xff\xff\xff\xff\0\x01\0\0";
        let expected = Bind {
            portal: "p".into(),
            statement: "s".into(),
            parameter_formats: vec![1],
            parameters: vec![Some(Bytes::from_static(b"hi")), None],
            result_formats: vec![0],
        };
        assert_eq!(parse(frame(b'B', body)).unwrap(), Frontend::Bind(expected));
    }

    #[test]
    fn a_bind_cut_anywhere_is_an_error_and_no_panic() {
        let body = b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x02hi\xff\xff\xff\xff\0\x01\0\0";
        for end in 0..body.len() {
            let fault = parse(frame(b'B', &body[..end])).unwrap_err();
            assert_eq!(fault.sqlstate(), "08P01", "{end}");
        }
    }

    #[test]
    fn a_value_with_a_negative_length_other_than_null_is_an_error() {
        let body = b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0";
        assert_eq!(parse(frame(b'B', body)).unwrap_err().sqlstate(), "08P01");
    }

    #[test]
    fn bytes_after_the_end_are_an_error() {
        assert_eq!(parse(frame(b'S', b"x")).unwrap_err().sqlstate(), "08P01");
        assert_eq!(parse(frame(b'Q', b"select 1\0x")).unwrap_err().sqlstate(), "08P01");
    }

    #[tokio::test]
    async fn lengths_are_checked_before_anything_is_buffered() {
        for length in [i32::MIN, -1, 0, 3] {
            let mut bytes = vec![b'Q'];
            bytes.extend_from_slice(&length.to_be_bytes());
            assert!(matches!(Frames::new(&bytes[..]).header().await, Err(FrameError::Broken(_))), "{length}");
        }
        let mut huge = vec![b'Q'];
        huge.extend_from_slice(&i32::MAX.to_be_bytes());
        assert_eq!(Frames::new(&huge[..]).header().await.unwrap(), (b'Q', i32::MAX as usize - 4));
        for length in [i32::MIN, 0, 7, 10_001] {
            assert!(matches!(Frames::new(&length.to_be_bytes()[..]).startup(10_000).await, Err(FrameError::Broken(_))), "{length}");
        }
    }

    #[tokio::test]
    async fn frames_come_in_order_however_the_bytes_come() {
        let bytes = b"Q\0\0\0\x0dselect 1\0S\0\0\0\x04";
        let (mut client, server) = tokio::io::duplex(3);
        let writer = async move {
            use tokio::io::AsyncWriteExt as _;
            client.write_all(bytes).await.unwrap();
        };
        let reader = async move {
            let mut frames = Frames::new(server);
            let (kind, length) = frames.header().await.unwrap();
            assert_eq!(parse(frames.body(kind, length).await.unwrap()).unwrap(), Frontend::Query("select 1".into()));
            let (kind, length) = frames.header().await.unwrap();
            assert_eq!(parse(frames.body(kind, length).await.unwrap()).unwrap(), Frontend::Sync);
            assert!(matches!(frames.header().await, Err(FrameError::Closed)));
        };
        tokio::join!(writer, reader);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(kind: u8, body: Vec<u8>) {
            let _ = parse(frame(kind, &body));
        }
    }
}

#[cfg(test)]
#[path = "../../fuzz/wire.rs"]
mod fuzz;
