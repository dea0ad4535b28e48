//! One forged token each: what is refused, and why.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::json;

use super::*;
use crate::idp::{AUDIENCE, ISSUER, Signer, claims, key_set, unsigned};

#[path = "../../fuzz/jwt.rs"]
mod fuzz;

const NOW: i64 = 1_800_000_000;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(NOW, 0).unwrap()
}

fn settings(jwks: &Path) -> JwtIssuer {
    JwtIssuer {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        jwks: KeySource::File(jwks.to_owned()),
        name: "sub".to_owned(),
        prefix: String::new(),
        domain: "domain".to_owned(),
        groups: "groups".to_owned(),
        attributes: vec!["region".to_owned(), "level".to_owned()],
        algorithms: vec![Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA],
        leeway: Duration::from_secs(30),
    }
}

/// An issuer with a key of each type, and those who believe it.
struct World {
    folder: tempfile::TempDir,
    ec: Signer,
    ed: Signer,
    rsa: Signer,
    trust: Trust,
}

impl World {
    fn new() -> Self {
        let (ec, ed, rsa) = (Signer::es256(), Signer::ed25519(), Signer::rs256());
        let folder = tempfile::tempdir().unwrap();
        let jwks = folder.path().join("jwks.json");
        std::fs::write(&jwks, key_set(&[ec.public("ec"), ed.public("ed"), rsa.public("rsa")])).unwrap();
        let trust = Trust::open(&[settings(&jwks)], Box::new(|domain| domain.as_str() != "nowhere")).unwrap();
        Self { folder, ec, ed, rsa, trust }
    }

    fn reload(&self) -> Result<bool, JwksError> {
        let issuer = &self.trust.issuers()[0];
        issuer.reload(issuer.file().unwrap())
    }

    fn verify(&self, token: &str) -> Result<Principal, Refusal> {
        self.trust.verify(token, now())
    }

    fn refused(&self, token: &str) -> Refusal {
        self.verify(token).expect_err("it is refused")
    }

    /// Why sound claims with one other value are refused; `null` takes the claim away.
    fn with(&self, claim: &str, value: Value) -> Result<Principal, Refusal> {
        let mut all = sound();
        match value {
            Value::Null => drop(all.as_object_mut().unwrap().remove(claim)),
            value => all[claim] = value,
        }
        self.verify(&self.ec.token("ec", &all))
    }

    /// Why a token with this header is refused, though a key of the issuer has signed it.
    fn header(&self, header: &Value) -> Refusal {
        self.refused(&self.ec.raw(&header.to_string(), &sound().to_string()))
    }
}

fn sound() -> Value {
    claims("ann", "claims", &["staff", "dp-a-reader"], NOW)
}

fn claim(name: &str) -> Refusal {
    Refusal::Claim(name.to_owned())
}

#[test]
fn a_sound_token_of_each_algorithm_says_who_its_bearer_is() {
    let world = World::new();
    for (signer, id) in [(&world.ec, "ec"), (&world.ed, "ed"), (&world.rsa, "rsa")] {
        let principal = world.verify(&signer.token(id, &sound())).unwrap();
        assert_eq!((principal.name.as_str(), principal.domain.as_str()), ("ann", "claims"));
        assert_eq!(principal.groups, BTreeSet::from([GroupName::new("staff"), GroupName::new("dp-a-reader")]));
        assert_eq!(principal.attributes, BTreeMap::from([("region".to_owned(), "eu".to_owned())]));
        assert_eq!(principal.token.unwrap().expires_at().timestamp(), NOW + 3600);
    }
}

#[test]
fn an_unsigned_token_is_refused() {
    let world = World::new();
    for algorithm in ["none", "None", "NONE", ""] {
        let message = unsigned(&json!({"alg": algorithm, "kid": "ec"}).to_string(), &sound().to_string());
        assert_eq!(world.refused(&format!("{message}.")), Refusal::Algorithm, "{algorithm}");
    }
    assert_eq!(world.header(&json!({"kid": "ec"})), Refusal::Algorithm, "no algorithm");
}

#[test]
fn a_public_key_is_no_hmac_secret() {
    let world = World::new();
    let public = world.rsa.public("rsa");
    let modulus = URL_SAFE_NO_PAD.decode(public["n"].as_str().unwrap()).unwrap();
    for secret in [modulus, public["n"].as_str().unwrap().as_bytes().to_vec(), public.to_string().into_bytes()] {
        let message = unsigned(&json!({"alg": "HS256", "kid": "rsa"}).to_string(), &sound().to_string());
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message.as_bytes());
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
        assert_eq!(world.refused(&token), Refusal::Algorithm);
    }
}

