//! Markers in hidden rows, masked values, paths and secrets, and every byte that the real binary writes: to sockets, its log, its metrics, its
//! spill and its state.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http::Process;
use crate::leaks::{CANARY, HOSTILE, holds, set_up, statements};
use crate::pairs::bytes;
use crate::raw::Raw;

/// 32 bytes of a key, which is in the environment.
const KEY: &str = "Y2FuYXJ5NDcxMS1jYW5hcnk0NzExLWNhbmFyeTQ3MTE=";

const CONFIG: &str = "[server]\npostgres = \"127.0.0.1:0\"\nflight = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\nregion = \"eu\"\n\
    [limits]\nmemory = \"96MiB\"\nquery_memory = \"6MiB\"\n\
    [credentials.pseudonyms]\ntype = \"key\"\nsecret = { env = \"PSEUDONYMS\" }\n";

/// Sorts more than its memory holds.
const SPILLS: &str = "SELECT a.name, b.name, c.name, d.name, e.name, f.name, g.name FROM hr.people_csv a, hr.people_json b, hr.people_csv c, \
    hr.people_json d, hr.people_csv e, hr.people_json f, hr.people_csv g ORDER BY 7 DESC, 1, 2, 3, 4, 5, 6";

fn all_files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all_files(&path, found);
        } else if let Ok(bytes) = std::fs::read(&path) {
            found.push((path.display().to_string(), bytes));
        }
    }
}

async fn get(address: SocketAddr, path: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_marker_is_in_any_byte_that_the_gateway_writes() {
    let world = set_up(HOSTILE);
    let log = [("RUST_LOG", "info,meshgate=trace"), ("PSEUDONYMS", KEY)];
    let mut process = Process::serve_with(world.folder(), CONFIG, &log);
    // The log is read on the side, so that it never fills its pipe.
    let mut stderr = process.0.stderr.take().unwrap();
    let reading = std::thread::spawn(move || {
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut stderr, &mut text).unwrap();
        text
    });
    let lines = process.addresses();
    let at = |door: &str| {
        let line = lines.iter().find(|line| line.to_lowercase().contains(door)).unwrap_or_else(|| panic!("{lines:?}"));
        let port: u16 = line.trim().rsplit(':').next().and_then(|port| port.trim_end_matches('/').parse().ok()).unwrap();
        SocketAddr::from(([127, 0, 0, 1], port))
    };
    let (postgres, http) = (at("postgres"), at("http"));
    let mut written: Vec<(String, Vec<u8>)> = Vec::new();
    let mut bob = Raw::log_in_at(postgres, "bob").await;
    for sql in statements() {
        bob.query(&sql).await;
        written.push((sql, bytes(&bob.until_ready().await)));
    }
    let state = world.folder().join("state");
    let mut spilled = 0;
    bob.query(SPILLS).await;
    let watching = tokio::time::Instant::now();
    let answer = loop {
        let mut files = Vec::new();
        all_files(&state.join("spill"), &mut files);
        spilled += files.len();
        written.extend(files);
        let waited = tokio::time::timeout(Duration::from_millis(100), bob.receive()).await;
        // Its rows are looked at too; the first of them ends the watch.
        if let Ok(message) = waited {
            break message;
        }
        assert!(watching.elapsed() < Duration::from_secs(60));
    };
    written.push((SPILLS.to_owned(), answer.1));
    drop(bob);
    for path in ["/metrics", "/healthz", "/readyz", "/openapi.json", "/products/hr.secrets", "/canary"] {
        written.push((path.to_owned(), get(http, path).await));
    }
    process.signal("TERM");
    process.wait_quietly();
    written.push(("the log".to_owned(), reading.join().unwrap()));
    all_files(&state, &mut written);
    assert!(written.len() > 115 && written.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > 50_000);
    println!("{} places, {} spilled files", written.len(), spilled);
    let secrets = [CANARY, KEY, "data/hr", "people.csv", "people.json", "part-0.parquet", "SCRAM-SHA-256$"];
    for (place, bytes) in &written {
        for secret in secrets {
            // A key that its owner gave to the machine's keeping is not a leak; what a reader wrote comes back to them.
            let own = place.ends_with(".key") || place.contains(secret) && !place.contains("/state/");
            assert!(own || !holds(bytes, secret), "{secret} in {place}: {}", crate::leaks::readable(bytes));
        }
    }
}
