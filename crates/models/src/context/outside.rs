//! What the materialization `external` asks for: how a file is written, and by which pattern what was written is read.

use super::scene::Live;
use crate::jinja::{fail, Args, Eval, Value};

/// What `adapter` has for models in files; `None`: nothing of this name.
pub(super) fn call(live: &dyn Live, root: &str, name: &str, args: &mut Args) -> Eval<Option<Value>> {
    Ok(Some(match name {
        "external_root" => Value::from(root),
        "external_write_options" => {
            let [location, options] =
                std::mem::take(args).bind(name, ["write_location", "rendered_options"])?;
            let location = location.unwrap_or(Value::None).to_string();
            let Some(options @ Value::Dict(_)) = options else { return fail("`rendered_options` is a dict") };
            complete(&location, &options);
            Value::from(written(&options))
        }
        "external_read_location" => {
            let [location, options] =
                std::mem::take(args).bind(name, ["write_location", "rendered_options"])?;
            let location = location.unwrap_or(Value::None).to_string();
            let options = options.unwrap_or(Value::None);
            Value::from(pattern(&location, &options))
        }
        "location_exists" => {
            let [location] = std::mem::take(args).bind(name, ["location"])?;
            let location = location.unwrap_or(Value::None).to_string().replace('\'', "''");
            Value::Bool(live.execute(&format!("select 1 from '{location}' where 1 = 0"), true, false).is_ok())
        }
        _ => return Ok(None),
    }))
}

fn said(options: &Value, key: &str) -> Option<String> {
    options.get(key).map(|value| value.to_string())
}

/// The ending of a file's name, in lower case, with its dot.
fn ending(path: &str) -> Option<(&str, String)> {
    let (_, file) = path.rsplit_once('/').unwrap_or(("", path));
    let at = file.rfind('.').filter(|at| *at > 0)?;
    let cut = path.len() - (file.len() - at);
    Some((&path[..cut], path[cut..].to_lowercase()))
}

/// Adds what the location says and the options don't: format and compression. A file of CSV begins with names.
fn complete(location: &str, options: &Value) {
    let set = |key: &str, value: Value| {
        if let Value::Dict(entries) = options {
            entries.borrow_mut().insert(Value::from(key), value);
        }
    };
    if said(options, "format").is_none() {
        let found = ending(location);
        let (compression, kind) = match found.as_ref().map(|(rest, end)| (*rest, end.as_str())) {
            Some((rest, ".gz")) => (Some("gzip"), ending(rest).map(|(_, end)| end)),
            Some((rest, ".zst")) => (Some("zstd"), ending(rest).map(|(_, end)| end)),
            Some((_, end)) => (None, Some(end.to_owned())),
            None => (None, None),
        };
        match kind {
            Some(kind) => {
                set("format", Value::from(&kind[1..]));
                if let Some(compression) = compression.filter(|_| said(options, "compression").is_none()) {
                    set("compression", Value::from(compression));
                }
            }
            None if said(options, "delimiter").is_some() => set("format", Value::from("csv")),
            None => set("format", Value::from("parquet")),
        }
    }
    if said(options, "format").as_deref() == Some("csv") && said(options, "header").is_none() {
        set("header", Value::from("1"));
    }
    match said(options, "partition_by") {
        Some(columns) if columns.contains(',') && !columns.starts_with('(') => {
            set("partition_by", Value::from(format!("({columns})")));
        }
        _ => {}
    }
}

/// The options as `COPY … TO` takes them.
fn written(options: &Value) -> String {
    let Value::Dict(entries) = options else { return String::new() };
    let each = entries
        .borrow()
        .iter()
        .map(|(key, value)| {
            let (key, value) = (key.to_string(), value.to_string());
            let is_text = ["delimiter", "quote", "escape", "null"].contains(&key.to_lowercase().as_str());
            match is_text && !value.starts_with('\'') {
                true => format!("{key} '{value}'"),
                false => format!("{key} {value}"),
            }
        })
        .collect::<Vec<_>>();
    each.join(", ")
}

/// By which pattern what was written is read: a directory holds a file for each thread, or a directory for each value of a column.
fn pattern(location: &str, options: &Value) -> String {
    let given = |key: &str| options.get(key).filter(Value::truth);
    let partitions = given("partition_by").map(|columns| columns.to_string());
    if partitions.is_none() && given("per_thread_output").is_none() {
        return location.to_owned();
    }
    let depth = partitions.map_or(0, |columns| columns.split(',').count());
    let format = said(options, "format").unwrap_or_else(|| "parquet".into());
    format!("{location}/*{}.{format}", "/*".repeat(depth))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_say_what_options_do_not() {
        for (location, given, wanted, read) in [
            ("a/b.parquet", vec![], "format parquet", "a/b.parquet"),
            ("a.b/c", vec![], "format parquet", "a.b/c"),
            ("a/b", vec![("delimiter", "|")], "delimiter '|', format csv, header 1", "a/b"),
            ("a/b.CSV.gz", vec![], "format csv, compression gzip, header 1", "a/b.CSV.gz"),
            (
                "a/b",
                vec![("partition_by", "x, y")],
                "partition_by (x, y), format parquet",
                "a/b/*/*/*.parquet",
            ),
            (
                "b",
                vec![("per_thread_output", "True"), ("format", "json")],
                "per_thread_output True, format json",
                "b/*.json",
            ),
        ] {
            let options = Value::dict(given.into_iter().map(|(key, value)| (key, Value::from(value))));
            complete(location, &options);
            assert_eq!(
                (written(&options).as_str(), pattern(location, &options).as_str()),
                (wanted, read),
                "{location}"
            );
        }
    }
}
