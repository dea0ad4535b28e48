//! A second authoriser, to hold the first against.
//!
//! It reads the rules of SPEC section 6 off the raw manifest, knows nothing of the catalog's types and shares no line with `policy`: if both
//! say the same of a hundred thousand cases at random, neither is wrong by itself. Policies in Rego are written here, from rules whose
//! meaning is known without an interpreter. What becomes a ground of its own (a grant) is one more line in [`entitled`] or one more source
//! in [`expected`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::Schema;
use serde_json::{Value, json};

use super::{Decision, Request, decide, fixtures};
use crate::catalog::{Catalog, PortRef, Snapshot};
use crate::id::{DomainName, GroupName, PrincipalName};
use crate::identity::Principal;
use crate::pairs::Dice;

/// Meshes of a run, products of a mesh, and principals that ask for each.
const MESHES: u64 = 50;
const PRODUCTS: usize = 20;
const ASKERS: usize = 100;

const DOMAINS: [&str; 3] = ["claims", "sales", "ops"];
const GROUPS: [&str; 4] = ["clear-all", "pii-clear", "team-a", "auditors"];
const REGIONS: [&str; 3] = ["eu", "us", "ch"];
const LABELS: [&str; 6] = ["PII", "PII.ID", "PII.ID.National", "PII.Mail", "Secret", "Secret.Deep.Deeper"];
const TEXT_MASKS: [&str; 8] = [
    "replace-with-null",
    "mask-to-fixed-value",
    "mask-alphanum",
    "show-first-4",
    "show-last-4",
    "pseudonym",
    "sha-256-global",
    "constant:x",
];

/// Every mask with all that it hides at least as well as, itself aside. Written out, so that a slip in the order is seen.
const STRICTER: [(&str, &[&str]); 8] = [
    (
        "replace-with-null",
        &["mask-to-fixed-value", "mask-alphanum", "show-first-4", "show-last-4", "pseudonym", "sha-256-global", "constant:x"],
    ),
    ("mask-to-fixed-value", &["mask-alphanum", "show-first-4", "show-last-4", "pseudonym", "sha-256-global"]),
    ("constant:x", &["mask-alphanum", "show-first-4", "show-last-4", "pseudonym", "sha-256-global"]),
    ("mask-alphanum", &["show-first-4", "show-last-4"]),
    ("pseudonym", &["sha-256-global"]),
    ("sha-256-global", &[]),
    ("show-first-4", &[]),
    ("show-last-4", &[]),
];

/// Filters, their bindings, and how the bound expression reads; `@region` and such stand for the principal's attributes.
const FILTERS: [(&str, &str, &str, &str); 6] = [
    ("region = $r", "r", "principal.attributes.region", "region = '@region'"),
    ("team = $t", "t", "principal.attributes.team", "team = '@team'"),
    ("team = $d", "d", "principal.domain", "team = '@domain'"),
    ("name <> $n", "n", "principal.name", "name != '@name'"),
    ("amount > 10", "", "", "amount > '10'"),
    ("consent", "", "", "consent"),
];

/// A rule of a policy in Rego, as this file knows it.
struct Policy {
    /// Whose: the mesh's, a domain's, or a product's.
    of: (Option<String>, Option<String>),
    says: Says,
    /// For whom a refusal or a ground holds, and for whom a filter or a mask does not.
    group: &'static str,
}

/// What a rule says.
enum Says {
    Deny,
    Allow,
    Filter(usize),
    Mask(&'static str, &'static str),
    MaskLabel(&'static str, &'static str),
}

impl Policy {
    fn concerns(&self, product: &Value) -> bool {
        let (domain, name) = &self.of;
        let is = |own: &Option<String>, key: &str| own.as_deref().is_none_or(|own| product["metadata"][key] == own);
        is(domain, "domain") && is(name, "name")
    }

