//! From an open stream to a session: start-up, authentication, the session's fixed settings.

use bytes::{Buf, Bytes};
use postgres_protocol::{
    authentication::{
        md5_hash,
        sasl::{ChannelBinding as Binding, ScramSha256, SCRAM_SHA_256, SCRAM_SHA_256_PLUS},
    },
    message::frontend,
};
use tokio::time::timeout;

use super::{server_message, unexpected, Canceller, Stream, Wire};
use crate::{
    config::{ChannelBinding, Connection, Host},
    error::{Result, ServerMessage, SourceError},
    tls::server_end_point,
};

const DOING: &str = "connecting";

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Session {
    /// Statements and COPY.
    Sql,
    /// Logical replication: a walsender bound to a database.
    Replication,
    /// Statements that are not ours.
    Plain,
}

/// Settings that decide how values are printed, and so what the log's bytes mean: never left to the role or the server.
/// An empty search path makes names of types and functions unambiguous.
pub(super) const PINNED: [(&str, &str); 9] = [
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("standard_conforming_strings", "on"),
    ("search_path", ""),
    ("lock_timeout", "0"),
];

/// For SQL: a snapshot that is held open must not be ended by a time limit meant for applications, and rows that a policy
/// hides must be an error instead of missing.
const PINNED_SQL: [(&str, &str); 4] = [
    ("statement_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("row_security", "off"),
    ("default_transaction_isolation", "read committed"),
];

/// For statements that are not ours: what decides how we read their rows, and nothing of what they mean.
const PINNED_PLAIN: [(&str, &str); 2] = [("client_encoding", "UTF8"), ("DateStyle", "ISO")];

/// Connects to the first host that answers.
pub(crate) async fn connect(connection: &Connection, session: Session) -> Result<Wire> {
    let mut last = SourceError::Connection { reason: "it names no host".into() };
    for host in &connection.hosts {
        let attempt = async {
            let mut wire =
                Wire::new(Stream::connect(host, &connection.ssl, connection.keepalives_idle).await?);
            start(&mut wire, connection, host, session).await?;
            if connection.hosts.len() > 1 && in_recovery(&mut wire).await? {
                return Err(SourceError::Standby);
            }
            Ok(wire)
        };
        let error = match timeout(connection.connect_timeout, attempt).await {
            Ok(Ok(wire)) => return Ok(wire),
            Ok(Err(error)) => error,
            Err(_) => SourceError::Unreachable {
                address: host.to_string(),
                reason: format!("no session within {} s", connection.connect_timeout.as_secs()),
            },
        };
        // Another host of the list is another chance, unless this one has answered and refused us.
        if !error.is_transient() && !matches!(error, SourceError::Standby) {
            return Err(error);
        }
        last = error;
    }
    Err(last)
}

/// Of several hosts, the primary is meant: a standby has nothing to start from.
async fn in_recovery(wire: &mut Wire) -> Result<bool> {
    Ok(wire.query_one(DOING, "SELECT pg_is_in_recovery()").await?.flag(0))
}

async fn start(wire: &mut Wire, connection: &Connection, host: &Host, session: Session) -> Result<()> {
    let mut parameters = vec![
        ("user", connection.user.as_str()),
        ("database", connection.database.as_str()),
        ("application_name", connection.application_name.as_str()),
    ];
    if let Some(options) = &connection.options {
        parameters.push(("options", options));
    }
    match session {
        Session::Sql => parameters.extend(PINNED.into_iter().chain(PINNED_SQL)),
        Session::Replication => {
            parameters.extend(PINNED.into_iter().chain([("replication", "database")]));
        }
        Session::Plain => parameters.extend(PINNED_PLAIN),
    }
    wire.send(DOING, |output| frontend::startup_message(parameters, output)).await?;

    let mut login = Login { connection, host, session, scram: None };
    loop {
        let frame = wire.frame(DOING).await.map_err(|error| match error {
            // Before a session exists, a close means that no server of ours is there.
            SourceError::Lost { reason, .. } => {
                SourceError::Unreachable { address: host.to_string(), reason }
            }
            error => error,
        })?;
        match frame.tag {
            b'R' => login.authenticate(wire, frame.body).await?,
            b'E' => return Err(login.refused(server_message(&frame.body))),
            b'K' => {
                let mut key = frame.body.clone();
                wire.backend_pid = key.try_get_i32().unwrap_or(0);
                let secret = key.try_get_i32().ok();
                wire.canceller =
                    secret.map(|secret| Canceller::new(connection, host, wire.backend_pid, secret));
            }
            b'Z' => return Ok(()),
            // NegotiateProtocolVersion: the server speaks an older minor version, which is all we need.
            b'v' => {}
            tag => return Err(unexpected(DOING, tag)),
        }
    }
}

struct Login<'a> {
    connection: &'a Connection,
    host: &'a Host,
    session: Session,
    scram: Option<ScramSha256>,
}

