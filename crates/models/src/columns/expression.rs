//! Expressions: which columns a value is made of.

use std::ops::ControlFlow;

use sqlparser::ast::{
    AccessExpr, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgOperator, FunctionArgumentClause,
    FunctionArguments, Ident, LambdaFunction, LambdaSyntax, NamedWindowExpr, ObjectName, ObjectNamePart,
    OneOrManyWithParens, OrderByExpr, Query, Subscript, Visit, Visitor, WindowSpec, WindowType,
};

use super::{
    query::Reader,
    read::COMPREHENSION,
    scope::{key, Item, Origin, Scope},
    Dialect,
};

/// DuckDB's functions that take a lambda. Behind any other's name an arrow takes a member out of JSON.
const TAKE_LAMBDAS: &[&str] = &[
    "apply",
    "array_apply",
    "array_filter",
    "array_reduce",
    "array_transform",
    "filter",
    "list_apply",
    "list_filter",
    "list_reduce",
    "list_transform",
    "reduce",
    COMPREHENSION,
];

/// Aggregates whose value is one of those that `within group` orders.
const TAKE_FROM_ORDER: &[&str] =
    &["mode", "percentile_cont", "percentile_disc", "quantile_cont", "quantile_disc", "median", "quantile"];

impl Reader<'_> {
    /// What a value is made of.
    pub(super) fn expression(&self, expression: &Expr, scope: &Scope<'_>) -> Origin {
        let mut origin = Origin::default();
        // Chains of operators lean to the left, and are as long as somebody's macro makes them.
        let mut at = expression;
        loop {
            if !self.step() {
                return Origin::unknown("it is too large");
            }
            match at {
                Expr::BinaryOp { left, right, .. } => {
                    origin.add(self.expression(right, scope));
                    at = left;
                }
                Expr::Nested(inner)
                | Expr::Cast { expr: inner, .. }
                | Expr::Convert { expr: inner, .. }
                | Expr::UnaryOp { expr: inner, .. }
                | Expr::Collate { expr: inner, .. }
                | Expr::IsNull(inner)
                | Expr::IsNotNull(inner) => at = inner,
                _ => break,
            }
        }
        origin.add(self.other(at, scope));
        origin
    }

    fn all<'e>(&self, expressions: impl IntoIterator<Item = &'e Expr>, scope: &Scope<'_>) -> Origin {
        let mut origin = Origin::default();
        for expression in expressions {
            origin.add(self.expression(expression, scope));
        }
        origin
    }

    fn name(&self, parts: &[&Ident], scope: &Scope<'_>) -> Origin {
        let parts: Vec<String> = parts.iter().map(|part| key(self.dialect, part)).collect();
        scope.resolve(self.dialect, &parts)
    }

    fn other(&self, expression: &Expr, scope: &Scope<'_>) -> Origin {
        let one = |expression: &Expr| self.expression(expression, scope);
        match expression {
            Expr::Identifier(ident) => self.name(&[ident], scope),
            Expr::CompoundIdentifier(parts) => self.name(&parts.iter().collect::<Vec<_>>(), scope),
            Expr::CompoundFieldAccess { root, access_chain } => self.access(root, access_chain, scope),
            Expr::Value(_) | Expr::TypedString(_) => Origin::default(),
            Expr::Prefixed { value, .. } => one(value),
            Expr::Interval(interval) => one(&interval.value),
            Expr::IsFalse(inner)
            | Expr::IsNotFalse(inner)
            | Expr::IsTrue(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsUnknown(inner)
            | Expr::IsNotUnknown(inner)
            | Expr::Named { expr: inner, .. }
            | Expr::Extract { expr: inner, .. }
            | Expr::Ceil { expr: inner, .. }
            | Expr::Floor { expr: inner, .. }
            | Expr::IsJson { expr: inner, .. }
            | Expr::IsNormalized { expr: inner, .. }
            | Expr::JsonAccess { value: inner, .. } => one(inner),
            Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => {
                self.all([&**left, right], scope)
            }
            Expr::AnyOp { left, right, .. }
            | Expr::AllOp { left, right, .. }
            | Expr::RLike { expr: left, pattern: right, .. }
            | Expr::Position { expr: left, r#in: right }
            | Expr::InUnnest { expr: left, array_expr: right, .. }
            | Expr::AtTimeZone { timestamp: left, time_zone: right } => self.all([&**left, right], scope),
            Expr::Like { expr, pattern, escape_char, .. }
            | Expr::ILike { expr, pattern, escape_char, .. }
            | Expr::SimilarTo { expr, pattern, escape_char, .. } => {
                self.all([&**expr, pattern].into_iter().chain(escape_char.as_deref()), scope)
            }
            Expr::InList { expr, list, .. } => self.all(std::iter::once(&**expr).chain(list), scope),
            Expr::Between { expr, low, high, .. } => self.all([&**expr, low, high], scope),
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                let parts = [Some(expr), substring_from.as_ref(), substring_for.as_ref()];
                self.all(parts.into_iter().flatten().map(|part| &**part), scope)
            }
            Expr::Trim { expr, trim_what, trim_characters, .. } => {
                let parts = std::iter::once(&**expr).chain(trim_what.as_deref());
                self.all(parts.chain(trim_characters.iter().flatten()), scope)
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let parts = [Some(expr), Some(overlay_what), Some(overlay_from), overlay_for.as_ref()];
                self.all(parts.into_iter().flatten().map(|part| &**part), scope)
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                let cases = conditions.iter().flat_map(|case| [&case.condition, &case.result]);
                let around = operand.as_deref().into_iter().chain(else_result.as_deref());
                self.all(around.chain(cases), scope)
            }
            Expr::Tuple(values) | Expr::Struct { values, .. } => self.all(values, scope),
            Expr::Array(array) => self.all(&array.elem, scope),
            Expr::Dictionary(fields) => self.all(fields.iter().map(|field| &*field.value), scope),
            Expr::Map(map) => {
                self.all(map.entries.iter().flat_map(|entry| [&*entry.key, &*entry.value]), scope)
            }
            Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets) => {
                self.all(sets.iter().flatten(), scope)
            }
            Expr::Subquery(query) => self.subquery(query, scope),
            Expr::InSubquery { expr, subquery, .. } => {
                let mut origin = one(expr);
                origin.add(self.subquery(subquery, scope));
                origin
            }
            Expr::Exists { subquery, .. } => match self.query(subquery, Some(scope), &scope.ctes) {
                // Whether there are rows is decided by what decides about them.
                Ok(table) => {
                    let mut origin = Origin::default();
                    origin.decide(table.rows);
                    origin
                }
                Err(reason) => Origin::unknown(reason),
            },
            Expr::Function(function) => self.function(function, scope),
            Expr::Lambda(lambda) => self.arrow(lambda, scope),
            other => Origin::unknown(format!("`{}` is not analysed", shortened(&other.to_string()))),
        }
    }

    /// A query as a value.
    fn subquery(&self, query: &Query, scope: &Scope<'_>) -> Origin {
        let table = match self.query(query, Some(scope), &scope.ctes) {
            Ok(table) => table,
            Err(reason) => return Origin::unknown(reason),
        };
        let mut value = Origin::default();
        for item in table.items {
            value.add(match item {
                Item::Column { origin, .. } => origin,
                Item::Rest(rest) => {
                    Origin::unknown(format!("not all columns of `{}` are known", rest.relation))
                }
                Item::Unknown(reason) => Origin::unknown(reason),
            });
        }
        value.decide(table.rows);
        value
    }

    /// `(row).field`, `a['b']`, `a.b[1].c`.
    fn access(&self, root: &Expr, chain: &[AccessExpr], scope: &Scope<'_>) -> Origin {
        let mut parts: Vec<&Ident> = match unnested(root) {
            Expr::Identifier(ident) => vec![ident],
            Expr::CompoundIdentifier(parts) => parts.iter().collect(),
            _ => Vec::new(),
        };
        let is_name = !parts.is_empty();
        let mut behind = chain;
        while let (true, [AccessExpr::Dot(Expr::Identifier(field)), more @ ..]) = (is_name, behind) {
            parts.push(field);
            behind = more;
        }
        let mut origin = if is_name { self.name(&parts, scope) } else { self.expression(root, scope) };
        for access in behind {
            match access {
                // A field of what is there already, by its name.
                AccessExpr::Dot(Expr::Identifier(_) | Expr::Value(_)) => {}
                AccessExpr::Dot(method) => origin.add(self.expression(method, scope)),
                AccessExpr::Subscript(Subscript::Index { index }) => {
                    origin.add(self.expression(index, scope));
                }
                AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, stride }) => {
                    origin.add(self.all([lower_bound, upper_bound, stride].into_iter().flatten(), scope));
                }
            }
        }
        origin
    }

    /// A lambda where none is expected: `a -> 'x'`, a member of JSON.
    fn arrow(&self, lambda: &LambdaFunction, scope: &Scope<'_>) -> Origin {
        if matches!(lambda.syntax, LambdaSyntax::LambdaKeyword) {
            return Origin::unknown("a lambda stands where no function is known to take one");
        }
        let mut origin = Origin::default();
        for parameter in parameters(lambda) {
            origin.add(self.name(&[parameter], scope));
        }
        origin.add(self.expression(&lambda.body, scope));
        origin
    }

    fn lambda(&self, lambda: &LambdaFunction, scope: &Scope<'_>) -> Origin {
        let before = scope.lambdas.borrow().len();
        let names = parameters(lambda).map(|name| key(self.dialect, name));
        scope.lambdas.borrow_mut().extend(names);
        let origin = self.expression(&lambda.body, scope);
        scope.lambdas.borrow_mut().truncate(before);
        origin
    }

    fn function(&self, function: &Function, scope: &Scope<'_>) -> Origin {
        let name = function_name(&function.name);
        let mut origin = self.called_on(&function.name, scope);
        if name == "columns" {
            return match &scope.each {
                Some(each) => each.clone(),
                None => Origin::unknown("`columns` is known in the columns of a `select` only"),
            };
        }
        let takes_lambdas = self.dialect == Dialect::DuckDb && TAKE_LAMBDAS.contains(&name.as_str());
        for arguments in [&function.parameters, &function.args] {
            match arguments {
                FunctionArguments::None => {}
                FunctionArguments::Subquery(query) => origin.add(self.subquery(query, scope)),
                FunctionArguments::List(list) => {
                    for argument in &list.args {
                        origin.add(self.argument(argument, takes_lambdas, scope));
                    }
                    for clause in &list.clauses {
                        self.clause(clause, &mut origin, scope);
                    }
                }
            }
        }
        let ordered = self.all(function.within_group.iter().map(|order| &order.expr), scope);
        if TAKE_FROM_ORDER.contains(&name.as_str()) {
            origin.add(ordered);
        } else {
            origin.decide(ordered);
        }
        if let Some(filter) = &function.filter {
            origin.decide(self.expression(filter, scope));
        }
        match &function.over {
            Some(WindowType::WindowSpec(window)) => origin.decide(self.window(window, scope)),
            Some(WindowType::NamedWindow(window)) => origin.decide(self.named_window(window, scope)),
            None => {}
        }
        origin
    }

    /// `a.upper()`: what stands before a function's name may be a schema, or what it is called on.
    fn called_on(&self, name: &ObjectName, scope: &Scope<'_>) -> Origin {
        let parts: Vec<String> =
            name.0.iter().filter_map(|part| part.as_ident()).map(|part| key(self.dialect, part)).collect();
        let Some((_, before)) = parts.split_last().filter(|(_, before)| !before.is_empty()) else {
            return Origin::default();
        };
        if self.dialect == Dialect::Postgres || scope.lambdas.borrow().contains(&before[0]) {
            return Origin::default();
        }
        match scope.is_surely(self.dialect, before) {
            Some(true) => scope.resolve(self.dialect, before),
            Some(false) => Origin::default(),
            None => Origin::unknown(format!(
                "`{}` may be a column or a schema: not all columns are known",
                before.join(".")
            )),
        }
    }

    fn argument(&self, argument: &FunctionArg, takes_lambdas: bool, scope: &Scope<'_>) -> Origin {
        let (before, value) = match argument {
            // `f(a = b)` compares.
            FunctionArg::Named { name, arg, operator: FunctionArgOperator::Equals } => {
                (self.name(&[name], scope), arg)
            }
            FunctionArg::Named { arg, .. } | FunctionArg::Unnamed(arg) => (Origin::default(), arg),
            FunctionArg::ExprNamed { name, arg, operator: FunctionArgOperator::Equals } => {
                (self.expression(name, scope), arg)
            }
            FunctionArg::ExprNamed { arg, .. } => (Origin::default(), arg),
        };
        let mut origin = before;
        origin.add(match value {
            FunctionArgExpr::Expr(Expr::Lambda(lambda)) if takes_lambdas => self.lambda(lambda, scope),
            FunctionArgExpr::Expr(expression) => self.expression(expression, scope),
            // `count(*)` counts rows.
            FunctionArgExpr::Wildcard => Origin::default(),
            FunctionArgExpr::QualifiedWildcard(name) => {
                let parts: Vec<&Ident> = name.0.iter().filter_map(ObjectNamePart::as_ident).collect();
                self.name(&parts, scope)
            }
            other => Origin::unknown(format!("`{other}` is not analysed")),
        });
        origin
    }

    fn clause(&self, clause: &FunctionArgumentClause, origin: &mut Origin, scope: &Scope<'_>) {
        match clause {
            FunctionArgumentClause::OrderBy(order) => origin.decide(self.ordering(order, scope)),
            FunctionArgumentClause::Where(condition) => origin.decide(self.expression(condition, scope)),
            FunctionArgumentClause::Having(bound) => origin.decide(self.expression(&bound.1, scope)),
            FunctionArgumentClause::Limit(limit) => origin.decide(self.expression(limit, scope)),
            FunctionArgumentClause::IgnoreOrRespectNulls(_)
            | FunctionArgumentClause::OnOverflow(_)
            | FunctionArgumentClause::Separator(_)
            | FunctionArgumentClause::JsonNullClause(_)
            | FunctionArgumentClause::JsonReturningClause(_) => {}
        }
    }

    pub(super) fn ordering(&self, order: &[OrderByExpr], scope: &Scope<'_>) -> Origin {
        self.all(order.iter().map(|order| &order.expr), scope)
    }

    /// What decides which rows a window has.
    fn window(&self, window: &WindowSpec, scope: &Scope<'_>) -> Origin {
        let mut origin = self.all(&window.partition_by, scope);
        origin.add(self.ordering(&window.order_by, scope));
        if let Some(name) = &window.window_name {
            origin.add(self.named_window(name, scope));
        }
        origin
    }

    fn named_window(&self, name: &Ident, scope: &Scope<'_>) -> Origin {
        match scope.window(&key(self.dialect, name)) {
            Some(window) => window.clone(),
            None => Origin::unknown(format!("there is no window `{name}`")),
        }
    }

    /// What decides by a window that is given a name.
    pub(super) fn window_of(&self, window: &NamedWindowExpr, scope: &Scope<'_>) -> Origin {
        match window {
            NamedWindowExpr::NamedWindow(name) => self.named_window(name, scope),
            NamedWindowExpr::WindowSpec(window) => self.window(window, scope),
        }
    }
}

