//! DuckDB's tree of a statement, as JSON: what is read of it and put into it.

use std::collections::BTreeMap;

use serde_json::{json, Value};

/// Not of this shape.
pub(super) struct Other;

pub(super) type Cut<T> = Result<T, Other>;

pub(super) fn text<'a>(node: &'a Value, key: &str) -> &'a str {
    node[key].as_str().unwrap_or_default()
}

pub(super) fn items<'a>(node: &'a Value, key: &str) -> &'a [Value] {
    node[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn is(condition: bool) -> Cut<()> {
    condition.then_some(()).ok_or(Other)
}

/// A statement's tree from a query's.
pub(super) fn statement(node: Value) -> Value {
    json!({"error": false, "statements": [{"node": node, "named_param_map": []}]})
}

pub(super) fn column(name: &str) -> Value {
    json!({"class": "COLUMN_REF", "type": "COLUMN_REF", "alias": "", "query_location": 0, "column_names": [name]})
}

pub(super) fn base_table(name: &str, alias: &str) -> Value {
    json!({"type": "BASE_TABLE", "alias": alias, "sample": null, "query_location": 0, "schema_name": "", "table_name": name,
           "column_name_alias": [], "catalog_name": "", "at_clause": null})
}

/// A tree with expressions in place of its parameters.
pub(super) fn with_values(tree: &Value, values: &BTreeMap<String, Value>) -> Value {
    match tree {
        Value::Array(items) => items.iter().map(|item| with_values(item, values)).collect(),
        Value::Object(_) if text(tree, "class") == "PARAMETER" => {
            match values.get(text(tree, "identifier")) {
                Some(value) => aliased(value.clone(), text(tree, "alias")),
                None => tree.clone(),
            }
        }
        Value::Object(fields) => {
            fields.iter().map(|(name, field)| (name.clone(), with_values(field, values))).collect()
        }
        other => other.clone(),
    }
}

pub(super) fn aliased(mut expression: Value, alias: &str) -> Value {
    expression["alias"] = alias.into();
    expression
}

pub(super) fn all_of(mut conditions: Vec<Value>) -> Value {
    match conditions.len() {
        0 => Value::Null,
        1 => conditions.remove(0),
        _ => {
            json!({"class": "CONJUNCTION", "type": "CONJUNCTION_AND", "alias": "", "query_location": 0, "children": conditions})
        }
    }
}

pub(super) fn conjuncts(condition: &Value) -> Vec<Value> {
    match text(condition, "type") {
        _ if condition.is_null() => Vec::new(),
        "CONJUNCTION_AND" => items(condition, "children").iter().flat_map(conjuncts).collect(),
        _ => vec![condition.clone()],
    }
}

/// Whether some node below has the class.
pub(super) fn has(node: &Value, class: &str) -> bool {
    match node {
        Value::Array(items) => items.iter().any(|item| has(item, class)),
        Value::Object(fields) => {
            text(node, "class") == class || fields.values().any(|field| has(field, class))
        }
        _ => false,
    }
}

/// The columns below, each once.
pub(super) fn columns(node: &Value) -> Vec<Value> {
    fn walk(node: &Value, found: &mut Vec<Value>) {
        match node {
            Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
            Value::Object(_) if found.contains(node) => {}
            Value::Object(_) if text(node, "class") == "COLUMN_REF" => found.push(node.clone()),
            Value::Object(fields) => fields.values().for_each(|field| walk(field, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(node, &mut found);
    found
}
