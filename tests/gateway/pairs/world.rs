//! Two meshes out of one seed: the same visible rows, the same manifests, the same readers. What differs is what `bob` may not see: rows
//! that a filter hides, values that a mask gives the same answer for, and whether a private product exists at all.

use crate::harness::{Builder, TestGateway};

use super::data::{Cell, Columns, FORMATS, Files, Kind, Row};
use super::dice::Dice;

/// In hidden rows, masked values and private names.
pub const CANARY: &str = "canary4711";

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    A,
    B,
}

/// A row filter, and what rows it shows and hides.
struct Filter {
    expression: &'static str,
    bind: &'static str,
    shown: &'static [&'static str],
    /// Regions of hidden rows; empty is NULL.
    hidden: &'static [&'static str],
    /// Whether hidden rows have ids of their own, from 1000 on.
    by_id: bool,
}

const FILTERS: [Filter; 7] = [
    Filter {
        expression: "region = $region",
        bind: "region: principal.attributes.region",
        shown: &["eu"],
        hidden: &["us", ""],
        by_id: false,
    },
    Filter { expression: "region <> 'us'", bind: "", shown: &["eu", "ch"], hidden: &["us", ""], by_id: false },
    Filter { expression: "region IN ('eu', 'ch')", bind: "", shown: &["eu", "ch"], hidden: &["us", "", "zz"], by_id: false },
    Filter { expression: "id BETWEEN 0 AND 999", bind: "", shown: &["eu", "us"], hidden: &["us", "eu", ""], by_id: true },
    Filter { expression: "region = 'eu' AND id < 1000", bind: "", shown: &["eu"], hidden: &["us", "eu"], by_id: true },
    Filter { expression: "NOT (region = 'us' OR region IS NULL)", bind: "", shown: &["eu", "ch"], hidden: &["us", ""], by_id: false },
    Filter { expression: "id < 1000 OR id IS NULL AND region = 'eu'", bind: "", shown: &["eu"], hidden: &["us"], by_id: true },
];

const MASKS: [(Kind, &[&str]); 5] = [
    (
        Kind::Text,
        &[
            "replace-with-null",
            "mask-to-fixed-value",
            "mask-alphanum",
            "show-first-4",
            "show-last-4",
            "email",
            "constant:x",
            "pseudonym",
            "sha-256-global",
        ],
    ),
    (Kind::Int, &["replace-with-null", "mask-to-fixed-value", "round:10", "constant:7", "pseudonym"]),
    (Kind::Float, &["replace-with-null", "mask-to-fixed-value", "round:10"]),
    (Kind::Date, &["replace-with-null", "mask-to-fixed-value", "truncate-to-year", "truncate-to-month"]),
    (Kind::Bool, &["replace-with-null", "mask-to-fixed-value"]),
];

/// Texts that make functions fail, patterns match and parsers stumble.
const HOSTILE: [&str; 12] = [
    "canary4711 (",
    "canary4711 [",
    "canary4711 99999999999999999999",
    "99999999999999999999",
    "2026-13-45",
    "canary4711 \\",
    "{\"canary4711\":",
    "%canary4711%",
    "\u{1F980}canary4711",
    "NaN",
    "111-11-1111",
    "zzz canary4711 zzz canary4711 zzz canary4711 zzz canary4711 zzz canary4711 zzz canary4711 zzz canary4711 zzz canary4711",
];

const PLAIN: [&str; 12] = [
    "ann",
    "bea",
    "Cyd-7",
    "dan@corp.example",
    "eve@home.example",
    "111-11-1111",
    "222-22-2222",
    "2026-01-31",
    "42",
    "a b c",
    "[x]",
    "true",
];

/// A product that `bob` reads.
pub struct Product {
    pub name: String,
    format: &'static str,
    filter: Option<&'static Filter>,
    masks: Vec<(usize, &'static str)>,
    shown: Vec<Row>,
    group: usize,
    partitioned: bool,
    parts: usize,
}

/// Two meshes.
pub struct World {
    pub seed: u64,
    pub columns: Vec<(&'static str, Kind)>,
    pub products: Vec<Product>,
}

impl World {
    /// The pair of a seed.
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut columns = vec![("id", Kind::Int), ("region", Kind::Text)];
        let more = [
            ("name", Kind::Text),
            ("salary", Kind::Int),
            ("ssn", Kind::Text),
            ("score", Kind::Float),
            ("born", Kind::Date),
            ("active", Kind::Bool),
            ("note", Kind::Text),
        ];
        columns.extend(more.into_iter().filter(|(name, _)| ["name", "salary", "ssn"].contains(name) || dice.chance(60)));
        let products = FORMATS.iter().map(|format| product(&mut dice, format, &columns, None)).collect();
        Self { seed, columns, products }
    }

