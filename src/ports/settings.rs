//! The DataFusion settings that ports rely on.

use datafusion::prelude::SessionConfig;

/// The base of every session's configuration. Change nothing of it elsewhere without reading the reasons.
pub fn session_config() -> SessionConfig {
    let mut config = SessionConfig::new();
    let options = config.options_mut();
    // A dynamic filter skips what the other side of a join, a sort or an aggregate has seen by then. How much that is depends on timing,
    // and so would the bytes of a query: the same query on the same version has to cost the same, alone or beside others.
    options.optimizer.enable_dynamic_filter_pushdown = false;
    options.optimizer.enable_join_dynamic_filter_pushdown = false;
    options.optimizer.enable_topk_dynamic_filter_pushdown = false;
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    // 1.1 is a numeric, as in PostgreSQL, and not the double next to it.
    options.sql_parser.parse_float_as_decimal = true;
    // Contracts say that text and bytes are scanned as views; the readers have to agree.
    options.execution.parquet.schema_force_view_types = true;
    // Row groups and pages are skipped by what the footer says, which is the same every time.
    options.execution.parquet.pruning = true;
    options.execution.parquet.enable_page_index = true;
    options.execution.parquet.bloom_filter_on_read = true;
    // Filters are not evaluated inside the Parquet decoder: measured slower, and row filters must not meet hidden rows (the barrier).
    options.execution.parquet.pushdown_filters = false;
    options.execution.parquet.reorder_filters = false;
    // Metadata of files is for the gateway, not for readers.
    options.execution.parquet.skip_metadata = true;
    // Our reader has its own fixed prefetch for footers; this one is for DataFusion's.
    options.execution.parquet.metadata_size_hint = Some(64 << 10);
    // Joins are ordered by what the footers say.
    options.execution.collect_statistics = true;
    // Sibling partitions must not take files from one another: which one reads what would depend on timing.
    options.execution.enable_file_stream_work_stealing = false;
    config
}
