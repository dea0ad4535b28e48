use std::sync::Barrier;

use super::*;
use crate::catalog::Catalog;
use crate::id::{DomainName, GroupName, PrincipalName, ProductId, ProductName};

const HOUR: Term = Term::For(Duration::from_secs(3600));

/// Domains `claims` and `sales`, each with its stewards; `claims.cases` is for fraud or audit.
fn snapshot() -> Arc<Snapshot> {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("mesh.yaml", "apiVersion: datamesh.io/v1\nkind: Mesh\nmetadata: {name: m}\nspec: {currency: USD}\n");
    for domain in ["claims", "sales"] {
        write(
            &format!("{domain}/domain.yaml"),
            &format!(
                "apiVersion: datamesh.io/v1\nkind: Domain\nmetadata: {{name: {domain}}}\nspec:\n  owner: {{team: t, contact: c@x.example}}\n  \
                 stewards: [{domain}-stewards]\n  storage: [{{prefix: \"file:data/{domain}/\"}}]\n"
            ),
        );
    }
    for (name, purposes) in [("cases", "purposes: [fraud, audit]"), ("notes", "retention: 1y")] {
        write(
            &format!("claims/{name}/v1.yaml"),
            &format!(
                "apiVersion: datamesh.io/v1\nkind: DataProduct\nmetadata:\n  name: {name}\n  domain: claims\n  version: 1.0.0\n  \
                 description: d\n  owner: {{team: t, contact: c@x.example}}\nspec:\n  outputPorts:\n    - name: sql\n      format: csv\n      \
                 location: file:data/claims/{name}/\n      schema: [{{name: a, type: bigint}}]\n  sla: {{freshness: 1h}}\n  \
                 policies: {{access: restricted, {purposes}}}\n"
            ),
        );
    }
    let snapshot = Catalog::inspect(folder.path()).unwrap();
    assert_eq!(snapshot.products.len(), 2, "{:?}", snapshot.problems);
    Arc::new(snapshot)
}

fn principal(name: &str, domain: &str, groups: &[&str]) -> Principal {
    Principal {
        name: PrincipalName::new(name),
        domain: DomainName::new(domain).unwrap(),
        groups: groups.iter().map(|group| GroupName::new(group)).collect(),
        attributes: Default::default(),
        token: None,
    }
}

fn product(name: &str) -> ProductId {
    ProductId { domain: DomainName::new("claims").unwrap(), product: ProductName::new(name).unwrap() }
}

struct World {
    folder: tempfile::TempDir,
    clock: Clock,
    snapshot: Arc<Snapshot>,
    access: Access,
    ann: Principal,
    steward: Principal,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::fixed("2026-11-20T12:00:00Z".parse().unwrap());
        let access = open(folder.path(), &clock).unwrap();
        let (ann, steward) = (principal("ann", "sales", &[]), principal("sam", "claims", &["claims-stewards"]));
        Self { folder, clock, snapshot: snapshot(), access, ann, steward }
    }

    fn wish(&self, name: &str, purpose: Option<&str>, term: Term) -> Wish<'_> {
        let product = self.snapshot.products[&product(name)].newest();
        Wish { product, purpose: purpose.map(str::to_owned), reason: "a study".into(), term }
    }

    fn ask(&self, term: Term) -> Result<AccessRequest> {
        self.access.ask(&self.ann, self.wish("notes", None, term))
    }

    fn granted(&self, term: Term) -> Grant {
        let request = self.ask(term).unwrap();
        self.access.approve(request.id, &self.steward, &self.snapshot, "it helps").unwrap()
    }

    fn holds(&self, by: &Principal) -> bool {
        !self.access.held_by(by).of(&product("notes")).is_empty()
    }
}

fn open(folder: &Path, clock: &Clock) -> Result<Access> {
    Access::open(folder, Bounds { pending: 3, grant: Duration::from_secs(90 * 86_400) }, clock.clone())
}

fn told<T: fmt::Debug>(result: Result<T>) -> (&'static str, String) {
    let fault = result.unwrap_err();
    (fault.kind().codes().label, fault.message().to_owned())
}

