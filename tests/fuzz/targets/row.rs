//! Any bytes as stored rows of every table: an error, never a panic; and what is read is written as it was. The
//! first byte of the input chooses the table.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use stonechat::actor::rows::RowKey;
use stonechat::im::credentials::{AccountRow, TombstoneRow};
use stonechat::im::pending;
use stonechat::jid::Jid;

static HOST: LazyLock<Jid> = LazyLock::new(|| Jid::domain("localhost").expect("a domain"));

fuzz_target!(|data: &[u8]| {
    let Some((&choice, bytes)) = data.split_first() else {
        return;
    };
    match choice % 4 {
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
            if let Some(stanza) = pending::decode(bytes, &HOST) {
                // Kept again, as when its receiver dies: what was written can be read.
                let again = pending::encode(&stanza, 0);
                assert!(pending::decode(&again, &HOST).is_some());
            }
        }
        _ => {
            let number = pending::number(&RowKey::new(bytes));
            assert_eq!(number.is_some(), bytes.len() >= 16);
        }
    }
});