impl Login<'_> {
    async fn authenticate(&mut self, wire: &mut Wire, mut body: Bytes) -> Result<()> {
        let torn = || SourceError::protocol(DOING, "a torn authentication request");
        match body.try_get_u32().map_err(|_| torn())? {
            0 => Ok(()),
            3 => {
                let password = self.password()?;
                wire.send(DOING, |output| frontend::password_message(password.as_bytes(), output)).await
            }
            5 => {
                let salt = body.get(..4).and_then(|salt| salt.try_into().ok()).ok_or_else(torn)?;
                let hash = md5_hash(self.connection.user.as_bytes(), self.password()?.as_bytes(), salt);
                wire.send(DOING, |output| frontend::password_message(hash.as_bytes(), output)).await
            }
            10 => {
                let offered: Vec<&[u8]> = body.split(|byte| *byte == 0).filter(|name| !name.is_empty()).collect();
                let (mechanism, binding) = self.mechanism(wire, &offered)?;
                let scram = ScramSha256::new(self.password()?.as_bytes(), binding);
                wire.send(DOING, |out| frontend::sasl_initial_response(mechanism, scram.message(), out)).await?;
                self.scram = Some(scram);
                Ok(())
            }
            11 => {
                let mut scram = self.scram.take().ok_or_else(torn)?;
                scram.update(&body).map_err(|error| self.failed(error.to_string()))?;
                wire.send(DOING, |output| frontend::sasl_response(scram.message(), output)).await?;
                self.scram = Some(scram);
                Ok(())
            }
            12 => {
                let mut scram = self.scram.take().ok_or_else(torn)?;
                // The server proves that it knows the password too; if it can't, it is not the server.
                scram.finish(&body).map_err(|error| self.failed(error.to_string()))
            }
            method => Err(self.failed(format!(
                "the server asks for authentication method {method}; password, md5 and scram-sha-256 are supported"
            ))),
        }
    }

    fn mechanism(&self, wire: &Wire, offered: &[&[u8]]) -> Result<(&'static str, Binding)> {
        let offers = |mechanism: &str| offered.contains(&mechanism.as_bytes());
        let wanted = self.connection.channel_binding;
        let end_point = match wanted {
            ChannelBinding::Disable => None,
            _ => wire.stream.certificate().and_then(server_end_point),
        };
        match end_point {
            Some(end_point) if offers(SCRAM_SHA_256_PLUS) => {
                Ok((SCRAM_SHA_256_PLUS, Binding::tls_server_end_point(end_point)))
            }
            _ if wanted == ChannelBinding::Require => {
                Err(self.failed("channel binding is required, and the connection can't have it".into()))
            }
            // Saying that we could have bound the channel lets the server notice if somebody took its offer away.
            Some(_) if offers(SCRAM_SHA_256) => Ok((SCRAM_SHA_256, Binding::unrequested())),
            None if offers(SCRAM_SHA_256) => Ok((SCRAM_SHA_256, Binding::unsupported())),
            _ => Err(self.failed("the server offers no SASL mechanism that is supported".into())),
        }
    }

    fn password(&self) -> Result<&str> {
        match &self.connection.password {
            Some(password) => Ok(password.reveal()),
            None => Err(self.failed("the server wants a password, and none is configured".into())),
        }
    }

    fn failed(&self, reason: String) -> SourceError {
        SourceError::Authentication {
            address: self.host.to_string(),
            user: self.connection.user.clone(),
            reason,
        }
    }

    fn refused(&self, server: ServerMessage) -> SourceError {
        let role = || self.connection.user.clone();
        match (server.sqlstate.as_str(), self.session) {
            ("28000" | "28P01", _) => self.failed(server.to_string()),
            ("3D000", _) => SourceError::NoDatabase {
                address: self.host.to_string(),
                database: self.connection.database.clone(),
            },
            // "must be superuser or replication role to start walsender" up to 15, "permission denied to start WAL sender" since;
            // the other one is "permission denied for database".
            ("42501", Session::Replication) if !server.message.contains("database") => {
                SourceError::NoReplicationRight { role: role() }
            }
            ("42501", _) => {
                let database = crate::sql::identifier(&self.connection.database);
                SourceError::NoPrivilege {
                    remedy: format!(
                        "GRANT CONNECT ON DATABASE {database} TO {}",
                        crate::sql::identifier(&role())
                    ),
                    role: role(),
                    privilege: "CONNECT".into(),
                    object: format!("database {}", self.connection.database),
                }
            }
            ("53300", Session::Replication) if server.message.contains("max_wal_senders") => {
                SourceError::NoFreeWalsender { reason: server.to_string() }
            }
            _ => SourceError::from_server(DOING, server),
        }
    }
}
