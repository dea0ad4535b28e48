//! What the ledger has when the gateway starts, for the purses: money of the month, bytes of the month and the day.

use std::collections::HashMap;

use chrono::{DateTime, NaiveTime, Utc};
use rusqlite::{Connection, Row};

use crate::catalog::Workload;
use crate::id::{DomainName, PrincipalName, ProductId, ProductName};
use crate::metering::Month;
use crate::metering::budget::{Period, Whose};
use crate::metering::price::Cost;

/// What was read by somebody of a product.
#[derive(Debug, Default)]
struct Sum {
    /// In the month that bills it.
    cost: i128,
    /// In the month in which the query began, and on the day.
    month: i128,
    day: i128,
}

/// One pass over the month. The sums are kept here, because a database would sort all rows for them, and a start waits for this.
pub(super) fn spent(connection: &Connection, now: DateTime<Utc>) -> rusqlite::Result<Vec<(Whose, i128)>> {
    let (month, today) = (Month::of(now), now.date_naive());
    let [first, midnight] = [month.first_day(), today].map(|day| day.and_time(NaiveTime::MIN).and_utc().timestamp_micros());
    // A row is never billed to an earlier month than that in which its query began.
    let mut statement = connection.prepare(
        "SELECT consumer_domain, producer_domain, product, coalesce(currency, ''), coalesce(workload, ''), principal, month, started_at,
             bytes_from_storage + bytes_from_cache, cost_micros, cost_rest FROM usage WHERE month >= ?1",
    )?;
    let this_month = month.to_string();
    let mut rows = statement.query([&this_month])?;
    let (mut sums, mut key): (HashMap<String, Sum>, String) = (HashMap::new(), String::new());
    while let Some(row) = rows.next()? {
        key.clear();
        for at in 0..6 {
            key.push_str(text(row, at)?);
            // The principal comes last: that name may hold anything.
            key.push_str(if at < 5 { "\0" } else { "" });
        }
        let sum = match sums.get_mut(&key) {
            Some(sum) => sum,
            None => sums.entry(key.clone()).or_default(),
        };
        let (began, bytes): (i64, i64) = (row.get(7)?, row.get(8)?);
        if text(row, 6)? == this_month {
            sum.cost = sum.cost.saturating_add(Cost::from_halves(row.get(9)?, row.get(10)?).units());
        }
        sum.month += if began >= first { i128::from(bytes) } else { 0 };
        sum.day += if began >= midnight { i128::from(bytes) } else { 0 };
    }
    let mut spent = Vec::new();
    for (key, sum) in &sums {
        let mut names = key.splitn(6, '\0');
        let mut name = || names.next().unwrap_or_default();
        let (consumer, domain, product, currency, workload, principal) = (name(), name(), name(), name(), name(), name());
        // A name that is none cannot ask for anything either.
        let (Ok(consumer), Ok(domain), Ok(product)) = (DomainName::new(consumer), DomainName::new(domain), ProductName::new(product))
        else {
            continue;
        };
        let (principal, product, workload) = (PrincipalName::new(principal), ProductId { domain, product }, Workload::of_label(workload));
        for (period, bytes) in [(Period::Month(month), sum.month), (Period::Day(today), sum.day)] {
            spent.extend(Whose::scanned(&principal, &consumer, &product, workload, period).map(|whose| (whose, bytes)));
        }
        if !currency.is_empty() {
            spent.push((Whose::Budget(consumer, month, currency.to_owned()), sum.cost));
        }
    }
    Ok(spent)
}

fn text<'r>(row: &'r Row<'_>, at: usize) -> rusqlite::Result<&'r str> {
    Ok(row.get_ref(at)?.as_str()?)
}
