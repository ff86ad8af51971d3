//! `information_schema`, as views over what `pg_catalog` is made of, in the schema `info`. Columns have the names of the SQL standard; those that are not
//! here are NULL in PostgreSQL too where a thing has no such property.

/// A column of a view: name and expression.
type Columns = &'static [(&'static str, &'static str)];

const TABLES: Columns = &[
    ("table_catalog", "d.datname"),
    ("table_schema", "s.name"),
    ("table_name", "r.name"),
    ("table_type", "CASE r.kind WHEN 'r' THEN 'BASE TABLE' ELSE 'VIEW' END"),
    ("self_referencing_column_name", "NULL::VARCHAR"),
    ("reference_generation", "NULL::VARCHAR"),
    ("user_defined_type_catalog", "NULL::VARCHAR"),
    ("user_defined_type_schema", "NULL::VARCHAR"),
    ("user_defined_type_name", "NULL::VARCHAR"),
    ("is_insertable_into", "'NO'"),
    ("is_typed", "'NO'"),
    ("commit_action", "NULL::VARCHAR"),
];

const COLUMNS: Columns = &[
    ("table_catalog", "d.datname"),
    ("table_schema", "s.name"),
    ("table_name", "r.name"),
    ("column_name", "c.name"),
    ("ordinal_position", "c.number::INTEGER"),
    ("column_default", "NULL::VARCHAR"),
    ("is_nullable", "CASE WHEN c.not_null THEN 'NO' ELSE 'YES' END"),
    ("data_type", "CASE WHEN t.oid IS NULL THEN 'ARRAY' ELSE t.full_name END"),
    ("character_maximum_length", "NULL::INTEGER"),
    ("character_octet_length", "CASE WHEN t.category = 'S' THEN 1073741824 END::INTEGER"),
    (
        "numeric_precision",
        "CASE c.type WHEN 21 THEN 16 WHEN 23 THEN 32 WHEN 20 THEN 64 WHEN 700 THEN 24 WHEN 701 THEN 53 \
         WHEN 1700 THEN CASE WHEN c.modifier >= 4 THEN (c.modifier - 4) >> 16 END END::INTEGER",
    ),
    (
        "numeric_precision_radix",
        "CASE WHEN c.type IN (21, 23, 20, 700, 701) THEN 2 WHEN c.type = 1700 THEN 10 END::INTEGER",
    ),
    (
        "numeric_scale",
        "CASE WHEN c.type IN (21, 23, 20) THEN 0 WHEN c.type = 1700 AND c.modifier >= 4 THEN (c.modifier - 4) & 65535 END::INTEGER",
    ),
    ("datetime_precision", "CASE WHEN c.type IN (1083, 1114, 1184, 1186) THEN 6 WHEN c.type = 1082 THEN 0 END::INTEGER"),
    ("interval_type", "NULL::VARCHAR"),
    ("interval_precision", "NULL::INTEGER"),
    ("character_set_name", "NULL::VARCHAR"),
    ("collation_name", "NULL::VARCHAR"),
    ("domain_name", "NULL::VARCHAR"),
    ("udt_catalog", "d.datname"),
    ("udt_schema", "'pg_catalog'"),
    ("udt_name", "coalesce(t.name, '_' || e.name)"),
    ("dtd_identifier", "c.number::VARCHAR"),
    ("is_self_referencing", "'NO'"),
    ("is_identity", "'NO'"),
    ("identity_generation", "NULL::VARCHAR"),
    ("identity_start", "NULL::VARCHAR"),
    ("identity_increment", "NULL::VARCHAR"),
    ("identity_maximum", "NULL::VARCHAR"),
    ("identity_minimum", "NULL::VARCHAR"),
    ("identity_cycle", "'NO'"),
    ("is_generated", "'NEVER'"),
    ("generation_expression", "NULL::VARCHAR"),
    ("is_updatable", "'NO'"),
];

const VIEWS: Columns = &[
    ("table_catalog", "d.datname"),
    ("table_schema", "s.name"),
    ("table_name", "r.name"),
    ("view_definition", "r.definition"),
    ("check_option", "'NONE'"),
    ("is_updatable", "'NO'"),
    ("is_insertable_into", "'NO'"),
];

const SCHEMATA: Columns = &[
    ("catalog_name", "d.datname"),
    ("schema_name", "n.nspname"),
    ("schema_owner", "'millstream'"),
    ("default_character_set_catalog", "NULL::VARCHAR"),
    ("default_character_set_schema", "NULL::VARCHAR"),
    ("default_character_set_name", "NULL::VARCHAR"),
    ("sql_path", "NULL::VARCHAR"),
];

const TABLE_CONSTRAINTS: Columns = &[
    ("constraint_catalog", "d.datname"),
    ("constraint_schema", "s.name"),
    ("constraint_name", "r.name || '_pkey'"),
    ("table_catalog", "d.datname"),
    ("table_schema", "s.name"),
    ("table_name", "r.name"),
    ("constraint_type", "'PRIMARY KEY'"),
    ("is_deferrable", "'NO'"),
    ("initially_deferred", "'NO'"),
    ("enforced", "'YES'"),
    ("nulls_distinct", "NULL::VARCHAR"),
];

