//! A small product to decide about: `claims.claims_enriched`, with one of each rule.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};

use crate::access::{Grant, GrantId, RequestId};
use crate::catalog::{
    Access, ClassificationRule, Column, ColumnMaskRule, ColumnType, Domain, DomainLimits, Format, Location, Mesh, Origin, Owner, Port,
    PortRef, ProductVersion, RowFilterRule, Sla, Sourced, Status,
};
use crate::id::{DomainName, GroupName, PolicyRevision, PortName, PrincipalName, ProductId, ProductName};
use crate::identity::Principal;
use crate::policy::{Circumstances, Decision, Mask, Permit, Rego, Request, decide};

pub(crate) fn at<T>(value: T, line: u64) -> Sourced<T> {
    Sourced { value, origin: Origin { file: "claims/claims_enriched/v1.yaml".into(), line, column: 9 } }
}

pub(crate) fn groups(names: &[&str]) -> Vec<GroupName> {
    names.iter().map(|name| GroupName::new(name)).collect()
}

pub(crate) fn mask(text: &str) -> Mask {
    Mask::parse(text).unwrap()
}

pub(crate) fn bind(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, path)| ((*name).to_owned(), (*path).to_owned())).collect()
}

pub(crate) fn column(name: &str, arrow: DataType, classification: Option<&str>) -> Column {
    Column {
        name: name.into(),
        data_type: ColumnType { name: arrow.to_string(), arrow },
        nullable: true,
        description: None,
        unique: false,
        classification: classification.map(Into::into),
        fields: Vec::new(),
    }
}

pub(crate) fn filter_rule(expression: &str, pairs: &[(&str, &str)], except: &[&str]) -> RowFilterRule {
    RowFilterRule { expression: expression.into(), bind: bind(pairs), except_groups: groups(except) }
}

/// `claims.claims_enriched`, restricted, with columns of the usual types and no policy but its classifications.
pub(crate) fn product() -> ProductVersion {
    let id = ProductId { domain: DomainName::new("claims").unwrap(), product: ProductName::new("claims_enriched").unwrap() };
    let columns = vec![
        column("claim_id", DataType::Int64, None),
        column("region", DataType::Utf8, None),
        column("national_id", DataType::Utf8View, Some("PII.NationalID")),
        column("phone", DataType::Utf8, Some("PII.Phone.Mobile")),
        column("narrative", DataType::Utf8, None),
        column("amount", DataType::Decimal128(12, 2), None),
        column("consent", DataType::Boolean, None),
    ];
    let port = Port {
        name: PortName::new("sql").unwrap(),
        format: Format::Parquet,
        location: Location::File(PathBuf::from("/data/claims/")),
        partitioning: vec!["region".into()],
        columns: Some(columns),
        options: BTreeMap::new(),
    };
    ProductVersion {
        id,
        version: semver::Version::new(1, 2, 0),
        description: Some("One row per claim".into()),
        owner: Owner { team: "claims-data".into(), contact: "claims-data@northpeak.example".into() },
        status: Status::Active,
        tier: Some(1),
        tags: vec![],
        terms: vec![],
        ports: vec![port],
        sla: Sla::default(),
        quality: vec![],
        access: Access::Restricted,
        purposes: vec![],
        residency: vec![],
        row_filters: vec![],
        masks: vec![],
        upstream: vec![],
        source: Origin { file: "claims/claims_enriched/v1.yaml".into(), line: 0, column: 0 },
        digest: String::new(),
    }
}

pub(crate) fn column_mask(column: &str, text: &str, except: &[&str]) -> ColumnMaskRule {
    ColumnMaskRule { column: column.into(), mask: mask(text), except_groups: groups(except) }
}

pub(crate) fn mesh() -> Mesh {
    let rule = |text: &str, clear: &[&str]| ClassificationRule { mask: at(mask(text), 7), clear_groups: groups(clear) };
    let mut mesh = Mesh::default();
    mesh.classifications.insert("PII".into(), rule("replace-with-null", &[]));
    mesh.classifications.insert("PII.NationalID".into(), rule("pseudonym", &["pii-clear"]));
    mesh
}

