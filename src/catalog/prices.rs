//! The prices of `mesh.yaml`: for everything, for some products, for some consumer domains, with volume tiers and what is free.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{Datelike, NaiveDate};
use rust_decimal::Decimal;

use super::read::{Report, Value};
use super::{Origin, Problem, Product, Severity, values};
use crate::id::{DomainName, ProductId, ProductName};

/// A price with its validity. Of those that hold, the most particular counts: one for the product before one for the consumer domain before one
/// for everything, and of these the newest.
#[derive(Debug, Clone)]
pub struct Price {
    /// Its id, recorded with each usage.
    pub id: String,
    /// First day (UTC) on which it holds.
    pub from: NaiveDate,
    /// Last day (UTC) on which it holds.
    pub until: Option<NaiveDate>,
    /// The products that it is for; where it is empty, all.
    pub products: Vec<ProductId>,
    /// The consumer domains that it is for; where it is empty, all.
    pub consumers: Vec<DomainName>,
    /// Amount per TiB (2^40 bytes) scanned.
    pub per_tib: Decimal,
    /// Bytes that cost a consumer domain nothing in a month.
    pub free_per_month: u64,
    /// What a TiB costs once a consumer domain's month has passed so much, least first.
    pub tiers: Vec<Tier>,
    /// Bytes are rounded up to a multiple of this.
    pub round_to: u64,
    /// At least so many bytes are charged per (query, product) that read anything.
    pub minimum_per_query: u64,
    /// Whether failed, cancelled and crashed queries are charged.
    pub charge_failed: bool,
}

impl Price {
    /// A price for everything and everybody, without steps, minimum, tiers and allowance.
    pub fn flat(id: &str, from: NaiveDate, per_tib: Decimal) -> Self {
        Self {
            id: id.to_owned(),
            from,
            until: None,
            products: Vec::new(),
            consumers: Vec::new(),
            per_tib,
            free_per_month: 0,
            tiers: Vec::new(),
            round_to: 1,
            minimum_per_query: 0,
            charge_failed: true,
        }
    }

    /// Whether it holds on a day for what a consumer domain reads.
    pub fn holds(&self, consumer: &DomainName, day: NaiveDate) -> bool {
        let ended = self.until.is_some_and(|until| until < day);
        self.from <= day && !ended && (self.consumers.is_empty() || self.consumers.contains(consumer))
    }

    /// Whether it is for a product.
    pub fn covers(&self, product: &ProductId) -> bool {
        self.products.is_empty() || self.products.contains(product)
    }

    /// Of prices that hold, the one with the greatest rank counts.
    pub fn rank(&self) -> (bool, bool, NaiveDate) {
        (!self.products.is_empty(), !self.consumers.is_empty(), self.from)
    }

    /// Whether what a row costs has nothing to do with the month's volume before it.
    pub fn is_flat(&self) -> bool {
        self.free_per_month == 0 && self.tiers.is_empty()
    }

    /// The least that a TiB can cost under it.
    pub fn lowest(&self) -> Decimal {
        if self.free_per_month > 0 {
            return Decimal::ZERO;
        }
        self.tiers.iter().map(|tier| tier.per_tib).fold(self.per_tib, Decimal::min)
    }

    /// The most that a TiB can cost under it.
    pub fn highest(&self) -> Decimal {
        self.tiers.iter().map(|tier| tier.per_tib).fold(self.per_tib, Decimal::max)
    }
}

/// A part of a month's volume that has a price of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// It begins when the month has passed so many bytes.
    pub above: u64,
    /// Amount per TiB.
    pub per_tib: Decimal,
}

const KEYS: [&str; 11] =
    ["id", "from", "until", "products", "consumers", "perTiB", "freePerMonth", "tiers", "roundTo", "minimumPerQuery", "chargeFailed"];

pub(super) fn read(list: Value<'_>, report: &mut Report) -> Vec<Arc<Price>> {
    let mut prices: Vec<Arc<Price>> = Vec::new();
    for item in list.items(report).into_iter().flatten() {
        let Some(price) = price(item, report) else { continue };
        if prices.iter().any(|other| other.id == price.id) {
            report.error(item.at(), format!("price `{}` is given twice: a closed month refers to a price by its id", price.id));
        } else if let Some(other) = prices.iter().find(|other| rivals(other, &price)) {
            let (one, other) = (&other.id, &price.id);
            report.error(item.at(), format!("two prices hold from {} for the same: only one of `{one}` and `{other}` can", price.from));
        } else {
            prices.push(Arc::new(price));
        }
    }
    prices
}

/// Whether nothing says which of two prices counts where both hold.
fn rivals(one: &Price, other: &Price) -> bool {
    fn meet<T: PartialEq>(one: &[T], other: &[T]) -> bool {
        one.is_empty() || one.iter().any(|name| other.contains(name))
    }
    one.rank() == other.rank() && meet(&one.products, &other.products) && meet(&one.consumers, &other.consumers)
}

