//! The limits of `mesh.yaml`: how many bytes may be scanned, by each principal, by each consumer domain, of each product.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::prices::{names, product, unknown_products};
use super::read::{Report, Value};
use super::{Problem, Product, values};
use crate::id::{DomainName, ProductId};

/// A number of bytes that may be scanned. All limits that hold for a read are kept to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanLimit {
    /// Its id, which a refusal names and an override is for.
    pub id: String,
    /// Whose bytes are counted together.
    pub each: Each,
    /// For how long they are counted.
    pub per: Per,
    /// How many there may be.
    pub bytes: u64,
    /// The products that it is for; where it is empty, all.
    pub products: Vec<ProductId>,
    /// The consumer domains that it is for; where it is empty, all.
    pub consumers: Vec<DomainName>,
    /// The work that it is for; without one, all.
    pub workload: Option<Workload>,
}

/// What kind of work a query is, as far as it can be told from what the client says of itself and from the statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Workload {
    /// Somebody's question.
    Interactive,
    /// A BI tool that looks at tables on its own account: it samples them, lists the values of their columns, profiles them.
    Crawl,
}

impl Workload {
    /// As the ledger and the catalog write it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Crawl => "crawl",
        }
    }

    /// The one with a label.
    pub fn of_label(label: &str) -> Option<Self> {
        WORKLOADS.iter().find(|(known, _)| *known == label).map(|(_, workload)| *workload)
    }
}

/// Whose bytes a limit counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Each {
    /// All that one principal reads.
    Principal,
    /// All that one consumer domain reads.
    Consumer,
    /// All that is read of one product.
    Product,
    /// All that one consumer domain reads of one product.
    ConsumerProduct,
}

impl Each {
    /// Whether it counts what is read of one product, rather than all that somebody reads.
    pub const fn is_of_product(self) -> bool {
        matches!(self, Self::Product | Self::ConsumerProduct)
    }
}

/// For how long a limit counts before it begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Per {
    /// One query.
    Query,
    /// A day (UTC).
    Day,
    /// A calendar month (UTC).
    Month,
}

impl Per {
    /// As the catalog writes it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

impl ScanLimit {
    /// Whether it holds for what a consumer domain reads.
    pub fn holds(&self, consumer: &DomainName) -> bool {
        self.consumers.is_empty() || self.consumers.contains(consumer)
    }

    /// Whether it holds for work of a kind.
    pub fn counts(&self, workload: Workload) -> bool {
        self.workload.is_none_or(|only| only == workload)
    }

    /// Whether it is for a product.
    pub fn covers(&self, product: &ProductId) -> bool {
        self.products.is_empty() || self.products.contains(product)
    }
}

const EACH: [(&str, Each); 4] =
    [("principal", Each::Principal), ("consumer", Each::Consumer), ("product", Each::Product), ("consumer-product", Each::ConsumerProduct)];
const PER: [(&str, Per); 3] = [("query", Per::Query), ("day", Per::Day), ("month", Per::Month)];
const WORKLOADS: [(&str, Workload); 2] =
    [(Workload::Interactive.label(), Workload::Interactive), (Workload::Crawl.label(), Workload::Crawl)];
const KEYS: [&str; 7] = ["id", "each", "per", "bytes", "products", "consumers", "workload"];

pub(super) fn read(list: Value<'_>, report: &mut Report) -> Vec<Arc<ScanLimit>> {
    let mut limits: Vec<Arc<ScanLimit>> = Vec::new();
    for item in list.items(report).into_iter().flatten() {
        let Some(limit) = limit(item, report) else { continue };
        if limits.iter().any(|other| other.id == limit.id) {
            report.error(item.at(), format!("limit `{}` is given twice: an override refers to a limit by its id", limit.id));
        } else {
            limits.push(Arc::new(limit));
        }
    }
    limits
}

fn limit(item: Value<'_>, report: &mut Report) -> Option<ScanLimit> {
    let fields = item.fields(&KEYS, report)?;
    let id = fields.require("id", report).and_then(|value| value.filled(report));
    let each = fields.require("each", report).and_then(|value| value.word(&EACH, report));
    let per = fields.require("per", report).and_then(|value| value.word(&PER, report));
    let bytes = fields.require("bytes", report).and_then(|value| value.parsed(values::bytes, report));
    if let (Some(value), Some(each)) = (fields.get("products"), each)
        && !each.is_of_product()
    {
        report.error(value.at(), "`products` goes with `each: product` and `each: consumer-product`");
    }
    if let (Some(value), Some(Each::Product)) = (fields.get("consumers"), each) {
        report.error(value.at(), "`each: product` counts what all read: `consumers` goes with `each: consumer-product`");
    }
    Some(ScanLimit {
        id: id?.to_owned(),
        each: each?,
        per: per?,
        bytes: bytes?,
        products: names(fields.get("products"), product, report),
        consumers: names(fields.get("consumers"), |name| DomainName::new(name).map_err(|error| error.to_string()), report),
        workload: fields.get("workload").and_then(|value| value.word(&WORKLOADS, report)),
    })
}

/// Tells of limits for products that there are not: one with a misspelt name would limit nothing, and nobody would notice.
pub(super) fn check(limits: &[Arc<ScanLimit>], products: &BTreeMap<ProductId, Product>, problems: &mut Vec<Problem>) {
    for limit in limits {
        unknown_products(&format!("the limit `{}`", limit.id), &limit.products, products, problems);
    }
}
