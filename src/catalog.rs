//! What exists: domains, their products, the ports through which products are read, and the mesh's rules.
//!
//! A folder of YAML files is loaded into an immutable [`Snapshot`]; a reload makes a new one and a query keeps the one it began with.
//! Nothing here opens data: whether a port can be read is the business of `ports`.

mod domain;
mod folder;
mod limits;
mod live;
mod load;
mod location;
mod manifest;
mod mesh;
mod names;
mod ports;
mod prices;
mod read;
mod rules;
#[cfg(test)]
mod tests;
mod types;
mod values;
mod yaml;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use rust_decimal::Decimal;
use sha2::{Digest, Sha256};

use crate::id::{CatalogVersion, DomainName, GroupName, PolicyRevision, PortId, PortName, ProductId, ProductName};
use crate::values::types::PG_TYPE;

pub use limits::{Each, Per, ScanLimit, Workload};
pub use live::{Catalog, CredentialCheck};
pub use prices::{Price, Tier};
pub(crate) use values::{amount, bytes, duration};

/// The catalog at one moment. Immutable.
#[derive(Debug)]
pub struct Snapshot {
    /// Which reload this is.
    pub version: CatalogVersion,
    /// Digest of everything in the catalog that decides access.
    pub revision: PolicyRevision,
    /// The mesh's rules and prices.
    pub mesh: Mesh,
    /// By domain, the digest of what its manifests are read against: `mesh.yaml` and its `domain.yaml`.
    pub environments: BTreeMap<DomainName, [u8; 32]>,
    /// All domains.
    pub domains: BTreeMap<DomainName, Arc<Domain>>,
    /// All products with at least one valid version.
    pub products: BTreeMap<ProductId, Product>,
    /// The Rego of all levels.
    pub rego: Arc<crate::policy::Rego>,
    /// What is wrong, by file.
    pub problems: Vec<Problem>,
}

impl Snapshot {
    /// The digest of the rules of one product: the mesh's, its domain's and its own, with the Rego of all three. A reader may be told of it. That of the whole catalog
    /// would tell them when the rules of a product changed that they must not know of.
    pub fn revision_of(&self, product: &ProductVersion) -> PolicyRevision {
        let mut digest = Sha256::new();
        digest.update(self.environments.get(&product.id.domain).copied().unwrap_or_default());
        digest.update(product.digest.as_bytes());
        digest.update(self.rego.digest(&product.id));
        PolicyRevision::new(&manifest::hex(digest.finalize().as_slice()))
    }
}

/// A product version together with one of its ports: what a table name means.
#[derive(Debug, Clone)]
pub struct PortRef {
    /// The version.
    pub product: Arc<ProductVersion>,
    /// Index into [`ProductVersion::ports`].
    pub port: usize,
}

impl PortRef {
    /// The port.
    pub fn port(&self) -> &Port {
        #[expect(clippy::indexing_slicing, reason = "only `PortRef::at` and code that counts the ports make an index")]
        &self.product.ports[self.port]
    }

    /// Its identity.
    pub fn id(&self) -> PortId {
        PortId { product: self.product.id.clone(), major: self.product.version.major, port: self.port().name.clone() }
    }
}

/// The mesh's rules and prices (`mesh.yaml`).
#[derive(Debug, Clone, Default)]
pub struct Mesh {
    /// The mesh's name.
    pub name: String,
    /// ISO 4217 code of every amount.
    pub currency: String,
    /// What monthly statements are for.
    pub billing: Billing,
    /// Prices, in the order of the file.
    pub prices: Vec<Arc<Price>>,
    /// How many bytes may be scanned.
    pub limits: Vec<Arc<ScanLimit>>,
    /// What the names of applications begin with that are known to look at tables on their own account (`query::workload`); without a list, the
    /// gateway's own.
    pub crawlers: Option<Vec<String>>,
    /// Classifications by dotted label; a rule for `PII` holds for `PII.NationalID`.
    pub classifications: BTreeMap<String, ClassificationRule>,
    /// The pattern that column names of published products hold to.
    pub column_pattern: Option<String>,
    /// Columns that every product with a term must have.
    pub required_columns: Vec<RequiredColumn>,
    /// The regions that there are; where it is empty, any.
    pub regions: Vec<String>,
}

