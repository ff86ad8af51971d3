//! Versions of models: what a properties file says of one model becomes what it says of each of its versions.

use std::cmp::Ordering;

use serde_json::{Map, Value as Json};

use super::properties::{Column, Patch};
use crate::{
    context::modules::days_from_civil,
    error::{Problem, ProblemKind, Result},
    jinja::Value,
    yaml::Node as Yaml,
};

/// Which version of a model a properties file speaks of.
#[derive(Debug, Clone)]
pub struct Version {
    /// The version, a number or a text.
    pub v: Json,
    /// The one that a `ref` without a version means.
    pub latest: Json,
    /// The names of files that may hold it, first the one that goes before.
    pub files: Vec<String>,
}

impl Version {
    /// `v1`.
    pub fn suffix(&self) -> String {
        format!("v{}", text(&self.v))
    }
}

/// A version as names have it.
pub fn text(v: &Json) -> String {
    Value::from_json(v).to_string()
}

/// dbt's order: numbers by their value, and everything else by its text.
pub fn order(left: &Json, right: &Json) -> Ordering {
    let (left, right) = (text(left), text(right));
    match (left.parse::<f64>(), right.parse::<f64>()) {
        (Ok(a), Ok(b)) => a.total_cmp(&b),
        _ => left.cmp(&right),
    }
}

/// The properties of each version, from those of the model.
///
/// Errors: a version is told twice or isn't one, the latest is none of them, columns are included that can't be.
pub(super) fn expand(node: &Yaml, base: Patch, read: &dyn Fn(&Yaml) -> Result<Patch>) -> Result<Vec<Patch>> {
    let list = node.get("versions").map(Yaml::items).unwrap_or_default();
    if list.is_empty() {
        return Ok(vec![base]);
    }
    let mut versions: Vec<(Json, &Yaml)> = Vec::new();
    for item in list {
        let v = item.get("v").map(Yaml::to_json).filter(|v| v.is_number() || v.is_string());
        let Some(v) = v else { return Err(item.wrong("a version has a `v`, a number or a text").into()) };
        if versions.iter().any(|(known, _)| text(known) == text(&v)) {
            return Err(item.wrong(format!("the version `{}` is declared twice", text(&v))).into());
        }
        versions.push((v, item));
    }
    let newest = versions.iter().map(|(v, _)| v).max_by(|left, right| order(left, right)).cloned();
    let latest = match base.other.get("latest_version").filter(|v| !v.is_null()) {
        Some(said) if versions.iter().any(|(v, _)| v == said) => said.clone(),
        Some(said) => {
            let at = node.get("latest_version").unwrap_or(node);
            return Err(at.wrong(format!("`{}` is none of the versions", text(said))).into());
        }
        None => newest.unwrap_or(Json::Null),
    };
    versions.into_iter().map(|(v, item)| one(item, v, &latest, &base, read)).collect()
}

fn one(
    item: &Yaml,
    v: Json,
    latest: &Json,
    base: &Patch,
    read: &dyn Fn(&Yaml) -> Result<Patch>,
) -> Result<Patch> {
    let own = read(item)?;
    let mut patch = base.clone();
    let mut columns = Included::default();
    let mut of_version = own.columns.into_iter();
    for entry in item.get("columns").map(Yaml::items).unwrap_or_default() {
        if entry.get("name").is_some() {
            continue;
        }
        if columns.is_said {
            return Err(entry
                .wrong("a version has one list of columns that are included or excluded")
                .into());
        }
        columns = Included::of(entry)?;
    }
    patch.columns.retain(|column| columns.has(column));
    patch.columns.extend(&mut of_version);
    if item.get("tests").or_else(|| item.get("data_tests")).is_some() {
        patch.tests = own.tests;
    }
    if !own.description.is_empty() {
        patch.description = own.description;
    }
    deep_merge(&mut patch.config, own.config);
    for key in ["constraints", "deprecation_date"] {
        let said = own.other.get(key).filter(|said| said.as_array().is_none_or(|list| !list.is_empty()));
        match said.cloned() {
            Some(said) => patch.other.insert(key.into(), said),
            // When a version is to go isn't said for all of them.
            None if key == "deprecation_date" => patch.other.shift_remove(key),
            None => None,
        };
    }
    let named = format!("{}_v{}", base.name, text(&v));
    let mut files = vec![own.other.get("defined_in").and_then(Json::as_str).unwrap_or(&named).to_owned()];
    if v == *latest {
        files.push(base.name.clone());
    }
    patch.version = Some(Version { v, latest: latest.clone(), files });
    Ok(patch)
}

