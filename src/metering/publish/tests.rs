//! What is promised: the table, the journal and the copy together show each settled row once, wherever a round ends.

mod cut;
mod world;

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use object_store::ObjectStore;
use proptest::prelude::*;

use self::cut::{Cut, Mode, round_until};
use self::world::{Gateway, World, copy_folder, in_table, runtime};
use super::table::PublishedTable;
use super::*;

#[tokio::test]
async fn each_row_is_published_once_and_shown_once() {
    let world = World::new();
    let gateway = world.gateway("a");
    gateway.settle(5).await;
    let mut publisher = gateway.publisher();
    for _ in 0..3 {
        publisher.round().await.expect("publishes");
    }
    assert_eq!(in_table(&world.store()).await, gateway.rows());
    gateway.settle(3).await;
    assert_eq!(gateway.shown(), gateway.rows(), "shown before it is published");
    publisher.round().await.expect("publishes");
    assert_eq!(in_table(&world.store()).await, gateway.rows());
    assert_eq!(gateway.shown(), gateway.rows());
    assert_eq!(gateway.rows().len(), 8);
}

#[tokio::test]
async fn gateways_publish_to_one_table_and_each_shows_the_rows_of_all() {
    let world = World::new();
    let (a, b) = (world.gateway("a"), world.gateway("b"));
    let (mut of_a, mut of_b) = (a.publisher(), b.publisher());
    a.settle(4).await;
    b.settle(3).await;
    // Both look at an empty place, so one of them finds a table that it wanted to make.
    let (first, second) = tokio::join!(of_a.round(), of_b.round());
    first.and(second).expect("both publish");
    a.settle(2).await;
    b.settle(2).await;
    let (first, second) = tokio::join!(of_a.round(), of_b.round());
    first.and(second).expect("both publish");
    of_a.round().await.expect("publishes");
    of_b.round().await.expect("publishes");
    let all = world::together(&[&a, &b]);
    assert_eq!(all.len(), 11);
    assert_eq!(in_table(&world.store()).await, all);
    assert_eq!((a.shown(), b.shown()), (all.clone(), all));
}

#[tokio::test]
async fn a_commit_that_others_were_faster_than_is_made_behind_theirs() {
    let world = World::new();
    let (a, b) = (world.gateway("a"), world.gateway("b"));
    a.settle(2).await;
    b.settle(1).await;
    let (mut of_a, mut of_b) = (a.publisher(), b.publisher());
    of_a.publish().await.expect("publishes");
    // What a knows of the table is old by the time that it commits.
    let mut stale = PublishedTable::open(&world.store()).await.expect("opens");
    for _ in 0..3 {
        b.settle(1).await;
        of_b.publish().await.expect("publishes");
    }
    a.settle(1).await;
    let own = a.journal.gateway_id().to_owned();
    let mut walk = Walk::begin(&Ledger::of(&a.journal), published(), "usage", OWN, vec![]).expect("begins").behind(2);
    let files = stale.write(|| walk.page()).await.expect("writes");
    stale.append(files, &own, 3).await.expect("appends");
    assert_eq!(in_table(&world.store()).await, world::together(&[&a, &b]));
}

#[tokio::test]
async fn what_this_gateway_has_appended_already_is_not_appended_by_one_that_does_not_know() {
    let world = World::new();
    let a = world.gateway("a");
    a.settle(2).await;
    a.publisher().publish().await.expect("publishes");
    a.settle(2).await;
    let own = a.journal.gateway_id().to_owned();
    let mut stale = PublishedTable::open(&world.store()).await.expect("opens");
    a.publisher().publish().await.expect("publishes");
    let mut walk = Walk::begin(&Ledger::of(&a.journal), published(), "usage", OWN, vec![]).expect("begins").behind(2);
    let files = stale.write(|| walk.page()).await.expect("writes");
    stale.append(files, &own, 4).await.expect("it is in the table");
    assert_eq!(in_table(&world.store()).await, a.rows());
}

/// A gateway with a round before it in which everything happens: an append, a checkpoint, rows of another gateway, a compaction.
async fn eventful() -> World {
    let world = World::new();
    let (a, b) = (world.gateway("a"), world.gateway("b"));
    let (mut of_a, mut of_b) = (a.publisher(), b.publisher());
    // Version 0 makes the table; the twentieth commit makes a checkpoint.
    world::make_table(&world.store(), &[], 20).await;
    for _ in 0..17 {
        a.settle(1).await;
        of_a.publish().await.expect("publishes");
    }
    b.settle(3).await;
    of_b.publish().await.expect("publishes");
    a.settle(2).await;
    a.journal.close().await.expect("closes");
    b.journal.close().await.expect("closes");
    world
}

