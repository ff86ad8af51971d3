//! Capture alone: the stream into the log, fsynced and acknowledged, with nobody reading the log. `millstream up` always has both
//! loops, so what the first one can do is measured by this.
//!
//! It puts together what the program puts together, with the same defaults, and ends once everything before END is durable.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use millstream_core::{log::EventLog, Lsn};
use millstream_log::{EmbeddedLog, LogSettings};
use millstream_source::{capture, CaptureConfig, Connection, Observer, Stopper};
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Bounds how far the measured time can be off.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Events are for a person to read, and this has none; capture must not wait for one.
const EVENTS_KEPT_MAX: usize = 64;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, slot, publication, end, directory] = &arguments[..] else {
        eprintln!("usage: millstream-bench-capture URL SLOT PUBLICATION END DIR");
        return ExitCode::from(2);
    };
    match run(url, slot, publication, end, directory.into()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(url: &str, slot: &str, publication: &str, end: &str, directory: PathBuf) -> Result<()> {
    let end: Lsn = end.parse()?;
    let log: Arc<dyn EventLog> =
        Arc::new(EmbeddedLog::open(LogSettings::new(directory)).map_err(|error| error.to_string())?);
    let config = CaptureConfig::new(url.parse::<Connection>()?, slot, publication);
    let observer = Arc::new(Observer::default());
    let (events, mut heard) = mpsc::channel(EVENTS_KEPT_MAX);
    let (stopper, stop) = Stopper::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::spawn(async move { while heard.recv().await.is_some() {} });
        let mut capturing = tokio::spawn(capture::run(config, log, Arc::clone(&observer), events, stop));
        loop {
            tokio::select! {
                ended = &mut capturing => return Ok(ended??),
                () = sleep(LOOK_EVERY) => {}
            }
            if observer.status().flushed_lsn >= end {
                stopper.stop();
            }
        }
    })
}
