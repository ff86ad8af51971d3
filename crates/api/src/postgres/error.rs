//! What can go wrong between a PostgreSQL client and the warehouse, and what the client is told: SQLSTATE, message, detail, hint.

use std::{io, net::SocketAddr, path::PathBuf};

use millstream_core::{BoxedDiagnostic, Diagnostic, Exit};
use pgwire::messages::response::ErrorResponse;

/// An error of the PostgreSQL wire protocol's server (`MS74xx`).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The address can't be listened on.
    #[error("can't listen for PostgreSQL clients on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// The system's words.
        source: io::Error,
    },
    /// The address can be reached from elsewhere, and nobody is asked for a password, or it could be read along.
    #[error("PostgreSQL clients of other machines, by {address}, take `api.auth` and `serve.postgres_tls`")]
    NotLoopback {
        /// Which.
        address: SocketAddr,
    },
    /// A client that has not proved to have a key.
    #[error("password authentication failed for user \"{user}\"")]
    WrongPassword {
        /// Whom it said to be.
        user: String,
    },
    /// A role that may not ask in SQL.
    #[error("the role \"{role}\" may not ask in SQL of its own")]
    NoSql {
        /// Which.
        role: String,
    },
    /// The key that a client came with is good for nothing any more.
    #[error("the key of this connection was revoked or has expired")]
    KeyGone,
    /// A client of another machine that does not speak TLS.
    #[error("connections from other machines take TLS")]
    TlsRequired,
    /// The server's certificate or its key.
    #[error("the certificate of serve.postgres_tls can't be used")]
    Certificate {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// A client asks for another database than the project.
    #[error("database \"{name}\" does not exist")]
    NoSuchDatabase {
        /// What it asked for.
        name: String,
        /// What there is.
        project: String,
    },
    /// As many clients as may be are connected.
    #[error("sorry, too many clients already")]
    TooManyConnections {
        /// How many may be.
        max: usize,
    },
    /// The client's bytes are no message, or not one that may come now.
    #[error("protocol violation: {what}")]
    Protocol {
        /// What is wrong.
        what: String,
    },
    /// A text that is not UTF-8.
    #[error("invalid byte sequence for encoding \"UTF8\"")]
    NotUtf8,
    /// A statement that is not SQL.
    #[error("syntax error: {what}")]
    Syntax {
        /// What is wrong.
        what: String,
    },
    /// A statement that would change something.
    #[error("cannot execute {verb} in a read-only transaction")]
    ReadOnly {
        /// Its first word.
        verb: String,
    },
    /// A statement in a transaction that has failed.
    #[error("current transaction is aborted, commands ignored until end of transaction block")]
    FailedTransaction,
    /// A prepared statement that is not there.
    #[error("prepared statement \"{0}\" does not exist")]
    NoSuchStatement(String),
    /// A prepared statement of that name is there already.
    #[error("prepared statement \"{0}\" already exists")]
    StatementExists(String),
    /// A portal or cursor that is not there.
    #[error("cursor \"{0}\" does not exist")]
    NoSuchPortal(String),
    /// More statements or portals than a connection may keep.
    #[error("a connection may keep {max} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        max: usize,
    },
    /// A parameter's value that is none of its type.
    #[error("parameter ${number} can't be read as {type_name}: {why}")]
    Parameter {
        /// Counted from 1.
        number: usize,
        /// PostgreSQL's name of its type.
        type_name: String,
        /// What is wrong with it.
        why: String,
    },
    /// More or fewer values than the statement has parameters.
    #[error("bind message supplies {given} parameters, but prepared statement requires {expected}")]
    ParameterCount {
        /// What came.
        given: usize,
        /// What is needed.
        expected: usize,
    },
    /// A setting that is not known.
    #[error("unrecognized configuration parameter \"{0}\"")]
    NoSuchSetting(String),
    /// A value that the setting does not take.
    #[error("invalid value for parameter \"{name}\": \"{value}\"")]
    SettingValue {
        /// Which setting.
        name: String,
        /// The value.
        value: String,
        /// What it would take.
        expected: &'static str,
    },
    /// A setting that tells something and can't be set.
    #[error("parameter \"{0}\" cannot be changed")]
    FixedSetting(String),
    /// Something of PostgreSQL that is not served.
    #[error("{what} is not supported")]
    Unsupported {
        /// What.
        what: String,
    },
    /// The statement took too long.
    #[error("canceling statement due to statement timeout")]
    StatementTimeout,
    /// The client asked for the statement to end.
    #[error("canceling statement due to user request")]
    Canceled,
    /// The client said nothing for too long.
    #[error("terminating connection due to {} timeout", if *in_transaction { "idle-in-transaction" } else { "idle-session" })]
    Idle {
        /// Whether a transaction was open.
        in_transaction: bool,
    },
    /// The program stops.
    #[error("terminating connection due to administrator command")]
    Stopping,
    /// A result that is larger than may be held.
    #[error("the result has more than {max}")]
    ResultTooLarge {
        /// How many rows may be, or bytes.
        max: String,
    },
    /// A prepared statement that gives another result than its client was told of.
    #[error("cached plan must not change result type: {what}")]
    ResultChanged {
        /// What differs.
        what: String,
    },
    /// A value that has no form in the format that was asked for.
    #[error("a value of column \"{column}\" can't be sent: {why}")]
    Value {
        /// Which column.
        column: String,
        /// What is in the way.
        why: String,
    },
    /// The catalogue that clients look at can't be made.
    #[error("the catalogue can't be made")]
    Catalog {
        /// Why.
        detail: String,
    },
    /// What the warehouse said.
    #[error("{0}")]
    Warehouse(BoxedDiagnostic),
    /// The connection broke: nobody is left to be told.
    #[error("the connection to the client broke")]
    Broken(#[from] io::Error),
}

