//! A command with which users take their own data along, shaped by XEP-0227: Portable Import/Export Format for XMPP-IM
//! Servers, version 1.1. Which data there are, the features say ([`Feature::portable`]). Scenarios:
//! `tests/scenarios/commands.xmpp`
//!
//! | section | item |
//! |---|---|
//! | 4 file format, 4.1 hosts, 4.2 users | `export`; one host, one user, without a password |
//! | 4.3 SCRAM credentials | not done: whoever gets them can try passwords, and a session that was stolen shall not give them away |
//! | 4.4 rosters, 4.9 incoming subscription requests | [`super::roster`] |
//! | 4.5 offline messages | [`super::offline`]; of very many the oldest |
//! | 4.6 private XML | [`super::private_storage`] |
//! | 4.7 vCards | [`super::vcard`] |
//! | 4.8 privacy lists | [`super::blocking`]: the blocklist as one list that denies |
//! | 4.10 PEP | there is none yet |
//! | 4.11 archive | not done here: clients read it with XEP-0313, page by page |
//! | 5 XInclude | not done: it is one stanza |
//!
//! Left out besides, for want of an element: when the user was last seen, what is to be archived, and who may log in by
//! which token.

use super::NONE;
use crate::actor::{Answers, Command, Feature, Field, Page, Report, Spec, Stop, Turn};
use crate::base::limits;
use crate::im::Account;
use crate::im::account::is_user;
use crate::stanza::{Choice, FieldType, ns};
use crate::xml::Writer;

pub const EXPORT: Feature<Account> = Feature {
    name: "export",
    specs: &[Spec::xep(227, "1.1")],
    commands: &[COMMAND],
    ..NONE
};

const COMMAND: Command<Account> = Command {
    node: "export",
    name: "Export your data",
    may_run: is_user,
    pages: &[Page {
        instructions: "Choose what you want to take along. Of the messages that wait for you it is the oldest megabyte; your client reads all of them, and all others, from the archive. Passwords stay here.",
        fields: &[Field {
            choices: |turn| {
                let choice = |name: &str| Choice {
                    value: name.to_owned(),
                    label: name.to_owned(),
                };
                Ok(parts(turn).map(|part| choice(part.name)).collect())
            },
            values: |turn| Ok(parts(turn).map(|part| part.name.to_owned()).collect()),
            ..Field::new("parts", "Parts", FieldType::ListMulti)
        }],
    }],
    run: export,
};

fn export(turn: &mut Turn<'_, Account>, answers: &Answers) -> Result<Report, Stop> {
    let chosen = answers.values("parts");
    let mut inside = String::new();
    let mut largest = 0;
    for part in parts(turn).filter(|part| chosen.iter().any(|it| it == part.name)) {
        if let Some(portable) = part.portable {
            let before = inside.len();
            inside.push_str(&portable(turn)?);
            largest = largest.max(inside.len() - before);
        }
    }
    // One part has a bound of its own, and there would be no smaller one to choose.
    if inside.len() > limits::EXPORT_BYTES_MAX.max(largest) {
        return Ok(Report::failed(
            "This is too much at once, choose fewer parts",
        ));
    }
    let jid = &turn.actor.jid;
    let mut writer = Writer::new();
    writer
        .open("server-data", Some(ns::PORTABLE))
        .open("host", None)
        .attribute("jid", jid.domainpart())
        .open("user", None)
        .attribute("name", jid.localpart().unwrap_or_default())
        .raw(&inside);
    Ok(Report::found(writer.finish()))
}

fn parts<'a>(
    turn: &Turn<'a, Account>,
) -> impl Iterator<Item = &'static Feature<Account>> + use<'a> {
    let features = turn.catalog.features();
    features.filter(|feature| feature.portable.is_some())
}
