//! Where a connection is in its transaction. Nothing is behind it but settings and cursors, yet clients rely on every step of it.

use crate::error::{ErrorKind, Fault};
use crate::query::{Kind, Snapshot};

/// More savepoints than this are a mistake of the client.
const MOST_SAVEPOINTS: usize = 10_000;

/// The state of a transaction.
#[derive(Debug, Default)]
pub struct Transaction {
    state: State,
    savepoints: Vec<Savepoint>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// None has begun.
    #[default]
    Idle,
    /// Begun by a statement outside of a block; ends with the query or at Sync.
    Implicit,
    /// In a block.
    Block,
    /// In a block in which something failed.
    Failed,
}

#[derive(Debug)]
struct Savepoint {
    name: String,
    before: Before,
}

/// What a savepoint goes back to.
#[derive(Debug, Clone, Default)]
pub struct Before {
    /// Portals with a higher number were opened after it.
    pub portals: u64,
    /// The settings as they were.
    pub settings: Snapshot,
}

/// What a transaction command did.
#[derive(Debug)]
pub enum Effect {
    /// Nothing that others must follow.
    None,
    /// A transaction begins.
    Begun,
    /// The transaction ended; portals close and settings follow.
    Ended {
        /// Whether it committed.
        committed: bool,
    },
    /// Portals that were opened since close, and settings are again as they were.
    RolledBackTo(Before),
}

/// What a transaction command answers.
#[derive(Debug)]
pub struct Step {
    /// The command tag.
    pub tag: &'static str,
    /// SQLSTATE and text.
    pub warning: Option<(&'static str, &'static str)>,
    /// What it did.
    pub effect: Effect,
}

impl Step {
    fn new(tag: &'static str, effect: Effect) -> Self {
        Self { tag, warning: None, effect }
    }
}

const NOT_IN_PROGRESS: (&str, &str) = ("25P01", "there is no transaction in progress");
const IN_PROGRESS: (&str, &str) = ("25001", "there is already a transaction in progress");

impl Transaction {
    /// For ReadyForQuery.
    pub fn status(&self) -> u8 {
        match self.state {
            State::Idle | State::Implicit => b'I',
            State::Block => b'T',
            State::Failed => b'E',
        }
    }

    /// Whether a block is open, failed or not.
    pub fn in_block(&self) -> bool {
        matches!(self.state, State::Block | State::Failed)
    }

    /// Refuses what cannot run in a failed transaction.
    pub fn admit(&self, kind: &Kind) -> Result<(), Fault> {
        if self.state != State::Failed || matches!(kind, Kind::Commit | Kind::Rollback | Kind::RollbackTo(_)) {
            return Ok(());
        }
        Err(Fault::new(ErrorKind::FailedTransaction, "current transaction is aborted, commands ignored until end of transaction block"))
    }

    /// A statement begins; says whether a transaction began with it.
    pub fn start_implicit(&mut self) -> bool {
        let begins = self.state == State::Idle;
        if begins {
            self.state = State::Implicit;
        }
        begins
    }

    /// The query or pipeline ended; says whether a transaction ended with it.
    pub fn end_implicit(&mut self) -> bool {
        let ends = self.state == State::Implicit;
        if ends {
            self.state = State::Idle;
        }
        ends
    }

    /// Something failed; says whether the transaction ended by that.
    pub fn fail(&mut self) -> bool {
        match self.state {
            State::Block | State::Failed => {
                self.state = State::Failed;
                false
            }
            State::Implicit | State::Idle => {
                self.state = State::Idle;
                true
            }
        }
    }

    /// The settings of the last savepoint.
    pub fn savepoint_settings(&self) -> Option<&Snapshot> {
        self.savepoints.last().map(|savepoint| &savepoint.before.settings)
    }

    /// BEGIN.
    pub fn begin(&mut self, tag: &'static str) -> Step {
        match self.state {
            State::Idle | State::Implicit => {
                let effect = if self.state == State::Idle { Effect::Begun } else { Effect::None };
                self.state = State::Block;
                Step::new(tag, effect)
            }
            State::Block | State::Failed => Step { warning: Some(IN_PROGRESS), ..Step::new(tag, Effect::None) },
        }
    }

    /// COMMIT. A failed transaction is rolled back, and the tag says so.
    pub fn commit(&mut self) -> Step {
        self.end(true)
    }

    /// ROLLBACK.
    pub fn rollback(&mut self) -> Step {
        self.end(false)
    }

    fn end(&mut self, commit: bool) -> Step {
        let was = std::mem::take(&mut self.state);
        self.savepoints.clear();
        let committed = commit && was != State::Failed;
        Step {
            tag: if committed { "COMMIT" } else { "ROLLBACK" },
            warning: matches!(was, State::Idle | State::Implicit).then_some(NOT_IN_PROGRESS),
            effect: Effect::Ended { committed },
        }
    }

