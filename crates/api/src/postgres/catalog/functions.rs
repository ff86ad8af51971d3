//! PostgreSQL's functions about the catalogue, as macros of the engine in the schema `pg`. What a function tells of things that are not here (triggers,
//! sizes, statistics) is NULL, which clients show as nothing.

/// Parameters and bodies of a function's forms.
type Forms = &'static [(&'static str, &'static str)];

/// The functions that have something to tell.
///
/// A macro's parameters are put into its body as they are written, so the body's own names begin with `q_`: a client's `t.oid` must not become one of them.
const FUNCTIONS: &[(&str, Forms)] = &[
    (
        "format_type",
        &[(
            "_type, _modifier",
            "(SELECT CASE WHEN q_t.oid IN (1700) AND coalesce(_modifier, -1) >= 4 \
             THEN 'numeric(' || ((_modifier - 4) >> 16) || ',' || ((_modifier - 4) & 65535) || ')' \
             WHEN q_t.oid IN (1042, 1043) AND coalesce(_modifier, -1) >= 4 THEN q_t.full_name || '(' || (_modifier - 4) || ')' \
             ELSE q_t.full_name END || CASE WHEN q_t.array_oid = _type THEN '[]' ELSE '' END \
             FROM base.types q_t WHERE q_t.oid = _type OR (q_t.array_oid = _type AND _type <> 0))",
        )],
    ),
    ("pg_get_userbyid", &[("_role", "CASE WHEN _role = 10 THEN 'millstream' ELSE 'unknown (OID=' || _role || ')' END")]),
    ("pg_table_is_visible", &[("_oid", "coalesce((SELECT q_r.visible FROM base.relations q_r WHERE q_r.oid = _oid OR q_r.key_index = _oid), false)")]),
    (
        "pg_get_indexdef",
        &[
            (
                "_oid",
                "(SELECT 'CREATE UNIQUE INDEX ' || pg.quote_ident(q_r.name || '_pkey') || ' ON ' || pg.quote_ident(q_s.name) || '.' || \
                 pg.quote_ident(q_r.name) || ' USING btree (' || (SELECT string_agg(pg.quote_ident(q_c.name), ', ' ORDER BY \
                 list_position(q_r.key::SMALLINT[], q_c.number)) FROM base.columns q_c WHERE q_c.relation = q_r.oid AND \
                 list_contains(q_r.key::SMALLINT[], q_c.number)) || ')' FROM base.relations q_r JOIN base.schemas q_s ON q_s.oid = q_r.schema \
                 WHERE q_r.key_index = _oid)",
            ),
            (
                "_oid, _column, _pretty",
                "CASE WHEN _column = 0 THEN pg.pg_get_indexdef(_oid) ELSE (SELECT pg.quote_ident(q_c.name) FROM base.relations q_r \
                 JOIN base.columns q_c ON q_c.relation = q_r.oid AND q_c.number = list_extract(q_r.key::SMALLINT[], _column::BIGINT) \
                 WHERE q_r.key_index = _oid) END",
            ),
        ],
    ),
    (
        "pg_get_constraintdef",
        &[
            (
                "_oid",
                "(SELECT 'PRIMARY KEY (' || (SELECT string_agg(pg.quote_ident(q_c.name), ', ' ORDER BY \
                 list_position(q_r.key::SMALLINT[], q_c.number)) FROM base.columns q_c WHERE q_c.relation = q_r.oid AND \
                 list_contains(q_r.key::SMALLINT[], q_c.number)) || ')' FROM base.relations q_r WHERE q_r.key_constraint = _oid)",
            ),
            ("_oid, _pretty", "pg.pg_get_constraintdef(_oid)"),
        ],
    ),
    (
        "pg_get_viewdef",
        &[
            ("_oid", "(SELECT q_r.definition || ';' FROM base.relations q_r WHERE q_r.oid = _oid)"),
            ("_oid, _pretty", "pg.pg_get_viewdef(_oid)"),
        ],
    ),
    (
        "obj_description",
        &[
            ("_oid", "(SELECT q_r.comment FROM base.relations q_r WHERE q_r.oid = _oid)"),
            ("_oid, _catalog", "CASE WHEN _catalog = 'pg_class' THEN (SELECT q_r.comment FROM base.relations q_r WHERE q_r.oid = _oid) END"),
        ],
    ),
    (
        "col_description",
        &[("_oid, _number", "(SELECT q_c.comment FROM base.columns q_c WHERE q_c.relation = _oid AND q_c.number = _number)")],
    ),
    ("quote_ident", &[("_name", "CASE WHEN regexp_full_match(_name, '[a-z_][a-z0-9_$]*') THEN _name ELSE '\"' || replace(_name, '\"', '\"\"') || '\"' END")]),
    ("quote_literal", &[("_text", "'''' || replace(_text, '''', '''''') || ''''")]),
    (
        "regclass_in",
        &[(
            "_name",
            "CASE WHEN regexp_full_match(_name::VARCHAR, '[0-9]+') THEN _name::VARCHAR::UINTEGER ELSE \
             coalesce((SELECT min(q_r.oid) FROM base.relations q_r JOIN base.schemas q_s ON q_s.oid = q_r.schema \
             WHERE _name::VARCHAR IN (q_s.name || '.' || q_r.name, pg.quote_ident(q_s.name) || '.' || pg.quote_ident(q_r.name)) \
             OR (q_r.visible AND _name::VARCHAR IN (q_r.name, pg.quote_ident(q_r.name)))), \
             CASE replace(_name::VARCHAR, 'pg_catalog.', '') WHEN 'pg_class' THEN 1259 WHEN 'pg_type' THEN 1247 WHEN 'pg_proc' THEN 1255 \
             WHEN 'pg_namespace' THEN 2615 WHEN 'pg_constraint' THEN 2606 WHEN 'pg_database' THEN 1262 WHEN 'pg_attribute' THEN 1249 \
             WHEN 'pg_index' THEN 2610 WHEN 'pg_trigger' THEN 2620 WHEN 'pg_rewrite' THEN 2618 WHEN 'pg_extension' THEN 3079 \
             WHEN 'pg_authid' THEN 1260 WHEN 'pg_attrdef' THEN 2604 WHEN 'pg_policy' THEN 3256 \
             ELSE error('relation \"' || _name::VARCHAR || '\" does not exist') END)::UINTEGER END",
        )],
    ),
    (
        "regclass_out",
        &[(
            "_oid",
            "coalesce((SELECT CASE WHEN q_r.visible THEN pg.quote_ident(q_r.name) ELSE pg.quote_ident(q_s.name) || '.' || pg.quote_ident(q_r.name) END \
             FROM base.relations q_r JOIN base.schemas q_s ON q_s.oid = q_r.schema WHERE q_r.oid = _oid), \
             (SELECT pg.quote_ident(q_r.name || '_pkey') FROM base.relations q_r WHERE q_r.key_index = _oid), \
             CASE WHEN _oid = 0 THEN '-' ELSE _oid::VARCHAR END)",
        )],
    ),
    (
        "to_regclass",
        &[(
            "_name",
            "(SELECT min(q_r.oid) FROM base.relations q_r JOIN base.schemas q_s ON q_s.oid = q_r.schema \
             WHERE _name::VARCHAR IN (q_s.name || '.' || q_r.name, pg.quote_ident(q_s.name) || '.' || pg.quote_ident(q_r.name)) \
             OR (q_r.visible AND _name::VARCHAR IN (q_r.name, pg.quote_ident(q_r.name))))",
        )],
    ),
    (
        "regtype_in",
        &[(
            "_name",
            "CASE WHEN regexp_full_match(_name::VARCHAR, '[0-9]+') THEN _name::VARCHAR::UINTEGER ELSE pg.to_regtype(_name) END",
        )],
    ),
    (
        "to_regtype",
        &[(
            "_name",
            "coalesce((SELECT min(q_t.oid) FROM base.types q_t WHERE replace(_name::VARCHAR, 'pg_catalog.', '') IN (q_t.name, q_t.full_name)), \
             (SELECT min(q_t.array_oid) FROM base.types q_t WHERE replace(_name::VARCHAR, 'pg_catalog.', '') IN ('_' || q_t.name, q_t.name || '[]', q_t.full_name || '[]')))",
        )],
    ),
    ("regtype_out", &[("_oid", "coalesce(pg.format_type(_oid, -1), CASE WHEN _oid = 0 THEN '-' ELSE _oid::VARCHAR END)")]),
    (
        "regnamespace_in",
        &[("_name", "(SELECT min(q_n.oid) FROM pg.pg_namespace q_n WHERE q_n.nspname = _name::VARCHAR OR q_n.oid::VARCHAR = _name::VARCHAR)")],
    ),
    ("regnamespace_out", &[("_oid", "coalesce((SELECT q_n.nspname FROM pg.pg_namespace q_n WHERE q_n.oid = _oid), _oid::VARCHAR)")]),
    ("regrole_out", &[("_oid", "CASE WHEN _oid = 10 THEN 'millstream' WHEN _oid = 0 THEN '-' ELSE _oid::VARCHAR END")]),
    ("expand_n", &[("_list", "unnest(range(1, len(_list) + 1))::INTEGER")]),
    ("expand_x", &[("_list", "unnest(_list)")]),
    ("_pg_expandarray", &[("_list", "unnest(list_transform(_list, lambda _x, _n: {'x': _x, 'n': _n::INTEGER}))")]),
    ("array_upper", &[("_list, _dimension", "CASE WHEN _dimension = 1 AND len(_list) > 0 THEN len(_list)::INTEGER END")]),
    ("array_lower", &[("_list, _dimension", "CASE WHEN _dimension = 1 AND len(_list) > 0 THEN 1 END")]),
    ("pg_encoding_to_char", &[("_encoding", "CASE _encoding WHEN 6 THEN 'UTF8' WHEN 0 THEN 'SQL_ASCII' ELSE '' END")]),
    ("pg_char_to_encoding", &[("_name", "CASE upper(_name) WHEN 'UTF8' THEN 6 ELSE -1 END")]),
    ("pg_size_pretty", &[("_bytes", "format_bytes(_bytes::BIGINT)")]),
    ("pg_is_in_recovery", &[("", "false")]),
    ("pg_my_temp_schema", &[("", "0::UINTEGER")]),
    ("pg_is_other_temp_schema", &[("_oid", "false")]),
    ("pg_advisory_unlock_all", &[("", "NULL::VARCHAR")]),
    ("pg_postmaster_start_time", &[("", "now()")]),
    ("pg_conf_load_time", &[("", "now()")]),
    ("pg_tablespace_location", &[("_oid", "''")]),
    ("pg_relation_is_publishable", &[("_oid", "false")]),
    ("txid_current", &[("", "0::BIGINT")]),
    ("pg_typeof", &[("_value", "lower(typeof(_value))")]),
    ("current_setting", &[("_name", "(SELECT q_s.setting FROM pg.pg_settings q_s WHERE lower(q_s.name) = lower(_name))")]),
    ("array_remove", &[("_list, _item", "list_filter(_list, lambda _x: _x IS DISTINCT FROM _item)")]),
    (
        "parse_ident",
        &[(
            "_name",
            "list_transform(regexp_extract_all(_name, '\"[^\"]*\"|[^.]+'), lambda _x: CASE WHEN _x LIKE '\"%' THEN trim(_x, '\"') ELSE lower(_x) END)",
        )],
    ),
    ("getdatabaseencoding", &[("", "'UTF8'")]),
    ("inet_server_addr", &[("", "NULL::VARCHAR")]),
    ("inet_server_port", &[("", "NULL::INTEGER")]),
    ("inet_client_addr", &[("", "NULL::VARCHAR")]),
    ("inet_client_port", &[("", "NULL::INTEGER")]),
    ("pg_index_column_has_property", &[("_oid, _column, _property", "CASE WHEN _property IN ('asc', 'orderable', 'nulls_last') THEN true ELSE false END")]),
    ("pg_index_has_property", &[("_oid, _property", "false")]),
    ("pg_indexam_has_property", &[("_oid, _property", "_property IN ('can_order', 'can_unique', 'can_multi_col')")]),
    ("pg_column_is_updatable", &[("_oid, _number, _triggers", "false")]),
    ("pg_relation_is_updatable", &[("_oid, _triggers", "0")]),
];

