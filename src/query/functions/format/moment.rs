//! Templates for dates and times: `YYYY-MM-DD HH24:MI:SS` and all their kin, taken apart once.

/// In which case a word is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Upper,
    Title,
    Lower,
}

/// What stands at a place of the template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// `AM`, `PM`; with points, `A.M.`.
    Half {
        points: bool,
    },
    /// `AD`, `BC`; with points, `A.D.`.
    Era {
        points: bool,
    },
    Century,
    Quarter,
    /// `Y,YYY`.
    YearWithComma,
    /// The last so many digits of the year; 4 is the whole.
    Year(u8),
    IsoYear(u8),
    MonthName,
    MonthAbbreviated,
    Month,
    MonthRoman,
    DayName,
    DayAbbreviated,
    DayOfYear,
    IsoDayOfYear,
    Day,
    Weekday,
    IsoWeekday,
    WeekOfYear,
    WeekOfMonth,
    IsoWeek,
    Julian,
    Hour12,
    Hour24,
    Minute,
    Second,
    /// So many digits of the fraction of the second: `FF1` to `FF6`.
    Fraction(u8),
    Millisecond,
    Microsecond,
    SecondOfDay,
    Zone,
    ZoneHours,
    ZoneMinutes,
    ZoneOffset,
}

impl Field {
    /// Whether the field begins with a digit where it is read.
    pub(super) fn is_number(self) -> bool {
        !matches!(
            self,
            Self::Half { .. }
                | Self::Era { .. }
                | Self::MonthName
                | Self::MonthAbbreviated
                | Self::MonthRoman
                | Self::DayName
                | Self::DayAbbreviated
                | Self::Zone
                | Self::ZoneHours
                | Self::ZoneOffset
        )
    }
}

/// A field with what its template says of how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) field: Field,
    pub(super) case: Case,
    /// The word as it stands in the list of words, for messages.
    pub(super) word: &'static str,
    /// `FM`: neither blanks nor zeros are put in front or behind.
    pub(super) bare: bool,
    /// `TM`: in the language of the session, of which there is one; it also leaves out blanks.
    pub(super) translated: bool,
    /// `TH`, `th`.
    pub(super) ordinal: Option<Case>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    Field(Place),
    /// Text that stands for itself. Where a text is read, it passes one character.
    Char(char),
    /// A blank, which where a text is read stands for any separator or none.
    Space(char),
    /// Punctuation, likewise.
    Separator(char),
    /// `FX`: from here on a text is read exactly as it would be written.
    Exact,
}

/// A template, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) items: Vec<Item>,
}

/// The words in upper case and, of those that are written in letters, in their other cases. A word comes before those that begin it.
/// `true`: the lower case is the same field, in another case.
const WORDS: &[(&str, Field)] = &[
    ("A.D.", Field::Era { points: true }),
    ("A.M.", Field::Half { points: true }),
    ("AD", Field::Era { points: false }),
    ("AM", Field::Half { points: false }),
    ("B.C.", Field::Era { points: true }),
    ("BC", Field::Era { points: false }),
    ("CC", Field::Century),
    ("DAY", Field::DayName),
    ("DDD", Field::DayOfYear),
    ("DD", Field::Day),
    ("DY", Field::DayAbbreviated),
    ("D", Field::Weekday),
    ("FF1", Field::Fraction(1)),
    ("FF2", Field::Fraction(2)),
    ("FF3", Field::Fraction(3)),
    ("FF4", Field::Fraction(4)),
    ("FF5", Field::Fraction(5)),
    ("FF6", Field::Fraction(6)),
    ("HH24", Field::Hour24),
    ("HH12", Field::Hour12),
    ("HH", Field::Hour12),
    ("IDDD", Field::IsoDayOfYear),
    ("ID", Field::IsoWeekday),
    ("IW", Field::IsoWeek),
    ("IYYY", Field::IsoYear(4)),
    ("IYY", Field::IsoYear(3)),
    ("IY", Field::IsoYear(2)),
    ("I", Field::IsoYear(1)),
    ("J", Field::Julian),
    ("MI", Field::Minute),
    ("MM", Field::Month),
    ("MONTH", Field::MonthName),
    ("MON", Field::MonthAbbreviated),
    ("MS", Field::Millisecond),
    ("OF", Field::ZoneOffset),
    ("P.M.", Field::Half { points: true }),
    ("PM", Field::Half { points: false }),
    ("Q", Field::Quarter),
    ("RM", Field::MonthRoman),
    ("SSSSS", Field::SecondOfDay),
    ("SSSS", Field::SecondOfDay),
    ("SS", Field::Second),
    ("TZH", Field::ZoneHours),
    ("TZM", Field::ZoneMinutes),
    ("TZ", Field::Zone),
    ("US", Field::Microsecond),
    ("WW", Field::WeekOfYear),
    ("W", Field::WeekOfMonth),
    ("Y,YYY", Field::YearWithComma),
    ("YYYY", Field::Year(4)),
    ("YYY", Field::Year(3)),
    ("YY", Field::Year(2)),
    ("Y", Field::Year(1)),
];

