//! XEP-0050: Ad-Hoc Commands, version 1.3.0, of the host for its users: the protocol around the commands that other
//! features list ([`Command`]). Refuses to know what any of them does. Scenarios: `tests/scenarios/commands.xmpp`
//!
//! | section | item |
//! |---|---|
//! | 2.1, 2.2 discovery | `features/disco.rs` |
//! | 2.3 announcing | not done: users ask when they want something |
//! | 2.4.1 simple execution | `begin` |
//! | 2.4.2 several stages, 2.5 cancelling | `go_on` |
//! | 3.3 sessions | `im/commands.rs`: so many of an account, for so long, each of one resource |
//! | 3.4 actions | `Action`; "execute" is the page's default |
//! | 3.5.1 forms | `submitted` |
//! | 3.6 failure | [`Report::failed`] |
//! | 3.7 languages | everybody is answered in English, which is said; so `bad-locale` is no answer of ours |
//! | 4.4 errors | `refused` and its callers |

use super::NONE;
use crate::actor::{
    Answers, Command, Feature, Field, IqRoute, Necessity, Outcome, Page, Report, Spec, Stop, Turn,
    command,
};
use crate::base::limits;
use crate::im::commands::CommandSession;
use crate::im::{Account, Change, iq};
use crate::jid::Jid;
use crate::stanza::{
    Condition, ErrorType, FieldType, FormKind, FormWriter, Iq, Payload, Question, StanzaError,
    Submission, ns,
};
use crate::xml::{Element, Writer};

pub const COMMANDS: Feature<Account> = Feature {
    name: "commands",
    specs: &[Spec::xep(50, "1.3.0")],
    host_disco: &[ns::COMMANDS],
    host: &[IqRoute::set(ns::COMMANDS, "command", execute)],
    ..NONE
};

/// What the requester wants with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Execute,
    Cancel,
    Prev,
    Next,
    Complete,
}

impl Action {
    fn read(request: &Element<'_>) -> Result<Action, Stop> {
        match request.attribute("action").as_deref() {
            // Section 4.1: "This is the default value."
            None | Some("execute") => Ok(Action::Execute),
            Some("cancel") => Ok(Action::Cancel),
            Some("prev") => Ok(Action::Prev),
            Some("next") => Ok(Action::Next),
            Some("complete") => Ok(Action::Complete),
            Some(_) => Err(refused(MALFORMED_ACTION, "There is no such action")),
        }
    }
}

/// Begins a command, or goes on with one.
fn execute(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    let request = iq.child();
    let action = Action::read(&request)?;
    // Section 4.1: "This attribute MUST be present."
    let Some(node) = request.attribute("node") else {
        return Err(Stop::Reject(StanzaError::new(
            Condition::BadRequest,
            "Name the command: its 'node'",
        )));
    };
    let Some(command) = turn.catalog.command(&node) else {
        return Err(Stop::Reject(StanzaError::new(
            Condition::ItemNotFound,
            "There is no such command",
        )));
    };
    let may_run = iq::asks_own_host(turn, iq) && (command.may_run)(turn);
    let (true, Some(session)) = (may_run, turn.asker) else {
        return Err(Stop::Reject(
            StanzaError::new(Condition::Forbidden, "You may not run this command")
                .of_type(ErrorType::Cancel),
        ));
    };
    match request.attribute("sessionid") {
        Some(id) => {
            let running = turn.actor.commands.as_deref();
            let running = running.and_then(|it| it.find(&id, turn.now.mono_ms));
            let Some(running) = running else {
                return Err(unknown_session(&id));
            };
            if running.session != session || running.node != command.node {
                return Err(refused(BAD_SESSIONID, "It is another command's session"));
            }
            let running = running.clone();
            go_on(turn, iq, command, action, running)
        }
        None if action == Action::Execute => {
            let begun = CommandSession {
                id: turn.rng.token(),
                session,
                node: command.node,
                answers: Answers::default(),
                used_at_ms: turn.now.mono_ms,
            };
            begin(turn, iq, command, begun)
        }
        None => Err(refused(BAD_ACTION, "The command has not begun")),
    }
}

