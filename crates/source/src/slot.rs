//! The replication slot as the server shows it, and whether it can go on from where we are.

use millstream_core::Lsn;

use crate::{
    error::{Result, SourceError},
    replication::PLUGIN,
    sql,
    wire::Wire,
};

/// A row of `pg_replication_slots`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// `logical`, not `physical`.
    pub logical: bool,
    /// Its output plugin.
    pub plugin: String,
    /// Its database.
    pub database: String,
    /// The database of the connection that asked.
    pub our_database: String,
    /// Gone when its session ends.
    pub temporary: bool,
    /// Who reads from it.
    pub active_pid: Option<i32>,
    /// From where on the server keeps WAL for it.
    pub restart_lsn: Option<Lsn>,
    /// What its reader has acknowledged.
    pub confirmed_flush: Option<Lsn>,
    /// `reserved`, `extended`, `unreserved`, `lost` (13 on).
    pub wal_status: Option<String>,
    /// Bytes that can still be written before its WAL is removed (13 on, with `max_slot_wal_keep_size`).
    pub safe_wal_size: Option<i64>,
    /// WAL kept for it, in bytes.
    pub retained_bytes: Option<i64>,
}

impl Slot {
    /// Reads it, if it exists.
    pub async fn read(wire: &mut Wire, name: &str) -> Result<Option<Slot>> {
        let wal_status = if wire.version().major >= 13 { "wal_status, safe_wal_size" } else { "NULL, NULL" };
        // On a standby there is no current position; replication from one is not supported, and is said elsewhere.
        let statement = format!(
            "SELECT slot_type = 'logical', plugin, database, current_database(), temporary, active_pid, restart_lsn, \
             confirmed_flush_lsn, {wal_status}, \
             CASE WHEN NOT pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint END \
             FROM pg_replication_slots WHERE slot_name = {}",
            sql::literal(name)
        );
        let rows = wire.query("reading the replication slot", &statement).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let optional = |index| row.get(index).map(str::to_owned);
        Ok(Some(Slot {
            name: name.to_owned(),
            logical: row.flag(0),
            plugin: optional(1).unwrap_or_default(),
            database: optional(2).unwrap_or_default(),
            our_database: row.text(3)?.to_owned(),
            temporary: row.flag(4),
            active_pid: row.get(5).map(|_| row.parse(5)).transpose()?,
            restart_lsn: row.get(6).map(|_| row.parse(6)).transpose()?,
            confirmed_flush: row.get(7).map(|_| row.parse(7)).transpose()?,
            wal_status: optional(8),
            safe_wal_size: row.get(9).map(|_| row.parse(9)).transpose()?,
            retained_bytes: row.get(10).map(|_| row.parse(10)).transpose()?,
        }))
    }

    /// Whether it is a slot that we can read at all.
    pub fn check_kind(&self) -> Result<()> {
        let what = if !self.logical {
            "is a physical one".to_owned()
        } else if self.plugin != PLUGIN {
            format!("belongs to the output plugin `{}`, and `{PLUGIN}` is needed", self.plugin)
        } else if self.database != self.our_database {
            format!("belongs to database `{}`", self.database)
        } else if self.temporary {
            "is a temporary one of another session".to_owned()
        } else {
            return Ok(());
        };
        Err(SourceError::WrongSlot { slot: self.name.clone(), what })
    }

    /// Whether its WAL is still there.
    pub fn check_wal(&self) -> Result<()> {
        // A slot without a restart position was invalidated.
        if self.wal_status.as_deref() == Some("lost") || self.restart_lsn.is_none() {
            let reason = match &self.wal_status {
                Some(status) => format!("wal_status is `{status}`"),
                None => "it has no restart_lsn".to_owned(),
            };
            return Err(SourceError::WalRemoved { slot: self.name.clone(), reason });
        }
        Ok(())
    }

    /// Whether it still has everything from `ours` on. A slot that was dropped and created again stands at its creation.
    pub fn check_position(&self, ours: Lsn) -> Result<()> {
        match self.confirmed_flush {
            Some(confirmed) if confirmed > ours => {
                Err(SourceError::SlotAdvanced { slot: self.name.clone(), confirmed, ours })
            }
            _ => Ok(()),
        }
    }

    /// Whether nobody else reads from it.
    pub fn check_free(&self) -> Result<()> {
        match self.active_pid {
            Some(pid) => Err(SourceError::SlotInUse { slot: self.name.clone(), pid: pid.to_string() }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot() -> Slot {
        Slot {
            name: "s".into(),
            logical: true,
            plugin: PLUGIN.into(),
            database: "d".into(),
            our_database: "d".into(),
            temporary: false,
            active_pid: None,
            restart_lsn: Some(Lsn(90)),
            confirmed_flush: Some(Lsn(100)),
            wal_status: Some("reserved".into()),
            safe_wal_size: None,
            retained_bytes: None,
        }
    }

    #[test]
    fn a_slot_beyond_us_has_lost_changes_and_one_behind_us_has_not() {
        assert!(slot().check_position(Lsn(100)).is_ok() && slot().check_position(Lsn(101)).is_ok());
        assert!(matches!(slot().check_position(Lsn(99)), Err(SourceError::SlotAdvanced { .. })));
    }

    #[test]
    fn slots_of_others_are_refused() {
        assert!(slot().check_kind().is_ok() && slot().check_wal().is_ok() && slot().check_free().is_ok());
        assert!(Slot { plugin: "test_decoding".into(), ..slot() }.check_kind().is_err());
        assert!(Slot { our_database: "e".into(), ..slot() }.check_kind().is_err());
        assert!(Slot { logical: false, ..slot() }.check_kind().is_err());
        assert!(Slot { restart_lsn: None, ..slot() }.check_wal().is_err());
        assert!(Slot { wal_status: Some("lost".into()), ..slot() }.check_wal().is_err());
        assert!(Slot { active_pid: Some(1), ..slot() }.check_free().is_err());
    }
}
