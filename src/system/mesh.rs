//! `mesh.*`: what exists, who answers for it, what it promises and what is wrong with it.
//!
//! What a viewer may know of: the products that they may read, all of their own domain, and published ones that are not private. Where
//! the data lies and how it is reached is in no table.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;

use super::access;
use super::grid::{Cell, Get, Grid};
use super::shape::field;
use super::types::{format_type, type_of};
use super::world::World;
use crate::catalog::{Access, Domain, Format, Port, Problem, ProductVersion, QualityCheck, Severity, Status};
use crate::id::ProductId;

/// Groups whose members see the problems of every domain.
const SEE_ALL_PROBLEMS: [&str; 2] = ["platform-admin", "audit-reader"];

/// The tables but `grants`, with their columns as `name:type`; `!` is NOT NULL.
const TABLES: [(&str, &str); 8] = [
    ("domains", "domain:text! owner_team:text! owner_contact:text! cost_center:text region:text stewards:_text! products:int8!"),
    (
        "products",
        "domain:text! product:text! version:text! major:int8! status:text! tier:int4 access:text! readable:bool! newest:bool! \
         description:text owner_team:text! owner_contact:text! tags:_text! terms:_text! purposes:_text! residency:_text! ports:_text! \
         freshness_seconds:int8 availability:float8 latency:text masks:int8! row_filters:int8!",
    ),
    (
        "output_ports",
        "domain:text! product:text! version:text! major:int8! port:text! is_default:bool! format:text! partitioning:_text! \
         table_schema:text! table_name:text! readable:bool!",
    ),
    (
        "columns",
        "domain:text! product:text! version:text! major:int8! port:text! column_name:text! position:int4! data_type:text! \
         nullable:bool! is_unique:bool! classification:text description:text readable:bool!",
    ),
    ("sla", "domain:text! product:text! version:text! major:int8! freshness_seconds:int8 availability:float8 latency:text"),
    ("quality", "domain:text! product:text! version:text! major:int8! column_name:text rule:text! arguments:text!"),
    ("lineage", "domain:text! product:text! version:text! major:int8! upstream_domain:text! upstream_product:text!"),
    ("problems", "severity:text! domain:text product:text file:text! line:int8! column:int8! message:text!"),
];

static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| TABLES.iter().map(|(name, _)| *name).chain(["grants"]).collect());
static SCHEMAS: LazyLock<BTreeMap<&'static str, SchemaRef>> =
    LazyLock::new(|| TABLES.iter().map(|(name, columns)| (*name, parse(columns))).collect());

fn parse(columns: &str) -> SchemaRef {
    let column = |word: &str| -> Option<Field> {
        let (name, pg_type) = word.split_once(':')?;
        Some(pg_type.strip_suffix('!').map_or_else(|| field(name, pg_type, true), |pg_type| field(name, pg_type, false)))
    };
    Arc::new(Schema::new(columns.split_whitespace().filter_map(column).collect::<Vec<_>>()))
}

/// The tables' names.
pub(super) fn names() -> &'static [&'static str] {
    &NAMES
}

/// A table's columns.
pub(super) fn schema(name: &str) -> Option<SchemaRef> {
    if name == "grants" { Some(access::grants_schema()) } else { SCHEMAS.get(name).map(Arc::clone) }
}

/// The table of that name.
pub(super) fn table(name: &str, world: &Arc<World>) -> Option<Arc<dyn TableProvider>> {
    let schema = &schema(name)?;
    let world = Arc::clone(world);
    Some(match name {
        "domains" => Grid::table(schema, move || domain_rows(&world), domains),
        "products" => Grid::table(schema, move || product_rows(&world), products),
        "output_ports" => Grid::table(schema, move || port_rows(&world), output_ports),
        "columns" => Grid::table(schema, move || column_rows(&world), columns),
        "sla" => Grid::table(schema, move || product_rows(&world), products),
        "quality" => Grid::table(schema, move || quality_rows(&world), quality),
        "lineage" => Grid::table(schema, move || lineage_rows(&world), lineage),
        "problems" => Grid::table(schema, move || problem_rows(&world), problems),
        "grants" => match &world.access {
            Some(access) => return access::grants(access, &world.principal, &world.snapshot),
            None => Grid::empty(schema),
        },
        _ => return None,
    })
}

