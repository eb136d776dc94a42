//! What happens to a stanza, in what order, and why. Nobody else decides order.

use crate::actor::{Catalog, Draft, Outcome, Stage, Turn};
use crate::features::{carbons, mam};
use crate::im::{Account, blocking, iq, message, origin, presence};
use crate::stanza::Kind;

/// What happens to a message that a local user sends.
const OUTBOUND_MESSAGE: &[Stage<Account>] = &[
    Stage {
        name: "blocking::outbound",
        why: "first: what goes nowhere is neither archived nor copied",
        feature: blocking::FEATURE,
        run: blocking::outbound,
    },
    Stage {
        name: "message::strip_own_ids",
        why: "before the archive and the copies: what only this server may say is never archived or copied in its client's words",
        feature: CORE,
        run: message::strip_own_ids,
    },
    Stage {
        name: "mam::keep::sent",
        why: "before the copies, which tell where it is archived",
        feature: "mam",
        run: mam::keep::sent,
    },
    Stage {
        name: "carbons::sent",
        why: "before the message leaves, which takes it",
        feature: "carbons",
        run: carbons::sent,
    },
    Stage {
        name: "message::route",
        why: "last, always",
        feature: CORE,
        run: message::route,
    },
];

/// What happens to a message that comes for a local user.
const INBOUND_MESSAGE: &[Stage<Account>] = &[
    Stage {
        name: "blocking::inbound",
        why: "first: of who is blocked nothing is looked at, kept, archived or copied",
        feature: blocking::FEATURE,
        run: blocking::inbound,
    },
    Stage {
        name: "message::strip_forged",
        why: "before anybody reads it: what only this server may say is never stored or shown in anybody else's words",
        feature: CORE,
        run: message::strip_forged,
    },
    Stage {
        name: "origin::recognise",
        why: "before anybody is chosen: what its sender repeats, not having seen the acknowledgement, happens once",
        feature: CORE,
        run: origin::recognise,
    },
    Stage {
        name: "message::choose_sessions",
        why: "before keeping: whether a message is kept depends on who takes it",
        feature: CORE,
        run: message::choose_sessions,
    },
    Stage {
        name: "mam::keep::received",
        why: "before keeping: whoever gets it, now or later, learns where it is archived; what is refused behind it is not",
        feature: "mam",
        run: mam::keep::received,
    },
    Stage {
        name: "message::keep",
        why: "behind the choice: what is kept when nobody takes it has a quota",
        feature: CORE,
        run: message::keep,
    },
    Stage {
        name: "origin::remember",
        why: "behind keeping: only what is kept can be told from its repetition after a crash",
        feature: CORE,
        run: origin::remember,
    },
    Stage {
        name: "carbons::received",
        why: "behind keeping: a stanza that is refused is not copied",
        feature: "carbons",
        run: carbons::received,
    },
    Stage {
        name: "message::deliver",
        why: "last, always",
        feature: CORE,
        run: message::deliver,
    },
];

const OUTBOUND_PRESENCE: &[Stage<Account>] = &[
    Stage {
        name: "blocking::outbound",
        why: "first: nothing goes to who is blocked",
        feature: blocking::FEATURE,
        run: blocking::outbound,
    },
    Stage {
        name: "presence::outbound",
        why: "last, always",
        feature: CORE,
        run: presence::outbound,
    },
];
const INBOUND_PRESENCE: &[Stage<Account>] = &[
    Stage {
        name: "blocking::inbound",
        why: "first: nothing comes from who is blocked",
        feature: blocking::FEATURE,
        run: blocking::inbound,
    },
    Stage {
        name: "presence::inbound",
        why: "last, always",
        feature: CORE,
        run: presence::inbound,
    },
];
const OUTBOUND_IQ: &[Stage<Account>] = &[
    Stage {
        name: "blocking::outbound",
        why: "first: nothing goes to who is blocked",
        feature: blocking::FEATURE,
        run: blocking::outbound,
    },
    Stage {
        name: "iq::outbound",
        why: "last, always",
        feature: CORE,
        run: iq::outbound,
    },
];
const INBOUND_IQ: &[Stage<Account>] = &[
    Stage {
        name: "blocking::inbound",
        why: "first: who is blocked hears what a stranger hears",
        feature: blocking::FEATURE,
        run: blocking::inbound,
    },
    Stage {
        name: "iq::inbound",
        why: "last, always",
        feature: CORE,
        run: iq::inbound,
    },
];

/// All of them with a heading each, as `tests/readme.rs` prints them into the README: the operator sees the
/// order too.
pub const PIPELINES: [(&str, &[Stage<Account>]); 6] = [
    ("A message that a local user sends", OUTBOUND_MESSAGE),
    ("A message that comes for a local user", INBOUND_MESSAGE),
    ("Presence that a local user sends", OUTBOUND_PRESENCE),
    ("Presence that comes for a local user", INBOUND_PRESENCE),
    ("An IQ that a local user sends", OUTBOUND_IQ),
    ("An IQ that comes for a local user", INBOUND_IQ),
];

/// The stages that are switched on.
pub(super) struct Pipelines {
    outbound: [Pipeline; 3],
    inbound: [Pipeline; 3],
}

type Pipeline = Vec<&'static Stage<Account>>;

impl Pipelines {
    /// Those of the features in `catalog`, and the core's.
    pub fn new(catalog: &Catalog<Account>) -> Pipelines {
        let is_on = |stage: &&Stage<Account>| stage.feature == CORE || catalog.has(stage.feature);
        let chosen = |stages: &'static [Stage<Account>]| stages.iter().filter(is_on).collect();
        Pipelines {
            outbound: [OUTBOUND_MESSAGE, OUTBOUND_PRESENCE, OUTBOUND_IQ].map(chosen),
            inbound: [INBOUND_MESSAGE, INBOUND_PRESENCE, INBOUND_IQ].map(chosen),
        }
    }

    /// The stages of a stanza that one of the account's sessions sends.
    pub fn outbound(&self, kind: Kind) -> &[&'static Stage<Account>] {
        &self.outbound[place(kind)]
    }

    /// The stages of a stanza that comes for the account.
    pub fn inbound(&self, kind: Kind) -> &[&'static Stage<Account>] {
        &self.inbound[place(kind)]
    }
}

fn place(kind: Kind) -> usize {
    match kind {
        Kind::Message => 0,
        Kind::Presence => 1,
        Kind::Iq => 2,
    }
}

/// Runs all of them, until one refuses or has to wait.
pub fn run(
    stages: &[&'static Stage<Account>],
    turn: &mut Turn<'_, Account>,
    draft: &mut Draft,
) -> Outcome {
    stages.iter().try_for_each(|stage| (stage.run)(turn, draft))
}

/// The feature of what cannot be switched off.
const CORE: &str = "core";
