//! One authenticated connection: its reader, its state, and the order of things.
//!
//! A task of its own reads messages all the time, so that a client that leaves, and a Terminate, are noticed while a query runs. What it
//! has read and nobody used yet is bounded in bytes; a client that sends more must wait. Messages are worked on one after the other.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::DataType;
use chrono_tz::Tz;
use datafusion::scalar::ScalarValue;
use pgwire::messages::response::{ReadyForQuery, TransactionStatus};
use pgwire::messages::startup::{Authentication, BackendKeyData, ParameterStatus, SecretKey};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::cancel::{Halt, Registration, Running, Signals, shutting_down};
use super::portal::{Cursor, Shelf};
use super::reply::{self, Outbox, Severity};
use super::transaction::{Effect, Step, Transaction};
use super::wire::{self, Frame, FrameError, Frames, Frontend};
use crate::error::{ErrorKind, Fault};
use crate::query::{Description, Parsed, Session};
use crate::server::Door;
use crate::values::{FloatDigits, Style};

/// What a message costs at least of the room for unread ones.
const LEAST_COST: usize = 256;

/// What every client is told at the start, with the values where the session's settings do not say.
const REPORTED: [(&str, &str); 14] = [
    ("server_version", "16.4"),
    ("server_encoding", "UTF8"),
    ("client_encoding", "UTF8"),
    ("application_name", ""),
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("integer_datetimes", "on"),
    ("standard_conforming_strings", "on"),
    ("is_superuser", "off"),
    ("default_transaction_read_only", "on"),
    ("in_hot_standby", "off"),
    ("search_path", "\"$user\", public"),
    ("scram_iterations", "4096"),
];

/// A connection at work.
#[derive(Debug)]
pub struct Connection<W> {
    pub(super) door: Door,
    pub(super) session: Session,
    pub(super) outbox: Outbox<W>,
    pub(super) signals: Signals,
    pub(super) registration: Registration,
    pub(super) transaction: Transaction,
    /// The newest portal before the transaction began.
    pub(super) portals_before: u64,
    pub(super) shelf: Shelf,
    /// Counts the pipelines, from Sync to Sync.
    pub(super) pipeline: u64,
    /// Whether messages of an unfinished pipeline were worked on.
    in_pipeline: bool,
    /// Whether something failed, so that all up to Sync is skipped.
    skipping: bool,
    /// Whether a simple query of several statements is worked on.
    pub(super) several: bool,
}

/// A message that was read, or why there is none, with its share of the room.
type Inbound = (Result<Frame, Fault>, Option<OwnedSemaphorePermit>);

/// Reads until the client is gone or breaks the protocol.
pub async fn read<R: AsyncRead + Unpin>(
    mut frames: Frames<R>,
    inbox: mpsc::UnboundedSender<Inbound>,
    room: Arc<Semaphore>,
    longest: usize,
    gone: tokio_util::sync::CancellationToken,
) {
    let work = async {
        loop {
            let (kind, length) = match frames.header().await {
                Ok(header) => header,
                Err(FrameError::Closed) => return None,
                Err(FrameError::Broken(fault)) => return Some(fault),
            };
            if !wire::is_known(kind) {
                return Some(Fault::new(ErrorKind::Protocol, format!("invalid frontend message type {kind}")));
            }
            if length > longest {
                let message = format!("a message of {length} bytes is longer than the limit of {longest} bytes");
                return Some(Fault::new(ErrorKind::ProgramLimit, message));
            }
            let cost = u32::try_from(length.max(LEAST_COST)).unwrap_or(u32::MAX);
            let permit = Arc::clone(&room).acquire_many_owned(cost).await.ok()?;
            let frame = frames.body(kind, length).await.ok()?;
            // A client that says good bye does not wait for results.
            if frame.kind == b'X' || inbox.send((Ok(frame), Some(permit))).is_err() {
                return None;
            }
        }
    };
    let broken = tokio::select! {
        broken = work => broken,
        () = gone.cancelled() => None,
    };
    match broken {
        Some(fault) => drop(inbox.send((Err(fault), None))),
        None => gone.cancel(),
    }
}

/// Room for what was read and not used: one message of the greatest length, and some.
pub fn room(longest: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(longest.max(LEAST_COST).min(u32::MAX as usize)))
}

