use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::catalog::{Price, Tier};
use crate::id::{DomainName, ProductId, ProductName};

fn decimal(text: &str) -> Decimal {
    text.parse().expect("a decimal")
}

fn price(id: &str, from: &str) -> Price {
    Price::flat(id, from.parse().expect("a day"), Decimal::ONE)
}

fn domain(name: &str) -> DomainName {
    DomainName::new(name).expect("a name")
}

fn product(name: &str) -> ProductId {
    ProductId { domain: domain("claims"), product: ProductName::new(name).expect("a name") }
}

#[test]
fn a_tebibyte_costs_its_price_and_a_byte_its_share() {
    assert_eq!(Cost::of(1 << 40, decimal("5.00")).decimal(), decimal("5"));
    assert_eq!(Cost::of(1 << 39, decimal("5.00")).decimal(), decimal("2.5"));
    assert_eq!(Cost::of(0, decimal("5.00")).decimal(), Decimal::ZERO);
    // 5 / 2^40 = 0.00000000000454747350886464…
    assert_eq!(Cost::of(1, decimal("5.00")).decimal(), decimal("0.000000000004547"));
    assert_eq!(Cost::of(u64::MAX, decimal("0")).decimal(), Decimal::ZERO);
}

#[test]
fn of_the_prices_in_force_the_most_particular_counts_and_then_the_newest() {
    let prices = [
        price("new", "2026-11-01"),
        price("old", "2026-01-01"),
        Price { consumers: vec![domain("marketing")], ..price("marketing", "2026-01-01") },
        Price { products: vec![product("fraud")], until: "2026-11-30".parse().ok(), ..price("fraud", "2026-02-01") },
        Price { products: vec![product("fraud")], consumers: vec![domain("marketing")], ..price("both", "2026-12-01") },
    ]
    .map(Arc::new);
    let id = |day: &str, consumer: &str, name: &str| {
        let list = PriceList::new("USD", &prices, &domain(consumer), day.parse().expect("a day"));
        list.price_of(&product(name)).map_or("none".to_owned(), |price| price.id.clone())
    };
    assert_eq!(id("2025-12-31", "finance", "other"), "none");
    assert_eq!(id("2026-01-01", "finance", "other"), "old");
    assert_eq!(id("2026-10-31", "finance", "other"), "old");
    assert_eq!(id("2026-11-01", "finance", "other"), "new");
    assert_eq!(id("2026-11-01", "marketing", "other"), "marketing");
    assert_eq!(id("2026-11-30", "marketing", "fraud"), "fraud");
    assert_eq!(id("2026-12-01", "finance", "fraud"), "new");
    assert_eq!(id("2026-12-01", "marketing", "fraud"), "both");
}

#[test]
fn tiers_cost_what_lies_in_them_and_the_free_part_nothing() {
    const TIB: u64 = 1 << 40;
    let rates = Rates { free: TIB, tiers: vec![(0, decimal("5")), (3 * TIB, decimal("4")), (5 * TIB, decimal("1.50"))] };
    let cost = |before: u64, bytes: u64| rates.cost(before * TIB / 2, bytes * TIB / 2).decimal();
    assert_eq!(cost(0, 2), decimal("0"));
    assert_eq!(cost(1, 2), decimal("2.5"));
    assert_eq!(cost(2, 4), decimal("10"));
    assert_eq!(cost(5, 6), decimal("2.5") + decimal("8") + decimal("0.75"));
    assert_eq!(
        rates.cost(u64::MAX - 1, 5),
        Cost::of(u64::MAX - 5 * TIB, decimal("1.50")).plus(Cost::from_units(-Cost::of(u64::MAX - 1 - 5 * TIB, decimal("1.50")).units()))
    );
}

#[test]
fn the_minimum_and_the_step_are_the_products_and_not_each_ports() {
    let rules = Rules { round_to: 100, minimum: 1000 };
    assert_eq!(rules.shares(&[0, 0]), [0, 0]);
    assert_eq!(rules.shares(&[1]), [1000]);
    assert_eq!(rules.shares(&[0, 30, 40]), [0, 960, 40]);
    assert_eq!(rules.shares(&[1001]), [1100]);
    assert_eq!(Rules { round_to: 0, minimum: 0 }.shares(&[7, 8]), [7, 8]);
}

/// Schoolbook long division over digits, sharing nothing with the code under test: bytes × price / 2^40 to fifteen digits.
fn naive(bytes: u64, cents_of_price: u64, digits: u32) -> String {
    let mut number: Vec<u32> = vec![0; 64];
    number[0] = 1;
    let mut times = |factor: u64| {
        let mut carry = 0_u128;
        for digit in &mut number {
            let product = u128::from(*digit) * u128::from(factor) + carry;
            *digit = (product % 10) as u32;
            carry = product / 10;
        }
        assert_eq!(carry, 0);
    };
    times(bytes);
    times(cents_of_price);
    for _ in digits..15 {
        times(10);
    }
    // Divide by 2^40, one halving at a time, and remember whether what was cut off is below, at or above a half.
    let (mut half, mut rest) = (false, false);
    for _ in 0..40 {
        rest |= half;
        let mut carry = 0;
        for digit in number.iter_mut().rev() {
            let value = carry * 10 + *digit;
            *digit = value / 2;
            carry = value % 2;
        }
        half = carry == 1;
    }
    if half && (rest || number[0] % 2 == 1) {
        for digit in &mut number {
            *digit += 1;
            if *digit < 10 {
                break;
            }
            *digit = 0;
        }
    }
    let text: String = number.iter().rev().map(|digit| char::from(b'0' + *digit as u8)).collect();
    let text = text.trim_start_matches('0');
    if text.is_empty() { "0".into() } else { text.into() }
}

