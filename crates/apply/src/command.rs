//! What the rest of the program asks of a running apply loop. Commands are heard between batches.

use std::sync::{mpsc::Sender, Arc};

use millstream_core::{
    base::BaseId, warehouse::ReplaceCounts, BoxedDiagnostic, Fence, Lsn, TableId, TableSchema,
};

pub use crate::exec::Replayed;

/// How aligning with a fence ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alignment {
    /// The warehouse holds exactly the transactions that the fence holds, and stays there until [`Command::Resume`].
    At(Lsn),
    /// No position of the commit order holds exactly those transactions: take another snapshot. Measured: 10 of 150.
    NotAPrefix,
    /// The log did not come so far in time.
    TimedOut,
}

/// What became of a table's changes that hold nothing any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Discarded {
    /// Given up.
    pub dropped: usize,
    /// In quarantine still.
    pub held: usize,
}

/// A request, with where its answer goes. An answer nobody waits for any more is dropped.
#[derive(Debug)]
pub enum Command {
    /// Finish the batch at hand and stay there.
    Pause(Sender<Lsn>),
    /// While paused: go on exactly to where the warehouse holds what the fence holds, and stay there.
    Align(Fence, Sender<Result<Alignment, BoxedDiagnostic>>),
    /// While paused at the position of a snapshot: make the table look as it does there, if its rows are proven to be untouched.
    /// Answers whether they are not, so that it must be read again. A table not known so far is taken in.
    Follow(Arc<TableSchema>, Sender<Result<bool, BoxedDiagnostic>>),
    /// While paused at the position that a base's fence was aligned to: make the table's rows equal the base's.
    Replace {
        /// The base that holds the table's rows.
        base: BaseId,
        /// The table.
        table: TableId,
        /// What it changed.
        reply: Sender<Result<ReplaceCounts, BoxedDiagnostic>>,
    },
    /// The source has the table no more.
    Retire(TableId, Sender<Result<(), BoxedDiagnostic>>),
    /// Bring the tables' changes in quarantine back, each table in a transaction of its own. Answers what became of each.
    Replay(Vec<TableId>, Sender<Result<Vec<(TableId, Replayed)>, BoxedDiagnostic>>),
    /// Give up the tables' changes in quarantine that hold nothing any more. Answers how many went and how many stay.
    Discard(Vec<TableId>, Sender<Result<Vec<(TableId, Discarded)>, BoxedDiagnostic>>),
    /// Go on.
    Resume,
}
