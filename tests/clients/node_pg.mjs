// node-postgres with pg-cursor, and postgres.js: parameters, types, reading in slices, pipelines, cancelling, and errors with their codes.

import { createRequire } from "node:module";

const require = createRequire(`${process.env.MESHGATE_NODE_MODULES}/`);
const pg = require("pg");
const Cursor = require("pg-cursor");
const postgres = require("postgres");
const version = (name) => require(`${process.env.MESHGATE_NODE_MODULES}/${name}/package.json`).version;

const [host, port] = process.env.MESHGATE_POSTGRES.split(":");
const login = { host, port: Number(port), user: "claims_engineer", password: "demo", database: "mesh" };

function check(condition, promise) {
  if (!condition) throw new Error(`not kept: ${promise}`);
}

function same(one, other, promise) {
  check(JSON.stringify(one) === JSON.stringify(other), `${promise}\n  one:   ${JSON.stringify(one)}\n  other: ${JSON.stringify(other)}`);
}

async function refused(work, code, promise) {
  try {
    await work();
  } catch (error) {
    same(error.code, code, promise);
    return error;
  }
  throw new Error(`not kept: ${promise}`);
}

function passed(client, exercised, cannot = "") {
  console.log(JSON.stringify({ client, version: version(client), exercised, cannot }));
}

const ENDLESS = "SELECT count(*) FROM " + [..."abcdefg"].map((name) => `claims.claims_enriched ${name}`).join(", ");
const ERRORS = [["SELECT nope FROM claims.claims_enriched", "42703"], ["SELECT 1/0", "22012"], ["DELETE FROM claims.claims_enriched", "25006"]];

async function nodePostgres() {
  const pool = new pg.Pool({ ...login, max: 3 });
  const count = Number((await pool.query("SELECT count(*) AS count FROM claims.claims_enriched")).rows[0].count);
  check(count > 100, "there are claims");
  const answers = await Promise.all([...Array(20).keys()].map((n) => pool.query("SELECT $1::int AS n", [n])));
  same(answers.map((answer) => answer.rows[0].n), [...Array(20).keys()], "a pool answers all");

  const client = await pool.connect();
  const read = await client.query("SELECT claim_id, amount, incident_date, reported_at, kind FROM claims.claims_enriched ORDER BY claim_id LIMIT 1");
  const one = read.rows[0];
  same(read.fields.map((field) => field.dataTypeID), [20, 1700, 1082, 1184, 25], "columns have PostgreSQL's types");
  check(/^\d+\.\d\d$/.test(one.amount) && one.reported_at instanceof Date, "types arrive as JavaScript's own");
  const found = await client.query(
    "SELECT claim_id FROM claims.claims_enriched WHERE claim_id = $1 AND amount = $2 AND incident_date = $3 AND reported_at = $4 AND kind = $5",
    [one.claim_id, one.amount, one.incident_date, one.reported_at, one.kind],
  );
  same(found.rows, [{ claim_id: one.claim_id }], "a row is found by the values that it was read with");
  const values = await client.query("SELECT $1::int AS a, $2::text AS b, $3::boolean AS c, $4::jsonb AS d, $5::int[] AS e", [null, "ä'\\", true, { x: 1 }, [1, null, 3]]);
  same(values.rows[0], { a: null, b: "ä'\\", c: true, d: { x: 1 }, e: [1, null, 3] }, "values go both ways");
  for (let n = 0; n < 3; n++) {
    const named = await client.query({ name: "by-kind", text: "SELECT count(*)::int AS n FROM claims.claims_enriched WHERE kind = $1", values: [one.kind] });
    check(named.rows[0].n > 0, "a named statement is prepared once and runs again");
  }
  const cursor = client.query(new Cursor("SELECT claim_id FROM claims.claims_enriched WHERE claim_id > $1", [0]));
  let rows = 0;
  for (let slice = await cursor.read(100); slice.length > 0; slice = await cursor.read(100)) rows += slice.length;
  await cursor.close();
  same(rows, count, "a cursor gives all rows, a hundred at a time");
  const left = client.query(new Cursor("SELECT claim_id FROM claims.claims_enriched"));
  same((await left.read(10)).length, 10, "a cursor can be left");
  await left.close();
  const several = await client.query("SELECT '1' AS a; SELECT '2' AS b");
  same(several.map((result) => result.rows), [[{ a: "1" }], [{ b: "2" }]], "several statements give several results");
  const array = await client.query({ text: "SELECT claim_id, kind FROM claims.claims_enriched LIMIT 2", rowMode: "array" });
  same([array.rowCount, array.command, array.rows[0].length], [2, "SELECT", 2], "rows come as arrays, with the tag");
  for (const [sql, code] of ERRORS) await refused(() => client.query(sql), code, `${sql} is ${code}`);
  await client.query("BEGIN");
  await refused(() => client.query("SELECT nope"), "42703", "an error in a transaction");
  await refused(() => client.query("SELECT 1"), "25P02", "a failed transaction stays failed");
  await client.query("ROLLBACK");
  await client.query("SET statement_timeout = 1000");
  await refused(() => client.query(ENDLESS), "57014", "a query that takes too long is cancelled");
  await client.query("RESET statement_timeout");
  const { rows: [{ pid }] } = await client.query("SELECT pg_backend_pid() AS pid");
  check(pid > 0, "a connection has a number");
  client.release();
  await pool.end();
  passed("pg", "pool, parameters, named statements, several results, transactions, statement_timeout, SQLSTATEs");
  passed("pg-cursor", "reading in slices, leaving early");
  await refused(() => new pg.Client({ ...login, password: "wrong" }).connect(), "28P01", "a wrong password is refused");
}

