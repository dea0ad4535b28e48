//! Logins over real sockets and pipes: what gets in, and that all others learn nothing.

use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use tokio::net::TcpListener;
use tokio::net::TcpStream as Client;

use super::*;
use crate::identity::ScramVerifier;

const LONGEST: usize = 64 << 10;
const UNBOUND: Rules<'static> = Rules { binding: None, longest: LONGEST };

fn identity() -> Identity {
    let verifier = ScramVerifier::generate(&"correct horse".into()).unwrap();
    Identity::for_test(&format!("users:\n  - name: ann\n    domain: claims\n    verifier: \"{verifier}\"\n"))
}

fn startup(user: &str) -> Startup {
    Startup { user: user.to_owned(), database: "mesh".to_owned(), ..Startup::default() }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn initial(mechanism: &str, data: &[u8]) -> Vec<u8> {
    let mut body = format!("{mechanism}\0").into_bytes();
    body.extend_from_slice(&(data.len() as u32).to_be_bytes());
    body.extend_from_slice(data);
    message(b'p', &body)
}

/// Tells the fault as the door does, so that tests see bytes.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(io: S, user: &str, identity: &Identity) -> Result<Login, String> {
    let mut frames = Frames::new(io);
    match authenticate(&mut frames, &startup(user), identity, UNBOUND).await {
        Ok(login) => Ok(login),
        Err(Refusal::Fatal(fault)) => {
            refuse(&mut frames, &fault).await;
            Err(fault.sqlstate().to_owned())
        }
        Err(Refusal::Silent) => Err("silent".to_owned()),
    }
}

async fn read_message(client: &mut tokio::io::DuplexStream) -> (u8, Vec<u8>) {
    let kind = client.read_u8().await.unwrap();
    let length = client.read_u32().await.unwrap() as usize;
    let mut body = vec![0; length - 4];
    client.read_exact(&mut body).await.unwrap();
    (kind, body)
}

/// Goes through the exchange with a proof that is wrong, and gives back all that the server sent, with what is random taken out.
async fn failed_exchange(user: &str) -> (Vec<(u8, usize)>, Vec<u8>) {
    let identity = identity();
    let (mut client, server) = tokio::io::duplex(4096);
    let server = async { serve(server, user, &identity).await.unwrap_err() };
    let client = async move {
        let mut shapes = Vec::new();
        let (kind, body) = read_message(&mut client).await;
        shapes.push((kind, body.len()));
        client.write_all(&initial(MECHANISM, b"n,,n=,r=abcdefgh")).await.unwrap();
        let (kind, body) = read_message(&mut client).await;
        shapes.push((kind, body.len()));
        let server_first = String::from_utf8(body[4..].to_vec()).unwrap();
        let nonce = server_first.split(',').next().unwrap();
        let proof = "A".repeat(43) + "=";
        client.write_all(&message(b'p', format!("c=biws,{nonce},p={proof}").as_bytes())).await.unwrap();
        let mut error = Vec::new();
        client.read_to_end(&mut error).await.unwrap();
        (shapes, error)
    };
    let (code, seen) = tokio::join!(server, client);
    assert_eq!(code, "28P01");
    seen
}

#[tokio::test]
async fn e3_an_unknown_user_and_a_wrong_password_look_the_same() {
    let (known_steps, known_error) = failed_exchange("ann").await;
    let (unknown_steps, unknown_error) = failed_exchange("bob").await;
    assert_eq!(known_steps, unknown_steps);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!(text(&known_error).replace("ann", "bob"), text(&unknown_error));
    assert!(text(&known_error).contains("password authentication failed for user \"ann\""));
    assert!(text(&known_error).contains("SFATAL"));
}

async fn log_in(user: &'static str, password: &str) -> Result<Login, String> {
    let identity = identity();
    let (client, server) = tokio::io::duplex(4096);
    let mut config = tokio_postgres::Config::new();
    config.user(user).password(password).dbname("mesh");
    let (login, _) = tokio::join!(
        async {
            let mut frames = Frames::new(server);
            let packet = frames.startup(LONGEST).await.unwrap();
            let Ok(Packet::Startup(startup)) = startup::parse(packet) else { panic!("not a startup packet") };
            match authenticate(&mut frames, &startup, &identity, UNBOUND).await {
                Ok(login) => Ok(login),
                Err(Refusal::Fatal(fault)) => Err(fault.sqlstate().to_owned()),
                Err(Refusal::Silent) => Err("silent".to_owned()),
            }
        },
        config.connect_raw(client, tokio_postgres::NoTls)
    );
    login
}

#[tokio::test]
async fn the_right_password_and_no_other_gets_in() {
    assert_eq!(log_in("ann", "correct horse").await.unwrap().principal.name.as_str(), "ann");
    assert_eq!(log_in("ann", "wrong").await.unwrap_err(), "28P01");
    assert_eq!(log_in("ann", "").await.unwrap_err(), "28P01");
    assert_eq!(log_in("bob", "correct horse").await.unwrap_err(), "28P01");
}

