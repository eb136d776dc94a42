//! IQs (RFC 6120 section 8.2.3, RFC 6121 section 8.5): exactly one answer to every request, and no sign to
//! strangers of who is there.

use crate::actor::{Askers, Catalog, Draft, IqRoute, Outcome, Stop, Turn, Verb};
use crate::config::HostConfig;
use crate::jid::Jid;
use crate::stanza::{Condition, Iq, Payload, Stanza, StanzaError, Type, ns};

use super::account::{self, Account, Change};
use super::capabilities;
use super::presence;
use super::session::Session;

/// Outbound: answered here when it asks this account or its server, else to the home of its recipient.
pub fn outbound(turn: &mut Turn<'_, Account>, draft: &mut Draft) -> Outcome {
    let stanza = &draft.stanza;
    let to = stanza.header.to.as_ref();
    let own = to.is_none_or(|to| to.as_str() == turn.actor.jid.as_str());
    // Any domain served here: they all are this server.
    let host = to
        .is_some_and(|to| to.localpart().is_none() && turn.config.host(to.domainpart()).is_some());
    if !own && !host {
        if stanza.is_request() {
            well_formed(stanza)?;
        } else if let Some(session) = draft.session
            && let Some(acks) = turn.actor.session(session).and_then(|at| at.acks.as_ref())
            && acks.holds_request(&stanza.header)
        {
            turn.out.change.push(Change::Answered {
                session,
                answer: Box::new(stanza.header.clone()),
            });
        }
        turn.out.route(stanza.clone(), draft.settle.take());
        return Ok(());
    }
    if !stanza.is_request() {
        if host {
            capabilities::answered(turn, draft);
        }
        return Ok(());
    }
    let iq = well_formed(stanza)?;
    let child = iq.child();
    let route = if host {
        turn.catalog
            .host_route(verb(stanza), child.ns(), child.name())
    } else {
        turn.catalog
            .account_route(verb(stanza), child.ns(), child.name())
    };
    // Section 8.4: "If ... it does not understand the namespace ... MUST return" service-unavailable.
    let route = route.ok_or_else(|| Stop::Reject(account::unavailable()))?;
    (route.handler)(turn, iq)
}

/// Inbound: to the one session that is meant, or answered on behalf of the account.
pub fn inbound(turn: &mut Turn<'_, Account>, draft: &mut Draft) -> Outcome {
    let stanza = &draft.stanza;
    let request = stanza.is_request();
    let from = stanza.header.from.as_ref();
    match stanza.header.to.as_ref().and_then(|to| to.resourcepart()) {
        Some(resource) => {
            let session = turn.actor.resource(resource);
            // 8.5.3.1: requests of those who do not share presence "SHOULD NOT" be delivered;
            // answers "MUST".
            // RFC 6121 section 2.1.6 lets clients be fooled who do not check who pushes: only their server does.
            let is_push = request && is_push(stanza);
            let session = session
                .filter(|_| !is_push || presence::is_own(turn.actor, from))
                .filter(|s| !request || presence::shares_presence(turn.actor, s.id, from))
                .map(|session| session.id);
            match session {
                Some(session) => turn.out.deliver(session, stanza.clone()),
                None if request => return Err(undelivered(turn, stanza)?),
                None => {}
            }
            Ok(())
        }
        None if request => {
            let iq = well_formed(stanza)?;
            match account_route(turn, iq) {
                Some(route) if is_welcome(turn, route, from)? => (route.handler)(turn, iq),
                Some(route) => Err(refusal(route)),
                None => Err(Stop::Reject(account::unavailable())),
            }
        }
        // 8.5.2.1.3: never delivered to a resource.
        None => Ok(()),
    }
}

/// What the sender of a request hears that no session may get. Who may ask the account itself learns that there is
/// no such resource.
///
/// # Errors
/// Parks until it is known who that is.
fn undelivered(turn: &mut Turn<'_, Account>, stanza: &Stanza) -> Result<Stop, Stop> {
    let unavailable = Stop::Reject(account::unavailable());
    let route = Iq::request(stanza).and_then(|iq| account_route(turn, iq));
    let Some(route) = route.filter(|route| route.refusal != Condition::ServiceUnavailable) else {
        return Ok(unavailable);
    };
    match is_welcome(turn, route, stanza.header.from.as_ref())? {
        true => Ok(unavailable),
        false => Ok(refusal(route)),
    }
}

