//! People's entries are their vCards (XEP-0054), read and written back.

use std::time::Instant;

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::client::Client;
use crate::faults::QUICK;
use crate::served::{house, options};
use crate::server::House;
use crate::slapd::{BASE, JULIET, PASSWORD, ROMEO, SERVICE, Slapd};

const VCARD: &str = "vcard-temp";

/// A house whose vCards have these options.
fn cards(test: &str, directory: &Slapd, options: &str) -> House {
    paced(test, directory, QUICK, options)
}

/// The same, with timeouts of the directory's.
fn paced(test: &str, directory: &Slapd, pace: &str, options: &str) -> House {
    house(
        &format!("cards-{test}"),
        directory,
        // What the directory tells would be known at once.
        &format!("{pace}listen = false\n[host.directory_cards]\n{options}"),
    )
}

/// What is inside somebody's vCard, or the error.
fn read(client: &mut Client, to: &str) -> String {
    client.send(&format!(
        "<iq type='get' id='r'{to}><vCard xmlns='{VCARD}'/></iq>"
    ));
    client.element()
}

fn write(client: &mut Client, vcard: &str) -> String {
    client.send(&format!(
        "<iq type='set' id='w'><vCard xmlns='{VCARD}'>{vcard}</vCard></iq>"
    ));
    client.element()
}

#[test]
fn an_entry_is_a_vcard_for_its_owner_and_for_everybody() {
    let directory = Slapd::start("cards");
    // Larger than one TLS record, and no text.
    let photo: Vec<u8> = (0..30_000_u32).map(|n| (n * 31 % 251) as u8).collect();
    let photo = [b"\xff\xd8\xff\xe0".to_vec(), photo].concat();
    let photo = BASE64_STANDARD.encode(photo);
    directory.change(&format!(
        "dn: {JULIET}\nchangetype: modify\nadd: jpegPhoto\njpegPhoto:: {photo}\n-\nadd: mobile\nmobile: +39 1\n"
    ));
    let house = cards("read", &directory, "");
    let server = house.serve();
    let mut juliet = Client::session(&server, "juliet", "balcony");
    let mut romeo = Client::session(&server, "romeo", "orchard");
    let own = read(&mut juliet, "");
    for part in [
        "<FN>Juliet</FN>",
        "<N><FAMILY>Capulet</FAMILY><GIVEN>Juliet</GIVEN></N>",
        "<EMAIL><INTERNET/><USERID>juliet@verona.example</USERID></EMAIL>",
        "<TITLE>Daughter</TITLE>",
        "<TEL><WORK/><VOICE/><NUMBER>+39 045 555 0101</NUMBER></TEL>",
        "<TEL><CELL/><NUMBER>+39 1</NUMBER></TEL>",
        &format!("<PHOTO><TYPE>image/jpeg</TYPE><BINVAL>{photo}</BINVAL></PHOTO>"),
    ] {
        assert!(own.contains(part), "{part} is not in {own}");
    }
    // By the hash of these bytes her client shows it in her presence (XEP-0153): others see the same.
    let others = read(&mut romeo, " to='juliet@localhost'");
    let inside = |card: &str| card.split_once("<vCard").map(|(_, card)| card.to_owned());
    assert_eq!(inside(&others), inside(&own));
    // Of somebody who was never here, and of nobody.
    let nurse = read(&mut romeo, " to='nurse@localhost'");
    assert!(nurse.contains("<FN>The Nurse</FN>"), "{nurse}");
    let paris = read(&mut romeo, " to='paris@localhost'");
    assert!(paris.contains("<service-unavailable"), "{paris}");
    // What was read is believed for a while.
    directory.change(&format!(
        "dn: {JULIET}\nchangetype: modify\nreplace: title\ntitle: Widow\n"
    ));
    assert!(read(&mut romeo, " to='juliet@localhost'").contains("<TITLE>Daughter</TITLE>"));
}

