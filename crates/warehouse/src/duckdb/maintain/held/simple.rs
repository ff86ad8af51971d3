//! What stands above the groups, where it is simple: columns of them in some order, sorted, the first few. DuckDB need not be asked for that.

use std::{cmp::Ordering, collections::HashMap};

use millstream_core::Parameter;
use serde_json::Value;

use super::{
    super::{
        shape::{key_name, measure_name, MeasureKind, Shape, STATE},
        tree::{is, items, text, Cut, Other},
    },
    cell::Cell,
    groups::{Groups, Slot},
};

/// Where a column of the result comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// What is grouped by.
    Key(usize),
    /// What is counted or summed.
    Measure(usize),
}

/// One thing that is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct By {
    from: From,
    descending: bool,
    nulls_first: bool,
}

/// A number of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Amount {
    Fixed(u64),
    Parameter(String),
}

/// How groups become the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Simple {
    /// Its columns.
    pub(super) columns: Vec<From>,
    by: Vec<By>,
    limit: Option<Amount>,
    offset: Option<Amount>,
}

/// A column while a rest is looked at, by the name that it has there.
type Named = (String, From);

/// What stands above the groups of a statement. An error: it is not simple. `names` are those of its result's columns.
pub(super) fn simple(shape: &Shape, names: &[String]) -> Cut<Simple> {
    let node = &shape.rest["statements"][0]["node"];
    let inner = below(&node["from_table"], shape)?;
    let columns = listed(node, &inner)?;
    is(columns.len() == names.len())?;
    let mut simple = Simple {
        columns: columns.iter().map(|(_, from)| *from).collect(),
        by: Vec::new(),
        limit: None,
        offset: None,
    };
    for modifier in items(node, "modifiers") {
        match text(modifier, "type") {
            "ORDER_MODIFIER" => {
                is(simple.by.is_empty())?;
                for order in items(modifier, "orders") {
                    let mut by = sorted(order, &columns, &inner, names)?;
                    simple.by.append(&mut by);
                }
            }
            "LIMIT_MODIFIER" => {
                simple.limit = amount(&modifier["limit"])?;
                simple.offset = amount(&modifier["offset"])?;
            }
            _ => return Err(Other),
        }
    }
    Ok(simple)
}

/// The columns of a FROM: the groups', or those of a subquery that only chooses among its own.
fn below(from: &Value, shape: &Shape) -> Cut<Vec<Named>> {
    match text(from, "type") {
        "BASE_TABLE" if text(from, "table_name") == STATE => {
            let keys = (0..shape.groups).map(|at| (key_name(at), From::Key(at)));
            let measures = (0..shape.measures.len()).map(|at| (measure_name(at), From::Measure(at)));
            Ok(keys.chain(measures).collect())
        }
        "SUBQUERY" => {
            let node = &from["subquery"]["node"];
            is(items(node, "modifiers").is_empty())?;
            let columns = listed(node, &below(&node["from_table"], shape)?)?;
            let names = items(from, "column_name_alias");
            is(names.len() <= columns.len())?;
            let renamed = |(at, (name, from)): (usize, Named)| {
                let name = names.get(at).and_then(Value::as_str).map_or(name, str::to_ascii_lowercase);
                (name, from)
            };
            Ok(columns.into_iter().enumerate().map(renamed).collect())
        }
        _ => Err(Other),
    }
}

/// The columns of a SELECT that does nothing but choose.
fn listed(node: &Value, inner: &[Named]) -> Cut<Vec<Named>> {
    is(text(node, "type") == "SELECT_NODE" && node["where_clause"].is_null() && node["having"].is_null())?;
    is(node["qualify"].is_null() && node["sample"].is_null() && items(node, "group_expressions").is_empty())?;
    is(text(node, "aggregate_handling") == "STANDARD_HANDLING")?;
    let mut columns = Vec::new();
    for item in items(node, "select_list") {
        match text(item, "class") {
            "STAR" => {
                let plain = ["exclude_list", "replace_list", "qualified_exclude_list", "rename_list"];
                is(plain.iter().all(|list| items(item, list).is_empty()) && item["expr"].is_null())?;
                is(text(item, "relation_name").is_empty() && item["columns"] == false)?;
                columns.extend_from_slice(inner);
            }
            "COLUMN_REF" => {
                let (name, from) = found(item, inner)?;
                let name = match text(item, "alias") {
                    "" => name,
                    alias => alias.to_ascii_lowercase(),
                };
                columns.push((name, from));
            }
            _ => return Err(Other),
        }
    }
    Ok(columns)
}

