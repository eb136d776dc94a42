//! Pipelines: named stages in a const array, read top to bottom. The array is the only place that
//! decides an order.

use smallvec::SmallVec;

use super::effects::Kept;
use super::envelope::{Origin, Tell};
use super::turn::{Actor, Outcome, Turn};
use crate::base::SessionId;
use crate::stanza::{Header, Payload, Stanza};

/// One step of what happens to a stanza.
pub struct Stage<A: Actor> {
    /// What the operator reads in the README: the module and function that run.
    pub name: &'static str,
    /// Why it stands where it stands; empty where it is alone.
    pub why: &'static str,
    /// The feature that it belongs to: a stage of a feature that is switched off is skipped.
    pub feature: &'static str,
    /// May suspend, reject, edit the draft, or pass.
    pub run: fn(&mut Turn<'_, A>, &mut Draft) -> Outcome,
}

/// The stanza in hand and what earlier stages decided about it.
#[derive(Clone, Debug)]
pub struct Draft {
    pub stanza: Stanza,
    /// The session that sent it; none when it came from elsewhere.
    pub session: Option<SessionId>,
    /// Who waits for its fate.
    pub settle: Option<Origin>,
    /// By which its sender knows it, if it changes state here.
    pub tell: Option<Tell>,
    /// Sessions that shall get it.
    pub targets: SmallVec<[SessionId; 4]>,
    /// Whether it may be kept for somebody who cannot take it now, once that was looked up.
    pub is_storable: bool,
    /// What it is owed, once that was decided.
    pub kept: Option<Kept>,
    /// The number of the row in which this account archived it.
    pub archived: Option<u64>,
    /// The `<stanza-id/>` (XEP-0359) under which this account archived it, in normal form, for copies that
    /// other sessions of the sender get.
    pub stanza_id: Option<String>,
}

impl Draft {
    /// A stanza about which nothing is decided.
    pub fn new(stanza: Stanza, session: Option<SessionId>, settle: Option<Origin>) -> Draft {
        Draft {
            stanza,
            session,
            settle,
            tell: None,
            targets: SmallVec::new(),
            is_storable: false,
            kept: None,
            archived: None,
            stanza_id: None,
        }
    }

    /// Takes the stanza out, for a last stage: what is left behind says nothing.
    pub fn take_stanza(&mut self) -> Stanza {
        let Header { kind, type_, .. } = self.stanza.header;
        let nothing = Stanza {
            header: Header::new(kind, type_),
            payload: Payload::EMPTY,
        };
        std::mem::replace(&mut self.stanza, nothing)
    }
}
