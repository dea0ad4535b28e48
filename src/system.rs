//! The system tables: `mesh`, `finops`, `audit`, and the catalogs that clients read (`pg_catalog`, `information_schema`). Governed like
//! any other: what a principal may not see is not in them.
//!
//! For the planner this module also has the functions of PostgreSQL that ask about the catalogs ([`functions`]), the names of its types
//! ([`PgTypePlanner`]), and the bridging of what clients write about catalogs to what the planner takes ([`rewrite`]).

mod access;
mod functions;
mod grid;
mod information_schema;
mod mesh;
mod oids;
mod pg_catalog;
mod rewrite;
mod shape;
#[cfg(test)]
mod tests;
mod types;
mod world;

pub mod audit;
pub mod finops;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::logical_expr::ScalarUDF;
use datafusion::sql::sqlparser::ast::Statement;

pub(crate) use self::functions::{quote_ident, quote_literal};
pub use self::rewrite::ResultNames;
pub(crate) use self::rewrite::ast as syntax;
pub(crate) use self::rewrite::{name_columns, name_of};
pub use self::shape::PG_TYPE;
pub use self::types::{PgTypePlanner, format_type, regproc_name, type_of};
use self::world::World;
use crate::access::Access;
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
    /// Who was granted what.
    pub access: Access,
    /// Their session's settings.
    pub settings: Arc<Settings>,
}

/// Whether such a system table exists. Schemas: mesh, finops, audit, pg_catalog, information_schema.
pub fn exists(schema: &str, table: &str) -> bool {
    schema_of(schema, table).is_some()
}

/// The table with what the viewer may see of it, or `None` where there is no such table. Cheap: rows are made when a query reads them.
pub fn table(schema: &str, table: &str, viewer: &Viewer) -> Result<Option<Arc<dyn TableProvider>>> {
    Ok(match schema {
        "mesh" => mesh::table(table, &World::new(viewer)),
        "finops" => finops::table(table, viewer),
        "audit" => audit::table(table, viewer),
        "pg_catalog" => pg_catalog::table(table, &World::new(viewer)),
        "information_schema" => information_schema::table(table, &World::new(viewer)),
        _ => None,
    })
}

/// The tables of `mesh`, `finops` and `audit`.
pub fn names(schema: &str) -> &'static [&'static str] {
    match schema {
        "mesh" => mesh::names(),
        "finops" => finops::names(),
        "audit" => audit::names(),
        _ => &[],
    }
}

/// The columns of a system table.
pub fn schema_of(schema: &str, table: &str) -> Option<SchemaRef> {
    let shaped = |shapes: &shape::Shapes| shapes.get(table).map(|shape| Arc::clone(&shape.schema));
    match schema {
        "mesh" => mesh::schema(table),
        "finops" => finops::schema(table),
        "audit" => audit::schema(table),
        "pg_catalog" => shaped(shape::pg_catalog()),
        "information_schema" => shaped(shape::information_schema()),
        _ => None,
    }
}

/// PostgreSQL's functions about the session and the catalogs, answering for this viewer. Each also goes by `pg_catalog.<name>`.
pub fn functions(viewer: &Viewer) -> Vec<Arc<ScalarUDF>> {
    functions::all(&World::new(viewer))
}

/// Whether [`functions`] has one of that name, in lower case and without a schema. A statement that names none needs none registered.
pub fn is_function(name: &str) -> bool {
    functions::is_known(name)
}

/// Turns what clients write about the catalogs into what the planner takes. Only for statements all of whose tables are of `pg_catalog` or
/// `information_schema`, or that have none: it takes liberties that are right for those alone.
pub fn rewrite(statement: &mut Statement) {
    rewrite::statement(statement);
}

/// What PostgreSQL calls the columns of a statement's result. Asked before [`rewrite`], which needs names of its own.
pub fn result_names(statement: &Statement) -> ResultNames {
    ResultNames::of(statement)
}
