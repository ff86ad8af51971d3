//! [`Session`]: `psql` on a pipe, one script at a time, going on after errors as an application would.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::{Error, PgCluster, Result};

/// Printed by the server behind every script, so that we know that it is done.
const DONE: &str = "-- done --";

/// How often each SQLSTATE came back.
pub type Refusals = BTreeMap<String, u64>;

/// A session of one writer.
pub(super) struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    refusals: Arc<Mutex<Refusals>>,
    watcher: Option<JoinHandle<()>>,
}

impl Session {
    pub(super) fn open(cluster: &PgCluster, application: &str) -> Result<Self> {
        let mut command = cluster.psql("postgres");
        command.args(["-v", "ON_ERROR_STOP=0", "-v", "VERBOSITY=sqlstate"]).env("PGAPPNAME", application);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(Error::during("starting psql"))?;
        let (Some(input), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Error::new("psql has no pipes"));
        };
        let refusals = Arc::new(Mutex::new(Refusals::new()));
        let counted = Arc::clone(&refusals);
        let watcher = thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(|line| line.ok()) {
                // `ERROR:  23505`; warnings and notices are nobody's concern.
                if let Some((_, state)) = line.split_once("ERROR:").or_else(|| line.split_once("FATAL:")) {
                    let mut counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
                    *counted.entry(state.trim().to_owned()).or_default() += 1;
                }
            }
        });
        let mut session =
            Self { child, input, output: BufReader::new(output), refusals, watcher: Some(watcher) };
        // A writer that waits for the column changes, or they for it, gives up soon. Refusals are no news to the server's log.
        session
            .run("SET lock_timeout = '1s'; SET deadlock_timeout = '50ms'; SET log_min_messages = 'fatal';")?;
        Ok(session)
    }

    /// Runs a script and returns the lines that it printed. An error of the server is counted, not returned.
    pub(super) fn run(&mut self, script: &str) -> Result<Vec<String>> {
        let text = format!("{script}\nSELECT '{DONE}';\n");
        self.input.write_all(text.as_bytes()).map_err(Error::during("writing to psql"))?;
        self.input.flush().map_err(Error::during("writing to psql"))?;
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line).map_err(Error::during("reading from psql"))? == 0 {
                return Err(Error::new("psql ended: the server closed the connection"));
            }
            let line = line.trim_end_matches('\n');
            if line == DONE {
                return Ok(lines);
            }
            lines.push(line.to_owned());
        }
    }

    /// Ends the session and says what was refused.
    pub(super) fn close(mut self) -> Refusals {
        drop(self.input);
        let _ = self.child.wait();
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
        std::mem::take(&mut self.refusals.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
