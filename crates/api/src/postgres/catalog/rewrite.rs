//! Statements about the catalogue, from PostgreSQL's dialect into the engine's: parsed, changed as a tree, printed.
//!
//! What is changed: names (`pg_catalog.x`, `x`, `information_schema.x` are the engine's schemas `pg` and `info`; unquoted names are folded), casts to
//! the types that name things by number (`regclass`, `regtype`, …), regular expressions, subscripts of vectors that count from 0, array literals,
//! functions that tell of the session, and the names of result columns.

use std::ops::ControlFlow;

use sqlparser::{
    ast::{
        AccessExpr, BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
        FunctionArgumentList, FunctionArguments, Ident, ObjectName, ObjectNamePart, Query, SelectItem,
        SetExpr, Statement, Subscript, TableAliasColumnDef, TableFactor, TableFunctionArgs, UnaryOperator,
        Value, VisitMut, VisitorMut,
    },
    dialect::PostgreSqlDialect,
    keywords::Keyword,
    parser::Parser,
    tokenizer::{Token, Tokenizer},
};

use super::{
    super::{
        error::{Outcome, WireError},
        parameters::array_of_text,
        settings::{Settings, SERVER_VERSION},
    },
    columns::name_columns,
    functions,
    scope::{is_about_catalog, is_catalog_relation},
};

/// What a session knows and the engine does not.
pub(in super::super) struct Facts<'a> {
    pub(in super::super) database: &'a str,
    pub(in super::super) user: &'a str,
    pub(in super::super) pid: i32,
    pub(in super::super) settings: &'a Settings,
}

/// A statement for the engine.
#[derive(Debug)]
pub(in super::super) struct Rewritten {
    pub(in super::super) sql: String,
    /// What `set_config` sets, by name.
    pub(in super::super) sets: Vec<(String, String)>,
}

/// Parts of words that a statement about the catalogue has at least one of. Only those are parsed.
const MARKS: [&str; 16] = [
    "pg_",
    "information_schema",
    "current_",
    "session_user",
    "version",
    "::reg",
    "to_reg",
    "as reg",
    "has_",
    "_description",
    "format_type",
    "quote_",
    "set_config",
    "inet_",
    "txid_",
    "col_is",
];

/// Functions that tell of the session.
pub(super) const OF_SESSION: [&str; 11] = [
    "current_catalog",
    "current_database",
    "current_role",
    "current_schema",
    "current_schemas",
    "current_setting",
    "current_user",
    "pg_backend_pid",
    "session_user",
    "set_config",
    "version",
];

/// Functions that the engine has by other names.
const RENAMED: [(&str, &str); 9] = [
    ("array_to_json", "to_json"),
    ("btrim", "trim"),
    ("cardinality", "len"),
    ("char_length", "length"),
    ("json_agg", "json_group_array"),
    ("json_build_array", "json_array"),
    ("json_build_object", "json_object"),
    ("jsonb_build_object", "json_object"),
    ("row_to_json", "to_json"),
];

/// Functions that clients call in FROM and that give one value.
const ONE_VALUE: [&str; 2] = ["parse_ident", "string_to_array"];

/// Types whose values are the numbers of things and that read and print their names.
const NAMING_TYPES: [&str; 5] = ["regclass", "regtype", "regnamespace", "regrole", "regproc"];

/// How deep a statement may be nested. Clients' own go no deeper than 20. Printing a tree takes time with the cube of its depth.
const DEPTH_MAX: usize = 100;

/// Operators and keywords of a statement that is parsed here, at most. A chain of them (`1+1+…`) becomes a tree as deep as it is long, and the tree is
/// walked by recursion. The largest of clients' own have 300; lists of values may be as long as they like.
const OPERATORS_MAX: usize = 1000;

/// Whether a token can make a statement's tree deeper.
fn deepens(token: &Token) -> bool {
    match token {
        Token::Word(word) => word.keyword != Keyword::NoKeyword,
        Token::Whitespace(_)
        | Token::Comma
        | Token::Period
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::Placeholder(_) => false,
        _ => true,
    }
}

pub(super) fn last(name: &ObjectName) -> Option<&Ident> {
    name.0.last().and_then(ObjectNamePart::as_ident)
}

pub(super) fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() {
        ident.value.clone()
    } else {
        ident.value.to_ascii_lowercase()
    }
}

