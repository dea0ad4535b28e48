//! What this server can do, and the types that it gives: the facts behind GetSqlInfo and GetXdbcTypeInfo. Only what is true is listed.

use std::collections::BTreeMap;

use arrow_flight::error::Result;
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder, XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{
    Nullable, Searchable, SqlInfo, SqlNullOrdering, SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity, SqlSupportedGroupBy,
    SqlSupportedResultSetConcurrency, SqlSupportedResultSetType, SqlSupportedSubqueries, SqlSupportedTransaction, SqlSupportedUnions,
    SqlTransactionIsolationLevel, XdbcDataType, XdbcDatetimeSubcode,
};

use crate::config::Limits;
use crate::id::MAX_NAME;

/// The version of Arrow that results are written with.
const ARROW_VERSION: &str = "59";

/// Most digits of a `numeric`.
const MAX_PRECISION: i32 = 76;

/// Functions that answer to these names, as drivers group them for their own escapes (`{fn …}`). A test calls each.
const NUMERIC_FUNCTIONS: [&str; 22] = [
    "abs", "acos", "asin", "atan", "atan2", "ceil", "ceiling", "cos", "cot", "degrees", "exp", "floor", "ln", "log10", "pi", "power",
    "radians", "random", "round", "sign", "sin", "sqrt",
];
const STRING_FUNCTIONS: [&str; 22] = [
    "ascii",
    "btrim",
    "char_length",
    "chr",
    "concat",
    "initcap",
    "left",
    "length",
    "lower",
    "lpad",
    "ltrim",
    "octet_length",
    "repeat",
    "replace",
    "reverse",
    "right",
    "rpad",
    "rtrim",
    "strpos",
    "substr",
    "translate",
    "upper",
];
const SYSTEM_FUNCTIONS: [&str; 4] = ["coalesce", "current_database", "current_schema", "nullif"];
const DATETIME_FUNCTIONS: [&str; 5] = ["current_date", "date_part", "date_trunc", "now", "to_char"];

/// The facts of GetSqlInfo: all that there are, because drivers (JDBC) take one that is missing for a fault. Only the versions of Substrait are
/// not told: there is no Substrait.
pub(super) fn facts(limits: &Limits) -> Result<SqlInfoData> {
    let mut facts = SqlInfoDataBuilder::new();
    facts.append(SqlInfo::FlightSqlServerName, "meshgate");
    facts.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    facts.append(SqlInfo::FlightSqlServerArrowVersion, ARROW_VERSION);
    facts.append(SqlInfo::FlightSqlServerReadOnly, true);
    facts.append(SqlInfo::FlightSqlServerSql, true);
    facts.append(SqlInfo::FlightSqlServerSubstrait, false);
    facts.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    facts.append(SqlInfo::FlightSqlServerCancel, true);
    facts.append(SqlInfo::FlightSqlServerBulkIngestion, false);
    facts.append(SqlInfo::FlightSqlServerIngestTransactionsSupported, false);
    facts.append(SqlInfo::FlightSqlServerStatementTimeout, milliseconds(limits.statement_timeout));
    facts.append(SqlInfo::FlightSqlServerTransactionTimeout, 0_i32);
    names(&mut facts);
    grammar(&mut facts);
    writes(&mut facts);
    bounds(&mut facts, limits);
    facts.build()
}

/// How things are called.
fn names(facts: &mut SqlInfoDataBuilder) {
    facts.append(SqlInfo::SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32);
    facts.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    // They are kept as they are written, for which there is no word.
    facts.append(SqlInfo::SqlQuotedIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityUnknown as i32);
    facts.append(SqlInfo::SqlExtraNameCharacters, "");
    facts.append(SqlInfo::SqlSearchStringEscape, "\\");
    facts.append(SqlInfo::SqlSchemaTerm, "domain");
    facts.append(SqlInfo::SqlProcedureTerm, "function");
    facts.append(SqlInfo::SqlCatalogTerm, "mesh");
    facts.append(SqlInfo::SqlCatalogAtStart, true);
    facts.append(SqlInfo::SqlKeywords, Vec::<String>::new());
    facts.append(SqlInfo::SqlNumericFunctions, NUMERIC_FUNCTIONS.as_slice());
    facts.append(SqlInfo::SqlStringFunctions, STRING_FUNCTIONS.as_slice());
    facts.append(SqlInfo::SqlSystemFunctions, SYSTEM_FUNCTIONS.as_slice());
    facts.append(SqlInfo::SqlDatetimeFunctions, DATETIME_FUNCTIONS.as_slice());
}

