//! The rows of the demo's products, as the catalog's manifests promise them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::WriteError;
use super::random::Draw;
use super::world::{Claim, Customer, Policy, World, date, month, seconds};

type Batch = Result<RecordBatch, ArrowError>;

/// How a product's folder comes to be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rows {
    /// A Delta table: its partition columns, and one commit a batch.
    Delta(&'static [&'static str], fn(World) -> Result<Vec<RecordBatch>, ArrowError>),
    /// Files, written into a folder.
    Files(fn(World, &Path) -> Result<(), WriteError>),
}

/// A product of the demo.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    pub(super) domain: &'static str,
    pub(super) product: &'static str,
    pub(super) rows: Rows,
}

/// All of them.
pub(super) const TABLES: [Table; 8] = [
    Table { domain: "customer", product: "customer_master", rows: Rows::Delta(&[], customer_master) },
    Table { domain: "policy", product: "policies_active", rows: Rows::Delta(&["region"], policies_active) },
    Table { domain: "policy", product: "telematics_daily", rows: Rows::Files(telematics_daily) },
    Table { domain: "claims", product: "claims_enriched", rows: Rows::Delta(&["reported_month"], claims_enriched) },
    Table { domain: "claims", product: "fraud_signals", rows: Rows::Files(fraud_signals) },
    Table { domain: "pricing", product: "risk_factors", rows: Rows::Files(risk_factors) },
    Table { domain: "marketing", product: "marketing_segments", rows: Rows::Files(marketing_segments) },
    Table { domain: "finance", product: "premium_ledger", rows: Rows::Files(premium_ledger) },
];

/// A column: name, values, and whether it may hold NULL.
type Column = (&'static str, ArrayRef, bool);

fn batch(columns: Vec<Column>) -> Batch {
    let fields: Vec<Field> =
        columns.iter().map(|(name, array, nullable)| Field::new(*name, array.data_type().clone(), *nullable)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, array, _)| array).collect())
}

fn ids(name: &'static str, values: impl Iterator<Item = i64>) -> Column {
    (name, Arc::new(Int64Array::from_iter_values(values)), false)
}

fn text<'a>(name: &'static str, values: impl Iterator<Item = &'a str>) -> Column {
    (name, Arc::new(StringArray::from_iter_values(values)), false)
}

fn maybe_text<'a>(name: &'static str, values: impl Iterator<Item = Option<&'a str>>) -> Column {
    (name, Arc::new(values.collect::<StringArray>()), true)
}

fn dates(name: &'static str, values: impl Iterator<Item = i32>) -> Column {
    (name, Arc::new(Date32Array::from_iter_values(values)), false)
}

fn maybe_dates(name: &'static str, values: impl Iterator<Item = Option<i32>>) -> Column {
    (name, Arc::new(values.collect::<Date32Array>()), true)
}

fn times(name: &'static str, values: impl Iterator<Item = i64>) -> Column {
    (name, Arc::new(TimestampMicrosecondArray::from_iter_values(values).with_timezone("UTC")), false)
}

fn flags(name: &'static str, values: impl Iterator<Item = bool>) -> Column {
    (name, Arc::new(values.map(Some).collect::<BooleanArray>()), false)
}

/// Amounts in cents as `numeric(precision,2)`.
fn money(name: &'static str, precision: u8, nullable: bool, cents: impl Iterator<Item = Option<i64>>) -> Result<Column, ArrowError> {
    let values: Decimal128Array = cents.map(|cents| cents.map(i128::from)).collect();
    Ok((name, Arc::new(values.with_precision_and_scale(precision, 2)?), nullable))
}

/// Cuts `1..=count` into about `parts` runs.
fn runs(count: u64, parts: u64) -> impl Iterator<Item = std::ops::RangeInclusive<u64>> {
    let share = count.div_ceil(parts).max(1);
    (0..parts)
        .map(move |part| (part * share + 1, ((part + 1) * share).min(count)))
        .filter(|(from, to)| from <= to)
        .map(|(from, to)| from..=to)
}

