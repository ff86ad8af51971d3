//! Waiting until the warehouse holds what was committed at the source.

use std::{thread, time::Duration};

use millstream_core::Lsn;

use super::session::Live;
use crate::failure::Failure;

/// How often it is looked.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// How often the server is asked to say where it stands: an idle one says so by itself only every few seconds.
const NUDGE_EVERY_LOOKS: u32 = 20;

/// Waits until every transaction that committed before `target` is in the warehouse. `go_on` is asked now and then; its error ends the wait.
pub(super) fn wait(
    live: &Live,
    target: Lsn,
    mut go_on: impl FnMut() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut looks = 0u32;
    loop {
        let status = live.apply.get();
        // A busy apply is never idle enough to say through where it is complete, but what it has applied says enough.
        if live.is_loaded() && status.applied_lsn.max(status.complete_through) >= target {
            return Ok(());
        }
        go_on()?;
        if looks.is_multiple_of(NUDGE_EVERY_LOOKS) {
            live.capture.nudge();
        }
        looks = looks.wrapping_add(1);
        thread::sleep(LOOK_INTERVAL);
    }
}
