//! A PostgreSQL client that shows every message as it came.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{PASSWORD, TestGateway};

/// How long an answer may take.
pub const READ_ALL: Duration = Duration::from_secs(20);

/// A client that shows every message.
pub struct Raw {
    pub stream: TcpStream,
    pub pid: i32,
    pub key: i32,
}

/// A message: its type and its body.
pub type Message = (u8, Vec<u8>);

/// The first packet.
pub fn startup(user: &str, database: &str) -> BytesMut {
    let mut bytes = BytesMut::new();
    frontend::startup_message([("user", user), ("database", database)], &mut bytes).unwrap();
    bytes
}

impl Raw {
    pub async fn dial(gateway: &TestGateway) -> Self {
        Self::dial_at(gateway.addresses().postgres).await
    }

    async fn dial_at(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), pid: 0, key: 0 }
    }

    /// A session that is ready.
    pub async fn log_in(gateway: &TestGateway, user: &str) -> Self {
        Self::log_in_at(gateway.addresses().postgres, user).await
    }

    /// A session that is ready, wherever the door is.
    pub async fn log_in_at(address: SocketAddr, user: &str) -> Self {
        let mut raw = Self::dial_at(address).await;
        raw.send(&startup(user, "mesh")).await;
        let mut scram = ScramSha256::new(PASSWORD.as_bytes(), ChannelBinding::unsupported());
        raw.receive().await;
        raw.build(|bytes| frontend::sasl_initial_response("SCRAM-SHA-256", scram.message(), bytes).unwrap()).await;
        let (_, challenge) = raw.receive().await;
        scram.update(&challenge[4..]).unwrap();
        raw.build(|bytes| frontend::sasl_response(scram.message(), bytes).unwrap()).await;
        let (_, last) = raw.receive().await;
        scram.finish(&last[4..]).unwrap();
        for (kind, body) in raw.until_ready().await {
            if kind == b'K' {
                raw.pid = (&body[..4]).get_i32();
                raw.key = (&body[4..]).get_i32();
            }
        }
        raw
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub async fn build(&mut self, build: impl FnOnce(&mut BytesMut)) {
        let mut bytes = BytesMut::new();
        build(&mut bytes);
        self.send(&bytes).await;
    }

    pub async fn query(&mut self, sql: &str) {
        self.build(|bytes| frontend::query(sql, bytes).unwrap()).await;
    }

    pub async fn try_receive(&mut self) -> Option<Message> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head).await.ok()?;
        let length = (&head[1..]).get_u32() as usize;
        let mut body = vec![0; length - 4];
        self.stream.read_exact(&mut body).await.ok()?;
        Some((head[0], body))
    }

    pub async fn receive(&mut self) -> Message {
        tokio::time::timeout(READ_ALL, self.try_receive()).await.expect("the gateway answers").expect("the connection lives")
    }

    pub async fn until_ready(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            let message = self.receive().await;
            let ready = message.0 == b'Z';
            messages.push(message);
            if ready {
                return messages;
            }
        }
    }

    /// Everything until the gateway hangs up.
    pub async fn until_closed(&mut self) -> Vec<Message> {
        let all = async {
            let mut messages = Vec::new();
            while let Some(message) = self.try_receive().await {
                messages.push(message);
            }
            messages
        };
        tokio::time::timeout(READ_ALL, all).await.expect("the gateway hangs up")
    }

    /// Reads rows until something else comes.
    pub async fn after_rows(&mut self) -> Message {
        loop {
            let message = self.receive().await;
            if message.0 != b'D' {
                return message;
            }
        }
    }
}
