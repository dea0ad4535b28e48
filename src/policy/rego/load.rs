//! Files to levels: each folder is compiled by itself, and what is wrong with one closes what it guards and nothing else.

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::sync::Arc;

use regorus::Engine;
use sha2::{Digest, Sha256};

use crate::catalog::{Origin, Problem, Severity};
use crate::id::{DomainName, ProductId};

use super::check::{self, Facts, Names};
use super::{Export, Level, Program, Reason, Rego};

/// The largest file, in bytes.
const MAX_FILE: usize = 64 << 10;
/// The most files of a level.
const MAX_FILES: usize = 32;
/// A stack on which even the most nested file can be read and thrown away. Only what is used of it is real memory.
const STACK: usize = 256 << 20;

/// Whose policy a file is. What it may say follows from that.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whose {
    /// The mesh's.
    Mesh,
    /// A domain's.
    Domain(DomainName),
    /// A product's.
    Product(ProductId),
}

impl Whose {
    /// The package that its files declare.
    fn package(&self) -> Vec<String> {
        let path: Vec<&str> = match self {
            Self::Mesh => vec!["mesh", "global"],
            Self::Domain(domain) => vec!["mesh", "domain", domain.as_str()],
            Self::Product(id) => vec!["mesh", "product", id.domain.as_str(), id.product.as_str()],
        };
        path.into_iter().map(str::to_owned).collect()
    }

    /// Whether a product is guarded by it.
    fn guards(&self) -> String {
        match self {
            Self::Mesh => "every product is denied".to_owned(),
            Self::Domain(domain) => format!("the products of `{domain}` are denied"),
            Self::Product(id) => format!("`{id}` is denied"),
        }
    }
}

/// A file of a `policies` folder.
#[derive(Debug, Clone)]
pub struct PolicyFile {
    /// Whose it is.
    pub whose: Whose,
    /// Relative to the catalog's folder, with `/`.
    pub file: String,
    /// Its text, or why there is none.
    pub text: Result<Arc<str>, String>,
}

impl Rego {
    /// Compiles the files that changed since `before`, and says what is wrong with the others.
    pub fn load(files: Vec<PolicyFile>, before: &Self) -> (Self, Vec<Problem>) {
        let mut folders: BTreeMap<Whose, Vec<PolicyFile>> = BTreeMap::new();
        for file in files {
            folders.entry(file.whose.clone()).or_default().push(file);
        }
        let (mut rego, mut problems) = (Self::default(), Vec::new());
        for (whose, files) in folders {
            let digest = digest(&files);
            let known = match &whose {
                Whose::Mesh => before.mesh.as_ref(),
                Whose::Domain(domain) => before.domains.get(domain),
                Whose::Product(id) => before.products.get(id),
            };
            let level = match known.filter(|level| level.digest == digest) {
                Some(level) => Arc::clone(level),
                None => {
                    let package = whose.package();
                    let program = catch_unwind(|| stacker::grow(STACK, || compile(&package, &files))).unwrap_or_else(|_| {
                        let origin = files.first().map(|file| Origin { file: file.file.clone(), line: 0, column: 0 });
                        Err(vec![Reason { text: format!("{UNUSABLE}the interpreter fails to read it"), origin }])
                    });
                    Arc::new(Level { digest, package: package.join("."), program })
                }
            };
            problems.extend(level.program.as_ref().err().into_iter().flatten().map(|reason| problem(&whose, reason)));
            match whose {
                Whose::Mesh => rego.mesh = Some(level),
                Whose::Domain(domain) => drop(rego.domains.insert(domain, level)),
                Whose::Product(id) => drop(rego.products.insert(id, level)),
            }
        }
        (rego, problems)
    }
}

fn digest(files: &[PolicyFile]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for file in files {
        let (kind, text) = match &file.text {
            Ok(text) => ("text", text.as_ref()),
            Err(why) => ("none", why.as_str()),
        };
        for part in [file.file.as_str(), kind, text] {
            digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            digest.update(part.as_bytes());
        }
    }
    digest.finalize().into()
}

