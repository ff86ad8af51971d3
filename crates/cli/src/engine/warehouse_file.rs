//! The warehouse's file: whose it is, and what is done where it is gone or damaged.
//!
//! A file that can't be read says nothing about whose it is. So the project remembers the file that it writes (its path and inode), and the file, as
//! long as it can be read, the project. Only what is known to be the project's own is moved aside and built again from base and log; anything
//! else is refused and left as it is.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use millstream_core::{
    base::{BaseManifest, BaseStore},
    warehouse::TableState,
    Diagnostic, TableId, TableName, Timestamp,
};
use millstream_log::EmbeddedLog;
use millstream_warehouse::{move_file_aside, DuckDb, DuckDbOptions, FileKind, WarehouseError};
use serde::{Deserialize, Serialize};
use serde_json::{json, Value};

use super::{
    access,
    open::{log as open_log, make_parent},
    provision::Remembered,
};
use crate::{
    config::{units::print_instant, Project},
    error::ProgramError,
    failure::{Doing, Failure},
};

/// Bytes of a project's random name: enough that no two are ever alike.
const PROJECT_ID_BYTES: usize = 16;

/// What is remembered of the warehouse.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// The project's random name, which the file holds too.
    #[serde(default)]
    pub(super) project: String,
    /// The file that the project writes.
    #[serde(default)]
    pub(super) file: Option<KnownFile>,
    /// Since when each table has history.
    #[serde(default)]
    pub(super) history: BTreeMap<TableId, KnownHistory>,
    /// The last time that the file was built again.
    #[serde(default)]
    pub(super) rebuilt: Option<Rebuilt>,
}

/// A file, as far as it can be told apart from another one in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KnownFile {
    path: PathBuf,
    inode: u64,
}

/// Since when a table has history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KnownHistory {
    name: TableName,
    since: Timestamp,
}

/// A warehouse that was built again from base and log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rebuilt {
    /// When, by our own clock.
    at: Timestamp,
    /// Why.
    reason: String,
    /// Where the damaged file is now.
    kept_as: Option<PathBuf>,
    /// The tables, and since when they have history now.
    tables: Vec<RebuiltTable>,
}

/// What became of a table's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RebuiltTable {
    /// Its name at the source.
    name: String,
    /// Since when history is complete now.
    history_since: Timestamp,
    /// Since when it was before; `None` where that is not known.
    history_was_since: Option<Timestamp>,
}

impl RebuiltTable {
    fn lost(&self) -> bool {
        self.history_was_since.is_some_and(|was| was < self.history_since)
    }
}

/// Whether a file that can't be read may be built again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rebuild {
    /// Yes: the project is being started.
    Allowed,
    /// No: a verb only looks, or works for a moment.
    Refused,
}

/// What was done to open the warehouse.
pub(super) struct Opened {
    /// The warehouse.
    pub(super) warehouse: DuckDb,
    /// What a person should know of it.
    pub(super) notes: Vec<String>,
    /// That it was built again, and what that means.
    pub(super) rebuilt: Option<Failure>,
}

impl Known {
    /// The same, with a name if there was none.
    pub(super) fn named(mut self) -> Result<Self, Failure> {
        if self.project.is_empty() {
            let mut bytes = [0; PROJECT_ID_BYTES];
            let random = Path::new("/dev/urandom");
            File::open(random)
                .and_then(|mut file| file.read_exact(&mut bytes))
                .map_err(|source| ProgramError::Unreadable { path: random.to_owned(), source })?;
            self.project = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        }
        Ok(self)
    }

    /// Takes in the file that is open, and what its tables say of their history.
    pub(super) fn saw(&mut self, path: &Path, tables: &[TableState]) {
        let inode = fs::metadata(path).map(|file| file.ino());
        self.file = inode.ok().map(|inode| KnownFile { path: path.to_owned(), inode });
        self.history = tables
            .iter()
            .filter_map(|table| {
                let since = table.history_since?.time;
                Some((table.layout.id, KnownHistory { name: table.layout.source.clone(), since }))
            })
            .collect();
    }

    /// The tables that have history there, by their names at the source.
    pub(super) fn tables(&self) -> impl Iterator<Item = &TableName> {
        self.history.values().map(|known| &known.name)
    }

    /// Whether the file in this place is the one that the project wrote last.
    fn wrote(&self, path: &Path) -> bool {
        let inode = fs::metadata(path).map(|file| file.ino()).ok();
        self.file.as_ref().is_some_and(|file| file.path == path && Some(file.inode) == inode)
    }

