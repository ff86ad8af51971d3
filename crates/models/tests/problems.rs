//! Projects with something wrong in them: what is said, and where.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test fails; clippy exempts only the test functions themselves"
)]

use std::{fs, path::Path};

use millstream_core::{Diagnostic, Exit};
use millstream_models::{
    parse::{self, Manifest},
    project::{Options, Project},
    ModelsError,
};

const PROJECT: &str = "name: p\nprofile: p\n";
const PROFILES: &str = "p: {target: dev, outputs: {dev: {type: duckdb, path: p.duckdb}}}\n";

fn write(dir: &Path, files: &[(&str, &str)]) {
    let base = [("dbt_project.yml", PROJECT), ("profiles.yml", PROFILES)];
    for (path, text) in base.iter().chain(files) {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn parsed(files: &[(&str, &str)]) -> Result<Manifest, ModelsError> {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), files);
    let options = Options { project_dir: dir.path().to_owned(), ..Options::default() };
    parse::parse(Project::read(options)?)
}

/// Parses and expects an error with this code whose text has all of these words.
fn refused(files: &[(&str, &str)], code: &str, words: &[&str]) {
    let error = parsed(files).map(|_| ()).unwrap_err();
    let text = error.describe();
    assert_eq!(error.code(), code, "{text}");
    assert_eq!(error.exit(), Exit::Usage);
    for word in words {
        assert!(text.contains(word), "no {word:?} in:\n{text}");
    }
}