/// Four nightly loads.
fn customer_master(world: World) -> Result<Vec<RecordBatch>, ArrowError> {
    runs(world.customers, 4).map(|run| customers(&run.map(|number| world.customer(number)).collect::<Vec<_>>())).collect()
}

fn customers(rows: &[Customer]) -> Batch {
    batch(vec![
        ids("customer_id", rows.iter().map(|row| row.id)),
        maybe_text("national_id", rows.iter().map(|row| Some(row.national_id.as_str()))),
        maybe_text("full_name", rows.iter().map(|row| Some(row.full_name.as_str()))),
        maybe_text("email", rows.iter().map(|row| row.email.as_deref())),
        maybe_text("phone", rows.iter().map(|row| row.phone.as_deref())),
        maybe_dates("birth_date", rows.iter().map(|row| row.birth_date)),
        maybe_text("street", rows.iter().map(|row| row.street.as_deref())),
        maybe_text("postal_code", rows.iter().map(|row| Some(row.postal_code.as_str()))),
        maybe_text("city", rows.iter().map(|row| Some(row.city))),
        text("country", rows.iter().map(|row| row.country)),
        text("region", rows.iter().map(|row| row.region)),
        maybe_text("segment", rows.iter().map(|row| row.segment)),
        ("credit_score", Arc::new(rows.iter().map(|row| row.credit_score).collect::<Int32Array>()), true),
        flags("marketing_consent", rows.iter().map(|row| row.consent)),
        times("created_at", rows.iter().map(|row| row.created_at)),
    ])
}

/// Three loads, each across all regions.
fn policies_active(world: World) -> Result<Vec<RecordBatch>, ArrowError> {
    runs(world.policies, 3)
        .map(|run| {
            let rows: Vec<(Policy, Customer)> = run
                .map(|number| world.policy(number))
                .map(|policy| {
                    let holder = world.customer(policy.holder);
                    (policy, holder)
                })
                .collect();
            policies(&rows)
        })
        .collect()
}

fn policies(rows: &[(Policy, Customer)]) -> Batch {
    batch(vec![
        ids("policy_id", rows.iter().map(|(row, _)| row.id)),
        ids("customer_id", rows.iter().map(|(_, holder)| holder.id)),
        text("policy_number", rows.iter().map(|(row, _)| row.number.as_str())),
        text("line", rows.iter().map(|(row, _)| row.line)),
        text("status", rows.iter().map(|(row, _)| row.status)),
        dates("start_date", rows.iter().map(|(row, _)| row.start)),
        maybe_dates("end_date", rows.iter().map(|(row, _)| row.end)),
        money("annual_premium", 12, false, rows.iter().map(|(row, _)| Some(row.premium_cents)))?,
        money("sum_insured", 14, false, rows.iter().map(|(row, _)| Some(row.insured_cents)))?,
        money("deductible", 10, true, rows.iter().map(|(row, _)| row.deductible_cents))?,
        maybe_text("vin", rows.iter().map(|(row, _)| row.vin.as_deref())),
        times("updated_at", rows.iter().map(|(row, _)| row.updated_at)),
        text("region", rows.iter().map(|(_, holder)| holder.region)),
    ])
}

/// One commit a month, as the months went by.
fn claims_enriched(world: World) -> Result<Vec<RecordBatch>, ArrowError> {
    let mut months: BTreeMap<(i32, u32), Vec<Claim>> = BTreeMap::new();
    for claim in (1..=world.claims).map(|number| world.claim(number)) {
        months.entry(month(claim.reported_day)).or_default().push(claim);
    }
    months.into_iter().map(|((year, month), rows)| claims(&format!("{year}-{month:02}"), &rows)).collect()
}

