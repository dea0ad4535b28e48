//! Who asked for access to which product, and who was granted it: time-boxed, with a reason, decided by the product's stewards.
//!
//! Everything is kept in a file of its own in the state folder (`store`), and an act is on disk before anybody is told of it. The grants that
//! hold now are in memory too, in an immutable picture (`live`) from which a statement takes those of its principal by one look-up. What a
//! grant opens is not decided here: that is `policy`'s, which is given live grants only.

mod live;
mod store;
#[cfg(test)]
mod tests;
mod types;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use tokio::sync::watch as channel;
use tokio_util::sync::CancellationToken;

use crate::catalog::{ProductVersion, Snapshot};
use crate::clock::Clock;
use crate::error::{ErrorKind, Fault, Result};
use crate::id::ProductId;
use crate::identity::Principal;

pub use self::live::Held;
use self::live::Live;
pub(crate) use self::store::FILE;
use self::store::{Scope, Store};
pub use self::types::{AccessRequest, Grant, GrantId, RequestId, Status, Term};

/// Its members see every request and grant, and may revoke.
pub const ADMINISTRATORS: &str = "platform-admin";

/// Characters of a reason.
const MAX_REASON: usize = 1000;
/// Characters of a purpose.
const MAX_PURPOSE: usize = 128;
/// How often it is looked whether a grant has run out. Statements look for themselves; this is for queries that run.
const TICK: Duration = Duration::from_secs(1);

/// Bounds on what principals can ask for.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Requests of one principal that may wait for a decision.
    pub pending: usize,
    /// The longest time for which access is granted.
    pub grant: Duration,
}

/// Requests and grants of this gateway. Cheap to clone.
#[derive(Clone)]
pub struct Access(Arc<Shared>);

struct Shared {
    path: PathBuf,
    clock: Clock,
    bounds: Bounds,
    store: Mutex<Store>,
    live: ArcSwap<Live>,
    /// Held while a new picture is made from the last one; never during IO, because statements may wait for it.
    turn: Mutex<()>,
    changed: channel::Sender<u64>,
}

/// What somebody asks for.
#[derive(Debug)]
pub struct Wish<'a> {
    /// Any version of the product. Whoever asks must have been found to know of it.
    pub product: &'a ProductVersion,
    /// What for: the grant then holds only where a session declares it.
    pub purpose: Option<String>,
    /// Why.
    pub reason: String,
    /// Until when.
    pub term: Term,
}

/// The grants that a principal had for a product at a moment, without a gateway.
pub fn granted_at(folder: &Path, principal: &Principal, product: &ProductId, at: DateTime<Utc>) -> Result<Vec<Arc<Grant>>> {
    let grants = store::granted_at(folder, (&principal.name, &principal.domain), at)?;
    Ok(grants.into_iter().filter(|grant| grant.product == *product).map(Arc::new).collect())
}

impl Access {
    /// Opens or makes the file in `folder`. Blocks.
    pub fn open(folder: &Path, bounds: Bounds, clock: Clock) -> Result<Self> {
        let store = Store::open(folder)?;
        let live = Live::new(store.unexpired(clock.now())?);
        let changed = channel::Sender::new(live.epoch());
        let (path, live) = (folder.join(FILE), ArcSwap::from_pointee(live));
        Ok(Self(Arc::new(Shared { path, clock, bounds, store: Mutex::new(store), live, turn: Mutex::new(()), changed })))
    }

    /// The live grants of a principal, as of now: one look-up, however many there are of others. A grant was given to somebody of a domain;
    /// who moves to another one leaves it behind.
    pub fn held_by(&self, principal: &Principal) -> Arc<Held> {
        let now = self.0.clock.now();
        if self.0.live.load().has_expired(now) {
            self.publish(|live| live.at(now));
        }
        self.0.live.load().held_by(principal)
    }

    /// Grows with every change of live grants.
    pub fn epoch(&self) -> u64 {
        self.0.live.load().epoch()
    }

    /// Tells of every change of live grants.
    pub fn subscribe(&self) -> channel::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// Lets grants run out on time also where no statement looks, until the token is cancelled.
    pub async fn watch(&self, stop: CancellationToken) {
        // The wall clock may jump, so it is asked again and again rather than slept towards.
        while stop.run_until_cancelled(tokio::time::sleep(TICK)).await.is_some() {
            let now = self.0.clock.now();
            if self.0.live.load().has_expired(now) {
                self.publish(|live| live.at(now));
            }
        }
    }