#[test]
fn what_users_say_stands_beside_what_their_entries_say() {
    let directory = Slapd::start("merged");
    let house = cards("merged", &directory, "fresh = \"0 ms\"\n");
    let server = house.serve();
    let mut juliet = Client::session(&server, "juliet", "balcony");
    let mut romeo = Client::session(&server, "romeo", "orchard");
    let said = write(
        &mut juliet,
        "<FN>Juliet</FN><NICKNAME>Jule</NICKNAME><URL>https://verona.example</URL>",
    );
    assert!(said.contains("type='result'"), "{said}");
    let seen = read(&mut romeo, " to='juliet@localhost'");
    for part in [
        "<FN>Juliet</FN>",
        "<TITLE>Daughter</TITLE>",
        "<NICKNAME>Jule</NICKNAME>",
    ] {
        assert!(seen.contains(part), "{part} is not in {seen}");
    }
    // XEP-0054 section 3.2.
    let refused = write(&mut juliet, "<FN>Queen</FN>");
    assert!(refused.contains("<not-allowed"), "{refused}");
    let forbidden = {
        romeo.send(&format!(
            "<iq type='set' id='w' to='juliet@localhost'><vCard xmlns='{VCARD}'><FN>R</FN></vCard></iq>"
        ));
        romeo.element()
    };
    assert!(forbidden.contains("<forbidden"), "{forbidden}");
    // The entry has another name by now, and its own is the one that counts.
    directory.change(&format!(
        "dn: {JULIET}\nchangetype: modify\nreplace: displayName\ndisplayName: Juliet M.\n"
    ));
    let seen = read(&mut romeo, " to='juliet@localhost'");
    assert!(
        seen.contains("<FN>Juliet M.</FN>") && !seen.contains("<FN>Juliet</FN>"),
        "{seen}"
    );
}

#[test]
fn what_users_may_change_is_written_back_and_nothing_else() {
    let directory = Slapd::start("written");
    let house = cards(
        "written",
        &directory,
        "source = \"directory\"\nwritable = [\"telephoneNumber\", \"jpegPhoto\", \"title\"]\n",
    );
    let mut server = house.serve();
    let mut juliet = Client::session(&server, "juliet", "balcony");
    let own = read(&mut juliet, "");
    let (_, own) = own.split_once(&format!("<vCard xmlns='{VCARD}'>")).unwrap();
    let (own, _) = own.split_once("</vCard>").unwrap();
    // As clients do it: the whole of it, with one change.
    let changed = own.replace("0101", "0102")
        + "<PHOTO><TYPE>image/png</TYPE><BINVAL>iVBORw0KGgo=</BINVAL></PHOTO>";
    let said = write(&mut juliet, &changed);
    assert!(said.contains("type='result'"), "{said}");
    assert_eq!(
        directory.values(JULIET, "telephoneNumber"),
        ["+39 045 555 0102"]
    );
    // Its own change is seen at once, however fresh what was read before.
    let seen = read(&mut juliet, "");
    assert!(
        seen.contains("0102") && seen.contains("<BINVAL>iVBORw0KGgo=</BINVAL>"),
        "{seen}"
    );
    server.until_logged("directory_entry_changed account=juliet@localhost");
    // What is not to be changed, and what there is no place for.
    for wrong in [
        changed.replace("<FN>Juliet</FN>", "<FN>Queen</FN>"),
        format!("{changed}<NICKNAME>Jule</NICKNAME>"),
    ] {
        let refused = write(&mut juliet, &wrong);
        assert!(refused.contains("<not-allowed"), "{refused}");
    }
    // What the operator allows and the directory does not.
    let refused = write(&mut juliet, &changed.replace("Daughter", "Queen"));
    assert!(refused.contains("<forbidden"), "{refused}");
    server.until_logged("directory_change_refused account=juliet@localhost");
    assert_eq!(directory.values(JULIET, "title"), ["Daughter"]);
    // What it cannot take: a phone number of RFC 4517 is of printable characters.
    let refused = write(&mut juliet, &changed.replace("0102", "\u{1f4de}"));
    assert!(refused.contains("<not-acceptable"), "{refused}");
    // Who has left a field out wants it gone.
    let without = changed.replace(
        "<TEL><WORK/><VOICE/><NUMBER>+39 045 555 0102</NUMBER></TEL>",
        "",
    );
    assert!(write(&mut juliet, &without).contains("type='result'"));
    assert!(directory.values(JULIET, "telephoneNumber").is_empty());
    assert!(!server.stop().contains(PASSWORD));
    let records = format!("{:?}", house.records());
    assert!(records.contains("directory-entry-changed"), "{records}");
}

