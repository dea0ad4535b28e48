//! Broken builds, which the tests must notice.
//!
//! Each mutant is one line that is wrong, behind a switch that exists in the test build alone: `MESHGATE_MUTANT` names the one that a process
//! is. Tests that promise something are run in such a process, and one of them has to fail.

use std::collections::BTreeSet;
use std::error::Error;
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result as EngineResult};
use datafusion::logical_expr::Expr;

use crate::catalog::PortRef;
use crate::identity::Principal;
use crate::pairs::{Pair, Reader, Side, World, bytes, holds};
use crate::query::Asker;

/// The mutants, each with the test that must fail in it.
const MUTANTS: [(&str, &str); 10] = [
    ("naive filter", PAIRS),
    ("no scrub", "query::govern::tests::buffers::a_batch_is_drawn_in_fresh_buffers_whatever_the_engine_left_in_its_own"),
    ("limit passed through", PAIRS),
    ("shared cache", PAIRS),
    ("exact pushdown", PAIRS),
    ("raw errors", PAIRS),
    ("statistics forwarded", PAIRS),
    ("mask after filter", PAIRS),
    ("stale plan", "mutants::a_right_that_is_gone_is_gone_for_what_was_prepared_too"),
    ("missing describe check", PAIRS),
];

/// Processes at once.
const AT_ONCE: usize = 3;

const PAIRS: &str = "mutants::decisive_pairs_cannot_be_told_apart";

/// Whether this process is that mutant.
pub(crate) fn is(name: &str) -> bool {
    static MUTANT: OnceLock<Option<String>> = OnceLock::new();
    MUTANT.get_or_init(|| std::env::var("MESHGATE_MUTANT").ok()).as_deref() == Some(name)
}

/// An expression over columns by their bare names.
pub(crate) fn unqualified(expr: &Expr) -> EngineResult<Expr> {
    let bare = |expr| {
        Ok(match expr {
            Expr::Column(column) => Transformed::yes(Expr::Column(Column::new_unqualified(column.name))),
            other => Transformed::no(other),
        })
    };
    Ok(expr.clone().transform(bare)?.data)
}

/// All that an error has to say.
pub(crate) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut all = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        all = format!("{all}: {cause}");
        next = cause.source();
    }
    all
}

/// The asker, were they of the domain that owns the product.
pub(crate) fn owner(asker: &Asker, target: &PortRef) -> Asker {
    let domain = target.product.id.domain.clone();
    Asker { principal: Arc::new(Principal { domain, ..asker.principal.as_ref().clone() }), ..asker.clone() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisive_pairs_cannot_be_told_apart() {
    let mut pair = Pair::of(&World::broad(1)).await;
    pair.put_decisive().await;
    assert!(pair.findings.pairs > 60 && pair.findings.answered > 40, "{:?}", pair.findings);
    assert!(pair.findings.leaks.is_empty(), "{}", pair.findings.leaks.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_is_gone_is_gone_for_what_was_prepared_too() {
    let mut bob = Reader::new(World::broad(2).start(Side::A).await).await;
    bob.simple("PREPARE p AS SELECT count(*) FROM hr.people_csv").await;
    assert!(holds(&bytes(&bob.simple("EXECUTE p").await), "SELECT 1"));
    bob.gateway.put_user("bob", "sales", &[], &[("region", "eu")]);
    // While the file is written, there is nobody of that name for a moment; what counts is what holds afterwards.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let answer = bytes(&bob.simple("EXECUTE p").await);
    assert!(holds(&answer, "42501") && !holds(&answer, "SELECT 1"), "what was prepared still runs");
}

/// Runs one test of this binary, as this mutant or as none.
fn passes(mutant: Option<&str>, test: &str) -> bool {
    let mut command = Command::new(std::env::current_exe().expect("a test has a binary"));
    command.args(["--exact", test]).env_remove("MESHGATE_MUTANT").env_remove("NEXTEST_EXECUTION_MODE");
    if let Some(mutant) = mutant {
        command.env("MESHGATE_MUTANT", mutant);
    }
    let output = command.output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("running 1 test"), "{test} is a test: {said}");
    output.status.success()
}

#[test]
fn every_mutant_is_killed_and_the_sound_build_is_not() {
    assert!(MUTANTS.iter().all(|(mutant, _)| !is(mutant)), "this process is the judge");
    let mut runs: Vec<(Option<&str>, &str)> = MUTANTS.iter().map(|(mutant, test)| (Some(*mutant), *test)).collect();
    let tests: BTreeSet<&str> = MUTANTS.iter().map(|(_, test)| *test).collect();
    runs.extend(tests.into_iter().map(|test| (None, test)));
    // Each is a process that waits for sockets more than it works.
    let (queue, answers) = (parking_lot::Mutex::new(0..runs.len()), parking_lot::Mutex::new(vec![false; runs.len()]));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(run) = queue.lock().next() else { return };
                    let passed = passes(runs[run].0, runs[run].1);
                    answers.lock()[run] = passed;
                }
            });
        }
    });
    let passed = answers.into_inner();
    let (mut killed, mut alive) = (Vec::new(), Vec::new());
    for ((mutant, test), passed) in runs.iter().zip(passed) {
        match (mutant, passed) {
            (None, passed) => assert!(passed, "{test} fails in the sound build"),
            (Some(mutant), true) => alive.push(*mutant),
            (Some(mutant), false) => killed.push(*mutant),
        }
    }
    println!("{} of {} mutants killed: {}", killed.len(), MUTANTS.len(), killed.join(", "));
    assert!(alive.is_empty(), "alive: {}", alive.join(", "));
}
