//! Changes of the users file: one user at a time, atomically, and everything else in the file stays as it was written, comments
//! included.
//!
//! A change is made in the text and then read back. Where the file is written in a way that the text edit does not get right (flow
//! style, say), it is written anew from what it means.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::ScramVerifier;
use super::users::{self, UserEntry, UsersError, UsersFile};

/// Adds a user. The file is made (mode 0600) where there is none.
pub fn add_user(path: &Path, user: UserEntry) -> Result<(), UsersError> {
    change(path, Missing::MakeNew, |text, file| {
        if file.users().iter().any(|known| known.name == user.name) {
            return Err(UsersError::Change(format!("user `{}` exists already; use `meshgate user passwd` for a new password", user.name)));
        }
        let draft = appended(text, &user);
        file.users_mut().push(user);
        Ok(draft)
    })
}

/// Gives a user another verifier.
pub fn set_verifier(path: &Path, name: &str, verifier: ScramVerifier) -> Result<(), UsersError> {
    change(path, Missing::Refuse, |text, file| {
        let index = position(file, name)?;
        let draft = with_verifier(text, index, &verifier);
        if let Some(user) = file.users_mut().get_mut(index) {
            user.verifier = verifier;
        }
        Ok(draft)
    })
}

/// Removes a user.
pub fn remove_user(path: &Path, name: &str) -> Result<(), UsersError> {
    change(path, Missing::Refuse, |text, file| {
        let index = position(file, name)?;
        let draft = without(text, index);
        file.users_mut().remove(index);
        Ok(draft)
    })
}

fn position(file: &UsersFile, name: &str) -> Result<usize, UsersError> {
    let found = file.users().iter().position(|user| user.name.as_str() == name);
    found.ok_or_else(|| UsersError::Change(format!("there is no user `{}`", name.escape_debug())))
}

enum Missing {
    MakeNew,
    Refuse,
}

/// Reads, changes and replaces the file while no other change can come in between. `edit` changes what the file means and may offer a
/// text that says so.
fn change(
    path: &Path,
    missing: Missing,
    edit: impl FnOnce(&str, &mut UsersFile) -> Result<Option<String>, UsersError>,
) -> Result<(), UsersError> {
    // The file that a symbolic link stands for is replaced, not the link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let io = |source| UsersError::Io { path: path.clone(), source };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let lock = File::open(&folder).map_err(io)?;
    lock.lock().map_err(io)?;
    let text = match (users::read_text(&path), missing) {
        (Err(UsersError::Missing(_)), Missing::MakeNew) => String::new(),
        (other, _) => other?,
    };
    let mut file = if text.trim().is_empty() {
        UsersFile::default()
    } else {
        UsersFile::parse(&text).map_err(|problem| UsersError::Invalid { path: path.clone(), problem })?
    };
    let draft = edit(&text, &mut file)?;
    let text = draft.filter(|draft| UsersFile::parse(draft).as_ref() == Ok(&file)).unwrap_or_else(|| written(&file));
    // Whatever happened: a file that would lock everybody out is never put in place.
    UsersFile::parse(&text).map_err(|problem| UsersError::Invalid { path: path.clone(), problem })?;
    replace(&path, &folder, &text).map_err(io)?;
    drop(lock);
    Ok(())
}

fn replace(path: &Path, folder: &Path, text: &str) -> io::Result<()> {
    let draft = folder.join(format!(".identity.{}", uuid::Uuid::now_v7()));
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)
    };
    let written = write();
    if written.is_err() {
        // Best effort: the failure that is told is the one above.
        let _ = fs::remove_file(&draft);
    }
    written?;
    File::open(folder)?.sync_all()
}

/// The whole file, from what it means.
fn written(file: &UsersFile) -> String {
    if file.users().is_empty() {
        return "users: []\n".to_owned();
    }
    file.users().iter().fold("users:\n".to_owned(), |text, user| text + &entry(user, 2))
}

fn entry(user: &UserEntry, indent: usize) -> String {
    let list = |items: Vec<String>| items.join(", ");
    let groups = list(user.groups.iter().map(|group| scalar(group.as_str())).collect());
    let attributes = list(user.attributes.iter().map(|(key, value)| format!("{}: {}", scalar(key), scalar(value))).collect());
    let mut text = String::new();
    let pad = " ".repeat(indent);
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{pad}- name: {}", scalar(user.name.as_str()));
    let _ = writeln!(text, "{pad}  domain: {}", user.domain);
    if !groups.is_empty() {
        let _ = writeln!(text, "{pad}  groups: [{groups}]");
    }
    if !attributes.is_empty() {
        let _ = writeln!(text, "{pad}  attributes: {{{attributes}}}");
    }
    let _ = writeln!(text, "{pad}  verifier: \"{}\"", user.verifier);
    text
}

/// A text as YAML: plain where nobody could take it for anything else, in quotes otherwise.
fn scalar(text: &str) -> String {
    let starts_plain = text.starts_with(|c: char| c.is_ascii_alphabetic());
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    let words = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    if starts_plain && is_plain && !words.contains(&text.to_ascii_lowercase().as_str()) {
        return text.to_owned();
    }
    // A JSON string is a double-quoted YAML scalar.
    serde_json::Value::from(text).to_string()
}

