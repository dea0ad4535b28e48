//! What a reader may see. Pure: no IO, no clock, one caller (`query::authorise`).

use std::collections::BTreeMap;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::logical_expr::Expr;

use crate::catalog::{Domain, Mesh, Origin, PortRef};
use crate::error::Fault;
use crate::identity::Principal;

/// Everything that decides whether and how a principal reads a port.
#[derive(Debug)]
pub struct Request<'a> {
    /// Who.
    pub principal: &'a Principal,
    /// What.
    pub target: &'a PortRef,
    /// The port's true columns.
    pub schema: &'a SchemaRef,
    /// The mesh's rules.
    pub mesh: &'a Mesh,
    /// The producer domain.
    pub domain: &'a Domain,
    /// Where this gateway runs.
    pub region: Option<&'a str>,
    /// Why, as the session declared it.
    pub purpose: Option<&'a str>,
}

/// The answer.
#[derive(Debug)]
pub enum Decision {
    /// They may, so.
    Permit(Permit),
    /// They may not.
    Denied(Denial),
}

/// Decides. Deny is what happens when nobody decided.
pub fn decide(request: &Request<'_>) -> Decision {
    todo!("{request:?}")
}

/// Whether the principal may read it at all, before its schema is known: rule 1 and 2 of the decision. `decide` includes it.
pub fn entitle(principal: &Principal, target: &PortRef, region: Option<&str>, purpose: Option<&str>) -> Result<Vec<Reason>, Denial> {
    todo!("{principal:?}{target:?}{region:?}{purpose:?}")
}

/// How a reader may see a port. Made by [`decide`] only.
#[derive(Debug, Clone)]
pub struct Permit {
    filter: Option<Expr>,
    masks: BTreeMap<String, Mask>,
    reasons: Vec<Reason>,
    filter_texts: Vec<String>,
}

impl Permit {
    /// No filter and no mask: the port is read as if the gateway were not there.
    pub fn is_whole(&self) -> bool {
        self.filter.is_none() && self.masks.is_empty()
    }

    /// The rows they may see: total, deterministic, over unqualified columns of the port's schema; NULL hides the row.
    pub fn filter(&self) -> Option<&Expr> {
        self.filter.as_ref()
    }

    /// The masks by column.
    pub fn masks(&self) -> &BTreeMap<String, Mask> {
        &self.masks
    }

    /// Why, for the audit.
    pub fn reasons(&self) -> &[Reason] {
        &self.reasons
    }

    /// The filters as written, with `$names` unbound, for the audit.
    pub fn filter_texts(&self) -> &[String] {
        &self.filter_texts
    }

    /// What the reader's planner sees: the same names, masked types, nullable where a mask gives NULL, no metadata.
    pub fn governed_schema(&self, schema: &SchemaRef) -> SchemaRef {
        todo!("{schema:?}")
    }

    /// Whether two permits show the same rows and values. A running query whose permit changed is ended.
    pub fn same_view(&self, other: &Permit) -> bool {
        todo!("{other:?}")
    }
}

/// Why a decision came out as it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// A sentence.
    pub text: String,
    /// The rule's place, where one was written.
    pub origin: Option<Origin>,
}

/// Why they may not.
#[derive(Debug, Clone)]
pub struct Denial {
    /// Why, for the audit; not all of it is for the reader.
    pub reasons: Vec<Reason>,
    /// Whether the reader may know that the product exists.
    pub visible: bool,
    /// What the reader can do about it: ask a steward, declare a purpose.
    pub hint: Option<String>,
}

impl Denial {
    /// `42501` with the hint, or the very `42P01` that a missing table gives.
    pub fn to_fault(&self, schema: &str, table: &str) -> Fault {
        todo!("{schema}{table}")
    }
}

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
    Round(rust_decimal::Decimal),
    /// The literal, as written.
    Constant(String),
}

impl Mask {
    /// Reads a mask's name: `pseudonym`, `round:100`, `constant:n/a`.
    pub fn parse(text: &str) -> Result<Self, String> {
        todo!("{text}")
    }

    /// Whether the mask takes this type.
    pub fn accepts(&self, data_type: &DataType) -> bool {
        todo!("{data_type}")
    }

    /// The strictest of two.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        todo!("{other:?}")
    }

    /// The masked array: same type, same length, NULL where the value was NULL, built from nothing but its result.
    pub fn apply(&self, array: &ArrayRef, keys: &MaskKeys) -> Result<ArrayRef, arrow::error::ArrowError> {
        todo!("{array:?}{keys:?}")
    }
}

impl std::fmt::Display for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let _ = f;
        todo!()
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

impl std::fmt::Debug for MaskKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MaskKeys")
    }
}
