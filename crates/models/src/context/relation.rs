//! Relations and columns as templates see them: `ref`, `source`, `this`, `api.Relation`, `api.Column`.

use std::any::Any;

use crate::engine::dialect::{text_length, POSTGRES_NAME_BYTES_MAX};
use crate::jinja::{fail, Args, Eval, Interpreter, Object, Value};

/// A table or view by name. It renders as its quoted name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Database, schema, identifier.
    pub path: [Option<String>; 3],
    /// Which parts are rendered.
    pub include: [bool; 3],
    /// Which parts are quoted.
    pub quote: [bool; 3],
    /// `table`, `view`, `materialized_view`, `cte`, `external`.
    pub kind: Option<String>,
    /// Reads no row: `--empty`.
    pub limit: Option<u64>,
    /// Reads the rows of a span of time: a condition on them.
    pub condition: Option<String>,
    /// What stands in its place where it is read from elsewhere, as SQL.
    pub external: Option<String>,
    /// Whether a subquery in FROM must have a name.
    pub names_subqueries: bool,
}

const PARTS: [&str; 3] = ["database", "schema", "identifier"];

impl Relation {
    /// A relation all of whose parts are rendered and quoted.
    pub fn new(database: &str, schema: &str, identifier: &str) -> Self {
        Relation {
            path: [Some(database.to_owned()), Some(schema.to_owned()), Some(identifier.to_owned())],
            include: [true; 3],
            quote: [true; 3],
            kind: None,
            limit: None,
            condition: None,
            external: None,
            names_subqueries: false,
        }
    }

    /// As it stands in FROM: with `--empty` none of its rows, for a batch those of its time.
    pub fn in_from(&self) -> String {
        let named = |what: &str| match self.names_subqueries {
            true => format!(" _dbt_{what}_subq_{}", self.identifier()),
            false => String::new(),
        };
        let rendered = match self.limit {
            Some(0) => format!("(select * from {} where false limit 0){}", self.render(), named("limit")),
            _ => self.render(),
        };
        match &self.condition {
            Some(condition) => format!("(select * from {rendered} where {condition}){}", named("et_filter")),
            None => rendered,
        }
    }

    /// What an ephemeral model is referred to by.
    pub fn cte(name: &str) -> Self {
        Relation {
            path: [None, None, Some(format!("__dbt__cte__{name}"))],
            include: [false, false, true],
            quote: [false; 3],
            kind: Some("cte".into()),
            limit: None,
            condition: None,
            external: None,
            names_subqueries: false,
        }
    }

    /// The database.
    pub fn database(&self) -> &str {
        self.path[0].as_deref().unwrap_or_default()
    }

    /// The schema.
    pub fn schema(&self) -> &str {
        self.path[1].as_deref().unwrap_or_default()
    }

    /// The identifier.
    pub fn identifier(&self) -> &str {
        self.path[2].as_deref().unwrap_or_default()
    }

    /// The name alone, or what stands in its place.
    pub fn render(&self) -> String {
        if let Some(external) = &self.external {
            return external.clone();
        }
        let part = |at: usize| {
            let text = self.path[at].as_deref().filter(|_| self.include[at])?;
            Some(if self.quote[at] { quoted(text) } else { text.to_owned() })
        };
        (0..3).filter_map(part).collect::<Vec<_>>().join(".")
    }

    /// The same without its identifier.
    pub fn without_identifier(&self) -> Self {
        let mut other = self.clone();
        other.include[2] = false;
        other
    }

    fn with(&self, parts: Args, field: fn(&mut Relation) -> &mut [bool; 3]) -> Eval<Value> {
        let mut other = self.clone();
        for (name, value) in &parts.named {
            match PARTS.iter().position(|part| *part == &**name) {
                Some(at) => field(&mut other)[at] = value.truth(),
                None => return fail(format!("a relation has no part `{name}`")),
            }
        }
        Ok(Value::object(other))
    }

