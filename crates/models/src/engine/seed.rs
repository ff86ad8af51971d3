//! Seeds: the types of a CSV file's columns, and loading it: by DuckDB's own reader, into PostgreSQL as [`super::rows`] says.

use std::{fs, path::Path, sync::Arc};

use millstream_core::build::RelationKind;
use serde_json::{json, Map, Value as Json};

use super::{
    build::Built,
    compile::SharedConnection,
    ddl::literal,
    kinds::{Kind, KINDS},
    live::Shared,
    planned::word,
    rows::Rows,
    run::warehouse_failed,
};
use crate::{
    context::{relation::quoted, table::Table},
    csv,
    error::{ModelsError, Problem, ProblemKind, Result},
    parse::node::Node,
    project::Adapter,
};

/// Names of the columns, with the types that all of their values fit.
fn columns(text: &str, delimiter: char) -> std::result::Result<(Vec<(String, Kind)>, u64), String> {
    let mut found: Option<Vec<(String, usize)>> = None;
    let mut rows = 0;
    csv::records(text.trim_start_matches('\u{feff}'), delimiter, |line, record| {
        let Some(columns) = &mut found else {
            found = Some(record.into_iter().map(|name| (name.trim().to_owned(), 0)).collect());
            return Ok(());
        };
        if record.len() > columns.len() {
            return Err(format!("line {line} has {} values, the header has {}", record.len(), columns.len()));
        }
        rows += 1;
        for ((_, kind), value) in columns.iter_mut().zip(&record) {
            while !Kind::is_null(value) && !KINDS[*kind].takes(value) {
                // What began as something else than a number starts over: each value must fit.
                *kind += 1;
            }
        }
        Ok(())
    })?;
    let columns = found.unwrap_or_default();
    // A kind that a later value moved past may not take what came before it.
    let mut kinds: Vec<Kind> = columns.iter().map(|(_, at)| KINDS[*at]).collect();
    let mut header = true;
    csv::records(text.trim_start_matches('\u{feff}'), delimiter, |_, record| {
        if std::mem::take(&mut header) {
            return Ok(());
        }
        for (kind, value) in kinds.iter_mut().zip(&record) {
            if !Kind::is_null(value) && !kind.takes(value) {
                *kind = Kind::Text;
            }
        }
        Ok(())
    })?;
    Ok((columns.into_iter().zip(kinds).map(|((name, _), kind)| (name, kind)).collect(), rows))
}

/// A seed's file as templates see it: what fits a column's type is a value of it. Columns whose types are the project's are texts.
///
/// Errors: the file can't be read, or is none.
pub(crate) fn table(
    path: &Path,
    delimiter: char,
    texts: &Map<String, Json>,
) -> std::result::Result<Table, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("can't read {}: {error}", path.display()))?;
    let (mut columns, _) = columns(&text, delimiter)?;
    for (name, kind) in &mut columns {
        if texts.contains_key(name) {
            *kind = Kind::Text;
        }
    }
    let mut rows = Vec::new();
    let mut header = true;
    csv::records(text.trim_start_matches('\u{feff}'), delimiter, |_, record| {
        if std::mem::take(&mut header) {
            return Ok(());
        }
        let value =
            |(at, (_, kind)): (usize, &(String, Kind))| kind.value(record.get(at).map_or("", String::as_str));
        rows.push(columns.iter().enumerate().map(value).collect());
        Ok(())
    })?;
    Ok(Table::of(columns.into_iter().map(|(name, kind)| (name, kind.sql().to_owned())).collect(), rows))
}

