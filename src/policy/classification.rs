//! Classifications: dotted labels on columns, and the rule that holds for each.

use crate::catalog::{ClassificationRule, Mesh};

/// The rule for a label: its own, or that of its nearest ancestor, so that a rule for `PII` holds for `PII.Phone` until one is written for
/// `PII.Phone` itself. `None` is a label that the mesh does not know: nobody decided, so nobody reads.
pub(super) fn rule_for<'a>(mesh: &'a Mesh, label: &str) -> Option<(&'a str, &'a ClassificationRule)> {
    let mut label = label;
    loop {
        if let Some((known, rule)) = mesh.classifications.get_key_value(label) {
            return Some((known, rule));
        }
        label = label.rsplit_once('.')?.0;
    }
}
