use super::*;
use crate::catalog::ColumnType;
use crate::policy::fixtures::{bind, column, principal};
use arrow::datatypes::{Field, TimeUnit};

#[path = "../../fuzz/filter.rs"]
mod fuzz;

fn columns() -> Vec<Column> {
    vec![
        column("region", DataType::Utf8View, None),
        column("branch", DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8)), None),
        column("age", DataType::Int32, None),
        column("score", DataType::Float64, None),
        column("amount", DataType::Decimal128(12, 2), None),
        column("consent", DataType::Boolean, None),
        column("born", DataType::Date32, None),
        column("seen", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), None),
        column("photo", DataType::Binary, None),
        column("Mixed Case", DataType::Int32, None),
        Column { data_type: ColumnType::parse("uuid").unwrap(), ..column("key", DataType::Utf8View, None) },
    ]
}

fn compiled(expression: &str) -> Result<Expr, String> {
    let paths = bind(&[("region", "principal.attributes.region"), ("me", "principal.name"), ("team", "principal.domain")]);
    let used = paths.into_iter().filter(|(name, _)| expression.contains(&format!("${name}"))).collect();
    let schema = Schema::new(columns().iter().map(|c| c.field(true)).collect::<Vec<_>>());
    Filter::parse(expression, &used)?.compile(&schema, &principal("claims", &[], Some("eu")))
}

