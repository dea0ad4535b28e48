use std::sync::Arc;

use chrono::TimeDelta;

use super::*;
use crate::catalog::{Billing, Price};
use crate::clock::Clock;
use crate::id::{PortId, PortName, ProductId, ProductName};
use crate::metering::correct::{Correction, correct};
use crate::metering::ledger::Ledger;
use crate::metering::{Account, Cost, Journal, Meter, Outcome, PriceList, QueryStart, ReadKind};

const GIB: u64 = 1 << 30;

fn domain(name: &str) -> DomainName {
    DomainName::new(name).expect("a name")
}

fn product(name: &str) -> ProductId {
    ProductId { domain: domain("claims"), product: ProductName::new(name).expect("a name") }
}

fn month(text: &str) -> Month {
    text.parse().expect("a month")
}

struct World {
    folder: tempfile::TempDir,
    clock: Clock,
    journal: Journal,
}

impl World {
    fn at(time: &str) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let clock = Clock::fixed(time.parse().expect("a time"));
        let journal = Journal::open(folder.path(), clock.clone()).expect("opens");
        Self { folder, clock, journal }
    }

    fn begin(&self, consumer: &str, name: &str) -> (Account, Arc<Meter>) {
        // One unit of money a gibibyte.
        let price = Price::flat("standard", "2026-01-01".parse().expect("a day"), 1024.into());
        let start = QueryStart { prices: PriceList::of_one("USD", price), ..QueryStart::for_test(domain(consumer), self.journal.now()) };
        let account = self.journal.begin(start).expect("begins");
        let port = PortId { product: product(name), major: 1, port: PortName::new("sql").expect("a name") };
        let meter = account.meter(&port, "1.0.0", "7");
        (account, meter)
    }

    async fn query(&self, consumer: &str, name: &str, bytes: u64) {
        let (account, meter) = self.begin(consumer, name);
        meter.add(ReadKind::Data, bytes);
        drop(meter);
        account.settle(Outcome::Completed, None, 1).await.expect("settles");
    }

    fn to(&self, time: &str) {
        self.clock.advance(time.parse::<DateTime<Utc>>().expect("a time") - self.clock.now());
    }

    fn close(&self, text: &str) -> Result<Closed> {
        close(self.folder.path(), month(text), self.clock.now(), &Terms::default())
    }

    fn correct(&self, text: &str, amount: &str) -> Result<Month> {
        let correction = Correction {
            consumer: domain("marketing"),
            product: product("fraud"),
            month: month(text),
            amount: amount.parse().expect("an amount"),
            reason: "the scan was ours".into(),
            by: "fay".into(),
        };
        correct(self.folder.path(), &correction, self.clock.now()).map(|booked| booked.month)
    }

    /// The statements of a month by domain, each line as its kind, its month and its cost.
    fn told(&self, text: &str) -> Vec<String> {
        let connection = Ledger::in_folder(self.folder.path()).connect().expect("connects");
        let statements = Statement::of_month(&connection, month(text)).expect("can be trusted");
        let line = |line: &super::super::statement::Line| format!("{} {} {}", line.kind, line.of_month, line.cost.decimal());
        let lines = |statement: &Statement| statement.lines.iter().map(line).collect::<Vec<_>>().join(", ");
        statements.iter().map(|statement| format!("{}: {}", statement.consumer_domain, lines(statement))).collect()
    }

    fn sql(&self, sql: &str) -> rusqlite::Result<usize> {
        Connection::open(self.folder.path().join("journal.sqlite")).expect("opens").execute(sql, [])
    }
}

fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
    result.expect_err("is refused").message().to_owned()
}

