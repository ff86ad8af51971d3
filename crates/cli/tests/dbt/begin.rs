//! How a project begins: `init`, and `debug`, which tells what is wrong with it.

use std::{fs, path::Path, process::Command, process::Output};

use crate::{copy, dbt, Pair};

pub(super) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The lines of `debug` that say what was found, without the time before them and the colours within.
pub(super) fn verdicts(output: &Output) -> Vec<String> {
    let plain = text(output).replace("\u{1b}[0m", "").replace("\u{1b}[32m", "").replace("\u{1b}[31m", "");
    let lines = plain.lines().map(|line| line.get(10..).unwrap_or_default().to_owned());
    lines
        .filter(|line| {
            line.ends_with(']')
                || ["All checks", "adapter type"].iter().any(|start| line.starts_with(start))
                || line.contains(" failed:")
                || ["  database:", "  schema:", "  path:"].iter().any(|start| line.starts_with(start))
        })
        .collect()
}

#[test]
fn what_is_wrong_with_profile_project_and_connection_is_told_as_dbt_tells_it() {
    let pair = Pair::new("shop", "bakery.duckdb");
    let same = |arguments: &[&str]| {
        let (theirs, ours) = (pair.dbt(arguments), pair.ours(arguments));
        assert_eq!(verdicts(&ours), verdicts(&theirs), "{}\n{}", text(&ours), text(&theirs));
        assert_eq!(ours.status.code(), theirs.status.code(), "{}\n{}", text(&ours), text(&theirs));
        text(&ours)
    };
    let told = same(&["debug"]);
    assert!(told.contains("All checks passed!"), "{told}");
    same(&["debug", "--connection"]);
    assert!(
        text(&pair.ours(&["debug", "--config-dir"])).contains("open "),
        "{}",
        text(&pair.ours(&["debug", "--config-dir"]))
    );
    let profiles = fs::read_to_string(pair.at("ours").join("profiles.yml")).unwrap();
    let project = fs::read_to_string(pair.at("ours").join("dbt_project.yml")).unwrap();
    assert!(same(&["debug", "--target", "nowhere"]).contains("no target `nowhere`"));
    assert!(same(&["debug", "--profile", "nobody"]).contains("no profile `nobody`"));
    assert!(same(&["debug", "--profiles-dir", "models"]).contains("ERROR not found"));
    pair.write("dbt_project.yml", &project.replace("name: bakery", "name: 1 bakery"));
    same(&["debug"]);
    pair.write("dbt_project.yml", &project);
    // A database that is no file of DuckDB's.
    pair.write("profiles.yml", &profiles.replace("bakery.duckdb", "dbt_project.yml"));
    assert!(same(&["debug"]).contains("Connection test: [ERROR]"));
    pair.write("profiles.yml", &profiles);
    for side in ["ours", "theirs"] {
        fs::remove_file(pair.at(side).join("dbt_project.yml")).unwrap();
    }
    // The only profile is meant where no project names one; of two none is.
    same(&["debug"]);
    pair.write(
        "profiles.yml",
        &format!(
            "{}\nsecond: {{target: a, outputs: {{a: {{type: duckdb, path: a.duckdb}}}}}}\n",
            profiles.trim_end()
        ),
    );
    // There dbt breaks off.
    let several = pair.ours(&["debug"]);
    assert!(
        several.status.code() == Some(1) && text(&several).contains("bakery, second"),
        "{}",
        text(&several)
    );
    for side in ["ours", "theirs"] {
        fs::remove_file(pair.at(side).join("profiles.yml")).unwrap();
    }
    same(&["debug", "--profiles-dir", "."]);
}

