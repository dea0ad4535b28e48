//! What clients ask the catalogs, through the PostgreSQL door: psql itself, and the queries of other clients as captured on the wire.
//!
//! `catalog_queries/` holds the queries with what they give. The values are checked where the catalogs are made (`system::tests`); here it
//! is checked that the same columns and as many rows come through the door, by the protocol that the client uses.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{SimpleQueryMessage, Statement};

use crate::harness::{PASSWORD, Pg, TestGateway};

fn product(domain: &str, name: &str, access: &str) -> String {
    format!(
        "apiVersion: datamesh.io/v1\nkind: DataProduct\nmetadata:\n  name: {name}\n  domain: {domain}\n  version: 1.2.0\n  description: One \
         row per claim.\n  owner: {{team: {domain}, contact: {domain}@test.example}}\n  status: active\nspec:\n  outputPorts:\n  - name: sql\n    \
         format: parquet\n    location: file:data/{domain}/{name}/\n  sla: {{freshness: 1h}}\n  policies: {{access: {access}}}\n"
    )
}

/// A row of `(id, amount, reported, region, tags)`.
fn claims() -> Vec<u8> {
    let mut tags = ListBuilder::new(StringBuilder::new());
    tags.append_value([Some("a")]);
    let columns: Vec<(Field, ArrayRef)> = vec![
        (Field::new("id", DataType::Int64, false), Arc::new(Int64Array::from(vec![1]))),
        (
            Field::new("amount", DataType::Decimal128(12, 2), true),
            Arc::new(Decimal128Array::from(vec![150]).with_precision_and_scale(12, 2).unwrap()),
        ),
        {
            let array = TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC");
            (Field::new("reported", arrow::array::Array::data_type(&array).clone(), true), Arc::new(array))
        },
        (Field::new("region", DataType::Utf8, true), Arc::new(StringArray::from(vec!["eu"]))),
        (Field::new_list("tags", Field::new_list_field(DataType::Utf8, true), true), Arc::new(tags.finish())),
    ];
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

/// A gateway in which `claims_engineer` sees one product and knows nothing of another.
async fn gateway() -> TestGateway {
    TestGateway::new()
        .domain("claims")
        .domain("pricing")
        .product(&product("claims", "claims_enriched", "public"))
        .product(&product("pricing", "secret_rates", "private"))
        .file("claims/claims_enriched/a.parquet", claims())
        .file("pricing/secret_rates/a.parquet", claims())
        .user("claims_engineer", "claims", &[], &[])
        .start()
        .await
}

/// A captured query.
struct Case {
    name: String,
    sql: String,
    parameters: Vec<String>,
    columns: String,
    rows: usize,
}

fn cases(file: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gateway/catalog_queries").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let case = |part: &str| {
        let (name, rest) = part.split_once('\n').unwrap();
        let sql: Vec<&str> = rest.lines().filter(|line| !line.starts_with("-- ")).collect();
        let gives: Vec<&str> = rest.lines().filter_map(|line| line.strip_prefix("-- => ")).collect();
        let listed = rest.lines().find_map(|line| line.strip_prefix("-- params: ")).map(|list| list.split(", ").map(unquoted).collect());
        let rows = gives.last().and_then(|last| last.strip_prefix('(')?.strip_suffix(" rows)")).unwrap();
        Case {
            name: name.to_owned(),
            sql: sql.join("\n"),
            parameters: listed.unwrap_or_default(),
            columns: gives[0].to_owned(),
            rows: rows.parse().unwrap(),
        }
    };
    text.split("\n-- name: ").skip(1).map(case).collect()
}

fn unquoted(literal: &str) -> String {
    literal.trim_matches('\'').to_owned()
}

async fn oid(client: &Pg) -> String {
    let rows = client.text_rows("SELECT 'claims.claims_enriched'::regclass::oid").await.unwrap();
    rows[0][0].clone().unwrap()
}

/// By the simple protocol, as psql does.
async fn simple(client: &Pg, sql: &str) -> Result<(String, usize), tokio_postgres::Error> {
    let (mut columns, mut rows) = (String::new(), 0);
    for message in client.simple_query(sql).await? {
        match message {
            SimpleQueryMessage::RowDescription(described) => {
                columns = described.iter().map(|column| column.name()).collect::<Vec<_>>().join(" | ");
            }
            SimpleQueryMessage::Row(_) => rows += 1,
            _ => {}
        }
    }
    Ok((columns, rows))
}

