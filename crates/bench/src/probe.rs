//! Commit to queryable, seen from outside: a session commits a number at the source, and the running instance is asked for it until
//! it says it.
//!
//! The number stands in a table of its own with one row, so that asking costs nothing. Transactions are applied in commit
//! order, so the number can't be seen before everything that was committed ahead of it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::product::Up;
use crate::server::Server;

/// The table.
pub(crate) const PROBE: &str =
    "CREATE TABLE probe (id int PRIMARY KEY, n bigint NOT NULL); INSERT INTO probe VALUES (1, 0);";

/// Pause between two questions: what a measured time is too long by on average is half of it and of a question's answer.
const ASK_EVERY: Duration = Duration::from_millis(2);
/// Longer than this is no latency any more but a failure.
const SEEN_WAIT_MAX: Duration = Duration::from_secs(60);

/// A session at the source that commits numbers.
pub(crate) struct Probe {
    psql: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    number: u64,
}

impl Probe {
    pub(crate) fn new(server: &Server) -> Result<Self> {
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
        Ok(Self { psql, input, output, number: 0 })
    }

    /// Commits the next number together with `change`, and returns the time until it was seen, in milliseconds.
    pub(crate) fn measure(&mut self, up: &mut Up, change: &str) -> Result<f64> {
        let during = || Error::during("the probe's session");
        self.number += 1;
        // One line, one transaction: the answer to the last statement comes when it is committed.
        writeln!(
            self.input,
            "BEGIN; {change} UPDATE probe SET n = {} WHERE id = 1; COMMIT; SELECT 'committed';",
            self.number
        )
        .map_err(during())?;
        self.input.flush().map_err(during())?;
        let mut line = String::new();
        self.output.read_line(&mut line).map_err(during())?;
        let committed = Instant::now();
        if line.trim() != "committed" {
            return Err(Error::new(format!("the probe's session said `{}`", line.trim())));
        }
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

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = self.psql.kill();
        let _ = self.psql.wait();
    }
}
