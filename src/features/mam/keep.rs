//! XEP-0424: Message Retraction, version 0.4.2, and the stages that archive a message: at its sender before it leaves,
//! at its recipient before it is delivered.
//!
//! | section | item |
//! |---|---|
//! | 4 tombstones | [`retract`] |
//! | 5 business rules | [`retract`]: "only be processed when both ... are received from the same bare-JID", or from the same occupant of a room ([`archive::named`]); rooms have ids of their own; what waits for a client is not distributed further; a retraction is stored where the message is, whatever its recipient wants archived |

use crate::actor::rows::Pick;
use crate::actor::{Disk, Draft, Outcome, Stop, Turn};
use crate::base::AccountId;
use crate::engine::archive::{self, ARCHIVE, Archived, Archiving};
use crate::im::account::identify;
use crate::im::archive::{
    ArchiveId, ArchiveTally, Entry, Policy, Preferences, Quota, with_archive,
};
use crate::im::classify::{classify, is_notice};
use crate::im::{Account, Change, message, origin, pending, roster};
use crate::jid::Jid;
use crate::stanza::{Stanza, Type, ns};

/// Outbound: into the sender's archive. A message to oneself is archived when it comes in: "it MUST store such a
/// stanza within a given archive only once" (section 6.1.1).
pub fn sent(turn: &mut Turn<'_, Account>, draft: &mut Draft) -> Outcome {
    let own = turn.actor.jid.bare_str();
    let to = draft.stanza.header.to.clone();
    let Some(contact) = to.filter(|to| to.bare_str() != own) else {
        return Ok(());
    };
    let Some(worth) = worth(&draft.stanza).filter(|_| !turn.actor.anonymous) else {
        return Ok(());
    };
    // A client that lost the acknowledgement in a crash sends again what is here already: the copies for its other
    // devices name the row that is there.
    if let Some(id) = origin::recall_sent(turn, draft, &contact)? {
        draft.stanza_id = Some(archive::stanza_id(&turn.actor.jid, id, turn.seal));
        return Ok(());
    }
    if let Some(id) = archive(turn, draft, &contact, worth)? {
        origin::remember_sent(turn, draft, &contact, id)?;
        // For the copies that other sessions get.
        if turn.actor.sessions.len() > 1 {
            draft.stanza_id = Some(archive::stanza_id(&turn.actor.jid, id, turn.seal));
        }
    }
    Ok(())
}

/// Inbound: into the recipient's archive; whoever gets the message learns where.
pub fn received(turn: &mut Turn<'_, Account>, draft: &mut Draft) -> Outcome {
    let Some(contact) = draft.stanza.header.from.clone() else {
        return Ok(());
    };
    if let Some(worth) = worth(&draft.stanza).filter(|_| !turn.actor.anonymous)
        && let Some(id) = archive(turn, draft, &contact, worth)?
    {
        let id = archive::stanza_id(&turn.actor.jid, id, turn.seal);
        draft.stanza.payload = draft.stanza.payload.with(&id);
    }
    Ok(())
}

/// Why an archive has to look at a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worth {
    /// It is one to be archived, if its owner wants that.
    Keeping,
    /// It is not, but it retracts one that may be.
    Retracting,
}

fn worth(stanza: &Stanza) -> Option<Worth> {
    if classify(stanza).archived {
        return Some(Worth::Keeping);
    }
    retracted(stanza).map(|_| Worth::Retracting)
}

fn archive(
    turn: &mut Turn<'_, Account>,
    draft: &mut Draft,
    contact: &Jid,
    worth: Worth,
) -> Result<Option<ArchiveId>, Stop> {
    let account = identify(turn)?;
    let changed = retract(turn, account, &draft.stanza)?;
    // XEP-0424 section 5: "The archiving service therefore MUST store the retraction message": without it, who was away
    // would never learn that what he has was retracted.
    let is_due = changed.is_some() || worth == Worth::Keeping && is_wanted(turn, account, contact)?;
    if !is_due {
        return Ok(None);
    }
    if turn.disk == Disk::Full {
        return match changed.is_none() && is_notice(&draft.stanza) {
            true => Ok(None),
            false => Err(Stop::Reject(message::no_room())),
        };
    }
    let id = ArchiveId {
        number: turn.sequence.next(turn.now),
        tag: turn.rng.next_u64(),
    };
    let Archiving {
        write,
        entry,
        bytes,
    } = archive::put(account, id, (&draft.stanza, contact), &mut turn.out.scratch);
    turn.out.write.push(write);
    count(turn, account, (entry, bytes), changed)?;
    draft.archived = Some(id.number);
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
            Ok(turn.actor.standing(&roster, contact).listed)
        }
    }
}

