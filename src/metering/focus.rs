//! The bill in FOCUS, the FinOps Open Cost and Usage Specification: a row for each day, consumer, output port and price, and each correction.
//!
//! Version 1.4 of the dataset "Cost and Usage" is the table; 1.2 differs in the names of two columns. Amounts are as exact as the ledger's. What
//! was priced is derived from the cost, so that quantity times unit price is the cost, with rounding steps and minima in it; what
//! was consumed are the bytes that were scanned. Usage that no price was in force for is in `finops.usage` and on no bill.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Decimal128Type, Field, Int64Type, Schema, SchemaRef, TimeUnit, i256};
use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime};
use rusqlite::types::Value;

use super::Month;
use super::ledger::{Column, Kind, Ledger, column, maybe};
use super::price::COST_SCALE;
use crate::error::{Fault, Result};

/// Digits after the point of quantities and prices: enough that a byte's share of a tebibyte keeps nine significant digits and more.
const FINE: i8 = 24;
/// The digits of every decimal.
const DIGITS: u8 = 38;
/// Of a price in the journal's reading.
const PRICE_SCALE: u32 = 10;

/// What a column of the dataset is made of.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// The same in each row.
    Fixed(&'static str),
    /// Nothing.
    Null,
    /// The mesh.
    Mesh,
    /// The same in each row of usage; a correction has none.
    Used(&'static str),
    /// A text of the row.
    Text(fn(&Row) -> String),
    /// A text of the row that may be missing.
    Maybe(fn(&Row) -> Option<String>),
    /// The first moment of a day.
    Day(fn(&Row) -> Option<NaiveDate>),
    /// What it costs.
    Cost,
    /// The price of a tebibyte, of usage.
    UnitPrice,
    /// Tebibytes that were priced, of usage.
    Priced,
    /// Bytes, of usage.
    Measured,
    /// Queries.
    Queries,
}

/// The columns of version 1.4, in the order of their names, and our own after them.
const COLUMNS: &[(&str, Source)] = &[
    ("BilledCost", Source::Cost),
    ("BillingAccountId", Source::Mesh),
    ("BillingAccountName", Source::Mesh),
    ("BillingCurrency", Source::Text(|row| row.currency.clone())),
    ("BillingPeriodEnd", Source::Day(|row| Some(row.month.next().first_day()))),
    ("BillingPeriodStart", Source::Day(|row| Some(row.month.first_day()))),
    ("ChargeCategory", Source::Text(|row| if row.usage.is_some() { "Usage" } else { "Adjustment" }.to_owned())),
    ("ChargeClass", Source::Maybe(|row| row.corrects().then(|| "Correction".to_owned()))),
    ("ChargeDescription", Source::Text(Row::description)),
    ("ChargeFrequency", Source::Text(|row| if row.usage.is_some() { "Usage-Based" } else { "One-Time" }.to_owned())),
    ("ChargePeriodEnd", Source::Day(Row::end)),
    ("ChargePeriodStart", Source::Day(|row| Some(row.day))),
    // None is made, but what is said of quantities is said of those that no commitment covers.
    ("CommitmentDiscountStatus", Source::Null),
    ("ConsumedQuantity", Source::Measured),
    ("ConsumedUnit", Source::Used("B")),
    ("ContractedCost", Source::Cost),
    ("ContractedUnitPrice", Source::UnitPrice),
    ("EffectiveCost", Source::Cost),
    ("HostProviderName", Source::Mesh),
    ("InvoiceId", Source::Maybe(|row| row.statement.clone())),
    ("InvoiceIssuerName", Source::Mesh),
    ("ListCost", Source::Cost),
    ("ListUnitPrice", Source::UnitPrice),
    ("PricingCategory", Source::Used("Standard")),
    ("PricingCurrency", Source::Text(|row| row.currency.clone())),
    ("PricingCurrencyContractedUnitPrice", Source::UnitPrice),
    ("PricingCurrencyEffectiveCost", Source::Cost),
    ("PricingCurrencyListUnitPrice", Source::UnitPrice),
    ("PricingQuantity", Source::Priced),
    ("PricingUnit", Source::Used("TiB")),
    ("ResourceId", Source::Maybe(|row| row.port().map(|port| format!("urn:meshgate:{}:{}:{port}", row.producer, row.product)))),
    ("ResourceName", Source::Maybe(|row| row.port().map(|port| format!("{}.{port}", row.product())))),
    ("ResourceType", Source::Used("Data Product Output Port")),
    ("ServiceCategory", Source::Fixed("Analytics")),
    ("ServiceName", Source::Fixed("Federated SQL")),
    ("ServiceProviderName", Source::Mesh),
    ("ServiceSubcategory", Source::Fixed("Data Processing")),
    ("SkuId", Source::Used("scan-bytes")),
    ("SkuMeter", Source::Used("Bytes Scanned")),
    ("SkuPriceDetails", Source::Null),
    ("SkuPriceId", Source::Maybe(|row| row.usage.as_ref().map(|usage| usage.price_id.clone()))),
    ("SubAccountId", Source::Text(|row| row.consumer.clone())),
    ("SubAccountName", Source::Text(|row| row.consumer.clone())),
    ("Tags", Source::Text(Row::tags)),
    ("x_ConsumerDomain", Source::Text(|row| row.consumer.clone())),
    ("x_CostCenter", Source::Maybe(|row| row.cost_center.clone())),
    ("x_OutputPort", Source::Maybe(|row| row.port().map(str::to_owned))),
    ("x_ProducerDomain", Source::Text(|row| row.producer.clone())),
    ("x_QueryCount", Source::Queries),
];

/// Versions of the specification that the bill can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// 1.2, which the FinOps Foundation's own validator checks.
    V1_2,
    /// 1.4.
    V1_4,
}

