//! Time as a value: nobody asks for it, everybody is told.

/// The moment at which a turn happens, read once per turn of the worker's loop (or made up by the
/// simulator).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Milliseconds on a clock that never goes back; its zero means nothing. Deadlines use this one.
    pub mono_ms: u64,
    /// Milliseconds since 1970-01-01T00:00:00Z. May jump; only stamps and stored rows use this one.
    pub wall_ms: u64,
}

impl Now {
    /// The moment `ms` milliseconds after this one, on both clocks.
    pub fn plus_ms(self, ms: u64) -> Now {
        Now {
            mono_ms: self.mono_ms.saturating_add(ms),
            wall_ms: self.wall_ms.saturating_add(ms),
        }
    }
}
