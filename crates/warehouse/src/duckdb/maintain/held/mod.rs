//! Results whose groups are kept here: for those whose rows can be joined and whose answers can be sorted without DuckDB. Its statements cost two milliseconds each
//! before they do anything, several of them for each result and each question; on a busy machine that is most of how old answers are.
//!
//! - [`separate`]: whether a statement's rows can be joined here, pure; [`join`]: doing it, pure; [`feed`]: the rows for it;
//! - [`groups`]: what is kept, pure; [`simple`]: what answers are made of it, pure; here: both with what DuckDB is needed for.

mod cell;
mod feed;
mod groups;
mod join;
mod separate;
mod simple;

use std::{collections::VecDeque, sync::Arc, time::Instant};

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Field, Schema, SchemaRef};
use millstream_core::{warehouse::QueryResult, Lsn, Maintained, Parameter, Piece, Query, TableId};

use self::{
    cell::{array, cells, is_cell, Cell},
    groups::Groups,
    join::{difference, NotJoined},
    separate::{separate, Place, Separate},
    simple::{layout, simple, Simple, Sums},
};
use super::{
    super::{
        engine::Connection,
        failed,
        reader::{give_rows, querying},
    },
    kept::{target, Keeping},
    shape::{key_name, STATE},
    statements::Plan,
    tree::{columns, items},
    Columns, Outcome,
};

pub(super) use self::feed::Feeds;

/// Sets of parameters' values that are remembered for each result, with the last answer to each.
const VALUED_MAX: usize = 16;

/// A result whose groups are kept here.
pub(super) struct Held {
    pub(super) sql: String,
    plan: Plan,
    core: Separate,
    /// The tables of its relations.
    relations: Vec<TableId>,
    sums: Vec<Sums>,
    width: usize,
    groups: Groups,
    simple: Simple,
    columns: Columns,
    /// The result's columns as Arrow has them.
    schema: SchemaRef,
    /// What conditions with parameters look at; `None`: there are none.
    conditions: Option<Conditions>,
    /// The last used at the end.
    valued: VecDeque<Valued>,
    /// Where the tables were that it is made of.
    pub(super) position: Lsn,
    /// When that was all there was.
    pub(super) at: Instant,
    pub(super) asked: Instant,
}

/// The sets of values that conditions look at, in a table of DuckDB's: it says which of them a condition lets through.
struct Conditions {
    table: String,
    schema: SchemaRef,
    /// How many are in it.
    told: usize,
}

/// What conditions let through with some values of their parameters.
struct Valued {
    parameters: String,
    /// By the numbers of sets of values; as many as were looked at.
    passes: Vec<bool>,
    last: Option<Last>,
}

/// An answer, and what it was made of.
struct Last {
    rows_max: usize,
    changed: u64,
    rows: RecordBatch,
}

/// Columns of DuckDB's types as DuckDB gives them to Arrow.
fn schema(connection: &Connection, columns: &[(String, String)]) -> Outcome<SchemaRef> {
    let list = columns.iter().enumerate().map(|(at, (_, of))| format!("NULL::{of} AS c{at}"));
    let statement = format!("SELECT {} LIMIT 0", list.collect::<Vec<_>>().join(", "));
    let rows = connection.stream(&statement).map_err(failed("looking at types"))?.no_rows();
    let named = rows.schema_ref().fields().iter().zip(columns);
    let named = named.map(|(field, (name, _))| Field::clone(field).with_name(name));
    Ok(Arc::new(Schema::new(named.collect::<Vec<_>>())))
}

/// Whether columns of these types can be made of cells.
fn are_cells(columns: &[(String, String)], schema: &Schema) -> bool {
    let mut columns = schema.fields().iter().zip(columns);
    columns.all(|(field, (_, of))| is_cell(of) && array(field.data_type(), &[]).is_some())
}

/// Rows of columns of cells. They are of the types: where one were not, the result would not be kept any more.
fn batch(schema: &SchemaRef, columns: &[Vec<Cell>]) -> Option<RecordBatch> {
    let arrays = schema.fields().iter().zip(columns).map(|(field, cells)| array(field.data_type(), cells));
    RecordBatch::try_new(schema.clone(), arrays.collect::<Option<Vec<ArrayRef>>>()?).ok()
}

