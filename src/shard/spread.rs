//! Presence for many (DESIGN section 11): one envelope for each worker that is a home of some of them. Who is on
//! this server and not using it is not made resident for it. So many are visited at a time, the rest when others had
//! their turn (DESIGN section 4); what the same account says meanwhile waits behind.

use memchr::memchr;

use crate::actor::Envelope;
use crate::base::{Now, WorkerId, limits};
use crate::jid::{Jid, JidList};
use crate::stanza::{Stanza, Type};

use super::Shard;
use super::cell::Mail;

impl Shard {
    /// Brings a presence to all of these: to the first now.
    pub(super) fn spread(&mut self, now: Now, stanza: Stanza, mut to: JidList) {
        if to.len() > limits::SPREAD_COUNT {
            let rest = Envelope::Group {
                to: to.split_off(limits::SPREAD_COUNT),
                stanza: stanza.clone(),
            };
            // In front of what waits behind it.
            self.spreading.push_front(rest);
            self.timers.arm_spread(now.mono_ms + 1);
        }
        self.spread_now(now, stanza, &to);
    }

    /// What has to wait behind presence of the same account that is still on its way to some, does; else it is given
    /// back.
    pub(super) fn behind_spread(&mut self, envelope: Envelope) -> Option<Envelope> {
        if self.spreading.is_empty() {
            return Some(envelope);
        }
        let from = source(&envelope);
        let is_same = |waits: &Envelope| from.is_some() && source(waits) == from;
        if !self.spreading.iter().any(is_same) {
            return Some(envelope);
        }
        self.spreading.push_back(envelope);
        None
    }

    /// The next of them.
    pub(super) fn spread_due(&mut self, now: Now) {
        for _ in 0..limits::SPREAD_COUNT {
            let Some(envelope) = self.spreading.pop_front() else {
                return;
            };
            let is_group = matches!(envelope, Envelope::Group { .. });
            self.carry(now, envelope);
            if is_group {
                break;
            }
        }
        if !self.spreading.is_empty() {
            self.timers.arm_spread(now.mono_ms + 1);
        }
    }

    fn spread_now(&mut self, now: Now, stanza: Stanza, to: &JidList) {
        let mut elsewhere: Vec<JidList> = Vec::new();
        // Most contacts are of one domain.
        let mut served = "";
        for text in to.iter() {
            let bare = memchr(b'/', text.as_bytes()).map_or(text, |slash| &text[..slash]);
            let domain = memchr(b'@', bare.as_bytes()).map(|at| &bare[at + 1..]);
            let is_served =
                domain.is_some_and(|domain| domain == served || self.config.host(domain).is_some());
            let Some(domain) = domain.filter(|_| is_served) else {
                if let Some(jid) = Jid::from_prepared(text) {
                    self.send_abroad(now, &stanza, jid);
                }
                continue;
            };
            served = domain;
            let home = self.routes.home_of(bare);
            if home == self.place.worker {
                self.visit(now, &stanza, bare, text);
                continue;
            }
            elsewhere.resize_with(usize::from(self.place.worker_count), JidList::default);
            elsewhere[home.index()].push_prepared(text);
        }
        for (worker, to) in (0..).map(WorkerId).zip(elsewhere) {
            if !to.is_empty() {
                let stanza = stanza.clone();
                self.send(worker, Envelope::Group { stanza, to });
            }
        }
    }

    /// To an account of this worker that somebody uses.
    fn visit(&mut self, now: Now, stanza: &Stanza, bare: &str, text: &str) {
        let Some(&actor) = self.homes.get(bare) else {
            return;
        };
        let Some(cell) = self.cells.get(actor) else {
            return;
        };
        if cell.account.sessions.iter().all(|session| session.ended) {
            return;
        }
        let to = match bare == text {
            true => Some(cell.account.jid.clone()),
            false => Jid::from_prepared(text),
        };
        let mut stanza = stanza.clone();
        stanza.header.to = to;
        let mail = Mail::Inbound {
            stanza,
            settle: None,
            tell: None,
        };
        self.post_in(now, actor, mail);
    }

    /// To a contact elsewhere, each by itself.
    fn send_abroad(&mut self, now: Now, stanza: &Stanza, to: Jid) {
        let mut stanza = stanza.clone();
        if stanza.header.type_ == Type::Probe {
            // RFC 6121 section 4.3: "the value of the 'from' address MUST be the bare JID of the subscribed user".
            stanza.header.from = stanza.header.from.map(|from| from.to_bare());
        }
        stanza.header.to = Some(to);
        self.route(
            now,
            Envelope::Stanza {
                stanza,
                settle: None,
            },
        );
    }
}

/// The account that says it.
fn source(envelope: &Envelope) -> Option<&str> {
    let (Envelope::Stanza { stanza, .. }
    | Envelope::Group { stanza, .. }
    | Envelope::Tell { stanza, .. }) = envelope
    else {
        return None;
    };
    stanza.header.from.as_ref().map(Jid::bare_str)
}

#[cfg(test)]
mod tests {
    use super::super::output::{Ask, Output};
    use super::super::testing::{NOW, answers, held, say, stage_of};
    use super::*;
    use crate::actor::auth::AccountRef;
    use crate::actor::rows::Row;
    use crate::actor::{Answer, Catalog, Ticket};
    use crate::base::{AccountId, Generation};
    use crate::features;
    use crate::im::blocking::BLOCKLIST;
    use crate::im::roster::{ROSTER, RosterItem, Standing};
    use crate::shard::Input;
    use crate::stanza::{Header, Kind, ns};

