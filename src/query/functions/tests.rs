//! What the tests of the functions ask: an expression, planned and run as a statement of a session.

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Float64Type, IntervalMonthDayNanoType, TimestampMicrosecondType};
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::SessionContext;

use super::format::{TIMESTAMP, timestamptz};
use super::*;

/// The functions under every name that they have here. Of two with the same name in the engine, the one that has it here comes last.
fn named(functions: &Functions) -> Vec<Arc<ScalarUDF>> {
    let aliases = ALIASES.iter().filter_map(|(alias, name)| Some(functions.scalar(name)?.as_ref().clone().with_aliases([*alias])));
    let aliases: Vec<_> = aliases.map(Arc::new).collect();
    let (own, other): (Vec<_>, Vec<_>) = functions.scalar.iter().partition(|(name, function)| *name == function.name());
    other.into_iter().chain(own).map(|(_, function)| Arc::clone(function)).chain(aliases).collect()
}

/// A session in a time zone.
pub(super) struct Session(SessionContext, chrono_tz::Tz);

impl Session {
    pub(super) fn new(zone: &str) -> Self {
        let functions = Functions::new();
        let mut config = crate::ports::session_config();
        config.options_mut().execution.time_zone = Some(zone.to_owned());
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_expr_planners(planners())
            .with_type_planner(Arc::new(crate::system::PgTypePlanner))
            .with_scalar_functions(named(&functions))
            .with_aggregate_functions(functions.aggregate.values().cloned().collect())
            .build();
        Self(SessionContext::new_with_state(state), zone.parse().unwrap())
    }

    pub(super) fn context(&self) -> &SessionContext {
        &self.0
    }

    /// The answer of `SELECT expression`, as psql shows it; `ERROR` and the message.
    pub(super) async fn ask(&self, expression: &str) -> String {
        let run = async { self.0.sql(&format!("SELECT {expression}")).await?.collect().await };
        match run.await {
            Ok(batches) => batches.iter().find(|batch| batch.num_rows() > 0).map_or_else(String::new, |batch| self.shown(batch.column(0))),
            Err(error) => format!("ERROR {}", super::super::fault::fault_of(error)),
        }
    }

    fn shown(&self, values: &dyn Array) -> String {
        use crate::query::written::time;
        if values.is_null(0) {
            return String::new();
        }
        let micros = |to: &DataType| cast(values, to).unwrap().as_primitive::<TimestampMicrosecondType>().value(0);
        let mut out = Vec::new();
        match values.data_type() {
            DataType::Timestamp(_, Some(_)) => time::timestamptz(micros(&timestamptz()), self.1, &mut out),
            DataType::Timestamp(_, None) => time::timestamp(micros(&TIMESTAMP), &mut out),
            DataType::Date32 => time::date(i64::from(values.as_primitive::<Date32Type>().value(0)), &mut out),
            DataType::Interval(_) => {
                let span = values.as_primitive::<IntervalMonthDayNanoType>().value(0);
                let micros = span.nanoseconds / 1_000;
                time::interval(time::Interval { months: span.months, days: span.days, micros }, &mut out);
            }
            DataType::Float64 => return values.as_primitive::<Float64Type>().value(0).to_string(),
            DataType::Boolean => return if values.as_boolean().value(0) { "t" } else { "f" }.to_owned(),
            _ => return arrow::util::display::array_value_to_string(values, 0).unwrap(),
        }
        String::from_utf8(out).unwrap()
    }

    /// Asks each, and compares.
    pub(super) async fn all(&self, expected: &[(&str, &str)]) {
        let mut wrong = Vec::new();
        for (expression, expected) in expected {
            let answer = self.ask(expression).await;
            if answer != *expected {
                wrong.push(format!("{expression}: {answer:?}, not {expected:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// The same number, however it is written.
pub(super) fn same_number(a: &str, b: &str) -> bool {
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => (a - b).abs() <= b.abs() * 1e-15,
        _ => a == b,
    }
}

mod moments;
mod others;