/// The columns of the model that a version has, too: all but those excluded, or those named.
#[derive(Default)]
struct Included {
    is_said: bool,
    include: Option<Vec<String>>,
    exclude: Vec<String>,
}

impl Included {
    fn of(entry: &Yaml) -> Result<Self> {
        let names = |key: &str| -> Result<Option<Vec<String>>> {
            let Some(said) = entry.get(key).filter(|said| !said.is_null()) else { return Ok(None) };
            if key == "include" && matches!(said.as_str(), Some("all" | "*")) {
                return Ok(None);
            }
            match said.to_json() {
                Json::Array(list) => {
                    Ok(Some(list.iter().filter_map(Json::as_str).map(str::to_owned).collect()))
                }
                _ => Err(said
                    .wrong(format!(
                        "`{key}` is a list of columns{}",
                        if key == "include" { ", `all` or `*`" } else { "" }
                    ))
                    .into()),
            }
        };
        let (include, exclude) = (names("include")?, names("exclude")?);
        if entry.get("include").is_none() {
            return Err(entry
                .wrong("this says neither the name of a column nor what is to be included")
                .into());
        }
        if include.is_some() && exclude.is_some() {
            return Err(entry.wrong("columns are excluded only where all are included").into());
        }
        Ok(Included { is_said: true, include, exclude: exclude.unwrap_or_default() })
    }

    fn has(&self, column: &Column) -> bool {
        self.include.as_ref().is_none_or(|names| names.contains(&column.name))
            && !self.exclude.contains(&column.name)
    }
}

fn deep_merge(into: &mut Map<String, Json>, from: Map<String, Json>) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Json::Object(known)), Json::Object(value)) => deep_merge(known, value),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// A date from properties as the manifest has it: that of a day is its first moment, and one without time zone is in UTC.
///
/// Errors: it is no date.
pub(super) fn date(said: &Json) -> std::result::Result<Json, Problem> {
    if said.is_null() {
        return Ok(Json::Null);
    }
    let wrong = || Problem::new(ProblemKind::Yaml, format!("`deprecation_date` is no date: {said}"));
    let text = said.as_str().ok_or_else(wrong)?.trim();
    let (day, time) = text.split_once([' ', 'T']).unwrap_or((text, "00:00:00"));
    let at = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (time, zone) = (time[..at].trim(), &time[at..]);
    let zone = if zone.is_empty() || zone == "Z" { "+00:00" } else { zone };
    let written = format!("{day}T{time}{zone}");
    moment(&written).map(|_| written.into()).ok_or_else(wrong)
}

/// Microseconds since 1970 of a date as the manifest has it.
pub(super) fn moment(date: &str) -> Option<i64> {
    let numbers =
        |text: &str, by: char| -> Option<Vec<i64>> { text.split(by).map(|part| part.parse().ok()).collect() };
    let (day, rest) = date.split_once('T')?;
    let zone_at = rest.find(['+', '-'])?;
    let (time, zone) = rest.split_at(zone_at);
    let ([year, month @ 1..=12, day @ 1..=31], [hour @ 0..=23, minute @ 0..=59, second @ 0..=59]) =
        (&numbers(day, '-')?[..], &numbers(time, ':')?[..])
    else {
        return None;
    };
    let [zone_hours, zone_minutes] = numbers(&zone[1..], ':')?[..] else { return None };
    let offset = (zone_hours * 60 + zone_minutes) * if zone.starts_with('-') { -60 } else { 60 };
    let seconds = days_from_civil(*year, *month, *day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some(seconds * 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_numbers_where_they_are_numbers() {
        let json = |text: &str| -> Json { serde_json::from_str(text).unwrap() };
        assert_eq!(order(&json("10"), &json("9")), Ordering::Greater);
        assert_eq!(order(&json("\"10\""), &json("9.5")), Ordering::Greater);
        assert_eq!(order(&json("\"beta\""), &json("\"alpha\"")), Ordering::Greater);
        assert_eq!(date(&json("\"2024-01-05\"")).unwrap(), "2024-01-05T00:00:00+00:00");
        assert_eq!(date(&json("\"2024-01-05 10:00:00+02:00\"")).unwrap(), "2024-01-05T10:00:00+02:00");
        assert_eq!(moment("1970-01-02T01:00:00+01:00"), Some(86_400_000_000));
        assert!(date(&json("\"soon\"")).is_err() && date(&json("3")).is_err());
    }
}
