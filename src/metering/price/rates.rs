//! Prices that depend on the month's volume: what is free, and tiers.
//!
//! What a month costs is a function of its volume alone. A row is charged what it adds to that: the function at the volume after it less the
//! function at the volume before it. So the rows of a month add up to what its whole volume costs, to the last digit, in whichever order they
//! came, and no other figure has to be kept in step with them (`docs/decisions/0008-volume-prices.md`).

use rust_decimal::Decimal;

use super::Cost;

/// What a month's volume costs.
#[derive(Debug)]
pub(in crate::metering) struct Rates {
    /// Bytes of a month that cost nothing.
    pub(in crate::metering) free: u64,
    /// From which volume on a tebibyte costs how much, from the least volume up; the first begins at 0.
    pub(in crate::metering) tiers: Vec<(u64, Decimal)>,
}

impl Rates {
    /// What `bytes` cost that come after a volume of `before` bytes.
    pub(in crate::metering) fn cost(&self, before: u64, bytes: u64) -> Cost {
        let after = self.whole(before.saturating_add(bytes));
        Cost::from_units(after.units() - self.whole(before).units())
    }

    /// What a whole month costs. Each tier is rounded once.
    fn whole(&self, volume: u64) -> Cost {
        let ends = self.tiers.iter().skip(1).map(|(from, _)| *from).chain([u64::MAX]);
        let tier = |((from, per_tib), end): (&(u64, Decimal), u64)| {
            let begin = self.free.max(*from);
            Cost::of(volume.min(end).saturating_sub(begin), *per_tib)
        };
        self.tiers.iter().zip(ends).map(tier).fold(Cost::default(), Cost::plus)
    }
}
