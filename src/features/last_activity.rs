//! XEP-0012: Last Activity, version 2.0, of the host and of accounts. Scenarios: `tests/scenarios/last.xmpp`
//!
//! | section | item |
//! |---|---|
//! | 3 offline user query | [`last`]; kept by `im/last.rs` |
//! | 4 online user query | delivered by `im/iq.rs`, or refused as here |
//! | 5 server query | [`uptime`] |

use super::NONE;
use crate::actor::{Askers, Feature, IqRoute, Outcome, Spec, Stop, Turn};
use crate::im::{Account, iq, last as kept, presence};
use crate::stanza::{Condition, Iq, Payload, StanzaError, ns};
use crate::xml::Writer;

pub const LAST_ACTIVITY: Feature<Account> = Feature {
    name: "last-activity",
    specs: &[Spec::xep(12, "2.0")],
    host_disco: &[ns::LAST],
    account_disco: &[ns::LAST],
    host: &[IqRoute::get(ns::LAST, "query", uptime)],
    account: &[
        // "If the requesting entity is not authorized to view the user's presence information ... MUST return a
        // <forbidden/> error". RFC 6121 section 8.5.1 has `service-unavailable` for users that do not exist; then
        // everybody could tell who does.
        IqRoute::get(ns::LAST, "query", last)
            .open_to(Askers::Subscribers)
            .refusing(Condition::Forbidden),
    ],
    ..NONE
};

/// Section 5: "the number of seconds that the host has been running since it was last (re-)started".
/// The monotonic clock of the shell begins with the process.
fn uptime(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    let payload = query(turn.now.mono_ms / 1_000, "");
    iq::answer(turn, iq, payload);
    Ok(())
}

/// Section 3: the time since the last presence session ended, for those who would have seen that.
fn last(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    // "If the user has at least one connected or available resource ..., the response MUST (subject to local security
    // policies) contain an empty <query/> element whose 'seconds' attribute is set to a value of '0'." Who is connected
    // and says that they are not available is not there for others: that is the policy.
    let own = presence::is_own(turn.actor, iq.header().from.as_ref());
    if own || turn.actor.available().next().is_some() {
        iq::answer(turn, iq, query(0, ""));
        return Ok(());
    }
    let Some(last) = kept::load(turn)? else {
        return Err(Stop::Reject(StanzaError::new(
            Condition::ItemNotFound,
            "Nothing is known of the last activity",
        )));
    };
    let seconds = turn.now.wall_ms.saturating_sub(last.wall_ms) / 1_000;
    iq::answer(turn, iq, query(seconds, &last.status));
    Ok(())
}

fn query(seconds: u64, status: &str) -> Payload {
    let mut writer = Writer::new();
    writer
        .open("query", Some(ns::LAST))
        .attribute("seconds", &seconds.to_string())
        .text(status);
    Payload::from_normal(&writer.finish())
}
