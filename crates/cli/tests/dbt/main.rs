//! Projects built by this program and by dbt itself: the same tables row by row, the same statuses, the same SQL up to white space, the same lists.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test fails; clippy exempts only the test functions themselves"
)]

mod asked;
mod attached;
mod begin;
mod cancelled;
mod clone;
mod deps;
mod docs;
mod events;
mod external;
mod flags;
mod freshness;
mod idioms;
mod lineage;
mod made;
mod microbatch;
mod packages;
mod parts;
mod postgres;
mod state;
mod warnings;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

const TABLES: &str = include_str!("tables.py");

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn project(name: &str) -> PathBuf {
    root().join("crates/models/tests/projects").join(name)
}

fn dbt() -> PathBuf {
    let bin = root().join(".tools/clients/dbt/bin");
    assert!(bin.join("dbt").exists(), "dbt is not there: run scripts/clients");
    bin
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A project twice: one copy for dbt, one for us, in directories of the same name.
struct Pair {
    dir: tempfile::TempDir,
    database: &'static str,
}

impl Pair {
    fn new(name: &str, database: &'static str) -> Self {
        let pair = Pair { dir: tempfile::tempdir().unwrap(), database };
        for side in ["theirs", "ours"] {
            copy(&project(name), &pair.at(side));
        }
        pair
    }

    fn at(&self, side: &str) -> PathBuf {
        self.dir.path().join(side).join("project")
    }

    fn write(&self, path: &str, text: &str) {
        for side in ["theirs", "ours"] {
            let path = self.at(side).join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn their_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(dbt().join("dbt"));
        command.args(arguments).current_dir(self.at("theirs")).env("DBT_SEND_ANONYMOUS_USAGE_STATS", "false");
        command
    }

    fn dbt(&self, arguments: &[&str]) -> Output {
        self.their_command(arguments).output().unwrap()
    }

    fn our_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
        command.arg("dbt").args(arguments).current_dir(self.at("ours"));
        command
    }

    fn ours(&self, arguments: &[&str]) -> Output {
        self.our_command(arguments).output().unwrap()
    }

    /// What the files of DuckDB hold that are there, by the name of the file where it is not the project's own.
    fn tables(&self, side: &str) -> BTreeMap<String, Value> {
        let entries = fs::read_dir(self.at(side)).unwrap().map(|entry| entry.unwrap().path());
        let files: Vec<PathBuf> =
            entries.filter(|path| path.extension() == Some("duckdb".as_ref())).collect();
        let mut all = BTreeMap::new();
        for file in &files {
            let beside = files.iter().filter(|other| *other != file);
            let output = Command::new(dbt().join("python"))
                .args(["-c", TABLES])
                .arg(file)
                .args(beside)
                .current_dir(self.at(side))
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let found: BTreeMap<String, Value> = serde_json::from_slice(&output.stdout).unwrap();
            let name = file.file_name().and_then(|name| name.to_str()).unwrap();
            let prefix = if name == self.database { String::new() } else { format!("{name}: ") };
            all.extend(found.into_iter().map(|(table, held)| (format!("{prefix}{table}"), held)));
        }
        all
    }

    /// What a query gives on our side, as Python prints it.
    fn ask(&self, query: &str) -> String {
        let ask = "import duckdb, sys; print(duckdb.connect(sys.argv[1], read_only=True).execute(sys.argv[2]).fetchall())";
        let output = Command::new(dbt().join("python"))
            .args(["-c", ask])
            .arg(self.at("ours").join(self.database))
            .arg(query)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn statuses(&self, side: &str) -> BTreeMap<String, (String, Value)> {
        let text = fs::read_to_string(self.at(side).join("target/run_results.json")).unwrap();
        let results: Value = serde_json::from_str(&text).unwrap();
        let results = results["results"].as_array().unwrap().iter();
        // dbt tells hooks among the results, we tell only those that failed.
        let nodes = results.filter(|result| !result["unique_id"].as_str().unwrap().starts_with("operation."));
        nodes
            .map(|result| {
                let id = result["unique_id"].as_str().unwrap().to_owned();
                let status = result["status"].as_str().unwrap().to_owned();
                (id, (status, result["failures"].clone()))
            })
            .collect()
    }

    /// All compiled files, white space drawn together.
    fn compiled(&self, side: &str) -> BTreeMap<String, String> {
        fn walk(dir: &Path, base: &Path, found: &mut BTreeMap<String, String>) {
            for entry in fs::read_dir(dir).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, base, found);
                } else {
                    let text = fs::read_to_string(&path).unwrap();
                    let name = path.strip_prefix(base).unwrap().display().to_string();
                    found.insert(name, squeezed(&text));
                }
            }
        }
        let base = self.at(side).join("target/compiled");
        let mut found = BTreeMap::new();
        walk(&base, &base, &mut found);
        // dbt writes what stands in for a unit test's inputs too, one file for all that stand for the same.
        found.retain(|path, _| !path.split('/').rev().nth(1).is_some_and(|dir| dir.starts_with("unit")));
        found
    }

    /// Both end with the same status; what ours told.
    #[track_caller]
    fn ends_alike(&self, arguments: &[&str]) -> String {
        let (theirs, ours) = (self.dbt(arguments), self.ours(arguments));
        let told =
            format!("{}{}", String::from_utf8_lossy(&ours.stdout), String::from_utf8_lossy(&ours.stderr));
        let other = String::from_utf8_lossy(&theirs.stdout);
        let asked = arguments.join(" ");
        assert_eq!(ours.status.code(), theirs.status.code(), "{asked}\n{told}\ndbt:\n{other}");
        told
    }

    /// Runs the same on both sides and compares everything.
    fn both(&self, arguments: &[&str]) {
        let (theirs, ours) = (self.dbt(arguments), self.ours(arguments));
        let told = format!(
            "{}\ndbt:\n{}\nours:\n{}{}",
            arguments.join(" "),
            String::from_utf8_lossy(&theirs.stdout),
            String::from_utf8_lossy(&ours.stdout),
            String::from_utf8_lossy(&ours.stderr)
        );
        assert_eq!(ours.status.code(), theirs.status.code(), "{told}");
        assert_eq!(self.statuses("ours"), self.statuses("theirs"), "{told}");
        assert_eq!(self.compiled("ours"), self.compiled("theirs"), "{told}");
        let (ours, theirs) = (self.tables("ours"), self.tables("theirs"));
        for (name, table) in &theirs {
            assert_eq!(ours.get(name), Some(table), "{name}\n{told}");
        }
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{told}");
    }

    fn lists(&self, arguments: &[&str]) {
        let quiet = [&["--quiet", "ls"], arguments].concat();
        let sorted = |output: &Output| {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let (theirs, ours) = (self.dbt(&quiet), self.ours(&quiet));
        assert_eq!(sorted(&ours), sorted(&theirs), "{}", arguments.join(" "));
    }
}