/// A product version that the viewer may know of.
#[derive(Debug, Clone)]
struct Known {
    product: Arc<ProductVersion>,
    readable: bool,
    newest: bool,
}

impl Known {
    fn major(&self) -> Cell<'static> {
        int(self.product.version.major)
    }
}

fn int(value: impl TryInto<i64>) -> Cell<'static> {
    value.try_into().map_or(Cell::Null, Cell::Int)
}

fn texts<T>(items: &[T], text: impl for<'a> Fn(&'a T) -> &'a str) -> Cell<'_> {
    Cell::List(items.iter().map(|item| Cell::text(text(item))).collect())
}

fn product_rows(world: &World) -> Vec<Known> {
    let readable: HashSet<(&ProductId, u64)> = world.readable().map(|target| (&target.product.id, target.product.version.major)).collect();
    let mut known = Vec::new();
    for product in world.snapshot.products.values() {
        let newest = product.newest().version.major;
        for version in product.versions.values() {
            let (major, own) = (version.version.major, version.id.domain == world.principal.domain);
            let readable = readable.contains(&(&version.id, major));
            let told = version.access != Access::Private && version.status != Status::Draft;
            if readable || own || told {
                known.push(Known { product: Arc::clone(version), readable, newest: major == newest });
            }
        }
    }
    known
}

fn products(column: &str) -> Option<Get<Known>> {
    Some(match column {
        "domain" => |k| Cell::text(k.product.id.domain.as_str()),
        "product" => |k| Cell::text(k.product.id.product.as_str()),
        "version" => |k| Cell::owned(k.product.version.to_string()),
        "major" => |k| k.major(),
        "status" => |k| {
            Cell::text(match k.product.status {
                Status::Draft => "draft",
                Status::Active => "active",
                Status::Deprecated => "deprecated",
            })
        },
        "tier" => |k| k.product.tier.map_or(Cell::Null, |tier| Cell::Int(i64::from(tier))),
        "access" => |k| Cell::text(k.product.access.as_str()),
        "readable" => |k| Cell::Bool(k.readable),
        "newest" => |k| Cell::Bool(k.newest),
        "description" => |k| Cell::maybe(k.product.description.as_deref()),
        "owner_team" => |k| Cell::text(&k.product.owner.team),
        "owner_contact" => |k| Cell::text(&k.product.owner.contact),
        "tags" => |k| texts(&k.product.tags, String::as_str),
        "terms" => |k| texts(&k.product.terms, String::as_str),
        "purposes" => |k| texts(&k.product.purposes, String::as_str),
        "residency" => |k| texts(&k.product.residency, String::as_str),
        "ports" => |k| texts(&k.product.ports, |port| port.name.as_str()),
        "freshness_seconds" => |k| k.product.sla.freshness.map_or(Cell::Null, |freshness| int(freshness.as_secs())),
        "availability" => |k| k.product.sla.availability.map_or(Cell::Null, Cell::Float),
        "latency" => |k| Cell::maybe(k.product.sla.latency.as_deref()),
        "masks" => |k| int(k.product.masks.len()),
        "row_filters" => |k| int(k.product.row_filters.len()),
        _ => return None,
    })
}

/// A domain, how many of its products the viewer knows of, and whether the viewer may see its cost centre.
#[derive(Debug)]
struct DomainRow {
    domain: Arc<Domain>,
    products: usize,
    sees_costs: bool,
}

fn domain_rows(world: &World) -> Vec<DomainRow> {
    let mut counts: BTreeMap<ProductId, ()> = BTreeMap::new();
    for known in product_rows(world) {
        counts.insert(known.product.id.clone(), ());
    }
    let finance = world.is_in(&["finops-reader"]);
    let row = |domain: &Arc<Domain>| DomainRow {
        products: counts.keys().filter(|id| id.domain == domain.name).count(),
        sees_costs: finance || domain.name == world.principal.domain,
        domain: Arc::clone(domain),
    };
    world.snapshot.domains.values().map(row).collect()
}