/// Kills a round at its operations on the store, one life of a gateway for each: at every sixth, beginning with any, or with MESHGATE_KILLS
/// at each of them. What follows is all of a round but joining files, which changes no rows and takes its time.
fn killed_at_every_operation(mode: Mode) {
    let base = runtime().block_on(eventful());
    let (mut joined, mut checkpoints) = (0, 0);
    let all = std::env::var_os("MESHGATE_KILLS").is_some();
    let (first, step) = if all { (0, 1) } else { (rand::random_range(0..6), 6) };
    for operation in (first..).step_by(step) {
        let world = World::copy_of(&base);
        let context = format!("killed {mode:?} operation {operation}");
        let (killed, all) = runtime().block_on(async {
            let a = world.gateway("a");
            let cut = Arc::new(Cut::new(world.store(), operation, mode));
            let round = round_until(&cut, a.publisher_to(Arc::clone(&cut) as Arc<dyn ObjectStore>));
            let killed = round.is_none();
            round.unwrap_or(Ok(())).expect("publishes");
            // What is shown holds at this very moment too.
            assert_eq!(a.own_shown(), a.rows(), "{context}");
            a.journal.close().await.expect("closes");
            (killed, world.all_of(&["a", "b"]))
        });
        runtime().block_on(async {
            let a = world.gateway("a");
            let mut publisher = a.publisher();
            publisher.publish().await.unwrap_or_else(|fault| panic!("{context}: {}", explain(&fault)));
            let table = publisher.table.take().expect("a table");
            publisher.follow(&table).await.unwrap_or_else(|fault| panic!("{context}: {}", explain(&fault)));
            assert_eq!(in_table(&world.store()).await, all, "{context}");
            assert_eq!(a.shown(), all, "{context}");
            joined += usize::from(table.files().await.expect("files").len() < 5);
        });
        checkpoints += usize::from(world.has_checkpoint());
        if !killed {
            eprintln!("{operation} operations, of which {checkpoints} leave a checkpoint and {joined} joined files");
            break;
        }
    }
    assert!(checkpoints >= 1 && joined >= 1, "rounds are killed before and after they join files: {checkpoints} {joined}");
}

#[test]
fn killed_before_any_operation_a_round_leaves_each_row_to_be_published_once() {
    killed_at_every_operation(Mode::Before);
}

#[test]
fn killed_after_any_operation_a_round_leaves_each_row_to_be_published_once() {
    killed_at_every_operation(Mode::After);
}

#[tokio::test]
async fn many_small_files_are_joined_and_nothing_else_changes() {
    let world = World::new();
    let (a, b) = (world.gateway("a"), world.gateway("b"));
    let (mut of_a, mut of_b) = (a.publisher(), b.publisher());
    for _ in 0..20 {
        a.settle(1).await;
        of_a.publish().await.expect("publishes");
    }
    b.settle(1).await;
    of_b.publish().await.expect("publishes");
    let mut table = PublishedTable::open(&world.store()).await.expect("opens");
    // While one joins its files, another appends.
    b.settle(1).await;
    let (joined, appended) = tokio::join!(table.compact(a.journal.gateway_id()), of_b.publish());
    appended.expect("publishes");
    assert!(joined.expect("joins"));
    table.refresh().await.expect("refreshes");
    let files = table.files().await.expect("files");
    assert_eq!(files.iter().filter(|file| file.gateway == a.journal.gateway_id()).count(), 1, "{files:?}");
    assert_eq!(in_table(&world.store()).await, world::together(&[&a, &b]));
    assert!(!table.compact(a.journal.gateway_id()).await.expect("nothing to do"));
}

#[tokio::test]
async fn a_store_that_fails_stops_nothing_and_is_tried_again() {
    let world = World::new();
    let a = world.gateway("a");
    a.settle(2).await;
    let cut = Arc::new(Cut::new(world.store(), 0, Mode::Fail));
    let metrics = Metrics::new();
    let rhythm = Rhythm { every: Duration::from_millis(50), keep: None };
    let publisher = Publisher::new(&a.journal, Arc::clone(&cut) as Arc<dyn ObjectStore>, rhythm, metrics.clone()).expect("is made");
    let running = publisher.start().expect("starts");
    let failed = || metrics.render().contains("meshgate_ledger_failures_total 2");
    world::wait_for(failed).await;
    a.settle(1).await;
    assert_eq!(a.shown(), a.rows());
    cut.mend();
    let published = || metrics.render().contains("meshgate_ledger_exported_rows_total 3");
    world::wait_for(published).await;
    // The last rows are published when the gateway stops.
    a.settle(4).await;
    a.journal.close().await.expect("closes");
    running.finish().await;
    assert_eq!(in_table(&world.store()).await, a.rows());
    assert_eq!(a.rows().len(), 7);
}

