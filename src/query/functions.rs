//! The functions that a statement may call: an allow-list. What the engine brings and this does not name, does not exist.
//!
//! Left out on purpose: functions that tell of files (`input_file_name`), of the engine (`arrow_metadata`, `version`, which PostgreSQL's
//! own replaces), and those that make large arrays of small arguments.

mod average;
mod bytes;
pub(super) mod calendar;
mod fill;
mod format;
mod guarded;
pub(super) mod json;
mod make;
mod number;
mod order;
pub(super) mod own;
mod part;
mod planner;
mod regexp;
mod span;
#[cfg(test)]
mod tests;
mod text;
mod trunc;
mod type_of;
mod units;
pub(super) mod zone;

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::catalog::TableFunction;
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

use super::dialect;

const SCALAR: &[&str] = &[
    // conditional
    "coalesce",
    "greatest",
    "least",
    "nullif",
    "nvl",
    "nvl2",
    "ifnull",
    // mathematics
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cbrt",
    "ceil",
    "cos",
    "cosh",
    "cot",
    "degrees",
    "exp",
    "factorial",
    "floor",
    "gcd",
    "isnan",
    "iszero",
    "lcm",
    "ln",
    "log",
    "log10",
    "log2",
    "nanvl",
    "pi",
    "pow",
    "power",
    "radians",
    "random",
    "round",
    "signum",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "trunc",
    // text
    "ascii",
    "bit_length",
    "btrim",
    "char_length",
    "character_length",
    "chr",
    "concat",
    "concat_ws",
    "contains",
    "ends_with",
    "find_in_set",
    "initcap",
    "instr",
    "left",
    "length",
    "levenshtein",
    "lower",
    "lpad",
    "ltrim",
    "octet_length",
    "overlay",
    "position",
    "repeat",
    "replace",
    "reverse",
    "right",
    "rpad",
    "rtrim",
    "split_part",
    "starts_with",
    "strpos",
    "substr",
    "substr_index",
    "substring",
    "substring_index",
    "to_hex",
    "translate",
    "trim",
    "upper",
    "uuid",
    // regular expressions
    "regexp_count",
    "regexp_instr",
    "regexp_like",
    "regexp_match",
    "regexp_replace",
    // dates and times
    "current_date",
    "current_time",
    "current_timestamp",
    "date_bin",
    "date_format",
    "date_part",
    "date_trunc",
    "datepart",
    "datetrunc",
    "from_unixtime",
    "make_date",
    "make_time",
    "now",
    "to_char",
    "to_date",
    "to_local_time",
    "to_time",
    "to_timestamp",
    "to_timestamp_micros",
    "to_timestamp_millis",
    "to_timestamp_nanos",
    "to_timestamp_seconds",
    "to_unixtime",
    "today",
    // binary and hashes
    "decode",
    "digest",
    "encode",
    "md5",
    "sha224",
    "sha256",
    "sha384",
    "sha512",
    // arrays, structs, maps
    "array_any_value",
    "array_append",
    "array_cat",
    "array_concat",
    "array_contains",
    "array_dims",
    "array_distance",
    "array_distinct",
    "array_element",
    "array_empty",
    "array_except",
    "array_extract",
    "array_has",
    "array_has_all",
    "array_has_any",
    "array_indexof",
    "array_intersect",
    "array_join",
    "array_length",
    "array_max",
    "array_min",
    "array_ndims",
    "array_pop_back",
    "array_pop_front",
    "array_position",
    "array_positions",
    "array_prepend",
    "array_push_back",
    "array_push_front",
    "array_remove",
    "array_remove_all",
    "array_remove_n",
    "array_replace",
    "array_replace_all",
    "array_replace_n",
    "array_reverse",
    "array_slice",
    "array_sort",
    "array_to_string",
    "array_union",
    "arrays_overlap",
    "cardinality",
    "empty",
    "flatten",
    "list_contains",
    "list_element",
    "list_length",
    "make_array",
    "string_to_array",
    "string_to_list",
    "element_at",
    "get_field",
    "map",
    "map_entries",
    "map_extract",
    "map_keys",
    "map_values",
    "named_struct",
    "row",
    "struct",
    // types
    "arrow_typeof",
    "arrow_cast",
];

