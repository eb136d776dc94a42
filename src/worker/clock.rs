//! The one place that asks the operating system what time it is. Refuses to know who waits for what.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::base::Now;

/// The clock that all workers of a process share, so that a moment means the same to each of them.
#[derive(Clone, Debug)]
pub struct Clock {
    started: Instant,
    test_offset_ms: Option<Arc<AtomicU64>>,
}

impl Clock {
    /// The system's time.
    pub fn new() -> Clock {
        Clock {
            started: Instant::now(),
            test_offset_ms: None,
        }
    }

    /// The system's time plus what a test has added to `offset_ms`. Whoever adds must tell every
    /// worker ([`super::Order::LookAtClock`]), because sleepers have set their alarm by the old time.
    pub fn for_test(offset_ms: Arc<AtomicU64>) -> Clock {
        Clock {
            started: Instant::now(),
            test_offset_ms: Some(offset_ms),
        }
    }

    /// The moment, read from the system. A test's offset counts on both clocks.
    pub fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        // Milliseconds since 1970 fit in 64 bits by far.
        let wall_ms = wall.unwrap_or_default().as_millis() as u64;
        Now {
            mono_ms: self.mono_ms(),
            wall_ms: wall_ms.saturating_add(self.offset_ms()),
        }
    }

    /// The monotonic half of it alone.
    pub fn mono_ms(&self) -> u64 {
        // As do those since the start of a process.
        let elapsed_ms = self.started.elapsed().as_millis() as u64;
        elapsed_ms.saturating_add(self.offset_ms())
    }

    fn offset_ms(&self) -> u64 {
        match &self.test_offset_ms {
            Some(offset) => offset.load(Ordering::Relaxed),
            None => 0,
        }
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::new()
    }
}
