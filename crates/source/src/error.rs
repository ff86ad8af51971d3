//! What can go wrong at a PostgreSQL source, each with its stable code, its next step, and whether waiting helps.
//!
//! The table at the end of this file is the only place that decides between retrying and stopping.

use std::fmt;

use millstream_core::{Action, Diagnostic, Exit, Lsn};

/// Result of this room's calls.
pub type Result<T, E = SourceError> = std::result::Result<T, E>;

/// What the server said, field by field (PostgreSQL documentation, "Error and Notice Message Fields").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerMessage {
    /// `S`/`V`: ERROR, FATAL, …
    pub severity: String,
    /// `C`: the SQLSTATE.
    pub sqlstate: String,
    /// `M`: the message.
    pub message: String,
    /// `D`: more of it.
    pub detail: Option<String>,
    /// `H`: the server's advice.
    pub hint: Option<String>,
    /// `P`: which character of the statement it is about, from 1.
    pub position: Option<usize>,
}

impl fmt::Display for ServerMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.sqlstate)?;
        if let Some(detail) = &self.detail {
            write!(f, "; {detail}")?;
        }
        Ok(())
    }
}

/// An error of the source.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The connection string can't be used. Never holds a value of it, which could be part of a password.
    #[error("the connection to the source is not well formed: {reason}")]
    Connection {
        /// What is wrong.
        reason: String,
    },
    /// No server answered.
    #[error("cannot reach PostgreSQL at {address}")]
    Unreachable {
        /// Host and port, or the socket's path.
        address: String,
        /// The system's words.
        reason: String,
    },
    /// TLS was demanded, and can't be had as demanded.
    #[error("no TLS connection to {address}: {reason}")]
    Tls {
        /// Host and port.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// User, password or the server's access rules.
    #[error("PostgreSQL at {address} does not let user `{user}` in")]
    Authentication {
        /// Host and port.
        address: String,
        /// Who wanted in.
        user: String,
        /// The server's or the method's words.
        reason: String,
    },
    /// The database is not there.
    #[error("there is no database `{database}` at {address}")]
    NoDatabase {
        /// Host and port.
        address: String,
        /// Its name.
        database: String,
    },
    /// Starting up, shutting down, or out of connections: it passes.
    #[error("PostgreSQL is not available: {server}")]
    Unavailable {
        /// The server's words.
        server: Box<ServerMessage>,
    },
    /// The connection broke or fell silent.
    #[error("the connection to PostgreSQL was lost while {doing}")]
    Lost {
        /// What was being done.
        doing: String,
        /// How it broke.
        reason: String,
    },
    /// The server said something that this side can't make sense of.
    #[error("unexpected message from PostgreSQL while {doing}: {what}")]
    Protocol {
        /// What was being done.
        doing: String,
        /// What came.
        what: String,
    },
    /// A statement failed for a reason that has no entry of its own.
    #[error("PostgreSQL refused while {doing}: {server}")]
    Server {
        /// What was being done.
        doing: String,
        /// The server's words.
        server: Box<ServerMessage>,
    },
    /// Older than what is supported.
    #[error("PostgreSQL {found} is too old; {needed} is the oldest that is supported")]
    Version {
        /// Of the server.
        found: String,
        /// The oldest supported.
        needed: u32,
    },
    /// The server follows another one.
    #[error("the server is a standby, and replication starts at a primary")]
    Standby,
    /// `wal_level` is not `logical`.
    #[error("the server's wal_level is `{found}`, and logical replication needs `logical`")]
    WalLevel {
        /// What it is.
        found: String,
    },
    /// The role may not replicate.
    #[error("role `{role}` has no REPLICATION attribute of its own")]
    NoReplicationRight {
        /// The role.
        role: String,
    },
    /// A right on an object is missing.
    #[error("role `{role}` lacks {privilege} on {object}")]
    NoPrivilege {
        /// The role.
        role: String,
        /// `SELECT`, `USAGE`, …
        privilege: String,
        /// On what, with its kind.
        object: String,
        /// What grants it.
        remedy: String,
    },
    /// No replication slot is left.
    #[error("all {max} replication slots are in use")]
    NoFreeSlot {
        /// `max_replication_slots`, or `of the server` where it could not be asked.
        max: String,
    },
    /// No walsender is left.
    #[error("all walsenders are in use")]
    NoFreeWalsender {
        /// The server's words.
        reason: String,
    },
    /// Somebody else reads from the slot.
    #[error("replication slot `{slot}` is in use by process {pid}")]
    SlotInUse {
        /// Its name.
        slot: String,
        /// Who holds it; empty if unknown.
        pid: String,
    },
    /// The slot is of another kind.
    #[error("replication slot `{slot}` {what}")]
    WrongSlot {
        /// Its name.
        slot: String,
        /// Why it can't be used.
        what: String,
    },
    /// The slot that we replicated from is not there.
    #[error("replication slot `{slot}` is gone")]
    SlotMissing {
        /// Its name.
        slot: String,
    },
    /// The server has removed WAL that the slot needs.
    #[error("the server has removed WAL that replication slot `{slot}` still needed")]
    WalRemoved {
        /// Its name.
        slot: String,
        /// The server's words.
        reason: String,
    },
    /// The slot moved on without us: dropped and created again, or read by somebody else.
    #[error("replication slot `{slot}` stands at {confirmed}, beyond {ours} where we are: changes between are lost")]
    SlotAdvanced {
        /// Its name.
        slot: String,
        /// Where it stands.
        confirmed: Lsn,
        /// Where we are.
        ours: Lsn,
    },
    /// The server's WAL ends before what we hold.
    #[error(
        "the source ends at {theirs}, before {ours} which is in the log: it was restored or failed over"
    )]
    SourceBehind {
        /// Its end of WAL.
        theirs: Lsn,
        /// Ours.
        ours: Lsn,
    },
    /// Another cluster, timeline or database.
    #[error("the source is not the one this project holds: {what}")]
    OtherSource {
        /// What differs.
        what: String,
    },
    /// A pattern of the configuration names no table.
    #[error("table pattern `{pattern}` matches nothing")]
    PatternMatchesNothing {
        /// The pattern.
        pattern: String,
        /// The nearest name, if one is near.
        nearest: Option<String>,
    },
    /// A pattern that can't be read.
    #[error("table pattern `{pattern}` is not well formed: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why.
        reason: String,
    },
    /// Updates and deletes of the table can't be told apart, or would fail once it is published.
    #[error("table {table} {what}")]
    NoIdentity {
        /// Its name.
        table: String,
        /// Why.
        what: String,
        /// What mends it.
        remedy: String,
    },
    /// A table that logical decoding never sees.
    #[error("table {table} is {what}, so its changes are not in the WAL")]
    NotLogged {
        /// Its name.
        table: String,
        /// `unlogged` or `temporary`.
        what: String,
        /// What mends it.
        remedy: String,
    },
    /// The publication is not there.
    #[error("there is no publication `{publication}`")]
    NoPublication {
        /// Its name.
        publication: String,
    },
    /// The publication leaves out something that is to be replicated.
    #[error("publication `{publication}` lacks {what}")]
    Publication {
        /// Its name.
        publication: String,
        /// A table or an operation.
        what: String,
        /// What mends it.
        remedy: String,
    },
    /// Two tables would be one in the warehouse.
    #[error("{first} and {second} have the same name in the warehouse")]
    NamesCollide {
        /// One.
        first: String,
        /// The other.
        second: String,
    },
    /// Open transactions hold up something that has to wait for them.
    #[error("{doing} waited {waited_s} s for transactions that are still open")]
    OpenTransactions {
        /// What waited.
        doing: String,
        /// How long.
        waited_s: u64,
        /// Who holds it up.
        blockers: String,
    },
    /// An input (a file) of the connection can't be read.
    #[error("cannot read {path}")]
    File {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
    /// The preflight found conditions that must be mended first.
    #[error("the source is not ready: {first}")]
    NotReady {
        /// The first failed check.
        first: String,
        /// How many there are.
        failed: usize,
        /// Remedies, as SQL.
        remedy: Option<String>,
        /// Next step of the first failed check.
        hint: Option<String>,
        /// Its code.
        code: &'static str,
        /// Its exit status.
        exit: Exit,
    },
    /// The log refused what was read: carries its own code through.
    #[error("{message}")]
    Log {
        /// The log's code.
        code: &'static str,
        /// Its message.
        message: String,
        /// Its detail.
        detail: Option<String>,
        /// Its hint.
        hint: Option<String>,
        /// What it says is to be done.
        action: Action,
        /// How it ends the process.
        exit: Exit,
    },
    /// The caller asked for an end.
    #[error("stopped")]
    Cancelled,
}

