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
use crate::id::{PolicyRevision, PortId, QueryId};
use crate::metering::{Account, DecisionRecord, DecisionRequest, Meter};
use crate::policy::{self, Decision, Denial, Permit};
use crate::ports::OpenPort;
use crate::system::ResultNames;

use super::resolve::{Asker, Resolved, Target, undefined};
use super::{Gateway, Notice, Session};

/// A port that the reader may read, opened, with how they may see it.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(super) target: PortRef,
    pub(super) port: OpenPort,
    pub(super) permit: Permit,
    receipt: Receipt,
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
    pub(super) names: ResultNames,
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
            names: self.names,
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
        record(gateway, asker, target, books, Err(&denial));
        Refusal::Denied(denial)
    };
    let request = asker.request(target)?;
    gateway.decisions().entitle(&request).map_err(deny)?;
    let meter = match books {
        Books::Query(_, account) => account.meter(&target.id(), &target.product.version.to_string(), ""),
        Books::Description => Meter::unbilled(),
    };
    let port = gateway.ports().open(&asker.snapshot, target, &meter).await?;
    if let Books::Query(_, account) = books {
        account.meter(port.id(), &target.product.version.to_string(), port.table_version());
    }
    match gateway.decisions().decide(&request, port.schema()) {
        Decision::Permit(permit) => {
            let receipt = Receipt::of(gateway, asker, target, &permit);
            record(gateway, asker, target, books, Ok((&permit, &receipt)));
            check_session(session, &port, &permit, table, gateway.now())?;
            Ok(Granted { target: target.clone(), port, permit, receipt, meter })
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

/// What a reader can later show an auditor: by which rules their rows and values were chosen. The digests are keyed, because a filter is
/// short enough to be guessed.
#[derive(Debug)]
struct Receipt {
    revision: PolicyRevision,
    filter: Option<String>,
    masks: Option<String>,
}

/// What is masked, and how.
fn masked(permit: &Permit) -> Vec<String> {
    permit.masked().iter().map(|(column, mask)| format!("{column}={mask}")).collect()
}

impl Receipt {
    fn of(gateway: &Gateway, asker: &Asker, target: &PortRef, permit: &Permit) -> Self {
        let digest = |what: &str, of: String| gateway.receipt(&asker.principal.domain, &format!("{what} of {}: {of}", target.product.id));
        let masks = masked(permit);
        Self {
            revision: asker.snapshot.revision_of(&target.product),
            filter: permit.filter().map(|filter| digest("filter", filter.to_string())),
            masks: (!masks.is_empty()).then(|| digest("masks", masks.join(", "))),
        }
    }

    /// As the reader is told of one of the digests.
    fn line(&self, what: &str, digest: Option<&String>) -> String {
        format!("Receipt: policy {}, {what} {}.", shortened(self.revision.as_str()), digest.map_or("none", String::as_str))
    }
}

/// The first digits of a digest, which are enough to find it by.
fn shortened(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}

/// Writes a decision down, for the audit and the metrics. Descriptions are not queries and leave no record of a permit.
fn record(
    gateway: &Gateway,
    asker: &Asker,
    target: &PortRef,
    books: Books<'_>,
    decision: std::result::Result<(&Permit, &Receipt), &Denial>,
) {
    let permitted = decision.is_ok();
    gateway.metrics().decision(permitted);
    let query_id = match books {
        Books::Query(id, _) => id,
        Books::Description if permitted => return,
        Books::Description => QueryId::generate(),
    };
    let (reasons, permit) = match decision {
        Ok((permit, receipt)) => (permit.reasons(), Some((permit, receipt))),
        Err(denial) => (denial.reasons.as_slice(), None),
    };
    let mut reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    if let Some((_, receipt)) = permit {
        reasons.extend(receipt.filter.iter().map(|digest| format!("the filter's receipt is {digest}")));
        reasons.extend(receipt.masks.iter().map(|digest| format!("the masks' receipt is {digest}")));
    }
    let (principal, circumstances) = (&asker.principal, &asker.circumstances);
    let record = DecisionRecord {
        decided_at: gateway.now(),
        query_id,
        principal: principal.name.clone(),
        consumer_domain: principal.domain.clone(),
        product: target.product.id.to_string(),
        permitted,
        reasons,
        row_filters: permit.map(|(permit, _)| permit.filter_texts().to_vec()).unwrap_or_default(),
        masks: permit.map(|(permit, _)| masked(permit)).unwrap_or_default(),
        policy_revision: asker.snapshot.revision_of(&target.product).as_str().to_owned(),
        request: DecisionRequest {
            groups: principal.groups.iter().map(ToString::to_string).collect(),
            attributes: principal.attributes.clone(),
            major: target.product.version.major,
            port: target.port().name.to_string(),
            purpose: circumstances.purpose.clone(),
            protocol: circumstances.protocol.to_owned(),
            application_name: circumstances.application_name.clone(),
        },
    };
    match books {
        Books::Query(_, account) => account.decided(record),
        Books::Description => gateway.journal().decisions(vec![record]),
    }
}

impl Granted {
    /// What the reader is told of this product, once a query.
    pub(super) fn notices(&self, now: DateTime<Utc>) -> Vec<Notice> {
        let (name, receipt) = (&self.target.product.id, &self.receipt);
        let mut notices = Vec::new();
        let mut tell = |message: String, detail: Option<String>| notices.push(Notice { message, detail, hint: None });
        if self.permit.filter().is_some() {
            tell(format!("rows of \"{name}\" are filtered for you"), Some(receipt.line("filter", receipt.filter.as_ref())));
        }
        if !self.permit.masks().is_empty() {
            let columns: Vec<String> = self.permit.masked().into_keys().collect();
            let detail = format!("Masked columns: {}. {}", columns.join(", "), receipt.line("masks", receipt.masks.as_ref()));
            tell(format!("columns of \"{name}\" are masked for you"), Some(detail));
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
