//! The file: SQLite in write-ahead mode with full synchronisation. What was answered is on disk.
//!
//! `requests` and `grants` say how things stand, `events` who did what, why and when; an event is never changed or deleted. The file is
//! this process's alone: the journal beside it holds the state folder's lock.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, Transaction, named_params, params};

use super::{AccessRequest, Grant, GrantId, RequestId, Status, Term};
use crate::error::{ErrorKind, Fault, Result};
use crate::id::{DomainName, PrincipalName, ProductId, ProductName};
use crate::records::Kind;

/// Its name within the state folder.
pub(crate) const FILE: &str = "access.sqlite";

/// How many times the requests that may wait can be made in a day.
const A_DAY: usize = 10;
/// Requests that are listed at once.
const PAGE: i64 = 1000;

const KIND: Kind = Kind {
    name: "access records",
    // "MESA".
    application_id: 0x4d45_5341,
    version: 1,
    tables: "
    CREATE TABLE requests (
        entry INTEGER PRIMARY KEY, request_id TEXT NOT NULL UNIQUE, principal TEXT NOT NULL, consumer_domain TEXT NOT NULL,
        domain TEXT NOT NULL, product TEXT NOT NULL, purpose TEXT, reason TEXT NOT NULL, requested_at INTEGER NOT NULL,
        until INTEGER, lasts INTEGER, status TEXT NOT NULL CHECK (status IN ('pending', 'approved', 'rejected', 'withdrawn')),
        decided_by TEXT, decided_at INTEGER, decision_reason TEXT, CHECK ((until IS NULL) <> (lasts IS NULL))) STRICT;
    CREATE INDEX requests_of ON requests (principal, status);
    CREATE INDEX requests_for ON requests (domain, status);
    CREATE TABLE grants (
        entry INTEGER PRIMARY KEY, grant_id TEXT NOT NULL UNIQUE, request_id TEXT NOT NULL UNIQUE REFERENCES requests (request_id),
        principal TEXT NOT NULL, consumer_domain TEXT NOT NULL, domain TEXT NOT NULL, product TEXT NOT NULL, purpose TEXT,
        reason TEXT NOT NULL, granted_by TEXT NOT NULL, granted_at INTEGER NOT NULL, expires_at INTEGER NOT NULL,
        revoked_by TEXT, revoked_at INTEGER, CHECK (granted_by <> principal)) STRICT;
    CREATE INDEX grants_by_expiry ON grants (expires_at);
    CREATE TABLE events (
        entry INTEGER PRIMARY KEY, occurred_at INTEGER NOT NULL, action TEXT NOT NULL, actor TEXT NOT NULL, request_id TEXT NOT NULL,
        grant_id TEXT, principal TEXT NOT NULL, consumer_domain TEXT NOT NULL, domain TEXT NOT NULL, product TEXT NOT NULL, purpose TEXT,
        expires_at INTEGER, reason TEXT) STRICT;
    CREATE TRIGGER requests_stay BEFORE DELETE ON requests BEGIN SELECT RAISE(ABORT, 'requests are kept'); END;
    CREATE TRIGGER requests_are_decided_once BEFORE UPDATE ON requests WHEN old.status <> 'pending'
        BEGIN SELECT RAISE(ABORT, 'a request is decided once'); END;
    CREATE TRIGGER grants_stay BEFORE DELETE ON grants BEGIN SELECT RAISE(ABORT, 'grants are kept'); END;
    CREATE TRIGGER grants_are_only_revoked BEFORE UPDATE OF entry, grant_id, request_id, principal, consumer_domain, domain, product, purpose,
        reason, granted_by, granted_at, expires_at ON grants BEGIN SELECT RAISE(ABORT, 'a grant is not changed'); END;
    CREATE TRIGGER events_stay BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'the audit is not changed'); END;
    CREATE TRIGGER events_are_kept BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'the audit is not changed'); END;
",
};

const REQUEST: &str = "SELECT request_id, principal, consumer_domain, domain, product, purpose, reason, requested_at, until, lasts, status,
    decided_by, decided_at, decision_reason FROM requests";
const GRANT: &str = "SELECT grant_id, request_id, principal, consumer_domain, domain, product, purpose, reason, granted_by, granted_at,
    expires_at FROM grants";

/// Whose requests are listed.
pub(super) enum Scope {
    All,
    Concerning { principal: PrincipalName, domains: Vec<DomainName> },
}

/// The one connection that writes.
pub(super) struct Store(Connection);

