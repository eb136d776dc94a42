//! Archives that are emptied: apart from what a full disk refuses, once more behind a save that was refused, and no further
//! when that is called off.

use super::super::super::NUMBERS;
use super::super::super::session_end::CLOSED;
use super::super::super::testing::{CAREFUL, commits, saved};
use super::*;
use crate::actor::auth::AccountRef;
use crate::actor::rows::Fence;
use crate::base::Generation;
use crate::im::archive::EMPTYING;
use crate::stanza::{StreamCondition, StreamError};

#[test]
fn who_is_thrown_out_empties_nothing_any_more_and_who_hangs_up_does() {
    let error = || StreamError::new(StreamCondition::NotAuthorized, "Ended by its user");
    for is_revoked in [false, true] {
        let (mut shard, actor) = stage(100);
        ask(&mut shard, actor, "read", "a");
        shard.cells[actor].asides[0].progress = Progress::Erasing {
            of: AccountId(7),
            from: 5,
            until: 9,
            count: 1,
        };
        match is_revoked {
            true => shard.revoke(NOW, actor, SessionId(1), error()),
            false => shard.expel(NOW, actor, SessionId(1), error()),
        }
        shard.drive(NOW);
        assert_eq!(shard.cells[actor].asides.is_empty(), is_revoked);
        // Nor in the next process.
        let writes = saved(&mut shard).map_or(Vec::new(), |(_, writes)| writes);
        assert_eq!(writes.iter().any(is_end), is_revoked, "{writes:?}");
        // What another session began since goes on.
        let other = Emptying {
            account: AccountId(7),
            owner: shard.cells[actor].account.jid.clone(),
            until: 20,
        };
        let Write::Put { key: other, .. } = other.put() else {
            panic!("no put");
        };
        let is_other = |write: &Write| matches!(write, Write::Delete { key, .. } if *key == other);
        assert!(!writes.iter().any(is_other), "{writes:?}");
    }
}

#[test]
fn an_archive_is_emptied_though_nothing_could_be_read_when_its_owner_had_gone() {
    let (mut shard, actor) = stage(100);
    shard.cells[actor].account.identity = Some(AccountRef {
        id: AccountId(7),
        generation: Generation(0),
    });
    ask(&mut shard, actor, "read", "a");
    let aside = &mut shard.cells[actor].asides[0];
    aside.parked = None;
    aside.progress = Progress::Erasing {
        of: AccountId(7),
        from: 0,
        until: 9,
        count: 0,
    };
    while shard.poll_output().is_some() {}
    shard.end_session(NOW, actor, SessionId(1), Vec::new(), CLOSED);
    shard.drive(NOW);
    let asked = std::iter::from_fn(|| shard.poll_output()).find_map(|output| match output {
        Output::Ask(ticket, ask) if !matches!(ask, Ask::Save { .. }) => Some(ticket),
        _ => None,
    });
    let asked = asked.expect("it goes on");
    answer(&mut shard, asked, Answer::Failed(StoreError::Broken));
    assert!(shard.cells[actor].asides.is_empty());
    let (_, writes) = saved(&mut shard).expect("it is not forgotten");
    let is_it =
        |write: &Write| matches!(write, Write::Put { table, .. } if table.name == EMPTYING.name);
    assert!(writes.iter().any(is_it), "{writes:?}");
}

fn is_end(write: &Write) -> bool {
    matches!(write, Write::Delete { table, .. } if table.is(&EMPTYING))
}

#[test]
fn what_was_called_off_is_called_off_until_the_store_has_heard_of_it() {
    let (mut shard, actor) = stage(100);
    let owner = shard.cells[actor].account.jid.clone();
    ask(&mut shard, actor, "read", "a");
    shard.cells[actor].asides[0].progress = Progress::Erasing {
        of: OWNER,
        from: 5,
        until: 9,
        count: 1,
    };
    // What somebody else wants in the same turn takes room.
    shard.unsave(careful());
    let error = StreamError::new(StreamCondition::NotAuthorized, "Ended by its user");
    shard.revoke(NOW, actor, SessionId(1), error);
    for is_refused in [true, true, false] {
        let mut saves = saves(&mut shard).into_iter();
        let found = saves.find(|(_, writes)| writes.iter().any(is_end));
        let (ticket, writes) = found.expect("a save");
        assert_eq!(writes.len(), 1, "{writes:?}");
        // The row is found meanwhile.
        shard.empty(NOW, owner.clone(), OWNER, 9);
        let actor = shard.cell_at(NOW, &owner);
        assert!(shard.cells[actor].asides.is_empty());
        let outcome = if is_refused {
            Err(StoreError::DiskFull)
        } else {
            Ok(())
        };
        commits(&mut shard, ticket, outcome);
        pass(&mut shard, limits::DISK_PROBE_MS);
    }
    assert!(shard.called_off.is_empty());
    let mut left = saves(&mut shard).into_iter();
    assert!(left.all(|(_, writes)| writes.is_empty()));
}