/// The one column that a reference means.
fn found(reference: &Value, columns: &[Named]) -> Cut<Named> {
    is(text(reference, "class") == "COLUMN_REF")?;
    let name = items(reference, "column_names").last().and_then(Value::as_str).ok_or(Other)?;
    let mut found = columns.iter().filter(|(known, _)| name.eq_ignore_ascii_case(known));
    let first = found.next().ok_or(Other)?;
    is(found.next().is_none())?;
    Ok(first.clone())
}

/// What one item of ORDER BY sorts by: all columns, one by its place, by its name in the result, or one below.
fn sorted(order: &Value, columns: &[Named], inner: &[Named], names: &[String]) -> Cut<Vec<By>> {
    let descending = match text(order, "type") {
        "ASCENDING" | "ORDER_DEFAULT" => false,
        "DESCENDING" => true,
        _ => return Err(Other),
    };
    let nulls_first = match text(order, "null_order") {
        // DuckDB's own default, which nobody changes where results are kept.
        "NULLS LAST" | "ORDER_DEFAULT" => false,
        "NULLS FIRST" => true,
        _ => return Err(Other),
    };
    let by = |from| By { from, descending, nulls_first };
    let expression = &order["expression"];
    match text(expression, "class") {
        "STAR" => Ok(columns.iter().map(|(_, from)| by(*from)).collect()),
        "CONSTANT" => {
            let at =
                expression["value"]["value"].as_u64().and_then(|at| usize::try_from(at).ok()).ok_or(Other)?;
            let (_, from) = at.checked_sub(1).and_then(|at| columns.get(at)).ok_or(Other)?;
            Ok(vec![by(*from)])
        }
        "COLUMN_REF" => {
            let qualified = items(expression, "column_names").len() > 1;
            let name = items(expression, "column_names").last().and_then(Value::as_str).ok_or(Other)?;
            let named: Vec<_> = (0..names.len()).filter(|at| names[*at].eq_ignore_ascii_case(name)).collect();
            match named.as_slice() {
                [at] if !qualified => Ok(vec![by(columns[*at].1)]),
                [] => Ok(vec![by(found(expression, inner)?.1)]),
                // Of several DuckDB decides.
                _ => Err(Other),
            }
        }
        _ => Err(Other),
    }
}

fn amount(expression: &Value) -> Cut<Option<Amount>> {
    if expression.is_null() {
        return Ok(None);
    }
    Ok(Some(match text(expression, "class") {
        "CONSTANT" => Amount::Fixed(expression["value"]["value"].as_u64().ok_or(Other)?),
        "PARAMETER" => Amount::Parameter(text(expression, "identifier").to_owned()),
        _ => return Err(Other),
    }))
}

impl Amount {
    /// It with its parameter's value; `None`: DuckDB has something to say about that.
    fn with(&self, parameters: &[(String, Parameter)]) -> Option<usize> {
        match self {
            Amount::Fixed(number) => usize::try_from(*number).ok(),
            Amount::Parameter(name) => match parameters.iter().find(|(known, _)| known == name)? {
                (_, Parameter::Integer(number)) => usize::try_from(*number).ok(),
                _ => None,
            },
        }
    }
}

/// One of the statement's own groups.
struct Group<'a> {
    key: &'a [Cell],
    sums: std::borrow::Cow<'a, [i128]>,
}

/// Where the sums of a measure are in a group's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sums {
    /// What was counted: for a sum, whether there is one.
    pub(super) count: usize,
    pub(super) sum: Option<usize>,
}

/// Where the sums of all measures are, behind the number of rows, and how many they are.
pub(super) fn layout(shape: &Shape) -> (Vec<Sums>, usize) {
    let mut width = 1;
    let mut next = || {
        width += 1;
        width - 1
    };
    let place = |measure: &super::super::shape::Measure| match (measure.kind, measure.filtered) {
        (MeasureKind::Rows, false) => Sums { count: 0, sum: None },
        (MeasureKind::Rows | MeasureKind::Values, _) => Sums { count: next(), sum: None },
        (MeasureKind::Sum, _) => Sums { count: next(), sum: Some(next()) },
    };
    let sums = shape.measures.iter().map(place).collect();
    (sums, width)
}

impl Sums {
    /// The measure, of a group's sums; `None`: NULL.
    fn of(self, sums: &[i128]) -> Option<i128> {
        match self.sum {
            Some(sum) => (sums[self.count] != 0).then(|| sums[sum]),
            None => Some(sums[self.count]),
        }
    }
}

