//! A reader that asks all along, and never must see half a transaction.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{json, Value};

use crate::control;

/// Accounts whose balance is not the sum of their ledger: at the source there is none in any snapshot.
const TORN: &str = "SELECT account, sum(amount) AS difference FROM (SELECT id AS account, balance AS amount FROM shop.accounts \
                    UNION ALL SELECT account, -amount FROM shop.ledger) both_sides GROUP BY account HAVING sum(amount) <> 0";

/// Between two questions: often enough to meet every commit under load, rare enough to leave the processor to the others.
const PAUSE: Duration = Duration::from_millis(5);

/// The polling thread.
pub(crate) struct Reader {
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

/// What it saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Questions answered with rows or none.
    pub(crate) answers: u64,
    /// Answers that held half a transaction.
    pub(crate) torn: Vec<String>,
}

impl Reader {
    /// Starts to poll the project's instance, whenever there is one.
    pub(crate) fn start(data: PathBuf) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stopping);
        let thread = thread::spawn(move || {
            let mut seen = Seen::default();
            while !stopped.load(Ordering::Relaxed) {
                if let Some(events) = control::ask(&data, &json!({"verb": "sql", "sql": TORN, "as_of": null}))
                {
                    note(&mut seen, &events);
                }
                thread::sleep(PAUSE);
            }
            seen
        });
        Self { stopping, thread }
    }

    pub(crate) fn stop(self) -> Seen {
        self.stopping.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn note(seen: &mut Seen, events: &[Value]) {
    // A failure is an answer of its own: before the tables are there, there is nothing to ask.
    if events.last().is_none_or(|event| event.get("done").is_none()) {
        return;
    }
    seen.answers += 1;
    let rows: Vec<_> =
        events.iter().filter_map(|event| event.get("rows")).filter(|rows| **rows != json!([])).collect();
    if !rows.is_empty() {
        seen.torn.push(format!("{rows:?}"));
    }
}
