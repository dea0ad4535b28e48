use super::*;
use crate::fuzz;

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &i32::try_from(body.len() + 4).unwrap().to_be_bytes()[..], body].concat()
}

#[test]
fn no_bytes_make_the_reader_of_frames_panic() {
    let bind = b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x03abc\xff\xff\xff\xff\0\x01\0\0";
    let seeds = [
        message(b'Q', b"SELECT 1\0"),
        message(b'P', b"name\0SELECT $1\0\0\x01\0\0\0\x17"),
        message(b'B', bind),
        [message(b'D', b"Sname\0"), message(b'E', b"p\0\0\0\0\x05"), message(b'C', b"Pp\0"), message(b'S', b"")].concat(),
        [message(b'd', b"x"), message(b'F', b"x"), message(b'X', b"")].concat(),
    ];
    bolero::check!().with_iterations(5_000).with_max_len(fuzz::INPUT).for_each(fuzz::each(&seeds, |input| {
        futures::executor::block_on(async {
            let mut frames = Frames::new(input);
            // As the door does: what is too long is never buffered.
            while let Ok((kind, length)) = frames.header().await {
                if length > 1 << 16 {
                    break;
                }
                let Ok(frame) = frames.body(kind, length).await else { break };
                assert!(frame.body.len() <= input.len(), "no more than was sent");
                let body = frame.body.clone();
                match parse(frame) {
                    Ok(Frontend::Query(sql)) => assert_eq!([sql.as_bytes(), b"\0"].concat(), body),
                    Ok(_) => {}
                    Err(fault) => assert!(
                        matches!(fault.kind(), ErrorKind::Protocol | ErrorKind::InvalidText | ErrorKind::InvalidParameter),
                        "{fault:?}"
                    ),
                }
            }
        });
    }));
}
