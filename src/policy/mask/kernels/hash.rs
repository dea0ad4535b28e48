//! Hashes and pseudonyms.
//!
//! A pseudonym is HMAC-SHA-256 of the value under the consumer domain's key: 128 bits of it as 26 letters and digits for text, the low 63
//! (or 31) bits as a number that is not negative for integers. Two of 100,000 different `bigint` values share a pseudonym with odds of
//! 1 in 1.8 billion; among 100,000 different `integer` values two or three pairs do, so a key that is joined on should be `bigint` or text.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, BinaryViewBuilder, LargeBinaryBuilder};
use arrow::datatypes::{DataType, Int32Type, Int64Type, UInt32Type, UInt64Type};
use arrow::error::ArrowError;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::{map_primitive, map_text, not_taken};

/// RFC 4648's base 32 in lower case: no two of its characters look alike.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// SHA-256 of `salt` and the value: hexadecimal for text, the digest for binary, its first bytes (little-endian) for integers.
pub(super) fn sha256(array: &ArrayRef, salt: &[u8]) -> Result<ArrayRef, ArrowError> {
    let salted = Sha256::new_with_prefix(salt);
    let digest = |bytes: &[u8]| -> [u8; 32] { salted.clone().chain_update(bytes).finalize().into() };
    macro_rules! binary {
        ($builder:expr, $values:expr) => {{
            let mut builder = $builder;
            for value in $values.iter() {
                builder.append_option(value.map(|bytes| digest(bytes)));
            }
            Ok(Arc::new(builder.finish()))
        }};
    }
    match array.data_type() {
        DataType::Int32 => Ok(map_primitive::<Int32Type>(array, |v| i32::from_le_bytes(first(&digest(&v.to_le_bytes()))))),
        DataType::UInt32 => Ok(map_primitive::<UInt32Type>(array, |v| u32::from_le_bytes(first(&digest(&v.to_le_bytes()))))),
        DataType::Int64 => Ok(map_primitive::<Int64Type>(array, |v| i64::from_le_bytes(first(&digest(&v.to_le_bytes()))))),
        DataType::UInt64 => Ok(map_primitive::<UInt64Type>(array, |v| u64::from_le_bytes(first(&digest(&v.to_le_bytes()))))),
        DataType::Binary => binary!(BinaryBuilder::new(), array.as_binary::<i32>()),
        DataType::LargeBinary => binary!(LargeBinaryBuilder::new(), array.as_binary::<i64>()),
        DataType::BinaryView => binary!(BinaryViewBuilder::new(), array.as_binary_view()),
        _ => map_text(array, |text, out| hexadecimal(&digest(text.as_bytes()), out)),
    }
}

/// The pseudonym of each value. Integers of all widths are hashed alike, so that a 32-bit pseudonym is the tail of the 64-bit one.
pub(super) fn pseudonym(array: &ArrayRef, key: &[u8; 32]) -> Result<ArrayRef, ArrowError> {
    let keyed = Hmac::<Sha256>::new_from_slice(key).map_err(|_| not_taken(array.data_type()))?;
    let mac =
        |kind: &[u8], bytes: &[u8]| -> [u8; 32] { keyed.clone().chain_update(kind).chain_update(bytes).finalize().into_bytes().into() };
    let number = |value: i128| u64::from_le_bytes(first(&mac(b"integer\0", &value.to_le_bytes())));
    let narrow = |value: i128| u32::try_from(number(value) & u64::from(u32::MAX >> 1)).unwrap_or(0);
    match array.data_type() {
        DataType::Int64 => Ok(map_primitive::<Int64Type>(array, |v| (number(v.into()) & (u64::MAX >> 1)).cast_signed())),
        DataType::UInt64 => Ok(map_primitive::<UInt64Type>(array, |v| number(v.into()) & (u64::MAX >> 1))),
        DataType::Int32 => Ok(map_primitive::<Int32Type>(array, |v| narrow(v.into()).cast_signed())),
        DataType::UInt32 => Ok(map_primitive::<UInt32Type>(array, |v| narrow(v.into()))),
        _ => map_text(array, |text, out| base32(&first::<16>(&mac(b"text\0", text.as_bytes())), out)),
    }
}

/// The first `N` bytes of a digest.
fn first<const N: usize>(digest: &[u8; 32]) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.iter_mut().zip(digest).for_each(|(to, from)| *to = *from);
    bytes
}

fn hexadecimal(digest: &[u8], out: &mut String) {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    out.extend(digest.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
}

fn base32(bytes: &[u8; 16], out: &mut String) {
    let bits = u128::from_be_bytes(*bytes);
    // 26 characters of five bits hold 130 bits: the first one has only three of its own.
    for place in (0..26).rev() {
        let five = usize::try_from((bits >> (place * 5)) & 31).unwrap_or(0);
        out.extend(ALPHABET.get(five).map(|byte| char::from(*byte)));
    }
}