const KEY_COLUMNS: Columns = &[
    ("constraint_catalog", "d.datname"),
    ("constraint_schema", "s.name"),
    ("constraint_name", "r.name || '_pkey'"),
    ("table_catalog", "d.datname"),
    ("table_schema", "s.name"),
    ("table_name", "r.name"),
    ("column_name", "c.name"),
    ("ordinal_position", "list_position(r.key::SMALLINT[], c.number)::INTEGER"),
    ("position_in_unique_constraint", "NULL::INTEGER"),
];

const PRIVILEGES: Columns = &[
    ("grantor", "'millstream'"),
    ("grantee", "'PUBLIC'"),
    ("table_catalog", "d.datname"),
    ("table_schema", "s.name"),
    ("table_name", "r.name"),
    ("privilege_type", "'SELECT'"),
    ("is_grantable", "'NO'"),
    ("with_hierarchy", "'YES'"),
];

const DATABASE: &str = "FROM pg.pg_database d";
const RELATIONS: &str =
    "FROM base.relations r JOIN base.schemas s ON s.oid = r.schema CROSS JOIN pg.pg_database d";

/// Views of which nothing is here, with the columns that clients ask for.
const EMPTY: &[(&str, &str)] = &[
    ("referential_constraints", "constraint_catalog, constraint_schema, constraint_name, unique_constraint_catalog, unique_constraint_schema, unique_constraint_name, match_option, update_rule, delete_rule"),
    ("constraint_column_usage", "table_catalog, table_schema, table_name, column_name, constraint_catalog, constraint_schema, constraint_name"),
    ("constraint_table_usage", "table_catalog, table_schema, table_name, constraint_catalog, constraint_schema, constraint_name"),
    ("check_constraints", "constraint_catalog, constraint_schema, constraint_name, check_clause"),
    ("routines", "specific_catalog, specific_schema, specific_name, routine_catalog, routine_schema, routine_name, routine_type, data_type, routine_definition"),
    ("parameters", "specific_catalog, specific_schema, specific_name, ordinal_position, parameter_mode, parameter_name, data_type"),
    ("sequences", "sequence_catalog, sequence_schema, sequence_name, data_type, start_value, minimum_value, maximum_value, increment, cycle_option"),
    ("triggers", "trigger_catalog, trigger_schema, trigger_name, event_manipulation, event_object_catalog, event_object_schema, event_object_table, action_statement, action_timing"),
    ("domains", "domain_catalog, domain_schema, domain_name, data_type"),
    ("element_types", "object_catalog, object_schema, object_name, object_type, collection_type_identifier, data_type, udt_name"),
    ("view_table_usage", "view_catalog, view_schema, view_name, table_catalog, table_schema, table_name"),
    ("column_privileges", "grantor, grantee, table_catalog, table_schema, table_name, column_name, privilege_type, is_grantable"),
    ("character_sets", "character_set_catalog, character_set_schema, character_set_name, default_collate_name"),
    ("enabled_roles", "role_name"),
    ("applicable_roles", "grantee, role_name, is_grantable"),
    ("foreign_tables", "foreign_table_catalog, foreign_table_schema, foreign_table_name, foreign_server_name"),
];

/// The statements that create the views.
pub(super) fn statements() -> Vec<String> {
    let columns_source = format!(
        "{RELATIONS} JOIN base.columns c ON c.relation = r.oid LEFT JOIN base.types t ON t.oid = c.type \
         LEFT JOIN base.types e ON e.array_oid = c.type AND e.array_oid <> 0"
    );
    let views: [(&str, Columns, String); 8] = [
        ("tables", TABLES, RELATIONS.to_owned()),
        ("columns", COLUMNS, columns_source),
        ("views", VIEWS, format!("{RELATIONS} WHERE r.kind = 'v'")),
        ("schemata", SCHEMATA, format!("{DATABASE} CROSS JOIN pg.pg_namespace n")),
        ("table_constraints", TABLE_CONSTRAINTS, format!("{RELATIONS} WHERE r.key IS NOT NULL")),
        (
            "key_column_usage",
            KEY_COLUMNS,
            format!(
                "{RELATIONS} JOIN base.columns c ON c.relation = r.oid \
                 WHERE r.key IS NOT NULL AND list_contains(r.key::SMALLINT[], c.number)"
            ),
        ),
        ("table_privileges", PRIVILEGES, RELATIONS.to_owned()),
        ("role_table_grants", PRIVILEGES, RELATIONS.to_owned()),
    ];
    let mut statements = vec!["CREATE SCHEMA info".to_owned()];
    for (name, columns, source) in views {
        let columns: Vec<_> =
            columns.iter().map(|(name, expression)| format!("{expression} AS {name}")).collect();
        statements.push(format!("CREATE VIEW info.{name} AS SELECT {} {source}", columns.join(", ")));
    }
    statements.push(
        "CREATE VIEW info.information_schema_catalog_name AS SELECT datname AS catalog_name FROM pg.pg_database".into(),
    );
    for (name, columns) in EMPTY {
        let columns: Vec<_> =
            columns.split(", ").map(|column| format!("NULL::VARCHAR AS {column}")).collect();
        statements.push(format!("CREATE VIEW info.{name} AS SELECT {} WHERE false", columns.join(", ")));
    }
    statements
}
