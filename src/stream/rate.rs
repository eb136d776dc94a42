//! Token buckets: a fast writer is slowed at its socket.

use crate::base::Now;

/// Stanzas and bytes that one stream may still send at once.
#[derive(Debug)]
pub struct Rate {
    stanzas: Bucket,
    bytes: Bucket,
}

/// How fast one stream may write.
#[derive(Clone, Copy, Debug)]
pub struct RateLimits {
    pub stanzas_per_s: u64,
    pub stanzas_burst: u64,
    pub bytes_per_s: u64,
    pub bytes_burst: u64,
}

#[derive(Debug)]
struct Bucket {
    /// May be negative: what was taken at once beyond the level is paid back by waiting.
    level: i64,
    filled_at_ms: u64,
}

impl Rate {
    /// Full buckets.
    pub fn new(now: Now, limits: &RateLimits) -> Rate {
        Rate {
            stanzas: Bucket::full(now, limits.stanzas_burst),
            bytes: Bucket::full(now, limits.bytes_burst),
        }
    }

    /// See [`StreamState::glance`](super::StreamState::glance).
    pub(super) fn glance(&self) -> usize {
        (self.stanzas.level ^ self.bytes.level) as usize
    }

    /// A stanza was read.
    pub fn spend_stanza(&mut self) {
        self.stanzas.level -= 1;
    }

    /// Bytes were read.
    pub fn spend_bytes(&mut self, count: usize) {
        self.bytes.level -= count as i64;
    }

    /// When the stream may be read again; none if it may be now.
    pub fn ready_at_ms(&mut self, now: Now, limits: &RateLimits) -> Option<u64> {
        let stanzas = self
            .stanzas
            .ready_at_ms(now, limits.stanzas_per_s, limits.stanzas_burst);
        let bytes = self
            .bytes
            .ready_at_ms(now, limits.bytes_per_s, limits.bytes_burst);
        stanzas.max(bytes)
    }
}

impl Bucket {
    fn full(now: Now, burst: u64) -> Bucket {
        Bucket {
            level: burst as i64,
            filled_at_ms: now.mono_ms,
        }
    }

    fn ready_at_ms(&mut self, now: Now, per_s: u64, burst: u64) -> Option<u64> {
        if self.level > 0 {
            return None;
        }
        // Filled only when it ran empty: the clock arithmetic stays off the common path.
        let elapsed_ms = now.mono_ms.saturating_sub(self.filled_at_ms);
        let gained = (elapsed_ms.saturating_mul(per_s) / 1_000).min(i64::MAX as u64) as i64;
        self.level = self.level.saturating_add(gained).min(burst as i64);
        self.filled_at_ms = now.mono_ms;
        if self.level > 0 {
            return None;
        }
        let missing = (1 - self.level) as u64;
        Some(now.mono_ms + (missing * 1_000).div_ceil(per_s.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RateLimits = RateLimits {
        stanzas_per_s: 10,
        stanzas_burst: 2,
        bytes_per_s: 1_000,
        bytes_burst: 500,
    };

    #[test]
    fn a_burst_passes_and_what_follows_waits_for_its_share() {
        let start = Now {
            mono_ms: 1_000,
            wall_ms: 0,
        };
        let mut rate = Rate::new(start, &LIMITS);
        rate.spend_stanza();
        assert_eq!(rate.ready_at_ms(start, &LIMITS), None);
        rate.spend_stanza();
        let ready = rate
            .ready_at_ms(start, &LIMITS)
            .expect("the burst is spent");
        assert_eq!(ready, 1_100, "ten a second");
        assert_eq!(rate.ready_at_ms(start.plus_ms(100), &LIMITS), None);
    }

    #[test]
    fn bytes_beyond_the_burst_are_paid_back() {
        let start = Now {
            mono_ms: 1_000,
            wall_ms: 0,
        };
        let mut rate = Rate::new(start, &LIMITS);
        rate.spend_bytes(1_500);
        let ready = rate
            .ready_at_ms(start, &LIMITS)
            .expect("a thousand bytes too many");
        assert!(ready >= 2_000, "{ready}");
    }
}
