//! `[credentials.<name>]`: secrets by name, typed. A catalog names them and never holds them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use toml::de::DeTable;

use crate::id::DomainName;

use super::PseudonymKeys;
use super::document::Reader;
use super::kinds::{Flag, Text, Time};

/// The credential that pseudonyms are made with.
pub(super) const PSEUDONYMS: &str = "pseudonyms";
/// A shorter secret can be guessed.
const MIN_KEY_BYTES: usize = 16;

/// What a credential opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialKind {
    /// Buckets of S3, or of a storage that speaks its language.
    S3,
    /// An Azure storage account. Kept for the remote stores of a later version.
    Azure,
    /// A Google Cloud Storage bucket. Kept for the remote stores of a later version.
    Gcs,
    /// A key of the gateway's own, such as that of the pseudonyms, or of what it signs.
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
    /// A duration.
    Time(Duration),
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Secret(_) => f.write_str("secret"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Time(time) => write!(f, "{time:?}"),
        }
    }
}

/// A credential of type `s3`.
#[derive(Debug, Clone)]
pub struct S3Settings {
    /// Who asks.
    pub access_key_id: SecretString,
    /// What they prove it with.
    pub secret_access_key: SecretString,
    /// Of a temporary credential.
    pub session_token: Option<SecretString>,
    /// The buckets' region.
    pub region: String,
    /// Where the storage is, if not at AWS; without a `/` at its end.
    pub endpoint: Option<String>,
    /// Whether the endpoint may be one without TLS.
    pub allow_http: bool,
    /// Whether the bucket is part of the host's name.
    pub virtual_hosted_style: bool,
    /// How long the storage may say nothing.
    pub timeout: Duration,
}

/// Where a region is not said.
const S3_REGION: &str = "us-east-1";
/// How long a storage may say nothing, where it is not said.
const SILENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Text,
    Secret,
    Flag,
    Time,
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
            ("virtual_hosted_style", Shape::Flag),
            ("timeout", Shape::Time),
            ("domains", Shape::Text),
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
            Shape::Time => format!("`{name}` (a duration)"),
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

    /// The secret of a `key`, as it is.
    pub(super) fn secret(&self) -> Option<&SecretString> {
        match (self.kind, self.settings.get("secret")) {
            (CredentialKind::Key, Some(Setting::Secret(secret))) => Some(secret),
            _ => None,
        }
    }

    /// What it opens, where that is S3.
    pub fn s3(&self) -> Option<S3Settings> {
        let secret = |name| match self.settings.get(name) {
            Some(Setting::Secret(secret)) => Some(secret.clone()),
            _ => None,
        };
        let flag = |name| matches!(self.settings.get(name), Some(Setting::Flag(true)));
        (self.kind == CredentialKind::S3).then_some(())?;
        Some(S3Settings {
            access_key_id: secret("access_key_id")?,
            secret_access_key: secret("secret_access_key")?,
            session_token: secret("session_token"),
            region: self.text("region").unwrap_or(S3_REGION).to_owned(),
            endpoint: self.text("endpoint").map(|endpoint| endpoint.trim_end_matches('/').to_owned()),
            allow_http: flag("allow_http"),
            virtual_hosted_style: flag("virtual_hosted_style"),
            timeout: match self.settings.get("timeout") {
                Some(Setting::Time(time)) => *time,
                _ => SILENCE,
            },
        })
    }

    fn text(&self, name: &str) -> Option<&str> {
        match self.settings.get(name) {
            Some(Setting::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Whether a domain's storage may name it.
    fn serves(&self, domain: &DomainName) -> bool {
        self.text("domains").is_none_or(|names| names.split(',').any(|name| name.trim() == domain.as_str()))
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

/// Why a domain's storage of a scheme cannot be read with the credential that it names, where it cannot.
pub fn objection(
    credentials: &BTreeMap<String, CredentialSettings>,
    domain: &DomainName,
    scheme: &str,
    name: Option<&str>,
) -> Option<String> {
    let wanted = match scheme {
        "s3" => Some("s3"),
        "gs" => Some("gcs"),
        "az" | "abfs" | "abfss" => Some("azure"),
        _ => None,
    };
    let of = TYPES.iter().find(|of| Some(of.name) == wanted);
    match (name.map(|name| (name, credentials.get(name))), of) {
        (None, None) => None,
        (None, Some(_)) => Some("names no credential".to_owned()),
        (Some((name, None)), _) => Some(format!("names the credential `{name}`, which the gateway's configuration does not have")),
        (Some((name, Some(found))), Some(of)) if found.kind != of.kind => {
            Some(format!("names the credential `{name}`, which is not of the type `{}`", of.name))
        }
        (Some((name, Some(found))), _) => {
            (!found.serves(domain)).then(|| format!("names the credential `{name}`, which is not for this domain"))
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
            Shape::Time => reader.field::<Time<1, 60>>(table, setting).map(Setting::Time),
        };
        settings.extend(parsed.map(|parsed| (*setting, parsed)));
    }
    for list in ["rotated", "domains"] {
        let (Some(Setting::Text(names)), Some(value)) = (settings.get(list), table.get(list)) else { continue };
        for wrong in names.split(',').filter(|domain| DomainName::new(domain.trim()).is_err()) {
            reader.problem(value.span(), format!("`{list}` of credential `{name}`: `{}` is not the name of a domain", wrong.trim()));
        }
        if list == "rotated" && !settings.contains_key("previous") {
            reader.problem(value.span(), format!("`rotated` of credential `{name}` goes with `previous`"));
        }
    }
    if of.kind == CredentialKind::S3 {
        check_s3(reader, name, &settings, table);
    }
    CredentialSettings { kind: of.kind, settings }
}

/// What would fail at every read fails here.
fn check_s3(reader: &mut Reader<'_>, name: &str, settings: &BTreeMap<&'static str, Setting>, table: &DeTable<'_>) {
    if let (Some(Setting::Text(endpoint)), Some(value)) = (settings.get("endpoint"), table.get("endpoint")) {
        let url = url::Url::parse(endpoint).ok();
        let usable = url.as_ref().filter(|url| {
            let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
            plain && url.has_host() && matches!(url.scheme(), "http" | "https")
        });
        match usable {
            None => {
                reader.problem(value.span(), format!("`endpoint` of credential `{name}`: expected a URL such as \"https://host:9000\""))
            }
            Some(url) if url.scheme() == "http" && !matches!(settings.get("allow_http"), Some(Setting::Flag(true))) => {
                reader.problem(
                    value.span(),
                    format!("`endpoint` of credential `{name}` is without TLS: say `allow_http = true` if that is meant"),
                );
            }
            Some(_) => {}
        }
    }
    if let (Some(Setting::Text(region)), Some(value)) = (settings.get("region"), table.get("region"))
        && !region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    {
        reader.problem(value.span(), format!("`region` of credential `{name}`: expected a name such as \"eu-central-1\""));
    }
}
