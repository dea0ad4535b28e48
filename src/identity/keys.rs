//! Keys that the gateway makes for itself and keeps in its state folder, so that what they signed survives a restart.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Why a key could not be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file or its folder.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the machine says.
        source: io::Error,
    },
    /// Not a key. Guessing another one would silently void tokens and change pseudonyms.
    #[error("{0}: not a key: 32 bytes in base64 are expected; restore the file, or remove it to have a new key made")]
    Content(PathBuf),
    /// A secret that others can read.
    #[error("{0}: other users of this machine can read it; make it private with `chmod 600`")]
    Open(PathBuf),
    /// No randomness to be had.
    #[error("the machine's random number generator failed")]
    Random,
}

/// Reads the key called `name` in `folder`, or makes it (mode 0600, the folder 0700) where there is none. Two processes that start at
/// once agree on one key.
pub fn load_or_make_key(folder: &Path, name: &str) -> Result<[u8; 32], KeyError> {
    let path = folder.join(name);
    match read(&path) {
        Err(KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    let io = |source| KeyError::Io { path: path.clone(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
    let draft = folder.join(format!("{name}.{}", uuid::Uuid::now_v7()));
    let made = make(&draft).and_then(|()| match fs::hard_link(&draft, &path) {
        // Somebody else was first; theirs is the key.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(io),
    });
    let removed = fs::remove_file(&draft);
    made?;
    removed.map_err(io)?;
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
    read(&path)
}

fn make(path: &Path) -> Result<(), KeyError> {
    let mut key = [0; 32];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut key).map_err(|_| KeyError::Random)?;
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        writeln!(file, "{}", BASE64.encode(key))?;
        file.sync_all()
    };
    write().map_err(|source| KeyError::Io { path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<[u8; 32], KeyError> {
    let io = |source| KeyError::Io { path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(io)?;
    if metadata.permissions().mode() & 0o007 != 0 {
        return Err(KeyError::Open(path.to_owned()));
    }
    if metadata.len() > 1024 {
        return Err(KeyError::Content(path.to_owned()));
    }
    let text = fs::read_to_string(path).map_err(io)?;
    let bytes = BASE64.decode(text.trim()).map_err(|_| KeyError::Content(path.to_owned()))?;
    bytes.try_into().map_err(|_| KeyError::Content(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("a/state");
        let first = load_or_make_key(&state, "gateway.key").unwrap();
        assert_eq!(load_or_make_key(&state, "gateway.key").unwrap(), first);
        assert_ne!(load_or_make_key(&state, "other.key").unwrap(), first);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&state), mode(&state.join("gateway.key"))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&state).unwrap().count(), 2, "no draft is left behind");
    }

    #[test]
    fn a_damaged_or_readable_key_is_an_error_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.key");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(load_or_make_key(folder.path(), "gateway.key"), Err(KeyError::Content(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
        assert!(matches!(load_or_make_key(folder.path(), "gateway.key"), Err(KeyError::Open(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
    }
}
