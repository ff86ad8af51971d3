//! Models built in DuckDB: the port of `core::build`. In a file of a dbt project's own, which its profile names; or in the warehouse itself, beside what apply writes.
//!
//! Who reads the warehouse keeps plans and results between commits ([`super::continuity`], [`super::sessions`]). So what is committed here is told them as apply's
//! commits are, around the commit: a statement of its own that writes gets a transaction for that.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use arrow_array::{
    cast::AsArray,
    types::{
        Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, Int8Type, UInt16Type, UInt32Type,
        UInt8Type,
    },
    Array, RecordBatch,
};
use arrow_schema::DataType;
use millstream_core::{
    build::{
        Answer, BuildConnection, BuildWarehouse, BuiltRelation, Cell, DescribedColumn, DescribedRelation,
        RelationKind, Response,
    },
    log::Result,
};

use super::{
    continuity::Continuity,
    engine::{Connection, Database, EngineError, EngineResult},
    failed,
    models::DuckHandle,
    sessions::Sessions,
    sql::{identifier, string},
};
use crate::WarehouseError;

/// A DuckDB file, opened for models.
pub struct DuckBuild {
    database: Database,
    /// Run by each connection first.
    first: Vec<String>,
    readers: Option<Readers>,
}

/// Those who read what is built, and keep things between commits.
#[derive(Clone)]
struct Readers {
    continuity: Arc<Continuity>,
    sessions: Arc<Sessions>,
    changed: Arc<dyn Fn() + Send + Sync>,
}

impl Readers {
    /// Commits something that they may have read. `defines`: not only tables, so that names may mean something else.
    fn commit<T>(&self, defines: bool, commit: impl FnOnce() -> EngineResult<T>) -> EngineResult<T> {
        let outcome = self.continuity.commit(false, None, &BTreeSet::new(), commit);
        if defines {
            self.sessions.forget_statements();
        }
        self.sessions.note_built();
        (self.changed)();
        outcome
    }
}

impl DuckHandle {
    /// The warehouse as models are built in it; `changed` is called whenever something was committed.
    pub fn builder(&self, changed: Arc<dyn Fn() + Send + Sync>) -> DuckBuild {
        let readers =
            Readers { continuity: self.continuity.clone(), sessions: self.sessions.clone(), changed };
        DuckBuild { database: self.database.clone(), first: Vec::new(), readers: Some(readers) }
    }
}

impl DuckBuild {
    /// Opens or creates the file; `:memory:` is none. `settings` are of each connection, `extensions` are loaded.
    ///
    /// Errors: the file can't be opened (another process has it, or it is none of DuckDB's), a setting is not known.
    pub fn open(
        path: &Path,
        settings: &[(String, String)],
        extensions: &[String],
    ) -> std::result::Result<Self, WarehouseError> {
        let database = Database::open(path, &[])
            .map_err(failed(format!("opening {} to build models in", path.display())))?;
        let loads = extensions.iter().map(|name| format!("INSTALL {0}; LOAD {0}", identifier(name)));
        let sets =
            settings.iter().map(|(name, value)| format!("SET {} = {}", identifier(name), string(value)));
        let build = DuckBuild { database, first: loads.chain(sets).collect(), readers: None };
        // What is wrong with them shows once, before anything is built.
        build.connection()?;
        Ok(build)
    }

    /// Attaches a database; all connections have it from then on. `options` are DuckDB's own names with literals; one without is named alone.
    ///
    /// Errors: the file can't be opened (another process has it, it is none of DuckDB's, or it isn't there and is to be read only), an option is not known.
    pub fn attach(
        &self,
        path: &Path,
        name: &str,
        options: &[(String, Option<String>)],
    ) -> std::result::Result<(), WarehouseError> {
        let options: Vec<String> = options
            .iter()
            .map(|(option, value)| match value {
                Some(value) => format!("{} {value}", identifier(option)),
                None => identifier(option),
            })
            .collect();
        let options = if options.is_empty() { String::new() } else { format!(" ({})", options.join(", ")) };
        let file = string(&path.display().to_string());
        let doing = format!("attaching {} as {name}", path.display());
        self.database
            .connect()
            .and_then(|connection| connection.run(&format!("ATTACH {file} AS {}{options}", identifier(name))))
            .map_err(failed(doing))?;
        Ok(())
    }

