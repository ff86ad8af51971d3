//! What stands in the relations of `pg_catalog`: rows made of the schemas, relations and columns of [`super::contents`], and what is always so.

use super::{contents::PG_CATALOG, relations};

/// Types that columns and parameters can have, and those that clients look for: name, number, size, category, number of the array type, name in full.
/// `pg_type.dat` has them so.
const TYPES: &str = "
    ('bool', 16, 1, 'B', 1000, 'boolean'), ('bytea', 17, -1, 'U', 1001, 'bytea'), ('char', 18, 1, 'Z', 1002, '\"char\"'),
    ('name', 19, 64, 'S', 1003, 'name'), ('int8', 20, 8, 'N', 1016, 'bigint'), ('int2', 21, 2, 'N', 1005, 'smallint'),
    ('int2vector', 22, -1, 'A', 1006, 'int2vector'), ('int4', 23, 4, 'N', 1007, 'integer'),
    ('regproc', 24, 4, 'N', 1008, 'regproc'), ('text', 25, -1, 'S', 1009, 'text'), ('oid', 26, 4, 'N', 1028, 'oid'),
    ('tid', 27, 6, 'U', 1010, 'tid'), ('xid', 28, 4, 'U', 1011, 'xid'), ('oidvector', 30, -1, 'A', 1013, 'oidvector'),
    ('json', 114, -1, 'U', 199, 'json'), ('xml', 142, -1, 'U', 143, 'xml'), ('point', 600, 16, 'G', 1017, 'point'),
    ('cidr', 650, -1, 'I', 651, 'cidr'), ('float4', 700, 4, 'N', 1021, 'real'),
    ('float8', 701, 8, 'N', 1022, 'double precision'), ('unknown', 705, -2, 'X', 0, 'unknown'),
    ('money', 790, 8, 'N', 791, 'money'), ('macaddr', 829, 6, 'U', 1040, 'macaddr'), ('inet', 869, -1, 'I', 1041, 'inet'),
    ('bpchar', 1042, -1, 'S', 1014, 'character'), ('varchar', 1043, -1, 'S', 1015, 'character varying'),
    ('date', 1082, 4, 'D', 1182, 'date'), ('time', 1083, 8, 'D', 1183, 'time without time zone'),
    ('timestamp', 1114, 8, 'D', 1115, 'timestamp without time zone'),
    ('timestamptz', 1184, 8, 'D', 1185, 'timestamp with time zone'), ('interval', 1186, 16, 'T', 1187, 'interval'),
    ('timetz', 1266, 12, 'D', 1270, 'time with time zone'), ('bit', 1560, -1, 'V', 1561, 'bit'),
    ('varbit', 1562, -1, 'V', 1563, 'bit varying'), ('numeric', 1700, -1, 'N', 1231, 'numeric'),
    ('regclass', 2205, 4, 'N', 2210, 'regclass'), ('regtype', 2206, 4, 'N', 2211, 'regtype'),
    ('uuid', 2950, 16, 'U', 2951, 'uuid'), ('jsonb', 3802, -1, 'U', 3807, 'jsonb'),
    ('regnamespace', 4089, 4, 'N', 4090, 'regnamespace'), ('regrole', 4096, 4, 'N', 4097, 'regrole')";

/// The number of the one role there is: PostgreSQL's own superuser has it too.
const ROLE: u32 = 10;

/// The number of the one database there is.
const DATABASE: u32 = 16384;

/// PostgreSQL's access method of tables, and that of keys.
const HEAP: u32 = 2;
const BTREE: u32 = 403;

/// The number of PostgreSQL's default collation.
const COLLATION: u32 = 100;

fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// Creates and fills `pg_catalog`, as the schema `pg`.
pub(super) fn statements(project: &str) -> Vec<String> {
    let mut statements = vec!["CREATE SCHEMA pg".to_owned()];
    statements.extend(relations::create("pg"));
    let fill = |relation: &str, select: String| format!("INSERT INTO pg.{relation} BY NAME {select}");
    let size = "c.length BETWEEN 1 AND 8";
    statements.extend([
        format!(
            "CREATE TABLE base.types AS SELECT name, oid::UINTEGER AS oid, length::SMALLINT AS length, category, \
             array_oid::UINTEGER AS array_oid, full_name FROM (VALUES {TYPES}) AS t(name, oid, length, category, array_oid, full_name)"
        ),
        fill(
            "pg_namespace",
            format!(
                "SELECT oid, name AS nspname, {ROLE} AS nspowner FROM base.schemas \
                 UNION ALL SELECT {PG_CATALOG}, 'pg_catalog', {ROLE}"
            ),
        ),
        fill(
            "pg_class",
            format!(
                "SELECT r.oid, r.name AS relname, r.schema AS relnamespace, {ROLE} AS relowner, \
                 CASE r.kind WHEN 'r' THEN {HEAP} ELSE 0 END AS relam, r.oid AS relfilenode, -1 AS reltuples, \
                 r.key IS NOT NULL AS relhasindex, 'p' AS relpersistence, r.kind AS relkind, \
                 (SELECT count(*) FROM base.columns c WHERE c.relation = r.oid) AS relnatts, true AS relispopulated, \
                 'd' AS relreplident, r.kind = 'v' AS relhasrules, ['=r/millstream'] AS relacl FROM base.relations r \
                 UNION ALL \
                 SELECT r.key_index, r.name || '_pkey', r.schema, {ROLE}, {BTREE}, r.key_index, 0, false, 'p', 'i', \
                 len(r.key::SMALLINT[]), true, 'n', false, NULL FROM base.relations r WHERE r.key IS NOT NULL"
            ),
        ),
        fill(
            "pg_attribute",
            format!(
                "SELECT c.relation AS attrelid, c.name AS attname, c.type AS atttypid, -1 AS attstattarget, c.length AS attlen, \
                 c.number AS attnum, CASE WHEN a.oid IS NULL THEN 0 ELSE 1 END AS attndims, -1 AS attcacheoff, \
                 c.modifier AS atttypmod, {size} AS attbyval, 'i' AS attalign, \
                 CASE WHEN c.length > 0 THEN 'p' ELSE 'x' END AS attstorage, c.not_null AS attnotnull, true AS attislocal, \
                 CASE WHEN c.type IN (25, 1009, 19) THEN {COLLATION} ELSE 0 END AS attcollation \
                 FROM base.columns c LEFT JOIN base.types a ON a.array_oid = c.type AND a.array_oid <> 0 \
                 UNION ALL \
                 SELECT r.key_index, c.name, c.type, -1, c.length, k.at, 0, -1, c.modifier, {size}, 'i', \
                 CASE WHEN c.length > 0 THEN 'p' ELSE 'x' END, false, true, 0 \
                 FROM (SELECT oid, key_index, unnest(key::SMALLINT[]) AS number, unnest(range(1, len(key::SMALLINT[]) + 1)) AS at \
                 FROM base.relations WHERE key IS NOT NULL) k \
                 JOIN base.relations r ON r.oid = k.oid JOIN base.columns c ON c.relation = k.oid AND c.number = k.number"
            ),
        ),
        fill(
            "pg_type",
            format!(
                "SELECT oid, name AS typname, {PG_CATALOG} AS typnamespace, {ROLE} AS typowner, length AS typlen, \
                 length BETWEEN 1 AND 8 AS typbyval, CASE category WHEN 'X' THEN 'p' ELSE 'b' END AS typtype, category AS typcategory, \
                 oid IN (16, 25, 26, 701, 1184, 1186) AS typispreferred, true AS typisdefined, ',' AS typdelim, \
                 CASE oid WHEN 22 THEN 21 WHEN 30 THEN 26 ELSE 0 END AS typelem, array_oid AS typarray, name || 'in' AS typinput, \
                 name || 'out' AS typoutput, name || 'recv' AS typreceive, name || 'send' AS typsend, '-' AS typmodin, \
                 '-' AS typmodout, '-' AS typanalyze, '-' AS typsubscript, 'i' AS typalign, \
                 CASE WHEN length > 0 THEN 'p' ELSE 'x' END AS typstorage, -1 AS typtypmod, \
                 CASE WHEN category = 'S' THEN {COLLATION} ELSE 0 END AS typcollation FROM base.types \
                 UNION ALL \
                 SELECT array_oid, '_' || name, {PG_CATALOG}, {ROLE}, -1, false, 'b', 'A', false, true, ',', oid, 0, 'array_in', \
                 'array_out', 'array_recv', 'array_send', '-', '-', 'array_typanalyze', 'array_subscript_handler', 'i', 'x', -1, \
                 CASE WHEN category = 'S' THEN {COLLATION} ELSE 0 END FROM base.types WHERE array_oid <> 0"
            ),
        ),
        fill(
            "pg_index",
            "SELECT key_index AS indexrelid, oid AS indrelid, len(key::SMALLINT[]) AS indnatts, len(key::SMALLINT[]) AS indnkeyatts, \
             true AS indisunique, true AS indisprimary, true AS indimmediate, true AS indisvalid, true AS indisready, \
             true AS indislive, key::SMALLINT[] AS indkey, list_transform(key::SMALLINT[], lambda x: 0::UINTEGER) AS indcollation, \
             list_transform(key::SMALLINT[], lambda x: 0::UINTEGER) AS indclass, \
             list_transform(key::SMALLINT[], lambda x: 0::SMALLINT) AS indoption FROM base.relations WHERE key IS NOT NULL"
                .to_owned(),
        ),
        fill(
            "pg_constraint",
            "SELECT key_constraint AS oid, name || '_pkey' AS conname, schema AS connamespace, 'p' AS contype, true AS convalidated, \
             oid AS conrelid, key_index AS conindid, ' ' AS confupdtype, ' ' AS confdeltype, ' ' AS confmatchtype, true AS conislocal, \
             true AS connoinherit, key::SMALLINT[] AS conkey FROM base.relations WHERE key IS NOT NULL"
                .to_owned(),
        ),
        fill(
            "pg_description",
            "SELECT oid AS objoid, 1259 AS classoid, 0 AS objsubid, comment AS description FROM base.relations WHERE comment IS NOT NULL \
             UNION ALL SELECT relation, 1259, number, comment FROM base.columns WHERE comment IS NOT NULL"
                .to_owned(),
        ),
        fill(
            "pg_database",
            format!(
                "SELECT {DATABASE} AS oid, {} AS datname, {ROLE} AS datdba, 6 AS encoding, 'c' AS datlocprovider, true AS datallowconn, \
                 -1 AS datconnlimit, 1663 AS dattablespace, 'C' AS datcollate, 'C' AS datctype",
                text(project)
            ),
        ),
        fill(
            "pg_am",
            format!(
                "SELECT {HEAP} AS oid, 'heap' AS amname, 'heap_tableam_handler' AS amhandler, 't' AS amtype \
                 UNION ALL SELECT {BTREE}, 'btree', 'bthandler', 'i'"
            ),
        ),
        fill(
            "pg_collation",
            format!(
                "SELECT {COLLATION} AS oid, 'default' AS collname, {PG_CATALOG} AS collnamespace, {ROLE} AS collowner, 'd' AS collprovider, \
                 true AS collisdeterministic, -1 AS collencoding UNION ALL SELECT 950, 'C', {PG_CATALOG}, {ROLE}, 'c', true, -1"
            ),
        ),
        fill("pg_tablespace", format!("SELECT 1663 AS oid, 'pg_default' AS spcname, {ROLE} AS spcowner")),
        fill(
            "pg_language",
            format!("SELECT 14 AS oid, 'sql' AS lanname, {ROLE} AS lanowner, false AS lanispl, true AS lanpltrusted"),
        ),
        fill("pg_timezone_names", "SELECT 'UTC' AS name, 'UTC' AS abbrev, '00:00:00' AS utc_offset, false AS is_dst".into()),
        fill(
            "pg_stat_user_tables",
            "SELECT r.oid AS relid, s.name AS schemaname, r.name AS relname FROM base.relations r \
             JOIN base.schemas s ON s.oid = r.schema WHERE r.kind = 'r'"
                .to_owned(),
        ),
    ]);
    statements.extend(views().map(|(name, select)| format!("CREATE VIEW pg.{name} AS {select}")));
    statements
}

