//! Who calls, and what their call declares.
//!
//! Every call carries an `authorization` header: `Basic` with a name and a password, or `Bearer` with a token. Handshake turns the first
//! into the second. A token may be ours or an identity provider's; the latter may also be the password of the user `jwt`. A call may declare settings with headers: `x-meshgate-purpose: fraud_investigation` is `meshgate.purpose`, and so
//! for every setting of ours; `x-application-name`, or else `user-agent`, is `application_name`. Settings of a session come along
//! sealed (see `session`) and give way to the headers of a call.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use tonic::metadata::MetadataMap;

use crate::error::{ErrorKind, Fault, Result};
use crate::identity::Principal;
use crate::metering::Protocol;
use crate::query::Session;

use super::connection::ConnectionInfo;
use super::{Flight, session};

/// Headers `x-meshgate-<name>` are settings `meshgate.<name>`.
const SETTING_PREFIX: &str = "x-meshgate-";

/// Longest `application_name`, as PostgreSQL cuts it.
const MAX_APPLICATION_NAME: usize = 63;

/// Who calls.
#[derive(Debug)]
pub(super) struct Caller {
    /// Who.
    pub(super) principal: Arc<Principal>,
    /// The bearer token that they sent, without the session.
    pub(super) bearer: Option<String>,
    /// The settings of their session.
    pub(super) session: BTreeMap<String, String>,
    /// The settings that this call declares.
    pub(super) headers: BTreeMap<String, String>,
}

impl Caller {
    /// All settings that hold for this call.
    pub(super) fn settings(&self) -> BTreeMap<String, String> {
        let mut settings = self.session.clone();
        settings.extend(self.headers.clone());
        settings
    }
}

/// What an `authorization` header says.
#[derive(Debug, PartialEq)]
enum Credentials {
    Basic { name: String, password: String },
    Bearer { token: String, session: Option<String> },
}

impl Flight {
    /// Authenticates a call.
    pub(super) async fn caller(&self, request: &(MetadataMap, tonic::Extensions)) -> Result<Caller> {
        let (metadata, extensions) = request;
        let caller = self.authenticate(metadata).await.inspect_err(|fault| {
            if matches!(fault.kind(), ErrorKind::Login | ErrorKind::LoginMalformed) {
                self.door.metrics.login_failed(Protocol::Flight);
                let peer = extensions.get::<ConnectionInfo>().map(|connection| connection.peer.to_string());
                tracing::info!(peer, "Flight login failed");
            }
        })?;
        if let Some(connection) = extensions.get::<ConnectionInfo>() {
            connection.login.succeeded();
        }
        Ok(caller)
    }

    async fn authenticate(&self, metadata: &MetadataMap) -> Result<Caller> {
        let (principal, bearer, carried) = match credentials(metadata)? {
            Credentials::Basic { name, password } => {
                let principal = self.door.identity.verify_password(&name, &password).await?;
                // A token of an identity provider goes on being the proof: ours would outlive it.
                let bearer = principal.token.is_some().then_some(password);
                (principal, bearer, None)
            }
            Credentials::Bearer { token, session } => (self.door.identity.verify_bearer(&token).await?, Some(token), session),
        };
        let session = session::carried(&self.door.identity, &principal.name, metadata, carried.as_deref())?;
        Ok(Caller { principal, bearer, session, headers: declared(metadata) })
    }

    /// A session for one call, with `settings` checked and set.
    pub(super) fn open_session(&self, caller: &Caller, settings: &BTreeMap<String, String>) -> Result<Session> {
        let session = Session::new(&self.door.gateway, Arc::clone(&caller.principal), Protocol::Flight);
        for (name, value) in settings {
            session.settings().set(name, value, false)?;
        }
        Ok(session)
    }
}

