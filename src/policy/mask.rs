//! What a reader gets instead of a value: the thirteen masks, their names, the types they take, and which of two is stricter.
//!
//! The first nine are Apache Iceberg's read-restriction actions, by the same names and with the same results byte for byte, so that a
//! decision can be handed to an Iceberg client as it stands. The arrays are made in `mask::kernels`.

mod kernels;
mod order;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use arrow::error::ArrowError;
use rust_decimal::Decimal;

/// The longest literal of `constant:`, in bytes.
const MAX_CONSTANT: usize = 1024;

/// The masks that are a bare name, in the order in which messages list them.
const PLAIN: [(&str, Mask); 11] = [
    ("replace-with-null", Mask::ReplaceWithNull),
    ("mask-to-fixed-value", Mask::ToFixedValue),
    ("mask-alphanum", Mask::Alphanum),
    ("show-first-4", Mask::ShowFirst4),
    ("show-last-4", Mask::ShowLast4),
    ("truncate-to-year", Mask::TruncateToYear),
    ("truncate-to-month", Mask::TruncateToMonth),
    ("sha-256-global", Mask::Sha256Global),
    ("sha-256-query-local", Mask::Sha256QueryLocal),
    ("pseudonym", Mask::Pseudonym),
    ("email", Mask::Email),
];

/// What a reader gets instead of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Mask {
    /// NULL.
    ReplaceWithNull,
    /// The type's fixed value.
    ToFixedValue,
    /// Text with its letters and digits replaced.
    Alphanum,
    /// The first four characters kept.
    ShowFirst4,
    /// The last four characters kept.
    ShowLast4,
    /// Dates and timestamps to their year.
    TruncateToYear,
    /// Dates and timestamps to their month.
    TruncateToMonth,
    /// A hash that is the same everywhere.
    Sha256Global,
    /// A hash of this query alone.
    Sha256QueryLocal,
    /// A keyed pseudonym of the consumer domain.
    Pseudonym,
    /// `x…@domain`.
    Email,
    /// Numbers, down to the step.
    Round(Decimal),
    /// The literal, as written.
    Constant(String),
    /// Some fields of a struct, or of the structs of a list, each by its own mask; the others stay clear.
    Fields(BTreeMap<String, Mask>),
}

