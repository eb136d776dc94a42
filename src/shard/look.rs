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

#[cfg(test)]
mod tests {
    use super::super::output::Output;
    use super::super::testing::{NOW, connect, open, rendered, say, stage};
    use super::super::{CloseReason, Input};
    use super::*;
    use crate::base::{ActorKey, SessionId};
    use crate::stanza::{Header, Kind, Type};
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
}
