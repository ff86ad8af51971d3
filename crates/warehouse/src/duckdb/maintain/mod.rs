//! Results that follow the changes of their tables: what a statement grouped and summed is kept in a table, and brought forward by what has
//! changed since, in the time that a few changes take and not that of reading everything again.
//!
//! What has changed is in the tables themselves: versions say where they opened and where they closed. So nothing is told to this module, and nothing has to
//! be kept for it: a result at one position is brought to another by the versions between the two. That holds while tables only move forward;
//! [`Continuity`] says when they did not, and everything kept is forgotten then.
//!
//! Kept results are in a database of their own, in memory: small statements on them cost a quarter there, where one thread does all the work and
//! plans are kept for good. A few changes are nothing, so what a statement costs that brings them forward is being planned.
//!
//! - [`held`]: results that need DuckDB for what tables hold and no more, kept without it.
//! - [`shape`]: which part of a statement can follow, pure; [`statements`]: what it takes in SQL, pure; here: doing it.

mod held;
mod kept;
mod shape;
mod statements;
mod tree;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use arrow_array::cast::AsArray;
use millstream_core::{
    log::Result,
    warehouse::{QueryResult, TableLayout},
    Lsn, Maintained, Maintainer, Piece, Query, TableId, TableName, Unbroken,
};
use serde_json::Value;

use self::{
    held::{Feeds, Held},
    kept::{added, target, Keeping, Kept},
    shape::{cut, Found, Known, MeasureKind, Shape},
    statements::{changes_table, create_changes, is_exact_sum, is_key, take_changes, Plan},
};
use super::{
    ast::{tree, Named, Names},
    continuity::Continuity,
    engine::{Connection, Database},
    failed,
    reader::{give_rows, querying},
    reads::{self, UNSTEADY},
    search_path::{Searching, Visible},
    sessions::Sessions,
    sql::string,
    state::{self, single_u64},
};
use crate::WarehouseError;

type Outcome<T> = std::result::Result<T, WarehouseError>;

/// Groups of one kept result at most: some tens of megabytes, and a build of about a second.
const GROUPS_MAX: u64 = 500_000;

/// Groups of all results that are kept without DuckDB, which has a bound of its own: up to 150 MB.
const HELD_GROUPS_MAX: u64 = 500_000;

/// Results kept at most; the one that was not asked for the longest makes room.
const KEPT_MAX: usize = 32;

/// Keys of a kept result at most: more are no groups any more.
const KEYS_MAX: usize = 16;

/// A result that was asked for so lately is brought forward together with others: they share what has changed.
const ASKED_LATELY: Duration = Duration::from_secs(1);

/// One that nobody asked for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// Rows that pass through a table of changes, or of what is added to a result, before it is made anew: rows that are deleted leave their place only then.
const CHANGES_PASSED_MAX: u64 = 50_000;

/// How often groups are counted that nothing is left of, in times brought forward.
const COUNTED_EVERY: u32 = 256;

/// Names in statements of our own begin with it.
const OWN_NAMES: &str = "millstream_";

/// Keeps results of a DuckDB warehouse.
pub struct DuckMaintainer {
    connection: Connection,
    keeping: Keeping,
    continuity: Arc<Continuity>,
    sessions: Arc<Sessions>,
    /// Functions of one row's values that give the same for the same.
    plain: HashSet<String>,
    kept: Vec<Kept>,
    held: Vec<Held>,
    /// Rows of tables for those.
    feeds: Feeds,
    /// Tables of changes.
    changes: BTreeMap<TableId, Changes>,
    /// What everything kept was made under: the stretch without a break, and the generation of the views.
    under: (u64, u64),
    made: u64,
}

/// A table of changes.
struct Changes {
    /// Rows that have passed through it.
    passed: u64,
    /// Its columns, in lower case.
    columns: BTreeSet<String>,
}

