//! Millstream, used as a person uses it: the program, a project directory, its verbs, and the socket that verbs ask.

use std::cell::OnceCell;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use millstream_testkit::wait_until;
use serde_json::{json, Value};

use crate::child::{Child, Taken};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::fastapi::free_port;
use crate::interrupt;
use crate::report::{Line, CAPTURE};
use crate::server::{Server, PUBLICATION};

/// Several times what the largest workload may take.
const CATCH_UP_WAIT_MAX: Duration = Duration::from_secs(20 * 60);
/// From the start to the first answer; opening a warehouse of 50 million rows takes a second.
const START_WAIT_MAX: Duration = Duration::from_secs(60);
/// A clean stop ends the batch that is under way and checkpoints.
const STOP_WAIT_MAX: Duration = Duration::from_secs(60);

/// The program.
#[derive(Debug, Clone)]
pub(crate) struct Product {
    program: PathBuf,
    /// Only a warehouse knows.
    duckdb: Rc<OnceCell<String>>,
}

impl Product {
    /// The program that was built together with this one.
    pub(crate) fn beside_this_program() -> Result<Self> {
        let program = std::env::current_exe()
            .map_err(Error::during("finding this program"))?
            .with_file_name("millstream");
        if program.is_file() {
            Ok(Self { program, duckdb: Rc::default() })
        } else {
            Err(Error::new(format!("{} is not there: run `make build`", program.display())))
        }
    }

    /// The program's file.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// The version of DuckDB that it ran with, once it has.
    pub(crate) fn duckdb_version(&self) -> String {
        self.duckdb.get().cloned().unwrap_or_else(|| "unknown".to_owned())
    }

    /// Capture alone, from a slot to `end` into a new log in `directory`, as a line of the report.
    pub(crate) fn capture(
        &self,
        directory: &Path,
        server: &Server,
        slot: &str,
        end: &str,
        rows: u64,
    ) -> Result<Line> {
        let mut command = Command::new(self.program.with_file_name("millstream-bench-capture"));
        command.args([&server.url(), slot, PUBLICATION, end]).arg(directory.join("capture"));
        let taken = Child::spawn(command, "capture", directory)?.finish(CATCH_UP_WAIT_MAX)?;
        Ok(Line::new(CAPTURE.to_owned(), rows, taken))
    }

    /// A new project for tables of schema `public`.
    pub(crate) fn project(&self, directory: &Path, server: &Server, tables: &[&str]) -> Result<Project> {
        let directory = directory.join("project");
        fs::create_dir_all(&directory).map_err(Error::during(directory.display()))?;
        let tables: Vec<String> = tables.iter().map(|table| format!("\"public.{table}\"")).collect();
        let text = format!(
            "version: 1\nname: bench\nsource:\n  postgres:\n    url: \"{}\"\n    slot: {SLOT}\n    publication: {PUBLICATION}\n    \
             tables: [{}]\n",
            server.url(),
            tables.join(", "),
        );
        let path = directory.join("millstream.yml");
        fs::write(&path, text).map_err(Error::during(path.display()))?;
        Ok(Project { product: self.clone(), directory, variables: Vec::new(), http: None })
    }

    /// The finance example as it stands, served over HTTP.
    pub(crate) fn finance(&self, directory: &Path, server: &Server) -> Result<Project> {
        let directory = directory.join("project");
        for part in ["", "models", "api", "api/orders"] {
            let (from, to) = (Path::new(FINANCE).join(part), directory.join(part));
            fs::create_dir_all(&to).map_err(Error::during(to.display()))?;
            for entry in fs::read_dir(&from).map_err(Error::during(from.display()))? {
                let entry = entry.map_err(Error::during(from.display()))?;
                let name = entry.file_name();
                let wanted = part.is_empty() == (name == "millstream.yml");
                if wanted && entry.path().is_file() {
                    fs::copy(entry.path(), to.join(&name)).map_err(Error::during(to.display()))?;
                }
            }
        }
        let http = format!("127.0.0.1:{}", free_port()?);
        let variables = vec![
            ("DATABASE_URL", server.url()),
            ("MILLSTREAM__SERVE__HTTP", http.clone()),
            ("MILLSTREAM__SERVE__POSTGRES", "127.0.0.1:0".to_owned()),
        ];
        Ok(Project { product: self.clone(), directory, variables, http: Some(http) })
    }
}

/// The slot that Millstream makes for itself.
const SLOT: &str = "millstream";

const FINANCE: &str = "examples/finance";

/// A project, and how it is run.
pub(crate) struct Project {
    product: Product,
    directory: PathBuf,
    /// What of its configuration stands in the environment.
    variables: Vec<(&'static str, String)>,
    http: Option<String>,
}

impl Project {
    /// Where it answers over HTTP.
    ///
    /// # Errors
    /// It is no project that is served.
    pub(crate) fn http(&self) -> Result<&str> {
        self.http.as_deref().ok_or_else(|| Error::new("the project is not served"))
    }