/// Loads a seed in the transaction that is open.
pub(super) fn load(shared: &Arc<Shared>, node: &Node, connection: &SharedConnection) -> Result<Built> {
    let project = &shared.manifest.world.project;
    let wrong = |message: String| {
        Problem::new(ProblemKind::Warehouse, message)
            .around(format!("in seed {} ({})", node.name, node.original_path))
    };
    let Some(package) = project.package(&node.package) else {
        return Err(wrong(format!("there is no package `{}`", node.package)).into());
    };
    let path = package.root.join(&node.original_path);
    let text =
        fs::read_to_string(&path).map_err(|source| ModelsError::Unreadable { path: path.clone(), source })?;
    let delimiter = delimiter(node);
    let dialect = shared.dialect();
    let (mut columns, rows) = columns(&text, delimiter).map_err(wrong)?;
    let relation = node.relation();
    let types = node.config.get("column_types").and_then(Json::as_object);
    for (name, kind) in &mut columns {
        // What is to have a type of the project's is read by the warehouse, as it stands.
        if types.is_some_and(|types| types.contains_key(name)) {
            *kind = Kind::Text;
        }
    }
    let quote = node.config.get("quote_columns").and_then(Json::as_bool).unwrap_or(true);
    let written = |name: &str| if quote { quoted(name) } else { name.to_owned() };
    let declared = columns.iter().map(|(name, kind)| {
        let kind =
            types.and_then(|types| types.get(name)).and_then(Json::as_str).unwrap_or_else(|| kind.sql());
        format!("{} {kind}", written(name))
    });
    let create = format!("create table {} ({})", relation.render(), declared.collect::<Vec<_>>().join(","));
    let there = shared.kind_of(node);
    let run = |sql: &str| connection.borrow_mut().run(sql).map_err(warehouse_failed);
    match there {
        Some(kind @ (RelationKind::View | RelationKind::MaterializedView)) => {
            let message = format!("{} is a {}: a seed can't replace it", relation.render(), word(kind));
            return Err(wrong(message).into());
        }
        Some(RelationKind::Table) if shared.full_refresh(node) => {
            run(&format!("drop table {} cascade", relation.render()))?;
            run(&create)?;
        }
        Some(RelationKind::Table) => {
            run(&dialect.empty(&relation))?;
        }
        None => {
            run(&create)?;
        }
    }
    let copy = match dialect {
        Adapter::DuckDb => {
            let copy = format!(
                "COPY {} FROM {} (FORMAT CSV, HEADER TRUE, DELIMITER {})",
                relation.render(),
                literal(&path.display().to_string()),
                literal(&delimiter.to_string())
            );
            run(&copy)?;
            copy
        }
        Adapter::Postgres => {
            let names: Vec<String> = columns.iter().map(|(name, _)| written(name)).collect();
            let kinds: Vec<Kind> = columns.iter().map(|(_, kind)| *kind).collect();
            let rows = Rows {
                text: text.trim_start_matches('\u{feff}'),
                delimiter,
                kinds: &kinds,
                relation: &relation,
                names: &names.join(", "),
                is_new: there.is_none() || shared.full_refresh(node),
            };
            rows.load(connection)?
        }
    };
    shared.note(node, RelationKind::Table);
    // dbt tells the one or the other by what was asked for.
    let code = if shared.full_refresh(node) { "CREATE" } else { "INSERT" };
    let message = format!("{code} {rows}");
    Ok(Built {
        response: json!({"_message": message, "code": code, "rows_affected": rows}),
        message: Some(message),
        ran: Some(format!("{create};\n{copy};")),
        ..Built::compiled()
    })
}

/// What stands between the fields of a seed.
pub(crate) fn delimiter(node: &Node) -> char {
    node.config_str("delimiter").and_then(|text| text.chars().next()).unwrap_or(',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_have_the_first_type_that_all_values_fit() {
        let text = "a,b,c,d,e,f,g,h\n1,1.5,2020-01-01,2020-01-01 10:00:00,true,x,,007\n-2,3,2021-12-31,2020-01-02 10:00:00,FALSE,\"a\nb\",null,1\n";
        let (columns, rows) = columns(text, ',').unwrap();
        let kinds: Vec<&str> = columns.iter().map(|(_, kind)| kind.sql()).collect();
        let timestamp = "timestamp without time zone";
        assert_eq!(kinds, ["integer", "float8", "date", timestamp, "boolean", "text", "integer", "integer"]);
        assert_eq!(rows, 2);
    }

    #[test]
    fn moments_are_written_in_one_of_two_ways() {
        for (values, wanted) in [
            ("2024-01-02T10:00:00.5Z,2024-01-02T10:00+02:00", Kind::IsoDateTime),
            ("2024-1-2,2024-02-29", Kind::Date),
            ("2024-1-2 1:2:3,2024-01-02 10:00:00", Kind::DateTime),
            ("2024-01-02 10:00:00,2024-01-02T10:00:00", Kind::Text),
            ("2024-01-02 10:00:00.5,2024-01-02 10:00:00", Kind::Text),
            ("2023-02-29,2024-01-01", Kind::Text),
            ("2024-01-02 10:00,2024-01-02 10:00:00", Kind::Text),
        ] {
            let (found, _) = columns(&format!("a\n{}\n", values.replace(',', "\n")), ';').unwrap();
            assert_eq!(found[0].1, wanted, "{values}");
        }
    }

    #[test]
    fn mixed_values_are_text_and_ragged_lines_are_told() {
        let (found, _) = columns("a,b\n1,2020-01-01\n2020-01-01,1\ntrue,x\n", ',').unwrap();
        assert_eq!(found.iter().map(|(_, kind)| kind.sql()).collect::<Vec<_>>(), ["text", "text"]);
        assert!(columns("a,b\n1,2\n1,2,3\n", ',').unwrap_err().contains("line 3 has 3 values"));
        assert!(columns("a\n\"x\n", ',').unwrap_err().contains("line 2"));
    }
}
