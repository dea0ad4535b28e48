//! What this server can do, and the types that it gives: the facts behind GetSqlInfo and GetXdbcTypeInfo. Only what is true is listed.

use arrow_flight::error::Result;
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder, XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{
    Nullable, Searchable, SqlInfo, SqlNullOrdering, SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity, SqlSupportedTransaction,
    XdbcDataType, XdbcDatetimeSubcode,
};

use crate::config::Limits;
use crate::id::MAX_NAME;

/// The version of Arrow that results are written with.
const ARROW_VERSION: &str = "59";

/// The facts of GetSqlInfo.
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
    for never in [SqlInfo::SqlDdlCatalog, SqlInfo::SqlDdlSchema, SqlInfo::SqlDdlTable] {
        facts.append(never, false);
    }
    facts.append(SqlInfo::SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32);
    facts.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    facts.append(SqlInfo::SqlAllTablesAreSelectable, true);
    facts.append(SqlInfo::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i32);
    facts.append(SqlInfo::SqlSearchStringEscape, "\\");
    facts.append(SqlInfo::SqlExtraNameCharacters, "");
    facts.append(SqlInfo::SqlSchemaTerm, "domain");
    facts.append(SqlInfo::SqlCatalogTerm, "mesh");
    facts.append(SqlInfo::SqlCatalogAtStart, true);
    facts.append(SqlInfo::SqlOuterJoinsSupportLevel, SqlOuterJoinsSupportLevel::SqlFullOuterJoins as i32);
    for always in [
        SqlInfo::SqlSupportsColumnAliasing,
        SqlInfo::SqlNullPlusNullIsNull,
        SqlInfo::SqlSupportsTableCorrelationNames,
        SqlInfo::SqlSupportsExpressionsInOrderBy,
        SqlInfo::SqlSupportsOrderByUnrelated,
        SqlInfo::SqlSupportsLikeEscapeClause,
        SqlInfo::SqlSupportsNonNullableColumns,
        SqlInfo::SqlCorrelatedSubqueriesSupported,
    ] {
        facts.append(always, true);
    }
    for never in [
        SqlInfo::SqlSupportsDifferentTableCorrelationNames,
        SqlInfo::SqlSelectForUpdateSupported,
        SqlInfo::SqlStoredProceduresSupported,
        SqlInfo::SqlTransactionsSupported,
        SqlInfo::SqlBatchUpdatesSupported,
        SqlInfo::SqlSavepointsSupported,
        SqlInfo::SqlNamedParametersSupported,
        SqlInfo::SqlStoredFunctionsUsingCallSyntaxSupported,
    ] {
        facts.append(never, false);
    }
    let longest_name = i64::try_from(MAX_NAME).unwrap_or(i64::MAX);
    for name in [SqlInfo::SqlMaxTableNameLength, SqlInfo::SqlDbSchemaNameLength, SqlInfo::SqlMaxCatalogNameLength] {
        facts.append(name, longest_name);
    }
    facts.append(SqlInfo::SqlMaxStatementLength, i64::try_from(limits.statement_bytes).unwrap_or(i64::MAX));
    facts.append(SqlInfo::SqlMaxConnections, i64::try_from(limits.connections).unwrap_or(i64::MAX));
    facts.build()
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
        maximum_scale: Some(38),
        num_prec_radix: Some(10),
        ..basic("numeric", XdbcDataType::XdbcNumeric, Some(38))
    });
    for (name, data_type) in [("text", XdbcDataType::XdbcVarchar), ("bytea", XdbcDataType::XdbcVarbinary)] {
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
    use super::*;

    #[test]
    fn every_fact_and_type_can_be_encoded() {
        let facts = facts(&Limits::default()).unwrap();
        assert!(facts.record_batch([]).unwrap().num_rows() > 40);
        let read_only = facts.record_batch([SqlInfo::FlightSqlServerReadOnly as u32]).unwrap();
        assert_eq!(read_only.num_rows(), 1);
        assert_eq!(types().unwrap().record_batch(None).unwrap().num_rows(), 14);
    }
}
