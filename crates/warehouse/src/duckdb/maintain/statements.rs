//! The statements that make a kept result, bring it forward, and read it: text from a [`Shape`] whose parts DuckDB has turned back into SQL.

use std::{cmp::Ordering, collections::BTreeSet};

use millstream_core::{
    warehouse::{physical_name, TableLayout},
    Lsn, Parameter, TableId,
};

use super::{
    super::sql::{closed, column_type, current, identifier},
    shape::{
        argument_name, filter_name, key_name, measure_name, relation_mark, MeasureKind, Shape, STATE, WEIGHT,
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

/// A value of a type that stands where there is NULL; `None`: the type can't be a key. Types whose equal values can be printed differently can't.
pub(super) fn zero(of: &str) -> Option<&'static str> {
    Some(match of {
        "BOOLEAN" => "false",
        "TINYINT" | "SMALLINT" | "INTEGER" | "BIGINT" | "HUGEINT" | "UTINYINT" | "USMALLINT" | "UINTEGER"
        | "UBIGINT" => "0",
        "VARCHAR" => "''",
        "DATE" => "DATE '1970-01-01'",
        "TIMESTAMP" => "TIMESTAMP '1970-01-01 00:00:00'",
        "TIMESTAMP WITH TIME ZONE" => "make_timestamptz(0)",
        "UUID" => "'00000000-0000-0000-0000-000000000000'::UUID",
        decimal if decimal.starts_with("DECIMAL(") => "0",
        _ => return None,
    })
}

/// Whether sums of a type have no rounding: what was added can be taken away again.
pub(super) fn is_exact_sum(of: &str) -> bool {
    of == "HUGEINT" || of.starts_with("DECIMAL(")
}

/// How a relation of the core stands in a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// As it is, each row with weight 1 where it carries the weight.
    Now { weighted: bool },
    /// As it was at a position.
    Before(Lsn),
    /// What changed, from the table that it was put in.
    Changes,
}

fn columns(layout: &TableLayout) -> String {
    let columns: Vec<_> = layout
        .live_columns()
        .map(|column| format!("{} AS {}", physical_name(column.attnum), identifier(&column.name)))
        .collect();
    columns.join(", ")
}

/// The table that a table's changes are put in.
pub(super) fn changes_table(id: TableId) -> String {
    format!("temp.main.millstream_changes_{id}")
}

/// Makes it.
pub(super) fn create_changes(layout: &TableLayout) -> String {
    let columns: String = layout
        .live_columns()
        .map(|column| format!("{} {}, ", identifier(&column.name), column_type(&column.column_type)))
        .collect();
    format!("CREATE OR REPLACE TEMP TABLE millstream_changes_{} ({columns}{WEIGHT} TINYINT)", layout.id)
}

/// Puts what changed behind a position in it. A version that opened and closed behind it was never seen and is not told; nor is the row that
/// tells of a deletion, which opens behind it too.
pub(super) fn take_changes(layout: &TableLayout, from: Lsn) -> String {
    let (columns, from) = (columns(layout), from.0);
    format!(
        "INSERT INTO {} SELECT {columns}, 1 FROM {} WHERE _lsn > {from} \
         UNION ALL SELECT {columns}, -1 FROM {} WHERE _lsn_to > {from} AND _lsn <= {from}",
        changes_table(layout.id),
        current(layout.id),
        closed(layout.id)
    )
}

fn relation(layout: &TableLayout, side: Side) -> String {
    let columns = columns(layout);
    let (now, gone) = (current(layout.id), closed(layout.id));
    match side {
        Side::Now { weighted: false } => format!("(SELECT {columns} FROM {now})"),
        Side::Now { weighted: true } => format!("(SELECT {columns}, 1::TINYINT AS {WEIGHT} FROM {now})"),
        Side::Before(Lsn(at)) => format!(
            "(SELECT {columns} FROM {now} WHERE _lsn <= {at} UNION ALL SELECT {columns} FROM {gone} WHERE _lsn_to > {at} AND _lsn <= {at})"
        ),
        Side::Changes => changes_table(layout.id),
    }
}

impl Plan {
    /// The kept result's table.
    pub(super) fn create(&self, table: &str) -> String {
        let keys: Vec<_> =
            self.keys.iter().enumerate().map(|(at, of)| format!("{} {of} NOT NULL", key_name(at))).collect();
        let key_names: Vec<_> = (0..self.keys.len()).map(key_name).collect();
        let sums: Vec<_> = self.sums().map(|sum| format!("{} {}", sum.name, sum.of)).collect();
        let columns: Vec<_> = keys.into_iter().chain(sums).collect();
        let key: Vec<_> = ["nulls".to_owned()].into_iter().chain(key_names).collect();
        format!(
            "CREATE TEMP TABLE {table} (nulls UINTEGER NOT NULL, {}, PRIMARY KEY ({}))",
            columns.join(", "),
            key.join(", ")
        )
    }

