//! How a budget stands, and where the month is heading.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Budget, Share, Whose, units};
use crate::id::DomainName;
use crate::metering::price::Cost;
use crate::metering::{Journal, Month};

/// A forecast looks at no less than a day, or the first query of a month would be thirty.
const SHORTEST: TimeDelta = TimeDelta::days(1);

/// A consumer domain's budget of this month as this gateway holds it to it. Amounts are in units of [`Cost`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BudgetState {
    /// Of which month.
    pub(crate) month: Month,
    /// What may be spent, with what it was raised by.
    pub(crate) budget: i128,
    /// By how much it was raised.
    pub(crate) raised: i128,
    /// What usage has cost.
    pub(crate) used: i128,
    /// What corrections have added to that, or taken off.
    pub(crate) corrected: i128,
}

impl BudgetState {
    /// That of a domain's `budget`, in a currency.
    pub(crate) fn of(journal: &Journal, domain: &DomainName, budget: &Budget, currency: &str) -> Self {
        let month = Month::of(journal.now());
        let purses = journal.purses();
        let raised = purses.raised_budget(domain, month, currency);
        let (used, corrected) = purses.spent(&Whose::Budget(domain.clone(), month, currency.to_owned()));
        Self { month, budget: units(budget.monthly).saturating_add(raised), raised, used, corrected }
    }

    /// What was spent, corrections included.
    pub(crate) fn spent(&self) -> i128 {
        self.used.saturating_add(self.corrected)
    }

    /// The same where what was spent is told in whole steps of what the catalog grants, rounded down.
    pub(crate) fn in_steps(self) -> Self {
        Self { used: Share::told(self.spent(), self.granted()).min(self.budget), corrected: 0, ..self }
    }

    /// By how much less than what was spent may be told.
    pub(crate) fn step(&self) -> i128 {
        Share::step(self.granted())
    }

    /// What the catalog grants.
    fn granted(&self) -> i128 {
        self.budget.saturating_sub(self.raised)
    }

    /// What the month is going to cost if it goes on as it did: the run rate, which is what was spent by the time that has passed, times the
    /// length of the month.
    pub(crate) fn forecast(&self, now: DateTime<Utc>) -> i128 {
        let (whole, passed) = self.seconds(now);
        self.spent().saturating_mul(whole).checked_div(passed).unwrap_or_default()
    }

    /// A share of the budget, in hundredths of a percent, rounded down; `None` where the budget is nothing.
    pub(crate) fn percent(&self, amount: i128) -> Option<i128> {
        amount.saturating_mul(10_000).checked_div(self.budget)
    }

    /// What was spent, as an amount.
    pub(crate) fn amount(units: i128) -> rust_decimal::Decimal {
        Cost::from_units(units).decimal()
    }

    /// The length of the month, and how much of it has passed.
    fn seconds(&self, now: DateTime<Utc>) -> (i128, i128) {
        let first = self.month.first_day().and_time(chrono::NaiveTime::MIN).and_utc();
        let whole = self.month.end() - first;
        let passed = (now - first).clamp(SHORTEST, whole.max(SHORTEST));
        (whole.num_seconds().into(), passed.num_seconds().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(budget: i128, used: i128, corrected: i128) -> BudgetState {
        let month = "2026-11".parse().expect("a month");
        BudgetState { month, budget, raised: 0, used, corrected }
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn a_forecast_is_the_run_rate_of_the_month_and_a_day_at_least_is_looked_at() {
        let state = state(1000, 200, -50);
        assert_eq!(state.forecast(at("2026-11-16T00:00:00Z")), 300);
        assert_eq!(state.forecast(at("2026-11-01T00:00:01Z")), 4500);
        assert_eq!(state.forecast(at("2026-12-01T00:00:00Z")), 150);
        assert_eq!(state.percent(state.forecast(at("2026-11-16T00:00:00Z"))), Some(3000));
        assert_eq!(self::state(0, 5, 0).percent(5), None);
    }

    #[test]
    fn raising_a_budget_little_by_little_does_not_weigh_what_was_spent() {
        // Two that spent differently within one step are told the same, however their budgets are raised.
        for raised in 0..200 {
            let told = |used| BudgetState { raised, ..state(1000 + raised, used, 0) }.in_steps();
            assert_eq!(told(401).spent(), told(449).spent(), "{raised}");
            let percent = |used| Share::of(used, 1000 + raised, 1000);
            assert_eq!(percent(401), percent(449), "{raised}");
        }
    }

    #[test]
    fn what_is_told_in_steps_is_never_more_than_what_was_spent() {
        for used in 0..=1200 {
            let exact = state(1000, used, 0);
            let told = exact.in_steps();
            assert!(told.spent() <= used && told.spent() % 50 == 0, "{used} {told:?}");
            assert!(used > 1000 || used - told.spent() < 50, "{used} {told:?}");
        }
    }
}