async function postgresJs() {
  const sql = postgres({ ...login, max: 2, onnotice: () => {} });
  const [{ count }] = await sql`SELECT count(*)::int AS count FROM claims.claims_enriched`;
  check(count > 100, "there are claims");
  const [one] = await sql`SELECT claim_id, amount, incident_date, reported_at, kind FROM claims.claims_enriched ORDER BY claim_id LIMIT 1`;
  const found = await sql`SELECT claim_id FROM claims.claims_enriched WHERE claim_id = ${one.claim_id} AND amount = ${one.amount} AND reported_at = ${one.reported_at} AND kind = ${one.kind}`;
  same([...found], [{ claim_id: one.claim_id }], "a row is found by the values that it was read with");
  same([...(await sql`SELECT count(*)::int AS n FROM claims.claims_enriched WHERE claim_id IN ${sql([one.claim_id, "-1"])}`)], [{ n: 1 }], "a list is a list");
  same([...(await sql`SELECT count(*)::int AS n FROM claims.claims_enriched WHERE claim_id = ANY(${[one.claim_id, "-1"]}::bigint[])`)], [{ n: 1 }], "an array is an array");
  same([...(await sql`SELECT ${null}::int AS a, ${"ä'"}::text AS b, ${true}::boolean AS c, ${sql.json({ x: 1 })}::jsonb AS d`)], [{ a: null, b: "ä'", c: true, d: { x: 1 } }], "values go both ways");
  let rows = 0;
  await sql`SELECT claim_id FROM claims.claims_enriched`.cursor(100, (slice) => { rows += slice.length; });
  same(rows, count, "a cursor gives all rows, a hundred at a time");
  rows = 0;
  await sql`SELECT claim_id FROM claims.claims_enriched`.forEach(() => { rows += 1; });
  same(rows, count, "rows come one by one");
  const described = await sql`SELECT claim_id, kind FROM claims.claims_enriched WHERE claim_id = ${"1"}`.describe();
  same([described.types, described.columns.map((column) => column.name)], [[20], ["claim_id", "kind"]], "a statement is described");
  const answers = await Promise.all([...Array(20).keys()].map((n) => sql`SELECT ${n}::int AS n`));
  same(answers.map(([row]) => row.n), [...Array(20).keys()], "pipelined statements answer in order");
  await sql.begin("read only", async (inner) => {
    await inner.savepoint(async (deeper) => { await refused(() => deeper`SELECT nope`.then(), "42703", "an error").then(() => { throw new Error("undo"); }); }).catch((error) => same(error.message, "undo", "a savepoint is undone"));
    same([...(await inner`SELECT true AS a`)], [{ a: true }], "and the transaction goes on");
  });
  const copied = await sql`COPY (SELECT claim_id FROM claims.claims_enriched) TO STDOUT`.readable();
  let text = "";
  for await (const chunk of copied) text += chunk;
  same(text.split("\n").length - 1, count, "COPY gives all rows");
  for (const [statement, code] of ERRORS) await refused(() => sql.unsafe(statement), code, `${statement} is ${code}`);
  const endless = sql.unsafe(ENDLESS);
  setTimeout(() => endless.cancel(), 1000);
  await refused(() => endless, "57014", "a cancelled query ends");
  same([...(await sql`SELECT true AS a`)], [{ a: true }], "and the connection goes on");
  await sql.end();
  passed("postgres", "parameters, arrays, JSON, describe, pipelines, cursors, COPY, savepoints, cancel, SQLSTATEs", "subscribe: needs logical replication");
}

await nodePostgres();
await postgresJs();
