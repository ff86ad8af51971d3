//! Frames: how every file of the log is cut into pieces that prove themselves.
//!
//! # Guarantees
//!
//! - A frame that parses is the one that was written, at the place where it was written: the checksum covers its offset in the
//!   file, so neither a misplaced block nor a row value that looks like a frame passes for one.
//! - A frame says how much of its file had been synced when it was written. Damage before that offset cannot be a torn write,
//!   which is what tells a log that lost power from a log that lost data (see [`crate::recovery`]).
//! - The version of the format stands outside the frames, so that a file of another version can be told from a damaged one.
//!
//! # Layout
//!
//! Integers of our own are little endian; what PostgreSQL sent keeps its network order.
//!
//! ```text
//! file   8 bytes  magic, by the kind of file
//!        u32      format version
//!        frames
//!
//! frame  u32      crc32c of: offset of the frame in the file (u64), the next 9 bytes, the payload
//!        u32      length of the payload
//!        u32      bytes of the file that were known to be durable
//!        u8       kind
//!        payload
//! ```

use crc32c::{crc32c, crc32c_append};

/// The version of every format of this crate; files of another one are refused.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// Magic and version.
pub(crate) const PREAMBLE_BYTES: usize = 12;

/// What stands before a frame's payload.
pub(crate) const FRAME_HEAD_BYTES: usize = 13;

/// The longest payload that a reader believes in: a row can reach 1 GiB (PostgreSQL's bound on a message), twice over where
/// an update carries the whole old row.
pub(crate) const PAYLOAD_BYTES_MAX: usize = (2 << 30) + (64 << 20);

/// What a file is, by its first eight bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    Segment,
    Spool,
    Chunk,
}

impl FileKind {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            FileKind::Segment => b"MSLOGSEG",
            FileKind::Spool => b"MSLOGSPL",
            FileKind::Chunk => b"MSLOGCHK",
        }
    }

    /// The first bytes of a file of this kind.
    pub(crate) fn preamble(self) -> [u8; PREAMBLE_BYTES] {
        let mut bytes = [0; PREAMBLE_BYTES];
        bytes[..8].copy_from_slice(self.magic());
        bytes[8..].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes
    }

    /// Checks the first bytes of a file.
    pub(crate) fn check(self, bytes: &[u8]) -> Preamble {
        let (Some(magic), Some(version)) =
            (bytes.get(..8), bytes.get(8..).and_then(|rest| rest.first_chunk()))
        else {
            return Preamble::Damaged;
        };
        match u32::from_le_bytes(*version) {
            _ if magic != self.magic() => Preamble::Damaged,
            FORMAT_VERSION => Preamble::Known,
            version => Preamble::OtherVersion(version),
        }
    }
}

/// What a file's first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preamble {
    Known,
    OtherVersion(u32),
    Damaged,
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FrameKind {
    /// Segment: who spoke, and what came before.
    Head = b'H',
    /// Segment: a relation and its schema, from here on.
    Schema = b'S',
    /// Segment: a whole transaction.
    Transaction = b'T',
    /// Segment: a whole transaction whose entries stand in a spool.
    Spooled = b'L',
    /// Segment: the source had nothing to say before this position.
    Advance = b'A',
    /// Segment: a message that belongs to no transaction.
    Message = b'N',
    /// Spool: entries of its transaction.
    Entries = b'E',
    /// Chunk: COPY output.
    Data = b'D',
    /// Chunk: the end, with the totals.
    End = b'Z',
}

impl FrameKind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            b'H' => FrameKind::Head,
            b'S' => FrameKind::Schema,
            b'T' => FrameKind::Transaction,
            b'L' => FrameKind::Spooled,
            b'A' => FrameKind::Advance,
            b'N' => FrameKind::Message,
            b'E' => FrameKind::Entries,
            b'D' => FrameKind::Data,
            b'Z' => FrameKind::End,
            _ => return None,
        })
    }
}

/// A frame's head, not yet checked against its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) kind: FrameKind,
    /// Bytes of the payload.
    pub(crate) payload_bytes: usize,
    /// Bytes of the file that were durable when the frame was written.
    pub(crate) synced: u32,
    crc: u32,
}

