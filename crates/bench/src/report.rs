//! What was measured, and how it is shown: the same table on the terminal and in the kept file, ratios first.

use std::fmt::Write;

use serde::Serialize;

use crate::child::Taken;
use crate::goals::{goals, Goal};
use crate::machine::Machine;

/// Millstream's line where everything it does is measured.
pub(crate) const MILLSTREAM: &str = "Millstream";
/// Millstream's line where only the log is written.
pub(crate) const CAPTURE: &str = "Millstream, capture alone";

/// What the names of the workloads begin with that change tables of growing size.
pub(crate) const GROWTH: &str = "growth-";

/// One consumer of a workload.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Line {
    pub(crate) consumer: String,
    /// Whether ratios of the workload are to this one; of several, the fastest counts.
    pub(crate) reference: bool,
    pub(crate) rows: u64,
    pub(crate) seconds: f64,
    pub(crate) rows_per_second: f64,
    /// To the workload's reference.
    pub(crate) ratio: Option<f64>,
    pub(crate) rss_peak_bytes: u64,
    pub(crate) cpu_seconds: f64,
}

impl Line {
    pub(crate) fn new(consumer: String, rows: u64, taken: Taken) -> Self {
        let seconds = taken.wall.as_secs_f64();
        Self {
            consumer,
            reference: false,
            rows,
            seconds,
            rows_per_second: rows as f64 / seconds,
            ratio: None,
            rss_peak_bytes: taken.rss_peak_bytes,
            cpu_seconds: taken.cpu_seconds,
        }
    }

    pub(crate) fn reference(mut self) -> Self {
        self.reference = true;
        self
    }
}

/// Times from a commit's return to the first query that saw it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Latency {
    pub(crate) what: String,
    pub(crate) samples: usize,
    pub(crate) transactions_per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    pub(crate) rss_peak_bytes: u64,
    pub(crate) cpu_seconds: f64,
    pub(crate) seconds: f64,
}

impl Latency {
    /// From times in milliseconds, in any order; `taken` is what the running instance took all along.
    pub(crate) fn new(
        what: &str,
        mut samples_ms: Vec<f64>,
        transactions_per_second: f64,
        taken: Taken,
    ) -> Self {
        samples_ms.sort_by(f64::total_cmp);
        Self {
            what: what.to_owned(),
            samples: samples_ms.len(),
            transactions_per_second,
            p50_ms: percentile(&samples_ms, 0.5),
            p90_ms: percentile(&samples_ms, 0.9),
            p99_ms: percentile(&samples_ms, 0.99),
            max_ms: percentile(&samples_ms, 1.0),
            rss_peak_bytes: taken.rss_peak_bytes,
            cpu_seconds: taken.cpu_seconds,
            seconds: taken.wall.as_secs_f64(),
        }
    }
}

/// A share of the sorted samples lies at or below the returned one (nearest rank).
pub(crate) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}

/// The peer of the endpoints.
pub(crate) const FASTAPI: &str = "FastAPI, asyncpg, 2 workers";

/// Requests over HTTP under a load at the source.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Requests {
    pub(crate) consumer: String,
    /// Whether ratios of the workload are to this one.
    pub(crate) reference: bool,
    /// What a closed loop reached.
    pub(crate) per_second: f64,
    /// Of it, to the workload's reference.
    pub(crate) ratio: Option<f64>,
    pub(crate) p99_ms_at_most: f64,
    /// The rate of the paced loop, and its times from when a request was due.
    pub(crate) paced_per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Of these times: how late the client itself was, though the connection was free.
    pub(crate) sent_late_p99_ms: f64,
    /// Age of the answers: of the paced loop p50, p99 and the largest; the largest beside the closed loop.
    pub(crate) age_ms: Option<[f64; 4]>,
    /// What was no answer.
    pub(crate) failed: u64,
    /// What the source's load reached meanwhile.
    pub(crate) transactions_per_second: f64,
    pub(crate) rss_peak_bytes: Option<u64>,
}

