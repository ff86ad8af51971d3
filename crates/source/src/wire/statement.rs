//! Statements that somebody else has written: what their columns are called and of which types, what the server says of each, and where a transaction stands.
//!
//! They take as long as they take: no bound of ours ends one.

use bytes::{Buf, Bytes};
use postgres_protocol::message::frontend;

use super::{data_row, server_message, unexpected, Row, Wire};
use crate::error::{Result, SourceError};

/// Where a connection stands (PostgreSQL documentation, "Message Formats", ReadyForQuery).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    /// In no transaction.
    Idle,
    /// In one.
    Open,
    /// In one that a statement has failed in: it can only be rolled back.
    Failed,
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type's oid.
    pub type_oid: u32,
    /// What the type is declared with, such as a length; -1: nothing.
    pub modifier: i32,
}

/// What the last statement of a text gave.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Its columns, if it has any.
    pub fields: Vec<Field>,
    /// Its rows, values as text.
    pub rows: Vec<Row>,
    /// The server's words for what was done: `INSERT 0 5`. Empty where there was no statement.
    pub tag: String,
    /// Whether there were more rows than were to be held. They were passed over.
    pub overflowed: bool,
}

/// How statements ended.
#[derive(Debug)]
pub struct Done {
    /// Where the connection stands now.
    pub status: TransactionStatus,
    /// What the last one gave, or why one of them failed; those behind it were not run.
    pub outcome: Result<Told>,
}

impl Wire {
    /// Runs the statements of a text and gives what the last one told, at most `rows_max` rows of it. COPY from or to the client is refused or passed over.
    ///
    /// # Errors
    /// The connection is lost. What the server says against a statement is in the outcome.
    pub async fn statements(&mut self, doing: &str, sql: &str, rows_max: usize) -> Result<Done> {
        self.send(doing, |output| frontend::query(sql, output)).await?;
        let (mut told, mut begun) = (Told::default(), false);
        let mut error = None;
        loop {
            let frame = self.frame_behind(doing, &mut error).await?;
            if begun && matches!(frame.tag, b'T' | b'C' | b'I') {
                // What an earlier statement gave is not asked for.
                (told, begun) = (Told::default(), false);
            }
            match frame.tag {
                b'T' => told.fields = fields(frame.body).ok_or_else(|| torn(doing))?,
                b'D' if told.rows.len() >= rows_max => told.overflowed = true,
                b'D' => told.rows.push(data_row(frame.body).ok_or_else(|| torn(doing))?),
                b'C' => {
                    told.tag = tag_of(&frame.body);
                    begun = true;
                }
                b'I' => begun = true,
                b'G' => {
                    let refused = "rows can't be copied from here";
                    self.send(doing, |output| frontend::copy_fail(refused, output)).await?;
                }
                b'H' | b'd' | b'c' => {}
                b'E' => error = Some(SourceError::from_server(doing, server_message(&frame.body))),
                b'Z' => {
                    let status = status_of(&frame.body);
                    return Ok(Done { status, outcome: error.map_or(Ok(told), Err) });
                }
                tag => return Err(unexpected(doing, tag)),
            }
        }
    }
}

/// What a CommandComplete tells.
pub(super) fn tag_of(body: &[u8]) -> String {
    String::from_utf8_lossy(body).trim_end_matches('\0').to_owned()
}

/// What a ReadyForQuery tells.
pub(super) fn status_of(body: &[u8]) -> TransactionStatus {
    match body.first() {
        Some(b'T') => TransactionStatus::Open,
        Some(b'E') => TransactionStatus::Failed,
        _ => TransactionStatus::Idle,
    }
}

fn torn(doing: &str) -> SourceError {
    SourceError::protocol(doing, "a torn message")
}

/// The columns that a RowDescription tells.
fn fields(mut body: Bytes) -> Option<Vec<Field>> {
    let count = body.try_get_u16().ok()?;
    let mut fields = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let end = body.iter().position(|byte| *byte == 0)?;
        let name = String::from_utf8_lossy(&body.split_to(end)).into_owned();
        // The name's end; its table and number there.
        if body.len() < 1 + 4 + 2 {
            return None;
        }
        body.advance(1 + 4 + 2);
        let type_oid = body.try_get_u32().ok()?;
        let _size = body.try_get_i16().ok()?;
        let modifier = body.try_get_i32().ok()?;
        let _format = body.try_get_i16().ok()?;
        fields.push(Field { name, type_oid, modifier });
    }
    Some(fields)
}
