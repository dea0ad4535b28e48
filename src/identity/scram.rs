//! SCRAM-SHA-256 verifiers (RFC 5802, RFC 5803) in PostgreSQL's format: made, read, written, and checked against a password.
//!
//! The exchange itself belongs to the PostgreSQL door; this is what it compares with.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::{digest, hmac, pbkdf2};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use super::ScramVerifier;

/// PBKDF2 rounds below which a verifier is refused, and with which new ones are made: PostgreSQL's default.
pub const MIN_ITERATIONS: u32 = 4096;
/// More would let one login burn minutes of CPU.
const MAX_ITERATIONS: u32 = 1_000_000;
/// Salt bytes of new verifiers: PostgreSQL's choice.
const SALT_BYTES: usize = 16;
const SALT_RANGE: std::ops::RangeInclusive<usize> = 8..=64;
const MECHANISM: &str = "SCRAM-SHA-256";

/// Why a text is not a verifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifierError {
    /// Not the format at all. The text may be a password, so it is not quoted.
    #[error(
        "the verifier is not of the form `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`; make one with `meshgate user passwd`"
    )]
    Form,
    /// Too few or too many rounds.
    #[error("the verifier has {0} iterations; use {MIN_ITERATIONS} to {MAX_ITERATIONS}")]
    Iterations(u32),
    /// A salt that is too short or too long.
    #[error("the verifier's salt has {0} bytes; use 8 to 64")]
    Salt(usize),
    /// No randomness to be had.
    #[error("the machine's random number generator failed")]
    Random,
}

/// What of a verifier a client can see: an unknown user's must not stand out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shape {
    pub iterations: u32,
    pub salt_bytes: usize,
}

impl Shape {
    /// The shape of most verifiers; that of new ones where there are none.
    pub fn most_common<'a>(verifiers: impl Iterator<Item = &'a ScramVerifier>) -> Self {
        let mut counts = std::collections::BTreeMap::<Self, usize>::new();
        for verifier in verifiers {
            *counts.entry(Self { iterations: verifier.iterations, salt_bytes: verifier.salt.len() }).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        most.map_or(Self { iterations: MIN_ITERATIONS, salt_bytes: SALT_BYTES }, |(shape, _)| shape)
    }
}

impl ScramVerifier {
    /// A new verifier of `password`, with a salt of its own. Burns CPU on purpose: call it off the runtime.
    pub fn generate(password: &SecretString) -> Result<Self, VerifierError> {
        let mut salt = vec![0; SALT_BYTES];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut salt).map_err(|_| VerifierError::Random)?;
        let (stored_key, server_key) = keys(password, &salt, MIN_ITERATIONS);
        Ok(Self { iterations: MIN_ITERATIONS, salt, stored_key, server_key, known: true })
    }

    /// Whether it is a verifier of `password`. Takes the same time either way, and burns CPU on purpose: call it off the runtime.
    pub fn matches(&self, password: &SecretString) -> bool {
        let (stored_key, server_key) = keys(password, &self.salt, self.iterations);
        bool::from(stored_key.ct_eq(&self.stored_key) & server_key.ct_eq(&self.server_key))
    }
}

/// `StoredKey` and `ServerKey` of a password.
fn keys(password: &SecretString, salt: &[u8], iterations: u32) -> ([u8; 32], [u8; 32]) {
    // As PostgreSQL does: a password that SASLprep refuses is used as it is.
    let text = password.expose_secret();
    let prepared = stringprep::saslprep(text).unwrap_or(std::borrow::Cow::Borrowed(text));
    let mut salted = [0; 32];
    let rounds = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, prepared.as_bytes(), &mut salted);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let client_key = hmac::sign(&key, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
    let server_key = hmac::sign(&key, b"Server Key");
    (array(stored_key.as_ref()), array(server_key.as_ref()))
}

/// The first 32 bytes, zero-padded; SHA-256 gives exactly so many.
pub(super) fn array(bytes: &[u8]) -> [u8; 32] {
    let mut array = [0; 32];
    for (to, from) in array.iter_mut().zip(bytes) {
        *to = *from;
    }
    array
}

impl FromStr for ScramVerifier {
    type Err = VerifierError;

