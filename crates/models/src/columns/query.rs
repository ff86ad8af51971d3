//! Queries: CTEs, what is united, and the order that a limit cuts.

use std::{cell::Cell, collections::HashSet};

use sqlparser::ast::{
    Cte, Expr, GroupByExpr, OrderByKind, Query, SetExpr, SetOperator, SetQuantifier, Value, Values,
};

use super::{
    scope::{key, named, Binding, Ctes, Item, Origin, Scope, Table},
    Dialect, Relations,
};

/// How many steps one query may take: queries that stand in queries can be made to take as long as one likes.
const STEPS_MAX: u32 = 5_000_000;

/// Analyses queries.
pub(super) struct Reader<'r> {
    pub(super) dialect: Dialect,
    pub(super) relations: &'r dyn Relations,
    steps: Cell<u32>,
}

impl<'r> Reader<'r> {
    pub(super) fn new(dialect: Dialect, relations: &'r dyn Relations) -> Self {
        Reader { dialect, relations, steps: Cell::new(0) }
    }

    /// Counts a step; no more are to be done after a false one.
    pub(super) fn step(&self) -> bool {
        self.steps.set(self.steps.get().saturating_add(1));
        self.steps.get() < STEPS_MAX
    }

    /// What a query gives.
    ///
    /// Errors: why nothing can be told of it.
    pub(super) fn query(
        &self,
        query: &Query,
        parent: Option<&Scope<'_>>,
        ctes: &Ctes,
    ) -> Result<Table, String> {
        if !self.step() {
            return Err("it is too large".into());
        }
        if !query.pipe_operators.is_empty() {
            return Err("what is written with pipes is not analysed".into());
        }
        let mut ctes = ctes.clone();
        if let Some(with) = &query.with {
            for cte in &with.cte_tables {
                ctes = self.cte(cte, with.recursive, parent, ctes)?;
            }
        }
        let limited = query.limit_clause.is_some() || query.fetch.is_some();
        let mut ordered = Ordered { limited, ..Ordered::default() };
        if let Some(order) = &query.order_by {
            match &order.kind {
                OrderByKind::Expressions(order) => {
                    ordered.by = order.iter().map(|order| &order.expr).collect()
                }
                OrderByKind::All(_) => ordered.by_all = true,
            }
        }
        self.body(&query.body, &ordered, parent, &ctes)
    }

    /// The CTEs that can be named behind this one.
    fn cte(
        &self,
        cte: &Cte,
        recursive: bool,
        parent: Option<&Scope<'_>>,
        ctes: Ctes,
    ) -> Result<Ctes, String> {
        let name = key(self.dialect, &cte.alias.name);
        if let Some(known) = self.relations.stands_for(&name) {
            let table = Table { items: self.known(known), rows: Origin::default() };
            return Ok(ctes.with(name, table));
        }
        let columns: Vec<_> =
            cte.alias.columns.iter().map(|column| named(self.dialect, &column.name)).collect();
        let mut table = match &*cte.query.body {
            SetExpr::SetOperation { left, op: SetOperator::Union, right, set_quantifier } if recursive => {
                let inner = match &cte.query.with {
                    Some(with) => with
                        .cte_tables
                        .iter()
                        .try_fold(ctes.clone(), |inner, cte| self.cte(cte, with.recursive, parent, inner))?,
                    None => ctes.clone(),
                };
                let ordered = Ordered::default();
                let mut table = self.body(left, &ordered, parent, &inner)?;
                renamed(&mut table.items, &columns);
                // Each round can only add columns to those that are there, so that this ends.
                loop {
                    let size = size(&table);
                    let with_itself = inner.with(name.clone(), table.clone());
                    let more = self.body(right, &ordered, parent, &with_itself)?;
                    table = united(self.dialect, table, more, *set_quantifier);
                    if self::size(&table) == size {
                        break;
                    }
                    if !self.step() {
                        return Err("it is too large".into());
                    }
                }
                table
            }
            _ => self.query(&cte.query, parent, &ctes)?,
        };
        renamed(&mut table.items, &columns);
        Ok(ctes.with(name, table))
    }

