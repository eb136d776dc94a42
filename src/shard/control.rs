//! Orders from the administrator.

use std::sync::Arc;

use crate::actor::Catalog;
use crate::actor::auth::AccountRef;
use crate::base::{ActorKey, Now, StreamKey};
use crate::features;
use crate::jid::Jid;
use crate::stanza::{StreamCondition, StreamError};
use crate::stream::{Login, StreamState};

use super::Shard;
use super::input::Control;
use super::sweep::SWEEPER;

impl Shard {
    pub(super) fn controlled(&mut self, now: Now, control: Control) {
        match control {
            Control::Reconfigure(config) => {
                self.config = Arc::clone(&config);
                // What left the store under the old rules is not counted under the new ones.
                self.forget_archives();
                self.switch(Catalog::new(features::ALL, |name| config.has_feature(name)));
            }
            Control::Drain => self.begin_drain(now),
            Control::Disconnect(jid, account, at_ms) => {
                self.disconnect((now, at_ms), &jid, account);
            }
            Control::Groups(host, groups) => self.regroup(&host, groups),
            Control::GroupsTold(host) => self.act_on_groups(now, &host),
            Control::TellOf(account) if self.place.worker == SWEEPER => self.replay_of(account),
            Control::TellOf(_) => {}
        }
    }

    /// The account is another from now on, or none: its sessions end, and so do logins that proved what it was. Where it is
    /// known what it is, whoever has proved that stays.
    fn disconnect(&mut self, (now, at_ms): (Now, u64), jid: &Jid, account: Option<AccountRef>) {
        if let Some(actor) = self.actor_of(jid) {
            let ending = match account {
                Some(account) => self.outdated_sessions(actor, account),
                None => self.session_ids(actor),
            };
            for id in ending {
                self.revoke(now, actor, id, changed());
            }
            let known = self.cells.get(actor).and_then(|cell| cell.account.identity);
            let is_known = known
                .zip(account)
                .is_some_and(|(known, account)| !known.is_before(account));
            if !is_known {
                self.forget_identity(actor);
            }
        }
        self.end_logins((now, at_ms), jid, account, &changed());
    }

    /// What is known of an account is not so any more. Neither are rows that were read for the turn of its mailbox's head,
    /// nor those that are on their way: it begins anew. What a turn that waits for the disk found is forgotten. What is done to
    /// the account itself is done, and no row: it is waited for (`part.rs`).
    pub(super) fn forget_identity(&mut self, actor: ActorKey) {
        let Some(cell) = self.cells.get_mut(actor) else {
            return;
        };
        cell.account.identity = None;
        cell.account.distrust();
        cell.trim = None;
        if let Some(held) = &mut cell.held {
            held.forget_rows();
        } else {
            cell.loaded.clear();
            cell.runs = 0;
            let is_done = |ticket| self.seats.is_about_account(ticket);
            if !cell.parked.is_some_and(is_done) {
                cell.parked = None;
                self.wake(actor);
            }
        }
    }

    /// Ends what has logged in as `jid` and bound no resource yet, and refuses it, if it began to log in until `until_ms`; where
    /// it is said what the account is now, only those that have proved what it was before.
    pub(super) fn end_logins(
        &mut self,
        (now, until_ms): (Now, u64),
        jid: &Jid,
        account: Option<AccountRef>,
        error: &StreamError,
    ) {
        let is_void = |stream: &StreamState| {
            let login = stream.login.as_ref();
            match account {
                Some(account) => {
                    let proved = login.and_then(|login| login.account);
                    proved.is_none_or(|proved| proved.is_before(account))
                }
                None => login.is_none_or(|login| login.began_at_ms <= until_ms),
            }
        };
        let is_login = |stream: &StreamState| {
            let own = stream.jid.as_ref();
            stream.session.is_none() && own.is_some_and(|own| own.bare_str() == jid.bare_str())
        };
        let logins = self.streams.iter();
        let logins = logins.filter(|(_, stream)| is_login(stream) && is_void(stream));
        let logins: Vec<StreamKey> = logins.map(|(key, _)| key).collect();
        for key in logins {
            self.fail_stream(now, key, error.clone());
        }
        // A verdict may be on its way from the auth thread, or a stream from another worker. No login lasts
        // longer than this.
        let oldest_ms = now
            .mono_ms
            .saturating_sub(self.config.c2s.negotiation_timeout.as_ms());
        self.outdated.retain(|_, it| it.at_ms >= oldest_ms);
        let outdated = self.outdated.entry(jid.bare_str().into()).or_default();
        outdated.at_ms = now.mono_ms;
        match account {
            Some(account) => outdated.account = Some(account),
            None => outdated.all_until_ms = outdated.all_until_ms.max(Some(until_ms)),
        }
    }