/// Sizes and counts of one thing, by its number. They are the source's to know.
const NUMBERS_OF_ONE: &[&str] = &[
    "pg_database_size",
    "pg_indexes_size",
    "pg_relation_filenode",
    "pg_sequence_last_value",
    "pg_stat_get_live_tuples",
    "pg_stat_get_numscans",
    "pg_table_size",
    "pg_tablespace_size",
    "pg_total_relation_size",
];

/// Texts about one thing by its number, of which there is none here.
const TEXTS_OF_ONE: &[&str] = &[
    "pg_get_function_arguments",
    "pg_get_function_identity_arguments",
    "pg_get_function_result",
    "pg_get_functiondef",
    "pg_get_partition_constraintdef",
    "pg_get_partition_ancestors",
    "pg_get_partkeydef",
    "pg_get_replica_identity_index",
    "pg_get_statisticsobjdef",
    "pg_get_statisticsobjdef_columns",
    "pg_relation_filepath",
    "pg_sequence_parameters",
    "pg_stat_get_last_analyze_time",
];

/// Functions that take one or two things.
const NOTHING_OF_TWO: &[&str] = &[
    "pg_get_ruledef",
    "pg_get_serial_sequence",
    "pg_get_triggerdef",
    "pg_relation_size",
    "shobj_description",
];

