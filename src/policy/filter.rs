//! Row filters: text to a total, typed expression.
//!
//! A filter runs on rows that the reader may not see, so nothing in it may fail, and nothing in it may be steered by the reader. The
//! grammar is an allow-list: columns, literals, bound values, comparisons, AND OR NOT, IS, IN, BETWEEN, LIKE. Literals and bound values
//! become values of exactly the column's type, so no cast of a column can appear; a `$name` is bound as a value, never spliced.

mod typed;

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::{DataType, Schema};
use datafusion::logical_expr::{Expr, Operator};
use datafusion::sql::sqlparser::ast::{self, BinaryOperator, UnaryOperator};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::catalog::Column;
use crate::identity::Principal;
use crate::values::types::named;

/// The type of a contract whose values are texts of one spelling.
const UUID: &str = "uuid";
/// The longest expression, in bytes; it bounds depth and terms too.
const MAX_LENGTH: usize = 4096;
/// The longest LIKE pattern, in characters: the engine compiles it, and must not be able to refuse it.
const MAX_PATTERN: usize = 128;

/// Words that mean something else than a column to whoever writes them, though the parser takes some of them for names.
const MEANINGS: [&str; 13] = [
    "current_catalog",
    "current_date",
    "current_groups",
    "current_path",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "localtime",
    "localtimestamp",
    "session_user",
    "user",
];

/// Checks a filter at load: its grammar, its bindings and, where the columns are known, its types. The error is one line for the author.
pub fn check_filter(expression: &str, bind: &BTreeMap<String, String>, columns: Option<&[Column]>) -> Result<(), String> {
    let filter = Filter::parse(expression, bind)?;
    let Some(columns) = columns else { return Ok(()) };
    let types = columns.iter().map(|column| (column.name.as_str(), (&column.data_type.arrow, column.data_type.name == UUID))).collect();
    typed::compile(&filter.root, &types, &|_| Ok(None)).map(|_| ())
}

/// A filter whose grammar is in order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Filter {
    root: Node,
}

/// What can be true, false or NULL.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    Constant(bool),
    Column(String),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
    Is(Box<Self>, Truth),
    IsNull { operand: Operand, negated: bool },
    Compare { left: Operand, operator: Operator, right: Operand },
    In { operand: Operand, list: Vec<Operand>, negated: bool },
    Between { operand: Operand, low: Operand, high: Operand, negated: bool },
    Like { column: String, pattern: String, negated: bool, any_case: bool },
}

/// What IS asks.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Truth {
    True,
    NotTrue,
    False,
    NotFalse,
    Unknown,
    NotUnknown,
}

/// What can be compared.
#[derive(Debug, Clone, PartialEq)]
enum Operand {
    Column(String),
    Number(String),
    Text(String),
    Boolean(bool),
    Bound(Binding),
}

/// Where a bound value comes from: always from who was authenticated, never from the session.
#[derive(Debug, Clone, PartialEq)]
enum Binding {
    Name,
    Domain,
    Attribute(String),
}

impl Filter {
    /// Reads the text. Every `$name` must be bound and every binding used.
    pub(super) fn parse(expression: &str, bind: &BTreeMap<String, String>) -> Result<Self, String> {
        if expression.len() > MAX_LENGTH {
            return Err(format!("the row filter is longer than {MAX_LENGTH} bytes"));
        }
        let bindings = bind.iter().map(|(name, path)| Ok((name.as_str(), binding(path)?))).collect::<Result<BTreeMap<_, _>, String>>()?;
        let syntax = |error| format!("the row filter is not a SQL expression: {error}");
        let mut parser = Parser::new(&PostgreSqlDialect {}).try_with_sql(expression).map_err(|e| syntax(e.to_string()))?;
        let tree = parser.parse_expr().map_err(|e| syntax(e.to_string()))?;
        if parser.peek_token().token != Token::EOF {
            return Err(syntax(format!("it goes on with `{}`", parser.peek_token())));
        }
        let mut reader = Reader { bindings, used: BTreeSet::new() };
        let root = reader.node(&tree)?;
        match bind.keys().find(|name| !reader.used.contains(*name)) {
            Some(name) => Err(format!("`{name}` is bound, but the row filter has no `${name}`")),
            None => Ok(Self { root }),
        }
    }

