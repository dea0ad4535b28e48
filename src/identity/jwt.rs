//! Tokens of identity providers (JWT, RFC 7519): what is believed of them, and for how long.
//!
//! A token is checked against one issuer of the configuration: its `iss` letter by letter, a key of that issuer's file or address, the one
//! algorithm of that key, audience and times. Neither keys nor where they are ever come from the token. What it claims becomes a principal that shares nothing with the
//! users file: rights come from the token alone, and a name that a user has is refused. A principal remembers its token, so that the
//! session ends with it, or with the key.

mod fetch;
mod json;
mod keys;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::Principal;
use super::users::{MAX_PER_USER, check_text};
use crate::config::{JwtIssuer, KeySource};
use crate::id::{DomainName, GroupName, PrincipalName};
use fetch::Fetch;
use json::Compact;
pub use keys::JwksError;
use keys::{KeySet, Thumbprint};

/// The user name, or name of Basic authorization, with which a token is given as the password.
pub const TOKEN_USER: &str = "jwt";

/// Longer than any sensible token; more is not looked at.
pub(super) const MAX_TOKEN: usize = 16 << 10;
/// Longest `kid`.
const MAX_KEY_ID: usize = 256;
/// The end of the year 9999: a later time is a mistake.
const LAST_SECOND: i64 = 253_402_300_799;
/// Header parameters that bring keys along, or change what the others mean.
const REFUSED_HEADERS: [&str; 7] = ["crit", "b64", "jwk", "jku", "x5c", "x5u", "zip"];

/// The token that a principal was made from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TokenSession {
    issuer: String,
    key: Thumbprint,
    digest: [u8; 32],
    expires_at: DateTime<Utc>,
}

impl TokenSession {
    /// What tells this token from every other. Two tokens of one name may carry different rights.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// From when on it is void.
    pub fn expires_at(&self) -> DateTime<Utc> {
        self.expires_at
    }
}

/// Whether a domain exists.
type Domains = Box<dyn Fn(&DomainName) -> bool + Send + Sync>;

/// The issuers whose tokens are believed.
pub(super) struct Trust {
    issuers: Vec<Issuer>,
    knows: Domains,
}

pub(super) struct Issuer {
    settings: JwtIssuer,
    keys: ArcSwap<KeySet>,
    /// Where its keys are not in a file.
    fetch: Option<Fetch>,
}

/// Why a token is refused: for the log. A client is told the same for all of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the token is too long")]
    TooLong,
    #[error("not a token: three parts in Base64, two of them JSON objects that hold each name once")]
    Form,
    #[error("the header parameter `{0}` is not accepted")]
    Header(&'static str),
    #[error("the algorithm is not accepted")]
    Algorithm,
    #[error("the issuer is not accepted")]
    Issuer,
    #[error("no key of the issuer fits")]
    Key,
    #[error("the signature is wrong")]
    Signature,
    #[error("the token is for another audience")]
    Audience,
    #[error("the claim `{0}` is missing or is not what it should be")]
    Claim(String),
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    Early,
    #[error("the token's domain does not exist")]
    Domain,
    #[error("the token's name is that of a user of the users file")]
    LocalUser,
}

impl Trust {
    /// Reads the keys of every issuer that has them in a file; those of the others are not there yet. Blocks.
    pub fn open(issuers: &[JwtIssuer], knows: Domains) -> Result<Self, JwksError> {
        let issuers = issuers.iter().map(Issuer::open).collect::<Result<_, _>>()?;
        Ok(Self { issuers, knows })
    }

    pub fn issuers(&self) -> &[Issuer] {
        &self.issuers
    }

    /// Waits until the key that a token names is there, where that may help: an issuer that is asked for its keys may have a new one. What a
    /// token says is not believed yet.
    pub async fn await_key(&self, token: &str, now: DateTime<Utc>) {
        let missing = || {
            let parts = Compact::parse(token)?;
            let (issuer, algorithm, key_id) = self.named(&parts).ok()?;
            // What is refused with any key has nothing asked.
            check_audience(&parts.claims, &issuer.settings.audience).ok()?;
            check_times(&parts.claims, issuer.settings.leeway, now).ok()?;
            issuer.fetch.as_ref().filter(|_| issuer.keys.load().lacks(key_id, algorithm))
        };
        if token.len() <= MAX_TOKEN
            && let Some(fetch) = missing()
        {
            fetch.soon().await;
        }
    }

