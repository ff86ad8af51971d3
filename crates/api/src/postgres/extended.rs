//! The extended protocol: statements parsed once, bound to values, described, run in parts.

use std::rc::Rc;

use millstream_core::Description;
use pgwire::messages::{
    data::{NoData, ParameterDescription},
    extendedquery::{
        Bind, BindComplete, Close, CloseComplete, Describe, Execute, Parse, ParseComplete, PortalSuspended,
        TARGET_TYPE_BYTE_PORTAL, TARGET_TYPE_BYTE_STATEMENT,
    },
    response::TransactionStatus,
    PgWireBackendMessage as Backend,
};

use super::{
    connection::{tag_of, Conversation},
    error::{Outcome, WireError},
    parameters,
    rows::{self, Column, Formats},
    session::{Answer, Portal, Prepared},
    statement::{self, Query, Request},
    types::Kind,
    wire::Frontend,
};

/// PostgreSQL's number of `text`: what a parameter is that nobody knows more of.
const TEXT: u32 = 25;

/// PostgreSQL's number of `unknown`, which some clients name where they mean nothing.
const UNKNOWN: u32 = 705;

impl Conversation<'_> {
    /// Answers a message of the extended protocol.
    pub(super) fn extended(&mut self, message: Frontend) -> Outcome<()> {
        match message {
            Frontend::Parse(parse) => self.parse(parse),
            Frontend::Bind(bind) => self.bind(bind),
            Frontend::Describe(describe) => self.describe(&describe),
            Frontend::Execute(execute) => self.execute(execute),
            Frontend::Close(close) => self.close(&close),
            Frontend::Flush => self.wire.flush(),
            // The others are not of this protocol.
            _ => Ok(()),
        }
    }

    fn parse(&mut self, parse: Parse) -> Outcome<()> {
        let name = parse.name.unwrap_or_default();
        let statements = statement::split(&parse.query)?;
        let [statement] = statements.as_slice() else {
            return Err(WireError::Syntax {
                what: "cannot insert multiple commands into a prepared statement".into(),
            });
        };
        let count = statement.parameters()?.max(parse.type_oids.len());
        let declared = |number: usize| {
            parse.type_oids.get(number - 1).copied().filter(|oid| !matches!(*oid, 0 | UNKNOWN))
        };
        let mut request = statement.request()?;
        if self.session.status == TransactionStatus::Error && !request.ends_failure() {
            return Err(WireError::FailedTransaction);
        }
        let mut described = Description::default();
        let mut columns = None;
        if let Request::Query(query) = &mut request {
            // What the client says of its parameters' types decides those of the result.
            let sql = statement.with_casts(|number| Kind::of_oid(declared(number)?)?.warehouse_name());
            *query = Query { sql, tag: query.tag };
            described = self.session.describe(&query.sql)?;
            columns = Some(Column::all(&described.columns));
        } else if count == 0 {
            columns = self.session.columns(&request)?;
        }
        let decided = |number: usize| {
            let name = number.to_string();
            let (_, type_name) = described.parameters.iter().find(|(found, _)| *found == name)?;
            Some(Kind::of_warehouse(type_name.as_deref()?).oid())
        };
        let parameters =
            (1..=count).map(|number| declared(number).or_else(|| decided(number)).unwrap_or(TEXT)).collect();
        if name.is_empty() {
            self.session.drop_statement("");
        }
        self.session.keep_statement(&name, Prepared { request, parameters, columns })?;
        self.wire.send(Backend::ParseComplete(ParseComplete::new()))
    }

    fn bind(&mut self, bind: Bind) -> Outcome<()> {
        let prepared = self.session.statement(bind.statement_name.as_deref().unwrap_or_default())?;
        let (given, expected) = (bind.parameters.len(), prepared.parameters.len());
        if given != expected {
            return Err(WireError::ParameterCount { given, expected });
        }
        let formats = Formats::new(bind.parameter_format_codes)?;
        let result_formats = Formats::new(bind.result_column_format_codes)?;
        let columns = prepared.columns.as_ref().map_or(0, Vec::len);
        if !formats.fits(given) || !result_formats.fits(columns) {
            return Err(WireError::protocol("bind message has more or fewer formats than there are values"));
        }
        let mut parameters = Vec::with_capacity(given);
        for (index, (bytes, oid)) in bind.parameters.iter().zip(&prepared.parameters).enumerate() {
            let number = index + 1;
            let value = parameters::value(number, *oid, formats.binary(index), bytes.as_deref())?;
            parameters.push((number.to_string(), value));
        }
        let portal = Portal { prepared, parameters, formats: result_formats, rows: None, sent: 0 };
        self.session.keep_portal(bind.portal_name.as_deref().unwrap_or_default(), portal)?;
        self.wire.send(Backend::BindComplete(BindComplete::new()))
    }

    fn describe(&mut self, describe: &Describe) -> Outcome<()> {
        let name = describe.name.as_deref().unwrap_or_default();
        let (prepared, formats) = match describe.target_type {
            TARGET_TYPE_BYTE_STATEMENT => {
                let prepared = self.session.statement(name)?;
                let types = ParameterDescription::new(prepared.parameters.clone());
                self.wire.send(Backend::ParameterDescription(types))?;
                (prepared, Formats::default())
            }
            TARGET_TYPE_BYTE_PORTAL => {
                let portal = self.session.take_portal(name)?;
                let told = (Rc::clone(&portal.prepared), portal.formats.clone());
                self.session.keep_portal(name, portal)?;
                told
            }
            other => return Err(WireError::protocol(format!("invalid DESCRIBE message subtype {other}"))),
        };
        let described = match &prepared.columns {
            Some(columns) => Backend::RowDescription(rows::description(columns, &formats)),
            None => Backend::NoData(NoData::new()),
        };
        self.wire.send(described)
    }

    fn execute(&mut self, execute: Execute) -> Outcome<()> {
        let name = execute.name.unwrap_or_default();
        let mut portal = self.session.take_portal(&name)?;
        let prepared = Rc::clone(&portal.prepared);
        let tag = match &prepared.request {
            Request::Query(query) => query.tag,
            Request::Fetch { .. } => "FETCH",
            Request::Show(_) | Request::ShowAll => "SHOW",
            _ => "",
        };
        if portal.rows.is_none() {
            match self.session.run(&prepared.request, &portal.parameters)? {
                Answer::Rows(mut rows, _) => {
                    if let Some(columns) = &prepared.columns {
                        rows.as_described(columns)?;
                    }
                    portal.rows = Some(rows);
                }
                answer => return self.answer(answer),
            }
        }
        let Some(rows) = portal.rows.as_mut() else { return Ok(()) };
        let rows_max = usize::try_from(execute.max_rows).ok().filter(|max| *max > 0).unwrap_or(usize::MAX);
        let columns = rows.columns.clone();
        let sent = self.rows(rows, &columns, &portal.formats, rows_max)?;
        portal.sent += sent;
        let left = rows.len();
        if left == 0 {
            // The number is that of this call's rows, as in PostgreSQL.
            self.session.keep_portal(&name, portal)?;
            return self.complete(tag_of(tag, sent));
        }
        self.session.keep_portal(&name, portal)?;
        self.wire.send(Backend::PortalSuspended(PortalSuspended::new()))
    }

    fn close(&mut self, close: &Close) -> Outcome<()> {
        let name = close.name.as_deref().unwrap_or_default();
        match close.target_type {
            TARGET_TYPE_BYTE_STATEMENT => self.session.drop_statement(name),
            // What is not there is closed.
            TARGET_TYPE_BYTE_PORTAL => drop(self.session.take_portal(name)),
            other => return Err(WireError::protocol(format!("invalid CLOSE message subtype {other}"))),
        }
        self.wire.send(Backend::CloseComplete(CloseComplete::new()))
    }
}