impl Requests {
    pub(crate) fn reference(mut self) -> Self {
        self.reference = true;
        self
    }
}

/// What connections cost that wait for events.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Idle {
    pub(crate) connections: u64,
    pub(crate) rss_before_bytes: u64,
    pub(crate) rss_bytes: u64,
}

/// What one workload gave.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Workload {
    pub(crate) name: String,
    pub(crate) title: String,
    /// What its lines count.
    #[serde(skip)]
    pub(crate) unit: &'static str,
    pub(crate) lines: Vec<Line>,
    pub(crate) latencies: Vec<Latency>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) requests: Vec<Requests>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) idle: Option<Idle>,
    pub(crate) notes: Vec<String>,
    pub(crate) error: Option<String>,
}

impl Workload {
    pub(crate) fn new(name: impl Into<String>, title: impl Into<String>) -> Self {
        Self { name: name.into(), title: title.into(), unit: "rows", ..Self::default() }
    }

    /// Gives every line its ratio to the reference.
    pub(crate) fn compare(&mut self) {
        let references = self.lines.iter().filter(|line| line.reference).map(|line| line.rows_per_second);
        if let Some(reference) = references.max_by(f64::total_cmp) {
            for line in &mut self.lines {
                line.ratio = Some(line.rows_per_second / reference);
            }
        }
        let reference =
            self.requests.iter().find(|requests| requests.reference).map(|requests| requests.per_second);
        for requests in &mut self.requests {
            requests.ratio = reference.map(|reference| requests.per_second / reference);
        }
    }

    /// The line of a consumer.
    pub(crate) fn line(&self, consumer: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.consumer == consumer)
    }

    /// A consumer's ratio to the reference.
    pub(crate) fn ratio(&self, consumer: &str) -> Option<f64> {
        self.line(consumer)?.ratio
    }
}

/// Everything of one run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) scale: String,
    pub(crate) machine: Machine,
    pub(crate) minutes: f64,
    pub(crate) goals: Vec<Goal>,
    pub(crate) workloads: Vec<Workload>,
}

impl Report {
    pub(crate) fn new(scale: &str, machine: Machine) -> Self {
        Self { scale: scale.to_owned(), machine, minutes: 0.0, goals: Vec::new(), workloads: Vec::new() }
    }

    /// Takes one more workload.
    pub(crate) fn add(&mut self, workload: Workload, minutes: f64, duckdb: String) {
        self.workloads.push(workload);
        self.goals = goals(&self.workloads);
        self.minutes = minutes;
        self.machine.duckdb = duckdb;
    }

    /// The report as Markdown that can be read as it stands.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let machine = &self.machine;
        writeln!(out, "# Bench, {}\n", self.scale)?;
        if self.scale != "full" {
            writeln!(
                out,
                "A smaller run than the targets speak of: it shows large changes, not what is reached.\n"
            )?;
        }
        writeln!(
            out,
            "{}, commit {}, {:.0} minutes. {} cores ({}), {:.0} GiB, Linux {}, load {:.1} as it began.\n{}, DuckDB {}, {}, {}.\n",
            machine.date,
            machine.commit,
            self.minutes,
            machine.cores,
            machine.processor,
            machine.memory_bytes as f64 / f64::from(1 << 30),
            machine.kernel,
            machine.load_before,
            machine.postgres,
            machine.duckdb,
            machine.rustc,
            machine.debezium,
        )?;
        writeln!(
            out,
            "Ratios hold, absolute figures only on this machine at that hour. [How it is measured](../README.md).\n"
        )?;
        if machine.load_before > machine.cores as f64 {
            writeln!(out, "**Other work had the processors as well: what is missed here may be reached, and the reverse.**\n")?;
        }
        if !self.goals.is_empty() {
            writeln!(out, "## Targets\n")?;
            let rows = self.goals.iter().map(|goal| {
                vec![goal.what.clone(), goal.target.clone(), goal.measured.clone(), goal.verdict().to_owned()]
            });
            table(out, &["what", "target", "measured", ""], "llrl", rows.collect())?;
        }
        self.workloads.iter().try_for_each(|workload| workload.write(out))?;
        self.write_growth(out)
    }

    /// The same changes on tables of growing size, side by side.
    fn write_growth(&self, out: &mut String) -> std::fmt::Result {
        let sizes: Vec<&Workload> =
            self.workloads.iter().filter(|workload| workload.name.starts_with(GROWTH)).collect();
        let [first, _, ..] = sizes[..] else { return Ok(()) };
        writeln!(out, "## How the cost grows\n\nRows a second, start to queryable, by the table's size.\n")?;
        let head: Vec<&str> =
            ["what"].into_iter().chain(sizes.iter().map(|size| size.name.as_str())).collect();
        let ours = first.lines.iter().filter(|line| line.consumer.starts_with(MILLSTREAM));
        let rows = ours.map(|line| {
            let rate = |size: &&Workload| {
                size.line(&line.consumer).map_or(String::new(), |line| thousands(line.rows_per_second))
            };
            [line.consumer.clone()].into_iter().chain(sizes.iter().map(rate)).collect()
        });
        table(out, &head, &"lrrrrrrrr"[..head.len()], rows.collect())
    }
}

