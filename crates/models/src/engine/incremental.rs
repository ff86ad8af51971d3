//! Incremental models: rows are added to a table that is there, by the model's strategy, after its columns were brought in line with those of the query.
//!
//! What is new is gathered in a temporary table first. Everything happens in the transaction that is open, columns before rows: DuckDB can't commit
//! a table that was altered after its rows.

use serde_json::Value as Json;

use super::{
    build::{columns_of, has, run_statement, Built, Columns},
    compile::SharedConnection,
    ddl,
    dialect::{alter_type, text_length, widened},
    merge,
};
use crate::{
    context::relation::{quoted, Relation},
    error::{Problem, ProblemKind, Result},
    parse::{incremental::OnSchemaChange, names, node::Node},
    project::Adapter,
};

/// Adds what a query gives to a table.
///
/// Errors: the warehouse refuses a statement; columns differ, and the model says that this is an error.
pub(super) fn add(
    node: &Node,
    dialect: Adapter,
    relation: &Relation,
    sql: &str,
    connection: &SharedConnection,
) -> Result<Built> {
    let staged_name = dialect.staged(relation);
    let staged = quoted(&staged_name);
    let (temporary_database, temporary_schema) = dialect.temporary();
    let given = || columns_of(connection, temporary_database, temporary_schema, &staged_name);
    if dialect == Adapter::DuckDb {
        run_statement(connection, &dialect.drop_staged(&staged_name))?;
    }
    let as_table = Relation::new("", "", &staged_name);
    let stage = ddl::create_table_as(node, dialect, true, &as_table, sql, &mut **connection.borrow_mut())?;
    run_statement(connection, &stage)?;
    if dialect == Adapter::Postgres && !node.has_contract() {
        widen(relation, &given()?, connection)?;
    }
    let there = columns_of(connection, relation.database(), relation.schema(), relation.identifier())?;
    let on_change = OnSchemaChange::of(node)?;
    let columns = if on_change == OnSchemaChange::Ignore {
        there
    } else {
        let given = given()?;
        let changes = Changes::between(&there, &given, dialect);
        if on_change == OnSchemaChange::Fail && !changes.is_nothing() {
            return Err(changes.problem(relation).into());
        }
        for statement in changes.statements(relation, &there, on_change) {
            run_statement(connection, &statement)?;
        }
        given
    };
    let config = |key: &str| node.config.get(key).filter(|value| !value.is_null());
    let predicates = config("predicates").or_else(|| config("incremental_predicates"));
    let columns: Vec<String> = columns.into_iter().map(|(name, _)| name).collect();
    let main = Upsert {
        node,
        dialect,
        strategy: node.config_str("incremental_strategy").unwrap_or("default"),
        target: &relation.render(),
        staged: &staged,
        columns: &columns,
        key: config("unique_key"),
        predicates: predicates.map(texts).unwrap_or_default(),
    }
    .statement()
    .map_err(|problem| problem.around(names::describe(node)))?;
    let response = run_statement(connection, &main)?;
    run_statement(connection, &dialect.drop_staged(&staged_name))?;
    Ok(Built::made(&response, main))
}

/// Lets columns of a table in PostgreSQL take texts as long as those that are to come.
pub(super) fn widen(relation: &Relation, given: &Columns, connection: &SharedConnection) -> Result<()> {
    let there = columns_of(connection, relation.database(), relation.schema(), relation.identifier())?;
    for (name, data_type) in widened(&there, given) {
        for statement in alter_type(&relation.render(), &name, &data_type) {
            run_statement(connection, &statement)?;
        }
    }
    Ok(())
}

/// How the columns of a query differ from those of a table, in the query's order.
#[derive(Debug)]
pub(super) struct Changes {
    dialect: Adapter,
    added: Columns,
    removed: Vec<String>,
    /// With the type that they are to have.
    retyped: Columns,
}

impl Changes {
    pub(super) fn between(there: &Columns, given: &Columns, dialect: Adapter) -> Self {
        let kind = |name: &str| there.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        // A text that has room already keeps its type.
        let has_room = |old: &str, new: &str| {
            dialect == Adapter::Postgres
                && text_length(old).zip(text_length(new)).is_some_and(|(old, new)| old > new)
        };
        Changes {
            dialect,
            added: given.iter().filter(|(name, _)| !has(there, name)).cloned().collect(),
            removed: there
                .iter()
                .filter(|(name, _)| !has(given, name))
                .map(|(name, _)| name.clone())
                .collect(),
            retyped: given
                .iter()
                .filter_map(|(name, new)| match kind(name) {
                    Some((known, old)) if old != new && !has_room(old, new) => {
                        Some((known.clone(), new.clone()))
                    }
                    _ => None,
                })
                .collect(),
        }
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.retyped.is_empty()
    }

