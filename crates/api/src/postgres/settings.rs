//! What a client sets and asks of its session. Nothing of it reaches the warehouse's own settings.

use std::collections::BTreeMap;

use arrow_array::{cast::AsArray, types::TimestampMicrosecondType};
use millstream_core::{warehouse::AsOf, ColumnType, Lsn, Timestamp, TypeKind};
use millstream_pgoutput::ColumnBuilder;

use super::{
    copy::is_utf8,
    error::{Outcome, WireError},
};

/// The version whose manners are kept: clients choose their queries by it.
pub(super) const SERVER_VERSION: &str = concat!("15.0 (Millstream ", env!("CARGO_PKG_VERSION"), ")");

/// The setting that makes a session's queries read as of a point.
pub(super) const AS_OF: &str = "millstream.as_of";

/// A setting: its name as PostgreSQL spells it, its default, how it may be changed, whether clients are told.
struct Known {
    name: &'static str,
    default: &'static str,
    change: Change,
    reported: bool,
}

/// What may become of a setting.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    /// Kept as the client says; nothing here depends on it.
    Any,
    /// Tells something.
    Fixed,
    /// Only values that mean what is so anyway.
    Utf8,
    /// Values are printed in ISO form, whatever the order of days and months.
    Iso,
    /// Times are printed in UTC.
    Utc,
    /// Everything only reads.
    ReadOnly,
    /// Milliseconds.
    Duration,
    /// A point.
    Point,
}

const fn known(name: &'static str, default: &'static str, change: Change) -> Known {
    Known { name, default, change, reported: false }
}

const fn reported(name: &'static str, default: &'static str, change: Change) -> Known {
    Known { name, default, change, reported: true }
}

/// What clients of PostgreSQL 15 set, show, or are told at the start.
const KNOWN: &[Known] = &[
    reported("application_name", "", Change::Any),
    known("backslash_quote", "safe_encoding", Change::Any),
    known("bytea_output", "hex", Change::Any),
    known("check_function_bodies", "on", Change::Any),
    known("client_connection_check_interval", "0", Change::Any),
    reported("client_encoding", "UTF8", Change::Utf8),
    known("client_min_messages", "notice", Change::Any),
    reported("DateStyle", "ISO, MDY", Change::Iso),
    known("default_tablespace", "", Change::Any),
    known("default_table_access_method", "heap", Change::Any),
    known("default_toast_compression", "pglz", Change::Any),
    known("default_transaction_deferrable", "off", Change::Any),
    known("default_transaction_isolation", "repeatable read", Change::Any),
    reported("default_transaction_read_only", "on", Change::ReadOnly),
    known("enable_hashjoin", "on", Change::Any),
    known("enable_mergejoin", "on", Change::Any),
    known("enable_nestloop", "on", Change::Any),
    known("enable_seqscan", "on", Change::Any),
    known("escape_string_warning", "on", Change::Any),
    known("extra_float_digits", "1", Change::Any),
    known("geqo", "on", Change::Any),
    known("idle_in_transaction_session_timeout", "0", Change::Any),
    known("idle_session_timeout", "0", Change::Any),
    reported("in_hot_standby", "off", Change::Fixed),
    reported("integer_datetimes", "on", Change::Fixed),
    known("intervalstyle", "postgres", Change::Any),
    reported("is_superuser", "off", Change::Fixed),
    known("jit", "off", Change::Any),
    known("lc_collate", "C", Change::Fixed),
    known("lc_ctype", "C", Change::Fixed),
    known("lc_messages", "C", Change::Any),
    known("lc_monetary", "C", Change::Any),
    known("lc_numeric", "C", Change::Any),
    known("lc_time", "C", Change::Any),
    known("lock_timeout", "0", Change::Any),
    known("max_identifier_length", "63", Change::Fixed),
    known("max_index_keys", "32", Change::Fixed),
    known(AS_OF, "", Change::Point),
    known("password_encryption", "scram-sha-256", Change::Any),
    known("plan_cache_mode", "auto", Change::Any),
    known("quote_all_identifiers", "off", Change::Any),
    known("role", "none", Change::Any),
    known("row_security", "on", Change::Any),
    known("search_path", "\"$user\", public", Change::Any),
    known("server_encoding", "UTF8", Change::Fixed),
    reported("server_version", SERVER_VERSION, Change::Fixed),
    known("server_version_num", "150000", Change::Fixed),
    known("session_replication_role", "origin", Change::Any),
    known("ssl", "off", Change::Fixed),
    reported("standard_conforming_strings", "on", Change::Fixed),
    known("statement_timeout", "0", Change::Duration),
    known("synchronize_seqscans", "on", Change::Any),
    known("synchronous_commit", "on", Change::Any),
    reported("TimeZone", "UTC", Change::Utc),
    known("transaction_deferrable", "off", Change::Any),
    known("transaction_isolation", "repeatable read", Change::Any),
    known("transaction_read_only", "on", Change::ReadOnly),
    known("transform_null_equals", "off", Change::Any),
    known("vacuum_freeze_min_age", "50000000", Change::Any),
    known("wal_level", "replica", Change::Fixed),
    known("work_mem", "4MB", Change::Any),
    known("xmlbinary", "base64", Change::Any),
    known("xmloption", "content", Change::Any),
];

