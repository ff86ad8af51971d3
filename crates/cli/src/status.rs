//! What `millstream status` says: the contract's document, and how a person reads it.

use millstream_core::{warehouse::Uncertain, Lsn, Timestamp};
use serde::{Deserialize, Serialize, Serializer};

use crate::{
    config::units::{print_instant, print_size},
    failure::Failure,
    output::{failure_json, group_digits, Output, Style},
};

/// What the whole is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Connecting, checking, providing.
    Starting,
    /// Rows are being copied or loaded.
    Snapshotting,
    /// Changes flow.
    Streaming,
    /// Nothing flows: no instance runs, or it waits (for room in the log, for a verb that holds it).
    Paused,
    /// Stopped by an error, or retrying after one.
    Error,
}

/// The whole document.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The project's name.
    pub name: String,
    /// What it is doing.
    pub state: State,
    /// Why, where the state alone does not say it.
    pub reason: Option<String>,
    /// The running instance's process.
    pub pid: Option<u32>,
    /// The source.
    pub source: SourceStatus,
    /// The log.
    pub log: LogStatus,
    /// The warehouse.
    pub warehouse: WarehouseStatus,
    /// The tables.
    pub tables: Vec<TableStatus>,
    /// What is wrong.
    #[serde(serialize_with = "serialize_error")]
    pub error: Option<Failure>,
}

/// `source`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SourceStatus {
    /// Where it is, without user or password.
    pub address: String,
    /// The slot.
    pub slot: String,
    /// The publication.
    pub publication: String,
    /// Where the server's WAL ends.
    #[serde(serialize_with = "serialize_lsn")]
    pub current_lsn: Option<Lsn>,
    /// What the log holds durably.
    #[serde(serialize_with = "serialize_lsn")]
    pub flushed_lsn: Option<Lsn>,
    /// WAL between the server's end and what can be queried, in bytes.
    pub lag_bytes: Option<u64>,
    /// Age of the oldest transaction that is not yet in the warehouse, in seconds; 0 when there is none.
    pub lag_seconds: Option<f64>,
    /// WAL that the server keeps for the slot, in bytes.
    pub wal_retained_bytes: Option<u64>,
}

/// `log`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LogStatus {
    /// Commit LSN of the oldest transaction held.
    #[serde(serialize_with = "serialize_lsn")]
    pub first_position: Option<Lsn>,
    /// Commit LSN of the newest durable transaction.
    #[serde(serialize_with = "serialize_lsn")]
    pub last_position: Option<Lsn>,
    /// Size, in bytes.
    pub bytes: u64,
    /// Its bound.
    pub bytes_max: u64,
}

/// `warehouse`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct WarehouseStatus {
    /// All transactions up to this commit LSN are in it.
    #[serde(serialize_with = "serialize_lsn")]
    pub applied_lsn: Option<Lsn>,
    /// Size of the file and of its write-ahead log, in bytes.
    pub bytes: u64,
    /// The last time that it was built again from base and log, and what of its history is gone since.
    pub rebuilt: Option<serde_json::Value>,
}

/// One of `tables`.
#[derive(Debug, Clone, Serialize)]
pub struct TableStatus {
    /// Name at the source.
    pub name: String,
    /// Name in the warehouse.
    pub warehouse_name: String,
    /// `loading`, `catching_up`, `live`, `needs_resync`, `gone`.
    pub state: String,
    /// Why it must be read again, if it must.
    pub reason: Option<String>,
    /// Rows.
    pub rows: Option<u64>,
    /// Versions.
    pub history_rows: Option<u64>,
    /// Since when history is complete.
    #[serde(serialize_with = "serialize_time")]
    pub history_since: Option<Timestamp>,
    /// Commit LSN up to which it is applied.
    #[serde(serialize_with = "serialize_lsn")]
    pub applied_lsn: Option<Lsn>,
    /// The source's time up to which it is applied.
    #[serde(serialize_with = "serialize_time")]
    pub applied_at: Option<Timestamp>,
    /// Where its history may not be what was at the source.
    pub uncertain: Vec<UncertainStatus>,
    /// Changes set aside.
    pub quarantined: u64,
    /// Views that no longer work since one of its columns changed.
    pub broken_dependents: Vec<String>,
}

