//! The description of everything that answers, as OpenAPI 3.1. Pure.

use serde_json::{json, Map, Value};

use crate::{
    answer::{Format, ROWS_MAX},
    endpoint::{Endpoint, Kind, Param},
    problem,
    relation::{pattern, Relation, RelationKind},
};

/// The document of what somebody may call and read. `authenticated`: clients must show who they are; `admin`: this one may see how the program is.
pub fn document<'a>(
    project: &str,
    endpoints: impl Iterator<Item = &'a Endpoint>,
    relations: &[(Relation, RelationKind)],
    authenticated: bool,
    admin: bool,
) -> Value {
    let mut paths = Map::new();
    for endpoint in endpoints {
        paths.insert(endpoint.path.clone(), json!({"get": operation(endpoint)}));
    }
    paths.insert("/tables".into(), json!({"get": tables_operation()}));
    for (relation, kind) in relations {
        paths.insert(relation.path(), json!({"get": relation_operation(relation, kind.name())}));
    }
    for (path, id, summary) in [
        ("/live", "live", "Whether the program runs"),
        ("/ready", "ready", "Whether everything that was at the source at the start can be read"),
        ("/metrics", "metrics", "Metrics for Prometheus"),
    ]
    .into_iter()
    .filter(|(path, ..)| admin || *path != "/metrics")
    {
        let text = json!({"description": "Text.", "content": {"text/plain": {"schema": {"type": "string"}}}});
        let mut responses = json!({"200": text, "default": {"$ref": "#/components/responses/Problem"}});
        if path == "/ready" {
            responses["503"] = text;
        }
        paths.insert(path.into(), json!({"get": {"operationId": id, "summary": summary, "tags": ["operation"], "responses": responses}}));
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": project,
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Live data of the project, read-only. Every answer names the position of the source that it reads.",
        },
        "tags": [
            {"name": "endpoints", "description": "What the project's files in api/ define."},
            {"name": "tables", "description": "Rows of every table, history and model."},
            {"name": "operation", "description": "Health and metrics."},
        ],
        "paths": paths,
        "components": components(),
    });
    if authenticated {
        let schemes = json!({
            "key": {"type": "http", "scheme": "bearer", "description": "A key that `millstream keys create` made."},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key."},
            "session": {"type": "apiKey", "in": "cookie", "name": "millstream_session", "description": "The session of a browser."},
        });
        document["components"]["securitySchemes"] = schemes;
        document["security"] = json!([{"key": []}, {"header": []}, {"session": []}]);
        for path in ["/live", "/ready"] {
            document["paths"][path]["get"]["security"] = json!([]);
        }
    }
    document
}

fn components() -> Value {
    let parameter = |name: &str, description: &str, schema: Value| json!({"name": name, "in": "query", "required": false, "description": description, "schema": schema});
    json!({
        "parameters": {
            "limit": parameter("limit", "At most so many rows.", json!({"type": "integer", "minimum": 0, "maximum": ROWS_MAX, "default": ROWS_MAX})),
            "offset": parameter("offset", "Rows to leave out first.", json!({"type": "integer", "minimum": 0, "maximum": 10_000_000, "default": 0})),
            "cursor": parameter("cursor", "The next page, as the Link header of a page says.", json!({"type": "string", "pattern": CURSOR_PATTERN})),
            "as_of": parameter("as_of", "Read everything as it was: a time with zone, or a position such as 0/16B3748.", json!({"type": "string", "pattern": pattern::as_of()})),
        },
        "schemas": {
            "Problem": {
                "type": "object",
                "description": "What went wrong (RFC 9457).",
                "required": ["type", "title", "status", "detail", "code"],
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                    "code": {"type": "string", "pattern": "^MS[0-9]{4}$"},
                    "hint": {"type": "string"},
                    "parameter": {"type": "string"},
                    "expected": {"type": "string"},
                    "given": {"type": "string"},
                },
            },
        },
        "responses": {
            "Problem": {
                "description": "What went wrong.",
                "content": {problem::MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            },
        },
    })
}

/// A position or nothing, and an offset.
const CURSOR_PATTERN: &str = "^([0-9A-F]{1,8}/[0-9A-F]{1,8})?~[0-9]{1,7}$";

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/parameters/{name}")})
}

