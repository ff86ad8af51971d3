//! Where the source stands.

use std::time::{Duration, Instant};

use millstream_core::Lsn;
use tokio::time::sleep;

use crate::{error::Result, wire::Wire};

/// Where the server's WAL is durable, once everything that was committed before this call is: a commit with `synchronous_commit = off` becomes
/// durable a moment later, and the stream sends nothing earlier.
pub async fn flushed_position(wire: &mut Wire) -> Result<Lsn> {
    let doing = "asking for the source's position";
    let statement =
        "SELECT pg_current_wal_insert_lsn(), setting FROM pg_settings WHERE name = 'wal_writer_delay'";
    let row = wire.query_one(doing, statement).await?;
    let (insert, delay_ms): (Lsn, u64) = (row.parse(0)?, row.parse(1)?);
    // The WAL writer flushes asynchronous commits after at most three rounds (PostgreSQL documentation, "Asynchronous Commit").
    let begin = Instant::now();
    let wait_max = Duration::from_millis(delay_ms.saturating_mul(4));
    loop {
        let flushed: Lsn = wire.query_one(doing, "SELECT pg_current_wal_flush_lsn()").await?.parse(0)?;
        // What lies between at the end of the wait is no commit.
        if flushed >= insert || begin.elapsed() >= wait_max {
            return Ok(flushed);
        }
        sleep(Duration::from_millis(10)).await;
    }
}
