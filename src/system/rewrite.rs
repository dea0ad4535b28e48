//! What clients write about the catalogs, turned into what the planner takes.
//!
//! PostgreSQL's catalogs are queried with things that the planner lacks: casts to `regclass`, correlated subqueries that give one row by
//! construction, arrays of subqueries, functions in FROM, two columns of the same name. Three liberties make them plain, and all three are
//! right for the catalogs only, which is why no statement on data comes here:
//!
//! - relations that are empty for everybody ([`fold`]) make whatever joins them empty, so it need not be planned;
//! - a correlated subquery gives at most one row, because it asks by key;
//! - a column is named by what PostgreSQL would name it, and a second one of the same name gets a number.

pub(crate) mod ast;
mod expressions;
mod fold;
mod names;
mod output;

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Query, Select, Statement, TableFactor, VisitMut, VisitorMut};

pub use self::names::ResultNames;
pub(crate) use self::names::name_of;
pub(crate) use self::output::name_columns;

/// Empty common table expressions are found one after the other; more in a row than this are left to the planner.
const ROUNDS: usize = 8;

/// Rewrites a statement over catalog tables in place.
pub(super) fn statement(statement: &mut Statement) {
    let parameters = ast::placeholders(statement);
    let mut pass = Pass::default();
    for _ in 0..ROUNDS {
        let known = pass.empty_ctes.len();
        let ControlFlow::Continue(()) = statement.visit(&mut pass);
        if pass.empty_ctes.len() == known {
            break;
        }
    }
    output::finish(statement);
    let left = ast::placeholders(statement);
    output::keep_parameters(statement, parameters.difference(&left));
}

/// One walk over a statement, innermost parts first.
#[derive(Default)]
struct Pass {
    /// Names of common table expressions that were found to be empty.
    empty_ctes: HashSet<String>,
    /// Names of all common table expressions: they hide catalog tables.
    ctes: HashSet<String>,
}

impl VisitorMut for Pass {
    type Break = std::convert::Infallible;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.ctes.insert(ast::folded(&cte.alias.name));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Self::Break> {
        name_columns(select, HashSet::new());
        expressions::resolve_tableoid(select);
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Self::Break> {
        fold::select(select, self);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        fold::query(query);
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            if fold::is_empty(&cte.query) {
                self.empty_ctes.insert(ast::folded(&cte.alias.name));
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Self::Break> {
        expressions::table_factor(factor);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        expressions::expr(expr);
        ControlFlow::Continue(())
    }
}
