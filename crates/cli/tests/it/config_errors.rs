//! Every way in which millstream.yml can be wrong, and what a person reads.

use std::fs;

use crate::support::{millstream, transcript};

/// What is wrong, the file, and variables set for it.
type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const CASES: &[Case] = &[
    ("not YAML", "version: 1\nname: [a\nsource: {}\n", &[]),
    ("a tab as indentation", "version: 1\nsource:\n\tpostgres: {}\n", &[]),
    ("two documents", "version: 1\n---\nversion: 1\n", &[]),
    ("an empty file", "", &[]),
    ("a list at the top", "- version: 1\n", &[]),
    ("a key twice", "version: 1\nname: a\nversion: 1\n", &[]),
    ("a misspelt key", "version: 1\nname: a\nsource: {postgres: {url: x, pubication: y}}\n", &[]),
    ("a key at the wrong place", "version: 1\nname: a\nslot: s\nsource: {postgres: {url: x}}\n", &[]),
    ("an unknown key", "version: 1\nname: a\nsource: {postgres: {url: x}}\nlog: {colour: red}\n", &[]),
    (
        "keys that are not built yet",
        "version: 1\nname: a\nsource: {postgres: {url: x}}\nlog: {kafka: {}}\n\
         warehouse: {clickhouse: {url: x}}\ntables: {\"*\": {columns: {mask: {a: hash}}}}\n",
        &[],
    ),
    (
        "traces to nowhere, with a secret beside",
        "version: 1\nname: a\nsource: {postgres: {url: x}}\ntraces: {endpoint: \"collector:4317\", sample: 2, headers: {api-key: hunter2}}\n",
        &[],
    ),
    (
        "traces by a protocol that is not spoken",
        "version: 1\nname: a\nsource: {postgres: {url: x}}\n",
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
    ),
    (
        "roles without keys",
        "version: 1\nname: a\nsource: {postgres: {url: x}}\napi: {roles: {clerk: {tables: [\"*\"]}}}\n",
        &[],
    ),
    ("keys without roles", "version: 1\nname: a\nsource: {postgres: {url: x}}\napi: {auth: keys}\n", &[]),
    (
        "roles that make no sense",
        "version: 1\nname: a\nsource: {postgres: {url: x}}\napi:\n  auth: keys\n  roles:\n    Clerk: {tables: [\"!a.b\"], endpoints: [orders]}\n    \
         boss:\n      admin: true\n      rows: {\"a.*\": \"true\"}\n      mask: {a.b: {c: hide, d: null}}\n",
        &[],
    ),
    (
        "a role that may do everything and may not",
        "version: 1\nname: a\nsource: {postgres: {url: x}}\napi:\n  auth: keys\n  roles:\n    Clerk: {}\n    boss: {admin: true, rows: {\"a.*\": \"true\"}}\n",
        &[],
    ),
    ("an address of other machines", "version: 1\nname: a\nsource: {postgres: {url: x}}\nserve: {http: \"0.0.0.0:8080\"}\n", &[]),
    (
        "clients of other machines without TLS",
        "version: 1\nname: a\nsource: {postgres: {url: x}}\nserve: {postgres: \"0.0.0.0:5433\"}\napi: {auth: keys, roles: {r: {sql: true}}}\n",
        &[],
    ),
    (
        "tokens that could be forged",
        "version: 1\nname: a\nsource: {postgres: {url: x}}\napi:\n  auth:\n    jwt:\n      audience: x\n      algorithms: [RS256, HS256]\n      key: a.pem\n      secret: short\n  roles: {r: {}}\n",
        &[],
    ),
    (
        "tokens without what is needed",
        "version: 1\nname: a\nsource: {postgres: {url: x}}\napi: {auth: {jwt: {algorithms: [none, RS256]}}, roles: {r: {}}}\n",
        &[],
    ),
    ("authentication of another kind", "version: 1\nname: a\nsource: {postgres: {url: x}}\napi: {auth: [keys]}\n", &[]),
    (
        "limits that let nobody in",
        "version: 1\nname: a\nsource: {postgres: {url: x}}\napi: {limits: {requests_per_second: 0, rows: 0, time: 0s}}\n",
        &[],
    ),
    (
        "limits of nothing",
        "version: 1\nname: a\nsource: {postgres: {url: x}}\napi: {limits: {requests_per_second: -1, time: 0s}}\n",
        &[],
    ),
    ("an origin that is none", "version: 1\nname: a\nsource: {postgres: {url: x}}\napi: {cors: [\"*\"]}\n", &[]),
    ("a port alone", "version: 1\nname: a\nsource: {postgres: {url: x}}\nserve: {http: 8080}\n", &[]),
    ("missing keys", "version: 1\nsource: {postgres:}\n", &[]),
    ("another version", "version: 2\nname: a\nsource: {postgres: {url: x}}\n", &[]),
    ("a bad name", "version: 1\nname: My Shop\nsource: {postgres: {url: x}}\n", &[]),
    ("a text where a list belongs", "version: 1\nname: a\nsource: {postgres: {url: x, tables: shop.*}}\n", &[]),
    ("a mapping where a text belongs", "version: 1\nname: a\nsource: {postgres: {url: {host: x}}}\n", &[]),
    ("a bad boolean", "version: 1\nname: a\nsource: {postgres: {url: x}}\ntables: {\"*\": {history: yes}}\n", &[]),
    ("a bad size", "version: 1\nname: a\nsource: {postgres: {url: x}}\nlog: {max_bytes: 50 parsecs}\n", &[]),
    ("a duration without unit", "version: 1\nname: a\nsource: {postgres: {url: x}}\nlog: {retention: 7}\n", &[]),
    (
        "a value_max that is too small",
        "version: 1\nname: a\nsource: {postgres: {url: x}}\ntables: {s.t: {on_unrepresentable: quarantine, value_max: 999}}\n",
        &[],
    ),
    (
        "a bad choice",
        "version: 1\nname: a\nsource: {postgres: {url: x}}\ntables: {s.t: {on_unrepresentable: widn}}\n",
        &[],
    ),
    (
        "a bad column type",
        "version: 1\nname: a\nsource: {postgres: {url: x}}\ntables: {s.t: {columns: {type: {a: decimal(40,2)}}}}\n",
        &[],
    ),
    ("table patterns", "version: 1\nname: a\nsource: {postgres: {url: x, tables: [\"!a.b\", orders]}}\n", &[]),
    ("an unset variable", "version: 1\nname: a\nsource: {postgres: {url: \"${DATABASE_URL}\"}}\n", &[]),
    ("a variable that is not closed", "version: 1\nname: a\nsource: {postgres: {url: \"${DATABASE_URL\"}}\n", &[]),
    (
        "a password on a line that is shown",
        "version: 1\nname: a\nsource: {postgres: {url: postgres://u:hunter2@h/d, slto: x}}\n",
        &[],
    ),
    (
        "an override of an unknown key",
        "version: 1\nname: a\nsource: {postgres: {url: x}}\n",
        &[("MILLSTREAM__WAREHOUSE__DUKDB", "x")],
    ),
    (
        "an override with a bad value",
        "version: 1\nname: a\nsource: {postgres: {url: x}}\n",
        &[("MILLSTREAM__LOG__MAX_BYTES", "much")],
    ),
];

