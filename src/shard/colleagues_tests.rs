//! Those whom the lists of a directory show are contacts, also where much comes at once and where the disk is full; and a
//! version of the roster never says that a client has seen whom nobody has told it of.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Shard;
use super::cell::Mail;
use super::testing::{NOW, connect, held, say, stage};
use crate::actor::groups::{Draft, DraftList, Groups, Membership};
use crate::actor::{Catalog, Delivery, Disk};
use crate::base::{ActorKey, SessionId, limits};
use crate::features;
use crate::im::account::Change;
use crate::im::roster::shared;
use crate::jid::Jid;
use crate::stanza::{Header, Kind, Payload, Stanza, Type, ns};

/// Romeo, whose own roster is read and empty, and who is on a list with so many others.
fn house(colleagues: usize) -> (Shard, ActorKey) {
    let (mut shard, actor) = stage();
    connect(&mut shard, actor);
    let groups = verona("verona", colleagues);
    let account = &mut shard.cells[actor].account;
    account.membership = Membership::find(Some(&groups), Some("romeo"));
    account.apply(Change::RosterRead(Arc::default()));
    account.sessions[0].presence = Some(presence("romeo@localhost/orchard"));
    (shard, actor)
}

/// A list with this key, of him and so many others.
fn verona(key: &str, colleagues: usize) -> Arc<Groups> {
    let members = (0..colleagues).map(|n| format!("u{n}"));
    let members: BTreeSet<String> = members.chain(["romeo".to_owned()]).collect();
    let people = members.iter().map(|name| (name.clone(), String::new()));
    let draft = Draft {
        people: people.collect(),
        lists: vec![DraftList {
            key: key.to_owned(),
            name: "Verona".to_owned(),
            members: members.clone(),
            viewers: BTreeSet::new(),
        }],
        rights: Vec::new(),
    };
    Arc::new(Groups::new(&draft))
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
        // Twice as much as the bound, then one more.
        for _ in 0..=200 {
            let delivery = Delivery {
                session: SessionId(1),
                stanza: stanza(Kind::Message, Type::Chat, "romeo@localhost", &copy),
                kept: None,
            };
            shard.deliver(NOW, actor, delivery);
        }
        let session = &shard.cells[actor].account.sessions[0];
        assert_eq!(session.stream.is_none(), is_last, "{from}");
    }
}

/// The same, and his client knows the roster as it is.
fn known(colleagues: usize) -> (Shard, ActorKey) {
    let (mut shard, actor) = house(colleagues);
    shard.switch(Catalog::new(features::ALL, |_| true));
    let account = &mut shard.cells[actor].account;
    account.apply(Change::BlocklistRead(Arc::default()));
    let digest = account.membership.digest();
    let ver = format!("00000000-0.{digest:016x}");
    let query = format!("<query xmlns='{}' ver='{ver}'/>", ns::ROSTER);
    say(&mut shard, actor, Header::new(Kind::Iq, Type::Get), &query);
    let answer = held(&shard, actor).last().expect("nothing has to be read");
    assert_eq!(answer.header.type_, Type::Result);
    assert!(answer.payload.is_empty(), "{}", answer.payload.xml());
    (shard, actor)
}

/// Of lists with more members these are not told one by one.
const PUSHES_MAX: usize = 8;

/// The lists are these from now on, for all workers.
fn learn(shard: &mut Shard, actor: ActorKey, groups: Arc<Groups>) {
    let account = &mut shard.cells[actor].account;
    let membership = Membership::find(Some(&groups), Some("romeo"));
    let before = std::mem::replace(&mut account.membership, membership);
    if shared::is_touched(&before, &account.membership, PUSHES_MAX) {
        shard.post_to(actor, Mail::Regrouped(Box::new(before)));
        shard.drive(NOW);
    }
}

/// Versions of the roster that pushes have told.
fn pushed(shard: &Shard, actor: ActorKey) -> Vec<String> {
    let pushes = held(shard, actor).filter(|stanza| stanza.header.type_ == Type::Set);
    let versions = pushes.filter_map(|stanza| {
        let query = stanza.payload.child(ns::ROSTER, "query")?;
        Some(query.attribute("ver")?.into_owned())
    });
    versions.collect()
}

