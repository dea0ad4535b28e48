//! Questions about relations, types, functions and comments, by oid or by name.

use super::text::quote_ident;
use super::{Body, Def, Row};
use crate::error::{ErrorKind, Fault};
use crate::system::grid::Cell;
use crate::system::types::{self, PgProc};
use crate::system::world::{Relation, World};

type Answer = Result<Cell<'static>, Fault>;

/// Of a kind of object that the gateway has none of, so that whatever is asked about has no definition.
const NONE: Body = |_, _| Ok(Cell::Null);
/// Of a kind of object that lives in `pg_catalog` only, which is on every search path.
const VISIBLE: Body = |_, row| Ok(row.oid(0).map_or(Cell::Null, |_| Cell::Bool(true)));
/// An expression is stored as its text.
const ITSELF: Body = |_, row| Ok(row.text(0).map_or(Cell::Null, Cell::owned));

pub(super) const DEFS: &[Def] = &[
    Def::new("format_type", (2, 2), "text", format_type).lax(),
    Def::new("pg_get_userbyid", (1, 1), "name", pg_get_userbyid),
    Def::new("pg_table_is_visible", (1, 1), "bool", |world, row| {
        Ok(row.oid(0).and_then(|oid| world.relation(oid)).map_or(Cell::Null, |relation| Cell::Bool(world.is_on_path(relation))))
    }),
    Def::new("pg_type_is_visible", (1, 1), "bool", VISIBLE),
    Def::new("pg_function_is_visible", (1, 1), "bool", VISIBLE),
    Def::new("pg_operator_is_visible", (1, 1), "bool", VISIBLE),
    Def::new("pg_opclass_is_visible", (1, 1), "bool", VISIBLE),
    Def::new("pg_opfamily_is_visible", (1, 1), "bool", VISIBLE),
    Def::new("pg_collation_is_visible", (1, 1), "bool", VISIBLE),
    Def::new("pg_conversion_is_visible", (1, 1), "bool", VISIBLE),
    Def::new("pg_statistics_obj_is_visible", (1, 1), "bool", VISIBLE),
    Def::new("pg_ts_config_is_visible", (1, 1), "bool", VISIBLE),
    Def::new("pg_ts_dict_is_visible", (1, 1), "bool", VISIBLE),
    Def::new("pg_ts_parser_is_visible", (1, 1), "bool", VISIBLE),
    Def::new("pg_ts_template_is_visible", (1, 1), "bool", VISIBLE),
    Def::new("pg_get_expr", (2, 3), "text", ITSELF),
    Def::new("pg_get_constraintdef", (1, 2), "text", NONE),
    Def::new("pg_get_indexdef", (1, 3), "text", NONE),
    Def::new("pg_get_viewdef", (1, 2), "text", NONE),
    Def::new("pg_get_ruledef", (1, 2), "text", NONE),
    Def::new("pg_get_triggerdef", (1, 2), "text", NONE),
    Def::new("pg_get_partkeydef", (1, 1), "text", NONE),
    Def::new("pg_get_serial_sequence", (2, 2), "text", NONE),
    Def::new("pg_get_statisticsobjdef_columns", (1, 1), "text", NONE),
    Def::new("pg_get_functiondef", (1, 1), "text", NONE),
    Def::new("pg_get_function_result", (1, 1), "text", |_, row| {
        Ok(proc(row).map_or(Cell::Null, |proc| {
            let result = types::format_type(proc.result, None);
            Cell::owned(if proc.returns_set { format!("SETOF {result}") } else { result })
        }))
    }),
    Def::new("pg_get_function_arguments", (1, 1), "text", function_arguments),
    Def::new("pg_get_function_identity_arguments", (1, 1), "text", function_arguments),
    Def::new("obj_description", (1, 2), "text", |world, row| {
        let class = row.text(1);
        let relation = row.oid(0).and_then(|oid| world.relation(oid)).filter(|_| class.as_deref().is_none_or(|class| class == "pg_class"));
        Ok(relation.and_then(Relation::comment).map_or(Cell::Null, Cell::owned))
    }),
    Def::new("col_description", (2, 2), "text", col_description),
    Def::new("shobj_description", (2, 2), "text", NONE),
    Def::new("pg_relation_size", (1, 2), "int8", NONE),
    Def::new("pg_table_size", (1, 1), "int8", NONE),
    Def::new("pg_indexes_size", (1, 1), "int8", NONE),
    Def::new("pg_total_relation_size", (1, 1), "int8", NONE),
    Def::new("pg_database_size", (1, 1), "int8", NONE),
    Def::new("pg_tablespace_location", (1, 1), "text", |_, _| Ok(Cell::text(""))),
    Def::new("pg_relation_is_publishable", (1, 1), "bool", |_, _| Ok(Cell::Bool(false))),
    Def::new("pg_encoding_to_char", (1, 1), "name", |_, row| Ok(Cell::text(if row.int(0) == Some(6) { "UTF8" } else { "" }))),
    Def::new("pg_char_to_encoding", (1, 1), "int4", |_, row| {
        let name = row.text(0).unwrap_or_default().to_ascii_lowercase().replace(['-', '_'], "");
        Ok(Cell::Int(if name == "utf8" || name == "unicode" { 6 } else { -1 }))
    }),
    Def::new("to_regclass", (1, 1), "regclass", |world, row| Ok(maybe_oid(relation_named(world, &argument(row)).map(|r| r.oid)))),
    Def::new("to_regtype", (1, 1), "regtype", |_, row| Ok(maybe_oid(types::type_oid(&argument(row))))),
    Def::new("to_regproc", (1, 1), "regproc", |_, row| Ok(maybe_oid(types::proc_oid(last_part(&argument(row)))))),
    Def::new("to_regnamespace", (1, 1), "regnamespace", |world, row| Ok(maybe_oid(namespace_named(world, &argument(row))))),
    Def::new("to_regrole", (1, 1), "regrole", |world, row| Ok(maybe_oid(role_named(world, &argument(row))))),
    // What the casts to and from these types become; PostgreSQL has input and output functions of the same names.
    Def::new("regclassin", (1, 1), "regclass", |world, row| {
        read(row, "relation", ErrorKind::UndefinedTable, |name| relation_named(world, name).map(|relation| relation.oid))
    }),
    Def::new("regtypein", (1, 1), "regtype", |_, row| read(row, "type", ErrorKind::UndefinedObject, types::type_oid)),
    Def::new("regprocin", (1, 1), "regproc", |_, row| {
        read(row, "function", ErrorKind::UndefinedFunction, |name| types::proc_oid(last_part(name)))
    }),
    Def::new("regnamespacein", (1, 1), "regnamespace", |world, row| {
        read(row, "schema", ErrorKind::UndefinedObject, |name| namespace_named(world, name))
    }),
    Def::new("regrolein", (1, 1), "regrole", |world, row| read(row, "role", ErrorKind::UndefinedObject, |name| role_named(world, name))),
    Def::new("regclassout", (1, 1), "text", |world, row| {
        write(row, |oid| {
            let relation = world.relation(oid)?;
            let name = quote_ident(&relation.name);
            Some(if world.is_on_path(relation) { name } else { format!("{}.{name}", quote_ident(&relation.schema)) })
        })
    }),
    Def::new("regtypeout", (1, 1), "text", |_, row| {
        write(row, |oid| types::types().get(&oid).map(|found| types::format_type(found.oid, None)))
    }),
    Def::new("regprocout", (1, 1), "text", |_, row| write(row, |oid| Some(types::regproc_name(oid)))),
    Def::new("regnamespaceout", (1, 1), "text", |world, row| {
        write(row, |oid| world.namespaces().iter().find(|found| found.oid == oid).map(|found| quote_ident(&found.name)))
    }),
    Def::new("regroleout", (1, 1), "text", |world, row| {
        write(row, |oid| world.roles().iter().find(|found| found.oid == oid).map(|found| quote_ident(&found.name)))
    }),
    Def::new("pg_series", (2, 2), "_int4", pg_series),
    Def::new("pg_keywords", (0, 0), "_text", |_, _| Ok(Cell::List(RESERVED.split_ascii_whitespace().map(Cell::text).collect()))),
];

