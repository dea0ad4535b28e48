//! What is the same for everybody: types, functions, access methods, collations, languages, tablespaces, time zones.

use super::oid;
use super::people::PG_DEFAULT;
use crate::system::grid::{Cell, Get};
use crate::system::types::{self, PgProc, PgType};
use crate::system::world::{GATEWAY_ROLE, HEAP, PG_CATALOG};

pub(super) fn types() -> Vec<&'static PgType> {
    types::types().values().collect()
}

/// A type's function by its place in [`PgType::functions`].
fn function<const PLACE: usize>(found: &PgType) -> Cell<'static> {
    oid(found.functions.get(PLACE).copied().unwrap_or(0))
}

pub(super) fn pg_type(column: &str) -> Option<Get<&'static PgType>> {
    Some(match column {
        "oid" => |t| oid(t.oid),
        "typname" => |t| Cell::text(t.name),
        "typnamespace" => |_| oid(PG_CATALOG),
        "typowner" => |_| oid(GATEWAY_ROLE),
        "typlen" => |t| Cell::Int(t.len),
        "typbyval" => |t| Cell::Bool(t.by_value),
        "typtype" => |t| Cell::text(t.kind),
        "typcategory" => |t| Cell::text(t.category),
        "typispreferred" => |t| Cell::Bool(t.preferred),
        "typisdefined" => |_| Cell::Bool(true),
        "typdelim" => |t| Cell::text(t.delimiter),
        "typrelid" | "typbasetype" | "typndims" | "typanalyze" => |_| Cell::Int(0),
        "typelem" => |t| oid(t.element),
        "typarray" => |t| oid(t.array),
        "typinput" => |t| function::<0>(t),
        "typoutput" => |t| function::<1>(t),
        "typreceive" => |t| function::<2>(t),
        "typsend" => |t| function::<3>(t),
        "typmodin" => |t| function::<4>(t),
        "typmodout" => |t| function::<5>(t),
        "typsubscript" => |t| function::<6>(t),
        "typalign" => |t| Cell::text(t.align),
        "typstorage" => |t| Cell::text(t.storage),
        "typnotnull" => |_| Cell::Bool(false),
        "typtypmod" => |_| Cell::Int(-1),
        "typcollation" => |t| oid(t.collation),
        _ => return None,
    })
}

pub(super) fn procs() -> Vec<&'static PgProc> {
    types::procs().iter().collect()
}

pub(super) fn pg_proc(column: &str) -> Option<Get<&'static PgProc>> {
    Some(match column {
        "oid" => |p| oid(p.oid),
        "proname" | "prosrc" => |p| Cell::text(p.name),
        "pronamespace" => |_| oid(PG_CATALOG),
        "proowner" => |_| oid(GATEWAY_ROLE),
        "prolang" => |_| oid(12),
        "procost" => |_| Cell::Float(1.0),
        "prorows" => |p| Cell::Float(if p.returns_set { 1000.0 } else { 0.0 }),
        "prokind" => |p| Cell::text(p.kind),
        "prosecdef" | "proleakproof" => |_| Cell::Bool(false),
        "proisstrict" => |p| Cell::Bool(p.strict),
        "proretset" => |p| Cell::Bool(p.returns_set),
        "provolatile" => |p| Cell::text(p.volatility),
        "proparallel" => |p| Cell::text(p.parallel),
        "pronargs" => |p| Cell::Int(i64::try_from(p.arguments.len()).unwrap_or(0)),
        "prorettype" => |p| oid(p.result),
        "proargtypes" => |p| Cell::List(p.arguments.iter().copied().map(oid).collect()),
        _ => return None,
    })
}

/// oid, name, and one more word.
type Fixed = (u32, &'static str, &'static str);

pub(super) fn access_methods() -> Vec<Fixed> {
    vec![(HEAP, "heap", "t"), (403, "btree", "i")]
}

pub(super) fn pg_am(column: &str) -> Option<Get<Fixed>> {
    Some(match column {
        "oid" => |a| oid(a.0),
        "amname" => |a| Cell::text(a.1),
        "amtype" => |a| Cell::text(a.2),
        _ => return None,
    })
}

pub(super) fn collations() -> Vec<Fixed> {
    vec![(100, "default", "d"), (950, "C", "c"), (951, "POSIX", "c")]
}

pub(super) fn pg_collation(column: &str) -> Option<Get<Fixed>> {
    Some(match column {
        "oid" => |c| oid(c.0),
        "collname" => |c| Cell::text(c.1),
        "collnamespace" => |_| oid(PG_CATALOG),
        "collowner" => |_| oid(GATEWAY_ROLE),
        "collprovider" => |c| Cell::text(c.2),
        "collisdeterministic" => |_| Cell::Bool(true),
        "collencoding" => |_| Cell::Int(-1),
        "collcollate" | "collctype" => |c| if c.0 == 100 { Cell::Null } else { Cell::text(c.1) },
        _ => return None,
    })
}

pub(super) fn languages() -> Vec<Fixed> {
    vec![(12, "internal", ""), (13, "c", ""), (14, "sql", "")]
}

pub(super) fn pg_language(column: &str) -> Option<Get<Fixed>> {
    Some(match column {
        "oid" => |l| oid(l.0),
        "lanname" => |l| Cell::text(l.1),
        "lanowner" => |_| oid(GATEWAY_ROLE),
        "lanispl" => |_| Cell::Bool(false),
        "lanpltrusted" => |l| Cell::Bool(l.0 == 14),
        _ => return None,
    })
}

pub(super) fn tablespaces() -> Vec<Fixed> {
    vec![(PG_DEFAULT, "pg_default", ""), (1664, "pg_global", "")]
}

pub(super) fn pg_tablespace(column: &str) -> Option<Get<Fixed>> {
    Some(match column {
        "oid" => |t| oid(t.0),
        "spcname" => |t| Cell::text(t.1),
        "spcowner" => |_| oid(GATEWAY_ROLE),
        _ => return None,
    })
}

pub(super) fn time_zones() -> Vec<&'static str> {
    chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()).collect()
}

pub(super) fn pg_timezone_names(column: &str) -> Option<Get<&'static str>> {
    Some(match column {
        "name" => |zone| Cell::text(zone),
        _ => return None,
    })
}