/// What became of a result that was to be kept here.
enum Holding {
    Held,
    /// Its tables are in no state to follow.
    NotNow,
    /// It has more groups than there is room for. Its plan is left.
    TooMany(Box<Plan>),
}

/// Names and types of a result's columns.
type Columns = Vec<(String, String)>;

/// What is known of the warehouse while one statement is looked at.
struct Warehouse<'a> {
    connection: &'a Connection,
    visible: Visible,
    tables: Vec<state::KeptTable>,
    models: BTreeMap<TableName, String>,
    plain: &'a HashSet<String>,
}

impl Known for Warehouse<'_> {
    fn find(&self, named: &Named) -> Option<Found> {
        let found = self.visible.resolve(named);
        let [name] = found.as_slice() else { return None };
        if let Some(select) = self.models.get(name) {
            let tree = tree(self.connection, select).ok()??;
            // Which schema a bare name of a view means is not told by the view.
            let bare = Names::of_tree(&tree).unqualified();
            return bare.is_empty().then(|| Found::Model(tree["statements"][0]["node"].clone()));
        }
        let is_it = |table: &&state::KeptTable| {
            let target = &table.state.layout.target;
            target.schema.eq_ignore_ascii_case(&name.schema) && target.name.eq_ignore_ascii_case(&name.name)
        };
        let table = self.tables.iter().filter(|table| !table.retired).find(is_it)?;
        let follows = table.state.layout.history && table.state.history_since.is_some();
        follows.then(|| Found::Table(Box::new(table.state.layout.clone())))
    }

    fn is_plain(&self, function: &str) -> bool {
        self.plain.contains(function) && !UNSTEADY.contains(&function)
    }
}

fn now_under(continuity: &Continuity, sessions: &Sessions) -> Option<(u64, u64)> {
    Some((continuity.stretch()?, sessions.generation()))
}

/// The statement of a tree.
fn sql(connection: &Connection, tree: &Value) -> Outcome<String> {
    let made = connection
        .query(&format!("SELECT json_deserialize_sql({}::JSON)", string(&tree.to_string())))
        .map_err(failed("writing a statement"))?;
    let made = made.iter().find(|batch| batch.num_rows() > 0);
    Ok(made.map(|batch| batch.column(0).as_string::<i32>().value(0).to_owned()).unwrap_or_default())
}

impl DuckMaintainer {
    pub(super) fn new(
        database: &Database,
        continuity: &Arc<Continuity>,
        sessions: &Arc<Sessions>,
    ) -> Outcome<Self> {
        let connection = database.connect().map_err(failed("connecting"))?;
        let keeping = Keeping::open().map_err(failed("opening a database for results"))?;
        let functions = connection
            .query(
                "SELECT DISTINCT lower(function_name) FROM duckdb_functions() WHERE function_type = 'scalar' AND stability = 'CONSISTENT' \
                 EXCEPT SELECT lower(function_name) FROM duckdb_functions() WHERE function_type <> 'scalar'",
            )
            .map_err(failed("reading the functions"))?;
        let names = functions.iter().flat_map(|batch| {
            let names = batch.column(0).as_string::<i32>();
            (0..batch.num_rows()).map(|row| names.value(row).to_owned()).collect::<Vec<_>>()
        });
        Ok(DuckMaintainer {
            keeping,
            plain: names.collect(),
            connection,
            continuity: continuity.clone(),
            sessions: sessions.clone(),
            kept: Vec::new(),
            held: Vec::new(),
            feeds: Feeds::default(),
            changes: BTreeMap::new(),
            under: (0, 0),
            made: 0,
        })
    }

    /// How many results are kept in tables, and how many without DuckDB.
    pub fn kept(&self) -> (usize, usize) {
        (self.kept.len(), self.held.len())
    }

    fn run(&self, doing: &'static str, statement: &str) -> Outcome<u64> {
        self.connection.run(statement).map_err(failed(doing))
    }