fn begin(
    turn: &mut Turn<'_, Account>,
    iq: Iq<'_>,
    command: &Command<Account>,
    begun: CommandSession,
) -> Outcome {
    if command.pages.is_empty() {
        let report = (command.run)(turn, &begun.answers)?;
        return complete(turn, iq, &begun, &report);
    }
    show(turn, iq, command, begun)
}

fn go_on(
    turn: &mut Turn<'_, Account>,
    iq: Iq<'_>,
    command: &Command<Account>,
    action: Action,
    mut running: CommandSession,
) -> Outcome {
    let at = running.answers.0.len();
    let is_last = at + 1 >= command.pages.len();
    running.used_at_ms = turn.now.mono_ms;
    match (action, is_last) {
        // Section 3.4: "The action "cancel" is always allowed."
        (Action::Cancel, _) => {
            end(turn, &running);
            let writer = reply(&running, "canceled");
            iq::answer(turn, iq, Payload::from_normal(&writer.finish()));
            Ok(())
        }
        (Action::Prev, _) if at > 0 => {
            running.answers.0.pop();
            show(turn, iq, command, running)
        }
        (Action::Prev, _) => Err(refused(BAD_ACTION, "This is the first page")),
        (Action::Next | Action::Execute, false) => {
            let answer = submitted(turn, iq, &command.pages[at])?;
            running.answers.0.push(answer);
            show(turn, iq, command, running)
        }
        (Action::Next, true) => Err(refused(BAD_ACTION, "This is the last page")),
        (Action::Complete | Action::Execute, true) => {
            let answer = submitted(turn, iq, &command.pages[at])?;
            running.answers.0.push(answer);
            let report = (command.run)(turn, &running.answers)?;
            end(turn, &running);
            complete(turn, iq, &running, &report)
        }
        (Action::Complete, false) => Err(refused(BAD_ACTION, "There are more pages")),
    }
}

/// Asks what the page behind the answers so far asks.
fn show(
    turn: &mut Turn<'_, Account>,
    iq: Iq<'_>,
    command: &Command<Account>,
    running: CommandSession,
) -> Outcome {
    let at = running.answers.0.len();
    let page = &command.pages[at];
    let mut form = FormWriter::titled(
        FormKind::Form,
        command.node,
        command.name,
        page.instructions,
    );
    for field in page.fields {
        let choices = (field.choices)(turn)?;
        let values = (field.values)(turn)?;
        form = form.question(&Question {
            type_: field.type_,
            var: field.var,
            label: field.label,
            is_required: field.need == Necessity::Required,
            values: &values,
            choices: &choices,
        });
    }
    let mut writer = reply(&running, "executing");
    let forward = match at + 1 < command.pages.len() {
        true => "next",
        false => "complete",
    };
    // "The "execute" attribute SHOULD NOT specify a value that does not match one of the allowed actions."
    writer.open("actions", None).attribute("execute", forward);
    if at > 0 {
        writer.open("prev", None).close();
    }
    writer.open(forward, None).close().close();
    writer.raw(&form.finish());
    iq::answer(turn, iq, Payload::from_normal(&writer.finish()));
    let change = Change::CommandGoesOn(Box::new(running));
    turn.out.change.push(change);
    Ok(())
}

/// Section 2.4.2: what a command that is done has to say. "A session ends when the responder sends a <command
/// status='completed'/>".
fn complete(
    turn: &mut Turn<'_, Account>,
    iq: Iq<'_>,
    running: &CommandSession,
    report: &Report,
) -> Outcome {
    let mut writer = reply(running, "completed");
    // Section 3.6: "If a command completes but fails, the responder MUST include at least one <note type='error'/>".
    let type_ = match report.outcome {
        command::Outcome::Done => "info",
        command::Outcome::Failed => "error",
    };
    if !report.text.is_empty() || report.outcome == command::Outcome::Failed {
        writer
            .open("note", None)
            .attribute("type", type_)
            .text(&report.text)
            .close();
    }
    writer.raw(&report.payload);
    iq::answer(turn, iq, Payload::from_normal(&writer.finish()));
    Ok(())
}