    /// Adds an endpoint.
    pub(crate) fn add_endpoint(&self, name: &str, text: &str) -> Result<()> {
        let path = self.directory.join("api").join(format!("{name}.sql"));
        fs::write(&path, text).map_err(Error::during(path.display()))
    }

    /// Runs `up --until-caught-up`: from the start of the process until everything committed so far can be queried, and the process
    /// has ended.
    pub(crate) fn catch_up(&self) -> Result<Taken> {
        Child::spawn(self.verb(&["up", "--until-caught-up"]), "millstream", &self.directory)?
            .finish(CATCH_UP_WAIT_MAX)
    }

    /// The same as a line of the report, once the warehouse was seen to hold what it should: `expected` is a query and its one number.
    pub(crate) fn measure(&self, consumer: &str, rows: u64, expected: (&str, u64)) -> Result<Line> {
        let taken = self.catch_up()?;
        self.expect(expected)?;
        Ok(Line::new(consumer.to_owned(), rows, taken))
    }

    /// Checks the one number of a query. A rate of wrong rows is no rate.
    pub(crate) fn expect(&self, (sql, number): (&str, u64)) -> Result<()> {
        let found = self.value(sql)?;
        if found.as_u64() != Some(number) {
            let message =
                format!("`{sql}` should give {number} and gives {found}: what was measured is wrong");
            return Err(Error::new(message));
        }
        if self.product.duckdb.get().is_none() {
            let version = self.value("SELECT version()")?;
            let version = version.as_str().unwrap_or_default().trim_start_matches('v').to_owned();
            let _ = self.product.duckdb.set(version);
        }
        Ok(())
    }

    /// The one value of a query.
    fn value(&self, sql: &str) -> Result<Value> {
        let output =
            self.verb(&["sql", "--json", sql]).output().map_err(Error::during("starting millstream sql"))?;
        let rows: Value = serde_json::from_slice(&output.stdout).map_err(|_| {
            Error::new(format!("`{sql}`: {}", String::from_utf8_lossy(&output.stderr).trim_end()))
        })?;
        Ok(rows[0].as_object().and_then(|row| row.values().next()).cloned().unwrap_or_default())
    }

    /// Starts `up`, and waits until it answers.
    pub(crate) fn up(&self) -> Result<Up> {
        let child = Child::spawn(self.verb(&["up"]), "millstream", &self.directory)?;
        let mut up = Up { child, socket: self.directory.join("data/millstream.sock") };
        wait_until("millstream's first answer", START_WAIT_MAX, || {
            if up.child.check().is_err() || interrupt::requested() {
                return Some(());
            }
            let served = match &self.http {
                Some(http) => {
                    let ready = Client::connect(http).and_then(|mut client| client.get("/ready"));
                    ready.is_ok_and(|answer| answer.status == 200)
                }
                None => true,
            };
            up.query("SELECT 1").ok().filter(|_| served).map(drop)
        })?;
        up.check()?;
        Ok(up)
    }

    fn verb(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.product.program);
        command.arg("--project").arg(&self.directory).args(["--no-color", "--no-input"]).args(arguments);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A running instance.
pub(crate) struct Up {
    child: Child,
    socket: PathBuf,
}

impl Up {
    /// Asks the running instance, as `millstream sql` does but without starting a process, which would take longer than the answer.
    pub(crate) fn query(&self, sql: &str) -> Result<Vec<Vec<Value>>> {
        let during = || Error::during("asking millstream");
        let mut stream = UnixStream::connect(&self.socket).map_err(during())?;
        stream.set_read_timeout(Some(START_WAIT_MAX)).map_err(during())?;
        let request = json!({ "verb": "sql", "sql": sql, "as_of": null });
        stream.write_all(format!("{request}\n").as_bytes()).map_err(during())?;
        let mut rows = Vec::new();
        for line in BufReader::new(stream).lines() {
            let line = line.map_err(during())?;
            let event: Value =
                serde_json::from_str(&line).map_err(Error::during(format!("millstream said `{line}`")))?;
            if let Some(page) = event["rows"].as_array() {
                rows.extend(page.iter().filter_map(|row| row.as_array().cloned()));
            } else if event.get("done").is_some() {
                return Ok(rows);
            } else if event.get("failed").is_some() {
                return Err(Error::new(format!("`{sql}`: {}", event["failed"])));
            }
        }
        Err(Error::new("millstream closed the connection"))
    }

    /// An error where it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        interrupt::check()?;
        self.child.check()
    }

    /// The memory that it has now.
    pub(crate) fn rss_bytes(&self) -> u64 {
        self.child.rss_bytes()
    }

    /// Stops it as a service manager does.
    pub(crate) fn stop(mut self) -> Result<Taken> {
        self.child.stop(STOP_WAIT_MAX)
    }
}
