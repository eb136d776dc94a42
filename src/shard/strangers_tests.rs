//! What strangers cost an account, and what of it others feel.

use super::Shard;
use super::input::Input;
use super::output::{Ask, Output};
use super::testing::{NOW, answers, say, stage};
use crate::actor::auth::AccountRef;
use crate::actor::rows::Row;
use crate::actor::{Answer, Catalog, Envelope, Ticket};
use crate::base::{AccountId, ActorKey, Generation, limits};
use crate::features;
use crate::im::roster::{ROSTER, RosterItem, Standing};
use crate::jid::Jid;
use crate::stanza::{Header, Kind, Payload, Stanza, Type, ns};

const ACCOUNT: AccountId = AccountId(7);

/// Romeo's account, of which nothing was read yet, and a session of his that asks for nothing.
fn cold() -> (Shard, ActorKey) {
    let (mut shard, actor) = stage();
    shard.switch(Catalog::new(features::ALL, |_| true));
    shard.cells[actor].account.identity = Some(AccountRef {
        id: ACCOUNT,
        generation: Generation(0),
    });
    (shard, actor)
}

fn friend() -> Row {
    let mut item = RosterItem::unknown(Jid::parse("juliet@localhost").expect("valid"));
    item.version = 1;
    item.standing = Standing {
        to: true,
        from: true,
        listed: true,
        ..Standing::default()
    };
    item.row(ACCOUNT)
}

fn comes(shard: &mut Shard, from: &str, mut header: Header, payload: &str) {
    header.from = Jid::parse(from).ok();
    header.to = header.to.or(Jid::parse("romeo@localhost").ok());
    header.id.get_or_insert("1".into());
    let payload = Payload::from_normal(payload);
    let stanza = Stanza { header, payload };
    let settle = None;
    shard.route(NOW, Envelope::Stanza { stanza, settle });
}

fn asks_last(shard: &mut Shard, from: &str) {
    let query = format!("<query xmlns='{}'/>", ns::LAST);
    comes(shard, from, Header::new(Kind::Iq, Type::Get), &query);
}

/// The tables that were asked for, and the errors of answers that went to others, until nothing is open any more.
fn served(shard: &mut Shard) -> Vec<&'static str> {
    let mut tables = Vec::new();
    loop {
        shard.drive(NOW);
        let outputs = std::iter::from_fn(|| shard.poll_output());
        let asked: Vec<(Ticket, Ask)> = outputs
            .filter_map(|output| match output {
                Output::Ask(ticket, ask) => Some((ticket, ask)),
                _ => None,
            })
            .collect();
        if asked.is_empty() {
            return tables;
        }
        for (ticket, ask) in asked {
            let (table, answer) = match ask {
                Ask::Range { table, .. } => {
                    let rows = match table.name == ROSTER.name {
                        true => vec![friend()],
                        false => Vec::new(),
                    };
                    (table.name, Answer::Range { rows, more: false })
                }
                Ask::Row { table, .. } => (table.name, Answer::Row(None)),
                other => panic!("{other:?}"),
            };
            tables.push(table);
            shard.handle(NOW, Input::Answer(ticket, answer));
        }
    }
}

#[test]
fn what_was_read_for_a_stranger_who_was_refused_is_not_read_again() {
    let (mut shard, _) = cold();
    let mut tables = Vec::new();
    for _ in 0..10 {
        asks_last(&mut shard, "mallory@localhost/1");
        tables.append(&mut served(&mut shard));
    }
    tables.sort_unstable();
    assert_eq!(tables, ["blocklist", "roster"]);
}

#[test]
fn the_owner_does_not_wait_behind_what_strangers_ask() {
    let (mut shard, actor) = cold();
    for number in 0..8_000 {
        asks_last(&mut shard, &format!("mallory@localhost/{number}"));
        shard.drive(NOW);
    }
    let waiting = shard.cells[actor].mailbox.counts().1;
    assert!(waiting <= limits::REQUESTS_WAIT_MAX, "{waiting} wait");
    let query = format!("<query xmlns='{}'/>", ns::ROSTER);
    say(&mut shard, actor, Header::new(Kind::Iq, Type::Get), &query);
    served(&mut shard);
    assert_eq!(answers(&shard, actor), [Type::Result]);
}
