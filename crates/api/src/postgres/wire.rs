//! The protocol's messages on a socket: read whole, bounded and checked; written through one buffer.
//!
//! Messages are those of crate `pgwire`. Its decoder trusts the counts within a message and panics where they lie, so the few messages that a
//! client may send here are taken apart by [`Fields`], which checks every length; what is sent is encoded by the crate.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use pgwire::messages::{
    extendedquery::{Bind, Close, Describe, Execute, Parse},
    startup::SslRequest,
    PgWireBackendMessage as Backend,
};

use super::{
    error::{Outcome, WireError},
    tls::{Stream, Tls},
};

/// The longest message that is taken, in bytes: a statement with its parameters. PostgreSQL takes 1 GiB; nobody sends that to read.
pub(super) const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// The longest first message, as in PostgreSQL (`MAX_STARTUP_PACKET_LENGTH`): what a stranger can make us keep.
const STARTUP_BYTES_MAX: usize = 10_000;

/// Read at once. The buffer grows with what has come, never with what a length promises.
const READ_BYTES: usize = 16 << 10;

/// Written at once.
const WRITE_BYTES: usize = 64 << 10;

const CANCEL: i32 = 80_877_102;
const GSS: i32 = 80_877_104;

/// What a connection begins with.
#[derive(Debug)]
pub(super) enum First {
    /// Wants TLS.
    Ssl,
    /// Wants GSSAPI.
    Gss,
    /// Wants another connection's statement to end.
    Cancel {
        /// Its number.
        pid: i32,
        /// Its secret.
        secret: i32,
    },
    /// Wants to begin.
    Startup {
        /// Protocol 3.x.
        minor: u16,
        /// Names and values.
        parameters: Vec<(String, String)>,
    },
}

/// What a client says.
#[derive(Debug)]
pub(super) enum Frontend {
    Query(String),
    Parse(Parse),
    Bind(Bind),
    Describe(Describe),
    Execute(Execute),
    Close(Close),
    Flush,
    Sync,
    Terminate,
    /// What proves who the client is; its form follows from what it was asked.
    Proof(Bytes),
    /// Of COPY FROM, which is refused before it comes; a client may have sent it ahead.
    Copy,
}

/// Both directions of a connection.
pub(super) struct Wire {
    stream: Stream,
    input: BytesMut,
    output: BytesMut,
}

