//! What changes of tables make of a join: pure, over rows that are there.
//!
//! For each relation that has changed: its changes with the others, those before it as they are, those behind it as they were (what is there, less what
//! changed). Over all of them this is the whole difference of the join.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    cell::Cell,
    separate::{Place, Separate},
};

/// Values of a row's expressions.
pub(super) type Row = Arc<[Cell]>;

/// Rows joined in one step at most: more come of changes that a reader is better asked about.
const ROWS_MAX: usize = 1_000_000;

/// Tables, as they are.
pub(super) trait Tables {
    /// Why one could not be asked.
    type Error;

    /// Makes the rows known whose expression has one of these values.
    fn look_up(&mut self, of: Place, values: HashSet<Cell>) -> Result<(), Self::Error>;

    /// The rows whose expression has a value that was looked up.
    fn rows(&self, of: Place, value: &Cell) -> &[Row];

    /// What changed of a relation: rows that came count 1, those that went -1.
    fn changes(&self, relation: usize) -> &[(Row, i64)];
}

/// Rows of all relations that belong together, and how often they count.
struct Joined {
    rows: Vec<Option<Row>>,
    weight: i64,
}

impl Joined {
    fn cell(&self, place: Place) -> &Cell {
        // Only relations that were reached are asked for.
        self.rows[place.relation].as_ref().map_or(&Cell::Null, |row| &row[place.at])
    }
}

/// Why there is no difference.
#[derive(Debug)]
pub(super) enum NotJoined<E> {
    /// It has too many rows.
    TooMany,
    /// A table could not be asked.
    Failed(E),
}

/// Tells the difference that changes make: the values of expressions, and how often they count.
pub(super) fn difference<T: Tables>(
    core: &Separate,
    tables: &mut T,
    mut take: impl FnMut(&dyn Fn(Place) -> Cell, i64),
) -> Result<(), NotJoined<T::Error>> {
    let relations = core.expressions.len();
    for changed in 0..relations {
        let mut joined: Vec<Joined> = Vec::new();
        for (row, weight) in tables.changes(changed) {
            let mut rows = vec![None; relations];
            rows[changed] = Some(row.clone());
            joined.push(Joined { rows, weight: *weight });
        }
        joined.retain(|joined| holds(core, joined, changed));
        let mut reached = vec![false; relations];
        reached[changed] = true;
        while !joined.is_empty() && !reached.iter().all(|reached| *reached) {
            let (from, to) = next(core, &reached);
            let values = joined.iter().map(|joined| joined.cell(from)).filter(|cell| !cell.is_null());
            tables.look_up(to, values.cloned().collect()).map_err(NotJoined::Failed)?;
            let mut before: HashMap<&Cell, Vec<(&Row, i64)>> = HashMap::new();
            if to.relation > changed {
                for (row, weight) in tables.changes(to.relation) {
                    before.entry(&row[to.at]).or_default().push((row, -weight));
                }
            }
            let mut more = Vec::new();
            for old in &joined {
                let value = old.cell(from);
                if value.is_null() {
                    continue;
                }
                let before = before.get(value).into_iter().flatten().copied();
                for (row, weight) in tables.rows(to, value).iter().map(|row| (row, 1)).chain(before) {
                    let mut rows = old.rows.clone();
                    rows[to.relation] = Some(row.clone());
                    more.push(Joined { rows, weight: old.weight * weight });
                }
                if more.len() > ROWS_MAX {
                    return Err(NotJoined::TooMany);
                }
            }
            reached[to.relation] = true;
            more.retain(|joined| holds(core, joined, to.relation) && belong(core, joined, &reached));
            joined = more;
        }
        for joined in &joined {
            take(&|place| joined.cell(place).clone(), joined.weight);
        }
    }
    Ok(())
}

/// A join from what was reached to what was not. There is one: the relations are connected.
fn next(core: &Separate, reached: &[bool]) -> (Place, Place) {
    let directed = core.joins.iter().flat_map(|(one, other)| [(*one, *other), (*other, *one)]);
    let mut leading = directed.filter(|(from, to)| reached[from.relation] && !reached[to.relation]);
    leading.next().expect("the relations of a core are connected")
}

