//! What a door holds for one authenticated client.

use std::sync::Arc;

use crate::identity::Principal;
use crate::metering::Protocol;
use crate::policy::Circumstances;

use super::{Gateway, Settings};

/// What a door holds for one authenticated connection (PostgreSQL) or one client session (Flight).
///
/// It says who was authenticated, and carries no right: what they may see is asked again for every statement.
#[derive(Debug)]
pub struct Session {
    principal: Arc<Principal>,
    protocol: Protocol,
    settings: Arc<Settings>,
}

impl Session {
    /// A session of `principal`, with the settings at their defaults.
    pub fn new(gateway: &Arc<Gateway>, principal: Arc<Principal>, protocol: Protocol) -> Self {
        let search_path = format!("{}, public", principal.domain);
        let settings = Settings::new(principal.name.as_str(), &search_path, gateway.limits().statement_timeout);
        Self { principal, protocol, settings: Arc::new(settings) }
    }

    /// Who.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// Through which door.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// What it says of itself, as of now.
    pub(crate) fn circumstances(&self) -> Circumstances {
        let (purpose, application_name) = (self.settings.purpose(), self.settings.application_name());
        Circumstances { purpose, protocol: self.protocol.label(), application_name }
    }

    /// Its settings.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }
}
