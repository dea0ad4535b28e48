//! What a policy is told of a request: the input of `docs/policy.md`, no more and no less.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::Schema;
use parking_lot::Mutex;
use regorus::Value;

use crate::catalog::{Column, ColumnType, PortRef, ProductVersion};
use crate::policy::Request;

/// Ports whose columns are kept as a value.
const KEPT: usize = 1024;

/// The columns of ports as policies read them. They are most of an input, and the same for every reader.
#[derive(Debug, Default)]
pub(super) struct Columns(Mutex<HashMap<(usize, usize), Kept>>);

/// A port's columns, with what they were made from: as long as it is held, its address is nobody else's.
#[derive(Debug)]
struct Kept {
    product: Arc<ProductVersion>,
    schema: Arc<Schema>,
    value: Value,
}

impl Columns {
    /// The port's columns as `schema` has them, or as the contract promises them.
    pub(super) fn of(&self, request: &Request<'_>, schema: Option<&Arc<Schema>>) -> Value {
        let Some(schema) = schema else { return promised(request.target) };
        let product = &request.target.product;
        let key = (Arc::as_ptr(product).addr(), request.target.port);
        let mut kept = self.0.lock();
        if let Some(known) = kept.get(&key)
            && Arc::ptr_eq(&known.product, product)
            && (Arc::ptr_eq(&known.schema, schema) || known.schema == *schema)
        {
            return known.value.clone();
        }
        let value = columns(request.target, schema);
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(key, Kept { product: Arc::clone(product), schema: Arc::clone(schema), value: value.clone() });
        value
    }
}

/// The whole input.
pub(super) fn of(request: &Request<'_>, columns: Value) -> Value {
    let (principal, product) = (request.principal, &request.target.product);
    let said = request.circumstances;
    object([
        (
            "principal",
            object([
                ("name", principal.name.as_str().into()),
                ("domain", principal.domain.as_str().into()),
                ("groups", list(principal.groups.iter().map(|group| group.as_str()))),
                ("attributes", object(principal.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str().into())))),
            ]),
        ),
        ("action", "read".into()),
        (
            "product",
            object([
                ("domain", product.id.domain.as_str().into()),
                ("name", product.id.product.as_str().into()),
                ("version", product.version.to_string().into()),
                ("tags", list(product.tags.iter().map(String::as_str))),
                ("tier", product.tier.map_or(Value::Null, |tier| u32::from(tier).into())),
                ("access", product.access.as_str().into()),
                ("region", text(request.domain.region.as_deref())),
                ("owner", object([("team", product.owner.team.as_str().into()), ("contact", product.owner.contact.as_str().into())])),
            ]),
        ),
        ("port", request.target.port().name.as_str().into()),
        ("columns", columns),
        ("purpose", text(said.purpose())),
        ("context", object([("protocol", said.protocol.into()), ("application_name", text(said.application_name.as_deref()))])),
    ])
}

/// The columns that the data has, by the contract's types and labels.
fn columns(target: &PortRef, schema: &Schema) -> Value {
    let contract = target.port().columns.as_deref().unwrap_or_default();
    let promised: BTreeMap<&str, _> = contract.iter().map(|column| (column.name.as_str(), column)).collect();
    let told = schema.fields().iter().flat_map(|field| match promised.get(field.name().as_str()) {
        Some(column) => by_contract(column),
        None => vec![told(field.name(), &ColumnType::name_of(field.data_type()), None)],
    });
    Value::from(told.collect::<Vec<_>>())
}

/// A column and its fields.
fn by_contract(column: &Column) -> Vec<Value> {
    let all = column.with_fields().into_iter();
    all.map(|(path, column)| told(&path, &column.data_type.name, column.classification.as_deref())).collect()
}

/// The columns of the contract, where the data was not opened.
fn promised(target: &PortRef) -> Value {
    let contract = target.port().columns.iter().flatten();
    Value::from(contract.flat_map(by_contract).collect::<Vec<_>>())
}

fn told(name: &str, kind: &str, classification: Option<&str>) -> Value {
    object([("name", name.into()), ("type", kind.into()), ("classification", text(classification))])
}

fn text(text: Option<&str>) -> Value {
    text.map_or(Value::Null, Value::from)
}

fn list<'a>(texts: impl Iterator<Item = &'a str>) -> Value {
    Value::from(texts.map(Value::from).collect::<Vec<_>>())
}

fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::from(fields.into_iter().map(|(name, value)| (Value::from(name), value)).collect::<BTreeMap<_, _>>())
}
