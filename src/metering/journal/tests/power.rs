//! Power cuts: what was written since the last flush is there, or not, or in parts.
//!
//! A settlement is acknowledged once the log was flushed, so the log as long as it was at an acknowledgement is on the disk. Whatever lies behind that may
//! have got there in any part and any order: here it is cut off anywhere, and its sectors are lost or hold something else.

use super::*;

/// What a disk writes whole.
const SECTOR: usize = 512;
/// Log pages are not moved to the database file before there are 8,000 of them.
const LOG: &str = "-wal";

/// A power cut at each moment that is looked at, in so many ways.
const WAYS: usize = 40;

fn log_of(folder: &Path) -> PathBuf {
    folder.join(format!("{FILE}{LOG}"))
}

fn length(folder: &Path) -> usize {
    std::fs::metadata(log_of(folder)).map_or(0, |found| usize::try_from(found.len()).expect("a length"))
}

/// The log with everything behind `flushed` as the power cut left it.
fn torn(log: &[u8], flushed: usize, way: usize) -> Vec<u8> {
    let mut torn = log.to_vec();
    if way.is_multiple_of(2) {
        torn.truncate(rand::random_range(flushed..=log.len()));
    }
    if way % 4 > 1 {
        for sector in torn.get_mut(flushed..).unwrap_or_default().chunks_mut(SECTOR) {
            match rand::random_range(0..4) {
                0 => sector.fill(0),
                1 => rand::fill(sector),
                _ => {}
            }
        }
    }
    torn
}

/// Two ports a query, so that a settlement is several rows.
async fn settle(journal: &Journal, bytes: u64) -> String {
    let begun = start();
    let id = begun.query_id.to_string();
    let account = journal.begin(begun).expect("begins");
    account.meter(&port("a"), "1.0.0", "7").add(ReadKind::Data, bytes);
    account.meter(&port("b"), "1.0.0", "7").add(ReadKind::Data, 1);
    account.settle(Outcome::Completed, None, 1).await.expect("settles");
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_power_cut_what_was_acknowledged_is_there_whole_and_nothing_is_there_in_parts() {
    let folder = tempfile::tempdir().expect("folder");
    let journal = open(folder.path());
    let (mut acknowledged, mut lost, mut kept) = (Vec::new(), 0, 0);
    for moment in 0..8_u64 {
        for at in 0..3 {
            acknowledged.push((settle(&journal, 10 + at).await, 11 + at));
        }
        let flushed = length(folder.path());
        // These are written meanwhile, and nobody has heard of them when the power goes.
        let more: Vec<_> = (0..5)
            .map(|at| {
                let journal = journal.clone();
                tokio::spawn(async move { settle(&journal, 100 + at).await })
            })
            .collect();
        let mut unheard = Vec::new();
        for settled in more {
            unheard.push(settled.await.expect("settles"));
        }
        let copy = as_after_a_kill(folder.path());
        let log = std::fs::read(log_of(copy.path())).expect("reads");
        assert!(flushed > 0 && log.len() > flushed, "{flushed} of {}", log.len());
        for way in 0..WAYS {
            let cut = as_after_a_kill(copy.path());
            std::fs::write(log_of(cut.path()), torn(&log, flushed, way)).expect("tears");
            let context = format!("moment {moment}, way {way}");
            let reopened = open(cut.path());
            let rows = settled(cut.path());
            for (id, bytes) in &acknowledged {
                let found: Vec<_> = rows.iter().filter(|row| row.0 == *id).collect();
                assert!(
                    matches!(found.as_slice(), [(_, outcome, read)] if outcome == "completed" && *read == *bytes as i64),
                    "{context}: {found:?}"
                );
            }
            let others: Vec<_> = rows.iter().filter(|row| !acknowledged.iter().any(|(id, _)| *id == row.0)).collect();
            for (id, outcome, bytes) in &others {
                assert!(unheard.contains(id) && outcome == "completed" && (101..=105).contains(bytes), "{context}: {outcome} {bytes}");
            }
            kept += others.len();
            lost += unheard.len() - others.len();
            assert_eq!(one_text(cut.path(), "PRAGMA integrity_check"), "ok", "{context}");
            // It goes on as if nothing had been.
            settle(&reopened, 7).await;
            reopened.close().await.expect("closes");
            assert_eq!(settled(cut.path()).len(), rows.len() + 1, "{context}");
        }
        // In the journal itself they are acknowledged by now.
        acknowledged.extend(unheard.into_iter().zip(101..));
    }
    assert!(lost > 100 && kept > 100, "cuts that lose some and keep some: {lost} lost, {kept} kept");
    journal.close().await.expect("closes");
}
