//! What happens to a stanza, in what order, and why. Nobody else decides order.

use crate::actor::{Draft, Outcome, Stage, Turn};
use crate::features::carbons;
use crate::im::{Account, iq, message, origin, presence};
use crate::stanza::Kind;

/// What happens to a message that a local user sends.
pub const OUTBOUND_MESSAGE: &[Stage<Account>] = &[
    // Copies are of what was sent, before anything is done with it.
    Stage {
        feature: "carbons",
        run: carbons::sent,
    },
    // Last, always.
    Stage {
        feature: CORE,
        run: message::route,
    },
];

/// What happens to a message that comes for a local user.
pub const INBOUND_MESSAGE: &[Stage<Account>] = &[
    // First: what only this server may say is never stored or shown in anybody else's words.
    Stage {
        feature: CORE,
        run: carbons::strip_forged,
    },
    // Before anybody is chosen: what its sender repeats, because it never saw the acknowledgement, happens once.
    Stage {
        feature: CORE,
        run: origin::recognise,
    },
    Stage {
        feature: CORE,
        run: message::choose_sessions,
    },
    // Behind the choice: what is kept when nobody takes it has a quota.
    Stage {
        feature: CORE,
        run: message::keep,
    },
    // Behind keeping: only what is kept can be told from its repetition after a crash.
    Stage {
        feature: CORE,
        run: origin::remember,
    },
    // Behind keeping: a stanza that is refused is not copied.
    Stage {
        feature: "carbons",
        run: carbons::received,
    },
    // Last, always.
    Stage {
        feature: CORE,
        run: message::deliver,
    },
];

pub const OUTBOUND_PRESENCE: &[Stage<Account>] = &[Stage {
    feature: CORE,
    run: presence::outbound,
}];
pub const INBOUND_PRESENCE: &[Stage<Account>] = &[Stage {
    feature: CORE,
    run: presence::inbound,
}];
pub const OUTBOUND_IQ: &[Stage<Account>] = &[Stage {
    feature: CORE,
    run: iq::outbound,
}];
pub const INBOUND_IQ: &[Stage<Account>] = &[Stage {
    feature: CORE,
    run: iq::inbound,
}];

/// The stages of a stanza that one of the account's sessions sends.
pub fn outbound(kind: Kind) -> &'static [Stage<Account>] {
    match kind {
        Kind::Message => OUTBOUND_MESSAGE,
        Kind::Presence => OUTBOUND_PRESENCE,
        Kind::Iq => OUTBOUND_IQ,
    }
}

/// The stages of a stanza that comes for the account.
pub fn inbound(kind: Kind) -> &'static [Stage<Account>] {
    match kind {
        Kind::Message => INBOUND_MESSAGE,
        Kind::Presence => INBOUND_PRESENCE,
        Kind::Iq => INBOUND_IQ,
    }
}

/// Runs the stages that are switched on.
pub fn run(stages: &[Stage<Account>], turn: &mut Turn<'_, Account>, draft: &mut Draft) -> Outcome {
    for stage in stages {
        if stage.feature == CORE || turn.catalog.has(stage.feature) {
            (stage.run)(turn, draft)?;
        }
    }
    Ok(())
}

/// The feature of what cannot be switched off.
const CORE: &str = "core";
