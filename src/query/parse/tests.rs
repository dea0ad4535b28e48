use super::*;

fn one(sql: &str) -> Parsed {
    let mut all = parse(sql, 1 << 20).unwrap_or_else(|fault| panic!("{sql}: {fault:?}"));
    assert_eq!(all.len(), 1, "{sql}");
    all.remove(0)
}

fn fault(sql: &str) -> Fault {
    parse(sql, 1 << 20).map(|_| ()).expect_err(sql)
}

#[test]
fn each_statement_knows_its_own_text() {
    let sql = "  SELECT 'ä;'  -- a remark\n , 1 ;;\n\tPREPARE p AS SELECT\n  \"ü\" FROM t; SHOW all";
    let all = parse(sql, 1 << 20).unwrap();
    let texts: Vec<_> = all.iter().map(Parsed::text).collect();
    assert_eq!(texts, ["SELECT 'ä;'  -- a remark\n , 1", "PREPARE p AS SELECT\n  \"ü\" FROM t", "SHOW all"]);
    assert_eq!(all[1].inner().unwrap().text(), "SELECT\n  \"ü\" FROM t");
}

#[test]
fn each_statement_is_told_apart() {
    let s = |text: &str| text.to_owned();
    for (sql, kind, tag) in [
        ("SELECT 1", Kind::Rows, "SELECT"),
        ("(SELECT 1) UNION ALL (SELECT 2)", Kind::Rows, "SELECT"),
        ("TABLE claims.claims_enriched", Kind::Rows, "SELECT"),
        ("explain (analyze, costs off) select 1", Kind::Rows, "EXPLAIN"),
        ("EXPLAIN (SELECT 1)", Kind::Rows, "EXPLAIN"),
        ("explain (cost, verbose) select 1", Kind::Rows, "EXPLAIN"),
        ("SHOW TRANSACTION ISOLATION LEVEL", Kind::Rows, "SHOW"),
        ("SET DateStyle TO 'ISO', dmy", Kind::Set { name: s("datestyle"), value: Some(s("ISO, dmy")), local: false }, "SET"),
        ("SET LOCAL meshgate.purpose = 'fraud'", Kind::Set { name: s("meshgate.purpose"), value: Some(s("fraud")), local: true }, "SET"),
        (
            "SET TIME ZONE INTERVAL '+00:00' HOUR TO MINUTE",
            Kind::Set { name: s("TimeZone"), value: Some(s("+00:00")), local: false },
            "SET",
        ),
        ("SET extra_float_digits = -3", Kind::Set { name: s("extra_float_digits"), value: Some(s("-3")), local: false }, "SET"),
        ("SET NAMES 'utf8'", Kind::Set { name: s("client_encoding"), value: Some(s("utf8")), local: false }, "SET"),
        ("SET x TO DEFAULT", Kind::Set { name: s("x"), value: None, local: false }, "SET"),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", Kind::NoOp("SET"), "SET"),
        ("RESET ALL", Kind::Reset(None), "RESET"),
        ("DISCARD ALL", Kind::Discard(s("ALL")), "DISCARD ALL"),
        ("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY", Kind::Begin, "BEGIN"),
        ("start transaction isolation level serializable, read only, deferrable", Kind::Begin, "START TRANSACTION"),
        ("END", Kind::Commit, "COMMIT"),
        ("ABORT", Kind::Rollback, "ROLLBACK"),
        ("ROLLBACK TO SAVEPOINT a", Kind::RollbackTo(s("a")), "ROLLBACK"),
        ("RELEASE a", Kind::Release(s("a")), "RELEASE"),
        (
            "PREPARE p (int, numeric(12, 2)) AS SELECT $1",
            Kind::Prepare { name: s("p"), types: vec![s("int"), s("numeric(12,2)")] },
            "PREPARE",
        ),
        ("EXECUTE p", Kind::Execute { name: s("p"), arguments: vec![] }, "EXECUTE"),
        ("DEALLOCATE \"_PLAN0x1\"", Kind::Deallocate(Some(s("_PLAN0x1"))), "DEALLOCATE"),
        (
            "DECLARE \"srv\" CURSOR FOR SELECT 1",
            Kind::Declare { name: s("srv"), hold: false, scroll: false, binary: false },
            "DECLARE CURSOR",
        ),
        (
            "DECLARE c NO SCROLL CURSOR WITH HOLD FOR SELECT 1",
            Kind::Declare { name: s("c"), hold: true, scroll: false, binary: false },
            "DECLARE CURSOR",
        ),
        ("FETCH FORWARD 10 FROM c", Kind::Fetch { name: s("c"), direction: Direction::Forward(10) }, "FETCH"),
        ("FETCH FORWARD FROM c", Kind::Fetch { name: s("c"), direction: Direction::Forward(1) }, "FETCH"),
        ("FETCH ALL IN c", Kind::Fetch { name: s("c"), direction: Direction::All }, "FETCH"),
        ("FETCH -1 c", Kind::Fetch { name: s("c"), direction: Direction::Other }, "FETCH"),
        ("MOVE 5 c", Kind::Move { name: s("c"), direction: Direction::Forward(5) }, "MOVE"),
        ("CLOSE ALL", Kind::Close(None), "CLOSE CURSOR ALL"),
        ("UNLISTEN *", Kind::NoOp("UNLISTEN"), "UNLISTEN"),
        ("-- nothing", Kind::Empty, ""),
    ] {
        let parsed = one(sql);
        assert_eq!((parsed.kind(), parsed.tag()), (&kind, tag), "{sql}");
    }
}

