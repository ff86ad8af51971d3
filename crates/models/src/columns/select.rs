//! A `select`: its columns, and what decides about its rows.

use std::collections::BTreeSet;

use regex::RegexBuilder;
use sqlparser::ast::{
    Distinct, ExcludeSelectItem, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName,
    ObjectNamePart, RenameSelectItem, Select, SelectFlavor, SelectItem, SelectItemQualifiedWildcardKind,
    Value, Visit, Visitor, WildcardAdditionalOptions,
};

use super::{
    expression::{aggregates, function_name, shortened, unnested},
    query::{column_at, groups, positional, whole, Ordered, Reader},
    scope::{key, named, Binding, Ctes, Item, Origin, Scope, Table},
    Dialect, Rest,
};

impl Reader<'_> {
    pub(super) fn select(
        &self,
        select: &Select,
        ordered: &Ordered<'_>,
        parent: Option<&Scope<'_>>,
        ctes: &Ctes,
    ) -> Result<Table, String> {
        let other = !select.lateral_views.is_empty()
            || select.prewhere.is_some()
            || !select.connect_by.is_empty()
            || select.value_table_mode.is_some()
            || select.top.is_some()
            || select.into.is_some();
        if other {
            return Err("it has clauses that neither DuckDB nor PostgreSQL has".into());
        }
        let mut scope = Scope { ctes: ctes.clone(), parent, ..Scope::default() };
        let mut rows = Origin::default();
        self.from(&select.from, &mut scope, &mut rows)?;
        for window in &select.named_window {
            let origin = self.window_of(&window.1, &scope);
            scope.windows.push((key(self.dialect, &window.0), origin));
        }
        let mut items = Vec::new();
        let mut grouped = Origin::default();
        if select.flavor == SelectFlavor::FromFirstNoSelect {
            items = self.star(&scope, None)?;
        }
        let by_alias = self.dialect == Dialect::DuckDb;
        for item in &select.projection {
            let columns = self.columns(item, &mut scope)?;
            let is_aggregate = match item {
                SelectItem::UnnamedExpr(expression) | SelectItem::ExprWithAlias { expr: expression, .. } => {
                    aggregates(expression)
                }
                _ => false,
            };
            if !is_aggregate {
                columns.iter().for_each(|item| grouped.rows(whole(item.clone())));
            }
            if let (SelectItem::ExprWithAlias { .. }, [Item::Column { name, origin }], true) =
                (item, columns.as_slice(), by_alias)
            {
                scope.aliases.push((self.dialect.key(name), origin.clone()));
            }
            items.extend(columns);
        }
        if let Some(exclude) = &select.exclude {
            let excluded: BTreeSet<String> = self.excluded(exclude);
            without(self.dialect, &mut items, &excluded);
        }
        for condition in [&select.selection, &select.having, &select.qualify].into_iter().flatten() {
            rows.rows(self.expression(condition, &scope));
        }
        match groups(&select.group_by) {
            None => rows.rows(grouped),
            Some(expressions) => {
                for expression in expressions {
                    rows.rows(self.by_output(expression, &items, &scope, false));
                }
            }
        }
        let mut decides = ordered.limited;
        if let Some(Distinct::On(expressions)) = &select.distinct {
            decides = true;
            for expression in expressions {
                rows.rows(self.by_output(expression, &items, &scope, true));
            }
        }
        if decides {
            for expression in &ordered.by {
                rows.rows(self.by_output(expression, &items, &scope, true));
            }
            if ordered.by_all {
                items.iter().for_each(|item| rows.rows(whole(item.clone())));
            }
        }
        Ok(Table { items, rows })
    }

    /// An expression of `group by` or `order by`, which may be the number or the name of a column of the `select`.
    fn by_output(&self, expression: &Expr, items: &[Item], scope: &Scope<'_>, outputs_first: bool) -> Origin {
        if let Some(at) = positional(expression) {
            return column_at(items, at);
        }
        // Sets of groups, each a list.
        if let Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets) = expression {
            let mut origin = Origin::default();
            for expression in sets.iter().flatten() {
                origin.add(self.by_output(expression, items, scope, outputs_first));
            }
            return origin;
        }
        if let Expr::Identifier(ident) = unnested(expression) {
            let wanted = key(self.dialect, ident);
            let output = items.iter().find_map(|item| match item {
                Item::Column { name, origin } if self.dialect.key(name) == wanted => Some(origin),
                _ => None,
            });
            // `group by` means columns before names of this `select`, `order by` the other way round.
            let is_column = || scope.is_surely(self.dialect, std::slice::from_ref(&wanted));
            if let Some(origin) = output.filter(|_| outputs_first || is_column() == Some(false)) {
                return origin.clone();
            }
        }
        self.expression(expression, scope)
    }

    /// The columns that one item of a `select` is.
    fn columns(&self, item: &SelectItem, scope: &mut Scope<'_>) -> Result<Vec<Item>, String> {
        match item {
            SelectItem::UnnamedExpr(expression) => {
                if let Some(columns) = self.each(expression, None, scope)? {
                    return Ok(columns);
                }
                if let Expr::Function(function) = expression {
                    if self.dialect == Dialect::DuckDb && function_name(&function.name) == "unnest" {
                        return Ok(vec![Item::Unknown(
                            "how many columns `unnest` gives is not known".into(),
                        )]);
                    }
                }
                let name = self.unnamed(expression);
                Ok(vec![Item::Column { name, origin: self.expression(expression, scope) }])
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                if let Some(columns) = self.each(expr, Some(&alias.value), scope)? {
                    return Ok(columns);
                }
                let name = named(self.dialect, alias);
                Ok(vec![Item::Column { name, origin: self.expression(expr, scope) }])
            }
            SelectItem::ExprWithAliases { .. } => Err("a column with several names is not analysed".into()),
            SelectItem::Wildcard(options) => {
                let items = self.star(scope, None)?;
                self.changed(items, options, scope)
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                let items = self.star(scope, Some(&self.path(name)))?;
                self.changed(items, options, scope)
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::Expr(_), _) => {
                Ok(vec![Item::Unknown("which fields a struct has is not known".into())])
            }
        }
    }

    /// All columns, or those of one relation.
    pub(super) fn star(&self, scope: &Scope<'_>, of: Option<&[String]>) -> Result<Vec<Item>, String> {
        if let Some(path) = of {
            let binding = scope.bindings.iter().find(|binding| binding.path.ends_with(path));
            return match binding {
                Some(binding) => Ok(binding.items.clone()),
                // Of a struct, or of a relation of a query around.
                None => {
                    Ok(vec![Item::Unknown(format!("what `{}.*` is is not known", path.join(".")).into())])
                }
            };
        }
        let dialect = self.dialect;
        let merged = |name: &str| scope.merged.iter().find(|merged| merged.key == dialect.key(name));
        let mut items = Vec::new();
        if dialect == Dialect::Postgres {
            items.extend(
                scope
                    .merged
                    .iter()
                    .map(|one| Item::Column { name: one.name.clone(), origin: one.origin.clone() }),
            );
        }
        for Binding { items: all, hidden, .. } in &scope.bindings {
            for item in all {
                match item {
                    Item::Column { name, .. } if hidden.contains(&dialect.key(name)) => {}
                    Item::Column { name, origin } => match merged(name) {
                        Some(_) if dialect == Dialect::Postgres => {}
                        Some(one) => {
                            items.push(Item::Column { name: name.clone(), origin: one.origin.clone() })
                        }
                        None => items.push(Item::Column { name: name.clone(), origin: origin.clone() }),
                    },
                    other => items.push(other.clone()),
                }
            }
        }
        Ok(items)
    }

    fn excluded(&self, exclude: &ExcludeSelectItem) -> BTreeSet<String> {
        let names = match exclude {
            ExcludeSelectItem::Single(name) => std::slice::from_ref(name),
            ExcludeSelectItem::Multiple(names) => names,
        };
        names.iter().filter_map(|name| self.path(name).pop()).collect()
    }

    /// `* exclude (…) replace (…) rename (…)`.
    fn changed(
        &self,
        mut items: Vec<Item>,
        options: &WildcardAdditionalOptions,
        scope: &Scope<'_>,
    ) -> Result<Vec<Item>, String> {
        if options.opt_ilike.is_some() || options.opt_alias.is_some() {
            return Ok(vec![Item::Unknown("which columns match a pattern is not analysed".into())]);
        }
        let mut excluded =
            options.opt_exclude.as_ref().map(|exclude| self.excluded(exclude)).unwrap_or_default();
        if let Some(except) = &options.opt_except {
            let names = std::iter::once(&except.first_element).chain(&except.additional_elements);
            excluded.extend(names.map(|name| key(self.dialect, name)));
        }
        without(self.dialect, &mut items, &excluded);
        let replaced = options.opt_replace.iter().flat_map(|replace| &replace.items);
        for element in replaced {
            let origin = self.expression(&element.expr, scope);
            let name = named(self.dialect, &element.column_name);
            change(self.dialect, &mut items, &key(self.dialect, &element.column_name), |_| (name, origin));
        }
        let renamed = match &options.opt_rename {
            None => &[],
            Some(RenameSelectItem::Single(one)) => std::slice::from_ref(one),
            Some(RenameSelectItem::Multiple(many)) => many.as_slice(),
        };
        for one in renamed {
            let name = named(self.dialect, &one.alias);
            change(self.dialect, &mut items, &key(self.dialect, &one.ident), |origin| (name, origin));
        }
        Ok(items)
    }

    /// `columns(…)` in an expression: the expression for each of the columns; none where there is none in it.
    fn each(
        &self,
        expression: &Expr,
        alias: Option<&str>,
        scope: &mut Scope<'_>,
    ) -> Result<Option<Vec<Item>>, String> {
        if self.dialect == Dialect::Postgres {
            return Ok(None);
        }
        let Some(function) = columns_function(expression) else { return Ok(None) };
        let chosen = match self.chosen(&function, scope) {
            Ok(chosen) => chosen,
            Err(reason) => return Ok(Some(vec![Item::Unknown(reason.into())])),
        };
        let is_all = matches!(unnested(expression), Expr::Function(_)) && columns_function_at(expression);
        let mut items = Vec::new();
        for item in chosen {
            match item {
                // A name that is made of each column's.
                Item::Column { .. } if alias.is_some_and(|alias| alias.contains('\\')) => {
                    items.push(Item::Unknown("what columns are called by a pattern is not analysed".into()));
                }
                Item::Column { name, origin } => {
                    scope.each = Some(origin);
                    let origin = self.expression(expression, scope);
                    scope.each = None;
                    let name = alias.map_or(name, str::to_owned);
                    items.push(Item::Column { name, origin });
                }
                other if is_all => items.push(other),
                other => items.push(Item::Unknown(whole(other).unknown.unwrap_or_default())),
            }
        }
        Ok(Some(items))
    }

    /// The columns that `columns(…)` means.
    fn chosen(&self, function: &Function, scope: &Scope<'_>) -> Result<Vec<Item>, String> {
        let unknown = || format!("which columns `{}` means is not known", shortened(&function.to_string()));
        let FunctionArguments::List(list) = &function.args else { return Err(unknown()) };
        let [FunctionArg::Unnamed(argument)] = list.args.as_slice() else { return Err(unknown()) };
        let all = self.star(scope, None)?;
        let literals = match argument {
            FunctionArgExpr::Wildcard => return Ok(all),
            FunctionArgExpr::WildcardWithOptions(options) => return self.changed(all, options, scope),
            FunctionArgExpr::QualifiedWildcard(name) => return self.star(scope, Some(&self.path(name))),
            FunctionArgExpr::Expr(Expr::Array(array)) => {
                array.elem.iter().map(literal).collect::<Option<Vec<_>>>().ok_or_else(unknown)?
            }
            FunctionArgExpr::Expr(pattern) => {
                let pattern = literal(pattern).ok_or_else(unknown)?;
                let matches = RegexBuilder::new(pattern).build().map_err(|_| unknown())?;
                if all.iter().any(|item| !matches!(item, Item::Column { .. })) {
                    return Err(unknown());
                }
                let is_chosen =
                    |item: &Item| matches!(item, Item::Column { name, .. } if matches.is_match(name));
                return Ok(all.into_iter().filter(is_chosen).collect());
            }
        };
        let path = |name: &str| [self.dialect.key(name)];
        Ok(literals
            .into_iter()
            .map(|name| Item::Column {
                name: name.to_owned(),
                origin: scope.resolve(self.dialect, &path(name)),
            })
            .collect())
    }

    /// What a column is called that isn't given a name.
    fn unnamed(&self, expression: &Expr) -> String {
        match (self.dialect, unnested(expression)) {
            (_, Expr::Identifier(ident)) => named(self.dialect, ident),
            (_, Expr::CompoundIdentifier(parts)) => {
                parts.last().map_or_else(String::new, |part| named(self.dialect, part))
            }
            (Dialect::Postgres, Expr::Function(function)) => function_name(&function.name),
            (Dialect::Postgres, Expr::Case { .. }) => "case".into(),
            (Dialect::Postgres, Expr::Exists { .. }) => "exists".into(),
            (Dialect::Postgres, Expr::Cast { expr, .. }) => match self.unnamed(expr) {
                name if name == "?column?" => expression.to_string().to_lowercase(),
                name => name,
            },
            (Dialect::Postgres, _) => "?column?".into(),
            // Near to what DuckDB makes of it; who refers to such a name does so at their own risk.
            (Dialect::DuckDb, expression) => expression.to_string(),
        }
    }

    /// The parts of a name as they are compared.
    pub(super) fn path(&self, name: &ObjectName) -> Vec<String> {
        name.0.iter().filter_map(ObjectNamePart::as_ident).map(|part| key(self.dialect, part)).collect()
    }
}

