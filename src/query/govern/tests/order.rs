//! Where a row was kept does not show: neither in the order of rows, nor in the partitions and batches that they come in.

use super::*;
use futures::TryStreamExt;

/// Visible rows in files of their own, with files of hidden rows between them.
fn files(folder: &std::path::Path, hidden: &[usize]) {
    let visible = people(&[]);
    let mut number = 0;
    let mut write = |batch: &RecordBatch| {
        let file = std::fs::File::create(folder.join(format!("part-{number:03}.parquet"))).unwrap();
        let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(batch).unwrap();
        writer.close().unwrap();
        number += 1;
    };
    for row in 0..visible.num_rows() {
        (0..hidden[row % hidden.len()]).for_each(|_| write(&hostile().slice(3, 4)));
        write(&visible.slice(row, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_come_in_one_order_and_in_the_same_batches_whatever_files_lie_between_them() {
    for hidden in [&[0][..], &[1], &[0, 5], &[7, 0, 0], &[40]] {
        let folder = tempfile::tempdir().unwrap();
        files(folder.path(), hidden);
        let context = SessionContext::new();
        let options = datafusion::prelude::ParquetReadOptions::default();
        context.register_parquet("f", folder.path().to_str().unwrap(), options).await.unwrap();
        let inner = context.table_provider("f").await.unwrap();
        let reader = reader(Arc::new(governed(inner, Some("region = 'EU'"), &[], &[])));
        let stream = reader.sql("SELECT name FROM t").await.unwrap().execute_stream().await.unwrap();
        let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
        let names: Vec<Vec<String>> =
            batches.iter().map(|batch| batch.column(0).as_string_view().iter().map(|name| name.unwrap().to_owned()).collect()).collect();
        assert_eq!(names, [["ann", "bea", "cyd", "dan"]], "{hidden:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_takes_the_first_rows_whichever_of_the_files_was_read_first() {
    let all = people(&[]);
    let files = (0..all.num_rows()).map(|row| vec![all.slice(row, 1)]).collect();
    let inner: Arc<dyn TableProvider> = Arc::new(MemTable::try_new(all.schema(), files).unwrap());
    let reader = reader(Arc::new(governed(inner, None, &[("ssn", "email")], &[])));
    for _ in 0..200 {
        assert_eq!(one(&reader, "SELECT name FROM t LIMIT 2").await, "ann;bea");
    }
}
