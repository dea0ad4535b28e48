//! Statements: every clause, many shapes, and every function that can fail, over the products of a world.

use super::data::{Columns, Kind};
use super::dice::Dice;

/// Expressions that fail, overflow or depend on a value's form. `{i}` is an integer column, `{t}` a text, `{f}` a double, `{d}` a date,
/// `{n}` a number.
const FALLIBLE: [&str; 46] = [
    "1/({i}-{n})",
    "{i} % ({i} - {n})",
    "{i} * 9223372036854775807",
    "{i} + {i} * 4611686018427387904",
    "abs({i} - 9223372036854775807 - 2)",
    "-{i}",
    "CAST({t} AS INT)",
    "CAST({t} AS BIGINT) + 1",
    "CAST({t} AS DATE)",
    "CAST({t} AS TIMESTAMP)",
    "CAST({t} AS BOOLEAN)",
    "CAST({t} AS DOUBLE PRECISION)",
    "CAST({t} AS NUMERIC(10,2))",
    "CAST({i} AS SMALLINT)",
    "CAST({i} AS INT)",
    "CAST({i} AS DECIMAL(3,1))",
    "CAST({f} AS INT)",
    "CAST({f} AS REAL)",
    "to_timestamp({t})",
    "to_date({t}, 'YYYY-MM-DD')",
    "substr({t}, 1, CAST({i} - 20 AS INT))",
    "left({t}, CAST({i} AS INT))",
    "repeat({t}, CAST({i} AS INT))",
    "lpad({t}, CAST({i} AS INT), 'x')",
    "split_part({t}, '-', CAST({i} AS INT))",
    "chr(CAST({i} AS INT))",
    "ascii({t})",
    "regexp_like('x', {t})",
    "regexp_replace({t}, {t}, 'y')",
    "{t} ~ {t}",
    "{t} LIKE '%' || {t}",
    "strpos({t}, '-')",
    "decode({t}, 'hex')",
    "md5({t})",
    "ln({i} - {n})",
    "sqrt({i} - {n})",
    "log({f})",
    "power({i}, {i})",
    "factorial({i})",
    "gcd({i}, {n})",
    "date_trunc({t}, TIMESTAMP '2026-01-01 00:00:00')",
    "date_part({t}, TIMESTAMP '2026-01-01 00:00:00')",
    "extract(year from {d})",
    "{d} + INTERVAL '1000000 years'",
    "CASE WHEN {i} > {n} THEN 1/({i}-{n}) ELSE 0 END",
    "coalesce(nullif({t}, '42'), CAST(1/({i}-{n}) AS TEXT))",
];

/// Conditions.
const PREDICATES: [&str; 20] = [
    "{i} > {n}",
    "{i} = {n}",
    "{t} = '111-11-1111'",
    "{t} <> 'ann'",
    "{t} < 'm'",
    "{t} LIKE '%canary%'",
    "{t} IN ('ann', '222-22-2222', 'XXXXXXXX', 'x')",
    "{t} IS NULL",
    "{t} IS NOT NULL",
    "region = 'us'",
    "region <> 'eu'",
    "region IS NULL OR region BETWEEN 'a' AND 'z'",
    "NOT (region = 'eu' AND {i} < {n})",
    "{c} = {c}",
    "{c} IS DISTINCT FROM NULL",
    "{f} < 1000000000",
    "{d} > DATE '2000-01-01'",
    "id IN (1, 2, 3, 1000)",
    "length({t}) > {n}",
    "{i} BETWEEN 7 AND 41",
];

