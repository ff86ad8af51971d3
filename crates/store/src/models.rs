//! What became of models: the nodes of the project as they were last told, and how each of their last runs ended.
//!
//! What the models hold is the warehouse's. This is for people: a file without it loses nothing but the past of tests.

use std::sync::atomic::Ordering;

use rusqlite::{params, Connection, OptionalExtension, Row};
use serde::{Deserialize, Serialize};

use crate::{Store, StoreError};

/// Outcomes that are kept of each node: a month of daily runs.
pub const OUTCOMES_KEPT: usize = 30;

/// Runs that are kept.
const RUNS_KEPT: usize = 200;

/// The tables of format 3.
pub(crate) const TABLES: &str = "
    CREATE TABLE model_runs (
        invocation TEXT PRIMARY KEY,
        verb TEXT NOT NULL,
        began_micros INTEGER NOT NULL,
        elapsed_micros INTEGER NOT NULL,
        counts TEXT NOT NULL
    ) STRICT;
    CREATE TABLE model_nodes (id TEXT PRIMARY KEY, document TEXT NOT NULL, compiled TEXT) STRICT;
    CREATE TABLE model_outcomes (
        id TEXT NOT NULL,
        began_micros INTEGER NOT NULL,
        invocation TEXT NOT NULL,
        status TEXT NOT NULL,
        message TEXT,
        failures INTEGER,
        elapsed_micros INTEGER NOT NULL,
        rows INTEGER,
        PRIMARY KEY (id, began_micros, invocation)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX model_outcomes_of_run ON model_outcomes (invocation);
";

/// What format 2 lacks: how many rows were written, and what finds all outcomes of one run.
pub(crate) const FROM_2: &str = "
    ALTER TABLE model_outcomes ADD COLUMN rows INTEGER;
    CREATE INDEX model_outcomes_of_run ON model_outcomes (invocation);
";

/// The columns of an outcome, as [`ModelOutcome::of`] takes them.
const OUTCOME: &str = "id, began_micros, invocation, status, message, failures, elapsed_micros, rows";

/// A run of a project, or a part of what is told of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelRun {
    /// Its number, a UUID.
    pub invocation: String,
    /// dbt's name of the verb.
    pub verb: String,
    /// When it began: microseconds since 1970.
    pub began_micros: i64,
    /// How long it took.
    pub elapsed_micros: i64,
    /// How many of its nodes ended with each status, as a JSON object.
    pub counts: String,
    /// Nodes of the project as they are now.
    pub nodes: Vec<ModelNode>,
    /// The ids of all nodes of the project, where others are to be forgotten.
    pub all: Option<Vec<String>>,
    /// What became of those that ran.
    pub outcomes: Vec<ModelOutcome>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelNode {
    /// Its unique id.
    pub id: String,
    /// What is known of it, as JSON.
    pub document: String,
    /// Its SQL, if it was compiled. A node that is told without it keeps what it had.
    pub compiled: Option<String>,
}

/// How a run of a node ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelOutcome {
    /// The node.
    pub id: String,
    /// The run.
    pub invocation: String,
    /// dbt's word for it.
    pub status: String,
    /// For people.
    pub message: Option<String>,
    /// Rows that a test counted.
    pub failures: Option<i64>,
    /// When it began: microseconds since 1970.
    pub began_micros: i64,
    /// How long it took.
    pub elapsed_micros: i64,
    /// Rows that were written, where the warehouse told.
    #[serde(default)]
    pub rows: Option<i64>,
}

impl ModelOutcome {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(ModelOutcome {
            id: row.get(0)?,
            began_micros: row.get(1)?,
            invocation: row.get(2)?,
            status: row.get(3)?,
            message: row.get(4)?,
            failures: row.get(5)?,
            elapsed_micros: row.get(6)?,
            rows: row.get(7)?,
        })
    }
}

impl Store {
    /// Writes down a run, or a part of it: parts of one run have one invocation, and add to each other.
    pub fn record_models(&self, run: &ModelRun) -> Result<(), StoreError> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        transaction.execute(
            "INSERT OR REPLACE INTO model_runs VALUES (?1, ?2, ?3, ?4, ?5)",
            params![run.invocation, run.verb, run.began_micros, run.elapsed_micros, run.counts],
        )?;
        record(&transaction, run)?;
        transaction.execute(
            "DELETE FROM model_runs WHERE invocation NOT IN (SELECT invocation FROM model_runs ORDER BY began_micros DESC LIMIT ?1)",
            [RUNS_KEPT],
        )?;
        transaction.commit()?;
        self.models_told.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Counts what was told of models since the file was opened: what was made of them before holds as long as it is the same.
    pub fn models_told(&self) -> u64 {
        self.models_told.load(Ordering::Acquire)
    }

