//! EXPLAIN (COST): what a query would read of each product, what that would cost, and whether it would be refused. Nothing of it is run.
//!
//! Bounds of a product that its reader may see whole are exact. Where rows are hidden or values masked, how much there is to read depends on them: then
//! nothing is left out because of hidden rows, there is no lower bound, and the upper one is rounded up as the ledger's figures are for that reader. What
//! is said about refusal is decided from the figures shown and no others: else a limit, moved until the answer changes, would measure what was rounded.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{DataFusionError, Result as EngineResult};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};

use crate::catalog::{ScanLimit, Snapshot};
use crate::error::{Fault, Result};
use crate::id::ProductId;
use crate::identity::Principal;
use crate::metering::ledger::{Kind, told};
use crate::metering::{Cost, Journal, PriceList, QueryStart, Room};
use crate::ports::PortExec;
use crate::system::finops::{Remaining, remaining};

use super::govern::GovernedExec;
use super::pace::Paced;
use super::parse::deep;
use super::resolve::Asker;

/// The name of the last row. No product is called so: theirs have a domain.
const TOTAL: &str = "total";
/// How often a plan's scan is run where nobody can say.
const EVER: u64 = u64::MAX;

/// Under which terms a query would run.
#[derive(Debug)]
pub(super) struct Terms {
    principal: Arc<Principal>,
    snapshot: Arc<Snapshot>,
    journal: Journal,
    prices: PriceList,
    scan_limit: Option<u64>,
    limits: Vec<Arc<ScanLimit>>,
    products: BTreeMap<ProductId, Read>,
}

/// What would be read of a product.
#[derive(Debug, Clone, Copy, Default)]
struct Read {
    least: u64,
    /// `None` where nothing bounds it.
    most: Option<u64>,
    /// Whether it is hidden from the reader how much exactly.
    rounded: bool,
}

/// A scan in a plan.
struct Scan {
    leaf: Arc<dyn ExecutionPlan>,
    way: Way,
}

/// How a plan's operators run what is below them.
#[derive(Debug, Clone, Copy)]
struct Way {
    /// To its end, whatever the data is.
    to_the_end: bool,
    /// So often at most.
    times: u64,
}

/// Whether a query would be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Refused {
    No,
    Possible,
    Yes,
}

impl Terms {
    /// Those of a query that would begin so.
    pub(super) fn new(asker: &Asker, journal: &Journal, start: &QueryStart) -> Self {
        Self {
            principal: Arc::clone(&asker.principal),
            snapshot: Arc::clone(&asker.snapshot),
            journal: journal.clone(),
            prices: start.prices.clone(),
            scan_limit: start.max_scan_bytes,
            limits: start.limits.clone(),
            products: BTreeMap::new(),
        }
    }

