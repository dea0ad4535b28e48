use super::*;
use crate::fuzz;

const SEEDS: [&str; 9] = [
    "SELECT a.id, count(*) FILTER (WHERE b > 1) FROM claims.x AS a LEFT JOIN y b USING (id) WHERE a.t LIKE '%x%' GROUP BY 1 HAVING sum(z) > 0 ORDER BY 2 DESC LIMIT 3",
    "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 10) SELECT max(n) OVER (PARTITION BY n) FROM r; SELECT 2",
    "COPY (SELECT 1) TO STDOUT WITH (FORMAT csv, HEADER true, DELIMITER E'\\t', NULL '')",
    "SET LOCAL meshgate.purpose = 'fraud'; SHOW ALL; RESET x; DISCARD ALL",
    "DECLARE c NO SCROLL CURSOR WITH HOLD FOR SELECT $1::text; FETCH FORWARD 10 FROM c; CLOSE ALL",
    "PREPARE p (int, text) AS SELECT $1, $2; EXECUTE p(1, 'a'); DEALLOCATE p",
    "EXPLAIN (ANALYZE, VERBOSE) SELECT 1 -- end\n/* a /* nested */ comment */",
    "SELECT 'it''s', E'\\x41', U&'\\0041', $tag$ text $tag$, \"Name\", 1e-3, ARRAY[1,2], CASE WHEN a THEN b ELSE (SELECT 1) END",
    "BEGIN; SAVEPOINT a; ROLLBACK TO a; COMMIT AND CHAIN; INSERT INTO t VALUES (1); DROP TABLE t",
];

#[test]
fn no_text_makes_the_sql_door_panic() {
    bolero::check!().with_iterations(5_000).with_max_len(fuzz::INPUT).for_each(fuzz::each(&SEEDS, |input| {
        let text = fuzz::text(input);
        match (parse(&text, 64 << 10), parse(&text, 64 << 10)) {
            (Ok(one), Ok(two)) => {
                let digests = |all: &[Parsed]| all.iter().map(|parsed| parsed.digest().to_owned()).collect::<Vec<_>>();
                assert_eq!(digests(&one), digests(&two));
            }
            (Err(one), Err(two)) => {
                assert_eq!(one.message(), two.message());
                assert!(!matches!(one.kind(), ErrorKind::Internal | ErrorKind::Storage | ErrorKind::Login), "{one:?}");
                // It may quote the statement, once.
                assert!(!one.message().is_empty() && one.message().len() < text.len() + 500, "{one:?}");
            }
            (one, two) => panic!("{one:?} and {two:?} of the same text"),
        }
    }));
}