    fn from_str(text: &str) -> Result<Self, VerifierError> {
        let mut parts = text.split('$');
        let (Some(MECHANISM), Some(rounds_and_salt), Some(keys), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(VerifierError::Form);
        };
        let (rounds, salt) = rounds_and_salt.split_once(':').ok_or(VerifierError::Form)?;
        let (stored, server) = keys.split_once(':').ok_or(VerifierError::Form)?;
        let iterations: u32 = rounds.parse().map_err(|_| VerifierError::Form)?;
        if !(MIN_ITERATIONS..=MAX_ITERATIONS).contains(&iterations) {
            return Err(VerifierError::Iterations(iterations));
        }
        let salt = BASE64.decode(salt).map_err(|_| VerifierError::Form)?;
        if !SALT_RANGE.contains(&salt.len()) {
            return Err(VerifierError::Salt(salt.len()));
        }
        Ok(Self { iterations, salt, stored_key: decode_key(stored)?, server_key: decode_key(server)?, known: true })
    }
}

fn decode_key(text: &str) -> Result<[u8; 32], VerifierError> {
    let bytes = BASE64.decode(text).map_err(|_| VerifierError::Form)?;
    bytes.try_into().map_err(|_| VerifierError::Form)
}

impl fmt::Display for ScramVerifier {
    /// PostgreSQL's text, as it stands in the users file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encode = |bytes: &[u8]| BASE64.encode(bytes);
        let (salt, stored, server) = (encode(&self.salt), encode(&self.stored_key), encode(&self.server_key));
        write!(f, "{MECHANISM}${}:{salt}${stored}:{server}", self.iterations)
    }
}

impl fmt::Debug for ScramVerifier {
    /// Without the keys, which are as good as a password to whoever can act as the server.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramVerifier").field("iterations", &self.iterations).field("known", &self.known).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677's example: user `user`, password `pencil`.
    const PENCIL: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    #[test]
    fn the_rfcs_example_is_reproduced() {
        let verifier: ScramVerifier = PENCIL.parse().unwrap();
        assert!(verifier.matches(&"pencil".into()));
        assert!(!verifier.matches(&"Pencil".into()));
        assert_eq!(verifier.to_string(), PENCIL);
    }

    #[test]
    fn a_new_verifier_takes_its_password_only_and_has_a_salt_of_its_own() {
        let (one, two) = (ScramVerifier::generate(&"s3cret".into()).unwrap(), ScramVerifier::generate(&"s3cret".into()).unwrap());
        assert!(one.matches(&"s3cret".into()) && !one.matches(&"".into()));
        assert_ne!(one.salt, two.salt);
        assert_eq!((one.iterations, one.salt.len()), (4096, 16));
    }

    #[test]
    fn saslprep_makes_compatible_spellings_the_same_password() {
        // RFC 4013: a soft hyphen is mapped to nothing, and the roman numeral IX to its letters.
        let verifier = ScramVerifier::generate(&"IX".into()).unwrap();
        assert!(verifier.matches(&"I\u{ad}X".into()));
        assert!(verifier.matches(&"\u{2168}".into()));
    }

    #[test]
    fn what_is_no_verifier_is_refused_without_being_quoted() {
        for bad in [
            "",
            "hunter2",
            "md5d41d8cd98f00b204e9800998ecf8427e",
            "SCRAM-SHA-256$4096:AAAAAAAAAAAAAAAAAAAAAA==$AAAA:AAAA",
            &format!("{PENCIL}$"),
            &PENCIL.replace("SHA-256", "SHA-1"),
        ] {
            let error = bad.parse::<ScramVerifier>().unwrap_err();
            assert_eq!(error, VerifierError::Form, "{bad}");
            assert!(!error.to_string().contains("hunter2"));
        }
        assert_eq!(PENCIL.replace("$4096:", "$4095:").parse::<ScramVerifier>(), Err(VerifierError::Iterations(4095)));
        assert_eq!(PENCIL.replace("$4096:", "$2000000:").parse::<ScramVerifier>(), Err(VerifierError::Iterations(2_000_000)));
        assert_eq!(PENCIL.replace("W22ZaJ0SNY7soEsUEjb6gQ==", "AAAA").parse::<ScramVerifier>(), Err(VerifierError::Salt(3)));
    }

    #[test]
    fn the_log_does_not_show_the_keys() {
        let verifier: ScramVerifier = PENCIL.parse().unwrap();
        assert_eq!(format!("{verifier:?}"), "ScramVerifier { iterations: 4096, known: true, .. }");
    }
}
