//! What one viewer sees, as PostgreSQL's catalogs name things: relations, schemas and roles with their oids.
//!
//! Everything here is made from [`Viewer::visible`] and the gateway's own tables; what is not in there has no name, no oid and no row.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::SchemaRef;

use super::oids::{FIRST_FREE, Oids};
use super::{Viewer, shape};
use crate::access::Access;
use crate::catalog::{PortRef, ProductVersion, Snapshot};
use crate::identity::Principal;
use crate::query::{Settings, VisibleTable};

/// Oid of the role that owns what nobody in the mesh owns: the catalogs and the database.
pub(super) const GATEWAY_ROLE: u32 = 10;
/// Its name.
pub(super) const GATEWAY_ROLE_NAME: &str = "meshgate";
/// Oid of `pg_catalog`.
pub(super) const PG_CATALOG: u32 = 11;
/// Oid of `public`.
pub(super) const PUBLIC: u32 = 2200;
/// Oid of the database.
pub(super) const DATABASE: u32 = 5;
/// Name of the database.
pub(super) const DATABASE_NAME: &str = "mesh";
/// Oid of the access method `heap`.
pub(super) const HEAP: u32 = 2;
/// Schemas of the gateway, with their tables.
pub(super) const OWN_SCHEMAS: [&str; 3] = ["mesh", "finops", "audit"];

/// A relation that the viewer may know of.
#[derive(Debug, Clone)]
pub(super) struct Relation {
    pub(super) oid: u32,
    pub(super) schema: String,
    pub(super) namespace: u32,
    pub(super) name: String,
    pub(super) kind: char,
    pub(super) owner: u32,
    pub(super) columns: Option<SchemaRef>,
    pub(super) target: Option<PortRef>,
}

impl Relation {
    /// What the product's manifest says that a row is.
    pub(super) fn comment(&self) -> Option<&str> {
        self.target.as_ref()?.product.description.as_deref()
    }

    /// What the contract says of the column.
    pub(super) fn column_comment(&self, column: &str) -> Option<&str> {
        let columns = self.target.as_ref()?.port().columns.as_ref()?;
        columns.iter().find(|found| found.name == column)?.description.as_deref()
    }
}

/// A schema that the viewer may know of.
#[derive(Debug, Clone)]
pub(super) struct Namespace {
    pub(super) oid: u32,
    pub(super) name: String,
    pub(super) owner: u32,
}

/// A role that the viewer may know of: themselves, the domains that own what they see, and the gateway.
#[derive(Debug, Clone)]
pub(super) struct Role {
    pub(super) oid: u32,
    pub(super) name: String,
    pub(super) login: bool,
    pub(super) superuser: bool,
}

/// What one viewer sees. Lists are made when first asked for.
pub(super) struct World {
    pub(super) principal: Arc<Principal>,
    pub(super) snapshot: Arc<Snapshot>,
    visible: Arc<Vec<VisibleTable>>,
    settings: Option<Arc<Settings>>,
    pub(super) access: Option<Access>,
    oids: Arc<Oids>,
    relations: OnceLock<Vec<Relation>>,
    by_oid: OnceLock<HashMap<u32, usize>>,
    by_name: OnceLock<HashMap<(String, String), usize>>,
    namespaces: OnceLock<Vec<Namespace>>,
    roles: OnceLock<Vec<Role>>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "World({:?})", self.principal.name)
    }
}

impl World {
    /// The world of `viewer`.
    pub(super) fn new(viewer: &Viewer) -> Arc<Self> {
        let (principal, snapshot) = (Arc::clone(&viewer.principal), Arc::clone(&viewer.snapshot));
        let (settings, access) = (Some(Arc::clone(&viewer.settings)), Some(viewer.access.clone()));
        Self::build(principal, snapshot, Arc::clone(&viewer.visible), settings, access)
    }

