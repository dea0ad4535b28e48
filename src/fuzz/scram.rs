use super::*;
use crate::fuzz;
use crate::identity::ScramVerifier;

fn message(body: &[u8]) -> Vec<u8> {
    [b"p", &i32::try_from(body.len() + 4).unwrap().to_be_bytes()[..], body].concat()
}

fn initial(data: &[u8]) -> Vec<u8> {
    message(&[b"SCRAM-SHA-256\0", &i32::try_from(data.len()).unwrap().to_be_bytes()[..], data].concat())
}

#[test]
fn no_messages_make_the_login_panic_or_let_anybody_in() {
    let verifier = ScramVerifier::generate(&"correct horse".into()).unwrap();
    let identity = Identity::for_test(&format!("users:\n  - name: ann\n    domain: claims\n    verifier: \"{verifier}\"\n"));
    let proof = "A".repeat(43) + "=";
    let last = message(format!("c=biws,r=abcdefgh,p={proof}").as_bytes());
    let seeds = [
        initial(b"n,,n=,r=abcdefgh"),
        [initial(b"n,,n=,r=abcdefgh"), last.clone()].concat(),
        [initial(b"y,a=ann,n=ann,r=abcdefgh,x=y"), last.clone()].concat(),
        [initial(b"p=tls-server-end-point,,n=,r=abcdefgh"), last].concat(),
        message(b"correct horse\0"),
    ];
    bolero::check!().with_iterations(3_000).with_max_len(fuzz::INPUT).for_each(fuzz::each(&seeds, |input| {
        for user in ["ann", "nobody"] {
            let startup = Startup { user: user.to_owned(), database: "mesh".to_owned(), ..Startup::default() };
            let mut frames = Frames::new(tokio::io::join(input, tokio::io::sink()));
            match futures::executor::block_on(authenticate(&mut frames, &startup, &identity, Rules { binding: None, longest: 64 << 10 })) {
                Err(Refusal::Silent) => {}
                Err(Refusal::Fatal(fault)) => {
                    assert!(matches!(fault.kind(), ErrorKind::Protocol | ErrorKind::Login | ErrorKind::InvalidText), "{fault:?}");
                }
                Ok(login) => panic!("{login:?} without the password"),
            }
        }
    }));
}