fn claims(month: &str, rows: &[Claim]) -> Batch {
    batch(vec![
        ids("claim_id", rows.iter().map(|row| row.id)),
        ids("policy_id", rows.iter().map(|row| row.policy_id)),
        ids("customer_id", rows.iter().map(|row| row.customer_id)),
        maybe_text("claimant_national_id", rows.iter().map(|row| row.claimant.as_deref())),
        text("kind", rows.iter().map(|row| row.kind)),
        text("status", rows.iter().map(|row| row.status)),
        dates("incident_date", rows.iter().map(|row| row.incident)),
        times("reported_at", rows.iter().map(|row| row.reported_at)),
        money("amount", 12, false, rows.iter().map(|row| Some(row.cents)))?,
        money("reserve", 12, true, rows.iter().map(|row| row.reserve_cents))?,
        maybe_text("narrative", rows.iter().map(|row| row.narrative.as_deref())),
        text("region", rows.iter().map(|row| row.region)),
        text("reported_month", rows.iter().map(|_| month)),
    ])
}

/// What a model says about a claim.
struct Signal {
    claim: i64,
    model: &'static str,
    score: f64,
    reason: Option<&'static str>,
    flagged_at: i64,
    reviewed: bool,
}

/// Claims by somebody else than the holder are always looked at, a quarter of the others by chance.
fn fraud_signals(world: World, folder: &Path) -> Result<(), WriteError> {
    let mut rows = Vec::new();
    for number in 1..=world.claims {
        let mut draw = Draw::of("signal", number);
        let chosen = draw.chance(25);
        let claim = world.claim(number);
        if claim.suspicious || chosen {
            rows.push(signal(&claim, &mut draw));
        }
    }
    let half = rows.len().div_ceil(2).max(1);
    for (part, rows) in rows.chunks(half).enumerate() {
        let first = i64::try_from(part * half).unwrap_or(0) + 1;
        let batch = batch(vec![
            ids("signal_id", (first..).take(rows.len())),
            ids("claim_id", rows.iter().map(|row| row.claim)),
            text("model", rows.iter().map(|row| row.model)),
            ("score", Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.score))), false),
            maybe_text("reason", rows.iter().map(|row| row.reason)),
            times("flagged_at", rows.iter().map(|row| row.flagged_at)),
            flags("reviewed", rows.iter().map(|row| row.reviewed)),
        ])?;
        parquet(&folder.join(format!("signals-{part}.parquet")), &batch)?;
    }
    Ok(())
}

fn signal(claim: &Claim, draw: &mut Draw) -> Signal {
    let unit = draw.unit();
    // A thousandth is as fine as the models are.
    let score = if claim.suspicious { 0.55 + 0.45 * unit } else { 0.7 * unit * unit };
    Signal {
        claim: claim.id,
        model: draw.pick(&["ring-2", "image-7", "text-4"]),
        score: (score * 1000.0).floor() / 1000.0,
        reason: if claim.suspicious {
            Some(draw.pick(&["claimant is not the holder", "claimant known from other claims", "même atelier que d'autres sinistres"]))
        } else {
            draw.chance(30).then_some("amount above the usual for its kind")
        },
        flagged_at: seconds(claim.reported_day, draw) + 3_600_000_000,
        reviewed: draw.chance(40),
    }
}

