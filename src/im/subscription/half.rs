//! One half of what stands between two accounts, and how it changes: by what its owner does, and by what the other
//! half says. Refuses to know how anything is stored or sent.
//!
//! The tables of RFC 6121 appendix A suppose that what one side says is heard at once. Here a stanza waits in
//! mailboxes, may be lost with a crash and said again later, and meets others that go the other way. So every request
//! (`subscribe`, `unsubscribe`) has a number that grows, and every answer (`subscribed`, `unsubscribed`) says which
//! request it answers ([`Numbers`]): a request that is not newer than the last one heard is a repetition, and an answer
//! to another request than the last one asked came too late. Neither changes anything.

use smallvec::SmallVec;

use crate::im::roster::{Numbers, Standing};

use super::table::{Act, INBOUND, Next, OUTBOUND, State};

/// What an account knows of its own half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Half {
    pub standing: Standing,
    pub numbers: Numbers,
}

/// How a stanza from the other half is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// Another server said it: the tables have to do.
    Foreign,
    /// This server said it for an account, in answer to a probe.
    Unasked,
    /// An account of this server told it.
    Tell { number: u64, answers: u64 },
}

impl Name {
    /// Whether it is a request that was heard before.
    pub fn is_heard(self, half: Half) -> bool {
        matches!(self, Name::Tell { number, .. } if number <= half.numbers.heard)
    }
}

/// What is said to the other half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    pub act: Act,
    pub number: u64,
    /// The number of the request that it answers; 0 if it answers none, or one that had no number.
    pub answers: u64,
    /// It is told again until it is confirmed; else it repeats or changes nothing, and may be lost.
    pub is_kept: bool,
}

/// What becomes of a half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub half: Half,
    pub says: Option<Said>,
    /// Own tells that are not told any more: something later stands for them.
    pub void: SmallVec<[u64; 2]>,
    /// The tables say that the stanza is delivered to the user.
    pub is_delivered: bool,
}

/// The owner does this; `fresh` is a number that is above all earlier ones.
pub fn outbound(half: Half, act: Act, fresh: u64) -> Step {
    let rule = OUTBOUND[act as usize][State::of(half.standing) as usize];
    let mut step = Step::of(half);
    let mut is_new = false;
    match rule.next {
        Next::Same => {}
        Next::PreApproval => step.half.standing.approved = true,
        Next::NoPreApproval => step.half.standing.approved = false,
        Next::State(next) => {
            is_new = true;
            step.half.standing = next.put_into(half.standing);
        }
    }
    if !rule.route {
        return step;
    }
    match act {
        // What stands is repeated under its number: were it another request, an answer that is on its way would
        // answer nothing any more.
        Act::Subscribe if !is_new && half.numbers.asked != 0 => {
            step.says = Some(Said {
                act,
                number: half.numbers.asked,
                answers: 0,
                is_kept: false,
            });
        }
        Act::Unsubscribe if !is_new => {
            step.says = Some(Said {
                act,
                number: fresh,
                answers: 0,
                is_kept: false,
            });
        }
        Act::Subscribe | Act::Unsubscribe => step.ask(act, fresh),
        Act::Subscribed | Act::Unsubscribed => step.answer(act, fresh),
    }
    step
}

