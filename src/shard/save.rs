//! Rows on their way to the store, one save a turn of the loop, and the promises that hang on them (DESIGN
//! section 20). What was kept and delivered within one turn never reaches the store.

use crate::actor::rows::{RowKey, Slices, StoreError, Write};
use crate::actor::{Answer, Envelope, Origin};
use crate::base::{ActorKey, KeyedMap, KeyedState, Now};
use crate::engine::archive::{ARCHIVE, INDEX};
use crate::im::archive::TALLY;
use crate::im::origin::ORIGIN;
use crate::im::pending::PENDING;
use crate::stanza::Stanza;

use super::Shard;
use super::output::{Ask, Output};
use super::refuse::store_error;
use super::seats::Seat;

/// What was written since the last save.
pub(super) struct Saves {
    /// None where a later write made it void.
    writes: Vec<Option<Write>>,
    /// Where rows that were put since the last save stand in `writes`, and whose promise they keep, if anybody's.
    puts: KeyedMap<(&'static str, RowKey), (usize, Option<usize>)>,
    promises: Vec<Promise>,
    /// Memory for the next promises: hundreds of a save take a hundred kilobytes, which would be asked for anew each time.
    spare: Vec<Promise>,
    /// Keys of what clients have, and that is to leave [`PENDING`].
    gone: Vec<RowKey>,
    /// Which chain rows belong to that say what the saves before them have put there.
    chain: u64,
}

impl Saves {
    pub(super) fn new(state: KeyedState) -> Saves {
        Saves {
            writes: Vec::new(),
            puts: KeyedMap::with_hasher(state),
            promises: Vec::new(),
            spare: Vec::new(),
            gone: Vec::new(),
            chain: 0,
        }
    }
}

/// Kept when the save is durable.
pub(super) struct Promise {
    settle: Option<Origin>,
    /// Goes back to its sender when it cannot be stored.
    bounce: Option<Stanza>,
    waiter: Option<Waiter>,
}

/// What goes on when it is durable, or never does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Waiter {
    /// The turn of an account.
    Turn(ActorKey),
    /// A request of this number that left its mailbox.
    Step(ActorKey, u64),
}

/// What hangs on one save.
#[derive(Default)]
pub(super) struct SaveRecord {
    promises: Vec<Promise>,
    /// The mark among its rows (`numbers.rs`).
    mark: Option<u64>,
    /// The chain to which it belongs, if it rests on saves before it.
    chain: Option<u64>,
    /// See [`Saves::gone`]; of an [`Attempt::CallOff`] the keys of what is called off.
    gone: Vec<RowKey>,
    pub attempt: Attempt,
}

/// Whether a save was refused before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Attempt {
    #[default]
    First,
    /// It is to find out whether the disk has room (`disk.rs`).
    Probe,
    /// It was refused for want of room.
    Again,
    /// It calls off emptyings of archives: it is repeated until it is durable (`emptying.rs`).
    CallOff,
    /// It removes old messages: who asked for that looks what became of it (`expiry.rs`).
    Expiry,
    /// It gives messages that are owed rows of their own, before their month goes: the same (`retention.rs`).
    Rescue,
}

impl SaveRecord {
    /// To find out whether the disk has room: with a mark.
    pub fn probe(mark: u64) -> SaveRecord {
        SaveRecord {
            mark: Some(mark),
            attempt: Attempt::Probe,
            ..SaveRecord::default()
        }
    }

    /// Removals of what is too old.
    pub fn expiry() -> SaveRecord {
        SaveRecord {
            attempt: Attempt::Expiry,
            ..SaveRecord::default()
        }
    }

    /// Rows of their own for messages of months that go.
    pub fn rescue() -> SaveRecord {
        SaveRecord {
            attempt: Attempt::Rescue,
            ..SaveRecord::default()
        }
    }

    /// Emptyings of archives that are called off, by the keys of their rows.
    pub fn call_off(gone: Vec<RowKey>) -> SaveRecord {
        SaveRecord {
            gone,
            attempt: Attempt::CallOff,
            ..SaveRecord::default()
        }
    }

    /// Removals that were refused.
    pub fn again(gone: Vec<RowKey>) -> SaveRecord {
        SaveRecord {
            gone,
            attempt: Attempt::Again,
            ..SaveRecord::default()
        }
    }
}

impl Shard {
    /// Whether [`Shard::end_turn`] has something to store.
    pub fn has_unsaved(&self) -> bool {
        let saves = &self.saves;
        let has_some = !saves.promises.is_empty() || !saves.writes.is_empty();
        has_some || !saves.gone.is_empty() || self.has_parted()
    }