impl<W: AsyncWrite + Unpin + Send> Connection<W> {
    /// A session that has just begun.
    pub fn new(door: Door, session: Session, io: W, signals: Signals, registration: Registration) -> Self {
        let limits = &door.limits;
        let shelf = Shelf::new(limits.prepared_statements, limits.portals, limits.message_bytes.saturating_mul(2));
        Self {
            session,
            outbox: Outbox::new(io),
            signals,
            registration,
            transaction: Transaction::default(),
            portals_before: 0,
            shelf,
            pipeline: 0,
            in_pipeline: false,
            skipping: false,
            several: false,
            door,
        }
    }

    /// Tells the client that it is in, and works until the connection ends.
    pub async fn run(mut self, minor: i32, inbox: mpsc::UnboundedReceiver<Inbound>) {
        let ended = match self.greet(minor).await {
            Ok(()) => self.work(inbox).await,
            Err(halt) => halt,
        };
        if let Halt::Fault(fault) | Halt::Fatal(fault) = ended {
            self.outbox.put(&reply::error(&fault, Severity::Fatal));
            let gone = self.signals.gone.clone();
            tokio::select! {
                () = gone.cancelled() => {}
                () = self.outbox.close() => {}
            }
        }
        self.signals.gone.cancel();
    }

    async fn greet(&mut self, minor: i32) -> Result<(), Halt> {
        self.outbox.put(&Authentication::Ok);
        let settings = self.session.settings();
        // All are told now; only what changes later is news.
        settings.take_reported();
        for (name, otherwise) in REPORTED {
            let value = settings.show(name).unwrap_or_else(|_| otherwise.to_owned());
            self.outbox.put(&ParameterStatus::new(name.to_owned(), value));
        }
        let user = self.session.principal().name.to_string();
        self.outbox.put(&ParameterStatus::new("session_authorization".to_owned(), user));
        let key = self.registration.key();
        let secret = match <[u8; 4]>::try_from(key) {
            Ok(short) if minor < 2 => SecretKey::I32(i32::from_be_bytes(short)),
            _ => SecretKey::Bytes(bytes::Bytes::copy_from_slice(key)),
        };
        self.outbox.put(&BackendKeyData::new(self.registration.pid(), secret));
        self.ready().await
    }

    /// Works until something ends the connection.
    async fn work(&mut self, mut inbox: mpsc::UnboundedReceiver<Inbound>) -> Halt {
        loop {
            let (frame, _room) = match self.next(&mut inbox).await {
                Ok(inbound) => inbound,
                Err(halt) => return halt,
            };
            let frame = match frame {
                Ok(frame) => frame,
                Err(fault) => return Halt::Fatal(Box::new(fault)),
            };
            if let Err(halt) = Box::pin(self.message(frame)).await {
                return halt;
            }
        }
    }