/// Result of what a client asks for.
pub(super) type Outcome<T> = Result<T, WireError>;

impl Diagnostic for WireError {
    fn code(&self) -> &'static str {
        match self {
            WireError::Listen { .. } => "MS7401",
            WireError::NotLoopback { .. } => "MS7423",
            WireError::NoSuchDatabase { .. } => "MS7402",
            WireError::WrongPassword { .. } => "MS7424",
            WireError::NoSql { .. } => "MS7425",
            WireError::KeyGone => "MS7426",
            WireError::TlsRequired => "MS7427",
            WireError::Certificate { .. } => "MS7428",
            WireError::TooManyConnections { .. } => "MS7403",
            WireError::Protocol { .. } | WireError::ParameterCount { .. } => "MS7404",
            WireError::NotUtf8 => "MS7405",
            WireError::Syntax { .. } => "MS7406",
            WireError::ReadOnly { .. } => "MS7407",
            WireError::FailedTransaction => "MS7408",
            WireError::NoSuchStatement(_) | WireError::StatementExists(_) | WireError::NoSuchPortal(_) => {
                "MS7409"
            }
            WireError::TooMany { .. } => "MS7410",
            WireError::Parameter { .. } => "MS7411",
            WireError::NoSuchSetting(_) | WireError::SettingValue { .. } | WireError::FixedSetting(_) => {
                "MS7412"
            }
            WireError::Unsupported { .. } => "MS7413",
            WireError::StatementTimeout => "MS7414",
            WireError::Canceled => "MS7415",
            WireError::Idle { .. } => "MS7416",
            WireError::Stopping => "MS7417",
            WireError::ResultTooLarge { .. } => "MS7418",
            WireError::Value { .. } => "MS7419",
            WireError::ResultChanged { .. } => "MS7422",
            WireError::Catalog { .. } => "MS7420",
            WireError::Broken(_) => "MS7421",
            WireError::Warehouse(error) => error.code(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            WireError::Listen { source, .. } => Some(source.to_string()),
            WireError::Broken(source) => Some(source.to_string()),
            WireError::Certificate { file, detail } => Some(format!("{}: {detail}", file.display())),
            WireError::Catalog { detail } => Some(detail.clone()),
            WireError::Warehouse(error) => error.detail(),
            _ => None,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            WireError::Listen { .. } => {
                "Choose another address under serve.postgres; port 0 takes any free one.".into()
            }
            WireError::NotLoopback { .. } => "Configure both, or listen on 127.0.0.1.".into(),
            WireError::WrongPassword { .. } => {
                "The user is a key's id such as ms_3f9a1c2b7d4e, the password the whole key.".into()
            }
            WireError::NoSql { .. } => "Give the role `sql: true` in millstream.yml.".into(),
            WireError::TlsRequired => "Connect with sslmode=require, or better verify-full.".into(),
            WireError::Certificate { .. } => {
                "Name files in PEM: the certificate with its chain, and its private key.".into()
            }
            WireError::NoSuchDatabase { project, .. } => {
                format!("The database is called like the project: connect to \"{project}\".")
            }
            WireError::TooManyConnections { max } => {
                format!("{max} clients are connected; close one, or use a connection pool.")
            }
            WireError::ReadOnly { .. } => {
                "The warehouse is a copy: change the data at its source, and it arrives here.".into()
            }
            WireError::TooMany { .. } => {
                "Close those that are not needed any more, or send DISCARD ALL.".into()
            }
            WireError::SettingValue { expected, .. } => format!("Expected {expected}."),
            WireError::StatementTimeout => {
                "Ask for less, or raise statement_timeout up to the server's own limit.".into()
            }
            WireError::ResultTooLarge { .. } => {
                "Aggregate, filter, or read page by page with LIMIT and a key.".into()
            }
            WireError::ResultChanged { .. } => "Prepare the statement again.".into(),
            WireError::Value { .. } => "Cast the column to text or json in the query.".into(),
            WireError::Warehouse(error) => return error.hint(),
            _ => return None,
        })
    }

    fn exit(&self) -> Exit {
        match self {
            WireError::Listen { .. } => Exit::Unreachable,
            WireError::NotLoopback { .. } | WireError::Certificate { .. } => Exit::Usage,
            _ => Exit::Wrong,
        }
    }
}

