//! Ctrl-C ends the bench the way an error does: everything that waits looks here, returns, and what was started is stopped and
//! removed on the way out. Killed at once, it would leave gigabytes behind.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::error::{Error, Result};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Takes SIGINT and SIGTERM from here on. Must be called before any other thread starts, for threads inherit what is blocked.
pub(crate) fn install() {
    // SAFETY: the set is initialised by sigemptyset before it is read; the calls touch nothing else.
    let set = unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGINT);
        libc::sigaddset(&mut set, libc::SIGTERM);
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        set
    };
    thread::spawn(move || {
        let mut signal = 0;
        // SAFETY: both point to this thread's own values.
        while unsafe { libc::sigwait(&set, &mut signal) } == 0 {
            INTERRUPTED.store(true, Ordering::Relaxed);
        }
    });
}

/// An error once the bench was interrupted.
pub(crate) fn check() -> Result<()> {
    if INTERRUPTED.load(Ordering::Relaxed) {
        return Err(Error::new("interrupted"));
    }
    Ok(())
}

/// Whether it was.
pub(crate) fn requested() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}
