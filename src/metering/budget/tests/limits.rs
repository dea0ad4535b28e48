//! Limits of bytes: by principal, consumer domain and product, in a query, a day and a month.

use proptest::prelude::ProptestConfig;

use super::*;
use crate::catalog::{Each, Per, Workload};
use crate::metering::Account;

fn product(name: &str) -> ProductId {
    port(name).product
}

fn limit(id: &str, each: Each, per: Per, bytes: u64) -> ScanLimit {
    ScanLimit { id: id.into(), each, per, bytes, products: vec![], consumers: vec![], workload: None }
}

/// A query of somebody, which costs nothing, under these limits.
fn begin(journal: &Journal, who: &str, consumer: &str, limits: &[ScanLimit]) -> Account {
    journal.begin(start_of(journal, (who, consumer), limits)).expect("begins")
}

fn start_of(journal: &Journal, (who, consumer): (&str, &str), limits: &[ScanLimit]) -> QueryStart {
    QueryStart {
        principal: PrincipalName::new(who),
        consumer_domain: domain(consumer),
        prices: PriceList::default(),
        budget: None,
        limits: limits.iter().cloned().map(Arc::new).collect(),
        ..start(journal, 0, 0, true)
    }
}

/// How much of a product could be read now, in steps of ten.
fn room(journal: &Journal, (who, consumer): (&str, &str), name: &str, limits: &[ScanLimit]) -> usize {
    let account = begin(journal, who, consumer, limits);
    let meter = account.meter(&port(name), "1.0.0", "1");
    let room = (0..20).take_while(|_| meter.reserve(10).is_ok()).count() * 10;
    drop((account, meter));
    // Its end gives back what it held.
    journal.flush();
    room
}

async fn read(journal: &Journal, (who, consumer): (&str, &str), name: &str, bytes: u64, limits: &[ScanLimit]) {
    let account = begin(journal, who, consumer, limits);
    let meter = account.meter(&port(name), "1.0.0", "1");
    meter.reserve(bytes).expect("fits");
    meter.add(ReadKind::Data, bytes);
    drop(meter);
    account.settle(Outcome::Completed, None, 0).await.expect("settles");
}

#[tokio::test]
async fn each_limit_counts_whose_bytes_it_says_for_as_long_as_it_says() {
    let folder = tempfile::tempdir().expect("folder");
    let (journal, clock) = journal(folder.path(), "2026-11-20T12:00:00Z");
    let by = |each, per| [limit("l", each, per, 100)];
    let ann = ("ann", "marketing");
    // Nothing is limited while it is read: a limit that is new counts what was before it.
    read(&journal, ann, "a", 30, &[]).await;
    read(&journal, ("bob", "marketing"), "a", 20, &[]).await;
    read(&journal, ("cat", "claims"), "b", 40, &[]).await;
    let left = |journal: &Journal, who, name, each| {
        let [day, month] = [Per::Day, Per::Month].map(|per| room(journal, who, name, &by(each, per)));
        assert_eq!(day, month, "{each:?}");
        day
    };
    assert_eq!(left(&journal, ann, "a", Each::Principal), 70);
    assert_eq!(left(&journal, ann, "b", Each::Principal), 70);
    assert_eq!(left(&journal, ann, "a", Each::Consumer), 50);
    assert_eq!(left(&journal, ("dan", "policy"), "a", Each::Product), 50);
    assert_eq!(left(&journal, ann, "b", Each::Product), 60);
    assert_eq!(left(&journal, ann, "b", Each::ConsumerProduct), 100);
    assert_eq!(left(&journal, ann, "a", Each::ConsumerProduct), 50);
    // A restart forgets nothing.
    journal.close().await.expect("closes");
    let journal = Journal::open(folder.path(), clock.clone()).expect("opens");
    assert_eq!(left(&journal, ann, "a", Each::Principal), 70);
    assert_eq!(left(&journal, ann, "b", Each::Product), 60);
    // A new day, the same month; then a new month.
    clock.advance(chrono::TimeDelta::days(1));
    assert_eq!(room(&journal, ann, "a", &by(Each::Consumer, Per::Day)), 100);
    assert_eq!(room(&journal, ann, "a", &by(Each::Consumer, Per::Month)), 50);
    journal.close().await.expect("closes");
    let journal = Journal::open(folder.path(), clock.clone()).expect("opens");
    assert_eq!(room(&journal, ann, "a", &by(Each::Consumer, Per::Day)), 100);
    assert_eq!(room(&journal, ann, "a", &by(Each::Consumer, Per::Month)), 50);
    clock.advance(chrono::TimeDelta::days(15));
    assert_eq!(room(&journal, ann, "a", &by(Each::Consumer, Per::Month)), 100);
}