#[test]
fn values_take_exactly_the_type_of_their_column() {
    for (expression, expected) in [
        ("region = 'eu'", r#"region = Utf8View("eu")"#),
        ("branch <> 'x'", r#"branch != Dictionary(UInt16, Utf8("x"))"#),
        ("18 <= age", "Int32(18) <= age"),
        ("age > -5", "age > Int32(-5)"),
        ("score < 0.5", "score < Float64(0.5)"),
        ("amount >= 10.5", "amount >= Decimal128(10.50,12,2)"),
        ("born < '2000-01-01'", r#"born < Date32("2000-01-01")"#),
        ("born < DATE '2000-01-01'", r#"born < Date32("2000-01-01")"#),
        ("region = $region", r#"region = Utf8View("eu")"#),
        ("$team = 'claims'", r#"Utf8("claims") = Utf8("claims")"#),
        ("(region IN ('eu', $region)) AND NOT consent", r#"region IN ([Utf8View("eu"), Utf8View("eu")]) AND NOT consent"#),
        ("age NOT BETWEEN 1 AND 5 OR consent IS NOT FALSE", "age NOT BETWEEN Int32(1) AND Int32(5) OR consent IS NOT FALSE"),
        ("photo IS NULL", "photo IS NULL"),
        ("region NOT LIKE 'e%'", r#"region NOT LIKE Utf8View("e%")"#),
        (r#""Mixed Case" = 1 AND REGION = 'eu'"#, r#"Mixed Case = Int32(1) AND region = Utf8View("eu")"#),
        ("TRUE", "Boolean(true)"),
        ("key <> 'A0EEBC999C0B4EF8BB6D6BB9BD380A11'", r#"key != Utf8View("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")"#),
        ("key NOT IN ('{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}')", r#"key NOT IN ([Utf8View("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")])"#),
    ] {
        assert_eq!(compiled(expression).map(|e| e.to_string()), Ok(expected.to_owned()), "{expression}");
    }
    assert!(compiled("seen >= '2026-01-01T00:00:00Z'").unwrap().to_string().contains("TimestampMicrosecond(1767225600000000"));
}

#[test]
fn a20_a_policy_that_could_fail_or_be_steered_is_refused() {
    for expression in [
        "1/(age-5) > 0",
        "key = 'a0eebc99'",
        "key NOT LIKE 'A0%'",
        "key <> region",
        "age + 1 > 2",
        "age / 2 = 1",
        "CAST(region AS INT) = 1",
        "region::int = 1",
        "TRY_CAST(region AS INT) = 1",
        "lower(region) = 'eu'",
        "current_user = 'ana'",
        "random() < 0.5",
        "now() > seen",
        "current_setting('x') = 'y'",
        "region = (SELECT 'eu')",
        "EXISTS (SELECT 1)",
        "region IN (SELECT 'eu')",
        "region = ANY('{eu}')",
        "region ~ '('",
        "region SIMILAR TO 'x'",
        "region || 'x' = 'eux'",
        "t.region = 'eu'",
        "CASE WHEN consent THEN TRUE END",
        "region = NULL",
        "region IN ('eu', NULL)",
        "(region, age) = ('eu', 1)",
        "region LIKE age",
        "region LIKE 'a\\'",
        "age",
        "1",
        "",
        "region =",
        "region = 'eu'; DROP TABLE x",
        "region = 'eu' consent",
        "age = 1.5",
        "age = 3000000000",
        "age = 'x'",
        "age = TRUE",
        "amount = 1.005",
        "score = 'NaN'",
        "score = 'inf'",
        "consent = 1",
        "born = 'soon'",
        "photo = 'x'",
        "age = region",
        "region = 1",
        "1 BETWEEN age AND 5",
        "nothing = 1",
        "mixed_case = 1",
        "-region = 1",
        "region = $nobody",
        "region = INTERVAL '1 day'",
        "age LIKE 'a%'",
        "region = x'00'",
        "region COLLATE \"C\" = 'eu'",
        "region IS DISTINCT FROM 'eu'",
        "region AT TIME ZONE 'x' = 'y'",
    ] {
        assert!(compiled(expression).is_err(), "{expression} became {:?}", compiled(expression));
    }
    assert!(compiled(&format!("region LIKE '{}'", "%a".repeat(80))).is_err());
    assert!(compiled(&vec!["consent"; 1000].join(" OR ")).is_err());
    assert!(compiled(&format!("{}consent{}", "(".repeat(200), ")".repeat(200))).is_err());
}

/// Each of these means one thing to Trino and another to the engine. None may be taken for what it is not.
#[test]
fn a_filter_in_another_dialect_is_refused_or_right() {
    let named = |name: &str| {
        let schema = Schema::new(vec![Field::new(name, DataType::Utf8, true), Field::new("ID", DataType::Int32, true)]);
        move |expression: &str| Filter::parse(expression, &bind(&[])).and_then(|f| f.compile(&schema, &principal("claims", &[], None)))
    };
    // Even where a column is called so, the word means who asks, or when, to whoever wrote it.
    for word in [
        "current_user",
        "session_user",
        "user",
        "current_role",
        "current_catalog",
        "current_schema",
        "current_date",
        "current_time",
        "current_timestamp",
        "localtime",
        "localtimestamp",
    ] {
        let of = named(word);
        for expression in
            [format!("{word} = 'ana'"), format!("'ana' = {word}"), format!("{word} IS NOT NULL"), format!("({word}) IN ('ana')")]
        {
            assert!(of(&expression).is_err(), "{expression} became {:?}", of(&expression));
        }
        assert!(of(&format!("\"{word}\" = 'ana'")).is_ok(), "quoted, it is the column");
    }
    let of = named("name");
    for expression in [
        "'****' || substring(name, -3) = '****ana'",
        "substring(name, -3) = 'ana'",
        "substr(name, 2) = 'na'",
        "format('%s', name) = 'ana'",
        "to_utf8(name) = X'61'",
        "sha256(to_utf8(name)) = X'00'",
        "contains(ARRAY['ana'], name)",
        "element_at(ARRAY[name], 1) = 'ana'",
        "any_match(ARRAY[name], n -> n = 'ana')",
        "is_user_in_group('x')",
        "name = U&'\\0061'",
        "name = E'a\\nb'",
        "name = $$ana$$",
        "name LIKE 'a#_%' ESCAPE '#'",
        "name LIKE 'a\\_%'",
        "name ~~ 'a%'",
        "name IN (VALUES 'ana')",
        "name = ALL (SELECT 'ana')",
        "regexp_like(name, '^a')",
        "try(name = 'ana')",
        "if(name = 'ana', true, false)",
        "coalesce(name, 'ana') = 'ana'",
        "id = 1",
        "ID = 1",
        "name = \"ana\"",
        "name <=> 'ana'",
        "name != 'ana' AND",
    ] {
        assert!(of(expression).is_err(), "{expression} became {:?}", of(expression));
    }
    assert_eq!(of("name == 'ana'").unwrap().to_string(), "name = Utf8(\"ana\")", "it means the same everywhere");
    assert_eq!(of("\"ID\" = 1").unwrap().to_string(), "ID = Int32(1)");
    assert_eq!(
        of("name = 'it''s' /* a comment */ AND NAME <> 'x' -- the end").unwrap().to_string(),
        "name = Utf8(\"it's\") AND name != Utf8(\"x\")"
    );
}

#[test]
fn the_load_time_check_finds_what_a_decision_would_stumble_over() {
    let check = |expression: &str, pairs: &[(&str, &str)]| check_filter(expression, &bind(pairs), Some(&columns()));
    assert_eq!(check("region = $region", &[("region", "principal.attributes.region")]), Ok(()));
    assert_eq!(check("age = $age", &[("age", "principal.attributes.age")]), Ok(()));
    assert_eq!(check("region = $region", &[]), Err("`$region` is not bound".into()));
    assert_eq!(check("consent", &[("r", "principal.name")]), Err("`r` is bound, but the row filter has no `$r`".into()));
    assert!(check("region = $r", &[("r", "session.tenant")]).unwrap_err().starts_with("`session.tenant` cannot be bound"));
    assert!(check("region = $r", &[("r", "principal.attributes.")]).is_err());
    assert_eq!(check("branch_no = 1", &[]), Err("there is no column `branch_no`".into()));
    assert_eq!(check_filter("branch_no = 1", &bind(&[]), None), Ok(()));
    assert!(check("1/age = 1", &[]).unwrap_err().contains("because a filter must not be able to fail"));
}

#[test]
fn a_bound_value_that_is_not_of_the_columns_type_is_an_error_without_the_value() {
    let filter = Filter::parse("age = $region", &bind(&[("region", "principal.attributes.region")])).unwrap();
    let schema = Schema::new(vec![Field::new("age", DataType::Int32, true)]);
    assert_eq!(filter.compile(&schema, &principal("claims", &[], Some("eu"))), Err("a bound value is not of type Int32".into()));
}
