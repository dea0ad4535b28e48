//! Relations, their columns, schemas and comments. No statistics: sizes and counts would tell of rows that a viewer may not see.

use arrow::datatypes::FieldRef;

use super::oid;
use crate::system::grid::{Cell, Get};
use crate::system::shape;
use crate::system::types::{self, type_of};
use crate::system::world::{GATEWAY_ROLE_NAME, HEAP, Namespace, Relation, World};

pub(super) fn classes(world: &World) -> Vec<Relation> {
    world.relations().to_vec()
}

pub(super) fn pg_class(column: &str) -> Option<Get<Relation>> {
    Some(match column {
        "oid" => |r| oid(r.oid),
        "relname" => |r| Cell::text(&r.name),
        "relnamespace" => |r| oid(r.namespace),
        "relowner" => |r| oid(r.owner),
        "relam" => |r| oid(if r.kind == 'r' { HEAP } else { 0 }),
        "relfilenode" | "reltype" | "reloftype" | "reltablespace" | "reltoastrelid" | "relrewrite" => |_| Cell::Int(0),
        "relpages" | "relallvisible" | "relchecks" | "relfrozenxid" | "relminmxid" => |_| Cell::Int(0),
        "reltuples" => |_| Cell::Float(-1.0),
        "relnatts" => |r| Cell::Int(r.columns.as_ref().map_or(0, |columns| i64::try_from(columns.fields().len()).unwrap_or(i64::MAX))),
        "relhasindex" | "relisshared" | "relhasrules" | "relhastriggers" | "relhassubclass" => |_| Cell::Bool(false),
        "relrowsecurity" | "relforcerowsecurity" | "relispartition" => |_| Cell::Bool(false),
        "relispopulated" => |_| Cell::Bool(true),
        "relpersistence" => |_| Cell::text("p"),
        "relkind" => |r| Cell::text(if r.kind == 'v' { "v" } else { "r" }),
        "relreplident" => |r| Cell::text(if r.kind == 'v' { "n" } else { "d" }),
        _ => return None,
    })
}

/// A column of a relation.
#[derive(Debug)]
pub(super) struct Attribute {
    relation: u32,
    number: i64,
    field: FieldRef,
    type_oid: u32,
    typmod: i32,
}

impl Attribute {
    fn pg_type(&self) -> Option<&'static types::PgType> {
        types::types().get(&self.type_oid)
    }
}

pub(super) fn attributes(world: &World) -> Vec<Attribute> {
    let mut made = Vec::new();
    for relation in world.relations() {
        let columns = relation.columns.iter().flat_map(|columns| columns.fields());
        made.extend(columns.zip(1..).map(|(field, number)| {
            let (type_oid, typmod) = type_of(field);
            Attribute { relation: relation.oid, number, field: FieldRef::clone(field), type_oid, typmod }
        }));
    }
    made
}

pub(super) fn pg_attribute(column: &str) -> Option<Get<Attribute>> {
    Some(match column {
        "attrelid" => |a| oid(a.relation),
        "attname" => |a| Cell::text(a.field.name()),
        "atttypid" => |a| oid(a.type_oid),
        "attlen" => |a| Cell::Int(a.pg_type().map_or(-1, |t| t.len)),
        "attnum" => |a| Cell::Int(a.number),
        "attcacheoff" | "attstattarget" => |_| Cell::Int(-1),
        "atttypmod" => |a| Cell::Int(i64::from(a.typmod)),
        "attndims" => |a| Cell::Int(i64::from(a.pg_type().is_some_and(|t| t.category == "A"))),
        "attbyval" => |a| Cell::Bool(a.pg_type().is_some_and(|t| t.by_value)),
        "attalign" => |a| Cell::text(a.pg_type().map_or("i", |t| t.align)),
        "attstorage" => |a| Cell::text(a.pg_type().map_or("p", |t| t.storage)),
        "attcompression" | "attidentity" | "attgenerated" => |_| Cell::text(""),
        "attnotnull" => |a| Cell::Bool(!a.field.is_nullable()),
        "atthasdef" | "atthasmissing" | "attisdropped" => |_| Cell::Bool(false),
        "attislocal" => |_| Cell::Bool(true),
        "attinhcount" => |_| Cell::Int(0),
        "attcollation" => |a| oid(a.pg_type().map_or(0, |t| t.collation)),
        _ => return None,
    })
}

/// A comment on a relation (column 0) or on one of its columns.
#[derive(Debug)]
pub(super) struct Description {
    relation: u32,
    number: i64,
    text: String,
}

pub(super) fn descriptions(world: &World) -> Vec<Description> {
    let mut made = Vec::new();
    for relation in world.relations() {
        if let Some(text) = relation.comment() {
            made.push(Description { relation: relation.oid, number: 0, text: text.to_owned() });
        }
        for (field, number) in relation.columns.iter().flat_map(|columns| columns.fields()).zip(1..) {
            if let Some(text) = relation.column_comment(field.name()) {
                made.push(Description { relation: relation.oid, number, text: text.to_owned() });
            }
        }
    }
    made
}

pub(super) fn pg_description(column: &str) -> Option<Get<Description>> {
    Some(match column {
        "objoid" => |d| oid(d.relation),
        "classoid" => |_| oid(shape::pg_catalog().get("pg_class").map_or(0, |shape| shape.oid)),
        "objsubid" => |d| Cell::Int(d.number),
        "description" => |d| Cell::text(&d.text),
        _ => return None,
    })
}

/// A relation with its owner's name.
#[derive(Debug)]
pub(super) struct OwnedTable {
    relation: Relation,
    owner: String,
}

pub(super) fn tables(world: &World) -> Vec<OwnedTable> {
    let owned = |relation: &Relation| OwnedTable { relation: relation.clone(), owner: owner_name(world, relation.owner) };
    world.relations().iter().filter(|relation| relation.kind == 'r').map(owned).collect()
}

fn owner_name(world: &World, owner: u32) -> String {
    let role = world.roles().iter().find(|role| role.oid == owner);
    role.map_or_else(|| GATEWAY_ROLE_NAME.to_owned(), |role| role.name.clone())
}

pub(super) fn pg_tables(column: &str) -> Option<Get<OwnedTable>> {
    Some(match column {
        "schemaname" => |t| Cell::text(&t.relation.schema),
        "tablename" => |t| Cell::text(&t.relation.name),
        "tableowner" => |t| Cell::text(&t.owner),
        "hasindexes" | "hasrules" | "hastriggers" | "rowsecurity" => |_| Cell::Bool(false),
        _ => return None,
    })
}

pub(super) fn pg_namespace(column: &str) -> Option<Get<Namespace>> {
    Some(match column {
        "oid" => |n| oid(n.oid),
        "nspname" => |n| Cell::text(&n.name),
        "nspowner" => |n| oid(n.owner),
        _ => return None,
    })
}
