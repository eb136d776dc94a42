//! Rosters, written into the store as the server would have written them, because a hundred thousand subscriptions take
//! minutes over the wire. Refuses to know what they are for.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use stonechat::actor::rows::Write;
use stonechat::base::AccountId;
use stonechat::im::credentials::{ACCOUNT, AccountRow, name_key};
use stonechat::im::roster::{ROSTER, RosterItem, Standing};
use stonechat::jid::Jid;
use stonechat::server::rows::{TABLES, store_directory};
use stonechat::store::{Store, StoreOptions};

/// Who is in a roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Who {
    /// Users whose numbers are next to the own, on a ring: everybody has as many, and all are mutual.
    Neighbours,
    /// Names that nobody uses.
    Offline,
}

/// The local part of a user's address, as the load driver has it.
pub fn user_name(user: u32) -> String {
    format!("u{user:05}")
}

/// The local parts of a user's contacts.
pub fn contacts(who: Who, user: u32, users: u32, count: u32) -> Vec<String> {
    let near = (1..=count / 2).flat_map(|step| [step, users - step]);
    match who {
        Who::Neighbours => near.map(|step| user_name((user + step) % users)).collect(),
        // Different ones for everybody, as they are different people.
        Who::Offline => (0..count)
            .map(|number| format!("c{:05}", (user * 7 + number * 101) % 100_000))
            .collect(),
    }
}

/// The rows of a roster, without a head: that comes with the first change.
pub fn rows(account: AccountId, host: &str, contacts: &[String]) -> Result<Vec<Write>> {
    let row = |(number, name): (u64, &String)| {
        let jid = Jid::parse(&format!("{name}@{host}"));
        let mut item = RosterItem::unknown(jid.ok().context("a name that is no address")?);
        item.name = format!("Contact of number {number}");
        item.groups = vec!["Friends".to_owned()];
        item.version = number;
        item.standing = Standing {
            to: true,
            from: true,
            listed: true,
            ..Standing::default()
        };
        let row = item.row(account);
        Ok(Write::Put {
            table: &ROSTER,
            key: row.key,
            value: Arc::from(row.value),
        })
    };
    (1..).zip(contacts).map(row).collect()
}

/// Whose accounts are made, and whom they know.
pub struct Copies<'a> {
    pub host: &'a str,
    pub users: u32,
    /// Contacts of each.
    pub contacts: u32,
    /// Users of one ring; contacts are within it.
    pub community: u32,
}

/// Makes the accounts `u00001` and up as copies of `u00000`, and the rosters of all: a million passwords would take an
/// hour to derive keys from.
pub fn copy(data: &Path, wanted: &Copies<'_>) -> Result<()> {
    let Copies {
        host,
        users,
        contacts: count,
        community,
    } = *wanted;
    ensure!(
        count < community && count.is_multiple_of(2),
        "an even number of contacts, fewer than there are users on a ring"
    );
    ensure!(
        community <= users && users.is_multiple_of(community),
        "whole communities"
    );
    let store = Store::open(StoreOptions::at(store_directory(data)), TABLES, Vec::new())?;
    let failed = |error| anyhow::anyhow!("the store refuses: {error:?}");
    let row = store.row_now(&ACCOUNT, &name_key(host, &user_name(0)));
    let row = row.map_err(failed)?.context("there is no account u00000")?;
    let mut account = AccountRow::decode(&row).map_err(|_| anyhow::anyhow!("a damaged row"))?;
    let mut writes = Vec::new();
    for user in 0..users {
        if user > 0 {
            account.account.id = AccountId(store.next_number("account").map_err(failed)?);
            writes.push(Write::Put {
                table: &ACCOUNT,
                key: name_key(host, &user_name(user)),
                value: Arc::from(account.encode()),
            });
        }
        let first = user - user % community;
        let near = (1..=count / 2).flat_map(|step| [step, community - step]);
        let contacts: Vec<String> = near
            .map(|step| user_name(first + (user - first + step) % community))
            .collect();
        writes.extend(rows(account.account.id, host, &contacts)?);
        if writes.len() >= WRITES_AT_ONCE || user + 1 == users {
            let batch = std::mem::take(&mut writes);
            store.save_now(batch).map_err(failed)?;
        }
    }
    Ok(())
}

/// Each batch waits for the disk.
const WRITES_AT_ONCE: usize = 20_000;

/// Writes the rosters of the accounts `u00000` and up.
pub fn fill(data: &Path, users: u32, count: u32, who: Who) -> Result<()> {
    ensure!(
        who == Who::Offline || (count < users && count.is_multiple_of(2)),
        "an even number of contacts, fewer than there are users"
    );
    let options = StoreOptions::at(store_directory(data));
    let store = Store::open(options, TABLES, Vec::new())?;
    let failed = |error| anyhow::anyhow!("the store refuses: {error:?}");
    for user in 0..users {
        let name = user_name(user);
        let row = store.row_now(&ACCOUNT, &name_key("localhost", &name));
        let row = row.map_err(failed)?;
        let row = row.with_context(|| format!("there is no account {name}"))?;
        let row = AccountRow::decode(&row).map_err(|_| anyhow::anyhow!("a damaged row"))?;
        let contacts = contacts(who, user, users, count);
        store
            .save_now(rows(row.account.id, "localhost", &contacts)?)
            .map_err(failed)?;
    }
    Ok(())
}
