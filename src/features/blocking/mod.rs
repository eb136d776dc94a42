//! XEP-0191: Blocking Command, version 1.3, as clients ask for it; what it does to everything else is in
//! `im/blocking`. With XEP-0377: Blocking Command Reports, version 0.4.1. Scenarios: `tests/scenarios/blocking.xmpp`
//!
//! | section | item |
//! |---|---|
//! | 3.1 discovery | [`BLOCKING`] |
//! | 3.2 retrieval | `show` |
//! | 3.3 blocking | `block`; what it does to stanzas and presence, `im/blocking` |
//! | 3.4 unblocking, 3.5 unblocking all | `unblock` |
//! | 4 cancelling subscriptions, telling the blocked | not done: "polite blocking" is RECOMMENDED |
//! | 5 JID matching | `im/blocking/list.rs` |

mod report;

use super::NONE;
use crate::actor::{Feature, IqRoute, Outcome, Spec, Stop, Turn};
use crate::base::limits;
use crate::im::blocking::{self, Blocklist};
use crate::im::{Account, Change, Session, iq as answers};
use crate::jid::Jid;
use crate::stanza::{
    Condition, ErrorType, Header, Iq, Kind, Payload, Stanza, StanzaError, Type, ns,
};
use crate::xml::{Element, Writer};

use report::Report;

pub const BLOCKING: Feature<Account> = Feature {
    name: blocking::FEATURE,
    specs: &[Spec::xep(191, "1.3")],
    host_disco: &[ns::BLOCKING],
    account: &[
        IqRoute::get(ns::BLOCKING, "blocklist", show),
        IqRoute::set(ns::BLOCKING, "block", block),
        IqRoute::set(ns::BLOCKING, "unblock", unblock),
    ],
    portable: Some(portable),
    ..NONE
};

/// Without it what is said about a blocked address is ignored.
pub const REPORTING: Feature<Account> = Feature {
    name: "reporting",
    specs: &[Spec::xep(377, "0.4.1")],
    host_disco: &[ns::REPORTING],
    ..NONE
};

/// Section 3.2.
fn show(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    let list = blocking::load(turn)?;
    if let Some(session) = answers::requester(turn.actor, iq) {
        let session = session.id;
        turn.out.change.push(Change::WatchesBlocklist { session });
    }
    let payload = Payload::from_normal(&written("blocklist", list.jids()));
    answers::answer(turn, iq, payload);
    Ok(())
}

/// Section 3.3.
fn block(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    refuse_anonymous(turn)?;
    let jids = items(iq)?;
    if jids.is_empty() {
        // "If the <block/> element does not contain at least one <item/> child element, the server MUST return a
        // <bad-request/> error."
        return Err(reject(Condition::BadRequest, "Nobody is to be blocked"));
    }
    let old = blocking::load(turn)?;
    let new = old.with(&jids);
    check_quota(turn, &old, &new)?;
    answers::answer(turn, iq, Payload::EMPTY);
    push(turn, "block", &jids);
    blocking::change(turn, &old, new)?;
    if turn.catalog.has(REPORTING.name) {
        let reports = listed(iq).filter_map(|item| Report::read(&item));
        for report in reports.take(turn.actor.reports_left(turn.now.mono_ms)) {
            report.file(turn);
        }
    }
    Ok(())
}

/// Sections 3.4 and, without items, 3.5.
fn unblock(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    refuse_anonymous(turn)?;
    let jids = items(iq)?;
    let old = blocking::load(turn)?;
    let new = match jids.is_empty() {
        true => Blocklist::default(),
        false => old.without(&jids),
    };
    answers::answer(turn, iq, Payload::EMPTY);
    push(turn, "unblock", &jids);
    blocking::change(turn, &old, new)
}

fn refuse_anonymous(turn: &Turn<'_, Account>) -> Outcome {
    match turn.actor.anonymous {
        true => Err(reject(
            Condition::NotAllowed,
            "An anonymous account has no blocklist",
        )),
        false => Ok(()),
    }
}

