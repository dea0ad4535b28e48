//! A number, written by a template.

use crate::error::{ErrorKind, Fault, Result};

use super::moment::Case;
use super::moment_out::ordinal;
use super::number::{Anchor, Number, Piece};

/// A number in decimal digits. Those of an integer part of zero are `0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digits {
    pub(super) negative: bool,
    pub(super) whole: String,
    pub(super) fraction: String,
}

/// The decimal digits that `real` and `double precision` can be trusted with.
pub(super) const SINGLE: usize = 6;
pub(super) const DOUBLE: usize = 15;

/// What `to_char` takes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Exact(Digits),
    /// With the number of decimal digits that its type can be trusted with.
    Float(f64, usize),
}

impl Digits {
    /// Of a text like `-12.50`.
    pub(super) fn of(text: &str) -> Self {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let whole = whole.trim_start_matches('0');
        Self { negative, whole: if whole.is_empty() { "0" } else { whole }.to_owned(), fraction: fraction.to_owned() }
    }

    fn is_zero(&self) -> bool {
        self.whole.bytes().chain(self.fraction.bytes()).all(|b| b == b'0')
    }

    /// Times ten to the power of `places`.
    fn shifted(mut self, places: usize) -> Self {
        let taken = places.min(self.fraction.len());
        let rest = self.fraction.split_off(taken);
        self.whole.push_str(&self.fraction);
        self.whole.push_str(&"0".repeat(places - taken));
        Self { fraction: rest, ..Self::of(&self.whole) }.signed(self.negative)
    }

    /// Divided by ten to the power of `shift`, as an integer of so many decimals.
    pub(super) fn scaled(&self, shift: usize, scale: usize) -> Option<i128> {
        let whole = format!("{}{}", "0".repeat(shift), self.whole);
        let (whole, fraction) = whole.split_at_checked(whole.len() - shift)?;
        let moved = Self::of(&format!("{whole}.{fraction}{}", self.fraction)).rounded(scale);
        let digits = format!("{}{}", moved.whole, moved.fraction);
        let digits = digits.trim_start_matches('0');
        let value: i128 = if digits.is_empty() { 0 } else { digits.parse().ok().filter(|_| digits.len() <= 38)? };
        Some(if self.negative { -value } else { value })
    }

    fn signed(self, negative: bool) -> Self {
        Self { negative, ..self }
    }

    /// With so many digits after the point; a half is rounded away from zero.
    fn rounded(mut self, places: usize) -> Self {
        let up = self.fraction.as_bytes().get(places).is_some_and(|digit| *digit >= b'5');
        self.fraction.truncate(places);
        while self.fraction.len() < places {
            self.fraction.push('0');
        }
        if up {
            let mut digits = format!("0{}{}", self.whole, self.fraction).into_bytes();
            for digit in digits.iter_mut().rev() {
                if *digit == b'9' {
                    *digit = b'0';
                } else {
                    *digit += 1;
                    break;
                }
            }
            let digits: String = digits.into_iter().map(char::from).collect();
            let (whole, fraction) = digits.split_at(digits.len() - places);
            self = Self { fraction: fraction.to_owned(), ..Self::of(whole) }.signed(self.negative);
        }
        self.negative &= !self.is_zero();
        self
    }
}

/// The number ready for its places.
struct Laid<'a> {
    number: &'a Number,
    digits: Digits,
    /// Whether the number has a point: one that does not fit has it always.
    dotted: bool,
    /// Places that the number does not reach.
    blank: usize,
    /// The last place of the number that is shown, where `FM` leaves out what follows.
    last: Option<usize>,
}

impl Number {
    /// Appends `value` as the template says.
    pub(super) fn write(&self, value: &Value, out: &mut String) -> Result<()> {
        if self.exponent {
            self.write_exponent(value, out);
            return Ok(());
        }
        if self.roman {
            self.write_roman(value, out);
            return Ok(());
        }
        self.lay_out(value).write(out)
    }

