//! Numbers for names. Clients keep oids across statements and connections, so the same name has the same number for everybody, always.
//!
//! A name's number is its digest, brought into PostgreSQL's range of user oids. Two names that meet are told apart by their order in the
//! whole catalog, never by what one viewer sees of it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Weak};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::catalog::Snapshot;

/// The first oid that PostgreSQL gives to users' objects.
pub(super) const FIRST_FREE: u32 = 16384;
/// Oids stay below this: some clients read them as signed.
const LIMIT: u32 = 1 << 31;

/// The numbers of one snapshot's names, where they are not simply the digest.
#[derive(Debug, Default)]
pub(super) struct Oids {
    moved: HashMap<String, u32>,
}

/// A snapshot, as long as somebody uses it, with its numbers.
type Numbered = (Weak<Snapshot>, Arc<Oids>);

/// The last snapshot's numbers: making them walks the whole catalog.
static LAST: LazyLock<Mutex<Option<Numbered>>> = LazyLock::new(|| Mutex::new(None));

impl Oids {
    /// The numbers of a snapshot's names.
    pub(super) fn of(snapshot: &Arc<Snapshot>) -> Arc<Self> {
        let mut last = LAST.lock();
        if let Some((known, oids)) = last.as_ref()
            && Weak::ptr_eq(known, &Arc::downgrade(snapshot))
        {
            return Arc::clone(oids);
        }
        let oids = Arc::new(Self::settle(names(snapshot), digest));
        *last = Some((Arc::downgrade(snapshot), Arc::clone(&oids)));
        oids
    }

    /// Gives each name its digest, and to one whose digest is taken the next free number, in the order of names.
    fn settle(mut names: Vec<String>, digest: fn(&str) -> u32) -> Self {
        names.sort_unstable();
        names.dedup();
        let mut taken: HashMap<u32, &str> = HashMap::with_capacity(names.len());
        let mut moved = HashMap::new();
        for name in &names {
            let mut oid = digest(name);
            while taken.contains_key(&oid) {
                oid = if oid + 1 < LIMIT { oid + 1 } else { FIRST_FREE };
            }
            taken.insert(oid, name);
            if oid != digest(name) {
                moved.insert(name.clone(), oid);
            }
        }
        Self { moved }
    }

    /// The number of a name of that kind.
    pub(super) fn get(&self, kind: &str, name: &str) -> u32 {
        let name = format!("{kind} {name}");
        self.moved.get(&name).copied().unwrap_or_else(|| digest(&name))
    }
}

fn digest(name: &str) -> u32 {
    let hash = Sha256::digest(name.as_bytes());
    let head = hash.iter().take(8).fold(0u64, |head, byte| (head << 8) | u64::from(*byte));
    FIRST_FREE + u32::try_from(head % u64::from(LIMIT - FIRST_FREE)).unwrap_or(0)
}

/// Every name that any viewer may see a number for.
fn names(snapshot: &Snapshot) -> Vec<String> {
    let mut names = Vec::new();
    for domain in snapshot.domains.keys() {
        names.push(format!("schema {domain}"));
        names.push(format!("domain {domain}"));
    }
    for (id, product) in &snapshot.products {
        names.push(format!("table {id}"));
        for (major, version) in &product.versions {
            names.push(format!("table {id}_v{major}"));
            for port in &version.ports {
                names.push(format!("table {id}__{}", port.name));
                names.push(format!("table {id}_v{major}__{}", port.name));
            }
        }
    }
    for schema in super::world::OWN_SCHEMAS {
        names.push(format!("schema {schema}"));
        names.extend(super::names(schema).iter().map(|table| format!("table {schema}.{table}")));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_in_range_and_depends_on_the_name_alone() {
        let (one, other) = (Oids::default(), Oids::settle(vec!["table a.b".to_owned(), "table c.d".to_owned()], digest));
        assert_eq!(one.get("table", "a.b"), other.get("table", "a.b"));
        assert_ne!(one.get("table", "a.b"), one.get("schema", "a.b"));
        assert!((FIRST_FREE..LIMIT).contains(&one.get("table", "a.b")));
        assert_eq!(one.get("table", "claims.claims_enriched"), 1_157_503_911);
    }

    #[test]
    fn names_that_meet_are_told_apart_by_their_order_alone() {
        fn same(_: &str) -> u32 {
            LIMIT - 1
        }
        let forward = Oids::settle(["x", "y", "z"].map(str::to_owned).to_vec(), same);
        let backward = Oids::settle(["z", "y", "x"].map(str::to_owned).to_vec(), same);
        assert_eq!(forward.moved, backward.moved);
        assert_eq!(forward.moved, HashMap::from([("y".to_owned(), FIRST_FREE), ("z".to_owned(), FIRST_FREE + 1)]));
    }
}
