//! C and D: sessions, caches, revocation, side channels.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use super::{Both, ask, told};
use crate::harness::{FINANCE, eventually};
use crate::leaks::{CALM, HOSTILE, Reader};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_a_revoked_right_bites_on_what_was_prepared_opened_and_cached() {
    let bob = Reader::of(HOSTILE).await;
    let (prepared, cursor, sql) = (bob.gateway.pg("bob").await, bob.gateway.pg("bob").await, "SELECT id FROM hr.people_csv ORDER BY id");
    let statement = prepared.prepare(sql).await.unwrap();
    assert_eq!(prepared.query(&statement, &[]).await.unwrap().len(), 5);
    told(&prepared, &format!("PREPARE p AS {sql}")).await;
    assert_eq!(told(&cursor, &format!("BEGIN; DECLARE c CURSOR FOR {sql}; FETCH 1 FROM c")).await, "1");
    let held = bob.gateway.pg("bob").await;
    assert_eq!(told(&held, &format!("BEGIN; DECLARE h CURSOR WITH HOLD FOR {sql}; FETCH 1 FROM h; COMMIT")).await, "1");
    let mut portals = bob.gateway.pg("bob").await;
    let suspended = portals.transaction().await.unwrap();
    let portal = suspended.bind(sql, &[]).await.unwrap();
    assert_eq!(suspended.query_portal(&portal, 1).await.unwrap().len(), 1);
    bob.gateway.put_user("bob", "sales", &[], &[("region", "eu")]);
    let begun = Instant::now();
    let refused = eventually(3 * SECOND, || async { told(&bob.postgres, sql).await == "42501" }).await;
    assert!(refused && begun.elapsed() < 2 * SECOND, "{:?}", begun.elapsed());
    let error = prepared.query(&statement, &[]).await.unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("42501"));
    assert_eq!(told(&prepared, "EXECUTE p").await, "42501");
    // The batch that the cursor is in has four more rows.
    tokio::time::sleep(SECOND).await;
    assert_eq!(told(&cursor, "FETCH 1 FROM c").await, "42501", "a cursor outlives its right");
    assert_eq!(told(&held, "FETCH 1 FROM h").await, "42501", "a cursor outlives its right and its transaction");
    let error = suspended.query_portal(&portal, 1).await.unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("42501"), "a portal outlives its right");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c2_prepared_statements_belong_to_their_connection() {
    let bob = Reader::of(HOSTILE).await;
    let (one, other) = (bob.gateway.pg("bob").await, bob.gateway.pg(FINANCE).await);
    told(&one, "PREPARE p AS SELECT count(*) FROM hr.people_csv").await;
    assert_eq!(told(&other, "EXECUTE p").await, "26000");
    told(&other, "PREPARE p AS SELECT 7").await;
    assert_eq!((told(&one, "EXECUTE p").await, told(&other, "EXECUTE p").await), ("5".to_owned(), "7".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c3_the_same_statement_of_two_readers_shares_no_answer() {
    let bob = Reader::of(HOSTILE).await;
    bob.gateway.put_user("us", "sales", &["dp-hr-people_csv-reader", "dp-hr-people_parquet-reader"], &[("region", "us")]);
    assert!(eventually(3 * SECOND, || async { bob.gateway.try_pg("us", "demo").await.is_ok() }).await);
    for sql in ["SELECT count(*) FROM hr.people_csv", "SELECT count(*) FROM hr.people_parquet"] {
        for _ in 0..2 {
            assert_eq!(ask(&bob.gateway, "us", sql).await, "18");
            assert_eq!(ask(&bob.gateway, "bob", sql).await, "5");
        }
    }
    let listed = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'hr'";
    assert_eq!((ask(&bob.gateway, "us", listed).await, ask(&bob.gateway, "bob", listed).await), ("2".to_owned(), "4".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_a_running_query_ends_when_its_right_is_revoked() {
    let bob = Reader::of(HOSTILE).await;
    let running = bob.gateway.pg("bob").await;
    let sql = "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r JOIN hr.people_csv p ON p.id = 1 WHERE n < 100000000) \
               SELECT max(n) FROM r";
    let endless = tokio::spawn(async move { told(&running, sql).await });
    tokio::time::sleep(SECOND).await;
    assert!(!endless.is_finished());
    bob.gateway.put_user("bob", "sales", &[], &[("region", "eu")]);
    let answer = tokio::time::timeout(5 * SECOND, endless).await.expect("it ends within five seconds").unwrap();
    assert_eq!(answer, "42501");
    let mut ended = bob.gateway.ledger().await.into_iter().filter(|usage| usage.principal == "bob").map(|usage| usage.outcome);
    assert_eq!(ended.next_back().as_deref(), Some("revoked"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c7_what_is_spilled_is_private_and_does_not_outlive_the_process() {
    let mut bob = Reader::of(CALM).await;
    let spill = bob.gateway.folder().join("state/spill");
    let state = bob.gateway.folder().join("state");
    let written = ["journal.sqlite", "journal.sqlite-wal", "access.sqlite"].map(|file| state.join(file));
    for folder in written.into_iter().chain([spill.clone(), state]) {
        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o077, 0, "{folder:?}");
    }
    bob.gateway.stop().await.unwrap();
    std::fs::write(spill.join("left-behind"), "rows of somebody").unwrap();
    bob.gateway.start().await;
    assert!(!spill.join("left-behind").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c8_a_pooled_connection_is_clean_after_discard_all_and_never_somebody_else() {
    let bob = Reader::of(HOSTILE).await;
    let pooled = bob.gateway.pg("bob").await;
    told(&pooled, "SET meshgate.purpose = 'fraud'; SET search_path = hr; PREPARE p AS SELECT 1").await;
    assert_eq!(told(&pooled, "DISCARD ALL").await, "");
    assert_eq!(told(&pooled, "SHOW meshgate.purpose").await, "");
    assert_eq!(told(&pooled, "EXECUTE p").await, "26000");
    assert_eq!(told(&pooled, "SELECT * FROM people_csv").await, "42P01");
    assert_eq!(told(&pooled, "SET SESSION AUTHORIZATION olga").await, "42501");
    assert_eq!(told(&pooled, "SELECT session_user, current_user").await, "bob|bob");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d1_what_a_reader_is_billed_does_not_weigh_hidden_rows() {
    let both = Both::new().await;
    let mut exact = Vec::new();
    let bill = "SELECT product, bytes_scanned, bytes_from_storage, bytes_from_cache, bytes_metadata, storage_requests, cost \
         FROM finops.usage WHERE principal = 'bob' ORDER BY product";
    let mut bills = Vec::new();
    for world in [&both.calm, &both.hostile] {
        for format in ["csv", "json", "parquet", "delta"] {
            assert_eq!(told(&world.postgres, &format!("SELECT count(*), max(name) FROM hr.people_{format}")).await, "5|eve");
        }
        bills.push(told(&world.postgres, bill).await);
        bills.push(told(&world.postgres, "SELECT bytes_scanned, cost FROM finops.queries WHERE bytes_scanned > 0").await);
        bills.push(told(&world.postgres, "SELECT product, bytes_scanned, cost FROM finops.monthly_costs ORDER BY 1").await);
        exact.push(ask(&world.gateway, FINANCE, bill).await);
    }
    assert_eq!(bills[..3], bills[3..], "the reader's bill");
    assert!(bills[0].contains("people_csv|1048576|1048576|0|1048576|64|"), "{}", bills[0]);
    assert!(exact[0] != exact[1] && !exact[0].contains("1048576"), "finance sees what was read: {exact:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d3_a_predicate_that_only_hidden_partitions_match_tells_nothing() {
    let mut both = Both::new().await;
    for region in ["us", "eu", "zz"] {
        let expected = if region == "eu" { "5" } else { "0" };
        assert_eq!(both.everywhere(&format!("SELECT count(*) FROM {{t}} WHERE region = '{region}'")).await, expected);
        assert_eq!(both.everywhere(&format!("SELECT count(*) FROM {{t}} WHERE region IN ('{region}', 'xx')")).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d6_there_is_no_write_whose_conflict_could_tell_of_a_row() {
    let mut both = Both::new().await;
    for sql in [
        "INSERT INTO hr.people_csv VALUES (1)",
        "UPDATE hr.people_csv SET id = 1",
        "DELETE FROM hr.people_csv",
        "MERGE INTO hr.people_csv USING hr.people_json ON TRUE WHEN MATCHED THEN DELETE",
    ] {
        assert_eq!(both.ask(sql).await, "25006", "{sql}");
    }
}
