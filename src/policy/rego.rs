//! Rego at three levels: the mesh's, a domain's and a product's, each asked by itself.
//!
//! Every level is an interpreter of its own that holds nothing but its own files, so a domain's policy cannot read or replace another's:
//! what the levels say is put together by `policy::decision`, in our code. The interpreter and not regorus' virtual machine, because the
//! machine passes over a rule in which a function fails, and a `deny` that fails must not let through (`docs/decisions/0004-rego.md`).
//!
//! Whatever cannot be loaded, asked or understood denies, and says where.

mod answer;
mod check;
mod input;
mod load;
mod mask;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::Schema;
use regorus::utils::limits::{ExecutionTimerConfig, monotonic_now};
use regorus::{Engine, Value};
use sha2::{Digest, Sha256};

use crate::catalog::Origin;
use crate::id::{DomainName, ProductId};

use super::{Reason, Request};
use check::Answering;

pub(super) use answer::{Answer, MaskRule};
pub use load::{PolicyFile, Whose};

/// For one decision, all levels together.
const TIME_LIMIT: Duration = Duration::from_millis(50);
/// How late an answer may come and still be taken.
const LATE: Duration = Duration::from_millis(500);
/// Steps of the interpreter between two looks at the clock.
const STEPS: NonZeroU32 = NonZeroU32::new(64).unwrap();
/// What one nested expression takes of the stack at most. Builds without optimisation take a lot more.
const FRAME: usize = if cfg!(debug_assertions) { 32 << 10 } else { 16 << 10 };

/// The Rego of all levels.
#[derive(Debug, Default)]
pub struct Rego {
    mesh: Option<Arc<Level>>,
    domains: BTreeMap<DomainName, Arc<Level>>,
    products: BTreeMap<ProductId, Arc<Level>>,
    columns: input::Columns,
}

/// The policies of one folder.
struct Level {
    /// Of its files, so that a reload compiles what changed only.
    digest: [u8; 32],
    /// `mesh.domain.claims`.
    package: String,
    /// Why it denies everything, where it could not be loaded.
    program: Result<Program, Vec<Reason>>,
}

struct Program {
    /// Prepared; each decision works on a copy, which shares all that was compiled.
    engine: Engine,
    answers: BTreeMap<Export, Vec<(String, Answering)>>,
    depth: usize,
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Level").field("package", &self.package).field("loaded", &self.program.is_ok()).finish_non_exhaustive()
    }
}

/// What a policy may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Export {
    Deny,
    Allow,
    RowFilters,
    ColumnMasks,
    TrinoRowFilters,
    TrinoColumnMasks,
    TrinoColumnMask,
}

impl Export {
    const ALL: [Self; 7] = [
        Self::Deny,
        Self::Allow,
        Self::RowFilters,
        Self::ColumnMasks,
        Self::TrinoRowFilters,
        Self::TrinoColumnMasks,
        Self::TrinoColumnMask,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Allow => "allow",
            Self::RowFilters => "row_filters",
            Self::ColumnMasks => "column_masks",
            Self::TrinoRowFilters => "rowFilters",
            Self::TrinoColumnMasks => "batchColumnMasks",
            Self::TrinoColumnMask => "columnMask",
        }
    }

    /// Whether it says who may read, rather than what they see.
    fn entitles(self) -> bool {
        matches!(self, Self::Deny | Self::Allow)
    }
}

impl Rego {
    /// Of the files that are asked about a product.
    pub(crate) fn digest(&self, id: &ProductId) -> [u8; 32] {
        let mut digest = Sha256::new();
        for level in [self.mesh.as_ref(), self.domains.get(&id.domain), self.products.get(id)] {
            digest.update(level.map(|level| level.digest).unwrap_or_default());
        }
        digest.finalize().into()
    }

    /// What all levels say of a request. `schema` holds the port's true columns; without it only `deny` and `allow` are asked, about the
    /// columns of the contract. An error is a reason to deny.
    pub(super) fn ask(&self, request: &Request<'_>, schema: Option<&Arc<Schema>>) -> Result<Answer, Reason> {
        let mut answer = Answer::default();
        let id = &request.target.product.id;
        let levels = [(self.mesh.as_ref(), false), (self.domains.get(&id.domain), true), (self.products.get(id), true)];
        if levels.iter().all(|(level, _)| level.is_none()) {
            return Ok(answer);
        }
        for (level, _) in &levels {
            if let Some(Err(why)) = level.map(|level| &level.program) {
                let text = "a policy cannot be loaded, so everything that it guards is denied".to_owned();
                return Err(why.first().cloned().unwrap_or(Reason { text, origin: None }));
            }
        }
        let input = input::of(request, self.columns.of(request, schema));
        let clock = Deadline::start();
        for (level, entitles) in levels {
            let Some((level, Ok(program))) = level.map(|level| (level, &level.program)) else { continue };
            let stack = program.depth.saturating_mul(FRAME);
            let ask = || level.ask(program, &input, schema.is_some(), entitles, clock, &mut answer);
            // A panic of the interpreter must end neither the watch on running queries nor anything else but this.
            catch_unwind(AssertUnwindSafe(|| stacker::maybe_grow(stack, stack.saturating_mul(2), ask))).unwrap_or_else(|_| {
                Err(Reason { text: format!("the interpreter failed in the policy {}", level.package), origin: None })
            })?;
        }
        Ok(answer)
    }
}

impl Level {
    fn ask(
        &self,
        program: &Program,
        input: &Value,
        everything: bool,
        entitles: bool,
        clock: Deadline,
        answer: &mut Answer,
    ) -> Result<(), Reason> {
        let mut engine = program.engine.clone();
        engine.set_input(input.clone());
        for (export, rules) in &program.answers {
            if !everything && !export.entitles() || *export == Export::Allow && !entitles {
                continue;
            }
            let (package, name) = (&self.package, export.name());
            let origin = rules.first().map(|(file, rule)| rule.origin(file));
            engine.set_execution_timer_config(ExecutionTimerConfig { limit: clock.left(), check_interval: STEPS });
            let value = engine.eval_rule(format!("data.{package}.{name}")).map_err(|error| {
                let (place, why) = load::said(&error.to_string());
                let text = format!("`{name}` of the policy {package} failed: {why}");
                Reason { text, origin: place.or_else(|| origin.clone()) }
            })?;
            // Between two looks at the clock a single step may have taken any time; so may a machine that is busy elsewhere.
            if clock.late() > LATE {
                let text = format!(
                    "`{name}` of the policy {package} failed: it took far longer than the time limit of {} ms",
                    TIME_LIMIT.as_millis()
                );
                return Err(Reason { text, origin });
            }
            let reader = answer::Reader { package, export: *export, rules, input };
            reader.read(&value, answer).map_err(|(why, origin)| {
                let text = format!("`{name}` of the policy {package} cannot be used: {why}");
                Reason { text, origin: Some(origin) }
            })?;
        }
        Ok(())
    }
}

impl Answering {
    fn origin(&self, file: &str) -> Origin {
        Origin { file: file.to_owned(), line: self.line.into(), column: self.column.into() }
    }
}

/// When a decision must be made.
#[derive(Debug, Clone, Copy)]
struct Deadline(Duration);

impl Deadline {
    fn start() -> Self {
        Self(now().saturating_add(TIME_LIMIT))
    }

    fn left(self) -> Duration {
        self.0.saturating_sub(now())
    }

    fn late(self) -> Duration {
        now().saturating_sub(self.0)
    }
}

/// The clock that the interpreter looks at.
fn now() -> Duration {
    monotonic_now().unwrap_or(Duration::MAX)
}