    fn body(
        &self,
        body: &SetExpr,
        ordered: &Ordered<'_>,
        parent: Option<&Scope<'_>>,
        ctes: &Ctes,
    ) -> Result<Table, String> {
        // Unions lean to the left, and there may be hundreds.
        let mut behind = Vec::new();
        let mut at = body;
        while let SetExpr::SetOperation { left, op, right, set_quantifier } = at {
            behind.push((*op, *set_quantifier, &**right));
            at = left;
        }
        if behind.is_empty() {
            return match at {
                SetExpr::Select(select) => self.select(select, ordered, parent, ctes),
                SetExpr::Query(query) => {
                    let mut table = self.query(query, parent, ctes)?;
                    self.order_of_output(&mut table, ordered);
                    Ok(table)
                }
                SetExpr::Values(values) => Ok(self.values(values, parent, ctes)),
                SetExpr::Table(table) => {
                    let path = [&table.schema_name, &table.table_name].into_iter().flatten();
                    let path: Vec<String> = path.map(|part| part.to_lowercase()).collect();
                    Ok(self.relation(&path, &path.join("."), ctes))
                }
                _ => Err("it is no query".into()),
            };
        }
        let none = Ordered::default();
        let mut table = self.body(at, &none, parent, ctes)?;
        for (operator, quantifier, right) in behind.into_iter().rev() {
            let other = self.body(right, &none, parent, ctes)?;
            table = match operator {
                SetOperator::Union => united(self.dialect, table, other, quantifier),
                // Which rows stay is decided by the columns of the other side.
                SetOperator::Except | SetOperator::Intersect | SetOperator::Minus => {
                    table.rows.rows(other.rows);
                    for item in other.items {
                        table.rows.rows(whole(item));
                    }
                    table
                }
            };
        }
        self.order_of_output(&mut table, ordered);
        Ok(table)
    }

    /// The order of what has no names but those of its columns.
    fn order_of_output(&self, table: &mut Table, ordered: &Ordered<'_>) {
        if !ordered.limited {
            return;
        }
        if ordered.by_all {
            for item in table.items.clone() {
                table.rows.rows(whole(item));
            }
        }
        let binding = Binding { items: table.items.clone(), ..Binding::default() };
        let scope = Scope { bindings: vec![binding], ..Scope::default() };
        for expression in &ordered.by {
            let origin = match positional(expression) {
                Some(at) => column_at(&table.items, at),
                None => self.expression(expression, &scope),
            };
            table.rows.rows(origin);
        }
    }

    fn values(&self, values: &Values, parent: Option<&Scope<'_>>, ctes: &Ctes) -> Table {
        let scope = Scope { ctes: ctes.clone(), parent, ..Scope::default() };
        let width = values.rows.iter().map(|row| row.content.len()).max().unwrap_or(0);
        let mut origins = vec![Origin::default(); width];
        for row in &values.rows {
            for (origin, value) in origins.iter_mut().zip(&row.content) {
                origin.add(self.expression(value, &scope));
            }
        }
        let column = |(at, origin)| {
            let name = match self.dialect {
                Dialect::DuckDb => format!("col{at}"),
                Dialect::Postgres => format!("column{}", at + 1),
            };
            Item::Column { name, origin }
        };
        Table { items: origins.into_iter().enumerate().map(column).collect(), rows: Origin::default() }
    }
}

/// The order of a query. It decides which rows there are where a limit cuts it, or where the first row of several is taken.
#[derive(Debug, Default)]
pub(super) struct Ordered<'q> {
    /// Whether a limit cuts it.
    pub(super) limited: bool,
    pub(super) by: Vec<&'q Expr>,
    /// By all columns.
    pub(super) by_all: bool,
}