impl Store {
    /// Opens and checks the file in `folder`, or makes it.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        KIND.open(&folder.join(FILE)).map(Self)
    }

    /// Writes in one transaction, which is on disk when this answers.
    fn write<T>(&mut self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<Result<T>>) -> Result<T> {
        KIND.write(&mut self.0, work)
    }

    pub(super) fn ask(&mut self, request: &AccessRequest, most: usize) -> Result<()> {
        self.write(|transaction| {
            let pending: i64 = transaction.query_row(
                "SELECT count(*) FROM requests WHERE principal = ?1 AND status = 'pending'",
                [request.principal.as_str()],
                |row| row.get(0),
            )?;
            if usize::try_from(pending).map_or(true, |pending| pending >= most) {
                return Ok(Err(Fault::new(ErrorKind::TooManyPending, format!("{pending} of your access requests wait for a decision"))
                    .with_hint("Wait for the stewards, or take one back.")));
            }
            // Requests that were taken back are kept too, so asking and taking back is bounded as well.
            let day = (request.requested_at - TimeDelta::days(1)).timestamp_micros();
            let lately: i64 = transaction.query_row(
                "SELECT count(*) FROM requests WHERE principal = ?1 AND requested_at > ?2",
                params![request.principal.as_str(), day],
                |row| row.get(0),
            )?;
            if usize::try_from(lately).map_or(true, |lately| lately >= most.saturating_mul(A_DAY)) {
                return Ok(Err(Fault::new(ErrorKind::TooManyPending, format!("you have asked for access {lately} times in a day"))
                    .with_hint("Ask again tomorrow.")));
            }
            let (domain, product) = (request.product.domain.as_str(), request.product.product.as_str());
            let same: Option<String> = transaction
                .query_row(
                    "SELECT request_id FROM requests
                     WHERE principal = ?1 AND status = 'pending' AND domain = ?2 AND product = ?3 AND purpose IS ?4",
                    params![request.principal.as_str(), domain, product, request.purpose],
                    |row| row.get(0),
                )
                .optional()?;
            if let Some(same) = same {
                return Ok(Err(Fault::new(ErrorKind::NotInState, format!("you have asked for access to {} already", request.product))
                    .with_hint(format!("The request {same} waits for a decision; take it back to ask for something else."))));
            }
            let (until, lasts) = match request.term {
                Term::Until(until) => (Some(until.timestamp_micros()), None),
                Term::For(time) => (None, Some(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))),
            };
            transaction.execute(
                "INSERT INTO requests (request_id, principal, consumer_domain, domain, product, purpose, reason, requested_at, until, lasts,
                     status) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'pending')",
                params![
                    request.id.to_string(),
                    request.principal.as_str(),
                    request.domain.as_str(),
                    domain,
                    product,
                    request.purpose,
                    request.reason,
                    request.requested_at.timestamp_micros(),
                    until,
                    lasts,
                ],
            )?;
            event(transaction, request, None, "requested", &request.principal, request.requested_at, until, Some(&request.reason))?;
            Ok(Ok(()))
        })
    }

    pub(super) fn request(&self, id: RequestId) -> Result<Option<AccessRequest>> {
        let found = self.0.query_row(&format!("{REQUEST} WHERE request_id = ?1"), [id.to_string()], read_request).optional();
        found.map_err(cannot_read)
    }

    /// Newest first.
    pub(super) fn requests(&self, scope: &Scope, status: Option<Status>) -> Result<Vec<AccessRequest>> {
        let (all, principal, domains) = match scope {
            Scope::All => (true, "", "[]".to_owned()),
            Scope::Concerning { principal, domains } => {
                (false, principal.as_str(), serde_json::to_string(domains).map_err(Fault::internal)?)
            }
        };
        let sql = format!(
            "{REQUEST} WHERE (:all OR principal = :principal OR domain IN (SELECT value FROM json_each(:domains)))
             AND (:status IS NULL OR status = :status) ORDER BY entry DESC LIMIT {PAGE}"
        );
        let mut statement = self.0.prepare_cached(&sql).map_err(cannot_read)?;
        let values = named_params! {":all": all, ":principal": principal, ":domains": domains, ":status": status.map(Status::label)};
        let rows = statement.query_map(values, read_request).map_err(cannot_read)?;
        rows.collect::<rusqlite::Result<_>>().map_err(cannot_read)
    }

    /// Rejected or withdrawn.
    pub(super) fn close(
        &mut self,
        request: &AccessRequest,
        status: Status,
        by: &PrincipalName,
        now: DateTime<Utc>,
        reason: Option<&str>,
    ) -> Result<AccessRequest> {
        self.write(|transaction| {
            decide(transaction, request.id, status, by, now, reason)?;
            event(transaction, request, None, status.label(), by, now, None, reason)?;
            Ok(Ok(AccessRequest {
                status,
                decided_by: Some(by.clone()),
                decided_at: Some(now),
                decision_reason: reason.map(str::to_owned),
                ..request.clone()
            }))
        })
    }

    /// Approves the request and makes the grant.
    pub(super) fn approve(&mut self, grant: &Grant, reason: &str) -> Result<()> {
        self.write(|transaction| {
            decide(transaction, grant.request_id, Status::Approved, &grant.granted_by, grant.granted_at, Some(reason))?;
            transaction.execute(
                "INSERT INTO grants (grant_id, request_id, principal, consumer_domain, domain, product, purpose, reason, granted_by, granted_at,
                     expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                params![
                    grant.id.to_string(),
                    grant.request_id.to_string(),
                    grant.principal.as_str(),
                    grant.domain.as_str(),
                    grant.product.domain.as_str(),
                    grant.product.product.as_str(),
                    grant.purpose,
                    grant.reason,
                    grant.granted_by.as_str(),
                    grant.granted_at.timestamp_micros(),
                    grant.expires_at.timestamp_micros(),
                ],
            )?;
            granted(transaction, grant, "approved", &grant.granted_by, grant.granted_at, Some(reason))?;
            Ok(Ok(()))
        })
    }

    pub(super) fn grant(&self, id: GrantId) -> Result<Option<Grant>> {
        self.0.query_row(&format!("{GRANT} WHERE grant_id = ?1"), [id.to_string()], read_grant).optional().map_err(cannot_read)
    }

    /// Ends a grant that has not ended yet.
    pub(super) fn revoke(&mut self, grant: &Grant, by: &PrincipalName, now: DateTime<Utc>, reason: Option<&str>) -> Result<()> {
        self.write(|transaction| {
            let changed = transaction.execute(
                "UPDATE grants SET revoked_by = ?2, revoked_at = ?3 WHERE grant_id = ?1 AND revoked_at IS NULL AND expires_at > ?3",
                params![grant.id.to_string(), by.as_str(), now.timestamp_micros()],
            )?;
            if changed == 0 {
                return Ok(Err(Fault::new(ErrorKind::NotInState, format!("the grant {} has ended already", grant.id))));
            }
            let action = if *by == grant.principal { "returned" } else { "revoked" };
            granted(transaction, grant, action, by, now, reason)?;
            Ok(Ok(()))
        })
    }

    /// The grants that hold now.
    pub(super) fn unexpired(&self, now: DateTime<Utc>) -> Result<Vec<Grant>> {
        let sql = format!("{GRANT} WHERE expires_at > ?1 AND revoked_at IS NULL");
        let mut statement = self.0.prepare(&sql).map_err(cannot_read)?;
        let rows = statement.query_map([now.timestamp_micros()], read_grant).map_err(cannot_read)?;
        rows.collect::<rusqlite::Result<_>>().map_err(cannot_read)
    }
}

