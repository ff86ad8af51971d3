//! Every page of the web UI in a real browser, over the real program and the finance example at work.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use millstream_testkit::{PgCluster, Process};

use crate::http::get;
use crate::project::stop;
use crate::serving::SEEN_WAIT_MAX;

/// Orders of the example: enough for every page to be full, few enough for an unoptimised program.
const ORDERS: u32 = 2_000;

/// All pages, on a busy machine.
const PAGES_WAIT_MAX: Duration = Duration::from_secs(400);

/// The first copy of the example.
const COPY_WAIT_MAX: Duration = Duration::from_secs(120);

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn browser() -> PathBuf {
    std::env::var_os("CHROMIUM").map_or_else(|| "/usr/bin/chromium".into(), PathBuf::from)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn every_page_works_in_a_browser() {
    let ui = checkout().join("ui");
    if !browser().exists() || !ui.join("node_modules/playwright-core").exists() {
        eprintln!("skipped: no browser, or `make ui` has not been run");
        return;
    }
    let example = checkout().join("examples/finance");
    let cluster = PgCluster::start_default().unwrap();
    let psql = |arguments: &[&str]| {
        let mut command = Command::new(cluster.bin_dir().join("psql"));
        command.args(["-Xq", "-v", "ON_ERROR_STOP=1", "-d", &cluster.url()]).args(arguments);
        command
    };
    for file in ["sql/schema.sql", "sql/generator.sql"] {
        let path = example.join(file);
        assert!(psql(&["-f", path.to_str().unwrap()]).output().unwrap().status.success(), "{file}");
    }
    cluster.execute(&format!("CALL generator.fill(orders => {ORDERS}); ANALYZE")).unwrap();

    let project = tempfile::tempdir().unwrap();
    for part in ["models", "api", "dashboards", "queries"] {
        copy(&example.join(part), &project.path().join(part));
    }
    std::fs::copy(example.join("millstream.yml"), project.path().join("millstream.yml")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
    command.arg("--project").arg(project.path()).args(["--no-input", "--no-color", "up"]);
    command.env("DATABASE_URL", cluster.url()).env_remove("FAILPOINTS");
    command.env("MILLSTREAM__SERVE__HTTP", "127.0.0.1:0").env("MILLSTREAM__SERVE__POSTGRES", "127.0.0.1:0");
    let process = Process::spawn(command).unwrap();
    let line = process.wait_for_line("http://", COPY_WAIT_MAX).unwrap();
    let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
    if get(&address, "/ui").status == 501 {
        eprintln!("skipped: this build has no UI; `make ui` builds it");
        return stop(process);
    }

    let load = Process::spawn(psql(&["-c", "CALL generator.run(minutes_per_second => 1)"])).unwrap();
    let mut command = Command::new("node");
    command.args(["--test", "e2e/served.test.mjs"]).current_dir(&ui);
    command.env("MILLSTREAM_HTTP", format!("http://{address}")).env("CHROMIUM", browser());
    let mut pages = Process::spawn(command).unwrap();
    let status = pages.wait(PAGES_WAIT_MAX).unwrap();
    let said = pages.stdout();
    drop(load);
    assert!(status.success(), "{said}\n{}\n{}", pages.stderr(), process.tail());
    let errors: Vec<String> =
        process.stderr().lines().filter(|line| line.starts_with("error")).map(str::to_owned).collect();
    assert!(errors.is_empty(), "{errors:?}");
    assert!(process.wait_for_line("streaming", SEEN_WAIT_MAX).is_ok());
    stop(process);
}