/// What a query may say.
fn grammar(facts: &mut SqlInfoDataBuilder) {
    for always in [
        SqlInfo::SqlAllTablesAreSelectable,
        SqlInfo::SqlSupportsColumnAliasing,
        SqlInfo::SqlNullPlusNullIsNull,
        SqlInfo::SqlSupportsTableCorrelationNames,
        SqlInfo::SqlSupportsExpressionsInOrderBy,
        SqlInfo::SqlSupportsOrderByUnrelated,
        SqlInfo::SqlSupportsNonNullableColumns,
        SqlInfo::SqlCorrelatedSubqueriesSupported,
    ] {
        facts.append(always, true);
    }
    for never in [
        SqlInfo::SqlSupportsLikeEscapeClause,
        SqlInfo::SqlSupportsDifferentTableCorrelationNames,
        SqlInfo::SqlStoredProceduresSupported,
        SqlInfo::SqlNamedParametersSupported,
        SqlInfo::SqlStoredFunctionsUsingCallSyntaxSupported,
    ] {
        facts.append(never, false);
    }
    facts.append(SqlInfo::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i32);
    facts.append(SqlInfo::SqlOuterJoinsSupportLevel, SqlOuterJoinsSupportLevel::SqlFullOuterJoins as i32);
    let group_by = [SqlSupportedGroupBy::SqlGroupByUnrelated as i32, SqlSupportedGroupBy::SqlGroupByBeyondSelect as i32];
    facts.append(SqlInfo::SqlSupportedGroupBy, bits(&group_by));
    let subqueries = [
        SqlSupportedSubqueries::SqlSubqueriesInComparisons as i32,
        SqlSupportedSubqueries::SqlSubqueriesInExists as i32,
        SqlSupportedSubqueries::SqlSubqueriesInIns as i32,
        SqlSupportedSubqueries::SqlSubqueriesInQuantifieds as i32,
    ];
    facts.append(SqlInfo::SqlSupportedSubqueries, bits(&subqueries));
    let unions = [SqlSupportedUnions::SqlUnion as i32, SqlSupportedUnions::SqlUnionAll as i32];
    facts.append(SqlInfo::SqlSupportedUnions, bits(&unions));
    // Every level of the standards has statements that write.
    facts.append(SqlInfo::SqlSupportedGrammar, 0_i32);
    facts.append(SqlInfo::SqlAnsi92SupportedLevel, 0_i32);
    // There is no CONVERT of the drivers' kind; CAST is not meant.
    facts.append(SqlInfo::SqlSupportsConvert, BTreeMap::<i32, Vec<i32>>::new());
    let only_forward = [SqlSupportedResultSetType::SqlResultSetTypeForwardOnly as i32];
    facts.append(SqlInfo::SqlSupportedResultSetTypes, bits(&only_forward));
    let only_read = [SqlSupportedResultSetConcurrency::SqlResultSetConcurrencyReadOnly as i32];
    facts.append(SqlInfo::SqlSupportedConcurrenciesForResultSetForwardOnly, bits(&only_read));
    for kind in [
        SqlInfo::SqlSupportedConcurrenciesForResultSetUnspecified,
        SqlInfo::SqlSupportedConcurrenciesForResultSetScrollSensitive,
        SqlInfo::SqlSupportedConcurrenciesForResultSetScrollInsensitive,
    ] {
        facts.append(kind, 0_i32);
    }
}