/// Statements. `{T}` and `{U}` are products, `{c}` a column, `{e}` an expression that may fail, `{p}` a condition, `{k}` a small count.
const SHAPES: [&str; 46] = [
    "SELECT * FROM {T}",
    "SELECT * FROM {T} LIMIT {k}",
    "SELECT * FROM {T} ORDER BY id LIMIT {k} OFFSET 1",
    "SELECT {c} FROM {T} WHERE {p} LIMIT {k}",
    "SELECT id, {e} FROM {T}",
    "SELECT region, {e} FROM {T}",
    "SELECT id FROM {T} WHERE {p}",
    "SELECT id FROM {T} WHERE {e} IS NOT NULL",
    "SELECT id FROM {T} WHERE {p} AND {e} IS NOT NULL",
    "SELECT id FROM {T} WHERE {p} OR ({e}) IS NULL",
    "SELECT id, {c} FROM {T} ORDER BY {e}, id",
    "SELECT id, {c} FROM {T} ORDER BY {c} DESC, id LIMIT {k}",
    "SELECT count(*), count({c}), min({c}), max({c}) FROM {T}",
    "SELECT count(*), min({c}), max(id) FROM {T} WHERE {p}",
    "SELECT sum({i}), avg({i}) FROM {T} WHERE {p}",
    "SELECT {c}, count(*) FROM {T} GROUP BY {c} ORDER BY 1, 2",
    "SELECT {e} AS e, count(*) FROM {T} GROUP BY 1 ORDER BY 1",
    "SELECT region, max({i}) FROM {T} GROUP BY region HAVING count(*) > 1 AND max({e}) IS NOT NULL ORDER BY 1",
    "SELECT DISTINCT {c} FROM {T} ORDER BY 1",
    "SELECT DISTINCT ON (region) region, {c} FROM {T} ORDER BY region, id",
    "SELECT id, rank() OVER (ORDER BY {c}, id), sum({i}) OVER (PARTITION BY region ORDER BY id) FROM {T} ORDER BY id",
    "SELECT id, lag({c}) OVER (ORDER BY id) FROM {T} ORDER BY id",
    "SELECT a.id, b.id FROM {T} a JOIN {T} b ON a.{c} = b.{c} ORDER BY 1, 2",
    "SELECT a.id, b.{c} FROM {T} a LEFT JOIN {U} b ON a.id = b.id AND b.{c} IS NOT NULL ORDER BY 1, 2",
    "SELECT count(*) FROM {T} NATURAL JOIN {U}",
    "SELECT count(*) FROM {T} JOIN {U} USING (ssn)",
    "SELECT count(*) FROM {T} t JOIN (VALUES ('111-11-1111'), ('222-22-2222'), ('XXXXXXXX'), ('42')) g(ssn) USING (ssn)",
    "SELECT a.id FROM {T} a FULL JOIN hr.open o ON a.id = o.id ORDER BY 1",
    "SELECT id FROM {T} a WHERE EXISTS (SELECT 1 FROM {U} b WHERE b.id = a.id AND b.{p2}) ORDER BY 1",
    "SELECT id FROM {T} WHERE id NOT IN (SELECT id FROM {U} WHERE {p}) ORDER BY 1",
    "SELECT id, (SELECT max({e}) FROM {U}) FROM {T} ORDER BY 1",
    "SELECT (SELECT {c} FROM {T} WHERE {p})",
    "SELECT id FROM {T} WHERE {i} = (SELECT max({i}) FROM {T}) ORDER BY 1",
    "SELECT {c} FROM {T} UNION SELECT {c} FROM {U} ORDER BY 1",
    "SELECT {c} FROM {T} INTERSECT SELECT {c} FROM {U} ORDER BY 1",
    "SELECT {c} FROM {T} EXCEPT SELECT {c} FROM {U} WHERE {p} ORDER BY 1",
    "SELECT id FROM {T} UNION ALL SELECT id FROM {U} ORDER BY 1",
    "WITH c AS (SELECT id, {e} AS e FROM {T}) SELECT max(id) FROM c WHERE e IS NOT NULL",
    "WITH c AS (SELECT * FROM {T} WHERE {p}) SELECT a.id FROM c a JOIN c b ON a.id = b.id ORDER BY 1",
    "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r JOIN {T} ON {T}.id = r.n) SELECT max(n) FROM r",
    "SELECT count(*) FILTER (WHERE {p}), sum({i}) FILTER (WHERE {e} IS NOT NULL) FROM {T}",
    "SELECT string_agg({t}, ',' ORDER BY id), array_agg({c} ORDER BY id) FROM {T}",
    "SELECT region, {c}, count(*) FROM {T} GROUP BY GROUPING SETS ((region), ({c}), ()) ORDER BY 1, 2, 3",
    "SELECT id + {t} FROM {T}",
    "SELECT nothing FROM {T} WHERE {p}",
    "SELECT d.* FROM (SELECT id, {c} FROM {T} ORDER BY id LIMIT {k}) d WHERE {e2} IS NOT NULL",
];

