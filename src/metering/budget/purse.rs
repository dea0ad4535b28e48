//! The purses, and the one lock that they are behind.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use parking_lot::Mutex;

use crate::catalog::{Each, Per, Workload};
use crate::id::{DomainName, PrincipalName, ProductId};
use crate::metering::Month;
use crate::metering::journal::{Charge, Settlement};
use crate::metering::overrides::Override;

/// How long a purse outlasts its month or day. Queries of before may still run then; one that holds anything stays whatever its age.
const HISTORY_DAYS: i64 = 62;

/// Which purse.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::metering) enum Whose {
    /// A consumer domain's money of a month, in a currency; in units of `Cost`.
    Budget(DomainName, Month, String),
    /// What was scanned in a time, by all work or by one kind of it; in bytes.
    Scanned(Subject, Option<Workload>, Period),
}

/// Whose bytes are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::metering) enum Subject {
    Principal(PrincipalName),
    Consumer(DomainName),
    Product(ProductId),
    ConsumerProduct(DomainName, ProductId),
}

impl Subject {
    /// The one that a read belongs to.
    pub(in crate::metering) fn of(each: Each, principal: &PrincipalName, consumer: &DomainName, product: &ProductId) -> Self {
        match each {
            Each::Principal => Self::Principal(principal.clone()),
            Each::Consumer => Self::Consumer(consumer.clone()),
            Each::Product => Self::Product(product.clone()),
            Each::ConsumerProduct => Self::ConsumerProduct(consumer.clone(), product.clone()),
        }
    }
}

/// A time for which bytes are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::metering) enum Period {
    Day(NaiveDate),
    Month(Month),
}

impl Period {
    /// The one that a query belongs to: that in which it began. `None` for a query's own limits.
    pub(in crate::metering) fn of(per: Per, began: DateTime<Utc>) -> Option<Self> {
        match per {
            Per::Query => None,
            Per::Day => Some(Self::Day(began.date_naive())),
            Per::Month => Some(Self::Month(Month::of(began))),
        }
    }

    /// The first moment after it.
    pub(in crate::metering) fn end(self) -> DateTime<Utc> {
        match self {
            Self::Day(day) => day.succ_opt().unwrap_or(day).and_time(NaiveTime::MIN).and_utc(),
            Self::Month(month) => month.end(),
        }
    }
}

impl Whose {
    /// All purses of bytes that what a principal read of a product counts in: those of all work, and those of its own kind where that is known.
    pub(in crate::metering) fn scanned<'a>(
        principal: &'a PrincipalName,
        consumer: &'a DomainName,
        product: &'a ProductId,
        workload: Option<Workload>,
        period: Period,
    ) -> impl Iterator<Item = Self> + 'a {
        let kinds = std::iter::once(None).chain(workload.map(Some));
        kinds.flat_map(move |kind| {
            [Each::Principal, Each::Consumer, Each::Product, Each::ConsumerProduct]
                .map(|each| Self::Scanned(Subject::of(each, principal, consumer, product), kind, period))
        })
    }

    fn ends(&self) -> DateTime<Utc> {
        match self {
            Self::Budget(_, month, _) => month.end(),
            Self::Scanned(_, _, period) => period.end(),
        }
    }
}

/// How much of a ceiling was used, in whole steps: what a refusal tells. Bytes tell of hidden rows, so no reader is told how many there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(u8);

impl Share {
    /// Steps of the whole.
    const STEPS: i128 = 20;

    /// The share of a `ceiling` of which what the catalog grants is `granted`. The steps are of that: were they of the ceiling, whoever raises it
    /// little by little would move them about, and so weigh what was used.
    pub(in crate::metering) fn of(used: i128, ceiling: i128, granted: i128) -> Self {
        let percent = Self::told(used, granted).saturating_mul(100).checked_div(ceiling).unwrap_or(100);
        Self(u8::try_from(percent.clamp(0, 100)).unwrap_or(100))
    }

    /// What was used in whole steps, rounded down.
    pub(in crate::metering) fn told(used: i128, granted: i128) -> i128 {
        let steps = used.saturating_mul(Self::STEPS).checked_div(granted).unwrap_or_default().max(0);
        steps.saturating_mul(granted) / Self::STEPS
    }

    /// The most by which that may be too little.
    pub(in crate::metering) fn step(granted: i128) -> i128 {
        granted / Self::STEPS + 1
    }

    /// At least so many percent were used.
    pub fn percent(self) -> u8 {
        self.0
    }
}

/// What a read takes from one purse.
#[derive(Debug)]
pub(in crate::metering) struct Want<'w> {
    pub(in crate::metering) whose: &'w Whose,
    pub(in crate::metering) amount: i128,
    /// What may be spent and held together; nothing where it is counted and not held to.
    pub(in crate::metering) ceiling: Option<i128>,
}

/// A purse does not have what was wanted.
#[derive(Debug)]
pub(in crate::metering) struct Refused {
    /// Which of the wants.
    pub(in crate::metering) at: usize,
    /// What was spent and held before.
    pub(in crate::metering) used: i128,
}

