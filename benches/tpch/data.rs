//! TPC-H at scale factor 1 as Parquet files, generated once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use futures::TryStreamExt;
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

/// A filter that leaves about half of a table's rows, all over its file. The small tables keep theirs, or most joins would give nothing.
pub fn filter(table: &str) -> &'static str {
    match table {
        "region" => "r_regionkey >= 0",
        "nation" => "n_nationkey >= 0",
        "supplier" => "s_acctbal > 4500.00",
        "customer" => "c_acctbal > 4500.00",
        "part" => "p_size <= 25",
        "partsupp" => "ps_availqty <= 5000",
        "orders" => "o_orderpriority IN ('1-URGENT', '2-HIGH', '3-MEDIUM')",
        _ => "l_shipinstruct IN ('DELIVER IN PERSON', 'NONE')",
    }
}

/// Writes the rows that the filters leave to files of their own, where they are not there yet.
pub async fn generate_rest(folder: &Path) -> Result<()> {
    for table in TABLES {
        let path = rest_file(folder, table);
        if path.exists() {
            continue;
        }
        println!("filtering {table} …");
        let context = SessionContext::new_with_config(meshgate::ports::session_config());
        let whole = file(folder, table);
        context.register_parquet(table, whole.to_str().context("path is not text")?, ParquetReadOptions::default()).await?;
        let kept = context.sql(&format!("SELECT * FROM {table} WHERE {}", filter(table))).await?;
        let schema = Arc::new(kept.schema().as_arrow().clone());
        let mut rows = kept.execute_stream().await?;
        let unfinished = path.with_extension("unfinished");
        let mut writer = ArrowWriter::try_new(File::create(&unfinished)?, schema, Some(properties()?))?;
        while let Some(batch) = rows.try_next().await? {
            writer.write(&batch)?;
        }
        writer.close()?;
        fs::rename(unfinished, path)?;
    }
    Ok(())
}

/// Where the rows lie that a table's filter leaves.
pub fn rest_file(folder: &Path, table: &str) -> PathBuf {
    folder.join(format!("{table}-rest")).with_extension("parquet")
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
    let mut writer = ArrowWriter::try_new(File::create(path)?, Arc::clone(rows.schema()), Some(properties()?))?;
    for batch in rows {
        writer.write(&batch)?;
    }
    writer.close()?;
    Ok(())
}

fn properties() -> Result<WriterProperties> {
    Ok(WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?)).build())
}
