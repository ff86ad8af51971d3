//! Asking running work to end cleanly.

use tokio::sync::watch;

/// Asks for an end. Dropping it asks too: nobody is left who could.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Hears of it.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stopper {
    /// A pair.
    pub fn new() -> (Stopper, Stop) {
        let (sender, receiver) = watch::channel(false);
        (Stopper(sender), Stop(receiver))
    }

    /// Asks.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Whether an end was asked for.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits until it is. Safe to cancel.
    pub async fn requested(&mut self) {
        // An error means that the other end is gone, which asks too.
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }
}