impl SourceError {
    /// Takes over an error of a port that this room drives.
    pub fn from_port(error: millstream_core::BoxedDiagnostic) -> Self {
        SourceError::Log {
            code: error.code(),
            message: error.to_string(),
            detail: error.detail(),
            hint: error.hint(),
            action: error.action(),
            exit: error.exit(),
        }
    }

    /// Whether waiting and trying again can help.
    pub fn is_transient(&self) -> bool {
        self.action() == Action::Retry
    }

    /// What mends it, as SQL for somebody who may.
    pub fn remedy_sql(&self) -> Option<String> {
        match self {
            SourceError::WalLevel { .. } => Some("ALTER SYSTEM SET wal_level = 'logical'".into()),
            SourceError::NoReplicationRight { role } => {
                Some(format!("ALTER ROLE {} REPLICATION", crate::sql::identifier(role)))
            }
            SourceError::WalRemoved { slot, .. } => {
                Some(format!("SELECT pg_drop_replication_slot({})", crate::sql::literal(slot)))
            }
            SourceError::NoPrivilege { remedy, .. }
            | SourceError::NoIdentity { remedy, .. }
            | SourceError::NotLogged { remedy, .. }
            | SourceError::Publication { remedy, .. } => Some(remedy.clone()),
            SourceError::NotReady { remedy, .. } => remedy.clone(),
            _ => None,
        }
    }

