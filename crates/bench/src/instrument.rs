//! What measures goes first: a clock that waits for a processor measures its own wait. Clients that only ask for what others have to make would stand on
//! machines of their own; here they share the processors with everything that they measure.

use rustix::process::{setpriority_process, Pid};

/// Before every thread of what is measured, which may have -10 (`millstream_api::priority`).
const NICE: i32 = -15;

/// Lets the calling thread go first where it may, and what it starts from then on.
pub(crate) fn go_first() {
    // The thread itself; without the right it waits like everybody else.
    let _ = setpriority_process(None, NICE);
}

/// The same for another process.
pub(crate) fn let_go_first(process: Pid) {
    let _ = setpriority_process(Some(process), NICE);
}
