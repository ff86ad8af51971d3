//! What a person would hold Millstream to. Every peer reaches the server over TCP, as Millstream does, and reads from a slot of
//! its own that was made before the first change.

use std::path::Path;
use std::time::Duration;

use crate::child::Child;
use crate::debezium::Debezium;
use crate::error::{Error, Result};
use crate::report::Line;
use crate::server::{Server, PUBLICATION};

/// Several times what the slowest peer takes for the largest workload.
const PEER_WAIT_MAX: Duration = Duration::from_secs(20 * 60);

/// `COPY` of a table, thrown away.
pub(crate) fn copy(server: &Server, directory: &Path, table: &str, format: &str, rows: u64) -> Result<Line> {
    let mut command = server.program("psql");
    command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &server.url(), "-c"]);
    command.arg(format!("\\copy {table} TO '/dev/null' (FORMAT {format})"));
    let taken = Child::spawn(command, "psql", directory)?.finish(PEER_WAIT_MAX)?;
    Ok(Line::new(format!("psql \\copy, {format}"), rows, taken))
}

/// `pg_recvlogical` from a slot to `end`, thrown away. Protocol 2 streams large transactions before they commit.
pub(crate) fn recvlogical(
    server: &Server,
    directory: &Path,
    slot: &str,
    protocol: u8,
    end: &str,
    rows: u64,
) -> Result<Line> {
    let mut command = server.program("pg_recvlogical");
    command.args([
        "-d",
        &server.url(),
        "--slot",
        slot,
        "--start",
        "--endpos",
        end,
        "--no-loop",
        "-f",
        "/dev/null",
    ]);
    command.args([
        "-o",
        &format!("proto_version={protocol}"),
        "-o",
        &format!("publication_names={PUBLICATION}"),
    ]);
    if protocol >= 2 {
        command.args(["-o", "streaming=on"]);
    }
    let taken = Child::spawn(command, "pg_recvlogical", directory)?.finish(PEER_WAIT_MAX)?;
    Ok(Line::new(format!("pg_recvlogical, protocol {protocol}"), rows, taken).reference())
}

/// The Debezium engine with a handler that counts. Its time runs from the first event to the last; memory and processor time are the
/// whole process's.
pub(crate) fn debezium(
    engine: &Debezium,
    server: &Server,
    directory: &Path,
    slot: &str,
    tables: &[&str],
    rows: u64,
) -> Result<Line> {
    let tables: Vec<String> = tables.iter().map(|table| format!("public.{table}")).collect();
    let command = engine.command(server.port(), slot, PUBLICATION, &tables.join(","), rows);
    let mut child = Child::spawn(command, "debezium", directory)?;
    let mut taken = child.finish(PEER_WAIT_MAX)?;
    let said = child.stdout();
    let value =
        |name: &str| said.split_whitespace().find_map(|word| word.strip_prefix(name)?.parse::<u64>().ok());
    match (value("events="), value("millis=")) {
        (Some(events), Some(millis)) if events == rows => taken.wall = Duration::from_millis(millis),
        _ => {
            return Err(Error::new(format!(
                "the Debezium engine was to count {rows} events and said `{said}`"
            )))
        }
    }
    Ok(Line::new("Debezium engine, JSON, counted".into(), rows, taken))
}
