//! Numbers as PostgreSQL writes them: integers, shortest floats, exact numerics of any precision.

use std::io::Write as _;

use arrow::datatypes::i256;

pub(super) use crate::query::written::number::{signed, unsigned};
pub(super) use crate::query::{float4, float8};

/// The unscaled value of a decimal.
#[derive(Debug, Clone, Copy)]
pub enum Unscaled {
    /// Up to 38 digits.
    Small(i128),
    /// Up to 76 digits.
    Large(i256),
}

impl Unscaled {
    /// Its sign and digits, without leading zeros; nothing for zero.
    fn digits(self, buffer: &mut Vec<u8>) -> bool {
        match self {
            Self::Small(value) => {
                let magnitude = value.unsigned_abs();
                match u64::try_from(magnitude) {
                    Ok(0) => {}
                    Ok(small) => unsigned(small, buffer),
                    Err(_) => drop(write!(buffer, "{magnitude}")),
                }
                value < 0
            }
            Self::Large(value) => {
                let text = value.to_string();
                let digits = text.trim_start_matches('-');
                if digits != "0" {
                    buffer.extend_from_slice(digits.as_bytes());
                }
                value.is_negative()
            }
        }
    }
}

/// Appends a `numeric` as text.
pub fn numeric_text(value: Unscaled, scale: i8, out: &mut Vec<u8>) {
    let mut digits = Vec::with_capacity(40);
    if value.digits(&mut digits) {
        out.push(b'-');
    }
    if digits.is_empty() {
        digits.push(b'0');
    } else if scale < 0 {
        digits.extend(std::iter::repeat_n(b'0', usize::from(scale.unsigned_abs())));
    }
    let fraction = usize::try_from(scale).unwrap_or(0);
    if digits.len() <= fraction {
        digits.splice(..0, std::iter::repeat_n(b'0', fraction + 1 - digits.len()));
    }
    let (whole, rest) = digits.split_at(digits.len() - fraction);
    out.extend_from_slice(whole);
    if !rest.is_empty() {
        out.push(b'.');
        out.extend_from_slice(rest);
    }
}

