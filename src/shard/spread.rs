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
                self.visit(&stanza, jid);
                continue;
            }
            elsewhere.resize_with(usize::from(self.place.worker_count), Vec::new);
            elsewhere[home.index()].push(jid);
        }
        for (worker, to) in (0..).map(WorkerId).zip(elsewhere) {
            if !to.is_empty() {
                let stanza = stanza.clone();
                self.outboxes.push(worker, Envelope::Group { stanza, to });
            }
        }
    }

    /// To an account of this worker that somebody uses.
    fn visit(&mut self, stanza: &Stanza, to: Jid) {
        let Some(&actor) = self.homes.get(to.bare_str()) else {
            return;
        };
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        if cell.account.sessions.is_empty() {
            return;
        }
        let mut stanza = stanza.clone();
        stanza.header.to = Some(to);
        if cell.mailbox.is_full_of_foreign() && !cell.mailbox.make_room_for(&stanza) {
            return;
        }
        let mail = Mail::Inbound {
            stanza,
            settle: None,
            tell: None,
        };
        self.post_to(actor, mail);
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
