//! A user changed the password or removed the account (XEP-0077): what becomes of the sessions, and of what the
//! account had. Refuses to know how that was asked for.

use std::sync::Arc;

use crate::actor::audit::{AuditEvent, By};
use crate::actor::auth::{AccountAnswer, AccountAsk, AuthAnswer, AuthAsk};
use crate::actor::{Answer, Loaded};
use crate::base::{AccountId, ActorKey, Now, SessionId};
use crate::im::Change;
use crate::stanza::{StreamCondition, StreamError};

use super::Shard;
use super::cell::Mail;
use super::output::{Ask, Output};
use super::turns::Seat;

impl Shard {
    /// The keeper of the credentials answered what the head of the mailbox asked for. What was done stays done, whatever
    /// becomes of the turn: its session may be gone by now, its resource another's, and its handler switched off. So what
    /// follows from it is not left to the turn.
    pub(super) fn own_answered(
        &mut self,
        now: Now,
        actor: ActorKey,
        ask: Box<AccountAsk>,
        answer: AccountAnswer,
    ) {
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        let asker = cell.mailbox.front().and_then(Mail::sender);
        let account: Arc<str> = cell.account.jid.as_str().into();
        let by = By::User(Arc::clone(&account));
        let removed = match (&answer, &*ask) {
            (AccountAnswer::Done(identity), AccountAsk::SetPassword { .. }) => {
                cell.account.apply(Change::Identified(*identity));
                let event = AuditEvent::PasswordChanged { account, by };
                self.outputs.push_back(Output::Audit(event));
                self.part_from_others(now, actor, asker);
                None
            }
            (AccountAnswer::Done(_), AccountAsk::Remove { id, .. }) => {
                let event = AuditEvent::AccountRemoved { account, by };
                self.outputs.push_back(Output::Audit(event));
                Some(*id)
            }
            _ => None,
        };
        if let Some(cell) = self.cells.get_mut(actor) {
            cell.loaded.push(Loaded::Account { ask, answer });
        }
        if let Some(account) = removed {
            // Whoever asked has the answer first.
            self.run(now, actor);
            self.part_from_removed(now, actor, account);
        }
    }

    /// The account has another password: logins under way are void, and where the configuration says so all sessions end
    /// but the one that changed it.
    fn part_from_others(&mut self, now: Now, actor: ActorKey, stays: Option<SessionId>) {
        let Some(cell) = self.cells.get(actor) else {
            return;
        };
        let jid = cell.account.jid.clone();
        if self.config.auth.password_change_ends_sessions {
            let ids = cell.account.sessions.iter().map(|session| session.id);
            let others: Vec<SessionId> = ids.filter(|id| Some(*id) != stays).collect();
            for id in others {
                self.expel(now, actor, id, other_password());
            }
        }
        self.end_logins(now, &jid, &other_password());
    }

    /// The account is no more.
    fn part_from_removed(&mut self, now: Now, actor: ActorKey, account: AccountId) {
        let Some(jid) = self.cells.get(actor).map(|cell| cell.account.jid.clone()) else {
            return;
        };
        self.end_all_sessions(now, actor, removed());
        self.forget_identity(actor);
        self.end_logins(now, &jid, &removed());
        self.removed.push(account);
    }

    /// The rows of removed accounts go, behind everything that this turn saves.
    pub(super) fn purge_parted(&mut self) {
        for account in std::mem::take(&mut self.removed) {
            // It always has a seat.
            if let Ok(ticket) = self.seats.take(Seat::Purge) {
                let ask = Ask::Auth(AuthAsk::Purge(account));
                self.outputs.push_back(Output::Ask(ticket, ask));
            }
        }
    }

    /// The rows of a removed account are gone: its contacts are told.
    pub(super) fn purged(&mut self, answer: Answer) {
        match answer {
            Answer::Auth(AuthAnswer::Purged(account)) => self.replay_of(account),
            // The next start purges again.
            other => log::error!("account_not_purged answer={other:?}"),
        }
    }

    /// Whether rows of removed accounts are to be purged at the end of the turn.
    pub(super) fn has_parted(&self) -> bool {
        !self.removed.is_empty()
    }
}

/// XEP-0077 section 3.2: "the server SHOULD then return a <not-authorized/> stream error and terminate all active
/// sessions for the entity".
fn removed() -> StreamError {
    StreamError::new(StreamCondition::NotAuthorized, "The account was removed")
}

/// RFC 6120 section 4.9.3.16.
fn other_password() -> StreamError {
    StreamError::new(
        StreamCondition::Reset,
        "The password was changed by another client",
    )
}

#[cfg(test)]
mod tests {
    use super::super::input::Input;
    use super::super::testing::{NOW, held, say, stage};
    use super::*;
    use crate::actor::auth::AccountRef;
    use crate::actor::{Catalog, Ticket};
    use crate::base::{Generation, StreamKey};
    use crate::features;
    use crate::im::Session;
    use crate::stanza::{Header, Kind, Type};

    const CHANGED: AccountRef = AccountRef {
        id: AccountId(7),
        generation: Generation(2),
    };

