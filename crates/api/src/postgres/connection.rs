//! One client, from its first message to its last: who it is, simple queries, and errors, which never end the thread otherwise than by ending
//! the connection.

use std::{net::TcpStream, sync::Arc, time::Duration};

use bytes::Bytes;
use millstream_core::{Parameter, Piece};
use pgwire::messages::{
    copy::{CopyDone, CopyOutResponse},
    response::{
        CommandComplete, EmptyQueryResponse, GssEncResponse, NoticeResponse, ReadyForQuery, SslResponse,
        TransactionStatus,
    },
    startup::{Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey},
    PgWireBackendMessage as Backend,
};

use super::{
    copy::{CopyFormat, CopyOptions},
    error::{Outcome, WireError},
    rows::{self, Column, Formats, Rows},
    running::Entry,
    scram::{self, Exchange},
    session::{Answer, Session},
    settings::Settings,
    span,
    statement::{self, Request},
    wire::{self, First, Frontend, Wire},
    Shared, STARTUP_MAX,
};
use crate::access::{Access, Caller};

/// How long a client may refuse to take what it asked for, before its connection is closed.
const STALLED_MAX: Duration = Duration::from_secs(60);

/// Requests for encryption that a client may make before it begins: TLS and GSSAPI, once each.
const ENCRYPTION_REQUESTS_MAX: usize = 2;

/// Names and values that a client begins with.
type Parameters = Vec<(String, String)>;

/// A client's connection.
pub(super) struct Connection {
    wire: Wire,
    shared: Arc<Shared>,
    /// Here until the session takes it.
    entry: Option<Entry>,
    number: Entry,
}

/// A connection whose client has said who it is.
pub(super) struct Conversation<'a> {
    pub(super) wire: &'a mut Wire,
    pub(super) session: Session,
    pub(super) shared: &'a Shared,
    /// After an error of the extended protocol: everything up to Sync is passed over.
    skipping: bool,
}

/// Tells a client that there are too many.
pub(super) fn turn_away(stream: TcpStream, max: usize) {
    let Ok(mut wire) = Wire::new(stream, STARTUP_MAX) else { return };
    // A client that asks for TLS first takes anything but an answer to that for an attack.
    for _ in 0..=ENCRYPTION_REQUESTS_MAX {
        let refused = match wire.read_first(STARTUP_MAX) {
            Ok(Some(First::Ssl)) => wire.send(Backend::SslResponse(SslResponse::Refuse)),
            Ok(Some(First::Gss)) => wire.send(Backend::GssEncResponse(GssEncResponse::Refuse)),
            Ok(Some(First::Startup { .. })) => {
                let error = WireError::TooManyConnections { max };
                let sent = wire.send(Backend::ErrorResponse(error.response()));
                drop(sent.and_then(|()| wire.flush()));
                return;
            }
            _ => return,
        };
        if refused.and_then(|()| wire.flush()).is_err() {
            return;
        }
    }
}

impl Connection {
    pub(super) fn new(stream: TcpStream, shared: Arc<Shared>, entry: Entry) -> std::io::Result<Self> {
        let number = Entry { pid: entry.pid, secret: entry.secret };
        match Wire::new(stream, STALLED_MAX) {
            Ok(wire) => Ok(Connection { wire, shared, entry: Some(entry), number }),
            Err(error) => {
                shared.clients.leave(&entry);
                Err(error)
            }
        }
    }

    /// Serves the client until it leaves or must.
    pub(super) fn run(mut self) {
        let shared = self.shared.clone();
        if let Err(error) = self.serve(&shared) {
            if !matches!(error, WireError::Broken(_)) {
                tracing::debug!(event = "postgres_client_let_go", %error);
                let sent = self.wire.send(Backend::ErrorResponse(error.response()));
                drop(sent.and_then(|()| self.wire.flush()));
            }
        }
    }