    /// Adds the writes of one turn, and what is promised to whom when they are durable.
    pub(super) fn save(
        &mut self,
        writes: impl Iterator<Item = Write>,
        settle: Option<Origin>,
        bounce: Option<Stanza>,
    ) {
        let waiter = None;
        // Most of what is archived hangs on nobody's promise.
        let promise = (settle.is_some() || bounce.is_some()).then(|| {
            self.promise(Promise {
                settle,
                bounce,
                waiter,
            })
        });
        for write in writes {
            self.fresh.wrote(&write);
            // What is kept by time is never taken back within a turn.
            if let Write::Put { table, key, .. } = &write
                && table.slices == Slices::Whole
            {
                self.saves.puts.insert(
                    (table.name, key.clone()),
                    (self.saves.writes.len(), promise),
                );
            }
            self.saves.writes.push(Some(write));
        }
    }

    /// Adds writes for which somebody waits.
    pub(super) fn save_awaited(&mut self, writes: impl Iterator<Item = Write>, waiter: Waiter) {
        self.promise(Promise {
            settle: None,
            bounce: None,
            waiter: Some(waiter),
        });
        // Not among `puts`: a row that existed before must be removed in the store, too.
        for write in writes {
            self.fresh.wrote(&write);
            self.saves.writes.push(Some(write));
        }
    }

    fn promise(&mut self, promise: Promise) -> usize {
        self.saves.promises.push(promise);
        self.saves.promises.len() - 1
    }

    /// Adds the removal of a row that is put at most once.
    pub(super) fn unsave(&mut self, write: Write) {
        if let Write::Delete { table, key } = &write
            && let Some((at, promise)) = self.saves.puts.remove(&(table.name, key.clone()))
        {
            // It never was in the store, and it is where it should be: there is nothing to bounce.
            self.saves.writes[at] = None;
            if let Some(promise) = promise {
                self.saves.promises[promise].bounce = None;
            }
            return;
        }
        if let Write::Delete { table, key } = &write
            && table.name == PENDING.name
        {
            self.saves.gone.push(key.clone());
            if self.is_disk_full() {
                // Apart from what is refused: removals are let through while there is room for them.
                return;
            }
        }
        self.fresh.wrote(&write);
        self.saves.writes.push(Some(write));
    }

    /// Sends what was written to the store.
    pub(super) fn flush_saves(&mut self, now: Now) {
        if !self.has_unsaved() {
            return;
        }
        self.saves.puts.clear();
        let spare = std::mem::take(&mut self.saves.spare);
        let promises = std::mem::replace(&mut self.saves.promises, spare);
        // With room for the mark. As large as it must be at once: it may be a hundred kilobytes.
        let mut writes = Vec::with_capacity(self.saves.writes.len() + 1);
        writes.extend(self.saves.writes.drain(..).flatten());
        let mark = match writes.is_empty() {
            true => None,
            false => self.mark(&mut writes),
        };
        let gone = std::mem::take(&mut self.saves.gone);
        let mut record = SaveRecord {
            promises,
            mark,
            chain: writes
                .iter()
                .any(rests_on_others)
                .then_some(self.saves.chain),
            ..SaveRecord::default()
        };
        let apart = match self.is_disk_full() {
            true => gone,
            false => std::mem::replace(&mut record.gone, gone),
        };
        if writes.is_empty() {
            self.remove_waiting(apart);
            return self.saved(now, record, Answer::Saved);
        }
        self.ask_save(record, writes);
        // Behind the save whose rows were numbered before (`fresh.rs`).
        self.remove_waiting(apart);
    }

    pub(super) fn ask_save(&mut self, record: SaveRecord, writes: Vec<Write>) {
        let chain = record.chain;
        match self.seats.take(Seat::Save(record)) {
            Ok(ticket) => {
                self.fresh.sent();
                self.outputs
                    .push_back(Output::Ask(ticket, Ask::Save { writes, chain }));
            }
            Err(_) => debug_assert!(false, "a save always gets a seat"),
        }
    }

