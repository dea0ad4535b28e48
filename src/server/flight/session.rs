//! Sessions: settings that outlive a call, without a table of sessions here.
//!
//! A client that sets something - with the action SetSessionOptions or the statement SET - gets all its settings back, sealed, and
//! carries them from then on: as the cookie `meshgate-session` (JDBC always keeps cookies), and behind the bearer token in the
//! `authorization` header of the response, which ADBC takes over as its new token.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::Message;
use tonic::metadata::{MetadataMap, MetadataValue};

use crate::error::{ErrorKind, Fault, Result};
use crate::id::PrincipalName;
use crate::identity::Identity;
use crate::query::Kind;

use super::login::Caller;
use super::{CATALOG, Flight, fault, sealed};

/// Between a bearer token and the session behind it. Neither JWTs nor our own tokens hold it.
pub(super) const SEPARATOR: char = '~';

const COOKIE: &str = "meshgate-session";

/// Longest session that a client is asked to carry in a header, in bytes before Base64.
const MAX_SESSION: usize = 6 << 10;

/// `SetSessionOptionsRequest` of Flight.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SetOptions {
    #[prost(btree_map = "string, message", tag = "1")]
    options: BTreeMap<String, OptionValue>,
}

/// `SetSessionOptionsResult` of Flight.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SetOptionsResult {
    #[prost(btree_map = "string, message", tag = "1")]
    errors: BTreeMap<String, OptionError>,
}

/// `SetSessionOptionsResult.Error` of Flight.
#[derive(Clone, PartialEq, Message)]
struct OptionError {
    /// 1 is an invalid name, 2 an invalid value.
    #[prost(int32, tag = "1")]
    value: i32,
}

/// `GetSessionOptionsResult` of Flight.
#[derive(Clone, PartialEq, Message)]
pub(super) struct GetOptionsResult {
    #[prost(btree_map = "string, message", tag = "1")]
    options: BTreeMap<String, OptionValue>,
}

/// `CloseSessionResult` of Flight.
#[derive(Clone, PartialEq, Message)]
pub(super) struct CloseResult {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// `SessionOptionValue` of Flight. Absent is "unset".
#[derive(Clone, PartialEq, Message)]
struct OptionValue {
    #[prost(oneof = "Value", tags = "1, 2, 3, 4, 5")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Value {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(sfixed64, tag = "3")]
    Integer(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    List(TextList),
}

#[derive(Clone, PartialEq, Message)]
struct TextList {
    #[prost(string, repeated, tag = "1")]
    values: Vec<String>,
}

/// The session that a call carries: behind its token, or as a cookie.
pub(super) fn carried(
    identity: &Identity,
    principal: &PrincipalName,
    metadata: &MetadataMap,
    behind_token: Option<&str>,
) -> Result<BTreeMap<String, String>> {
    let Some(text) = behind_token.or_else(|| cookie(metadata)) else { return Ok(BTreeMap::new()) };
    // Not ignored: a client that set a limit must not go on without it.
    let sealed = URL_SAFE_NO_PAD.decode(text).ok();
    sealed.and_then(|sealed| sealed::open_session(identity, principal, &sealed)).ok_or_else(|| {
        Fault::new(ErrorKind::InvalidParameter, "session is not valid").with_hint("Connect again, and set the session's settings again.")
    })
}

fn cookie(metadata: &MetadataMap) -> Option<&str> {
    let pairs = metadata.get_all("cookie").into_iter().filter_map(|header| header.to_str().ok()).flat_map(|header| header.split(';'));
    pairs.filter_map(|pair| pair.trim().split_once('=')).find(|(name, value)| *name == COOKIE && !value.is_empty()).map(|(_, value)| value)
}

impl Flight {
    /// Gives `settings` to the caller's client to carry.
    pub(super) fn hand_over(&self, caller: &Caller, settings: &BTreeMap<String, String>, response: &mut MetadataMap) -> Result<()> {
        let (token, cookie) = if settings.is_empty() {
            (String::new(), format!("{COOKIE}=; Path=/; Max-Age=0"))
        } else {
            let sealed = sealed::session(&self.door.identity, &caller.principal.name, settings);
            if sealed.len() > MAX_SESSION {
                return Err(Fault::new(ErrorKind::ProgramLimit, "settings of the session are too large"));
            }
            let text = URL_SAFE_NO_PAD.encode(sealed);
            (format!("{SEPARATOR}{text}"), format!("{COOKIE}={text}; Path=/; HttpOnly; SameSite=Strict"))
        };
        let bearer = caller.bearer.clone().unwrap_or_else(|| self.door.identity.mint_bearer(&caller.principal));
        let header = |text: String| MetadataValue::try_from(text).map_err(Fault::internal);
        response.insert("set-cookie", header(cookie)?);
        response.insert("authorization", header(format!("Bearer {bearer}{token}"))?);
        Ok(())
    }

    /// What a SET has set that is closed now, where its caller comes without any session. ADBC forgets the first session that it is given after
    /// a login with name and password: once it has read its first result it goes back to the token of the login.
    pub(super) fn forgotten(&self, caller: &Caller, handle: &[u8]) -> Option<BTreeMap<String, String>> {
        let statement = sealed::open_handle(&self.door.identity, &caller.principal.name, handle).ok()?;
        if !caller.session.is_empty() || caller.bearer.is_none() {
            return None;
        }
        let session = self.open_session(caller, &BTreeMap::new()).ok()?;
        let parsed = self.parse_one(&session, &statement.sql).ok()?;
        self.changed_by(caller, parsed.kind()).ok()?.filter(|settings| !settings.is_empty())
    }