    /// The world of a principal who sees `visible`. Without settings, no setting exists; without access records, no grant.
    pub(super) fn build(
        principal: Arc<Principal>,
        snapshot: Arc<Snapshot>,
        visible: Arc<Vec<VisibleTable>>,
        settings: Option<Arc<Settings>>,
        access: Option<Access>,
    ) -> Arc<Self> {
        let oids = Oids::of(&snapshot);
        Arc::new(Self {
            principal,
            snapshot,
            visible,
            settings,
            access,
            oids,
            relations: OnceLock::new(),
            by_oid: OnceLock::new(),
            by_name: OnceLock::new(),
            namespaces: OnceLock::new(),
            roles: OnceLock::new(),
        })
    }

    /// The session's settings.
    pub(super) fn settings(&self) -> Option<&Arc<Settings>> {
        self.settings.as_ref()
    }

    /// A setting's value.
    pub(super) fn setting(&self, name: &str) -> Option<String> {
        self.settings.as_ref()?.show(name).ok()
    }

    /// A number that no other session has at the same time.
    pub(super) fn session_number(&self) -> i64 {
        let address = self.settings.as_ref().map_or(0, |settings| Arc::as_ptr(settings).addr());
        i64::from(self.oids.get("session", &format!("{address}-{}", std::process::id())))
    }

    /// Whether the viewer is in any of these groups.
    pub(super) fn is_in(&self, groups: &[&str]) -> bool {
        self.principal.groups.iter().any(|group| groups.contains(&group.as_str()))
    }

    /// The ports that the viewer may read.
    pub(super) fn readable(&self) -> impl Iterator<Item = &PortRef> {
        self.visible.iter().filter_map(|table| table.target.as_ref())
    }

    /// The columns of a port, where the viewer may read it.
    pub(super) fn seen_columns(&self, product: &ProductVersion, port: &str) -> Option<&SchemaRef> {
        let same = |target: &PortRef| {
            target.product.id == product.id && target.product.version.major == product.version.major && target.port().name.as_str() == port
        };
        self.visible.iter().find(|table| table.target.as_ref().is_some_and(same))?.columns.as_ref()
    }

    /// All relations, by schema and name.
    pub(super) fn relations(&self) -> &[Relation] {
        self.relations.get_or_init(|| self.make_relations())
    }

    /// The relation of that oid.
    pub(super) fn relation(&self, oid: u32) -> Option<&Relation> {
        let index = self.by_oid.get_or_init(|| self.relations().iter().enumerate().map(|(i, r)| (r.oid, i)).collect());
        self.relations().get(*index.get(&oid)?)
    }

    /// The relation of that name.
    pub(super) fn named(&self, schema: &str, name: &str) -> Option<&Relation> {
        let index = self
            .by_name
            .get_or_init(|| self.relations().iter().enumerate().map(|(i, r)| ((r.schema.clone(), r.name.clone()), i)).collect());
        self.relations().get(*index.get(&(schema.to_owned(), name.to_owned()))?)
    }

    /// The relation that a name without a schema means.
    pub(super) fn found(&self, name: &str) -> Option<&Relation> {
        self.search_path().iter().find_map(|schema| self.named(schema, name))
    }

    /// The schemas in which a name without one is looked for: `pg_catalog` first, as PostgreSQL does.
    pub(super) fn search_path(&self) -> Vec<String> {
        let mut path = vec!["pg_catalog".to_owned()];
        path.extend(self.named_search_path());
        path
    }

    /// The search path as the session has set it, by default the principal's own domain and `public`; schemas that exist only.
    pub(super) fn named_search_path(&self) -> Vec<String> {
        let own = self.principal.domain.as_str();
        let set = self.settings.as_ref().and_then(|settings| settings.show("search_path").ok());
        let wanted: Vec<String> = match set {
            Some(text) => text.split(',').map(|part| part.trim().trim_matches('"').replace("$user", own)).collect(),
            None => vec![own.to_owned(), "public".to_owned()],
        };
        wanted.into_iter().filter(|schema| self.namespaces().iter().any(|namespace| namespace.name == *schema)).collect()
    }

    /// Whether the relation's name without a schema means it.
    pub(super) fn is_on_path(&self, relation: &Relation) -> bool {
        self.found(&relation.name).is_some_and(|found| found.oid == relation.oid)
    }

    /// All schemas.
    pub(super) fn namespaces(&self) -> &[Namespace] {
        self.namespaces.get_or_init(|| self.make_namespaces())
    }

