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
    connection::{tag_of, Conversation, Told},
    error::{Outcome, WireError},
    parameters,
    rows::{self, Column, Formats, Rows},
    session::{Answer, Portal, Prepared},
    span,
    statement::{self, Query, Request, Statement},
    types::Kind,
    wire::Frontend,
};

/// PostgreSQL's number of `text`: what a parameter is that nobody knows more of.
const TEXT: u32 = 25;

/// PostgreSQL's number of `unknown`, which some clients name where they mean nothing.
const UNKNOWN: u32 = 705;

/// What the statement decides of a parameter.
fn decided(described: &Description, number: usize) -> Option<Kind> {
    let name = number.to_string();
    let (_, type_name) = described.parameters.iter().find(|(found, _)| *found == name)?;
    Some(Kind::of_warehouse(type_name.as_deref()?))
}

/// Fills in what the statement decides, and returns the numbers of what it does not.
fn take_decided(types: &mut [Option<Kind>], described: &Description) -> Vec<usize> {
    let mut undecided = Vec::new();
    for (index, kind) in types.iter_mut().enumerate() {
        if kind.is_none() {
            *kind = decided(described, index + 1);
            if kind.is_none() {
                undecided.push(index + 1);
            }
        }
    }
    undecided
}

/// Whether the columns are those of the result. Of a statement that can't be planned without its parameters' values (some functions look at them), the
/// warehouse tells one column that it calls unknown.
fn is_known(described: &Description) -> bool {
    !matches!(described.columns.as_slice(), [(name, _)] if name == "unknown")
}

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
        let mut types: Vec<Option<Kind>> =
            (1..=count).map(|number| Kind::of_oid(declared(number)?)).collect();
        let mut columns = None;
        let mut decided = true;
        if let Request::Query(query) = &mut request {
            let described;
            (described, decided) = self.decide(statement, &mut types)?;
            columns = Some(Column::all(&described.columns));
            let sql = statement.with_casts(|number| types.get(number - 1)?.as_ref()?.warehouse_name());
            *query = Query { sql, tag: query.tag };
        } else if count == 0 {
            columns = self.session.columns(&request)?;
        }
        let oid = |number: usize| {
            declared(number).or_else(|| types[number - 1].as_ref().map(Kind::oid)).unwrap_or(TEXT)
        };
        let parameters = (1..=count).map(oid).collect();
        if name.is_empty() {
            self.session.drop_statement("");
        }
        self.session.keep_statement(&name, Prepared { request, parameters, columns, decided })?;
        self.wire.send(Backend::ParseComplete(ParseComplete::new()))
    }

    /// Finds out what the parameters are that the client did not say, and what the statement gives. What the statement itself decides is taken; where it
    /// does not, the warehouse does not know its columns either, and the first type is taken that makes sense of it. Tells whether one does.
    fn decide(
        &mut self,
        statement: &Statement<'_>,
        types: &mut [Option<Kind>],
    ) -> Outcome<(Description, bool)> {
        let casts = |types: &[Option<Kind>]| {
            statement.with_casts(|number| types.get(number - 1)?.as_ref()?.warehouse_name())
        };
        let described = self.session.describe(&casts(types))?;
        let undecided = take_decided(types, &described);
        if undecided.is_empty() {
            return Ok(self.with_nulls(statement, types, described));
        }
        let (arrays, without) = statement.any_parameters();
        if !arrays.is_empty() {
            if let Ok(elements) = self.session.describe(&without) {
                for number in arrays.into_iter().filter(|number| undecided.contains(number)) {
                    types[number - 1] =
                        decided(&elements, number).map(|element| Kind::Array(Box::new(element)));
                }
            }
        }
        for guess in [Kind::Text, Kind::Int8, Kind::Float8, Kind::Array(Box::new(Kind::Text))] {
            let mut guessed = types.to_vec();
            for number in &undecided {
                guessed[number - 1].get_or_insert_with(|| guess.clone());
            }
            if let Ok(described) = self.session.describe(&casts(&guessed)) {
                types.clone_from_slice(&guessed);
                return Ok(self.with_nulls(statement, types, described));
            }
        }
        // None makes sense of it: it may when it has its values.
        Ok((described, false))
    }

    /// What a statement gives that can't be planned without values: that which it would give for NULLs, if it takes them.
    fn with_nulls(
        &mut self,
        statement: &Statement<'_>,
        types: &[Option<Kind>],
        described: Description,
    ) -> (Description, bool) {
        if is_known(&described) {
            return (described, true);
        }
        let null = |number: usize, _: &str| {
            let type_name = types.get(number - 1)?.as_ref()?.warehouse_name();
            Some(format!("(NULL::{})", type_name.unwrap_or_else(|| "DOUBLE".into())))
        };
        match self.session.describe(&statement.with_parameters(null)) {
            Ok(described) => (described, true),
            Err(_) => (described, false),
        }
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
                // A cursor is a portal to its client.
                if let Some(columns) = self.session.cursor_columns(name) {
                    let described = rows::description(columns, &Formats::default());
                    return self.wire.send(Backend::RowDescription(described));
                }
                let mut portal = self.session.take_portal(name)?;
                let told = (Rc::clone(&portal.prepared), portal.formats.clone());
                let mut columns = None;
                if !told.0.decided && portal.rows.is_none() {
                    // Only running it tells.
                    if let Answer::Rows(rows, _) = self.session.run(&told.0.request, &portal.parameters)? {
                        columns = Some(rows.columns.clone());
                        portal.rows = Some(rows);
                    }
                }
                self.session.keep_portal(name, portal)?;
                if let Some(columns) = columns {
                    let described = rows::description(&columns, &told.1);
                    return self.wire.send(Backend::RowDescription(described));
                }
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
        let portal = self.session.take_portal(&name)?;
        let prepared = Rc::clone(&portal.prepared);
        let span = span::of(&prepared.request, self.shared.host.project());
        let outcome = span.in_scope(|| self.run(&name, portal, execute.max_rows));
        span::ended(&span, &outcome);
        outcome
    }

    /// Runs a portal, or goes on with it.
    fn run(&mut self, name: &str, mut portal: Portal, rows_max: i32) -> Outcome<()> {
        let prepared = Rc::clone(&portal.prepared);
        let tag = match &prepared.request {
            Request::Query(query) => query.tag,
            Request::Fetch { .. } => "FETCH",
            Request::Show(_) | Request::ShowAll => "SHOW",
            _ => "",
        };
        let in_one_go = rows_max <= 0 && portal.rows.is_none();
        if let Some(sql) = self.session.streams(&prepared.request).filter(|_| in_one_go) {
            let told = match &prepared.columns {
                Some(columns) if prepared.decided => Told::Before(columns),
                _ => Told::Never,
            };
            self.stream(&prepared.request, sql, &portal.parameters, &portal.formats, told)?;
            // Nothing is left of it.
            portal.rows = Some(Rows::default());
            return self.session.keep_portal(name, portal);
        }
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
        let rows_max = usize::try_from(rows_max).ok().filter(|max| *max > 0).unwrap_or(usize::MAX);
        let columns = rows.columns.clone();
        let sent = self.rows(rows, &columns, &portal.formats, rows_max)?;
        portal.sent += sent;
        let left = rows.len();
        if left == 0 {
            // The number is that of this call's rows, as in PostgreSQL.
            self.session.keep_portal(name, portal)?;
            return self.complete(tag_of(tag, sent));
        }
        self.session.keep_portal(name, portal)?;
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
