//! XEP-0030: Service Discovery, version 2.5.0, of the host and of accounts; XEP-0128: Service Discovery Extensions,
//! version 1.0.1; XEP-0157: Contact Addresses for XMPP Services, version 1.1.1; XEP-0115: Entity Capabilities, version
//! 1.6.0, of the server and of clients. What is announced is read from the catalogue and the configuration. Scenarios:
//! `tests/scenarios/discovery.xmpp`
//!
//! | section | item |
//! |---|---|
//! | 0030 3 info | [`host_info`], [`account_info`] |
//! | 0030 3.2, 4.2 nodes | capabilities and commands of the host; unknown ones are `item-not-found` |
//! | 0030 4 items | [`host_items`]: commands, the host has no services yet; [`account_items`]: available resources |
//! | 0030 8 strangers | an account's info is for those who see its presence, its items are none for others |
//! | 0128 2, 0157 3 | `host_information`, options `host.contact` |
//! | 0115 5.1 verification string | `stanza/disco.rs` |
//! | 0115 6.3 stream feature | [`stream_feature`] |
//! | 0115 5.4, 6.2, 8.2 what clients can do | `im/capabilities.rs`, `shard/capabilities.rs` |

use super::NONE;
use crate::actor::{Askers, Catalog, Command, Feature, IqRoute, Outcome, Spec, Stop, Turn};
use crate::config::HostConfig;
use crate::im::{Account, iq, presence};
use crate::stanza::{Condition, ErrorType, Identity, Info, InfoForm, Iq, Payload, StanzaError, ns};
use crate::xml::Writer;

pub const DISCO: Feature<Account> = Feature {
    name: "disco",
    specs: &[
        Spec::xep(30, "2.5.0"),
        Spec::xep(128, "1.0.1"),
        Spec::xep(157, "1.1.1"),
    ],
    host_disco: &[ns::DISCO_INFO, ns::DISCO_ITEMS],
    account_disco: &[ns::DISCO_INFO, ns::DISCO_ITEMS],
    host: &[
        IqRoute::get(ns::DISCO_INFO, "query", host_info),
        IqRoute::get(ns::DISCO_ITEMS, "query", host_items),
    ],
    account: &[
        // Section 8: "the server MUST return a <service-unavailable/> error if ... The target entity does not exist"
        // or "is not authorized to receive presence".
        IqRoute::get(ns::DISCO_INFO, "query", account_info).open_to(Askers::Subscribers),
        // "In response to a disco#items request, the server MUST return an empty result set if" the same.
        IqRoute::get(ns::DISCO_ITEMS, "query", account_items).open_to(Askers::Anyone),
    ],
    ..NONE
};

pub const CAPS: Feature<Account> = Feature {
    name: "caps",
    specs: &[Spec::xep(115, "1.6.0")],
    // XEP-0115 section 7: "it MUST advertise that fact by returning a feature".
    host_disco: &[ns::CAPS],
    ..NONE
};

/// The capabilities of a host for its stream features; empty where they are switched off.
pub fn stream_feature(catalog: &Catalog<Account>, host: &HostConfig) -> String {
    if !catalog.has(CAPS.name) {
        return String::new();
    }
    let ver = host_information(catalog, host).verification();
    format!(
        "<c xmlns='{}' hash='sha-1' node='{CAPS_NODE}' ver='{ver}'/>",
        ns::CAPS
    )
}

fn host_information(catalog: &Catalog<Account>, host: &HostConfig) -> Info {
    let features = catalog.features().flat_map(|feature| feature.host_disco);
    let identity = Identity::new("server", "im", "Stonechat");
    let mut info = Info::new(identity, features.copied());
    let fields = host.contact.fields().into_iter();
    let fields: Vec<_> = fields
        .filter(|(_, addresses)| !addresses.is_empty())
        .map(|(var, addresses)| (var.into(), addresses.to_vec()))
        .collect();
    if !fields.is_empty() {
        info.forms.push(InfoForm {
            form_type: ns::SERVER_INFO.into(),
            fields,
        });
    }
    info
}