    /// All roles.
    pub(super) fn roles(&self) -> &[Role] {
        self.roles.get_or_init(|| self.make_roles())
    }

    /// The role that the viewer is.
    pub(super) fn own_role(&self) -> u32 {
        self.role_oid(self.principal.name.as_str(), true)
    }

    /// The role that stands for the viewer's domain, of which they are a member.
    pub(super) fn domain_role(&self) -> u32 {
        self.role_oid(self.principal.domain.as_str(), false)
    }

    fn namespace_oid(&self, schema: &str) -> u32 {
        match schema {
            "pg_catalog" => PG_CATALOG,
            "public" => PUBLIC,
            other => self.oids.get("schema", other),
        }
    }

    fn role_oid(&self, name: &str, login: bool) -> u32 {
        self.oids.get(if login { "login" } else { "domain" }, name)
    }

    /// Who owns a schema: its domain, or the gateway.
    fn schema_owner(&self, schema: &str) -> u32 {
        let own = OWN_SCHEMAS.contains(&schema) || ["pg_catalog", "information_schema", "public"].contains(&schema);
        if own { GATEWAY_ROLE } else { self.role_oid(schema, false) }
    }

    fn make_relations(&self) -> Vec<Relation> {
        let mut made: BTreeMap<(String, String), Relation> = BTreeMap::new();
        for (schema, shapes) in [("pg_catalog", shape::pg_catalog()), ("information_schema", shape::information_schema())] {
            for found in shapes.values() {
                let relation = self.relation_of(schema, found.name, Some(Arc::clone(&found.schema)), None);
                made.insert((schema.to_owned(), found.name.to_owned()), Relation { oid: found.oid, kind: found.kind, ..relation });
            }
        }
        for schema in OWN_SCHEMAS {
            for name in super::names(schema) {
                let columns = super::schema_of(schema, name);
                made.insert((schema.to_owned(), (*name).to_owned()), self.relation_of(schema, name, columns, None));
            }
        }
        for table in self.visible.iter().filter(|table| table.target.is_some()) {
            let relation = self.relation_of(&table.schema, &table.name, table.columns.clone(), table.target.clone());
            made.insert((table.schema.clone(), table.name.clone()), relation);
        }
        made.into_values().collect()
    }

    fn relation_of(&self, schema: &str, name: &str, columns: Option<SchemaRef>, target: Option<PortRef>) -> Relation {
        Relation {
            oid: self.oids.get("table", &format!("{schema}.{name}")),
            schema: schema.to_owned(),
            namespace: self.namespace_oid(schema),
            name: name.to_owned(),
            kind: 'r',
            owner: self.schema_owner(schema),
            columns,
            target,
        }
    }

    fn make_namespaces(&self) -> Vec<Namespace> {
        let mut names: BTreeSet<&str> = OWN_SCHEMAS.into_iter().collect();
        names.extend(["pg_catalog", "information_schema", "public", self.principal.domain.as_str()]);
        names.extend(self.visible.iter().map(|table| table.schema.as_str()));
        let namespace = |name: &str| Namespace { oid: self.namespace_oid(name), name: name.to_owned(), owner: self.schema_owner(name) };
        names.into_iter().map(namespace).collect()
    }

    fn make_roles(&self) -> Vec<Role> {
        let mut roles = vec![Role { oid: GATEWAY_ROLE, name: GATEWAY_ROLE_NAME.to_owned(), login: false, superuser: true }];
        let mut domains: BTreeMap<u32, &str> = BTreeMap::from([(self.domain_role(), self.principal.domain.as_str())]);
        for namespace in self.namespaces().iter().filter(|namespace| namespace.owner != GATEWAY_ROLE) {
            domains.insert(namespace.owner, &namespace.name);
        }
        let domain_role = |(oid, name): (u32, &str)| Role { oid, name: name.to_owned(), login: false, superuser: false };
        roles.extend(domains.into_iter().map(domain_role));
        roles.push(Role { oid: self.own_role(), name: self.principal.name.as_str().to_owned(), login: true, superuser: false });
        debug_assert!(roles.iter().all(|role| role.oid == GATEWAY_ROLE || role.oid >= FIRST_FREE));
        roles
    }
}
