//! The fixed value of each type.
//!
//! Iceberg's where it has the type. For the others the same idea: as many nines as the narrow integer holds for sure, zeros elsewhere.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};
use arrow::error::ArrowError;

use super::{not_taken, time};

const TEXT: &str = "XXXXXXXX";
const NINES: i64 = 999_999_999;
const SECONDS_A_DAY: i64 = 86_400;

/// The value as an array of one.
pub(super) fn value(data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    let number = |value: i64| cast(&Int64Array::from(vec![value]), data_type);
    match data_type {
        DataType::Int8 | DataType::UInt8 => number(99),
        DataType::Int16 | DataType::UInt16 => number(9_999),
        DataType::Int32 | DataType::Int64 | DataType::UInt32 | DataType::UInt64 => number(NINES),
        other if other.is_numeric() => number(0),
        DataType::Boolean => Ok(Arc::new(BooleanArray::from(vec![false]))),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => cast(&StringArray::from(vec![TEXT]), data_type),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => cast(&BinaryArray::from(vec![&[][..]]), data_type),
        DataType::FixedSizeBinary(width) => {
            let zeros = vec![0_u8; usize::try_from(*width).map_err(|_| not_taken(data_type))?];
            Ok(Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(std::iter::once(Some(zeros)), *width)?))
        }
        DataType::Date32 => cast(&arrow::array::Int32Array::from(vec![i32::try_from(last_day(9999)).unwrap_or(i32::MAX)]), data_type),
        DataType::Date64 => number(last_day(9999) * SECONDS_A_DAY * 1_000),
        DataType::Time32(_) => cast(&arrow::array::Int32Array::from(vec![0]), data_type),
        DataType::Time64(_) => number(0),
        DataType::Timestamp(unit, _) => number(match unit {
            TimeUnit::Second => last_day(9999) * SECONDS_A_DAY,
            TimeUnit::Millisecond => last_day(9999) * SECONDS_A_DAY * 1_000,
            TimeUnit::Microsecond => last_day(9999) * SECONDS_A_DAY * 1_000_000,
            // 64 bits of nanoseconds end in 2262.
            TimeUnit::Nanosecond => last_day(2261) * SECONDS_A_DAY * 1_000_000_000,
        }),
        other => Err(not_taken(other)),
    }
}

/// 31 December of the year, in days from 1970-01-01.
fn last_day(year: i64) -> i64 {
    time::day_of(year + 1, 1) - 1
}
