//! Opening the file: settings, what can be wrong with it, and the way back from a damaged write-ahead log.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::cast::AsArray;
use millstream_core::Restrictions;

use super::{
    aside::{move_wal_aside, wal_path, FileKind},
    close::Estimates,
    continuity::Continuity,
    engine::{Connection, Database, EngineError},
    failed,
    sessions::Sessions,
    sql::{string, HIDDEN_SCHEMA},
    state::single_u64,
    DuckDb,
};
use crate::WarehouseError;

/// Version of what stands in the hidden schema. A file with a later one is refused.
const FORMAT_VERSION: u32 = 1;

/// Settings of a DuckDB warehouse.
#[derive(Debug, Clone)]
pub struct DuckDbOptions {
    /// DuckDB's own memory limit, in bytes. The process's memory exceeds it by 1.4 to 1.8 times at peaks.
    pub memory_limit_bytes: u64,
    /// What the limit may grow to with the tables: of a vector of 2,048 rows of which any was deleted since the last checkpoint, DuckDB keeps 16 KiB in
    /// memory, and scattered changes reach every vector of a table.
    pub memory_limit_bytes_max: u64,
    /// Threads of DuckDB; `None`: one less than there are processors.
    pub threads: Option<u32>,
    /// Where it spills; `None`: beside the file.
    pub temp_directory: Option<PathBuf>,
    /// Size of the write-ahead log, in bytes, from which a commit checkpoints by itself.
    pub checkpoint_threshold_bytes: u64,
    /// Where files that SQL names are looked for that aren't in the process's directory; patterns are looked for there alone. `None`: nowhere else.
    pub files: Option<PathBuf>,
}

impl Default for DuckDbOptions {
    fn default() -> Self {
        DuckDbOptions {
            // The whole process stays under 400 MB with this, a transaction of 2M rows included.
            memory_limit_bytes: 180 << 20,
            memory_limit_bytes_max: 180 << 20,
            threads: None,
            temp_directory: None,
            checkpoint_threshold_bytes: 64 << 20,
            files: None,
        }
    }
}

/// Processors that are left to the source, to the log and to whoever asks. Where DuckDB has as many threads as there are processors and all are busy,
/// the small statements that apply and answers live on wait for a thread of the pool that has no processor; on two, they took five times their time.
fn default_threads() -> u32 {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(processors.saturating_sub(1).max(1)).unwrap_or(1)
}

/// The share of a machine's memory that DuckDB's limit may grow to: others live there too.
const MEMORY_SHARE: u64 = 8;

impl DuckDbOptions {
    /// With a limit that may grow with the tables, up to a share of the memory that this process may have.
    pub fn of_this_machine() -> Self {
        let options = Self::default();
        let share = available_bytes() / MEMORY_SHARE;
        DuckDbOptions { memory_limit_bytes_max: options.memory_limit_bytes.max(share), ..options }
    }

    fn threads(&self) -> u32 {
        self.threads.unwrap_or_else(default_threads)
    }

    fn settings(&self, memory_limit_bytes: u64) -> Vec<(&'static str, String)> {
        let mut settings = vec![
            ("memory_limit", format!("{memory_limit_bytes}B")),
            ("checkpoint_threshold", format!("{}B", self.checkpoint_threshold_bytes)),
            // Nothing is fetched from a network because a query mentions it.
            ("autoinstall_known_extensions", "false".into()),
            ("autoload_known_extensions", "false".into()),
            ("allow_community_extensions", "false".into()),
            // Large copies need not be buffered to keep an order that no reader relies on.
            ("preserve_insertion_order", "false".into()),
        ];
        settings.push(("threads", self.threads().to_string()));
        if let Some(directory) = &self.temp_directory {
            settings.push(("temp_directory", directory.to_string_lossy().into_owned()));
        }
        // It is a list with commas between.
        if let Some(files) = self.files.as_ref().and_then(|dir| dir.to_str()).filter(|dir| !dir.contains(','))
        {
            settings.push(("file_search_path", files.to_owned()));
        }
        settings
    }
}

