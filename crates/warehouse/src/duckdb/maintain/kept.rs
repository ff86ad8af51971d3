//! Kept results: their tables, and the statements that bring them forward and read them, each with a plan that is kept.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::Path,
    time::Instant,
};

use millstream_core::{Lsn, Parameter, TableId};
use serde_json::Value;

use super::{
    super::{
        ast::tree,
        engine::{AppendTarget, Connection, Database, EngineResult, Prepared},
        failed,
        reader::querying,
        sessions::{Sessions, BY_VALUES},
    },
    sql,
    statements::{literals, Plan},
    tree::with_values,
    Outcome, CHANGES_PASSED_MAX,
};

/// How often a plan is used: the tables that it reads grow, and another one may be better by then.
const PLAN_USES_MAX: u32 = 1_000;

/// Statements with values kept for each result: those of one with a few choices.
const VALUED_MAX: usize = 16;

/// Bound on the memory of all kept results, in DuckDB's words. What does not fit is not kept.
const MEMORY: &str = "256MB";

/// Where the kept results are.
pub(super) struct Keeping {
    pub(super) connection: Connection,
    /// How often tables were made and dropped: DuckDB would plan anew each time what was planned before.
    pub(super) catalog: u64,
}

/// A kept result.
pub(super) struct Kept {
    pub(super) sql: String,
    pub(super) table: String,
    pub(super) plan: Plan,
    /// Where the tables were that it was made of.
    pub(super) position: Lsn,
    /// When that was all there was.
    pub(super) at: Instant,
    pub(super) asked: Instant,
    pub(super) brought: u32,
    /// Rows that have passed through the table of what is added to it.
    pub(super) passed: u64,
    /// What the changes of these tables add, and how often that was asked.
    pub(super) changes: Vec<(BTreeSet<TableId>, Prepared, u32)>,
    /// What [`Keeping::catalog`] was when these were planned.
    pub(super) catalog: u64,
    pub(super) adding: Option<Adding>,
    /// Statements that read it: of whole groups, and of others.
    pub(super) readers: [Option<Reader>; 2],
    /// Those with values in place of their parameters, the last used at the end.
    pub(super) valued: VecDeque<(String, Prepared)>,
}

/// A statement that reads a kept result, and its parameters with the types that it decides.
pub(super) struct Reader {
    pub(super) statement: Prepared,
    pub(super) parameters: Vec<(String, Option<String>)>,
}

/// The statements that add what is to be added.
pub(super) struct Adding {
    add: Prepared,
    clear: Prepared,
}

impl Keeping {
    /// An empty database.
    pub(super) fn open() -> EngineResult<Self> {
        let settings = [
            ("memory_limit", MEMORY.to_owned()),
            ("threads", "1".to_owned()),
            ("temp_directory", String::new()),
            ("enable_external_access", "false".to_owned()),
        ];
        let connection = Database::open(Path::new(":memory:"), &settings)?.connect()?;
        let settings = format!("SET GLOBAL TimeZone = 'UTC'; SET GLOBAL disabled_optimizers = '{BY_VALUES}'");
        connection.run(&settings)?;
        Ok(Keeping { connection, catalog: 0 })
    }

    /// Makes or drops tables.
    pub(super) fn change(&mut self, doing: &'static str, statement: &str) -> Outcome<()> {
        self.catalog += 1;
        self.connection.run(statement).map(drop).map_err(failed(doing))
    }
}

pub(super) fn target(table: &str) -> AppendTarget<'_> {
    AppendTarget { catalog: None, schema: "main", table, columns: &[] }
}

/// The table of what is added to a result.
pub(super) fn added(table: &str) -> String {
    format!("{table}_added")
}

impl Kept {
    /// Forgets plans that are none any more.
    pub(super) fn refresh(&mut self, keeping: &Keeping) {
        if self.catalog != keeping.catalog {
            (self.adding, self.readers, self.catalog) = (None, [None, None], keeping.catalog);
            self.valued.clear();
        }
    }

