//! Questions about the catalogue as programs ask them that are not drivers: dashboards, dbt, people who look for a key.

use super::{fixture::Fixture, raw::Raw};

#[track_caller]
fn answers(raw: &mut Raw, sql: &str, expected: &[&str]) {
    let expected = expected.iter().map(|row| (*row).to_owned()).collect();
    assert_eq!(raw.rows(sql), Ok(expected), "{sql}");
}

/// Grafana lists tables by the search path, and columns by the parts of a name; its macros make times of seconds.
#[test]
fn grafana_finds_tables_columns_and_series() {
    let fixture = Fixture::new();
    let mut raw = Raw::connect(fixture.address());
    let in_path = "IN (SELECT CASE WHEN trim(s[i]) = '\"$user\"' THEN user ELSE trim(s[i]) END \
                   FROM generate_series(array_lower(string_to_array(current_setting('search_path'),','),1), \
                   array_upper(string_to_array(current_setting('search_path'),','),1)) AS i, \
                   string_to_array(current_setting('search_path'),',') s)";
    let tables = format!(
        "SELECT CASE WHEN quote_ident(table_schema) {in_path} THEN quote_ident(table_name) \
         ELSE quote_ident(table_schema) || '.' || quote_ident(table_name) END AS \"table\" \
         FROM information_schema.tables WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog') \
         AND table_type = 'BASE TABLE' ORDER BY 1"
    );
    answers(&mut raw, &tables, &["\"Odd Names\".\"Line Items\"", "shop.everything", "shop.orders"]);
    raw.query("SET search_path = shop");
    answers(&mut raw, &tables, &["\"Odd Names\".\"Line Items\"", "everything", "orders"]);
    let columns = "SELECT quote_ident(column_name) AS \"column\", data_type AS \"type\" FROM information_schema.columns \
                   WHERE CASE WHEN array_length(parse_ident('shop.orders'),1) = 2 \
                   THEN quote_ident(table_schema) = (parse_ident('shop.orders'))[1] \
                   AND quote_ident(table_name) = (parse_ident('shop.orders'))[2] ELSE false END AND ordinal_position < 4";
    answers(&mut raw, columns, &["id|integer", "customer|text", "amount|numeric"]);
    answers(&mut raw, "SELECT current_setting('server_version_num')::int/100 AS version", &["1500"]);
    let series = "SELECT floor(extract(epoch from placed)/86400)*86400 AS \"time\", sum(amount) AS amount FROM shop.orders \
                  WHERE placed BETWEEN '2026-01-01T00:00:00Z' AND '2026-02-01T00:00:00Z' GROUP BY 1 ORDER BY 1";
    answers(&mut raw, series, &["1767225600|10.00", "1767312000|7.25"]);
}

/// dbt asks `debug`'s question, lists relations by schema and reads the catalogue for `docs generate`.
#[test]
fn dbt_lists_relations_and_documents_columns() {
    let fixture = Fixture::new();
    let mut raw = Raw::connect(fixture.address());
    answers(&mut raw, "select 1 as id", &["1"]);
    let relations = "select tablename as name, 'table' as type from pg_tables where schemaname ilike 'shop' \
                     union all select viewname, 'view' from pg_views where schemaname ilike 'shop' \
                     union all select matviewname, 'materialized_view' from pg_matviews where schemaname ilike 'shop' order by 1";
    let all = ["everything|table", "everything_history|view", "orders|table", "orders_history|view"];
    answers(&mut raw, relations, &all);
    let columns = "select tbl.relname, case tbl.relkind when 'v' then 'VIEW' else 'BASE TABLE' end, d.description, col.attname, \
                   pg_catalog.format_type(col.atttypid, col.atttypmod), c.description, pg_get_userbyid(tbl.relowner) \
                   from pg_catalog.pg_namespace sch join pg_catalog.pg_class tbl on tbl.relnamespace = sch.oid \
                   join pg_catalog.pg_attribute col on col.attrelid = tbl.oid \
                   left outer join pg_catalog.pg_description d on (d.objoid = tbl.oid and d.objsubid = 0) \
                   left outer join pg_catalog.pg_description c on (c.objoid = tbl.oid and c.objsubid = col.attnum) \
                   where upper(sch.nspname) = upper('shop') and not pg_is_other_temp_schema(sch.oid) \
                   and tbl.relpersistence in ('p', 'u') and tbl.relkind in ('r', 'v', 'f', 'p', 'm') \
                   and tbl.relname = 'orders' and col.attnum between 1 and 2 and not col.attisdropped order by col.attnum";
    let about = "orders|BASE TABLE|Copy of public.orders, kept up to date";
    let rows = [
        format!("{about}|id|integer||millstream"),
        format!("{about}|customer|text|character varying(40) at the source|millstream"),
    ];
    answers(&mut raw, columns, &[&rows[0], &rows[1]]);
}

#[test]
fn keys_and_names_are_found_by_regclass() {
    let fixture = Fixture::new();
    let mut raw = Raw::connect(fixture.address());
    let key = "SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey) \
               WHERE i.indrelid = '\"Odd Names\".\"Line Items\"'::regclass AND i.indisprimary ORDER BY 1";
    answers(&mut raw, key, &["A", "b"]);
    answers(&mut raw, "SELECT 'shop.orders'::regclass, to_regclass('nope')", &["orders|"]);
    answers(&mut raw, "SELECT 23::regtype, 'int4'::regtype::oid, to_regtype('text')", &["integer|23|25"]);
    assert_eq!(raw.rows("SELECT 'nope'::regclass"), Err("42P01".into()));
    let rights =
        "SELECT has_table_privilege('shop.orders', 'SELECT'), has_table_privilege('shop.orders', 'INSERT')";
    answers(&mut raw, rights, &["t|f"]);
}

#[test]
fn what_is_hidden_is_nowhere_in_the_catalogue() {
    let fixture = Fixture::new();
    let mut raw = Raw::connect(fixture.address());
    for sql in [
        "SELECT relname FROM pg_class WHERE relname LIKE 't1638%' OR relname LIKE '%_current'",
        "SELECT nspname FROM pg_namespace WHERE nspname LIKE '%millstream%'",
        "SELECT table_name FROM information_schema.tables WHERE table_schema LIKE '%millstream%' OR table_schema = 'base'",
        "SELECT attname FROM pg_attribute WHERE attname = 'c1'",
    ] {
        answers(&mut raw, sql, &[]);
    }
}

#[test]
fn only_loopback_is_listened_on() {
    let refused = std::panic::catch_unwind(|| {
        Fixture::with(|config| config.address = std::net::SocketAddr::from(([0, 0, 0, 0], 0)))
    });
    assert!(refused.is_err());
}
