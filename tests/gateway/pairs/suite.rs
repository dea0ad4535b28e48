//! Non-interference: for any SQL, two meshes that differ only in what a reader may not see give that reader the same bytes.
//!
//! A seed makes a pair of meshes and the statements for it, each put in one of many ways to both. What comes back is compared whole.
//! Only query ids and the timings of EXPLAIN ANALYZE are blanked.

mod data;
mod dice;
mod doors;
mod sql;
mod world;

use std::sync::LazyLock;

use regex::bytes::Regex;

pub use self::dice::Dice;
pub use self::doors::{Reader, Way, bytes};
pub use self::world::{CANARY, Side, World};

use self::doors::WAYS;

/// Statements of one seed.
pub const PER_SEED: usize = 50;

/// How often a difference is looked at again: SQL leaves the order of some rows open, and threads then decide it.
const LOOKS: usize = 5;

/// What was found.
#[derive(Debug, Default)]
pub struct Findings {
    pub pairs: usize,
    /// Answered with something else than an error.
    pub answered: usize,
    /// Whose answers vary from one time to the next in one and the same mesh, and were the same at some time.
    pub unsteady: usize,
    /// Each with its seed.
    pub leaks: Vec<String>,
}

impl Findings {
    /// Both together.
    pub fn add(&mut self, other: Self) {
        self.pairs += other.pairs;
        self.answered += other.answered;
        self.unsteady += other.unsteady;
        self.leaks.extend(other.leaks);
    }
}

/// Two gateways, and what was found at them.
pub struct Pair {
    pub a: Reader,
    pub b: Reader,
    pub seed: u64,
    policies: Vec<String>,
    pub findings: Findings,
}

impl Pair {
    /// The meshes of a seed.
    pub async fn of(world: &World) -> Self {
        let (a, b) = tokio::join!(world.start(Side::A), world.start(Side::B));
        // Somebody who may see everything has been there before.
        for gateway in [&a, &b] {
            let olga = gateway.pg("olga").await;
            olga.query("SELECT table_schema, table_name FROM information_schema.tables", &[]).await.unwrap();
        }
        let policies = world.products.iter().map(|product| product.policy(&world.columns)).collect();
        Self { a: Reader::new(a).await, b: Reader::new(b).await, seed: world.seed, policies, findings: Findings::default() }
    }

    /// Puts the statements that broken gateways stumble over, up to the first leak.
    pub async fn put_decisive(&mut self) {
        let mut asked = Vec::new();
        for format in data::FORMATS {
            let table = format!("hr.people_{format}");
            for sql in sql::DECISIVE.map(|sql| sql.replace("{T}", &table)) {
                asked.extend([(Way::Simple, sql.clone()), (Way::Explain("EXPLAIN (COST)"), sql.clone()), (Way::Flight, sql)]);
            }
            asked.push((Way::Explain("EXPLAIN ANALYZE"), format!("SELECT * FROM {table}")));
        }
        for sql in sql::NAMES.iter().filter(|sql| !sql.contains("{T}")) {
            asked.extend([(Way::Simple, (*sql).to_owned()), (Way::Describe, (*sql).to_owned())]);
        }
        for (way, sql) in asked {
            if self.findings.leaks.is_empty() {
                self.put(way, &sql).await;
            }
        }
    }

    /// Puts a statement to both, and notes what differs.
    pub async fn put(&mut self, way: Way, sql: &str) {
        let mut answers: [Vec<Vec<u8>>; 2] = [Vec::new(), Vec::new()];
        self.findings.pairs += 1;
        for look in 0..LOOKS {
            let (a, b) = tokio::join!(self.a.ask(way, sql), self.b.ask(way, sql));
            let [a, b] = [canonical(a), canonical(b)];
            if look == 0 {
                self.note(way, sql, &a, &b);
            }
            answers[0].push(a);
            answers[1].push(b);
            if answers[0].iter().any(|answer| answers[1].contains(answer)) {
                self.findings.unsteady += usize::from(look > 0);
                return;
            }
        }
        let [a, b] = &answers.map(|mut all| all.swap_remove(0));
        // From a little before they part: the rest they share.
        let from = a.iter().zip(b).take_while(|(a, b)| a == b).count().saturating_sub(400);
        let [a, b] = [a, b].map(|answer| readable(&answer[from..]));
        self.leak(way, sql, &format!("the answers differ\n  A: {a}\n  B: {b}"));
    }

    fn note(&mut self, way: Way, sql: &str, a: &[u8], b: &[u8]) {
        for answer in [a, b] {
            if holds(answer, CANARY) && !sql.contains(CANARY) {
                self.leak(way, sql, &format!("a canary: {}", readable(answer)));
            }
        }
        if sql.contains("FROM hr.denied") && !holds(a, "42501") {
            self.leak(way, sql, &format!("nobody was refused: {}", readable(a)));
        }
        self.findings.answered += usize::from(!holds(a, "SERROR") && !holds(a, "SQLSTATE"));
    }

    fn leak(&mut self, way: Way, sql: &str, what: &str) {
        let policies = self.policies.join("; ");
        self.findings.leaks.push(format!("MESHGATE_SEED={} {way:?}: {sql}\n  {what}\n  where {policies}", self.seed));
    }
}

/// All statements of a seed.
pub async fn run(seed: u64, statements: usize) -> Findings {
    let world = World::new(seed);
    let mut dice = Dice::new(seed.wrapping_add(0x5eed));
    let tables: Vec<String> = world.products.iter().map(|product| format!("hr.{}", product.name)).collect();
    let mut pair = Pair::of(&world).await;
    for _ in 0..statements {
        let way = *dice.pick(&WAYS);
        let sql = sql::statement(&mut dice, &tables, &world.columns);
        pair.put(way, &sql).await;
    }
    pair.findings
}

/// The bytes with every UUID and every timing of a plan blanked.
fn canonical(bytes: Vec<u8>) -> Vec<u8> {
    static UUID: LazyLock<Regex> =
        LazyLock::new(|| Regex::new("(?-u)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").unwrap());
    static TIMING: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?-u)=[0-9.]+(ns|us|\xC2\xB5s|ms|s)").unwrap());
    let bytes = UUID.replace_all(&bytes, &b"?"[..]).into_owned();
    TIMING.replace_all(&bytes, &b"=?"[..]).into_owned()
}

/// Whether the bytes hold the text.
pub fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// For a person.
pub fn readable(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().chars().take(1_200).collect()
}
