//! Unit tests: a model's template is rendered with rows in the place of what it reads, and what it gives is compared with what it is to give.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use millstream_core::build::{Answer, Cell};
use serde_json::{Map, Value as Json};

use super::{
    build::{columns_of, has, Built, Columns},
    compile::{injected, problem, Compiled, SharedConnection},
    dialect::response_json,
    live::{stand_in_name, NodeLive, Shared},
    run::{warehouse_failed, Status},
    snapshot::columns_given,
};
use crate::{
    context::{
        relation::{quoted, Relation},
        scene::{Facts, Scene},
    },
    error::{Problem, ProblemKind, Result},
    parse::{
        names,
        node::Node,
        unit::{Rows, UnitTest},
    },
};

/// How many rows that differ are told: more help nobody.
const TOLD_MAX: usize = 20;

/// Compiles the model of a unit test: what it reads are CTEs with the rows that are given.
///
/// Errors: the model can't be rendered, it reads what is not given, given rows have columns that their relation has not.
pub(super) fn compile(
    shared: &Arc<Shared>,
    node: &Node,
    unit: &Arc<UnitTest>,
    connection: Option<&SharedConnection>,
) -> Result<Compiled> {
    let manifest = &shared.manifest;
    let missing = || Problem::new(ProblemKind::Missing, format!("`{}` is gone", unit.model));
    let model = manifest.nodes.get(&unit.model).ok_or_else(missing)?;
    let Some(template) = &model.template else { return Err(missing().into()) };
    let live = Rc::new(NodeLive {
        shared: shared.clone(),
        package: model.package.clone(),
        unique_id: node.unique_id.clone(),
        begins: false,
        own: Map::new(),
        main: RefCell::default(),
        kept_before: RefCell::default(),
        batch: None,
        unit: Some(unit.clone()),
        depends_on: model.depends_on.clone(),
        connection: connection.cloned(),
        ephemeral: RefCell::default(),
    });
    let gives_this = unit.given.iter().any(|given| given.node == model.unique_id);
    if gives_this {
        live.ephemeral.borrow_mut().push(model.unique_id.clone());
    }
    let facts = Facts {
        package: model.package.clone(),
        resource: node.resource,
        this: if gives_this { Relation::cte(&model.alias) } else { model.relation() },
        model: model.to_json(),
        config: model.config.clone(),
    };
    let scene = Scene::new(&manifest.world, facts, Some(live.clone()));
    let rendered = scene.interpreter().render(template, &[]);
    let own = rendered.map_err(|error| problem(shared, model, error).around(names::describe(node)))?;
    let mut ctes: Vec<(String, String)> = Vec::new();
    for id in live.ephemeral.take() {
        let given = unit.given.iter().find(|given| given.node == id);
        let (Some(given), Some(stands_for)) = (given, manifest.get(&id)) else { continue };
        if ctes.iter().any(|(known, _)| *known == id) {
            continue;
        }
        let rows = rows_given(&given.rows, stands_for, connection)
            .map_err(|error| error.around(names::describe(node)))?;
        ctes.push((id, format!(" __dbt__cte__{} as (\n{rows}\n)", stand_in_name(stands_for))));
    }
    Ok(Compiled { sql: injected(&own, &ctes), ctes, ephemeral: Vec::new() })
}

/// The query that gives rows in the place of a relation: all of its columns, NULL where a row doesn't say.
fn rows_given(rows: &Rows, node: &Node, connection: Option<&SharedConnection>) -> Result<String> {
    let rows = match rows {
        Rows::Sql(sql) => return Ok(sql.clone()),
        Rows::Values(rows) => rows,
    };
    let relation = node.relation();
    let columns = match connection {
        Some(connection) => {
            columns_of(connection, relation.database(), relation.schema(), relation.identifier())?
        }
        None => Columns::new(),
    };
    if columns.is_empty() {
        let message = format!("the columns of {} are not known: it isn't there", relation.render());
        return Err(Problem::new(ProblemKind::Warehouse, message)
            .hint("build it first, with --empty if it is large; or give the rows as a query, with `format: sql`")
            .into());
    }
    let what = format!("'{}'", node.name);
    for row in rows {
        check_columns(row, &columns, &what)?;
    }
    let query = if rows.is_empty() {
        format!("{}\nlimit 0", query_of(&[Map::new()], &columns))
    } else {
        query_of(rows, &columns)
    };
    Ok(format!("-- Fixture for {}\n{query}", node.name))
}

/// A query that gives rows of these columns, NULL where a row doesn't say.
fn query_of(rows: &[Map<String, Json>], columns: &Columns) -> String {
    let row = |row: &Map<String, Json>| {
        let values = columns.iter().map(|(name, kind)| {
            let value = row.iter().find(|(said, _)| said.eq_ignore_ascii_case(name));
            format!("{} as {}", typed(value.map_or(&Json::Null, |(_, value)| value), kind), quoted(name))
        });
        format!("select {}", values.collect::<Vec<_>>().join(", "))
    };
    rows.iter().map(row).collect::<Vec<_>>().join("\nunion all\n")
}