/// The version that a push of something of his own tells.
fn own_push(shard: &mut Shard, actor: ActorKey) -> String {
    let item = "<item jid='u0@localhost'><group>Verona</group></item>";
    let query = format!("<query xmlns='{}'>{item}</query>", ns::ROSTER);
    say(shard, actor, Header::new(Kind::Iq, Type::Set), &query);
    let pushed = pushed(shard, actor);
    pushed.last().expect("he is told what he sees").clone()
}

/// Whether a client that comes with this version is told that nothing is new.
fn is_known(shard: &Shard, actor: ActorKey, ver: &str) -> bool {
    let account = &shard.cells[actor].account;
    let roster = account.roster().expect("it was read");
    shared::known(account, &roster, ver).is_some()
}

#[test]
fn whoever_was_told_of_all_that_is_new_on_a_list_has_seen_it() {
    let (mut shard, actor) = known(3);
    learn(&mut shard, actor, verona("verona", 5));
    let versions = pushed(&shard, actor);
    assert_eq!(versions.len(), 2);
    // Who goes in between has not.
    assert!(!is_known(&shard, actor, &versions[0]), "{versions:?}");
    assert!(is_known(&shard, actor, &versions[1]), "{versions:?}");
    let own = own_push(&mut shard, actor);
    assert_eq!(own, versions[1]);
    // A list that is another and shows the same is nothing to tell.
    learn(&mut shard, actor, verona("another", 5));
    assert_eq!(pushed(&shard, actor).len(), 3);
    let own = own_push(&mut shard, actor);
    assert!(is_known(&shard, actor, &own), "{own}");
}

#[test]
fn what_changed_on_a_large_list_is_not_seen_with_what_is_told_after_it() {
    let (mut shard, actor) = known(PUSHES_MAX);
    learn(&mut shard, actor, verona("verona", PUSHES_MAX + 1));
    assert_eq!(pushed(&shard, actor), [] as [String; 0]);
    let own = own_push(&mut shard, actor);
    assert!(!is_known(&shard, actor, &own), "{own}");
    // Nor with a change of the lists that is told: he is on another.
    learn(&mut shard, actor, verona("another", PUSHES_MAX + 2));
    let versions = pushed(&shard, actor);
    assert_eq!(versions.len(), 2);
    let own = own_push(&mut shard, actor);
    for ver in versions.iter().chain([&own]) {
        assert!(!is_known(&shard, actor, ver), "{ver}");
    }
}

#[test]
fn more_colleagues_than_are_told_one_by_one_are_not_seen_with_what_is_told_after_them() {
    let (mut shard, actor) = known(1);
    let many = limits::ROSTER_DELTA_MAX + 2;
    learn(&mut shard, actor, verona("another", many));
    assert_eq!(pushed(&shard, actor), [] as [String; 0]);
    let own = own_push(&mut shard, actor);
    assert!(!is_known(&shard, actor, &own), "{own}");
    learn(&mut shard, actor, verona("a third", many + 1));
    assert_eq!(pushed(&shard, actor).len(), 2);
    let own = own_push(&mut shard, actor);
    assert!(!is_known(&shard, actor, &own), "{own}");
}

#[test]
fn who_was_told_of_a_part_has_seen_no_state_that_comes_back() {
    let (mut shard, actor) = known(3);
    learn(&mut shard, actor, verona("verona", 5));
    let part = pushed(&shard, actor).remove(0);
    // Both go again: who has heard of the first alone would keep him.
    learn(&mut shard, actor, verona("verona", 3));
    let versions = pushed(&shard, actor);
    assert_eq!(versions.len(), 4);
    assert!(!is_known(&shard, actor, &part), "{versions:?}");
    assert!(is_known(&shard, actor, &versions[3]), "{versions:?}");
    // Who was told of nothing, and sees one of them by a push of his own.
    let (mut shard, actor) = known(PUSHES_MAX);
    learn(&mut shard, actor, verona("verona", PUSHES_MAX + 1));
    let own = own_push(&mut shard, actor);
    learn(&mut shard, actor, verona("verona", PUSHES_MAX));
    for ver in [own, own_push(&mut shard, actor)] {
        assert!(!is_known(&shard, actor, &ver), "{ver}");
    }
}
