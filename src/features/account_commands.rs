//! Commands with which users change their password and remove their account: what `features/register.rs` does for
//! clients that know XEP-0077. Scenarios: `tests/scenarios/commands.xmpp`

use super::NONE;
use crate::actor::auth::AccountAnswer;
use crate::actor::{Answers, Command, Feature, Field, Page, Report, Stop, Turn};
use crate::base::Secret;
use crate::im::{Account, own};
use crate::jid::Jid;
use crate::stanza::{Condition, FieldType, StanzaError};

pub const ACCOUNT_COMMANDS: Feature<Account> = Feature {
    name: "account-commands",
    commands: &[CHANGE_PASSWORD, DELETE],
    ..NONE
};

const CHANGE_PASSWORD: Command<Account> = Command {
    node: "change-password",
    name: "Change your password",
    may_run: own::may_set_password,
    pages: &[Page {
        instructions: "Your other devices need the new password, too.",
        fields: &[
            Field::new("password", "New password", FieldType::TextPrivate),
            Field::new("again", "The same again", FieldType::TextPrivate),
        ],
    }],
    run: change_password,
};

const DELETE: Command<Account> = Command {
    node: "delete-account",
    name: "Delete your account",
    may_run: own::may_remove,
    pages: &[
        Page {
            instructions: "The account goes, with its contacts, messages and everything else that the server keeps for it.",
            fields: &[Field::new(
                "address",
                "Your address, to be sure",
                FieldType::JidSingle,
            )],
        },
        Page {
            instructions: "This cannot be taken back, and nobody gets the name for a long time.",
            fields: &[Field::new("confirm", "Delete it", FieldType::Boolean)],
        },
    ],
    run: delete,
};

/// As over XEP-0077, on an encrypted stream only.
fn change_password(turn: &mut Turn<'_, Account>, answers: &Answers) -> Result<Report, Stop> {
    let password = answers.value("password")?.unwrap_or_default();
    if answers.value("again")? != Some(password) {
        return Err(Stop::Reject(StanzaError::new(
            Condition::BadRequest,
            "The two passwords differ",
        )));
    }
    let password = Secret::new(password.as_bytes().to_vec());
    let Some(answer) = own::set_password(turn, password)? else {
        return Ok(Report::failed(
            "A password changes on an encrypted stream only",
        ));
    };
    Ok(match answer {
        AccountAnswer::Done(_) => Report::done("The password was changed"),
        AccountAnswer::PasswordUnfit => Report::failed(own::unfit(turn)),
        AccountAnswer::TooMany => {
            Report::failed("The password was changed too often, try again in a minute")
        }
        _ => Report::failed(GONE),
    })
}

fn delete(turn: &mut Turn<'_, Account>, answers: &Answers) -> Result<Report, Stop> {
    let address = answers.value("address")?.unwrap_or_default();
    let is_own = Jid::parse(address.trim()).is_ok_and(|jid| jid == turn.actor.jid);
    if !is_own || !answers.says_yes("confirm")? {
        return Ok(Report::failed("Nothing was deleted"));
    }
    Ok(match own::remove(turn)? {
        AccountAnswer::Done(_) => Report::done("The account was deleted"),
        _ => Report::failed(GONE),
    })
}

const GONE: &str = "The account may not be changed any more";
