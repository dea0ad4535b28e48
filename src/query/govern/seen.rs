//! How many rows the scans of filtered products gave, remembered for those who were given them: by that the planner orders their joins.
//!
//! A reader may count the rows that a policy shows, and did so, in effect, with a query that read all of them. So what a later plan of the same
//! reader is told is no news to that reader: it depends on the rows that were shown then, and on nothing else. Others are told nothing of it.
//! Only queries that cannot stop early are remembered, and only when they have succeeded: how far one came that stopped depends on hidden rows.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::logical_expr::Expr;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::GovernedExec;
use crate::id::PortId;
use crate::identity::Principal;

/// Scans of one reader that are remembered, and readers whose scans are. When there are more, that reader's are forgotten, or some other's.
const MOST: usize = 1_000;
/// Of a scan that was never made, of rows that were seen: one in so many fits the reader's own filters, as the engine guesses too.
const FITS: u64 = 5;

type Hash = [u8; 32];

/// What all readers have seen: of each, the rows of each scan. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Seen(Arc<Mutex<HashMap<Hash, HashMap<Hash, u64>>>>);

/// What one of them has.
#[derive(Debug, Clone)]
pub struct SeenBy {
    seen: Seen,
    reader: Hash,
}

/// A scan that is about to be made.
#[derive(Debug)]
pub(crate) struct Sight {
    by: SeenBy,
    scan: Hash,
    /// The same without the reader's own filters.
    all: Hash,
    /// Rows and one; 0 before it came to its end.
    rows: AtomicU64,
}

impl Seen {
    /// What this reader has seen. Two tokens of one name are two readers, and neither is the user of that name.
    pub(crate) fn by(&self, reader: &Principal) -> SeenBy {
        let token = reader.token.as_ref().map(|token| token.digest().as_slice()).unwrap_or_default();
        SeenBy { seen: self.clone(), reader: hash([reader.name.as_str().as_bytes(), token]) }
    }
}

#[cfg(test)]
impl Seen {
    /// Scans of all readers.
    pub(super) fn remembered(&self) -> usize {
        self.0.lock().values().map(HashMap::len).sum()
    }
}

impl SeenBy {
    /// The scan of a product's rows that `policy` shows and that the reader's own filters ask for.
    pub(super) fn sight(&self, port: &PortId, policy: &Expr, asked: &[Expr]) -> Sight {
        let [scan, all] = [asked, &[]].map(|asked| scan(port, policy, asked));
        Sight { by: self.clone(), scan, all, rows: AtomicU64::new(0) }
    }
}

fn scan(port: &PortId, policy: &Expr, asked: &[Expr]) -> Hash {
    let texts: Vec<String> = [port.to_string(), policy.to_string()].into_iter().chain(asked.iter().map(ToString::to_string)).collect();
    hash(texts.iter().map(String::as_bytes))
}

/// The hash of some parts, each with where it ends.
fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Hash {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

impl Sight {
    /// How many rows are to be expected of it, from what the reader was shown before.
    pub(super) fn expected(&self) -> Option<u64> {
        let seen = self.by.seen.0.lock();
        let seen = seen.get(&self.by.reader)?;
        seen.get(&self.scan).copied().or_else(|| seen.get(&self.all).map(|rows| rows / FITS))
    }

    /// All of its rows were given.
    pub(super) fn ended(&self, rows: u64) {
        self.rows.store(rows.saturating_add(1), Ordering::Relaxed);
    }

    /// The query has succeeded.
    pub(crate) fn remember(&self) {
        let Some(rows) = self.rows.load(Ordering::Relaxed).checked_sub(1) else { return };
        let mut seen = self.by.seen.0.lock();
        if seen.len() >= MOST && !seen.contains_key(&self.by.reader) {
            let some = seen.keys().next().copied();
            some.and_then(|some| seen.remove(&some));
        }
        let seen = seen.entry(self.by.reader).or_default();
        if seen.len() >= MOST && !seen.contains_key(&self.scan) {
            seen.clear();
        }
        seen.insert(self.scan, rows);
    }
}

/// The scans of a plan that will have seen all of their rows when it has succeeded.
pub(crate) fn sights(plan: &Arc<dyn ExecutionPlan>) -> Vec<Arc<Sight>> {
    let mut found = Vec::new();
    if reads_all(plan, &mut found) { found } else { Vec::new() }
}

/// Whether nothing in it stops before its input ends.
fn reads_all(plan: &Arc<dyn ExecutionPlan>, found: &mut Vec<Arc<Sight>>) -> bool {
    if let Some(leaf) = plan.downcast_ref::<GovernedExec>() {
        found.extend(leaf.sight().cloned());
    }
    let merges = |plan: &Arc<dyn ExecutionPlan>| plan.is::<SortPreservingMergeExec>() && plan.children().into_iter().all(comes_sorted);
    let stops = plan.fetch().is_some() && !sorts_all(plan) && !merges(plan);
    !stops && plan.children().into_iter().all(|child| reads_all(child, found))
}

/// Whether it sorts, having read all of its input before its first row. Of rows that come in part of an order it need not read all.
fn sorts_all(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.downcast_ref::<SortExec>().is_some_and(|sort| sort.input().output_ordering().is_none())
}

/// Whether rows come straight from such a sort. What a merge of them leaves is rows that were sorted, and not rows that were not read.
fn comes_sorted(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let passes = plan.is::<ProjectionExec>() || plan.is::<CooperativeExec>();
    sorts_all(plan) || (passes && plan.children().into_iter().all(comes_sorted))
}
