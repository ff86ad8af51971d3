//! Projects parsed here and by dbt: the same nodes with the same names, configurations and edges, and the same selections.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test fails; clippy exempts only the test functions themselves"
)]

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use millstream_models::{
    artifacts,
    parse::{self, calls, node::Resource, Manifest},
    project::{Options, Project},
    select::{is_listed, yaml::Selectors, Graph, Indirect, Selector, Spec},
};
use serde_json::{json, Value as Json};

const ORACLE: &str = include_str!("dbt/oracle.py");

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A copy of a project, for dbt writes into it.
fn copy(name: &str) -> tempfile::TempDir {
    fn walk(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let target = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                walk(&entry.path(), &target);
            } else {
                fs::copy(entry.path(), target).unwrap();
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    walk(&root().join("tests/projects").join(name), dir.path());
    dir
}

fn dbt(project: &Path, runs: &[Vec<String>], flags: &[&str]) -> Json {
    let python = root().join("../../.tools/clients/dbt/bin/python");
    assert!(python.exists(), "dbt is not there: run scripts/clients");
    let mut child = Command::new(python)
        .args(["-c", ORACLE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let job = json!({"project": project, "runs": runs, "flags": flags});
    child.stdin.take().unwrap().write_all(job.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn options(dir: &Path) -> Options {
    Options {
        project_dir: dir.to_owned(),
        env: std::env::vars().collect(),
        which: "parse".into(),
        ..Options::default()
    }
}

fn ours(dir: &Path) -> millstream_models::Result<Manifest> {
    parse::parse(Project::read(options(dir))?)
}

/// What differs by design: when it was parsed, where it lies, and what dbt's own macros call.
fn comparable(node: &Json) -> Json {
    let mut node = node.clone();
    let map = node.as_object_mut().unwrap();
    for key in ["created_at", "root_path", "build_path", "compiled_path", "extra_ctes", "extra_ctes_injected"]
    {
        map.remove(key);
    }
    // A unit test's is one of Python's text of its values.
    if map.get("resource_type") == Some(&json!("unit_test")) {
        map.remove("checksum");
    }
    // Which of dbt's own macros a node calls is told as dbt tells it; the order is no promise.
    if let Some(Json::Array(macros)) = map.get_mut("depends_on").and_then(|on| on.get_mut("macros")) {
        macros.sort_by_key(|name| name.as_str().map(str::to_owned));
    }
    if let Some(Json::Array(nodes)) = map.get_mut("depends_on").and_then(|on| on.get_mut("nodes")) {
        nodes.sort_by_key(|name| name.as_str().map(str::to_owned));
    }
    // Several columns that make a key come in the order of a Python set.
    if let Some(Json::Array(columns)) = map.get_mut("primary_key") {
        columns.sort_by_key(|name| name.as_str().map(str::to_owned));
    }
    node
}

fn differences(path: &str, ours: &Json, theirs: &Json, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Json::Object(left), Json::Object(right)) => {
            for key in left.keys().chain(right.keys().filter(|key| !left.contains_key(*key))) {
                let at = format!("{path}.{key}");
                match (left.get(key), right.get(key)) {
                    (Some(left), Some(right)) => differences(&at, left, right, found),
                    (left, right) => found.push(format!("{at}: ours {left:?}, dbt's {right:?}")),
                }
            }
        }
        _ if ours == theirs => {}
        _ => found.push(format!("{path}: ours {ours}, dbt's {theirs}")),
    }
}

fn compare_manifest(manifest: &Manifest, theirs: &Json) -> Vec<String> {
    let mut found = Vec::new();
    let ours: BTreeMap<&str, Json> =
        manifest.all().map(|node| (node.unique_id.as_str(), artifacts::any_json(node))).collect();
    let sections =
        ["nodes", "unit_tests", "sources", "exposures"].map(|section| theirs[section].as_object().unwrap());
    let theirs: BTreeMap<&str, &Json> =
        sections.into_iter().flatten().map(|(id, node)| (id.as_str(), node)).collect();
    // A test of what is disabled stays among dbt's nodes, disabled.
    let theirs: BTreeMap<&str, &Json> =
        theirs.into_iter().filter(|(_, node)| node["config"]["enabled"] != json!(false)).collect();
    for id in ours.keys().filter(|id| !theirs.contains_key(*id)) {
        found.push(format!("{id}: not in dbt's"));
    }
    for id in theirs.keys().filter(|id| !ours.contains_key(*id)) {
        found.push(format!("{id}: only in dbt's"));
    }
    for (id, node) in &ours {
        if let Some(other) = theirs.get(id) {
            differences(id, &comparable(node), &comparable(other), &mut found);
        }
    }
    found
}

/// Which macros those of the project call.
fn compare_calls(manifest: &Manifest, theirs: &Json) -> Vec<String> {
    let world = &manifest.world;
    let own = world.macros.all.iter().filter(|entry| entry.package != "dbt");
    let told = own.map(|entry| {
        let mut ours = calls::calls(world, entry);
        let mut other: Vec<String> =
            serde_json::from_value(theirs["macros"][&entry.unique_id]["depends_on"]["macros"].clone())
                .unwrap();
        ours.sort();
        other.sort();
        (ours != other).then(|| format!("{} calls: ours {ours:?}, dbt's {other:?}", entry.unique_id))
    });
    told.flatten().collect()
}

fn select(manifest: &Manifest, arguments: &[String]) -> Option<Vec<String>> {
    let graph = Graph::of(manifest);
    let (mut select, mut exclude, mut types) = (Vec::new(), Vec::new(), Vec::new());
    let mut indirect = Indirect::Eager;
    let mut selector = None;
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let value = rest.next().unwrap().clone();
        match flag.as_str() {
            "--select" => select.push(value),
            "--exclude" => exclude.push(value),
            "--selector" => selector = Some(value),
            "--resource-type" => types.push(value),
            _ => indirect = Indirect::parse(&value).unwrap(),
        }
    }
    let spec = match selector {
        Some(name) => {
            let dir = &manifest.world.project.options.project_dir;
            Selectors::read(dir, indirect).unwrap().get(&name).unwrap().clone()
        }
        None => Spec::parse(&select, &exclude, indirect).ok()?,
    };
    let ids = Selector::new(manifest, &graph).select(&spec).ok()?;
    let mut names: Vec<String> = ids
        .iter()
        .map(|id| manifest.get(id).unwrap())
        .filter(|node| {
            let wanted = |kind: &String| kind == node.resource.name();
            match types.iter().any(|kind| kind == "all") {
                true => node.resource != Resource::Operation,
                false if types.is_empty() => is_listed(node.resource),
                false => types.iter().any(wanted),
            }
        })
        .map(millstream_models::select::listed_name)
        .collect();
    names.sort();
    Some(names)
}

fn compare(name: &str, selections: &str) {
    let dir = copy(name);
    let manifest = ours(dir.path()).unwrap_or_else(|error| panic!("{}", error.describe()));
    let arguments = listings(selections);
    let runs: Vec<Vec<String>> =
        arguments.iter().map(|arguments| [vec!["ls".to_owned()], arguments.clone()].concat()).collect();
    let theirs = dbt(dir.path(), &runs, &[]);
    assert_eq!(theirs["failed"], Json::Null);
    let mut found = compare_manifest(&manifest, &theirs["manifest"]);
    found.extend(compare_calls(&manifest, &theirs["manifest"]));
    found.extend(compare_lists(&manifest, &arguments, &theirs["answers"]));
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

fn compare_lists(manifest: &Manifest, arguments: &[Vec<String>], answers: &Json) -> Vec<String> {
    let mut found = Vec::new();
    for (arguments, answer) in arguments.iter().zip(answers.as_array().unwrap()) {
        let mut answer: Option<Vec<String>> = serde_json::from_value(answer.clone()).unwrap();
        if let Some(names) = &mut answer {
            names.sort();
        }
        let ours = select(manifest, arguments);
        // dbt ends a selection of nothing without an answer.
        if ours.clone().unwrap_or_default() != answer.clone().unwrap_or_default() {
            found.push(format!("ls {}\n  ours {ours:?}\n  dbt's {answer:?}", arguments.join(" ")));
        }
    }
    found
}

/// The arguments of each run of `ls`, a line each.
fn listings(lines: &str) -> Vec<Vec<String>> {
    lines
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.trim().split(' ').map(|word| word.replace('·', " ")).collect())
        .collect()
}

#[test]
fn the_bakery_is_parsed_as_dbt_parses_it() {
    compare(
        "shop",
        "--select stg_sales+\n--select +patron_totals --exclude tag:staging\n--select test_type:singular",
    );
}

#[test]
fn the_orchard_is_parsed_and_selected_as_dbt_does_it() {
    compare(
        "orchard",
        "--resource-type all\n--select harvest\n--select +harvest\n--select harvest+\n--select 1+harvest+1\n--select @sold\n\
         --select tag:nightly\n--select tag:nightly,tag:sold\n--select tag:deep·tag:sold\n--select path:models/core\n\
         --select models/core/deep\n--select models/core/deep/harvest.sql\n--select harvest.sql\n--select file:harvest*\n\
         --select source:market\n--select source:market.sales+\n--select source:*.unused\n--select exposure:harvest_report\n\
         --select +exposure:harvest_report\n--select config.materialized:table\n--select config.meta.level:2\n\
         --select config.tags:deep\n--select config.severity:WARN\n--select package:tools\n--select package:this\n\
         --select tools\n--select tools.calendar\n--select orchard.core\n--select core.*\n--select *kind*\n\
         --select group:growers\n--select access:public\n--select resource_type:seed\n--select test_type:generic\n\
         --select test_type:singular\n--select test_name:not_null\n--select test_name:*positive\n\
         --select trees_by_kind --indirect-selection cautious\n--select trees_by_kind --indirect-selection buildable\n\
         --select trees_by_kind --indirect-selection empty\n--select kinds·trees_by_kind --indirect-selection cautious\n\
         --select harvest --exclude harvest\n--exclude tag:core\n--select nothing_of_this_name\n--selector nightly\n\
         --selector mixed\n--selector again\n--select 2+latest\n--select latest+5\n--select seeds\n--select orchard\n\
         --resource-type model\n--resource-type test --select harvest+\n--resource-type source\n--resource-type exposure\n\
         --select analyses\n--select path:analyses\n--select tag:important\n--select tag:key\n--select tag:report\n--select tag:outside\n\
         --select pruned\n--select pruned.v1\n--select pruned_v1\n--select pruned.v2+\n--select orchard.kept.pruned.vbeta\n--select prun*\n\
         --select v1\n--select pruned_v10.5\n--select pruned.v10.5\n--select kept\n--select orchard.kept.pruned\n--select version:latest\n\
         --select version:old\n--select version:prerelease\n--select version:none\n--select pruned,version:latest\n--select tag:promised\n\
         --select path:models/core/*.sql\n--select path:models/**/*.sql\n--select models/properties.yml\n--resource-type unit_test\n\
         --select unit_test:every*\n--select unit_test:how_is_told\n--select how_is_told_v2\n--select test_type:unit,version:none",
    );
}

#[test]
fn the_cellar_and_its_snapshots_are_parsed_as_dbt_parses_them() {
    compare(
        "cellar",
        "--resource-type all\n--resource-type snapshot\n--select resource_type:snapshot\n--select casks_by_time+\n--select +bottles\n\
         --select tag:history\n--select config.meta.kept:long\n--select config.strategy:check\n--select path:snapshots/old\n\
         --select snapshots/casks.sql\n--select cellar.old\n--select cellar.casks\n--select file:casks.sql\n--select source:cellar+1\n\
         --select casks_by_columns --indirect-selection cautious\n--select models/properties.yml\n\
         --resource-type unit_test\n--select drained\n--select test_type:unit\n--select unit_test:what_is_drawn*\n\
         --select tag:quick\n--select drained --indirect-selection cautious\n--select resource_type:unit_test\n--select models/unit.yml",
    );
}

/// A project is told in a manifest, once by dbt and once by us; then it changes, and what is taken for changed is compared. `changes` are files with what is in
/// them and what takes its place.
fn compare_changes(name: &str, changes: &[[&str; 3]], lists: &str) {
    let dir = copy(name);
    let at = |path: &str| dir.path().join(path);
    let mut theirs = dbt(dir.path(), &[], &[])["manifest"].clone();
    // The time of parsing tells nothing.
    theirs["metadata"]["generated_at"] = Json::from("2024-01-01T00:00:00Z");
    let before = ours(dir.path()).unwrap();
    let told: Json =
        serde_json::from_str(&artifacts::manifest(&before, &HashMap::new(), 0.0).unwrap()).unwrap();
    for (name, manifest) in [("theirs", &theirs), ("ours", &told)] {
        fs::create_dir_all(at(name)).unwrap();
        fs::write(at(name).join("manifest.json"), manifest.to_string()).unwrap();
    }
    for [path, from, to] in changes {
        let text = fs::read_to_string(at(path)).unwrap_or_default();
        assert!(text.contains(from), "{path} has no {from}");
        fs::write(at(path), if from.is_empty() { (*to).to_owned() } else { text.replace(from, to) }).unwrap();
    }
    let arguments = listings(lists);
    let flags = ["ls", "--state", "theirs"].map(str::to_owned).to_vec();
    let runs: Vec<Vec<String>> = arguments.iter().map(|arguments| [&flags[..], arguments].concat()).collect();
    let answers = dbt(dir.path(), &runs, &[])["answers"].clone();
    for state in ["theirs", "ours"] {
        let options = Options { state: Some(state.into()), ..options(dir.path()) };
        let manifest = parse::parse(Project::read(options).unwrap()).unwrap();
        let found = compare_lists(&manifest, &arguments, &answers);
        assert!(found.is_empty(), "{state}:\n{}", found.join("\n"));
    }
}

#[test]
fn what_has_changed_since_a_manifest_was_written_is_what_dbt_takes_for_changed() {
    compare_changes(
        "orchard",
        &[
            ["models/core/latest.sql", "where kind", "where true and kind"],
            ["models/raw/sold.sql", "'nightly'", "'weekly'"],
            ["models/raw/trees_clean.sql", "select", "{{ config(meta={'a': 1}) }} select"],
            ["macros/names.sql", "range(3)", "range(4)"],
            ["macros/names.sql", "_mine", "_ours"],
            ["dbt_packages/tools/macros/tools.sql", "'%s' % part", "'%s' % part | upper"],
            ["dbt_project.yml", "+schema: tools", "+schema: tools_of_others"],
            ["seeds/trees.csv", "2,pear", "2,plum"],
            ["models/properties.yml", "identifier: trees", "identifier: trees_sold"],
            ["models/properties.yml", "email: ann@example.com", "email: ann@example.org"],
            ["models/properties.yml", "access: public", "access: protected"],
            ["models/properties.yml", "warn_if: \">2\"", "warn_if: \">3\""],
            ["models/properties.yml", "tags: [important]", "tags: [unimportant]"],
            ["models/properties.yml", "Each sale.", "Every sale."],
            ["tests/no_negative.sql", "amount < 0", "amount <= 0"],
            ["models/core/fresh.sql", "", "select 1 as a"],
        ],
        "--select state:new\n--select state:old\n--select state:modified\n--select state:unmodified\n\
                 --select state:modified.body\n--select state:modified.configs\n--select state:modified.relation\n\
                 --select state:modified.macros\n--select state:modified.persisted_descriptions\n\
                 --select state:modified.contract\n--select state:modified+ --exclude state:new\n\
                 --select 1+state:modified.body+1\n--select state:modified,resource_type:test\n\
                 --select resource_type:source,state:modified·resource_type:exposure,state:modified\n\
                 --select state:modified --resource-type all",
    );
}

#[test]
fn a_snapshot_and_a_unit_test_that_have_changed_are_found() {
    compare_changes(
        "cellar",
        &[
            ["models/unit.yml", "litres: 50, vintage", "litres: 51, vintage"],
            ["snapshots/old/bottles.sql", "select", "select /* changed */"],
            ["snapshots/casks.sql", "alias='casks_checked'", "alias='casks_looked_at'"],
            ["seeds/casks.csv", "Syrah", "Merlot"],
        ],
        "--select state:modified\n--select state:modified.body\n--select state:modified.configs\n--select state:modified.relation\n\
         --select state:unmodified\n--select state:modified+",
    );
}
