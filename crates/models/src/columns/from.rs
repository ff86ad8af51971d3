//! What is read from: relations, queries, functions, pivots, and how they are joined.

use std::collections::BTreeSet;

use sqlparser::ast::{
    Expr, ExprWithAlias, FunctionArg, FunctionArgExpr, Ident, Join, JoinConstraint, JoinOperator, ObjectName,
    PivotValueSource, TableAlias, TableFactor, TableWithJoins, Value, Visit, Visitor,
};

use super::{
    expression::{function_name, shortened, unnested},
    query::{renamed, whole, Reader},
    scope::{key, named, Binding, Ctes, Item, Merged, Origin, Scope, Table},
    select::{items_of, without},
    Dialect, Known, Rest,
};

/// Table functions whose only column is called as the function, or as its alias.
const ONE_COLUMN: &[&str] =
    &["generate_series", "range", "generate_subscripts", "regexp_split_to_table", "string_to_table"];

impl Reader<'_> {
    /// Brings what is read from into scope; `rows` takes what decides about rows.
    ///
    /// Errors: why nothing can be told.
    pub(super) fn from(
        &self,
        all: &[TableWithJoins],
        scope: &mut Scope<'_>,
        rows: &mut Origin,
    ) -> Result<(), String> {
        for one in all {
            let begin = scope.bindings.len();
            self.factor(&one.relation, scope, rows)?;
            for join in &one.joins {
                self.join(join, begin, scope, rows)?;
            }
        }
        Ok(())
    }

    /// Joins to what is in scope from `begin` on.
    fn join(
        &self,
        join: &Join,
        begin: usize,
        scope: &mut Scope<'_>,
        rows: &mut Origin,
    ) -> Result<(), String> {
        let middle = scope.bindings.len();
        self.factor(&join.relation, scope, rows)?;
        let (constraint, keeps) = match &join.join_operator {
            JoinOperator::Join(on)
            | JoinOperator::Inner(on)
            | JoinOperator::Left(on)
            | JoinOperator::LeftOuter(on)
            | JoinOperator::CrossJoin(on)
            | JoinOperator::StraightJoin(on) => (on, Keeps::Left),
            JoinOperator::Right(on) | JoinOperator::RightOuter(on) => (on, Keeps::Right),
            JoinOperator::FullOuter(on) => (on, Keeps::Both),
            JoinOperator::Semi(on)
            | JoinOperator::LeftSemi(on)
            | JoinOperator::Anti(on)
            | JoinOperator::LeftAnti(on) => (on, Keeps::OnlyLeft),
            JoinOperator::AsOf { match_condition, constraint } => {
                rows.rows(self.expression(match_condition, scope));
                (constraint, Keeps::Left)
            }
            JoinOperator::CrossApply | JoinOperator::OuterApply => (&JoinConstraint::None, Keeps::Left),
            _ => return Err("a join that neither DuckDB nor PostgreSQL has".into()),
        };
        match constraint {
            JoinConstraint::On(condition) => rows.rows(self.expression(condition, scope)),
            JoinConstraint::Using(names) => {
                for name in names {
                    let ident = name.0.last().and_then(|part| part.as_ident());
                    let Some(ident) = ident else { continue };
                    self.merge(
                        &key(self.dialect, ident),
                        &named(self.dialect, ident),
                        [begin, middle],
                        keeps,
                        scope,
                        rows,
                    );
                }
            }
            JoinConstraint::Natural => {
                for (key, name) in self.shared(&scope.bindings[begin..middle], &scope.bindings[middle..])? {
                    self.merge(&key, &name, [begin, middle], keeps, scope, rows);
                }
            }
            JoinConstraint::None => {}
        }
        if keeps == Keeps::OnlyLeft {
            scope.bindings.truncate(middle);
        }
        Ok(())
    }

    /// Makes one column of two of the same name.
    fn merge(
        &self,
        key: &str,
        name: &str,
        [begin, middle]: [usize; 2],
        keeps: Keeps,
        scope: &mut Scope<'_>,
        rows: &mut Origin,
    ) {
        let (before, right) = scope.bindings.split_at_mut(middle);
        let merged = scope.merged.iter().position(|merged| merged.key == key);
        let left = match merged {
            Some(at) => scope.merged[at].origin.clone(),
            None => self.one_of(&mut before[begin..], key, name),
        };
        let other = self.one_of(right, key, name);
        for binding in right.iter_mut() {
            binding.hidden.insert(key.to_owned());
        }
        rows.rows(left.clone());
        rows.rows(other.clone());
        let origin = match keeps {
            Keeps::Left | Keeps::OnlyLeft => left,
            Keeps::Right => other,
            Keeps::Both => {
                let mut both = left;
                both.add(other);
                both
            }
        };
        match merged {
            Some(at) => scope.merged[at].origin = origin,
            None => scope.merged.push(Merged { key: key.to_owned(), name: name.to_owned(), origin }),
        }
    }

    /// The column of this name that one of these must have.
    fn one_of(&self, bindings: &mut [Binding], key: &str, name: &str) -> Origin {
        if let Some(binding) = bindings.iter_mut().find(|binding| binding.surely_has(self.dialect, key)) {
            return binding.insist(self.dialect, key, name).unwrap_or_default();
        }
        let mut found = bindings.iter_mut().filter_map(|binding| binding.insist(self.dialect, key, name));
        match (found.next(), found.next()) {
            (Some(origin), None) => origin,
            (None, _) => Origin::unknown(format!("there is no column `{name}` to join by")),
            _ => Origin::unknown(format!("`{name}` may be a column of several relations")),
        }
    }

    /// Names of columns that both sides have.
    fn shared(&self, left: &[Binding], right: &[Binding]) -> Result<Vec<(String, String)>, String> {
        let names = |bindings: &[Binding]| -> Result<Vec<(String, String)>, String> {
            let mut names = Vec::new();
            for item in bindings.iter().flat_map(|binding| &binding.items) {
                match item {
                    Item::Column { name, .. } => names.push((self.dialect.key(name), name.clone())),
                    _ => return Err("a natural join of what has columns that aren't known".into()),
                }
            }
            Ok(names)
        };
        let right: BTreeSet<String> = names(right)?.into_iter().map(|(key, _)| key).collect();
        let mut seen = BTreeSet::new();
        let left = names(left)?;
        Ok(left.into_iter().filter(|(key, _)| right.contains(key) && seen.insert(key.clone())).collect())
    }

    /// One thing that is read from.
    fn factor(&self, factor: &TableFactor, scope: &mut Scope<'_>, rows: &mut Origin) -> Result<(), String> {
        if !self.step() {
            return Err("it is too large".into());
        }
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                let path = self.path(name);
                let table = self.relation(&path, &name.to_string(), &scope.ctes);
                self.bind(table, path, alias.as_ref(), scope, rows);
            }
            TableFactor::Table { name, alias, args: Some(arguments), with_ordinality, .. } => {
                self.table_function(name, &arguments.args, *with_ordinality, alias.as_ref(), scope, rows);
            }
            TableFactor::Function { name, args, alias, with_ordinality, .. } => {
                self.table_function(name, args, *with_ordinality, alias.as_ref(), scope, rows);
            }
            TableFactor::UNNEST { alias, array_exprs, with_ordinality, .. } => {
                let mut items: Vec<Item> = array_exprs
                    .iter()
                    .map(|list| Item::Column { name: "unnest".into(), origin: self.expression(list, scope) })
                    .collect();
                self.counted(&mut items, *with_ordinality, alias.as_ref());
                let table = Table { items, rows: Origin::default() };
                self.bind(table, vec!["unnest".into()], alias.as_ref(), scope, rows);
            }
            TableFactor::Derived { lateral, subquery, alias, .. } => {
                // DuckDB finds out by itself that a query names what stands before it.
                let sees = *lateral || self.dialect == Dialect::DuckDb;
                let around = if sees { Some(&*scope) } else { scope.parent };
                let table = self.query(subquery, around, &scope.ctes)?;
                self.bind(table, Vec::new(), alias.as_ref(), scope, rows);
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                self.from(std::slice::from_ref(table_with_joins), scope, rows)?;
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                let mut inner = Scope { ctes: scope.ctes.clone(), parent: Some(&*scope), ..Scope::default() };
                self.from(std::slice::from_ref(table_with_joins), &mut inner, rows)?;
                let items = self.star(&inner, None)?;
                self.bind(Table { items, rows: Origin::default() }, Vec::new(), alias.as_ref(), scope, rows);
            }
            TableFactor::Pivot { table, aggregate_functions, value_column, value_source, alias, .. } => {
                let mut inner = Scope { ctes: scope.ctes.clone(), parent: Some(&*scope), ..Scope::default() };
                self.factor(table, &mut inner, rows)?;
                let items = self.pivoted(aggregate_functions, value_column, value_source, &inner, rows)?;
                self.bind(Table { items, rows: Origin::default() }, Vec::new(), alias.as_ref(), scope, rows);
            }
            TableFactor::Unpivot { table, value, name, columns, alias, .. } => {
                let mut inner = Scope { ctes: scope.ctes.clone(), parent: Some(&*scope), ..Scope::default() };
                self.factor(table, &mut inner, rows)?;
                let items = self.unpivoted(value, name, columns, &inner)?;
                self.bind(Table { items, rows: Origin::default() }, Vec::new(), alias.as_ref(), scope, rows);
            }
            other => return Err(format!("`{}` is not analysed", shortened(&other.to_string()))),
        }
        Ok(())
    }

    /// A relation or a CTE.
    pub(super) fn relation(&self, path: &[String], written: &str, ctes: &Ctes) -> Table {
        if let [name] = path {
            if let Some(cte) = ctes.get(name) {
                return (*cte).clone();
            }
        }
        let known = self.relations.relation(path);
        let known =
            known.unwrap_or_else(|| Known { id: written.into(), columns: Vec::new(), complete: false });
        Table { items: self.known(known), rows: Origin::default() }
    }

    pub(super) fn known(&self, known: Known) -> Vec<Item> {
        items_of(known, self.dialect)
    }

    /// Brings a table into scope under its alias, or else its own name.
    fn bind(
        &self,
        mut table: Table,
        path: Vec<String>,
        alias: Option<&TableAlias>,
        scope: &mut Scope<'_>,
        rows: &mut Origin,
    ) {
        rows.rows(table.rows);
        let mut path = path;
        if let Some(alias) = alias {
            path = vec![key(self.dialect, &alias.name)];
            let names: Vec<String> =
                alias.columns.iter().map(|column| named(self.dialect, &column.name)).collect();
            renamed(&mut table.items, &names);
        }
        scope.bindings.push(Binding { path, items: table.items, ..Binding::default() });
    }

    /// `f(…)` as something that is read from.
    fn table_function(
        &self,
        name: &ObjectName,
        arguments: &[FunctionArg],
        with_ordinality: bool,
        alias: Option<&TableAlias>,
        scope: &mut Scope<'_>,
        rows: &mut Origin,
    ) {
        let called = function_name(name);
        let mut origin = Origin::default();
        let mut relations = false;
        for argument in arguments {
            match argument {
                // `read_csv('a.csv', header = true)`: the name is an option's.
                FunctionArg::Named { arg: FunctionArgExpr::Expr(value), .. }
                | FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => {
                    relations |= has_query(value);
                    origin.add(self.expression(value, scope));
                }
                _ => origin
                    .add(Origin::unknown(format!("`{}` is not analysed", shortened(&argument.to_string())))),
            }
        }
        let one = |origin| {
            let name = alias.map_or_else(|| called.clone(), |alias| named(self.dialect, &alias.name));
            vec![Item::Column { name, origin }]
        };
        let listed = alias.is_some_and(|alias| !alias.columns.is_empty());
        let reads_nothing = origin.from.is_empty() && origin.unknown.is_none() && !relations;
        let mut items = if ONE_COLUMN.contains(&called.as_str()) || called == "unnest" {
            one(origin)
        } else if listed {
            let columns = alias.into_iter().flat_map(|alias| &alias.columns);
            let column = |name: String| Item::Column { name, origin: origin.clone() };
            let mut items: Vec<Item> =
                columns.map(|column| named(self.dialect, &column.name)).map(column).collect();
            if self.dialect == Dialect::DuckDb {
                items.push(Item::Unknown(format!("how many columns `{called}` gives is not known").into()));
            }
            items
        } else if reads_nothing && self.dialect == Dialect::DuckDb {
            // A file, say: a thing of its own that is read.
            let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
            let relation = format!("{called}({})", arguments.join(", ")).into();
            vec![Item::Rest(Rest { relation, except: BTreeSet::new() })]
        } else {
            vec![Item::Unknown(format!("which columns `{called}` gives is not known").into())]
        };
        self.counted(&mut items, with_ordinality, alias);
        self.bind(Table { items, rows: Origin::default() }, vec![called], alias, scope, rows);
    }

    /// The number of each row, where it is asked for.
    fn counted(&self, items: &mut Vec<Item>, with_ordinality: bool, alias: Option<&TableAlias>) {
        // Of several columns each would be called by itself.
        if let (Some(alias), [Item::Column { name, .. }]) = (alias, items.as_mut_slice()) {
            *name = named(self.dialect, &alias.name);
        }
        if with_ordinality {
            items.push(Item::Column { name: "ordinality".into(), origin: Origin::default() });
        }
    }

    /// Rows turned to columns. What is neither turned nor aggregated groups.
    fn pivoted(
        &self,
        aggregates: &[ExprWithAlias],
        by: &[Expr],
        values: &PivotValueSource,
        scope: &Scope<'_>,
        rows: &mut Origin,
    ) -> Result<Vec<Item>, String> {
        let ([turned], PivotValueSource::List(values)) = (by, values) else {
            return Err("a pivot by several columns, or by values of a query, is not analysed".into());
        };
        let decides = self.expression(turned, scope);
        let mut used = Names::default();
        let _ = turned.visit(&mut used);
        let mut made = Vec::new();
        for aggregate in aggregates {
            let _ = aggregate.expr.visit(&mut used);
            made.push((aggregate, self.expression(&aggregate.expr, scope)));
        }
        let used: BTreeSet<String> = used.0.iter().map(|name| key(self.dialect, name)).collect();
        let mut items = self.star(scope, None)?;
        without(self.dialect, &mut items, &used);
        for item in &items {
            rows.rows(whole(item.clone()));
        }
        for value in values {
            let text = match (&value.alias, unnested(&value.expr)) {
                (Some(alias), _) => alias.value.clone(),
                (None, Expr::Value(value)) => match &value.value {
                    Value::SingleQuotedString(text) => text.clone(),
                    other => other.to_string(),
                },
                (None, other) => other.to_string(),
            };
            for (aggregate, origin) in &made {
                let name = match (&aggregate.alias, made.len()) {
                    (Some(alias), _) => format!("{text}_{}", alias.value),
                    (None, 1) => text.clone(),
                    (None, _) => format!("{text}_{}", aggregate.expr),
                };
                let mut origin = origin.clone();
                origin.decide(decides.clone());
                items.push(Item::Column { name, origin });
            }
        }
        Ok(items)
    }

    /// Columns turned to rows: one for their names, the others for their values.
    fn unpivoted(
        &self,
        value: &Expr,
        name: &Ident,
        columns: &[ExprWithAlias],
        scope: &Scope<'_>,
    ) -> Result<Vec<Item>, String> {
        let names = |expression: &Expr| -> Vec<Ident> {
            match unnested(expression) {
                Expr::Tuple(all) => all.iter().filter_map(ident).collect(),
                other => ident(other).into_iter().collect(),
            }
        };
        let values = names(value);
        let mut origins = vec![Origin::default(); values.len()];
        let mut turned = BTreeSet::new();
        for column in columns {
            let columns = names(&column.expr);
            if columns.len() != values.len() {
                return Err("an unpivot of what is no column is not analysed".into());
            }
            for (origin, column) in origins.iter_mut().zip(&columns) {
                let column = key(self.dialect, column);
                origin.add(scope.resolve(self.dialect, std::slice::from_ref(&column)));
                turned.insert(column);
            }
        }
        let mut items = self.star(scope, None)?;
        without(self.dialect, &mut items, &turned);
        items.push(Item::Column { name: named(self.dialect, name), origin: Origin::default() });
        let values = values.iter().zip(origins);
        items.extend(values.map(|(name, origin)| Item::Column { name: named(self.dialect, name), origin }));
        Ok(items)
    }
}

/// Which side a column comes from that is both's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeps {
    Left,
    Right,
    Both,
    /// The left one, and the right side can't be named.
    OnlyLeft,
}

/// Names of columns in an expression.
#[derive(Default)]
struct Names(Vec<Ident>);

impl Visitor for Names {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &Expr) -> std::ops::ControlFlow<()> {
        self.0.extend(ident(expression));
        std::ops::ControlFlow::Continue(())
    }
}

/// The column that an expression is.
fn ident(expression: &Expr) -> Option<Ident> {
    match unnested(expression) {
        Expr::Identifier(ident) => Some(ident.clone()),
        Expr::CompoundIdentifier(parts) => parts.last().cloned(),
        _ => None,
    }
}

/// Whether a query stands in an expression.
fn has_query(expression: &Expr) -> bool {
    struct Queries(bool);
    impl Visitor for Queries {
        type Break = ();

        fn pre_visit_query(&mut self, _: &sqlparser::ast::Query) -> std::ops::ControlFlow<()> {
            self.0 = true;
            std::ops::ControlFlow::Break(())
        }
    }
    let mut queries = Queries(false);
    let _ = expression.visit(&mut queries);
    queries.0
}