    /// All nodes, by id.
    pub fn model_nodes(&self) -> Result<Vec<ModelNode>, StoreError> {
        let connection = self.connection();
        let mut statement =
            connection.prepare("SELECT id, document, compiled FROM model_nodes ORDER BY id")?;
        let nodes = statement.query_map([], node)?;
        Ok(nodes.collect::<Result<_, _>>()?)
    }

    /// How the last run of each node ended.
    pub fn last_model_outcomes(&self) -> Result<Vec<ModelOutcome>, StoreError> {
        let connection = self.connection();
        // SQLite takes the other columns from the row that has the maximum.
        let mut statement = connection.prepare(
            "SELECT id, max(began_micros), invocation, status, message, failures, elapsed_micros, rows FROM model_outcomes GROUP BY id",
        )?;
        let outcomes = statement.query_map([], ModelOutcome::of)?;
        Ok(outcomes.collect::<Result<_, _>>()?)
    }

    /// How the last runs of a node ended, the newest first: at most [`OUTCOMES_KEPT`].
    pub fn model_outcomes(&self, id: &str) -> Result<Vec<ModelOutcome>, StoreError> {
        let connection = self.connection();
        let sql = format!("SELECT {OUTCOME} FROM model_outcomes WHERE id = ?1 ORDER BY began_micros DESC");
        let mut statement = connection.prepare(&sql)?;
        let outcomes = statement.query_map([id], ModelOutcome::of)?;
        Ok(outcomes.collect::<Result<_, _>>()?)
    }

    /// How the nodes of a run ended, in the order in which they began. Of each node the last [`OUTCOMES_KEPT`] are kept, and none of one that the project
    /// no longer has.
    pub fn model_outcomes_of_run(&self, invocation: &str) -> Result<Vec<ModelOutcome>, StoreError> {
        let connection = self.connection();
        let sql =
            format!("SELECT {OUTCOME} FROM model_outcomes WHERE invocation = ?1 ORDER BY began_micros, id");
        let mut statement = connection.prepare(&sql)?;
        let outcomes = statement.query_map([invocation], ModelOutcome::of)?;
        Ok(outcomes.collect::<Result<_, _>>()?)
    }

    /// A run by its number, without what it says of nodes.
    pub fn model_run(&self, invocation: &str) -> Result<Option<ModelRun>, StoreError> {
        let connection = self.connection();
        let sql = format!("SELECT {RUN} FROM model_runs WHERE invocation = ?1");
        Ok(connection.query_row(&sql, [invocation], run_of).optional()?)
    }

    /// The last runs, the newest first, without what they say of nodes.
    pub fn model_runs(&self, count: usize) -> Result<Vec<ModelRun>, StoreError> {
        let connection = self.connection();
        let sql = format!("SELECT {RUN} FROM model_runs ORDER BY began_micros DESC LIMIT ?1");
        let mut statement = connection.prepare(&sql)?;
        let runs = statement.query_map([count], run_of)?;
        Ok(runs.collect::<Result<_, _>>()?)
    }
}

/// The columns of a run, as [`run_of`] takes them.
const RUN: &str = "invocation, verb, began_micros, elapsed_micros, counts";

fn run_of(row: &Row<'_>) -> rusqlite::Result<ModelRun> {
    Ok(ModelRun {
        invocation: row.get(0)?,
        verb: row.get(1)?,
        began_micros: row.get(2)?,
        elapsed_micros: row.get(3)?,
        counts: row.get(4)?,
        ..ModelRun::default()
    })
}

fn node(row: &Row<'_>) -> rusqlite::Result<ModelNode> {
    Ok(ModelNode { id: row.get(0)?, document: row.get(1)?, compiled: row.get(2)? })
}