    /// Waits for a message, for the end of the gateway's patience, or for that of the transaction.
    async fn next(&mut self, inbox: &mut mpsc::UnboundedReceiver<Inbound>) -> Result<Inbound, Halt> {
        let may_drain = !self.in_pipeline;
        let idle = self.duration("idle_in_transaction_session_timeout").filter(|_| self.transaction.in_block());
        let idle = async {
            match idle {
                Some(limit) if !limit.is_zero() => tokio::time::sleep(limit).await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.signals.gone.cancelled() => Err(Halt::Gone),
            () = self.signals.ending.cancelled() => Err(Halt::Fatal(Box::new(shutting_down()))),
            () = self.door.draining.cancelled(), if may_drain => Err(Halt::Fatal(Box::new(shutting_down()))),
            fault = self.door.identity.ended(self.session.principal()) => Err(Halt::Fatal(Box::new(fault))),
            inbound = inbox.recv() => inbound.ok_or(Halt::Gone),
            () = idle => {
                let message = "terminating connection due to idle-in-transaction timeout";
                Err(Halt::Fatal(Box::new(Fault::new(ErrorKind::IdleTransaction, message))))
            }
        }
    }

    /// Works on a message. An error of a statement is told and is no error here.
    async fn message(&mut self, frame: Frame) -> Result<(), Halt> {
        let is_simple = matches!(frame.kind, b'Q' | b'F');
        let is_sync = frame.kind == b'S';
        if self.skipping && !is_sync {
            return Ok(());
        }
        self.in_pipeline = !is_simple && !is_sync;
        let worked = match wire::parse(frame) {
            Ok(message) => self.dispatch(message).await,
            Err(fault) => Err(fault.into()),
        };
        match worked {
            Ok(()) => {}
            Err(Halt::Fault(fault)) => {
                self.fail(&fault);
                self.skipping = !is_simple && !is_sync;
                // The Flush that a client waits for is skipped, too: asyncpg sends its Sync only when it has heard of the error.
                if self.skipping {
                    self.flush().await?;
                }
            }
            Err(halt) => return Err(halt),
        }
        if is_simple || is_sync {
            self.end_pipeline();
            self.ready().await?;
        }
        Ok(())
    }

    async fn dispatch(&mut self, message: Frontend) -> Result<(), Halt> {
        match message {
            Frontend::Query(sql) => self.simple(&sql).await,
            Frontend::Parse { name, sql, types } => self.parse(&name, &sql, types).await,
            Frontend::Bind(bind) => self.bind(bind),
            Frontend::Describe(target, name) => self.describe_target(target, &name).await,
            Frontend::Execute { portal, max_rows } => self.execute(&portal, max_rows).await,
            Frontend::Close(target, name) => {
                self.close(target, &name);
                Ok(())
            }
            Frontend::Flush => self.flush().await,
            Frontend::Sync | Frontend::Terminate | Frontend::Copy => Ok(()),
            Frontend::FunctionCall => Err(Fault::new(ErrorKind::Unsupported, "function call protocol is not supported").into()),
        }
    }

    /// Tells of a failed statement.
    fn fail(&mut self, fault: &Fault) {
        self.outbox.put(&reply::error(fault, Severity::Error));
        if self.transaction.fail() {
            self.end_transaction(false);
        } else {
            self.session.settings().fail(self.transaction.savepoint_settings());
        }
    }

    fn end_pipeline(&mut self) {
        self.skipping = false;
        self.several = false;
        self.pipeline += 1;
        if self.transaction.end_implicit() {
            self.end_transaction(true);
        }
    }

    /// A statement begins, and a transaction with it where there is none.
    pub(super) fn start(&mut self) {
        if self.transaction.start_implicit() {
            self.begin_transaction();
        }
    }

    fn begin_transaction(&mut self) {
        self.portals_before = self.shelf.last_portal();
        self.session.settings().begin();
    }

    fn end_transaction(&mut self, committed: bool) {
        self.session.settings().end(committed);
        self.shelf.end_transaction(committed, self.portals_before);
    }

    /// Does what a transaction command did.
    pub(super) fn follow(&mut self, step: Step) -> String {
        if let Some((sqlstate, message)) = step.warning {
            self.outbox.put(&reply::warning(sqlstate, message));
        }
        match step.effect {
            Effect::None => {}
            Effect::Begun => self.begin_transaction(),
            Effect::Ended { committed } => self.end_transaction(committed),
            Effect::RolledBackTo(before) => {
                self.shelf.portals.retain(|_, portal| portal.number <= before.portals);
                self.session.settings().go_back_to(before.settings);
            }
        }
        step.tag.to_owned()
    }

    /// ReadyForQuery, and everything before it.
    async fn ready(&mut self) -> Result<(), Halt> {
        for (name, value) in self.session.settings().take_reported() {
            self.outbox.put(&ParameterStatus::new(name.to_owned(), value));
        }
        let status = match self.transaction.status() {
            b'T' => TransactionStatus::Transaction,
            b'E' => TransactionStatus::Error,
            _ => TransactionStatus::Idle,
        };
        self.outbox.put(&ReadyForQuery::new(status));
        self.flush().await
    }

    /// Sends what there is, unless the client or the gateway ends first.
    pub(super) async fn flush(&mut self) -> Result<(), Halt> {
        tokio::select! {
            biased;
            () = self.signals.gone.cancelled() => Err(Halt::Gone),
            () = self.signals.ending.cancelled() => Err(Halt::Gone),
            flushed = self.outbox.flush() => Ok(flushed?),
        }
    }

    /// What a statement needs and gives, told to those who may run it.
    pub(super) async fn describe(&mut self, parsed: &Parsed, types: &[Option<DataType>]) -> Result<Description, Halt> {
        let running = Running::begin(&self.signals, self.statement_timeout());
        let _listening = running.listen(&self.registration);
        Ok(running.wait(self.door.gateway.describe(&self.session, parsed, types)).await??)
    }

    /// Runs a statement up to its first row, and tells what the reader is to be told.
    pub(super) async fn open(&mut self, parsed: &Parsed, values: &[ScalarValue]) -> Result<Cursor, Halt> {
        let running = Running::begin(&self.signals, self.statement_timeout());
        let rows = {
            let _listening = running.listen(&self.registration);
            running.wait(self.door.gateway.run(&self.session, parsed, values, running.token())).await??
        };
        if !matches!(self.session.settings().show("client_min_messages").as_deref(), Ok("warning" | "error")) {
            for notice in rows.notices() {
                self.outbox.put(&reply::notice(notice));
            }
        }
        Ok(Cursor::new(rows, running))
    }

    /// What values look like in this session.
    pub(super) fn style(&self) -> Style {
        let settings = self.session.settings();
        let digits =
            settings.show("extra_float_digits").ok().and_then(|value| value.parse().ok()).map_or_else(FloatDigits::default, FloatDigits);
        let escape_bytea = settings.show("bytea_output").is_ok_and(|value| value == "escape");
        Style { zone: self.zone(), digits, escape_bytea }
    }

    pub(super) fn zone(&self) -> Tz {
        self.session.settings().time_zone()
    }

    pub(super) fn statement_timeout(&self) -> Duration {
        self.duration("statement_timeout").unwrap_or(self.door.limits.statement_timeout)
    }

    fn duration(&self, setting: &str) -> Option<Duration> {
        parse_duration(&self.session.settings().show(setting).ok()?)
    }
}

/// `0`, `250ms`, `10min`: milliseconds where no unit is said.
fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let millis = match unit.trim() {
        "us" => return Some(Duration::from_micros(number)),
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;
    use tokio_util::sync::CancellationToken;

    #[test]
    fn durations_are_read_as_show_prints_them() {
        for (text, millis) in
            [("0", 0), ("250ms", 250), ("5000", 5000), ("30s", 30_000), ("10min", 600_000), ("1h", 3_600_000), ("1 d", 86_400_000)]
        {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse_duration("soon"), None);
        assert_eq!(parse_duration("99999999999999999999d"), None);
    }

    fn reader(longest: usize) -> (tokio::io::DuplexStream, mpsc::UnboundedReceiver<Inbound>, CancellationToken) {
        let (client, server) = tokio::io::duplex(1 << 16);
        let (sender, receiver) = mpsc::unbounded_channel();
        let gone = CancellationToken::new();
        tokio::spawn(read(Frames::new(server), sender, room(longest), longest, gone.clone()));
        (client, receiver, gone)
    }

    #[tokio::test]
    async fn a_client_that_leaves_is_noticed_while_its_messages_wait() {
        let (mut client, mut inbox, gone) = reader(1024);
        client.write_all(b"H\0\0\0\x04S\0\0\0\x04").await.unwrap();
        drop(client);
        gone.cancelled().await;
        assert_eq!(inbox.recv().await.unwrap().0.unwrap().kind, b'H');
        assert_eq!(inbox.recv().await.unwrap().0.unwrap().kind, b'S');
        assert!(inbox.recv().await.is_none());
    }

    #[tokio::test]
    async fn a_good_bye_ends_what_runs() {
        let (mut client, _inbox, gone) = reader(1024);
        client.write_all(b"X\0\0\0\x04").await.unwrap();
        gone.cancelled().await;
    }

    #[tokio::test]
    async fn what_waits_to_be_worked_on_is_bounded() {
        let (mut client, mut inbox, _gone) = reader(1024);
        // Four messages of the least cost fill the room; the fifth is not read before one of them is done.
        client.write_all(&b"H\0\0\0\x04".repeat(5)).await.unwrap();
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(inbox.recv().await.unwrap());
        }
        tokio::task::yield_now().await;
        assert!(inbox.try_recv().is_err());
        held.pop();
        assert!(inbox.recv().await.is_some());
    }

    #[tokio::test]
    async fn a_message_that_is_too_long_or_unknown_ends_the_connection() {
        for (bytes, code) in [(&b"Q\0\0\x10\0"[..], "54000"), (b"p\0\0\0\x04", "08P01"), (b"Q\xff\xff\xff\xff", "08P01")] {
            let (mut client, mut inbox, _gone) = reader(1024);
            client.write_all(bytes).await.unwrap();
            assert_eq!(inbox.recv().await.unwrap().0.unwrap_err().sqlstate(), code);
        }
    }
}
