//! The statements that make a kept result, bring it forward, and read it: text from a [`Shape`] whose parts DuckDB has turned back into SQL.

use std::{cmp::Ordering, collections::BTreeSet};

use millstream_core::{
    warehouse::{physical_name, LayoutColumn, TableLayout},
    Lsn, Parameter, TableId,
};

use super::{
    super::sql::{closed, column_type, current, identifier, string},
    shape::{
        argument_name, filter_name, key_name, measure_name, relation_mark, weight_name, MeasureKind, Shape,
        STATE, WEIGHT, WEIGHTS,
    },
};

/// A shape with its parts as SQL and its columns' types.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) shape: Shape,
    pub(super) core: String,
    pub(super) selected: String,
    pub(super) rest: String,
    /// DuckDB's types of the keys.
    pub(super) keys: Vec<String>,
    /// Types of the measures as the statement gives them.
    pub(super) measures: Vec<String>,
}

/// Whether values of a type can be keys: equal ones are printed alike, and others otherwise.
pub(super) fn is_key(of: &str) -> bool {
    const KEYS: [&str; 14] = [
        "BOOLEAN",
        "TINYINT",
        "SMALLINT",
        "INTEGER",
        "BIGINT",
        "HUGEINT",
        "UTINYINT",
        "USMALLINT",
        "UINTEGER",
        "UBIGINT",
        "VARCHAR",
        "DATE",
        "TIMESTAMP",
        "TIMESTAMP WITH TIME ZONE",
    ];
    KEYS.contains(&of) || of == "UUID" || of.starts_with("DECIMAL(")
}

/// Whether sums of a type have no rounding: what was added can be taken away again.
pub(super) fn is_exact_sum(of: &str) -> bool {
    of == "HUGEINT" || of.starts_with("DECIMAL(")
}

/// Values of a statement's parameters as literals; `None` where one might mean something else than the bound value: its type is not the one that the
/// statement has decided for it, or it is not one of the statement's.
pub(super) fn literals(
    parameters: &[(String, Option<String>)],
    given: &[(String, Parameter)],
) -> Option<Vec<(String, String)>> {
    let literal = |(name, value): &(String, Parameter)| {
        let (_, of) = parameters.iter().find(|(known, _)| known == name)?;
        let literal = match (value, of.as_deref()?) {
            (Parameter::Text(text), "VARCHAR") if !text.contains('\0') => {
                format!("CAST({} AS VARCHAR)", string(text))
            }
            (Parameter::Integer(number), "BIGINT") => format!("CAST({number} AS BIGINT)"),
            _ => return None,
        };
        Some((name.clone(), literal))
    };
    (parameters.len() == given.len()).then(|| given.iter().map(literal).collect())?
}

/// How a relation of the core stands in a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// As it is.
    Now,
    /// As it is, each row with weight 1.
    Weighted,
    /// As it was before its changes: what is there, less what changed.
    Before,
    /// What changed, from the table that it was put in.
    Changes,
}

/// The columns of a layout that are needed, under their names.
fn needed<'a>(
    layout: &'a TableLayout,
    needs: &'a BTreeSet<String>,
) -> impl Iterator<Item = &'a LayoutColumn> {
    layout.live_columns().filter(|column| needs.contains(&column.name.to_ascii_lowercase()))
}

/// The columns that are needed, under their names, each with a comma behind it.
pub(super) fn columns(layout: &TableLayout, needs: &BTreeSet<String>) -> String {
    needed(layout, needs)
        .map(|column| format!("{} AS {}, ", physical_name(column.attnum), identifier(&column.name)))
        .collect()
}

/// The table that a table's changes are put in.
pub(super) fn changes_table(id: TableId) -> String {
    format!("temp.main.millstream_changes_{id}")
}

/// Makes it.
pub(super) fn create_changes(layout: &TableLayout, needs: &BTreeSet<String>) -> String {
    let columns: String = needed(layout, needs)
        .map(|column| format!("{} {}, ", identifier(&column.name), column_type(&column.column_type)))
        .collect();
    format!("CREATE OR REPLACE TEMP TABLE millstream_changes_{} ({columns}{WEIGHT} TINYINT)", layout.id)
}

