//! Any bytes as stored rows of every table: an error, never a panic; and what is read is written as it was. The
//! first byte of the input chooses the table.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use stonechat::actor::rows::{Row, RowKey};
use stonechat::base::AccountId;
use stonechat::engine::archive::{self, Archived, Posting};
use stonechat::im::archive::{ArchiveTally, Entry, Preferences};
use stonechat::im::blocking::Blocklist;
use stonechat::im::credentials::{AccountRow, TombstoneRow};
use stonechat::im::roster::{Record, Roster};
use stonechat::im::{outgoing, pending, subscription};
use stonechat::jid::Jid;

static HOST: LazyLock<Jid> = LazyLock::new(|| Jid::domain("localhost").expect("a domain"));

fuzz_target!(|data: &[u8]| {
    let Some((&choice, bytes)) = data.split_first() else {
        return;
    };
    match choice % 10 {
        0 => {
            if let Ok(row) = AccountRow::decode(bytes) {
                assert_eq!(row.encode(), bytes);
            }
        }
        1 => {
            if let Ok(row) = TombstoneRow::decode(bytes) {
                assert_eq!(row.encode(), bytes);
            }
        }
        2 => {
            if let Some(pending::Found::Whole(stanza)) = pending::decode(bytes, &HOST) {
                // Kept again, as when its receiver dies: what was written can be read.
                let again = pending::encode(&stanza, 0);
                assert!(pending::decode(&again, &HOST).is_some());
            }
        }
        3 => {
            if let Some(stanza) = subscription::request::decode(bytes) {
                assert!(!stanza.header.kind.name().is_empty());
            }
        }
        4 | 5 => {
            // A key of a length that the input chooses, and the value behind it.
            let Some((&split, bytes)) = bytes.split_first() else {
                return;
            };
            let (key, value) = bytes.split_at(usize::from(split).min(bytes.len()));
            let row = Row {
                key: RowKey::new(key),
                value: value.to_vec(),
            };
            if let Some(Record::Item(item)) = Record::decode(&row) {
                let roster = Roster::read(&[item.row(AccountId(0))], "localhost");
                assert!(!item.is_kept() || roster.find(&item.jid, "localhost").is_some());
            }
            let _ = outgoing::decode(&row);
        }
        6 => {
            let row = Row {
                key: archive::key(AccountId(1), 2),
                value: bytes.to_vec(),
            };
            if let Some(archived) = Archived::read(&row) {
                let _ = archive::tombstone(AccountId(1), &archived, "r", 0);
            }
            let _ = archive::erase(AccountId(1), &row, u64::MAX);
            if let Some(old) = archive::FirstForm::read(&row) {
                let _ = (old.contacts().count(), old.renewed(None));
            }
            let _ = Posting::read(&row).count();
            let _ = Entry::read(&row);
            let _ = ArchiveTally::read(&[row]);
        }
        7 => {
            if let Some(preferences) = Preferences::decode(bytes) {
                assert_eq!(
                    Preferences::decode(&preferences.encode()),
                    Some(preferences)
                );
            }
        }
        8 => {
            if let Some(list) = Blocklist::decode(bytes) {
                assert_eq!(Blocklist::decode(&list.encode()), Some(list));
            }
        }
        _ => {
            let number = pending::number(&RowKey::new(bytes));
            assert_eq!(number.is_some(), bytes.len() >= 16);
        }
    }
});
