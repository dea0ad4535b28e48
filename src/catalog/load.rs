//! A folder to a snapshot: every file is read on its own, and what is wrong with one takes down nothing else.
//!
//! A file that no longer validates is replaced by the last text of it that did. That text is validated again against the mesh and the
//! domain of today, so an old manifest cannot outlive a storage prefix or a classification that was taken away.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::id::{CatalogVersion, DomainName, PolicyRevision, ProductId, ProductName};
use crate::policy::{PolicyFile, Rego, Whose};

use super::domain::Places;
use super::folder::{Contents, DomainFolder, Found, ProductFolder, Tree, walk};
use super::manifest::Context;
use super::read::Report;
use super::yaml::{self, Mark, Node};
use super::{CredentialCheck, Domain, Mesh, Origin, Problem, Product, ProductVersion, Severity, Snapshot, domain, manifest, mesh, values};

/// What earlier loads know: the last valid text of each file, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Memory {
    valid: HashMap<String, Arc<str>>,
    outcomes: HashMap<String, Outcome>,
    rego: Arc<Rego>,
    credentials: Option<CredentialCheck>,
}

impl Memory {
    /// Nothing is known yet; credentials will be checked, or not.
    pub(super) fn checking(credentials: Option<CredentialCheck>) -> Self {
        Self { credentials, ..Self::default() }
    }
}

/// What came of a manifest, and what it came from.
#[derive(Debug, Clone)]
struct Outcome {
    /// Digest of mesh, domain and manifest text together.
    key: [u8; 32],
    version: Option<Arc<ProductVersion>>,
    /// The text that is served.
    served: Option<Arc<str>>,
    problems: Vec<Problem>,
}

/// Loads `folder`. An error is a folder without a `mesh.yaml`, or with one that is not usable and never was.
pub(super) fn load(folder: &Path, version: CatalogVersion, memory: &mut Memory) -> Result<Snapshot, Vec<Problem>> {
    let catalog = absolute(folder);
    let base = catalog.parent().map_or_else(|| catalog.clone(), Path::to_path_buf);
    let places = Places { base: &base, catalog: &catalog };
    let mut tree = walk(&catalog);
    let mut build = Build {
        version,
        places,
        problems: std::mem::take(&mut tree.problems),
        served: BTreeMap::new(),
        environments: BTreeMap::new(),
        domains: BTreeMap::new(),
    };
    let Some(mesh) = build.mesh(&tree, memory) else {
        return Err(build.problems);
    };
    let jobs = build.domains(&tree, &mesh, memory);
    let outcomes = run(&jobs, &mesh, places, memory);
    let snapshot = build.finish(&tree, mesh, &jobs, outcomes, memory);
    Ok(snapshot)
}

/// The folder's absolute path, with the folder above it free of links. The last part may be a link that is switched as a whole.
fn absolute(folder: &Path) -> PathBuf {
    let path = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => parent.canonicalize().map_or_else(|_| path.clone(), |parent| parent.join(name)),
        _ => path.canonicalize().unwrap_or(path),
    }
}

/// A manifest to read.
struct Job<'t> {
    found: &'t Found,
    domain: Arc<Domain>,
    product: ProductId,
    major: u64,
    key: [u8; 32],
}

struct Build<'a> {
    version: CatalogVersion,
    places: Places<'a>,
    problems: Vec<Problem>,
    served: BTreeMap<String, Arc<str>>,
    environments: BTreeMap<DomainName, [u8; 32]>,
    domains: BTreeMap<DomainName, Arc<Domain>>,
}

