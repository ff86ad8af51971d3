//! One instance per project, and how the other verbs talk to it.
//!
//! `data/lock` is held by whoever has the project open; `data/millstream.sock` is served by `up`. A request is one line of JSON,
//! the answer is [`Event`]s, one a line, the last of which is [`Event::Done`] or [`Event::Failed`].

mod client;
mod lock;
mod protocol;
mod server;
mod socket;
mod workshop;

pub use client::{is_running, reach, Reached, Running};
pub use lock::Lock;
pub use protocol::{Emit, Event, Request, TailLine};
pub use server::{serve, Cancellation, Handler, Server};
pub use workshop::RemoteWorkshop;
