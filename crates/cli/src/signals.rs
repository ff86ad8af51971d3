//! Ctrl-C and SIGTERM: a clean stop the first time, an end at once the second.

use std::sync::{
    atomic::{AtomicU8, Ordering},
    Arc,
};

use tokio::signal::unix::{signal, SignalKind};

use crate::{failure::EXIT_INTERRUPTED, instance::Cancellation};

const NONE: u8 = 0;
const INTERRUPTED: u8 = 1;
const TERMINATED: u8 = 2;

/// What was asked of the process by signal.
#[derive(Clone)]
pub struct Signals {
    cancellation: Cancellation,
    seen: Arc<AtomicU8>,
}

impl Signals {
    /// Takes the signals from here on: the first cancels, the second ends the process.
    pub fn watch() -> std::io::Result<Self> {
        let signals = Signals { cancellation: Cancellation::default(), seen: Arc::default() };
        let watcher = signals.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (mut interrupt, mut terminate) = {
            let _entered = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            runtime.block_on(async {
                loop {
                    let seen = tokio::select! {
                        _ = interrupt.recv() => INTERRUPTED,
                        _ = terminate.recv() => TERMINATED,
                    };
                    if watcher.seen.swap(seen, Ordering::AcqRel) != NONE {
                        std::process::exit(i32::from(EXIT_INTERRUPTED));
                    }
                    watcher.cancellation.cancel();
                }
            });
        })?;
        Ok(signals)
    }

    /// What the signals cancel.
    pub fn cancellation(&self) -> &Cancellation {
        &self.cancellation
    }

    /// The exit status that a signal asks for, if one came.
    pub fn exit(&self) -> Option<u8> {
        match self.seen.load(Ordering::Acquire) {
            INTERRUPTED => Some(EXIT_INTERRUPTED),
            TERMINATED => Some(0),
            _ => None,
        }
    }
}
