//! Commands with which a user sees the own sessions and ends them. Scenarios: `tests/scenarios/commands.xmpp`

use super::NONE;
use crate::actor::auth::{AccountAnswer, AccountAsk, Clients, KnownClient};
use crate::actor::{Answers, Command, Feature, Field, Necessity, Page, Report, Stop, Turn};
use crate::base::{SessionId, Uuid};
use crate::im::account::{identify, is_user, refer};
use crate::im::{Account, Change, Session};
use crate::stanza::{Choice, FieldType, FormKind, FormWriter, stamp};

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
        instructions: "Choose the sessions that shall end. Their clients need the password to come back.",
        fields: &[
            Field {
                need: Necessity::Optional,
                choices: |turn| Ok(others(turn).map(choice).collect()),
                ..Field::new("sessions", "Sessions", FieldType::ListMulti)
            },
            Field {
                need: Necessity::Optional,
                choices: |turn| Ok(absent(turn)?.iter().map(client_choice).collect()),
                ..Field::new(
                    "clients",
                    "Clients that are not here, and can come back without the password",
                    FieldType::ListMulti,
                )
            },
            Field {
                need: Necessity::Optional,
                ..Field::new("all", "All others of both", FieldType::Boolean)
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
    let absent = absent(turn)?;
    let form = absent.iter().fold(form, |form, client| {
        form.item(&[
            ("resource", ""),
            ("software", ""),
            ("state", &client_state(client)),
            ("priority", ""),
        ])
    });
    Ok(Report::found(form.finish()))
}

/// Ends sessions, and first the tokens of their clients (XEP-0484): else they would be back at once.
fn end(turn: &mut Turn<'_, Account>, answers: &Answers) -> Result<Report, Stop> {
    let all = answers.says_yes("all")?;
    let chosen = answers.values("sessions");
    let is_chosen = |session: &&Session| all || chosen.iter().any(|it| it == name(session));
    let ended: Vec<&Session> = others(turn).filter(is_chosen).collect();
    let own = turn.asker.and_then(|id| turn.actor.session(id)?.user_agent);
    let clients = match all {
        true => Clients::AllBut(own),
        false => {
            let of_sessions = ended.iter().filter_map(|session| session.user_agent);
            let of_absent = answers.values("clients").iter();
            let of_absent = of_absent.filter_map(|client| Uuid::parse_v4(client));
            let these = of_sessions.chain(of_absent);
            // Whoever asks does not log itself out.
            Clients::These(these.filter(|client| Some(*client) != own).collect())
        }
    };
    let count = ended.len();
    // Of those that hung up just now, something may be waiting to be done.
    let over = turn.actor.sessions.iter();
    let over = over.filter(|session| session.ended && Some(session.id) != turn.asker);
    let over: Vec<&Session> = over.filter(is_chosen).collect();
    let ids = ended.iter().chain(&over).map(|session| session.id);
    let ids: Vec<SessionId> = ids.collect();
    let has_clients = clients != Clients::These(Vec::new());
    if count == 0 && !has_clients {
        return Ok(Report::failed("No session was chosen"));
    }
    if has_clients && let Some(refused) = revoke(turn, clients)? {
        return Ok(refused);
    }
    let report = match count {
        0 => Report::done("The clients need the password to come back"),
        1 => Report::done("One session was ended"),
        count => Report::done(format!("{count} sessions were ended")),
    };
    if !ids.is_empty() {
        turn.out.change.push(Change::EndSessions(ids));
    }
    Ok(report)
}

/// Ends the tokens of clients; what to say if that could not be done.
fn revoke(turn: &mut Turn<'_, Account>, clients: Clients) -> Result<Option<Report>, Stop> {
    let ask = AccountAsk::Revoke {
        host: turn.actor.jid.domainpart().into(),
        localpart: turn.actor.jid.localpart().unwrap_or_default().into(),
        account: refer(turn)?,
        clients,
    };
    Ok(match turn.ask_account(&ask)? {
        AccountAnswer::Done(_) => None,
        _ => Some(Report::failed("The account may not be changed any more")),
    })
}

/// Clients without a session that have tokens.
fn absent(turn: &mut Turn<'_, Account>) -> Result<Vec<KnownClient>, Stop> {
    let ask = AccountAsk::Clients {
        host: turn.actor.jid.domainpart().into(),
        localpart: turn.actor.jid.localpart().unwrap_or_default().into(),
        id: identify(turn)?,
    };
    let AccountAnswer::Clients(mut known) = turn.ask_account(&ask)? else {
        return Ok(Vec::new());
    };
    let here = |client: Uuid| {
        let mut sessions = turn.actor.sessions.iter();
        sessions.any(|session| !session.ended && session.user_agent == Some(client))
    };
    known.retain(|known| !here(known.client));
    Ok(known)
}

fn client_choice(known: &KnownClient) -> Choice {
    Choice {
        value: known.client.to_string(),
        label: client_state(known),
    }
}

/// Nothing else is kept of a client that is not here.
fn client_state(known: &KnownClient) -> String {
    format!(
        "not here, can come back until {} by a token of {}",
        stamp(known.expires_wall_ms),
        stamp(known.issued_wall_ms)
    )
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
