//! XEP-0077: In-Band Registration, version 2.4, for users who are logged in. Scenarios:
//! `tests/scenarios/register.xmpp`
//!
//! | section | item |
//! |---|---|
//! | 3.1 who is registered asks for the fields | [`fields`] |
//! | 3.1.1 registration with the server | `stream/register.rs`: before login, where the host allows it |
//! | 3.2 cancelling the registration | [`set`], `auth/purge.rs`; no form is asked for |
//! | 3.3 another password | [`set`], for whom groups of a directory let ([`own::may_set_password`]); the old one is not asked for: whoever is here has proved it |
//! | 4 data forms | `stream/register.rs` |
//! | 5 redirection, 6 precedence | not done: an operator's instructions may hold an address |
//! | 8 stream feature | `stream/features.rs` |
//! | 9 codes of old | not done: XEP-0086 is retracted |

use super::NONE;
use crate::actor::auth::AccountAnswer;
use crate::actor::{Feature, IqRoute, Outcome, Spec, Stop, Turn};
use crate::base::Secret;
use crate::im::{Account, iq, own};
use crate::jid::Jid;
use crate::stanza::{Condition, ErrorType, Iq, Payload, StanzaError, ns};
use crate::xml::{Element, Writer};

pub const REGISTER: Feature<Account> = Feature {
    name: "register",
    specs: &[Spec::xep(77, "2.4")],
    host_disco: &[ns::REGISTER],
    host: &[
        IqRoute::get(ns::REGISTER, "query", fields),
        IqRoute::set(ns::REGISTER, "query", set),
    ],
    account: &[
        IqRoute::get(ns::REGISTER, "query", fields),
        IqRoute::set(ns::REGISTER, "query", set),
    ],
    ..NONE
};

/// Section 3.1: "the IQ result that it sends in response to the IQ get MUST contain an empty <registered/> element".
fn fields(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    registered(turn, iq)?;
    let mut writer = Writer::new();
    writer
        .open("query", Some(ns::REGISTER))
        .open("registered", None)
        .close();
    let may_set_password = own::may_set_password(turn);
    if !may_set_password {
        // "SHOULD contain an <instructions/> element".
        let text = "The password of this account is not changed here";
        writer.open("instructions", None).text(text).close();
    }
    writer
        .open("username", None)
        .text(turn.actor.jid.localpart().unwrap_or_default())
        .close();
    if may_set_password {
        // "the <password/> element MAY be empty": nobody here knows it.
        writer.open("password", None).close();
    }
    writer.close();
    let payload = Payload::from_normal(&writer.finish());
    iq::answer(turn, iq, payload);
    Ok(())
}

/// The account goes, or gets another password.
fn set(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    registered(turn, iq)?;
    let query = iq.child();
    match query.child(ns::REGISTER, "remove") {
        Some(_) => remove(turn, iq),
        None => set_password(turn, iq, &query),
    }
}

fn remove(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    if iq.child().children().count() != 1 {
        // Section 3.2: "The <remove/> element was not the only child element of the <query/> element."
        return Err(reject(
            Condition::BadRequest,
            "<remove/> stands alone in its <query/>",
        ));
    }
    match own::remove(turn)? {
        AccountAnswer::Done(_) => {
            iq::answer(turn, iq, Payload::EMPTY);
            Ok(())
        }
        _ => Err(Stop::Reject(gone())),
    }
}

fn set_password(turn: &mut Turn<'_, Account>, iq: Iq<'_>, query: &Element<'_>) -> Outcome {
    let text = |name| {
        let child = query.child(ns::REGISTER, name);
        child.map(|child| child.text().into_owned())
    };
    let password = text("password").map(|text| Secret::new(text.into_bytes()));
    let (Some(username), Some(password)) = (text("username"), password) else {
        return Err(reject(
            Condition::BadRequest,
            "A new password stands in <password/>, beside the <username/>",
        ));
    };
    if !is_own(&turn.actor.jid, &username) {
        // Section 3.1.1: "<not-acceptable/> ... if an entity attempts to register a second identity".
        return Err(reject(
            Condition::NotAcceptable,
            "This is not the name of your account",
        ));
    }
    if password.expose().is_empty() {
        // "the server or service MUST NOT change the password to a null value, but instead MUST maintain the existing".
        return Err(reject(Condition::BadRequest, "The password is empty"));
    }
    let Some(answer) = own::set_password(turn, password)? else {
        return Err(Stop::Reject(
            StanzaError::new(
                Condition::NotAuthorized,
                "A password changes on an encrypted stream only",
            )
            .of_type(ErrorType::Modify),
        ));
    };
    match answer {
        AccountAnswer::Done(_) => {
            iq::answer(turn, iq, Payload::EMPTY);
            Ok(())
        }
        AccountAnswer::PasswordUnfit => Err(reject(Condition::NotAcceptable, own::unfit(turn))),
        AccountAnswer::TooMany => Err(Stop::Reject(too_often())),
        _ => Err(Stop::Reject(gone())),
    }
}

/// Refuses who has no account: "The entity sending the remove request was not previously registered."
fn registered(turn: &Turn<'_, Account>, iq: Iq<'_>) -> Result<(), Stop> {
    match turn.actor.anonymous {
        false if is_from_own(turn.actor, iq) => Ok(()),
        _ => Err(reject(
            Condition::RegistrationRequired,
            "You have no account here",
        )),
    }
}

/// Whether the account itself asks, and asks the server at which it lives.
fn is_from_own(account: &Account, iq: Iq<'_>) -> bool {
    let to = iq.header().to.as_ref();
    to.is_none_or(|to| to.domainpart() == account.jid.domainpart())
}

/// The name alone, or the whole address as section 3.3 has it in its form.
fn is_own(own: &Jid, username: &str) -> bool {
    let prepared = crate::jid::prepare_localpart(username);
    let is_name = prepared.is_ok_and(|name| own.localpart() == Some(&*name));
    is_name || Jid::parse(username).is_ok_and(|jid| jid == *own)
}

fn too_often() -> StanzaError {
    StanzaError::new(
        Condition::ResourceConstraint,
        "The password was changed too often, try again in a minute",
    )
}

fn gone() -> StanzaError {
    StanzaError::new(
        Condition::NotAllowed,
        "The account may not be changed any more",
    )
}

fn reject(condition: Condition, text: &'static str) -> Stop {
    Stop::Reject(StanzaError::new(condition, text))
}