    /// What everything is made under now; `None` while that changes.
    fn now_under(&self) -> Option<(u64, u64)> {
        now_under(&self.continuity, &self.sessions)
    }

    /// Looks at a statement: what following it takes, and the columns of its result. `None`: it can't be followed.
    fn plan(&self, statement: &str) -> Outcome<Option<(Plan, Columns)>> {
        if statement.to_ascii_lowercase().contains(OWN_NAMES) {
            return Ok(None);
        }
        let Some(tree) = tree(&self.connection, statement)? else { return Ok(None) };
        let reads = reads::reads(&self.connection, statement)?;
        if !reads.steady || !reads.known {
            return Ok(None);
        }
        let result = self.columns(statement)?;
        let names: Vec<String> = result.iter().map(|(name, _)| name.clone()).collect();
        let warehouse = Warehouse {
            connection: &self.connection,
            visible: Visible::read(&self.connection)?,
            tables: state::tables(&self.connection)?,
            models: reads::selects(&self.connection)?,
            plain: &self.plain,
        };
        let Ok(shape) = cut(tree, &names, &warehouse) else { return Ok(None) };
        let plan = self.typed(shape)?;
        Ok(plan.map(|plan| (plan, result)))
    }

    /// The columns of a statement's result, its names looked up as a reader does.
    fn columns(&self, statement: &str) -> Outcome<Columns> {
        let searching = Searching::begin(&self.connection, statement)?;
        let columns = self.connection.prepare(statement).map(|prepared| prepared.columns());
        searching.end(&self.connection)?;
        columns.map_err(querying)
    }

    /// A shape with its parts as SQL and its types; `None` where a type can't be kept.
    fn typed(&self, shape: Shape) -> Outcome<Option<Plan>> {
        let text = |tree: &Value| sql(&self.connection, tree);
        let (core, selected, rest) = (text(&shape.core)?, text(&shape.selected)?, text(&shape.rest)?);
        let mut plan = Plan { shape, core, selected, rest, keys: Vec::new(), measures: Vec::new() };
        let of = |list: &str| -> Outcome<Vec<String>> {
            let statement = format!("SELECT {list} FROM ({})", plan.core_now());
            let prepared = self.connection.prepare(&statement).map_err(failed("looking at a statement"))?;
            Ok(prepared.columns().into_iter().map(|(_, of)| of).collect())
        };
        let keys: Vec<_> = (0..plan.shape.keys).map(shape::key_name).collect();
        let sum = |(at, measure): (usize, &shape::Measure)| match measure.kind {
            MeasureKind::Sum => format!("sum({})", shape::argument_name(at)),
            MeasureKind::Rows | MeasureKind::Values => "any_value(0::BIGINT)".to_owned(),
        };
        let sums: Vec<_> = plan.shape.measures.iter().enumerate().map(sum).collect();
        let keys = if keys.is_empty() { Vec::new() } else { of(&keys.join(", "))? };
        let measures = if sums.is_empty() { Vec::new() } else { of(&sums.join(", "))? };
        let sums_are_exact = plan
            .shape
            .measures
            .iter()
            .zip(&measures)
            .all(|(measure, of)| measure.kind != MeasureKind::Sum || is_exact_sum(of));
        if !sums_are_exact || keys.len() > KEYS_MAX || !keys.iter().all(|of| is_key(of)) {
            return Ok(None);
        }
        (plan.keys, plan.measures) = (keys, measures);
        Ok(Some(plan))
    }

    /// Makes the result of a plan. `false`: it would have too many groups, or what it gives is not what the statement gives.
    fn keep(&mut self, statement: &str, plan: Plan, result: &Columns) -> Outcome<bool> {
        self.make_room()?;
        let held = Held::new(statement, plan, result, &mut self.feeds, &self.connection, &mut self.keeping)?;
        match held {
            Ok(held) => match self.hold(held)? {
                Holding::Held => Ok(true),
                Holding::NotNow => Ok(false),
                Holding::TooMany(plan) => self.keep_table(statement, *plan, result),
            },
            Err(plan) => self.keep_table(statement, plan, result),
        }
    }

