//! A command with which users empty their archive, beside the mailbox: a step removes as much as a search reads, and the
//! next begins when that is durable. It goes on when its user is gone, and in the next process (`shard/emptying.rs`).

use crate::actor::{Answers, Command, Field, Outcome, Page, Report, Stop, Turn};
use crate::base::{AccountId, limits};
use crate::engine::archive::{self, ARCHIVE, INDEXED};
use crate::im::account::{is_user, owner};
use crate::im::archive::{Emptying, key, with_archive};
use crate::im::{Account, Change, Progress};
use crate::stanza::FieldType;

use crate::actor::rows::RowRange;

pub(super) const COMMAND: Command<Account> = Command {
    node: "delete-archive",
    name: "Delete your archived messages",
    may_run: is_user,
    pages: &[Page {
        instructions: "All messages that the server keeps for you are removed, from your archive only. This cannot be taken back.",
        fields: &[Field::new("confirm", "Remove them all", FieldType::Boolean)],
    }],
    run,
};

fn run(turn: &mut Turn<'_, Account>, answers: &Answers) -> Result<Report, Stop> {
    if !answers.says_yes("confirm")? {
        return Ok(Report::failed("Nothing was removed"));
    }
    let account = owner(turn)?;
    // What comes from now on stays. It waits for its turn as what is to be done though its user goes.
    let until = turn.sequence.next(turn.now);
    go_on_from(turn, account, (0, until, 0));
    let Progress::Erasing {
        from, until, count, ..
    } = *turn.aside()?.progress
    else {
        return Ok(Report::failed("Nothing was removed"));
    };
    match step(turn, account, (from, until, count))? {
        Some(left) => {
            go_on_from(turn, account, left);
            Err(Stop::Done)
        }
        None => {
            turn.out.more = None;
            Ok(match count {
                1 => Report::done("One message was removed"),
                count => Report::done(format!("{count} messages were removed")),
            })
        }
    }
}

/// A step whose user is gone, or of which a server began that is gone.
///
/// # Errors
/// Parks until the messages were read.
pub fn go_on(turn: &mut Turn<'_, Account>) -> Outcome {
    let Progress::Erasing {
        of,
        from,
        until,
        count,
    } = *turn.aside()?.progress
    else {
        return Ok(());
    };
    // Whoever has the name now is not whose archive this is: that goes with its account.
    match owner(turn) {
        Ok(account) if account == of => {}
        Ok(_) | Err(Stop::Reject(_)) => return Ok(()),
        Err(stop) => return Err(stop),
    }
    if let Some(left) = step(turn, of, (from, until, count))? {
        go_on_from(turn, of, left);
    }
    Ok(())
}

fn go_on_from(turn: &mut Turn<'_, Account>, of: AccountId, (from, until, count): (u64, u64, u64)) {
    turn.out.go_on(Progress::Erasing {
        of,
        from,
        until,
        count,
    });
}

/// Removes some, and keeps what says that there are more; what is left then.
fn step(
    turn: &mut Turn<'_, Account>,
    account: AccountId,
    reached: (u64, u64, u64),
) -> Result<Option<(u64, u64, u64)>, Stop> {
    let left = remove(turn, account, reached)?;
    let (from, until, _) = reached;
    match left {
        Some(_) if from == 0 => {
            let owner = turn.actor.jid.clone();
            let emptying = Emptying {
                account,
                owner,
                until,
            };
            turn.out.write.push(emptying.put());
        }
        Some(_) => {}
        None => turn.out.write.push(Emptying::done(account, until)),
    }
    Ok(left)
}

/// Removes the first messages between two numbers, of which so many are gone; what is left then, none if nothing was
/// left before.
fn remove(
    turn: &mut Turn<'_, Account>,
    account: AccountId,
    (from, until, count): (u64, u64, u64),
) -> Result<Option<(u64, u64, u64)>, Stop> {
    let range = RowRange {
        count_max: limits::ARCHIVE_TRIM_COUNT,
        // What was removed before is not stepped over again.
        ..archive::range(account, from, until)
    };
    let (rows, _) = turn.load_range(&ARCHIVE, &range)?;
    let Some(first) = rows.first().and_then(|row| archive::number_of(&row.key)) else {
        return Ok(None);
    };
    // Behind the messages: nothing of them is indexed that this does not know of.
    let mark = turn.load(&INDEXED, &key(account))?;
    let indexed_before = archive::indexed_before(mark);
    let mut tally = with_archive(turn, account, |archive| archive.tally.clone())?;
    let (mut last, mut gone) = (first, 0);
    for row in rows {
        if turn.out.write.len() >= limits::ARCHIVE_ERASE_WRITES {
            break;
        }
        // "From your archive only": what no client has yet is owed all the same.
        turn.out.write.extend(archive::rescue(row, turn.seal));
        let writes = archive::erase(account, row, indexed_before);
        turn.out.write.extend(writes);
        gone += 1;
        if let Some(number) = archive::number_of(&row.key) {
            tally.remove(number, row.value.len() as u64);
            last = number;
        }
    }
    turn.out
        .write
        .extend(tally.rows_between(account, first, last));
    turn.out.change.push(Change::ArchiveTally(Box::new(tally)));
    Ok(Some((last.saturating_add(1), until, count + gone)))
}
