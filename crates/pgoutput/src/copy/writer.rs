//! Writes a stream: for tests of every room, and for rows that are copied onwards.

use super::SIGNATURE;

/// A stream in memory.
#[derive(Debug)]
pub struct CopyWriter {
    bytes: Vec<u8>,
}

impl CopyWriter {
    /// A stream with its head.
    pub fn new() -> Self {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend_from_slice(&[0; 8]);
        CopyWriter { bytes }
    }

    /// Appends a row of at most 1,600 fields; `None` is NULL.
    pub fn row<'a>(&mut self, fields: impl IntoIterator<Item = Option<&'a [u8]>>) -> &mut Self {
        let start = self.bytes.len();
        let mut count = 0u16;
        self.bytes.extend_from_slice(&[0; 2]);
        for field in fields {
            count += 1;
            match field {
                None => self.bytes.extend_from_slice(&(-1i32).to_be_bytes()),
                Some(field) => {
                    self.bytes.extend_from_slice(&(field.len() as u32).to_be_bytes());
                    self.bytes.extend_from_slice(field);
                }
            }
        }
        self.bytes[start..start + 2].copy_from_slice(&count.to_be_bytes());
        self
    }

    /// Bytes of the stream that were not taken yet.
    pub fn pending(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets what is pending, once it was written elsewhere: so a stream of any length needs little memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// The stream with its trailer.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&(-1i16).to_be_bytes());
        self.bytes
    }
}

impl Default for CopyWriter {
    fn default() -> Self {
        Self::new()
    }
}
