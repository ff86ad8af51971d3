//! What people and programs ask a warehouse: one statement that reads, its parameters, the point it reads at, and who asks.

use arrow_array::RecordBatch;

use crate::{warehouse::AsOf, Role, TableName};

/// A value bound to a parameter. It reaches the warehouse beside the statement, never within its text.
#[derive(Debug, Clone, PartialEq)]
pub enum Parameter {
    /// NULL.
    Null,
    /// A truth value.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Double(f64),
    /// A text. The warehouse turns it into what the statement needs in its place, or refuses.
    Text(String),
    /// A day, in days since 1970-01-01.
    Date(i32),
    /// An instant, in microseconds since 1970-01-01 UTC.
    Timestamp(i64),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// Who wrote a statement, and so what it may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trust {
    /// The project's own: its files and the person at its terminal. It only reads.
    Owner,
    /// Anybody else. It only reads tables and views of the warehouse: no file, network, setting or extension.
    Guest,
}

/// A question.
#[derive(Debug, Clone, PartialEq)]
pub struct Query<'a> {
    /// One statement in the warehouse's SQL. `$name` and `$1` are parameters.
    pub sql: &'a str,
    /// Their values by name; the first positional one is called `1`.
    pub parameters: &'a [(String, Parameter)],
    /// The point that every table is read at; `None`: now.
    pub as_of: Option<AsOf>,
    /// At most so many rows.
    pub rows_max: Option<usize>,
    /// Who wrote the statement.
    pub trust: Trust,
    /// Whom it is answered to; `None`: somebody who may see everything that the statement may reach.
    pub role: Option<&'a Role>,
}

impl<'a> Query<'a> {
    /// The owner's, without parameters, about the present.
    pub fn new(sql: &'a str) -> Self {
        Query { sql, parameters: &[], as_of: None, rows_max: None, trust: Trust::Owner, role: None }
    }
}

/// A part of an answer that is given as it comes.
#[derive(Debug)]
pub enum Piece<'a> {
    /// First: names of the columns, and the warehouse's names of their types.
    Columns(&'a [(String, String)]),
    /// Rows, in their order. Where there are none, one batch without rows, which knows the columns' types.
    Rows(RecordBatch),
}

/// What is known of a statement without running it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// Names of its result's columns, and the warehouse's names of their types.
    pub columns: Vec<(String, String)>,
    /// Names of its parameters in their order, and the warehouse's names of their types where the statement decides them.
    pub parameters: Vec<(String, Option<String>)>,
    /// The tables and views that it names, and what the project's views among them name in turn: in lower case, as the warehouse compares them.
    pub reads: Vec<TableName>,
    /// Whether its result follows from those tables and its parameters alone, and not from the time or from chance as well.
    pub steady: bool,
}
