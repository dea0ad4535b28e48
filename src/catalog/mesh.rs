//! `mesh.yaml`: the rules and prices that hold for everybody.

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::Mask;

use super::read::{Fields, Report, Value, envelope};
use super::yaml::Node;
use super::{ClassificationRule, ColumnType, Mesh, Price, RequiredColumn, values};

/// Reads `mesh.yaml`. `None` where it cannot be used; the report says why.
pub(super) fn read(root: &Node, report: &mut Report) -> Option<Mesh> {
    let (metadata, spec) = envelope(root, "Mesh", report)?;
    let name = metadata.fields(&["name"], report).and_then(|fields| fields.require("name", report)?.filled(report)).map(str::to_owned);
    let known = ["currency", "prices", "classifications", "naming", "requiredColumns", "regions"];
    let spec = spec.fields(&known, report)?;
    let mesh = Mesh {
        name: name.unwrap_or_default(),
        currency: currency(&spec, report),
        prices: spec.get("prices").map(|value| prices(value, report)).unwrap_or_default(),
        classifications: spec.get("classifications").map(|value| classifications(value, report)).unwrap_or_default(),
        column_pattern: spec.get("naming").and_then(|value| naming(value, report)),
        required_columns: spec.get("requiredColumns").map(|value| required_columns(value, report)).unwrap_or_default(),
        regions: spec.get("regions").map(|value| value.texts(report)).unwrap_or_default(),
    };
    (!report.has_errors()).then_some(mesh)
}

/// Prices name no currency of their own, so a mesh with prices must say one.
fn currency(spec: &Fields<'_>, report: &mut Report) -> String {
    let value = if spec.get("prices").is_some() { spec.require("currency", report) } else { spec.get("currency") };
    value.and_then(|value| value.parsed(values::currency, report)).unwrap_or_else(|| "USD".to_owned())
}

fn prices(list: Value<'_>, report: &mut Report) -> Vec<Price> {
    let mut prices: Vec<Price> = Vec::new();
    for item in list.items(report).into_iter().flatten() {
        let Some(price) = price(item, report) else { continue };
        if prices.iter().any(|other| other.id == price.id) {
            report.error(item.at(), format!("price `{}` is given twice: a closed month refers to a price by its id", price.id));
        } else if prices.iter().any(|other| other.from == price.from) {
            report.error(item.at(), format!("two prices hold from {}: only one can", price.from));
        } else {
            prices.push(price);
        }
    }
    prices.sort_by_key(|price| price.from);
    prices
}

fn price(item: Value<'_>, report: &mut Report) -> Option<Price> {
    let fields = item.fields(&["id", "from", "perTiB", "roundTo", "minimumPerQuery", "chargeFailed"], report)?;
    let id = fields.require("id", report).and_then(|value| value.filled(report));
    let from = fields.require("from", report).and_then(|value| value.parsed(values::date, report));
    let per_tib = fields.require("perTiB", report).and_then(|value| value.parsed(values::amount, report));
    let mut size = |key: &str, default: u64| match fields.get(key) {
        Some(value) => value.parsed(values::bytes, report),
        None => Some(default),
    };
    let (round_to, minimum_per_query) = (size("roundTo", 1), size("minimumPerQuery", 0));
    if round_to == Some(0) {
        report.error(fields.get("roundTo").map_or(fields.at, Value::at), "`roundTo` must be at least 1B");
    }
    let charge_failed = fields.get("chargeFailed").map_or(Some(true), |value| value.boolean(report));
    Some(Price {
        id: id?.to_owned(),
        from: from?,
        per_tib: per_tib?,
        round_to: round_to?,
        minimum_per_query: minimum_per_query?,
        charge_failed: charge_failed?,
    })
}

fn classifications(map: Value<'_>, report: &mut Report) -> BTreeMap<String, ClassificationRule> {
    let mut rules = BTreeMap::new();
    for entry in map.entries(report).unwrap_or_default() {
        let label = match values::label(&entry.key) {
            Ok(label) => label,
            Err(why) => {
                report.error(entry.at, why);
                continue;
            }
        };
        let rule = Value { name: &entry.key, node: &entry.value };
        let Some(fields) = rule.fields(&["mask", "clearGroups"], report) else { continue };
        let clear_groups = fields.get("clearGroups").map(|value| value.groups(report)).unwrap_or_default();
        let Some(mask) = fields.require("mask", report) else { continue };
        if let Some(parsed) = mask.parsed(Mask::parse, report) {
            rules.insert(label, ClassificationRule { mask: report.sourced(parsed, mask.at()), clear_groups });
        }
    }
    rules
}

/// `timestamps: utc` is the only rule there is: every timestamp is an instant in UTC.
fn naming(value: Value<'_>, report: &mut Report) -> Option<String> {
    let fields = value.fields(&["columns", "timestamps"], report)?;
    if let Some(value) = fields.get("timestamps") {
        value.word(&[("utc", ())], report);
    }
    let columns = fields.get("columns")?;
    let text = columns.text(report)?;
    columns.parsed(values::pattern, report).map(|_| text.trim().to_owned())
}

fn required_columns(list: Value<'_>, report: &mut Report) -> Vec<RequiredColumn> {
    let mut columns = Vec::new();
    let mut seen = BTreeSet::new();
    for item in list.items(report).into_iter().flatten() {
        let Some(fields) = item.fields(&["name", "type", "whenTerm"], report) else { continue };
        let name = fields.require("name", report).and_then(|value| value.filled(report));
        let data_type = fields.require("type", report).and_then(|value| value.parsed(ColumnType::parse, report));
        let when_term = fields.require("whenTerm", report).and_then(|value| value.filled(report));
        let (Some(name), Some(data_type), Some(when_term)) = (name, data_type, when_term) else { continue };
        if !seen.insert((name, when_term)) {
            report.error(item.at(), format!("column `{name}` is required twice for the term `{when_term}`"));
            continue;
        }
        columns.push(RequiredColumn { name: name.to_owned(), data_type, when_term: when_term.to_owned() });
    }
    columns
}
