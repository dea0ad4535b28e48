use super::*;
use crate::fuzz;

#[test]
fn no_expression_makes_a_filter_panic() {
    let seeds = [
        "region = 'eu' AND (age BETWEEN 18 AND 65 OR NOT consent)",
        "branch IN ('a', $region) AND \"Mixed Case\" IS NOT NULL",
        "region LIKE 'a%\\_b' AND seen < '2026-01-01T00:00:00Z' AND born >= DATE '2000-01-01'",
        "amount >= 10.50 AND score <> -1e3 AND consent IS NOT TRUE",
        "$team = 'claims' AND $me <> 'ana' AND photo IS NULL",
    ];
    bolero::check!().with_iterations(5_000).with_max_len(fuzz::INPUT).for_each(fuzz::each(&seeds, |input| {
        let text = fuzz::text(input);
        let (one, two) = (compiled(&text), compiled(&text));
        assert_eq!(one, two, "{text}");
        if let Err(told) = one {
            // It may quote the expression, once; the catalog makes one short line of it.
            assert!(!told.is_empty() && told.len() < text.len() + 500, "{told:?} of {text:?}");
        }
    }));
}
