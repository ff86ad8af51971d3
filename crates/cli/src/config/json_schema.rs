//! JSON Schemas of the project's files, for editors; made from the same shapes that the parser checks against.

use serde_json::{json, Map, Value};

use super::shape::{Scalar, Shape, DASHBOARD, ENDPOINT, PROJECT, QUERY};

/// What a schema is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum SchemaOf {
    /// millstream.yml
    #[default]
    Project,
    /// A file of dashboards/
    Dashboard,
    /// The head of a file of api/
    Endpoint,
    /// The head of a file of queries/
    Query,
}

/// The schema (JSON Schema 2020-12).
pub fn json_schema(what: SchemaOf) -> Value {
    let (shape, title, description) = match what {
        SchemaOf::Project => (&PROJECT, "millstream.yml", "A Millstream project."),
        SchemaOf::Dashboard => (&DASHBOARD, "dashboards/*.yml", "A dashboard of a Millstream project."),
        SchemaOf::Endpoint => (&ENDPOINT, "api/*.sql", "The head of an endpoint of a Millstream project."),
        SchemaOf::Query => (&QUERY, "queries/*.sql", "The head of a saved query of a Millstream project."),
    };
    let mut schema = Map::new();
    schema.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".into(), json!(title));
    schema.insert("description".into(), json!(description));
    if let Value::Object(body) = of(shape) {
        schema.extend(body);
    }
    Value::Object(schema)
}

fn of(shape: &Shape) -> Value {
    match shape {
        Shape::Map(keys) => {
            let mut properties = Map::new();
            for key in *keys {
                let mut value = of(&key.shape);
                if let Value::Object(value) = &mut value {
                    let doc = match key.default {
                        Some(default) => format!("{} Default: {default}.", key.doc),
                        None => key.doc.to_owned(),
                    };
                    value.insert("description".into(), Value::String(doc));
                }
                properties.insert(key.name.into(), value);
            }
            let required: Vec<&str> = keys.iter().filter(|key| key.required).map(|key| key.name).collect();
            let mut schema =
                json!({"type": "object", "properties": properties, "additionalProperties": false});
            if !required.is_empty() {
                schema["required"] = json!(required);
            }
            schema
        }
        Shape::Entries { value, .. } => json!({"type": "object", "additionalProperties": of(value)}),
        Shape::List(item) => json!({"type": "array", "items": of(item)}),
        Shape::Scalar(scalar) => of_scalar(*scalar),
        Shape::ScalarOr(scalar, keys) => json!({"anyOf": [of_scalar(*scalar), of(&Shape::Map(keys))]}),
    }
}

/// A value may always be a variable instead, which only the program can resolve.
fn of_scalar(scalar: Scalar) -> Value {
    let pattern =
        |pattern: &str| json!({"type": "string", "pattern": format!(r"^({pattern}|.*\$\{{.+\}}.*)$")});
    match scalar {
        Scalar::Version => json!({"const": 1}),
        Scalar::Boolean => json!({"anyOf": [{"type": "boolean"}, pattern("true|false")]}),
        Scalar::Text | Scalar::Path => json!({"type": ["string", "number", "boolean"], "minLength": 1}),
        Scalar::Secret => json!({"type": "string", "minLength": 1}),
        Scalar::Name => pattern("[a-z0-9_]{1,63}"),
        Scalar::Size | Scalar::SizeAtLeast(_) => {
            json!({"anyOf": [{"type": "integer", "minimum": 1}, pattern("[0-9]+ *([kKmMgGtT]?[bB]|[kKmMgGtT][iI][bB])?")]})
        }
        Scalar::Duration => pattern("[0-9]+ *(ms|s|m|min|h|d|w)"),
        Scalar::Choice(words) => {
            json!({"anyOf": [{"enum": words}, {"type": "string", "pattern": r"\$\{.+\}"}]})
        }
        Scalar::TablePattern => pattern(r"!?[^!].*[.*].*|!?[*]"),
        Scalar::ColumnType => pattern(
            r"(boolean|smallint|integer|bigint|uinteger|real|double|text|json|blob|date|time|timestamp|timestamptz|interval|uuid|decimal\([0-9]+ *(, *[0-9]+ *)?\))(\[\])*",
        ),
        Scalar::Address => pattern(r"([0-9.]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}"),
        Scalar::Origin => pattern(r"https?://[a-z0-9.:\[\]-]+"),
        Scalar::Collector => pattern(r"https?://[^@?]+"),
        Scalar::Share => {
            json!({"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, pattern("[01](\\.[0-9]+)?")]})
        }
        Scalar::Count => json!({"anyOf": [{"type": "integer", "minimum": 1}, pattern("[0-9]+")]}),
        Scalar::Number => json!({"type": ["number", "string"]}),
        Scalar::Route => pattern(r"(/[A-Za-z0-9_.~-]+)+"),
        Scalar::RoutePattern => pattern(r"/[A-Za-z0-9_.~/*?-]*|[*]"),
        Scalar::Mask => json!({"enum": ["hash", null]}),
        Scalar::Instant => pattern(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].+)?"),
    }
}
