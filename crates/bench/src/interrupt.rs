//! Ctrl-C ends the bench the way an error does: everything that waits looks here, returns, and what was started is stopped and
//! removed on the way out. Killed at once, it would leave gigabytes behind.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn interrupted(_signal: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Takes SIGINT and SIGTERM from here on. By a handler, for a blocked signal would stay blocked in every child.
pub(crate) fn install() {
    let handler: extern "C" fn(libc::c_int) = interrupted;
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler only stores an atomic flag, which is async-signal-safe.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
}

/// An error once the bench was interrupted.
pub(crate) fn check() -> Result<()> {
    if requested() {
        return Err(Error::new("interrupted"));
    }
    Ok(())
}

/// Whether it was.
pub(crate) fn requested() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}
