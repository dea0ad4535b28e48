use std::path::Path;

use arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;

use super::*;
use crate::catalog::{Catalog, Price};
use crate::clock::Clock;
use crate::id::{PortId, PortName, PrincipalName, ProductId, ProductName, QueryId};
use crate::metering::{DecisionRecord, Month, Outcome, PriceList, Protocol, QueryStart, ReadKind};

const GIB: u64 = 1 << 30;

fn domain(name: &str) -> DomainName {
    DomainName::new(name).expect("name")
}

/// A mesh of three domains, of which marketing has a budget.
fn snapshot(folder: &Path) -> Arc<Snapshot> {
    let mesh = "apiVersion: datamesh.io/v1\nkind: Mesh\nmetadata: {name: m}\nspec: {currency: USD}\n";
    std::fs::write(folder.join("mesh.yaml"), mesh).expect("writes");
    for (name, budget) in [("marketing", "budget: {monthly: \"2.00\", alerts: [50], action: block}"), ("claims", ""), ("finance", "")] {
        std::fs::create_dir(folder.join(name)).expect("makes");
        let text = format!(
            "apiVersion: datamesh.io/v1\nkind: Domain\nmetadata: {{name: {name}}}\nspec:\n  owner: {{team: t, contact: c@x.example}}\n  {budget}\n"
        );
        std::fs::write(folder.join(name).join("domain.yaml"), text).expect("writes");
    }
    Catalog::open(folder).expect("loads").current()
}

fn principal(name: &str, own: &str, groups: &[&str]) -> Principal {
    let groups = groups.iter().map(|group| GroupName::new(group)).collect();
    Principal { name: PrincipalName::new(name), domain: domain(own), groups, attributes: Default::default(), token: None }
}

fn decided(journal: &Journal, query_id: QueryId, product: &str, filters: &[&str]) -> DecisionRecord {
    DecisionRecord {
        decided_at: journal.now(),
        query_id,
        principal: PrincipalName::new("someone"),
        consumer_domain: domain("marketing"),
        product: product.into(),
        permitted: true,
        reasons: vec![],
        row_filters: filters.iter().map(|filter| (*filter).to_owned()).collect(),
        masks: vec!["ssn=email".into()],
        policy_revision: "r1".into(),
        request: crate::metering::DecisionRequest::default(),
    }
}

async fn query(journal: &Journal, consumer: &str, reads: &[(&str, &str, u64)]) {
    query_with(journal, consumer, reads, &[]).await;
}

async fn query_with(journal: &Journal, consumer: &str, reads: &[(&str, &str, u64)], filters: &[&str]) {
    query_at(journal, consumer, reads, filters, standard(journal)).await;
}

/// One unit of money a gibibyte.
fn standard(journal: &Journal) -> Price {
    Price::flat("standard", journal.now().date_naive(), "1024".parse().expect("decimal"))
}

async fn query_at(journal: &Journal, consumer: &str, reads: &[(&str, &str, u64)], filters: &[&str], price: Price) {
    let start = QueryStart {
        principal: PrincipalName::new("someone"),
        cost_center: Some("CC-1".into()),
        purpose: Some("pricing".into()),
        protocol: Protocol::Flight,
        application_name: Some("notebook".into()),
        statement_digest: "d1".into(),
        queued_ms: 3,
        prices: PriceList::of_one("USD", price),
        ..QueryStart::for_test(domain(consumer), journal.now())
    };
    let query_id = start.query_id;
    let account = journal.begin(start).expect("begins");
    for (producer, product, bytes) in reads {
        journal.decisions(vec![decided(journal, query_id, &format!("{producer}.{product}"), filters)]);
        let product = ProductId { domain: domain(producer), product: ProductName::new(product).expect("name") };
        let port = PortId { product, major: 1, port: PortName::new("sql").expect("name") };
        let meter = account.meter(&port, "1.0.0", "v7");
        meter.add(ReadKind::Data, *bytes);
        meter.add(ReadKind::Metadata, 11);
        meter.request();
    }
    account.settle(Outcome::Completed, None, 4).await.expect("settles");
}

struct World {
    journal: Journal,
    snapshot: Arc<Snapshot>,
    _folders: [tempfile::TempDir; 2],
}