#[test]
fn a_grant_holds_from_the_approval_until_its_time_for_its_grantee_alone() {
    let world = World::new();
    let request = world.ask(HOUR).unwrap();
    assert!(!world.holds(&world.ann), "a request is not a grant");
    world.clock.advance(TimeDelta::minutes(30));
    let grant = world.access.approve(request.id, &world.steward, &world.snapshot, "it helps").unwrap();
    assert_eq!(grant.expires_at - world.clock.now(), TimeDelta::hours(1), "counted from the approval");
    assert!(world.holds(&world.ann) && !world.holds(&world.steward) && !world.holds(&principal("anne", "sales", &[])));
    assert!(world.access.held_by(&world.ann).of(&product("cases")).is_empty());
    world.clock.advance(TimeDelta::minutes(60) - TimeDelta::microseconds(1));
    assert!(world.holds(&world.ann));
    let before = world.access.held_by(&world.ann).revision();
    world.clock.advance(TimeDelta::microseconds(1));
    assert!(!world.holds(&world.ann), "at its time it has run out");
    assert!(world.access.held_by(&world.ann).revision() > before);
}

#[test]
fn who_moves_to_another_domain_leaves_grants_behind() {
    let world = World::new();
    world.granted(HOUR);
    assert!(!world.holds(&principal("ann", "claims", &[])));
}

#[test]
fn what_was_granted_and_revoked_is_so_after_a_restart() {
    let world = World::new();
    let (revoked, kept) = (world.granted(HOUR), world.granted(Term::For(Duration::from_secs(7200))));
    world.access.revoke(revoked.id, &world.steward, &world.snapshot, None).unwrap();
    let again = open(world.folder.path(), &world.clock).unwrap();
    let ids = |access: &Access| access.held_by(&world.ann).of(&product("notes")).iter().map(|grant| (**grant).clone()).collect::<Vec<_>>();
    assert_eq!((ids(&again), ids(&world.access)), (vec![kept.clone()], vec![kept]));
    world.clock.advance(TimeDelta::hours(3));
    assert!(ids(&open(world.folder.path(), &world.clock).unwrap()).is_empty());
}

#[test]
fn nobody_decides_on_their_own_request_and_only_stewards_decide() {
    let world = World::new();
    let own = world.access.ask(&world.steward, world.wish("notes", None, HOUR)).unwrap();
    let refused = ("DENIED", "nobody decides on their own request".to_owned());
    assert_eq!(told(world.access.approve(own.id, &world.steward, &world.snapshot, "me")), refused);
    assert_eq!(told(world.access.reject(own.id, &world.steward, &world.snapshot, "me")), refused);
    let request = world.ask(HOUR).unwrap();
    for (who, label) in [
        (principal("ann", "sales", &[]), "DENIED"),
        (principal("root", "platform", &[ADMINISTRATORS]), "DENIED"),
        (principal("bob", "claims", &[]), "NOT_FOUND"),
        (principal("sue", "sales", &["sales-stewards"]), "NOT_FOUND"),
    ] {
        assert_eq!(told(world.access.approve(request.id, &who, &world.snapshot, "yes")).0, label, "{}", who.name);
        assert_eq!(told(world.access.reject(request.id, &who, &world.snapshot, "no")).0, label, "{}", who.name);
    }
    let nothing = told(world.access.approve(RequestId::generate(), &world.steward, &world.snapshot, "yes"));
    let hidden = told(world.access.approve(request.id, &principal("bob", "claims", &[]), &world.snapshot, "yes"));
    assert_eq!(nothing.1.len(), hidden.1.len(), "{} as {}", hidden.1, nothing.1);
    assert!(!world.holds(&world.ann) && !world.holds(&world.steward));
}

