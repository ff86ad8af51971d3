//! What can go wrong where models are built in PostgreSQL (`MS54xx`).

use millstream_core::{Action, Diagnostic, Exit};
use millstream_source::{ServerMessage, SourceError};

/// An error of the room.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// The profile says what can't be.
    #[error("the profile's connection can't be used: {0}")]
    Settings(SourceError),
    /// No session could be had.
    #[error("{0}")]
    Connect(SourceError),
    /// The connection broke.
    #[error("{0}")]
    Lost(SourceError),
    /// The server refused a statement.
    #[error("{}", words(.server, .sql))]
    Statement {
        /// The server's words.
        server: Box<ServerMessage>,
        /// The statement's text.
        sql: String,
    },
    /// A result that is larger than what may be held.
    #[error("the result has more than {rows_max} rows, which a template can't hold")]
    TooManyRows {
        /// The bound.
        rows_max: usize,
    },
    /// The system gave nothing to wait with.
    #[error("can't start a connection: {0}")]
    Runtime(std::io::Error),
}

/// What the server says, with the line that it is about.
fn words(server: &ServerMessage, sql: &str) -> String {
    let mut text = format!("{} (SQLSTATE {})", server.message, server.sqlstate);
    if let Some((number, line, column)) = server.position.and_then(|position| place(sql, position)) {
        text.push_str(&format!(
            "\nline {number}: {line}\n{}^",
            " ".repeat(format!("line {number}: ").len() + column)
        ));
    }
    for (what, said) in [("detail", &server.detail), ("hint", &server.hint)] {
        if let Some(said) = said {
            text.push_str(&format!("\n{what}: {said}"));
        }
    }
    text
}

/// The line that holds a character, counted from 1, with its number, and the characters before it there.
fn place(sql: &str, position: usize) -> Option<(usize, &str, usize)> {
    let before: usize = sql.chars().take(position.checked_sub(1)?).map(char::len_utf8).sum();
    let start = sql[..before].rfind('\n').map_or(0, |at| at + 1);
    let line = sql[start..].lines().next()?;
    Some((sql[..start].matches('\n').count() + 1, line, sql[start..before].chars().count()))
}

impl Diagnostic for PostgresError {
    fn code(&self) -> &'static str {
        match self {
            PostgresError::Settings(_) => "MS5401",
            PostgresError::Connect(_) | PostgresError::Runtime(_) => "MS5402",
            PostgresError::Lost(_) => "MS5403",
            PostgresError::Statement { .. } | PostgresError::TooManyRows { .. } => "MS5404",
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            PostgresError::Settings(error) | PostgresError::Connect(error) | PostgresError::Lost(error) => {
                error.detail()
            }
            _ => None,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            PostgresError::Settings(_) => Some("correct the target in profiles.yml".into()),
            PostgresError::Connect(error) => error.hint(),
            PostgresError::Lost(_) => {
                Some("what was not committed is undone: build again, `retry` begins where it broke".into())
            }
            PostgresError::TooManyRows { .. } => Some("ask for fewer rows, or aggregate them in SQL".into()),
            _ => None,
        }
    }

    fn action(&self) -> Action {
        match self {
            PostgresError::Connect(error) | PostgresError::Lost(error) => error.action(),
            _ => Action::Stop,
        }
    }

    fn exit(&self) -> Exit {
        match self {
            PostgresError::Settings(_) => Exit::Usage,
            PostgresError::Connect(_) | PostgresError::Lost(_) => Exit::Unreachable,
            _ => Exit::Wrong,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_the_server_means_is_shown() {
        let server = ServerMessage {
            sqlstate: "42703".into(),
            message: "column \"b\" does not exist".into(),
            hint: Some("Perhaps \"a\".".into()),
            position: Some(18),
            ..ServerMessage::default()
        };
        let error =
            PostgresError::Statement { server: Box::new(server), sql: "select 'größe',\n b from t".into() };
        assert_eq!(
            error.to_string(),
            "column \"b\" does not exist (SQLSTATE 42703)\nline 2:  b from t\n         ^\nhint: Perhaps \"a\"."
        );
        assert_eq!(place("abc", 99), Some((1, "abc", 3)));
        assert_eq!(place("abc", 0), None);
    }
}
