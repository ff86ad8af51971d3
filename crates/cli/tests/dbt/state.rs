//! Runs that are compared with an earlier one, or refer to what that has built.

use std::fs;

use crate::Pair;

/// The bakery with a second target, whose relations are in a schema of their own.
pub(super) fn bakery() -> Pair {
    let pair = Pair::new("shop", "bakery.duckdb");
    let profiles = fs::read_to_string(pair.at("ours").join("profiles.yml")).unwrap();
    let other = "    other: {type: duckdb, path: bakery.duckdb, schema: other}\n";
    pair.write("profiles.yml", &format!("{}\n{other}", profiles.trim_end()));
    pair
}

/// Keeps what the last run of each side has written, as `state`; ours also what dbt has, as `foreign`.
pub(super) fn keep(pair: &Pair) {
    for (from, to, name) in
        [("theirs", "theirs", "state"), ("ours", "ours", "state"), ("theirs", "ours", "foreign")]
    {
        let dir = pair.at(to).join(name);
        fs::create_dir_all(&dir).unwrap();
        for file in ["manifest.json", "run_results.json"] {
            fs::copy(pair.at(from).join("target").join(file), dir.join(file)).unwrap();
        }
    }
}

#[test]
fn what_is_not_there_is_referred_to_where_an_earlier_run_has_it() {
    let pair = bakery();
    pair.both(&["build"]);
    keep(&pair);
    let run = ["run", "--target", "other", "--defer", "--state", "state", "--select"];
    // The models in front of it are in the first target's schema only.
    pair.both(&[&run[..], &["patron_totals"]].concat());
    pair.both(&[&run[..], &["stg_sales", "stg_patrons"]].concat());
    // They are in both by now: the nearer ones are taken, unless the other run is favored, and what is selected is never taken from there.
    pair.both(&[&run[..], &["patron_totals"]].concat());
    pair.both(&[&run[..], &["patron_totals", "stg_sales", "--favor-state"]].concat());
    pair.both(&["compile", "--target", "other", "--defer", "--defer-state", "state", "--full-refresh"]);
    pair.both(&["compile", "--target", "other", "--defer", "--no-defer", "--state", "state"]);
    let variables = pair
        .our_command(&["compile", "--target", "other", "--select", "patron_totals", "--favor-state"])
        .env("DBT_STATE", "foreign")
        .env("DBT_DEFER", "true")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&variables.stdout).into_owned();
    assert!(told.contains("\"main\".\"stg_loaves\""), "{told}");
}

#[test]
fn what_has_changed_or_failed_since_is_run_again() {
    let pair = bakery();
    pair.both(&["build"]);
    keep(&pair);
    let loaves = fs::read_to_string(pair.at("ours").join("models/staging/stg_loaves.sql")).unwrap();
    pair.write("models/staging/stg_loaves.sql", &format!("{loaves}\n-- changed"));
    let sales = fs::read_to_string(pair.at("ours").join("seeds/sales.csv")).unwrap();
    pair.write("seeds/sales.csv", &format!("{sales}900,1,10,1,2024-08-01,paid\n"));
    pair.both(&["build", "--state", "state", "--select", "state:modified+1"]);
    for state in ["state", "foreign"] {
        let ours = pair.ours(&["--quiet", "ls", "--select", "state:modified+", "--state", state]);
        let ours = String::from_utf8_lossy(&ours.stdout).into_owned();
        assert!(
            ours.contains("stg_loaves") && ours.contains("bakery.sales") && !ours.contains("stg_patrons\n"),
            "{state}: {ours}"
        );
    }
    pair.write("models/staging/stg_loaves.sql", "select no_such_column from {{ ref('loaves') }}");
    pair.both(&["build"]);
    keep(&pair);
    pair.write("models/staging/stg_loaves.sql", &loaves);
    pair.both(&["build", "--state", "state", "--select", "result:error+"]);
    pair.both(&[
        "build",
        "--state",
        "state",
        "--select",
        "result:skipped",
        "result:fail",
        "--exclude",
        "state:new",
    ]);
    let (theirs, ours) =
        (pair.dbt(&["retry", "--state", "state"]), pair.ours(&["retry", "--state", "state"]));
    assert_eq!(ours.status.code(), theirs.status.code());
    assert_eq!(pair.statuses("ours"), pair.statuses("theirs"));
}

#[test]
fn without_an_earlier_run_nothing_is_compared_or_deferred_to() {
    let pair = bakery();
    let same = |arguments: &[&str], words: &str| {
        let (theirs, ours) = (pair.dbt(arguments), pair.ours(arguments));
        let told = String::from_utf8_lossy(&ours.stderr).into_owned();
        assert_eq!(ours.status.code(), theirs.status.code(), "{}\n{told}", arguments.join(" "));
        assert!(told.contains(words), "{told}");
    };
    same(&["run", "--select", "state:modified"], "--state");
    same(&["run", "--defer"], "--state or --defer-state");
    fs::create_dir_all(pair.at("ours").join("nothing")).unwrap();
    fs::create_dir_all(pair.at("theirs").join("nothing")).unwrap();
    same(&["run", "--defer", "--state", "nothing"], "there is no manifest.json");
    same(&["run", "--select", "state:modifed", "--state", "nothing"], "did you mean `state:modified`?");
}
