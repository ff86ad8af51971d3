//! Progress: a bar that redraws its line on a terminal, a line now and then off it. Always on standard error.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

/// Redrawing more often than an eye can follow only costs.
const REDRAW_INTERVAL: Duration = Duration::from_millis(100);

/// Off a terminal, lines end up in a log, where a few a minute say enough.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Cells of the bar.
const BAR_WIDTH: usize = 24;

/// What has been done of something that takes long.
#[derive(Debug)]
pub struct Progress {
    label: String,
    terminal: bool,
    color: bool,
    quiet: bool,
    started: Instant,
    printed: Option<Instant>,
    /// Rows that were done before this run.
    first_done: Option<u64>,
    drawn: bool,
}

impl Progress {
    pub(super) fn new(label: &str, terminal: bool, color: bool, quiet: bool) -> Self {
        Progress {
            label: label.to_owned(),
            terminal,
            color,
            quiet,
            started: Instant::now(),
            printed: None,
            first_done: None,
            drawn: false,
        }
    }

    /// States how many rows are done, of how many (an estimate; 0 if unknown).
    pub fn update(&mut self, done: u64, total: u64) {
        let first = *self.first_done.get_or_insert(done);
        let interval = if self.terminal { REDRAW_INTERVAL } else { LINE_INTERVAL };
        if self.quiet || self.printed.is_some_and(|at| at.elapsed() < interval) {
            return;
        }
        // The first line off a terminal waits too: what is done within the interval needs only its last line.
        if !self.terminal && self.started.elapsed() < interval {
            return;
        }
        self.printed = Some(Instant::now());
        let text = describe(&self.label, done, total, done - first.min(done), self.started.elapsed());
        self.print(done, total, &text);
    }

    fn print(&mut self, done: u64, total: u64, text: &str) {
        let mut stderr = io::stderr().lock();
        let _ = if self.terminal {
            self.drawn = true;
            write!(stderr, "\r\x1b[2K{} {text}", bar(done, total, self.color)).and_then(|()| stderr.flush())
        } else {
            writeln!(stderr, "{text}")
        };
    }

    /// Replaces the bar by a last line.
    pub fn finish(mut self, text: &str) {
        self.clear();
        if !self.quiet {
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Takes the bar off the screen, before something else is printed.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let mut stderr = io::stderr().lock();
            let _ = write!(stderr, "\r\x1b[2K").and_then(|()| stderr.flush());
        }
    }

    /// How long it has taken.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn bar(done: u64, total: u64, color: bool) -> String {
    let filled = if total == 0 { 0 } else { (done.min(total) as usize * BAR_WIDTH) / total as usize };
    let (full, empty) = ("█".repeat(filled), "░".repeat(BAR_WIDTH - filled));
    if color {
        format!("\x1b[36m{full}\x1b[2m{empty}\x1b[0m")
    } else {
        full + &empty
    }
}

/// `snapshot: 62%, 3,100,000 of 5,000,000 rows, 1,240,000 rows/s, 2 s left`. The total is an estimate and gives way to what is done.
fn describe(label: &str, done: u64, total: u64, done_now: u64, elapsed: Duration) -> String {
    let total = if total == 0 { 0 } else { total.max(done) };
    let mut text = format!("{label}: ");
    match (done * 100).checked_div(total) {
        Some(percent) => {
            text.push_str(&format!("{percent}%, {} of {} rows", group_digits(done), group_digits(total)));
        }
        None => text.push_str(&format!("{} rows", group_digits(done))),
    }
    let rate = done_now as f64 / elapsed.as_secs_f64().max(0.001);
    if done_now > 0 {
        text.push_str(&format!(", {} rows/s", group_digits(rate as u64)));
        if total > done {
            text.push_str(&format!(", {} left", left((total - done) as f64 / rate)));
        }
    }
    text
}

fn left(seconds: f64) -> String {
    let seconds = seconds.ceil() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// `1234567` as `1,234,567`.
pub fn group_digits(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_says_rows_rate_and_time_left() {
        let text = describe("snapshot", 3_000_000, 5_000_000, 1_000_000, Duration::from_secs(1));
        assert_eq!(text, "snapshot: 60%, 3,000,000 of 5,000,000 rows, 1,000,000 rows/s, 2 s left");
        let beyond = describe("snapshot", 11, 10, 0, Duration::ZERO);
        assert_eq!(beyond, "snapshot: 100%, 11 of 11 rows");
        assert_eq!(describe("copy", 0, 0, 0, Duration::ZERO), "copy: 0 rows");
        assert_eq!(left(3725.0), "1 h 2 min");
    }

    #[test]
    fn a_bar_is_never_longer_than_its_width() {
        for (done, total) in [(0, 0), (0, 10), (5, 10), (10, 10), (20, 10)] {
            assert_eq!(bar(done, total, false).chars().count(), BAR_WIDTH);
        }
    }
}