    /// Refuses a login that proved what its account was before it was changed; whether it did.
    pub(super) fn refuse_outdated(&mut self, now: Now, key: StreamKey) -> bool {
        let stream = self.streams.get(key);
        let is_outdated = stream.is_some_and(|stream| {
            let own = stream.jid.as_ref().map(Jid::bare_str);
            let outdated = own.and_then(|jid| self.outdated.get(jid));
            let login = stream.login.as_ref();
            outdated
                .zip(login)
                .is_some_and(|(outdated, login)| outdated.has(login))
        });
        if is_outdated {
            self.fail_stream(now, key, changed());
        }
        is_outdated
    }
}

/// Which logins under way are void because their account was changed.
#[derive(Default)]
pub(super) struct Outdated {
    /// When it was changed last, on the monotonic clock.
    at_ms: u64,
    /// All that began until then.
    all_until_ms: Option<u64>,
    /// Those that have proved what it was before this.
    account: Option<AccountRef>,
}

impl Outdated {
    fn has(&self, login: &Login) -> bool {
        // One without an account is anonymous: its name is 128 random bits, which nobody hears before it is in.
        let is_early = self.all_until_ms.is_some_and(|it| login.began_at_ms <= it);
        let proved = self.account.zip(login.account);
        is_early || proved.is_some_and(|(account, proved)| proved.is_before(account))
    }
}

/// RFC 6120 section 4.9.3.16.
fn changed() -> StreamError {
    StreamError::new(
        StreamCondition::Reset,
        "The account was changed by its administrator",
    )
}

#[cfg(test)]
mod tests {
    use super::super::input::Input;
    use super::super::output::{Ask, Output};
    use super::super::testing::{NOW, commits, saved, stage};
    use super::*;
    use crate::actor::rows::{RowKey, Write};
    use crate::actor::{Answer, Envelope, Ticket};
    use crate::base::{AccountId, Generation};
    use crate::im::account::Change;
    use crate::im::credentials::{ACCOUNT, AccountRow, AccountState};
    use crate::im::pending::PENDING;
    use crate::im::roster::Roster;
    use crate::stanza::{Header, Kind, Payload, Stanza, Type};

    /// The row of the account that has the name, by its number.
    fn account(id: u64) -> Answer {
        let row = AccountRow {
            account: AccountRef {
                id: AccountId(id),
                generation: Generation(0),
            },
            state: AccountState::Enabled,
            keys: Vec::new(),
            unverified: Vec::new(),
        };
        Answer::Row(Some(row.encode()))
    }

    /// Nobody is there, and what comes is kept.
    fn away() -> Shard {
        let (mut shard, actor) = stage();
        shard.switch(Catalog::new(features::ALL, |name| name == "offline"));
        shard.cells[actor].account.sessions.clear();
        shard
    }

    /// A message for somebody who is away.
    fn message(shard: &mut Shard) {
        let mut header = Header::new(Kind::Message, Type::Chat);
        header.id = Some("m".into());
        header.from = Some(Jid::parse("juliet@localhost/balcony").expect("valid"));
        header.to = Some(Jid::parse("romeo@localhost").expect("valid"));
        let payload = Payload::from_normal("<body>Hush</body>");
        let stanza = Stanza { header, payload };
        let settle = None;
        shard.route(NOW, Envelope::Stanza { stanza, settle });
        shard.drive(NOW);
    }