#[test]
fn a_key_is_used_with_its_own_algorithm_only() {
    let world = World::new();
    let text = sound().to_string();
    // The key of another type, and an algorithm of the right type that this key is not for.
    assert_eq!(world.refused(&world.ec.raw(r#"{"alg":"ES256","kid":"rsa"}"#, &text)), Refusal::Key);
    assert_eq!(world.refused(&world.rsa.raw(r#"{"alg":"RS256","kid":"ed"}"#, &text)), Refusal::Key);
    assert_eq!(world.refused(&world.rsa.raw(r#"{"alg":"PS256","kid":"rsa"}"#, &text)), Refusal::Algorithm);
    assert_eq!(world.refused(&world.rsa.raw(r#"{"alg":"RS512","kid":"rsa"}"#, &text)), Refusal::Algorithm);
    let all = [Algorithm::RS256, Algorithm::RS512, Algorithm::PS256];
    let keys = KeySet::parse(key_set(&[world.rsa.public("rsa")]).as_bytes(), &all).unwrap();
    assert!(keys.find(Some("rsa"), Algorithm::RS256).is_some());
    assert!(keys.find(Some("rsa"), Algorithm::RS512).is_none() && keys.find(None, Algorithm::PS256).is_none());
}

#[test]
fn a_key_that_the_issuer_does_not_have_is_refused() {
    let world = World::new();
    let stranger = Signer::es256();
    assert_eq!(world.refused(&stranger.token("ec", &sound())), Refusal::Signature);
    for id in ["other", "", "../ec", "ec' OR 1=1", "ec\u{0}"] {
        assert_eq!(world.refused(&world.ec.token(id, &sound())), Refusal::Key, "{id}");
    }
    assert_eq!(world.header(&json!({"alg": "ES256", "kid": "k".repeat(257)})), Refusal::Header("kid"));
    assert_eq!(world.header(&json!({"alg": "ES256", "kid": 1})), Refusal::Header("kid"));
}

#[test]
fn a_token_without_a_key_id_needs_exactly_one_key_that_fits() {
    let world = World::new();
    let nameless = |signer: &Signer| signer.raw(&json!({"alg": signer.algorithm()}).to_string(), &sound().to_string());
    assert!(world.verify(&nameless(&world.ec)).is_ok());
    let two = [world.ec.public("ec"), Signer::es256().public("other")];
    std::fs::write(world.folder.path().join("jwks.json"), key_set(&two)).unwrap();
    assert!(world.reload().unwrap());
    assert_eq!(world.refused(&nameless(&world.ec)), Refusal::Key);
    assert!(world.verify(&world.ec.token("ec", &sound())).is_ok());
}

#[test]
fn a_token_brings_no_key_along() {
    let world = World::new();
    let thief = Signer::es256();
    for (name, value) in [
        ("jwk", thief.public("ec")),
        ("jku", json!("https://thief.example/jwks.json")),
        ("x5u", json!("https://thief.example/cert.pem")),
        ("x5c", json!(["MIIB"])),
    ] {
        let mut header = json!({"alg": "ES256", "kid": "ec"});
        header[name] = value;
        assert_eq!(world.refused(&thief.raw(&header.to_string(), &sound().to_string())), Refusal::Header(name));
        assert_eq!(world.header(&header), Refusal::Header(name), "even of the issuer");
    }
}

#[test]
fn extensions_and_other_types_of_token_are_refused() {
    let world = World::new();
    assert_eq!(world.header(&json!({"alg": "ES256", "kid": "ec", "crit": ["exp"]})), Refusal::Header("crit"));
    assert_eq!(world.header(&json!({"alg": "ES256", "kid": "ec", "b64": false})), Refusal::Header("b64"));
    for kind in [json!("logout+jwt"), json!("JWE"), json!(1), json!("")] {
        assert_eq!(world.header(&json!({"alg": "ES256", "kid": "ec", "typ": kind})), Refusal::Header("typ"));
    }
    for kind in ["JWT", "jwt", "at+jwt", "application/at+JWT"] {
        let header = json!({"alg": "ES256", "kid": "ec", "typ": kind});
        assert!(world.verify(&world.ec.raw(&header.to_string(), &sound().to_string())).is_ok(), "{kind}");
    }
}

#[test]
fn times_are_numbers_and_are_kept() {
    let world = World::new();
    assert_eq!(world.with("exp", json!(NOW)), Err(Refusal::Expired));
    assert_eq!(world.with("exp", json!(NOW - 1)), Err(Refusal::Expired), "the leeway does not lengthen a token");
    assert_eq!(world.with("exp", Value::Null), Err(claim("exp")));
    assert!(world.with("exp", json!(NOW + 1)).is_ok());
    for wrong in [json!((NOW + 60).to_string()), json!(-1), json!(1e300), json!(u64::MAX), json!([NOW + 60]), json!(true)] {
        assert_eq!(world.with("exp", wrong.clone()), Err(claim("exp")), "{wrong}");
        assert_eq!(world.with("nbf", wrong.clone()), Err(claim("nbf")), "{wrong}");
        assert_eq!(world.with("iat", wrong), Err(claim("iat")));
    }
    for name in ["nbf", "iat"] {
        assert!(world.with(name, json!(NOW + 30)).is_ok(), "within the leeway");
        assert_eq!(world.with(name, json!(NOW + 31)), Err(Refusal::Early));
        assert!(world.with(name, Value::Null).is_ok());
    }
}

#[test]
fn issuer_and_audience_are_ours_letter_by_letter() {
    let world = World::new();
    for other in [json!("https://idp.example"), json!("https://IDP.example/"), json!([ISSUER]), json!(""), Value::Null] {
        assert_eq!(world.with("iss", other), Err(Refusal::Issuer));
    }
    for other in
        [json!("meshgate2"), json!("Meshgate"), json!([]), json!(["other"]), json!([AUDIENCE, 1]), json!({"a": AUDIENCE}), Value::Null]
    {
        assert_eq!(world.with("aud", other.clone()), Err(Refusal::Audience), "{other}");
    }
    assert!(world.with("aud", json!(["other", AUDIENCE])).is_ok());
}

#[test]
fn a_name_that_is_there_twice_is_refused() {
    let world = World::new();
    let (header, body) = (r#"{"alg":"ES256","kid":"ec"}"#, sound().to_string());
    let twice = body.replacen('{', r#"{"sub":"platform_admin","#, 1);
    assert_eq!(world.refused(&world.ec.raw(header, &twice)), Refusal::Form);
    let escaped = body.replacen('{', r#"{"s\u0075b":"platform_admin","#, 1);
    assert_eq!(world.refused(&world.ec.raw(header, &escaped)), Refusal::Form);
    let nested = body.replacen('{', r#"{"x":{"a":1,"a":2},"#, 1);
    assert_eq!(world.refused(&world.ec.raw(header, &nested)), Refusal::Form);
    assert_eq!(world.refused(&world.ec.raw(r#"{"alg":"ES256","alg":"none","kid":"ec"}"#, &body)), Refusal::Form);
}

#[test]
fn a_form_with_any_latitude_is_refused() {
    let world = World::new();
    let token = world.ec.token("ec", &sound());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, body) = signed.split_once('.').unwrap();
    let mut text = sound().to_string();
    text.extend(std::iter::repeat_n(' ', 3 - (text.len() + 2) % 3));
    let padded = STANDARD.encode(text);
    assert!(padded.ends_with("=="));
    for bad in [
        String::new(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        signed.to_owned(),
        format!("{token}.x"),
        format!("{token}="),
        format!("{token}\n"),
        format!(" {token}"),
        format!("{header}=.{body}.{signature}"),
        format!("{header}.{padded}.{signature}"),
        format!("{header}.{}.{signature}", body.replacen('e', "e\n", 1)),
        format!("{}.{body}.{signature}", URL_SAFE_NO_PAD.encode("[]")),
        format!("{}.{body}.{signature}", URL_SAFE_NO_PAD.encode("{} {}")),
        format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode("[".repeat(5000))),
    ] {
        assert_eq!(world.refused(&bad), Refusal::Form, "{bad:.80}");
    }
    assert_eq!(world.refused(&"a".repeat(1 << 20)), Refusal::TooLong);
    let mut long = sound();
    long["padding"] = "x".repeat(MAX_TOKEN).into();
    assert_eq!(world.refused(&world.ec.token("ec", &long)), Refusal::TooLong, "even a genuine one");
}

#[test]
fn no_changed_letter_of_a_token_is_accepted() {
    let world = World::new();
    for (signer, id) in [(&world.ec, "ec"), (&world.ed, "ed"), (&world.rsa, "rsa")] {
        let token = signer.token(id, &sound());
        for position in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
            assert!(world.verify(std::str::from_utf8(&changed).unwrap()).is_err(), "{id} {position}");
        }
    }
}

#[test]
fn claims_are_bounded_and_say_what_they_should() {
    let world = World::new();
    for wrong in [json!(""), json!("a".repeat(129)), json!("a\nb"), json!("a\u{0}b"), json!(" a"), json!(7), json!(["a"]), Value::Null] {
        assert_eq!(world.with("sub", wrong.clone()), Err(claim("sub")), "{wrong}");
    }
    for wrong in [json!("Not A Domain"), json!("a;b"), json!(7), Value::Null] {
        assert_eq!(world.with("domain", wrong), Err(claim("domain")));
    }
    assert_eq!(world.with("domain", json!("nowhere")), Err(Refusal::Domain));
    let many: Vec<String> = (0..1001).map(|number| format!("g{number}")).collect();
    for wrong in [json!(many), json!([1]), json!([""]), json!({"a": true}), json!(7)] {
        assert_eq!(world.with("groups", wrong), Err(claim("groups")));
    }
    assert_eq!(world.with("groups", json!("one")).unwrap().groups, BTreeSet::from([GroupName::new("one")]));
    assert!(world.with("groups", Value::Null).unwrap().groups.is_empty());
    assert_eq!(world.with("level", json!(3)).unwrap().attributes["level"], "3");
    for wrong in [json!(["eu", "us"]), json!({"a": 1}), json!("e\u{7}u")] {
        assert_eq!(world.with("region", wrong), Err(claim("region")));
    }
}

#[test]
fn two_tokens_of_one_name_are_told_apart() {
    let world = World::new();
    let one = world.verify(&world.ec.token("ec", &claims("ann", "claims", &["a"], NOW))).unwrap();
    let two = world.verify(&world.ec.token("ec", &claims("ann", "claims", &["b"], NOW))).unwrap();
    assert_eq!(one.name, two.name);
    assert_ne!(one.token.unwrap().digest(), two.token.unwrap().digest());
}

#[test]
fn a_prefix_keeps_the_names_of_an_issuer_apart() {
    let world = World::new();
    let prefixed = JwtIssuer { prefix: "idp:".to_owned(), ..settings(&world.folder.path().join("jwks.json")) };
    let trust = Trust::open(&[prefixed], Box::new(|_| true)).unwrap();
    assert_eq!(trust.verify(&world.ec.token("ec", &sound()), now()).unwrap().name.as_str(), "idp:ann");
}

#[test]
fn a_session_ends_with_its_token_its_key_and_its_domain() {
    let world = World::new();
    let principal = world.verify(&world.ec.token("ec", &sound())).unwrap();
    let session = principal.token.unwrap();
    let holds = |seconds| world.trust.still_holds(&session, &principal.domain, now() + Duration::from_secs(seconds));
    assert_eq!((holds(3599), holds(3600)), (Ok(()), Err(Refusal::Expired)));
    assert_eq!(world.trust.still_holds(&session, &DomainName::new("nowhere").unwrap(), now()), Err(Refusal::Domain));
    let file = world.folder.path().join("jwks.json");
    std::fs::write(&file, "{").unwrap();
    assert!(world.reload().is_err());
    assert_eq!(holds(0), Ok(()), "the last valid keys stay");
    std::fs::write(&file, key_set(&[world.ed.public("ed")])).unwrap();
    assert!(world.reload().unwrap());
    assert_eq!(holds(0), Err(Refusal::Key));
    // The same name for another key does not bring the session back.
    std::fs::write(&file, key_set(&[Signer::es256().public("ec")])).unwrap();
    assert!(world.reload().unwrap());
    assert_eq!(holds(0), Err(Refusal::Key));
}

#[test]
fn a_key_set_takes_public_keys_of_sufficient_length_and_nothing_secret() {
    let world = World::new();
    let all = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
    let parse = |keys: &[Value]| KeySet::parse(key_set(keys).as_bytes(), &all);
    let with = |mut key: Value, name: &str, value: Value| {
        key[name] = value;
        key
    };
    let (ec, rsa) = (world.ec.public("a"), world.rsa.public("b"));
    assert_eq!(parse(&[ec.clone(), rsa.clone()]).unwrap().len(), 2);
    assert!(parse(&[with(ec.clone(), "d", json!("AA"))]).unwrap_err().contains("secret"));
    assert!(parse(&[json!({"kty": "oct", "k": "AAAA"})]).unwrap_err().contains("secret"));
    assert!(parse(&[ec.clone(), with(rsa.clone(), "kid", json!("a"))]).unwrap_err().contains("kid"));
    for unusable in [
        with(ec.clone(), "use", json!("enc")),
        with(ec.clone(), "alg", json!("RS256")),
        with(ec.clone(), "alg", json!("HS256")),
        with(ec.clone(), "x", json!("AAAA")),
        with(ec.clone(), "crv", json!("secp256k1")),
        with(ec.clone(), "key_ops", json!(["sign"])),
        with(rsa.clone(), "n", json!(URL_SAFE_NO_PAD.encode([0x7f; 256]))),
        with(rsa, "alg", json!("none")),
        json!({}),
    ] {
        assert_eq!(parse(std::slice::from_ref(&unusable)).unwrap().len(), 0, "{unusable}");
    }
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, r#"{"keys":[1]}"#] {
        assert!(KeySet::parse(text.as_bytes(), &all).is_err(), "{text}");
    }
}