    fn connection(&self) -> std::result::Result<DuckBuildConnection, WarehouseError> {
        let connection = self.database.connect().map_err(failed("connecting to build models"))?;
        for statement in &self.first {
            connection.run(statement).map_err(failed("applying the settings of the profile"))?;
        }
        Ok(DuckBuildConnection {
            connection,
            open: false,
            begun: false,
            defines: false,
            readers: self.readers.clone(),
        })
    }
}

impl BuildWarehouse for DuckBuild {
    fn connect(&self) -> Result<Box<dyn BuildConnection>> {
        Ok(Box::new(self.connection()?))
    }
}

struct DuckBuildConnection {
    connection: Connection,
    open: bool,
    /// Whether statements have begun a transaction themselves.
    begun: bool,
    /// Whether what is open changed more than tables.
    defines: bool,
    readers: Option<Readers>,
}

/// The whole of what DuckDB said: a person wrote the statement, and it names the place in it.
fn said(error: EngineError) -> WarehouseError {
    WarehouseError::Query { detail: error.message }
}

/// What stands before the last of several statements, and that one; `None` of a single one.
fn last_statement(sql: &str) -> Option<(&str, &str)> {
    let bytes = sql.as_bytes();
    let (mut at, mut begins, mut ended) = (0, None, None);
    // Where what begins here ends, behind its mark.
    let behind =
        |from: usize, mark: &str| sql[from..].find(mark).map_or(sql.len(), |found| from + found + mark.len());
    while at < bytes.len() {
        let rest = &sql[at..];
        let is_comment = rest.starts_with("--") || rest.starts_with("/*");
        if bytes[at] != b';' && !bytes[at].is_ascii_whitespace() && !is_comment {
            // What follows the last one may be a comment and no statement.
            begins = ended.take().or(begins);
        }
        at = match bytes[at] {
            b'\'' => behind(at + 1, "'"),
            b'"' => behind(at + 1, "\""),
            b'-' if rest.starts_with("--") => behind(at, "\n"),
            b'/' if rest.starts_with("/*") => behind(at + 2, "*/"),
            b'$' => {
                let tag = rest[1..].find('$').map(|end| &rest[..end + 2]);
                let plain = |tag: &&str| {
                    tag.bytes().all(|byte| byte == b'$' || byte == b'_' || byte.is_ascii_alphanumeric())
                };
                tag.filter(plain).map_or(at + 1, |tag| behind(at + tag.len(), tag))
            }
            b';' => {
                ended = Some(at + 1);
                at + 1
            }
            _ => at + rest.chars().next().map_or(1, char::len_utf8),
        };
    }
    let begins = begins?;
    Some((&sql[..begins], &sql[begins..]))
}

impl DuckBuildConnection {
    /// Runs statements, so that readers hear of what they change.
    fn run_each(&mut self, sql: &str) -> EngineResult<u64> {
        let Some(readers) = self.readers.clone() else { return self.connection.run(sql) };
        // A word that is in every statement that changes more than tables.
        let lower = sql.to_lowercase();
        let views = ["view", "macro", "function"].iter().any(|word| lower.contains(word));
        let (connection, open) = (&self.connection, self.open);
        let (defines, begun) = (&mut self.defines, &mut self.begun);
        connection.each(sql, |statement| {
            let kind = statement.kind();
            *defines |= views && kind.defines();
            if kind.is_transaction() {
                // One within another is an error and so is the end of none: what succeeds is the other of the two.
                let outcome = readers.commit(*begun && std::mem::take(defines), || statement.run());
                *begun = !*begun && outcome.is_ok();
                return outcome;
            }
            if open || *begun || kind.reads() {
                return statement.run();
            }
            if !kind.changes() {
                return readers.commit(std::mem::take(defines), || statement.run());
            }
            // Readers are kept from nothing while it runs, only while it is committed.
            connection.run("BEGIN TRANSACTION")?;
            let outcome = statement.run();
            match &outcome {
                Ok(_) => readers.commit(std::mem::take(defines), || connection.run("COMMIT")),
                Err(_) => connection.run("ROLLBACK"),
            }?;
            outcome
        })
    }

