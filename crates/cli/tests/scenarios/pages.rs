//! Every page of the web UI in a real browser, over the real program and the finance example at work.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use millstream_testkit::Process;

use crate::finance::Finance;
use crate::http::get;
use crate::project::stop;
use crate::serving::SEEN_WAIT_MAX;

/// All pages, on a busy machine.
const PAGES_WAIT_MAX: Duration = Duration::from_secs(400);

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn browser() -> PathBuf {
    std::env::var_os("CHROMIUM").map_or_else(|| "/usr/bin/chromium".into(), PathBuf::from)
}

#[test]
fn every_page_works_in_a_browser() {
    let ui = checkout().join("ui");
    let ready = browser().exists() && ui.join("node_modules/playwright-core").exists();
    assert!(ready, "no browser, or no UI: run scripts/bootstrap browser and make ui");
    let Finance { cluster, project: _project, process, address } = Finance::start();
    assert_ne!(get(&address, "/ui").status, 501, "this build has no UI: run make ui, and build again");

    let mut command = Command::new(cluster.bin_dir().join("psql"));
    command.args(["-Xq", "-d", &cluster.url(), "-c", "CALL generator.run(minutes_per_second => 1)"]);
    let load = Process::spawn(command).unwrap();
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