fn squeezed(text: &str) -> String {
    // Blank next to a bracket or a comma is layout of the macro that wrote it.
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for mark in ["(", ")", ","] {
        text = text.replace(&format!(" {mark}"), mark).replace(&format!("{mark} "), mark);
    }
    text
}

#[test]
fn the_bakery_is_built_as_dbt_builds_it_and_built_again_when_its_rows_change() {
    let pair = Pair::new("shop", "bakery.duckdb");
    pair.both(&["build"]);
    pair.lists(&[]);
    pair.lists(&["--output", "path", "--select", "+loaf_totals"]);
    pair.write(
        "seeds/sales.csv",
        "sale_id,patron_id,loaf_id,quantity,sold_on,state\n100,1,10,2,2024-03-01,paid\n107,9,11,7,2024-06-01,lost\n107,1,10,,2024-07-01,paid\n",
    );
    // A test finds something now, and what stands behind it is skipped.
    pair.both(&["build"]);
    pair.both(&["run"]);
    pair.both(&["test", "--select", "stg_sales"]);
    pair.both(&["run", "--full-refresh", "--select", "loaf_totals"]);
}

#[test]
fn a_model_that_fails_keeps_its_rows_and_what_is_behind_it_is_skipped() {
    let pair = Pair::new("shop", "bakery.duckdb");
    pair.both(&["build"]);
    pair.write("models/staging/stg_loaves.sql", "select no_such_column from {{ ref('loaves') }}");
    pair.both(&["build"]);
    pair.both(&["run", "--exclude", "stg_loaves"]);
}

