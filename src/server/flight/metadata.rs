//! Listings: what exists, as far as the caller may know.
//!
//! The schemas are the reference ones of Flight SQL to the letter: ADBC compares them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::sql::metadata::{GetCatalogsBuilder, GetDbSchemasBuilder, SqlInfoDataBuilder, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{CommandGetCatalogs, CommandGetDbSchemas, CommandGetTableTypes, CommandGetTables};

use crate::error::{Fault, Result};
use crate::query::VisibleTable;

use super::asked::Listing;
use super::login::Caller;
use super::{CATALOG, Flight, columns, server_info};

/// Products, and the tables of the gateway itself.
const TABLE: &str = "TABLE";
const SYSTEM_TABLE: &str = "SYSTEM TABLE";

/// The columns of a listing.
pub(super) fn schema(listing: &Listing) -> SchemaRef {
    match listing {
        Listing::Catalogs => GetCatalogsBuilder::new().schema(),
        Listing::Schemas(command) => command.clone().into_builder().schema(),
        Listing::Tables(command) => command.clone().into_builder().schema(),
        Listing::TableTypes => CommandGetTableTypes {}.into_builder().schema(),
        Listing::ServerInfo(_) => Arc::new(SqlInfoDataBuilder::schema().clone()),
        Listing::Types(_) => XdbcTypeInfoDataBuilder::new().schema(),
        Listing::PrimaryKeys => primary_keys(),
        Listing::ForeignKeys => foreign_keys(),
    }
}

impl Flight {
    /// The rows of a listing.
    pub(super) async fn list(&self, caller: &Caller, listing: Listing) -> Result<RecordBatch> {
        let batch = match listing {
            Listing::Catalogs => {
                let mut builder = CommandGetCatalogs {}.into_builder();
                builder.append(CATALOG);
                builder.build()
            }
            Listing::Schemas(command) => schemas(command, &self.visible(caller).await?),
            Listing::Tables(command) => tables(command, &self.visible(caller).await?),
            Listing::TableTypes => {
                let mut builder = CommandGetTableTypes {}.into_builder();
                builder.append(SYSTEM_TABLE);
                builder.append(TABLE);
                builder.build()
            }
            Listing::ServerInfo(command) => server_info::facts(&self.door.limits).and_then(|facts| command.into_builder(&facts).build()),
            Listing::Types(command) => server_info::types().and_then(|types| command.into_builder(&types).build()),
            Listing::PrimaryKeys => Ok(RecordBatch::new_empty(primary_keys())),
            Listing::ForeignKeys => Ok(RecordBatch::new_empty(foreign_keys())),
        };
        batch.map_err(Fault::internal)
    }

    /// The tables that the caller may read.
    pub(super) async fn visible(&self, caller: &Caller) -> Result<Arc<Vec<VisibleTable>>> {
        let session = self.open_session(caller, &caller.settings())?;
        self.door.gateway.visible(&session).await
    }
}

fn schemas(command: CommandGetDbSchemas, visible: &[VisibleTable]) -> arrow_flight::error::Result<RecordBatch> {
    let mut builder: GetDbSchemasBuilder = command.into_builder();
    for schema in visible.iter().map(|table| table.schema.as_str()).collect::<BTreeSet<_>>() {
        builder.append(CATALOG, schema);
    }
    builder.build()
}

fn tables(command: CommandGetTables, visible: &[VisibleTable]) -> arrow_flight::error::Result<RecordBatch> {
    let mut builder = command.into_builder();
    for table in visible {
        let kind = if table.target.is_some() { TABLE } else { SYSTEM_TABLE };
        builder.append(CATALOG, &table.schema, &table.name, kind, &described(table))?;
    }
    builder.build()
}

/// The columns as a query would give them, with what JDBC's and ADBC's column listings read from their metadata. None where the port
/// cannot be described at the moment.
fn described(table: &VisibleTable) -> Schema {
    let Some(governed) = &table.columns else { return Schema::empty() };
    let contract = table.target.as_ref().and_then(|target| target.port().columns.as_ref());
    let plain = columns::plain_schema(governed);
    let fields = plain.fields().iter().map(|field| {
        let column = contract.and_then(|columns| columns.iter().find(|column| column.name == *field.name()));
        let mut metadata = HashMap::from([
            ("ARROW:FLIGHT:SQL:CATALOG_NAME".to_owned(), CATALOG.to_owned()),
            ("ARROW:FLIGHT:SQL:SCHEMA_NAME".to_owned(), table.schema.clone()),
            ("ARROW:FLIGHT:SQL:TABLE_NAME".to_owned(), table.name.clone()),
            ("ARROW:FLIGHT:SQL:IS_READ_ONLY".to_owned(), "1".to_owned()),
            ("ARROW:FLIGHT:SQL:IS_SEARCHABLE".to_owned(), "1".to_owned()),
        ]);
        let mut add = |key: &str, value: &str| metadata.insert(format!("ARROW:FLIGHT:SQL:{key}"), value.to_owned());
        if let Some(column) = column {
            add("TYPE_NAME", &column.data_type.name);
            if let Some(description) = &column.description {
                add("REMARKS", description);
            }
        }
        if let DataType::Decimal128(precision, scale) = field.data_type() {
            add("PRECISION", &precision.to_string());
            add("SCALE", &scale.to_string());
        }
        field.as_ref().clone().with_metadata(metadata)
    });
    Schema::new(fields.collect::<Vec<Field>>())
}

