//! Texts, arrays and aggregates, as PostgreSQL 15 answers.

use super::*;

/// By places and by expressions.
const SUBSTRINGS: &[(&str, &str)] = &[
    ("substring('foobar' from 'o(.)b')", "o"),
    ("substring('foobar' from 'o.b')", "oob"),
    ("substring('foobar' from 'z')", ""),
    ("substring('foobar' from 2)", "oobar"),
    ("substring('foobar' from 2 for 3)", "oob"),
    ("substring('foobar' for 2)", "fo"),
    ("substr('foobar', 3)", "obar"),
    ("substr('foobar', 3, 2)", "ob"),
    ("substring('foobar', 'o+')", "oo"),
    ("substring(null, 'o')", ""),
    ("substring('foobar', null)", ""),
    ("substring('a1b22', '[0-9]+')", "1"),
    ("substring('foo' from '(')", "ERROR invalid regular expression"),
    ("substring('Thomas' from '...$')", "mas"),
];

/// Every element, not the first.
const ARRAYS: &[(&str, &str)] = &[
    ("array_remove(array[1,2,3,2], 2)", "[1, 3]"),
    ("array_replace(array[1,2,5,2], 2, 9)", "[1, 9, 5, 9]"),
    ("array_remove(array[1,2], 3)", "[1, 2]"),
];

/// Of the rows below.
const ORDERED: &[(&str, &str)] = &[
    ("percentile_disc(0.5) WITHIN GROUP (ORDER BY x)", "2"),
    ("percentile_disc(0) WITHIN GROUP (ORDER BY x)", "1"),
    ("percentile_disc(1) WITHIN GROUP (ORDER BY x)", "10"),
    ("percentile_disc(0.25) WITHIN GROUP (ORDER BY x DESC)", "7"),
    ("percentile_disc(0.75) WITHIN GROUP (ORDER BY s)", "z"),
    ("percentile_disc(0.5) WITHIN GROUP (ORDER BY x) FILTER (WHERE g = 'a')", "2"),
    ("mode() WITHIN GROUP (ORDER BY x)", "2"),
    ("mode() WITHIN GROUP (ORDER BY s)", "x"),
    ("mode() WITHIN GROUP (ORDER BY s DESC)", "z"),
    ("mode() WITHIN GROUP (ORDER BY x) FILTER (WHERE g = 'c')", ""),
    ("percentile_disc(1.5) WITHIN GROUP (ORDER BY x)", "ERROR percentile value 1.5 is not between 0 and 1"),
];

const ROWS: &str = "('a', 1, 'x'), ('a', 2, 'y'), ('a', 2, 'x'), ('b', 5, NULL), ('b', NULL, 'z'), ('b', 7, 'z'), ('a', 10, 'y')";

#[tokio::test]
async fn texts_and_arrays_are_as_in_postgres() {
    let session = Session::new("UTC");
    session.all(SUBSTRINGS).await;
    session.all(ARRAYS).await;
}

#[tokio::test]
async fn ordered_sets_are_as_in_postgres() {
    let session = Session::new("UTC");
    for (expression, expected) in ORDERED {
        let answer = session.ask(&format!("{expression} FROM (VALUES {ROWS}) AS t (g, x, s)")).await;
        assert_eq!(answer, *expected, "{expression}");
    }
}
