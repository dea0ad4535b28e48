//! A manifest's output ports: `spec.outputPorts`, or `spec.storage` with `spec.schema` as the one port `default`.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::PortName;

use super::manifest::Context;
use super::read::{Fields, Report, Value, clip, nearest, one_of};
use super::types::STRUCT;
use super::{Column, ColumnType, Format, Location, Mesh, Port, values};

/// The most columns of a table: PostgreSQL's.
const MAX_COLUMNS: usize = 1600;
/// The deepest struct in a struct.
const MAX_DEPTH: usize = 8;
/// The most ports of a product version.
const MAX_PORTS: usize = 32;

const FORMATS: [(&str, Format); 8] = [
    ("delta", Format::Delta),
    ("parquet", Format::Parquet),
    ("csv", Format::Csv),
    ("json", Format::Json),
    ("avro", Format::Avro),
    ("arrow", Format::Arrow),
    ("iceberg", Format::Iceberg),
    ("postgres", Format::Postgres),
];

impl Format {
    /// Its name in a manifest.
    pub fn as_str(self) -> &'static str {
        FORMATS.iter().find(|(_, format)| *format == self).map_or("", |(name, _)| *name)
    }

    /// Whether the data itself says its columns and types.
    pub fn carries_schema(self) -> bool {
        match self {
            Self::Csv | Self::Json => false,
            Self::Delta | Self::Parquet | Self::Avro | Self::Arrow | Self::Iceberg | Self::Postgres => true,
        }
    }

    /// The options that a port of this format may give.
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Csv => &["header", "delimiter", "quote", "escape", "comment", "null", "newlines"],
            Self::Json | Self::Delta | Self::Parquet | Self::Avro | Self::Arrow | Self::Iceberg | Self::Postgres => &[],
        }
    }
}

/// The ports, and what they lack for publishing.
#[derive(Debug, Default)]
pub(super) struct Ports {
    pub(super) ports: Vec<Port>,
    pub(super) lacks: Option<&'static str>,
    pub(super) breaks_naming: bool,
}

/// Reads the ports in either form.
pub(super) fn read(spec: &Fields<'_>, terms: &[String], context: Context<'_>, report: &mut Report) -> Ports {
    let mut reader = Reader { terms, context, ports: Ports::default() };
    match (spec.get("outputPorts"), spec.get("storage")) {
        (Some(list), None) => {
            if let Some(schema) = spec.get("schema") {
                report.error(schema.at(), "`schema` goes with `storage`: with `outputPorts` each port has its own");
            }
            reader.long(list, report);
        }
        (None, Some(storage)) => reader.short(storage, spec.get("schema"), report),
        (Some(_), Some(storage)) => report.error(storage.at(), "`storage` and `outputPorts` are two spellings of the same: give one"),
        (None, None) => report.error(spec.at, "`spec` needs `outputPorts`, or `storage` for a single port"),
    }
    reader.ports
}

struct Reader<'a> {
    terms: &'a [String],
    context: Context<'a>,
    ports: Ports,
}

