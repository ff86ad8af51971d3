//! A client of HTTP that sees exactly what the server sends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// A read that takes longer is a failure of the server.
const READ_WAIT_MAX: Duration = Duration::from_secs(60);

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Sends a request as it stands and reads the whole answer.
#[track_caller]
pub(crate) fn send(address: &str, request: &[u8]) -> Reply {
    let mut stream = connect(address);
    // A server that refuses a request need not read all of it.
    let _ = stream.write_all(request);
    let mut reader = BufReader::new(stream);
    let (status, headers) = head(&mut reader);
    let mut body = Vec::new();
    let length =
        headers.iter().find(|(name, _)| name == "content-length").map(|(_, text)| text.parse().unwrap());
    match length {
        Some(length) => {
            body.resize(length, 0);
            let head = request.starts_with(b"HEAD") || status == 304;
            if !head {
                reader.read_exact(&mut body).unwrap();
            } else {
                body.clear();
            }
        }
        None => drop(reader.read_to_end(&mut body)),
    }
    Reply { status, headers, body: String::from_utf8_lossy(&body).into_owned() }
}

/// GET with headers besides `Host`.
#[track_caller]
pub(crate) fn get_with(address: &str, path: &str, headers: &str) -> Reply {
    send(
        address,
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n").as_bytes(),
    )
}

#[track_caller]
pub(crate) fn get(address: &str, path: &str) -> Reply {
    get_with(address, path, "")
}

/// POST of a body in JSON, with headers besides those that it needs.
#[track_caller]
pub(crate) fn post(address: &str, path: &str, headers: &str, body: &str) -> Reply {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    send(address, format!("{head}{body}").as_bytes())
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(READ_WAIT_MAX)).unwrap();
    stream
}

fn head(reader: &mut impl BufRead) -> (u16, Vec<(String, String)>) {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let mut headers = Vec::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            return (status, headers);
        }
        if let Some((name, value)) = line.trim_end().split_once(": ") {
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }
}

/// Events as they come.
pub(crate) struct Events {
    reader: BufReader<TcpStream>,
}

impl Events {
    #[track_caller]
    pub(crate) fn of(address: &str, path: &str) -> Self {
        Self::with(address, path, "")
    }

    /// With headers besides.
    #[track_caller]
    pub(crate) fn with(address: &str, path: &str, headers: &str) -> Self {
        let mut stream = connect(address);
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n");
        stream.write_all(format!("{request}{headers}\r\n").as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let (status, headers) = head(&mut reader);
        assert_eq!(status, 200, "{headers:?}");
        Events { reader }
    }

    /// Whether the server ends the stream without another event.
    pub(crate) fn ends(&mut self) -> bool {
        let mut line = String::new();
        loop {
            line.clear();
            match self.reader.read_line(&mut line) {
                Ok(0) => return true,
                Ok(_) if !line.starts_with("data: ") => {}
                _ => return false,
            }
        }
    }

    /// The data of the next event of this name.
    #[track_caller]
    pub(crate) fn next_of(&mut self, name: &str) -> Value {
        let wanted = format!("event: {name}");
        loop {
            let mut line = String::new();
            assert_ne!(self.reader.read_line(&mut line).unwrap(), 0, "the stream has ended");
            if line.trim_end() == wanted {
                return self.next();
            }
        }
    }

    /// The data of the next event.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Value {
        loop {
            let mut line = String::new();
            assert_ne!(self.reader.read_line(&mut line).unwrap(), 0, "the stream has ended");
            if let Some(data) = line.strip_prefix("data: ") {
                return serde_json::from_str(data).unwrap();
            }
        }
    }
}
