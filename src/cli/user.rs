//! `meshgate user`: who may log in. Edits the users file; a running gateway sees the change within a second.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use secrecy::{ExposeSecret, SecretString};

use super::{Failure, load_paths, print_line};
use crate::identity::users::{UserEntry, UsersError, UsersFile, add_user, make_verifier, remove_user, set_verifier};

/// Manage the users file
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
    /// The configuration that names the users file; without one `meshgate.toml` where there is one, and the defaults
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add a user
    Add {
        /// Who
        name: String,
        /// The consumer domain: it pays for what they read
        #[arg(long)]
        domain: String,
        /// A group; may be repeated
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
        /// An attribute; may be repeated
        #[arg(long = "attribute", value_name = "KEY=VALUE", value_parser = attribute)]
        attributes: Vec<(String, String)>,
        /// Read the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// List the users
    List,
    /// Give a user another password
    Passwd {
        /// Who
        name: String,
        /// Read the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// Remove a user
    Remove {
        /// Who
        name: String,
    },
}

pub(super) fn attribute(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let file = load_paths(args.config.as_deref())?.users;
    match &args.action {
        Action::Add { name, domain, groups, attributes, password_stdin } => add(&file, name, domain, groups, attributes, *password_stdin),
        Action::List => list(&file),
        Action::Passwd { name, password_stdin } => {
            known(&file, name)?;
            set_verifier(&file, name, verifier(name, *password_stdin)?).map_err(Failure::failed)?;
            print_line(&format!("user {name} has a new password"));
            Ok(())
        }
        Action::Remove { name } => {
            remove_user(&file, name).map_err(Failure::failed)?;
            print_line(&format!("user {name} removed"));
            Ok(())
        }
    }
}

fn add(
    file: &Path,
    name: &str,
    domain: &str,
    groups: &[String],
    attributes: &[(String, String)],
    password_stdin: bool,
) -> Result<(), Failure> {
    let mut by_key = BTreeMap::new();
    for (key, value) in attributes {
        if by_key.insert(key.clone(), value.clone()).is_some() {
            return Err(Failure::Usage(format!("attribute `{}` is given twice", key.escape_debug())));
        }
    }
    // What can be told before a password is asked for is told then: with a verifier that stands in for the real one.
    let draft = make_verifier(&SecretString::default()).map_err(Failure::failed)?;
    let mut user = UserEntry::new(name, domain, groups.to_vec(), by_key, draft).map_err(Failure::Usage)?;
    match UsersFile::load(file) {
        Ok(users) if users.users().iter().any(|known| known.name.as_str() == name) => {
            return Err(Failure::Failed(format!("user `{name}` exists already; use `meshgate user passwd` for a new password")));
        }
        Ok(_) | Err(UsersError::Missing(_)) => {}
        Err(error) => return Err(Failure::failed(error)),
    }
    user.verifier = verifier(name, password_stdin)?;
    add_user(file, user).map_err(Failure::failed)?;
    print_line(&format!("user {name} added to {}", file.display()));
    Ok(())
}

fn known(file: &Path, name: &str) -> Result<(), Failure> {
    let users = UsersFile::load(file).map_err(Failure::failed)?;
    let found = users.users().iter().any(|user| user.name.as_str() == name);
    if found { Ok(()) } else { Err(Failure::Failed(format!("there is no user `{}`", name.escape_debug()))) }
}

fn list(file: &Path) -> Result<(), Failure> {
    let users = UsersFile::load(file).map_err(Failure::failed)?;
    let head = ["name", "domain", "groups", "attributes"].map(str::to_owned);
    let rows = users.users().iter().map(|user| {
        let groups: Vec<_> = user.groups.iter().map(|group| group.as_str()).collect();
        let attributes: Vec<_> = user.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
        [user.name.to_string(), user.domain.to_string(), groups.join(","), attributes.join(",")]
    });
    for line in table([head].into_iter().chain(rows).collect()) {
        print_line(&line);
    }
    Ok(())
}

/// Columns as wide as their widest value.
fn table(rows: Vec<[String; 4]>) -> Vec<String> {
    let mut widths = [0; 4];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; 4]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn verifier(name: &str, password_stdin: bool) -> Result<crate::identity::ScramVerifier, Failure> {
    let password = if password_stdin { password_of_stdin()? } else { password_of_terminal(name)? };
    let text = password.expose_secret();
    if text.is_empty() {
        return Err(Failure::Failed("an empty password lets nobody in".to_owned()));
    }
    if text.contains('\0') {
        return Err(Failure::Failed("a password cannot hold a zero byte".to_owned()));
    }
    make_verifier(&password).map_err(Failure::failed)
}

fn password_of_stdin() -> Result<SecretString, Failure> {
    const LONGEST: u64 = 4096;
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(LONGEST + 1).read_to_end(&mut bytes).map_err(Failure::failed)?;
    if bytes.len() as u64 > LONGEST {
        return Err(Failure::Failed(format!("the password is longer than {LONGEST} bytes")));
    }
    let text = SecretString::from(String::from_utf8(bytes).map_err(|_| Failure::Failed("the password is not UTF-8".to_owned()))?);
    Ok(text.expose_secret().lines().next().unwrap_or_default().into())
}

fn password_of_terminal(name: &str) -> Result<SecretString, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage("standard input is no terminal; give the password with --password-stdin".to_owned()));
    }
    let ask = |prompt: String| rpassword::prompt_password(prompt).map(SecretString::from).map_err(Failure::failed);
    let password = ask(format!("Password for {name}: "))?;
    let again = ask("Again: ".to_owned())?;
    if password.expose_secret() != again.expose_secret() {
        return Err(Failure::Failed("the two passwords differ".to_owned()));
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_aligned() {
        let rows = vec![["a", "bb", "", "x"], ["ccc", "d", "g", ""]].into_iter().map(|row| row.map(str::to_owned)).collect();
        assert_eq!(table(rows), ["a    bb     x", "ccc  d   g"]);
    }

    #[test]
    fn an_attribute_is_a_key_and_a_value() {
        assert_eq!(attribute("region=eu=1").unwrap(), ("region".to_owned(), "eu=1".to_owned()));
        assert!(attribute("region").is_err());
    }
}
