//! Progress: a bar that redraws its line on a terminal, a line now and then off it. Always on standard error.

use std::{
    io::{self, Write},
    mem::MaybeUninit,
    time::{Duration, Instant},
};

use super::Output;

/// Redrawing more often than an eye can follow only costs.
const REDRAW_INTERVAL: Duration = Duration::from_millis(100);

/// Off a terminal, lines end up in a log, where a few a minute say enough.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Cells of the bar.
const BAR_WIDTH: usize = 24;

/// What a terminal that does not say its width is taken for.
const COLUMNS_DEFAULT: usize = 80;

/// What has been done of something that takes long.
#[derive(Debug)]
pub struct Progress {
    label: String,
    output: Output,
    started: Instant,
    printed: Option<Instant>,
    /// Rows that were done before this run.
    first_done: Option<u64>,
    drawn: bool,
}

impl Progress {
    pub(super) fn new(label: &str, output: Output) -> Self {
        Progress {
            label: label.to_owned(),
            output,
            started: Instant::now(),
            printed: None,
            first_done: None,
            drawn: false,
        }
    }

    /// States how many rows are done, of how many (an estimate; 0 if unknown).
    pub fn update(&mut self, done: u64, total: u64) {
        let first = *self.first_done.get_or_insert(done);
        if self.is_due() {
            let text = describe(&self.label, done, total, done - first.min(done), self.started.elapsed());
            self.print(done, total, &text);
        }
    }

    /// States how far rows are that pass two stages.
    pub fn update_stages(&mut self, stages: &Stages) {
        if self.is_due() {
            let text = stages.describe(&self.label, self.started.elapsed());
            self.print(stages.done(), stages.total(), &text);
        }
    }

    /// Whether something is to be printed now.
    fn is_due(&mut self) -> bool {
        let interval = if self.output.stderr_terminal { REDRAW_INTERVAL } else { LINE_INTERVAL };
        if self.output.quiet || self.printed.is_some_and(|at| at.elapsed() < interval) {
            return false;
        }
        // The first line off a terminal waits too: what is done within the interval needs only its last line.
        if !self.output.stderr_terminal && self.started.elapsed() < interval {
            return false;
        }
        self.printed = Some(Instant::now());
        true
    }

    fn print(&mut self, done: u64, total: u64, text: &str) {
        if !self.output.stderr_terminal {
            return self.output.tell("progress", text);
        }
        let mut stderr = io::stderr().lock();
        self.drawn = true;
        // A line that wraps can't be drawn over.
        let text = cut(text, terminal_columns().saturating_sub(BAR_WIDTH + 2));
        let bar = bar(done, total, self.output.stderr_color);
        let _ = write!(stderr, "\r\x1b[2K{bar} {text}").and_then(|()| stderr.flush());
    }

    /// Replaces the bar by a last line.
    pub fn finish(mut self, text: &str) {
        self.clear();
        self.output.tell("progress", text);
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

/// Rows that are copied from the source and loaded into the warehouse, both at once. Totals are estimates, 0 where nothing is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stages {
    /// Copied so far.
    pub copied: u64,
    /// To be copied, `copied` included.
    pub copied_of: u64,
    /// Loaded so far.
    pub loaded: u64,
    /// To be loaded, `loaded` included.
    pub loaded_of: u64,
}

impl Stages {
    fn done(&self) -> u64 {
        self.copied + self.loaded
    }

    fn total(&self) -> u64 {
        self.copied_of.max(self.copied) + self.loaded_of.max(self.loaded)
    }

    /// `snapshot: 50%, 4 s left, 620,000 rows/s, 3,100,000 copied, 1,900,000 loaded of 5,000,000`. A row counts half when it is copied and half when it is
    /// loaded, in the share and in the rate.
    fn describe(&self, label: &str, elapsed: Duration) -> String {
        let (done, total) = (self.done(), self.total());
        let mut text = format!("{label}: ");
        if let Some(percent) = (done * 100).checked_div(total) {
            text.push_str(&format!("{percent}%, "));
        }
        if done > 0 {
            let per_second = done as f64 / elapsed.as_secs_f64().max(0.001);
            if total > done {
                text.push_str(&format!("{} left, ", left((total - done) as f64 / per_second)));
            }
            let rows = per_second * self.loaded_of.max(self.loaded) as f64 / total as f64;
            text.push_str(&format!("{} rows/s, ", group_digits(rows as u64)));
        }
        if self.copied_of.max(self.copied) > 0 {
            text.push_str(&format!("{} copied, ", group_digits(self.copied)));
        }
        let rows = self.loaded_of.max(self.loaded);
        text.push_str(&format!("{} loaded of {}", group_digits(self.loaded), group_digits(rows)));
        text
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// How many columns the terminal behind standard error has, as it is now.
fn terminal_columns() -> usize {
    let mut size = MaybeUninit::<libc::winsize>::zeroed();
    // SAFETY: the call fills a winsize or fails; all of its bytes are zero before, which is a valid one.
    let size = unsafe {
        libc::ioctl(libc::STDERR_FILENO, libc::TIOCGWINSZ, size.as_mut_ptr());
        size.assume_init()
    };
    match usize::from(size.ws_col) {
        0 => COLUMNS_DEFAULT,
        columns => columns,
    }
}

/// The text, at most so many characters of it.
fn cut(text: &str, characters_max: usize) -> String {
    if text.chars().count() <= characters_max {
        return text.to_owned();
    }
    text.chars().take(characters_max.saturating_sub(1)).chain(['…']).collect()
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
    fn a_row_counts_half_when_it_is_copied_and_half_when_it_is_loaded() {
        let stages =
            Stages { copied: 3_100_000, copied_of: 5_000_000, loaded: 1_900_000, loaded_of: 5_000_000 };
        assert_eq!(
            stages.describe("snapshot", Duration::from_secs(4)),
            "snapshot: 50%, 4 s left, 625,000 rows/s, 3,100,000 copied, 1,900,000 loaded of 5,000,000"
        );
        let loading = Stages { loaded: 10, loaded_of: 40, ..Stages::default() };
        assert_eq!(
            loading.describe("snapshot", Duration::from_secs(1)),
            "snapshot: 25%, 3 s left, 10 rows/s, 10 loaded of 40"
        );
        let more_than_thought = Stages { copied: 12, copied_of: 10, loaded: 12, loaded_of: 10 };
        assert_eq!(
            more_than_thought.describe("snapshot", Duration::from_secs(1)),
            "snapshot: 100%, 12 rows/s, 12 copied, 12 loaded of 12"
        );
        assert_eq!(Stages::default().describe("snapshot", Duration::ZERO), "snapshot: 0 loaded of 0");
    }

    #[test]
    fn a_text_is_cut_where_the_terminal_ends() {
        assert_eq!((cut("50 %", 4), cut("50 %, 3 s", 4)), ("50 %".to_owned(), "50 …".to_owned()));
        assert_eq!(cut("50", 0), "…");
    }

    #[test]
    fn a_bar_is_never_longer_than_its_width() {
        for (done, total) in [(0, 0), (0, 10), (5, 10), (10, 10), (20, 10)] {
            assert_eq!(bar(done, total, false).chars().count(), BAR_WIDTH);
        }
    }
}
