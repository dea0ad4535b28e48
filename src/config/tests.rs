use super::*;

fn parse(text: &str) -> Result<Config, Vec<String>> {
    let env = |name: &str| (name == "KEY").then(|| "sixteen bytes or more".to_owned());
    Config::parse(text, Path::new("/etc/mesh"), &env).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

#[test]
fn an_empty_file_is_a_working_configuration() {
    let config = parse("").unwrap();
    assert_eq!(config.server.postgres.to_string(), "127.0.0.1:5433");
    assert_eq!(config.server.flight.to_string(), "127.0.0.1:50051");
    assert_eq!(config.server.http.to_string(), "127.0.0.1:8080");
    assert_eq!(config.catalog, Path::new("/etc/mesh/catalog"));
    assert_eq!(config.users, Path::new("/etc/mesh/identity.yaml"));
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.pseudonym_keys(), None);
}

#[test]
fn every_default_is_accepted_by_its_own_key() {
    for (section, _, keys) in keys::SECTIONS {
        for key in keys.iter().filter(|key| key.default != "none") {
            let text = format!("[{section}]\n{} = {}\n", key.name, key.default);
            parse(&text).unwrap_or_else(|problems| panic!("{text}{problems:?}"));
            assert!(!key.doc.is_empty(), "{} is documented", key.name);
        }
    }
    let limits = Limits::default();
    assert_eq!((limits.connections, limits.login_bytes, limits.statement_bytes), (500, 65_536, 1 << 20));
    assert_eq!((limits.login_timeout, limits.grace), (Duration::from_secs(10), Duration::from_secs(30)));
    assert!(limits.memory > 64 << 20 && limits.query_memory <= limits.memory);
    assert_eq!(limits.max_scan_bytes, None);
}

#[test]
fn a_full_file_is_read() {
    let config = parse(
        r#"
        [server]
        postgres = "0.0.0.0:0"
        region = "eu"
        tls = { cert = "c.pem", key = "/k.pem", client_ca = "ca.pem" }
        [state]
        location = "/var/lib/meshgate"
        [limits]
        memory = "1GiB"
        query_memory = "2GiB"
        max_scan_bytes = "10GB"
        statement_timeout = "0s"
        connections = 20
        [credentials.pseudonyms]
        type = "key"
        secret = { env = "KEY" }
        [credentials.claims-s3]
        type = "s3"
        access_key_id = { env = "KEY" }
        secret_access_key = { env = "KEY" }
        endpoint = "http://127.0.0.1:9000"
        allow_http = true
        "#,
    )
    .unwrap();
    let tls = config.server.tls.clone().unwrap();
    assert_eq!((tls.cert.as_path(), tls.key.as_path()), (Path::new("/etc/mesh/c.pem"), Path::new("/k.pem")));
    assert_eq!(config.state, Path::new("/var/lib/meshgate"));
    assert_eq!((config.limits.memory, config.limits.query_memory), (1 << 30, 1 << 30), "one query has no more than all");
    assert_eq!((config.limits.max_scan_bytes, config.limits.connections), (Some(10_000_000_000), 20));
    assert!(config.pseudonym_keys().is_some());
    assert_eq!(config.credentials["claims-s3"].kind, CredentialKind::S3);
    assert!(!format!("{config:?}").contains("sixteen"), "no secret in the log");
}

