//! Who is asking: principals, how they prove who they are, and the users file.
//!
//! The users file holds SCRAM verifiers and never passwords; an identity provider's keys are public. Both are watched: a change bites
//! within a second, and a file that does not validate leaves what was valid in place. What a principal may see is not decided here.

mod credential;
mod edit;
pub mod jwt;
mod keys;
mod scram;
#[cfg(test)]
mod tests;
mod token;
pub mod users;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, watch as channel};

use crate::clock::Clock;
use crate::config::JwtIssuer;
use crate::error::{ErrorKind, Fault, Result};
use crate::id::{DomainName, GroupName, PrincipalName};

pub use credential::Credential;
use jwt::{JwksError, Refusal, TOKEN_USER, TokenSession, Trust};
pub use keys::{KeyError, load_or_make_key};
pub use scram::{MIN_ITERATIONS, VerifierError};
use token::Fingerprint;
use users::{UserEntry, UsersError, UsersFile};

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
    /// The token that says all this, where it is not the users file.
    pub token: Option<TokenSession>,
}

impl Principal {
    /// Whether they are in any of `groups`.
    pub fn in_any(&self, groups: &[GroupName]) -> bool {
        groups.iter().any(|group| self.groups.contains(group))
    }
}

/// Everybody the gateway knows, live: a change of the users file bites at once. Cheap to clone.
#[derive(Clone)]
pub struct Identity(Arc<Shared>);

struct Shared {
    file: PathBuf,
    users: ArcSwap<Users>,
    epoch: AtomicU64,
    changed: channel::Sender<u64>,
    /// Whose tokens are believed; nobody's where it is not set.
    trust: OnceLock<Trust>,
    keys: token::Keys,
    bearer_lifetime: Duration,
    clock: Clock,
    /// Password hashing costs CPU on purpose; so many at once are enough to use this machine and not enough to flood it.
    hashing: Semaphore,
}

/// The users of one valid file.
#[derive(PartialEq, Eq)]
struct Users {
    by_name: BTreeMap<PrincipalName, User>,
    /// What the verifier of a user who does not exist must look like to blend in.
    mock: scram::Shape,
}

#[derive(PartialEq, Eq)]
struct User {
    principal: Arc<Principal>,
    verifier: ScramVerifier,
    fingerprint: Fingerprint,
}