impl Wire {
    /// `stalled_max`: how long a client may refuse to take what it asked for.
    pub(super) fn new(stream: TcpStream, stalled_max: Duration) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(stalled_max))?;
        Ok(Wire { stream: Stream::Plain(stream), input: BytesMut::new(), output: BytesMut::new() })
    }

    /// Speaks TLS from here on.
    pub(super) fn begin_tls(&mut self, tls: &Tls) -> Outcome<()> {
        Ok(self.stream.begin_tls(tls)?)
    }

    /// Whether nobody in between can read along.
    pub(super) fn is_tls(&self) -> bool {
        self.stream.is_tls()
    }

    /// Whether more has come than was read.
    pub(super) fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Reads until so many bytes are there. `false`: the client left before a message began.
    fn fill(&mut self, bytes: usize, deadline: Instant) -> Outcome<bool> {
        while self.input.len() < bytes {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(WireError::Idle { in_transaction: false });
            }
            self.stream.socket().set_read_timeout(Some(left))?;
            let mut chunk = [0; READ_BYTES];
            match self.stream.read(&mut chunk) {
                Ok(0) if self.input.is_empty() => return Ok(false),
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(read) => self.input.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Err(WireError::Idle { in_transaction: false });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// What the client begins with; `None`: it left.
    pub(super) fn read_first(&mut self, within: Duration) -> Outcome<Option<First>> {
        let deadline = Instant::now() + within;
        if !self.fill(8, deadline)? {
            return Ok(None);
        }
        let length = length_at(&self.input, 0);
        if !(8..=STARTUP_BYTES_MAX).contains(&length) {
            return Err(WireError::protocol("invalid length of startup packet"));
        }
        self.fill(length, deadline)?;
        let mut fields = Fields(self.input.split_to(length).freeze().slice(4..));
        let code = fields.i32()?;
        Ok(Some(match code {
            SslRequest::BODY_MAGIC_NUMBER => First::Ssl,
            GSS => First::Gss,
            CANCEL => First::Cancel { pid: fields.i32()?, secret: fields.i32()? },
            version if version >> 16 == 3 => {
                let mut parameters = Vec::new();
                loop {
                    let name = fields.text()?;
                    if name.is_empty() {
                        break;
                    }
                    parameters.push((name, fields.text()?));
                }
                First::Startup { minor: (version & 0xffff) as u16, parameters }
            }
            version => {
                let (major, minor) = (version >> 16, version & 0xffff);
                return Err(WireError::protocol(format!(
                    "unsupported frontend protocol {major}.{minor}: server supports 3.0"
                )));
            }
        }))
    }

    /// The next message; `None`: the client left.
    pub(super) fn read(&mut self, within: Duration) -> Outcome<Option<Frontend>> {
        self.read_at_most(MESSAGE_BYTES_MAX, within)
    }

    /// The next message of a client that nobody knows yet.
    pub(super) fn read_of_stranger(&mut self, within: Duration) -> Outcome<Option<Frontend>> {
        self.read_at_most(STARTUP_BYTES_MAX, within)
    }

    fn read_at_most(&mut self, bytes_max: usize, within: Duration) -> Outcome<Option<Frontend>> {
        let deadline = Instant::now() + within;
        if !self.fill(5, deadline)? {
            return Ok(None);
        }
        let kind = self.input[0];
        let length = length_at(&self.input, 1);
        if !(4..=bytes_max).contains(&length) {
            return Err(WireError::protocol(format!("invalid message length {length}")));
        }
        self.fill(length + 1, deadline)?;
        let fields = Fields(self.input.split_to(length + 1).freeze().slice(5..));
        decode(kind, fields).map(Some)
    }

    /// Puts a message behind what is to be written.
    pub(super) fn send(&mut self, message: Backend) -> Outcome<()> {
        message
            .encode(&mut self.output)
            .map_err(|error| WireError::protocol(format!("a message can't be encoded: {error}")))?;
        self.flush_if_full()
    }

    /// Lets a row be put behind what is to be written.
    pub(super) fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Writes if there is enough to be worth it.
    pub(super) fn flush_if_full(&mut self) -> Outcome<()> {
        if self.output.len() >= WRITE_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes everything.
    pub(super) fn flush(&mut self) -> Outcome<()> {
        let written = self.stream.write_all(&self.output).and_then(|()| self.stream.flush());
        self.output.clear();
        Ok(written?)
    }
}

/// The length at an offset; what is negative is too large for everything.
fn length_at(bytes: &[u8], at: usize) -> usize {
    let word = bytes[at..at + 4].try_into().map_or(0, u32::from_be_bytes);
    word as usize
}

fn decode(kind: u8, mut fields: Fields) -> Outcome<Frontend> {
    let message = match kind {
        b'Q' => Frontend::Query(fields.text()?),
        b'P' => {
            let (name, query) = (fields.name()?, fields.text()?);
            let count = fields.u16()?;
            let types = (0..count).map(|_| Ok(fields.i32()? as u32)).collect::<Outcome<_>>()?;
            Frontend::Parse(Parse::new(name, query, types))
        }
        b'B' => {
            let (portal, statement) = (fields.name()?, fields.name()?);
            let formats = fields.formats()?;
            let count = fields.u16()?;
            let values = (0..count).map(|_| fields.value()).collect::<Outcome<_>>()?;
            Frontend::Bind(Bind::new(portal, statement, formats, values, fields.formats()?))
        }
        b'D' => Frontend::Describe(Describe::new(fields.u8()?, fields.name()?)),
        b'C' => Frontend::Close(Close::new(fields.u8()?, fields.name()?)),
        b'E' => Frontend::Execute(Execute::new(fields.name()?, fields.i32()?)),
        b'H' => Frontend::Flush,
        b'S' => Frontend::Sync,
        b'X' => Frontend::Terminate,
        b'p' => return Ok(Frontend::Proof(fields.0)),
        b'd' | b'c' | b'f' => return Ok(Frontend::Copy),
        other => return Err(WireError::protocol(format!("invalid frontend message type {other}"))),
    };
    if !fields.0.is_empty() {
        return Err(WireError::protocol("a message is longer than what it says"));
    }
    Ok(message)
}

/// The mechanism that a client chose to prove itself by, and what it says first.
pub(super) fn sasl_first(body: Bytes) -> Outcome<(String, Bytes)> {
    let mut fields = Fields(body);
    let mechanism = fields.text()?;
    let first = fields.value()?.ok_or_else(|| WireError::protocol("a SASL message is empty"))?;
    Ok((mechanism, first))
}

/// A message's body, taken apart from its front.
struct Fields(Bytes);

impl Fields {
    fn take(&mut self, bytes: usize) -> Outcome<Bytes> {
        if self.0.len() < bytes {
            return Err(WireError::protocol("a message is cut short"));
        }
        Ok(self.0.split_to(bytes))
    }

    fn u8(&mut self) -> Outcome<u8> {
        Ok(self.take(1)?[0])
    }

    fn u16(&mut self) -> Outcome<u16> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn i32(&mut self) -> Outcome<i32> {
        let bytes = self.take(4)?;
        Ok(i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A text that a zero ends.
    fn text(&mut self) -> Outcome<String> {
        let end = self.0.iter().position(|&byte| byte == 0);
        let end = end.ok_or_else(|| WireError::protocol("a text has no end"))?;
        let bytes = self.take(end + 1)?;
        String::from_utf8(bytes[..end].to_vec()).map_err(|_| WireError::NotUtf8)
    }

    /// A name; the empty one is that of the unnamed statement or portal.
    fn name(&mut self) -> Outcome<Option<String>> {
        Ok(Some(self.text()?).filter(|name| !name.is_empty()))
    }

    fn formats(&mut self) -> Outcome<Vec<i16>> {
        let count = self.u16()?;
        (0..count).map(|_| Ok(self.u16()? as i16)).collect()
    }

    fn value(&mut self) -> Outcome<Option<Bytes>> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length)
                    .map_err(|_| WireError::protocol("a parameter has a negative length"))?;
                self.take(length).map(Some)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &'static [u8]) -> Fields {
        Fields(Bytes::from_static(bytes))
    }

    #[test]
    fn a_message_is_taken_whole_or_refused() {
        let parsed = decode(b'P', fields(b"s\0SELECT $1\0\0\x01\0\0\0\x17")).unwrap();
        let Frontend::Parse(parse) = parsed else { panic!("not a Parse") };
        assert_eq!((parse.name.as_deref(), parse.query.as_str()), (Some("s"), "SELECT $1"));
        assert_eq!(parse.type_oids, [23]);
        for (kind, bytes) in [
            (b'P', &b"s\0SELECT $1\0\0\x02\0\0\0\x17"[..]),
            (b'P', b"s\0SELECT $1"),
            (b'B', b"\0\0\xff\xff"),
            (b'B', b"\0\0\0\0\0\x01\0\0\0\x09abc"),
            (b'B', b"\0\0\0\0\0\x01\x80\0\0\0"),
            (b'E', b"\0\0"),
            (b'Q', b"SELECT 1\0more"),
            (b'S', b"x"),
            (b'D', b""),
            (b'~', b""),
        ] {
            assert!(
                decode(kind, Fields(Bytes::copy_from_slice(bytes))).is_err(),
                "{} {bytes:?}",
                char::from(kind)
            );
        }
        assert!(matches!(decode(b'Q', fields(b"\xff\0")), Err(WireError::NotUtf8)));
    }
}