impl Held {
    /// Takes a plan up, without groups yet. The plan comes back where its result can't be kept here.
    pub(super) fn new(
        statement: &str,
        plan: Plan,
        result: &Columns,
        feeds: &mut Feeds,
        connection: &Connection,
        keeping: &mut Keeping,
    ) -> Outcome<Result<Self, Plan>> {
        let names: Vec<String> = result.iter().map(|(name, _)| name.clone()).collect();
        let (Ok(mut core), Ok(simple)) = (separate(&plan.shape), simple(&plan.shape, &names)) else {
            return Ok(Err(plan));
        };
        let schema = schema(&keeping.connection, result)?;
        if !plan.keys.iter().chain(&plan.measures).all(|of| is_cell(of)) || !are_cells(result, &schema) {
            return Ok(Err(plan));
        }
        let mut places = Vec::new();
        for ((layout, _), expressions) in plan.shape.relations.iter().zip(&core.expressions) {
            match feeds.take_up(connection, layout, expressions)? {
                Some(taken) => places.push(taken),
                None => return Ok(Err(plan)),
            }
        }
        core.moved(&places);
        let relations: Vec<TableId> = plan.shape.relations.iter().map(|(layout, _)| layout.id).collect();
        let of = |place: Place| (relations[place.relation], place.at);
        if !core.joins.iter().all(|(one, other)| feeds.can_join(of(*one), of(*other))) {
            return Ok(Err(plan));
        }
        let looked_at = columns(&plan.shape.selected["statements"][0]["node"]["where_clause"]);
        let is_asked = |at: &usize| {
            let name = key_name(*at);
            looked_at.iter().any(|column| items(column, "column_names").iter().any(|of| *of == name.as_str()))
        };
        let asked: Vec<usize> = (0..plan.shape.keys).filter(is_asked).collect();
        let has_conditions = !plan.shape.selected["statements"][0]["node"]["where_clause"].is_null();
        let conditions = match has_conditions {
            true => Some(Conditions::new(&asked, &plan, keeping)?),
            false => None,
        };
        let (sums, width) = layout(&plan.shape);
        let now = Instant::now();
        Ok(Ok(Held {
            sql: statement.to_owned(),
            groups: Groups::new(width, plan.shape.groups, asked),
            core,
            relations,
            sums,
            width,
            simple,
            columns: result.clone(),
            schema,
            conditions,
            valued: VecDeque::new(),
            position: Lsn::ZERO,
            at: now,
            asked: now,
            plan,
        }))
    }

    pub(super) fn reads(&self) -> &Plan {
        &self.plan
    }

    /// How many groups it has.
    pub(super) fn groups(&self) -> u64 {
        self.groups.len() as u64
    }

    /// Reads all of its tables. `false`: more groups than there is room for.
    pub(super) fn fill(&mut self, connection: &Connection, room: u64) -> Outcome<bool> {
        const DOING: &str = "keeping a result";
        let statement = format!("{} LIMIT {}", self.plan.now(), room + 1);
        let mut rows = connection.stream(&statement).map_err(failed(DOING))?;
        while let Some(batch) = rows.next_batch().map_err(failed(DOING))? {
            // Behind the digest, which tells groups apart where DuckDB keeps them.
            let columns = batch.columns().iter().skip(1).map(|column| cells(column));
            let Some(columns) = columns.collect::<Option<Vec<_>>>() else { return Ok(false) };
            let (keys, sums) = columns.split_at(self.plan.shape.keys);
            for row in 0..batch.num_rows() {
                let key = keys.iter().map(|column| column[row].clone()).collect();
                let sums = sums.iter().map(|column| column[row].as_number());
                let Some(sums) = sums.collect::<Option<Vec<_>>>() else { return Ok(false) };
                if !self.groups.add(key, &sums) {
                    return Ok(false);
                }
            }
        }
        Ok(self.groups() <= room)
    }

    /// Adds what the changes make that were taken last. `false`: it can't be said any more what that is.
    pub(super) fn bring(&mut self, feeds: &mut Feeds, connection: &Connection) -> Outcome<bool> {
        let Held { core, groups, sums, width, .. } = self;
        let (mut fits, mut by) = (true, vec![0_i128; *width]);
        let outcome = difference(core, &mut feeds.of(connection, &self.relations), |cell, weight| {
            by.fill(0);
            by[0] = weight.into();
            for ((argument, filter), sums) in core.measures.iter().zip(sums.iter()) {
                let number = argument.map(cell).map(|cell| (cell.is_null(), cell.as_number()));
                let counts = filter.is_none_or(|filter| cell(filter).holds())
                    && number.is_none_or(|(is_null, _)| !is_null);
                if !counts || sums.count == 0 {
                    continue;
                }
                by[sums.count] = weight.into();
                if let (Some(sum), Some((_, Some(number)))) = (sums.sum, number) {
                    match number.checked_mul(weight.into()) {
                        Some(number) => by[sum] = number,
                        None => fits = false,
                    }
                }
            }
            fits &= groups.add(core.keys.iter().map(|place| cell(*place)).collect(), &by);
        });
        match outcome {
            Ok(()) => Ok(fits),
            Err(NotJoined::TooMany) => Ok(false),
            Err(NotJoined::Failed(error)) => Err(error),
        }
    }

    /// Whether more than half of the groups are gone: it is made anew when it is asked for again.
    pub(super) fn is_overgrown(&self) -> bool {
        self.groups.empty() > self.groups.len() / 2 + 1_000
    }