impl Reader<'_> {
    fn long(&mut self, list: Value<'_>, report: &mut Report) {
        let Some(items) = list.items(report) else { return };
        for (count, item) in items.enumerate() {
            if count == MAX_PORTS {
                return report.error(item.at(), format!("more than {MAX_PORTS} ports"));
            }
            let known = ["name", "format", "location", "partitioning", "schema", "options"];
            let Some(fields) = item.fields(&known, report) else { continue };
            let name = fields.require("name", report);
            let parsed = name.and_then(|value| value.parsed(PortName::new, report));
            if let (Some(value), Some(parsed)) = (name, &parsed)
                && self.ports.ports.iter().any(|port| port.name == *parsed)
            {
                report.error(value.at(), format!("port `{parsed}` is given twice"));
            }
            self.port(parsed, &fields, fields.get("schema"), report);
        }
        if list.items(report).is_some_and(|mut items| items.next().is_none()) {
            report.error(list.at(), "`outputPorts` is empty: a product is read through a port");
        }
    }

    fn short(&mut self, storage: Value<'_>, schema: Option<Value<'_>>, report: &mut Report) {
        let Some(fields) = storage.fields(&["format", "location", "partitioning", "options"], report) else { return };
        self.port(PortName::new("default").ok(), &fields, schema, report);
    }

    fn port(&mut self, name: Option<PortName>, fields: &Fields<'_>, schema: Option<Value<'_>>, report: &mut Report) {
        let format = fields.require("format", report).and_then(|value| format(value, report));
        let location = fields.require("location", report).and_then(|value| self.location(value, report));
        let columns = schema.and_then(|value| self.schema(value, report));
        let partitioning = fields.get("partitioning").map(|value| partitioning(value, columns.as_deref(), report)).unwrap_or_default();
        let options = fields.get("options").and_then(|value| options(value, format?, report)).unwrap_or_default();
        let (Some(name), Some(format), Some(location)) = (name, format, location) else { return };
        if format == Format::Csv
            && let Some(schema) = schema
            && let Some(column) = columns.iter().flatten().find(|column| column.data_type.arrow.is_nested())
        {
            report.error(schema.at(), format!("a csv file holds no lists and no structs, as column `{}` is", clip(&column.name)));
        }
        if columns.is_none() && schema.is_none() && !format.carries_schema() {
            self.ports.lacks = Some("a schema: the format carries none (`schema`)");
        }
        self.ports.ports.push(Port { name, format, location, partitioning, columns, options });
    }

    fn location(&self, value: Value<'_>, report: &mut Report) -> Option<Location> {
        let location = value.parsed(|text| Location::parse(text, self.context.places.base), report)?;
        if self.context.domain.storage.iter().any(|storage| location.is_under(&storage.prefix)) {
            return Some(location);
        }
        let domain = &self.context.domain.name;
        report.error(
            value.at(),
            format!("the location is under no storage prefix of domain `{domain}`: see `storage` in {domain}/domain.yaml"),
        );
        None
    }

    /// A list of columns, or where a schema lies. The latter cannot be checked without reading remote data, so it does not publish.
    fn schema(&mut self, value: Value<'_>, report: &mut Report) -> Option<Vec<Column>> {
        if !matches!(value.node.kind, super::yaml::Kind::Map(_)) {
            return self.columns(value, report);
        }
        let fields = value.fields(&["type", "location"], report)?;
        if let Some(kind) = fields.require("type", report) {
            kind.word(&[("avro", ()), ("json", ()), ("protobuf", ())], report);
        }
        if let Some(location) = fields.require("location", report) {
            self.location(location, report);
        }
        self.ports.lacks = Some("a schema that can be checked here: the one given is at a location, list its columns under `schema`");
        None
    }

    fn columns(&mut self, list: Value<'_>, report: &mut Report) -> Option<Vec<Column>> {
        let mut columns: Vec<Column> = Vec::new();
        let mut seen = BTreeSet::new();
        for (count, item) in list.items(report)?.enumerate() {
            if count == MAX_COLUMNS {
                report.error(item.at(), format!("more than {MAX_COLUMNS} columns"));
                break;
            }
            let Some(column) = column(item, 0, self.context.mesh, report) else { continue };
            if let (Some(text), Some(pattern)) = (&self.context.mesh.column_pattern, self.context.naming)
                && !pattern.is_match(&column.name)
            {
                let message = format!("column `{}` does not hold the mesh's pattern `{text}`: a draft until it does", clip(&column.name));
                report.warn(item.at(), message);
                self.ports.breaks_naming = true;
            }
            if !seen.insert(column.name.clone()) {
                report.error(item.at(), format!("column `{}` is given twice", clip(&column.name)));
            }
            columns.push(column);
        }
        if columns.is_empty() && !report.has_errors() {
            report.error(list.at(), "`schema` is empty: leave it out where the format carries one");
        }
        self.check_golden_keys(list, &columns, report);
        Some(columns)
    }

    /// The columns that the product's terms ask for: without them it is a draft.
    fn check_golden_keys(&mut self, list: Value<'_>, columns: &[Column], report: &mut Report) {
        let mesh = self.context.mesh;
        for required in mesh.required_columns.iter().filter(|required| self.terms.contains(&required.when_term)) {
            if !columns.iter().any(|column| column.name == required.name && column.data_type == required.data_type) {
                let (name, data_type, term) = (&required.name, &required.data_type.name, &required.when_term);
                report.warn(list.at(), format!("the term `{term}` needs a column `{name}` of type {data_type}: a draft until it is there"));
                self.ports.breaks_naming = true;
            }
        }
    }
}

fn format(value: Value<'_>, report: &mut Report) -> Option<Format> {
    value.parsed(
        |text| {
            let names: Vec<&str> = FORMATS.iter().map(|(name, _)| *name).collect();
            FORMATS.iter().find(|(name, _)| *name == text).map(|(_, format)| *format).ok_or_else(|| {
                match nearest(text, names.iter().copied()) {
                    Some(word) => format!("`{}` is not a format: did you mean `{word}`?", clip(text)),
                    None => format!("`{}` is not a format: use {}", clip(text), one_of(&names)),
                }
            })
        },
        report,
    )
}

/// `[{field, granularity}]`. The granularity is how the writer cuts; the reader need not know.
fn partitioning(list: Value<'_>, columns: Option<&[Column]>, report: &mut Report) -> Vec<String> {
    let mut fields_seen: Vec<String> = Vec::new();
    for item in list.items(report).into_iter().flatten() {
        let Some(fields) = item.fields(&["field", "granularity"], report) else { continue };
        if let Some(value) = fields.get("granularity") {
            value.word(&[("year", ()), ("month", ()), ("day", ()), ("hour", ())], report);
        }
        let Some(value) = fields.require("field", report) else { continue };
        let Some(name) = value.filled(report) else { continue };
        if let Some(columns) = columns {
            check_column(name, value, columns.iter().map(|column| column.name.as_str()), report);
        }
        if fields_seen.iter().any(|seen| seen == name) {
            report.error(value.at(), format!("partition field `{}` is given twice", clip(name)));
        }
        fields_seen.push(name.to_owned());
    }
    fields_seen
}

