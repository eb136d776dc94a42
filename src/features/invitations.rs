//! XEP-0401: Ad-hoc Account Invitation Generation, version 0.6.0; XEP-0379: Pre-Authenticated Roster Subscription,
//! version 0.3.3; XEP-0445: Pre-Authenticated In-Band Registration, version 0.2.0. The work is done in
//! `auth/invitations.rs`, `im/invitation.rs` and `stream/register.rs`. Scenarios: `tests/scenarios/invitations.xmpp`
//!
//! | section | item |
//! |---|---|
//! | 0401 3 discovery | the commands' nodes, `features/disco.rs` |
//! | 0401 5.1 making one | [`INVITE`]; `stonechat user invite` |
//! | 0401 5.4 for an account of this server | [`CREATE_ACCOUNT`], to everybody whom the host lets invite; who comes is a contact: there is no `roster-subscription` |
//! | 0401 5.2 landing page | not done: no page is served; `landing-url` is optional |
//! | 0401 5.5 after the registration | `auth/invitations.rs`: the newcomer's half; [`crate::im::subscription::invited`] |
//! | 0379 3.4 a request with a token | [`crate::im::invitation::welcomes`] |
//! | 0379 3.5 approval, and a request in return | `im/subscription/mod.rs` |
//! | 0379 6 validity | single use unless `--uses`, a time, a name by `--name` |
//! | 0445 3 stream feature | `stream/features.rs` |
//! | 0445 4 the token before the registration | `stream/register.rs` |
//! | 0445 5 the name that was invited is kept | [`crate::im::invitation::RESERVATION`] |

use super::NONE;
use crate::actor::auth::AccountAnswer;
use crate::actor::{Answers, Command, Feature, Field, Necessity, Page, Report, Spec, Stop, Turn};
use crate::config::RegistrationMode;
use crate::im::account::is_user;
use crate::im::invitation::{contact_uri, registration_uri};
use crate::im::{Account, own};
use crate::jid::prepare_localpart;
use crate::stanza::{FieldType, FormKind, FormWriter, stamp};

pub const INVITATIONS: Feature<Account> = Feature {
    name: "invitations",
    specs: &[
        Spec::xep(379, "0.3.3"),
        Spec::xep(401, "0.6.0"),
        Spec::xep(445, "0.2.0"),
    ],
    commands: &[INVITE, CREATE_ACCOUNT],
    ..NONE
};

/// "A user can execute the 'urn:xmpp:invite#invite' command to immediately obtain a new invitation link with a unique
/// invitation token."
const INVITE: Command<Account> = Command {
    node: "urn:xmpp:invite#invite",
    name: "Invite a friend",
    may_run: is_user,
    // "The server SHOULD immediately provide a command result".
    pages: &[],
    run: invite,
};

/// "The only mandatory field is username".
const CREATE_ACCOUNT: Command<Account> = Command {
    node: "urn:xmpp:invite#create-account",
    name: "Invite a friend to this server",
    may_run: |turn| is_user(turn) && turn.host.registration.mode != RegistrationMode::Off,
    pages: &[Page {
        instructions: "Whoever has the invitation registers here, and you see each other. A name that you choose is kept for them until it is over.",
        fields: &[Field {
            need: Necessity::Optional,
            ..Field::new("username", "Name", FieldType::TextSingle)
        }],
    }],
    run: create_account,
};

fn invite(turn: &mut Turn<'_, Account>, _: &Answers) -> Result<Report, Stop> {
    let answer = own::invite(turn, None)?;
    let contact = turn.actor.jid.clone();
    Ok(report(answer, |token, registers| {
        contact_uri(&contact, token, registers)
    }))
}

fn create_account(turn: &mut Turn<'_, Account>, answers: &Answers) -> Result<Report, Stop> {
    let username = answers.value("username")?.unwrap_or_default().trim();
    let name = match username {
        "" => None,
        // "The username MUST be a valid localpart".
        username => match prepare_localpart(username) {
            Ok(name) => Some(name.into_owned()),
            Err(_) => return Ok(Report::failed("This cannot be the name of an account")),
        },
    };
    if let Some(Err(why)) = name
        .as_ref()
        .map(|name| turn.host.registration.allows(name))
    {
        return Ok(Report::failed(why));
    }
    let answer = own::invite(turn, name.clone())?;
    let host = turn.actor.jid.domainpart();
    Ok(report(answer, |token, _| {
        registration_uri(host, name.as_deref(), token)
    }))
}

/// Section 5.1: "The result can have the following fields".
fn report(answer: AccountAnswer, uri: impl FnOnce(&str, bool) -> String) -> Report {
    let (token, expires_wall_ms, registers) = match answer {
        AccountAnswer::Invited {
            token,
            expires_wall_ms,
            registers,
        } => (token, expires_wall_ms, registers),
        AccountAnswer::TooMany => {
            return Report::failed("As many of your invitations are open as may be");
        }
        AccountAnswer::TooManyNames => {
            return Report::failed("Too many names were tried lately, try again later");
        }
        AccountAnswer::NameTaken => return Report::failed("This name is taken"),
        _ => return Report::failed("You cannot invite anybody any more"),
    };
    let token = String::from_utf8_lossy(token.expose());
    // "mandatory if the invitation will expire".
    let form = FormWriter::new(FormKind::Result, "urn:xmpp:invite#invitation")
        .field(FieldType::TextSingle, "uri", &[&uri(&token, registers)])
        .field(FieldType::TextSingle, "expire", &[&stamp(expires_wall_ms)]);
    Report::found(form.finish())
}