    /// The expression for this principal over this schema. An error is a reason to deny.
    pub(super) fn compile(&self, schema: &Schema, principal: &Principal) -> Result<Expr, String> {
        let types = schema.fields().iter().map(|field| (field.name().as_str(), (field.data_type(), named(field) == Some(UUID)))).collect();
        let resolve = |binding: &Binding| match binding {
            Binding::Name => Ok(Some(principal.name.as_str().to_owned())),
            Binding::Domain => Ok(Some(principal.domain.as_str().to_owned())),
            Binding::Attribute(name) => match principal.attributes.get(name) {
                Some(value) => Ok(Some(value.clone())),
                None => Err(format!("the principal has no attribute `{name}`")),
            },
        };
        typed::compile(&self.root, &types, &resolve)
    }
}

/// The types of the columns that a filter may name, and whether each has UUIDs.
type Types<'a> = BTreeMap<&'a str, (&'a DataType, bool)>;

fn binding(path: &str) -> Result<Binding, String> {
    match path.strip_prefix("principal.") {
        Some("name") => Ok(Binding::Name),
        Some("domain") => Ok(Binding::Domain),
        Some(rest) => match rest.strip_prefix("attributes.") {
            Some(name) if !name.is_empty() => Ok(Binding::Attribute(name.to_owned())),
            _ => Err(unknown_binding(path)),
        },
        None => Err(unknown_binding(path)),
    }
}

fn unknown_binding(path: &str) -> String {
    format!("`{path}` cannot be bound: there are principal.name, principal.domain and principal.attributes.<name>")
}

/// Reads sqlparser's tree into ours. What is not listed is refused.
struct Reader<'a> {
    bindings: BTreeMap<&'a str, Binding>,
    used: BTreeSet<String>,
}

impl Reader<'_> {
    fn node(&mut self, expr: &ast::Expr) -> Result<Node, String> {
        use ast::Expr as Sql;
        Ok(match expr {
            Sql::Nested(inner) => self.node(inner)?,
            Sql::Identifier(_) => Node::Column(column(expr)?),
            Sql::Value(value) => match &value.value {
                ast::Value::Boolean(constant) => Node::Constant(*constant),
                _ => return Err(format!("`{expr}` is neither true nor false")),
            },
            Sql::UnaryOp { op: UnaryOperator::Not, expr } => Node::Not(Box::new(self.node(expr)?)),
            Sql::BinaryOp { left, op: BinaryOperator::And, right } => Node::And(Box::new(self.node(left)?), Box::new(self.node(right)?)),
            Sql::BinaryOp { left, op: BinaryOperator::Or, right } => Node::Or(Box::new(self.node(left)?), Box::new(self.node(right)?)),
            Sql::BinaryOp { left, op, right } => {
                let operator = comparison(op).ok_or_else(|| format!("the operator {op} cannot stand in a row filter"))?;
                Node::Compare { left: self.operand(left)?, operator, right: self.operand(right)? }
            }
            Sql::IsTrue(inner) => Node::Is(Box::new(self.node(inner)?), Truth::True),
            Sql::IsNotTrue(inner) => Node::Is(Box::new(self.node(inner)?), Truth::NotTrue),
            Sql::IsFalse(inner) => Node::Is(Box::new(self.node(inner)?), Truth::False),
            Sql::IsNotFalse(inner) => Node::Is(Box::new(self.node(inner)?), Truth::NotFalse),
            Sql::IsUnknown(inner) => Node::Is(Box::new(self.node(inner)?), Truth::Unknown),
            Sql::IsNotUnknown(inner) => Node::Is(Box::new(self.node(inner)?), Truth::NotUnknown),
            Sql::IsNull(inner) => Node::IsNull { operand: Operand::Column(column(inner)?), negated: false },
            Sql::IsNotNull(inner) => Node::IsNull { operand: Operand::Column(column(inner)?), negated: true },
            Sql::InList { expr, list, negated } => Node::In {
                operand: self.operand(expr)?,
                list: list.iter().map(|item| self.operand(item)).collect::<Result<_, _>>()?,
                negated: *negated,
            },
            Sql::Between { expr, negated, low, high } => {
                Node::Between { operand: self.operand(expr)?, low: self.operand(low)?, high: self.operand(high)?, negated: *negated }
            }
            Sql::Like { negated, any: false, expr, pattern, escape_char: None } => like(expr, pattern, *negated, false)?,
            Sql::ILike { negated, any: false, expr, pattern, escape_char: None } => like(expr, pattern, *negated, true)?,
            other => return Err(refused(other)),
        })
    }

    fn operand(&mut self, expr: &ast::Expr) -> Result<Operand, String> {
        use ast::Expr as Sql;
        match expr {
            Sql::Nested(inner) => self.operand(inner),
            Sql::Identifier(_) => column(expr).map(Operand::Column),
            Sql::Value(value) => self.literal(&value.value),
            Sql::UnaryOp { op: UnaryOperator::Minus, expr } => match self.operand(expr)? {
                Operand::Number(digits) if !digits.starts_with('-') => Ok(Operand::Number(format!("-{digits}"))),
                _ => Err(refused(expr)),
            },
            // DATE '2026-01-01': the column's type decides how the text is read, so the word adds nothing.
            Sql::TypedString(ast::TypedString { data_type: ast::DataType::Date | ast::DataType::Timestamp(..), value, .. }) => {
                self.literal(&value.value)
            }
            other => Err(refused(other)),
        }
    }

    fn literal(&mut self, value: &ast::Value) -> Result<Operand, String> {
        match value {
            ast::Value::Number(digits, _) => Ok(Operand::Number(digits.clone())),
            ast::Value::SingleQuotedString(text) => Ok(Operand::Text(text.clone())),
            ast::Value::Boolean(constant) => Ok(Operand::Boolean(*constant)),
            ast::Value::Placeholder(name) => {
                let name = name.trim_start_matches('$');
                let binding = self.bindings.get(name).ok_or_else(|| format!("`${name}` is not bound"))?;
                self.used.insert(name.to_owned());
                Ok(Operand::Bound(binding.clone()))
            }
            ast::Value::Null => Err("a comparison with NULL is never true; write IS NULL or IS NOT NULL".into()),
            other => Err(format!("the literal {other} cannot stand in a row filter")),
        }
    }
}