/// What the sender of a request hears where too many wait already: a stranger what strangers hear always, whether there
/// is such an account or not, and of what everybody may ask that he should do so later. None if he may be no stranger
/// as far as is known without reading anything, or if it is no request.
pub fn turned_away(
    catalog: &Catalog<Account>,
    account: &Account,
    stanza: &Stanza,
) -> Option<StanzaError> {
    let from = stanza.header.from.as_ref();
    if !stanza.is_request() || presence::is_known(account, from) {
        return None;
    }
    let Some(iq) = Iq::request(stanza) else {
        return Some(malformed());
    };
    Some(match route_in(catalog, iq) {
        Some(route) if route.askers == Askers::Anyone => StanzaError::new(
            Condition::ResourceConstraint,
            "The recipient is overloaded, try again later",
        ),
        Some(route) => StanzaError::new(route.refusal, ""),
        None => account::unavailable(),
    })
}

fn account_route(turn: &Turn<'_, Account>, iq: Iq<'_>) -> Option<&'static IqRoute<Account>> {
    route_in(turn.catalog, iq)
}

fn route_in(catalog: &Catalog<Account>, iq: Iq<'_>) -> Option<&'static IqRoute<Account>> {
    let child = iq.child();
    catalog.account_route(verb(iq.stanza()), child.ns(), child.name())
}

/// Whether this request is answered to this sender. Who else asks is refused before anything is looked up, so that
/// nobody learns whether there is such an account.
fn is_welcome(
    turn: &mut Turn<'_, Account>,
    route: &IqRoute<Account>,
    from: Option<&Jid>,
) -> Result<bool, Stop> {
    if presence::is_own(turn.actor, from) {
        return Ok(true);
    }
    match (route.askers, from) {
        (Askers::Owner, _) | (Askers::Subscribers, None) => Ok(false),
        (Askers::Subscribers, Some(from)) => presence::may_see(turn, from),
        (Askers::Anyone, _) => Ok(true),
    }
}

fn refusal(route: &IqRoute<Account>) -> Stop {
    Stop::Reject(StanzaError::new(route.refusal, ""))
}

/// The served domain that a request asks; the account's own if it asks none.
pub fn asked_host<'a>(turn: &Turn<'a, Account>, iq: Iq<'_>) -> &'a HostConfig {
    let to = iq.header().to.as_ref();
    to.and_then(|to| turn.config.host(to.domainpart()))
        .map_or(turn.host, |host| host)
}

/// Whether a request is for the domain to which the account belongs: others that are served here know nothing of it.
pub fn asks_own_host(turn: &Turn<'_, Account>, iq: Iq<'_>) -> bool {
    asked_host(turn, iq).name == turn.host.name
}

/// The session that asks, if it is one of the account's own.
pub fn requester<'a>(account: &'a Account, iq: Iq<'_>) -> Option<&'a Session> {
    let from = iq.header().from.as_ref();
    let from = from.filter(|from| from.bare_str() == account.jid.as_str());
    account.resource(from.and_then(Jid::resourcepart)?)
}

/// Answers before anything that the same turn delivers to the account's sessions behind it: a result that is routed
/// would come later. The session that asked has the answer, or nobody: its resource may be another's by now.
pub fn answer(turn: &mut Turn<'_, Account>, iq: Iq<'_>, payload: Payload) {
    let result = iq.result(payload);
    match turn.asker {
        Some(session) => turn.out.deliver(session, result),
        None => turn.out.send(result),
    }
}

/// What only a user's own server says: of its roster, and of its blocklist (XEP-0191 section 3.3).
fn is_push(stanza: &Stanza) -> bool {
    let mut names = stanza.payload.names();
    names.any(|name| name == (ns::ROSTER, "query") || name.0 == ns::BLOCKING)
}

fn verb(stanza: &Stanza) -> Verb {
    if stanza.header.type_ == Type::Set {
        Verb::Set
    } else {
        Verb::Get
    }
}

fn well_formed(stanza: &Stanza) -> Result<Iq<'_>, Stop> {
    Iq::request(stanza).ok_or_else(|| Stop::Reject(malformed()))
}

fn malformed() -> StanzaError {
    StanzaError::new(
        Condition::BadRequest,
        "A request has an id and exactly one child element",
    )
}
