//! How somebody can prove who they are.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::{ExposeSecret, SecretString};

use super::{Identity, Principal};
use crate::error::{ErrorKind, Fault, Result};

/// What a caller brings.
#[derive(Debug)]
pub enum Credential {
    /// A user of the users file and their password, or the name [`super::jwt::TOKEN_USER`] and a token.
    Password {
        /// Who they say they are.
        name: String,
        /// The proof.
        password: SecretString,
    },
    /// A token that [`Identity::mint_bearer`] made, or one of an identity provider.
    Bearer(SecretString),
}

impl Credential {
    /// Reads the value of an `Authorization` header (RFC 7617, RFC 6750): HTTP's header and Flight's metadata are alike.
    pub fn from_authorization(header: &str) -> Result<Self> {
        let malformed = || Fault::new(ErrorKind::LoginMalformed, "malformed authorization header").with_hint("Use Basic or Bearer.");
        let (scheme, value) = header.trim().split_once(' ').ok_or_else(malformed)?;
        let value = value.trim();
        if scheme.eq_ignore_ascii_case("bearer") && !value.is_empty() {
            return Ok(Self::Bearer(value.into()));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(malformed());
        }
        let decoded = BASE64.decode(value).map_err(|_| malformed())?;
        let decoded = String::from_utf8(decoded).map_err(|_| malformed())?;
        let (name, password) = decoded.split_once(':').ok_or_else(malformed)?;
        Ok(Self::Password { name: name.to_owned(), password: password.into() })
    }
}

impl Identity {
    /// Who brings this credential. Every failure that a wrong guess can cause is an [`ErrorKind::Login`].
    pub async fn authenticate(&self, credential: &Credential) -> Result<Arc<Principal>> {
        match credential {
            Credential::Password { name, password } => self.verify_password(name, password.expose_secret()).await,
            Credential::Bearer(token) => self.verify_bearer(token.expose_secret()).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_and_bearer_are_read_in_any_case() {
        let basic = Credential::from_authorization("bAsIc YWxpY2U6YTpi").unwrap();
        assert!(matches!(basic, Credential::Password { name, password } if name == "alice" && password.expose_secret() == "a:b"));
        let bearer = Credential::from_authorization("Bearer mg1.x.y").unwrap();
        assert!(matches!(bearer, Credential::Bearer(token) if token.expose_secret() == "mg1.x.y"));
    }

    #[test]
    fn anything_else_is_malformed() {
        for bad in ["", "Basic", "Basic ", "Basic !!", "Basic YWxpY2U=", "Bearer ", "Digest x", "Basic /////w=="] {
            assert_eq!(Credential::from_authorization(bad).unwrap_err().kind(), ErrorKind::LoginMalformed, "{bad}");
        }
    }
}