/// The longest value of a setting that is kept, in bytes.
const VALUE_BYTES_MAX: usize = 4096;

/// Settings of extensions (`myapp.user`) that are kept, as many as anybody sets.
const CUSTOM_MAX: usize = 64;

fn find(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name.eq_ignore_ascii_case(name))
}

/// A session's settings.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    /// What differs from the defaults of the session, by lower-case name.
    values: BTreeMap<String, String>,
    /// What the session began with.
    defaults: BTreeMap<String, String>,
    user: String,
    as_of: Option<AsOf>,
}

impl Settings {
    /// Of a session that begins, with what its client asks for.
    pub(super) fn new(user: &str, parameters: &[(String, String)]) -> Outcome<Self> {
        let mut settings = Settings { user: user.to_owned(), ..Settings::default() };
        for (name, value) in parameters {
            match name.as_str() {
                "user" | "database" | "replication" | "options" => {}
                name if name.starts_with("_pq_.") => {}
                name => settings.begin_with(name, value)?,
            }
        }
        let options = parameters.iter().find(|(name, _)| name == "options");
        for (name, value) in options.map_or_else(Vec::new, |(_, value)| of_options(value)) {
            settings.begin_with(&name, &value)?;
        }
        settings.defaults.clone_from(&settings.values);
        Ok(settings)
    }

