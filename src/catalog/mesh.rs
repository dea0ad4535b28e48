//! `mesh.yaml`: the rules, prices and limits that hold for everybody.

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::Mask;

use super::read::{Fields, Report, Value, envelope};
use super::yaml::Node;
use super::{Billing, ClassificationRule, ColumnType, Mesh, RequiredColumn, limits, prices, values};

const BILLING: [(&str, Billing); 2] = [("showback", Billing::Showback), ("chargeback", Billing::Chargeback)];

/// Reads `mesh.yaml`. `None` where it cannot be used; the report says why.
pub(super) fn read(root: &Node, report: &mut Report) -> Option<Mesh> {
    let (metadata, spec) = envelope(root, "Mesh", report)?;
    let name = metadata.fields(&["name"], report).and_then(|fields| fields.require("name", report)?.filled(report)).map(str::to_owned);
    let known = ["currency", "billing", "prices", "limits", "crawlers", "classifications", "naming", "requiredColumns", "regions"];
    let spec = spec.fields(&known, report)?;
    let mesh = Mesh {
        name: name.unwrap_or_default(),
        currency: currency(&spec, report),
        billing: spec.get("billing").and_then(|value| value.word(&BILLING, report)).unwrap_or_default(),
        prices: spec.get("prices").map(|value| prices::read(value, report)).unwrap_or_default(),
        limits: spec.get("limits").map(|value| limits::read(value, report)).unwrap_or_default(),
        crawlers: spec.get("crawlers").map(|value| value.texts(report)),
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
