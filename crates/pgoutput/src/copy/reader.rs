//! A stream's rows, one at a time, out of one buffer.

use std::io::{ErrorKind, Read};

use super::{CopyError, SIGNATURE};

/// The buffer's first size: large enough that reading costs nothing beside decoding, small beside a batch.
const BUFFER_BYTES_START: usize = 256 << 10;
/// The longest row that is accepted. PostgreSQL builds a row of COPY in one message, which it bounds at 1 GiB.
const ROW_BYTES_MAX: usize = 1 << 30;
/// The longest header extension; none was ever defined.
const EXTENSION_BYTES_MAX: usize = 64 << 10;
/// Fields of a row. PostgreSQL's tables have at most 1,600.
const FIELDS_MAX: usize = 1_600;

/// Reads the rows of a stream.
#[derive(Debug)]
pub struct CopyReader<R> {
    input: R,
    buffer: Vec<u8>,
    /// What of the buffer is filled and not yet taken.
    start: usize,
    end: usize,
    /// How many bytes are waited for.
    wanted: usize,
    /// Where in the stream `start` stands.
    offset: u64,
    /// Where each field of the current row stands in the buffer; `None` is NULL.
    fields: Vec<Option<(usize, usize)>>,
    state: State,
    rows: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    Rows,
    Done,
}

/// A row.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    buffer: &'a [u8],
    fields: &'a [Option<(usize, usize)>],
}

impl<'a> Row<'a> {
    /// Number of fields.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are none (a table can have none).
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The fields; `None` is NULL.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = Option<&'a [u8]>> + '_ {
        self.fields.iter().map(|field| field.map(|(start, end)| &self.buffer[start..end]))
    }
}

impl<R: Read> CopyReader<R> {
    /// A reader at the stream's beginning.
    pub fn new(input: R) -> Self {
        CopyReader {
            input,
            buffer: vec![0; BUFFER_BYTES_START],
            start: 0,
            end: 0,
            wanted: 0,
            offset: 0,
            fields: Vec::new(),
            state: State::Header,
            rows: 0,
        }
    }

    /// Bytes of the stream that were taken.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Rows that were handed out.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The next row; `None` behind the trailer.
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>, CopyError> {
        loop {
            match self.state {
                State::Done => return Ok(None),
                State::Header => self.take_header()?,
                State::Rows => break,
            }
        }
        match self.take_row()? {
            true => Ok(Some(Row { buffer: &self.buffer, fields: &self.fields })),
            false => Ok(None),
        }
    }

    /// The row handed out last, until the next one is asked for.
    pub fn row(&self) -> Row<'_> {
        Row { buffer: &self.buffer, fields: &self.fields }
    }

    fn malformed(&self, what: &'static str) -> CopyError {
        CopyError::Malformed { offset: self.offset, what }
    }

    fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        self.offset += bytes as u64;
    }

    /// Reads more behind what is there; false at the stream's end.
    fn fill(&mut self) -> Result<bool, CopyError> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            // A row is longer than the buffer: it doubles, so that a long row is copied a few times and not in every read.
            // Not beyond what the row is said to need: a value can be a gigabyte. Nor at once to it: that can be a lie.
            let enough = self.wanted.max(self.buffer.len()) + BUFFER_BYTES_START;
            self.buffer.resize((self.buffer.len() * 2).min(enough), 0);
        }
        loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(read) => {
                    self.end += read;
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => {
                    let offset = self.offset + (self.end - self.start) as u64;
                    return Err(CopyError::Read { offset, source });
                }
            }
        }
    }

    /// Makes sure that so many bytes are there.
    fn need(&mut self, bytes: usize) -> Result<(), CopyError> {
        self.wanted = bytes;
        while self.end - self.start < bytes {
            if !self.fill()? {
                return Err(CopyError::Truncated { offset: self.offset + (self.end - self.start) as u64 });
            }
        }
        Ok(())
    }

    fn u32_at(&self, at: usize) -> u32 {
        let bytes = &self.buffer[self.start + at..];
        u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    fn take_header(&mut self) -> Result<(), CopyError> {
        let length = SIGNATURE.len() + 8;
        self.need(length)?;
        if !self.buffer[self.start..].starts_with(SIGNATURE) {
            return Err(self.malformed("no signature of a binary COPY"));
        }
        if self.u32_at(SIGNATURE.len()) & 0xFFFF_0000 != 0 {
            return Err(self.malformed("a critical flag that is not known"));
        }
        let extension = self.u32_at(SIGNATURE.len() + 4) as usize;
        if extension > EXTENSION_BYTES_MAX {
            return Err(self.malformed("a header extension of absurd length"));
        }
        self.need(length + extension)?;
        self.consume(length + extension);
        self.state = State::Rows;
        Ok(())
    }

    /// Takes a row's fields; false at the trailer.
    fn take_row(&mut self) -> Result<bool, CopyError> {
        self.need(2)?;
        let count = i16::from_be_bytes([self.buffer[self.start], self.buffer[self.start + 1]]);
        if count == -1 {
            self.consume(2);
            if self.start < self.end || self.fill()? {
                return Err(self.malformed("data behind the trailer"));
            }
            self.state = State::Done;
            return Ok(false);
        }
        let count = match usize::try_from(count) {
            Ok(count) if count <= FIELDS_MAX => count,
            _ => return Err(self.malformed("a row's number of fields is absurd")),
        };
        loop {
            match self.scan_row(count)? {
                Ok(length) => {
                    self.consume(length);
                    self.rows += 1;
                    return Ok(true);
                }
                Err(needed) => self.need(needed)?,
            }
        }
    }

    /// Finds the fields of the row at `start`: its length, or how many bytes more than there are it has at least.
    #[inline]
    fn scan_row(&mut self, count: usize) -> Result<Result<usize, usize>, CopyError> {
        self.fields.clear();
        let mut at = self.start + 2;
        for _ in 0..count {
            let Some(length) = self.buffer[at..self.end].first_chunk::<4>() else {
                return Ok(Err(at + 4 - self.start));
            };
            at += 4;
            let length = i32::from_be_bytes(*length);
            if length == -1 {
                self.fields.push(None);
                continue;
            }
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if length > ROW_BYTES_MAX - (at - self.start).min(ROW_BYTES_MAX) {
                return Err(self.malformed("a row is longer than PostgreSQL makes them"));
            }
            if self.end - at < length {
                return Ok(Err(at + length - self.start));
            }
            self.fields.push(Some((at, at + length)));
            at += length;
        }
        Ok(Ok(at - self.start))
    }
}
