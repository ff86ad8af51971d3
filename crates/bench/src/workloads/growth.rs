//! The same changes on tables of growing size. A warehouse without an index has to look for the rows that a change replaces; how much
//! that costs as the table grows is what this shows.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Bench;
use crate::data::{self, Action, Keys};
use crate::error::Result;
use crate::goals::SCATTERED_UPDATES;
use crate::peers;
use crate::probe::{Probe, PROBE};
use crate::product::Project;
use crate::report::{thousands, Latency, Workload};
use crate::server::Server;

/// As in the stream of inserts.
const CHANGES_PER_TRANSACTION: u64 = 100;
/// Single changes whose way is timed, each on an otherwise idle system.
const SINGLE_CHANGES: u64 = 100;
/// Between them, so that each meets an idle system.
const SINGLE_CHANGE_PAUSE: Duration = Duration::from_millis(50);

const RECVLOGICAL: &str = "recvlogical";

pub(super) fn run(bench: &Bench, directory: &Path, rows: u64, workload: &mut Workload) -> Result<()> {
    let changes = bench.scale.growth_changes.min(rows / 4);
    workload.title = format!(
        "A table of {} rows (5 columns, about 75 bytes). {} changes of each kind by statements of one row, in transactions of \
         {CHANGES_PER_TRANSACTION}, waiting in the WAL; recent keys are the {} newest. Ratios are to pg_recvlogical over the same changes.",
        thousands(rows as f64),
        thousands(changes as f64),
        thousands(data::RECENT_ROWS as f64),
    );
    let server = Server::start()?;
    server.fill(data::ACCOUNTS)?;
    server.fill(&data::load_accounts(rows))?;
    server.fill(PROBE)?;
    server.publish(&["accounts", "probe"])?;
    server.settle()?;
    let project = bench.product.project(directory, &server, &["accounts", "probe"])?;
    let count = |condition: &str| format!("SELECT count(*) AS n FROM public.accounts_history{condition}");
    workload.lines.push(project.measure("Millstream, snapshot", rows, (&count(""), rows))?);
    server.create_slot(RECVLOGICAL)?;

    let kinds = [
        (SCATTERED_UPDATES, Action::Update, Keys::Scattered),
        ("Millstream, recent updates", Action::Update, Keys::Recent),
        ("Millstream, scattered deletes", Action::Delete, Keys::Scattered),
        ("Millstream, recent deletes", Action::Delete, Keys::Recent),
    ];
    let (mut updated, mut deleted) = (0, 0);
    for (consumer, action, keys) in kinds {
        server.fill(&data::change_accounts(action, keys, rows, changes, CHANGES_PER_TRANSACTION))?;
        let end = server.settle()?;
        let peer = peers::recvlogical(&server, directory, RECVLOGICAL, 2, &end, changes)?;
        let (condition, versions) = match action {
            Action::Update => {
                updated += changes;
                (" WHERE operation_type = 'UPDATE'", updated)
            }
            Action::Delete => {
                deleted += changes;
                (" WHERE operation_type = 'DELETE'", deleted)
            }
        };
        let mut line = project.measure(consumer, changes, (&count(condition), versions))?;
        line.ratio = Some(line.rows_per_second / peer.rows_per_second);
        workload.lines.push(line);
    }
    // Last, so that the table has been through everything.
    workload.latencies.push(single_changes(&server, &project, rows)?);
    Ok(())
}

/// Changes one row at a time, each when the one before it has been seen.
fn single_changes(server: &Server, project: &Project, rows: u64) -> Result<Latency> {
    let mut probe = Probe::new(server)?;
    let mut up = project.up()?;
    let started = Instant::now();
    let mut samples = Vec::new();
    // The first one opens connections and warms caches on both sides.
    for number in 0..=SINGLE_CHANGES {
        let change = data::change_one_account(rows, number);
        let time_ms = probe.measure(&mut up, &change)?;
        if number > 0 {
            samples.push(time_ms);
        }
        sleep(SINGLE_CHANGE_PAUSE);
    }
    let seconds = started.elapsed().as_secs_f64();
    let taken = up.stop()?;
    Ok(Latency::new("a single scattered update", samples, SINGLE_CHANGES as f64 / seconds, taken))
}