/// One file a day, a line a car. A value that is not there is null in some lines and left out in others, as boxes do.
fn telematics_daily(world: World, folder: &Path) -> Result<(), WriteError> {
    const FIRST_DAY: i32 = 20_765; // 2026-11-08
    for day in FIRST_DAY..FIRST_DAY + 7 {
        let mut out = BufWriter::new(File::create(folder.join(format!("{}.jsonl", date(day))))?);
        let day_text = date(day);
        for number in 1..=world.policies {
            let policy = world.policy(number);
            if policy.line != "motor" {
                continue;
            }
            let mut draw = Draw::of(&day_text, number);
            let trips = draw.between(0, 9);
            write!(
                out,
                "{{\"policy_id\":{},\"device_id\":\"BX-{:08X}\",\"day\":\"{day_text}\",",
                policy.id,
                number.wrapping_mul(2_654_435_761) as u32
            )?;
            let km = f64::from(trips) * (1.0 + 40.0 * draw.unit());
            write!(out, "\"distance_km\":{km:.1},\"trips\":{trips},")?;
            match (trips, draw.chance(50)) {
                (0, true) => {}
                (0, false) => write!(out, "\"night_share\":null,\"max_speed_kmh\":null,")?,
                _ => write!(out, "\"night_share\":{:.3},\"max_speed_kmh\":{},", draw.unit() * draw.unit(), draw.between(31, 178))?,
            }
            let brakings = if trips == 0 { 0 } else { draw.between(0, 4) * draw.between(0, 3) };
            write!(out, "\"harsh_brakings\":{brakings}")?;
            if draw.chance(97) {
                write!(out, ",\"firmware\":\"{}\"", draw.pick(&["4.1.0", "4.1.2", "4.2.0-β"]))?;
            }
            out.write_all(b"}\n")?;
        }
        out.into_inner().map_err(|error| error.into_error())?;
    }
    Ok(())
}

/// The tariff: every line and region has every factor of the line, in bands.
fn risk_factors(_: World, folder: &Path) -> Result<(), WriteError> {
    const FACTORS: [(&str, &str, i32, i32); 9] = [
        ("motor", "driver age", 18, 4),
        ("motor", "engine kW", 40, 15),
        ("motor", "annual mileage, thousand km", 0, 3),
        ("home", "year built", 1900, 8),
        ("home", "floor area m²", 20, 12),
        ("travel", "days abroad", 0, 5),
        ("travel", "age of the oldest traveller", 0, 7),
        ("life", "age at entry", 18, 3),
        ("life", "body-mass index", 16, 2),
    ];
    const NOTES: [&str; 5] = [
        "",
        "filed with the \"Aufsicht\", see annex 3",
        "two lines:\nfirst year only, then as band before",
        "révisé à la baisse; cf. étude n° 12",
        "plain",
    ];
    let mut out = BufWriter::new(File::create(folder.join("risk_factors.csv"))?);
    out.write_all(b"factor_id,line,region,factor,band_from,band_to,loading,valid_from,note\n")?;
    let mut id = 0;
    for region in ["eu", "uk", "us"] {
        for (line, factor, from, step) in FACTORS {
            for band in 0..16 {
                id += 1;
                let mut draw = Draw::of("risk", id);
                let low = if band == 0 { String::new() } else { format!("{}.00", from + band * step) };
                let high = if band == 15 { String::new() } else { format!("{}.50", from + (band + 1) * step) };
                let loading = f64::from(draw.between(7_000, 24_000)) / 10_000.0;
                let note = quoted(draw.pick(&NOTES));
                let valid_from = date(20_454 + 31 * draw.between(0, 5));
                writeln!(out, "{id},{line},{region},{},{low},{high},{loading:.4},{valid_from},{note}", quoted(factor))?;
            }
        }
    }
    out.into_inner().map_err(|error| error.into_error())?;
    Ok(())
}

/// A CSV field (RFC 4180).
fn quoted(field: &str) -> String {
    if field.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.to_owned() }
}

