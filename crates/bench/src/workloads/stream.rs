//! Changes that wait in the WAL: how fast they are received, and for Millstream, how fast they can be queried.
//!
//! Every consumer's slot is made first, then the changes are made, then one consumer after the other is started and timed until it has
//! them all. So each reads the same WAL from the kernel's memory, and nobody waits for the changes to happen.

use std::path::Path;

use super::Bench;
use crate::data;
use crate::error::{Error, Result};
use crate::peers;
use crate::product::Project;
use crate::report::{thousands, Workload, MILLSTREAM};
use crate::server::Server;

/// As an application that inserts a handful of things at once.
const ROWS_PER_TRANSACTION: u64 = 100;
/// pgbench's clients: enough that their transactions overlap.
const CLIENTS: u64 = 8;
/// Changes of a TPC-B transaction: three updates and an insert.
const TPCB_CHANGES: u64 = 4;

const RECVLOGICAL: [(&str, u8); 2] = [("recvlogical_1", 1), ("recvlogical_2", 2)];
const CAPTURE: &str = "capture";
const DEBEZIUM: &str = "debezium";

/// A workload before its changes are made: the slots are there.
struct Waiting<'a> {
    bench: &'a Bench,
    directory: &'a Path,
    tables: &'a [&'a str],
    server: Server,
    project: Project,
}

impl<'a> Waiting<'a> {
    fn new(bench: &'a Bench, directory: &'a Path, server: Server, tables: &'a [&'a str]) -> Result<Self> {
        server.publish(tables)?;
        let project = bench.product.project(directory, &server, tables)?;
        project.catch_up()?;
        let peers = RECVLOGICAL.iter().map(|(slot, _)| *slot);
        peers.chain([CAPTURE, DEBEZIUM]).try_for_each(|slot| server.create_slot(slot))?;
        Ok(Self { bench, directory, tables, server, project })
    }

    /// Times every consumer over the `changes` that were made meanwhile.
    fn measure(&self, changes: u64, expected: (&str, u64), workload: &mut Workload) -> Result<()> {
        let end = self.server.settle()?;
        for (slot, protocol) in RECVLOGICAL {
            let line = peers::recvlogical(&self.server, self.directory, slot, protocol, &end, changes)?;
            workload.lines.push(line);
        }
        let capture = self.bench.product.capture(self.directory, &self.server, CAPTURE, &end, changes)?;
        workload.lines.push(capture);
        workload.lines.push(self.project.measure(MILLSTREAM, changes, expected)?);
        match &self.bench.debezium {
            Ok(engine) => {
                let line =
                    peers::debezium(engine, &self.server, self.directory, DEBEZIUM, self.tables, changes)?;
                workload.lines.push(line);
            }
            Err(why) => workload.notes.push(format!("Without the Debezium engine: {why}")),
        }
        Ok(())
    }
}

/// Rows inserted one by one, in transactions of a hundred.
pub(super) fn inserts(bench: &Bench, directory: &Path, workload: &mut Workload) -> Result<()> {
    let rows = bench.scale.insert_rows;
    workload.title = format!(
        "{} inserts of one row (8 columns, about 170 bytes) in transactions of {ROWS_PER_TRANSACTION}, waiting in the WAL.",
        thousands(rows as f64)
    );
    let server = Server::start()?;
    server.fill(data::EVENTS)?;
    let waiting = Waiting::new(bench, directory, server, &["events"])?;
    waiting.server.fill(&data::insert_events_singly(rows, ROWS_PER_TRANSACTION))?;
    waiting.measure(rows, ("SELECT count(*) FROM public.events_history", rows), workload)
}

/// One transaction that is much larger than what the server keeps in memory for decoding.
pub(super) fn large(bench: &Bench, directory: &Path, workload: &mut Workload) -> Result<()> {
    let rows = bench.scale.large_rows;
    workload.title = format!(
        "One transaction that inserts {} rows (8 columns, about 170 bytes), waiting in the WAL. With protocol 1 the server \
         spills it to its own disk first; with protocol 2 it streams it.",
        thousands(rows as f64)
    );
    let server = Server::start()?;
    server.fill(data::EVENTS)?;
    let waiting = Waiting::new(bench, directory, server, &["events"])?;
    waiting.server.fill(&data::insert_events_at_once(rows))?;
    waiting.measure(rows, ("SELECT count(*) FROM public.events_history", rows), workload)
}

/// pgbench's TPC-B-like transactions.
pub(super) fn tpcb(bench: &Bench, directory: &Path, workload: &mut Workload) -> Result<()> {
    let scale = bench.scale.tpcb_scale;
    let transactions = bench.scale.tpcb_transactions / CLIENTS * CLIENTS;
    let changes = transactions * TPCB_CHANGES;
    workload.title = format!(
        "{} transactions of pgbench's TPC-B mix (scale {scale}, {CLIENTS} clients; three updates and an insert each, so {} changes), \
         waiting in the WAL. The accounts' keys are scattered over {} rows.",
        thousands(transactions as f64),
        thousands(changes as f64),
        thousands(scale as f64 * 100_000.0),
    );
    let server = Server::start()?;
    pgbench(&server, &["-i", "-q", "-s", &scale.to_string()])?;
    // It has no key, and the publication has updates: as every user of pgbench finds out.
    server.execute("ALTER TABLE pgbench_history REPLICA IDENTITY FULL")?;
    let tables = ["pgbench_accounts", "pgbench_branches", "pgbench_tellers", "pgbench_history"];
    let waiting = Waiting::new(bench, directory, server, &tables)?;
    let (clients, each) = (CLIENTS.to_string(), (transactions / CLIENTS).to_string());
    pgbench(&waiting.server, &["-n", "-M", "prepared", "-c", &clients, "-j", "2", "-t", &each])?;
    // Each transaction leaves a version in each of the four tables.
    let versions =
        "SELECT (SELECT count(*) FROM public.pgbench_accounts_history WHERE operation_type = 'UPDATE') \
         + (SELECT count(*) FROM public.pgbench_branches_history WHERE operation_type = 'UPDATE') \
         + (SELECT count(*) FROM public.pgbench_tellers_history WHERE operation_type = 'UPDATE') \
         + (SELECT count(*) FROM public.pgbench_history_history WHERE operation_type = 'INSERT') AS n";
    waiting.measure(changes, (versions, changes), workload)
}

fn pgbench(server: &Server, arguments: &[&str]) -> Result<()> {
    let mut command = server.program("pgbench");
    command.args(arguments).arg(server.url()).env("PGOPTIONS", "-c synchronous_commit=off");
    let output = command.output().map_err(Error::during("starting pgbench"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::new(format!("pgbench: {}", String::from_utf8_lossy(&output.stderr).trim_end())))
}
