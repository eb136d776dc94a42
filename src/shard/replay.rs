//! Tells whose confirmation never came are told again: when the server starts, once an hour, and soon after one was
//! turned away. One worker reads them for all, and gives each to its teller, whose turn knows whether it still stands:
//! so what an account tells another stays in its order. One that is on its way at that moment arrives twice, which is
//! harmless (`im/subscription/half.rs`).

use crate::actor::rows::{Fence, RowKey, RowRange};
use crate::actor::{Answer, Envelope, Tell};
use crate::base::{AccountId, Now, limits};
use crate::im::outgoing::{self, OUTGOING};
use crate::stanza::Stanza;

use super::Shard;
use super::cell::Mail;
use super::output::{Ask, Output};
use super::seats::Seat;

impl Shard {
    /// Reads the first page, or the next.
    pub(super) fn replay_due(&mut self) {
        let after = self.replayed_to.take();
        self.ask_replay(None, after);
    }

    /// A tell was turned away for a reason that passes.
    pub(super) fn retell_soon(&mut self, now: Now) {
        self.timers
            .arm_replay(now.mono_ms + limits::RETELL_AFTER_MS);
    }

    /// What an account left to be told when it was removed.
    pub(super) fn replay_of(&mut self, account: AccountId) {
        self.ask_replay(Some(account), None);
    }

    /// A page of them goes to its tellers; the next one follows when they had time to tell them.
    pub(super) fn replayed(&mut self, now: Now, account: Option<AccountId>, answer: Answer) {
        let (rows, more) = match answer {
            Answer::Range { rows, more } => (rows, more),
            other => {
                log::error!("replay_failed answer={other:?}");
                return;
            }
        };
        let last = rows.last().map(|row| row.key.clone());
        for row in rows {
            let Some((stanza, tell)) = outgoing::decode(&row) else {
                log::error!("outgoing_row_damaged key={:?}", row.key);
                continue;
            };
            self.route(now, Envelope::Retell { stanza, tell });
        }
        match account {
            Some(_) if more && last.is_some() => self.ask_replay(account, last),
            None if more && last.is_some() => {
                self.replayed_to = last;
                self.timers
                    .arm_replay(now.mono_ms + limits::RETELL_PAUSE_MS);
            }
            _ => {}
        }
    }

    /// To the account that told it, here or on its worker.
    pub(super) fn retell(&mut self, now: Now, stanza: Stanza, tell: Tell) {
        let Some(from) = stanza.header.from.clone() else {
            return;
        };
        if self.config.host(from.domainpart()).is_none() {
            // A reload took the domain away; perhaps it comes back.
            return;
        }
        let home = self.routes.home(&from);
        if home != self.place.worker {
            return self.send(home, Envelope::Retell { stanza, tell });
        }
        let actor = self.cell_at(now, &from);
        self.post_to(actor, Mail::Retell { stanza, tell });
    }

    fn ask_replay(&mut self, account: Option<AccountId>, after: Option<RowKey>) {
        let rows = match account {
            None => outgoing::rows_after(after),
            Some(account) => {
                let rows = outgoing::rows_of(account, None);
                let from = after.map_or(rows.from, |key| key.then(&[0]));
                RowRange { from, ..rows }
            }
        };
        let range = RowRange {
            count_max: PAGE_COUNT,
            bytes_max: limits::RANGE_BYTES_MAX,
            ..rows
        };
        // Where the store is overloaded, the next hour will do.
        if let Ok(ticket) = self.seats.take(Seat::Replay(account)) {
            let ask = Ask::Range {
                table: &OUTGOING,
                range,
                fence: Fence::None,
            };
            self.outputs.push_back(Output::Ask(ticket, ask));
        }
    }
}

