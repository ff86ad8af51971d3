//! What was to be reached, held against what was measured. A target whose workload did not run is left out.

use serde::Serialize;

use crate::report::{mebibytes, thousands, Workload, CAPTURE, GROWTH, MILLSTREAM};
use crate::workloads::{MODELS, PARSE, SHOP};

/// At least this share of `COPY … (FORMAT binary)` to nowhere.
const SNAPSHOT_SHARE_MIN: f64 = 0.6;
/// At least this share of `pg_recvlogical` to nowhere, up to queryable.
const STREAM_SHARE_MIN: f64 = 0.6;
/// At least so many times the Debezium engine.
const DEBEZIUM_TIMES_MIN: f64 = 3.0;
/// At least this share of `pg_recvlogical`, up to durable in the log.
const CAPTURE_SHARE_MIN: f64 = 0.9;
/// In every workload.
const RSS_BYTES_MAX: u64 = 400 << 20;
/// At 1,000 transactions a second.
const P50_MS_MAX: f64 = 50.0;
const P99_MS_MAX: f64 = 250.0;
/// The endpoints: so many times the service over the source's tables.
const REQUESTS_TIMES_MIN: f64 = 10.0;
/// At half of what it reaches.
const REQUEST_P99_MS_MAX: f64 = 50.0;
/// No answer may be older.
const ANSWER_AGE_MS_MAX: f64 = 250.0;
/// From a commit to the message.
const MESSAGE_P50_MS_MAX: f64 = 100.0;
/// Of all idle listeners together.
const IDLE_BYTES_MAX: u64 = 300_000_000;
/// A dbt project of the teaching example's size, table models, and reading models, each in times of dbt's speed.
const SHOP_TIMES_MIN: f64 = 20.0;
const TABLES_TIMES_MIN: f64 = 10.0;
const PARSE_TIMES_MIN: f64 = 20.0;
/// For the small project.
const SHOP_RSS_BYTES_MAX: u64 = 80_000_000;
/// For reading ten thousand models.
const PARSED_MANY: u64 = 10_000;
const PARSED_MANY_MS_MAX: f64 = 2_000.0;
/// Workloads that the program also answers clients in; their memory has a limit of its own.
const SERVING: [&str; 2] = ["serve", "live"];
/// On the largest table.
const SCATTERED_RATE_MIN: f64 = 20_000.0;
const SINGLE_MS_MAX: f64 = 100.0;

/// One target.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) target: String,
    pub(crate) measured: String,
    pub(crate) reached: bool,
}

impl Goal {
    pub(crate) fn verdict(&self) -> &'static str {
        if self.reached {
            "reached"
        } else {
            "missed"
        }
    }

    fn share(what: String, minimum: f64, measured: f64) -> Self {
        Self {
            what,
            target: format!("at least {minimum:.2}"),
            measured: format!("{measured:.2}"),
            reached: measured >= minimum,
        }
    }

    fn time(what: String, maximum_ms: f64, measured_ms: f64) -> Self {
        Self {
            what,
            target: format!("under {maximum_ms:.0} ms"),
            measured: format!("{measured_ms:.1} ms"),
            reached: measured_ms < maximum_ms,
        }
    }
}

/// The targets of the workloads that ran.
pub(crate) fn goals(workloads: &[Workload]) -> Vec<Goal> {
    let mut goals = Vec::new();
    for workload in workloads {
        of_workload(workload, &mut goals);
    }
    let has_own = |name: &str| SERVING.contains(&name) || name.starts_with(MODELS);
    let memory = workloads.iter().filter(|workload| !has_own(&workload.name));
    let memory = memory.flat_map(|workload| {
        let lines = workload.lines.iter().filter(|line| line.consumer.starts_with(MILLSTREAM));
        let lines = lines.map(|line| (line.rss_peak_bytes, &workload.name));
        lines.chain(workload.latencies.iter().map(|latency| (latency.rss_peak_bytes, &workload.name)))
    });
    if let Some((bytes, name)) = memory.max() {
        goals.push(Goal {
            what: format!("peak RSS in any workload (here: {name})"),
            target: format!("under {} MiB", mebibytes(RSS_BYTES_MAX)),
            measured: format!("{} MiB", mebibytes(bytes)),
            reached: bytes < RSS_BYTES_MAX,
        });
    }
    goals
}

