//! `adapter`, `api` and `exceptions`.

use std::{any::Any, rc::Rc, sync::Arc};

use serde_json::Value as Json;

use super::{
    base::{function, warn, Base},
    loading, outside,
    relation::{quoted, Column, Relation},
    scene::{Live, Scene},
    table::Table,
};
use crate::{
    engine::dialect::{alter_type, widened},
    jinja::{fail, Args, Eval, Interpreter, JinjaError, Object, Value},
    project::Adapter as Dialect,
    warning::{WarnErrors, Warning},
};

/// The incremental strategies that DuckDB and PostgreSQL have.
const STRATEGIES: &[&str] = &["append", "delete+insert", "merge", "microbatch"];

/// `adapter`.
pub struct Adapter(pub Rc<Scene>);

impl Adapter {
    fn relation(value: Option<&Value>) -> Eval<Relation> {
        match value.and_then(Value::downcast::<Relation>) {
            Some(relation) => Ok(relation.clone()),
            None => fail("this takes a relation"),
        }
    }

    /// While a project is parsed nothing is asked of the warehouse: what would be is nothing or empty.
    fn parsing(name: &str) -> Value {
        match name {
            "get_columns_in_relation"
            | "list_relations"
            | "list_relations_without_caching"
            | "get_missing_columns" => Value::list([]),
            "check_schema_exists" => Value::Bool(true),
            "execute" => Value::tuple([Value::from(""), Value::object(Table::empty())]),
            "get_relation" => Value::None,
            _ => Value::from(""),
        }
    }

    /// The macro that plans a strategy's statement: dbt's, or one of a project's own.
    fn strategy(&self, strategy: &str) -> Eval<Value> {
        if strategy == "insert_overwrite" {
            return fail(format!("this warehouse has no incremental strategy `{strategy}`"));
        }
        let wanted = format!("get_incremental_{}_sql", strategy.replace('+', "_"));
        match self.0.find_macro(&wanted) {
            Some(entry) => Ok(self.0.macro_value(entry)),
            None => fail(format!(
                "there is no incremental strategy `{strategy}`, as no macro is named `{wanted}`"
            )),
        }
    }

