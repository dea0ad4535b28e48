//! Which price holds: of those in force on the day, the most particular.

use std::cmp::Reverse;
use std::sync::Arc;

use chrono::NaiveDate;

use crate::catalog::Price;
use crate::id::{DomainName, ProductId};

/// The prices that one query is charged by: those in force for its consumer domain on the day (UTC) on which it began.
#[derive(Debug, Clone, Default)]
pub struct PriceList {
    currency: String,
    /// The most particular first.
    prices: Vec<Arc<Price>>,
}

impl PriceList {
    /// Those of a mesh's `prices`, in any order, that hold for a consumer domain on a day.
    pub fn new(currency: &str, prices: &[Arc<Price>], consumer: &DomainName, day: NaiveDate) -> Self {
        let mut prices: Vec<Arc<Price>> = prices.iter().filter(|price| price.holds(consumer, day)).cloned().collect();
        prices.sort_by_key(|price| Reverse(price.rank()));
        Self { currency: currency.to_owned(), prices }
    }

    /// One price for everything.
    pub fn of_one(currency: &str, price: Price) -> Self {
        Self { currency: currency.to_owned(), prices: vec![Arc::new(price)] }
    }

    /// The price of a product; `None` where reading it costs nothing.
    pub fn price_of(&self, product: &ProductId) -> Option<&Price> {
        self.prices.iter().find(|price| price.covers(product)).map(AsRef::as_ref)
    }

    /// ISO 4217 code of all of them.
    pub fn currency(&self) -> &str {
        &self.currency
    }

    /// Whether nothing costs anything.
    pub fn is_empty(&self) -> bool {
        self.prices.is_empty()
    }
}
