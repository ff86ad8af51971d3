//! What a guest's statement may reach: tables and views of the warehouse, and nothing of what DuckDB could reach besides.
//!
//! DuckDB's own switches hold for the whole process and can't be turned back, and a project's own views may read files. So a guest's statement
//! is looked at before it is planned: its sources of rows must all be known ones, and its functions none of those that look or act outside of
//! the query. A view that it names is the project's own, and may read what it likes.

use millstream_core::Role;

use super::{
    ast::{Named, Names},
    bounded::BOUNDED,
    engine::Connection,
    search_path::Visible,
};
use crate::WarehouseError;

/// Functions in FROM that only make rows of their arguments.
const TABLE_FUNCTIONS: [&str; 7] =
    ["generate_series", "json_each", "json_tree", "range", "repeat", "repeat_row", "unnest"];

/// Functions that tell of the process, its settings and its other sessions, that run or plan a text as SQL, that change something, or that
/// only wait.
const FORBIDDEN: [&str; 25] = [
    "current_connection_id",
    "current_query",
    "current_query_id",
    "current_setting",
    "current_transaction_id",
    "currval",
    "duckdb_logs_parsed",
    "get_block_size",
    "getenv",
    "getvariable",
    "json_execute_serialized_sql",
    "json_serialize_plan",
    "nextval",
    "parse_duckdb_log_message",
    // Macros that give out the text of any view or table.
    "pg_get_constraintdef",
    "pg_get_viewdef",
    "pg_sleep",
    "query",
    "query_table",
    "setseed",
    "sleep_ms",
    "stats",
    "txid_current",
    "which_secret",
    "write_log",
];

fn forbidden(what: impl Into<String>) -> WarehouseError {
    WarehouseError::Forbidden { what: what.into() }
}

/// Refuses a statement that is not for guests or, where they have a role, not for that.
pub(super) fn check(connection: &Connection, sql: &str, role: Option<&Role>) -> Result<(), WarehouseError> {
    if role.is_some() && explained(sql).len() < sql.len() {
        return Err(forbidden("EXPLAIN shows what is below the tables, and is not for roles"));
    }
    let Some(names) = Names::of(connection, explained(sql))? else {
        // What does not parse says so itself, in DuckDB's words.
        return match connection.check_syntax(sql) {
            Err(error) => Err(WarehouseError::Query { detail: error.message }),
            Ok(()) => Err(forbidden("only SELECT, and EXPLAIN of one")),
        };
    };
    if let Some(name) = names.functions.iter().find(|name| FORBIDDEN.contains(&name.as_str())) {
        return Err(forbidden(format!("the function {name} is not for guests")));
    }
    if let Some(name) = names.functions_of_catalogs.iter().find(|name| BOUNDED.contains(&name.as_str())) {
        return Err(forbidden(format!("the function {name} is for guests by its bare name only")));
    }
    if let Some(other) = names.others.first() {
        let what =
            if other == "SHOW_REF" { "DESCRIBE, SHOW and SUMMARIZE are" } else { "this source of rows is" };
        return Err(forbidden(format!("{what} not for guests")));
    }
    if names.relations.is_empty() && names.table_functions.is_empty() {
        return Ok(());
    }
    let visible = Visible::read(connection)?;
    for named in &names.table_functions {
        let plain = named.schema.is_empty() && named.catalog.is_empty();
        let makes_rows = plain && TABLE_FUNCTIONS.contains(&named.name.to_ascii_lowercase().as_str());
        if !makes_rows && !visible.has(named) {
            return Err(forbidden(format!("the function {} is not for guests", named.name)));
        }
        if !makes_rows && !may_read(&visible, named, role, true) {
            return Err(forbidden(format!("the function {} is not for guests", named.name)));
        }
    }
    let reads = |named: &&Named| visible.has(named) && may_read(&visible, named, role, false);
    match names.relations.iter().find(|named| !reads(named)) {
        Some(named) => {
            Err(WarehouseError::Query { detail: format!("there is no table or view {}", spelled(named)) })
        }
        None => Ok(()),
    }
}

