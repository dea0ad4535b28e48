//! Where data lies, in one canonical spelling, so that "under the domain's prefix" is a comparison and not a guess.

use std::path::{Component, Path, PathBuf};

use super::Location;
use super::read::{clip, nearest, one_of};

/// The kinds of remote location that a catalog may name.
const SCHEMES: [&str; 9] = ["s3", "s3a", "gs", "az", "abfs", "abfss", "http", "https", "postgres"];

impl Location {
    /// Reads a location; `file:` ones are relative to `base`.
    pub(crate) fn parse(text: &str, base: &Path) -> Result<Self, String> {
        if let Some((scheme, rest)) = text.split_once(':')
            && holds_login(scheme, rest)
        {
            // Not even shown: what is wrong with a catalog is told to people who may not know its secrets.
            return Err("the location holds a user or password: name a credential in domain.yaml instead".into());
        }
        if let Some(c) = text.chars().find(|c| c.is_control() || c.is_whitespace() || matches!(c, '\\' | '?' | '#' | '*')) {
            // What stands behind a `?` may be a signature.
            let shown = text.split('?').next().unwrap_or_default();
            return Err(format!("`{}` holds {c:?}, which no location may", clip(shown)));
        }
        if text.contains('%') {
            return Err(format!("`{}` holds an escape (`%`): write the name itself", clip(text)));
        }
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(format!("`{}` does not say where: write `file:data/…` or a URL as `s3://bucket/…`", clip(text)));
        };
        match scheme {
            "file" => file(rest, base).map_err(|why| format!("`{}` {why}", clip(text))),
            _ if SCHEMES.contains(&scheme) => remote(scheme, rest).map_err(|why| format!("`{}` {why}", clip(text))),
            _ => {
                let meant =
                    nearest(scheme, SCHEMES).map_or_else(|| format!("use file, {}", one_of(&SCHEMES)), |s| format!("did you mean `{s}`?"));
                Err(format!("`{}` has an unknown scheme: {meant}", clip(text)))
            }
        }
    }

    /// Whether it is a folder's: it ends in `/`.
    pub fn is_folder(&self) -> bool {
        match self {
            Self::File(path) => path.as_os_str().as_encoded_bytes().ends_with(b"/"),
            Self::Remote(url) => url.ends_with('/'),
        }
    }

    /// Whether it lies under `prefix`, or is it.
    pub fn is_under(&self, prefix: &Self) -> bool {
        match (self, prefix) {
            (Self::File(path), Self::File(prefix)) => path.starts_with(prefix),
            (Self::Remote(url), Self::Remote(prefix)) => url.starts_with(prefix.as_str()),
            _ => false,
        }
    }
}

fn file(rest: &str, base: &Path) -> Result<Location, String> {
    let path = match rest.strip_prefix("//") {
        Some(path) if path.starts_with('/') => path,
        Some(_) => return Err("names a host: write `file:data/…` or `file:///data/…`".into()),
        None => rest,
    };
    segments(path.strip_prefix('/').unwrap_or(path))?;
    if path.trim_matches('/').is_empty() {
        return Err("names no folder".into());
    }
    let mut canonical = if path.starts_with('/') { PathBuf::from("/") } else { base.to_path_buf() };
    canonical.extend(Path::new(path).components().filter(|part| matches!(part, Component::Normal(_))));
    if path.ends_with('/') {
        canonical.push("");
    }
    Ok(Location::File(canonical))
}

/// Whether there is something before an `@`. In Azure's own URLs that is the container, which has no `:`.
fn holds_login(scheme: &str, rest: &str) -> bool {
    let authority = rest.trim_start_matches('/').split('/').next().unwrap_or_default();
    authority.split_once('@').is_some_and(|(before, _)| !scheme.starts_with("abfs") || before.contains(':'))
}

fn remote(scheme: &str, rest: &str) -> Result<Location, String> {
    let Some(rest) = rest.strip_prefix("//") else {
        return Err(format!("lacks the `//` after `{scheme}:`"));
    };
    let (authority, path) = rest.split_once('/').ok_or("ends at the bucket: end it with `/`")?;
    if authority.is_empty() {
        return Err("names no bucket or host".into());
    }
    segments(path)?;
    // Two names of one thing: a prefix in one spelling holds locations in the other.
    let scheme = if scheme == "s3a" { "s3" } else { scheme };
    if scheme == "s3" && !is_bucket(authority) {
        return Err("names a bucket that cannot be: it has 3 to 63 letters, digits, dots and hyphens".into());
    }
    Ok(Location::Remote(format!("{scheme}://{authority}/{path}")))
}

/// Whether S3 may have a bucket of this name. It becomes a part of a URL, perhaps of its host.
fn is_bucket(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (3..=63).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('.') && !name.ends_with('.') && !name.contains("..")
}

/// No empty, `.` or `..` segment; a trailing `/` is fine.
fn segments(path: &str) -> Result<(), String> {
    let path = path.strip_suffix('/').unwrap_or(path);
    for segment in path.split('/').filter(|_| !path.is_empty()) {
        match segment {
            "" => return Err("holds `//`".into()),
            "." | ".." => return Err(format!("holds `{segment}`: write the path without it")),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Location, String> {
        Location::parse(text, Path::new("/mesh"))
    }

    #[test]
    fn files_are_relative_to_the_folder_above_the_catalog() {
        assert_eq!(parse("file:data/claims/"), Ok(Location::File("/mesh/data/claims/".into())));
        assert_eq!(parse("file:///srv/x.parquet"), Ok(Location::File("/srv/x.parquet".into())));
        assert_eq!(parse("file:/srv/x"), Ok(Location::File("/srv/x".into())));
        assert_eq!(parse("s3a://bucket/x/"), parse("s3://bucket/x/"), "one storage, two names");
        assert!(parse("file:data/claims/").unwrap().is_folder() && !parse("file:data/x.csv").unwrap().is_folder());
    }

    #[test]
    fn h1_nothing_climbs_out_or_hides_what_it_is() {
        for text in [
            "file:../x/",
            "file:data/../../x",
            "file:data/./x",
            "file:data//x",
            "file:data/%2e%2e/x",
            "file://host/x",
            "file:",
            "file:/",
            "file:///",
            "data/x/",
            "s3:/bucket/x",
            "s3://bucket",
            "s3:///x",
            "s3://bucket/../c/",
            "s3://bucket//c",
            "s3://key:secret@bucket/x",
            "s3://host:9000/x",
            "s3://a/x",
            "s3://bucket..x/y",
            "s3://.bucket/y",
            "ftp://host/x",
            "s3://bucket/x?y=1",
            "s3://bucket/x#y",
            "file:data\\x",
            "file:da ta",
            "file:data/\u{0}",
            "s3://bucket/*",
            "",
            ":",
            "S3://bucket/x/",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_sibling_with_the_same_beginning_is_not_under_the_prefix() {
        let prefix = parse("file:data/claims/").unwrap();
        assert!(parse("file:data/claims/x/").unwrap().is_under(&prefix));
        assert!(!parse("file:data/claims_of_others/x/").unwrap().is_under(&prefix));
        let prefix = parse("s3://bucket/claims/").unwrap();
        assert!(parse("s3://bucket/claims/x/").unwrap().is_under(&prefix) && !parse("s3://bucket/claims2/x/").unwrap().is_under(&prefix));
    }
}