    /// Groups of all results that are kept here.
    fn groups_held(&self) -> u64 {
        self.held.iter().map(Held::groups).sum()
    }

    /// Fills a result that is kept here.
    fn hold(&mut self, mut held: Held) -> Outcome<Holding> {
        let room = HELD_GROUPS_MAX.saturating_sub(self.groups_held());
        let at = Instant::now();
        self.run("beginning to keep a result", "BEGIN TRANSACTION")?;
        let filled = self.position_of(held.reads()).and_then(|position| {
            let fits = position.is_none() || held.fill(&self.connection, room)?;
            Ok((position, fits))
        });
        self.end(filled.is_ok());
        if let Ok((Some(position), true)) = filled {
            (held.position, held.at, held.asked) = (position, at, at);
            self.held.push(held);
            return Ok(Holding::Held);
        }
        let plan = held.drop_tables(&mut self.keeping)?;
        filled.map(|(_, fits)| if fits { Holding::NotNow } else { Holding::TooMany(Box::new(plan)) })
    }

    /// Makes the result of a plan in a table.
    fn keep_table(&mut self, statement: &str, plan: Plan, result: &Columns) -> Outcome<bool> {
        self.made += 1;
        let table = format!("millstream_kept_{}", self.made);
        let at = Instant::now();
        let create = format!("{}; {}", plan.create(&table), plan.create_added(&added(&table)));
        self.keeping.change("keeping a result", &create)?;
        self.run("beginning to keep a result", "BEGIN TRANSACTION")?;
        let filled = self.fill(&table, &plan);
        self.end(filled.is_ok());
        let mut kept = Kept {
            sql: statement.to_owned(),
            table,
            plan,
            position: Lsn::ZERO,
            at,
            asked: at,
            brought: 0,
            passed: 0,
            changes: Vec::new(),
            adding: None,
            catalog: self.keeping.catalog,
            readers: [None, None],
            valued: VecDeque::new(),
        };
        // The last word on whether the two are the same has DuckDB's binder.
        let same = |kept: &mut Kept| {
            kept.reader(&self.keeping, false)
                .map(|reader| reader.statement.columns())
                .is_ok_and(|columns| columns == *result)
        };
        match filled {
            Ok(Some(position)) if same(&mut kept) => kept.position = position,
            other => {
                kept.drop_tables(&mut self.keeping)?;
                return other.map(|_| false);
            }
        }
        self.kept.push(kept);
        Ok(true)
    }

    /// Forgets what was not asked for the longest, where there are as many as may be.
    fn make_room(&mut self) -> Outcome<()> {
        if self.kept.len() + self.held.len() < KEPT_MAX {
            return Ok(());
        }
        let kept = self.kept.iter().enumerate().map(|(at, kept)| (kept.asked, at)).min();
        let held = self.held.iter().enumerate().map(|(at, held)| (held.asked, at)).min();
        match (kept, held) {
            (Some((kept, at)), held) if held.is_none_or(|(held, _)| kept <= held) => self.forget(at),
            (_, Some((_, at))) => self.let_go(at),
            (_, None) => Ok(()),
        }
    }

    /// Fills a plan's table, and says at which position. `None`: not now, or too many groups.
    fn fill(&self, table: &str, plan: &Plan) -> Outcome<Option<Lsn>> {
        let doing = || failed("keeping a result");
        let Some(position) = self.position_of(plan)? else { return Ok(None) };
        let now = format!("{} LIMIT {}", plan.now(), GROUPS_MAX + 1);
        let now = self.connection.prepare(&now).map_err(doing())?;
        let groups = self.keeping.connection.append_from(&now, &target(table)).map_err(doing())?;
        Ok((groups <= GROUPS_MAX).then_some(position))
    }

