//! Comparing a table of the record with what the warehouse says of it.
//!
//! Columns are matched by what they are, not by what they are called: the warehouse answers with today's names. A column that did not exist
//! at the position, or does not any more, has no value to compare. Where a column has changed its type, or the warehouse had to widen
//! it to text, a number is a number however it is spelled, and an array is an array.

use std::collections::BTreeMap;

use super::json::{number, Json};
use super::{Column, TableContent};
use crate::{Error, Result};

/// As much of a row as helps in a message.
const ROW_CHARACTERS_MAX: usize = 600;
/// As many rows of each kind.
const ROWS_SHOWN_MAX: usize = 3;

/// Compares the table with an answer of `millstream sql --json "SELECT * …"`, whose columns are those of `now`.
///
/// # Errors
/// The rows that are on one side only.
pub fn compare(then: &TableContent, now: &[Column], answer: &str) -> Result<()> {
    let Json::Array(answer) = Json::parse(answer)? else { return Err(Error::new("the answer is no array")) };
    let shared: Vec<Shared> = then
        .columns
        .iter()
        .filter_map(|column| Some((column, now.iter().find(|other| other.attnum == column.attnum)?)))
        .map(|(then, now)| Shared {
            then: &then.name,
            now: &now.name,
            form: Form::of(&then.type_name, &now.type_name),
        })
        .collect();
    let mut balance: BTreeMap<Vec<Json>, i64> = BTreeMap::new();
    for (row, count) in &then.rows {
        let Json::Object(mut row) = Json::parse(row)? else { return Err(Error::new("a row is no object")) };
        let key = key(&shared, |shared| row.remove(shared.then))?;
        *balance.entry(key).or_default() += i64::try_from(*count).unwrap_or(i64::MAX);
    }
    for row in answer {
        let Json::Object(mut row) = row else { return Err(Error::new("a row of the answer is no object")) };
        if row.len() != now.len() {
            let names: Vec<_> = row.keys().collect();
            return Err(Error::new(format!("the answer has the columns {names:?} instead of {now:?}")));
        }
        let key = key(&shared, |shared| row.remove(shared.now))?;
        *balance.entry(key).or_default() -= 1;
    }
    let side = |sign: i64| balance.iter().filter(move |(_, count)| **count * sign > 0);
    let (missing, extra) = (side(1).count(), side(-1).count());
    if missing + extra == 0 {
        return Ok(());
    }
    let shown = |sign: i64| -> String {
        let rows = side(sign).take(ROWS_SHOWN_MAX);
        rows.map(|(row, count)| format!("\n  {} × {}", count.abs(), told(&shared, row, side(-sign))))
            .collect()
    };
    Err(Error::new(format!(
        "{missing} different rows are at the source only:{}\n{extra} are in the warehouse only:{}",
        shown(1),
        shown(-1)
    )))
}

/// A row for people: against the row of the other side that is nearest to it, only what differs and the first column.
fn told<'a>(
    shared: &[Shared<'_>],
    row: &[Json],
    others: impl Iterator<Item = (&'a Vec<Json>, &'a i64)>,
) -> String {
    let differs = |other: &[Json]| (0..row.len()).filter(|&i| row[i] != other[i]).collect::<Vec<_>>();
    let nearest = others.map(|(other, _)| differs(other)).min_by_key(Vec::len);
    let columns = match nearest {
        Some(columns) if columns.len() * 2 < row.len() => columns,
        _ => (0..row.len()).collect(),
    };
    let first = columns.first().is_none_or(|first| *first > 0).then_some(0);
    let values = first.into_iter().chain(columns);
    short(&values.map(|i| format!("{}={:?} ", shared[i].now, row[i])).collect::<String>())
}

struct Shared<'a> {
    then: &'a str,
    now: &'a str,
    form: Form,
}

/// How a column's values are brought to one form: widened to text, they are spelled as PostgreSQL's output has them.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Form {
    /// Arrays may be spelled as a literal.
    array: bool,
    scalar: Scalar,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scalar {
    AsIs,
    /// Numbers may be spelled as text.
    Number,
    /// Times may be spelled without the `T` and the minutes of their zone.
    Moment,
}