    fn file_and_package(&self) -> (String, String) {
        match &self.of {
            (Some(domain), Some(product)) => (format!("{domain}/{product}/policies/a.rego"), format!("mesh.product.{domain}.{product}")),
            (Some(domain), None) => (format!("{domain}/policies/a.rego"), format!("mesh.domain.{domain}")),
            _ => ("policies/a.rego".to_owned(), "mesh.global".to_owned()),
        }
    }

    fn text(&self) -> String {
        let group = format!("\"{}\" in input.principal.groups", self.group);
        match &self.says {
            Says::Deny => format!("deny contains \"no\" if {group}\n"),
            Says::Allow => format!("allow if {group}\n"),
            Says::Filter(number) => {
                let (text, name, path, _) = FILTERS[*number];
                let bind = if name.is_empty() { json!({}) } else { json!({ name: path }) };
                format!("row_filters contains {} if not {group}\n", json!({"expression": text, "bind": bind}))
            }
            Says::Mask(column, mask) => format!("column_masks contains {} if not {group}\n", json!({"column": column, "mask": mask})),
            Says::MaskLabel(label, mask) => format!(
                "column_masks contains {{\"column\": c.name, \"mask\": \"{mask}\"}} if {{\n  some c in input.columns\n  c.classification == \"{label}\"\n  \
                 not {group}\n}}\n"
            ),
        }
    }
}

/// What a decision comes to.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// Denied, and the product must not be known of.
    Missing,
    Denied,
    Permitted {
        filters: Vec<String>,
        masks: BTreeMap<String, String>,
    },
}

/// Who asks.
struct Asker {
    name: String,
    domain: String,
    groups: Vec<String>,
    attributes: BTreeMap<String, String>,
    purpose: Option<String>,
    gateway: Option<&'static str>,
    /// Products that they were granted, with the purpose that it is for.
    grants: Vec<(String, Option<String>)>,
}

