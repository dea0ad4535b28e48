//! Alerts: a domain has spent, or is going to spend, a share of its monthly budget.
//!
//! Every second what was spent is compared with the thresholds, so whatever was not told before a crash is told after it. An alert is a row of a
//! file of its own in the state folder before it is told anywhere, and a threshold has one row a month: it is told once, over restarts too. The row
//! is kept until the webhook has taken it (`webhook`).

mod webhook;

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::budget::BudgetState;
use super::correct::booked_in;
use super::ledger::Ledger;
use super::{Journal, Month};
use crate::catalog::{Budget, Catalog, Snapshot};
use crate::error::{Fault, Result};
use crate::id::DomainName;
use crate::records::Kind as Records;
use crate::telemetry::explain;
use webhook::Delivery;

pub use webhook::Webhook;

/// Its name within the state folder.
const FILE: &str = "alerts.sqlite";

const RECORDS: Records = Records {
    name: "records of alerts",
    // "MESW".
    application_id: 0x4d45_5357,
    version: 1,
    tables: "
    CREATE TABLE alerts (
        entry INTEGER PRIMARY KEY, alert_id TEXT NOT NULL UNIQUE, raised_at INTEGER NOT NULL, consumer_domain TEXT NOT NULL,
        month TEXT NOT NULL, kind TEXT NOT NULL, percent INTEGER NOT NULL, body TEXT NOT NULL, owed INTEGER NOT NULL,
        UNIQUE (consumer_domain, month, kind, percent)) STRICT;
    CREATE INDEX alerts_owed ON alerts (entry) WHERE owed;
    CREATE TRIGGER alerts_stay BEFORE UPDATE OF entry, alert_id, raised_at, consumer_domain, month, kind, percent, body ON alerts
        BEGIN SELECT RAISE(ABORT, 'an alert is not changed'); END;
    CREATE TRIGGER alerts_remain BEFORE DELETE ON alerts BEGIN SELECT RAISE(ABORT, 'an alert is kept'); END;
",
};

/// How often what was spent is looked at.
const TICK: Duration = Duration::from_secs(1);
/// A run rate of less is chance: forecasts are told once so much of the month has passed.
const FIRST_FORECAST: TimeDelta = TimeDelta::days(3);

/// What an alert compares with the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// What was spent.
    Actual,
    /// What the month is going to cost.
    Forecast,
}

impl Kind {
    const fn label(self) -> &'static str {
        match self {
            Self::Actual => "actual",
            Self::Forecast => "forecast",
        }
    }
}

/// A threshold of a month.
type Threshold = (DomainName, Month, Kind, u32);

/// The alerts of this gateway. Cheap to clone.
#[derive(Clone)]
pub struct Alerts(Arc<Shared>);

struct Shared {
    journal: Journal,
    store: Mutex<Connection>,
    delivery: Option<Delivery>,
    told: Mutex<HashSet<Threshold>>,
}

impl Alerts {
    /// Opens or makes the file in `folder`. Blocks.
    pub fn open(folder: &Path, journal: &Journal, webhook: Option<Webhook>) -> Result<Self> {
        let store = RECORDS.open(&folder.join(FILE))?;
        let delivery = webhook.map(Delivery::new).transpose()?;
        let told = Mutex::default();
        Ok(Self(Arc::new(Shared { journal: journal.clone(), store: Mutex::new(store), delivery, told })))
    }

    /// Looks at the budgets of the catalog, and tells what is to be told, until the token is cancelled.
    pub async fn watch(self, catalog: Catalog, stop: CancellationToken) {
        let delivering = self.clone().deliver(stop.clone());
        let looking = async {
            while stop.run_until_cancelled(tokio::time::sleep(TICK)).await.is_some() {
                let (alerts, snapshot) = (self.clone(), catalog.current());
                let round = tokio::task::spawn_blocking(move || alerts.look(&snapshot)).await;
                if let Err(fault) = round.unwrap_or_else(|error| Err(Fault::internal(error))) {
                    tracing::error!(reason = explain(&fault), "budgets could not be looked at; it is tried again");
                }
            }
        };
        tokio::join!(delivering, looking);
    }

    /// Takes corrections, which other processes write, and tells of thresholds that were passed.
    fn look(&self, snapshot: &Snapshot) -> Result<()> {
        let Shared { journal, .. } = &*self.0;
        if snapshot.domains.values().all(|domain| domain.budget.is_none()) {
            return Ok(());
        }
        let now = journal.now();
        let connection = Ledger::at(journal.path()).connect()?;
        journal.purses().correct(booked_in(&connection, Month::of(now)).map_err(|error| RECORDS.cannot_read(error))?);
        for domain in snapshot.domains.values() {
            let Some(budget) = &domain.budget else { continue };
            let state = BudgetState::of(journal, &domain.name, budget, &snapshot.mesh.currency);
            for (kind, percent) in passed(budget, &state, now) {
                self.tell((domain.name.clone(), state.month, kind, percent), budget, &state, snapshot)?;
            }
        }
        Ok(())
    }

