use super::*;
use crate::catalog::Price;
use crate::clock::Clock;
use crate::id::{DomainName, PortId, PortName, PrincipalName, ProductId, ProductName};
use crate::metering::{Journal, Outcome, PriceList, QueryStart, ReadKind};

const TIB: u64 = 1 << 40;

async fn query(journal: &Journal, who: &str, domain: &str, products: &[(&str, u64)]) {
    let name = |text: &str| DomainName::new(text).expect("name");
    let price = Price::flat("standard", journal.now().date_naive(), "5.00".parse().expect("decimal"));
    let start = QueryStart {
        principal: PrincipalName::new(who),
        cost_center: Some("CC-1".into()),
        prices: PriceList::of_one("USD", price),
        ..QueryStart::for_test(name(domain), journal.now())
    };
    let account = journal.begin(start).expect("begins");
    for (product, bytes) in products {
        let product = ProductId { domain: name("claims"), product: ProductName::new(product).expect("name") };
        let port = PortId { product, major: 1, port: PortName::new("sql").expect("name") };
        account.meter(&port, "1.0.0", "0").add(ReadKind::Data, *bytes);
    }
    account.settle(Outcome::Completed, None, 1).await.expect("settles");
}

/// A month of two domains, and one query of the month before.
async fn month() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    let clock = Clock::fixed("2026-10-31T23:59:59.999999Z".parse().expect("a time"));
    let journal = Journal::open(folder.path(), clock.clone()).expect("opens");
    query(&journal, "late", "finance", &[("fraud", 7 * TIB)]).await;
    clock.advance(chrono::TimeDelta::microseconds(1));
    query(&journal, "ann", "marketing", &[("fraud", TIB / 2), ("claims", 1)]).await;
    query(&journal, "a,\"b\"\u{1b}", "marketing", &[("claims", TIB)]).await;
    query(&journal, "fin", "finance", &[("claims", 0)]).await;
    folder
}

fn report_of(folder: &Path, span: Span, by: By, format: Format) -> Vec<u8> {
    let mut out = Vec::new();
    run(folder, "northpeak", span, by, (format, true), &mut out).expect("reports");
    out
}

fn november() -> Span {
    Span::of("2026-11".parse().expect("a month"))
}

fn report(folder: &Path, by: By, format: Format) -> String {
    String::from_utf8(report_of(folder, november(), by, format)).expect("text")
}

#[tokio::test]
async fn the_table_is_aligned_and_has_a_total_that_counts_each_query_once() {
    let folder = month().await;
    let want = "\
Costs of 2026-11 by product

producer domain  product  queries    scanned  cost
---------------  -------  -------  ---------  ----  ---
claims           claims         3    1.0 TiB  5.00  USD  ████████████████████████
claims           fraud          1  512.0 GiB  2.50  USD  ████████████
---------------  -------  -------  ---------  ----  ---
total                           3    1.5 TiB  7.50  USD
";
    assert_eq!(report(folder.path(), By::Product, Format::Table), want);
}

#[tokio::test]
async fn csv_is_exact_and_quotes_what_must_be() {
    let folder = month().await;
    let want = "month,principal,consumer_domain,queries,bytes_scanned,cost,currency\r\n\
        2026-11,\"a,\"\"b\"\"\u{1b}\",marketing,1,1099511627776,5,USD\r\n\
        2026-11,ann,marketing,1,549755813889,2.500000000004547,USD\r\n\
        2026-11,fin,finance,1,0,0,USD\r\n";
    assert_eq!(report(folder.path(), By::Principal, Format::Csv), want);
}

