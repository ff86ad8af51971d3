//! A client of our own that says exactly what it is told to, and keeps what it hears.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use super::fixture::{PATIENCE, PROJECT};

/// A message: its letter, its body.
pub(crate) type Message = (u8, Vec<u8>);

/// A connection.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    /// Number and secret, to cancel by.
    pub(crate) key: (i32, i32),
}

/// The first message of a connection.
pub(crate) fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = 196_608i32.to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend_from_slice(name.as_bytes());
        body.push(0);
        body.extend_from_slice(value.as_bytes());
        body.push(0);
    }
    body.push(0);
    let mut message = (body.len() as i32 + 4).to_be_bytes().to_vec();
    message.extend(body);
    message
}

/// A message as it is sent.
pub(crate) fn message(letter: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![letter];
    message.extend((body.len() as i32 + 4).to_be_bytes());
    message.extend_from_slice(body);
    message
}

impl Raw {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Raw { stream, key: (0, 0) }
    }

    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, &[])
    }

    pub(crate) fn connect_with(address: SocketAddr, more: &[(&str, &str)]) -> Self {
        let mut raw = Self::open(address);
        let parameters = [&[("user", "ann"), ("database", PROJECT)], more].concat();
        raw.send(&startup(&parameters));
        let heard = raw.until_ready();
        let (_, key) = heard.iter().find(|(letter, _)| *letter == b'K').unwrap();
        let word = |at: usize| i32::from_be_bytes(key[at..at + 4].try_into().unwrap());
        raw.key = (word(0), word(4));
        raw
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next message; `None`: the server closed the connection.
    pub(crate) fn next(&mut self) -> Option<Message> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head).ok()?;
        let length = i32::from_be_bytes(head[1..].try_into().unwrap()) as usize;
        let mut body = vec![0; length - 4];
        self.stream.read_exact(&mut body).ok()?;
        Some((head[0], body))
    }

    /// Everything up to ReadyForQuery.
    pub(crate) fn until_ready(&mut self) -> Vec<Message> {
        let mut heard = Vec::new();
        loop {
            let message = self.next().unwrap_or_else(|| panic!("closed after {heard:?}"));
            let ready = message.0 == b'Z';
            heard.push(message);
            if ready {
                return heard;
            }
        }
    }

    /// A simple query's answer.
    pub(crate) fn query(&mut self, sql: &str) -> Vec<Message> {
        let body = [sql.as_bytes(), &[0]].concat();
        self.send(&message(b'Q', &body));
        self.until_ready()
    }

    /// A simple query's rows as text, columns divided by `|`, or its SQLSTATE.
    pub(crate) fn rows(&mut self, sql: &str) -> Result<Vec<String>, String> {
        let heard = self.query(sql);
        match heard.iter().find(|(letter, _)| *letter == b'E') {
            Some((_, body)) => Err(field(body, b'C')),
            None => {
                Ok(heard.iter().filter(|(letter, _)| *letter == b'D').map(|(_, body)| row(body)).collect())
            }
        }
    }

    /// The transaction's state.
    pub(crate) fn status(&mut self) -> char {
        char::from(self.query("").last().unwrap().1[0])
    }
}

/// A field of an error.
pub(crate) fn field(body: &[u8], letter: u8) -> String {
    let fields = body.split(|byte| *byte == 0);
    let found = fields.filter(|field| !field.is_empty()).find(|field| field[0] == letter);
    String::from_utf8_lossy(&found.unwrap_or(b"?none")[1..]).into_owned()
}

fn row(body: &[u8]) -> String {
    let (mut at, mut columns) = (2, Vec::new());
    while at < body.len() {
        let length = i32::from_be_bytes(body[at..at + 4].try_into().unwrap());
        at += 4;
        let end = at + usize::try_from(length).unwrap_or(0);
        columns.push(String::from_utf8_lossy(&body[at..end]).into_owned());
        at = end;
    }
    columns.join("|")
}