    fn serve(&mut self, shared: &Shared) -> Outcome<()> {
        let Some((minor, parameters)) = self.begin()? else { return Ok(()) };
        let Some(entry) = self.entry.take() else { return Ok(()) };
        let given =
            |name: &str| parameters.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        let user = given("user").filter(|user| !user.is_empty());
        let user =
            user.ok_or_else(|| WireError::protocol("no PostgreSQL user name specified in startup packet"))?;
        if given("replication").is_some_and(|value| !matches!(value, "false" | "off" | "no" | "0")) {
            return Err(WireError::unsupported("replication from a warehouse"));
        }
        // Before anything of the project is said.
        let caller = self.authenticate(shared, user)?;
        let database = given("database").unwrap_or(user);
        let project = shared.host.project();
        if database != project {
            return Err(WireError::NoSuchDatabase { name: database.to_owned(), project: project.to_owned() });
        }
        let unknown: Vec<String> = parameters
            .iter()
            .filter(|(name, _)| name.starts_with("_pq_."))
            .map(|(name, _)| name.clone())
            .collect();
        if minor > 0 || !unknown.is_empty() {
            self.wire.send(Backend::NegotiateProtocolVersion(NegotiateProtocolVersion::new(0, unknown)))?;
        }
        let settings = Settings::new(user, &parameters)?;
        self.wire.send(Backend::Authentication(Authentication::Ok))?;
        for (name, value) in settings.reports() {
            self.wire.send(Backend::ParameterStatus(ParameterStatus::new(name, value)))?;
        }
        let secret = SecretKey::I32(entry.secret);
        self.wire.send(Backend::BackendKeyData(BackendKeyData::new(entry.pid, secret)))?;
        let session = Session::new(self.shared.clone(), entry, user.to_owned(), caller, settings);
        let mut conversation = Conversation { wire: &mut self.wire, session, shared, skipping: false };
        conversation.ready()?;
        conversation.converse()
    }

    /// What came with a request for encryption was sent before anything was agreed on: somebody in between may have put it there.
    fn nothing_ahead(&self) -> Outcome<()> {
        match self.wire.has_input() {
            true => Err(WireError::protocol("received unencrypted data after a request for encryption")),
            false => Ok(()),
        }
    }

    /// Who the client is.
    fn authenticate(&mut self, shared: &Shared, user: &str) -> Outcome<Caller> {
        let elsewhere = !shared.config.address.ip().is_loopback();
        if elsewhere && !self.wire.is_tls() {
            return Err(WireError::TlsRequired);
        }
        let Some(access) = shared.host.access() else { return Ok(Caller::ANYBODY) };
        let (verifier, known) = access.named(user);
        self.wire.send(Backend::Authentication(Authentication::SASL(vec![scram::MECHANISM.to_owned()])))?;
        let (mechanism, first) = wire::sasl_first(self.proof()?)?;
        if mechanism != scram::MECHANISM {
            return Err(WireError::protocol(format!(
                "{} was offered, and not {mechanism}",
                scram::MECHANISM
            )));
        }
        let exchange = Exchange::begin(&first, &Access::nonce()?, &verifier)?;
        let challenge = Bytes::copy_from_slice(exchange.challenge().as_bytes());
        self.wire.send(Backend::Authentication(Authentication::SASLContinue(challenge)))?;
        let last = self.proof()?;
        let (Some(told), Some(caller)) = (exchange.finish(&last, &verifier)?, known) else {
            tracing::info!(event = "postgres_refused", user);
            return Err(WireError::WrongPassword { user: user.to_owned() });
        };
        self.wire.send(Backend::Authentication(Authentication::SASLFinal(Bytes::from(told))))?;
        if !caller.may_ask_sql() {
            return Err(WireError::NoSql { role: caller.role_name().unwrap_or_default().to_owned() });
        }
        tracing::info!(event = "postgres_client", key = caller.key_id(), role = caller.role_name());
        Ok(caller)
    }

    /// The next message, which proves something.
    fn proof(&mut self) -> Outcome<Bytes> {
        self.wire.flush()?;
        match self.wire.read_of_stranger(STARTUP_MAX)? {
            Some(Frontend::Proof(body)) => Ok(body),
            Some(_) => Err(WireError::protocol("expected a SASL response")),
            None => Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
        }
    }

    /// What the client begins with; `None`: it only wanted to cancel something, or left.
    fn begin(&mut self) -> Outcome<Option<(u16, Parameters)>> {
        for _ in 0..=ENCRYPTION_REQUESTS_MAX {
            match self.wire.read_first(STARTUP_MAX)? {
                None => return Ok(None),
                Some(First::Ssl) => {
                    let tls = self.shared.config.tls.clone().filter(|_| !self.wire.is_tls());
                    let answer = if tls.is_some() { SslResponse::Accept } else { SslResponse::Refuse };
                    self.wire.send(Backend::SslResponse(answer))?;
                    if let Some(tls) = tls {
                        self.nothing_ahead()?;
                        self.wire.flush()?;
                        self.wire.begin_tls(&tls)?;
                        continue;
                    }
                }
                Some(First::Gss) => self.wire.send(Backend::GssEncResponse(GssEncResponse::Refuse))?,
                Some(First::Cancel { pid, secret }) => {
                    self.shared.clients.cancel(pid, secret);
                    return Ok(None);
                }
                Some(First::Startup { minor, parameters }) => return Ok(Some((minor, parameters))),
            }
            self.nothing_ahead()?;
            self.wire.flush()?;
        }
        Err(WireError::protocol("too many requests for encryption"))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.clients.leave(&self.number);
    }
}