    /// Adds what these tables' changes make.
    pub(super) fn bring(
        &mut self,
        changed: &BTreeSet<TableId>,
        sessions: &Sessions,
        connection: &Connection,
        keeping: &mut Keeping,
    ) -> Outcome<()> {
        let doing = || failed("bringing a result forward");
        let relations = self.plan.shape.relations.iter().map(|(layout, _)| layout.id);
        let changed: BTreeSet<TableId> = relations.filter(|id| changed.contains(id)).collect();
        let at = match self.changes.iter().position(|(of, ..)| *of == changed) {
            Some(at) if self.changes[at].2 < PLAN_USES_MAX => at,
            known => {
                let Some(change) = self.plan.change(&changed) else { return Ok(()) };
                if let Some(old) = known {
                    self.changes.remove(old);
                }
                let planned = sessions.plan_for_good(connection, &change).map_err(doing())?;
                self.changes.push((changed, planned, 0));
                self.changes.len() - 1
            }
        };
        let added = added(&self.table);
        if self.passed > CHANGES_PASSED_MAX {
            keeping.change("bringing a result forward", &self.plan.create_added(&added))?;
            self.passed = 0;
        }
        self.refresh(keeping);
        let prepare = |sql: &str| keeping.connection.prepare(sql).map_err(doing());
        let adding = match &self.adding {
            Some(adding) => adding,
            None => self.adding.insert(Adding {
                add: prepare(&self.plan.add(&self.table, &added))?,
                clear: prepare(&format!("DELETE FROM {added}"))?,
            }),
        };
        let (_, change, uses) = &mut self.changes[at];
        *uses += 1;
        let rows = keeping.connection.append_from(change, &target(&added)).map_err(doing())?;
        if rows > 0 {
            adding.add.run().map_err(doing())?;
            adding.clear.run().map_err(doing())?;
        }
        self.passed += rows;
        self.brought += 1;
        Ok(())
    }

    pub(super) fn drop_tables(self, keeping: &mut Keeping) -> Outcome<()> {
        let (table, added) = (&self.table, added(&self.table));
        keeping.change(
            "forgetting a result",
            &format!("DROP TABLE IF EXISTS {added}; DROP TABLE IF EXISTS {table}"),
        )
    }

    pub(super) fn reader(&mut self, keeping: &Keeping, whole: bool) -> EngineResult<&Reader> {
        self.refresh(keeping);
        let place = &mut self.readers[usize::from(whole)];
        Ok(match place {
            Some(reader) => reader,
            None => {
                let statement = keeping.connection.prepare(&self.plan.read(&self.table, whole))?;
                let parameters = statement.parameters();
                place.insert(Reader { statement, parameters })
            }
        })
    }

    /// The statement that answers a question, and the parameters that it still takes. DuckDB plans statements that take any anew for each run, so
    /// values that are asked for again and again stand in a statement of their own.
    pub(super) fn reader_of<'a, 'p>(
        &'a mut self,
        keeping: &Keeping,
        whole: bool,
        given: &'p [(String, Parameter)],
    ) -> Outcome<(&'a Prepared, &'p [(String, Parameter)])> {
        let reader = self.reader(keeping, whole).map_err(querying)?;
        let values = match given.is_empty() {
            true => None,
            false => literals(&reader.parameters, given),
        };
        let Some(values) = values else {
            return Ok((&self.reader(keeping, whole).map_err(querying)?.statement, given));
        };
        let name = format!("{whole} {values:?}");
        let known = self.valued.iter().position(|(known, _)| *known == name);
        let statement = match known.and_then(|at| self.valued.remove(at)) {
            Some(known) => known,
            None => {
                let values = expressions(&keeping.connection, &values)?;
                let in_place = |tree: &Value| sql(&keeping.connection, &with_values(tree, &values));
                let shape = &self.plan.shape;
                let (selected, rest) = (in_place(&shape.selected)?, in_place(&shape.rest)?);
                let read = self.plan.read_by(&selected, &rest, &self.table, whole);
                let statement = keeping.connection.prepare(&read).map_err(querying)?;
                let plain = &self.reader(keeping, whole).map_err(querying)?.statement;
                // A column without a name of its own is called after its expression.
                if statement.columns() != plain.columns() {
                    return Ok((&self.reader(keeping, whole).map_err(querying)?.statement, given));
                }
                (name, statement)
            }
        };
        if self.valued.len() == VALUED_MAX {
            self.valued.pop_front();
        }
        self.valued.push_back(statement);
        Ok((&self.valued[self.valued.len() - 1].1, &[]))
    }
}

/// The expressions of literals.
fn expressions(connection: &Connection, values: &[(String, String)]) -> Outcome<BTreeMap<String, Value>> {
    let expression = |(name, literal): &(String, String)| {
        let tree = tree(connection, &format!("SELECT {literal}"))?.unwrap_or_default();
        Ok((name.clone(), tree["statements"][0]["node"]["select_list"][0].clone()))
    };
    values.iter().map(expression).collect()
}
