//! Endpoints: a SELECT in a file, and the head that says where it answers and what it takes.

use std::time::Duration;

use chrono::{DateTime, NaiveDate};
use millstream_core::Parameter;
use sqlparser::{
    dialect::DuckDbDialect,
    tokenizer::{Token, Tokenizer},
};

use crate::{
    answer::{Prefix, ROWS_MAX},
    problem::Problem,
};

/// Paths that are the program's own, with everything below them.
pub const RESERVED: [&str; 9] =
    ["/ui", "/docs", "/openapi.json", "/tables", "/api", "/connectors", "/metrics", "/live", "/ready"];

/// Parameters that every endpoint has, unless it declares one of the name itself.
pub const COMMON_PARAMETERS: [&str; 4] = ["limit", "offset", "cursor", "as_of"];

/// An endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// Where it answers, such as `/orders/top`.
    pub path: String,
    /// Its file, relative to the project.
    pub file: String,
    /// What it answers, for people.
    pub description: Option<String>,
    /// What it takes, in the order of the head.
    pub params: Vec<Param>,
    /// How old an answer may be; `None`: as old as [`crate::answer::FRESH_FOR`].
    pub cache: Option<Duration>,
    /// Whether it also sends a new result when its tables change.
    pub live: bool,
    /// The roles that it answers, and no others; `None`: those that may call its path.
    pub roles: Option<Vec<String>>,
    /// The SELECT.
    pub sql: String,
    /// The parameter of its outermost LIMIT: see [`limit_parameter`].
    pub limited_by: Option<String>,
}

/// The parameter of a statement's outermost LIMIT, where the statement ends in one and names the parameter nowhere else. Its result with a smaller
/// limit is the beginning of its result with a larger one.
pub fn limit_parameter(sql: &str) -> Option<String> {
    let tokens = Tokenizer::new(&DuckDbDialect {}, sql).tokenize().ok()?;
    let mut tokens = tokens.into_iter().filter(|token| !matches!(token, Token::Whitespace(_))).rev();
    let Some(Token::Placeholder(name)) = tokens.next() else { return None };
    let Some(Token::Word(word)) = tokens.next() else { return None };
    let elsewhere = tokens.any(|token| matches!(token, Token::Placeholder(other) if other == name));
    let limit = word.quote_style.is_none() && word.value.eq_ignore_ascii_case("limit");
    (limit && !elsewhere).then(|| name.trim_start_matches('$').to_owned())
}

/// A parameter of an endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// Its name, in the address and behind `$` in the SQL.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// What it is for, for people.
    pub description: Option<String>,
    /// What it is where it is not given.
    pub default: Option<String>,
    /// Whether it must be given. One that need not be and has no default is NULL.
    pub required: bool,
    /// The only values that it may have; none: all of its kind.
    pub choices: Vec<String>,
    /// The least value.
    pub min: Option<f64>,
    /// The greatest value.
    pub max: Option<f64>,
}

/// What a parameter holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    String,
    /// A whole number of 64 bits.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// `2026-01-31`.
    Date,
    /// `2026-01-31T10:00:00Z`.
    Timestamp,
    /// A UUID.
    Uuid,
}

impl Kind {
    /// Every kind and its name in a head.
    pub const ALL: [(&'static str, Kind); 7] = [
        ("string", Kind::String),
        ("integer", Kind::Integer),
        ("number", Kind::Number),
        ("boolean", Kind::Boolean),
        ("date", Kind::Date),
        ("timestamp", Kind::Timestamp),
        ("uuid", Kind::Uuid),
    ];

    /// Its name in a head.
    pub fn name(self) -> &'static str {
        Kind::ALL.iter().find(|(_, kind)| *kind == self).map_or("string", |(name, _)| name)
    }

    /// In words.
    fn words(self) -> &'static str {
        match self {
            Kind::String => "a text",
            Kind::Integer => "a whole number",
            Kind::Number => "a number",
            Kind::Boolean => "true or false",
            Kind::Date => "a day such as 2026-01-31",
            Kind::Timestamp => "a time with zone such as 2026-01-31T10:00:00Z",
            Kind::Uuid => "a UUID",
        }
    }

    /// A value of it.
    fn read(self, text: &str) -> Option<Parameter> {
        match self {
            // DuckDB's texts hold every character but this one in all of its functions.
            Kind::String => (!text.contains('\0')).then(|| Parameter::Text(text.to_owned())),
            Kind::Integer => text.parse().ok().map(Parameter::Integer),
            Kind::Number => {
                text.parse().ok().filter(|number: &f64| number.is_finite()).map(Parameter::Double)
            }
            Kind::Boolean => text.parse().ok().map(Parameter::Boolean),
            Kind::Date => {
                let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
                let days = day.signed_duration_since(NaiveDate::default()).num_days();
                Some(Parameter::Date(i32::try_from(days).ok()?))
            }
            Kind::Timestamp => {
                let time = DateTime::parse_from_rfc3339(text).ok()?;
                Some(Parameter::Timestamp(time.timestamp_micros()))
            }
            Kind::Uuid => {
                let parts: Vec<_> = text.split('-').map(str::len).collect();
                let hex = text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
                (hex && parts == [8, 4, 4, 4, 12]).then(|| Parameter::Text(text.to_ascii_lowercase()))
            }
        }
    }
}

