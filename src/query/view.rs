//! From granted ports to the tables that the reader's planner is given: whole where the decision leaves them whole, behind the barrier
//! where it does not, and the system tables as this reader may see them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono_tz::Tz;
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::logical_expr::ScalarUDF;
use datafusion::sql::sqlparser::ast;

use crate::catalog::PortRef;
use crate::error::{Fault, Result};
use crate::id::PortId;
use crate::policy::{MaskKeys, Permit};
use crate::ports::{OpenPort, Scope};
use crate::system::{self, Viewer};

use super::authorise::{Authorised, Granted};
use super::govern::{GovernedTable, SeenBy};
use super::resolve::Target;
use super::{Gateway, Notice, Session};

/// A statement with the only tables and functions that its planner will know. Only [`Authorised::govern`] makes one.
#[derive(Debug)]
pub(crate) struct Governed {
    pub(super) statement: ast::Statement,
    pub(super) parameters: usize,
    pub(super) names: system::ResultNames,
    pub(super) tables: HashMap<TableReference, Arc<dyn TableProvider>>,
    pub(super) session_functions: Vec<Arc<ScalarUDF>>,
    pub(super) scope: Arc<Scope>,
    pub(super) notices: Vec<Notice>,
    /// What the reader may see and on what: compared again while the query runs.
    pub(super) permits: Vec<(PortRef, OpenPort, Permit)>,
}

impl Authorised {
    /// Puts every granted port behind its permit.
    pub(crate) async fn govern(self, gateway: &Gateway, session: &Session, keys: MaskKeys, time_zone: Tz) -> Result<Governed> {
        let scope = self.scope(gateway);
        let needs_viewer = self.tables.iter().any(|(_, target)| matches!(target, Target::System { .. }))
            || self.functions.iter().any(|name| !gateway.engine().functions().knows(name));
        let viewer = if needs_viewer { Some(self.viewer(gateway, session).await?) } else { None };
        let planner = Arc::new(gateway.engine().state(time_zone, scope.planning()));
        let seen = gateway.engine().seen().by(&self.asker.principal);
        let products = provide(&self.grants, &keys, &scope, &planner, &seen);
        let mut tables = HashMap::with_capacity(self.tables.len());
        for (reference, target) in &self.tables {
            let table = match target {
                Target::Product { port, .. } => products.get(&port.id()).cloned(),
                Target::System { schema, table } => match &viewer {
                    Some(viewer) => system::table(schema, table, viewer)?,
                    None => None,
                },
            };
            tables.insert(reference.clone(), table.ok_or_else(|| Fault::internal("a resolved table is gone"))?);
        }
        let now = gateway.now();
        Ok(Governed {
            statement: self.statement,
            parameters: self.parameters,
            names: self.names,
            tables,
            session_functions: viewer.as_ref().map(system::functions).unwrap_or_default(),
            scope,
            notices: self.grants.values().flat_map(|granted| granted.notices(now)).collect(),
            permits: self.grants.into_values().map(|granted| (granted.target, granted.port, granted.permit)).collect(),
        })
    }

    /// The world that the query's scans live in: its granted ports and nothing else.
    fn scope(&self, gateway: &Gateway) -> Arc<Scope> {
        let domain = &self.asker.principal.domain;
        let limit = self.asker.snapshot.domains.get(domain).and_then(|domain| domain.limits.memory);
        let memory = gateway.limits().query_memory;
        let mut scope = Scope::new(&gateway.engine().query_runtime(memory, limit.map(|limit| (domain, limit))));
        for granted in self.grants.values() {
            scope.add(&granted.port, &granted.meter);
        }
        Arc::new(scope)
    }

    async fn viewer(&self, gateway: &Gateway, session: &Session) -> Result<Viewer> {
        Ok(Viewer {
            principal: Arc::clone(&self.asker.principal),
            snapshot: Arc::clone(&self.asker.snapshot),
            visible: gateway.visible_to(&self.asker).await?,
            journal: gateway.journal().clone(),
            access: gateway.access().clone(),
            settings: Arc::clone(session.settings()),
        })
    }
}

/// The table of each granted port. This is the one place where an ungoverned provider is handed to a planner.
fn provide(
    grants: &BTreeMap<PortId, Granted>,
    keys: &MaskKeys,
    scope: &Arc<Scope>,
    planner: &Arc<datafusion::execution::SessionState>,
    seen: &SeenBy,
) -> HashMap<PortId, Arc<dyn TableProvider>> {
    let table = |granted: &Granted| -> Arc<dyn TableProvider> {
        if granted.permit.is_whole() {
            return Arc::clone(granted.port.provider());
        }
        Arc::new(GovernedTable::new(&granted.port, granted.permit.clone(), keys.clone(), scope, Arc::clone(planner), seen.clone()))
    };
    grants.iter().map(|(id, granted)| (id.clone(), table(granted))).collect()
}
