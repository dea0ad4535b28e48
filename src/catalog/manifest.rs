//! `v<major>.yaml`: one live major version of a product, in the long and in the short form.
//!
//! Two outcomes short of an error: what publishing needs and the manifest lacks makes it a draft with a warning; everything that could
//! change what a reader sees (masks, filters, labels, locations) is an error, because a guess there is a leak.

use std::collections::BTreeMap;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::id::{DomainName, ProductId, ProductName};

use super::domain::{self, Places};
use super::read::{Fields, Report, Value, clip, envelope};
use super::yaml::{Mark, Node};
use super::{Access, Domain, Mesh, Owner, Port, ProductVersion, QualityCheck, Sla, Status, ports, rules, values};

/// What a manifest is read against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) mesh: &'a Mesh,
    /// The mesh's pattern for columns, compiled once for all manifests.
    pub(super) naming: Option<&'a regex::Regex>,
    pub(super) domain: &'a Domain,
    pub(super) places: Places<'a>,
    /// The product that the folders name.
    pub(super) product: &'a ProductId,
    /// The major version that the file names.
    pub(super) major: u64,
    /// The manifest's text, for its digest.
    pub(super) text: &'a str,
}

/// Reads a manifest. `None` where it cannot be used; the report says why.
pub(super) fn read(root: &Node, context: Context<'_>, report: &mut Report) -> Option<ProductVersion> {
    let (metadata, spec) = envelope(root, "DataProduct", report)?;
    let metadata = metadata.fields(&["name", "domain", "version", "description", "owner", "status", "tier", "tags", "terms"], report);
    let spec = spec.fields(&["outputPorts", "storage", "schema", "sla", "quality", "policies", "interoperability"], report);
    let (metadata, spec) = (metadata?, spec?);
    let about = About::read(&metadata, context, report);
    let ports = ports::read(&spec, &about.terms, context, report);
    let policies = Policies::read(&spec, &ports.ports, context.mesh, report);
    let sla = spec.get("sla").map(|value| sla(value, report)).unwrap_or_default();
    let quality = spec.get("quality").map(|value| quality(value, &ports.ports, report)).unwrap_or_default();
    let upstream = spec.get("interoperability").map(|value| lineage(value, report)).unwrap_or_default();
    let lacks = lacks(&about, &sla, &ports);
    if report.has_errors() {
        return None;
    }
    if !lacks.is_empty() && about.status != Status::Draft {
        report.warn(metadata.at, format!("`{}` is a draft: publishing needs {}", context.product, lacks.join(", ")));
    }
    Some(ProductVersion {
        id: context.product.clone(),
        version: about.version?,
        description: about.description,
        owner: about.owner.unwrap_or_default(),
        status: if lacks.is_empty() && !ports.breaks_naming { about.status } else { Status::Draft },
        tier: about.tier,
        tags: about.tags,
        terms: about.terms,
        ports: ports.ports,
        sla: Sla { retention: policies.retention, encryption: policies.encryption, ..sla },
        quality,
        access: policies.access,
        purposes: policies.purposes,
        residency: policies.residency,
        row_filters: policies.row_filters,
        masks: policies.masks,
        upstream,
        source: report.origin(Mark { line: 1, column: 1 }),
        digest: hex(Sha256::digest(context.text.as_bytes()).as_slice()),
    })
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn lacks(about: &About, sla: &Sla, ports: &ports::Ports) -> Vec<&'static str> {
    let mut lacks = Vec::new();
    if about.owner.is_none() {
        lacks.push("an owner (`metadata.owner`)");
    }
    if about.description.is_none() {
        lacks.push("a description (`metadata.description`)");
    }
    if sla.freshness.is_none() {
        lacks.push("a freshness (`spec.sla.freshness`)");
    }
    lacks.extend(ports.lacks);
    lacks
}

/// `metadata`.
struct About {
    version: Option<semver::Version>,
    description: Option<String>,
    owner: Option<Owner>,
    status: Status,
    tier: Option<u8>,
    tags: Vec<String>,
    terms: Vec<String>,
}

impl About {
    fn read(fields: &Fields<'_>, context: Context<'_>, report: &mut Report) -> Self {
        agrees(fields, "name", context.product.product.as_str(), report);
        agrees(fields, "domain", context.product.domain.as_str(), report);
        let version = fields.require("version", report);
        let parsed = version.and_then(|value| value.parsed(values::version, report));
        if let (Some(value), Some(parsed)) = (version, &parsed)
            && parsed.major != context.major
        {
            let message = format!("version {parsed} does not belong in v{}.yaml: it belongs in v{}.yaml", context.major, parsed.major);
            report.error(value.at(), message);
        }
        let statuses = [("draft", Status::Draft), ("active", Status::Active), ("deprecated", Status::Deprecated)];
        Self {
            version: parsed,
            description: fields.get("description").and_then(|value| value.filled(report)).map(str::to_owned),
            owner: fields.get("owner").and_then(|value| domain::owner(value, report)),
            status: fields.get("status").and_then(|value| value.word(&statuses, report)).unwrap_or(Status::Active),
            tier: fields.get("tier").and_then(|value| value.number("a whole number from 1 to 9", |n| (1..=9).contains(n), report)),
            tags: fields.get("tags").map(|value| value.texts(report)).unwrap_or_default(),
            terms: fields.get("terms").map(|value| value.texts(report)).unwrap_or_default(),
        }
    }
}