/// The words that are names, with a capital.
const TITLES: &[(&str, Field)] =
    &[("Month", Field::MonthName), ("Mon", Field::MonthAbbreviated), ("Day", Field::DayName), ("Dy", Field::DayAbbreviated)];

fn word_at(text: &str) -> Option<(&'static str, Field, Case)> {
    let title = TITLES.iter().find(|(word, _)| text.starts_with(word));
    let other = || {
        WORDS.iter().find_map(|(word, field)| {
            let found = text.get(..word.len())?;
            if found == *word {
                return Some((*word, *field, Case::Upper));
            }
            // `of` is a word of English, and none of a template.
            let lower = found.eq_ignore_ascii_case(word) && !found.bytes().any(|b| b.is_ascii_uppercase());
            lower.then_some((*word, *field, Case::Lower))
        })
    };
    title.map(|(word, field)| (*word, *field, Case::Title)).or_else(other)
}

impl Moment {
    /// Takes a template apart. Every text is one: what is not a word stands for itself.
    pub(super) fn parse(template: &str) -> Self {
        let mut items = Vec::new();
        let mut rest = template;
        while !rest.is_empty() {
            let (mut bare, mut translated) = (false, false);
            match rest.get(..2) {
                Some("FM" | "fm") => bare = true,
                Some("TM" | "tm") => translated = true,
                _ => {}
            }
            if bare || translated {
                rest = rest.get(2..).unwrap_or_default();
            }
            if rest.starts_with("FX") || rest.starts_with("fx") {
                rest = rest.get(2..).unwrap_or_default();
                items.push(Item::Exact);
                continue;
            }
            if let Some((word, field, case)) = word_at(rest) {
                rest = rest.get(word.len()..).unwrap_or_default();
                let ordinal = match rest.get(..2) {
                    Some("TH") => Some(Case::Upper),
                    Some("th") => Some(Case::Lower),
                    _ => None,
                };
                if ordinal.is_some() || rest.starts_with("SP") {
                    rest = rest.get(2..).unwrap_or_default();
                }
                items.push(Item::Field(Place { field, case, word, bare, translated, ordinal }));
            } else {
                rest = literal(rest, &mut items);
            }
        }
        Self { items }
    }
}

/// One character that is no word, or a text in quotes; and what comes after it.
fn literal<'a>(text: &'a str, items: &mut Vec<Item>) -> &'a str {
    let mut chars = text.chars();
    match chars.next() {
        Some('"') => {
            while let Some(c) = chars.next() {
                match c {
                    '"' => break,
                    '\\' => items.push(Item::Char(chars.next().unwrap_or('\\'))),
                    other => items.push(Item::Char(other)),
                }
            }
        }
        Some('\\') if chars.as_str().starts_with('"') => {
            chars.next();
            items.push(Item::Separator('"'));
        }
        Some(c) if c.is_ascii_whitespace() || c == '\u{b}' => items.push(Item::Space(c)),
        Some(c) if is_separator(c) => items.push(Item::Separator(c)),
        other => items.extend(other.map(Item::Char)),
    }
    chars.as_str()
}

pub(super) fn is_separator(c: char) -> bool {
    c.is_ascii_punctuation()
}