const AGGREGATE: &[&str] = &[
    "approx_distinct",
    "approx_median",
    "approx_percentile_cont",
    "approx_percentile_cont_with_weight",
    "array_agg",
    "avg",
    "mean",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar",
    "covar_pop",
    "covar_samp",
    "first_value",
    "grouping",
    "last_value",
    "max",
    "median",
    "min",
    "nth_value",
    "percentile_cont",
    "quantile_cont",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "var",
    "var_pop",
    "var_population",
    "var_samp",
    "var_sample",
];

const WINDOW: &[&str] =
    &["cume_dist", "dense_rank", "first_value", "lag", "last_value", "lead", "nth_value", "ntile", "percent_rank", "rank", "row_number"];

/// PostgreSQL's names for functions that the engine calls otherwise.
const ALIASES: &[(&str, &str)] = &[
    ("ceiling", "ceil"),
    ("sign", "signum"),
    ("gen_random_uuid", "uuid"),
    ("json_extract_path", "json_get_json"),
    ("jsonb_extract_path", "json_get_json"),
    ("json_extract_path_text", "json_as_text"),
    ("jsonb_extract_path_text", "json_as_text"),
    ("statement_timestamp", "now"),
    ("transaction_timestamp", "now"),
    // PostgreSQL's are of every element, the engine's of the first.
    ("array_remove", "array_remove_all"),
    ("array_replace", "array_replace_all"),
    ("regexp_matches", "regexp_match"),
];

/// The same for aggregates.
const AGGREGATE_ALIASES: &[(&str, &str)] = &[("every", "bool_and"), ("variance", "var_samp")];

/// The functions by name, aliases included.
#[derive(Debug)]
pub(crate) struct Functions {
    scalar: HashMap<String, Arc<ScalarUDF>>,
    aggregate: HashMap<String, Arc<AggregateUDF>>,
    window: HashMap<String, Arc<WindowUDF>>,
    table: HashMap<String, Arc<TableFunction>>,
}

impl Functions {
    pub(crate) fn new() -> Self {
        let scalar = SessionStateDefaults::default_scalar_functions().into_iter().map(guarded::guarded);
        let mut scalar = listed(SCALAR, scalar, |f| names(f.name(), f.aliases()));
        scalar.extend(dialect::functions().into_iter().chain(paths()).map(|function| (function.name().to_owned(), function)));
        for (alias, name) in ALIASES {
            if let Some(function) = scalar.get(*name).cloned() {
                scalar.insert((*alias).to_owned(), function);
            }
        }
        // Ours replace the engine's of the same name.
        for function in own() {
            scalar.extend(names(function.name(), function.aliases()).into_iter().map(|name| (name, Arc::clone(&function))));
        }
        let mut aggregate = listed(AGGREGATE, SessionStateDefaults::default_aggregate_functions(), |f| names(f.name(), f.aliases()));
        for (alias, name) in AGGREGATE_ALIASES {
            if let Some(function) = aggregate.get(*name).cloned() {
                aggregate.insert((*alias).to_owned(), function);
            }
        }
        aggregate
            .extend(order::aggregates().into_iter().chain([average::function()]).map(|function| (function.name().to_owned(), function)));
        Self {
            scalar,
            aggregate,
            window: listed(WINDOW, SessionStateDefaults::default_window_functions(), |f| names(f.name(), f.aliases())),
            table: SessionStateDefaults::default_table_functions()
                .into_iter()
                .filter(|function| function.name() == dialect::TABLE_FUNCTION)
                .map(|function| (function.name().to_owned(), function))
                .collect(),
        }
    }

    pub(crate) fn scalar(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.scalar.get(name).cloned()
    }

    pub(crate) fn aggregate(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.aggregate.get(name).cloned()
    }

    pub(crate) fn window(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.window.get(name).cloned()
    }

    /// Functions in FROM.
    pub(crate) fn table(&self, name: &str) -> Option<Arc<TableFunction>> {
        self.table.get(name).cloned()
    }

