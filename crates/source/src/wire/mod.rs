//! One connection to a server: frames in and out, simple queries, COPY out, requests to end what runs.
//!
//! SQL and replication share this one implementation of PostgreSQL's protocol (PostgreSQL documentation, "Frontend/Backend Protocol"), so that
//! TLS, authentication, time limits and the wording of errors are the same on every connection. Statements go by the simple
//! protocol: all there is to ask is catalogue rows, which are wanted as text, and COPY.

mod cancel;
mod copy_in;
mod pace;
mod startup;
mod statement;
mod stream;

use std::{
    collections::HashMap,
    io,
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes, BytesMut};
use postgres_protocol::message::frontend;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

pub use cancel::Canceller;
pub(crate) use pace::Pace;
pub(crate) use startup::Session;
pub use statement::{Done, Field, Told, TransactionStatus};
use stream::Stream;
pub(crate) use stream::KEEPALIVE_IDLE;

use crate::{
    config::Connection,
    error::{Result, ServerMessage, SourceError},
};

/// The read buffer's size. What is handed on keeps its piece of it alive, so several reads share one.
const READ_BUFFER_BYTES: usize = 512 * 1024;

/// Room for one read: large enough that system calls don't show in a profile. With less left, the buffer is replaced.
const READ_BYTES_MIN: usize = 64 * 1024;

/// The largest message a server can send (`MaxAllocSize`), and some for its head.
const FRAME_BYTES_MAX: usize = (1 << 30) + 4096;

/// Bound on statements that only read the catalogue or change one object. What takes longer is stuck behind a lock.
const QUERY_TIME_MAX: Duration = Duration::from_secs(60);

/// Bound on handing the kernel a message of ours. They are small; if they don't fit, nobody reads at the other end.
const WRITE_TIME_MAX: Duration = Duration::from_secs(20);

/// The oldest server version that is supported: the first with generated columns, whose catalogue this room asks for.
pub const VERSION_MIN: u32 = 12;

/// A server's version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerVersion {
    /// `15`
    pub major: u32,
    /// As the server says it: `15.18 (Debian 15.18-1)`.
    pub text: String,
}

/// A connection.
pub struct Wire {
    stream: Stream,
    input: BytesMut,
    output: BytesMut,
    parameters: HashMap<String, String>,
    backend_pid: i32,
    /// How the server is asked to end what runs here; none where it gave no key for that.
    canceller: Option<Canceller>,
    /// Bytes of a CopyData message that have not been handed on.
    copy_pending: usize,
    copy_pace: Pace,
}

/// A message, its head taken off.
pub(crate) struct Frame {
    pub(crate) tag: u8,
    pub(crate) body: Bytes,
}

/// A row of a result, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row(Vec<Option<String>>);

impl Row {
    /// A column's value; NULL and a column that is not there are `None`.
    pub fn get(&self, index: usize) -> Option<&str> {
        self.0.get(index).and_then(|value| value.as_deref())
    }

    /// A column that is never NULL.
    pub fn text(&self, index: usize) -> Result<&str> {
        self.get(index)
            .ok_or_else(|| SourceError::protocol("reading the catalogue", format!("column {index} is NULL")))
    }

    /// A column's value, parsed.
    pub fn parse<T: std::str::FromStr>(&self, index: usize) -> Result<T> {
        let text = self.text(index)?;
        text.parse().map_err(|_| {
            SourceError::protocol(
                "reading the catalogue",
                format!("`{text}` in column {index} can't be read"),
            )
        })
    }

    /// A boolean column; NULL is false.
    pub fn flag(&self, index: usize) -> bool {
        self.get(index) == Some("t")
    }
}

impl Wire {
    /// Connects for SQL.
    pub async fn connect(connection: &Connection) -> Result<Wire> {
        startup::connect(connection, Session::Sql).await
    }

    /// Connects for a person's own statements: but for the encoding and the form of dates, the session's settings are those of role and server.
    pub async fn connect_plain(connection: &Connection) -> Result<Wire> {
        startup::connect(connection, Session::Plain).await
    }

    pub(crate) async fn connect_as(connection: &Connection, session: Session) -> Result<Wire> {
        startup::connect(connection, session).await
    }

    fn new(stream: Stream) -> Wire {
        Wire {
            stream,
            input: BytesMut::new(),
            output: BytesMut::new(),
            parameters: HashMap::new(),
            backend_pid: 0,
            canceller: None,
            copy_pending: 0,
            copy_pace: Pace::default(),
        }
    }

    /// The server's version.
    pub fn version(&self) -> ServerVersion {
        let text = self.parameters.get("server_version").cloned().unwrap_or_default();
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        ServerVersion { major: digits.parse().unwrap_or(0), text }
    }

