//! Whether the server takes in more: new connections, and bytes of those it has. Refuses to know the
//! reasons; several may hold it closed at once.

use std::sync::atomic::{AtomicU8, Ordering};

/// Shared by the doorman, the workers, and whoever has a reason to close.
#[derive(Debug, Default)]
pub struct Intake(AtomicU8);

/// Why less is taken in. Each reason is given and taken back by one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The server is shutting down: nobody is let in, those inside go on.
    Drain = 1,
    /// Memory is short: nobody is let in, and those inside are not read until there is some.
    Overload = 2,
}

impl Intake {
    /// Adds a reason.
    pub fn hold(&self, reason: Hold) {
        self.0.fetch_or(reason as u8, Ordering::Relaxed);
    }

    /// Takes it back. Doorman and workers look again within 50 ms.
    pub fn release(&self, reason: Hold) {
        self.0.fetch_and(!(reason as u8), Ordering::Relaxed);
    }

    /// Whether connections are accepted.
    pub fn is_accepting(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    /// Whether accepted connections are read.
    pub fn is_reading(&self) -> bool {
        self.0.load(Ordering::Relaxed) & Hold::Overload as u8 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intake_opens_when_the_last_reason_is_gone() {
        let intake = Intake::default();
        intake.hold(Hold::Drain);
        intake.hold(Hold::Overload);
        assert!(!intake.is_accepting() && !intake.is_reading());
        intake.release(Hold::Overload);
        assert!(!intake.is_accepting() && intake.is_reading());
        intake.release(Hold::Drain);
        assert!(intake.is_accepting());
    }
}
