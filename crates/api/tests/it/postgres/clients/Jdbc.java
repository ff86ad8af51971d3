// JDBC: DatabaseMetaData as DBeaver reads it, prepared statements, paging by fetch size, types.

import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.UUID;

class Jdbc {
    static void equal(Object found, Object expected) {
        if (!Objects.equals(found, expected)) {
            throw new AssertionError("expected " + expected + ", found " + found);
        }
    }

    static List<String> list(ResultSet rows, String... columns) throws SQLException {
        List<String> found = new ArrayList<>();
        while (rows.next()) {
            List<String> row = new ArrayList<>();
            for (String column : columns) {
                row.add(String.valueOf(rows.getString(column)));
            }
            found.add(String.join("|", row));
        }
        return found;
    }

    public static void main(String[] arguments) throws Exception {
        String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");
        try (Connection connection = DriverManager.getConnection(url, System.getenv("PGUSER"), "")) {
            DatabaseMetaData meta = connection.getMetaData();
            equal(meta.getDatabaseMajorVersion(), 15);
            equal(list(meta.getSchemas(), "TABLE_SCHEM").containsAll(List.of("main", "shop", "Odd Names")), true);
            equal(list(meta.getCatalogs(), "TABLE_CAT"), List.of("shop"));
            equal(list(meta.getTables(null, "shop", "%", new String[] {"TABLE", "VIEW"}), "TABLE_NAME", "TABLE_TYPE"),
                List.of("everything|TABLE", "orders|TABLE", "everything_history|VIEW", "orders_history|VIEW"));
            equal(list(meta.getColumns(null, "shop", "orders", "%"), "COLUMN_NAME", "TYPE_NAME", "COLUMN_SIZE", "DECIMAL_DIGITS", "IS_NULLABLE"),
                List.of("id|int4|10|0|NO", "customer|text|2147483647|0|YES", "amount|numeric|12|2|YES",
                    "placed|timestamptz|35|6|YES", "paid|bool|1|0|YES"));
            equal(list(meta.getPrimaryKeys(null, "Odd Names", "Line Items"), "COLUMN_NAME", "KEY_SEQ", "PK_NAME"),
                List.of("A|1|Line Items_pkey", "b|2|Line Items_pkey"));
            equal(list(meta.getIndexInfo(null, "shop", "orders", false, false), "INDEX_NAME", "COLUMN_NAME", "NON_UNIQUE"),
                List.of("orders_pkey|id|f"));
            equal(list(meta.getImportedKeys(null, "shop", "orders"), "FK_NAME"), List.of());
            equal(list(meta.getExportedKeys(null, "shop", "orders"), "FK_NAME"), List.of());
            equal(list(meta.getTypeInfo(), "TYPE_NAME").contains("timestamptz"), true);
            equal(list(meta.getTableTypes(), "TABLE_TYPE").contains("VIEW"), true);
            list(meta.getFunctions(null, null, "%"), "FUNCTION_NAME");
            list(meta.getProcedures(null, null, "%"), "PROCEDURE_NAME");
            equal(list(meta.getTablePrivileges(null, "shop", "orders"), "PRIVILEGE").contains("INSERT"), false);
            equal(list(meta.getBestRowIdentifier(null, "shop", "orders", DatabaseMetaData.bestRowSession, true), "COLUMN_NAME"), List.of("id"));
            meta.getSQLKeywords();
            meta.getMaxColumnNameLength();

            try (PreparedStatement query = connection.prepareStatement("SELECT customer, amount FROM shop.orders WHERE id = ? AND paid = ?")) {
                // The driver prepares a statement on the server from its fifth run on, and takes binary results then.
                for (int run = 0; run < 8; run++) {
                    query.setInt(1, 2);
                    query.setBoolean(2, true);
                    ResultSet rows = query.executeQuery();
                    equal(rows.next(), true);
                    equal(rows.getString(1), "bob");
                    equal(rows.getBigDecimal(2), new BigDecimal("7.25"));
                }
                equal(query.getMetaData().getColumnTypeName(2), "numeric");
                equal(query.getParameterMetaData().getParameterTypeName(1), "int4");
            }
            try (PreparedStatement query = connection.prepareStatement("SELECT count(*) FROM shop.orders WHERE placed >= ? AND customer LIKE ?")) {
                query.setObject(1, OffsetDateTime.parse("2026-01-01T08:00:00Z"));
                query.setString(2, "%n%");
                ResultSet rows = query.executeQuery();
                rows.next();
                equal(rows.getLong(1), 1L);
            }
            try (Statement statement = connection.createStatement()) {
                ResultSet rows = statement.executeQuery("SELECT * FROM shop.everything WHERE i4 IS NOT NULL");
                rows.next();
                equal(rows.getLong("i8"), Long.MAX_VALUE);
                equal(rows.getObject("u"), UUID.fromString("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"));
                equal(rows.getObject("tz", OffsetDateTime.class).toInstant().toString(), "2024-01-02T03:04:05Z");
                equal(rows.getDate("d").toString(), "2024-02-29");
                equal(((Integer[]) rows.getArray("ia").getArray())[2], 3);
                equal(rows.getBytes("by")[1], (byte) 0xff);
            }
            connection.setAutoCommit(false);
            try (Statement statement = connection.createStatement()) {
                statement.setFetchSize(100);
                ResultSet rows = statement.executeQuery("SELECT range FROM range(1050)");
                long sum = 0;
                while (rows.next()) {
                    sum += rows.getLong(1);
                }
                equal(sum, 1050L * 1049 / 2);
            }
            connection.commit();
            connection.setAutoCommit(true);
            connection.setReadOnly(true);
            try (Statement statement = connection.createStatement()) {
                statement.execute("DELETE FROM shop.orders");
                throw new AssertionError("deleted");
            } catch (SQLException error) {
                equal(error.getSQLState(), "25006");
            }
            equal(connection.isValid(2), true);
        }
        System.out.println("ok");
    }
}