proptest! {
    #[test]
    fn an_amount_is_what_long_division_gives(bytes in 0_u64..1 << 50, price in 0_u64..1_000_000_000, digits in 0_u32..=9) {
        let per_tib = Decimal::from_i128_with_scale(i128::from(price), digits);
        prop_assert_eq!(Cost::of(bytes, per_tib).units().to_string(), naive(bytes, price, digits));
    }

    #[test]
    fn halves_put_together_are_the_amount(units in 0_i128..1 << 90) {
        let (upper, lower) = Cost(units).halves();
        prop_assert!((0..1_000_000_000).contains(&lower));
        let whole = Cost::from_halves(upper, lower);
        if upper < i64::MAX { prop_assert_eq!(whole, Cost(units)); }
    }

    #[test]
    fn shares_add_up_to_what_the_product_is_charged(read in prop::collection::vec(0_u64..10_000, 1..5), step in 0_u64..5000, minimum in 0_u64..20_000) {
        let rules = Rules { round_to: step, minimum };
        let shares = rules.shares(&read);
        let sum: u64 = read.iter().sum();
        let mut charged = sum;
        while step > 1 && !charged.is_multiple_of(step) { charged += 1; }
        if sum > 0 { charged = charged.max(minimum); }
        prop_assert_eq!(shares.iter().sum::<u64>(), charged);
        for (share, bytes) in shares.iter().zip(&read) { prop_assert!(share >= bytes && (*bytes > 0 || *share == 0)); }
    }

    /// However a month is cut into rows, it costs what its tiers cost, each taken whole: byte by byte in units of money a byte.
    #[test]
    fn the_rows_of_a_month_cost_what_its_volume_costs(
        rows in prop::collection::vec(0_u64..3000, 1..20),
        free in 0_u64..4000,
        steps in prop::collection::vec((1_u64..4000, 0_u32..50), 0..4),
        base in 0_u32..50,
    ) {
        let per_tib = |price: u32| Decimal::from(price) * Decimal::from(1_u64 << 40);
        let mut tiers = vec![(0, per_tib(base))];
        let mut naive = vec![(0, base)];
        for (wide, price) in steps {
            let above = naive.last().map_or(0, |(above, _)| *above) + wide;
            tiers.push((above, per_tib(price)));
            naive.push((above, price));
        }
        let rates = Rates { free, tiers };
        let (mut volume, mut total) = (0, Cost::default());
        for bytes in &rows {
            total = total.plus(rates.cost(volume, *bytes));
            volume += bytes;
        }
        let price_of_byte = |at: u64| if at < free { 0 } else { naive.iter().rev().find(|(above, _)| *above <= at).map_or(0, |(_, price)| *price) };
        let sum: u64 = (0..volume).map(|at| u64::from(price_of_byte(at))).sum();
        prop_assert_eq!(total.decimal(), Decimal::from(sum));
    }

    /// Whatever the month's volume was before, and whatever within its bounds is read.
    #[test]
    fn what_is_charged_lies_within_the_quote(
        (least, more, read) in (0_u64..1 << 42, 0_u64..1 << 42, 0_u64..1 << 42),
        before in 0_u64..1 << 45,
        free in prop_oneof![Just(0), 0_u64..1 << 44],
        tiers in prop::collection::vec((1_u64..1 << 43, 0_u64..100_000), 0..4),
        (step, minimum, base) in (0_u64..5000, 0_u64..1 << 22, 0_u64..100_000),
    ) {
        let per_tib = |mantissa: u64| Decimal::from_i128_with_scale(i128::from(mantissa), 3);
        let mut above = 0;
        let tiers: Vec<Tier> = tiers.into_iter().map(|(wide, price)| { above += wide; Tier { above, per_tib: per_tib(price) } }).collect();
        let price = Price {
            free_per_month: free, tiers, round_to: step, minimum_per_query: minimum, per_tib: per_tib(base), ..price("p", "2026-01-01")
        };
        let rates = Rates {
            free, tiers: std::iter::once((0, price.per_tib)).chain(price.tiers.iter().map(|tier| (tier.above, tier.per_tib))).collect(),
        };
        let list = PriceList::of_one("USD", price);
        let read = least + if more == 0 { 0 } else { read % more };
        let charged = rates.cost(before, Rules { round_to: step, minimum }.charged(read));
        let quote = list.quote(&product("claims_enriched"), least, Some(least + more));
        prop_assert!(quote.least <= charged && Some(charged) <= quote.most, "{:?} is not within {:?}", charged, quote);
        prop_assert_eq!(list.quote(&product("claims_enriched"), 0, None).most, None);
    }

    /// The same with prices that do not come out even: rows add up to the tiers' amounts by long division, rounded once a tier.
    #[test]
    fn no_row_of_a_tier_loses_or_gains_by_rounding(
        rows in prop::collection::vec(0_u64..1 << 44, 1..12),
        free in 0_u64..1 << 42,
        wide in 1_u64..1 << 43,
        prices in (0_u64..100_000, 0_u64..100_000),
    ) {
        let above = free + wide;
        let price = |mantissa: u64| Decimal::from_i128_with_scale(i128::from(mantissa), 3);
        let rates = Rates { free, tiers: vec![(0, price(prices.0)), (above, price(prices.1))] };
        let (mut volume, mut total) = (0, 0);
        for bytes in &rows {
            total += rates.cost(volume, *bytes).units();
            volume += bytes;
        }
        let naive = |bytes: u64, price: u64| naive(bytes, price, 3).parse::<i128>().expect("a number");
        let (first, second) = (volume.min(above).saturating_sub(free), volume.saturating_sub(above));
        prop_assert_eq!(total, naive(first, prices.0) + naive(second, prices.1));
    }
}
