//! How it is set up: `meshgate.toml`, raw and then validated.

use std::time::Duration;

/// Bounds on everything that a client can ask for. Every field has a default that works on a laptop.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once, per door.
    pub connections: usize,
    /// From accept to authenticated.
    pub login_timeout: Duration,
    /// Bytes that an unauthenticated client may make us buffer.
    pub login_bytes: usize,
    /// Default of `statement_timeout`; zero is none.
    pub statement_timeout: Duration,
    /// Longest statement, in bytes.
    pub statement_bytes: usize,
    /// Largest protocol message, in bytes.
    pub message_bytes: usize,
    /// Prepared statements per connection.
    pub prepared_statements: usize,
    /// Portals and cursors per connection.
    pub portals: usize,
    /// Memory for all queries together, in bytes.
    pub memory: u64,
    /// Memory for one query, in bytes.
    pub query_memory: u64,
    /// Disk that queries may spill to, all together, in bytes.
    pub spill: u64,
    /// Queries of one consumer domain at once, where its `domain.yaml` does not say.
    pub concurrency: usize,
    /// Queries of one consumer domain that may wait.
    pub queue: usize,
    /// Bytes that one query may scan, where nothing else says; `None` is no limit.
    pub max_scan_bytes: Option<u64>,
    /// From SIGTERM until running queries are ended.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        Self {
            connections: 500,
            login_timeout: Duration::from_secs(10),
            login_bytes: 64 << 10,
            statement_timeout: Duration::from_secs(600),
            statement_bytes: 1 << 20,
            message_bytes: 16 << 20,
            prepared_statements: 1000,
            portals: 1000,
            memory: 4096 * MIB,
            query_memory: 2048 * MIB,
            spill: 20480 * MIB,
            concurrency: 16,
            queue: 256,
            max_scan_bytes: None,
            grace: Duration::from_secs(30),
        }
    }
}
