//! A client of HTTP that keeps its connection: as little of it as measuring needs, so that it takes little of the machine from what is
//! measured.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

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
        let (status, head) = self.head()?;
        let length = value(&head, "content-length").and_then(|text| text.parse().ok());
        let length = length.ok_or_else(|| Error::new(format!("GET {path}: an answer without a length")))?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).map_err(Error::during("reading an answer"))?;
        Ok(Answer { status, position: value(&head, "millstream-position").and_then(position), body })
    }

    /// Asks for events, and reads up to the first one.
    pub(crate) fn listen(mut self, path: &str) -> Result<Events> {
        self.send(path, "text/event-stream")?;
        let (status, _) = self.head()?;
        if status != 200 {
            return Err(Error::new(format!("GET {path} for events: {status}")));
        }
        let mut events = Events { stream: self.stream };
        events.next()?;
        Ok(events)
    }

    fn send(&mut self, path: &str, accept: &str) -> Result<()> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: {accept}\r\n\r\n", self.address);
        self.stream.get_mut().write_all(request.as_bytes()).map_err(Error::during("sending a request"))
    }

    /// The status, and the lines of the head in lower case.
    fn head(&mut self) -> Result<(u16, Vec<String>)> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let read = self.stream.read_line(&mut line).map_err(Error::during("reading an answer"))?;
            let line = line.trim_end();
            if read == 0 || line.is_empty() {
                break;
            }
            lines.push(line.to_ascii_lowercase());
        }
        let status = lines.first().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        Ok((status.ok_or_else(|| Error::new("no answer"))?, lines))
    }
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

fn value<'a>(head: &'a [String], name: &str) -> Option<&'a str> {
    head.iter().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
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

    #[test]
    fn an_answer_is_read_to_its_length_and_names_its_position() {
        let said = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nMillstream-Position: 1/A\r\n\r\n[]";
        let answer = Client::connect(&saying(said)).unwrap().get("/orders").unwrap();
        assert_eq!(
            (answer.status, answer.position, answer.body.as_slice()),
            (200, Some((1 << 32) + 10), &b"[]"[..])
        );
    }

    #[test]
    fn events_are_told_from_beats_and_lengths_of_chunks() {
        let said = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n16\r\nid: 0/1\ndata: [1]\n\n\r\n\
                    e\r\n: still here\n\n\r\nb\r\ndata: [2]\n\n\r\n";
        let mut events = Client::connect(&saying(said)).unwrap().listen("/orders").unwrap();
        assert_eq!(events.next().unwrap(), "[2]");
    }
}