/// The schema before a name's last part, folded.
pub(super) fn schema(name: &ObjectName) -> Option<String> {
    name.0.len().checked_sub(2).and_then(|at| name.0[at].as_ident()).map(folded)
}

/// A statement as the engine takes it; `None`: it is not about the catalogue, and nobody's but the warehouse's.
pub(super) fn rewrite(sql: &str, facts: &Facts<'_>) -> Outcome<Option<Rewritten>> {
    let lower = sql.to_ascii_lowercase();
    if !MARKS.iter().any(|mark| lower.contains(mark)) {
        return Ok(None);
    }
    let dialect = PostgreSqlDialect {};
    let Ok(tokens) = Tokenizer::new(&dialect, sql).tokenize() else { return Ok(None) };
    if tokens.iter().filter(|token| deepens(token)).count() > OPERATORS_MAX {
        return Ok(None);
    }
    let parsed = Parser::new(&dialect).with_recursion_limit(DEPTH_MAX).with_tokens(tokens).parse_statements();
    let mut statement = match parsed {
        Ok(mut statements) if statements.len() == 1 => statements.remove(0),
        Ok(_) => return Ok(None),
        // The warehouse's dialect has what this parser does not know. What names the catalogue is none of it.
        Err(error) if lower.contains("pg_catalog.") || lower.contains("information_schema.") => {
            return Err(WireError::Syntax { what: error.to_string() });
        }
        Err(_) => return Ok(None),
    };
    if !is_about_catalog(&statement) {
        return Ok(None);
    }
    let mut rewriter = Rewriter { facts, sets: Vec::new(), depth: 0, failed: None };
    if let Statement::Query(query) = &mut statement {
        name_columns(query);
    }
    let _ = statement.visit(&mut rewriter);
    if let Statement::Query(query) = &mut statement {
        print_names(query);
    }
    match rewriter.failed {
        Some(error) => Err(error),
        None => Ok(Some(Rewritten { sql: statement.to_string(), sets: rewriter.sets })),
    }
}

/// What a result shows of a thing that was named is its name.
fn print_names(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    for item in &mut select.projection {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { continue };
        let stem = called(expr).and_then(|(name, _)| name.strip_suffix("_in").map(str::to_owned));
        if let Some(stem) = stem.filter(|stem| NAMING_TYPES.contains(&stem.as_str())) {
            *expr = call(&format!("pg.{stem}_out"), vec![expr.clone()]);
        }
    }
}

/// The naming type that a cast is to.
pub(super) fn naming_type(data_type: &DataType) -> Option<&'static str> {
    let name = match data_type {
        DataType::Custom(name, _) => folded(last(name)?),
        DataType::Regclass => "regclass".to_owned(),
        _ => return None,
    };
    NAMING_TYPES.iter().find(|known| **known == name).copied()
}

fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let parts: Vec<Ident> = name.split('.').map(Ident::new).collect();
    let args =
        arguments.into_iter().map(|argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))).collect();
    Expr::Function(Function {
        name: parts.into(),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn text(value: impl Into<String>) -> Expr {
    Expr::Value(Value::SingleQuotedString(value.into()).into())
}

fn text_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        Expr::Cast { expr, .. } | Expr::Nested(expr) => text_of(expr),
        _ => None,
    }
}

fn number(value: impl ToString) -> Expr {
    Expr::Value(Value::Number(value.to_string(), false).into())
}

/// Whether an expression is a text that names something, and not a number: columns are numbers.
fn is_text(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_text(inner),
        Expr::Value(value) => matches!(value.value, Value::SingleQuotedString(_) | Value::Placeholder(_)),
        Expr::BinaryOp { op, .. } => *op == BinaryOperator::StringConcat,
        Expr::Cast { data_type, .. } => matches!(data_type, DataType::Text | DataType::Varchar(_)),
        expr => called(expr).is_some_and(|(name, _)| name == "quote_ident" || name == "concat"),
    }
}