/// The words that are no names without quotes in PostgreSQL: those for which clients ask `pg_get_keywords()`.
const RESERVED: &str = "all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate collation \
    column concurrently constraint create cross current_catalog current_date current_role current_schema current_time current_timestamp \
    current_user default deferrable desc distinct do else end except false fetch for foreign freeze from full grant group having ilike in \
    initially inner intersect into is isnull join lateral leading left like limit localtime localtimestamp natural not notnull null offset \
    on only or order outer overlaps placing primary references returning right select session_user similar some symmetric system_user \
    table tablesample then to trailing true union unique user using variadic verbose when where window with";

/// As many as a table may have columns, which is what clients count.
const LONGEST_SERIES: i64 = 1600;

/// The numbers of `FROM generate_series(first, last)` in a client's question about the catalogs.
fn pg_series(_: &World, row: &Row<'_>) -> Result<Cell<'static>, Fault> {
    let (Some(first), Some(last)) = (row.int(0), row.int(1)) else { return Ok(Cell::Null) };
    if last.saturating_sub(first) >= LONGEST_SERIES {
        return Err(Fault::new(ErrorKind::ProgramLimit, format!("a series of more than {LONGEST_SERIES} numbers is not supported")));
    }
    Ok(Cell::List((first..=last).map(Cell::Int).collect()))
}

fn argument(row: &Row<'_>) -> String {
    row.text(0).unwrap_or_default()
}

fn maybe_oid(oid: Option<u32>) -> Cell<'static> {
    oid.map_or(Cell::Null, |oid| Cell::Int(i64::from(oid)))
}