    /// Groups and sums of the core with its relations as given. Groups that nothing is to be done about are left out.
    fn summed(&self, sides: &[Side]) -> String {
        let core = self.core_with(sides);
        let nulls: Vec<_> = (0..self.keys.len())
            .map(|at| format!("(CASE WHEN {} IS NULL THEN {} ELSE 0 END)", key_name(at), 1u32 << at))
            .collect();
        let nulls = if nulls.is_empty() { "0".to_owned() } else { nulls.join(" + ") };
        let keys: String = self
            .keys
            .iter()
            .enumerate()
            .map(|(at, of)| {
                format!(", coalesce({name}, {}) AS {name}", zero(of).unwrap_or("NULL"), name = key_name(at))
            })
            .collect();
        let sums: Vec<_> = self.sums().collect();
        let made: String = sums.iter().map(|sum| format!(", {} AS {}", sum.expression, sum.name)).collect();
        let any: Vec<_> = sums.iter().map(|sum| format!("{} <> 0", sum.name)).collect();
        let grouped: Vec<_> = (0..=self.keys.len()).map(|at| (at + 1).to_string()).collect();
        format!(
            "SELECT * FROM (SELECT ({nulls})::UINTEGER AS nulls{keys}{made} FROM ({core}) AS core GROUP BY {}) WHERE {}",
            grouped.join(", "),
            any.join(" OR ")
        )
    }

    /// The core over the tables as they are.
    pub(super) fn core_now(&self) -> String {
        self.core_with(&self.now())
    }

    fn now(&self) -> Vec<Side> {
        (0..self.shape.relations.len()).map(|at| Side::Now { weighted: at == 0 }).collect()
    }

    fn core_with(&self, sides: &[Side]) -> String {
        let relations = self.shape.relations.iter().zip(sides).enumerate();
        relations.fold(self.core.clone(), |core, (number, (layout, side))| {
            core.replace(&relation_mark(number), &relation(layout, *side))
        })
    }

    /// Fills the table anew.
    pub(super) fn fill(&self, table: &str) -> String {
        format!("INSERT INTO {table} {}", self.summed(&self.now()))
    }

    /// Adds what one relation's changes make of the others: those before it as they are, those behind it as they were. Over all relations that
    /// have changed, this is the whole difference. `changes`: the tables that have changed.
    pub(super) fn add(
        &self,
        table: &str,
        relation: usize,
        before: Lsn,
        changes: &BTreeSet<TableId>,
    ) -> String {
        let side = |at: usize| match at.cmp(&relation) {
            Ordering::Equal => Side::Changes,
            Ordering::Greater if changes.contains(&self.shape.relations[at].id) => Side::Before(before),
            Ordering::Less | Ordering::Greater => Side::Now { weighted: false },
        };
        let sides: Vec<_> = (0..self.shape.relations.len()).map(side).collect();
        let keys: String = (0..self.keys.len()).map(|at| format!(", {}", key_name(at))).collect();
        let sums: Vec<_> = self
            .sums()
            .map(|sum| format!("{name} = {table}.{name} + excluded.{name}", name = sum.name))
            .collect();
        format!(
            "INSERT INTO {table} {} ON CONFLICT (nulls{keys}) DO UPDATE SET {}",
            self.summed(&sides),
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

    /// The statement over the kept result. `nullable`: the keys that are NULL somewhere, as bits.
    pub(super) fn read(&self, table: &str, nullable: u32, whole: bool) -> String {
        let keys = (0..self.keys.len()).map(|at| match nullable & (1 << at) {
            0 => key_name(at),
            bit => format!("CASE WHEN nulls & {bit} = 0 THEN {name} END AS {name}", name = key_name(at)),
        });
        let kept: Vec<_> = keys.chain(self.sums().map(|sum| sum.name)).collect();
        let there = if self.shape.single { "" } else { " WHERE rows_there > 0" };
        let kept = format!("(SELECT {} FROM {table}{there})", kept.join(", "));
        let selected = self.selected.replace(STATE, &kept);
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
        self.rest.replace(STATE, &format!("(SELECT {list} FROM ({selected}){grouped})"))
    }

    fn sums(&self) -> impl Iterator<Item = Sum> + '_ {
        let rows = Sum {
            name: "rows_there".into(),
            of: "BIGINT".into(),
            expression: format!("sum({WEIGHT})::BIGINT"),
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