#[test]
fn execute_takes_literals() {
    let Kind::Execute { arguments, .. } = one("EXECUTE p (1, -2, 'x', NULL, true, DATE '2026-01-01', '5'::int)").kind().clone() else {
        panic!()
    };
    let text = |t: &str| ScalarValue::Utf8(Some(t.to_owned()));
    assert_eq!(
        arguments,
        [
            ScalarValue::Int64(Some(1)),
            ScalarValue::Int64(Some(-2)),
            text("x"),
            ScalarValue::Null,
            ScalarValue::Boolean(Some(true)),
            text("2026-01-01"),
            text("5")
        ]
    );
    assert_eq!(fault("EXECUTE p (now())").sqlstate(), "42601");
}

#[test]
fn copy_has_its_options() {
    let options = |sql: &str| match one(sql).kind() {
        Kind::CopyOut(options) => options.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(options("COPY (SELECT (1)) TO STDOUT (FORMAT 'binary')").format, CopyFormat::Binary);
    assert_eq!(options("COPY (SELECT 1) TO STDOUT WITH BINARY").format, CopyFormat::Binary);
    let csv = options("COPY claims.t (a, \"B\") TO STDOUT WITH (FORMAT csv, HEADER, DELIMITER ';', FORCE_QUOTE *)");
    assert_eq!((csv.header, csv.delimiter, csv.force_quote, csv.null.as_str()), (true, b';', Some(vec![]), ""));
    assert_eq!(options("COPY t TO STDOUT").null, "\\N");
    assert_eq!(fault("COPY (SELECT 1) TO '/etc/x'").sqlstate(), "42501");
    assert_eq!(fault("COPY t FROM STDIN").sqlstate(), "25006");
    assert_eq!(fault("COPY t TO STDOUT (FORMAT xml)").sqlstate(), "22023");
}

#[test]
fn writes_are_refused_as_a_read_only_transaction_does() {
    for sql in [
        "INSERT INTO t VALUES (1)",
        "UPDATE t SET a = 1",
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        "create view v as select 1",
        "SELECT 1 INTO t",
        "SELECT * FROM t FOR UPDATE",
        "WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM x",
        "SELECT * FROM (SELECT * FROM t FOR SHARE) s",
        "EXPLAIN ANALYZE DELETE FROM t",
        "/* SELECT */ DROP TABLE t",
    ] {
        assert_eq!(fault(sql).sqlstate(), "25006", "{sql}");
    }
    for sql in
        ["DO $$ BEGIN END $$", "CALL f()", "LISTEN x", "LOAD 'x'", "EXPLAIN (FORMAT JSON) SELECT 1", "EXPLAIN (COST, ANALYZE) SELECT 1"]
    {
        assert_eq!(fault(sql).sqlstate(), "0A000", "{sql}");
    }
}

#[test]
fn syntax_errors_say_where() {
    for (sql, message, position) in [
        ("SELEC 1", "syntax error at or near \"SELEC\"", 1),
        ("SELECT 1\nFROM )", "syntax error at or near \")\"", 15),
        ("SELECT 1 1", "syntax error at or near \"1\"", 10),
        ("SELECT (1", "syntax error at end of input", 10),
        ("FETCH", "syntax error at end of input", 6),
        ("SELECT 'ä' )", "syntax error at or near \")\"", 12),
        ("SELECT 'ä' 'x'", "syntax error at or near \"'x'\"", 12),
        ("SELECT 'a' /* in between */\n'b'", "syntax error at or near \"'b'\"", 29),
        ("SELECT 'a'\nE'b'", "syntax error at or near \"E'b'\"", 12),
        ("SELECT 1 AS 'b'", "syntax error at or near \"'b'\"", 13),
        ("SELECT 'b'::text 'c' FROM t", "syntax error at or near \"'c'\"", 18),
        ("SELECT ('a')\n'b'", "syntax error at or near \"'b'\"", 14),
        ("SELECT (SELECT 1 FROM t 'x')", "syntax error at or near \"'x'\"", 25),
    ] {
        let fault = fault(sql);
        assert_eq!((fault.sqlstate(), fault.message(), fault.position()), ("42601", message, Some(position)), "{sql}");
    }
}

#[test]
fn a_literal_over_several_lines_is_one() {
    let read = |sql: &str| match one(sql).body() {
        Body::Query(query) => query.to_string(),
        other => format!("{other:?}"),
    };
    for (sql, one_line) in [
        ("SELECT 'a'\n'b'", "SELECT 'ab'"),
        ("SELECT 'it''s' -- so far\n\n  'a'  \r\n\t'''q' AS x", "SELECT 'it''sa''q' AS x"),
        ("SELECT E'\\n'\n'b'", "SELECT E'\\nb'"),
        ("SELECT /* of a tool */ 'a'\n'b'", "SELECT 'ab'"),
    ] {
        assert_eq!(read(sql), read(one_line), "{sql}");
        assert_eq!((one(sql).text(), one(sql).digest()), (sql, one(one_line).digest()));
    }
    assert_eq!(one("EXECUTE p ('a'\n'b')").kind(), one("EXECUTE p ('ab')").kind());
    assert_eq!(fault("SELECT E'a'\n'\\n'").sqlstate(), "0A000");
}

#[test]
fn hostile_sql_is_refused_before_it_is_a_tree() {
    assert_eq!(parse(&" ".repeat(2 << 20), 1 << 20).unwrap_err().sqlstate(), "54000");
    for sql in [
        format!("SELECT {}1", "1+".repeat(20_000)),
        format!("SELECT {}", "- ".repeat(5000)),
        format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000)),
        format!("SELECT 1 WHERE {}true", "a = 1 OR ".repeat(10_000)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(5000)),
        format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(3000), " END".repeat(3000)),
        format!("SELECT {}1{}", "ARRAY[".repeat(3000), "]".repeat(3000)),
    ] {
        assert_eq!(fault(&sql).sqlstate(), "54001", "{}", &sql[..40]);
    }
}