/// PostgreSQL's views over its own relations.
pub(super) fn views() -> impl Iterator<Item = (&'static str, String)> {
    let role = format!(
        "SELECT 'millstream' AS rolname, false AS rolsuper, true AS rolinherit, false AS rolcreaterole, false AS rolcreatedb, \
         true AS rolcanlogin, false AS rolreplication, -1 AS rolconnlimit, '********' AS rolpassword, NULL::TIMESTAMPTZ AS rolvaliduntil, \
         false AS rolbypassrls, NULL::VARCHAR[] AS rolconfig, {ROLE}::UINTEGER AS oid"
    );
    [
        ("pg_roles", role.clone()),
        ("pg_authid", role),
        (
            "pg_user",
            "SELECT rolname AS usename, oid AS usesysid, rolcreatedb AS usecreatedb, rolsuper AS usesuper, rolreplication AS userepl, \
             rolbypassrls AS usebypassrls, rolpassword AS passwd, rolvaliduntil AS valuntil, rolconfig AS useconfig FROM pg.pg_roles"
                .into(),
        ),
        ("pg_group", "SELECT NULL::VARCHAR AS groname, NULL::UINTEGER AS grosysid, NULL::UINTEGER[] AS grolist WHERE false".into()),
        (
            "pg_tables",
            "SELECT s.name AS schemaname, r.name AS tablename, 'millstream' AS tableowner, NULL::VARCHAR AS tablespace, \
             r.key IS NOT NULL AS hasindexes, false AS hasrules, false AS hastriggers, false AS rowsecurity \
             FROM base.relations r JOIN base.schemas s ON s.oid = r.schema WHERE r.kind = 'r'"
                .into(),
        ),
        (
            "pg_views",
            "SELECT s.name AS schemaname, r.name AS viewname, 'millstream' AS viewowner, r.definition \
             FROM base.relations r JOIN base.schemas s ON s.oid = r.schema WHERE r.kind = 'v'"
                .into(),
        ),
        (
            "pg_indexes",
            "SELECT s.name AS schemaname, r.name AS tablename, r.name || '_pkey' AS indexname, NULL::VARCHAR AS tablespace, \
             NULL::VARCHAR AS indexdef FROM base.relations r JOIN base.schemas s ON s.oid = r.schema WHERE r.key IS NOT NULL"
                .into(),
        ),
        (
            "pg_settings",
            "SELECT unnest(['server_version', 'server_version_num', 'max_index_keys', 'max_identifier_length', 'TimeZone', 'server_encoding', \
             'standard_conforming_strings']) AS name, unnest(['15.0', '150000', '32', '63', 'UTC', 'UTF8', 'on']) AS setting, \
             NULL::VARCHAR AS unit, 'Preset Options' AS category, NULL::VARCHAR AS short_desc, NULL::VARCHAR AS extra_desc, \
             'internal' AS context, 'string' AS vartype, 'default' AS source, NULL::VARCHAR AS min_val, NULL::VARCHAR AS max_val, \
             NULL::VARCHAR[] AS enumvals, NULL::VARCHAR AS boot_val, NULL::VARCHAR AS reset_val, NULL::VARCHAR AS sourcefile, \
             NULL::INTEGER AS sourceline, false AS pending_restart"
                .into(),
        ),
    ]
    .into_iter()
}
