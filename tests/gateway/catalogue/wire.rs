//! E: the wire and who is at its other end.

use postgres_protocol::message::frontend;

use super::told;
use crate::harness::TestGateway;
use crate::leaks::{CANARY, HOSTILE, Reader, holds};
use crate::pairs::bytes;
use crate::raw::Raw;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e8_statements_and_portals_of_a_session_are_bounded() {
    let gateway = TestGateway::new().domain("shop").user("bob", "shop", &[], &[]).start().await;
    let mut raw = Raw::log_in(&gateway, "bob").await;
    let mut refused = false;
    for batch in 0..60 {
        raw.build(|to| {
            for at in 0..500 {
                frontend::parse(&format!("s{batch}_{at}"), "SELECT 1", [], to).unwrap();
            }
            frontend::sync(to);
        })
        .await;
        let answer = bytes(&raw.until_ready().await);
        if holds(&answer, "too many prepared statements") {
            refused = true;
            break;
        }
    }
    assert!(refused, "thirty thousand statements were kept");
    raw.query("DEALLOCATE ALL").await;
    raw.until_ready().await;
    raw.query("SELECT 7").await;
    assert!(holds(&bytes(&raw.until_ready().await), "7"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e10_no_fault_of_storage_tells_a_path_a_cell_or_a_secret() {
    let bob = Reader::of(HOSTILE).await;
    let folder = bob.gateway.folder().join("data/hr");
    std::fs::write(folder.join("people.csv"), format!("id,name,region,salary,ssn,note\n1,{CANARY},us,{CANARY},x,y\n")).unwrap();
    std::fs::remove_file(folder.join("people.parquet")).unwrap();
    for format in ["csv", "parquet"] {
        let error = bob.postgres.query(&format!("SELECT * FROM hr.people_{format}"), &[]).await.unwrap_err();
        let error = format!("{error:?}");
        for secret in [CANARY, "people.csv", "people.parquet", "data/hr", "meshgate://", "SCRAM-SHA"] {
            assert!(!error.contains(secret), "{secret}: {error}");
        }
    }
    assert_eq!(told(&bob.postgres, "SELECT count(*) FROM hr.people_json").await, "5");
}
