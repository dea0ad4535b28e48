//! What a reader may see. Pure: no IO, no clock, one caller (`query::authorise`).

mod cache;
mod decision;
mod entitlement;
mod filter;
#[cfg(test)]
pub(crate) mod fixtures;
mod mask;
#[cfg(test)]
mod matrix;
mod rego;
#[cfg(test)]
mod second;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::logical_expr::Expr;

use crate::access::Grant;
use crate::catalog::{Domain, Mesh, Origin, PortRef};
use crate::id::PolicyRevision;
use crate::identity::Principal;
use crate::values::types::{PG_TYPE, named};

pub use cache::Decisions;
pub use decision::decide;
pub use entitlement::{Denial, entitle, may_know_of, undefined_table};
pub use filter::check_filter;
pub use mask::{Mask, MaskKeys};
pub use rego::{PolicyFile, Rego, Whose};

/// Everything that decides whether and how a principal reads a port.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who.
    pub principal: &'a Principal,
    /// What.
    pub target: &'a PortRef,
    /// The mesh's rules.
    pub mesh: &'a Mesh,
    /// The producer domain.
    pub domain: &'a Domain,
    /// The Rego of all levels.
    pub rego: &'a Rego,
    /// Which rules these are, all together.
    pub revision: &'a PolicyRevision,
    /// Where this gateway runs.
    pub region: Option<&'a str>,
    /// Why and how.
    pub circumstances: &'a Circumstances,
    /// The principal's grants for this product that hold now.
    pub grants: &'a [Arc<Grant>],
}

/// What a session says of itself, and a decision may depend on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Circumstances {
    /// Why it reads, as it declared with `meshgate.purpose`.
    pub purpose: Option<String>,
    /// The door that it came through, as the ledger writes it.
    pub protocol: &'static str,
    /// The client, as it calls itself.
    pub application_name: Option<String>,
}

impl Circumstances {
    /// The declared purpose.
    pub fn purpose(&self) -> Option<&str> {
        self.purpose.as_deref()
    }
}

/// The answer.
#[derive(Debug)]
pub enum Decision {
    /// They may, so.
    Permit(Permit),
    /// They may not.
    Denied(Denial),
}

/// How a reader may see a port. Made by [`decide`] only: there is no constructor, no default and no way to read one from a file, so whoever
/// holds a permit holds a decision.
///
/// ```compile_fail
/// let forged = meshgate::policy::Permit(Default::default());
/// ```
/// ```compile_fail
/// let forged = meshgate::policy::Permit::default();
/// ```
/// ```compile_fail
/// let forged: meshgate::policy::Permit = serde_json::from_str("{}").unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Permit(Arc<View>);

/// What a permit shows, and why. Shared by all that hold the permit.
#[derive(Debug)]
struct View {
    filter: Option<Expr>,
    masks: BTreeMap<String, Mask>,
    reasons: Vec<Reason>,
    filter_texts: Vec<String>,
}

impl Permit {
    /// No filter and no mask: the port is read as if the gateway were not there.
    pub fn is_whole(&self) -> bool {
        self.0.filter.is_none() && self.0.masks.is_empty()
    }

    /// The rows they may see: total, deterministic, over unqualified columns of the port's schema; NULL hides the row.
    pub fn filter(&self) -> Option<&Expr> {
        self.0.filter.as_ref()
    }

    /// The masks by column.
    pub fn masks(&self) -> &BTreeMap<String, Mask> {
        &self.0.masks
    }

    /// Why, for the audit.
    pub fn reasons(&self) -> &[Reason] {
        &self.0.reasons
    }

    /// The filters as written, with `$names` unbound, for the audit.
    pub fn filter_texts(&self) -> &[String] {
        &self.0.filter_texts
    }

    /// What is masked, as it is shown to people: columns, and fields by their path (`address.street`), in the order of the alphabet.
    pub fn masked(&self) -> BTreeMap<String, &Mask> {
        self.0.masks.iter().flat_map(|(column, mask)| mask.leaves(column)).collect()
    }

    /// What the reader's planner sees: the same names, masked types, nullable where a mask gives NULL, no metadata. Dictionaries are plain
    /// values, because a dictionary holds values of rows that were filtered away.
    pub fn governed_schema(&self, schema: &SchemaRef) -> SchemaRef {
        if self.is_whole() {
            return Arc::clone(schema);
        }
        let governed = |field: &FieldRef| {
            let mask = self.0.masks.get(field.name());
            let plain = plain_type(field.data_type());
            let shown = mask.map_or_else(|| plain.clone(), |mask| mask.masked_type(&plain));
            let shown = Field::new(field.name(), shown, field.is_nullable() || mask.is_some_and(Mask::gives_null));
            // What the contract calls a text that is one no longer when it is masked.
            match named(field).filter(|_| mask.is_none()) {
                Some(name) => shown.with_metadata(HashMap::from([(PG_TYPE.to_owned(), name.to_owned())])),
                None => shown,
            }
        };
        Arc::new(Schema::new(schema.fields().iter().map(governed).collect::<Vec<_>>()))
    }

    /// Whether two permits show the same rows and values. A running query whose permit changed is ended.
    pub fn same_view(&self, other: &Permit) -> bool {
        self.0.filter == other.0.filter && self.0.masks == other.0.masks
    }
}

/// The type without dictionaries, run ends and metadata, all the way down.
fn plain_type(data_type: &DataType) -> DataType {
    let plain = |field: &FieldRef| Arc::new(Field::new(field.name(), plain_type(field.data_type()), field.is_nullable()));
    match data_type {
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::RunEndEncoded(_, values) => plain_type(values.data_type()),
        DataType::List(item) => DataType::List(plain(item)),
        DataType::LargeList(item) => DataType::LargeList(plain(item)),
        DataType::ListView(item) => DataType::List(plain(item)),
        DataType::LargeListView(item) => DataType::LargeList(plain(item)),
        // A NULL row has entries here, and they must be NULLs too.
        DataType::FixedSizeList(item, size) => {
            let item = Field::new(item.name(), plain_type(item.data_type()), true);
            DataType::FixedSizeList(Arc::new(item), *size)
        }
        DataType::Map(entries, sorted) => DataType::Map(plain(entries), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain).collect()),
        other => other.clone(),
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

impl fmt::Display for Reason {
    /// The sentence with its place, as the audit has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(Origin { file, line: 0, .. }) => write!(f, "{} ({file})", self.text),
            Some(Origin { file, line, .. }) => write!(f, "{} ({file}:{line})", self.text),
            None => f.write_str(&self.text),
        }
    }
}