fn check_quota(turn: &Turn<'_, Account>, old: &Blocklist, new: &Blocklist) -> Outcome {
    // What is as long as it was is always welcome.
    let too_many = new.len() > turn.config.blocking.items as usize && new.len() > old.len();
    match too_many || new.bytes() > limits::BLOCKLIST_BYTES_MAX {
        true => Err(Stop::Reject(
            StanzaError::new(Condition::ResourceConstraint, "The blocklist is full")
                .of_type(ErrorType::Cancel),
        )),
        false => Ok(()),
    }
}

fn listed<'a>(iq: Iq<'a>) -> impl Iterator<Item = Element<'a>> {
    let children = iq.child().children();
    children.filter(|child| child.is(ns::BLOCKING, "item"))
}

/// The addresses of the items, each once.
fn items(iq: Iq<'_>) -> Result<Vec<Jid>, Stop> {
    let mut jids = Vec::new();
    for item in listed(iq) {
        let Some(jid) = item.attribute("jid") else {
            return Err(reject(Condition::BadRequest, "An item has no 'jid'"));
        };
        let Ok(jid) = Jid::parse(&jid) else {
            return Err(reject(
                Condition::JidMalformed,
                "The 'jid' of an item is not a valid address",
            ));
        };
        if jids.len() > limits::BLOCKLIST_ITEMS_LIMIT as usize {
            return Err(reject(
                Condition::ResourceConstraint,
                "There are too many items",
            ));
        }
        jids.push(jid);
    }
    let mut seen = std::collections::BTreeSet::new();
    jids.retain(|jid: &Jid| seen.insert(jid.clone()));
    Ok(jids)
}

/// "The server MUST also send an IQ-set to all of the user's resources that have requested the blocklist, containing
/// the blocked item(s)".
fn push(turn: &mut Turn<'_, Account>, name: &str, jids: &[Jid]) {
    let watches = |session: &&Session| session.watches_blocklist && !session.ended;
    let mut payload: Option<Payload> = None;
    for session in turn.actor.sessions.iter().filter(watches) {
        let payload =
            payload.get_or_insert_with(|| Payload::from_normal(&written(name, jids.iter())));
        // Without 'from', as a roster push: it comes from the account.
        let header = Header {
            to: Some(session.jid.clone()),
            id: Some(turn.rng.token().into()),
            ..Header::new(Kind::Iq, Type::Set)
        };
        let payload = payload.clone();
        turn.out.deliver(session.id, Stanza { header, payload });
    }
}

/// XEP-0227 section 4.8 knows privacy lists alone (XEP-0016): one that denies whom the blocklist names, and is the default.
fn portable(turn: &mut Turn<'_, Account>) -> Result<String, Stop> {
    let list = blocking::load(turn)?;
    if list.is_empty() {
        return Ok(String::new());
    }
    let mut writer = Writer::new();
    writer
        .open("query", Some(ns::PRIVACY))
        .open("default", None)
        .attribute("name", LIST_NAME)
        .close()
        .open("list", None)
        .attribute("name", LIST_NAME);
    for (order, jid) in (1..).zip(list.jids()) {
        writer
            .open("item", None)
            .attribute("type", "jid")
            .attribute("value", jid.as_str())
            .attribute("action", "deny")
            .attribute("order", &u32::to_string(&order))
            .close();
    }
    Ok(writer.finish())
}

fn written<'a>(name: &str, jids: impl Iterator<Item = &'a Jid>) -> String {
    let mut writer = Writer::new();
    writer.open(name, Some(ns::BLOCKING));
    for jid in jids {
        writer
            .open("item", None)
            .attribute("jid", jid.as_str())
            .close();
    }
    writer.finish()
}

fn reject(condition: Condition, text: &'static str) -> Stop {
    Stop::Reject(StanzaError::new(condition, text))
}

/// What the list is called among the privacy lists of an export.
const LIST_NAME: &str = "blocked";