    /// What brings the table in line. Columns that change their type go to its end, as with dbt.
    pub(super) fn statements(
        &self,
        relation: &Relation,
        there: &Columns,
        on_change: OnSchemaChange,
    ) -> Vec<String> {
        let target = relation.render();
        let add = self
            .added
            .iter()
            .map(|(name, kind)| format!("alter table {target} add column {} {kind}", quoted(name)));
        if on_change != OnSchemaChange::SyncAllColumns {
            return add.collect();
        }
        if self.retyped.is_empty() || self.dialect == Adapter::Postgres {
            let drop =
                self.removed.iter().map(|name| format!("alter table {target} drop column {}", quoted(name)));
            let retype = self.retyped.iter().flat_map(|(name, kind)| alter_type(&target, name, kind));
            return add.chain(drop).chain(retype).collect();
        }
        // Every row is written again for a type, so all of it is done at once. The columns are those of a new table, which takes the place of this one.
        let stays = |name: &str| !self.removed.iter().any(|gone| gone == name) && !has(&self.retyped, name);
        let kept = there.iter().filter(|(name, _)| stays(name)).map(|(name, _)| quoted(name));
        let added = self.added.iter().map(|(name, kind)| format!("cast(null as {kind}) as {}", quoted(name)));
        let retyped = self.retyped.iter().map(|(name, kind)| {
            let name = quoted(name);
            format!("cast({name} as {kind}) as {name}")
        });
        let columns: Vec<String> = kept.chain(added).chain(retyped).collect();
        let mut new = relation.clone();
        new.path[2] = Some(format!("{}__dbt_alter", relation.identifier()));
        vec![
            format!("drop table if exists {}", new.render()),
            format!("create table {} as select {} from {target}", new.render(), columns.join(", ")),
            format!("drop table {target}"),
            format!("alter table {} rename to {}", new.render(), quoted(relation.identifier())),
        ]
    }

    pub(super) fn problem(&self, relation: &Relation) -> Problem {
        let names = |columns: &Columns| {
            columns.iter().map(|(name, kind)| format!("`{name}` {kind}")).collect::<Vec<_>>().join(", ")
        };
        let mut problem = Problem::new(
            ProblemKind::Configuration,
            format!("the columns of the query are not those of {}", relation.render()),
        )
        .hint("set on_schema_change to append_new_columns or sync_all_columns, or build the model anew with --full-refresh");
        for (what, columns) in [
            ("only the query has", names(&self.added)),
            (
                "only the table has",
                self.removed.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
            ),
            ("of another type in the query:", names(&self.retyped)),
        ] {
            if !columns.is_empty() {
                problem = problem.around(format!("{what} {columns}"));
            }
        }
        problem
    }
}

/// Staged rows that are to be brought into a table by a strategy.
///
/// Conditions may name both sides as they do with dbt: `DBT_INTERNAL_DEST` and `DBT_INTERNAL_SOURCE` where rows are merged, and in PostgreSQL where they are deleted,
/// `DBT_INCREMENTAL_TARGET` where they are deleted by several keys in DuckDB.
pub(super) struct Upsert<'u> {
    /// The model.
    pub node: &'u Node,
    /// The warehouse.
    pub dialect: Adapter,
    /// `append`, `merge`, `delete+insert`, which is the default.
    pub strategy: &'u str,
    /// The table, as statements name it.
    pub target: &'u str,
    /// What is brought into it, as statements name it.
    pub staged: &'u str,
    /// Columns to insert.
    pub columns: &'u [String],
    /// One key or several.
    pub key: Option<&'u Json>,
    /// Conditions on rows that are replaced.
    pub predicates: Vec<String>,
}

