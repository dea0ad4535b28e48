use super::*;
use crate::catalog::{Price, Tier};
use crate::clock::Clock;
use crate::id::{PortId, PortName, PrincipalName, ProductName};
use crate::metering::{Journal, Outcome, Protocol, ReadKind};

mod limits;

/// One unit of money a byte.
const PER_TIB: u64 = 1 << 40;

fn domain(name: &str) -> DomainName {
    DomainName::new(name).expect("name")
}

fn port(product: &str) -> PortId {
    let product = ProductId { domain: domain("claims"), product: ProductName::new(product).expect("name") };
    PortId { product, major: 1, port: PortName::new("sql").expect("name") }
}

/// A query of `marketing`, which may spend `monthly`.
fn start(journal: &Journal, monthly: u64, minimum: u64, charge_failed: bool) -> QueryStart {
    let price =
        Price { round_to: 10, minimum_per_query: minimum, charge_failed, ..Price::flat("p", journal.now().date_naive(), PER_TIB.into()) };
    QueryStart {
        protocol: Protocol::Flight,
        prices: PriceList::of_one("USD", price),
        budget: Some(Budget { monthly: monthly.into(), alerts: vec![50, 100], forecast_alerts: vec![100], block: true }),
        ..QueryStart::for_test(domain("marketing"), journal.now())
    }
}

fn journal(folder: &std::path::Path, at: &str) -> (Journal, Clock) {
    let clock = Clock::fixed(at.parse().expect("a time"));
    (Journal::open(folder, clock.clone()).expect("opens"), clock)
}

#[tokio::test]
async fn a_read_that_would_pass_the_budget_is_refused_and_rounding_and_minimum_count() {
    let folder = tempfile::tempdir().expect("folder");
    let (journal, clock) = journal(folder.path(), "2026-11-20T12:00:00Z");
    let account = journal.begin(start(&journal, 100, 30, true)).expect("begins");
    let (a, b) = (account.meter(&port("a"), "1.0.0", "1"), account.meter(&port("b"), "1.0.0", "1"));
    // 1 byte holds the minimum of 30, 31 bytes hold 40: with 30 for the other product there is room for 70 of the first.
    a.reserve(1).expect("30 of 100");
    b.reserve(30).expect("60 of 100");
    a.reserve(69).expect("100 of 100");
    let refused = a.reserve(1).expect_err("110 of 100");
    assert_eq!(refused.to_string(), "the monthly budget of the domain marketing is used up");
    a.release(1);
    a.reserve(1).expect("what was given back can be taken again");
    a.add(ReadKind::Data, 9);
    account.settle(Outcome::Completed, None, 0).await.expect("settles");
    drop((a, b));
    journal.flush();

    // It was charged 30 for the 9 bytes it read, so 70 are left.
    let next = journal.begin(start(&journal, 100, 0, true)).expect("begins");
    let meter = next.meter(&port("a"), "1.0.0", "1");
    meter.reserve(71).expect_err("101 of 100");
    meter.reserve(70).expect("100 of 100");
    meter.release(70);
    drop((next, meter));
    clock.advance(chrono::TimeDelta::days(11));
    let december = journal.begin(start(&journal, 100, 0, true)).expect("begins");
    december.meter(&port("a"), "1.0.0", "1").reserve(100).expect("a new month, a new budget");
}

#[tokio::test]
async fn what_was_spent_before_a_restart_counts_and_what_is_not_charged_does_not() {
    let folder = tempfile::tempdir().expect("folder");
    let at = "2026-11-20T12:00:00Z";
    let (first, _) = journal(folder.path(), at);
    for (outcome, charge_failed) in [(Outcome::Completed, true), (Outcome::Failed, true), (Outcome::Failed, false)] {
        let account = first.begin(start(&first, 100, 0, charge_failed)).expect("begins");
        let meter = account.meter(&port("a"), "1.0.0", "1");
        meter.reserve(20).expect("fits");
        meter.add(ReadKind::Data, 20);
        drop(meter);
        account.settle(outcome, None, 0).await.expect("settles");
    }
    let left = |journal: &Journal| {
        let account = journal.begin(start(journal, 100, 0, true)).expect("begins");
        let meter = account.meter(&port("a"), "1.0.0", "1");
        (1..=11).take_while(|_| meter.reserve(10).is_ok()).count() * 10
    };
    assert_eq!(left(&first), 60);
    first.close().await.expect("closes");
    let (second, _) = journal(folder.path(), at);
    assert_eq!(left(&second), 60);
}

#[test]
fn queries_at_once_never_pass_the_budget_by_a_byte() {
    let folder = tempfile::tempdir().expect("folder");
    let (journal, _) = journal(folder.path(), "2026-11-20T12:00:00Z");
    let taken: u64 = std::thread::scope(|scope| {
        let reader = |_| {
            let account = journal.begin(start(&journal, 100_000, 0, true)).expect("begins");
            scope.spawn(move || {
                let meter = account.meter(&port("a"), "1.0.0", "1");
                let mut mine = 0;
                while meter.reserve(70).is_ok() {
                    meter.add(ReadKind::Data, 70);
                    mine += 70;
                }
                mine
            })
        };
        let readers: Vec<_> = (0..10).map(reader).collect();
        readers.into_iter().map(|reader| reader.join().expect("ends")).sum()
    });
    assert!(taken <= 100_000 && taken > 100_000 - 10 * 70, "{taken}");
}

#[test]
fn a_budget_that_only_warns_refuses_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let (journal, _) = journal(folder.path(), "2026-11-20T12:00:00Z");
    let mut start = start(&journal, 1, 0, true);
    if let Some(budget) = &mut start.budget {
        budget.block = false;
    }
    let account = journal.begin(start).expect("begins");
    account.meter(&port("a"), "1.0.0", "1").reserve(1_000_000).expect("it only warns");
}

#[tokio::test]
async fn a_running_query_holds_the_dearest_tier_and_pays_what_its_place_in_the_month_costs() {
    let folder = tempfile::tempdir().expect("folder");
    let (journal, _) = journal(folder.path(), "2026-11-20T12:00:00Z");
    let start = || {
        let tiers = vec![Tier { above: 50, per_tib: (3 * PER_TIB).into() }];
        let price = Price { free_per_month: 10, tiers, ..Price::flat("p", journal.now().date_naive(), PER_TIB.into()) };
        QueryStart { prices: PriceList::of_one("USD", price), ..start(&journal, 100, 0, true) }
    };
    let account = journal.begin(start()).expect("begins");
    let meter = account.meter(&port("a"), "1.0.0", "1");
    meter.reserve(33).expect("99 of 100");
    meter.reserve(1).expect_err("102 of 100");
    meter.add(ReadKind::Data, 33);
    drop(meter);
    account.settle(Outcome::Completed, None, 0).await.expect("settles");
    // Ten were free: it cost 23.
    let account = journal.begin(start()).expect("begins");
    let meter = account.meter(&port("a"), "1.0.0", "1");
    meter.reserve(25).expect("98 of 100");
    meter.reserve(1).expect_err("101 of 100");
    meter.add(ReadKind::Data, 25);
    drop(meter);
    account.settle(Outcome::Completed, None, 0).await.expect("settles");
    // Seventeen at one, eight at three: 64 of 100.
    let account = journal.begin(start()).expect("begins");
    let meter = account.meter(&port("a"), "1.0.0", "1");
    meter.reserve(12).expect("100 of 100");
    meter.reserve(1).expect_err("103 of 100");
}
