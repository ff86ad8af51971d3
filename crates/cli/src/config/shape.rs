//! The form of the configuration file, said once.
//!
//! [`PROJECT`] is what the parser checks against, what unknown keys are compared with, and what the JSON Schema is printed
//! from, so the three can't disagree.

use millstream_api::access::ALGORITHMS;
use millstream_apply::layout::VALUE_BYTES_LEAST;

/// What may stand at a place of the file.
#[derive(Debug)]
pub(super) enum Shape {
    /// A mapping with known keys.
    Map(&'static [Key]),
    /// A mapping whose keys a person chooses (`what` they are), all with the same shape.
    Entries {
        /// What a key names: `table pattern`, `column`.
        what: &'static str,
        /// The values.
        value: &'static Shape,
    },
    /// A list.
    List(&'static Shape),
    /// One value.
    Scalar(Scalar),
    /// One value, or a mapping with known keys.
    ScalarOr(Scalar, &'static [Key]),
}

/// What one value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    /// Any text.
    Text,
    /// A text that is never printed.
    Secret,
    /// A name that becomes part of identifiers.
    Name,
    /// A path, relative to the project.
    Path,
    /// `true` or `false`.
    Boolean,
    /// The file's version.
    Version,
    /// Bytes, such as `50GB`.
    Size,
    /// Bytes, at least so many.
    SizeAtLeast(u64),
    /// A time span, such as `7d`.
    Duration,
    /// One of some words.
    Choice(&'static [&'static str]),
    /// A table name with wildcards; `!` in front excludes.
    TablePattern,
    /// A warehouse type.
    ColumnType,
    /// A day or an instant.
    Instant,
    /// Where a server listens.
    Address,
    /// A number.
    Number,
    /// A whole number of at least 1.
    Count,
    /// A path of the API, such as `/orders/top`.
    Route,
    /// A path of the API with wildcards.
    RoutePattern,
    /// What stands in place of a column's values.
    Mask,
    /// Scheme, host and port of a page.
    Origin,
    /// The address of a collector of traces.
    Collector,
    /// A number from 0 to 1.
    Share,
}

/// A key of a mapping.
#[derive(Debug)]
pub(super) struct Key {
    /// As typed.
    pub(super) name: &'static str,
    /// What stands behind it.
    pub(super) shape: Shape,
    /// Whether it must be there.
    pub(super) required: bool,
    /// What it means, one sentence; the editor shows it.
    pub(super) doc: &'static str,
    /// What holds where it is not given, for people.
    pub(super) default: Option<&'static str>,
}

/// A key that the contract names and this version lacks.
#[derive(Debug)]
pub(super) struct Planned {
    /// The path of the mapping it belongs to, dotted; `*` stands for a chosen key.
    pub(super) parent: &'static str,
    /// As typed.
    pub(super) name: &'static str,
}

const fn key(name: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key { name, shape, required: false, doc, default: None }
}

const fn default(key: Key, default: &'static str) -> Key {
    Key { default: Some(default), ..key }
}

const fn required(key: Key) -> Key {
    Key { required: true, ..key }
}

/// The whole file.
pub(super) static PROJECT: Shape = Shape::Map(&[
    required(key("version", Shape::Scalar(Scalar::Version), "Version of this file's format: 1.")),
    required(key(
        "name",
        Shape::Scalar(Scalar::Name),
        "The project's name: lowercase letters, digits and underscores. Slot and publication are named after it.",
    )),
    required(key("source", SOURCE, "Where the data comes from.")),
    key("log", LOG, "Where changes are kept between the source and the warehouse."),
    key("warehouse", WAREHOUSE, "Where the data goes."),
    key(
        "tables",
        Shape::Entries { what: "table pattern", value: &TABLE },
        "Settings of tables, by name or pattern. A more exact name adds to and overrides a less exact pattern.",
    ),
    key("models", MODELS, "SQL views over the replicated tables."),
    key("api", API, "Endpoints defined by SQL."),
    key("serve", SERVE, "What a running project listens on."),
    key("traces", TRACES, "Where traces go, by OpenTelemetry's protocol."),
]);

const TRACES: Shape = Shape::Map(&[
    default(
        key(
            "endpoint",
            Shape::Scalar(Scalar::Collector),
            "Address of a collector that takes OTLP over HTTP, such as http://127.0.0.1:4318.",
        ),
        "OTEL_EXPORTER_OTLP_ENDPOINT of the environment; nothing is traced without either",
    ),
    default(
        key(
            "sample",
            Shape::Scalar(Scalar::Share),
            "Share of the traces that begin here which are kept, from 0 to 1.",
        ),
        "OTEL_TRACES_SAMPLER of the environment, or 1",
    ),
    default(
        key("service", Shape::Scalar(Scalar::Text), "What traces call this program (`service.name`)."),
        "OTEL_SERVICE_NAME of the environment, or millstream",
    ),
    default(
        key(
            "headers",
            Shape::Entries { what: "header", value: &Shape::Scalar(Scalar::Secret) },
            "Headers that the collector is sent, such as an API key. They are never printed.",
        ),
        "OTEL_EXPORTER_OTLP_HEADERS of the environment, or none",
    ),
]);

const API: Shape = Shape::Map(&[
    default(
        key(
            "path",
            Shape::Scalar(Scalar::Path),
            "Directory of the endpoints: each NAME.sql there, a SELECT under a head, answers at its path.",
        ),
        "api",
    ),
    default(
        key(
            "auth",
            Shape::ScalarOr(Scalar::Choice(&["none", "keys"]), AUTH),
            "How clients show who they are. `none`: not at all, so only this machine is listened to. `keys`: by API keys, which `millstream keys` makes. `{jwt: …}`: by tokens of an issuer elsewhere, or by API keys.",
        ),
        "none",
    ),
    key(
        "roles",
        Shape::Entries { what: "role", value: &ROLE },
        "What clients may do, by the role of their key. Needs `auth`.",
    ),
    key(
        "cors",
        Shape::List(&Shape::Scalar(Scalar::Origin)),
        "Origins of pages that may ask from a browser, such as https://app.example.com, to the letter.",
    ),
    key("limits", LIMITS, "How much requests may take, and how many there may be. A role can have narrower ones."),
]);

const LIMITS: Shape = Shape::Map(&[
    default(
        key(
            "requests_per_second",
            Shape::Scalar(Scalar::Number),
            "HTTP requests of one key or token in a second; with `auth: none` of everybody together.",
        ),
        "no limit",
    ),
    default(
        key(
            "time",
            Shape::Scalar(Scalar::Duration),
            "How long an answer, or a statement of a PostgreSQL client, may take.",
        ),
        "30s over HTTP, 5m for PostgreSQL's clients",
    ),
    default(
        key(
            "rows",
            Shape::Scalar(Scalar::Count),
            "Rows of an answer over HTTP; others are on its next pages.",
        ),
        "10000",
    ),
    default(
        key(
            "memory",
            Shape::Scalar(Scalar::Size),
            "Memory that the rows of an answer may take, or those that a PostgreSQL client's cursor holds; at most 256 MB.",
        ),
        "256MB",
    ),
]);

const AUTH: &[Key] = &[required(key(
    "jwt",
    Shape::Map(&[
        required(key("audience", Shape::Scalar(Scalar::Text), "Whom tokens must be for: their claim `aud`.")),
        required(key(
            "algorithms",
            Shape::List(&Shape::Scalar(Scalar::Choice(&ALGORITHMS))),
            "Algorithms of their signatures, all for one kind of key. No other is taken, whatever a token says.",
        )),
        key("key", Shape::Scalar(Scalar::Path), "The issuer's public key, in PEM, for RS, PS and ES algorithms."),
        key("secret", Shape::Scalar(Scalar::Secret), "The secret shared with the issuer, for HS algorithms: at least 32 bytes."),
        key("issuer", Shape::Scalar(Scalar::Text), "Who must have made them: their claim `iss`. Absent: anybody who has the key."),
        default(key("role_claim", Shape::Scalar(Scalar::Text), "The claim that names the role."), "role"),
    ]),
    "Tokens: JSON Web Tokens with an end (`exp`), for this audience, signed with this key.",
))];

static ROLE: Shape = Shape::Map(&[
    default(
        key(
            "tables",
            Shape::List(&Shape::Scalar(Scalar::TablePattern)),
            "Tables, histories and models that it may read, by their names in the warehouse. Read from first to last; the last pattern that matches decides.",
        ),
        "none",
    ),
    default(
        key(
            "endpoints",
            Shape::List(&Shape::Scalar(Scalar::RoutePattern)),
            "Endpoints that it may call, such as \"/orders*\". One whose head names roles answers those instead.",
        ),
        "none",
    ),
    key(
        "rows",
        Shape::Entries { what: "table", value: &Shape::Scalar(Scalar::Text) },
        "A condition for each table: rows for which it is not true are not there for the role, wherever they are read.",
    ),
    key(
        "mask",
        Shape::Entries {
            what: "table",
            value: &Shape::Entries { what: "column", value: &Shape::Scalar(Scalar::Mask) },
        },
        "What the role reads instead of a column's values, wherever they are read: `hash` or `null`.",
    ),
    default(
        key("sql", Shape::Scalar(Scalar::Boolean), "Whether it may ask in SQL of its own."),
        "false",
    ),
    default(
        key(
            "admin",
            Shape::Scalar(Scalar::Boolean),
            "Whether it may do and read everything: the UI, metrics, status, every table and endpoint.",
        ),
        "false",
    ),
    key("limits", LIMITS, "Narrower limits than `api.limits`."),
]);

const SERVE: Shape = Shape::Map(&[
    key(
        "http",
        Shape::Scalar(Scalar::Address),
        "Address of the HTTP server: endpoints, tables, metrics. Port 0: any free one, printed. Absent: not served.",
    ),
    key(
        "postgres",
        Shape::Scalar(Scalar::Address),
        "Address for PostgreSQL's clients: the warehouse, read-only. Port 0: any free one, printed. Absent: not served.",
    ),
    key("postgres_tls", POSTGRES_TLS, "What PostgreSQL's clients are shown when they ask for TLS. Absent: they are refused it."),
]);

const POSTGRES_TLS: Shape = Shape::Map(&[
    required(key(
        "cert",
        Shape::Scalar(Scalar::Path),
        "The certificate, and those that vouch for it, in PEM.",
    )),
    required(key("key", Shape::Scalar(Scalar::Path), "Its private key, in PEM.")),
]);

/// The head of an endpoint's file.
pub(super) static ENDPOINT: Shape = Shape::Map(&[
    default(
        key("path", Shape::Scalar(Scalar::Route), "Where it answers, such as /orders/top."),
        "/<file name>",
    ),
    key("description", Shape::Scalar(Scalar::Text), "What it answers, for people."),
    key("params", Shape::Entries { what: "parameter", value: &PARAM }, "What it takes."),
    default(key("cache", Shape::Scalar(Scalar::Duration), "How old an answer may be."), "100ms"),
    default(
        key(
            "live",
            Shape::Scalar(Scalar::Boolean),
            "Whether it also sends events, a new result when its tables change.",
        ),
        "false",
    ),
    default(
        key("roles", Shape::List(&Shape::Scalar(Scalar::Text)), "The roles that it answers, and no others."),
        "those whose `endpoints` match its path",
    ),
]);

/// The head of a saved query's file.
pub(super) static QUERY: Shape = Shape::Map(&[
    default(key("title", Shape::Scalar(Scalar::Text), "What it is called."), "<file name>"),
    key("description", Shape::Scalar(Scalar::Text), "What it answers, for people."),
    key(
        "roles",
        Shape::List(&Shape::Scalar(Scalar::Text)),
        "The roles that it is shown to, if they have `sql: true`, besides those with `admin: true`.",
    ),
]);

/// The file of a dashboard.
pub(super) static DASHBOARD: Shape = Shape::Map(&[
    required(key("title", Shape::Scalar(Scalar::Text), "What it is called.")),
    key("description", Shape::Scalar(Scalar::Text), "What it shows, for people."),
    key(
        "roles",
        Shape::List(&Shape::Scalar(Scalar::Text)),
        "The roles that may see it, besides those with `admin: true`.",
    ),
    required(key("charts", Shape::List(&CHART), "Its charts, in their order.")),
]);

static CHART: Shape = Shape::Map(&[
    required(key("title", Shape::Scalar(Scalar::Text), "What it is called.")),
    required(key(
        "kind",
        Shape::Scalar(Scalar::Choice(&["number", "line", "bar", "stacked", "pie", "table", "images"])),
        "How its rows are drawn.",
    )),
    key("sql", Shape::Scalar(Scalar::Text), "The SELECT whose rows are drawn."),
    key(
        "endpoint",
        Shape::Scalar(Scalar::Text),
        "The endpoint whose rows are drawn: its path, with parameters.",
    ),
    key("x", Shape::Scalar(Scalar::Text), "The column across."),
    key("y", Shape::Scalar(Scalar::Text), "The column whose values are drawn."),
    key("color", Shape::Scalar(Scalar::Text), "The column that splits the rows into series."),
]);

static PARAM: Shape = Shape::Map(&[
    required(key(
        "type",
        Shape::Scalar(Scalar::Choice(&[
            "string",
            "integer",
            "number",
            "boolean",
            "date",
            "timestamp",
            "uuid",
        ])),
        "What it holds.",
    )),
    key("description", Shape::Scalar(Scalar::Text), "What it is for, for people."),
    key("default", Shape::Scalar(Scalar::Text), "What it is where it is not given."),
    default(
        key(
            "required",
            Shape::Scalar(Scalar::Boolean),
            "Whether it must be given. One that need not be and has no default is NULL.",
        ),
        "true without a default",
    ),
    key("enum", Shape::List(&Shape::Scalar(Scalar::Text)), "The only values that it may have."),
    key("min", Shape::Scalar(Scalar::Number), "The least value."),
    key("max", Shape::Scalar(Scalar::Number), "The greatest value."),
]);

const SOURCE: Shape = Shape::Map(&[required(key("postgres", POSTGRES, "A PostgreSQL database."))]);

const POSTGRES: Shape = Shape::Map(&[
    required(key(
        "url",
        Shape::Scalar(Scalar::Secret),
        "Connection string, a libpq URI or key=value pairs; sslmode and sslrootcert are honoured.",
    )),
    default(
        key(
            "slot",
            Shape::Scalar(Scalar::Name),
            "Replication slot. An existing one is used, a missing one is created.",
        ),
        "millstream_<name>",
    ),
    default(
        key(
            "publication",
            Shape::Scalar(Scalar::Text),
            "Publication. An existing one is used, a missing one is created.",
        ),
        "millstream_<name>",
    ),
    default(
        key(
            "tables",
            Shape::List(&Shape::Scalar(Scalar::TablePattern)),
            "Which tables, such as \"shop.*\" or \"!shop.audit\". Read from first to last; the last pattern that matches a table decides.",
        ),
        "[\"*\"]",
    ),
]);

const LOG: Shape = Shape::Map(&[
    default(key("dir", Shape::Scalar(Scalar::Path), "Directory of the embedded log."), "data/log"),
    default(
        key(
            "retention",
            Shape::Scalar(Scalar::Duration),
            "How long changes are kept once every reader is past them.",
        ),
        "7d",
    ),
    default(
        key(
            "max_bytes",
            Shape::Scalar(Scalar::Size),
            "Bound on the log's size. At the bound capture waits and says so.",
        ),
        "50GB",
    ),
]);

const WAREHOUSE: Shape = Shape::Map(&[
    default(key("duckdb", Shape::Scalar(Scalar::Path), "The DuckDB file."), "data/warehouse.duckdb"),
    default(
        key("schema", Shape::Scalar(Scalar::Text), "Schema of all tables in the warehouse."),
        "the source's own schema names",
    ),
]);

static TABLE: Shape = Shape::Map(&[
    default(key("history", Shape::Scalar(Scalar::Boolean), "Whether every version of a row is kept."), "true"),
    key("columns", COLUMNS, "Settings of columns."),
    default(
        key(
            "on_unrepresentable",
            Shape::Scalar(Scalar::Choice(&["widen", "stop", "quarantine"])),
            "What happens to a value that the column's type can't hold: the column becomes text, replication stops, or the change is set aside.",
        ),
        "widen",
    ),
    default(
        key(
            "value_max",
            Shape::Scalar(Scalar::SizeAtLeast(VALUE_BYTES_LEAST)),
            "A change with a larger value is set aside, and the value kept as a file.",
        ),
        "64MB",
    ),
    key("history_names", HISTORY_NAMES, "Names of the columns of the history view."),
    default(
        key(
            "history_open_value",
            Shape::Scalar(Scalar::Instant),
            "What valid_to shows while a version is open, such as 2100-01-01.",
        ),
        "NULL",
    ),
]);

const COLUMNS: Shape = Shape::Map(&[key(
    "type",
    Shape::Entries { what: "column", value: &Shape::Scalar(Scalar::ColumnType) },
    "Another warehouse type from the start, by column, such as double or decimal(20,4).",
)]);

const HISTORY_NAMES: Shape = Shape::Map(&[
    default(key("valid_from", Shape::Scalar(Scalar::Text), "When the version opened."), "valid_from"),
    default(key("valid_to", Shape::Scalar(Scalar::Text), "When it closed."), "valid_to"),
    default(key("is_current", Shape::Scalar(Scalar::Text), "Whether it is open."), "is_current"),
    default(key("operation_type", Shape::Scalar(Scalar::Text), "What opened it."), "operation_type"),
]);

const MODELS: Shape = Shape::Map(&[
    default(
        key(
            "path",
            Shape::Scalar(Scalar::Path),
            "Directory of a dbt project; or one that holds models/ alone: each NAME.sql there, a plain SELECT, is kept as the view NAME.",
        ),
        ".",
    ),
    key(
        "schema",
        Shape::Scalar(Scalar::Text),
        "The schema that a dbt project is built in where nothing else is said: target.schema. Default: warehouse.schema, or main.",
    ),
    default(
        key("threads", Shape::Scalar(Scalar::Count), "How many nodes of a dbt project are built at a time."),
        "2",
    ),
]);

/// What the contract names and this version lacks: refused, with these words, instead of being accepted and ignored.
pub(super) static PLANNED: &[Planned] = &[
    Planned { parent: "", name: "alerts" },
    Planned { parent: "log", name: "kafka" },
    Planned { parent: "warehouse", name: "clickhouse" },
    Planned { parent: "warehouse", name: "postgres" },
    Planned { parent: "tables.*", name: "rules" },
    Planned { parent: "tables.*.columns", name: "exclude" },
    Planned { parent: "tables.*.columns", name: "mask" },
];
