//! What the viewer may do: read what they see, and nothing else. Of others they learn nothing.

use super::catalog::relation_named;
use super::{Body, Def, Row};
use crate::error::{ErrorKind, Fault};
use crate::system::grid::Cell;
use crate::system::world::{DATABASE, DATABASE_NAME, Relation, World};

type Answer = Result<Cell<'static>, Fault>;

pub(super) const DEFS: &[Def] = &[
    Def::new("has_table_privilege", (2, 3), "bool", |world, row| on_relation(world, row, 2)),
    Def::new("has_any_column_privilege", (2, 3), "bool", |world, row| on_relation(world, row, 2)),
    Def::new("has_column_privilege", (3, 4), "bool", has_column_privilege),
    Def::new("has_sequence_privilege", (2, 3), "bool", |world, row| Ok(asker(world, row, 2)?.map_or(Cell::Null, |_| Cell::Bool(false)))),
    Def::new("has_schema_privilege", (2, 3), "bool", has_schema_privilege),
    Def::new("has_database_privilege", (2, 3), "bool", has_database_privilege),
    Def::new("has_function_privilege", (2, 3), "bool", USABLE),
    Def::new("has_language_privilege", (2, 3), "bool", USABLE),
    Def::new("has_type_privilege", (2, 3), "bool", USABLE),
    Def::new("has_tablespace_privilege", (2, 3), "bool", UNUSABLE),
    Def::new("has_server_privilege", (2, 3), "bool", UNUSABLE),
    Def::new("has_foreign_data_wrapper_privilege", (2, 3), "bool", UNUSABLE),
    Def::new("pg_has_role", (2, 3), "bool", pg_has_role),
];

/// What everybody may use.
const USABLE: Body = |world, row| Ok(asker(world, row, 2)?.map_or(Cell::Null, Cell::Bool));
/// What nobody may use.
const UNUSABLE: Body = |world, row| Ok(asker(world, row, 2)?.map_or(Cell::Null, |_| Cell::Bool(false)));

/// Whether the question is about the viewer: with one argument more than `own`, the first says about whom.
fn asker(world: &World, row: &Row<'_>, own: usize) -> Result<Option<bool>, Fault> {
    if row.len() == own {
        return Ok(Some(true));
    }
    if let Some(oid) = row.oid(0) {
        return Ok(Some(oid == world.own_role()));
    }
    let name = row.text(0).unwrap_or_default();
    let known = world.roles().iter().find(|role| role.name == name);
    known.map_or_else(|| Err(no_such("role", &name)), |role| Ok(Some(role.oid == world.own_role())))
}

fn no_such(kind: &str, name: &str) -> Fault {
    let missing = if kind == "relation" { ErrorKind::UndefinedTable } else { ErrorKind::UndefinedObject };
    Fault::new(missing, format!("{kind} \"{name}\" does not exist"))
}

/// Whether any privilege of the list `SELECT, INSERT` is one of `held`.
fn holds(list: &str, held: &[&str]) -> bool {
    list.split(',').any(|privilege| held.contains(&privilege.trim().to_ascii_uppercase().as_str()))
}

/// The relation that an argument names: an unknown number gives nothing, an unknown name is an error, as in PostgreSQL. One that the
/// viewer may not see is unknown.
fn relation<'a>(world: &'a World, row: &Row<'_>, argument: usize) -> Result<Option<&'a Relation>, Fault> {
    if let Some(oid) = row.oid(argument) {
        return Ok(world.relation(oid));
    }
    let name = row.text(argument).unwrap_or_default();
    relation_named(world, &name).map(Some).ok_or_else(|| no_such("relation", &name))
}

fn on_relation(world: &World, row: &Row<'_>, own: usize) -> Answer {
    let Some(asked) = asker(world, row, own)? else { return Ok(Cell::Null) };
    let Some(_) = relation(world, row, row.len() - own)? else { return Ok(Cell::Null) };
    let privileges = row.text(row.len() - 1).unwrap_or_default();
    Ok(Cell::Bool(asked && holds(&privileges, &["SELECT"])))
}

fn has_column_privilege(world: &World, row: &Row<'_>) -> Answer {
    let Some(asked) = asker(world, row, 3)? else { return Ok(Cell::Null) };
    let Some(found) = relation(world, row, row.len() - 3)? else { return Ok(Cell::Null) };
    let fields = found.columns.as_ref().map(|columns| columns.fields());
    let known = match row.int(row.len() - 2) {
        Some(number) => fields.is_some_and(|fields| number >= 1 && usize::try_from(number).is_ok_and(|number| number <= fields.len())),
        None => {
            let name = row.text(row.len() - 2).unwrap_or_default();
            if !fields.is_some_and(|fields| fields.iter().any(|field| *field.name() == name)) {
                let message = format!("column \"{name}\" of relation \"{}\" does not exist", found.name);
                return Err(Fault::new(ErrorKind::UndefinedColumn, message));
            }
            true
        }
    };
    let privileges = row.text(row.len() - 1).unwrap_or_default();
    Ok(if known { Cell::Bool(asked && holds(&privileges, &["SELECT"])) } else { Cell::Null })
}

fn has_schema_privilege(world: &World, row: &Row<'_>) -> Answer {
    let Some(asked) = asker(world, row, 2)? else { return Ok(Cell::Null) };
    let place = row.len() - 2;
    if let Some(oid) = row.oid(place) {
        if !world.namespaces().iter().any(|namespace| namespace.oid == oid) {
            return Ok(Cell::Null);
        }
    } else {
        let name = row.text(place).unwrap_or_default();
        if !world.namespaces().iter().any(|namespace| namespace.name == name) {
            return Err(no_such("schema", &name));
        }
    }
    Ok(Cell::Bool(asked && holds(&row.text(row.len() - 1).unwrap_or_default(), &["USAGE"])))
}

fn has_database_privilege(world: &World, row: &Row<'_>) -> Answer {
    let Some(asked) = asker(world, row, 2)? else { return Ok(Cell::Null) };
    let place = row.len() - 2;
    match row.oid(place) {
        Some(DATABASE) => {}
        Some(_) => return Ok(Cell::Null),
        None => {
            let name = row.text(place).unwrap_or_default();
            if name != DATABASE_NAME {
                return Err(no_such("database", &name));
            }
        }
    }
    Ok(Cell::Bool(asked && holds(&row.text(row.len() - 1).unwrap_or_default(), &["CONNECT"])))
}

fn pg_has_role(world: &World, row: &Row<'_>) -> Answer {
    let Some(asked) = asker(world, row, 2)? else { return Ok(Cell::Null) };
    let place = row.len() - 2;
    let role = match row.oid(place) {
        Some(oid) => oid,
        None => {
            let name = row.text(place).unwrap_or_default();
            let known = world.roles().iter().find(|role| role.name == name);
            known.ok_or_else(|| no_such("role", &name))?.oid
        }
    };
    Ok(Cell::Bool(asked && (role == world.own_role() || role == world.domain_role())))
}