/// Tells read at a time: they go through mailboxes, which take this many from one sender on top of all else.
const PAGE_COUNT: usize = 100;

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, saved, stage};
    use super::*;
    use crate::actor::Ticket;
    use crate::actor::auth::AccountRef;
    use crate::actor::rows::{Row, Write};
    use crate::base::Generation;
    use crate::im::roster::{Numbers, ROSTER, RosterItem, Standing};
    use crate::jid::Jid;
    use crate::shard::Input;
    use crate::stanza::{Header, Kind, Payload, Type};

    const ACCOUNT: AccountId = AccountId(7);

    fn jid(text: &str) -> Jid {
        Jid::parse(text).expect("valid")
    }

    /// Romeo asked, under this number.
    fn row(number: u64) -> Row {
        let mut header = Header::new(Kind::Presence, Type::Subscribe);
        header.from = Some(jid("romeo@localhost"));
        header.to = Some(jid("juliet@localhost"));
        let stanza = Stanza {
            header,
            payload: Payload::EMPTY,
        };
        let tell = Tell {
            account: ACCOUNT,
            number,
            answers: 0,
        };
        match outgoing::put(&stanza, tell) {
            Write::Put { key, value, .. } => Row {
                key,
                value: value.to_vec(),
            },
            other => panic!("not a row: {other:?}"),
        }
    }

    /// He asked last under this number.
    fn item(asked: u64) -> RosterItem {
        let mut item = RosterItem::unknown(jid("juliet@localhost"));
        item.standing = Standing {
            ask: true,
            listed: true,
            ..Standing::default()
        };
        item.numbers = Numbers {
            asked,
            ..Numbers::default()
        };
        item
    }

    fn question(shard: &mut Shard) -> Option<(Ticket, Ask)> {
        std::iter::from_fn(|| shard.poll_output()).find_map(|output| match output {
            Output::Ask(ticket, ask @ (Ask::Range { table, .. } | Ask::Row { table, .. }))
                if table.name == ROSTER.name =>
            {
                Some((ticket, ask))
            }
            _ => None,
        })
    }

    #[test]
    fn a_tell_is_told_again_while_it_stands_and_else_forgotten() {
        for (asked, stands) in [(9, true), (10, false)] {
            let (mut shard, actor) = stage();
            shard.cells[actor].account.identity = Some(AccountRef {
                id: ACCOUNT,
                generation: Generation(0),
            });
            let rows = vec![row(9)];
            shard.replayed(NOW, None, Answer::Range { rows, more: false });
            shard.drive(NOW);
            while let Some((ticket, ask)) = question(&mut shard) {
                let row = item(asked).row(ACCOUNT);
                let answer = match ask {
                    Ask::Row { .. } => Answer::Row(Some(row.value)),
                    _ => Answer::Range {
                        rows: vec![row],
                        more: false,
                    },
                };
                shard.handle(NOW, Input::Answer(ticket, answer));
            }
            let is_told = shard.homes.contains_key("juliet@localhost");
            assert_eq!(is_told, stands, "{asked}");
            let writes = saved(&mut shard).map(|(_, writes)| writes);
            let mut writes = writes.into_iter().flatten();
            let is_forgotten = writes.any(
                |write| matches!(write, Write::Delete { table, key } if table.name == OUTGOING.name && key == row(9).key),
            );
            assert_eq!(is_forgotten, !stands, "{asked}");
        }
    }

    #[test]
    fn the_next_page_waits_until_the_first_was_told() {
        let (mut shard, _) = stage();
        let rows = vec![row(9)];
        shard.replayed(NOW, None, Answer::Range { rows, more: true });
        assert_eq!(shard.replayed_to, Some(row(9).key));
        let later = Now {
            mono_ms: NOW.mono_ms + limits::RETELL_PAUSE_MS,
            ..NOW
        };
        shard.handle(later, Input::Tick);
        assert_eq!(shard.replayed_to, None);
        let mut asked = std::iter::from_fn(|| shard.poll_output());
        assert!(asked.any(|output| matches!(
            output,
            Output::Ask(_, Ask::Range { table, range, .. })
                if table.name == OUTGOING.name && range.from == row(9).key.then(&[0])
        )));
    }
}