    /// The products that it names, whether or not it reads anything of them.
    #[must_use]
    pub(super) fn of<'a>(mut self, products: impl Iterator<Item = &'a ProductId>) -> Self {
        self.products = products.map(|product| (product.clone(), Read { most: Some(0), ..Read::default() })).collect();
        self
    }

    /// One row a product, and their total.
    pub(super) fn schema() -> SchemaRef {
        let (text, bytes, money) = (DataType::Utf8, DataType::Int64, Kind::Cost.data_type());
        let columns = [
            ("product", text.clone(), false),
            ("bytes_scanned_min", bytes.clone(), false),
            ("bytes_scanned_max", bytes.clone(), true),
            ("cost_min", money.clone(), false),
            ("cost_max", money.clone(), true),
            ("currency", text.clone(), false),
            ("price_id", text.clone(), true),
            ("scan_limit", bytes, true),
            ("budget_remaining", money, true),
            ("refused", text.clone(), true),
            ("note", text, true),
        ];
        Arc::new(Schema::new(columns.map(|(name, kind, nullable)| Field::new(name, kind, nullable)).to_vec()))
    }

    /// The rows for a plan. Reads footers, and no row data.
    pub(super) async fn quote(mut self: Box<Self>, plan: Arc<dyn ExecutionPlan>, task: Arc<TaskContext>) -> EngineResult<RecordBatch> {
        let mut scans = Vec::new();
        deep(|| find(&plan, Way { to_the_end: true, times: 1 }, &mut scans));
        for Scan { leaf, way } in scans {
            let (product, mut read) = if let Some(governed) = leaf.downcast_ref::<GovernedExec>() {
                (governed.product(), Read { least: 0, most: Some(governed.most().await?), rounded: true })
            } else if let Some(port) = leaf.downcast_ref::<PortExec>() {
                let bound = port.bound(&task).await?;
                (port.product(), Read { least: bound.least, most: Some(bound.most), rounded: false })
            } else {
                continue;
            };
            read.least = if way.to_the_end { read.least } else { 0 };
            read.most = if way.times == EVER { None } else { read.most.map(|bytes| bytes.saturating_mul(way.times)) };
            self.products.entry(product.clone()).or_insert(Read { most: Some(0), ..Read::default() }).add(read);
        }
        let rows = tokio::task::spawn_blocking(move || self.rows()).await.map_err(Fault::internal).and_then(|rows| rows);
        rows.map_err(|fault| DataFusionError::External(Box::new(fault)))
    }

    fn rows(&self) -> Result<RecordBatch> {
        let remaining = if self.prices.is_empty() { None } else { remaining(&self.principal, &self.snapshot, &self.journal)? };
        let mut lines = Lines::default();
        let (mut total, mut least, mut most) = (Read { most: Some(0), ..Read::default() }, Cost::default(), Some(Cost::default()));
        for (product, read) in &self.products {
            let read = read.as_told();
            let quote = self.prices.quote(product, read.least, read.most);
            total.add(read);
            least = least.plus(quote.least);
            most = most.zip(quote.most).map(|(sum, cost)| sum.plus(cost));
            let note = match read {
                Read { most: None, .. } => Some("a recursive query reads it again and again: there is no upper bound"),
                Read { rounded: true, .. } => Some("rows are filtered or columns masked for you: all that its columns take, rounded up"),
                _ => None,
            };
            lines.push(product.to_string(), read, (quote.least, quote.most), quote.price_id, note.map(str::to_owned));
        }
        let (refused, why) = self.refused(total, (least, most), remaining);
        lines.push(TOTAL.to_owned(), total, (least, most), None, why);
        lines.finish(self, remaining, refused)
    }

    /// Whether a limit would end it, and which.
    fn refused(&self, read: Read, (least, most): (Cost, Option<Cost>), remaining: Option<Remaining>) -> (Refused, Option<String>) {
        let by_limit = self.scan_limit.map_or(Refused::No, |limit| read.passes(Room { least: limit, most: limit }));
        let by_budget = remaining.filter(|remaining| remaining.blocks).map_or(Refused::No, |remaining| {
            if most.is_some_and(|most| most <= remaining.least || most == Cost::default()) {
                Refused::No
            } else if least > remaining.cost {
                Refused::Yes
            } else {
                Refused::Possible
            }
        });
        let mut found = vec![
            (by_limit, format!("the scan limit of {} bytes", self.scan_limit.unwrap_or_default())),
            (by_budget, format!("the monthly budget of the domain {}", self.principal.domain)),
        ];
        found.extend(self.limits.iter().map(|limit| (self.passes(limit, read), format!("the limit {}", limit.id))));
        let worst = found.iter().map(|(refused, _)| *refused).max().unwrap_or(Refused::No);
        let reasons = found.into_iter().filter_map(|(refused, what)| match refused {
            Refused::No => None,
            Refused::Possible => Some(format!("it may pass {what} (53400)")),
            Refused::Yes => Some(format!("it would pass {what} (53400)")),
        });
        let reasons: Vec<String> = reasons.collect();
        (worst, (!reasons.is_empty()).then(|| reasons.join("; ")))
    }

    /// Whether a limit of the mesh would end it: one of its products, or all of them together.
    fn passes(&self, limit: &ScanLimit, total: Read) -> Refused {
        let who = (&self.principal.name, &self.principal.domain);
        let covered = self.products.iter().filter(|(product, _)| limit.covers(product));
        let passes = covered.map(|(product, read)| {
            let read = if limit.each.is_of_product() { read.as_told() } else { total };
            read.passes(Room::of(&self.journal, limit, who, product))
        });
        passes.max().unwrap_or(Refused::No)
    }
}

impl Read {
    fn add(&mut self, other: Self) {
        self.least = self.least.saturating_add(other.least);
        self.most = self.most.zip(other.most).map(|(one, other)| one.saturating_add(other));
        self.rounded |= other.rounded;
    }

    /// Whether it takes more than there is.
    fn passes(self, room: Room) -> Refused {
        match self {
            Self { most: Some(most), .. } if most <= room.least => Refused::No,
            Self { least, .. } if least > room.most => Refused::Yes,
            _ => Refused::Possible,
        }
    }