/// What a query held, from which purses, until the journal has what it is charged.
#[derive(Debug, Default)]
pub(in crate::metering) struct Held(pub(super) Vec<(Whose, i128)>);

impl Held {
    pub(in crate::metering) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// All purses, and what was raised of what they are held to.
#[derive(Debug, Default)]
pub(in crate::metering) struct Purses {
    book: Mutex<Book>,
    overrides: ArcSwap<Vec<Arc<Override>>>,
}

#[derive(Debug, Default)]
struct Book {
    purses: HashMap<Whose, Purse>,
    tidied: Option<NaiveDate>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Purse {
    /// Of usage.
    spent: i128,
    /// What corrections add to that, or take off.
    corrected: i128,
    held: i128,
}

impl Purse {
    fn used(self) -> i128 {
        self.spent.saturating_add(self.corrected).saturating_add(self.held)
    }
}

impl Book {
    fn purse(&mut self, whose: Whose) -> &mut Purse {
        self.purses.entry(whose).or_default()
    }

    fn release(&mut self, held: Vec<(Whose, i128)>) {
        for (whose, amount) in held {
            self.purse(whose).held -= amount;
        }
    }

    fn pay(&mut self, whose: Whose, amount: i128) {
        let purse = self.purse(whose);
        purse.spent = purse.spent.saturating_add(amount);
    }
}

impl Purses {
    /// Purses with what was spent and scanned before. What is given twice adds up.
    pub(in crate::metering) fn new(spent: impl IntoIterator<Item = (Whose, i128)>) -> Self {
        let mut book = Book::default();
        spent.into_iter().for_each(|(whose, amount)| book.pay(whose, amount));
        Self { book: Mutex::new(book), ..Self::default() }
    }

    /// The overrides that hold.
    pub(in crate::metering) fn overrides(&self) -> Arc<Vec<Arc<Override>>> {
        self.overrides.load_full()
    }

    /// Lets others hold, from the next read on.
    pub(in crate::metering) fn set_overrides(&self, overrides: Vec<Arc<Override>>) {
        self.overrides.store(Arc::new(overrides));
    }

    /// Takes everything that is wanted, or nothing.
    pub(in crate::metering) fn hold(&self, wants: &[Want<'_>]) -> Result<(), Refused> {
        let mut book = self.book.lock();
        for (at, want) in wants.iter().enumerate() {
            let purse = match book.purses.get_mut(want.whose) {
                Some(purse) => purse,
                None => book.purse(want.whose.clone()),
            };
            let used = purse.used();
            if want.amount > 0 && want.ceiling.is_some_and(|ceiling| used.saturating_add(want.amount) > ceiling) {
                wants.iter().take(at).for_each(|taken| book.purse(taken.whose.clone()).held -= taken.amount);
                return Err(Refused { at, used });
            }
            purse.held += want.amount;
        }
        Ok(())
    }

    /// Gives back what was held.
    pub(in crate::metering) fn release(&self, held: Vec<(Whose, i128)>) {
        self.book.lock().release(held);
    }

    /// Exchanges what a query held for what the journal now has of it.
    pub(in crate::metering) fn settle(&self, settlement: &Settlement, held: Held, charge: &Charge) {
        let paid = if charge.is_new { payments(settlement, charge) } else { Vec::new() };
        let mut book = self.book.lock();
        book.release(held.0);
        paid.into_iter().for_each(|(whose, amount)| book.pay(whose, amount));
    }

    /// What usage has taken of a purse, and what corrections have added to that; without what is held.
    pub(in crate::metering) fn spent(&self, whose: &Whose) -> (i128, i128) {
        self.book.lock().purses.get(whose).map_or((0, 0), |purse| (purse.spent, purse.corrected))
    }

    /// Takes the corrections of a month as they are now: all of them.
    pub(in crate::metering) fn correct(&self, corrections: Vec<(Whose, i128)>) {
        let mut book = self.book.lock();
        for (whose, amount) in corrections {
            book.purse(whose).corrected = amount;
        }
    }

    /// Drops purses that are history, once a day.
    pub(in crate::metering) fn tidy(&self, today: NaiveDate) {
        let mut book = self.book.lock();
        if book.tidied != Some(today) {
            book.tidied = Some(today);
            book.purses.retain(|whose, purse| purse.held != 0 || (today - whose.ends().date_naive()).num_days() <= HISTORY_DAYS);
        }
    }
}

/// What a settlement takes from which purses for good.
fn payments(settlement: &Settlement, charge: &Charge) -> Vec<(Whose, i128)> {
    let Some(reader) = settlement.reader() else { return Vec::new() };
    let money = settlement.currency().map(|currency| (Whose::Budget(reader.consumer.clone(), charge.month, currency), charge.cost.units()));
    let mut paid: Vec<_> = money.into_iter().collect();
    for (product, bytes) in settlement.scanned() {
        for period in [Period::Day(reader.began.date_naive()), Period::Month(Month::of(reader.began))] {
            let purses = Whose::scanned(&reader.principal, &reader.consumer, &product, reader.workload, period);
            paid.extend(purses.map(|whose| (whose, i128::from(bytes))));
        }
    }
    paid
}