    /// The tickets of questions for the account's row.
    fn questions(shard: &mut Shard) -> Vec<Ticket> {
        let outputs = std::iter::from_fn(|| shard.poll_output());
        let asked = outputs.filter_map(|output| match output {
            Output::Ask(ticket, Ask::Row { table, .. }) if table.name == ACCOUNT.name => {
                Some(ticket)
            }
            _ => None,
        });
        asked.collect()
    }

    /// Whose rows are written when nothing more than what is kept has to be read.
    fn owners(shard: &mut Shard) -> Vec<AccountId> {
        let counts = std::iter::from_fn(|| shard.poll_output()).find_map(|output| match output {
            Output::Ask(ticket, Ask::Range { .. }) => Some(ticket),
            _ => None,
        });
        let nothing = Answer::Range {
            rows: Vec::new(),
            more: false,
        };
        shard.handle(NOW, Input::Answer(counts.expect("it is counted"), nothing));
        let (_, writes) = saved(shard).expect("it is kept");
        let owner = |key: &RowKey| {
            key.as_bytes()
                .first_chunk()
                .map(|id| u64::from_be_bytes(*id))
        };
        let owners = writes.iter().filter_map(|write| match write {
            Write::Put { table, key, .. } if table.name == PENDING.name => owner(key),
            _ => None,
        });
        owners.map(AccountId).collect()
    }

    #[test]
    fn a_message_that_waits_for_rows_of_who_had_the_name_is_kept_for_who_has_it_now() {
        let mut shard = away();
        message(&mut shard);
        let asked = questions(&mut shard);
        // The name is given again before the answer is here, and what it says is of before.
        let jid = Jid::parse("romeo@localhost").expect("valid");
        shard.handle(
            NOW,
            Input::Control(Control::Disconnect(jid, None, NOW.mono_ms)),
        );
        let again = questions(&mut shard);
        assert_eq!((asked.len(), again.len()), (1, 1));
        shard.handle(NOW, Input::Answer(asked[0], account(1)));
        shard.handle(NOW, Input::Answer(again[0], account(2)));
        assert_eq!(owners(&mut shard), [AccountId(2)]);
    }

    #[test]
    fn rows_that_were_read_for_a_turn_before_the_name_was_given_again_are_forgotten() {
        let mut shard = away();
        message(&mut shard);
        let asked = questions(&mut shard);
        shard.handle(NOW, Input::Answer(asked[0], account(1)));
        // It waits for another row now.
        let jid = Jid::parse("romeo@localhost").expect("valid");
        shard.handle(
            NOW,
            Input::Control(Control::Disconnect(jid, None, NOW.mono_ms)),
        );
        let again = questions(&mut shard);
        assert_eq!(again.len(), 1);
        shard.handle(NOW, Input::Answer(again[0], account(2)));
        assert_eq!(owners(&mut shard), [AccountId(2)]);
    }

    #[test]
    fn a_turn_that_waits_for_the_disk_does_not_bring_back_who_had_the_name() {
        let (mut shard, actor) = stage();
        super::super::testing::ask(&mut shard, actor, "careful");
        let (ticket, _) = saved(&mut shard).expect("a row was written");
        let was = AccountRef {
            id: AccountId(1),
            generation: Generation(0),
        };
        let held = shard.cells[actor].held.as_mut().expect("it waits");
        held.found(Change::Identified(was));
        held.found(Change::Roster(Arc::new(Roster::default())));
        let jid = Jid::parse("romeo@localhost").expect("valid");
        shard.handle(
            NOW,
            Input::Control(Control::Disconnect(jid, None, NOW.mono_ms)),
        );
        commits(&mut shard, ticket, Ok(()));
        let account = &shard.cells[actor].account;
        assert_eq!(account.identity, None);
        assert!(account.roster().is_none());
    }
}
