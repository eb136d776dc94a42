//! How mail gets into the box of an account, and what becomes of it where the box is full. Refuses to know what a
//! turn makes of it.

use crate::actor::{Envelope, Origin, Tell};
use crate::base::{ActorKey, Now, limits};
use crate::config::Config;
use crate::im::{iq, presence};
use crate::jid::Jid;
use crate::stanza::{Kind, Newcomer, Sender, Stanza, Type};

use super::Shard;
use super::cell::{Cell, Mail};
use super::refuse::overloaded;

impl Shard {
    /// The account at this address, made resident if it is not.
    pub(super) fn cell_at(&mut self, now: Now, jid: &Jid) -> ActorKey {
        let bare = jid.bare_str();
        if let Some(cell) = self.cells.get(self.likely)
            && cell.account.jid.as_str() == bare
        {
            return self.likely;
        }
        let known = self.homes.get(bare).copied();
        self.likely = known.unwrap_or_else(|| self.make_resident(now, jid));
        self.likely
    }

    fn make_resident(&mut self, now: Now, jid: &Jid) -> ActorKey {
        let mut account = crate::im::Account::new(jid.to_bare());
        account.membership = self.membership_of(jid);
        let name = account.jid.share_bare();
        let actor = self.cells.insert(Box::new(Cell::new(now, account)));
        self.homes.insert(name, actor);
        self.note_newcomer(actor);
        actor
    }

    /// Puts mail into the box of the account at this address.
    pub(super) fn post(&mut self, now: Now, to: &Jid, mail: Mail) {
        let actor = self.cell_at(now, to);
        self.post_in(now, actor, mail);
    }

    /// The same where the account is known to be resident.
    pub(super) fn post_in(&mut self, now: Now, actor: ActorKey, mail: Mail) {
        let Mail::Inbound {
            stanza,
            settle,
            tell,
        } = &mail
        else {
            return self.post_to(actor, mail);
        };
        if stanza.header.type_ == Type::Probe
            && self.cells[actor].mailbox.counts().1 >= limits::PROBES_WAIT_MAX
            && let Some(answer) = presence::turned_away(&self.cells[actor].account, stanza)
        {
            // It says nothing that what waits could change.
            let answer = Envelope::Stanza {
                stanza: answer,
                settle: None,
            };
            return self.route(now, answer);
        }
        if self.cells[actor].mailbox.requests() >= limits::REQUESTS_WAIT_MAX
            && let Some(error) = iq::turned_away(&self.catalog, &self.cells[actor].account, stanza)
        {
            let (stanza, settle) = (stanza.clone(), *settle);
            self.bounce(now, &stanza, &error);
            return self.settle(now, settle);
        }
        if !self.cells[actor].mailbox.is_full_for(stanza.header.kind) {
            return self.post_to(actor, mail);
        }
        // DESIGN section 7: messages and IQs bounce; presence coalesces.
        let (stanza, settle, tell) = (stanza.clone(), *settle, *tell);
        if stanza.header.kind == Kind::Presence {
            self.coalesce_mail(now, actor, &stanza);
        }
        if self.has_room_for(actor, &stanza, tell) {
            return self.post_to(actor, mail);
        }
        match (stanza.header.kind, tell) {
            (_, Some(_)) => self.retell_soon(now),
            (Kind::Presence, None) => {}
            _ => self.bounce(now, &stanza, &overloaded()),
        }
        self.settle(now, settle);
    }

    /// Whoever waits for the fate of something that comes to nothing is told.
    pub(super) fn settle(&mut self, now: Now, origin: Option<Origin>) {
        if let Some(origin) = origin {
            self.route(now, Envelope::Settled(origin));
        }
    }