/// Ann logs in with her password over a channel whose certificate she takes for `seen`, by `mechanism`.
async fn bound(certificates: &[u8], mechanism: &str, channel: ChannelBinding) -> Result<Login, String> {
    let identity = identity();
    let mut binding = ScramServerAuth::new();
    binding.configure_certificate(certificates).unwrap();
    let rules = Rules { binding: Some(&binding), longest: LONGEST };
    let (mut client, server) = tokio::io::duplex(4096);
    let serving = async {
        let mut frames = Frames::new(server);
        match authenticate(&mut frames, &startup("ann"), &identity, rules).await {
            Ok(login) => Ok(login),
            Err(Refusal::Fatal(fault)) => Err(fault.sqlstate().to_owned()),
            Err(Refusal::Silent) => Err("silent".to_owned()),
        }
    };
    let asking = async move {
        let (_, offered) = read_message(&mut client).await;
        assert_eq!(offered[4..], *b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0");
        let mut scram = ScramSha256::new(b"correct horse", channel);
        client.write_all(&initial(mechanism, scram.message())).await.unwrap();
        let Ok(kind) = client.read_u8().await else { return };
        let length = client.read_u32().await.unwrap() as usize;
        let mut body = vec![0; length - 4];
        client.read_exact(&mut body).await.unwrap();
        if kind != b'R' || scram.update(&body[4..]).is_err() {
            return;
        }
        client.write_all(&message(b'p', scram.message())).await.unwrap();
        let _ = client.read_u8().await;
    };
    tokio::join!(serving, asking).0
}

#[tokio::test]
async fn a_login_is_bound_to_the_certificate_of_its_channel() {
    let pem = || rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap().cert;
    let (ours, other) = (pem(), pem());
    let digest = |cert: &rcgen::Certificate| ring::digest::digest(&ring::digest::SHA256, cert.der()).as_ref().to_vec();
    let seen = |cert| ChannelBinding::tls_server_end_point(digest(cert));
    let pem = ours.pem();
    let login = bound(pem.as_bytes(), BOUND, seen(&ours)).await.unwrap();
    assert_eq!(login.principal.name.as_str(), "ann");
    // Whoever does not know how is let in, as by PostgreSQL.
    assert!(bound(pem.as_bytes(), MECHANISM, ChannelBinding::unsupported()).await.is_ok());
    // Somebody between; somebody who took the offer away; words that do not fit each other.
    assert_eq!(bound(pem.as_bytes(), BOUND, seen(&other)).await.unwrap_err(), "28P01");
    assert_eq!(bound(pem.as_bytes(), MECHANISM, ChannelBinding::unrequested()).await.unwrap_err(), "08P01");
    assert_eq!(bound(pem.as_bytes(), MECHANISM, seen(&ours)).await.unwrap_err(), "08P01");
    assert_eq!(bound(pem.as_bytes(), BOUND, ChannelBinding::unsupported()).await.unwrap_err(), "08P01");
}

#[tokio::test]
async fn nothing_but_the_expected_message_is_read_before_the_login() {
    let identity = identity();
    let too_long = [&b"p"[..], &i32::MAX.to_be_bytes()].concat();
    for bytes in [
        message(b'Q', b"select 1\0"),
        message(b'P', &[0; 100]),
        too_long,
        vec![b'p', 0, 0, 0, 0],
        message(b'p', b""),
        initial("SCRAM-SHA-1", b"n,,n=,r=abc"),
        initial("SCRAM-SHA-256-PLUS", b"p=tls-server-end-point,,n=,r=abc"),
        initial(MECHANISM, b"nonsense"),
        initial(MECHANISM, &[0xff; 20]),
        message(b'p', b"SCRAM-SHA-256\0\xff\xff\xff\xff"),
        message(b'p', b"SCRAM-SHA-256\0\x7f\xff\xff\xff"),
    ] {
        let (mut client, server) = tokio::io::duplex(4096);
        client.write_all(&bytes).await.unwrap();
        let (code, sent) = tokio::join!(serve(server, "ann", &identity), async {
            let mut sent = Vec::new();
            client.read_to_end(&mut sent).await.unwrap();
            sent
        });
        assert_eq!(code.unwrap_err(), "08P01", "{bytes:?}");
        assert!(!sent.windows(4).any(|four| four == b"R\0\0\0\x08"), "never AuthenticationOk");
    }
}

/// A connected pair, and what `open` makes of the server's end.
async fn opened(tls: Option<Arc<rustls::ServerConfig>>, registry: Registry) -> (Client, tokio::task::JoinHandle<Result<Opened, Refusal>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, peer) = listener.accept().await.unwrap();
    let task = tokio::spawn(async move { open(server, peer, Terms { tls: tls.as_ref(), longest: LONGEST }, &registry).await });
    (client, task)
}