/// An error where a row has a column that there is not.
fn check_columns(row: &Map<String, Json>, columns: &Columns, what: &str) -> Result<()> {
    let Some(unknown) = row.keys().find(|name| !has(columns, name)) else { return Ok(()) };
    let known: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let message = format!("the rows for {what} have a column `{unknown}`, which is not there");
    Err(Problem::new(ProblemKind::Configuration, message)
        .hint(format!("there are: {}", known.join(", ")))
        .into())
}

/// A value as SQL, of a column's type.
fn typed(value: &Json, kind: &str) -> String {
    let literal = match value {
        Json::Null => "null".to_owned(),
        Json::Bool(yes) => if *yes { "True" } else { "False" }.to_owned(),
        Json::Number(number) => number.to_string(),
        Json::String(text) => format!("'{}'", text.replace('\'', "''")),
        // Lists and mappings are as DuckDB reads them from a text.
        other => format!("'{}'", other.to_string().replace('\'', "''")),
    };
    // dbt has another name for this type, of a length that says nothing to DuckDB.
    let kind = match (kind, value) {
        ("VARCHAR", Json::String(_)) => "character varying",
        ("VARCHAR", _) => "character varying(256)",
        // A text that is longer than the column takes is not cut.
        (kind, Json::String(_)) if kind.contains("varying") => kind.split('(').next().unwrap_or(kind),
        (kind, _) => kind,
    };
    format!("cast({literal} as {kind})")
}

/// Compares what the model gives with what it is to give. The order of rows doesn't matter.
pub(super) fn run(node: &Node, unit: &UnitTest, sql: &str, connection: &SharedConnection) -> Result<Built> {
    let sql = sql.trim_end().trim_end_matches(';');
    let given = columns_given(connection, sql)?;
    let (expected, columns) = match &unit.expect {
        Rows::Sql(query) => (query.clone(), given.clone()),
        Rows::Values(rows) => match rows.first() {
            None => (format!("select * from (\n{sql}\n) as none_expected limit 0"), given.clone()),
            Some(first) => {
                for row in rows {
                    check_columns(row, &given, "what is expected")?;
                }
                let said = |name: &str| first.keys().any(|said| said.eq_ignore_ascii_case(name));
                // In the order in which they are written.
                let columns: Columns = first
                    .keys()
                    .filter_map(|said| {
                        given.iter().find(|(name, _)| said.eq_ignore_ascii_case(name)).cloned()
                    })
                    .collect();
                if let Some(other) = rows.iter().flat_map(Map::keys).find(|name| !said(name)) {
                    let message = format!("the first expected row has no `{other}`, and a later one has");
                    return Err(Problem::new(ProblemKind::Configuration, message)
                        .hint("name the same columns in every row")
                        .into());
                }
                (query_of(rows, &columns), columns)
            }
        },
    };
    let names: Vec<String> = columns.iter().map(|(name, _)| quoted(name)).collect();
    let names = names.join(", ");
    // All columns, by their places.
    let order: Vec<String> = (1..=columns.len() + 1).map(|place| place.to_string()).collect();
    let order = order.join(", ");
    let main = format!(
        "with given as (\nselect {names} from (\n{sql}\n) as given_rows\n),\nexpected as (\nselect {names} from (\n{expected}\n) as expected_rows\n)\n\
         select '-' as difference, * from (select * from expected except all select * from given) as missing\n\
         union all\nselect '+' as difference, * from (select * from given except all select * from expected) as too_many\n\
         order by {order}"
    );
    let limited = format!("{main}\nlimit {}", TOLD_MAX + 1);
    let answer = connection
        .borrow_mut()
        .query(&limited, TOLD_MAX + 1)
        .map_err(|error| warehouse_failed(error).around(names::describe(node)))?;
    let differs = !answer.rows.is_empty();
    Ok(Built {
        status: if differs { Status::Fail } else { Status::Pass },
        message: differs.then(|| told(&answer)),
        failures: Some(differs.into()),
        response: response_json(&answer.response),
        ran: Some(main),
    })
}

/// Rows that differ, one a line: `-` is expected and not given, `+` given and not expected.
fn told(answer: &Answer) -> String {
    let shown = |cell: &Cell| match cell {
        Cell::Null => "NULL".to_owned(),
        Cell::Bool(yes) => yes.to_string(),
        Cell::Int(number) => number.to_string(),
        Cell::Float(number) => number.to_string(),
        Cell::Text(text) => text.clone(),
    };
    let head = answer.columns.iter().skip(1).map(|(name, _)| name.clone());
    let mut lines = vec![
        "the model gives other rows than expected (- expected, + given):".to_owned(),
        format!("  {}", head.collect::<Vec<_>>().join(" | ")),
    ];
    for row in answer.rows.iter().take(TOLD_MAX) {
        let cells: Vec<String> = row.iter().skip(1).map(shown).collect();
        let sign = row.first().map(shown).unwrap_or_default();
        lines.push(format!("{sign} {}", cells.join(" | ")));
    }
    if answer.rows.len() > TOLD_MAX {
        lines.push(format!("and more than these {TOLD_MAX}"));
    }
    lines.join("\n")
}