impl Workload {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "## {}\n\n{}\n", self.name, self.title)?;
        if !self.lines.is_empty() {
            let rows = self.lines.iter().map(|line| {
                let ratio = line.ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
                vec![
                    line.consumer.clone(),
                    thousands(line.rows_per_second),
                    ratio,
                    format!("{:.2}", line.seconds),
                    mebibytes(line.rss_peak_bytes),
                    format!("{:.1}", line.cpu_seconds),
                    thousands(line.rows as f64),
                ]
            });
            let rate = format!("{}/s", self.unit);
            table(
                out,
                &["consumer", &rate, "ratio", "seconds", "peak RSS MiB", "CPU s", self.unit],
                "lrrrrrr",
                rows.collect(),
            )?;
        }
        if !self.latencies.is_empty() {
            let rows = self.latencies.iter().map(|latency| {
                vec![
                    latency.what.clone(),
                    format!("{:.1}", latency.p50_ms),
                    format!("{:.1}", latency.p90_ms),
                    format!("{:.1}", latency.p99_ms),
                    format!("{:.1}", latency.max_ms),
                    latency.samples.to_string(),
                    thousands(latency.transactions_per_second),
                    mebibytes(latency.rss_peak_bytes),
                    format!("{:.0}%", 100.0 * latency.cpu_seconds / latency.seconds),
                ]
            });
            table(
                out,
                &[
                    "from the commit on",
                    "p50 ms",
                    "p90 ms",
                    "p99 ms",
                    "max ms",
                    "samples",
                    "tx/s",
                    "peak RSS MiB",
                    "of a core",
                ],
                "lrrrrrrrr",
                rows.collect(),
            )?;
        }
        self.write_requests(out)?;
        if let Some(idle) = &self.idle {
            let grown = idle.rss_bytes.saturating_sub(idle.rss_before_bytes);
            writeln!(
                out,
                "{} idle listeners: {} MiB resident before them, {} MiB with them, {:.1} kB each.\n",
                thousands(idle.connections as f64),
                mebibytes(idle.rss_before_bytes),
                mebibytes(idle.rss_bytes),
                grown as f64 / 1e3 / idle.connections as f64,
            )?;
        }
        for note in &self.notes {
            writeln!(out, "{note}\n")?;
        }
        if let Some(error) = &self.error {
            writeln!(out, "This workload failed:\n\n```\n{error}\n```\n")?;
        }
        Ok(())
    }
}