/// Lines of the text with their ends.
fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// The line (from 0) on which each user's entry begins, where every one begins with a dash.
fn starts(text: &str) -> Option<Vec<usize>> {
    let raw = users::parse_raw(text).ok()?;
    let lines = lines(text);
    let begins = |user: &serde_saphyr::Spanned<users::RawUser>| {
        let line = usize::try_from(user.referenced.line()).ok()?.checked_sub(1)?;
        lines.get(line)?.trim_start().starts_with("- ").then_some(line)
    };
    raw.users.iter().map(begins).collect()
}

fn appended(text: &str, user: &UserEntry) -> Option<String> {
    let last = *starts(text)?.last()?;
    let line = *lines(text).get(last)?;
    let indent = line.len() - line.trim_start().len();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    Some(format!("{text}{end}{}", entry(user, indent)))
}

fn without(text: &str, index: usize) -> Option<String> {
    let (starts, lines) = (starts(text)?, lines(text));
    let start = *starts.get(index)?;
    let mut end = starts.get(index + 1).copied().unwrap_or(lines.len());
    // A comment above the next entry belongs to that one.
    let is_remark = |line: &&str| line.trim().is_empty() || line.trim_start().starts_with('#');
    while end > start + 1 && lines.get(end - 1).is_some_and(is_remark) {
        end -= 1;
    }
    let kept = lines.iter().enumerate().filter(|(line, _)| !(start..end).contains(line));
    Some(kept.map(|(_, line)| *line).collect())
}

fn with_verifier(text: &str, index: usize, verifier: &ScramVerifier) -> Option<String> {
    let raw = users::parse_raw(text).ok()?;
    let span = raw.users.get(index)?.value.verifier.referenced.span();
    let start = usize::try_from(span.byte_offset()?).ok()?;
    let end = start.checked_add(usize::try_from(span.byte_len()?).ok()?)?;
    Some(format!("{}\"{verifier}\"{}", text.get(..start)?, text.get(end..)?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn user(name: &str) -> UserEntry {
        let attributes = BTreeMap::from([("region".to_owned(), "no".to_owned())]);
        let verifier = ScramVerifier::generate(&"demo".into()).unwrap();
        UserEntry::new(name, "claims", vec!["dp-a-b-reader".to_owned()], attributes, verifier).unwrap()
    }

    fn names(path: &Path) -> Vec<String> {
        UsersFile::load(path).unwrap().users().iter().map(|user| user.name.to_string()).collect()
    }

    #[test]
    fn users_are_added_changed_and_removed_and_the_file_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.yaml");
        for name in ["alice", "o'neil \"x\"", "true"] {
            add_user(&path, user(name)).unwrap();
        }
        assert_eq!(names(&path), ["alice", "o'neil \"x\"", "true"]);
        assert_eq!(UsersFile::load(&path).unwrap().users()[0].attributes["region"], "no");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(add_user(&path, user("alice")).unwrap_err().to_string().contains("exists already"));

        let verifier = ScramVerifier::generate(&"other".into()).unwrap();
        set_verifier(&path, "alice", verifier.clone()).unwrap();
        assert!(UsersFile::load(&path).unwrap().users()[0].verifier == verifier);
        for name in ["alice", "true", "o'neil \"x\""] {
            remove_user(&path, name).unwrap();
        }
        assert_eq!(names(&path), [""; 0]);
        assert!(remove_user(&path, "alice").unwrap_err().to_string().contains("no user `alice`"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left behind");
    }

    #[test]
    fn comments_and_other_entries_stay_as_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.yaml");
        let verifier = user("x").verifier;
        let one = |name: &str| format!("- domain: claims   # theirs\n  name: {name}\n  verifier: '{verifier}' # kept\n");
        let text = format!("# head\nusers:\n{}\n# about bob\n{}# about carol\n{}# tail\n", one("alice"), one("bob"), one("carol"));
        fs::write(&path, &text).unwrap();

        let other = ScramVerifier::generate(&"other".into()).unwrap();
        set_verifier(&path, "bob", other.clone()).unwrap();
        let bob = one("bob").replace(&format!("'{verifier}'"), &format!("\"{other}\""));
        assert_eq!(fs::read_to_string(&path).unwrap(), text.replace(&one("bob"), &bob));

        remove_user(&path, "bob").unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("# head\nusers:\n{}\n# about bob\n# about carol\n{}# tail\n", one("alice"), one("carol"))
        );
        let dave = user("dave");
        add_user(&path, dave.clone()).unwrap();
        assert!(fs::read_to_string(&path).unwrap().ends_with(&format!("# tail\n{}", entry(&dave, 0))));
        assert_eq!(names(&path), ["alice", "carol", "dave"]);
    }

    #[test]
    fn flow_style_is_written_anew_and_a_broken_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.yaml");
        fs::write(&path, format!("{{users: [{{name: alice, domain: claims, verifier: \"{}\"}}]}}", user("x").verifier)).unwrap();
        add_user(&path, user("bob")).unwrap();
        assert_eq!(names(&path), ["alice", "bob"]);

        fs::write(&path, "users:\n  - nam: alice\n").unwrap();
        assert!(matches!(add_user(&path, user("bob")), Err(UsersError::Invalid { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "users:\n  - nam: alice\n");
    }

    #[test]
    fn changes_at_the_same_time_are_all_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.yaml");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let path = &path;
                scope.spawn(move || add_user(path, user(&format!("user{number}"))).unwrap());
            }
        });
        assert_eq!(names(&path).len(), 8);
    }
}
