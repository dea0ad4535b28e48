//! An issuer's public keys (RFC 7517), each for one algorithm.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::json;

/// Bytes of a key set.
pub(super) const MAX_BYTES: usize = 1 << 20;
const MAX_KEYS: usize = 256;
/// The shortest RSA modulus, in bits.
const RSA_BITS: usize = 2048;

/// Why a key set is not usable. One line.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct JwksError {
    place: String,
    reason: String,
}

impl JwksError {
    pub(super) fn new(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { place: place.into(), reason: reason.into() }
    }
}

/// The digest of a key: what a session remembers of the key that its token was signed with.
pub(super) type Thumbprint = [u8; 32];

/// The keys that tokens of an issuer may be signed with.
#[derive(Debug, Default, PartialEq)]
pub(super) struct KeySet {
    /// In an order of their own: an issuer may list them in any.
    keys: Vec<Key>,
    /// How many are listed and cannot be used here.
    left_out: usize,
}

/// One key and the one algorithm that it may be used with.
#[derive(Debug)]
pub(super) struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    public: DecodingKey,
    print: Thumbprint,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        (&self.id, self.algorithm, self.print) == (&other.id, other.algorithm, other.print)
    }
}

impl KeySet {
    /// Reads a file of keys, of which those for one of `algorithms` are kept.
    pub fn load(path: &Path, algorithms: &[Algorithm]) -> Result<Self, JwksError> {
        let failed = |reason: String| JwksError::new(path.display().to_string(), reason);
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes));
        read.map_err(|error| failed(error.to_string()))?;
        Self::parse(&bytes, algorithms).map_err(failed)
    }

    /// Reads a key set. A key that cannot be used here is left out; one that must not be there, a private one, spoils the set.
    pub fn parse(bytes: &[u8], algorithms: &[Algorithm]) -> Result<Self, String> {
        if bytes.len() > MAX_BYTES {
            return Err(format!("the key set is longer than {MAX_BYTES} bytes"));
        }
        let set = json::object(bytes).ok_or("not a JSON object, or one that holds a name twice")?;
        let listed = set.get("keys").and_then(Value::as_array).ok_or("a key set has a list called `keys`")?;
        if listed.len() > MAX_KEYS {
            return Err(format!("more than {MAX_KEYS} keys"));
        }
        let (mut keys, mut left_out) = (Vec::<Key>::new(), 0);
        for (number, jwk) in listed.iter().enumerate() {
            let jwk = jwk.as_object().ok_or_else(|| format!("key {number} is not an object"))?;
            if ["d", "k", "p", "q"].iter().any(|part| jwk.contains_key(*part)) {
                return Err(format!("key {number} is a secret; keep only public keys here"));
            }
            let Some(key) = Key::read(jwk).filter(|key| algorithms.contains(&key.algorithm)) else {
                left_out += 1;
                continue;
            };
            if key.id.is_some() && keys.iter().any(|other| other.id == key.id) {
                return Err(format!("key {number} has the `kid` of another one"));
            }
            keys.push(key);
        }
        keys.sort_by(|one, other| (&one.id, &one.print).cmp(&(&other.id, &other.print)));
        Ok(Self { keys, left_out })
    }

    /// The key of a token: the one that it names, or the only one that fits.
    pub fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&Key> {
        let mut fitting = self.keys.iter().filter(|key| match id {
            Some(id) => key.id.as_deref() == Some(id),
            None => key.algorithm == algorithm,
        });
        let found = fitting.next().filter(|key| key.algorithm == algorithm);
        if fitting.next().is_some() { None } else { found }
    }

    /// Whether no key is the one that a token names: another set may have it.
    pub fn lacks(&self, id: Option<&str>, algorithm: Algorithm) -> bool {
        !self.keys.iter().any(|key| id.map_or(key.algorithm == algorithm, |id| key.id.as_deref() == Some(id)))
    }

    /// Whether the key is still there.
    pub fn holds(&self, print: &Thumbprint) -> bool {
        self.keys.iter().any(|key| key.print == *print)
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Tells the log whose it is and how many keys there are.
    pub fn tell(&self, issuer: &str) {
        tracing::info!(issuer, keys = self.len(), left_out = self.left_out, "keys of an issuer loaded");
        if self.keys.is_empty() {
            tracing::warn!(issuer, "the issuer has no usable key: none of its tokens is accepted");
        }
    }
}

impl Key {
    fn read(jwk: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let part = |name: &str| text(name).and_then(json::decode);
        let coordinate = |name: &str, length: usize| part(name).filter(|bytes| bytes.len() == length);
        let may_verify = text("use").is_none_or(|purpose| purpose == "sig")
            && jwk.get("key_ops").is_none_or(|ops| ops.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify")));
        if !may_verify || !is_text_or_missing(jwk, &["use", "alg", "kid"]) {
            return None;
        }
        let point = |length: usize| Some([vec![4], coordinate("x", length)?, coordinate("y", length)?].concat());
        let (otherwise, family, public, content) = match (text("kty")?, text("crv")) {
            ("RSA", None) => {
                let (n, e) = (modulus(part("n")?)?, part("e")?);
                (Algorithm::RS256, RSA, DecodingKey::from_rsa_raw_components(&n, &e), [n, e].concat())
            }
            ("EC", Some("P-256")) => point(32).map(|point| (Algorithm::ES256, P256, DecodingKey::from_ec_der(&point), point))?,
            ("EC", Some("P-384")) => point(48).map(|point| (Algorithm::ES384, P384, DecodingKey::from_ec_der(&point), point))?,
            ("OKP", Some("Ed25519")) => {
                coordinate("x", 32).map(|point| (Algorithm::EdDSA, ED25519, DecodingKey::from_ed_der(&point), point))?
            }
            _ => return None,
        };
        let algorithm = text("alg").map_or(Some(otherwise), |name| name.parse().ok())?;
        // Of different types, two keys never have the same bytes behind the same label.
        let print = Sha256::new_with_prefix(format!("{otherwise:?} ")).chain_update(content).finalize().into();
        family.contains(&algorithm).then(|| Self { id: text("kid").map(str::to_owned), algorithm, public, print })
    }

    /// Whether this key made the signature. The provider is named, so that no other can be in its place in this process.
    pub fn signed(&self, message: &[u8], signature: &Vec<u8>) -> bool {
        let verifier = (DEFAULT_PROVIDER.verifier_factory)(&self.algorithm, &self.public);
        verifier.is_ok_and(|verifier| jsonwebtoken::signature::Verifier::verify(verifier.as_ref(), message, signature).is_ok())
    }

    pub fn print(&self) -> &Thumbprint {
        &self.print
    }
}

const RSA: &[Algorithm] = &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];
const P256: &[Algorithm] = &[Algorithm::ES256];
const P384: &[Algorithm] = &[Algorithm::ES384];
const ED25519: &[Algorithm] = &[Algorithm::EdDSA];

fn is_text_or_missing(jwk: &Map<String, Value>, names: &[&str]) -> bool {
    names.iter().all(|name| jwk.get(*name).is_none_or(Value::is_string))
}

/// An RSA modulus that is long enough.
fn modulus(bytes: Vec<u8>) -> Option<Vec<u8>> {
    let start = bytes.iter().position(|byte| *byte != 0)?;
    let significant = bytes.get(start..)?;
    let unused = significant.first()?.leading_zeros() as usize;
    (significant.len() * 8 - unused >= RSA_BITS).then(|| significant.to_vec())
}