/// The macro that an expression calls, and its one argument.
fn called(expr: &Expr) -> Option<(String, &Expr)> {
    match expr {
        Expr::Nested(inner) => called(inner),
        Expr::Function(function) => {
            let FunctionArguments::List(list) = &function.args else { return None };
            match list.args.as_slice() {
                [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] => {
                    Some((folded(last(&function.name)?), argument))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// A function in FROM that gives one value is a row of it in PostgreSQL; the engine only has functions there that give rows.
fn one_row(name: &mut ObjectName, args: &mut TableFunctionArgs) {
    let scalar = last(name).map(folded).filter(|name| ONE_VALUE.contains(&name.as_str()));
    let Some(scalar) = scalar else { return };
    let arguments = std::mem::take(&mut args.args);
    let expressions = arguments.into_iter().filter_map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    });
    let scalar = if functions::is_known(&scalar) { format!("pg.{scalar}") } else { scalar };
    let list = call("list_value", vec![call(&scalar, expressions.collect())]);
    *name = vec![Ident::new("unnest")].into();
    args.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(list))];
}

struct Rewriter<'a> {
    facts: &'a Facts<'a>,
    sets: Vec<(String, String)>,
    depth: usize,
    failed: Option<WireError>,
}

impl Rewriter<'_> {
    /// What a function of the session tells.
    fn of_session(&mut self, name: &str, arguments: &[&Expr]) -> Option<Expr> {
        let argument = |at: usize| arguments.get(at).and_then(|expr| text_of(expr));
        Some(match name {
            "current_database" | "current_catalog" => text(self.facts.database),
            "current_user" | "session_user" | "current_role" => text(self.facts.user),
            "pg_backend_pid" => number(self.facts.pid),
            "version" => text(format!("PostgreSQL {SERVER_VERSION} on DuckDB")),
            "current_schema" => self.current_schema(),
            "current_schemas" => call("list_value", vec![text("pg_catalog"), self.current_schema()]),
            "current_setting" => {
                let setting = argument(0)?;
                match self.facts.settings.get(setting) {
                    Some(value) => text(value),
                    // Its second argument lets it be missing.
                    None if arguments.len() > 1 => Expr::Value(Value::Null.into()),
                    None => {
                        self.failed.get_or_insert(WireError::NoSuchSetting(setting.to_owned()));
                        return None;
                    }
                }
            }
            "set_config" => {
                let (setting, value) = (argument(0)?.to_owned(), argument(1)?.to_owned());
                self.sets.push((setting, value.clone()));
                text(value)
            }
            _ => return None,
        })
    }

    /// The first schema of the search path that is there, or else the first that a name without one would be found in.
    fn current_schema(&self) -> Expr {
        let path = self.facts.settings.get("search_path").unwrap_or_default();
        let asked =
            path.split(',').map(|schema| schema.trim().trim_matches('"')).filter(|schema| !schema.is_empty());
        let asked: Vec<_> = asked.map(|schema| text(schema).to_string()).collect();
        let order =
            format!("coalesce(list_position([{}], name), 1000), name <> 'main', name", asked.join(", "));
        let sql = format!(
            "(SELECT name FROM base.schemas WHERE name <> 'information_schema' ORDER BY {order} LIMIT 1)"
        );
        let parsed =
            Parser::new(&PostgreSqlDialect {}).try_with_sql(&sql).and_then(|mut parser| parser.parse_expr());
        parsed.unwrap_or_else(|_| text("public"))
    }

    fn function(&mut self, function: &mut Function) -> Option<Expr> {
        let name = folded(last(&function.name)?);
        let known_schema =
            matches!(schema(&function.name).as_deref(), None | Some("pg_catalog" | "information_schema"));
        if !known_schema {
            return None;
        }
        if OF_SESSION.contains(&name.as_str()) {
            function.name = vec![Ident::new("pg"), Ident::new(name.as_str())].into();
            let arguments: Vec<Expr> = match &function.args {
                FunctionArguments::List(list) => list
                    .args
                    .iter()
                    .filter_map(|argument| match argument {
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
                        _ => None,
                    })
                    .collect(),
                _ => Vec::new(),
            };
            return self.of_session(&name, &arguments.iter().collect::<Vec<_>>());
        }
        let renamed = RENAMED.iter().find(|(theirs, _)| *theirs == name).map(|(_, ours)| *ours);
        let parts = match renamed {
            Some(ours) => vec![Ident::new(ours)],
            None if functions::is_known(&name) => vec![Ident::new("pg"), Ident::new(name)],
            None => vec![Ident::new(name)],
        };
        function.name = parts.into();
        None
    }

    /// A cast to a type that reads or prints the names of things.
    fn cast(expr: &Expr, data_type: &DataType) -> Option<Expr> {
        if let Some(naming) = naming_type(data_type) {
            let inner = expr.clone();
            let is_name = is_text(expr);
            return Some(match naming {
                // Functions are known by their names here.
                "regproc" => inner,
                "regrole" if is_name => number(10),
                // The same type twice: it is there already.
                _ if called(expr).is_some_and(|(name, _)| name.starts_with(naming)) => inner,
                _ if is_name => call(&format!("pg.{naming}_in"), vec![inner]),
                _ => call(&format!("pg.{naming}_out"), vec![inner]),
            });
        }
        let (name, argument) = called(expr)?;
        let stem = NAMING_TYPES.iter().find(|naming| name.starts_with(**naming))?;
        let to_text = matches!(
            data_type,
            DataType::Text | DataType::Varchar(_) | DataType::CharacterVarying(_)
        ) || matches!(data_type, DataType::Custom(name, _) if last(name).is_some_and(|name| matches!(folded(name).as_str(), "text" | "name" | "varchar")));
        match (name.ends_with("_in"), to_text) {
            // 'orders'::regclass::text: read and printed again.
            (true, true) => Some(call(&format!("pg.{stem}_out"), vec![expr.clone()])),
            // x.oid::regclass::oid: neither.
            (false, false) => Some(argument.clone()),
            // A number that is asked for as one is shown as one.
            (true, false) => Some(Expr::Cast {
                kind: CastKind::DoubleColon,
                expr: Box::new(expr.clone()),
                data_type: DataType::Custom(vec![Ident::new("UINTEGER")].into(), Vec::new()),
                format: None,
            }),
            (false, true) => Some(expr.clone()),
        }
    }

    /// PostgreSQL's names of types that the engine has by other names.
    fn data_type(data_type: &DataType) -> Option<DataType> {
        let named = |name: &str| DataType::Custom(vec![Ident::new(name)].into(), Vec::new());
        match data_type {
            DataType::Custom(name, _) => Some(match folded(last(name)?).as_str() {
                "oid" | "xid" | "cid" => named("UINTEGER"),
                "name" | "char" | "cstring" | "pg_node_tree" | "aclitem" | "text" | "bpchar" | "varchar"
                | "information_schema" | "sql_identifier" => DataType::Text,
                "int2" => named("SMALLINT"),
                "int4" => named("INTEGER"),
                "int8" => named("BIGINT"),
                "bool" => named("BOOLEAN"),
                "float8" => named("DOUBLE"),
                "int2vector" => named("SMALLINT[]"),
                "oidvector" | "_oid" => named("UINTEGER[]"),
                "_text" | "_name" => named("VARCHAR[]"),
                "jsonb" => named("JSON"),
                other if schema(name).as_deref() == Some("pg_catalog") => named(other),
                _ => return None,
            }),
            DataType::Array(sqlparser::ast::ArrayElemTypeDef::SquareBracket(element, _)) => {
                let element = Self::data_type(element).unwrap_or_else(|| element.as_ref().clone());
                Some(named(&format!("{element}[]")))
            }
            DataType::JSONB => Some(DataType::JSON),
            _ => None,
        }
    }

    fn binary(left: &Expr, op: &BinaryOperator, right: &Expr) -> Option<Expr> {
        let custom = match op {
            BinaryOperator::PGCustomBinaryOperator(parts) => parts.last().map(String::as_str),
            _ => None,
        };
        let (negated, blind) = match (op, custom) {
            (BinaryOperator::PGRegexMatch, _) | (_, Some("~")) => (false, false),
            (BinaryOperator::PGRegexIMatch, _) | (_, Some("~*")) => (false, true),
            (BinaryOperator::PGRegexNotMatch, _) | (_, Some("!~")) => (true, false),
            (BinaryOperator::PGRegexNotIMatch, _) | (_, Some("!~*")) => (true, true),
            (_, Some("=")) => {
                return Some(Expr::BinaryOp {
                    left: left.clone().into(),
                    op: BinaryOperator::Eq,
                    right: right.clone().into(),
                })
            }
            _ => return None,
        };
        let mut arguments = vec![left.clone(), right.clone()];
        if blind {
            arguments.push(text("i"));
        }
        let matches = call("regexp_matches", arguments);
        Some(if negated {
            Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(matches) }
        } else {
            matches
        })
    }

    /// `'{a,b}'` where an array is meant.
    fn array_literal(expr: &Expr) -> Option<Expr> {
        let Expr::Value(value) = expr else { return None };
        let Value::SingleQuotedString(literal) = &value.value else { return None };
        array_of_text(literal).map(|list| Expr::Cast {
            kind: CastKind::DoubleColon,
            expr: Box::new(text(list.replace('\'', "''"))),
            data_type: DataType::Custom(vec![Ident::new("VARCHAR[]")].into(), Vec::new()),
            format: None,
        })
    }

    /// Of the vectors that count from 0, and of a function's row.
    fn access(root: &Expr, chain: &[AccessExpr]) -> Option<Expr> {
        if let ([AccessExpr::Dot(Expr::Identifier(field))], Some((name, argument))) = (chain, called(root)) {
            let field = folded(field);
            if name == "_pg_expandarray" && matches!(field.as_str(), "n" | "x") {
                return Some(call(&format!("pg.expand_{field}"), vec![argument.clone()]));
            }
        }
        let (dots, Some(AccessExpr::Subscript(Subscript::Index { index: Expr::Value(value) }))) =
            (&chain[..chain.len().saturating_sub(1)], chain.last())
        else {
            return None;
        };
        let named = match (dots.last(), root) {
            (Some(AccessExpr::Dot(Expr::Identifier(ident))), _) | (None, Expr::Identifier(ident)) => {
                folded(ident)
            }
            (None, Expr::CompoundIdentifier(parts)) => folded(parts.last()?),
            _ => return None,
        };
        let vector =
            matches!(named.as_str(), "indkey" | "indoption" | "indclass" | "indcollation" | "proargtypes");
        let Value::Number(at, _) = &value.value else { return None };
        let at: i64 = at.parse().ok().filter(|_| vector)?;
        let subscript = AccessExpr::Subscript(Subscript::Index { index: number(at + 1) });
        let access_chain = dots.iter().cloned().chain([subscript]).collect();
        Some(Expr::CompoundFieldAccess { root: Box::new(root.clone()), access_chain })
    }
}