fn price(item: Value<'_>, report: &mut Report) -> Option<Price> {
    let fields = item.fields(&KEYS, report)?;
    let id = fields.require("id", report).and_then(|value| value.filled(report));
    let from = fields.require("from", report).and_then(|value| value.parsed(values::date, report));
    let per_tib = fields.require("perTiB", report).and_then(|value| value.parsed(values::amount, report));
    let until = fields.get("until").map(|value| value.parsed(values::date, report));
    let mut size = |key: &str, default: u64| match fields.get(key) {
        Some(value) => value.parsed(values::bytes, report),
        None => Some(default),
    };
    let (round_to, minimum_per_query, free_per_month) = (size("roundTo", 1), size("minimumPerQuery", 0), size("freePerMonth", 0));
    if round_to == Some(0) {
        report.error(fields.get("roundTo").map_or(fields.at, Value::at), "`roundTo` must be at least 1B");
    }
    if let (Some(value), Some(Some(until)), Some(from)) = (fields.get("until"), until, from)
        && until < from
    {
        report.error(value.at(), "`until` lies before `from`");
    }
    let tiers = fields.get("tiers").map(|value| tiers(value, free_per_month.unwrap_or_default(), report)).unwrap_or_default();
    // A month's volume is counted under one price: one that began amid the month would count it twice.
    if let (Some(value), Some(day)) = (fields.get("from"), from)
        && day.day() != 1
        && (!tiers.is_empty() || free_per_month.is_some_and(|free| free > 0))
    {
        report.error(value.at(), "`from` must be the first day of a month where a price has `tiers` or `freePerMonth`");
    }
    let charge_failed = fields.get("chargeFailed").map_or(Some(true), |value| value.boolean(report));
    Some(Price {
        id: id?.to_owned(),
        from: from?,
        until: until.flatten(),
        products: names(fields.get("products"), product, report),
        consumers: names(fields.get("consumers"), |name| DomainName::new(name).map_err(|error| error.to_string()), report),
        per_tib: per_tib?,
        free_per_month: free_per_month?,
        tiers,
        round_to: round_to?,
        minimum_per_query: minimum_per_query?,
        charge_failed: charge_failed?,
    })
}

/// Names that a price or a limit is for. None at all would mean all, so an empty list is a mistake.
pub(super) fn names<T>(list: Option<Value<'_>>, parse: impl Fn(&str) -> Result<T, String>, report: &mut Report) -> Vec<T> {
    let Some(list) = list else { return Vec::new() };
    let mut names = Vec::new();
    let mut empty = true;
    for item in list.items(report).into_iter().flatten() {
        empty = false;
        names.extend(item.parsed(&parse, report));
    }
    if empty {
        report.error(list.at(), "the list is empty: leave it out where all are meant");
    }
    names
}

pub(super) fn product(text: &str) -> Result<ProductId, String> {
    let wrong = || format!("`{}` is not a product: write it as domain.product", super::read::clip(text));
    let (domain, product) = text.split_once('.').ok_or_else(wrong)?;
    Ok(ProductId { domain: DomainName::new(domain).map_err(|_| wrong())?, product: ProductName::new(product).map_err(|_| wrong())? })
}

fn tiers(list: Value<'_>, free: u64, report: &mut Report) -> Vec<Tier> {
    let mut tiers: Vec<Tier> = Vec::new();
    for item in list.items(report).into_iter().flatten() {
        let Some(fields) = item.fields(&["above", "perTiB"], report) else { continue };
        let above = fields.require("above", report).and_then(|value| value.parsed(values::bytes, report));
        let per_tib = fields.require("perTiB", report).and_then(|value| value.parsed(values::amount, report));
        let (Some(above), Some(per_tib)) = (above, per_tib) else { continue };
        if above <= tiers.last().map_or(0, |tier| tier.above) || above < free {
            report.error(item.at(), "`above` must be more than that of the tier before it, and not less than `freePerMonth`");
            continue;
        }
        tiers.push(Tier { above, per_tib });
    }
    tiers
}

/// Tells of prices for products that there are not: a name that is misspelt would be charged at another price, and nobody would notice.
pub(super) fn check(prices: &[Arc<Price>], products: &BTreeMap<ProductId, Product>, problems: &mut Vec<Problem>) {
    for price in prices {
        unknown_products(&format!("the price `{}`", price.id), &price.products, products, problems);
    }
}

/// Warns of names that are no product's.
pub(super) fn unknown_products(whose: &str, named: &[ProductId], products: &BTreeMap<ProductId, Product>, problems: &mut Vec<Problem>) {
    for product in named.iter().filter(|product| !products.contains_key(*product)) {
        problems.push(Problem {
            origin: Origin { file: "mesh.yaml".to_owned(), line: 0, column: 0 },
            severity: Severity::Warning,
            product: None,
            message: format!("{whose} is for `{product}`, and there is no such product"),
        });
    }
}
