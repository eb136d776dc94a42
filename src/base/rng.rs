//! Randomness as an argument: a ChaCha20 stream, seeded by the operating system in production and by the
//! world's seed in the simulator.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng};

/// A cryptographically secure generator; one per owner, never shared between threads.
pub struct Rng(ChaCha20Rng);

impl Rng {
    /// A generator that continues from 256 secret bits.
    pub fn from_seed(seed: [u8; 32]) -> Rng {
        Rng(ChaCha20Rng::from_seed(seed))
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`; the bias of the remainder is below 2^-32 for any bound used here.
    pub fn below(&mut self, bound: u32) -> u32 {
        assert!(bound > 0, "a number below zero does not exist");
        // The remainder is below a u32 and so fits.
        (self.next_u64() % u64::from(bound)) as u32
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// The one maker of unguessable names (stream ids, resumption ids, nonces): 144 random bits, above the
    /// 128 that our checklist asks for, as 24 characters of the URL-safe base64 alphabet.
    pub fn token(&mut self) -> String {
        let mut bytes = [0; 18];
        self.fill(&mut bytes);
        URL_SAFE_NO_PAD.encode(bytes)
    }
}
