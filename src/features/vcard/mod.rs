//! XEP-0054: vcard-temp, version 1.3.0; XEP-0153: vCard-Based Avatars, version 1.1.1, which lives on it. Refuses to know
//! what is in a vCard. Scenarios: `tests/scenarios/vcard.xmpp`; with a directory `tests/directory/cards.rs`
//!
//! | section | item |
//! |---|---|
//! | 0054 3.1 one's own vCard | [`get`], `item-not-found` if there is none |
//! | 0054 3.2 updating | [`set`]; an empty vCard leaves nothing behind; another's is `forbidden` |
//! | 0054 3.3 another's vCard | [`get`], `service-unavailable` if there is none, or nobody |
//! | 0054 3.3 a server's own | [`of_host`], from `host.vcard` |
//! | 0054 users of a directory | `entry.rs`: what their entries say, instead of their own words or before them |
//! | 0153 3.1, 4.1 the hash in presence | the clients': presence goes through as they write it, of the photo that [`get`] shows them. The server's part, XEP-0398, comes with the other kind of avatars |

mod entry;

use std::borrow::Cow;

use super::NONE;
use crate::actor::rows::{Durability, Export, RowKey, Slices, Table, Write};
use crate::actor::{Askers, Feature, IqRoute, Outcome, Spec, Stop, Turn};
use crate::base::AccountId;
use crate::config::DirectoryCards;
use crate::im::account::{owner, unavailable};
use crate::im::{Account, iq, presence};
use crate::stanza::{Condition, Iq, Payload, StanzaError, ns};
use crate::xml::Writer;

/// The vCard of an account.
pub static VCARD_TABLE: Table = Table {
    name: "vcard",
    durability: Durability::BeforeReply,
    export: Export::WithAccount,
    slices: Slices::Whole,
    about: "vCard (XEP-0054) as it was normalised; key: account id",
};

pub const VCARD: Feature<Account> = Feature {
    name: "vcard",
    specs: &[Spec::xep(54, "1.3.0"), Spec::xep(153, "1.1.1")],
    // 4: "it MUST report that by including a service discovery feature of "vcard-temp"".
    host_disco: &[ns::VCARD],
    account_disco: &[ns::VCARD],
    host: &[
        IqRoute::get(ns::VCARD, "vCard", of_host),
        IqRoute::set(ns::VCARD, "vCard", not_of_host),
    ],
    account: &[
        IqRoute::get(ns::VCARD, "vCard", get).open_to(Askers::Anyone),
        // "the server MUST return a stanza error, which SHOULD be <forbidden/> or <not-allowed/>".
        IqRoute::set(ns::VCARD, "vCard", set).refusing(Condition::Forbidden),
    ],
    portable: Some(portable),
    ..NONE
};

fn get(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    // "If no vCard exists or the user does not exist, ... <service-unavailable/> MUST be used in both cases."
    let account = owner(turn)?;
    let Some(xml) = vcard(turn, account)? else {
        let own = presence::is_own(turn.actor, iq.header().from.as_ref());
        return Err(Stop::Reject(match own {
            true => StanzaError::new(Condition::ItemNotFound, "You have no vCard"),
            false => unavailable(),
        }));
    };
    iq::answer(turn, iq, Payload::from_normal(&xml));
    Ok(())
}

/// The vCard that everybody sees, if there is one.
fn vcard<'a>(
    turn: &mut Turn<'a, Account>,
    account: AccountId,
) -> Result<Option<Cow<'a, str>>, Stop> {
    let own = |turn: &Turn<'a, Account>| {
        let stored = turn.load(&VCARD_TABLE, &key(account))?;
        Ok::<_, Stop>(stored.and_then(decode))
    };
    match entry::source(turn) {
        DirectoryCards::Off => Ok(own(turn)?.map(Cow::Borrowed)),
        DirectoryCards::Directory => Ok(entry::merged(entry::read(turn)?, None)),
        DirectoryCards::Merge => Ok(entry::merged(entry::read(turn)?, own(turn)?)),
    }
}

fn portable(turn: &mut Turn<'_, Account>) -> Result<String, Stop> {
    let account = owner(turn)?;
    // What an entry says stays in its directory.
    let stored = turn.load(&VCARD_TABLE, &key(account))?;
    Ok(stored.and_then(decode).unwrap_or_default().to_owned())
}

fn set(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    let account = owner(turn)?;
    let vcard = iq.child();
    if vcard.raw().len() as u64 > turn.config.profile.vcard_size.as_bytes() {
        return Err(Stop::Reject(StanzaError::new(
            Condition::NotAcceptable,
            "The vCard is too large",
        )));
    }
    let source = entry::source(turn);
    if source != DirectoryCards::Off {
        entry::change(turn, &vcard)?;
    }
    if source == DirectoryCards::Directory {
        iq::answer(turn, iq, Payload::EMPTY);
        return Ok(());
    }
    let key = key(account);
    turn.out.write.push(match vcard.children().next() {
        None => Write::Delete {
            table: &VCARD_TABLE,
            key,
        },
        Some(_) => Write::Put {
            table: &VCARD_TABLE,
            key,
            value: [&[ROW_VERSION], vcard.raw().as_bytes()].concat().into(),
        },
    });
    iq::answer(turn, iq, Payload::EMPTY);
    Ok(())
}

/// "an XMPP server could itself have a vCard that defines the server's hosting organization ... and relevant contact
/// addresses".
fn of_host(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    let vcard = &iq::asked_host(turn, iq).vcard;
    let fields = [
        ("FN", &[][..], &vcard.name),
        ("ORG", &["ORGNAME"][..], &vcard.organization),
        ("URL", &[][..], &vcard.url),
        ("EMAIL", &["USERID"][..], &vcard.email),
        ("DESC", &[][..], &vcard.description),
    ];
    let mut writer = Writer::new();
    writer.open("vCard", Some(ns::VCARD));
    let mut is_empty = true;
    for (name, inside, value) in fields {
        if value.is_empty() {
            continue;
        }
        is_empty = false;
        writer.open(name, None);
        for name in inside {
            writer.open(name, None);
        }
        writer.text(value).close();
        for _ in inside {
            writer.close();
        }
    }
    if is_empty {
        return Err(Stop::Reject(unavailable()));
    }
    iq::answer(turn, iq, Payload::from_normal(&writer.finish()));
    Ok(())
}

fn not_of_host(_: &mut Turn<'_, Account>, _: Iq<'_>) -> Outcome {
    Err(Stop::Reject(StanzaError::new(
        Condition::Forbidden,
        "The server's vCard stands in its configuration",
    )))
}

fn key(account: AccountId) -> RowKey {
    RowKey::new(&account.0.to_be_bytes())
}

/// The element in a row; none if it is damaged.
fn decode(value: &[u8]) -> Option<&str> {
    let (&version, xml) = value.split_first()?;
    let xml = std::str::from_utf8(xml).ok()?;
    (version == ROW_VERSION && !xml.is_empty()).then_some(xml)
}

const ROW_VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_row_is_no_vcard() {
        assert_eq!(decode(b"\x01<vCard/>"), Some("<vCard/>"));
        for damaged in [&b""[..], b"\x01", b"\x02<vCard/>", b"\x01\xff"] {
            assert_eq!(decode(damaged), None);
        }
    }
}
