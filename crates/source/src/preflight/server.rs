//! The server itself: version, role in its cluster, settings, and the right to replicate.

use super::{Before, Check};
use crate::{
    capture::SLOT_WAIT_MAX,
    config::SourceConfig,
    error::{Result, SourceError},
    replication::Replication,
    sql,
    wire::{Wire, VERSION_MIN},
};

pub(super) async fn check(
    wire: &mut Wire,
    config: &SourceConfig,
    before: &Before,
    checks: &mut Vec<Check>,
) -> Result<()> {
    let version = wire.version();
    checks.push(Check::of(
        "version",
        match version.major >= VERSION_MIN {
            true => Ok(format!("PostgreSQL {}", version.text)),
            false => Err(SourceError::Version { found: version.text, needed: VERSION_MIN }),
        },
    ));
    let row = wire
        .query_one("reading the settings", "SELECT pg_is_in_recovery(), current_setting('wal_level')")
        .await?;
    let standby = row.flag(0);
    checks
        .push(Check::of("primary", if standby { Err(SourceError::Standby) } else { Ok("a primary".into()) }));
    let wal_level = row.text(1)?.to_owned();
    let logical = wal_level == "logical";
    checks.push(Check::of(
        "wal_level",
        if logical { Ok("logical".into()) } else { Err(SourceError::WalLevel { found: wal_level }) },
    ));
    replication(wire, config, before, checks).await?;
    settings(wire, checks).await
}

/// Opens a replication connection, which says more than the catalogue: managed services grant the right in ways of their own.
async fn replication(
    wire: &mut Wire,
    config: &SourceConfig,
    before: &Before,
    checks: &mut Vec<Check>,
) -> Result<()> {
    let error = match Replication::connect(&config.connection).await {
        Ok(mut replication) => {
            let identity = replication.identify().await;
            replication.close().await;
            checks.push(Check::ok(
                "replication right",
                format!("role `{}` may replicate", config.connection.user),
            ));
            let (found, end) = identity?;
            let same = before.identity.as_ref().map_or(Ok(()), |ours| ours.require_same(&found));
            let same = same.and_then(|()| match before.flushed {
                Some(ours) if end < ours => Err(SourceError::SourceBehind { theirs: end, ours }),
                _ => Ok(format!("cluster {}, timeline {}", found.system_identifier, found.timeline)),
            });
            checks.push(Check::of("identity", same));
            return Ok(());
        }
        Err(error) => error,
    };
    let mut failed = Check::failed("replication right", &error);
    if let SourceError::NoReplicationRight { role } = &error {
        let statement = format!(
            "SELECT string_agg(rolname, ', ') FROM pg_roles WHERE rolreplication AND rolname <> {0} AND pg_has_role({0}, oid, 'MEMBER')",
            sql::literal(role)
        );
        if let Some(through) = wire.query_one("reading roles", &statement).await?.get(0) {
            failed.detail.push_str(&format!(
                "; it is a member of {through}, and attributes of roles are not inherited"
            ));
        }
    }
    checks.push(failed);
    Ok(())
}

/// Settings that work and can surprise.
async fn settings(wire: &mut Wire, checks: &mut Vec<Check>) -> Result<()> {
    let statement = "SELECT name, setting::bigint FROM pg_settings WHERE name IN \
                     ('wal_sender_timeout', 'max_slot_wal_keep_size', 'idle_replication_slot_timeout')";
    for row in wire.query("reading the settings", statement).await? {
        let (name, value): (&str, i64) = (row.text(0)?, row.parse(1)?);
        checks.push(match (name, value) {
            ("wal_sender_timeout", 0) => Check::warning(
                "wal_sender_timeout",
                "it is 0: the server never notices that a reader was killed, and its slot stays in use",
                "set it to 60s",
                Some("ALTER SYSTEM SET wal_sender_timeout = '60s'".into()),
            ),
            ("wal_sender_timeout", ms) if ms > SLOT_WAIT_MAX.as_millis() as i64 => Check::warning(
                "wal_sender_timeout",
                format!("it is {} s: a restart after a kill finds the slot in use for so long", ms / 1000),
                "set it to 60s",
                Some("ALTER SYSTEM SET wal_sender_timeout = '60s'".into()),
            ),
            ("wal_sender_timeout", ms) => Check::ok("wal_sender_timeout", format!("{} s", ms / 1000)),
            ("max_slot_wal_keep_size", -1) => Check::warning(
                "max_slot_wal_keep_size",
                "it is unlimited: while Millstream is stopped, WAL is kept for its slot until the disk is full",
                "set it to what the disk can spare; beyond it the slot is lost and a resync is needed",
                None,
            ),
            ("max_slot_wal_keep_size", mb) => Check::ok(
                "max_slot_wal_keep_size",
                format!("{mb} MB of WAL are kept while Millstream is stopped; beyond that a resync is needed"),
            ),
            ("idle_replication_slot_timeout", 0) => continue,
            (_, value) => Check::warning(
                "idle_replication_slot_timeout",
                format!("it is {value} s: a slot that nobody reads for so long is lost"),
                "set it to 0, or to longer than Millstream is ever stopped",
                Some("ALTER SYSTEM SET idle_replication_slot_timeout = 0".into()),
            ),
        });
    }
    Ok(())
}
