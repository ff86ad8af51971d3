//! Commit to queryable under a steady load, checkpoints of both sides included.

use std::path::Path;
use std::time::{Duration, Instant};

use super::Bench;
use crate::child::Child;
use crate::data;
use crate::error::{Error, Result};
use crate::probe::{Probe, PROBE};
use crate::product::Project;
use crate::report::{thousands, Latency, Workload};
use crate::server::Server;

pub(super) const TRANSACTIONS_PER_SECOND: u64 = 1_000;
/// As many as an application's pool would have; a commit waits for the disk.
const CLIENTS: &str = "8";
/// Time for both sides to settle into the load; not counted.
pub(super) const WARM_UP: Duration = Duration::from_secs(2);
/// The share of the time that the second load, on recent keys, gets.
const RECENT_SHARE: u64 = 5;
/// pgbench ends by itself after its time; this much later something is wrong.
pub(super) const LOAD_WAIT_MAX: Duration = Duration::from_secs(15 * 60);
/// A load that the server itself can't carry says nothing about us.
const LOAD_SHARE_MIN: f64 = 0.9;

pub(super) fn run(bench: &Bench, directory: &Path, workload: &mut Workload) -> Result<()> {
    let rows = bench.scale.latency_rows;
    let seconds = bench.scale.latency_seconds;
    workload.title = format!(
        "{} transactions a second for {seconds} s on a table of {} rows, four updates to one insert, commits waiting for the disk; \
         then for {} s the same with recent keys. Beside them a probe commits a number of its own and asks the running instance until \
         it says it; checkpoints are left as they come.",
        thousands(TRANSACTIONS_PER_SECOND as f64),
        thousands(rows as f64),
        (seconds / RECENT_SHARE).max(1),
    );
    let server = Server::start()?;
    server.fill(data::ACCOUNTS)?;
    server.fill(&data::load_accounts(rows))?;
    server.execute(&format!("CREATE SEQUENCE account_ids START {}", rows + 1))?;
    server.fill(PROBE)?;
    server.publish(&["accounts", "probe"])?;
    server.settle()?;
    let project = bench.product.project(directory, &server, &["accounts", "probe"])?;
    project.catch_up()?;
    let loads = [
        ("scattered keys", format!("random(1, {rows})"), seconds),
        (
            "recent keys",
            format!("random({}, {rows})", rows - data::RECENT_ROWS.min(rows - 1)),
            (seconds / RECENT_SHARE).max(1),
        ),
    ];
    for (what, keys, seconds) in loads {
        let script = directory.join("load.sql");
        std::fs::write(&script, data::application(&keys)).map_err(Error::during(script.display()))?;
        let load = Load { server: &server, directory, script: &script, seconds };
        let latency = load.measure(&project, what)?;
        if latency.transactions_per_second < LOAD_SHARE_MIN * TRANSACTIONS_PER_SECOND as f64 {
            workload.notes.push(format!(
                "The server itself made only {} transactions a second ({what}): this says little.",
                thousands(latency.transactions_per_second)
            ));
        }
        workload.latencies.push(latency);
    }
    // Everything that the probes saw piecewise is there as a whole.
    let source = server.number("SELECT count(*) FROM accounts")?;
    project.catch_up()?;
    project.expect(("SELECT count(*) AS n FROM public.accounts", source))
}

struct Load<'a> {
    server: &'a Server,
    directory: &'a Path,
    script: &'a Path,
    seconds: u64,
}

impl Load<'_> {
    fn measure(&self, project: &Project, what: &str) -> Result<Latency> {
        let mut up = project.up()?;
        let mut probe = Probe::new(self.server)?;
        let duration = WARM_UP + Duration::from_secs(self.seconds);
        let mut load = application(self.server, self.directory, self.script, duration.as_secs())?;
        let started = Instant::now();
        let mut samples = Vec::new();
        while started.elapsed() < duration {
            let time_ms = probe.measure(&mut up, "")?;
            if started.elapsed() > WARM_UP {
                samples.push(time_ms);
            }
        }
        load.finish(LOAD_WAIT_MAX)?;
        let rate = rate(&load.stdout())?;
        let taken = up.stop()?;
        Ok(Latency::new(what, samples, rate, taken))
    }
}

/// The application at the source: a script of pgbench at [`TRANSACTIONS_PER_SECOND`].
pub(super) fn application(server: &Server, directory: &Path, script: &Path, seconds: u64) -> Result<Child> {
    let mut command = server.program("pgbench");
    command.args(["-n", "-M", "prepared", "-c", CLIENTS, "-j", "1", "-f"]).arg(script);
    command.args(["-R", &TRANSACTIONS_PER_SECOND.to_string(), "-T", &seconds.to_string(), &server.url()]);
    Child::spawn(command, "pgbench", directory)
}

/// What pgbench says that it reached: `tps = 999.1 (without initial connection time)`.
pub(super) fn rate(said: &str) -> Result<f64> {
    let text = said.lines().find_map(|line| line.strip_prefix("tps = "));
    let text = text.and_then(|text| text.split(' ').next()).unwrap_or_default();
    text.parse().map_err(|_| Error::new(format!("pgbench gives no rate: {said}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pgbench_is_understood() {
        assert_eq!(
            rate("number of failed: 0\ntps = 998.5 (without initial connection time)\n").unwrap(),
            998.5
        );
        assert!(rate("tps is not known").is_err());
    }
}
