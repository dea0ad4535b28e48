//! `[metering]`: where usage is published, and with which credential.

use std::collections::BTreeMap;
use std::time::Duration;

use super::document::Reader;
use super::{CredentialSettings, S3Settings, keys};
use crate::catalog::Location;

/// Where and how usage is published.
#[derive(Debug, Clone)]
pub struct Publish {
    /// A folder, or a folder of a bucket.
    pub place: Location,
    /// The credential of a bucket.
    pub credential: Option<S3Settings>,
    /// The time between two rounds.
    pub every: Duration,
    /// How long published rows stay in the journal; `None` is for good.
    pub keep: Option<Duration>,
}

/// What is said of publishing, taken together.
pub(super) fn read(reader: &mut Reader<'_>, raw: keys::Metering, credentials: &BTreeMap<String, CredentialSettings>) -> Option<Publish> {
    let Some(place) = raw.publish else {
        for (name, given) in [("publish_credentials", raw.publish_credentials.is_some()), ("keep", raw.keep.is_some())] {
            if given {
                reader.problem_at("metering", name, format!("`{name}` goes with `publish`"));
            }
        }
        return None;
    };
    let named = raw.publish_credentials.as_deref();
    let credential = named.and_then(|name| credentials.get(name)).and_then(CredentialSettings::s3);
    match (&place, named, &credential) {
        (Location::Remote(_), None, _) => {
            reader.problem_at("metering", "publish", "`publish` on S3 needs `publish_credentials`".to_owned());
        }
        (Location::Remote(_), Some(name), None) => {
            let message = format!("`publish_credentials`: there is no credential `{name}` of the type `s3`");
            reader.problem_at("metering", "publish_credentials", message);
        }
        (Location::File(_), Some(_), _) => {
            reader.problem_at("metering", "publish_credentials", "`publish_credentials` goes with `publish` on S3".to_owned());
        }
        _ => {}
    }
    Some(Publish { place, credential, every: raw.publish_every, keep: raw.keep })
}