/// Puts what changed behind a position in it. A version that opened and closed behind it was never seen and is not told; nor is the row that
/// tells of a deletion, which opens behind it too.
pub(super) fn take_changes(layout: &TableLayout, needs: &BTreeSet<String>, from: Lsn) -> String {
    let (columns, from) = (columns(layout, needs), from.0);
    format!(
        "INSERT INTO {} SELECT {columns}1 FROM {} WHERE _lsn > {from} \
         UNION ALL SELECT {columns}-1 FROM {} WHERE _lsn_to > {from} AND _lsn <= {from}",
        changes_table(layout.id),
        current(layout.id),
        closed(layout.id)
    )
}

fn relation(layout: &TableLayout, needs: &BTreeSet<String>, number: usize, side: Side) -> String {
    let (now, weight) = (current(layout.id), weight_name(number));
    let columns = columns(layout, needs);
    let names: String =
        needed(layout, needs).map(|column| format!("{}, ", identifier(&column.name))).collect();
    match side {
        // A relation that only its number of rows is wanted of needs a column, too.
        Side::Now => format!("(SELECT {columns}0 AS millstream_none FROM {now})"),
        Side::Weighted => format!("(SELECT {columns}1::TINYINT AS {weight} FROM {now})"),
        Side::Before => format!(
            "(SELECT {columns}1::TINYINT AS {weight} FROM {now} UNION ALL SELECT {names}(-{WEIGHT})::TINYINT FROM {})",
            changes_table(layout.id)
        ),
        Side::Changes => format!("(SELECT {names}{WEIGHT} AS {weight} FROM {})", changes_table(layout.id)),
    }
}

impl Plan {
    /// The kept result's table. Its key is a digest of the groups' own keys: they can be NULL, and are found faster by one number than by several
    /// texts. Two of half a million groups share one of 128 bits with a probability of 10^-27.
    pub(super) fn create(&self, table: &str) -> String {
        format!("CREATE TABLE {table} (digest UHUGEINT PRIMARY KEY{})", self.declared())
    }

    /// A table of what is to be added to the kept result.
    pub(super) fn create_added(&self, table: &str) -> String {
        format!("CREATE OR REPLACE TABLE {table} (digest UHUGEINT{})", self.declared())
    }

    fn declared(&self) -> String {
        let keys = self.keys.iter().enumerate().map(|(at, of)| format!(", {} {of}", key_name(at)));
        let sums = self.sums().map(|sum| format!(", {} {}", sum.name, sum.of));
        keys.chain(sums).collect()
    }

    /// The core over the tables as they are.
    pub(super) fn core_now(&self) -> String {
        let side = |at: usize| if at == 0 { Side::Weighted } else { Side::Now };
        self.core_with(&(0..self.shape.relations.len()).map(side).collect::<Vec<_>>())
    }

    fn core_with(&self, sides: &[Side]) -> String {
        let relations = self.shape.relations.iter().zip(sides).enumerate();
        let weights: Vec<_> =
            (0..sides.len()).filter(|at| sides[*at] != Side::Now).map(weight_name).collect();
        let core = self.core.replace(WEIGHTS, &weights.join(" * "));
        relations.fold(core, |core, (number, ((layout, needs), side))| {
            core.replace(&relation_mark(number), &relation(layout, needs, number, *side))
        })
    }

    /// Groups and sums of the core. Groups that nothing is to be done about are left out.
    fn summed(&self, core: &str) -> String {
        // With its length before it, what one key is printed as can't be taken for a part of another.
        let printed = |at: usize| {
            format!("coalesce(length({name}::VARCHAR) || ':' || {name}::VARCHAR, '-')", name = key_name(at))
        };
        let printed: Vec<_> = (0..self.keys.len()).map(printed).collect();
        let digest = match printed.is_empty() {
            true => "0::UHUGEINT".to_owned(),
            false => format!("md5_number({})::UHUGEINT", printed.join(" || ")),
        };
        let sums: Vec<_> = self.sums().collect();
        let any: Vec<_> = sums.iter().map(|sum| format!("{} <> 0", sum.name)).collect();
        let made = sums.iter().map(|sum| format!("{} AS {}", sum.expression, sum.name));
        let list: Vec<_> = (0..self.keys.len()).map(key_name).chain(made).collect();
        format!(
            "SELECT {digest} AS digest, * FROM (SELECT {} FROM ({core}) AS core{}) WHERE {}",
            list.join(", "),
            if self.keys.is_empty() { "" } else { " GROUP BY ALL" },
            any.join(" OR ")
        )
    }

