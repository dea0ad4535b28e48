//! SQL behaviour, in `tests/slt/<user>.<topic>.slt`, each file through both doors: the same text must come out of each.
//!
//! A record is `query`, the statement, `----` and the rows, one a line; or `query`, the statement, `---- error` and the fault. Records are
//! parted by empty lines, `#` begins a comment. A file is run as the user that its name begins with. `MESHGATE_SLT=word` runs only the
//! files with that word in their name, and `MESHGATE_UPDATE_SLT=1` writes what the PostgreSQL door says into the files.

use std::path::PathBuf;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow_flight::error::FlightError;

use super::harness::{Pg, TestGateway};

const CLAIMS: &str = "\
claim_id,region,holder,ssn,email,amount,opened,open
1,eu,Anna Bär,123-45-6789,anna@example.test,100.50,2026-01-03,true
2,eu,\"Bob, jr\",987-65-4321,bob@example.test,0.00,2026-02-04,false
3,us,Carol,555-44-3333,,999.99,2026-02-28,true
4,,Dan,111-22-3333,dan@example.test,5.25,,false
";

const FIELDS: &str = "      schema:
        - {name: claim_id, type: bigint, nullable: false, unique: true, description: Key}
        - {name: region, type: text}
        - {name: holder, type: text}
        - {name: ssn, type: text, classification: PII.NationalID}
        - {name: email, type: text, classification: PII.Email}
        - {name: amount, type: \"numeric(12,2)\"}
        - {name: opened, type: date}
        - {name: open, type: boolean}
";

fn product(name: &str, policies: &str) -> String {
    format!(
        "apiVersion: datamesh.io/v1\nkind: DataProduct\nmetadata:\n  name: {name}\n  domain: claims\n  version: 1.0.0\n  description: One row per claim.\n  \
         owner: {{team: claims-data, contact: claims@test.example}}\n  status: active\nspec:\n  outputPorts:\n    - name: sql\n      format: csv\n      \
         location: file:data/claims/claims.csv\n      options: {{header: true}}\n{FIELDS}  sla: {{freshness: 1y}}\n  policies:\n{policies}"
    )
}

async fn gateway() -> TestGateway {
    let gateway = builder().start().await;
    let problems = gateway.pg("owner").await.text_rows("SELECT file, line, message FROM mesh.problems").await.unwrap();
    assert_eq!(problems, Vec::<Vec<_>>::new());
    gateway
}

fn builder() -> super::harness::Builder {
    let filter =
        "    rowFilters: [{expression: \"region = $region\", bind: {region: principal.attributes.region}, exceptGroups: [claims-all]}]\n";
    TestGateway::new()
        .domain("claims")
        .domain("marketing")
        .file("claims/claims.csv", CLAIMS)
        .product(&product("everything", "    access: public\n"))
        .product(&product("by_region", &format!("    access: public\n{filter}")))
        .product(&product("on_request", "    access: restricted\n"))
        .product(&product("secret", "    access: private\n"))
        .user("owner", "claims", &["pii-clear", "claims-all"], &[("region", "eu")])
        .user("reader", "marketing", &[], &[("region", "eu")])
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_says_the_same_through_both_doors() {
    let gateway = gateway().await;
    let wanted = std::env::var("MESHGATE_SLT").unwrap_or_default();
    let update = std::env::var_os("MESHGATE_UPDATE_SLT").is_some();
    let mut ran = 0;
    for file in files().into_iter().filter(|file| file.to_string_lossy().contains(&wanted)) {
        let user = file.file_name().unwrap().to_str().unwrap().split('.').next().unwrap().to_owned();
        let postgres = gateway.pg(&user).await;
        let (mut written, mut wrong) = (String::new(), Vec::new());
        for record in records(&std::fs::read_to_string(&file).unwrap()) {
            let Record::Query { sql, expected } = &record else {
                written.push_str(&record.to_text());
                continue;
            };
            let by_postgres = through_postgres(&postgres, sql).await;
            let by_flight = through_flight(&gateway, &user, sql).await;
            if by_postgres != by_flight {
                wrong.push(format!("the doors differ on {sql}\n  postgres {by_postgres:#?}\n  flight {by_flight:#?}"));
            } else if !update && by_postgres != *expected {
                wrong.push(format!("{sql}\n  expected {expected:#?}\n  got {by_postgres:#?}"));
            }
            written.push_str(&Record::Query { sql: sql.clone(), expected: by_postgres }.to_text());
        }
        assert!(wrong.is_empty(), "{}:\n{}", file.display(), wrong.join("\n"));
        if update {
            std::fs::write(&file, written).unwrap();
        }
        ran += 1;
    }
    assert!(ran > 0, "no file has {wanted:?} in its name");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_is_told_what_was_filtered_and_masked() {
    let gateway = gateway().await;
    let client = gateway.pg("reader").await;
    client.text_rows("SELECT email FROM claims.by_region").await.unwrap();
    let told: Vec<_> = client.take_notices().iter().map(|notice| notice.message().to_owned()).collect();
    assert_eq!(told, ["rows of \"claims.by_region\" are filtered for you", "columns of \"claims.by_region\" are masked for you"]);
}

/// A statement without tables, functions and parameters is planned once for all.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_remembered_of_a_statement_depends_on_nobody_and_on_no_time() {
    let gateway = gateway().await;
    let (reader, owner) = (gateway.pg("reader").await, gateway.pg("owner").await);
    let one = |rows: Vec<Vec<Option<String>>>| rows.first().and_then(|row| row.first().cloned()).flatten().unwrap();
    for _ in 0..2 {
        assert_eq!(one(reader.text_rows("SELECT current_user").await.unwrap()), "reader");
        assert_eq!(one(owner.text_rows("SELECT current_user").await.unwrap()), "owner");
        for (client, zone, shown) in [(&reader, "UTC", "2024-01-01 00:00:00+00"), (&owner, "Asia/Tokyo", "2024-01-01 00:00:00+09")] {
            client.text_rows(&format!("SET TimeZone = '{zone}'")).await.unwrap();
            assert_eq!(one(client.text_rows("SELECT timestamptz '2024-01-01'").await.unwrap()), shown);
        }
        owner.text_rows("SET TimeZone = 'UTC'").await.unwrap();
    }
    for sql in ["SELECT now()", "SELECT clock_timestamp()", "SELECT 'now'::timestamptz", "SELECT current_timestamp", "SELECT random()"] {
        let first = one(reader.text_rows(sql).await.unwrap());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        assert_ne!(one(reader.text_rows(sql).await.unwrap()), first, "{sql}");
    }
    for _ in 0..2 {
        assert_eq!(one(reader.text_rows("SELECT 2 + 3 AS five").await.unwrap()), "5");
        assert!(reader.text_rows("SELECT 1 / 0").await.is_err());
        assert_eq!(one(reader.text_rows("EXPLAIN SELECT 2 + 3 AS five").await.unwrap()).split(':').next(), Some("ProjectionExec"));
    }
    let told = gateway.pg("reader").await.text_rows("SELECT count(*) FROM finops.queries WHERE rows_returned = 1").await.unwrap();
    assert!(one(told).parse::<u64>().unwrap() >= 2);
}

fn files() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/slt");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Rows, one a line, or the fault as `42P01: relation "x" does not exist`.
type Answer = Result<Vec<String>, String>;

/// A part of a file.
enum Record {
    Comment(String),
    Query { sql: String, expected: Answer },
}

impl Record {
    fn to_text(&self) -> String {
        match self {
            Self::Comment(text) => format!("{text}\n\n"),
            Self::Query { sql, expected: Ok(rows) } => {
                let rows: String = rows.iter().map(|row| format!("{row}\n")).collect();
                format!("query\n{sql}\n----\n{rows}\n")
            }
            Self::Query { sql, expected: Err(fault) } => format!("query\n{sql}\n---- error\n{fault}\n\n"),
        }
    }
}

fn records(text: &str) -> Vec<Record> {
    let parts = text.split("\n\n").map(|part| part.trim_matches('\n')).filter(|part| !part.is_empty());
    parts.flat_map(record).collect()
}

/// A comment, a query, or a comment and its query.
fn record(part: &str) -> Vec<Record> {
    let (comments, lines): (Vec<&str>, Vec<&str>) = part.lines().partition(|line| line.starts_with('#'));
    let mut records = Vec::new();
    if !comments.is_empty() {
        records.push(Record::Comment(comments.join("\n")));
    }
    if let Some((&"query", rest)) = lines.split_first() {
        let end = rest.iter().position(|line| line.starts_with("----")).unwrap_or(rest.len());
        let answer: Vec<String> = rest.iter().skip(end + 1).map(|line| (*line).to_owned()).collect();
        let expected = if rest.get(end) == Some(&"---- error") { Err(answer.join("\n")) } else { Ok(answer) };
        records.push(Record::Query { sql: rest[..end].join("\n"), expected });
    } else {
        assert!(lines.is_empty(), "not a record: {part}");
    }
    records
}

async fn through_postgres(client: &Pg, sql: &str) -> Answer {
    match client.text_rows(sql).await {
        Ok(rows) => Ok(rows.into_iter().map(line).collect()),
        Err(error) => Err(match error.as_db_error() {
            Some(error) => format!("{}: {}", error.code().code(), error.message()),
            None => error.to_string(),
        }),
    }
}

async fn through_flight(gateway: &TestGateway, user: &str, sql: &str) -> Answer {
    let batches = gateway.flight_rows(user, sql).await.map_err(told_by_flight)?;
    let rows =
        batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|row| line(batch.columns().iter().map(|c| text(c, row)).collect())));
    Ok(rows.collect())
}