/// Appends a `numeric` in binary: groups of four digits, with the weight of the first.
pub fn numeric_binary(value: Unscaled, scale: i8, out: &mut Vec<u8>) {
    if let (Unscaled::Small(small), 0..=16) = (value, scale)
        && let Ok(magnitude) = u64::try_from(small.unsigned_abs())
    {
        return small_numeric(magnitude, small < 0, scale.unsigned_abs(), out);
    }
    let mut digits = Vec::with_capacity(84);
    let negative = value.digits(&mut digits);
    let fraction = usize::try_from(scale).unwrap_or(0);
    if scale < 0 && !digits.is_empty() {
        digits.extend(std::iter::repeat_n(b'0', usize::from(scale.unsigned_abs())));
    }
    if digits.len() < fraction {
        digits.splice(..0, std::iter::repeat_n(b'0', fraction - digits.len()));
    }
    // Groups are counted from the decimal point: fill up on both sides.
    digits.extend(std::iter::repeat_n(b'0', (4 - fraction % 4) % 4));
    let whole = digits.len() - fraction.next_multiple_of(4);
    digits.splice(..0, std::iter::repeat_n(b'0', (4 - whole % 4) % 4));
    let groups: Vec<u16> = digits.chunks(4).map(|group| group.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'))).collect();
    let weight = i16::try_from(whole.div_ceil(4)).unwrap_or(i16::MAX) - 1;
    put_numeric(&groups, weight, negative, u16::try_from(fraction).unwrap_or(0), out);
}

/// The common case without allocation: 64 bits and at most 16 digits after the point.
fn small_numeric(magnitude: u64, negative: bool, scale: u8, out: &mut Vec<u8>) {
    let mut groups = [0_u16; 9];
    let one = 10_u64.pow(u32::from(scale));
    let padding = 10_u64.pow(u32::from((4 - scale % 4) % 4));
    let (mut whole, mut fraction) = (magnitude / one, magnitude % one * padding);
    // Five groups hold any u64, four hold sixteen digits.
    for slot in groups.iter_mut().take(5).rev() {
        *slot = (whole % 10_000) as u16;
        whole /= 10_000;
    }
    let after = usize::from(scale).div_ceil(4);
    for slot in groups.iter_mut().skip(5).take(after).rev() {
        *slot = (fraction % 10_000) as u16;
        fraction /= 10_000;
    }
    put_numeric(groups.get(..5 + after).unwrap_or_default(), 4, negative, u16::from(scale), out);
}

fn put_numeric(groups: &[u16], weight: i16, negative: bool, scale: u16, out: &mut Vec<u8>) {
    let leading = groups.iter().take_while(|group| **group == 0).count();
    let groups = groups.get(leading..).unwrap_or_default();
    let trailing = groups.iter().rev().take_while(|group| **group == 0).count();
    let groups = groups.get(..groups.len() - trailing).unwrap_or_default();
    let weight = if groups.is_empty() { 0 } else { weight - i16::try_from(leading).unwrap_or(0) };
    let sign: u16 = if negative && !groups.is_empty() { 0x4000 } else { 0 };
    out.extend_from_slice(&(groups.len() as u16).to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&scale.to_be_bytes());
    for group in groups {
        out.extend_from_slice(&group.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::FloatDigits;
    use proptest::prelude::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_are_the_shortest_text_in_postgres_layout() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (-1.5, "-1.5"),
            (100.0, "100"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (123_456_789_012_345.0, "123456789012345"),
            (1_234_567_890_123_456.0, "1.234567890123456e+15"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e100, "1e+100"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
            (std::f64::consts::PI, "3.141592653589793"),
        ] {
            assert_eq!(text(|out| float8(value, FloatDigits::default(), out)), expected);
        }
        for (value, expected) in
            [(100_000.0, "100000"), (1e6, "1e+06"), (1_234_567.0, "1.234567e+06"), (0.1, "0.1"), (f32::MAX, "3.4028235e+38")]
        {
            assert_eq!(text(|out| float4(value, FloatDigits::default(), out)), expected);
        }
    }

    #[test]
    fn extra_float_digits_of_zero_rounds_to_fifteen() {
        assert_eq!(text(|out| float8(0.1 + 0.2, FloatDigits(0), out)), "0.3");
        assert_eq!(text(|out| float8(0.1 + 0.2, FloatDigits(1), out)), "0.30000000000000004");
        assert_eq!(text(|out| float8(1e15, FloatDigits(0), out)), "1e+15");
        assert_eq!(text(|out| float8(std::f64::consts::PI, FloatDigits(-12), out)), "3.14");
    }

    #[test]
    fn numerics_are_exact_at_any_scale() {
        let small = |value: i128, scale| text(|out| numeric_text(Unscaled::Small(value), scale, out));
        assert_eq!(small(12345, 2), "123.45");
        assert_eq!(small(-5, 3), "-0.005");
        assert_eq!(small(0, 2), "0.00");
        assert_eq!(small(7, -3), "7000");
        assert_eq!(small(0, -3), "0");
        assert_eq!(small(i128::MIN, 0), "-170141183460469231731687303715884105728");
        assert_eq!(text(|out| numeric_text(Unscaled::Large(i256::MAX), 10, out)), {
            let digits = i256::MAX.to_string();
            format!("{}.{}", &digits[..digits.len() - 10], &digits[digits.len() - 10..])
        });
    }

    /// Reads what `numeric_recv` would read.
    fn decode(bytes: &[u8]) -> String {
        let word = |at: usize| i16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let (count, weight, sign, scale) = (word(0) as usize, i32::from(word(2)), word(4), word(6) as usize);
        assert_eq!(bytes.len(), 8 + 2 * count);
        let group = |index: i32| if (0..count as i32).contains(&index) { word(8 + 2 * index as usize) } else { 0 };
        let mut whole: String = (0..=weight.max(-1)).map(|index| format!("{:04}", group(index))).collect();
        whole = whole.trim_start_matches('0').to_owned();
        let fraction: String = (0..scale.div_ceil(4) as i32).map(|index| format!("{:04}", group(index + weight + 1))).collect();
        let sign = if sign == 0x4000 { "-" } else { "" };
        let whole = if whole.is_empty() { "0" } else { &whole };
        if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{}", &fraction[..scale]) }
    }

    #[test]
    fn a_numeric_in_binary_is_what_postgres_sends() {
        let binary = |value, scale| {
            let mut out = Vec::new();
            numeric_binary(Unscaled::Small(value), scale, &mut out);
            out
        };
        assert_eq!(binary(12345, 2), [0, 2, 0, 0, 0, 0, 0, 2, 0, 123, 0x11, 0x94]);
        assert_eq!(binary(0, 2), [0, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(binary(-10_000, 0), [0, 1, 0, 1, 0x40, 0, 0, 0, 0, 1]);
        assert_eq!(binary(1, 6), [0, 1, 0xff, 0xfe, 0, 0, 0, 6, 0, 100]);
    }

    proptest! {
        #[test]
        fn binary_and_text_numerics_say_the_same(value: i128, scale in -10_i8..=38) {
            let mut binary = Vec::new();
            numeric_binary(Unscaled::Small(value), scale, &mut binary);
            prop_assert_eq!(decode(&binary), text(|out| numeric_text(Unscaled::Small(value), scale, out)));
        }

        #[test]
        fn small_numerics_say_the_same(value: i64, scale in 0_i8..=18) {
            let mut binary = Vec::new();
            numeric_binary(Unscaled::Small(i128::from(value)), scale, &mut binary);
            prop_assert_eq!(decode(&binary), text(|out| numeric_text(Unscaled::Small(i128::from(value)), scale, out)));
        }

        #[test]
        fn floats_read_back_the_same(bits: u64) {
            let value = f64::from_bits(bits);
            let written = text(|out| float8(value, FloatDigits::default(), out));
            let read: f64 = written.parse().unwrap();
            prop_assert!(read == value || value.is_nan());
        }

        #[test]
        fn integers_are_written_whole(value: i64) {
            prop_assert_eq!(text(|out| signed(value, out)), value.to_string());
        }
    }
}
