//! The list of issuers whose tokens are accepted.

use std::path::PathBuf;
use std::time::Duration;

use jsonwebtoken::{Algorithm, AlgorithmFamily};
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use url::Url;

use super::document::Reader;
use super::kinds::{Folder, Kind, Text, Time, Wrong, text};
use crate::outbound;

/// An issuer of tokens (JWT), and what its claims mean here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtIssuer {
    /// `iss`, letter by letter.
    pub issuer: String,
    /// What `aud` must be, or hold.
    pub audience: String,
    /// Its public keys.
    pub jwks: KeySource,
    /// The claim with the name.
    pub name: String,
    /// Put before every name, so that the names of two issuers differ.
    pub prefix: String,
    /// The claim with the consumer domain.
    pub domain: String,
    /// The claim with the groups.
    pub groups: String,
    /// The claims that become attributes of the same name.
    pub attributes: Vec<String>,
    /// The algorithms that its keys may be used with.
    pub algorithms: Vec<Algorithm>,
    /// How far its clock may be off.
    pub leeway: Duration,
}

/// Where an issuer's public keys (RFC 7517) are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file, which is watched.
    File(PathBuf),
    /// An address, which is asked.
    Fetched {
        /// `https`, or `http` on this machine.
        url: Url,
        /// How often.
        every: Duration,
    },
}

/// How often an address is asked, in seconds.
const MIN_REFRESH: u64 = 10;
const MAX_REFRESH: u64 = 86_400;
/// How far a clock may be off, in seconds.
const MAX_LEEWAY: u64 = 300;
/// Attributes of one issuer.
const MAX_ATTRIBUTES: usize = 64;

const KEYS: [&str; 11] =
    ["issuer", "audience", "jwks", "refresh", "name", "prefix", "domain", "groups", "attributes", "algorithms", "leeway"];

/// A list of issuers.
pub(super) struct Issuers;
/// A list of texts.
struct Texts;
/// A list of asymmetric algorithms.
struct Algorithms;
/// `https://…`, or a path.
struct Keys;

impl Kind for Issuers {
    type Value = Vec<JwtIssuer>;

    fn expected() -> String {
        "a list of { issuer = \"…\", audience = \"…\", jwks = \"jwks.json\" }, each with refresh, name, prefix, domain, groups, attributes, \
         algorithms, leeway where the defaults do not fit"
            .to_owned()
    }

    fn parse(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<Self::Value, Wrong> {
        let list = value.get_ref().as_array().ok_or(Wrong::NotExpected)?;
        let mut issuers: Vec<JwtIssuer> = Vec::new();
        for item in list {
            let table = item.get_ref().as_table().ok_or(Wrong::NotExpected)?;
            let Some(issuer) = issuer(reader, item, table) else { continue };
            if let Some(problem) = issuers.iter().find_map(|other| conflict(other, &issuer)) {
                reader.problem(item.span(), problem);
            }
            issuers.push(issuer);
        }
        Ok(issuers)
    }

    fn fallback() -> Self::Value {
        Vec::new()
    }
}

/// Why two issuers cannot both be trusted. A name must tell who gave it: nobody may become somebody else by asking another issuer.
fn conflict(one: &JwtIssuer, other: &JwtIssuer) -> Option<String> {
    if one.issuer == other.issuer {
        return Some("`jwt`: this `issuer` is there twice; remove one of them".to_owned());
    }
    let confusable = one.prefix.starts_with(&other.prefix) || other.prefix.starts_with(&one.prefix);
    confusable.then(|| "`jwt`: names of two issuers could be the same; give each a `prefix`, and none that another begins with".to_owned())
}

fn issuer(reader: &mut Reader<'_>, item: &Spanned<DeValue<'_>>, table: &DeTable<'_>) -> Option<JwtIssuer> {
    reader.check_names(table, "`jwt`", &KEYS, &[]);
    for key in ["issuer", "audience", "jwks"] {
        if !table.contains_key(key) {
            reader.problem(item.span(), format!("`jwt` needs `{key}`"));
        }
    }
    let refresh = reader.field::<Time<MIN_REFRESH, MAX_REFRESH>>(table, "refresh");
    let mut jwks = reader.field::<Keys>(table, "jwks");
    match (&mut jwks, table.get("refresh"), refresh) {
        (Some(KeySource::Fetched { every, .. }), _, Some(refresh)) => *every = refresh,
        (Some(KeySource::File(_)), Some(refresh), _) => {
            reader.problem(refresh.span(), "`refresh` is for keys that are fetched; a file is watched".to_owned());
        }
        _ => {}
    }
    let claim = |reader: &mut Reader<'_>, key: &str| reader.field::<Text>(table, key).unwrap_or_else(|| default_claim(key).to_owned());
    Some(JwtIssuer {
        name: claim(reader, "name"),
        domain: claim(reader, "domain"),
        groups: claim(reader, "groups"),
        prefix: reader.field::<Text>(table, "prefix").unwrap_or_default(),
        attributes: reader.field::<Texts>(table, "attributes").unwrap_or_default(),
        algorithms: reader.field::<Algorithms>(table, "algorithms").unwrap_or_else(Algorithms::fallback),
        leeway: reader.field::<Time<0, MAX_LEEWAY>>(table, "leeway").unwrap_or(Duration::from_secs(30)),
        issuer: reader.field::<Text>(table, "issuer")?,
        audience: reader.field::<Text>(table, "audience")?,
        jwks: jwks?,
    })
}

fn default_claim(key: &str) -> &str {
    if key == "name" { "sub" } else { key }
}

impl Kind for Keys {
    type Value = KeySource;