/// Two campaigns, each with the customers that it is for.
fn marketing_segments(world: World, folder: &Path) -> Result<(), WriteError> {
    for (campaign, file, share) in [("Frühling 2026", "spring", 70), ("Winter \"Cosy Home\" 2026", "winter", 55)] {
        let rows: Vec<(i64, Draw)> = (1..=world.customers)
            .map(|number| (number, Draw::of(campaign, number)))
            .filter_map(|(number, mut draw)| draw.chance(share).then(|| (world.customer(number).id, draw)))
            .collect();
        let drawn = |make: fn(&mut Draw) -> &'static str| rows.iter().map(move |(_, draw)| make(&mut draw.clone())).collect::<Vec<_>>();
        let segments = drawn(|draw| draw.pick(&["bundle seekers", "new parents", "empty nesters", "early birds", "loyal 10+"]));
        let channels = drawn(|draw| draw.pick(&["", "email", "email", "phone", "post"]));
        let batch = batch(vec![
            ids("customer_id", rows.iter().map(|(id, _)| *id)),
            text("campaign", rows.iter().map(|_| campaign)),
            text("campaign_segment", segments.iter().copied()),
            ("affinity", Arc::new(Float64Array::from_iter_values(rows.iter().map(|(_, draw)| draw.clone().unit()))), false),
            maybe_text("preferred_channel", channels.iter().map(|channel| (!channel.is_empty()).then_some(*channel))),
            times("computed_at", rows.iter().map(|(_, draw)| seconds(20_765, &mut draw.clone()))),
        ])?;
        parquet(&folder.join(format!("{file}-2026.parquet")), &batch)?;
    }
    Ok(())
}

/// An entry of the ledger.
struct Entry {
    policy: i64,
    day: i32,
    kind: &'static str,
    cents: i64,
    account: &'static str,
    memo: Option<&'static str>,
}

/// A folder a month: `booked_year=2026/booked_month=3/`.
fn premium_ledger(world: World, folder: &Path) -> Result<(), WriteError> {
    let mut entry_id = 1;
    for booked in 1..=11u32 {
        let first = chrono::NaiveDate::from_ymd_opt(2026, booked, 1).map_or(0, |day| day.to_epoch_days());
        let rows: Vec<Entry> = (1..=world.policies).map(|number| world.policy(number)).filter_map(|policy| entry(&policy, first)).collect();
        if rows.is_empty() {
            continue;
        }
        let path = folder.join("booked_year=2026").join(format!("booked_month={booked}"));
        fs::create_dir_all(&path)?;
        let batch = batch(vec![
            ids("entry_id", (entry_id..).take(rows.len())),
            ids("policy_id", rows.iter().map(|row| row.policy)),
            dates("booked_on", rows.iter().map(|row| row.day)),
            text("kind", rows.iter().map(|row| row.kind)),
            money("amount", 14, false, rows.iter().map(|row| Some(row.cents)))?,
            text("account", rows.iter().map(|row| row.account)),
            maybe_text("memo", rows.iter().map(|row| row.memo)),
        ])?;
        parquet(&path.join("entries.parquet"), &batch)?;
        entry_id += i64::try_from(rows.len()).unwrap_or(0);
    }
    Ok(())
}

/// What is booked on a policy in the month that begins on `first`: an instalment, and now and then something else.
fn entry(policy: &Policy, first: i32) -> Option<Entry> {
    if policy.start >= first + 28 {
        return None;
    }
    let mut draw =
        Draw::of("ledger", u64::try_from(policy.id).unwrap_or(0).wrapping_mul(64).wrapping_add(u64::try_from(first).unwrap_or(0)));
    let instalment = policy.premium_cents / 12;
    let (kind, cents, memo) = match draw.below(200) {
        0..3 => ("refund", -instalment, Some("Kündigung, anteilig")),
        3 => ("correction", -instalment / 10, Some("clerk's \"rounding\" of last month")),
        _ => ("premium", instalment, None),
    };
    let account = match policy.line {
        "motor" => "4100-motor",
        "home" => "4200-home",
        "travel" => "4300-travel",
        _ => "4400-life",
    };
    Some(Entry { policy: policy.id, day: first + draw.between(0, 14), kind, cents, account, memo })
}

fn parquet(path: &Path, batch: &RecordBatch) -> Result<(), WriteError> {
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).set_max_row_group_row_count(Some(64 << 10)).build();
    let mut writer = ArrowWriter::try_new(File::create(path)?, batch.schema(), Some(properties))?;
    writer.write(batch)?;
    writer.close()?;
    Ok(())
}
