//! Whether the server lets new connections in, until it shuts down. Refuses to know why it does.

use std::sync::atomic::{AtomicBool, Ordering};

/// Shared by the doorman, the workers, and whoever ends the server.
#[derive(Debug, Default)]
pub struct Intake {
    closed: AtomicBool,
}

impl Intake {
    /// The server is shutting down: nobody is let in any more, those inside go on.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Whether connections are accepted.
    pub fn is_accepting(&self) -> bool {
        !self.closed.load(Ordering::Relaxed)
    }
}