    fn live(&self, live: &dyn Live, name: &str, mut args: Args) -> Eval<Value> {
        if let Some(value) = loading::call(live, name, &mut args)? {
            return Ok(value);
        }
        let root = &self.0.world.project.target.external_root;
        if let Some(value) = outside::call(live, root, name, &mut args)? {
            return Ok(value);
        }
        let run = |sql: String| live.execute(&sql, false, false).map(|_| Value::from(""));
        let dialect = self.0.world.project.target.kind;
        let word = |kind: Option<&str>| kind.unwrap_or("table").replace('_', " ");
        Ok(match name {
            "get_relation" => {
                let [database, schema, identifier] = args.bind(name, ["database", "schema", "identifier"])?;
                let text = |value: Option<Value>| value.map_or_else(String::new, |value| value.to_string());
                match live.relation(&text(database), &text(schema), &text(identifier))? {
                    Some(relation) => Value::object(relation),
                    None => Value::None,
                }
            }
            "get_columns_in_relation" => {
                let [relation] = args.bind(name, ["relation"])?;
                let relation = Self::relation(relation.as_ref())?;
                Value::list(live.columns(&relation)?.into_iter().map(Value::object))
            }
            "get_missing_columns" => {
                let [from, to] = args.bind(name, ["from_relation", "to_relation"])?;
                let there = live.columns(&Self::relation(to.as_ref())?)?;
                let has =
                    |column: &Column| there.iter().any(|other| other.name.eq_ignore_ascii_case(&column.name));
                let columns = live.columns(&Self::relation(from.as_ref())?)?;
                Value::list(columns.into_iter().filter(|column| !has(column)).map(Value::object))
            }
            "list_relations" | "list_relations_without_caching" => {
                let (database, schema) = match args.positional.first().and_then(Value::downcast::<Relation>) {
                    Some(relation) => (relation.database().to_owned(), relation.schema().to_owned()),
                    None => {
                        let [database, schema] = args.bind(name, ["database", "schema"])?;
                        let text = |value: Option<Value>| value.map_or_else(String::new, |v| v.to_string());
                        (text(database), text(schema))
                    }
                };
                Value::list(live.relations(&database, &schema)?.into_iter().map(Value::object))
            }
            "check_schema_exists" => {
                let [database, schema] = args.bind(name, ["database", "schema"])?;
                let (database, schema) = (database.unwrap_or(Value::None), schema.unwrap_or(Value::None));
                let sql = dialect.count_of_schemas(&database.to_string(), &schema.to_string());
                let counted = Value::object(live.execute(&sql, true, false)?.1);
                let count = counted.items()?.first().map(Value::items).transpose()?;
                Value::Bool(count.and_then(|row| row.first()?.as_int()).unwrap_or(0) > 0)
            }
            "create_schema" => {
                let relation = Self::relation(args.positional.first())?;
                run(format!(
                    "create schema if not exists {}",
                    dialect.schema(relation.database(), relation.schema())
                ))?
            }
            "drop_schema" => {
                let relation = Self::relation(args.positional.first())?;
                run(format!(
                    "drop schema if exists {} cascade",
                    dialect.schema(relation.database(), relation.schema())
                ))?
            }
            "drop_relation" => {
                let relation = Self::relation(args.positional.first())?;
                let kind = word(relation.kind.as_deref());
                run(format!("drop {kind} if exists {} cascade", relation.render()))?
            }
            "rename_relation" => {
                let from = Self::relation(args.positional.first())?;
                let to = Self::relation(args.positional.get(1))?;
                let kind = word(from.kind.as_deref());
                run(format!("alter {kind} {} rename to {}", from.render(), quoted(to.identifier())))?
            }
            "truncate_relation" => {
                let relation = Self::relation(args.positional.first())?;
                run(dialect.empty(&relation))?
            }
            "execute" => {
                let [sql, begin, fetch] = args.bind(name, ["sql", "auto_begin", "fetch"])?;
                let begin = begin.is_some_and(|begin| begin.truth());
                let fetch = fetch.is_some_and(|fetch| fetch.truth());
                let (response, table) =
                    live.execute(&sql.unwrap_or(Value::None).to_string(), fetch, begin)?;
                Value::tuple([response, Value::object(table)])
            }
            "commit" => live.commit().map(|()| Value::from(""))?,
            // There is nothing to do for them here: there is no cache.
            "cache_added" | "cache_dropped" | "cache_renamed" | "clear_transaction" => Value::from(""),
            "expand_target_column_types" => {
                let [from, to] = args.bind(name, ["from_relation", "to_relation"])?;
                // A text of DuckDB's has no length that could grow.
                if dialect == Dialect::Postgres {
                    let (from, to) = (Self::relation(from.as_ref())?, Self::relation(to.as_ref())?);
                    let pairs = |relation: &Relation| -> Eval<Vec<(String, String)>> {
                        Ok(live
                            .columns(relation)?
                            .into_iter()
                            .map(|column| (column.name, column.data_type))
                            .collect())
                    };
                    for (column, data_type) in widened(&pairs(&to)?, &pairs(&from)?) {
                        for statement in alter_type(&to.render(), &column, &data_type) {
                            run(statement)?;
                        }
                    }
                }
                Value::from("")
            }
            "verify_database" => {
                let [database] = args.bind(name, ["database"])?;
                let database = database.unwrap_or(Value::None).to_string();
                let own = &self.0.world.project.target.database;
                if !database.trim_matches('"').eq_ignore_ascii_case(own) {
                    return fail(format!(
                        "`{database}` is another database than `{own}`, and PostgreSQL has one at a time"
                    ));
                }
                Value::from("")
            }
            "get_hard_deletes_behavior" => {
                let config = &self.0.facts.config;
                let said = |key: &str| config.get(key).filter(|value| !value.is_null());
                match (said("invalidate_hard_deletes"), said("hard_deletes").and_then(Json::as_str)) {
                    (Some(_), Some(_)) => {
                        return fail("`invalidate_hard_deletes` and `hard_deletes` are two names of the same")
                    }
                    (Some(Json::Bool(true)), None) => Value::from("invalidate"),
                    (_, None) => Value::from("ignore"),
                    (None, Some(what @ ("ignore" | "invalidate" | "new_record"))) => Value::from(what),
                    (None, Some(other)) => {
                        return fail(format!(
                            "`hard_deletes` is ignore, invalidate or new_record, not `{other}`"
                        ))
                    }
                }
            }
            "valid_snapshot_target" | "assert_valid_snapshot_target_given_strategy" => {
                let [relation, names, strategy] =
                    args.bind(name, ["relation", "column_names", "strategy"])?;
                let relation = Self::relation(relation.as_ref())?;
                let there = live.columns(&relation)?;
                let mut wanted = vec!["dbt_scd_id", "dbt_valid_from", "dbt_valid_to"];
                let deletes = strategy.as_ref().and_then(|strategy| strategy.get("hard_deletes"));
                if deletes.is_some_and(|what| what.to_string() == "new_record") {
                    wanted.push("dbt_is_deleted");
                }
                let named = |name: &str| {
                    let names = names.as_ref().filter(|names| !names.is_nothing());
                    names.and_then(|names| names.get(name)).map_or(name.to_owned(), |name| name.to_string())
                };
                let missing: Vec<String> = wanted
                    .into_iter()
                    .map(named)
                    .filter(|name| !there.iter().any(|column| column.name.eq_ignore_ascii_case(name)))
                    .map(|name| format!("`{name}`"))
                    .collect();
                if !missing.is_empty() {
                    return fail(format!(
                        "{} is there without {} of a snapshot",
                        relation.render(),
                        missing.join(", ")
                    ));
                }
                Value::from("")
            }
            "get_incremental_strategy_macro" => {
                let [_, strategy] = args.bind(name, ["model_context", "strategy"])?;
                self.strategy(&strategy.unwrap_or(Value::None).to_string())?
            }
            "valid_incremental_strategies" => Value::list(STRATEGIES.iter().map(|name| Value::from(*name))),
            "get_column_schema_from_query" => {
                let [sql] = args.bind(name, ["sql"])?;
                let columns = live.columns_of_query(&sql.unwrap_or(Value::None).to_string())?;
                Value::list(columns.into_iter().map(Value::object))
            }
            "warn_once" => {
                let message = args.positional.first().cloned().unwrap_or(Value::None).to_string();
                if live.is_news(&message) {
                    warn(&WarnErrors::default(), &Warning::own(message))
                        .map_err(|error| JinjaError::new(error.describe()))?;
                }
                Value::from("")
            }
            "already_exists" => {
                let [schema, table] = args.bind(name, ["schema", "name"])?;
                let (schema, table) = (schema.unwrap_or(Value::None), table.unwrap_or(Value::None));
                let database = self.0.world.project.target.database.clone();
                Value::Bool(live.relation(&database, &schema.to_string(), &table.to_string())?.is_some())
            }
            _ => return Err(unsupported(name)),
        })
    }
}