    /// Whether a stanza gets into a mailbox that is full: what nobody says again, and what strangers cannot send.
    fn has_room_for(&self, actor: ActorKey, stanza: &Stanza, tell: Option<Tell>) -> bool {
        let Cell {
            mailbox, account, ..
        } = &*self.cells[actor];
        let header = &stanza.header;
        let is_answer = matches!(header.type_, Type::Result | Type::Error);
        if !mailbox.is_full_for(header.kind) {
            return true;
        }
        if tell.is_some() || is_answer {
            return !mailbox.holds_times(header.kind, 3);
        }
        // RFC 6121 section 4.5.3: what a contact says of itself "MUST" be delivered.
        let is_known = || {
            let from = header.from.as_ref();
            // Who its contacts are may not have been read yet.
            let is_unread = account.last_roster().is_none() && account.roster().is_none();
            let is_contact = |from: &Jid| account.last_standing(from).to || is_unread;
            presence::is_own(account, from)
                || from.is_some_and(is_contact)
                || is_joined(account, &self.config, from)
        };
        header.kind == Kind::Presence && !mailbox.holds_times(Kind::Presence, 2) && is_known()
    }

    /// Takes out of a mailbox what this presence makes void; whoever waits for its fate is told.
    fn coalesce_mail(&mut self, now: Now, actor: ActorKey, stanza: &Stanza) {
        let cell = &mut self.cells[actor];
        let from = stanza.header.from.as_ref();
        let sender = match is_joined(&cell.account, &self.config, from) {
            true => Sender::Joined,
            false => Sender::Other,
        };
        let Some(newcomer) = Newcomer::new(stanza, sender) else {
            return;
        };
        for mail in cell.mailbox.coalesce(&newcomer) {
            if let Some(origin) = mail.settles() {
                self.route(now, Envelope::Settled(origin));
            }
        }
    }

    /// Puts mail into the box of a resident account.
    pub(super) fn post_to(&mut self, actor: ActorKey, mail: Mail) {
        if let Some(cell) = self.cells.get_mut(actor) {
            cell.mailbox.borrow_queue(&mut self.spare_mail);
            cell.mailbox.push(mail);
            self.wake(actor);
        }
    }
}

/// Whether a session of the account has joined this room.
fn is_joined(account: &crate::im::Account, config: &Config, from: Option<&Jid>) -> bool {
    let mut sessions = account.sessions.iter();
    sessions.any(|session| session.sender(config, from) == Sender::Joined)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, say, stage_of};
    use super::*;
    use crate::stanza::Header;

    #[test]
    fn whom_it_is_likely_for_is_a_guess_that_misleads_nobody() {
        let (mut shard, romeo) = stage_of(1);
        let [romeo_at, juliet_at] = ["romeo@localhost/orchard", "juliet@localhost"]
            .map(|text| Jid::parse(text).expect("valid"));
        let juliet = shard.cell_at(NOW, &juliet_at);
        assert_eq!(shard.likely, juliet);
        for likely in [ActorKey::default(), romeo, juliet] {
            shard.likely = likely;
            assert_eq!(shard.cell_at(NOW, &juliet_at), juliet);
            shard.likely = likely;
            assert_eq!(shard.cell_at(NOW, &romeo_at), romeo);
        }
        shard.homes.remove(juliet_at.as_str());
        shard.cells.remove(juliet);
        shard.likely = juliet;
        let again = shard.cell_at(NOW, &juliet_at);
        assert_ne!(again, juliet, "who has left memory is made resident anew");
        assert_eq!(shard.homes[juliet_at.as_str()], again);
    }

    #[test]
    fn whom_one_has_written_to_is_whom_the_next_is_likely_for() {
        let (mut shard, romeo) = stage_of(1);
        for name in ["juliet@localhost", "mercutio@localhost"] {
            let to = Jid::parse(name).expect("valid");
            let mut header = Header::new(Kind::Message, Type::Headline);
            header.to = Some(to.clone());
            say(&mut shard, romeo, header, "");
            let receiver = shard.homes[to.as_str()];
            assert_eq!(shard.cells[romeo].wrote_to, receiver, "{name}");
        }
    }
}