fn holds(core: &Separate, joined: &Joined, relation: usize) -> bool {
    let mut of = core.conditions.iter().filter(|place| place.relation == relation);
    of.all(|place| joined.cell(*place).holds())
}

fn belong(core: &Separate, joined: &Joined, reached: &[bool]) -> bool {
    let mut within =
        core.joins.iter().filter(|(one, other)| reached[one.relation] && reached[other.relation]);
    within.all(|(one, other)| {
        let (one, other) = (joined.cell(*one), joined.cell(*other));
        !one.is_null() && one == other
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tables of numbers, each with what changed.
    struct Known {
        now: Vec<Vec<Row>>,
        changes: Vec<Vec<(Row, i64)>>,
    }

    impl Tables for Known {
        type Error = ();

        fn look_up(&mut self, _: Place, values: HashSet<Cell>) -> Result<(), ()> {
            assert!(!values.contains(&Cell::Null));
            Ok(())
        }

        fn rows(&self, of: Place, value: &Cell) -> &[Row] {
            // The tests' tables are sorted by their first column, or have one row of a value.
            let rows = &self.now[of.relation];
            let first = rows.iter().position(|row| row[of.at] == *value).unwrap_or(rows.len());
            let count = rows[first..].iter().take_while(|row| row[of.at] == *value).count();
            &rows[first..first + count]
        }

        fn changes(&self, relation: usize) -> &[(Row, i64)] {
            &self.changes[relation]
        }
    }

    fn row(cells: &[i64]) -> Row {
        let cell = |number: &i64| if *number == 0 { Cell::Null } else { Cell::Number(*number) };
        cells.iter().map(cell).collect()
    }

    fn place(relation: usize, at: usize) -> Place {
        Place { relation, at }
    }

    type Counts = HashMap<(i64, i64), i64>;

    fn number(cell: &Cell) -> i64 {
        cell.as_number().map_or(0, |number| i64::try_from(number).unwrap())
    }

    /// All pairs of two tables by hand, those counted whose first row's condition holds.
    fn pairs(one: &[Row], other: &[Row]) -> Counts {
        let mut counts = Counts::new();
        for one in one {
            for other in other {
                if !one[0].is_null() && one[0] == other[0] && one[1].holds() {
                    *counts.entry((number(&one[2]), number(&other[1]))).or_default() += 1;
                }
            }
        }
        counts
    }

    #[test]
    fn the_difference_is_what_joining_again_would_find() {
        let core = Separate {
            expressions: vec![Vec::new(); 2],
            conditions: vec![place(0, 1)],
            joins: vec![(place(0, 0), place(1, 0))],
            keys: vec![place(0, 2), place(1, 1)],
            measures: Vec::new(),
        };
        let before = [
            vec![row(&[1, 1, 5]), row(&[2, 1, 5]), row(&[3, 2, 6]), row(&[0, 1, 7])],
            vec![row(&[1, 8]), row(&[1, 9]), row(&[2, 8]), row(&[3, 8]), row(&[0, 8])],
        ];
        // One and the same key goes on one side and comes on the other; a condition begins to hold; NULL meets NULL.
        let after = [
            vec![row(&[1, 1, 5]), row(&[3, 1, 6]), row(&[4, 1, 6]), row(&[0, 1, 7])],
            vec![row(&[1, 8]), row(&[3, 8]), row(&[3, 9]), row(&[4, 9]), row(&[0, 8])],
        ];
        let changes: Vec<Vec<(Row, i64)>> = (0..2)
            .map(|at| {
                let gone = before[at].iter().filter(|row| !after[at].contains(row));
                let come = after[at].iter().filter(|row| !before[at].contains(row));
                gone.map(|row| (row.clone(), -1)).chain(come.map(|row| (row.clone(), 1))).collect()
            })
            .collect();
        let mut tables = Known { now: after.to_vec(), changes };
        let mut counts = pairs(&before[0], &before[1]);
        difference(&core, &mut tables, |cell, weight| {
            let key = (number(&cell(core.keys[0])), number(&cell(core.keys[1])));
            *counts.entry(key).or_default() += weight;
        })
        .unwrap();
        counts.retain(|_, count| *count != 0);
        assert_eq!(counts, pairs(&after[0], &after[1]));
        assert_eq!(counts.len(), 3);
    }
}
