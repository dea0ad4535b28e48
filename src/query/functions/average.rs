//! `avg` of numerics with sixteen decimals, rounded, where the engine keeps four more than its argument has and cuts the rest.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::Result as EngineResult;
use datafusion::functions_aggregate::average::Avg;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature};
use datafusion::scalar::ScalarValue;

/// Decimals behind the point, at least.
const SCALE: i8 = 16;

pub(super) fn function() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(Average::default()))
}

#[derive(Debug, Default, PartialEq, Eq, Hash)]
struct Average(Avg);

/// The engine's own average with one decimal more, to be rounded.
fn finer(args: &AccumulatorArgs<'_>) -> Option<FieldRef> {
    match args.return_field.data_type() {
        DataType::Decimal128(precision, scale) => {
            Some(Arc::new(Field::new(args.return_field.name(), DataType::Decimal128(*precision, scale + 1), true)))
        }
        _ => None,
    }
}

impl AggregateUDFImpl for Average {
    fn name(&self) -> &'static str {
        "avg"
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, types: &[DataType]) -> EngineResult<DataType> {
        match types {
            [DataType::Decimal128(_, scale)] => Ok(DataType::Decimal128(38, (*scale).clamp(SCALE, 37))),
            _ => self.0.return_type(types),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> EngineResult<Vec<FieldRef>> {
        self.0.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> EngineResult<Box<dyn Accumulator>> {
        let to = args.return_field.data_type().clone();
        match finer(&args) {
            Some(return_field) => Ok(Box::new(Rounded { inner: self.0.accumulator(AccumulatorArgs { return_field, ..args })?, to })),
            None => self.0.accumulator(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        self.0.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> EngineResult<Box<dyn GroupsAccumulator>> {
        let to = args.return_field.data_type().clone();
        match finer(&args) {
            Some(return_field) => {
                Ok(Box::new(Rounded { inner: self.0.create_groups_accumulator(AccumulatorArgs { return_field, ..args })?, to }))
            }
            None => self.0.create_groups_accumulator(args),
        }
    }

    fn default_value(&self, data_type: &DataType) -> EngineResult<ScalarValue> {
        self.0.default_value(data_type)
    }
}

/// Rounds what another accumulator comes to.
#[derive(Debug)]
struct Rounded<A: ?Sized> {
    to: DataType,
    inner: Box<A>,
}

impl Accumulator for Rounded<dyn Accumulator> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> EngineResult<()> {
        self.inner.update_batch(values)
    }

    fn evaluate(&mut self) -> EngineResult<ScalarValue> {
        self.inner.evaluate()?.cast_to(&self.to)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn state(&mut self) -> EngineResult<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> EngineResult<()> {
        self.inner.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> EngineResult<()> {
        self.inner.retract_batch(values)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }
}

impl GroupsAccumulator for Rounded<dyn GroupsAccumulator> {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> EngineResult<()> {
        self.inner.update_batch(values, groups, filter, total)
    }

    fn evaluate(&mut self, emit: EmitTo) -> EngineResult<ArrayRef> {
        Ok(cast(&self.inner.evaluate(emit)?, &self.to)?)
    }

    fn state(&mut self, emit: EmitTo) -> EngineResult<Vec<ArrayRef>> {
        self.inner.state(emit)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> EngineResult<()> {
        self.inner.merge_batch(values, groups, total)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> EngineResult<Vec<ArrayRef>> {
        self.inner.convert_to_state(values, filter)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}
