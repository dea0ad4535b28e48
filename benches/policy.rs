//! What a decision costs: about a product of 200 columns, with none, one and three levels of Rego, made for the first time and remembered.
//!
//! `cargo bench --bench policy [-- ROUNDS]` prints microseconds. To be held: three levels at most 150 µs, remembered at most 1 µs.

use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::{Field, Schema, SchemaRef};
use meshgate::catalog::{Catalog, Domain, PortRef, Snapshot};
use meshgate::id::{DomainName, GroupName, PrincipalName};
use meshgate::identity::Principal;
use meshgate::policy::{Circumstances, Decision, Decisions, Request, decide};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const COLUMNS: usize = 200;

const MESH: &str = "
apiVersion: datamesh.io/v1
kind: Mesh
metadata: {name: bench}
spec:
  currency: USD
  classifications:
    PII: {mask: replace-with-null}
    PII.NationalID: {mask: pseudonym, clearGroups: [pii-clear]}
";

const DOMAIN: &str = "
apiVersion: datamesh.io/v1
kind: Domain
metadata: {name: claims}
spec:
  owner: {team: claims-data, contact: c@northpeak.example}
  region: eu
  storage: [{prefix: \"file:data/claims/\"}]
";

/// A level that says something of who and which rows, and nothing of single columns.
const PLAIN: &str = r#"
deny contains "interns read nothing" if "interns" in input.principal.groups

row_filters contains {"expression": "region = $region", "bind": {"region": "principal.attributes.region"}} if {
    not "claims-all" in input.principal.groups
}
"#;

/// A level that looks at every column.
const LOOP: &str = r#"
column_masks contains {"column": column.name, "mask": "pseudonym"} if {
    some column in input.columns
    column.classification == "PII.NationalID"
    not "pii-clear" in input.principal.groups
}
"#;

fn main() -> Result<()> {
    let argument = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let rounds: u32 = argument.map_or(Ok(2_000), |text| text.parse())?;
    println!("a decision about {COLUMNS} columns, of which one in ten is classified");
    let looping = format!("{PLAIN}{LOOP}");
    for (name, levels) in [
        ("no Rego", [None, None, None]),
        ("three levels, no loop", [Some(PLAIN); 3]),
        ("three levels, one loop over the columns", [Some(looping.as_str()), Some(PLAIN), Some(PLAIN)]),
        ("three levels, three loops over the columns", [Some(looping.as_str()); 3]),
    ] {
        let world = World::new(levels)?;
        let request = world.request();
        let first = measure(rounds, || decide(&request, &world.schema))?;
        let decisions = Decisions::default();
        let again = measure(rounds.saturating_mul(20), || decisions.decide(&request, &world.schema))?;
        println!("{name:<44} first {first:>8.1} µs   remembered {again:>6.2} µs");
    }
    Ok(())
}

fn measure(rounds: u32, ask: impl Fn() -> Decision) -> Result<f64> {
    for _ in 0..rounds / 10 {
        black_box(ask());
    }
    let began = Instant::now();
    for _ in 0..rounds {
        match black_box(ask()) {
            Decision::Permit(_) => {}
            Decision::Denied(denial) => return Err(format!("denied: {:?}", denial.reasons).into()),
        }
    }
    Ok(began.elapsed().as_secs_f64() * 1e6 / f64::from(rounds))
}

/// A mesh with one product, and somebody who reads it.
struct World {
    snapshot: Snapshot,
    domain: Arc<Domain>,
    target: PortRef,
    schema: SchemaRef,
    principal: Principal,
    circumstances: Circumstances,
}

impl World {
    fn new(levels: [Option<&str>; 3]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().join("catalog");
        write(&root.join("mesh.yaml"), MESH)?;
        write(&root.join("claims/domain.yaml"), DOMAIN)?;
        write(&root.join("claims/wide/v1.yaml"), &manifest())?;
        let places =
            [("policies", "mesh.global"), ("claims/policies", "mesh.domain.claims"), ("claims/wide/policies", "mesh.product.claims.wide")];
        for ((folder, package), body) in places.iter().zip(levels) {
            if let Some(body) = body {
                write(&root.join(folder).join("a.rego"), &format!("package {package}\n{body}"))?;
            }
        }
        let snapshot = Catalog::inspect(&root).map_err(|problems| format!("{problems:?}"))?;
        if !snapshot.problems.is_empty() {
            return Err(format!("{:?}", snapshot.problems).into());
        }
        let product = snapshot.products.values().next().ok_or("no product")?;
        let target = PortRef { product: Arc::clone(product.newest()), port: 0 };
        let columns = target.port().columns.iter().flatten();
        let schema = Arc::new(Schema::new(columns.map(|c| Field::new(&c.name, c.data_type.arrow.clone(), true)).collect::<Vec<_>>()));
        let principal = Principal {
            name: PrincipalName::new("ana"),
            domain: DomainName::new("pricing")?,
            groups: ["analysts", "dp-claims-wide-reader", "pricing-team"].map(GroupName::new).into_iter().collect(),
            attributes: [("region".to_owned(), "eu".to_owned())].into(),
            token: None,
        };
        let circumstances = Circumstances { purpose: None, protocol: "postgres", application_name: Some("bench".into()) };
        let domain = snapshot.domains.get(&target.product.id.domain).cloned().ok_or("no domain")?;
        Ok(Self { snapshot, domain, target, schema, principal, circumstances })
    }

    fn request(&self) -> Request<'_> {
        Request {
            principal: &self.principal,
            target: &self.target,
            mesh: &self.snapshot.mesh,
            domain: &self.domain,
            rego: &self.snapshot.rego,
            revision: &self.snapshot.revision,
            region: Some("eu"),
            circumstances: &self.circumstances,
            grants: &[],
        }
    }
}

fn manifest() -> String {
    let column = |number: usize| match number {
        0 => "        - {name: region, type: text}\n".to_owned(),
        _ if number.is_multiple_of(10) => format!("        - {{name: c{number}, type: text, classification: PII.NationalID}}\n"),
        _ => format!("        - {{name: c{number}, type: bigint}}\n"),
    };
    let columns: String = (0..COLUMNS).map(column).collect();
    format!(
        "apiVersion: datamesh.io/v1\nkind: DataProduct\nmetadata: {{name: wide, domain: claims, version: 1.0.0, description: Wide, \
         owner: {{team: t, contact: c@northpeak.example}}}}\nspec:\n  outputPorts:\n    - name: sql\n      format: parquet\n      \
         location: \"file:data/claims/wide/\"\n      schema:\n{columns}  sla: {{freshness: 1h}}\n  policies: {{access: restricted}}\n"
    )
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    Ok(std::fs::write(path, text)?)
}