#[tokio::test]
async fn a_closed_month_has_a_statement_for_each_consumer_and_closing_again_changes_nothing() {
    let world = World::at("2026-11-20T12:00:00Z");
    world.query("marketing", "fraud", 2 * GIB).await;
    world.query("marketing", "fraud", GIB).await;
    world.query("finance", "fraud", 5 * GIB).await;
    assert_eq!(message(world.close("2026-11")), "2026-11 is not over");
    world.to("2026-11-30T23:59:59Z");
    assert_eq!(message(world.close("2026-11")), "2026-11 is not over");
    world.to("2026-12-01T00:00:00Z");
    let first = world.close("2026-11").expect("closes");
    assert!(!first.before);
    assert_eq!(world.told("2026-11"), ["finance: usage 2026-11 5", "marketing: usage 2026-11 3"]);
    world.clock.advance(TimeDelta::days(3));
    let again = world.close("2026-11").expect("is told");
    assert!(again.before);
    assert_eq!(again.statements, first.statements);
    // Each names the hash of the one before.
    let [finance, marketing] = first.statements.as_slice() else { panic!("two statements") };
    assert_eq!((finance.previous.clone(), marketing.previous.clone()), (None, Some(finance.hash())));
    assert_eq!(marketing.total().decimal(), 3.into());
}

#[tokio::test]
async fn a_month_with_a_query_that_still_runs_is_not_closed_and_nothing_is_frozen() {
    let world = World::at("2026-11-30T23:59:00Z");
    let (account, meter) = world.begin("marketing", "fraud");
    meter.add(ReadKind::Data, GIB);
    let connection = Connection::open(world.folder.path().join("journal.sqlite")).expect("opens");
    let open = || connection.query_row("SELECT count(*) FROM open", [], |row| row.get::<_, i64>(0)).expect("counts");
    while open() == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    world.to("2026-12-01T00:10:00Z");
    assert_eq!(message(world.close("2026-11")), "queries that began in 2026-11 are not settled: 1");
    drop(meter);
    account.settle(Outcome::Completed, None, 1).await.expect("settles");
    world.close("2026-11").expect("closes");
    assert_eq!(world.told("2026-11"), ["marketing: usage 2026-11 1"]);
}

#[tokio::test]
async fn what_is_read_late_and_what_is_corrected_is_on_the_bill_of_the_first_open_month() {
    let world = World::at("2026-11-30T23:59:00Z");
    let (account, meter) = world.begin("marketing", "fraud");
    meter.add(ReadKind::Data, GIB);
    // Somebody still reads for the query when it is settled.
    account.settle(Outcome::Cancelled, Some("57014"), 0).await.expect("settles");
    world.to("2026-12-01T00:10:00Z");
    world.close("2026-11").expect("closes");
    let issued = world.told("2026-11");
    assert_eq!(issued, ["marketing: usage 2026-11 1"]);
    meter.add(ReadKind::Data, 2 * GIB);
    drop(meter);
    world.query("marketing", "fraud", 4 * GIB).await;
    assert_eq!(world.correct("2026-11", "-0.25").expect("books"), month("2026-12"));
    assert_eq!(world.correct("2026-12", "0.000000000000001").expect("books"), month("2026-12"));
    assert_eq!(world.told("2026-11"), issued);
    world.to("2027-01-02T00:00:00Z");
    world.close("2026-12").expect("closes");
    let want = "marketing: late 2026-11 2, correction 2026-11 -0.25, usage 2026-12 4, correction 2026-12 0.000000000000001";
    assert_eq!(world.told("2026-12"), [want]);
    assert_eq!(world.correct("2026-11", "1").expect("books"), month("2027-01"));
}

#[tokio::test]
async fn months_are_closed_in_their_order_and_a_month_of_nothing_can_be() {
    let world = World::at("2026-09-20T12:00:00Z");
    world.query("marketing", "fraud", GIB).await;
    world.to("2026-12-01T00:00:00Z");
    assert_eq!(message(world.close("2026-11")), "2026-09 is not closed, and comes before 2026-11");
    world.close("2026-09").expect("closes");
    let empty = world.close("2026-11").expect("closes");
    assert_eq!((empty.before, empty.statements.len()), (false, 0));
    assert!(world.close("2026-10").expect("is told").before);
}

#[tokio::test]
async fn a_correction_that_cannot_be_booked_is_refused() {
    let world = World::at("2026-11-20T12:00:00Z");
    assert_eq!(message(world.correct("2026-11", "1")), "the domain marketing was never charged for claims.fraud");
    world.query("marketing", "fraud", GIB).await;
    assert_eq!(message(world.correct("2026-12", "1")), "2026-12 has not begun");
    for amount in ["0", "0.0000000000000001"] {
        assert_eq!(message(world.correct("2026-11", amount)), "the amount must not be zero, nor have more than 15 decimals");
    }
    assert_eq!(world.correct("2026-11", "-1.5").expect("books"), month("2026-11"));
}

