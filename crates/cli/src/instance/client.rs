//! The asking end, and the way to a project that may or may not be running.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::value::RawValue;

use super::{
    lock::Lock,
    protocol::{Emit, Event, Request},
    server::Cancellation,
    socket,
};
use crate::{error::ProgramError, failure::Failure};

/// How long a verb waits for an instance that holds the lock but does not serve yet, or for another short verb to end.
const REACH_WAIT_MAX: Duration = Duration::from_secs(10);

/// How often it looks.
const REACH_INTERVAL: Duration = Duration::from_millis(50);

/// The way to a project.
pub enum Reached {
    /// An instance runs.
    Running(Running),
    /// None does, and none can while the lock is held.
    Free(Lock),
}

/// A running instance.
#[derive(Debug)]
pub struct Running {
    stream: UnixStream,
}

/// Whether an instance serves the project's socket.
pub fn is_running(data: &Path) -> bool {
    socket::connect(data).is_ok()
}

/// Finds the running instance, or takes the lock where none runs.
pub fn reach(data: &Path) -> Result<Reached, ProgramError> {
    let started = Instant::now();
    loop {
        if let Ok(stream) = socket::connect(data) {
            return Ok(Reached::Running(Running { stream }));
        }
        match Lock::take(data) {
            Ok(lock) => return Ok(Reached::Free(lock)),
            Err(ProgramError::OwnedByAnother { .. }) if started.elapsed() < REACH_WAIT_MAX => {
                std::thread::sleep(REACH_INTERVAL);
            }
            Err(error) => return Err(error),
        }
    }
}

impl Running {
    /// Breaks the connection off when that is asked for, which cancels the request at the other end.
    pub fn on_cancel(&self, cancellation: &Cancellation) -> Result<(), ProgramError> {
        let stream = self
            .stream
            .try_clone()
            .map_err(|error| ProgramError::InstanceLost { detail: error.to_string() })?;
        cancellation.on_cancel(Box::new(move || {
            // It may be broken off already.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }));
        Ok(())
    }

    /// Asks, and once the answer has ended gives the connection for what comes behind it.
    pub(super) fn open(self, request: &Request) -> Result<UnixStream, Failure> {
        let lost = |error: io::Error| ProgramError::InstanceLost { detail: error.to_string() };
        let stream = self.stream.try_clone().map_err(lost)?;
        self.ask(request, &mut |_: Event| Ok(()))?;
        Ok(stream)
    }

    /// Asks, hands on every event but the last, and returns how it ended: the exit status and the result.
    pub fn ask(self, request: &Request, emit: &mut dyn Emit) -> Result<(u8, Option<Box<RawValue>>), Failure> {
        let lost = |error: io::Error| ProgramError::InstanceLost { detail: error.to_string() };
        let mut line = serde_json::to_vec(request)
            .map_err(|error| ProgramError::InstanceLost { detail: error.to_string() })?;
        line.push(b'\n');
        (&self.stream).write_all(&line).map_err(lost)?;
        let mut reader = BufReader::new(&self.stream);
        let mut text = String::new();
        loop {
            text.clear();
            if reader.read_line(&mut text).map_err(lost)? == 0 {
                return Err(ProgramError::InstanceLost { detail: "it closed the connection".into() }.into());
            }
            let event: Event = serde_json::from_str(&text)
                .map_err(|error| ProgramError::InstanceLost { detail: error.to_string() })?;
            match event {
                Event::Done { exit, value } => return Ok((exit, value)),
                Event::Failed(failure) => return Err(failure),
                event => emit.emit(event)?,
            }
        }
    }
}