/// Reads the `authorization` header.
fn credentials(metadata: &MetadataMap) -> Result<Credentials> {
    let header = metadata.get("authorization").ok_or_else(|| {
        Fault::new(ErrorKind::LoginMalformed, "no credentials were given")
            .with_hint("Send an authorization header: Basic with name and password, or Bearer with a token.")
    })?;
    let malformed = || {
        Fault::new(ErrorKind::LoginMalformed, "authorization header is malformed")
            .with_hint("Send Basic with name and password in Base64, or Bearer with a token.")
    };
    let (scheme, rest) = header.to_str().ok().and_then(|header| header.trim().split_once(' ')).ok_or_else(malformed)?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        let (token, session) = match rest.split_once(session::SEPARATOR) {
            Some((token, session)) => (token, Some(session.to_owned())),
            None => (rest, None),
        };
        return Ok(Credentials::Bearer { token: token.to_owned(), session });
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(malformed());
    }
    let decoded = STANDARD.decode(rest).or_else(|_| STANDARD_NO_PAD.decode(rest)).map_err(|_| malformed())?;
    let text = String::from_utf8(decoded).map_err(|_| malformed())?;
    let (name, password) = text.split_once(':').ok_or_else(malformed)?;
    Ok(Credentials::Basic { name: name.to_owned(), password: password.to_owned() })
}

/// The settings that a call's headers declare.
fn declared(metadata: &MetadataMap) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    let text = |key: &str| metadata.get(key).and_then(|value| value.to_str().ok()).map(str::trim).filter(|text| !text.is_empty());
    if let Some(name) = text("x-application-name").or_else(|| text("user-agent")) {
        settings.insert("application_name".to_owned(), name.chars().take(MAX_APPLICATION_NAME).collect());
    }
    for key in metadata.keys() {
        let tonic::metadata::KeyRef::Ascii(key) = key else { continue };
        if let (Some(name), Some(value)) = (key.as_str().strip_prefix(SETTING_PREFIX), text(key.as_str())) {
            settings.insert(format!("meshgate.{}", name.replace('-', "_")), value.to_owned());
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(header: &str) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        metadata.insert("authorization", header.parse().unwrap());
        metadata
    }

    #[test]
    fn basic_splits_at_the_first_colon_and_takes_both_paddings() {
        for text in ["Basic YTpiOmM=", "basic YTpiOmM"] {
            let read = credentials(&with(text)).unwrap();
            assert_eq!(read, Credentials::Basic { name: "a".to_owned(), password: "b:c".to_owned() });
        }
    }

    #[test]
    fn a_bearer_may_carry_a_session() {
        let read = credentials(&with("Bearer abc.def~XYZ")).unwrap();
        assert_eq!(read, Credentials::Bearer { token: "abc.def".to_owned(), session: Some("XYZ".to_owned()) });
        let read = credentials(&with("Bearer abc")).unwrap();
        assert_eq!(read, Credentials::Bearer { token: "abc".to_owned(), session: None });
    }

    #[test]
    fn anything_else_is_refused_as_unauthenticated() {
        for text in ["", "Basic", "Basic !!!!", "Basic YQ==", "Digest abc", "Basic gICA"] {
            let fault = credentials(&with(text)).unwrap_err();
            assert_eq!(fault.kind().codes().grpc, tonic::Code::Unauthenticated, "{text}");
        }
        assert_eq!(credentials(&MetadataMap::new()).unwrap_err().kind(), ErrorKind::LoginMalformed);
    }

    #[test]
    fn headers_declare_settings() {
        let mut metadata = MetadataMap::new();
        metadata.insert("x-meshgate-purpose", "fraud_investigation".parse().unwrap());
        metadata.insert("x-meshgate-max-scan-bytes", "1000".parse().unwrap());
        metadata.insert("user-agent", "u".repeat(100).parse().unwrap());
        let settings = declared(&metadata);
        assert_eq!(settings["meshgate.purpose"], "fraud_investigation");
        assert_eq!(settings["meshgate.max_scan_bytes"], "1000");
        assert_eq!(settings["application_name"].len(), 63);
        metadata.insert("x-application-name", "notebook".parse().unwrap());
        assert_eq!(declared(&metadata)["application_name"], "notebook");
    }
}
