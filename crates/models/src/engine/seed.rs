//! Seeds: the types of a CSV file's columns as dbt guesses them, and loading it by the warehouse's own reader.

use std::{fs, sync::Arc};

use millstream_core::build::RelationKind;
use serde_json::{json, Value as Json};

use super::{build::Built, compile::SharedConnection, live::Shared, run::warehouse_failed};
use crate::{
    context::relation::quoted,
    csv,
    error::{ModelsError, Problem, ProblemKind, Result},
    parse::node::Node,
};

/// The kinds of values that are tried in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Integer,
    Number,
    Date,
    DateTime,
    Boolean,
    Text,
}

impl Kind {
    fn sql(self) -> &'static str {
        match self {
            Kind::Integer => "integer",
            Kind::Number => "float8",
            Kind::Date => "date",
            Kind::DateTime => "timestamp without time zone",
            Kind::Boolean => "boolean",
            Kind::Text => "text",
        }
    }

    fn takes(self, value: &str) -> bool {
        match self {
            Kind::Integer => {
                let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
                !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit())
            }
            Kind::Number => {
                let plain = value.replace(',', "");
                let plain = plain.trim_end_matches('%').trim_start_matches(['$', '€', '£']);
                let number = plain.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c));
                number && plain.parse::<f64>().is_ok()
            }
            Kind::Date => is_date(value),
            Kind::DateTime => {
                let Some((date, time)) = value.split_at_checked(10) else { return false };
                is_date(date) && is_time(time)
            }
            Kind::Boolean => value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false"),
            Kind::Text => true,
        }
    }
}

fn digits(text: &str, count: usize) -> Option<u32> {
    (text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

fn is_date(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut part = |count| parts.next().and_then(|part| digits(part, count));
    let (year, month, day) = (part(4), part(2), part(2));
    let fits = year.is_some()
        && month.is_some_and(|m| (1..=12).contains(&m))
        && day.is_some_and(|d| (1..=31).contains(&d));
    fits && parts.next().is_none()
}

fn is_time(text: &str) -> bool {
    let Some(rest) = text.strip_prefix([' ', 'T']) else { return false };
    let rest = rest.trim_end_matches('Z');
    let rest = rest.rfind(['+', '-']).map_or(rest, |at| &rest[..at]);
    let (clock, fraction) =
        rest.split_once('.').map_or((rest, None), |(clock, fraction)| (clock, Some(fraction)));
    let parts: Vec<&str> = clock.split(':').collect();
    let fits = matches!(parts.len(), 2 | 3) && parts.iter().all(|part| digits(part, 2).is_some());
    fits && fraction
        .is_none_or(|fraction| !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit()))
}

/// Names of the columns, with the types that all of their values fit.
fn columns(text: &str, delimiter: char) -> std::result::Result<(Vec<(String, Kind)>, u64), String> {
    const KINDS: [Kind; 6] =
        [Kind::Integer, Kind::Number, Kind::Date, Kind::DateTime, Kind::Boolean, Kind::Text];
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
            let value = value.trim();
            let is_null = value.is_empty() || value.eq_ignore_ascii_case("null");
            while !is_null && !KINDS[*kind].takes(value) {
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
            let value = value.trim();
            if !value.is_empty() && !value.eq_ignore_ascii_case("null") && !kind.takes(value) {
                *kind = Kind::Text;
            }
        }
        Ok(())
    })?;
    Ok((columns.into_iter().zip(kinds).map(|((name, _), kind)| (name, kind)).collect(), rows))
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
    let (columns, rows) = columns(&text, delimiter).map_err(wrong)?;
    let relation = node.relation();
    let types = node.config.get("column_types").and_then(Json::as_object);
    let quote = node.config.get("quote_columns").and_then(Json::as_bool).unwrap_or(true);
    let declared = columns.iter().map(|(name, kind)| {
        let kind =
            types.and_then(|types| types.get(name)).and_then(Json::as_str).unwrap_or_else(|| kind.sql());
        format!("{} {kind}", if quote { quoted(name) } else { name.clone() })
    });
    let create = format!("create table {} ({})", relation.render(), declared.collect::<Vec<_>>().join(","));
    let there = shared.kind(&node.schema, &node.alias);
    let run = |sql: &str| connection.borrow_mut().run(sql).map_err(warehouse_failed);
    match there {
        Some(RelationKind::View) => {
            return Err(wrong(format!("{} is a view: a seed can't replace it", relation.render())).into());
        }
        Some(RelationKind::Table) if shared.full_refresh(node) => {
            run(&format!("drop table {} cascade", relation.render()))?;
            run(&create)?;
        }
        Some(RelationKind::Table) => {
            run(&format!("delete from {} where true", relation.render()))?;
        }
        None => {
            run(&create)?;
        }
    }
    let literal = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let copy = format!(
        "COPY {} FROM {} (FORMAT CSV, HEADER TRUE, DELIMITER {})",
        relation.render(),
        literal(&path.display().to_string()),
        literal(&delimiter.to_string())
    );
    run(&copy)?;
    shared.note(&node.schema, &node.alias, Some(RelationKind::Table));
    let message = format!("INSERT {rows}");
    Ok(Built {
        response: json!({"_message": message, "code": "INSERT", "rows_affected": rows}),
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
        let text = "a,b,c,d,e,f,g,h\n1,1.5,2020-01-01,2020-01-01 10:00:00,true,x,,007\n-2,3,2021-12-31,2020-01-01T10:00:00Z,FALSE,\"a\nb\",null,1\n";
        let (columns, rows) = columns(text, ',').unwrap();
        let kinds: Vec<&str> = columns.iter().map(|(_, kind)| kind.sql()).collect();
        let timestamp = "timestamp without time zone";
        assert_eq!(kinds, ["integer", "float8", "date", timestamp, "boolean", "text", "integer", "integer"]);
        assert_eq!(rows, 2);
    }

    #[test]
    fn mixed_values_are_text_and_ragged_lines_are_told() {
        let (found, _) = columns("a,b\n1,2020-01-01\n2020-01-01,1\ntrue,x\n", ',').unwrap();
        assert_eq!(found.iter().map(|(_, kind)| kind.sql()).collect::<Vec<_>>(), ["text", "text"]);
        assert!(columns("a,b\n1,2\n1,2,3\n", ',').unwrap_err().contains("line 3 has 3 values"));
        assert!(columns("a\n\"x\n", ',').unwrap_err().contains("line 2"));
    }
}