fn record(connection: &Connection, run: &ModelRun) -> Result<(), StoreError> {
    if let Some(all) = &run.all {
        connection.execute_batch(
            "CREATE TEMP TABLE IF NOT EXISTS known (id TEXT PRIMARY KEY); DELETE FROM known",
        )?;
        let mut insert = connection.prepare("INSERT OR IGNORE INTO known VALUES (?1)")?;
        for id in all {
            insert.execute([id])?;
        }
        connection.execute_batch(
            "DELETE FROM model_nodes WHERE id NOT IN (SELECT id FROM known); \
             DELETE FROM model_outcomes WHERE id NOT IN (SELECT id FROM known)",
        )?;
    }
    let mut insert = connection.prepare(
        "INSERT INTO model_nodes VALUES (?1, ?2, ?3) ON CONFLICT (id) DO UPDATE SET document = excluded.document, \
         compiled = coalesce(excluded.compiled, compiled) WHERE document <> excluded.document OR excluded.compiled IS NOT NULL",
    )?;
    for node in &run.nodes {
        insert.execute(params![node.id, node.document, node.compiled])?;
    }
    let sql =
        format!("INSERT OR REPLACE INTO model_outcomes ({OUTCOME}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)");
    let mut insert = connection.prepare(&sql)?;
    let mut forget = connection.prepare(
        "DELETE FROM model_outcomes WHERE id = ?1 AND began_micros < \
         (SELECT began_micros FROM model_outcomes WHERE id = ?1 ORDER BY began_micros DESC LIMIT 1 OFFSET ?2)",
    )?;
    for outcome in &run.outcomes {
        insert.execute(params![
            outcome.id,
            outcome.began_micros,
            outcome.invocation,
            outcome.status,
            outcome.message,
            outcome.failures,
            outcome.elapsed_micros,
            outcome.rows
        ])?;
        forget.execute(params![outcome.id, OUTCOMES_KEPT - 1])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(id: &str, run: i64, status: &str) -> ModelOutcome {
        ModelOutcome {
            id: id.into(),
            invocation: format!("run {run}"),
            status: status.into(),
            message: None,
            failures: Some(run),
            began_micros: run,
            elapsed_micros: 5,
            rows: None,
        }
    }

    fn node(id: &str, compiled: Option<&str>) -> ModelNode {
        ModelNode {
            id: id.into(),
            document: format!("{{\"name\":\"{id}\"}}"),
            compiled: compiled.map(str::to_owned),
        }
    }

    #[test]
    fn the_last_outcomes_stay_and_what_the_project_no_longer_has_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store.sqlite")).unwrap();
        for run in 1..=40 {
            let run = ModelRun {
                invocation: format!("run {run}"),
                verb: "build".into(),
                began_micros: run,
                nodes: vec![node("a", (run == 3).then_some("select 3")), node("b", None)],
                outcomes: vec![outcome("a", run, "success"), outcome("b", run, "fail")],
                counts: "{}".into(),
                ..ModelRun::default()
            };
            store.record_models(&run).unwrap();
        }
        let node_of = |id: &str| store.model_nodes().unwrap().into_iter().find(|node| node.id == id);
        assert_eq!(node_of("a").unwrap().compiled.as_deref(), Some("select 3"));
        let past = store.model_outcomes("a").unwrap();
        assert_eq!((past.len(), past[0].began_micros, past[29].began_micros), (OUTCOMES_KEPT, 40, 11));
        let last = store.last_model_outcomes().unwrap();
        assert_eq!(last, [outcome("a", 40, "success"), outcome("b", 40, "fail")]);
        let both = store.model_outcomes_of_run("run 40").unwrap();
        assert_eq!(both, last);
        assert!(store.model_outcomes_of_run("run 10").unwrap().is_empty(), "they are kept for so long");
        assert_eq!(store.model_run("run 10").unwrap().map(|run| run.verb), Some("build".into()));
        assert_eq!(store.model_run("run 41").unwrap(), None);
        assert_eq!(store.models_told(), 40);
        let runs = store.model_runs(2).unwrap();
        assert_eq!(runs.iter().map(|run| run.began_micros).collect::<Vec<_>>(), [40, 39]);
        let run = ModelRun { invocation: "last".into(), all: Some(vec!["b".into()]), ..ModelRun::default() };
        store.record_models(&run).unwrap();
        assert_eq!(store.model_nodes().unwrap(), [node("b", None)]);
        assert!(store.model_outcomes("a").unwrap().is_empty() && node_of("a").is_none());
    }

    #[test]
    fn a_file_of_format_2_keeps_its_past_and_takes_rows() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.sqlite");
        let store = Store::open(&path).unwrap();
        let run = |number: i64| ModelRun {
            invocation: format!("run {number}"),
            began_micros: number,
            nodes: vec![node("a", None)],
            outcomes: vec![outcome("a", number, "success")],
            ..ModelRun::default()
        };
        store.record_models(&run(1)).unwrap();
        store.connection().execute_batch("DROP INDEX model_outcomes_of_run; ALTER TABLE model_outcomes DROP COLUMN rows; PRAGMA user_version = 2").unwrap();
        drop(store);
        let store = Store::open(&path).unwrap();
        let mut second = run(2);
        second.outcomes[0].rows = Some(7);
        store.record_models(&second).unwrap();
        drop(store);
        let store = Store::open(&path).unwrap();
        let rows = |number: i64| store.model_outcomes_of_run(&format!("run {number}")).unwrap()[0].rows;
        assert_eq!((rows(1), rows(2)), (None, Some(7)));
    }

    #[test]
    fn a_file_of_the_first_format_is_brought_forward_with_its_keys() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.sqlite");
        let store = Store::open(&path).unwrap();
        let secret = store.secret("masks").unwrap();
        store.connection().execute_batch("DROP TABLE model_runs; DROP TABLE model_nodes; DROP TABLE model_outcomes; PRAGMA user_version = 1").unwrap();
        drop(store);
        let store = Store::open(&path).unwrap();
        assert_eq!(store.secret("masks").unwrap(), secret);
        store.record_models(&ModelRun::default()).unwrap();
        drop(store);
        assert_eq!(Store::open(&path).unwrap().model_runs(9).unwrap().len(), 1);
    }
}
