//! No file makes the loader panic, whatever it holds.

use proptest::prelude::*;

use super::*;

/// A file of the catalog with something done to it.
fn mangled() -> impl Strategy<Value = (usize, usize, Vec<u8>)> {
    (
        0..3usize,
        0..2000usize,
        prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"{}[]:,-&*!|>'\"#%@`$. \n\t~?<".to_vec())], 0..24),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_byte_string_panics_the_loader(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let folder = Folder::new();
        folder.write("sales/orders/v1.yaml", &bytes);
        folder.write("sales/domain.yaml", &bytes);
        folder.problems();
        folder.write("mesh.yaml", &bytes);
        folder.problems();
    }

    #[test]
    fn no_mangled_file_panics_the_loader((which, at, junk) in mangled()) {
        let folder = Folder::new();
        let (file, text) = [("mesh.yaml", MESH), ("sales/domain.yaml", DOMAIN), ("sales/orders/v1.yaml", MANIFEST)][which];
        let mut bytes = text.as_bytes().to_vec();
        let at = at.min(bytes.len());
        bytes.splice(at..at, junk);
        folder.write(file, bytes);
        for line in folder.problems() {
            prop_assert!(!line.contains('\n') && line.len() < 1000, "{line:?}");
        }
    }
}
