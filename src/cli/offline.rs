//! Decisions without a gateway: for commands that ask what a reader would see, and touch neither doors nor journal.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use datafusion::execution::runtime_env::RuntimeEnv;

use super::Failure;
use crate::access;
use crate::catalog::{Catalog, PortRef, Severity, Snapshot};
use crate::config::Config;
use crate::error::{ErrorKind, Fault, Result};
use crate::identity::Principal;
use crate::identity::users::{UserEntry, UsersError, UsersFile};
use crate::policy::{self, Circumstances, Decision, Request};
use crate::ports::{Clients, Ports};

/// A catalog to ask, as a gateway of this configuration would serve it.
#[derive(Debug)]
pub(super) struct Offline {
    pub(super) snapshot: Snapshot,
    ports: Ports,
    region: Option<String>,
    /// Where grants are kept.
    state: PathBuf,
}

impl Offline {
    /// Reads the catalog in `folder`. What is wrong in it is told, and what is right is asked.
    pub(super) fn open(config: &Config, folder: &Path) -> std::result::Result<Self, Failure> {
        let snapshot = Catalog::inspect_with(folder, Some(config.credential_check())).map_err(|problems| {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            Failure::Failed(format!("the catalog {} cannot be used: {first}", folder.display()))
        })?;
        let wrong = snapshot.problems.iter().filter(|problem| problem.severity == Severity::Error).count();
        if wrong > 0 {
            tracing::warn!("{}: {wrong} errors; what they make unreadable is missing here: see `meshgate check`", folder.display());
        }
        Ok(Self {
            snapshot,
            ports: Ports::new(&Arc::new(RuntimeEnv::default()), Clients::new(&config.credentials)),
            region: config.server.region.clone(),
            state: config.state.clone(),
        })
    }

    /// Whether and how they would read the port, with the grants that they had at a moment.
    pub(super) async fn decide(
        &self,
        principal: &Principal,
        circumstances: &Circumstances,
        target: &PortRef,
        at: DateTime<Utc>,
    ) -> Result<Decided> {
        let grants = &access::granted_at(&self.state, principal, &target.product.id, at)?;
        let domain = self.snapshot.domains.get(&target.product.id.domain);
        let domain = domain.ok_or_else(|| Fault::new(ErrorKind::Internal, "a product without a domain"))?;
        let Snapshot { mesh, rego, revision, .. } = &self.snapshot;
        let request = Request { principal, target, mesh, domain, rego, revision, region: self.region.as_deref(), circumstances, grants };
        // As in a gateway, a port is looked at for those alone who are entitled to it.
        if let Err(denial) = policy::entitle(&request) {
            return Ok(Decided { decision: Decision::Denied(denial), columns: None });
        }
        let columns = self.ports.describe(&self.snapshot, target).await?;
        Ok(Decided { decision: policy::decide(&request, &columns), columns: Some(columns) })
    }
}

/// A decision, and the columns that it is about where they were looked at.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) decision: Decision,
    pub(super) columns: Option<SchemaRef>,
}

/// A user of the users file.
pub(super) fn user(file: &Path, name: &str) -> std::result::Result<Option<Principal>, Failure> {
    let users = match UsersFile::load(file) {
        Ok(users) => users,
        Err(UsersError::Missing(_)) => return Ok(None),
        Err(error) => return Err(Failure::failed(error)),
    };
    Ok(users.users().iter().find(|user| user.name.as_str() == name).map(principal))
}

pub(super) fn principal(user: &UserEntry) -> Principal {
    Principal {
        name: user.name.clone(),
        domain: user.domain.clone(),
        groups: user.groups.iter().cloned().collect::<BTreeSet<_>>(),
        attributes: user.attributes.clone(),
        token: None,
    }
}
