//! What a reader may see. Pure: no IO, no clock, one caller (`query::authorise`).

mod mask;

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use datafusion::logical_expr::Expr;

use crate::catalog::{Domain, Mesh, Origin, PortRef};
use crate::error::Fault;
use crate::identity::Principal;

pub use mask::{Mask, MaskKeys};

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
