//! Who is asking: principals, how they prove who they are, and the users file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::Result;
use crate::id::{DomainName, GroupName, PrincipalName};

/// Someone who was authenticated, with all that policy may ask about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Who.
    pub name: PrincipalName,
    /// The consumer domain: it pays.
    pub domain: DomainName,
    /// Their groups.
    pub groups: BTreeSet<GroupName>,
    /// Their attributes, `region: eu`.
    pub attributes: BTreeMap<String, String>,
}

impl Principal {
    /// Whether they are in any of `groups`.
    pub fn in_any(&self, groups: &[GroupName]) -> bool {
        groups.iter().any(|group| self.groups.contains(group))
    }
}

/// Everybody the gateway knows, live: a change of the users file bites at once. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Identity(());

impl Identity {
    /// Who this is now, or nobody where they are gone. Asked again before every statement and while one runs.
    pub fn lookup(&self, name: &PrincipalName) -> Option<Arc<Principal>> {
        todo!("{name}")
    }

    /// Grows with every change of what [`Identity::lookup`] would answer.
    pub fn epoch(&self) -> u64 {
        todo!()
    }

    /// Checks a password. Takes as long, and says the same, for an unknown user as for a wrong password.
    pub async fn verify_password(&self, name: &str, password: &str) -> Result<Arc<Principal>> {
        todo!("{name}{password}")
    }

    /// The SCRAM-SHA-256 verifier of a user; for an unknown one, a made-up verifier that is the same each time, and that no password
    /// passes.
    pub fn scram_verifier(&self, name: &str) -> ScramVerifier {
        todo!("{name}")
    }

    /// A token for later calls over Flight and HTTP: signed, bound to the principal, valid for a while.
    pub fn mint_bearer(&self, principal: &Principal) -> String {
        todo!("{principal:?}")
    }

    /// Who bears this token.
    pub fn verify_bearer(&self, token: &str) -> Result<Arc<Principal>> {
        todo!("{token}")
    }

    /// Signs bytes under a key of this gateway and a purpose, for tickets and handles.
    pub fn seal(&self, purpose: &str, payload: &[u8]) -> Vec<u8> {
        todo!("{purpose}{payload:?}")
    }

    /// Checks what [`Identity::seal`] made and gives back the payload.
    pub fn unseal(&self, purpose: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        todo!("{purpose}{sealed:?}")
    }
}

/// A SCRAM-SHA-256 verifier (RFC 5803), as PostgreSQL stores it.
#[derive(Clone)]
pub struct ScramVerifier {
    /// PBKDF2 rounds.
    pub iterations: u32,
    /// The salt.
    pub salt: Vec<u8>,
    /// `StoredKey`.
    pub stored_key: [u8; 32],
    /// `ServerKey`.
    pub server_key: [u8; 32],
    /// Whether a user of that name exists; a login must fail where not, whatever the proof.
    pub known: bool,
}
