//! Permanent rooms that the directory keeps: shown to the operator, kept current, written.

use std::collections::BTreeMap;
use std::time::Instant;

use stonechat::base::Secret;
use stonechat::directory::room_writer::RoomWriter;
use stonechat::directory::rooms::{Affiliation, Other, Room};
use stonechat::server::directory::prepare_directories;
use stonechat::server::settings::read_config;

use crate::changes::{beside, until_said};
use crate::faults::QUICK;
use crate::house::Files;
use crate::served::house;
use crate::slapd::{ADMIN, ADMIN_PASSWORD, BASE, PATIENCE, Schema, Slapd, Wishes};
use crate::stand_in::{Entry, Filter, StandIn};

const ROOMS: &str = "rooms_base = \"ou=rooms,dc=verona,dc=example\"\n";

fn directory(test: &str) -> Slapd {
    let wishes = Wishes {
        schema: Schema::Stonechat,
        ..Wishes::default()
    };
    Slapd::with(test, wishes)
}

#[test]
fn rooms_of_the_directory_are_shown_without_their_passwords() {
    let directory = directory("rooms");
    let house = house("rooms", &directory, ROOMS);
    let (fine, said) = house.tool(&["directory", "rooms"], "");
    assert!(fine, "{said}");
    for line in [
        "ok      rooms: (objectClass=stonechatRoom) below ou=rooms,dc=verona,dc=example",
        "ok      room piazza \"Piazza Bra\", muc#roomconfig_moderatedroom 0, muc#roomconfig_publicroom 1, muc#roomconfig_whois \
         moderators, owner cn=rulers,ou=groups,dc=verona,dc=example, outcast uid=tybalt,ou=people,dc=verona,dc=example\n",
        "ok      room ballroom \"The Capulets' ballroom\", muc#roomconfig_membersonly 1, ",
        ", member paris@mantua.example\n",
        "ok      room crypt, closed, with a password, ",
    ] {
        assert!(said.contains(line), "{line:?} is not in\n{said}");
    }
    assert!(!said.contains("dagger"), "{said}");
    directory.change(&format!(
        "dn: cn=wrong,ou=rooms,{BASE}\nobjectClass: stonechatRoom\ncn: wrong\nstonechatRoomAffiliation: friend romeo@a\n\n\
         dn: cn=twin,ou=rooms,{BASE}\nobjectClass: stonechatRoom\ncn: twin\nstonechatJid: piazza@rooms.localhost\n\n\
         dn: cn=foreign,ou=rooms,{BASE}\nobjectClass: stonechatRoom\ncn: crypt\ncn: foreign\n\
         stonechatJid: crypt@rooms.mantua.example\n"
    ));
    let (fine, said) = house.tool(&["directory", "rooms", "localhost"], "");
    assert!(!fine, "{said}");
    for line in [
        "problem room cn=wrong,ou=rooms,dc=verona,dc=example: \"friend romeo@a\" is no AFFILIATION JID",
        "ok      room wrong, closed\n",
        "problem room cn=twin,ou=rooms,dc=verona,dc=example: another entry is piazza, too",
        "ok      room cn=foreign,ou=rooms,dc=verona,dc=example: is crypt@rooms.mantua.example, of another host\n",
    ] {
        assert!(said.contains(line), "{line:?} is not in\n{said}");
    }
    assert_eq!(said.matches("ok      room crypt").count(), 1, "{said}");
}

#[test]
fn rooms_are_made_changed_and_removed_by_editing_the_directory() {
    for (way, more) in [
        ("told", "poll = \"1 h\"\n"),
        ("looked", "listen = false\npoll = \"1 s\"\n"),
    ] {
        let directory = directory(&format!("rooms-{way}"));
        let house = house(
            &format!("rooms-{way}"),
            &directory,
            &format!("{ROOMS}{more}"),
        );
        let mut server = house.serve();
        until_said(&mut server, "directory_room host=localhost room=crypt");
        until_said(&mut server, "directory_room host=localhost room=piazza");
        directory.change(&format!(
            "dn: cn=cell,ou=rooms,{BASE}\nobjectClass: stonechatRoom\ncn: cell\nstonechatRoomOwner: uid=escalus,ou=people,{BASE}\n"
        ));
        server.until_logged("directory_room host=localhost room=cell");
        directory.change(&format!(
            "dn: cn=cell,ou=rooms,{BASE}\nchangetype: modify\nreplace: description\ndescription: Friar Laurence's\n"
        ));
        server.until_logged("directory_room host=localhost room=cell");
        directory.change(&format!(
            "dn: cn=cell,ou=rooms,{BASE}\nchangetype: modrdn\nnewrdn: cn=church\ndeleteoldrdn: 1\n"
        ));
        server.until_logged("directory_room host=localhost room=church");
        server.until_logged("directory_room_gone host=localhost room=cell");
        directory.change(&format!(
            "dn: cn=church,ou=rooms,{BASE}\nchangetype: delete\n"
        ));
        server.until_logged("directory_room_gone host=localhost room=church");
        // What nobody changed was told once.
        assert_eq!(server.printed().matches("room=piazza").count(), 1, "{way}");
        server.stop();
    }
}