/// Why the gateway does not know who is who, at start.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The users file.
    #[error(transparent)]
    Users(#[from] UsersError),
    /// The keys in the state folder.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The keys of an issuer of tokens.
    #[error("jwt: {0}")]
    Jwks(#[from] JwksError),
    /// A user whose name has another meaning.
    #[error("user `{TOKEN_USER}`: with this name a token is given as the password; rename the user, or remove `jwt` from [identity]")]
    Reserved,
}

impl Identity {
    /// Reads the users file, and the gateway's keys from `state`, where they are made if there are none.
    pub fn open(users: &Path, state: &Path, bearer_lifetime: Duration, clock: Clock) -> Result<Self, IdentityError> {
        let file = UsersFile::load(users)?;
        let root = load_or_make_key(state, "gateway.key")?;
        Ok(Self::assemble(users, &file, &root, bearer_lifetime, clock))
    }

    fn assemble(path: &Path, file: &UsersFile, root: &[u8; 32], bearer_lifetime: Duration, clock: Clock) -> Self {
        let parallel = std::thread::available_parallelism().map_or(2, usize::from);
        Self(Arc::new(Shared {
            file: path.to_owned(),
            users: ArcSwap::from_pointee(Users::from_file(file)),
            epoch: AtomicU64::new(1),
            changed: channel::Sender::new(1),
            trust: OnceLock::new(),
            keys: token::Keys::derive(root),
            bearer_lifetime,
            clock,
            hashing: Semaphore::new(parallel),
        }))
    }

    /// Users from a text, with fixed keys and nothing on disk.
    #[cfg(test)]
    pub fn for_test(yaml: &str) -> Self {
        let file = UsersFile::parse(yaml).expect("a valid users file");
        Self::assemble(Path::new("identity.yaml"), &file, &[7; 32], Duration::from_secs(3600), Clock::system())
    }

    /// Accepts the tokens of `issuers`, for domains that `knows` knows. Once, at start, before [`Identity::watch`]. Blocks.
    pub fn trust(&self, issuers: &[JwtIssuer], knows: impl Fn(&DomainName) -> bool + Send + Sync + 'static) -> Result<(), IdentityError> {
        if issuers.is_empty() {
            return Ok(());
        }
        if self.lookup(&PrincipalName::new(TOKEN_USER)).is_some() {
            return Err(IdentityError::Reserved);
        }
        let trust = Trust::open(issuers, Box::new(knows))?;
        // Whoever comes second changes nothing.
        let _ = self.0.trust.set(trust);
        Ok(())
    }

    /// Watches the users file and the keys of issuers, in files and at addresses, until the token is cancelled; a change bites within a second.
    pub async fn watch(&self, stop: tokio_util::sync::CancellationToken) {
        watch::run(self, stop).await;
    }

    /// Puts the users of `file` in place of all others.
    fn replace(&self, file: &UsersFile) {
        self.0.users.store(Arc::new(Users::from_file(file)));
        self.announce();
    }

    /// Tells of a change.
    fn announce(&self) {
        let epoch = self.0.epoch.fetch_add(1, Ordering::AcqRel) + 1;
        self.0.changed.send_replace(epoch);
    }

    /// Whether the users are those of `file`.
    fn holds(&self, file: &UsersFile) -> bool {
        *self.0.users.load_full() == Users::from_file(file)
    }

    /// Who an authenticated principal is now. Asked again before every statement and while one runs. A user of the users file is who that
    /// file says; the principal of a token is who the token said, as long as it holds.
    pub fn current(&self, principal: &Arc<Principal>) -> Result<Arc<Principal>> {
        let Some(token) = &principal.token else {
            let gone = || Fault::new(ErrorKind::Denied, format!("user \"{}\" may no longer use the gateway", principal.name));
            return self.lookup(&principal.name).ok_or_else(gone);
        };
        let held = match self.0.trust.get() {
            Some(_) if self.lookup(&principal.name).is_some() => Err(Refusal::LocalUser),
            Some(trust) => trust.still_holds(token, &principal.domain, self.0.clock.now()),
            None => Err(Refusal::Issuer),
        };
        let ended = |refusal| {
            let why = if refusal == Refusal::Expired { "has expired" } else { "is no longer accepted" };
            Fault::new(ErrorKind::SessionEnded, format!("the token of this session {why}")).with_hint("Log in again with a new token.")
        };
        held.map(|()| Arc::clone(principal)).map_err(ended)
    }

    /// Ends when the principal's token no longer holds, with the fault that says so; never for a user of the users file. Cancel-safe.
    pub async fn ended(&self, principal: &Arc<Principal>) -> Fault {
        if principal.token.is_none() {
            return std::future::pending().await;
        }
        loop {
            if let Err(fault) = self.current(principal) {
                return fault;
            }
            // The clock of tokens is the wall clock, which may jump.
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// The user of the users file with this name.
    pub fn lookup(&self, name: &PrincipalName) -> Option<Arc<Principal>> {
        self.0.users.load().by_name.get(name).map(|user| Arc::clone(&user.principal))
    }

    /// Grows with every change of what [`Identity::lookup`] would answer.
    pub fn epoch(&self) -> u64 {
        self.0.epoch.load(Ordering::Acquire)
    }

    /// Tells of every change of the epoch, so that a running query can ask again who its reader is.
    pub fn subscribe(&self) -> channel::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.0.users.load().by_name.len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether somebody who says that this is their name brings a token as the password.
    pub fn takes_token_from(&self, name: &str) -> bool {
        name == TOKEN_USER && self.0.trust.get().is_some()
    }

    /// Who a token of an identity provider speaks for. Why not is for the log alone.
    pub async fn verify_token(&self, token: &str) -> Option<Arc<Principal>> {
        let trust = self.0.trust.get()?;
        trust.await_key(token, self.0.clock.now()).await;
        let verified = trust
            .verify(token, self.0.clock.now())
            .and_then(|principal| if self.lookup(&principal.name).is_some() { Err(Refusal::LocalUser) } else { Ok(Arc::new(principal)) });
        verified.inspect_err(|reason| tracing::info!(%reason, "token refused")).ok()
    }

    /// Checks a password. Takes as long, and says the same, for an unknown user as for a wrong password.
    pub async fn verify_password(&self, name: &str, password: &str) -> Result<Arc<Principal>> {
        if self.takes_token_from(name) {
            return self.verify_token(password).await.ok_or_else(|| Self::refused(name));
        }
        let verifier = self.scram_verifier(name);
        let permit = self.0.hashing.acquire().await.map_err(Fault::internal)?;
        let password = secrecy::SecretString::from(password);
        let (matches, known) =
            tokio::task::spawn_blocking(move || (verifier.matches(&password), verifier.known)).await.map_err(Fault::internal)?;
        drop(permit);
        let principal = self.lookup(&PrincipalName::new(name));
        match principal {
            Some(principal) if matches & known => Ok(principal),
            _ => Err(Self::refused(name)),
        }
    }

    /// The SCRAM-SHA-256 verifier of a user; for an unknown one, a made-up verifier that is the same each time, and that no password
    /// passes.
    pub fn scram_verifier(&self, name: &str) -> ScramVerifier {
        let users = self.0.users.load();
        // Made for known names too, so that looking one up takes the same time.
        let mock = self.0.keys.mock_verifier(name, users.mock);
        match users.by_name.get(&PrincipalName::new(name)) {
            Some(user) => user.verifier.clone(),
            None => mock,
        }
    }

    /// What a failed login is told, whatever the reason.
    pub fn refused(name: &str) -> Fault {
        // PostgreSQL cuts names at 63 bytes; a control character must not reach a log or a message.
        let shown: String = name.chars().filter(|c| !c.is_control()).take(crate::id::MAX_NAME).collect();
        Fault::new(ErrorKind::Login, format!("password authentication failed for user \"{shown}\""))
    }

    /// A token for later calls over Flight and HTTP: signed, bound to the principal, valid for a while. It ends with the user's
    /// password: a changed one or a removed user makes it void.
    pub fn mint_bearer(&self, principal: &Principal) -> String {
        let users = self.0.users.load();
        // Of a user who is gone by now, or who is none, a token that nobody's verifier answers to.
        let user = users.by_name.get(&principal.name).filter(|_| principal.token.is_none());
        let fingerprint = user.map_or([0; 16], |user| user.fingerprint);
        self.0.keys.mint(&principal.name, &fingerprint, self.0.clock.now(), self.0.bearer_lifetime)
    }

    /// Who bears this token: one of ours, or one of an identity provider.
    pub async fn verify_bearer(&self, token: &str) -> Result<Arc<Principal>> {
        let refused = || Fault::new(ErrorKind::Login, "invalid or expired bearer token").with_hint("Log in again to get a new one.");
        if !token::is_ours(token) {
            return self.verify_token(token).await.ok_or_else(refused);
        }
        let claims = self.0.keys.verify(token, self.0.clock.now()).ok_or_else(refused)?;
        let users = self.0.users.load();
        let user = users.by_name.get(&claims.name).filter(|user| claims.is_of(&user.fingerprint)).ok_or_else(refused)?;
        Ok(Arc::clone(&user.principal))
    }

    /// Signs bytes under a key of this gateway and a purpose, for tickets and handles.
    pub fn seal(&self, purpose: &str, payload: &[u8]) -> Vec<u8> {
        self.0.keys.seal(purpose, payload)
    }

    /// Checks what [`Identity::seal`] made and gives back the payload.
    pub fn unseal(&self, purpose: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        self.0.keys.unseal(purpose, sealed)
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("users", &self.len()).field("epoch", &self.epoch()).finish()
    }
}

impl Users {
    fn from_file(file: &UsersFile) -> Self {
        let mock = scram::Shape::most_common(file.users().iter().map(|user| &user.verifier));
        let by_name = file.users().iter().map(|entry| (entry.name.clone(), User::from_entry(entry))).collect();
        Self { by_name, mock }
    }
}

impl User {
    fn from_entry(entry: &UserEntry) -> Self {
        let principal = Principal {
            name: entry.name.clone(),
            domain: entry.domain.clone(),
            groups: entry.groups.iter().cloned().collect(),
            attributes: entry.attributes.clone(),
            token: None,
        };
        Self { principal: Arc::new(principal), fingerprint: token::fingerprint(&entry.verifier), verifier: entry.verifier.clone() }
    }
}

/// A SCRAM-SHA-256 verifier (RFC 5803), as PostgreSQL stores it.
#[derive(Clone, PartialEq, Eq)]
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
