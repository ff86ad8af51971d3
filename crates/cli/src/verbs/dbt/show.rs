//! `show`: the first rows of nodes or of a query, as a table or as JSON.

use std::sync::Arc;

use millstream_core::build::{Answer, Cell};
use millstream_models::{
    engine::{
        live::Shared,
        run::{Outcome, Status},
        show,
    },
    parse::{
        node::{Node, Resource},
        Manifest,
    },
    select::Ids,
    ModelsError, Problem, ProblemKind,
};
use serde_json::{json, Map, Value};
use unicode_width::UnicodeWidthStr;

use super::{select, unasked::Unasked, wanted, Call};
use crate::{
    args::{ShowFlags, ShowOutput},
    failure::{Failure, Outcome as VerbOutcome},
};

pub(super) fn run(call: &Call<'_>, flags: &ShowFlags) -> VerbOutcome {
    let common = call.flags;
    if flags.inline.is_none() && common.select.is_empty() && common.selector.is_none() {
        let problem = Problem::new(ProblemKind::Selection, "there is nothing to show");
        let problem = problem.hint("name nodes with --select, or give a query with --inline");
        return Err(ModelsError::from(problem).into());
    }
    let manifest = call.project()?;
    let shown = |kind| {
        matches!(
            kind,
            Resource::Model | Resource::Seed | Resource::Snapshot | Resource::Test | Resource::Analysis
        )
    };
    let inline = flags.inline.as_deref().map(|sql| manifest.inline(sql)).transpose()?;
    let ids = match &inline {
        Some(_) => Ids::new(),
        None => select(
            &manifest,
            common,
            |node| {
                // A model's tests come with it, and are not what was asked for.
                let by_name = common.select.contains(&node.name);
                shown(node.resource) && wanted(common, node, |kind| kind != Resource::Test || by_name)
            },
            call.output,
        )?,
    };
    let nodes: Vec<&Node> = inline.iter().chain(ids.iter().filter_map(|id| manifest.nodes.get(id))).collect();
    let warehouse = call.warehouse(&manifest.world.project)?;
    let warehouse = &*warehouse;
    let shared = Arc::new(Shared::new(manifest.clone(), ids.clone())?);
    let limit = u64::try_from(flags.limit).ok();
    let answers = show::show(&shared, warehouse, &nodes, limit, &call.console())?;
    for (node, answer) in nodes.iter().zip(&answers) {
        match flags.output {
            ShowOutput::Json => {
                let json = json!({"node": node.name, "show": objects(answer)});
                call.output.line(&format!("{json:#}"))?;
            }
            ShowOutput::Text => {
                if !call.global.quiet && inline.is_none() {
                    call.output.line(&format!("Previewing node '{}':", node.name))?;
                }
                for line in table(answer) {
                    call.output.line(&line)?;
                }
            }
        }
    }
    Ok(0)
}

/// Prints what a query compiles to.
pub(super) fn compile(call: &Call<'_>, sql: &str) -> VerbOutcome {
    let manifest = call.project()?;
    let node = manifest.inline(sql)?;
    let warehouse = match manifest.world.project.options.asks_nothing {
        true => Arc::new(Unasked),
        false => call.warehouse(&manifest.world.project)?,
    };
    let shared = Arc::new(Shared::new(manifest.clone(), Ids::new())?);
    let console = call.console();
    let compiled = show::compiled(&shared, &*warehouse, &node, &console)?;
    console.say(&format!("Compiled inline node is:\n{compiled}"));
    Ok(0)
}

/// How many rows of a seed are printed.
const SEED_ROWS: u64 = 10;

/// Prints the first rows of the seeds that were loaded.
pub(super) fn seeds(
    call: &Call<'_>,
    manifest: &Arc<Manifest>,
    shared: &Arc<Shared>,
    outcomes: &[Outcome],
) -> Result<(), Failure> {
    let loaded = outcomes.iter().filter(|outcome| outcome.status == Status::Success);
    let nodes: Vec<&Node> = loaded.filter_map(|outcome| manifest.nodes.get(&outcome.unique_id)).collect();
    let warehouse = call.warehouse(&manifest.world.project)?;
    let answers = show::show(shared, &*warehouse, &nodes, Some(SEED_ROWS), &call.console())?;
    for (node, answer) in nodes.iter().zip(&answers) {
        call.output.line(&format!("First rows of {}.{}:", node.schema, node.alias))?;
        for line in table(answer) {
            call.output.line(&line)?;
        }
    }
    Ok(())
}

