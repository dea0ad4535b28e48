//! Logging in, staying logged in, and no longer being let in.

use std::time::Duration;

use arrow_flight::sql::client::FlightSqlServiceClient;
use bytes::{Buf, BufMut, BytesMut};
use meshgate::identity::users::{make_verifier, remove_user, set_verifier};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{TestGateway, eventually};

fn two_users() -> crate::harness::Builder {
    TestGateway::new().domain("shop").user("alice", "shop", &["g"], &[]).user("bob", "shop", &[], &[])
}

/// A PostgreSQL client that shows every byte.
struct RawClient(TcpStream);

impl RawClient {
    async fn connect(gateway: &TestGateway, user: &str) -> Self {
        let mut stream = TcpStream::connect(gateway.addresses().postgres).await.unwrap();
        let mut body = BytesMut::new();
        body.put_u32(196_608);
        for text in ["user", user, "database", "mesh"] {
            body.put_slice(text.as_bytes());
            body.put_u8(0);
        }
        body.put_u8(0);
        let mut message = BytesMut::new();
        message.put_u32(u32::try_from(body.len()).unwrap() + 4);
        message.put(body);
        stream.write_all(&message).await.unwrap();
        Self(stream)
    }

    async fn send(&mut self, kind: u8, body: &[u8]) {
        let mut message = BytesMut::new();
        message.put_u8(kind);
        message.put_u32(u32::try_from(body.len()).unwrap() + 4);
        message.put_slice(body);
        self.0.write_all(&message).await.unwrap();
    }

    /// The next message: its kind and its body.
    async fn receive(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 5];
        self.0.read_exact(&mut head).await.unwrap();
        let length = (&head[1..]).get_u32() as usize;
        let mut body = vec![0; length - 4];
        self.0.read_exact(&mut body).await.unwrap();
        (head[0], body)
    }

    /// Everything that the server says to somebody who has the wrong password.
    async fn fail(gateway: &TestGateway, user: &str) -> Vec<(u8, Vec<u8>)> {
        let mut client = Self::connect(gateway, user).await;
        let mut heard = vec![client.receive().await];
        let first = b"n,,n=,r=0123456789abcdefghijklmn";
        let mut body = BytesMut::from(&b"SCRAM-SHA-256\0"[..]);
        body.put_u32(u32::try_from(first.len()).unwrap());
        body.put_slice(first);
        client.send(b'p', &body).await;
        heard.push(client.receive().await);
        let challenge = String::from_utf8_lossy(&heard[1].1[4..]).into_owned();
        let nonce = challenge.split(',').next().unwrap();
        let proof = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        client.send(b'p', format!("c=biws,{nonce},p={proof}").as_bytes()).await;
        heard.push(client.receive().await);
        let mut rest = Vec::new();
        client.0.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty(), "the connection is closed after the refusal");
        heard
    }
}

/// A challenge with what must differ (the nonce's second half, the salt) replaced by its length.
fn shape(challenge: &[u8]) -> Vec<(String, usize)> {
    let text = String::from_utf8_lossy(&challenge[4..]).into_owned();
    text.split(',')
        .map(|field| match field.split_once('=') {
            Some(("i", rounds)) => (format!("i={rounds}"), 0),
            Some((name, value)) => (name.to_owned(), value.len()),
            None => (field.to_owned(), 0),
        })
        .collect()
}

