//! Arguments, exit codes and the verbs that need no source.

use std::{fs, path::Path, process::Command};

use crate::support::{millstream, transcript};

fn run(dir: &Path, arguments: &[&str]) -> String {
    transcript(dir, &millstream(dir).args(arguments).output().unwrap())
}

#[test]
fn bad_arguments_end_with_2_and_say_what_was_meant() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = String::new();
    for arguments in [
        &["statsu"][..],
        &["status", "--quite"],
        &["sql"],
        &["status", "--format", "xml"],
        &["--json", "--format", "csv", "status"],
        &["completions", "fsh"],
    ] {
        all.push_str(&format!("=== {}\n{}\n", arguments.join(" "), run(dir.path(), arguments)));
    }
    insta::assert_snapshot!("bad_arguments", all);
    assert_eq!(millstream(dir.path()).output().unwrap().status.code(), Some(2));
}

#[test]
fn init_makes_a_project_once_and_overwrites_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let shop = dir.path().join("my shop");
    fs::create_dir(&shop).unwrap();
    fs::write(shop.join(".gitignore"), "target/\n.env").unwrap();
    let said = run(dir.path(), &["init", "my shop"]) + &run(dir.path(), &["init", "my shop"]);
    insta::assert_snapshot!("init", said);
    assert_eq!(fs::read_to_string(shop.join(".gitignore")).unwrap(), "target/\n.env\ndata/\n");
    let text = fs::read_to_string(shop.join("millstream.yml")).unwrap();
    assert!(text.contains("name: my_shop\n"));
}

#[test]
fn the_schemas_in_the_repository_are_those_that_are_printed() {
    let folder = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../../schema");
    let print = |arguments: &[&str]| {
        let output = millstream(Path::new(".")).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    for (of, file) in
        [("project", "millstream"), ("dashboard", "dashboard"), ("endpoint", "endpoint"), ("query", "query")]
    {
        let kept = fs::read_to_string(folder.join(format!("{file}.schema.json"))).unwrap();
        let again = format!("write it anew: millstream schema {of} > schema/{file}.schema.json");
        assert_eq!(print(&["schema", of]), kept, "{again}");
    }
    assert_eq!(print(&["schema"]), print(&["schema", "project"]));
}

#[test]
fn completions_are_printed_for_each_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let output = millstream(Path::new(".")).args(["completions", shell]).output().unwrap();
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains("until-caught-up"));
    }
}

#[test]
fn a_project_that_never_ran_has_a_status_and_no_warehouse() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("millstream.yml"),
        "version: 1\nname: shop\nsource: {postgres: {url: \"postgres://u@localhost:1/d\"}}\n",
    )
    .unwrap();
    let output = millstream(dir.path()).args(["status", "--json"]).output().unwrap();
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&status["name"], &status["state"]), (&"shop".into(), &"paused".into()));
    assert_eq!(status["tables"], serde_json::json!([]));
    insta::assert_snapshot!("no_warehouse", run(dir.path(), &["sql", "SELECT 1"]));
}

/// `millstream … | head` ends as quietly as anything in a pipe.
#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let binary = env!("CARGO_BIN_EXE_millstream");
    let piped = format!("{{ {binary} schema; echo $? >&2; }} | sh -c 'exec <&-; sleep 0.2'");
    let output = Command::new("sh").arg("-c").arg(piped).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "0\n");
}
