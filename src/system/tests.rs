//! The catalogs against what clients send. The queries are the clients' own, as captured on the wire, with what they give.

mod corpus;
mod promises;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider};
use datafusion::common::ParamValues;
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::world::World;
use super::*;
use crate::catalog::{Catalog, PortRef};
use crate::id::{DomainName, GroupName, PrincipalName};

const MESH: &str = "apiVersion: datamesh.io/v1\nkind: Mesh\nmetadata: {name: northpeak}\nspec:\n  currency: USD\n";

fn domain(name: &str) -> String {
    format!(
        "apiVersion: datamesh.io/v1\nkind: Domain\nmetadata: {{name: {name}}}\nspec:\n  owner: {{team: {name}-data, contact: \
         {name}@northpeak.example}}\n  costCenter: CC-{name}\n  region: eu\n  stewards: [{name}-stewards]\n  storage: [{{prefix: \
         \"file:data/{name}/\"}}]\n"
    )
}

fn product(domain: &str, name: &str, access: &str, more: &str) -> String {
    format!(
        "apiVersion: datamesh.io/v1\nkind: DataProduct\nmetadata:\n  name: {name}\n  domain: {domain}\n  version: 1.2.0\n  description: One \
         row per {name}.\n  owner: {{team: {domain}-data, contact: {domain}@northpeak.example}}\n  status: active\nspec:\n  outputPorts:\n  \
         - name: sql\n    format: parquet\n    location: file:data/{domain}/{name}/\n    schema:\n    - {{name: id, type: bigint, nullable: \
         false, description: Key, unique: true}}\n    - {{name: amount, type: \"numeric(12,2)\"}}\n  sla: {{freshness: 1h}}\n  policies: \
         {{access: {access}}}\n{more}"
    )
}

/// A mesh of three domains: `claims` has one open product, `customer` one that needs a grant, `pricing` one that nobody is told of.
fn snapshot() -> Arc<Snapshot> {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: String| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("mesh.yaml", MESH.to_owned());
    for name in ["claims", "customer", "pricing"] {
        write(&format!("{name}/domain.yaml"), domain(name));
    }
    let lineage = "  interoperability:\n    lineage: {upstream: [{domain: customer, product: customer_master}, {domain: pricing, product: \
                   secret_rates}]}\n";
    write("claims/claims_enriched/v1.yaml", product("claims", "claims_enriched", "public", lineage));
    write("customer/customer_master/v1.yaml", product("customer", "customer_master", "restricted", ""));
    write("pricing/secret_rates/v1.yaml", product("pricing", "secret_rates", "private", ""));
    write("customer/broken/v1.yaml", "apiVersion: datamesh.io/v1\nkind: Nonsense\n".to_owned());
    Catalog::open(folder.path()).unwrap().current()
}

fn principal(name: &str, domain: &str, groups: &[&str]) -> Arc<Principal> {
    Arc::new(Principal {
        name: PrincipalName::new(name),
        domain: DomainName::new(domain).unwrap(),
        groups: groups.iter().map(|group| GroupName::new(group)).collect::<BTreeSet<_>>(),
        attributes: BTreeMap::new(),
        token: None,
    })
}

fn visible_table(snapshot: &Snapshot, schema: &str, name: &str, columns: Vec<Field>) -> VisibleTable {
    let target: Option<PortRef> = snapshot.resolve(schema, name);
    assert!(target.is_some(), "{schema}.{name} is not in the catalog: {:?}", snapshot.problems);
    VisibleTable { schema: schema.to_owned(), name: name.to_owned(), columns: Some(Arc::new(Schema::new(columns))), target }
}

fn claims_columns() -> Vec<Field> {
    let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    vec![
        Field::new("id", DataType::Int64, false),
        Field::new("amount", DataType::Decimal128(12, 2), true),
        Field::new("reported", zoned, true),
        Field::new("region", DataType::Utf8, true),
        Field::new("tags", DataType::new_list(DataType::Utf8View, true), true),
    ]
}