    /// What a client asks for at the start and is not known is let go: newer clients name what older servers don't have.
    fn begin_with(&mut self, name: &str, value: &str) -> Outcome<()> {
        match self.set(name, Some(value)) {
            Err(WireError::NoSuchSetting(_)) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Sets one; `None`: its default. Tells what clients must be told, and what it will not do.
    pub(super) fn set(&mut self, name: &str, value: Option<&str>) -> Outcome<Changed> {
        let key = name.to_ascii_lowercase();
        let known = find(&key);
        if known.is_none() && !key.contains('.') {
            return match key.as_str() {
                // Who a client is changes nothing of what it may read.
                "session_authorization" => Ok(Changed::default()),
                _ => Err(WireError::NoSuchSetting(name.to_owned())),
            };
        }
        let Some(value) = value else {
            match self.defaults.get(&key) {
                Some(default) => self.values.insert(key.clone(), default.clone()),
                None => self.values.remove(&key),
            };
            if key == AS_OF {
                self.as_of = self.values.get(AS_OF).and_then(|value| point(value));
            }
            return Ok(self.changed(known, None));
        };
        let wrong =
            |expected| WireError::SettingValue { name: name.to_owned(), value: value.to_owned(), expected };
        if value.len() > VALUE_BYTES_MAX {
            return Err(wrong("a shorter one"));
        }
        let mut notice = None;
        let mut kept = value.to_owned();
        match known.map_or(Change::Any, |known| known.change) {
            Change::Any => {
                let custom = self.values.keys().filter(|key| find(key).is_none()).count();
                if known.is_none() && custom >= CUSTOM_MAX {
                    return Err(WireError::TooMany { what: "settings of its own", max: CUSTOM_MAX });
                }
            }
            Change::Fixed => return Err(WireError::FixedSetting(name.to_owned())),
            Change::Utf8 if is_utf8(value) => kept = "UTF8".into(),
            Change::Utf8 => return Err(wrong("UTF8")),
            Change::Iso => {
                let iso = |word: &str| {
                    ["iso", "mdy", "dmy", "ymd", "us", "european", "default"]
                        .contains(&word.trim().to_ascii_lowercase().as_str())
                };
                if !value.split(',').all(iso) {
                    return Err(wrong("ISO"));
                }
                kept = "ISO, MDY".into();
            }
            Change::Utc => {
                let zero = [
                    "utc",
                    "gmt",
                    "etc/utc",
                    "etc/gmt",
                    "zulu",
                    "z",
                    "0",
                    "+00",
                    "+00:00",
                    "universal",
                    "local",
                    "default",
                ];
                if !zero.contains(&value.to_ascii_lowercase().as_str()) {
                    notice = Some(format!("times are given in UTC here, not in {value}"));
                }
                kept = "UTC".into();
            }
            Change::ReadOnly => {
                if matches!(value.to_ascii_lowercase().as_str(), "off" | "false" | "no" | "0" | "f" | "n") {
                    notice = Some("the warehouse can only be read".into());
                }
                kept = "on".into();
            }
            Change::Duration => {
                kept = milliseconds(value).ok_or_else(|| wrong("a time such as 500ms or 2min"))?.to_string()
            }
            Change::Point if value.is_empty() => self.as_of = None,
            Change::Point => {
                let point = point(value);
                self.as_of = Some(point.ok_or_else(|| {
                    wrong(
                        "a time with its zone, such as 2026-01-31 12:00:00+00, or an LSN, such as 0/16B3748",
                    )
                })?);
            }
        }
        self.values.insert(key, kept);
        Ok(self.changed(known, notice))
    }

    fn changed(&self, known: Option<&'static Known>, notice: Option<String>) -> Changed {
        let reported = known.filter(|known| known.reported);
        Changed { report: reported.map(|known| (known.name, self.of(known))), notice }
    }

    fn of(&self, known: &Known) -> String {
        self.values.get(&known.name.to_ascii_lowercase()).map_or(known.default, String::as_str).to_owned()
    }

    /// What a setting is.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        match (find(name), name) {
            (Some(known), _) => Some(self.of(known)),
            (None, "session_authorization") => Some(self.user.clone()),
            (None, _) => self.values.get(&name.to_ascii_lowercase()).cloned(),
        }
    }

    /// A setting's name as SHOW heads its column.
    pub(super) fn spelled(name: &str) -> String {
        find(name).map_or_else(|| name.to_owned(), |known| known.name.to_owned())
    }

    /// All of them, by name.
    pub(super) fn all(&self) -> Vec<(String, String)> {
        KNOWN.iter().map(|known| (known.name.to_owned(), self.of(known))).collect()
    }

    /// Those that a client is told at the start.
    pub(super) fn reports(&self) -> Vec<(String, String)> {
        let mut reports: Vec<_> = KNOWN
            .iter()
            .filter(|known| known.reported)
            .map(|known| (known.name.to_owned(), self.of(known)))
            .collect();
        reports.push(("session_authorization".into(), self.user.clone()));
        reports
    }

    /// Everything as the session began. Tells what clients must be told.
    pub(super) fn reset(&mut self) -> Vec<(&'static str, String)> {
        let before = std::mem::replace(&mut self.values, self.defaults.clone());
        self.as_of = self.values.get(AS_OF).and_then(|value| point(value));
        let differs = |known: &&Known| {
            let key = known.name.to_ascii_lowercase();
            known.reported && before.get(&key).map_or(known.default, String::as_str) != self.of(known)
        };
        KNOWN.iter().filter(differs).map(|known| (known.name, self.of(known))).collect()
    }

    /// The point that queries read as of.
    pub(super) fn as_of(&self) -> Option<AsOf> {
        self.as_of
    }

    /// The time limit that the client sets on its statements, in milliseconds.
    pub(super) fn statement_timeout(&self) -> Option<u64> {
        let value = self.values.get("statement_timeout")?;
        value.parse().ok().filter(|milliseconds| *milliseconds > 0)
    }
}

