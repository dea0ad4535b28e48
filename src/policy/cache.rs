//! Permits that hold until something changes: the next query of the same reader finds its decision made.
//!
//! A permit is kept under everything that it was decided from. What the rules are is their revision; who asks is compared part by part, so
//! that a group or an attribute that was taken away is another question. Denials are not kept: they are rare, and one may be a time-out.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;

use crate::access::GrantId;
use crate::catalog::ProductVersion;
use crate::id::PolicyRevision;
use crate::identity::Principal;

use super::{Circumstances, Decision, Denial, Permit, Request, decide, entitle};

/// The most masks, filters and reasons that are kept together. Some 200 bytes each.
const MOST: usize = 100_000;

/// The permits of all readers, bounded.
#[derive(Debug, Default)]
pub struct Decisions {
    kept: Mutex<Kept>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Kept {
    revision: Option<PolicyRevision>,
    /// By a hash of the key. Two keys with one hash take each other's place.
    entries: HashMap<u64, Entry>,
    parts: usize,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    /// None where only the right to open the port was asked for.
    permit: Option<Permit>,
}

/// What an answer depends on, apart from the rules.
#[derive(Debug)]
struct Key {
    principal: Principal,
    /// Held, so that its address is nobody else's.
    product: Arc<ProductVersion>,
    port: usize,
    region: Option<String>,
    circumstances: Circumstances,
    /// Those that are live. What one says does not change.
    grants: Vec<GrantId>,
    schema: Option<SchemaRef>,
}

impl Key {
    fn new(request: &Request<'_>, schema: Option<&SchemaRef>) -> Self {
        Self {
            principal: request.principal.clone(),
            product: Arc::clone(&request.target.product),
            port: request.target.port,
            region: request.region.map(str::to_owned),
            circumstances: request.circumstances.clone(),
            grants: request.grants.iter().map(|grant| grant.id).collect(),
            schema: schema.map(Arc::clone),
        }
    }

    /// Whether it is the same question. Takes the request apart, so that whatever it is given one day has to be compared here.
    fn is(&self, request: &Request<'_>, schema: Option<&SchemaRef>) -> bool {
        let Request { principal, target, mesh: _, domain: _, rego: _, revision: _, region, circumstances, grants } = request;
        Arc::ptr_eq(&self.product, &target.product)
            && self.port == target.port
            && self.principal == **principal
            && self.circumstances == **circumstances
            && self.grants.iter().eq(grants.iter().map(|grant| &grant.id))
            && self.region.as_deref() == *region
            && match (&self.schema, schema) {
                (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one == other,
                (one, other) => one.is_none() && other.is_none(),
            }
    }
}

impl Decisions {
    /// [`super::entitle`], remembered.
    pub fn entitle(&self, request: &Request<'_>) -> Result<(), Denial> {
        let hash = self.hash(request, false);
        if self.known(hash, request, None).is_some() {
            return Ok(());
        }
        entitle(request)?;
        self.keep(hash, request, None, None);
        Ok(())
    }

    /// [`super::decide`], remembered.
    pub fn decide(&self, request: &Request<'_>, schema: &SchemaRef) -> Decision {
        let hash = self.hash(request, true);
        if let Some(Some(permit)) = self.known(hash, request, Some(schema)) {
            return Decision::Permit(permit);
        }
        let decision = decide(request, schema);
        if let Decision::Permit(permit) = &decision {
            self.keep(hash, request, Some(schema), Some(permit.clone()));
        }
        decision
    }

    fn known(&self, hash: u64, request: &Request<'_>, schema: Option<&SchemaRef>) -> Option<Option<Permit>> {
        let kept = self.kept.lock();
        let entry = kept.entries.get(&hash)?;
        (kept.revision.as_ref() == Some(request.revision) && entry.key.is(request, schema)).then(|| entry.permit.clone())
    }

    fn keep(&self, hash: u64, request: &Request<'_>, schema: Option<&SchemaRef>, permit: Option<Permit>) {
        let entry = Entry { key: Key::new(request, schema), permit };
        let mut kept = self.kept.lock();
        if kept.revision.as_ref() != Some(request.revision) || kept.parts.saturating_add(entry.parts()) > MOST {
            *kept = Kept { revision: Some(request.revision.clone()), ..Kept::default() };
        }
        kept.parts += entry.parts();
        if let Some(replaced) = kept.entries.insert(hash, entry) {
            kept.parts = kept.parts.saturating_sub(replaced.parts());
        }
    }

