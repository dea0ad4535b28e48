//! What stands between the gateway and the storage and counts: it speaks HTTP from the bytes of the sockets, and shares no code with the
//! gateway. It counts the bytes of bodies as it sends them, notes who asked for what, and does wrong on demand.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One request and its answer.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The id of the key that it was signed with.
    pub access_key: String,
    /// `bucket/key`, or `bucket?prefix` for a listing.
    pub path: String,
    pub status: u16,
    /// Bytes of the body that were sent.
    pub sent: u64,
    /// The whole head, to be looked through for what must not be there.
    pub head: String,
}

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum Spoil {
    /// Another status, with a body that tells too much.
    Status(u16),
    /// Somewhere else is said to be right.
    Redirect(String),
    /// The connection is reset after so many bytes of the body.
    Reset(usize),
    /// The connection is closed after so many bytes of the body.
    Close(usize),
    /// The body is shorter than its range, and its length says so.
    Short(usize),
    /// Another ETag.
    Tag(String),
    /// Bytes by and by: so many, then a wait.
    Drip(usize, Duration),
    /// Nothing, for so long.
    Silence(Duration),
}

#[derive(Default)]
struct Notes {
    exchanges: Vec<Exchange>,
    /// Of requests whose path holds the text, the next so many.
    orders: Vec<(String, usize, Spoil)>,
}

/// A proxy.
#[derive(Clone)]
pub struct Proxy {
    pub address: SocketAddr,
    notes: Arc<Mutex<Notes>>,
}