impl Version {
    /// The name of a column in this version.
    fn name(self, column: &'static str) -> &'static str {
        match (self, column) {
            (Self::V1_2, "ServiceProviderName") => "ProviderName",
            (Self::V1_2, "HostProviderName") => "PublisherName",
            _ => column,
        }
    }
}

/// The columns.
pub(crate) fn schema(version: Version) -> SchemaRef {
    let field = |(name, from): &(&'static str, Source)| {
        let nullable = !matches!(from, Source::Fixed(_) | Source::Mesh | Source::Text(_) | Source::Day(_) | Source::Cost | Source::Queries);
        Field::new(version.name(name), from.data_type(), nullable)
    };
    Arc::new(Schema::new(COLUMNS.iter().map(field).collect::<Vec<_>>()))
}

/// What happened on one day under one price, or a correction.
struct Row {
    /// Whose bill it is on.
    month: Month,
    /// The statement that it is on.
    statement: Option<String>,
    day: NaiveDate,
    consumer: String,
    cost_center: Option<String>,
    producer: String,
    product: String,
    currency: String,
    queries: i64,
    /// In units of 10^-15.
    cost: i128,
    /// What a correction has none of.
    usage: Option<Usage>,
    /// Why, of a correction.
    reason: Option<String>,
}

struct Usage {
    port: String,
    /// The session's, as an object of JSON.
    tags: Option<String>,
    price_id: String,
    bytes: i64,
    /// Of a tebibyte, in units of 10^-10.
    unit_price: i128,
}

impl Row {
    fn product(&self) -> String {
        format!("{}.{}", self.producer, self.product)
    }

    /// Whether it changes a month that was billed before.
    fn corrects(&self) -> bool {
        self.day.with_day(1) != Some(self.month.first_day())
    }

    fn port(&self) -> Option<&str> {
        self.usage.as_ref().map(|usage| usage.port.as_str())
    }

    /// The gateway's own, whose keys have its prefix, and those of the session.
    fn tags(&self) -> String {
        let given = self.usage.as_ref().and_then(|usage| usage.tags.as_deref());
        let mut tags: BTreeMap<String, String> = given.and_then(|tags| serde_json::from_str(tags).ok()).unwrap_or_default();
        tags.insert("mesh/consumer".to_owned(), self.consumer.clone());
        tags.insert("mesh/producer".to_owned(), self.producer.clone());
        serde_json::json!(tags).to_string()
    }

