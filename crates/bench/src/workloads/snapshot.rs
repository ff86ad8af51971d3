//! A table's first copy, against `COPY` to nowhere.

use std::path::Path;

use super::Bench;
use crate::data;
use crate::error::Result;
use crate::peers;
use crate::report::{thousands, Workload, MILLSTREAM};
use crate::server::Server;

pub(super) fn run(bench: &Bench, directory: &Path, workload: &mut Workload) -> Result<()> {
    let rows = bench.scale.snapshot_rows;
    workload.title = format!(
        "{} rows of 8 columns, about 170 bytes each, that lie in the server's memory or the kernel's. Millstream: from its start on \
         an empty directory until the rows can be queried with history, and it has ended.",
        thousands(rows as f64)
    );
    let server = Server::start()?;
    server.fill(data::EVENTS)?;
    server.fill(&data::insert_events_at_once(rows))?;
    // Hint bits are set and pages are frozen by whoever reads first: not by the first consumer.
    server.execute("VACUUM (FREEZE, ANALYZE) events")?;
    server.publish(&["events"])?;
    server.settle()?;

    workload.lines.push(peers::copy(&server, directory, "events", "text", rows)?);
    workload.lines.push(peers::copy(&server, directory, "events", "binary", rows)?.reference());
    let project = bench.product.project(directory, &server, &["events"])?;
    workload.lines.push(project.measure(
        MILLSTREAM,
        rows,
        ("SELECT count(*) FROM public.events_history", rows),
    )?);
    Ok(())
}