#[test]
fn every_error_shows_its_line_and_says_what_to_do() {
    let mut all = String::new();
    for (what, text, variables) in CASES {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("millstream.yml"), text).unwrap();
        let output = millstream(dir.path()).arg("status").envs(variables.iter().copied()).output().unwrap();
        let said = transcript(dir.path(), &output);
        assert_eq!(output.status.code(), Some(2), "{what}\n{said}");
        assert!(!said.contains("hunter2"), "{said}");
        assert!(!dir.path().join("data").exists(), "{what}: something was written");
        all.push_str(&format!("=== {what}\n{said}\n"));
    }
    insta::assert_snapshot!("config_errors", all);
}

#[test]
fn as_json_an_error_is_an_object() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("millstream.yml"), "version: 1\nnmae: a\n").unwrap();
    let output = millstream(dir.path()).args(["--json", "status"]).output().unwrap();
    let said: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(said["error"]["code"], "MS1004");
    assert!(said["error"]["hint"].as_str().unwrap().contains("name"));
    assert!(output.stdout.is_empty());
}

#[test]
fn the_project_is_found_in_a_parent_directory_and_named_by_a_flag() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("a/b");
    fs::create_dir_all(&inner).unwrap();
    let lost = millstream(&inner).arg("status").output().unwrap();
    insta::assert_snapshot!("no_project", transcript(&inner, &lost));
    fs::write(dir.path().join("millstream.yml"), "version: 1\nname: a\nsource: {postgres: {url: x}}\n")
        .unwrap();
    assert_eq!(millstream(&inner).args(["status", "--json"]).output().unwrap().status.code(), Some(0));
    let elsewhere = tempfile::tempdir().unwrap();
    let named = millstream(elsewhere.path()).arg("status").arg("--project").arg(dir.path()).output().unwrap();
    assert_eq!(named.status.code(), Some(0));
    let wrong = millstream(dir.path()).args(["--project", "a", "status"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}
