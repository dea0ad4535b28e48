//! The grants that hold now, by principal.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Grant, GrantId};
use crate::id::{DomainName, PrincipalName, ProductId};
use crate::identity::Principal;

/// The live grants of one principal.
#[derive(Debug, Default)]
pub struct Held {
    changed: u64,
    by_product: HashMap<ProductId, Vec<Arc<Grant>>>,
}

impl Held {
    /// Those for a product.
    pub fn of(&self, product: &ProductId) -> &[Arc<Grant>] {
        self.by_product.get(product).map_or(&[], Vec::as_slice)
    }

    /// Grows with every change of this principal's grants; 0 where they never had one. What was made from them is good as long as it stays.
    pub fn revision(&self) -> u64 {
        self.changed
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Grant>> {
        self.by_product.values().flatten()
    }

    fn new(changed: u64, grants: impl Iterator<Item = Arc<Grant>>) -> Self {
        let mut by_product: HashMap<ProductId, Vec<Arc<Grant>>> = HashMap::new();
        for grant in grants {
            by_product.entry(grant.product.clone()).or_default().push(grant);
        }
        // The one that lasts longest is the one that a decision names.
        by_product.values_mut().for_each(|grants| grants.sort_by_key(|grant| (std::cmp::Reverse(grant.expires_at), grant.id)));
        Self { changed, by_product }
    }
}

type Holder = (PrincipalName, DomainName);

fn holder(grant: &Grant) -> Holder {
    (grant.principal.clone(), grant.domain.clone())
}

/// All of them, at one moment. A change makes another one, which shares what did not change.
#[derive(Debug)]
pub(super) struct Live {
    epoch: u64,
    holders: HashMap<Holder, Arc<Held>>,
    next_expiry: Option<DateTime<Utc>>,
}

impl Live {
    pub(super) fn new(grants: Vec<Grant>) -> Self {
        let mut by_holder: HashMap<Holder, Vec<Arc<Grant>>> = HashMap::new();
        for grant in grants {
            by_holder.entry(holder(&grant)).or_default().push(Arc::new(grant));
        }
        let held = |(holder, grants): (Holder, Vec<Arc<Grant>>)| (holder, Arc::new(Held::new(1, grants.into_iter())));
        Self::made(1, by_holder.into_iter().map(held).collect())
    }

    fn made(epoch: u64, holders: HashMap<Holder, Arc<Held>>) -> Self {
        let next_expiry = holders.values().flat_map(|held| held.all()).map(|grant| grant.expires_at).min();
        Self { epoch, holders, next_expiry }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn held_by(&self, principal: &Principal) -> Arc<Held> {
        self.holders.get(&(principal.name.clone(), principal.domain.clone())).cloned().unwrap_or_default()
    }

    /// Whether one of them has run out by now.
    pub(super) fn has_expired(&self, now: DateTime<Utc>) -> bool {
        self.next_expiry.is_some_and(|next| next <= now)
    }

    /// Those that still hold.
    pub(super) fn at(&self, now: DateTime<Utc>) -> Self {
        self.keeping(|grant| grant.expires_at > now)
    }

    pub(super) fn without(&self, id: GrantId) -> Self {
        self.keeping(|grant| grant.id != id)
    }

    pub(super) fn with(&self, grant: Grant) -> Self {
        let (epoch, mut holders) = (self.epoch + 1, self.holders.clone());
        let held = holders.entry(holder(&grant)).or_default();
        *held = Arc::new(Held::new(epoch, held.all().cloned().chain([Arc::new(grant)])));
        Self::made(epoch, holders)
    }

    /// Who loses a grant keeps an entry, so that their revision never goes back.
    fn keeping(&self, keep: impl Fn(&Grant) -> bool) -> Self {
        let epoch = self.epoch + 1;
        let kept = |(holder, held): (&Holder, &Arc<Held>)| {
            let held = match held.all().all(|grant| keep(grant)) {
                true => Arc::clone(held),
                false => Arc::new(Held::new(epoch, held.all().filter(|grant| keep(grant)).cloned())),
            };
            (holder.clone(), held)
        };
        Self::made(epoch, self.holders.iter().map(kept).collect())
    }
}
