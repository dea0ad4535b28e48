//! Names to things: which products and system tables a statement reads, in one catalog snapshot.
//!
//! A name that does not resolve here does not exist for the planner either: it is given exactly the tables found here, by the very
//! references found here, so whatever this walk overlooked can only fail.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::common::TableReference;
use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{self, Visit, Visitor};

use crate::access::Held;
use crate::catalog::{PortRef, Snapshot};
use crate::error::{Fault, Result};
use crate::identity::Principal;
use crate::policy::{self, Circumstances, Request};
use crate::system;

use super::dialect;
use super::fault::fault_of;

/// The database's name, which may stand before a schema.
const DATABASE: &str = "mesh";

/// Expressions of a statement that is slight.
const FEW: usize = 16;

/// Who asks, and in which world: fixed for one statement.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    /// As they are now, not as they were when they logged in.
    pub principal: Arc<Principal>,
    pub snapshot: Arc<Snapshot>,
    pub circumstances: Circumstances,
    pub search_path: Vec<String>,
    /// Where this gateway runs.
    pub region: Option<String>,
    /// What they were granted and still hold.
    pub grants: Arc<Held>,
}

impl Asker {
    /// What policy is asked about a port: the one place where a request is put together.
    pub(super) fn request<'a>(&'a self, target: &'a PortRef) -> Result<Request<'a>> {
        let domain = self.snapshot.domains.get(&target.product.id.domain).ok_or_else(|| Fault::internal("a product without a domain"))?;
        Ok(Request {
            principal: &self.principal,
            target,
            mesh: &self.snapshot.mesh,
            domain,
            rego: &self.snapshot.rego,
            revision: &self.snapshot.revision,
            region: self.region.as_deref(),
            circumstances: &self.circumstances,
            grants: self.grants.of(&target.product.id),
        })
    }
}

/// What a table name means.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Product { port: PortRef, schema: String, table: String },
    System { schema: String, table: String },
}

/// A statement whose every table is known to exist. Whether the reader may know so is not yet decided.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(super) asker: Asker,
    pub(super) statement: ast::Statement,
    pub(super) tables: Vec<(TableReference, Target)>,
    /// Names of the functions that it calls, in lower case, without a schema.
    pub(super) functions: Vec<String>,
    /// How many expressions it has.
    expressions: usize,
    /// How many parameters it was written with: a client binds them all, also those that a bridge made needless.
    pub(super) parameters: usize,
    /// What the result's columns are called.
    pub(super) names: system::ResultNames,
}

impl Resolved {
    /// Looks every table of `statement` up.
    pub(crate) fn new(asker: Asker, mut statement: ast::Statement) -> Result<Self> {
        let parameters = parameters_of(&statement);
        let names = system::result_names(&statement);
        let found: Vec<_> = references(&statement)?.iter().filter_map(|reference| find(&asker, reference)).collect();
        if found.iter().all(Target::is_catalog) {
            // Also what this leaves without a meaning may be a catalog's: functions in FROM are named like tables.
            system::rewrite(&mut statement);
        }
        dialect::translate(&mut statement)?;
        let mut tables = Vec::new();
        for reference in references(&statement)? {
            match find(&asker, &reference) {
                Some(target) => tables.push((reference, target)),
                None if reference.table() == dialect::TABLE_FUNCTION && reference.schema().is_none() => {}
                None => return Err(undefined(&reference, &statement)),
            }
        }
        let Calls { functions, expressions } = Calls::of(&statement);
        Ok(Self { asker, statement, tables, functions, expressions, parameters, names })
    }

    /// Whether any product is read: such a statement takes a slot of its domain.
    pub(crate) fn reads_products(&self) -> bool {
        self.tables.iter().any(|(_, target)| matches!(target, Target::Product { .. }))
    }

    /// Whether it is planned sooner than it is handed to another thread: `SELECT 1`.
    pub(super) fn is_slight(&self) -> bool {
        self.tables.is_empty() && self.functions.is_empty() && self.expressions <= FEW
    }
}

