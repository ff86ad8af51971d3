//! What each verb does.

mod ask;
mod dbt;
mod doctor;
mod init;
mod keys;
mod present;
mod quarantine;
mod report;
mod up;

use millstream_core::Exit;
use serde_json::json;

use crate::{
    args::{self, Arguments, DbtCommand, Verb},
    config,
    failure::Outcome,
    instance::Request,
    output::{Format, Output},
};

/// This program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs the verb.
pub fn run(arguments: Arguments, output: &Output) -> Outcome {
    match arguments.verb {
        Verb::Init { dir } => init::run(dir.or(arguments.global.project).as_deref(), output),
        Verb::Up { until_caught_up } => up::run(&arguments.global, output, until_caught_up),
        Verb::Doctor { fix_sql } => doctor::run(&arguments.global, output, fix_sql),
        Verb::Tail { table, from, limit, follow } => {
            let text = output.format != Format::Json;
            ask::print(&arguments.global, output, Request::Tail { table, from, limit, follow, text })
        }
        Verb::Plan => ask::plan(&arguments.global, output),
        Verb::Status => ask::status(&arguments.global, output),
        Verb::Sql { query, as_of } => {
            ask::print(&arguments.global, output, Request::Sql { sql: query, as_of })
        }
        Verb::Verify { tables } => ask::verify(&arguments.global, output, tables),
        Verb::Resync { tables } => ask::resync(&arguments.global, output, tables),
        Verb::Quarantine { verb } => quarantine::run(&arguments.global, output, verb),
        Verb::Keys { verb } => keys::run(&arguments.global, output, verb),
        Verb::Models(verb) => dbt::run(&arguments.global, output, verb, false),
        Verb::Dbt { verb: DbtCommand::Verb(verb), .. } => dbt::run(&arguments.global, output, verb, true),
        Verb::Dbt { verb: DbtCommand::Init(flags), .. } => dbt::init(&arguments.global, output, &flags),
        Verb::Schema { of } => output.json(&config::json_schema(of)).map(|()| 0),
        Verb::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut args::command(), "millstream", &mut text);
            output.line(String::from_utf8_lossy(&text).trim_end()).map(|()| 0)
        }
        Verb::Version => {
            match output.format {
                Format::Json => output.json(&json!({ "version": VERSION }))?,
                Format::Table | Format::Csv => output.line(&format!("millstream {VERSION}"))?,
            }
            Ok(0)
        }
    }
}

/// The exit status of a verb that ran: whether what it looked at is right.
pub fn verdict(right: bool) -> u8 {
    if right {
        0
    } else {
        Exit::Wrong as u8
    }
}
