//! A command with which users empty their archive, beside the mailbox: a step removes as much as a search reads, and the
//! next begins when that is durable. It goes on when its user is gone.

use crate::actor::{Answers, Command, Field, Outcome, Page, Report, Stop, Turn};
use crate::base::{AccountId, limits};
use crate::engine::archive::{self, ARCHIVE};
use crate::im::account::{is_user, owner};
use crate::im::archive::with_archive;
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
    let aside = turn.aside()?;
    let reached = match aside.progress {
        Progress::Erasing { from, until, count } => (*from, *until, *count),
        // What comes from now on stays.
        _ => (0, turn.sequence.last().saturating_add(1), 0),
    };
    let Some((from, until, count)) = remove(turn, account, reached)? else {
        return Ok(match reached.2 {
            1 => Report::done("One message was removed"),
            count => Report::done(format!("{count} messages were removed")),
        });
    };
    turn.out.go_on(Progress::Erasing { from, until, count });
    Err(Stop::Done)
}

/// A step whose user is gone.
///
/// # Errors
/// Parks until the messages were read.
pub fn go_on(turn: &mut Turn<'_, Account>) -> Outcome {
    let account = owner(turn)?;
    let aside = turn.aside()?;
    let Progress::Erasing { from, until, count } = *aside.progress else {
        return Ok(());
    };
    if let Some((from, until, count)) = remove(turn, account, (from, until, count))? {
        turn.out.go_on(Progress::Erasing { from, until, count });
    }
    Ok(())
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
    let ends = rows.first().zip(rows.last());
    let ends = ends.and_then(|(first, last)| {
        archive::number_of(&first.key).zip(archive::number_of(&last.key))
    });
    let Some((first, last)) = ends else {
        return Ok(None);
    };
    let mut tally = with_archive(turn, account, |archive| archive.tally.clone())?;
    for row in rows {
        turn.out.write.extend(archive::erase(account, row));
        if let Some(number) = archive::number_of(&row.key) {
            tally.remove(number, row.value.len() as u64);
        }
    }
    turn.out
        .write
        .extend(tally.rows_between(account, first, last));
    turn.out.change.push(Change::ArchiveTally(Box::new(tally)));
    let count = count + rows.len() as u64;
    Ok(Some((last.saturating_add(1), until, count)))
}
