//! B: plans, catalogs, statistics, names, statements.

use arrow_flight::FlightDescriptor;

use super::{Both, ask, told};
use crate::leaks::{CANARY, HOSTILE, Reader, holds};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b1_explain_shows_one_opaque_line_and_analyze_no_figures_below_it() {
    let mut both = Both::new().await;
    for explain in ["EXPLAIN", "EXPLAIN VERBOSE", "EXPLAIN (COSTS off)"] {
        let plan = both.everywhere(&format!("{explain} SELECT name, ssn FROM {{t}} WHERE salary > 5 AND region = 'eu'")).await;
        let below: Vec<&str> = plan.split(';').filter(|line| line.contains("Governed:")).map(str::trim).collect();
        assert_eq!(below, ["Governed: product=hr.people, filter=salary > 5 AND region = eu"], "only the reader's own filter: {plan}");
        for secret in ["DataSource", "$region", "mask", "data/hr", "file", "Exact", "partition_sizes"] {
            assert!(!plan.contains(secret), "{secret}: {plan}");
        }
    }
    // Timings differ from run to run; figures of what is below the barrier must not be there at all.
    for (gateway, format) in [(&both.calm, "csv"), (&both.hostile, "csv"), (&both.calm, "delta"), (&both.hostile, "delta")] {
        for analyze in ["EXPLAIN ANALYZE", "EXPLAIN (ANALYZE, VERBOSE)"] {
            let plan = told(&gateway.postgres, &format!("{analyze} SELECT name FROM hr.people_{format} WHERE salary > 5")).await;
            let governed = plan.split(';').find(|line| line.contains("Governed:")).unwrap_or_else(|| panic!("{plan}"));
            assert_eq!(governed.trim(), format!("Governed: product=hr.people_{format}, filter=salary > 5, metrics=[]"), "{plan}");
            assert!(!plan.contains("bytes_scanned") && !plan.contains(CANARY), "{plan}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b2_catalogs_list_what_one_may_read_and_nothing_of_how_it_is_kept() {
    let mut both = Both::new().await;
    let tables = both.ask("SELECT table_name FROM information_schema.tables WHERE table_schema = 'hr' ORDER BY 1").await;
    assert_eq!(tables, "people_csv;people_delta;people_json;people_parquet");
    for sql in [
        "SELECT * FROM information_schema.columns ORDER BY 1, 2, 3, 5",
        "SELECT * FROM pg_catalog.pg_class ORDER BY oid",
        "SELECT * FROM pg_catalog.pg_views",
        "SELECT * FROM pg_catalog.pg_settings ORDER BY 1",
        "SELECT * FROM information_schema.views",
        "SELECT * FROM information_schema.df_settings",
        "SELECT * FROM pg_catalog.pg_policies",
        "SHOW ALL",
    ] {
        let answer = both.ask(sql).await;
        for secret in ["data/hr", "secrets", "$region", "datafusion.", "parquet.pushdown"] {
            assert!(!answer.contains(secret), "{sql}: {answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b3_what_one_must_not_know_of_is_missing_like_what_does_not_exist() {
    let mut both = Both::new().await;
    for sql in [
        "SELECT * FROM hr.secrets",
        "SELECT * FROM hr.secrets_v1",
        "SELECT * FROM hr.secrets__sql",
        "SELECT nothing FROM hr.secrets",
        "EXPLAIN SELECT * FROM hr.secrets",
        "COPY (SELECT * FROM hr.secrets) TO STDOUT",
        "PREPARE p AS SELECT * FROM hr.secrets",
    ] {
        let answer = both.ask(sql).await;
        assert!(["42P01", "26000"].contains(&answer.as_str()), "{sql}: {answer}");
    }
    let error = |name: &str| format!("SELECT * FROM hr.{name}");
    let [hidden, none] = [error("secrets"), error("nothing")].map(|sql| sql.len());
    assert_eq!(hidden, none);
    let (hidden, none) = (both.hostile.simple(&error("secrets")).await, both.hostile.simple(&error("nothing")).await);
    assert_eq!(String::from_utf8_lossy(&hidden).replace("secrets", "nothing"), String::from_utf8_lossy(&none));
    assert_eq!(both.ask("SELECT to_regclass('hr.secrets') IS NULL").await, "t");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b4_a_statement_that_is_only_described_is_authorised_too() {
    let reader = Reader::of(HOSTILE).await;
    let gateway = &reader.gateway;
    gateway.put_user("carol", "sales", &[], &[("region", "eu")]);
    let carol = {
        let there =
            crate::harness::eventually(std::time::Duration::from_secs(3), || async { gateway.try_pg("carol", "demo").await.is_ok() });
        assert!(there.await);
        gateway.pg("carol").await
    };
    for (sql, code) in [
        ("SELECT * FROM hr.people_csv", "42501"),
        ("SELECT 1 FROM hr.people_delta WHERE id = $1", "42501"),
        ("EXPLAIN SELECT * FROM hr.people_json", "42501"),
        ("SELECT * FROM hr.secrets", "42P01"),
    ] {
        let error = carol.prepare(sql).await.unwrap_err();
        assert_eq!(error.code().map(|code| code.code().to_owned()).as_deref(), Some(code), "{sql}");
    }
    let mut flight = gateway.flight("carol").await;
    assert!(flight.prepare("SELECT * FROM hr.people_csv".to_owned(), None).await.is_err());
    let plain = FlightDescriptor::new_cmd(b"SELECT * FROM hr.people_csv".to_vec());
    assert!(flight.execute(String::from_utf8_lossy(&plain.cmd).into_owned(), None).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b5_no_statistics_are_told() {
    let mut both = Both::new().await;
    // Counts and sizes in FlightInfo are checked wherever `ask` goes through Flight.
    both.everywhere("SELECT id FROM {t}").await;
    let known =
        both.ask("SELECT count(*) FROM pg_catalog.pg_class WHERE relname LIKE 'people%' AND (reltuples >= 0 OR relpages > 0)").await;
    assert_eq!(known, "0");
    for table in ["pg_stats", "pg_statistic", "pg_stat_user_tables"] {
        let answer = both.ask(&format!("SELECT count(*) FROM pg_catalog.{table}")).await;
        assert!(["0", "42P01"].contains(&answer.as_str()), "{table}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b6_no_function_tells_of_files() {
    let mut both = Both::new().await;
    for call in [
        "input_file_name()",
        "file_row_index()",
        "arrow_metadata(id)",
        "version()",
        "pg_read_file('/etc/passwd')",
        "current_setting('data_directory')",
    ] {
        let answer = both.everywhere(&format!("SELECT {call} FROM {{t}} LIMIT 1")).await;
        assert!(!answer.contains("data/hr") && !answer.contains("DataFusion") && !answer.contains("root:"), "{call}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b7_nothing_but_products_is_read_and_nothing_is_written() {
    let mut both = Both::new().await;
    for sql in [
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM \"/etc/passwd\"",
        "SELECT * FROM 's3://bucket/file.parquet'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM parquet_metadata('people.parquet')",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE VIEW v AS SELECT * FROM hr.people_csv",
        "CREATE FUNCTION f() RETURNS INT RETURN 1",
        "COPY hr.people_csv TO '/tmp/out.csv'",
        "COPY (SELECT * FROM hr.people_csv) TO PROGRAM 'cat'",
        "COPY hr.people_csv FROM STDIN",
        "INSERT INTO hr.people_csv VALUES (1)",
        "WITH d AS (DELETE FROM hr.people_csv RETURNING *) SELECT * FROM d",
        "SELECT * INTO t FROM hr.people_csv",
        "LOAD 'file'",
        "ATTACH 'file'",
        "DO $$ BEGIN END $$",
        "CALL f()",
    ] {
        let answer = both.ask(sql).await;
        assert!(["25006", "0A000", "42601", "42P01", "42883", "42501"].contains(&answer.as_str()), "{sql}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b8_settings_of_the_engine_are_out_of_reach() {
    let reader = Reader::of(HOSTILE).await;
    for setting in [
        "datafusion.runtime.memory_limit",
        "datafusion.runtime.temp_directory",
        "datafusion.sql_parser.recursion_limit",
        "datafusion.catalog.information_schema",
        "datafusion.execution.target_partitions",
        "app.tenant",
    ] {
        for statement in [format!("SET {setting} = '1'"), format!("SHOW {setting}"), format!("RESET {setting}")] {
            assert_eq!(told(&reader.postgres, &statement).await, "42704", "{statement}");
        }
    }
    for role in ["SET ROLE olga", "SET SESSION AUTHORIZATION olga", "SET session_authorization = 'olga'", "SET LOCAL ROLE olga"] {
        let answer = told(&reader.postgres, role).await;
        assert!(["42501", "55P02"].contains(&answer.as_str()), "{role}: {answer}");
    }
    assert_eq!(told(&reader.postgres, "SELECT current_user").await, "bob");
    for off in ["SET row_security = off", "SET row_security TO 'off'", "SET LOCAL row_security = off"] {
        let strict = format!("BEGIN; {off}; SELECT count(*) FROM hr.people_csv");
        assert_eq!(told(&reader.postgres, &strict).await, "42501", "{off}");
        told(&reader.postgres, "ROLLBACK; RESET row_security").await;
    }
    assert_eq!(told(&reader.postgres, "SELECT count(*) FROM hr.people_csv").await, "5");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b9_a_name_means_the_product_that_was_authorised() {
    let mut both = Both::new().await;
    for sql in [
        "SELECT * FROM hr.\"Secrets\"",
        "SELECT * FROM \"hr.secrets\"",
        "SELECT * FROM hr.\u{FF53}ecrets",
        "SELECT * FROM hr.sec\u{200B}rets",
        "SELECT * FROM \"hr\".\"secrets \"",
        "SELECT * FROM other.hr.secrets",
        "SELECT * FROM mesh.hr.secrets",
        "SET search_path = hr; SELECT * FROM secrets",
    ] {
        let answer = both.ask(sql).await;
        assert!(["42P01", "42601"].contains(&answer.as_str()), "{sql}: {answer}");
    }
    assert_eq!(both.ask("WITH secrets AS (SELECT 7 AS x) SELECT x FROM secrets").await, "7");
    assert_eq!(both.ask("WITH people_csv AS (SELECT 7 AS id) SELECT count(*) FROM hr.people_csv").await, "5");
    assert_eq!(ask(&both.hostile.gateway, "bob", "SELECT count(*) FROM HR.PEOPLE_CSV").await, "5");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b10_comments_quotes_and_many_statements_do_not_smuggle() {
    let mut both = Both::new().await;
    for sql in [
        "SELECT 1; SELECT * FROM hr.secrets",
        "SELECT /* FROM hr.people_csv */ * FROM /*+ x */ hr.secrets",
        "SELECT 1 --\r\n; SELECT * FROM hr.secrets",
        "SELECT /* /* nested */ */ count(*) FROM hr.secrets",
        "SELECT $$ ; $$; SELECT * FROM hr.secrets",
        "SELECT E'\\'; -- '; SELECT * FROM hr.secrets",
        "SELECT U&'\\0027; --'; SELECT * FROM hr.secrets",
    ] {
        let answer = both.ask(sql).await;
        assert!(["42P01", "42601"].contains(&answer.as_str()), "{sql}: {answer}");
    }
    assert!(!holds(&both.hostile.simple("SELECT 'x'; SELECT name FROM hr.people_csv -- WHERE TRUE").await, CANARY));
}