    /// The settings after a statement that changes them, or `None` where it is of another kind.
    pub(super) fn changed_by(&self, caller: &Caller, kind: &Kind) -> Result<Option<BTreeMap<String, String>>> {
        let mut settings = caller.session.clone();
        match kind {
            Kind::Set { name, value: Some(value), local: false } => {
                self.open_session(caller, &BTreeMap::from([(name.clone(), value.clone())]))?;
                settings.insert(name.to_ascii_lowercase(), value.clone());
            }
            Kind::Set { name, value: None, .. } | Kind::Reset(Some(name)) => {
                self.open_session(caller, &BTreeMap::new())?.settings().show(name)?;
                settings.remove(&name.to_ascii_lowercase());
            }
            Kind::Reset(None) => settings.clear(),
            Kind::Discard(what) if what.eq_ignore_ascii_case("all") => settings.clear(),
            // PLANS, SEQUENCES and TEMP: there are none.
            Kind::Discard(_) | Kind::NoOp(_) => {}
            Kind::Set { local: true, .. } => {
                return Err(fault::unsupported("SET LOCAL is not supported over Flight").with_hint("Use SET: there are no transactions."));
            }
            _ => return Ok(None),
        }
        Ok(Some(settings))
    }

    /// The action SetSessionOptions: the settings after it, and what of it was refused. All or nothing.
    pub(super) fn set_options(&self, caller: &Caller, request: SetOptions) -> Result<(BTreeMap<String, String>, SetOptionsResult)> {
        let mut settings = caller.session.clone();
        let mut result = SetOptionsResult::default();
        for (option, value) in request.options {
            if let Err(fault) = self.set_option(caller, &mut settings, &option, value.value.map(text_of)) {
                let value = if fault.kind() == ErrorKind::UndefinedObject { 1 } else { 2 };
                result.errors.insert(option, OptionError { value });
            }
        }
        if result.errors.is_empty() { Ok((settings, result)) } else { Ok((caller.session.clone(), result)) }
    }

    /// `catalog` and `schema` are Flight's own names; all others are settings.
    fn set_option(&self, caller: &Caller, settings: &mut BTreeMap<String, String>, option: &str, value: Option<String>) -> Result<()> {
        let name = match (option, &value) {
            ("catalog", Some(value)) if value == CATALOG || value.is_empty() => return Ok(()),
            ("catalog", None) => return Ok(()),
            ("catalog", Some(_)) => return Err(Fault::new(ErrorKind::InvalidParameter, "no such catalog")),
            ("schema", _) => "search_path".to_owned(),
            (option, _) => option.to_ascii_lowercase(),
        };
        match value {
            Some(value) => {
                self.open_session(caller, &BTreeMap::from([(name.clone(), value.clone())]))?;
                settings.insert(name, value);
            }
            None => {
                settings.remove(&name);
            }
        }
        Ok(())
    }

    /// The action GetSessionOptions.
    pub(super) fn get_options(&self, caller: &Caller) -> GetOptionsResult {
        let mut options: BTreeMap<String, OptionValue> = caller.session.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        if let Some(path) = options.get("search_path").cloned() {
            options.insert("schema".to_owned(), path);
        }
        options.insert("catalog".to_owned(), text(CATALOG));
        GetOptionsResult { options }
    }

    /// The action CloseSession. `1` is closed.
    pub(super) fn close_session(&self) -> CloseResult {
        CloseResult { status: 1 }
    }
}

fn text(value: &str) -> OptionValue {
    OptionValue { value: Some(Value::Text(value.to_owned())) }
}

fn text_of(value: Value) -> String {
    match value {
        Value::Text(text) => text,
        Value::Bool(value) => if value { "on" } else { "off" }.to_owned(),
        Value::Integer(value) => value.to_string(),
        Value::Double(value) => value.to_string(),
        Value::List(list) => list.values.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut metadata = MetadataMap::new();
        metadata.append("cookie", "a=b; meshgate-session=".parse().unwrap());
        assert_eq!(cookie(&metadata), None);
        metadata.append("cookie", "c=d;  meshgate-session=xyz ;e=f".parse().unwrap());
        assert_eq!(cookie(&metadata), Some("xyz"));
    }

    #[test]
    fn option_values_become_the_texts_of_settings() {
        assert_eq!(text_of(Value::Bool(false)), "off");
        assert_eq!(text_of(Value::Integer(-5)), "-5");
        assert_eq!(text_of(Value::List(TextList { values: vec!["claims".to_owned(), "public".to_owned()] })), "claims, public");
    }

    #[test]
    fn the_messages_are_those_of_flight() {
        // SetSessionOptionsRequest {"a": string "b"}, written out by hand.
        let bytes = [0x0a, 0x08, 0x0a, 0x01, b'a', 0x12, 0x03, 0x0a, 0x01, b'b'];
        let request = SetOptions::decode(bytes.as_slice()).unwrap();
        assert_eq!(request.options["a"].value, Some(Value::Text("b".to_owned())));
        assert_eq!(CloseResult { status: 1 }.encode_to_vec(), [0x08, 0x01]);
    }
}
