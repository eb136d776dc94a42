//! vCards of users who live in a directory: what their entries say, alone or with what they keep here. Refuses to know
//! how an entry is read.

use std::borrow::Cow;
use std::sync::Arc;

use crate::actor::directory::{DirectoryAnswer, DirectoryAsk, DirectoryWish};
use crate::actor::{Stop, Turn};
use crate::config::DirectoryCards;
use crate::im::Account;
use crate::im::account::unavailable;
use crate::stanza::{Condition, ErrorType, StanzaError, ns};
use crate::xml::{Children, Element};

/// Where the vCards of the account's host come from.
pub fn source(turn: &Turn<'_, Account>) -> DirectoryCards {
    let directory = turn.host.directory.as_ref();
    directory.map_or(DirectoryCards::Off, |directory| directory.cards.source)
}

/// What is inside the vCard that the account's entry is, if it is one.
///
/// # Errors
/// Leaves the mailbox until the directory has answered; rejects if it did not.
pub fn read<'a>(turn: &Turn<'a, Account>) -> Result<Option<&'a str>, Stop> {
    match turn.ask_directory(&ask(turn, DirectoryWish::Card)?)? {
        DirectoryAnswer::Card(card) => Ok(card.as_deref()),
        _ => Err(silent()),
    }
}

/// Has the account's entry say what this vCard says, as far as entries say it.
///
/// # Errors
/// Leaves the mailbox until that is done; rejects if it must not be, or could not.
pub fn change(turn: &Turn<'_, Account>, vcard: &Element<'_>) -> Result<(), Stop> {
    let vcard: Arc<str> = Arc::from(vcard.raw());
    let rejected = |condition, text| Err(Stop::Reject(StanzaError::new(condition, text)));
    match turn.ask_directory(&ask(turn, DirectoryWish::Change(vcard))?)? {
        DirectoryAnswer::Changed => Ok(()),
        // XEP-0054 section 3.2: "the server MUST return a stanza error, which SHOULD be <forbidden/> or <not-allowed/>".
        DirectoryAnswer::Fixed => rejected(
            Condition::NotAllowed,
            "Some of this stands in the organisation's directory and is not yours to change",
        ),
        DirectoryAnswer::Denied => rejected(
            Condition::Forbidden,
            "The organisation's directory does not let this be changed",
        ),
        DirectoryAnswer::Unfit => rejected(
            Condition::NotAcceptable,
            "The organisation's directory does not take these values",
        ),
        _ => Err(silent()),
    }
}

/// The vCard of who has both: an element that the entry has a value for is the entry's alone.
pub fn merged<'a>(entry: Option<&'a str>, own: Option<&'a str>) -> Option<Cow<'a, str>> {
    let own = own.and_then(|own| Element::parse(own, ""));
    let Some(entry) = entry else {
        return own.map(|own| Cow::Borrowed(own.raw()));
    };
    let mut xml = format!("<vCard xmlns='{}'>{entry}", ns::VCARD);
    let said = Children::new(entry, ns::VCARD);
    let is_said = |name: &str| said.clone().any(|element| element.name() == name);
    let own = own.iter().flat_map(Element::children);
    for element in own.filter(|element| !is_said(element.name())) {
        xml.push_str(element.raw());
    }
    xml.push_str("</vCard>");
    Some(Cow::Owned(xml))
}

fn ask(turn: &Turn<'_, Account>, wish: DirectoryWish) -> Result<DirectoryAsk, Stop> {
    let localpart = turn.actor.jid.localpart();
    Ok(DirectoryAsk {
        host: Arc::clone(&turn.host.name),
        localpart: Arc::from(localpart.ok_or_else(|| Stop::Reject(unavailable()))?),
        wish,
    })
}

fn silent() -> Stop {
    let error = StanzaError::new(
        Condition::InternalServerError,
        "The organisation's directory does not answer, try again later",
    );
    Stop::Reject(error.of_type(ErrorType::Wait))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_that_the_entry_has_is_the_entrys_alone() {
        let own = "<vCard xmlns='vcard-temp'><FN>J</FN><URL>u</URL><TEL><HOME/></TEL></vCard>";
        let entry = "<FN>Juliet</FN><TEL><WORK/><NUMBER>1</NUMBER></TEL>";
        let both = merged(Some(entry), Some(own));
        assert_eq!(
            both.as_deref(),
            Some(
                "<vCard xmlns='vcard-temp'><FN>Juliet</FN><TEL><WORK/><NUMBER>1</NUMBER></TEL><URL>u</URL></vCard>"
            )
        );
        assert_eq!(merged(None, Some(own)).as_deref(), Some(own));
        let alone = merged(Some("<FN>J</FN>"), None);
        assert_eq!(
            alone.as_deref(),
            Some("<vCard xmlns='vcard-temp'><FN>J</FN></vCard>")
        );
        assert_eq!(merged(None, None), None);
    }
}
