//! Tables as agate prints them, and its types of columns.

use std::any::Any;

use super::{
    decimal::{self, Decimal},
    json::readable,
    modules::{unsupported, Moment},
    table::Table,
};
use crate::jinja::{fail, Args, Eval, Interpreter, Object, Value};

/// What stands for what was cut.
const CUT: &str = "...";

/// What agate takes a column for: the first type that all of its values are of.
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
    fn of<'v>(values: impl Iterator<Item = &'v Value> + Clone) -> Self {
        let is = |kind: &Kind, value: &Value| match (kind, value) {
            (_, nothing) if nothing.is_nothing() => true,
            (Kind::Integer | Kind::Number, Value::Int(_)) | (Kind::Number, Value::Float(_)) => true,
            (Kind::Boolean, value) => matches!(value, Value::Bool(_)),
            (Kind::Number, value) => value.downcast::<Decimal>().is_some(),
            (Kind::Date, value) => value.downcast::<Moment>().is_some_and(Moment::is_date),
            (Kind::DateTime, value) => value.downcast::<Moment>().is_some(),
            (kind, _) => *kind == Kind::Text,
        };
        [Kind::Integer, Kind::Number, Kind::Date, Kind::DateTime, Kind::Boolean]
            .into_iter()
            .find(|kind| values.clone().all(|value| is(kind, value)))
            .unwrap_or(Kind::Text)
    }
}

/// `table.column_types[0]`.
struct ColumnType(Kind);

