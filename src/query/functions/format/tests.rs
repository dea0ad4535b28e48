//! What PostgreSQL 15 answers. The tables were written by one.

use super::super::tests::Session;
use super::*;

/// In Europe/Paris.
const MOMENTS: &[(&str, &str)] = &[
    ("to_char(timestamp '2024-03-05 14:07:09.012345', 'YYYY-MM-DD HH24:MI:SS')", "2024-03-05 14:07:09"),
    ("to_char(timestamp '2024-03-05 14:07:09.012345', 'YYYY-MM')", "2024-03"),
    ("to_char(timestamp '2024-03-05 14:07:09.012345', 'Y,YYY YYYY YYY YY Y')", "2,024 2024 024 24 4"),
    ("to_char(timestamp '2024-03-05 14:07:09.012345', 'IYYY IYY IY I')", "2024 024 24 4"),
    ("to_char(timestamp '2024-03-05 14:07:09.012345', 'BC AD b.c. A.D.')", "AD AD a.d. A.D."),
    ("to_char(timestamp '2024-03-05 14:07:09.012345', 'MM Mon MON mon')", "03 Mar MAR mar"),
    ("to_char(timestamp '2024-03-05 14:07:09.012345', '[Month] [MONTH] [month]')", "[March    ] [MARCH    ] [march    ]"),
    ("to_char(timestamp '2024-03-05 14:07:09.012345', 'FMMonth FMDay FMDD')", "March Tuesday 5"),
    ("to_char(timestamp '2024-03-05 14:07:09.012345', 'RM rm FMRM')", "III  iii  III"),
    ("to_char(timestamp '2024-03-05 14:07:09.012345', 'DDD DD D ID IDDD')", "065 05 3 2 065"),
    ("to_char(timestamp '2024-03-05 14:07:09.012345', 'Day|DAY|day|Dy|DY|dy|')", "Tuesday  |TUESDAY  |tuesday  |Tue|TUE|tue|"),
    ("to_char(timestamp '2024-03-05 14:07:09.012345', 'WW IW W CC J Q')", "10 10 1 21 2460375 1"),
    ("to_char(timestamp '2024-03-05 14:07:09.012345', 'HH HH12 HH24 MI SS MS US')", "02 02 14 07 09 012 012345"),
    ("to_char(timestamp '2024-03-05 14:07:09.012345', 'FF1 FF2 FF3 FF4 FF5 FF6')", "0 01 012 0123 01234 012345"),
    ("to_char(timestamp '2024-03-05 14:07:09.012345', 'SSSS SSSSS')", "50829 50829"),
    ("to_char(timestamp '2024-03-05 14:07:09.012345', 'AM am P.M. p.m.')", "PM pm P.M. p.m."),
    ("to_char(timestamp '2024-03-05 14:07:09.012345', 'FMHH12:MIam')", "2:07pm"),
    ("to_char(timestamp '2024-03-05 14:07:09.012345', 'DDth DDTH FMDDth')", "05th 05TH 5th"),
    ("to_char(timestamp '2024-03-05 14:07:09.012345', 'TMMonth TMDay')", "March Tuesday"),
    (r#"to_char(timestamp '2024-03-05 14:07:09.012345', '"Year" YYYY \"x\" "a\"b"')"#, r#"Year 2024 "x" a"b"#),
    ("to_char(timestamp '2024-03-05 14:07:09.012345', 'FMYYYY-FMMM-FMDD FMHH24')", "2024-3-5 14"),
    ("to_char(timestamp '2024-03-05 14:07:09.012345', 'Hello World')", "Hello 1orl3"),
    ("to_char(timestamp '2024-03-05 14:07:09.012345', 'TZ tz TZH TZM OF')", "  +00 00 +00"),
    (r#"to_char(timestamp '2024-03-05 14:07:09.012345', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"#, "2024-03-05T14:07:09.012Z"),
    ("to_char(timestamp '2024-03-05 14:07:09.012345', 'é YYYY')", "é 2024"),
    ("to_char(timestamp '2024-03-05 14:07:09.012345', 'FXYYYY')", "2024"),
    (r#"to_char(timestamp '2024-03-05 14:07:09.012345', 'Q"Q" FMQth')"#, "1Q 1st"),
    ("to_char(timestamp '2024-03-05 14:07:09.012345', '[TZ]')", "[]"),
    ("to_char(timestamp '2023-01-01 00:30:00', 'IYYY-IW-ID HH12:MI AM HH24')", "2022-52-7 12:30 AM 00"),
    ("to_char(timestamp '2020-12-31 23:59:59.999999', 'IYYY-IDDD US MS FF1')", "2020-368 999999 999 9"),
    ("to_char(timestamp '2024-01-11', 'DDth')", "11th"),
    ("to_char(timestamp '2024-01-12', 'DDth')", "12th"),
    ("to_char(timestamp '2024-01-13', 'DDTH')", "13TH"),
    ("to_char(timestamp '2024-01-21', 'DDth')", "21st"),
    ("to_char(timestamp '2024-01-22', 'DDth')", "22nd"),
    ("to_char(timestamp '2024-01-23', 'DDth')", "23rd"),
    ("to_char(timestamptz '2024-07-05 14:07:09+00', 'HH24:MI TZ tz')", "16:07 CEST cest"),
    ("to_char(timestamptz '2024-07-05 14:07:09+00', 'TZH:TZM OF')", "+02:00 +02"),
    ("to_char(timestamptz '2024-07-05 14:07:09+00', 'YYYY-MM-DD HH12 AM')", "2024-07-05 04 PM"),
    ("to_char(timestamptz '2024-01-05 23:30:00+00', 'YYYY-MM-DD HH24:MI TZ OF')", "2024-01-06 00:30 CET +01"),
    ("to_char(date '2024-02-29', 'Day DD Mon YYYY HH24 TZ')", "Thursday  29 Feb 2024 00 CET"),
    ("to_char(null::timestamp, 'YYYY')", ""),
    ("to_char(timestamp '2024-03-05 14:07:09.012345', null)", ""),
    ("to_char(timestamp '2024-03-05 14:07:09.012345', '')", ""),
];

/// Intervals and times of the day.
const SPANS: &[(&str, &str)] = &[
    ("to_char(interval '1 year 2 months 3 days 4 hours 5 minutes 6.789 seconds', 'YYYY MM DD HH24:MI:SS.MS')", "0001 02 03 04:05:06.789"),
    ("to_char(interval '100 hours', 'HH24:MI HH12')", "100:00 04"),
    ("to_char(interval '-5 hours -30 minutes', 'HH24:MI:SS')", "-05:-30:00"),
    ("to_char(interval '15 months', 'YYYY Y CC Q RM')", "0001 1 00 1 III "),
    ("to_char(interval '36 hours', 'SSSS DDD')", "129600 000"),
    ("to_char(interval '1 day', 'Month')", "ERROR invalid format specification for an interval value"),
    ("to_char(interval '1 day', 'Day')", "ERROR invalid format specification for an interval value"),
    ("to_char(interval '1 day', 'TZ')", "ERROR invalid format specification for an interval value"),
    ("to_char(interval '1 day', 'BC')", "ERROR invalid format specification for an interval value"),
    ("to_char(interval '1 hour', 'AM FMHH24 US')", "AM 1 000000"),
    ("to_char(interval '0', 'HH24 RM Q|')", "00  |"),
    ("to_char(time '13:14:15', 'HH24-MI-SS AM')", "13-14-15 PM"),
];

/// Numbers of every type.
const NUMBERS: &[(&str, &str)] = &[
    ("to_char(485, '999')", " 485"),
    ("to_char(485, '999th')", " 485th"),
    ("to_char(485, '9999')", "  485"),
    ("to_char(485, '09999')", " 00485"),
    ("to_char(485, 'FM999')", "485"),
    ("to_char(485, 'L999')", "  485"),
    ("to_char(485, 'RN')", "        CDLXXXV"),
    ("to_char(485, 'FMRN')", "CDLXXXV"),
    ("to_char(485, 'rn')", "        cdlxxxv"),
    ("to_char(485, '9V99')", " ###"),
    (r#"to_char(485, '"Good number:"999')"#, "Good number: 485"),
    ("to_char(485, 'S999')", "+485"),
    ("to_char(485, '999S')", "485+"),
    ("to_char(485, 'SG999')", "+485"),
    ("to_char(485, '9 9 9')", " 4 8 5"),
    ("to_char(485, '9,9,9')", " 4,8,5"),
    ("to_char(-485, '999')", "-485"),
    ("to_char(-485, '999S')", "485-"),
    ("to_char(-485, '999MI')", "485-"),
    ("to_char(-485, '999PR')", "<485>"),
    ("to_char(-485, 'SG999')", "-485"),
    ("to_char(-485, '9SG99')", "4-85"),
    ("to_char(-485, 'FM999PR')", "<485>"),
    ("to_char(-485, 'S0999')", "-0485"),
    ("to_char(-485, 'PL999')", " -485"),
    ("to_char(-485, '999PL')", "-485 "),
    ("to_char(148.5, '999.999')", " 148.500"),
    ("to_char(148.5, 'FM999.999')", "148.5"),
    ("to_char(148.5, 'FM999.990')", "148.500"),
    ("to_char(148.5, '999D999')", " 148.500"),
    ("to_char(148.5, '99.9')", " ##.#"),
    ("to_char(148.5::numeric(10,1), '9.99EEEE')", " 1.49e+02"),
    ("to_char(12345, '9,999')", " #,###"),
    ("to_char(12345, '99,999')", " 12,345"),
    ("to_char(12345, '99G999D99')", " 12,345.00"),
    ("to_char(12345, '0000000000')", " 0000012345"),
    ("to_char(12345, 'FM9,999,999')", "12,345"),
    ("to_char(0, '9')", " 0"),
    ("to_char(0, '9.9')", "  .0"),
    ("to_char(0, '0.9')", " 0.0"),
    ("to_char(0, 'FM9.99')", "0."),
    ("to_char(0, 'FM0.00')", "0.00"),
    ("to_char(0, 'S9')", "+0"),
    ("to_char(0, '9PR')", " 0 "),
    ("to_char(0, 'B9')", " 0"),
    ("to_char(-0.1, '99.99')", "  -.10"),
    ("to_char(-0.1, 'FM9.99')", "-.1"),
    ("to_char(-0.1, 'FM90.99')", "-0.1"),
    ("to_char(-0.1, '0.9')", "-0.1"),
    ("to_char(0.5::numeric(10,1), '9')", " 1"),
    ("to_char(0.5::numeric(10,1), '0')", " 1"),
    ("to_char(0.5::numeric(10,1), '9.')", " 1"),
    ("to_char(0.5::numeric(10,1), 'FM9.')", "1"),
    ("to_char(1.5, '9')", " 2"),
    ("to_char(1.5, '99.')", "  2"),
    ("to_char(1.5, '9.0')", " 1.5"),
    ("to_char(2.5::numeric(10,1), '9')", " 3"),
    ("to_char(1234567.891, 'FM999,999,999.00')", "1,234,567.89"),
    ("to_char(1234567.891, '999G999G999D9')", "   1,234,567.9"),
    ("to_char(1234567.891, '9.9EEEE')", " 1.2e+06"),
    ("to_char(4000, 'RN')", "###############"),
    ("to_char(3999, 'FMRN')", "MMMCMXCIX"),
    ("to_char(1234.5678::float8, '9999.99999')", " 1234.56780"),
    ("to_char(1234.5678::float8, 'FM9999.9999')", "1234.5678"),
    ("to_char(1234.5678::float8, '9.999EEEE')", " 1.235e+03"),
    ("to_char(123456.789::real, 'FM999999.999')", "123457"),
    ("to_char(123456.789::real, '999999.9999')", " 123457"),
    ("to_char('NaN'::float8, '999.9')", " NaN"),
    ("to_char('NaN'::float8, 'FM999')", "NaN"),
    ("to_char('Infinity'::float8, '99999999999')", "    Infinity"),
    ("to_char('Infinity'::float8, '9.9EEEE')", " #.#####"),
    ("to_char(2.5::float8, '9')", " 2"),
    ("to_char(0.15::float8, '0.9')", " 0.1"),
    ("to_char(-1234567890123456789, '9999999999999999999')", "-1234567890123456789"),
    ("to_char(-1234567890123456789, '9,999,999,999,999,999,999MI')", "1,234,567,890,123,456,789-"),
    ("to_char(1, '9.9.9')", "ERROR multiple decimal points"),
    ("to_char(1, 'S9S')", r#"ERROR cannot use "S" twice"#),
    ("to_char(1, '9EEEE9')", r#"ERROR "EEEE" must be the last pattern used"#),
    ("to_char(1, 'FM9EEEE')", r#"ERROR "EEEE" is incompatible with other formats"#),
    ("to_char(1, 'S9MI')", r#"ERROR cannot use "S" and "MI" together"#),
    ("to_char(1, '9PR9')", r#"ERROR "9" must be ahead of "PR""#),
    ("to_char(1, '9V9.9')", r#"ERROR cannot use "V" and decimal point together"#),
    ("to_char(1.5::numeric(10,3), '0.000')", " 1.500"),
    ("to_char(null::int, '9')", ""),
];

/// In Europe/Paris.
const READ: &[(&str, &str)] = &[
    ("to_date('2024-03-05', 'YYYY-MM-DD')", "2024-03-05"),
    ("to_date('05 Dec 2000', 'DD Mon YYYY')", "2000-12-05"),
    ("to_date('20240305', 'YYYYMMDD')", "2024-03-05"),
    ("to_date('March 5, 2024', 'FMMonth FMDD, YYYY')", "2024-03-05"),
    ("to_date('5/3/24', 'DD/MM/YY')", "2024-03-05"),
    ("to_date('2024-065', 'YYYY-DDD')", "2024-03-05"),
    ("to_date('2024-10-2', 'IYYY-IW-ID')", "2024-03-05"),
    ("to_date('2460375', 'J')", "2024-03-05"),
    ("to_date('2024', 'YYYY')", "2024-01-01"),
    ("to_date('24', 'YY')", "2024-01-01"),
    ("to_date('70', 'YY')", "1970-01-01"),
    ("to_date('969', 'YYY')", "1969-01-01"),
    ("to_date('9', 'Y')", "2009-01-01"),
    ("to_date('2,024-03', 'Y,YYY-MM')", "2024-03-01"),
    ("to_date('21 24', 'CC YY')", "2024-01-01"),
    ("to_date('IV 2024', 'RM YYYY')", "2024-04-01"),
    ("to_date('2024   03', 'YYYY MM')", "2024-03-01"),
    ("to_date('2024/03.05', 'YYYY-MM-DD')", "2024-03-05"),
    ("to_date('  2024-03-05', 'YYYY-MM-DD')", "2024-03-05"),
    ("to_date('2024-03-05', 'YYYYMMDD')", "2024-01-03"),
    ("to_date('5th March 2024', 'DDth Month YYYY')", "2024-03-05"),
    ("to_date('2024 3 2', 'YYYY MM W')", "2024-03-08"),
    ("to_date('2024-02-30', 'YYYY-MM-DD')", r#"ERROR date/time field value out of range: "2024-02-30""#),
    ("to_date('2024-13-01', 'YYYY-MM-DD')", r#"ERROR date/time field value out of range: "2024-13-01""#),
    ("to_date('abc', 'YYYY')", r#"ERROR invalid value "abc" for "YYYY""#),
    ("to_date('5 Foo 2024', 'DD Mon YYYY')", r#"ERROR invalid value "Foo" for "Mon""#),
    ("to_date('2024-03', 'YYYY-IW')", "ERROR invalid combination of date conventions"),
    ("to_date('2024 2025', 'YYYY YYYY')", r#"ERROR conflicting values for "YYYY" field in formatting string"#),
    ("to_date('1-2-3', 'FXYYYY-MM-DD')", "0001-02-03"),
    ("to_date('', 'YYYY')", "0001-01-01 BC"),
    ("to_date('99999999999', 'FMYYYY')", r#"ERROR value for "YYYY" in source string is out of range"#),
    ("to_date('12', 'DDD')", "ERROR cannot calculate day of year without year information"),
    ("to_date('tuesday 5 march 2024', 'Day DD Month YYYY')", "2024-03-05"),
    ("to_timestamp('2024-03-05 14:07:09', 'YYYY-MM-DD HH24:MI:SS')", "2024-03-05 14:07:09+01"),
    ("to_timestamp('2024-07-05 02:07:09 PM', 'YYYY-MM-DD HH12:MI:SS AM')", "2024-07-05 14:07:09+02"),
    ("to_timestamp('05 Dec 2000', 'DD Mon YYYY')", "2000-12-05 00:00:00+01"),
    ("to_timestamp('2024-03-05 14:07:09.5', 'YYYY-MM-DD HH24:MI:SS.MS')", "2024-03-05 14:07:09.5+01"),
    ("to_timestamp('2024-03-05 14:07:09.123456', 'YYYY-MM-DD HH24:MI:SS.US')", "2024-03-05 14:07:09.123456+01"),
    ("to_timestamp('2024-03-05 14:07:09.1239', 'YYYY-MM-DD HH24:MI:SS.FF3')", "2024-03-05 14:07:09.124+01"),
    ("to_timestamp('2024-03-05 50829', 'YYYY-MM-DD SSSS')", "2024-03-05 14:07:09+01"),
    ("to_timestamp('2024-03-05 14:07 +05:30', 'YYYY-MM-DD HH24:MI TZH:TZM')", "2024-03-05 09:37:00+01"),
    ("to_timestamp('2024-03-05 14:07 -08', 'YYYY-MM-DD HH24:MI TZH')", "2024-03-05 23:07:00+01"),
    (r#"to_timestamp('2024-03-05T14:07:09Z', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"#, "2024-03-05 14:07:09+01"),
    ("to_timestamp('2024-03-31 02:30', 'YYYY-MM-DD HH24:MI')", "2024-03-31 03:30:00+02"),
    ("to_timestamp('2024-10-27 02:30', 'YYYY-MM-DD HH24:MI')", "2024-10-27 02:30:00+01"),
    ("to_timestamp('13 PM', 'HH12 AM')", r#"ERROR hour "13" is invalid for the 12-hour clock"#),
    ("to_timestamp('25:00', 'HH24:MI')", r#"ERROR date/time field value out of range: "25:00""#),
    ("to_timestamp('10:61', 'HH24:MI')", r#"ERROR date/time field value out of range: "10:61""#),
    ("to_timestamp('2024 CET', 'YYYY TZ')", r#"ERROR formatting field "TZ" is only supported in to_char"#),
    ("to_timestamp(0)", "1970-01-01 01:00:00+01"),
    ("to_timestamp(1700000000.123456)", "2023-11-14 23:13:20.123456+01"),
    ("to_timestamp(-1)", "1970-01-01 00:59:59+01"),
    ("to_timestamp('NaN'::float8)", "ERROR timestamp cannot be NaN"),
    ("to_timestamp(1e20)", r#"ERROR timestamp out of range: "1e+20""#),
    ("to_timestamp(null::float8)", ""),
    ("to_date(null, 'YYYY')", ""),
];

/// PostgreSQL's scale is each text's, ours the template's: the tests compare values.
const READ_NUMBERS: &[(&str, &str)] = &[
    ("to_number('12,454.8-', '99G999D9S')", "-12454.8"),
    ("to_number('-12.50', '99.99')", "-12.50"),
    ("to_number('$1,234', 'L9,999')", "1234"),
    ("to_number('1234', '9999')", "1234"),
    ("to_number('12 34', '9999')", "1234"),
    ("to_number('<75>', '999PR')", "-75"),
    ("to_number('5.01-', 'FM9.99MI')", "-5.01"),
    ("to_number('+7', 'SG9')", "7"),
    ("to_number('0.5', '9.9')", "0.5"),
    ("to_number('1e5', '9999')", "15"),
    ("to_number('', '999')", r#"ERROR invalid input syntax for type numeric: " ""#),
    ("to_number('abc', '999')", r#"ERROR invalid input syntax for type numeric: " ""#),
    ("to_number('12345', '999')", "123"),
    ("to_number('123', '9EEEE')", r#"ERROR "EEEE" not supported for input"#),
    ("to_number('12', 'RN')", r#"ERROR "RN" not supported for input"#),
    ("to_number('1', '9.9.9')", "ERROR multiple decimal points"),
    ("to_number('12', '')", ""),
    ("to_number('12345', '99V999')", "12.3450000000000000"),
];

/// The year 44 BC and others that no literal here can be.
const FAR: &[((i64, i64, i64), &str, &str)] = &[
    ((-43, 3, 15), "YYYY BC CC IYYY J", "0044 BC -01 0044 1705428"),
    ((0, 1, 1), "Y,YYY YY Y FMYYYY CC", "0,001 01 1 1 -01"),
    ((12_024, 1, 1), "YYYY YY", "12024 24"),
];

#[tokio::test]
async fn moments_and_spans_are_written_as_postgres_writes_them() {
    Session::new("Europe/Paris").all(MOMENTS).await;
    Session::new("UTC").all(SPANS).await;
    for ((year, month, day), template, expected) in FAR {
        let mut out = String::new();
        let parts = Parts::of_moment(super::super::calendar::days_of(*year, *month, *day) * DAY, None);
        Moment::parse(template).write(&parts, &mut out).unwrap();
        assert_eq!(out, *expected, "{template}");
    }
}

#[tokio::test]
async fn numbers_are_written_as_postgres_writes_them() {
    Session::new("UTC").all(NUMBERS).await;
}

#[tokio::test]
async fn moments_are_read_as_postgres_reads_them() {
    Session::new("Europe/Paris").all(READ).await;
}

#[tokio::test]
async fn numbers_are_read_as_postgres_reads_them() {
    let session = Session::new("UTC");
    for (expression, expected) in READ_NUMBERS {
        let answer = session.ask(expression).await;
        let plain =
            |text: &str| if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() };
        let same = if expected.starts_with("ERROR") { answer == *expected } else { plain(&answer) == plain(expected) };
        assert!(same, "{expression}: {answer}, not {expected}");
    }
}

#[tokio::test]
async fn columns_are_as_constants() {
    let session = Session::new("UTC");
    let rows = "(VALUES (1, timestamp '2024-03-05 14:07:09', 'YYYY', 7.5), (2, timestamp '2023-01-01 00:00:00', 'MM-DD', -7.5), \
        (3, NULL, 'YYYY', 0), (4, timestamp '2023-01-01 00:00:00', NULL, NULL)) AS t (i, at, template, n)";
    let of = async |expression: &str| session.ask(&format!("string_agg({expression}, '|' ORDER BY i) FROM {rows}")).await;
    assert_eq!(of("coalesce(to_char(at, template), '-')").await, "2024|01-01|-|-");
    assert_eq!(of("coalesce(to_char(n, '9D9S'), '-')").await, "7.5+|7.5-| .0+|-");
    assert_eq!(
        of("coalesce(to_char(to_timestamp('2024', template), 'YYYY'), '-')").await,
        "ERROR date/time field value out of range: \"2024\""
    );
}

#[tokio::test]
async fn what_has_no_bound_is_refused() {
    let session = Session::new("UTC");
    assert_eq!(session.ask("to_char(now(), repeat('9', 9000))").await, "ERROR format string is too long");
}

/// Any template and any value: an answer or a fault, never a panic.
#[test]
fn no_template_and_no_value_panics() {
    let words = "FM TM FX TH th \" \\ \\\" YYYY Y,YYY IYYY IDDD ID IW WW W CC J Q RM MM Month MON DAY Dy DDD DD D HH24 HH MI SS MS US FF3 SSSS AM B.C. \
        TZ TZH TZM OF 9 0 . , D G S MI PL SG PR L V EEEE RN B - / é 1 x";
    let words: Vec<&str> = words.split(' ').collect();
    let values = [i64::MIN, i64::MAX, 0, -1, 1, FIRST_DAY * DAY, END_OF_MOMENTS, 1_709_647_629_012_345];
    let numbers = ["0", "-0.5", "99999999999999999999999999999999999999", "0.00000000000000000000000000000000000001", "-12345.678"];
    let floats = [f64::NAN, f64::INFINITY, f64::MIN, f64::MAX, f64::MIN_POSITIVE, -0.0, 0.5, 1e15];
    proptest::proptest!(|(picks in proptest::collection::vec(0..words.len(), 0..12), text in "[-+0-9a-zA-Z ,.:/é]{0,20}")| {
        let template: String = picks.iter().map(|pick| words[*pick]).collect();
        let moment = Moment::parse(&template);
        for value in values {
            for parts in [Parts::of_moment(value, None), Parts::of_interval(i32::MIN, i32::MAX, value), Parts::of_interval(i32::MAX, i32::MIN, value)] {
                let _ = moment.write(&parts, &mut String::new());
            }
        }
        let _ = moment.read(&text).and_then(|said| said.sum(&text));
        if let Ok(number) = Number::parse(&template) {
            for value in numbers.iter().map(|digits| Value::Exact(Digits::of(digits))) {
                let _ = number.write(&value, &mut String::new());
            }
            for value in floats {
                let _ = number.write(&Value::Float(value, DOUBLE), &mut String::new());
                let _ = number.write(&Value::Float(value, SINGLE), &mut String::new());
            }
            let _ = number.read(&text).map(|read| Digits::of(&read).scaled(number.shift, 10));
        }
        let _ = moment.read(&template).and_then(|said| said.sum(&template));
    });
}
