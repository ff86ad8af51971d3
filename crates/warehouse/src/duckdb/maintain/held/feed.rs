//! Rows of tables as kept results need them: what changed, and those that changes are joined with. What was looked up is remembered and follows the changes
//! itself, so that in the long run DuckDB is asked for little but changes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use arrow_array::RecordBatch;
use millstream_core::{warehouse::TableLayout, Lsn, TableId};
use serde_json::Value;

use super::{
    super::{
        super::{
            continuity::Continuity,
            engine::Connection,
            failed,
            sql::{closed, current, string},
        },
        shape::WEIGHT,
        sql,
        statements::columns as named_columns,
        tree::{columns, items, statement, text},
        Outcome,
    },
    cell::{cells, is_cell, Cell},
    join::{Row, Tables},
    separate::Place,
};

/// Changed rows taken at once at most: of more, results are rather made anew.
const CHANGES_MAX: usize = 100_000;

/// Values looked up in one statement.
const VALUES_MAX: usize = 1_000;

/// Rows and values remembered at most, of all tables: about a hundred bytes each.
const REMEMBERED_MAX: usize = 400_000;

/// The rows of tables.
#[derive(Default)]
pub(in super::super) struct Feeds {
    feeds: BTreeMap<TableId, Feed>,
    /// Where the tables were that the remembered rows are of.
    position: Lsn,
}

struct Feed {
    layout: TableLayout,
    /// What is taken of a row, as SQL over the table's columns.
    expressions: Vec<String>,
    types: Vec<String>,
    /// The expressions that are a column, by its name in lower case.
    bare: Vec<Option<String>>,
    needs: BTreeSet<String>,
    /// Rows by the value of an expression: all that have it.
    remembered: BTreeMap<usize, HashMap<Cell, Vec<Row>>>,
    remembered_count: usize,
    changes: Vec<(Row, i64)>,
}

/// Whether values of a type can stand in a statement that looks rows up.
fn can_be_looked_up(of: &str) -> bool {
    const TYPES: [&str; 7] = ["SMALLINT", "INTEGER", "BIGINT", "USMALLINT", "UINTEGER", "UBIGINT", "VARCHAR"];
    TYPES.contains(&of)
}

fn literal(cell: &Cell) -> String {
    match cell {
        Cell::Text(value) => string(value),
        other => other.as_number().map_or_else(|| "NULL".to_owned(), |number| number.to_string()),
    }
}

/// The rows of batches, cell by cell.
fn rows(batches: &[RecordBatch]) -> Option<Vec<Vec<Cell>>> {
    let mut all = Vec::new();
    for batch in batches {
        let columns = batch.columns().iter().map(|column| cells(column)).collect::<Option<Vec<_>>>()?;
        let mut columns: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
        all.extend((0..batch.num_rows()).map(|_| columns.iter_mut().filter_map(Iterator::next).collect()));
    }
    Some(all)
}

impl Feed {
    fn new(layout: &TableLayout) -> Self {
        Feed {
            layout: layout.clone(),
            expressions: Vec::new(),
            types: Vec::new(),
            bare: Vec::new(),
            needs: BTreeSet::new(),
            remembered: BTreeMap::new(),
            remembered_count: 0,
            changes: Vec::new(),
        }
    }

    fn list(&self) -> String {
        self.expressions.join(", ")
    }

    fn ask(&self, connection: &Connection, doing: &'static str, statement: &str) -> Outcome<Vec<Vec<Cell>>> {
        let batches = connection.query(statement).map_err(failed(doing))?;
        // Expressions of other types are not taken up.
        Ok(rows(&batches).expect("only values that can be cells are asked for"))
    }

    /// Takes what changed behind a position. A version that opened and closed behind it was never seen and is not told; nor is the row that tells of a
    /// deletion, which opens behind it too. `false`: it is too much.
    fn take_changes(&mut self, connection: &Connection, from: Lsn) -> Outcome<bool> {
        let (columns, id, from) = (named_columns(&self.layout, &self.needs), self.layout.id, from.0);
        let statement = format!(
            "SELECT {}, {WEIGHT} FROM (SELECT {columns}1 AS {WEIGHT} FROM {} WHERE _lsn > {from} \
             UNION ALL SELECT {columns}-1 FROM {} WHERE _lsn_to > {from} AND _lsn <= {from}) LIMIT {}",
            self.list(),
            current(id),
            closed(id),
            CHANGES_MAX + 1
        );
        let changes = self.ask(connection, "looking for changes", &statement)?;
        if changes.len() > CHANGES_MAX {
            return Ok(false);
        }
        self.changes.clear();
        for mut row in changes {
            let weight = if row.pop().is_some_and(|weight| weight.holds()) { 1 } else { -1 };
            self.changes.push((row.into(), weight));
        }
        Ok(true)
    }

