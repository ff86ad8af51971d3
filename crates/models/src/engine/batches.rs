//! The batches of a microbatch model: spans of time, each of which is built by itself. Pure: from the model's settings and a clock to a list of spans.
//!
//! Moments are microseconds since 1970, UTC, as dbt takes them.

use serde_json::{json, Value as Json};

use crate::{
    context::modules::Moment,
    error::{Problem, ProblemKind},
    parse::node::Node,
    project::Adapter,
};

/// More batches than this are taken for a mistake in `begin`: a hundred years of hours.
const BATCHES_MAX: usize = 1_000_000;

/// How long a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchSize {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A month of the calendar.
    Month,
    /// A year of the calendar.
    Year,
}

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;

impl BatchSize {
    fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "hour" => BatchSize::Hour,
            "day" => BatchSize::Day,
            "month" => BatchSize::Month,
            "year" => BatchSize::Year,
            _ => return None,
        })
    }

    /// When the batch of a moment begins, or one so many before or behind it.
    fn begin(self, us: i64, offset: i64) -> i64 {
        let [year, month, _] = Moment::utc(us).date_parts();
        match self {
            BatchSize::Hour => (us.div_euclid(HOUR_US) + offset) * HOUR_US,
            BatchSize::Day => (us.div_euclid(DAY_US) + offset) * DAY_US,
            BatchSize::Month => {
                let months = year * 12 + month - 1 + offset;
                Moment::of_date(months.div_euclid(12), months.rem_euclid(12) + 1, 1)
            }
            BatchSize::Year => Moment::of_date(year + offset, 1, 1),
        }
    }

    /// A moment so many hours, days, months or years later; the last day of a month that is too short.
    fn moved(self, us: i64, count: i64) -> i64 {
        let [year, month, day] = Moment::utc(us).date_parts();
        let months = match self {
            BatchSize::Hour => return us.saturating_add(count.saturating_mul(HOUR_US)),
            BatchSize::Day => return us.saturating_add(count.saturating_mul(DAY_US)),
            BatchSize::Month => count,
            BatchSize::Year => count.saturating_mul(12),
        };
        let all = (year * 12 + month - 1).saturating_add(months).clamp(0, 9999 * 12);
        let [year, month] = [all.div_euclid(12), all.rem_euclid(12) + 1];
        let first = Moment::of_date(year, month, 1);
        let days = (BatchSize::Month.begin(first, 1) - first) / DAY_US;
        first + (day.min(days) - 1) * DAY_US + us.rem_euclid(DAY_US)
    }

    /// When the batch of a moment ends; the moment itself where one begins then.
    fn ceiling(self, us: i64) -> i64 {
        let begin = self.begin(us, 0);
        if begin == us {
            us
        } else {
            self.begin(us, 1)
        }
    }

    /// What a batch is called in files and lines.
    pub fn label(self, start: i64) -> String {
        let text = Moment::utc(start).iso("T");
        let length = match self {
            BatchSize::Hour => 13,
            BatchSize::Day => 10,
            BatchSize::Month => 7,
            BatchSize::Year => 4,
        };
        text[..length].to_owned()
    }
}

/// From when to when, the end not included.
pub type Span = [i64; 2];

/// What a model says of its batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How long each is.
    pub size: BatchSize,
    /// How many before the last one are built again.
    pub lookback: i64,
    /// When the first one of all begins.
    pub begin: i64,
}

impl Settings {
    /// Reads a microbatch model's configuration.
    ///
    /// Errors: something that it needs isn't there, or is of another form.
    pub fn of(node: &Node, warehouse: Adapter) -> Result<Self, Problem> {
        let wrong = |message: &str| Problem::new(ProblemKind::Configuration, message);
        let said = |key: &str| node.config.get(key).filter(|value| !value.is_null());
        match said("event_time") {
            Some(Json::String(name)) if !name.is_empty() => {}
            _ => {
                return Err(wrong("a microbatch model needs an `event_time`")
                    .hint("name the column that says when a row happened: event_time='created_at'"))
            }
        }
        let begin = said("begin").and_then(Json::as_str).and_then(moment);
        let Some(begin) = begin else {
            return Err(wrong("a microbatch model needs a `begin`, a date or a time")
                .hint("say when the first batch begins: begin='2026-01-01'"));
        };
        let size = said("batch_size").and_then(Json::as_str).and_then(BatchSize::of_name);
        let Some(size) = size else {
            return Err(
                wrong("a microbatch model needs a `batch_size`").hint("it is hour, day, month or year")
            );
        };
        let lookback = match said("lookback") {
            None => 1,
            Some(lookback) => lookback.as_i64().ok_or_else(|| wrong("`lookback` is a whole number"))?,
        };
        if !matches!(said("concurrent_batches"), None | Some(Json::Bool(_))) {
            return Err(wrong("`concurrent_batches` is true or false"));
        }
        // In PostgreSQL a batch is merged by it.
        if warehouse == Adapter::DuckDb
            && said("unique_key").is_some_and(|key| *key != json!([]) && *key != json!(""))
        {
            return Err(wrong(
                "a microbatch model has no `unique_key`: each batch replaces all rows of its span",
            )
            .hint("leave it out, or use the strategy `merge`"));
        }
        Ok(Settings { size, lookback, begin })
    }