/// A level's mistake as the catalog's, in the words of the author.
fn problem(whose: &Whose, reason: &Reason) -> Problem {
    let product = match whose {
        Whose::Product(id) => Some(id.clone()),
        Whose::Mesh | Whose::Domain(_) => None,
    };
    let origin = reason.origin.clone().unwrap_or(Origin { file: String::new(), line: 0, column: 0 });
    let text = reason.text.strip_prefix(UNUSABLE).unwrap_or(&reason.text);
    Problem { origin, severity: Severity::Error, product, message: format!("{text}: {} until it is mended", whose.guards()) }
}

/// How the audit begins to tell of a policy that could not be loaded.
const UNUSABLE: &str = "a policy cannot be used: ";

fn compile(package: &[String], files: &[PolicyFile]) -> Result<Program, Vec<Reason>> {
    let mut reasons = Vec::new();
    let mut fault = |file: &str, (line, column): (u32, u32), why: String| {
        let origin = Some(Origin { file: file.to_owned(), line: line.into(), column: column.into() });
        reasons.push(Reason { text: format!("{UNUSABLE}{why}"), origin });
    };
    let mut engine = Engine::new();
    let whole = files.first().map_or("", |file| file.file.as_str());
    if files.len() > MAX_FILES {
        fault(whole, (0, 0), format!("the folder has {} files, and {MAX_FILES} is the most", files.len()));
    }
    for file in files.iter().take(MAX_FILES) {
        match &file.text {
            Err(why) => fault(&file.file, (0, 0), why.clone()),
            Ok(text) if text.len() > MAX_FILE => fault(&file.file, (0, 0), format!("the file is larger than {} KiB", MAX_FILE >> 10)),
            Ok(text) => {
                if let Err(error) = engine.add_policy(file.file.clone(), text.to_string()) {
                    let (place, why) = said(&error.to_string());
                    let place = place.map_or((0, 0), |at| (at.line.try_into().unwrap_or(0), at.column.try_into().unwrap_or(0)));
                    fault(&file.file, place, why);
                }
            }
        }
    }
    // What follows looks at all files of the level, so all of them have to be there.
    if !reasons.is_empty() {
        return Err(reasons);
    }
    let mut fault = |file: &str, (line, column, why): check::Mistake| {
        let origin = Some(Origin { file: file.to_owned(), line: line.into(), column: column.into() });
        reasons.push(Reason { text: format!("{UNUSABLE}{why}"), origin });
    };
    let modules: Vec<_> = engine.get_modules().to_vec();
    let mut names = Names::default();
    modules.iter().for_each(|module| names.add(module));
    let mut facts: Vec<Facts> = modules.iter().map(|module| check::look(module, package, &names)).collect();
    let depth = check::together(&mut facts).unwrap_or_else(|why| {
        fault(whole, (0, 0, why));
        0
    });
    let mut answers: BTreeMap<Export, Vec<_>> = BTreeMap::new();
    for (file, facts) in files.iter().zip(facts) {
        facts.mistakes.into_iter().for_each(|mistake| fault(&file.file, mistake));
        for (export, rules) in facts.answers {
            answers.entry(export).or_default().extend(rules.into_iter().map(|rule| (file.file.clone(), rule)));
        }
    }
    if reasons.is_empty()
        && let Some(export) = answers.keys().next()
        && let Err(error) = engine.compile_with_entrypoint(&format!("data.{}.{}", package.join("."), export.name()).into())
    {
        let (place, why) = said(&error.to_string());
        let origin = place.or_else(|| Some(Origin { file: whole.to_owned(), line: 0, column: 0 }));
        reasons.push(Reason { text: format!("{UNUSABLE}{why}"), origin });
    }
    if reasons.is_empty() { Ok(Program { engine, answers, depth }) } else { Err(reasons) }
}

/// The place and the gist of what the interpreter says in five lines.
pub(super) fn said(message: &str) -> (Option<Origin>, String) {
    const LONGEST: usize = 200;
    let place = message.lines().find_map(|line| {
        let mut parts = line.strip_prefix("--> ")?.rsplitn(3, ':');
        let (column, line) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some(Origin { file: parts.next()?.to_owned(), line, column })
    });
    let gist = message.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or(message);
    let gist: String = gist.lines().next().unwrap_or_default().chars().take(LONGEST).flat_map(char::escape_debug).collect();
    (place, gist)
}
