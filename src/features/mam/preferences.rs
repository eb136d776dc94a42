//! Archiving preferences as their owner reads and writes them (`im/archive/preferences.rs`).

use crate::actor::rows::Write;
use crate::actor::{Outcome, Stop, Turn};
use crate::base::limits;
use crate::config::{ArchiveDefault, HostConfig};
use crate::im::account::owner;
use crate::im::archive::{self, PREFERENCES, Policy, Preferences, with_archive};
use crate::im::{Account, Change};
use crate::jid::Jid;
use crate::stanza::{Condition, Iq, StanzaError, ns};
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
    // What is replaced is read first: the change is one of what is in memory.
    with_archive(turn, account, |_| ())?;
    turn.out.write.push(Write::Put {
        table: &PREFERENCES,
        key: archive::key(account),
        value: preferences.encode(),
    });
    reply(turn, iq, &preferences);
    turn.out
        .change
        .push(Change::Preferences(Box::new(preferences)));
    Ok(())
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
    let mut read = Preferences {
        default: Some(default),
        always: list(prefs, "always")?,
        never: list(prefs, "never")?,
    };
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
    let parse = |jid: Element<'_>| {
        Jid::parse(jid.text().trim())
            .map_err(|_| StanzaError::new(Condition::JidMalformed, "A listed address is no JID"))
    };
    let jids = jids.take(limits::ARCHIVE_PREFERENCES_MAX + 1).map(parse);
    jids.collect()
}