#[test]
fn so_much_is_remembered_as_called_off_and_what_is_more_is_asked_for_once() {
    let (mut shard, _) = stage(100);
    let count = limits::CALLED_OFF_MAX + 1;
    let keys = (0..count as u64).map(|until| Emptying::key(OWNER, until));
    shard.empty_no_further(NOW, keys.collect());
    assert_eq!(shard.called_off.len(), limits::CALLED_OFF_MAX);
    for expected in [count, limits::CALLED_OFF_MAX] {
        let mut saves = saves(&mut shard).into_iter();
        let found = saves.find(|(_, writes)| writes.iter().any(is_end));
        let (ticket, writes) = found.expect("a save");
        assert_eq!(writes.len(), expected);
        commits(&mut shard, ticket, Err(StoreError::DiskFull));
        pass(&mut shard, limits::DISK_PROBE_MS);
    }
}

/// An emptying whose first step is durable and whose second one is refused.
fn failed() -> (Shard, ActorKey) {
    let (mut shard, actor) = stage(100);
    shard.cells[actor].account.identity = Some(AccountRef {
        id: OWNER,
        generation: Generation(0),
    });
    ask(&mut shard, actor, "erase", "e");
    for outcome in [Ok(()), Err(StoreError::Broken)] {
        let (ticket, _) = removes(&mut shard);
        commits(&mut shard, ticket, outcome);
    }
    assert_eq!(heard(&shard, actor), "!e");
    assert!(shard.cells[actor].asides.is_empty());
    (shard, actor)
}

#[test]
fn an_emptying_that_failed_is_called_off_also_when_it_is_gone_on_with() {
    for is_gone_on_with in [false, true] {
        let (mut shard, actor) = failed();
        if is_gone_on_with {
            let owner = shard.cells[actor].account.jid.clone();
            shard.empty(NOW, owner, OWNER, 9);
            assert_eq!(shard.cells[actor].asides.len(), 1);
        }
        let error = StreamError::new(StreamCondition::NotAuthorized, "Ended by its user");
        shard.revoke(NOW, actor, SessionId(1), error);
        assert!(shard.cells[actor].asides.is_empty());
        let is_it = |write: &Write| is_end(write) && key_of(write) == &Emptying::key(OWNER, 9);
        let saves = saves(&mut shard);
        assert!(saves.iter().any(|(_, writes)| writes.iter().any(is_it)));
    }
}

#[test]
fn what_was_called_off_is_not_begun_by_a_row_that_was_read_before() {
    // When the row that a sweep has read comes to the home of its owner: before and after the store has heard of it.
    for is_asked_before in [false, true] {
        let (mut shard, actor) = failed();
        let owner = shard.cells[actor].account.jid.clone();
        if is_asked_before {
            shard.empty(NOW, owner.clone(), OWNER, 9);
        }
        let asked_before = looked_up(&mut shard);
        assert_eq!(asked_before.is_some(), is_asked_before);
        let error = StreamError::new(StreamCondition::NotAuthorized, "Ended by its user");
        shard.revoke(NOW, actor, SessionId(1), error);
        for (ticket, _) in saves(&mut shard) {
            commits(&mut shard, ticket, Ok(()));
        }
        assert!(shard.called_off.is_empty());
        if !is_asked_before {
            shard.empty(NOW, owner.clone(), OWNER, 9);
        }
        let (ticket, row) = match asked_before {
            // It was read before the row was removed.
            Some(ticket) => (ticket, Some(Vec::new())),
            None => (looked_up(&mut shard).expect("it is asked for"), None),
        };
        answer(&mut shard, ticket, Answer::Row(row));
        let actor = shard.cell_at(NOW, &owner);
        assert!(shard.cells[actor].asides.is_empty());
        assert!(saves(&mut shard).is_empty());
    }
}