impl DuckDb {
    /// Opens or creates the warehouse.
    pub fn open(path: &Path, options: &DuckDbOptions) -> Result<Self, WarehouseError> {
        let existed = path.exists();
        let limit = options.memory_limit_bytes;
        let database = open_database(path, options, limit)
            .or_else(|error| {
                // How much replaying the write-ahead log takes is known only once the file is open.
                if !error.is_out_of_memory() || options.memory_limit_bytes_max <= limit {
                    return Err(error);
                }
                open_database(path, options, options.memory_limit_bytes_max)
            })
            .map_err(|error| opening(path, existed, &error))?;
        let writer = database.connect().map_err(|error| opening(path, existed, &error))?;
        // Text forms of timestamps, and dates derived from them, must not depend on where the program runs.
        writer.run("SET GLOBAL TimeZone = 'UTC'").map_err(|error| opening(path, existed, &error))?;
        prepare_schema(&writer, path)?;
        let estimates = Estimates::new(limit, options.memory_limit_bytes_max);
        writer
            .run(&format!("SET memory_limit = '{limit}B'"))
            .map_err(|error| opening(path, existed, &error))?;
        estimates.make_room_for_columns(&writer, columns_max(&writer)?)?;
        let reset_threads = format!("SET threads = {}", options.threads());
        let continuity: Arc<Continuity> = Arc::default();
        let sessions = Sessions::new(database.clone(), Some(continuity.clone()));
        Ok(DuckDb {
            path: path.to_owned(),
            database,
            sessions,
            writer,
            estimates,
            continuity,
            reset_threads,
            restrictions: Restrictions::default(),
        })
    }

    /// Moves a damaged write-ahead log aside and opens the file as of its last checkpoint. Returns where the log is now.
    pub fn open_without_wal(path: &Path, options: &DuckDbOptions) -> Result<(Self, PathBuf), WarehouseError> {
        let aside = move_wal_aside(path)?;
        Ok((Self::open(path, options)?, aside))
    }
}

/// The memory of the machine, or of the control group where that has less; 0 where neither is told, or where the address space is limited, for then
/// nobody can say what is left.
fn available_bytes() -> u64 {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let limited = read("/proc/self/limits")
        .lines()
        .any(|line| line.starts_with("Max address space") && !line.contains("unlimited"));
    if limited {
        return 0;
    }
    let machine = read("/proc/meminfo")
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .map_or(0, |kibibytes| kibibytes << 10);
    let group = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|path| read(path).trim().parse::<u64>().ok());
    group.map_or(machine, |group| group.min(machine))
}

/// What DuckDB says where it replays a statement with an expression (`ALTER … USING`) of the file that it is opening: functions are
/// looked up in the default database, which is that file once it is open. The log is whole all the same.
const NO_DEFAULT_DATABASE: &str = "no default database set";

fn open_database(path: &Path, options: &DuckDbOptions, limit_bytes: u64) -> Result<Database, EngineError> {
    let settings = options.settings(limit_bytes);
    Database::open(path, &settings).or_else(|error| {
        if !error.message.contains(NO_DEFAULT_DATABASE) {
            return Err(error);
        }
        replay_attached(path, &settings)?;
        Database::open(path, &settings)
    })
}

/// The columns of the widest hidden table.
fn columns_max(connection: &Connection) -> Result<u64, WarehouseError> {
    let batches = connection
        .query(&format!(
            "SELECT coalesce(max(column_count), 0)::UBIGINT FROM duckdb_tables() \
             WHERE database_name = current_database() AND schema_name = {}",
            string(HIDDEN_SCHEMA)
        ))
        .map_err(failed("counting the columns of the tables"))?;
    Ok(single_u64(&batches))
}

/// Replays a file's write-ahead log where there is a default database: attached to one in memory, and checkpoints it.
fn replay_attached(path: &Path, settings: &[(&str, String)]) -> Result<(), EngineError> {
    let memory = Database::open(Path::new(":memory:"), settings)?;
    let file = string(&path.to_string_lossy());
    memory
        .connect()?
        .run(&format!("ATTACH {file} AS replayed; CHECKPOINT replayed; DETACH replayed"))
        .map(drop)
}

