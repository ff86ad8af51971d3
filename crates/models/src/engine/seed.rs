//! Seeds: the types of a CSV file's columns as dbt guesses them, and loading it: by DuckDB's own reader, into PostgreSQL by statements that hold many rows each.

use std::{fs, sync::Arc};

use millstream_core::build::RelationKind;
use serde_json::{json, Value as Json};

use super::{
    build::Built, compile::SharedConnection, ddl::literal, live::Shared, planned::word, run::warehouse_failed,
};
use crate::{
    context::relation::quoted,
    csv,
    error::{ModelsError, Problem, ProblemKind, Result},
    parse::node::Node,
    project::Adapter,
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

    /// A value in a statement of PostgreSQL, of what dbt reads it as.
    fn literal(self, value: &str) -> String {
        let trimmed = value.trim();
        if trimmed.is_empty() || trimmed.eq_ignore_ascii_case("null") {
            return "null".into();
        }
        match self {
            Kind::Integer | Kind::Number => literal(&plain_number(trimmed)),
            // A moment with a zone is one in the session's, in a column that has none.
            Kind::DateTime if has_zone(trimmed) => format!("{}::timestamptz", literal(trimmed)),
            Kind::Date | Kind::DateTime | Kind::Boolean => literal(trimmed),
            Kind::Text => literal(value),
        }
    }

    fn takes(self, value: &str) -> bool {
        match self {
            Kind::Integer => {
                let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
                !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit())
            }
            Kind::Number => {
                let plain = plain_number(value);
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

/// A number without what may stand about its digits.
fn plain_number(value: &str) -> String {
    let plain = value.replace(',', "");
    plain.trim_end_matches('%').trim_start_matches(['$', '€', '£']).to_owned()
}

/// Whether a moment says of which zone it is.
fn has_zone(moment: &str) -> bool {
    moment.get(10..).is_some_and(|time| time.contains(['+', '-', 'Z']))
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
            let head = format!("insert into {} ({}) values", relation.render(), names.join(", "));
            insert(&text, delimiter, &columns, &head, |sql| run(sql).map(drop)).map_err(
                |failed| match failed {
                    Inserting::Csv(message) => wrong(message).into(),
                    Inserting::Refused(error) => error,
                },
            )?
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

/// A statement with rows is sent once it is as long as this: long enough that what each costs doesn't show, short enough to be held twice.
const STATEMENT_BYTES: usize = 1 << 20;

/// Why rows could not be inserted.
enum Inserting {
    /// The file.
    Csv(String),
    /// The warehouse.
    Refused(ModelsError),
}

/// Inserts a file's rows by statements that begin with `head`, and gives the beginning of the first.
fn insert(
    text: &str,
    delimiter: char,
    columns: &[(String, Kind)],
    head: &str,
    mut run: impl FnMut(&str) -> Result<()>,
) -> std::result::Result<String, Inserting> {
    let mut statement = String::new();
    let (mut header, mut refused, mut first) = (true, None, None);
    let mut send = |statement: &mut String| -> Result<()> {
        if !statement.is_empty() {
            first.get_or_insert_with(|| statement.lines().take(2).collect::<Vec<_>>().join("\n"));
            run(statement)?;
            statement.clear();
        }
        Ok(())
    };
    let read = csv::records(text.trim_start_matches('\u{feff}'), delimiter, |_, record| {
        if std::mem::take(&mut header) {
            return Ok(());
        }
        statement.push_str(if statement.is_empty() { head } else { "," });
        statement.push_str("\n(");
        for (at, (_, kind)) in columns.iter().enumerate() {
            if at > 0 {
                statement.push(',');
            }
            // A line may end before its last columns.
            statement.push_str(&kind.literal(record.get(at).map_or("", String::as_str)));
        }
        statement.push(')');
        if statement.len() < STATEMENT_BYTES {
            return Ok(());
        }
        send(&mut statement).map_err(|error| {
            let told = error.to_string();
            refused = Some(error);
            told
        })
    });
    match (read, refused) {
        (_, Some(error)) => return Err(Inserting::Refused(error)),
        (Err(message), None) => return Err(Inserting::Csv(message)),
        (Ok(()), None) => {}
    }
    send(&mut statement).map_err(Inserting::Refused)?;
    Ok(first.unwrap_or_default())
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