#[test]
fn programs_that_ask_for_dbts_version_are_told_the_one_that_is_done() {
    let pair = Pair::new("shop", "bakery.duckdb");
    let told = |output: &Output| -> Vec<String> {
        assert!(output.status.success(), "{}", text(output));
        let told = text(output);
        let versions = told.lines().filter_map(|line| line.trim().strip_prefix("- "));
        let plain = versions.filter(|line| !line.starts_with("latest"));
        let mut versions: Vec<String> =
            plain.map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect();
        versions.sort();
        versions
    };
    let ours = told(&pair.ours(&["--version"]));
    assert_eq!(ours, told(&pair.dbt(&["--no-use-colors", "--version"])));
    assert!(ours.len() == 3 && ours[1].starts_with("installed: 1."), "{ours:?}");
}

#[test]
fn settings_are_told_without_what_is_secret() {
    let pair = Pair::new("shop", "bakery.duckdb");
    let profiles = fs::read_to_string(pair.at("ours").join("profiles.yml")).unwrap();
    let settings = "      settings: {s3_secret_access_key: hush, memory_limit: 1GB}\n";
    fs::write(pair.at("ours").join("profiles.yml"), format!("{}\n{settings}", profiles.trim_end())).unwrap();
    let told = text(&pair.ours(&["debug"]));
    assert!(
        told.contains("s3_secret_access_key: ***, memory_limit: 1GB") && !told.contains("hush"),
        "{told}"
    );
}

#[test]
fn a_new_project_is_built_by_both_and_nothing_is_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let run = |program: &Path, dbt: &[&str], at: &str, arguments: &[&str]| {
        let at = dir.path().join(at);
        fs::create_dir_all(&at).unwrap();
        Command::new(program)
            .args(dbt)
            .args(arguments)
            .current_dir(at)
            .env("HOME", &home)
            .env("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
            .output()
            .unwrap()
    };
    let ours = |at: &str, arguments: &[&str]| {
        run(Path::new(env!("CARGO_BIN_EXE_millstream")), &["dbt"], at, arguments)
    };
    let theirs = |at: &str, arguments: &[&str]| run(&dbt().join("dbt"), &[], at, arguments);
    let made = ours("a", &["init", "garden"]);
    assert!(made.status.success(), "{}", text(&made));
    let profiles = fs::read_to_string(home.join(".dbt/profiles.yml")).unwrap();
    assert!(profiles.starts_with("garden:\n"), "{profiles}");
    copy(&dir.path().join("a/garden"), &dir.path().join("b/garden"));
    for built in [ours("a/garden", &["build"]), theirs("b/garden", &["build"])] {
        assert!(
            text(&built).contains("Done. PASS=8 WARN=0 ERROR=0 SKIP=0 NO-OP=0 TOTAL=8"),
            "{}",
            text(&built)
        );
    }
    // Within its directories it is found, as with dbt.
    assert!(ours("a/garden/models/marts", &["ls"]).status.success());
    let same = |at: &str, arguments: &[&str]| {
        let (theirs, ours) = (theirs(at, arguments), ours(at, arguments));
        assert_eq!(ours.status.code(), theirs.status.code(), "{}\n{}", text(&ours), text(&theirs));
        text(&ours)
    };
    // Again, within the project, with a profile that is there or isn't.
    fs::write(dir.path().join("a/garden/README.md"), "mine").unwrap();
    assert!(same("a", &["init", "garden"]).contains("nothing is written"));
    assert_eq!(fs::read_to_string(dir.path().join("a/garden/README.md")).unwrap(), "mine");
    let again = ours("a/garden", &["init"]);
    assert!(again.status.success() && text(&again).contains("stays as it is"), "{}", text(&again));
    same("a/garden", &["init", "--profile", "garden"]);
    same("a/garden", &["init", "--skip-profile-setup"]);
    same("a", &["init", "shed", "--profile", "none"]);
    let shed = ours("a", &["init", "shed", "--profile", "garden"]);
    assert!(shed.status.success(), "{}", text(&shed));
    assert!(fs::read_to_string(dir.path().join("a/shed/dbt_project.yml"))
        .unwrap()
        .contains("profile: garden"));
    assert!(ours("a", &["init", "-s", "bare"]).status.success());
    assert_eq!(fs::read_to_string(home.join(".dbt/profiles.yml")).unwrap(), profiles);
    let second = ours("a", &["init", "pond"]);
    let both = fs::read_to_string(home.join(".dbt/profiles.yml")).unwrap();
    assert!(second.status.success() && both.starts_with(&profiles) && both.contains("\n\npond:\n"), "{both}");
    for wrong in [&["init"][..], &["init", "1a"], &["init", "dbt"], &["init", "a/b"]] {
        let refused = ours("a", wrong);
        assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    }
    // One that can't be added to.
    fs::write(home.join(".dbt/profiles.yml"), "{a: {target: b}}").unwrap();
    let told = ours("a", &["init", "well"]);
    assert!(text(&told).contains("add this by hand"), "{}", text(&told));
    assert_eq!(fs::read_to_string(home.join(".dbt/profiles.yml")).unwrap(), "{a: {target: b}}");
}

