//! What a viewer may count on, and what they may not learn.

use super::*;

/// All relations of all schemas, as one viewer sees them, as text.
async fn everything(world: &Arc<World>) -> String {
    let context = session(world);
    let mut text = String::new();
    let catalogs = shape::pg_catalog().keys().map(|name| ("pg_catalog", *name));
    let schemas = shape::information_schema().keys().map(|name| ("information_schema", *name));
    let tables = catalogs.chain(schemas).chain(mesh::names().iter().map(|name| ("mesh", *name)));
    for (schema, table) in tables {
        let answer =
            ask(&context, &format!("SELECT * FROM {schema}.{table}")).await.unwrap_or_else(|fault| panic!("{schema}.{table}: {fault}"));
        text.push_str(&format!("{schema}.{table}: {answer:?}\n"));
    }
    text
}

fn outsider() -> Arc<World> {
    World::build(principal("newcomer", "customer", &[]), snapshot(), Arc::new(Vec::new()), None, None)
}

#[tokio::test]
async fn what_a_viewer_may_not_know_of_is_in_no_table() {
    let seen = everything(&world()).await;
    assert!(seen.contains("claims_enriched") && seen.contains("customer_master"));
    let telling: Vec<_> = seen.lines().filter(|line| line.contains("secret_rates")).collect();
    assert!(telling.iter().all(|line| line.starts_with("mesh.lineage")), "{telling:?}");
    let outside = everything(&outsider()).await;
    assert!(!outside.contains("secret_rates"));
}

#[tokio::test]
async fn a_private_upstream_is_named_to_the_domain_that_declared_it_only() {
    let sql = "SELECT upstream_product FROM mesh.lineage ORDER BY 1";
    assert_eq!(ask(&session(&world()), sql).await.unwrap().column("upstream_product"), ["customer_master", "secret_rates"]);
    assert_eq!(ask(&session(&outsider()), sql).await.unwrap().column("upstream_product"), ["customer_master"]);
}

#[tokio::test]
async fn where_the_data_lies_is_in_no_table() {
    for world in [world(), outsider()] {
        let seen = everything(&world).await;
        assert!(!seen.contains("data/claims") && !seen.contains("data/customer") && !seen.contains("file:"));
    }
}

#[tokio::test]
async fn the_marketplace_shows_restricted_products_and_whether_one_may_read_them() {
    let answer = ask(&session(&world()), "SELECT domain, product, access, readable FROM mesh.products ORDER BY 1, 2").await.unwrap();
    let row = |words: [&str; 4]| words.map(str::to_owned).to_vec();
    assert_eq!(
        answer.rows,
        [row(["claims", "claims_enriched", "public", "true"]), row(["customer", "customer_master", "restricted", "false"])]
    );
}

#[tokio::test]
async fn problems_are_the_domains_own_unless_one_looks_after_the_platform() {
    let sql = "SELECT DISTINCT domain FROM mesh.problems ORDER BY 1";
    let of = async |name: &str, groups: &[&str]| {
        let world = World::build(principal("p", name, groups), snapshot(), Arc::new(Vec::new()), None, None);
        ask(&session(&world), sql).await.unwrap().column("domain").join(" ")
    };
    assert!(!of("claims", &[]).await.contains("customer"));
    assert_eq!(of("customer", &[]).await, "customer");
    assert!(of("claims", &["platform-admin"]).await.contains("customer"));
    assert!(of("claims", &["audit-reader"]).await.contains("customer"));
}

#[tokio::test]
async fn a_relation_has_the_same_number_for_everybody() {
    let admin = {
        let snapshot = snapshot();
        let id = || vec![Field::new("id", DataType::Int64, false)];
        let visible = vec![
            visible_table(&snapshot, "claims", "claims_enriched", id()),
            visible_table(&snapshot, "customer", "customer_master", id()),
            visible_table(&snapshot, "pricing", "secret_rates", id()),
        ];
        World::build(principal("platform_admin", "pricing", &[]), snapshot, Arc::new(visible), None, None)
    };
    let numbered = async |world: &Arc<World>| {
        let sql =
            "SELECT c.oid, n.oid AS nsp FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE relname = 'claims_enriched'";
        ask(&session(world), sql).await.unwrap().rows
    };
    assert_eq!(numbered(&world()).await, numbered(&admin).await);
    assert_eq!(numbered(&world()).await.len(), 1);
    let all = ask(&session(&admin), "SELECT oid FROM pg_class UNION ALL SELECT oid FROM pg_namespace").await.unwrap();
    let distinct: BTreeSet<_> = all.column("oid").into_iter().collect();
    assert_eq!(distinct.len(), all.rows.len(), "two relations share a number");
}

