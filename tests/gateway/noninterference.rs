//! The pairs, at random: see `pairs/suite.rs` for what is compared.
//!
//! `MESHGATE_PAIRS=1000000` looks at more of them, `MESHGATE_SEED=n` begins at another seed; a leak is told with its own.

use futures::StreamExt;

use crate::pairs::{self, Findings, PER_SEED, Pair, World};

/// Pairs of a run of all tests.
const PAIRS: usize = 2_000;
/// Seeds at work at once: a pair waits for disks and sockets more than it works.
const AT_ONCE: usize = 3;

fn setting(name: &str) -> Option<usize> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn meshes_that_differ_in_what_is_hidden_give_their_reader_the_same_bytes() {
    let (first, wanted) = (setting("MESHGATE_SEED"), setting("MESHGATE_PAIRS"));
    // A seed alone is one to look at again.
    let wanted = wanted.unwrap_or(if first.is_some() { PER_SEED } else { PAIRS });
    let begun = std::time::Instant::now();
    let mut all = Findings::default();
    let seeds = (0..wanted.div_ceil(PER_SEED)).map(|seed| (first.unwrap_or(1) + seed) as u64);
    let mut runs = futures::stream::iter(seeds).map(|seed| pairs::run(seed, PER_SEED)).buffered(AT_ONCE);
    while let Some(findings) = runs.next().await {
        // A long run tells at once.
        findings.leaks.iter().for_each(|leak| println!("LEAK {leak}"));
        all.add(findings);
        if all.pairs.is_multiple_of(10_000) {
            println!("{} pairs in {:?}, {} leaks", all.pairs, begun.elapsed(), all.leaks.len());
        }
    }
    println!("{} pairs, {} answered, {} unsteady, in {:?}", all.pairs, all.answered, all.unsteady, begun.elapsed());
    assert!(all.leaks.is_empty(), "{} leaks\n{}", all.leaks.len(), all.leaks.join("\n\n"));
    assert!(all.answered * 2 > all.pairs, "half of them should be answered, for that to mean something: {} of {}", all.answered, all.pairs);
    assert!(all.unsteady * 20 < all.pairs, "too many answers vary by chance: {} of {}", all.unsteady, all.pairs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_broken_gateways_stumble_over_does_not_tell_two_meshes_apart() {
    let mut pair = Pair::of(&World::broad(1)).await;
    pair.put_decisive().await;
    assert!(pair.findings.leaks.is_empty(), "{}", pair.findings.leaks.join("\n\n"));
    assert!(pair.a.gateway.ledger().await.len() >= 40, "what was asked was read");
}
