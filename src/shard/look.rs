//! Memory fetched before it is needed. What a message needs of a stream, its account and its session lies in some forty
//! cache lines, and with thousands of sessions in none of the processor's own caches: read one after the other as the work
//! comes to them, each costs the way to memory. Read here for many streams at once, the processor fetches them side by side.
//! Refuses to change anything.

use std::hint::black_box;

use crate::base::StreamKey;

use super::Shard;

/// For so many at once is fetched what they need: of more it would not fit into the processor's nearest cache, which has no more
/// reads under way than a few of these ask for.
pub const AHEAD: usize = 8;

impl Shard {
    /// The next accounts have their turn now, most of them because something has come for them; says how many had better run
    /// before the next look.
    pub(super) fn look_at_accounts(&self) -> usize {
        let count = self.ready.len().min(AHEAD);
        if count < 2 {
            return 1;
        }
        let actors = || self.ready.iter().take(count);
        let cells = || actors().filter_map(|&actor| self.cells.get(actor));
        let sessions = || cells().filter_map(|cell| cell.account.sessions.first());
        let mut seen = 0;
        for cell in cells() {
            seen ^= cell.glance();
        }
        for session in sessions() {
            seen ^= session.glance();
        }
        for key in sessions().filter_map(|session| session.stream) {
            seen ^= self.streams.get(key).map_or(0, |stream| stream.glance());
        }
        black_box(seen);
        count
    }

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

#[cfg(test)]
mod tests {
    use super::super::output::Output;
    use super::super::testing::{NOW, connect, held, open, rendered, say, stage, stage_of};
    use super::super::{Batch, CloseReason, Input};
    use super::*;
    use crate::actor::Envelope;
    use crate::base::{ActorKey, SessionId, WorkerId, limits};
    use crate::im::acks::{Acks, Bounds};
    use crate::jid::Jid;
    use crate::stanza::{Header, Kind, Payload, Stanza, Type};
    use crate::stream::SessionRef;

    /// Everything of a shard that somebody outside can see.
    fn seen(shard: &mut Shard) -> (Option<u64>, [usize; 3], bool, Vec<Output>) {
        let outputs = std::iter::from_fn(|| shard.poll_output()).collect();
        let counts = [
            shard.stream_count(),
            shard.resident_accounts(),
            shard.open_questions(),
        ];
        (shard.next_deadline(), counts, shard.has_unsaved(), outputs)
    }

    /// A client that was asked about, and what it hears then; all others are of every other kind.
    fn heard(look: impl Fn(&Shard, &[StreamKey])) -> String {
        let (mut shard, actor) = stage();
        let client = connect(&mut shard, actor);
        let unbound = open(&mut shard);
        let gone = open(&mut shard);
        shard.handle(NOW, Input::Closed(gone, CloseReason::Asked));
        // Its account has left memory, and its session is over.
        let (of_nobody, of_ended) = (open(&mut shard), open(&mut shard));
        let jid = shard.cells[actor].account.sessions[0].jid.clone();
        for (stream, actor, session) in [
            (of_nobody, ActorKey::default(), SessionId(1)),
            (of_ended, actor, SessionId(99)),
        ] {
            shard.streams[stream].bound(SessionRef { actor, session }, jid.clone());
        }
        seen(&mut shard);
        let before = format!("{:?}", seen(&mut shard));
        look(
            &shard,
            &[client, unbound, gone, of_nobody, of_ended, client],
        );
        look(&shard, &[]);
        assert_eq!(format!("{:?}", seen(&mut shard)), before);
        say(
            &mut shard,
            actor,
            Header::new(Kind::Iq, Type::Get),
            "<safe xmlns='urn:trap'/>",
        );
        rendered(&mut shard, client)
    }

    #[test]
    fn a_look_ahead_changes_nothing_whatever_became_of_the_streams() {
        let expected = heard(|_, _| ());
        assert!(expected.contains("type='result'"), "{expected}");
        assert_eq!(heard(|shard, streams| shard.look_ahead(streams)), expected);
    }

    /// So many contacts of another worker say at once where they are, in so many bytes each; how many of them Romeo heard.
    fn heard_of(count: usize, bytes: usize) -> usize {
        let (mut shard, actor) = stage_of(2);
        let bounds = Bounds {
            count_max: 10_000,
            bytes_max: 10_000_000,
        };
        let acks = Acks::new(String::new(), 60_000, bounds);
        shard.cells[actor].account.sessions[0].acks = Some(Box::new(acks));
        let status = format!("<status>{}</status>", "x".repeat(bytes));
        let envelopes = (0..count).map(|number| {
            let mut header = Header::new(Kind::Presence, Type::Available);
            header.from = Jid::parse(&format!("contact-{number}@localhost/garden")).ok();
            header.to = Jid::parse("romeo@localhost/orchard").ok();
            let stanza = Stanza {
                header,
                payload: Payload::from_normal(&status),
            };
            Envelope::Stanza {
                stanza,
                settle: None,
            }
        });
        let batch = Batch {
            from: WorkerId(u8::from(shard.place.worker == WorkerId(0))),
            number: 1,
            envelopes: envelopes.collect(),
        };
        shard.handle(NOW, Input::Mesh(batch));
        assert!(shard.ready.is_empty());
        held(&shard, actor).count()
    }

    #[test]
    fn what_waits_to_be_fetched_together_fills_no_mailbox() {
        let many = 2 * limits::MAILBOX_COUNT_MAX;
        assert_eq!(heard_of(many, 1), many);
        let large = limits::MAILBOX_BYTES_MAX / AHEAD;
        assert_eq!(heard_of(2 * AHEAD, large), 2 * AHEAD);
    }

    #[test]
    fn accounts_that_are_gone_are_nothing_to_look_at() {
        let (mut shard, actor) = stage_of(1);
        shard.ready = [actor, ActorKey::default(), actor].into();
        assert_eq!(shard.look_at_accounts(), 3);
        shard.ready.truncate(1);
        assert_eq!(shard.look_at_accounts(), 1);
        shard.ready = vec![actor; 2 * AHEAD].into();
        assert_eq!(shard.look_at_accounts(), AHEAD, "not more than its bound");
        shard.look_ahead(&[StreamKey::default()]);
    }
}
