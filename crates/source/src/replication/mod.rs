//! The replication connection: identity, slots, and the start of the stream
//! (PostgreSQL documentation, "Streaming Replication Protocol" and "Logical Streaming Replication Protocol").

mod stream;

use std::time::Duration;

use millstream_core::{log::SourceDescription, Lsn};
use postgres_protocol::message::frontend;
use serde::{Deserialize, Serialize};

pub(crate) use stream::{Event, Frames, ReplicationStream};

use crate::{
    config::Connection,
    error::{Result, SourceError},
    sql,
    wire::{server_message, unexpected, ServerVersion, Session, Wire},
};

/// The output plugin that every server has.
pub const PLUGIN: &str = "pgoutput";

/// The first version whose server streams large transactions before they commit (protocol 2) and passes on logical messages.
const STREAMING_SINCE: u32 = 14;

/// Bound on what the server needs beyond the wait for transactions: it takes milliseconds.
const SLOT_CREATION_SLACK: Duration = Duration::from_secs(30);

/// Which cluster and database this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceIdentity {
    /// Unique to the cluster; a standby and a restored backup have it too.
    pub system_identifier: String,
    /// Changes with every promotion.
    pub timeline: u32,
    /// OID of the database: a database dropped and created again is another one.
    pub database: u32,
}

impl SourceIdentity {
    /// Refuses a source that is not this one.
    pub fn require_same(&self, found: &SourceIdentity) -> Result<()> {
        let what = if self.system_identifier != found.system_identifier {
            format!("its system identifier is {}, ours {}", found.system_identifier, self.system_identifier)
        } else if self.database != found.database {
            format!("its database has OID {}, ours {}", found.database, self.database)
        } else if self.timeline != found.timeline {
            format!(
                "it is on timeline {}, ours {}: it was promoted or restored",
                found.timeline, self.timeline
            )
        } else {
            return Ok(());
        };
        Err(SourceError::OtherSource { what })
    }
}

/// A slot that was created just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedSlot {
    /// The stream holds exactly the transactions that commit at or after it, the exported snapshot those before.
    pub consistent_point: Lsn,
    /// Name of the exported snapshot. Lives until the next command on this connection, or its end.
    pub snapshot: String,
}

/// A connection in replication mode.
pub struct Replication {
    wire: Wire,
}

impl Replication {
    /// Connects.
    pub async fn connect(connection: &Connection) -> Result<Replication> {
        Ok(Replication { wire: Wire::connect_as(connection, Session::Replication).await? })
    }

    /// The server's version.
    pub fn version(&self) -> ServerVersion {
        self.wire.version()
    }

    /// The pid of the walsender.
    pub fn backend_pid(&self) -> i32 {
        self.wire.backend_pid()
    }

    /// Which cluster and database this is, and where its WAL ends.
    pub async fn identify(&mut self) -> Result<(SourceIdentity, Lsn)> {
        let doing = "identifying the server";
        let row = self.wire.query_one(doing, "IDENTIFY_SYSTEM").await?;
        let (system_identifier, timeline, end) = (row.text(0)?.to_owned(), row.parse(1)?, row.parse(2)?);
        let statement =
            "SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()";
        let database = self.wire.query_one(doing, statement).await?.parse(0)?;
        Ok((SourceIdentity { system_identifier, timeline, database }, end))
    }

    /// Creates a slot and exports its snapshot. Waits for every transaction that is open and has written, each for at most `wait_max`.
    ///
    /// The caller names those that held it up: [`SourceError::OpenTransactions`] comes without them.
    pub async fn create_slot(&mut self, slot: &str, wait_max: Duration) -> Result<CreatedSlot> {
        let doing = "creating the replication slot";
        // statement_timeout does not end this wait, lock_timeout does.
        self.wire.query(doing, &format!("SET lock_timeout = {}", wait_max.as_millis())).await?;
        let options = match self.version().major >= 15 {
            true => "(SNAPSHOT 'export')",
            false => "EXPORT_SNAPSHOT",
        };
        let statement =
            format!("CREATE_REPLICATION_SLOT {} LOGICAL {PLUGIN} {options}", sql::identifier(slot));
        let rows = self.wire.query_within(doing, &statement, wait_max + SLOT_CREATION_SLACK).await;
        let rows = rows.map_err(|error| slot_error(error, slot))?;
        let row = rows.first().ok_or_else(|| SourceError::protocol(doing, "no row"))?;
        let created = CreatedSlot { consistent_point: row.parse(1)?, snapshot: row.text(2)?.to_owned() };
        fail::fail_point!("source::slot_created");
        Ok(created)
    }