impl Mesh {
    /// The rule that holds for a label: its own, else that of its nearest ancestor, with the label under which it was written.
    pub fn rule_for(&self, label: &str) -> Option<(&str, &ClassificationRule)> {
        let mut label = label;
        loop {
            if let Some((known, rule)) = self.classifications.get_key_value(label) {
                return Some((known, rule));
            }
            label = label.rsplit_once('.')?.0;
        }
    }
}

/// What monthly statements are for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Billing {
    /// For information: nobody pays.
    #[default]
    Showback,
    /// For booking: each line debits the consumer's cost centre and credits the producer's.
    Chargeback,
}

impl Billing {
    /// As `mesh.yaml` and statements write it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Showback => "showback",
            Self::Chargeback => "chargeback",
        }
    }
}

/// What a classification asks for.
#[derive(Debug, Clone)]
pub struct ClassificationRule {
    /// The mask, by its name in the manifest (`pseudonym`, `round:100`).
    pub mask: Sourced<crate::policy::Mask>,
    /// The only groups for which it falls away.
    pub clear_groups: Vec<GroupName>,
}

/// A golden key: a column that every product with a term must have.
#[derive(Debug, Clone)]
pub struct RequiredColumn {
    /// The column.
    pub name: String,
    /// Its type.
    pub data_type: ColumnType,
    /// The term that asks for it.
    pub when_term: String,
}

/// An owner of data (`domain.yaml`).
#[derive(Debug, Clone)]
pub struct Domain {
    /// Its name, and the SQL schema of its products.
    pub name: DomainName,
    /// Who answers for it.
    pub owner: Owner,
    /// Who is charged.
    pub cost_center: Option<String>,
    /// Where its data lies.
    pub region: Option<String>,
    /// The groups that may grant access.
    pub stewards: Vec<GroupName>,
    /// Where its products may lie.
    pub storage: Vec<StoragePrefix>,
    /// Its monthly budget as a consumer.
    pub budget: Option<Budget>,
    /// Its limits as a consumer.
    pub limits: DomainLimits,
}

/// A place where a domain's products may lie.
#[derive(Debug, Clone)]
pub struct StoragePrefix {
    /// A canonical location prefix, ending in `/`.
    pub prefix: Location,
    /// The credential's name in the gateway's configuration.
    pub credentials: Option<String>,
}

/// A canonical location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// An absolute path of this machine, without `.` and `..`. A trailing `/` of the manifest means a folder.
    File(PathBuf),
    /// A remote URL (`s3://…`), kept as text until its store exists.
    Remote(String),
}

/// A consumer domain's monthly budget.
#[derive(Debug, Clone)]
pub struct Budget {
    /// Amount a month, in the mesh's currency.
    pub monthly: Decimal,
    /// Percentages of what was spent at which to alert.
    pub alerts: Vec<u32>,
    /// Percentages of what the month is going to cost at its run rate at which to alert.
    pub forecast_alerts: Vec<u32>,
    /// Whether to refuse queries past it.
    pub block: bool,
}

/// A consumer domain's limits.
#[derive(Debug, Clone, Default)]
pub struct DomainLimits {
    /// Bytes that one query may scan.
    pub max_scan_bytes: Option<u64>,
    /// Queries at once.
    pub concurrency: Option<usize>,
    /// Bytes of memory, all its queries together.
    pub memory: Option<u64>,
}

/// Who answers for a thing.
#[derive(Debug, Clone, Default)]
pub struct Owner {
    /// The team.
    pub team: String,
    /// How to reach it.
    pub contact: String,
}