#[test]
fn rooms_stay_when_the_next_server_does_not_tell_of_them_and_when_the_first_is_back() {
    let (mut first, second) = (directory("rooms-tells"), directory("rooms-silent"));
    // As a server without the overlay. Neither knows an entry by what the other calls it.
    second.configure(
        "dn: olcDatabase={-1}frontend,cn=config\nchangetype: modify\nadd: olcAccess\n\
         olcAccess: {0}to dn.base=\"\" attrs=supportedControl by * none\n",
    );
    let servers = format!("servers = [{:?}, {:?}]\n", first.url(), second.url());
    let more = format!("{servers}{ROOMS}verify = false\nunique = \"-\"\npoll = \"1 s\"\n{QUICK}");
    let house = house("rooms-manners", &first, &more);
    let mut server = house.serve();
    until_said(&mut server, "directory_listens of=rooms of localhost");
    until_said(&mut server, "directory_room host=localhost room=crypt");
    for name in ["cell", "church"] {
        let room =
            format!("dn: cn={name},ou=rooms,{BASE}\nobjectClass: stonechatRoom\ncn: {name}\n");
        second.change(&room);
        first.change(&room);
        server.until_logged(&format!("directory_room host=localhost room={name}"));
        // To be looked at, to be told again, and to be looked at by who has looked before. It ends in order: one that is killed behind
        // a change does not know the state that it is shown afterwards, and tells of everything anew, whoever has looked meanwhile.
        first.stop();
        for _ in 0..2 {
            server.until_logged("directory_looked_for_rooms host=localhost");
        }
        first.start_again();
        server.until_logged("directory_listens of=rooms of localhost");
    }
    // What comes behind it is heard.
    first.change(&format!(
        "dn: cn=church,ou=rooms,{BASE}\nchangetype: modify\nreplace: description\ndescription: Friar Laurence's\n"
    ));
    server.until_logged("directory_room host=localhost room=church");
    let log = server.stop();
    assert!(!log.contains("directory_room_gone"), "{log}");
    assert_eq!(log.matches("room=piazza").count(), 1, "{log}");
}

#[test]
fn rooms_are_seen_whatever_times_entries_say() {
    let mut directory = directory("rooms-times");
    let room = |name: &str, year: &str| {
        format!(
            "dn: cn={name},ou=rooms,{BASE}\nobjectClass: stonechatRoom\ncn: {name}\nmodifyTimestamp: {year}0101000000Z\n\n"
        )
    };
    // As it comes from another directory, and from one whose clock was wrong.
    let rooms = directory.file(
        "rooms.ldif",
        &(room("vault", "2020") + &room("future", "2036")),
    );
    directory.kill();
    directory.load(&rooms);
    directory.start_again();
    directory.configure(&format!(
        "dn: olcDatabase={{1}}mdb,cn=config\nchangetype: modify\nadd: olcAccess\n\
         olcAccess: {{0}}to dn.base=\"cn=vault,ou=rooms,{BASE}\" by * none\n"
    ));
    let more = format!("{ROOMS}listen = false\npoll = \"1 s\"\n");
    let house = house("rooms-times", &directory, &more);
    let mut server = house.serve();
    until_said(&mut server, "directory_room host=localhost room=future");
    server.until_logged("directory_looked_for_rooms host=localhost");
    directory.change(&format!(
        "dn: cn=piazza,ou=rooms,{BASE}\nchangetype: modify\nreplace: description\ndescription: The square\n"
    ));
    server.until_logged("directory_room host=localhost room=piazza");
    assert!(!server.printed().contains("room=vault"));
    // It is as old as it was when we are allowed to see it.
    directory.configure(
        "dn: olcDatabase={1}mdb,cn=config\nchangetype: modify\ndelete: olcAccess\nolcAccess: {0}\n",
    );
    server.until_logged("directory_room host=localhost room=vault");
    assert!(!server.stop().contains("directory_room_gone"));
}

