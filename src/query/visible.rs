//! What a principal may read, for catalog listings. The one answer behind `pg_catalog`, `information_schema` and Flight's GetTables.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use futures::{StreamExt, stream};
use parking_lot::Mutex;

use crate::catalog::{PortRef, Product};
use crate::error::Result;
use crate::id::{CatalogVersion, PrincipalName};
use crate::policy::{self, Circumstances, Decision};

use super::resolve::Asker;
use super::{Gateway, Session};

/// Ports described at once.
const AT_ONCE: usize = 16;
/// Principals whose listing is kept.
const KEPT: usize = 256;

/// A table that a principal may read, as they see it.
#[derive(Debug, Clone)]
pub struct VisibleTable {
    /// The SQL schema.
    pub schema: String,
    /// The SQL name; the unpinned one of the default port, and pinned ones where a product has several.
    pub name: String,
    /// The columns as governed; `None` where the port cannot be described at the moment.
    pub columns: Option<SchemaRef>,
    /// What it is: product, or a system table where `None`.
    pub target: Option<PortRef>,
}

/// Listings by reader. One is good as long as nothing that it was made from has changed.
#[derive(Debug, Default)]
pub(crate) struct VisibleCache(Mutex<HashMap<Reader, Stamped>>);

/// Somebody in their circumstances. Two tokens of one name may carry different rights.
type Reader = (PrincipalName, Option<[u8; 32]>, Circumstances);

/// A listing, and what it was made from.
type Stamped = (Stamp, Arc<Vec<VisibleTable>>);

/// Everything that a listing is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    catalog: CatalogVersion,
    identity: u64,
    grants: u64,
}

impl Gateway {
    /// The tables that the session's principal may read, for catalog listings: sorted by schema and name.
    pub async fn visible(&self, session: &Session) -> Result<Arc<Vec<VisibleTable>>> {
        self.visible_to(&self.asker(session)?).await
    }

    pub(super) async fn visible_to(&self, asker: &Asker) -> Result<Arc<Vec<VisibleTable>>> {
        let stamp = Stamp { catalog: asker.snapshot.version, identity: self.parts.identity.epoch(), grants: asker.grants.revision() };
        if let Some((made, tables)) = self.visible.0.lock().get(&reader(asker))
            && *made == stamp
        {
            return Ok(Arc::clone(tables));
        }
        let named = asker.snapshot.products.values().flat_map(names);
        let described = stream::iter(named).map(|(name, target)| self.see(asker, name, target)).buffer_unordered(AT_ONCE);
        let mut tables: Vec<_> = described.filter_map(|table| async move { table }).collect().await;
        tables.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
        let complete = tables.iter().all(|table| table.columns.is_some());
        let tables = Arc::new(tables);
        if complete {
            let mut cache = self.visible.0.lock();
            if cache.len() >= KEPT {
                cache.clear();
            }
            cache.insert(reader(asker), (stamp, Arc::clone(&tables)));
        }
        Ok(tables)
    }

    /// The table as the asker sees it, or nothing where they may not know of it.
    async fn see(&self, asker: &Asker, name: String, target: PortRef) -> Option<VisibleTable> {
        let request = asker.request(&target).ok()?;
        policy::entitle(&request).ok()?;
        let schema = target.product.id.domain.to_string();
        let columns = match self.ports().describe(&asker.snapshot, &target).await {
            Err(_) => None,
            Ok(columns) => match policy::decide(&request, &columns) {
                Decision::Permit(permit) => Some(permit.governed_schema(&columns)),
                Decision::Denied(_) => return None,
            },
        };
        Some(VisibleTable { schema, name, columns, target: Some(target) })
    }
}

/// Whose listing it is.
fn reader(asker: &Asker) -> Reader {
    #[cfg(test)]
    if crate::mutants::is("shared cache") {
        return (PrincipalName::new("everybody"), None, Circumstances::default());
    }
    let token = asker.principal.token.as_ref().map(|token| *token.digest());
    (asker.principal.name.clone(), token, asker.circumstances.clone())
}

/// The SQL names of a product: the plain one, and where there are several majors or ports each of them by its own.
fn names(product: &Product) -> Vec<(String, PortRef)> {
    let mut names = Vec::new();
    let base = product.id.product.as_str();
    let newest = product.newest();
    for (major, version) in &product.versions {
        for (index, port) in version.ports.iter().enumerate() {
            let target = PortRef { product: Arc::clone(version), port: index };
            let suffix = if index == 0 { String::new() } else { format!("__{}", port.name) };
            if Arc::ptr_eq(version, newest) {
                names.push((format!("{base}{suffix}"), target.clone()));
            }
            if product.versions.len() > 1 {
                names.push((format!("{base}_v{major}{suffix}"), target));
            }
        }
    }
    names
}