/// A product with its live major versions.
#[derive(Debug, Clone)]
pub struct Product {
    /// Its name.
    pub id: ProductId,
    /// Live versions by major. Never empty.
    pub versions: BTreeMap<u64, Arc<ProductVersion>>,
}

impl Product {
    /// The newest live major: the highest that is not a draft, else the highest.
    pub fn newest(&self) -> &Arc<ProductVersion> {
        let newest = self.versions.values().rev().find(|version| version.status != Status::Draft);
        #[expect(clippy::expect_used, reason = "a product is made with its first version and versions are never taken out")]
        newest.or_else(|| self.versions.values().next_back()).expect("a product has a version")
    }
}

/// One live major version of a product: the manifest, validated.
#[derive(Debug)]
pub struct ProductVersion {
    /// Its name.
    pub id: ProductId,
    /// `metadata.version`.
    pub version: semver::Version,
    /// What a row is.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Owner,
    /// Where it is in its life. A manifest that lacks what publishing needs is a draft whatever it says.
    pub status: Status,
    /// How much it matters; 1 is most.
    pub tier: Option<u8>,
    /// Free labels.
    pub tags: Vec<String>,
    /// Business terms.
    pub terms: Vec<String>,
    /// How to read it. Never empty; the first is the default.
    pub ports: Vec<Port>,
    /// What it promises.
    pub sla: Sla,
    /// Quality checks as the manifest words them.
    pub quality: Vec<QualityCheck>,
    /// Who may read it.
    pub access: Access,
    /// Reading needs one of these declared, if there are any.
    pub purposes: Vec<String>,
    /// The regions in which it may be read, if there are any.
    pub residency: Vec<String>,
    /// The manifest's row filters.
    pub row_filters: Vec<Sourced<RowFilterRule>>,
    /// The manifest's masks.
    pub masks: Vec<Sourced<ColumnMaskRule>>,
    /// Where it comes from.
    pub upstream: Vec<(DomainName, ProductName)>,
    /// The manifest's file, relative to the catalog, and the digest of its text.
    pub source: Origin,
    /// SHA-256 of the manifest's text, lower-case hexadecimal.
    pub digest: String,
}

/// Where in its life a product version is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Not published: only its own domain reads it.
    Draft,
    /// Published.
    Active,
    /// Published, and going away: readers get a notice.
    Deprecated,
}

/// Who may ask for a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody reads it.
    Public,
    /// Everybody knows of it, readers need a grant.
    Restricted,
    /// Only readers know of it.
    Private,
}

/// A way to read a product version.
#[derive(Debug, Clone)]
pub struct Port {
    /// Its name; `default` in the short form of the manifest.
    pub name: PortName,
    /// How the data is written.
    pub format: Format,
    /// Where it lies.
    pub location: Location,
    /// Partition columns, outermost first.
    pub partitioning: Vec<String>,
    /// The contract's columns. Where absent, the format must carry a schema.
    pub columns: Option<Vec<Column>>,
    /// Format options: `header`, `delimiter`, …
    pub options: BTreeMap<String, String>,
}

/// How data is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Delta Lake.
    Delta,
    /// Apache Parquet: a file, a folder, hive partitions.
    Parquet,
    /// Comma-separated values.
    Csv,
    /// JSON, one object a line.
    Json,
    /// Apache Avro. Known, not yet read.
    Avro,
    /// Arrow IPC. Known, not yet read.
    Arrow,
    /// Apache Iceberg. Known, not yet read.
    Iceberg,
    /// A table of a PostgreSQL server. Known, not yet read.
    Postgres,
}

/// A column of a contract.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: ColumnType,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// What it means.
    pub description: Option<String>,
    /// Whether its values are unique.
    pub unique: bool,
    /// Its dotted label, `PII.NationalID`.
    pub classification: Option<String>,
    /// The fields of a struct, or of the structs of a list.
    pub fields: Vec<Column>,
}