/// The answers of what gives rows.
fn row_responses(live: bool) -> Value {
    let mut content = Map::new();
    for format in Format::ALL {
        let schema = match format {
            Format::Json => json!({"type": "array", "items": {"type": "object"}}),
            Format::Csv | Format::Ndjson => json!({"type": "string"}),
            // Bytes: 3.1 says no more of them.
            Format::Parquet | Format::Arrow => json!({}),
        };
        content.insert(format.essence().into(), json!({"schema": schema}));
    }
    if live {
        content.insert("text/event-stream".into(), json!({"schema": {"type": "string"}}));
    }
    let text = |description: &str| json!({"description": description, "schema": {"type": "string"}});
    json!({
        "200": {
            "description": "The rows.",
            "headers": {
                "Millstream-Position": text("Everything committed at the source at or before it is in the answer."),
                "ETag": text("The answer's name: another one where the answer is another."),
                "Link": text("The next page, where there is one."),
            },
            "content": content,
        },
        "304": {"description": "The client has this answer."},
        "400": {"$ref": "#/components/responses/Problem"},
        "404": {"$ref": "#/components/responses/Problem"},
        "406": {"$ref": "#/components/responses/Problem"},
        "503": {"$ref": "#/components/responses/Problem"},
        "default": {"$ref": "#/components/responses/Problem"},
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let mut parameters: Vec<Value> = endpoint.params.iter().map(parameter).collect();
    let common = crate::endpoint::COMMON_PARAMETERS.into_iter().filter(|name| !endpoint.declares(name));
    parameters.extend(common.map(reference));
    let words: Vec<&str> =
        endpoint.path.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let mut operation = json!({
        "operationId": format!("get_{}", words.join("_")),
        "summary": endpoint.description.clone().unwrap_or_else(|| endpoint.path.clone()),
        "tags": ["endpoints"],
        "parameters": parameters,
        "responses": row_responses(endpoint.live),
    });
    if endpoint.live {
        operation["description"] =
            "With Accept: text/event-stream it sends a new result whenever its tables have changed.".into();
    }
    operation
}

fn parameter(param: &Param) -> Value {
    let mut schema = match param.kind {
        Kind::String => json!({"type": "string"}),
        Kind::Integer => json!({"type": "integer", "format": "int64"}),
        Kind::Number => json!({"type": "number"}),
        Kind::Boolean => json!({"type": "boolean"}),
        Kind::Date => json!({"type": "string", "format": "date"}),
        Kind::Timestamp => json!({"type": "string", "format": "date-time"}),
        Kind::Uuid => json!({"type": "string", "format": "uuid"}),
    };
    let value = |text: &str| match param.kind {
        // As it is typed in an address.
        Kind::Integer | Kind::Number | Kind::Boolean => {
            serde_json::from_str(text).unwrap_or_else(|_| text.into())
        }
        _ => Value::from(text),
    };
    let number = |bound: f64| match param.kind {
        Kind::Integer => Value::from(bound as i64),
        _ => Value::from(bound),
    };
    if !param.choices.is_empty() {
        schema["enum"] = param.choices.iter().map(|choice| value(choice)).collect();
    }
    if let Some(min) = param.min {
        schema["minimum"] = number(min);
    }
    if let Some(max) = param.max {
        schema["maximum"] = number(max);
    }
    if let Some(default) = &param.default {
        schema["default"] = value(default);
    }
    let mut described =
        json!({"name": param.name, "in": "query", "required": param.required, "schema": schema});
    if let Some(description) = &param.description {
        described["description"] = description.clone().into();
    }
    described
}

fn tables_operation() -> Value {
    json!({
        "operationId": "list_tables",
        "summary": "Every table, its history, and every model",
        "tags": ["tables"],
        "responses": {
            "200": {
                "description": "The list.",
                "content": {"application/json": {"schema": {"type": "array", "items": {
                    "type": "object",
                    "required": ["schema", "name", "kind", "columns", "key", "path"],
                    "properties": {
                        "schema": {"type": "string"},
                        "name": {"type": "string"},
                        "kind": {"type": "string", "enum": ["table", "history", "model"]},
                        "columns": {"type": "array", "items": {
                            "type": "object",
                            "required": ["name", "type"],
                            "properties": {"name": {"type": "string"}, "type": {"type": "string"}},
                        }},
                        "key": {"type": "array", "items": {"type": "string"}},
                        "path": {"type": "string"},
                    },
                }}}},
            },
            "default": {"$ref": "#/components/responses/Problem"},
        },
    })
}

fn relation_operation(relation: &Relation, kind: &str) -> Value {
    let text = |name: &str, description: String, pattern: String| json!({"name": name, "in": "query", "required": false, "description": description, "schema": {"type": "string", "pattern": pattern}});
    let group = pattern::group(relation);
    let mut parameters = vec![
        text("select", "Columns, such as id,shown:status.".into(), pattern::select(relation)),
        text("order", "Columns, such as id.desc,status.asc.nullslast.".into(), pattern::order(relation)),
        text(
            "and",
            "Conditions that all hold, such as (status.eq.OPEN,id.gt.10). A group may stand in a group."
                .into(),
            group.clone(),
        ),
        text("or", "Conditions of which one holds.".into(), group),
    ];
    parameters.extend(["limit", "offset", "cursor", "as_of"].map(reference));
    let columns = relation
        .columns
        .iter()
        .filter(|(name, _)| !crate::relation::RESERVED.contains(&name.as_str()) && name != "as_of");
    parameters.extend(columns.map(|(name, of)| {
        text(
            name,
            format!(
                "A condition on the column ({of}), such as eq.…, gte.…, in.(…), like.…*, is.null, not.eq.…"
            ),
            pattern::condition(of),
        )
    }));
    json!({
        "operationId": format!("read_{}_{}", relation.schema, relation.name),
        "summary": format!("Rows of {}.{} ({kind})", relation.schema, relation.name),
        "tags": ["tables"],
        "parameters": parameters,
        "responses": row_responses(false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoints_parameters_are_described_as_they_are_checked() {
        let param = |name: &str, kind, default: Option<&str>| Param {
            name: name.into(),
            kind,
            description: None,
            default: default.map(Into::into),
            required: default.is_none(),
            choices: Vec::new(),
            min: None,
            max: None,
        };
        let endpoint = Endpoint {
            path: "/orders/top".into(),
            file: "api/top.sql".into(),
            description: Some("Top orders".into()),
            params: vec![
                Param {
                    choices: vec!["open".into(), "all".into()],
                    ..param("status", Kind::String, Some("open"))
                },
                Param { min: Some(1.0), max: Some(10.0), ..param("limit", Kind::Integer, Some("3")) },
            ],
            cache: None,
            live: true,
            roles: None,
            sql: "SELECT 1".into(),
            limited_by: None,
        };
        let relation = Relation {
            schema: "a b".into(),
            name: "t".into(),
            columns: vec![("id".into(), "INTEGER".into()), ("limit".into(), "INTEGER".into())],
            key: Vec::new(),
        };
        let endpoints = [endpoint];
        let relations = [(relation, RelationKind::Table)];
        let document = document("shop", endpoints.iter(), &relations, false, true);
        let get = &document["paths"]["/orders/top"]["get"];
        assert_eq!(get["operationId"], "get_orders_top");
        assert_eq!(get["parameters"][0]["schema"]["enum"], json!(["open", "all"]));
        assert_eq!(
            get["parameters"][1],
            json!({"name": "limit", "in": "query", "required": false, "schema":
                {"type": "integer", "format": "int64", "minimum": 1, "maximum": 10, "default": 3}})
        );
        let names: Vec<_> = get["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p["name"].as_str().or(p["$ref"].as_str()).unwrap())
            .collect();
        assert!(!names.contains(&"#/components/parameters/limit"), "{names:?}");
        assert!(get["responses"]["200"]["content"]["text/event-stream"].is_object());
        let table = &document["paths"]["/tables/a%20b/t"]["get"];
        let own: Vec<_> =
            table["parameters"].as_array().unwrap().iter().filter_map(|p| p["name"].as_str()).collect();
        assert_eq!(own, ["select", "order", "and", "or", "id"]);
    }
}
