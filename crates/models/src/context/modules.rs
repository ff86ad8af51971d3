//! `modules`: the parts of Python's `datetime`, `re` and `itertools` that projects use.

use std::any::Any;

use super::{
    base::{function, warn},
    patterns,
};
use crate::{
    jinja::{fail, Args, Eval, Interpreter, JinjaError, Object, Value},
    warning::{WarnErrors, Warning},
};

const DAY_US: i64 = 86_400_000_000;

/// `modules`.
pub struct Modules {
    /// Which warnings are errors: dbt means to give `itertools` up.
    pub warn_errors: WarnErrors,
}

impl Object for Modules {
    fn type_name(&self) -> &'static str {
        "modules"
    }

    fn attribute(&self, _: &Interpreter, name: &str) -> Option<Value> {
        ["datetime", "re", "itertools"].iter().find(|known| **known == name).map(|known| match *known {
            "itertools" => Value::object(Itertools { warn_errors: self.warn_errors.clone() }),
            known => Value::object(Module(known)),
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `modules.datetime` and its like, and the classes in them.
struct Module(&'static str);

impl Object for Module {
    fn type_name(&self) -> &'static str {
        "module"
    }

    fn attribute(&self, _: &Interpreter, name: &str) -> Option<Value> {
        Some(match (self.0, name) {
            ("datetime", "datetime") => Value::object(Module("datetime.datetime")),
            ("datetime", "date") => Value::object(Module("datetime.date")),
            ("datetime", "timedelta") => function(|_, args| timedelta(args)),
            ("re", _) => return patterns::flag(name),
            _ => return None,
        })
    }

    fn call(&self, _: &Interpreter, args: Args) -> Eval<Value> {
        match self.0 {
            "datetime.datetime" | "datetime.date" => {
                let [year, month, day, hour, minute, second] =
                    args.bind("datetime", ["year", "month", "day", "hour", "minute", "second"])?;
                let number = |value: Option<Value>| value.and_then(|value| value.as_int()).unwrap_or(0);
                let days =
                    days_from_civil(number(year), number(month).clamp(1, 12), number(day).clamp(1, 31));
                let seconds = number(hour) * 3600 + number(minute) * 60 + number(second);
                Ok(Value::object(Moment {
                    us: days * DAY_US + seconds * 1_000_000,
                    zone: false,
                    date_only: self.0 == "datetime.date",
                }))
            }
            _ => fail("a module is not callable"),
        }
    }

    fn is_callable(&self) -> bool {
        self.0.contains('.')
    }

    fn call_method(&self, interpreter: &Interpreter, name: &str, args: Args) -> Eval<Value> {
        match (self.0, name) {
            ("datetime.datetime", "now" | "utcnow" | "today") => {
                Ok(Value::object(Moment { us: now_us(), zone: false, date_only: false }))
            }
            ("datetime.date", "today") => {
                Ok(Value::object(Moment { us: now_us(), zone: false, date_only: true }.date()))
            }
            ("datetime.datetime", "strptime") => {
                let [text, format] = args.bind("strptime", ["date_string", "format"])?;
                let text = text.unwrap_or(Value::None).to_string();
                strptime(&text, &format.unwrap_or(Value::None).to_string())
            }
            ("datetime.datetime" | "datetime.date", "fromisoformat") => {
                let [text] = args.bind("fromisoformat", ["date_string"])?;
                let text = text.unwrap_or(Value::None).to_string().replace('T', " ");
                let format = if text.contains(' ') { "%Y-%m-%d %H:%M:%S" } else { "%Y-%m-%d" };
                strptime(&text, format)
            }
            ("re", _) => patterns::call(interpreter, name, args),
            _ => match self.attribute(interpreter, name) {
                Some(attribute) => attribute.call(interpreter, args),
                None => Err(unsupported(format!("modules.{}.{name}", self.0))),
            },
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `modules.itertools`.
struct Itertools {
    warn_errors: WarnErrors,
}

impl Object for Itertools {
    fn type_name(&self) -> &'static str {
        "module"
    }

    fn call_method(&self, _: &Interpreter, name: &str, args: Args) -> Eval<Value> {
        let text = "`modules.itertools` is one that dbt means to give up: write a macro for it";
        warn(&self.warn_errors, &Warning::of("ModulesItertoolsUsageDeprecation", text))
            .map_err(|error| JinjaError::new(error.describe()))?;
        match name {
            "product" => {
                let mut rows: Vec<Vec<Value>> = vec![Vec::new()];
                for list in &args.positional {
                    let items = list.items()?;
                    if rows.len().saturating_mul(items.len()) > 1_000_000 {
                        return fail("a product of more than a million");
                    }
                    rows = rows
                        .iter()
                        .flat_map(|row| {
                            items.iter().map(move |item| [&row[..], std::slice::from_ref(item)].concat())
                        })
                        .collect();
                }
                Ok(Value::list(rows.into_iter().map(Value::tuple)))
            }
            "chain" => {
                let mut all = Vec::new();
                for list in &args.positional {
                    all.extend(list.items()?);
                }
                Ok(Value::list(all))
            }
            _ => Err(unsupported(format!("modules.itertools.{name}"))),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

pub(super) fn unsupported(what: String) -> crate::jinja::Interrupt {
    let mut error = JinjaError::new(format!("`{what}` is not supported yet"));
    error.unsupported = true;
    error.into()
}

fn now_us() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as i64)
}

/// A moment or a date of Python's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    us: i64,
    zone: bool,
    date_only: bool,
}

/// Days since 1970-01-01 of a date of the Gregorian calendar.
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

impl Moment {
    /// A moment of UTC.
    pub fn utc(us: i64) -> Self {
        Moment { us, zone: true, date_only: false }
    }

    /// Reads `2024-01-31 10:20:30.5+02`, as warehouses write it, to microseconds since 1970. Without a zone it is of UTC.
    pub fn parse(text: &str) -> Option<i64> {
        let (date, rest) = text.split_once([' ', 'T'])?;
        let at = rest.find(['+', '-', 'Z']).unwrap_or(rest.len());
        let (time, zone) = rest.split_at(at);
        let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
        let numbers = |text: &str, by: char| -> Option<Vec<i64>> {
            text.split(by).map(|part| part.parse().ok()).collect()
        };
        let ([year, month, day], [hour, minute, second]) =
            (numbers(date, '-')?.try_into().ok()?, numbers(time, ':')?.try_into().ok()?);
        let fraction: i64 = format!("{fraction:0<6.6}").parse().ok()?;
        let zone = match zone.trim_start_matches('Z') {
            "" => 0,
            zone => {
                let parts = numbers(&zone[1..], ':')?;
                let seconds: i64 = parts.iter().zip([3600, 60, 1]).map(|(part, unit)| part * unit).sum();
                if zone.starts_with('-') {
                    -seconds
                } else {
                    seconds
                }
            }
        };
        let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - zone;
        Some(seconds * 1_000_000 + fraction)
    }

    /// A time as a warehouse writes it; one of a zone other than UTC is `None`, for it would not be printed with that.
    pub fn read(text: &str) -> Option<Self> {
        let zone = text.ends_with("+00");
        let time = text.split_once(' ').map_or(text, |(_, time)| time);
        if !zone && time.contains(['+', '-']) {
            return None;
        }
        Some(Moment { us: Moment::parse(text)?, zone, date_only: false })
    }

    /// A date as a warehouse writes it.
    pub fn read_date(text: &str) -> Option<Self> {
        let us = Moment::parse(&format!("{text} 00:00:00"))?;
        Some(Moment { us, zone: false, date_only: true })
    }

    /// Whether it is a date without time.
    pub fn is_date(&self) -> bool {
        self.date_only
    }

    /// In microseconds since 1970, UTC.
    pub fn us(&self) -> i64 {
        self.us
    }

    /// Year, month and day.
    pub fn date_parts(self) -> [i64; 3] {
        let [year, month, day, ..] = self.parts();
        [year, month, day]
    }

    /// When a day begins, in microseconds since 1970, UTC.
    pub fn of_date(year: i64, month: i64, day: i64) -> i64 {
        days_from_civil(year, month, day) * DAY_US
    }

    fn date(self) -> Self {
        Moment { us: self.us.div_euclid(DAY_US) * DAY_US, zone: false, date_only: true }
    }

    fn parts(self) -> [i64; 7] {
        let (year, month, day) = civil_from_days(self.us.div_euclid(DAY_US));
        let rest = self.us.rem_euclid(DAY_US);
        let seconds = rest / 1_000_000;
        [year, month, day, seconds / 3600, seconds / 60 % 60, seconds % 60, rest % 1_000_000]
    }

    /// ISO 8601 with this between date and time.
    pub fn iso(self, between: &str) -> String {
        let [year, month, day, hour, minute, second, us] = self.parts();
        let date = format!("{year:04}-{month:02}-{day:02}");
        if self.date_only {
            return date;
        }
        let fraction = if us == 0 { String::new() } else { format!(".{us:06}") };
        let zone = if self.zone { "+00:00" } else { "" };
        format!("{date}{between}{hour:02}:{minute:02}:{second:02}{fraction}{zone}")
    }

    fn strftime(self, format: &str) -> String {
        let [year, month, day, hour, minute, second, us] = self.parts();
        let days = self.us.div_euclid(DAY_US);
        let weekday = (days + 3).rem_euclid(7);
        let mut out = String::new();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            let text = match chars.next() {
                Some('Y') => format!("{year:04}"),
                Some('m') => format!("{month:02}"),
                Some('d') => format!("{day:02}"),
                Some('H') => format!("{hour:02}"),
                Some('I') => format!("{:02}", (hour + 11) % 12 + 1),
                Some('p') => (if hour < 12 { "AM" } else { "PM" }).into(),
                Some('M') => format!("{minute:02}"),
                Some('S') => format!("{second:02}"),
                Some('f') => format!("{us:06}"),
                Some('y') => format!("{:02}", year % 100),
                Some('j') => format!("{:03}", days - days_from_civil(year, 1, 1) + 1),
                Some('B') => MONTHS[month as usize - 1].into(),
                Some('b') => MONTHS[month as usize - 1][..3].into(),
                Some('A') => WEEKDAYS[weekday as usize].into(),
                Some('a') => WEEKDAYS[weekday as usize][..3].into(),
                Some('u') => (weekday + 1).to_string(),
                Some('w') => ((weekday + 1) % 7).to_string(),
                Some('s') => self.us.div_euclid(1_000_000).to_string(),
                Some('z') => (if self.zone { "+0000" } else { "" }).into(),
                Some('Z') => (if self.zone { "UTC" } else { "" }).into(),
                Some('F') => format!("{year:04}-{month:02}-{day:02}"),
                Some('T') => format!("{hour:02}:{minute:02}:{second:02}"),
                Some('%') => "%".into(),
                Some(other) => format!("%{other}"),
                None => "%".into(),
            };
            out.push_str(&text);
        }
        out
    }
}

impl Object for Moment {
    fn type_name(&self) -> &'static str {
        if self.date_only {
            "date"
        } else {
            "datetime"
        }
    }

    fn attribute(&self, _: &Interpreter, name: &str) -> Option<Value> {
        let names = ["year", "month", "day", "hour", "minute", "second", "microsecond"];
        let at = names.iter().position(|known| *known == name)?;
        Some(Value::Int(self.parts()[at]))
    }

    fn call_method(&self, _: &Interpreter, name: &str, args: Args) -> Eval<Value> {
        match name {
            "strftime" => {
                let [format] = args.bind("strftime", ["format"])?;
                Ok(Value::from(self.strftime(&format.unwrap_or(Value::None).to_string())))
            }
            "isoformat" => Ok(Value::from(self.iso("T"))),
            "date" => Ok(Value::object(self.date())),
            "timestamp" => Ok(Value::Float(self.us as f64 / 1e6)),
            "weekday" => Ok(Value::Int((self.us.div_euclid(DAY_US) + 3).rem_euclid(7))),
            "isoweekday" => Ok(Value::Int((self.us.div_euclid(DAY_US) + 3).rem_euclid(7) + 1)),
            "replace" => {
                let mut parts = self.parts();
                for (index, part) in
                    ["year", "month", "day", "hour", "minute", "second", "microsecond"].iter().enumerate()
                {
                    let given = args.named.iter().find(|(key, _)| &**key == *part);
                    if let Some(value) = given.and_then(|(_, value)| value.as_int()) {
                        parts[index] = value;
                    }
                }
                let [year, month, day, hour, minute, second, us] = parts;
                let seconds = hour * 3600 + minute * 60 + second;
                let us = days_from_civil(year, month.clamp(1, 12), day) * DAY_US + seconds * 1_000_000 + us;
                let zone = self.zone && !args.named.iter().any(|(key, _)| &**key == "tzinfo");
                Ok(Value::object(Moment { us, zone, ..*self }))
            }
            _ => Err(unsupported(format!("{}.{name}", self.type_name()))),
        }
    }

    fn operate(&self, operator: &str, right: &Value) -> Option<Eval<Value>> {
        if let Some(delta) = right.downcast::<Delta>() {
            let us = match operator {
                "+" | "r+" => self.us + delta.0,
                "-" => self.us - delta.0,
                _ => return None,
            };
            return Some(Ok(Value::object(Moment { us, ..*self })));
        }
        let other = right.downcast::<Moment>()?;
        match operator {
            "-" => Some(Ok(Value::object(Delta(self.us - other.us)))),
            "cmp" => Some(Ok(Value::Int(self.us.cmp(&other.us) as i64))),
            _ => None,
        }
    }

    fn equals(&self, other: &Value) -> bool {
        other.downcast::<Moment>().is_some_and(|other| self.us == other.us)
    }

    fn text(&self) -> String {
        self.iso(" ")
    }

    fn repr(&self) -> String {
        let [year, month, day, hour, minute, second, us] = self.parts();
        if self.date_only {
            return format!("datetime.date({year}, {month}, {day})");
        }
        let rest = [second, us];
        let rest = &rest[..rest.iter().rposition(|part| *part != 0).map_or(0, |at| at + 1)];
        let rest: String = rest.iter().map(|part| format!(", {part}")).collect();
        let zone = if self.zone { ", tzinfo=<UTC>" } else { "" };
        format!("datetime.datetime({year}, {month}, {day}, {hour}, {minute}{rest}{zone})")
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `timedelta`, in microseconds.
#[derive(Debug, Clone, Copy)]
struct Delta(i64);

fn timedelta(args: Args) -> Eval<Value> {
    let units = [
        ("days", DAY_US),
        ("seconds", 1_000_000),
        ("microseconds", 1),
        ("milliseconds", 1000),
        ("minutes", 60_000_000),
        ("hours", 3_600_000_000),
        ("weeks", 7 * DAY_US),
    ];
    let given = args.bind("timedelta", units.map(|(name, _)| name))?;
    let parts = given.into_iter().zip(units);
    let us = parts.map(|(value, (_, unit))| value.and_then(|v| v.as_float()).unwrap_or(0.0) * unit as f64);
    Ok(Value::object(Delta(us.sum::<f64>().round() as i64)))
}

impl Object for Delta {
    fn type_name(&self) -> &'static str {
        "timedelta"
    }

    fn attribute(&self, _: &Interpreter, name: &str) -> Option<Value> {
        match name {
            "days" => Some(Value::Int(self.0.div_euclid(DAY_US))),
            "seconds" => Some(Value::Int(self.0.rem_euclid(DAY_US) / 1_000_000)),
            _ => None,
        }
    }

    fn call_method(&self, _: &Interpreter, name: &str, _: Args) -> Eval<Value> {
        match name {
            "total_seconds" => Ok(Value::Float(self.0 as f64 / 1e6)),
            _ => Err(unsupported(format!("timedelta.{name}"))),
        }
    }

    fn operate(&self, operator: &str, right: &Value) -> Option<Eval<Value>> {
        let other = right.downcast::<Delta>()?;
        match operator {
            "+" => Some(Ok(Value::object(Delta(self.0 + other.0)))),
            "-" => Some(Ok(Value::object(Delta(self.0 - other.0)))),
            "cmp" => Some(Ok(Value::Int(self.0.cmp(&other.0) as i64))),
            _ => None,
        }
    }

    fn equals(&self, other: &Value) -> bool {
        other.downcast::<Delta>().is_some_and(|other| self.0 == other.0)
    }

    fn text(&self) -> String {
        let (days, rest) = (self.0.div_euclid(DAY_US), self.0.rem_euclid(DAY_US) / 1_000_000);
        let time = format!("{}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
        match days {
            0 => time,
            1 | -1 => format!("{days} day, {time}"),
            _ => format!("{days} days, {time}"),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn strptime(text: &str, format: &str) -> Eval<Value> {
    let wrong = || fail(format!("time data '{text}' does not match format '{format}'"));
    let mut rest = text;
    let (mut year, mut month, mut day, mut seconds, mut us) = (1900, 1, 1, 0, 0);
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        let directive = if c == '%' { chars.next() } else { None };
        let Some(directive) = directive else {
            match rest.strip_prefix(c) {
                Some(after) => rest = after,
                None => return wrong(),
            }
            continue;
        };
        let width = match directive {
            'Y' => 4,
            'f' => 6,
            _ => 2,
        };
        let digits = rest.bytes().take(width).take_while(u8::is_ascii_digit).count();
        let Ok(number) = rest[..digits].parse::<i64>() else { return wrong() };
        rest = &rest[digits..];
        match directive {
            'Y' => year = number,
            'y' => year = if number < 69 { 2000 + number } else { 1900 + number },
            'm' if (1..=12).contains(&number) => month = number,
            'd' if (1..=31).contains(&number) => day = number,
            'H' if number < 24 => seconds += number * 3600,
            'M' if number < 60 => seconds += number * 60,
            'S' if number < 62 => seconds += number,
            'f' => us = number * 10i64.pow(6 - digits as u32),
            _ => return wrong(),
        }
    }
    if !rest.is_empty() {
        return wrong();
    }
    let us = days_from_civil(year, month, day) * DAY_US + seconds * 1_000_000 + us;
    Ok(Value::object(Moment { us, zone: false, date_only: false }))
}
