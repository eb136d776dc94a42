//! The directories of the configured hosts, put together with the accounts. Refuses to know LDAP.

use std::path::PathBuf;
use std::sync::Arc;

use super::settings::beside_config;
use crate::actor::rows::StoreError;
use crate::audit::Audit;
use crate::auth::{Accounts, AuthService, Known, prepared};
use crate::base::limits;
use crate::config::{Config, ConfigError};
use crate::directory::prepared::{Prepared, prepare};
use crate::directory::service::AnswerPort;
use crate::directory::{Admission, Desk, DirectoryService};
use crate::jid::Jid;
use crate::shard::Control;
use crate::worker::{Address, Clock, Order};

/// Reads what the directories of a configuration need. `path` is its file.
///
/// # Errors
/// Everything that is wrong with any of them.
pub fn prepare_directories(
    config: &Config,
    path: Option<&std::path::Path>,
) -> Result<Vec<Prepared>, Vec<ConfigError>> {
    let beside = |name: &str| -> PathBuf { beside_config(path, name) };
    prepare(config, &beside).map_err(|errors| {
        let places = config.places();
        let place = |(index, option, message): (usize, String, String)| {
            places.error(&format!("host[{index}].{option}"), message)
        };
        errors.into_iter().map(place).collect()
    })
}

/// Starts asking them.
///
/// # Errors
/// A sentence for the operator.
pub fn start_directories(
    prepared: Vec<Prepared>,
    addresses: &[Address],
    accounts: &Arc<Accounts>,
    auth: &Arc<AuthService>,
    clock: &Clock,
    audit: &Audit,
) -> Result<Arc<DirectoryService>, String> {
    let mut ports: Vec<AnswerPort> = Vec::with_capacity(addresses.len());
    for address in addresses {
        let address = address.clone();
        ports.push(Arc::new(move |ticket, answer| {
            address.answer(ticket, answer)
        }));
    }
    let desk = desk(accounts, auth, clock, addresses, audit);
    let service = DirectoryService::start(prepared, ports, desk);
    service.map_err(|error| format!("directory threads: {error}"))
}

fn desk(
    accounts: &Arc<Accounts>,
    auth: &Arc<AuthService>,
    clock: &Clock,
    addresses: &[Address],
    audit: &Audit,
) -> Desk {
    let (lists, addresses) = (Arc::clone(accounts), addresses.to_vec());
    let known = || Arc::clone(accounts);
    let (admits, decoys, rows, changes, renews) = (known(), known(), known(), known(), known());
    let (meets, parts, leaves) = (known(), known(), known());
    let (shapes, keys) = (known(), known());
    let (auth, clock) = (Arc::clone(auth), clock.clone());
    let tells = addresses.clone();
    let (audit, audits_at, ends_at) = (audit.clone(), clock.clone(), clock.clone());
    Desk {
        admit: Box::new(move |host, localpart, unique, stamp| {
            let admitted = admits.admit_known(host, localpart, unique, stamp)?;
            Ok(match admitted {
                Known::AnotherEntry => Admission::AnotherEntry,
                Known::Closed => Admission::Closed,
                Known::In(account) => Admission::In(account),
            })
        }),
        decoy: Box::new(move |host, localpart, hash| decoys.decoy_keys(host, localpart, hash)),
        note_shape: Box::new(move |host, shape| shapes.note_shape(host, shape)),
        new_keys: Box::new(move |password, shape| keys.keys_for_directory(password, shape)),
        row: Box::new(move |key| rows.account_row(key)),
        may_change: Box::new(move |id, prefix| {
            changes.may_change_password(id, prefix, clock.now())
        }),
        meet: Box::new(move |host, localpart, sight| meets.meet_known(host, localpart, sight)),
        parting: Box::new(move |host, localpart, leaver| parts.parting(host, localpart, leaver)),
        let_go: Box::new(move |host, localpart, leaver| {
            leaves.let_known_go(host, localpart, leaver)
        }),
        renew: Box::new(move |host, localpart, id, stamp| {
            renews.renew_known(host, localpart, id, stamp)
        }),
        accounts: Box::new(move |host, after| {
            let page = lists.list(host, after, limits::DIRECTORY_SWEEP_PAGE);
            let (page, _) = page.map_err(|_| StoreError::Broken)?;
            let named = page.into_iter().map(|it| (it.localpart, it.account.id));
            Ok(named.collect())
        }),
        end: Box::new(move |host, localpart, account| {
            let Ok(jid) = Jid::from_parts(Some(localpart), host, None) else {
                return;
            };
            let at_ms = ends_at.now().mono_ms;
            for address in &addresses {
                let control = Control::Disconnect(jid.clone(), account, at_ms);
                address.order(Order::Control(control));
            }
        }),
        prepare: prepared,
        publish: Box::new(move |host, groups| {
            for address in &tells {
                let control = Control::Groups(Arc::clone(host), groups.clone());
                address.order(Order::Control(control));
            }
            for address in &tells {
                let control = Control::GroupsTold(Arc::clone(host));
                address.order(Order::Control(control));
            }
        }),
        audit: Box::new(move |event| audit.record(audits_at.now().wall_ms, event)),
        pass_on: Box::new(move |worker, ticket, ask| auth.ask(worker, ticket, ask)),
    }
}
