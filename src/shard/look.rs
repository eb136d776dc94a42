//! Memory fetched before it is needed. What a message needs of a stream, its account and its session lies in some forty
//! cache lines, and with thousands of sessions in none of the processor's own caches: read one after the other as the work
//! comes to them, each costs the way to memory. Read here for many streams at once, the processor fetches them side by side.
//! Refuses to change anything.

use std::hint::black_box;

use crate::base::StreamKey;

use super::Shard;

impl Shard {
    /// The shell is about to read or write these streams, in this order.
    pub fn look_ahead(&self, streams: &[StreamKey]) {
        let mut seen = 0;
        for &key in streams {
            seen ^= self.streams.get(key).map_or(0, |stream| stream.glance());
        }
        let sessions = || streams.iter().filter_map(|&key| self.session_of(key));
        for at in sessions() {
            seen ^= self.cells.get(at.actor).map_or(0, |cell| cell.glance());
        }
        for at in sessions() {
            let cell = self.cells.get(at.actor);
            let session = cell.and_then(|cell| cell.account.session(at.session));
            seen ^= session.map_or(0, |session| session.glance());
        }
        // Without a use of them the reads would be no reads.
        black_box(seen);
    }
}
