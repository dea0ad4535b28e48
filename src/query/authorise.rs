//! May they, and how: the one caller of `policy`, and the one that writes decisions down.
//!
//! Entitlement comes first and touches nothing. Only a port that the reader is entitled to is opened, since what it holds decides whether
//! the rules about its columns can be kept.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::common::TableReference;
use datafusion::sql::sqlparser::ast;

use crate::catalog::{PortRef, Status};
use crate::error::{ErrorKind, Fault, Result};
use crate::id::{PortId, QueryId};
use crate::metering::{Account, DecisionRecord, Meter};
use crate::policy::{self, Decision, Denial, Permit, Reason};
use crate::ports::OpenPort;

use super::resolve::{Asker, Resolved, Target, undefined};
use super::{Gateway, Notice, Session};

/// A port that the reader may read, opened, with how they may see it.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(super) target: PortRef,
    pub(super) port: OpenPort,
    pub(super) permit: Permit,
    pub(super) meter: Arc<Meter>,
}

/// A statement all of whose tables the reader may read. Only [`Resolved::authorise`] makes one.
#[derive(Debug)]
pub(crate) struct Authorised {
    pub(super) asker: Asker,
    pub(super) statement: ast::Statement,
    pub(super) tables: Vec<(TableReference, Target)>,
    pub(super) functions: Vec<String>,
    pub(super) parameters: usize,
    pub(super) grants: BTreeMap<PortId, Granted>,
}

/// On whose account a statement is authorised: a query's, or nobody's where it is only described.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Books<'a> {
    Query(QueryId, &'a Account),
    Description,
}

impl Resolved {
    /// Decides on every product of the statement. The first denial ends it; every decision is written down.
    pub(crate) async fn authorise(self, gateway: &Gateway, session: &Session, books: Books<'_>) -> Result<Authorised> {
        let mut grants = BTreeMap::new();
        for (reference, target) in &self.tables {
            let Target::Product { port, schema, table } = target else { continue };
            if let Entry::Vacant(place) = grants.entry(port.id()) {
                let granted = grant(gateway, session, &self.asker, port, table, books).await.map_err(|refusal| match refusal {
                    // What must not be known of is missing in the very words, and at the very place, of what is.
                    Refusal::Denied(denial) if !denial.visible => undefined(reference, &self.statement),
                    Refusal::Denied(denial) => denial.to_fault(schema, table),
                    Refusal::Fault(fault) => fault,
                })?;
                place.insert(granted);
            }
        }
        Ok(Authorised {
            asker: self.asker,
            statement: self.statement,
            tables: self.tables,
            functions: self.functions,
            parameters: self.parameters,
            grants,
        })
    }
}