    /// What a token names: its issuer, the algorithm and the key.
    fn named<'a>(&self, parts: &'a Compact<'_>) -> Result<(&Issuer, Algorithm, Option<&'a str>), Refusal> {
        let (algorithm, key_id) = check_header(&parts.header)?;
        let named = parts.claims.get("iss").and_then(Value::as_str);
        let issuer = self.issuers.iter().find(|issuer| Some(issuer.settings.issuer.as_str()) == named).ok_or(Refusal::Issuer)?;
        if !issuer.settings.algorithms.contains(&algorithm) {
            return Err(Refusal::Algorithm);
        }
        Ok((issuer, algorithm, key_id))
    }

    /// Who a token speaks for.
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Principal, Refusal> {
        if token.len() > MAX_TOKEN {
            return Err(Refusal::TooLong);
        }
        let parts = Compact::parse(token).ok_or(Refusal::Form)?;
        let (issuer, algorithm, key_id) = self.named(&parts)?;
        let keys = issuer.keys.load();
        let key = keys.find(key_id, algorithm).ok_or(Refusal::Key)?;
        if !key.signed(parts.signed.as_bytes(), &parts.signature) {
            return Err(Refusal::Signature);
        }
        check_audience(&parts.claims, &issuer.settings.audience)?;
        let expires_at = check_times(&parts.claims, issuer.settings.leeway, now)?;
        let session = TokenSession {
            issuer: issuer.settings.issuer.clone(),
            key: *key.print(),
            // Of what is signed: some signatures can be written in several ways.
            digest: Sha256::digest(parts.signed.as_bytes()).into(),
            expires_at,
        };
        let principal = principal(&issuer.settings, &parts.claims, session)?;
        if (self.knows)(&principal.domain) { Ok(principal) } else { Err(Refusal::Domain) }
    }

    /// Whether a token that was accepted would be accepted now.
    pub fn still_holds(&self, session: &TokenSession, domain: &DomainName, now: DateTime<Utc>) -> Result<(), Refusal> {
        if now >= session.expires_at {
            return Err(Refusal::Expired);
        }
        let issuer = self.issuers.iter().find(|issuer| issuer.settings.issuer == session.issuer).ok_or(Refusal::Issuer)?;
        if !issuer.keys.load().holds(&session.key) {
            return Err(Refusal::Key);
        }
        if (self.knows)(domain) { Ok(()) } else { Err(Refusal::Domain) }
    }
}

impl Issuer {
    fn open(settings: &JwtIssuer) -> Result<Self, JwksError> {
        let (keys, fetch) = match &settings.jwks {
            KeySource::File(path) => (KeySet::load(path, &settings.algorithms)?, None),
            KeySource::Fetched { url, every } => (KeySet::default(), Some(Fetch::new(url.clone(), *every)?)),
        };
        if fetch.is_none() {
            keys.tell(&settings.issuer);
        }
        Ok(Self { settings: settings.clone(), keys: ArcSwap::from_pointee(keys), fetch })
    }

    /// The file of its keys.
    pub fn file(&self) -> Option<&Path> {
        match &self.settings.jwks {
            KeySource::File(path) => Some(path),
            KeySource::Fetched { .. } => None,
        }
    }

    /// Reads the file again. Whether the keys are others now; those of an unusable file stay as they were. Blocks.
    pub fn reload(&self, file: &Path) -> Result<bool, JwksError> {
        Ok(self.replace(KeySet::load(file, &self.settings.algorithms)?, false))
    }

    /// Keeps fetched keys fresh, and calls `changed` when they are others. Never ends, where there is something to fetch.
    pub async fn follow(&self, changed: impl Fn()) {
        let Some(fetch) = &self.fetch else { return };
        let issuer = self.settings.issuer.as_str();
        let (mut problem, mut known) = (None::<String>, false);
        loop {
            let answer =
                fetch.ask().await.and_then(|bytes| KeySet::parse(&bytes, &self.settings.algorithms).map_err(|why| fetch.failed(why)));
            let now = answer.as_ref().err().map(JwksError::to_string);
            let others = match answer {
                Ok(keys) => self.replace(keys, !std::mem::replace(&mut known, true)),
                Err(_) if known && fetch.is_stale() => {
                    known = false;
                    tracing::error!(issuer, "keys of an issuer could not be fetched for too long and are not believed any more");
                    self.replace(KeySet::default(), true)
                }
                Err(_) => false,
            };
            if others {
                changed();
            }
            fetch.answered(now.is_none());
            if now != problem {
                match &now {
                    Some(error) => {
                        tracing::error!(issuer, error, known, "keys of an issuer cannot be fetched; those that are known stay for now")
                    }
                    None => tracing::info!(issuer, "keys of an issuer are fetched again"),
                }
                problem = now;
            }
            fetch.due(problem.is_none()).await;
        }
    }

    /// Puts keys in place of others, where they are others, or are the first. Whether it did.
    fn replace(&self, keys: KeySet, first: bool) -> bool {
        if !first && keys == **self.keys.load() {
            return false;
        }
        keys.tell(&self.settings.issuer);
        self.keys.store(keys.into());
        true
    }
}

