//! Models built through a running instance, which alone has the warehouse open: each connection to the warehouse is a connection to the instance.
//!
//! After [`Request::Build`] is answered with [`Event::Done`], the client sends a [`Call`] a line and reads a [`Reply`] for each. A client that breaks off interrupts what
//! runs for it, and what it has not committed is undone.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::mpsc,
};

use millstream_core::{
    build::{
        Answer, BuildConnection, BuildWarehouse, BuiltRelation, DescribedRelation, Interrupter, Response,
    },
    log::Result,
};
use serde::{Deserialize, Serialize};

use super::{
    client::{reach, Reached},
    protocol::Request,
};
use crate::{
    error::ProgramError,
    failure::{Failure, Reported},
};

/// The longest call: SQL that was written by templates, a row a line.
const CALL_BYTES_MAX: u64 = 256 << 20;

/// What is asked of a connection.
#[derive(Debug, Serialize, Deserialize)]
enum Call {
    Run(String),
    Query(String, usize),
    Begin,
    Commit,
    Rollback,
    Relations(String),
    Columns(String, String, String),
    Described(String),
}

/// What it says.
#[derive(Debug, Serialize, Deserialize)]
enum Reply {
    Done,
    Ran(Response),
    Answer(Answer),
    Relations(Vec<BuiltRelation>),
    Columns(Vec<(String, String)>),
    Described(Vec<DescribedRelation>),
    Failed(Failure),
}

/// Does what a client asks of a connection until it goes away.
pub(super) fn serve(stream: &UnixStream, mut connection: Box<dyn BuildConnection>) -> io::Result<()> {
    let (calls, called) = mpsc::channel();
    let (reading, interrupt) = (stream.try_clone()?, connection.interrupter());
    std::thread::Builder::new().name("control-build".into()).spawn(move || {
        let mut reader = BufReader::new(reading);
        loop {
            let mut line = String::new();
            let read = (&mut reader).take(CALL_BYTES_MAX).read_line(&mut line);
            if !matches!(read, Ok(bytes) if bytes > 0) || calls.send(line).is_err() {
                break;
            }
        }
        if let Some(interrupt) = interrupt {
            interrupt();
        }
    })?;
    let mut writing = stream;
    for line in called {
        let reply = match serde_json::from_str(&line) {
            Ok(call) => does(&mut *connection, call).unwrap_or_else(|error| Reply::Failed(error.into())),
            Err(error) => Reply::Failed(ProgramError::UnknownRequest { detail: error.to_string() }.into()),
        };
        let mut line = serde_json::to_vec(&reply).map_err(io::Error::other)?;
        line.push(b'\n');
        writing.write_all(&line)?;
    }
    Ok(())
}

fn does(connection: &mut dyn BuildConnection, call: Call) -> Result<Reply> {
    Ok(match call {
        Call::Run(sql) => Reply::Ran(connection.run(&sql)?),
        Call::Query(sql, rows_max) => Reply::Answer(connection.query(&sql, rows_max)?),
        Call::Begin => connection.begin().map(|()| Reply::Done)?,
        Call::Commit => connection.commit().map(|()| Reply::Done)?,
        Call::Rollback => connection.rollback().map(|()| Reply::Done)?,
        Call::Relations(database) => Reply::Relations(connection.relations(&database)?),
        Call::Columns(database, schema, relation) => {
            Reply::Columns(connection.columns(&database, &schema, &relation)?)
        }
        Call::Described(database) => Reply::Described(connection.described(&database)?),
    })
}

/// The warehouse of the instance that runs the project.
#[derive(Debug)]
pub struct RemoteWorkshop {
    /// The project's data directory.
    pub data: PathBuf,
}

impl BuildWarehouse for RemoteWorkshop {
    fn connect(&self) -> Result<Box<dyn BuildConnection>> {
        let gone = || ProgramError::InstanceLost { detail: "it has ended".into() };
        let Reached::Running(running) = reach(&self.data)? else { return Err(gone().into()) };
        let stream = running.open(&Request::Build).map_err(Reported)?;
        Ok(Box::new(RemoteConnection { reader: BufReader::new(stream) }))
    }
}

struct RemoteConnection {
    reader: BufReader<UnixStream>,
}

impl RemoteConnection {
    fn call(&mut self, call: &Call) -> Result<Reply> {
        let lost = |error: io::Error| ProgramError::InstanceLost { detail: error.to_string() };
        let mut line = serde_json::to_vec(call).map_err(io::Error::other).map_err(lost)?;
        line.push(b'\n');
        self.reader.get_mut().write_all(&line).map_err(lost)?;
        let mut text = String::new();
        if self.reader.read_line(&mut text).map_err(lost)? == 0 {
            return Err(ProgramError::InstanceLost { detail: "it closed the connection".into() }.into());
        }
        match serde_json::from_str(&text).map_err(io::Error::other).map_err(lost)? {
            Reply::Failed(failure) => Err(Reported(failure).into()),
            reply => Ok(reply),
        }
    }
}

/// A reply of another kind than what was asked for.
fn strange<T>(reply: &Reply) -> Result<T> {
    Err(ProgramError::InstanceLost { detail: format!("it answered something else: {reply:?}") }.into())
}

impl BuildConnection for RemoteConnection {
    fn run(&mut self, sql: &str) -> Result<Response> {
        match self.call(&Call::Run(sql.to_owned()))? {
            Reply::Ran(response) => Ok(response),
            other => strange(&other),
        }
    }

    fn query(&mut self, sql: &str, rows_max: usize) -> Result<Answer> {
        match self.call(&Call::Query(sql.to_owned(), rows_max))? {
            Reply::Answer(answer) => Ok(answer),
            other => strange(&other),
        }
    }

    fn begin(&mut self) -> Result<()> {
        self.call(&Call::Begin).map(drop)
    }

    fn commit(&mut self) -> Result<()> {
        self.call(&Call::Commit).map(drop)
    }

    fn rollback(&mut self) -> Result<()> {
        self.call(&Call::Rollback).map(drop)
    }

    fn relations(&mut self, database: &str) -> Result<Vec<BuiltRelation>> {
        match self.call(&Call::Relations(database.to_owned()))? {
            Reply::Relations(relations) => Ok(relations),
            other => strange(&other),
        }
    }

    fn columns(&mut self, database: &str, schema: &str, relation: &str) -> Result<Vec<(String, String)>> {
        let call = Call::Columns(database.to_owned(), schema.to_owned(), relation.to_owned());
        match self.call(&call)? {
            Reply::Columns(columns) => Ok(columns),
            other => strange(&other),
        }
    }

    fn described(&mut self, database: &str) -> Result<Vec<DescribedRelation>> {
        match self.call(&Call::Described(database.to_owned()))? {
            Reply::Described(relations) => Ok(relations),
            other => strange(&other),
        }
    }

    fn interrupter(&self) -> Option<Interrupter> {
        let stream = self.reader.get_ref().try_clone().ok()?;
        Some(Box::new(move || {
            // A client that breaks off interrupts what runs for it.
            let _ = stream.shutdown(Shutdown::Both);
        }))
    }
}
