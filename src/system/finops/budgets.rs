//! `finops.budgets` and `finops.budget_overrides`: what may be spent, what was, and what was raised.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Builder, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use rusqlite::types::Value;

use super::Whose;
use crate::catalog::{Budget, Snapshot};
use crate::error::{Fault, Result};
use crate::id::DomainName;
use crate::metering::ledger::{Column, Kind, Ledger, Walk, column, maybe, paged_table, schema_of};
use crate::metering::{BudgetState, Journal, Month, OVERRIDES_FILE};

const SPENT: &[Column] = &[column("spent", Kind::Cost, "")];

/// The columns of `finops.budget_overrides`.
pub(in crate::system) const OVERRIDES: &[Column] = &[
    column("override_id", Kind::Text, "override_id"),
    column("raised_at", Kind::Time, "raised_at"),
    column("raised_by", Kind::Text, "raised_by"),
    column("month", Kind::Text, "month"),
    maybe("consumer_domain", Kind::Text, "consumer_domain"),
    maybe("product", Kind::Text, "producer_domain || '.' || product"),
    maybe("limit_id", Kind::Text, "limit_id"),
    maybe("amount", Kind::Price, "amount"),
    maybe("currency", Kind::Text, "currency"),
    maybe("bytes", Kind::Int, "bytes"),
    column("reason", Kind::Text, "reason"),
];

/// The overrides that `condition` says.
pub(in crate::system) fn overrides(journal: &Journal, (condition, values): (&'static str, Vec<Value>)) -> Option<Arc<dyn TableProvider>> {
    let records = Ledger::at(&journal.path().with_file_name(OVERRIDES_FILE));
    paged_table(schema_of(OVERRIDES), move || Walk::begin(&records, OVERRIDES, "overrides", condition, values.clone()))
}

/// The columns of `finops.budgets`.
pub(super) fn schema() -> SchemaRef {
    let money = Kind::Cost.data_type();
    let percent = DataType::Decimal128(38, 2);
    Arc::new(Schema::new(vec![
        Field::new("consumer_domain", DataType::Utf8, false),
        Field::new("month", DataType::Utf8, false),
        Field::new("budget", money.clone(), false),
        Field::new("spent", money.clone(), false),
        Field::new("remaining", money.clone(), false),
        Field::new("percent", percent.clone(), true),
        Field::new("action", DataType::Utf8, false),
        Field::new("raised", money.clone(), false),
        Field::new("forecast", money, false),
        Field::new("forecast_percent", percent, true),
    ]))
}

/// Each domain's budget against what this gateway holds it to this month. Spending in another currency than the mesh's does not count.
pub(super) fn budgets(ledger: &Ledger, snapshot: &Snapshot, whose: &Whose, journal: &Journal) -> Result<RecordBatch> {
    let (now, currency) = (journal.now(), &snapshot.mesh.currency);
    let month = Month::of(now).to_string();
    let (mut domains, mut months, mut actions) = (StringBuilder::new(), StringBuilder::new(), StringBuilder::new());
    let amount = || Decimal128Builder::new().with_data_type(Kind::Cost.data_type());
    let share = || Decimal128Builder::new().with_data_type(DataType::Decimal128(38, 2));
    let (mut budget, mut used, mut remaining, mut raised, mut forecast) = (amount(), amount(), amount(), amount(), amount());
    let (mut percent, mut forecast_percent) = (share(), share());
    let own = snapshot.domains.values().filter(|domain| whose.includes(&domain.name));
    for (domain, monthly) in own.filter_map(|domain| Some((domain, domain.budget.as_ref()?))) {
        let told = told(ledger, whose, journal, (&domain.name, monthly), currency)?;
        let state = told.state;
        domains.append_value(domain.name.as_str());
        months.append_value(&month);
        budget.append_value(state.budget);
        used.append_value(state.spent());
        remaining.append_value(told.remaining().0);
        percent.append_option(state.percent(state.spent()));
        actions.append_value(if monthly.block { "block" } else { "warn" });
        raised.append_value(state.raised);
        forecast.append_value(state.forecast(now));
        forecast_percent.append_option(state.percent(state.forecast(now)));
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(domains.finish()),
        Arc::new(months.finish()),
        Arc::new(budget.finish()),
        Arc::new(used.finish()),
        Arc::new(remaining.finish()),
        Arc::new(percent.finish()),
        Arc::new(actions.finish()),
        Arc::new(raised.finish()),
        Arc::new(forecast.finish()),
        Arc::new(forecast_percent.finish()),
    ];
    RecordBatch::try_new(schema(), columns).map_err(Fault::internal)
}

/// A budget as somebody is told how it stands.
pub(super) struct Told {
    state: BudgetState,
    in_steps: bool,
}

impl Told {
    /// What is left: as it is told, and at the least. In units of a cost.
    pub(super) fn remaining(&self) -> (i128, i128) {
        let left = self.state.budget.saturating_sub(self.state.spent());
        (left, if self.in_steps { left.saturating_sub(self.state.step()) } else { left })
    }
}

/// How a domain's budget of this month stands, as those are told whose ledger it is.
pub(super) fn told(
    ledger: &Ledger,
    whose: &Whose,
    journal: &Journal,
    (domain, budget): (&DomainName, &Budget),
    currency: &str,
) -> Result<Told> {
    let state = BudgetState::of(journal, domain, budget, currency);
    let month = Month::of(journal.now()).to_string();
    // Some of it was read of filtered products: it is told as coarsely as a refusal tells it, and never as more than is held to.
    let in_steps = matches!(whose, Whose::Domain(_)) && rows(ledger, domain.as_str(), &month, currency)? != state.used;
    Ok(Told { state: if in_steps { state.in_steps() } else { state }, in_steps })
}

/// What the rows of this gateway add up to as the reader is told them, without corrections.
fn rows(ledger: &Ledger, domain: &str, month: &str, currency: &str) -> Result<i128> {
    use arrow::array::AsArray;
    use arrow::datatypes::Decimal128Type;
    let sql = "SELECT coalesce(sum(cost_micros), 0), coalesce(sum(cost_rest), 0) FROM usage
         WHERE entry > 0 AND month = ?1 AND consumer_domain = ?2 AND currency = ?3";
    let values = [month, domain, currency].map(|text| Value::Text(text.to_owned()));
    let batch = ledger.all(SPENT, sql, &values)?;
    Ok(batch.column(0).as_primitive::<Decimal128Type>().iter().flatten().sum())
}