/// Whether a value has an aggregate in it, one that is not over a window and not of a query within.
pub(super) fn aggregates(expression: &Expr) -> bool {
    struct Aggregates {
        within: usize,
        found: bool,
    }
    impl Visitor for Aggregates {
        type Break = ();

        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.within += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.within -= 1;
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
            if let (0, Expr::Function(function)) = (self.within, expression) {
                let name = function_name(&function.name);
                let is_aggregate =
                    function.filter.is_some() || AGGREGATES.binary_search(&name.as_str()).is_ok();
                self.found |= function.over.is_none() && is_aggregate;
            }
            ControlFlow::Continue(())
        }
    }
    let mut aggregates = Aggregates { within: 0, found: false };
    let _ = expression.visit(&mut aggregates);
    aggregates.found
}

/// A function's name, without schema.
pub(super) fn function_name(name: &ObjectName) -> String {
    let last = name.0.last().and_then(ObjectNamePart::as_ident);
    last.map_or_else(String::new, |ident| ident.value.to_lowercase())
}

/// An expression without the parentheses around it.
pub(super) fn unnested(mut expression: &Expr) -> &Expr {
    while let Expr::Nested(inner) = expression {
        expression = inner;
    }
    expression
}

fn parameters(lambda: &LambdaFunction) -> impl Iterator<Item = &Ident> {
    let all = match &lambda.params {
        OneOrManyWithParens::One(one) => std::slice::from_ref(one),
        OneOrManyWithParens::Many(many) => many.as_slice(),
    };
    all.iter().map(|parameter| &parameter.name)
}