#[tokio::test]
async fn for_chargeback_every_line_has_two_cost_centres_or_nothing_is_closed() {
    let world = World::at("2026-11-20T12:00:00Z");
    world.query("marketing", "fraud", GIB).await;
    world.to("2026-12-01T00:00:00Z");
    let mut terms = Terms { billing: Billing::Chargeback, cost_centers: [(domain("marketing"), "CC-1".to_owned())].into() };
    let refused = close(world.folder.path(), month("2026-11"), world.clock.now(), &terms);
    assert_eq!(message(refused), "the domain claims has no cost centre to book on");
    // It is open as before.
    assert_eq!(world.correct("2026-11", "1").expect("books"), month("2026-11"));
    terms.cost_centers.insert(domain("claims"), "CC-2".to_owned());
    let closed = close(world.folder.path(), month("2026-11"), world.clock.now(), &terms).expect("closes");
    let statement = closed.statements.first().expect("one");
    let centers: Vec<_> = statement.lines.iter().map(|line| (line.cost_center.as_deref(), line.producer_cost_center.as_deref())).collect();
    assert_eq!((statement.mode.as_str(), centers), ("chargeback", vec![(Some("CC-1"), Some("CC-2")); 2]));
}

#[tokio::test]
async fn what_was_closed_is_not_changed_by_hand_and_if_it_is_forced_it_is_noticed() {
    let world = World::at("2026-11-20T12:00:00Z");
    world.query("marketing", "fraud", GIB).await;
    world.query("marketing", "notes", GIB).await;
    world.correct("2026-11", "3").expect("books");
    world.to("2026-12-01T00:00:00Z");
    world.close("2026-11").expect("closes");
    for table in ["closes", "statements", "statement_lines", "corrections"] {
        let key = if table == "closes" { "month" } else { "entry" };
        for sql in [format!("UPDATE {table} SET {key} = {key}"), format!("DELETE FROM {table}")] {
            let said = world.sql(&sql).expect_err("is refused").to_string();
            assert!(said.contains("not changed") || said.contains("not taken back"), "{sql}: {said}");
        }
    }
    world.sql("INSERT INTO usage SELECT NULL, boot, seq + 100, query_id, started_at, ended_at, principal, consumer_domain, cost_center, purpose,
        protocol, application_name, producer_domain, product, port, product_version, table_version, bytes_from_storage, bytes_from_cache,
        bytes_metadata, storage_requests, rows_returned, outcome, price_id, unit_price, currency, cost_micros, cost_rest, month, bytes_charged,
        volume_before FROM usage").expect_err("the month is closed");
    let connection = Ledger::in_folder(world.folder.path()).connect().expect("connects");
    let trusted = || Statement::of_month(&connection, month("2026-11")).map(|statements| statements.len());
    assert_eq!(trusted().expect("can be trusted"), 1);
    let forced = |sql: &str, back: &str| {
        world.sql(sql).expect("is forced");
        assert_eq!(message(trusted()), "the statement 2026-11-marketing-USD cannot be trusted", "{sql}");
        world.sql(back).expect("is taken back");
        trusted().expect("can be trusted again");
    };
    world.sql("DROP TRIGGER lines_stay").expect("drops");
    world.sql("DROP TRIGGER statements_stay").expect("drops");
    world.sql("DROP TRIGGER usage_stays").expect("drops");
    forced(
        "UPDATE statement_lines SET cost_micros = cost_micros - 1 WHERE line = 1",
        "UPDATE statement_lines SET cost_micros = cost_micros + 1 WHERE line = 1",
    );
    forced(
        "UPDATE statement_lines SET product = 'x' WHERE product = 'notes'",
        "UPDATE statement_lines SET product = 'notes' WHERE product = 'x'",
    );
    forced("UPDATE statements SET previous = 'x'", "UPDATE statements SET previous = NULL");
    forced("UPDATE usage SET cost_rest = cost_rest + 1", "UPDATE usage SET cost_rest = cost_rest - 1");
}

#[tokio::test]
async fn a_close_that_was_interrupted_is_finished_by_the_next() {
    let world = World::at("2026-11-20T12:00:00Z");
    world.query("marketing", "fraud", GIB).await;
    world.to("2026-12-01T00:00:00Z");
    world.sql("INSERT INTO closes VALUES ('2026-11', 0)").expect("is frozen");
    let connection = Ledger::in_folder(world.folder.path()).connect().expect("connects");
    assert_eq!(message(Statement::of_domain(&connection, month("2026-11"), "marketing")), "2026-11 is not closed");
    let closed = world.close("2026-11").expect("closes");
    assert_eq!((closed.before, closed.statements.len()), (false, 1));
    assert!(world.close("2026-11").expect("is told").before);
}

#[tokio::test]
async fn without_a_gateway_what_it_left_unfinished_is_settled_before_the_close() {
    let world = World::at("2026-11-30T23:59:00Z");
    let (account, meter) = world.begin("marketing", "fraud");
    meter.add(ReadKind::Data, GIB);
    let path = world.folder.path().join("journal.sqlite");
    while Connection::open(&path).and_then(|c| c.query_row("SELECT count(*) FROM open", [], |row| row.get::<_, i64>(0))).unwrap_or(0) == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    // What a kill would leave.
    let copy = tempfile::tempdir().expect("folder");
    for file in ["journal.sqlite", "journal.sqlite-wal"] {
        std::fs::copy(world.folder.path().join(file), copy.path().join(file)).expect("copies");
    }
    let now = "2026-12-01T00:00:00Z".parse().expect("a time");
    let closed = close(copy.path(), month("2026-11"), now, &Terms::default()).expect("closes");
    assert_eq!(closed.statements.iter().map(Statement::total).collect::<Vec<_>>(), [Cost::from_units(10_i128.pow(15))]);
    drop((account, meter));
}

/// Random charges, corrections and closes: every amount is on exactly one bill, and a bill that was issued stays.
#[tokio::test]
async fn every_amount_is_on_one_bill_whatever_comes_when() {
    use proptest::prelude::RngExt as _;
    let mut dice = proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
    let world = World::at("2026-01-15T00:00:00Z");
    world.query("marketing", "fraud", GIB).await;
    let (mut owed, mut last, mut issued) = (10_i128.pow(15), month("2025-12"), Vec::new());
    let mut held: Vec<Arc<Meter>> = Vec::new();
    for step in 0..60 {
        match dice.random_range(0..10) {
            0..5 => {
                let bytes = dice.random_range(0..5 * GIB);
                owed += Cost::of(bytes, 1024.into()).units();
                world.query(["marketing", "finance"][step % 2], "fraud", bytes).await;
            }
            5 => {
                // A read that outlives its query, and perhaps its month.
                let (account, meter) = world.begin("finance", "notes");
                account.settle(Outcome::Cancelled, None, 0).await.expect("settles");
                held.push(meter);
            }
            6 => held.drain(..).for_each(|meter| {
                owed += Cost::of(GIB, 1024.into()).units();
                meter.add(ReadKind::Data, GIB);
            }),
            7 => {
                let of = if step % 2 == 0 { Month::of(world.clock.now()) } else { month("2026-01") };
                world.correct(&of.to_string(), "-0.125").expect("books");
                owed -= 125 * 10_i128.pow(12);
            }
            _ => {
                world.clock.advance(TimeDelta::days(dice.random_range(1..25)));
                while last.next() < Month::of(world.clock.now()) {
                    last = last.next();
                    world.close(&last.to_string()).expect("closes");
                    issued.push((last, world.told(&last.to_string())));
                }
            }
        }
    }
    drop(held);
    world.journal.close().await.expect("closes");
    for (month, told) in &issued {
        assert_eq!(world.told(&month.to_string()), *told);
    }
    world.clock.advance(TimeDelta::days(62));
    let mut billed = 0;
    let mut month = month("2026-01");
    while month.end() <= world.clock.now() {
        let closed = world.close(&month.to_string()).expect("closes");
        billed += closed.statements.iter().map(|statement| statement.total().units()).sum::<i128>();
        month = month.next();
    }
    assert_eq!(billed, owed);
}
