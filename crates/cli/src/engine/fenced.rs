//! A snapshot of the source, and the warehouse held at exactly what it sees.
//!
//! Apply pauses, a snapshot is taken, and apply goes on to where the warehouse holds what the snapshot sees: from there both sides can be
//! read while changes go on, or one be made equal to the other. Measured: for 10 of 150 snapshots there is no such position, because a
//! snapshot sees the transactions that had ended, not the first n that committed; then another one is taken.

use std::{sync::mpsc, thread, time::Duration};

use millstream_apply::command::{Alignment, Command};
use millstream_core::{BoxedDiagnostic, Lsn, TableId};
use millstream_source::snapshot::HeldSnapshot;

use super::session::Live;
use crate::{
    error::ProgramError,
    failure::{Doing, Failure},
    instance::Cancellation,
};

/// Snapshots tried. At the measured rate of misses, all of these miss once in 10^35.
const SNAPSHOTS_MAX: u32 = 30;

/// The pause between two of them, so that what was about to commit has.
const SNAPSHOT_PAUSE: Duration = Duration::from_millis(20);

/// How often a wait for apply looks whether it is still wanted.
const REPLY_LOOK: Duration = Duration::from_millis(100);

/// Apply held at a position. Dropping it lets apply go on.
pub(super) struct Held<'a> {
    live: &'a Live,
    /// Where.
    pub(super) position: Lsn,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // If apply is gone there is nobody to go on.
        let _ = self.live.commands.send(Command::Resume);
    }
}

/// Takes a snapshot of the tables, with apply held at what it sees.
pub(super) fn hold<'a>(
    live: &'a Live,
    tables: &[TableId],
    cancellation: &Cancellation,
) -> Result<(HeldSnapshot, Held<'a>), Failure> {
    for _ in 0..SNAPSHOTS_MAX {
        cancellation.check()?;
        let (reply, paused) = mpsc::channel();
        send(live, Command::Pause(reply))?;
        // From here on every way out lets apply go on.
        let mut held = Held { live, position: receive(&paused, cancellation)? };
        let taking = HeldSnapshot::take(&live.source.connection, Some(&live.source.publication), tables);
        let snapshot = live.runtime.block_on(taking).doing("taking a snapshot of the source")?;
        let (reply, aligned) = mpsc::channel();
        send(live, Command::Align(snapshot.fence.clone(), reply))?;
        live.capture.nudge();
        let alignment: Result<Alignment, BoxedDiagnostic> = receive_nudging(live, &aligned, cancellation)?;
        match alignment.doing("bringing the warehouse to the snapshot's position")? {
            Alignment::At(position) => {
                held.position = position;
                return Ok((snapshot, held));
            }
            Alignment::NotAPrefix | Alignment::TimedOut => {
                drop(held);
                live.runtime.block_on(snapshot.release());
                thread::sleep(SNAPSHOT_PAUSE);
            }
        }
    }
    Err(ProgramError::NoCommonPosition { snapshots: SNAPSHOTS_MAX }.into())
}

/// Sends a command to apply.
pub(super) fn send(live: &Live, command: Command) -> Result<(), Failure> {
    live.commands.send(command).map_err(|_| ProgramError::Cancelled.into())
}

/// Waits for apply's answer.
pub(super) fn receive<T>(answer: &mpsc::Receiver<T>, cancellation: &Cancellation) -> Result<T, Failure> {
    loop {
        match answer.recv_timeout(REPLY_LOOK) {
            Ok(answer) => return Ok(answer),
            Err(mpsc::RecvTimeoutError::Timeout) => cancellation.check()?,
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(ProgramError::Cancelled.into()),
        }
    }
}

/// The same, making an idle server say where it stands meanwhile.
fn receive_nudging<T>(
    live: &Live,
    answer: &mpsc::Receiver<T>,
    cancellation: &Cancellation,
) -> Result<T, Failure> {
    loop {
        match answer.recv_timeout(REPLY_LOOK) {
            Ok(answer) => return Ok(answer),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                live.capture.nudge();
                cancellation.check()?;
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(ProgramError::Cancelled.into()),
        }
    }
}