/// One of `tables[].uncertain`.
#[derive(Debug, Clone, Serialize)]
pub struct UncertainStatus {
    /// Commit LSN of the last transaction whose changes are certain.
    #[serde(serialize_with = "serialize_lsn")]
    pub from: Option<Lsn>,
    /// From this position on everything is certain again; `None`: the table has still to be read again.
    #[serde(serialize_with = "serialize_lsn")]
    pub to: Option<Lsn>,
    /// The same as times.
    #[serde(serialize_with = "serialize_time")]
    pub from_time: Option<Timestamp>,
    /// The same as times.
    #[serde(serialize_with = "serialize_time")]
    pub to_time: Option<Timestamp>,
    /// Why.
    pub reason: String,
}

impl From<&Uncertain> for UncertainStatus {
    fn from(of: &Uncertain) -> Self {
        UncertainStatus {
            from: Some(of.from.position.commit_lsn),
            to: of.to.map(|to| to.position.commit_lsn),
            from_time: Some(of.from.time),
            to_time: of.to.map(|to| to.time),
            reason: of.reason.clone(),
        }
    }
}

fn serialize_lsn<S: Serializer>(lsn: &Option<Lsn>, serializer: S) -> Result<S::Ok, S::Error> {
    match lsn {
        Some(lsn) => serializer.collect_str(lsn),
        None => serializer.serialize_none(),
    }
}

fn serialize_time<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.serialize_str(&print_instant(*time)),
        None => serializer.serialize_none(),
    }
}

fn serialize_error<S: Serializer>(error: &Option<Failure>, serializer: S) -> Result<S::Ok, S::Error> {
    error.as_ref().map(failure_json).serialize(serializer)
}

/// What a person reads, from the document (which may come from a running instance).
pub fn print(output: &Output, status: &serde_json::Value) -> Result<(), Failure> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("–").to_owned();
    let size = |value: &serde_json::Value| value.as_u64().map_or("–".into(), print_size);
    let state = text(&status["state"]);
    let style = match state.as_str() {
        "streaming" => Style::Good,
        "error" => Style::Error,
        _ => Style::Warning,
    };
    let mut head = format!(
        "{}  {}",
        output.paint_data(Style::Bold, &text(&status["name"])),
        output.paint_data(style, &state)
    );
    if let Some(reason) = status["reason"].as_str() {
        head.push_str(&format!(", {reason}"));
    }
    output.line(&head)?;
    let source = &status["source"];
    let lag = match (source["lag_bytes"].as_u64(), source["lag_seconds"].as_f64()) {
        (Some(bytes), Some(seconds)) => format!("{}, {seconds:.3} s behind", print_size(bytes)),
        (Some(bytes), None) => format!("{} behind", print_size(bytes)),
        _ => "lag unknown".into(),
    };
    let label = |name: &str| output.paint_data(Style::Dim, &format!("{name:<10}"));
    output.line(&format!(
        "{} {} (slot {})",
        label("source"),
        text(&source["address"]),
        text(&source["slot"])
    ))?;
    output.line(&format!(
        "{} at {}, {} of WAL kept for us; warehouse {lag}",
        label(""),
        text(&source["current_lsn"]),
        size(&source["wal_retained_bytes"])
    ))?;
    let log = &status["log"];
    output.line(&format!(
        "{} {} of {}, {} to {}",
        label("log"),
        size(&log["bytes"]),
        size(&log["bytes_max"]),
        text(&log["first_position"]),
        text(&log["last_position"])
    ))?;
    let warehouse = &status["warehouse"];
    output.line(&format!(
        "{} {}, applied to {}",
        label("warehouse"),
        size(&warehouse["bytes"]),
        text(&warehouse["applied_lsn"])
    ))?;
    let rebuilt = &warehouse["rebuilt"];
    if rebuilt.is_object() {
        let kept = rebuilt["kept_as"]
            .as_str()
            .map_or(String::new(), |path| format!("; the damaged file is kept as {path}"));
        output.line(&format!(
            "{} {}",
            label(""),
            output.paint_data(
                Style::Warning,
                &format!("built again at {}: {}{kept}", text(&rebuilt["at"]), text(&rebuilt["reason"]))
            )
        ))?;
        for table in rebuilt["history_gone"].as_array().into_iter().flatten() {
            let gone = format!(
                "history of {} from {} to {} is gone",
                text(&table["name"]),
                text(&table["from"]),
                text(&table["to"])
            );
            output.line(&format!("{} {}", label(""), output.paint_data(Style::Warning, &gone)))?;
        }
    }
    output.line("")?;
    print_tables(output, status["tables"].as_array().map_or(&[][..], Vec::as_slice))?;
    if let Some(code) = status["error"]["code"].as_str() {
        output.line("")?;
        output.line(&format!(
            "{} {}",
            output.paint_data(Style::Error, &format!("error[{code}]:")),
            text(&status["error"]["message"])
        ))?;
        for key in ["detail", "hint"] {
            if let Some(words) = status["error"][key].as_str() {
                output.line(&format!("  {key}: {words}"))?;
            }
        }
    }
    Ok(())
}