fn packet(number: i32, rest: &[u8]) -> Vec<u8> {
    let mut bytes = (rest.len() as u32 + 8).to_be_bytes().to_vec();
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes.extend_from_slice(rest);
    bytes
}

const SSL: i32 = 80_877_103;
const GSS: i32 = 80_877_104;
const V3: i32 = 196_608;

fn tls() -> (Arc<rustls::ServerConfig>, rustls::ClientConfig) {
    crate::server::tls::install_provider();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate.clone()], key).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    (Arc::new(server), rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

#[tokio::test]
async fn encryption_that_is_not_there_is_declined_once() {
    let (mut client, task) = opened(None, Registry::default()).await;
    for request in [packet(GSS, b""), packet(SSL, b"")] {
        client.write_all(&request).await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'N');
    }
    client.write_all(&packet(V3, b"user\0ann\0\0")).await.unwrap();
    assert_eq!(task.await.unwrap().unwrap().startup.unwrap().user, "ann");
    let (mut client, task) = opened(None, Registry::default()).await;
    client.write_all(&[packet(SSL, b""), packet(SSL, b"")].concat()).await.unwrap();
    assert_eq!(task.await.unwrap().unwrap().startup.unwrap_err().sqlstate(), "08P01");
}

#[tokio::test]
async fn e1_clear_bytes_after_an_ssl_request_end_the_connection_unread() {
    let (config, _) = tls();
    let (mut client, task) = opened(Some(config), Registry::default()).await;
    client.write_all(&[packet(SSL, b""), packet(V3, b"user\0mallory\0\0")].concat()).await.unwrap();
    let mut sent = Vec::new();
    client.read_to_end(&mut sent).await.ok();
    assert!(String::from_utf8_lossy(&sent).contains("received unencrypted data after SSL request"), "{sent:?}");
    assert!(matches!(task.await.unwrap(), Err(Refusal::Silent)));
}

#[tokio::test]
async fn tls_is_spoken_after_a_request_and_at_once() {
    let (config, client_config) = tls();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let (mut client, task) = opened(Some(Arc::clone(&config)), Registry::default()).await;
    client.write_all(&packet(SSL, b"")).await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'S');
    let mut secured = tokio_rustls::TlsConnector::from(Arc::new(client_config.clone())).connect(name.clone(), client).await.unwrap();
    secured.write_all(&packet(V3, b"user\0ann\0\0")).await.unwrap();
    assert_eq!(task.await.unwrap().unwrap().startup.unwrap().user, "ann");

    let mut direct = client_config.clone();
    direct.alpn_protocols = vec![ALPN.to_vec()];
    let (client, task) = opened(Some(Arc::clone(&config)), Registry::default()).await;
    let mut secured = tokio_rustls::TlsConnector::from(Arc::new(direct)).connect(name.clone(), client).await.unwrap();
    secured.write_all(&packet(V3, b"user\0ann\0\0")).await.unwrap();
    assert_eq!(task.await.unwrap().unwrap().startup.unwrap().user, "ann");

    let (client, task) = opened(Some(config), Registry::default()).await;
    let _ = tokio_rustls::TlsConnector::from(Arc::new(client_config)).connect(name, client).await;
    assert!(matches!(task.await.unwrap(), Err(Refusal::Silent)), "direct TLS must name its protocol");
}

#[tokio::test]
async fn e2_a_client_from_elsewhere_must_use_tls_where_there_is_tls() {
    let (config, _) = tls();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = Client::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    client.write_all(&packet(V3, b"user\0ann\0\0")).await.unwrap();
    let elsewhere: SocketAddr = "203.0.113.7:4000".parse().unwrap();
    let terms = Terms { tls: Some(&config), longest: LONGEST };
    let opened = open(server, elsewhere, terms, &Registry::default()).await.unwrap();
    assert_eq!(opened.startup.unwrap_err().sqlstate(), "28000");
}

#[tokio::test]
async fn a_cancel_request_is_answered_with_nothing() {
    let registry = Registry::default();
    let registration = registry.register(false);
    for key in [registration.key().to_vec(), vec![1, 2, 3, 4], vec![], vec![0; 300]] {
        let (mut client, task) = opened(None, registry.clone()).await;
        let rest = [&registration.pid().to_be_bytes()[..], &key].concat();
        client.write_all(&packet(80_877_102, &rest)).await.unwrap();
        let mut sent = Vec::new();
        client.read_to_end(&mut sent).await.unwrap();
        assert!(sent.is_empty());
        assert!(matches!(task.await.unwrap(), Err(Refusal::Silent)));
    }
}
