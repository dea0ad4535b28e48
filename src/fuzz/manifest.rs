use super::*;
use crate::fuzz;

#[test]
fn no_file_makes_the_loader_panic_and_every_problem_is_one_line() {
    for (file, seed) in [("mesh.yaml", MESH), ("sales/domain.yaml", DOMAIN), ("sales/orders/v1.yaml", MANIFEST)] {
        bolero::check!().with_iterations(300).with_max_len(fuzz::INPUT).for_each(fuzz::each(
            &[seed, "a: &a [*a]\n", "? {x: [1]}\n: |+2\n  y\n"],
            |input| {
                let folder = Folder::new();
                folder.write(file, input);
                for line in folder.problems() {
                    assert!(!line.contains('\n') && line.len() < 1000, "{line:?}");
                }
            },
        ));
    }
}
