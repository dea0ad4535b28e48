use super::super::testing::{Product, World, add, create_people, people};
use crate::catalog::Format;
use crate::error::ErrorKind;
use crate::fuzz;

const COMMIT: &str = "_delta_log/00000000000000000000.json";

#[test]
fn no_log_makes_a_delta_table_panic_and_no_fault_tells_where_it_lies() {
    let product = Product::new(Format::Delta);
    let file = product.write_parquet("a.parquet", &people(0, 3));
    let mut actions = create_people(&[]);
    actions.push(add("a.parquet", std::fs::metadata(file).unwrap().len(), serde_json::json!({}), Some(3)));
    let seed: String = actions.iter().map(|action| format!("{action}\n")).collect();
    let seeds = [seed.clone(), seed.replace("a.parquet", "../a.parquet"), seed.replace("a.parquet", "b.parquet")];
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    bolero::check!().with_iterations(60).with_max_len(fuzz::INPUT).for_each(fuzz::each(&seeds, |input| {
        product.write(COMMIT, input);
        if let Err(fault) = runtime.block_on(World::new().query(&product, "SELECT * FROM t")) {
            assert_eq!(fault.kind(), ErrorKind::Storage, "{fault:?}");
            let told = format!("{} {} {}", fault.message(), fault.detail().unwrap_or_default(), fault.hint().unwrap_or_default());
            let place = product.location.to_str().unwrap();
            assert!(!told.contains(place) && !told.contains(".parquet"), "{told}");
        }
    }));
}