#[test]
fn hooks_at_the_end_know_what_was_built_and_one_that_fails_at_the_start_stops_nothing() {
    let pair = Pair::new("shop", "bakery.duckdb");
    let project = fs::read_to_string(pair.at("ours").join("dbt_project.yml")).unwrap();
    let hooks = concat!(
        "\non-run-start: ['select no_such_column']\n",
        "on-run-end:\n",
        "  - create schema if not exists told\n",
        "  - \"create or replace table told.run as select '{{ schemas | sort | join(',') }}' as schemas, ",
        "{{ database_schemas | length }} as places, {{ results | length }} as results\"\n",
        "  - \"create or replace table told.nodes as {% for result in results if result.node.resource_type == 'model' %}",
        "{{ 'union all ' if not loop.first }}select '{{ result.node.name }}' as name, '{{ result.status }}' as status ",
        "{% endfor %}\"\n",
    );
    pair.write("dbt_project.yml", &format!("{project}{hooks}"));
    pair.both(&["build", "--select", "+stg_sales"]);
    let skipping = "flags: {skip_nodes_if_on_run_start_fails: true}\n";
    pair.write("dbt_project.yml", &format!("{project}\non-run-start: ['select no_such_column']\n{skipping}"));
    pair.both(&["run"]);
}

#[test]
fn the_cellars_snapshots_hold_the_versions_that_dbt_tells() {
    let pair = Pair::new("cellar", "cellar.duckdb");
    let casks = |rows: &str| {
        pair.write("seeds/casks.csv", &format!("cask_id,cellar_row,wine,litres,checked_at\n{rows}"));
    };
    let first = fs::read_to_string(pair.at("ours").join("seeds/casks.csv")).unwrap();
    pair.both(&["seed"]);
    pair.both(&["snapshot"]);
    // One is drawn from and one gets a name, both checked; one is drawn from unchecked; one is gone and one is new.
    casks(
        "1,a,Malbec,200.00,2024-02-01 08:00:00\n2,a,Merlot,200.00,2024-01-01 08:05:00\n2,b,Syrah,,2024-01-01 08:10:00\n\
         3,b,Tannat,300.00,2024-02-01 09:00:00\n5,c,Gamay,50.00,2024-02-01 10:00:00\n",
    );
    // Ahead of all: one of the snapshots doesn't wait for the seed, which it knows as a source.
    pair.both(&["seed"]);
    pair.both(&["build"]);
    pair.both(&["snapshot"]);
    // What was gone is back as it was, what was there is gone, and the query gives another column.
    fs::write(pair.at("ours").join("seeds/casks.csv"), &first).unwrap();
    fs::write(pair.at("theirs").join("seeds/casks.csv"), &first).unwrap();
    pair.both(&["seed"]);
    pair.both(&["build", "--vars", "{bottled: true}"]);
    casks("1,a,Malbec,190.00,2024-03-01 08:00:00\n");
    pair.both(&["seed", "--full-refresh"]);
    pair.both(&["snapshot", "--vars", "{bottled: true}"]);
    let ids = "select count(*) as found from casks_checked where dbt_scd_id <> md5(cask || '|' || dbt_valid_from::varchar)";
    assert_eq!(pair.ask(ids), "[(0,)]");
}