impl Proxy {
    /// Stands before `storage` until the runtime ends.
    pub async fn before(storage: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self { address: listener.local_addr().unwrap(), notes: Arc::default() };
        let serving = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let proxy = serving.clone();
                // A connection ends in whichever way it likes.
                tokio::spawn(async move { proxy.connection(client, storage).await });
            }
        });
        proxy
    }

    /// Spoils the next `times` answers to requests whose path holds `about`.
    pub fn spoil(&self, about: &str, times: usize, how: Spoil) {
        self.notes.lock().unwrap().orders.push((about.to_owned(), times, how));
    }

    /// Spoils nothing more.
    pub fn behave(&self) {
        self.notes.lock().unwrap().orders.clear();
    }

    /// All that was asked for, so far.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.notes.lock().unwrap().exchanges.clone()
    }

    /// What was served of paths that hold `about`: bodies of answers that were no refusals, and how many answers there were. That there is
    /// no such object is an answer, to a question that readers of Delta's logs ask.
    pub fn served(&self, about: &str) -> (u64, u64) {
        let notes = self.notes.lock().unwrap();
        let of = notes.exchanges.iter().filter(|e| e.path.contains(about));
        of.fold((0, 0), |(bytes, count), e| match e.status {
            200..300 => (bytes + e.sent, count + 1),
            404 => (bytes, count + 1),
            _ => (bytes, count),
        })
    }

    fn order(&self, path: &str) -> Option<Spoil> {
        let mut notes = self.notes.lock().unwrap();
        let (_, times, how) = notes.orders.iter_mut().find(|(about, times, _)| *times > 0 && path.contains(about.as_str()))?;
        *times -= 1;
        Some(how.clone())
    }

    async fn connection(&self, mut client: TcpStream, storage: SocketAddr) -> Option<()> {
        let mut rest = Vec::new();
        loop {
            let head = read_head(&mut client, &mut rest).await?;
            let (index, how) = self.note(&head);
            if let Some(Spoil::Silence(time)) = how {
                tokio::time::sleep(time).await;
                return None;
            }
            let mut upstream = TcpStream::connect(storage).await.ok()?;
            upstream.write_all(head.as_bytes()).await.ok()?;
            let mut body = Vec::new();
            let answer = read_head(&mut upstream, &mut body).await?;
            let length = header(&answer, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            let length = if head.starts_with("HEAD ") { 0 } else { length };
            while body.len() < length {
                if upstream.read_buf(&mut body).await.ok()? == 0 {
                    return None;
                }
            }
            self.answer(&mut client, index, answer, body, how).await?;
        }
    }

    fn note(&self, head: &str) -> (usize, Option<Spoil>) {
        let mut words = head.split(' ');
        let target = words.nth(1).unwrap();
        let (path, query) = target.trim_start_matches('/').split_once('?').unwrap_or((target.trim_start_matches('/'), ""));
        let listing = query.contains("list-type=2");
        let prefix =
            url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "prefix").map(|(_, prefix)| prefix.into_owned());
        let path = if listing { format!("{path}?{}", prefix.unwrap_or_default()) } else { path.to_owned() };
        let access_key = header(head, "authorization").and_then(|given| given.split_once("Credential=")).map_or("", |(_, rest)| rest);
        let access_key = access_key.split('/').next().unwrap().to_owned();
        let how = self.order(&path);
        let mut notes = self.notes.lock().unwrap();
        notes.exchanges.push(Exchange { access_key, path, status: 0, sent: 0, head: head.to_owned() });
        (notes.exchanges.len() - 1, how)
    }

    async fn answer(&self, client: &mut TcpStream, index: usize, mut head: String, mut body: Vec<u8>, how: Option<Spoil>) -> Option<()> {
        let (mut most, mut pause) = (usize::MAX, None);
        match &how {
            Some(Spoil::Status(status)) => {
                body = b"<Error><Code>SlowDown</Code><Message>the bucket leaky-bucket of key LEAKYKEY</Message></Error>".to_vec();
                head = format!("HTTP/1.1 {status} Spoilt\r\ncontent-length: {}\r\n\r\n", body.len());
            }
            Some(Spoil::Redirect(to)) => {
                body.clear();
                head = format!("HTTP/1.1 307 Elsewhere\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
            }
            Some(Spoil::Reset(bytes) | Spoil::Close(bytes)) => most = *bytes,
            Some(Spoil::Short(bytes)) => {
                body.truncate(*bytes);
                head = with_header(&head, "content-length", &body.len().to_string());
            }
            Some(Spoil::Tag(tag)) => head = with_header(&head, "etag", tag),
            Some(Spoil::Drip(bytes, time)) => pause = Some((*bytes, *time)),
            Some(Spoil::Silence(_)) | None => {}
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        self.notes.lock().unwrap().exchanges[index].status = status;
        client.write_all(head.as_bytes()).await.ok()?;
        let piece = pause.map_or(64 << 10, |(bytes, _)| bytes);
        let mut sent = 0;
        for bytes in body[..body.len().min(most)].chunks(piece) {
            client.write_all(bytes).await.ok()?;
            sent += bytes.len();
            self.notes.lock().unwrap().exchanges[index].sent = sent as u64;
            if let Some((_, time)) = pause {
                tokio::time::sleep(time).await;
            }
        }
        if body.len() > most {
            if matches!(how, Some(Spoil::Reset(_))) {
                client.set_zero_linger().ok()?;
            }
            return None;
        }
        Some(())
    }
}

/// A head up to its empty line; what came after it stays in `rest`.
async fn read_head(stream: &mut TcpStream, rest: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") {
            let after = rest.split_off(end + 4);
            let head = String::from_utf8(std::mem::replace(rest, after)).ok()?;
            return Some(head);
        }
        if stream.read_buf(rest).await.ok()? == 0 {
            return None;
        }
    }
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().filter_map(|line| line.split_once(':')).find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn with_header(head: &str, name: &str, value: &str) -> String {
    let others = head.trim_end().lines().filter(|line| line.split_once(':').is_none_or(|(found, _)| !found.eq_ignore_ascii_case(name)));
    let lines: String = others.map(|line| format!("{line}\r\n")).collect();
    format!("{lines}{name}: {value}\r\n\r\n")
}
