//! From governed tables to a plan that can be run. The planner knows the tables that the reader may read, as they may read them, and the
//! functions of the allow-list; nothing else has a name.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, Schema, SchemaRef};
use chrono_tz::Tz;
use datafusion::catalog::TableFunctionArgs;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{ParamValues, Result as EngineResult, TableReference, not_impl_err, plan_err};
use datafusion::datasource::{cte_worktable, provider_as_source, source_as_provider};
use datafusion::execution::memory_pool::{FairSpillPool, MemoryPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SessionState, SessionStateBuilder, TaskContext};
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    AggregateUDF, EmptyRelation, Expr, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, Volatility, WindowUDF,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::prelude::SessionConfig;
use datafusion::scalar::ScalarValue;
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel};

use crate::catalog::PortRef;
use crate::error::{ErrorKind, Fault, Result};
use crate::id::DomainName;
use crate::policy::Permit;
use crate::ports::OpenPort;
use crate::{ports, system};

use super::admit::{DomainPools, Share};
use super::fault::fault_of;
use super::functions::{self, Functions};
use super::govern::Seen;
use super::pace::paced;
use super::parse::deep;
use super::view::Governed;
use super::workers::Workers;
use super::{Notice, dialect};

/// The parts of the engine that all queries share.
#[derive(Debug)]
pub(crate) struct Engine {
    config: SessionConfig,
    functions: Functions,
    memory: Arc<dyn MemoryPool>,
    domains: DomainPools,
    runtime: Arc<RuntimeEnv>,
    expr_planners: Vec<Arc<dyn ExprPlanner>>,
    type_planner: Arc<dyn TypePlanner>,
    rules: Vec<Arc<dyn OptimizerRule + Send + Sync>>,
    physical_rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>,
    workers: Workers,
    seen: Seen,
}

impl Engine {
    /// An engine on this much memory, with `runtime`'s disk manager and caches.
    pub(crate) fn new(memory: u64, runtime: &RuntimeEnv) -> Result<Self> {
        let pool = FairSpillPool::new(usize::try_from(memory).unwrap_or(usize::MAX));
        let consumers = std::num::NonZeroUsize::MIN;
        let memory: Arc<dyn MemoryPool> = Arc::new(TrackConsumersPool::new(pool, consumers));
        Ok(Self {
            config: ports::session_config(),
            functions: Functions::new(),
            memory: Arc::clone(&memory),
            domains: DomainPools::default(),
            runtime: Arc::new(RuntimeEnv { memory_pool: memory, ..runtime.clone() }),
            expr_planners: std::iter::once(Arc::new(dialect::Operators) as _).chain(functions::planners()).collect(),
            type_planner: Arc::new(system::PgTypePlanner),
            rules: optimizer_rules(),
            physical_rules: PhysicalOptimizer::new().rules,
            workers: Workers::start()?,
            seen: Seen::default(),
        })
    }

    /// What queries run on.
    pub(super) fn workers(&self) -> &Workers {
        &self.workers
    }

    /// How many rows of filtered products readers were shown.
    pub(super) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The functions that statements may call.
    pub(crate) fn functions(&self) -> &Functions {
        &self.functions
    }

    /// A runtime for one query, with its own share of the memory, and within that of its domain where it has a limit.
    pub(crate) fn query_runtime(&self, memory: u64, domain: Option<(&DomainName, u64)>) -> Arc<RuntimeEnv> {
        let within: Arc<dyn MemoryPool> = match domain {
            Some((domain, limit)) => self.domains.of(domain, limit, &self.memory),
            None => Arc::clone(&self.memory),
        };
        let pool = Share::new(within, memory, "query's");
        Arc::new(RuntimeEnv { memory_pool: Arc::new(pool), ..self.runtime.as_ref().clone() })
    }