    /// The batches that are to be built: those that are asked for, or all since `begin` where the model is new, or the last ones.
    ///
    /// Errors: there are too many.
    pub fn batches(&self, asked: Option<Span>, is_new: bool, now: i64) -> Result<Vec<Span>, Problem> {
        let end = self.size.ceiling(asked.map_or(now, |[_, end]| end));
        let start = match asked {
            Some([start, _]) => self.size.begin(start, 0),
            None if is_new => self.size.begin(self.begin, 0),
            // Where a batch ends just now, the last one is the one before that.
            None => self.size.begin(end, -(self.lookback + i64::from(end == self.size.begin(end, 0)))),
        };
        let mut batches = vec![[start, self.size.begin(start, 1)]];
        while let Some([_, at]) = batches.last().copied().filter(|[_, at]| *at < end) {
            if batches.len() >= BATCHES_MAX {
                let message = format!("there would be more than {BATCHES_MAX} batches");
                return Err(Problem::new(ProblemKind::Configuration, message)
                    .hint("set `begin` later, or `batch_size` larger"));
            }
            batches.push([at, self.size.begin(at, 1)]);
        }
        if let Some(last) = batches.last_mut() {
            last[1] = end;
        }
        Ok(batches)
    }
}

/// Reads the time that `--sample` means: `3 days` before now, or a mapping of `start` and `end`, as JSON.
///
/// Errors: it is neither, or ends before it begins.
pub fn sample(said: &Json, now: i64) -> Result<Span, Problem> {
    let wrong = |message: String| {
        Problem::new(ProblemKind::Configuration, message)
            .hint("as `3 days`, or as `{start: 2026-01-01, end: 2026-02-01}`")
    };
    let span = match said {
        Json::String(text) => {
            let (count, size) = text.split_once(' ').unwrap_or((text, ""));
            let count = count.parse::<i64>().map_err(|_| wrong(format!("`{count}` is no whole number")))?;
            let lower = size.to_lowercase();
            let Some(size) = BatchSize::of_name(lower.trim_end_matches('s')) else {
                return Err(wrong(format!("`{size}` is not hours, days, months or years")));
            };
            [size.moved(now, count.saturating_neg()), now]
        }
        Json::Object(map) if map.len() == 2 => {
            let at = |key: &str| {
                let text = map.get(key).and_then(Json::as_str).unwrap_or_default();
                moment(text)
                    .ok_or_else(|| wrong(format!("`{key}` of a sample is a date, or a date and a time")))
            };
            [at("start")?, at("end")?]
        }
        _ => return Err(wrong("a sample is a span of time".into())),
    };
    match span {
        [start, end] if start < end => Ok(span),
        _ => Err(wrong("a sample begins before it ends".into())),
    }
}

/// What two spans have in common; the second's begin twice where that is nothing.
pub fn common(first: Span, second: Span) -> Span {
    [first[0].max(second[0]), first[1].min(second[1])]
}

/// The condition on rows of a span, by a column.
pub fn within(span: Span, column: &str) -> String {
    let [start, end] = span.map(|us| Moment::utc(us).iso(" "));
    format!("{column} >= '{start}' and {column} < '{end}'")
}

/// Reads a date, or a date and a time, as flags and `begin` have them.
pub fn moment(text: &str) -> Option<i64> {
    Moment::parse(text).or_else(|| Moment::parse(&format!("{text} 00:00:00")))
}

/// Whether a model is built in batches.
pub fn is_batched(node: &Node) -> bool {
    node.is_incremental() && node.config_str("incremental_strategy") == Some("microbatch")
}

/// When the first batch of a model begins, as the manifest has it.
pub fn begin(node: &Node) -> Option<String> {
    node.config_str("begin").filter(|_| is_batched(node)).and_then(moment).map(text)
}

/// A moment as flags and `begin` are told, without zone.
pub fn text(us: i64) -> String {
    Moment::utc(us).iso("T").trim_end_matches("+00:00").to_owned()
}

/// The batch that a model is built for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its time.
    pub span: Span,
    /// What it is called.
    pub label: String,
    /// Whether its rows are added to what is there, whatever else is said.
    pub adds: bool,
}

impl Batch {
    /// The moments, as SQL and templates have them.
    pub fn times(&self) -> [String; 2] {
        self.span.map(|us| Moment::utc(us).iso(" "))
    }

    /// What `model.batch` is in templates.
    pub fn json(&self) -> Json {
        let [start, end] = self.times();
        json!({"id": self.label.replace('-', ""), "event_time_start": start, "event_time_end": end})
    }
}

/// What became of batches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batches {
    /// Those that are there.
    pub successful: Vec<Span>,
    /// Those that aren't, or are as they were before.
    pub failed: Vec<Span>,
}