    /// What the bases will give each table again. Pure.
    fn tables_again(&self, manifests: &[BaseManifest]) -> Vec<RebuiltTable> {
        let mut since: BTreeMap<TableId, (TableName, Timestamp)> = BTreeMap::new();
        let complete = manifests.iter().flat_map(|base| &base.tables).filter(|table| table.is_complete());
        for table in complete {
            // Oldest base first: the newest one of a table is what it is loaded from.
            since.insert(table.schema.id, (table.schema.name.clone(), table.taken_at));
        }
        let tables = since.into_iter().map(|(id, (name, history_since))| {
            let history_was_since = self.history.get(&id).map(|known| known.since);
            RebuiltTable { name: name.to_string(), history_since, history_was_since }
        });
        tables.collect()
    }
}

impl Rebuilt {
    /// As `status` has it.
    pub(super) fn document(&self) -> Value {
        let gone = self.tables.iter().filter(|table| table.lost()).map(|table| {
            json!({
                "name": table.name,
                "from": table.history_was_since.map(print_instant),
                "to": print_instant(table.history_since),
            })
        });
        json!({
            "at": print_instant(self.at),
            "reason": self.reason,
            "kept_as": self.kept_as,
            "history_gone": gone.collect::<Vec<_>>(),
        })
    }

    /// What a person reads of it, a table a line.
    fn lines(&self) -> Vec<String> {
        let line = |table: &RebuiltTable| {
            let since = print_instant(table.history_since);
            match table.history_was_since {
                Some(was) if table.lost() => format!(
                    "{}: history since {since}; what was before, back to {}, is gone from the warehouse",
                    table.name,
                    print_instant(was)
                ),
                Some(_) => format!("{}: the whole history, since {since}", table.name),
                None => format!("{}: history since {since}", table.name),
            }
        };
        self.tables.iter().map(line).collect()
    }

    fn failure(&self, error: Failure) -> Failure {
        let mut failure = error;
        let mut detail: Vec<String> = failure.detail.take().into_iter().collect();
        detail.extend(
            self.kept_as.as_ref().map(|aside| format!("the damaged file is kept as {}", aside.display())),
        );
        detail.push("it is built again from the base and the log:".into());
        detail.extend(self.lines().into_iter().map(|line| format!("  {line}")));
        failure.detail = Some(detail.join("\n"));
        let lost = self.tables.iter().any(RebuiltTable::lost);
        failure.hint = match &self.kept_as {
            Some(aside) if lost => Some(format!(
                "older history may still be read from {}, with DuckDB's own program",
                aside.display()
            )),
            Some(aside) => Some(format!(
                "nothing needs to be done; look after the disk, and delete {} when nobody needs it",
                aside.display()
            )),
            None if lost => {
                Some("restore the file from a backup if its older history is needed: stop this first".into())
            }
            None => Some("nothing needs to be done".into()),
        };
        failure
    }
}

/// Opens or creates the warehouse of a project that is known so. A damaged write-ahead log of DuckDB's is moved aside: what it held comes
/// again from our log. Where the file itself is gone or damaged, it is built again, if that is allowed.
pub(super) fn open(
    project: &Project,
    log: &EmbeddedLog,
    known: &mut Known,
    rebuild: Rebuild,
) -> Result<Opened, Failure> {
    let path = &project.warehouse.duckdb;
    make_parent(path)?;
    let doing = "opening the warehouse";
    if !path.exists() {
        let there_was = known.file.as_ref().is_some_and(|file| file.path == *path);
        let mut rebuilt = None;
        if there_was {
            let error = Failure::from(ProgramError::WarehouseGone { path: path.clone() });
            if rebuild == Rebuild::Refused {
                return Err(error).doing(doing);
            }
            rebuilt = Some(again(project, log, known, error)?);
        }
        let warehouse = new_file(project).doing(doing)?;
        return Ok(Opened { warehouse, notes: Vec::new(), rebuilt });
    }
    match existing(project, known) {
        Ok((warehouse, notes)) => Ok(Opened { warehouse, notes, rebuilt: None }),
        Err(Refused::Damaged(error)) if rebuild == Rebuild::Allowed && known.wrote(path) => {
            let rebuilt = Some(again(project, log, known, error)?);
            let warehouse = new_file(project).doing(doing)?;
            Ok(Opened { warehouse, notes: Vec::new(), rebuilt })
        }
        Err(Refused::Damaged(mut error)) => {
            if !known.wrote(path) {
                error.hint = Some(format!(
                    "it can't be told whether this is the file that the project wrote: if it is, move {} aside, and `millstream up` builds it again",
                    path.display()
                ));
            }
            Err(error).doing(doing)
        }
        Err(Refused::Otherwise(error)) => Err(error).doing(doing),
    }
}

