//! What every error of every room can say about itself.
//!
//! Rooms define their own `thiserror` enums and implement [`Diagnostic`]; the binary turns one into code, message,
//! detail and hint exactly once, at the edge. Codes are stable: `MS1xxx` configuration, `MS2xxx` source, `MS3xxx` log,
//! `MS4xxx` apply, `MS5xxx` warehouse, `MS6xxx` the program itself.

use std::error::Error;

/// What the driving loop does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Passing: wait with a bounded exponential pause and try again.
    Retry,
    /// Nothing will change without a person: stop and say so.
    Stop,
    /// Too much at once: the same in smaller pieces may succeed.
    TakeLess,
    /// The data at hand can't be applied: set it aside with its reason and go on.
    Quarantine,
}

/// The process's exit status for an error (see the contract of the program).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It ran, and something is wrong.
    Wrong = 1,
    /// Bad arguments or configuration.
    Usage = 2,
    /// A server can't be reached or refuses.
    Unreachable = 3,
    /// Refused to protect data.
    Protected = 4,
}

/// An error that knows its stable code, what to do next and how the process should end.
pub trait Diagnostic: Error + Send + Sync + 'static {
    /// Stable code such as `MS2101`.
    fn code(&self) -> &'static str;
    /// What was seen beyond the message: the server's own words, the offending line.
    fn detail(&self) -> Option<String> {
        None
    }
    /// The next step for a person, as an imperative sentence or the statement to run.
    fn hint(&self) -> Option<String> {
        None
    }
    /// What the driving loop does.
    fn action(&self) -> Action {
        Action::Stop
    }
    /// How the process ends if nothing else handles it.
    fn exit(&self) -> Exit {
        Exit::Wrong
    }
}

/// A diagnostic of any room, for the ports.
pub type BoxedDiagnostic = Box<dyn Diagnostic>;

impl<E: Diagnostic> From<E> for BoxedDiagnostic {
    fn from(error: E) -> Self {
        Box::new(error)
    }
}
