//! How large and how deep a statement may be, told from its tokens alone.
//!
//! The SQL parser bounds its own recursion, but flat chains (`1+1+…`, `a OR a OR …`) become left-deep trees without recursing, and the
//! engine's derived `Clone` and `Drop` then recurse as deep as the chain is long: a stack overflow ends the process. So chains are counted
//! before there is a tree.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Visit, Visitor};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::{ErrorKind, Fault, Result};

use super::Source;

/// Tokens of one statement.
const MAX_TOKENS: usize = 200_000;
/// Operators that may follow each other on one level of parentheses, without a comma or a clause between them.
const MAX_CHAIN: usize = 1000;
/// Operators of one statement.
const MAX_OPERATORS: usize = 20_000;
/// Parentheses within parentheses.
const MAX_NESTING: usize = 64;
/// Set operations and joins of one statement.
const MAX_RELATIONS: usize = 200;

/// Tables of one statement, each WITH query counted as often as it is named: the planner puts its plan in at each place.
const MAX_EXPANDED: usize = 1000;
/// How much work counting them may be.
const MAX_VISITS: usize = 100_000;

pub(super) fn too_complex(detail: &str) -> Fault {
    Fault::new(ErrorKind::TooComplex, "statement is too complex").with_detail(format!("The statement cannot be planned: {detail}."))
}

/// Checks one statement.
pub(super) fn check(tokens: &[TokenWithSpan], source: &Source<'_>) -> Result<()> {
    if tokens.len() > MAX_TOKENS {
        return Err(too_complex(&format!("it has {} tokens, at most {MAX_TOKENS} are taken", tokens.len())));
    }
    let mut chains = vec![0usize];
    let (mut operators, mut relations) = (0usize, 0usize);
    for token in tokens {
        let at = || source.position(token.span.start);
        match &token.token {
            Token::LParen | Token::LBracket => {
                chains.push(0);
                if chains.len() > MAX_NESTING {
                    return Err(too_complex(&format!("it is nested more than {MAX_NESTING} deep")).with_position(at()));
                }
            }
            Token::RParen | Token::RBracket => {
                if chains.len() > 1 {
                    chains.pop();
                }
            }
            Token::Comma => reset(&mut chains),
            Token::Word(word) if word.quote_style.is_none() => match word.value.to_ascii_uppercase().as_str() {
                "UNION" | "INTERSECT" | "EXCEPT" | "JOIN" => {
                    relations += 1;
                    reset(&mut chains);
                }
                "SELECT" | "FROM" | "WHERE" | "HAVING" | "GROUP" | "ORDER" | "VALUES" => reset(&mut chains),
                "AND" | "OR" | "NOT" | "LIKE" | "ILIKE" | "IS" | "IN" | "BETWEEN" | "COLLATE" | "CASE" | "WHEN" | "ELSE" | "AT" => {
                    operators += 1;
                    step(&mut chains);
                }
                _ => {}
            },
            Token::Word(_) | Token::Number(..) | Token::SingleQuotedString(_) | Token::Period | Token::Placeholder(_) => {}
            _ => {
                operators += 1;
                step(&mut chains);
            }
        }
        if chains.last().is_some_and(|length| *length > MAX_CHAIN) {
            return Err(too_complex(&format!("an expression has more than {MAX_CHAIN} operators")).with_position(at()));
        }
        if operators > MAX_OPERATORS {
            return Err(too_complex(&format!("it has more than {MAX_OPERATORS} operators")).with_position(at()));
        }
        if relations > MAX_RELATIONS {
            return Err(too_complex(&format!("it has more than {MAX_RELATIONS} joins and set operations")).with_position(at()));
        }
    }
    Ok(())
}

fn reset(chains: &mut [usize]) {
    if let Some(length) = chains.last_mut() {
        *length = 0;
    }
}

fn step(chains: &mut [usize]) {
    if let Some(length) = chains.last_mut() {
        *length += 1;
    }
}

/// Checks how large a query grows once its WITH queries are put in: twenty-five of them, each naming the one before twice, are a plan of
/// 2^25 scans from a text of two thousand bytes.
pub(super) fn check_expansion(query: &ast::Query) -> Result<()> {
    let mut visits = MAX_VISITS;
    match Expansion::of(query, &HashMap::new(), &mut visits) {
        Some(tables) if tables <= MAX_EXPANDED => Ok(()),
        _ => Err(too_complex(&format!("its WITH queries expand to more than {MAX_EXPANDED} tables"))),
    }
}

/// Counts tables as the planner will see them.
struct Expansion<'a> {
    /// How many tables a WITH query stands for. A name that is defined twice stands for the larger.
    known: HashMap<String, usize>,
    tables: usize,
    visits: &'a mut usize,
}

impl Expansion<'_> {
    /// `None` where there is too much to count.
    fn of(query: &ast::Query, known: &HashMap<String, usize>, visits: &mut usize) -> Option<usize> {
        let mut expansion = Expansion { known: known.clone(), tables: 0, visits };
        match query.visit(&mut expansion) {
            ControlFlow::Continue(()) => Some(expansion.tables),
            ControlFlow::Break(()) => None,
        }
    }

    fn visit_one(&mut self) -> ControlFlow<()> {
        match self.visits.checked_sub(1) {
            Some(left) => {
                *self.visits = left;
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(()),
        }
    }
}

impl Visitor for Expansion<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
        self.visit_one()?;
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let Some(tables) = Self::of(&cte.query, &self.known, self.visits) else { return ControlFlow::Break(()) };
            // One that names no table is a plan all the same.
            let known = self.known.entry(cte.alias.name.value.to_lowercase()).or_insert(1);
            *known = tables.max(*known);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &ast::ObjectName) -> ControlFlow<()> {
        self.visit_one()?;
        let named = match name.0.as_slice() {
            [only] => only.as_ident().and_then(|ident| self.known.get(&ident.value.to_lowercase())).copied(),
            _ => None,
        };
        self.tables = self.tables.saturating_add(named.unwrap_or(1));
        if self.tables > MAX_EXPANDED { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