    fn expected() -> String {
        "a path, or an address that begins with https://".to_owned()
    }

    fn parse(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<KeySource, Wrong> {
        let text = text(value)?;
        let is_address = text.contains("://")
            || ["http:", "https:"].iter().any(|scheme| text.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme)));
        if !is_address {
            return Folder::parse(reader, value).map(KeySource::File);
        }
        match address(text) {
            Ok(url) => Ok(KeySource::Fetched { url, every: Duration::from_secs(300) }),
            Err(why) => {
                reader.problem(value.span(), format!("`jwks`: {why}"));
                Err(Wrong::Told)
            }
        }
    }

    fn fallback() -> KeySource {
        KeySource::File(PathBuf::new())
    }
}

/// An address of keys. Whoever could change the answer on its way could let anybody in.
fn address(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "not an address")?;
    // The parser forgives slashes that are missing or too many, and takes something else for the host.
    if text.split_once("://").is_none_or(|(_, rest)| rest.starts_with(['/', '\\'])) {
        return Err("not an address; it begins with https:// and the name of a host");
    }
    if !outbound::is_guarded(&url) {
        return Err("keys are fetched over https, or over http from this machine");
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("an address of public keys has no password and no fragment");
    }
    Ok(url)
}

impl Kind for Texts {
    type Value = Vec<String>;

    fn expected() -> String {
        format!("a list of at most {MAX_ATTRIBUTES} texts")
    }

    fn parse(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<Self::Value, Wrong> {
        let list = value.get_ref().as_array().filter(|list| list.len() <= MAX_ATTRIBUTES).ok_or(Wrong::NotExpected)?;
        list.iter().map(|item| Text::parse(reader, item)).collect()
    }

    fn fallback() -> Self::Value {
        Vec::new()
    }
}

impl Kind for Algorithms {
    type Value = Vec<Algorithm>;

    fn expected() -> String {
        "a list of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA: a public key must not make tokens".to_owned()
    }

    fn parse(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<Self::Value, Wrong> {
        let names = Texts::parse(reader, value)?;
        let algorithms: Option<Vec<Algorithm>> = names.iter().map(|name| name.parse().ok().filter(is_asymmetric)).collect();
        algorithms.filter(|algorithms| !algorithms.is_empty()).ok_or(Wrong::NotExpected)
    }

    fn fallback() -> Self::Value {
        vec![Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA]
    }
}

fn is_asymmetric(algorithm: &Algorithm) -> bool {
    !AlgorithmFamily::Hmac.algorithms().contains(algorithm)
}