/// Nothing that writes, and so no transactions.
fn writes(facts: &mut SqlInfoDataBuilder) {
    for never in [
        SqlInfo::SqlDdlCatalog,
        SqlInfo::SqlDdlSchema,
        SqlInfo::SqlDdlTable,
        SqlInfo::SqlSelectForUpdateSupported,
        SqlInfo::SqlSupportsIntegrityEnhancementFacility,
        SqlInfo::SqlTransactionsSupported,
        SqlInfo::SqlDataDefinitionCausesTransactionCommit,
        SqlInfo::SqlDataDefinitionsInTransactionsIgnored,
        SqlInfo::SqlBatchUpdatesSupported,
        SqlInfo::SqlSavepointsSupported,
        SqlInfo::SqlLocatorsUpdateCopy,
    ] {
        facts.append(never, false);
    }
    for none in [SqlInfo::SqlSchemasSupportedActions, SqlInfo::SqlCatalogsSupportedActions, SqlInfo::SqlSupportedPositionedCommands] {
        facts.append(none, 0_i32);
    }
    facts.append(SqlInfo::SqlDefaultTransactionIsolation, SqlTransactionIsolationLevel::SqlTransactionNone as i32);
    facts.append(SqlInfo::SqlSupportedTransactionsIsolationLevels, bits(&[SqlTransactionIsolationLevel::SqlTransactionNone as i32]));
}

/// How much, where zero is "no bound of its own": what a query may hold is bounded by its length and its depth.
fn bounds(facts: &mut SqlInfoDataBuilder, limits: &Limits) {
    for unbounded in [
        SqlInfo::SqlMaxBinaryLiteralLength,
        SqlInfo::SqlMaxCharLiteralLength,
        SqlInfo::SqlMaxColumnNameLength,
        SqlInfo::SqlMaxColumnsInGroupBy,
        SqlInfo::SqlMaxColumnsInIndex,
        SqlInfo::SqlMaxColumnsInOrderBy,
        SqlInfo::SqlMaxColumnsInSelect,
        SqlInfo::SqlMaxColumnsInTable,
        SqlInfo::SqlMaxCursorNameLength,
        SqlInfo::SqlMaxIndexLength,
        SqlInfo::SqlMaxProcedureNameLength,
        SqlInfo::SqlMaxRowSize,
        SqlInfo::SqlMaxStatements,
        SqlInfo::SqlMaxTablesInSelect,
        SqlInfo::SqlMaxUsernameLength,
    ] {
        facts.append(unbounded, 0_i64);
    }
    facts.append(SqlInfo::SqlMaxRowSizeIncludesBlobs, true);
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    for name in [SqlInfo::SqlMaxTableNameLength, SqlInfo::SqlDbSchemaNameLength, SqlInfo::SqlMaxCatalogNameLength] {
        facts.append(name, count(MAX_NAME));
    }
    facts.append(SqlInfo::SqlMaxStatementLength, count(limits.statement_bytes));
    facts.append(SqlInfo::SqlMaxConnections, count(limits.connections));
}

/// A set of these ordinals, as Flight SQL writes sets.
fn bits(ordinals: &[i32]) -> i32 {
    ordinals.iter().fold(0, |set, ordinal| set | 1 << ordinal)
}

