//! A command with which users empty their archive, beside the mailbox: a step removes as much as a search reads.

use crate::actor::{Answers, Command, Field, Page, Report, Stop, Turn};
use crate::base::{Sequence, limits};
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
    let (until, count) = match aside.progress {
        Progress::Erasing { until, count } => (*until, *count),
        _ => {
            // What comes from now on stays.
            let until = Sequence::first_at(turn.now.wall_ms + 1);
            return go_on(turn, until, 0);
        }
    };
    let range = RowRange {
        count_max: limits::ARCHIVE_TRIM_COUNT,
        ..archive::range(account, 0, until)
    };
    let (rows, _) = turn.load_range(&ARCHIVE, &range)?;
    if rows.is_empty() {
        return Ok(match count {
            1 => Report::done("One message was removed"),
            count => Report::done(format!("{count} messages were removed")),
        });
    }
    let mut tally = with_archive(turn, account, |archive| archive.tally.clone())?;
    for row in rows {
        turn.out.write.extend(archive::erase(account, row));
        if let Some(number) = archive::number_of(&row.key) {
            tally.remove(number, row.value.len() as u64);
        }
    }
    let ends = rows.first().zip(rows.last());
    let ends = ends.and_then(|(first, last)| {
        archive::number_of(&first.key).zip(archive::number_of(&last.key))
    });
    if let Some((first, last)) = ends {
        let writes = tally.rows_between(account, first, last);
        turn.out.write.extend(writes);
    }
    turn.out.change.push(Change::ArchiveTally(Box::new(tally)));
    go_on(turn, until, count + rows.len() as u64)
}

fn go_on(turn: &mut Turn<'_, Account>, until: u64, count: u64) -> Result<Report, Stop> {
    turn.out.go_on(Progress::Erasing { until, count });
    Err(Stop::Done)
}
