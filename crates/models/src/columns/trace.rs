//! A column followed through the project: up to where it comes from, down to what is made of it.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::{json, Value as Json};

use super::{
    project::{column, Columns},
    Column, Dialect, Lineage,
};

/// How many steps one way may have: a bound on what is printed, above any graph that is read by people.
const STEPS_MAX: usize = 100_000;

/// How one column is made of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// Its value comes from it.
    From,
    /// Which rows its value is made of is decided by it.
    By,
    /// Which rows its relation has is decided by it.
    Rows,
}

impl Way {
    /// As `lineage --json` has it.
    pub fn name(self) -> &'static str {
        match self {
            Way::From => "from",
            Way::By => "by",
            Way::Rows => "rows",
        }
    }
}

/// A column that is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// How many edges away, from 1.
    pub depth: usize,
    /// The column; its name is empty where it is about all rows of a relation.
    pub column: Column,
    /// By which kind of edge.
    pub way: Way,
    /// Whether it was reached before: what is behind it stands there.
    pub again: bool,
    /// Why there may be more.
    pub unknown: Option<String>,
}

impl Step {
    /// As `lineage --json` has it.
    pub fn json(&self) -> Json {
        json!({
            "depth": self.depth, "node": &*self.column.relation,
            "column": (!self.column.name.is_empty()).then_some(&*self.column.name),
            "way": self.way.name(), "again": self.again, "unknown": self.unknown,
        })
    }
}

/// The edges of a project, both ways.
#[derive(Debug)]
pub struct Edges<'c> {
    columns: &'c Columns,
    dialect: Dialect,
    down: HashMap<Column, BTreeSet<(Way, Column)>>,
    /// Relations that have all further columns of another.
    rest: HashMap<&'c str, Vec<&'c str>>,
}

impl<'c> Edges<'c> {
    /// The edges of these columns.
    pub fn of(columns: &'c Columns, dialect: Dialect) -> Self {
        let mut edges = Edges { columns, dialect, down: HashMap::new(), rest: HashMap::new() };
        for (id, lineage) in &columns.0 {
            for output in &lineage.columns {
                let made = column(id, &output.name);
                for read in &output.from {
                    edges.add(read, Way::From, &made);
                }
                for read in &output.by {
                    edges.add(read, Way::By, &made);
                }
            }
            for read in &lineage.rows {
                edges.add(read, Way::Rows, &column(id, ""));
            }
            for rest in &lineage.rest {
                edges.rest.entry(&rest.relation).or_default().push(id);
            }
        }
        edges
    }

    fn add(&mut self, read: &Column, way: Way, made: &Column) {
        let read = self.key(read);
        self.down.entry(read).or_default().insert((way, made.clone()));
    }

    /// A column as names are compared.
    fn key(&self, of: &Column) -> Column {
        Column { relation: of.relation.clone(), name: self.dialect.key(&of.name).into() }
    }

    fn lineage(&self, of: &Column) -> Option<&'c Lineage> {
        self.columns.0.get(&*of.relation)
    }

    /// What a column is made of directly, and why there may be more.
    fn above(&self, of: &Column) -> (Vec<(Way, Column)>, Option<String>) {
        let Some(lineage) = self.lineage(of) else { return (Vec::new(), None) };
        let wanted = self.dialect.key(&of.name);
        if let Some(output) = lineage.columns.iter().find(|output| self.dialect.key(&output.name) == wanted) {
            let from = output.from.iter().map(|read| (Way::From, read.clone()));
            let by = output.by.iter().map(|read| (Way::By, read.clone()));
            return (from.chain(by).collect(), output.unknown.clone());
        }
        match lineage.rest.as_slice() {
            [rest] if !rest.except.contains(&wanted) => {
                (vec![(Way::From, column(&rest.relation, &of.name))], None)
            }
            _ => (Vec::new(), lineage.unknown.first().cloned()),
        }
    }

    /// What is made of a column directly.
    fn below(&self, of: &Column) -> Vec<(Way, Column)> {
        let mut below: Vec<(Way, Column)> =
            self.down.get(&self.key(of)).into_iter().flatten().cloned().collect();
        let wanted = self.dialect.key(&of.name);
        for &id in self.rest.get(&*of.relation).into_iter().flatten() {
            let Some(lineage) = self.columns.0.get(id) else { continue };
            let brings = |rest: &super::Rest| rest.relation == of.relation && !rest.except.contains(&wanted);
            let is_named = lineage.columns.iter().any(|output| self.dialect.key(&output.name) == wanted);
            if !is_named && lineage.rest.iter().any(brings) {
                below.push((Way::From, column(id, &of.name)));
            }
        }
        below
    }

    /// Why it isn't known what all a column is made of, where it isn't.
    pub fn unknown(&self, of: &Column) -> Option<String> {
        self.above(of).1
    }

    /// All that a column is made of: each step behind the one that leads to it.
    pub fn upstream(&self, of: &Column) -> Vec<Step> {
        self.follow(of, |at| self.above(at).0, |at| self.above(at).1)
    }

    /// All that is made of a column.
    pub fn downstream(&self, of: &Column) -> Vec<Step> {
        self.follow(of, |at| self.below(at), |_| None)
    }

    fn follow(
        &self,
        of: &Column,
        next: impl Fn(&Column) -> Vec<(Way, Column)>,
        unknown: impl Fn(&Column) -> Option<String>,
    ) -> Vec<Step> {
        let mut seen: HashSet<Column> = [self.key(of)].into();
        let mut steps = Vec::new();
        let stack = |depth: usize, from: &Column| {
            let mut next = next(from);
            next.reverse();
            next.into_iter().map(move |(way, column)| (depth, way, column)).collect::<Vec<_>>()
        };
        let mut open = stack(1, of);
        while let Some((depth, way, column)) = open.pop() {
            if steps.len() >= STEPS_MAX {
                break;
            }
            // All rows of a relation are the end of a way: what else that decides, they say.
            let again = !column.name.is_empty() && !seen.insert(self.key(&column));
            let unknown = unknown(&column).filter(|_| !again);
            if !again && !column.name.is_empty() {
                open.extend(stack(depth + 1, &column));
            }
            steps.push(Step { depth, column, way, again, unknown });
        }
        steps
    }
}
