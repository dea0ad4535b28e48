//! A manifest's rules: row filters, masks, quality checks.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::id::GroupName;
use crate::policy::{Mask, check_filter};

use super::ports::check_column;
use super::read::{Fields, Report, Value, clip, one_line};
use super::{Column, ColumnMaskRule, Port, QualityCheck, RowFilterRule, Sourced, values};

/// `policies.rowFilters`.
pub(super) fn row_filters(list: Value<'_>, ports: &[Port], report: &mut Report) -> Vec<Sourced<RowFilterRule>> {
    let mut rules = Vec::new();
    for item in list.items(report).into_iter().flatten() {
        let Some(fields) = item.fields(&["expression", "bind", "exceptGroups"], report) else { continue };
        let except_groups = groups(&fields, report);
        let bind = fields.get("bind").map(|value| bind(value, report)).unwrap_or_default();
        let Some(value) = fields.require("expression", report) else { continue };
        let Some(expression) = value.filled(report) else { continue };
        let at = value.at();
        // A binding that was refused is missing from `bind`: complaining that it is unbound would say nothing new.
        if bind.len() == fields.get("bind").map_or(0, |value| value.entries(report).map_or(0, <[_]>::len)) {
            check_expression(expression, &bind, ports, value, report);
        }
        rules.push(report.sourced(RowFilterRule { expression: expression.to_owned(), bind, except_groups }, at));
    }
    rules
}

fn groups(fields: &Fields<'_>, report: &mut Report) -> Vec<GroupName> {
    fields.get("exceptGroups").map(|value| value.groups(report)).unwrap_or_default()
}

/// A filter must hold for every port: a reader chooses the port.
fn check_expression(expression: &str, bind: &BTreeMap<String, String>, ports: &[Port], value: Value<'_>, report: &mut Report) {
    let mut mistakes: Vec<String> = ports.iter().filter_map(|port| check_filter(expression, bind, port.columns.as_deref()).err()).collect();
    mistakes.dedup();
    for why in mistakes {
        report.error(value.at(), one_line(&why));
    }
}

/// `{region: principal.attributes.region}`.
fn bind(value: Value<'_>, report: &mut Report) -> BTreeMap<String, String> {
    let mut bound = BTreeMap::new();
    for entry in value.entries(report).unwrap_or_default() {
        let item = Value { name: &entry.key, node: &entry.value };
        if let Some(path) = item.parsed(bind_path, report) {
            bound.insert(entry.key.clone(), path);
        }
    }
    bound
}

fn bind_path(path: &str) -> Result<String, String> {
    let attribute =
        |name: &str| !name.is_empty() && name.len() <= 128 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    let known = match path.strip_prefix("principal.") {
        Some("name" | "domain") => true,
        Some(rest) => rest.strip_prefix("attributes.").is_some_and(attribute),
        None => false,
    };
    if known {
        Ok(path.to_owned())
    } else {
        Err(format!("`{}` is not known: use principal.name, principal.domain or principal.attributes.<name>", clip(path)))
    }
}

/// `policies.masks`.
pub(super) fn masks(list: Value<'_>, ports: &[Port], report: &mut Report) -> Vec<Sourced<ColumnMaskRule>> {
    let mut rules = Vec::new();
    for item in list.items(report).into_iter().flatten() {
        let Some(fields) = item.fields(&["column", "mask", "exceptGroups"], report) else { continue };
        let except_groups = groups(&fields, report);
        let column = fields.require("column", report);
        let mask = fields.require("mask", report);
        let (Some(column), Some(mask_value)) = (column, mask) else { continue };
        let Some(name) = column.filled(report) else { continue };
        let Some(mask) = mask_value.parsed(Mask::parse, report) else { continue };
        check_masked(name, &mask, column, mask_value, ports, report);
        rules.push(report.sourced(ColumnMaskRule { column: name.to_owned(), mask, except_groups }, item.at()));
    }
    rules
}

/// The column must be in the contract, and the mask must take its type, in every port that lists its columns.
fn check_masked(name: &str, mask: &Mask, column: Value<'_>, value: Value<'_>, ports: &[Port], report: &mut Report) {
    let listed: Vec<&[Column]> = ports.iter().filter_map(|port| port.columns.as_deref()).collect();
    if listed.is_empty() {
        return;
    }
    let all: Vec<(Cow<'_, str>, &Column)> = listed.iter().copied().flatten().flat_map(Column::with_fields).collect();
    if listed.len() == ports.len() {
        check_column(name, column, all.iter().map(|(path, _)| path.as_ref()), report);
    }
    for (_, found) in all.iter().filter(|(path, _)| path == name) {
        if !mask.accepts(&found.data_type.arrow) {
            report.error(value.at(), format!("mask `{mask}` does not take column `{}` of type {}", clip(name), found.data_type.name));
            return;
        }
    }
}

/// One of `quality.checks`.
pub(super) fn quality_check(item: Value<'_>, ports: &[Port], report: &mut Report) -> Option<QualityCheck> {
    const RULES: [&str; 8] = ["not_null", "unique", "in_list", "range", "matches", "row_count_delta", "row_count_min", "freshness"];
    let known = ["column", "rule", "values", "threshold", "min", "max", "pattern"];
    let fields = item.fields(&known, report)?;
    let rule = fields.require("rule", report)?;
    let name = rule.filled(report)?;
    if !RULES.contains(&name) {
        let meant = super::read::nearest(name, RULES)
            .map_or_else(|| format!("known are {}", RULES.join(", ")), |word| format!("did you mean `{word}`?"));
        report.warn(rule.at(), format!("quality rule `{}` is not known and will not be checked: {meant}", clip(name)));
    }
    let column = match name {
        "not_null" | "unique" | "in_list" | "range" | "matches" => fields.require("column", report),
        _ => fields.get("column"),
    };
    let column = column.and_then(|value| Some((value, value.filled(report)?)));
    if let Some((value, column)) = column
        && let Some(columns) = all_columns(ports)
    {
        check_column(column, value, columns.iter().map(|column| column.name.as_str()), report);
    }
    check_arguments(name, &fields, report);
    let arguments = item.entries(report).map(|entries| Fields::rest(entries, &["column", "rule"])).unwrap_or_default();
    Some(QualityCheck { column: column.map(|(_, name)| name.to_owned()), rule: name.to_owned(), arguments })
}

/// The columns of all ports, where all ports list theirs.
fn all_columns(ports: &[Port]) -> Option<Vec<&Column>> {
    if ports.is_empty() {
        return None;
    }
    let listed: Option<Vec<&[Column]>> = ports.iter().map(|port| port.columns.as_deref()).collect();
    Some(listed?.into_iter().flatten().collect())
}

fn check_arguments(rule: &str, fields: &Fields<'_>, report: &mut Report) {
    match rule {
        "in_list" => {
            if let Some(list) = fields.require("values", report)
                && list.items(report).is_some_and(|mut items| items.next().is_none())
            {
                report.error(list.at(), "`values` is an empty list: no row could pass");
            }
        }
        "row_count_delta" => {
            if let Some(value) = fields.require("threshold", report) {
                value.parsed(values::percentage, report);
            }
        }
        "matches" => {
            if let Some(value) = fields.require("pattern", report) {
                value.parsed(values::pattern, report);
            }
        }
        "range" if fields.get("min").is_none() && fields.get("max").is_none() => report.error(fields.at, "`range` needs `min` or `max`"),
        _ => {}
    }
}