/// Notes a name that is not the one of the folder.
fn agrees(fields: &Fields<'_>, key: &str, folder: &str, report: &mut Report) {
    let Some(value) = fields.require(key, report) else { return };
    let Some(given) = value.text(report) else { return };
    if given != folder {
        report.error(value.at(), format!("`{key}` is `{}` but the folder is `{folder}`: they must agree", clip(given)));
    }
}

/// `spec.policies`.
struct Policies {
    access: Access,
    purposes: Vec<String>,
    residency: Vec<String>,
    retention: Option<Duration>,
    encryption: Option<String>,
    row_filters: Vec<super::Sourced<super::RowFilterRule>>,
    masks: Vec<super::Sourced<super::ColumnMaskRule>>,
}

impl Policies {
    fn read(spec: &Fields<'_>, ports: &[Port], mesh: &Mesh, report: &mut Report) -> Self {
        let mut policies = Self {
            access: Access::Restricted,
            purposes: Vec::new(),
            residency: Vec::new(),
            retention: None,
            encryption: None,
            row_filters: Vec::new(),
            masks: Vec::new(),
        };
        let known = ["access", "retention", "encryption", "residency", "purposes", "rowFilters", "masks"];
        let Some(fields) = spec.get("policies").and_then(|value| value.fields(&known, report)) else { return policies };
        let accesses = [("public", Access::Public), ("restricted", Access::Restricted), ("private", Access::Private)];
        if let Some(access) = fields.get("access").and_then(|value| value.word(&accesses, report)) {
            policies.access = access;
        }
        policies.purposes = nonempty(&fields, "purposes", report);
        policies.residency = nonempty(&fields, "residency", report);
        if let Some(list) = fields.get("residency") {
            for item in list.items(report).into_iter().flatten() {
                domain::check_region(item.text(report).unwrap_or_default(), item, mesh, report);
            }
        }
        policies.retention = fields.get("retention").and_then(|value| value.parsed(values::duration, report));
        policies.encryption = fields.get("encryption").and_then(|value| value.filled(report)).map(str::to_owned);
        policies.row_filters = fields.get("rowFilters").map(|value| rules::row_filters(value, ports, report)).unwrap_or_default();
        policies.masks = fields.get("masks").map(|value| rules::masks(value, ports, report)).unwrap_or_default();
        policies
    }
}

/// A list that restricts. Empty it would restrict nothing, or everything: nobody can tell which was meant.
fn nonempty(fields: &Fields<'_>, key: &str, report: &mut Report) -> Vec<String> {
    let Some(value) = fields.get(key) else { return Vec::new() };
    let texts = value.texts(report);
    if texts.is_empty() && !report.has_errors() {
        report.error(value.at(), format!("`{key}` is an empty list: leave the key out where there is no restriction"));
    }
    texts
}

fn sla(value: Value<'_>, report: &mut Report) -> Sla {
    let Some(fields) = value.fields(&["freshness", "availability", "latency"], report) else { return Sla::default() };
    let percent = "a percentage from 0 to 100, as 99.9";
    Sla {
        freshness: fields.get("freshness").and_then(|value| value.parsed(values::duration, report)),
        availability: fields.get("availability").and_then(|value| value.number(percent, |n| (0.0..=100.0).contains(n), report)),
        latency: fields.get("latency").and_then(|value| value.filled(report)).map(str::to_owned),
        ..Sla::default()
    }
}

fn quality(value: Value<'_>, ports: &[Port], report: &mut Report) -> Vec<QualityCheck> {
    let Some(fields) = value.fields(&["checks"], report) else { return Vec::new() };
    let Some(list) = fields.get("checks") else { return Vec::new() };
    list.items(report).into_iter().flatten().filter_map(|item| rules::quality_check(item, ports, report)).collect()
}

/// `interoperability`: the lineage. `protocols` is information for people: which protocols there are is the gateway's business.
fn lineage(value: Value<'_>, report: &mut Report) -> Vec<(DomainName, ProductName)> {
    let Some(fields) = value.fields(&["protocols", "lineage"], report) else { return Vec::new() };
    if let Some(protocols) = fields.get("protocols") {
        protocols.texts(report);
    }
    let Some(lineage) = fields.get("lineage").and_then(|value| value.fields(&["upstream"], report)) else { return Vec::new() };
    let Some(list) = lineage.get("upstream") else { return Vec::new() };
    let mut upstream = BTreeMap::new();
    for (place, item) in list.items(report).into_iter().flatten().enumerate() {
        let Some(fields) = item.fields(&["domain", "product"], report) else { continue };
        let domain = fields.require("domain", report).and_then(|value| value.parsed(DomainName::new, report));
        let product = fields.require("product", report).and_then(|value| value.parsed(ProductName::new, report));
        if let (Some(domain), Some(product)) = (domain, product) {
            upstream.entry((domain, product)).or_insert(place);
        }
    }
    upstream.into_keys().collect()
}
