//! The port between models and the warehouse that they are built in.
//!
//! A model is SQL of the warehouse's own dialect, so statements are texts here. What differs between warehouses beyond that, and can't be said in a text, is a
//! method.

use serde::{Deserialize, Serialize};

use crate::log::Result;

/// A value of an answer. What has no type here is its text, as the warehouse casts it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Cell {
    /// NULL.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer of at most 64 bits.
    Int(i64),
    /// A float.
    Float(#[serde(with = "float")] f64),
    /// Anything else.
    Text(String),
}

/// What a warehouse says of a statement that it has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// In its words: `INSERT 0 5`; `OK` where it has none.
    pub message: String,
    /// What kind of statement it was, as the warehouse calls it: `INSERT`. `None` where it doesn't say.
    pub code: Option<String>,
    /// How many rows it gave or changed; `None` where that is not told.
    pub rows: Option<u64>,
}

impl Default for Response {
    fn default() -> Self {
        Response { message: "OK".into(), code: None, rows: None }
    }
}

/// The rows of a query.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Names of columns, and of their types in the warehouse's words.
    pub columns: Vec<(String, String)>,
    /// Each with a cell per column.
    pub rows: Vec<Vec<Cell>>,
    /// What is said of the statement.
    pub response: Response,
}

/// What a relation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RelationKind {
    /// A table.
    Table,
    /// A view.
    View,
    /// A view that holds its rows until it is brought up to date.
    MaterializedView,
}

/// A relation that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltRelation {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: RelationKind,
}

/// A relation with its columns, as the warehouse's catalogue describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribedRelation {
    /// Its database.
    pub database: String,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: RelationKind,
    /// What is noted about it.
    pub comment: Option<String>,
    /// Whose it is, where the warehouse knows owners.
    pub owner: Option<String>,
    /// Its columns, in order.
    pub columns: Vec<DescribedColumn>,
}

/// A column, as the warehouse's catalogue describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribedColumn {
    /// Its name.
    pub name: String,
    /// Its type in the warehouse's words.
    pub data_type: String,
    /// Its number, from 1.
    pub index: i64,
    /// What is noted about it.
    pub comment: Option<String>,
}

/// A float as text: JSON has neither NaN nor infinity, and the shortest text that is the same float is what it is read back from.
mod float {
    use serde::{de::Error, Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(deserializer: D) -> Result<f64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Interrupts what a connection runs, from any thread.
pub type Interrupter = Box<dyn Fn() + Send + Sync>;

/// A warehouse that models are built in. Connections are given to several threads.
pub trait BuildWarehouse: Send + Sync {
    /// A connection of its own.
    fn connect(&self) -> Result<Box<dyn BuildConnection>>;

    /// Whether whoever builds has given up: what runs is interrupted, and nothing more is to be begun.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// A connection. Its statements run one behind another; dropping it rolls back what is open.
pub trait BuildConnection: Send {
    /// Runs one or more statements and returns what is said of the last one. An error names what the warehouse said.
    fn run(&mut self, sql: &str) -> Result<Response>;

    /// Runs statements and returns the rows of the last one. `rows_max` bounds how many are held; more are an error.
    fn query(&mut self, sql: &str, rows_max: usize) -> Result<Answer>;

    /// Begins a transaction; nothing happens where one is open.
    fn begin(&mut self) -> Result<()>;

    /// Commits; nothing happens where no transaction is open.
    fn commit(&mut self) -> Result<()>;

    /// Rolls back; nothing happens where no transaction is open.
    fn rollback(&mut self) -> Result<()>;

    /// All relations of a database.
    fn relations(&mut self, database: &str) -> Result<Vec<BuiltRelation>>;

    /// A relation's columns and their types, in order; none where it isn't there. How temporary relations are named is the warehouse's own.
    fn columns(&mut self, database: &str, schema: &str, relation: &str) -> Result<Vec<(String, String)>>;

    /// All relations of a database with their columns, by schema and name.
    fn described(&mut self, database: &str) -> Result<Vec<DescribedRelation>>;

    /// What takes rows from here; `None`: the warehouse has no such way.
    fn copy_in(&mut self) -> Option<&mut dyn CopyIn> {
        None
    }

    /// What interrupts a statement that it runs; `None`: nothing can.
    fn interrupter(&self) -> Option<Interrupter> {
        None
    }
}

/// Where rows go, in pieces of any size.
pub type CopySink<'s> = dyn FnMut(&[u8]) -> Result<()> + 's;

/// A connection that takes rows from here, faster than by statements that hold them.
pub trait CopyIn {
    /// Runs a statement that takes rows (`COPY … FROM STDIN`). `write` gives them to what it is called with, in the form that the statement says.
    /// Where it fails, none of them are there.
    fn copy_in(
        &mut self,
        sql: &str,
        write: &mut dyn FnMut(&mut CopySink<'_>) -> Result<()>,
    ) -> Result<Response>;
}
