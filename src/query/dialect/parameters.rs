//! What type a parameter has that the client gave none: that of its place, as PostgreSQL finds it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result as EngineResult};
use datafusion::logical_expr::expr::{Between, BinaryExpr, InList, Like, ScalarFunction};
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan};

use crate::values::types;

/// What a function takes for a parameter, the first of these that it does.
const TRIED: [DataType; 5] = [DataType::Utf8, DataType::Int32, DataType::Float64, DataType::Boolean, DataType::Date32];

/// The types of the parameters that the planner leaves without one, by name (`$1`), each as a field that may name PostgreSQL's type.
pub(in crate::query) fn parameter_types(plan: &LogicalPlan) -> EngineResult<Found> {
    let mut found = Found::default();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Limit(limit) = node {
            [&limit.skip, &limit.fetch].into_iter().flatten().for_each(|count| found.add(count, Some(DataType::Int64)));
        }
        let schema = merge_schema(&node.inputs());
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                found.within(expr, &schema);
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

#[derive(Default)]
pub(in crate::query) struct Found {
    fields: HashMap<String, FieldRef>,
    /// Those that stand beside a value of a type of Arrow's: beside `x::text`, the planner gives them the type of `x`.
    plain: HashSet<String>,
}

impl Found {
    /// The type of a parameter that the planner gave one, or none.
    pub(in crate::query) fn field(&self, name: &str, planned: Option<FieldRef>) -> Option<FieldRef> {
        match planned {
            Some(field) if self.plain.contains(name) => Some(Arc::new(field.as_ref().clone().with_metadata(HashMap::new()))),
            Some(field) => Some(field),
            None => self.fields.get(name).cloned(),
        }
    }

    fn beside(&mut self, left: &Expr, right: &Expr, schema: &DFSchema) {
        for (one, other) in [(left, right), (right, left)] {
            if let Expr::Placeholder(parameter) = one
                && !matches!(other, Expr::Placeholder(_))
                && other.to_field(schema).is_ok_and(|(_, field)| types::named(&field).is_none())
            {
                self.plain.insert(parameter.id.clone());
            }
        }
    }

    /// Where the expression is a parameter, it is of this type unless it has one.
    fn add(&mut self, expr: &Expr, data_type: Option<DataType>) {
        if let Some(data_type) = data_type {
            self.put(expr, Arc::new(Field::new("", data_type, true)));
        }
    }

    fn put(&mut self, expr: &Expr, field: FieldRef) {
        if let Expr::Placeholder(parameter) = expr
            && !field.data_type().is_null()
        {
            self.fields.entry(parameter.id.clone()).or_insert(field);
        }
    }

    /// The parameters right below an expression.
    fn within(&mut self, expr: &Expr, schema: &DFSchema) {
        let type_of = |expr: &Expr| if is_open(expr) { None } else { expr.get_type(schema).ok() };
        match expr {
            // A client that is told `text` for `$1::date` sends no date.
            Expr::Cast(Cast { expr, field }) => self.put(expr, Arc::clone(field)),
            Expr::Case(case) => {
                let results = || case.when_then_expr.iter().map(|(_, then)| then.as_ref()).chain(case.else_expr.as_deref());
                let result = results().find_map(type_of);
                results().for_each(|expr| self.add(expr, result.clone()));
                if case.expr.is_none() {
                    case.when_then_expr.iter().for_each(|(when, _)| self.add(when, Some(DataType::Boolean)));
                }
            }
            Expr::BinaryExpr(BinaryExpr { left, right, .. }) => self.beside(left, right, schema),
            Expr::Like(Like { expr, pattern, .. }) | Expr::SimilarTo(Like { expr, pattern, .. }) => self.beside(expr, pattern, schema),
            Expr::InList(InList { expr, list, .. }) => list.iter().for_each(|item| self.beside(expr, item, schema)),
            Expr::Between(Between { expr, low, high, .. }) => [low, high].into_iter().for_each(|bound| self.beside(expr, bound, schema)),
            Expr::ScalarFunction(call) if call.args.iter().any(is_open) => {
                let field_of = |expr: &Expr| if is_open(expr) { None } else { expr.to_field(schema).ok().map(|(_, field)| field) };
                self.call(call, &type_of, &field_of);
            }
            Expr::WindowFunction(call) if matches!(call.fun.name(), "lag" | "lead" | "nth_value") => {
                call.params.args.iter().skip(1).take(1).for_each(|count| self.add(count, Some(DataType::Int32)));
            }
            _ => {}
        }
    }

    fn call(&mut self, call: &ScalarFunction, type_of: &dyn Fn(&Expr) -> Option<DataType>, field_of: &dyn Fn(&Expr) -> Option<FieldRef>) {
        match (call.name(), call.args.as_slice()) {
            // `x = ANY ($1)`
            ("array_has", [list, item]) => {
                if let Some(item) = field_of(item) {
                    self.put(list, Arc::new(types::list_of(&item)));
                }
                let list_type = type_of(list);
                self.add(
                    item,
                    list_type.and_then(|list| if let DataType::List(item) = list { Some(item.data_type().clone()) } else { None }),
                );
            }
            ("coalesce" | "greatest" | "least" | "nullif", args) => {
                let known = args.iter().find_map(type_of);
                args.iter().for_each(|arg| self.add(arg, known.clone()));
            }
            (_, args) => {
                let open: Vec<usize> = args.iter().enumerate().filter(|(_, arg)| is_open(arg)).map(|(place, _)| place).collect();
                let Some(known) = args.iter().map(|arg| if is_open(arg) { Some(DataType::Null) } else { type_of(arg) }).collect() else {
                    return;
                };
                if let Some(types) = fitting(call, known, &open) {
                    args.iter().zip(types).for_each(|(arg, data_type)| self.add(arg, Some(data_type)));
                }
            }
        }
    }
}

fn is_open(expr: &Expr) -> bool {
    matches!(expr, Expr::Placeholder(parameter) if parameter.field.is_none())
}

/// The first types of a call's open arguments with which the function takes all of them.
fn fitting(call: &ScalarFunction, mut types: Vec<DataType>, open: &[usize]) -> Option<Vec<DataType>> {
    const MOST: u32 = 3;
    let places = u32::try_from(open.len()).ok().filter(|places| *places <= MOST)?;
    (0..TRIED.len().pow(places)).find_map(|mut choice| {
        for place in open {
            if let (Some(slot), Some(tried)) = (types.get_mut(*place), TRIED.get(choice % TRIED.len())) {
                *slot = tried.clone();
            }
            choice /= TRIED.len();
        }
        let fields: Vec<_> = types.iter().map(|data_type| Arc::new(Field::new("argument", data_type.clone(), true))).collect();
        fields_with_udf(&fields, call.func.as_ref()).is_ok().then(|| types.clone())
    })
}
