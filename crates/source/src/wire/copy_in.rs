//! `COPY … FROM STDIN`: rows that go from here to the server (PostgreSQL documentation, "COPY Operations").
//!
//! As with other statements that somebody else has written, it takes as long as it takes: a server that stores what it was given reads nothing meanwhile.

use bytes::{BufMut, BytesMut};
use postgres_protocol::message::frontend;
use tokio::io::AsyncWriteExt;

use super::{
    server_message,
    statement::{status_of, tag_of, Done, Told},
    unexpected, Wire,
};
use crate::error::{Result, SourceError};

impl Wire {
    /// Begins a statement that takes rows. `Some`: it has ended without taking any, because the server refuses it or because it was another statement.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn copy_in_begin(&mut self, doing: &str, sql: &str) -> Result<Option<Done>> {
        self.send(doing, |output| frontend::query(sql, output)).await?;
        self.until_taken(doing, true).await
    }

    /// Gives rows. What the server says against them comes with the end.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn copy_in_rows(&mut self, doing: &str, rows: &[u8]) -> Result<()> {
        // Pieces that are held twice for a moment.
        const PIECE_BYTES_MAX: usize = 1 << 20;
        for piece in rows.chunks(PIECE_BYTES_MAX) {
            let mut message = BytesMut::with_capacity(piece.len() + 5);
            message.put_u8(b'd');
            message.put_u32(piece.len() as u32 + 4);
            message.extend_from_slice(piece);
            let written = async {
                self.stream.write_all(&message).await?;
                self.stream.flush().await
            };
            written.await.map_err(|error| SourceError::lost(doing, error))?;
        }
        Ok(())
    }

    /// Ends the rows; `failed`: why there are no more, so that the server keeps none.
    ///
    /// # Errors
    /// The connection is lost. What the server says against the rows is in the outcome.
    pub async fn copy_in_end(&mut self, doing: &str, failed: Option<&str>) -> Result<Done> {
        match failed {
            Some(reason) => self.send(doing, |output| frontend::copy_fail(reason, output)).await?,
            None => {
                let done = |output: &mut BytesMut| {
                    frontend::copy_done(output);
                    Ok(())
                };
                self.send(doing, done).await?;
            }
        }
        let ended = self.until_taken(doing, false).await?;
        ended.ok_or_else(|| unexpected(doing, b'G'))
    }

    /// Reads until the server takes rows, where `takes`, or until the statement has ended.
    async fn until_taken(&mut self, doing: &str, takes: bool) -> Result<Option<Done>> {
        let mut told = Told::default();
        let mut error = None;
        loop {
            let frame = self.frame_behind(doing, &mut error).await?;
            match frame.tag {
                b'G' if takes => return Ok(None),
                b'C' => told.tag = tag_of(&frame.body),
                b'E' => error = Some(SourceError::from_server(doing, server_message(&frame.body))),
                b'T' | b'D' | b'I' => {}
                b'Z' => {
                    let outcome = error.map_or(Ok(told), Err);
                    return Ok(Some(Done { status: status_of(&frame.body), outcome }));
                }
                tag => return Err(unexpected(doing, tag)),
            }
        }
    }
}