#[tokio::test]
async fn a_limit_for_crawlers_counts_their_work_alone_and_all_others_count_it_too() {
    let folder = tempfile::tempdir().expect("folder");
    let (journal, clock) = journal(folder.path(), "2026-11-20T12:00:00Z");
    let of = |workload| ScanLimit { workload, ..limit("l", Each::Principal, Per::Day, 100) };
    let (crawls, asks, all) = (of(Some(Workload::Crawl)), of(Some(Workload::Interactive)), of(None));
    let ann = ("ann", "marketing");
    let read_by = async |journal: &Journal, workload, bytes| {
        let account = journal.begin(QueryStart { workload, ..start_of(journal, ann, &[]) }).expect("begins");
        account.meter(&port("a"), "1.0.0", "1").add(ReadKind::Data, bytes);
        account.settle(Outcome::Completed, None, 0).await.expect("settles");
    };
    read_by(&journal, Workload::Crawl, 30).await;
    read_by(&journal, Workload::Interactive, 20).await;
    let left = |journal: &Journal| [&crawls, &asks, &all].map(|limit| room(journal, ann, "a", std::slice::from_ref(limit)));
    assert_eq!(left(&journal), [70, 80, 50]);
    journal.close().await.expect("closes");
    let journal = Journal::open(folder.path(), clock).expect("opens");
    assert_eq!(left(&journal), [70, 80, 50], "a restart forgets neither");
}

#[tokio::test]
async fn a_read_takes_from_all_that_limits_it_or_from_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let (journal, _) = journal(folder.path(), "2026-11-20T12:00:00Z");
    let narrow = ScanLimit { products: vec![product("a")], ..limit("narrow", Each::Product, Per::Day, 30) };
    let limits = [limit("wide", Each::Principal, Per::Day, 100), limit("wider", Each::Principal, Per::Day, 200), narrow];
    let account = begin(&journal, "ann", "marketing", &limits);
    let (a, b) = (account.meter(&port("a"), "1.0.0", "1"), account.meter(&port("b"), "1.0.0", "1"));
    for _ in 0..10 {
        let refused = a.reserve(31).expect_err("31 of 30");
        assert_eq!(refused.to_string(), "the limit \"narrow\" is reached");
    }
    // Nothing of the refused reads is held, and two limits on the same bytes count them once.
    b.reserve(100).expect("100 of 100");
    let LimitReached::Limit { limit, bytes: 100, used: Some(used), until: Some(until) } = a.reserve(1).expect_err("101 of 100") else {
        panic!("another limit")
    };
    assert_eq!((limit.id.as_str(), used.percent(), until.to_rfc3339().as_str()), ("wide", 100, "2026-11-21T00:00:00+00:00"));
    b.release(30);
    a.reserve(30).expect("what was given back can be taken again");
}

#[test]
fn the_limits_of_a_query_are_its_own() {
    let folder = tempfile::tempdir().expect("folder");
    let (journal, _) = journal(folder.path(), "2026-11-20T12:00:00Z");
    let limits = [limit("all", Each::Consumer, Per::Query, 100), limit("one", Each::ConsumerProduct, Per::Query, 70)];
    for _ in 0..2 {
        let account = begin(&journal, "ann", "marketing", &limits);
        let (a, b) = (account.meter(&port("a"), "1.0.0", "1"), account.meter(&port("b"), "1.0.0", "1"));
        a.reserve(71).expect_err("71 of 70");
        a.reserve(70).expect("70 of 70");
        b.reserve(31).expect_err("101 of 100");
        b.reserve(30).expect("100 of 100");
    }
}

#[test]
fn queries_at_once_never_pass_any_limit_by_a_byte() {
    let folder = tempfile::tempdir().expect("folder");
    let (journal, _) = journal(folder.path(), "2026-11-20T12:00:00Z");
    let limits = [
        limit("principal", Each::Principal, Per::Day, 30_000),
        limit("consumer", Each::Consumer, Per::Month, 100_000),
        limit("product", Each::Product, Per::Month, 70_000),
    ];
    let taken: Vec<(usize, usize, u64)> = std::thread::scope(|scope| {
        let reader = |at: usize| {
            let account = begin(&journal, ["ann", "bob", "cat", "dan"][at % 4], "marketing", &limits);
            scope.spawn(move || {
                let meters = ["a", "b"].map(|name| account.meter(&port(name), "1.0.0", "1"));
                let mut mine = [0, 0];
                for step in 0..1000 {
                    let which = (step + at) % 2;
                    if meters[which].reserve(70).is_ok() {
                        meters[which].add(ReadKind::Data, 70);
                        mine[which] += 70;
                    }
                }
                [(at % 4, 0, mine[0]), (at % 4, 1, mine[1])]
            })
        };
        let readers: Vec<_> = (0..10).map(reader).collect();
        readers.into_iter().flat_map(|reader| reader.join().expect("ends")).collect()
    });
    let sum = |which: &dyn Fn(&(usize, usize, u64)) -> bool| taken.iter().filter(|one| which(one)).map(|one| one.2).sum::<u64>();
    for principal in 0..4 {
        assert!(sum(&|one| one.0 == principal) <= 30_000);
    }
    for product in 0..2 {
        assert!(sum(&|one| one.1 == product) <= 70_000);
    }
    let all = sum(&|_| true);
    assert!(all <= 100_000 && all > 100_000 - 70, "{all}");
}