/// What came of setting something.
#[derive(Debug, Default)]
pub(super) struct Changed {
    /// Name and value, if clients are told of it.
    pub(super) report: Option<(&'static str, String)>,
    /// What was not done as asked.
    pub(super) notice: Option<String>,
}

/// `-c name=value --name=value`, a backslash before a blank that belongs to a value.
fn of_options(text: &str) -> Vec<(String, String)> {
    let mut words = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let last = words.len() - 1;
        match character {
            '\\' => words[last].extend(characters.next()),
            character if character.is_whitespace() => words.push(String::new()),
            character => words[last].push(character),
        }
    }
    let mut options = Vec::new();
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        let pair = match word.strip_prefix("-c") {
            Some("") => words.next().unwrap_or_default(),
            Some(pair) => pair.to_owned(),
            None => word.strip_prefix("--").unwrap_or_default().to_owned(),
        };
        if let Some((name, value)) = pair.split_once('=') {
            options.push((name.replace('-', "_"), value.to_owned()));
        }
    }
    options
}

fn milliseconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let unit = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let number: u64 = text[..unit].trim().parse().ok()?;
    number.checked_mul(match text[unit..].trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    })
}

/// An LSN, or a time with its zone. A time without one would be a guess.
fn point(text: &str) -> Option<AsOf> {
    if let Ok(lsn) = text.parse::<Lsn>() {
        return Some(AsOf::Lsn(lsn));
    }
    let text = text.trim().replacen(['T', 't'], " ", 1);
    let clock = text.split_once(' ')?.1;
    if !clock.ends_with(['Z', 'z']) && !clock.contains(['+', '-']) {
        return None;
    }
    let text = match text.strip_suffix(['Z', 'z']) {
        Some(bare) => format!("{bare}+00"),
        None => text,
    };
    let mut builder = ColumnBuilder::new(&TypeKind::TimestampTz, &ColumnType::TimestampTz, 1);
    builder.push_text(text.as_bytes()).ok()?;
    let array = builder.finish();
    Some(AsOf::Time(Timestamp(array.as_primitive_opt::<TimestampMicrosecondType>()?.value(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_refused_or_said_to_be_without_effect() {
        let mut settings = Settings::new("ann", &[("application_name".into(), "psql".into())]).unwrap();
        assert_eq!(settings.get("Application_Name").as_deref(), Some("psql"));
        let changed = settings.set("application_name", Some("x")).unwrap();
        assert_eq!(changed.report, Some(("application_name", "x".into())));
        assert!(settings.set("timezone", Some("Europe/Berlin")).unwrap().notice.is_some());
        assert_eq!(settings.get("TimeZone").as_deref(), Some("UTC"));
        settings.set("datestyle", Some("ISO, DMY")).unwrap();
        for (name, value) in [
            ("client_encoding", "LATIN1"),
            ("datestyle", "German"),
            ("server_version", "9"),
            ("frobnicate", "1"),
            ("statement_timeout", "soon"),
            (AS_OF, "yesterday"),
            (AS_OF, "2026-01-01 00:00:00"),
        ] {
            assert!(settings.set(name, Some(value)).is_err(), "{name}");
        }
        settings.set("app.user", Some("7")).unwrap();
        assert_eq!(settings.get("app.user").as_deref(), Some("7"));
        assert_eq!(settings.reset(), [("application_name", "psql".to_owned())]);
        assert_eq!(settings.get("app.user"), None);
    }

    #[test]
    fn a_point_is_an_lsn_or_a_time_with_its_zone() {
        let mut settings = Settings::default();
        settings.set(AS_OF, Some("0/16B3748")).unwrap();
        assert_eq!(settings.as_of(), Some(AsOf::Lsn(Lsn(0x16b_3748))));
        for text in ["2026-01-31 12:00:00+00", "2026-01-31T12:00:00Z", "2026-01-31T13:00:00+01:00"] {
            settings.set(AS_OF, Some(text)).unwrap();
            assert_eq!(settings.as_of(), Some(AsOf::Time(Timestamp(1_769_860_800_000_000))), "{text}");
        }
        settings.set(AS_OF, None).unwrap();
        assert_eq!(settings.as_of(), None);
    }

    #[test]
    fn options_are_read_as_the_servers_command_line() {
        let options = of_options("-c statement_timeout=5min --search-path=a\\ b -cgeqo=off nonsense");
        let names: Vec<_> = options.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(names, [("statement_timeout", "5min"), ("search_path", "a b"), ("geqo", "off")]);
        let settings = Settings::new("a", &[("options".into(), "-c statement_timeout=5min".into())]).unwrap();
        assert_eq!(settings.statement_timeout(), Some(300_000));
    }
}
