//! Rules 1 and 2: whether a principal may read a product at all.

use crate::catalog::{Access, Domain, ProductVersion, Status};
use crate::error::{ErrorKind, Fault};
use crate::identity::Principal;

use super::rego::Answer;
use super::{Reason, Request};

/// Why they may not.
#[derive(Debug, Clone)]
pub struct Denial {
    /// Why, for the audit; not all of it is for the reader.
    pub reasons: Vec<Reason>,
    /// Whether the reader may know that the product exists.
    pub visible: bool,
    /// What the reader can do about it: ask a steward, declare a purpose.
    pub hint: Option<String>,
    /// Whether a grant would help.
    pub(super) unentitled: bool,
}

impl Denial {
    /// `42501` with the hint, or the very `42P01` that a missing table gives.
    pub fn to_fault(&self, schema: &str, table: &str) -> Fault {
        if !self.visible {
            return undefined_table(&format!("{schema}.{table}"));
        }
        let fault = Fault::new(ErrorKind::Denied, format!("permission denied for table {table}"));
        match &self.hint {
            Some(hint) => fault.with_hint(hint),
            None => fault,
        }
    }

    /// Adds who grants access to the hint of somebody who is not entitled.
    #[must_use]
    fn with_stewards(mut self, domain: &Domain) -> Self {
        if let (Some(hint), true, false) = (&mut self.hint, self.unentitled, domain.stewards.is_empty()) {
            let stewards: Vec<&str> = domain.stewards.iter().map(|group| group.as_str()).collect();
            hint.push_str(&format!(" Stewards of the domain {} are the members of {}.", domain.name, stewards.join(", ")));
        }
        self
    }
}

/// What everybody gets who names a table that does not exist, or one that they must not know of. Give the name as it was resolved:
/// `schema.table`, or the bare table where no schema could be told.
pub fn undefined_table(name: &str) -> Fault {
    Fault::new(ErrorKind::UndefinedTable, format!("relation \"{name}\" does not exist"))
}

/// Whether the principal may read it at all, before its schema is known: rules 1 and 2 of the decision. `decide` includes it.
pub fn entitle(request: &Request<'_>) -> Result<Vec<Reason>, Denial> {
    entitled(request, &request.rego.ask(request, None))
}

/// The same with what the policies in Rego answered, or why they could not.
pub(super) fn entitled(request: &Request<'_>, answer: &Result<Answer, Reason>) -> Result<Vec<Reason>, Denial> {
    let (principal, product) = (request.principal, &request.target.product);
    let allow = answer.as_ref().ok().and_then(|answer| answer.allow.as_ref());
    let Some(entitled) = ground(request, allow) else {
        let mut denial = for_another_purpose(request).unwrap_or_else(|| stranger(principal, product).with_stewards(request.domain));
        denial.reasons.extend(answer.as_ref().err().cloned());
        return Err(denial);
    };
    let mut reasons = vec![entitled];
    reasons.extend(declared(product, request.circumstances.purpose())?);
    reasons.extend(resident(principal, product, request.region)?);
    match answer {
        Ok(answer) if answer.deny.is_empty() => Ok(reasons),
        Ok(answer) => Err(refused(product, answer.deny.clone())),
        Err(why) => Err(undecided(why.clone())),
    }
}

/// Rule 2: a policy in Rego says no. Why is between it and the audit.
fn refused(product: &ProductVersion, reasons: Vec<Reason>) -> Denial {
    let hint = format!("A policy denies you {}. The audit log of the gateway says which one and why.", product.id);
    Denial { reasons, visible: true, hint: Some(hint), unentitled: false }
}

/// Rule 5: what cannot be decided is denied. The reader is entitled, so they may know of the product; why is for the audit.
pub(super) fn undecided(why: Reason) -> Denial {
    Denial {
        reasons: vec![why],
        visible: true,
        hint: Some("A policy of this product cannot be applied to you. The audit log of the gateway says which one and why.".into()),
        unentitled: false,
    }
}

/// Whether the principal may know that the product exists. Where not, its name must mean nothing to them from the very start, so that what
/// happens next (which name an error tells of, what is queued, counted and recorded) is what happens for any other missing name.
pub fn may_know_of(request: &Request<'_>) -> bool {
    let product = &request.target.product;
    is_listed(product)
        || ground(request, None).is_some()
        || for_another_purpose(request).is_some()
        || product.status != Status::Draft && request.rego.ask(request, None).is_ok_and(|answer| answer.allow.is_some())
}

/// Whether strangers are told of the product, and whom to ask for it.
fn is_listed(product: &ProductVersion) -> bool {
    product.status != Status::Draft && product.access != Access::Private
}

