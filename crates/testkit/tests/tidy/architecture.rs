//! Who may know whom. The table is ARCHITECTURE.md's; the two change together.

use crate::tree::{assert_none, packages};

/// A room, and the rooms that it may depend on.
const EDGES: &[(&str, &[&str])] = &[
    ("millstream-core", &[]),
    ("millstream-pgoutput", &["millstream-core"]),
    ("millstream-source", &["millstream-core", "millstream-pgoutput"]),
    ("millstream-log", &["millstream-core", "millstream-pgoutput"]),
    ("millstream-apply", &["millstream-core", "millstream-pgoutput"]),
    ("millstream-warehouse", &["millstream-core"]),
    ("millstream-store", &["millstream-core"]),
    ("millstream-models", &["millstream-core"]),
    ("millstream-postgres", &["millstream-core", "millstream-source"]),
    ("millstream-traces", &[]),
    ("millstream-api", &["millstream-core", "millstream-pgoutput", "millstream-store"]),
    (
        "millstream",
        &[
            "millstream-core",
            "millstream-pgoutput",
            "millstream-source",
            "millstream-log",
            "millstream-apply",
            "millstream-warehouse",
            "millstream-api",
            "millstream-store",
            "millstream-models",
            "millstream-postgres",
            "millstream-traces",
        ],
    ),
    ("millstream-testkit", &[]),
    // Measures the program from outside and the rooms alone; never shipped, so it may know the test kit.
    (
        "millstream-bench",
        &[
            "millstream-core",
            "millstream-pgoutput",
            "millstream-source",
            "millstream-log",
            "millstream-apply",
            "millstream-warehouse",
            "millstream-testkit",
        ],
    ),
];

/// Edges of tests alone: what stands on a port is tried over a real thing behind it.
const TEST_EDGES: &[(&str, &str)] = &[("millstream-api", "millstream-warehouse")];

/// Crates that speak to the world, and the only rooms that may have them, tests included.
const VENDORS: &[(&str, &[&str])] = &[
    ("duckdb", &["millstream-warehouse"]),
    ("libduckdb-sys", &["millstream-warehouse"]),
    ("tokio-postgres", &["millstream-source"]),
    ("postgres-protocol", &["millstream-source"]),
    ("rustls", &["millstream-source", "millstream-api", "millstream-traces"]),
    ("opentelemetry", &["millstream-traces"]),
    ("opentelemetry_sdk", &["millstream-traces"]),
    ("opentelemetry-proto", &["millstream-traces"]),
    ("tracing-opentelemetry", &["millstream-traces"]),
    ("rusqlite", &["millstream-store"]),
];

/// Rooms that do no I/O: none of these may be among their dependencies.
const PURE: &[&str] = &["millstream-core", "millstream-pgoutput"];
const IO: &[&str] = &["tokio", "libc", "tempfile", "rusqlite", "reqwest", "hyper"];

struct Edge {
    from: String,
    to: String,
    dev: bool,
}

fn edges() -> Vec<Edge> {
    packages(true)
        .flat_map(|package| {
            package["dependencies"].as_array().unwrap().iter().map(move |dependency| Edge {
                from: package["name"].as_str().unwrap().to_owned(),
                to: dependency["name"].as_str().unwrap().to_owned(),
                dev: dependency["kind"] == "dev",
            })
        })
        .collect()
}

fn allowed(edge: &Edge) -> bool {
    let rooms = EDGES.iter().find(|(room, _)| *room == edge.from).map_or(&[][..], |(_, rooms)| rooms);
    let ours = edge.to == "millstream" || edge.to.starts_with("millstream-");
    let for_tests =
        edge.to == "millstream-testkit" || TEST_EDGES.contains(&(edge.from.as_str(), edge.to.as_str()));
    !ours || rooms.contains(&edge.to.as_str()) || (edge.dev && for_tests)
}

#[test]
fn a_room_knows_only_those_it_may() {
    let found = edges().into_iter().filter(|edge| !allowed(edge));
    let found = found.map(|edge| format!("{} must not depend on {}", edge.from, edge.to)).collect();
    assert_none("see the table in ARCHITECTURE.md", found);
}

#[test]
fn every_room_is_in_the_table() {
    let unknown = packages(true).filter_map(|package| {
        let name = package["name"].as_str().unwrap();
        (!EDGES.iter().any(|(room, _)| *room == name)).then(|| name.to_owned())
    });
    assert_none(
        "a new crate needs a decision record, and a row in ARCHITECTURE.md and here",
        unknown.collect(),
    );
}

#[test]
fn a_vendor_is_known_by_one_room() {
    let found = edges().into_iter().filter(|edge| {
        let vendor = VENDORS.iter().find(|(vendor, _)| *vendor == edge.to);
        vendor
            .is_some_and(|(_, rooms)| !rooms.contains(&edge.from.as_str()) && edge.from != "millstream-bench")
    });
    let found = found.map(|edge| format!("{} must not depend on {}", edge.from, edge.to)).collect();
    assert_none("vendors are kept behind the ports", found);
}

#[test]
fn pure_rooms_depend_on_nothing_that_does_io() {
    let found = edges()
        .into_iter()
        .filter(|edge| !edge.dev && PURE.contains(&edge.from.as_str()) && IO.contains(&edge.to.as_str()));
    let found = found.map(|edge| format!("{} depends on {}", edge.from, edge.to)).collect();
    assert_none("core and pgoutput do no I/O", found);
}

#[test]
fn every_room_inherits_the_lints() {
    let found = packages(true).filter_map(|package| {
        let path = package["manifest_path"].as_str().unwrap();
        let manifest = std::fs::read_to_string(path).unwrap();
        (!manifest.contains("[lints]\nworkspace = true")).then(|| path.to_owned())
    });
    assert_none("add `[lints]` with `workspace = true`", found.collect());
}
