//! Queries, answered beside the mailbox: a step delivers as much as the stream has room for.

use std::sync::Arc;

use crate::actor::rows::{Pick, RowRange};
use crate::actor::{Outcome, Turn};
use crate::base::Sequence;
use crate::engine::archive::{self, ARCHIVE, Archived, Fields, Found, Page};
use crate::im::account::owner;
use crate::im::archive::{ArchiveId, Query, Quota, Reach, Search, with_archive};
use crate::im::{Account, Progress, iq};
use crate::jid::Jid;
use crate::stanza::{Header, Iq, Kind, PageAnswer, Payload, Stanza, Type, ns, reply_result, stamp};
use crate::xml::Writer;

/// Section 4.1.6: the fields of a query.
pub(super) fn fields(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    owner(turn)?;
    let mut writer = Writer::new();
    writer
        .open("query", Some(ns::MAM))
        .raw(&archive::form(known(turn)));
    answer(turn, iq, &writer.finish());
    Ok(())
}

/// Section 4: a query.
pub(super) fn query(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    let account = owner(turn)?;
    let aside = turn.aside()?;
    let Progress::Archive(search) = aside.progress else {
        // Read once, however many steps and runs there will be. Nothing else makes progress of a query.
        let mut query = Query::read(&iq.child(), known(turn), turn.seal)?;
        let reach = archive::begin(&query, oldest(turn))?;
        if let Some(with) = query.with {
            let quota = Quota::of(&turn.host.archive, turn.now);
            query.unindexed = with_archive(turn, account, |archive| {
                let entries = archive.unindexed(&quota);
                let entries = entries.filter(|entry| with.is_of(entry));
                entries.map(|entry| entry.number).collect()
            })?;
        }
        go_on(turn, Arc::new(query), reach);
        return Ok(());
    };
    let Search { query, reach } = &**search;
    match archive::step(turn, account, query, reach, aside.room)? {
        Found::Some(page, next) => {
            send(turn, iq, query, &page);
            go_on(turn, Arc::clone(query), next);
        }
        Found::Behind(writes, next) => {
            turn.out.write.extend(writes);
            go_on(turn, Arc::clone(query), next);
        }
        Found::Last(page, is) => {
            send(turn, iq, query, &page);
            let fin = fin(turn, &is);
            answer(turn, iq, &fin);
        }
    }
    Ok(())
}

fn go_on(turn: &mut Turn<'_, Account>, query: Arc<Query>, reach: Reach) {
    let search = Search { query, reach };
    turn.out.go_on(Progress::Archive(Box::new(search)));
}

/// Section 5: the first and the last message.
pub(super) fn metadata(turn: &mut Turn<'_, Account>, iq: Iq<'_>) -> Outcome {
    let account = owner(turn)?;
    turn.aside()?;
    let range = RowRange {
        count_max: 1,
        ..archive::range(account, oldest(turn), u64::MAX)
    };
    let (first, _) = turn.load_range(&ARCHIVE, &range)?;
    let (last, _) = turn.load_pick(&ARCHIVE, &Pick::Last(range))?;
    let mut writer = Writer::new();
    writer.open("metadata", Some(ns::MAM));
    // "If the archive is empty, the server MUST instead send an empty <metadata/> element."
    for (name, rows) in [("start", first), ("end", last)] {
        if let Some(found) = rows.first().and_then(Archived::read) {
            writer
                .open(name, None)
                .attribute("id", &found.id.text(turn.seal))
                .attribute("timestamp", &stamp(found.wall_ms()))
                .close();
        }
    }
    answer(turn, iq, &writer.finish());
    Ok(())
}

/// The number of the first message that the host still keeps. It is the same for an hour: a handler that runs again
/// asks for the rows that it asked for before, and pages begin where they began.
fn oldest(turn: &Turn<'_, Account>) -> u64 {
    match turn.host.archive.retention.as_ms() {
        0 => 0,
        retention_ms => {
            let since_ms = turn.now.wall_ms.saturating_sub(retention_ms);
            Sequence::first_at(since_ms - since_ms % HOUR_MS)
        }
    }
}

fn known(turn: &Turn<'_, Account>) -> Fields {
    if turn.catalog.has("fulltext") {
        Fields::WithFulltext
    } else {
        Fields::Plain
    }
}

fn send(turn: &mut Turn<'_, Account>, iq: Iq<'_>, query: &Query, page: &[Archived<'_>]) {
    let to = iq.header().from.as_ref();
    let session = to
        .and_then(Jid::resourcepart)
        .and_then(|resource| turn.actor.resource(resource))
        .map(|session| session.id);
    let Some(session) = session else {
        return;
    };
    for found in page {
        let header = Header {
            from: Some(turn.actor.jid.clone()),
            to: to.cloned(),
            trace: iq.header().trace,
            ..Header::new(Kind::Message, Type::Normal)
        };
        let payload = Payload::from_normal(&result(turn, query, found));
        turn.out.deliver(session, Stanza { header, payload });
    }
}

/// Section 4.2.
fn result(turn: &Turn<'_, Account>, query: &Query, found: &Archived<'_>) -> String {
    let mut writer = Writer::new();
    writer.open("result", Some(ns::MAM));
    // "If the client gave a 'queryid' attribute in its initial query, the server MUST also include that".
    if let Some(query_id) = &query.query_id {
        writer.attribute("queryid", query_id);
    }
    writer
        .attribute("id", &found.id.text(turn.seal))
        .open("forwarded", Some(ns::FORWARD))
        .open("delay", Some(ns::DELAY))
        .attribute("stamp", &stamp(found.wall_ms()))
        .close()
        .raw(found.xml);
    writer.finish()
}

/// Section 4.3.
fn fin(turn: &Turn<'_, Account>, page: &Page) -> String {
    let mut writer = Writer::new();
    writer.open("fin", Some(ns::MAM));
    if page.complete {
        writer.attribute("complete", "true");
    }
    let text =
        |(first, last): (ArchiveId, ArchiveId)| (first.text(turn.seal), last.text(turn.seal));
    let answer = PageAnswer {
        ends: page.ends.map(text),
        count: page.count.map(u64::from),
    };
    answer.write(&mut writer);
    writer.finish()
}

/// Answers in the account's name, also where the request named nobody: what comes from one address comes in order. As
/// the results before it, it does not pass the account's mailbox, where a full one would lose it.
pub(super) fn answer(turn: &mut Turn<'_, Account>, iq: Iq<'_>, xml: &str) {
    let mut reply = reply_result(iq.stanza(), Payload::from_normal(xml));
    let account = turn.actor.jid.clone();
    reply.header.from.get_or_insert(account);
    match iq::requester(turn.actor, iq) {
        Some(session) => turn.out.deliver(session.id, reply),
        None => turn.out.send(reply),
    }
}

const HOUR_MS: u64 = 3_600_000;
