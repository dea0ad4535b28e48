// pgjdbc: metadata, parameters prepared by the driver and by the server, binary results, reading in slices, cancelling, and errors with their codes.

import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.Date;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.sql.Types;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;

public class Jdbc {
    static final String ENDLESS = "SELECT count(*) FROM claims.claims_enriched a, claims.claims_enriched b, claims.claims_enriched c,"
        + " claims.claims_enriched d, claims.claims_enriched e, claims.claims_enriched f, claims.claims_enriched g";

    interface Work {
        void run() throws SQLException;
    }

    static void check(boolean condition, String promise) {
        if (!condition) {
            throw new AssertionError("not kept: " + promise);
        }
    }

    static void same(Object one, Object other, String promise) {
        check(one == null ? other == null : one.equals(other), promise + "\n  one:   " + one + "\n  other: " + other);
    }

    static void refused(String code, Work work, String promise) {
        try {
            work.run();
        } catch (SQLException error) {
            same(error.getSQLState(), code, promise + " (" + error.getMessage() + ")");
            return;
        }
        throw new AssertionError("not kept: " + promise);
    }

    static Connection connect(String user, String... settings) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", user);
        properties.setProperty("password", "demo");
        for (int i = 0; i < settings.length; i += 2) {
            properties.setProperty(settings[i], settings[i + 1]);
        }
        return DriverManager.getConnection("jdbc:postgresql://" + System.getenv("MESHGATE_POSTGRES") + "/mesh", properties);
    }

    static List<String> column(ResultSet rows, String name) throws SQLException {
        List<String> values = new ArrayList<>();
        while (rows.next()) {
            values.add(rows.getString(name));
        }
        rows.close();
        return values;
    }

    static long count(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery("SELECT count(*) FROM claims.claims_enriched")) {
            rows.next();
            return rows.getLong(1);
        }
    }

    static void metadata(Connection connection) throws SQLException {
        DatabaseMetaData metadata = connection.getMetaData();
        check(metadata.getDatabaseProductName().equals("PostgreSQL") && metadata.getDatabaseMajorVersion() >= 16, "the product is one that tools know");
        check(column(metadata.getSchemas(), "TABLE_SCHEM").contains("claims"), "schemas are listed");
        same(column(metadata.getCatalogs(), "TABLE_CAT"), List.of("mesh"), "the database is listed");
        check(column(metadata.getTableTypes(), "TABLE_TYPE").contains("TABLE"), "kinds of tables are listed");
        List<String> tables = column(metadata.getTables(null, "%", "%", new String[] {"TABLE"}), "TABLE_NAME");
        check(tables.contains("claims_enriched") && tables.contains("customer_master"), "tables are listed: " + tables);
        check(!tables.contains("premium_ledger"), "what may not be read is not");
        try (ResultSet rows = metadata.getColumns(null, "claims", "claims\\_enriched", "%")) {
            List<String> columns = new ArrayList<>();
            while (rows.next()) {
                columns.add(rows.getString("COLUMN_NAME"));
                if (rows.getString("COLUMN_NAME").equals("amount")) {
                    same(rows.getInt("DATA_TYPE"), Types.NUMERIC, "a numeric is one");
                    same(rows.getInt("COLUMN_SIZE") + "," + rows.getInt("DECIMAL_DIGITS"), "12,2", "with its precision and scale");
                    same(rows.getString("IS_NULLABLE"), "NO", "that is never NULL");
                    same(rows.getString("REMARKS"), "What is claimed", "with its comment");
                }
            }
            check(columns.size() > 10 && columns.get(0).equals("claim_id"), "columns are listed in their order: " + columns);
        }
        check(column(metadata.getColumns(null, null, "%", "%"), "TABLE_NAME").contains("risk_factors"), "all columns are listed");
        column(metadata.getPrimaryKeys(null, "claims", "claims_enriched"), "COLUMN_NAME");
        column(metadata.getImportedKeys(null, "claims", "claims_enriched"), "FKCOLUMN_NAME");
        column(metadata.getExportedKeys(null, "claims", "claims_enriched"), "FKCOLUMN_NAME");
        column(metadata.getIndexInfo(null, "claims", "claims_enriched", false, true), "INDEX_NAME");
        column(metadata.getBestRowIdentifier(null, "claims", "claims_enriched", DatabaseMetaData.bestRowSession, true), "COLUMN_NAME");
        column(metadata.getTablePrivileges(null, "claims", "claims_enriched"), "PRIVILEGE");
        column(metadata.getColumnPrivileges(null, "claims", "claims_enriched", "%"), "PRIVILEGE");
        check(column(metadata.getTypeInfo(), "TYPE_NAME").contains("numeric"), "types are listed");
        column(metadata.getProcedures(null, null, "no_such"), "PROCEDURE_NAME");
        column(metadata.getFunctions(null, null, "no_such"), "FUNCTION_NAME");
        column(metadata.getClientInfoProperties(), "NAME");
        check(metadata.getSQLKeywords().length() > 0, "keywords are listed");
        check(metadata.getMaxColumnNameLength() > 0, "names have a length");
    }

    static void queries(String mode, boolean binary) throws SQLException {
        String at = " (" + mode + (binary ? ", binary)" : ")");
        try (Connection connection = connect("claims_engineer", "preferQueryMode", mode, "binaryTransfer", "" + binary, "readOnly", "true")) {
            long count = count(connection);
            check(count > 100, "there are claims" + at);
            String sql = "SELECT claim_id, amount, incident_date, reported_at, kind, reserve FROM claims.claims_enriched WHERE claim_id >= ? AND kind <> ? ORDER BY claim_id LIMIT 10";
            List<String> before = null;
            try (PreparedStatement statement = connection.prepareStatement(sql)) {
                // From the fifth run on the statement is the server's, and most results are binary.
                for (int run = 0; run < 7; run++) {
                    statement.setLong(1, 0);
                    statement.setString(2, "nothing");
                    List<String> now = new ArrayList<>();
                    try (ResultSet rows = statement.executeQuery()) {
                        while (rows.next()) {
                            BigDecimal amount = rows.getBigDecimal("amount");
                            Date date = rows.getDate("incident_date");
                            Timestamp moment = rows.getTimestamp("reported_at");
                            now.add(rows.getLong("claim_id") + "|" + amount + "|" + date + "|" + moment.getTime() + "|" + rows.getString("kind") + "|" + rows.getBigDecimal("reserve"));
                        }
                    }
                    if (before != null) {
                        same(now, before, "a statement gives the same each time" + at);
                    }
                    before = now;
                }
                check(before.size() == 10, "rows are found" + at);
                ResultSetMetaData columns = statement.getMetaData();
                same(columns.getColumnTypeName(2) + columns.getPrecision(2) + "," + columns.getScale(2), "numeric12,2", "a numeric has its precision" + at);
                same(columns.getColumnTypeName(4), "timestamptz", "a timestamptz is one" + at);
            }
            try (PreparedStatement statement = connection.prepareStatement("SELECT ?::int AS a, ?::text AS b, ?::boolean AS c, ?::date AS d, ?::numeric AS e, ?::timestamptz AS f")) {
                Timestamp moment = Timestamp.valueOf("2024-02-29 12:30:01.000005");
                for (int run = 0; run < 6; run++) {
                    statement.setNull(1, Types.INTEGER);
                    statement.setString(2, "ä'\\");
                    statement.setBoolean(3, true);
                    statement.setObject(4, LocalDate.of(2024, 2, 29));
                    statement.setBigDecimal(5, new BigDecimal("-12.3400"));
                    statement.setTimestamp(6, moment);
                    try (ResultSet rows = statement.executeQuery()) {
                        rows.next();
                        check(rows.getObject(1) == null && rows.getString(2).equals("ä'\\") && rows.getBoolean(3), "values go both ways" + at);
                        same(rows.getDate(4), Date.valueOf("2024-02-29"), "so do dates" + at);
                        check(rows.getBigDecimal(5).compareTo(new BigDecimal("-12.3400")) == 0, "and decimals" + at);
                        same(rows.getTimestamp(6), moment, "and moments" + at);
                    }
                }
            }
            // In simple mode the driver writes the array as text into the statement, which is not cast here.
            if (!mode.equals("simple")) {
                try (PreparedStatement statement = connection.prepareStatement("SELECT count(*) FROM claims.claims_enriched WHERE claim_id = ANY(?::bigint[])")) {
                    String first = before.get(0);
                    statement.setArray(1, connection.createArrayOf("bigint", new Object[] {Long.valueOf(first.substring(0, first.indexOf('|'))), -1L}));
                    try (ResultSet rows = statement.executeQuery()) {
                        rows.next();
                        same(rows.getLong("count"), 1L, "an array is an array, and a column is called what PostgreSQL calls it" + at);
                    }
                }
            }
            connection.setAutoCommit(false);
            try (Statement statement = connection.createStatement()) {
                statement.setFetchSize(100);
                long read = 0;
                try (ResultSet rows = statement.executeQuery("SELECT claim_id FROM claims.claims_enriched")) {
                    while (rows.next()) {
                        read++;
                    }
                }
                same(read, count, "slices of 100 give all rows" + at);
                refused("42703", () -> statement.executeQuery("SELECT nope FROM claims.claims_enriched"), "an unknown column is 42703" + at);
                refused("25P02", () -> statement.executeQuery("SELECT 1"), "a failed transaction stays failed" + at);
                connection.rollback();
                var point = connection.setSavepoint("here");
                refused("22012", () -> statement.executeQuery("SELECT 1/0"), "division by zero is 22012" + at);
                connection.rollback(point);
                check(statement.executeQuery("SELECT 1").next(), "a savepoint brings the transaction back" + at);
                connection.commit();
            }
            connection.setAutoCommit(true);
            try (Statement statement = connection.createStatement()) {
                refused("25006", () -> statement.executeUpdate("DELETE FROM claims.claims_enriched"), "a write is 25006" + at);
                statement.setMaxRows(5);
                int limited = column(statement.executeQuery("SELECT claim_id FROM claims.claims_enriched"), "claim_id").size();
                check(limited == 5 || mode.equals("simple"), "a limit of rows is kept" + at);
                statement.setMaxRows(0);
                check(statement.execute("SELECT 1; SELECT 2") && statement.getMoreResults() && statement.getResultSet().next(), "several statements give several results" + at);
                long started = System.nanoTime();
                statement.setQueryTimeout(1);
                refused("57014", () -> statement.executeQuery(ENDLESS), "a query that takes too long is cancelled" + at);
                check(System.nanoTime() - started < 20_000_000_000L, "and ends" + at);
                statement.setQueryTimeout(0);
                check(statement.executeQuery("SELECT 1").next(), "and the connection goes on" + at);
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        String version;
        try (Connection connection = connect("claims_engineer")) {
            metadata(connection);
            version = connection.getMetaData().getDriverVersion();
            check(connection.isValid(10), "a connection is valid");
            connection.setSchema("customer");
            same(connection.getSchema(), "customer", "a schema is chosen");
        }
        queries("extended", true);
        queries("extended", false);
        queries("simple", false);
        try (Connection connection = connect("newcomer"); Statement statement = connection.createStatement()) {
            refused("42501", () -> statement.executeQuery("SELECT * FROM customer.customer_master"), "not entitled is 42501");
        }
        refused("28P01", () -> DriverManager.getConnection("jdbc:postgresql://" + System.getenv("MESHGATE_POSTGRES") + "/mesh", "claims_engineer", "wrong"), "a wrong password is refused");
        System.out.println("{\"client\": \"pgjdbc\", \"version\": \"" + version + "\", \"exercised\": \"metadata, statements of the driver and of the server, text and binary, simple mode, fetch size, savepoints, arrays, query time-out, SQLSTATEs\", \"cannot\": \"executeUpdate, generated keys: writes; arrays in preferQueryMode=simple; setDate, which sends a day with a zone\"}");
    }
}