#[test]
fn usage_is_published_to_a_folder_or_to_a_bucket_with_its_credential() {
    assert!(parse("").unwrap().publish.is_none());
    let local = parse("[metering]\npublish = \"file:ledger/\"\nkeep = \"62d\"").unwrap().publish.unwrap();
    assert_eq!(local.place, Location::File("/etc/mesh/ledger/".into()));
    assert_eq!((local.every, local.keep), (Duration::from_secs(60), Some(Duration::from_secs(62 * 86_400))));
    let credential = "[credentials.l]\ntype = \"s3\"\naccess_key_id = { env = \"KEY\" }\nsecret_access_key = { env = \"KEY\" }\n";
    let remote = format!("{credential}[metering]\npublish = \"s3://bucket/ledger/\"\npublish_credentials = \"l\"");
    let remote = parse(&remote).unwrap().publish.unwrap();
    assert!(remote.credential.is_some());
    assert_eq!(remote.place, Location::Remote("s3://bucket/ledger/".into()));
    for (text, why) in [
        ("publish = \"s3://bucket/ledger/\"", "`publish` on S3 needs `publish_credentials`"),
        ("publish = \"s3://bucket/ledger/\"\npublish_credentials = \"x\"", "there is no credential `x` of the type `s3`"),
        ("publish = \"file:ledger\"\npublish_credentials = \"x\"", "`publish_credentials` goes with `publish` on S3"),
        ("publish = \"gs://bucket/ledger/\"", "`publish`: expected"),
        ("publish = \"ledger\"", "does not say where"),
        ("publish = \"file:ledger\"\nkeep = \"61d\"", "`keep`: expected"),
        ("keep = \"62d\"", "`keep` goes with `publish`"),
    ] {
        let problems = parse(&format!("[metering]\n{text}")).unwrap_err();
        assert!(problems.len() == 1 && problems[0].contains(why), "{text}: {problems:?}");
    }
}

#[test]
fn alerts_are_sent_over_tls_and_signed_with_a_key_that_no_message_shows() {
    assert!(parse("").unwrap().alerts.is_none());
    let credential = "[credentials.a]\ntype = \"key\"\nsecret = { env = \"KEY\" }\n";
    let sound = format!("{credential}[metering]\nalerts_url = \"https://alerts.example/path\"\nalerts_credentials = \"a\"");
    assert_eq!(format!("{:?}", parse(&sound).unwrap().alerts), "Some(Webhook)");
    for (text, why) in [
        ("alerts_url = \"https://alerts.example/\"", "`alerts_url` needs `alerts_credentials`"),
        ("alerts_credentials = \"a\"", "`alerts_credentials` goes with `alerts_url`"),
        ("alerts_url = \"https://alerts.example/\"\nalerts_credentials = \"b\"", "there is no credential `b` of the type `key`"),
        ("alerts_url = \"http://alerts.example/\"\nalerts_credentials = \"a\"", "a webhook is told over https"),
    ] {
        let problems = parse(&format!("{credential}[metering]\n{text}")).unwrap_err();
        assert!(problems.len() == 1 && problems[0].contains(why), "{text}: {problems:?}");
    }
}

#[test]
fn all_mistakes_are_told_at_once_with_their_places() {
    let problems = parse(
        "[server]\npostgress = \"127.0.0.1:1\"\nhttp = \"localhost:1\"\nflight = \"10.0.0.1:1\"\n[limit]\n[limits]\nmemory = \"175%\"\nconnections = 0\ngrace = 5\n\
         [identity]\njwt = 1\n[credentials.a]\ntype = \"ftp\"\n[credentials.b]\ntype = \"key\"\nsecret = \"plain\"\n[credentials.c]\ntype = \"key\"\nsecret = { env = \"NONE\" }\n",
    )
    .unwrap_err();
    assert_eq!(
        problems,
        [
            "2:1: unknown key `postgress` in [server]; did you mean `postgres`?",
            "3:8: `http`: expected an IP address with a port, such as \"127.0.0.1:5433\"",
            "4:10: `flight` would listen on 10.0.0.1:1 without TLS; set `tls`, use 127.0.0.1, or say `insecure = true`",
            "5:2: unknown section `limit`; did you mean `limits`?",
            "7:10: `memory`: expected a size from 16MiB to 64TiB, or a share of the memory, such as \"4GiB\" or \"75%\"",
            "8:15: `connections`: expected a whole number from 1 to 100000",
            "9:9: `grace`: expected a duration from 0s to 1d, such as \"30s\", \"10m\" or \"8h\"",
            "11:7: `jwt`: expected a list of { issuer = \"…\", audience = \"…\", jwks = \"jwks.json\" }, each with refresh, name, prefix, domain, groups, attributes, algorithms, leeway where the defaults do not fit",
            "13:8: `type` of credential `a`: expected one of s3, azure, gcs, key",
            "16:10: `secret`: expected { env = \"NAME\" } or { file = \"path\" }: secrets do not belong in this file",
            "19:10: `secret`: the environment has no `NONE`",
        ]
    );
}