impl Form {
    fn of(then: &str, now: &str) -> Self {
        let begins = |names: &[&str]| names.iter().any(|known| then.starts_with(known));
        let numbers =
            ["smallint", "integer", "bigint", "numeric", "real", "double precision", "oid", "price"];
        let scalar = match () {
            () if begins(&["timestamp"]) => Scalar::Moment,
            () if then != now || begins(&numbers) => Scalar::Number,
            () => Scalar::AsIs,
        };
        Self { array: then.ends_with("[]"), scalar }
    }

    fn apply(self, value: Json) -> Json {
        match value {
            Json::Text(text) if self.array && (text.starts_with('{') || text.starts_with('[')) => {
                match literal(&text) {
                    Some(array) => self.apply(array),
                    None => Json::Text(text),
                }
            }
            Json::Array(items) if self.array || self.scalar != Scalar::AsIs => {
                Json::Array(items.into_iter().map(|item| self.apply(item)).collect())
            }
            Json::Text(text) => match self.scalar {
                Scalar::AsIs => Json::Text(text),
                Scalar::Number => Json::Text(number(&text).unwrap_or(text)),
                Scalar::Moment => Json::Text(moment(&text)),
            },
            Json::Number(text) if self.array || self.scalar != Scalar::AsIs => Json::Text(text),
            Json::Bool(value) if self.array => Json::Text(if value { "t" } else { "f" }.into()),
            value => value,
        }
    }
}

/// `2024-01-02T03:04:05+00:00 BC` and `2024-01-02 03:04:05+00 BC` are one.
fn moment(text: &str) -> String {
    let (body, era) = text.strip_suffix(" BC").map_or((text, ""), |body| (body, " BC"));
    let body = body.replacen('T', " ", 1);
    let zone = body.len().checked_sub(6).and_then(|at| body.get(at..));
    let whole_hour = zone.is_some_and(|zone| zone.starts_with(['+', '-']) && zone.ends_with(":00"));
    let body = if whole_hour { &body[..body.len() - 3] } else { &body };
    format!("{body}{era}")
}

fn key<'a>(shared: &[Shared<'a>], mut take: impl FnMut(&Shared<'a>) -> Option<Json>) -> Result<Vec<Json>> {
    let value = |column: &Shared<'a>| {
        let value = take(column).ok_or_else(|| Error::new(format!("a row has no column {}", column.now)))?;
        Ok(column.form.apply(value))
    };
    shared.iter().map(value).collect()
}

/// PostgreSQL's array literal (documentation, "Array Input and Output Syntax"), lower bounds ignored as `to_jsonb` does.
fn literal(text: &str) -> Option<Json> {
    let text = if text.starts_with('[') { text.split_once('=')?.1 } else { text };
    let mut characters = text.chars().peekable();
    let value = literal_array(&mut characters)?;
    characters.next().is_none().then_some(value)
}

fn literal_array(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Json> {
    characters.next_if_eq(&'{')?;
    let mut items = Vec::new();
    if characters.next_if_eq(&'}').is_some() {
        return Some(Json::Array(items));
    }
    loop {
        items.push(match characters.peek()? {
            '{' => literal_array(characters)?,
            '"' => {
                characters.next();
                let mut text = String::new();
                loop {
                    match characters.next()? {
                        '"' => break Json::Text(text),
                        '\\' => text.push(characters.next()?),
                        character => text.push(character),
                    }
                }
            }
            _ => {
                let mut text = String::new();
                while let Some(character) = characters.next_if(|character| !matches!(character, ',' | '}')) {
                    text.push(character);
                }
                if text.eq_ignore_ascii_case("null") {
                    Json::Null
                } else {
                    Json::Text(text)
                }
            }
        });
        match characters.next()? {
            ',' => {}
            '}' => return Some(Json::Array(items)),
            _ => return None,
        }
    }
}

/// The columns of a record of kind `C`.
pub(super) fn columns(text: &str) -> Result<Vec<Column>> {
    let Json::Array(items) = Json::parse(text)? else { return Err(Error::new("columns are no array")) };
    items
        .into_iter()
        .map(|item| {
            let Json::Object(mut item) = item else { return Err(Error::new("a column is no object")) };
            let (Some(Json::Text(name)), Some(Json::Text(type_name)), Some(Json::Number(attnum))) =
                (item.remove("name"), item.remove("type"), item.remove("attnum"))
            else {
                return Err(Error::new("a column lacks its name, type or number"));
            };
            let (digits, zeros) = attnum.split_once('e').unwrap_or((&attnum, "0"));
            let zeros = zeros.parse().map_err(Error::during("attnum"))?;
            let attnum = digits.parse::<i64>().map_err(Error::during("attnum"))? * 10_i64.pow(zeros);
            Ok(Column { attnum, name, type_name })
        })
        .collect()
}

/// The elements of a JSON array of objects, each as it is printed there.
pub(super) fn elements(text: &str) -> Result<Vec<String>> {
    let mut elements = Vec::new();
    let (mut depth, mut quoted, mut escaped, mut start) = (0_u32, false, false, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => {
                depth += 1;
                if depth == 2 {
                    start = at;
                }
            }
            b'}' | b']' => {
                if depth == 2 {
                    elements.push(text[start..=at].to_owned());
                }
                depth = depth.checked_sub(1).ok_or_else(|| Error::new("unbalanced rows"))?;
            }
            _ => {}
        }
    }
    Ok(elements)
}

