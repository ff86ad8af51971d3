//! Rows of a query as templates see them: the part of agate's tables that projects use.

use std::{any::Any, rc::Rc};

use millstream_core::build::{Answer, Cell};

use super::{decimal::Decimal, modules::Moment, printed};
use crate::jinja::{fail, Args, Eval, Interpreter, Object, Value};

/// A result.
#[derive(Clone)]
pub struct Table {
    names: Rc<[String]>,
    /// The columns' types in the warehouse's words.
    kinds: Rc<[String]>,
    rows: Rc<[Rc<[Value]>]>,
}

/// A cell of a column of this type. What Python has types for is of them, so that templates can compare it, compute with it and format it.
pub fn cell(cell: &Cell, kind: &str) -> Value {
    let is_decimal = || {
        let kind = kind.to_ascii_uppercase();
        matches!(kind.split(['(', ' ', '_']).next(), Some("DECIMAL" | "NUMERIC"))
    };
    match cell {
        Cell::Null => Value::None,
        Cell::Bool(value) => Value::Bool(*value),
        Cell::Int(value) if is_decimal() => {
            Decimal::parse(&value.to_string()).map_or(Value::Int(*value), Value::object)
        }
        Cell::Int(value) => Value::Int(*value),
        Cell::Float(value) => {
            // agate makes a `Decimal` of the shortest text that is the same float.
            let float = Value::Float(*value);
            Decimal::parse(&float.to_string()).map_or(float, Value::object)
        }
        Cell::Text(text) => {
            let kind = kind.to_ascii_uppercase();
            let typed = match kind.split(['(', ' ', '_']).next() {
                Some("DATE") => Moment::read_date(text).map(Value::object),
                Some("TIMESTAMP") => Moment::read(text).map(Value::object),
                Some("DECIMAL" | "NUMERIC") => Decimal::parse(text).map(Value::object),
                _ => None,
            };
            typed.unwrap_or_else(|| Value::from(text.as_str()))
        }
    }
}

impl Table {
    /// A result without columns or rows.
    pub fn empty() -> Self {
        Table { names: Rc::new([]), kinds: Rc::new([]), rows: Rc::new([]) }
    }

    /// A table of values: names and types of its columns, and its rows.
    pub fn of(columns: Vec<(String, String)>, rows: Vec<Vec<Value>>) -> Self {
        let (names, kinds): (Vec<String>, Vec<String>) = columns.into_iter().unzip();
        let rows = rows.into_iter().map(Rc::from).collect();
        Table { names: names.into(), kinds: kinds.into(), rows }
    }

    /// As a warehouse would have answered. What there is no cell for is its text.
    pub fn answer(&self) -> Answer {
        let cell = |value: &Value| match value {
            Value::None | Value::Undefined(_) => Cell::Null,
            Value::Bool(value) => Cell::Bool(*value),
            Value::Int(value) => Cell::Int(*value),
            Value::Float(value) => Cell::Float(*value),
            other => Cell::Text(other.to_string()),
        };
        Answer {
            columns: self.names.iter().cloned().zip(self.kinds.iter().cloned()).collect(),
            rows: self.rows.iter().map(|row| row.iter().map(cell).collect()).collect(),
            ..Answer::default()
        }
    }