    /// Where the tables of a plan are. `None`: nothing can follow them from there.
    fn position_of(&self, plan: &Plan) -> Outcome<Option<Lsn>> {
        let position = state::progress(&self.connection)?.applied_lsn;
        // Behind the first read, which took the snapshot.
        let steady = self.now_under() == Some(self.under) && position >= self.copied_at(plan)?;
        Ok(steady.then_some(position))
    }

    /// Where the newest first copy of a plan's tables stands. Before something behind it is applied, rows lie behind the position that is known, and
    /// would be taken for changes.
    fn copied_at(&self, plan: &Plan) -> Outcome<Lsn> {
        let is_read = |table: &state::KeptTable| {
            plan.shape.relations.iter().any(|(layout, _)| layout.id == table.state.layout.id)
        };
        let tables = state::tables(&self.connection)?;
        let copied =
            tables.iter().filter(|table| is_read(table)).filter_map(|table| table.state.history_since);
        Ok(copied.map(|moment| moment.position.commit_lsn).max().unwrap_or_default())
    }

    /// Ends a transaction that has read the tables.
    fn end(&self, well: bool) {
        if let Err(error) = self.connection.run(if well { "COMMIT" } else { "ROLLBACK" }) {
            tracing::debug!(
                event = "read_left_open",
                error = error.message,
                "a read left no transaction to end"
            );
        }
    }

    fn forget(&mut self, at: usize) -> Outcome<()> {
        self.kept.remove(at).drop_tables(&mut self.keeping)
    }

    fn let_go(&mut self, at: usize) -> Outcome<()> {
        self.held.remove(at).drop_tables(&mut self.keeping).map(drop)
    }

    fn forget_all(&mut self) -> Outcome<()> {
        while !self.held.is_empty() {
            self.let_go(self.held.len() - 1)?;
        }
        self.feeds = Feeds::default();
        while !self.kept.is_empty() {
            self.forget(self.kept.len() - 1)?;
        }
        for id in std::mem::take(&mut self.changes).into_keys() {
            self.run("forgetting changes", &format!("DROP TABLE IF EXISTS {}", changes_table(id)))?;
        }
        Ok(())
    }

    /// Brings forward what was asked for lately, or of that only what is kept without DuckDB. `false`: the tables did not only move forward.
    fn bring_forward(&mut self, all: bool) -> Outcome<bool> {
        let at = Instant::now();
        while let Some(old) =
            self.kept.iter().position(|kept| at.duration_since(kept.asked) > FORGOTTEN_AFTER)
        {
            self.forget(old)?;
        }
        while let Some(old) =
            self.held.iter().position(|held| at.duration_since(held.asked) > FORGOTTEN_AFTER)
        {
            self.let_go(old)?;
        }
        self.run("bringing a result forward", "BEGIN TRANSACTION")?;
        let brought = self.bring_to_now(at, all);
        // What was found to have changed stays for the plans that read it.
        self.end(matches!(brought, Ok(true)));
        brought
    }

    fn bring_to_now(&mut self, at: Instant, all: bool) -> Outcome<bool> {
        let now = state::progress(&self.connection)?.applied_lsn;
        // Behind the first read, which took the snapshot: what breaks from here on is not in it.
        if self.now_under() != Some(self.under) {
            return Ok(false);
        }
        if !self.bring_held(now, at)? {
            return Ok(false);
        }
        if !all {
            return Ok(true);
        }
        let is_due = |kept: &Kept| at.duration_since(kept.asked) < ASKED_LATELY;
        let from: BTreeSet<Lsn> =
            self.kept.iter().filter(|kept| is_due(kept)).map(|kept| kept.position).collect();
        for from in from.into_iter().filter(|from| *from < now) {
            let due = |kept: &&mut Kept| is_due(kept) && kept.position == from;
            let mut needed: BTreeMap<TableId, (TableLayout, BTreeSet<String>)> = BTreeMap::new();
            for kept in self.kept.iter().filter(|kept| is_due(kept) && kept.position == from) {
                for (layout, needs) in &kept.plan.shape.relations {
                    let (_, all) =
                        needed.entry(layout.id).or_insert_with(|| (layout.clone(), BTreeSet::new()));
                    all.extend(needs.iter().cloned());
                }
            }
            let mut changed = BTreeSet::new();
            for (id, (layout, needs)) in needed {
                if self.continuity.has_changed(id, from) && self.look_for_changes(&layout, needs, from)? > 0 {
                    changed.insert(id);
                }
            }
            for kept in self.kept.iter_mut().filter(due) {
                kept.bring(&changed, &self.sessions, &self.connection, &mut self.keeping)?;
                kept.position = now;
            }
        }
        self.kept
            .iter_mut()
            .filter(|kept| is_due(kept) && kept.position == now)
            .for_each(|kept| kept.at = at);
        Ok(true)
    }