impl Mask {
    /// Reads a mask's name: `pseudonym`, `round:100`, `constant:n/a`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(literal) = text.strip_prefix("constant:") {
            return match literal.len() {
                ..=MAX_CONSTANT => Ok(Self::Constant(literal.to_owned())),
                _ => Err(format!("the literal of `constant:` is longer than {MAX_CONSTANT} bytes")),
            };
        }
        if let Some(step) = text.strip_prefix("round:") {
            return match step.parse::<Decimal>() {
                Ok(step) if step > Decimal::ZERO => Ok(Self::Round(step.normalize())),
                _ => Err(format!("`{}` is not a step to round down to: write a number above zero, as in `round:100`", shorten(step))),
            };
        }
        if let Some((_, mask)) = PLAIN.iter().find(|(name, _)| *name == text) {
            return Ok(mask.clone());
        }
        Err(unknown(text))
    }

    /// The mask for a column, or for a field of one by its path (`address.street`), as a mask of the whole column; and that column's place.
    pub(super) fn aimed(self, path: &str, schema: &Fields) -> Option<(usize, Self)> {
        if let Some((place, _)) = schema.find(path) {
            return Some((place, self));
        }
        schema.iter().enumerate().find_map(|(place, field)| {
            let rest = path.strip_prefix(field.name().as_str())?.strip_prefix('.')?;
            let inner = fields_of(field.data_type())?;
            let (of, mask) = self.clone().aimed(rest, inner)?;
            Some((place, Self::Fields(BTreeMap::from([(inner.get(of)?.name().clone(), mask)]))))
        })
    }

    /// What is masked of a column, each by its path: itself, or its fields.
    pub fn leaves(&self, column: &str) -> Vec<(String, &Self)> {
        match self {
            Self::Fields(masks) => masks.iter().flat_map(|(name, mask)| mask.leaves(&format!("{column}.{name}"))).collect(),
            whole => vec![(column.to_owned(), whole)],
        }
    }

    /// Whether the mask takes this type.
    pub fn accepts(&self, data_type: &DataType) -> bool {
        match (self, data_type) {
            (_, DataType::Dictionary(_, values)) => return self.accepts(values),
            (Self::Fields(masks), _) => {
                let Some(fields) = fields_of(data_type) else { return false };
                let taken = |(name, mask): (&String, &Self)| {
                    let mut named = fields.iter().filter(|field| field.name() == name).peekable();
                    named.peek().is_some() && named.all(|field| mask.accepts(field.data_type()))
                };
                return masks.iter().all(taken);
            }
            // Its fields are masked one by one, and those that the mask does not take are NULL.
            (mask, DataType::Struct(fields)) if *mask != Self::ReplaceWithNull => {
                return fields.iter().any(|field| self.accepts(field.data_type()));
            }
            _ => {}
        }
        match self {
            Self::ReplaceWithNull | Self::Fields(_) => true,
            Self::ToFixedValue => has_fixed_value(data_type),
            Self::Alphanum | Self::ShowFirst4 | Self::ShowLast4 | Self::Email => is_text(data_type),
            Self::TruncateToYear | Self::TruncateToMonth => {
                matches!(data_type, DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _))
            }
            Self::Sha256Global | Self::Sha256QueryLocal => is_text(data_type) || is_binary(data_type) || is_wide_integer(data_type),
            // A narrower pseudonym would make unlike values alike, and joins wrong.
            Self::Pseudonym => is_text(data_type) || is_wide_integer(data_type),
            Self::Round(step) => kernels::takes_step(data_type, *step),
            Self::Constant(literal) => constant(literal, data_type).is_ok(),
        }
    }

    /// The stricter of two that compare; NULL for two that do not. For more than two use [`Mask::strictest`], which looks at all of
    /// them at once: no pairwise rule that gives NULL for the incomparable can be associative (`show-first-4` and `show-last-4` do not
    /// compare, yet `mask-alphanum` is stricter than both).
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        Self::strictest([self, other]).unwrap_or(Self::ReplaceWithNull)
    }

    /// The strictest of any number of masks: NULL as soon as any two of them do not compare. The order in which they are given does not
    /// matter, and one more mask never loosens the answer. `None` where there is no mask at all.
    pub fn strictest<'a>(masks: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        order::strictest(masks)
    }

    /// The strictest of any number of masks of one column. Of a struct it is found field by field, because each takes other masks.
    pub(super) fn strictest_of(masks: &[&Self], data_type: &DataType) -> Option<Self> {
        let (first, rest) = masks.split_first()?;
        let same = rest.iter().all(|mask| mask == first);
        match fields_of(data_type) {
            Some(fields) if !same && !masks.contains(&&Self::ReplaceWithNull) => {
                let strictest = fields.iter().filter_map(|field| {
                    let of_field: Vec<&Self> = masks.iter().filter_map(|mask| mask.of_field(field)).collect();
                    Some((field.name().clone(), Self::strictest_of(&of_field, field.data_type())?))
                });
                Some(Self::Fields(strictest.collect()))
            }
            _ => Self::strictest(masks.iter().copied()),
        }
    }

    /// What it does to a field of the struct that it masks.
    fn of_field(&self, field: &Field) -> Option<&Self> {
        match self {
            Self::Fields(masks) => masks.get(field.name()),
            whole if whole.accepts(field.data_type()) => Some(whole),
            _ => Some(&Self::ReplaceWithNull),
        }
    }

    /// Whether it hides at least as much as `other`: what it gives could be made from what `other` gives.
    pub fn is_at_least_as_strict_as(&self, other: &Self) -> bool {
        order::at_least(self, other)
    }

    /// Whether a masked column can hold NULLs that the clear one did not.
    pub fn gives_null(&self) -> bool {
        matches!(self, Self::ReplaceWithNull)
    }

    /// The type of the masked array: the same, but for the fields of a struct, each of which may be NULL.
    pub fn masked_type(&self, data_type: &DataType) -> DataType {
        let masked = |field: &FieldRef| {
            let inner = self.of_field(field).map_or_else(|| field.data_type().clone(), |mask| mask.masked_type(field.data_type()));
            Field::new(field.name(), inner, true)
        };
        match data_type {
            DataType::Struct(fields) if *self != Self::ReplaceWithNull => DataType::Struct(fields.iter().map(masked).collect()),
            DataType::List(item) if matches!(self, Self::Fields(_)) => {
                DataType::List(Arc::new(Field::new(item.name(), self.masked_type(item.data_type()), item.is_nullable())))
            }
            other => other.clone(),
        }
    }

    /// The masked array: same type, same length, NULL where the value was NULL, built from nothing but its result.
    pub fn apply(&self, array: &ArrayRef, keys: &MaskKeys) -> Result<ArrayRef, ArrowError> {
        kernels::apply(self, array, keys)
    }
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Round(step) => write!(f, "round:{step}"),
            Self::Constant(literal) => write!(f, "constant:{literal}"),
            Self::Fields(masks) => {
                let each: Vec<String> = masks.iter().map(|(name, mask)| format!("{name}={mask}")).collect();
                write!(f, "fields({})", each.join(", "))
            }
            plain => f.write_str(PLAIN.iter().find(|(_, mask)| mask == plain).map_or("replace-with-null", |(name, _)| name)),
        }
    }
}