    fn lay_out(&self, value: &Value) -> Laid<'_> {
        let mut digits = match value {
            Value::Exact(digits) => digits.clone().shifted(self.shift).rounded(self.fraction),
            Value::Float(float, _) if !float.is_finite() => {
                let word = if float.is_nan() { "NaN" } else { "Infinity" };
                Digits { negative: *float < 0.0, whole: word.to_owned(), fraction: String::new() }
            }
            Value::Float(float, trusted) => {
                let float = float * 10f64.powi(i32::try_from(self.shift).unwrap_or(i32::MAX));
                let float = if *trusted == SINGLE { f64::from(float as f32) } else { float };
                let whole = format!("{:.0}", float.abs()).len();
                let places = self.fraction.min(trusted.saturating_sub(whole));
                Digits::of(&format!("{float:.places$}"))
            }
        };
        let places = self.whole + self.shift;
        let overflown = digits.whole.len() > places;
        if overflown {
            digits.whole = "#".repeat(places);
            digits.fraction = "#".repeat(digits.fraction.len());
        }
        let dotted = overflown || !digits.fraction.is_empty();
        let blank = places.saturating_sub(digits.whole.len());
        let last = (self.bare && self.point && dotted).then(|| {
            let shown = digits.whole.len() + digits.fraction.trim_end_matches('0').len();
            let end = digits.whole.len() + digits.fraction.len();
            if self.zeros_until > blank { shown.max(end.min(self.zeros_until - blank)) } else { shown }
        });
        Laid { number: self, digits, dotted, blank, last }
    }

    /// `1.23e+04`.
    fn write_exponent(&self, value: &Value, out: &mut String) {
        let (mantissa, exponent, negative) = match value {
            Value::Float(float, _) if !float.is_finite() => {
                let hashes = |count: usize| "#".repeat(count);
                return out.push_str(&format!(" {}.{}", hashes(self.whole), hashes(self.fraction + 4)));
            }
            Value::Float(float, _) => {
                let text = format!("{:.*e}", self.fraction, float.abs());
                let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                (mantissa.to_owned(), exponent.parse().unwrap_or(0), float.is_sign_negative())
            }
            Value::Exact(digits) => {
                let (mantissa, exponent) = digits.scientific(self.fraction);
                (mantissa, exponent, digits.negative)
            }
        };
        let sign = if negative { '-' } else { ' ' };
        let exponent_sign = if exponent < 0 { '-' } else { '+' };
        out.push_str(&format!("{sign}{mantissa}e{exponent_sign}{:02}", exponent.abs()));
    }

    fn write_roman(&self, value: &Value, out: &mut String) {
        let number = match value {
            Value::Exact(digits) => {
                let rounded = digits.clone().rounded(0);
                if rounded.negative { None } else { rounded.whole.parse().ok() }
            }
            Value::Float(float, _) => format!("{float:.0}").parse().ok(),
        };
        let roman = number.and_then(roman).unwrap_or_else(|| "#".repeat(15));
        for piece in &self.pieces {
            match piece {
                Piece::Roman { upper } => {
                    let roman = if *upper { roman.clone() } else { roman.to_ascii_lowercase() };
                    let width = if self.bare { 0 } else { 15 };
                    out.push_str(&format!("{roman:>width$}"));
                }
                Piece::Char(c) => out.push(*c),
                Piece::Currency => out.push(' '),
                Piece::Group | Piece::Minus | Piece::Plus if !self.bare => out.push(' '),
                // Roman numbers have no sign, and PostgreSQL ends where one is asked for.
                Piece::Sign => return,
                _ => {}
            }
        }
    }
}

impl Digits {
    /// A digit, a point, so many digits; and the power of ten.
    fn scientific(&self, places: usize) -> (String, i64) {
        let all = format!("{}{}", self.whole, self.fraction);
        let Some(first) = all.find(|c| c != '0') else { return (Self::of("0").rounded(places).joined(), 0) };
        let (head, tail) = all.split_at(first + 1);
        let rounded = Self::of(&format!("{}.{tail}", head.trim_start_matches('0'))).rounded(places);
        let exponent = i64::try_from(self.whole.len()).unwrap_or(0) - i64::try_from(first).unwrap_or(0) - 1;
        // 9.99 becomes 10.0.
        if rounded.whole.len() > 1 {
            let shorter = Self::of(&format!("1.{}", "0".repeat(places)));
            return (shorter.joined(), exponent + 1);
        }
        (rounded.joined(), exponent)
    }

    fn joined(&self) -> String {
        if self.fraction.is_empty() { self.whole.clone() } else { format!("{}.{}", self.whole, self.fraction) }
    }
}