    fn description(&self) -> String {
        let (product, consumer) = (self.product(), &self.consumer);
        match &self.reason {
            None => format!("Bytes scanned of {product} by {consumer}"),
            Some(reason) => format!("Correction of {product} for {consumer}: {reason}"),
        }
    }

    /// The day after the last. A correction is of a whole month.
    fn end(&self) -> Option<NaiveDate> {
        if self.usage.is_some() { self.day.checked_add_days(Days::new(1)) } else { self.day.checked_add_months(Months::new(1)) }
    }

    /// Tebibytes, in units of 10^-24.
    fn priced(&self) -> Option<i128> {
        let usage = self.usage.as_ref()?;
        let (amount, by) = match usage.unit_price {
            // What costs nothing is priced as it was consumed.
            0 => (i256::from(usage.bytes).checked_mul(pow10(24))?, i256::from_i128(1 << 40)),
            price => (i256::from_i128(self.cost).checked_mul(pow10(24 + PRICE_SCALE - COST_SCALE))?, i256::from_i128(price)),
        };
        let half = by.checked_div(i256::from_i128(2))?;
        amount.checked_add(half)?.checked_div(by)?.to_i128()
    }
}

fn pow10(digits: u32) -> i256 {
    i256::from_i128(10_i128.saturating_pow(digits))
}

const READ: &[Column] = &[
    column("day", Kind::Time, ""),
    column("consumer_domain", Kind::Text, ""),
    maybe("cost_center", Kind::Text, ""),
    column("producer_domain", Kind::Text, ""),
    column("product", Kind::Text, ""),
    maybe("port", Kind::Text, ""),
    maybe("price_id", Kind::Text, ""),
    maybe("unit_price", Kind::Price, ""),
    column("currency", Kind::Text, ""),
    column("queries", Kind::Int, ""),
    column("bytes", Kind::Int, ""),
    column("cost", Kind::Cost, ""),
    column("month", Kind::Text, ""),
    maybe("statement", Kind::Text, ""),
    maybe("reason", Kind::Text, ""),
    maybe("tags", Kind::Text, ""),
];

/// The dataset over the charges for which `condition` holds, in which `values` are `?1`, `?2`, …
pub(crate) fn cost_and_usage(ledger: &Ledger, version: Version, mesh: &str, condition: &str, values: &[Value]) -> Result<RecordBatch> {
    const DAY: &str = "started_at - started_at % 86400000000";
    let statement = |of: &str| {
        format!(
            "(SELECT statement_id FROM statements s
              WHERE s.month = {of}.month AND s.consumer_domain = {of}.consumer_domain AND s.currency = {of}.currency)"
        )
    };
    let sql = format!(
        "SELECT {DAY}, consumer_domain, cost_center, producer_domain, product, port, price_id, unit_price, currency,
             count(DISTINCT query_id), sum(bytes_from_storage + bytes_from_cache), sum(cost_micros), sum(cost_rest), month, {}, NULL, tags
         FROM usage WHERE ({condition}) AND price_id IS NOT NULL AND currency IS NOT NULL
         GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, month, tags
         UNION ALL
         SELECT CAST(strftime('%s', of_month || '-01') AS INTEGER) * 1000000, consumer_domain, cost_center, producer_domain, product, NULL,
             NULL, NULL, currency, 0, 0, cost_micros, cost_rest, month, {}, reason, NULL
         FROM corrections WHERE ({condition})
         ORDER BY 1, 2, 4, 5, 6, 7",
        statement("usage"),
        statement("corrections")
    );
    let rows = rows(&ledger.all(READ, &sql, values)?);
    let columns = COLUMNS.iter().map(|(_, from)| from.array(&rows, mesh)).collect::<Result<Vec<_>>>()?;
    RecordBatch::try_new(schema(version), columns).map_err(Fault::internal)
}

