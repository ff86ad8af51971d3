//! Materialized views: made where there is none, made anew where something else is there or the invocation asks for it, and otherwise brought up to date, with their
//! indexes as the model has them now.

use std::{collections::BTreeSet, sync::Arc};

use millstream_core::build::{Cell, RelationKind, Response};

use super::{
    build::{run_statement, Built},
    compile::SharedConnection,
    ddl::{self, literal, Index},
    live::Shared,
    planned::word,
    run::warehouse_failed,
};
use crate::{
    context::{
        base::tell,
        relation::{quoted, Relation},
    },
    error::{Problem, ProblemKind, Result},
    parse::node::Node,
};

/// Makes a materialized view or brings it up to date, in the transaction that is open.
///
/// Errors: the warehouse refuses a statement; the indexes are other ones, and the model says that this is an error.
pub(super) fn make(
    shared: &Arc<Shared>,
    node: &Node,
    relation: &Relation,
    there: Option<RelationKind>,
    sql: &str,
    connection: &SharedConnection,
) -> Result<Built> {
    let dialect = shared.dialect();
    let wanted = ddl::indexes_of(node, dialect)?;
    let anew = match there {
        None => true,
        Some(RelationKind::MaterializedView) => shared.full_refresh(node),
        Some(_) => true,
    };
    let main = if anew {
        if let Some(kind) = there {
            run_statement(connection, &ddl::drop(relation, word(kind)))?;
        }
        let create = format!("create materialized view if not exists {} as {sql};", relation.render());
        std::iter::once(create)
            .chain(wanted.iter().map(|index| index.statement(relation)))
            .collect::<Vec<_>>()
            .join("\n")
    } else {
        let changes = Changes::between(held(relation, connection)?, &wanted);
        match node.config_str("on_configuration_change").unwrap_or("apply") {
            _ if changes.is_nothing() => format!("refresh materialized view {}", relation.render()),
            "apply" => changes.statements(relation).join(";\n"),
            "continue" => {
                let name = relation.render();
                tell(&format!(
                    "warning: the indexes of {name} are other ones than the model's; it is left as it is, as `on_configuration_change` says"
                ));
                let message = format!("skip {name}");
                let response = Response { message, code: None, rows: None };
                let mut built = Built::made(&response, String::new());
                // As dbt tells it, in a text.
                built.response["code"] = "skip".into();
                built.response["rows_affected"] = "-1".into();
                return Ok(built);
            }
            "fail" => {
                let message = format!("the indexes of {} are other ones than the model's", relation.render());
                return Err(Problem::new(ProblemKind::Configuration, message)
                    .hint("set on_configuration_change to apply, or build the model anew with --full-refresh")
                    .into());
            }
            other => {
                let message = format!("`on_configuration_change` can't be `{other}`");
                return Err(Problem::new(ProblemKind::Configuration, message)
                    .hint("it is apply, continue or fail")
                    .into());
            }
        }
    };
    let response = run_statement(connection, &main)?;
    Ok(Built::made(&response, main))
}

/// An index as the server has it.
struct Held {
    name: String,
    /// What makes it another one: columns in any order, whether it is unique, its method.
    identity: (BTreeSet<String>, bool, String),
}

/// The indexes of a relation.
fn held(relation: &Relation, connection: &SharedConnection) -> Result<Vec<Held>> {
    let sql = format!(
        "select i.relname, m.amname, x.indisunique, a.attname from pg_catalog.pg_index x \
         join pg_catalog.pg_class i on i.oid = x.indexrelid join pg_catalog.pg_am m on m.oid = i.relam \
         join pg_catalog.pg_class r on r.oid = x.indrelid join pg_catalog.pg_namespace s on s.oid = r.relnamespace \
         join pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attnum = any(x.indkey) \
         where s.nspname = {} and r.relname = {} order by i.relname",
        literal(relation.schema()),
        literal(relation.identifier())
    );
    let answer = connection.borrow_mut().query(&sql, usize::MAX).map_err(warehouse_failed)?;
    let mut found: Vec<Held> = Vec::new();
    for row in &answer.rows {
        let [Cell::Text(name), Cell::Text(method), unique, Cell::Text(column)] = &row[..] else { continue };
        if found.last().is_none_or(|last| last.name != *name) {
            let identity = (BTreeSet::new(), *unique == Cell::Bool(true), method.clone());
            found.push(Held { name: name.clone(), identity });
        }
        if let Some(last) = found.last_mut() {
            last.identity.0.insert(column.to_lowercase());
        }
    }
    Ok(found)
}

/// What is to become of indexes.
struct Changes<'i> {
    dropped: Vec<String>,
    made: Vec<&'i Index>,
}

impl<'i> Changes<'i> {
    fn between(held: Vec<Held>, wanted: &'i [Index]) -> Self {
        let made = wanted
            .iter()
            .filter(|index| !held.iter().any(|held| held.identity == index.identity()))
            .collect();
        let is_wanted = |held: &Held| wanted.iter().any(|index| index.identity() == held.identity);
        Changes {
            dropped: held.into_iter().filter(|held| !is_wanted(held)).map(|held| held.name).collect(),
            made,
        }
    }

    fn is_nothing(&self) -> bool {
        self.dropped.is_empty() && self.made.is_empty()
    }

    fn statements(&self, relation: &Relation) -> Vec<String> {
        let schema = quoted(relation.schema());
        let dropped =
            self.dropped.iter().map(|name| format!("drop index if exists {schema}.{}", quoted(name)));
        let made = self.made.iter().map(|index| index.statement(relation).trim_end_matches(';').to_owned());
        dropped.chain(made).collect()
    }
}
