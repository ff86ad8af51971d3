//! A connection's work on a thread of its own.
//!
//! A thread that waits for several connections is woken by every packet of each, also by those of a connection that nobody is reading
//! just then. One that has a single busy connection can sleep through its packets ([`crate::wire::Pace`]).

use std::future::Future;

use tokio::{runtime, task::spawn_blocking};

use crate::error::{Result, SourceError};

/// Runs what `begin` makes to its end, on a runtime of one thread. Dropping the future that this returns leaves it running.
pub(crate) async fn run<T, F>(begin: impl FnOnce() -> F + Send + 'static) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>>,
{
    let ran = spawn_blocking(move || {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| SourceError::File { path: "a new thread".into(), reason: error.to_string() })?;
        runtime.block_on(begin())
    });
    match ran.await {
        Ok(result) => result,
        // A panic is not ours to hide.
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(SourceError::Cancelled),
        },
    }
}