    /// The answer; `None`: a reader has to be asked.
    pub(super) fn answer(&mut self, query: &Query<'_>, keeping: &Keeping) -> Outcome<Option<Maintained>> {
        let mut valued = self.valued(query.parameters);
        self.look(&mut valued, query, keeping)?;
        let rows_max = query.rows_max.unwrap_or(usize::MAX);
        let through: Vec<_> = match self.conditions {
            None => self.groups.members().iter().collect(),
            Some(_) => {
                let members = self.groups.members().iter().zip(&valued.passes);
                members.filter(|(_, passes)| **passes).map(|(members, _)| members).collect()
            }
        };
        // Each change has a number above all before it.
        let changed = through.iter().map(|members| members.changed).max().unwrap_or_default();
        let known = valued.last.as_ref().filter(|last| last.rows_max == rows_max && last.changed == changed);
        let rows = match known {
            Some(last) => Some(last.rows.clone()),
            None => {
                let slots = through.iter().flat_map(|members| members.slots.iter().copied());
                let (shape, are_whole) = (&self.plan.shape, self.groups.are_whole(through.len()));
                let columns =
                    self.simple.columns(&self.groups, slots, are_whole, shape, query.parameters, rows_max);
                columns.and_then(|columns| batch(&self.schema, &columns))
            }
        };
        valued.last = rows.clone().map(|rows| Last { rows_max, changed, rows });
        if self.valued.len() == VALUED_MAX {
            self.valued.pop_front();
        }
        self.valued.push_back(valued);
        let result = |rows| QueryResult { columns: self.columns.clone(), batches: vec![rows] };
        Ok(rows.map(|rows| Maintained {
            result: result(rows),
            position: self.position,
            at: self.at,
            renews: true,
        }))
    }

    /// What is known of these values of parameters.
    fn valued(&mut self, parameters: &[(String, Parameter)]) -> Valued {
        let parameters = format!("{parameters:?}");
        let known = self.valued.iter().position(|known| known.parameters == parameters);
        let known = known.and_then(|known| self.valued.remove(known));
        known.unwrap_or(Valued { parameters, passes: Vec::new(), last: None })
    }

    /// Has DuckDB look at the sets of values that conditions were not asked about.
    fn look(&mut self, valued: &mut Valued, query: &Query<'_>, keeping: &Keeping) -> Outcome<()> {
        let Some(conditions) = &mut self.conditions else { return Ok(()) };
        let members = self.groups.members();
        let (looked, all) = (valued.passes.len(), members.len());
        if looked == all {
            return Ok(());
        }
        if conditions.told < all {
            let new = members.iter().enumerate().skip(conditions.told);
            let mut columns = vec![Vec::new(); conditions.schema.fields().len()];
            for (number, members) in new {
                columns[0].push(Cell::number(number as i128));
                columns[1..]
                    .iter_mut()
                    .zip(&members.values)
                    .for_each(|(column, cell)| column.push(cell.clone()));
            }
            // They came from columns of these types.
            let rows = batch(&conditions.schema, &columns).expect("keys are of their columns' types");
            let told = keeping.connection.append(&target(&conditions.table), &[&rows]);
            told.map_err(failed("telling what conditions look at"))?;
            conditions.told = all;
        }
        let sets = format!("(SELECT * FROM {} WHERE number >= {looked})", conditions.table);
        let statement = format!("SELECT number FROM ({})", self.plan.selected.replace(STATE, &sets));
        let statement = keeping.connection.prepare(&statement).map_err(querying)?;
        let named: Vec<String> = statement.parameters().into_iter().map(|(name, _)| name).collect();
        let given = query.parameters.iter().filter(|(name, _)| named.contains(name));
        let given: Vec<_> = given.cloned().collect();
        valued.passes.resize(all, false);
        give_rows(&statement, &Query { parameters: &given, ..Query::new(query.sql) }, &mut |piece| {
            if let Piece::Rows(batch) = piece {
                let numbers = cells(batch.column(0)).unwrap_or_default();
                let numbers = numbers.iter().filter_map(Cell::as_number);
                for number in numbers.filter_map(|number| usize::try_from(number).ok()) {
                    valued.passes[number] = true;
                }
            }
            true
        })
    }

    /// Ends it. What it was made by is left.
    pub(super) fn drop_tables(self, keeping: &mut Keeping) -> Outcome<Plan> {
        if let Some(conditions) = &self.conditions {
            keeping.change("forgetting a result", &format!("DROP TABLE IF EXISTS {}", conditions.table))?;
        }
        Ok(self.plan)
    }
}

impl Conditions {
    /// A table for sets of values of these keys.
    fn new(asked: &[usize], plan: &Plan, keeping: &mut Keeping) -> Outcome<Self> {
        let number = ("number".to_owned(), "BIGINT".to_owned());
        let keys = asked.iter().map(|at| (key_name(*at), plan.keys[*at].clone()));
        let columns: Columns = [number].into_iter().chain(keys).collect();
        let table = format!("millstream_asked_{}", keeping.catalog);
        let declared: Vec<_> = columns.iter().map(|(name, of)| format!("{name} {of}")).collect();
        keeping.change("keeping a result", &format!("CREATE TABLE {table} ({})", declared.join(", ")))?;
        Ok(Conditions { table, schema: schema(&keeping.connection, &columns)?, told: 0 })
    }
}