impl From<BoxedDiagnostic> for WireError {
    fn from(error: BoxedDiagnostic) -> Self {
        WireError::Warehouse(error)
    }
}

impl WireError {
    pub(super) fn protocol(what: impl Into<String>) -> Self {
        WireError::Protocol { what: what.into() }
    }

    pub(super) fn unsupported(what: impl Into<String>) -> Self {
        WireError::Unsupported { what: what.into() }
    }

    /// The five letters by which programs tell errors apart (PostgreSQL's appendix A).
    pub(super) fn sqlstate(&self) -> &'static str {
        match self {
            WireError::NoSuchDatabase { .. } => "3D000",
            WireError::WrongPassword { .. } => "28P01",
            WireError::NoSql { .. } | WireError::KeyGone | WireError::TlsRequired => "28000",
            WireError::TooManyConnections { .. } => "53300",
            WireError::Protocol { .. } | WireError::ParameterCount { .. } => "08P01",
            WireError::NotUtf8 => "22021",
            WireError::Syntax { .. } => "42601",
            WireError::ReadOnly { .. } => "25006",
            WireError::FailedTransaction => "25P02",
            WireError::NoSuchStatement(_) => "26000",
            WireError::StatementExists(_) => "42P05",
            WireError::NoSuchPortal(_) => "34000",
            WireError::TooMany { .. } | WireError::ResultTooLarge { .. } => "54000",
            WireError::Parameter { .. } => "22P02",
            WireError::NoSuchSetting(_) => "42704",
            WireError::SettingValue { .. } => "22023",
            WireError::FixedSetting(_) => "55P02",
            WireError::Unsupported { .. } | WireError::Value { .. } | WireError::ResultChanged { .. } => {
                "0A000"
            }
            WireError::StatementTimeout | WireError::Canceled => "57014",
            WireError::Idle { in_transaction: true } => "25P03",
            WireError::Idle { in_transaction: false } => "57P05",
            WireError::Stopping => "57P01",
            WireError::Broken(_) => "08006",
            WireError::Listen { .. }
            | WireError::NotLoopback { .. }
            | WireError::Certificate { .. }
            | WireError::Catalog { .. } => "XX000",
            WireError::Warehouse(error) => of_warehouse(error.as_ref()),
        }
    }

    /// Whether the connection ends with it.
    pub(super) fn is_fatal(&self) -> bool {
        matches!(
            self,
            WireError::NoSuchDatabase { .. }
                | WireError::WrongPassword { .. }
                | WireError::NoSql { .. }
                | WireError::KeyGone
                | WireError::TlsRequired
                | WireError::TooManyConnections { .. }
                | WireError::Protocol { .. }
                | WireError::NotUtf8
                | WireError::Idle { .. }
                | WireError::Stopping
                | WireError::Broken(_)
        )
    }

    /// As the protocol sends it. Our own code stands before the message of errors that PostgreSQL does not have.
    pub(super) fn response(&self) -> ErrorResponse {
        let severity = if self.is_fatal() { "FATAL" } else { "ERROR" };
        let message = match self {
            WireError::Warehouse(error) => format!("{} ({})", error, error.code()),
            error => error.to_string(),
        };
        let mut fields = vec![
            (b'S', severity.to_owned()),
            (b'V', severity.to_owned()),
            (b'C', self.sqlstate().to_owned()),
            (b'M', without_zero(message)),
        ];
        fields.extend(self.detail().map(|detail| (b'D', without_zero(detail))));
        fields.extend(self.hint().map(|hint| (b'H', without_zero(hint))));
        ErrorResponse::new(fields)
    }
}

