//! What is done on the store of a server that is not running. Refuses to open a store that is in use (the
//! store itself sees to that) and to make one where none is needed.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::joined;
use crate::audit::Audit;
use crate::auth::{Accounts, AuthSettings};
use crate::base::{HashSeed, Now, Rng, Secret};
use crate::config::Config;
use crate::server::accounts::AccountDesk;
use crate::server::command::UserCommand;
use crate::server::rows::{TABLES, account_rows, purge, store_directory};
use crate::server::settings::read_config;
use crate::store::{Store, StoreOptions};

/// Does an account command.
///
/// # Errors
/// A sentence for the operator.
pub fn user(
    config: Option<&Path>,
    data: &Path,
    command: UserCommand,
) -> Result<Vec<String>, String> {
    let config = read_config(config).map_err(|errors| joined(&errors))?;
    crate::server::log::start("warn");
    let store = open(&config, data)?;
    // No client is answered here, so the fakes for unknown users need not be the server's.
    let mut rng = Rng::from_seed(random()?);
    let mut secret = vec![0; 32];
    rng.fill(&mut secret);
    let settings = AuthSettings::from(&config);
    let seed = HashSeed(rng.next_u64(), rng.next_u64());
    let accounts = Accounts::new(
        account_rows(&store),
        settings,
        Secret::new(secret),
        seed,
        rng,
    );

    let (audit, sink) = if config.audit.file.is_empty() {
        (Audit::none(), None)
    } else {
        let path = data.join(&config.audit.file);
        let opened = Audit::open(&path, config.audit.when_full);
        let (audit, sink) =
            opened.map_err(|error| format!("audit file {}: {error}", path.display()))?;
        (audit, Some(sink))
    };
    let now = now();
    let desk = AccountDesk {
        accounts: &accounts,
        config: &config,
        now,
        // There are no sessions to end.
        disconnect: &|_| {},
        purge: &|account| {
            if let Err(error) = purge(&store, TABLES, account) {
                log::error!(
                    "account_purge_failed account={} error=\"{error}\"",
                    account.0
                );
            }
        },
        audit: &|event| audit.record(now.wall_ms, event),
    };
    let outcome = desk.run(command);
    audit.stop();
    if let Some(sink) = sink {
        // A panic there has said so on standard error already.
        let _ = sink.join();
    }
    outcome
}

/// Copies the store.
///
/// # Errors
/// A sentence for the operator.
pub fn backup(config: Option<&Path>, data: &Path, directory: &Path) -> Result<Vec<String>, String> {
    let config = read_config(config).map_err(|errors| joined(&errors))?;
    if !store_directory(data).is_dir() {
        return Err(format!(
            "there is no store in {}: nothing to copy",
            data.display()
        ));
    }
    let store = open(&config, data)?;
    store.backup(directory).map_err(|error| error.to_string())?;
    Ok(vec![format!("copied to {}", directory.display())])
}

fn open(config: &Config, data: &Path) -> Result<Store, String> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(data);
    made.map_err(|error| format!("data directory {}: {error}", data.display()))?;
    let mut options = StoreOptions::at(store_directory(data));
    options.cache_bytes = config.store.cache.as_bytes();
    options.reserve_bytes = config.store.reserve_free.as_bytes();
    Store::open(options, TABLES, Vec::new()).map_err(|error| error.to_string())
}

fn random() -> Result<[u8; 32], String> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| format!("no randomness from the system: {error}"))?;
    Ok(seed)
}

fn now() -> Now {
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    // Milliseconds since 1970 fit in 64 bits by far.
    Now {
        mono_ms: 0,
        wall_ms: wall.as_millis() as u64,
    }
}
