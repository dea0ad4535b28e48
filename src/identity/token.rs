//! What the gateway signs: bearer tokens, sealed handles, and the verifiers of users who do not exist.
//!
//! A bearer token is `mg1.<claims>.<signature>`, base64url: version, times, a fingerprint of the user's verifier, the name. It carries
//! no right: whoever it names is looked up again at every use.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use chrono::{DateTime, Utc};
use ring::hmac;
use subtle::ConstantTimeEq;

use super::ScramVerifier;
use super::scram::{Shape, array};
use crate::id::PrincipalName;

/// The first half of the digest of a verifier: it changes with the password.
pub(super) type Fingerprint = [u8; 16];

const PREFIX: &str = "mg1";
/// issued, expires: seconds since 1970, big-endian; fingerprint.
const FIXED_BYTES: usize = 8 + 8 + 16;
/// Longer than any token of ours; more is not worth looking at.
const MAX_TOKEN: usize = 1024;
const SIGNATURE_BYTES: usize = 32;

/// The keys of one gateway, each for one use, derived from one root.
pub(super) struct Keys {
    bearer: hmac::Key,
    seal: hmac::Key,
    mock: hmac::Key,
}

/// What a genuine token says.
pub(super) struct Claims {
    pub name: PrincipalName,
    fingerprint: Fingerprint,
}

impl Claims {
    /// Whether the token was made for the password that has this fingerprint.
    pub fn is_of(&self, fingerprint: &Fingerprint) -> bool {
        self.fingerprint.ct_eq(fingerprint).into()
    }
}

/// Whether a token has the form of ours. Those of identity providers begin with a header in JSON.
pub(super) fn is_ours(token: &str) -> bool {
    token.strip_prefix(PREFIX).is_some_and(|rest| rest.starts_with('.'))
}

/// The fingerprint of a verifier.
pub(super) fn fingerprint(verifier: &ScramVerifier) -> Fingerprint {
    let digest = ring::digest::digest(&ring::digest::SHA256, verifier.to_string().as_bytes());
    let mut short = [0; 16];
    for (to, from) in short.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    short
}