#[tokio::test]
async fn what_is_under_way_when_its_query_is_settled_stays_held() {
    let folder = tempfile::tempdir().expect("folder");
    let (journal, _) = journal(folder.path(), "2026-11-20T12:00:00Z");
    let limits = [limit("l", Each::Consumer, Per::Day, 100)];
    let account = begin(&journal, "ann", "marketing", &limits);
    let late = account.meter(&port("a"), "1.0.0", "1");
    late.reserve(60).expect("60 of 100");
    late.add(ReadKind::Data, 10);
    // It waits a second for the read, and then settles without it.
    account.settle(Outcome::Cancelled, None, 0).await.expect("settles");
    assert_eq!(room(&journal, ("bob", "marketing"), "a", &limits), 40);
    late.add(ReadKind::Data, 30);
    late.release(20);
    drop(late);
    journal.flush();
    assert_eq!(room(&journal, ("bob", "marketing"), "a", &limits), 60);
}

/// What one query has reserved and not read, and what it has read, of each product.
#[derive(Clone, Copy, Default)]
struct Model([(u64, u64); 2]);

impl Model {
    fn holds(&self, product: usize) -> u64 {
        self.0[product].0 + self.0[product].1
    }
}

proptest::proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// A read is allowed exactly where a model that adds up everything anew allows it, whatever was reserved, read, given back and ended before.
    #[test]
    fn any_order_of_reads_and_ends_is_held_to_the_limits_exactly(
        steps in proptest::collection::vec((0..5_usize, 0..3_usize, 0..2_usize, 1..40_u64), 1..80)
    ) {
        const WHO: [(&str, &str); 3] = [("ann", "marketing"), ("bob", "marketing"), ("cat", "claims")];
        const PRODUCTS: [&str; 2] = ["a", "b"];
        let limits = [
            limit("principal", Each::Principal, Per::Day, 100),
            limit("consumer", Each::Consumer, Per::Month, 150),
            limit("product", Each::Product, Per::Month, 160),
            limit("pair", Each::ConsumerProduct, Per::Day, 90),
        ];
        let folder = tempfile::tempdir().expect("folder");
        let (journal, _) = journal(folder.path(), "2026-11-20T12:00:00Z");
        let start = |who: usize| {
            let account = begin(&journal, WHO[who].0, WHO[who].1, &limits);
            let meters = PRODUCTS.map(|name| account.meter(&port(name), "1.0.0", "1"));
            Some((account, meters))
        };
        let (mut queries, mut running, mut settled) = ([0, 1, 2].map(start), [Model::default(); 3], [Model::default(); 3]);
        for (step, who, product, bytes) in steps {
            let model = &mut running[who].0[product];
            let meter = &queries[who].as_ref().expect("runs").1[product];
            match step {
                0 | 1 => {
                    let used = |of: &dyn Fn(usize, usize) -> bool| -> u64 {
                        let all = (0..3).flat_map(|who| [(who, 0), (who, 1)]).filter(|(who, product)| of(*who, *product));
                        all.map(|(who, product)| running[who].holds(product) + settled[who].holds(product)).sum()
                    };
                    let fits = used(&|w, _| w == who) + bytes <= 100
                        && used(&|w, _| WHO[w].1 == WHO[who].1) + bytes <= 150
                        && used(&|_, p| p == product) + bytes <= 160
                        && used(&|w, p| p == product && WHO[w].1 == WHO[who].1) + bytes <= 90;
                    proptest::prop_assert_eq!(meter.reserve(bytes).is_ok(), fits);
                    if fits {
                        running[who].0[product].0 += bytes;
                    }
                }
                2 => {
                    let read = bytes.min(model.0);
                    meter.add(ReadKind::Data, read);
                    *model = (model.0 - read, model.1 + read);
                }
                3 => {
                    let back = bytes.min(model.0);
                    meter.release(back);
                    model.0 -= back;
                }
                _ => {
                    queries[who] = None;
                    journal.flush();
                    for product in 0..2 {
                        settled[who].0[product].1 += running[who].0[product].1;
                    }
                    running[who] = Model::default();
                    queries[who] = start(who);
                }
            }
        }
    }
}