fn end(turn: &mut Turn<'_, Account>, running: &CommandSession) {
    let change = Change::CommandEnded(running.id.as_str().into());
    turn.out.change.push(change);
}

fn reply(running: &CommandSession, status: &str) -> Writer {
    let mut writer = Writer::new();
    writer
        .open("command", Some(ns::COMMANDS))
        .attribute("xml:lang", "en")
        .attribute("node", running.node)
        .attribute("sessionid", &running.id)
        .attribute("status", status);
    writer
}

/// What the requester filled in, checked against what was asked.
fn submitted(
    turn: &mut Turn<'_, Account>,
    iq: Iq<'_>,
    page: &Page<Account>,
) -> Result<Submission, Stop> {
    let form = iq.child().child(ns::FORM, "x");
    if form.is_some_and(|form| form.raw().len() > limits::COMMAND_FORM_BYTES_MAX) {
        return Err(refused(BAD_PAYLOAD, "The form is too large"));
    }
    let form = match iq.child().child(ns::FORM, "x") {
        Some(form) => Submission::read_of_command(&form).map_err(bad_payload)?,
        None => Submission::default(),
    };
    for field in page.fields {
        check(turn, field, &form)?;
    }
    Ok(form)
}

/// "The responding JID cannot accept the specified payload (e.g. the data form did not provide one or more required
/// fields)."
fn check(turn: &mut Turn<'_, Account>, field: &Field<Account>, form: &Submission) -> Outcome {
    let values = form.values(field.var);
    let is_empty = values.iter().all(String::is_empty);
    if is_empty {
        return match field.need {
            Necessity::Required => Err(refused(BAD_PAYLOAD, "A required field is empty")),
            Necessity::Optional => Ok(()),
        };
    }
    let is_address = |value: &String| Jid::parse(value.trim()).is_ok();
    match field.type_ {
        FieldType::Boolean => drop(form.boolean(field.var).map_err(bad_payload)?),
        FieldType::JidMulti | FieldType::JidSingle if !values.iter().all(is_address) => {
            return Err(refused(BAD_PAYLOAD, "A field holds no address"));
        }
        FieldType::ListMulti | FieldType::ListSingle => {
            let choices = (field.choices)(turn)?;
            let is_known = |value: &String| choices.iter().any(|it| it.value == *value);
            if !values.iter().all(is_known) {
                return Err(refused(BAD_PAYLOAD, "A field holds none of its choices"));
            }
        }
        _ => {}
    }
    let takes_many = matches!(
        field.type_,
        FieldType::JidMulti | FieldType::ListMulti | FieldType::TextMulti
    );
    if !takes_many {
        form.value(field.var).map_err(bad_payload)?;
    }
    Ok(())
}

/// An id that is shaped like ours was ours: "a sessionid that is no longer active (either because it was completed,
/// canceled, or timed out)".
fn unknown_session(id: &str) -> Stop {
    let is_ours = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if id.len() != TOKEN_BYTES || !id.bytes().all(is_ours) {
        return refused(BAD_SESSIONID, "There is no such session");
    }
    Stop::Reject(
        StanzaError::new(Condition::NotAllowed, "The session is over, begin anew")
            .with_application(SESSION_EXPIRED),
    )
}

fn bad_payload(error: StanzaError) -> Stop {
    Stop::Reject(error.with_application(BAD_PAYLOAD))
}

fn refused(specific: &'static str, text: &'static str) -> Stop {
    Stop::Reject(StanzaError::new(Condition::BadRequest, text).with_application(specific))
}

/// The length of what [`crate::base::Rng::token`] makes.
const TOKEN_BYTES: usize = 24;

// Section 4.4.
const BAD_ACTION: &str = "<bad-action xmlns='http://jabber.org/protocol/commands'/>";
const BAD_PAYLOAD: &str = "<bad-payload xmlns='http://jabber.org/protocol/commands'/>";
const BAD_SESSIONID: &str = "<bad-sessionid xmlns='http://jabber.org/protocol/commands'/>";
const MALFORMED_ACTION: &str = "<malformed-action xmlns='http://jabber.org/protocol/commands'/>";
const SESSION_EXPIRED: &str = "<session-expired xmlns='http://jabber.org/protocol/commands'/>";