impl VisitorMut for Rewriter<'_> {
    type Break = ();

    fn pre_visit_ident(&mut self, ident: &mut Ident) -> ControlFlow<()> {
        ident.value = folded(ident);
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        // `generate_series(…) AS s` makes a column `s` in PostgreSQL, but one named for the function in the engine.
        if let TableFactor::Table { alias: Some(alias), args: Some(_), .. }
        | TableFactor::Function { alias: Some(alias), .. }
        | TableFactor::UNNEST { alias: Some(alias), .. } = factor
        {
            if alias.columns.is_empty() {
                alias.columns.push(TableAliasColumnDef::from_name(alias.name.value.clone()));
            }
        }
        if let TableFactor::Table { name, args: Some(args), .. } = factor {
            one_row(name, args);
        }
        let TableFactor::Table { name, args, .. } = factor else { return ControlFlow::Continue(()) };
        let Some(ident) = last(name).map(folded) else { return ControlFlow::Continue(()) };
        let ours = match (schema(name).as_deref(), args.is_some()) {
            (Some("pg_catalog"), false) => Some("pg"),
            (Some("information_schema"), false) => Some("info"),
            (None | Some("pg_catalog"), true) if functions::is_known(&ident) => Some("pg"),
            (Some("pg_catalog"), true) => Some(""),
            (None, false) if is_catalog_relation(&ident) => Some("pg"),
            _ => None,
        };
        match ours {
            Some("") => *name = vec![Ident::new(ident)].into(),
            Some(schema) => *name = vec![Ident::new(schema), Ident::new(ident)].into(),
            None => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, _: &mut Expr) -> ControlFlow<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            self.failed = Some(WireError::unsupported(format!("a statement nested deeper than {DEPTH_MAX}")));
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.depth -= 1;
        let changed = match expr {
            // pg_catalog.pg_class.oid
            Expr::CompoundIdentifier(parts)
                if parts.len() > 2
                    && matches!(folded(&parts[0]).as_str(), "pg_catalog" | "information_schema") =>
            {
                parts.remove(0);
                None
            }
            // Which relation a row is of is not kept.
            Expr::CompoundIdentifier(parts)
                if parts.last().is_some_and(|part| folded(part) == "tableoid") =>
            {
                Some(number(0))
            }
            Expr::Identifier(ident) if ident.quote_style.is_none() => match ident.value.as_str() {
                "tableoid" => Some(number(0)),
                "user" => Some(text(self.facts.user)),
                _ => None,
            },
            Expr::Function(function) => self.function(function),
            Expr::Cast { expr: inner, data_type, .. } => {
                let is_array = matches!(data_type, DataType::Array(_));
                let cast = Self::cast(inner, data_type);
                if cast.is_none() {
                    if let Some(literal) = is_array.then(|| Self::array_literal(inner)).flatten() {
                        **inner = literal;
                    }
                    if let Some(renamed) = Self::data_type(data_type) {
                        *data_type = renamed;
                    }
                }
                cast
            }
            Expr::BinaryOp { left, op, right } => Self::binary(left, op, right),
            Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => {
                let inner = match right.as_ref() {
                    Expr::Nested(inner) => inner.as_ref(),
                    other => other,
                };
                if let Some(literal) = Self::array_literal(inner) {
                    **right = literal;
                }
                None
            }
            // One collation is as good as another for names.
            Expr::Collate { expr: inner, .. } => Some(inner.as_ref().clone()),
            Expr::CompoundFieldAccess { root, access_chain } => Self::access(root, access_chain),
            _ => None,
        };
        if let Some(changed) = changed {
            *expr = changed;
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(sql: &str) -> Option<Rewritten> {
        let settings = Settings::default();
        let facts = Facts { database: "shop", user: "ann", pid: 7, settings: &settings };
        rewrite(sql, &facts).unwrap()
    }

    #[test]
    fn only_what_is_about_the_catalogue_is_taken() {
        for sql in [
            "SELECT pg_x FROM orders",
            "SELECT version FROM orders",
            "SELECT current_date",
            "WITH pg_class AS (SELECT 1) SELECT * FROM pg_class, orders",
            "SELECT current_user FROM orders GROUP BY ALL",
            "SELECT 'pg_catalog'",
        ] {
            assert!(rewritten(sql).is_none(), "{sql}");
        }
        for sql in ["SELECT version()", "SELECT 1 FROM pg_class", "SELECT 'a'::regclass"] {
            assert!(rewritten(sql).is_some(), "{sql}");
        }
    }

    #[test]
    fn postgresqls_dialect_becomes_the_engines() {
        for (sql, expected) in [
            ("SELECT C.RelName FROM pg_class AS C", "SELECT c.relname FROM pg.pg_class AS c"),
            (
                "SELECT oid FROM pg_catalog.pg_class c WHERE c.relname OPERATOR(pg_catalog.~) '^(a)$' COLLATE pg_catalog.default",
                "SELECT oid FROM pg.pg_class c WHERE regexp_matches(c.relname, '^(a)$')",
            ),
            ("SELECT x FROM pg_class WHERE n !~ '^pg_toast'", "SELECT x FROM pg.pg_class WHERE NOT regexp_matches(n, '^pg_toast')"),
            ("SELECT c.oid::regclass::text AS t FROM pg_class c", "SELECT pg.regclass_out(c.oid) AS t FROM pg.pg_class c"),
            ("SELECT 'a.b'::pg_catalog.regclass::oid AS o", "SELECT pg.regclass_in('a.b')::UINTEGER AS o"),
            ("SELECT 'a'::regclass::text AS t", "SELECT pg.regclass_out(pg.regclass_in('a')) AS t"),
            ("SELECT current_user, pg_backend_pid() AS p", "SELECT 'ann' AS \"current_user\", 7 AS p"),
            ("SELECT i.indkey[0] AS k FROM pg_index i", "SELECT i.indkey[1] AS k FROM pg.pg_index i"),
            (
                "SELECT (information_schema._pg_expandarray(i.indkey)).n AS n FROM pg_index i",
                "SELECT pg.expand_n(i.indkey) AS n FROM pg.pg_index i",
            ),
            (
                "SELECT a FROM pg_type WHERE typname = ANY ('{a,b}'::text[])",
                "SELECT a FROM pg.pg_type WHERE typname = ANY('[\"a\", \"b\"]'::VARCHAR[]::TEXT[])",
            ),
        ] {
            assert_eq!(rewritten(sql).unwrap().sql, expected, "{sql}");
        }
    }

    #[test]
    fn set_config_sets() {
        let rewritten = rewritten("SELECT pg_catalog.set_config('search_path', '', false)").unwrap();
        assert_eq!(rewritten.sets, [("search_path".to_owned(), String::new())]);
        assert_eq!(rewritten.sql, "SELECT '' AS \"set_config\"");
    }
}
