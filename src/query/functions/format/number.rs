//! Templates for numbers: `FM999,990.00` and all their kin, taken apart and checked once.

use crate::error::{ErrorKind, Fault, Result};

/// One piece of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    /// A place for a digit; `true` where `0` asks for one.
    Digit(bool),
    Point,
    /// `,` and `G`.
    Group,
    /// `L`: the sign of a currency, which there is none of.
    Currency,
    /// `TH`, `th`.
    Ordinal {
        upper: bool,
    },
    /// `RN`, `rn`.
    Roman {
        upper: bool,
    },
    Minus,
    Plus,
    Sign,
    /// What says something of the whole: `S`, `PR`, `V`, `FM`, `B`, `C`.
    Mark,
    Char(char),
}

/// Where `S` puts the sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    /// Before the digits, when so many places had come before it. After all of them it is `After`.
    Before(usize),
    After,
}

/// A template, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) pieces: Vec<Piece>,
    /// Places before the point, those after `V` included.
    pub(super) whole: usize,
    /// Places after it.
    pub(super) fraction: usize,
    /// Of the whole places, those after `V`.
    pub(super) shift: usize,
    /// The first place that `0` stands at, if one does before the point.
    pub(super) first_zero: Option<usize>,
    /// How many places there are up to the last `0`.
    pub(super) zeros_until: usize,
    pub(super) anchor: Option<Anchor>,
    pub(super) point: bool,
    /// `FM`.
    pub(super) bare: bool,
    /// `PR`.
    pub(super) brackets: bool,
    pub(super) minus: bool,
    pub(super) plus: bool,
    pub(super) roman: bool,
    pub(super) multiplied: bool,
    /// `EEEE`.
    pub(super) exponent: bool,
    /// `B`.
    blank: bool,
}

/// The words, each before those that begin it. They are read in either case, but not in a mixed one.
const WORDS: &[&str] = &[",", ".", "0", "9", "B", "C", "D", "EEEE", "FM", "G", "L", "MI", "PL", "PR", "RN", "SG", "SP", "S", "TH", "V"];

fn word_at(text: &str) -> Option<(&'static str, bool)> {
    WORDS.iter().find_map(|word| {
        let found = text.get(..word.len())?;
        let upper = found == *word;
        let lower = found.eq_ignore_ascii_case(word) && !found.bytes().any(|b| b.is_ascii_uppercase());
        (upper || lower).then_some((*word, upper))
    })
}

fn syntax(message: &str) -> Fault {
    Fault::new(ErrorKind::Syntax, message)
}

impl Number {
    pub(super) fn parse(template: &str) -> Result<Self> {
        let mut number = Self::default();
        let mut rest = template;
        while !rest.is_empty() {
            if let Some((word, upper)) = word_at(rest) {
                rest = rest.get(word.len()..).unwrap_or_default();
                number.word(word, upper)?;
            } else {
                rest = number.literal(rest);
            }
        }
        Ok(number)
    }

    fn literal<'a>(&mut self, text: &'a str) -> &'a str {
        let mut chars = text.chars();
        match chars.next() {
            Some('"') => {
                while let Some(c) = chars.next() {
                    match c {
                        '"' => break,
                        '\\' => self.pieces.push(Piece::Char(chars.next().unwrap_or('\\'))),
                        other => self.pieces.push(Piece::Char(other)),
                    }
                }
            }
            Some('\\') if chars.as_str().starts_with('"') => {
                chars.next();
                self.pieces.push(Piece::Char('"'));
            }
            other => self.pieces.extend(other.map(Piece::Char)),
        }
        chars.as_str()
    }

    fn word(&mut self, word: &'static str, upper: bool) -> Result<()> {
        if self.exponent && word != "EEEE" {
            return Err(syntax("\"EEEE\" must be the last pattern used"));
        }
        let piece = match word {
            "9" | "0" => self.digit(word)?,
            "." | "D" => self.decimal_point()?,
            "," | "G" => Piece::Group,
            "L" => Piece::Currency,
            "TH" => Piece::Ordinal { upper },
            "RN" => {
                self.roman = true;
                Piece::Roman { upper }
            }
            "MI" | "PL" | "SG" => self.own_sign(word)?,
            _ => self.mark(word)?,
        };
        self.pieces.push(piece);
        Ok(())
    }

    fn digit(&mut self, word: &str) -> Result<Piece> {
        if self.brackets {
            return Err(syntax(&format!("\"{word}\" must be ahead of \"PR\"")));
        }
        let zero = word == "0";
        if zero && self.first_zero.is_none() && !self.point {
            self.first_zero = Some(self.whole);
        }
        match (self.point, self.multiplied) {
            (true, _) => self.fraction += 1,
            (false, true) if !zero => self.shift += 1,
            (false, _) => self.whole += 1,
        }
        if zero {
            self.zeros_until = self.whole + self.fraction;
        }
        Ok(Piece::Digit(zero))
    }

    fn decimal_point(&mut self) -> Result<Piece> {
        if self.point {
            return Err(syntax("multiple decimal points"));
        }
        if self.multiplied {
            return Err(syntax("cannot use \"V\" and decimal point together"));
        }
        self.point = true;
        Ok(Piece::Point)
    }

    /// `MI`, `PL` and `SG`, which are written where they stand.
    fn own_sign(&mut self, word: &str) -> Result<Piece> {
        if self.anchor.is_some() {
            return Err(syntax(&format!("cannot use \"S\" and \"{word}\" together")));
        }
        self.minus |= word != "PL";
        self.plus |= word != "MI";
        Ok(match word {
            "MI" => Piece::Minus,
            "PL" => Piece::Plus,
            _ => Piece::Sign,
        })
    }

    fn mark(&mut self, word: &str) -> Result<Piece> {
        match word {
            "S" if self.anchor.is_some() => return Err(syntax("cannot use \"S\" twice")),
            "S" if self.plus || self.minus || self.brackets => {
                return Err(syntax("cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together"));
            }
            "S" => self.anchor = Some(if self.point { Anchor::After } else { Anchor::Before(self.whole) }),
            "PR" if self.anchor.is_some() || self.plus || self.minus => {
                return Err(syntax("cannot use \"PR\" and \"S\"/\"PL\"/\"MI\"/\"SG\" together"));
            }
            "PR" => self.brackets = true,
            "V" if self.point => return Err(syntax("cannot use \"V\" and decimal point together")),
            "V" => self.multiplied = true,
            "FM" => self.bare = true,
            "B" if self.whole == 0 && self.fraction == 0 && self.first_zero.is_none() => self.blank = true,
            "EEEE" if self.exponent => return Err(syntax("cannot use \"EEEE\" twice")),
            "EEEE" if self.has_marks() => {
                return Err(syntax("\"EEEE\" is incompatible with other formats")
                    .with_detail("\"EEEE\" may only be used together with digit and decimal point patterns."));
            }
            "EEEE" => self.exponent = true,
            _ => {}
        }
        Ok(Piece::Mark)
    }

    fn has_marks(&self) -> bool {
        let signs = self.anchor.is_some() || self.brackets || self.minus || self.plus;
        signs || self.blank || self.bare || self.roman || self.multiplied
    }
}