/// What groups, where it is said.
pub(super) fn groups(group: &GroupByExpr) -> Option<&[Expr]> {
    match group {
        GroupByExpr::All(_) => None,
        GroupByExpr::Expressions(expressions, _) => Some(expressions),
    }
}

/// The number of a column that an expression is.
pub(super) fn positional(expression: &Expr) -> Option<usize> {
    match expression {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => number.to_string().parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

/// The column with this number, from 1.
pub(super) fn column_at(items: &[Item], at: usize) -> Origin {
    for (index, item) in items.iter().enumerate() {
        match item {
            Item::Column { origin, .. } if index + 1 == at => return origin.clone(),
            Item::Column { .. } => {}
            item => return whole(item.clone()),
        }
    }
    Origin::unknown(format!("there is no column {at}"))
}

/// What is behind an item, whatever columns it is.
pub(super) fn whole(item: Item) -> Origin {
    match item {
        Item::Column { origin, .. } => origin,
        Item::Rest(rest) => Origin::unknown(format!("not all columns of `{}` are known", rest.relation)),
        Item::Unknown(reason) => Origin::unknown(reason),
    }
}

/// Gives the first columns other names.
pub(super) fn renamed(items: &mut Vec<Item>, names: &[String]) {
    for (at, name) in names.iter().enumerate() {
        match items.get_mut(at) {
            Some(Item::Column { name: before, .. }) => before.clone_from(name),
            // One of the columns that aren't known, and so are all from here on.
            Some(_) => {
                let unknown = |name: &String| Item::Column {
                    name: name.clone(),
                    origin: Origin::unknown(format!(
                        "which column `{name}` names is not known: not all columns are"
                    )),
                };
                let rest = Item::Unknown("columns by position of what is not known".into());
                items.splice(at.., names[at..].iter().map(unknown).chain([rest]));
                return;
            }
            None => return,
        }
    }
}

/// How many edges there are.
fn size(table: &Table) -> usize {
    let of = |origin: &Origin| origin.from.len() + origin.by.len() + usize::from(origin.unknown.is_some());
    let columns = table.items.iter().map(|item| match item {
        Item::Column { origin, .. } => of(origin),
        _ => 1,
    });
    columns.sum::<usize>() + of(&table.rows)
}

/// Rows of both.
fn united(dialect: Dialect, mut left: Table, right: Table, quantifier: SetQuantifier) -> Table {
    left.rows.rows(right.rows);
    let by_name = matches!(
        quantifier,
        SetQuantifier::ByName | SetQuantifier::AllByName | SetQuantifier::DistinctByName
    );
    let is_known = |items: &[Item]| items.iter().all(|item| matches!(item, Item::Column { .. }));
    let all_known = is_known(&left.items) && is_known(&right.items);
    if !all_known {
        let reason = "which columns are united is not known: not all of them are";
        for item in &mut left.items {
            if let Item::Column { origin, .. } = item {
                origin.add(Origin::unknown(reason));
            }
        }
        // What stands behind a column that isn't known has no place of its own.
        if let Some(at) = left.items.iter().position(|item| !matches!(item, Item::Column { .. })) {
            left.items.truncate(at);
            left.items.push(Item::Unknown(reason.into()));
        } else if by_name {
            left.items.push(Item::Unknown(reason.into()));
        }
        return left;
    }
    if !by_name {
        for (left, right) in left.items.iter_mut().zip(right.items) {
            if let (Item::Column { origin, .. }, Item::Column { origin: other, .. }) = (left, right) {
                origin.add(other);
            }
        }
        return left;
    }
    let mut added = HashSet::new();
    for item in right.items {
        let Item::Column { name, origin } = item else { continue };
        let wanted = dialect.key(&name);
        let same = left.items.iter_mut().find_map(|item| match item {
            Item::Column { name, origin } if dialect.key(name) == wanted => Some(origin),
            _ => None,
        });
        match same {
            Some(same) => same.add(origin),
            None if added.insert(wanted) => left.items.push(Item::Column { name, origin }),
            None => {}
        }
    }
    left
}