    fn publish(&self, change: impl FnOnce(&Live) -> Live) {
        let _turn = self.0.turn.lock();
        let live = change(&self.0.live.load());
        let epoch = live.epoch();
        self.0.live.store(Arc::new(live));
        self.0.changed.send_replace(epoch);
    }

    /// Writes a request down. Blocks, as everything below does.
    pub fn ask(&self, principal: &Principal, wish: Wish<'_>) -> Result<AccessRequest> {
        let now = self.0.clock.now();
        let purpose = wish.purpose.map(|purpose| checked("purpose", &purpose, MAX_PURPOSE)).transpose()?;
        let offered = &wish.product.purposes;
        if let Some(purpose) = purpose.as_ref().filter(|purpose| !offered.is_empty() && !offered.contains(purpose)) {
            return Err(Fault::new(ErrorKind::InvalidParameter, format!("{} is not read for the purpose \"{purpose}\"", wish.product.id))
                .with_hint(format!("Its purposes are: {}.", offered.join(", "))));
        }
        self.check_term(wish.term, now)?;
        let request = AccessRequest {
            id: RequestId::generate(),
            principal: principal.name.clone(),
            domain: principal.domain.clone(),
            product: wish.product.id.clone(),
            purpose,
            reason: checked("reason", &wish.reason, MAX_REASON)?,
            requested_at: now,
            term: wish.term,
            status: Status::Pending,
            decided_by: None,
            decided_at: None,
            decision_reason: None,
        };
        self.0.store.lock().ask(&request, self.0.bounds.pending)?;
        Ok(request)
    }

    fn check_term(&self, term: Term, now: DateTime<Utc>) -> Result<()> {
        let longest = TimeDelta::from_std(self.0.bounds.grant).unwrap_or(TimeDelta::MAX);
        let given = match term {
            Term::Until(until) => until - now,
            Term::For(time) => TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX),
        };
        if given <= TimeDelta::zero() {
            return Err(Fault::new(ErrorKind::InvalidParameter, "\"expires\" lies in the past"));
        }
        if given > longest {
            return Err(Fault::new(ErrorKind::InvalidParameter, "\"expires\" is too far away").with_hint(format!(
                "Access is granted for at most {} here; ask again when it ends.",
                types::duration_text(self.0.bounds.grant)
            )));
        }
        Ok(())
    }

    /// The requests that concern `reader`, newest first, at most a page of them: their own, those for products whose stewards they are among,
    /// or all.
    pub fn requests(&self, reader: &Principal, snapshot: &Snapshot, status: Option<Status>) -> Result<Vec<AccessRequest>> {
        self.0.store.lock().requests(&scope_of(reader, snapshot), status)
    }

    /// Grants what was asked for. Of two stewards who decide at once, one is told that the other was first.
    pub fn approve(&self, id: RequestId, by: &Principal, snapshot: &Snapshot, reason: &str) -> Result<Grant> {
        let reason = checked("reason", reason, MAX_REASON)?;
        let mut store = self.0.store.lock();
        let request = decidable(&store, id, by, snapshot)?;
        let now = self.0.clock.now();
        if !snapshot.products.contains_key(&request.product) {
            return Err(Fault::new(ErrorKind::NotInState, format!("{} is not in the catalog any more", request.product)));
        }
        let expires_at = request.term.end(now);
        if expires_at <= now {
            return Err(Fault::new(ErrorKind::NotInState, format!("the access asked for in {id} has ended already"))
                .with_hint("Reject the request; whoever needs access still asks again."));
        }
        let grant = Grant {
            id: GrantId::generate(),
            request_id: id,
            principal: request.principal,
            domain: request.domain,
            product: request.product,
            purpose: request.purpose,
            reason: request.reason,
            granted_by: by.name.clone(),
            granted_at: now,
            expires_at,
        };
        store.approve(&grant, &reason)?;
        // In memory once it is on disk, and in the order of the disk: the store is still locked.
        self.publish(|live| live.with(grant.clone()));
        Ok(grant)
    }

    /// Refuses what was asked for.
    pub fn reject(&self, id: RequestId, by: &Principal, snapshot: &Snapshot, reason: &str) -> Result<AccessRequest> {
        let reason = checked("reason", reason, MAX_REASON)?;
        let mut store = self.0.store.lock();
        let request = decidable(&store, id, by, snapshot)?;
        store.close(&request, Status::Rejected, &by.name, self.0.clock.now(), Some(&reason))
    }

    /// Takes one's own request back.
    pub fn withdraw(&self, id: RequestId, by: &Principal, snapshot: &Snapshot) -> Result<AccessRequest> {
        let mut store = self.0.store.lock();
        let request = seen(&store, id, by, snapshot)?;
        if request.principal != by.name {
            return Err(Fault::new(ErrorKind::Denied, "only who asked can take a request back").with_hint("Reject it instead."));
        }
        pending(&request)?;
        store.close(&request, Status::Withdrawn, &by.name, self.0.clock.now(), None)
    }

    /// Ends a grant now: by a steward of the product, an administrator, or the grantee who gives it back. It bites on the next statement.
    pub fn revoke(&self, id: GrantId, by: &Principal, snapshot: &Snapshot, reason: Option<&str>) -> Result<()> {
        let reason = reason.map(|reason| checked("reason", reason, MAX_REASON)).transpose()?;
        let mut store = self.0.store.lock();
        let grant = store.grant(id)?.filter(|grant| grant.principal == by.name || is_steward(by, snapshot, grant) || is_administrator(by));
        let grant = grant.ok_or_else(|| missing(format!("there is no grant {id}")))?;
        store.revoke(&grant, &by.name, self.0.clock.now(), reason.as_deref())?;
        self.publish(|live| live.without(id));
        Ok(())
    }

    /// Its file, for the tables that are read from it.
    pub(crate) fn path(&self) -> &Path {
        &self.0.path
    }

    /// The time by which grants run out.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.0.clock.now()
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("epoch", &self.0.live.load().epoch()).finish()
    }
}