#[test]
fn a_directory_that_gives_few_entries_at_once_is_asked_page_by_page() {
    let mut directory = directory("pages");
    let rooms = (0..1_200).map(|number| {
        format!(
            "dn: cn=room{number},ou=rooms,{BASE}\nobjectClass: stonechatRoom\ncn: room{number}\n\n"
        )
    });
    directory.change(&rooms.collect::<String>());
    directory.configure(
        "dn: olcDatabase={1}mdb,cn=config\nchangetype: modify\nreplace: olcLimits\n\
         olcLimits: dn.exact=\"cn=stonechat,ou=services,dc=verona,dc=example\" size.soft=500 size.hard=500 \
         size.pr=500 size.prtotal=unlimited\n",
    );
    let house = house("pages", &directory, ROOMS);
    let (fine, said) = house.tool(&["directory", "rooms"], "");
    assert!(fine, "{said}");
    // The sample has three.
    assert_eq!(said.matches("ok      room ").count(), 1_203);
    // Of people, whom it would tell of without pages, it tells nothing then, and it is looked.
    let mut server = house.serve();
    until_said(&mut server, "directory_tells_nothing of=rooms of localhost");
    until_said(&mut server, "directory_room host=localhost room=room1199");
    assert!(directory.operations("filter=\"(objectClass=stonechatRoom)\"") > 3);
}

#[test]
fn active_directory_is_asked_for_what_it_has_counted_since_by_the_same_server() {
    let attribute = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let room = |name: &str, count: &str| Entry {
        dn: format!("cn={name},ou=people,{BASE}"),
        attributes: vec![
            attribute("objectClass", "stonechatRoom"),
            attribute("cn", name),
            attribute("uSNChanged", count),
        ],
    };
    let directory = StandIn::start(vec![room("piazza", "5"), room("crypt", "9")]);
    directory.count("CN=one", 7);
    let files = Files::new("counted");
    let options = format!(
        "preset = \"active-directory\"\nunique = \"-\"\npoll = \"1 s\"\nrooms_base = \"ou=people,{BASE}\"\n"
    );
    let house = beside("counted", &directory, &files, &options);
    let mut server = house.serve();
    until_said(&mut server, "directory_room host=localhost room=piazza");
    let since = |count: &str| {
        let newer = Filter::AtLeast("uSNChanged".to_owned(), count.to_owned());
        let is_about = |filter: &Filter| matches!(filter, Filter::And(all) if all.contains(&newer));
        directory
            .searches()
            .iter()
            .any(|search| is_about(&search.filter))
    };
    let until = |what: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !what() {
            assert!(begun.elapsed() < PATIENCE, "{:?}", directory.searches());
            std::thread::yield_now();
        }
    };
    until(&|| since("8"));
    directory.count("CN=one", 11);
    until(&|| since("12"));
    // Another counts otherwise: everything is asked for, and from its count on.
    directory.count("CN=other", 3);
    until(&|| since("4"));
    // Nobody is gone for not having been changed.
    let log = server.stop();
    assert!(!log.contains("directory_room_gone"));
    assert_eq!(log.matches("directory_room host=").count(), 2);
}

#[test]
fn who_was_counted_by_one_server_and_answered_by_another_is_asked_for_everything() {
    let attribute = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let room = Entry {
        dn: format!("cn=piazza,ou=people,{BASE}"),
        attributes: vec![
            attribute("objectClass", "stonechatRoom"),
            attribute("cn", "piazza"),
            attribute("uSNChanged", "5"),
        ],
    };
    let directory = StandIn::start(vec![room]);
    directory.count("CN=one", 7);
    directory.fail_over_behind_searches("CN=other");
    let files = Files::new("counted-by-two");
    let options = format!(
        "preset = \"active-directory\"\nunique = \"-\"\npoll = \"1 s\"\nrooms_base = \"ou=people,{BASE}\"\n"
    );
    let house = beside("counted-by-two", &directory, &files, &options);
    let server = house.serve();
    let looks = || {
        let searches = directory.searches().into_iter();
        let rooms = searches.filter(|search| format!("{:?}", search.filter).contains("Room"));
        rooms.count()
    };
    let begun = Instant::now();
    while looks() < 6 {
        assert!(begun.elapsed() < PATIENCE, "{:?}", directory.searches());
        std::thread::yield_now();
    }
    // What the one lacked of the other's changes is in no count of either.
    let asked = format!("{:?}", directory.searches());
    assert!(!asked.contains("uSNChanged"), "{asked}");
    let log = server.stop();
    assert!(!log.contains("directory_room_gone"));
}