/// What exists, and what does in one mesh only.
pub const NAMES: [&str; 21] = [
    "SELECT * FROM hr.secrets",
    "SELECT nothing FROM hr.secrets__sql",
    "SELECT * FROM a.b, hr.secrets, hr.open",
    "WITH c AS (SELECT * FROM hr.secrets_v1) SELECT 1",
    "SELECT * FROM hr.denied",
    "SELECT id FROM hr.broken WHERE salary > 0",
    "SELECT count(*) FROM hr.denied WHERE 1/(id-1) > 0",
    "SELECT o.id FROM hr.open o JOIN hr.denied d ON o.id = d.id",
    "SELECT 'hr.secrets'::regclass",
    "SELECT to_regclass('hr.secrets'), to_regclass('hr.denied')",
    "SELECT has_table_privilege('hr.secrets', 'SELECT')",
    "SELECT table_schema, table_name, table_type FROM information_schema.tables ORDER BY 1, 2",
    "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns ORDER BY 1, 2",
    "SELECT oid, relname, relkind, reltuples, relpages FROM pg_catalog.pg_class ORDER BY oid",
    "SELECT attrelid, attname, atttypid, attnotnull FROM pg_catalog.pg_attribute ORDER BY 1, 2",
    "SELECT * FROM mesh.products ORDER BY 1, 2, 3",
    "SELECT * FROM mesh.output_ports ORDER BY 1, 2, 3, 4",
    "SELECT * FROM mesh.columns ORDER BY 1, 2, 3, 4, 5",
    "SELECT * FROM mesh.problems ORDER BY 1, 2",
    "SELECT input_file_name(), arrow_metadata(id) FROM {T}",
    "SELECT o.id, t.{c} FROM hr.open o, LATERAL (SELECT * FROM {T} t WHERE t.id = o.id) t ORDER BY 1",
];

/// What tells a broken barrier from a sound one, for each product `{T}`.
pub const DECISIVE: [&str; 11] = [
    "SELECT * FROM {T}",
    "SELECT * FROM {T} LIMIT 3",
    "SELECT * FROM {T} LIMIT 12",
    "SELECT count(*) FROM {T}",
    "SELECT region, 1/(salary-100000) FROM {T}",
    "SELECT id FROM {T} WHERE 1/(salary-100000) <= 0 ORDER BY id",
    "SELECT id FROM {T} WHERE CAST(ssn AS INT) > 0 OR id > 0 ORDER BY id",
    "SELECT count(*), min(ssn), max(ssn), min(salary), max(salary) FROM {T}",
    "SELECT id FROM {T} WHERE ssn < 'm' ORDER BY id",
    "SELECT id FROM {T} WHERE salary > 15 ORDER BY id",
    "SELECT name FROM {T} ORDER BY salary DESC, id LIMIT 2",
];

/// One statement over `tables`, which all have `columns`.
pub fn statement(dice: &mut Dice, tables: &[String], columns: &Columns) -> String {
    let shape = if dice.chance(12) { *dice.pick(&NAMES) } else { *dice.pick(&SHAPES) };
    let predicate = *dice.pick(&PREDICATES);
    let expression = *dice.pick(&FALLIBLE);
    let column = dice.pick(columns).0;
    let other = *dice.pick(&["id > 3", "region = 'eu'", "ssn IS NULL", "salary < 30"]);
    let fixed = *dice.pick(&["1/(id-3)", "chr(CAST(id AS INT))", "CAST(id AS SMALLINT)"]);
    let sql = shape.replace("{p2}", other).replace("{e2}", fixed).replace("{p}", predicate).replace("{e}", expression);
    let mut sql = sql.replace("{T}", dice.pick(tables).as_str()).replace("{U}", dice.pick(tables).as_str()).replace("{c}", column);
    for (hole, kind, otherwise) in
        [("{i}", Kind::Int, "id"), ("{t}", Kind::Text, "region"), ("{f}", Kind::Float, "1.5"), ("{d}", Kind::Date, "DATE '2026-01-01'")]
    {
        let of_kind: Vec<&str> = columns.iter().filter(|(_, k)| *k == kind).map(|(name, _)| *name).collect();
        let column = if of_kind.is_empty() { otherwise } else { *dice.pick(&of_kind) };
        sql = sql.replace(hole, column);
    }
    sql.replace("{n}", dice.word(&["20", "100000", "10", "0", "15"])).replace("{k}", dice.word(&["1", "2", "3", "7"]))
}
