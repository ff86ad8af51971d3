//! `keys`: makes, lists and revokes API keys, beside a running instance or without one.

use std::time::{SystemTime, UNIX_EPOCH};

use millstream_core::Timestamp;
use serde_json::Value;

use super::ask::{ask, pretty, print};
use crate::{
    args::{Global, KeysVerb},
    config::units::parse_duration,
    error::ProgramError,
    failure::{Failure, Outcome},
    instance::Request,
    output::{Format, Output},
};

/// Shows an answer to a person.
type Show = fn(&Output, &Value) -> Result<(), Failure>;

/// Runs one of its verbs.
pub(super) fn run(global: &Global, output: &Output, verb: KeysVerb) -> Outcome {
    let (request, show): (Request, Show) = match verb {
        KeysVerb::List => return print(global, output, Request::KeysList),
        KeysVerb::Create { role, name, expires } => {
            let expires = expires.map(|text| moment(&text)).transpose()?;
            (Request::KeysCreate { role, name, expires }, created)
        }
        KeysVerb::Revoke { id } => (Request::KeysRevoke { id }, revoked),
    };
    let (exit, value) = ask(global, output, request)?;
    let Some(value) = value else { return Ok(exit) };
    if output.format == Format::Json {
        output.line(&pretty(&value))?;
    } else {
        show(output, &serde_json::from_str(value.get()).unwrap_or_default())?;
    }
    Ok(exit)
}

/// So long from now.
fn moment(text: &str) -> Result<Timestamp, Failure> {
    let span = parse_duration(text).filter(|span| !span.is_zero());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let until = span.and_then(|span| i64::try_from(now.checked_add(span)?.as_micros()).ok());
    until.map(Timestamp).ok_or_else(|| {
        let message = format!("`{text}` is not a time span such as 90d or 12h");
        ProgramError::Arguments { message, detail: None }.into()
    })
}

/// The key alone on standard output, for whatever takes it.
fn created(output: &Output, key: &Value) -> Result<(), Failure> {
    let text = |name: &str| key[name].as_str().unwrap_or_default();
    let until = key["expires"].as_str().map(|until| format!(", until {until}")).unwrap_or_default();
    output.note(&format!("key {} for the role {}{until}; it is shown this once:", text("id"), text("role")));
    output.line(text("key"))
}

fn revoked(output: &Output, key: &Value) -> Result<(), Failure> {
    output.note(&format!(
        "the key {} is good for nothing from here on",
        key["id"].as_str().unwrap_or_default()
    ));
    Ok(())
}