#[test]
fn entries_are_written_as_their_users_where_the_directory_lets_us() {
    let directory = Slapd::start("authzid");
    directory.configure(
        "dn: cn=config\nchangetype: modify\nreplace: olcAuthzPolicy\nolcAuthzPolicy: to\n",
    );
    let house = cards(
        "authzid",
        &directory,
        "writable = [\"mobile\"]\nwrite_as = \"user\"\n",
    );
    let server = house.serve();
    let mut romeo = Client::session(&server, "romeo", "orchard");
    let phone = |last: u8| format!("<TEL><CELL/><NUMBER>+39 {last}</NUMBER></TEL>");
    let refused = write(&mut romeo, &phone(1));
    assert!(refused.contains("<forbidden"), "{refused}");
    directory.change(&format!(
        "dn: {SERVICE}\nchangetype: modify\nadd: authzTo\nauthzTo: dn.regex:^uid=[^,]+,ou=people,{BASE}$\n"
    ));
    let said = write(&mut romeo, &phone(2));
    assert!(said.contains("type='result'"), "{said}");
    assert_eq!(directory.values(ROMEO, "mobile"), ["+39 2"]);
    assert_eq!(directory.values(ROMEO, "modifiersName"), [ROMEO]);
}

#[test]
fn who_waits_for_a_slow_directory_keeps_nobody_waiting() {
    let directory = Slapd::start("asides");
    // What was answered once is asked again.
    let more = "fresh = \"0 s\"\n";
    let house = paced("asides", &directory, "operation_timeout = \"12 s\"\n", more);
    let server = house.serve();
    let mut juliet = Client::session(&server, "juliet", "balcony");
    let mut romeo = Client::session(&server, "romeo", "orchard");
    directory.hang();
    romeo.send(&format!(
        "<iq type='get' id='v' to='juliet@localhost'><vCard xmlns='{VCARD}'/></iq>\
         <message to='juliet@localhost' type='chat' id='m'><body>Hush</body></message>"
    ));
    // What came behind the question is not behind it.
    assert!(juliet.element().contains("Hush"));
    juliet.send("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>");
    assert!(juliet.element().contains("id='p'"));
    // They had not to wait until the question was given up: it is still answered.
    directory.go_on();
    let answered = romeo.element();
    assert!(
        answered.contains("id='v'") && answered.contains("<FN>Juliet</FN>"),
        "{answered}"
    );
    directory.hang();
    romeo.send(&format!(
        "<iq type='get' id='w' to='juliet@localhost'><vCard xmlns='{VCARD}'/></iq>"
    ));
    let late = romeo.element();
    assert!(
        late.contains("id='w'") && late.contains("type='wait'"),
        "{late}"
    );
    directory.go_on();
    // It heals by itself.
    let begun = Instant::now();
    while !read(&mut romeo, " to='juliet@localhost'").contains("<FN>Juliet</FN>") {
        assert!(begun.elapsed() < crate::slapd::PATIENCE);
    }
}

#[test]
fn options_that_make_no_sense_are_refused_by_name() {
    let directory = Slapd::start("options");
    for (text, expected) in [
        ("fields = [\"title\"]", "directory_cards.fields: `title`"),
        (
            "writable = [\"sn\", \"secretary\"]",
            "directory_cards.writable: `secretary`",
        ),
        ("photo_size = \"2 MiB\"", "directory_cards.photo_size"),
    ] {
        let house = House::new(
            "directory-cards-options",
            "",
            &options(&directory, &format!("[host.directory_cards]\n{text}\n")),
        );
        let (fine, said) = house.tool(&["check"], "");
        assert!(!fine && said.contains(expected), "{said}");
    }
}
