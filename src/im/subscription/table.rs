//! The tables of RFC 6121 appendix A as constants: what becomes of a state, and of the stanza. Refuses to know who acts.

use crate::im::roster::Standing;
use crate::stanza::Type;

/// The nine states of appendix A.1, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    None,
    NonePendingOut,
    NonePendingIn,
    NonePendingOutIn,
    To,
    ToPendingIn,
    From,
    FromPendingOut,
    Both,
}

/// The four types of appendix A, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Subscribe,
    Unsubscribe,
    Subscribed,
    Unsubscribed,
}

/// What becomes of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// "no state change".
    Same,
    State(State),
    /// A.2.3 note 1.
    PreApproval,
    /// A.2.4 note 1: no state change, but a pre-approval is cancelled.
    NoPreApproval,
}

/// A cell of tables 2 to 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// MUST; else MUST NOT or SHOULD NOT, which are the same here.
    pub route: bool,
    pub next: Next,
}

/// A cell of tables 6 to 9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// MUST; else SHOULD NOT, which is obeyed.
    pub deliver: bool,
    pub next: Next,
    /// The server answers on the user's behalf with this.
    pub reply: Option<Act>,
}

const fn to(state: State) -> Outgoing {
    Outgoing {
        route: true,
        next: Next::State(state),
    }
}

/// "no state change".
const PASSED: Outgoing = Outgoing {
    route: true,
    next: Next::Same,
};
const KEPT: Outgoing = Outgoing {
    route: false,
    next: Next::Same,
};

const PRE_APPROVAL: Outgoing = Outgoing {
    route: false,
    next: Next::PreApproval,
};
const NO_PRE_APPROVAL: Outgoing = Outgoing {
    route: false,
    next: Next::NoPreApproval,
};

/// Appendix A.2 by [`Act`] and [`State`].
pub const OUTBOUND: [[Outgoing; 9]; 4] = [
    [
        to(State::NonePendingOut),
        PASSED,
        to(State::NonePendingOutIn),
        PASSED,
        PASSED,
        PASSED,
        to(State::FromPendingOut),
        PASSED,
        PASSED,
    ],
    [
        PASSED,
        to(State::None),
        PASSED,
        to(State::NonePendingIn),
        to(State::None),
        to(State::NonePendingIn),
        PASSED,
        to(State::From),
        to(State::From),
    ],
    [
        PRE_APPROVAL,
        PRE_APPROVAL,
        to(State::From),
        to(State::FromPendingOut),
        PRE_APPROVAL,
        to(State::Both),
        KEPT,
        KEPT,
        KEPT,
    ],
    [
        NO_PRE_APPROVAL,
        NO_PRE_APPROVAL,
        to(State::None),
        to(State::NonePendingOut),
        NO_PRE_APPROVAL,
        to(State::To),
        to(State::None),
        to(State::NonePendingOut),
        to(State::To),
    ],
];

const fn news(state: State) -> Incoming {
    Incoming {
        deliver: true,
        next: Next::State(state),
        reply: None,
    }
}

const fn end(state: State) -> Incoming {
    Incoming {
        deliver: true,
        next: Next::State(state),
        reply: Some(Act::Unsubscribed),
    }
}

const IGNORED: Incoming = Incoming {
    deliver: false,
    next: Next::Same,
    reply: None,
};
const GRANTED: Incoming = Incoming {
    deliver: false,
    next: Next::Same,
    reply: Some(Act::Subscribed),
};

/// Appendix A.3 by [`Act`] and [`State`].
pub const INBOUND: [[Incoming; 9]; 4] = [
    [
        news(State::NonePendingIn),
        news(State::NonePendingOutIn),
        IGNORED,
        IGNORED,
        news(State::ToPendingIn),
        IGNORED,
        GRANTED,
        GRANTED,
        GRANTED,
    ],
    [
        IGNORED,
        IGNORED,
        end(State::None),
        end(State::NonePendingOut),
        IGNORED,
        end(State::To),
        end(State::None),
        end(State::NonePendingOut),
        end(State::To),
    ],
    [
        IGNORED,
        news(State::To),
        IGNORED,
        news(State::ToPendingIn),
        IGNORED,
        IGNORED,
        IGNORED,
        news(State::Both),
        IGNORED,
    ],
    [
        IGNORED,
        news(State::None),
        IGNORED,
        news(State::NonePendingIn),
        news(State::None),
        news(State::NonePendingIn),
        IGNORED,
        news(State::From),
        news(State::From),
    ],
];

impl State {
    /// The state in which an account stands to a contact.
    pub fn of(standing: Standing) -> State {
        match (
            standing.to,
            standing.from,
            standing.ask,
            standing.pending_in,
        ) {
            (true, true, ..) => State::Both,
            (true, false, _, true) => State::ToPendingIn,
            (true, false, _, false) => State::To,
            (false, true, true, _) => State::FromPendingOut,
            (false, true, false, _) => State::From,
            (false, false, true, true) => State::NonePendingOutIn,
            (false, false, true, false) => State::NonePendingOut,
            (false, false, false, true) => State::NonePendingIn,
            (false, false, false, false) => State::None,
        }
    }

    /// A standing in this state, with what is no part of states as it was.
    pub fn put_into(self, before: Standing) -> Standing {
        use State::*;
        Standing {
            to: matches!(self, To | ToPendingIn | Both),
            from: matches!(self, From | FromPendingOut | Both),
            ask: matches!(self, NonePendingOut | NonePendingOutIn | FromPendingOut),
            pending_in: matches!(self, NonePendingIn | NonePendingOutIn | ToPendingIn),
            ..before
        }
    }
}

impl Act {
    /// What a presence of this type does; none if it is about something else.
    pub fn of(type_: Type) -> Option<Act> {
        match type_ {
            Type::Subscribe => Some(Act::Subscribe),
            Type::Unsubscribe => Some(Act::Unsubscribe),
            Type::Subscribed => Some(Act::Subscribed),
            Type::Unsubscribed => Some(Act::Unsubscribed),
            _ => None,
        }
    }

    /// The type of the stanza that does it.
    pub fn type_(self) -> Type {
        match self {
            Act::Subscribe => Type::Subscribe,
            Act::Unsubscribe => Type::Unsubscribe,
            Act::Subscribed => Type::Subscribed,
            Act::Unsubscribed => Type::Unsubscribed,
        }
    }
}

#[cfg(test)]
mod tests;