impl Group<'_> {
    fn number(&self, sums: Sums) -> Option<i128> {
        sums.of(&self.sums)
    }

    fn order(&self, other: &Self, by: By, measures: &[Sums]) -> Ordering {
        let nulls = |one: bool, other: bool| match (one, other) {
            (true, false) => Some(if by.nulls_first { Ordering::Less } else { Ordering::Greater }),
            (false, true) => Some(if by.nulls_first { Ordering::Greater } else { Ordering::Less }),
            (true, true) => Some(Ordering::Equal),
            (false, false) => None,
        };
        let (ordered, order) = match by.from {
            From::Key(at) => {
                let (one, other) = (&self.key[at], &other.key[at]);
                (nulls(one.is_null(), other.is_null()), one.order(other))
            }
            From::Measure(at) => {
                let (one, other) = (self.number(measures[at]), other.number(measures[at]));
                (nulls(one.is_none(), other.is_none()), one.cmp(&other))
            }
        };
        ordered.unwrap_or(if by.descending { order.reverse() } else { order })
    }
}

impl Simple {
    /// The result's columns, of the groups that the statement's conditions let through, at most so many rows; `are_whole`: each of them is one of the
    /// statement's own. `None`: DuckDB has something to say about the parameters.
    pub(super) fn columns<'a>(
        &self,
        groups: &'a Groups,
        slots: impl Iterator<Item = Slot> + 'a,
        are_whole: bool,
        shape: &Shape,
        parameters: &[(String, Parameter)],
        rows_max: usize,
    ) -> Option<Vec<Vec<Cell>>> {
        let (measures, width) = layout(shape);
        let some = |amount: &Option<Amount>, none: usize| match amount {
            Some(amount) => amount.with(parameters),
            None => Some(none),
        };
        let (offset, limit) = (some(&self.offset, 0)?, some(&self.limit, usize::MAX)?.min(rows_max));
        let end = offset.saturating_add(limit);
        let there = slots.filter(|slot| groups.sums(*slot)[0] > 0);
        let mut rows: Vec<Group<'_>> = if are_whole && !shape.single {
            let group = |slot| Group { key: groups.key(slot), sums: groups.sums(slot).into() };
            self.foremost(groups, there.collect(), end, &measures).into_iter().map(group).collect()
        } else {
            let mut added: Vec<Group<'_>> = Vec::new();
            let mut places: HashMap<u32, usize> = HashMap::new();
            for slot in there {
                let place = *places.entry(groups.whole(slot)).or_insert(added.len());
                match added.get_mut(place) {
                    None => added.push(Group { key: groups.key(slot), sums: groups.sums(slot).into() }),
                    Some(group) => {
                        for (sum, by) in group.sums.to_mut().iter_mut().zip(groups.sums(slot)) {
                            *sum = sum.checked_add(*by)?;
                        }
                    }
                }
            }
            if shape.single && added.is_empty() {
                added.push(Group { key: &[], sums: vec![0; width].into() });
            }
            added
        };
        let order = |one: &Group<'_>, other: &Group<'_>| {
            let orders = self.by.iter().map(|by| one.order(other, *by, &measures));
            orders.fold(Ordering::Equal, Ordering::then)
        };
        if end > 0 && end < rows.len() && !self.by.is_empty() {
            rows.select_nth_unstable_by(end - 1, order);
        }
        rows.truncate(end);
        if !self.by.is_empty() {
            rows.sort_by(order);
        }
        let rows = &rows[offset.min(rows.len())..];
        let column = |from: &From| match from {
            From::Key(at) => rows.iter().map(|row| row.key[*at].clone()).collect(),
            From::Measure(at) => {
                rows.iter().map(|row| row.number(measures[*at]).map_or(Cell::Null, Cell::number)).collect()
            }
        };
        Some(self.columns.iter().map(column).collect())
    }
    /// The groups that the first `end` rows are among, by what is sorted by first. Comparing whole groups means looking up their keys all over the
    /// memory; where thousands are sorted by a number for the first few, that number leaves some dozens of them.
    fn foremost(&self, groups: &Groups, slots: Vec<Slot>, end: usize, measures: &[Sums]) -> Vec<Slot> {
        let Some(By { from: From::Measure(at), descending, nulls_first }) = self.by.first().copied() else {
            return slots;
        };
        if end == 0 || end >= slots.len() {
            return slots;
        }
        // Numbers that do not fit, and NULL, are as far out as one can be; whoever is level with the last one stays, so nobody is lost to that.
        let rank = |slot: Slot| match measures[at].of(groups.sums(slot)) {
            Some(number) => {
                let number = i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX });
                if descending {
                    !number
                } else {
                    number
                }
            }
            None if nulls_first => i64::MIN,
            None => i64::MAX,
        };
        let mut ranked: Vec<(i64, Slot)> = slots.into_iter().map(|slot| (rank(slot), slot)).collect();
        let (_, &mut (last, _), _) = ranked.select_nth_unstable_by_key(end - 1, |(rank, _)| *rank);
        ranked.retain(|(rank, _)| *rank <= last);
        ranked.into_iter().map(|(_, slot)| slot).collect()
    }
}