#[test]
fn text_that_is_no_toml_says_where() {
    let problems = parse("[server\npostgres = \n").unwrap_err();
    assert!(problems[0].starts_with("1:8: "), "{problems:?}");
    assert!(problems.iter().all(|problem| !problem.contains('\n')));
}

#[test]
fn doors_beyond_loopback_need_tls_or_a_word() {
    assert!(parse("[server]\npostgres = \"0.0.0.0:1\"\n").is_err());
    assert!(parse("[server]\npostgres = \"0.0.0.0:1\"\ninsecure = true\n").is_ok());
    assert!(parse("[server]\npostgres = \"[::1]:1\"\n").is_ok());
}

#[test]
fn doors_of_the_command_line_are_checked_too() {
    let with = |address: &str| parse("").unwrap().with_doors(None, Some(address.parse().unwrap()), None);
    let config = with("127.0.0.1:7").unwrap();
    assert_eq!((config.server.flight.port(), config.server.postgres.port()), (7, 5433));
    assert!(with("0.0.0.0:7").unwrap_err().to_string().contains("`flight` would listen on 0.0.0.0:7 without TLS"));
}

#[test]
fn secrets_come_from_files_too() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "sixteen bytes or more\n").unwrap();
    let text = "[credentials.pseudonyms]\ntype = \"key\"\nsecret = { file = \"secret\" }\n";
    let from_file = Config::parse(text, folder.path(), &|_| None).unwrap().pseudonym_keys();
    let from_env = parse(&text.replace("file = \"secret\"", "env = \"KEY\"")).unwrap().pseudonym_keys();
    assert!(from_file.is_some() && from_file == from_env);
    std::fs::write(folder.path().join("secret"), "short\n").unwrap();
    assert!(Config::parse(text, folder.path(), &|_| None).unwrap_err()[0].to_string().contains("fewer than 16 bytes"));
}

#[test]
fn pseudonyms_stay_as_they_are_until_a_domain_is_listed_as_rotated() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("old"), "the old secret, kept").unwrap();
    std::fs::write(folder.path().join("new"), "the new secret, made").unwrap();
    let keys = |text: &str| Config::parse(&format!("[credentials.pseudonyms]\ntype = \"key\"\n{text}"), folder.path(), &|_| None);
    let of = |text: &str, domain: &str| *keys(text).unwrap().pseudonym_keys().unwrap().of(&crate::id::DomainName::new(domain).unwrap());
    let (old, new) = ("secret = { file = \"old\" }\n", "secret = { file = \"new\" }\n");
    let both = format!("{new}previous = {{ file = \"old\" }}\n");
    assert_eq!(of(&both, "pricing"), of(old, "pricing"));
    let moved = format!("{both}rotated = \"fraud, pricing\"\n");
    assert_eq!(of(&moved, "pricing"), of(new, "pricing"));
    assert_eq!(of(&moved, "claims"), of(old, "claims"));
    assert_ne!(of(old, "claims"), of(new, "claims"));
    for (text, said) in [
        (format!("{new}rotated = \"pricing\"\n"), "`rotated` of credential `pseudonyms` goes with `previous`"),
        (format!("{both}rotated = \"Pricing\"\n"), "`Pricing` is not the name of a domain"),
        (format!("{new}previous = \"in the clear\"\n"), "previous"),
    ] {
        assert!(keys(&text).unwrap_err()[0].to_string().contains(said), "{text}");
    }
    assert!(!format!("{:?}", keys(&both).unwrap()).contains("kept"), "no secret in the log");
}

#[test]
fn a_file_that_is_missing_is_one_line() {
    let error = Config::load(Path::new("/nowhere/meshgate.toml")).unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/meshgate.toml: ") && !error.contains('\n'), "{error}");
}