    /// Planner and optimiser for one query, reading through `runtime`. Functions are found by [`Names`], so the state knows only those
    /// that the optimiser itself looks up.
    pub(crate) fn state(&self, time_zone: Tz, runtime: &Arc<RuntimeEnv>) -> SessionState {
        let mut config = self.config.clone();
        config.options_mut().execution.time_zone = Some(time_zone.name().to_owned());
        let mut state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(Arc::clone(runtime))
            .with_expr_planners(self.expr_planners.clone())
            .with_type_planner(Arc::clone(&self.type_planner))
            .with_aggregate_functions(self.functions.for_the_optimiser())
            .with_optimizer_rules(self.rules.clone())
            .with_physical_optimizer_rules(self.physical_rules.clone())
            .build();
        state.mark_start_execution();
        state
    }
}

/// The engine's, and ours behind its first simplification.
fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    let simplified = rules.iter().position(|rule| rule.name() == "simplify_expressions").map_or(0, |at| at + 1);
    rules.insert(simplified, Arc::new(dialect::DatesAsDates));
    rules
}

/// What the planner can find.
struct Names<'a> {
    state: &'a SessionState,
    tables: &'a HashMap<TableReference, Arc<dyn TableSource>>,
    functions: &'a Functions,
    session_functions: HashMap<String, Arc<ScalarUDF>>,
    type_planner: Arc<dyn TypePlanner>,
}

impl ContextProvider for Names<'_> {
    fn get_table_source(&self, name: TableReference) -> EngineResult<Arc<dyn TableSource>> {
        match self.tables.get(&name) {
            Some(table) => Ok(Arc::clone(table)),
            None => plan_err!("table '{name}' not found"),
        }
    }

    fn get_table_function_source(&self, name: &str, args: Vec<Expr>) -> EngineResult<Arc<dyn TableSource>> {
        match self.functions.table(name) {
            Some(function) => {
                let context =
                    SimplifyContext::builder().with_current_time().with_config_options(Arc::clone(self.state.config_options())).build();
                let simplifier = ExprSimplifier::new(context);
                let args = args.into_iter().map(|arg| simplifier.simplify(arg).and_then(argument)).collect::<EngineResult<Vec<_>>>()?;
                let args: Vec<Expr> = typed(args)?.into_iter().map(|value| Expr::Literal(value, None)).collect();
                Ok(provider_as_source(function.create_table_provider_with_args(TableFunctionArgs::new(&args, self.state))?))
            }
            None => plan_err!("Invalid function '{name}'"),
        }
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> EngineResult<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(cte_worktable::CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.state.expr_planners()
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::clone(&self.type_planner))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let name = name.strip_prefix("pg_catalog.").unwrap_or(name);
        self.session_functions.get(name).cloned().or_else(|| self.functions.scalar(name))
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.functions.aggregate(name.strip_prefix("pg_catalog.").unwrap_or(name))
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.functions.window(name.strip_prefix("pg_catalog.").unwrap_or(name))
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.functions.scalar_names()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.functions.aggregate_names()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.functions.window_names()
    }
}

/// A value as the engine's table functions take it: moments in nanoseconds, the widest of whole numbers.
fn argument(arg: Expr) -> EngineResult<ScalarValue> {
    let Expr::Literal(value, _) = arg else { return not_impl_err!("a series over anything but constants") };
    Ok(match value {
        ScalarValue::TimestampMicrosecond(Some(moment), zone) => match moment.checked_mul(1_000) {
            Some(fine) => ScalarValue::TimestampNanosecond(Some(fine), zone),
            None => ScalarValue::TimestampMicrosecond(Some(moment), zone),
        },
        value if value.data_type().is_integer() => value.cast_to(&DataType::Int64)?,
        value => value,
    })
}

/// Text beside a moment is another, and then an interval, as PostgreSQL takes constants without a type.
fn typed(args: Vec<ScalarValue>) -> EngineResult<Vec<ScalarValue>> {
    let Some(first) = args.first().map(ScalarValue::data_type).filter(|first| first.is_temporal() && args.len() <= 3) else {
        return Ok(args);
    };
    let types = [first.clone(), first, DataType::Interval(IntervalUnit::MonthDayNano)];
    let cast = |(value, to): (ScalarValue, &DataType)| if value.data_type().is_string() { value.cast_to(to) } else { Ok(value) };
    args.into_iter().zip(&types).map(cast).collect()
}

