//! `information_schema`, as one viewer sees it: the standard's names for what `pg_catalog` holds.

use std::sync::Arc;

use arrow::datatypes::FieldRef;
use datafusion::catalog::TableProvider;

use super::grid::{Cell, Get, Grid};
use super::shape;
use super::types::{self, PgType, type_of};
use super::world::{DATABASE_NAME, GATEWAY_ROLE_NAME, Namespace, Relation, Role, World};

/// The relations that hold rows. Every other one is empty for everybody, which `rewrite` relies on.
pub(super) const FILLED: [&str; 11] = [
    "applicable_roles",
    "character_sets",
    "columns",
    "column_privileges",
    "enabled_roles",
    "information_schema_catalog_name",
    "role_column_grants",
    "role_table_grants",
    "schemata",
    "table_privileges",
    "tables",
];

/// The table of that name.
pub(super) fn table(name: &str, world: &Arc<World>) -> Option<Arc<dyn TableProvider>> {
    let schema = &shape::information_schema().get(name)?.schema;
    let world = Arc::clone(world);
    Some(match name {
        "tables" => Grid::table(schema, move || world.relations().to_vec(), tables),
        "columns" => Grid::table(schema, move || column_rows(&world), columns),
        "column_privileges" | "role_column_grants" => Grid::table(schema, move || column_rows(&world), column_privileges),
        "table_privileges" | "role_table_grants" => Grid::table(schema, move || grants(&world), table_privileges),
        "schemata" => Grid::table(schema, move || owned_schemas(&world), schemata),
        "enabled_roles" => Grid::table(schema, move || enabled(&world), enabled_roles),
        "applicable_roles" => Grid::table(schema, move || vec![applicable(&world)], applicable_roles),
        "information_schema_catalog_name" => Grid::table(schema, || vec![()], catalog_name),
        "character_sets" => Grid::table(schema, || vec![()], character_sets),
        _ => Grid::empty(schema),
    })
}

fn database() -> Cell<'static> {
    Cell::text(DATABASE_NAME)
}

fn tables(column: &str) -> Option<Get<Relation>> {
    Some(match column {
        "table_catalog" => |_| database(),
        "table_schema" => |r| Cell::text(&r.schema),
        "table_name" => |r| Cell::text(&r.name),
        "table_type" => |r| Cell::text(if r.kind == 'v' { "VIEW" } else { "BASE TABLE" }),
        "is_insertable_into" | "is_typed" => |_| Cell::yes_no(false),
        _ => return None,
    })
}

/// A column of a relation, and who looks at it.
#[derive(Debug)]
struct Column {
    viewer: Arc<World>,
    schema: String,
    table: String,
    number: i64,
    field: FieldRef,
    type_oid: u32,
    typmod: i32,
}

impl Column {
    fn pg_type(&self) -> Option<&'static PgType> {
        types::types().get(&self.type_oid)
    }

    fn data_type(&self) -> String {
        if self.pg_type().is_some_and(|t| t.category == "A") { "ARRAY".to_owned() } else { types::format_type(self.type_oid, None) }
    }

    /// precision, radix and scale of a number.
    fn number(&self) -> Option<(i64, i64, Option<i64>)> {
        let typmod = i64::from(self.typmod) - 4;
        Some(match self.type_oid {
            21 => (16, 2, Some(0)),
            23 => (32, 2, Some(0)),
            20 => (64, 2, Some(0)),
            700 => (24, 2, None),
            701 => (53, 2, None),
            1700 if typmod >= 0 => (typmod >> 16, 10, Some(typmod & 0x7ff)),
            _ => return None,
        })
    }
}

fn column_rows(world: &Arc<World>) -> Vec<Column> {
    let mut made = Vec::new();
    for relation in world.relations() {
        for (field, number) in relation.columns.iter().flat_map(|columns| columns.fields()).zip(1..) {
            let (type_oid, typmod) = type_of(field);
            made.push(Column {
                viewer: Arc::clone(world),
                schema: relation.schema.clone(),
                table: relation.name.clone(),
                number,
                field: FieldRef::clone(field),
                type_oid,
                typmod,
            });
        }
    }
    made
}