#[tokio::test]
async fn an_unknown_user_and_a_wrong_password_are_told_the_same_bytes() {
    let gateway = two_users().start().await;
    let known = RawClient::fail(&gateway, "alice").await;
    let unknown = RawClient::fail(&gateway, "alicf").await;
    assert_eq!(known[0], unknown[0], "the offer of mechanisms");
    assert_eq!((known[1].0, shape(&known[1].1)), (unknown[1].0, shape(&unknown[1].1)), "the challenge");
    let refusal = |message: &(u8, Vec<u8>)| (message.0, String::from_utf8(message.1.clone()).unwrap());
    assert_eq!(refusal(&known[2]).1.replace("alice", "alicf"), refusal(&unknown[2]).1, "the refusal");
    assert_eq!(refusal(&known[2]).0, b'E');
    assert!(refusal(&known[2]).1.contains("C28P01\0Mpassword authentication failed for user \"alice\"\0"), "{:?}", refusal(&known[2]));
    // The made-up salt is the same each time, as a real one is.
    let salt =
        |heard: &[(u8, Vec<u8>)]| String::from_utf8_lossy(&heard[1].1).split(',').find(|field| field.starts_with("s=")).unwrap().to_owned();
    assert_eq!(salt(&unknown), salt(&RawClient::fail(&gateway, "alicf").await));
}

#[tokio::test]
async fn over_flight_too() {
    let gateway = two_users().start().await;
    let mut messages = Vec::new();
    for user in ["alice", "alicf"] {
        let mut client = gateway.flight_stranger().await;
        messages.push(client.handshake(user, "wrong").await.unwrap_err().to_string());
    }
    assert_eq!(messages[0].replace("alice", "alicf"), messages[1]);
    assert!(
        messages[0].contains("password authentication failed for user \\\"alice\\\"") || messages[0].contains("for user \"alice\""),
        "{}",
        messages[0]
    );
}

#[tokio::test]
async fn c6_a_bearer_token_outlives_a_restart_but_not_its_time_nor_the_password() {
    let mut gateway = two_users().start().await;
    let token = gateway.flight("alice").await.token().unwrap().clone();
    let bearer = |gateway: &TestGateway, token: &str| {
        let (address, token) = (gateway.addresses().flight, token.to_owned());
        async move {
            let channel = tonic::transport::Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
            let mut client = FlightSqlServiceClient::new(channel);
            client.set_token(token);
            client.execute("SELECT 1".to_owned(), None).await.map(drop).map_err(|error| error.to_string())
        }
    };
    bearer(&gateway, &token).await.unwrap();
    gateway.restart().await;
    bearer(&gateway, &token).await.unwrap();

    gateway.clock().advance(chrono::TimeDelta::hours(9));
    let expired = bearer(&gateway, &token).await.unwrap_err();
    assert!(expired.contains("invalid or expired bearer token"), "{expired}");

    let token = gateway.flight("alice").await.token().unwrap().clone();
    bearer(&gateway, &token).await.unwrap();
    set_verifier(&gateway.users_file(), "alice", make_verifier(&"other".into()).unwrap()).unwrap();
    let ended = eventually(Duration::from_secs(1), || async { bearer(&gateway, &token).await.is_err() }).await;
    assert!(ended, "a new password ends the token within a second");
}

#[tokio::test]
async fn a_changed_users_file_bites_within_a_second_and_a_broken_one_changes_nothing() {
    let gateway = two_users().start().await;
    gateway.put_user("carol", "shop", &[], &[]);
    let let_in = eventually(Duration::from_secs(1), || async { gateway.try_pg("carol", "demo").await.is_ok() }).await;
    assert!(let_in, "a new user");

    let valid = std::fs::read_to_string(gateway.users_file()).unwrap();
    std::fs::write(gateway.users_file(), "users: [{nam: x}]\n").unwrap();
    let lost = eventually(Duration::from_secs(1), || async { gateway.try_pg("carol", "demo").await.is_err() }).await;
    assert!(!lost, "the last valid users stay");
    std::fs::write(gateway.users_file(), valid).unwrap();

    let session = gateway.pg("bob").await;
    session.simple_query("SELECT 1").await.unwrap();
    remove_user(&gateway.users_file(), "bob").unwrap();
    let refused = eventually(Duration::from_secs(1), || async { session.simple_query("SELECT 1").await.is_err() }).await;
    assert!(refused, "a removed user's session");
    assert!(gateway.try_pg("bob", "demo").await.is_err());
}
