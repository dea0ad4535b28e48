//! The clients' queries. `BLESS=1` writes what they give now into the files, to be read before it is committed.

use std::path::{Path, PathBuf};

use datafusion::scalar::ScalarValue;

use super::{Answer, ask_with, session, world};

/// More rows than this are told by their number and the first few.
const SHOWN: usize = 12;

/// A query of the corpus.
struct Case {
    name: String,
    parameters: Vec<ScalarValue>,
    /// The lines as they stand, without what it gives.
    text: String,
    sql: String,
    gives: Vec<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gateway/catalog_queries")
}

/// The head of a file, and its cases: `-- name:`, optionally `-- params:`, the query, and `-- =>` for each line that it gives.
fn read(text: &str) -> (String, Vec<Case>) {
    let mut parts = text.split("\n-- name: ");
    let head = parts.next().unwrap_or_default().to_owned();
    let case = |part: &str| {
        let (name, rest) = part.split_once('\n').unwrap();
        let parameters = rest.lines().find_map(|line| line.strip_prefix("-- params: ")).map(parameters).unwrap_or_default();
        let gives = rest.lines().filter_map(|line| line.strip_prefix("-- => ")).map(str::to_owned).collect();
        let text: Vec<&str> = rest.lines().filter(|line| !line.starts_with("-- => ")).collect();
        let sql: Vec<&str> = text.iter().copied().filter(|line| !line.starts_with("-- params: ")).collect();
        Case { name: name.to_owned(), parameters, text: text.join("\n").trim_end().to_owned(), sql: sql.join("\n"), gives }
    };
    (head, parts.map(case).collect())
}

/// `'a', 'b', 1`
fn parameters(list: &str) -> Vec<ScalarValue> {
    let value = |text: &str| match text.strip_prefix('\'') {
        Some(quoted) => ScalarValue::Utf8(Some(quoted.trim_end_matches('\'').to_owned())),
        None => ScalarValue::Int64(Some(text.parse().unwrap())),
    };
    list.split(", ").map(value).collect()
}

fn show(answer: &Answer) -> Vec<String> {
    let mut lines = vec![answer.columns.join(" | ")];
    let shown = if answer.rows.len() > SHOWN { 3 } else { SHOWN };
    lines.extend(answer.rows.iter().take(shown).map(|row| row.join(" | ").replace('\n', "\\n")));
    lines.push(format!("({} rows)", answer.rows.len()));
    lines
}

async fn check(file: &str) {
    let path = folder().join(file);
    let (head, cases) = read(&std::fs::read_to_string(&path).unwrap());
    assert!(!cases.is_empty(), "{file} has no queries");
    let world = world();
    let claims = world.named("claims", "claims_enriched").unwrap().oid.to_string();
    let context = session(&world);
    let (mut wrong, mut blessed) = (Vec::new(), head);
    for case in cases {
        let parameters = case.parameters.iter().map(|value| match value {
            ScalarValue::Utf8(Some(text)) if text == "@oid@" => ScalarValue::Int64(Some(claims.parse().unwrap())),
            other => other.clone(),
        });
        let answer = ask_with(&context, &case.sql.replace("@oid@", &claims), parameters.collect()).await;
        let gives = answer.as_ref().map_or_else(|fault| vec![format!("ERROR {fault}").replace('\n', " ")], show);
        if gives != case.gives || answer.is_err() {
            wrong.push(format!("{file}: {}\n  gives {gives:#?}\n  not   {:#?}", case.name, case.gives));
        }
        let lines: Vec<String> = gives.iter().map(|line| format!("-- => {line}")).collect();
        blessed.push_str(&format!("\n-- name: {}\n{}\n{}\n", case.name, case.text, lines.join("\n")));
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, blessed).unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test]
async fn psql_lists_and_describes() {
    check("psql.sql").await;
}

#[tokio::test]
async fn sqlalchemy_connects_and_reflects() {
    check("sqlalchemy.sql").await;
}

#[tokio::test]
async fn adbc_connects_and_gets_objects() {
    check("adbc.sql").await;
}

#[tokio::test]
async fn psycopg_finds_types() {
    check("psycopg.sql").await;
}

#[tokio::test]
async fn other_tools_list_and_describe() {
    check("tools.sql").await;
}
