//! JSON, one object a line. A key that is not there is NULL; keys that are not promised are not read.

use std::collections::BTreeMap;

use arrow::datatypes::Schema;
use bytes::Bytes;
use datafusion::common::{DataFusionError, Result as EngineResult};
use futures::stream::{self, BoxStream, StreamExt};
use serde::de::IgnoredAny;

use crate::error::Fault;
use crate::id::ProductId;
use crate::ports::csv::text_table;
use crate::ports::files::Listing;
use crate::ports::storage::PortStore;
use crate::ports::text::{self, TextFormat};
use crate::ports::{Opened, PortSpec, fault};

/// Opens a listing of JSON files. What they hold is known only when they are read; nothing of them is read here.
pub fn open(spec: &PortSpec<'_>, store: &PortStore, listing: &Listing) -> Result<Opened, Fault> {
    if let Some(name) = spec.options.keys().next() {
        return Err(fault::contract(&spec.id.product, format!("Option \"{name}\" is not known.")));
    }
    text_table(spec, store, listing, TextFormat::Json(spec.id.product.clone()))
}

/// Bytes in which a file must say what it is.
const MAX_FIRST_LINE: usize = 1 << 20;

/// Looks at the first object: one that has none of the promised keys is of another dataset, and would read as rows of NULL. Whatever else
/// is wrong with a file, the decoder finds.
pub async fn start(
    product: &ProductId,
    mut body: BoxStream<'static, EngineResult<Bytes>>,
    promised: &Schema,
) -> EngineResult<BoxStream<'static, EngineResult<Bytes>>> {
    let (head, _) = text::head(&mut body, MAX_FIRST_LINE, |head| first_line(head).is_some_and(|(_, ends)| ends)).await?;
    if let Some((line, _)) = first_line(&head)
        && let Ok(keys) = serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(line)
        && !keys.keys().any(|key| promised.field_with_name(key).is_ok())
    {
        let detail = "The first object of a file has none of the columns.";
        return Err(DataFusionError::External(Box::new(fault::contract(product, detail))));
    }
    Ok(stream::iter([Ok(head)]).chain(body).boxed())
}

/// The first line that is not blank, and whether it is known where it ends.
fn first_line(text: &[u8]) -> Option<(&[u8], bool)> {
    let start = text.iter().position(|byte| !byte.is_ascii_whitespace())?;
    let text = text.get(start..)?;
    match text.iter().position(|byte| *byte == b'\n') {
        Some(end) => Some((text.get(..end)?, true)),
        None => Some((text, false)),
    }
}
