//! A collector of traces that keeps what it is sent, and reads protobuf by itself: what the program's libraries wrote, they should not read.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use millstream_testkit::wait_until;

/// Spans are sent once a second.
const SPANS_WAIT_MAX: Duration = Duration::from_secs(30);

/// What it answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Mood {
    /// A status.
    Answers(u16),
    /// It takes the request, and says nothing.
    Hangs,
}

#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) trace: String,
    pub(crate) id: String,
    /// `""`: it begins a trace.
    pub(crate) parent: String,
    pub(crate) name: String,
    pub(crate) kind: u64,
    pub(crate) nanoseconds: u64,
    /// 0: not said, 1: good, 2: an error.
    pub(crate) status: u64,
    pub(crate) attributes: BTreeMap<String, String>,
    /// What was said of the whole program.
    pub(crate) resource: BTreeMap<String, String>,
}

#[derive(Default)]
struct Kept {
    heads: Vec<String>,
    bodies: Vec<Vec<u8>>,
    spans: Vec<Span>,
}

pub(crate) struct Collector {
    pub(crate) url: String,
    kept: Arc<Mutex<Kept>>,
    mood: Arc<Mutex<Mood>>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (kept, mood) = (Arc::<Mutex<Kept>>::default(), Arc::new(Mutex::new(Mood::Answers(200))));
        let collector = Collector { url, kept: kept.clone(), mood: mood.clone() };
        // It lives as long as the test's process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (kept, mood) = (kept.clone(), mood.clone());
                thread::spawn(move || serve(stream.unwrap(), &kept, &mood));
            }
        });
        collector
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// All spans that came.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.kept.lock().unwrap().spans.clone()
    }

    /// How many requests came.
    pub(crate) fn requests(&self) -> usize {
        self.kept.lock().unwrap().heads.len()
    }

    /// The head of a request.
    pub(crate) fn head(&self) -> String {
        self.kept.lock().unwrap().heads[0].clone()
    }

    /// The first span that is wanted, once it is there.
    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, wanted: impl Fn(&Span) -> bool) -> Span {
        wait_until(what, SPANS_WAIT_MAX, || self.spans().into_iter().find(&wanted)).unwrap_or_else(|error| {
            let names: Vec<_> = self.spans().into_iter().map(|span| (span.name, span.attributes)).collect();
            panic!("{error}: {names:#?}")
        })
    }

    /// Whether a text stands in anything that came.
    pub(crate) fn was_told(&self, text: &str) -> bool {
        let kept = self.kept.lock().unwrap();
        kept.bodies.iter().any(|body| body.windows(text.len()).any(|window| window == text.as_bytes()))
    }
}

/// Ends TLS in front of a collector: certificate, key and the collector's port in, its own port out.
const TLS_FRONT: &str = r#"
import socket, ssl, sys, threading
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)

def pump(one, other):
    try:
        while data := one.recv(65536):
            other.sendall(data)
    except OSError:
        pass
    for end in (one, other):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

def serve(client):
    try:
        inside = context.wrap_socket(client, server_side=True)
    except (ssl.SSLError, OSError):
        return
    outside = socket.create_connection(("127.0.0.1", int(sys.argv[3])))
    threading.Thread(target=pump, args=(outside, inside), daemon=True).start()
    pump(inside, outside)

while True:
    client, _ = listener.accept()
    threading.Thread(target=serve, args=(client,), daemon=True).start()
"#;

/// A collector behind TLS. It ends with this.
pub(crate) struct TlsFront {
    pub(crate) url: String,
    process: Child,
}