fn print_tables(output: &Output, tables: &[serde_json::Value]) -> Result<(), Failure> {
    let header = ["table", "state", "rows", "versions", "history since", "quarantined"];
    let number = |value: &serde_json::Value| value.as_u64().map_or("–".into(), group_digits);
    let rows: Vec<[String; 6]> = tables
        .iter()
        .map(|table| {
            let since = table["history_since"].as_str().unwrap_or("–");
            [
                table["name"].as_str().unwrap_or_default().to_owned(),
                table["state"].as_str().unwrap_or_default().to_owned(),
                number(&table["rows"]),
                number(&table["history_rows"]),
                // To the second: what is finer is in the JSON.
                since.split_once('.').map_or(since.to_owned(), |(seconds, _)| format!("{seconds}Z")),
                number(&table["quarantined"]),
            ]
        })
        .collect();
    let width = |index: usize| {
        let cells = rows.iter().map(|row| row[index].chars().count());
        cells.chain([header[index].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: [&str; 6]| {
        let padded = cells.iter().zip(&widths).enumerate().map(|(index, (cell, &width))| match index {
            2 | 3 | 5 => format!("{cell:>width$}"),
            _ => format!("{cell:<width$}"),
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    output.line(&output.paint_data(Style::Bold, &line(header)))?;
    for (row, table) in rows.iter().zip(tables) {
        output.line(&line(row.each_ref().map(String::as_str)))?;
        if let Some(reason) = table["reason"].as_str() {
            output.line(&format!("  {}", output.paint_data(Style::Warning, reason)))?;
        }
        let uncertain = table["uncertain"].as_array().map_or(&[][..], Vec::as_slice);
        if let Some(last) = uncertain.last() {
            let from = last["from"].as_str().unwrap_or_default();
            let until = last["to"].as_str().map_or("now".to_owned(), |to| format!("before {to}"));
            let mut note = format!("history is not certain from {from} to {until}");
            if uncertain.len() > 1 {
                note.push_str(&format!(", and in {} stretches before", uncertain.len() - 1));
            }
            output.line(&format!("  {}", output.paint_data(Style::Warning, &note)))?;
        }
        for view in table["broken_dependents"].as_array().into_iter().flatten() {
            let view = view.as_str().unwrap_or_default();
            output.line(&format!("  {}", output.paint_data(Style::Warning, &format!("broken: {view}"))))?;
        }
    }
    Ok(())
}
