//! `[credentials.<name>]`: secrets by name, typed. A catalog names them and never holds them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use toml::de::DeTable;

use crate::id::DomainName;

use super::PseudonymKeys;
use super::document::Reader;
use super::kinds::{Flag, Text};

/// The credential that pseudonyms are made with.
pub(super) const PSEUDONYMS: &str = "pseudonyms";
/// A shorter secret can be guessed.
const MIN_KEY_BYTES: usize = 16;

/// What a credential opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialKind {
    /// An S3 bucket. Kept for the remote stores of a later version.
    S3,
    /// An Azure storage account. Kept for the remote stores of a later version.
    Azure,
    /// A Google Cloud Storage bucket. Kept for the remote stores of a later version.
    Gcs,
    /// A key of the gateway's own, such as that of the pseudonyms.
    Key,
}

/// One credential.
#[derive(Debug, Clone)]
pub struct CredentialSettings {
    /// What it opens.
    pub kind: CredentialKind,
    /// Its settings by name.
    pub settings: BTreeMap<&'static str, Setting>,
}

/// A setting of a credential.
#[derive(Clone)]
pub enum Setting {
    /// A text that is no secret.
    Text(String),
    /// A secret.
    Secret(SecretString),
    /// A switch.
    Flag(bool),
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Secret(_) => f.write_str("secret"),
            Self::Flag(flag) => write!(f, "{flag}"),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Text,
    Secret,
    Flag,
}

/// A type of credential: what it opens, its name in the file, its settings, those that it cannot do without.
pub(super) struct Type {
    kind: CredentialKind,
    pub name: &'static str,
    settings: &'static [(&'static str, Shape)],
    required: &'static [&'static str],
}

pub(super) const TYPES: &[Type] = &[
    Type {
        kind: CredentialKind::S3,
        name: "s3",
        settings: &[
            ("access_key_id", Shape::Secret),
            ("secret_access_key", Shape::Secret),
            ("session_token", Shape::Secret),
            ("region", Shape::Text),
            ("endpoint", Shape::Text),
            ("allow_http", Shape::Flag),
        ],
        required: &["access_key_id", "secret_access_key"],
    },
    Type {
        kind: CredentialKind::Azure,
        name: "azure",
        settings: &[
            ("account", Shape::Text),
            ("access_key", Shape::Secret),
            ("sas_token", Shape::Secret),
            ("tenant_id", Shape::Text),
            ("client_id", Shape::Text),
            ("client_secret", Shape::Secret),
            ("endpoint", Shape::Text),
            ("allow_http", Shape::Flag),
        ],
        required: &["account"],
    },
    Type {
        kind: CredentialKind::Gcs,
        name: "gcs",
        settings: &[("service_account", Shape::Secret), ("endpoint", Shape::Text)],
        required: &["service_account"],
    },
    Type {
        kind: CredentialKind::Key,
        name: "key",
        settings: &[("secret", Shape::Secret), ("previous", Shape::Secret), ("rotated", Shape::Text)],
        required: &["secret"],
    },
];

impl Type {
    /// Its settings as the documentation shows them.
    pub fn describe(&self) -> String {
        let show = |(name, shape): &(&str, Shape)| match shape {
            Shape::Secret => format!("`{name}` (secret)"),
            Shape::Text => format!("`{name}`"),
            Shape::Flag => format!("`{name}` (true or false)"),
        };
        self.settings.iter().map(show).collect::<Vec<_>>().join(", ")
    }
}

impl CredentialSettings {
    /// The keys that pseudonyms are made with.
    pub(super) fn pseudonyms(&self) -> Option<PseudonymKeys> {
        let current = self.key("secret")?;
        let rotated = match self.settings.get("rotated") {
            Some(Setting::Text(names)) => names.split(',').filter_map(|name| DomainName::new(name.trim()).ok()).collect(),
            _ => BTreeSet::new(),
        };
        Some(PseudonymKeys::new(current, self.key("previous"), rotated))
    }

    /// The 32 bytes of a secret of a `key`.
    fn key(&self, name: &str) -> Option<[u8; 32]> {
        match (self.kind, self.settings.get(name)) {
            (CredentialKind::Key, Some(Setting::Secret(secret))) => {
                use sha2::Digest;
                let digest = sha2::Sha256::new().chain_update(b"meshgate key 1\0").chain_update(secret.expose_secret());
                Some(digest.finalize().into())
            }
            _ => None,
        }
    }
}

/// Reads all credentials.
pub(super) fn read(reader: &mut Reader<'_>) -> BTreeMap<String, CredentialSettings> {
    let mut credentials = BTreeMap::new();
    for (name, at, table) in reader.tables("credentials") {
        let names: Vec<_> = TYPES.iter().map(|of| of.name).collect();
        let given = table.get("type").and_then(|value| value.get_ref().as_str());
        let Some(of) = TYPES.iter().find(|of| given == Some(of.name)) else {
            let at = table.get("type").map_or(at, |value| value.span());
            reader.problem(at, format!("`type` of credential `{name}`: expected one of {}", names.join(", ")));
            continue;
        };
        if name == PSEUDONYMS && of.kind != CredentialKind::Key {
            reader.problem(at.clone(), format!("credential `{name}` has the type `key`"));
        }
        credentials.insert(name.clone(), read_one(reader, &name, at, of, &table));
    }
    credentials
}

fn read_one(reader: &mut Reader<'_>, name: &str, at: std::ops::Range<usize>, of: &Type, table: &DeTable<'_>) -> CredentialSettings {
    let known: Vec<_> = of.settings.iter().map(|(name, _)| *name).chain(["type"]).collect();
    reader.check_names(table, &format!("[credentials.{name}]"), &known, &[]);
    for required in of.required {
        if !table.contains_key(*required) {
            reader.problem(at.clone(), format!("credential `{name}` of type `{}` needs `{required}`", of.name));
        }
    }
    let mut settings = BTreeMap::new();
    for (setting, shape) in of.settings {
        let Some(value) = table.get(*setting) else { continue };
        let parsed = match shape {
            Shape::Secret => reader.secret(setting, value).map(|secret| {
                if of.kind == CredentialKind::Key && secret.len() < MIN_KEY_BYTES {
                    reader.problem(value.span(), format!("`{setting}` of credential `{name}` has fewer than {MIN_KEY_BYTES} bytes"));
                }
                Setting::Secret(secret.into())
            }),
            Shape::Text => reader.field::<Text>(table, setting).map(Setting::Text),
            Shape::Flag => reader.field::<Flag>(table, setting).map(Setting::Flag),
        };
        settings.extend(parsed.map(|parsed| (*setting, parsed)));
    }
    if let (Some(Setting::Text(names)), Some(value)) = (settings.get("rotated"), table.get("rotated")) {
        for wrong in names.split(',').filter(|domain| DomainName::new(domain.trim()).is_err()) {
            reader.problem(value.span(), format!("`rotated` of credential `{name}`: `{}` is not the name of a domain", wrong.trim()));
        }
        if !settings.contains_key("previous") {
            reader.problem(value.span(), format!("`rotated` of credential `{name}` goes with `previous`"));
        }
    }
    CredentialSettings { kind: of.kind, settings }
}