fn domains(column: &str) -> Option<Get<DomainRow>> {
    Some(match column {
        "domain" => |d| Cell::text(d.domain.name.as_str()),
        "owner_team" => |d| Cell::text(&d.domain.owner.team),
        "owner_contact" => |d| Cell::text(&d.domain.owner.contact),
        "cost_center" => |d| Cell::maybe(d.domain.cost_center.as_deref().filter(|_| d.sees_costs)),
        "region" => |d| Cell::maybe(d.domain.region.as_deref()),
        "stewards" => |d| texts(&d.domain.stewards, |group| group.as_str()),
        "products" => |d| int(d.products),
        _ => return None,
    })
}

/// A port of a product version.
#[derive(Debug)]
struct PortRow {
    known: Known,
    port: Port,
    first: bool,
}

fn port_rows(world: &World) -> Vec<PortRow> {
    let mut rows = Vec::new();
    for known in product_rows(world) {
        for (index, port) in known.product.ports.iter().enumerate() {
            rows.push(PortRow { known: known.clone(), port: port.clone(), first: index == 0 });
        }
    }
    rows
}

impl PortRow {
    /// The shortest SQL name that means this port.
    fn table_name(&self) -> String {
        let product = &self.known.product;
        let pinned = if self.known.newest { String::new() } else { format!("_v{}", product.version.major) };
        let port = if self.first { String::new() } else { format!("__{}", self.port.name) };
        format!("{}{pinned}{port}", product.id.product)
    }
}

/// What all tables about a product version have in common.
macro_rules! of_product {
    ($column:expr, $known:ident . $($path:ident).+, $row:ty) => {
        match $column {
            "domain" => Some((|$known| Cell::text($known.$($path).+.product.id.domain.as_str())) as Get<$row>),
            "product" => Some((|$known| Cell::text($known.$($path).+.product.id.product.as_str())) as Get<$row>),
            "version" => Some((|$known| Cell::owned($known.$($path).+.product.version.to_string())) as Get<$row>),
            "major" => Some((|$known| $known.$($path).+.major()) as Get<$row>),
            "readable" => Some((|$known| Cell::Bool($known.$($path).+.readable)) as Get<$row>),
            _ => None,
        }
    };
}

fn output_ports(column: &str) -> Option<Get<PortRow>> {
    Some(match column {
        "port" => |row| Cell::text(row.port.name.as_str()),
        "is_default" => |row| Cell::Bool(row.first),
        "format" => |row| Cell::text(format_name(row.port.format)),
        "partitioning" => |row| texts(&row.port.partitioning, String::as_str),
        "table_schema" => |row| Cell::text(row.known.product.id.domain.as_str()),
        "table_name" => |row| Cell::owned(row.table_name()),
        other => return of_product!(other, row.known, PortRow),
    })
}

fn format_name(format: Format) -> &'static str {
    match format {
        Format::Delta => "delta",
        Format::Parquet => "parquet",
        Format::Csv => "csv",
        Format::Json => "json",
        Format::Avro => "avro",
        Format::Arrow => "arrow",
        Format::Iceberg => "iceberg",
        Format::Postgres => "postgres",
    }
}

/// A column of a port.
#[derive(Debug)]
struct ColumnRow {
    known: Known,
    port: String,
    position: i64,
    name: String,
    data_type: String,
    nullable: bool,
    unique: bool,
    classification: Option<String>,
    description: Option<String>,
}

fn column_rows(world: &World) -> Vec<ColumnRow> {
    let mut rows = Vec::new();
    for PortRow { known, port, .. } in port_rows(world) {
        let base = |position: usize, name: &str, data_type: String, nullable: bool| ColumnRow {
            known: known.clone(),
            port: port.name.as_str().to_owned(),
            position: i64::try_from(position).unwrap_or(i64::MAX) + 1,
            name: name.to_owned(),
            data_type,
            nullable,
            unique: false,
            classification: None,
            description: None,
        };
        if let Some(contract) = &port.columns {
            let all =
                contract.iter().enumerate().flat_map(|(position, column)| column.with_fields().into_iter().map(move |f| (position, f)));
            rows.extend(all.map(|(position, (path, column))| ColumnRow {
                unique: column.unique,
                classification: column.classification.clone(),
                description: column.description.clone(),
                ..base(position, &path, column.data_type.name.clone(), column.nullable)
            }));
        } else if let Some(seen) = world.seen_columns(&known.product, port.name.as_str()) {
            rows.extend(seen.fields().iter().enumerate().map(|(position, field)| {
                let (oid, typmod) = type_of(field);
                base(position, field.name(), format_type(oid, Some(i64::from(typmod))), field.is_nullable())
            }));
        }
    }
    rows
}