#[tokio::test]
async fn sizes_and_counts_are_unknown() {
    let answer = ask(&session(&world()), "SELECT DISTINCT relpages, reltuples FROM pg_class").await.unwrap();
    assert_eq!(answer.rows, [["0".to_owned(), "-1.0".to_owned()]]);
    let sizes =
        ask(&session(&world()), "SELECT pg_total_relation_size('claims.claims_enriched') AS size, pg_database_size('mesh') AS all").await;
    assert_eq!(sizes.unwrap().rows, [["NULL".to_owned(), "NULL".to_owned()]]);
}

#[tokio::test]
async fn privileges_are_what_the_viewer_sees() {
    let context = session(&world());
    for (sql, gives) in [
        ("has_table_privilege('claims.claims_enriched', 'SELECT')", "true"),
        ("has_table_privilege('claims_enriched', 'INSERT, select')", "true"),
        ("has_table_privilege('claims.claims_enriched', 'INSERT')", "false"),
        ("has_table_privilege('claims_engineer', 'claims.claims_enriched', 'SELECT')", "true"),
        ("has_table_privilege('meshgate', 'claims.claims_enriched', 'SELECT')", "false"),
        ("has_table_privilege(424242, 'SELECT')", "NULL"),
        ("has_column_privilege('claims.claims_enriched', 'amount', 'SELECT')", "true"),
        ("has_schema_privilege('claims', 'USAGE')", "true"),
        ("has_schema_privilege('claims', 'CREATE')", "false"),
        ("has_database_privilege('mesh', 'CONNECT')", "true"),
        ("has_database_privilege('mesh', 'TEMP')", "false"),
        ("pg_has_role('claims', 'MEMBER')", "true"),
        ("pg_has_role('meshgate', 'MEMBER')", "false"),
    ] {
        assert_eq!(ask(&context, &format!("SELECT {sql} AS held")).await.unwrap().column("held"), [gives], "{sql}");
    }
}

#[tokio::test]
async fn a_hidden_relation_and_none_are_the_same() {
    let context = session(&world());
    for sql in ["has_table_privilege('@', 'SELECT')", "'@'::regclass", "has_any_column_privilege('@', 'SELECT')"] {
        let fault = async |name: &str| {
            let fault = ask(&context, &format!("SELECT {}", sql.replace('@', name))).await.unwrap_err();
            fault.lines().next().unwrap().replace(name, "@")
        };
        assert_eq!(fault("pricing.secret_rates").await, fault("pricing.no_such_table").await);
        assert!(fault("pricing.secret_rates").await.contains("relation \"@\" does not exist"));
    }
    let answer = ask(&context, "SELECT to_regclass('pricing.secret_rates') IS NULL AS hidden").await.unwrap();
    assert_eq!(answer.column("hidden"), ["true"]);
}

#[tokio::test]
async fn names_and_numbers_turn_into_each_other() {
    let context = session(&world());
    for (sql, gives) in [
        ("'pg_class'::regclass", "pg_class"),
        ("'claims.claims_enriched'::regclass", "claims_enriched"),
        ("'pg_class'::regclass::oid", "1259"),
        ("1259::regclass::text", "pg_class"),
        ("'mesh.products'::regclass::text", "mesh.products"),
        ("'int4'::regtype", "integer"),
        ("23::regtype::text", "integer"),
        ("'boolrecv'::regproc", "boolrecv"),
        ("to_regtype('numeric')", "numeric"),
        ("'claims'::regnamespace", "claims"),
        ("format_type(1700, 786438)", "numeric(12,2)"),
        ("pg_catalog.quote_ident('Order')", "\"Order\""),
        ("'x'::\"char\"", "x"),
        ("current_user", "claims_engineer"),
        ("current_database()", "mesh"),
        ("current_schema", "claims"),
        ("array_to_string(current_schemas(true), ',')", "pg_catalog,claims,public"),
    ] {
        let answer = ask(&context, &format!("SELECT {sql} AS shown")).await.unwrap_or_else(|fault| panic!("{sql}: {fault}"));
        assert_eq!(answer.column("shown"), [gives], "{sql}");
    }
}

