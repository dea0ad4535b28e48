//! A small S3 over a folder: `<folder>/<bucket>/<key>`. It shares no code with the gateway.
//!
//! It does what the tests need and does it strictly: GET with `Range` and `If-Match`, HEAD, PUT with `If-None-Match`, ListObjectsV2 in pages, and
//! every signature is computed anew (AWS Signature Version 4), so that a request counts as a credential's only if it was signed with its secret. A key opens
//! one bucket. Refusals quote as much as S3's own do: keys, buckets, key ids.

use std::collections::HashMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

/// What a key opens.
#[derive(Debug, Clone)]
pub struct Account {
    pub secret: String,
    pub token: Option<String>,
    pub bucket: String,
}

/// Keys of one page of a listing: few, so that every listing of more has a continuation.
const PAGE: usize = 2;

struct Server {
    root: PathBuf,
    accounts: HashMap<String, Account>,
    hold: Hold,
}

/// A PUT that is never answered.
#[derive(Clone, Default)]
pub struct Hold(Arc<Mutex<Option<Held>>>, Arc<Notify>);

struct Held {
    /// By key and body.
    which: fn(&str, &[u8]) -> bool,
    /// Whether the object is there.
    stored: bool,
}

impl Hold {
    /// Holds the next PUT of this kind, before or after it is stored, and waits until there is one. None is held any more afterwards.
    pub async fn next(&self, which: fn(&str, &[u8]) -> bool, stored: bool) {
        *self.0.lock().unwrap() = Some(Held { which, stored });
        self.1.notified().await;
    }

    fn of(&self, key: &str, body: &[u8]) -> Option<Held> {
        let mut held = self.0.lock().unwrap();
        held.take_if(|held| (held.which)(key, body))
    }
}

/// Serves a folder on a port of its own until the runtime ends.
pub async fn serve(root: PathBuf, accounts: HashMap<String, Account>) -> SocketAddr {
    serve_holding(root, accounts, Hold::default()).await
}

/// The same with a PUT that may be held.
pub async fn serve_holding(root: PathBuf, accounts: HashMap<String, Account>, hold: Hold) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(answer).with_state(Arc::new(Server { root, accounts, hold }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// A refusal.
struct Refused(u16, &'static str, String);

async fn answer(State(server): State<Arc<Server>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let request = Request::from_parts(parts, Body::empty());
    let replied = if request.method() == "PUT" { server.store(&request, &body) } else { server.reply(&request).map(Some) };
    let replied = match replied {
        Ok(None) => std::future::pending().await,
        Ok(Some(response)) => Ok(response),
        Err(refused) => Err(refused),
    };
    match replied {
        Ok(response) => response,
        Err(Refused(status, code, about)) => {
            let text = format!(
                "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{about}</Message><Resource>{}</Resource></Error>",
                request.uri()
            );
            let body = if request.method() == "HEAD" { Body::empty() } else { Body::from(text) };
            Response::builder().status(status).header("content-type", "application/xml").body(body).unwrap()
        }
    }
}

fn header<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    request.headers().get(name)?.to_str().ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").unwrap();
        out
    })
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// Another one for every content: hashing large files takes a test build too long.
fn e_tag(file: &Path) -> Option<(String, u64)> {
    let metadata = file.metadata().ok()?;
    let written = metadata.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some((format!("\"{:x}-{:x}\"", written.as_nanos(), metadata.len()), metadata.len()))
}

fn decoded(text: &str) -> String {
    url::form_urlencoded::parse(format!("k={text}").as_bytes()).next().unwrap().1.into_owned()
}

impl Server {
    /// Who asks, if the signature says so.
    fn check_signature(&self, request: &Request) -> Result<&Account, Refused> {
        let refuse = |why: &str| Refused(403, "SignatureDoesNotMatch", why.to_owned());
        let given = header(request, "authorization").ok_or_else(|| Refused(403, "AccessDenied", "anonymous".into()))?;
        let parts = given.strip_prefix("AWS4-HMAC-SHA256 ").ok_or_else(|| refuse("another algorithm"))?;
        let part =
            |name: &str| parts.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('=')).ok_or_else(|| refuse(name));
        let (credential, signed, signature) = (part("Credential")?, part("SignedHeaders")?, part("Signature")?);
        let (id, scope) = credential.split_once('/').ok_or_else(|| refuse("scope"))?;
        let account = self.accounts.get(id).ok_or_else(|| Refused(403, "InvalidAccessKeyId", id.to_owned()))?;
        if header(request, "x-amz-security-token") != account.token.as_deref() {
            return Err(Refused(403, "InvalidToken", id.to_owned()));
        }
        let mut query: Vec<&str> = request.uri().query().into_iter().flat_map(|query| query.split('&')).collect();
        query.sort_unstable();
        let headers: String =
            signed.split(';').map(|name| format!("{name}:{}\n", header(request, name).unwrap_or_default().trim())).collect();
        let content = header(request, "x-amz-content-sha256").unwrap_or_default();
        let canonical = format!("{}\n{}\n{}\n{headers}\n{signed}\n{content}", request.method(), request.uri().path(), query.join("&"));
        let date = header(request, "x-amz-date").unwrap_or_default();
        let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
        let key = scope.split('/').fold(format!("AWS4{}", account.secret).into_bytes(), |key, part| mac(&key, part));
        if hex(&mac(&key, &to_sign)) != signature {
            return Err(refuse(&format!("{id} {}", account.secret)));
        }
        Ok(account)
    }

    /// Whole or not at all, and with `If-None-Match: *` only where there is none.
    /// Nothing where it is held.
    fn store(&self, request: &Request, body: &[u8]) -> Result<Option<Response>, Refused> {
        let account = self.check_signature(request)?;
        let path = request.uri().path().trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        if bucket != account.bucket || request.uri().query().is_some() {
            return Err(Refused(403, "AccessDenied", bucket.to_owned()));
        }
        let (key, only_new) = (decoded(key), header(request, "if-none-match") == Some("*"));
        let held = self.hold.of(&key, body);
        let target = self.root.join(bucket).join(&key);
        if held.as_ref().is_none_or(|held| held.stored) {
            let unfinished = self.root.join(format!("unfinished-{:016x}", rand::random::<u64>()));
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::write(&unfinished, body).unwrap();
            let stored = if only_new { std::fs::hard_link(&unfinished, &target) } else { std::fs::copy(&unfinished, &target).map(|_| ()) };
            std::fs::remove_file(unfinished).unwrap();
            if stored.is_err() {
                return Err(Refused(412, "PreconditionFailed", key));
            }
        }
        if held.is_some() {
            self.hold.1.notify_one();
            return Ok(None);
        }
        let tag = e_tag(&target).map(|(tag, _)| tag).unwrap_or_default();
        Ok(Some(Response::builder().header("etag", tag).body(Body::empty()).unwrap()))
    }

    fn reply(&self, request: &Request) -> Result<Response, Refused> {
        let account = self.check_signature(request)?;
        let path = request.uri().path().trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        if bucket != account.bucket {
            return Err(Refused(403, "AccessDenied", bucket.to_owned()));
        }
        let folder = self.root.join(bucket);
        match (request.method().as_str(), key) {
            ("GET", "") => list(&folder, request.uri().query().unwrap_or_default()),
            ("GET" | "HEAD", key) => object(&folder.join(decoded(key)), request),
            _ => Err(Refused(405, "MethodNotAllowed", path.to_owned())),
        }
    }
}

