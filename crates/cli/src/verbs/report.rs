//! What `verify`, `resync` and `plan` found, for a person.

use serde_json::Value;

use crate::{
    failure::Failure,
    output::{group_digits, Output, Style},
};

/// One line a table; below it, for one that differs, what and which keys.
pub(super) fn verify(output: &Output, found: &Value) -> Result<(), Failure> {
    let tables = found["tables"].as_array().map_or(&[][..], Vec::as_slice);
    let width = tables.iter().filter_map(|table| table["name"].as_str()).map(str::len).max().unwrap_or(0);
    let number = |value: &Value| group_digits(value.as_u64().unwrap_or(0));
    for table in tables {
        let equal = table["equal"].as_bool().unwrap_or(false);
        let (style, word) = if equal { (Style::Good, "equal") } else { (Style::Error, "differs") };
        let name = table["name"].as_str().unwrap_or_default();
        output.line(&format!(
            "{name:<width$}  {:<7}  {} rows at the source, {} in the warehouse",
            output.paint_data(style, word),
            number(&table["rows_source"]),
            number(&table["rows_warehouse"])
        ))?;
        for kind in ["missing", "extra", "different"] {
            let difference = &table[kind];
            if difference["count"].as_u64().unwrap_or(0) == 0 {
                continue;
            }
            let keys: Vec<&str> =
                difference["keys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            output.line(&format!("  {} {kind}: {}", number(&difference["count"]), keys.join("; ")))?;
        }
        let held = table["quarantined"]["count"].as_u64().unwrap_or(0);
        if held > 0 {
            let keys = table["quarantined"]["keys"].as_array().into_iter().flatten();
            let keys: Vec<&str> = keys.filter_map(Value::as_str).collect();
            output.line(&format!(
                "  {} of its changes in quarantine, of {}: `millstream quarantine list {name}`",
                group_digits(held),
                keys.join("; ")
            ))?;
        }
    }
    let position = found["position"].as_str().unwrap_or_default();
    if found["equal"].as_bool().unwrap_or(false) {
        output.line(&format!("{} at {position}", output.paint_data(Style::Good, "equal")))
    } else {
        output.line(&format!("{} at {position}", output.paint_data(Style::Error, "not equal")))?;
        output.note("read a table again with `millstream resync TABLE`; its history stays");
        Ok(())
    }
}

/// One line a table.
pub(super) fn resync(output: &Output, found: &Value) -> Result<(), Failure> {
    let number = |value: &Value| group_digits(value.as_u64().unwrap_or(0));
    for table in found["tables"].as_array().into_iter().flatten() {
        output.line(&format!(
            "{}: {} inserted, {} updated, {} deleted",
            table["name"].as_str().unwrap_or_default(),
            number(&table["inserted"]),
            number(&table["updated"]),
            number(&table["deleted"])
        ))?;
    }
    Ok(())
}

/// What would happen, source first.
pub(super) fn plan(output: &Output, plan: &Value) -> Result<(), Failure> {
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let heading = |text: &str| output.line(&output.paint_data(Style::Bold, text));
    heading(&format!("At the source, {}", plan["source"]["address"].as_str().unwrap_or_default()))?;
    let statements = texts(&plan["source"]["statements"]);
    if statements.is_empty() {
        output.line("  nothing: slot and publication are there")?;
    }
    for statement in statements {
        output.line(&format!("  {statement}"))?;
    }
    heading("In the warehouse")?;
    let tables = plan["warehouse"]["tables"].as_array().map_or(&[][..], Vec::as_slice);
    for table in tables {
        let text = |key: &str| table[key].as_str().unwrap_or_default().to_owned();
        let key = texts(&table["key"]);
        let key = if key.is_empty() { "whole rows".to_owned() } else { format!("key {}", key.join(", ")) };
        let history =
            if table["history"].as_bool().unwrap_or(false) { "with history" } else { "without history" };
        let columns = table["columns"].as_array().map_or(0, Vec::len);
        let action = if text("action") == "keep" {
            "keep  ".to_owned()
        } else {
            output.paint_data(Style::Good, "create")
        };
        output.line(&format!(
            "  {action} {} from {}: {columns} columns, {key}, {history}",
            text("warehouse_name"),
            text("name")
        ))?;
        for column in table["columns"].as_array().into_iter().flatten() {
            let text = |key: &str| column[key].as_str().unwrap_or_default().to_owned();
            if table["action"] == "create" {
                output.line(&output.paint_data(
                    Style::Dim,
                    &format!("           {} {} → {}", text("name"), text("source_type"), text("type")),
                ))?;
            }
        }
    }
    for view in texts(&plan["warehouse"]["views"]) {
        output.line(&format!("  view   {view}"))?;
    }
    for table in texts(&plan["warehouse"]["no_longer_selected"]) {
        output.line(&format!("  leave  {table}: no longer selected; what is there of it stays"))?;
    }
    Ok(())
}
