//! Seeds: the types of a CSV file's columns as dbt guesses them, and loading it: by DuckDB's own reader, into PostgreSQL by statements that hold many rows each.

use std::{fs, path::Path, sync::Arc};

use millstream_core::build::{Cell, RelationKind};
use serde_json::{json, Map, Value as Json};

use super::{
    build::Built, compile::SharedConnection, ddl::literal, live::Shared, planned::word, run::warehouse_failed,
};
use crate::{
    context::{
        relation::quoted,
        table::{self, Table},
    },
    csv,
    error::{ModelsError, Problem, ProblemKind, Result},
    jinja::Value,
    parse::node::Node,
    project::Adapter,
};

/// The kinds of values that are tried in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Integer,
    Number,
    Date,
    /// With a blank between date and time.
    DateTime,
    /// As ISO 8601 has it, with a `T`.
    IsoDateTime,
    Boolean,
    Text,
}

impl Kind {
    fn sql(self) -> &'static str {
        match self {
            Kind::Integer => "integer",
            Kind::Number => "float8",
            Kind::Date => "date",
            Kind::DateTime | Kind::IsoDateTime => "timestamp without time zone",
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
            Kind::IsoDateTime if has_zone(trimmed) => format!("{}::timestamptz", literal(trimmed)),
            Kind::Date | Kind::DateTime | Kind::IsoDateTime | Kind::Boolean => literal(trimmed),
            Kind::Text => literal(value),
        }
    }

    /// A value as templates see it.
    fn value(self, value: &str) -> Value {
        let trimmed = value.trim();
        if trimmed.is_empty() || trimmed.eq_ignore_ascii_case("null") {
            return Value::None;
        }
        match self {
            Kind::Integer => trimmed.parse().map_or_else(|_| Value::from(trimmed), Value::Int),
            Kind::Number => table::cell(&Cell::Text(plain_number(trimmed)), "DECIMAL"),
            Kind::Date => table::cell(&Cell::Text(trimmed.into()), "DATE"),
            Kind::DateTime | Kind::IsoDateTime => {
                table::cell(&Cell::Text(trimmed.replace('T', " ")), "TIMESTAMP")
            }
            Kind::Boolean => Value::Bool(trimmed.eq_ignore_ascii_case("true")),
            Kind::Text => Value::from(value),
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
                value.split_once(' ').is_some_and(|(date, time)| is_date(date) && is_clock(time))
            }
            Kind::IsoDateTime => {
                let (date, time) = value.split_once('T').unwrap_or_default();
                date.len() == 10 && is_date(date) && is_iso_time(time)
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

/// A number of one or two digits, up to a bound.
fn number(text: &str, max: u32) -> Option<u32> {
    let fits = matches!(text.len(), 1 | 2) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| fits && *number <= max)
}

/// `2024-2-29`: a day that there is.
fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let year = parts.next().filter(|year| year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit()));
    let year: Option<u32> = year.and_then(|year| year.parse().ok()).filter(|year| *year > 0);
    let mut part = |max| parts.next().and_then(|part| number(part, max)).filter(|part| *part > 0);
    let (Some(year), Some(month), Some(day)) = (year, part(12), part(31)) else { return false };
    let leaps = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    day <= match month {
        2 => 28 + u32::from(leaps),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// `10:30:00`, without a fraction.
fn is_clock(text: &str) -> bool {
    let parts: Vec<Option<u32>> =
        text.split(':').zip([23, 59, 61]).map(|(part, max)| number(part, max)).collect();
    parts.len() == 3 && parts.iter().all(Option::is_some) && text.matches(':').count() == 2
}

/// `10:30:00.5+02:00`: minutes, seconds, their fraction and the zone can be missing.
fn is_iso_time(text: &str) -> bool {
    let zone = text.find(['+', '-', 'Z']);
    let (time, zone) = text.split_at(zone.unwrap_or(text.len()));
    let (clock, fraction) =
        time.split_once('.').map_or((time, None), |(clock, fraction)| (clock, Some(fraction)));
    let two = |text: &str, max: u32| text.len() == 2 && number(text, max).is_some();
    let parts: Vec<&str> = clock.split(':').collect();
    let zone_fits = match zone.strip_prefix(['+', '-']) {
        Some(offset) => {
            let (hours, minutes) = offset.split_once(':').unwrap_or((offset, "00"));
            two(hours, 23) && two(minutes, 59)
        }
        None => zone.is_empty() || zone == "Z",
    };
    let fraction_fits = fraction
        .is_none_or(|fraction| !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit()));
    parts.len() <= 3
        && parts.iter().zip([23, 59, 59]).all(|(part, max)| two(part, max))
        && zone_fits
        && fraction_fits
}

/// Names of the columns, with the types that all of their values fit.
fn columns(text: &str, delimiter: char) -> std::result::Result<(Vec<(String, Kind)>, u64), String> {
    const KINDS: [Kind; 7] = [
        Kind::Integer,
        Kind::Number,
        Kind::Date,
        Kind::DateTime,
        Kind::IsoDateTime,
        Kind::Boolean,
        Kind::Text,
    ];
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
