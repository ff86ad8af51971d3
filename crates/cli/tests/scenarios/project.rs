//! A project in a directory of its own, and the program run in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::time::Duration;

use millstream_testkit::{wait_until, Json, PgCluster, Process};
use serde_json::Value;
use tempfile::TempDir;

use crate::control;

/// Everything that was committed, applied by an unoptimised program on a busy machine.
const CATCH_UP_WAIT_MAX: Duration = Duration::from_secs(180);

/// A project, with the database it replicates.
pub(crate) struct Project {
    directory: TempDir,
    url: String,
    /// What stands in the environment, of its configuration too.
    variables: Vec<(&'static str, String)>,
}

impl Project {
    /// A project with its own `source` keys.
    pub(crate) fn with_source(url: &str, source: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let text = format!(
            "version: 1\nname: scenario\nsource:\n  postgres:\n    url: ${{DATABASE_URL}}\n    {}\nwarehouse:\n  duckdb: data/warehouse.duckdb\n",
            source.replace('\n', "\n    ")
        );
        fs::write(directory.path().join("millstream.yml"), text).unwrap();
        Self { directory, url: url.to_owned(), variables: Vec::new() }
    }

    /// An example as it stands, served at any free ports.
    pub(crate) fn of_example(name: &str, url: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        copy(&example(name), directory.path());
        // Other tests run beside this one.
        let mut project = Self { directory, url: url.to_owned(), variables: Vec::new() };
        for name in ["MILLSTREAM__SERVE__HTTP", "MILLSTREAM__SERVE__POSTGRES"] {
            project.set(name, "127.0.0.1:0");
        }
        project
    }

    /// Sets a variable of its environment.
    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.variables.push((name, value.into()));
    }

    /// Where its files are.
    pub(crate) fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// Replaces the settings of tables, a mapping as it stands below `tables:`; `""`: none. They hold from the next start on.
    pub(crate) fn set_tables(&self, settings: &str) {
        let path = self.directory.path().join("millstream.yml");
        let text = fs::read_to_string(&path).unwrap();
        let kept = text.split("\ntables:").next().unwrap_or_default().trim_end();
        let settings = if settings.is_empty() { String::new() } else { format!("tables: {settings}\n") };
        fs::write(&path, format!("{kept}\n{settings}")).unwrap();
    }

    /// What the program writes.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The program with arguments, not yet run.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
        command
            .arg("--project")
            .arg(self.directory.path())
            .args(["--no-input", "--no-color"])
            .args(arguments);
        command.env("DATABASE_URL", &self.url).env_remove("FAILPOINTS");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a verb to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a verb to its end, which must be good, and returns what it printed.
    #[track_caller]
    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{arguments:?}: {}\n{text}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        text
    }

    /// Starts `up`, with fail points (`""`: none).
    pub(crate) fn up(&self, fail_points: &str) -> Process {
        let mut command = self.command(&["up"]);
        if !fail_points.is_empty() {
            command.env("FAILPOINTS", fail_points);
        }
        Process::spawn(command).unwrap()
    }

    /// Runs `up --until-caught-up`; what is committed now is in the warehouse then.
    #[track_caller]
    pub(crate) fn catch_up(&self) {
        let mut process = Process::spawn(self.command(&["up", "--until-caught-up"])).unwrap();
        let status = process.wait(CATCH_UP_WAIT_MAX).unwrap();
        assert!(status.success(), "{status}\n{}", process.tail());
    }

    /// Forgets everything, the slot too, as if the program had never run.
    #[track_caller]
    pub(crate) fn start_over(&self, cluster: &PgCluster) {
        fs::remove_dir_all(self.data()).unwrap();
        // The server notices a moment later that its reader is dead.
        let drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'millstream_scenario'";
        wait_until("the slot to be free", CATCH_UP_WAIT_MAX, || cluster.execute(drop).ok()).unwrap();
    }

    /// Waits until the running instance streams.
    #[track_caller]
    pub(crate) fn await_streaming(&self, process: &mut Process) {
        let streaming = || control::status(&self.data()).filter(|status| status["state"] == "streaming");
        let ended = |process: &mut Process| process.try_wait().unwrap();
        wait_until("streaming", CATCH_UP_WAIT_MAX, || {
            assert_eq!(ended(process), None, "{}", process.tail());
            streaming()
        })
        .unwrap_or_else(|error| {
            panic!(
                "{error}\nstatus: {:#}\n{}",
                control::status(&self.data()).unwrap_or_default(),
                process.tail()
            )
        });
    }

    /// The rows of a query, as the program prints them.
    #[track_caller]
    pub(crate) fn sql(&self, query: &str) -> String {
        self.succeed(&["sql", "--json", query]).trim().to_owned()
    }

    /// A query's rows must be these, however they are laid out.
    #[track_caller]
    pub(crate) fn expect(&self, query: &str, rows: &str) {
        let found = self.sql(query);
        assert_eq!(Json::parse(&found).unwrap(), Json::parse(rows).unwrap(), "{query}\n{found}");
    }

    /// The same at a position or time.
    #[track_caller]
    pub(crate) fn sql_as_of(&self, query: &str, as_of: &str) -> String {
        self.succeed(&["sql", "--json", query, "--as-of", as_of]).trim().to_owned()
    }

    /// Compares every row with the source; the report if something differs.
    #[track_caller]
    pub(crate) fn verify(&self) {
        let output = self.run(&["verify", "--json"]);
        let text = String::from_utf8_lossy(&output.stdout);
        let report: Value = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{error}: {text}\n{}", String::from_utf8_lossy(&output.stderr)));
        assert_eq!((output.status.code(), &report["equal"]), (Some(0), &Value::Bool(true)), "{report:#}");
    }
}

/// Where an example lies.
pub(crate) fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            fs::create_dir_all(&to).unwrap();
            copy(&path, &to);
        } else {
            fs::copy(path, to).unwrap();
        }
    }
}

/// Stops `up` as a service manager does; it must end well.
#[track_caller]
pub(crate) fn stop(mut process: Process) {
    process.signal(libc::SIGTERM).unwrap();
    let status: ExitStatus = process.wait(Duration::from_secs(30)).unwrap();
    assert_eq!(status.code(), Some(0), "{}", process.tail());
}
