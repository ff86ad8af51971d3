//! A table's rows by filters in an address, in PostgREST's grammar: `?status=eq.OPEN&order=id.desc&select=id,status`. Pure.
//!
//! Names are looked up among the table's columns and values are parameters: nothing that a client sent gets into the statement's text.

mod grid;
pub mod pattern;

use millstream_core::Parameter;

pub use grid::Grid;

use crate::problem::Problem;

/// A table or view, as far as reading it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Its schema in the warehouse.
    pub schema: String,
    /// Its name in the warehouse.
    pub name: String,
    /// Its columns: names, and the warehouse's names of their types.
    pub columns: Vec<(String, String)>,
    /// The columns of its key; they settle the order of rows that are otherwise equal.
    pub key: Vec<String>,
}

/// What a relation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelationKind {
    /// A replicated table.
    Table,
    /// The history of one.
    History,
    /// A view of the project's own.
    View,
    /// A table of the project's own: it holds what it was last made of.
    Held,
}

impl RelationKind {
    /// Its name in documents.
    pub fn name(self) -> &'static str {
        match self {
            RelationKind::Table => "table",
            RelationKind::History => "history",
            RelationKind::View | RelationKind::Held => "model",
        }
    }
}

/// A statement and its parameters.
pub type Statement = (String, Vec<(String, Parameter)>);

/// Parameters that are not columns.
pub const RESERVED: [&str; 9] =
    ["select", "order", "and", "or", "not.and", "not.or", "limit", "offset", "cursor"];

/// The point to read at; a column of the name is filtered by `and=(as_of.eq.…)`.
const AS_OF: &str = "as_of";

/// Nested conditions are read to this depth.
const DEPTH_MAX: usize = 16;

/// Conditions of one request.
const CONDITIONS_MAX: usize = 200;

/// Values of one `in.(…)`.
const LIST_MAX: usize = 1_000;

impl Relation {
    /// Where its rows are read.
    pub fn path(&self) -> String {
        format!("/tables/{}/{}", segment(&self.schema), segment(&self.name))
    }

    /// The statement for what was given.
    pub fn statement(&self, given: &[(String, String)]) -> Result<Statement, Problem> {
        let mut building = Building { relation: self, parameters: Vec::new(), conditions: 0 };
        let mut select = None;
        let mut order = None;
        let mut conditions = Vec::new();
        for (name, text) in given {
            match name.as_str() {
                "select" => select = Some(building.select(text)?),
                "order" => order = Some(building.order(text)?),
                "and" | "or" | "not.and" | "not.or" => {
                    let (not, word) =
                        name.strip_prefix("not.").map_or((false, name.as_str()), |word| (true, word));
                    let group = building.group(name, word, text, 0)?;
                    conditions.push(if not { format!("NOT {group}") } else { group });
                }
                "limit" | "offset" | "cursor" | AS_OF => {}
                column => conditions.push(building.condition(column, text)?),
            }
        }
        let mut sql = format!(
            "SELECT {} FROM {}.{}",
            select.unwrap_or_else(|| "*".to_owned()),
            quoted(&self.schema),
            quoted(&self.name)
        );
        if !conditions.is_empty() {
            sql.push_str(" WHERE ");
            sql.push_str(&conditions.join(" AND "));
        }
        let mut terms: Vec<String> = order.into_iter().flatten().collect();
        terms.extend(self.key.iter().map(|column| quoted(column)));
        if !terms.is_empty() {
            sql.push_str(" ORDER BY ");
            sql.push_str(&terms.join(", "));
        }
        Ok((sql, building.parameters))
    }

    fn column(&self, name: &str) -> Result<&(String, String), Problem> {
        self.columns.iter().find(|(column, _)| column == name).ok_or_else(|| {
            let columns = self.columns.iter().map(|(name, _)| name.as_str());
            Problem::unknown_parameter(name, columns.chain(RESERVED).chain([AS_OF]))
        })
    }
}

/// A name as a segment of a path.
fn segment(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC)
        .to_string()
        .replace("%5F", "_")
        .replace("%2D", "-")
        .replace("%2E", ".")
}

/// A name as SQL writes it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

struct Building<'a> {
    relation: &'a Relation,
    parameters: Vec<(String, Parameter)>,
    conditions: usize,
}