/// Rule 1: what entitles the principal, if anything does.
fn ground(request: &Request<'_>, allow: Option<&Reason>) -> Option<Reason> {
    let (principal, product) = (request.principal, &request.target.product);
    let because = |text: String| Some(Reason { text, origin: Some(product.source.clone()) });
    if principal.domain == product.id.domain {
        return because(format!("{} belongs to the principal's own domain", product.id));
    }
    if product.status == Status::Draft {
        return None;
    }
    if product.access == Access::Public {
        return because(format!("{} is public", product.id));
    }
    let group = product.id.reader_group();
    if principal.groups.contains(&group) {
        return because(format!("the principal is a member of {group}"));
    }
    granted(request).or_else(|| allow.cloned())
}

/// A live grant, which holds for the purpose that it was given for, if it was given for one.
fn granted(request: &Request<'_>) -> Option<Reason> {
    let declared = request.circumstances.purpose();
    let grant = request.grants.iter().find(|grant| grant.purpose.is_none() || grant.purpose.as_deref() == declared)?;
    let purpose = grant.purpose.as_ref().map(|purpose| format!(" for the purpose {purpose}")).unwrap_or_default();
    let until = grant.expires_at.format("%Y-%m-%d %H:%M:%S UTC");
    Some(Reason { text: format!("the grant {}, approved by {}, holds{purpose} until {until}", grant.id, grant.granted_by), origin: None })
}

/// The denial of somebody whose grants are all for purposes that their session did not declare. They may know of the product.
fn for_another_purpose(request: &Request<'_>) -> Option<Denial> {
    let product = &request.target.product;
    let grant = request.grants.first().filter(|_| product.status != Status::Draft)?;
    let purpose = grant.purpose.as_deref()?;
    let hint = format!(
        "Your grant for {} is for the purpose {purpose}. Declare it with SET meshgate.purpose = '{}'.",
        product.id,
        purpose.replace('\'', "''")
    );
    let text = format!("the grant {} is for the purpose {purpose}, which was not declared", grant.id);
    Some(Denial { reasons: vec![Reason { text, origin: None }], visible: true, hint: Some(hint), unentitled: false })
}

fn stranger(principal: &Principal, product: &ProductVersion) -> Denial {
    let draft = product.status == Status::Draft;
    let text = match draft {
        true => format!("{} is a draft, and the principal's domain is {}", product.id, principal.domain),
        false => format!("nothing entitles the principal to {}", product.id),
    };
    let visible = is_listed(product);
    let hint = visible.then(|| {
        let owner = [product.owner.team.as_str(), product.owner.contact.as_str()];
        let owner = match owner {
            ["", ""] => format!("the owner of the domain {}", product.id.domain),
            [one, ""] | ["", one] => one.to_owned(),
            [team, contact] => format!("{team} ({contact})"),
        };
        format!("Ask {owner} for access to {}: its readers are the members of {}.", product.id, product.id.reader_group())
    });
    Denial { reasons: vec![Reason { text, origin: Some(product.source.clone()) }], visible, hint, unentitled: true }
}

/// Rule 2: the session has declared one of the product's purposes.
fn declared(product: &ProductVersion, purpose: Option<&str>) -> Result<Option<Reason>, Denial> {
    if product.purposes.is_empty() {
        return Ok(None);
    }
    let origin = Some(product.source.clone());
    match purpose.filter(|declared| product.purposes.iter().any(|purpose| purpose == declared)) {
        Some(purpose) => Ok(Some(Reason { text: format!("the purpose {purpose} was declared"), origin })),
        None => Err(Denial {
            reasons: vec![Reason { text: format!("none of the purposes {} was declared", product.purposes.join(", ")), origin }],
            visible: true,
            hint: product.purposes.first().map(|first| {
                let all = product.purposes.join(", ");
                let first = first.replace('\'', "''");
                format!("Reading {} needs a declared purpose ({all}). Declare it with SET meshgate.purpose = '{first}'.", product.id)
            }),
            unentitled: false,
        }),
    }
}

/// Rule 2: the gateway and the principal are in a region in which the product may be read. A region that is not known is in none.
fn resident(principal: &Principal, product: &ProductVersion, region: Option<&str>) -> Result<Option<Reason>, Denial> {
    if product.residency.is_empty() {
        return Ok(None);
    }
    let regions = product.residency.join(", ");
    let holds = |region: Option<&str>| region.is_some_and(|region| product.residency.iter().any(|r| r == region));
    let who = match (holds(region), holds(principal.attributes.get("region").map(String::as_str))) {
        (true, true) => {
            let text = format!("the gateway and the principal are in a region of {regions}");
            return Ok(Some(Reason { text, origin: Some(product.source.clone()) }));
        }
        (false, _) => "the gateway's region",
        (true, false) => "the principal's region",
    };
    Err(Denial {
        reasons: vec![Reason { text: format!("{who} is not one of {regions}"), origin: Some(product.source.clone()) }],
        visible: true,
        hint: Some(format!("{} may be read only in: {regions}; {who} is another one, or is not set.", product.id)),
        unentitled: false,
    })
}
