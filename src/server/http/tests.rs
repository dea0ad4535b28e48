use axum::routing::get;
use base64::Engine;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::identity::users::make_verifier;

/// Sends one request to a server of `routes` and gives back all that it answers.
async fn ask(routes: Router, request: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, routes).await });
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    server.abort();
    answer
}

fn guarded() -> (Router, Identity) {
    let verifier = make_verifier(&"demo".into()).unwrap();
    let identity = Identity::for_test(&format!("users: [{{name: alice, domain: claims, verifier: \"{verifier}\"}}]"));
    let who = |Authenticated(principal): Authenticated| async move { principal.name.to_string() };
    (Router::new().route("/who", get(who)).with_state(identity.clone()), identity)
}

fn request(authorization: &str) -> String {
    format!("GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {authorization}\r\n\r\n")
}

fn basic(user_and_password: &str) -> String {
    request(&format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(user_and_password)))
}

#[tokio::test]
async fn a_guarded_route_knows_who_calls_by_password_or_token() {
    let (routes, identity) = guarded();
    let answer = ask(routes.clone(), &basic("alice:demo")).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\nalice"), "{answer}");
    let token = identity.mint_bearer(&identity.lookup(&crate::id::PrincipalName::new("alice")).unwrap());
    let answer = ask(routes, &request(&format!("Bearer {token}"))).await;
    assert!(answer.ends_with("\r\n\r\nalice"), "{answer}");
}

#[tokio::test]
async fn a_guarded_route_refuses_everybody_else_alike() {
    let (routes, _) = guarded();
    let wrong = ask(routes.clone(), &basic("alice:nope")).await;
    let unknown = ask(routes.clone(), &basic("alicf:nope")).await;
    let undated = |answer: &str| answer.lines().filter(|line| !line.starts_with("date:")).collect::<Vec<_>>().join("\n");
    assert_eq!(undated(&wrong).replace("alice", "alicf"), undated(&unknown));
    assert!(wrong.starts_with("HTTP/1.1 401") && wrong.contains("www-authenticate: Basic"), "{wrong}");
    assert!(wrong.contains(r#"{"error":{"code":"LOGIN","sqlstate":"28P01","message":"password authentication failed"#), "{wrong}");
    for bad in [request("Bearer mg1.x.y"), request("Digest x"), request("Basic !"), "GET /who HTTP/1.0\r\n\r\n".to_owned()] {
        let answer = ask(routes.clone(), &bad).await;
        assert!(answer.starts_with("HTTP/1.1 401") || answer.starts_with("HTTP/1.0 401"), "{answer}");
    }
}