#[test]
fn what_could_not_be_looked_up_is_left_to_the_next_sweep() {
    let (mut shard, actor) = failed();
    let owner = shard.cells[actor].account.jid.clone();
    shard.empty(NOW, owner.clone(), OWNER, 9);
    let ticket = looked_up(&mut shard).expect("it is asked for");
    answer(&mut shard, ticket, Answer::Failed(StoreError::Broken));
    assert!(shard.cells[actor].asides.is_empty());
    // Were it written again, who has called it off meanwhile would have done so in vain.
    assert!(saves(&mut shard).is_empty());
    shard.empty(NOW, owner, OWNER, 9);
    let ticket = looked_up(&mut shard).expect("it is asked for");
    answer(&mut shard, ticket, Answer::Row(Some(Vec::new())));
    assert_eq!(shard.cells[actor].asides.len(), 1, "it goes on");
}

/// The row of an emptying is asked for.
fn looked_up(shard: &mut Shard) -> Option<Ticket> {
    std::iter::from_fn(|| shard.poll_output()).find_map(|output| match output {
        Output::Ask(ticket, Ask::Row { table, fence, .. }) if table.is(&EMPTYING) => {
            assert_eq!(fence, Fence::AfterSaves);
            Some(ticket)
        }
        _ => None,
    })
}

fn key_of(write: &Write) -> &RowKey {
    let (Write::Put { key, .. } | Write::Delete { key, .. } | Write::Replace { key, .. }) = write;
    key
}

#[test]
fn an_emptying_that_failed_stays_to_be_gone_on_with_when_its_client_hangs_up() {
    let (mut shard, actor) = failed();
    assert_eq!(shard.cells[actor].emptyings_failed.len(), 1);
    shard.end_session(NOW, actor, SessionId(1), Vec::new(), CLOSED);
    shard.drive(NOW);
    assert!(shard.cells[actor].emptyings_failed.is_empty());
    let mut saves = saves(&mut shard).into_iter();
    assert!(saves.all(|(_, writes)| !writes.iter().any(is_end)));
}

#[test]
fn so_many_emptyings_that_failed_can_be_called_off_and_one_more_goes_no_further() {
    let (mut shard, actor) = stage(100);
    let count = limits::EMPTYINGS_FAILED_MAX as u64 + 1;
    for until in 1..=count {
        let progress = Progress::Erasing {
            of: OWNER,
            from: 1,
            until,
            count: 1,
        };
        assert!(shard.called_off.is_empty());
        shard.emptying_failed(NOW, actor, SessionId(1), progress);
    }
    let known = shard.cells[actor].emptyings_failed.len();
    assert_eq!(known, limits::EMPTYINGS_FAILED_MAX);
    assert!(shard.called_off.contains(&Emptying::key(OWNER, count)));
}

fn careful() -> Write {
    Write::Put {
        table: &CAREFUL,
        key: RowKey::new(b"key"),
        value: [1][..].into(),
    }
}

/// Time passes.
fn pass(shard: &mut Shard, ms: u64) {
    let mono_ms = NOW.mono_ms + ms;
    shard.handle(Now { mono_ms, ..NOW }, Input::Tick);
}

/// What is to be saved, in this order.
fn saves(shard: &mut Shard) -> Vec<(Ticket, Vec<Write>)> {
    shard.end_turn(NOW);
    let outputs = std::iter::from_fn(|| shard.poll_output());
    let saves = outputs.filter_map(|output| match output {
        Output::Ask(ticket, Ask::Save { mut writes, .. }) => {
            // Any save may have a mark with it.
            writes.retain(|write| !write.table().is(&NUMBERS));
            Some((ticket, writes))
        }
        _ => None,
    });
    saves.collect()
}

/// The messages that the one save removes.
fn removes(shard: &mut Shard) -> (Ticket, Vec<RowKey>) {
    let all = saves(shard);
    assert_eq!(all.len(), 1, "{all:?}");
    let (ticket, writes) = all.into_iter().next().expect("one");
    let keys = writes.into_iter().map(|write| match write {
        Write::Delete { table, key } if table.is(&ARCHIVE) => key,
        other => panic!("{other:?}"),
    });
    (ticket, keys.collect())
}

