//! Values as PostgreSQL writes them: the texts that functions make of them, and that the PostgreSQL door sends.

pub(crate) mod json;
pub(crate) mod number;
pub(crate) mod time;
mod value;

pub(in crate::query) use self::value::Values;