    /// Romeo's session has asked for this; the question that the auth thread has.
    fn asks(shard: &mut Shard, actor: ActorKey, query: &str) -> Ticket {
        shard.switch(Catalog::new(features::ALL, |name| name == "register"));
        let account = &mut shard.cells[actor].account;
        account.identity = Some(AccountRef {
            generation: Generation(1),
            ..CHANGED
        });
        account.sessions[0].secured = true;
        let payload = format!("<query xmlns='jabber:iq:register'>{query}</query>");
        say(shard, actor, Header::new(Kind::Iq, Type::Set), &payload);
        let mut outputs = std::iter::from_fn(|| shard.poll_output());
        outputs
            .find_map(|output| match output {
                Output::Ask(ticket, Ask::Auth(AuthAsk::Own(_))) => Some(ticket),
                _ => None,
            })
            .expect("the auth thread was asked")
    }

    /// Another session, which somebody else may have.
    fn binds(shard: &mut Shard, actor: ActorKey, id: u64, resource: &str) {
        let account = &mut shard.cells[actor].account;
        let jid = account.jid.with_resource(resource).expect("valid");
        let mut session = Session::new(SessionId(id), jid, StreamKey::default());
        (session.secured, session.stream) = (true, None);
        account.sessions.push(session);
    }

    /// The auth thread has done it; the events that are recorded.
    fn done(shard: &mut Shard, ticket: Ticket) -> Vec<AuditEvent> {
        let answer = Answer::Auth(AuthAnswer::Own(AccountAnswer::Done(CHANGED)));
        shard.handle(NOW, Input::Answer(ticket, answer));
        let outputs = std::iter::from_fn(|| shard.poll_output());
        outputs
            .filter_map(|output| match output {
                Output::Audit(event) => Some(event),
                _ => None,
            })
            .collect()
    }

    fn living(shard: &Shard, actor: ActorKey) -> Vec<u64> {
        let sessions = shard.cells[actor].account.sessions.iter();
        let living = sessions.filter(|session| !session.ended);
        living.map(|session| session.id.0).collect()
    }

    fn is_change(event: &AuditEvent) -> bool {
        matches!(event, AuditEvent::PasswordChanged { .. })
    }

    const PASSWORD: &str = "<username>romeo</username><password>other</password>";

    #[test]
    fn who_changes_the_password_stays_and_all_others_go() {
        let (mut shard, actor) = stage();
        binds(&mut shard, actor, 2, "balcony");
        let ticket = asks(&mut shard, actor, PASSWORD);
        let events = done(&mut shard, ticket);
        assert_eq!(events.iter().filter(|event| is_change(event)).count(), 1);
        assert_eq!(living(&shard, actor), [1]);
        let identity = shard.cells[actor].account.identity;
        assert_eq!(identity, Some(CHANGED));
        assert!(shard.outdated.contains_key("romeo@localhost"));
        let told: Vec<Type> = held(&shard, actor).map(|s| s.header.type_).collect();
        assert_eq!(told, [Type::Result]);
    }

    #[test]
    fn who_takes_the_resource_while_the_password_changes_is_not_who_changed_it() {
        let (mut shard, actor) = stage();
        let ticket = asks(&mut shard, actor, PASSWORD);
        // With the old password, onto the same resource: the victim's session ends by conflict.
        shard.expel(NOW, actor, SessionId(1), other_password());
        binds(&mut shard, actor, 2, "orchard");
        let thief = connect_last(&mut shard, actor);
        let events = done(&mut shard, ticket);
        assert_eq!(events.iter().filter(|event| is_change(event)).count(), 1);
        assert_eq!(living(&shard, actor), [0; 0]);
        let heard = super::super::testing::rendered(&mut shard, thief);
        assert!(!heard.contains("<iq"), "{heard}");
        assert!(heard.contains("<reset "), "{heard}");
    }

    #[test]
    fn who_hangs_up_while_the_password_changes_has_changed_it() {
        let (mut shard, actor) = stage();
        binds(&mut shard, actor, 2, "balcony");
        let ticket = asks(&mut shard, actor, PASSWORD);
        shard.end_session(NOW, actor, SessionId(1), Vec::new(), "closed");
        let events = done(&mut shard, ticket);
        assert_eq!(events.iter().filter(|event| is_change(event)).count(), 1);
        assert_eq!(living(&shard, actor), [0; 0]);
        let identity = shard.cells[actor].account.identity;
        assert_eq!(identity, Some(CHANGED));
        assert!(shard.outdated.contains_key("romeo@localhost"));
    }

    #[test]
    fn a_reload_that_takes_the_handler_away_meanwhile_does_not_hide_what_was_done() {
        for (query, is_recorded) in [
            (PASSWORD, is_change as fn(&AuditEvent) -> bool),
            ("<remove/>", |event| {
                matches!(event, AuditEvent::AccountRemoved { .. })
            }),
        ] {
            let (mut shard, actor) = stage();
            binds(&mut shard, actor, 2, "balcony");
            let ticket = asks(&mut shard, actor, query);
            shard.switch(Catalog::new(features::ALL, |_| false));
            let events = done(&mut shard, ticket);
            assert_eq!(events.iter().filter(|e| is_recorded(e)).count(), 1);
            assert!(!living(&shard, actor).contains(&2));
        }
    }

    /// The client of the last session is there.
    fn connect_last(shard: &mut Shard, actor: ActorKey) -> StreamKey {
        let key = super::super::testing::open(shard);
        let session = shard.cells[actor].account.sessions.last_mut();
        let session = session.expect("it was bound");
        session.stream = Some(key);
        let at = crate::stream::SessionRef {
            actor,
            session: session.id,
        };
        let jid = session.jid.clone();
        shard.streams[key].bound(at, jid);
        key
    }
}
