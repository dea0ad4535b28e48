//! The names of things.
//!
//! Every name that crosses a module boundary is a type of its own, so that a product cannot be passed where a domain is meant and a
//! string from outside cannot be used before it was checked. Nothing here does IO or knows what the named thing holds.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// Schemas that the gateway itself owns, so no domain may be called so.
pub const RESERVED_DOMAINS: [&str; 6] = ["mesh", "finops", "audit", "pg_catalog", "information_schema", "public"];

/// The longest name, in bytes: PostgreSQL's `NAMEDATALEN - 1`.
pub const MAX_NAME: usize = 63;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a name: use lower-case letters, digits and `_`, starting with a letter, at most 63 characters")]
pub struct NameError {
    given: String,
}

/// A checked identifier: `[a-z][a-z0-9_]{0,62}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// Checks `text` against the pattern of names.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let mut bytes = text.bytes();
        let starts_well = bytes.next().is_some_and(|b| b.is_ascii_lowercase());
        let goes_on_well = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if starts_well && goes_on_well && text.len() <= MAX_NAME {
            Ok(Self(text.into()))
        } else {
            Err(NameError { given: text.chars().take(80).collect() })
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Declares the newtypes over [`Name`] with the conversions that all of them need.
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Name);

        impl $name {
            /// Checks `text` against the pattern of names.
            pub fn new(text: &str) -> Result<Self, NameError> {
                Name::new(text).map(Self)
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    )*};
}

names! {
    /// A domain: an owner of data. Also the SQL schema of its products.
    DomainName;
    /// A product, unique within its domain.
    ProductName;
    /// An output port, unique within its product version.
    PortName;
}

/// Declares names that come from an identity provider, so any text is possible; only the length is bounded.
macro_rules! outside_names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes any text; the sources bound its length.
            pub fn new(text: &str) -> Self {
                Self(text.into())
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.as_str())
            }
        }
    )*};
}

outside_names! {
    /// Who is asking.
    PrincipalName;
    /// A group that principals belong to.
    GroupName;
}

/// A product of a domain, whatever its version: `claims.claims_enriched`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProductId {
    /// The producer domain.
    pub domain: DomainName,
    /// The product's name within the domain.
    pub product: ProductName,
}

impl ProductId {
    /// The group whose members may read this product: `dp-<domain>-<product>-reader`.
    pub fn reader_group(&self) -> GroupName {
        GroupName::new(&format!("dp-{}-{}-reader", self.domain, self.product))
    }
}

impl fmt::Display for ProductId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.domain, self.product)
    }
}

/// One readable thing: an output port of one live major version of a product.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId {
    /// The product.
    pub product: ProductId,
    /// The live major version.
    pub major: u64,
    /// The output port.
    pub port: PortName,
}

impl PortId {
    /// The authority of this port's object-store URL inside the gateway. It is unique per port and holds no location, so a plan that
    /// prints it tells nothing, and no two ports can share a store or a cache entry.
    pub fn authority(&self) -> String {
        format!("{}.{}.v{}.{}", self.product.domain, self.product.product, self.major, self.port)
    }
}

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_v{}__{}", self.product, self.major, self.port)
    }
}

/// One query, from parse to settlement. Time-ordered (UUID version 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(Uuid);

impl QueryId {
    /// A new id.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// Which reload of the catalog a query sees. Grows by one with every reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CatalogVersion(pub u64);

/// The digest of everything that decides access: catalog, policies, users (SHA-256, lower-case hexadecimal).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PolicyRevision(Arc<str>);

impl PolicyRevision {
    /// Wraps a digest.
    pub fn new(digest: &str) -> Self {
        Self(digest.into())
    }

    /// The digest as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_identifiers_of_at_most_63_bytes() {
        for good in ["a", "claims", "a_1", &"a".repeat(63)] {
            assert!(Name::new(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "1a", "_a", "a-b", "a.b", "a b", "ä", "a\0", "*", "..", "${x}", &"a".repeat(64)] {
            assert!(Name::new(bad).is_err(), "{bad}");
        }
    }
}
