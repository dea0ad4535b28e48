//! Parts of dates and times and what is made of them, as PostgreSQL 15 answers. The tables were written by one.

use super::*;

/// In a local time and in an instant; in the hour that is left out, and in that which comes twice, PostgreSQL takes the offset of winter.
const ZONES: &[(&str, &str)] = &[
    ("timezone('Europe/Berlin', timestamp '2024-03-05 14:00:00')", "2024-03-05 14:00:00+01"),
    ("timezone('America/New_York', timestamptz '2024-03-05 14:00:00+00')", "2024-03-05 09:00:00"),
    ("timezone('america/new_york', timestamptz '2024-07-05 14:00:00+00')", "2024-07-05 10:00:00"),
    ("timezone('+02:00', timestamp '2024-07-05 14:00:00')", "2024-07-05 18:00:00+02"),
    ("timezone('utc', timestamptz '2024-07-05 14:00:00+00')", "2024-07-05 14:00:00"),
    ("timezone('Europe/Berlin', timestamp '2024-03-31 02:30:00')", "2024-03-31 03:30:00+02"),
    ("timezone('Europe/Berlin', timestamp '2024-10-27 02:30:00')", "2024-10-27 02:30:00+01"),
    ("timezone('Nowhere', timestamp '2024-07-05 14:00:00')", "ERROR time zone \"Nowhere\" not recognized"),
];

