//! The byte budget of one worker: everything that waits in its queues, and what is shed as it fills (DESIGN
//! section 7). The bounds of single queues do not bound their sum; this does.

use crate::base::{ActorKey, Now, limits};

use super::Shard;

/// How full a worker is. Each threshold has its own victim, the cheapest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pressure {
    None,
    /// New logins wait.
    Logins,
    /// Kept messages stay in the store.
    Floods,
    /// The slowest readers lose their connections.
    Readers,
    /// Sockets are not read.
    Sockets,
}

/// Bytes that wait, each reference charged its size once.
#[derive(Default)]
pub(super) struct Load {
    used: usize,
}

impl Load {
    /// Replaces what one owner was last counted with.
    pub fn recount(&mut self, counted: &mut usize, bytes: usize) {
        self.used = self.used + bytes - *counted;
        *counted = bytes;
    }

    fn pressure(&self, budget: usize) -> Pressure {
        // A budget is below 2^57, so the percentage does not overflow.
        let percent = self.used * 100 / budget.max(1);
        let thresholds = [
            (limits::LOAD_SOCKETS_PERCENT, Pressure::Sockets),
            (limits::LOAD_READERS_PERCENT, Pressure::Readers),
            (limits::LOAD_FLOODS_PERCENT, Pressure::Floods),
            (limits::LOAD_LOGINS_PERCENT, Pressure::Logins),
        ];
        let reached = thresholds.iter().find(|(from, _)| percent >= *from);
        reached.map_or(Pressure::None, |(_, pressure)| *pressure)
    }
}

impl Shard {
    /// How full this worker is.
    pub(super) fn pressure(&self) -> Pressure {
        let shared = self.config.server.queue_memory.as_bytes() as usize;
        self.load
            .pressure(shared / usize::from(self.place.worker_count))
    }

    /// Bytes that wait in this worker's queues, for the judge and metrics.
    pub fn queued_bytes(&self) -> usize {
        self.load.used
    }

    /// An account's queues grew or shrank.
    pub(super) fn count_cell(&mut self, actor: ActorKey) {
        if let Some(cell) = self.cells.get_mut(actor) {
            let bytes = cell.queued_bytes();
            self.load.recount(&mut cell.counted_bytes, bytes);
        }
    }

    /// Once per turn of the loop: detaches the slowest readers while there is too much, lets waiting logins in
    /// and sockets be read again when there is room.
    pub(super) fn relieve(&mut self, now: Now) {
        while self.pressure() >= Pressure::Readers {
            let slowest = self
                .streams
                .iter()
                .max_by_key(|(_, stream)| stream.outbound.bytes())
                .filter(|(_, stream)| stream.outbound.bytes() > limits::OUTBOUND_SOFT_BYTES / 4)
                .map(|(key, _)| key);
            let Some(slowest) = slowest else {
                break;
            };
            self.drop_connection(now, slowest, "the server is short of memory");
        }
        if self.pressure() < Pressure::Sockets && self.sockets_wait {
            self.sockets_wait = false;
            self.resume_paused();
        }
        if self.pressure() < Pressure::Floods {
            for (actor, session) in std::mem::take(&mut self.waiting_floods) {
                self.advance_flood(now, actor, session);
            }
        }
        while self.pressure() < Pressure::Logins {
            let Some(key) = self.waiting_logins.pop_front() else {
                break;
            };
            self.bring_home(now, key);
            self.flush(key);
            self.resume_stream(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_grows_in_the_order_in_which_things_are_shed() {
        let mut load = Load::default();
        let mut counted = 0;
        let mut seen = Vec::new();
        for used in [0, 699, 700, 850, 900, 970, 2_000] {
            load.recount(&mut counted, used);
            seen.push(load.pressure(1_000));
        }
        assert_eq!(
            seen,
            [
                Pressure::None,
                Pressure::None,
                Pressure::Logins,
                Pressure::Floods,
                Pressure::Readers,
                Pressure::Sockets,
                Pressure::Sockets
            ]
        );
        load.recount(&mut counted, 0);
        assert_eq!(load.pressure(1_000), Pressure::None);
    }
}