fn object(path: &Path, request: &Request) -> Result<Response, Refused> {
    let refused = |status, code| Refused(status, code, path.display().to_string());
    let (tag, size) = e_tag(path).filter(|_| path.is_file()).ok_or_else(|| refused(404, "NoSuchKey"))?;
    if header(request, "if-match").is_some_and(|wanted| wanted != tag) {
        return Err(refused(412, "PreconditionFailed"));
    }
    let response =
        Response::builder().header("etag", tag).header("last-modified", "Fri, 20 Nov 2026 10:00:00 GMT").header("accept-ranges", "bytes");
    if request.method() == "HEAD" {
        return Ok(response.header("content-length", size).body(Body::empty()).unwrap());
    }
    let part = |from: u64, to: u64| {
        let mut bytes = vec![0; (to - from) as usize];
        std::fs::File::open(path).unwrap().read_exact_at(&mut bytes, from).unwrap();
        Body::from(bytes)
    };
    let Some(range) = header(request, "range").and_then(|range| range.strip_prefix("bytes=")) else {
        return Ok(response.body(part(0, size)).unwrap());
    };
    let (from, to) = range.split_once('-').unwrap();
    let (from, to): (Option<u64>, Option<u64>) = (from.parse().ok(), to.parse().ok());
    let (from, to) = match (from, to) {
        (Some(from), to) => (from, to.map_or(size, |to| (to + 1).min(size))),
        (None, suffix) => (size.saturating_sub(suffix.unwrap_or_default()), size),
    };
    if from >= to {
        return Err(refused(416, "InvalidRange"));
    }
    Ok(response.status(206).header("content-range", format!("bytes {from}-{}/{size}", to - 1)).body(part(from, to)).unwrap())
}

fn list(folder: &Path, query: &str) -> Result<Response, Refused> {
    let query: HashMap<String, String> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    if query.get("list-type").map(String::as_str) != Some("2") {
        return Err(Refused(501, "NotImplemented", "list".into()));
    }
    let prefix = query.get("prefix").map_or("", String::as_str);
    let after = query.get("continuation-token").or_else(|| query.get("start-after")).map_or("", String::as_str);
    let mut keys = Vec::new();
    walk(folder, "", &mut keys);
    keys.sort();
    let keys: Vec<_> = keys.into_iter().filter(|key| key.starts_with(prefix) && key.as_str() > after).collect();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult><IsTruncated>");
    write!(text, "{}</IsTruncated>", keys.len() > PAGE).unwrap();
    if let (true, Some(last)) = (keys.len() > PAGE, keys.get(PAGE - 1)) {
        write!(text, "<NextContinuationToken>{last}</NextContinuationToken>").unwrap();
    }
    for key in keys.iter().take(PAGE) {
        let (tag, size) = if key.ends_with('/') { (String::new(), 0) } else { e_tag(&folder.join(key)).unwrap_or_default() };
        let tag = tag.replace('"', "&quot;");
        write!(
            text,
            "<Contents><Key>{key}</Key><LastModified>2026-11-20T10:00:00.000Z</LastModified><ETag>{tag}</ETag><Size>{size}</Size></Contents>"
        )
        .unwrap();
    }
    text.push_str("</ListBucketResult>");
    Ok(Response::builder().header("content-type", "application/xml").body(Body::from(text)).unwrap())
}

fn walk(folder: &Path, below: &str, keys: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let entry = entry.unwrap();
        let key = format!("{below}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            // As consoles make them: a folder has a marker.
            keys.push(format!("{key}/"));
            walk(&entry.path(), &format!("{key}/"), keys);
        } else {
            keys.push(key);
        }
    }
}
