//! How old the rows of a source may be: what its YAML says on four levels, merged as dbt merges it.

use serde_json::{json, Map, Value as Json};

/// An age: so many minutes, hours or days.
#[derive(Debug, Clone, Default, PartialEq)]
struct Age {
    count: Option<i64>,
    period: Option<String>,
}

/// From which ages on to warn and to fail.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    warn_after: Option<Age>,
    error_after: Option<Age>,
    /// A condition on the rows that are looked at.
    pub filter: Option<String>,
}

/// What an age comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Young enough.
    Pass,
    /// Older than `warn_after`.
    Warn,
    /// Older than `error_after`.
    Error,
}

impl Verdict {
    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Warn => "warn",
            Verdict::Error => "error",
        }
    }
}

impl Age {
    fn read(json: &Json) -> Result<Option<Self>, String> {
        let map = match json {
            Json::Null => return Ok(None),
            Json::Object(map) => map,
            other => return Err(format!("an age is a `count` and a `period`, not {other}")),
        };
        let count = match map.get("count") {
            None | Some(Json::Null) => None,
            Some(Json::Number(number)) if number.is_i64() => number.as_i64(),
            Some(Json::String(text)) if text.parse::<i64>().is_ok() => text.parse().ok(),
            Some(other) => return Err(format!("`count` is a whole number, not {other}")),
        };
        let period = match map.get("period") {
            None | Some(Json::Null) => None,
            Some(Json::String(period)) if seconds(period).is_some() => Some(period.clone()),
            Some(other) => return Err(format!("`period` is minute, hour or day, not {other}")),
        };
        Ok(Some(Age { count, period }))
    }

    fn is_said(&self) -> bool {
        self.count.is_some() && self.period.is_some()
    }

    fn is_passed(&self, age_seconds: f64) -> bool {
        let unit = self.period.as_deref().and_then(seconds);
        matches!((self.count, unit), (Some(count), Some(unit)) if age_seconds > (count * unit) as f64)
    }

    fn to_json(&self) -> Json {
        json!({"count": self.count, "period": self.period})
    }

    fn merged(base: Option<&Age>, more: Option<&Age>) -> Option<Age> {
        let more = more?;
        match base {
            Some(base) if base.is_said() && more.is_said() => Some(Age {
                count: more.count.or(base.count),
                period: more.period.clone().or_else(|| base.period.clone()),
            }),
            _ if more.is_said() => Some(more.clone()),
            _ => base.cloned(),
        }
    }
}

fn seconds(period: &str) -> Option<i64> {
    match period {
        "minute" => Some(60),
        "hour" => Some(3_600),
        "day" => Some(86_400),
        _ => None,
    }
}

impl Threshold {
    /// Reads what one level says: nothing, that there is none (`null`), or ages.
    ///
    /// Errors: it is no mapping, or an age is none; for people.
    pub fn read(said: Option<&Json>) -> Result<Option<Self>, String> {
        let none = Map::new();
        let map = match said {
            None => &none,
            Some(Json::Null) => return Ok(None),
            Some(Json::Object(map)) => map,
            Some(other) => return Err(format!("freshness is a mapping or null, not {other}")),
        };
        let age = |key: &str| map.get(key).map_or(Ok(Some(Age::default())), Age::read);
        let filter = map.get("filter").and_then(Json::as_str).map(str::to_owned);
        Ok(Some(Threshold { warn_after: age("warn_after")?, error_after: age("error_after")?, filter }))
    }

    /// Whether there is an age from which on something is told.
    pub fn is_said(&self) -> bool {
        [&self.warn_after, &self.error_after].into_iter().flatten().any(Age::is_said)
    }

    /// What several levels come to, outermost first.
    pub fn merged(levels: [Option<Threshold>; 4]) -> Option<Threshold> {
        let [first, rest @ ..] = levels;
        rest.into_iter().fold(first, |base, more| match (base, more) {
            (Some(base), Some(more)) => Some(Threshold {
                warn_after: Age::merged(base.warn_after.as_ref(), more.warn_after.as_ref()),
                error_after: Age::merged(base.error_after.as_ref(), more.error_after.as_ref()),
                filter: more.filter.or(base.filter),
            }),
            (None, Some(more)) if more.is_said() => Some(more),
            _ => None,
        })
    }

    /// What rows of this age come to.
    pub fn verdict(&self, age_seconds: f64) -> Verdict {
        let passed = |age: &Option<Age>| age.as_ref().is_some_and(|age| age.is_passed(age_seconds));
        match (passed(&self.error_after), passed(&self.warn_after)) {
            (true, _) => Verdict::Error,
            (false, true) => Verdict::Warn,
            (false, false) => Verdict::Pass,
        }
    }