    /// A pair with one of each policy, for tests that must not depend on luck.
    pub fn broad(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let columns = vec![("id", Kind::Int), ("region", Kind::Text), ("name", Kind::Text), ("salary", Kind::Int), ("ssn", Kind::Text)];
        let policies: [Policy; 4] = [
            (Some(&FILTERS[0]), vec![]),
            (Some(&FILTERS[3]), vec![(4, "mask-to-fixed-value")]),
            (None, vec![(4, "mask-to-fixed-value"), (3, "replace-with-null")]),
            (Some(&FILTERS[1]), vec![(2, "mask-alphanum")]),
        ];
        let products = FORMATS.iter().zip(policies).map(|(format, policy)| product(&mut dice, format, &columns, Some(policy))).collect();
        Self { seed, columns, products }
    }

    /// One of the two, running.
    pub async fn start(&self, side: Side) -> TestGateway {
        let mut dice = Dice::new(self.seed.wrapping_mul(2).wrapping_add(side as u64 + 77));
        let mut builder = TestGateway::new().domain("hr").domain("sales");
        for product in &self.products {
            builder = product.put(builder, &self.columns, side, &mut dice);
        }
        let plain = [("id", Kind::Int), ("name", Kind::Text)];
        let rows: Vec<Row> = (1..=5).map(|id| vec![Cell::Int(id), Cell::text(PLAIN[id as usize])]).collect();
        let secret: Vec<Row> = (0..5).map(|_| hostile_row(&plain, &mut dice)).collect();
        builder = other(builder, "open", "public", &plain, &rows);
        builder = other(builder, "denied", "restricted", &plain, &secret);
        if side == Side::B {
            builder = other(builder, "secrets", "private", &plain, &secret);
        }
        // Its one row is hidden, and cannot be read: what is wrong with it is nobody's to know.
        let dirt = format!("id,region,salary\n1,us,{CANARY} of {side:?} is no number\n");
        let numbers = [("id", Kind::Int), ("region", Kind::Text), ("salary", Kind::Int)];
        let filtered = "access: restricted\n    rowFilters: [{expression: \"region = 'eu'\"}]";
        builder = builder.product(&manifest("broken", "csv", "options: {header: true}", &numbers, filtered)).file("hr/broken/a.csv", dirt);
        let mut groups: Vec<String> = self.products.iter().map(|product| format!("dp-hr-{}-reader", product.name)).collect();
        groups.push("dp-hr-broken-reader".to_owned());
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        builder.user("bob", "sales", &groups, &[("region", "eu")]).user("olga", "hr", &[], &[("region", "eu")]).start().await
    }
}

/// A filter, and masks by the column's place.
type Policy = (Option<&'static Filter>, Vec<(usize, &'static str)>);

fn product(dice: &mut Dice, format: &'static str, columns: &Columns, policy: Option<Policy>) -> Product {
    let (filter, masks) = policy.unwrap_or_else(|| policy_of(dice, columns));
    let shown = filter.map_or(&["eu", "us", "ch"][..], |filter| filter.shown);
    let mut rows = Vec::new();
    for id in 1..=6 + dice.below(20) as i64 {
        let mut row: Row = columns.iter().map(|(_, kind)| plain_cell(*kind, dice)).collect();
        row[0] = Cell::Int(id);
        row[1] = Cell::text(dice.word(shown));
        rows.push(row);
    }
    // Values of a layout are in the paths: what is masked there is not what this is about.
    let by_region = format == "delta" && filter.is_none_or(|filter| !filter.by_id) && masks.iter().all(|(at, _)| *at != 1);
    Product {
        name: format!("people_{format}"),
        format,
        filter,
        masks,
        shown: rows,
        group: *dice.pick(&[3, 8, 1000]),
        partitioned: dice.chance(50) && by_region,
        parts: *dice.pick(&[1, 1, 2, 3]),
    }
}