    /// Brings what is remembered forward by the changes. `false`: they are not changes of that.
    fn follow(&mut self) -> bool {
        for (at, known) in &mut self.remembered {
            for (row, weight) in &self.changes {
                let Some(rows) = known.get_mut(&row[*at]) else { continue };
                if *weight > 0 {
                    rows.push(row.clone());
                    self.remembered_count += 1;
                    continue;
                }
                let Some(gone) = rows.iter().position(|known| known == row) else { return false };
                rows.swap_remove(gone);
                self.remembered_count -= 1;
            }
        }
        true
    }

    fn look_up(&mut self, connection: &Connection, at: usize, values: HashSet<Cell>) -> Outcome<()> {
        let known = self.remembered.remove(&at).unwrap_or_default();
        let outcome = self.find(connection, at, values, known);
        let known = outcome?;
        self.remembered.insert(at, known);
        Ok(())
    }

    fn find(
        &mut self,
        connection: &Connection,
        at: usize,
        values: HashSet<Cell>,
        mut known: HashMap<Cell, Vec<Row>>,
    ) -> Outcome<HashMap<Cell, Vec<Row>>> {
        let mut missing: HashSet<Cell> =
            values.into_iter().filter(|value| !known.contains_key(value)).collect();
        if self.is_key(at) {
            // A row of that key that came just now is the only one.
            for (row, weight) in &self.changes {
                if *weight > 0 && missing.remove(&row[at]) {
                    known.insert(row[at].clone(), vec![row.clone()]);
                    self.remembered_count += 2;
                }
            }
        }
        let missing: Vec<Cell> = missing.into_iter().collect();
        for values in missing.chunks(VALUES_MAX) {
            let bounds = |bound: fn(_, _) -> _| values.iter().reduce(bound).map(literal).unwrap_or_default();
            let lowest =
                bounds(|one: &Cell, other: &Cell| if one.order(other).is_le() { one } else { other });
            let highest =
                bounds(|one: &Cell, other: &Cell| if one.order(other).is_ge() { one } else { other });
            let list: Vec<_> = values.iter().map(literal).collect();
            // The bounds let DuckDB pass over what lies elsewhere in the table.
            let statement = format!(
                "SELECT {} FROM (SELECT {}0 AS millstream_none FROM {}) WHERE {expression} BETWEEN {lowest} AND {highest} AND {expression} IN ({})",
                self.list(),
                named_columns(&self.layout, &self.needs),
                current(self.layout.id),
                list.join(", "),
                expression = self.expressions[at],
            );
            let found = self.ask(connection, "looking rows up", &statement)?;
            self.remembered_count += values.len() + found.len();
            known.extend(values.iter().map(|value| (value.clone(), Vec::new())));
            for row in found {
                let row: Row = row.into();
                if let Some(rows) = known.get_mut(&row[at]) {
                    rows.push(row);
                }
            }
        }
        Ok(known)
    }

    /// Whether an expression is the table's key.
    fn is_key(&self, at: usize) -> bool {
        let Some([attnum]) = self.layout.key.as_deref() else { return false };
        let mut live = self.layout.live_columns();
        let key = live.find(|column| column.attnum == *attnum);
        key.is_some_and(|key| self.bare[at].as_deref() == Some(&key.name.to_ascii_lowercase()))
    }

    fn forget(&mut self) {
        self.remembered.clear();
        self.remembered_count = 0;
    }
}

