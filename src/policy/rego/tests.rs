use std::sync::Arc;

use super::{PolicyFile, Rego, Whose};
use crate::catalog::{Access, PortRef, ProductVersion, Status};
use crate::identity::Principal;
use crate::policy::fixtures::{at, column_mask, domain, filter_rule, mesh, principal, product, request, schema_of};
use crate::policy::{Decision, Denial, Permit, Request, decide, entitle, may_know_of};

const READER: &str = "dp-claims-claims_enriched-reader";

/// Whose file it is, by its package.
fn whose(package: &str) -> Whose {
    let id = product().id;
    match package {
        "mesh.global" => Whose::Mesh,
        "mesh.domain.claims" => Whose::Domain(id.domain),
        _ => Whose::Product(id),
    }
}

const MESH: &str = "mesh.global";
const DOMAIN: &str = "mesh.domain.claims";
const PRODUCT: &str = "mesh.product.claims.claims_enriched";

/// Policies, each of a package and a body.
fn policies(bodies: &[(&str, &str)]) -> (Rego, Vec<String>) {
    let file = |(package, body): &(&str, &str)| PolicyFile {
        whose: whose(package),
        file: format!("{package}.rego"),
        text: Ok(format!("package {package}\n{body}\n").into()),
    };
    let (rego, problems) = Rego::load(bodies.iter().map(file).collect(), &Rego::default());
    (rego, problems.iter().map(ToString::to_string).collect())
}

/// The decision about `claims.claims_enriched` under these policies.
fn asked(bodies: &[(&str, &str)], product: ProductVersion, who: &Principal) -> Decision {
    let (rego, problems) = policies(bodies);
    assert!(problems.is_empty(), "{problems:?}");
    with(&rego, product, who)
}

fn with(rego: &Rego, product: ProductVersion, who: &Principal) -> Decision {
    let schema = schema_of(&product);
    let target = PortRef { product: Arc::new(product), port: 0 };
    decide(&Request { rego, ..request(who, &target, &mesh(), &domain()) }, &schema)
}

fn permit(decision: Decision) -> Permit {
    match decision {
        Decision::Permit(permit) => permit,
        Decision::Denied(denial) => panic!("denied: {:?}", denial.reasons),
    }
}

fn denial(decision: Decision) -> Denial {
    match decision {
        Decision::Permit(_) => panic!("permitted"),
        Decision::Denied(denial) => denial,
    }
}