/// Why a file that is there was not opened.
pub(super) enum Refused {
    /// It can't be read.
    Damaged(Failure),
    /// It is in use, somebody else's, of a later version, …
    Otherwise(Failure),
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Damaged(failure) | Refused::Otherwise(failure) => failure,
        }
    }
}

/// How it is opened. What models of a dbt project name relative is relative to that project, wherever the instance was started.
fn options(project: &Project) -> DuckDbOptions {
    let files = Some(project.models.path.clone()).filter(|_| project.models.is_dbt());
    DuckDbOptions { files, ..DuckDbOptions::of_this_machine() }
}

/// Opens a file that is there, if it is the project's.
pub(super) fn existing(project: &Project, known: &Known) -> Result<(DuckDb, Vec<String>), Refused> {
    let path = &project.warehouse.duckdb;
    let options = options(project);
    let mut notes = Vec::new();
    let opened = match DuckDb::open(path, &options) {
        Err(WarehouseError::WalDamaged { detail, .. }) => {
            DuckDb::open_without_wal(path, &options).map(|(warehouse, aside)| {
                notes.push(format!(
                    "the warehouse's own write-ahead log was damaged ({}); it is kept as {}, and what it held is applied again from the log",
                    detail.lines().next().unwrap_or_default(),
                    aside.display()
                ));
                warehouse
            })
        }
        opened => opened,
    };
    let refuse = |error: WarehouseError| {
        let damaged =
            matches!(error, WarehouseError::FileDamaged { .. } | WarehouseError::DataDamaged { .. });
        // An empty file, or one of zeroes, is nobody else's, and what is DuckDB's is told apart by who wrote it last.
        let kind = FileKind::of(path).unwrap_or(FileKind::Other);
        match damaged && kind != FileKind::Other {
            true => Refused::Damaged(error.into()),
            false => Refused::Otherwise(error.into()),
        }
    };
    let mut warehouse = opened.map_err(refuse)?;
    match warehouse.owner().map_err(refuse)? {
        Some(owner) if owner != known.project => {
            let what = "another project writes it".into();
            return Err(Refused::Otherwise(WarehouseError::Foreign { path: path.clone(), what }.into()));
        }
        _ => {}
    }
    let restrictions = access::restrictions(project).map_err(Refused::Otherwise)?;
    warehouse.restrict(restrictions).map_err(refuse)?;
    Ok((warehouse, notes))
}

/// Makes a file.
fn new_file(project: &Project) -> Result<DuckDb, Failure> {
    let mut warehouse = DuckDb::open(&project.warehouse.duckdb, &options(project))?;
    warehouse.restrict(access::restrictions(project)?)?;
    Ok(warehouse)
}

/// Moves what is there out of the way, and writes down that and why the warehouse is built again.
fn again(
    project: &Project,
    log: &EmbeddedLog,
    known: &mut Known,
    error: Failure,
) -> Result<Failure, Failure> {
    let kept_as = move_file_aside(&project.warehouse.duckdb)?;
    let rebuilt = Rebuilt {
        at: now(),
        reason: error.message.clone(),
        kept_as,
        tables: known.tables_again(&log.manifests()?),
    };
    let failure = rebuilt.failure(error);
    known.rebuilt = Some(rebuilt);
    Ok(failure)
}

/// Moves the file of a project that is not open any more aside, because a part of it could not be read. The next start builds it again. Returns
/// what to tell.
pub(crate) fn set_aside(project: &Project, error: Failure) -> Result<Failure, Failure> {
    let Some(mut remembered) = Remembered::read(project)? else { return Err(error) };
    if !remembered.warehouse.wrote(&project.warehouse.duckdb) {
        return Err(error);
    }
    let told = again(project, &open_log(project)?, &mut remembered.warehouse, error)?;
    // It is known to be gone, and why.
    remembered.warehouse.file = None;
    remembered.write(project)?;
    Ok(told)
}

/// Whether an error says that the file of a running project is damaged, so that building it again mends it.
pub(crate) fn is_damage(failure: &Failure) -> bool {
    let (path, detail) = (PathBuf::new(), String::new());
    failure.code == WarehouseError::FileDamaged { path, detail }.code()
}

/// Whether an error passes once the warehouse is opened again, such as a disk that was full in the middle of a checkpoint. Apply waits for room itself
/// wherever the file stays usable.
pub(crate) fn must_reopen(failure: &Failure) -> bool {
    let (doing, detail) = (String::new, String::new());
    let invalidated = WarehouseError::Invalidated { doing: doing(), detail: detail.clone() };
    let full = WarehouseError::Disk { doing: doing(), detail };
    failure.code == invalidated.code() || failure.code == full.code()
}

pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
