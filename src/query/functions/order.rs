//! Ordered-set aggregates: `percentile_disc(f) WITHIN GROUP (ORDER BY x)` and `mode() WITHIN GROUP (ORDER BY x)`.
//!
//! All values are kept, in the memory that the engine counts, and sorted at the end.

use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::compute::{SortOptions, concat, sort, take};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{DataFusionError, Result as EngineResult};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Signature, Volatility};
use datafusion::scalar::ScalarValue;

use crate::error::{ErrorKind, Fault};

use super::own::{is_text, no_such, sent};

pub(super) fn aggregates() -> Vec<Arc<AggregateUDF>> {
    let of = |name| AggregateUDF::new_from_impl(OrderedSet { name, signature: Signature::user_defined(Volatility::Immutable) });
    vec![Arc::new(of(PERCENTILE)), Arc::new(of(MODE))]
}

const PERCENTILE: &str = "percentile_disc";
const MODE: &str = "mode";

#[derive(Debug, PartialEq, Eq, Hash)]
struct OrderedSet {
    name: &'static str,
    signature: Signature,
}

impl AggregateUDFImpl for OrderedSet {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn supports_within_group_clause(&self) -> bool {
        true
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    /// The value that is ordered comes first.
    fn coerce_types(&self, types: &[DataType]) -> EngineResult<Vec<DataType>> {
        match types {
            [value] if self.name == MODE => Ok(vec![kept_as(value)]),
            [value, fraction] if self.name == PERCENTILE && (fraction.is_numeric() || is_text(fraction)) => {
                Ok(vec![kept_as(value), DataType::Float64])
            }
            _ => no_such(self.name, types),
        }
    }

    fn return_type(&self, types: &[DataType]) -> EngineResult<DataType> {
        types.first().cloned().ok_or_else(|| DataFusionError::Internal("an aggregate of nothing".to_owned()))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> EngineResult<Vec<FieldRef>> {
        let value = args.input_fields.first().map_or(DataType::Null, |field| field.data_type().clone());
        let list = DataType::List(Arc::new(Field::new_list_field(value, true)));
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "values"), list, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> EngineResult<Box<dyn Accumulator>> {
        let descending = args.order_bys.first().is_some_and(|by| by.options.descending);
        let pick = if self.name == MODE { Pick::Mode } else { Pick::At(fraction(&args)?) };
        let data_type = args.expr_fields.first().map_or(DataType::Null, |field| field.data_type().clone());
        Ok(Box::new(Values { kept: Vec::new(), data_type, descending, pick }))
    }
}

/// The type that values are kept in: one whose arrays hold themselves and nothing else.
fn kept_as(value: &DataType) -> DataType {
    match value {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, value) => kept_as(value),
        other => other.clone(),
    }
}

/// The fraction, which is a constant. NULL has no value.
fn fraction(args: &AccumulatorArgs<'_>) -> EngineResult<Option<f64>> {
    let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
    let constant = match args.exprs.get(1).map(|expr| expr.evaluate(&nothing)) {
        Some(Ok(ColumnarValue::Scalar(scalar))) => scalar,
        _ => {
            let fault = Fault::new(ErrorKind::Unsupported, "the fraction of percentile_disc must be a constant");
            return Err(sent(fault));
        }
    };
    let ScalarValue::Float64(fraction) = constant else { return no_such(PERCENTILE, &[constant.data_type()]) };
    match fraction {
        Some(fraction) if !(0.0..=1.0).contains(&fraction) => {
            Err(sent(Fault::new(ErrorKind::OutOfRange, format!("percentile value {fraction} is not between 0 and 1"))))
        }
        fraction => Ok(fraction),
    }
}

/// Which of the values is the answer.
#[derive(Debug, Clone, Copy)]
enum Pick {
    /// The first before which, itself included, there is this part of all.
    At(Option<f64>),
    /// The most frequent, and of those the first.
    Mode,
}

#[derive(Debug)]
struct Values {
    /// Without NULLs.
    kept: Vec<ArrayRef>,
    data_type: DataType,
    descending: bool,
    pick: Pick,
}

impl Values {
    fn keep(&mut self, values: &ArrayRef) -> EngineResult<()> {
        // A copy: what is given can be a few rows of a large batch, which would stay in memory for them.
        let rows: UInt64Array = (0u64..).zip(0..values.len()).filter(|(_, row)| values.is_valid(*row)).map(|(index, _)| index).collect();
        if !rows.is_empty() {
            self.kept.push(take(values, &rows, None)?);
        }
        Ok(())
    }

    fn all(&self) -> EngineResult<ArrayRef> {
        if self.kept.is_empty() {
            return Ok(arrow::array::new_empty_array(&self.data_type));
        }
        let kept: Vec<&dyn Array> = self.kept.iter().map(AsRef::as_ref).collect();
        Ok(concat(&kept)?)
    }
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> EngineResult<()> {
        values.first().map_or(Ok(()), |values| self.keep(values))
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> EngineResult<()> {
        let Some(lists) = states.first().and_then(|lists| lists.as_list_opt::<i32>()) else { return Ok(()) };
        lists.iter().flatten().try_for_each(|values| self.keep(&values))
    }

    fn state(&mut self) -> EngineResult<Vec<ScalarValue>> {
        Ok(vec![SingleRowListArrayBuilder::new(self.all()?).build_list_scalar()])
    }

    fn evaluate(&mut self) -> EngineResult<ScalarValue> {
        let all = self.all()?;
        let sorted = sort(&all, Some(SortOptions { descending: self.descending, nulls_first: false }))?;
        let place = match self.pick {
            _ if sorted.is_empty() => None,
            Pick::At(fraction) => fraction.map(|fraction| place_of(fraction, sorted.len())),
            Pick::Mode => Some(most_frequent(&sorted)?),
        };
        match place {
            Some(place) => ScalarValue::try_from_array(&sorted, place),
            None => ScalarValue::try_from(&self.data_type),
        }
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.kept.iter().map(|values| values.get_array_memory_size()).sum::<usize>()
    }
}

fn place_of(fraction: f64, count: usize) -> usize {
    let place = (fraction * count as f64).ceil() as usize;
    place.clamp(1, count.max(1)) - 1
}

/// Where the longest run of equal values begins.
fn most_frequent(sorted: &ArrayRef) -> EngineResult<usize> {
    let runs = arrow::compute::partition(&[Arc::clone(sorted)])?.ranges();
    let longest = runs.iter().map(|run| run.end - run.start).max().unwrap_or(0);
    Ok(runs.iter().find(|run| run.end - run.start == longest).map_or(0, |run| run.start))
}
