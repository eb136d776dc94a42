//! A command with which managers look up what the groups of the host's directory say of somebody: on which contact lists
//! they are and see, and what they may do. No XEP asks for it. Refuses to ask the directory: it shows what is in force here.
//! Tests: `tests/directory/groups.rs`

use super::NONE;
use crate::actor::groups::{Membership, Right};
use crate::actor::{Answers, Command, Feature, Field, Page, Report, Stop, Turn};
use crate::im::Account;
use crate::im::access::allows;
use crate::im::account::is_manager;
use crate::jid::prepare_localpart;
use crate::stanza::{FieldType, FormKind, FormWriter};

pub const GROUPS: Feature<Account> = Feature {
    name: "groups",
    commands: &[COMMAND],
    ..NONE
};

const COMMAND: Command<Account> = Command {
    node: "groups",
    name: "What the directory's groups say of somebody",
    may_run: is_manager,
    pages: &[Page {
        instructions: "Whose groups do you want to see?",
        fields: &[Field::new("user", "Name", FieldType::TextSingle)],
    }],
    run,
};

fn run(turn: &mut Turn<'_, Account>, answers: &Answers) -> Result<Report, Stop> {
    let user = answers.value("user")?.unwrap_or_default().trim();
    let user = user.split('@').next().unwrap_or_default();
    let Ok(user) = prepare_localpart(user) else {
        return Ok(Report::failed("This cannot be the name of an account"));
    };
    let Some(groups) = turn.actor.membership.groups() else {
        return Ok(Report::failed("The groups are not known yet"));
    };
    let member = groups.find(&user);
    let lists = member.map_or_else(Vec::new, |member| groups.list_names(member));
    let count = member.map_or(0, |member| groups.colleagues(member).len());
    let place = Membership::find(Some(groups), Some(&user));
    let rights = Right::ALL.into_iter();
    let rights = rights.filter(|right| allows(turn.host, &place, *right));
    let rights: Vec<&str> = rights.map(Right::name).collect();
    let form = FormWriter::new(FormKind::Result, "stonechat:groups")
        .field(FieldType::TextSingle, "user", &[&user])
        .field(FieldType::TextMulti, "lists", &lists)
        .field(FieldType::TextSingle, "contacts", &[&count.to_string()])
        .field(FieldType::TextMulti, "rights", &rights);
    Ok(Report::found(form.finish()))
}
