//! Injected faults: a fail point named in `FAILPOINTS` with the action `panic` ends the process there and then, as SIGKILL does. Only test
//! builds have fail points at all; in a release this is nothing.

/// Reads `FAILPOINTS`, for example `log::after_fsync=3*off->panic`: the fourth time.
pub fn arm() {
    if !fail::has_failpoints() || std::env::var_os("FAILPOINTS").is_none() {
        return;
    }
    let others = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        if message.starts_with("failpoint ") {
            // Before anything is unwound: nothing may be flushed, closed or rolled back that a kill would not.
            eprintln!("{message}");
            // SAFETY: sends a signal to this process; the ids are its own.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        }
        others(panic);
    }));
    // Kept until the end: dropping it disarms the points.
    std::mem::forget(fail::FailScenario::setup());
}
