use super::*;
use crate::fuzz;

fn packet(number: i32, rest: &[u8]) -> Vec<u8> {
    [&number.to_be_bytes(), rest].concat()
}

/// The packet that says what was read.
fn written(startup: &Startup) -> Vec<u8> {
    let mut bytes = version(startup.minor).to_be_bytes().to_vec();
    let mut put = |name: &str, value: &str| {
        for text in [name, value] {
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(0);
        }
    };
    put("user", &startup.user);
    put("database", &startup.database);
    startup.settings.iter().for_each(|(name, value)| put(name, value));
    startup.unknown.iter().for_each(|name| put(name, ""));
    bytes.push(0);
    bytes
}

/// Whether a setting of this name can stand in a packet by itself.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with("_pq_.") && !["user", "database", "replication", "options"].contains(&name)
}

#[test]
fn no_startup_packet_panics_and_what_is_read_can_be_written_again() {
    let seeds = [
        packet(196_608, b"user\0ann\0database\0mesh\0application_name\0psql\0\0"),
        packet(196_610, b"user\0ann\0_pq_.x\0\0options\0-c a=b --c=d\\ e\0replication\0false\0\0"),
        packet(CANCEL, &[0; 36]),
        packet(SSL, b""),
        packet(GSS, b""),
    ];
    bolero::check!().with_iterations(5_000).with_max_len(fuzz::INPUT).for_each(fuzz::each(&seeds, |input| {
        match parse(Bytes::copy_from_slice(input)) {
            Ok(Packet::Startup(startup)) => {
                assert!(!startup.user.is_empty());
                if startup.settings.iter().all(|(name, _)| is_plain(name)) {
                    assert_eq!(parse(written(&startup).into()).unwrap(), Packet::Startup(startup));
                }
            }
            Ok(_) => {}
            Err(fault) => assert!(!matches!(fault.kind(), ErrorKind::Internal | ErrorKind::Login), "{fault:?}"),
        }
    }));
}
