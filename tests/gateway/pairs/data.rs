//! Tables of cells, and the same table in every format that a port reads.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use chrono::NaiveDate;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use crate::harness::Builder;

/// The formats.
pub const FORMATS: [&str; 4] = ["csv", "json", "parquet", "delta"];

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Int,
    Text,
    Float,
    Date,
    Bool,
}

impl Kind {
    /// As a manifest says it.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Int => "bigint",
            Self::Text => "text",
            Self::Float => "double precision",
            Self::Date => "date",
            Self::Bool => "boolean",
        }
    }

    fn arrow(self) -> DataType {
        match self {
            Self::Int => DataType::Int64,
            Self::Text => DataType::Utf8,
            Self::Float => DataType::Float64,
            Self::Date => DataType::Date32,
            Self::Bool => DataType::Boolean,
        }
    }

    fn delta(self) -> &'static str {
        match self {
            Self::Int => "long",
            Self::Text => "string",
            Self::Float => "double",
            Self::Date => "date",
            Self::Bool => "boolean",
        }
    }
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Null,
    Int(i64),
    Text(String),
    Float(f64),
    /// Days since 1970.
    Date(i32),
    Bool(bool),
}

impl Cell {
    /// A text.
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// The day as text.
pub fn day(days: i32) -> String {
    let epoch = NaiveDate::default();
    (epoch + chrono::Days::new(0)).checked_add_signed(chrono::TimeDelta::days(days.into())).unwrap_or(epoch).to_string()
}

/// One row.
pub type Row = Vec<Cell>;

/// Columns.
pub type Columns = [(&'static str, Kind)];

fn csv(columns: &Columns, rows: &[Row]) -> Vec<u8> {
    let cell = |cell: &Cell| match cell {
        Cell::Null => String::new(),
        Cell::Int(number) => number.to_string(),
        Cell::Float(number) => format!("{number:?}"),
        Cell::Text(text) => format!("\"{}\"", text.replace('"', "\"\"")),
        Cell::Date(days) => day(*days),
        Cell::Bool(bool) => bool.to_string(),
    };
    let head: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let line = |row: &Row| row.iter().map(cell).collect::<Vec<_>>().join(",") + "\n";
    format!("{}\n{}", head.join(","), rows.iter().map(line).collect::<String>()).into_bytes()
}

fn json(columns: &Columns, rows: &[Row]) -> Vec<u8> {
    let cell = |cell: &Cell| match cell {
        Cell::Null => serde_json::Value::Null,
        Cell::Int(number) => (*number).into(),
        Cell::Float(number) => (*number).into(),
        Cell::Text(text) => text.as_str().into(),
        Cell::Date(days) => day(*days).into(),
        Cell::Bool(bool) => (*bool).into(),
    };
    let line = |row: &Row| {
        let object: serde_json::Map<_, _> = columns.iter().zip(row).map(|((name, _), value)| ((*name).to_owned(), cell(value))).collect();
        serde_json::Value::Object(object).to_string() + "\n"
    };
    rows.iter().map(line).collect::<String>().into_bytes()
}

fn batch(columns: &Columns, rows: &[Row]) -> RecordBatch {
    let arrays = columns.iter().enumerate().map(|(at, (_, kind))| -> ArrayRef {
        let cells = rows.iter().map(|row| &row[at]);
        macro_rules! collect {
            ($variant:ident, $array:ty) => {
                Arc::new(cells.map(|cell| if let Cell::$variant(value) = cell { Some(value.clone()) } else { None }).collect::<$array>())
            };
        }
        match kind {
            Kind::Int => collect!(Int, Int64Array),
            Kind::Text => collect!(Text, StringArray),
            Kind::Float => collect!(Float, Float64Array),
            Kind::Date => collect!(Date, Date32Array),
            Kind::Bool => collect!(Bool, BooleanArray),
        }
    });
    let fields: Vec<Field> = columns.iter().map(|(name, kind)| Field::new(*name, kind.arrow(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays.collect()).unwrap()
}

/// A Parquet file with groups of so many rows.
pub fn parquet(columns: &Columns, rows: &[Row], group: usize) -> Vec<u8> {
    let batch = batch(columns, rows);
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

/// A Delta table by hand. With `partitioned`, one folder for each value of `region`; every part is a file of its own.
fn delta(mut builder: Builder, folder: &str, columns: &Columns, parts: &[Vec<Row>], group: usize, partitioned: bool) -> Builder {
    let field = |(name, kind): &(&str, Kind)| serde_json::json!({"name": name, "type": kind.delta(), "nullable": true, "metadata": {}});
    let schema = serde_json::json!({"type": "struct", "fields": columns.iter().map(field).collect::<Vec<_>>()});
    let region = columns.iter().position(|(name, _)| *name == "region").unwrap();
    let partition_columns: &[&str] = if partitioned { &["region"] } else { &[] };
    let mut log = vec![
        serde_json::json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}),
        serde_json::json!({"metaData": {"id": "5fba94ed-9794-4965-ba6e-6ee3c0d22af9", "format": {"provider": "parquet", "options": {}},
            "schemaString": schema.to_string(), "partitionColumns": partition_columns, "configuration": {},
            "createdTime": 1_700_000_000_000_i64}}),
    ];
    for (at, rows) in parts.iter().enumerate() {
        let mut regions: Vec<&Cell> = Vec::new();
        rows.iter().for_each(|row| {
            if !regions.contains(&&row[region]) {
                regions.push(&row[region])
            }
        });
        let files: Vec<(Option<&Cell>, Vec<Row>)> = match partitioned {
            false => vec![(None, rows.clone())],
            true => {
                regions.iter().map(|value| (Some(*value), rows.iter().filter(|row| row[region] == **value).cloned().collect())).collect()
            }
        };
        for (value, rows) in files {
            let (values, place) = match value {
                None => (serde_json::json!({}), String::new()),
                Some(Cell::Text(text)) => (serde_json::json!({"region": text}), format!("region={text}/")),
                Some(_) => (serde_json::json!({"region": null}), "region=__HIVE_DEFAULT_PARTITION__/".to_owned()),
            };
            let kept: Vec<usize> = (0..columns.len()).filter(|at| value.is_none() || *at != region).collect();
            let own: Vec<_> = kept.iter().map(|at| columns[*at]).collect();
            let own_rows: Vec<Row> = rows.iter().map(|row| kept.iter().map(|at| row[*at].clone()).collect()).collect();
            let (path, bytes) = (format!("{place}part-{at}.parquet"), parquet(&own, &own_rows, group));
            log.push(serde_json::json!({"add": {"path": path, "partitionValues": values, "size": bytes.len(),
                "modificationTime": 1_700_000_000_000_i64, "dataChange": true}}));
            builder = builder.file(&format!("{folder}/{path}"), bytes);
        }
    }
    let log: String = log.iter().map(|action| format!("{action}\n")).collect();
    builder.file(&format!("{folder}/_delta_log/00000000000000000000.json"), log)
}

/// A product's data, in its format, one file for each part.
pub struct Files<'a> {
    pub format: &'a str,
    pub folder: &'a str,
    pub columns: &'a Columns,
    pub parts: &'a [Vec<Row>],
    /// Rows of a Parquet row group.
    pub group: usize,
    /// Of Delta: by region.
    pub partitioned: bool,
}

impl Files<'_> {
    /// Writes them.
    pub fn write(&self, mut builder: Builder) -> Builder {
        if self.format == "delta" {
            return delta(builder, self.folder, self.columns, self.parts, self.group, self.partitioned);
        }
        for (at, rows) in self.parts.iter().enumerate() {
            let bytes = match self.format {
                "csv" => csv(self.columns, rows),
                "json" => json(self.columns, rows),
                _ => parquet(self.columns, rows, self.group),
            };
            builder = builder.file(&format!("{}/part-{at}.{}", self.folder, self.format), bytes);
        }
        builder
    }
}
