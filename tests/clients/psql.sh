#!/usr/bin/env bash
# psql: the commands that people type first, and what they must show.
set -euo pipefail

export PGHOST="${MESHGATE_POSTGRES%:*}" PGPORT="${MESHGATE_POSTGRES##*:}" PGDATABASE=mesh PGPASSWORD=demo PGCONNECT_TIMEOUT=10
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
trap 'echo "not kept: line $LINENO: $BASH_COMMAND"' ERR

as() { local user="$1"; shift; psql -X -q -v ON_ERROR_STOP=1 -U "$user" "$@"; }
fail() { echo "not kept: $1"; exit 1; }
has() { grep -qE -- "$2" <<<"$1" || fail "$3; got: $1"; }
hasnt() { if grep -qE -- "$2" <<<"$1"; then fail "$3; got: $1"; fi; }

# Listings show what the reader may read, and nothing else.
relations="$(as claims_engineer -c '\d *.*' 2>&1 | head -c 200000)"
has "$relations" 'claims_enriched' '\d *.* describes products'
tables="$(as claims_engineer -At -c '\dt claims.*' -c '\dt customer.*' -c '\dt policy.*')"
has "$tables" '^claims\|claims_enriched\|table' '\dt lists the own domain'
has "$tables" '^claims\|fraud_signals\|table' '\dt lists a private product of the own domain'
has "$tables" '^customer\|customer_master\|table' '\dt lists what was granted'
hasnt "$(as newcomer -At -c '\dt *.*')" 'customer_master|fraud_signals|policies_active' 'a table that may not be read is in no listing'
has "$(as claims_engineer -At -c '\d')" 'claims_enriched' '\d lists the search path'
has "$(as claims_engineer -At -c '\dn')" '^claims\|' '\dn lists schemas'
has "$(as claims_engineer -At -c '\du')" 'claims_engineer' '\du lists the reader'
has "$(as claims_engineer -At -c '\l')" '^mesh\|' '\l lists the database'
has "$(as claims_engineer -At -c '\conninfo')" 'database "mesh" as user "claims_engineer"' '\conninfo says where'

# A table's description has its columns, types and NOT NULL.
described="$(as claims_engineer -At -c '\d claims.claims_enriched')"
has "$described" '^claim_id\|bigint\|\|not null\|' '\d shows a key'
has "$described" '^amount\|numeric\(12,2\)\|\|not null\|' '\d shows a numeric with its scale'
has "$described" '^reported_at\|timestamp with time zone\|' '\d shows a timestamp'
has "$(as claims_engineer -At -c '\d+ claims.claims_enriched')" 'What is claimed' '\d+ shows comments'

# The fraud query, as a person runs it.
cat >"$folder/fraud.sql" <<SQL
$(python3 -c 'import mesh; print(mesh.FRAUD)');
SQL
rows="$(as claims_engineer -At -f "$folder/fraud.sql")"
[ "$(wc -l <<<"$rows")" = 50 ] || fail "the fraud query gives its rows; got: $rows"
clear="$(as customer_steward -At -c "SELECT national_id FROM customer.customer_master WHERE national_id IS NOT NULL ORDER BY customer_id LIMIT 1")"
hasnt "$rows" "$clear" 'no clear national id is among them'
types="$(as claims_engineer -At <<<'SELECT claim_id, amount, reported_at FROM claims.claims_enriched LIMIT 1 \gdesc')"
has "$types" '^amount\|numeric\(12,2\)$' '\gdesc describes without running'
[ "$(as claims_engineer -At -F ' ' -v FETCH_COUNT=100 -c 'SELECT claim_id FROM claims.claims_enriched' | wc -l)" = \
  "$(as claims_engineer -At -c 'SELECT count(*) FROM claims.claims_enriched')" ] || fail 'a cursor of 100 rows at a time gives all of them'

# COPY gives the same rows as the query.
as claims_engineer -c "\\copy (SELECT claim_id, kind, amount, narrative FROM claims.claims_enriched ORDER BY claim_id LIMIT 500) TO '$folder/claims.csv' WITH (FORMAT csv, HEADER)"
[ "$(head -1 "$folder/claims.csv")" = claim_id,kind,amount,narrative ] || fail 'COPY writes the header'
as claims_engineer --csv -c 'SELECT claim_id, kind, amount, narrative FROM claims.claims_enriched ORDER BY claim_id LIMIT 500' >"$folder/query.csv"
cmp -s "$folder/claims.csv" "$folder/query.csv" || fail 'COPY to csv gives what the query gives'
as claims_engineer -c "COPY (SELECT 1 AS a, 'x,y' AS b) TO STDOUT (FORMAT csv)" | grep -qx '1,"x,y"' || fail 'COPY quotes what needs quotes'

# Errors say what is wrong, where, and what to do.
refused() { as "$1" -v VERBOSITY=verbose -c "$2" 2>&1 && fail "$2 must be refused" || true; }
denied="$(refused newcomer 'SELECT * FROM customer.customer_master')"
has "$denied" 'ERROR:  42501: permission denied' 'a product that was not granted is 42501'
has "$denied" 'HINT:  .+' 'and says how to ask'
has "$(refused newcomer 'SELECT * FROM claims.fraud_signals')" 'ERROR:  42P01: relation "claims.fraud_signals" does not exist' 'a private one does not exist'
has "$(refused claims_engineer 'SELECT nope FROM claims.claims_enriched')" 'ERROR:  42703: column "nope" does not exist' 'an unknown column is 42703'
has "$(refused claims_engineer 'SELEC 1')" 'ERROR:  42601: syntax error' 'nonsense is 42601'
has "$(refused claims_engineer 'SELEC 1')" '^LINE 1: SELEC 1' 'and is pointed at'
has "$(refused claims_engineer 'DELETE FROM claims.claims_enriched')" 'ERROR:  25006: cannot execute DELETE in a read-only' 'writes are 25006'
has "$(refused claims_engineer 'SELECT 1/0')" 'ERROR:  22012: division by zero' 'division by zero is 22012'
has "$(PGPASSWORD=wrong as claims_engineer -c 'SELECT 1' 2>&1 || true)" 'password authentication failed for user "claims_engineer"' 'a wrong password is refused'
has "$(PGPASSWORD=wrong as nobody_at_all -c 'SELECT 1' 2>&1 || true)" 'password authentication failed for user "nobody_at_all"' 'an unknown user is refused alike'

# A transaction goes on as psql users expect.
has "$(as claims_engineer -At -c 'BEGIN; SELECT 1; COMMIT; SHOW meshgate.purpose' 2>&1)" '^1$' 'transactions of readers work'
has "$(as claims_engineer -At -c "SET meshgate.purpose = 'fraud_investigation'" -c 'SHOW meshgate.purpose')" 'fraud_investigation' 'a purpose can be declared'
version="$(psql --version | grep -oE '[0-9]+[.0-9]*' | head -1)"
printf '{"client": "psql", "version": "%s", "exercised": "%s", "cannot": "%s"}\n' "$version" '\\d, \\dt, \\dn, \\du, \\l, \\gdesc, \\copy, FETCH_COUNT, transactions, errors with place and hint' '\\copy from: a write'
