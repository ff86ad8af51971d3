//! What the program remembers of its source, and what has to be there before anything runs.
//!
//! `data/state.json` says which source the project belongs to and what of it was created by us. It is bookkeeping, not progress:
//! progress stands in the warehouse and the log.

use std::{fs, path::Path};

use millstream_apply::layout::{OnUnrepresentable as ApplyOnUnrepresentable, Selection, TableOptions};
use millstream_core::{warehouse::TableLayout, Diagnostic, Exit, Lsn, TableName};
use millstream_source::{
    catalog::{self, schema::table_schemas},
    preflight::{self, Before, Check, CheckState},
    provision::{self, Plan},
    replication::Replication,
    wire::Wire,
    SourceConfig, SourceError, SourceIdentity,
};
use millstream_warehouse::{collisions, ModelView, WarehouseError};
use serde::{Deserialize, Serialize};

use super::{access, models, open, session::runtime, warehouse_file::Known};
use crate::{
    config::{OnUnrepresentable, Project},
    error::ProgramError,
    failure::{Doing, Failure},
};

/// Version of `data/state.json`.
const STATE_VERSION: u32 = 1;

/// The source room's code of a slot that another process reads from.
pub(crate) const SLOT_IN_USE: &str = "MS2301";

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remembered {
    pub(super) version: u32,
    /// Which source the project belongs to.
    pub(super) source: SourceIdentity,
    /// Whether the slot was created by us.
    pub(super) slot_created: bool,
    /// Whether the publication was created by us, so that tables may be added to it.
    pub(super) publication_created: bool,
    /// Whose the warehouse's file is, and what it held.
    #[serde(default)]
    pub(super) warehouse: Known,
}

impl Remembered {
    /// Of a source of which nothing was created.
    pub(super) fn new(source: SourceIdentity) -> Self {
        Remembered {
            version: STATE_VERSION,
            source,
            slot_created: false,
            publication_created: false,
            warehouse: Known::default(),
        }
    }

    /// Reads it; `None` where there is nothing yet.
    pub(super) fn read(project: &Project) -> Result<Option<Self>, Failure> {
        let path = project.data_dir().join("state.json");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ProgramError::Unreadable { path, source }.into()),
        };
        let damaged = |detail: String| Failure::from(ProgramError::State { path: path.clone(), detail });
        let remembered: Remembered =
            serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        if remembered.version != STATE_VERSION {
            let detail = format!("it has version {}, this program knows {STATE_VERSION}", remembered.version);
            return Err(damaged(detail));
        }
        Ok(Some(remembered))
    }

    /// Replaces it atomically: a kill leaves the old or the new.
    pub(super) fn write(&self, project: &Project) -> Result<(), Failure> {
        let path = project.data_dir().join("state.json");
        let write = |path: &Path| -> std::io::Result<()> {
            let new = path.with_extension("json.new");
            fs::write(&new, serde_json::to_vec_pretty(self)?)?;
            fs::File::open(&new)?.sync_all()?;
            fs::rename(&new, path)?;
            path.parent().map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all())
        };
        write(&path).map_err(|source| ProgramError::Unwritable { path: path.clone(), source }.into())
    }
}

/// What apply needs to know of the configuration.
pub(super) fn selection(project: &Project) -> Selection {
    let (patterns, rules) = (project.source.tables.clone(), project.tables.clone());
    Selection {
        target_schema: project.warehouse.schema.clone(),
        options: Box::new(move |table| {
            patterns.selects(table).then(|| {
                let settings = rules.settings(table);
                TableOptions {
                    history: settings.history,
                    types: settings.column_types,
                    history_names: settings.history_names,
                    on_unrepresentable: match settings.on_unrepresentable {
                        OnUnrepresentable::Widen => ApplyOnUnrepresentable::Widen,
                        OnUnrepresentable::Stop => ApplyOnUnrepresentable::Stop,
                        OnUnrepresentable::Quarantine => ApplyOnUnrepresentable::Quarantine,
                    },
                    value_bytes_max: settings.value_bytes_max,
                }
            })
        }),
    }
}

/// Every check of the source.
pub(crate) fn check_source(project: &Project) -> Result<Vec<Check>, Failure> {
    let source = open::source_config(project)?;
    let remembered = Remembered::read(project)?;
    let before = Before {
        publication_is_ours: remembered.as_ref().is_some_and(|before| before.publication_created),
        // The log can't be opened beside a running instance; that the slot is in step with it is that one's to say.
        flushed: None,
        identity: remembered.map(|before| before.source),
    };
    runtime()?.block_on(async {
        let mut checks = preflight::check(&source, &before).await;
        // A server that can't be reached has been told.
        if checks.iter().all(|check| check.name != "connection" || check.state != CheckState::Failed) {
            checks.push(check_names(project, &source).await?);
        }
        Ok(checks)
    })
}