/// By the extended protocol. With `declared`, parameters are said to be text, and numbers numbers, as psycopg does; without, it is for the
/// gateway to say, as ADBC leaves it.
async fn extended(
    client: &Pg,
    sql: &str,
    parameters: &[String],
    oid: &str,
    declared: bool,
) -> Result<(String, usize), tokio_postgres::Error> {
    let number: i64 = oid.parse().unwrap();
    let types: Vec<Type> = parameters.iter().map(|text| if text == "@oid@" { Type::INT8 } else { Type::TEXT }).collect();
    let statement: Statement = if declared { client.prepare_typed(sql, &types).await? } else { client.prepare(sql).await? };
    let values: Vec<&(dyn ToSql + Sync)> =
        parameters.iter().map(|text| if text == "@oid@" { &number as &(dyn ToSql + Sync) } else { text }).collect();
    let rows = client.query(&statement, &values).await?;
    let columns = statement.columns().iter().map(|column| column.name()).collect::<Vec<_>>().join(" | ");
    Ok((columns, rows.len()))
}

async fn check(files: &[&str]) {
    let gateway = gateway().await;
    let client = gateway.pg("claims_engineer").await;
    let oid = oid(&client).await;
    let mut wrong = Vec::new();
    for file in files {
        for case in cases(file) {
            let sql = case.sql.replace("@oid@", &oid);
            let answer = match *file {
                "psql.sql" => simple(&client, &sql).await,
                file => extended(&client, &sql, &case.parameters, &oid, file != "adbc.sql").await,
            };
            let told = answer.map_err(|error| error.as_db_error().map_or_else(|| error.to_string(), |fault| fault.to_string()));
            if told != Ok((case.columns.clone(), case.rows)) {
                wrong.push(format!("{file}: {}\n  gives {told:?}\n  not   {:?}", case.name, (case.columns, case.rows)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_psql_asks_is_answered() {
    check(&["psql.sql"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_drivers_and_tools_ask_is_answered() {
    check(&["sqlalchemy.sql", "adbc.sql", "psycopg.sql", "tools.sql"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_lists_and_describes_what_its_user_may_read() {
    let gateway = gateway().await;
    let address = gateway.addresses().postgres;
    let psql = async |command: &str| {
        let mut call = Command::new("psql");
        call.args(["-X", "-h", &address.ip().to_string(), "-p", &address.port().to_string(), "-U", "claims_engineer", "-d", "mesh"]);
        call.args(["-v", "ON_ERROR_STOP=1", "-c", command]).env("PGPASSWORD", PASSWORD);
        let made = tokio::task::spawn_blocking(move || call.output()).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&made.stdout).into_owned();
        assert!(made.status.success(), "{command}: {}", String::from_utf8_lossy(&made.stderr));
        assert!(!said.contains("secret_rates"), "{command} tells of a hidden product: {said}");
        said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    for (command, lines) in [
        ("\\d", vec!["claims | claims_enriched | table | claims"]),
        (
            "\\d claims.claims_enriched",
            vec![
                "Table \"claims.claims_enriched\"",
                "id | bigint | | not null |",
                "amount | numeric(12,2) | | |",
                "reported | timestamp with time zone | | |",
                "tags | text[] | | |",
            ],
        ),
        ("\\d+ claims_enriched", vec!["id | bigint | | not null | | plain | | |"]),
        ("\\dt+ claims.*", vec!["claims | claims_enriched | table | claims | permanent | heap | | One row per claim."]),
        ("\\dn", vec!["claims | claims", "public | meshgate"]),
        ("\\du", vec!["claims_engineer | | {claims}"]),
        ("\\l", vec!["mesh | meshgate | UTF8 | C | C | | libc |"]),
        ("\\dp claims.*", vec!["claims | claims_enriched | table | | |"]),
        ("\\dt *.*", vec!["mesh | products | table | meshgate", "pg_catalog | pg_class | table | meshgate"]),
        ("\\df", vec!["(0 rows)"]),
        ("\\conninfo", vec![]),
    ] {
        let said = psql(command).await;
        for line in lines {
            assert!(said.iter().any(|found| found == line), "{command} does not say {line:?}: {said:#?}");
        }
    }
}