fn opening(path: &Path, existed: bool, error: &EngineError) -> WarehouseError {
    let (path, detail) = (path.to_owned(), error.message.clone());
    let lower = detail.to_lowercase();
    if lower.contains("could not set lock") || lower.contains("conflicting lock") {
        return WarehouseError::Locked { path, pid: pid_in(&detail), detail };
    }
    let wal = wal_path(&path);
    let wal_left = fs::metadata(&wal).is_ok_and(|wal| wal.len() > 0);
    if wal_left && lower.contains("wal") {
        return WarehouseError::WalDamaged { path, wal, detail };
    }
    if lower.contains("no space left") {
        return WarehouseError::Disk { doing: "opening it".into(), detail };
    }
    let system = ["permission denied", "cannot open file", "no such file", "is a directory"];
    if !existed || system.iter().any(|words| lower.contains(words)) {
        return WarehouseError::Open { path, detail };
    }
    match FileKind::of(&path) {
        Ok(FileKind::Other) => WarehouseError::Foreign { path, what: "it is no DuckDB database".into() },
        _ => WarehouseError::FileDamaged { path, detail },
    }
}

/// The process id in `(PID 1234)`.
fn pid_in(message: &str) -> Option<u32> {
    let (_, rest) = message.split_once("PID ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn prepare_schema(connection: &Connection, path: &Path) -> Result<(), WarehouseError> {
    let preparing = || failed("preparing its hidden schema");
    let exists = connection
        .query(&format!(
            "SELECT count(*)::UBIGINT FROM duckdb_tables() WHERE database_name = current_database() \
             AND schema_name = {} AND table_name = 'format'",
            string(HIDDEN_SCHEMA)
        ))
        .map_err(preparing())?;
    if single_u64(&exists) == 0 {
        refuse_foreign(connection, path)?;
    } else {
        let found = connection
            .query(&format!("SELECT max(version)::UBIGINT FROM {HIDDEN_SCHEMA}.format"))
            .map_err(preparing())?;
        let found = u32::try_from(single_u64(&found)).unwrap_or(u32::MAX);
        if found == 0 || found > FORMAT_VERSION {
            return Err(WarehouseError::Format { found, supported: FORMAT_VERSION });
        }
        return Ok(());
    }
    connection
        .run(&format!(
            "BEGIN TRANSACTION; \
             CREATE SCHEMA IF NOT EXISTS {HIDDEN_SCHEMA}; \
             CREATE TABLE {HIDDEN_SCHEMA}.format (version UINTEGER NOT NULL); \
             INSERT INTO {HIDDEN_SCHEMA}.format VALUES ({FORMAT_VERSION}); \
             CREATE TABLE {HIDDEN_SCHEMA}.progress \
                 (source VARCHAR NOT NULL, applied_lsn UBIGINT NOT NULL, applied_micros BIGINT NOT NULL); \
             CREATE TABLE {HIDDEN_SCHEMA}.tables \
                 (oid UINTEGER NOT NULL, stem VARCHAR NOT NULL, retired BOOLEAN NOT NULL, state VARCHAR NOT NULL); \
             CREATE TABLE {HIDDEN_SCHEMA}.quarantine \
                 (commit_lsn UBIGINT NOT NULL, ordinal UBIGINT NOT NULL, table_oid UINTEGER NOT NULL, \
                  table_schema VARCHAR NOT NULL, table_name VARCHAR NOT NULL, code VARCHAR NOT NULL, \
                  reason VARCHAR NOT NULL, key VARCHAR NOT NULL, content VARCHAR NOT NULL); \
             CREATE TABLE {HIDDEN_SCHEMA}.views \
                 (schema_name VARCHAR NOT NULL, view_name VARCHAR NOT NULL, definition VARCHAR NOT NULL); \
             COMMIT"
        ))
        .map_err(preparing())?;
    Ok(())
}

/// A database that holds something and was never a warehouse of ours is somebody's own.
fn refuse_foreign(connection: &Connection, path: &Path) -> Result<(), WarehouseError> {
    let held = connection
        .query(
            "SELECT count(*)::UBIGINT, coalesce(min(name), '') FROM (SELECT schema_name || '.' || table_name AS name FROM duckdb_tables() \
             WHERE database_name = current_database() UNION ALL SELECT schema_name || '.' || view_name FROM duckdb_views() \
             WHERE database_name = current_database() AND NOT internal)",
        )
        .map_err(failed("looking whose file it is"))?;
    if single_u64(&held) == 0 {
        return Ok(());
    }
    let first =
        held.first().and_then(|batch| batch.column(1).as_string_opt::<i32>().map(|names| names.value(0)));
    Err(WarehouseError::Foreign {
        path: path.to_owned(),
        what: format!("it holds {} and was never written by Millstream", first.unwrap_or("tables")),
    })
}

impl DuckDb {
    /// The project that the file belongs to, where one has claimed it.
    pub fn owner(&self) -> Result<Option<String>, WarehouseError> {
        let looking = || failed("looking whose file it is");
        let exists = self
            .writer
            .query(&format!(
                "SELECT count(*)::UBIGINT FROM duckdb_tables() WHERE database_name = current_database() \
                 AND schema_name = {} AND table_name = 'owner'",
                string(HIDDEN_SCHEMA)
            ))
            .map_err(looking())?;
        if single_u64(&exists) == 0 {
            return Ok(None);
        }
        let owner =
            self.writer.query(&format!("SELECT project FROM {HIDDEN_SCHEMA}.owner")).map_err(looking())?;
        let owner = owner.iter().find(|batch| batch.num_rows() > 0);
        Ok(owner
            .and_then(|batch| batch.column(0).as_string_opt::<i32>().map(|names| names.value(0).to_owned())))
    }

    /// States which project the file belongs to. Whoever has it already keeps it.
    pub fn claim(&self, project: &str) -> Result<(), WarehouseError> {
        if self.owner()?.is_some() {
            return Ok(());
        }
        self.writer
            .run(&format!(
                "BEGIN TRANSACTION; CREATE TABLE IF NOT EXISTS {HIDDEN_SCHEMA}.owner (project VARCHAR NOT NULL); \
                 INSERT INTO {HIDDEN_SCHEMA}.owner VALUES ({}); COMMIT",
                string(project)
            ))
            .map_err(failed("stating whose file it is"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use millstream_core::{ColumnType, Diagnostic};

    use super::*;
    use crate::duckdb::text::postgres_text;

    #[test]
    fn the_other_processes_id_is_read_from_duckdbs_message() {
        let message = "IO Error: Could not set lock on file: Conflicting lock is held in /usr/bin/x (PID 4711) by user u.";
        assert_eq!(pid_in(message), Some(4711));
        assert_eq!(pid_in("IO Error: something else"), None);
    }

    #[test]
    fn a_retyped_column_survives_a_kill() {
        let directory = tempfile::tempdir().unwrap();
        let (path, killed) = (directory.path().join("w.duckdb"), directory.path().join("killed.duckdb"));
        let warehouse = DuckDb::open(&path, &DuckDbOptions::default()).unwrap();
        warehouse.writer.run("CREATE TABLE t (a INTEGER[], b DECIMAL(38, 10)); CHECKPOINT").unwrap();
        warehouse.writer.run("INSERT INTO t VALUES ([1, NULL], 1.5)").unwrap();
        let list = ColumnType::List(Box::new(ColumnType::Integer));
        for (name, from, of) in [("a", list, "integer[]"), ("b", ColumnType::Decimal(38, 10), "numeric")] {
            let using = postgres_text(name, &from, of);
            warehouse
                .writer
                .run(&format!("ALTER TABLE t ALTER COLUMN {name} SET DATA TYPE VARCHAR USING {using}"))
                .unwrap();
        }
        // What a kill leaves behind: the file and its write-ahead log, as they are while it is open.
        fs::copy(&path, &killed).unwrap();
        fs::copy(wal_path(&path), wal_path(&killed)).unwrap();
        let reopened = DuckDb::open(&killed, &DuckDbOptions::default()).unwrap();
        let rows = reopened
            .writer
            .query("SELECT count(*)::UBIGINT FROM t WHERE a = '{1,NULL}' AND b = '1.5'")
            .unwrap();
        assert_eq!(single_u64(&rows), 1);
    }

    #[test]
    fn a_database_of_somebody_else_is_refused_and_gets_nothing_of_ours() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("theirs.duckdb");
        let run = |sql: &str| Database::open(&path, &[]).unwrap().connect().unwrap().run(sql).unwrap();
        run("CREATE TABLE mine (x INTEGER)");
        let error = DuckDb::open(&path, &DuckDbOptions::default()).err().unwrap();
        assert_eq!((error.code(), error.exit()), ("MS5006", millstream_core::Exit::Protected));
        assert!(error.to_string().contains("it holds main.mine"), "{error}");
        let schemas = Database::open(&path, &[])
            .unwrap()
            .connect()
            .unwrap()
            .query("SELECT count(*)::UBIGINT FROM duckdb_schemas() WHERE schema_name = '_millstream'")
            .unwrap();
        assert_eq!(single_u64(&schemas), 0);
        // An empty one may have been made for us, or be what a kill left of the first start.
        run("DROP TABLE mine");
        assert!(DuckDb::open(&path, &DuckDbOptions::default()).is_ok());
    }

    #[test]
    fn a_later_format_is_refused_by_its_number() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("w.duckdb");
        let warehouse = DuckDb::open(&path, &DuckDbOptions::default()).unwrap();
        warehouse
            .writer
            .run("DELETE FROM _millstream.format; INSERT INTO _millstream.format VALUES (99)")
            .unwrap();
        drop(warehouse);
        let error = DuckDb::open(&path, &DuckDbOptions::default()).err().unwrap();
        assert!(matches!(error, WarehouseError::Format { found: 99, supported: FORMAT_VERSION }), "{error}");
    }

    #[test]
    fn a_table_changed_by_hand_is_told_with_the_difference() {
        use millstream_core::warehouse::Warehouse;
        let directory = tempfile::tempdir().unwrap();
        let mut warehouse =
            DuckDb::open(&directory.path().join("w.duckdb"), &DuckDbOptions::default()).unwrap();
        let state = serde_json::json!({
            "layout": {
                "id": 7, "source": {"schema": "a", "name": "t"}, "target": {"schema": "a", "name": "t"},
                "columns": [{"attnum": 1, "name": "id", "column_type": "integer", "source_type": "integer", "live": true}],
                "key": [1], "history": true,
                "history_names": {"valid_from": "valid_from", "valid_to": "valid_to", "is_current": "is_current",
                                  "operation_type": "operation_type", "open_value": null}
            },
            "schema_json": "", "phase_json": "", "history_since": null
        });
        let state = serde_json::from_value(state).unwrap();
        let mut transaction = warehouse.begin().unwrap();
        transaction.create_table(&state).unwrap();
        transaction.commit().unwrap();
        assert!(warehouse.tables().is_ok());
        for (change, said) in [
            ("ALTER TABLE _millstream.t7_closed ADD COLUMN extra INTEGER", "t7_closed.extra was added"),
            (
                "ALTER TABLE _millstream.t7_closed DROP COLUMN extra; \
              ALTER TABLE _millstream.t7_current ALTER COLUMN c1 SET DATA TYPE BIGINT",
                "t7_current.c1 is BIGINT, it was INTEGER",
            ),
            ("DROP VIEW a.t; DROP TABLE _millstream.t7_current", "t7_current.c1 is gone"),
        ] {
            warehouse.writer.run(change).unwrap();
            let error = warehouse.tables().unwrap_err();
            assert_eq!(error.code(), "MS5104");
            assert!(error.to_string().ends_with(said), "{error}");
        }
    }
}