    /// As artifacts have it.
    pub fn to_json(&self) -> Json {
        let age = |age: &Option<Age>| age.as_ref().map(Age::to_json);
        json!({"warn_after": age(&self.warn_after), "error_after": age(&self.error_after), "filter": self.filter})
    }
}

/// What a table's configuration says of its freshness and of how that is found out. Of each there is the source's own, that of its `config`, the
/// table's own and that of its `config`.
///
/// Errors: something is none of what it can be; for people.
pub fn of_table(
    source: &Map<String, Json>,
    source_config: &Map<String, Json>,
    table: &Map<String, Json>,
    table_config: &Map<String, Json>,
) -> Result<Map<String, Json>, String> {
    let mut config = Map::new();
    let level = |of: &Map<String, Json>| Threshold::read(of.get("freshness"));
    let merged =
        Threshold::merged([level(source)?, level(source_config)?, level(table)?, level(table_config)?]);
    match merged {
        None => {
            config.insert("freshness".into(), Json::Null);
        }
        Some(threshold) if threshold.is_said() => {
            config.insert("freshness".into(), threshold.to_json());
        }
        // The project's folders may say something.
        Some(_) => {}
    }
    let text = |of: [&Map<String, Json>; 2], key: &str| {
        of.iter().find_map(|of| of.get(key).and_then(Json::as_str)).map(str::to_owned)
    };
    let (field, query) = ("loaded_at_field", "loaded_at_query");
    let (of_source, of_table) = ([source, source_config], [table, table_config]);
    // A table that says null takes nothing from its source.
    let says_field = table.contains_key(field) || text(of_table, field).is_some();
    for (of, what, has_field) in [
        (of_table, "a table", table.contains_key(field)),
        (of_source, "a source", text(of_source, field).is_some()),
    ] {
        if has_field && text(of, query).is_some() {
            return Err(format!("{what} says both `{field}` and `{query}`: keep one"));
        }
    }
    let own_field = text(of_table, field);
    let loaded_field = if says_field { own_field } else { text(of_source, field) };
    let loaded_query = match text(of_table, query) {
        Some(own) => Some(own),
        None if table.contains_key(field) => None,
        None => text(of_source, query),
    };
    config.insert(field.into(), json!(loaded_field));
    config.insert(query.into(), json!(loaded_query));
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(json: Json) -> Map<String, Json> {
        json.as_object().cloned().unwrap_or_default()
    }

    fn of(source: Json, table: Json) -> Result<Map<String, Json>, String> {
        of_table(&map(source), &Map::new(), &map(table), &Map::new())
    }

    #[test]
    fn a_table_adds_to_what_its_source_says_or_takes_it_back() {
        let day = json!({"warn_after": {"count": 1, "period": "day"}});
        let said = of(
            json!({"freshness": day}),
            json!({"freshness": {"error_after": {"count": 2, "period": "day"}, "filter": "a > 1"}}),
        )
        .unwrap();
        assert_eq!(said["freshness"]["warn_after"]["count"], 1);
        assert_eq!(
            (&said["freshness"]["error_after"]["count"], &said["freshness"]["filter"]),
            (&json!(2), &json!("a > 1"))
        );
        assert_eq!(
            of(json!({"freshness": day}), json!({"freshness": null})).unwrap()["freshness"],
            Json::Null
        );
        assert!(!of(json!({}), json!({})).unwrap().contains_key("freshness"));
        let said = of(json!({"loaded_at_field": "at"}), json!({"loaded_at_field": null})).unwrap();
        assert_eq!(said["loaded_at_field"], Json::Null);
        assert!(of(json!({"loaded_at_field": "at", "loaded_at_query": "select 1"}), json!({})).is_err());
        assert!(of(json!({"freshness": {"warn_after": {"count": 1, "period": "week"}}}), json!({})).is_err());
    }

    #[test]
    fn rows_are_judged_by_their_age() {
        let json = json!({"warn_after": {"count": 1, "period": "minute"}, "error_after": {"count": 1, "period": "hour"}});
        let threshold = Threshold::read(Some(&json)).unwrap().unwrap();
        let verdicts = [60.0, 61.0, 3_600.0, 3_601.0].map(|age| threshold.verdict(age));
        assert_eq!(verdicts, [Verdict::Pass, Verdict::Warn, Verdict::Warn, Verdict::Error]);
    }
}
