//! XEP-0160: Best Practices for Handling Offline Messages, version 1.0.1; XEP-0203: Delayed Delivery, version
//! 2.0; XEP-0334: Message Processing Hints, version 1.0.0; and what concerns a server in XEP-0085: Chat State
//! Notifications, version 2.1; XEP-0184: Message Delivery Receipts, version 1.4.0; XEP-0333: Displayed Markers, version
//! 1.0.0. The work is done in `im/classify.rs`, `im/pending.rs` and `im/message.rs`. Scenarios:
//! `tests/scenarios/offline.xmpp`
//!
//! | section | item |
//! |---|---|
//! | 0184 5, 0333 4 receipts and markers | `im/classify.rs`: carried, never made; not kept where they stand alone |
//! | 0334 4 hints | `im/classify.rs`: what is kept, archived and copied |
//! | 0085 5.6 states alone are not stored | `im/classify.rs`, as for receipts and markers; all three are carried and never made |
//! | 0203 4 delays in this server's name | `im::message::strip_forged` |

use std::collections::BTreeMap;

use super::NONE;
use crate::actor::rows::{Pick, Row, RowKey, RowRange};
use crate::actor::{Feature, Spec, Stop, Turn};
use crate::base::{AccountId, limits};
use crate::engine::archive::{ARCHIVE, Waiting, waiting};
use crate::im::pending::{self, MARK, PENDING};
use crate::im::{Account, account, blocking};
use crate::jid::Jid;
use crate::stanza::ns;

pub const OFFLINE: Feature<Account> = Feature {
    name: "offline",
    specs: &[
        Spec::xep(85, "2.1"),
        Spec::xep(160, "1.0.1"),
        Spec::xep(184, "1.4.0"),
        Spec::xep(203, "2.0"),
        Spec::xep(333, "1.0.0"),
        Spec::xep(334, "1.0.0"),
    ],
    host_disco: &[ns::OFFLINE_FEATURE, ns::DELAY],
    portable: Some(portable),
    ..NONE
};

/// XEP-0227 section 4.5: "all the stored messages to the user, if any, as <message/> elements qualified by the
/// 'jabber:client' namespace, starting with the oldest". Not those of who is blocked, which nobody will get.
fn portable(turn: &mut Turn<'_, Account>) -> Result<String, Stop> {
    let account = account::identify(turn)?;
    let Ok(host) = Jid::domain(turn.actor.jid.domainpart()) else {
        return Ok(String::new());
    };
    let mut xml = b"<offline-messages>".to_vec();
    let empty = xml.len();
    for row in waiting_rows(turn, account)? {
        let Waiting::Message(stanza) = waiting(&row, &host, turn.seal) else {
            continue;
        };
        let is_unwanted = match &stanza.header.from {
            Some(from) => blocking::is_blocked(turn, from)?,
            None => false,
        };
        if !is_unwanted && xml.len() < limits::EXPORT_BYTES_MAX {
            stanza.write_standalone(&mut xml);
        }
    }
    if xml.len() == empty {
        return Ok(String::new());
    }
    xml.extend_from_slice(b"</offline-messages>");
    Ok(String::from_utf8(xml).expect("written from strings and ASCII only"))
}

/// The rows of what waits, each mark with what the archive has under its number; as many as an export may hold.
fn waiting_rows(turn: &mut Turn<'_, Account>, account: AccountId) -> Result<Vec<Row>, Stop> {
    let range = RowRange {
        count_max: turn.config.delivery.offline_count as usize,
        bytes_max: limits::EXPORT_BYTES_MAX,
        ..pending::range(account, 0, u64::MAX)
    };
    let (rows, _) = turn.load_range(&PENDING, &range)?;
    let is_mark = |row: &&Row| row.value.first() == Some(&MARK);
    let mut wanted: Vec<RowKey> = rows
        .iter()
        .filter(is_mark)
        .map(|row| row.key.clone())
        .collect();
    let mut archived: BTreeMap<RowKey, &[u8]> = BTreeMap::new();
    let mut bytes = 0;
    while !wanted.is_empty() && bytes < limits::EXPORT_BYTES_MAX {
        let (found, more) = turn.load_pick(&ARCHIVE, &Pick::Rows(wanted.clone()))?;
        bytes += found.iter().map(|row| row.value.len()).sum::<usize>();
        archived.extend(found.iter().map(|row| (row.key.clone(), &row.value[..])));
        match found.last() {
            Some(last) if more => wanted.retain(|key| *key > last.key),
            _ => break,
        }
    }
    let joined = rows.iter().map(|row| Row {
        key: row.key.clone(),
        value: [
            &row.value[..],
            archived.get(&row.key).copied().unwrap_or_default(),
        ]
        .concat(),
    });
    Ok(joined.collect())
}
