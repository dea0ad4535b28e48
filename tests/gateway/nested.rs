//! Structs and lists of structs, from the file to the reader: fields are masked where they lie, by label, by rule and by policy.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use parquet::arrow::ArrowWriter;

use crate::harness::{Pg, TestGateway, flight_query};

const MESH: &str = r#"
apiVersion: datamesh.io/v1
kind: Mesh
metadata: {name: test}
spec:
  currency: USD
  classifications:
    PII.Name: {mask: mask-alphanum, clearGroups: [pii-clear]}
    PII.Phone: {mask: show-last-4, clearGroups: [pii-clear]}
"#;

const LINES: &str = r#"{"id":1,"person":{"name":"secret one","birth":"1980-02-03","home":{"street":"secret street","city":"Bern"}},"phones":[{"kind":"home","number":"secret1234"},{"kind":"work","number":null}]}
{"id":2,"person":null,"phones":null}
{"id":3,"person":{"name":null,"birth":null,"home":null},"phones":[]}
{"id":4,"person":{"name":"secret two","birth":"1990-12-31","home":{"street":null,"city":"Rome"}},"phones":[{"kind":null,"number":"secret5678"}]}
"#;

/// A product of one of the formats, with a label on two fields, and rules on two more by their paths.
fn manifest(format: &str) -> String {
    format!(
        r#"
apiVersion: datamesh.io/v1
kind: DataProduct
metadata: {{name: of_{format}, domain: hr, version: 1.0.0, description: Staff, owner: {{team: hr-data, contact: hr@test.example}}}}
spec:
  outputPorts:
    - name: sql
      format: {format}
      location: "file:data/hr/{format}/"
      schema:
        - {{name: id, type: bigint}}
        - name: person
          type: struct
          fields:
            - {{name: name, type: text, classification: PII.Name}}
            - {{name: birth, type: date}}
            - {{name: home, type: struct, fields: [{{name: street, type: text}}, {{name: city, type: text}}]}}
        - {{name: phones, type: "struct[]", fields: [{{name: kind, type: text}}, {{name: number, type: text, classification: PII.Phone}}]}}
  sla: {{freshness: 9y}}
  policies:
    access: restricted
    masks: [{{column: person.home.street, mask: replace-with-null, exceptGroups: [pii-clear]}}]
"#
    )
}

const POLICY: &str = r#"package mesh.domain.hr

column_masks contains {"column": column.name, "mask": "truncate-to-year"} if {
    some column in input.columns
    column.type == "date"
    not "pii-clear" in input.principal.groups
}
"#;

fn batch() -> RecordBatch {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let record = |name: &str, fields: Vec<Field>| Field::new(name, DataType::Struct(Fields::from(fields)), true);
    let home = record("home", vec![text("city"), text("unpromised"), text("street")]);
    let phone = record("element", vec![text("kind"), text("number")]);
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        record("person", vec![text("name"), Field::new("birth", DataType::Date32, true), home]),
        Field::new("phones", DataType::List(Arc::new(phone)), true),
    ]));
    let mut decoder = arrow::json::ReaderBuilder::new(schema).build_decoder().unwrap();
    decoder.decode(LINES.as_bytes()).unwrap();
    decoder.flush().unwrap().unwrap()
}

fn parquet() -> Vec<u8> {
    let (batch, mut bytes) = (batch(), Vec::new());
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn delta_log(bytes: usize) -> String {
    let field = |name: &str, kind: serde_json::Value| serde_json::json!({"name": name, "type": kind, "nullable": true, "metadata": {}});
    let record = |fields: serde_json::Value| serde_json::json!({"type": "struct", "fields": fields});
    let text = |name: &str| field(name, "string".into());
    let home = record(serde_json::json!([text("city"), text("unpromised"), text("street")]));
    let person = record(serde_json::json!([text("name"), field("birth", "date".into()), field("home", home)]));
    let phone = record(serde_json::json!([text("kind"), text("number")]));
    let phones = serde_json::json!({"type": "array", "elementType": phone, "containsNull": true});
    let schema = record(serde_json::json!([field("id", "long".into()), field("person", person), field("phones", phones)]));
    let actions = [
        serde_json::json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}),
        serde_json::json!({"metaData": {"id": "5fba94ed-9794-4965-ba6e-6ee3c0d22af9", "format": {"provider": "parquet", "options": {}},
            "schemaString": schema.to_string(), "partitionColumns": [], "configuration": {}, "createdTime": 1_700_000_000_000_i64}}),
        serde_json::json!({"add": {"path": "a.parquet", "partitionValues": {}, "size": bytes, "modificationTime": 1_700_000_000_000_i64,
            "dataChange": true}}),
    ];
    actions.map(|action| format!("{action}\n")).concat()
}

const FORMATS: [&str; 3] = ["json", "parquet", "delta"];

