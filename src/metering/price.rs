//! What bytes cost. Exact: whole bytes times an exact price, in integers, rounded once to a fixed number of digits.
//!
//! A tebibyte is 2^40 bytes, so an exact quotient may need forty digits after the point. The ledger keeps fifteen, a hundred times finer than
//! a byte at one unit a tebibyte, and rounds half to even, so that many small rows add up to what one large one costs.

mod list;
mod rates;

use rust_decimal::Decimal;

pub use list::{PriceList, Quote};
pub(super) use rates::Rates;

/// Digits after the point of every amount in the ledger.
pub const COST_SCALE: u32 = 15;

/// Of the digits after the point, how many the larger half of a stored amount keeps. See [`Cost::halves`].
const HALF: i128 = 1_000_000_000;

/// An amount of money in units of 10^-15 of the currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost(i128);

impl Cost {
    /// What `bytes` cost at `per_tib`. Amounts past what a ledger row can hold saturate, they do not wrap.
    pub fn of(bytes: u64, per_tib: Decimal) -> Self {
        let price = per_tib.normalize();
        let (mantissa, scale) = (price.mantissa(), price.scale());
        // bytes × mantissa / 10^scale / 2^40, in units of 10^-15.
        let (factor, divisor) = if scale <= COST_SCALE { (pow10(COST_SCALE - scale), 1) } else { (1, pow10(scale - COST_SCALE)) };
        let Some(amount) = i128::from(bytes).checked_mul(mantissa) else { return Self(i128::MAX / 2) };
        // 2^40 and 10^factor share factors of two: taking them out first keeps the product within 128 bits.
        let shared = factor.trailing_zeros().min(40);
        let (factor, tib) = (factor >> shared, 1_i128 << (40 - shared));
        match amount.checked_mul(factor) {
            Some(amount) => Self(divide_to_even(amount, tib.saturating_mul(divisor))),
            None => Self(divide_to_even(amount, tib.saturating_mul(divisor)).saturating_mul(factor)),
        }
    }

    /// From the halves that the journal stores.
    pub fn from_halves(upper: i64, lower: i64) -> Self {
        Self(i128::from(upper).saturating_mul(HALF).saturating_add(i128::from(lower)))
    }

    /// Two integers that SQLite can add up exactly, each on its own: millionths of the currency, and the rest in units of 10^-15.
    pub fn halves(self) -> (i64, i64) {
        let upper = i64::try_from(self.0.div_euclid(HALF)).unwrap_or(i64::MAX);
        let lower = i64::try_from(self.0.rem_euclid(HALF)).unwrap_or_default();
        (upper, lower)
    }

    /// In units of 10^-15: the value of a `Decimal128(38, 15)`.
    pub fn units(self) -> i128 {
        self.0
    }

    /// From the value of a `Decimal128(38, 15)`.
    pub fn from_units(units: i128) -> Self {
        Self(units)
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// As a decimal number, without trailing zeros.
    pub fn decimal(self) -> Decimal {
        Decimal::try_from_i128_with_scale(self.0, COST_SCALE).unwrap_or(Decimal::MAX).normalize()
    }
}

fn pow10(digits: u32) -> i128 {
    10_i128.saturating_pow(digits)
}

fn divide_to_even(amount: i128, by: i128) -> i128 {
    let (whole, rest) = (amount.div_euclid(by), amount.rem_euclid(by));
    match (rest.saturating_mul(2)).cmp(&by) {
        std::cmp::Ordering::Less => whole,
        std::cmp::Ordering::Greater => whole + 1,
        std::cmp::Ordering::Equal => whole + (whole & 1),
    }
}

/// The rules of a price that turn bytes read into bytes charged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) round_to: u64,
    pub(super) minimum: u64,
}

impl Rules {
    /// Bytes charged for one product in one query: what its ports read together, rounded up to a step, and at least the minimum where
    /// anything was read.
    pub(super) fn charged(self, read: u64) -> u64 {
        if read == 0 {
            return 0;
        }
        let step = self.round_to.max(1);
        read.checked_next_multiple_of(step).unwrap_or(read).max(self.minimum)
    }

    /// The same, shared out over the product's ports: each pays for what it read, the first that read anything for what is added.
    pub(super) fn shares(self, read: &[u64]) -> Vec<u64> {
        let sum = read.iter().fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
        let mut added = self.charged(sum).saturating_sub(sum);
        let share = |bytes: &u64| if *bytes == 0 { 0 } else { bytes.saturating_add(std::mem::take(&mut added)) };
        read.iter().map(share).collect()
    }
}

#[cfg(test)]
mod tests;