/// The grants of a principal that were live at a moment, read beside a gateway that may run. None where there is no file.
pub(super) fn granted_at(folder: &Path, holder: (&PrincipalName, &DomainName), at: DateTime<Utc>) -> Result<Vec<Grant>> {
    let path = folder.join(FILE);
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(cannot_read)?;
    let sql = format!(
        "{GRANT} WHERE principal = ?1 AND consumer_domain = ?2 AND granted_at <= ?3 AND expires_at > ?3
             AND (revoked_at IS NULL OR revoked_at > ?3) ORDER BY entry"
    );
    let mut statement = connection.prepare(&sql).map_err(cannot_read)?;
    let values = params![holder.0.as_str(), holder.1.as_str(), at.timestamp_micros()];
    let rows = statement.query_map(values, read_grant).map_err(cannot_read)?;
    rows.collect::<rusqlite::Result<_>>().map_err(cannot_read)
}

/// Of a request that was decided meanwhile.
pub(super) fn decided_already(id: RequestId, status: Status, by: Option<&PrincipalName>) -> Fault {
    let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
    Fault::new(ErrorKind::NotInState, format!("the access request {id} was {}{by} already", status.label()))
}

/// The request must be pending, which its caller saw under the lock of this store; the trigger refuses what is not.
fn decide(
    transaction: &Transaction<'_>,
    id: RequestId,
    status: Status,
    by: &PrincipalName,
    now: DateTime<Utc>,
    reason: Option<&str>,
) -> rusqlite::Result<()> {
    let changed = transaction.execute(
        "UPDATE requests SET status = ?2, decided_by = ?3, decided_at = ?4, decision_reason = ?5 WHERE request_id = ?1 AND status = 'pending'",
        params![id.to_string(), status.label(), by.as_str(), now.timestamp_micros(), reason],
    )?;
    if changed == 1 { Ok(()) } else { Err(rusqlite::Error::StatementChangedRows(changed)) }
}