impl Param {
    /// What it must be, in words.
    pub fn expected(&self) -> String {
        if !self.choices.is_empty() {
            return format!("one of {}", self.choices.join(", "));
        }
        let kind = self.kind.words();
        match (self.min, self.max) {
            (Some(min), Some(max)) => format!("{kind} from {min} to {max}"),
            (Some(min), None) => format!("{kind} of at least {min}"),
            (None, Some(max)) => format!("{kind} of at most {max}"),
            (None, None) => kind.to_owned(),
        }
    }

    /// The value of a text, or what is wrong with it.
    pub fn read(&self, text: &str) -> Result<Parameter, Problem> {
        let wrong = || Problem::parameter(&self.name, self.expected(), text);
        if !self.choices.is_empty() && !self.choices.iter().any(|choice| choice == text) {
            return Err(wrong());
        }
        let value = self.kind.read(text).ok_or_else(wrong)?;
        let number = match value {
            Parameter::Integer(number) => number as f64,
            Parameter::Double(number) => number,
            _ => return Ok(value),
        };
        let low = self.min.is_some_and(|min| number < min);
        let high = self.max.is_some_and(|max| number > max);
        if low || high {
            return Err(wrong());
        }
        Ok(value)
    }
}

impl Endpoint {
    /// The values of its parameters, from what was given by name.
    pub fn bind(&self, given: &[(String, String)]) -> Result<Vec<(String, Parameter)>, Problem> {
        let value = |param: &Param| {
            let mut texts = given.iter().filter(|(name, _)| *name == param.name).map(|(_, text)| text);
            let text = texts.next();
            if texts.next().is_some() {
                return Err(Problem::parameter(&param.name, "given once", "several values"));
            }
            match text.or(param.default.as_ref()) {
                Some(text) => param.read(text),
                None if param.required => Err(Problem::missing_parameter(&param.name, param.expected())),
                None => Ok(Parameter::Null),
            }
        };
        self.params.iter().map(|param| Ok((param.name.clone(), value(param)?))).collect()
    }

    /// That the answer is the beginning of another one, where the only difference between them is a limit: what is asked then is the largest, once
    /// for all of them. `values` are the parameters as bound; the limit among them is raised.
    pub fn raise_limit(&self, values: &mut [(String, Parameter)]) -> Option<Prefix> {
        let name = self.limited_by.as_deref()?;
        let param = self.params.iter().find(|param| param.name == name)?;
        let most = param.max.filter(|max| (0.0..=ROWS_MAX as f64).contains(max))? as usize;
        let (_, value) = values.iter_mut().find(|(bound, _)| bound == name)?;
        let Parameter::Integer(number) = *value else { return None };
        let rows = usize::try_from(number).ok()?;
        *value = Parameter::Integer(i64::try_from(most).ok()?);
        Some(Prefix { rows, of: most })
    }

    /// Whether it declares the parameter itself.
    pub fn declares(&self, name: &str) -> bool {
        self.params.iter().any(|param| param.name == name)
    }