    /// Whether any kind of function has this name.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.scalar.contains_key(name) || self.aggregate.contains_key(name) || self.window.contains_key(name)
    }

    pub(crate) fn scalar_names(&self) -> Vec<String> {
        sorted(self.scalar.keys())
    }

    pub(crate) fn aggregate_names(&self) -> Vec<String> {
        sorted(self.aggregate.keys())
    }

    pub(crate) fn window_names(&self) -> Vec<String> {
        sorted(self.window.keys())
    }

    /// What the engine's own rules ask the session for by name.
    pub(crate) fn for_the_optimiser(&self) -> Vec<Arc<AggregateUDF>> {
        self.aggregate.get("first_value").cloned().into_iter().collect()
    }
}

/// Paths into JSON texts.
fn paths() -> [Arc<ScalarUDF>; 4] {
    use datafusion_functions_json::udfs;
    [udfs::json_get_json_udf(), udfs::json_as_text_udf(), udfs::json_contains_udf(), udfs::json_length_udf()]
}

/// Functions of our own, with PostgreSQL's results.
fn own() -> Vec<Arc<ScalarUDF>> {
    [
        bytes::functions(),
        fill::functions(),
        format::functions(),
        json::functions(),
        make::functions(),
        number::functions(),
        part::functions(),
        regexp::functions(),
        span::functions(),
        text::functions(),
        trunc::functions(),
        type_of::functions(),
        zone::functions(),
    ]
    .concat()
}

/// The planners of expressions that have a syntax of their own, with our functions.
pub(crate) fn planners() -> Vec<Arc<dyn ExprPlanner>> {
    planner::planners(&own())
}

/// In order, so that of two equally near names the engine always suggests the same.
fn sorted<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut names: Vec<String> = names.cloned().collect();
    names.sort_unstable();
    names
}

fn names(name: &str, aliases: &[String]) -> Vec<String> {
    std::iter::once(name.to_owned()).chain(aliases.iter().cloned()).collect()
}

fn listed<F>(allowed: &[&str], all: impl IntoIterator<Item = Arc<F>>, names: impl Fn(&F) -> Vec<String>) -> HashMap<String, Arc<F>> {
    let named = all.into_iter().flat_map(|f| names(&f).into_iter().map(move |name| (name, Arc::clone(&f))));
    named.filter(|(name, _)| allowed.contains(&name.as_str())).collect()
}

#[cfg(test)]
mod reference {
    use super::*;

    /// `docs/sql.md`, from the lists above and the statements of [`super::super::parse`].
    fn reference() -> String {
        let functions = Functions::new();
        let section = |title: &str, mut names: Vec<String>| {
            names.sort();
            names.dedup();
            format!("\n## {title}\n\n{}\n", names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" "))
        };
        let mut text = include_str!("functions/sql.head.md").to_owned();
        text.push_str(&section("Scalar functions", functions.scalar_names()));
        text.push_str(&section("Aggregate functions", functions.aggregate_names()));
        text.push_str(&section("Window functions", functions.window_names()));
        text
    }

    #[test]
    fn the_reference_lists_what_is_there() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/sql.md");
        if std::env::var_os("MESHGATE_UPDATE_DOCS").is_some() {
            std::fs::write(path, reference()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == reference(), "docs/sql.md is stale: run this test again with MESHGATE_UPDATE_DOCS=1");
    }

    #[test]
    fn what_tells_of_files_and_of_the_engine_has_no_name() {
        let functions = Functions::new();
        for name in
            ["input_file_name", "file_row_index", "arrow_metadata", "version", "range", "generate_series", "array_repeat", "list_resize"]
        {
            assert!(!functions.knows(name), "{name}");
        }
    }

    #[test]
    fn everything_listed_is_there() {
        let functions = Functions::new();
        let missing: Vec<_> =
            SCALAR.iter().chain(ALIASES.iter().map(|(alias, _)| alias)).filter(|name| functions.scalar(name).is_none()).collect();
        assert!(missing.is_empty(), "{missing:?}");
        let missing: Vec<_> = AGGREGATE.iter().filter(|name| functions.aggregate(name).is_none()).collect();
        assert!(missing.is_empty(), "{missing:?}");
        let missing: Vec<_> = WINDOW.iter().filter(|name| functions.window(name).is_none()).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