fn columns(column: &str) -> Option<Get<Column>> {
    Some(match column {
        "table_catalog" | "udt_catalog" => |_| database(),
        "table_schema" => |c| Cell::text(&c.schema),
        "table_name" => |c| Cell::text(&c.table),
        "column_name" => |c| Cell::text(c.field.name()),
        "ordinal_position" => |c| Cell::Int(c.number),
        "is_nullable" => |c| Cell::yes_no(c.field.is_nullable()),
        "data_type" => |c| Cell::owned(c.data_type()),
        "character_octet_length" => |c| int(matches!(c.type_oid, 25 | 1042 | 1043).then_some(1 << 30)),
        "numeric_precision" => |c| int(c.number().map(|(precision, _, _)| precision)),
        "numeric_precision_radix" => |c| int(c.number().map(|(_, radix, _)| radix)),
        "numeric_scale" => |c| int(c.number().and_then(|(_, _, scale)| scale)),
        "datetime_precision" => |c| {
            int(match c.type_oid {
                1082 => Some(0),
                1083 | 1114 | 1184 | 1186 => Some(6),
                _ => None,
            })
        },
        "udt_schema" => |_| Cell::text("pg_catalog"),
        "udt_name" => |c| Cell::maybe(c.pg_type().map(|t| t.name)),
        "dtd_identifier" => |c| Cell::owned(c.number.to_string()),
        "is_self_referencing" | "is_identity" | "identity_cycle" | "is_updatable" => |_| Cell::yes_no(false),
        "is_generated" => |_| Cell::text("NEVER"),
        _ => return None,
    })
}

fn int(value: Option<i64>) -> Cell<'static> {
    value.map_or(Cell::Null, Cell::Int)
}

fn column_privileges(column: &str) -> Option<Get<Column>> {
    Some(match column {
        "grantor" => |_| Cell::text(GATEWAY_ROLE_NAME),
        "grantee" => |c| Cell::text(c.viewer.principal.name.as_str()),
        "table_catalog" => |_| database(),
        "table_schema" => |c| Cell::text(&c.schema),
        "table_name" => |c| Cell::text(&c.table),
        "column_name" => |c| Cell::text(c.field.name()),
        "privilege_type" => |_| Cell::text("SELECT"),
        "is_grantable" => |_| Cell::yes_no(false),
        _ => return None,
    })
}

/// A relation and who may read it.
#[derive(Debug)]
struct Grant {
    relation: Relation,
    grantee: String,
}

fn grants(world: &World) -> Vec<Grant> {
    let grant = |relation: &Relation| Grant { relation: relation.clone(), grantee: world.principal.name.as_str().to_owned() };
    world.relations().iter().map(grant).collect()
}

fn table_privileges(column: &str) -> Option<Get<Grant>> {
    Some(match column {
        "grantor" => |_| Cell::text(GATEWAY_ROLE_NAME),
        "grantee" => |g| Cell::text(&g.grantee),
        "table_catalog" => |_| database(),
        "table_schema" => |g| Cell::text(&g.relation.schema),
        "table_name" => |g| Cell::text(&g.relation.name),
        "privilege_type" => |_| Cell::text("SELECT"),
        "is_grantable" => |_| Cell::yes_no(false),
        "with_hierarchy" => |_| Cell::yes_no(true),
        _ => return None,
    })
}

/// A schema and its owner's name.
#[derive(Debug)]
struct OwnedSchema {
    namespace: Namespace,
    owner: String,
}

fn owned_schemas(world: &World) -> Vec<OwnedSchema> {
    let owner = |oid: u32| world.roles().iter().find(|role| role.oid == oid).map_or(GATEWAY_ROLE_NAME, |role| &role.name).to_owned();
    world.namespaces().iter().map(|namespace| OwnedSchema { owner: owner(namespace.owner), namespace: namespace.clone() }).collect()
}

fn schemata(column: &str) -> Option<Get<OwnedSchema>> {
    Some(match column {
        "catalog_name" => |_| database(),
        "schema_name" => |s| Cell::text(&s.namespace.name),
        "schema_owner" => |s| Cell::text(&s.owner),
        _ => return None,
    })
}

fn enabled(world: &World) -> Vec<Role> {
    let (own, domain) = (world.own_role(), world.domain_role());
    world.roles().iter().filter(|role| role.oid == own || role.oid == domain).cloned().collect()
}

fn enabled_roles(column: &str) -> Option<Get<Role>> {
    Some(match column {
        "role_name" => |role| Cell::text(&role.name),
        _ => return None,
    })
}

/// A principal's name and their domain's.
fn applicable(world: &World) -> (String, String) {
    (world.principal.name.as_str().to_owned(), world.principal.domain.as_str().to_owned())
}

fn applicable_roles(column: &str) -> Option<Get<(String, String)>> {
    Some(match column {
        "grantee" => |pair| Cell::text(&pair.0),
        "role_name" => |pair| Cell::text(&pair.1),
        "is_grantable" => |_| Cell::yes_no(false),
        _ => return None,
    })
}

fn catalog_name(column: &str) -> Option<Get<()>> {
    Some(match column {
        "catalog_name" => |()| database(),
        _ => return None,
    })
}

fn character_sets(column: &str) -> Option<Get<()>> {
    Some(match column {
        "character_set_name" | "form_of_use" => |()| Cell::text("UTF8"),
        "character_repertoire" => |()| Cell::text("UCS"),
        "default_collate_catalog" => |()| database(),
        "default_collate_schema" => |()| Cell::text("pg_catalog"),
        "default_collate_name" => |()| Cell::text("default"),
        _ => return None,
    })
}