/// Why a port was not granted.
enum Refusal {
    Denied(Denial),
    Fault(Fault),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

async fn grant(
    gateway: &Gateway,
    session: &Session,
    asker: &Asker,
    target: &PortRef,
    table: &str,
    books: Books<'_>,
) -> Result<Granted, Refusal> {
    #[cfg(test)]
    let owner = crate::mutants::owner(asker, target);
    #[cfg(test)]
    let asker = if crate::mutants::is("missing describe check") && matches!(books, Books::Description) { &owner } else { asker };
    let deny = |denial: Denial| {
        record(gateway, asker, target, books, false, &denial.reasons, None);
        Refusal::Denied(denial)
    };
    let request = asker.request(target)?;
    policy::entitle(&request).map_err(deny)?;
    let meter = match books {
        Books::Query(_, account) => account.meter(&target.id(), &target.product.version.to_string(), ""),
        Books::Description => Meter::unbilled(),
    };
    let port = gateway.ports().open(&asker.snapshot, target, &meter).await?;
    if let Books::Query(_, account) = books {
        account.meter(port.id(), &target.product.version.to_string(), port.table_version());
    }
    match policy::decide(&request, port.schema()) {
        Decision::Permit(permit) => {
            record(gateway, asker, target, books, true, permit.reasons(), Some(&permit));
            check_session(session, &port, &permit, table, gateway.now())?;
            Ok(Granted { target: target.clone(), port, permit, meter })
        }
        Decision::Denied(denial) => Err(deny(denial)),
    }
}

/// What the session itself asks for beyond policy.
fn check_session(session: &Session, port: &OpenPort, permit: &Permit, table: &str, now: DateTime<Utc>) -> Result<()> {
    if !session.settings().row_security() && !permit.is_whole() {
        return Err(Fault::new(ErrorKind::Denied, format!("query would be affected by row-level security policy for table \"{table}\""))
            .with_detail("The setting \"row_security\" is off, and this product is filtered or masked for you."));
    }
    if let (Some(limit), Some(modified)) = (session.settings().max_staleness(), port.last_modified())
        && (now - modified).to_std().is_ok_and(|age| age > limit)
    {
        return Err(Fault::new(ErrorKind::NotInState, format!("the data of table \"{table}\" is older than \"meshgate.max_staleness\""))
            .with_detail(format!("It was last changed at {}.", modified.format("%Y-%m-%d %H:%M:%S UTC"))));
    }
    Ok(())
}

/// Writes a decision down, for the audit and the metrics. Descriptions are not queries and leave no record of a permit.
fn record(
    gateway: &Gateway,
    asker: &Asker,
    target: &PortRef,
    books: Books<'_>,
    permitted: bool,
    reasons: &[Reason],
    permit: Option<&Permit>,
) {
    gateway.metrics().decision(permitted);
    let query_id = match books {
        Books::Query(id, _) => id,
        Books::Description if permitted => return,
        Books::Description => QueryId::generate(),
    };
    let text = |reason: &Reason| match &reason.origin {
        Some(origin) => format!("{} ({}:{})", reason.text, origin.file, origin.line),
        None => reason.text.clone(),
    };
    gateway.journal().decisions(vec![DecisionRecord {
        decided_at: gateway.now(),
        query_id,
        principal: asker.principal.name.clone(),
        consumer_domain: asker.principal.domain.clone(),
        product: target.product.id.to_string(),
        permitted,
        reasons: reasons.iter().map(text).collect(),
        row_filters: permit.map(|p| p.filter_texts().to_vec()).unwrap_or_default(),
        masks: permit.map(|p| p.masks().iter().map(|(column, mask)| format!("{column}={mask}")).collect()).unwrap_or_default(),
        policy_revision: asker.snapshot.revision.as_str().to_owned(),
    }]);
}

impl Granted {
    /// What the reader is told of this product, once a query.
    pub(super) fn notices(&self, now: DateTime<Utc>) -> Vec<Notice> {
        let name = &self.target.product.id;
        let mut notices = Vec::new();
        let mut tell = |message: String, detail: Option<String>| notices.push(Notice { message, detail, hint: None });
        if self.permit.filter().is_some() {
            tell(format!("rows of \"{name}\" are filtered for you"), None);
        }
        if !self.permit.masks().is_empty() {
            let columns: Vec<_> = self.permit.masks().keys().map(String::as_str).collect();
            tell(format!("columns of \"{name}\" are masked for you"), Some(format!("Masked columns: {}.", columns.join(", "))));
        }
        if self.target.product.status == Status::Deprecated {
            tell(format!("product \"{name}\" is deprecated"), None);
        }
        if let (Some(promised), Some(modified)) = (self.target.product.sla.freshness, self.port.last_modified())
            && let Ok(age) = (now - modified).to_std()
            && age > promised
        {
            let detail = format!(
                "It was last changed at {}, and promises to be at most {}s old.",
                modified.format("%Y-%m-%d %H:%M:%S UTC"),
                promised.as_secs()
            );
            tell(format!("data of \"{name}\" is older than its service level promises"), Some(detail));
        }
        notices
    }
}

/// Whether the reader would still see the same if the query began now.
pub(super) fn still_holds((target, port, permit): &(PortRef, OpenPort, Permit), asker: &Asker) -> bool {
    let Some(product) = asker.snapshot.products.get(&target.product.id).and_then(|p| p.versions.get(&port.id().major)) else {
        return false;
    };
    let Some(index) = product.ports.iter().position(|now| now.name == port.id().port) else { return false };
    let target = PortRef { product: Arc::clone(product), port: index };
    match asker.request(&target).map(|request| policy::decide(&request, port.schema())) {
        Ok(Decision::Permit(now)) => now.same_view(permit),
        _ => false,
    }
}
