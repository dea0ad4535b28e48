//! `meshgate replay`: what a candidate catalog would have decided, asked what readers really asked.
//!
//! The journal has each decision with all that it depended on beside the policy. Requests that were made often are asked once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use rusqlite::Connection;
use serde_json::json;

use super::offline::Offline;
use super::{Failure, Format, load_config, printable, runtime, written};
use crate::catalog::PortRef;
use crate::error::{ErrorKind, Fault, Result};
use crate::id::{DomainName, GroupName, PrincipalName};
use crate::identity::Principal;
use crate::metering::ledger::Ledger;
use crate::metering::{DecisionRequest, Protocol};
use crate::policy::{Circumstances, Decision};
use crate::telemetry::explain;

/// Run a candidate policy over the recorded decisions, and list what changes
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The candidate: a catalog folder
    #[arg(long, value_name = "DIR")]
    policy: PathBuf,
    /// From when on: 2026-11-01, or 2026-11-01T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: DateTime<Utc>,
    /// The configuration; without one `meshgate.toml` where there is one, and the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

fn moment(text: &str) -> std::result::Result<DateTime<Utc>, String> {
    let day = |text: &str| text.parse::<NaiveDate>().ok().map(|day| day.and_time(NaiveTime::MIN).and_utc());
    let time = text.parse::<DateTime<Utc>>().ok();
    time.or_else(|| day(text)).ok_or_else(|| "write it as 2026-11-01 or 2026-11-01T12:00:00Z".to_owned())
}

/// Does what is asked.
pub(super) fn command(args: &Args) -> std::result::Result<(), Failure> {
    let config = load_config(args.config.as_deref())?;
    let ledger = Ledger::in_folder(&config.state);
    if !ledger.exists() {
        return Err(Failure::Failed(format!("there is no journal in {}", config.state.display())));
    }
    let failed = |fault: Fault| Failure::Failed(explain(&fault));
    let recorded = ledger.connect().and_then(|connection| recorded(&connection, args.since)).map_err(failed)?;
    let offline = Offline::open(&config, &args.policy)?;
    let report = runtime()?.block_on(replay(&offline, recorded));
    let mut out = io::stdout().lock();
    written(match args.format {
        Format::Json => writeln!(out, "{:#}", report.document()),
        Format::Text => report.text(&mut out),
    })
}

/// What was decided, as often as it was.
#[derive(Debug)]
struct Recorded {
    principal: String,
    domain: String,
    product: String,
    permitted: bool,
    row_filters: Vec<String>,
    masks: BTreeMap<String, String>,
    /// `None` where the decision is older than the record of requests.
    request: Option<DecisionRequest>,
    times: i64,
    /// When it was last decided so.
    last: DateTime<Utc>,
}

fn recorded(connection: &Connection, since: DateTime<Utc>) -> Result<Vec<Recorded>> {
    const SQL: &str = "SELECT principal, consumer_domain, product, permitted, row_filters, masks, request, count(*),
        max(decided_at) FROM decisions
        WHERE decided_at >= ?1 GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY max(entry)";
    let unreadable = |error: rusqlite::Error| Fault::new(ErrorKind::Storage, "the usage journal cannot be read").with_source(error);
    let mut statement = connection.prepare(SQL).map_err(unreadable)?;
    let texts = |json: String| serde_json::from_str::<Vec<String>>(&json).unwrap_or_default();
    let mask = |text: String| text.split_once('=').map(|(column, mask)| (column.to_owned(), mask.to_owned()));
    let rows = statement.query_map([since.timestamp_micros()], |row| {
        let request: Option<String> = row.get(6)?;
        Ok(Recorded {
            principal: row.get(0)?,
            domain: row.get(1)?,
            product: row.get(2)?,
            permitted: row.get(3)?,
            row_filters: texts(row.get(4)?),
            masks: texts(row.get(5)?).into_iter().filter_map(mask).collect(),
            request: request.and_then(|request| serde_json::from_str(&request).ok()),
            times: row.get(7)?,
            last: DateTime::from_timestamp_micros(row.get(8)?).unwrap_or_default(),
        })
    });
    rows.and_then(Iterator::collect).map_err(unreadable)
}

/// What is different under the candidate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    AllowToDeny(String),
    DenyToAllow,
    Rows { before: Vec<String>, after: Vec<String> },
    ClearToMasked { column: String, mask: String },
    MaskedToClear { column: String, mask: String },
    OtherMask { column: String, before: String, after: String },
}

impl Change {
    fn word(&self) -> &'static str {
        match self {
            Self::AllowToDeny(_) => "allow to deny",
            Self::DenyToAllow => "deny to allow",
            Self::Rows { .. } => "other rows",
            Self::ClearToMasked { .. } => "clear to masked",
            Self::MaskedToClear { .. } => "masked to clear",
            Self::OtherMask { .. } => "other mask",
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = |filters: &[String]| if filters.is_empty() { "all rows".to_owned() } else { filters.join(" AND ") };
        match self {
            Self::AllowToDeny(reason) => f.write_str(reason),
            Self::DenyToAllow => Ok(()),
            Self::Rows { before, after } => write!(f, "{} → {}", rows(before), rows(after)),
            Self::ClearToMasked { column, mask } => write!(f, "{column}: {mask}"),
            Self::MaskedToClear { column, mask } => write!(f, "{column}, was {mask}"),
            Self::OtherMask { column, before, after } => write!(f, "{column}: {before} → {after}"),
        }
    }
}

