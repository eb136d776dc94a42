//! Accounts and rosters of a scenario as files that servers import: XEP-0227 with contacts, or a list. It knows nothing of
//! how they are imported.

use std::fmt::Write as _;

use clap::ValueEnum;

use super::play::Ring;
use super::scenario::Scenario;
use crate::client::stanza::escaped;

/// What a file of accounts looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// XEP-0227, with rosters: `ejabberdctl import_piefxis FILE`.
    Xep0227,
    /// An address and a password on each line: `stonechat user add --from FILE`. Without rosters.
    Lines,
}

/// All accounts of one host.
pub fn accounts(scenario: &Scenario, domain: &str, format: Format) -> String {
    let people = scenario.people(domain);
    let (first, count) = (scenario.users.first, scenario.users.count);
    let password = &people.password;
    let mut text = String::new();
    let mut push =
        |line: std::fmt::Arguments<'_>| text.write_fmt(line).expect("a String takes everything");
    if format == Format::Lines {
        for user in first..first + count {
            push(format_args!("{} {password}\n", people.bare(user)));
        }
        return text;
    }
    let ring = Ring::of(&scenario.users);
    push(format_args!(
        "<?xml version='1.0' encoding='UTF-8'?>\n<server-data xmlns='urn:xmpp:pie:0'>\n<host jid='{}'>\n",
        escaped(domain)
    ));
    for seat in 0..count {
        let user = people.name(first + seat);
        push(format_args!(
            "<user name='{}' password='{}'>",
            escaped(&user),
            escaped(password)
        ));
        if ring.contacts() > 0 {
            // XEP-0227 section 4.2.
            push(format_args!("\n<query xmlns='jabber:iq:roster'>"));
            for place in 0..ring.contacts() {
                let contact = first + ring.contact(seat as usize, place) as u32;
                let jid = people.bare(contact);
                push(format_args!(
                    "<item jid='{}' name='Contact {contact}' subscription='both'><group>Load</group></item>",
                    escaped(&jid)
                ));
            }
            push(format_args!("</query>\n"));
        }
        push(format_args!("</user>\n"));
    }
    push(format_args!("</host>\n</server-data>\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_all_accounts_and_both_sides_of_every_contact() {
        let text = "scenario = 'presence'\n[users]\ncount = 10\ncontacts = 4\ncommunity = 10\nfirst = 5\npassword = \"<'&\"";
        let scenario = Scenario::parse(text, &[]).expect("a good scenario");
        let xml = accounts(&scenario, "example.org", Format::Xep0227);
        assert_eq!(xml.matches("<user name='load0000").count(), 10);
        assert_eq!(xml.matches("<item ").count(), 40);
        assert!(xml.contains("password='&lt;&apos;&amp;'"));
        for user in 5..15 {
            assert_eq!(
                xml.matches(&format!("jid='load{user:06}@example.org'"))
                    .count(),
                4
            );
        }
        let lines = accounts(&scenario, "example.org", Format::Lines);
        assert_eq!(lines.lines().next(), Some("load000005@example.org <'&"));
        assert_eq!(lines.lines().count(), 10);
    }
}
