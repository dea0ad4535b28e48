//! `domain.yaml`: an owner of data, where its data may lie, and what it may spend.

use std::path::Path;

use crate::id::{DomainName, RESERVED_DOMAINS};

use super::read::{Fields, Report, Value, clip, envelope};
use super::yaml::Node;
use super::{Budget, Domain, DomainLimits, Location, Mesh, Owner, StoragePrefix, values};

/// The folders around a domain's file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places<'a> {
    /// The folder above the catalog, to which `file:` is relative.
    pub(super) base: &'a Path,
    /// The catalog itself, which no domain's data may hold.
    pub(super) catalog: &'a Path,
}

/// Reads the `domain.yaml` in the folder `folder`. `None` where it cannot be used; the report says why.
pub(super) fn read(root: &Node, folder: &DomainName, mesh: &Mesh, places: Places<'_>, report: &mut Report) -> Option<Domain> {
    let (metadata, spec) = envelope(root, "Domain", report)?;
    let name = metadata.fields(&["name"], report).and_then(|fields| fields.require("name", report));
    if let Some(value) = name
        && let Some(given) = value.text(report)
        && given != folder.as_str()
    {
        report.error(value.at(), format!("`name` is `{}` but the folder is `{folder}`: they must agree", clip(given)));
    }
    let known = ["owner", "costCenter", "region", "stewards", "storage", "budget", "limits"];
    let spec = spec.fields(&known, report)?;
    let domain = Domain {
        name: folder.clone(),
        owner: spec.require("owner", report).and_then(|value| owner(value, report)).unwrap_or_default(),
        cost_center: text(&spec, "costCenter", report),
        region: region(&spec, mesh, report),
        stewards: spec.get("stewards").map(|value| value.groups(report)).unwrap_or_default(),
        storage: spec.get("storage").map(|value| storage(value, places, report)).unwrap_or_default(),
        budget: spec.get("budget").and_then(|value| budget(value, report)),
        limits: spec.get("limits").map(|value| limits(value, report)).unwrap_or_default(),
    };
    (!report.has_errors()).then_some(domain)
}

/// Whether a folder may be a domain's: it is a name, and not one of the gateway's own schemas.
pub(super) fn name(folder: &str) -> Result<DomainName, String> {
    if RESERVED_DOMAINS.contains(&folder) {
        return Err(format!("`{folder}` is a schema of the gateway itself: name the domain otherwise"));
    }
    DomainName::new(folder).map_err(|error| error.to_string())
}

/// `{team, contact}`.
pub(super) fn owner(value: Value<'_>, report: &mut Report) -> Option<Owner> {
    let fields = value.fields(&["team", "contact"], report)?;
    let team = fields.require("team", report).and_then(|value| value.filled(report));
    let contact = fields.get("contact").and_then(|value| value.filled(report)).unwrap_or_default();
    Some(Owner { team: team?.to_owned(), contact: contact.to_owned() })
}

/// Notes a region that the mesh does not have, where the mesh lists its regions.
pub(super) fn check_region(given: &str, value: Value<'_>, mesh: &Mesh, report: &mut Report) {
    if !mesh.regions.is_empty() && !mesh.regions.iter().any(|region| region == given) {
        report.error(value.at(), format!("`{}` is not a region of the mesh: it has {}", clip(given), mesh.regions.join(", ")));
    }
}

fn text(spec: &Fields<'_>, key: &str, report: &mut Report) -> Option<String> {
    spec.get(key)?.filled(report).map(str::to_owned)
}

fn region(spec: &Fields<'_>, mesh: &Mesh, report: &mut Report) -> Option<String> {
    let value = spec.get("region")?;
    let region = value.filled(report)?;
    check_region(region, value, mesh, report);
    Some(region.to_owned())
}

fn storage(list: Value<'_>, places: Places<'_>, report: &mut Report) -> Vec<StoragePrefix> {
    let mut prefixes: Vec<StoragePrefix> = Vec::new();
    for item in list.items(report).into_iter().flatten() {
        let Some(fields) = item.fields(&["prefix", "credentials"], report) else { continue };
        let credentials = fields.get("credentials").and_then(|value| value.filled(report)).map(str::to_owned);
        let Some(value) = fields.require("prefix", report) else { continue };
        let Some(prefix) = value.parsed(|text| Location::parse(text, places.base), report) else { continue };
        if !prefix.is_folder() {
            report.error(value.at(), "a storage prefix ends in `/`, so that it cannot also mean a sibling with the same beginning");
        } else if Location::File(places.catalog.to_path_buf()).is_under(&prefix) {
            report.error(value.at(), "a storage prefix must not hold the catalog itself");
        } else if matches!(&prefix, Location::File(path) if path.starts_with(places.catalog)) {
            report.error(value.at(), "a storage prefix must not lie in the catalog");
        } else {
            prefixes.push(StoragePrefix { prefix, credentials });
        }
    }
    prefixes
}

fn budget(value: Value<'_>, report: &mut Report) -> Option<Budget> {
    let fields = value.fields(&["monthly", "alerts", "forecastAlerts", "action"], report)?;
    let monthly = fields.require("monthly", report).and_then(|value| value.parsed(values::amount, report));
    let alerts = percentages(fields.get("alerts"), &[50, 80, 100], report);
    let forecast_alerts = percentages(fields.get("forecastAlerts"), &[100], report);
    let block = fields.get("action").map_or(Some(false), |value| value.word(&[("warn", false), ("block", true)], report));
    Some(Budget { monthly: monthly?, alerts, forecast_alerts, block: block? })
}

/// Whole percentages, least first.
fn percentages(list: Option<Value<'_>>, otherwise: &[u32], report: &mut Report) -> Vec<u32> {
    let Some(list) = list else { return otherwise.to_vec() };
    let mut percentages: Vec<u32> = list
        .items(report)
        .into_iter()
        .flatten()
        .filter_map(|item| item.number("whole percentages from 1 to 1000", |n| (1..=1000).contains(n), report))
        .collect();
    percentages.sort_unstable();
    percentages.dedup();
    percentages
}

fn limits(value: Value<'_>, report: &mut Report) -> DomainLimits {
    let Some(fields) = value.fields(&["maxScanBytes", "concurrency", "memory"], report) else { return DomainLimits::default() };
    let wanted = "a whole number from 1 to 10000";
    DomainLimits {
        max_scan_bytes: fields.get("maxScanBytes").and_then(|value| value.parsed(values::bytes, report)),
        concurrency: fields.get("concurrency").and_then(|value| value.number(wanted, |n| (1..=10_000).contains(n), report)),
        memory: fields.get("memory").and_then(|value| value.parsed(values::bytes, report)),
    }
}
