//! An identity provider of a test's own: keys, their public halves, and tokens, sound and unsound.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents,
};
use serde_json::{Value, json};

pub const ISSUER: &str = "https://idp.example/";
pub const AUDIENCE: &str = "meshgate";

/// A key pair. The RSA one is the same each time: it guards nothing, and making one takes long.
pub enum Signer {
    Es256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rs256(RsaKeyPair),
}

impl Signer {
    pub fn es256() -> Self {
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self::Es256(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.as_ref(), &random).unwrap())
    }

    pub fn ed25519() -> Self {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed25519(Ed25519KeyPair::from_pkcs8(made.as_ref()).unwrap())
    }

    pub fn rs256() -> Self {
        Self::Rs256(RsaKeyPair::from_der(include_bytes!("idp_test_key.der")).unwrap())
    }

    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Es256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
            Self::Rs256(_) => "RS256",
        }
    }

    /// The public half, as a key set lists it.
    pub fn public(&self, id: &str) -> Value {
        let mut key = match self {
            Self::Es256(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "x": BASE64.encode(&point[1..33]), "y": BASE64.encode(&point[33..])})
            }
            Self::Ed25519(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": BASE64.encode(pair.public_key())}),
            Self::Rs256(pair) => {
                let RsaPublicKeyComponents::<Vec<u8>> { n, e } = pair.public_key().into();
                json!({"kty": "RSA", "n": BASE64.encode(n), "e": BASE64.encode(e)})
            }
        };
        key["kid"] = id.into();
        key["use"] = "sig".into();
        key
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Es256(pair) => pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
                signature
            }
        }
    }

    /// A token with these claims, signed with the key that `id` names.
    pub fn token(&self, id: &str, claims: &Value) -> String {
        self.raw(&json!({"alg": self.algorithm(), "kid": id, "typ": "JWT"}).to_string(), &claims.to_string())
    }

    /// A token of these texts, signed whatever they say.
    pub fn raw(&self, header: &str, claims: &str) -> String {
        let message = unsigned(header, claims);
        let signature = BASE64.encode(self.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

/// What of a token is signed.
pub fn unsigned(header: &str, claims: &str) -> String {
    format!("{}.{}", BASE64.encode(header), BASE64.encode(claims))
}

/// A key set.
pub fn key_set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// Sound claims for an hour from `now`.
pub fn claims(name: &str, domain: &str, groups: &[&str], now: i64) -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": name, "domain": domain, "groups": groups, "region": "eu", "iat": now, "nbf": now, "exp": now + 3600})
}