#[tokio::test]
async fn a_gateway_does_not_wait_for_a_store_that_does_not_answer() {
    let world = World::new();
    let a = world.gateway("a");
    a.settle(1).await;
    let cut = Arc::new(Cut::new(world.store(), 0, Mode::Before));
    let rhythm = Rhythm { every: Duration::from_secs(1), keep: None };
    let publisher = Publisher::new(&a.journal, Arc::clone(&cut) as Arc<dyn ObjectStore>, rhythm, Metrics::new()).expect("is made");
    let running = publisher.start().expect("starts");
    cut.reached().await;
    let finished = tokio::time::timeout(LAST_ROUND + Duration::from_secs(5), running.finish());
    finished.await.expect("it stops");
}

#[tokio::test]
async fn old_rows_leave_the_journal_and_stay_in_the_figures() {
    let world = World::new();
    let (a, b) = (world.gateway("a"), world.gateway("b"));
    a.settle(2500).await;
    b.settle(2).await;
    b.publisher().round().await.expect("publishes");
    a.publisher().round().await.expect("publishes");
    let all = world::together(&[&a, &b]);
    world.clock.advance(TimeDelta::days(70));
    a.settle(3).await;
    let newest: Vec<_> = a.rows().into_iter().filter(|row| !all.contains(row)).collect();
    let everything: Vec<_> = {
        let mut rows = all.clone();
        rows.extend(newest.iter().cloned());
        rows.sort();
        rows
    };
    let mut walk = a.walk();
    let first = walk.page().expect("reads").map_or(0, |page| page.num_rows());

    // While they are in both places they are shown once.
    let table = PublishedTable::open(&world.store()).await.expect("opens");
    let own = a.journal.gateway_id().to_owned();
    let files = table.files().await.expect("files").into_iter().filter(|file| file.gateway == own).collect();
    a.publisher().take(&table, &own, files, 1000).await.expect("takes");
    a.publisher().publish().await.expect("publishes");
    assert_eq!((a.rows().len(), a.shown().len()), (2503, 2503 + 2));

    let rhythm = Rhythm { every: Duration::from_secs(1), keep: Some(Duration::from_secs(62 * 86_400)) };
    let mut publisher = a.publisher_with(world.store(), rhythm);
    publisher.round().await.expect("publishes");
    assert_eq!(a.rows(), newest, "what the journal has");
    assert_eq!(a.shown(), everything);
    assert_eq!(in_table(&world.store()).await, everything);
    // A reader that had begun before reads each row once.
    let mut rows = first;
    while let Some(page) = walk.page().expect("reads") {
        rows += page.num_rows();
    }
    assert_eq!(rows, everything.len());

    // The copy is lost: it comes back from the table.
    drop(publisher);
    std::fs::remove_file(a.state().join("published.sqlite")).expect("removes");
    a.publisher().round().await.expect("publishes");
    assert_eq!(a.shown(), everything);

    // The table is lost: it comes back from journal and copy, but for what was others'.
    std::fs::remove_dir_all(world.table()).expect("removes");
    std::fs::create_dir(world.table()).expect("makes");
    a.publisher().round().await.expect("publishes");
    b.publisher().round().await.expect("publishes");
    assert_eq!(in_table(&world.store()).await, everything);
}

#[tokio::test]
async fn nothing_leaves_the_journal_that_the_table_does_not_show() {
    let world = World::new();
    let a = world.gateway("a");
    a.settle(4).await;
    let rhythm = Rhythm { every: Duration::from_secs(1), keep: Some(Duration::from_secs(62 * 86_400)) };
    a.publisher().round().await.expect("publishes");
    world.clock.advance(TimeDelta::days(70));
    // Somebody else's table, in which a row costs something else.
    let journal = rusqlite::Connection::open(a.journal.path()).expect("opens");
    journal.execute_batch("DROP TRIGGER usage_stays; UPDATE usage SET cost_rest = cost_rest + 1 WHERE entry = 2").expect("forges");
    let refused = a.publisher_with(world.store(), rhythm).round().await.expect_err("refused");
    assert_eq!(refused.to_string(), "the published ledger differs from the journal");
    assert_eq!(a.rows().len(), 4);
}