fn rows(batch: &RecordBatch) -> Vec<Row> {
    let texts =
        |at: usize| -> Vec<Option<String>> { batch.column(at).as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect() };
    let decimals = |at: usize| -> Vec<i128> { batch.column(at).as_primitive::<Decimal128Type>().values().to_vec() };
    let counts = |at: usize| -> Vec<i64> { batch.column(at).as_primitive::<Int64Type>().values().to_vec() };
    let days = batch.column(0).as_primitive::<arrow::datatypes::TimestampMicrosecondType>().values().to_vec();
    let [consumers, centers, producers, products, ports, ids, currencies, months, statements, reasons, tags] =
        [1, 2, 3, 4, 5, 6, 8, 12, 13, 14, 15].map(texts);
    let (prices, queries, bytes, costs) = (decimals(7), counts(9), counts(10), decimals(11));
    let row = |at: usize| {
        let text = |texts: &[Option<String>]| texts.get(at).cloned().flatten();
        let usage = || {
            let (port, price_id) = (text(&ports)?, text(&ids)?);
            Some(Usage { port, tags: text(&tags), price_id, bytes: *bytes.get(at)?, unit_price: *prices.get(at)? })
        };
        Some(Row {
            month: text(&months)?.parse().ok()?,
            statement: text(&statements),
            day: DateTime::from_timestamp_micros(*days.get(at)?)?.date_naive(),
            consumer: text(&consumers)?,
            cost_center: text(&centers),
            producer: text(&producers)?,
            product: text(&products)?,
            currency: text(&currencies)?,
            queries: *queries.get(at)?,
            cost: *costs.get(at)?,
            usage: usage(),
            reason: text(&reasons),
        })
    };
    (0..batch.num_rows()).filter_map(row).collect()
}

impl Source {
    fn data_type(self) -> DataType {
        match self {
            Self::Fixed(_) | Self::Null | Self::Mesh | Self::Used(_) | Self::Text(_) | Self::Maybe(_) => DataType::Utf8,
            Self::Day(_) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Cost => Kind::Cost.data_type(),
            Self::UnitPrice => Kind::Price.data_type(),
            Self::Priced => DataType::Decimal128(DIGITS, FINE),
            // The specification has decimals only; readers of CSV take whole numbers for integers.
            Self::Measured => DataType::Decimal128(DIGITS, 1),
            Self::Queries => DataType::Int64,
        }
    }

    fn array(self, rows: &[Row], mesh: &str) -> Result<ArrayRef> {
        let texts = |text: &dyn Fn(&Row) -> Option<String>| Arc::new(rows.iter().map(text).collect::<StringArray>()) as ArrayRef;
        let decimals = |value: &dyn Fn(&Row) -> Option<i128>| -> Result<ArrayRef> {
            let array: Decimal128Array = rows.iter().map(value).collect();
            Ok(Arc::new(array.with_data_type(self.data_type())))
        };
        Ok(match self {
            Self::Fixed(text) => texts(&|_| Some(text.to_owned())),
            Self::Null => texts(&|_| None),
            Self::Mesh => texts(&|_| Some(mesh.to_owned())),
            Self::Used(text) => texts(&|row| row.usage.as_ref().map(|_| text.to_owned())),
            Self::Text(of) => texts(&|row| Some(of(row))),
            Self::Maybe(of) => texts(&of),
            Self::Cost => return decimals(&|row| Some(row.cost)),
            Self::UnitPrice => return decimals(&|row| Some(row.usage.as_ref()?.unit_price)),
            Self::Priced => return decimals(&Row::priced),
            Self::Measured => return decimals(&|row| Some(i128::from(row.usage.as_ref()?.bytes) * 10)),
            Self::Queries => Arc::new(rows.iter().map(|row| Some(row.queries)).collect::<Int64Array>()),
            Self::Day(of) => {
                let moment = |row: &Row| of(row).map(|day| day.and_time(NaiveTime::MIN).and_utc().timestamp_micros());
                Arc::new(rows.iter().map(moment).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
            }
        })
    }
}