impl Target {
    /// Whether it is of the catalogs that clients read. Only statements about nothing else may be rewritten: they are the clients' own. What
    /// a user wrote about data keeps its meaning: `dialect` says it in other words at most.
    fn is_catalog(&self) -> bool {
        matches!(self, Self::System { schema, .. } if schema == "pg_catalog" || schema == "information_schema")
    }
}

/// The names in a statement that stand where tables do.
fn references(statement: &ast::Statement) -> Result<Vec<TableReference>> {
    let engine = EngineStatement::Statement(Box::new(statement.clone()));
    let (references, _) = resolve_table_references(&engine, true).map_err(fault_of)?;
    Ok(references)
}

fn find(asker: &Asker, reference: &TableReference) -> Option<Target> {
    match reference {
        TableReference::Full { catalog, .. } if catalog.as_ref() != DATABASE => None,
        TableReference::Full { schema, table, .. } | TableReference::Partial { schema, table } => find_in(asker, schema, table),
        TableReference::Bare { table } => {
            // PostgreSQL looks into pg_catalog before the search path.
            find_in(asker, "pg_catalog", table).or_else(|| asker.search_path.iter().find_map(|schema| find_in(asker, schema, table)))
        }
    }
}

fn find_in(asker: &Asker, schema: &str, table: &str) -> Option<Target> {
    let (schema, table) = (schema.to_owned(), table.to_owned());
    if system::exists(&schema, &table) {
        return Some(Target::System { schema, table });
    }
    // What the reader must not know of is not there, whatever else the statement names.
    let port =
        asker.snapshot.resolve(&schema, &table).filter(|port| asker.request(port).is_ok_and(|request| policy::may_know_of(&request)))?;
    Some(Target::Product { port, schema, table })
}

/// `42P01` at the name's place.
pub(super) fn undefined(reference: &TableReference, statement: &ast::Statement) -> Fault {
    let name = match reference.schema() {
        Some(schema) => format!("{schema}.{}", reference.table()),
        None => reference.table().to_owned(),
    };
    let fault = policy::undefined_table(&name);
    match place_of(reference, statement) {
        Some(position) => fault.with_position(position),
        None => fault,
    }
}

/// Where a table is named first, where that is on the first line.
fn place_of(reference: &TableReference, statement: &ast::Statement) -> Option<usize> {
    struct Places<'a>(&'a str);
    impl Visitor for Places<'_> {
        type Break = usize;
        fn pre_visit_relation(&mut self, name: &ast::ObjectName) -> ControlFlow<usize> {
            let last = name.0.last().and_then(|part| part.as_ident());
            let first = name.0.first().and_then(|part| part.as_ident());
            match (first, last) {
                (Some(first), Some(last)) if last.value.eq_ignore_ascii_case(self.0) && first.span.start.line == 1 => {
                    usize::try_from(first.span.start.column).map_or(ControlFlow::Continue(()), ControlFlow::Break)
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    match statement.visit(&mut Places(reference.table())) {
        ControlFlow::Break(position) => Some(position),
        ControlFlow::Continue(()) => None,
    }
}

/// The number of the last parameter, `$1` being the first.
fn parameters_of(statement: &ast::Statement) -> usize {
    struct Last(usize);
    impl Visitor for Last {
        type Break = ();
        fn pre_visit_value(&mut self, value: &ast::ValueWithSpan) -> ControlFlow<()> {
            if let ast::Value::Placeholder(name) = &value.value {
                let number = name.trim_start_matches('$').parse().unwrap_or(0);
                self.0 = self.0.max(number).min(u16::MAX.into());
            }
            ControlFlow::Continue(())
        }
    }
    let mut last = Last(0);
    let _ = statement.visit(&mut last);
    last.0
}

/// What a statement is made of.
#[derive(Default)]
struct Calls {
    functions: Vec<String>,
    expressions: usize,
}

impl Calls {
    fn of(statement: &ast::Statement) -> Self {
        let mut calls = Self::default();
        let _ = statement.visit(&mut calls);
        calls
    }
}

impl Visitor for Calls {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
        self.expressions += 1;
        if let ast::Expr::Function(call) = expr
            && let Some(name) = call.name.0.last().and_then(|part| part.as_ident())
        {
            self.functions.push(name.value.to_lowercase());
        }
        ControlFlow::Continue(())
    }
}
