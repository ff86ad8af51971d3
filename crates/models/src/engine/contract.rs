//! Contracts kept: what a query gives is compared with what its model declares, and a table is made with the declared columns and constraints.

use millstream_core::build::BuildConnection;
use serde_json::Value as Json;

use super::{
    build::Columns,
    ddl::{header, no_rows},
    run::warehouse_failed,
};
use crate::{
    context::relation::{quoted, Relation},
    error::{Problem, ProblemKind, Result},
    parse::{contract::constraints, names, node::Node},
    project::Adapter,
    warning::Warning,
};

/// A declared column: its name as a statement writes it, and its type.
fn declared(node: &Node) -> Result<Columns> {
    let aliases = node.config.get("contract").and_then(|contract| contract.get("alias_types"));
    let (mut found, mut without) = (Vec::new(), Vec::new());
    for (name, column) in &node.columns {
        match column.get("data_type").and_then(Json::as_str) {
            // dbt's name for a text of any length.
            Some(kind) if kind.eq_ignore_ascii_case("string") && aliases != Some(&Json::Bool(false)) => {
                found.push((written(name, column), "TEXT".to_owned()));
            }
            Some(kind) => found.push((written(name, column), kind.to_owned())),
            None => without.push(format!("`{name}`")),
        }
    }
    if without.is_empty() {
        return Ok(found);
    }
    Err(Problem::new(
        ProblemKind::Configuration,
        format!("a contract needs the `data_type` of {}", without.join(", ")),
    )
    .around(names::describe(node))
    .into())
}

fn written(name: &str, column: &Json) -> String {
    if column.get("quote") == Some(&Json::Bool(true)) {
        quoted(name)
    } else {
        name.to_owned()
    }
}

/// That a contract says no precision of numbers, where it is so.
///
/// Errors: a column has no type.
pub(super) fn imprecise(node: &Node) -> Result<Option<Warning>> {
    let declared = declared(node)?;
    // A number of any width is one of three decimals to DuckDB, and of as many as it has to PostgreSQL: dbt warns of both.
    let wide: Vec<&str> = declared
        .iter()
        .filter(|(_, kind)| ["numeric", "decimal", "number"].contains(&kind.trim().to_lowercase().as_str()))
        .map(|(name, _)| name.as_str())
        .collect();
    Ok((!wide.is_empty()).then(|| {
        let text = format!("the contract of {} says no precision of {}", node.unique_id, wide.join(", "));
        Warning::of("JinjaLogWarning", text)
    }))
}

/// Compares what a query gives with what its model declares.
///
/// Errors: they differ, a column has no type, or the warehouse refuses the query.
pub(super) fn check(
    node: &Node,
    dialect: Adapter,
    sql: &str,
    connection: &mut dyn BuildConnection,
) -> Result<()> {
    let declared = declared(node)?;
    let header = header(node);
    if !header.is_empty() {
        connection.run(&header).map_err(warehouse_failed)?;
    }
    let mut columns = |sql: &str| -> Result<Columns> {
        Ok(connection.query(&no_rows(sql), 0).map_err(warehouse_failed)?.columns)
    };
    let given = columns(sql)?;
    let empty = declared.iter().map(|(name, kind)| format!("cast(null as {kind}) as {name}"));
    let wanted = columns(&format!("select {}", empty.collect::<Vec<_>>().join(", ")))?;
    let differences = differences(&given, &wanted, dialect);
    if differences.is_empty() {
        return Ok(());
    }
    let message = format!("the query does not give what the contract of {} declares", node.unique_id);
    let problem = Problem::new(ProblemKind::Configuration, message)
        .hint("change the query, or the columns in the properties file");
    Err(differences.into_iter().fold(problem, Problem::around).into())
}

/// What a query gives otherwise than is wanted, in words.
fn differences(given: &Columns, wanted: &Columns, dialect: Adapter) -> Vec<String> {
    let of = |columns: &Columns, name: &str| {
        columns.iter().find(|(known, _)| known == name).map(|(_, kind)| kind.clone())
    };
    let mut found: Vec<String> = given
        .iter()
        .filter_map(|(name, kind)| match of(wanted, name) {
            Some(wanted) if dialect.contract_type(&wanted) == dialect.contract_type(kind) => None,
            Some(wanted) => Some(format!("`{name}` is {kind} in the query and {wanted} in the contract")),
            None => Some(format!("`{name}` {kind} is not in the contract")),
        })
        .collect();
    found.extend(
        wanted
            .iter()
            .filter(|(name, _)| of(given, name).is_none())
            .map(|(name, kind)| format!("`{name}` {kind} is not in the query")),
    );
    found
}

