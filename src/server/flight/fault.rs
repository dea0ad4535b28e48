//! Faults as gRPC says them: a status with the code of the one table, a bounded text, and `google.rpc.ErrorInfo` as its detail.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use tonic::Status;

use crate::error::{ErrorKind, Fault};

/// `ErrorInfo.domain` of all our errors.
const DOMAIN: &str = "meshgate";

/// Longest text of one part. All parts travel in HTTP/2 trailers, and clients refuse header lists of more than 8 to 16 KiB.
const MAX_TEXT: usize = 1024;

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<arrow_flight::sql::Any>,
}

/// `google.rpc.ErrorInfo`.
#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
    #[prost(btree_map = "string, string", tag = "3")]
    metadata: BTreeMap<String, String>,
}

/// The gateway is going down.
pub(super) fn shutting_down() -> Fault {
    Fault::new(ErrorKind::ShuttingDown, "terminating connection due to administrator command")
}

/// The request is not what Flight allows.
pub(super) fn protocol(message: &str) -> Fault {
    Fault::new(ErrorKind::Protocol, message)
}

/// Something that this door does not do.
pub(super) fn unsupported(message: impl Into<String>) -> Fault {
    Fault::new(ErrorKind::Unsupported, message)
}

/// The status that says what `fault` says. Faults of ours are logged here, where they leave the process.
pub(super) fn status(fault: Fault) -> Status {
    let codes = fault.kind().codes();
    if fault.kind() == ErrorKind::Internal {
        tracing::error!(error = ?fault, "internal error in a Flight call");
    } else {
        tracing::debug!(error = ?fault, "Flight call refused");
    }
    let info = ErrorInfo { reason: codes.label.to_owned(), domain: DOMAIN.to_owned(), metadata: metadata(&fault) };
    let message = text(&fault);
    let rpc = RpcStatus {
        code: codes.grpc as i32,
        message: message.clone(),
        details: vec![arrow_flight::sql::Any {
            type_url: "type.googleapis.com/google.rpc.ErrorInfo".to_owned(),
            value: info.encode_to_vec().into(),
        }],
    };
    Status::with_details(codes.grpc, message, Bytes::from(rpc.encode_to_vec()))
}

/// The call's own deadline passed.
pub(super) fn deadline() -> Status {
    Status::deadline_exceeded("canceling statement due to the deadline of the call")
}

/// What programs read.
fn metadata(fault: &Fault) -> BTreeMap<String, String> {
    let mut metadata = BTreeMap::from([("sqlstate".to_owned(), fault.sqlstate().to_owned())]);
    let mut add = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            metadata.insert(key.to_owned(), value);
        }
    };
    add("detail", fault.detail().map(|text| capped(text).to_owned()));
    add("hint", fault.hint().map(|text| capped(text).to_owned()));
    add("position", fault.position().map(|position| position.to_string()));
    metadata
}

/// What people read. Most clients show nothing but this text, so it says all of it, the way psql prints it.
fn text(fault: &Fault) -> String {
    let mut text = format!("{} (SQLSTATE {})", capped(fault.message()), fault.sqlstate());
    if let Some(detail) = fault.detail() {
        text.push_str("\nDETAIL:  ");
        text.push_str(capped(detail));
    }
    if let Some(hint) = fault.hint() {
        text.push_str("\nHINT:  ");
        text.push_str(capped(hint));
    }
    text
}

/// The first [`MAX_TEXT`] bytes, at a character's edge.
fn capped(text: &str) -> &str {
    if text.len() <= MAX_TEXT {
        return text;
    }
    let end = (0..=MAX_TEXT).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info_of(status: &Status) -> ErrorInfo {
        let rpc = RpcStatus::decode(status.details()).unwrap();
        assert_eq!(rpc.code, status.code() as i32);
        ErrorInfo::decode(&*rpc.details[0].value).unwrap()
    }

    #[test]
    fn a_fault_keeps_its_code_its_sentences_and_its_sqlstate() {
        let fault = Fault::new(ErrorKind::Denied, "permission denied for table customer_master")
            .with_hint("Ask customer-data@northpeak.example.")
            .with_position(15);
        let status = status(fault);
        assert_eq!(status.code(), tonic::Code::PermissionDenied);
        assert_eq!(
            status.message(),
            "permission denied for table customer_master (SQLSTATE 42501)\nHINT:  Ask customer-data@northpeak.example."
        );
        let info = info_of(&status);
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("DENIED", "meshgate"));
        assert_eq!(info.metadata["sqlstate"], "42501");
        assert_eq!(info.metadata["hint"], "Ask customer-data@northpeak.example.");
        assert_eq!(info.metadata["position"], "15");
        assert!(!info.metadata.contains_key("detail"));
    }

    #[test]
    fn a_cause_never_reaches_the_client() {
        let status = status(Fault::internal("s3://secret-bucket/key"));
        assert_eq!(status.message(), "internal error (SQLSTATE XX000)");
        assert!(!String::from_utf8_lossy(status.details()).contains("secret"));
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let fault = Fault::new(ErrorKind::Syntax, "ä".repeat(5000)).with_hint("ö".repeat(5000)).with_detail("ü".repeat(5000));
        let status = status(fault);
        assert!(status.message().len() < 4000);
        assert!(status.details().len() < 8000);
    }
}