impl Column {
    /// The column as a field, which says what PostgreSQL calls it where Arrow cannot.
    pub fn field(&self, nullable: bool) -> Field {
        let field = Field::new(&self.name, self.data_type.arrow.clone(), nullable);
        match self.data_type.name.as_str() {
            name @ ("uuid" | "json") => field.with_metadata(HashMap::from([(PG_TYPE.to_owned(), name.to_owned())])),
            _ => field,
        }
    }

    /// The column, and behind it its fields at every depth, each by its path (`address.street`).
    pub fn with_fields(&self) -> Vec<(Cow<'_, str>, &Column)> {
        let mut all = vec![(Cow::Borrowed(self.name.as_str()), self)];
        for field in &self.fields {
            let inner = field.with_fields().into_iter();
            all.extend(inner.map(|(path, field)| (Cow::Owned(format!("{}.{path}", self.name)), field)));
        }
        all
    }
}

/// A contract's type: PostgreSQL's names, Arrow's meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnType {
    /// The name as written in the manifest, normalised (`bigint`, `numeric(12,2)`).
    pub name: String,
    /// What a scan yields.
    pub arrow: DataType,
}

/// What a product promises: its time, its availability, and how it is kept.
#[derive(Debug, Clone, Default)]
pub struct Sla {
    /// How old the data may be.
    pub freshness: Option<std::time::Duration>,
    /// Percent of the time.
    pub availability: Option<f64>,
    /// As the manifest words it.
    pub latency: Option<String>,
    /// How long its rows are kept.
    pub retention: Option<std::time::Duration>,
    /// How it is encrypted at rest, as the manifest words it.
    pub encryption: Option<String>,
}

/// A quality check as the manifest words it. Run at registration, in a later version.
#[derive(Debug, Clone)]
pub struct QualityCheck {
    /// The column, where it is about one.
    pub column: Option<String>,
    /// `not_null`, `in_list`, `row_count_delta`, …
    pub rule: String,
    /// The other keys as JSON.
    pub arguments: serde_json::Value,
}

/// Rows that a reader may see.
#[derive(Debug, Clone)]
pub struct RowFilterRule {
    /// A SQL expression over the port's columns, with `$name` for bound values.
    pub expression: String,
    /// What each `$name` is: a path such as `principal.attributes.region`.
    pub bind: BTreeMap<String, String>,
    /// Groups for which the filter falls away.
    pub except_groups: Vec<GroupName>,
}

/// A mask on one column.
#[derive(Debug, Clone)]
pub struct ColumnMaskRule {
    /// The column.
    pub column: String,
    /// The mask.
    pub mask: crate::policy::Mask,
    /// Groups for which this rule falls away; a classification's mask does not.
    pub except_groups: Vec<GroupName>,
}

/// A file and a place in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// Relative to the catalog's folder, with `/`.
    pub file: String,
    /// From 1; 0 where the whole file is meant.
    pub line: u64,
    /// From 1; 0 where the whole line is meant.
    pub column: u64,
}

/// A value that knows where it was written, so that a decision can say why.
#[derive(Debug, Clone)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub origin: Origin,
}

/// Something wrong with the catalog, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub origin: Origin,
    /// How bad.
    pub severity: Severity,
    /// The product it is about, where it is known.
    pub product: Option<ProductId>,
    /// What is wrong and what would be right.
    pub message: String,
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file is not used; the last valid version of it stays.
    Error,
    /// The file is used, but something is missing, as a draft's description.
    Warning,
}

impl fmt::Display for Origin {
    /// `file`, `file:line` or `file:line:column`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if self.line > 0 && self.column > 0 {
            write!(f, ":{}", self.column)?;
        }
        Ok(())
    }
}

impl Access {
    /// Its name in a manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Restricted => "restricted",
            Self::Private => "private",
        }
    }
}

impl Severity {
    /// As it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl fmt::Display for Problem {
    /// `file:line:column: error: what`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.origin, self.severity.as_str(), self.message)
    }
}
