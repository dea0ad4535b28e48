//! Every key with its type, its default and its documentation: the one declaration.

use super::document::{Reader, Section};
use super::jwt::Issuers;
use super::kinds::{Address, Count, Flag, Folder, Kind, Maybe, Memory, Place, Size, StatementText, Text, Time, Tls};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;
const DAY: u64 = 86_400;

/// What is told of one key.
pub(super) struct Key {
    pub name: &'static str,
    /// As it would stand in the file; `none` where there is none.
    pub default: &'static str,
    pub doc: &'static [&'static str],
    pub expected: fn() -> String,
}

macro_rules! sections {
    ($($(#[doc = $about:literal])* [$section:literal] $type:ident {
        $($(#[doc = $doc:literal])* $key:ident: $kind:ty = $default:tt;)*
        $(@later $later:literal;)*
    })*) => {
        $(
            $(#[doc = $about])*
            #[derive(Debug)]
            pub(super) struct $type {
                $($(#[doc = $doc])* pub $key: <$kind as Kind>::Value,)*
            }

            impl Section for $type {
                const NAME: &'static str = $section;
                const KEYS: &'static [Key] = &[$(Key {
                    name: stringify!($key),
                    default: stringify!($default),
                    doc: &[$($doc),*],
                    expected: <$kind as Kind>::expected,
                }),*];
                const LATER: &'static [&'static str] = &[$($later),*];

                fn read(reader: &mut Reader<'_>) -> Self {
                    // A section may have no keys yet.
                    let _ = &reader;
                    Self { $($key: reader.value::<$kind>($section, stringify!($key), stringify!($default)),)* }
                }
            }
        )*

        /// All sections: name, what it is about, keys.
        pub(super) const SECTIONS: &[(&str, &[&str], &[Key])] = &[$(($section, &[$($about),*], <$type as Section>::KEYS)),*];
    };
}

sections! {
    /// Where the doors are. Port 0 takes a free port; `meshgate serve` prints the one it got.
    ["server"] Server {
        /// The PostgreSQL door.
        postgres: Address = "127.0.0.1:5433";
        /// The Arrow Flight SQL door.
        flight: Address = "127.0.0.1:50051";
        /// The HTTP door: health, readiness, metrics, access.
        http: Address = "127.0.0.1:8080";
        /// Where this gateway runs. A product with `residency` is readable only where it holds this region.
        region: Maybe<Text> = none;
        /// TLS for all doors: `{ cert = "chain.pem", key = "key.pem", client_ca = "ca.pem" }`. With `client_ca`, every client must show
        /// a certificate of that authority.
        tls: Maybe<Tls> = none;
        /// Lets doors beyond loopback do without TLS. Passwords and data can then be read on the wire.
        insecure: Flag = false;
    }
    /// What exists.
    ["catalog"] Catalog {
        /// The catalog's folder. It is watched: a change holds within a second.
        location: Folder = "catalog";
    }
    /// What the gateway keeps for itself.
    ["state"] State {
        /// The folder of the usage journal, of access records, of the gateway's keys and of spilled data. It belongs to one gateway, and in its backups.
        location: Folder = "state";
    }
    /// Who is asking.
    ["identity"] Identity {
        /// The users file, written by `meshgate user`. It is watched: a change holds within a second.
        users: Folder = "identity.yaml";
        /// How long a bearer token of the Flight and HTTP doors is valid. A new password ends it earlier.
        token_lifetime: Time<60, { 30 * DAY }> = "8h";
        /// Identity providers whose tokens (JWT) are accepted, each `{ issuer = "https://idp.example/", audience = "meshgate", jwks =
        /// "jwks.json" }`; see `docs/identity.md`. Their keys are in a file, which is watched: a change holds within a second; or at an address
        /// (`https://…`), which is asked every five minutes and when a token names a key that is not there.
        jwt: Issuers = [];
    }
    /// Bounds on what clients can ask for.
    ["limits"] Limits {
        /// Connections at once, for each door.
        connections: Count<1, 100_000> = 500;
        /// From accept to authenticated.
        login_timeout: Time<1, 600> = "10s";
        /// Bytes that a client can make the gateway hold before it is authenticated.
        login_bytes: Size<{ 4 * KIB }, { 16 * MIB }> = "64KiB";
        /// What a session's `statement_timeout` is at first; `0s` is none.
        statement_timeout: Time<0, { 30 * DAY }> = "10m";
        /// The longest statement.
        statement_bytes: Size<{ KIB }, { 64 * MIB }> = "1MiB";
        /// The largest message of either protocol.
        message_bytes: Size<{ 64 * KIB }, { 1024 * MIB }> = "16MiB";
        /// Prepared statements of one connection.
        prepared_statements: Count<1, 1_000_000> = 1000;
        /// Portals and cursors of one connection.
        portals: Count<1, 1_000_000> = 1000;
        /// Memory for all queries together; a share is one of this machine's memory, or of the container's.
        memory: Memory<{ 16 * MIB }, { 64 * TIB }> = "75%";
        /// Memory for one query; never more than `memory`.
        query_memory: Memory<{ MIB }, { 64 * TIB }> = "40%";
        /// Disk that all queries together may spill to.
        spill: Size<0, { 1024 * TIB }> = "20GiB";
        /// Queries of one consumer domain at once, where its `domain.yaml` does not say. A cursor counts while rows are fetched from it.
        concurrency: Count<1, 10_000> = 16;
        /// Queries of one consumer domain that may wait for their turn.
        queue: Count<0, 100_000> = 256;
        /// Bytes that one query may scan, where neither the session nor the catalog says.
        max_scan_bytes: Maybe<Size<0, { 1024 * 1024 * TIB }>> = none;
        /// Access requests of one principal that may wait for a decision.
        access_requests: Count<1, 10_000> = 20;
        /// The longest time for which access to a product is granted.
        grant: Time<60, { 3650 * DAY }> = "90d";
        /// From SIGTERM until running queries are ended.
        grace: Time<0, { DAY }> = "30s";
    }
    /// What is kept of what was done.
    ["audit"] Audit {
        /// What is kept of a statement: `"digest"`, a SHA-256 of it without its literals, or `"full"`, its text as well, with all that
        /// readers write into literals and comments.
        statements: StatementText = "digest";
    }
    /// What it cost.
    ["metering"] Metering {
        /// Where usage is published as a Delta table, `file:` and a folder, or `s3://bucket/folder/`; see `docs/finops.md`. Several gateways may
        /// publish to one table.
        publish: Maybe<Place> = none;
        /// The credential of `publish`, where that is S3: one of `[credentials]`.
        publish_credentials: Maybe<Text> = none;
        /// How often usage is published. It is also when a gateway stops.
        publish_every: Time<1, { DAY }> = "60s";
        /// How long usage that is published stays in the journal too; for good where this is not set. The finance tables show it either way.
        keep: Maybe<Time<{ 62 * DAY }, { 3650 * DAY }>> = none;
        /// Where alerts of budgets are sent to, `https://…`; see `docs/finops.md`. Without it they are in the log.
        alerts_url: Maybe<Text> = none;
        /// The credential that alerts are signed with, of type `key`: one of `[credentials]`.
        alerts_credentials: Maybe<Text> = none;
    }
}
