//! Whether every queue is below its bound, as the table of DESIGN section 7 paints it: for the judge of the simulation,
//! which asks after each step. Refuses to mend anything.

use crate::base::limits;
use crate::im::Session;
use crate::im::acks::CROWD;
use crate::stream::Phase;

use super::Shard;

impl Shard {
    /// The queues that hold more than they may, each as a sentence.
    pub fn overflows(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut bound = |name: &str, holds: usize, max: usize| {
            if holds > max {
                found.push(format!("{name} holds {holds} of {max}"));
            }
        };
        for cell in self.cells.values() {
            let jid = &cell.account.jid;
            let own = cell.mailbox.counts().0;
            let foreign = cell.mailbox.foreign_bytes();
            bound(
                &format!("own mailbox of {jid}"),
                own,
                limits::MAILBOX_OWN_COUNT_MAX,
            );
            let max = limits::MAILBOX_BYTES_MAX * 3 + limits::ELEMENT_BYTES_MAX;
            bound(&format!("mailbox of {jid}"), foreign, max);
            for session in &cell.account.sessions {
                self.bound_session(session, &mut bound);
            }
        }
        let c2s = &self.config.c2s;
        // The stanza that is one too many, and what a resumed session held.
        let element = 2 * c2s.element_size.as_bytes() as usize;
        let replayed = 2 * self.config.sm.unacked_size.as_bytes() as usize + element;
        let max = c2s.outbound_hard.as_bytes() as usize + element + replayed;
        for stream in self.streams.values() {
            if !matches!(stream.phase, Phase::Closing) {
                bound("outbound queue", stream.outbound.bytes(), max);
            }
        }
        // One stanza of a stream may cause a few envelopes, and other workers' are answered whatever waits.
        let max = limits::OUTBOX_COUNT_MAX * 2;
        bound("outbox", self.outboxes.longest(), max);
        let asked = self.seats.store_count();
        bound("store's requests", asked, limits::STORE_OUTSTANDING_MAX * 2);
        found
    }

