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
pub fn rows(account: AccountId, contacts: &[String]) -> Result<Vec<Write>> {
    let row = |(number, name): (u64, &String)| {
        let jid = Jid::parse(&format!("{name}@localhost"));
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
            .save_now(rows(row.account.id, &contacts)?)
            .map_err(failed)?;
    }
    Ok(())
}
