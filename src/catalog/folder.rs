//! The catalog's folder: which files there are and what they hold. Reads, bounds and refuses; understands nothing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::read::{clip, nearest};
use super::yaml::Mark;
use super::{Origin, Problem, Severity};

/// The largest file that is read.
pub(super) const MAX_FILE: u64 = 256 << 10;
/// The most entries that a catalog may have, so that a wrong path is not walked for ever.
const MAX_ENTRIES: usize = 200_000;

/// A file's text, or why there is none.
#[derive(Debug, Clone)]
pub(super) enum Contents {
    Text(Arc<str>),
    Unusable(Mark, String),
}

/// A file of the catalog.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Relative to the catalog, with `/`.
    pub(super) file: String,
    pub(super) contents: Contents,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) mesh: Option<Found>,
    pub(super) rego: Vec<Found>,
    pub(super) domains: BTreeMap<String, DomainFolder>,
    pub(super) problems: Vec<Problem>,
}

#[derive(Debug, Default)]
pub(super) struct DomainFolder {
    pub(super) file: Option<Found>,
    pub(super) rego: Vec<Found>,
    pub(super) products: BTreeMap<String, ProductFolder>,
}

#[derive(Debug, Default)]
pub(super) struct ProductFolder {
    pub(super) rego: Vec<Found>,
    pub(super) manifests: BTreeMap<u64, Found>,
}

/// Walks the folder.
pub(super) fn walk(folder: &Path) -> Tree {
    let mut walker = Walker { root: fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf()), entries: 0, tree: Tree::default() };
    walker.mesh(folder);
    walker.tree
}

/// A short answer to "did anything change?": path, size and time of every file.
pub(super) fn fingerprint(folder: &Path) -> Vec<(PathBuf, u64, Option<std::time::SystemTime>)> {
    let mut prints = Vec::new();
    let mut todo = vec![folder.to_path_buf()];
    while let Some(next) = todo.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
            if prints.len() >= MAX_ENTRIES {
                return prints;
            }
            // What is hidden is not read either, unless through a link, whose target's time is then the link's.
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            let Ok(metadata) = fs::metadata(&path) else { continue };
            if metadata.is_dir() && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                todo.push(path.clone());
            }
            prints.push((path, metadata.len(), metadata.modified().ok()));
        }
    }
    prints.sort();
    prints
}

struct Walker {
    root: PathBuf,
    entries: usize,
    tree: Tree,
}

/// An entry of a folder: its name, its path, and whether it is a folder.
struct Entry {
    name: String,
    path: PathBuf,
    is_folder: bool,
}

impl Walker {
    fn mesh(&mut self, folder: &Path) {
        for entry in self.list(folder, "") {
            match (entry.name.as_str(), entry.is_folder) {
                ("mesh.yaml", false) => self.tree.mesh = Some(found(&entry.path, "mesh.yaml".into())),
                ("policies", true) => self.tree.rego = self.policies(&entry.path, "policies"),
                (_, true) => self.domain(&entry),
                (name, false) => self.stray(name, name, &["mesh.yaml"]),
            }
        }
    }

    fn domain(&mut self, folder: &Entry) {
        let mut domain = DomainFolder::default();
        for entry in self.list(&folder.path, &folder.name) {
            let file = format!("{}/{}", folder.name, entry.name);
            match (entry.name.as_str(), entry.is_folder) {
                ("domain.yaml", false) => domain.file = Some(found(&entry.path, file)),
                ("policies", true) => domain.rego = self.policies(&entry.path, &file),
                (_, true) => {
                    let product = self.product(&entry.path, &file);
                    if !product.manifests.is_empty() || !product.rego.is_empty() {
                        domain.products.insert(entry.name, product);
                    }
                }
                (name, false) => self.stray(name, &file, &["domain.yaml"]),
            }
        }
        if domain.file.is_some() || !domain.products.is_empty() || !domain.rego.is_empty() {
            self.tree.domains.insert(folder.name.clone(), domain);
        }
    }

    fn product(&mut self, path: &Path, folder: &str) -> ProductFolder {
        let mut product = ProductFolder::default();
        for entry in self.list(path, folder) {
            let file = format!("{folder}/{}", entry.name);
            match (major(&entry.name), entry.is_folder) {
                (Some(major), false) => drop(product.manifests.insert(major, found(&entry.path, file))),
                (_, true) if entry.name == "policies" => product.rego = self.policies(&entry.path, &file),
                (_, true) => {}
                (None, false) => self.stray(&entry.name, &file, &["v1.yaml"]),
            }
        }
        product
    }