    /// The type that a seed's column has in the warehouse, as dbt gives it for a column of a table.
    pub fn seed_type(&self, at: usize) -> Option<&'static str> {
        let kind = self.kinds.get(at)?.to_ascii_uppercase();
        Some(match kind.split(['(', ' ']).next().unwrap_or_default() {
            "BOOLEAN" | "BOOL" => "boolean",
            "DATE" => "date",
            "TIMESTAMP" | "TIMESTAMPTZ" => "timestamp without time zone",
            "TINYINT" | "SMALLINT" | "INTEGER" | "BIGINT" | "HUGEINT" | "INT2" | "INT4" | "INT8" => "integer",
            "FLOAT" | "FLOAT4" | "FLOAT8" | "REAL" | "DOUBLE" | "DECIMAL" | "NUMERIC" => "float8",
            _ => "text",
        })
    }

    /// The same with moments as texts.
    pub fn with_moments_as_texts(&self) -> Self {
        let text = |value: &Value| match value.downcast::<Moment>() {
            Some(moment) if !moment.is_date() => Value::from(value.to_string()),
            _ => value.clone(),
        };
        let rows = self.rows.iter().map(|row| row.iter().map(text).collect()).collect();
        Table { rows, ..self.clone() }
    }

    /// What a warehouse answered.
    pub fn new(answer: &Answer) -> Self {
        Table {
            names: answer.columns.iter().map(|(name, _)| name.clone()).collect(),
            kinds: answer.columns.iter().map(|(_, kind)| kind.clone()).collect(),
            rows: answer
                .rows
                .iter()
                .map(|row| {
                    row.iter().zip(&answer.columns).map(|(value, (_, kind))| cell(value, kind)).collect()
                })
                .collect(),
        }
    }

    /// The two times of the only row, in microseconds since 1970, where that is what it holds; one without a zone is of UTC, NULL is `None`.
    pub fn times(&self) -> Option<[Option<i64>; 2]> {
        let [row] = &self.rows[..] else { return None };
        let time = |at: usize| match row.get(at)? {
            Value::None => Some(None),
            Value::Str(text) if self.kinds.get(at)?.to_ascii_uppercase().starts_with("TIMESTAMP") => {
                Moment::parse(text).map(Some)
            }
            moment => {
                moment.downcast::<Moment>().filter(|moment| !moment.is_date()).map(|moment| Some(moment.us()))
            }
        };
        (row.len() == 2).then(|| Some([time(0)?, time(1)?])).flatten()
    }

    /// All values, as tuples in a list.
    pub fn data(&self) -> Value {
        Value::list(self.rows.iter().map(|row| Value::Tuple(row.clone())))
    }

    /// The names of its columns.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Its rows.
    pub(super) fn cells(&self) -> &[Rc<[Value]>] {
        &self.rows
    }

    fn row(&self, at: usize) -> Value {
        Value::object(Row { names: self.names.clone(), cells: self.rows[at].clone() })
    }

    fn column(&self, at: usize) -> Value {
        Value::object(ColumnOf { table: self.clone(), at })
    }

    fn all_rows(&self) -> Vec<Value> {
        (0..self.rows.len()).map(|at| self.row(at)).collect()
    }
}

