//! CSV: options, headers, and the columns of each file by name.

use std::io::Cursor;
use std::sync::Arc;

use arrow::csv::reader::{Decoder, Format, ReaderBuilder};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use bytes::{Buf, Bytes};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::listing::PartitionedFile;
use futures::stream::{self, BoxStream, StreamExt};
use regex::Regex;

use crate::error::Fault;
use crate::id::ProductId;
use crate::ports::files::{self, FileTable, Listing, Reading};
use crate::ports::parquet::hive_fields;
use crate::ports::storage::PortStore;
use crate::ports::text::{self, TextFormat};
use crate::ports::{Opened, PortSpec, contract, fault};

/// Longest header line.
const MAX_HEADER: usize = 1 << 20;
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The manifest's options, checked.
#[derive(Debug)]
pub struct CsvFormat {
    /// Whose files.
    pub product: ProductId,
    header: bool,
    delimiter: u8,
    quote: u8,
    escape: Option<u8>,
    comment: Option<u8>,
    null: Option<Regex>,
}

impl CsvFormat {
    /// Reads the options: `header` (true), `delimiter` (,), `quote` ("), `escape`, `comment`, `null` (empty), `newlines_in_values` (quoted newlines
    /// are always read, so either value is fine).
    pub fn new(spec: &PortSpec<'_>) -> Result<Self, Fault> {
        let product = spec.id.product.clone();
        let mut format = Self { product, header: true, delimiter: b',', quote: b'"', escape: None, comment: None, null: None };
        for (name, value) in spec.options {
            let wrong = || fault::contract(&format.product, format!("Option \"{name}\" has a value that cannot be used."));
            let one_byte = || single_byte(value).ok_or_else(wrong);
            match name.as_str() {
                "header" => format.header = value.parse().map_err(|_| wrong())?,
                "delimiter" => format.delimiter = one_byte()?,
                "quote" => format.quote = one_byte()?,
                "escape" => format.escape = Some(one_byte()?),
                "comment" => format.comment = Some(one_byte()?),
                "null" => format.null = Some(Regex::new(&format!("^(?:{})$", regex::escape(value))).map_err(|_| wrong())?),
                "newlines_in_values" => _ = value.parse::<bool>().map_err(|_| wrong())?,
                _ => return Err(fault::contract(&format.product, format!("Option \"{name}\" is not known."))),
            }
        }
        Ok(format)
    }

    fn format(&self) -> Format {
        let mut format = Format::default().with_header(self.header).with_delimiter(self.delimiter).with_quote(self.quote);
        if let Some(escape) = self.escape {
            format = format.with_escape(escape);
        }
        if let Some(comment) = self.comment {
            format = format.with_comment(comment);
        }
        if let Some(null) = &self.null {
            format = format.with_null_regex(null.clone());
        }
        format
    }

    /// Where the header line ends in `text`, with comment lines before it and line ends within quotes.
    fn header_end(&self, text: &[u8]) -> Option<usize> {
        let (mut quoted, mut line_start, mut comment) = (false, true, false);
        for (i, byte) in text.iter().enumerate() {
            if line_start && !quoted {
                comment = Some(*byte) == self.comment;
            }
            line_start = false;
            match *byte {
                b'\n' if comment => line_start = true,
                b'\n' if !quoted => return Some(i + 1),
                b if b == self.quote && !comment => quoted = !quoted,
                _ => {}
            }
        }
        None
    }
}

fn single_byte(value: &str) -> Option<u8> {
    match value.as_bytes() {
        [byte] => Some(*byte),
        b"\\t" | b"tab" => Some(b'\t'),
        _ => None,
    }
}

/// Opens a listing of CSV files. What they hold is known only when they are read; nothing of them is read here.
pub fn open(spec: &PortSpec<'_>, store: &PortStore, listing: &Listing) -> Result<Opened, Fault> {
    let format = TextFormat::Csv(Arc::new(CsvFormat::new(spec)?));
    text_table(spec, store, listing, format)
}