/// The algorithm and the key that a header names.
fn check_header(header: &Map<String, Value>) -> Result<(Algorithm, Option<&str>), Refusal> {
    if let Some(name) = REFUSED_HEADERS.into_iter().find(|name| header.contains_key(*name)) {
        return Err(Refusal::Header(name));
    }
    if let Some(kind) = header.get("typ") {
        let kind = kind.as_str().ok_or(Refusal::Header("typ"))?.to_ascii_lowercase();
        if !matches!(kind.strip_prefix("application/").unwrap_or(&kind), "jwt" | "at+jwt") {
            return Err(Refusal::Header("typ"));
        }
    }
    let key_id = match header.get("kid") {
        None => None,
        Some(id) => Some(id.as_str().filter(|id| id.len() <= MAX_KEY_ID).ok_or(Refusal::Header("kid"))?),
    };
    let algorithm = header.get("alg").and_then(Value::as_str).and_then(|name| name.parse().ok());
    Ok((algorithm.ok_or(Refusal::Algorithm)?, key_id))
}

fn check_audience(claims: &Map<String, Value>, audience: &str) -> Result<(), Refusal> {
    let ours = match claims.get("aud") {
        Some(Value::String(text)) => text == audience,
        Some(Value::Array(list)) => list.iter().all(Value::is_string) && list.iter().any(|text| text == audience),
        _ => false,
    };
    if ours { Ok(()) } else { Err(Refusal::Audience) }
}

/// When the token ends. The leeway is for times that may not lie ahead; the end is kept to the second.
fn check_times(claims: &Map<String, Value>, leeway: Duration, now: DateTime<Utc>) -> Result<DateTime<Utc>, Refusal> {
    let expires_at = time(claims, "exp")?.ok_or_else(|| Refusal::Claim("exp".to_owned()))?;
    if now >= expires_at {
        return Err(Refusal::Expired);
    }
    let latest = now + leeway;
    for claim in ["nbf", "iat"] {
        if time(claims, claim)?.is_some_and(|time| time > latest) {
            return Err(Refusal::Early);
        }
    }
    Ok(expires_at)
}

/// A time in seconds since 1970: a number, never a text.
fn time(claims: &Map<String, Value>, claim: &str) -> Result<Option<DateTime<Utc>>, Refusal> {
    let Some(value) = claims.get(claim) else { return Ok(None) };
    let wrong = || Refusal::Claim(claim.to_owned());
    // Parts of a second do not count, and what is too large for seconds is out of the range too.
    let seconds = value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64)).ok_or_else(wrong)?;
    let seconds = Some(seconds).filter(|seconds| (0..=LAST_SECOND).contains(seconds)).ok_or_else(wrong)?;
    DateTime::from_timestamp(seconds, 0).map(Some).ok_or_else(wrong)
}

/// The principal that the claims speak of.
fn principal(settings: &JwtIssuer, claims: &Map<String, Value>, session: TokenSession) -> Result<Principal, Refusal> {
    let wrong = |claim: &str| Refusal::Claim(claim.to_owned());
    let text = |claim: &str| claims.get(claim).and_then(Value::as_str).ok_or_else(|| wrong(claim));
    let name = format!("{}{}", settings.prefix, text(&settings.name)?);
    check_text("name", &name).map_err(|_| wrong(&settings.name))?;
    let domain = DomainName::new(text(&settings.domain)?).map_err(|_| wrong(&settings.domain))?;
    let groups = groups(claims.get(&settings.groups)).ok_or_else(|| wrong(&settings.groups))?;
    let mut attributes = BTreeMap::new();
    for claim in &settings.attributes {
        let value = match claims.get(claim) {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) => text.clone(),
            Some(value @ (Value::Bool(_) | Value::Number(_))) => value.to_string(),
            Some(Value::Array(_) | Value::Object(_)) => return Err(wrong(claim)),
        };
        if !value.is_empty() {
            check_text("attribute value", &value).map_err(|_| wrong(claim))?;
        }
        attributes.insert(claim.clone(), value);
    }
    Ok(Principal { name: PrincipalName::new(&name), domain, groups, attributes, token: Some(session) })
}

/// No groups, one group or a list of groups.
fn groups(claim: Option<&Value>) -> Option<BTreeSet<GroupName>> {
    let group = |value: &Value| value.as_str().filter(|group| check_text("group", group).is_ok()).map(GroupName::new);
    match claim {
        None | Some(Value::Null) => Some(BTreeSet::new()),
        Some(Value::Array(list)) if list.len() <= MAX_PER_USER => list.iter().map(group).collect(),
        Some(value) => group(value).map(|group| BTreeSet::from([group])),
    }
}