/// Counts a message and its bytes; now and then keeps the count, indexes what came since, and has the oldest removed when
/// there is more than the host allows. `changed` is the count as this turn has changed it already.
fn count(
    turn: &mut Turn<'_, Account>,
    account: AccountId,
    (entry, bytes): (Entry, u64),
    changed: Option<ArchiveTally>,
) -> Outcome {
    let quota = Quota::of(&turn.host.archive, turn.now);
    let due = with_archive(turn, account, |archive| {
        let tally = changed.as_ref().unwrap_or(&archive.tally);
        let is_due = tally.is_due(entry.number, bytes);
        is_due.then(|| {
            let entries = archive.unindexed(&quota).chain([entry]);
            let mut writes = archive::index(account, entries);
            writes.extend(tally.rows_with(account, entry.number, bytes));
            (writes, tally.excess(&quota))
        })
    })?;
    if let Some(tally) = changed {
        let change = Change::ArchiveTally(Box::new(tally));
        turn.out.change.push(change);
    }
    turn.out.change.push(Change::Archived { entry, bytes });
    if let Some((writes, excess)) = due {
        turn.out.write.extend(writes);
        if excess.is_some() {
            turn.out.change.push(Change::TrimArchive);
        }
    }
    Ok(())
}

/// What the message retracts, by the name that its sender gave it: in a conversation of two.
fn retracted(stanza: &Stanza) -> Option<String> {
    if !matches!(stanza.header.type_, Type::Normal | Type::Chat) {
        return None;
    }
    let retract = stanza.payload.child(ns::RETRACT, "retract")?;
    Some(retract.attribute("id")?.into_owned())
}

/// If the message retracts another that is in this archive, a tombstone takes the other's place: how much the archive
/// holds then. The newest one counts if its sender gave several the same name.
fn retract(
    turn: &mut Turn<'_, Account>,
    account: AccountId,
    stanza: &Stanza,
) -> Result<Option<ArchiveTally>, Stop> {
    let Some(of) = retracted(stanza) else {
        return Ok(None);
    };
    // Only what this very sender said: the name is a digest of both.
    let name = archive::name(stanza, &of);
    let found = match with_archive(turn, account, |archive| archive.tail.named(name))? {
        Some(number) => Some(number),
        None => archive::named(turn, account, name)?,
    };
    let Some(number) = found else {
        return Ok(None);
    };
    let key = archive::key(account, number);
    let (rows, _) = turn.load_pick(&ARCHIVE, &Pick::Rows(vec![key]))?;
    let Some((row, archived)) = rows
        .first()
        .and_then(|row| Some((row, Archived::read(row)?)))
    else {
        return Ok(None);
    };
    let own_id = stanza.header.id.as_deref().unwrap_or_default();
    let made = archive::tombstone(account, &archived, own_id, turn.now.wall_ms);
    let Some((writes, bytes)) = made else {
        return Ok(None);
    };
    turn.out.write.extend(writes);
    // Section 5: "SHOULD prevent further distribution of the message by the service". Whoever is away never gets it;
    // the retraction comes all the same.
    turn.out.write.push(pending::delete(account, number));
    turn.out.change.push(Change::Uncounted);
    let mut tally = with_archive(turn, account, |archive| archive.tally.clone())?;
    tally.shrink(number, row.value.len() as u64, bytes);
    let rows = tally.rows_between(account, number, number);
    turn.out.write.extend(rows);
    Ok(Some(tally))
}