/// The secrets that masks need, for one query of one consumer domain.
#[derive(Clone)]
pub struct MaskKeys {
    /// HMAC key of the consumer domain, derived from the mesh's.
    pub pseudonym: [u8; 32],
    /// Salt of this query.
    pub query_salt: [u8; 16],
}

impl fmt::Debug for MaskKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaskKeys")
    }
}

/// The literal of `constant:` as one value of the type.
fn constant(literal: &str, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    let takes = is_text(data_type)
        || matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
        || matches!(data_type, DataType::Boolean | DataType::Date32 | DataType::Date64)
        || matches!(data_type, DataType::Time32(_) | DataType::Time64(_) | DataType::Timestamp(_, _))
        || data_type.is_numeric();
    if !takes {
        return Err(ArrowError::NotYetImplemented(format!("a constant of type {data_type}")));
    }
    let text = StringArray::from(vec![literal]);
    let value = cast_with_options(&text, data_type, &CastOptions { safe: false, ..CastOptions::default() })?;
    if value.is_null(0) { Err(ArrowError::CastError("the literal is not a value of the type".into())) } else { Ok(value) }
}

/// The fields of a struct, or of the structs of a list.
fn fields_of(data_type: &DataType) -> Option<&Fields> {
    match data_type {
        DataType::Struct(fields) => Some(fields),
        DataType::List(item) => match item.data_type() {
            DataType::Struct(fields) => Some(fields),
            _ => None,
        },
        _ => None,
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn is_binary(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

fn is_wide_integer(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int32 | DataType::Int64 | DataType::UInt32 | DataType::UInt64)
}

fn has_fixed_value(data_type: &DataType) -> bool {
    is_text(data_type)
        || is_binary(data_type)
        || data_type.is_numeric()
        || matches!(data_type, DataType::Boolean | DataType::FixedSizeBinary(_) | DataType::Date32 | DataType::Date64)
        || matches!(data_type, DataType::Time32(_) | DataType::Time64(_) | DataType::Timestamp(_, _))
}

/// Says what masks there are, the nearest one first where the text looks like a slip.
fn unknown(text: &str) -> String {
    let nearest = PLAIN.iter().map(|(name, _)| (strsim::osa_distance(name, text), *name)).min();
    let guess = match nearest {
        Some((distance, name)) if distance <= 4 => format!("; did you mean `{name}`?"),
        _ => String::new(),
    };
    let names: Vec<&str> = PLAIN.iter().map(|(name, _)| *name).collect();
    format!("unknown mask `{}`{guess} (there are {}, round:<step> and constant:<literal>)", shorten(text), names.join(", "))
}

fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests;
