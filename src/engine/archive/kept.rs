//! What is kept for a client and archived is stored once, in the archive (`im/pending.rs`): from a mark back to the message
//! that is delivered, and to a row of its own before the archive lets it go.

use std::sync::Arc;

use super::row::{ARCHIVE, Archived, stanza_id};
use crate::actor::rows::{Join, Row, Write};
use crate::base::{Seal, Sequence};
use crate::im::pending::{self, Found, MARK, PENDING};
use crate::jid::Jid;
use crate::stanza::{Stanza, ns};

/// How rows of what is kept are read.
pub static WITH_MESSAGES: Join = Join {
    with: &ARCHIVE,
    mark: MARK,
};

/// What is kept in a row that was read with [`WITH_MESSAGES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The message as it is delivered.
    Message(Stanza),
    /// It was retracted, or its archive lost it.
    Gone,
    /// The row cannot be read.
    Damaged,
}

/// What is kept in `row` for an account of this host.
pub fn waiting(row: &Row, host: &Jid, seal: &Seal) -> Waiting {
    let (wall_ms, archived) = match pending::decode(&row.value, host) {
        Some(Found::Whole(stanza)) => return Waiting::Message(stanza),
        Some(Found::Archived { archived: [], .. }) => return Waiting::Gone,
        Some(Found::Archived { wall_ms, archived }) => (wall_ms, archived),
        None => return Waiting::Damaged,
    };
    let row = Row {
        key: row.key.clone(),
        value: archived.to_vec(),
    };
    match Archived::read(&row).map(|found| as_it_came(&found, seal)) {
        Some(Some(stanza)) if is_retracted(&stanza) => Waiting::Gone,
        Some(Some(stanza)) => Waiting::Message(pending::late(stanza, wall_ms, host)),
        _ => Waiting::Damaged,
    }
}

/// The write that makes the mark of a message, if there is one, a row that needs no archive: for who removes the message
/// from there. A message that was retracted needs none.
pub fn rescue(row: &Row, seal: &Seal) -> Option<Write> {
    let found = Archived::read(row)?;
    let stanza = as_it_came(&found, seal).filter(|stanza| !is_retracted(stanza))?;
    let value: Arc<[u8]> = pending::encode(&stanza, Sequence::wall_ms_of(found.id.number));
    Some(Write::Replace {
        table: &PENDING,
        key: row.key.clone(),
        value,
        // Whose it is counted as (`im/quota.rs`).
        keeps: pending::STAMP,
    })
}

/// What comes for an account is archived before its id is added (`features/mam/keep.rs`).
fn as_it_came(found: &Archived<'_>, seal: &Seal) -> Option<Stanza> {
    let mut stanza = found.stanza()?;
    let account = stanza.header.to.as_ref().map(Jid::to_bare)?;
    stanza.payload = stanza.payload.with(&stanza_id(&account, found.id, seal));
    Some(stanza)
}

fn is_retracted(stanza: &Stanza) -> bool {
    stanza.payload.has(ns::RETRACT, "retracted")
}
