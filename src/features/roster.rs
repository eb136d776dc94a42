//! RFC 6121 section 2 as a feature: see `im/roster.rs`. Scenarios: `tests/scenarios/iq.xmpp`

use super::NONE;
use crate::actor::{Feature, IqRoute};
use crate::im::{Account, roster};
use crate::stanza::ns;

pub const ROSTER: Feature<Account> = Feature {
    name: "roster",
    account: &[
        IqRoute::get(ns::ROSTER, "query", roster::query),
        IqRoute::set(ns::ROSTER, "query", roster::set),
    ],
    ..NONE
};
