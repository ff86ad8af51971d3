//! What the materialization of seeds asks for: the file as a table, the types of its columns, and statements with values bound to them.

use std::path::PathBuf;

use serde_json::Value as Json;

use super::{
    scene::{Live, Scene},
    table::Table,
};
use crate::{
    engine::seed,
    jinja::{fail, Args, Eval, Value},
    parse::{names, node::Resource},
};

/// The file that a seed's `model` tells of.
fn path_of(model: &Json) -> PathBuf {
    let text = |key: &str| names::text(model.get(key));
    PathBuf::from(text("root_path")).join(text("original_file_path"))
}

/// `load_agate_table()`: the file of the seed that is loaded.
pub(super) fn load_agate_table(scene: &Scene) -> Eval<Value> {
    if scene.facts.resource != Resource::Seed {
        return fail(format!("load_agate_table() is for seeds, not for a {}", scene.facts.resource.name()));
    }
    let config = &scene.facts.config;
    let delimiter = config.get("delimiter").and_then(Json::as_str).and_then(|text| text.chars().next());
    let texts = config.get("column_types").and_then(Json::as_object).cloned().unwrap_or_default();
    match seed::table(&path_of(&scene.facts.model), delimiter.unwrap_or(','), &texts) {
        Ok(table) => Ok(Value::object(table)),
        Err(message) => fail(message),
    }
}

/// What `adapter` has for the loading of seeds; `None`: nothing of this name.
pub(super) fn call(live: &dyn Live, name: &str, args: &mut Args) -> Eval<Option<Value>> {
    let table = |value: Option<Value>| match value.as_ref().and_then(Value::downcast::<Table>) {
        Some(table) => Ok(table.clone()),
        None => fail("this takes a table"),
    };
    Ok(Some(match name {
        "get_seed_file_path" => {
            let [model] = std::mem::take(args).bind(name, ["model"])?;
            Value::from(path_of(&model.unwrap_or(Value::None).to_json()).display().to_string())
        }
        "convert_type" => {
            let [of, at] = std::mem::take(args).bind(name, ["agate_table", "col_idx"])?;
            let at = at.and_then(|at| at.as_int()).and_then(|at| usize::try_from(at).ok());
            Value::from(at.and_then(|at| table(of).map(|of| of.seed_type(at)).transpose()).transpose()?)
        }
        "convert_datetimes_to_strs" => {
            let [of] = std::mem::take(args).bind(name, ["table"])?;
            Value::object(table(of)?.with_moments_as_texts())
        }
        "add_query" => {
            let [sql, begin, bindings, _] =
                std::mem::take(args).bind(name, ["sql", "auto_begin", "bindings", "abridge_sql_log"])?;
            let sql = sql.unwrap_or(Value::None).to_string();
            let sql = match bindings.filter(|bindings| !bindings.is_nothing()) {
                Some(bindings) => bound(&sql, &bindings.items()?)?,
                None => sql,
            };
            live.execute(&sql, false, begin.is_none_or(|begin| begin.truth()))?;
            Value::from("")
        }
        _ => return Ok(None),
    }))
}

/// A statement with values in the places that wait for them: `?` or `%s`, outside of texts and quoted names.
fn bound(sql: &str, values: &[Value]) -> Eval<String> {
    let mut out = String::with_capacity(sql.len() + values.len() * 8);
    let (mut values, mut quote) = (values.iter(), None);
    let mut chars = sql.chars().peekable();
    let mut missing = false;
    while let Some(c) = chars.next() {
        match c {
            _ if quote == Some(c) => quote = None,
            _ if quote.is_some() => {}
            '\'' | '"' => quote = Some(c),
            '%' if chars.peek() == Some(&'%') => {
                chars.next();
            }
            '?' | '%' if c == '?' || chars.peek() == Some(&'s') => {
                if c == '%' {
                    chars.next();
                }
                match values.next() {
                    Some(value) => out.push_str(&literal(value)),
                    None => missing = true,
                }
                continue;
            }
            _ => {}
        }
        out.push(c);
    }
    match missing || values.next().is_some() {
        true => fail("the statement waits for another number of values than are bound to it"),
        false => Ok(out),
    }
}

fn literal(value: &Value) -> String {
    match value {
        Value::None | Value::Undefined(_) => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Int(_) | Value::Float(_) => value.to_string(),
        other => format!("'{}'", other.to_string().replace('\'', "''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_where_a_statement_waits_for_them() {
        let values = [Value::Int(1), Value::from("it's"), Value::None, Value::Bool(true)];
        let made = bound("insert into \"a?\" values (?, %s, ?, ?, '?', 5 %% 2)", &values).unwrap();
        assert_eq!(made, "insert into \"a?\" values (1, 'it''s', null, true, '?', 5 % 2)");
        assert!(bound("values (?)", &values).is_err());
        assert!(bound("values (?, ?)", &values[..1]).is_err());
    }
}