    /// The Rego files of a `policies` folder. What cannot be read of it counts as a policy that cannot be used: closed, not open.
    fn policies(&mut self, path: &Path, folder: &str) -> Vec<Found> {
        let before = self.tree.problems.len();
        let entries = self.list(path, folder);
        let unusable = |file: String, why: &str| Found { file, contents: Contents::Unusable(Mark::FILE, why.into()) };
        let mut rego = Vec::new();
        for entry in &entries {
            let file = format!("{folder}/{}", entry.name);
            match (entry.is_folder, entry.name.ends_with(".rego")) {
                (true, _) => rego.push(unusable(file, "a folder in `policies` is not read: put its files beside the others")),
                (false, true) => rego.push(found(&entry.path, file)),
                (false, false) if entry.name.to_lowercase().contains(".rego") => {
                    rego.push(unusable(file, "the name of a policy ends in `.rego`"));
                }
                (false, false) => {}
            }
        }
        if self.tree.problems.len() > before {
            rego.push(unusable(folder.to_owned(), "the folder cannot be read whole"));
        }
        rego
    }

    /// The entries of a folder by name, without hidden ones. A symbolic link is followed only to somewhere in the catalog.
    fn list(&mut self, path: &Path, folder: &str) -> Vec<Entry> {
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) => {
                self.problem(folder, Severity::Error, format!("the folder cannot be read: {}", error.kind()));
                return Vec::new();
            }
        };
        let mut found = Vec::new();
        for entry in entries {
            let Ok(entry) = entry else {
                self.problem(folder, Severity::Error, "the folder cannot be read to its end".into());
                break;
            };
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                self.problem(folder, Severity::Warning, format!("`{}` is not UTF-8 and is not read", clip(&name.to_string_lossy())));
                continue;
            };
            if name.starts_with('.') {
                continue;
            }
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                self.problem("", Severity::Error, format!("the catalog has more than {MAX_ENTRIES} entries; the rest is not read"));
                break;
            }
            let file = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
            if let Some(is_folder) = self.is_folder(&entry, &file) {
                found.push(Entry { name: name.to_owned(), path: entry.path(), is_folder });
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }

    fn is_folder(&mut self, entry: &fs::DirEntry, file: &str) -> Option<bool> {
        let kind = entry.file_type().ok()?;
        if !kind.is_symlink() {
            return Some(kind.is_dir());
        }
        match fs::canonicalize(entry.path()) {
            Ok(target) if target.starts_with(&self.root) && target != self.root => Some(target.is_dir()),
            Ok(_) => {
                self.problem(file, Severity::Error, "a symbolic link that leaves the catalog is not followed".into());
                None
            }
            Err(_) => {
                self.problem(file, Severity::Error, "a symbolic link to nothing".into());
                None
            }
        }
    }

    /// A YAML file that has no business here was probably meant for something.
    fn stray(&mut self, name: &str, file: &str, known: &[&str]) {
        if name.ends_with(".yaml") || name.ends_with(".yml") {
            let meant = match known {
                ["v1.yaml"] => "a manifest is named after its major version, as v1.yaml".to_owned(),
                known => nearest(name, known.iter().copied())
                    .map_or_else(|| "no such file is known here".to_owned(), |w| format!("did you mean `{w}`?")),
            };
            self.problem(file, Severity::Warning, format!("the file is not read: {meant}"));
        }
    }

    fn problem(&mut self, file: &str, severity: Severity, message: String) {
        let file = if file.is_empty() { "." } else { file };
        let origin = Origin { file: file.to_owned(), line: 0, column: 0 };
        self.tree.problems.push(Problem { origin, severity, product: None, message });
    }
}

/// `v12.yaml` is major 12; `v012.yaml` is nothing.
fn major(name: &str) -> Option<u64> {
    let digits = name.strip_prefix('v')?.strip_suffix(".yaml")?;
    let canonical = digits == "0" || !digits.starts_with('0');
    (canonical && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

fn found(path: &Path, file: String) -> Found {
    Found { file, contents: contents(path) }
}

fn contents(path: &Path) -> Contents {
    let refuse = |why: String| Contents::Unusable(Mark::FILE, why);
    // Asked before opening: opening a pipe would wait for its writer.
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => return refuse("not a regular file".into()),
        Ok(metadata) if metadata.len() > MAX_FILE => return refuse(too_large()),
        Ok(_) => {}
        Err(error) => return refuse(format!("the file cannot be read: {}", error.kind())),
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => refuse(format!("the file cannot be read: {}", error.kind())),
        Ok(_) if u64::try_from(bytes.len()).is_ok_and(|len| len > MAX_FILE) => refuse(too_large()),
        Ok(_) => decode(bytes),
    }
}

fn too_large() -> String {
    format!("the file is larger than {} KiB", MAX_FILE >> 10)
}

/// Bytes as text, or where they stop being UTF-8.
pub(super) fn decode(bytes: Vec<u8>) -> Contents {
    match String::from_utf8(bytes) {
        Ok(text) => Contents::Text(text.into()),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let before = String::from_utf8_lossy(error.as_bytes().get(..valid).unwrap_or_default()).into_owned();
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            let widen = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
            Contents::Unusable(Mark { line: widen(line), column: widen(column) }, "the text is not UTF-8 from here".into())
        }
    }
}