impl Batches {
    /// As `run_results.json` has them.
    pub fn json(&self) -> Json {
        let told = |spans: &[Span]| -> Json {
            spans.iter().map(|span| json!(span.map(|us| Moment::utc(us).iso("T")))).collect()
        };
        json!({"successful": told(&self.successful), "failed": told(&self.failed)})
    }

    /// Reads them there.
    pub fn parse(json: &Json) -> Option<Self> {
        let spans = |key: &str| -> Option<Vec<Span>> {
            let span = |span: &Json| {
                let us = |at: usize| Moment::parse(span.get(at)?.as_str()?);
                Some([us(0)?, us(1)?])
            };
            json.get(key)?.as_array()?.iter().map(span).collect()
        };
        Some(Batches { successful: spans("successful")?, failed: spans("failed")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        moment(text).unwrap()
    }

    fn told(batches: &[Span]) -> Vec<String> {
        batches
            .iter()
            .map(|[start, end]| {
                format!("{}/{}", Moment::utc(*start).iso("T"), Moment::utc(*end).iso("T"))
                    .replace("+00:00", "")
            })
            .collect()
    }

    #[test]
    fn a_batch_begins_with_the_calendar() {
        let now = at("2024-02-29 16:06:00");
        for (size, label, before, behind) in [
            (BatchSize::Hour, "2024-02-29T16", "2024-02-29 15:00:00", "2024-02-29 17:00:00"),
            (BatchSize::Day, "2024-02-29", "2024-02-28", "2024-03-01"),
            (BatchSize::Month, "2024-02", "2024-01-01", "2024-03-01"),
            (BatchSize::Year, "2024", "2023-01-01", "2025-01-01"),
        ] {
            assert_eq!(size.label(size.begin(now, 0)), label);
            assert_eq!((size.begin(now, -1), size.begin(now, 1)), (at(before), at(behind)), "{size:?}");
            assert_eq!((size.ceiling(now), size.ceiling(at(behind))), (at(behind), at(behind)));
        }
        assert_eq!(BatchSize::Month.begin(at("2024-01-31"), -14), at("2022-11-01"));
    }

    #[test]
    fn a_sample_is_so_long_before_now_or_between_two_moments() {
        let now = at("2024-03-31 16:06:00");
        let of = |said: Json| sample(&said, now).map(|span| told(&[span]).remove(0));
        for (said, expected) in [
            (json!("2 hours"), "2024-03-31T14:06:00/2024-03-31T16:06:00"),
            (json!("1 Day"), "2024-03-30T16:06:00/2024-03-31T16:06:00"),
            (json!("1 month"), "2024-02-29T16:06:00/2024-03-31T16:06:00"),
            (json!("13 months"), "2023-02-28T16:06:00/2024-03-31T16:06:00"),
            (json!("1 years"), "2023-03-31T16:06:00/2024-03-31T16:06:00"),
            (
                json!({"start": "2024-01-01", "end": "2024-01-02 10:00:00"}),
                "2024-01-01T00:00:00/2024-01-02T10:00:00",
            ),
        ] {
            assert_eq!(of(said).unwrap(), expected);
        }
        for wrong in [
            json!("3"),
            json!("x days"),
            json!("3 weeks"),
            json!({"start": "2024-01-01"}),
            json!("-1 days"),
            json!(3),
        ] {
            assert!(of(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_last_batches_are_built_again_and_all_of_what_is_new() {
        let settings = Settings { size: BatchSize::Day, lookback: 1, begin: at("2024-01-01 10:00:00") };
        let days = |asked, is_new, now| told(&settings.batches(asked, is_new, at(now)).unwrap());
        assert_eq!(
            days(None, true, "2024-01-02 16:00:00"),
            ["2024-01-01T00:00:00/2024-01-02T00:00:00", "2024-01-02T00:00:00/2024-01-03T00:00:00"]
        );
        let two = ["2024-03-01T00:00:00/2024-03-02T00:00:00", "2024-03-02T00:00:00/2024-03-03T00:00:00"];
        assert_eq!(days(None, false, "2024-03-02 16:00:00"), two);
        assert_eq!(days(None, false, "2024-03-03 00:00:00"), two);
        let asked = Some([at("2024-03-01 12:00:00"), at("2024-03-02 01:00:00")]);
        assert_eq!(days(asked, true, "2026-01-01"), two);
        let hours = Settings { size: BatchSize::Hour, lookback: 0, begin: 0 };
        assert!(hours.batches(None, true, at("2200-01-01")).is_err());
    }

    #[test]
    fn what_became_of_batches_is_read_as_it_was_written() {
        let batches = Batches { successful: vec![[0, HOUR_US]], failed: vec![[HOUR_US, 2 * HOUR_US]] };
        assert_eq!(Batches::parse(&batches.json()), Some(batches));
        assert_eq!(Batches::parse(&Json::Null), None);
    }
}