#[tokio::test]
async fn json_holds_exact_amounts_as_text() {
    let folder = month().await;
    let report: serde_json::Value = serde_json::from_str(&report(folder.path(), By::Domain, Format::Json)).expect("json");
    assert_eq!(report["month"], "2026-11");
    assert_eq!(report["lines"][0]["consumer_domain"], "marketing");
    assert_eq!(report["lines"][0]["cost_center"], "CC-1");
    assert_eq!(report["lines"][0]["cost"], "7.500000000004547");
    assert_eq!(report["totals"][0]["queries"], 3);
    assert_eq!(report["totals"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_name_cannot_steer_the_terminal() {
    let folder = month().await;
    assert!(!report(folder.path(), By::Principal, Format::Table).contains('\u{1b}'));
}

#[test]
fn without_a_journal_it_says_so_and_makes_none() {
    let folder = tempfile::tempdir().expect("folder");
    let fault = run(folder.path(), "", november(), By::Domain, (Format::Table, false), &mut Vec::new()).expect_err("nothing there");
    assert_eq!(fault.message(), "there is no usage journal in the state folder");
    assert_eq!(std::fs::read_dir(folder.path()).expect("lists").count(), 0);
}

#[tokio::test]
async fn focus_has_the_whole_bill_and_each_quantity_times_its_price_is_its_cost() {
    let folder = month().await;
    for (format, provider) in [(Format::Focus12, "ProviderName"), (Format::Focus14, "ServiceProviderName")] {
        let text = report(folder.path(), By::Domain, format);
        let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let header = lines.next().expect("a header");
        let at = |name: &str| header.iter().position(|column| *column == name).unwrap_or_else(|| panic!("no {name}: {header:?}"));
        let (cost, quantity, price, bytes) = (at("BilledCost"), at("PricingQuantity"), at("ListUnitPrice"), at("ConsumedQuantity"));
        assert!(header.contains(&provider));
        let number = |text: &str| text.parse::<f64>().expect("a plain number");
        let (mut sum, mut scanned) = (0.0, 0.0);
        for line in lines {
            assert!((number(line[quantity]) * number(line[price]) - number(line[cost])).abs() <= 1e-9 * number(line[cost]), "{line:?}");
            assert!(line[at("BillingPeriodStart")] == "2026-11-01T00:00:00Z" && line[at("BillingPeriodEnd")] == "2026-12-01T00:00:00Z");
            assert!(line[at("ChargePeriodStart")] == "2026-11-01T00:00:00Z" && line[at("ChargePeriodEnd")] == "2026-11-02T00:00:00Z");
            sum += number(line[cost]);
            scanned += number(line[bytes]);
        }
        // Half a tebibyte, a byte, and a tebibyte, at 5 each.
        assert_eq!((scanned, (sum * 1e6).round()), (1.5 * TIB as f64 + 1.0, 7_500_000.0));
    }
}

#[tokio::test]
async fn several_months_are_summed_up_and_purposes_and_applications_have_their_lines() {
    let folder = month().await;
    let both = Span { from: "2026-10".parse().expect("a month"), to: "2026-11".parse().expect("a month") };
    let text = String::from_utf8(report_of(folder.path(), both, By::Domain, Format::Csv)).expect("text");
    let want = "month,consumer_domain,cost_center,queries,bytes_scanned,cost,currency\r\n\
        2026-10/2026-11,finance,CC-1,2,7696581394432,35,USD\r\n\
        2026-10/2026-11,marketing,CC-1,2,1649267441665,7.500000000004547,USD\r\n";
    assert_eq!(text, want);
    for (by, header) in [(By::Purpose, "month,purpose,consumer_domain,"), (By::Application, "month,application_name,consumer_domain,")] {
        let text = report(folder.path(), by, Format::Csv);
        assert!(text.starts_with(header), "{text}");
        assert!(text.contains("2026-11,,marketing,2,1649267441665,7.500000000004547,USD"), "{text}");
    }
}

#[tokio::test]
async fn parquet_holds_the_same_figures() {
    use arrow::array::AsArray;
    use arrow::datatypes::Decimal128Type;
    let folder = month().await;
    let file = bytes::Bytes::from(report_of(folder.path(), november(), By::Product, Format::Parquet));
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).expect("a file").build().expect("opens");
    let batches = reader.collect::<std::result::Result<Vec<_>, _>>().expect("reads");
    let column = |name: &str| batches[0].column_by_name(name).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(column("product").as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["claims", "fraud"]);
    assert_eq!(column("cost").as_primitive::<Decimal128Type>().values().to_vec(), [5_000_000_000_004_547, 2_500_000_000_000_000]);
}

#[tokio::test]
async fn the_chart_shows_each_line_and_no_name_can_break_it() {
    let folder = month().await;
    let chart = report(folder.path(), By::Principal, Format::Svg);
    assert!(chart.contains("a,&quot;b&quot;\u{fffd} · marketing") && chart.contains("5.00 USD"), "{chart}");
    // The dearest is as long as a bar can be, the next half as long.
    assert!(chart.contains("width=\"420\" height=\"18\"") && chart.contains("width=\"210\" height=\"18\""), "{chart}");
    assert_eq!(chart.matches("<text").count(), chart.matches("</text>").count());
}
