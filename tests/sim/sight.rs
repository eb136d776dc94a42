//! What tests look at: queues, rows, archives, who is here. Changes nothing.

use stonechat::actor::Answer;
use stonechat::actor::rows::{Row, RowKey, RowRange, Table};
use stonechat::base::{AccountId, HashSeed, WorkerId};
use stonechat::engine::archive::{self, ARCHIVE};
use stonechat::im::credentials::{ACCOUNT, AccountRow, name_key};
use stonechat::im::subscription::REQUEST;
use stonechat::jid::Jid;
use stonechat::shard::Routes;
use stonechat::store::Request;

use super::World;

impl World {
    /// Every queue is below its bound.
    pub fn assert_bounds(&self) {
        for (at, worker) in self.workers.iter().enumerate() {
            let overflows = worker.shard.overflows();
            assert!(overflows.is_empty(), "worker {at}: {overflows:?}");
        }
    }

    /// On which worker an account lives.
    pub fn home(&self, localpart: &str) -> WorkerId {
        let jid = Jid::parse(&format!("{localpart}@localhost")).expect("a prepared name");
        Routes::new(HashSeed(7, 7), self.workers.len() as u8).home(&jid)
    }

    /// At rest nothing is left over: no question, no envelope, no byte.
    pub fn assert_rest(&self) {
        for (at, worker) in self.workers.iter().enumerate() {
            assert_eq!(
                worker.shard.open_questions(),
                0,
                "worker {at} has open questions"
            );
            for to in 0..self.workers.len() {
                assert!(
                    worker.shard.outbox_is_empty(WorkerId(to as u8)),
                    "worker {at} kept mail"
                );
            }
        }
        for (at, conn) in self.conns.iter().enumerate() {
            assert!(
                !(conn.dirty || conn.unwritten) || conn.stalled,
                "connection {at} has queued bytes"
            );
        }
    }

    /// Bytes that wait in the queues of all workers.
    pub fn queued_bytes(&self) -> usize {
        self.workers
            .iter()
            .map(|worker| worker.shard.queued_bytes())
            .sum()
    }

    /// How many rows a table has.
    pub fn row_count(&self, table: &'static Table) -> usize {
        self.rows(table).len()
    }

    /// Rows of a table.
    pub fn rows(&self, table: &'static Table) -> Vec<Row> {
        let range = RowRange {
            from: RowKey::new(&[]),
            to: RowKey::new(&[0xff; 16]),
            count_max: usize::MAX,
            bytes_max: usize::MAX,
        };
        match self.store.lock().apply(Request::Range { table, range }) {
            Answer::Range { rows, .. } => rows,
            other => panic!("the rows cannot be read: {other:?}"),
        }
    }

    /// Who asked an account for a subscription and was not answered.
    pub fn requests(&self, localpart: &str) -> Vec<String> {
        let account = self.account_id(localpart);
        let range = RowRange {
            from: RowKey::new(&account.0.to_be_bytes()),
            to: RowKey::new(&(account.0 + 1).to_be_bytes()),
            count_max: usize::MAX,
            bytes_max: usize::MAX,
        };
        let table = &REQUEST;
        match self.store.lock().apply(Request::Range { table, range }) {
            Answer::Range { rows, .. } => rows
                .iter()
                .map(|row| String::from_utf8_lossy(&row.key.as_bytes()[8..]).into_owned())
                .collect(),
            other => panic!("the requests cannot be read: {other:?}"),
        }
    }

    /// The number of an account.
    pub fn account_id(&self, localpart: &str) -> AccountId {
        let key = name_key("localhost", localpart);
        let row = self.store.lock().apply(Request::Row {
            table: &ACCOUNT,
            key,
        });
        let Answer::Row(Some(row)) = row else {
            panic!("there is no account {localpart}: {row:?}");
        };
        let row = AccountRow::decode(&row).expect("an account's row");
        row.account.id
    }

    /// The messages in the archive of an account, oldest first, in XML.
    pub fn archive(&self, localpart: &str) -> Vec<String> {
        let range = RowRange {
            bytes_max: usize::MAX,
            ..archive::range(self.account_id(localpart), 0, u64::MAX)
        };
        let table = &ARCHIVE;
        match self.store.lock().apply(Request::Range { table, range }) {
            Answer::Range { rows, .. } => rows
                .iter()
                .map(|row| archive::Archived::read(row).expect("an archived message"))
                .map(|found| found.xml.to_string())
                .collect(),
            other => panic!("the archive cannot be read: {other:?}"),
        }
    }

    pub fn stream_count(&self) -> usize {
        self.workers
            .iter()
            .map(|worker| worker.shard.stream_count())
            .sum()
    }

    pub fn resident_accounts(&self) -> usize {
        self.workers
            .iter()
            .map(|worker| worker.shard.resident_accounts())
            .sum()
    }
}