/// Products declare no keys to the gateway, so these listings have columns and no rows.
fn primary_keys() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("column_name", DataType::Utf8, false),
        Field::new("key_name", DataType::Utf8, true),
        Field::new("key_sequence", DataType::Int32, false),
    ]))
}

fn foreign_keys() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("pk_catalog_name", DataType::Utf8, true),
        Field::new("pk_db_schema_name", DataType::Utf8, true),
        Field::new("pk_table_name", DataType::Utf8, false),
        Field::new("pk_column_name", DataType::Utf8, false),
        Field::new("fk_catalog_name", DataType::Utf8, true),
        Field::new("fk_db_schema_name", DataType::Utf8, true),
        Field::new("fk_table_name", DataType::Utf8, false),
        Field::new("fk_column_name", DataType::Utf8, false),
        Field::new("key_sequence", DataType::Int32, false),
        Field::new("fk_key_name", DataType::Utf8, true),
        Field::new("pk_key_name", DataType::Utf8, true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ]))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};

    use super::*;

    fn visible() -> Vec<VisibleTable> {
        let columns: SchemaRef = Arc::new(Schema::new(vec![Field::new("claim_id", DataType::Utf8View, false)]));
        let table = |schema: &str, name: &str, columns: Option<&SchemaRef>| VisibleTable {
            schema: schema.to_owned(),
            name: name.to_owned(),
            columns: columns.map(Arc::clone),
            target: None,
        };
        vec![
            table("claims", "claims_enriched", Some(&columns)),
            table("claims", "fraudXsignals", Some(&columns)),
            table("claims", "fraud_signals", None),
            table("mesh", "products", Some(&columns)),
        ]
    }

    fn names(batch: &RecordBatch, column: usize) -> Vec<String> {
        let column = batch.column(column).as_string::<i32>();
        (0..column.len()).map(|at| column.value(at).to_owned()).collect()
    }

    #[test]
    fn without_a_catalog_all_tables_are_listed_and_patterns_narrow_them() {
        let all = tables(CommandGetTables::default(), &visible()).unwrap();
        assert_eq!(all.num_rows(), 4);
        let of = |command| names(&tables(command, &visible()).unwrap(), 2);
        let pattern = |text: &str| CommandGetTables { table_name_filter_pattern: Some(text.to_owned()), ..Default::default() };
        assert_eq!(of(pattern("fraud_signals")), ["fraudXsignals", "fraud_signals"]);
        assert_eq!(of(pattern("fraud\\_signals")), ["fraud_signals"]);
        assert_eq!(of(CommandGetTables { db_schema_filter_pattern: Some("m%".to_owned()), ..Default::default() }), ["products"]);
        assert_eq!(of(CommandGetTables { catalog: Some("mesh".to_owned()), ..Default::default() }).len(), 4);
        assert_eq!(of(CommandGetTables { catalog: Some(String::new()), ..Default::default() }).len(), 0);
        assert_eq!(of(CommandGetTables { table_types: vec!["TABLE".to_owned()], ..Default::default() }).len(), 0);
    }

    #[test]
    fn a_schema_is_listed_once() {
        assert_eq!(names(&schemas(CommandGetDbSchemas::default(), &visible()).unwrap(), 1), ["claims", "mesh"]);
    }

    #[test]
    fn table_schemas_are_those_of_results() {
        let command = CommandGetTables { include_schema: true, ..Default::default() };
        let batch = tables(command.clone(), &visible()).unwrap();
        assert_eq!(batch.schema(), schema(&Listing::Tables(command)));
        let schemas = batch.column(4).as_binary::<i32>();
        let read = |at: usize| Schema::try_from(arrow_flight::IpcMessage(schemas.value(at).to_vec().into())).unwrap();
        assert_eq!(read(0).field(0).data_type(), &DataType::Utf8);
        assert_eq!(read(0).field(0).metadata()["ARROW:FLIGHT:SQL:TABLE_NAME"], "claims_enriched");
        assert_eq!(read(2).fields().len(), 0);
    }
}