impl Object for ColumnType {
    fn type_name(&self) -> &'static str {
        match self.0 {
            Kind::Integer => "Integer",
            Kind::Number => "Number",
            Kind::Date => "Date",
            Kind::DateTime => "DateTime",
            Kind::Boolean => "Boolean",
            Kind::Text => "Text",
        }
    }

    fn call_method(&self, interpreter: &Interpreter, name: &str, args: Args) -> Eval<Value> {
        if !matches!(name, "jsonify" | "csvify") {
            return fail(format!("a type of columns has no method `{name}`"));
        }
        let [value] = args.bind(name, ["d"])?;
        let value = value.unwrap_or(Value::None);
        if value.is_nothing() {
            return Ok(Value::None);
        }
        Ok(match self.0 {
            Kind::Date | Kind::DateTime => value.method(interpreter, "isoformat", Args::default())?,
            Kind::Integer | Kind::Boolean if name == "jsonify" => value,
            Kind::Number if name == "jsonify" => {
                value.as_float().map_or(Value::from(value.to_string()), Value::Float)
            }
            _ => Value::from(value.to_string()),
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The types of a table's columns.
pub(super) fn types(table: &Table) -> Value {
    Value::tuple(kinds(table).into_iter().map(|kind| Value::object(ColumnType(kind))))
}

fn kinds(table: &Table) -> Vec<Kind> {
    (0..table.names().len()).map(|at| Kind::of(table.cells().iter().map(move |row| &row[at]))).collect()
}

/// How much of a table is printed; `None`: all.
struct Bounds {
    rows: Option<usize>,
    columns: Option<usize>,
    width: Option<usize>,
    places: Option<i64>,
}

/// `print_table()`, `print_csv()` and `print_json()`: the text that they print.
pub(super) fn text(table: &Table, interpreter: &Interpreter, name: &str, args: Args) -> Eval<String> {
    match name {
        "print_table" => {
            let [rows, columns, output, width, locale, places] = args.bind(
                name,
                ["max_rows", "max_columns", "output", "max_column_width", "locale", "max_precision"],
            )?;
            if output.or(locale).is_some_and(|value| !value.is_nothing()) {
                return Err(unsupported("print_table() with `output` or `locale`".into()));
            }
            let bound = |value: Option<Value>, unsaid: i64| match value {
                None => Some(unsaid),
                Some(value) => value.as_int(),
            };
            let count = |value, unsaid| bound(value, unsaid).map(|bound| usize::try_from(bound).unwrap_or(0));
            Ok(in_lines(
                table,
                &Bounds {
                    rows: count(rows, 20),
                    columns: count(columns, 6),
                    width: count(width, 20),
                    places: bound(places, 3),
                },
            ))
        }
        _ if !(args.positional.is_empty() && args.named.is_empty()) => {
            Err(unsupported(format!("{name}() with arguments")))
        }
        "print_csv" => csv(table, interpreter),
        _ => json(table, interpreter),
    }
}

fn cut(text: String, width: Option<usize>) -> String {
    match width {
        Some(width) if text.chars().count() > width => {
            text.chars().take(width.saturating_sub(CUT.len())).chain(CUT.chars()).collect()
        }
        _ => text,
    }
}

/// With bars between the columns, as Markdown has tables.
fn in_lines(table: &Table, bounds: &Bounds) -> String {
    let (names, rows) = (table.names(), table.cells());
    let shown = &rows[..rows.len().min(bounds.rows.unwrap_or(usize::MAX))];
    let width = names.len().min(bounds.columns.unwrap_or(usize::MAX));
    let kinds = kinds(table);
    let mut lines: Vec<Vec<String>> =
        vec![names[..width].iter().map(|name| cut(name.clone(), bounds.width)).collect()];
    // Numbers of a column have as many places as the one that needs most of them.
    let places: Vec<Option<(i64, bool)>> = (0..width)
        .map(|at| {
            let needed =
                shown.iter().filter_map(|row| decimal::of(&row[at])).map(|number| number.places()).max();
            let needed = needed.unwrap_or(0);
            let most = bounds.places.unwrap_or(i64::MAX);
            (kinds[at] == Kind::Number).then_some((needed.min(most), needed > most))
        })
        .collect();
    for row in shown {
        let cells = row[..width].iter().zip(&places).map(|(value, places)| {
            let text = match (places, decimal::of(value)) {
                _ if value.is_nothing() => String::new(),
                (Some((places, is_cut)), Some(number)) => {
                    let end = if *is_cut { "…" } else { "" };
                    number.grouped(*places).map_or_else(|| value.to_string(), |text| text + end)
                }
                _ => value.to_string(),
            };
            cut(text, bounds.width)
        });
        lines.push(cells.collect());
    }
    if width < names.len() {
        lines.iter_mut().for_each(|line| line.push(CUT.into()));
    }
    let columns = lines[0].len();
    let widths: Vec<usize> = (0..columns)
        .map(|at| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or_default())
        .collect();
    if shown.len() < rows.len() {
        lines.push(vec![CUT.into(); columns]);
    }
    let mut out = String::new();
    for (number, line) in lines.iter().enumerate() {
        let cells = line.iter().zip(&widths).enumerate().map(|(at, (cell, width))| {
            let blanks = " ".repeat(width.saturating_sub(cell.chars().count()));
            match kinds[at] {
                Kind::Text => format!(" {cell}{blanks} "),
                _ => format!(" {blanks}{cell} "),
            }
        });
        out.push_str(&format!("|{}|\n", cells.collect::<Vec<_>>().join("|")));
        if number == 0 {
            let bars: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            out.push_str(&format!("| {} |\n", bars.join(" | ")));
        }
    }
    out.truncate(out.trim_end_matches('\n').len());
    out
}

/// The values of each row, as its columns' types write them.
fn written(table: &Table, interpreter: &Interpreter, how: &str) -> Eval<Vec<Vec<Value>>> {
    let kinds = kinds(table);
    let one = |(value, kind): (&Value, &Kind)| {
        ColumnType(*kind).call_method(interpreter, how, Args::of([value.clone()]))
    };
    table.cells().iter().map(|row| row.iter().zip(&kinds).map(one).collect()).collect()
}

fn csv(table: &Table, interpreter: &Interpreter) -> Eval<String> {
    let field = |text: String| match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    };
    let mut lines = vec![table.names().to_vec()];
    for row in written(table, interpreter, "csvify")? {
        let texts =
            row.iter().map(|value| if value.is_nothing() { String::new() } else { value.to_string() });
        lines.push(texts.collect());
    }
    let lines: Vec<String> = lines
        .into_iter()
        .map(|line| {
            // A line with nothing in it would be none.
            match line.len() == 1 && line[0].is_empty() {
                true => "\"\"".into(),
                false => line.into_iter().map(field).collect::<Vec<_>>().join(","),
            }
        })
        .collect();
    Ok(lines.join("\n"))
}

fn json(table: &Table, interpreter: &Interpreter) -> Eval<String> {
    let names = table.names();
    let rows = written(table, interpreter, "jsonify")?;
    let rows =
        rows.into_iter().map(|row| Value::dict(names.iter().map(|name| Value::from(name.as_str())).zip(row)));
    Ok(readable(&Value::list(rows).to_json()))
}
