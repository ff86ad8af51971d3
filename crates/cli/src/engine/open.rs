//! Opening what a project names: its log, its source. The warehouse is [`super::warehouse_file`]'s.

use std::{path::Path, str::FromStr};

use millstream_log::{EmbeddedLog, LogSettings};
use millstream_source::{Connection, SourceConfig, TablePatterns};
use millstream_warehouse::free_bytes;

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

/// Below this nothing is begun: it is what the first segment of the log and an empty warehouse take, with some rows.
const ROOM_MIN: u64 = 64 << 20;

/// Whether there is room to begin where the directory is, or will be.
pub(crate) fn check_room(directory: &Path) -> Result<(), ProgramError> {
    // The nearest directory that exists is the one whose room decides.
    let path = directory.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/"));
    match free_bytes(path) {
        Some(free) if free < ROOM_MIN => {
            Err(ProgramError::NoRoom { path: path.to_owned(), free, needed: ROOM_MIN })
        }
        _ => Ok(()),
    }
}

/// Makes the directory that a file or directory stands in.
pub(super) fn make_parent(path: &Path) -> Result<(), Failure> {
    let Some(parent) = path.parent() else { return Ok(()) };
    std::fs::create_dir_all(parent)
        .map_err(|source| ProgramError::Unwritable { path: parent.to_owned(), source }.into())
}