fn columns(column: &str) -> Option<Get<ColumnRow>> {
    Some(match column {
        "port" => |row| Cell::text(&row.port),
        "column_name" => |row| Cell::text(&row.name),
        "position" => |row| Cell::Int(row.position),
        "data_type" => |row| Cell::text(&row.data_type),
        "nullable" => |row| Cell::Bool(row.nullable),
        "is_unique" => |row| Cell::Bool(row.unique),
        "classification" => |row| Cell::maybe(row.classification.as_deref()),
        "description" => |row| Cell::maybe(row.description.as_deref()),
        other => return of_product!(other, row.known, ColumnRow),
    })
}

/// A quality check of a product version.
#[derive(Debug)]
struct QualityRow {
    known: Known,
    check: QualityCheck,
}

/// Checks quote values, so only readers see them.
fn quality_rows(world: &World) -> Vec<QualityRow> {
    let mut rows = Vec::new();
    for known in product_rows(world).into_iter().filter(|known| known.readable) {
        rows.extend(known.product.quality.iter().map(|check| QualityRow { known: known.clone(), check: check.clone() }));
    }
    rows
}

fn quality(column: &str) -> Option<Get<QualityRow>> {
    Some(match column {
        "column_name" => |row| Cell::maybe(row.check.column.as_deref()),
        "rule" => |row| Cell::text(&row.check.rule),
        "arguments" => |row| Cell::owned(row.check.arguments.to_string()),
        other => return of_product!(other, row.known, QualityRow),
    })
}

/// A product version and one that it is made from.
#[derive(Debug)]
struct LineageRow {
    known: Known,
    upstream: ProductId,
}

/// A product that the viewer may not know of is not named as an upstream either, unless by a manifest of their own domain.
fn lineage_rows(world: &World) -> Vec<LineageRow> {
    let known = product_rows(world);
    let told: HashSet<ProductId> = known.iter().map(|known| known.product.id.clone()).collect();
    let mut rows = Vec::new();
    for known in known {
        let own = known.product.id.domain == world.principal.domain;
        let upstream = known.product.upstream.iter().cloned().map(|(domain, product)| ProductId { domain, product });
        let seen = upstream.filter(|upstream| own || told.contains(upstream));
        rows.extend(seen.map(|upstream| LineageRow { known: known.clone(), upstream }).collect::<Vec<_>>());
    }
    rows
}

fn lineage(column: &str) -> Option<Get<LineageRow>> {
    Some(match column {
        "upstream_domain" => |row| Cell::text(row.upstream.domain.as_str()),
        "upstream_product" => |row| Cell::text(row.upstream.product.as_str()),
        other => return of_product!(other, row.known, LineageRow),
    })
}

/// A problem is its domain's business: the message may quote the manifest.
fn problem_rows(world: &World) -> Vec<Problem> {
    let all = world.is_in(&SEE_ALL_PROBLEMS);
    let own = world.principal.domain.as_str();
    world.snapshot.problems.iter().filter(|problem| all || problem_domain(problem) == Some(own)).cloned().collect()
}

/// The product's domain, else the catalog's folder that the file lies in.
fn problem_domain(problem: &Problem) -> Option<&str> {
    match &problem.product {
        Some(product) => Some(product.domain.as_str()),
        None => problem.origin.file.split_once('/').map(|(folder, _)| folder).filter(|folder| *folder != "policies"),
    }
}

fn problems(column: &str) -> Option<Get<Problem>> {
    Some(match column {
        "severity" => |p| {
            Cell::text(match p.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            })
        },
        "domain" => |p| Cell::maybe(problem_domain(p)),
        "product" => |p| Cell::maybe(p.product.as_ref().map(|id| id.product.as_str())),
        "file" => |p| Cell::text(&p.origin.file),
        "line" => |p| int(p.origin.line),
        "column" => |p| int(p.origin.column),
        "message" => |p| Cell::text(&p.message),
        _ => return None,
    })
}