/// Whether everything would have a name of its own in the warehouse.
async fn check_names(project: &Project, source: &SourceConfig) -> Result<Check, Failure> {
    let mut wire = Wire::connect(&source.connection).await?;
    let tables = catalog::tables(&mut wire).await?;
    let ids: Vec<_> = tables
        .into_iter()
        .filter(|table| project.source.tables.selects(&table.name))
        .map(|table| table.id)
        .collect();
    let schemas = table_schemas(&mut wire, None, &ids).await?;
    wire.close().await;
    let selection = selection(project);
    let layouts: Vec<TableLayout> = schemas.iter().filter_map(|schema| selection.layout(schema)).collect();
    let ok = Check {
        code: "",
        name: "names",
        state: CheckState::Ok,
        detail: "each table and column has a name of its own in the warehouse".into(),
        remedy_sql: None,
        hint: None,
        exit: Exit::Usage,
    };
    let failed = |error: &dyn Diagnostic| Check {
        code: error.code(),
        state: CheckState::Failed,
        detail: error.to_string(),
        hint: error.hint(),
        ..ok.clone()
    };
    Ok(match (collision(&layouts), model_collision(&models::read(project)?, &layouts)) {
        (Some(error), _) => failed(&error),
        (None, Some(error)) => failed(&error),
        (None, None) => ok,
    })
}

fn collision(layouts: &[TableLayout]) -> Option<WarehouseError> {
    collisions(layouts).into_iter().next().map(WarehouseError::Collision)
}

fn model_collision(models: &[ModelView], layouts: &[TableLayout]) -> Option<ProgramError> {
    models.iter().find_map(|model| {
        let table = layouts.iter().find(|table| takes(table, &model.name))?;
        Some(ProgramError::ModelCollides { model: model.name.name.clone(), table: table.source.to_string() })
    })
}

/// The source as it is, and what would be created of it.
pub(super) struct Prepared {
    /// The source.
    pub(super) identity: SourceIdentity,
    /// What is there and what would be created.
    pub(super) plan: Plan,
    /// How the warehouse would first hold each selected table.
    pub(super) layouts: Vec<TableLayout>,
}

/// Looks at the source and checks everything that can be checked before anything is changed.
pub(super) async fn prepare(
    project: &Project,
    source: &SourceConfig,
    remembered: Option<&Remembered>,
    flushed: Option<Lsn>,
) -> Result<Prepared, Failure> {
    let models = models::read(project)?;
    let mut wire =
        Wire::connect(&source.connection).await.doing(format!("connecting to {}", source.connection))?;
    let mut replication = Replication::connect(&source.connection)
        .await
        .doing(format!("connecting to {} for replication", source.connection))?;
    let (identity, _) = replication.identify().await?;
    replication.close().await;
    if let Some(remembered) = remembered {
        check_identity(&remembered.source, &identity)?;
    }
    let all: Vec<TableName> = catalog::tables(&mut wire).await?.into_iter().map(|table| table.name).collect();
    let before = Before {
        publication_is_ours: remembered.is_some_and(|remembered| remembered.publication_created),
        flushed,
        identity: remembered.map(|remembered| remembered.source.clone()),
    };
    // First by the patterns as they are written, whose errors show their line.
    project.source.tables.select(&all)?;
    project.tables.check_matches(&all)?;
    // A slot in use is no reason to end: it may be a predecessor's that was killed, and capture waits for it.
    let checks = preflight::check(source, &before).await;
    let checks: Vec<Check> = checks.into_iter().filter(|check| check.code != SLOT_IN_USE).collect();
    preflight::verdict(&checks).doing("checking the source")?;
    let ours = before.publication_is_ours;
    let plan = provision::plan(&mut wire, source, ours).await.doing("planning what to replicate")?;
    let ids: Vec<_> = plan.tables.iter().map(|table| table.id).collect();
    let publication = (!plan.create_publication).then_some(source.publication.as_str());
    let schemas = table_schemas(&mut wire, publication, &ids).await?;
    wire.close().await;
    let selection = selection(project);
    let layouts: Vec<TableLayout> = schemas.iter().filter_map(|schema| selection.layout(schema)).collect();
    if let Some(error) = collision(&layouts) {
        return Err(error.into());
    }
    if let Some(error) = model_collision(&models, &layouts) {
        return Err(error.into());
    }
    access::check(project, &selection, &layouts, remembered)?;
    Ok(Prepared { identity, plan, layouts })
}

/// Whether a table's views take a model's name.
fn takes(table: &TableLayout, model: &TableName) -> bool {
    let same = |name: &str| name.eq_ignore_ascii_case(&model.name);
    let (target, history) = (&table.target, table.history);
    target.schema.eq_ignore_ascii_case(&model.schema)
        && (same(&target.name) || (history && same(&format!("{}_history", target.name))))
}

fn check_identity(ours: &SourceIdentity, found: &SourceIdentity) -> Result<(), SourceError> {
    let what = if ours.system_identifier != found.system_identifier {
        format!("its system identifier is {}, ours {}", found.system_identifier, ours.system_identifier)
    } else if ours.database != found.database {
        format!("its database has OID {}, ours {}", found.database, ours.database)
    } else if ours.timeline != found.timeline {
        format!("it is on timeline {}, ours {}: it was promoted or restored", found.timeline, ours.timeline)
    } else {
        return Ok(());
    };
    Err(SourceError::OtherSource { what })
}
