//! Trino's mask expressions: one that says the same as a mask of ours becomes that mask; any other denies.
//!
//! An expression is never run and never spliced. Trino's own example, `'****' || substring(x, -3)`, shows why: read by another engine it
//! gives the whole value.

use datafusion::sql::sqlparser::ast::{self, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::policy::Mask;

/// The longest expression, in bytes.
const LONGEST: usize = 4096;

/// The mask that the expression is for this column.
pub(super) fn of(expression: &str, column: &str) -> Result<Mask, String> {
    let shown: String = expression.chars().take(80).collect();
    let unknown = || {
        format!(
            "the mask expression `{shown}` of the column {column} is none of the masks: give NULL, a literal, or a mask by its name over \
             the column itself, as in show_last_4({column})"
        )
    };
    if expression.len() > LONGEST {
        return Err(unknown());
    }
    let mut parser = Parser::new(&PostgreSqlDialect {}).try_with_sql(expression).map_err(|_| unknown())?;
    let tree = parser.parse_expr().map_err(|_| unknown())?;
    if parser.peek_token().token != Token::EOF {
        return Err(unknown());
    }
    recognise(&tree, column).ok_or_else(unknown)
}

fn recognise(expr: &Expr, column: &str) -> Option<Mask> {
    match expr {
        Expr::Nested(inner) => recognise(inner, column),
        Expr::Value(value) => match &value.value {
            ast::Value::Null => Some(Mask::ReplaceWithNull),
            ast::Value::SingleQuotedString(text) => constant(text),
            ast::Value::Number(digits, _) => constant(digits),
            ast::Value::Boolean(value) => constant(&value.to_string()),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match expr.as_ref() {
            Expr::Value(value) => match &value.value {
                ast::Value::Number(digits, _) => constant(&format!("-{digits}")),
                _ => None,
            },
            _ => None,
        },
        // NULL of a type is NULL; the mask has the column's type anyway.
        Expr::Cast { expr, kind: ast::CastKind::Cast, .. } => recognise(expr, column).filter(|mask| *mask == Mask::ReplaceWithNull),
        Expr::Function(call) => named(call, column),
        _ => None,
    }
}

fn constant(text: &str) -> Option<Mask> {
    Mask::parse(&format!("constant:{text}")).ok()
}

/// `show_last_4(ssn)`: a mask's own name over the column itself.
fn named(call: &ast::Function, column: &str) -> Option<Mask> {
    let ast::Function { name, uses_odbc_syntax: false, parameters: FunctionArguments::None, args, .. } = call else { return None };
    let (None, None, None, true) = (&call.filter, &call.null_treatment, &call.over, call.within_group.is_empty()) else { return None };
    let [ast::ObjectNamePart::Identifier(name)] = name.0.as_slice() else { return None };
    let FunctionArguments::List(args) = args else { return None };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(argument)))] = args.args.as_slice() else { return None };
    if args.duplicate_treatment.is_some() || !args.clauses.is_empty() || folded(argument) != column {
        return None;
    }
    let name = folded(name).replace('_', "-");
    Mask::parse(&name).ok().filter(|mask| !matches!(mask, Mask::Constant(_) | Mask::Round(_)))
}

/// A name as PostgreSQL reads it.
fn folded(name: &ast::Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}