/// What was found odd, a line each.
fn told(manifest: &Manifest) -> String {
    manifest.warnings.iter().map(|warning| warning.text.as_str()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_misspelt_ref_suggests_the_nearest_name_and_shows_the_line() {
    refused(
        &[
            ("models/stg_orders.sql", "select 1 as a"),
            ("models/b.sql", "-- first\nselect * from {{ ref('stg_ordres') }}\n"),
        ],
        "MS9104",
        &[
            "`stg_ordres` isn't there",
            "models/b.sql:2:23",
            "select * from {{ ref('stg_ordres') }}",
            "did you mean `stg_orders`?",
        ],
    );
}

#[test]
fn a_source_that_is_not_declared_is_named() {
    let sources = "sources: [{name: shop, tables: [{name: orders}]}]\n";
    refused(
        &[("models/s.yml", sources), ("models/a.sql", "select * from {{ source('shop', 'order') }}")],
        "MS9104",
        &["table `order` of source `shop`", "models/a.sql:1:34", "did you mean `shop.orders`?"],
    );
}

#[test]
fn a_circle_is_told_as_a_path() {
    let files = [
        ("models/a.sql", "select * from {{ ref('c') }}"),
        ("models/b.sql", "select * from {{ ref('a') }}"),
        ("models/c.sql", "select * from {{ ref('b') }}"),
    ];
    refused(&files, "MS9106", &["model.p.a → model.p.c → model.p.b → model.p.a"]);
    refused(&[("models/a.sql", "select * from {{ ref('a') }}")], "MS9106", &["model.p.a → model.p.a"]);
}

#[test]
fn two_of_one_name_are_both_named() {
    let files = [("models/x/a.sql", "select 1"), ("models/y/a.sql", "select 2")];
    refused(&files, "MS9105", &["two models are named `a`", "models/x/a.sql", "models/y/a.sql"]);
    let alias = [("models/a.sql", "select 1"), ("models/b.sql", "{{ config(alias='A') }} select 2")];
    refused(&alias, "MS9105", &["model.p.a", "model.p.b", "another alias"]);
    let described = [
        ("models/a.sql", "select 1"),
        ("models/one.yml", "models: [{name: a}]\n"),
        ("models/two.yml", "models:\n  - name: a\n"),
    ];
    refused(
        &described,
        "MS9105",
        &["`a` is described a second time", "models/two.yml:2:11", "models/one.yml:1:17"],
    );
    let macros = [("macros/a.sql", "{% macro m() %}{% endmacro %}\n{% macro m() %}{% endmacro %}")];
    refused(&macros, "MS9105", &["macros", "`m`", "macros/a.sql:2:1"]);
}

#[test]
fn what_would_change_what_is_built_and_is_not_done_is_refused_with_its_place() {
    let model = ("models/a.sql", "select 1 as x");
    for (flags, told) in [
        ("validate_macro_args: true", "validate_macro_args"),
        (
            "require_ref_searches_node_package_before_root: true",
            "require_ref_searches_node_package_before_root",
        ),
    ] {
        let project = format!("{PROJECT}flags:\n  {flags}\n");
        refused(&[("dbt_project.yml", &project), model], "MS9108", &[told, "dbt_project.yml:4:3"]);
    }
    let quiet = format!("{PROJECT}flags: {{warn_error: false, use_colors: false, fail_fast: true}}\n");
    parsed(&[("dbt_project.yml", &quiet), model]).unwrap();
    for (source, code, told) in [
        (
            "sources: [{name: s, tables: [{name: t, config: {meta: {plugin: excel}}}]}]",
            "MS9108",
            "`plugin` of a source",
        ),
        (
            "sources: [{name: s, meta: {external_location: 'x/{of}'}, tables: [{name: t}]}]",
            "MS9102",
            "names `of`",
        ),
    ] {
        refused(&[("models/s.yml", source), model], code, &[told, "models/s.yml:1:"]);
    }
    refused(&[("catalogs.yml", "catalogs: []"), model], "MS9108", &["catalogs.yml"]);
}

#[test]
fn a_private_model_is_there_for_its_group_only() {
    let groups = "groups: [{name: g, owner: {name: o}}, {name: h, owner: {name: o}}]\n";
    let private = "models:\n  - {name: a, config: {access: private, group: g}, columns: [{name: x, data_tests: [unique]}]}\n";
    let described = format!("{groups}{private}");
    let with = |model: &'static str| {
        [("models/m.yml", described.as_str()), ("models/a.sql", "select 1 as x"), ("models/b.sql", model)]
    };
    let told = ["`model.p.a` is private", "the group `g`", "models/b.sql:1"];
    refused(&with("select * from {{ ref('a') }}"), "MS9102", &told);
    refused(&with("{{ config(group='h') }} select * from {{ ref('a') }}"), "MS9102", &told);
    // Those of its group may, and the tests on it are of its group.
    parsed(&with("{{ config(group='g') }} select * from {{ ref('a') }}")).unwrap();
}

#[test]
fn a_package_that_restricts_access_shows_what_is_public() {
    let package = |restrict| format!("name: q\nprofile: p\nrestrict-access: {restrict}\n");
    let (open, closed) = (package(false), package(true));
    let with = |package, config| {
        [
            ("packages.yml", "packages: [{local: q}]\n"),
            ("dbt_packages/q/dbt_project.yml", package),
            ("dbt_packages/q/models/a.sql", config),
            ("models/b.sql", "select * from {{ ref('a') }}"),
        ]
    };
    parsed(&with(open.as_str(), "select 1 as x")).unwrap();
    parsed(&with(closed.as_str(), "{{ config(access='public') }} select 1 as x")).unwrap();
    refused(
        &with(closed.as_str(), "select 1 as x"),
        "MS9102",
        &["`model.q.a` is protected", "the package `q`", "models/b.sql:1:23"],
    );
}

#[test]
fn what_is_wrong_in_yaml_is_shown() {
    let models = ("models/a.sql", "select 1 as a");
    refused(
        &[models, ("models/a.yml", "models:\n  - name: a\n   columns: x\n")],
        "MS9101",
        &["models/a.yml:3"],
    );
    refused(
        &[models, ("models/a.yml", "models:\n  a: {}\n")],
        "MS9101",
        &["`models` is a list", "models/a.yml:2"],
    );
    refused(
        &[models, ("models/a.yml", "models:\n  - description: x\n")],
        "MS9101",
        &["no `name`", "models/a.yml:2:5"],
    );
    let wrong_tests = "models:\n  - name: a\n    columns:\n      - name: a\n        data_tests: unique\n";
    refused(&[models, ("models/a.yml", wrong_tests)], "MS9101", &["tests are a list", "models/a.yml:5:21"]);
    refused(
        &[("dbt_project.yml", "name: p\nprofile: p\nmodle-paths: [m]\n")],
        "MS9102",
        &["`modle-paths` is no key", "dbt_project.yml:3:1", "did you mean `model-paths`?"],
    );
    refused(&[("dbt_project.yml", "name: a-b\nprofile: p\n")], "MS9101", &["`a-b` is no project name"]);
    refused(
        &[("dbt_project.yml", "name: p\nprofile: p\nrequire-dbt-version: '>=2.0.0'\n")],
        "MS9102",
        &["requires dbt >=2.0.0", "dbt_project.yml:3:22"],
    );
}

#[test]
fn what_is_wrong_in_a_profile_is_shown() {
    refused(
        &[("dbt_project.yml", "name: p\nprofile: q\n")],
        "MS9102",
        &["no profile `q`", "did you mean `p`?"],
    );
    refused(
        &[("profiles.yml", "p: {target: prod, outputs: {dev: {type: duckdb}}}\n")],
        "MS9102",
        &["no target `prod`", "it has: dev"],
    );
    refused(
        &[("profiles.yml", "p: {target: dev, outputs: {dev: {type: snowflake}}}\n")],
        "MS9108",
        &["`snowflake`", "profiles.yml:1"],
    );
    refused(
        &[("profiles.yml", "p: {target: \"{{ env_var('NO_SUCH_VARIABLE_HERE') }}\", outputs: {}}\n")],
        "MS9103",
        &["`NO_SUCH_VARIABLE_HERE` is not set", "profiles.yml:1:13"],
    );
}

#[test]
fn what_a_profile_attaches_wrongly_is_shown_where_it_is_said() {
    let wrong = |entries: &str, code: &str, words: &[&str]| {
        let profile = format!(
            "p:\n  target: dev\n  outputs:\n    dev:\n      type: duckdb\n      path: p.duckdb\n      attach: {entries}\n"
        );
        refused(&[("profiles.yml", &profile)], code, words);
    };
    wrong("{path: a.duckdb}", "MS9101", &["`attach` is a list", "profiles.yml:7:15"]);
    wrong("[a.duckdb]", "MS9101", &["is a mapping with a `path`", "profiles.yml:7:16"]);
    wrong("[{alias: a}]", "MS9101", &["needs a `path`"]);
    wrong("[{path: a.duckdb, aliass: b}]", "MS9108", &["`aliass`", "profiles.yml:7:33"]);
    wrong("[{path: a.duckdb, secret: b}]", "MS9108", &["`secret`"]);
    wrong("[{path: a.db, type: sqlite}]", "MS9108", &["type `sqlite`", "an extension", "profiles.yml:7:35"]);
    wrong("[{path: a.db, options: {type: sqlite}}]", "MS9108", &["type `sqlite`"]);
    wrong("[{path: a.db, type: duckdb, options: {TYPE: duckdb}}]", "MS9102", &["`type` is said twice"]);
    wrong("[{path: a.db, options: {secret: a}}]", "MS9108", &["`secret`"]);
    wrong("[{path: a.db, options: {'block size': 1}}]", "MS9102", &["`block size` is no option"]);
    wrong("[{path: 's3://a/b.duckdb'}]", "MS9108", &["`s3://a/b.duckdb` is not the path of a file"]);
    wrong("[{path: 'ducklake:a.db', alias: a}]", "MS9108", &["`ducklake:a.db`"]);
    wrong("[{path: a.db, is_ducklake: true}]", "MS9108", &["DuckLake"]);
    wrong("[{path: a.db, read_only: sure}]", "MS9101", &["`read_only` is true or false"]);
    wrong("[{path: ':memory:', read_only: true}]", "MS9101", &["nothing to read"]);
    wrong("[{path: a.db}, {path: b.db, alias: A}]", "MS9102", &["two attached databases are called `A`"]);
    wrong(
        "[{path: dir/P.db}]",
        "MS9102",
        &["`P` is what the target's own database is called", "another `alias`"],
    );
    wrong("[{path: a.db, alias: temp}]", "MS9102", &["`temp` is the name of a database that DuckDB has"]);
    wrong("[{path: a.db}]\n      database: b", "MS9101", &["the database of this path is `p`, not `b`"]);
}

#[test]
fn a_foreign_key_in_an_attached_database_is_refused() {
    let profile =
        "p: {target: dev, outputs: {dev: {type: duckdb, path: p.duckdb, attach: [{path: a.duckdb}]}}}\n";
    let key = "models:\n  - name: b\n    config: {contract: {enforced: true}}\n    constraints: [{type: foreign_key, columns: [a], to: ref('a'), to_columns: [a]}]\n    columns: [{name: a, data_type: integer}]\n";
    let models = [
        ("profiles.yml", profile),
        ("models/a.sql", "select 1 as a"),
        ("models/b.sql", "{{ config(materialized='table', database='a') }} select a from {{ ref('a') }}"),
        ("models/b.yml", key),
    ];
    refused(
        &models,
        "MS9108",
        &["foreign keys are not supported in attached databases such as `a`", "build the model in `p`"],
    );
}

#[test]
fn what_is_wrong_in_a_template_is_shown_with_the_macros_around() {
    refused(
        &[("models/a.sql", "select 1\n{% if x %}")],
        "MS9103",
        &["models/a.sql:2", "in model a (models/a.sql)"],
    );
    refused(
        &[("models/a.sql", "select {{ 1 + 'a' }}")],
        "MS9103",
        &["unsupported operand", "models/a.sql:1:11"],
    );
    let files = [
        ("macros/m.sql", "{% macro outer() %}{{ inner() }}{% endmacro %}\n{% macro inner() %}\n{{ exceptions.raise_compiler_error('no way') }}{% endmacro %}"),
        ("models/a.sql", "select {{ outer() }}"),
    ];
    refused(
        &files,
        "MS9103",
        &["no way", "macros/m.sql:3:4", "in macro inner", "in macro outer", "in model a"],
    );
    refused(
        &[("models/a.sql", "select {{ env_var('MISSING_HERE') }}")],
        "MS9103",
        &["`MISSING_HERE` is not set", "models/a.sql:1:11"],
    );
    let test = "models: [{name: a, columns: [{name: a, data_tests: [uniqe]}]}]\n";
    refused(
        &[("models/a.sql", "select 1 as a"), ("models/a.yml", test)],
        "MS9104",
        &["no test `uniqe`", "did you mean `unique`?"],
    );
}

#[test]
fn a_contract_that_cannot_be_kept_is_refused() {
    let model = ("models/a.sql", "select 1 as a");
    let contract = |rest: &str| format!("models: [{{name: a, config: {{contract: {{enforced: true}}{rest}\n");
    let column = "}, columns: [{name: a, data_type: int}";
    for (rest, code, words) in [
        ("}}]", "MS9102", "no columns are declared"),
        (&format!(", materialized: incremental{column}]}}]"), "MS9102", "needs `on_schema_change`"),
        (&format!("{column}], constraints: [{{type: uniqe}}]}}]"), "MS9101", "`uniqe` is no type of a constraint"),
        (
            "}, columns: [{name: a, data_type: int, constraints: [{type: primary_key}]}], constraints: [{type: primary_key, columns: [a]}]}]",
            "MS9102",
            "one primary key",
        ),
        (
            &format!("{column}], constraints: [{{type: foreign_key, to: b, to_columns: [b]}}]}}]"),
            "MS9102",
            "ref(…) or source(…)",
        ),
    ] {
        refused(&[model, ("models/a.yml", &contract(rest))], code, &[words]);
    }
    let odd = contract(
        ", materialized: view}, columns: [{name: a, data_type: int, constraints: [{type: not_null}]}]}]",
    );
    let manifest = parsed(&[model, ("models/a.yml", &odd)]).unwrap();
    assert!(manifest
        .warnings
        .iter()
        .any(|one| one.text.contains("not enforced by the materialization `view`")));
}

#[test]
fn versions_that_cannot_be_are_told() {
    let model = ("models/a.sql", "select 1 as a");
    for (versions, words) in [
        ("[{v: 1}, {v: '1'}]", "the version `1` is declared twice"),
        ("[{v: 1}], latest_version: 3", "`3` is none of the versions"),
        ("[{w: 1}]", "a version has a `v`"),
        (
            "[{v: 1, columns: [{include: [a], exclude: [b]}]}]",
            "columns are excluded only where all are included",
        ),
        ("[{v: 1, deprecation_date: soon}]", "`deprecation_date` is no date"),
    ] {
        let properties = format!("models: [{{name: a, versions: {versions}}}]\n");
        refused(&[model, ("models/a.yml", &properties)], "MS9101", &[words, "models/a.yml:1"]);
    }
    let one = ("models/a.yml", "models: [{name: a, versions: [{v: 1}, {v: 7}], latest_version: 1}]\n");
    let manifest = parsed(&[model, one]).unwrap();
    assert!(manifest.nodes.keys().any(|id| id.ends_with(".a.v1")));
    assert!(manifest.warnings.iter().any(|told| told.text.contains("none of the models named `a_v7`")));
    let reader = ("models/b.sql", "select * from {{ ref('a', v=2) }}");
    refused(&[model, one, reader], "MS9104", &["`a.v2` isn't there", "models/b.sql:1:"]);
}

#[test]
fn what_is_not_done_is_refused_by_name_and_never_passed_over() {
    let python = [("models/a.py", "def model(dbt, session): return 1")];
    refused(&python, "MS9108", &["models/a.py", "Python"]);
    // One of the project's own is looked for once the snapshot is made.
    let own = "{% snapshot s %}{{ config(strategy='mine', unique_key='a') }}select 1 as a{% endsnapshot %}";
    parsed(&[("snapshots/s.sql", own)]).unwrap();
    let plugged = "{{ config(materialized='external', glue_register=true) }} select 1 as a";
    refused(&[("models/a.sql", plugged)], "MS9108", &["`glue_register` of an external model"]);
    let model = ("models/a.sql", "select 1 as a");
    refused(
        &[("models/a.sql", "{{ config(materialized='materialized_view') }} select 1")],
        "MS9108",
        &["materialized_view"],
    );
    let incremental =
        "{{ config(materialized='incremental', incremental_strategy='insert_overwrite') }} select 1";
    refused(&[("models/a.sql", incremental)], "MS9108", &["insert_overwrite"]);
    let batched = "{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='a', begin='2024-01-01', batch_size='day') }} select 1 as a";
    let own = "{% macro duckdb__get_incremental_microbatch_sql(arguments) %}select 1{% endmacro %}";
    refused(&[("models/a.sql", batched), ("macros/own.sql", own)], "MS9108", &["microbatch"]);
    let unknown = "{{ config(materialized='incremental', on_schema_change='sometimes') }} select 1 as a";
    let told = ["`on_schema_change` can't be `sometimes`", "append_new_columns", "in model a (models/a.sql)"];
    refused(&[("models/a.sql", unknown)], "MS9102", &told);
    // What a folder says of incremental models is nothing to its views.
    parsed(&[("models/a.sql", "{{ config(incremental_strategy='microbatch') }} select 1 as a")]).unwrap();
    let materialization = "{% materialization unit, default %}{% endmaterialization %}";
    refused(&[("macros/m.sql", materialization)], "MS9108", &["materialization `unit`", "macros/m.sql:1:1"]);
    let overriding = "{% macro duckdb__get_column_names(a) %}{% endmacro %}";
    refused(&[("macros/m.sql", overriding)], "MS9108", &["duckdb__get_column_names", "overrides"]);
    let part = ("macros/m.sql", "{% macro create_table_as(a, b, c) %}{% endmacro %}");
    let snapshot = "{% snapshot s %}{{ config(strategy='check', check_cols='all', unique_key='a') }}select 1 as a{% endsnapshot %}";
    parsed(&[part, ("snapshots/s.sql", snapshot)]).unwrap();
    parsed(&[part, model]).unwrap();
    refused(
        &[model, ("packages.yml", "packages: [{package: a/b, version: 1.0.0}]\n")],
        "MS9102",
        &["1 package, 0 of them", "dbt deps"],
    );
}

#[test]
fn a_snapshot_without_what_its_strategy_needs_is_told() {
    let model = ("models/a.sql", "select 1 as a");
    let told = |config: &str, words: &[&str]| {
        let yaml = format!("snapshots: [{{name: s, relation: ref('a'), config: {{{config}}}}}]\n");
        refused(
            &[model, ("snapshots/s.yml", &yaml)],
            "MS9102",
            &[words, &["in snapshot s (snapshots/s.yml)"]].concat(),
        );
    };
    told("strategy: check, unique_key: a", &["needs `check_cols`"]);
    told("strategy: check, unique_key: a, check_cols: some", &["`check_cols` is `all` or a list of columns"]);
    told(
        "strategy: check, unique_key: {a: b}, check_cols: all",
        &["`unique_key` of a snapshot is a text or a list of texts"],
    );
    told("unique_key: a", &["needs a `strategy` and a `unique_key`", "hint: strategy: timestamp"]);
    told("strategy: timestamp, unique_key: a", &["needs `updated_at`"]);
    told("strategy: timestamp, unique_key: a, updated_at: b, check_cols: all", &["no use for `check_cols`"]);
    let check = "strategy: check, unique_key: a, check_cols: all";
    told(&format!("{check}, hard_deletes: forget"), &["ignore, invalidate or new_record, not `forget`"]);
    told(
        &format!("{check}, hard_deletes: ignore, invalidate_hard_deletes: true"),
        &["two names of the same"],
    );
    told(
        &format!("{check}, snapshot_meta_column_names: {{valid_to: x}}"),
        &["`valid_to` of `snapshot_meta_column_names`", "dbt_valid_to"],
    );
    told(&format!("{check}, materialized: table"), &["materialized as `snapshot`"]);
    let relation =
        "snapshots: [{name: s, relation: a, config: {strategy: check, unique_key: a, check_cols: all}}]\n";
    refused(
        &[model, ("models/s.yml", relation)],
        "MS9101",
        &["`relation` is a call of ref or source, not `a`", "models/s.yml:1:20"],
    );
    let twice = "{% snapshot s %}{{ config(strategy='check', unique_key='a', check_cols='all') }}select 1 as a{% endsnapshot %}";
    refused(&[("snapshots/s.sql", &format!("{twice}{twice}"))], "MS9105", &["two snapshots are named `s`"]);
    let open = "\n{% snapshot s %}select 1";
    refused(
        &[("snapshots/s.sql", open)],
        "MS9103",
        &["`{% snapshot … %}` is never closed", "snapshots/s.sql:2:1"],
    );
    refused(
        &[model, ("macros/m.sql", "{% macro check_time_data_types(sql) %}x{% endmacro %}")],
        "MS9108",
        &["check_time_data_types"],
    );
}

#[test]
fn a_unit_test_that_cannot_be_is_told() {
    let models = [
        ("models/a.sql", "select 1 as x"),
        ("models/b.sql", "select * from {{ ref('a') }}"),
        ("models/i.sql", "{{ config(materialized='incremental') }} select 1 as x {% if is_incremental() %}where false{% endif %}"),
        ("models/gone.sql", "{{ config(enabled=false) }} select 1 as x"),
        ("models/v_v1.sql", "select 1 as x"),
        ("models/v_v2.sql", "select 2 as x"),
        ("models/v.yml", "models: [{name: v, versions: [{v: 1}, {v: 2}]}]\n"),
    ];
    let told = |test: &str, code: &str, words: &[&str]| {
        let yaml = format!("unit_tests:\n  - {{name: u, {test}}}\n");
        refused(
            &[&models[..], &[("models/u.yml", yaml.as_str())]].concat(),
            code,
            &[words, &["models/u.yml:2:"]].concat(),
        );
    };
    let given = "given: [{input: ref('a'), rows: []}]";
    let expect = "expect: {rows: []}";
    told(&format!("{given}, {expect}"), "MS9101", &["a `name` and a `model`"]);
    told(&format!("model: c, {given}, {expect}"), "MS9104", &["there is no model `c`", "in unit test u"]);
    told(
        &format!("model: b, {given}, expects: 1"),
        "MS9101",
        &["a unit test has no `expects`", "did you mean `expect`?"],
    );
    told(&format!("model: b, {given}"), "MS9101", &["it has no `expect`"]);
    told(&format!("model: b, given: [{{rows: []}}], {expect}"), "MS9101", &["has an `input`"]);
    told(&format!("model: b, given: [{{input: ref('aa')}}], {expect}"), "MS9104", &["`aa` isn't there"]);
    told(
        &format!("model: b, given: [{{input: ref('a')}}], {expect}"),
        "MS9101",
        &["rows of the format `dict` are a list of mappings"],
    );
    told(
        &format!("model: b, {given}, expect: {{format: csv, rows: [1]}}"),
        "MS9101",
        &["rows of the format `csv` are a text"],
    );
    told(&format!("model: b, {given}, expect: {{format: xml}}"), "MS9101", &["dict, csv or sql, not `xml`"]);
    told(
        &format!("model: b, {given}, expect: {{format: csv, fixture: f}}"),
        "MS9104",
        &["no fixture `f`", "tests/fixtures"],
    );
    told(
        &format!("model: b, {given}, expect: {{format: csv, rows: \"a\\n1,2\"}}"),
        "MS9101",
        &["line 2 has 2 values, the header has 1"],
    );
    told(
        &format!("model: b, {given}, {expect}, versions: {{include: [1]}}"),
        "MS9101",
        &["`b` has no versions that could be chosen", "leave `versions` out"],
    );
    let versioned = format!("model: v, given: [], {expect}, versions");
    told(&format!("{versioned}: {{include: [3]}}"), "MS9104", &["`v` has no version that the test is for"]);
    told(&format!("{versioned}: {{include: 1}}"), "MS9101", &["`include` is a list of versions"]);
    told(
        &format!("{versioned}: {{include: [1], exclude: [2]}}"),
        "MS9101",
        &["includes versions or excludes some, not both"],
    );
    told(
        &format!("model: i, given: [], {expect}"),
        "MS9102",
        &["asks for is_incremental()", "overrides: {macros: {is_incremental: false}}"],
    );
    let incremental = "overrides: {macros: {is_incremental: true}}";
    told(
        &format!("model: i, given: [], {incremental}, {expect}"),
        "MS9102",
        &["is not given", "input: this"],
    );
    let off = format!("unit_tests: [{{name: u, model: gone, given: [], {expect}}}]\n");
    parsed(&[&models[..], &[("models/u.yml", off.as_str())]].concat()).unwrap();
    let twice = format!("unit_tests: [{{name: u, model: a, given: [], {expect}}}, {{name: u, model: a, given: [], {expect}}}]\n");
    refused(
        &[&models[..], &[("models/u.yml", twice.as_str())]].concat(),
        "MS9105",
        &["two unit_tests are named `u`"],
    );
}

#[test]
fn a_time_spine_is_of_columns_that_are_told() {
    let told = |said: &str, words: &str| {
        let columns = "[{name: day, granularity: day}, {name: week}]";
        let yaml = format!("models:\n  - {{name: a, columns: {columns}, time_spine: {said}}}\n");
        refused(
            &[("models/a.sql", "select 1 as day"), ("models/a.yml", &yaml)],
            "MS9101",
            &[words, "models/a.yml:2:"],
        );
    };
    told("{}", "no `standard_granularity_column`");
    told("{standard_granularity_column: month}", "names a column `month` that it doesn't describe");
    told("{standard_granularity_column: week}", "the column `week` of a time spine has no `granularity`");
    let custom = |said: &str| format!("{{standard_granularity_column: day, custom_granularities: [{said}]}}");
    told(&custom("{}"), "a custom granularity has a `name`");
    told(&custom("{name: fiscal, column_name: year}"), "names a column `year`");
}

#[test]
fn a_test_of_what_is_not_there_is_left_out_and_told() {
    let files = [
        ("models/a.sql", "select 1 as a"),
        ("tests/t.sql", "select * from {{ ref('gone') }}"),
        ("models/a.yml", "models: [{name: a}, {name: ghost, description: x}]\nmodles: []\n"),
    ];
    let manifest = parsed(&files).unwrap();
    assert_eq!(manifest.nodes.keys().map(String::as_str).collect::<Vec<_>>(), ["model.p.a"]);
    let warnings = told(&manifest);
    for word in ["`gone` isn't there", "named `ghost`", "did you mean `models`?"] {
        assert!(warnings.contains(word), "no {word:?} in:\n{warnings}");
    }
}

#[test]
fn what_a_project_says_and_nobody_hears_is_told_with_what_was_meant() {
    let project = "name: p\nprofile: p\nmodels:\n  +materialized: view\n  p:\n    stagging: {+materialized: table}\n    staging: {+tags: [a], deep: {}}\nseeds:\n  other: {+enabled: true}\n";
    let properties = "models:\n  - name: a\n    discription: a model\n    owner: me\n    columns:\n      - name: id\n        data-tests: [not_null]\n        data_tests: [unique]\n";
    let manifest = parsed(&[
        ("dbt_project.yml", project),
        ("models/staging/a.sql", "select 1 as id"),
        ("models/staging/models.yml", properties),
    ])
    .unwrap();
    let told = told(&manifest);
    assert_eq!(manifest.warnings.len(), 3, "{told}");
    for word in [
        "models/staging/models.yml:3:5: `discription` means nothing here; did you mean `description`?",
        "models/staging/models.yml:7:9: `data-tests` means nothing here; did you mean `data_tests`?",
        "configures what isn't there: models.p.stagging (did you mean `staging`?), seeds.other",
    ] {
        assert!(told.contains(word), "no {word:?} in:\n{told}");
    }
}

#[test]
fn a_package_may_have_macros_named_like_dbts_unless_something_is_built_with_them() {
    let project = ("dbt_packages/tools/dbt_project.yml", "name: tools\n");
    let own = (
        "dbt_packages/tools/macros/m.sql",
        "{% macro format_column(column) %}{{ return(column) }}{% endmacro %}",
    );
    let model = ("models/a.sql", "select '{{ tools.format_column(1) }}' as a");
    parsed(&[project, own, model]).unwrap();
    let words = ["`format_column`", "dbt_packages/tools/macros/m.sql:1"];
    refused(&[project, own, model, ("dbt_packages/tools/models/b.sql", "select 1 as b")], "MS9108", &words);
    let dispatching =
        format!("{PROJECT}dispatch: [{{macro_namespace: dbt, search_order: [p, tools, dbt]}}]\n");
    refused(&[project, own, model, ("dbt_project.yml", &dispatching)], "MS9108", &words);
    refused(&[("macros/m.sql", own.1), ("models/a.sql", "select 1 as a")], "MS9108", &words[..1]);
}

#[test]
fn a_snapshot_from_history_is_refused_beside_macros_that_it_would_be_made_without() {
    let block = "{% snapshot kept %}{{ config(unique_key='id', snapshot_from_history=true) }} select 1 as id {% endsnapshot %}";
    let polled = "{% snapshot kept %}{{ config(unique_key='id', strategy='check', check_cols='all') }} select 1 as id {% endsnapshot %}";
    let hash = "{% macro default__snapshot_hash_arguments(args) %}{{ args | join }}{% endmacro %}";
    let hook = "{% macro apply_grants(relation, grants, should_revoke) %}{% endmacro %}";
    let own = "{% materialization snapshot, default %}{% endmaterialization %}";
    for (source, name) in [
        (hash, "`default__snapshot_hash_arguments`"),
        (hook, "`apply_grants`"),
        (own, "`materialization_snapshot_default`"),
    ] {
        refused(
            &[("snapshots/kept.sql", block), ("macros/own.sql", source)],
            "MS9108",
            &["snapshot_from_history", name, "in snapshot kept"],
        );
        parsed(&[("snapshots/kept.sql", polled), ("macros/own.sql", source)]).unwrap();
    }
    parsed(&[("snapshots/kept.sql", block)]).unwrap();
    // One of a package that isn't asked for is not found for it either.
    let files = [
        ("snapshots/kept.sql", block),
        ("dbt_packages/q/dbt_project.yml", "name: q\n"),
        ("dbt_packages/q/macros/own.sql", hash),
    ];
    parsed(&files).unwrap();
    let asked = "name: p\nprofile: p\ndispatch: [{macro_namespace: dbt, search_order: [q, dbt]}]\n";
    let files = [&files[..], &[("dbt_project.yml", asked)]].concat();
    refused(&files, "MS9108", &["`default__snapshot_hash_arguments`"]);
}
