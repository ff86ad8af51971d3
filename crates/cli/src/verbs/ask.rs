//! Verbs that ask: a running instance if there is one, the project's files otherwise.

use serde_json::value::RawValue;

use super::{present::Presenter, report};
use crate::{
    args::Global,
    config::Project,
    engine::{Desk, Rebuild, Session, Told},
    failure::{Doing, Failure, Outcome},
    instance::{reach, Cancellation, Emit, Event, Handler, Reached, Request},
    output::{Format, Output},
    signals::Signals,
    status,
};

/// Reads the project.
pub(super) fn project(global: &Global) -> Result<Project, Failure> {
    Project::load(global.project.as_deref()).doing("reading the project's configuration")
}

/// `status`.
pub(super) fn status(global: &Global, output: &Output) -> Outcome {
    let (exit, value) = ask(global, output, Request::Status)?;
    let Some(value) = value else { return Ok(exit) };
    match output.format {
        Format::Json => output.line(&pretty(&value))?,
        Format::Table | Format::Csv => {
            status::print(output, &serde_json::from_str(value.get()).unwrap_or_default())?;
        }
    }
    Ok(exit)
}

/// `verify`.
pub(super) fn verify(global: &Global, output: &Output, tables: Vec<String>) -> Outcome {
    let (exit, value) = ask(global, output, Request::Verify { tables })?;
    let Some(value) = value else { return Ok(exit) };
    if output.format == Format::Json {
        output.line(&pretty(&value))?;
    } else {
        report::verify(output, &serde_json::from_str(value.get()).unwrap_or_default())?;
    }
    Ok(exit)
}

/// `plan`.
pub(super) fn plan(global: &Global, output: &Output) -> Outcome {
    let (exit, value) = ask(global, output, Request::Plan)?;
    let Some(value) = value else { return Ok(exit) };
    if output.format == Format::Json {
        output.line(&pretty(&value))?;
    } else {
        report::plan(output, &serde_json::from_str(value.get()).unwrap_or_default())?;
    }
    Ok(exit)
}

/// `resync`.
pub(super) fn resync(global: &Global, output: &Output, tables: Vec<String>) -> Outcome {
    let (exit, value) = ask(global, output, Request::Resync { tables })?;
    let Some(value) = value else { return Ok(exit) };
    if output.format == Format::Json {
        output.line(&pretty(&value))?;
    } else {
        report::resync(output, &serde_json::from_str(value.get()).unwrap_or_default())?;
    }
    Ok(exit)
}

/// A verb whose answer is printed as it comes.
pub(super) fn print(global: &Global, output: &Output, request: Request) -> Outcome {
    ask(global, output, request).map(|(exit, _)| exit)
}

pub(super) fn pretty(value: &RawValue) -> String {
    serde_json::from_str::<serde_json::Value>(value.get())
        .and_then(|value| serde_json::to_string_pretty(&value))
        .unwrap_or_else(|_| value.get().to_owned())
}

/// Asks and prints what comes; returns how it ended.
pub(super) fn ask(
    global: &Global,
    output: &Output,
    request: Request,
) -> Result<(u8, Option<Box<RawValue>>), Failure> {
    let project = project(global)?;
    let signals = Signals::watch().map_err(crate::error::ProgramError::Signals)?;
    let mut presenter = Presenter::new(output);
    let ended = answer(project, &request, &mut presenter, signals.cancellation());
    // Rows that came before a failure are shown, and then the failure.
    let finished = presenter.finish();
    match (ended, signals.exit()) {
        // What was asked to end ended; that its connection broke off is no news.
        (_, Some(exit)) => Ok((exit, None)),
        (Err(failure), None) => Err(failure),
        (Ok(ended), None) => finished.map(|()| ended),
    }
}

fn answer(
    project: Project,
    request: &Request,
    presenter: &mut Presenter<'_>,
    cancellation: &Cancellation,
) -> Result<(u8, Option<Box<RawValue>>), Failure> {
    match reach(&project.data_dir())? {
        Reached::Running(running) => {
            running.on_cancel(cancellation)?;
            running.ask(request, presenter)
        }
        Reached::Free(_lock) if needs_session(request) => {
            // These need changes to flow: the project runs for as long as the answer takes.
            let desk = Desk::of_instance(project);
            let mut notes = Vec::new();
            let session = Session::start(&desk, Rebuild::Refused, &mut |told| match told {
                Told::Note(text) => notes.push(text),
                // Only what was built again is told so, and that is refused here.
                Told::Failed(_) => {}
            })?;
            for note in notes {
                presenter.emit(Event::Note(note))?;
            }
            let answered = session
                .catch_up(|| cancellation.check())
                .and_then(|()| desk.handle(request.clone(), presenter, cancellation));
            let ended = session.ended();
            session.stop();
            // What ended the session is why it could not answer.
            ended.map_or_else(|| answered.map(ending), Err)
        }
        Reached::Free(_lock) => {
            let desk = Desk::of_files(project);
            let _open = desk.open_files(request)?;
            desk.handle(request.clone(), presenter, cancellation).map(ending)
        }
    }
}

/// Whether the answer needs apply and the source at work.
fn needs_session(request: &Request) -> bool {
    matches!(
        request,
        Request::Verify { .. }
            | Request::Resync { .. }
            | Request::QuarantineReplay { .. }
            | Request::QuarantineDrop { .. }
    )
}

fn ending(event: Event) -> (u8, Option<Box<RawValue>>) {
    match event {
        Event::Done { exit, value } => (exit, value),
        _ => (0, None),
    }
}
