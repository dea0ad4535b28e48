use futures::executor::block_on;

use super::*;
use crate::fuzz;

#[test]
fn no_bytes_are_a_ticket_a_handle_a_session_or_a_bearer_but_those_that_were_made() {
    let identity = Identity::for_test("users: []\n");
    let alice = PrincipalName::new("alice");
    let statement = || Statement { sql: "SELECT $1".to_owned(), parameters: Bytes::from_static(b"row"), settings: BTreeMap::new() };
    let genuine = [
        ticket(&identity, &alice, Request::Statement(statement())).unwrap().ticket.to_vec(),
        ticket(&identity, &alice, Request::Command(Bytes::from_static(b"command"))).unwrap().ticket.to_vec(),
        handle(&identity, &alice, statement()).unwrap().to_vec(),
        session(&identity, &alice, &BTreeMap::from([("a".to_owned(), "b".to_owned())])),
    ];
    // Beneath the seal too: should a key ever leak, what it seals must do no harm.
    let payload = envelope(&alice, Nonce([7; 16]), Request::Statement(statement()), i64::MAX);
    let seeds: Vec<_> = genuine.iter().cloned().chain([payload]).collect();
    bolero::check!().with_iterations(5_000).with_max_len(fuzz::INPUT).for_each(fuzz::each(&seeds, |input| {
        let made = genuine.iter().any(|sealed| sealed == input);
        let opened = open_ticket(&identity, &alice, input).is_ok()
            || open_handle(&identity, &alice, input).is_ok()
            || open_session(&identity, &alice, input).is_some()
            || block_on(identity.verify_bearer(&fuzz::text(input))).is_ok();
        assert!(made || !opened, "{input:?}");
        for fault in [check_ticket(input, &alice, 0).err(), check_handle(input, &alice).err()].into_iter().flatten() {
            assert!(matches!(fault.kind(), ErrorKind::Denied | ErrorKind::UndefinedStatement), "{fault:?}");
        }
    }));
}