/// A table over text files: columns as promised, all of them possibly NULL.
pub fn text_table(spec: &PortSpec<'_>, store: &PortStore, listing: &Listing, format: TextFormat) -> Result<Opened, Fault> {
    let product = &spec.id.product;
    let Some(columns) = spec.columns else {
        return Err(fault::contract(product, "The manifest has no schema, and the format does not carry one."));
    };
    let hive = files::hive_columns(spec, &store.root(), &listing.files)?;
    let in_folders = hive_fields(spec, &hive);
    let in_files: Vec<FieldRef> = columns.iter().filter(|c| !hive.contains(&c.name)).map(|c| Arc::new(c.field(true))).collect();
    let mut parts = Vec::with_capacity(listing.files.len());
    for file in &listing.files {
        let values = in_folders.iter().map(|c| files::hive_value(product, &store.root(), file, c));
        parts.push(PartitionedFile::new_from_meta(file.clone()).with_partition_values(values.collect::<Result<_, _>>()?));
    }
    let mut order: Vec<String> = columns.iter().map(|c| c.name.clone()).collect();
    order.extend(hive.iter().filter(|h| !columns.iter().any(|c| &c.name == *h)).cloned());
    let provider = FileTable::new(spec, in_files, in_folders, &order, parts, Reading::Text(format))?;
    Ok(Opened { provider: Arc::new(provider), partition_columns: hive, bytes: listing.bytes() })
}

/// Reads the header, if there is one, and makes the decoder that finds `wanted` in this file, by name or else by place among `all`.
pub async fn start(
    format: &CsvFormat,
    mut body: BoxStream<'static, Result<Bytes>>,
    all: &SchemaRef,
    wanted: &SchemaRef,
    batch_size: usize,
) -> Result<(BoxStream<'static, Result<Bytes>>, Decoder)> {
    let broken = |what: &str| DataFusionError::External(Box::new(fault::unreadable(&format.product, what.to_owned())));
    let enough = |head: &[u8]| head.len() >= BYTE_ORDER_MARK.len() && (!format.header || format.header_end(head).is_some());
    let (mut head, ended) = text::head(&mut body, MAX_HEADER, enough).await?;
    if head.starts_with(BYTE_ORDER_MARK) {
        head.advance(BYTE_ORDER_MARK.len());
    }
    let file_columns: Vec<String> = if format.header {
        let end = match format.header_end(&head) {
            Some(end) => end,
            None if ended => head.len(),
            None => return Err(broken("a header without end")),
        };
        let line = head.slice(..end);
        let (schema, _) = format.format().infer_schema(Cursor::new(line), Some(0))?;
        schema.fields().iter().map(|f| f.name().trim().to_owned()).collect()
    } else {
        all.fields().iter().map(|f| f.name().clone()).collect()
    };
    let (schema, projection) = find_columns(format, &file_columns, all, wanted)?;
    let decoder =
        ReaderBuilder::new(schema).with_format(format.format()).with_batch_size(batch_size).with_projection(projection).build_decoder();
    Ok((stream::iter([Ok(head)]).chain(body).boxed(), decoder))
}

/// The file's columns with the types to decode them as, and where the wanted ones are.
fn find_columns(format: &CsvFormat, file: &[String], all: &Schema, wanted: &SchemaRef) -> Result<(SchemaRef, Vec<usize>)> {
    let shown = |fault: Fault| DataFusionError::External(Box::new(fault));
    let place = |name: &str| {
        let mut places = file.iter().enumerate().filter(|(_, n)| n.as_str() == name).map(|(i, _)| i);
        match (places.next(), places.next()) {
            (Some(place), None) => Ok(place),
            (None, _) => Err(shown(contract::absent(&format.product, name))),
            (Some(_), Some(_)) => Err(shown(fault::contract(&format.product, format!("Column \"{name}\" is there twice.")))),
        }
    };
    // All promised columns must be there, whichever the query asks for.
    for field in all.fields() {
        place(field.name())?;
    }
    let projection = wanted.fields().iter().map(|f| place(f.name())).collect::<Result<Vec<_>>>()?;
    let fields = file.iter().map(|name| match wanted.field_with_name(name) {
        Ok(field) => field.clone(),
        Err(_) => Field::new(name, DataType::Utf8, true),
    });
    Ok((Arc::new(Schema::new(fields.collect::<Vec<_>>())), projection))
}