/// A governed statement's logical plan with its parameters' types.
#[derive(Debug)]
pub(crate) struct Drafted {
    plan: LogicalPlan,
    state: SessionState,
    time_zone: Tz,
    governed: Governed,
}

impl Governed {
    /// Plans the statement over the governed tables. `types` are the parameters' types as far as the client said.
    pub(crate) fn draft(self, engine: &Engine, time_zone: Tz, types: &[Option<DataType>]) -> Result<Drafted> {
        let state = engine.state(time_zone, self.scope.planning());
        let tables = self.tables.iter().map(|(name, table)| (name.clone(), provider_as_source(Arc::clone(table)))).collect();
        let plan = {
            let session_functions =
                self.session_functions.iter().flat_map(|function| names_of(function).map(|name| (name, Arc::clone(function)))).collect();
            let names = Names {
                state: &state,
                tables: &tables,
                functions: engine.functions(),
                session_functions,
                type_planner: Arc::clone(&engine.type_planner),
            };
            let fields = types.iter().enumerate().map(|(i, t)| t.as_ref().map(|t| parameter_field(i, t))).collect();
            let mut context = PlannerContext::new().with_prepare_param_data_types(fields);
            let planner = SqlToRel::new_with_options(&names, ParserOptions::from(&state.config_options().sql_parser));
            let plan = deep(|| planner.sql_statement_to_plan_with_context(self.statement.clone(), &mut context));
            plan.and_then(|plan| deep(|| dialect::interpret(plan, time_zone))).map_err(fault_of)?
        };
        Ok(Drafted { plan, state, time_zone, governed: self })
    }
}

fn names_of(function: &ScalarUDF) -> impl Iterator<Item = String> {
    std::iter::once(function.name().to_owned()).chain(function.aliases().to_vec())
}

fn parameter_field(index: usize, data_type: &DataType) -> FieldRef {
    Arc::new(Field::new(format!("${}", index + 1), data_type.clone(), true))
}

impl Drafted {
    /// The parameters' types, `$1` first. `$1::date` is a date; one that nothing determines is text, as in PostgreSQL.
    pub(crate) fn parameters(&self) -> Result<Vec<FieldRef>> {
        let mut fields = BTreeMap::new();
        let mut last = self.governed.parameters;
        let places = dialect::parameter_types(&self.plan).map_err(fault_of)?;
        for (name, field) in self.plan.get_parameter_fields().map_err(fault_of)? {
            let number: usize = name
                .trim_start_matches('$')
                .parse()
                .ok()
                .filter(|number| (1..=u16::MAX.into()).contains(number))
                .ok_or_else(|| Fault::new(ErrorKind::Syntax, format!("there is no parameter {name}")))?;
            if let Some(field) = places.field(&name, field) {
                fields.insert(number, field);
            }
            last = last.max(number);
        }
        let text = |number| parameter_field(number, &DataType::Utf8);
        Ok((0..last).map(|index| fields.remove(&(index + 1)).unwrap_or_else(|| text(index))).collect())
    }

    /// The result's columns, called what PostgreSQL calls them.
    pub(crate) fn schema(&self) -> SchemaRef {
        self.governed.names.call(self.plan.schema().as_arrow())
    }

