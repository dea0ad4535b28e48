//! `pg_catalog`, as one viewer sees it. A relation that is not filled here is empty: the gateway has no such things.

mod fixed;
mod people;
mod relations;

use std::sync::Arc;

use datafusion::catalog::TableProvider;

use super::grid::{Cell, Grid};
use super::shape;
use super::world::World;

/// The relations that hold rows. Every other one is empty for everybody, which `rewrite` relies on.
pub(super) const FILLED: [&str; 19] = [
    "pg_am",
    "pg_attribute",
    "pg_auth_members",
    "pg_class",
    "pg_collation",
    "pg_database",
    "pg_description",
    "pg_group",
    "pg_language",
    "pg_namespace",
    "pg_proc",
    "pg_roles",
    "pg_settings",
    "pg_stat_activity",
    "pg_tables",
    "pg_tablespace",
    "pg_timezone_names",
    "pg_type",
    "pg_user",
];

/// The table of that name.
pub(super) fn table(name: &str, world: &Arc<World>) -> Option<Arc<dyn TableProvider>> {
    let schema = &shape::pg_catalog().get(name)?.schema;
    let world = Arc::clone(world);
    Some(match name {
        "pg_class" => Grid::table(schema, move || relations::classes(&world), relations::pg_class),
        "pg_attribute" => Grid::table(schema, move || relations::attributes(&world), relations::pg_attribute),
        "pg_description" => Grid::table(schema, move || relations::descriptions(&world), relations::pg_description),
        "pg_tables" => Grid::table(schema, move || relations::tables(&world), relations::pg_tables),
        "pg_namespace" => Grid::table(schema, move || world.namespaces().to_vec(), relations::pg_namespace),
        "pg_database" => Grid::table(schema, || vec![()], people::pg_database),
        "pg_roles" => Grid::table(schema, move || world.roles().to_vec(), people::pg_roles),
        "pg_user" => Grid::table(schema, move || people::users(&world), people::pg_user),
        "pg_group" => Grid::table(schema, move || people::groups(&world), people::pg_group),
        "pg_auth_members" => Grid::table(schema, move || people::members(&world), people::pg_auth_members),
        "pg_stat_activity" => Grid::table(schema, move || vec![Arc::clone(&world)], people::pg_stat_activity),
        "pg_settings" => Grid::table(schema, move || people::settings(&world), people::pg_settings),
        "pg_type" => Grid::table(schema, fixed::types, fixed::pg_type),
        "pg_proc" => Grid::table(schema, fixed::procs, fixed::pg_proc),
        "pg_am" => Grid::table(schema, fixed::access_methods, fixed::pg_am),
        "pg_collation" => Grid::table(schema, fixed::collations, fixed::pg_collation),
        "pg_language" => Grid::table(schema, fixed::languages, fixed::pg_language),
        "pg_tablespace" => Grid::table(schema, fixed::tablespaces, fixed::pg_tablespace),
        "pg_timezone_names" => Grid::table(schema, fixed::time_zones, fixed::pg_timezone_names),
        _ => Grid::empty(schema),
    })
}

/// An oid.
fn oid(oid: u32) -> Cell<'static> {
    Cell::Int(i64::from(oid))
}