impl Build<'_> {
    fn mesh(&mut self, tree: &Tree, memory: &mut Memory) -> Option<Mesh> {
        let Some(found) = &tree.mesh else {
            self.problem("mesh.yaml", None, "the file is missing: a catalog needs one, as `apiVersion: datamesh.io/v1`, `kind: Mesh`");
            return None;
        };
        self.settle(&found.file, &found.contents, memory, mesh::read)
    }

    /// Reads a file, or else its last valid text.
    fn settle<T>(
        &mut self,
        file: &str,
        contents: &Contents,
        memory: &mut Memory,
        read: impl Fn(&Node, &mut Report) -> Option<T>,
    ) -> Option<T> {
        let mut report = Report::new(file);
        let fresh = usable(contents, &mut report).and_then(|text| Some((value(text, &mut report, &read)?, Arc::clone(text))));
        self.problems.extend(report.finish());
        let kept = || {
            let text = memory.valid.get(file)?;
            Some((value(text, &mut Report::new(file), &read)?, Arc::clone(text)))
        };
        let (value, text) = fresh.or_else(kept)?;
        memory.valid.insert(file.to_owned(), Arc::clone(&text));
        self.served.insert(file.to_owned(), text);
        Some(value)
    }

    fn domains<'t>(&mut self, tree: &'t Tree, mesh: &Mesh, memory: &mut Memory) -> Vec<Job<'t>> {
        let mut jobs = Vec::new();
        for (folder, found) in &tree.domains {
            let Some(domain) = self.domain(folder, found, mesh, memory) else { continue };
            let environment = self.environment(folder);
            for (product, versions) in &found.products {
                self.product(&domain, product, versions, environment, &mut jobs);
            }
            self.environments.insert(domain.name.clone(), environment);
            self.domains.insert(domain.name.clone(), domain);
        }
        self.overlaps();
        if let Some(check) = &memory.credentials {
            self.credentials(check);
        }
        jobs
    }

    fn domain(&mut self, folder: &str, found: &DomainFolder, mesh: &Mesh, memory: &mut Memory) -> Option<Arc<Domain>> {
        let file = format!("{folder}/domain.yaml");
        let name = match domain::name(folder) {
            Ok(name) => name,
            Err(why) => {
                self.problem(&file, None, &why);
                return None;
            }
        };
        let Some(contents) = found.file.as_ref().map(|found| &found.contents) else {
            self.problem(&file, None, &format!("the file is missing: without it the products of `{folder}` are not served"));
            return None;
        };
        let places = self.places;
        let read = |root: &Node, report: &mut Report| domain::read(root, &name, mesh, places, report);
        let domain = self.settle(&file, contents, memory, read);
        domain.map(Arc::new)
    }

    /// The digest of all that a domain's manifests are read against.
    fn environment(&self, folder: &str) -> [u8; 32] {
        let mut digest = Sha256::new();
        for file in ["mesh.yaml", &format!("{folder}/domain.yaml")] {
            add(&mut digest, self.served.get(file).map_or("", |text| text));
        }
        digest.finalize().into()
    }

    fn product<'t>(
        &mut self,
        domain: &Arc<Domain>,
        folder: &str,
        found: &'t ProductFolder,
        environment: [u8; 32],
        jobs: &mut Vec<Job<'t>>,
    ) {
        let name = match ProductName::new(folder) {
            Ok(name) => name,
            Err(error) => {
                self.problem(&format!("{}/{folder}", domain.name), None, &error.to_string());
                return;
            }
        };
        let product = ProductId { domain: domain.name.clone(), product: name };
        for (major, manifest) in &found.manifests {
            let mut digest = Sha256::new();
            digest.update(environment);
            match &manifest.contents {
                Contents::Text(text) => add(&mut digest, text),
                Contents::Unusable(at, why) => add(&mut digest, &format!("\0{}:{}:{why}", at.line, at.column)),
            }
            let key = digest.finalize().into();
            jobs.push(Job { found: manifest, domain: Arc::clone(domain), product: product.clone(), major: *major, key });
        }
    }

    /// Warns where one domain's storage holds another's: its products could then lie in what is not its own.
    fn overlaps(&mut self) {
        let mut found = BTreeSet::new();
        let all: Vec<_> = self.domains.values().flat_map(|domain| domain.storage.iter().map(move |s| (&domain.name, &s.prefix))).collect();
        if all.len() > 500 {
            return;
        }
        for (outer, prefix) in &all {
            for (inner, other) in all.iter().filter(|(inner, _)| inner != outer) {
                if other.is_under(prefix) {
                    found.insert(((*outer).clone(), (*inner).clone()));
                }
            }
        }
        for (outer, inner) in found {
            let origin = Origin { file: format!("{outer}/domain.yaml"), line: 0, column: 0 };
            let message = format!("a storage prefix of `{outer}` holds the storage of `{inner}`: give each domain its own");
            self.problems.push(Problem { origin, severity: Severity::Warning, product: None, message });
        }
    }

    /// Warns where storage cannot be opened with what it names. The domain is served: its other storage may be fine.
    fn credentials(&mut self, check: &CredentialCheck) {
        for domain in self.domains.values() {
            for (at, prefix) in domain.storage.iter().enumerate() {
                let Some(why) = check.why_not(&domain.name, prefix) else { continue };
                let origin = Origin { file: format!("{}/domain.yaml", domain.name), line: 0, column: 0 };
                // By its number: which buckets a mesh has is not for everybody who may read its problems.
                let message = format!("storage prefix {} {why}: products there cannot be read", at + 1);
                self.problems.push(Problem { origin, severity: Severity::Warning, product: None, message });
            }
        }
    }

    fn problem(&mut self, file: &str, product: Option<&ProductId>, message: &str) {
        let origin = Origin { file: file.to_owned(), line: 0, column: 0 };
        self.problems.push(Problem { origin, severity: Severity::Error, product: product.cloned(), message: message.to_owned() });
    }

    fn finish(mut self, tree: &Tree, mesh: Mesh, jobs: &[Job<'_>], outcomes: Vec<Outcome>, memory: &mut Memory) -> Snapshot {
        let mut products: BTreeMap<ProductId, Product> = BTreeMap::new();
        memory.outcomes.clear();
        for (job, outcome) in jobs.iter().zip(outcomes) {
            self.problems.extend(outcome.problems.iter().cloned());
            if let (Some(version), Some(text)) = (&outcome.version, &outcome.served) {
                memory.valid.insert(job.found.file.clone(), Arc::clone(text));
                self.served.insert(job.found.file.clone(), Arc::clone(text));
                let product =
                    products.entry(job.product.clone()).or_insert_with(|| Product { id: job.product.clone(), versions: BTreeMap::new() });
                product.versions.insert(job.major, Arc::clone(version));
            }
            memory.outcomes.insert(job.found.file.clone(), outcome);
        }
        memory.valid.retain(|file, _| file == "mesh.yaml" || tree.has(file));
        let rego = self.rego(tree, memory);
        super::names::check(&products, &mut self.problems);
        super::prices::check(&mesh.prices, &products, &mut self.problems);
        super::limits::check(&mesh.limits, &products, &mut self.problems);
        self.problems.sort_by(|a, b| (&a.origin, &a.message).cmp(&(&b.origin, &b.message)));
        let revision = self.revision(tree);
        let Self { version, environments, domains, problems, .. } = self;
        Snapshot { version, revision, mesh, environments, domains, products, rego, problems }
    }

    /// The policies. One that cannot be used is no reason not to serve what it guards: it is a reason to deny it, and to say why.
    fn rego(&mut self, tree: &Tree, memory: &mut Memory) -> Arc<Rego> {
        let files = tree.rego().into_iter().filter_map(|(domain, product, found)| {
            let whose = match (domain, product) {
                (None, _) => Whose::Mesh,
                (Some(domain), None) => Whose::Domain(DomainName::new(domain).ok()?),
                (Some(domain), Some(product)) => {
                    Whose::Product(ProductId { domain: DomainName::new(domain).ok()?, product: ProductName::new(product).ok()? })
                }
            };
            let text = match &found.contents {
                Contents::Text(text) => Ok(Arc::clone(text)),
                Contents::Unusable(_, why) => Err(why.clone()),
            };
            Some(PolicyFile { whose, file: found.file.clone(), text })
        });
        let (rego, problems) = Rego::load(files.collect(), &memory.rego);
        self.problems.extend(problems);
        memory.rego = Arc::new(rego);
        Arc::clone(&memory.rego)
    }

    /// Everything that decides access: the texts that are served and the policies.
    fn revision(&self, tree: &Tree) -> PolicyRevision {
        let mut digest = Sha256::new();
        for (file, text) in &self.served {
            add(&mut digest, file);
            add(&mut digest, text);
        }
        for (_, _, found) in tree.rego() {
            add(&mut digest, &found.file);
            match &found.contents {
                Contents::Text(text) => add(&mut digest, text),
                Contents::Unusable(_, why) => add(&mut digest, &format!("\0{why}")),
            }
        }
        PolicyRevision::new(&manifest::hex(digest.finalize().as_slice()))
    }
}