/// A row as a file has it.
fn line(values: Vec<Option<String>>) -> String {
    let shown = |value: Option<String>| match value {
        None => "NULL".to_owned(),
        Some(text) if text.is_empty() => "(empty)".to_owned(),
        Some(text) => text.trim_end().to_owned(),
    };
    values.into_iter().map(shown).collect::<Vec<_>>().join(" | ")
}

/// The status' message is `message (SQLSTATE 42P01)` and more lines.
fn told_by_flight(error: FlightError) -> String {
    let FlightError::Tonic(status) = &error else { return error.to_string() };
    let first = status.message().lines().next().unwrap_or_default();
    match first.rsplit_once(" (SQLSTATE ") {
        Some((message, code)) => format!("{}: {message}", code.trim_end_matches(')')),
        None => first.to_owned(),
    }
}

/// A value as PostgreSQL writes it.
fn text(column: &ArrayRef, row: usize) -> Option<String> {
    if column.is_null(row) {
        return None;
    }
    if let DataType::Boolean = column.data_type() {
        return Some(if column.as_boolean().value(row) { "t" } else { "f" }.to_owned());
    }
    let options =
        FormatOptions::default().with_timestamp_format(Some("%Y-%m-%d %H:%M:%S")).with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S+00"));
    Some(ArrayFormatter::try_new(column, &options).unwrap().value(row).to_string())
}