#[tokio::test]
async fn columns_are_named_as_postgresql_names_them() {
    let context = session(&world());
    for (sql, names) in [
        ("SELECT pg_catalog.version()", vec!["version"]),
        ("SELECT 'version'::regproc::oid", vec!["oid"]),
        ("SELECT oid::regclass, 1, 2, relname FROM pg_class", vec!["oid", "?column?", "?column?", "relname"]),
        ("SELECT CASE relkind WHEN 'r' THEN 'table' END FROM pg_class", vec!["case"]),
        ("SELECT (SELECT amname FROM pg_am WHERE pg_am.oid = relam) FROM pg_class", vec!["amname"]),
        ("SELECT * FROM current_schema()", vec!["current_schema"]),
        ("SELECT current_schema, current_user", vec!["current_schema", "current_user"]),
        ("SELECT a.oid, a.* FROM pg_am a", vec!["oid", "oid", "amname", "amhandler", "amtype"]),
        ("SELECT indkey[0], indisunique FROM pg_index", vec!["indkey", "indisunique"]),
    ] {
        assert_eq!(ask(&context, sql).await.unwrap_or_else(|fault| panic!("{sql}: {fault}")).columns, names, "{sql}");
    }
}

#[tokio::test]
async fn a_parameter_of_what_is_folded_away_may_still_be_bound() {
    let sql = "SELECT tablename FROM pg_stats WHERE schemaname = $1 AND tablename LIKE $2";
    let text = |value: &str| ScalarValue::Utf8(Some(value.to_owned()));
    let answer = ask_with(&session(&world()), sql, vec![text("claims"), text("%")]).await.unwrap();
    assert_eq!((answer.columns, answer.rows.len()), (vec!["tablename".to_owned()], 0));
    let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
    rewrite(&mut statement);
    assert!(statement.to_string().contains("$1") && statement.to_string().contains("$2"), "{statement}");
}

#[tokio::test]
async fn two_rows_where_one_is_asked_for_stay_an_error_in_what_a_user_made_up() {
    let sql = "SELECT (SELECT v FROM (VALUES (1), (2)) t (v)) AS one";
    let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
    let before = statement.to_string();
    rewrite(&mut statement);
    assert_eq!(statement.to_string(), before);
    let keyed = ask(&session(&world()), "SELECT (SELECT amname FROM pg_am a WHERE a.oid = c.relam) AS am FROM pg_class c LIMIT 1").await;
    assert_eq!(keyed.unwrap().columns, ["am"]);
}

#[tokio::test]
async fn every_relation_is_read_with_the_types_that_it_declares() {
    let context = session(&world());
    for (name, shape) in shape::pg_catalog() {
        let batches = context.sql(&format!("SELECT * FROM pg_catalog.{name}")).await.unwrap().collect().await.unwrap();
        for batch in batches {
            assert_eq!(batch.schema().fields().len(), shape.schema.fields().len(), "{name}");
            for (field, column) in shape.schema.fields().iter().zip(batch.columns()) {
                assert_eq!(field.data_type(), column.data_type(), "{name}.{}", field.name());
                assert!(field.is_nullable() || column.null_count() == 0, "{name}.{}", field.name());
            }
        }
        let filled = pg_catalog::FILLED.contains(name);
        let count = ask(&context, &format!("SELECT count(*) AS n FROM pg_catalog.{name}")).await.unwrap();
        assert!(filled || count.column("n") == ["0"], "{name} has rows but is taken for empty");
    }
}

#[tokio::test]
async fn an_oid_column_says_that_it_is_one() {
    let frame = session(&world()).sql("SELECT oid, relname, c.relkind AS kind FROM pg_class c").await.unwrap();
    let said: Vec<_> = frame.schema().fields().iter().map(|field| field.metadata().get(PG_TYPE).cloned().unwrap_or_default()).collect();
    assert_eq!(said, ["oid", "name", "char"]);
}

#[tokio::test]
async fn five_thousand_products_are_listed_in_a_blink() {
    let snapshot = snapshot();
    let one = visible_table(&snapshot, "claims", "claims_enriched", claims_columns());
    let visible = (0..5000).map(|number| VisibleTable { name: format!("product_{number}"), ..one.clone() }).collect();
    let world = World::build(principal("claims_engineer", "claims", &[]), snapshot, Arc::new(visible), None, None);
    let began = tokio::time::Instant::now();
    let answer = ask(&session(&world), "SELECT count(*) AS n FROM pg_attribute WHERE attrelid > 16384").await.unwrap();
    assert_eq!(answer.column("n").len(), 1);
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "took {:?} in a debug build", began.elapsed());
}
