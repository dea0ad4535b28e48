//! What PostgreSQL calls the columns of a result.
//!
//! Clients find columns by these names: `row.count` after `SELECT count(*)`. The planner has names of its own, which it needs to be unique;
//! a result's columns are called anew when the plan is made, so that what the reader wrote stays as it is.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::sql::sqlparser::ast::{
    AccessExpr, ArrayElemTypeDef, BinaryOperator, DataType, Expr, Query, SelectItem, SetExpr, Statement, TimezoneInfo, TrimWhereField,
};

use super::ast;
use crate::system::types;

/// The names that a statement's text gives its result's columns.
#[derive(Debug, Default)]
pub struct ResultNames {
    /// Those before the first wildcard, or all.
    first: Vec<String>,
    /// Those after the last wildcard; `None` where there is no wildcard. Between two wildcards nobody can tell from the text which column is
    /// which.
    last: Option<Vec<String>>,
}

impl ResultNames {
    /// The names in a statement as it was written.
    pub(in crate::system) fn of(statement: &Statement) -> Self {
        let Statement::Query(query) = statement else { return Self::default() };
        let items = projection(query).unwrap_or_default();
        let wild = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
        let first = items.iter().take_while(|item| !wild(item)).map(shown).collect();
        let from = items.iter().rposition(wild);
        Self { first, last: from.map(|from| items.iter().skip(from + 1).map(shown).collect()) }
    }

    /// The columns under these names. A wildcard's columns have theirs already.
    pub fn call(&self, schema: &Schema) -> SchemaRef {
        let width = schema.fields().len();
        let last = self.last.as_deref().unwrap_or_default();
        let known = self.first.len() + last.len();
        let fits = if self.last.is_some() { known <= width } else { known == width };
        let name = |index: usize| match index.checked_sub(width.saturating_sub(last.len())) {
            Some(index) => last.get(index),
            None => self.first.get(index),
        };
        let fields = schema.fields().iter().enumerate().map(|(index, field)| match name(index).filter(|_| fits) {
            Some(name) if name != field.name() => Arc::new(field.as_ref().clone().with_name(name)),
            _ => Arc::clone(field),
        });
        Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
    }
}

/// The items of the outermost SELECT; in a set operation the first names the columns.
fn projection(query: &Query) -> Option<&[SelectItem]> {
    let mut body = query.body.as_ref();
    loop {
        body = match body {
            SetExpr::Select(select) => return Some(&select.projection),
            SetExpr::Query(query) => query.body.as_ref(),
            SetExpr::SetOperation { left, .. } => left.as_ref(),
            _ => return None,
        }
    }
}

fn shown(item: &SelectItem) -> String {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => ast::folded(alias),
        SelectItem::UnnamedExpr(expr) => name_of(expr).unwrap_or_else(|| "?column?".to_owned()),
        _ => String::new(),
    }
}

/// What PostgreSQL calls a column that is this expression.
pub(crate) fn name_of(expr: &Expr) -> Option<String> {
    named(expr).map(|(name, _)| name)
}

/// The name, and whether it holds against the type of a cast or the word `case` around it, as a column's or a function's does.
fn named(expr: &Expr) -> Option<(String, bool)> {
    let strong = |name: &str| Some((name.to_owned(), true));
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => ast::column(expr).map(|name| (name, true)),
        Expr::Function(_) => ast::called(expr).map(|name| (shown_function(&name).to_owned(), true)),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => named(inner),
        Expr::Cast { expr: inner, data_type, .. } => {
            let inner = named(inner);
            inner.clone().filter(|(_, strong)| *strong).or_else(|| type_name(data_type).map(|name| (name, false))).or(inner)
        }
        Expr::Case { else_result, .. } => {
            let inner = else_result.as_deref().and_then(named).filter(|(_, strong)| *strong);
            inner.or_else(|| Some(("case".to_owned(), false)))
        }
        Expr::Exists { .. } => strong("exists"),
        Expr::Subquery(query) => match ast::only_select(query)?.projection.first()? {
            SelectItem::ExprWithAlias { alias, .. } => Some((ast::folded(alias), true)),
            SelectItem::UnnamedExpr(expr) => named(expr).map(|(name, _)| (name, true)),
            _ => None,
        },
        Expr::CompoundFieldAccess { root, access_chain } => match access_chain.last() {
            Some(AccessExpr::Dot(field)) => ast::column(field).map(|name| (name, true)),
            _ => named(root),
        },
        Expr::Array(_) => strong("array"),
        Expr::Substring { shorthand: true, .. } => strong("substr"),
        Expr::Substring { .. } => strong("substring"),
        Expr::Trim { trim_where, .. } => strong(match trim_where {
            Some(TrimWhereField::Leading) => "ltrim",
            Some(TrimWhereField::Trailing) => "rtrim",
            Some(TrimWhereField::Both) | None => "btrim",
        }),
        Expr::Position { .. } => strong("position"),
        Expr::Extract { .. } => strong("extract"),
        Expr::Overlay { .. } => strong("overlay"),
        Expr::Ceil { .. } => strong("ceil"),
        Expr::Floor { .. } => strong("floor"),
        Expr::AtTimeZone { .. } => strong("timezone"),
        Expr::BinaryOp { op: BinaryOperator::Overlaps, .. } => strong("overlaps"),
        Expr::Tuple(_) => strong("row"),
        Expr::TypedString(typed) => type_name(&typed.data_type).map(|name| (name, false)),
        Expr::Interval(_) => Some(("interval".to_owned(), false)),
        _ => None,
    }
}