    const ACCOUNT: AccountId = AccountId(7);

    fn contacts(count: u32) -> Vec<Row> {
        let contact = |number: u32| {
            let jid = format!("contact-{number}@localhost");
            let mut item = RosterItem::unknown(Jid::parse(&jid).expect("valid"));
            item.name = format!("Contact {number}");
            item.version = 1;
            item.standing = Standing {
                to: true,
                from: true,
                listed: true,
                ..Standing::default()
            };
            item.row(ACCOUNT)
        };
        (0..count).map(contact).collect()
    }

    /// Questions about rows, and their tables.
    fn questions(shard: &mut Shard) -> Vec<(Ticket, &'static str)> {
        let outputs = std::iter::from_fn(|| shard.poll_output());
        let about_rows = |output| match output {
            Output::Ask(ticket, Ask::Range { table, .. } | Ask::Row { table, .. }) => {
                Some((ticket, table.name))
            }
            _ => None,
        };
        outputs.filter_map(about_rows).collect()
    }

    #[test]
    fn a_login_with_fifty_contacts_reads_two_tables_once_and_sends_two_envelopes_to_each_worker() {
        let (mut shard, actor) = stage_of(4);
        shard.switch(Catalog::new(features::ALL, |_| true));
        shard.cells[actor].account.identity = Some(AccountRef {
            id: ACCOUNT,
            generation: Generation(0),
        });
        let query = format!("<query xmlns='{}'/>", ns::ROSTER);
        let get = Header::new(Kind::Iq, Type::Get);
        say(&mut shard, actor, get, &query);
        let [(ticket, table)] = questions(&mut shard)[..] else {
            panic!("the roster is read once");
        };
        assert_eq!(table, ROSTER.name);
        let rows = contacts(50);
        let answer = Answer::Range { rows, more: false };
        shard.handle(NOW, Input::Answer(ticket, answer));
        let roster = held(&shard, actor).next().expect("the roster is answered");
        assert_eq!(roster.payload.xml().matches("<item ").count(), 50);

        let initial = Header::new(Kind::Presence, Type::Available);
        say(&mut shard, actor, initial, "");
        // Whom nobody may see, and who is not seen.
        let [(ticket, table)] = questions(&mut shard)[..] else {
            panic!("the blocklist is read once");
        };
        assert_eq!(table, BLOCKLIST.name);
        shard.handle(NOW, Input::Answer(ticket, Answer::Row(None)));
        assert_eq!(questions(&mut shard), []);
        assert_eq!(answers(&shard, actor), [Type::Result, Type::Available]);
        let mut told = [0, 0];
        for worker in (0..4).map(WorkerId) {
            let Some(batch) = shard.take_batch(worker) else {
                continue;
            };
            assert_eq!(batch.envelopes.len(), 2, "{worker:?}");
            for envelope in batch.envelopes {
                let Envelope::Group { stanza, to } = envelope else {
                    panic!("not a group: {envelope:?}");
                };
                told[usize::from(stanza.header.type_ == Type::Probe)] += to.len();
            }
        }
        // What is left lives here, and nobody uses it.
        assert!(
            told[0] == told[1] && (30..50).contains(&told[0]),
            "{told:?}"
        );
        assert_eq!(shard.resident_accounts(), 1);
    }

    #[test]
    fn many_contacts_are_told_a_part_at_a_time_and_what_follows_waits() {
        let (mut shard, actor) = stage_of(1);
        let jid = |number: usize| Jid::parse(&format!("contact-{number}@localhost"));
        let count = 2 * limits::SPREAD_COUNT + 7;
        let to: Vec<Jid> = (0..count)
            .map(|number| jid(number).expect("valid"))
            .collect();
        let to: JidList = to.iter().collect();
        let mut header = Header::new(Kind::Presence, Type::Available);
        header.from = Some(shard.cells[actor].account.jid.clone());
        let stanza = Stanza {
            header,
            payload: crate::stanza::Payload::EMPTY,
        };
        let left = |shard: &Shard| -> Vec<usize> {
            let waits = shard.spreading.iter();
            let count = |envelope: &Envelope| match envelope {
                Envelope::Group { to, .. } => to.len(),
                _ => 0,
            };
            waits.map(count).collect()
        };
        let group = Envelope::Group {
            stanza: stanza.clone(),
            to,
        };
        shard.route(NOW, group.clone());
        assert_eq!(left(&shard), [limits::SPREAD_COUNT + 7]);
        // From the same account, and from another.
        let mut gone = stanza.clone();
        gone.header.to = jid(count - 1).ok();
        let envelope = |stanza| Envelope::Stanza {
            stanza,
            settle: None,
        };
        shard.route(NOW, envelope(gone.clone()));
        gone.header.from = Jid::parse("somebody@localhost").ok();
        shard.route(NOW, envelope(gone));
        assert_eq!(left(&shard), [limits::SPREAD_COUNT + 7, 0]);
        let at = |ms: u64| Now {
            mono_ms: NOW.mono_ms + ms,
            ..NOW
        };
        shard.handle(at(1), Input::Tick);
        assert_eq!(left(&shard), [7, 0]);
        shard.handle(at(2), Input::Tick);
        assert_eq!(left(&shard), [0]);
        shard.handle(at(3), Input::Tick);
        assert!(left(&shard).is_empty());
    }
}
