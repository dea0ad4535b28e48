//! TPC-H at scale factor 1 as Parquet files, generated once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use tpchgen::generators as tables;
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RecordBatchIterator, RegionArrow, SupplierArrow,
};

/// The tables, which are also the files' names.
pub const TABLES: [&str; 8] = ["region", "nation", "supplier", "customer", "part", "partsupp", "orders", "lineitem"];

/// Makes the files in `folder` where they are not there yet.
pub fn generate(folder: &Path, scale: f64) -> Result<()> {
    fs::create_dir_all(folder)?;
    for table in TABLES {
        let path = file(folder, table);
        if path.exists() {
            continue;
        }
        println!("generating {table} …");
        let unfinished = path.with_extension("unfinished");
        write(&unfinished, rows(table, scale))?;
        fs::rename(unfinished, path)?;
    }
    Ok(())
}

/// Where a table lies.
pub fn file(folder: &Path, table: &str) -> PathBuf {
    folder.join(table).with_extension("parquet")
}

fn rows(table: &str, scale: f64) -> Box<dyn RecordBatchIterator> {
    match table {
        "region" => Box::new(RegionArrow::new(tables::RegionGenerator::new(scale, 1, 1))),
        "nation" => Box::new(NationArrow::new(tables::NationGenerator::new(scale, 1, 1))),
        "supplier" => Box::new(SupplierArrow::new(tables::SupplierGenerator::new(scale, 1, 1))),
        "customer" => Box::new(CustomerArrow::new(tables::CustomerGenerator::new(scale, 1, 1))),
        "part" => Box::new(PartArrow::new(tables::PartGenerator::new(scale, 1, 1))),
        "partsupp" => Box::new(PartSuppArrow::new(tables::PartSuppGenerator::new(scale, 1, 1))),
        "orders" => Box::new(OrderArrow::new(tables::OrderGenerator::new(scale, 1, 1))),
        _ => Box::new(LineItemArrow::new(tables::LineItemGenerator::new(scale, 1, 1))),
    }
}

fn write(path: &Path, rows: Box<dyn RecordBatchIterator>) -> Result<()> {
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?)).build();
    let mut writer = ArrowWriter::try_new(File::create(path)?, Arc::clone(rows.schema()), Some(properties))?;
    for batch in rows {
        writer.write(&batch)?;
    }
    writer.close()?;
    Ok(())
}