/// The beginning of a text, for a reason.
pub(super) fn shortened(text: &str) -> String {
    const MAX: usize = 60;
    match text.char_indices().nth(MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Aggregate functions of DuckDB and PostgreSQL, in order.
const AGGREGATES: &[&str] = &[
    "any_value",
    "approx_count_distinct",
    "approx_quantile",
    "approx_top_k",
    "arbitrary",
    "arg_max",
    "arg_max_null",
    "arg_max_nulls_last",
    "arg_min",
    "arg_min_null",
    "arg_min_nulls_last",
    "argmax",
    "argmin",
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bitstring_agg",
    "bool_and",
    "bool_or",
    "combine_aggr",
    "corr",
    "count",
    "count_if",
    "count_star",
    "countif",
    "covar_pop",
    "covar_samp",
    "decimal_average",
    "entropy",
    "every",
    "favg",
    "first",
    "fsum",
    "group_concat",
    "histogram",
    "histogram_exact",
    "json_agg",
    "json_object_agg",
    "jsonb_agg",
    "jsonb_object_agg",
    "kahan_sum",
    "kurtosis",
    "kurtosis_pop",
    "last",
    "list",
    "listagg",
    "lttb",
    "mad",
    "max",
    "max_by",
    "mean",
    "median",
    "min",
    "min_by",
    "mode",
    "percentile_cont",
    "percentile_disc",
    "product",
    "quantile",
    "quantile_cont",
    "quantile_disc",
    "range_agg",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "reservoir_quantile",
    "sem",
    "skewness",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "sum_no_overflow",
    "sumkahan",
    "var_pop",
    "var_samp",
    "variance",
    "variant_group_object",
    "xmlagg",
];
