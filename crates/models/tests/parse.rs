//! Projects parsed here and by dbt: the same nodes with the same names, configurations and edges, and the same selections.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test fails; clippy exempts only the test functions themselves"
)]

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use millstream_models::{
    artifacts,
    parse::node::Resource,
    parse::{self, Manifest},
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
    for key in [
        "created_at",
        "root_path",
        "build_path",
        "compiled_path",
        "extra_ctes",
        "extra_ctes_injected",
        "contract",
    ] {
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
        manifest.nodes.values().map(|node| (node.unique_id.as_str(), artifacts::any_json(node))).collect();
    let sections = ["nodes", "unit_tests"].map(|section| theirs[section].as_object().unwrap().iter());
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
    let arguments: Vec<Vec<String>> = selections
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.trim().split(' ').map(|word| word.replace('·', " ")).collect())
        .collect();
    let runs: Vec<Vec<String>> =
        arguments.iter().map(|arguments| [vec!["ls".to_owned()], arguments.clone()].concat()).collect();
    let theirs = dbt(dir.path(), &runs, &[]);
    assert_eq!(theirs["failed"], Json::Null);
    let mut found = compare_manifest(&manifest, &theirs["manifest"]);
    for (arguments, answer) in arguments.iter().zip(theirs["answers"].as_array().unwrap()) {
        let mut answer: Option<Vec<String>> = serde_json::from_value(answer.clone()).unwrap();
        if let Some(names) = &mut answer {
            names.sort();
        }
        let ours = select(&manifest, arguments);
        // dbt ends a selection of nothing without an answer.
        if ours.clone().unwrap_or_default() != answer.clone().unwrap_or_default() {
            found.push(format!("ls {}\n  ours {ours:?}\n  dbt's {answer:?}", arguments.join(" ")));
        }
    }
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
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
         --select path:models/core/*.sql\n--select path:models/**/*.sql\n--select models/properties.yml",
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