#[test]
fn what_is_written_of_a_room_is_what_is_read_of_it() {
    let directory = directory("writes");
    let house = house("writes", &directory, ROOMS);
    let path = house.path("stonechat.toml");
    let config = read_config(Some(&path)).expect("valid");
    let prepared = prepare_directories(&config, Some(&path)).expect("valid");
    let prepared = prepared.into_iter().next().expect("one host");
    let mut writer = RoomWriter::new(&prepared.config, prepared.access);
    let mut room = Room {
        localpart: "friar's, cell".to_owned(),
        name: Some("Cell".to_owned()),
        options: BTreeMap::from([(
            "muc#roomconfig_membersonly".to_owned(),
            vec!["1".to_owned()],
        )]),
        entries: BTreeMap::from([(
            Affiliation::Owner,
            vec![format!("uid=escalus,ou=people,{BASE}")],
        )]),
        others: vec![Other {
            affiliation: Affiliation::Member,
            jid: "laurence@mantua.example".to_owned(),
            nickname: Some("Friar Laurence".to_owned()),
        }],
        password: Some(Secret::new(b"pax".to_vec())),
        ..Room::default()
    };
    // No address has such a name, and an entry may.
    let dn = writer.create(&room).expect("made");
    assert_eq!(dn, format!("cn=friar's\\, cell,ou=rooms,{BASE}"));
    assert_eq!(directory.values(&dn, "cn"), ["friar's, cell"]);
    let again = writer.create(&room).expect_err("is there").to_string();
    assert!(again.contains("result 68"), "{again}");
    writer.remove(&dn).expect("removed");
    room.localpart = "cell".to_owned();
    let dn = writer.create(&room).expect("made");
    let values = |name: &str| directory.values(&dn, name);
    assert_eq!(
        values("stonechatRoomOption"),
        ["muc#roomconfig_membersonly=1"]
    );
    let expected = "member laurence@mantua.example Friar Laurence";
    assert_eq!(values("stonechatRoomAffiliation"), [expected]);
    assert_eq!(
        values("stonechatRoomOwner"),
        [format!("uid=escalus,ou=people,{BASE}")]
    );
    assert_eq!(values("stonechatRoomPassword"), ["pax"]);
    let (_, said) = house.tool(&["directory", "rooms"], "");
    assert!(
        said.contains("ok      room cell \"Cell\", with a password, muc#roomconfig_membersonly 1, owner uid=escalus"),
        "{said}"
    );
    let changed = Room {
        name: None,
        description: Some("Closed".to_owned()),
        is_closed: true,
        options: BTreeMap::new(),
        others: Vec::new(),
        password: None,
        ..room
    };
    writer.change(&dn, &changed).expect("changed");
    let (_, said) = house.tool(&["directory", "rooms"], "");
    assert!(
        said.contains("ok      room cell, closed, owner uid=escalus"),
        "{said}"
    );
    assert_eq!(values("description"), ["Closed"]);
    // Somebody else's objection is told.
    directory.configure(
        "dn: olcDatabase={1}mdb,cn=config\nchangetype: modify\nreplace: olcReadOnly\nolcReadOnly: TRUE\n",
    );
    let refused = writer.remove(&dn).expect_err("read only").to_string();
    assert!(refused.contains("result 53"), "{refused}");
    directory.configure(
        "dn: olcDatabase={1}mdb,cn=config\nchangetype: modify\nreplace: olcReadOnly\nolcReadOnly: FALSE\n",
    );
    writer.remove(&dn).expect("removed");
    let gone = writer.remove(&dn).expect_err("gone").to_string();
    assert!(gone.contains("result 32"), "{gone}");
    assert!(
        directory
            .try_change(
                ADMIN,
                ADMIN_PASSWORD,
                &format!("dn: {dn}\nchangetype: delete\n")
            )
            .is_err()
    );
}

#[test]
fn entries_of_rooms_are_people_and_the_members_of_groups() {
    let directory = directory("room-people");
    let more =
        format!("poll = \"1 h\"\n{ROOMS}[host.directory_groups]\nbase = \"ou=groups,{BASE}\"\n");
    let house = house("room-people", &directory, &more);
    let (fine, said) = house.tool(&["directory", "rooms"], "");
    assert!(fine, "{said}");
    for line in [
        "ok      people of room ballroom: capulet owner, juliet member, nurse admin; closed, or nobody: dn:uid=tybalt,",
        "ok      people of room crypt: escalus owner",
        "ok      people of room piazza: escalus owner; closed, or nobody: dn:uid=tybalt,",
    ] {
        assert!(said.contains(line), "{line:?} is not in\n{said}");
    }
    // They are kept as groups and people change.
    let mut server = house.serve();
    until_said(&mut server, "directory_followed host=localhost people=9");
    until_said(&mut server, "directory_room_people rooms=3 affiliations=5");
    directory.change(&format!(
        "dn: cn=capulets,ou=groups,{BASE}\nchangetype: modify\nadd: member\nmember: uid=romeo,ou=people,{BASE}\n"
    ));
    server.until_logged("directory_room_people rooms=3 affiliations=6");
    directory.change(&format!(
        "dn: uid=tybalt,ou=people,{BASE}\nchangetype: modify\ndelete: stonechatDisabled\n"
    ));
    server.until_logged("directory_room_people rooms=3 affiliations=8");
    directory.change(&format!(
        "dn: cn=crypt,ou=rooms,{BASE}\nchangetype: delete\n"
    ));
    server.until_logged("directory_room_people rooms=2 affiliations=7");
}