/// The beginning of a row, for messages.
pub(super) fn short(text: &str) -> String {
    text.chars().take(ROW_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[&str]) -> TableContent {
        let columns = columns(
            r#"[{"attnum": 1, "name": "id", "type": "integer"}, {"attnum": 10, "name": "old", "type": "integer[]"}, {"attnum": 3, "name": "gone", "type": "text"}]"#,
        );
        let mut table = TableContent { columns: columns.unwrap(), ..Default::default() };
        for row in rows {
            *table.rows.entry((*row).to_owned()).or_default() += 1;
        }
        table
    }

    fn now() -> Vec<Column> {
        let column = |attnum, name: &str, type_name: &str| Column {
            attnum,
            name: name.into(),
            type_name: type_name.into(),
        };
        vec![column(1, "id", "bigint"), column(10, "renamed", "integer[]"), column(20, "added", "text")]
    }

    #[test]
    fn what_the_columns_mean_is_compared() {
        let then = table(&[
            r#"{"id": 1, "old": [[1, 2]], "gone": "x"}"#,
            r#"{"id": 2, "old": [null], "gone": "y"}"#,
        ]);
        compare(&then, &now(), r#"[{"id":2,"renamed":[null],"added":"z"},{"id":"1.0","renamed":"[0:0][1:2]={{1,2}}","added":null}]"#)
            .unwrap();
    }

    #[test]
    fn moments_are_equal_however_they_are_spelled() {
        assert_eq!(moment("0044-03-15T12:00:00+00:00 BC"), moment("0044-03-15 12:00:00+00 BC"));
        assert_eq!(moment("2024-01-02T03:04:05.5"), moment("2024-01-02 03:04:05.5"));
        assert_ne!(moment("2024-01-02T03:04:05+05:30"), moment("2024-01-02 03:04:05+05"));
        assert_eq!(moment("infinity"), "infinity");
    }

    #[test]
    fn a_row_too_many_a_row_too_few_and_a_value_that_differs_are_told() {
        let then = table(&[r#"{"id": 1, "old": [1], "gone": "x"}"#, r#"{"id": 1, "old": [1], "gone": "x"}"#]);
        for answer in [
            r#"[{"id":1,"renamed":[1],"added":null}]"#,
            r#"[{"id":1,"renamed":[1],"added":null},{"id":1,"renamed":[1],"added":null},{"id":1,"renamed":[1],"added":null}]"#,
            r#"[{"id":1,"renamed":[1],"added":null},{"id":1,"renamed":[2],"added":null}]"#,
            r#"[{"id":1,"renamed":[1],"added":null},{"id":1,"renamed":[1]}]"#,
            "[]",
        ] {
            assert!(compare(&then, &now(), answer).is_err(), "{answer}");
        }
    }

    #[test]
    fn rows_of_an_array_are_split_where_they_end() {
        let text = r#"[{"a": "}, {\"", "b": [{"c": 1}]}, {"a": null}]"#;
        assert_eq!(elements(text).unwrap(), [r#"{"a": "}, {\"", "b": [{"c": 1}]}"#, r#"{"a": null}"#]);
        assert_eq!(elements("[]").unwrap(), [""; 0]);
    }
}