impl Laid<'_> {
    fn write(&self, out: &mut String) -> Result<()> {
        let number = self.number;
        let (mut place, mut begun) = (0, false);
        let mut sign_due = self.sign_is_due();
        let places = number.whole + number.shift + self.digits.fraction.len() + usize::from(number.point);
        // Where the sign stands on its own, there is no place for another.
        let last = places.saturating_sub(usize::from(!sign_due && self.blank == 0));
        for piece in &number.pieces {
            match *piece {
                Piece::Digit(_) | Piece::Point => {
                    if sign_due && self.sign_goes_before(place) {
                        sign_due = self.leading_sign(out);
                    }
                    match self.place(place, *piece, out) {
                        Some(is_digit) => begun = is_digit,
                        // PostgreSQL's text ends where a number has no more digits for its places.
                        None => return Ok(()),
                    }
                    place += 1;
                    if place == last {
                        self.trailing_sign(!sign_due, out);
                    }
                }
                Piece::Group if begun => out.push(','),
                Piece::Group | Piece::Minus | Piece::Plus if number.bare && !self.own_sign(*piece) => {}
                Piece::Group => out.push(' '),
                Piece::Minus => out.push(if self.digits.negative { '-' } else { ' ' }),
                Piece::Plus => out.push(if self.digits.negative { ' ' } else { '+' }),
                Piece::Sign => out.push(if self.digits.negative { '-' } else { '+' }),
                Piece::Currency => out.push(' '),
                Piece::Ordinal { upper } => out.push_str(self.ordinal(upper)?),
                Piece::Roman { .. } | Piece::Mark => {}
                Piece::Char(c) => out.push(c),
            }
        }
        Ok(())
    }

    fn ordinal(&self, upper: bool) -> Result<&'static str> {
        let whole = &self.digits.whole;
        if self.digits.negative || self.number.point || whole.starts_with('#') {
            return Ok("");
        }
        if whole.is_empty() {
            return Err(Fault::new(ErrorKind::InvalidText, "\".\" is not a number"));
        }
        Ok(ordinal(whole, if upper { Case::Upper } else { Case::Lower }))
    }

    /// Whether `MI` or `PL` has a sign to show.
    fn own_sign(&self, piece: Piece) -> bool {
        match piece {
            Piece::Minus => self.digits.negative,
            Piece::Plus => !self.digits.negative,
            _ => false,
        }
    }

    fn has_brackets(&self) -> bool {
        let number = self.number;
        number.brackets && (self.digits.negative || !number.bare || number.plus || number.minus)
    }

    /// Whether a sign, or a blank for one, is to be put before the digits.
    fn sign_is_due(&self) -> bool {
        let number = self.number;
        if number.plus || number.minus {
            return !number.minus;
        }
        self.digits.negative || !number.bare || number.anchor.is_some()
    }

    fn sign_goes_before(&self, place: usize) -> bool {
        let reached = place >= self.blank || self.number.first_zero == Some(place);
        reached && (!self.is_hidden_zero(place) || self.ends_at_point())
    }

    /// The zero of `0.5` is not shown where no `0` asks for it.
    fn is_hidden_zero(&self, place: usize) -> bool {
        place == self.blank && self.number.first_zero.is_none() && self.digits.whole == "0" && !self.digits.fraction.is_empty()
    }

    fn ends_at_point(&self) -> bool {
        self.last == Some(self.digits.whole.len())
    }

    fn anchor(&self) -> Option<Anchor> {
        match self.number.anchor {
            Some(Anchor::Before(places)) if places == self.number.whole + self.number.shift => Some(Anchor::After),
            other => other,
        }
    }

    /// Writes the sign before the digits, if it belongs there; tells whether it is still due.
    fn leading_sign(&self, out: &mut String) -> bool {
        let negative = self.digits.negative;
        match self.anchor() {
            Some(Anchor::After) => return true,
            Some(Anchor::Before(_)) => out.push(if negative { '-' } else { '+' }),
            None if self.has_brackets() => out.push(if negative { '<' } else { ' ' }),
            None if negative => out.push('-'),
            None if self.number.bare => {}
            None => out.push(' '),
        }
        false
    }

    fn trailing_sign(&self, sign_written: bool, out: &mut String) {
        let negative = self.digits.negative;
        if sign_written && self.has_brackets() {
            out.push(if negative { '>' } else { ' ' });
        } else if self.anchor() == Some(Anchor::After) {
            out.push(if negative { '-' } else { '+' });
        }
    }

    /// Writes what stands at a place; tells whether that was a digit, or that there are no more.
    fn place(&self, place: usize, piece: Piece, out: &mut String) -> Option<bool> {
        let bare = self.number.bare;
        let Some(at) = place.checked_sub(self.blank) else {
            let zero = self.number.first_zero.is_some_and(|first| first <= place);
            match (zero, bare) {
                (true, _) => out.push('0'),
                (false, false) => out.push(' '),
                (false, true) => {}
            }
            return Some(zero);
        };
        if self.last.is_some_and(|last| at > last) && piece == Piece::Digit(false) {
            return Some(false);
        }
        if self.is_hidden_zero(place) {
            match (bare, self.ends_at_point()) {
                (false, _) => out.push(' '),
                (true, true) => out.push('0'),
                (true, false) => {}
            }
            return Some(false);
        }
        let shown = self.shown(at)?;
        out.push(shown);
        Some(shown != '.')
    }

    /// What the number has at a place of its own.
    fn shown(&self, at: usize) -> Option<char> {
        let Digits { whole, fraction, .. } = &self.digits;
        let byte = match at.checked_sub(whole.len()) {
            None => whole.as_bytes().get(at),
            Some(0) => return self.dotted.then_some('.'),
            Some(after) => fraction.as_bytes().get(after - 1),
        };
        byte.map(|byte| char::from(*byte))
    }
}

/// A number from 1 to 3999 in Roman digits.
fn roman(number: i64) -> Option<String> {
    const STEPS: [(i64, &str); 13] = [
        (1_000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    let mut rest = (1..4_000).contains(&number).then_some(number)?;
    let mut out = String::new();
    for (step, letters) in STEPS {
        while rest >= step {
            out.push_str(letters);
            rest -= step;
        }
    }
    Some(out)
}