impl TlsFront {
    /// With the certificate and key of this path, `.crt` and `.key`.
    pub(crate) fn start(collector: &Collector, certificate: &Path) -> Self {
        let mut process = Command::new("python3")
            .args(["-c", TLS_FRONT])
            .args(["crt", "key"].map(|suffix| certificate.with_extension(suffix)))
            .arg(collector.url.rsplit(':').next().unwrap())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut port).unwrap();
        TlsFront { url: format!("https://localhost:{}", port.trim()), process }
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn serve(stream: TcpStream, kept: &Mutex<Kept>, mood: &Mutex<Mood>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut head, mut line) = (String::new(), String::new());
    while reader.read_line(&mut line).unwrap_or(0) > 2 {
        head.push_str(&line);
        line.clear();
    }
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let mood = *mood.lock().unwrap();
    {
        let mut kept = kept.lock().unwrap();
        kept.heads.push(head);
        if mood == Mood::Answers(200) {
            kept.spans.extend(spans(&body));
            kept.bodies.push(body);
        }
    }
    match mood {
        Mood::Answers(status) => {
            let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n");
            let _ = (&stream).write_all(answer.as_bytes());
        }
        // Until the program gives up.
        Mood::Hangs => drop(reader.read(&mut [0])),
    }
}

/// A field's value (protobuf, "Encoding").
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    fn bytes(&self) -> &'a [u8] {
        match self {
            Value::Bytes(bytes) => bytes,
            Value::Number(_) => panic!("a number"),
        }
    }

    fn number(&self) -> u64 {
        match self {
            Value::Number(number) => *number,
            Value::Bytes(_) => panic!("bytes"),
        }
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }

    fn hex(&self) -> String {
        self.bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return value;
        }
    }
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Value<'_>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let value = match key & 7 {
            0 => Value::Number(varint(&mut bytes)),
            1 => {
                let (number, rest) = bytes.split_at(8);
                bytes = rest;
                Value::Number(u64::from_le_bytes(number.try_into().unwrap()))
            }
            2 => {
                let length = varint(&mut bytes) as usize;
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                Value::Bytes(value)
            }
            5 => {
                let (number, rest) = bytes.split_at(4);
                bytes = rest;
                Value::Number(u32::from_le_bytes(number.try_into().unwrap()).into())
            }
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, value));
    }
    found
}

/// The values of a field that may stand there more than once.
fn all<'a, 'b>(fields: &'b [(u64, Value<'a>)], number: u64) -> impl Iterator<Item = &'b Value<'a>> {
    fields.iter().filter(move |(found, _)| *found == number).map(|(_, value)| value)
}

fn attributes(fields: &[(u64, Value<'_>)], number: u64) -> BTreeMap<String, String> {
    all(fields, number)
        .map(|attribute| {
            let attribute = self::fields(attribute.bytes());
            let value =
                all(&attribute, 2).next().map(|value| self::fields(value.bytes())).unwrap_or_default();
            let value = match value.first() {
                Some((1, text)) => text.text(),
                Some((_, number)) => number.number().to_string(),
                None => String::new(),
            };
            let name = all(&attribute, 1).next().unwrap().text();
            (name, value)
        })
        .collect()
}

/// Of an `ExportTraceServiceRequest`.
fn spans(body: &[u8]) -> Vec<Span> {
    let mut spans = Vec::new();
    for group in all(&fields(body), 1) {
        let group = fields(group.bytes());
        let resource = all(&group, 1).next().map(|resource| attributes(&fields(resource.bytes()), 1));
        for scope in all(&group, 2) {
            for span in all(&fields(scope.bytes()), 2) {
                let span = fields(span.bytes());
                let one = |number| all(&span, number).next();
                let number = |field| one(field).map_or(0, Value::number);
                let status = one(15).map(|status| fields(status.bytes())).unwrap_or_default();
                spans.push(Span {
                    trace: one(1).unwrap().hex(),
                    id: one(2).unwrap().hex(),
                    parent: one(4).map(Value::hex).unwrap_or_default(),
                    name: one(5).unwrap().text(),
                    kind: number(6),
                    nanoseconds: number(8).checked_sub(number(7)).unwrap(),
                    status: all(&status, 3).next().map_or(0, Value::number),
                    attributes: attributes(&span, 9),
                    resource: resource.clone().unwrap_or_default(),
                });
            }
        }
    }
    spans
}
