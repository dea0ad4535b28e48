//! Who, where and since when: the functions about the session and the server.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::Utc;

use super::{Body, Def, Row};
use crate::error::{ErrorKind, Fault};
use crate::system::grid::Cell;
use crate::system::world::{DATABASE_NAME, World};

/// What `version()` and `server_version` say first: clients choose by it what they ask the catalogs.
const POSTGRES: &str = "16.4";

/// What PostgreSQL counts among its settings and a session cannot set here.
const FACTS: [(&str, &str); 3] = [("block_size", "8192"), ("default_table_access_method", "heap"), ("max_function_args", "100")];

/// When this process first answered, which is when it started as far as a session can tell.
static STARTED: LazyLock<i64> = LazyLock::new(|| Utc::now().timestamp_micros());
static TRANSACTIONS: AtomicI64 = AtomicI64::new(0);

const USER: Body = |world, _| Ok(Cell::owned(world.principal.name.as_str()));
const DATABASE: Body = |_, _| Ok(Cell::text(DATABASE_NAME));
const NOTHING: Body = |_, _| Ok(Cell::Null);
const NO: Body = |_, _| Ok(Cell::Bool(false));

pub(super) const DEFS: &[Def] = &[
    Def::new("version", (0, 0), "text", |_, _| Ok(Cell::owned(format!("PostgreSQL {POSTGRES} (meshgate {})", env!("CARGO_PKG_VERSION"))))),
    Def::new("current_user", (0, 0), "name", USER),
    Def::new("session_user", (0, 0), "name", USER),
    Def::new("current_role", (0, 0), "name", USER),
    Def::new("user", (0, 0), "name", USER),
    Def::new("current_database", (0, 0), "name", DATABASE),
    Def::new("current_catalog", (0, 0), "name", DATABASE),
    Def::new("current_schema", (0, 0), "name", current_schema),
    Def::new("current_schemas", (1, 1), "_name", current_schemas),
    Def::new("current_setting", (1, 2), "text", current_setting).volatile(),
    Def::new("set_config", (3, 3), "text", set_config).lax().volatile(),
    Def::new("pg_backend_pid", (0, 0), "int4", |world, _| Ok(Cell::Int(world.session_number()))),
    Def::new("pg_is_in_recovery", (0, 0), "bool", NO),
    Def::new("pg_postmaster_start_time", (0, 0), "timestamptz", |_, _| Ok(Cell::Micros(*STARTED))),
    Def::new("pg_conf_load_time", (0, 0), "timestamptz", |_, _| Ok(Cell::Micros(*STARTED))),
    Def::new("txid_current", (0, 0), "int8", |_, _| Ok(Cell::Int(TRANSACTIONS.fetch_add(1, Ordering::Relaxed) + 1))).volatile(),
    Def::new("pg_my_temp_schema", (0, 0), "oid", |_, _| Ok(Cell::Int(0))),
    Def::new("pg_is_other_temp_schema", (1, 1), "bool", NO),
    Def::new("pg_cancel_backend", (1, 1), "bool", NO),
    Def::new("pg_terminate_backend", (1, 2), "bool", NO),
    Def::new("pg_advisory_unlock_all", (0, 0), "void", |_, _| Ok(Cell::text(""))),
    Def::new("pg_client_encoding", (0, 0), "name", |_, _| Ok(Cell::text("UTF8"))),
    Def::new("getdatabaseencoding", (0, 0), "name", |_, _| Ok(Cell::text("UTF8"))),
    Def::new("inet_server_addr", (0, 0), "inet", NOTHING),
    Def::new("inet_server_port", (0, 0), "int4", NOTHING),
    Def::new("inet_client_addr", (0, 0), "inet", NOTHING),
    Def::new("inet_client_port", (0, 0), "int4", NOTHING),
];

fn current_schema(world: &World, _: &Row<'_>) -> Result<Cell<'static>, Fault> {
    Ok(world.named_search_path().into_iter().next().map_or(Cell::Null, Cell::owned))
}

fn current_schemas(world: &World, row: &Row<'_>) -> Result<Cell<'static>, Fault> {
    let path = if row.flag(0) == Some(true) { world.search_path() } else { world.named_search_path() };
    Ok(Cell::List(path.into_iter().map(Cell::owned).collect()))
}

fn unknown_setting(name: &str) -> Fault {
    Fault::new(ErrorKind::UndefinedObject, format!("unrecognized configuration parameter \"{name}\""))
}

fn current_setting(world: &World, row: &Row<'_>) -> Result<Cell<'static>, Fault> {
    let name = row.text(0).unwrap_or_default();
    let fault = match world.settings().map(|settings| settings.show(&name)) {
        Some(Ok(value)) => return Ok(Cell::owned(value)),
        Some(Err(fault)) => fault,
        None => unknown_setting(&name),
    };
    match FACTS.iter().find(|(fact, _)| fact.eq_ignore_ascii_case(&name)) {
        Some((_, value)) => Ok(Cell::text(value)),
        None if row.flag(1) == Some(true) => Ok(Cell::Null),
        None => Err(fault),
    }
}

fn set_config(world: &World, row: &Row<'_>) -> Result<Cell<'static>, Fault> {
    let Some(name) = row.text(0) else { return Err(Fault::new(ErrorKind::InvalidParameter, "SET requires parameter name")) };
    let settings = world.settings().ok_or_else(|| unknown_setting(&name))?;
    match row.text(1) {
        Some(value) => settings.set(&name, &value, row.flag(2) == Some(true))?,
        None => settings.reset(Some(&name))?,
    }
    settings.show(&name).map(Cell::owned)
}