impl Conversation<'_> {
    /// Says that the next message may come.
    pub(super) fn ready(&mut self) -> Outcome<()> {
        self.tell()?;
        let status = self.session.status;
        self.wire.send(Backend::ReadyForQuery(ReadyForQuery::new(status)))?;
        self.wire.flush()
    }

    /// Warnings, and settings that changed.
    pub(super) fn tell(&mut self) -> Outcome<()> {
        for notice in std::mem::take(&mut self.session.notices) {
            let fields = vec![
                (b'S', "WARNING".to_owned()),
                (b'V', "WARNING".to_owned()),
                (b'C', "01000".to_owned()),
                (b'M', notice),
            ];
            self.wire.send(Backend::NoticeResponse(NoticeResponse::new(fields)))?;
        }
        for (name, value) in std::mem::take(&mut self.session.reports) {
            self.wire.send(Backend::ParameterStatus(ParameterStatus::new(name.to_owned(), value)))?;
        }
        Ok(())
    }

    fn converse(&mut self) -> Outcome<()> {
        loop {
            let in_transaction = self.session.status != TransactionStatus::Idle;
            let config = &self.shared.config;
            let patience = if in_transaction { config.idle_in_transaction_max } else { config.idle_max };
            let message = match self.wire.read(patience) {
                Err(WireError::Idle { .. }) => return Err(WireError::Idle { in_transaction }),
                other => other?,
            };
            let Some(message) = message else {
                let stopping = self.shared.stopping.load(std::sync::atomic::Ordering::Acquire);
                return if stopping { Err(WireError::Stopping) } else { Ok(()) };
            };
            match message {
                Frontend::Terminate => return Ok(()),
                Frontend::Query(text) => {
                    self.skipping = false;
                    let outcome = self.simple(&text);
                    if outcome.is_err() {
                        self.session.failed();
                    }
                    // Whatever came of them, the message's statements end with it.
                    let apart = self.session.apart();
                    self.session.settle();
                    if let Err(error) = outcome.and(apart) {
                        self.refuse(error)?;
                    }
                    self.ready()?;
                }
                Frontend::Sync => {
                    self.skipping = false;
                    self.session.settle();
                    self.ready()?;
                }
                Frontend::Copy => {}
                Frontend::Proof(_) => return Err(WireError::protocol("nobody asked for a password")),
                _ if self.skipping => {}
                message => {
                    if let Err(error) = self.extended(message) {
                        self.session.failed();
                        self.refuse(error)?;
                        self.skipping = true;
                    }
                }
            }
        }
    }

    /// Tells the client of an error, unless it ends the connection.
    fn refuse(&mut self, error: WireError) -> Outcome<()> {
        if error.is_fatal() {
            return Err(error);
        }
        self.tell()?;
        self.wire.send(Backend::ErrorResponse(error.response()))
    }

    /// Answers all statements of a text. They read one state where there are several.
    fn simple(&mut self, text: &str) -> Outcome<()> {
        let statements = statement::split(text)?;
        if statements.len() > 1 {
            self.session.together();
        }
        for statement in &statements {
            if statement.parameters()? > 0 {
                return Err(WireError::Syntax { what: "there is no parameter $1".into() });
            }
            let request = statement.request()?;
            let span = span::of(&request, self.shared.host.project());
            let outcome = span.in_scope(|| self.statement(&request));
            span::ended(&span, &outcome);
            outcome?;
        }
        Ok(())
    }

    /// Answers one of them.
    fn statement(&mut self, request: &Request) -> Outcome<()> {
        if let Some(sql) = self.session.streams(request) {
            return self.stream(request, sql, &[], &Formats::default(), Told::Now);
        }
        match self.session.run(request, &[])? {
            Answer::Rows(mut rows, tag) => {
                let formats = Formats::default();
                let described = rows::description(&rows.columns, &formats);
                self.wire.send(Backend::RowDescription(described))?;
                let columns = rows.columns.clone();
                let sent = self.rows(&mut rows, &columns, &formats, usize::MAX)?;
                self.complete(tag_of(tag, sent))
            }
            answer => self.answer(answer),
        }
    }

    /// Asks and sends what comes, as it comes.
    pub(super) fn stream(
        &mut self,
        request: &Request,
        sql: &str,
        parameters: &[(String, Parameter)],
        formats: &Formats,
        told: Told<'_>,
    ) -> Outcome<()> {
        let Conversation { wire, session, .. } = self;
        let (mut columns, mut sent, mut scratch) = (Vec::new(), 0, String::new());
        let copies = match request {
            Request::Copy { options, .. } => Some(options),
            _ => None,
        };
        session.ask_each(sql, parameters, None, |piece| {
            let batch = match piece {
                Piece::Columns(named) => {
                    columns = Column::all(named);
                    match (copies, told) {
                        (Some(options), _) => begin_copy(wire, &columns, options)?,
                        (None, Told::Before(told)) => {
                            rows::as_described(told, &columns)?;
                            columns = told.to_vec();
                        }
                        (None, Told::Never) => {}
                        (None, Told::Now) => {
                            wire.send(Backend::RowDescription(rows::description(&columns, formats)))?;
                        }
                    }
                    return Ok(());
                }
                Piece::Rows(batch) => batch,
            };
            for row in 0..batch.num_rows() {
                let before = wire.output().len();
                let out = wire.output();
                let written = match copies {
                    Some(options) => options.row(sent == 0, &columns, &batch, row, out, &mut scratch),
                    None => rows::write_row(out, &columns, formats, &batch, row, &mut scratch),
                };
                if let Err(error) = written {
                    // Half a row must not be sent: the error takes its place.
                    wire.output().truncate(before);
                    return Err(error);
                }
                sent += 1;
                wire.flush_if_full()?;
            }
            Ok(())
        })?;
        span::gave(sent);
        match (request, copies) {
            (_, Some(options)) => {
                options.tail(sent, wire.output());
                wire.send(Backend::CopyDone(CopyDone::new()))?;
                self.complete(format!("COPY {sent}"))
            }
            (Request::Query(query), _) => self.complete(tag_of(query.tag, sent)),
            _ => Ok(()),
        }
    }

    /// Sends what is not rows.
    pub(super) fn answer(&mut self, answer: Answer) -> Outcome<()> {
        match answer {
            Answer::Empty => self.wire.send(Backend::EmptyQueryResponse(EmptyQueryResponse::new())),
            Answer::Done(tag) => self.complete(tag),
            Answer::Rows(rows, tag) => self.complete(tag_of(tag, rows.len())),
        }
    }

    pub(super) fn complete(&mut self, tag: String) -> Outcome<()> {
        self.tell()?;
        self.wire.send(Backend::CommandComplete(CommandComplete::new(tag)))
    }

    /// Sends rows, at most so many; tells how many there were.
    pub(super) fn rows(
        &mut self,
        rows: &mut Rows,
        columns: &[Column],
        formats: &Formats,
        rows_max: usize,
    ) -> Outcome<usize> {
        let (mut sent, mut scratch) = (0, String::new());
        while sent < rows_max {
            let Some(batch) = rows.next(rows_max - sent) else { break };
            for row in 0..batch.num_rows() {
                let before = self.wire.output().len();
                let written =
                    rows::write_row(self.wire.output(), columns, formats, &batch, row, &mut scratch);
                if let Err(error) = written {
                    // Half a row must not be sent: the error takes its place.
                    self.wire.output().truncate(before);
                    return Err(error);
                }
                self.wire.flush_if_full()?;
            }
            sent += batch.num_rows();
        }
        span::gave(sent);
        Ok(sent)
    }
}

/// When a client is told of a result's columns.
#[derive(Clone, Copy)]
pub(super) enum Told<'a> {
    /// Before the rows.
    Now,
    /// When it asked for them.
    Before(&'a [Column]),
    /// It did not ask.
    Never,
}

/// Says that a copy begins, and what stands before its rows.
fn begin_copy(wire: &mut Wire, columns: &[Column], options: &CopyOptions) -> Outcome<()> {
    let binary = options.format == CopyFormat::Binary;
    let formats = vec![i16::from(binary); columns.len()];
    let count = columns.len() as i16;
    wire.send(Backend::CopyOutResponse(CopyOutResponse::new(i8::from(binary), count, formats)))?;
    options.head(columns, wire.output());
    Ok(())
}

/// A command tag. EXPLAIN and SHOW tell no number.
pub(super) fn tag_of(word: &str, rows: usize) -> String {
    match word {
        "EXPLAIN" | "SHOW" => word.to_owned(),
        word => format!("{word} {rows}"),
    }
}