/// In Europe/Paris.
const PARTS: &[(&str, &str)] = &[
    ("extract(microseconds from timestamp '2024-03-05 14:07:09.512345')", "9512345"),
    ("extract(milliseconds from timestamp '2024-03-05 14:07:09.512345')", "9512.345"),
    ("extract(second from timestamp '2024-03-05 14:07:09.512345')", "9.512345"),
    ("extract(minute from timestamp '2024-03-05 14:07:09.512345')", "7"),
    ("extract(hour from timestamp '2024-03-05 14:07:09.512345')", "14"),
    ("extract(day from timestamp '2024-03-05 14:07:09.512345')", "5"),
    ("extract(week from timestamp '2024-03-05 14:07:09.512345')", "10"),
    ("extract(month from timestamp '2024-03-05 14:07:09.512345')", "3"),
    ("extract(quarter from timestamp '2024-03-05 14:07:09.512345')", "1"),
    ("extract(year from timestamp '2024-03-05 14:07:09.512345')", "2024"),
    ("extract(decade from timestamp '2024-03-05 14:07:09.512345')", "202"),
    ("extract(century from timestamp '2024-03-05 14:07:09.512345')", "21"),
    ("extract(millennium from timestamp '2024-03-05 14:07:09.512345')", "3"),
    ("extract(isoyear from timestamp '2024-03-05 14:07:09.512345')", "2024"),
    ("extract(dow from timestamp '2024-03-05 14:07:09.512345')", "2"),
    ("extract(isodow from timestamp '2024-03-05 14:07:09.512345')", "2"),
    ("extract(doy from timestamp '2024-03-05 14:07:09.512345')", "65"),
    ("extract(julian from timestamp '2024-03-05 14:07:09.512345')", "2460375.58830454103009259259"),
    ("extract(epoch from timestamp '2024-03-05 14:07:09.512345')", "1709647629.512345"),
    ("date_part('second', timestamp '2024-03-05 14:07:09.512345')", "9.512345"),
    ("date_part('Years', timestamp '2024-03-05 14:07:09.512345')", "2024"),
    ("date_part('mins', timestamp '2024-03-05 14:07:09.512345')", "7"),
    ("date_part('QTR', timestamp '2024-03-05 14:07:09.512345')", "1"),
    ("date_part('MS', timestamp '2024-03-05 14:07:09.512345')", "9512.345"),
    ("date_part('jd', timestamp '2024-03-05 14:07:09.512345')", "2460375.588304541"),
    ("date_part('foo', timestamp '2024-03-05 14:07:09.512345')", r#"ERROR unit "foo" not recognized for type timestamp without time zone"#),
    (
        "date_part('timezone', timestamp '2024-03-05 14:07:09.512345')",
        r#"ERROR unit "timezone" not supported for type timestamp without time zone"#,
    ),
    ("extract(hour from timestamptz '2024-07-05 23:30:00+00')", "1"),
    ("extract(day from timestamptz '2024-07-05 23:30:00+00')", "6"),
    ("extract(timezone from timestamptz '2024-07-05 23:30:00+00')", "7200"),
    ("extract(timezone_hour from timestamptz '2024-07-05 23:30:00+00')", "2"),
    ("extract(timezone_minute from timestamptz '2024-07-05 23:30:00+00')", "0"),
    ("extract(epoch from timestamptz '2024-07-05 23:30:00+00')", "1720222200.000000"),
    ("extract(dow from timestamptz '2024-07-05 23:30:00+00')", "6"),
    ("extract(isoyear from date '2021-01-03')", "2020"),
    ("extract(week from date '2021-01-03')", "53"),
    ("extract(dow from date '2021-01-03')", "0"),
    ("extract(isodow from date '2021-01-03')", "7"),
    ("extract(doy from date '2021-01-03')", "3"),
    ("extract(century from date '2021-01-03')", "21"),
    ("extract(epoch from date '2021-01-03')", "1609632000"),
    ("extract(julian from date '2021-01-03')", "2459218"),
    ("extract(year from date '2021-01-03')", "2021"),
    ("extract(hour from time '13:14:15.25')", "13"),
    ("extract(minute from time '13:14:15.25')", "14"),
    ("extract(second from time '13:14:15.25')", "15.250000"),
    ("extract(epoch from time '13:14:15.25')", "47655.250000"),
    ("extract(milliseconds from time '13:14:15.25')", "15250.000"),
    ("extract(day from time '13:14:15.25')", r#"ERROR unit "day" not supported for type time without time zone"#),
    ("extract(year from interval '1 year 14 months -3 days 100 hours 1 minute 2.5 seconds')", "2"),
    ("extract(month from interval '1 year 14 months -3 days 100 hours 1 minute 2.5 seconds')", "2"),
    ("extract(quarter from interval '1 year 14 months -3 days 100 hours 1 minute 2.5 seconds')", "1"),
    ("extract(day from interval '1 year 14 months -3 days 100 hours 1 minute 2.5 seconds')", "-3"),
    ("extract(hour from interval '1 year 14 months -3 days 100 hours 1 minute 2.5 seconds')", "100"),
    ("extract(minute from interval '1 year 14 months -3 days 100 hours 1 minute 2.5 seconds')", "1"),
    ("extract(second from interval '1 year 14 months -3 days 100 hours 1 minute 2.5 seconds')", "2.500000"),
    ("extract(epoch from interval '1 year 14 months -3 days 100 hours 1 minute 2.5 seconds')", "68400062.500000"),
    ("extract(decade from interval '1 year 14 months -3 days 100 hours 1 minute 2.5 seconds')", "0"),
    (
        "extract(week from interval '1 year 14 months -3 days 100 hours 1 minute 2.5 seconds')",
        r#"ERROR unit "week" not supported for type interval"#,
    ),
    (
        "extract(dow from interval '1 year 14 months -3 days 100 hours 1 minute 2.5 seconds')",
        r#"ERROR unit "dow" not supported for type interval"#,
    ),
    ("extract(second from interval '-1.5 seconds')", "-1.500000"),
    ("extract(epoch from interval '1 month')", "2592000.000000"),
    ("extract(year from null::timestamp)", ""),
    ("date_part(null, timestamp '2024-01-01')", ""),
    ("extract(century from date '2000-12-31')", "20"),
    ("extract(millennium from date '2001-01-01')", "3"),
    ("extract(second from timestamp '2024-01-01 00:00:09.5')", "9.500000"),
];

/// In Europe/Paris.
const TRUNCATED: &[(&str, &str)] = &[
    ("date_trunc('microseconds', timestamp '2024-08-15 14:07:09.512345')", "2024-08-15 14:07:09.512345"),
    ("date_trunc('milliseconds', timestamp '2024-08-15 14:07:09.512345')", "2024-08-15 14:07:09.512"),
    ("date_trunc('second', timestamp '2024-08-15 14:07:09.512345')", "2024-08-15 14:07:09"),
    ("date_trunc('minute', timestamp '2024-08-15 14:07:09.512345')", "2024-08-15 14:07:00"),
    ("date_trunc('hour', timestamp '2024-08-15 14:07:09.512345')", "2024-08-15 14:00:00"),
    ("date_trunc('day', timestamp '2024-08-15 14:07:09.512345')", "2024-08-15 00:00:00"),
    ("date_trunc('week', timestamp '2024-08-15 14:07:09.512345')", "2024-08-12 00:00:00"),
    ("date_trunc('month', timestamp '2024-08-15 14:07:09.512345')", "2024-08-01 00:00:00"),
    ("date_trunc('quarter', timestamp '2024-08-15 14:07:09.512345')", "2024-07-01 00:00:00"),
    ("date_trunc('year', timestamp '2024-08-15 14:07:09.512345')", "2024-01-01 00:00:00"),
    ("date_trunc('decade', timestamp '2024-08-15 14:07:09.512345')", "2020-01-01 00:00:00"),
    ("date_trunc('century', timestamp '2024-08-15 14:07:09.512345')", "2001-01-01 00:00:00"),
    ("date_trunc('millennium', timestamp '2024-08-15 14:07:09.512345')", "2001-01-01 00:00:00"),
    ("date_trunc('hour', timestamptz '2024-08-15 22:30:09.5+00')", "2024-08-16 00:00:00+02"),
    ("date_trunc('day', timestamptz '2024-08-15 22:30:09.5+00')", "2024-08-16 00:00:00+02"),
    ("date_trunc('week', timestamptz '2024-08-15 22:30:09.5+00')", "2024-08-12 00:00:00+02"),
    ("date_trunc('month', timestamptz '2024-08-15 22:30:09.5+00')", "2024-08-01 00:00:00+02"),
    ("date_trunc('year', timestamptz '2024-08-15 22:30:09.5+00')", "2024-01-01 00:00:00+01"),
    ("date_trunc('century', timestamptz '2024-08-15 22:30:09.5+00')", "2001-01-01 00:00:00+01"),
    ("date_trunc('day', date '2024-08-15')", "2024-08-15 00:00:00+02"),
    ("date_trunc('month', date '2024-08-15')", "2024-08-01 00:00:00+02"),
    ("date_trunc('hour', date '2024-08-15')", "2024-08-15 00:00:00+02"),
    ("date_trunc('decade', date '2024-08-15')", "2020-01-01 00:00:00+01"),
    ("date_trunc('day', timestamptz '2024-08-15 22:30:09.5+00', 'America/New_York')", "2024-08-15 06:00:00+02"),
    ("date_trunc('day', timestamptz '2024-08-15 22:30:09.5+00', 'Nowhere')", r#"ERROR time zone "Nowhere" not recognized"#),
    ("date_trunc('hour', timestamptz '2024-10-27 00:30:00+00')", "2024-10-27 02:00:00+02"),
    ("date_trunc('hour', timestamptz '2024-10-27 01:30:00+00')", "2024-10-27 02:00:00+01"),
    ("date_trunc('day', timestamptz '2024-03-31 10:30:00+00')", "2024-03-31 00:00:00+01"),
    ("date_trunc('ms', interval '13 years 14 months 10 days 100 hours 1 minute 2.567 seconds')", "14 years 2 mons 10 days 100:01:02.567"),
    ("date_trunc('second', interval '13 years 14 months 10 days 100 hours 1 minute 2.567 seconds')", "14 years 2 mons 10 days 100:01:02"),
    ("date_trunc('minute', interval '13 years 14 months 10 days 100 hours 1 minute 2.567 seconds')", "14 years 2 mons 10 days 100:01:00"),
    ("date_trunc('hour', interval '13 years 14 months 10 days 100 hours 1 minute 2.567 seconds')", "14 years 2 mons 10 days 100:00:00"),
    ("date_trunc('day', interval '13 years 14 months 10 days 100 hours 1 minute 2.567 seconds')", "14 years 2 mons 10 days"),
    ("date_trunc('month', interval '13 years 14 months 10 days 100 hours 1 minute 2.567 seconds')", "14 years 2 mons"),
    ("date_trunc('quarter', interval '13 years 14 months 10 days 100 hours 1 minute 2.567 seconds')", "14 years"),
    ("date_trunc('year', interval '13 years 14 months 10 days 100 hours 1 minute 2.567 seconds')", "14 years"),
    ("date_trunc('decade', interval '13 years 14 months 10 days 100 hours 1 minute 2.567 seconds')", "10 years"),
    (
        "date_trunc('week', interval '13 years 14 months 10 days 100 hours 1 minute 2.567 seconds')",
        r#"ERROR unit "week" not supported for type interval"#,
    ),
    ("date_trunc('hour', time '13:14:15')", "13:00:00"),
    ("date_trunc('fortnight', timestamp '2024-01-01')", r#"ERROR unit "fortnight" not recognized for type timestamp without time zone"#),
    ("date_trunc('dow', timestamp '2024-01-01')", r#"ERROR unit "dow" not recognized for type timestamp without time zone"#),
    ("date_trunc('MONTHS', timestamp '2024-08-15')", "2024-08-01 00:00:00"),
    ("date_trunc('day', timestamp '2024-08-15 22:30:09', 'America/New_York')", "2024-08-15 06:00:00+02"),
    ("date_trunc('month', date '2024-08-01', 'America/New_York')", "2024-07-01 06:00:00+02"),
    ("date_trunc('foo', date '2024-08-01')", r#"ERROR unit "foo" not recognized for type timestamp with time zone"#),
    ("date_trunc('day', null::timestamp)", ""),
    ("date_trunc('century', timestamp '2000-12-31')", "1901-01-01 00:00:00"),
    ("date_trunc('millennium', timestamp '2001-01-01')", "2001-01-01 00:00:00"),
    ("date_trunc('week', timestamp '2021-01-03')", "2020-12-28 00:00:00"),
];

/// In Europe/Paris.
const MADE: &[(&str, &str)] = &[
    ("make_timestamp(2024, 3, 5, 14, 7, 9.5)", "2024-03-05 14:07:09.5"),
    ("make_timestamp(2024, 2, 30, 0, 0, 0)", "ERROR date field value out of range: 2024-02-30"),
    ("make_timestamp(2024, 13, 1, 0, 0, 0)", "ERROR date field value out of range: 2024-13-01"),
    ("make_timestamp(0, 1, 1, 0, 0, 0)", "ERROR date field value out of range: 0-01-01"),
    ("make_timestamp(2024, 1, 1, 24, 0, 0)", "2024-01-02 00:00:00"),
    ("make_timestamp(2024, 1, 1, 25, 0, 0)", "ERROR time field value out of range: 25:00:00"),
    ("make_timestamp(2024, 1, 1, 23, 59, 60)", "2024-01-02 00:00:00"),
    ("make_timestamp(2024, null, 1, 0, 0, 0)", ""),
    ("make_timestamptz(2024, 7, 5, 14, 7, 9.5)", "2024-07-05 14:07:09.5+02"),
    ("make_timestamptz(2024, 7, 5, 14, 7, 9.5, 'America/New_York')", "2024-07-05 20:07:09.5+02"),
    ("make_timestamptz(2024, 7, 5, 14, 7, 9.5, 'Nowhere')", r#"ERROR time zone "Nowhere" not recognized"#),
    ("make_interval()", "00:00:00"),
    ("make_interval(1)", "1 year"),
    ("make_interval(1, 2, 3, 4, 5, 6, 7.5)", "1 year 2 mons 25 days 05:06:07.5"),
    ("make_interval(0, 0, 0, 10)", "10 days"),
    ("make_interval(2147483647)", "ERROR interval out of range"),
    ("isfinite(timestamp '2024-01-01')", "t"),
    ("isfinite(date '2024-01-01')", "t"),
    ("isfinite(interval '1 day')", "t"),
    ("isfinite(null::date)", ""),
    ("clock_timestamp() >= now()", "t"),
    ("statement_timestamp() = now()", "t"),
    ("transaction_timestamp() = now()", "t"),
];

#[tokio::test]
async fn parts_are_counted_as_postgres_counts_them() {
    let session = Session::new("Europe/Paris");
    for (expression, expected) in PARTS {
        let answer = session.ask(expression).await;
        assert!(same_number(&answer, expected), "{expression}: {answer}, not {expected}");
    }
}

#[tokio::test]
async fn moments_are_cut_as_postgres_cuts_them() {
    Session::new("Europe/Paris").all(TRUNCATED).await;
    // In UTC the engine's own function does it.
    let utc = Session::new("UTC");
    assert_eq!(utc.ask("date_trunc('Months', timestamptz '2024-08-31 23:30:00+00')").await, "2024-08-01 00:00:00+00");
    assert_eq!(utc.ask("date_trunc('century', timestamptz '2024-08-31 23:30:00+00')").await, "2001-01-01 00:00:00+00");
}

#[tokio::test]
async fn moments_are_made_as_postgres_makes_them() {
    Session::new("Europe/Paris").all(MADE).await;
    Session::new("Europe/Paris").all(ZONES).await;
}

/// Files are skipped by ranges, so comparisons with years have to become some.
#[tokio::test]
async fn a_year_is_a_range() {
    let session = Session::new("Europe/Paris");
    session
        .context()
        .sql("CREATE VIEW t AS SELECT * FROM (VALUES (DATE '2023-12-31'), (DATE '2024-12-31'), (NULL)) AS v (d)")
        .await
        .unwrap();
    let plan = session.context().sql("SELECT d FROM t WHERE extract(year FROM d) = 2024").await.unwrap().into_optimized_plan().unwrap();
    let text = plan.to_string();
    assert!(text.contains("2024-01-01") && text.contains("2025-01-01") && !text.contains("date_part"), "{text}");
    assert_eq!(session.ask("d FROM t WHERE extract(year FROM d) = 2024").await, "2024-12-31");
}

/// No unit and no moment panics, whatever the session's zone.
#[tokio::test]
async fn extremes_have_parts() {
    use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
    let session = Session::new("America/New_York");
    let all = vec![i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
    let plain = Arc::new(TimestampMicrosecondArray::from(all.clone())) as ArrayRef;
    let zoned = Arc::new(TimestampMicrosecondArray::from(all).with_timezone("UTC")) as ArrayRef;
    let batch = RecordBatch::try_from_iter([("plain", plain), ("zoned", zoned)]).unwrap();
    session.context().register_batch("extremes", batch).unwrap();
    for unit in "microsecond millisecond second minute hour day week month quarter year decade century millennium isoyear dow isodow doy \
        julian epoch timezone timezone_hour timezone_minute"
        .split_whitespace()
    {
        for column in ["plain", "zoned"] {
            session.ask(&format!("max(date_part('{unit}', {column})) FROM extremes")).await;
            session.ask(&format!("max(date_trunc('{unit}', {column})) FROM extremes")).await;
        }
    }
    for template in ["YYYY IYYY IDDD J CC Q TZ OF", "Day Month RM AM"] {
        session.ask(&format!("max(to_char(plain, '{template}') || to_char(zoned, '{template}')) FROM extremes")).await;
    }
}