/// Whether the role may read all that the name could mean: what DuckDB finds by a name without a schema follows from relations that the role need not
/// know of. A table's function of a time is its history.
fn may_read(visible: &Visible, named: &Named, role: Option<&Role>, as_of: bool) -> bool {
    let Some(role) = role else { return true };
    visible
        .resolve(named)
        .iter()
        .all(|table| role.may_read(table, visible.holds(table)) && (!as_of || role.may_read_as_of(table)))
}

fn spelled(named: &Named) -> String {
    let parts = [&named.catalog, &named.schema, &named.name];
    parts.into_iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(".")
}

/// The statement that an EXPLAIN explains; any other as it is.
pub(super) fn explained(sql: &str) -> &str {
    let after = |text: &'static str, sql: &'_ str| -> Option<usize> {
        let trimmed = sql.trim_start();
        let word = trimmed.get(..text.len())?;
        let behind = trimmed.get(text.len()..)?;
        (word.eq_ignore_ascii_case(text) && behind.starts_with(char::is_whitespace))
            .then(|| sql.len() - behind.len())
    };
    let Some(at) = after("explain", sql) else { return sql };
    let rest = &sql[at..];
    after("analyze", rest).map_or(rest, |at| &rest[at..])
}

#[cfg(test)]
mod tests {
    use arrow_array::{cast::AsArray, Array};
    use millstream_core::Grants;

    use super::*;
    use crate::duckdb::engine::Database;