/// The other half says this; `fresh` as for [`outbound`].
pub fn inbound(half: Half, act: Act, name: Name, fresh: u64) -> Step {
    let mut step = Step::of(half);
    let is_request = matches!(act, Act::Subscribe | Act::Unsubscribe);
    match name {
        Name::Tell { number, .. } if is_request && name.is_heard(half) => {
            // RFC 6121 section 3.1.3, rule 2: "If the contact exists and the user already has a subscription ... the
            // contact's server MUST auto-reply".
            let is_current = number == half.numbers.heard && act == Act::Subscribe;
            if is_current && half.standing.from {
                step.says = Some(Said {
                    act: Act::Subscribed,
                    number: fresh,
                    answers: number,
                    is_kept: false,
                });
            }
            return step;
        }
        Name::Tell { answers, .. } if !is_request && half.asked_another(answers) => return step,
        // It says that there is no subscription. A request may be on its way.
        Name::Unasked if act != Act::Unsubscribed || !half.standing.to => return step,
        _ => {}
    }
    let rule = INBOUND[act as usize][State::of(half.standing) as usize];
    let is_new = matches!(rule.next, Next::State(_));
    if let Name::Tell { number, .. } = name
        && (act == Act::Subscribe || (is_request && is_new))
    {
        step.half.numbers.heard = number;
        step.withdraw_answer();
    }
    if let Next::State(next) = rule.next {
        step.half.standing = next.put_into(half.standing);
        step.is_delivered = rule.deliver;
    }
    match act {
        // A.3.1 note 1, for the states in which section 3.4.2 lets the user approve beforehand.
        Act::Subscribe if is_new && half.standing.approved => {
            step.is_delivered = false;
            step.half.standing.from = true;
            step.half.standing.pending_in = false;
            step.half.standing.approved = false;
            step.answer(Act::Subscribed, fresh);
        }
        Act::Subscribe if rule.reply.is_some() => {
            step.answer(Act::Subscribed, fresh);
            if name == Name::Foreign {
                step.says = step.says.map(Said::once);
            }
        }
        Act::Subscribe => {}
        Act::Unsubscribe if is_new && name == Name::Foreign => {
            // A.3.2 note 1, a SHOULD. On this server a tell is not lost: there is nothing to correct, and it could
            // deny a request that its receiver made meanwhile.
            step.answer(Act::Unsubscribed, fresh);
            step.says = step.says.map(Said::once);
        }
        Act::Unsubscribe => {
            if step.half.standing == Standing::default() {
                // Nothing that came before it can come again.
                step.half.numbers.heard = 0;
            }
        }
        Act::Subscribed | Act::Unsubscribed if is_new => step.withdraw_request(),
        Act::Subscribed if !half.standing.to && name != Name::Foreign => {
            // Section 4.4.2: "presence stanzas of type "unsubscribe"" and its like "solve synchronization problems":
            // who grants what nobody asks for is told so.
            step.ask(Act::Unsubscribe, fresh);
        }
        Act::Subscribed | Act::Unsubscribed => {}
    }
    step
}

impl Half {
    /// Whether a tell that was not confirmed is still what this half has to say. None is known where the item was
    /// forgotten, or is older than the numbers.
    pub fn stands(self, act: Act, number: u64) -> bool {
        let last = match act {
            Act::Subscribe | Act::Unsubscribe => self.numbers.asked,
            Act::Subscribed | Act::Unsubscribed => self.numbers.answered,
        };
        last == 0 || last == number
    }

    /// Whether the last request is another than the one that this answers, as far as both are numbered: what came from
    /// an older version or an import is not.
    fn asked_another(self, answers: u64) -> bool {
        answers != 0 && self.numbers.asked != 0 && answers != self.numbers.asked
    }
}

impl Said {
    fn once(self) -> Said {
        Said {
            is_kept: false,
            ..self
        }
    }
}

impl Step {
    fn of(half: Half) -> Step {
        Step {
            half,
            says: None,
            void: SmallVec::new(),
            is_delivered: false,
        }
    }

    fn ask(&mut self, act: Act, fresh: u64) {
        self.withdraw_request();
        self.half.numbers.asked = fresh;
        self.says = Some(Said {
            act,
            number: fresh,
            answers: 0,
            is_kept: true,
        });
    }

    fn answer(&mut self, act: Act, fresh: u64) {
        self.withdraw_answer();
        self.half.numbers.answered = fresh;
        self.says = Some(Said {
            act,
            number: fresh,
            answers: self.half.numbers.heard,
            is_kept: true,
        });
    }

    /// The last request is known to have come, or another stands for it. Its number still names its answers.
    fn withdraw_request(&mut self) {
        match self.half.numbers.asked {
            0 => {}
            asked => self.void.push(asked),
        }
    }

    fn withdraw_answer(&mut self) {
        match std::mem::take(&mut self.half.numbers.answered) {
            0 => {}
            answered => self.void.push(answered),
        }
    }
}

#[cfg(test)]
#[path = "half_tests.rs"]
mod tests;
