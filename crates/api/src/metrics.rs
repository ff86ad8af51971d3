//! Metrics in Prometheus' text format: base units, counters that end in `_total`, bounded labels.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{atomic::Ordering, Mutex, PoisonError},
    time::Duration,
};

use axum::http::StatusCode;
use serde_json::Value;

use crate::{
    answer::Counts,
    host::{Applied, Traced},
};

/// Upper ends of the histogram of answers' times, in seconds: an answer that was kept, one that was read, one that is in trouble.
const BUCKETS: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 1.0, 10.0];

/// Tables with series of their own: beyond that a scrape would cost more than it tells.
const TABLES_MAX: usize = 500;

/// Of /proc: what Linux shows to programs, on every machine (`getconf CLK_TCK`).
const TICKS_PER_SECOND: f64 = 100.0;

/// What the server counts itself.
#[derive(Default)]
pub struct Metrics {
    /// By route and status, which are few.
    requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
    durations: Mutex<BTreeMap<&'static str, Histogram>>,
}

#[derive(Default, Clone)]
struct Histogram {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum_seconds: f64,
}

impl Metrics {
    /// Counts an answer.
    pub fn request(&self, route: &'static str, status: StatusCode, time: Duration) {
        *lock(&self.requests).entry((route, status.as_u16())).or_default() += 1;
        let seconds = time.as_secs_f64();
        let mut durations = lock(&self.durations);
        let histogram = durations.entry(route).or_default();
        for (count, end) in histogram.buckets.iter_mut().zip(BUCKETS) {
            *count += u64::from(seconds <= end);
        }
        histogram.count += 1;
        histogram.sum_seconds += seconds;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a text does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, text)| {
                let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                format!("{label}=\"{text}\"")
            })
            .collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.family(name, kind, help);
            self.sample(name, &[], value);
        }
    }
}

/// The whole text, from the status document and what is counted.
pub fn exposition(
    status: &Value,
    applied: &Applied,
    traced: Option<Traced>,
    metrics: &Metrics,
    answers: &Counts,
) -> String {
    let mut text = Text(String::new());
    let number = |pointer: &str| status.pointer(pointer).and_then(Value::as_f64);
    let lsn = |pointer: &str| {
        let lsn = status.pointer(pointer)?.as_str()?.parse::<millstream_core::Lsn>().ok()?;
        // Exact up to 2^53 bytes of WAL, nine petabytes.
        Some(lsn.0 as f64)
    };
    text.family("millstream_info", "gauge", "The program and its project; always 1.");
    let name = status["name"].as_str().unwrap_or_default();
    text.sample("millstream_info", &[("project", name), ("version", env!("CARGO_PKG_VERSION"))], 1.0);
    text.family(
        "millstream_state",
        "gauge",
        "What the project is doing: 1 for the state that holds, 0 for others.",
    );
    for state in ["starting", "snapshotting", "streaming", "paused", "error"] {
        let holds = status["state"].as_str() == Some(state);
        text.sample("millstream_state", &[("state", state)], f64::from(u8::from(holds)));
    }
    for (name, kind, help, value) in [
        (
            "millstream_source_current_lsn_bytes",
            "gauge",
            "Where the source's WAL ends.",
            lsn("/source/current_lsn"),
        ),
        (
            "millstream_source_flushed_lsn_bytes",
            "gauge",
            "Up to where the log holds the source's WAL.",
            lsn("/source/flushed_lsn"),
        ),
        (
            "millstream_source_lag_bytes",
            "gauge",
            "WAL between the source's end and what can be queried.",
            number("/source/lag_bytes"),
        ),
        (
            "millstream_source_lag_seconds",
            "gauge",
            "Age of the oldest transaction that can't be queried yet.",
            number("/source/lag_seconds"),
        ),
        (
            "millstream_source_wal_retained_bytes",
            "gauge",
            "WAL that the source keeps for the slot.",
            number("/source/wal_retained_bytes"),
        ),
        ("millstream_log_bytes", "gauge", "Size of the log.", number("/log/bytes")),
        ("millstream_log_max_bytes", "gauge", "Bound on the log's size.", number("/log/bytes_max")),
        ("millstream_warehouse_bytes", "gauge", "Size of the warehouse's file.", number("/warehouse/bytes")),
        (
            "millstream_warehouse_applied_lsn_bytes",
            "gauge",
            "Up to where the warehouse holds the source's WAL.",
            Some(applied.lsn.0 as f64),
        ),
        (
            "millstream_applied_transactions_total",
            "counter",
            "Transactions applied since the start.",
            Some(applied.transactions as f64),
        ),
        (
            "millstream_applied_changes_total",
            "counter",
            "Changes of rows applied since the start.",
            Some(applied.changes as f64),
        ),
        (
            "millstream_traces_sent_total",
            "counter",
            "Spans that the collector of traces took.",
            traced.map(|traced| traced.sent as f64),
        ),
        (
            "millstream_traces_dropped_total",
            "counter",
            "Spans that the collector of traces did not take, or that there was no room for.",
            traced.map(|traced| traced.dropped as f64),
        ),
    ] {
        text.single(name, kind, help, value);
    }
    tables(&mut text, status);
    process(&mut text);
    let reads = "millstream_warehouse_reads_total";
    text.family(
        reads,
        "counter",
        "Answers made of tables, or of results that follow their changes; others were kept.",
    );
    for (of, count) in [("tables", &answers.read), ("followed", &answers.followed)] {
        text.sample(reads, &[("of", of)], count.load(Ordering::Relaxed) as f64);
    }
    text.single(
        "millstream_followed_statements",
        "gauge",
        "Statements whose results follow the changes.",
        Some(answers.statements.load(Ordering::Relaxed) as f64),
    );
    text.family("millstream_http_requests_total", "counter", "Requests answered.");
    for ((route, status), count) in lock(&metrics.requests).iter() {
        let labels = [("route", *route), ("status", &*status.to_string())];
        text.sample("millstream_http_requests_total", &labels, *count as f64);
    }
    let name = "millstream_http_request_duration_seconds";
    text.family(name, "histogram", "Time from a request's head to its answer's.");
    for (route, histogram) in lock(&metrics.durations).iter() {
        for (end, count) in BUCKETS.iter().zip(histogram.buckets) {
            text.sample(
                &format!("{name}_bucket"),
                &[("route", route), ("le", &end.to_string())],
                count as f64,
            );
        }
        text.sample(&format!("{name}_bucket"), &[("route", route), ("le", "+Inf")], histogram.count as f64);
        text.sample(&format!("{name}_sum"), &[("route", route)], histogram.sum_seconds);
        text.sample(&format!("{name}_count"), &[("route", route)], histogram.count as f64);
    }
    text.0
}