impl FrameHead {
    /// Reads a head; `None` where no frame begins. `bytes` holds at least [`FRAME_HEAD_BYTES`].
    #[inline]
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; FRAME_HEAD_BYTES] = bytes.first_chunk()?;
        let kind = FrameKind::from_byte(bytes[12])?;
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let payload_bytes = word(4) as usize;
        (payload_bytes <= PAYLOAD_BYTES_MAX).then(|| FrameHead {
            kind,
            payload_bytes,
            synced: word(8),
            crc: word(0),
        })
    }

    /// Bytes of head and payload.
    pub(crate) fn frame_bytes(&self) -> usize {
        FRAME_HEAD_BYTES + self.payload_bytes
    }

    /// Whether the frame (head and payload) is whole and stands where it was written.
    #[inline]
    pub(crate) fn verify(&self, frame: &[u8], offset: u64) -> bool {
        frame.len() == self.frame_bytes() && checksum(frame, offset) == self.crc
    }
}

/// Reserves room for a frame's head at the end of `buffer`; the payload is appended behind it, then [`seal`] is called.
pub(crate) fn begin(buffer: &mut Vec<u8>) -> usize {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; FRAME_HEAD_BYTES]);
    start
}

/// Completes the frame that [`begin`] started and that reaches to the end of `buffer`.
pub(crate) fn seal(buffer: &mut [u8], start: usize, kind: FrameKind, offset: u64, synced: u64) {
    let frame = &mut buffer[start..];
    let payload_bytes = frame.len() - FRAME_HEAD_BYTES;
    // Payloads are bounded far below 4 GiB by what PostgreSQL can send, offsets of segments by their size; a spool or chunk
    // has no durable part before it is whole.
    frame[4..8].copy_from_slice(&(payload_bytes as u32).to_le_bytes());
    frame[8..12].copy_from_slice(&(synced.min(u64::from(u32::MAX)) as u32).to_le_bytes());
    frame[12] = kind as u8;
    let crc = checksum(frame, offset);
    frame[..4].copy_from_slice(&crc.to_le_bytes());
}

/// Appends a whole frame.
pub(crate) fn push(buffer: &mut Vec<u8>, kind: FrameKind, offset: u64, synced: u64, payload: &[u8]) {
    let start = begin(buffer);
    buffer.extend_from_slice(payload);
    seal(buffer, start, kind, offset, synced);
}

fn checksum(frame: &[u8], offset: u64) -> u32 {
    crc32c_append(crc32c(&offset.to_le_bytes()), &frame[4..])
}

/// Appends an unsigned LEB128 number.
#[inline]
pub(crate) fn put_varint(buffer: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        buffer.push(value as u8 | 0x80);
        value >>= 7;
    }
    buffer.push(value as u8);
}

/// Takes an unsigned LEB128 number off the front of `bytes`.
#[inline]
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Maps small numbers of either sign to small unsigned ones.
pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The reverse of [`zigzag`].
pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_reads_back_only_whole_and_at_its_own_place() {
        let mut buffer = Vec::new();
        push(&mut buffer, FrameKind::Transaction, 100, 40, b"payload");
        let head = FrameHead::parse(&buffer).unwrap();
        assert_eq!((head.kind, head.payload_bytes, head.synced), (FrameKind::Transaction, 7, 40));
        assert!(head.verify(&buffer, 100));
        assert!(!head.verify(&buffer, 101), "moved");
        assert!(!head.verify(&buffer[..buffer.len() - 1], 100), "cut");
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let mut buffer = Vec::new();
        push(&mut buffer, FrameKind::Schema, 12, 0, b"some payload");
        for bit in 0..buffer.len() * 8 {
            let mut flipped = buffer.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let valid = FrameHead::parse(&flipped).is_some_and(|head| head.verify(&flipped, 12));
            assert!(!valid, "bit {bit}");
        }
    }

    #[test]
    fn numbers_of_any_size_and_sign_read_back() {
        let values = [0, 1, -1, 63, -64, 64, 300, -300, i64::MAX, i64::MIN];
        let mut buffer = Vec::new();
        values.iter().for_each(|&value| put_varint(&mut buffer, zigzag(value)));
        let mut rest = &buffer[..];
        for value in values {
            assert_eq!(take_varint(&mut rest).map(unzigzag), Some(value));
        }
        assert_eq!(take_varint(&mut rest), None);
        assert_eq!(take_varint(&mut &[0xff; 11][..]), None, "longer than 64 bits");
    }

    #[test]
    fn another_version_is_told_from_damage() {
        let mut bytes = FileKind::Segment.preamble();
        assert_eq!(FileKind::Segment.check(&bytes), Preamble::Known);
        assert_eq!(FileKind::Spool.check(&bytes), Preamble::Damaged);
        bytes[8] = 9;
        assert_eq!(FileKind::Segment.check(&bytes), Preamble::OtherVersion(9));
        assert_eq!(FileKind::Segment.check(&bytes[..11]), Preamble::Damaged);
    }
}