#[test]
fn with_queries_that_double_are_refused_before_they_are_a_plan() {
    let doubling = |n: usize| {
        let links: String = (1..=n).map(|i| format!(", c{i} AS (SELECT a.a FROM c{} a, c{} b)", i - 1, i - 1)).collect();
        format!("WITH c0 AS (SELECT 1 AS a){links} SELECT count(*) FROM c{n}")
    };
    assert_eq!(fault(&doubling(24)).sqlstate(), "54001");
    assert_eq!(fault(&format!("SELECT * FROM ({}) s", doubling(24))).sqlstate(), "54001");
    assert_eq!(fault(&format!("EXPLAIN {}", doubling(24))).sqlstate(), "54001");
    let nested = (0..40).fold("SELECT 1".to_owned(), |inner, i| format!("WITH n{i} AS ({inner}) SELECT * FROM n{i}"));
    assert_eq!(fault(&nested).sqlstate(), "54001");
    one(&doubling(5));
    one("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT * FROM n LIMIT 3");
}

#[test]
fn what_the_limits_let_through_can_be_parsed_and_dropped_on_a_small_stack() {
    let sql = format!("SELECT {}1{} WHERE {}true", "(1+".repeat(30), ")".repeat(30), "a = 1 OR ".repeat(450));
    let thread = std::thread::Builder::new().stack_size(512 << 10);
    thread.spawn(move || drop(one(&sql))).unwrap().join().unwrap();
}

#[test]
fn the_digest_forgets_literals_and_case_and_nothing_else() {
    let d = |sql: &str| one(sql).digest().to_owned();
    assert_eq!(d("SELECT a FROM t WHERE ssn = '123' AND x=5"), d("select a from T where ssn = 'secret'  and x = 77"));
    assert_ne!(d("SELECT a FROM t"), d("SELECT b FROM t"));
    assert_ne!(d("SELECT \"A\" FROM t"), d("SELECT a FROM t"));
}

#[test]
fn statements_are_split_at_semicolons_only() {
    let all = parse("SELECT ';'; ; SELECT $$;$$ -- ;\n;", 1 << 20).unwrap();
    assert_eq!(all.len(), 2);
}