    /// `api.Relation.create(database=…, schema=…, identifier=…, type=…)`.
    pub fn create(args: Args) -> Eval<Value> {
        let [database, schema, identifier, kind, quoting] =
            args.bind("create", ["database", "schema", "identifier", "type", "quote_policy"])?;
        let text = |value: Option<Value>| value.filter(|value| !value.is_nothing()).map(|v| v.to_string());
        let mut relation = Relation::new("", "", "");
        relation.path = [text(database), text(schema), text(identifier)];
        relation.include = [0, 1, 2].map(|at| relation.path[at].is_some());
        relation.kind = text(kind);
        if let Some(quoting) = quoting {
            for (at, part) in PARTS.iter().enumerate() {
                if let Some(quote) = quoting.get(part) {
                    relation.quote[at] = quote.truth();
                }
            }
        }
        Ok(Value::object(relation))
    }
}

/// A name in double quotes.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Object for Relation {
    fn type_name(&self) -> &'static str {
        "Relation"
    }

    fn is_mapping(&self) -> bool {
        true
    }

    fn attribute(&self, _: &Interpreter, name: &str) -> Option<Value> {
        let part = |at: usize| Some(Value::from(self.path[at].clone()));
        let is = |kind: &str| Some(Value::Bool(self.kind.as_deref() == Some(kind)));
        match name {
            "database" => part(0),
            "schema" => part(1),
            "identifier" | "name" | "table" => part(2),
            "type" => Some(Value::from(self.kind.clone())),
            "is_table" => is("table"),
            "is_view" => is("view"),
            "is_cte" => is("cte"),
            "is_materialized_view" => is("materialized_view"),
            "is_dynamic_table" | "is_pointer" => Some(Value::Bool(false)),
            "Table" => Some("table".into()),
            "View" => Some("view".into()),
            "MaterializedView" => Some("materialized_view".into()),
            _ => None,
        }
    }

    fn call_method(&self, interpreter: &Interpreter, name: &str, mut args: Args) -> Eval<Value> {
        match name {
            // All rows, whatever is to be read otherwise.
            "render" => Ok(Value::from(self.render())),
            "include" => self.with(args, |relation| &mut relation.include),
            "quote" => self.with(args, |relation| &mut relation.quote),
            "without_identifier" => Ok(Value::object(self.without_identifier())),
            "information_schema" => {
                let [view] = args.bind(name, ["view_name"])?;
                let mut other = self.clone();
                other.path[1] = Some("information_schema".into());
                other.path[2] = view.filter(|view| !view.is_nothing()).map(|view| view.to_string());
                other.include = [true, true, other.path[2].is_some()];
                other.quote = [self.quote[0], false, false];
                Ok(Value::object(other))
            }
            "incorporate" | "replace" => {
                let mut other = self.clone();
                if let Some(path) = args.take("path") {
                    for (at, part) in PARTS.iter().enumerate() {
                        if let Some(value) = path.get(part) {
                            other.path[at] = (!value.is_nothing()).then(|| value.to_string());
                            other.include[at] = other.path[at].is_some();
                        }
                    }
                }
                if let Some(kind) = args.take("type") {
                    other.kind = (!kind.is_nothing()).then(|| kind.to_string());
                }
                match args.named.first() {
                    None => Ok(Value::object(other)),
                    Some((key, _)) => fail(format!("{name}() has no parameter `{key}`")),
                }
            }
            "replace_path" => {
                let mut other = self.clone();
                for (key, value) in &args.named {
                    match PARTS.iter().position(|part| *part == &**key) {
                        Some(at) => other.path[at] = (!value.is_nothing()).then(|| value.to_string()),
                        None => return fail(format!("a relation has no part `{key}`")),
                    }
                }
                Ok(Value::object(other))
            }
            "get" => {
                let [key, default] = args.bind(name, ["key", "default"])?;
                let key = key.unwrap_or(Value::None).to_string();
                // By this packages know that something is a relation.
                if key == "metadata" {
                    let class = if is_duckdb(interpreter) { "DuckDBRelation" } else { "PostgresRelation" };
                    return Ok(Value::dict([("type", Value::from(class))]));
                }
                Ok(self.attribute(interpreter, &key).or(default).unwrap_or(Value::None))
            }
            "create" => Relation::create(args),
            "relation_max_name_length" => Ok(Value::from(POSTGRES_NAME_BYTES_MAX)),
            _ => fail(format!("a relation has no method `{name}`")),
        }
    }

    fn text(&self) -> String {
        self.in_from()
    }

    fn equals(&self, other: &Value) -> bool {
        other.downcast::<Relation>().is_some_and(|other| self.path == other.path)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A column of a relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, in the warehouse's words.
    pub data_type: String,
}