impl Upsert<'_> {
    /// The statement.
    ///
    /// Errors: what the model says of merging can't be.
    pub(super) fn statement(&self) -> std::result::Result<String, Problem> {
        let keys = self.key.map(texts).unwrap_or_default();
        Ok(match self.strategy {
            "append" => self.insert(),
            "microbatch" if self.dialect == Adapter::DuckDb => self.replace_batch(),
            "microbatch" if keys.is_empty() => {
                let message = "`microbatch` needs a `unique_key` in PostgreSQL, by which rows are merged";
                return Err(Problem::new(ProblemKind::Configuration, message));
            }
            "merge" | "microbatch" => {
                let statement = match self.dialect {
                    Adapter::DuckDb => merge::statement(self, &keys)?,
                    Adapter::Postgres => merge::plain(self, &keys)?,
                };
                format!("{}{statement};", ddl::header(self.node))
            }
            _ if keys.is_empty() => self.insert(),
            _ => format!("{};\n{}", self.delete(&keys), self.insert()),
        })
    }

    fn insert(&self) -> String {
        let Upsert { target, staged, .. } = self;
        let columns: Vec<String> = self.columns.iter().map(|name| quoted(name)).collect();
        let columns = columns.join(", ");
        format!("insert into {target} ({columns}) (select {columns} from {staged});")
    }

    /// All rows of a span of time are replaced.
    fn replace_batch(&self) -> String {
        let Upsert { target, staged, .. } = self;
        let columns = self.columns.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
        let column = self.node.config_str("event_time").unwrap_or_default();
        let within = self
            .node
            .batch
            .as_ref()
            .map(|batch| super::batches::within(batch.span, column))
            .unwrap_or_default();
        let also: String = self.predicates.iter().map(|predicate| format!("\nand ({predicate})")).collect();
        format!(
            "delete from {target}\nwhere {within}{also};\ninsert into {target} ({columns})\nselect {columns}\nfrom {staged}\nwhere {within};"
        )
    }

    fn equal(left: &str, right: &str, keys: &[String]) -> Vec<String> {
        keys.iter().map(|key| format!("{left}.{key} = {right}.{key}")).collect()
    }

    fn delete(&self, keys: &[String]) -> String {
        let Upsert { target, staged, .. } = self;
        let also: String = self.predicates.iter().map(|predicate| format!("\nand {predicate}")).collect();
        match self.key {
            _ if self.dialect == Adapter::Postgres => {
                let key = keys.join(", ");
                format!(
                    "delete from {target} as DBT_INTERNAL_DEST\nwhere ({key}) in (\nselect distinct {key} from {staged} as DBT_INTERNAL_SOURCE\n){also}"
                )
            }
            Some(Json::Array(_)) => format!(
                "delete from {target} as DBT_INCREMENTAL_TARGET using {staged}\nwhere ({}{also})",
                Self::equal(staged, "DBT_INCREMENTAL_TARGET", keys).join(" and ")
            ),
            _ => {
                let key = keys.join(", ");
                format!("delete from {target}\nwhere ({key}) in (select ({key}) from {staged}){also}")
            }
        }
    }
}

/// One text or several.
pub(super) fn texts(value: &Json) -> Vec<String> {
    match value {
        Json::String(one) => vec![one.clone()],
        Json::Array(all) => all.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(list: &[(&str, &str)]) -> Columns {
        list.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect()
    }

    #[test]
    fn a_table_is_brought_in_line_as_the_model_says() {
        let there = columns(&[("id", "INTEGER"), ("name", "VARCHAR"), ("size", "INTEGER")]);
        let relation = Relation::new("d", "s", "t");
        let said = |given: &[(&str, &str)], on_change| {
            Changes::between(&there, &columns(given), Adapter::DuckDb)
                .statements(&relation, &there, on_change)
        };
        let more = [("ID", "INTEGER"), ("fresh", "BOOLEAN"), ("size", "INTEGER")];
        let add = "alter table \"d\".\"s\".\"t\" add column \"fresh\" BOOLEAN";
        assert_eq!(said(&more, OnSchemaChange::AppendNewColumns), [add]);
        let drop = "alter table \"d\".\"s\".\"t\" drop column \"name\"";
        assert_eq!(said(&more, OnSchemaChange::SyncAllColumns), [add, drop]);
        let other = [("size", "DOUBLE"), ("fresh", "BOOLEAN"), ("id", "INTEGER")];
        let columns = "\"id\", cast(null as BOOLEAN) as \"fresh\", cast(\"size\" as DOUBLE) as \"size\"";
        let statements = said(&other, OnSchemaChange::SyncAllColumns);
        assert!(statements[1].contains(&format!("as select {columns} from")), "{statements:?}");
        assert_eq!(said(&other, OnSchemaChange::AppendNewColumns), [add]);
        assert!(said(
            &[("id", "INTEGER"), ("name", "VARCHAR"), ("size", "INTEGER")],
            OnSchemaChange::SyncAllColumns
        )
        .is_empty());
    }
}
