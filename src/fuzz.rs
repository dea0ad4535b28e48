//! Fuzz targets: whatever comes in from outside, nothing panics, nothing takes long, and every error is of a kind that was expected.
//!
//! The targets lie in `src/fuzz/` and are included by the modules that they try, so that they reach what is private. They are tests with
//! a bounded number of inputs. A long run is one command, without a bound or guided by coverage:
//!
//! ```text
//! BOLERO_RANDOM_ITERATIONS=1000000 cargo nextest run -E 'test(fuzz)'
//! cargo bolero test query::parse::fuzz::no_text_makes_the_sql_door_panic
//! ```

use std::panic::{AssertUnwindSafe, RefUnwindSafe};
use std::time::{Duration, Instant};

/// Bytes of random input: enough for a handful of edits.
pub(crate) const INPUT: usize = 96;
/// What one input may take. Far more than any does, because the machine may be busy.
const LONGEST: Duration = Duration::from_secs(20);

/// Tries `body` with what the input makes of the seeds.
pub(crate) fn each<S: AsRef<[u8]>>(seeds: &[S], body: impl FnMut(&[u8])) -> impl FnMut(&[u8]) + RefUnwindSafe {
    let seeds: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.as_ref().to_vec()).collect();
    // What a panic leaves behind is not looked at again: it ends the test.
    let mut body = AssertUnwindSafe(body);
    move |input| {
        let body = &mut body;
        let begun = Instant::now();
        (body.0)(&made_of(input, &seeds));
        assert!(begun.elapsed() < LONGEST, "it took {:?}", begun.elapsed());
    }
}

/// The input itself, or a seed with the edits that the input describes.
fn made_of(input: &[u8], seeds: &[Vec<u8>]) -> Vec<u8> {
    let Some((choice, edits)) = input.split_first() else { return Vec::new() };
    let Some(seed) = seeds.get(usize::from(*choice) % (seeds.len() + 1)) else { return edits.to_vec() };
    let mut bytes = seed.clone();
    for edit in edits.chunks_exact(4).take(8) {
        let at = usize::from(u16::from_be_bytes([edit[1], edit[2]])) % (bytes.len() + 1);
        let end = (at + usize::from(edit[3])).min(bytes.len());
        match edit[0] % 8 {
            0 => bytes.insert(at, edit[3]),
            1 => bytes.truncate(at),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy.repeat(3));
            }
            4 => bytes.resize(bytes.len() + usize::from(edit[3]), edit[2]),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = edit[3];
                }
            }
        }
    }
    bytes
}

/// The input as text, with what is not UTF-8 replaced.
pub(crate) fn text(input: &[u8]) -> String {
    String::from_utf8_lossy(input).into_owned()
}
