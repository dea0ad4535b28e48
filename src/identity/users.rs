//! The users file: who exists, for whom they work, and how they prove who they are. It holds verifiers, never passwords.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::Deserialize;
use serde_saphyr::{Location, MessageFormatter, Spanned, UserMessageFormatter};

use super::ScramVerifier;
use super::scram::VerifierError;
use crate::id::{DomainName, GroupName, PrincipalName};

pub use super::edit::{add_user, remove_user, set_verifier};

/// Bytes of a users file: some 20,000 users.
const MAX_FILE: u64 = 8 << 20;
/// Bytes of a name, a group, an attribute.
const MAX_TEXT: usize = 128;
/// Groups, or attributes, of one user.
pub(super) const MAX_PER_USER: usize = 1000;

/// The users of one file, all valid.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UsersFile {
    users: Vec<UserEntry>,
}

/// One user as the file has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserEntry {
    /// Who.
    pub name: PrincipalName,
    /// The consumer domain.
    pub domain: DomainName,
    /// Their groups.
    pub groups: Vec<GroupName>,
    /// Their attributes.
    pub attributes: BTreeMap<String, String>,
    /// What their password is checked against.
    pub verifier: ScramVerifier,
}

/// What is wrong with a users file, or with a change of it. One line.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// There is no such file.
    #[error("{0}: no such file; make one with `meshgate user add`")]
    Missing(PathBuf),
    /// It cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the machine says.
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("{}:{problem}", path.display())]
    Invalid {
        /// Which.
        path: PathBuf,
        /// Where and what.
        problem: Problem,
    },
    /// A change that cannot be made.
    #[error("{0}")]
    Change(String),
}

/// A place in the file, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {message}")]
pub struct Problem {
    /// From 1.
    pub line: u64,
    /// From 1.
    pub column: u64,
    /// What is wrong, and what would be right.
    pub message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFile {
    pub users: Vec<Spanned<RawUser>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUser {
    name: Spanned<String>,
    domain: Spanned<String>,
    #[serde(default)]
    groups: Vec<Spanned<String>>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    pub verifier: Spanned<String>,
}

/// A new verifier of a password. Burns CPU on purpose: call it off the runtime.
pub fn make_verifier(password: &SecretString) -> Result<ScramVerifier, VerifierError> {
    ScramVerifier::generate(password)
}

impl UsersFile {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, UsersError> {
        let text = read_text(path)?;
        Self::parse(&text).map_err(|problem| UsersError::Invalid { path: path.to_owned(), problem })
    }

    /// Checks a text.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let raw = parse_raw(text)?;
        let mut names = BTreeSet::new();
        let mut users = Vec::with_capacity(raw.users.len());
        for user in raw.users {
            let at = user.value.name.referenced;
            let entry = user.value.check()?;
            if !names.insert(entry.name.clone()) {
                return Err(problem(at, format!("user `{}` is there twice; remove one of them", entry.name)));
            }
            users.push(entry);
        }
        Ok(Self { users })
    }

    /// The users, in the order of the file.
    pub fn users(&self) -> &[UserEntry] {
        &self.users
    }

    pub(super) fn users_mut(&mut self) -> &mut Vec<UserEntry> {
        &mut self.users
    }
}

impl UserEntry {
    /// A user, checked as the file's are.
    pub fn new(
        name: &str,
        domain: &str,
        groups: Vec<String>,
        attributes: BTreeMap<String, String>,
        verifier: ScramVerifier,
    ) -> Result<Self, String> {
        check_text("name", name)?;
        if groups.len() > MAX_PER_USER || attributes.len() > MAX_PER_USER {
            return Err(format!("user `{name}` has more than {MAX_PER_USER} groups or attributes"));
        }
        for group in &groups {
            check_text("group", group)?;
        }
        for (key, value) in &attributes {
            check_text("attribute", key)?;
            if !value.is_empty() {
                check_text("attribute value", value)?;
            }
        }
        let domain = DomainName::new(domain).map_err(|error| format!("domain {error}"))?;
        let groups = groups.iter().map(|group| GroupName::new(group)).collect();
        Ok(Self { name: PrincipalName::new(name), domain, groups, attributes, verifier })
    }
}

impl RawUser {
    fn check(self) -> Result<UserEntry, Problem> {
        let at_name = self.name.referenced;
        let verifier: ScramVerifier =
            self.verifier.value.parse().map_err(|error: VerifierError| problem(self.verifier.referenced, error.to_string()))?;
        if let Err(error) = DomainName::new(&self.domain.value) {
            return Err(problem(self.domain.referenced, format!("domain {error}")));
        }
        for group in &self.groups {
            check_text("group", &group.value).map_err(|message| problem(group.referenced, message))?;
        }
        let groups = self.groups.into_iter().map(|group| group.value).collect();
        UserEntry::new(&self.name.value, &self.domain.value, groups, self.attributes, verifier).map_err(|message| problem(at_name, message))
    }
}

/// Whether a text can be a name, a group or an attribute.
pub(super) fn check_text(what: &str, text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > MAX_TEXT {
        return Err(format!("a {what} has 1 to {MAX_TEXT} bytes, this one has {}", text.len()));
    }
    if text.trim() != text || text.chars().any(char::is_control) {
        return Err(format!("a {what} has no control characters and no blanks around it"));
    }
    Ok(())
}

pub(super) fn parse_raw(text: &str) -> Result<RawFile, Problem> {
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        with_snippet: false,
        budget: serde_saphyr::budget! { max_depth: 16, max_aliases: 0, max_anchors: 0, max_documents: 1, max_nodes: 2_000_000, max_events: 4_000_000 },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let error = error.without_snippet();
        let location = error.location().unwrap_or(Location::UNKNOWN);
        problem(location, UserMessageFormatter.format_message(error).escape_debug().to_string().replace("\\'", "'").replace("\\\"", "\""))
    })
}