    /// SAVEPOINT.
    pub fn savepoint(&mut self, name: &str, before: Before) -> Result<Step, Fault> {
        self.require_block("SAVEPOINT")?;
        if self.savepoints.len() >= MOST_SAVEPOINTS {
            return Err(Fault::new(ErrorKind::ProgramLimit, format!("more than {MOST_SAVEPOINTS} savepoints")));
        }
        self.savepoints.push(Savepoint { name: name.to_owned(), before });
        Ok(Step::new("SAVEPOINT", Effect::None))
    }

    /// RELEASE.
    pub fn release(&mut self, name: &str) -> Result<Step, Fault> {
        self.require_block("RELEASE SAVEPOINT")?;
        let at = self.find(name)?;
        self.savepoints.truncate(at);
        Ok(Step::new("RELEASE", Effect::None))
    }

    /// ROLLBACK TO. The savepoint stays.
    pub fn rollback_to(&mut self, name: &str) -> Result<Step, Fault> {
        self.require_block("ROLLBACK TO SAVEPOINT")?;
        let at = self.find(name)?;
        self.savepoints.truncate(at + 1);
        self.state = State::Block;
        let before = self.savepoints.last().map(|savepoint| savepoint.before.clone()).unwrap_or_default();
        Ok(Step::new("ROLLBACK", Effect::RolledBackTo(before)))
    }

    /// Refuses a command outside of a block.
    pub fn require_block(&self, command: &str) -> Result<(), Fault> {
        if self.in_block() {
            return Ok(());
        }
        Err(Fault::new(ErrorKind::NoActiveTransaction, format!("{command} can only be used in transaction blocks")))
    }

    fn find(&self, name: &str) -> Result<usize, Fault> {
        let found = self.savepoints.iter().rposition(|savepoint| savepoint.name == name);
        found.ok_or_else(|| Fault::new(ErrorKind::UndefinedSavepoint, format!("savepoint \"{name}\" does not exist")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_fails_until_it_is_ended_and_commit_says_rollback() {
        let mut transaction = Transaction::default();
        assert!(matches!(transaction.begin("BEGIN").effect, Effect::Begun));
        assert_eq!(transaction.status(), b'T');
        assert!(!transaction.fail());
        assert_eq!(transaction.status(), b'E');
        assert_eq!(transaction.admit(&Kind::Rows).unwrap_err().sqlstate(), "25P02");
        assert!(transaction.admit(&Kind::Commit).is_ok());
        let step = transaction.commit();
        assert!(matches!(step, Step { tag: "ROLLBACK", warning: None, effect: Effect::Ended { committed: false } }), "{step:?}");
        assert_eq!(transaction.status(), b'I');
    }

    #[test]
    fn rolling_back_to_a_savepoint_heals_the_block() {
        let mut transaction = Transaction::default();
        transaction.begin("BEGIN");
        transaction.savepoint("a", Before { portals: 3, ..Before::default() }).unwrap();
        transaction.savepoint("b", Before { portals: 5, ..Before::default() }).unwrap();
        transaction.fail();
        assert!(matches!(transaction.rollback_to("a").unwrap().effect, Effect::RolledBackTo(Before { portals: 3, .. })));
        assert_eq!(transaction.status(), b'T');
        assert_eq!(transaction.rollback_to("b").unwrap_err().sqlstate(), "3B001");
        assert!(transaction.release("a").is_ok());
        assert_eq!(transaction.release("a").unwrap_err().sqlstate(), "3B001");
    }

    #[test]
    fn savepoints_need_a_block() {
        let mut transaction = Transaction::default();
        assert_eq!(transaction.savepoint("a", Before::default()).unwrap_err().sqlstate(), "25P01");
        transaction.start_implicit();
        assert_eq!(transaction.rollback_to("a").unwrap_err().sqlstate(), "25P01");
    }

    #[test]
    fn superfluous_commands_warn() {
        let mut transaction = Transaction::default();
        assert_eq!(transaction.commit().warning, Some(NOT_IN_PROGRESS));
        assert_eq!(transaction.rollback().tag, "ROLLBACK");
        transaction.begin("BEGIN");
        assert_eq!(transaction.begin("BEGIN").warning, Some(IN_PROGRESS));
    }

    #[test]
    fn an_implicit_transaction_becomes_a_block_without_beginning_twice() {
        let mut transaction = Transaction::default();
        assert!(transaction.start_implicit());
        assert!(!transaction.start_implicit());
        assert_eq!(transaction.status(), b'I');
        assert!(matches!(transaction.begin("BEGIN").effect, Effect::None));
        assert!(!transaction.end_implicit());
        assert_eq!(transaction.status(), b'T');
    }
}