#[test]
fn what_empties_an_archive_is_saved_apart_from_what_takes_room() {
    let (mut shard, actor) = stage(100);
    shard.unsave(careful());
    ask(&mut shard, actor, "erase", "e");
    shard.unsave(careful());
    let tables = saves(&mut shard).into_iter();
    let tables = tables.map(|(_, writes)| writes.iter().map(|w| w.table().name).collect());
    let tables: Vec<Vec<&str>> = tables.collect();
    assert_eq!(tables, [[CAREFUL.name], [ARCHIVE.name], [CAREFUL.name]]);
}

#[test]
fn what_was_to_be_removed_behind_a_refused_save_is_tried_once_more() {
    let full = || Err(StoreError::DiskFull);
    for is_refused_again in [false, true] {
        let (mut shard, actor) = stage(100);
        let (first, second) = (archive::key(OWNER, 0), archive::key(OWNER, 1));
        shard.unsave(Write::Put {
            table: &ARCHIVE,
            key: archive::key(OWNER, 7),
            value: [1][..].into(),
        });
        let (others, _) = saved(&mut shard).expect("a save");
        ask(&mut shard, actor, "erase", "e");
        let (ticket, keys) = removes(&mut shard);
        assert_eq!(keys, std::slice::from_ref(&first));
        commits(&mut shard, others, full());
        commits(&mut shard, ticket, full());
        assert_eq!(heard(&shard, actor), "", "nobody has looked at it");
        let (ticket, keys) = removes(&mut shard);
        assert_eq!(keys, [first]);
        if is_refused_again {
            commits(&mut shard, ticket, full());
            assert_eq!(heard(&shard, actor), "!e");
            continue;
        }
        commits(&mut shard, ticket, Ok(()));
        let (ticket, keys) = removes(&mut shard);
        assert_eq!(keys, [second]);
        commits(&mut shard, ticket, Ok(()));
        assert_eq!(heard(&shard, actor), "e");
    }
}

#[test]
fn what_was_refused_for_its_own_sake_is_not_tried_again() {
    let (mut shard, actor) = stage(100);
    ask(&mut shard, actor, "erase", "e");
    let (ticket, _) = removes(&mut shard);
    commits(&mut shard, ticket, Err(StoreError::Broken));
    assert_eq!(heard(&shard, actor), "!e");
}

#[test]
fn what_a_disk_refused_that_has_just_filled_is_tried_once_more_by_itself() {
    for is_refused_again in [false, true] {
        let (mut shard, actor) = stage(100);
        ask(&mut shard, actor, "erase", "e");
        // It may have been committed with what another worker adds.
        let (ticket, keys) = removes(&mut shard);
        commits(&mut shard, ticket, Err(StoreError::DiskFull));
        assert_eq!(heard(&shard, actor), "");
        let (ticket, again) = removes(&mut shard);
        assert_eq!(again, keys);
        let outcome = match is_refused_again {
            true => Err(StoreError::DiskFull),
            false => Ok(()),
        };
        commits(&mut shard, ticket, outcome);
        assert_eq!(
            heard(&shard, actor),
            if is_refused_again { "!e" } else { "" }
        );
    }
}

#[test]
fn what_is_behind_refused_saves_time_and_again_is_given_up() {
    let (mut shard, actor) = stage(100);
    ask(&mut shard, actor, "erase", "e");
    let mut tried = 0;
    while heard(&shard, actor).is_empty() {
        let (ticket, _) = removes(&mut shard);
        tried += 1;
        assert!(tried <= 2, "it is tried without end");
        // Somebody else's was refused meanwhile.
        shard.unsave(Write::Put {
            table: &ARCHIVE,
            key: archive::key(OWNER, 7),
            value: [1][..].into(),
        });
        let (others, _) = saved(&mut shard).expect("a save");
        commits(&mut shard, others, Err(StoreError::DiskFull));
        commits(&mut shard, ticket, Err(StoreError::DiskFull));
    }
    assert_eq!((tried, heard(&shard, actor).as_str()), (2, "!e"));
}