fn unsupported(name: &str) -> crate::jinja::Interrupt {
    let mut error = JinjaError::new(format!("`adapter.{name}` is not supported yet"));
    error.unsupported = true;
    error.into()
}

impl Object for Adapter {
    fn type_name(&self) -> &'static str {
        "adapter"
    }

    fn attribute(&self, _: &Interpreter, name: &str) -> Option<Value> {
        (name == "Relation").then(|| Value::object(Class("Relation")))
    }

    fn call_method(&self, _: &Interpreter, name: &str, args: Args) -> Eval<Value> {
        match name {
            "dispatch" => {
                let [name, namespace, _] =
                    args.bind("dispatch", ["macro_name", "macro_namespace", "packages"])?;
                let name = name.unwrap_or(Value::None).to_string();
                let namespace = namespace.filter(|n| !n.is_nothing()).map(|namespace| namespace.to_string());
                let entry = self.0.dispatched(&name, namespace.as_deref())?;
                Ok(self.0.macro_value(&entry))
            }
            "quote" => {
                let [name] = args.bind("quote", ["identifier"])?;
                Ok(Value::from(quoted(&name.unwrap_or(Value::None).to_string())))
            }
            "quote_as_configured" => {
                let [name, _] = args.bind(name, ["identifier", "quote_key"])?;
                Ok(Value::from(quoted(&name.unwrap_or(Value::None).to_string())))
            }
            "quote_seed_column" => {
                let [name, quote] = args.bind(name, ["column", "quote_config"])?;
                let name = name.unwrap_or(Value::None).to_string();
                let quote = quote.is_none_or(|quote| quote.is_nothing() || quote.truth());
                Ok(Value::from(if quote { quoted(&name) } else { name }))
            }
            "type" => Ok(Value::from(self.0.world.project.target.kind.name())),
            "is_motherduck" | "is_ducklake" | "disable_transactions" => Ok(Value::Bool(false)),
            _ => match &self.0.live {
                Some(live) => self.live(&**live, name, args),
                None => Ok(Self::parsing(name)),
            },
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `api`.
pub struct Api;

impl Object for Api {
    fn type_name(&self) -> &'static str {
        "api"
    }

    fn attribute(&self, _: &Interpreter, name: &str) -> Option<Value> {
        ["Relation", "Column"].iter().find(|known| **known == name).map(|known| Value::object(Class(known)))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `api.Relation`, `api.Column`.
struct Class(&'static str);

impl Object for Class {
    fn type_name(&self) -> &'static str {
        "type"
    }

    fn call(&self, _: &Interpreter, args: Args) -> Eval<Value> {
        match self.0 {
            "Column" => {
                let [name, data_type, size, ..] = args
                    .bind("Column", ["column", "dtype", "char_size", "numeric_precision", "numeric_scale"])?;
                let mut data_type = data_type.unwrap_or(Value::None).to_string();
                if let Some(size) = size.and_then(|size| size.as_int()) {
                    data_type = format!("{data_type}({size})");
                }
                Ok(Value::object(Column { name: name.unwrap_or(Value::None).to_string(), data_type }))
            }
            _ => Relation::create(args),
        }
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn call_method(&self, _: &Interpreter, name: &str, args: Args) -> Eval<Value> {
        match (self.0, name) {
            ("Relation", "create") => Relation::create(args),
            ("Relation", "scd_args") => {
                let [keys, updated_at] = args.bind(name, ["primary_key", "updated_at"])?;
                let mut parts = match keys.unwrap_or(Value::None) {
                    keys @ Value::List(_) => keys.items()?,
                    key => vec![key],
                };
                parts.push(updated_at.unwrap_or(Value::None));
                Ok(Value::list(parts))
            }
            ("Relation", "add_ephemeral_prefix") => {
                let [name] = args.bind(name, ["name"])?;
                let name = name.unwrap_or(Value::None).to_string();
                Ok(Value::from(Relation::cte(&name).identifier()))
            }
            ("Column", "create") => {
                let [name, data_type] = args.bind("create", ["name", "label_or_dtype"])?;
                Ok(Value::object(Column {
                    name: name.unwrap_or(Value::None).to_string(),
                    data_type: translated(data_type),
                }))
            }
            ("Column", "translate_type") => {
                let [data_type] = args.bind(name, ["dtype"])?;
                Ok(Value::from(translated(data_type)))
            }
            ("Column", "string_type") => {
                let [size] = args.bind(name, ["size"])?;
                Ok(Value::from(format!("character varying({})", size.unwrap_or(Value::None))))
            }
            ("Column", "numeric_type") => {
                let [data_type, precision, scale] = args.bind(name, ["dtype", "precision", "scale"])?;
                let data_type = data_type.unwrap_or(Value::None).to_string();
                let given = |value: Option<Value>| value.filter(|value| !value.is_nothing());
                Ok(Value::from(match given(precision).zip(given(scale)) {
                    Some((precision, scale)) => format!("{data_type}({precision},{scale})"),
                    None => data_type,
                }))
            }
            _ => fail(format!("api.{} has no method `{name}`", self.0)),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A type by dbt's names for types.
fn translated(data_type: Option<Value>) -> String {
    let data_type = data_type.unwrap_or(Value::None).to_string();
    match data_type.eq_ignore_ascii_case("string") {
        true => "TEXT".into(),
        false => data_type,
    }
}

/// `exceptions`.
pub struct Exceptions(pub Arc<Base>);

impl Object for Exceptions {
    fn type_name(&self) -> &'static str {
        "exceptions"
    }

    fn attribute(&self, _: &Interpreter, name: &str) -> Option<Value> {
        let name = name.to_owned();
        let known = matches!(name.as_str(), "warn" | "warn_snapshot_timestamp_data_types")
            || name == "relation_wrong_type"
            || name.starts_with("raise_")
            || name.starts_with("missing_");
        let base = self.0.clone();
        known.then(|| {
            function(move |_, args| {
                let message = args.positional.first().cloned().unwrap_or(Value::None).to_string();
                if name == "warn" {
                    warn(&base.warn_errors, &Warning::of("JinjaLogWarning", message))
                        .map_err(|error| JinjaError::new(error.describe()))?;
                    return Ok(Value::from(""));
                }
                if name == "warn_snapshot_timestamp_data_types" {
                    let given = args.positional.get(1).cloned().unwrap_or(Value::None).to_string();
                    warn(&base.warn_errors, &Warning::snapshot_times(&message, &given))
                        .map_err(|error| JinjaError::new(error.describe()))?;
                    return Ok(Value::None);
                }
                let message = match (name.as_str(), args.positional.get(1)) {
                    ("relation_wrong_type", Some(wanted)) => {
                        format!("{message} is no {wanted}, which it is to be")
                    }
                    _ => message,
                };
                let mut error = JinjaError::new(message);
                error.raised = true;
                Err(error.into())
            })
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