    fn warehouse() -> (tempfile::TempDir, Connection) {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("w.duckdb"), &[]).unwrap();
        let connection = database.connect().unwrap();
        connection
            .run(
                "CREATE SCHEMA _millstream; CREATE TABLE _millstream.t1_current (id INTEGER); CREATE SCHEMA shop; \
                 CREATE VIEW shop.items AS FROM _millstream.t1_current; \
                 CREATE VIEW shop.items_history AS FROM _millstream.t1_current; \
                 CREATE MACRO shop.items_as_of(t) AS TABLE FROM _millstream.t1_current",
            )
            .unwrap();
        (directory, connection)
    }

    #[test]
    fn a_guest_reads_tables_and_computes() {
        let (_directory, connection) = warehouse();
        for sql in [
            "SELECT i.id, upper('x'), now(), random() FROM shop.items AS i JOIN shop.items_history AS h USING (id)",
            "FROM shop.items_as_of('0/1') UNION ALL FROM shop.items_as_of('0/1')",
            "WITH RECURSIVE n AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM n WHERE x < 9) FROM n, range(3), unnest([1, 2])",
            "EXPLAIN ANALYZE SELECT * FROM shop.items",
            "SELECT $1, * FROM (VALUES (1)) AS v WHERE EXISTS (SELECT 1 FROM json_each('[1]'))",
        ] {
            // Names without a schema are found behind the guard.
            check(&connection, &sql.replace("shop.", ""), None).unwrap_or_else(|error| panic!("{sql}: {error}"));
            check(&connection, sql, None).unwrap_or_else(|error| panic!("{sql}: {error}"));
            connection.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {}", error.message));
        }
    }

    #[test]
    fn a_guest_reaches_nothing_else() {
        let (_directory, connection) = warehouse();
        for sql in [
            "FROM read_csv('/etc/passwd')",
            "SELECT * FROM READ_TEXT('/etc/passwd')",
            "SELECT * FROM system.main.read_blob('/etc/passwd')",
            "FROM '/etc/passwd'",
            "FROM \"/etc/passwd.csv\"",
            "SELECT (SELECT content FROM read_text('/etc/passwd'))",
            "WITH x AS (FROM glob('/*')) SELECT 1 WHERE EXISTS (FROM x)",
            "SELECT 1 ORDER BY (SELECT max(file) FROM glob('/*'))",
            "SELECT * FROM shop.items, LATERAL (SELECT * FROM read_csv('/etc/passwd'))",
            "EXPLAIN SELECT * FROM read_csv('/etc/passwd')",
            "EXPLAIN ANALYZE COPY shop.items TO '/tmp/x'",
            "SELECT json_serialize_plan('FROM read_csv(''/etc/passwd'')')",
            "FROM json_execute_serialized_sql('{}')",
            "FROM query('FROM glob(''/*'')')",
            "FROM query_table('_millstream.t1_current')",
            "FROM parquet_metadata('/x')",
            "FROM sniff_csv('/etc/passwd')",
            "FROM _millstream.t1_current",
            "FROM t1_current",
            "FROM w._millstream.t1_current",
            "FROM duckdb_settings()",
            "FROM duckdb_settings",
            "FROM duckdb_secrets()",
            "FROM duckdb_tables()",
            "FROM information_schema.tables",
            "FROM pg_catalog.pg_class",
            "SELECT current_setting('home_directory')",
            "SELECT system.main.current_setting('threads')",
            "SELECT getenv('HOME')",
            "SELECT GETENV ('HOME')",
            "SELECT getvariable('millstream_as_of_lsn')",
            "SELECT list_transform([1], x -> current_setting('threads'))",
            "SELECT count(*) FILTER (WHERE sleep_ms(1000) IS NULL) FROM shop.items",
            "SELECT sum(1) OVER (ORDER BY getenv('HOME')) FROM shop.items",
            "SELECT [getenv(x) FOR x IN ['HOME']]",
            "SELECT system.main.repeat('x', 1000000000)",
            "SELECT length(\"system\".pg_catalog.LPAD('x', 1000000000, 'y'))",
            "FROM checkpoint()",
            "FROM enable_logging()",
            "FROM shop.items AT (VERSION => (SELECT 1 FROM read_text('/x')))",
            "ATTACH '/tmp/x.duckdb'",
            "COPY (SELECT 1) TO '/tmp/x'",
            "COPY shop.items FROM '/etc/passwd'",
            "INSTALL httpfs",
            "LOAD httpfs",
            "PRAGMA database_list",
            "SET threads = 1",
            "RESET threads",
            "CALL pragma_version()",
            "EXPORT DATABASE '/tmp/x'",
            "IMPORT DATABASE '/tmp/x'",
            "DESCRIBE shop.items",
            "FROM (SHOW ALL TABLES)",
            "PIVOT shop.items ON id",
            "CREATE TABLE x (i INTEGER)",
            "INSERT INTO shop.items VALUES (1)",
            "DELETE FROM _millstream.t1_current",
            "BEGIN",
            "PREPARE p AS SELECT 1",
            "EXECUTE p",
            "VACUUM",
            "/* */ FROM/**/read_csv('/etc/passwd')",
            "SELECT 1; FROM read_csv('/etc/passwd')",
        ] {
            assert!(check(&connection, sql, None).is_err(), "{sql}");
        }
    }

    #[test]
    fn a_role_names_what_it_was_given_and_learns_of_nothing_else() {
        let (_directory, connection) = warehouse();
        connection
            .run(
                "CREATE SCHEMA vault; CREATE VIEW vault.items AS SELECT 1; CREATE VIEW vault.keys AS SELECT 1; \
                 CREATE VIEW shop.open AS FROM vault.keys; CREATE VIEW main.open AS FROM vault.keys",
            )
            .unwrap();
        let role = |tables: &[&str]| Role {
            name: "analyst".into(),
            tables: Grants::new(tables),
            fingerprint: 0,
            restricted: false,
        };
        let all_of_shop = role(&["shop.*"]);
        let without_history = role(&["shop.*", "!shop.*_history"]);
        for sql in
            ["FROM shop.items", "FROM shop.items_history", "FROM shop.items_as_of('0/1')", "FROM SHOP.OPEN"]
        {
            check(&connection, sql, Some(&all_of_shop)).unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
        let missing = check(&connection, "FROM vault.nothing", Some(&all_of_shop)).unwrap_err().to_string();
        for sql in [
            "FROM vault.items",
            "FROM w.vault.keys",
            "FROM vault.\"Keys\"",
            "SELECT * FROM shop.items, vault.keys",
        ] {
            let refused = check(&connection, sql, Some(&all_of_shop)).unwrap_err().to_string();
            assert_eq!(
                refused.split(' ').take(7).collect::<Vec<_>>(),
                missing.split(' ').take(7).collect::<Vec<_>>(),
                "{sql}"
            );
        }
        // A name that DuckDB could find elsewhere.
        for sql in [
            "FROM items",
            "FROM open",
            "FROM keys",
            "WITH keys AS (FROM keys) FROM keys",
            "WITH a AS (FROM keys), keys AS (SELECT 1) FROM a",
            "WITH RECURSIVE keys AS (FROM keys UNION ALL SELECT 1 WHERE false) FROM keys",
            "SELECT (WITH keys AS (SELECT 1) SELECT 1), * FROM keys",
        ] {
            assert!(check(&connection, sql, Some(&all_of_shop)).is_err(), "{sql}");
        }
        for sql in ["FROM shop.items_history", "FROM shop.items_as_of('0/1')", "FROM items_as_of(now())"] {
            assert!(check(&connection, sql, Some(&without_history)).is_err(), "{sql}");
        }
        for sql in
            ["EXPLAIN FROM shop.items", " explain analyze FROM shop.items", "/**/ EXPLAIN FROM shop.items"]
        {
            assert!(check(&connection, sql, Some(&all_of_shop)).is_err(), "{sql}");
        }
        for sql in [
            "SELECT getvariable('millstream_role')",
            "SELECT \"getvariable\"('millstream_role')",
            "SELECT main.getvariable('millstream_role')",
            "SELECT pg_get_viewdef((SELECT 1))",
            "SELECT system.main.pg_get_viewdef(1)",
            "SET VARIABLE millstream_role = 'admin'",
            "RESET VARIABLE millstream_role",
        ] {
            assert!(check(&connection, sql, Some(&all_of_shop)).is_err(), "{sql}");
            assert!(check(&connection, sql, None).is_err(), "{sql}");
        }
    }

    /// A macro is opened where it is called, behind the guard: what it reads is not looked at.
    #[test]
    fn every_macro_that_looks_at_the_catalogue_is_known() {
        let (_directory, connection) = warehouse();
        // It reads the types, and those are no secret.
        const HARMLESS: [&str; 1] = ["format_type"];
        let macros = connection
            .query(
                "SELECT DISTINCT lower(function_name) FROM duckdb_functions() WHERE function_type = 'macro' \
                 AND (macro_definition ILIKE '%duckdb\\_%' ESCAPE '\\' OR macro_definition ILIKE '%pragma%' OR macro_definition ILIKE '%select%')",
            )
            .unwrap();
        let mut found = 0;
        for batch in &macros {
            let names = batch.column(0).as_string::<i32>();
            for row in 0..names.len() {
                let name = names.value(row);
                found += 1;
                assert!(FORBIDDEN.contains(&name) || HARMLESS.contains(&name), "{name} is new");
            }
        }
        assert!(found > 2);
    }

    /// A version of DuckDB that brings a function which does more than compute must not bring it to guests.
    #[test]
    fn every_function_that_is_more_than_its_arguments_is_known() {
        let (_directory, connection) = warehouse();
        const COMPUTES: [&str; 6] = ["error", "gen_random_uuid", "random", "uuid", "uuidv4", "uuidv7"];
        let volatile = connection
            .query(
                "SELECT DISTINCT lower(function_name) FROM duckdb_functions() WHERE stability = 'VOLATILE'",
            )
            .unwrap();
        for batch in &volatile {
            let names = batch.column(0).as_string::<i32>();
            for row in 0..names.len() {
                let name = names.value(row);
                assert!(FORBIDDEN.contains(&name) || COMPUTES.contains(&name), "{name} is new");
            }
        }
    }
}