/// A zero byte would end the field early.
fn without_zero(text: String) -> String {
    if text.contains('\0') {
        text.replace('\0', "\u{fffd}")
    } else {
        text
    }
}

/// What the warehouse's codes are to PostgreSQL's clients. A wrong query is told apart by the warehouse's own words, since its port has one
/// error for all of them; what is not recognised is a syntax error or a wrong name to most clients alike.
fn of_warehouse(error: &dyn Diagnostic) -> &'static str {
    match error.code() {
        "MS5301" => "25006",
        "MS5302" => of_query(&error.to_string()),
        "MS5303" | "MS5311" => "55000",
        "MS5304" => "57014",
        "MS5305" => "42P09",
        "MS5306" => "42501",
        "MS5307" => "22P02",
        "MS5310" => "54000",
        "MS5202" => "53200",
        "MS5203" => "53100",
        _ => "XX000",
    }
}

fn of_query(words: &str) -> &'static str {
    const KINDS: [(&str, &str); 16] = [
        ("there is no table or view", "42P01"),
        ("Table Function with name", "42883"),
        ("Function with name", "42883"),
        ("No function matches", "42883"),
        ("Table with name", "42P01"),
        ("View with name", "42P01"),
        ("does not exist", "42P01"),
        ("Referenced table", "42P01"),
        ("Referenced column", "42703"),
        ("Ambiguous reference", "42702"),
        ("must appear in the GROUP BY", "42803"),
        ("Parser Error", "42601"),
        ("syntax error", "42601"),
        ("Conversion Error", "22P02"),
        ("Out of Range Error", "22003"),
        ("Binder Error", "42804"),
    ];
    KINDS.iter().find(|(kind, _)| words.contains(kind)).map_or("42000", |(_, state)| state)
}
