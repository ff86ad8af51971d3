//! The finance example as it stands, on a server of the test's own, served.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use millstream_testkit::{PgCluster, Process};

use crate::http::get;
use crate::project::{example, stop, Project};

/// An address is printed before anything else is done.
const PRINTED_WAIT_MAX: Duration = Duration::from_secs(30);

/// Enough for every status, small enough to be copied in a moment.
const ORDERS: u32 = 2_000;

/// The example, running.
pub(crate) struct Finance {
    /// The source; it must outlive the program.
    _cluster: PgCluster,
    pub(crate) project: Project,
    pub(crate) process: Process,
    /// Where it answers over HTTP.
    pub(crate) address: String,
}

impl Finance {
    pub(crate) fn start() -> Self {
        let cluster = PgCluster::start_default().unwrap();
        let sql = |name: &str| fs::read_to_string(example("finance").join("sql").join(name)).unwrap();
        cluster.execute(&sql("schema.sql")).unwrap();
        cluster.execute(&sql("generator.sql")).unwrap();
        cluster.execute(&format!("CALL generator.fill(orders => {ORDERS})")).unwrap();
        let project = Project::of_example("finance", &cluster.url());
        let mut process = project.up("");
        project.await_streaming(&mut process);
        let line = process.wait_for_line("http://", PRINTED_WAIT_MAX).unwrap();
        let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
        Self { _cluster: cluster, project, process, address }
    }
}

/// What `scripts/clients` has fetched.
fn fetched(part: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/clients").join(part);
    assert!(path.exists(), "{} is missing: run scripts/clients", path.display());
    path
}

#[test]
fn the_description_says_what_the_server_does() {
    let finance = Finance::start();
    let output = Command::new(fetched("python/bin/schemathesis"))
        .current_dir(finance.project.directory())
        .args(["run", &format!("http://{}/openapi.json", finance.address)])
        .args([
            "--checks",
            "all",
            "--phases",
            "examples,coverage,fuzzing",
            "--max-examples",
            EXAMPLES,
            "--seed",
            "1",
        ])
        .args(["--continue-on-failure", "--no-color"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    // It passes as well where it has found nothing to ask.
    let paths = get(&finance.address, "/openapi.json").json()["paths"].as_object().unwrap().len();
    assert!(said.contains(&format!("{paths} selected / {paths} total")), "{said}");
    stop(finance.process);
}

/// Requests made up for each operation, beside those for every bound of its parameters.
const EXAMPLES: &str = "5";