#[test]
fn the_documentation_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/config.md");
    if std::env::var_os("MESHGATE_UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, markdown()).unwrap();
    }
    let current = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(current == markdown(), "docs/config.md is stale: run MESHGATE_UPDATE_DOCS=1 cargo test config");
}

#[test]
fn issuers_have_names_of_their_own_asymmetric_algorithms_and_keys_in_a_file_or_at_an_address() {
    let one = |rest: &str| format!("[identity]\njwt = [{{ issuer = \"https://a/\", audience = \"m\", jwks = \"a.json\"{rest} }}]\n");
    let issuer = parse(&one("")).unwrap().jwt.remove(0);
    assert_eq!((issuer.name.as_str(), issuer.domain.as_str(), issuer.groups.as_str()), ("sub", "domain", "groups"));
    assert_eq!(issuer.leeway, Duration::from_secs(30));
    let set = parse(&one(", name = \"upn\", attributes = [\"region\"], algorithms = [\"ES384\"], leeway = \"0s\"")).unwrap().jwt.remove(0);
    assert_eq!(
        (set.name.as_str(), set.attributes, set.algorithms),
        ("upn", vec!["region".to_owned()], vec![jsonwebtoken::Algorithm::ES384])
    );
    let at = |url: &str| one("").replace("a.json", url);
    for (url, seconds) in [
        ("https://idp.example/keys?app=1", 300),
        ("http://127.0.0.1:8000/keys", 300),
        ("http://[::1]/keys", 300),
        ("http://localhost/keys\", refresh = \"1h", 3600),
    ] {
        let issuer = parse(&at(url)).unwrap().jwt.remove(0);
        let every = Duration::from_secs(seconds);
        assert_eq!(issuer.jwks, KeySource::Fetched { url: url.split('"').next().unwrap().parse().unwrap(), every });
    }
    let second = ", { issuer = \"https://b/\", audience = \"m\", jwks = \"b.json\"";
    for (text, told) in [
        (one(", algorithms = [\"HS256\"]"), "a public key must not make tokens"),
        (one(", algorithms = [\"none\"]"), "a public key must not make tokens"),
        (one(", algorithms = []"), "a public key must not make tokens"),
        (one(", leeway = \"1h\""), "expected a duration from 0s to 5m"),
        (one(", issuers = \"x\""), "did you mean `issuer`"),
        (one(", refresh = \"1m\""), "`refresh` is for keys that are fetched"),
        (at("https://idp.example/keys\", refresh = \"1s"), "expected a duration from 10s to"),
        (at("http://idp.example/keys"), "keys are fetched over https"),
        (at("http://localhost.example/keys"), "keys are fetched over https"),
        (at("file:///etc/keys"), "not an address"),
        (at("https://someone:secret@idp.example/keys"), "no password and no fragment"),
        (at("https://idp.example/keys#a"), "no password and no fragment"),
        (at("https://"), "not an address"),
        (at("https:/idp.example/keys"), "not an address"),
        (at("HTTPS:idp.example/keys"), "not an address"),
        (at("https:///keys"), "not an address"),
        (one("").replace("audience = \"m\", ", ""), "`jwt` needs `audience`"),
        (one("").replace(" }]", &format!(" }}{second} }}]")), "names of two issuers could be the same"),
        (one(", prefix = \"a\"").replace(" }]", &format!(" }}{second}, prefix = \"ab\" }}]")), "names of two issuers could be the same"),
        (
            one(", prefix = \"a:\"").replace(" }]", &format!(" }}{second}, prefix = \"b:\" }}]")).replace("https://b/", "https://a/"),
            "twice",
        ),
    ] {
        let problems = parse(&text).unwrap_err();
        assert!(problems.iter().any(|problem| problem.contains(told)), "{text}\n{problems:?}");
    }
    assert!(parse(&one(", prefix = \"a:\"").replace(" }]", &format!(" }}{second}, prefix = \"b:\" }}]"))).is_ok());
}
