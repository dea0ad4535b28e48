//! `[metering]`: where alerts of budgets are sent to, and what they are signed with.

use std::collections::BTreeMap;

use secrecy::ExposeSecret;

use super::document::Reader;
use super::{CredentialSettings, keys};
use crate::metering::Webhook;

/// What is said of alerts, taken together.
pub(super) fn read(reader: &mut Reader<'_>, raw: &keys::Metering, credentials: &BTreeMap<String, CredentialSettings>) -> Option<Webhook> {
    let (url, name) = match (&raw.alerts_url, &raw.alerts_credentials) {
        (None, None) => return None,
        (Some(url), Some(name)) => (url, name),
        (Some(_), None) => {
            reader.problem_at("metering", "alerts_url", "`alerts_url` needs `alerts_credentials`".to_owned());
            return None;
        }
        (None, Some(_)) => {
            reader.problem_at("metering", "alerts_credentials", "`alerts_credentials` goes with `alerts_url`".to_owned());
            return None;
        }
    };
    let Some(secret) = credentials.get(name).and_then(CredentialSettings::secret) else {
        let message = format!("`alerts_credentials`: there is no credential `{name}` of the type `key`");
        reader.problem_at("metering", "alerts_credentials", message);
        return None;
    };
    Webhook::new(url, secret.expose_secret()).map_err(|why| reader.problem_at("metering", "alerts_url", why.to_owned())).ok()
}
