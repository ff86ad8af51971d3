//! The FastAPI service that does over PostgreSQL what the endpoints do: fetched once into `.tools/fastapi`, run by uvicorn.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use millstream_testkit::wait_until;

use crate::child::{Child, Taken};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::server::Server;

const HOME: &str = ".tools/fastapi";
const SOURCES: &str = "bench/fastapi";
/// One a core of a small server, as its documentation advises.
const WORKERS: &str = "2";
/// Python imports for a second or two on a busy machine.
const START_WAIT_MAX: Duration = Duration::from_secs(60);
const STOP_WAIT_MAX: Duration = Duration::from_secs(30);

/// The service, ready to run.
pub(crate) struct FastApi {
    python: PathBuf,
}

impl FastApi {
    /// Fetches what is not there yet.
    ///
    /// # Errors
    /// Says what is missing on this machine.
    pub(crate) fn prepare() -> Result<Self> {
        let requirements = Path::new(SOURCES).join("requirements.txt");
        let wanted = fs::read_to_string(&requirements).map_err(Error::during(requirements.display()))?;
        let home = std::path::absolute(HOME).map_err(Error::during(HOME))?;
        // Written last: what was interrupted is fetched again.
        let fetched = home.join("fetched.txt");
        if fs::read_to_string(&fetched).ok().as_deref() != Some(&wanted) {
            eprintln!("fetching FastAPI, uvicorn and asyncpg (20 MB)");
            run(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
            run(Command::new(home.join("bin/pip"))
                .args(["install", "--quiet", "--disable-pip-version-check", "--requirement"])
                .arg(&requirements))?;
            fs::write(&fetched, wanted).map_err(Error::during(fetched.display()))?;
        }
        Ok(Self { python: home.join("bin/python") })
    }

    /// Starts it and waits until it answers.
    pub(crate) fn start(&self, directory: &Path, server: &Server) -> Result<Service> {
        let port = free_port()?;
        let mut command = Command::new(&self.python);
        command.args(["-m", "uvicorn", "service:app", "--workers", WORKERS, "--port", &port.to_string()]);
        command.args([
            "--timeout-keep-alive",
            "75",
            "--app-dir",
            SOURCES,
            "--no-access-log",
            "--log-level",
            "warning",
        ]);
        command.env("DATABASE_URL", server.url());
        let mut child = Child::spawn(command, "uvicorn", directory)?;
        let address = format!("127.0.0.1:{port}");
        wait_until("the service's first answer", START_WAIT_MAX, || {
            if child.check().is_err() || interrupt::requested() {
                return Some(());
            }
            Client::connect(&address).and_then(|mut client| client.get("/orders/top")).ok().map(drop)
        })?;
        child.check()?;
        Ok(Service { child, address })
    }
}

/// The running service.
pub(crate) struct Service {
    child: Child,
    /// Where it answers.
    pub(crate) address: String,
}

impl Service {
    /// Stops it. What was taken is of the parent process alone: the workers are its children.
    pub(crate) fn stop(mut self) -> Result<Taken> {
        self.child.stop(STOP_WAIT_MAX)
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    let during = || Error::during("looking for a free port");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(during())?;
    Ok(listener.local_addr().map_err(during())?.port())
}

fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::new(format!("starting {name}: {error} (Debian: python3-venv)")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    Err(Error::new(format!("{name}: {}: {said}", output.status)))
}