fn milliseconds(duration: std::time::Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// The types of GetXdbcTypeInfo: those of contracts, by PostgreSQL's names.
pub(super) fn types() -> Result<XdbcTypeInfoData> {
    let mut types = XdbcTypeInfoDataBuilder::new();
    for (name, data_type, size) in [
        ("boolean", XdbcDataType::XdbcBit, 1),
        ("smallint", XdbcDataType::XdbcSmallint, 16),
        ("integer", XdbcDataType::XdbcInteger, 32),
        ("bigint", XdbcDataType::XdbcBigint, 64),
        ("real", XdbcDataType::XdbcReal, 24),
        ("double precision", XdbcDataType::XdbcDouble, 53),
    ] {
        let radix = (data_type != XdbcDataType::XdbcBit).then_some(2);
        let unsigned = radix.map(|_| false);
        types.append(XdbcTypeInfo { unsigned_attribute: unsigned, num_prec_radix: radix, ..basic(name, data_type, Some(size)) });
    }
    types.append(XdbcTypeInfo {
        create_params: Some(vec!["precision".to_owned(), "scale".to_owned()]),
        unsigned_attribute: Some(false),
        minimum_scale: Some(0),
        maximum_scale: Some(MAX_PRECISION),
        num_prec_radix: Some(10),
        ..basic("numeric", XdbcDataType::XdbcNumeric, Some(MAX_PRECISION))
    });
    for (name, data_type) in [
        ("text", XdbcDataType::XdbcVarchar),
        ("json", XdbcDataType::XdbcVarchar),
        ("uuid", XdbcDataType::XdbcVarchar),
        ("bytea", XdbcDataType::XdbcVarbinary),
    ] {
        let text = data_type == XdbcDataType::XdbcVarchar;
        let searchable = if text { Searchable::Full } else { Searchable::Basic };
        types.append(XdbcTypeInfo { case_sensitive: text, searchable, ..quoted(basic(name, data_type, None)) });
    }
    for (name, data_type, subcode, size) in [
        // 1 is "date" here, and "year" for intervals.
        ("date", XdbcDataType::XdbcDate, XdbcDatetimeSubcode::XdbcSubcodeYear, 10),
        ("time", XdbcDataType::XdbcTime, XdbcDatetimeSubcode::XdbcSubcodeTime, 15),
        ("timestamp", XdbcDataType::XdbcTimestamp, XdbcDatetimeSubcode::XdbcSubcodeTimestamp, 26),
        ("timestamptz", XdbcDataType::XdbcTimestamp, XdbcDatetimeSubcode::XdbcSubcodeTimestampWithTimezone, 32),
    ] {
        let sql = XdbcDataType::XdbcDatetime;
        types.append(XdbcTypeInfo { sql_data_type: sql, datetime_subcode: Some(subcode), ..quoted(basic(name, data_type, Some(size))) });
    }
    types.append(quoted(basic("interval", XdbcDataType::XdbcInterval, Some(49))));
    types.build()
}

fn basic(name: &str, data_type: XdbcDataType, size: Option<i32>) -> XdbcTypeInfo {
    XdbcTypeInfo {
        type_name: name.to_owned(),
        data_type,
        sql_data_type: data_type,
        column_size: size,
        nullable: Nullable::NullabilityNullable,
        searchable: Searchable::Basic,
        local_type_name: Some(name.to_owned()),
        ..XdbcTypeInfo::default()
    }
}

fn quoted(info: XdbcTypeInfo) -> XdbcTypeInfo {
    XdbcTypeInfo { literal_prefix: Some("'".to_owned()), literal_suffix: Some("'".to_owned()), ..info }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::UInt32Type;

    use crate::catalog::ColumnType;

    use super::*;

    #[test]
    fn every_fact_is_told_but_the_versions_of_substrait() {
        let facts = facts(&Limits::default()).unwrap();
        let told: Vec<u32> = facts.record_batch([]).unwrap().column(0).as_primitive::<UInt32Type>().values().to_vec();
        let all = (0..1000).filter(|code| SqlInfo::try_from(*code).is_ok()).map(|code| code as u32);
        let substrait = [SqlInfo::FlightSqlServerSubstraitMinVersion as u32, SqlInfo::FlightSqlServerSubstraitMaxVersion as u32];
        assert_eq!(told, all.filter(|code| !substrait.contains(code)).collect::<Vec<_>>());
        assert_eq!(facts.record_batch([SqlInfo::FlightSqlServerReadOnly as u32]).unwrap().num_rows(), 1);
        assert_eq!(bits(&[0, 2]), 0b101);
    }

    #[test]
    fn every_type_of_a_contract_is_described() {
        let types = types().unwrap().record_batch(None).unwrap();
        let names: Vec<_> = types.column_by_name("type_name").unwrap().as_string::<i32>().iter().flatten().collect();
        for name in [
            "smallint",
            "integer",
            "bigint",
            "real",
            "double precision",
            "numeric",
            "boolean",
            "text",
            "date",
            "timestamp",
            "timestamptz",
            "time",
            "bytea",
            "uuid",
            "json",
        ] {
            assert!(names.contains(&name), "{name}: {names:?}");
            let written = if name == "numeric" { "numeric(76,0)" } else { name };
            assert_eq!(ColumnType::parse(written).map(|kind| kind.name), Ok(written.to_owned()));
        }
    }
}
