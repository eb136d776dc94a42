//! XEP-0030: Service Discovery, version 2.5.0, of the host and of an account to its owner. What is
//! announced is read from the catalogue. Scenarios: `tests/scenarios/discovery.xmpp`
//!
//! | section | item |
//! |---|---|
//! | 3 basic protocol, info | [`host_info`], [`account_info`] |
//! | 4 items | [`no_items`]: the host has no services yet, an account no nodes |
//! | 3.2 nodes | unknown ones are `item-not-found`; there are none |
//! | 8 strangers | an account answers its owner only, `im/iq.rs` |

use crate::actor::{Feature, IqRoute, Outcome, Spec, Stop, Turn};
use crate::im::{Account, iq};
use crate::stanza::{Condition, Iq, Payload, StanzaError, ns};

pub const DISCO: Feature<Account> = Feature {
    name: "disco",
    specs: &[Spec::xep(30, "2.5.0")],
    host_disco: &[ns::DISCO_INFO, ns::DISCO_ITEMS],
    account_disco: &[ns::DISCO_INFO, ns::DISCO_ITEMS],
    host: &[
        IqRoute::get(ns::DISCO_INFO, "query", host_info),
        IqRoute::get(ns::DISCO_ITEMS, "query", no_items),
    ],
    account: &[
        IqRoute::get(ns::DISCO_INFO, "query", account_info),
        IqRoute::get(ns::DISCO_ITEMS, "query", no_items),
    ],
};

fn host_info(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    let features = turn
        .catalog
        .features()
        .flat_map(|feature| feature.host_disco);
    let payload = info(
        iq,
        "<identity category='server' type='im' name='Stonechat'/>",
        features,
    )?;
    iq::answer(turn, iq, payload);
    Ok(())
}

fn account_info(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    let features = turn
        .catalog
        .features()
        .flat_map(|feature| feature.account_disco);
    // XEP-0175 section 3: "A server MUST reply ... with an identity of "account/anonymous""; XEP-0030 section 8
    // asks for the other.
    let identity = if turn.actor.anonymous {
        "<identity category='account' type='anonymous'/>"
    } else {
        "<identity category='account' type='registered'/>"
    };
    let payload = info(iq, identity, features)?;
    iq::answer(turn, iq, payload);
    Ok(())
}

fn no_items(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    no_node(iq)?;
    let payload = Payload::from_normal(&format!("<query xmlns='{}'/>", ns::DISCO_ITEMS));
    iq::answer(turn, iq, payload);
    Ok(())
}

fn info<'a>(
    iq: Iq<'_>,
    identity: &str,
    features: impl Iterator<Item = &'a &'static str>,
) -> Result<Payload, Stop> {
    no_node(iq)?;
    let mut xml = format!("<query xmlns='{}'>{identity}", ns::DISCO_INFO);
    for feature in features {
        xml.push_str(&format!("<feature var='{feature}'/>"));
    }
    xml.push_str("</query>");
    Ok(Payload::from_normal(&xml))
}

/// Section 7: "the responding entity ... does not exist": no node is known here.
fn no_node(iq: Iq<'_>) -> Result<(), Stop> {
    match iq.child().attribute("node") {
        None => Ok(()),
        Some(_) => Err(Stop::Reject(StanzaError::new(
            Condition::ItemNotFound,
            "No such node",
        ))),
    }
}