/// Whether something is found without its schema: everything here that is no table is.
const VISIBLE: &[&str] = &[
    "pg_collation_is_visible",
    "pg_conversion_is_visible",
    "pg_function_is_visible",
    "pg_opclass_is_visible",
    "pg_operator_is_visible",
    "pg_opfamily_is_visible",
    "pg_statistics_obj_is_visible",
    "pg_ts_config_is_visible",
    "pg_type_is_visible",
];

/// Rights: everybody may read everything, and do nothing else.
const RIGHTS: &[&str] = &[
    "has_any_column_privilege",
    "has_column_privilege",
    "has_database_privilege",
    "has_foreign_data_wrapper_privilege",
    "has_function_privilege",
    "has_language_privilege",
    "has_schema_privilege",
    "has_sequence_privilege",
    "has_server_privilege",
    "has_table_privilege",
    "has_tablespace_privilege",
    "has_type_privilege",
    "pg_has_role",
];

/// The statements that create the macros. Those that others use come first.
pub(super) fn statements() -> Vec<String> {
    let macro_of = |name: &str, forms: &[(String, String)]| {
        let forms: Vec<_> =
            forms.iter().map(|(parameters, body)| format!("({parameters}) AS ({body})")).collect();
        format!("CREATE MACRO pg.{name}{}", forms.join(", "))
    };
    let owned = |forms: Forms| -> Vec<(String, String)> {
        forms.iter().map(|(parameters, body)| ((*parameters).to_owned(), (*body).to_owned())).collect()
    };
    let form = |parameters: &str, body: &str| (parameters.to_owned(), body.to_owned());
    let mut statements = vec![macro_of(
        "pg_get_expr",
        &[form("_tree, _relation", "NULL::VARCHAR"), form("_tree, _relation, _pretty", "NULL::VARCHAR")],
    )];
    // A macro's body is bound when it is created, so the simple ones come before those that call them.
    let simple = ["quote_ident", "format_type", "to_regtype"];
    let (first, rest): (Vec<_>, Vec<_>) = FUNCTIONS.iter().partition(|(name, _)| simple.contains(name));
    for (name, forms) in first.into_iter().chain(rest) {
        // Forms that call another form of the same function need that one to be there.
        let forms = owned(forms);
        if let [base, others @ ..] = forms.as_slice() {
            if others.iter().any(|(_, body)| body.contains(&format!("pg.{name}("))) {
                statements.push(macro_of(name, std::slice::from_ref(base)));
                statements.push(macro_of(name, &forms).replacen(
                    "CREATE MACRO",
                    "CREATE OR REPLACE MACRO",
                    1,
                ));
                continue;
            }
        }
        statements.push(macro_of(name, &forms));
    }
    statements.extend(NUMBERS_OF_ONE.iter().map(|name| macro_of(name, &[form("_oid", "NULL::BIGINT")])));
    statements.extend(TEXTS_OF_ONE.iter().map(|name| macro_of(name, &[form("_oid", "NULL::VARCHAR")])));
    statements.extend(
        NOTHING_OF_TWO.iter().map(|name| {
            macro_of(name, &[form("_oid", "NULL::VARCHAR"), form("_oid, _more", "NULL::VARCHAR")])
        }),
    );
    statements.extend(VISIBLE.iter().map(|name| macro_of(name, &[form("_oid", "true")])));
    let reads = "regexp_matches(lower(_right), 'select|usage|connect|member')";
    statements.extend(RIGHTS.iter().map(|name| {
        macro_of(
            name,
            &[
                form("_on, _right", reads),
                form("_user, _on, _right", reads),
                form("_user, _on, _column, _right", reads),
            ],
        )
    }));
    statements.push(
        "CREATE MACRO pg.pg_get_keywords() AS TABLE SELECT 'select' AS word, 'R' AS catcode WHERE false"
            .into(),
    );
    statements
}

/// Whether a function is one of these.
pub(super) fn is_known(name: &str) -> bool {
    FUNCTIONS.iter().any(|(known, _)| *known == name)
        || [NUMBERS_OF_ONE, TEXTS_OF_ONE, NOTHING_OF_TWO, VISIBLE, RIGHTS]
            .iter()
            .any(|names| names.contains(&name))
        || matches!(name, "pg_get_expr" | "pg_get_keywords")
}
