use proptest::prelude::*;

use super::*;

fn decimal(text: &str) -> Decimal {
    text.parse().expect("a decimal")
}

fn price(id: &str, from: &str) -> Price {
    let from = from.parse().expect("a day");
    Price { id: id.into(), from, per_tib: Decimal::ONE, round_to: 1, minimum_per_query: 0, charge_failed: true }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
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
fn the_newest_price_that_has_begun_is_in_force_from_midnight_utc() {
    let prices = [price("new", "2026-11-01"), price("old", "2026-01-01")];
    let id = |time| price_at(&prices, at(time)).map(|price| price.id.as_str());
    assert_eq!(id("2025-12-31T23:59:59Z"), None);
    assert_eq!(id("2026-01-01T00:00:00Z"), Some("old"));
    assert_eq!(id("2026-10-31T23:59:59Z"), Some("old"));
    assert_eq!(id("2026-11-01T00:00:00Z"), Some("new"));
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
}