    /// Of as little of the key as tells questions apart in practice.
    fn hash(&self, request: &Request<'_>, opened: bool) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        request.principal.name.hash(&mut hasher);
        Arc::as_ptr(&request.target.product).addr().hash(&mut hasher);
        (request.target.port, opened).hash(&mut hasher);
        request.circumstances.hash(&mut hasher);
        hasher.finish()
    }
}

impl Entry {
    /// How much it holds.
    fn parts(&self) -> usize {
        let permit = self.permit.as_ref().map_or(0, |permit| permit.reasons().len() + permit.masks().len() + permit.filter_texts().len());
        8 + self.key.principal.groups.len() + self.key.principal.attributes.len() + permit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::PortRef;
    use crate::policy::fixtures::at;
    use crate::policy::fixtures::{declaring, domain, filter_rule, mesh, principal, product, request, schema_of};

    fn permitted(decision: Decision) -> Option<Permit> {
        match decision {
            Decision::Permit(permit) => Some(permit),
            Decision::Denied(_) => None,
        }
    }

    #[test]
    fn a_decision_is_made_once_for_one_question_and_again_for_another() {
        let (mesh, domain, decisions) = (mesh(), domain(), Decisions::default());
        let mut product = product();
        product.row_filters = vec![at(filter_rule("region = $r", &[("r", "principal.attributes.region")], &[]), 3)];
        let schema = schema_of(&product);
        let target = PortRef { product: Arc::new(product), port: 0 };
        let ana = principal("pricing", &["dp-claims-claims_enriched-reader"], Some("eu"));
        let ask = |who: &Principal| decisions.decide(&request(who, &target, &mesh, &domain), &schema);
        let first = permitted(ask(&ana)).unwrap();
        assert!(Arc::ptr_eq(&first.0, &permitted(ask(&ana.clone())).unwrap().0), "the same question");
        // Each of these was another question, and the first is still answered afterwards.
        let mut elsewhere = ana.clone();
        elsewhere.attributes.insert("region".into(), "us".into());
        assert!(!permitted(ask(&elsewhere)).unwrap().same_view(&first), "an attribute");
        let mut stranger = ana.clone();
        stranger.groups.clear();
        assert!(permitted(ask(&stranger)).is_none(), "a group");
        assert!(decisions.entitle(&request(&stranger, &target, &mesh, &domain)).is_err());
        let said = declaring(Some("fraud"));
        let other = Request { circumstances: &said, ..request(&ana, &target, &mesh, &domain) };
        assert!(!Arc::ptr_eq(&permitted(decisions.decide(&other, &schema)).unwrap().0, &first.0), "a purpose");
        let abroad = Request { region: None, ..request(&ana, &target, &mesh, &domain) };
        assert!(!Arc::ptr_eq(&permitted(decisions.decide(&abroad, &schema)).unwrap().0, &first.0), "a region");
        let revision = PolicyRevision::new("two");
        let later = Request { revision: &revision, ..request(&ana, &target, &mesh, &domain) };
        assert!(!Arc::ptr_eq(&permitted(decisions.decide(&later, &schema)).unwrap().0, &first.0), "a revision");
        assert_eq!(decisions.kept.lock().entries.len(), 1, "what holds no longer is not kept");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (mesh, domain, decisions) = (mesh(), domain(), Decisions::default());
        let product = product();
        let schema = schema_of(&product);
        let target = PortRef { product: Arc::new(product), port: 0 };
        let ana = principal("claims", &[], None);
        for number in 0..10_000 {
            let said = declaring(Some(&number.to_string()));
            let _ = decisions.decide(&Request { circumstances: &said, ..request(&ana, &target, &mesh, &domain) }, &schema);
        }
        let kept = decisions.kept.lock();
        let parts: usize = kept.entries.values().map(Entry::parts).sum();
        assert!(parts == kept.parts && parts <= MOST && parts > 0, "{parts}");
    }
}