impl Building<'_> {
    /// `a,shown:b`.
    fn select(&self, text: &str) -> Result<String, Problem> {
        let mut items = Vec::new();
        for item in split(text) {
            if item == "*" {
                items.push("*".to_owned());
                continue;
            }
            let (shown, name) =
                item.split_once(':').map_or((None, item.as_str()), |(shown, name)| (Some(shown), name));
            let column = quoted(&self.relation.column(&unquoted(name))?.0);
            items.push(match shown {
                Some(shown) => format!("{column} AS {}", quoted(&unquoted(shown))),
                None => column,
            });
        }
        if items.is_empty() {
            return Err(Problem::parameter("select", "columns such as id,status", text));
        }
        Ok(items.join(", "))
    }

    /// `a.desc.nullslast,b`.
    fn order(&self, text: &str) -> Result<Vec<String>, Problem> {
        let expected = "columns such as id.desc,status.asc.nullslast";
        let wrong = || Problem::parameter("order", expected, text);
        let items = split(text);
        if items.is_empty() {
            return Err(wrong());
        }
        items
            .iter()
            .map(|item| {
                let mut words: Vec<&str> = item.split('.').collect();
                let nulls = match words.last().copied() {
                    Some("nullsfirst") => Some(" NULLS FIRST"),
                    Some("nullslast") => Some(" NULLS LAST"),
                    _ => None,
                };
                if nulls.is_some() {
                    words.pop();
                }
                let direction = match words.last().copied() {
                    Some("asc") if words.len() > 1 => Some(" ASC"),
                    Some("desc") if words.len() > 1 => Some(" DESC"),
                    _ => None,
                };
                if direction.is_some() {
                    words.pop();
                }
                let column = self.relation.column(&unquoted(&words.join("."))).map_err(|_| wrong())?;
                Ok(format!("{}{}{}", quoted(&column.0), direction.unwrap_or(""), nulls.unwrap_or("")))
            })
            .collect()
    }

    /// `(a.eq.1,not.or(b.lt.2,c.is.null))`.
    fn group(&mut self, name: &str, word: &str, text: &str, depth: usize) -> Result<String, Problem> {
        let expected = "conditions such as (status.eq.OPEN,id.gt.10)";
        let wrong = || Problem::parameter(name, expected, text);
        let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).ok_or_else(wrong)?;
        if depth == DEPTH_MAX {
            return Err(Problem::parameter(name, format!("nested at most {DEPTH_MAX} deep"), text));
        }
        let mut conditions = Vec::new();
        for item in split(inner) {
            let (not, item) = item.strip_prefix("not.").map_or((false, item.as_str()), |item| (true, item));
            let nested = ["and", "or"]
                .into_iter()
                .find(|word| item.strip_prefix(word).is_some_and(|rest| rest.starts_with('(')));
            let condition = match nested {
                Some(word) => self.group(name, word, &item[word.len()..], depth + 1)?,
                None => {
                    let (column, rest) = column_of(item).ok_or_else(wrong)?;
                    self.condition(&unquoted(column), rest)?
                }
            };
            conditions.push(if not { format!("NOT ({condition})") } else { condition });
        }
        if conditions.is_empty() {
            return Err(wrong());
        }
        let word = if word == "or" { " OR " } else { " AND " };
        Ok(format!("({})", conditions.join(word)))
    }

    /// `eq.OPEN`, `not.in.(1,2)`.
    fn condition(&mut self, column: &str, text: &str) -> Result<String, Problem> {
        let (name, of) = self.relation.column(column)?.clone();
        self.conditions += 1;
        if self.conditions > CONDITIONS_MAX {
            return Err(Problem::malformed(format!("there are more than {CONDITIONS_MAX} conditions")));
        }
        let expected =
            "an operator and a value, such as eq.OPEN, gte.10, in.(1,2), like.A*, is.null, not.eq.1";
        let wrong = || Problem::parameter(column, expected, text);
        let (not, rest) = text.strip_prefix("not.").map_or((false, text), |rest| (true, rest));
        let (operator, value) = rest.split_once('.').ok_or_else(wrong)?;
        let left = quoted(&name);
        let comparison = match operator {
            "eq" => Some("="),
            "neq" => Some("<>"),
            "gt" => Some(">"),
            "gte" => Some(">="),
            "lt" => Some("<"),
            "lte" => Some("<="),
            _ => None,
        };
        let condition = match (comparison, operator) {
            (Some(comparison), _) => format!("{left} {comparison} {}", self.value(column, &of, value)?),
            (None, "like" | "ilike") => {
                let operator = operator.to_uppercase();
                let pattern = Parameter::Text(value.replace('*', "%"));
                format!("CAST({left} AS VARCHAR) {operator} {}", self.parameter(pattern))
            }
            (None, "in") => {
                let list =
                    value.strip_prefix('(').and_then(|list| list.strip_suffix(')')).ok_or_else(wrong)?;
                let items = split(list);
                if items.is_empty() {
                    // PostgreSQL has no empty list either; nothing is in it.
                    "false".to_owned()
                } else if items.len() > LIST_MAX {
                    return Err(Problem::parameter(column, format!("at most {LIST_MAX} values"), "more"));
                } else {
                    let values: Vec<String> = items
                        .iter()
                        .map(|item| self.value(column, &of, &unquoted(item)))
                        .collect::<Result<_, _>>()?;
                    format!("{left} IN ({})", values.join(", "))
                }
            }
            (None, "is") => match value {
                "null" => format!("{left} IS NULL"),
                "not_null" => format!("{left} IS NOT NULL"),
                "true" | "false" if of == "BOOLEAN" => format!("{left} IS {value}"),
                _ => {
                    return Err(Problem::parameter(column, "is.null, is.not_null, is.true or is.false", text))
                }
            },
            _ => return Err(wrong()),
        };
        Ok(if not { format!("NOT ({condition})") } else { condition })
    }

    /// A value of the column's type.
    fn value(&mut self, column: &str, of: &str, text: &str) -> Result<String, Problem> {
        let wrong = |expected: &str| Problem::parameter(column, expected, text);
        let whole = [
            "TINYINT",
            "SMALLINT",
            "INTEGER",
            "BIGINT",
            "UTINYINT",
            "USMALLINT",
            "UINTEGER",
            "UBIGINT",
            "HUGEINT",
        ];
        let parameter = if whole.contains(&of) {
            // Beyond 64 bits only HUGEINT goes, as its text.
            match text.parse::<i64>() {
                Ok(number) => Parameter::Integer(number),
                Err(_) if text.parse::<i128>().is_ok() => Parameter::Text(text.to_owned()),
                Err(_) => return Err(wrong("a whole number")),
            }
        } else if ["FLOAT", "DOUBLE"].contains(&of) {
            Parameter::Double(text.parse().map_err(|_| wrong("a number"))?)
        } else if of == "BOOLEAN" {
            Parameter::Boolean(text.parse().map_err(|_| wrong("true or false"))?)
        } else {
            Parameter::Text(text.to_owned())
        };
        let of = if of == "UNKNOWN" { "VARCHAR" } else { of };
        Ok(match parameter {
            // A number is compared as it is: one that the column can't hold equals none of its values.
            Parameter::Integer(_) | Parameter::Double(_) | Parameter::Boolean(_) => self.parameter(parameter),
            _ => format!("CAST({} AS {of})", self.parameter(parameter)),
        })
    }

    fn parameter(&mut self, value: Parameter) -> String {
        let name = format!("p{}", self.parameters.len() + 1);
        let place = format!("${name}");
        self.parameters.push((name, value));
        place
    }
}

