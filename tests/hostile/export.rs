//! A user takes along (XEP-0227) as much as may be kept: whatever the quota of a part allows leaves with its owner.

use crate::bystanders::House;
use crate::client::Client;

const COMMANDS: &str = "http://jabber.org/protocol/commands";

/// The answer to an export of these parts.
fn export(romeo: &mut Client, parts: &[&str]) -> String {
    romeo.send(&format!(
        "<iq type='set' id='x' to='localhost'><command xmlns='{COMMANDS}' node='export'/></iq>"
    ));
    let form = romeo.element();
    let id = form.split("sessionid='").nth(1).expect("a session");
    let id = id.split('\'').next().expect("it ends");
    let values: String = parts
        .iter()
        .map(|part| format!("<value>{part}</value>"))
        .collect();
    romeo.send(&format!(
        "<iq type='set' id='y' to='localhost'><command xmlns='{COMMANDS}' node='export' sessionid='{id}'>\
         <x xmlns='jabber:x:data' type='submit'><field var='parts'>{values}</field></x></command></iq>"
    ));
    romeo.element()
}

#[test]
fn a_roster_as_large_as_may_be_leaves_with_its_owner() {
    // Names that take five bytes for each of theirs when they are written: a quarter of the quota, and more than leaves at
    // once of several parts.
    const ITEMS: usize = 240;
    let options = "c2s.rate_stanzas_burst = 10000\nc2s.rate_bytes_burst = \"100 MiB\"\n";
    let house = House::open("export-roster", options, &["romeo"]);
    let mut romeo = Client::opened(&house.server);
    romeo.log_in("romeo", crate::server::PASSWORD);
    romeo.bind("orchard");
    let name = "&amp;".repeat(1_000);
    for number in 0..ITEMS {
        romeo.send(&format!(
            "<iq type='set' id='r{number}'><query xmlns='jabber:iq:roster'>\
             <item jid='friend{number}@example.net' name='{name}'/></query></iq>"
        ));
    }
    for _ in 0..ITEMS {
        let answer = romeo.element();
        assert!(answer.contains("type='result'"), "{answer}");
    }
    let all = export(&mut romeo, &["roster"]);
    assert!(all.contains("<user name='romeo'>"), "{:.600}", all);
    assert_eq!(all.matches("<item ").count(), ITEMS);
    assert!(all.len() > 1_200_000, "{}", all.len());
    // With more it would be too much; nothing of it is lost by that.
    let card = "x".repeat(1_000);
    romeo.send(&format!(
        "<iq type='set' id='v'><vCard xmlns='vcard-temp'><FN>{card}</FN></vCard></iq>"
    ));
    assert!(romeo.element().contains("type='result'"));
    let both = export(&mut romeo, &["roster", "vcard"]);
    assert!(both.contains("choose fewer parts"), "{:.600}", both);
    let alone = export(&mut romeo, &["vcard"]);
    assert!(alone.contains(&card), "{:.600}", alone);
    house.close(32 * 1024 * 1024);
}
