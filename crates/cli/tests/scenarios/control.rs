//! The control socket, spoken directly: a question a millisecond after the other, where a process each would measure the shell.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{json, Value};

/// An answer that takes longer is none.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);

/// Asks the running instance; `None` while none answers, or where it ends before it has answered.
pub(crate) fn ask(data: &Path, request: &Value) -> Option<Vec<Value>> {
    let stream = UnixStream::connect(data.join("millstream.sock")).ok()?;
    stream.set_read_timeout(Some(ANSWER_WAIT_MAX)).ok()?;
    (&stream).write_all(format!("{request}\n").as_bytes()).ok()?;
    let mut events = Vec::new();
    for line in BufReader::new(&stream).lines() {
        let event: Value = serde_json::from_str(&line.ok()?).ok()?;
        let ended = event.get("done").is_some() || event.get("failed").is_some();
        events.push(event);
        if ended {
            return Some(events);
        }
    }
    None
}

/// The status document of the running instance.
pub(crate) fn status(data: &Path) -> Option<Value> {
    let events = ask(data, &json!({"verb": "status"}))?;
    let value = &events.last()?["done"]["value"];
    (!value.is_null()).then(|| value.clone())
}
