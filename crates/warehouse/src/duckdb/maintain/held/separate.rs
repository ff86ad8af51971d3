//! Whether a core's rows can be joined here: each of its expressions looks at one relation, and relations are joined where columns are equal. Then DuckDB is asked
//! for what single tables hold, and neither joins nor groups.

use serde_json::Value;

use super::super::{
    shape::{relation_mark, Shape},
    tree::{columns, conjuncts, is, items, text, Cut, Other},
};

/// An expression of one of the core's relations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The relation, in the order of the core's marks.
    pub(super) relation: usize,
    /// Which of its expressions.
    pub(super) at: usize,
}

/// A core in parts.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Separate {
    /// The expressions of each relation, over its bare columns.
    pub(super) expressions: Vec<Vec<Value>>,
    /// Those that must hold.
    pub(super) conditions: Vec<Place>,
    /// Columns that are equal in rows that belong together.
    pub(super) joins: Vec<(Place, Place)>,
    /// What the result is grouped by.
    pub(super) keys: Vec<Place>,
    /// Argument and filter of each measure.
    pub(super) measures: Vec<(Option<Place>, Option<Place>)>,
}

/// Takes a core apart. An error: it can't be.
pub(super) fn separate(shape: &Shape) -> Cut<Separate> {
    let node = &shape.core["statements"][0]["node"];
    let mut aliases = vec![None; shape.relations.len()];
    let mut conditions = conjuncts(&node["where_clause"]);
    relations(&node["from_table"], &mut aliases, &mut conditions)?;
    let mut parts = Parts {
        aliases: aliases.into_iter().collect::<Option<_>>().ok_or(Other)?,
        separate: Separate { expressions: vec![Vec::new(); shape.relations.len()], ..Separate::default() },
    };
    for condition in &conditions {
        match parts.join(condition)? {
            Some(join) => parts.separate.joins.push(join),
            None => {
                let place = parts.place(condition)?;
                parts.separate.conditions.push(place);
            }
        }
    }
    // The keys, then argument and filter of each measure where it has one, then the weight.
    let mut list = items(node, "select_list").iter();
    let mut next = || list.next().ok_or(Other);
    for _ in 0..shape.keys {
        let key = parts.place(next()?)?;
        parts.separate.keys.push(key);
    }
    for measure in &shape.measures {
        let argument = measure.has_argument().then(&mut next).transpose()?;
        let filter = measure.filtered.then(&mut next).transpose()?;
        let argument = argument.map(|argument| parts.place(argument)).transpose()?;
        let filter = filter.map(|filter| parts.place(filter)).transpose()?;
        parts.separate.measures.push((argument, filter));
    }
    is(parts.separate.is_connected())?;
    Ok(parts.separate)
}

/// The aliases of a FROM's relations, and the conditions of its joins.
fn relations(from: &Value, aliases: &mut [Option<String>], conditions: &mut Vec<Value>) -> Cut<()> {
    match text(from, "type") {
        "BASE_TABLE" => {
            let marked = (0..aliases.len()).find(|at| text(from, "table_name") == relation_mark(*at));
            aliases[marked.ok_or(Other)?] = Some(text(from, "alias").to_ascii_lowercase());
            Ok(())
        }
        "JOIN" => {
            // The columns of USING have no relation of their own.
            is(items(from, "using_columns").is_empty())?;
            conditions.extend(conjuncts(&from["condition"]));
            relations(&from["left"], aliases, conditions)?;
            relations(&from["right"], aliases, conditions)
        }
        _ => Err(Other),
    }
}

struct Parts {
    aliases: Vec<String>,
    separate: Separate,
}

impl Parts {
    /// Keeps an expression for the one relation that it looks at. One that looks at none is any relation's.
    fn place(&mut self, expression: &Value) -> Cut<Place> {
        let mut relation = None;
        for column in columns(expression) {
            let [alias, _] = items(&column, "column_names") else { return Err(Other) };
            let found = self.aliases.iter().position(|known| alias == known.as_str()).ok_or(Other)?;
            is(relation.is_none_or(|relation| relation == found))?;
            relation = Some(found);
        }
        let relation = relation.unwrap_or(0);
        let expression = bare(expression);
        let known = &mut self.separate.expressions[relation];
        let at = known.iter().position(|known| *known == expression).unwrap_or_else(|| {
            known.push(expression);
            known.len() - 1
        });
        Ok(Place { relation, at })
    }

    /// The columns that a condition wants equal, where it is one between two relations and nothing else.
    fn join(&mut self, condition: &Value) -> Cut<Option<(Place, Place)>> {
        let (left, right) = (&condition["left"], &condition["right"]);
        let is_column = |side: &Value| text(side, "class") == "COLUMN_REF";
        if text(condition, "type") != "COMPARE_EQUAL" || !is_column(left) || !is_column(right) {
            return Ok(None);
        }
        if items(left, "column_names").first() == items(right, "column_names").first() {
            return Ok(None);
        }
        Ok(Some((self.place(left)?, self.place(right)?)))
    }
}

/// An expression over columns without their relation, and without a name of its own.
fn bare(expression: &Value) -> Value {
    fn walk(node: &Value) -> Value {
        match node {
            Value::Array(items) => items.iter().map(walk).collect(),
            Value::Object(_) if text(node, "class") == "COLUMN_REF" => {
                let mut column = node.clone();
                column["column_names"] = items(node, "column_names").last().into_iter().cloned().collect();
                column
            }
            Value::Object(fields) => fields.iter().map(|(name, field)| (name.clone(), walk(field))).collect(),
            other => other.clone(),
        }
    }
    let mut bare = walk(expression);
    bare["alias"] = "".into();
    bare
}

impl Separate {
    /// With its expressions where they are in the rows that were taken up for each relation.
    pub(super) fn moved(&mut self, places: &[Vec<usize>]) {
        let moved = |place: &mut Place| place.at = places[place.relation][place.at];
        self.conditions.iter_mut().for_each(moved);
        self.keys.iter_mut().for_each(moved);
        for (one, other) in &mut self.joins {
            moved(one);
            moved(other);
        }
        for (argument, filter) in &mut self.measures {
            argument.iter_mut().for_each(moved);
            filter.iter_mut().for_each(moved);
        }
    }

    /// Whether each relation is reached from every other one: rows that nothing joins are each with each.
    fn is_connected(&self) -> bool {
        let mut reached = vec![false; self.expressions.len()];
        reached[0] = true;
        // Each round reaches one more, or all that can be.
        for _ in 0..reached.len() {
            for (one, other) in &self.joins {
                let either = reached[one.relation] || reached[other.relation];
                (reached[one.relation], reached[other.relation]) = (either, either);
            }
        }
        reached.into_iter().all(|reached| reached)
    }
}
