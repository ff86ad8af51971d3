//! What the library's parts of materializations ask of the engine: statements that it plans, and what it does itself.

use millstream_core::build::{BuildConnection, RelationKind};
use serde_json::Value as Json;

use super::{
    contract,
    ddl::{self, Index},
    finish, grants,
    incremental::{texts, Changes, Upsert},
    live::NodeLive,
};
use crate::{
    context::{
        base::warn,
        relation::{Column, Relation},
        scene::Live,
    },
    jinja::{fail, Args, Eval, JinjaError, Value},
    parse::{incremental::OnSchemaChange, node::Node},
    project::Adapter,
};

/// Plans or does one thing for the macro of a node.
///
/// Errors: there is no such thing, an argument isn't what it should be, or the warehouse refuses a statement.
pub(super) fn call(live: &NodeLive, what: &str, args: Args) -> Eval<Value> {
    let manifest = live.shared.manifest.clone();
    let Some(node) = manifest.nodes.get(&live.unique_id) else {
        return fail("this is there only while a node is built");
    };
    let dialect = live.shared.dialect();
    match what {
        "create_table_as" => {
            let [temporary, relation, sql] = args.bind(what, ["temporary", "relation", "sql"])?;
            let temporary = temporary.is_some_and(|temporary| temporary.truth());
            let (relation, sql) = (relation_of(relation.as_ref())?, query(sql));
            planned(live, |connection| {
                ddl::create_table_as(node, dialect, temporary, relation, &sql, connection)
            })
        }
        "create_view_as" => {
            let [relation, sql] = args.bind(what, ["relation", "sql"])?;
            let (relation, sql) = (relation_of(relation.as_ref())?, query(sql));
            planned(live, |connection| ddl::create_view_as(node, dialect, relation, &sql, connection))
        }
        "check_contract" => {
            let [sql] = args.bind(what, ["sql"])?;
            let sql = query(sql);
            planned(live, |connection| {
                contract::check(node, dialect, &sql, connection).map(|()| String::new())
            })
        }
        "definitions" => planned(live, |_| Ok(format!("({})", contract::definitions(node)?.join(", ")))),
        "column_names" => Ok(contract::column_names(node).join(", ").into()),
        "upsert" => upsert(node, dialect, args),
        "persist_docs" => {
            let [relation, for_relation, for_columns] =
                args.bind(what, ["relation", "for_relation", "for_columns"])?;
            let wanted = |value: Option<Value>| value.is_none_or(|value| value.truth());
            let wanted = [wanted(for_relation), wanted(for_columns)];
            let relation = relation_of(relation.as_ref())?;
            let odd = live.with(|connection| finish::describe(node, relation, wanted, connection))?;
            let warn_errors = &live.shared.manifest.world.project.base.warn_errors;
            odd.map(|odd| warn(warn_errors, &odd))
                .transpose()
                .map_err(|error| JinjaError::new(error.describe()))?;
            Ok(Value::from(""))
        }
        "create_index" => {
            let [relation, index] = args.bind(what, ["relation", "index"])?;
            let index =
                Index::of(&index.unwrap_or(Value::None).to_json(), dialect).map_err(JinjaError::new)?;
            Ok(index.statement(relation_of(relation.as_ref())?).into())
        }
        "process_schema_changes" => schema_changes(live, args),
        "absolute" => {
            let [location] = args.bind(what, ["location"])?;
            let location = location.unwrap_or(Value::None).to_string();
            let is_path = !location.contains("://");
            let dir = &live.shared.manifest.world.project.options.project_dir;
            let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
            Ok(if is_path { dir.join(location).display().to_string() } else { location }.into())
        }
        "with_suffix" => {
            let [name, suffix] = args.bind(what, ["name", "suffix"])?;
            let text = |value: Option<Value>| value.unwrap_or(Value::None).to_string();
            Ok(dialect.with_suffix(&text(name), &text(suffix)).into())
        }
        "apply_grants" => {
            let [relation, grants, keeps] = args.bind(what, ["relation", "grant_config", "should_revoke"])?;
            let wanted = match grants.map(|grants| grants.to_json()) {
                Some(Json::Object(wanted)) => wanted,
                _ => return Ok(Value::from("")),
            };
            let (relation, keeps) =
                (relation_of(relation.as_ref())?, keeps.is_some_and(|keeps| keeps.truth()));
            planned(live, |connection| {
                grants::apply(&wanted, relation, keeps, connection).map(|()| String::new())
            })
        }
        _ => fail(format!("there is no `{what}` here")),
    }
}

