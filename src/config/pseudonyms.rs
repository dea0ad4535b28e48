//! The keys of the mask `pseudonym`, and how one is changed.

use std::collections::BTreeSet;
use std::fmt;

use crate::id::DomainName;

/// The mesh's keys of pseudonyms. A change of key changes every pseudonym, and breaks every join with one that was kept; so the one before
/// is good until the consumer domain that keeps them has moved.
#[derive(Clone, PartialEq, Eq)]
pub struct PseudonymKeys {
    current: [u8; 32],
    previous: Option<[u8; 32]>,
    rotated: BTreeSet<DomainName>,
}

impl PseudonymKeys {
    /// Keys of which `previous`, where there is one, is still good for all but the `rotated` domains.
    pub fn new(current: [u8; 32], previous: Option<[u8; 32]>, rotated: BTreeSet<DomainName>) -> Self {
        Self { current, previous, rotated }
    }

    /// The mesh's key from which a consumer domain's is derived.
    pub fn of(&self, consumer: &DomainName) -> &[u8; 32] {
        match &self.previous {
            Some(previous) if !self.rotated.contains(consumer) => previous,
            _ => &self.current,
        }
    }
}

impl fmt::Debug for PseudonymKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PseudonymKeys")
    }
}