#[tokio::test]
async fn a_journal_that_is_older_than_the_table_publishes_nothing() {
    let world = World::new();
    let a = world.gateway("a");
    a.settle(2).await;
    a.journal.close().await.expect("closes");
    let backup = tempfile::tempdir().expect("folder");
    copy_folder(a.state(), backup.path());
    let a = world.gateway("a");
    a.settle(2).await;
    a.publisher().round().await.expect("publishes");
    let table = in_table(&world.store()).await;
    let restored = Gateway::in_folder(backup.path(), &world);
    restored.settle(1).await;
    let refused = restored.publisher().round().await.expect_err("refused");
    assert!(refused.to_string().contains("its journal does not have"), "{refused}");
    assert_eq!(in_table(&world.store()).await, table);
}

#[tokio::test]
async fn a_table_of_an_older_gateway_gets_the_columns_that_it_lacks() {
    let world = World::new();
    let (a, b) = (world.gateway("a"), world.gateway("b"));
    world::make_table(&world.store(), &["cost_center", "purpose"], 100).await;
    a.settle(2).await;
    b.settle(1).await;
    a.publisher().round().await.expect("publishes");
    b.publisher().round().await.expect("publishes");
    assert_eq!(b.shown(), world::together(&[&a, &b]));
    let centers = "SELECT count(*) FROM usage WHERE cost_center = 'CC-1'";
    assert_eq!(Ledger::of(&b.journal).number(centers, &[]).expect("counts"), 3);
}

/// What may happen, in any order.
#[derive(Debug, Clone, Copy)]
enum Event {
    Settle(usize, usize),
    Round(usize),
    Killed(usize, i64, Mode),
    Days(i64),
    LoseCopy(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let mode = prop_oneof![Just(Mode::Before), Just(Mode::After), Just(Mode::Fail)];
    prop_oneof![
        4 => (0..2_usize, 1..5_usize).prop_map(|(who, rows)| Event::Settle(who, rows)),
        3 => (0..2_usize).prop_map(Event::Round),
        4 => (0..2_usize, 0..40_i64, mode).prop_map(|(who, at, mode)| Event::Killed(who, at, mode)),
        1 => (1..50_i64).prop_map(Event::Days),
        1 => (0..2_usize).prop_map(Event::LoseCopy),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_table_and_the_journal_are_together_what_was_settled(events in prop::collection::vec(event(), 1..25)) {
        runtime().block_on(async {
            let world = World::new();
            let gateways = [world.gateway("a"), world.gateway("b")];
            let rhythm = Rhythm { every: Duration::from_secs(1), keep: Some(Duration::from_secs(62 * 86_400)) };
            let mut settled = [Vec::new(), Vec::new()];
            for event in events {
                match event {
                    Event::Settle(who, rows) => {
                        gateways[who].settle(rows).await;
                        settled[who].extend(gateways[who].rows());
                        settled[who].sort();
                        settled[who].dedup();
                    }
                    Event::Round(who) => gateways[who].publisher_with(world.store(), rhythm).round().await.expect("publishes"),
                    Event::Killed(who, at, mode) => {
                        let cut = Arc::new(Cut::new(world.store(), at, mode));
                        let publisher = gateways[who].publisher_with(Arc::clone(&cut) as Arc<dyn ObjectStore>, rhythm);
                        // With a store that fails this is an error, and no more.
                        let _ = round_until(&cut, publisher);
                    }
                    Event::Days(days) => world.clock.advance(TimeDelta::days(days)),
                    Event::LoseCopy(who) => {
                        // Only what the table has can come back, so it is given the chance.
                        gateways[who].publisher().round().await.expect("publishes");
                        let _ = std::fs::remove_file(gateways[who].state().join("published.sqlite"));
                        gateways[who].publisher().round().await.expect("publishes");
                    }
                }
                for (gateway, settled) in gateways.iter().zip(&settled) {
                    assert_eq!(&gateway.own_shown(), settled, "after {event:?}");
                    assert!(gateway.adds_up(), "after {event:?}");
                }
            }
            for gateway in gateways.iter().chain(&gateways) {
                gateway.publisher_with(world.store(), rhythm).round().await.expect("publishes");
            }
            let mut all = settled.concat();
            all.sort();
            assert_eq!(in_table(&world.store()).await, all);
            for gateway in &gateways {
                assert_eq!(gateway.shown(), all);
            }
        });
    }
}
