//! Ctrl-C and SIGTERM while something is built: what the warehouse runs is interrupted, nothing more is begun, and what was done by then is told and written.

use std::{
    sync::{Arc, OnceLock},
    thread,
};

use millstream_core::{
    build::{BuildConnection, BuildWarehouse},
    log::Result,
    Exit,
};
use millstream_models::engine::watched::{Statements, AGAIN_AFTER};

use crate::{
    error::ProgramError,
    failure::{Doing, Failure, EXIT_INTERRUPTED},
    instance::Cancellation,
    signals::Signals,
};

/// What the process is asked by signals. There is one of it, as there is one process.
static WATCH: OnceLock<Watch> = OnceLock::new();

struct Watch {
    signals: Signals,
    cancellation: Cancellation,
    statements: Arc<Statements>,
}

/// The exit status of a verb that was cancelled. Called by dbt's name it has dbt's, after either signal. By its own it is 130 after Ctrl-C, as of all
/// verbs; after SIGTERM it is that of what is not done, for whoever ended it must not read that all was built.
pub(super) fn exit(as_dbt: bool) -> u8 {
    let asked = WATCH.get().and_then(|watch| watch.signals.exit());
    match asked {
        _ if as_dbt => Exit::Usage as u8,
        Some(EXIT_INTERRUPTED) => EXIT_INTERRUPTED,
        _ => Exit::Wrong as u8,
    }
}

/// Whether the verb was cancelled.
pub(super) fn is_cancelled() -> bool {
    WATCH.get().is_some_and(|watch| watch.cancellation.is_cancelled())
}

/// The warehouse, whose statements a signal interrupts from here on. A second signal ends the process at once.
pub(super) fn watched(
    warehouse: Arc<dyn BuildWarehouse>,
) -> std::result::Result<Arc<dyn BuildWarehouse>, Failure> {
    let watch = match WATCH.get() {
        Some(watch) => watch,
        None => {
            let signals = Signals::watch().map_err(ProgramError::Signals).doing("watching for Ctrl-C")?;
            let cancellation = signals.cancellation().clone();
            let statements = Arc::new(Statements::new(|| ProgramError::Cancelled.into()));
            let running = statements.clone();
            cancellation.on_cancel(Box::new(move || {
                let running = running.clone();
                running.give_up();
                // Not on the thread of the signals, which waits for the second one.
                thread::spawn(move || loop {
                    running.interrupt();
                    thread::sleep(AGAIN_AFTER);
                });
            }));
            let watch = Watch { signals, cancellation, statements };
            WATCH.get_or_init(|| watch)
        }
    };
    Ok(Arc::new(Watched { warehouse, watch }))
}

struct Watched {
    warehouse: Arc<dyn BuildWarehouse>,
    watch: &'static Watch,
}

impl BuildWarehouse for Watched {
    fn connect(&self) -> Result<Box<dyn BuildConnection>> {
        Ok(self.watch.statements.watched(self.warehouse.connect()?))
    }

    fn is_cancelled(&self) -> bool {
        self.watch.cancellation.is_cancelled()
    }
}