fn problem(at: Location, message: String) -> Problem {
    Problem { line: at.line(), column: at.column(), message }
}

/// The file's text, of bounded length.
pub(super) fn read_text(path: &Path) -> Result<String, UsersError> {
    let io = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => UsersError::Missing(path.to_owned()),
        _ => UsersError::Io { path: path.to_owned(), source },
    };
    let invalid = |message: String| UsersError::Invalid { path: path.to_owned(), problem: Problem { line: 1, column: 1, message } };
    let mut bytes = Vec::new();
    fs::File::open(path).map_err(io)?.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(invalid(format!("the file is longer than {MAX_FILE} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| invalid("the file is not UTF-8".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERIFIER: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    fn user(lines: &str) -> String {
        format!("users:\n  - name: alice\n    domain: claims\n{lines}    verifier: \"{VERIFIER}\"\n")
    }

    #[test]
    fn a_user_has_a_domain_groups_and_attributes() {
        let file = UsersFile::parse(&user("    groups: [a, b-c]\n    attributes: {region: eu, level: 3}\n")).unwrap();
        let alice = &file.users()[0];
        assert_eq!((alice.name.as_str(), alice.domain.as_str()), ("alice", "claims"));
        assert_eq!(alice.groups, [GroupName::new("a"), GroupName::new("b-c")]);
        assert_eq!(alice.attributes["level"], "3");
    }

    #[test]
    fn every_mistake_says_where_it_is() {
        let twice = format!("{}  - name: alice\n    domain: claims\n    verifier: \"{VERIFIER}\"\n", user(""));
        let cases = [
            (user("    group: [a]\n"), "4:5: ", "group"),
            (user("    domain: other\n"), "4:5: ", "duplicate"),
            (user("").replace("domain: claims", "domain: Claims-1"), "3:13: ", "`Claims-1` is not a name"),
            (user("").replace(VERIFIER, "hunter2"), "4:15: ", "the verifier is not of the form"),
            (user("    groups: [\"\"]\n"), "4:14: ", "a group has 1 to 128 bytes"),
            (user("").replace("alice", "\"a\\0b\""), "2:11: ", "no control characters"),
            (twice, "5:11: ", "user `alice` is there twice"),
            ("users: 3\n".to_owned(), "1:8: ", ""),
            ("users:\n  - name: [\n".to_owned(), "2:11: ", ""),
            ("a: &a [x]\nusers: [*a, *a]\n".to_owned(), "", ""),
        ];
        for (text, place, message) in cases {
            let error = UsersFile::parse(&text).unwrap_err().to_string();
            assert!(error.starts_with(place) && error.contains(message), "{error}\n{text}");
            assert!(!error.contains('\n') && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_missing_too_long_or_not_text_is_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.yaml");
        assert!(matches!(UsersFile::load(&path), Err(UsersError::Missing(_))));
        fs::write(&path, [0xff, 0xfe, 0x00]).unwrap();
        assert!(UsersFile::load(&path).unwrap_err().to_string().ends_with("identity.yaml:1:1: the file is not UTF-8"));
        fs::write(&path, vec![b' '; 9 << 20]).unwrap();
        assert!(UsersFile::load(&path).unwrap_err().to_string().contains("longer than"));
    }
}
