//! `quarantine`: what a person asks of the changes that were set aside, and what is printed of them.

use std::io::{self, BufRead, IsTerminal, Write};

use serde_json::Value;

use super::ask::{ask, pretty};
use crate::{
    args::{Global, QuarantineVerb},
    error::ProgramError,
    failure::{Failure, Outcome},
    instance::Request,
    output::{group_digits, Format, Output, Style},
};

/// Prints an answer for a person.
type Print = fn(&Output, &Value) -> Result<(), Failure>;

/// Runs one of its verbs.
pub(super) fn run(global: &Global, output: &Output, verb: QuarantineVerb) -> Outcome {
    let (request, print): (Request, Print) = match verb {
        QuarantineVerb::List { tables } => (Request::QuarantineList { tables }, list),
        QuarantineVerb::Show { table, position } => (Request::QuarantineShow { table, position }, show),
        QuarantineVerb::Replay { tables } => (Request::QuarantineReplay { tables }, replayed),
        QuarantineVerb::Drop { tables, yes } => {
            if !yes && !is_wanted(global, &tables)? {
                output.note("nothing was given up");
                return Ok(0);
            }
            (Request::QuarantineDrop { tables }, dropped)
        }
    };
    let (exit, value) = ask(global, output, request)?;
    let Some(value) = value else { return Ok(exit) };
    if output.format == Format::Json {
        output.line(&pretty(&value))?;
    } else {
        print(output, &serde_json::from_str(value.get()).unwrap_or_default())?;
    }
    Ok(exit)
}

/// Asks the person.
fn is_wanted(global: &Global, tables: &[String]) -> Result<bool, Failure> {
    if global.no_input || !io::stdin().is_terminal() {
        return Err(ProgramError::Unasked { what: "giving up what is in quarantine" }.into());
    }
    eprint!(
        "Changes in quarantine of {} will never come into history; the rows are read again as they are now. Go on? [y/N] ",
        tables.join(", ")
    );
    let mut answer = String::new();
    let read = io::stderr().flush().and_then(|()| io::stdin().lock().read_line(&mut answer));
    Ok(read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn number(value: &Value) -> String {
    group_digits(value.as_u64().unwrap_or(0))
}

/// Two lines a change: what it is, and why it is here.
fn list(output: &Output, found: &Value) -> Result<(), Failure> {
    let changes = found["changes"].as_array().map_or(&[][..], Vec::as_slice);
    for change in changes {
        output.line(&format!(
            "{} {}  {} of {}",
            output.paint_data(Style::Bold, text(change, "table")),
            text(change, "position"),
            text(change, "operation"),
            text(change, "key"),
        ))?;
        output.line(&format!("  {} {}", text(change, "code"), text(change, "reason")))?;
        if let Some(by) = change["superseded"]["by"].as_str() {
            let by = format!("superseded: {by} at {}", text(&change["superseded"], "at"));
            output.line(&format!("  {}", output.paint_data(Style::Dim, &by)))?;
        }
    }
    let holding = changes.iter().filter(|change| change["superseded"].is_null()).count() as u64;
    output.note(&match (changes.len(), holding) {
        (0, _) => "nothing is in quarantine".to_owned(),
        (_, 0) => "none of these holds a row back; `millstream quarantine drop TABLE` forgets them".to_owned(),
        (_, holding) => format!(
            "of these {} hold rows back: choose a type or a value_max that holds their values, start again, and run `millstream quarantine replay`",
            group_digits(holding)
        ),
    });
    Ok(())
}

fn show(output: &Output, change: &Value) -> Result<(), Failure> {
    let label = |name: &str| output.paint_data(Style::Dim, &format!("{name:<10}"));
    for key in ["table", "position", "operation", "key", "time", "code", "reason"] {
        output.line(&format!("{} {}", label(key), text(change, key)))?;
    }
    if let Some(by) = change["superseded"]["by"].as_str() {
        output.line(&format!("{} {by} at {}", label("superseded"), text(&change["superseded"], "at")))?;
    }
    for side in ["before", "after"] {
        let Some(row) = change[side].as_object() else { continue };
        output.line(&output.paint_data(Style::Bold, side))?;
        for (column, value) in row {
            let value = match value {
                Value::Null => "NULL".to_owned(),
                Value::String(text) => text.clone(),
                Value::Object(of) if of.contains_key("unchanged") => "(unchanged)".to_owned(),
                Value::Object(of) if of.contains_key("file") => {
                    format!("{} ({} bytes)", text(value, "file"), number(&value["bytes"]))
                }
                other => other.to_string(),
            };
            output.line(&format!("  {column}: {value}"))?;
        }
    }
    Ok(())
}

fn replayed(output: &Output, found: &Value) -> Result<(), Failure> {
    let tables = found["tables"].as_array().map_or(&[][..], Vec::as_slice);
    for table in tables {
        let (name, done) = (text(table, "name"), number(&table["replayed"]));
        output.line(&format!("{name}: {done} replayed, {} still held", number(&table["held"])))?;
    }
    if tables.is_empty() {
        output.note("nothing is in quarantine");
    }
    Ok(())
}

fn dropped(output: &Output, found: &Value) -> Result<(), Failure> {
    let tables = found["tables"].as_array().map_or(&[][..], Vec::as_slice);
    for table in tables {
        let (name, done) = (text(table, "name"), number(&table["dropped"]));
        output.line(&format!("{name}: {done} given up, {} rows held anew", number(&table["held"])))?;
    }
    if tables.is_empty() {
        output.note("nothing is in quarantine");
    }
    Ok(())
}