/// Whether the principal decides on access to the products of the domain.
pub fn is_steward_of(principal: &Principal, snapshot: &Snapshot, domain: &crate::id::DomainName) -> bool {
    snapshot.domains.get(domain).is_some_and(|domain| principal.in_any(&domain.stewards))
}

/// Whether the principal looks after the platform.
pub fn is_administrator(principal: &Principal) -> bool {
    principal.groups.iter().any(|group| group.as_str() == ADMINISTRATORS)
}

fn is_steward(principal: &Principal, snapshot: &Snapshot, grant: &Grant) -> bool {
    is_steward_of(principal, snapshot, &grant.product.domain)
}

fn scope_of(reader: &Principal, snapshot: &Snapshot) -> Scope {
    if is_administrator(reader) {
        return Scope::All;
    }
    let domains = snapshot.domains.values().filter(|domain| reader.in_any(&domain.stewards));
    Scope::Concerning { principal: reader.name.clone(), domains: domains.map(|domain| domain.name.clone()).collect() }
}

/// The request, where `by` may know of it; what one may not know of is missing.
fn seen(store: &Store, id: RequestId, by: &Principal, snapshot: &Snapshot) -> Result<AccessRequest> {
    let concerns = |request: &AccessRequest| {
        request.principal == by.name || is_administrator(by) || is_steward_of(by, snapshot, &request.product.domain)
    };
    store.request(id)?.filter(concerns).ok_or_else(|| missing(format!("there is no access request {id}")))
}

/// The request, where `by` may decide on it now. Four eyes: nobody decides on their own request, not even a steward.
fn decidable(store: &Store, id: RequestId, by: &Principal, snapshot: &Snapshot) -> Result<AccessRequest> {
    let request = seen(store, id, by, snapshot)?;
    let domain = &request.product.domain;
    if !is_steward_of(by, snapshot, domain) {
        return Err(Fault::new(ErrorKind::Denied, format!("only stewards of the domain {domain} decide on access to {}", request.product)));
    }
    if request.principal == by.name {
        return Err(Fault::new(ErrorKind::Denied, "nobody decides on their own request").with_hint("Ask another steward to decide."));
    }
    pending(&request)?;
    Ok(request)
}

fn pending(request: &AccessRequest) -> Result<()> {
    match (request.status, &request.decided_by) {
        (Status::Pending, _) => Ok(()),
        (status, by) => Err(store::decided_already(request.id, status, by.as_ref())),
    }
}

/// What is not there, or is not for whoever asks.
fn missing(message: String) -> Fault {
    Fault::new(ErrorKind::NotFound, message)
}

/// Whether a character steers how others are shown: controls, separators of lines, marks of direction.
fn steers(character: char) -> bool {
    character.is_control() || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A text of a human, trimmed: one line, not empty, not too long.
pub(crate) fn checked(key: &str, text: &str, longest: usize) -> Result<String> {
    let text = text.trim();
    let invalid = |message: String| Err(Fault::new(ErrorKind::InvalidParameter, message));
    if text.is_empty() || text.chars().count() > longest {
        return invalid(format!("\"{key}\" has 1 to {longest} characters"));
    }
    if text.chars().any(steers) {
        return invalid(format!("\"{key}\" is one line, without control characters"));
    }
    Ok(text.to_owned())
}