    /// Bytes of the products' files, each product as often as it is named; `None` where one is not whole for its reader, or where the statement may read
    /// one more often than it names it.
    pub(crate) fn bytes(&self) -> Option<u64> {
        let permits = &self.governed.permits;
        if !permits.iter().all(|(_, _, permit)| permit.is_whole()) {
            return None;
        }
        let mut sum = Some(0_u64);
        let counted = self.plan.apply_with_subqueries(|node| {
            let again = |expr: &Expr| expr.exists(|expr| Ok(matches!(expr, Expr::SetComparison(_))));
            match node {
                LogicalPlan::RecursiveQuery(_) => sum = None,
                LogicalPlan::TableScan(scan) => {
                    let provider = source_as_provider(&scan.source)?;
                    let port = permits.iter().find(|(_, port, _)| std::ptr::addr_eq(Arc::as_ptr(&provider), Arc::as_ptr(port.provider())));
                    sum = sum.map(|sum| sum.saturating_add(port.map_or(0, |(_, port, _)| port.bytes())));
                }
                other => {
                    for expr in other.expressions() {
                        if again(&expr)? {
                            sum = None;
                        }
                    }
                }
            }
            Ok(if sum.is_some() { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        });
        counted.ok().and(sum)
    }

    /// Puts the parameters in as values; the text of the statement is never touched.
    pub(crate) fn bind(mut self, parameters: &[ScalarValue]) -> Result<Self> {
        let expected = self.parameters()?;
        if expected.len() > parameters.len() {
            return Err(Fault::new(
                ErrorKind::Protocol,
                format!("the statement requires {} parameters, but {} were given", expected.len(), parameters.len()),
            ));
        }
        if !expected.is_empty() {
            let values =
                parameters.iter().zip(&expected).map(|(value, to)| cast_parameter(value, to.data_type())).collect::<Result<Vec<_>>>()?;
            let values: ParamValues = values.into();
            // A parameter's type may be known only now.
            let zone = self.time_zone;
            self.plan = deep(|| self.plan.with_param_values(values).and_then(|plan| dialect::interpret(plan, zone))).map_err(fault_of)?;
        }
        Ok(self)
    }

    /// The physical plan, every scan of which is counted and speaks of its product only.
    pub(crate) async fn plan(self) -> Result<Planned> {
        let Self { plan, state, governed, .. } = self;
        let described = Arc::clone(plan.schema().inner());
        let (physical, constant) = match deep(|| one_row(&plan, &state)).map_err(fault_of)? {
            Some(OneRow { plan, constant }) => (plan, constant),
            None => {
                let optimised = deep(|| state.optimize(&plan)).map_err(fault_of)?;
                let physical = Deep(Box::pin(state.query_planner().create_physical_plan(&optimised, &state))).await;
                (physical.map_err(fault_of)?, None)
            }
        };
        let physical = governed.scope.instrument(physical).and_then(yielding).map_err(fault_of)?;
        let task = TaskContext::from(&state).with_runtime(Arc::clone(governed.scope.running()));
        let schema = governed.names.call(&as_described(&physical.schema(), &described));
        let constant = constant.and_then(|row| row.with_schema(Arc::clone(&schema)).ok());
        Ok(Planned { physical, schema, constant, task: Arc::new(task), notices: governed.notices, permits: governed.permits })
    }
}

/// The columns of a physical plan, each of the type that it was described as: the optimiser may lose what a field says of it.
fn as_described(physical: &Schema, logical: &Schema) -> Schema {
    let columns = physical.fields().iter().enumerate().map(|(at, field)| match logical.fields().get(at) {
        Some(described) if described.metadata() != field.metadata() => {
            Arc::new(field.as_ref().clone().with_metadata(described.metadata().clone()))
        }
        _ => Arc::clone(field),
    });
    Schema::new_with_metadata(columns.collect::<Vec<_>>(), physical.metadata().clone())
}

/// One row of values.
struct OneRow {
    plan: Arc<dyn ExecutionPlan>,
    /// The row, where it is the same every time.
    constant: Option<RecordBatch>,
}

/// The physical plan of one row of values, `SELECT 1`: there is nothing in it to optimise, and looking for it takes longer than all the rest.
fn one_row(plan: &LogicalPlan, state: &SessionState) -> EngineResult<Option<OneRow>> {
    let LogicalPlan::Projection(projection) = plan else { return Ok(None) };
    let LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: true, schema }) = projection.input.as_ref() else { return Ok(None) };
    let asks = |expr: &Expr| {
        let query = |expr: &Expr| matches!(expr, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_));
        expr.exists(|expr| Ok(query(expr) || matches!(expr, Expr::OuterReferenceColumn(..))))
    };
    let changes = |expr: &Expr| {
        let changes = |expr: &Expr| matches!(expr, Expr::ScalarFunction(call) if call.func.signature().volatility != Volatility::Immutable);
        expr.exists(|expr| Ok(changes(expr)))
    };
    let mut constant = true;
    for expr in &projection.expr {
        if asks(expr)? {
            return Ok(None);
        }
        constant &= !changes(expr)?;
    }
    let context = SimplifyContext::builder()
        .with_schema(Arc::clone(schema))
        .with_config_options(Arc::clone(state.config_options()))
        .with_query_execution_start_time(state.execution_props().query_execution_start_time);
    let simplifier = ExprSimplifier::new(context.build());
    let values = projection.expr.iter().map(|expr| simplifier.simplify(simplifier.coerce(expr.clone().unalias_nested().data, schema)?));
    let values = values.collect::<EngineResult<Vec<_>>>()?;
    let written = values.iter().map(|value| match value {
        Expr::Literal(value, _) if constant => value.to_array().ok(),
        _ => None,
    });
    let written: Option<Vec<ArrayRef>> = written.collect();
    let named = values.into_iter().zip(projection.schema.fields());
    let named = named.map(|(value, field)| Ok((state.create_physical_expr(value, schema)?, field.name().clone())));
    let row = Arc::new(PlaceholderRowExec::new(Arc::clone(schema.inner())));
    let plan: Arc<dyn ExecutionPlan> = Arc::new(ProjectionExec::try_new(named.collect::<EngineResult<Vec<_>>>()?, row)?);
    let constant = written.and_then(|row| RecordBatch::try_new(plan.schema(), row).ok());
    Ok(Some(OneRow { plan, constant }))
}