    /// Tells of a threshold, unless it was told before.
    fn tell(&self, threshold: Threshold, budget: &Budget, state: &BudgetState, snapshot: &Snapshot) -> Result<()> {
        if self.0.told.lock().contains(&threshold) {
            return Ok(());
        }
        let (domain, month, kind, percent) = &threshold;
        let (now, id) = (self.0.journal.now(), Uuid::now_v7().as_simple().to_string());
        let (all, spent, forecast) =
            (BudgetState::amount(state.budget), BudgetState::amount(state.spent()), BudgetState::amount(state.forecast(now)));
        let currency = &snapshot.mesh.currency;
        let body = json!({
            "type": "budget.threshold",
            "timestamp": now.to_rfc3339_opts(SecondsFormat::Millis, true),
            "data": {
                "id": id,
                "gateway_id": self.0.journal.gateway_id(),
                "mesh": snapshot.mesh.name,
                "consumer_domain": domain,
                "month": month.to_string(),
                "kind": kind.label(),
                "percent": percent,
                "budget": all.to_string(),
                "spent": spent.to_string(),
                "forecast": forecast.to_string(),
                "currency": currency,
                "action": if budget.block { "block" } else { "warn" },
            },
        });
        let new = RECORDS.write(&mut self.0.store.lock(), |transaction| {
            let new = transaction.execute(
                "INSERT INTO alerts (alert_id, raised_at, consumer_domain, month, kind, percent, body, owed)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (consumer_domain, month, kind, percent) DO NOTHING",
                params![
                    id,
                    now.timestamp_micros(),
                    domain.as_str(),
                    month.to_string(),
                    kind.label(),
                    percent,
                    body.to_string(),
                    self.0.delivery.is_some(),
                ],
            )?;
            Ok(Ok(new > 0))
        })?;
        if new {
            let kind = kind.label();
            tracing::warn!(%domain, %month, kind, percent, %spent, %forecast, budget = %all, currency, "a monthly budget has passed a threshold");
        }
        let mut told = self.0.told.lock();
        told.retain(|(_, month, ..)| *month >= threshold.1);
        told.insert(threshold);
        Ok(())
    }

    /// The oldest alert that the webhook has not taken: its number, when it was raised, its id and its body.
    fn owed(&self) -> Result<Option<Owed>> {
        let store = self.0.store.lock();
        let mut oldest = store
            .prepare_cached("SELECT entry, raised_at, alert_id, body FROM alerts WHERE owed ORDER BY entry LIMIT 1")
            .map_err(|error| RECORDS.cannot_read(error))?;
        let read = |row: &rusqlite::Row<'_>| {
            let raised_at = DateTime::from_timestamp_micros(row.get(1)?).unwrap_or_default();
            Ok(Owed { entry: row.get(0)?, raised_at, id: row.get(2)?, body: row.get(3)? })
        };
        oldest.query_row([], read).optional().map_err(|error| RECORDS.cannot_read(error))
    }

    /// It is owed no more.
    fn settled(&self, entry: i64) -> Result<()> {
        RECORDS.write(&mut self.0.store.lock(), |transaction| {
            transaction.execute("UPDATE alerts SET owed = 0 WHERE entry = ?1", [entry])?;
            Ok(Ok(()))
        })
    }
}

impl fmt::Debug for Alerts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alerts").field("delivery", &self.0.delivery).finish_non_exhaustive()
    }
}

/// An alert that the webhook has not taken.
#[derive(Debug)]
struct Owed {
    entry: i64,
    raised_at: DateTime<Utc>,
    id: String,
    body: String,
}

/// The thresholds that a budget has passed.
fn passed(budget: &Budget, state: &BudgetState, now: DateTime<Utc>) -> Vec<(Kind, u32)> {
    let reached = |amount: i128, percent: u32| amount > 0 && amount.saturating_mul(100) >= state.budget.saturating_mul(percent.into());
    let begun = state.month.first_day().and_time(chrono::NaiveTime::MIN).and_utc();
    let (spent, forecast) = (state.spent(), if now - begun < FIRST_FORECAST { 0 } else { state.forecast(now) });
    let actual = budget.alerts.iter().filter(|percent| reached(spent, **percent)).map(|percent| (Kind::Actual, *percent));
    let expected = budget.forecast_alerts.iter().filter(|percent| reached(forecast, **percent)).map(|percent| (Kind::Forecast, *percent));
    actual.chain(expected).collect()
}

#[cfg(test)]
mod tests;
