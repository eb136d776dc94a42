//! Those whom the lists of a directory show are contacts, also where much comes at once and where the disk is full.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Shard;
use super::cell::Mail;
use super::testing::{NOW, connect, held, stage};
use crate::actor::groups::{Draft, DraftList, Groups, Membership};
use crate::actor::{Delivery, Disk};
use crate::base::{ActorKey, SessionId, limits};
use crate::im::account::Change;
use crate::jid::Jid;
use crate::stanza::{Header, Kind, Payload, Stanza, Type, ns};

/// Romeo, whose own roster is read and empty, and who is on a list with so many others.
fn house(colleagues: usize) -> (Shard, ActorKey) {
    let (mut shard, actor) = stage();
    connect(&mut shard, actor);
    let members = (0..colleagues).map(|n| format!("u{n}"));
    let members: BTreeSet<String> = members.chain(["romeo".to_owned()]).collect();
    let people = members.iter().map(|name| (name.clone(), String::new()));
    let draft = Draft {
        people: people.collect(),
        lists: vec![DraftList {
            key: "verona".to_owned(),
            name: "Verona".to_owned(),
            members: members.clone(),
            viewers: BTreeSet::new(),
        }],
        rights: Vec::new(),
    };
    let groups = Arc::new(Groups::new(&draft));
    let account = &mut shard.cells[actor].account;
    account.membership = Membership::find(Some(&groups), Some("romeo"));
    account.apply(Change::RosterRead(Arc::default()));
    account.sessions[0].presence = Some(presence("romeo@localhost/orchard"));
    (shard, actor)
}

fn stanza(kind: Kind, type_: Type, from: &str, payload: &str) -> Stanza {
    let mut header = Header::new(kind, type_);
    header.from = Some(Jid::parse(from).expect("valid"));
    header.to = Some(Jid::parse("romeo@localhost").expect("valid"));
    let payload = Payload::from_normal(payload);
    Stanza { header, payload }
}

fn presence(from: &str) -> Stanza {
    stanza(Kind::Presence, Type::Available, from, "")
}

#[test]
fn a_client_hears_of_more_colleagues_than_it_has_room_for_strangers() {
    let (mut shard, actor) = house(300);
    let deliver = |shard: &mut Shard, from: &str| {
        let delivery = Delivery {
            session: SessionId(1),
            stanza: presence(from),
            kept: None,
        };
        shard.deliver(NOW, actor, delivery);
    };
    for n in 0..300 {
        deliver(&mut shard, &format!("u{n}@localhost/desk"));
    }
    assert_eq!(held(&shard, actor).count(), 300);
    deliver(&mut shard, "stranger@localhost/desk");
    assert_eq!(held(&shard, actor).count(), 300);
}

#[test]
fn a_full_mailbox_takes_the_presence_of_colleagues() {
    let (mut shard, actor) = house(1);
    let romeo = shard.cells[actor].account.jid.clone();
    let post = |shard: &mut Shard, from: &str| {
        let mail = Mail::Inbound {
            stanza: presence(from),
            settle: None,
            tell: None,
        };
        shard.post(NOW, &romeo, mail);
        shard.cells[actor].mailbox.counts().1
    };
    for n in 0..limits::MAILBOX_COUNT_MAX {
        post(&mut shard, &format!("stranger{n}@localhost/desk"));
    }
    let full = limits::MAILBOX_COUNT_MAX;
    assert_eq!(post(&mut shard, "another@localhost/desk"), full);
    assert_eq!(post(&mut shard, "u0@localhost/desk"), full + 1);
}

#[test]
fn colleagues_who_archive_nothing_talk_on_while_the_disk_is_full() {
    let (mut shard, actor) = house(1);
    shard.disk = Disk::Full;
    for (from, is_refused) in [("u0@localhost/desk", false), ("who@localhost/desk", true)] {
        let mail = Mail::Inbound {
            stanza: stanza(Kind::Message, Type::Chat, from, "<body>Hark</body>"),
            settle: None,
            tell: None,
        };
        shard.cells[actor].mailbox.push(mail);
        assert_eq!(shard.has_no_room_for(actor), is_refused, "{from}");
        shard.finish_mail(actor);
    }
}

#[test]
fn a_session_ends_for_want_of_what_a_colleague_said_and_not_of_what_a_stranger_did() {
    for (from, is_last) in [("u0@localhost/desk", true), ("who@localhost/desk", false)] {
        let (mut shard, actor) = house(1);
        let copy = format!(
            "<received xmlns='{}'><forwarded xmlns='{}'><message xmlns='{}' from='{from}' to='romeo@localhost/attic'>\
             <body>Hark</body><stanza-id xmlns='{}' id='1' by='romeo@localhost'/></message></forwarded></received>",
            ns::CARBONS,
            ns::FORWARD,
            ns::CLIENT,
            ns::STANZA_ID
        );
        // Half as much again as the bound, then one more.
        for _ in 0..=150 {
            let delivery = Delivery {
                session: SessionId(1),
                stanza: stanza(Kind::Message, Type::Chat, "romeo@localhost", &copy),
                kept: None,
            };
            shard.deliver(NOW, actor, delivery);
        }
        let session = &shard.cells[actor].account.sessions[0];
        assert_eq!(session.stream.is_none(), is_last, "{from}");
        let acks = session.acks.as_ref().expect("set by the stage");
        assert_eq!(acks.lacks, !is_last, "{from}");
    }
}