/// Why a reader is denied, as the audit has it.
fn why(bodies: &[(&str, &str)]) -> String {
    let denial = denial(asked(bodies, product(), &principal("pricing", &[READER], Some("eu"))));
    assert!(denial.visible && denial.hint.is_some());
    denial.reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What is wrong with a file at load.
fn mistake(package: &str, body: &str) -> String {
    let (rego, problems) = policies(&[(package, body)]);
    let reader = principal("claims", &[READER], Some("eu"));
    assert!(matches!(with(&rego, product(), &reader), Decision::Denied(_)), "{package} {body}: what it guards is closed");
    problems.join("\n")
}

#[test]
fn a_deny_of_any_level_denies_even_the_owner() {
    for package in [MESH, DOMAIN, PRODUCT] {
        let body = "deny contains \"not on my watch\" if input.principal.name == \"ana\"\ndeny contains \"never\" if false";
        let denied = denial(asked(&[(package, body)], product(), &principal("claims", &[], None)));
        assert_eq!(denied.reasons[0].to_string(), format!("the policy {package} denies: not on my watch ({package}.rego:2)"));
        assert!(denied.visible);
        let mut bea = principal("claims", &[], None);
        bea.name = crate::id::PrincipalName::new("bea");
        permit(asked(&[(package, body)], product(), &bea));
    }
}

#[test]
fn allow_of_the_product_or_the_domain_entitles_and_of_the_mesh_does_not() {
    let body = "default allow := false\nallow if \"auditors\" in input.principal.groups";
    let (stranger, auditor) = (principal("pricing", &[], None), principal("pricing", &["auditors"], None));
    for (package, entitles) in [(MESH, false), (DOMAIN, true), (PRODUCT, true)] {
        for access in [Access::Restricted, Access::Private] {
            let product = || ProductVersion { access, ..product() };
            let (rego, _) = policies(&[(package, body)]);
            let target = PortRef { product: Arc::new(product()), port: 0 };
            let (mesh, domain) = (mesh(), domain());
            let about = |who| Request { rego: &rego, ..request(who, &target, &mesh, &domain) };
            assert_eq!(matches!(with(&rego, product(), &auditor), Decision::Permit(_)), entitles, "{package}");
            assert_eq!(entitle(&about(&auditor)).is_ok(), entitles, "{package}");
            assert_eq!(may_know_of(&about(&auditor)), entitles || access == Access::Restricted);
            assert_eq!(denial(with(&rego, product(), &stranger)).visible, access == Access::Restricted);
            assert_eq!(may_know_of(&about(&stranger)), access == Access::Restricted, "{package}");
        }
        let draft = ProductVersion { status: Status::Draft, ..product() };
        denial(asked(&[(package, body)], draft, &auditor));
    }
}

#[test]
fn filters_are_anded_and_masks_join_in_the_lattice_whoever_asks_for_them() {
    let mut product = product();
    product.row_filters = vec![at(filter_rule("consent", &[], &[]), 3)];
    product.masks = vec![at(column_mask("narrative", "show-last-4", &[]), 4)];
    let bodies = [
        (MESH, "row_filters contains {\"expression\": \"amount < 10\"}"),
        (
            DOMAIN,
            "row_filters contains {\"expression\": \"region = $r\", \"bind\": {\"r\": \"principal.attributes.region\"}} if true\ncolumn_masks contains {\"column\": \"narrative\", \"mask\": \"mask-alphanum\"}",
        ),
        (
            PRODUCT,
            "column_masks contains {\"column\": c.name, \"mask\": \"show-first-4\"} if {\n some c in input.columns\n c.name in {\"region\", \"nothing\"}\n}",
        ),
    ];
    let permit = permit(asked(&bodies, product, &principal("pricing", &[READER], Some("e'u"))));
    assert_eq!(permit.filter_texts(), ["consent", "amount < 10", "region = $r"]);
    let filter = permit.filter().unwrap().to_string();
    assert!(filter.contains("consent AND amount < ") && filter.contains("region = Utf8(\"e'u\")"), "{filter}");
    let masks: Vec<String> = permit.masks().iter().map(|(column, mask)| format!("{column}={mask}")).collect();
    assert_eq!(masks, ["narrative=mask-alphanum", "national_id=pseudonym", "phone=replace-with-null", "region=show-first-4"]);
    let reasons: Vec<String> = permit.reasons().iter().map(ToString::to_string).collect();
    assert!(reasons.contains(&format!("the column region is masked by show-first-4 ({PRODUCT}.rego:2)")), "{reasons:?}");
}

#[test]
fn a_policy_is_told_what_the_contract_says_and_no_more() {
    let wanted = serde_json::json!({
        "principal": {"name": "ana", "domain": "pricing", "groups": [READER], "attributes": {"region": "eu"}},
        "action": "read",
        "product": {"domain": "claims", "name": "claims_enriched", "version": "1.2.0", "tags": [], "tier": 1, "access": "restricted",
            "region": "eu", "owner": {"team": "claims-data", "contact": "claims-data@northpeak.example"}},
        "port": "sql",
        "purpose": null,
        "context": {"protocol": "postgres", "application_name": null},
    });
    let column = "{\"name\": \"national_id\", \"type\": \"Utf8View\", \"classification\": \"PII.NationalID\"}";
    let body = format!(
        "seen if object.remove(input, [\"columns\"]) == {wanted}\ndeny contains \"other input\" if not seen\ndeny contains \"other columns\" if not {column} in input.columns"
    );
    permit(asked(&[(PRODUCT, &body)], product(), &principal("pricing", &[READER], Some("eu"))));
}

#[test]
fn what_fails_or_cannot_be_used_denies_and_says_where() {
    for (body, said) in [
        (
            "deny contains \"x\" if to_number(\"abc\") > 1",
            "`deny` of the policy mesh.global failed: could not parse string as number (mesh.global.rego:2)",
        ),
        (
            "deny contains \"x\" if count(1) == 1\ndeny contains \"y\" if false",
            "`deny` of the policy mesh.global failed: `count` requires array/object/set/string argument. Got `1`. (mesh.global.rego:2)",
        ),
        (
            "default deny := set()\ndeny := {\"x\"} if 1 / (count(input.columns) - 7) == 1",
            "`deny` of the policy mesh.global failed: divide by zero (mesh.global.rego:3)",
        ),
        (
            "f(x) := to_number(x)\nf(x) := 1 if x == \"abc\"\ndeny contains \"x\" if f(\"abc\") == 2",
            "`deny` of the policy mesh.global failed: could not parse string as number (mesh.global.rego:2)",
        ),
        (
            "deny := {\"x\"} if false",
            "`deny` of the policy mesh.global cannot be used: it is undefined: give an empty set where there is nothing to say (mesh.global.rego:2)",
        ),
        ("deny := true", "`deny` of the policy mesh.global cannot be used: it is a boolean, and must be a set (mesh.global.rego:2)"),
        ("deny contains 1", "`deny` of the policy mesh.global cannot be used: a number stands where a text must (mesh.global.rego:2)"),
        (
            "row_filters contains {\"expression\": \"regoin = 'eu'\"}",
            "the row filter regoin = 'eu' cannot be applied: there is no column `regoin` (mesh.global.rego:2)",
        ),
        (
            "row_filters contains {\"expression\": \"region = $r\"}",
            "the row filter region = $r cannot be applied: `$r` is not bound (mesh.global.rego:2)",
        ),
        (
            "row_filters contains {\"expression\": \"region = $r\", \"bind\": {\"r\": \"principal.attributes.team\"}}",
            "the row filter region = $r cannot be applied: the principal has no attribute `team` (mesh.global.rego:2)",
        ),
        (
            "row_filters contains {\"expression\": \"consent\", \"identity\": \"bob\"}",
            "`row_filters` of the policy mesh.global cannot be used: a member has the key `identity`, and there are expression and bind only (mesh.global.rego:2)",
        ),
        ("column_masks contains {\"column\": \"narrative\", \"mask\": \"show-last-5\"}", "unknown mask `show-last-5`"),
        (
            "column_masks contains {\"column\": \"nobody\", \"mask\": \"pseudonym\"}",
            "the mask pseudonym is for the column nobody, which the port does not have (mesh.global.rego:2)",
        ),
        (
            "column_masks contains {\"column\": \"consent\", \"mask\": \"pseudonym\"}",
            "the mask pseudonym does not take the type Boolean of the column consent (mesh.global.rego:2)",
        ),
        ("column_masks contains {\"column\": \"consent\"}", "a member has no `mask`"),
        ("column_masks := \"all\"", "it is a text, and must be a set"),
        ("row_filters := {\"expression\": \"consent\"}", "it is an object, and must be a set"),
        ("a := 1 if true\na := 2 if true\ndeny contains \"x\" if a == 3", "rule conflicts with rule at"),
        (
            "deny contains \"x\" if { some i in input.columns; some j in input.columns; some k in input.columns; some l in input.columns; some m in input.columns; some n in input.columns; i.name == j.name; k.name == l.name; m.name == n.name; some o in input.columns; some p in input.columns; o.name == \"z\"; p.name == \"z\"}",
            "execution exceeded time limit",
        ),
    ] {
        let why = why(&[(MESH, body)]);
        assert!(why.contains(said), "{body}\n  {why}\n  {said}");
    }
    let undefined = asked(&[(PRODUCT, "allow := true if false")], product(), &principal("pricing", &[], None));
    assert!(denial(undefined).unentitled, "an allow that is undefined allows nothing");
    let wrong = asked(&[(PRODUCT, "allow := \"yes\"")], product(), &principal("pricing", &[], None));
    let reasons = denial(wrong).reasons;
    assert_eq!(reasons[1].text, format!("`allow` of the policy {PRODUCT} cannot be used: it is a text, and must be true or false"));
}

#[test]
fn what_a_policy_may_not_do_is_refused_at_load_with_its_place() {
    let mut differences = Vec::new();
    for (body, said) in [
        (
            "deny contains \"x\" if time.now_ns() > 0",
            "mesh.global.rego:2:22: error: the function `time.now_ns` cannot be called in a policy: every product is denied until it is mended",
        ),
        (
            "deny contains \"x\" if http.send({\"url\": \"http://127.0.0.1\"}).status_code == 1",
            "2:22: error: the function `http.send` cannot be called",
        ),
        ("deny contains \"x\" if rand.intn(\"a\", 2) == 1", "the function `rand.intn` cannot"),
        ("deny contains \"x\" if uuid.rfc4122(\"a\") == \"\"", "the function `uuid.rfc4122` cannot"),
        ("deny contains \"x\" if opa.runtime().env.HOME == \"\"", "the function `opa.runtime` cannot"),
        ("deny contains \"x\" if net.lookup_ip_addr(\"a\")", "the function `net.lookup_ip_addr` cannot"),
        ("deny contains \"x\" if print(\"a\")", "the function `print` cannot"),
        ("deny contains \"x\" if trace(\"a\")", "the function `trace` cannot"),
        ("deny contains \"x\" if numbers.range(1, 1000000000)[_] == 1", "the function `numbers.range` cannot"),
        ("a := \"aaaa\"\nb := replace(a, \"a\", a)\ndeny contains \"x\" if b == \"\"", "the function `replace` cannot"),
        ("a := [1]\nb := array.concat(a, a)\ndeny contains \"x\" if b == []", "the function `array.concat` cannot"),
        ("deny contains \"x\" if concat(input.purpose, [\"a\", \"b\"]) == \"\"", "the function `concat` cannot"),
        ("a := 9\nb := a * a\ndeny contains \"x\" if b == 1", "one side of `*` has to be a number that is written out"),
        (
            "deny contains \"x\" if startwith(\"a\", \"b\")",
            "the function `startwith` cannot be called in a policy; did you mean `startswith`?",
        ),
        (
            "deny contains \"x\" if data.mesh.domain.claims.deny",
            "2:22: error: a policy reads `input` and its own package `mesh.global`, not `data.mesh.domain.claims.deny`",
        ),
        ("deny contains \"x\" if data.mesh[\"domain\"].claims.deny", "not `data.mesh.domain.claims.deny`"),
        ("deny contains \"x\" if { some d in [\"domain\"]; data.mesh[d] }", "not `data.mesh`"),
        ("deny contains \"x\" if data.mesh.global[input.action]", "not `data.mesh.global`"),
        ("deny contains \"x\" if data[_]", "not `data`"),
        ("deny contains \"x\" if count(data) == 0", "not `data`"),
        ("import data.mesh.product\ndeny contains \"x\" if product.a", "2:8: error: a policy reads"),
        ("deny contains \"x\" if input.action == \"z\" with input.action as \"z\"", "`with` cannot stand in a policy"),
        ("f(x) := f(x + 1)\ndeny contains \"x\" if f(1)", "depend on each other in a circle"),
        ("f(x) := g(x)\ng(x) := data.mesh.global.f(x)\ndeny contains \"x\" if f(1)", "depend on each other in a circle"),
        ("a if b\nb if a\ndeny contains \"x\" if a", "depend on each other in a circle"),
        ("deny(x) := x", "it can be neither a function nor an object of other rules"),
        ("deny.x := 1", "it can be neither a function nor an object of other rules"),
        ("row_filter contains {\"expression\": \"consent\"}", "nothing reads `row_filter`: did you mean `row_filters`?"),
        ("deny contains \"x\" if y == 1", "use of undefined variable `y` is unsafe"),
        ("deny contains \"x\" { true }", "mesh.global.rego:2:"),
        ("deny contains \"x\" if {", "mesh.global.rego:"),
    ] {
        let found = mistake(MESH, body);
        if !(found.starts_with("mesh.global.rego:") && found.contains(said)) {
            differences.push(format!("{body}\n  {found}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn what_makes_much_of_little_is_not_to_be_had() {
    let all = ["replace", "regex.replace", "concat", "array.concat", "json.marshal", "json.unmarshal", "hex.encode", "base64.encode"];
    for function in all.into_iter().chain(["base64url.encode", "format_int", "product", "glob.quote_meta", "numbers.range", "sprintf"]) {
        let found = mistake(MESH, &format!("deny contains \"x\" if {function}(input.purpose)"));
        assert!(found.contains(&format!("the function `{function}` cannot")), "{function}: {found}");
    }
    // Neither does a number that is written short.
    for body in ["deny contains \"x\" if to_number(\"1e999999999\") == 1", "deny contains \"x\" if 1e999999999 == 1"] {
        let began = std::time::Instant::now();
        let file = PolicyFile { whose: whose(MESH), file: "a.rego".into(), text: Ok(format!("package {MESH}\n{body}\n").into()) };
        let (rego, _) = Rego::load(vec![file], &Rego::default());
        let _ = with(&rego, product(), &principal("claims", &[], None));
        assert!(began.elapsed() < std::time::Duration::from_secs(1), "{body}");
    }
}

#[test]
fn a_file_belongs_to_its_own_package() {
    for (mine, text) in [
        (MESH, "package mesh.domain.claims\n"),
        (DOMAIN, "package mesh.global\ndeny := set()\n"),
        (DOMAIN, "package mesh.domain.pricing\n"),
        (DOMAIN, "package mesh.domain.claims.more\n"),
        (DOMAIN, "package mesh[\"global\"]\n"),
        (PRODUCT, "package mesh.product.claims.other\n"),
        (PRODUCT, "package mesh\n"),
    ] {
        let file = PolicyFile { whose: whose(mine), file: "a.rego".into(), text: Ok(text.into()) };
        let (rego, problems) = Rego::load(vec![file], &Rego::default());
        assert!(problems[0].to_string().contains("and files of this folder belong to the package"), "{text} {problems:?}");
        assert!(matches!(with(&rego, product(), &principal("claims", &[], None)), Decision::Denied(_)));
    }
}

#[test]
fn a_level_that_does_not_load_closes_what_it_guards_and_nothing_else() {
    let owner = principal("claims", &[], None);
    for package in [MESH, DOMAIN, PRODUCT] {
        let files = [
            PolicyFile { whose: whose(package), file: "a.rego".into(), text: Ok(format!("package {package}\n").into()) },
            PolicyFile { whose: whose(package), file: "b.rego".into(), text: Err("the text is not UTF-8 from here".into()) },
        ];
        let (rego, problems) = Rego::load(files.to_vec(), &Rego::default());
        assert_eq!(problems.len(), 1);
        let denied = denial(with(&rego, product(), &owner));
        assert_eq!(denied.reasons[0].to_string(), "a policy cannot be used: the text is not UTF-8 from here (b.rego)");
        let mut other = product();
        other.id.domain = crate::id::DomainName::new("other").unwrap();
        let about_other = with(&rego, other, &principal("other", &[], None));
        assert_eq!(matches!(about_other, Decision::Denied(_)), package == MESH);
        // Mended, it is compiled again; the others are not.
        let (mended, problems) = Rego::load(files[..1].to_vec(), &rego);
        assert!(problems.is_empty());
        permit(with(&mended, product(), &owner));
        let (same, _) = Rego::load(files[..1].to_vec(), &mended);
        let first = |rego: &Rego| rego.mesh.as_ref().or(rego.domains.values().next()).or(rego.products.values().next()).map(Arc::clone);
        assert!(Arc::ptr_eq(&first(&same).unwrap(), &first(&mended).unwrap()));
    }
}

#[test]
fn sizes_are_bounded() {
    let large = format!("# {}\n", "x".repeat(100)).repeat(700);
    assert!(mistake(MESH, &large).contains("the file is larger than 64 KiB"));
    let many = (0..33).map(|n| PolicyFile { whose: Whose::Mesh, file: format!("{n}.rego"), text: Ok("package mesh.global\n".into()) });
    let (_, problems) = Rego::load(many.collect(), &Rego::default());
    assert!(problems[0].message.contains("the folder has 33 files, and 32 is the most"), "{problems:?}");
    let sum = vec!["1"; 3000].join("\n+ ");
    assert!(mistake(MESH, &format!("deny contains \"x\" if 0 == {sum}")).contains("the policy nests"));
}

#[test]
fn the_deepest_policy_that_loads_runs_on_the_stack_that_it_is_given() {
    let sum = vec!["1"; 900].join("\n+ ");
    let statements = "some c in [1]\n".repeat(200);
    for body in
        [format!("deny contains \"x\" if 0 == {sum}"), format!("deny contains \"x\" if {{\n{}1 == 2\n}}", statements.replace('c', "_"))]
    {
        let run = move || permit(asked(&[(MESH, &body)], product(), &principal("claims", &[], None))).reasons().len();
        std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap().join().unwrap();
    }
}

#[test]
fn answers_in_the_shapes_of_trino_are_understood_or_refused() {
    let index = |name: &str| product().ports[0].columns.as_ref().unwrap().iter().position(|column| column.name == name).unwrap();
    let masked = |expression: &str| {
        let body = format!(
            "batchColumnMasks contains {{\"index\": {}, \"viewExpression\": {{\"expression\": {expression:?}}}}}",
            index("narrative")
        );
        match asked(&[(PRODUCT, &body)], product(), &principal("claims", &[], None)) {
            Decision::Permit(permit) => Ok(permit.masks()["narrative"].to_string()),
            Decision::Denied(denial) => Err(denial.reasons[0].to_string()),
        }
    };
    for (expression, mask) in [
        ("NULL", "replace-with-null"),
        ("CAST(NULL AS varchar)", "replace-with-null"),
        ("'****'", "constant:****"),
        ("('n/a')", "constant:n/a"),
        ("-1.5", "constant:-1.5"),
        ("show_last_4(narrative)", "show-last-4"),
        ("\"mask-alphanum\"(\"narrative\")", "mask-alphanum"),
        ("PSEUDONYM(Narrative)", "pseudonym"),
    ] {
        assert_eq!(masked(expression), Ok(mask.to_owned()), "{expression}");
    }
    for expression in [
        "'****' || substring(narrative, -3)",
        "narrative",
        "show_last_4(region)",
        "show_last_4(\"Narrative\")",
        "show_last_4(narrative, 3)",
        "show_last_4(narrative) OVER ()",
        "sha256(to_utf8(narrative))",
        "CAST('1' AS bigint)",
        "(SELECT 1)",
        "current_user",
        "NULL -- and more",
        "NULL; DROP TABLE x",
        "round(narrative, 100)",
        "constant(narrative)",
        "CASE WHEN true THEN narrative END",
        "",
    ] {
        let why = masked(expression);
        // A comment says nothing.
        assert!(why.is_err() || expression == "NULL -- and more", "{expression} {why:?}");
    }
    assert!(masked("upper(narrative)").unwrap_err().contains("of the column narrative is none of the masks"));
    let filtered = permit(asked(
        &[(PRODUCT, "rowFilters contains {\"expression\": \"region = 'eu' and consent\"}")],
        product(),
        &principal("claims", &[], None),
    ));
    assert_eq!(filtered.filter_texts(), ["region = 'eu' and consent"]);
    for (body, said) in [
        ("rowFilters contains {\"expression\": \"consent\", \"identity\": \"admin\"}", "cannot be run under another `identity`"),
        (
            "rowFilters contains {\"expression\": \"consent --\"}\nrowFilters contains {\"expression\": \"region = current_user\"}",
            "region = current_user",
        ),
        ("batchColumnMasks := [{\"index\": 99, \"viewExpression\": {\"expression\": \"NULL\"}}]", "not a place in `input.columns`"),
        ("batchColumnMasks := [{\"index\": 0.5, \"viewExpression\": {\"expression\": \"NULL\"}}]", "not a place in `input.columns`"),
        ("batchColumnMasks := [{\"index\": 0, \"viewExpression\": {\"expression\": \"NULL\", \"identity\": \"x\"}}]", "another `identity`"),
        ("columnMask := {\"expression\": \"NULL\"}", "it is an object, and must be a set"),
    ] {
        let why = why(&[(PRODUCT, body)]);
        assert!(why.contains(said), "{body}\n  {why}");
    }
}