    /// The rows of the kept result as the tables are.
    pub(super) fn now(&self) -> String {
        self.summed(&self.core_now())
    }

    /// What the changes of tables add to the kept result: for each relation that has changed its changes with the others, those before it as they
    /// are, those behind it as they were. Over all of them, this is the whole difference. No position stands in it: a plan of it is good for all
    /// changes. `None`: nothing.
    pub(super) fn change(&self, changed: &BTreeSet<TableId>) -> Option<String> {
        let relations = &self.shape.relations;
        let has_changed = |at: usize| changed.contains(&relations[at].0.id);
        let cores = (0..relations.len()).filter(|relation| has_changed(*relation)).map(|relation| {
            let side = |at: usize| match at.cmp(&relation) {
                Ordering::Equal => Side::Changes,
                Ordering::Greater if has_changed(at) => Side::Before,
                Ordering::Less | Ordering::Greater => Side::Now,
            };
            self.core_with(&(0..relations.len()).map(side).collect::<Vec<_>>())
        });
        let cores: Vec<_> = cores.collect();
        (!cores.is_empty()).then(|| self.summed(&cores.join(" UNION ALL ")))
    }

    /// Adds what is in a table to the kept result.
    pub(super) fn add(&self, table: &str, added: &str) -> String {
        let sums: Vec<_> = self
            .sums()
            .map(|sum| format!("{name} = {table}.{name} + excluded.{name}", name = sum.name))
            .collect();
        format!(
            "INSERT INTO {table} SELECT * FROM {added} ON CONFLICT (digest) DO UPDATE SET {}",
            sums.join(", ")
        )
    }

    /// Whether conditions with these parameters leave one row of the kept result for each of the statement's groups, so that nothing is left to
    /// be grouped.
    pub(super) fn is_whole(&self, parameters: &[(String, Parameter)]) -> bool {
        let pins = |key: usize| {
            self.shape.pinned.iter().any(|pinned| {
                let value =
                    parameters.iter().find(|(name, _)| *name == pinned.parameter).map(|(_, value)| value);
                // A comparison of other types could find several keys equal to one value.
                pinned.key == key
                    && match self.keys[key].as_str() {
                        "VARCHAR" => matches!(value, Some(Parameter::Text(_))),
                        "SMALLINT" | "INTEGER" | "BIGINT" => {
                            !pinned.text && matches!(value, Some(Parameter::Integer(_)))
                        }
                        "DATE" => !pinned.text && matches!(value, Some(Parameter::Date(_))),
                        _ => false,
                    }
            })
        };
        !self.shape.single && (self.shape.groups..self.shape.keys).all(pins)
    }

    /// The statement over the kept result.
    pub(super) fn read(&self, table: &str, whole: bool) -> String {
        self.read_by(&self.selected, &self.rest, table, whole)
    }