impl Tree {
    /// All policies, with the folders of the domain and the product whose they are.
    fn rego(&self) -> Vec<(Option<&str>, Option<&str>, &Found)> {
        let mut all: Vec<_> = self.rego.iter().map(|found| (None, None, found)).collect();
        for (domain, folder) in &self.domains {
            all.extend(folder.rego.iter().map(|found| (Some(domain.as_str()), None, found)));
            for (product, folder) in &folder.products {
                all.extend(folder.rego.iter().map(|found| (Some(domain.as_str()), Some(product.as_str()), found)));
            }
        }
        all
    }

    fn has(&self, file: &str) -> bool {
        let mut parts = file.splitn(3, '/');
        let (Some(domain), Some(second), third) = (parts.next(), parts.next(), parts.next()) else { return false };
        let Some(domain) = self.domains.get(domain) else { return false };
        match third {
            None => domain.file.is_some(),
            Some(manifest) => domain
                .products
                .get(second)
                .is_some_and(|product| product.manifests.keys().any(|major| manifest == format!("v{major}.yaml"))),
        }
    }
}

/// Adds a text with its length, so that no two lists of texts give the same digest.
fn add(digest: &mut Sha256, text: &str) {
    digest.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
    digest.update(text.as_bytes());
}

fn usable<'c>(contents: &'c Contents, report: &mut Report) -> Option<&'c Arc<str>> {
    match contents {
        Contents::Text(text) => Some(text),
        Contents::Unusable(at, why) => {
            report.error(*at, why.as_str());
            None
        }
    }
}