#[derive(Debug, Default)]
struct Report {
    /// Decisions that were asked again.
    decisions: i64,
    /// How many different ones they were.
    requests: usize,
    /// Decisions from before requests were recorded.
    too_old: i64,
    /// Requests that could not be decided, and why.
    failed: Vec<(String, String)>,
    /// Who, what, the change, and how often it would have happened.
    changes: Vec<(String, String, Change, i64)>,
}

async fn replay(offline: &Offline, recorded: Vec<Recorded>) -> Report {
    let mut report = Report::default();
    for record in recorded {
        let Some(request) = &record.request else {
            report.too_old += record.times;
            continue;
        };
        report.decisions += record.times;
        report.requests += 1;
        match candidate(offline, &record, request).await {
            Ok(after) => {
                let changes = changes(&record, after).into_iter();
                report.changes.extend(changes.map(|change| (record.principal.clone(), record.product.clone(), change, record.times)));
            }
            Err(fault) => report.failed.push((record.product, explain(&fault))),
        }
    }
    report.changes.sort_by(|a, b| (&a.2, &a.0, &a.1).cmp(&(&b.2, &b.0, &b.1)));
    report
}

/// What the candidate says to the recorded request.
async fn candidate(offline: &Offline, record: &Recorded, request: &DecisionRequest) -> Result<Option<Decision>> {
    let Some(target) = target(offline, &record.product, request) else { return Ok(None) };
    let principal = Principal {
        name: PrincipalName::new(&record.principal),
        domain: DomainName::new(&record.domain).map_err(Fault::internal)?,
        groups: request.groups.iter().map(|group| GroupName::new(group)).collect::<BTreeSet<_>>(),
        attributes: request.attributes.clone(),
        token: None,
    };
    let protocols = [Protocol::Postgres, Protocol::Flight, Protocol::Http].map(Protocol::label);
    let protocol = protocols.into_iter().find(|label| *label == request.protocol).unwrap_or_default();
    let circumstances = Circumstances { purpose: request.purpose.clone(), protocol, application_name: request.application_name.clone() };
    Ok(Some(offline.decide(&principal, &circumstances, &target, record.last).await?.decision))
}

fn target(offline: &Offline, product: &str, request: &DecisionRequest) -> Option<PortRef> {
    let (domain, name) = product.split_once('.')?;
    offline.snapshot.resolve(domain, &format!("{name}_v{}__{}", request.major, request.port))
}

fn changes(record: &Recorded, after: Option<Decision>) -> Vec<Change> {
    let after = match (record.permitted, after) {
        (false, Some(Decision::Permit(_))) => return vec![Change::DenyToAllow],
        (false, _) => return Vec::new(),
        (true, None) => return vec![Change::AllowToDeny("the candidate does not have it".to_owned())],
        (true, Some(Decision::Denied(denial))) => {
            let why: Vec<String> = denial.reasons.iter().map(ToString::to_string).collect();
            return vec![Change::AllowToDeny(why.join("; "))];
        }
        (true, Some(Decision::Permit(permit))) => permit,
    };
    let mut changes = Vec::new();
    let (before, rows) = (sorted(&record.row_filters), sorted(after.filter_texts()));
    if before != rows {
        changes.push(Change::Rows { before, after: rows });
    }
    let masks: BTreeMap<String, String> = after.masked().into_iter().map(|(column, mask)| (column, mask.to_string())).collect();
    for column in record.masks.keys().chain(masks.keys()).collect::<BTreeSet<_>>() {
        let owned = || column.clone();
        match (record.masks.get(column), masks.get(column)) {
            (Some(before), Some(after)) if before != after => {
                changes.push(Change::OtherMask { column: owned(), before: before.clone(), after: after.clone() });
            }
            (Some(mask), None) => changes.push(Change::MaskedToClear { column: owned(), mask: mask.clone() }),
            (None, Some(mask)) => changes.push(Change::ClearToMasked { column: owned(), mask: mask.clone() }),
            _ => {}
        }
    }
    changes
}

fn sorted(texts: &[String]) -> Vec<String> {
    let mut texts = texts.to_vec();
    texts.sort();
    texts
}

impl Report {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        for (principal, product, change, times) in &self.changes {
            let line = format!("{:<15}  {principal} reading {product} ({times}×)  {change}", change.word());
            writeln!(out, "{}", printable(line.trim_end()))?;
        }
        for (product, why) in &self.failed {
            writeln!(out, "{:<15}  {}", "not decided", printable(&format!("{product}: {why}")))?;
        }
        let changes = self.changes.len();
        writeln!(out, "{} decisions, {} different requests: {changes} changes", self.decisions, self.requests)?;
        if self.too_old > 0 {
            writeln!(out, "{} decisions were recorded before requests were, and cannot be replayed", self.too_old)?;
        }
        Ok(())
    }

    fn document(&self) -> serde_json::Value {
        let change = |(principal, product, change, times): &(String, String, Change, i64)| json!({ "change": change.word(), "principal": principal, "product": product, "detail": change.to_string(), "decisions": times });
        json!({
            "decisions": self.decisions,
            "requests": self.requests,
            "too_old": self.too_old,
            "not_decided": self.failed.iter().map(|(product, why)| json!({ "product": product, "reason": why })).collect::<Vec<_>>(),
            "changes": self.changes.iter().map(change).collect::<Vec<_>>(),
        })
    }
}
