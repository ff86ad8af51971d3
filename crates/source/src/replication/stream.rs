//! The stream itself: copy-both mode, in which the server sends changes and we send how far they are safe.
//!
//! What is read is looked at where it lies in the read buffer, and leaves it in whole batches: no allocation and no copy per
//! message. A batch keeps the frames' heads, so that the reader of the batch ([`Frames`]) needs nothing else.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Buf, BufMut, Bytes};
use millstream_core::{Lsn, Timestamp};

use crate::{
    error::{Result, SourceError},
    wire::{frame_length, server_message, unexpected, Wire},
};

const DOING: &str = "replicating";

/// Tag and length of a message.
const FRAME_HEAD: usize = 5;
/// `w`, start and end of WAL, the server's clock.
const XLOG_HEAD: usize = 1 + 8 + 8 + 8;
/// `k`, end of WAL, the server's clock, whether a reply is wanted.
const KEEPALIVE: usize = 1 + 8 + 8 + 1;

/// What the server sent, in the read buffer.
pub(crate) enum Event<'a> {
    /// A pgoutput message.
    Data { wal_start: Lsn, message: &'a [u8] },
    /// The server has nothing to send before `wal_end`.
    Keepalive { wal_end: Lsn, reply_requested: bool },
    /// A message that carries nothing.
    Nothing,
}

/// The running stream.
pub(crate) struct ReplicationStream {
    wire: Wire,
    /// Bytes of the read buffer that [`Self::next`] has gone through.
    scanned: usize,
}

impl ReplicationStream {
    pub(super) fn new(wire: Wire) -> Self {
        ReplicationStream { wire, scanned: 0 }
    }

    /// Reads more, and returns how many bytes. Safe to cancel.
    pub(crate) async fn fill(&mut self) -> Result<usize> {
        self.wire.fill(DOING).await
    }

    /// Looks at the next whole message in the buffer.
    pub(crate) fn next(&mut self) -> Result<Option<Event<'_>>> {
        let rest = &self.wire.input()[self.scanned..];
        if rest.len() < FRAME_HEAD {
            return Ok(None);
        }
        let length = frame_length(rest, DOING)? + 1;
        if rest.len() < length {
            return Ok(None);
        }
        let start = self.scanned;
        self.scanned += length;
        let frame = &self.wire.input()[start..start + length];
        let body = &frame[FRAME_HEAD..];
        match frame[0] {
            b'd' => copy_data(body).map(Some),
            b'E' => Err(SourceError::from_server(DOING, server_message(body))),
            b'N' | b'S' | b'A' => Ok(Some(Event::Nothing)),
            // The server ends the stream when it shuts down.
            b'c' | b'C' | b'Z' => Err(SourceError::lost(DOING, "the server ended the stream")),
            tag => Err(unexpected(DOING, tag)),
        }
    }

    /// Takes what has been looked at.
    pub(crate) fn take(&mut self) -> Bytes {
        let taken = self.wire.input().split_to(self.scanned);
        self.scanned = 0;
        taken.freeze()
    }

    /// How much has been looked at and not taken, in bytes.
    pub(crate) fn scanned(&self) -> usize {
        self.scanned
    }

    /// Tells how far what was received is written and flushed.
    pub(crate) async fn status(&mut self, written: Lsn, flushed: Lsn, ask_for_reply: bool) -> Result<()> {
        let compose = |output: &mut bytes::BytesMut| {
            output.put_u8(b'd');
            output.put_u32(4 + 34);
            output.put_u8(b'r');
            output.put_u64(written.max(flushed).0);
            output.put_u64(flushed.0);
            // Applied: what the log holds is all that this connection answers for.
            output.put_u64(flushed.0);
            // Our clock, which the server displays as reply_time; nothing else ever sees it.
            output.put_i64(clock());
            output.put_u8(u8::from(ask_for_reply));
            Ok(())
        };
        self.wire.send("acknowledging", compose).await
    }

    pub(crate) async fn close(self) {
        self.wire.close().await;
    }
}

/// Microseconds since 2000 by our own clock.
fn clock() -> i64 {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64);
    unix - Timestamp::POSTGRES_EPOCH_MICROS
}

#[inline]
fn copy_data(body: &[u8]) -> Result<Event<'_>> {
    match body.first() {
        Some(b'w') if body.len() > XLOG_HEAD => {
            Ok(Event::Data { wal_start: Lsn((&body[1..]).get_u64()), message: &body[XLOG_HEAD..] })
        }
        Some(b'k') if body.len() >= KEEPALIVE => Ok(Event::Keepalive {
            wal_end: Lsn((&body[1..]).get_u64()),
            reply_requested: body[KEEPALIVE - 1] != 0,
        }),
        _ => Err(SourceError::protocol(DOING, "a torn message")),
    }
}

/// The pgoutput messages of a batch that [`ReplicationStream::take`] gave, each with its place in the WAL.
pub(crate) struct Frames<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Frames<'a> {
    type Item = (Lsn, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        // The batch consists of whole frames that `ReplicationStream::next` accepted, so nothing here can be torn.
        while self.0.len() >= FRAME_HEAD {
            let length = u32::from_be_bytes([self.0[1], self.0[2], self.0[3], self.0[4]]) as usize + 1;
            let (frame, rest) = self.0.split_at_checked(length)?;
            self.0 = rest;
            if frame[0] == b'd' && frame[FRAME_HEAD] == b'w' {
                let wal_start = Lsn((&frame[FRAME_HEAD + 1..]).get_u64());
                return Some((wal_start, &frame[FRAME_HEAD + XLOG_HEAD..]));
            }
        }
        None
    }
}
