//! Where SQL has a syntax of its own, the engine takes its own function without asking for a name; this takes ours.

use datafusion::common::Result as EngineResult;
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult};
use datafusion::logical_expr::{Expr, ScalarUDF};

use std::sync::Arc;

/// The planners of expressions: ours, then the engine's.
pub(super) fn planners(functions: &[Arc<ScalarUDF>]) -> Vec<Arc<dyn ExprPlanner>> {
    let named = |name: &str| functions.iter().find(|function| function.name() == name).cloned();
    let ours = Ours { extract: named("date_part"), substring: named("substr") };
    let ours: Arc<dyn ExprPlanner> = Arc::new(ours);
    std::iter::once(ours).chain(SessionStateDefaults::default_expr_planners()).collect()
}

#[derive(Debug)]
struct Ours {
    extract: Option<Arc<ScalarUDF>>,
    substring: Option<Arc<ScalarUDF>>,
}

fn planned(function: Option<&Arc<ScalarUDF>>, args: Vec<Expr>) -> PlannerResult<Vec<Expr>> {
    match function {
        Some(function) => PlannerResult::Planned(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(function), args))),
        None => PlannerResult::Original(args),
    }
}

impl ExprPlanner for Ours {
    /// `EXTRACT(year FROM x)`.
    fn plan_extract(&self, args: Vec<Expr>) -> EngineResult<PlannerResult<Vec<Expr>>> {
        Ok(planned(self.extract.as_ref(), args))
    }

    /// `SUBSTRING(x FROM y FOR z)`.
    fn plan_substring(&self, args: Vec<Expr>) -> EngineResult<PlannerResult<Vec<Expr>>> {
        Ok(planned(self.substring.as_ref(), args))
    }
}