    /// The same by other texts of its two parts.
    pub(super) fn read_by(&self, selected: &str, rest: &str, table: &str, whole: bool) -> String {
        let there = if self.shape.single { "" } else { " WHERE rows_there > 0" };
        let kept = format!("(SELECT * EXCLUDE (digest) FROM {table}{there})");
        let selected = selected.replace(STATE, &kept);
        let sum = |name: &str| if whole { name.to_owned() } else { format!("coalesce(sum({name}), 0)") };
        let groups: Vec<_> = (0..self.shape.groups).map(key_name).collect();
        let measures =
            self.shape.measures.iter().zip(&self.measures).enumerate().map(|(at, (measure, of))| {
                let (sums, values) = (sum(&format!("s{at}")), sum(&format!("c{at}")));
                let value = match measure.kind {
                    MeasureKind::Rows if !measure.filtered => sum("rows_there"),
                    MeasureKind::Rows | MeasureKind::Values => values,
                    MeasureKind::Sum => format!("CASE WHEN {values} <> 0 THEN {sums} END"),
                };
                format!("({value})::{of} AS {}", measure_name(at))
            });
        let list: Vec<_> = groups.iter().cloned().chain(measures).collect();
        let list = if list.is_empty() { "1".to_owned() } else { list.join(", ") };
        let grouped = match (whole, groups.is_empty()) {
            (true, _) | (_, true) => String::new(),
            (false, false) => format!(" GROUP BY {}", groups.join(", ")),
        };
        rest.replace(STATE, &format!("(SELECT {list} FROM ({selected}){grouped})"))
    }

    fn sums(&self) -> impl Iterator<Item = Sum> + '_ {
        let rows = Sum {
            name: "rows_there".into(),
            of: "BIGINT".into(),
            expression: format!("coalesce(sum({WEIGHT}), 0)::BIGINT"),
        };
        let measures = self.shape.measures.iter().zip(&self.measures).enumerate();
        [rows].into_iter().chain(measures.flat_map(|(at, (measure, of))| {
            let argument = argument_name(at);
            let counted = match (measure.kind, measure.filtered) {
                (MeasureKind::Rows, false) => return Vec::new(),
                (MeasureKind::Rows, true) => filter_name(at),
                (_, false) => format!("{argument} IS NOT NULL"),
                (_, true) => format!("{argument} IS NOT NULL AND {}", filter_name(at)),
            };
            let values = Sum {
                name: format!("c{at}"),
                of: "BIGINT".into(),
                expression: format!("coalesce(sum({WEIGHT}) FILTER (WHERE {counted}), 0)::BIGINT"),
            };
            let sums = Sum {
                name: format!("s{at}"),
                of: of.clone(),
                expression: format!(
                    "coalesce(sum(CASE WHEN {WEIGHT} < 0 THEN -({argument}::{of}) ELSE {argument}::{of} END) FILTER (WHERE {counted}), 0)::{of}"
                ),
            };
            if measure.kind == MeasureKind::Sum { vec![values, sums] } else { vec![values] }
        }))
    }
}

/// A column of the kept result that is summed.
struct Sum {
    name: String,
    of: String,
    expression: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stands_in_a_statement_where_it_means_what_the_bound_one_would() {
        let decided = |of: &[(&str, Option<&str>)]| -> Vec<(String, Option<String>)> {
            of.iter().map(|(name, of)| ((*name).into(), of.map(Into::into))).collect()
        };
        let parameters = decided(&[("status", Some("VARCHAR")), ("limit", Some("BIGINT"))]);
        let text = |text: &str| ("status".to_owned(), Parameter::Text(text.into()));
        let limit = ("limit".to_owned(), Parameter::Integer(-3));
        let given = [text("it's"), limit.clone()];
        let stand = [("status", "CAST('it''s' AS VARCHAR)"), ("limit", "CAST(-3 AS BIGINT)")];
        let stand = stand.map(|(name, literal)| (name.to_owned(), literal.to_owned()));
        assert_eq!(literals(&parameters, &given), Some(stand.to_vec()));
        for (parameters, given) in [
            (
                decided(&[("status", Some("DATE")), ("limit", Some("BIGINT"))]),
                vec![text("2026-01-01"), limit.clone()],
            ),
            (decided(&[("status", None), ("limit", Some("BIGINT"))]), vec![text("open"), limit.clone()]),
            (decided(&[("limit", Some("BIGINT"))]), vec![text("open"), limit.clone()]),
            (parameters.clone(), vec![text("open")]),
            (parameters.clone(), vec![text("a\0b"), limit.clone()]),
            (parameters, vec![("status".into(), Parameter::Null), limit]),
        ] {
            assert_eq!(literals(&parameters, &given), None, "{given:?}");
        }
    }
}
