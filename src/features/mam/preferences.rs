//! Archiving preferences as their owner reads and writes them (`im/archive/preferences.rs`).

use crate::actor::rows::Write;
use crate::actor::{Answers, Command, Field, Necessity, Outcome, Page, Report, Stop, Turn};
use crate::base::{AccountId, limits};
use crate::config::{ArchiveDefault, HostConfig};
use crate::im::account::{is_user, owner};
use crate::im::archive::{self, PREFERENCES, Policy, Preferences, with_archive};
use crate::im::{Account, Change};
use crate::jid::Jid;
use crate::stanza::{Choice, Condition, FieldType, Iq, StanzaError, ns};
use crate::xml::{Element, Writer};

use super::search::answer;

/// What holds for who chose nothing.
pub(super) fn default_of(host: &HostConfig) -> Policy {
    match host.archive.default {
        ArchiveDefault::Always => Policy::Always,
        ArchiveDefault::Never => Policy::Never,
        ArchiveDefault::Roster => Policy::Roster,
    }
}

/// The preferences in force.
pub(super) fn show(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    let account = owner(turn)?;
    let preferences = with_archive(turn, account, |archive| archive.preferences.clone())?;
    reply(turn, iq, &preferences);
    Ok(())
}

/// Replaces them.
pub(super) fn change(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    let account = owner(turn)?;
    let preferences = read(&iq.child())?;
    keep(turn, account, preferences.clone())?;
    reply(turn, iq, &preferences);
    Ok(())
}

fn keep(turn: &mut Turn<'_, Account>, account: AccountId, preferences: Preferences) -> Outcome {
    // What is replaced is read first: the change is one of what is in memory.
    with_archive(turn, account, |_| ())?;
    turn.out.write.push(Write::Put {
        table: &PREFERENCES,
        key: archive::key(account),
        value: preferences.encode(),
    });
    turn.out
        .change
        .push(Change::Preferences(Box::new(preferences)));
    Ok(())
}

/// The same as a command for people.
pub(super) const COMMAND: Command<Account> = Command {
    node: "archive-preferences",
    name: "Choose what is archived",
    may_run: is_user,
    pages: &[Page {
        instructions: "Messages are archived for all your devices. The lists have addresses, one on a line.",
        fields: &[
            Field {
                choices: |_| Ok(POLICIES.map(choice).into()),
                values: |turn| {
                    let default = default_of(turn.host);
                    let policy = |it: &Preferences| it.default.unwrap_or(default);
                    let policy = in_force(turn, policy)?;
                    Ok(vec![policy.name().to_owned()])
                },
                ..Field::new("default", "Archive", FieldType::ListSingle)
            },
            Field {
                need: Necessity::Optional,
                values: |turn| in_force(turn, |it| texts(&it.always)),
                ..Field::new("always", "Always messages with", FieldType::JidMulti)
            },
            Field {
                need: Necessity::Optional,
                values: |turn| in_force(turn, |it| texts(&it.never)),
                ..Field::new("never", "Never messages with", FieldType::JidMulti)
            },
        ],
    }],
    run,
};

const POLICIES: [(Policy, &str); 3] = [
    (Policy::Always, "Everything"),
    (Policy::Roster, "Messages with contacts"),
    (Policy::Never, "Nothing"),
];

fn choice((policy, label): (Policy, &str)) -> Choice {
    Choice {
        value: policy.name().to_owned(),
        label: label.to_owned(),
    }
}

fn in_force<T>(
    turn: &mut Turn<'_, Account>,
    read: impl FnOnce(&Preferences) -> T,
) -> Result<T, Stop> {
    let account = owner(turn)?;
    with_archive(turn, account, |archive| read(&archive.preferences))
}

fn texts(jids: &[Jid]) -> Vec<String> {
    jids.iter().map(ToString::to_string).collect()
}

fn run(turn: &mut Turn<'_, Account>, answers: &Answers) -> Result<Report, Stop> {
    let account = owner(turn)?;
    let list = |var| -> Result<Vec<Jid>, Stop> {
        let jids = answers.values(var).iter();
        let jids = jids.map(|jid| jid.trim()).filter(|jid| !jid.is_empty());
        let jids = jids.take(limits::ARCHIVE_PREFERENCES_MAX + 1).map(jid);
        jids.collect::<Result<_, _>>().map_err(Stop::Reject)
    };
    let default = answers.value("default")?;
    let preferences = bounded(Preferences {
        default: default.and_then(Policy::from_name),
        always: list("always")?,
        never: list("never")?,
    })?;
    keep(turn, account, preferences)?;
    Ok(Report::done("From now on this is archived"))
}

fn reply(turn: &mut Turn<'_, Account>, iq: Iq<'_>, preferences: &Preferences) {
    let default = preferences.default.unwrap_or(default_of(turn.host));
    let mut writer = Writer::new();
    writer
        .open("prefs", Some(ns::MAM))
        .attribute("default", default.name());
    // "The <always> and <never> MUST also be present (even if empty)".
    for (name, list) in [
        ("always", &preferences.always),
        ("never", &preferences.never),
    ] {
        writer.open(name, None);
        for jid in list {
            writer.open("jid", None).text(jid.as_str()).close();
        }
        writer.close();
    }
    answer(turn, iq, &writer.finish());
}

fn read(prefs: &Element<'_>) -> Result<Preferences, Stop> {
    let default = prefs.attribute("default");
    let default = default.as_deref().and_then(Policy::from_name);
    let default = default.ok_or_else(|| {
        StanzaError::new(
            Condition::BadRequest,
            "The default is one of 'always', 'never' and 'roster'",
        )
    })?;
    bounded(Preferences {
        default: Some(default),
        always: list(prefs, "always")?,
        never: list(prefs, "never")?,
    })
}

fn bounded(mut read: Preferences) -> Result<Preferences, Stop> {
    if read.always.len() + read.never.len() > limits::ARCHIVE_PREFERENCES_MAX {
        return Err(Stop::Reject(StanzaError::new(
            Condition::ResourceConstraint,
            "Too many addresses have preferences of their own",
        )));
    }
    read.always.dedup();
    read.never.dedup();
    Ok(read)
}

/// "If missing from the preferences, ... SHOULD be assumed by the server to be an empty list."
fn list(prefs: &Element<'_>, name: &str) -> Result<Vec<Jid>, StanzaError> {
    let Some(list) = prefs.child(ns::MAM, name) else {
        return Ok(Vec::new());
    };
    let jids = list.children().filter(|child| child.is(ns::MAM, "jid"));
    let jids = jids.take(limits::ARCHIVE_PREFERENCES_MAX + 1);
    jids.map(|it| jid(it.text().trim())).collect()
}

fn jid(text: &str) -> Result<Jid, StanzaError> {
    Jid::parse(text)
        .map_err(|_| StanzaError::new(Condition::JidMalformed, "A listed address is no JID"))
}