const TEXTS: [&str; 4] = ["text", "character varying", "character", "varchar"];
const FLOATS: [&str; 6] = ["real", "float", "float4", "float8", "double", "double precision"];
const INTEGERS: [&str; 11] = [
    "smallint",
    "integer",
    "bigint",
    "smallserial",
    "serial",
    "bigserial",
    "int2",
    "int4",
    "int8",
    "serial4",
    "serial8",
];
const INTEGERS_OF_DUCKDB: [&str; 17] = [
    "tinyint",
    "smallint",
    "integer",
    "bigint",
    "hugeint",
    "utinyint",
    "usmallint",
    "uinteger",
    "ubigint",
    "int1",
    "int2",
    "int4",
    "int8",
    "short",
    "int",
    "signed",
    "long",
];

/// Whether what templates see is as dbt-duckdb has it.
fn is_duckdb(interpreter: &Interpreter) -> bool {
    let target = interpreter.global("target").get("type");
    target.as_ref().and_then(Value::as_str) != Some("postgres")
}

impl Column {
    /// A number that the type is declared with, where it is one of those that have it; of PostgreSQL's numbers what its information schema tells of them.
    fn number(&self, at: usize, has: bool) -> Value {
        let of_itself = match self.data_type.as_str() {
            "smallint" => [Some(16), Some(0)],
            "integer" => [Some(32), Some(0)],
            "bigint" => [Some(64), Some(0)],
            "real" => [Some(24), None],
            "double precision" => [Some(53), None],
            _ => [None; 2],
        };
        let list = self.data_type.split_once('(').map(|(_, rest)| rest.trim_end_matches(')'));
        let number = list.and_then(|list| list.split(',').nth(at)?.trim().parse().ok());
        let number = if has { number } else { of_itself[at] };
        number.map_or(Value::None, Value::Int)
    }

    fn plain(&self) -> &str {
        self.data_type.split('(').next().unwrap_or_default().trim()
    }

    fn is_string(&self) -> bool {
        is_one_of(self.plain(), &TEXTS)
    }

    /// The type as templates see it: dbt-duckdb takes it as DuckDB describes it, with all in parentheses; of a text the length is kept beside it.
    fn dtype(&self, duckdb: bool) -> &str {
        if duckdb && !self.is_string() {
            &self.data_type
        } else {
            self.plain()
        }
    }

    /// The type for statements. A text of DuckDB has no length; dbt gives it one, which DuckDB passes over.
    fn full_type(&self, duckdb: bool) -> String {
        match duckdb && self.is_string() {
            true => format!("character varying({})", text_length(&self.data_type).unwrap_or(256)),
            false => self.data_type.clone(),
        }
    }

    fn is_struct(&self) -> bool {
        self.data_type.to_ascii_lowercase().starts_with("struct")
    }

