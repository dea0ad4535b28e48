//! The catalogue of leaks and attacks, one test an entry, named after it: `docs/security.md` lists them all, with those whose tests are
//! elsewhere and those that cannot occur here.
//!
//! Most ask two gateways, which differ in hidden rows and masked values, and expect the same bytes of both and the right answer.

mod availability;
mod caches;
mod expressions;
mod inputs;
mod metadata;
mod wire;

use std::collections::BTreeSet;
use std::path::Path;

use crate::harness::TestGateway;
use crate::leaks::{CALM, CANARY, FORMATS, HOSTILE, Reader, canonical, holds, readable};

/// `bob` at two gateways that differ only in what he may not see.
struct Both {
    calm: Reader,
    hostile: Reader,
}

impl Both {
    async fn new() -> Self {
        let (calm, hostile) = tokio::join!(Reader::of(CALM), Reader::of(HOSTILE));
        Self { calm, hostile }
    }

    fn same(&self, sql: &str, calm: Vec<u8>, hostile: Vec<u8>) {
        let [calm, hostile] = [calm, hostile].map(canonical);
        assert_eq!(readable(&calm), readable(&hostile), "{sql}");
        assert!(calm == hostile && !holds(&hostile, CANARY) || sql.contains(CANARY), "{sql}: {}", readable(&hostile));
    }

    /// The rows as text, or the SQLSTATE; the same from both gateways through every door.
    async fn ask(&mut self, sql: &str) -> String {
        let (calm, hostile) = (self.calm.simple(sql).await, self.hostile.simple(sql).await);
        self.same(sql, calm, hostile);
        let (calm, hostile) = (self.calm.extended(sql).await, self.hostile.extended(sql).await);
        self.same(sql, calm, hostile);
        let (calm, hostile) = (self.calm.flown(sql).await, self.hostile.flown(sql).await);
        self.same(sql, calm, hostile);
        let answer = told(&self.hostile.postgres, sql).await;
        self.hostile.settled().await;
        answer
    }

    /// The same for the product in each format, and the same of each.
    async fn everywhere(&mut self, sql: &str) -> String {
        let mut answers = BTreeSet::new();
        for format in FORMATS {
            let answer = self.ask(&sql.replace("{t}", &format!("hr.people_{format}"))).await;
            answers.insert(answer.replace(&format!("people_{format}"), "people"));
        }
        assert_eq!(answers.len(), 1, "{sql}: {answers:?}");
        answers.pop_first().unwrap()
    }
}

/// The rows as text, or the SQLSTATE.
async fn told(client: &tokio_postgres::Client, sql: &str) -> String {
    let messages = match client.simple_query(sql).await {
        Ok(messages) => messages,
        Err(error) => return error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned()),
    };
    let rows = messages.iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|at| row.get(at).unwrap_or("NULL")).collect::<Vec<_>>().join("|"))
        }
        _ => None,
    });
    rows.collect::<Vec<_>>().join(";")
}

/// What a user is told.
async fn ask(gateway: &TestGateway, user: &str, sql: &str) -> String {
    let client = gateway.pg(user).await;
    told(&client, sql).await
}

/// Every name of a function that is a test, in the whole project.
fn tests_of_the_project() -> BTreeSet<String> {
    fn walk(folder: &Path, names: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, names);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let mut is_test = false;
                for line in text.lines().map(str::trim) {
                    if line.starts_with("#[test]") || line.starts_with("#[tokio::test") || line.starts_with("proptest!") {
                        is_test = true;
                    } else if let Some((_, rest)) =
                        line.split_once("fn ").filter(|(before, _)| is_test && ["", "async ", "pub ", "pub async "].contains(before))
                    {
                        names.extend(rest.split('(').next().map(str::to_owned));
                        is_test = false;
                    }
                }
            }
        }
    }
    let mut names = BTreeSet::new();
    for folder in ["src", "tests/gateway"] {
        walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut names);
    }
    names
}

/// The entries of the catalogue.
fn entries() -> Vec<String> {
    [('A', 23), ('B', 10), ('C', 8), ('D', 6), ('E', 10), ('G', 6), ('H', 10)]
        .into_iter()
        .flat_map(|(section, last)| (1..=last).map(move |number| format!("{section}{number}")))
        .collect()
}

#[test]
fn the_document_has_every_entry_and_every_test_that_it_names_exists() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security.md")).unwrap();
    let tests = tests_of_the_project();
    let mut missing = Vec::new();
    for line in text.lines().filter(|line| line.starts_with('|')) {
        // The last column names tests.
        let last = line.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap_or_default();
        let names = last.split('`').skip(1).step_by(2).filter(|name| name.contains('_') && !name.contains(['.', '/', ' ']));
        missing.extend(names.filter(|name| !tests.contains(*name)).map(|name| format!("no test is called {name}")));
    }
    for entry in entries() {
        let line = text.lines().find(|line| line.starts_with(&format!("| {entry} |")));
        let named = line.is_some_and(|line| line.contains(&format!("`{}_", entry.to_lowercase())));
        let excused = line.is_some_and(|line| line.contains("cannot occur:"));
        if !(named || excused) {
            missing.push(format!("{entry} has neither a test of its name nor a reason"));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