/// Lets others, and a cancel, in between the batches of what makes many of one. Scans do so by themselves; a join of joins can work for
/// hours on one batch of theirs.
fn yielding(plan: Arc<dyn ExecutionPlan>) -> EngineResult<Arc<dyn ExecutionPlan>> {
    let plan = plan.transform_up(|node| {
        let multiplies = node.children().len() > 1 || node.is::<UnnestExec>();
        let node = paced(node)?;
        Ok(Transformed::yes(if multiplies { Arc::new(CooperativeExec::new(node)) as _ } else { node }))
    });
    plan.map(|plan| plan.data)
}

/// A parameter in the type that the statement wants it in.
fn cast_parameter(value: &ScalarValue, to: &DataType) -> Result<ScalarValue> {
    if dialect::is_taken(&value.data_type(), to) {
        return Ok(value.clone());
    }
    value.cast_to(to).map_err(|error| {
        Fault::new(ErrorKind::InvalidText, "invalid input for a parameter")
            .with_detail(format!("It cannot be read as {to}."))
            .with_source(error)
    })
}

/// A statement that is ready to run. Made of governed tables only, and without any expression that met an ungoverned row.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(super) physical: Arc<dyn ExecutionPlan>,
    /// The result's columns, as readers know them.
    pub(super) schema: SchemaRef,
    /// All of its rows, where they are the same every time and for everybody who writes the same without calling anything.
    pub(super) constant: Option<RecordBatch>,
    pub(super) task: Arc<TaskContext>,
    pub(super) notices: Vec<Notice>,
    pub(super) permits: Vec<(PortRef, OpenPort, Permit)>,
}

/// Polls a future on a stack that deep plans fit in: the physical planner walks the plan by recursion.
struct Deep<F>(Pin<Box<F>>);

impl<F: Future> Future for Deep<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        deep(|| self.0.as_mut().poll(cx))
    }
}