/// What every Prometheus client tells of its own process, under the names that they all use; where the system has no /proc, nothing.
fn process(text: &mut Text) {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    let status = read("status");
    let kibibytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()
    };
    // Behind the name, which may hold blanks: state, then numbers; the 12th and 13th field are ticks in user and system mode.
    let stat = read("stat");
    let ticks = stat.rsplit_once(')').map(|(_, fields)| {
        fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>()
    });
    let descriptors = std::fs::read_dir("/proc/self/fd").map(|entries| entries.count() as f64).ok();
    for (name, kind, help, value) in [
        (
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory.",
            kibibytes("VmRSS:").map(|kib| kib * 1024.0),
        ),
        (
            "process_virtual_memory_bytes",
            "gauge",
            "Virtual memory.",
            kibibytes("VmSize:").map(|kib| kib * 1024.0),
        ),
        (
            "process_cpu_seconds_total",
            "counter",
            "Processor time in user and system mode.",
            ticks.map(|ticks| ticks / TICKS_PER_SECOND),
        ),
        ("process_open_fds", "gauge", "Open file descriptors.", descriptors),
    ] {
        text.single(name, kind, help, value);
    }
}

/// Series of each table.
fn tables(text: &mut Text, status: &Value) {
    let tables = status["tables"].as_array().map_or(&[][..], Vec::as_slice);
    let tables = &tables[..tables.len().min(TABLES_MAX)];
    for (name, help, key) in [
        ("millstream_table_rows", "Rows of the table.", "rows"),
        ("millstream_table_versions", "Versions in the table's history.", "history_rows"),
        ("millstream_table_quarantined", "Changes of the table that are set aside.", "quarantined"),
    ] {
        text.family(name, "gauge", help);
        for table in tables {
            if let (Some(of), Some(value)) = (table["name"].as_str(), table[key].as_f64()) {
                text.sample(name, &[("table", of)], value);
            }
        }
    }
    text.family("millstream_table_live", "gauge", "Whether changes of the table are applied as they come.");
    for table in tables {
        if let Some(of) = table["name"].as_str() {
            let live = table["state"].as_str() == Some("live");
            text.sample("millstream_table_live", &[("table", of)], f64::from(u8::from(live)));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_unknown_has_no_sample_and_labels_are_escaped() {
        let status = json!({
            "name": "shop", "state": "streaming", "source": {"lag_seconds": 0.25, "current_lsn": "0/10"},
            "tables": [{"name": "a\"b", "state": "live", "rows": 7, "history_rows": 9, "quarantined": 0}],
        });
        let (metrics, answers) = (Metrics::default(), Counts::default());
        answers.followed.store(5, Ordering::Relaxed);
        metrics.request("/tables", StatusCode::OK, Duration::from_millis(3));
        let traced = Some(Traced { sent: 5, dropped: 2 });
        let text = exposition(&status, &Applied::default(), traced, &metrics, &answers);
        for line in [
            "millstream_state{state=\"streaming\"} 1",
            "millstream_state{state=\"error\"} 0",
            "millstream_source_lag_seconds 0.25",
            "millstream_source_current_lsn_bytes 16",
            "millstream_table_rows{table=\"a\\\"b\"} 7",
            "millstream_traces_sent_total 5",
            "millstream_traces_dropped_total 2",
            "millstream_warehouse_reads_total{of=\"followed\"} 5",
            "millstream_followed_statements 0",
            "millstream_http_requests_total{route=\"/tables\",status=\"200\"} 1",
            "millstream_http_request_duration_seconds_bucket{route=\"/tables\",le=\"0.005\"} 1",
            "millstream_http_request_duration_seconds_bucket{route=\"/tables\",le=\"0.0025\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert!(!text.contains("wal_retained"), "{text}");
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.trim().parse::<f64>().unwrap()
        };
        assert!(value("process_resident_memory_bytes ") > 1e6 && value("process_open_fds ") >= 3.0, "{text}");
        assert!(value("process_cpu_seconds_total ") < 1e4, "{text}");
    }
}
