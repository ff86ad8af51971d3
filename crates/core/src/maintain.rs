//! The port of results that are kept and brought forward by what has changed, instead of being read again (incremental view maintenance).

use std::{fmt, sync::Arc, time::Instant};

use crate::{log::Result, position::Lsn, query::Query, warehouse::QueryResult};

/// An answer from a kept result.
#[derive(Debug, Clone)]
pub struct Maintained {
    /// The rows, exactly those that a reader would have given at the position.
    pub result: QueryResult,
    /// Everything committed at or before it is in it, and nothing else.
    pub position: Lsn,
    /// When it was known to be all that the warehouse had.
    pub at: Instant,
    /// Whether [`Maintainer::renew`] brings it forward.
    pub renews: bool,
}

/// Whether answers that were given stay what reading at their position gives: nothing has happened to the tables since but changes of the source. It can be
/// asked by any thread.
#[derive(Clone)]
pub struct Unbroken(Arc<dyn Fn() -> bool + Send + Sync>);

impl Unbroken {
    /// Said by whoever knows.
    pub fn new(is_so: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Unbroken(Arc::new(is_so))
    }

    /// Whether it is still so.
    pub fn is_so(&self) -> bool {
        (self.0)()
    }
}

impl fmt::Debug for Unbroken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Unbroken").field(&self.is_so()).finish()
    }
}

/// Keeps what statements read and follows the changes of their tables. Not every statement can be followed, and nothing is lost where one can't:
/// a reader answers it.
///
/// All of its calls are of the project's own statements, about the present, for somebody who may see everything that they reach.
pub trait Maintainer: Send {
    /// Begins to follow a statement, which reads all of its tables once. `false`: it can't be followed as things are now, or would take too much
    /// memory.
    fn follow(&mut self, sql: &str) -> Result<bool>;

    /// Brings forward what was asked for lately and costs little, so that the next answers need not be waited for.
    fn renew(&mut self) -> Result<()>;

    /// Answers from what is kept, brought forward where it was last before `since`. `None`: the statement is not followed (any more).
    fn answer(&mut self, query: &Query<'_>, since: Instant) -> Result<Option<Maintained>>;

    /// Whether the answers that it has given up to now may still be given.
    fn unbroken(&self) -> Unbroken;
}