fn words(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn in_any(asker: &Asker, groups: &Value) -> bool {
    words(groups).iter().any(|group| asker.groups.contains(group))
}

/// Rule 1.
fn entitled(asker: &Asker, policies: &[&Policy], product: &Value) -> bool {
    let (domain, name) = (product["metadata"]["domain"].as_str().unwrap(), product["metadata"]["name"].as_str().unwrap());
    let draft = product["metadata"]["status"] == "draft";
    let allows = |policy: &&Policy| {
        matches!(policy.says, Says::Allow) && policy.of.0.is_some() && asker.groups.iter().any(|group| group == policy.group)
    };
    asker.domain == domain
        || (!draft && policies.iter().any(allows))
        || (!draft && product["spec"]["policies"]["access"] == "public")
        || (!draft && asker.groups.contains(&format!("dp-{domain}-{name}-reader")))
        || granted(asker, product).iter().any(|purpose| purpose.is_none() || *purpose == asker.purpose)
}

/// The purposes of the asker's grants for the product. A draft is its domain's alone.
fn granted(asker: &Asker, product: &Value) -> Vec<Option<String>> {
    let id = format!("{}.{}", product["metadata"]["domain"].as_str().unwrap(), product["metadata"]["name"].as_str().unwrap());
    let of_product = asker.grants.iter().filter(|(granted, _)| *granted == id && product["metadata"]["status"] != "draft");
    of_product.map(|(_, purpose)| purpose.clone()).collect()
}

/// All rules.
fn expected(asker: &Asker, mesh: &Value, rego: &[Policy], product: &Value) -> Outcome {
    let policies = &product["spec"]["policies"];
    let rego: Vec<&Policy> = rego.iter().filter(|policy| policy.concerns(product)).collect();
    if !entitled(asker, &rego, product) {
        let hidden = product["metadata"]["status"] == "draft" || (policies["access"] == "private" && granted(asker, product).is_empty());
        return if hidden { Outcome::Missing } else { Outcome::Denied };
    }
    let purposes = words(&policies["purposes"]);
    if !purposes.is_empty() && !asker.purpose.as_ref().is_some_and(|purpose| purposes.contains(purpose)) {
        return Outcome::Denied;
    }
    let residency = words(&policies["residency"]);
    let resides = |region: Option<&str>| region.is_some_and(|region| residency.iter().any(|one| one == region));
    let everywhere = residency.is_empty();
    if !(everywhere || resides(asker.gateway) && resides(asker.attributes.get("region").map(String::as_str))) {
        return Outcome::Denied;
    }
    let in_group = |policy: &&&Policy| asker.groups.iter().any(|group| group == policy.group);
    if rego.iter().filter(in_group).any(|policy| matches!(policy.says, Says::Deny)) {
        return Outcome::Denied;
    }
    let binding: Vec<&&Policy> = rego.iter().filter(|policy| !in_group(policy)).collect();
    let manifest = policies["rowFilters"].as_array().into_iter().flatten().filter(|filter| !in_any(asker, &filter["exceptGroups"]));
    let manifest = manifest.map(|filter| FILTERS.iter().find(|(text, ..)| filter["expression"] == *text).unwrap());
    let ruled = binding.iter().filter_map(|policy| match policy.says {
        Says::Filter(number) => Some(&FILTERS[number]),
        _ => None,
    });
    let mut filters = Vec::new();
    for (.., path, reads) in manifest.chain(ruled) {
        let mut reads = (*reads).replace("@domain", &asker.domain).replace("@name", &asker.name);
        if let Some(attribute) = path.strip_prefix("principal.attributes.") {
            let Some(value) = asker.attributes.get(attribute) else { return Outcome::Denied };
            reads = reads.replace(&format!("@{attribute}"), value);
        }
        filters.push(reads);
    }
    let mut asked: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for column in product["spec"]["outputPorts"][0]["schema"].as_array().unwrap() {
        let Some(label) = column["classification"].as_str() else { continue };
        // The rule with the longest name that is the label or a parent of it.
        let rules = mesh["spec"]["classifications"].as_object().unwrap();
        let holds = |rule: &&String| label == rule.as_str() || label.starts_with(&format!("{rule}."));
        let Some(rule) = rules.keys().filter(holds).max_by_key(|rule| rule.len()) else { return Outcome::Denied };
        if !in_any(asker, &rules[rule]["clearGroups"]) {
            asked.entry(column["name"].as_str().unwrap().to_owned()).or_default().push(rules[rule]["mask"].as_str().unwrap().to_owned());
        }
    }
    for mask in policies["masks"].as_array().into_iter().flatten() {
        if !in_any(asker, &mask["exceptGroups"]) {
            asked.entry(mask["column"].as_str().unwrap().to_owned()).or_default().push(mask["mask"].as_str().unwrap().to_owned());
        }
    }
    for policy in binding {
        match policy.says {
            Says::Mask(column, mask) => asked.entry(column.to_owned()).or_default().push(mask.to_owned()),
            Says::MaskLabel(label, mask) => {
                for column in
                    product["spec"]["outputPorts"][0]["schema"].as_array().unwrap().iter().filter(|c| c["classification"] == label)
                {
                    asked.entry(column["name"].as_str().unwrap().to_owned()).or_default().push(mask.to_owned());
                }
            }
            Says::Deny | Says::Allow | Says::Filter(_) => {}
        }
    }
    let masks = asked.into_iter().map(|(column, masks)| (column, strictest(&masks))).collect();
    filters.sort();
    Outcome::Permitted { filters, masks }
}

/// Rule 4: the one that is stricter than all others, or NULL where two do not compare.
fn strictest(masks: &[String]) -> String {
    let over = |a: &str, b: &str| a == b || STRICTER.iter().any(|(strict, loose)| *strict == a && loose.contains(&b));
    let all_compare = masks.iter().all(|a| masks.iter().all(|b| over(a, b) || over(b, a)));
    let top = masks.iter().find(|a| masks.iter().all(|b| over(a, b)));
    top.filter(|_| all_compare).cloned().unwrap_or_else(|| "replace-with-null".to_owned())
}

/// `Utf8View("eu")`, `Int64(10)`: a value, whatever its type is called.
static VALUE: LazyLock<regex::Regex> = LazyLock::new(|| regex::Regex::new(r#"[A-Z][A-Za-z0-9]+\("?([^")]*)"?\)"#).unwrap());

/// What the first authoriser says, in the same words.
fn found(asker: &Asker, snapshot: &Snapshot, target: &PortRef) -> Outcome {
    let principal = Principal {
        name: PrincipalName::new(&asker.name),
        domain: DomainName::new(&asker.domain).unwrap(),
        groups: asker.groups.iter().map(|group| GroupName::new(group)).collect(),
        attributes: asker.attributes.clone().into_iter().collect(),
        token: None,
    };
    let columns = target.port().columns.as_ref().unwrap();
    let schema = Arc::new(Schema::new(columns.iter().map(|c| c.field(c.nullable)).collect::<Vec<_>>()));
    let domain = &snapshot.domains[&target.product.id.domain];
    let circumstances = &fixtures::declaring(asker.purpose.as_deref());
    let held = asker.grants.iter().filter(|(product, _)| *product == target.product.id.to_string());
    let grants: Vec<_> = held.map(|(_, purpose)| fixtures::grant(&principal, &target.product.id, purpose.as_deref())).collect();
    let asked = fixtures::request(&principal, target, &snapshot.mesh, domain);
    let request = Request { region: asker.gateway, circumstances, grants: &grants, rego: &snapshot.rego, ..asked };
    match decide(&request, &schema) {
        Decision::Denied(denial) if !denial.visible => Outcome::Missing,
        Decision::Denied(_) => Outcome::Denied,
        Decision::Permit(permit) => {
            let text = permit.filter().map(ToString::to_string).unwrap_or_default();
            let text = VALUE.replace_all(&text, "'$1'").into_owned();
            let mut filters: Vec<String> = text.split(" AND ").filter(|filter| !filter.is_empty()).map(str::to_owned).collect();
            filters.sort();
            let masks = permit.masks().iter().map(|(column, mask)| (column.clone(), mask.to_string())).collect();
            Outcome::Permitted { filters, masks }
        }
    }
}

fn some(dice: &mut Dice, of: &[&'static str], percent: usize) -> Vec<&'static str> {
    of.iter().copied().filter(|_| dice.chance(percent)).collect()
}

fn mesh(dice: &mut Dice) -> Value {
    let mut rules = serde_json::Map::new();
    for label in LABELS {
        // `Secret` always has a rule, `PII` mostly: what no rule covers is refused by the catalog, not by a decision.
        if label == "Secret" || label == "PII" || dice.below(2) == 0 {
            rules.insert(label.to_owned(), json!({"mask": dice.word(&TEXT_MASKS), "clearGroups": some(dice, &GROUPS, 25)}));
        }
    }
    json!({"apiVersion": "datamesh.io/v1", "kind": "Mesh", "metadata": {"name": "m"}, "spec": {"currency": "USD", "classifications": rules}})
}

fn product(dice: &mut Dice, number: usize) -> Value {
    let domain = dice.word(&DOMAINS);
    let columns = [("id", "bigint"), ("region", "text"), ("team", "text"), ("name", "text"), ("amount", "bigint"), ("consent", "boolean")];
    let columns = columns.iter().map(|(name, kind)| {
        let mut column = json!({"name": name, "type": kind});
        if *kind == "text" && dice.below(2) == 0 {
            column["classification"] = dice.word(&LABELS).into();
        }
        column
    });
    let columns: Vec<Value> = columns.collect();
    let mut filters = Vec::new();
    for (text, name, path, _) in FILTERS {
        if dice.below(5) == 0 {
            let bind = if name.is_empty() { json!({}) } else { json!({ name: path }) };
            filters.push(json!({"expression": text, "bind": bind, "exceptGroups": some(dice, &GROUPS, 20)}));
        }
    }
    let masks: Vec<Value> = (0..dice.below(4))
        .map(|_| json!({"column": dice.word(&["region", "team", "name"]), "mask": dice.word(&TEXT_MASKS), "exceptGroups": some(dice, &GROUPS, 20)}))
        .collect();
    let mut product = json!({
        "apiVersion": "datamesh.io/v1", "kind": "DataProduct",
        "metadata": {"name": format!("p{number}"), "domain": domain, "version": "1.0.0", "description": "d",
            "owner": {"team": "t", "contact": "c@x.example"}, "status": dice.word(&["active", "active", "deprecated", "draft"])},
        "spec": {
            "outputPorts": [{"name": "sql", "format": "csv", "location": format!("file:data/{domain}/p{number}/"), "schema": columns}],
            "sla": {"freshness": "1h"},
            "policies": {"access": dice.word(&["public", "restricted", "restricted", "private"]), "rowFilters": filters, "masks": masks}}
    });
    // A list without a member would be a mistake: the key is left out.
    for (key, from) in [("purposes", &["fraud", "audit"][..]), ("residency", &REGIONS[..])] {
        let some = some(dice, from, 60);
        if dice.below(4) == 0 && !some.is_empty() {
            product["spec"]["policies"][key] = some.into();
        }
    }
    product
}

/// Policies of some levels, a few rules each.
fn policies(dice: &mut Dice, products: &[Value]) -> Vec<Policy> {
    let mut levels = vec![(None, None)];
    levels.extend(DOMAINS.map(|domain| (Some(domain.to_owned()), None)));
    let text = |product: &Value, key: &str| product["metadata"][key].as_str().map(str::to_owned);
    levels.extend(products.iter().map(|product| (text(product, "domain"), text(product, "name"))));
    let mut policies = Vec::new();
    for of in levels {
        if dice.below(3) > 0 {
            continue;
        }
        // One filter a level: the same one twice would be one in a set.
        let filter = (dice.below(3) == 0).then(|| Says::Filter(dice.below(FILTERS.len())));
        let mut says: Vec<Says> = filter.into_iter().collect();
        for _ in 0..dice.below(4) {
            says.push(match dice.below(4) {
                0 if dice.below(3) == 0 => Says::Deny,
                0 | 1 => Says::Allow,
                2 => Says::Mask(dice.word(&["region", "team", "name"]), dice.word(&TEXT_MASKS)),
                _ => Says::MaskLabel(dice.word(&LABELS), dice.word(&TEXT_MASKS)),
            });
        }
        policies.extend(says.into_iter().map(|says| Policy { of: of.clone(), says, group: dice.word(&GROUPS) }));
    }
    policies
}

fn asker(dice: &mut Dice, products: &[Value]) -> Asker {
    let mut groups: Vec<String> = some(dice, &GROUPS, 30).into_iter().map(str::to_owned).collect();
    for product in products {
        if dice.below(2) == 0 {
            let (domain, name) = (product["metadata"]["domain"].as_str().unwrap(), product["metadata"]["name"].as_str().unwrap());
            groups.push(format!("dp-{domain}-{name}-reader"));
        }
    }
    let mut grants = Vec::new();
    for product in products {
        while dice.below(6) == 0 {
            let id = format!("{}.{}", product["metadata"]["domain"].as_str().unwrap(), product["metadata"]["name"].as_str().unwrap());
            grants.push((id, [None, Some("fraud"), Some("audit")][dice.below(3)].map(str::to_owned)));
        }
    }
    let mut attributes = BTreeMap::new();
    for (name, values) in [("region", &REGIONS[..]), ("team", &["a", "it's", "\u{e9}"][..])] {
        if dice.below(5) > 0 {
            attributes.insert(name.to_owned(), dice.word(values).to_owned());
        }
    }
    Asker {
        name: dice.word(&["ann", "bea"]).to_owned(),
        domain: dice.word(&DOMAINS).to_owned(),
        groups,
        attributes,
        purpose: [None, Some("fraud"), Some("audit"), Some("fun")][dice.below(4)].map(str::to_owned),
        gateway: [Some("eu"), Some("eu"), Some("us"), None][dice.below(4)],
        grants,
    }
}

fn write(root: &Path, path: &str, value: &Value) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, value.to_string()).unwrap();
}

/// One mesh: how many decisions agreed, by outcome.
fn run(seed: u64, counts: &mut BTreeMap<&'static str, usize>, differences: &mut String) {
    let mut dice = Dice::new(seed);
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("catalog");
    let (mesh, products) = (mesh(&mut dice), (0..PRODUCTS).map(|number| product(&mut dice, number)).collect::<Vec<_>>());
    // JSON is YAML.
    write(&root, "mesh.yaml", &mesh);
    for domain in DOMAINS {
        let spec = json!({"owner": {"team": "t", "contact": "c@x.example"}, "storage": [{"prefix": format!("file:data/{domain}/")}]});
        let text = json!({"apiVersion": "datamesh.io/v1", "kind": "Domain", "metadata": {"name": domain}, "spec": spec});
        write(&root, &format!("{domain}/domain.yaml"), &text);
    }
    for product in &products {
        let (domain, name) = (product["metadata"]["domain"].as_str().unwrap(), product["metadata"]["name"].as_str().unwrap());
        write(&root, &format!("{domain}/{name}/v1.yaml"), product);
    }
    let rego = policies(&mut dice, &products);
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for policy in &rego {
        let (file, package) = policy.file_and_package();
        files.entry(file).or_insert_with(|| format!("package {package}\n\n")).push_str(&policy.text());
    }
    for (file, text) in files {
        let path = root.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let snapshot = Catalog::inspect(&root).expect("the mesh loads");
    assert_eq!(snapshot.problems.iter().map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new(), "seed {seed}");
    assert_eq!(snapshot.products.len(), PRODUCTS, "seed {seed}: {:?}", snapshot.problems);
    let loaded: Vec<PortRef> = products
        .iter()
        .map(|product| {
            let id = format!("{}.{}", product["metadata"]["domain"].as_str().unwrap(), product["metadata"]["name"].as_str().unwrap());
            let found = snapshot.products.values().find(|loaded| loaded.id.to_string() == id).unwrap();
            PortRef { product: Arc::clone(found.newest()), port: 0 }
        })
        .collect();
    for _ in 0..ASKERS {
        let asker = asker(&mut dice, &products);
        for (product, target) in products.iter().zip(&loaded) {
            let (one, other) = (expected(&asker, &mesh, &rego, product), found(&asker, &snapshot, target));
            let kind = match one {
                Outcome::Missing => "missing",
                Outcome::Denied => "denied",
                Outcome::Permitted { .. } => "permitted",
            };
            *counts.entry(kind).or_default() += 1;
            if one != other && differences.len() < 10_000 {
                writeln!(
                    differences,
                    "seed {seed}, {} of {} with {:?}: expected {one:?}, found {other:?}\n{product}",
                    asker.name, asker.domain, asker.groups
                )
                .unwrap();
            }
        }
    }
}

#[test]
fn two_authorisers_agree_on_a_hundred_thousand_decisions() {
    let (mut counts, mut differences) = (BTreeMap::new(), String::new());
    for seed in 1..=MESHES {
        run(seed, &mut counts, &mut differences);
    }
    println!("{counts:?}");
    assert!(differences.is_empty(), "{differences}");
    assert!(counts.values().sum::<usize>() >= 100_000 && counts.values().all(|count| *count > 5_000), "{counts:?}");
}