/// The parts of a list; commas within quotes and parentheses do not part.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut depth, mut in_quotes, mut escaped) = (0usize, false, false);
    for c in text.chars() {
        if c == ',' && depth == 0 && !in_quotes {
            parts.push(String::new());
            continue;
        }
        match c {
            _ if escaped => escaped = false,
            '\\' if in_quotes => escaped = true,
            '"' => in_quotes = !in_quotes,
            '(' if !in_quotes => depth += 1,
            ')' if !in_quotes => depth = depth.saturating_sub(1),
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    if parts == [""] {
        parts.clear();
    }
    parts
}

/// A text without the quotes around it.
fn unquoted(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut plain = String::new();
    let mut escaped = false;
    for c in inner.chars() {
        if c == '\\' && !escaped {
            escaped = true;
            continue;
        }
        escaped = false;
        plain.push(c);
    }
    plain
}

/// The column and the condition of `column.eq.1`; a column's name with a dot is quoted.
fn column_of(item: &str) -> Option<(&str, &str)> {
    if !item.starts_with('"') {
        return item.split_once('.');
    }
    let end = item[1..].find('"')? + 2;
    Some((&item[..end], item[end..].strip_prefix('.')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders() -> Relation {
        let columns = [
            ("id", "INTEGER"),
            ("status", "VARCHAR"),
            ("total", "DECIMAL(10,2)"),
            ("paid", "BOOLEAN"),
            ("odd.name\"", "DATE"),
        ];
        Relation {
            schema: "shop".into(),
            name: "orders".into(),
            columns: columns.map(|(name, of)| (name.to_owned(), of.to_owned())).to_vec(),
            key: vec!["id".into()],
        }
    }

    fn statement(given: &[(&str, &str)]) -> Result<Statement, Problem> {
        let given: Vec<_> =
            given.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        orders().statement(&given)
    }

    fn text(of: &str) -> Parameter {
        Parameter::Text(of.into())
    }

    #[test]
    fn filters_order_and_columns() {
        let (sql, parameters) = statement(&[
            ("select", "id,state:status"),
            ("status", "eq.OPEN"),
            ("total", "not.gte.10.5"),
            ("order", "total.desc.nullslast,status"),
            ("limit", "3"),
        ])
        .unwrap();
        assert_eq!(
            sql,
            "SELECT \"id\", \"status\" AS \"state\" FROM \"shop\".\"orders\" WHERE \"status\" = CAST($p1 AS VARCHAR) \
             AND NOT (\"total\" >= CAST($p2 AS DECIMAL(10,2))) ORDER BY \"total\" DESC NULLS LAST, \"status\", \"id\""
        );
        assert_eq!(parameters, [("p1".into(), text("OPEN")), ("p2".into(), text("10.5"))]);
    }

    #[test]
    fn groups_nest_and_lists_keep_their_commas() {
        let (sql, parameters) =
            statement(&[("or", "(id.in.(1,2),not.and(status.in.(\"a,b\",c),paid.is.true))")]).unwrap();
        assert!(sql.contains("(\"id\" IN ($p1, $p2) OR NOT ((\"status\" IN (CAST($p3 AS VARCHAR), CAST($p4 AS VARCHAR)) AND \"paid\" IS true)))"), "{sql}");
        assert_eq!(parameters[2].1, text("a,b"));
    }

    #[test]
    fn what_a_client_sends_stays_out_of_the_statement() {
        for evil in ["'; DROP TABLE orders; --", "\" OR 1=1", "x') OR ('1'='1", "$p1", "\\"] {
            let (sql, parameters) = statement(&[("status", &format!("eq.{evil}"))]).unwrap();
            assert!(!sql.contains(evil) || evil == "$p1", "{sql}");
            assert_eq!(parameters[0].1, text(evil));
            assert!(statement(&[(evil, "eq.1")]).is_err(), "{evil}");
            assert!(statement(&[("select", evil)]).is_err(), "{evil}");
            assert!(statement(&[("order", evil)]).is_err(), "{evil}");
        }
    }

    #[test]
    fn wrong_filters_say_what_is_expected() {
        for (name, given) in [
            ("id", "eq.x"),
            ("id", "eq."),
            ("id", "5"),
            ("id", "between.1"),
            ("paid", "eq.yes"),
            ("status", "is.open"),
            ("id", "in.1,2"),
            ("or", "id.eq.1"),
            ("or", "()"),
            ("nothing", "eq.1"),
            ("select", ""),
            ("order", "id.sideways"),
        ] {
            let problem = statement(&[(name, given)]).unwrap_err();
            assert_eq!(problem.status, 400, "{name}={given}");
            assert_eq!(problem.members["parameter"], name);
        }
        let deep = format!("{}id.eq.1{}", "(and".repeat(40), ")".repeat(40));
        assert!(statement(&[("and", &deep)]).is_err());
    }
}