    /// The rows of a statement.
    fn answer(&self, sql: &str, rows_max: usize) -> Result<Answer> {
        let (statement, columns) = self.readable(sql).unwrap_or_else(|| (sql.to_owned(), Vec::new()));
        let mut rows = self.connection.stream(&statement).map_err(said)?;
        let mut answer = Answer { columns, ..Answer::default() };
        while let Some(batch) = rows.next_batch().map_err(said)? {
            if answer.columns.is_empty() {
                let fields = batch.schema_ref().fields();
                answer.columns = fields
                    .iter()
                    .map(|field| (field.name().clone(), field.data_type().to_string()))
                    .collect();
            }
            if answer.rows.len() + batch.num_rows() > rows_max {
                return Err(WarehouseError::Query {
                    detail: format!("the result has more than {rows_max} rows, which a template can't hold"),
                }
                .into());
            }
            for row in 0..batch.num_rows() {
                let kinds = &answer.columns;
                let cells = (0..batch.num_columns()).map(|column| {
                    let wide = kinds
                        .get(column)
                        .is_some_and(|(_, kind)| matches!(kind.as_str(), "HUGEINT" | "UBIGINT"));
                    cell(&batch, column, row, wide)
                });
                answer.rows.push(cells.collect());
            }
        }
        Ok(answer)
    }

    /// A statement whose columns are all of types that a cell has: others are cast to text by DuckDB itself.
    fn readable(&self, sql: &str) -> Option<(String, Vec<(String, String)>)> {
        let described = self.connection.query(&format!("DESCRIBE {sql}")).ok()?;
        let mut columns = Vec::new();
        for batch in &described {
            let (names, types) = (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
            columns.extend(
                (0..batch.num_rows()).map(|row| (names.value(row).to_owned(), types.value(row).to_owned())),
            );
        }
        let direct = |kind: &str| {
            matches!(
                kind,
                "BOOLEAN"
                    | "TINYINT"
                    | "SMALLINT"
                    | "INTEGER"
                    | "BIGINT"
                    | "UTINYINT"
                    | "USMALLINT"
                    | "UINTEGER"
                    | "FLOAT"
                    | "DOUBLE"
                    | "VARCHAR"
            )
        };
        if columns.iter().all(|(_, kind)| direct(kind)) {
            return Some((sql.to_owned(), columns));
        }
        let aliases: Vec<String> = (0..columns.len()).map(|at| format!("c{at}")).collect();
        let cells = columns.iter().zip(&aliases).map(|((_, kind), alias)| match kind.as_str() {
            kind if direct(kind) => alias.clone(),
            // Sums of integers are of 128 bits, and nearly always fit into 64.
            "HUGEINT" | "UBIGINT" => {
                format!("coalesce(try_cast({alias} AS BIGINT)::VARCHAR, {alias}::VARCHAR)")
            }
            _ => format!("{alias}::VARCHAR"),
        });
        let cells: Vec<String> = cells.collect();
        // The line end ends a comment on the last line.
        let wrapped = format!("SELECT {} FROM ({sql}\n) AS q({})", cells.join(", "), aliases.join(", "));
        Some((wrapped, columns))
    }
}

impl BuildConnection for DuckBuildConnection {
    fn run(&mut self, sql: &str) -> Result<Response> {
        let rows = self.run_each(sql).map_err(said)?;
        Ok(Response { rows: Some(rows), ..Response::default() })
    }

    fn query(&mut self, sql: &str, rows_max: usize) -> Result<Answer> {
        let sql = sql.trim().trim_end_matches(';').trim_end();
        let sql = match last_statement(sql) {
            Some((before, last)) => {
                self.run(before)?;
                last
            }
            None => sql,
        };
        let reads = || self.connection.prepare(sql).is_ok_and(|statement| statement.kind().reads());
        match self.readers.clone().filter(|_| !self.open) {
            Some(readers) if !reads() => {
                readers.commit(true, || Ok(self.answer(sql, rows_max))).map_err(said)?
            }
            _ => self.answer(sql, rows_max),
        }
    }