impl Object for Table {
    fn type_name(&self) -> &'static str {
        "Table"
    }

    fn attribute(&self, _: &Interpreter, name: &str) -> Option<Value> {
        Some(match name {
            "rows" => Value::object(Rows(self.clone())),
            "columns" => Value::object(Columns(self.clone())),
            "column_types" => printed::types(self),
            "column_names" => Value::tuple(self.names.iter().map(|name| Value::from(name.as_str()))),
            _ => return None,
        })
    }

    fn call_method(&self, interpreter: &Interpreter, name: &str, args: Args) -> Eval<Value> {
        match name {
            "print_table" | "print_csv" | "print_json" => {
                let text = printed::text(self, interpreter, name, args)?;
                interpreter.global("print").call(interpreter, Args::of([Value::from(text)]))?;
                Ok(Value::None)
            }
            "select" | "exclude" => {
                let [names] = args.bind(name, ["key"])?;
                let said = match names.unwrap_or(Value::None) {
                    Value::Str(name) => vec![name.to_string()],
                    names => names.items()?.iter().map(ToString::to_string).collect(),
                };
                let place = |name: &String| self.names.iter().position(|known| known == name);
                let at: Vec<usize> = match name {
                    "select" => said.iter().filter_map(place).collect(),
                    _ => (0..self.names.len()).filter(|at| !said.contains(&self.names[*at])).collect(),
                };
                Ok(Value::object(Table {
                    names: at.iter().map(|at| self.names[*at].clone()).collect(),
                    kinds: at.iter().map(|at| self.kinds[*at].clone()).collect(),
                    rows: self
                        .rows
                        .iter()
                        .map(|row| at.iter().map(|at| row[*at].clone()).collect())
                        .collect(),
                }))
            }
            "rename" => {
                let [names] = args.bind("rename", ["column_names"])?;
                let names = match names.unwrap_or(Value::None) {
                    named @ Value::Dict(_) => {
                        let new =
                            |old: &String| named.get(old).map_or_else(|| old.clone(), |new| new.to_string());
                        self.names.iter().map(new).collect()
                    }
                    listed => {
                        let listed = listed.items()?;
                        if listed.len() != self.names.len() {
                            return fail("rename() takes a dict, or a name for each column");
                        }
                        listed.iter().map(ToString::to_string).collect()
                    }
                };
                Ok(Value::object(Table { names, ..self.clone() }))
            }
            "limit" => {
                let [first, end] = args.bind("limit", ["start_or_stop", "stop"])?;
                let count = |value: Option<Value>| {
                    let count = value.and_then(|value| value.as_int());
                    count
                        .and_then(|count| usize::try_from(count).ok())
                        .map(|count| count.min(self.rows.len()))
                };
                let (start, end) = match (count(first), count(end)) {
                    (stop, None) => (0, stop.unwrap_or(self.rows.len())),
                    (start, Some(stop)) => (start.unwrap_or(0), stop),
                };
                Ok(Value::object(Table { rows: self.rows[start.min(end)..end].into(), ..self.clone() }))
            }
            _ => fail(format!("'Table' has no method `{name}`")),
        }
    }

    fn items(&self) -> Option<Vec<Value>> {
        Some(self.all_rows())
    }

    fn truth(&self) -> bool {
        !self.rows.is_empty()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct Rows(Table);

impl Object for Rows {
    fn type_name(&self) -> &'static str {
        "MappedSequence"
    }

    fn call_method(&self, _: &Interpreter, name: &str, _: Args) -> Eval<Value> {
        match name {
            "values" => Ok(Value::tuple(self.0.all_rows())),
            _ => fail(format!("rows have no method `{name}`")),
        }
    }

    fn items(&self) -> Option<Vec<Value>> {
        Some(self.0.all_rows())
    }

    fn truth(&self) -> bool {
        self.0.truth()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct Columns(Table);

impl Object for Columns {
    fn type_name(&self) -> &'static str {
        "MappedSequence"
    }

    fn attribute(&self, _: &Interpreter, name: &str) -> Option<Value> {
        let at = self.0.names.iter().position(|known| known == name)?;
        Some(self.0.column(at))
    }

    fn call_method(&self, _: &Interpreter, name: &str, args: Args) -> Eval<Value> {
        let all = || (0..self.0.names.len()).map(|at| self.0.column(at));
        match name {
            "values" => Ok(Value::tuple(all())),
            "keys" => Ok(Value::tuple(self.0.names.iter().map(|name| Value::from(name.as_str())))),
            "items" | "dict" => {
                let pairs = self.0.names.iter().map(|name| Value::from(name.as_str())).zip(all());
                Ok(if name == "dict" {
                    Value::dict(pairs)
                } else {
                    Value::list(pairs.map(|(key, value)| Value::tuple([key, value])))
                })
            }
            "get" => {
                let [key] = args.bind("get", ["key"])?;
                let key = key.unwrap_or(Value::None).to_string();
                let at = self.0.names.iter().position(|known| *known == key);
                Ok(at.map_or(Value::None, |at| self.0.column(at)))
            }
            _ => fail(format!("columns have no method `{name}`")),
        }
    }

    fn items(&self) -> Option<Vec<Value>> {
        Some((0..self.0.names.len()).map(|at| self.0.column(at)).collect())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct ColumnOf {
    table: Table,
    at: usize,
}

impl ColumnOf {
    fn cells(&self) -> Vec<Value> {
        self.table.rows.iter().map(|row| row[self.at].clone()).collect()
    }
}

impl Object for ColumnOf {
    fn type_name(&self) -> &'static str {
        "Column"
    }

    fn attribute(&self, _: &Interpreter, name: &str) -> Option<Value> {
        match name {
            "name" => Some(Value::from(self.table.names[self.at].as_str())),
            "index" => Some(Value::from(self.at)),
            _ => None,
        }
    }

    fn call_method(&self, _: &Interpreter, name: &str, _: Args) -> Eval<Value> {
        let cells = self.cells();
        match name {
            "values" => Ok(Value::tuple(cells)),
            "values_distinct" => {
                let mut unique: Vec<Value> = Vec::new();
                for cell in cells {
                    if !unique.contains(&cell) {
                        unique.push(cell);
                    }
                }
                Ok(Value::tuple(unique))
            }
            "values_without_nulls" => Ok(Value::tuple(cells.into_iter().filter(|cell| !cell.is_nothing()))),
            _ => fail(format!("a column has no method `{name}`")),
        }
    }

    fn items(&self) -> Option<Vec<Value>> {
        Some(self.cells())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct Row {
    names: Rc<[String]>,
    cells: Rc<[Value]>,
}

impl Object for Row {
    fn type_name(&self) -> &'static str {
        "Row"
    }

    fn attribute(&self, _: &Interpreter, name: &str) -> Option<Value> {
        let exact = self.names.iter().position(|known| known == name);
        exact.map(|at| self.cells[at].clone())
    }

    fn call_method(&self, _: &Interpreter, name: &str, args: Args) -> Eval<Value> {
        let names = || self.names.iter().map(|name| Value::from(name.as_str()));
        match name {
            "values" => Ok(Value::Tuple(self.cells.clone())),
            "keys" => Ok(Value::tuple(names())),
            "items" | "dict" => {
                let pairs = names().zip(self.cells.iter().cloned());
                Ok(if name == "dict" {
                    Value::dict(pairs)
                } else {
                    Value::list(pairs.map(|(key, value)| Value::tuple([key, value])))
                })
            }
            "get" => {
                let [key, default] = args.bind("get", ["key", "default"])?;
                let key = key.unwrap_or(Value::None).to_string();
                let at = self.names.iter().position(|known| *known == key);
                Ok(at.map(|at| self.cells[at].clone()).or(default).unwrap_or(Value::None))
            }
            _ => fail(format!("a row has no method `{name}`")),
        }
    }

    fn items(&self) -> Option<Vec<Value>> {
        Some(self.cells.to_vec())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