/// The world of a claims engineer, who sees `claims.claims_enriched` only.
fn world() -> Arc<World> {
    let snapshot = snapshot();
    let visible = vec![visible_table(&snapshot, "claims", "claims_enriched", claims_columns())];
    World::build(principal("claims_engineer", "claims", &[]), snapshot, Arc::new(visible), None, None)
}

/// A planner with one world's tables, functions and types, set up as the gateway's is.
fn session(world: &Arc<World>) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(2).with_default_catalog_and_schema("mesh", "pg_catalog");
    let config = config.set_str("datafusion.sql_parser.dialect", "postgresql").with_information_schema(false);
    let state = SessionStateBuilder::new().with_config(config).with_default_features().with_type_planner(Arc::new(PgTypePlanner)).build();
    let context = SessionContext::new_with_state(state);
    let catalog = Arc::new(MemoryCatalogProvider::new());
    for (schema, shapes) in [("pg_catalog", shape::pg_catalog()), ("information_schema", shape::information_schema())] {
        let tables = Arc::new(MemorySchemaProvider::new());
        for name in shapes.keys() {
            let made = if schema == "pg_catalog" { pg_catalog::table(name, world) } else { information_schema::table(name, world) };
            tables.register_table((*name).to_owned(), made.unwrap()).unwrap();
        }
        catalog.register_schema(schema, tables).unwrap();
    }
    let tables = Arc::new(MemorySchemaProvider::new());
    for name in mesh::names() {
        tables.register_table((*name).to_owned(), mesh::table(name, world).unwrap()).unwrap();
    }
    catalog.register_schema("mesh", tables).unwrap();
    context.register_catalog("mesh", catalog);
    for function in functions::all(world).into_iter().chain(crate::query::json_functions()) {
        context.register_udf(function.as_ref().clone());
    }
    context
}

/// A result: the columns' names, and the rows as text.
#[derive(Debug, PartialEq)]
struct Answer {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Answer {
    /// One column of the rows.
    fn column(&self, name: &str) -> Vec<&str> {
        let place = self.columns.iter().position(|column| column == name).unwrap_or_else(|| panic!("no {name} in {:?}", self.columns));
        self.rows.iter().map(|row| row[place].as_str()).collect()
    }
}

async fn ask(context: &SessionContext, sql: &str) -> Result<Answer, String> {
    ask_with(context, sql, Vec::new()).await
}

async fn ask_with(context: &SessionContext, sql: &str, parameters: Vec<ScalarValue>) -> Result<Answer, String> {
    let mut parsed = Parser::parse_sql(&PostgreSqlDialect {}, sql).map_err(|fault| fault.to_string())?;
    assert_eq!(parsed.len(), 1, "one statement at a time");
    let mut statement = parsed.remove(0);
    let names = result_names(&statement);
    rewrite(&mut statement);
    let rewritten = statement.to_string();
    let run = async {
        let mut plan = context.state().statement_to_plan(EngineStatement::Statement(Box::new(statement))).await?;
        if !parameters.is_empty() {
            let values = parameters.into_iter().map(ScalarAndMetadata::from).collect();
            plan = plan.with_param_values(ParamValues::List(values))?;
        }
        let frame = context.execute_logical_plan(plan).await?;
        let columns = names.call(frame.schema().as_arrow()).fields().iter().map(|field| field.name().clone()).collect();
        Ok::<_, datafusion::common::DataFusionError>((columns, frame.collect().await?))
    };
    let (columns, batches) = run.await.map_err(|fault: datafusion::common::DataFusionError| format!("{fault}\n  {rewritten}"))?;
    Ok(Answer { columns, rows: batches.iter().flat_map(rows).collect() })
}

fn rows(batch: &RecordBatch) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<_> = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
    (0..batch.num_rows()).map(|row| columns.iter().map(|column| column.value(row).to_string()).collect()).collect()
}
