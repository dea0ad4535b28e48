//! The database, roles, the session's settings and its activity. Nobody sees another principal or another session here.

use std::sync::Arc;

use super::oid;
use crate::system::grid::{Cell, Get};
use crate::system::world::{DATABASE, DATABASE_NAME, GATEWAY_ROLE, Role, World};

/// The number of UTF8 among PostgreSQL's encodings.
const UTF8: i64 = 6;
/// Oid of the tablespace `pg_default`.
pub(super) const PG_DEFAULT: u32 = 1663;

pub(super) fn pg_database(column: &str) -> Option<Get<()>> {
    Some(match column {
        "oid" => |()| oid(DATABASE),
        "datname" => |()| Cell::text(DATABASE_NAME),
        "datdba" => |()| oid(GATEWAY_ROLE),
        "encoding" => |()| Cell::Int(UTF8),
        "datlocprovider" => |()| Cell::text("c"),
        "datistemplate" => |()| Cell::Bool(false),
        "datallowconn" => |()| Cell::Bool(true),
        "datconnlimit" => |()| Cell::Int(-1),
        "dattablespace" => |()| oid(PG_DEFAULT),
        "datcollate" | "datctype" => |()| Cell::text("C"),
        _ => return None,
    })
}

pub(super) fn pg_roles(column: &str) -> Option<Get<Role>> {
    Some(match column {
        "oid" => |r| oid(r.oid),
        "rolname" => |r| Cell::text(&r.name),
        "rolsuper" | "rolbypassrls" => |r| Cell::Bool(r.superuser),
        "rolinherit" => |_| Cell::Bool(true),
        "rolcreaterole" | "rolcreatedb" | "rolreplication" => |_| Cell::Bool(false),
        "rolcanlogin" => |r| Cell::Bool(r.login),
        "rolconnlimit" => |_| Cell::Int(-1),
        "rolpassword" => |_| Cell::text("********"),
        _ => return None,
    })
}

pub(super) fn users(world: &World) -> Vec<Role> {
    world.roles().iter().filter(|role| role.login).cloned().collect()
}

pub(super) fn pg_user(column: &str) -> Option<Get<Role>> {
    Some(match column {
        "usename" => |r| Cell::text(&r.name),
        "usesysid" => |r| oid(r.oid),
        "usecreatedb" | "userepl" => |_| Cell::Bool(false),
        "usesuper" | "usebypassrls" => |r| Cell::Bool(r.superuser),
        "passwd" => |_| Cell::text("********"),
        _ => return None,
    })
}

/// A role together with the member of it that the viewer knows: themselves.
#[derive(Debug)]
pub(super) struct Group {
    role: Role,
    member: Option<u32>,
}

pub(super) fn groups(world: &World) -> Vec<Group> {
    let member_of = |role: &Role| (role.oid == world.domain_role()).then(|| world.own_role());
    let group = |role: &Role| Group { role: role.clone(), member: member_of(role) };
    world.roles().iter().filter(|role| !role.login).map(group).collect()
}

pub(super) fn pg_group(column: &str) -> Option<Get<Group>> {
    Some(match column {
        "groname" => |g| Cell::text(&g.role.name),
        "grosysid" => |g| oid(g.role.oid),
        "grolist" => |g| Cell::List(g.member.map(oid).into_iter().collect()),
        _ => return None,
    })
}

/// A member of a role, and the role.
#[derive(Debug)]
pub(super) struct Member {
    role: u32,
    member: u32,
}

pub(super) fn members(world: &World) -> Vec<Member> {
    vec![Member { role: world.domain_role(), member: world.own_role() }]
}

pub(super) fn pg_auth_members(column: &str) -> Option<Get<Member>> {
    Some(match column {
        "oid" | "roleid" => |m| oid(m.role),
        "member" => |m| oid(m.member),
        "grantor" => |_| oid(GATEWAY_ROLE),
        "admin_option" | "set_option" => |_| Cell::Bool(false),
        "inherit_option" => |_| Cell::Bool(true),
        _ => return None,
    })
}

pub(super) fn pg_stat_activity(column: &str) -> Option<Get<Arc<World>>> {
    Some(match column {
        "datid" => |_| oid(DATABASE),
        "datname" => |_| Cell::text(DATABASE_NAME),
        "pid" => |w| Cell::Int(w.session_number()),
        "usesysid" => |w| oid(w.own_role()),
        "usename" => |w| Cell::text(w.principal.name.as_str()),
        "application_name" => |w| w.setting("application_name").map_or(Cell::text(""), Cell::owned),
        "state" => |_| Cell::text("active"),
        "backend_type" => |_| Cell::text("client backend"),
        _ => return None,
    })
}

/// A setting: name, value, description.
pub(super) type Setting = (String, String, String);

pub(super) fn settings(world: &World) -> Vec<Setting> {
    world.settings().map(|settings| settings.show_all()).unwrap_or_default()
}

pub(super) fn pg_settings(column: &str) -> Option<Get<Setting>> {
    Some(match column {
        "name" => |s| Cell::text(&s.0),
        "setting" | "boot_val" | "reset_val" => |s| Cell::text(&s.1),
        "short_desc" => |s| Cell::text(&s.2),
        "category" => |s| Cell::text(if s.0.starts_with("meshgate.") { "Data mesh" } else { "Client Connection Defaults" }),
        "context" => |_| Cell::text("user"),
        "vartype" => |_| Cell::text("string"),
        "source" => |_| Cell::text("default"),
        "pending_restart" => |_| Cell::Bool(false),
        _ => return None,
    })
}