/// Text to value. `None` where anything is wrong with it.
fn value<T>(text: &str, report: &mut Report, read: impl Fn(&Node, &mut Report) -> Option<T>) -> Option<T> {
    let mut mistakes = Vec::new();
    let root = yaml::parse(text, &mut mistakes);
    report.mistakes(mistakes);
    let Some(root) = root else {
        if !report.has_errors() {
            report.error(Mark::FILE, "the file is empty");
        }
        return None;
    };
    let value = read(&root, report);
    value.filter(|_| !report.has_errors())
}

/// Reads the manifests that changed, on all processors.
fn run(jobs: &[Job<'_>], mesh: &Mesh, places: Places<'_>, memory: &Memory) -> Vec<Outcome> {
    const SMALLEST_SHARE: usize = 64;
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    let share = jobs.len().div_ceil(threads).max(SMALLEST_SHARE);
    let naming = mesh.column_pattern.as_deref().and_then(|text| values::pattern(text).ok());
    let rules = Rules { mesh, naming: naming.as_ref(), places };
    let work = |jobs: &[Job<'_>]| jobs.iter().map(|job| outcome(job, rules, memory)).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        let workers: Vec<_> = jobs.chunks(share).map(|jobs| (jobs, scope.spawn(move || work(jobs)))).collect();
        workers.into_iter().flat_map(|(jobs, worker)| worker.join().unwrap_or_else(|_| jobs.iter().map(Job::broken).collect())).collect()
    })
}

/// What all manifests are read against.
#[derive(Clone, Copy)]
struct Rules<'a> {
    mesh: &'a Mesh,
    naming: Option<&'a regex::Regex>,
    places: Places<'a>,
}

fn outcome(job: &Job<'_>, rules: Rules<'_>, memory: &Memory) -> Outcome {
    let file = job.found.file.as_str();
    if let Some(outcome) = memory.outcomes.get(file).filter(|outcome| outcome.key == job.key) {
        return outcome.clone();
    }
    let read = |text: &str, report: &mut Report| {
        let Rules { mesh, naming, places } = rules;
        let context = Context { mesh, naming, domain: &job.domain, places, product: &job.product, major: job.major, text };
        value(text, report, |root, report| manifest::read(root, context, report))
    };
    let mut report = Report::new(file);
    report.about(&job.product);
    let fresh = usable(&job.found.contents, &mut report).and_then(|text| Some((read(text, &mut report)?, Arc::clone(text))));
    let kept = || {
        let text = memory.valid.get(file)?;
        let mut report = Report::new(file);
        Some((read(text, &mut report)?, Arc::clone(text)))
    };
    let (version, served) = fresh.or_else(kept).unzip();
    Outcome { key: job.key, version: version.map(Arc::new), served, problems: report.finish() }
}

impl Job<'_> {
    /// What is said when reading a manifest failed in a way that nobody foresaw: it is not served.
    fn broken(&self) -> Outcome {
        let mut report = Report::new(&self.found.file);
        report.about(&self.product);
        report.error(Mark::FILE, "the file could not be read because of a fault in the gateway");
        Outcome { key: self.key, version: None, served: None, problems: report.finish() }
    }
}
