//! JSON, one object a line. A key that is not there is NULL; keys that are not promised are not read.

use crate::error::Fault;
use crate::ports::csv::text_table;
use crate::ports::files::Listing;
use crate::ports::storage::PortStore;
use crate::ports::text::TextFormat;
use crate::ports::{Opened, PortSpec, fault};

/// Opens a listing of JSON files. What they hold is known only when they are read; nothing of them is read here.
pub fn open(spec: &PortSpec<'_>, store: &PortStore, listing: &Listing) -> Result<Opened, Fault> {
    if let Some(name) = spec.options.keys().next() {
        return Err(fault::contract(&spec.id.product, format!("Option \"{name}\" is not known.")));
    }
    text_table(spec, store, listing, TextFormat::Json(spec.id.product.clone()))
}
