//! Who may use in-band registration (XEP-0077) where the users of a host are in a directory, whose groups say so.

use super::tests::{CHANGED, THEFT, asked, finish, sends};
use super::*;
use crate::actor::Catalog;
use crate::actor::groups::{Draft, Groups, Right};
use crate::config::{Outside, load};
use crate::features;
use crate::shard::input::{Control, Input};
use crate::shard::testing::{NOW, held, say, stage};
use crate::stanza::{Header, Kind, Type};

/// The host's people are in a directory in which passwords are changed here, with this rule of its groups.
fn has_directory(shard: &mut Shard, rule: &str) {
    let text = format!(
        "[[host]]\nname = \"localhost\"\n[host.directory]\nservers = [\"ldap://a\"]\nbase = \"dc=a\"\n\
         bind_dn = \"cn=a\"\npassword_file = \"a\"\npassword_change = \"modify\"\n[host.directory_groups]\nbase = \"dc=a\"\n{rule}"
    );
    let outside = Outside {
        features: &[],
        address: |_| Ok(()),
        log_filter: |_| Ok(()),
        cores: 1,
    };
    let config = Arc::new(load("", &text, &outside).expect("valid"));
    shard.handle(NOW, Input::Control(Control::Reconfigure(config)));
    shard.switch(Catalog::new(features::ALL, |name| name == "register"));
}

/// The directory says of Romeo that groups give him these rights.
fn has_rights(shard: &mut Shard, rights: &[Right]) {
    let romeo = || "romeo".to_owned();
    let draft = Draft {
        people: [(romeo(), romeo())].into(),
        rights: rights.iter().map(|it| (*it, [romeo()].into())).collect(),
        ..Draft::default()
    };
    let groups = Some(Arc::new(Groups::new(&draft)));
    let order = Control::Groups("localhost".into(), groups);
    shard.handle(NOW, Input::Control(order));
}

/// What a set of this is answered with, if nobody is asked for it.
fn refused(shard: &mut Shard, actor: ActorKey, query: &str) -> Option<String> {
    let before = held(shard, actor).count();
    sends(shard, actor, 1, query);
    let outputs: Vec<Output> = std::iter::from_fn(|| shard.poll_output()).collect();
    match asked(&outputs).pop() {
        None => {
            let answer = held(shard, actor).nth(before).expect("it is answered");
            assert_eq!(answer.header.type_, Type::Error);
            Some(answer.payload.xml().to_owned())
        }
        Some((ticket, _)) => {
            finish(shard, ticket, AccountAnswer::Done(CHANGED));
            None
        }
    }
}

/// Whether Romeo is offered a field for a password; he is registered, whatever he may do.
fn is_offered_password(shard: &mut Shard, actor: ActorKey) -> bool {
    let query = "<query xmlns='jabber:iq:register'/>";
    say(shard, actor, Header::new(Kind::Iq, Type::Get), query);
    let fields = held(shard, actor).last().expect("it is answered");
    let fields = fields.payload.xml();
    assert!(fields.contains("<registered/>"), "{fields}");
    fields.contains("<password/>")
}

#[test]
fn who_is_in_no_group_that_may_register_changes_no_password_as_long_as_that_is_so() {
    let (mut shard, actor) = stage();
    shard.cells[actor].account.sessions[0].secured = true;
    shard.cells[actor].account.identity = Some(CHANGED);
    let expect = |shard: &mut Shard, may: bool| {
        assert_eq!(is_offered_password(shard, actor), may);
        let [set, remove] = THEFT;
        let refusal = refused(shard, actor, set);
        assert_eq!(refusal.is_none(), may, "{refusal:?}");
        // XEP-0077 section 3.3: "The server or service does not allow password changes."
        assert!(refusal.is_none_or(|it| it.contains("<not-allowed ")));
        // Section 3.2: "No sender is allowed to cancel registrations in-band."
        let refusal = refused(shard, actor, remove);
        assert!(refusal.is_some_and(|it| it.contains("<not-allowed ")));
    };
    let rule = "register = [\"rulers\"]\n";
    has_directory(&mut shard, rule);
    // Of nobody it is known yet who is in the group.
    expect(&mut shard, false);
    has_rights(&mut shard, &[Right::CreateRooms, Right::Manage]);
    expect(&mut shard, false);
    has_rights(&mut shard, &[Right::Register]);
    expect(&mut shard, true);
    has_rights(&mut shard, &[]);
    expect(&mut shard, false);
    has_directory(&mut shard, "");
    expect(&mut shard, true);
    has_directory(&mut shard, rule);
    expect(&mut shard, false);
}

#[test]
fn who_leaves_the_group_while_the_password_changes_hears_that_it_is_changed() {
    let (mut shard, actor) = stage();
    shard.cells[actor].account.sessions[0].secured = true;
    shard.cells[actor].account.identity = Some(CHANGED);
    has_directory(&mut shard, "register = [\"rulers\"]\n");
    has_rights(&mut shard, &[Right::Register]);
    sends(&mut shard, actor, 1, THEFT[0]);
    let outputs: Vec<Output> = std::iter::from_fn(|| shard.poll_output()).collect();
    let (ticket, _) = asked(&outputs).remove(0);
    has_rights(&mut shard, &[]);
    finish(&mut shard, ticket, AccountAnswer::Done(CHANGED));
    let told: Vec<Type> = held(&shard, actor).map(|s| s.header.type_).collect();
    assert_eq!(told, [Type::Result]);
}