impl Workload {
    fn write_requests(&self, out: &mut String) -> std::fmt::Result {
        if self.requests.is_empty() {
            return Ok(());
        }
        let rows = self.requests.iter().map(|requests| {
            let age = |at: usize| requests.age_ms.map_or(String::new(), |ages| format!("{:.0}", ages[at]));
            vec![
                requests.consumer.clone(),
                thousands(requests.per_second),
                requests.ratio.map_or(String::new(), |ratio| format!("{ratio:.1}")),
                format!("{:.0}", requests.p99_ms_at_most),
                thousands(requests.paced_per_second),
                format!("{:.1}", requests.p50_ms),
                format!("{:.1}", requests.p99_ms),
                format!("{:.1}", requests.sent_late_p99_ms),
                age(0),
                age(1),
                age(2),
                age(3),
                requests.failed.to_string(),
                thousands(requests.transactions_per_second),
                requests.rss_peak_bytes.map_or(String::new(), mebibytes),
            ]
        });
        let head = [
            "consumer",
            "at most req/s",
            "ratio",
            "p99 ms",
            "paced req/s",
            "p50 ms",
            "p99 ms",
            "sent late p99 ms",
            "age p50 ms",
            "age p99 ms",
            "age max ms",
            "age max ms, at most",
            "failed",
            "tx/s",
            "peak RSS MiB",
        ];
        table(out, &head, "lrrrrrrrrrrrrrr", rows.collect())
    }
}

/// A Markdown table whose columns line up, so that it can be read off a terminal too.
fn table(out: &mut String, head: &[&str], alignment: &str, rows: Vec<Vec<String>>) -> std::fmt::Result {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].chars().count(), 3]).max().unwrap_or(3)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let alignment: Vec<bool> = alignment.chars().map(|side| side == 'r').collect();
    let line = |out: &mut String, cells: &[String]| -> std::fmt::Result {
        for ((cell, width), right) in cells.iter().zip(&widths).zip(&alignment) {
            if *right {
                write!(out, "| {cell:>width$} ")?;
            } else {
                write!(out, "| {cell:<width$} ")?;
            }
        }
        writeln!(out, "|")
    };
    line(out, &head.iter().map(|&cell| cell.to_owned()).collect::<Vec<_>>())?;
    let rule: Vec<String> = widths
        .iter()
        .zip(&alignment)
        .map(|(width, right)| if *right { format!("{}:", "-".repeat(width - 1)) } else { "-".repeat(*width) })
        .collect();
    line(out, &rule)?;
    rows.iter().try_for_each(|row| line(out, row))?;
    writeln!(out)
}

/// A count with its thousands divided.
pub(crate) fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes as MiB, without a unit.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn line(consumer: &str, rows: u64) -> Line {
        let taken = Taken { wall: Duration::from_secs(2), cpu_seconds: 1.0, rss_peak_bytes: 5 << 20 };
        Line::new(consumer.into(), rows, taken)
    }

    #[test]
    fn ratios_are_to_the_fastest_reference() {
        let lines =
            vec![line("a", 10).reference(), line("b", 40).reference(), line(MILLSTREAM, 30), line("c", 99)];
        let mut workload = Workload { lines, ..Workload::default() };
        workload.compare();
        assert_eq!(workload.ratio(MILLSTREAM), Some(0.75));
        assert_eq!(workload.ratio("nobody"), None);
    }

    #[test]
    fn tables_line_up() {
        let mut out = String::new();
        table(&mut out, &["who", "n"], "lr", vec![vec!["someone".into(), "1,000".into()]]).unwrap();
        assert_eq!(out, "| who     |     n |\n| ------- | ----: |\n| someone | 1,000 |\n\n");
    }

    #[test]
    fn percentiles_are_samples() {
        let samples: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&samples, 0.5), 50.0);
        assert_eq!(percentile(&samples, 0.99), 99.0);
        assert_eq!(percentile(&samples, 1.0), 100.0);
        assert_eq!(percentile(&samples[..1], 0.5), 1.0);
        assert!(percentile(&[], 0.5).is_nan());
    }

    #[test]
    fn counts_are_divided_by_thousands() {
        assert_eq!(thousands(999.4), "999");
        assert_eq!(thousands(1_234_567.0), "1,234,567");
    }
}
