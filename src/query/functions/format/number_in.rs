//! A number, read by a template. Blanks, separators and signs may be missing from the text; a place takes one digit at most.

use crate::error::{ErrorKind, Fault, Result};

use super::number::{Number, Piece};

/// How far a text has been read.
struct Reader<'a> {
    number: &'a Number,
    text: &'a str,
    sign: Option<char>,
    digits: String,
    whole: usize,
    fraction: usize,
    point: bool,
}

impl Number {
    /// The number that a text says, as `-12.5`.
    pub(super) fn read(&self, text: &str) -> Result<String> {
        if self.roman {
            return Err(Fault::new(ErrorKind::Unsupported, "\"RN\" not supported for input"));
        }
        if self.exponent {
            return Err(Fault::new(ErrorKind::Unsupported, "\"EEEE\" not supported for input"));
        }
        let mut reader = Reader { number: self, text, sign: None, digits: String::new(), whole: 0, fraction: 0, point: false };
        for piece in &self.pieces {
            if reader.text.is_empty() {
                break;
            }
            reader.piece(*piece);
        }
        let Reader { digits, sign, .. } = reader;
        let whole = digits.split('.').next().unwrap_or_default().trim_start_matches('0');
        if whole.len() > self.whole + self.shift {
            return Err(Fault::new(ErrorKind::OutOfRange, "numeric field overflow"));
        }
        let digits = digits.trim_end_matches('.');
        if !digits.bytes().any(|b| b.is_ascii_digit()) {
            return Err(Fault::new(
                ErrorKind::InvalidText,
                format!("invalid input syntax for type numeric: \"{}{digits}\"", sign.unwrap_or(' ')),
            ));
        }
        Ok(format!("{}{digits}", if sign == Some('-') { "-" } else { "" }))
    }
}

impl Reader<'_> {
    fn piece(&mut self, piece: Piece) {
        match piece {
            Piece::Digit(_) | Piece::Point => self.place(piece != Piece::Point),
            Piece::Group if self.text.starts_with(',') && !self.number.bare => self.skip(),
            Piece::Minus => self.sign_alone("-"),
            Piece::Plus => self.sign_alone("+"),
            Piece::Sign => self.sign_alone("+-"),
            Piece::Currency => self.skip_words(1),
            Piece::Ordinal { .. } => self.skip_words(2),
            Piece::Char(_) => self.skip(),
            Piece::Group | Piece::Roman { .. } | Piece::Mark => {}
        }
    }

    fn next(&self) -> Option<char> {
        self.text.chars().next()
    }

    fn skip(&mut self) {
        let mut chars = self.text.chars();
        chars.next();
        self.text = chars.as_str();
    }

    /// Passes characters that no number has.
    fn skip_words(&mut self, count: usize) {
        for _ in 0..count {
            if self.next().is_none_or(|c| "0123456789.,+-".contains(c)) {
                return;
            }
            self.skip();
        }
    }

    fn sign_alone(&mut self, signs: &str) {
        match self.next() {
            Some(sign) if signs.contains(sign) => {
                self.sign = Some(sign);
                self.skip();
            }
            _ => self.skip_words(1),
        }
    }

    /// What a digit or the point of the template takes: one character at most, and the sign next to it.
    fn place(&mut self, is_digit: bool) {
        if self.next() == Some(' ') {
            self.skip();
        }
        if is_digit && self.sign.is_none() && self.whole + self.fraction == 0 {
            self.sign_before();
        }
        let Some(next) = self.next() else { return };
        let mut taken = false;
        if next.is_ascii_digit() {
            if self.point && self.fraction == self.number.fraction {
                self.skip();
                return;
            }
            self.digits.push(next);
            *(if self.point { &mut self.fraction } else { &mut self.whole }) += 1;
            taken = true;
        } else if next == '.' && self.number.point && !self.point {
            self.digits.push('.');
            self.point = true;
            taken = true;
        }
        if self.sign.is_none() && self.whole + self.fraction > 0 {
            self.sign_after(taken);
        }
        self.skip();
    }

    fn sign_before(&mut self) {
        match self.next() {
            Some(sign @ ('-' | '+')) => {
                self.sign = Some(sign);
                self.skip();
            }
            Some('<') if self.number.brackets => {
                self.sign = Some('-');
                self.skip();
            }
            _ => {}
        }
    }

    /// A sign behind the last digit: at once where there is an `S`, at a place that is left where `MI`, `PL` or `SG` are to come.
    fn sign_after(&mut self, taken: bool) {
        let number = self.number;
        if number.anchor.is_some() {
            let mut after = self.text.chars();
            after.next();
            if taken && let Some(sign @ ('-' | '+')) = after.clone().next() {
                self.sign = Some(sign);
                self.text = after.as_str();
            }
        } else if !taken
            && (number.plus || number.minus)
            && let Some(sign @ ('-' | '+')) = self.next()
        {
            self.sign = Some(sign);
        }
    }
}
