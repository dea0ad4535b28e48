//! Values as functions write them: as text, and as JSON.

pub(crate) mod json;
mod value;

pub(in crate::query) use self::value::Values;