fn of_workload(workload: &Workload, goals: &mut Vec<Goal>) {
    let name = &workload.name;
    if name.starts_with(MODELS) {
        return models(workload, goals);
    }
    if let (Some(ratio), "snapshot") = (workload.ratio(MILLSTREAM), name.as_str()) {
        goals.push(Goal::share(format!("{name}: rate, of COPY binary's"), SNAPSHOT_SHARE_MIN, ratio));
    } else if let (Some(ratio), "inserts" | "tpcb" | "large") = (workload.ratio(MILLSTREAM), name.as_str()) {
        goals.push(Goal::share(format!("{name}: rate, of pg_recvlogical's"), STREAM_SHARE_MIN, ratio));
    }
    if let Some(ratio) = workload.ratio(CAPTURE) {
        goals.push(Goal::share(
            format!("{name}: capture alone, of pg_recvlogical's"),
            CAPTURE_SHARE_MIN,
            ratio,
        ));
    }
    let debezium = workload.lines.iter().find(|line| line.consumer.starts_with("Debezium"));
    if let (Some(ours), Some(theirs)) = (workload.line(MILLSTREAM), debezium) {
        let times = ours.rows_per_second / theirs.rows_per_second;
        goals.push(Goal::share(format!("{name}: rate, of the Debezium engine's"), DEBEZIUM_TIMES_MIN, times));
    }
    if SERVING.contains(&name.as_str()) {
        serving(workload, goals);
    } else if name.starts_with(GROWTH) {
        if let Some(line) = workload.lines.iter().find(|line| line.consumer == SCATTERED_UPDATES) {
            goals.push(Goal {
                what: format!("{name}: scattered updates"),
                target: format!("at least {} rows/s", thousands(SCATTERED_RATE_MIN)),
                measured: format!("{} rows/s", thousands(line.rows_per_second)),
                reached: line.rows_per_second >= SCATTERED_RATE_MIN,
            });
        }
        for latency in &workload.latencies {
            goals.push(Goal::time(
                format!("{name}: a single change queryable, p99"),
                SINGLE_MS_MAX,
                latency.p99_ms,
            ));
        }
    } else {
        for latency in &workload.latencies {
            goals.push(Goal::time(format!("{name}, {}: p50", latency.what), P50_MS_MAX, latency.p50_ms));
            goals.push(Goal::time(format!("{name}, {}: p99", latency.what), P99_MS_MAX, latency.p99_ms));
        }
    }
}

fn models(workload: &Workload, goals: &mut Vec<Goal>) {
    let name = &workload.name;
    let Some(ours) = workload.line(MILLSTREAM) else { return };
    if let Some(ratio) = ours.ratio {
        let least = match name.as_str() {
            SHOP => SHOP_TIMES_MIN,
            _ if name.starts_with(PARSE) => PARSE_TIMES_MIN,
            _ => TABLES_TIMES_MIN,
        };
        goals.push(Goal::share(format!("{name}: speed, of dbt's"), least, ratio));
    }
    if name == SHOP {
        goals.push(Goal {
            what: format!("{name}: peak RSS"),
            target: format!("under {:.0} MB", SHOP_RSS_BYTES_MAX as f64 / 1e6),
            measured: format!("{:.0} MB", ours.rss_peak_bytes as f64 / 1e6),
            reached: ours.rss_peak_bytes < SHOP_RSS_BYTES_MAX,
        });
    }
    if name.starts_with(PARSE) && ours.rows == PARSED_MANY {
        goals.push(Goal::time(format!("{name}: cold"), PARSED_MANY_MS_MAX, ours.seconds * 1e3));
    }
}

fn serving(workload: &Workload, goals: &mut Vec<Goal>) {
    let name = &workload.name;
    for ours in workload.requests.iter().filter(|requests| requests.consumer == MILLSTREAM) {
        if let Some(ratio) = ours.ratio {
            goals.push(Goal::share(
                format!("{name}: requests a second, of FastAPI's"),
                REQUESTS_TIMES_MIN,
                ratio,
            ));
        }
        goals.push(Goal::time(format!("{name}: p99 at half of the most"), REQUEST_P99_MS_MAX, ours.p99_ms));
        if let Some([_, _, paced, most]) = ours.age_ms {
            goals.push(Goal::time(format!("{name}: the oldest answer"), ANSWER_AGE_MS_MAX, paced.max(most)));
        }
    }
    for latency in &workload.latencies {
        goals.push(Goal::time(format!("{name}, {}: p50", latency.what), MESSAGE_P50_MS_MAX, latency.p50_ms));
    }
    if let Some(idle) = &workload.idle {
        let grown = idle.rss_bytes.saturating_sub(idle.rss_before_bytes);
        goals.push(Goal {
            what: format!("{name}: {} idle listeners", thousands(idle.connections as f64)),
            target: format!("under {:.0} MB", IDLE_BYTES_MAX as f64 / 1e6),
            measured: format!("{:.0} MB", grown as f64 / 1e6),
            reached: grown < IDLE_BYTES_MAX,
        });
    }
}

/// The line of the changes that cost most.
pub(crate) const SCATTERED_UPDATES: &str = "Millstream, scattered updates";
