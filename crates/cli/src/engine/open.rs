//! Opening what a project names: its log, its warehouse, its source.

use std::{ffi::CString, mem::MaybeUninit, os::unix::ffi::OsStrExt, path::Path, str::FromStr};

use millstream_log::{EmbeddedLog, LogSettings};
use millstream_source::{Connection, SourceConfig, TablePatterns};
use millstream_warehouse::{DuckDb, DuckDbOptions, WarehouseError};

use crate::{
    config::Project,
    error::ProgramError,
    failure::{Doing, Failure},
};

/// What the source room needs to know.
pub(crate) fn source_config(project: &Project) -> Result<SourceConfig, Failure> {
    let settings = &project.source;
    let connection = Connection::from_str(settings.url.expose()).map_err(|error| {
        let mut failure = Failure::from(error);
        failure.detail.get_or_insert_with(|| settings.url_place.snippet());
        failure
    })?;
    let patterns = settings.tables.patterns.iter().map(|(include, pattern)| {
        let sign = if *include { "" } else { "!" };
        format!("{sign}{}", pattern.text)
    });
    let tables = TablePatterns::new(patterns).doing("reading source.postgres.tables")?;
    Ok(SourceConfig {
        connection,
        slot: settings.slot.clone(),
        publication: settings.publication.clone(),
        tables,
    })
}

/// Opens or creates the log.
pub(crate) fn log(project: &Project) -> Result<EmbeddedLog, Failure> {
    let settings = LogSettings {
        retention: project.log.retention,
        max_bytes: project.log.bytes_max,
        ..LogSettings::new(&project.log.dir)
    };
    make_parent(&settings.dir)?;
    EmbeddedLog::open(settings).doing("opening the log")
}

/// What was done to open the warehouse.
pub(crate) struct OpenedWarehouse {
    /// The warehouse.
    pub(crate) warehouse: DuckDb,
    /// What a person should know of it.
    pub(crate) notes: Vec<String>,
}

/// Opens or creates the warehouse. A damaged write-ahead log of DuckDB's is moved aside: what it held comes again from our log.
pub(crate) fn warehouse(project: &Project) -> Result<OpenedWarehouse, Failure> {
    let path = &project.warehouse.duckdb;
    make_parent(path)?;
    let options = DuckDbOptions::default();
    match DuckDb::open(path, &options) {
        Ok(warehouse) => Ok(OpenedWarehouse { warehouse, notes: Vec::new() }),
        Err(WarehouseError::WalDamaged { detail, .. }) => {
            let (warehouse, aside) = DuckDb::open_without_wal(path, &options)
                .doing("opening the warehouse without its damaged WAL")?;
            let notes = vec![format!(
                "the warehouse's own write-ahead log was damaged ({}); it is kept as {}, and what it held is applied again from the log",
                detail.lines().next().unwrap_or_default(),
                aside.display()
            )];
            Ok(OpenedWarehouse { warehouse, notes })
        }
        Err(error) => Err(error).doing("opening the warehouse"),
    }
}

/// Opens the warehouse only if it is there: for verbs that look at it.
pub(crate) fn existing_warehouse(project: &Project) -> Result<DuckDb, Failure> {
    let path = &project.warehouse.duckdb;
    if !path.exists() {
        return Err(ProgramError::NoWarehouse { path: path.clone() }.into());
    }
    Ok(warehouse(project)?.warehouse)
}

/// Room on a file system for this user, in bytes.
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    let mut stats = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path is a C string that outlives the call, and the struct is filled where the call succeeds.
    let stats = unsafe {
        if libc::statvfs(path.as_ptr(), stats.as_mut_ptr()) != 0 {
            return None;
        }
        stats.assume_init()
    };
    Some(stats.f_bavail.saturating_mul(stats.f_frsize))
}

fn make_parent(path: &Path) -> Result<(), Failure> {
    let Some(parent) = path.parent() else { return Ok(()) };
    std::fs::create_dir_all(parent)
        .map_err(|source| ProgramError::Unwritable { path: parent.to_owned(), source }.into())
}