fn comparison(op: &BinaryOperator) -> Option<Operator> {
    Some(match op {
        BinaryOperator::Eq => Operator::Eq,
        BinaryOperator::NotEq => Operator::NotEq,
        BinaryOperator::Lt => Operator::Lt,
        BinaryOperator::LtEq => Operator::LtEq,
        BinaryOperator::Gt => Operator::Gt,
        BinaryOperator::GtEq => Operator::GtEq,
        _ => return None,
    })
}

/// A column's name; lower case where it is not quoted, as in PostgreSQL.
fn column(expr: &ast::Expr) -> Result<String, String> {
    match expr {
        ast::Expr::Nested(inner) => column(inner),
        ast::Expr::Identifier(name) if name.quote_style.is_some() => Ok(name.value.clone()),
        ast::Expr::Identifier(name) if MEANINGS.contains(&name.value.to_lowercase().as_str()) => {
            Err(format!("`{name}` means who asks, or when, and not a column: bind a value, or quote the name where a column is called so"))
        }
        ast::Expr::Identifier(name) => Ok(name.value.to_lowercase()),
        other => Err(refused(other)),
    }
}

fn like(expr: &ast::Expr, pattern: &ast::Expr, negated: bool, any_case: bool) -> Result<Node, String> {
    let ast::Expr::Value(value) = pattern else { return Err(refused(pattern)) };
    match &value.value {
        ast::Value::SingleQuotedString(text) if text.chars().count() <= MAX_PATTERN && !text.contains('\\') => {
            Ok(Node::Like { column: column(expr)?, pattern: text.clone(), negated, any_case })
        }
        _ => Err(format!("a LIKE pattern in a row filter is a plain literal of at most {MAX_PATTERN} characters")),
    }
}

fn refused(expr: &ast::Expr) -> String {
    let text: String = expr.to_string().chars().take(80).collect();
    format!(
        "`{text}` cannot stand in a row filter: only columns, literals, bound values, comparisons, AND, OR, NOT, IS, IN, BETWEEN and \
         LIKE can, because a filter must not be able to fail"
    )
}

#[cfg(test)]
mod tests;