    /// Drops a slot.
    pub async fn drop_slot(&mut self, slot: &str) -> Result<()> {
        let statement = format!("DROP_REPLICATION_SLOT {}", sql::identifier(slot));
        self.wire
            .query("dropping the replication slot", &statement)
            .await
            .map_err(|e| slot_error(e, slot))?;
        Ok(())
    }

    /// Who speaks on this connection, and in which form.
    pub(crate) fn describe(&self, identity: &SourceIdentity, server_version: u32) -> SourceDescription {
        let (protocol, options) = self.dialect();
        let settings = self.wire.pinned().chain(options.iter().copied());
        SourceDescription {
            system_identifier: identity.system_identifier.parse().unwrap_or(0),
            server_version,
            protocol,
            options: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }

    /// The protocol's version, and pgoutput's options beyond it.
    fn dialect(&self) -> (u32, &'static [(&'static str, &'static str)]) {
        match self.version().major >= STREAMING_SINCE {
            true => (2, &[("streaming", "on"), ("messages", "true")]),
            false => (1, &[]),
        }
    }

    /// Starts the stream at `from`, or where the slot stands if that is later.
    pub(crate) async fn start(
        mut self,
        slot: &str,
        publication: &str,
        from: Lsn,
    ) -> Result<ReplicationStream> {
        let doing = "starting replication";
        let (protocol, options) = self.dialect();
        let options: String = options.iter().map(|(name, value)| format!(", {name} '{value}'")).collect();
        let statement = format!(
            "START_REPLICATION SLOT {} LOGICAL {from} (proto_version '{protocol}', publication_names {}{options})",
            sql::identifier(slot),
            sql::literal(&sql::identifier(publication)),
        );
        self.wire.send(doing, |output| frontend::query(&statement, output)).await?;
        let frame = self.wire.frame(doing).await?;
        match frame.tag {
            b'W' => Ok(ReplicationStream::new(self.wire)),
            b'E' => Err(slot_error(SourceError::from_server(doing, server_message(&frame.body)), slot)),
            tag => Err(unexpected(doing, tag)),
        }
    }

    /// Ends the connection, and with it an exported snapshot that nobody imported.
    pub async fn close(self) {
        self.wire.close().await;
    }
}

/// Gives a server's refusal about a slot the entry that it belongs to.
pub(crate) fn slot_error(error: SourceError, slot: &str) -> SourceError {
    let SourceError::Server { server, .. } = &error else { return error };
    let message = server.message.as_str();
    let slot = || slot.to_owned();
    match server.sqlstate.as_str() {
        "55006" => SourceError::SlotInUse {
            slot: slot(),
            pid: message
                .rsplit("PID ")
                .next()
                .filter(|_| message.contains("PID "))
                .unwrap_or("unknown")
                .to_owned(),
        },
        "55P03" => SourceError::OpenTransactions {
            doing: format!("creating replication slot `{}`", slot()),
            waited_s: 0,
            blockers: String::new(),
        },
        "53400" => SourceError::NoFreeSlot { max: "of the server's".into() },
        "42704" if message.starts_with("publication") => SourceError::NoPublication {
            publication: message.split('"').nth(1).unwrap_or_default().to_owned(),
        },
        "42704" => SourceError::SlotMissing { slot: slot() },
        "58P01" => SourceError::WalRemoved { slot: slot(), reason: server.to_string() },
        "55000" if message.contains("wal_level") => SourceError::WalLevel { found: "below logical".into() },
        // "can no longer get changes from", "cannot read from", "can no longer access": the wording changes with versions.
        "55000" if message.contains("slot") => {
            SourceError::WalRemoved { slot: slot(), reason: server.to_string() }
        }
        _ => error,
    }
}
