//! Numbers that look random and are the same on every machine: each thing draws from a stream of its own, made of what it is.
//!
//! The sequence is SplitMix64, spelt out here because a library's generator may change between versions, and with it the demo's data.

/// A stream of numbers.
#[derive(Debug, Clone)]
pub(super) struct Draw(u64);

impl Draw {
    /// The stream of one thing: what kind it is, and which one.
    pub(super) fn of(kind: &str, id: u64) -> Self {
        let seed = kind.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        let mut draw = Self(seed ^ id.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        draw.next();
        draw
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// A small number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: i32, high: i32) -> i32 {
        let span = u64::from(high.abs_diff(low)) + 1;
        low.saturating_add(i32::try_from(self.below(span)).unwrap_or(0))
    }

    /// From 0 up to 1.
    pub(super) fn unit(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap_or(0)) / f64::from(u32::MAX)
    }

    /// True `percent` of the time.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of the words.
    pub(super) fn pick<'w>(&mut self, words: &[&'w str]) -> &'w str {
        let count = u64::try_from(words.len()).unwrap_or(1);
        usize::try_from(self.below(count)).ok().and_then(|index| words.get(index)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_thing_draws_the_same_numbers_for_ever() {
        let mut draw = Draw::of("customer", 1);
        assert_eq!([draw.below(1000), draw.below(1000), draw.below(1000)], [734, 195, 400]);
        assert_ne!(Draw::of("customer", 2).below(1 << 60), Draw::of("customer", 1).below(1 << 60));
        assert_ne!(Draw::of("policy", 1).below(1 << 60), Draw::of("customer", 1).below(1 << 60));
    }

    #[test]
    fn draws_keep_their_bounds() {
        let mut draw = Draw::of("bounds", 7);
        for _ in 0..1000 {
            assert!((-3..=4).contains(&draw.between(-3, 4)) && (0.0..=1.0).contains(&draw.unit()) && draw.below(5) < 5);
        }
    }
}