impl Feeds {
    /// Takes expressions of a table's rows up, and says where they are in them. `None`: the values of one of them can't be kept here.
    pub(super) fn take_up(
        &mut self,
        connection: &Connection,
        layout: &TableLayout,
        expressions: &[Value],
    ) -> Outcome<Option<Vec<usize>>> {
        let mut places = Vec::new();
        for tree in expressions {
            let select = sql(connection, &select(tree))?;
            let Some(expression) = select.strip_prefix("SELECT ") else { return Ok(None) };
            let feed = self.feeds.entry(layout.id).or_insert_with(|| Feed::new(layout));
            if let Some(known) = feed.expressions.iter().position(|known| known == expression) {
                places.push(known);
                continue;
            }
            let mut needs = feed.needs.clone();
            let named = columns(tree).into_iter();
            needs.extend(named.filter_map(|column| {
                items(&column, "column_names").last().and_then(Value::as_str).map(str::to_owned)
            }));
            let look = format!(
                "SELECT {expression} FROM (SELECT {}0 AS millstream_none FROM {})",
                named_columns(layout, &needs),
                current(layout.id)
            );
            let prepared = connection.prepare(&look).map_err(failed("looking at a statement"))?;
            let [(_, of)] = prepared.columns().try_into().expect("one expression is one column");
            if !is_cell(&of) {
                return Ok(None);
            }
            let column = (text(tree, "class") == "COLUMN_REF")
                .then(|| items(tree, "column_names").last().and_then(Value::as_str).map(str::to_owned));
            feed.expressions.push(expression.to_owned());
            feed.types.push(of);
            feed.bare.push(column.flatten());
            feed.needs = needs;
            // The rows that are remembered lack it.
            feed.forget();
            places.push(feed.expressions.len() - 1);
        }
        Ok(Some(places))
    }

    /// Whether rows can be joined where these expressions are equal: they are of one type, whose values can be looked up.
    pub(super) fn can_join(&self, one: (TableId, usize), other: (TableId, usize)) -> bool {
        let of = |(id, at): (TableId, usize)| self.feeds.get(&id).map(|feed| feed.types[at].as_str());
        of(one).is_some_and(can_be_looked_up) && of(one) == of(other)
    }

    /// Takes what changed behind a position. What is remembered of another one is forgotten. `false`: it is too much, or it did not change so.
    pub(in super::super) fn take_changes(
        &mut self,
        connection: &Connection,
        continuity: &Continuity,
        from: Lsn,
    ) -> Outcome<bool> {
        for feed in self.feeds.values_mut() {
            feed.changes.clear();
            if !feed.expressions.is_empty()
                && continuity.has_changed(feed.layout.id, from)
                && !feed.take_changes(connection, from)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Brings what is remembered to where the tables are, by the changes behind where it was. `false`: they are not changes of that.
    pub(in super::super) fn follow(&mut self, now: Lsn) -> bool {
        self.position = now;
        if self.feeds.values().map(|feed| feed.remembered_count).sum::<usize>() > REMEMBERED_MAX {
            self.forget(now);
        }
        self.feeds.values_mut().all(Feed::follow)
    }

    /// Where the tables were that the remembered rows are of.
    pub(in super::super) fn position(&self) -> Lsn {
        self.position
    }

    /// Forgets what is remembered; what is from here on is of that position.
    pub(in super::super) fn forget(&mut self, now: Lsn) {
        self.position = now;
        self.feeds.values_mut().for_each(Feed::forget);
    }

    /// Whether something is remembered.
    pub(in super::super) fn remembers(&self) -> bool {
        self.feeds.values().any(|feed| feed.remembered_count > 0)
    }

    /// The rows for a result over these tables.
    pub(super) fn of<'a>(&'a mut self, connection: &'a Connection, relations: &'a [TableId]) -> Of<'a> {
        Of { feeds: self, connection, relations }
    }
}

fn select(expression: &Value) -> Value {
    statement(
        serde_json::json!({"type": "SELECT_NODE", "modifiers": [], "cte_map": {"map": []}, "select_list": [expression],
        "from_table": {"type": "EMPTY", "alias": "", "sample": null, "query_location": 0}, "where_clause": null,
        "group_expressions": [], "group_sets": [], "aggregate_handling": "STANDARD_HANDLING", "having": null, "sample": null,
        "qualify": null}),
    )
}

/// The rows for one result.
pub(super) struct Of<'a> {
    feeds: &'a mut Feeds,
    connection: &'a Connection,
    relations: &'a [TableId],
}

impl Tables for Of<'_> {
    type Error = crate::WarehouseError;

    fn look_up(&mut self, of: Place, values: HashSet<Cell>) -> Outcome<()> {
        let feed = self.feeds.feeds.get_mut(&self.relations[of.relation]);
        feed.map_or(Ok(()), |feed| feed.look_up(self.connection, of.at, values))
    }

    fn rows(&self, of: Place, value: &Cell) -> &[Row] {
        let feed = self.feeds.feeds.get(&self.relations[of.relation]);
        let known = feed.and_then(|feed| feed.remembered.get(&of.at)?.get(value));
        known.map(Vec::as_slice).unwrap_or_default()
    }

    fn changes(&self, relation: usize) -> &[(Row, i64)] {
        self.feeds
            .feeds
            .get(&self.relations[relation])
            .map(|feed| feed.changes.as_slice())
            .unwrap_or_default()
    }
}
