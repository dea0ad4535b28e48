//! The system tables: `mesh`, `finops`, `audit`, and the catalogs that clients read (`pg_catalog`, `information_schema`). Governed like
//! any other: what a principal may not see is not in them.

pub mod audit;
pub mod finops;

use std::sync::Arc;

use datafusion::catalog::TableProvider;

use crate::catalog::Snapshot;
use crate::error::Result;
use crate::identity::Principal;
use crate::metering::Journal;
use crate::query::{Settings, VisibleTable};

/// Who looks at a system table, and at what.
#[derive(Debug, Clone)]
pub struct Viewer {
    /// Who.
    pub principal: Arc<Principal>,
    /// The catalog that their query began with.
    pub snapshot: Arc<Snapshot>,
    /// What they may read.
    pub visible: Arc<Vec<VisibleTable>>,
    /// The ledger.
    pub journal: Journal,
    /// Their session's settings.
    pub settings: Arc<Settings>,
}

/// Whether such a system table exists. Schemas: mesh, finops, audit, pg_catalog, information_schema.
pub fn exists(schema: &str, table: &str) -> bool {
    todo!("{schema}{table}")
}

/// The table with what the viewer may see of it, or `None` where there is no such table.
pub fn table(schema: &str, table: &str, viewer: &Viewer) -> Result<Option<Arc<dyn TableProvider>>> {
    todo!("{schema}{table}{viewer:?}")
}
