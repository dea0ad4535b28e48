use super::*;
use crate::catalog::{Access, ProductVersion, Status};
use crate::identity::Principal;
use crate::policy::fixtures::*;
use crate::policy::{may_know_of, undefined_table};
use arrow::datatypes::{DataType, Field, SchemaRef};
use std::sync::Arc;

fn reader(extra: &[&str]) -> Principal {
    let mut all = vec!["dp-claims-claims_enriched-reader"];
    all.extend(extra);
    principal("marketing", &all, Some("eu"))
}

fn denial(decision: Decision) -> Denial {
    match decision {
        Decision::Denied(denial) => denial,
        Decision::Permit(permit) => panic!("permitted: {permit:?}"),
    }
}

fn changed(change: impl FnOnce(&mut ProductVersion)) -> ProductVersion {
    let mut product = product();
    change(&mut product);
    product
}

fn masks(permit: &Permit) -> Vec<String> {
    permit.masks().iter().map(|(column, mask)| format!("{column}={mask}")).collect()
}

fn fault(denial: &Denial) -> (&'static str, String, Option<String>) {
    let fault = denial.to_fault("claims", "claims_enriched");
    (fault.sqlstate(), fault.message().to_owned(), fault.hint().map(str::to_owned))
}

#[test]
fn nobody_reads_a_restricted_product_without_a_ground_and_the_hint_says_whom_to_ask() {
    let denied = denial(decision(product(), &principal("marketing", &["dp-claims-other-reader"], Some("eu"))));
    let hint = "Ask claims-data (claims-data@northpeak.example) for access to claims.claims_enriched: its readers are the members of \
                dp-claims-claims_enriched-reader. Stewards of the domain claims are the members of claims-stewards.";
    assert_eq!(fault(&denied), ("42501", "permission denied for table claims_enriched".into(), Some(hint.into())));
}

#[test]
fn a_private_product_and_a_foreign_draft_look_like_a_missing_table() {
    let stranger = principal("marketing", &[], Some("eu"));
    let missing = undefined_table("claims.claims_enriched");
    for product in [changed(|p| p.access = Access::Private), changed(|p| p.status = Status::Draft)] {
        let target =
            crate::catalog::PortRef { product: Arc::new(changed(|p| (p.access, p.status) = (product.access, product.status))), port: 0 };
        let known_to = |principal: &Principal| may_know_of(&request(principal, &target, &mesh(), &domain()));
        assert!(!known_to(&stranger) && known_to(&principal("claims", &[], None)));
        let found = denial(decision(product, &stranger)).to_fault("claims", "claims_enriched");
        assert_eq!((found.sqlstate(), found.message(), found.detail(), found.hint()), ("42P01", missing.message(), None, None));
    }
}

#[test]
fn a_grant_entitles_for_its_purpose_and_overrides_nothing_else() {
    let (ana, own_domain, rules) = (principal("marketing", &[], Some("eu")), domain(), mesh());
    let decided = |product: ProductVersion, purposes: &[Option<&str>], declared: Option<&str>, region: &str| {
        let (schema, id) = (schema_of(&product), product.id.clone());
        let target = crate::catalog::PortRef { product: Arc::new(product), port: 0 };
        let grants: Vec<_> = purposes.iter().map(|purpose| grant(&ana, &id, *purpose)).collect();
        let circumstances = declaring(declared);
        let asked = request(&ana, &target, &rules, &own_domain);
        let request = Request { grants: &grants, circumstances: &circumstances, region: Some(region), ..asked };
        (may_know_of(&request), decide(&request, &schema))
    };
    let private = || changed(|p| p.access = Access::Private);
    let whole = permit(decided(product(), &[None], None, "eu").1);
    let why = whole.reasons()[0].to_string();
    assert!(why.starts_with("the grant ") && why.ends_with(", approved by steward, holds until 2026-11-21 12:00:00 UTC"), "{why}");
    assert!(!whole.masks().is_empty(), "masks hold as for any reader");
    permit(decided(private(), &[Some("audit"), Some("fraud")], Some("fraud"), "eu").1);
    for declared in [None, Some("fun")] {
        let (known, decision) = decided(private(), &[Some("fraud")], declared, "eu");
        let (sqlstate, _, hint) = fault(&denial(decision));
        assert!(known && sqlstate == "42501" && hint.unwrap().ends_with("SET meshgate.purpose = 'fraud'."));
    }
    let (known, draft) = decided(changed(|p| p.status = Status::Draft), &[None, Some("fraud")], Some("fraud"), "eu");
    assert!(!known && !denial(draft).visible, "a draft is its own domain's");
    denial(decided(changed(|p| p.purposes = vec!["fraud".into()]), &[None], Some("fun"), "eu").1);
    denial(decided(changed(|p| p.residency = vec!["eu".into()]), &[None], None, "us").1);
    assert!(!decided(private(), &[], None, "eu").0);
}