pub(crate) fn domain() -> Domain {
    Domain {
        name: DomainName::new("claims").unwrap(),
        owner: Owner::default(),
        cost_center: None,
        region: Some("eu".into()),
        stewards: groups(&["claims-stewards"]),
        storage: vec![],
        budget: None,
        limits: DomainLimits::default(),
    }
}

pub(crate) fn principal(domain: &str, in_groups: &[&str], region: Option<&str>) -> Principal {
    Principal {
        name: PrincipalName::new("ana"),
        domain: DomainName::new(domain).unwrap(),
        groups: groups(in_groups).into_iter().collect(),
        attributes: region.map(|region| ("region".to_owned(), region.to_owned())).into_iter().collect(),
        token: None,
    }
}

pub(crate) fn schema_of(product: &ProductVersion) -> SchemaRef {
    let columns = product.ports[0].columns.as_ref().unwrap();
    Arc::new(Schema::new(columns.iter().map(|c| c.field(c.nullable)).collect::<Vec<_>>()))
}

/// A grant that holds.
pub(crate) fn grant(principal: &Principal, product: &ProductId, purpose: Option<&str>) -> Arc<Grant> {
    Arc::new(Grant {
        id: GrantId::generate(),
        request_id: RequestId::generate(),
        principal: principal.name.clone(),
        domain: principal.domain.clone(),
        product: product.clone(),
        purpose: purpose.map(Into::into),
        reason: "a study".into(),
        granted_by: PrincipalName::new("steward"),
        granted_at: "2026-11-20T12:00:00Z".parse().unwrap(),
        expires_at: "2026-11-21T12:00:00Z".parse().unwrap(),
    })
}

/// A session that has declared nothing.
static NOTHING_SAID: Circumstances = Circumstances { purpose: None, protocol: "postgres", application_name: None };

/// A session that has declared this purpose, if any.
pub(crate) fn declaring(purpose: Option<&str>) -> Circumstances {
    Circumstances { purpose: purpose.map(Into::into), ..NOTHING_SAID.clone() }
}

/// A mesh without policies in Rego.
pub(crate) fn no_rego() -> &'static Rego {
    static NONE: std::sync::OnceLock<Rego> = std::sync::OnceLock::new();
    NONE.get_or_init(Rego::default)
}

pub(crate) fn revision() -> &'static PolicyRevision {
    static ONE: std::sync::OnceLock<PolicyRevision> = std::sync::OnceLock::new();
    ONE.get_or_init(|| PolicyRevision::new("one"))
}

/// Asks a gateway in `eu` for no declared purpose.
pub(crate) fn request<'a>(principal: &'a Principal, target: &'a PortRef, mesh: &'a Mesh, domain: &'a Domain) -> Request<'a> {
    let (rego, revision) = (no_rego(), revision());
    Request { principal, target, mesh, domain, rego, revision, region: Some("eu"), circumstances: &NOTHING_SAID, grants: &[] }
}

/// Decides for a gateway in `eu` and no declared purpose.
pub(crate) fn decision(product: ProductVersion, principal: &Principal) -> Decision {
    decision_for(product, principal, Some("eu"), None)
}

pub(crate) fn decision_for(product: ProductVersion, principal: &Principal, region: Option<&str>, purpose: Option<&str>) -> Decision {
    let schema = schema_of(&product);
    let target = PortRef { product: Arc::new(product), port: 0 };
    let circumstances = declaring(purpose);
    decide(&Request { region, circumstances: &circumstances, ..request(principal, &target, &mesh(), &domain()) }, &schema)
}

/// The permit of a decision that must be one.
pub(crate) fn permit(decision: Decision) -> Permit {
    match decision {
        Decision::Permit(permit) => permit,
        Decision::Denied(denial) => panic!("denied: {:?}", denial.reasons),
    }
}
