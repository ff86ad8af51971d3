//! A client of HTTP that keeps its connection: as little of it as measuring needs, so that it takes little of the machine from what is
//! measured.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::error::{Error, Result};

/// An answer that takes longer is none.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The position that it names, where it names one.
    pub(crate) position: Option<u64>,
    pub(crate) body: Vec<u8>,
}

/// A connection.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    address: String,
}

impl Client {
    pub(crate) fn connect(address: &str) -> Result<Self> {
        let during = || Error::during(format!("connecting to {address}"));
        let stream = TcpStream::connect(address).map_err(during())?;
        stream.set_nodelay(true).map_err(during())?;
        stream.set_read_timeout(Some(ANSWER_WAIT_MAX)).map_err(during())?;
        Ok(Self { stream: BufReader::new(stream), address: address.to_owned() })
    }

    /// Asks, and reads the whole answer.
    pub(crate) fn get(&mut self, path: &str) -> Result<Answer> {
        self.send(path, "application/json")?;
        let (mut read, mut piece) = (Vec::new(), [0; 16 * 1024]);
        loop {
            let count = self.stream.read(&mut piece).map_err(Error::during("reading an answer"))?;
            read.extend_from_slice(&piece[..count]);
            match whole(path, &read)? {
                Some(answer) => return Ok(answer),
                None if count == 0 => return Err(ended_early(path)),
                None => {}
            }
        }
    }

    /// Asks for events, and reads up to the first one.
    pub(crate) fn listen(mut self, path: &str) -> Result<Events> {
        self.send(path, "text/event-stream")?;
        let status = self.head()?;
        if status != 200 {
            return Err(Error::new(format!("GET {path} for events: {status}")));
        }
        let mut events = Events { stream: self.stream };
        events.next()?;
        Ok(events)
    }

    fn send(&mut self, path: &str, accept: &str) -> Result<()> {
        let request = request(&self.address, path, accept);
        self.stream.get_mut().write_all(request.as_bytes()).map_err(Error::during("sending a request"))
    }

    /// Reads the head, for its status.
    fn head(&mut self) -> Result<u16> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head).map_err(Error::during("reading an answer"))? == 0 {
                break;
            }
        }
        status(&head).ok_or_else(|| Error::new("no answer"))
    }
}

/// A connection among many, for all of which one thread waits: a thread for each would be woken for every answer, and take as much of the processors
/// as giving it.
pub(crate) struct Connection {
    stream: tokio::net::TcpStream,
    address: String,
    read: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: &str) -> Result<Self> {
        let during = || Error::during(format!("connecting to {address}"));
        let stream = tokio::net::TcpStream::connect(address).await.map_err(during())?;
        stream.set_nodelay(true).map_err(during())?;
        Ok(Self { stream, address: address.to_owned(), read: Vec::new() })
    }

    /// Asks, and reads the whole answer.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Answer> {
        let late = |_| Error::new(format!("GET {path}: no answer within {ANSWER_WAIT_MAX:?}"));
        timeout(ANSWER_WAIT_MAX, self.answer(path)).await.map_err(late)?
    }

    async fn answer(&mut self, path: &str) -> Result<Answer> {
        let request = request(&self.address, path, "application/json");
        self.stream.write_all(request.as_bytes()).await.map_err(Error::during("sending a request"))?;
        self.read.clear();
        loop {
            let read =
                self.stream.read_buf(&mut self.read).await.map_err(Error::during("reading an answer"))?;
            if read == 0 {
                return Err(ended_early(path));
            }
            if let Some(answer) = whole(path, &self.read)? {
                return Ok(answer);
            }
        }
    }
}

fn request(address: &str, path: &str, accept: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: {accept}\r\n\r\n")
}

fn ended_early(path: &str) -> Error {
    Error::new(format!("GET {path}: the answer ended early"))
}

/// The answer, once all of it was read.
fn whole(path: &str, read: &[u8]) -> Result<Option<Answer>> {
    const END: &[u8] = b"\r\n\r\n";
    let Some(end) = read.windows(END.len()).position(|window| window == END) else { return Ok(None) };
    let (head, body) = (String::from_utf8_lossy(&read[..end]), &read[end + END.len()..]);
    let length: Option<usize> = value(&head, "content-length").and_then(|text| text.parse().ok());
    let length = length.ok_or_else(|| Error::new(format!("GET {path}: an answer without a length")))?;
    if body.len() < length {
        return Ok(None);
    }
    let status = status(&head).ok_or_else(|| Error::new(format!("GET {path}: no answer")))?;
    let position = value(&head, "millstream-position").and_then(position);
    Ok(Some(Answer { status, position, body: body[..length].to_vec() }))
}

/// A stream of events.
pub(crate) struct Events {
    stream: BufReader<TcpStream>,
}

impl Events {
    /// The data of the next event that has some: its lines below one another.
    pub(crate) fn next(&mut self) -> Result<String> {
        let mut data = String::new();
        loop {
            // A chunk's length stands on a line of its own, and is none of an event's.
            let mut line = String::new();
            if self.stream.read_line(&mut line).map_err(Error::during("reading an event"))? == 0 {
                return Err(Error::new("the stream of events ended"));
            }
            let line = line.trim_end();
            if let Some(text) = line.strip_prefix("data: ") {
                data.push_str(text);
            } else if line.is_empty() && !data.is_empty() {
                return Ok(data);
            }
        }
    }
}

/// The status that a head begins with.
fn status(head: &str) -> Option<u16> {
    head.lines().next()?.split(' ').nth(1)?.parse().ok()
}

/// The value of a head's field.
fn value<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(of, _)| of.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// `0/16B3748` as a number.
pub(crate) fn position(text: &str) -> Option<u64> {
    let (high, low) = text.trim().split_once('/')?;
    Some(u64::from_str_radix(high, 16).ok()? << 32 | u64::from_str_radix(low, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A server that says this to whoever connects.
    fn saying(text: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(text.as_bytes()).unwrap();
            // Until the client has gone.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        address
    }

    #[tokio::test]
    async fn an_answer_is_read_to_its_length_and_names_its_position() {
        let said = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nMillstream-Position: 1/A\r\n\r\n[]";
        let answer = Connection::open(&saying(said)).await.unwrap().get("/orders").await.unwrap();
        assert_eq!(
            (answer.status, answer.position, answer.body.as_slice()),
            (200, Some((1 << 32) + 10), &b"[]"[..])
        );
        assert!(
            whole("/orders", &said.as_bytes()[..said.len() - 1]).unwrap().is_none(),
            "one byte is missing"
        );
        assert!(whole("/orders", &said.as_bytes()[..said.len() - 4]).unwrap().is_none(), "the head is open");
    }

    #[test]
    fn events_are_told_from_beats_and_lengths_of_chunks() {
        let said = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n16\r\nid: 0/1\ndata: [1]\n\n\r\n\
                    e\r\n: still here\n\n\r\nb\r\ndata: [2]\n\n\r\n";
        let mut events = Client::connect(&saying(said)).unwrap().listen("/orders").unwrap();
        assert_eq!(events.next().unwrap(), "[2]");
    }
}