fn granted(
    transaction: &Transaction<'_>,
    grant: &Grant,
    action: &str,
    actor: &PrincipalName,
    at: DateTime<Utc>,
    reason: Option<&str>,
) -> rusqlite::Result<()> {
    let request = AccessRequest {
        id: grant.request_id,
        principal: grant.principal.clone(),
        domain: grant.domain.clone(),
        product: grant.product.clone(),
        purpose: grant.purpose.clone(),
        reason: grant.reason.clone(),
        requested_at: grant.granted_at,
        term: Term::Until(grant.expires_at),
        status: Status::Approved,
        decided_by: None,
        decided_at: None,
        decision_reason: None,
    };
    event(transaction, &request, Some(grant.id), action, actor, at, Some(grant.expires_at.timestamp_micros()), reason)
}

#[expect(clippy::too_many_arguments, reason = "each is a column")]
fn event(
    transaction: &Transaction<'_>,
    request: &AccessRequest,
    grant: Option<GrantId>,
    action: &str,
    actor: &PrincipalName,
    at: DateTime<Utc>,
    expires_at: Option<i64>,
    reason: Option<&str>,
) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT INTO events (occurred_at, action, actor, request_id, grant_id, principal, consumer_domain, domain, product, purpose, expires_at,
             reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        params![
            at.timestamp_micros(),
            action,
            actor.as_str(),
            request.id.to_string(),
            grant.map(|grant| grant.to_string()),
            request.principal.as_str(),
            request.domain.as_str(),
            request.product.domain.as_str(),
            request.product.product.as_str(),
            request.purpose,
            expires_at,
            reason,
        ],
    )?;
    Ok(())
}

fn read_request(row: &Row<'_>) -> rusqlite::Result<AccessRequest> {
    let status: String = row.get(10)?;
    let term = match row.get::<_, Option<i64>>(8)? {
        Some(until) => Term::Until(time(until)),
        None => Term::For(Duration::from_secs(u64::try_from(row.get::<_, i64>(9)?).unwrap_or(0))),
    };
    Ok(AccessRequest {
        id: parsed(row, 0)?,
        principal: PrincipalName::new(&row.get::<_, String>(1)?),
        domain: parsed(row, 2)?,
        product: product(row, 3)?,
        purpose: row.get(5)?,
        reason: row.get(6)?,
        requested_at: time(row.get(7)?),
        term,
        // The table's own check leaves no other label; a request that is not known to be open is not.
        status: Status::of(&status).unwrap_or(Status::Rejected),
        decided_by: row.get::<_, Option<String>>(11)?.map(|by| PrincipalName::new(&by)),
        decided_at: row.get::<_, Option<i64>>(12)?.map(time),
        decision_reason: row.get(13)?,
    })
}

fn read_grant(row: &Row<'_>) -> rusqlite::Result<Grant> {
    Ok(Grant {
        id: parsed(row, 0)?,
        request_id: parsed(row, 1)?,
        principal: PrincipalName::new(&row.get::<_, String>(2)?),
        domain: parsed(row, 3)?,
        product: product(row, 4)?,
        purpose: row.get(6)?,
        reason: row.get(7)?,
        granted_by: PrincipalName::new(&row.get::<_, String>(8)?),
        granted_at: time(row.get(9)?),
        expires_at: time(row.get(10)?),
    })
}

fn parsed<T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>>(row: &Row<'_>, at: usize) -> rusqlite::Result<T> {
    let text: String = row.get(at)?;
    text.parse().map_err(|error| rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, Box::new(error)))
}

fn product(row: &Row<'_>, at: usize) -> rusqlite::Result<ProductId> {
    Ok(ProductId { domain: parsed::<DomainName>(row, at)?, product: parsed::<ProductName>(row, at + 1)? })
}

/// A time that cannot be is one that is long past: a grant that cannot be read has run out.
fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

fn cannot_read(error: rusqlite::Error) -> Fault {
    KIND.cannot_read(error)
}