#[test]
fn the_own_domain_the_reader_group_and_everybody_read_as_access_says() {
    let own = principal("claims", &[], None);
    let stranger = principal("marketing", &[], None);
    permit(decision(changed(|p| p.access = Access::Private), &own));
    permit(decision(changed(|p| p.status = Status::Draft), &own));
    permit(decision(changed(|p| p.access = Access::Private), &reader(&[])));
    permit(decision(changed(|p| p.access = Access::Public), &stranger));
    permit(decision(changed(|p| p.status = Status::Deprecated), &reader(&[])));
    denial(decision(
        changed(|p| {
            p.access = Access::Public;
            p.status = Status::Draft;
        }),
        &stranger,
    ));
    denial(decision(changed(|p| p.status = Status::Draft), &reader(&[])));
}

#[test]
fn a_product_with_purposes_needs_one_of_them_declared_even_from_its_own_domain() {
    let product = || changed(|p| p.purposes = vec!["fraud_investigation".into(), "audit".into()]);
    for reader in [reader(&[]), principal("claims", &[], Some("eu"))] {
        for purpose in [None, Some(""), Some("curiosity"), Some("FRAUD_INVESTIGATION")] {
            let denied = denial(decision_for(product(), &reader, Some("eu"), purpose));
            let hint = fault(&denied).2.unwrap();
            assert!(hint.ends_with("Declare it with SET meshgate.purpose = 'fraud_investigation'."), "{hint}");
        }
        permit(decision_for(product(), &reader, Some("eu"), Some("audit")));
    }
}

#[test]
fn residency_holds_for_the_gateway_and_for_the_principal_and_an_unknown_region_is_in_none() {
    let product = || changed(|p| p.residency = vec!["eu".into(), "ch".into()]);
    let somewhere = |region| principal("claims", &[], region);
    permit(decision_for(product(), &somewhere(Some("ch")), Some("eu"), None));
    for (region, gateway) in [(Some("us"), Some("eu")), (Some("eu"), Some("us")), (None, Some("eu")), (Some("eu"), None), (None, None)] {
        assert!(denial(decision_for(product(), &somewhere(region), gateway, None)).visible);
    }
}

#[test]
fn a_product_without_any_rule_for_the_reader_is_whole() {
    let product = changed(|p| p.ports[0].columns.as_mut().unwrap().iter_mut().for_each(|c| c.classification = None));
    let schema = schema_of(&product);
    let permit = permit(decision(product, &reader(&[])));
    assert!(permit.is_whole() && Arc::ptr_eq(&permit.governed_schema(&schema), &schema));
}

#[test]
fn the_nearest_classification_rule_holds_and_falls_away_for_its_own_clear_groups_only() {
    assert_eq!(masks(&permit(decision(product(), &reader(&[])))), ["national_id=pseudonym", "phone=replace-with-null"]);
    assert_eq!(masks(&permit(decision(product(), &reader(&["pii-clear"])))), ["phone=replace-with-null"]);
}

#[test]
fn a_manifest_mask_tightens_the_classification_and_its_except_groups_loosen_only_itself() {
    let product = || {
        changed(|p| {
            p.masks = vec![
                at(column_mask("national_id", "sha-256-query-local", &["claims-clear"]), 30),
                at(column_mask("narrative", "mask-alphanum", &["claims-clear"]), 31),
                at(column_mask("phone", "constant:hidden", &[]), 32),
            ];
        })
    };
    let all = permit(decision(product(), &reader(&[])));
    assert_eq!(masks(&all), ["narrative=mask-alphanum", "national_id=sha-256-query-local", "phone=replace-with-null"]);
    let clear = permit(decision(product(), &reader(&["claims-clear"])));
    assert_eq!(masks(&clear), ["national_id=pseudonym", "phone=replace-with-null"]);
    let said: Vec<String> = all.reasons().iter().map(ToString::to_string).collect();
    assert!(said.contains(&"the column narrative is masked by mask-alphanum (claims/claims_enriched/v1.yaml:31)".to_owned()), "{said:?}");
    assert!(!all.same_view(&clear) && all.same_view(&permit(decision(product(), &reader(&["other"])))));
}

