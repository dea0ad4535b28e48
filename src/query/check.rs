//! What a query would be allowed, without one: for whoever asks for access, grants it, or wants to know why not.

use std::sync::Arc;

use crate::access;
use crate::catalog::{Access, PortRef, ProductVersion};
use crate::error::{ErrorKind, Fault, Result};
use crate::id::{PrincipalName, ProductId};
use crate::metering::Protocol;
use crate::policy::{self, Circumstances, Decision, Permit};

use super::resolve::Asker;
use super::{Gateway, Session};

/// Its members see the audit of all domains, and so may know all reasons.
const AUDITORS: &str = crate::system::audit::READERS;

/// What to check.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// Who would read; whoever asks, where nobody is named.
    pub principal: Option<PrincipalName>,
    /// The SQL schema.
    pub schema: String,
    /// The SQL name.
    pub table: String,
    /// The purpose that their session would declare.
    pub purpose: Option<String>,
}

/// What the decision would be. It holds no right: a query is decided on anew.
#[derive(Debug)]
pub struct Finding {
    /// Who would read.
    pub principal: PrincipalName,
    /// What.
    pub target: PortRef,
    /// Under which policies.
    pub policy_revision: String,
    /// How they would see it, or what they would be told.
    pub answer: Result<Permit, Fault>,
    /// Why, as far as whoever asks may know.
    pub reasons: Vec<String>,
}

impl Gateway {
    /// The newest version of a product that the session's principal may know of; what they must not know of is missing.
    pub fn known_product(&self, session: &Session, id: &ProductId) -> Result<Arc<ProductVersion>> {
        let asker = self.asker(session)?;
        let mut versions = asker.snapshot.products.get(id).into_iter().flat_map(|product| product.versions.values().rev());
        let known = |version: &&Arc<ProductVersion>| may_know_of(&asker, &PortRef { product: Arc::clone(version), port: 0 });
        versions.find(|version| known(version)).cloned().ok_or_else(|| policy::undefined_table(&id.to_string()))
    }

    /// What would be decided about a query. Everybody may ask about themselves; stewards of the product's domain and administrators of the
    /// platform about anybody.
    pub async fn check(&self, session: &Session, question: &Question) -> Result<Finding> {
        let asking = self.asker(session)?;
        let Question { schema, table, .. } = question;
        let missing = || policy::undefined_table(&format!("{schema}.{table}"));
        let target = asking.snapshot.resolve(schema, table).ok_or_else(missing)?;
        let domain = &target.product.id.domain;
        let trusted = access::is_administrator(&asking.principal) || access::is_steward_of(&asking.principal, &asking.snapshot, domain);
        if !trusted && !may_know_of(&asking, &target) {
            return Err(missing());
        }
        let who = question.principal.as_ref().unwrap_or(&asking.principal.name);
        if !trusted && *who != asking.principal.name {
            return Err(Fault::new(ErrorKind::Denied, "only stewards of the product and administrators check for somebody else")
                .with_hint("Leave \"principal\" away to check for yourself."));
        }
        let who = if *who == asking.principal.name {
            Arc::clone(&asking.principal)
        } else {
            let missing = || Fault::new(ErrorKind::NotFound, format!("there is no principal \"{}\"", who.as_str().escape_debug()));
            self.parts.identity.lookup(who).ok_or_else(missing)?
        };
        // Queries come by the doors of queries: this one is asked as psql would.
        let circumstances =
            Circumstances { purpose: question.purpose.clone(), protocol: Protocol::Postgres.label(), application_name: None };
        // In one catalog snapshot, that in which the name was found.
        let reader = Asker { snapshot: Arc::clone(&asking.snapshot), ..self.asker_for(&who, circumstances, Vec::new())? };
        let decision = self.would_decide(&reader, &target).await?;
        let permitted = matches!(decision, Decision::Permit(_));
        let in_audit = permitted || target.product.access != Access::Private;
        let auditor = asking.principal.groups.iter().any(|group| group.as_str() == AUDITORS);
        let reasons = match &decision {
            Decision::Permit(permit) => permit.reasons(),
            Decision::Denied(denial) => &denial.reasons,
        };
        // Others get what the audit of their own domain would tell them, and no more.
        let reasons = if trusted || auditor || in_audit { reasons.iter().map(ToString::to_string).collect() } else { Vec::new() };
        let answer = match decision {
            Decision::Permit(permit) => Ok(permit),
            Decision::Denied(denial) => Err(denial.to_fault(schema, table)),
        };
        let policy_revision = reader.snapshot.revision_of(&target.product).as_str().to_owned();
        Ok(Finding { principal: who.name.clone(), target, policy_revision, answer, reasons })
    }

    /// As a query is decided on: the port is looked into only for those who are entitled to it.
    async fn would_decide(&self, reader: &Asker, target: &PortRef) -> Result<Decision> {
        let request = reader.request(target)?;
        if let Err(denial) = policy::entitle(&request) {
            return Ok(Decision::Denied(denial));
        }
        let columns = self.ports().describe(&reader.snapshot, target).await?;
        Ok(policy::decide(&request, &columns))
    }
}

fn may_know_of(asker: &Asker, target: &PortRef) -> bool {
    asker.request(target).is_ok_and(|request| policy::may_know_of(&request))
}
