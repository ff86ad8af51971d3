//! What went wrong with a request: a problem document (RFC 9457), never a stack, and never SQL that the client did not send.

use axum::{
    http::{header, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use millstream_core::{BoxedDiagnostic, Exit};
use serde_json::{json, Map, Value};

/// The media type of problem documents.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Why a request failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// Stable code such as `MS7101`.
    pub code: &'static str,
    /// What kind of problem it is; the same for every problem of the code.
    pub title: &'static str,
    /// What happened here.
    pub detail: String,
    /// What to do.
    pub hint: Option<String>,
    /// Members of the document beyond these: which parameter, what was expected. Boxed, as a `Result` is returned far more often without it.
    pub members: Box<Map<String, Value>>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Problem { status, code, title, detail: detail.into(), hint: None, members: Box::default() }
    }

    /// A parameter with a value that it can't have.
    pub fn parameter(name: &str, expected: impl Into<String>, given: &str) -> Self {
        let expected = expected.into();
        let shown: String = given.chars().take(GIVEN_CHARS_MAX).collect();
        let mut problem = Self::new(
            StatusCode::BAD_REQUEST,
            "MS7101",
            "wrong parameter",
            format!("{name} must be {expected}, not `{shown}`"),
        );
        problem.members.insert("parameter".into(), name.into());
        problem.members.insert("expected".into(), expected.into());
        problem.members.insert("given".into(), shown.into());
        problem
    }

    /// A parameter that must be given and is not.
    pub fn missing_parameter(name: &str, expected: impl Into<String>) -> Self {
        let expected = expected.into();
        let mut problem = Self::new(
            StatusCode::BAD_REQUEST,
            "MS7102",
            "missing parameter",
            format!("{name} is missing: it must be {expected}"),
        );
        problem.members.insert("parameter".into(), name.into());
        problem.members.insert("expected".into(), expected.into());
        problem
    }

    /// A parameter that does not exist.
    pub fn unknown_parameter<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let shown: String = name.chars().take(GIVEN_CHARS_MAX).collect();
        let known: Vec<&str> = known.into_iter().collect();
        let mut problem = Self::new(
            StatusCode::BAD_REQUEST,
            "MS7103",
            "unknown parameter",
            format!("there is no parameter {shown}; there are {}", known.join(", ")),
        );
        problem.members.insert("parameter".into(), shown.into());
        problem.members.insert("known".into(), known.into());
        problem
    }

    /// A request that can't be read.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "MS7104", "malformed request", detail)
    }

    /// Nothing is there.
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "MS7105", "not found", what)
    }

    /// The path has other methods.
    pub fn method_not_allowed(allowed: &[&str]) -> Self {
        let mut problem = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MS7106",
            "method not allowed",
            format!("this path answers {}", allowed.join(" and ")),
        );
        problem.members.insert(ALLOW.into(), json!(allowed.join(", ")));
        problem
    }

    /// No form of the answer is one that the client takes.
    pub fn not_acceptable(offered: &str) -> Self {
        Self::new(
            StatusCode::NOT_ACCEPTABLE,
            "MS7107",
            "not acceptable",
            format!("the answer can be {offered}"),
        )
    }

    /// More work is waiting than can be done in time.
    pub fn busy() -> Self {
        let mut problem = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "MS7109",
            "busy",
            "more requests are waiting than can be answered in time",
        );
        problem.hint = Some("Try again in a second.".into());
        problem
    }

    /// The project's files have not been read yet.
    pub fn starting() -> Self {
        let mut problem = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "MS6106",
            "still starting",
            "the project is starting, and what it serves is not known yet",
        );
        problem.hint = Some("Ask /ready, or try again in a second.".into());
        problem
    }

    /// The answer took longer than it may.
    pub fn too_slow(seconds_max: u64) -> Self {
        let mut problem = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "MS7110",
            "took too long",
            format!("the answer was not there within {seconds_max} s"),
        );
        problem.hint = Some("Ask for less: fewer rows, a narrower filter.".into());
        problem
    }

    /// The request names a host that this server is not, or comes from a page of another origin.
    pub fn foreign(detail: impl Into<String>) -> Self {
        let mut problem = Self::new(StatusCode::FORBIDDEN, "MS7111", "not for this host or origin", detail);
        problem.hint = Some("Open it by the address that `millstream up` prints.".into());
        problem
    }

    /// Something failed that the client can do nothing about; the log has its reason.
    pub fn internal(doing: &str) -> Self {
        let mut problem = Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "MS7112",
            "failed",
            format!("{doing} failed; the log of the server says why"),
        );
        problem.hint = Some("Give the request id to the operator.".into());
        problem
    }

    /// Nobody knows who asks.
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        let mut problem = Self::new(StatusCode::UNAUTHORIZED, "MS7113", "not authenticated", detail);
        problem.hint =
            Some("Send `Authorization: Bearer` with a key that `millstream keys create` made.".into());
        problem
    }

    /// Who asks may not have it.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "MS7114", "not allowed", detail)
    }

    /// A request or an answer that is larger than it may be.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "MS7120", "too large", detail)
    }

    /// A body in a form that is not taken.
    pub fn unsupported_media_type(taken: &str) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "MS7121",
            "unsupported media type",
            format!("the body must be {taken}, and its content-type say so"),
        )
    }

    /// Somebody asks too often; how long they should wait.
    pub fn too_many(wait: std::time::Duration) -> Self {
        // At least a second: the header knows no less.
        let seconds = (wait.as_secs_f64().ceil() as u64).max(1);
        let detail = "more requests than this key may send in a second";
        let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "MS7115", "too many requests", detail);
        problem.hint = Some(format!("Wait for {seconds} s."));
        problem.members.insert(RETRY_AFTER.into(), seconds.into());
        problem
    }

    /// Adds the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Of a failed read. `own`: the client wrote the SQL itself, so it is told what is wrong with it.
    pub fn of(error: &BoxedDiagnostic, doing: &str, own: bool) -> Self {
        let status = match (error.code(), error.exit()) {
            // The parts of a statement that a client chooses besides its SQL: the point, and values. Nothing is known of a point before
            // the history: the question is right, and what it asks for is not there.
            ("MS5303" | "MS5311", _) => StatusCode::NOT_FOUND,
            ("MS5307", _) => StatusCode::BAD_REQUEST,
            ("MS5308" | "MS5309", _) => StatusCode::FORBIDDEN,
            ("MS5306", _) if !own => StatusCode::FORBIDDEN,
            ("MS5304", _) => return Self::busy(),
            (_, Exit::Usage) if own => StatusCode::BAD_REQUEST,
            (_, Exit::Unreachable) => StatusCode::SERVICE_UNAVAILABLE,
            // Out of memory, or still starting.
            ("MS5202" | "MS6106", _) => StatusCode::SERVICE_UNAVAILABLE,
            _ => {
                tracing::error!(event = "request_failed", doing, code = error.code(), error = %error);
                return Self::internal(doing);
            }
        };
        let mut problem = Self::new(status, error.code(), "the query was refused", error.to_string());
        problem.hint = error.hint();
        problem
    }

    /// Of a failure of what the client asked the program to do: it is told all that a person at the terminal would be.
    pub fn of_work(error: &BoxedDiagnostic) -> Self {
        let status = match error.exit() {
            Exit::Usage => StatusCode::BAD_REQUEST,
            Exit::Unreachable => StatusCode::SERVICE_UNAVAILABLE,
            Exit::Protected => StatusCode::CONFLICT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut problem = Self::new(status, error.code(), "it failed", error.to_string());
        problem.hint = error.hint();
        problem
    }

    /// The document.
    pub fn document(&self) -> Value {
        let mut document = Map::new();
        document.insert("type".into(), json!(format!("urn:millstream:error:{}", self.code)));
        document.insert("title".into(), self.title.into());
        document.insert("status".into(), self.status.as_u16().into());
        document.insert("detail".into(), self.detail.clone().into());
        document.insert("code".into(), self.code.into());
        if let Some(hint) = &self.hint {
            document.insert("hint".into(), hint.clone().into());
        }
        document.extend(self.members.iter().map(|(name, value)| (name.clone(), value.clone())));
        document.into()
    }
}

/// The member, and the header, that says which methods a path answers.
const ALLOW: &str = "allow";

/// The member that says how long to wait, in seconds.
const RETRY_AFTER: &str = "retry_after";

/// What a client sent is repeated up to here: enough to recognise it.
const GIVEN_CHARS_MAX: usize = 100;

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.document().to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.members.get(RETRY_AFTER).and_then(Value::as_u64) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"millstream\""));
        }
        let allowed = self.members.get(ALLOW).and_then(Value::as_str);
        if let Some(allowed) = allowed.and_then(|allowed| HeaderValue::from_str(allowed).ok()) {
            headers.insert(header::ALLOW, allowed);
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
