//! XEP-0424: Message Retraction, version 0.4.2, and the stages that archive a message: at its sender before it leaves,
//! at its recipient before it is delivered.
//!
//! | section | item |
//! |---|---|
//! | 4 tombstones | [`retract`] |
//! | 5 business rules | [`retract`]: "only be processed when both ... are received from the same bare-JID", or from the same occupant of a room ([`archive::name_of`]); rooms have ids of their own; what waits for a client is not distributed further |

use crate::actor::rows::{Pick, RowRange};
use crate::actor::{Draft, Outcome, Stop, Turn};
use crate::base::{AccountId, limits};
use crate::engine::archive::{self, ARCHIVE, Archived, INDEX, Posting, Term};
use crate::im::account::identify;
use crate::im::archive::{ArchiveId, ArchiveTally, Policy, Preferences, tally_row, with_archive};
use crate::im::classify::classify;
use crate::im::{Account, Change, origin, pending, roster};
use crate::jid::Jid;
use crate::stanza::{Stanza, ns};

/// Outbound: into the sender's archive. A message to oneself is archived when it comes in: "it MUST store such a
/// stanza within a given archive only once" (section 6.1.1).
pub fn sent(turn: &mut Turn<'_, Account>, draft: &mut Draft) -> Outcome {
    let own = turn.actor.jid.bare_str();
    let to = draft.stanza.header.to.clone();
    let Some(contact) = to.filter(|to| to.bare_str() != own) else {
        return Ok(());
    };
    if turn.actor.anonymous || !classify(&draft.stanza).archived {
        return Ok(());
    }
    // A client that lost the acknowledgement in a crash sends again what is here already: the copies for its other
    // devices name the row that is there.
    if let Some(id) = origin::recall_sent(turn, draft, &contact)? {
        draft.stanza_id = Some(archive::stanza_id(&turn.actor.jid, id, turn.seal));
        return Ok(());
    }
    if let Some(id) = archive(turn, draft, &contact)? {
        origin::remember_sent(turn, draft, &contact, id)?;
    }
    Ok(())
}

/// Inbound: into the recipient's archive; whoever gets the message learns where.
pub fn received(turn: &mut Turn<'_, Account>, draft: &mut Draft) -> Outcome {
    let Some(contact) = draft.stanza.header.from.clone() else {
        return Ok(());
    };
    if !turn.actor.anonymous && classify(&draft.stanza).archived {
        archive(turn, draft, &contact)?;
    }
    if let Some(id) = &draft.stanza_id {
        draft.stanza.payload = draft.stanza.payload.with(id);
    }
    Ok(())
}

fn archive(
    turn: &mut Turn<'_, Account>,
    draft: &mut Draft,
    contact: &Jid,
) -> Result<Option<ArchiveId>, Stop> {
    let account = identify(turn)?;
    if !is_wanted(turn, account, contact)? {
        return Ok(None);
    }
    retract(turn, account, &draft.stanza, contact)?;
    let id = ArchiveId {
        number: turn.sequence.next(turn.now),
        tag: turn.rng.next_u64(),
    };
    let writes = archive::put(account, id, &draft.stanza, contact);
    turn.out.write.extend(writes);
    count(turn, account, id.number)?;
    turn.out.change.push(Change::Archived { number: id.number });
    draft.archived = Some(id.number);
    draft.stanza_id = Some(archive::stanza_id(&turn.actor.jid, id, turn.seal));
    Ok(Some(id))
}

/// Whether messages exchanged with this contact are archived (XEP-0441 section 2).
fn is_wanted(
    turn: &mut Turn<'_, Account>,
    account: AccountId,
    contact: &Jid,
) -> Result<bool, Stop> {
    let said = |preferences: &Preferences| (preferences.says(contact), preferences.default);
    let (said, default) = with_archive(turn, account, |archive| said(&archive.preferences))?;
    if let Some(said) = said {
        return Ok(said);
    }
    match default.unwrap_or(super::preferences::default_of(turn.host)) {
        Policy::Always => Ok(true),
        Policy::Never => Ok(false),
        // XEP-0441 section 2.1.1: "only if the contact's bare JID is in the user's roster".
        Policy::Roster => {
            let roster = roster::load(turn)?;
            let domain = turn.actor.jid.domainpart();
            Ok(roster.standing(contact, domain).listed)
        }
    }
}

/// Keeps the tally once in so many messages, and has the oldest removed when there are more than the host allows.
fn count(turn: &mut Turn<'_, Account>, account: AccountId, number: u64) -> Outcome {
    let tally = |tally: &ArchiveTally| (tally.in_month_of(number) + 1, tally.count() + 1);
    let (in_month, all) = with_archive(turn, account, |archive| tally(&archive.tally))?;
    if in_month % limits::ARCHIVE_TALLY_EVERY == 1 {
        turn.out.write.push(tally_row(account, number, in_month));
        let allowed = u64::from(turn.host.archive.messages);
        if allowed > 0 && all > allowed {
            let excess = usize::try_from(all - allowed).unwrap_or(usize::MAX);
            turn.out.change.push(Change::TrimArchive { excess });
        }
    }
    Ok(())
}

/// If the message retracts another, a tombstone takes the other's place in this archive. The newest one counts if
/// its sender gave several the same name.
fn retract(
    turn: &mut Turn<'_, Account>,
    account: AccountId,
    stanza: &Stanza,
    contact: &Jid,
) -> Outcome {
    let Some(retract) = stanza.payload.child(ns::RETRACT, "retract") else {
        return Ok(());
    };
    let Some(of) = retract.attribute("id") else {
        return Ok(());
    };
    let range = RowRange {
        count_max: limits::ARCHIVE_RETRACTABLE_COUNT,
        ..archive::postings(account, Term::contact(contact.bare_str()), 0, u64::MAX)
    };
    let (rows, _) = turn.load_pick(&INDEX, &Pick::Last(range))?;
    // Only what this very sender said: the name is a digest of both.
    let name = archive::name_of(stanza, &of);
    let is_meant = |posting: &Posting| posting.details.is_some_and(|(_, own)| own == name);
    let Some(found) = rows.iter().filter_map(Posting::read).find(is_meant) else {
        return Ok(());
    };
    let key = archive::key(account, found.number);
    let (rows, _) = turn.load_pick(&ARCHIVE, &Pick::Rows(vec![key]))?;
    if let Some(archived) = rows.first().and_then(Archived::read) {
        let own_id = stanza.header.id.as_deref().unwrap_or_default();
        let writes = archive::tombstone(account, &archived, own_id, turn.now.wall_ms);
        turn.out.write.extend(writes.into_iter().flatten());
        // Section 5: "SHOULD prevent further distribution of the message by the service". Whoever is away never gets it;
        // the retraction comes all the same.
        turn.out.write.push(pending::delete(account, found.number));
        turn.out.change.push(Change::Uncounted);
    }
    Ok(())
}
