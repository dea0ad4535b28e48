//! How many rows the scans of filtered products gave, remembered for those who were given them: by that the planner orders their joins.
//!
//! A reader may count the rows that a policy shows, and did so, in effect, with a query that read all of them. So what a later plan of the same
//! reader is told is no news to that reader: it depends on the rows that were shown then, and on nothing else. Others are told nothing of it.
//! Only queries that cannot stop early are remembered, and only when they have succeeded: how far one came that stopped depends on hidden rows.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::GovernedExec;
use crate::id::{PortId, PrincipalName};

/// Scans that are remembered. When there are more, all are forgotten.
const MOST: usize = 20_000;
/// Of a scan that was never made, of rows that were seen: one in so many fits the reader's own filters, as the engine guesses too.
const FITS: u64 = 5;

type Key = [u8; 32];

/// What all readers have seen. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Seen(Arc<Mutex<HashMap<Key, u64>>>);

/// What one of them has.
#[derive(Debug, Clone)]
pub struct SeenBy {
    seen: Seen,
    reader: PrincipalName,
}

/// A scan that is about to be made.
#[derive(Debug)]
pub(crate) struct Sight {
    seen: Seen,
    key: Key,
    /// Rows and one; 0 before it came to its end.
    rows: AtomicU64,
}

impl Seen {
    /// What this reader has seen.
    pub(crate) fn by(&self, reader: &PrincipalName) -> SeenBy {
        SeenBy { seen: self.clone(), reader: reader.clone() }
    }
}

impl SeenBy {
    /// The scan of a product's rows that `policy` shows and that the reader's own filters ask for.
    pub(super) fn sight(&self, port: &PortId, policy: &Expr, asked: &[Expr]) -> Sight {
        Sight { seen: self.seen.clone(), key: self.key(port, policy, asked), rows: AtomicU64::new(0) }
    }

    /// How many rows are to be expected of it.
    pub(super) fn rows(&self, port: &PortId, policy: &Expr, asked: &[Expr]) -> Option<u64> {
        let seen = self.seen.0.lock();
        let all = || seen.get(&self.key(port, policy, &[])).map(|rows| rows / FITS);
        seen.get(&self.key(port, policy, asked)).copied().or_else(all)
    }

    /// How many scans all readers together have.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.seen.0.lock().len()
    }

    fn key(&self, port: &PortId, policy: &Expr, asked: &[Expr]) -> Key {
        let mut hash = Sha256::new();
        let mut part = |text: String| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        };
        part(self.reader.to_string());
        part(port.to_string());
        part(policy.to_string());
        asked.iter().for_each(|filter| part(filter.to_string()));
        hash.finalize().into()
    }
}

impl Sight {
    /// All of its rows were given.
    pub(super) fn ended(&self, rows: u64) {
        self.rows.store(rows.saturating_add(1), Ordering::Relaxed);
    }

    /// The query has succeeded.
    pub(crate) fn remember(&self) {
        let Some(rows) = self.rows.load(Ordering::Relaxed).checked_sub(1) else { return };
        let mut seen = self.seen.0.lock();
        if seen.len() >= MOST {
            seen.clear();
        }
        seen.insert(self.key, rows);
    }
}

/// The scans of a plan that will have seen all of their rows when it has succeeded.
pub(crate) fn sights(plan: &Arc<dyn ExecutionPlan>) -> Vec<Arc<Sight>> {
    let mut found = Vec::new();
    if reads_all(plan, &mut found) { found } else { Vec::new() }
}

/// Whether nothing in it stops before its input ends. A sort has read all of that before it gives its first row.
fn reads_all(plan: &Arc<dyn ExecutionPlan>, found: &mut Vec<Arc<Sight>>) -> bool {
    if let Some(leaf) = plan.downcast_ref::<GovernedExec>() {
        found.extend(leaf.sight().cloned());
    }
    let stops = plan.fetch().is_some() && !plan.is::<SortExec>() && !plan.is::<SortPreservingMergeExec>();
    !stops && plan.children().into_iter().all(|child| reads_all(child, found))
}