/// Marketing reads claims (1 GiB, 1 USD) and finance (0.5 GiB) in one query, finance reads claims (2 GiB) in another.
async fn world() -> World {
    let folders = [tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder")];
    let clock = Clock::fixed("2026-11-20T12:00:00Z".parse().expect("a time"));
    let journal = Journal::open(folders[0].path(), clock.clone()).expect("opens");
    query(&journal, "marketing", &[("claims", "fraud", GIB), ("finance", "premiums", GIB / 2)]).await;
    query(&journal, "finance", &[("claims", "fraud", 2 * GIB)]).await;
    let snapshot = snapshot(folders[1].path());
    World { journal, snapshot, _folders: folders }
}

impl World {
    async fn sql(&self, who: &Principal, sql: &str) -> String {
        let context = SessionContext::new();
        for name in names() {
            let table = view(name, who, &self.snapshot, &self.journal).expect("a table");
            assert_eq!(Some(table.schema()), schema(name));
            context.register_table(*name, table).expect("registers");
        }
        let batches = context.sql(sql).await.expect("plans").collect().await.expect("runs");
        let text = pretty_format_batches(&batches).expect("prints").to_string();
        let rows = text.lines().filter(|line| line.starts_with('|')).skip(1);
        rows.map(|line| line.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

const ROWS: &str = "SELECT consumer_domain, producer_domain, bytes_scanned, cost FROM usage ORDER BY 1, 2";

#[tokio::test]
async fn a_row_says_who_read_what_of_whom_and_for_how_much() {
    let world = world().await;
    let reader = principal("controller", "policy", &[READERS]);
    let all = "claims fraud sql 1.0.0 v7 1073741824 1073741824 0 11 1 4 completed standard 1024.0000000000 USD 1.000000000000000";
    let sql = "SELECT producer_domain, product, port, product_version, table_version, bytes_scanned, bytes_from_storage, bytes_from_cache,
        bytes_metadata, storage_requests, rows_returned, outcome, price_id, unit_price, currency, cost
        FROM usage WHERE consumer_domain = 'marketing' AND product = 'fraud'";
    assert_eq!(world.sql(&reader, sql).await, all);
    let who =
        "SELECT principal, purpose, protocol, application_name, started_at = ended_at, usage_id = gateway_id || '-1-1' FROM usage LIMIT 1";
    assert_eq!(world.sql(&reader, who).await, "someone pricing flight notebook true true");
}

#[tokio::test]
async fn members_of_finops_reader_see_all_and_others_their_own_domain_as_consumer_or_producer() {
    let world = world().await;
    let (marketing, finance, claims) = ("marketing", "finance", "claims");
    let gib = GIB.to_string();
    let rows = |rows: &[(&str, &str, &str, &str)]| {
        rows.iter().map(|(c, p, bytes, cost)| format!("{c} {p} {bytes} {cost}")).collect::<Vec<_>>().join("\n")
    };
    let to_finance = (finance, claims, "2147483648", "2.000000000000000");
    let by_marketing = (marketing, claims, gib.as_str(), "1.000000000000000");
    let of_finance = (marketing, finance, "536870912", "0.500000000000000");
    let all = rows(&[to_finance, by_marketing, of_finance]);
    assert_eq!(world.sql(&principal("c", "policy", &[READERS]), ROWS).await, all);
    assert_eq!(world.sql(&principal("f", finance, &[]), ROWS).await, rows(&[to_finance, of_finance]));
    assert_eq!(world.sql(&principal("k", claims, &[]), ROWS).await, rows(&[to_finance, by_marketing]));
    assert_eq!(world.sql(&principal("m", marketing, &["audit-reader"]), ROWS).await, rows(&[by_marketing, of_finance]));
    assert_eq!(world.sql(&principal("p", "policy", &[]), ROWS).await, "");
}

#[tokio::test]
async fn a_query_is_shown_with_its_sums_to_the_domain_that_pays() {
    let world = world().await;
    let sql =
        "SELECT consumer_domain, statement_digest, queued_ms, rows_returned, outcome, sqlstate IS NULL, bytes_scanned, cost FROM queries";
    let marketing = world.sql(&principal("m", "marketing", &[]), sql).await;
    assert_eq!(marketing, "marketing d1 3 4 completed true 1610612736 1.500000000000000");
    assert_eq!(world.sql(&principal("k", "claims", &[]), sql).await, "");
    assert_eq!(world.sql(&principal("c", "policy", &[READERS]), "SELECT count(*) FROM queries").await, "2");
}

#[tokio::test]
async fn monthly_costs_add_up_to_the_usage() {
    let world = world().await;
    query(&world.journal, "marketing", &[("claims", "fraud", GIB)]).await;
    let reader = principal("c", "policy", &[READERS]);
    let sql =
        "SELECT month, consumer_domain, cost_center, producer_domain, product, queries, bytes_scanned, cost, currency FROM monthly_costs";
    let want = "2026-11 finance CC-1 claims fraud 1 2147483648 2.000000000000000 USD\n\
        2026-11 marketing CC-1 claims fraud 2 2147483648 2.000000000000000 USD\n\
        2026-11 marketing CC-1 finance premiums 1 536870912 0.500000000000000 USD";
    assert_eq!(world.sql(&reader, sql).await, want);
    let sums = "SELECT (SELECT sum(cost) FROM monthly_costs) = (SELECT sum(cost) FROM usage)";
    assert_eq!(world.sql(&reader, sums).await, "true");
    assert_eq!(world.sql(&principal("f", "finance", &[]), "SELECT count(*) FROM monthly_costs").await, "2");
}

#[tokio::test]
async fn producers_see_who_uses_what_and_consumers_their_own_part_of_it() {
    let world = world().await;
    query(&world.journal, "marketing", &[("claims", "fraud", GIB)]).await;
    query_with(&world.journal, "marketing", &[("claims", "notes", 5)], &["region = $region"]).await;
    closed(&world);
    let top = "SELECT product, rank, consumer_domain, principal, application_name, purpose, queries, bytes_scanned FROM top_consumers
        WHERE producer_domain = 'claims' ORDER BY 1, 3";
    let used = "SELECT product, consumer_domains, principals, queries, bytes_scanned, cost::numeric(10,2) FROM product_usage
        WHERE producer_domain = 'claims' ORDER BY 1";
    let (finance, marketing) = ("finance someone notebook pricing", "marketing someone notebook pricing");
    for who in [principal("k", "claims", &[]), principal("r", "policy", &[READERS])] {
        let want = format!("fraud 1 {finance} 1 {0}\nfraud 1 {marketing} 2 {0}\nnotes 1 {marketing} 1 5", 2 * GIB);
        assert_eq!(world.sql(&who, top).await, want);
        // The correction takes off cost and is nobody's query.
        assert_eq!(world.sql(&who, used).await, format!("fraud 2 2 3 {} 3.50\nnotes 1 1 1 5 0.00", 4 * GIB));
    }
    // What others read is not theirs to see, and what they read of filtered products is rounded up.
    let own = principal("m", "marketing", &[]);
    assert_eq!(world.sql(&own, top).await, format!("fraud 1 {marketing} 2 {}\nnotes 1 {marketing} 1 1048576", 2 * GIB));
    assert_eq!(world.sql(&own, used).await, format!("fraud 1 1 2 {} 2.00\nnotes 1 1 1 1048576 0.00", 2 * GIB));
    let sums = "SELECT (SELECT sum(cost) FROM product_usage) = (SELECT sum(cost) FROM monthly_costs)";
    assert_eq!(world.sql(&principal("r", "policy", &[READERS]), sums).await, "true");
    assert_eq!(world.sql(&principal("o", "other", &[]), "SELECT * FROM top_consumers").await, "");
}

#[tokio::test]
async fn a_budget_is_told_in_steps_where_its_usage_is_rounded_and_never_as_more_than_is_enforced() {
    let world = world().await;
    query_with(&world.journal, "marketing", &[("claims", "notes", 1)], &["region = $region"]).await;
    let sql = "SELECT spent::numeric(10,4), remaining::numeric(10,4), percent FROM budgets";
    // A byte more than 1.5 of 2: 1.5000000009.
    assert_eq!(world.sql(&principal("m", "marketing", &[]), sql).await, "1.5000 0.5000 75.00");
    query_with(&world.journal, "marketing", &[("claims", "notes", GIB / 20)], &["region = $region"]).await;
    assert_eq!(world.sql(&principal("m", "marketing", &[]), sql).await, "1.5000 0.5000 75.00");
    assert_eq!(world.sql(&principal("c", "policy", &[READERS]), sql).await, "1.5500 0.4500 77.50");
}

#[tokio::test]
async fn a_budget_is_shown_against_what_this_month_has_cost_to_the_domain_it_binds() {
    let world = world().await;
    // At noon of the twentieth 39 of 60 half days have passed.
    let want =
        "marketing 2026-11 2.000000000000000 1.500000000000000 0.500000000000000 75.00 block 0.000000000000000 2.307692307692307 115.38";
    for who in [principal("m", "marketing", &[]), principal("c", "policy", &[READERS])] {
        assert_eq!(world.sql(&who, "SELECT * FROM budgets").await, want);
    }
    assert_eq!(world.sql(&principal("k", "claims", &[]), "SELECT * FROM budgets").await, "");
}

#[tokio::test]
async fn what_was_read_of_a_filtered_product_is_rounded_up_for_its_reader_and_exact_for_owner_and_finance() {
    let world = world().await;
    const SQL: &str = "SELECT bytes_scanned, bytes_from_storage, bytes_from_cache, bytes_metadata, storage_requests, cost FROM usage
        WHERE product = 'notes' ORDER BY usage_id";
    for bytes in [1, 3_000_000, 4 << 20, (4 << 20) + 1] {
        query_with(&world.journal, "marketing", &[("claims", "notes", bytes)], &["region = $region"]).await;
    }
    let marketing = principal("m", "marketing", &[]);
    let told = |mib: u64, cost: &str| format!("{0} {0} 0 1048576 64 {cost}", mib << 20);
    // 1024 a tebibyte is a millionth for 1 KiB and a bit: a mebibyte costs 0.000976…, told as 0.000977.
    let rounded = [told(1, "0.000977000000000"), told(4, "0.003907000000000"), told(4, "0.003907000000000"), told(8, "0.007813000000000")];
    assert_eq!(world.sql(&marketing, SQL).await, rounded.join("\n"));
    let bytes = "SELECT bytes_scanned FROM usage WHERE product = 'notes' ORDER BY usage_id";
    for who in [principal("k", "claims", &[]), principal("c", "policy", &[READERS])] {
        assert_eq!(world.sql(&who, bytes).await, "1\n3000000\n4194304\n4194305");
    }
    // Totals are those of what is told.
    let total = "SELECT bytes_scanned FROM monthly_costs WHERE product = 'notes'";
    assert_eq!(world.sql(&marketing, total).await, (17 << 20).to_string());
    assert_eq!(world.sql(&principal("k", "claims", &[]), total).await, "11388610");
    let queries = "SELECT DISTINCT bytes_scanned FROM queries WHERE bytes_scanned < 100000000 ORDER BY 1";
    assert_eq!(world.sql(&marketing, queries).await, "1048576\n4194304\n8388608");
    // A product whose rows are all shown is told exactly, masked or not.
    assert_eq!(world.sql(&marketing, "SELECT bytes_scanned FROM usage WHERE product = 'fraud'").await, GIB.to_string());
}

#[tokio::test]
async fn what_the_audit_does_not_have_is_rounded_up() {
    let world = world().await;
    let operator = rusqlite::Connection::open(world.journal.path()).expect("opens");
    operator.execute("DELETE FROM decisions", []).expect("prunes");
    let sql = "SELECT bytes_scanned FROM usage WHERE producer_domain = 'finance'";
    query(&world.journal, "marketing", &[("finance", "small", 5)]).await;
    operator.execute("DELETE FROM decisions", []).expect("prunes");
    assert_eq!(world.sql(&principal("m", "marketing", &[]), sql).await, "536870912\n1048576");
    assert_eq!(world.sql(&principal("f", "finance", &[]), sql).await, "536870912\n5");
}

#[tokio::test]
async fn many_rows_come_in_pages_each_once_and_rows_written_meanwhile_are_left_for_the_next_reader() {
    let world = world().await;
    for _ in 0..300 {
        let reads: Vec<(&str, &str, u64)> = vec![("claims", "fraud", 1)];
        query(&world.journal, "claims", &reads).await;
    }
    let reader = principal("c", "policy", &[READERS]);
    assert_eq!(world.sql(&reader, "SELECT count(*), count(DISTINCT usage_id) FROM usage").await, "303 303");

    let mut walk = Walk::begin(&Ledger::of(&world.journal), USAGE, "usage", "TRUE", vec![]).expect("begins");
    query(&world.journal, "claims", &[("claims", "fraud", 1)]).await;
    let mut rows = 0;
    while let Some(page) = walk.page().expect("reads") {
        rows += page.num_rows();
    }
    assert_eq!(rows, 303);
}

/// Closes the month that the world's queries are in, with a correction of what finance owes for claims.
fn closed(world: &World) {
    let correction = crate::metering::Correction {
        consumer: domain("finance"),
        product: ProductId { domain: domain("claims"), product: ProductName::new("fraud").expect("name") },
        month: Month::of(world.journal.now()),
        amount: "-0.5".parse().expect("an amount"),
        reason: "an outage".into(),
        by: "fay".into(),
    };
    crate::metering::correct(world._folders[0].path(), &correction, world.journal.now()).expect("books");
    let december = world.journal.now() + chrono::TimeDelta::days(11);
    crate::metering::close(world._folders[0].path(), correction.month, december, &Default::default()).expect("closes");
}

#[tokio::test]
async fn every_charge_debits_the_consumer_and_credits_the_producer_and_the_sum_is_zero() {
    let world = world().await;
    closed(&world);
    let reader = principal("c", "policy", &[READERS]);
    let rows =
        "SELECT kind, side, domain, counterparty, product, amount, currency, reason FROM entries ORDER BY kind, domain, amount, product";
    let want = "correction credit claims finance fraud 0.500000000000000 USD an outage (fay)\n\
        correction debit finance claims fraud -0.500000000000000 USD an outage (fay)\n\
        usage credit claims finance fraud -2.000000000000000 USD\n\
        usage credit claims marketing fraud -1.000000000000000 USD\n\
        usage debit finance claims fraud 2.000000000000000 USD\n\
        usage credit finance marketing premiums -0.500000000000000 USD\n\
        usage debit marketing finance premiums 0.500000000000000 USD\n\
        usage debit marketing claims fraud 1.000000000000000 USD";
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&world.sql(&reader, rows).await), sorted(want));
    let zero = "SELECT count(*) FROM (SELECT charge_id FROM entries GROUP BY charge_id HAVING sum(amount) <> 0 OR count(*) <> 2)";
    for who in [&reader, &principal("m", "marketing", &[]), &principal("k", "claims", &[])] {
        assert_eq!(world.sql(who, zero).await, "0");
        assert_eq!(world.sql(who, "SELECT sum(amount) FROM entries").await, "0.000000000000000");
    }
    // What a domain is debited is what it owes.
    let owes = "SELECT (SELECT sum(amount) FROM entries WHERE side = 'debit') = (SELECT sum(cost) FROM monthly_costs),
        (SELECT sum(amount) FROM entries WHERE side = 'debit') = (SELECT sum(cost) FROM statements)";
    assert_eq!(world.sql(&reader, owes).await, "true true");
    assert_eq!(world.sql(&principal("p", "policy", &[]), "SELECT count(*) FROM entries").await, "0");
    let focus = "SELECT \"ChargeCategory\", \"ChargeClass\" IS NULL, \"InvoiceId\", \"BilledCost\", \"ChargePeriodStart\"::date,
        \"PricingQuantity\" IS NULL FROM focus WHERE \"SubAccountId\" = 'finance' ORDER BY 1";
    let want = "Adjustment true 2026-11-finance-USD -0.500000000000000 2026-11-01 true\n\
        Usage true 2026-11-finance-USD 2.000000000000000 2026-11-20 false";
    assert_eq!(world.sql(&reader, focus).await, want);
    let billed = "SELECT (SELECT sum(\"BilledCost\") FROM focus) = (SELECT sum(cost) FROM monthly_costs)";
    assert_eq!(world.sql(&reader, billed).await, "true");
}

#[tokio::test]
async fn both_sides_of_an_entry_come_in_one_page_however_many_there_are() {
    let world = world().await;
    for _ in 0..400 {
        query(&world.journal, "claims", &[("claims", "a", 1), ("claims", "b", 2), ("finance", "c", 3)]).await;
    }
    // More than a page of 8192 once both sides are counted.
    let operator = rusqlite::Connection::open(world.journal.path()).expect("opens");
    let columns = "query_id, started_at, ended_at, principal, consumer_domain, cost_center, purpose, protocol, application_name, producer_domain,
        product, port, product_version, table_version, bytes_from_storage, bytes_from_cache, bytes_metadata, storage_requests, rows_returned,
        outcome, price_id, unit_price, currency, cost_micros, cost_rest, month, bytes_charged, volume_before";
    for boot in 10..15 {
        let more = format!("INSERT INTO usage (boot, seq, {columns}) SELECT {boot}, seq, {columns} FROM usage WHERE boot = 1");
        operator.execute(&more, []).expect("inserts");
    }
    let reader = principal("c", "policy", &[READERS]);
    assert_eq!(
        world.sql(&reader, "SELECT count(*), count(DISTINCT charge_id), sum(amount) FROM entries").await,
        "14436 7218 0.000000000000000"
    );
}

#[tokio::test]
async fn statements_are_seen_by_who_pays_and_their_lines_by_who_is_paid_too() {
    let world = world().await;
    closed(&world);
    let sql = "SELECT statement_id, lines, cost, currency, mode, hash IS NULL FROM statements";
    let (finance, marketing) =
        ("2026-11-finance-USD 2 1.500000000000000 USD showback false", "2026-11-marketing-USD 2 1.500000000000000 USD showback false");
    assert_eq!(world.sql(&principal("c", "policy", &[READERS]), sql).await, format!("{finance}\n{marketing}"));
    assert_eq!(world.sql(&principal("m", "marketing", &[]), sql).await, marketing);
    assert_eq!(world.sql(&principal("k", "claims", &[]), sql).await, "");
    let lines = "SELECT consumer_domain, kind, product, queries, bytes_scanned, cost, reason FROM statement_lines";
    let want = "finance correction fraud 0 0 -0.500000000000000 an outage (fay)\nfinance usage fraud 1 2147483648 2.000000000000000\n\
        marketing usage fraud 1 1073741824 1.000000000000000";
    let got = world.sql(&principal("k", "claims", &[]), &format!("{lines} ORDER BY 1, 2")).await;
    assert_eq!(got, want);
}

#[tokio::test]
async fn a_statement_tells_a_reader_of_filtered_rows_no_more_than_usage_does() {
    let world = world().await;
    query_with(&world.journal, "marketing", &[("claims", "notes", 3_000_000)], &["region = $region"]).await;
    closed(&world);
    let marketing = principal("m", "marketing", &[]);
    let line = "SELECT bytes_scanned, bytes_charged, cost FROM statement_lines WHERE product = 'notes'";
    assert_eq!(world.sql(&marketing, line).await, "4194304 4194304 0.003907000000000");
    // The hash would let them try which figures are behind the rounded ones.
    assert_eq!(world.sql(&marketing, "SELECT hash IS NULL, cost FROM statements").await, "true 1.503907000000000");
    for who in [principal("k", "claims", &[]), principal("c", "policy", &[READERS])] {
        assert_eq!(world.sql(&who, line).await, "3000000 3000000 0.002793967723846");
    }
}

#[tokio::test]
async fn what_depends_on_the_months_volume_is_told_to_its_reader_without_the_volume() {
    let world = world().await;
    let price = || Price { free_per_month: GIB, ..standard(&world.journal) };
    query_at(&world.journal, "marketing", &[("claims", "notes", 3_000_000)], &["region = $region"], price()).await;
    // Nothing of this product is hidden, but what it costs tells how much of the allowance the other has left.
    query_at(&world.journal, "marketing", &[("claims", "open", GIB)], &[], price()).await;
    let sql = "SELECT bytes_scanned, bytes_charged, volume_before, cost FROM usage WHERE product = 'open'";
    let exact = "1073741824 1073741824 3000000 0.002793967723846";
    assert_eq!(world.sql(&principal("c", "policy", &[READERS]), sql).await, exact);
    let rounded = "1073741824 1073741824 1.000001000000000";
    assert_eq!(world.sql(&principal("m", "marketing", &[]), sql).await, rounded);
    assert_eq!(
        world.sql(&principal("m", "marketing", &[]), "SELECT cost FROM monthly_costs WHERE product = 'open'").await,
        "1.000001000000000"
    );
}