/// Takes columns out.
pub(super) fn without(dialect: Dialect, items: &mut Vec<Item>, excluded: &BTreeSet<String>) {
    items.retain(|item| !matches!(item, Item::Column { name, .. } if excluded.contains(&dialect.key(name))));
    for item in items {
        if let Item::Rest(rest) = item {
            rest.except.extend(excluded.iter().cloned());
        }
    }
}

/// Changes a column; one of those that aren't known is known from then on.
fn change(
    dialect: Dialect,
    items: &mut Vec<Item>,
    wanted: &str,
    change: impl FnOnce(Origin) -> (String, Origin),
) {
    let mut binding = Binding { items: std::mem::take(items), ..Binding::default() };
    if binding.insist(dialect, wanted, wanted).is_some() {
        let column = binding.items.iter_mut().find_map(|item| match item {
            Item::Column { name, origin } if dialect.key(name) == wanted => Some((name, origin)),
            _ => None,
        });
        if let Some((name, origin)) = column {
            (*name, *origin) = change(std::mem::take(origin));
        }
    }
    *items = binding.items;
}

/// A text that stands in the query.
fn literal(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// Whether an expression is `columns(…)` and nothing else.
fn columns_function_at(expression: &Expr) -> bool {
    matches!(unnested(expression), Expr::Function(function) if function_name(&function.name) == "columns")
}

/// The first `columns(…)` in an expression.
fn columns_function(expression: &Expr) -> Option<Function> {
    struct Columns(Option<Function>);
    impl Visitor for Columns {
        type Break = ();

        fn pre_visit_expr(&mut self, expression: &Expr) -> std::ops::ControlFlow<()> {
            match expression {
                Expr::Function(function) if function_name(&function.name) == "columns" => {
                    self.0 = Some(function.clone());
                    std::ops::ControlFlow::Break(())
                }
                _ => std::ops::ControlFlow::Continue(()),
            }
        }
    }
    let mut columns = Columns(None);
    let _ = expression.visit(&mut columns);
    columns.0
}

/// Columns of a relation as far as they are known, and that there are others.
pub(super) fn items_of(known: super::Known, dialect: Dialect) -> Vec<Item> {
    let column = |name: &String| Item::Column { name: name.clone(), origin: Origin::of(&known.id, name) };
    let mut items: Vec<Item> = known.columns.iter().map(column).collect();
    if !known.complete {
        let except = known.columns.iter().map(|name| dialect.key(name)).collect();
        items.push(Item::Rest(Rest { relation: known.id.clone(), except }));
    }
    items
}