    /// The settings that decide how values are printed.
    pub(crate) fn pinned(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        startup::PINNED.into_iter()
    }

    /// The pid of the server's process for this connection.
    pub fn backend_pid(&self) -> i32 {
        self.backend_pid
    }

    /// What ends a statement that runs here, from elsewhere.
    pub fn canceller(&self) -> Option<Canceller> {
        self.canceller.clone()
    }

    /// Whether the connection is under TLS.
    pub fn is_tls(&self) -> bool {
        self.stream.is_tls()
    }

    /// Runs statements and returns the rows of all of them.
    pub async fn query(&mut self, doing: &str, sql: &str) -> Result<Vec<Row>> {
        self.query_within(doing, sql, QUERY_TIME_MAX).await
    }

    /// [`Self::query`] with a bound of its own.
    pub async fn query_within(&mut self, doing: &str, sql: &str, bound: Duration) -> Result<Vec<Row>> {
        match timeout(bound, self.query_unbound(doing, sql)).await {
            Ok(result) => result,
            Err(_) => Err(SourceError::lost(doing, format!("no answer within {} s", bound.as_secs()))),
        }
    }

    /// Runs a statement that gives exactly one row.
    pub async fn query_one(&mut self, doing: &str, sql: &str) -> Result<Row> {
        let mut rows = self.query(doing, sql).await?;
        match rows.len() {
            1 => Ok(rows.remove(0)),
            count => Err(SourceError::protocol(doing, format!("{count} rows instead of one"))),
        }
    }

    /// The next message of an answer in which the server has told this error, if any. A fatal one closes the connection behind it; its reason is worth more than
    /// the close.
    async fn frame_behind(&mut self, doing: &str, told: &mut Option<SourceError>) -> Result<Frame> {
        self.frame(doing).await.map_err(|lost| told.take().unwrap_or(lost))
    }

    async fn query_unbound(&mut self, doing: &str, sql: &str) -> Result<Vec<Row>> {
        self.send(doing, |output| frontend::query(sql, output)).await?;
        let mut rows = Vec::new();
        let mut error = None;
        loop {
            let frame = self.frame_behind(doing, &mut error).await?;
            match frame.tag {
                b'D' => {
                    rows.push(data_row(frame.body).ok_or_else(|| SourceError::protocol(doing, "a torn row"))?)
                }
                b'E' => error = Some(SourceError::from_server(doing, server_message(&frame.body))),
                b'Z' => return error.map_or(Ok(rows), Err),
                b'T' | b'C' | b'I' => {}
                tag => return Err(unexpected(doing, tag)),
            }
        }
    }

    /// Starts `COPY … TO STDOUT`.
    pub(crate) async fn copy_out(&mut self, doing: &str, sql: &str) -> Result<()> {
        self.send(doing, |output| frontend::query(sql, output)).await?;
        let mut error = None;
        loop {
            let frame = self.frame_behind(doing, &mut error).await?;
            match frame.tag {
                b'H' => return Ok(()),
                b'E' => error = Some(SourceError::from_server(doing, server_message(&frame.body))),
                b'Z' => return Err(error.unwrap_or_else(|| unexpected(doing, b'Z'))),
                tag => return Err(unexpected(doing, tag)),
            }
        }
    }

    /// Appends COPY output to `out` until it holds `bytes_wanted` or the end is reached; a row larger than that comes in
    /// pieces. Returns the number of rows at the end.
    pub(crate) async fn copy_read(
        &mut self,
        doing: &str,
        out: &mut Vec<u8>,
        bytes_wanted: usize,
        messages: &mut u64,
    ) -> Result<Option<u64>> {
        while out.len() < bytes_wanted {
            if self.copy_pending > 0 {
                if self.input.is_empty() {
                    self.copy_fill(doing).await?;
                }
                let take = self.copy_pending.min(self.input.len());
                out.extend_from_slice(&self.input[..take]);
                self.input.advance(take);
                self.copy_pending -= take;
            } else if self.input.len() >= 5 && self.input[0] == b'd' {
                self.copy_pending = frame_length(&self.input, doing)? - 4;
                self.input.advance(5);
                *messages += 1;
            } else if self.input.len() >= 5 {
                return self.copy_end(doing).await.map(Some);
            } else {
                self.copy_fill(doing).await?;
            }
        }
        Ok(None)
    }

    async fn copy_fill(&mut self, doing: &str) -> Result<()> {
        self.copy_pace.wait();
        let bytes = self.fill(doing).await?;
        self.copy_pace.read(bytes, Instant::now());
        Ok(())
    }

