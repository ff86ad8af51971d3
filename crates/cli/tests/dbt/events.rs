//! What a run tells a program: the same events with the same fields as dbt.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::Pair;

/// Events that both tell; dbt tells more, of its own caches and connections.
const TOLD: &[&str] = &[
    "MainReportVersion",
    "FoundStats",
    "ConcurrencyLine",
    "NodeStart",
    "NodeFinished",
    "LogStartLine",
    "LogModelResult",
    "LogTestResult",
    "LogSeedResult",
    "LogSnapshotResult",
    "SkippingDetails",
    "PrintEvent",
    "JinjaLogInfo",
    "JinjaLogWarning",
    "FinishedRunningStats",
    "EndOfRunSummary",
    "RunResultFailure",
    "RunResultError",
    "RunResultWarning",
    "RunResultWarningMessage",
    "SQLCompiledPath",
    "StatsLine",
    "CommandCompleted",
    "NothingToDo",
    "NoNodesForSelectionCriteria",
];

fn events(pair: &Pair, side: &str, arguments: &[&str]) -> Vec<Value> {
    let output = if side == "ours" { pair.ours(arguments) } else { pair.dbt(arguments) };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let read =
        |line: &str| -> Value { serde_json::from_str(line).unwrap_or_else(|_| panic!("{side}: {line}")) };
    let all = text.lines().map(read);
    all.filter(|event| TOLD.contains(&event["info"]["name"].as_str().unwrap())).collect()
}

/// By node its events in order, with what they tell of it.
type OfNodes = BTreeMap<String, Vec<(String, Value)>>;

/// The order of events that are of no node, and by node the order of its own with what they tell of it.
fn told(events: &[Value]) -> (Vec<String>, OfNodes) {
    let (mut whole, mut nodes) = (Vec::new(), OfNodes::new());
    for event in events {
        let (info, data) = (&event["info"], &event["data"]);
        let name = format!(
            "{} {} {}",
            info["name"].as_str().unwrap(),
            info["code"].as_str().unwrap(),
            info["level"].as_str().unwrap()
        );
        let Some(node) = data.get("node_info").filter(|node| !node.is_null()) else {
            whole.push(name);
            continue;
        };
        let mut node = node.clone();
        for key in ["node_started_at", "node_finished_at"] {
            let said = node[key].as_str().unwrap();
            // To the microsecond, in UTC without a mark, as dbt writes it; a whole second has no fraction.
            assert!(said.is_empty() || (19..=26).contains(&said.len()) && !said.ends_with('Z'), "{said}");
            node[key] = Value::from(!said.is_empty());
        }
        let mut more = serde_json::Map::new();
        for key in ["status", "num_failures", "resource_type", "attached_node", "total", "num_models"] {
            more.extend(data.get(key).map(|value| (key.to_owned(), value.clone())));
        }
        let result = &data["run_result"];
        more.insert(
            "result".into(),
            serde_json::json!([
                result["status"],
                result["num_failures"],
                result["timing_info"].as_array().map(Vec::len)
            ]),
        );
        let id = node["unique_id"].as_str().unwrap().to_owned();
        nodes.entry(id).or_default().push((name, serde_json::json!({"node": node, "more": more})));
    }
    (whole, nodes)
}

#[test]
fn a_run_tells_programs_what_dbt_tells() {
    let pair = Pair::new("shop", "bakery.duckdb");
    pair.write("models/bad.sql", "{{ config(meta={'owner': 'me'}) }} select no_such_column");
    pair.write("models/behind.sql", "select * from {{ ref('bad') }}");
    pair.write(
        "models/speaks.sql",
        "{% if execute %}{{ print('printed') }}{% do exceptions.warn('careful') %}{% endif %} select 1 as a",
    );
    pair.write("tests/warns.sql", "{{ config(severity='warn') }} select 1 as a");
    pair.write("tests/fails.sql", "select 1 as a");
    pair.write(
        "snapshots/prices.sql",
        "{% snapshot prices %}{{ config(strategy='check', check_cols='all', unique_key='loaf_id') }} select * from {{ ref('loaves') }}{% endsnapshot %}",
    );
    let build = ["--log-format", "json", "--log-level", "debug", "build", "--threads", "1"];
    let (theirs, ours) = (events(&pair, "theirs", &build), events(&pair, "ours", &build));
    let (whole, nodes) = told(&ours);
    let (their_whole, their_nodes) = told(&theirs);
    assert_eq!(whole, their_whole);
    for (id, theirs) in &their_nodes {
        assert_eq!(nodes.get(id), Some(theirs), "{id}");
    }
    assert_eq!(nodes.len(), their_nodes.len());
    let keys = |event: &Value| -> BTreeSet<String> { event.as_object().unwrap().keys().cloned().collect() };
    let of = |events: &[Value], name: &str| {
        events.iter().find(|event| event["info"]["name"] == name).unwrap().clone()
    };
    for name in TOLD {
        let Some(theirs) = theirs.iter().find(|event| event["info"]["name"] == *name) else { continue };
        let ours = of(&ours, name);
        assert_eq!(keys(&ours["info"]), keys(&theirs["info"]), "{name}");
        let missing: Vec<String> = keys(&theirs["data"]).difference(&keys(&ours["data"])).cloned().collect();
        assert!(missing.is_empty(), "{name}: {missing:?}");
    }
    for name in ["StatsLine", "EndOfRunSummary", "ConcurrencyLine"] {
        assert_eq!(of(&ours, name)["data"], of(&theirs, name)["data"], "{name}");
    }
    let ids: BTreeSet<&str> =
        ours.iter().map(|event| event["info"]["invocation_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 1);
    // Without asking for more, no node is followed; what is not so important can be left out.
    let less = events(&pair, "ours", &["--log-format", "json", "run", "-s", "speaks"]);
    assert!(less.iter().all(|event| event["info"]["name"] != "NodeFinished"));
    let least = events(
        &pair,
        "ours",
        &["run", "--log-format", "json", "--log-level", "error", "-s", "speaks", "bad"],
    );
    assert!(
        least.iter().all(|event| event["info"]["level"] == "error" || event["info"]["name"] == "PrintEvent"),
        "{least:?}"
    );
    let nothing = ["--log-format", "json", "run", "-s", "nobody"];
    assert_eq!(told(&events(&pair, "ours", &nothing)).0, told(&events(&pair, "theirs", &nothing)).0);
}
