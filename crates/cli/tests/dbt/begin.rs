//! How a project begins: `init`, and `debug`, which tells what is wrong with it.

use std::{fs, path::Path, process::Command, process::Output};

use crate::{copy, dbt, Pair};

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The lines of `debug` that say what was found, without the time before them and the colours within.
fn verdicts(output: &Output) -> Vec<String> {
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