    /// Brings all forward that are kept here. `false`: the tables did not only move forward.
    fn bring_held(&mut self, now: Lsn, at: Instant) -> Outcome<bool> {
        let behind: BTreeSet<Lsn> =
            self.held.iter().map(|held| held.position).filter(|position| *position != now).collect();
        let remembered = self.feeds.position();
        if !self.feeds.remembers() || (remembered != now && !behind.contains(&remembered)) {
            self.feeds.forget(now);
        }
        // What is remembered comes first: the others are joined with it as it is now.
        let first = behind.get(&self.feeds.position()).copied();
        for from in first.into_iter().chain(behind.iter().copied().filter(|from| Some(*from) != first)) {
            let taken = self.feeds.take_changes(&self.connection, &self.continuity, from)?;
            if !taken {
                self.feeds.forget(now);
            } else if from == self.feeds.position() && !self.feeds.follow(now) {
                return Ok(false);
            }
            for held in self.held.iter_mut().filter(|held| held.position == from) {
                if taken && held.bring(&mut self.feeds, &self.connection)? {
                    held.position = now;
                }
            }
        }
        while let Some(lost) = self.held.iter().position(|held| held.position != now) {
            self.let_go(lost)?;
        }
        self.held.iter_mut().for_each(|held| held.at = at);
        Ok(true)
    }

    /// Puts a table's changes behind a position in their place, and says how many rows they are.
    fn look_for_changes(&mut self, layout: &TableLayout, needs: BTreeSet<String>, from: Lsn) -> Outcome<u64> {
        const DOING: &str = "looking for changes";
        let known = self.changes.get(&layout.id);
        let good =
            known.filter(|known| known.passed < CHANGES_PASSED_MAX && known.columns.is_superset(&needs));
        let (passed, columns) = match good {
            Some(known) => {
                self.run(DOING, &format!("DELETE FROM {}", changes_table(layout.id)))?;
                (known.passed, known.columns.clone())
            }
            None => {
                let columns =
                    known.map_or(needs.clone(), |known| known.columns.union(&needs).cloned().collect());
                self.run(DOING, &create_changes(layout, &columns))?;
                // DuckDB would plan them anew each time.
                self.kept.iter_mut().for_each(|kept| kept.changes.clear());
                (0, columns)
            }
        };
        let rows = self.run(DOING, &take_changes(layout, &columns, from))?;
        self.changes.insert(layout.id, Changes { passed: passed + rows, columns });
        Ok(rows)
    }

    /// Whether more than half of a result's groups are gone, or there are too many: it is made anew when it is asked for again.
    fn is_overgrown(&mut self, at: usize) -> Outcome<bool> {
        let kept = &mut self.kept[at];
        if kept.brought < COUNTED_EVERY {
            return Ok(false);
        }
        kept.brought = 0;
        let table = &kept.table;
        let count = |condition: &str| -> Outcome<u64> {
            let batches = self
                .keeping
                .connection
                .query(&format!("SELECT count(*)::UBIGINT FROM {table} WHERE {condition}"))
                .map_err(failed("counting groups"))?;
            Ok(single_u64(&batches))
        };
        let all = count("true")?;
        Ok(all > GROUPS_MAX || count("rows_there = 0")? > all / 2 + 1_000)
    }