impl Keys {
    pub fn derive(root: &[u8; 32]) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, root);
        let derive = |label: &str| hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&root, label.as_bytes()).as_ref());
        Self { bearer: derive("meshgate bearer 1"), seal: derive("meshgate seal 1"), mock: derive("meshgate mock verifier 1") }
    }

    pub fn mint(&self, name: &PrincipalName, fingerprint: &Fingerprint, now: DateTime<Utc>, lifetime: Duration) -> String {
        let issued = now.timestamp();
        let expires = issued.saturating_add_unsigned(lifetime.as_secs());
        let mut claims = Vec::with_capacity(FIXED_BYTES + name.as_str().len());
        claims.extend_from_slice(&issued.to_be_bytes());
        claims.extend_from_slice(&expires.to_be_bytes());
        claims.extend_from_slice(fingerprint);
        claims.extend_from_slice(name.as_str().as_bytes());
        let signature = hmac::sign(&self.bearer, &claims);
        format!("{PREFIX}.{}.{}", BASE64.encode(&claims), BASE64.encode(signature))
    }

    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Option<Claims> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let (claims, signature) = token.strip_prefix(PREFIX)?.strip_prefix('.')?.split_once('.')?;
        let (claims, signature) = (BASE64.decode(claims).ok()?, BASE64.decode(signature).ok()?);
        hmac::verify(&self.bearer, &claims, &signature).ok()?;
        let (issued, rest) = claims.split_first_chunk::<8>()?;
        let (expires, rest) = rest.split_first_chunk::<8>()?;
        let (fingerprint, name) = rest.split_first_chunk::<16>()?;
        let (issued, expires) = (i64::from_be_bytes(*issued), i64::from_be_bytes(*expires));
        // A clock that went back by a minute is no forgery; one that went back by more hides an expiry.
        let valid = issued.saturating_sub(60)..expires;
        let name = std::str::from_utf8(name).ok()?;
        valid.contains(&now.timestamp()).then(|| Claims { name: PrincipalName::new(name), fingerprint: *fingerprint })
    }

    pub fn seal(&self, purpose: &str, payload: &[u8]) -> Vec<u8> {
        let mut sealed = hmac::sign(&self.purpose(purpose), payload).as_ref().to_vec();
        sealed.extend_from_slice(payload);
        sealed
    }

    pub fn unseal(&self, purpose: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (signature, payload) = sealed.split_first_chunk::<SIGNATURE_BYTES>()?;
        hmac::verify(&self.purpose(purpose), payload, signature).ok()?;
        Some(payload.to_vec())
    }

    fn purpose(&self, purpose: &str) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&self.seal, purpose.as_bytes()).as_ref())
    }

    /// A verifier that looks like a user's and that nobody knows a password of.
    pub fn mock_verifier(&self, name: &str, shape: Shape) -> ScramVerifier {
        let part = |label: &str| {
            let mut context = hmac::Context::with_key(&self.mock);
            context.update(label.as_bytes());
            context.update(&[0]);
            context.update(name.as_bytes());
            array(context.sign().as_ref())
        };
        let mut salt = [part("salt 1"), part("salt 2")].concat();
        salt.truncate(shape.salt_bytes);
        ScramVerifier { iterations: shape.iterations, salt, stored_key: part("stored"), server_key: part("server"), known: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::derive(&[1; 32])
    }

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    #[test]
    fn a_token_names_its_bearer_until_it_expires() {
        let token = keys().mint(&PrincipalName::new("alice"), &[9; 16], at(0), Duration::from_secs(60));
        let claims = keys().verify(&token, at(59)).unwrap();
        assert_eq!(claims.name, PrincipalName::new("alice"));
        assert!(claims.is_of(&[9; 16]) && !claims.is_of(&[8; 16]));
        assert!(keys().verify(&token, at(60)).is_none(), "expired");
        assert!(keys().verify(&token, at(-3600)).is_none(), "from the future");
        assert!(Keys::derive(&[2; 32]).verify(&token, at(1)).is_none(), "of another gateway");
    }

    #[test]
    fn no_change_of_a_token_is_accepted() {
        let token = keys().mint(&PrincipalName::new("alice"), &[9; 16], at(0), Duration::from_secs(60));
        for position in 0..token.len() {
            let mut forged = token.clone().into_bytes();
            forged[position] = if forged[position] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            assert!(keys().verify(&forged, at(1)).is_none(), "{position}: {forged}");
        }
        for junk in ["", "mg1", "mg1.", "mg1..", "mg1.AA.AA", &"A".repeat(100_000), &token[..token.len() - 1]] {
            assert!(keys().verify(junk, at(1)).is_none());
        }
    }

    #[test]
    fn a_seal_holds_for_its_purpose_only() {
        let sealed = keys().seal("ticket", b"payload");
        assert_eq!(keys().unseal("ticket", &sealed).as_deref(), Some(&b"payload"[..]));
        assert_eq!(keys().unseal("handle", &sealed), None);
        assert_eq!(keys().unseal("ticket", &sealed[..31]), None);
        let mut forged = sealed.clone();
        *forged.last_mut().unwrap() ^= 1;
        assert_eq!(keys().unseal("ticket", &forged), None);
        assert_eq!(keys().unseal("ticket", &keys().seal("ticket", b"")).as_deref(), Some(&b""[..]));
    }

    #[test]
    fn a_made_up_verifier_is_stable_and_looks_like_the_others() {
        let shape = Shape { iterations: 10_000, salt_bytes: 48 };
        let one = keys().mock_verifier("nobody", shape);
        assert!(one == keys().mock_verifier("nobody", shape) && !one.known);
        assert_eq!((one.iterations, one.salt.len()), (10_000, 48));
        assert_ne!(one.salt, keys().mock_verifier("somebody", shape).salt);
    }
}
