//! What clients are given to bring back: tickets, prepared statements, sessions.
//!
//! All of them are requests, signed so that a client cannot make up or change one, and named after the principal so that nobody else
//! can use one. None carries a right: whoever brings it back is authorised then and there. So they need not be remembered, nor revoked.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;

use crate::error::{ErrorKind, Fault, Result};
use crate::id::PrincipalName;
use crate::identity::Identity;

use super::MAX_REQUEST;

/// How long a ticket may wait to be used, in seconds.
const TICKET_LIFE: i64 = 15 * 60;

/// Largest sealed thing that is looked at. Smaller than a request, because it travels inside one.
pub(super) const MAX_SEALED: usize = MAX_REQUEST - (64 << 10);

/// What tells two tickets for the same request apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Nonce(pub(super) [u8; 16]);

/// A statement to run: its text, the values bound to its parameters, and the settings that its client declared.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Statement {
    /// SQL, one statement.
    #[prost(string, tag = "1")]
    pub(super) sql: String,
    /// Rows as an Arrow IPC stream, one for each execution; empty where nothing was bound.
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) parameters: Bytes,
    /// Settings by name.
    #[prost(btree_map = "string, string", tag = "3")]
    pub(super) settings: BTreeMap<String, String>,
}

/// What a ticket or handle stands for.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Request {
    /// A statement.
    #[prost(message, tag = "4")]
    Statement(Statement),
    /// A Flight SQL metadata command, as the client sent it.
    #[prost(bytes = "bytes", tag = "5")]
    Command(Bytes),
}

/// What is signed.
#[derive(Clone, PartialEq, Message)]
struct Envelope {
    #[prost(string, tag = "1")]
    principal: String,
    /// Seconds since 1970; zero is never.
    #[prost(int64, tag = "2")]
    expires_at: i64,
    #[prost(bytes = "vec", tag = "3")]
    nonce: Vec<u8>,
    #[prost(oneof = "Request", tags = "4, 5")]
    request: Option<Request>,
}

/// A session's settings as its client carries them.
#[derive(Clone, PartialEq, Message)]
struct SessionEnvelope {
    #[prost(string, tag = "1")]
    principal: String,
    #[prost(btree_map = "string, string", tag = "2")]
    settings: BTreeMap<String, String>,
}

/// The purposes under which things are sealed: one kind cannot be brought back as another.
const TICKET: &str = "flight-ticket";
const HANDLE: &str = "flight-handle";
const SESSION: &str = "flight-session";

/// A ticket, and until when it is good.
#[derive(Debug)]
pub(super) struct Sealed {
    /// As it travels.
    pub(super) ticket: Bytes,
    /// Seconds since 1970.
    pub(super) expires_at: i64,
}

/// A new ticket for `principal`.
pub(super) fn ticket(identity: &Identity, principal: &PrincipalName, request: Request) -> Result<Sealed> {
    ticket_as(identity, principal, Nonce(rand::random()), request)
}

/// The same ticket with all its time before it again, if it is `principal`'s and has not expired. It keeps its nonce, so that what is under way
/// for the old one can be cancelled by the new one, and the other way round.
pub(super) fn renewed(identity: &Identity, principal: &PrincipalName, sealed: &[u8]) -> Result<Sealed> {
    let (nonce, request) = open_ticket(identity, principal, sealed)?;
    ticket_as(identity, principal, nonce, request)
}

fn ticket_as(identity: &Identity, principal: &PrincipalName, nonce: Nonce, request: Request) -> Result<Sealed> {
    let expires_at = now() + TICKET_LIFE;
    let ticket = bounded(identity.seal(TICKET, &envelope(principal, nonce, request, expires_at)))?;
    Ok(Sealed { ticket, expires_at })
}

/// What a ticket asks for, if it is `principal`'s.
pub(super) fn open_ticket(identity: &Identity, principal: &PrincipalName, sealed: &[u8]) -> Result<(Nonce, Request)> {
    let payload = unseal(identity, TICKET, sealed).ok_or_else(invalid_ticket)?;
    check_ticket(&payload, principal, now())
}

