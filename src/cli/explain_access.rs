//! `meshgate explain-access`: why somebody may or may not read a product, and what they see of it, with file and line.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use arrow::datatypes::Field;
use chrono::Utc;
use secrecy::SecretString;
use serde_json::json;

use super::offline::{self, Decided, Offline};
use super::{Failure, Format, load_config, printable, runtime, written};
use crate::catalog::PortRef;
use crate::identity::Principal;
use crate::identity::users::{UserEntry, make_verifier};
use crate::policy::{Circumstances, Decision, Permit, Reason};
use crate::telemetry::explain;

/// Why somebody may or may not read a product: reasons with file and line, row filters, and each column's mask
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Who: a user of the users file, or anybody with --domain
    principal: String,
    /// What, by its SQL name: claims.claims_enriched, claims.claims_enriched_v1, claims.claims_enriched__sql
    product: String,
    /// The purpose that they declare
    #[arg(long)]
    purpose: Option<String>,
    /// Ask for somebody of this consumer domain who is not in the users file
    #[arg(long)]
    domain: Option<String>,
    /// With --domain: a group of theirs; may be repeated
    #[arg(long = "group", value_name = "GROUP", requires = "domain")]
    groups: Vec<String>,
    /// With --domain: an attribute of theirs; may be repeated
    #[arg(long = "attribute", value_name = "KEY=VALUE", value_parser = super::user::attribute, requires = "domain")]
    attributes: Vec<(String, String)>,
    /// The configuration; without one `meshgate.toml` where there is one, and the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Does what is asked.
pub(super) fn command(args: &Args) -> Result<(), Failure> {
    let config = load_config(args.config.as_deref())?;
    let principal = match &args.domain {
        Some(domain) => stranger(args, domain)?,
        None => offline::user(&config.users, &args.principal)?.ok_or_else(|| {
            let name = args.principal.escape_debug();
            Failure::Failed(format!("there is no user `{name}` in {}; describe them with --domain", config.users.display()))
        })?,
    };
    let offline = Offline::open(&config, &config.catalog)?;
    let target = find(&offline, &args.product)?;
    let circumstances = Circumstances { purpose: args.purpose.clone(), ..Circumstances::default() };
    let decided = runtime()?.block_on(offline.decide(&principal, &circumstances, &target, Utc::now()));
    let decided = decided.map_err(|fault| Failure::Failed(explain(&fault)))?;
    let mut out = io::stdout().lock();
    written(match args.format {
        Format::Json => writeln!(out, "{:#}", document(&principal, &target, &decided)),
        Format::Text => text(&principal, &target, &decided, &mut out),
    })
}

/// Somebody as the command line describes them, checked as a user is.
fn stranger(args: &Args, domain: &str) -> Result<Principal, Failure> {
    let attributes: BTreeMap<String, String> = args.attributes.iter().cloned().collect();
    let verifier = make_verifier(&SecretString::default()).map_err(Failure::failed)?;
    let user = UserEntry::new(&args.principal, domain, args.groups.clone(), attributes, verifier).map_err(Failure::Usage)?;
    Ok(offline::principal(&user))
}

fn find(offline: &Offline, name: &str) -> Result<PortRef, Failure> {
    let found = name.split_once('.').and_then(|(schema, table)| offline.snapshot.resolve(schema, table));
    found.ok_or_else(|| {
        let names = offline.snapshot.products.keys().map(ToString::to_string);
        let nearest = names.max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
        let hint = nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default();
        Failure::Failed(format!("there is no product `{}` in the catalog{hint}", name.escape_debug()))
    })
}

/// A column with its type, and how it is seen.
type Seen = (String, String, Option<String>);

fn columns(target: &PortRef, decided: &Decided, permit: &Permit) -> Vec<Seen> {
    let fields = decided.columns.iter().flat_map(|columns| columns.fields().iter());
    let seen = |name: &str| permit.masks().get(name).map(ToString::to_string);
    let promised = |name: &str| target.port().columns.iter().flatten().find(|column| column.name == name).map(|c| c.data_type.name.clone());
    let type_of = |field: &Field| promised(field.name()).unwrap_or_else(|| field.data_type().to_string());
    fields.map(|field| (field.name().clone(), type_of(field), seen(field.name()))).collect()
}

fn text(principal: &Principal, target: &PortRef, decided: &Decided, out: &mut dyn Write) -> io::Result<()> {
    let (product, port) = (&target.product, &target.port().name);
    let who = printable(principal.name.as_str());
    let verdict = match &decided.decision {
        Decision::Permit(permit) => match (permit.filter().is_some(), permit.masks().is_empty()) {
            (false, true) => "may read all of it",
            (true, true) => "may read it, filtered",
            (false, false) => "may read it, masked",
            (true, false) => "may read it, filtered and masked",
        },
        Decision::Denied(_) => "may not read it",
    };
    writeln!(out, "{who} (domain {}) and {} {} (port {port}): {verdict}", principal.domain, product.id, product.version)?;
    writeln!(out, "\nWhy:")?;
    let reasons = match &decided.decision {
        Decision::Permit(permit) => permit.reasons(),
        Decision::Denied(denial) => &denial.reasons,
    };
    for reason in reasons {
        writeln!(out, "  - {}", printable(&reason.to_string()))?;
    }
    match &decided.decision {
        Decision::Denied(denial) => {
            let fault = denial.to_fault(product.id.domain.as_str(), product.id.product.as_str());
            writeln!(out, "\nThey are told:\n  {}: {}", fault.sqlstate(), fault.message())?;
            if let Some(hint) = fault.hint() {
                writeln!(out, "  {}", printable(hint))?;
            }
        }
        Decision::Permit(permit) => {
            if let Some(filter) = permit.filter() {
                writeln!(out, "\nRows for which:\n  {}", printable(&filter.human_display().to_string()))?;
            }
            let columns = columns(target, decided, permit);
            let width = columns.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or_default();
            writeln!(out, "\nColumns:")?;
            for (name, data_type, mask) in columns {
                writeln!(out, "  {name:<width$}  {data_type:<20}  {}", mask.as_deref().unwrap_or("clear"))?;
            }
        }
    }
    Ok(())
}

fn document(principal: &Principal, target: &PortRef, decided: &Decided) -> serde_json::Value {
    let reason = |reason: &Reason| {
        let origin = reason.origin.as_ref();
        json!({ "text": reason.text, "file": origin.map(|o| &o.file), "line": origin.map(|o| o.line).filter(|line| *line > 0) })
    };
    let mut document = json!({
        "principal": principal.name.as_str(),
        "domain": principal.domain.as_str(),
        "product": target.product.id.to_string(),
        "version": target.product.version.to_string(),
        "port": target.port().name.as_str(),
    });
    let rest = match &decided.decision {
        Decision::Permit(permit) => json!({
            "decision": "permit",
            "reasons": permit.reasons().iter().map(reason).collect::<Vec<_>>(),
            "row_filters": permit.filter_texts(),
            "columns": columns(target, decided, permit).into_iter()
                .map(|(name, data_type, mask)| json!({ "name": name, "type": data_type, "mask": mask }))
                .collect::<Vec<_>>(),
        }),
        Decision::Denied(denial) => json!({
            "decision": "deny",
            "reasons": denial.reasons.iter().map(reason).collect::<Vec<_>>(),
            "told": denial.to_fault(target.product.id.domain.as_str(), target.product.id.product.as_str()).sqlstate(),
        }),
    };
    if let (Some(document), serde_json::Value::Object(rest)) = (document.as_object_mut(), rest) {
        document.extend(rest);
    }
    document
}
