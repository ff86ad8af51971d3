//! The slot, or room for one.

use super::{Before, Check};
use crate::{config::SourceConfig, error::Result, error::SourceError, slot::Slot, wire::Wire};

/// Less WAL than this before a slot is lost is soon used up by a busy server.
const SAFE_WAL_BYTES_MIN: i64 = 1 << 30;

pub(super) async fn check(
    wire: &mut Wire,
    config: &SourceConfig,
    before: &Before,
    checks: &mut Vec<Check>,
) -> Result<()> {
    let name = config.slot.as_str();
    let Some(slot) = Slot::read(wire, name).await? else {
        checks.push(Check::of("slot", missing(wire, name, before).await));
        return Ok(());
    };
    let checked = slot
        .check_kind()
        .and_then(|()| slot.check_wal())
        .and_then(|()| before.flushed.map_or(Ok(()), |ours| slot.check_position(ours)))
        .and_then(|()| slot.check_free());
    checks.push(match checked {
        Err(error @ SourceError::SlotInUse { .. }) => {
            let mut failed = Check::failed("slot", &error);
            failed.detail.push_str(&reader(wire, &slot).await?);
            failed
        }
        Err(error) => Check::failed("slot", &error),
        Ok(()) => {
            let retained = slot.retained_bytes.unwrap_or(0) >> 20;
            let detail = format!("`{name}` is there and free; the server keeps {retained} MB of WAL for it");
            match (slot.wal_status.as_deref(), slot.safe_wal_size) {
                (Some("unreserved"), _) => Check::warning(
                    "slot",
                    format!("{detail}; its WAL can be removed at the next checkpoint"),
                    "start replication now, or raise max_slot_wal_keep_size",
                    None,
                ),
                (_, Some(safe)) if safe < SAFE_WAL_BYTES_MIN => Check::warning(
                    "slot",
                    format!("{detail}; it is lost after {} MB more", safe.max(0) >> 20),
                    "start replication now, or raise max_slot_wal_keep_size",
                    None,
                ),
                _ => Check::ok("slot", detail),
            }
        }
    });
    Ok(())
}

async fn missing(wire: &mut Wire, name: &str, before: &Before) -> Result<String> {
    if before.flushed.is_some() {
        return Err(SourceError::SlotMissing { slot: name.to_owned() });
    }
    // What PostgreSQL takes as a slot's name (ReplicationSlotValidateName).
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || name.len() > 63 || !name.chars().all(valid) {
        let what = "is no name for a slot: lower case letters, digits and underscores, at most 63".to_owned();
        return Err(SourceError::WrongSlot { slot: name.to_owned(), what });
    }
    let statement =
        "SELECT current_setting('max_replication_slots')::int, count(*) FROM pg_replication_slots";
    let row = wire.query_one("counting replication slots", statement).await?;
    let (max, used): (u32, u32) = (row.parse(0)?, row.parse(1)?);
    match used < max {
        true => Ok(format!("`{name}` will be created ({used} of {max} slots are in use)")),
        false => Err(SourceError::NoFreeSlot { max: max.to_string() }),
    }
}

async fn reader(wire: &mut Wire, slot: &Slot) -> Result<String> {
    let Some(pid) = slot.active_pid else { return Ok(String::new()) };
    let statement = format!(
        "SELECT concat_ws(', ', nullif(application_name, ''), 'from ' || client_addr, 'since ' || backend_start) \
         FROM pg_stat_activity WHERE pid = {pid}"
    );
    let rows = wire.query("asking who reads from the slot", &statement).await?;
    let who = rows.first().and_then(|row| row.get(0)).filter(|who| !who.is_empty());
    Ok(who.map(|who| format!(" ({who})")).unwrap_or_default())
}