async fn gateway() -> TestGateway {
    let readers: Vec<String> = FORMATS.iter().map(|format| format!("dp-hr-of_{format}-reader")).collect();
    let readers: Vec<&str> = readers.iter().map(String::as_str).collect();
    let clear: Vec<&str> = readers.iter().copied().chain(["pii-clear"]).collect();
    let mut gateway = TestGateway::new().catalog_file("mesh.yaml", MESH).domain("hr").domain("sales");
    for format in FORMATS {
        gateway = gateway.product(&manifest(format));
    }
    gateway
        .catalog_file("hr/policies/domain.rego", POLICY)
        .file("hr/json/a.json", LINES)
        .file("hr/parquet/a.parquet", parquet())
        .file("hr/delta/a.parquet", parquet())
        .file("hr/delta/_delta_log/00000000000000000000.json", delta_log(parquet().len()))
        .user("bob", "sales", &readers, &[])
        .user("cleo", "sales", &clear, &[])
        .start()
        .await
}

async fn told(client: &Pg, sql: &str) -> String {
    let cell = |cell: &Option<String>| cell.clone().unwrap_or_else(|| "NULL".to_owned());
    match client.text_rows(sql).await {
        Ok(rows) => rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join("|")).collect::<Vec<_>>().join("\n"),
        Err(error) => error.to_string() + &error.as_db_error().map(ToString::to_string).unwrap_or_default(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_are_masked_where_they_lie_in_every_format_and_through_both_doors() {
    let gateway = gateway().await;
    let (bob, cleo) = (gateway.pg("bob").await, gateway.pg("cleo").await);
    let masked = r#"1|{"name": "xxxxxxxxxx", "birth": "1980-01-01", "home": {"street": null, "city": "Bern"}}|[{"kind": "home", "number": "xxxxxx1234"}, {"kind": "work", "number": null}]
2|NULL|NULL
3|{"name": null, "birth": null, "home": null}|[]
4|{"name": "xxxxxxxxxx", "birth": "1990-01-01", "home": {"street": null, "city": "Rome"}}|[{"kind": null, "number": "xxxxxx5678"}]"#;
    for format in FORMATS {
        let all = format!("SELECT id, person, phones FROM hr.of_{format} ORDER BY id");
        assert_eq!(told(&bob, &all).await, masked, "{format}");
        let clear = told(&cleo, &all).await;
        assert!(clear.contains(r#""name": "secret one", "birth": "1980-02-03", "home": {"street": "secret street""#), "{format}: {clear}");
        assert!(clear.contains(r#""number": "secret5678""#), "{format}: {clear}");

        // A field is asked about as it is seen.
        for (asked, seen) in
            [("person.name = 'secret one'", "0"), ("person.name = 'xxxxxxxxxx'", "2"), ("(person).birth = '1980-01-01'", "1")]
        {
            let sql = format!("SELECT count(*) FROM hr.of_{format} p WHERE {asked}");
            assert_eq!(told(&bob, &sql).await, seen, "{format}: {asked}");
        }
        let street = format!("SELECT count(person['home']['street']), max((person).home.city) FROM hr.of_{format}");
        assert_eq!((told(&bob, &street).await.as_str(), told(&cleo, &street).await.as_str()), ("0|Rome", "1|Rome"), "{format}");

        let mut flight = gateway.flight("bob").await;
        let batches = flight_query(&mut flight, &all).await.unwrap();
        let people = batches[0].column(1).as_struct();
        assert_eq!(people.column(0).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("xxxxxxxxxx"), None, None, Some("xxxxxxxxxx")]);
        let encoded = format!("{:?}", batches.iter().map(RecordBatch::columns).collect::<Vec<_>>());
        assert!(!encoded.contains("secret"), "{format}: {encoded}");
    }
    bob.take_notices();
    told(&bob, "SELECT id FROM hr.of_json").await;
    let told_of = bob.take_notices().iter().filter_map(|notice| notice.detail().map(str::to_owned)).collect::<String>();
    assert!(told_of.contains("Masked columns: person.birth, person.home.street, person.name, phones.number."), "{told_of}");

    let listed = "SELECT column_name, data_type, classification FROM mesh.columns WHERE product = 'of_json' ORDER BY 1";
    assert!(told(&bob, listed).await.contains("person.home.street|text|NULL\nperson.name|text|PII.Name\nphones|struct[]|NULL"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_struct_is_recomputed_in_no_error_and_no_plan() {
    let gateway = gateway().await;
    let bob = gateway.pg("bob").await;
    for sql in [
        "SELECT person.name::bigint FROM hr.of_parquet",
        "SELECT 1 / (length(person.name) - 10) FROM hr.of_parquet",
        "EXPLAIN ANALYZE SELECT * FROM hr.of_parquet WHERE person.name = 'a'",
        "EXPLAIN SELECT * FROM hr.of_delta WHERE person.home.street = 'a'",
    ] {
        let said = told(&bob, sql).await;
        assert!(!said.contains("secret") && !said.is_empty(), "{sql}: {said}");
    }
}
