//! Waiting for other sessions' transactions, bounded, and who they are.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::{
    error::{Result, SourceError},
    wire::Wire,
};

/// How often transactions are looked at while waiting for them.
const POLL: Duration = Duration::from_millis(50);

/// As many as a person can deal with at once.
const NAMED_MAX: usize = 5;

/// Transactions that have written and are still open, the oldest first, for people. Those of this connection and of walsenders are not meant.
pub(crate) async fn open_transactions(wire: &mut Wire) -> Result<String> {
    let statement = "SELECT 'pid ' || pid || ' (' || concat_ws(', ', 'user ' || usename, 'database ' || datname, \
         nullif(application_name, ''), state || ' for ' || extract(epoch FROM clock_timestamp() - xact_start)::bigint || ' s') \
         || ')', xact_start FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() \
         UNION ALL SELECT 'prepared transaction ' || quote_literal(gid) || ' (user ' || owner || ', database ' || database || ')', \
         prepared FROM pg_prepared_xacts ORDER BY 2";
    let rows = wire.query("asking for open transactions", statement).await?;
    let mut named: Vec<&str> = rows.iter().filter_map(|row| row.get(0)).take(NAMED_MAX).collect();
    let more = format!("and {} more", rows.len().saturating_sub(NAMED_MAX));
    if rows.len() > NAMED_MAX {
        named.push(&more);
    }
    Ok(match named.is_empty() {
        true => "none is open any more".into(),
        false => format!("open: {}", named.join("; ")),
    })
}

/// Waits until every transaction that has an id now is finished.
pub(crate) async fn wait_for_transactions(wire: &mut Wire, doing: &str, wait_max: Duration) -> Result<()> {
    let snapshot = if wire.version().major >= 13 { "pg_current_snapshot" } else { "txid_current_snapshot" };
    let bound = |edge: &str| match snapshot {
        "pg_current_snapshot" => format!("SELECT pg_snapshot_{edge}(pg_current_snapshot())"),
        _ => format!("SELECT txid_snapshot_{edge}(txid_current_snapshot())"),
    };
    let begin = Instant::now();
    let until: u64 = wire.query_one(doing, &bound("xmax")).await?.parse(0)?;
    loop {
        let oldest: u64 = wire.query_one(doing, &bound("xmin")).await?.parse(0)?;
        if oldest >= until {
            return Ok(());
        }
        if begin.elapsed() >= wait_max {
            let blockers = open_transactions(wire).await?;
            return Err(SourceError::OpenTransactions {
                doing: doing.to_owned(),
                waited_s: wait_max.as_secs(),
                blockers,
            });
        }
        sleep(POLL).await;
    }
}
