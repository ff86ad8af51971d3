//! Reads a message's fields in order, knowing where it is when one is missing.

use bytes::{Buf, Bytes};
use millstream_core::{Lsn, Timestamp, Tuple};

use super::DecodeError;

/// What is left of a message.
pub(super) struct Cursor<B> {
    rest: B,
    length: usize,
    tag: Option<u8>,
}

pub(super) type Result<T> = std::result::Result<T, DecodeError>;

impl<B: Buf> Cursor<B> {
    /// Takes the tag off the front.
    pub(super) fn new(message: B) -> Result<(u8, Self)> {
        let length = message.remaining();
        let mut cursor = Cursor { rest: message, length, tag: None };
        let tag = cursor.u8("no tag")?;
        cursor.tag = Some(tag);
        Ok((tag, cursor))
    }

    pub(super) fn error(&self, what: &'static str) -> DecodeError {
        DecodeError { tag: self.tag, what, offset: self.length - self.rest.remaining() }
    }

    #[inline]
    fn need(&self, bytes: usize, what: &'static str) -> Result<()> {
        if self.rest.remaining() < bytes {
            return Err(self.error(what));
        }
        Ok(())
    }

    #[inline]
    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8> {
        self.need(1, what)?;
        Ok(self.rest.get_u8())
    }

    #[inline]
    pub(super) fn u16(&mut self, what: &'static str) -> Result<u16> {
        self.need(2, what)?;
        Ok(self.rest.get_u16())
    }

    #[inline]
    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32> {
        self.need(4, what)?;
        Ok(self.rest.get_u32())
    }

    /// A transaction id, if the message stands in a streamed block.
    #[inline]
    pub(super) fn xid(&mut self, in_stream: bool) -> Result<Option<u32>> {
        in_stream.then(|| self.u32("no transaction id")).transpose()
    }

    #[inline]
    pub(super) fn lsn(&mut self, what: &'static str) -> Result<Lsn> {
        self.need(8, what)?;
        Ok(Lsn(self.rest.get_u64()))
    }

    #[inline]
    pub(super) fn time(&mut self, what: &'static str) -> Result<Timestamp> {
        self.need(8, what)?;
        Ok(Timestamp::from_postgres_micros(self.rest.get_i64()))
    }

    pub(super) fn is_at_end(&self) -> bool {
        !self.rest.has_remaining()
    }

    /// Every message ends with its last field: more bytes mean that it was read wrongly.
    pub(super) fn end(&self) -> Result<()> {
        if self.is_at_end() {
            Ok(())
        } else {
            Err(self.error("bytes left over"))
        }
    }
}

impl Cursor<Bytes> {
    /// A zero-terminated string.
    pub(super) fn string(&mut self, what: &'static str) -> Result<String> {
        let Some(length) = self.rest.iter().position(|&byte| byte == 0) else {
            return Err(self.error(what));
        };
        let Ok(text) = std::str::from_utf8(&self.rest[..length]) else {
            return Err(self.error("a name is not UTF-8"));
        };
        let text = text.to_owned();
        self.rest.advance(length + 1);
        Ok(text)
    }

    /// So many bytes.
    pub(super) fn bytes(&mut self, length: usize, what: &'static str) -> Result<Bytes> {
        self.need(length, what)?;
        Ok(self.rest.split_to(length))
    }

    /// A row, sharing the message's bytes.
    pub(super) fn tuple(&mut self) -> Result<Tuple> {
        Tuple::take(&mut self.rest).map_err(|error| {
            let here = self.error(error.what);
            DecodeError { offset: here.offset + error.offset, ..here }
        })
    }
}