/// Notes a column that the schema does not have.
pub(super) fn check_column<'c>(name: &str, value: Value<'_>, columns: impl Iterator<Item = &'c str> + Clone, report: &mut Report) {
    if columns.clone().any(|column| column == name) {
        return;
    }
    let message = match nearest(name, columns) {
        Some(word) => format!("column `{}` is not in the schema: did you mean `{word}`?", clip(name)),
        None => format!("column `{}` is not in the schema", clip(name)),
    };
    report.error(value.at(), message);
}

fn options(value: Value<'_>, format: Format, report: &mut Report) -> Option<BTreeMap<String, String>> {
    let known = format.options();
    let entries = value.entries(report)?;
    if let (Some(first), []) = (entries.first(), known) {
        report.error(first.at, format!("format {} takes no options", format.as_str()));
        return None;
    }
    let fields = value.fields(known, report)?;
    let mut options = BTreeMap::new();
    for key in known {
        let Some(value) = fields.get(key) else { continue };
        let Some(text) = value.text(report) else { continue };
        match *key {
            "header" | "newlines" => drop(value.boolean(report)),
            "delimiter" | "quote" | "escape" | "comment" if text.len() != 1 => {
                report.error(value.at(), format!("`{key}` must be one ASCII character, not `{}`", clip(text)));
            }
            _ => {}
        }
        options.insert((*key).to_owned(), text.to_owned());
    }
    Some(options)
}

/// A column, or a field this deep in one.
fn column(item: Value<'_>, depth: usize, mesh: &Mesh, report: &mut Report) -> Option<Column> {
    let fields = item.fields(&["name", "type", "nullable", "description", "unique", "classification", "fields"], report)?;
    let name = fields.require("name", report).and_then(|value| value.parsed(column_name, report));
    let (data_type, nested) = column_type(&fields, depth, mesh, report)?;
    let nullable = fields.get("nullable").map_or(Some(true), |value| value.boolean(report));
    let unique = fields.get("unique").map_or(Some(false), |value| value.boolean(report));
    let description = fields.get("description").and_then(|value| value.filled(report)).map(str::to_owned);
    let label = fields.get("classification");
    let classification = label.and_then(|value| value.parsed(values::label, report));
    let name = name?;
    if let (Some(value), Some(classification)) = (label, &classification) {
        check_label(classification, value, &data_type, mesh, report);
    }
    Some(Column { name, data_type, nullable: nullable?, description, unique: unique?, classification, fields: nested })
}

/// A type, and the fields that it lists.
fn column_type(written: &Fields<'_>, depth: usize, mesh: &Mesh, report: &mut Report) -> Option<(ColumnType, Vec<Column>)> {
    let (kind, list) = (written.require("type", report)?, written.get("fields"));
    let word = kind.text(report)?.trim().to_ascii_lowercase();
    let element = word.strip_suffix("[]");
    if element.unwrap_or(&word) != STRUCT {
        if let Some(list) = list {
            report.error(list.at(), format!("`fields` goes with the type `{STRUCT}` or `{STRUCT}[]`"));
        }
        return Some((kind.parsed(ColumnType::parse, report)?, Vec::new()));
    }
    let Some(list) = list else {
        report.error(kind.at(), format!("`{STRUCT}` needs `fields`, a list like the one of the columns"));
        return None;
    };
    if depth == MAX_DEPTH {
        report.error(kind.at(), format!("structs more than {MAX_DEPTH} deep"));
        return None;
    }
    let nested: Vec<Column> = list.items(report)?.filter_map(|item| column(item, depth + 1, mesh, report)).collect();
    if nested.len() > MAX_COLUMNS {
        report.error(list.at(), format!("more than {MAX_COLUMNS} fields"));
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = nested.iter().find(|field| !seen.insert(&field.name)) {
        report.error(list.at(), format!("field `{}` is given twice", clip(&twice.name)));
    }
    if nested.is_empty() && !report.has_errors() {
        report.error(list.at(), "`fields` is empty: a struct is its fields");
    }
    let plain = ColumnType::of_fields(&nested);
    Some((if element.is_some() { plain.listed() } else { plain }, nested))
}

fn column_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 63 || text.chars().any(char::is_control) {
        return Err(format!("`{}` is not a column's name: use 1 to 63 bytes without control characters", clip(text)));
    }
    Ok(text.to_owned())
}

/// A label must mean something, and its mask must take the column's type: else nobody would be kept from the column, or everybody.
fn check_label(label: &str, value: Value<'_>, data_type: &ColumnType, mesh: &Mesh, report: &mut Report) {
    match mesh.rule_for(label) {
        None => {
            let meant = nearest(label, mesh.classifications.keys().map(String::as_str)).map(|word| format!(": did you mean `{word}`?"));
            let message = format!("classification `{label}` is not in mesh.yaml{}", meant.unwrap_or_default());
            report.error(value.at(), message);
        }
        Some((known, rule)) if !rule.mask.value.accepts(&data_type.arrow) => {
            let message = format!("classification `{known}` masks with `{}`, which does not take type {}", rule.mask.value, data_type.name);
            report.error(value.at(), message);
        }
        Some(_) => {}
    }
}