    /// All parameters that it takes.
    pub fn takes(&self) -> impl Iterator<Item = &str> {
        let own = self.params.iter().map(|param| param.name.as_str());
        own.chain(COMMON_PARAMETERS.into_iter().filter(|name| !self.declares(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn param(kind: Kind) -> Param {
        Param {
            name: "p".into(),
            kind,
            description: None,
            default: None,
            required: true,
            choices: Vec::new(),
            min: None,
            max: None,
        }
    }

    #[test]
    fn values_are_exactly_of_their_kind() {
        let read = |kind, text: &str| param(kind).read(text).ok();
        assert_eq!(read(Kind::Integer, "-7"), Some(Parameter::Integer(-7)));
        assert_eq!(read(Kind::Number, "1e3"), Some(Parameter::Double(1000.0)));
        assert_eq!(read(Kind::Date, "1970-01-02"), Some(Parameter::Date(1)));
        assert_eq!(read(Kind::Date, "1969-12-31"), Some(Parameter::Date(-1)));
        assert_eq!(read(Kind::Timestamp, "1970-01-01T01:00:01+01:00"), Some(Parameter::Timestamp(1_000_000)));
        assert_eq!(read(Kind::Boolean, "true"), Some(Parameter::Boolean(true)));
        assert!(read(Kind::Uuid, "A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11").is_some());
        for (kind, text) in [
            (Kind::Integer, "1.0"),
            (Kind::Integer, "9223372036854775808"),
            (Kind::Integer, "1; DROP TABLE x"),
            (Kind::Number, "inf"),
            (Kind::Number, "NaN"),
            (Kind::Boolean, "1"),
            (Kind::Date, "2026-02-30"),
            (Kind::Date, "31.01.2026"),
            (Kind::Timestamp, "2026-01-31T10:00:00"),
            (Kind::Uuid, "a0eebc999c0b4ef8bb6d6bb9bd380a11"),
            (Kind::String, "\0"),
        ] {
            assert_eq!(read(kind, text), None, "{text} as {}", kind.name());
        }
    }

    #[test]
    fn bounds_and_choices_say_what_was_expected() {
        let limited = Param { min: Some(1.0), max: Some(10.0), ..param(Kind::Integer) };
        let problem = limited.read("11").unwrap_err();
        assert_eq!(problem.detail, "p must be a whole number from 1 to 10, not `11`");
        assert_eq!(problem.members["given"], "11");
        assert!(limited.read("1").is_ok() && limited.read("10").is_ok() && limited.read("0").is_err());
        let chosen = Param { choices: vec!["open".into(), "all".into()], ..param(Kind::String) };
        assert!(chosen.read("all").is_ok());
        assert_eq!(chosen.read("none").unwrap_err().detail, "p must be one of open, all, not `none`");
    }

    #[test]
    fn a_limit_at_the_end_is_raised_to_the_most_that_it_may_be() {
        let limited = |sql: &str| limit_parameter(sql);
        assert_eq!(limited("SELECT 1 LIMIT $n -- so many\n"), Some("n".into()));
        for sql in [
            "SELECT 1",
            "SELECT * FROM (SELECT 1 LIMIT $n)",
            "SELECT $n LIMIT $n",
            "SELECT 1 LIMIT $n OFFSET $m",
            "SELECT 1 LIMIT 3",
            "SELECT 1 AS \"limit\" -- LIMIT $n",
            "SELECT 'LIMIT $n",
        ] {
            assert_eq!(limited(sql), None, "{sql}");
        }
        let endpoint = |max| Endpoint {
            path: "/x".into(),
            file: "api/x.sql".into(),
            description: None,
            params: vec![Param { name: "n".into(), max, ..param(Kind::Integer) }],
            cache: None,
            live: false,
            roles: None,
            sql: "SELECT 1 LIMIT $n".into(),
            limited_by: Some("n".into()),
        };
        let raised = |max, value| {
            let mut values = vec![("n".to_owned(), value)];
            let prefix = endpoint(max).raise_limit(&mut values);
            (prefix, values.remove(0).1)
        };
        let three = || Parameter::Integer(3);
        assert_eq!(raised(Some(50.0), three()), (Some(Prefix { rows: 3, of: 50 }), Parameter::Integer(50)));
        assert_eq!(raised(None, three()), (None, three()), "without a bound there is no largest");
        assert_eq!(raised(Some(1e9), three()), (None, three()), "nobody asked for as many");
        assert_eq!(raised(Some(50.0), Parameter::Null), (None, Parameter::Null));
    }

    #[test]
    fn defaults_fill_in_and_what_is_required_must_be_there() {
        let optional = Param { name: "o".into(), required: false, ..param(Kind::Integer) };
        let defaulted = Param { name: "d".into(), default: Some("3".into()), ..optional.clone() };
        let endpoint = |params| Endpoint {
            path: "/x".into(),
            file: "api/x.sql".into(),
            description: None,
            params,
            cache: None,
            live: false,
            roles: None,
            sql: "SELECT 1".into(),
            limited_by: None,
        };
        let bound = endpoint(vec![optional, defaulted]).bind(&[]).unwrap();
        assert_eq!(bound, [("o".into(), Parameter::Null), ("d".into(), Parameter::Integer(3))]);
        let required = endpoint(vec![param(Kind::Integer)]);
        assert_eq!(required.bind(&[]).unwrap_err().code, "MS7102");
        let twice = [("p".into(), "1".into()), ("p".into(), "2".into())];
        assert_eq!(required.bind(&twice).unwrap_err().code, "MS7101");
    }
}