    fn try_held(&mut self, at: usize, query: &Query<'_>, since: Instant) -> Outcome<Option<Maintained>> {
        self.held[at].asked = Instant::now();
        let is_overgrown = self.held[at].is_overgrown() || self.groups_held() > HELD_GROUPS_MAX;
        if self.now_under() != Some(self.under) || is_overgrown {
            self.let_go(at)?;
            return Ok(None);
        }
        if self.held[at].at < since && !self.bring_forward(false)? {
            self.forget_all()?;
            return Ok(None);
        }
        let Some(held) = self.held.iter_mut().find(|held| held.sql == query.sql) else { return Ok(None) };
        held.answer(query, &self.keeping)
    }

    fn try_answer(&mut self, query: &Query<'_>, since: Instant) -> Outcome<Option<Maintained>> {
        if let Some(at) = self.held.iter().position(|held| held.sql == query.sql) {
            return self.try_held(at, query, since);
        }
        let Some(at) = self.kept.iter().position(|kept| kept.sql == query.sql) else { return Ok(None) };
        self.kept[at].asked = Instant::now();
        if self.now_under() != Some(self.under) || self.is_overgrown(at)? {
            self.forget(at)?;
            return Ok(None);
        }
        if self.kept[at].at < since && !self.bring_forward(true)? {
            self.forget_all()?;
            return Ok(None);
        }
        let Some(kept) = self.kept.iter_mut().find(|kept| kept.sql == query.sql) else { return Ok(None) };
        let whole = kept.plan.is_whole(query.parameters);
        let (position, at) = (kept.position, kept.at);
        let (reader, parameters) = kept.reader_of(&self.keeping, whole, query.parameters)?;
        let query = Query { parameters, ..*query };
        let mut result = QueryResult { columns: Vec::new(), batches: Vec::new() };
        give_rows(reader, &query, &mut |piece| {
            match piece {
                Piece::Columns(columns) => result.columns = columns.to_vec(),
                Piece::Rows(batch) => result.batches.push(batch),
            }
            true
        })?;
        Ok(Some(Maintained { result, position, at, renews: false }))
    }
}

impl Maintainer for DuckMaintainer {
    fn follow(&mut self, sql: &str) -> Result<bool> {
        if self.kept.iter().any(|kept| kept.sql == sql) || self.held.iter().any(|held| held.sql == sql) {
            return Ok(true);
        }
        // Before anything is looked at: a plan of before a break is no plan for behind it.
        let Some(under) = self.now_under() else { return Ok(false) };
        if under != self.under {
            self.forget_all()?;
            self.under = under;
        }
        match self.plan(sql)? {
            Some((plan, result)) => Ok(self.keep(sql, plan, &result)?),
            None => Ok(false),
        }
    }

    fn renew(&mut self) -> Result<()> {
        let now = Instant::now();
        if !self.held.iter().any(|held| now.duration_since(held.asked) < ASKED_LATELY)
            || self.now_under() != Some(self.under)
        {
            return Ok(());
        }
        let brought = self.bring_forward(false);
        if !matches!(brought, Ok(true)) {
            self.forget_all()?;
        }
        Ok(brought.map(drop)?)
    }

    fn answer(&mut self, query: &Query<'_>, since: Instant) -> Result<Option<Maintained>> {
        let answered = self.try_answer(query, since);
        if answered.is_err() {
            // What it left behind is not known.
            self.forget_all()?;
        }
        Ok(answered?)
    }

    fn unbroken(&self) -> Unbroken {
        let (continuity, sessions, under) = (self.continuity.clone(), self.sessions.clone(), self.under);
        Unbroken::new(move || now_under(&continuity, &sessions) == Some(under))
    }
}