/// A function that a cast or an array became is named by what it was.
fn shown_function(name: &str) -> &str {
    match name {
        "pg_text_array" => "array",
        "regclassin" | "regclassout" => "regclass",
        "regtypein" | "regtypeout" => "regtype",
        "regprocin" | "regprocout" => "regproc",
        "regnamespacein" | "regnamespaceout" => "regnamespace",
        "regrolein" | "regroleout" => "regrole",
        other => other,
    }
}

fn type_name(data_type: &DataType) -> Option<String> {
    let name = match data_type {
        DataType::Custom(name, _) => return types::type_name(name),
        DataType::Array(ArrayElemTypeDef::SquareBracket(inner, _) | ArrayElemTypeDef::AngleBracket(inner)) => return type_name(inner),
        DataType::Text => "text",
        DataType::Varchar(_) | DataType::CharacterVarying(_) | DataType::CharVarying(_) => "varchar",
        DataType::Char(_) | DataType::Character(_) => "bpchar",
        DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) => "int4",
        DataType::BigInt(_) | DataType::Int8(_) => "int8",
        DataType::SmallInt(_) | DataType::Int2(_) => "int2",
        DataType::Bool | DataType::Boolean => "bool",
        DataType::Numeric(_) | DataType::Decimal(_) | DataType::Dec(_) => "numeric",
        DataType::Real | DataType::Float4 => "float4",
        DataType::Double(_) | DataType::DoublePrecision | DataType::Float8 | DataType::Float(_) => "float8",
        DataType::Date => "date",
        DataType::Time(_, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => "timetz",
        DataType::Time(..) => "time",
        DataType::Timestamp(_, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => "timestamptz",
        DataType::Timestamp(..) => "timestamp",
        DataType::Interval { .. } => "interval",
        DataType::Bytea => "bytea",
        DataType::Uuid => "uuid",
        DataType::JSON => "json",
        DataType::JSONB => "jsonb",
        _ => return None,
    };
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field};
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::{ResultNames, Schema};

    /// The names of columns that the planner calls `1`, `2`, …
    fn names(sql: &str, width: usize) -> Vec<String> {
        let statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
        let fields: Vec<_> = (1..=width).map(|number| Field::new(number.to_string(), DataType::Int64, true)).collect();
        ResultNames::of(&statement).call(&Schema::new(fields)).fields().iter().map(|field| field.name().clone()).collect()
    }

    #[test]
    fn a_column_is_called_what_postgresql_calls_it() {
        for (item, name) in [
            ("count(*)", "count"),
            ("1", "?column?"),
            ("a + 1", "?column?"),
            ("max(a)::int", "max"),
            ("a::numeric(12, 2)", "a"),
            ("'x'::text", "text"),
            ("NULL::int[]", "int4"),
            ("true", "?column?"),
            ("date '2024-01-01'", "date"),
            ("'1'::timestamp with time zone", "timestamptz"),
            ("extract(year FROM b)", "extract"),
            ("trim(LEADING 'x' FROM c)", "ltrim"),
            ("CASE WHEN a = 1 THEN 2 END", "case"),
            ("CASE WHEN a = 1 THEN 2 ELSE b END", "b"),
            ("coalesce(a, b)", "coalesce"),
            ("(SELECT max(z) FROM y)", "max"),
            ("EXISTS (SELECT 1)", "exists"),
        ] {
            assert_eq!(names(&format!("SELECT {item} FROM t"), 1), [name], "{item}");
        }
    }

    #[test]
    fn two_columns_may_be_called_alike() {
        assert_eq!(names("SELECT t.a, u.a, count(*), count(*) AS \"Count\" FROM t, u", 4), ["a", "a", "count", "Count"]);
    }

    #[test]
    fn columns_of_wildcards_keep_their_names() {
        assert_eq!(names("SELECT upper(a), *, lower(b) FROM t", 5), ["upper", "2", "3", "4", "lower"]);
        assert_eq!(names("SELECT *, upper(a), t.* FROM t", 5), ["1", "2", "3", "4", "5"]);
        assert_eq!(names("SELECT * FROM t", 2), ["1", "2"]);
        assert_eq!(names("VALUES (1)", 1), ["1"]);
    }

    #[test]
    fn the_first_of_a_set_names_all() {
        assert_eq!(names("WITH x AS (SELECT 1) (SELECT upper(a) FROM x) UNION SELECT lower(a) FROM x", 1), ["upper"]);
    }
}
