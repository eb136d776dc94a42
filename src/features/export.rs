//! A command with which users take their own data along, shaped by XEP-0227: Portable Import/Export Format for XMPP-IM
//! Servers, version 1.1. Which data there are, the features say ([`Feature::portable`]). Scenarios:
//! `tests/scenarios/commands.xmpp`
//!
//! | section | item |
//! |---|---|
//! | 4 file format, 4.1 hosts, 4.2 users | `export`; one host, one user, without a password |
//! | 4.3 rosters, 4.5 private XML, 4.6 vCards | `Feature::portable` of each |
//! | 4.10 archive | not done here: clients read it with XEP-0313, page by page |

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
        instructions: "Choose what you want to take along. Messages are read from the archive by your client.",
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
    for part in parts(turn).filter(|part| chosen.iter().any(|it| it == part.name)) {
        if let Some(portable) = part.portable {
            inside.push_str(&portable(turn)?);
        }
    }
    if inside.len() > limits::EXPORT_BYTES_MAX {
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
