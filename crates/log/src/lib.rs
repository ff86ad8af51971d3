//! The embedded log behind the `EventLog` port.