    /// The fields of a struct.
    fn fields(&self) -> Vec<Column> {
        let Some((_, list)) = self.data_type.split_once('(').filter(|_| self.is_struct()) else {
            return Vec::new();
        };
        let list = list.rsplit_once(')').map_or(list, |(list, _)| list);
        let (mut depth, mut begin, mut parts) = (0, 0, Vec::new());
        for (at, c) in list.char_indices() {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                ',' if depth == 0 => {
                    parts.push(&list[begin..at]);
                    begin = at + 1;
                }
                _ => {}
            }
        }
        parts.push(&list[begin..]);
        let field = |part: &str| {
            let (name, data_type) = part.trim().split_once(' ')?;
            Some(Column { name: name.into(), data_type: data_type.into() })
        };
        parts.into_iter().filter_map(field).collect()
    }

    /// The columns that a struct is when each field is one; any other column is itself.
    fn flattened(&self) -> Vec<Column> {
        if !self.is_struct() {
            return vec![self.clone()];
        }
        let named = |column: Column| Column { name: format!("{}.{}", self.name, column.name), ..column };
        self.fields().iter().flat_map(Column::flattened).map(named).collect()
    }
}

fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn listed(columns: Vec<Column>) -> Value {
    Value::list(columns.into_iter().map(Value::object))
}

impl Object for Column {
    fn type_name(&self) -> &'static str {
        "Column"
    }

    fn attribute(&self, interpreter: &Interpreter, name: &str) -> Option<Value> {
        let duckdb = is_duckdb(interpreter);
        let numeric = is_one_of(self.dtype(duckdb), &["numeric", "decimal"]);
        Some(match name {
            "name" | "column" => Value::from(self.name.as_str()),
            "quoted" => Value::from(quoted(&self.name)),
            "data_type" | "expanded_data_type" => Value::from(self.full_type(duckdb)),
            "char_size" if !self.is_string() => Value::None,
            "char_size" => self.number(0, true),
            "numeric_precision" | "numeric_scale" if duckdb => Value::None,
            "numeric_precision" => self.number(0, numeric),
            "numeric_scale" => self.number(1, numeric),
            "dtype" => Value::from(self.dtype(duckdb)),
            "fields" if duckdb => listed(self.fields()),
            _ => return None,
        })
    }

    fn call_method(&self, interpreter: &Interpreter, name: &str, args: Args) -> Eval<Value> {
        let duckdb = is_duckdb(interpreter);
        let is = |names: &[&str]| is_one_of(self.dtype(duckdb), names);
        let numeric = is(&["numeric", "decimal"]);
        let integer = is(if duckdb { &INTEGERS_OF_DUCKDB } else { &INTEGERS });
        // `double precision` is a type of PostgreSQL's; DuckDB never says it.
        let float = is(if duckdb { &FLOATS[..5] } else { &FLOATS });
        match name {
            "string_size" => {
                return match text_length(&self.data_type) {
                    Some(length) => Ok(Value::Int(length as i64)),
                    None => fail(format!("`{}` is no text, and has no size", self.name)),
                };
            }
            "can_expand_to" => {
                let [other] = args.bind(name, ["other_column"])?;
                let other = other.as_ref().and_then(Value::downcast::<Column>);
                let lengths =
                    text_length(&self.data_type).zip(other.and_then(|other| text_length(&other.data_type)));
                return Ok(Value::Bool(lengths.is_some_and(|(own, other)| other > own)));
            }
            "literal" => {
                let [value] = args.bind(name, ["value"])?;
                return Ok(Value::from(format!(
                    "{}::{}",
                    value.unwrap_or(Value::None),
                    self.full_type(duckdb)
                )));
            }
            "flatten" if duckdb => return Ok(listed(self.flattened())),
            _ => {}
        }
        Ok(Value::Bool(match name {
            "is_string" => self.is_string(),
            "is_integer" => integer,
            "is_float" => float,
            "is_numeric" => numeric,
            "is_number" => numeric || integer || float,
            "is_struct" if duckdb => self.is_struct(),
            _ => return fail(format!("a column has no method `{name}`")),
        }))
    }

    fn text(&self) -> String {
        format!("<Column {} ({})>", self.name, self.data_type)
    }

    fn equals(&self, other: &Value) -> bool {
        other.downcast::<Column>() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