    /// As the reader may know it.
    fn as_told(self) -> Self {
        if self.rounded { Self { least: 0, most: self.most.map(told), rounded: true } } else { self }
    }
}

/// The scans of a plan.
fn find(plan: &Arc<dyn ExecutionPlan>, way: Way, scans: &mut Vec<Scan>) {
    if plan.is::<GovernedExec>() || plan.is::<PortExec>() {
        scans.push(Scan { leaf: Arc::clone(plan), way });
        return;
    }
    for (at, child) in plan.children().into_iter().enumerate() {
        let times = match plan {
            plan if plan.is::<RecursiveQueryExec>() => EVER,
            // An input that does not fit in memory is read again, and this time kept on disk.
            plan if plan.is::<NestedLoopJoinExec>() && at == 0 => way.times.saturating_mul(2),
            _ => way.times,
        };
        deep(|| find(child, Way { to_the_end: way.to_the_end && runs_to_the_end(plan, at), times }, scans));
    }
}

/// Whether an operator always reads an input to its end before it is itself at its end. Of an operator that is not known here, nobody says so.
fn runs_to_the_end(plan: &Arc<dyn ExecutionPlan>, input: usize) -> bool {
    if plan.fetch().is_some() {
        return false;
    }
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        return aggregate.limit_options().is_none();
    }
    // Of two inputs the first is collected; the second may not be looked at where that is empty.
    if plan.is::<HashJoinExec>() || plan.is::<NestedLoopJoinExec>() || plan.is::<CrossJoinExec>() {
        return input == 0;
    }
    plan.is::<ProjectionExec>()
        || plan.is::<FilterExec>()
        || plan.is::<CoalescePartitionsExec>()
        || plan.is::<RepartitionExec>()
        || plan.is::<SortExec>()
        || plan.is::<SortPreservingMergeExec>()
        || plan.is::<WindowAggExec>()
        || plan.is::<BoundedWindowAggExec>()
        || plan.is::<UnionExec>()
        || plan.is::<UnnestExec>()
        || plan.is::<CooperativeExec>()
        || plan.is::<Paced>()
}

/// The columns on their way.
#[derive(Default)]
struct Lines {
    products: Vec<String>,
    bytes: Vec<(i64, Option<i64>)>,
    costs: Vec<(i128, Option<i128>)>,
    prices: Vec<Option<String>>,
    notes: Vec<Option<String>>,
}

impl Lines {
    fn push(&mut self, product: String, read: Read, cost: (Cost, Option<Cost>), price: Option<String>, note: Option<String>) {
        self.products.push(product);
        self.bytes.push((whole(read.least), read.most.map(whole)));
        self.costs.push((cost.0.units(), cost.1.map(Cost::units)));
        self.prices.push(price);
        self.notes.push(note);
    }

    /// What holds for the query is on the last row.
    fn finish(self, terms: &Terms, remaining: Option<Remaining>, refused: Refused) -> Result<RecordBatch> {
        let rows = self.products.len();
        let last = |at: usize| at + 1 == rows;
        let money =
            |amounts: Vec<Option<i128>>| -> ArrayRef { Arc::new(Decimal128Array::from(amounts).with_data_type(Kind::Cost.data_type())) };
        let refused = match refused {
            Refused::No => "no",
            Refused::Possible => "possible",
            Refused::Yes => "yes",
        };
        let (limit, left) = (terms.scan_limit.map(whole), remaining.map(|remaining| remaining.cost.units()));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(self.products)),
            Arc::new(self.bytes.iter().map(|(least, _)| Some(*least)).collect::<Int64Array>()),
            Arc::new(self.bytes.iter().map(|(_, most)| *most).collect::<Int64Array>()),
            money(self.costs.iter().map(|(least, _)| Some(*least)).collect()),
            money(self.costs.iter().map(|(_, most)| *most).collect()),
            Arc::new((0..rows).map(|_| Some(terms.prices.currency())).collect::<StringArray>()),
            Arc::new(StringArray::from(self.prices)),
            Arc::new((0..rows).map(|at| limit.filter(|_| last(at))).collect::<Int64Array>()),
            money((0..rows).map(|at| left.filter(|_| last(at))).collect()),
            Arc::new((0..rows).map(|at| last(at).then_some(refused)).collect::<StringArray>()),
            Arc::new(StringArray::from(self.notes)),
        ];
        RecordBatch::try_new(Terms::schema(), columns).map_err(Fault::internal)
    }
}

fn whole(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
