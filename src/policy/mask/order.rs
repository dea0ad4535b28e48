//! Which of two masks is stricter.
//!
//! `b` is at least as strict as `a` where whoever holds what `a` gives could make what `b` gives from it (for the hashes: something that
//! nobody without the key or salt could tell from it). Then showing `b` shows nothing that showing `a` would not have shown.

use super::Mask;

/// The strictest of all, or NULL as soon as two of them do not compare.
///
/// It looks at the set rather than folding pairs, so that the answer depends neither on the order of the levels nor on how they are
/// grouped, and so that a further mask can only tighten: once two do not compare, nothing makes them compare again.
pub(super) fn strictest<'a>(masks: impl IntoIterator<Item = &'a Mask>) -> Option<Mask> {
    let masks: Vec<&Mask> = masks.into_iter().collect();
    let comparable = |a: &Mask, b: &Mask| at_least(a, b) || at_least(b, a);
    let chain = masks.iter().enumerate().all(|(i, a)| masks.iter().skip(i + 1).all(|b| comparable(a, b)));
    let top = masks.iter().copied().reduce(|a, b| if at_least(b, a) { b } else { a })?;
    Some(if chain { top.clone() } else { Mask::ReplaceWithNull })
}

/// Whether `strict` hides at least as much as `loose`.
pub(super) fn at_least(strict: &Mask, loose: &Mask) -> bool {
    use Mask::{
        Alphanum, Constant, Pseudonym, ReplaceWithNull, Round, Sha256Global, Sha256QueryLocal, ShowFirst4, ShowLast4, ToFixedValue,
        TruncateToMonth, TruncateToYear,
    };
    match (strict, loose) {
        (a, b) if a == b => true,
        (ReplaceWithNull, _) => true,
        (_, ReplaceWithNull) => false,
        // Two different constants hide the same and show different things: neither wins.
        (ToFixedValue | Constant(_), ToFixedValue | Constant(_)) => false,
        (ToFixedValue | Constant(_), _) => true,
        // The four kept characters are masked, the others were masked already.
        (Alphanum, ShowFirst4 | ShowLast4) => true,
        (TruncateToYear, TruncateToMonth) => true,
        // Anyone can make the global hash of a guess; only the gateway the pseudonym; and a query-local hash links nothing to anything.
        (Pseudonym, Sha256Global) | (Sha256QueryLocal, Sha256Global | Pseudonym) => true,
        (Round(coarse), Round(fine)) => coarse.checked_rem(*fine).is_some_and(|rest| rest.is_zero()),
        _ => false,
    }
}
