//! XEP-0199: XMPP Ping, version 2.0.1. Scenarios: `tests/scenarios/discovery.xmpp`
//!
//! | section | item |
//! |---|---|
//! | 4.1 server-to-client | the stream's keep-alive timer, option `c2s.ping_after` |
//! | 4.2 client-to-server | [`pong`] |
//! | 4.3 server-to-server | comes with federation |

use super::NONE;
use crate::actor::{Feature, IqRoute, Outcome, Spec, Turn};
use crate::im::{Account, iq};
use crate::stanza::{Iq, Payload, ns};

pub const PING: Feature<Account> = Feature {
    name: "ping",
    specs: &[Spec::xep(199, "2.0.1")],
    host_disco: &[ns::PING],
    account_disco: &[ns::PING],
    host: &[IqRoute::get(ns::PING, "ping", pong)],
    account: &[IqRoute::get(ns::PING, "ping", pong)],
    ..NONE
};

/// An empty result, whoever asks; a ping to an account is answered on its behalf.
fn pong(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    iq::answer(turn, iq, Payload::EMPTY);
    Ok(())
}
