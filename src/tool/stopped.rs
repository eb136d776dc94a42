//! What is done on the store of a server that is not running. Refuses to open a store that is in use (the
//! store itself sees to that) and to make one where none is needed.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::joined;
use crate::actor::audit::{Attempt, AuditEvent, By};
use crate::audit::{Audit, Stopped};
use crate::auth::{Accounts, AuthSettings};
use crate::base::{HashSeed, Now, Rng};
use crate::config::Config;
use crate::server::accounts::AccountDesk;
use crate::server::command::UserCommand;
use crate::server::data::secrets;
use crate::server::restored;
use crate::server::rows::{TABLES, account_rows, store_directory};
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
    let makes = matches!(command, UserCommand::Add { .. });
    if !makes && !store_directory(data).is_dir() {
        return Err(format!(
            "there is no store in {}: no account was ever made there",
            data.display()
        ));
    }
    let store = open(&config, data)?;
    let mut rng = Rng::from_seed(random()?);
    // The server's own: what is made with it now, an invitation, is shown to the server later.
    let secret = secrets(data)?.fakes;
    let settings = AuthSettings::from(&config);
    let seed = HashSeed(rng.next_u64(), rng.next_u64());
    let accounts = Accounts::new(account_rows(&store), settings, secret, seed, rng);

    let audit = open_audit(&config, data)?;
    let now = now();
    let desk = AccountDesk {
        accounts: &accounts,
        config: &config,
        now,
        goes_on: &|| true,
        // There are no sessions to end.
        disconnect: &|_, _| {},
        // What contacts have to hear, the next start tells them.
        purge: &|account| accounts.purge(account).map(drop),
        audit: &|event| audit.record(now.wall_ms, event),
    };
    let outcome = desk.run(command);
    recorded(outcome, &audit)
}

/// The outcome, unless it could not be recorded: the operator must know, though it is done.
fn recorded(outcome: Result<Vec<String>, String>, audit: &Audit) -> Result<Vec<String>, String> {
    match (audit.stop(), outcome) {
        (Stopped::Written, outcome) => outcome,
        (Stopped::Incomplete, Ok(lines)) => Err(format!(
            "{}, but that could not be written into the audit file",
            lines.join(", ")
        )),
        (Stopped::Incomplete, Err(error)) => Err(error),
    }
}

fn open_audit(config: &Config, data: &Path) -> Result<Audit, String> {
    if config.audit.file.is_empty() {
        return Ok(Audit::none());
    }
    let path = data.join(&config.audit.file);
    match Audit::open(&path, config.audit.when_full) {
        // The thread ends with `Audit::stop`; a panic there says so on standard error.
        Ok((audit, _)) => Ok(audit),
        Err(error) => Err(format!("audit file {}: {error}", path.display())),
    }
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
    let audit = open_audit(&config, data)?;
    let outcome = store.backup(directory, restored::mark(), &|| true);
    let outcome = outcome.map_err(|error| error.to_string());
    audit.record(
        now().wall_ms,
        AuditEvent::Backup {
            directory: Arc::from(directory.display().to_string()),
            outcome: Attempt::of(&outcome),
            by: By::Operator,
        },
    );
    let outcome = outcome.map(|()| vec![format!("copied to {}", directory.display())]);
    recorded(outcome, &audit)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::auth::{AuthAnswer, AuthAsk};
    use crate::base::{AddressPrefix, Secret};
    use crate::server::command::Invite;

    #[test]
    fn an_invitation_that_is_made_while_the_server_is_stopped_is_good_when_it_runs() {
        let name = format!("stonechat-stopped-{}", std::process::id());
        let data = std::env::temp_dir().join(name);
        let file = data.join("stonechat.toml");
        std::fs::create_dir_all(&data).unwrap();
        let text = "[[host]]\nname = \"localhost\"\nregistration.mode = \"invited\"\n";
        std::fs::write(&file, text).unwrap();
        let add = UserCommand::Add {
            accounts: vec![(
                "romeo@localhost".to_owned(),
                Secret::new(b"pencil".to_vec()),
            )],
        };
        user(Some(&file), &data, add).unwrap();
        let lines = user(Some(&file), &data, UserCommand::Invite(Invite::default())).unwrap();
        let (_, token) = lines[0].split_once("preauth=").expect("an address");
        let config = read_config(Some(&file)).unwrap();
        let store = open(&config, &data).unwrap();
        let accounts = Accounts::new(
            account_rows(&store),
            AuthSettings::from(&config),
            secrets(&data).unwrap().fakes,
            HashSeed(1, 2),
            Rng::from_seed([1; 32]),
        );
        let ask = AuthAsk::Invitation {
            host: Arc::from("localhost"),
            token: Secret::new(token.as_bytes().to_vec()),
            prefix: AddressPrefix::Local,
        };
        let (answer, _) = accounts.answer(ask, now());
        drop(accounts);
        drop(store);
        std::fs::remove_dir_all(&data).unwrap();
        assert!(matches!(answer, AuthAnswer::Invited(true)), "{answer:?}");
    }
}
