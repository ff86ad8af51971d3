//! A row as the source said it: bytes with an iterator, no allocation per value.
//!
//! # Layout
//!
//! The layout is pgoutput's TupleData (PostgreSQL documentation, "Logical Replication Message Formats"), so that a message's
//! bytes can be shared without a copy:
//!
//! ```text
//! i16  number of columns, big endian
//! then per column:
//!   u8 'n'                        NULL
//!   u8 'u'                        unchanged TOASTed value, not sent
//!   u8 't', i32 length, bytes     text form
//!   u8 'b', i32 length, bytes     binary form (never asked for by Millstream; kept for completeness)
//! ```

use bytes::{BufMut, Bytes, BytesMut};

/// One column's value in a [`Tuple`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// A TOASTed value that the update did not change and the source did not send.
    Unchanged,
    /// PostgreSQL's text output, under the session's pinned settings.
    Text(&'a [u8]),
    /// PostgreSQL's binary output.
    Binary(&'a [u8]),
}

/// A tuple whose bytes are not of the documented layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed tuple: {what} at byte {offset}")]
pub struct TupleError {
    /// What was wrong.
    pub what: &'static str,
    /// Where in the tuple.
    pub offset: usize,
}

/// A row: shared bytes, checked once at construction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tuple {
    bytes: Bytes,
}

impl Tuple {
    /// Takes a tuple off the front of `input`, checking its structure; `input` is advanced behind it.
    pub fn take(input: &mut Bytes) -> Result<Self, TupleError> {
        let length = Self::measure(input)?;
        Ok(Tuple { bytes: input.split_to(length) })
    }

    /// The number of bytes that the tuple at the front of `input` occupies, its structure checked.
    pub fn measure(input: &[u8]) -> Result<usize, TupleError> {
        let error = |what, offset| TupleError { what, offset };
        let Some(count) = input.first_chunk::<2>() else {
            return Err(error("no column count", 0));
        };
        let count = i16::from_be_bytes(*count);
        if count < 0 {
            return Err(error("negative column count", 0));
        }
        let mut offset = 2;
        for _ in 0..count {
            match input.get(offset) {
                Some(b'n' | b'u') => offset += 1,
                Some(b't' | b'b') => {
                    let Some(length) = input.get(offset + 1..).and_then(|rest| rest.first_chunk::<4>())
                    else {
                        return Err(error("no value length", offset));
                    };
                    let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
                        return Err(error("negative value length", offset));
                    };
                    if input.len() - (offset + 5) < length {
                        return Err(error("value is cut short", offset));
                    }
                    offset += 5 + length;
                }
                Some(_) => return Err(error("unknown kind of value", offset)),
                None => return Err(error("column is missing", offset)),
            }
        }
        Ok(offset)
    }

    /// Number of columns.
    pub fn len(&self) -> usize {
        // Not negative: checked at construction.
        usize::from(u16::from_be_bytes([self.bytes[0], self.bytes[1]]))
    }

    /// Whether the tuple has no columns (a table can have none).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The layout's bytes.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The values, in column order.
    pub fn values(&self) -> Values<'_> {
        Values { rest: &self.bytes[2..], left: self.len() }
    }

    /// Whether any value was not sent.
    pub fn has_unchanged(&self) -> bool {
        self.values().any(|value| value == Value::Unchanged)
    }
}

/// Iterator over a tuple's values.
#[derive(Debug, Clone)]
pub struct Values<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let (&kind, rest) = self.rest.split_first()?;
        self.rest = rest;
        match kind {
            b'n' => Some(Value::Null),
            b'u' => Some(Value::Unchanged),
            _ => {
                let (length, rest) = rest.split_first_chunk::<4>()?;
                let (value, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
                self.rest = rest;
                Some(if kind == b't' { Value::Text(value) } else { Value::Binary(value) })
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Values<'_> {}

/// Builds a [`Tuple`] value by value.
#[derive(Debug)]
pub struct TupleBuilder {
    bytes: BytesMut,
    count: u16,
}

impl TupleBuilder {
    /// An empty tuple.
    pub fn new() -> Self {
        let mut bytes = BytesMut::with_capacity(256);
        bytes.put_u16(0);
        TupleBuilder { bytes, count: 0 }
    }

    /// Appends a value. PostgreSQL tables have at most 1,600 columns and values of at most 1 GiB.
    pub fn push(&mut self, value: Value<'_>) -> &mut Self {
        self.count += 1;
        match value {
            Value::Null => self.bytes.put_u8(b'n'),
            Value::Unchanged => self.bytes.put_u8(b'u'),
            Value::Text(value) => self.put(b't', value),
            Value::Binary(value) => self.put(b'b', value),
        }
        self
    }

    fn put(&mut self, kind: u8, value: &[u8]) {
        self.bytes.put_u8(kind);
        self.bytes.put_u32(value.len() as u32);
        self.bytes.put_slice(value);
    }

    /// The finished tuple.
    pub fn finish(mut self) -> Tuple {
        self.bytes[..2].copy_from_slice(&self.count.to_be_bytes());
        Tuple { bytes: self.bytes.freeze() }
    }
}

impl Default for TupleBuilder {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_built_tuple_reads_back() {
        let values =
            [Value::Null, Value::Text(b"abc"), Value::Unchanged, Value::Binary(b"\0\x01"), Value::Text(b"")];
        let mut builder = TupleBuilder::new();
        for value in values {
            builder.push(value);
        }
        let tuple = builder.finish();
        assert_eq!(tuple.len(), 5);
        assert_eq!(tuple.values().collect::<Vec<_>>(), values);
        let mut bytes = BytesMut::from(&tuple.as_bytes()[..]);
        bytes.put_slice(b"tail");
        let mut bytes = bytes.freeze();
        assert_eq!(Tuple::take(&mut bytes).unwrap(), tuple);
        assert_eq!(&bytes[..], b"tail");
    }

    #[test]
    fn every_cut_of_a_tuple_is_refused() {
        let mut builder = TupleBuilder::new();
        builder.push(Value::Text(b"abc")).push(Value::Null).push(Value::Unchanged);
        let tuple = builder.finish();
        for end in 0..tuple.as_bytes().len() {
            assert!(Tuple::measure(&tuple.as_bytes()[..end]).is_err(), "cut at {end}");
        }
        assert!(Tuple::measure(b"\xff\xff").is_err());
        assert!(Tuple::measure(b"\0\x01x").is_err());
        assert!(Tuple::measure(b"\0\x01t\xff\xff\xff\xff").is_err());
    }
}