#[test]
fn unit_tests_say_what_dbts_say_and_come_before_their_model() {
    let pair = Pair::new("cellar", "cellar.duckdb");
    pair.both(&["build", "--select", "+drained"]);
    pair.both(&["test", "--select", "test_type:unit"]);
    pair.both(&["test", "--select", "drained", "--exclude", "unit_test:what_is_drawn_is_gone"]);
    pair.lists(&["--resource-type", "unit_test"]);
    pair.lists(&["--select", "tag:quick"]);
    pair.lists(&["--select", "drained"]);
    // One whose rows are other ones, and ones that can't be compared, keep the model from being built.
    let wrong = "unit_tests:\n  - name: NAME\n    model: drained\n    overrides: {macros: {is_incremental: false}}\n    given:\n\
                 \x20     - {input: \"source('cellar', 'casks')\", rows: [{cask_id: 1, cellar_row: a}]}\n\
                 \x20     - {input: ref('stock'), format: sql, rows: \"select 'a1' as cask, 1 as cask_id, 'a' as cellar_row, 'Malbec' as wine, cast(100 as decimal(9,2)) as litres\"}\n\
                 \x20     - {input: ref('draws'), format: csv, fixture: drawn}\n    expect: EXPECT\n";
    let given = |name: &str, expect: &str| {
        pair.write(
            &format!("models/unit_{name}.yml"),
            &wrong.replace("NAME", name).replace("EXPECT", expect),
        );
    };
    // With dbt those of a model that come after one that failed are skipped, in an order of chance: one is looked at at a time.
    for (name, expect) in [
        (
            "other_rows",
            "{rows: [{cask: a1, wine: Malbec, litres: 100}, {cask: a1, wine: Malbec, litres: 98.5}]}",
        ),
        ("part_of_the_columns", "{format: sql, fixture: left}"),
        ("no_rows", "{rows: []}"),
        ("no_such_column", "{rows: [{bottle: a1}]}"),
        ("no_number", "{rows: [{litres: many}]}"),
    ] {
        given(name, expect);
        pair.both(&["test", "--select", name]);
    }
    pair.both(&[
        "build",
        "--select",
        "drained",
        "--exclude",
        "no_rows",
        "no_such_column",
        "no_number",
        "part_of_the_columns",
        "tag:quick",
        "what_is_empty_is_left_alone",
    ]);
    pair.both(&["test", "--select", "drained"]);
    let told = pair.ours(&["test", "--select", "other_rows"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    for words in [
        "Failure in unit_test other_rows (models/unit_other_rows.yml)",
        "- expected, + given",
        "- a1 | Malbec | 100",
    ] {
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn a_snapshot_that_cannot_be_made_says_why_and_keeps_what_it_has() {
    let pair = Pair::new("cellar", "cellar.duckdb");
    pair.both(&["build", "--select", "casks", "casks_by_time", "bottles"]);
    let refused = |config: &str, words: &str| {
        pair.write(
            "snapshots/old/bottles.sql",
            &format!("{{% snapshot bottles %}}{{{{ config({config}) }}}} select 1 as a{{% endsnapshot %}}"),
        );
        let (theirs, ours) = (pair.dbt(&["snapshot"]), pair.ours(&["snapshot"]));
        let told = String::from_utf8_lossy(&ours.stderr).into_owned();
        assert_eq!(ours.status.code(), theirs.status.code(), "{told}");
        assert!(
            told.contains(words) && told.contains("in snapshot bottles (snapshots/old/bottles.sql)"),
            "{told}"
        );
    };
    refused("strategy='check'", "a snapshot needs a `strategy` and a `unique_key`");
    refused("strategy='check', unique_key='a'", "the strategy `check` needs `check_cols`");
    refused("strategy='timestamp', unique_key='a'", "the strategy `timestamp` needs `updated_at`");
    // What is there was made without a column that is needed now, and a column that is told is not in the query.
    let bottles = fs::read_to_string(project("cellar").join("snapshots/old/bottles.sql")).unwrap();
    pair.write(
        "snapshots/old/bottles.sql",
        &bottles.replace("invalidate_hard_deletes=true", "hard_deletes='new_record'"),
    );
    pair.both(&["snapshot", "--select", "bottles"]);
    pair.write(
        "snapshots/old/bottles.sql",
        &bottles.replace("updated_at='checked_at'", "updated_at='no_such_column'"),
    );
    pair.both(&["snapshot", "--select", "bottles"]);
    pair.write("snapshots/old/bottles.sql", &bottles);
    pair.both(&["snapshot", "--select", "bottles"]);
}

#[test]
fn an_ephemeral_model_that_many_ways_lead_to_is_compiled_once() {
    let pair = Pair::new("shop", "bakery.duckdb");
    let ephemeral = "{{ config(materialized='ephemeral') }}";
    // Each step doubles the ways to the first.
    let steps = 16;
    for side in ["left", "right"] {
        pair.write(&format!("models/ladder/{side}_0.sql"), &format!("{ephemeral} select 1 as a"));
        for step in 1..steps {
            let below = step - 1;
            let text = format!(
                "{ephemeral} select * from {{{{ ref('left_{below}') }}}} union all select * from {{{{ ref('right_{below}') }}}}"
            );
            pair.write(&format!("models/ladder/{side}_{step}.sql"), &text);
        }
    }
    let last = steps - 1;
    pair.write(
        "models/ladder/ladder_top.sql",
        &format!("select count(*) as a from {{{{ ref('left_{last}') }}}}"),
    );
    pair.both(&["run", "--select", "ladder_top"]);
}

#[test]
fn rows_are_found_by_several_keys_by_none_and_by_conditions_as_with_dbt() {
    let pair = Pair::new("shop", "bakery.duckdb");
    let model = |name: &str, config: &str| {
        let text = format!(
            "{{{{ config(materialized='incremental', {config}) }}}}\n\
             select * from (values (1, 'a', {{{{ var('now') }}}}), (1, null, 2), (2, 'b', {{{{ var('now') }}}})) as t(id, part, amount)"
        );
        pair.write(&format!("models/kept/{name}.sql"), &text);
    };
    model("two_keys", "unique_key=['id', 'part']");
    model("one_of_a_list", "unique_key=['part']");
    model("one_key", "unique_key='part', incremental_predicates=['amount < 5 or id = 9']");
    model(
        "two_keys_if",
        "unique_key=['id', 'part'], incremental_predicates=['DBT_INCREMENTAL_TARGET.amount < 5']",
    );
    model("an_expression", "unique_key=\"coalesce(part, 'none')\"");
    model("merged", "unique_key='part', incremental_strategy='merge'");
    model("merged_if", "unique_key=['part'], incremental_strategy='merge', predicates=['DBT_INTERNAL_DEST.amount < 5 or DBT_INTERNAL_DEST.id = 9']");
    model("merged_without", "incremental_strategy='merge'");
    model("appended", "incremental_strategy='append', unique_key='id'");
    for now in ["1", "10", "20"] {
        pair.both(&["run", "--select", "kept", "--vars", &format!("{{now: {now}}}")]);
    }
}

#[test]
fn a_table_whose_query_gets_other_columns_is_as_dbt_leaves_it() {
    let pair = Pair::new("shop", "bakery.duckdb");
    let query = "{% if var('step') == 1 %}select * from (values (1, 'a', 1), (2, 'b', 2)) t(id, name, size)\n\
                 {% elif var('step') == 2 %}select * from (values (2, 'bb', true), (3, 'c', false)) t(id, name, fresh)\n\
                 {% elif var('step') == 3 %}select * from (values (3, 2.5::decimal(9,2), true), (4, 3, false)) t(id, size, fresh)\n\
                 {% else %}select * from (values ('5', 3.5::double, 7)) t(id, size, fresh){% endif %}";
    for change in ["ignore", "fail", "append_new_columns", "sync_all_columns"] {
        for (name, more) in [
            ("plain", ""),
            ("keyed", ", unique_key='id'"),
            ("merged", ", unique_key='id', incremental_strategy='merge'"),
        ] {
            let config =
                format!("{{{{ config(materialized='incremental', on_schema_change='{change}'{more}) }}}}");
            pair.write(&format!("models/grown/{change}_{name}.sql"), &format!("{config}\n{query}"));
        }
    }
    for step in 1..=4 {
        pair.both(&["run", "--select", "grown", "--vars", &format!("{{step: {step}}}")]);
    }
    let told = pair.ours(&["run", "--select", "fail_plain", "--vars", "{step: 2}"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    for words in ["only the query has `fresh` BOOLEAN", "only the table has `size`", "on_schema_change"] {
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn macros_are_called_rows_shown_and_targets_cleaned_as_with_dbt() {
    let pair = Pair::new("shop", "bakery.duckdb");
    pair.write(
        "macros/called.sql",
        "{% macro made(name, n=1) %}{% do run_query('create table ' ~ name ~ ' as select ' ~ n ~ ' as n') %}{{ return(3) }}{% endmacro %}\n\
         {% macro stated(name) %}{% call statement('x') %}create table {{ name }} as select 1 as n{% endcall %}{% endmacro %}\n\
         {% macro committed(name) %}{{ stated(name) }}{% do adapter.commit() %}{{ stated(name ~ 2) }}{% endmacro %}\n\
         {% macro halfway() %}{{ made('half') }}{% do run_query('select no_such_column') %}{% endmacro %}\n\
         {% macro of_graph() %}{{ made('told', graph.nodes | length ~ \", '\" ~ ref('stg_sales') ~ \"'\") }}{% endmacro %}",
    );
    // All of it: dbt's show runs the tests of what it shows, on what they read.
    pair.both(&["build"]);
    for arguments in [
        &["made", "--args", "{name: a, n: 5}"][..],
        &["bakery.made", "--args", "{name: b}"],
        &["made", "--args", "{name: b}"],
        &["stated", "--args", "{name: c}"],
        &["committed", "--args", "{name: d}"],
        &["halfway"],
        &["of_graph"],
    ] {
        pair.both(&[&["run-operation"], arguments].concat());
    }
    let same = |arguments: &[&str]| {
        let (theirs, ours) = (pair.dbt(arguments), pair.ours(arguments));
        let told =
            format!("{}{}", String::from_utf8_lossy(&ours.stdout), String::from_utf8_lossy(&ours.stderr));
        assert_eq!(ours.status.code(), theirs.status.code(), "{}\n{told}", arguments.join(" "));
        (told, String::from_utf8_lossy(&theirs.stdout).into_owned())
    };
    let (told, _) = same(&["run-operation", "mad", "--args", "{name: z}"]);
    assert!(told.contains("did you mean `made`?"), "{told}");
    for query in ["--select stg_sales", "--select stg_sales --limit 2", "--select stg_patrons --limit -1"] {
        let words =
            [&["--quiet", "show", "--output", "json"], &query.split(' ').collect::<Vec<_>>()[..]].concat();
        let (ours, theirs) = same(&words);
        let rows = |text: &str| -> Value {
            let json: Value = serde_json::from_str(&text[text.find(['{', '[']).unwrap()..]).unwrap();
            json.get("show").cloned().unwrap_or(json)
        };
        assert_eq!(rows(&ours), rows(&theirs), "{query}");
    }
    let (told, _) =
        same(&["show", "--inline", "select count(*) as n from {{ source('bakery_raw', 'none') }}"]);
    assert!(told.contains("the table `none`"), "{told}");
    let ours = pair.ours(&[
        "show",
        "--inline",
        "select patron_id, count(*) as n from {{ ref('stg_sales') }} group by all order by all limit 1",
    ]);
    assert_eq!(
        String::from_utf8_lossy(&ours.stdout),
        "| patron_id | n |\n| --------- | - |\n|         1 | 2 |\n"
    );
    same(&["show"]);
    assert!(pair.at("ours").join("target").exists());
    same(&["clean"]);
    assert!(!pair.at("ours").join("target").exists() && pair.at("ours").join("models").exists());
    let project = fs::read_to_string(pair.at("ours").join("dbt_project.yml")).unwrap();
    for wrong in ["models", "../outside", "."] {
        pair.write(
            "dbt_project.yml",
            &project.replace("clean-targets: [target]", &format!("clean-targets: [{wrong}]")),
        );
        let (told, _) = same(&["clean"]);
        assert!(told.contains("and is not removed"), "{told}");
    }
}

#[test]
fn what_failed_is_done_again_and_nothing_else() {
    let pair = Pair::new("shop", "bakery.duckdb");
    let (theirs, ours) = (pair.dbt(&["retry"]), pair.ours(&["retry"]));
    assert_eq!(ours.status.code(), theirs.status.code());
    assert!(String::from_utf8_lossy(&ours.stderr).contains("there is no previous run"));
    let loaves = fs::read_to_string(pair.at("ours").join("models/staging/stg_loaves.sql")).unwrap();
    pair.write("models/staging/stg_loaves.sql", "select no_such_column from {{ ref('loaves') }}");
    pair.both(&["build", "--vars", "{cents_per_unit: 10}", "--exclude", "no_negative_totals"]);
    pair.both(&["retry"]);
    pair.write("models/staging/stg_loaves.sql", &loaves);
    pair.both(&["retry", "--threads", "1"]);
    let (theirs, ours) = (pair.dbt(&["retry"]), pair.ours(&["retry"]));
    assert_eq!(ours.status.code(), theirs.status.code());
    // Ours goes on from what dbt has written.
    pair.write("models/staging/stg_loaves.sql", "select no_such_column from {{ ref('loaves') }}");
    pair.both(&["run", "--full-refresh"]);
    fs::copy(
        pair.at("theirs").join("target/run_results.json"),
        pair.at("ours").join("target/run_results.json"),
    )
    .unwrap();
    pair.write("models/staging/stg_loaves.sql", &loaves);
    pair.both(&["retry"]);
}

#[test]
fn after_the_first_failure_nothing_more_begins_and_empty_models_read_no_rows() {
    let pair = Pair::new("shop", "bakery.duckdb");
    pair.both(&["build", "--empty"]);
    pair.write("models/one.sql", "select 1 as a");
    pair.write("models/other.sql", "select no_such_column");
    pair.write("models/two.sql", "select * from {{ ref('one') }}");
    // What dbt had handed to its threads by then is built all the same and told as skipped, or not, as it happens: only how it ends is compared.
    let arguments = ["run", "--threads", "1", "--select", "one", "other", "two"];
    let fast = [&arguments[..], &["--fail-fast"]].concat();
    let (theirs, ours) = (pair.dbt(&fast), pair.ours(&fast));
    assert_eq!(ours.status.code(), theirs.status.code());
    let status = |name: &str| pair.statuses("ours")[name].0.clone();
    assert_eq!(
        ["one", "other", "two"].map(|name| status(&format!("model.bakery.{name}"))),
        ["success", "error", "skipped"]
    );
    pair.both(&arguments);
    assert_eq!(status("model.bakery.two"), "success");
}

#[test]
fn the_orchard_is_built_with_its_package_hooks_macros_and_incremental_model() {
    let pair = Pair::new("orchard", "orchard.duckdb");
    pair.both(&["seed"]);
    pair.both(&["run"]);
    pair.both(&["run"]);
    pair.both(&["build"]);
    pair.both(&["compile"]);
    pair.both(&["run", "--select", "@sold", "--vars", "{season: 2020, suffix: _given}", "--full-refresh"]);
    pair.both(&["test", "--store-failures", "--select", "trees_by_kind", "--indirect-selection", "cautious"]);
    let left_out = ["--exclude", "only_known_kinds", "test_type:unit"];
    pair.both(&[&["build", "--fail-fast", "--target", "prod"], &left_out[..]].concat());
}

#[test]
fn what_ends_dbt_ends_us_with_the_same_status() {
    let pair = Pair::new("shop", "bakery.duckdb");
    let same = |arguments: &[&str]| {
        let (theirs, ours) = (pair.dbt(arguments), pair.ours(arguments));
        let told = String::from_utf8_lossy(&ours.stderr).into_owned();
        assert_eq!(ours.status.code(), theirs.status.code(), "{}\n{told}", arguments.join(" "));
        told
    };
    assert!(same(&["run", "--select", "nothing_of_this_name"]).contains("does not match any enabled nodes"));
    assert!(same(&["run", "--target", "nowhere"]).contains("no target `nowhere`"));
    assert!(same(&["run", "--selector", "none"]).contains("no selector `none`"));
    pair.write("models/marts/bad.sql", "select * from {{ ref('stg_sale') }}");
    assert!(same(&["build"]).contains("did you mean `stg_sales`?"));
    pair.write("models/marts/bad.sql", "select {{ nosuch('x') }} as a");
    same(&["run", "--select", "bad"]);
    same(&["compile", "--select", "bad"]);
    pair.write("models/marts/bad.sql", "select 1 as a");
    let private =
        "models: [{name: bad, config: {access: private, group: g}}]\ngroups: [{name: g, owner: {name: o}}]\n";
    pair.write("models/marts/bad.yml", private);
    pair.write("models/marts/worse.sql", "select * from {{ ref('bad') }}");
    assert!(same(&["run"]).contains("`model.bakery.bad` is private"));
    pair.write("models/marts/worse.sql", "{{ config(group='g') }} select * from {{ ref('bad') }}");
    same(&["run"]);
    pair.write("seeds/loaves.csv", "loaf_id,name,price_cents,is_sweet\n10,Rye,420,false,more\n");
    same(&["seed", "--select", "loaves"]);
}

#[test]
fn what_dbt_has_and_we_have_not_is_refused_by_name() {
    let pair = Pair::new("shop", "bakery.duckdb");
    let refused = |output: &Output, word: &str| {
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("MS9108") && told.contains(word), "{told}");
    };
    for flag in ["--inline-direct", "--no-inject-ephemeral-ctes"] {
        refused(&pair.ours(&["build", flag]), &format!("dbt's `{flag}` is not supported yet"));
    }
    // What concerns dbt's own caches, logs and colours is taken, before the verb and behind it.
    pair.lists(&["--exclude-resource-type", "test", "seed", "--no-partial-parse"]);
    let query = "select * from {{ ref('stg_loaves') }}";
    let arguments =
        ["--no-version-check", "--log-level", "info", "compile", "--no-use-colors", "--inline", query];
    for output in [pair.dbt(&arguments), pair.ours(&arguments)] {
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && told.contains("from \"bakery\".\"main\".\"stg_loaves\""),
            "{told}"
        );
    }
    let mut command = pair.our_command(&["ls"]);
    refused(
        &command.env("DBT_EXPORT_SAVED_QUERIES", "1").output().unwrap(),
        "`DBT_EXPORT_SAVED_QUERIES` is not supported yet",
    );
    assert!(command
        .env("DBT_EXPORT_SAVED_QUERIES", "")
        .env("DBT_WARN_ERROR", "false")
        .status()
        .unwrap()
        .success());
}