/// Which ticket this is, if it is `principal`'s. One that has expired since can still be in use.
pub(super) fn ticket_nonce(identity: &Identity, principal: &PrincipalName, sealed: &[u8]) -> Option<Nonce> {
    let payload = unseal(identity, TICKET, sealed)?;
    check_ticket(&payload, principal, i64::MIN).ok().map(|(nonce, _)| nonce)
}

/// A prepared statement for `principal`.
pub(super) fn handle(identity: &Identity, principal: &PrincipalName, statement: Statement) -> Result<Bytes> {
    bounded(identity.seal(HANDLE, &envelope(principal, Nonce(rand::random()), Request::Statement(statement), 0)))
}

/// The statement of a handle, if it is `principal`'s.
pub(super) fn open_handle(identity: &Identity, principal: &PrincipalName, sealed: &[u8]) -> Result<Statement> {
    let payload = unseal(identity, HANDLE, sealed).ok_or_else(unknown_handle)?;
    check_handle(&payload, principal)
}

/// Settings for `principal`'s client to carry.
pub(super) fn session(identity: &Identity, principal: &PrincipalName, settings: &BTreeMap<String, String>) -> Vec<u8> {
    let envelope = SessionEnvelope { principal: principal.as_str().to_owned(), settings: settings.clone() };
    identity.seal(SESSION, &envelope.encode_to_vec())
}

/// The settings that a client carries, if it is `principal`'s.
pub(super) fn open_session(identity: &Identity, principal: &PrincipalName, sealed: &[u8]) -> Option<BTreeMap<String, String>> {
    let payload = unseal(identity, SESSION, sealed)?;
    let envelope = SessionEnvelope::decode(payload.as_slice()).ok()?;
    (envelope.principal == principal.as_str()).then_some(envelope.settings)
}

fn unseal(identity: &Identity, purpose: &str, sealed: &[u8]) -> Option<Vec<u8>> {
    if sealed.len() > MAX_SEALED { None } else { identity.unseal(purpose, sealed) }
}

fn bounded(sealed: Vec<u8>) -> Result<Bytes> {
    if sealed.len() > MAX_SEALED {
        return Err(Fault::new(ErrorKind::ProgramLimit, "statement and parameters are too large"));
    }
    Ok(sealed.into())
}

fn envelope(principal: &PrincipalName, nonce: Nonce, request: Request, expires_at: i64) -> Vec<u8> {
    Envelope { principal: principal.as_str().to_owned(), expires_at, nonce: nonce.0.to_vec(), request: Some(request) }.encode_to_vec()
}

fn check_ticket(payload: &[u8], principal: &PrincipalName, now: i64) -> Result<(Nonce, Request)> {
    let envelope = Envelope::decode(payload).map_err(|_| invalid_ticket())?;
    let nonce = envelope.nonce.as_slice().try_into().map(Nonce).map_err(|_| invalid_ticket())?;
    if envelope.principal != principal.as_str() {
        return Err(invalid_ticket());
    }
    if envelope.expires_at <= now {
        return Err(Fault::new(ErrorKind::Denied, "ticket has expired").with_hint("Ask for the flight info again."));
    }
    Ok((nonce, envelope.request.ok_or_else(invalid_ticket)?))
}

fn check_handle(payload: &[u8], principal: &PrincipalName) -> Result<Statement> {
    match Envelope::decode(payload) {
        Ok(Envelope { principal: owner, request: Some(Request::Statement(statement)), .. }) if owner == principal.as_str() => Ok(statement),
        _ => Err(unknown_handle()),
    }
}

/// The same for one that was made up, changed, or made for somebody else: a thief learns nothing.
fn invalid_ticket() -> Fault {
    Fault::new(ErrorKind::Denied, "ticket is not valid").with_hint("Ask for the flight info again.")
}

fn unknown_handle() -> Fault {
    Fault::new(ErrorKind::UndefinedStatement, "prepared statement does not exist").with_hint("Prepare the statement again.")
}

fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: Nonce = Nonce([7; 16]);

    fn alice() -> PrincipalName {
        PrincipalName::new("alice")
    }

    fn select() -> Statement {
        Statement {
            sql: "SELECT $1".to_owned(),
            parameters: Bytes::from_static(b"row"),
            settings: BTreeMap::from([("meshgate.purpose".to_owned(), "audit".to_owned())]),
        }
    }

    #[test]
    fn a_ticket_gives_back_its_request_until_it_expires() {
        let payload = envelope(&alice(), NONCE, Request::Statement(select()), 1000);
        assert_eq!(check_ticket(&payload, &alice(), 999).unwrap().1, Request::Statement(select()));
        let expired = check_ticket(&payload, &alice(), 1000).unwrap_err();
        assert_eq!((expired.kind(), expired.message()), (ErrorKind::Denied, "ticket has expired"));
    }

    #[test]
    fn a_ticket_of_somebody_else_looks_like_a_made_up_one() {
        let payload = envelope(&alice(), NONCE, Request::Command(Bytes::from_static(b"x")), 1000);
        let stolen = check_ticket(&payload, &PrincipalName::new("bob"), 0).unwrap_err();
        let made_up = check_ticket(b"nonsense", &alice(), 0).unwrap_err();
        assert_eq!((stolen.kind(), stolen.message(), stolen.hint()), (made_up.kind(), made_up.message(), made_up.hint()));
    }

    #[test]
    fn two_tickets_for_the_same_request_differ() {
        let identity = Identity::for_test("users: []\n");
        let nonce = || {
            let sealed = ticket(&identity, &alice(), Request::Statement(select())).unwrap();
            open_ticket(&identity, &alice(), &sealed.ticket).unwrap().0
        };
        assert_ne!(nonce(), nonce());
    }

    #[test]
    fn a_ticket_is_renewed_for_its_owner_as_long_as_it_is_good() {
        let identity = Identity::for_test("users: []\n");
        let sealed = |expires_at| identity.seal(TICKET, &envelope(&alice(), NONCE, Request::Statement(select()), expires_at));
        let (old, before) = (sealed(now() + 60), now());
        let new = renewed(&identity, &alice(), &old).unwrap();
        assert!((before + TICKET_LIFE..=now() + TICKET_LIFE).contains(&new.expires_at));
        assert_eq!(open_ticket(&identity, &alice(), &new.ticket).unwrap(), (NONCE, Request::Statement(select())));
        let stored = Envelope::decode(unseal(&identity, TICKET, &new.ticket).unwrap().as_slice()).unwrap();
        assert_eq!(stored.expires_at, new.expires_at, "what is announced is what is sealed");
        assert_eq!(renewed(&identity, &alice(), &sealed(now() - 1)).unwrap_err().message(), "ticket has expired");
        assert_eq!(renewed(&identity, &PrincipalName::new("bob"), &old).unwrap_err().message(), "ticket is not valid");
        let handle = handle(&identity, &alice(), select()).unwrap();
        assert_eq!(renewed(&identity, &alice(), &handle).unwrap_err().message(), "ticket is not valid");
    }

    #[test]
    fn a_handle_works_for_its_maker_only() {
        let payload = envelope(&alice(), NONCE, Request::Statement(select()), 0);
        assert_eq!(check_handle(&payload, &alice()).unwrap(), select());
        for (payload, who) in [(payload.as_slice(), "bob"), (b"nonsense".as_slice(), "alice"), (b"".as_slice(), "alice")] {
            assert_eq!(check_handle(payload, &PrincipalName::new(who)).unwrap_err().kind(), ErrorKind::UndefinedStatement);
        }
        let command = envelope(&alice(), NONCE, Request::Command(Bytes::new()), 0);
        assert_eq!(check_handle(&command, &alice()).unwrap_err().kind(), ErrorKind::UndefinedStatement);
    }
}

#[cfg(test)]
#[path = "../../fuzz/ticket.rs"]
mod fuzz;
