use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::users::{add_user, make_verifier, remove_user, set_verifier};
use super::*;

fn entry(name: &str, password: &str) -> UserEntry {
    UserEntry::new(name, "claims", vec!["g".to_owned()], BTreeMap::new(), make_verifier(&password.into()).unwrap()).unwrap()
}

struct World {
    folder: tempfile::TempDir,
    identity: Identity,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("identity.yaml");
        add_user(&file, entry("alice", "demo")).unwrap();
        let identity = Self::open(&folder);
        Self { folder, identity }
    }

    fn open(folder: &tempfile::TempDir) -> Identity {
        let path = folder.path();
        Identity::open(&path.join("identity.yaml"), &path.join("state"), Duration::from_secs(60), Clock::system()).unwrap()
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("identity.yaml")
    }

    /// Waits for the next reload, which must come within a second.
    async fn reloaded(changes: &mut channel::Receiver<u64>) {
        tokio::time::timeout(Duration::from_secs(1), changes.changed()).await.expect("within a second").unwrap();
    }
}

#[tokio::test]
async fn an_unknown_user_and_a_wrong_password_say_the_same() {
    let world = World::new();
    let known = world.identity.verify_password("alice", "wrong").await.unwrap_err();
    let unknown = world.identity.verify_password("alicf", "wrong").await.unwrap_err();
    assert_eq!(known.sqlstate(), "28P01");
    assert_eq!(known.message(), "password authentication failed for user \"alice\"");
    assert_eq!(known.message().replace("alice", "alicf"), unknown.message());
    assert_eq!((known.detail(), known.hint()), (unknown.detail(), unknown.hint()));
    assert_eq!(world.identity.verify_password("alice", "demo").await.unwrap().name.as_str(), "alice");
}

#[tokio::test]
async fn a_made_up_verifier_is_never_passed_and_has_the_shape_of_the_others() {
    let world = World::new();
    let (known, unknown) = (world.identity.scram_verifier("alice"), world.identity.scram_verifier("nobody"));
    assert_eq!((known.iterations, known.salt.len()), (unknown.iterations, unknown.salt.len()));
    assert!(known.known && !unknown.known);
    assert!(unknown == World::open(&world.folder).scram_verifier("nobody"), "the same after a restart");
}

#[tokio::test]
async fn a_token_survives_a_restart_but_not_a_new_password() {
    let world = World::new();
    let alice = world.identity.lookup(&PrincipalName::new("alice")).unwrap();
    let token = world.identity.mint_bearer(&alice);
    let restarted = World::open(&world.folder);
    assert_eq!(restarted.verify_bearer(&token).await.unwrap(), alice);
    set_verifier(&world.file(), "alice", make_verifier(&"demo".into()).unwrap()).unwrap();
    assert_eq!(World::open(&world.folder).verify_bearer(&token).await.unwrap_err().sqlstate(), "28P01");
}

#[tokio::test]
async fn a_change_of_the_file_bites_within_a_second_and_a_broken_file_does_not() {
    let world = World::new();
    let (stop, identity) = (CancellationToken::new(), world.identity.clone());
    let mut changes = identity.subscribe();
    let watching = tokio::spawn({
        let (identity, stop) = (identity.clone(), stop.clone());
        async move { identity.watch(stop).await }
    });
    let epoch = identity.epoch();
    let alice = PrincipalName::new("alice");
    let token = identity.mint_bearer(&identity.lookup(&alice).unwrap());

    add_user(&world.file(), entry("bob", "demo")).unwrap();
    World::reloaded(&mut changes).await;
    assert!(identity.lookup(&PrincipalName::new("bob")).is_some());
    assert!(identity.epoch() > epoch);
    identity.verify_bearer(&token).await.unwrap();

    let valid = std::fs::read_to_string(world.file()).unwrap();
    std::fs::write(world.file(), "users: [").unwrap();
    tokio::time::timeout(Duration::from_secs(1), changes.changed()).await.expect_err("a broken file changes nothing");
    assert!(identity.lookup(&alice).is_some());

    std::fs::write(world.file(), valid).unwrap();
    remove_user(&world.file(), "alice").unwrap();
    World::reloaded(&mut changes).await;
    assert!(identity.lookup(&alice).is_none());
    assert_eq!(identity.verify_bearer(&token).await.unwrap_err().sqlstate(), "28P01");
    assert!(identity.verify_password("alice", "demo").await.is_err());

    stop.cancel();
    watching.await.unwrap();
}