fn policy_of(dice: &mut Dice, columns: &Columns) -> Policy {
    let filter = dice.chance(70).then(|| dice.pick(&FILTERS));
    let maskable: Vec<usize> = (1..columns.len()).filter(|at| *at > 1 || filter.is_none()).collect();
    let wanted = if filter.is_some() { dice.below(3) } else { 1 + dice.below(3) };
    let mut masks: Vec<(usize, &'static str)> = Vec::new();
    for _ in 0..wanted {
        let at = *dice.pick(&maskable);
        let all = MASKS.iter().find(|(kind, _)| *kind == columns[at].1).map_or(&[][..], |(_, all)| *all);
        if masks.iter().all(|(other, _)| *other != at) {
            masks.push((at, *dice.pick(all)));
        }
    }
    (filter, masks)
}

impl Product {
    /// Its policy in a line.
    pub fn policy(&self, columns: &Columns) -> String {
        let masks: Vec<String> = self.masks.iter().map(|(at, mask)| format!("{}={mask}", columns[*at].0)).collect();
        format!("{}: {} [{}]", self.name, self.filter.map_or("all rows", |filter| filter.expression), masks.join(", "))
    }

    fn put(&self, builder: Builder, columns: &Columns, side: Side, dice: &mut Dice) -> Builder {
        let folder = format!("hr/{}", self.name);
        let parts = self.rows(columns, side, dice);
        let (format, group, partitioned) = (self.format, self.group, self.partitioned);
        let files = Files { format, folder: &folder, columns, parts: &parts, group, partitioned };
        let partitioning = if partitioned { "partitioning: [{field: region}]" } else { "" };
        let options = if format == "csv" { "options: {header: true}" } else { partitioning };
        let (policies, rego) =
            if self.parts > 1 { ("access: restricted".to_owned(), Some(self.rego(columns))) } else { (self.yaml(columns), None) };
        let builder = match rego {
            Some(text) => builder.catalog_file(&format!("{folder}/policies/a.rego"), &text),
            None => builder,
        };
        files.write(builder.product(&manifest(&self.name, format, options, columns, &policies)))
    }

    fn yaml(&self, columns: &Columns) -> String {
        let filter = self.filter.map(|filter| format!("{{expression: \"{}\", bind: {{{}}}}}", filter.expression, filter.bind));
        let masks: Vec<String> = self.masks.iter().map(|(at, mask)| format!("{{column: {}, mask: \"{mask}\"}}", columns[*at].0)).collect();
        format!("access: restricted\n    rowFilters: [{}]\n    masks: [{}]", filter.unwrap_or_default(), masks.join(", "))
    }

    /// The same said by a policy in Rego.
    fn rego(&self, columns: &Columns) -> String {
        let filter = self.filter.iter().map(|filter| {
            let bind: std::collections::BTreeMap<_, _> = filter.bind.split_once(": ").into_iter().collect();
            format!("row_filters contains {}\n", serde_json::json!({"expression": filter.expression, "bind": bind}))
        });
        let mask = |(at, mask): &(usize, &str)| {
            format!(
                "column_masks contains {{\"column\": c.name, \"mask\": \"{mask}\"}} if {{ some c in input.columns; c.name == \"{}\" }}\n",
                columns[*at].0
            )
        };
        format!("package mesh.product.hr.{}\n\n{}", self.name, filter.chain(self.masks.iter().map(mask)).collect::<String>())
    }

    /// The visible rows of each file, with this side's masked values, and this side's hidden rows among them and in files of their own.
    fn rows(&self, columns: &Columns, side: Side, dice: &mut Dice) -> Vec<Vec<Row>> {
        let mut parts: Vec<Vec<Row>> = self.shown.chunks(self.shown.len().div_ceil(self.parts)).map(<[Row]>::to_vec).collect();
        if side == Side::B {
            for row in parts.iter_mut().flatten() {
                for (at, mask) in &self.masks {
                    row[*at] = vary(mask, &row[*at], columns[*at].1, dice);
                }
            }
        }
        let Some(filter) = self.filter else { return parts };
        for part in &mut parts {
            for _ in 0..dice.below(8) {
                let row = hidden_row(columns, filter, dice);
                let place = dice.below(part.len() + 1);
                part.insert(place, row);
            }
        }
        for _ in 0..dice.below(3) {
            let part = (0..1 + dice.below(5)).map(|_| hidden_row(columns, filter, dice)).collect();
            let place = dice.below(parts.len() + 1);
            parts.insert(place, part);
        }
        parts
    }
}

fn other(builder: Builder, name: &str, access: &str, columns: &Columns, rows: &[Row]) -> Builder {
    let folder = format!("hr/{name}");
    let parts = [rows.to_vec()];
    let files = Files { format: "csv", folder: &folder, columns, parts: &parts, group: 1000, partitioned: false };
    files.write(builder.product(&manifest(name, "csv", "options: {header: true}", columns, &format!("access: {access}"))))
}

fn manifest(name: &str, format: &str, options: &str, columns: &Columns, policies: &str) -> String {
    let columns: Vec<String> = columns.iter().map(|(name, kind)| format!("        - {{name: {name}, type: {}}}\n", kind.sql())).collect();
    format!(
        "apiVersion: datamesh.io/v1\nkind: DataProduct\nmetadata:\n  name: {name}\n  domain: hr\n  version: 1.0.0\n  description: People.\n  \
         owner: {{team: hr-data, contact: hr@test.example}}\n  status: active\nspec:\n  outputPorts:\n    - name: sql\n      format: {format}\n      \
         location: file:data/hr/{name}/\n      {options}\n      schema:\n{}  sla: {{freshness: 9y}}\n  policies:\n    {policies}\n",
        columns.concat()
    )
}

fn plain_cell(kind: Kind, dice: &mut Dice) -> Cell {
    if dice.chance(12) {
        return Cell::Null;
    }
    match kind {
        Kind::Int => Cell::Int(*dice.pick(&[10, 20, 20, 30, 41, 7, -3, 100])),
        Kind::Text => Cell::text(dice.word(&PLAIN)),
        Kind::Float => Cell::Float(*dice.pick(&[0.0, 1.5, -2.25, 12.0, 99.5])),
        Kind::Date => Cell::Date(dice.below(25_000) as i32),
        Kind::Bool => Cell::Bool(dice.chance(50)),
    }
}

fn hostile_cell(kind: Kind, dice: &mut Dice) -> Cell {
    match kind {
        Kind::Int => Cell::Int(*dice.pick(&[100_000, i64::MAX, i64::MIN, 0, 20, 15, -1, 4_611_686_018_427_387_904])),
        Kind::Text => Cell::text(dice.word(&HOSTILE)),
        Kind::Float => Cell::Float(*dice.pick(&[0.0, -0.0, 1e308, -1e308, 5e-324, 1e10])),
        Kind::Date => Cell::Date(*dice.pick(&[-719_162, 2_932_896, 0, -1, 20_000])),
        Kind::Bool => Cell::Bool(dice.chance(50)),
    }
}

fn hostile_row(columns: &Columns, dice: &mut Dice) -> Row {
    columns.iter().map(|(_, kind)| if dice.chance(10) { Cell::Null } else { hostile_cell(*kind, dice) }).collect()
}

fn hidden_row(columns: &Columns, filter: &Filter, dice: &mut Dice) -> Row {
    let mut row = hostile_row(columns, dice);
    row[0] = if filter.by_id { Cell::Int(1_000 + dice.below(1_000) as i64) } else { Cell::Int(dice.below(30) as i64) };
    let region = *dice.pick(filter.hidden);
    row[1] = if region.is_empty() { Cell::Null } else { Cell::text(region) };
    row
}

/// Another value that the mask gives the same answer for.
fn vary(mask: &str, cell: &Cell, kind: Kind, dice: &mut Dice) -> Cell {
    match (mask, cell) {
        ("replace-with-null", _) => hostile_cell(kind, dice),
        (_, Cell::Null) => Cell::Null,
        ("mask-to-fixed-value", _) => hostile_cell(kind, dice),
        (constant, _) if constant.starts_with("constant:") => hostile_cell(kind, dice),
        ("mask-alphanum", Cell::Text(text)) => Cell::Text(text.chars().map(|c| like(c, dice)).collect()),
        ("show-first-4", Cell::Text(text)) => {
            Cell::Text(text.chars().enumerate().map(|(at, c)| if at < 4 { c } else { like(c, dice) }).collect())
        }
        ("show-last-4", Cell::Text(text)) => {
            let kept = text.chars().count().saturating_sub(4);
            Cell::Text(text.chars().enumerate().map(|(at, c)| if at >= kept { c } else { like(c, dice) }).collect())
        }
        ("email", Cell::Text(text)) => match text.split_once('@') {
            Some((who, domain)) => {
                Cell::Text(who.chars().take(1).chain(who.chars().skip(1).map(|c| like(c, dice))).collect::<String>() + "@" + domain)
            }
            None => cell.clone(),
        },
        ("round:10", Cell::Int(number)) => Cell::Int(number - number.rem_euclid(10) + dice.below(10) as i64),
        ("round:10", Cell::Float(number)) => Cell::Float((number / 10.0).floor() * 10.0 + dice.below(10) as f64),
        ("truncate-to-month", Cell::Date(days)) => Cell::Date(same(*days, "%Y-%m", dice)),
        ("truncate-to-year", Cell::Date(days)) => Cell::Date(same(*days, "%Y", dice)),
        _ => cell.clone(),
    }
}

/// A letter for a letter of its case, a digit for a digit.
fn like(c: char, dice: &mut Dice) -> char {
    let from = |first: u8, many: usize, dice: &mut Dice| char::from(first + dice.below(many) as u8);
    match c {
        'a'..='z' => from(b'a', 26, dice),
        'A'..='Z' => from(b'A', 26, dice),
        '0'..='9' => from(b'0', 10, dice),
        other => other,
    }
}

/// Another day that looks the same in this format.
fn same(days: i32, format: &str, dice: &mut Dice) -> i32 {
    let shown = |days: i32| {
        let date = chrono::NaiveDate::default() + chrono::TimeDelta::days(days.into());
        date.format(format).to_string()
    };
    let other = days - 20 + dice.below(40) as i32;
    if shown(other) == shown(days) { other } else { days }
}