    /// The server's SQLSTATE, if it was the server that refused.
    pub(crate) fn sqlstate(&self) -> Option<&str> {
        match self {
            SourceError::Server { server, .. } => Some(&server.sqlstate),
            SourceError::Unavailable { server } => Some(&server.sqlstate),
            _ => None,
        }
    }

    pub(crate) fn lost(doing: &str, error: impl fmt::Display) -> Self {
        SourceError::Lost { doing: doing.to_owned(), reason: error.to_string() }
    }

    pub(crate) fn protocol(doing: &str, what: impl Into<String>) -> Self {
        SourceError::Protocol { doing: doing.to_owned(), what: what.into() }
    }

    /// Gives the server's words the entry of this table that they belong to.
    pub(crate) fn from_server(doing: &str, server: ServerMessage) -> Self {
        match server.sqlstate.as_str() {
            // admin shutdown, crash shutdown, cannot connect now, too many connections
            "57P01" | "57P02" | "57P03" | "53300" => SourceError::Unavailable { server: Box::new(server) },
            _ => SourceError::Server { doing: doing.to_owned(), server: Box::new(server) },
        }
    }
}

impl Diagnostic for SourceError {
    fn code(&self) -> &'static str {
        use SourceError::*;
        match self {
            Connection { .. } => "MS2001",
            Unreachable { .. } => "MS2002",
            Tls { .. } => "MS2003",
            Authentication { .. } => "MS2004",
            NoDatabase { .. } => "MS2005",
            Unavailable { .. } => "MS2006",
            Lost { .. } => "MS2007",
            Protocol { .. } => "MS2008",
            Server { .. } => "MS2009",
            File { .. } => "MS2010",
            Version { .. } => "MS2101",
            WalLevel { .. } => "MS2102",
            NoReplicationRight { .. } => "MS2103",
            NoPrivilege { .. } => "MS2104",
            NoFreeSlot { .. } => "MS2105",
            NoFreeWalsender { .. } => "MS2106",
            Standby => "MS2107",
            PatternMatchesNothing { .. } => "MS2201",
            Pattern { .. } => "MS2202",
            NoIdentity { .. } => "MS2203",
            NotLogged { .. } => "MS2204",
            NoPublication { .. } => "MS2205",
            Publication { .. } => "MS2206",
            NamesCollide { .. } => "MS2207",
            SlotInUse { .. } => "MS2301",
            WrongSlot { .. } => "MS2302",
            SlotMissing { .. } => "MS2303",
            WalRemoved { .. } => "MS2304",
            SlotAdvanced { .. } => "MS2305",
            SourceBehind { .. } => "MS2306",
            OtherSource { .. } => "MS2307",
            OpenTransactions { .. } => "MS2308",
            NotReady { code, .. } | Log { code, .. } => code,
            Cancelled => "MS2000",
        }
    }

    fn detail(&self) -> Option<String> {
        use SourceError::*;
        match self {
            Unreachable { reason, .. }
            | Authentication { reason, .. }
            | Lost { reason, .. }
            | NoFreeWalsender { reason }
            | WalRemoved { reason, .. }
            | File { reason, .. } => Some(reason.clone()),
            Server { server, .. } => server.hint.clone().map(|hint| format!("the server adds: {hint}")),
            OpenTransactions { blockers, .. } => Some(blockers.clone()),
            NotReady { failed, remedy, .. } => {
                let more = (*failed > 1).then(|| format!("and {} more checks failed", failed - 1));
                match (more, remedy) {
                    (Some(more), Some(remedy)) => Some(format!("{more}\n{remedy}")),
                    (more, remedy) => more.or_else(|| remedy.clone()),
                }
            }
            Log { detail, .. } => detail.clone(),
            _ => None,
        }
    }

    fn hint(&self) -> Option<String> {
        use SourceError::*;
        Some(match self {
            Connection { .. } => {
                "write it as postgresql://user:password@host:5432/database?sslmode=verify-full, or as key=value pairs".into()
            }
            Unreachable { address, .. } => {
                format!("check that PostgreSQL runs and listens at {address}, and that no firewall stands between")
            }
            Tls { .. } => "turn ssl on at the server, name its certificate authority in sslrootcert, or lower sslmode".into(),
            Authentication { .. } => {
                "check user and password, and that pg_hba.conf lets this user in from this machine".into()
            }
            NoDatabase { .. } => "name the database that holds the tables".into(),
            Unavailable { .. } => "wait until the server accepts connections, or raise max_connections".into(),
            Lost { .. } => "nothing is lost: what was not acknowledged is sent again".into(),
            Protocol { .. } => "connect to PostgreSQL itself and not through a pooler".into(),
            Server { .. } | Cancelled => return None,
            File { .. } => "check the path and its permissions".into(),
            Version { needed, .. } => format!("upgrade the server to PostgreSQL {needed} or later"),
            WalLevel { .. } => "run ALTER SYSTEM SET wal_level = 'logical' and restart the server".into(),
            NoReplicationRight { role } => {
                format!("run ALTER ROLE {} REPLICATION (the right is not inherited)", crate::sql::identifier(role))
            }
            NoPrivilege { remedy, .. } => format!("run as its owner or a superuser: {remedy}"),
            NotLogged { table, remedy, .. } => format!("run {remedy}, or leave it out with `!{table}`"),
            NoIdentity { remedy, .. } | Publication { remedy, .. } => format!("run {remedy}"),
            Standby => "connect to the primary".into(),
            NoFreeSlot { .. } => {
                "drop a slot that nobody reads (pg_drop_replication_slot), or raise max_replication_slots and restart".into()
            }
            NoFreeWalsender { .. } => "end a replication connection, or raise max_wal_senders and restart the server".into(),
            SlotInUse { .. } => {
                "stop the other reader, or wait until the server notices that it is gone (wal_sender_timeout)".into()
            }
            WrongSlot { .. } => "name another slot in source.postgres.slot; a missing one is created".into(),
            SlotMissing { .. } => "run `millstream resync` to start again from a new slot; history is kept".into(),
            WalRemoved { .. } => {
                "drop the slot and run `millstream resync`; raise max_slot_wal_keep_size so that it does not happen again".into()
            }
            SlotAdvanced { .. } | SourceBehind { .. } => {
                "run `millstream resync`: current tables are made equal again, and history says what was missed".into()
            }
            OtherSource { .. } => "point the project at its own source, or start a new project for this one".into(),
            PatternMatchesNothing { nearest: Some(nearest), .. } => format!("did you mean `{nearest}`?"),
            PatternMatchesNothing { .. } => "name tables as schema.table; `*` stands for any part of a name".into(),
            Pattern { .. } => "write patterns as schema.table or !schema.table; `*` stands for any part of a name".into(),
            NoPublication { .. } => "name an existing publication, or let `millstream up` create it".into(),
            NamesCollide { .. } => "give one of them another name in the configuration, or leave one out".into(),
            OpenTransactions { .. } => "end these transactions, or start again when they are done".into(),
            NotReady { hint, .. } | Log { hint, .. } => return hint.clone(),
        })
    }

    fn action(&self) -> Action {
        use SourceError::*;
        match self {
            Unreachable { .. }
            | Unavailable { .. }
            | Lost { .. }
            | NoFreeWalsender { .. }
            | SlotInUse { .. }
            | OpenTransactions { .. } => Action::Retry,
            Log { action, .. } => *action,
            _ => Action::Stop,
        }
    }

    fn exit(&self) -> Exit {
        use SourceError::*;
        match self {
            Connection { .. }
            | PatternMatchesNothing { .. }
            | Pattern { .. }
            | NamesCollide { .. }
            | File { .. } => Exit::Usage,
            SlotMissing { .. }
            | WalRemoved { .. }
            | SlotAdvanced { .. }
            | SourceBehind { .. }
            | OtherSource { .. }
            | SlotInUse { .. } => Exit::Protected,
            NotReady { exit, .. } | Log { exit, .. } => *exit,
            _ => Exit::Unreachable,
        }
    }
}
