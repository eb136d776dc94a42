//! Commands with which a user sees the own sessions and ends them. Scenarios: `tests/scenarios/commands.xmpp`

use super::NONE;
use crate::actor::{Answers, Command, Feature, Field, Necessity, Page, Report, Stop, Turn};
use crate::base::SessionId;
use crate::im::account::is_user;
use crate::im::{Account, Change, Session};
use crate::stanza::{Choice, FieldType, FormKind, FormWriter};

pub const OWN_SESSIONS: Feature<Account> = Feature {
    name: "own-sessions",
    commands: &[LIST, END],
    ..NONE
};

const LIST: Command<Account> = Command {
    node: "list-sessions",
    name: "List your sessions",
    may_run: is_user,
    pages: &[],
    run: list,
};

const END: Command<Account> = Command {
    node: "end-sessions",
    name: "End other sessions of yours",
    may_run: is_user,
    pages: &[Page {
        instructions: "Choose the sessions that shall end. Whoever knows the password can begin new ones.",
        fields: &[
            Field {
                need: Necessity::Optional,
                choices: |turn| Ok(others(turn).map(choice).collect()),
                ..Field::new("sessions", "Sessions", FieldType::ListMulti)
            },
            Field {
                need: Necessity::Optional,
                ..Field::new("all", "All sessions but this one", FieldType::Boolean)
            },
        ],
    }],
    run: end,
};

fn list(turn: &mut Turn<'_, Account>, _: &Answers) -> Result<Report, Stop> {
    let form = FormWriter::titled(FormKind::Result, LIST.node, "Your sessions", "").reported(&[
        ("resource", "Resource"),
        ("software", "Software"),
        ("state", "State"),
        ("priority", "Priority"),
    ]);
    let sessions = turn.actor.sessions.iter().filter(|it| !it.ended);
    let form = sessions.fold(form, |form, session| {
        let priority = session.presence.as_ref().map(|_| session.priority);
        let priority = priority.map_or(String::new(), |priority| priority.to_string());
        form.item(&[
            ("resource", name(session)),
            ("software", &session.software().unwrap_or_default()),
            ("state", state(session)),
            ("priority", &priority),
        ])
    });
    Ok(Report::found(form.finish()))
}

fn end(turn: &mut Turn<'_, Account>, answers: &Answers) -> Result<Report, Stop> {
    let all = answers.says_yes("all")?;
    let chosen = answers.values("sessions");
    let is_chosen = |session: &&Session| all || chosen.iter().any(|it| it == name(session));
    let ids: Vec<SessionId> = others(turn).filter(is_chosen).map(|it| it.id).collect();
    if ids.is_empty() {
        return Ok(Report::failed("No session was chosen"));
    }
    let report = match ids.len() {
        1 => Report::done("One session was ended"),
        count => Report::done(format!("{count} sessions were ended")),
    };
    turn.out.change.push(Change::EndSessions(ids));
    Ok(report)
}

/// All sessions but the one that asks.
fn others<'a>(turn: &Turn<'a, Account>) -> impl Iterator<Item = &'a Session> + use<'a> {
    let own = turn.asker;
    let sessions = turn.actor.sessions.iter();
    sessions.filter(move |session| !session.ended && Some(session.id) != own)
}

fn choice(session: &Session) -> Choice {
    Choice {
        value: name(session).to_owned(),
        label: match session.software() {
            Some(software) => format!("{} ({software}, {})", name(session), state(session)),
            None => format!("{} ({})", name(session), state(session)),
        },
    }
}

fn name(session: &Session) -> &str {
    session.jid.resourcepart().unwrap_or_default()
}

fn state(session: &Session) -> &'static str {
    match (session.stream, session.is_available()) {
        (None, _) => "waits for its client to come back",
        (Some(_), true) => "available",
        (Some(_), false) => "connected, not available",
    }
}
