//! SQL names of products: what a table name means, and which names would mean two things.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::id::{DomainName, ProductId, ProductName};

use super::{Origin, PortRef, Problem, Product, Severity, Snapshot};

impl Snapshot {
    /// Finds what a SQL name means: `<product>`, `<product>_v<major>`, `<product>__<port>`, `<product>_v<major>__<port>`. A product whose
    /// name itself looks like a pinned one wins. Drafts are found too; who may read them is decided elsewhere.
    pub fn resolve(&self, schema: &str, table: &str) -> Option<PortRef> {
        let domain = DomainName::new(schema).ok()?;
        if let Some(found) = self.version(&domain, table, None) {
            return Some(found);
        }
        // A product's name may itself hold `__`: the longest product name that fits wins.
        let mut cuts: Vec<usize> = table.match_indices("__").map(|(at, _)| at).collect();
        cuts.reverse();
        cuts.into_iter().find_map(|at| {
            let (product, port) = table.split_at_checked(at)?;
            self.version(&domain, product, port.get(2..))
        })
    }

    /// `<product>` or `<product>_v<major>`, at the port of that name or at the first.
    fn version(&self, domain: &DomainName, name: &str, port: Option<&str>) -> Option<PortRef> {
        if let Some(product) = self.named(domain, name) {
            return PortRef::at(product.newest(), port);
        }
        let (name, major) = pinned(name)?;
        PortRef::at(self.named(domain, name)?.versions.get(&major)?, port)
    }

    fn named(&self, domain: &DomainName, name: &str) -> Option<&Product> {
        let product = ProductName::new(name).ok()?;
        self.products.get(&ProductId { domain: domain.clone(), product })
    }
}

impl PortRef {
    fn at(version: &Arc<super::ProductVersion>, port: Option<&str>) -> Option<Self> {
        let index = match port {
            Some(name) => version.ports.iter().position(|port| port.name.as_str() == name)?,
            None => 0,
        };
        (index < version.ports.len()).then(|| Self { product: Arc::clone(version), port: index })
    }
}

/// `claims_v2` is `claims` at 2; `claims_v02` is no pinned name.
fn pinned(name: &str) -> Option<(&str, u64)> {
    let (name, digits) = name.rsplit_once("_v")?;
    let canonical = digits == "0" || !digits.starts_with('0');
    let major = (canonical && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())??;
    Some((name, major))
}

/// Warns of every name that could mean two things.
pub(super) fn check(products: &BTreeMap<ProductId, Product>, problems: &mut Vec<Problem>) {
    for (id, product) in products {
        for (major, version) in &product.versions {
            let pinned = format!("{}_v{major}", id.product);
            let ports = version
                .ports
                .iter()
                .skip(1)
                .flat_map(|port| [format!("{}__{}", id.product, port.name), format!("{pinned}__{}", port.name)]);
            for name in std::iter::once(pinned.clone()).chain(ports) {
                let Ok(other) = ProductName::new(&name) else { continue };
                let other = ProductId { domain: id.domain.clone(), product: other };
                let Some(taken) = products.get(&other) else { continue };
                let origin = taken.versions.values().next().map_or_else(|| version.source.clone(), |v| v.source.clone());
                let message =
                    format!("`{other}` is also a name of `{id}` (version {major}), which cannot be reached by it: rename one of the two");
                problems.push(Problem {
                    origin: Origin { line: 0, column: 0, ..origin },
                    severity: Severity::Warning,
                    product: Some(other),
                    message,
                });
            }
        }
    }
}