    fn bound_session(&self, session: &Session, bound: &mut impl FnMut(&str, usize, usize)) {
        // Or it would sleep until chance.
        let is_forgotten = session.missed.is_some() && session.flood.is_none() && !session.ended;
        let name = format!("what {} missed, which no cursor is to read,", session.jid);
        bound(&name, usize::from(is_forgotten), 0);
        if let Some(flood) = &session.flood {
            let max = session.backlog_bounds().count_max;
            let max = max.max(1).saturating_mul(CROWD).saturating_add(2);
            bound(
                &format!("backlog of {}", session.jid),
                flood.backlog().count(),
                max,
            );
        }
        let Some(acks) = &session.acks else {
            return;
        };
        let jid = &session.jid;
        // Two more: the one that costs the connection, and the one that costs the session.
        let max = self.config.sm.unacked_count as usize * CROWD + 2;
        bound(&format!("ack queue of {jid}"), acks.unacked().len(), max);
        let max = limits::UNSETTLED_COUNT_MAX;
        bound(&format!("unsettled of {jid}"), acks.unsettled_count(), max);
        let max = limits::DIRECTED_COUNT_MAX;
        bound(
            &format!("directed presence of {jid}"),
            session.directed.len(),
            max,
        );
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::testing::{NOW, shard};
    use super::*;
    use crate::actor::{Envelope, Tell, Ticket};
    use crate::base::{AccountId, ActorKey, WorkerId};
    use crate::jid::Jid;
    use crate::stanza::{Header, Kind, Payload, Stanza, Type};

    /// A shard with an account whose mailbox's head waits for the store.
    fn parked() -> (Shard, ActorKey) {
        let mut shard = shard(WorkerId(0), 1);
        let actor = shard.cell_at(NOW, &Jid::parse("juliet@localhost").expect("valid"));
        shard.cells[actor].parked = Some(Ticket(u64::MAX));
        (shard, actor)
    }

    fn says(shard: &mut Shard, type_: Type, from: &str) {
        let mut header = Header::new(Kind::Presence, type_);
        header.from = Jid::parse(from).ok();
        header.to = Jid::parse("juliet@localhost").ok();
        let stanza = Stanza {
            header,
            payload: Payload::EMPTY,
        };
        shard.route(
            NOW,
            Envelope::Stanza {
                stanza,
                settle: None,
            },
        );
        shard.drive(NOW);
    }

    fn waiting(shard: &mut Shard, actor: ActorKey) -> Vec<(Type, String)> {
        let mut waiting = Vec::new();
        while let Some(crate::shard::cell::Mail::Inbound { stanza, .. }) =
            shard.cells[actor].mailbox.pop(&mut shard.spare_mail)
        {
            let from = stanza.header.from.expect("set above");
            waiting.push((stanza.header.type_, from.as_str().to_owned()));
        }
        waiting
    }

    #[test]
    fn presence_for_a_full_mailbox_coalesces_by_sender_and_an_unavailable_gets_in() {
        let (mut shard, actor) = parked();
        says(&mut shard, Type::Available, "first@localhost/r");
        for number in 1..limits::MAILBOX_COUNT_MAX {
            says(
                &mut shard,
                Type::Available,
                &format!("u{number}@localhost/r"),
            );
        }
        for _ in 0..2_000 {
            says(&mut shard, Type::Available, "u7@localhost/r");
        }
        says(&mut shard, Type::Unavailable, "u8@localhost/r");
        says(&mut shard, Type::Error, "u9@localhost/r");
        says(&mut shard, Type::Unavailable, "new@localhost/r");
        let waiting = waiting(&mut shard, actor);
        assert_eq!(waiting.len(), limits::MAILBOX_COUNT_MAX + 2);
        let of = |from: &str| -> Vec<Type> {
            let of = waiting.iter().filter(|(_, at)| at == from);
            of.map(|(type_, _)| *type_).collect()
        };
        assert_eq!(of("first@localhost/r"), [Type::Available]);
        assert_eq!(of("u7@localhost/r"), [Type::Available]);
        assert_eq!(of("u8@localhost/r"), [Type::Unavailable]);
        assert_eq!(of("u9@localhost/r"), [Type::Available, Type::Error]);
        assert_eq!(of("new@localhost/r"), [Type::Unavailable]);
    }

    #[test]
    fn messages_for_an_account_that_is_being_read_wait_as_far_as_their_bytes_allow() {
        let (mut shard, actor) = parked();
        let mut count = 0;
        while shard.cells[actor].mailbox.foreign_bytes() < limits::MAILBOX_BYTES_MAX {
            let mut header = Header::new(Kind::Message, Type::Chat);
            header.from = Jid::parse("romeo@localhost/r").ok();
            header.to = Jid::parse("juliet@localhost").ok();
            header.id = Some(format!("m{count}").into());
            let payload = Payload::from_normal("<body>Wherefore art thou?</body>");
            let stanza = Stanza { header, payload };
            let settle = None;
            shard.route(NOW, Envelope::Stanza { stanza, settle });
            count += 1;
            assert_eq!(shard.cells[actor].mailbox.counts().1, count, "one bounced");
        }
        assert!(count > 2 * limits::MAILBOX_COUNT_MAX, "only {count} wait");
        assert_eq!(shard.overflows(), [""; 0]);
    }

    #[test]
    fn a_mailbox_full_of_presence_takes_twice_its_bound_and_no_more() {
        let (mut shard, actor) = parked();
        for number in 0..limits::MAILBOX_COUNT_MAX * 3 {
            says(
                &mut shard,
                Type::Available,
                &format!("u{number}@localhost/r"),
            );
        }
        assert_eq!(
            shard.cells[actor].mailbox.counts().1,
            limits::MAILBOX_COUNT_MAX * 2
        );
        assert_eq!(shard.overflows(), [""; 0]);
    }

    #[test]
    fn a_full_mailbox_takes_no_strangers_presence_but_answers_and_what_is_told() {
        let (mut shard, actor) = parked();
        let nobody = Arc::new(crate::im::roster::Roster::default());
        let read = crate::im::account::Change::Roster(nobody);
        shard.cells[actor].account.apply(read);
        for number in 0..limits::MAILBOX_COUNT_MAX * 2 {
            says(
                &mut shard,
                Type::Available,
                &format!("u{number}@localhost/r"),
            );
        }
        let count = |shard: &Shard| shard.cells[actor].mailbox.counts().1;
        assert_eq!(count(&shard), limits::MAILBOX_COUNT_MAX);
        says(&mut shard, Type::Error, "u9@localhost/r");
        assert_eq!(count(&shard), limits::MAILBOX_COUNT_MAX + 1);
        for number in 1..=limits::MAILBOX_COUNT_MAX as u64 * 3 {
            let mut header = Header::new(Kind::Presence, Type::Subscribe);
            header.from = Jid::parse(&format!("u{number}@localhost")).ok();
            header.to = Jid::parse("juliet@localhost").ok();
            let stanza = Stanza {
                header,
                payload: Payload::EMPTY,
            };
            let tell = Tell {
                account: AccountId(number),
                number,
                answers: 0,
            };
            shard.route(NOW, Envelope::Tell { stanza, tell });
        }
        assert_eq!(count(&shard), limits::MAILBOX_COUNT_MAX * 3);
        assert_eq!(shard.overflows(), [""; 0]);
        // The rows of those that found no room stay, and they are told again soon.
        assert!(
            shard
                .timers
                .next()
                .is_some_and(|at_ms| at_ms <= NOW.mono_ms + limits::RETELL_AFTER_MS)
        );
    }
}
