use super::*;
use crate::fuzz;

#[test]
fn no_text_is_a_token_but_those_that_were_made() {
    let world = World::new();
    let tokens = [world.ec.token("ec", &sound()), world.ed.token("ed", &sound()), world.rsa.token("rsa", &sound())];
    bolero::check!().with_iterations(3_000).with_max_len(fuzz::INPUT).for_each(fuzz::each(&tokens, |input| {
        let text = fuzz::text(input);
        let verified = world.verify(&text);
        assert_eq!(verified.is_ok(), tokens.contains(&text), "{text}");
    }));
}

#[test]
fn whatever_an_issuer_signs_its_claims_are_bounded() {
    let world = World::new();
    let seeds = [
        sound().to_string(),
        r#"{"iss":"https://idp.example/","aud":["meshgate"],"exp":1.8000001e9,"sub":"a","domain":"d","groups":"g"}"#.to_owned(),
    ];
    bolero::check!().with_iterations(2_000).with_max_len(fuzz::INPUT).for_each(fuzz::each(&seeds, |input| {
        let text = fuzz::text(input);
        let header = r#"{"alg":"EdDSA","kid":"ed"}"#;
        if let Ok(principal) = world.verify(&world.ed.raw(header, &text)) {
            let texts = principal.groups.iter().map(GroupName::as_str).chain([principal.name.as_str()]);
            texts.for_each(|text| assert!(check_text("text", text).is_ok(), "{text:?}"));
            assert!(principal.token.unwrap().expires_at() > now());
        }
        // As a header, and as a key set.
        assert!(world.verify(&world.ed.raw(&text, &sound().to_string())).is_err() || text.contains("EdDSA"));
        let _ = KeySet::parse(input, &[Algorithm::EdDSA]);
    }));
}

#[test]
fn no_key_set_makes_its_reader_panic() {
    let world = World::new();
    let seeds = [key_set(&[world.ec.public("a"), world.ed.public("b")]), key_set(&[world.rsa.public("c")])];
    bolero::check!().with_iterations(3_000).with_max_len(fuzz::INPUT).for_each(fuzz::each(&seeds, |input| {
        if let Ok(keys) = KeySet::parse(input, &[Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA]) {
            assert!(keys.len() <= 3);
        }
    }));
}