    fn begin(&mut self) -> Result<()> {
        if !self.open {
            self.connection.run("BEGIN TRANSACTION").map_err(said)?;
            self.open = true;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        if std::mem::take(&mut self.open) {
            let commit = || self.connection.run("COMMIT");
            let committed = match self.readers.clone() {
                Some(readers) => readers.commit(self.defines, commit),
                None => commit(),
            };
            self.defines = false;
            if let Err(error) = committed {
                // A transaction that failed to commit is over or stays open; asking to roll back ends it either way.
                let _ = self.connection.run("ROLLBACK");
                return Err(said(error).into());
            }
        }
        Ok(())
    }

    fn rollback(&mut self) -> Result<()> {
        if std::mem::take(&mut self.open) {
            self.connection.run("ROLLBACK").map_err(said)?;
        }
        Ok(())
    }

    fn relations(&mut self, database: &str) -> Result<Vec<BuiltRelation>> {
        let of = |kind: &str, function: &str, name: &str| {
            format!(
                "SELECT schema_name, {name}, '{kind}' FROM {function}() \
                 WHERE lower(database_name) = lower({}) AND NOT internal",
                string(database)
            )
        };
        let sql = format!(
            "{} UNION ALL {}",
            of("table", "duckdb_tables", "table_name"),
            of("view", "duckdb_views", "view_name")
        );
        let mut found = Vec::new();
        for batch in self.connection.query(&sql).map_err(said)? {
            let text =
                |column: usize, row: usize| batch.column(column).as_string::<i32>().value(row).to_owned();
            found.extend((0..batch.num_rows()).map(|row| BuiltRelation {
                schema: text(0, row),
                name: text(1, row),
                kind: if text(2, row) == "view" { RelationKind::View } else { RelationKind::Table },
            }));
        }
        Ok(found)
    }

    fn columns(&mut self, database: &str, schema: &str, relation: &str) -> Result<Vec<(String, String)>> {
        let sql = format!(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE lower(database_name) = lower({}) \
             AND lower(schema_name) = lower({}) AND lower(table_name) = lower({}) ORDER BY column_index",
            string(database),
            string(schema),
            string(relation)
        );
        let mut found = Vec::new();
        for batch in self.connection.query(&sql).map_err(said)? {
            let (names, types) = (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
            found.extend(
                (0..batch.num_rows()).map(|row| (names.value(row).to_owned(), types.value(row).to_owned())),
            );
        }
        Ok(found)
    }

    fn interrupter(&self) -> Option<millstream_core::build::Interrupter> {
        let interrupter = self.connection.interrupter();
        Some(Box::new(move || interrupter.interrupt()))
    }

    fn described(&mut self, database: &str) -> Result<Vec<DescribedRelation>> {
        let mut found: Vec<DescribedRelation> = Vec::new();
        for batch in self.connection.query(&description(database)).map_err(said)? {
            let said = |column: usize, row: usize| {
                let column = batch.column(column);
                column.is_valid(row).then(|| column.as_string::<i32>().value(row).to_owned())
            };
            let text = |column: usize, row: usize| said(column, row).unwrap_or_default();
            let indexes = batch.column(7).as_primitive::<Int64Type>();
            for row in 0..batch.num_rows() {
                let (schema, name) = (text(1, row), text(2, row));
                let is_next = |last: &DescribedRelation| last.schema != schema || last.name != name;
                if found.last().is_none_or(is_next) {
                    let kind = if text(3, row) == "view" { RelationKind::View } else { RelationKind::Table };
                    let (database, comment) = (text(0, row), said(4, row));
                    let columns = Vec::new();
                    let owner = None;
                    found.push(DescribedRelation { database, schema, name, kind, comment, owner, columns });
                }
                if let Some(relation) = found.last_mut() {
                    relation.columns.push(DescribedColumn {
                        name: text(5, row),
                        data_type: text(6, row),
                        index: indexes.value(row),
                        comment: said(8, row),
                    });
                }
            }
        }
        Ok(found)
    }
}

/// Tables and views of a database, each column a row.
fn description(database: &str) -> String {
    let of = |kind: &str, function: &str, name: &str| {
        format!(
            "SELECT database_name, schema_name, {name} AS table_name, '{kind}' AS kind, comment AS about FROM {function}() \
             WHERE lower(database_name) = lower({}) AND NOT internal",
            string(database)
        )
    };
    format!(
        "SELECT r.database_name, r.schema_name, r.table_name, r.kind, r.about, c.column_name, c.data_type, \
         c.column_index::BIGINT, c.comment \
         FROM ({} UNION ALL {}) r JOIN duckdb_columns() c USING (database_name, schema_name, table_name) \
         ORDER BY r.schema_name, r.table_name, c.column_index",
        of("table", "duckdb_tables", "table_name"),
        of("view", "duckdb_views", "view_name")
    )
}

/// A value. `wide` says that a text of digits is an integer.
fn cell(batch: &RecordBatch, column: usize, row: usize, wide: bool) -> Cell {
    let array = batch.column(column);
    if array.is_null(row) {
        return Cell::Null;
    }
    match array.data_type() {
        DataType::Null => Cell::Null,
        DataType::Boolean => Cell::Bool(array.as_boolean().value(row)),
        DataType::Int8 => Cell::Int(array.as_primitive::<Int8Type>().value(row).into()),
        DataType::Int16 => Cell::Int(array.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => Cell::Int(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Cell::Int(array.as_primitive::<Int64Type>().value(row)),
        DataType::UInt8 => Cell::Int(array.as_primitive::<UInt8Type>().value(row).into()),
        DataType::UInt16 => Cell::Int(array.as_primitive::<UInt16Type>().value(row).into()),
        DataType::UInt32 => Cell::Int(array.as_primitive::<UInt32Type>().value(row).into()),
        DataType::Float32 => Cell::Float(array.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => Cell::Float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => {
            let text = array.as_string::<i32>().value(row);
            match text.parse::<i64>() {
                Ok(number) if wide => Cell::Int(number),
                _ => Cell::Text(text.to_owned()),
            }
        }
        other => Cell::Text(format!("a value of type {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Box<dyn BuildConnection> {
        DuckBuild::open(Path::new(":memory:"), &[], &[]).unwrap().connect().unwrap()
    }

    #[test]
    fn the_last_of_several_statements_is_the_one_that_is_answered() {
        let sql = "create temp table t(a) as select ';' -- a; b\n; insert into t values ($x$;$x$); /* ; */ select a from t order by 1; -- end; here";
        let answer = connection().query(sql, 10).unwrap();
        assert_eq!(answer.rows, [[Cell::Text(";".into())], [Cell::Text(";".into())]]);
        for single in ["select ';' as \"a;b\" ; -- c", "", "select 1", ";"] {
            assert_eq!(last_statement(single), None, "{single}");
        }
    }

    #[test]
    fn cells_are_numbers_and_texts_as_they_are_exact() {
        let sql = "select 1::hugeint a, 1.50::decimal(4,2) b, date '2020-01-02' c, true d, null e, 'x' f, 2.5::double g -- end";
        let answer = connection().query(&format!("{sql};"), 10).unwrap();
        assert_eq!(
            answer.rows,
            [vec![
                Cell::Int(1),
                Cell::Text("1.50".into()),
                Cell::Text("2020-01-02".into()),
                Cell::Bool(true),
                Cell::Null,
                Cell::Text("x".into()),
                Cell::Float(2.5)
            ]]
        );
        assert_eq!(answer.columns[1], ("b".to_owned(), "DECIMAL(4,2)".to_owned()));
        assert!(connection().query("select * from range(11)", 10).is_err());
    }

    #[test]
    fn what_is_rolled_back_is_not_there() {
        let mut connection = connection();
        connection.begin().unwrap();
        connection.run("create table t (a int)").unwrap();
        assert_eq!(connection.relations("memory").unwrap().len(), 1);
        connection.rollback().unwrap();
        assert!(connection.relations("memory").unwrap().is_empty());
        connection.run("create schema s; create view s.v as select 1 as a").unwrap();
        let found = connection.relations("MEMORY").unwrap();
        assert_eq!((found[0].schema.as_str(), found[0].kind), ("s", RelationKind::View));
        assert_eq!(connection.columns("memory", "S", "v").unwrap(), [("a".to_owned(), "INTEGER".to_owned())]);
    }
}