#[test]
fn masks_that_do_not_compare_give_null() {
    let product = changed(|p| p.masks = vec![at(column_mask("national_id", "show-last-4", &[]), 30)]);
    assert_eq!(masks(&permit(decision(product, &reader(&[])))), ["national_id=replace-with-null", "phone=replace-with-null"]);
}

#[test]
fn what_cannot_be_decided_is_denied_with_the_reason_for_the_audit() {
    let cases: [(ProductVersion, &str); 6] = [
        (changed(|p| p.masks = vec![at(column_mask("ssn", "email", &[]), 30)]), "the column ssn, which the port does not have"),
        (changed(|p| p.masks = vec![at(column_mask("amount", "email", &[]), 30)]), "does not take the type Decimal128(12, 2)"),
        (
            changed(|p| p.ports[0].columns.as_mut().unwrap()[0].classification = Some("Secret".into())),
            "does not know the classification Secret",
        ),
        (changed(|p| p.row_filters = vec![at(filter_rule("amount / 0 > 1", &[], &[]), 40)]), "cannot stand in a row filter"),
        (changed(|p| p.row_filters = vec![at(filter_rule("branch = 1", &[], &[]), 40)]), "there is no column `branch`"),
        (
            changed(|p| p.row_filters = vec![at(filter_rule("region = $team", &[("team", "principal.attributes.team")], &[]), 40)]),
            "the principal has no attribute `team`",
        ),
    ];
    for (product, why) in cases {
        let denied = denial(decision(product, &reader(&[])));
        assert!(denied.visible && denied.reasons[0].text.contains(why), "{:?}", denied.reasons);
        assert!(denied.reasons[0].origin.is_some());
        let (sqlstate, message, hint) = fault(&denied);
        assert_eq!((sqlstate, message.as_str()), ("42501", "permission denied for table claims_enriched"));
        assert!(!hint.unwrap().contains(why));
    }
}

#[test]
fn two_columns_of_one_name_are_denied() {
    let product = Arc::new(product());
    let field = |name: &str| Field::new(name, DataType::Utf8, true);
    let schema: SchemaRef = Arc::new(Schema::new(vec![field("national_id"), field("national_id"), field("phone")]));
    let target = crate::catalog::PortRef { product, port: 0 };
    let (mesh, domain, principal) = (mesh(), domain(), reader(&[]));
    assert!(denial(decide(&request(&principal, &target, &mesh, &domain), &schema)).reasons[0].text.contains("exists twice"));
}

#[test]
fn all_filters_hold_together_and_except_groups_drop_only_their_own() {
    let product = || {
        changed(|p| {
            p.row_filters = vec![
                at(filter_rule("region = $region", &[("region", "principal.attributes.region")], &["claims-all"]), 40),
                at(filter_rule("consent IS TRUE", &[], &[]), 41),
            ];
        })
    };
    let both = permit(decision(product(), &reader(&[])));
    assert_eq!(both.filter().unwrap().to_string(), r#"region = Utf8("eu") AND consent IS TRUE"#);
    assert_eq!(both.filter_texts(), ["region = $region", "consent IS TRUE"]);
    let one = permit(decision(product(), &reader(&["claims-all"])));
    assert_eq!(one.filter().unwrap().to_string(), "consent IS TRUE");
    assert!(!both.same_view(&one));
    let elsewhere = principal("marketing", &["dp-claims-claims_enriched-reader"], Some("us"));
    assert!(!both.same_view(&permit(decision(product(), &elsewhere))), "a bound value is part of the view");
}

#[test]
fn a_governed_schema_has_no_metadata_no_dictionaries_and_admits_the_nulls_of_its_masks() {
    let permit = permit(decision(product(), &reader(&[])));
    let dictionary = DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8));
    let secret = [("note".to_owned(), "hidden".to_owned())];
    let schema: SchemaRef = Arc::new(Schema::new_with_metadata(
        vec![
            Field::new("region", dictionary.clone(), false).with_metadata(secret.clone().into()),
            Field::new("phone", DataType::Utf8, false),
            Field::new("tags", DataType::new_list(dictionary, false), true),
        ],
        secret.into(),
    ));
    let governed = permit.governed_schema(&schema);
    assert_eq!(
        governed.as_ref(),
        &Schema::new(vec![
            Field::new("region", DataType::Utf8, false),
            Field::new("phone", DataType::Utf8, true),
            Field::new("tags", DataType::new_list(DataType::Utf8, false), true),
        ])
    );
}