    /// The store answered a save.
    pub(super) fn saved(&mut self, now: Now, mut record: SaveRecord, answer: Answer) {
        let error = match answer {
            Answer::Failed(error) => Some(error),
            _ => None,
        };
        let is_behind = record.chain.is_some_and(|chain| chain != self.saves.chain);
        if record.attempt == Attempt::CallOff {
            let gone = std::mem::take(&mut record.gone);
            self.called_off(now, gone, error);
        }
        if let Some(error) = error {
            if record.attempt == Attempt::First {
                log::error!(
                    "save_failed error={error} promises={}",
                    record.promises.len()
                );
                if let Some(chain) = record.chain {
                    self.break_chain(now, chain);
                }
            }
            self.retention.is_refused |= record.attempt == Attempt::Expiry;
            self.retention.is_unrescued |= record.attempt == Attempt::Rescue;
            self.keep_removals(now, record.gone);
        }
        if let (None, Some(mark)) = (error, record.mark) {
            self.marked = self.marked.max(mark);
        }
        for promise in record.promises.drain(..) {
            if let (Some(error), Some(stanza)) = (error, &promise.bounce) {
                // It was counted as kept.
                let to = stanza.header.to.as_ref();
                if let Some(actor) = to.and_then(|to| self.actor_of(to))
                    && let Some(cell) = self.cells.get_mut(actor)
                {
                    cell.account.tally = None;
                }
                self.bounce(now, stanza, &store_error(error));
                self.forget_origins(stanza);
            }
            if let Some(origin) = promise.settle {
                self.route(now, Envelope::Settled(origin));
            }
            match promise.waiter {
                Some(Waiter::Turn(actor)) => self.committed(now, actor, error),
                Some(Waiter::Step(actor, number)) => {
                    // A disk that has just filled refuses with this what was committed with it.
                    let is_full = error == Some(StoreError::DiskFull);
                    let is_untried = is_full || error.is_some() && is_behind;
                    if !(is_untried && self.step_again(now, actor, number)) {
                        self.step_committed(now, actor, number, error);
                    }
                }
                None => {}
            }
        }
        let spare = &mut self.saves.spare;
        if (spare.capacity()..=SPARE_COUNT_MAX).contains(&record.promises.capacity()) {
            *spare = record.promises;
        }
    }

    /// A save on which others rest was refused: what was counted and indexed is not, and those of its chain that were sent
    /// behind it are refused as well.
    fn break_chain(&mut self, now: Now, chain: u64) {
        if chain != self.saves.chain {
            return;
        }
        // When this was written, nobody knew.
        self.flush_saves(now);
        self.saves.chain += 1;
        self.forget_archives();
    }

    /// Two have to settle this stanza of one of our clients.
    pub(super) fn await_one_more(&mut self, origin: Option<Origin>) {
        let session = origin.and_then(|origin| {
            let cell = self.cells.get_mut(origin.actor)?;
            Some((cell.account.session_mut(origin.session)?, origin.sequence))
        });
        if let Some((session, sequence)) = session
            && let Some(acks) = &mut session.acks
        {
            acks.await_one_more(sequence);
        }
    }

    /// What could not be stored was not kept: the store alone knows what was.
    fn forget_origins(&mut self, stanza: &Stanza) {
        let actor = stanza.header.to.as_ref().and_then(|to| self.actor_of(to));
        if let Some(cell) = actor.and_then(|actor| self.cells.get_mut(actor)) {
            cell.account.origins = None;
        }
    }

    /// Somebody made the promise of one of our clients' stanzas durable.
    pub(super) fn settled(&mut self, _now: Now, origin: Origin) {
        let Some(cell) = self.cells.get_mut(origin.actor) else {
            return;
        };
        let Some(session) = cell.account.session_mut(origin.session) else {
            return;
        };
        let Some(acks) = &mut session.acks else {
            return;
        };
        let due = acks.settle(origin.sequence);
        let handled = acks.told();
        let stream = session.stream;
        if let Some(stream) = stream
            && due
        {
            self.say(stream, super::streams::ack(handled));
        }
        self.resume_own(origin.actor);
    }
}

/// Rows that say what others before them have put into the store: counts and lists of archives, and the mark of a message that
/// was known when it was sent again, because the first is on its way to the store.
fn rests_on_others(write: &Write) -> bool {
    let table = write.table();
    [&ARCHIVE, &INDEX, &TALLY, &ORIGIN]
        .iter()
        .any(|of| table.is(of))
}

/// Promises whose memory is kept: a burst's is given back.
const SPARE_COUNT_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    use super::super::testing::{NOW, stage};

    #[test]
    fn the_mark_of_what_was_sent_again_rests_on_the_saves_before_it() {
        let (mut shard, _) = stage();
        for (table, expected) in [(&ORIGIN, Some(0)), (&PENDING, None)] {
            shard.unsave(Write::Put {
                table,
                key: RowKey::new(b"1"),
                value: [1][..].into(),
            });
            shard.end_turn(NOW);
            let mut outputs = std::iter::from_fn(|| shard.poll_output());
            let chain = outputs.find_map(|output| match output {
                Output::Ask(_, Ask::Save { chain, .. }) => Some(chain),
                _ => None,
            });
            assert_eq!(chain, Some(expected), "{}", table.name);
        }
    }
}
