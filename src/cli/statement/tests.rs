//! The worked month of `docs/finops.md`: its prices, its queries and what finance sees of them, computed here and compared with the manual.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::*;
use crate::catalog::{Catalog, Price, Snapshot};
use crate::clock::Clock;
use crate::id::{PortId, PortName, PrincipalName, ProductId, ProductName};
use crate::metering::report::{By as ReportBy, Span, report};
use crate::metering::{Account, Cell, Correction, Cost, Journal, Meter, Outcome, PriceList, QueryStart, ReadKind, Terms, close, correct};

const MANUAL: &str = include_str!("../../../docs/finops.md");
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

fn domain(name: &str) -> DomainName {
    DomainName::new(name).expect("a name")
}

fn product(text: &str) -> ProductId {
    let (producer, name) = text.split_once('.').expect("a product");
    ProductId { domain: domain(producer), product: ProductName::new(name).expect("a name") }
}

/// The text of the manual's block that begins with these words.
fn block(begin: &str) -> &'static str {
    let from = MANUAL.find(begin).unwrap_or_else(|| panic!("the manual has nothing that begins with {begin:?}"));
    let text = MANUAL.get(from..).expect("a text");
    text.get(..text.find("\n```").expect("the end of the block") + 1).expect("a text")
}

/// The mesh of the manual, with the domains of NorthPeak.
fn mesh(folder: &Path) -> Arc<Snapshot> {
    let head = "apiVersion: datamesh.io/v1\nkind: Mesh\nmetadata: {name: northpeak}\nspec:\n";
    let spec: String = block("billing: chargeback").lines().map(|line| format!("  {line}\n")).collect();
    std::fs::write(folder.join("mesh.yaml"), format!("{head}{spec}")).expect("writes");
    for (name, center) in
        [("marketing", "CC-4400"), ("finance", "CC-4500"), ("customer", "CC-4300"), ("claims", "CC-4100"), ("policy", "CC-4000")]
    {
        std::fs::create_dir(folder.join(name)).expect("makes");
        let text = format!(
            "apiVersion: datamesh.io/v1\nkind: Domain\nmetadata: {{name: {name}}}\nspec:\n  owner: {{team: t, contact: c@x.example}}\n  costCenter: {center}\n"
        );
        std::fs::write(folder.join(name).join("domain.yaml"), text).expect("writes");
    }
    Catalog::open(folder).expect("loads").current()
}

struct Worked {
    state: tempfile::TempDir,
    clock: Clock,
    journal: Journal,
    mesh: Arc<Snapshot>,
    _catalog: tempfile::TempDir,
}

impl Worked {
    fn new() -> Self {
        let (state, catalog) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
        let clock = Clock::fixed("2026-11-01T00:00:00Z".parse().expect("a time"));
        let journal = Journal::open(state.path(), clock.clone()).expect("opens");
        Self { state, clock, journal, mesh: mesh(catalog.path()), _catalog: catalog }
    }

    fn to(&self, time: &str) {
        self.clock.advance(time.parse::<DateTime<Utc>>().expect("a time") - self.clock.now());
    }

    fn begin(&self, time: &str, who: &str, consumer: &str, what: &str) -> (Account, Arc<Meter>) {
        self.to(time);
        let (prices, at): (&[Arc<Price>], _) = (&self.mesh.mesh.prices, self.journal.now());
        let start = QueryStart {
            principal: PrincipalName::new(who),
            cost_center: self.mesh.domains.get(&domain(consumer)).and_then(|domain| domain.cost_center.clone()),
            prices: PriceList::new("USD", prices, &domain(consumer), at.date_naive()),
            ..QueryStart::for_test(domain(consumer), at)
        };
        let account = self.journal.begin(start).expect("begins");
        let port = PortId { product: product(what), major: 1, port: PortName::new("sql").expect("a name") };
        let meter = account.meter(&port, "1.0.0", "7");
        (account, meter)
    }

    async fn query(&self, time: &str, who: &str, consumer: &str, what: &str, bytes: u64) {
        let (account, meter) = self.begin(time, who, consumer, what);
        meter.add(ReadKind::Data, bytes);
        drop(meter);
        account.settle(Outcome::Completed, None, 1).await.expect("settles");
    }

    fn close(&self, month: &str) {
        close(self.state.path(), month.parse().expect("a month"), self.clock.now(), &Terms::of(&self.mesh)).expect("closes");
    }

    fn statement(&self, consumer: &str, month: &str, by: By, format: Format) -> String {
        let mut out = Vec::new();
        run(self.state.path(), &domain(consumer), month.parse().expect("a month"), by, format, &mut out).expect("is shown");
        String::from_utf8(out).expect("text")
    }

    /// What the manual shows of it, as the manual shows it: the hash has in it when the journal was made.
    fn shown(&self, consumer: &str, month: &str) -> String {
        let table = self.statement(consumer, month, By::Product, Format::Table);
        let hashed = |line: &str| if line.starts_with("SHA-256") { "SHA-256          …".to_owned() } else { line.to_owned() };
        table.lines().map(|line| hashed(line) + "\n").collect()
    }