fn objects(answer: &Answer) -> Vec<Value> {
    let object = |row: &Vec<Cell>| -> Value {
        let cells = answer.columns.iter().zip(row);
        cells.map(|((name, kind), cell)| (name.clone(), value(cell, kind))).collect::<Map<_, _>>().into()
    };
    answer.rows.iter().map(object).collect()
}

/// Whether a type is of numbers in decimals.
fn is_decimal(kind: &str) -> bool {
    ["DECIMAL", "numeric"].iter().any(|name| kind.starts_with(name))
}

fn value(cell: &Cell, kind: &str) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Bool(yes) => json!(yes),
        Cell::Int(number) => json!(number),
        Cell::Float(number) => json!(number),
        // A number in decimals stays one where nothing of it is lost.
        Cell::Text(text) if is_decimal(kind) && text.len() <= f64::DIGITS as usize => {
            text.parse::<f64>().map_or_else(|_| json!(text), |number| json!(number))
        }
        Cell::Text(text) => json!(text),
    }
}

/// The lines of a table as dbt prints them, numbers at the right.
fn table(answer: &Answer) -> Vec<String> {
    let shown = |cell: &Cell| match cell {
        Cell::Null => String::new(),
        Cell::Bool(yes) => yes.to_string(),
        Cell::Int(number) => number.to_string(),
        Cell::Float(number) => number.to_string(),
        // A line of the table is a row of it.
        Cell::Text(text) => text.replace(['\n', '\r'], " "),
    };
    let rows: Vec<Vec<String>> = answer.rows.iter().map(|row| row.iter().map(shown).collect()).collect();
    let widths: Vec<usize> = answer
        .columns
        .iter()
        .enumerate()
        .map(|(at, (name, _))| {
            rows.iter().map(|row| row[at].width()).chain([name.width()]).max().unwrap_or(0)
        })
        .collect();
    let numeric: Vec<bool> = answer
        .columns
        .iter()
        .map(|(_, kind)| {
            let of_postgres = ["smallint", "integer", "bigint", "real", "double precision"];
            let numbers = ["INT", "FLOAT", "DOUBLE"];
            (is_decimal(kind)
                || of_postgres.contains(&kind.as_str())
                || numbers.iter().any(|number| kind.contains(number)))
                && !kind.contains('[')
        })
        .collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().enumerate().map(|(at, cell)| {
            let blank = " ".repeat(widths[at].saturating_sub(cell.width()));
            if numeric[at] {
                format!("{blank}{cell}")
            } else {
                format!("{cell}{blank}")
            }
        });
        format!("| {} |", padded.collect::<Vec<_>>().join(" | "))
    };
    let dashes: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let mut lines = vec![
        line(answer.columns.iter().map(|(name, _)| name.as_str()).collect()),
        format!("| {} |", dashes.join(" | ")),
    ];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_its_numbers_at_the_right_and_a_row_a_line() {
        let answer = Answer {
            columns: [("id", "INTEGER"), ("name", "VARCHAR"), ("size", "DECIMAL(5,2)")]
                .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
                .to_vec(),
            rows: vec![
                vec![Cell::Int(1), Cell::Text("größer\nals".into()), Cell::Text("2.50".into())],
                vec![Cell::Int(22), Cell::Null, Cell::Null],
            ],
            ..Answer::default()
        };
        assert_eq!(
            table(&answer),
            [
                "| id | name       | size |",
                "| -- | ---------- | ---- |",
                "|  1 | größer als | 2.50 |",
                "| 22 |            |      |",
            ]
        );
        let json =
            json!([{"id": 1, "name": "größer\nals", "size": 2.5}, {"id": 22, "name": null, "size": null}]);
        assert_eq!(Value::Array(objects(&answer)), json);
    }
}
