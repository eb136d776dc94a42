//! Presence for many (DESIGN section 11): one envelope for each worker that is a home of some of them. Who is on
//! this server and not using it is not made resident for it.

use crate::actor::Envelope;
use crate::base::{Now, WorkerId};
use crate::jid::Jid;
use crate::stanza::{Stanza, Type};

use super::Shard;
use super::cell::Mail;

impl Shard {
    /// Brings a presence to all of these.
    pub(super) fn spread(&mut self, now: Now, stanza: Stanza, to: Vec<Jid>) {
        let mut elsewhere: Vec<Vec<Jid>> = Vec::new();
        for jid in to {
            if jid.localpart().is_none() || self.config.host(jid.domainpart()).is_none() {
                self.send_abroad(now, &stanza, jid);
                continue;
            }
            let home = self.routes.home(&jid);
            if home == self.place.worker {
                self.visit(now, &stanza, jid);
                continue;
            }
            elsewhere.resize_with(usize::from(self.place.worker_count), Vec::new);
            elsewhere[home.index()].push(jid);
        }
        for (worker, to) in (0..).map(WorkerId).zip(elsewhere) {
            if !to.is_empty() {
                let stanza = stanza.clone();
                self.send(worker, Envelope::Group { stanza, to });
            }
        }
    }

    /// To an account of this worker that somebody uses.
    fn visit(&mut self, now: Now, stanza: &Stanza, to: Jid) {
        let actor = self.homes.get(to.bare_str());
        let Some(cell) = actor.and_then(|&actor| self.cells.get(actor)) else {
            return;
        };
        if cell.account.sessions.iter().all(|session| session.ended) {
            return;
        }
        let mut stanza = stanza.clone();
        stanza.header.to = Some(to.clone());
        let mail = Mail::Inbound {
            stanza,
            settle: None,
            tell: None,
        };
        self.post(now, &to, mail);
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

    fn contacts() -> Vec<Row> {
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
        (0..50).map(contact).collect()
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
        let rows = contacts();
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
}
