//! Commit to queryable, seen from outside: a session commits a number at the source, and the running instance is asked for it until
//! it says it.
//!
//! The number stands in a table of its own with one row, so that asking costs nothing. Transactions are applied in commit
//! order, so the number can't be seen before everything that was committed ahead of it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use crate::error::{Error, Result};
use crate::instrument;
use crate::product::Up;
use crate::server::Server;

/// The table.
pub(crate) const PROBE: &str =
    "CREATE TABLE probe (id int PRIMARY KEY, n bigint NOT NULL); INSERT INTO probe VALUES (1, 0);";

/// Pause between two questions: what a measured time is too long by on average is half of it and of a question's answer.
const ASK_EVERY: Duration = Duration::from_millis(2);
/// Longer than this is no latency any more but a failure.
const SEEN_WAIT_MAX: Duration = Duration::from_secs(60);

/// A session at the source: one line in, one line out.
pub(crate) struct Session {
    psql: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    pub(crate) fn open(server: &Server) -> Result<Self> {
        let mut command = server.program("psql");
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &server.url()]);
        let mut psql = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(Error::during("starting psql"))?;
        let missing = || Error::new("psql without pipes");
        let input = psql.stdin.take().ok_or_else(missing)?;
        let output = BufReader::new(psql.stdout.take().ok_or_else(missing)?);
        Ok(Self { psql, input, output })
    }

    /// Lets it go first at the server, and psql: for a session that looks at the clock.
    pub(crate) fn go_first(&mut self) -> Result<()> {
        let said = self.ask("SELECT pg_backend_pid();")?;
        let backend =
            said.parse().map_err(|_| Error::new(format!("a session at the source said `{said}`")))?;
        let processes = [Pid::from_raw(backend), Some(Pid::from_child(&self.psql))];
        processes.into_iter().flatten().for_each(instrument::let_go_first);
        Ok(())
    }

    /// Runs statements of which the last one gives one value, and returns that.
    pub(crate) fn ask(&mut self, sql: &str) -> Result<String> {
        let during = || Error::during("a session at the source");
        writeln!(self.input, "{sql}").map_err(during())?;
        self.input.flush().map_err(during())?;
        let mut line = String::new();
        self.output.read_line(&mut line).map_err(during())?;
        Ok(line.trim().to_owned())
    }

    /// Runs statements as one transaction, and returns when it is committed.
    pub(crate) fn commit(&mut self, sql: &str) -> Result<()> {
        // One line, one transaction: the answer to the last statement comes when it is committed.
        match self.ask(&format!("BEGIN; {sql} COMMIT; SELECT 'committed';"))? {
            said if said == "committed" => Ok(()),
            said => Err(Error::new(format!("a session at the source said `{said}`"))),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.psql.kill();
        let _ = self.psql.wait();
    }
}

/// A session that commits numbers, and what is asked for them.
pub(crate) struct Probe {
    session: Session,
    number: u64,
}

impl Probe {
    pub(crate) fn new(server: &Server) -> Result<Self> {
        Ok(Self { session: Session::open(server)?, number: 0 })
    }

    /// Commits the next number together with `change`, and returns the time until it was seen, in milliseconds.
    pub(crate) fn measure(&mut self, up: &mut Up, change: &str) -> Result<f64> {
        self.number += 1;
        self.session.commit(&format!("{change} UPDATE probe SET n = {} WHERE id = 1;", self.number))?;
        let committed = Instant::now();
        loop {
            let rows = up.query("SELECT n FROM public.probe")?;
            let elapsed = committed.elapsed();
            if rows.first().and_then(|row| row.first()?.as_u64()).is_some_and(|seen| seen >= self.number) {
                return Ok(elapsed.as_secs_f64() * 1_000.0);
            }
            up.check()?;
            if elapsed > SEEN_WAIT_MAX {
                return Err(Error::new(format!(
                    "a committed change was not to be seen for {SEEN_WAIT_MAX:?}"
                )));
            }
            sleep(ASK_EVERY);
        }
    }
}