#[test]
fn of_stewards_who_decide_at_once_one_is_first_and_the_others_are_told() {
    let world = World::new();
    let request = world.ask(HOUR).unwrap();
    let barrier = Barrier::new(8);
    let decided: Vec<_> = std::thread::scope(|scope| {
        let decide = |number: usize| {
            let steward = principal(&format!("sam{number}"), "claims", &["claims-stewards"]);
            barrier.wait();
            match number % 2 {
                0 => world.access.approve(request.id, &steward, &world.snapshot, "yes").map(drop),
                _ => world.access.reject(request.id, &steward, &world.snapshot, "no").map(drop),
            }
        };
        let threads: Vec<_> = (0..8).map(|number| scope.spawn(move || decide(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (won, lost): (Vec<_>, Vec<_>) = decided.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 7));
    for (label, message) in lost.into_iter().map(told) {
        assert!(label == "NOT_IN_STATE" && message.contains("already") && message.contains(" by sam"), "{message}");
    }
}

#[test]
fn a_grant_is_ended_by_stewards_administrators_and_who_holds_it_and_by_nobody_else() {
    let world = World::new();
    for by in [world.ann.clone(), world.steward.clone(), principal("root", "platform", &[ADMINISTRATORS])] {
        let grant = world.granted(HOUR);
        for stranger in [principal("bob", "claims", &["audit-reader"]), principal("sue", "sales", &["sales-stewards"])] {
            assert_eq!(told(world.access.revoke(grant.id, &stranger, &world.snapshot, None)).0, "NOT_FOUND");
        }
        assert!(world.holds(&world.ann));
        world.access.revoke(grant.id, &by, &world.snapshot, Some("done")).unwrap();
        assert!(!world.holds(&world.ann), "by {}", by.name);
        let again = told(world.access.revoke(grant.id, &by, &world.snapshot, None));
        assert_eq!(again, ("NOT_IN_STATE", format!("the grant {} has ended already", grant.id)));
    }
}

#[test]
fn requests_are_bounded_in_number_and_asked_once() {
    let world = World::new();
    let first = world.ask(HOUR).unwrap();
    assert_eq!(told(world.ask(HOUR)), ("NOT_IN_STATE", "you have asked for access to claims.notes already".to_owned()));
    for purpose in ["fraud", "audit"] {
        world.access.ask(&world.ann, world.wish("cases", Some(purpose), HOUR)).unwrap();
    }
    assert_eq!(told(world.access.ask(&world.ann, world.wish("cases", None, HOUR))).0, "TOO_MANY_PENDING");
    world.access.ask(&principal("bob", "sales", &[]), world.wish("notes", None, HOUR)).unwrap();
    assert_eq!(told(world.access.withdraw(first.id, &world.steward, &world.snapshot)).0, "DENIED");
    assert_eq!(world.access.withdraw(first.id, &world.ann, &world.snapshot).unwrap().status, Status::Withdrawn);
    assert_eq!(told(world.access.withdraw(first.id, &world.ann, &world.snapshot)).0, "NOT_IN_STATE");
    world.ask(HOUR).unwrap();
}

#[test]
fn what_is_asked_for_is_checked() {
    let world = World::new();
    let now = world.clock.now();
    for term in [Term::Until(now), Term::Until(now - TimeDelta::days(1)), Term::Until(now + TimeDelta::days(91)), Term::For(Duration::MAX)]
    {
        assert_eq!(told(world.ask(term)).0, "INVALID_PARAMETER", "{term}");
    }
    world.ask(Term::Until(now + TimeDelta::days(90))).unwrap();
    let foreign = told(world.access.ask(&world.ann, world.wish("cases", Some("fun"), HOUR)));
    assert_eq!(foreign.1, "claims.cases is not read for the purpose \"fun\"");
    for reason in ["", "  ", "a\nb", "\u{1b}[31m", &"x".repeat(1001)] {
        let wish = Wish { reason: reason.into(), ..world.wish("cases", None, HOUR) };
        assert_eq!(told(world.access.ask(&world.ann, wish)).0, "INVALID_PARAMETER", "{reason:?}");
    }
    let late =
        world.access.ask(&principal("bob", "sales", &[]), world.wish("notes", None, Term::Until(now + TimeDelta::hours(1)))).unwrap();
    world.clock.advance(TimeDelta::hours(1));
    assert_eq!(told(world.access.approve(late.id, &world.steward, &world.snapshot, "yes")).0, "NOT_IN_STATE");
}

#[test]
fn a_request_is_listed_to_who_asked_to_the_stewards_and_to_administrators() {
    let world = World::new();
    let request = world.ask(HOUR).unwrap();
    for (who, sees) in [
        (world.ann.clone(), true),
        (world.steward.clone(), true),
        (principal("root", "platform", &[ADMINISTRATORS]), true),
        (principal("bob", "sales", &["sales-stewards", "audit-reader"]), false),
        (principal("eve", "claims", &[]), false),
    ] {
        let listed = world.access.requests(&who, &world.snapshot, Some(Status::Pending)).unwrap();
        assert_eq!(listed, if sees { vec![request.clone()] } else { vec![] }, "{}", who.name);
        assert!(world.access.requests(&who, &world.snapshot, Some(Status::Approved)).unwrap().is_empty());
    }
}

#[test]
fn the_records_say_who_did_what_and_are_not_changed_afterwards() {
    let world = World::new();
    let grant = world.granted(HOUR);
    world.access.revoke(grant.id, &world.ann, &world.snapshot, Some("no longer needed")).unwrap();
    let other = world.ask(HOUR).unwrap();
    world.access.reject(other.id, &world.steward, &world.snapshot, "not again").unwrap();
    let file = rusqlite::Connection::open(world.access.path()).unwrap();
    let mut statement = file.prepare("SELECT action || ' ' || actor || ': ' || reason FROM events ORDER BY entry").unwrap();
    let events: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(|row| row.unwrap()).collect();
    assert_eq!(
        events,
        [
            "requested ann: a study",
            "approved sam: it helps",
            "returned ann: no longer needed",
            "requested ann: a study",
            "rejected sam: not again"
        ]
    );
    for change in [
        "UPDATE events SET actor = 'eve'",
        "DELETE FROM events",
        "DELETE FROM grants",
        "UPDATE grants SET expires_at = expires_at + 1",
        "UPDATE requests SET status = 'pending'",
        "DELETE FROM requests",
    ] {
        assert!(file.execute(change, []).is_err(), "{change}");
    }
}

#[test]
fn a_file_that_is_damaged_or_not_ours_is_refused() {
    let clock = Clock::system();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(FILE), vec![7; 10_000]).unwrap();
    assert_eq!(told(open(folder.path(), &clock)).0, "STORAGE");
    let folder = tempfile::tempdir().unwrap();
    let other = rusqlite::Connection::open(folder.path().join(FILE)).unwrap();
    other.pragma_update(None, "application_id", 7).unwrap();
    drop(other);
    assert_eq!(told(open(folder.path(), &clock)).1, "the access records' file belongs to another program");
}

/// Live grants of so many principals, one each, and the time of a hundred thousand look-ups.
fn looked_up(grants: usize) -> Duration {
    let world = World::new();
    let template = world.granted(HOUR);
    let of = |number: usize| Grant { id: GrantId::generate(), principal: PrincipalName::new(&format!("p{number}")), ..template.clone() };
    let live = Live::new((0..grants).map(of).collect());
    let (reader, product) = (principal("p5", "sales", &[]), product("notes"));
    let begun = tokio::time::Instant::now();
    for _ in 0..100_000 {
        assert_eq!(live.held_by(&reader).of(&product).len(), 1);
        assert!(!live.has_expired(template.granted_at));
    }
    begun.elapsed()
}

#[test]
fn ten_thousand_grants_cost_a_look_up_no_more_than_ten() {
    let fastest = |grants: usize| (0..5).map(|_| looked_up(grants)).min().unwrap();
    let (few, many) = (fastest(10), fastest(10_000));
    println!("100,000 look-ups: {few:?} among 10 grants, {many:?} among 10,000");
    assert!(many < few * 3, "{few:?} and {many:?}");
}
