//! The span of a statement, by OpenTelemetry's conventions for databases. It says what kind of statement it was and what came of it, never its text: that
//! holds what somebody looked for.

use tracing::{field::Empty, Span};

use super::{
    error::{Outcome, WireError},
    statement::Request,
};

/// Opens it.
pub(super) fn of(request: &Request, project: &str) -> Span {
    let operation = operation(request);
    tracing::info_span!(
        parent: None,
        "postgres statement",
        otel.kind = "server",
        otel.name = operation,
        otel.status_code = Empty,
        db.system.name = "postgresql",
        db.namespace = project,
        db.operation.name = operation,
        db.response.returned_rows = Empty,
        db.response.status_code = Empty,
        error.type = Empty,
    )
}

/// Says how many rows the statement gave that is being answered.
pub(super) fn gave(rows: usize) {
    Span::current().record("db.response.returned_rows", rows);
}

/// Says how it ended.
pub(super) fn ended<T>(span: &Span, outcome: &Outcome<T>) {
    if let Err(error) = outcome {
        span.record("db.response.status_code", error.sqlstate());
        span.record("error.type", error.sqlstate());
        if !is_of_client(error) {
            span.record("otel.status_code", "ERROR");
        }
    }
}

/// Whether the client can do better: by the classes of PostgreSQL's codes for what it wrote, may not, or broke off.
fn is_of_client(error: &WireError) -> bool {
    ["0A", "08", "22", "25", "26", "28", "34", "3D", "42", "57014"]
        .iter()
        .any(|class| error.sqlstate().starts_with(class))
}

/// The word of a statement.
fn operation(request: &Request) -> &'static str {
    match request {
        Request::Query(query) => query.tag,
        Request::Copy { .. } => "COPY",
        Request::Begin => "BEGIN",
        Request::Commit => "COMMIT",
        Request::Rollback => "ROLLBACK",
        Request::Savepoint { tag, .. } => tag,
        Request::Set { .. } | Request::SetTransaction => "SET",
        Request::Show(_) | Request::ShowAll => "SHOW",
        Request::ResetAll => "RESET",
        Request::Discard(_) => "DISCARD",
        Request::Deallocate(_) => "DEALLOCATE",
        Request::Declare { .. } => "DECLARE",
        Request::Fetch { moves: true, .. } => "MOVE",
        Request::Fetch { .. } => "FETCH",
        Request::CloseCursor(_) => "CLOSE",
        Request::Unlisten => "UNLISTEN",
        // Any words that a client makes up.
        Request::Empty | Request::Write(_) | Request::Unsupported(_) => "_OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_named_by_its_kind_and_not_by_its_words() {
        let named = |text: &str| {
            let statements = super::super::statement::split(text).unwrap();
            operation(&statements[0].request().unwrap())
        };
        for (text, operation) in [
            ("select 'secret' from t", "SELECT"),
            ("with s as (select 'secret') select * from s", "SELECT"),
            ("COPY (SELECT 'secret') TO STDOUT", "COPY"),
            ("SET application_name = 'secret'", "SET"),
            ("INSERT INTO secret VALUES (1)", "_OTHER"),
            ("EXPLAIN SELECT 'secret'", "EXPLAIN"),
        ] {
            assert_eq!(named(text), operation, "{text}");
        }
    }
}