/// A statement that is planned with a look at the warehouse.
fn planned(
    live: &NodeLive,
    plan: impl FnOnce(&mut dyn BuildConnection) -> crate::error::Result<String>,
) -> Eval<Value> {
    let Some(connection) = &live.connection else {
        return fail("nothing can be asked of the warehouse here");
    };
    match plan(&mut **connection.borrow_mut()) {
        Ok(text) => Ok(text.into()),
        Err(error) => fail(error.describe()),
    }
}

fn relation_of(value: Option<&Value>) -> Eval<&Relation> {
    match value.and_then(Value::downcast::<Relation>) {
        Some(relation) => Ok(relation),
        None => fail("this takes a relation"),
    }
}

fn query(sql: Option<Value>) -> String {
    let sql = sql.unwrap_or(Value::None).to_string();
    sql.trim_end().trim_end_matches(';').to_owned()
}

fn upsert(node: &Node, dialect: Adapter, args: Args) -> Eval<Value> {
    let [strategy, target, source, key, columns, predicates] =
        args.bind("upsert", ["strategy", "target", "source", "unique_key", "dest_columns", "predicates"])?;
    let columns = columns.unwrap_or(Value::None).items()?;
    let columns: Eval<Vec<String>> = columns
        .iter()
        .map(|column| match column.downcast::<Column>() {
            Some(column) => Ok(column.name.clone()),
            None => fail("`dest_columns` are columns"),
        })
        .collect();
    let key = key.map_or(Json::Null, |key| key.to_json());
    let upsert = Upsert {
        node,
        dialect,
        strategy: &strategy.unwrap_or(Value::None).to_string(),
        target: &target.unwrap_or(Value::None).to_string(),
        staged: &source.unwrap_or(Value::None).to_string(),
        columns: &columns?,
        key: Some(&key).filter(|key| !key.is_null()),
        predicates: predicates.map(|given| texts(&given.to_json())).unwrap_or_default(),
    };
    match upsert.statement() {
        Ok(statement) => Ok(statement.into()),
        Err(problem) => fail(problem.message),
    }
}

/// Brings a table's columns in line with those of another; the columns to go on with, none where they are those of the table.
fn schema_changes(live: &NodeLive, args: Args) -> Eval<Value> {
    let [on_change, source, target] =
        args.bind("process_schema_changes", ["on_schema_change", "source_relation", "target_relation"])?;
    let on_change = on_change.unwrap_or(Value::None).to_string();
    if on_change == "ignore" {
        return Ok(Value::dict::<Value>([]));
    }
    let on_change = OnSchemaChange::of_name(&on_change).unwrap_or(OnSchemaChange::Ignore);
    let target = relation_of(target.as_ref())?;
    let pairs = |relation: &Relation| -> Eval<Vec<(String, String)>> {
        let columns = live.columns(relation)?;
        Ok(columns.into_iter().map(|column| (column.name, column.data_type)).collect())
    };
    let (there, given) = (pairs(target)?, pairs(relation_of(source.as_ref())?)?);
    let changes = Changes::between(&there, &given, live.shared.dialect());
    if on_change == OnSchemaChange::Fail && !changes.is_nothing() {
        let problem = changes.problem(target);
        let told = problem.around.iter().chain(&problem.hint).map(String::as_str);
        let told: Vec<&str> = std::iter::once(problem.message.as_str()).chain(told).collect();
        return fail(told.join("; "));
    }
    for statement in changes.statements(target, &there, on_change) {
        live.with(|connection| connection.run(&statement))?;
    }
    Ok(Value::list(given.into_iter().map(|(name, data_type)| Value::object(Column { name, data_type }))))
}

/// What a relation's kind is called in a statement.
pub(super) fn word(kind: RelationKind) -> &'static str {
    match kind {
        RelationKind::View => "view",
        RelationKind::Table => "table",
        RelationKind::MaterializedView => "materialized view",
    }
}