    async fn copy_end(&mut self, doing: &str) -> Result<u64> {
        let mut rows = 0;
        let mut error = None;
        loop {
            let frame = self.frame_behind(doing, &mut error).await?;
            match frame.tag {
                b'c' => {}
                b'C' => {
                    let tag = String::from_utf8_lossy(&frame.body);
                    let count =
                        tag.trim_end_matches('\0').rsplit(' ').next().and_then(|count| count.parse().ok());
                    rows = count.ok_or_else(|| SourceError::protocol(doing, "COPY without a count"))?;
                }
                b'E' => error = Some(SourceError::from_server(doing, server_message(&frame.body))),
                b'Z' => return error.map_or(Ok(rows), Err),
                tag => return Err(unexpected(doing, tag)),
            }
        }
    }

    /// Composes a message and hands it to the kernel.
    pub(crate) async fn send(
        &mut self,
        doing: &str,
        compose: impl FnOnce(&mut BytesMut) -> io::Result<()>,
    ) -> Result<()> {
        self.output.clear();
        compose(&mut self.output).map_err(|error| SourceError::protocol(doing, error.to_string()))?;
        let written = async {
            self.stream.write_all(&self.output).await?;
            self.stream.flush().await
        };
        match timeout(WRITE_TIME_MAX, written).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(SourceError::lost(doing, error)),
            Err(_) => Err(SourceError::lost(doing, "the server takes nothing any more")),
        }
    }

    /// Reads more of the stream into the buffer, and returns how many bytes. Safe to cancel: what was read stays.
    pub(crate) async fn fill(&mut self, doing: &str) -> Result<usize> {
        if self.input.capacity() - self.input.len() < READ_BYTES_MIN {
            self.input.reserve(READ_BUFFER_BYTES);
        }
        match self.stream.read_buf(&mut self.input).await {
            Ok(0) => Err(SourceError::lost(doing, "the server closed the connection")),
            Ok(bytes) => Ok(bytes),
            Err(error) => Err(SourceError::lost(doing, error)),
        }
    }

    /// What has been read and not taken.
    pub(crate) fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// The next message but for those that can come at any time (notices, parameter changes).
    pub(crate) async fn frame(&mut self, doing: &str) -> Result<Frame> {
        loop {
            while self.input.len() < 5 {
                self.fill(doing).await?;
            }
            let length = frame_length(&self.input, doing)?;
            while self.input.len() < length + 1 {
                self.fill(doing).await?;
            }
            let tag = self.input[0];
            self.input.advance(5);
            let body = self.input.split_to(length - 4).freeze();
            match tag {
                b'S' => self.parameter(&body),
                b'N' => {
                    tracing::debug!(event = "server_notice", notice = %server_message(&body), "the server notes")
                }
                b'A' => {}
                _ => return Ok(Frame { tag, body }),
            }
        }
    }

    fn parameter(&mut self, body: &Bytes) {
        let mut parts = body.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            self.parameters.insert(name.into_owned(), value.into_owned());
        }
    }

    /// Says goodbye, so that the server does not log a lost connection.
    pub async fn close(mut self) {
        let terminated = self.send("closing the connection", |output| {
            frontend::terminate(output);
            Ok(())
        });
        if terminated.await.is_ok() {
            // The other side closes in answer or has gone already; neither matters to us.
            let _ = self.stream.shutdown().await;
        }
    }
}

/// The length that a message's head states, itself included.
pub(crate) fn frame_length(head: &[u8], doing: &str) -> Result<usize> {
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    match (4..=FRAME_BYTES_MAX).contains(&length) {
        true => Ok(length),
        false => Err(SourceError::protocol(doing, format!("a message of {length} bytes"))),
    }
}

pub(crate) fn unexpected(doing: &str, tag: u8) -> SourceError {
    SourceError::protocol(doing, format!("message `{}`", tag.escape_ascii()))
}

fn data_row(mut body: Bytes) -> Option<Row> {
    let count = body.try_get_u16().ok()?;
    let mut values = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let length = body.try_get_i32().ok()?;
        values.push(match usize::try_from(length) {
            Err(_) => None,
            Ok(length) if length > body.len() => return None,
            Ok(length) => Some(String::from_utf8_lossy(&body.split_to(length)).into_owned()),
        });
    }
    Some(Row(values))
}

/// Reads the fields of an ErrorResponse or NoticeResponse.
pub(crate) fn server_message(body: &[u8]) -> ServerMessage {
    let mut message = ServerMessage::default();
    for field in body.split(|byte| *byte == 0).filter(|field| !field.is_empty()) {
        let value = String::from_utf8_lossy(&field[1..]).into_owned();
        match field[0] {
            b'V' => message.severity = value,
            b'S' if message.severity.is_empty() => message.severity = value,
            b'C' => message.sqlstate = value,
            b'M' => message.message = value,
            b'D' => message.detail = Some(value),
            b'H' => message.hint = Some(value),
            b'P' => message.position = value.parse().ok(),
            _ => {}
        }
    }
    message
}