/// The statements that make a table, or an unlogged one, as the model declares it, and fill it.
///
/// Errors: a column has no type.
pub(super) fn create_table(node: &Node, kind: &str, relation: &Relation, sql: &str) -> Result<String> {
    let table = relation.render();
    Ok(format!(
        "{}create {kind} {table} (\n{}\n);\ninsert into {table} ({names}) (\nselect {names} from (\n{sql}\n) as model_rows\n);",
        header(node),
        definitions(node)?.join(",\n"),
        names = column_names(node).join(", "),
    ))
}

/// The names of the declared columns, as a statement writes them.
pub(super) fn column_names(node: &Node) -> Vec<String> {
    node.columns.iter().map(|(name, column)| written(name, column)).collect()
}

/// Columns and constraints of a model, as a statement defines them.
///
/// Errors: a column has no type.
pub(super) fn definitions(node: &Node) -> Result<Vec<String>> {
    let columns = declared(node)?;
    let of_columns = columns.into_iter().zip(node.columns.values()).map(|((name, kind), column)| {
        let own = constraints(column.get("constraints")).filter_map(|one| of_column(node, one));
        [name, kind].into_iter().chain(own).collect::<Vec<_>>().join(" ")
    });
    Ok(of_columns
        .chain(constraints(node.extra.get("constraints")).filter_map(|one| of_model(node, one)))
        .collect())
}

fn text<'c>(constraint: &'c Json, key: &str) -> Option<&'c str> {
    constraint.get(key).and_then(Json::as_str).filter(|text| !text.is_empty())
}

/// What a foreign key refers to.
fn references(node: &Node, constraint: &Json) -> Option<String> {
    let columns = constraint.get("to_columns").and_then(Json::as_array).into_iter().flatten();
    let columns: Vec<&str> = columns.filter_map(Json::as_str).collect();
    match text(constraint, "to").and_then(|to| node.foreign_targets.get(to)) {
        Some(target) if !columns.is_empty() => Some(format!("references {target} ({})", columns.join(", "))),
        _ => text(constraint, "expression").map(|said| format!("references {said}")),
    }
}

fn of_column(node: &Node, constraint: &Json) -> Option<String> {
    let said = text(constraint, "expression");
    let with = |words: &str| Some(format!("{words} {}", said.unwrap_or_default()).trim().to_owned());
    match text(constraint, "type")? {
        "check" => said.map(|said| format!("check ({said})")),
        "not_null" => with("not null"),
        "unique" => with("unique"),
        "primary_key" => with("primary key"),
        "foreign_key" => references(node, constraint),
        "custom" => said.map(str::to_owned),
        _ => None,
    }
}

fn of_model(node: &Node, constraint: &Json) -> Option<String> {
    let said = text(constraint, "expression");
    let columns = constraint.get("columns").and_then(Json::as_array).into_iter().flatten();
    let columns = columns.filter_map(Json::as_str).collect::<Vec<_>>().join(", ");
    let key = |words: &str| {
        Some(format!("{words}{} ({columns})", said.map(|said| format!(" {said}")).unwrap_or_default()))
    };
    let rendered = match text(constraint, "type")? {
        "check" => said.map(|said| format!("check ({said})")),
        "unique" => key("unique"),
        "primary_key" => key("primary key"),
        "foreign_key" => {
            references(node, constraint).map(|target| format!("foreign key ({columns}) {target}"))
        }
        "custom" => said.map(str::to_owned),
        // Not null is of columns, and dbt makes nothing of it here either.
        _ => None,
    }?;
    Some(match text(constraint, "name") {
        Some(name) => format!("constraint {name} {rendered}"),
        None => rendered,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_told_by_its_column() {
        let columns = |list: &[(&str, &str)]| -> Columns {
            list.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect()
        };
        let given = columns(&[("a", "INTEGER"), ("b", "VARCHAR"), ("c", "DATE")]);
        let wanted = columns(&[("b", "VARCHAR"), ("a", "BIGINT"), ("d", "DATE")]);
        assert_eq!(
            differences(&given, &wanted, Adapter::DuckDb),
            [
                "`a` is INTEGER in the query and BIGINT in the contract",
                "`c` DATE is not in the contract",
                "`d` DATE is not in the query"
            ]
        );
        assert!(differences(&given, &given, Adapter::DuckDb).is_empty());
    }
}