    /// November of the manual, and a query that is settled with one read under way.
    async fn november() -> (Self, Arc<Meter>) {
        let month = Self::new();
        month.query("2026-11-03T09:00:00Z", "marketing_analyst", "marketing", "customer.customer_master", TIB).await;
        month.query("2026-11-10T09:00:00Z", "marketing_analyst", "marketing", "customer.customer_master", 3 * GIB).await;
        month.query("2026-11-12T09:00:00Z", "marketing_analyst", "marketing", "claims.claims_enriched", MIB).await;
        month.query("2026-11-20T09:00:00Z", "campaign_planner", "marketing", "policy.policies_active", 4 * TIB).await;
        month.query("2026-11-25T09:00:00Z", "finance_controller", "finance", "claims.claims_enriched", 2 * TIB).await;
        let (account, meter) = month.begin("2026-11-30T23:59:00Z", "marketing_analyst", "marketing", "customer.customer_master");
        meter.add(ReadKind::Data, GIB);
        account.settle(Outcome::Cancelled, Some("57014"), 0).await.expect("settles");
        month.to("2026-12-01T08:00:00Z");
        month.close("2026-11");
        (month, meter)
    }
}

#[tokio::test]
async fn the_worked_month_of_the_manual_is_what_is_computed() {
    let (month, meter) = Worked::november().await;
    let shown = month.shown("marketing", "2026-11");
    assert_eq!(block("Statement        2026-11-marketing-USD"), shown, "\n{shown}");
    let csv = month.statement("marketing", "2026-11", By::Query, Format::Csv);
    let costs: Vec<&str> = csv.lines().skip(1).filter_map(|line| line.split(',').next_back()).collect();
    // In the order of the queries, as the manual computes them.
    for cost in ["2.5", "0.0146484375", "0.000076293945312", "18.9970703125", "0.00390625"] {
        assert!(costs.contains(&cost) && MANUAL.contains(&format!("= {cost} ")), "{cost}: {costs:?}");
    }

    // What was read late, and a correction, are on December's bill; November's stays.
    meter.add(ReadKind::Data, 2 * GIB);
    drop(meter);
    let correction = Correction {
        consumer: domain("marketing"),
        product: product("customer.customer_master"),
        month: "2026-11".parse().expect("a month"),
        amount: "-2.50".parse().expect("an amount"),
        reason: "scan of 3 November repeated after an outage".into(),
        by: "finance_controller".into(),
    };
    correct(month.state.path(), &correction, month.clock.now()).expect("books");
    month.query("2026-12-10T09:00:00Z", "marketing_analyst", "marketing", "customer.customer_master", TIB).await;
    month.to("2027-01-01T08:00:00Z");
    month.close("2026-12");
    assert_eq!(month.shown("marketing", "2026-11"), shown);
    let december = month.shown("marketing", "2026-12");
    assert_eq!(block("Statement        2026-12-marketing-USD"), december, "\n{december}");
}

#[tokio::test]
async fn a_statement_its_drill_down_the_report_and_the_monthly_costs_agree_to_the_last_digit() {
    let (month, _meter) = Worked::november().await;
    let connection = journal(month.state.path()).expect("is there").connect().expect("connects");
    for consumer in ["marketing", "finance"] {
        let statements = Statement::of_domain(&connection, "2026-11".parse().expect("a month"), consumer).expect("is there");
        let [statement] = statements.as_slice() else { panic!("one currency") };
        for by in [By::Product, By::Principal, By::Query] {
            let sheet = statement.sheet(&connection, by).expect("reads");
            let at = sheet.columns.iter().position(|column| *column == "cost").expect("a cost");
            assert_eq!(sum(&sheet, at), statement.total(), "{by:?}");
        }
        let span = Span::of("2026-11".parse().expect("a month"));
        let ledger = journal(month.state.path()).expect("is there");
        let own = [rusqlite::types::Value::Text(consumer.to_owned())];
        for by in [ReportBy::Domain, ReportBy::Product, ReportBy::Principal, ReportBy::Purpose, ReportBy::Application] {
            let sheet = report(&ledger, span, by, "consumer_domain = ?1", &own).expect("reports");
            assert_eq!(sum(&sheet, 4), statement.total(), "{by:?}");
        }
    }
}

fn sum(sheet: &Sheet, at: usize) -> Cost {
    let costs = sheet.lines.iter().filter_map(|line| if let Some(Cell::Money(cost)) = line.get(at) { Some(*cost) } else { None });
    costs.fold(Cost::default(), Cost::plus)
}

#[tokio::test]
async fn json_and_html_hold_the_total_and_the_hash() {
    let (month, _meter) = Worked::november().await;
    let json: serde_json::Value = serde_json::from_str(&month.statement("finance", "2026-11", By::Product, Format::Json)).expect("json");
    assert_eq!((&json[0]["statement_id"], &json[0]["mode"]), (&json!("2026-11-finance-USD"), &json!("chargeback")));
    assert_eq!((&json[0]["lines"][0]["cost"], &json[0]["totals"][0]["cost"]), (&json!("16"), &json!("16")));
    let hash = json[0]["hash"].as_str().expect("a hash");
    let html = month.statement("finance", "2026-11", By::Product, Format::Html);
    assert!(hash.len() == 64 && html.contains(hash) && html.contains("<dd>16 USD</dd>"), "{html}");
    assert!(html.contains("<td>CC-4500</td>") && html.contains("<td>CC-4100</td>"), "{html}");
}

#[tokio::test]
async fn a_month_that_is_open_and_a_domain_that_owes_nothing_have_no_statement() {
    let (month, _meter) = Worked::november().await;
    let told = |consumer: &str, of: &str| {
        let fault = run(month.state.path(), &domain(consumer), of.parse().expect("a month"), By::Product, Format::Table, &mut Vec::new());
        fault.expect_err("there is none").message().to_owned()
    };
    assert_eq!(told("marketing", "2026-12"), "2026-12 is not closed");
    assert_eq!(told("claims", "2026-11"), "the domain claims was charged nothing in 2026-11");
}