/// Reads what a cast to a `reg…` type is given: a number stays, `-` is none, a name is looked up.
fn read(row: &Row<'_>, kind: &str, missing: ErrorKind, find: impl Fn(&str) -> Option<u32>) -> Answer {
    if let Some(oid) = row.oid(0) {
        return Ok(maybe_oid(Some(oid)));
    }
    let name = argument(row);
    if name == "-" {
        return Ok(Cell::Int(0));
    }
    find(&name).map(|oid| maybe_oid(Some(oid))).ok_or_else(|| Fault::new(missing, format!("{kind} \"{name}\" does not exist")))
}

/// Writes an oid of a `reg…` type: its name, `-` for none, the number where nothing has it.
fn write(row: &Row<'_>, name: impl Fn(u32) -> Option<String>) -> Answer {
    let Some(oid) = row.oid(0) else { return Ok(Cell::Null) };
    Ok(Cell::owned(if oid == 0 { "-".to_owned() } else { name(oid).unwrap_or_else(|| oid.to_string()) }))
}

/// The parts of a name as SQL writes it: unquoted parts in lower case, quoted ones as they are.
pub(super) fn name_parts(text: &str) -> Vec<String> {
    let (mut parts, mut part, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = text.trim().chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                part.push('"');
            }
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(std::mem::take(&mut part)),
            _ if quoted => part.push(letter),
            _ => part.extend(letter.to_lowercase()),
        }
    }
    parts.push(part);
    parts
}

/// The relation that a text names, as the viewer sees it.
pub(super) fn relation_named<'a>(world: &'a World, text: &str) -> Option<&'a Relation> {
    match name_parts(text).as_slice() {
        [name] => world.found(name),
        [schema, name] => world.named(schema, name),
        [database, schema, name] if database == crate::system::world::DATABASE_NAME => world.named(schema, name),
        _ => None,
    }
}

fn namespace_named(world: &World, text: &str) -> Option<u32> {
    let [name] = name_parts(text).try_into().ok()?;
    world.namespaces().iter().find(|namespace| namespace.name == name).map(|namespace| namespace.oid)
}

fn role_named(world: &World, text: &str) -> Option<u32> {
    let [name] = name_parts(text).try_into().ok()?;
    world.roles().iter().find(|role| role.name == name).map(|role| role.oid)
}

fn last_part(text: &str) -> &str {
    text.strip_prefix("pg_catalog.").unwrap_or(text)
}

fn format_type(_: &World, row: &Row<'_>) -> Answer {
    Ok(row.oid(0).map_or(Cell::Null, |oid| Cell::owned(types::format_type(oid, row.int(1)))))
}

fn pg_get_userbyid(world: &World, row: &Row<'_>) -> Answer {
    let Some(oid) = row.oid(0) else { return Ok(Cell::Null) };
    let role = world.roles().iter().find(|role| role.oid == oid);
    Ok(Cell::owned(role.map_or_else(|| format!("unknown (OID={oid})"), |role| role.name.clone())))
}

fn proc(row: &Row<'_>) -> Option<&'static PgProc> {
    let oid = row.oid(0)?;
    types::procs().iter().find(|proc| proc.oid == oid)
}

fn function_arguments(_: &World, row: &Row<'_>) -> Answer {
    let arguments = |proc: &PgProc| proc.arguments.iter().map(|oid| types::format_type(*oid, None)).collect::<Vec<_>>().join(", ");
    Ok(proc(row).map_or(Cell::Null, |proc| Cell::owned(arguments(proc))))
}

fn col_description(world: &World, row: &Row<'_>) -> Answer {
    let comment = || {
        let relation = world.relation(row.oid(0)?)?;
        let place = usize::try_from(row.int(1)?).ok()?.checked_sub(1)?;
        let field = relation.columns.as_ref()?.fields().get(place)?;
        relation.column_comment(field.name())
    };
    Ok(comment().map_or(Cell::Null, Cell::owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_as_sql_splits_them() {
        for (text, parts) in
            [("a.B", vec!["a", "b"]), ("\"A.b\".c", vec!["A.b", "c"]), ("\"a\"\"b\"", vec!["a\"b"]), ("pg_class", vec!["pg_class"])]
        {
            assert_eq!(name_parts(text), parts, "{text}");
        }
    }
}
