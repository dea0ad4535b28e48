//! Keys of an identity provider that are fetched from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use meshgate::config::KeySource;
use parking_lot::Mutex;

use crate::harness::{TestGateway, eventually};
use crate::idp::{Signer, key_set};
use crate::jwt::{believing_keys_at, count, reader, shop};

/// How often the address is asked here; also the shortest time between two questions.
const EVERY: Duration = Duration::from_secs(1);

/// An identity provider that hands out its keys.
struct Provider {
    answer: Arc<Mutex<(StatusCode, HeaderMap, Vec<u8>)>>,
    asked: Arc<AtomicUsize>,
    address: String,
}

impl Provider {
    async fn start(keys: &[&Signer]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/keys?app=canary", listener.local_addr().unwrap());
        let provider = Self { answer: Arc::default(), asked: Arc::default(), address };
        provider.put(keys);
        let (answer, asked) = (Arc::clone(&provider.answer), Arc::clone(&provider.asked));
        let keys = get(move || async move {
            asked.fetch_add(1, Ordering::SeqCst);
            answer.lock().clone()
        });
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/keys", keys)).await });
        provider
    }

    fn put(&self, keys: &[&Signer]) {
        let named: Vec<_> = keys.iter().enumerate().map(|(at, key)| key.public(&format!("k{at}"))).collect();
        self.say(StatusCode::OK, HeaderMap::new(), key_set(&named).into_bytes());
    }

    fn say(&self, status: StatusCode, headers: HeaderMap, body: Vec<u8>) {
        *self.answer.lock() = (status, headers, body);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn believed(&self) -> TestGateway {
        let jwks = KeySource::Fetched { url: self.address.parse().unwrap(), every: EVERY };
        believing_keys_at(shop(), jwks).start().await
    }
}

/// A token with a key's name, as readers of the product have it.
fn named(key: &Signer, id: &str) -> String {
    key.token(id, &crate::idp::claims("ann", "claims", &["dp-shop-orders-reader"], crate::harness::noon().timestamp()))
}

async fn is_let_in(gateway: &TestGateway, token: &str) -> bool {
    gateway.try_pg("jwt", token).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_fetched_followed_and_taken_away() {
    let (old, new) = (Signer::es256(), Signer::ed25519());
    let provider = Provider::start(&[&old]).await;
    let gateway = provider.believed().await;
    let session = gateway.try_pg("jwt", &named(&old, "k0")).await.expect("the first login waits for the keys");
    assert_eq!(count(&session).await, "2");
    // Both, as a provider does that changes its keys.
    provider.put(&[&old, &new]);
    tokio::time::sleep(EVERY).await;
    assert!(is_let_in(&gateway, &named(&new, "k1")).await, "a token with an unknown key has it asked for");
    assert_eq!(count(&session).await, "2");
    provider.put(&[&new]);
    let ended = eventually(Duration::from_secs(4), || async { count(&session).await != "2" }).await;
    assert!(ended, "a key that is not listed any more ends what it let in");
    assert!(is_let_in(&gateway, &named(&new, "k0")).await);
    assert!(!is_let_in(&gateway, &named(&old, "k0")).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e4_tokens_with_made_up_keys_do_not_have_it_asked_at_will() {
    let key = Signer::es256();
    let provider = Provider::start(&[&key]).await;
    let gateway = provider.believed().await;
    assert!(is_let_in(&gateway, &named(&key, "k0")).await);
    let (asked, begin) = (provider.asked(), Instant::now());
    let storm = (0..200).map(|at| {
        let (gateway, token) = (&gateway, named(&key, &format!("made-up-{at}")));
        async move { assert!(!is_let_in(gateway, &token).await) }
    });
    futures::future::join_all(storm).await;
    let most = begin.elapsed().as_secs() + 2;
    assert!((provider.asked() - asked) as u64 <= most, "{} times in {:?}", provider.asked() - asked, begin.elapsed());
    assert!(is_let_in(&gateway, &named(&key, "k0")).await);
    // What is not of this issuer, or cannot be of any key, asks for nothing and waits for nothing.
    let begin = Instant::now();
    for token in ["x.y.z", "", &"x".repeat(20_000), &crate::idp::unsigned(r#"{"alg":"none","kid":"other"}"#, "{}")] {
        assert!(!is_let_in(&gateway, token).await);
    }
    assert!(begin.elapsed() < Duration::from_secs(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_no_key_set_changes_nothing() {
    let key = Signer::es256();
    let provider = Provider::start(&[&key]).await;
    let elsewhere = Provider::start(&[&Signer::es256()]).await;
    let gateway = provider.believed().await;
    let token = named(&key, "k0");
    let session = gateway.try_pg("jwt", &token).await.unwrap();
    let redirect = HeaderMap::from_iter([("location".parse().unwrap(), elsewhere.address.parse().unwrap())]);
    let mut secret = key.public("k0");
    secret["d"] = "AAAA".into();
    for (status, headers, body) in [
        (StatusCode::INTERNAL_SERVER_ERROR, HeaderMap::new(), key_set(&[]).into_bytes()),
        (StatusCode::FOUND, redirect, Vec::new()),
        (StatusCode::OK, HeaderMap::new(), b"<html>Sign in</html>".to_vec()),
        (StatusCode::OK, HeaderMap::new(), vec![b' '; 3 << 20]),
        (StatusCode::OK, HeaderMap::new(), key_set(&[secret]).into_bytes()),
    ] {
        provider.say(status, headers, body);
        let asked = provider.asked();
        assert!(eventually(Duration::from_secs(4), || async { provider.asked() > asked + 1 }).await);
        assert_eq!(count(&session).await, "2", "{status}");
        assert!(is_let_in(&gateway, &token).await, "{status}");
    }
    assert_eq!(elsewhere.asked(), 0, "where it points to is not asked");
    provider.put(&[]);
    assert!(eventually(Duration::from_secs(4), || async { count(&session).await != "2" }).await, "no keys are an answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_away_at_the_start_keeps_nobody_else_out() {
    let key = Signer::es256();
    let provider = Provider::start(&[&key]).await;
    provider.say(StatusCode::SERVICE_UNAVAILABLE, HeaderMap::new(), Vec::new());
    let gateway = provider.believed().await;
    assert_eq!(count(&gateway.pg("alice").await).await, "1");
    assert!(!is_let_in(&gateway, &reader(&key, "ann")).await);
    provider.put(&[&key]);
    let back = eventually(Duration::from_secs(8), || async { is_let_in(&gateway, &named(&key, "k0")).await }).await;
    assert!(back);
}