fn host_info(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    let node = iq.child().attribute("node");
    let whole = || host_information(turn.catalog, iq::asked_host(turn, iq));
    let info = match node.as_deref() {
        None => whole(),
        Some(ns::COMMANDS) if turn.catalog.commands().next().is_some() => Info::new(
            Identity::new("automation", "command-list", "Commands"),
            [ns::DISCO_INFO, ns::DISCO_ITEMS, ns::COMMANDS].into_iter(),
        ),
        Some(node) => match turn.catalog.command(node) {
            Some(command) => command_info(turn, iq, command)?,
            None => {
                let info = whole();
                let own = format!("{CAPS_NODE}#{}", info.verification());
                if !turn.catalog.has(CAPS.name) || node != own {
                    return Err(no_node());
                }
                info
            }
        },
    };
    let xml = info.write(node.as_deref());
    iq::answer(turn, iq, Payload::from_normal(&xml));
    Ok(())
}

/// XEP-0050 section 2.2: "A responder MUST at least provide <identity category='automation' type='command-node'/>".
fn command_info(
    turn: &Turn<'_, Account>,
    iq: Iq<'_>,
    command: &Command<Account>,
) -> Result<Info, Stop> {
    if !iq::asks_own_host(turn, iq) || !(command.may_run)(turn) {
        // "If the command is not available to the requester, the responder SHOULD respond with a 403 "Forbidden"".
        return Err(Stop::Reject(
            StanzaError::new(Condition::Forbidden, "").of_type(ErrorType::Cancel),
        ));
    }
    let identity = Identity::new("automation", "command-node", command.name);
    Ok(Info::new(identity, [ns::COMMANDS, ns::FORM].into_iter()))
}

fn host_items(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    let node = iq.child().attribute("node");
    let mut writer = items(node.as_deref());
    match node.as_deref() {
        None => {}
        Some(ns::COMMANDS) => {
            let commands = turn.catalog.commands();
            let commands = commands.filter(|_| iq::asks_own_host(turn, iq));
            for command in commands.filter(|command| (command.may_run)(turn)) {
                // "Responders MUST report their own command nodes only".
                writer
                    .open("item", None)
                    .attribute("jid", &turn.host.name)
                    .attribute("node", command.node)
                    .attribute("name", command.name)
                    .close();
            }
        }
        Some(node) if turn.catalog.command(node).is_some() => {}
        Some(_) => return Err(no_node()),
    }
    iq::answer(turn, iq, Payload::from_normal(&writer.finish()));
    Ok(())
}

fn account_info(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    if iq.child().attribute("node").is_some() {
        return Err(no_node());
    }
    let features = turn
        .catalog
        .features()
        .flat_map(|feature| feature.account_disco);
    // XEP-0175 section 3: "A server MUST reply ... with an identity of "account/anonymous""; XEP-0030 section 8
    // asks for the other.
    let type_ = match turn.actor.anonymous {
        true => "anonymous",
        false => "registered",
    };
    let info = Info::new(Identity::new("account", type_, ""), features.copied());
    iq::answer(turn, iq, Payload::from_normal(&info.write(None)));
    Ok(())
}

fn account_items(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    let may_see = match &iq.header().from {
        Some(from) => presence::may_see(turn, from)?,
        // What has no sender is the account's own.
        None => true,
    };
    let node = iq.child().attribute("node");
    if may_see && node.is_some() {
        return Err(no_node());
    }
    let mut writer = items(node.as_deref());
    for session in turn.actor.available().filter(|_| may_see) {
        writer
            .open("item", None)
            .attribute("jid", session.jid.as_str())
            .close();
    }
    iq::answer(turn, iq, Payload::from_normal(&writer.finish()));
    Ok(())
}

fn items(node: Option<&str>) -> Writer {
    let mut writer = Writer::new();
    writer.open("query", Some(ns::DISCO_ITEMS));
    if let Some(node) = node {
        writer.attribute("node", node);
    }
    writer
}

fn no_node() -> Stop {
    Stop::Reject(StanzaError::new(Condition::ItemNotFound, "No such node"))
}

/// "a URI that uniquely identifies a software application": ours has no page of its own yet.
const CAPS_NODE: &str = "urn:uuid:5f4b7b0e-6d2a-4a53-9d0c-2c6a7e7d3b11";