#[test]
fn a_template_asks_for_the_profile_and_the_answers_make_the_one_that_dbt_makes() {
    let template = "fixed:\n  type: duckdb\n  threads: 3\n  settings: {memory_limit: 1GB}\nprompts:\n  target: {default: prod, type: string}\n  _choose_where:\n    \
                    a file:\n      path: {hint: a file of DuckDB}\n    memory:\n      _fixed_path: ':memory:'\n  schema: {default: main}\n  \
                    retries: {type: int, default: 5}\n  share: {default: 0.5}\n  quick: {type: bool, default: false}\n  token: {hide_input: true}\n";
    let read = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1])), sort_keys=True))";
    for (answers, fails) in [
        ("\n2\nwide\n7\n0.25\nyes\nit's\n", false),
        ("dev\n1\nx.duckdb\n\nseven\n8\n\nmaybe\nt\n07\n", false),
        ("dev\n9\n", true),
    ] {
        let pair = Pair::new("shop", "bakery.duckdb");
        pair.write("profile_template.yml", template);
        pair.write("home/profiles.yml", "other: {}\n");
        let mut made = Vec::new();
        for side in ["theirs", "ours"] {
            let arguments = ["init", "--profiles-dir", "home"];
            let mut command = match side {
                "theirs" => pair.their_command(&arguments),
                _ => pair.our_command(&arguments),
            };
            let mut child = command
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), answers.as_bytes()).unwrap();
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.success(), !fails, "{side}: {}", text(&output));
            let path = pair.at(side).join("home/profiles.yml");
            let read = Command::new(dbt().join("python")).args(["-c", read]).arg(path).output().unwrap();
            made.push(text(&read));
        }
        assert_eq!(made[1], made[0]);
        assert_eq!(made[0].contains("bakery"), !fails, "{}", made[0]);
    }
    // Where nothing can be read what has a default has that, and what has none is named.
    let pair = Pair::new("shop", "bakery.duckdb");
    pair.write("profile_template.yml", template);
    let told = text(&pair.ours(&["--no-input", "init", "--profiles-dir", "home"]));
    assert!(told.contains("no answer to `where (a number)`"), "{told}");
    pair.write(
        "profile_template.yml",
        "fixed: {type: duckdb}\nprompts: {path: {default: x.duckdb}, threads: {type: number}}\n",
    );
    let told = text(&pair.ours(&["--no-input", "init", "--profiles-dir", "home"]));
    assert!(told.contains("profile_template.yml:2") && told.contains("string, int, float or bool"), "{told}");
    pair.write(
        "profile_template.yml",
        "fixed: {type: duckdb}\nprompts: {path: {default: x.duckdb}, threads: {default: 2}}\n",
    );
    let made = pair.ours(&["--no-input", "init", "--profiles-dir", "home"]);
    assert!(made.status.success(), "{}", text(&made));
    assert!(text(&pair.ours(&["debug", "--profiles-dir", "home"])).contains("All checks passed!"));
}
