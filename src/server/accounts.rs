//! Account commands, done: on the running server and, by the tool, on a stopped one. Refuses to know who
//! asked and how the request came.

use std::sync::Arc;
use std::thread;

use super::command::{Invite, UserCommand};
use crate::actor::audit::{AuditEvent, By};
use crate::actor::auth::AccountRef;
use crate::actor::rows::StoreError;
use crate::auth::{AccountError, Accounts, InviteWish, KnownInvitation};
use crate::base::{AccountId, Now, Secret, limits};
use crate::config::units::Duration;
use crate::config::{Config, RegistrationMode};
use crate::im::credentials::AccountState;
use crate::im::invitation::{contact_uri, registration_uri};
use crate::jid::{Jid, prepare_domainpart, prepare_localpart};
use crate::stanza::stamp;

/// What account commands work on.
pub struct AccountDesk<'a> {
    pub accounts: &'a Accounts,
    pub config: &'a Config,
    pub now: Now,
    /// Whether what takes long may go on: no more if the server is stopping.
    pub goes_on: &'a (dyn Fn() -> bool + Sync),
    /// Ends the sessions of an account, by bare JID: its password or its right to be here is gone. With what the account is now,
    /// those stay that have proved this.
    pub disconnect: &'a (dyn Fn(&str, Option<AccountRef>) + Sync),
    /// Removes what else an account had, by its number.
    pub purge: &'a (dyn Fn(AccountId) -> Result<(), StoreError> + Sync),
    pub audit: &'a (dyn Fn(AuditEvent) + Sync),
}

/// An account's name, prepared.
struct Name {
    host: String,
    localpart: String,
}

impl AccountDesk<'_> {
    /// Does what is asked. Answers lines for the operator.
    ///
    /// # Errors
    /// A sentence that says what was not done.
    pub fn run(&self, command: UserCommand) -> Result<Vec<String>, String> {
        match command {
            UserCommand::Add { accounts } => self.add(&accounts),
            UserCommand::Invite(invite) => self.invite(&invite),
            UserCommand::List { host } => self.list(host.as_deref(), Which::All),
            UserCommand::Waiting { host } => self.list(host.as_deref(), Which::Waiting),
            UserCommand::Invitations { host } => self.invitations(host.as_deref()),
            UserCommand::Withdraw { invitation } => self.withdraw(&invitation),
            UserCommand::Disable { jid } => {
                let name = self.name(&jid)?;
                self.accounts
                    .disable(&name.host, &name.localpart)
                    .map_err(|error| name.failed(&error))?;
                (self.disconnect)(&name.jid(), None);
                Ok(self.done(&name, "is disabled", |account, by| {
                    AuditEvent::AccountDisabled { account, by }
                }))
            }
            UserCommand::Enable { jid } => {
                let name = self.name(&jid)?;
                self.accounts
                    .enable(&name.host, &name.localpart)
                    .map_err(|error| name.failed(&error))?;
                Ok(self.done(&name, "is enabled", |account, by| {
                    AuditEvent::AccountEnabled { account, by }
                }))
            }
            UserCommand::Logout { jid } => {
                let name = self.name(&jid)?;
                let revoked = self.accounts.revoke(&name.host, &name.localpart);
                let account = revoked.map_err(|error| name.failed(&error))?;
                (self.disconnect)(&name.jid(), Some(account));
                Ok(self.done(&name, "is logged out everywhere", |account, by| {
                    AuditEvent::TokensRevoked { account, by }
                }))
            }
            UserCommand::Passwd { jid, password } => {
                let name = self.kept_here(&jid)?;
                let set = self
                    .accounts
                    .set_password(&name.host, &name.localpart, &password);
                let account = set.map_err(|error| name.failed(&error))?;
                (self.disconnect)(&name.jid(), Some(account));
                Ok(self.done(&name, "has a new password", |account, by| {
                    AuditEvent::PasswordChanged { account, by }
                }))
            }
            UserCommand::Remove { jid } => {
                let name = self.name(&jid)?;
                let removed = self.accounts.remove(&name.host, &name.localpart, self.now);
                let id = removed.map_err(|error| name.failed(&error))?;
                (self.disconnect)(&name.jid(), None);
                let purged = (self.purge)(id);
                let done = self.done(&name, "is removed", |account, by| {
                    AuditEvent::AccountRemoved { account, by }
                });
                match purged {
                    Ok(()) => Ok(done),
                    Err(error) => {
                        log::error!("account_purge_failed account={} error=\"{error}\"", id.0);
                        Err(format!(
                            "{} is removed and cannot log in, but what it had is still stored ({error}); the next \
                             start of the server removes it",
                            name.jid()
                        ))
                    }
                }
            }
        }
    }

    /// Makes all accounts that can be made: one that exists does not keep the others from being there.
    fn add(&self, accounts: &[(String, Secret)]) -> Result<Vec<String>, String> {
        // Keys cost milliseconds of CPU each, so many accounts are made on all cores.
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let share = accounts.len().div_ceil(threads).max(1);
        let results: Vec<Result<String, String>> = thread::scope(|scope| {
            let workers: Vec<_> = accounts
                .chunks(share)
                .map(|part| {
                    scope.spawn(|| {
                        part.iter()
                            .map(|(jid, password)| self.add_one(jid, password))
                            .collect()
                    })
                })
                .collect();
            let joined = workers.into_iter().map(|worker| worker.join());
            joined
                .flat_map(|part: thread::Result<Vec<_>>| {
                    part.expect("making an account does not panic")
                })
                .collect()
        });
        let count = results.len();
        let (lines, errors): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        let errors: Vec<String> = errors.into_iter().filter_map(Result::err).collect();
        match errors.as_slice() {
            [] => Ok(lines.into_iter().filter_map(Result::ok).collect()),
            [error] if count == 1 => Err(error.clone()),
            [first, ..] => Err(format!(
                "{} of {count} accounts were not added, the first because: {first}",
                errors.len()
            )),
        }
    }

    fn add_one(&self, jid: &str, password: &Secret) -> Result<String, String> {
        let name = self.kept_here(jid)?;
        self.look_whether_to_go_on()?;
        let added = self
            .accounts
            .add(&name.host, &name.localpart, password, self.now);
        added.map_err(|error| name.failed(&error))?;
        let lines = self.done(&name, "is added", |account, by| AuditEvent::AccountAdded {
            account,
            by,
        });
        Ok(lines.concat())
    }

    fn look_whether_to_go_on(&self) -> Result<(), String> {
        match (self.goes_on)() {
            true => Ok(()),
            false => Err("the server is stopping".to_owned()),
        }
    }

    /// Makes an invitation; answers the addresses that carry it, and until when they are good.
    fn invite(&self, invite: &Invite) -> Result<Vec<String>, String> {
        let contact = invite.contact.as_deref();
        let contact = contact.map(|jid| self.name(jid)).transpose()?;
        let host = match (&invite.host, &contact) {
            (Some(host), _) => self.host(host)?,
            (None, Some(contact)) => contact.host.clone(),
            (None, None) => self.config.hosts[0].name.to_string(),
        };
        let option = self.config.host(&host).map(|host| &host.registration);
        let option = option.ok_or("the host is not served here")?;
        let prepared = |name: &String| {
            let prepared = prepare_localpart(name).map_err(|error| format!("`{name}`: {error}"));
            prepared.map(|name| name.into_owned())
        };
        let localpart = invite.name.as_ref().map(prepared).transpose()?;
        let expires = match &invite.expires {
            None => option.invitation_expiry,
            Some(text) => text
                .parse::<Duration>()
                .map_err(|error| format!("`{text}`: {error}"))?,
        };
        let uses = invite.uses.unwrap_or(1);
        if uses == 0 || uses > limits::INVITATION_USES_MAX {
            return Err("an invitation has 1 to 1000 uses".to_owned());
        }
        let registers = option.mode != RegistrationMode::Off;
        if contact.is_none() && !registers {
            return Err(format!(
                "nobody can register on {host}: set its registration.mode to \"invited\""
            ));
        }
        let jid = contact.as_ref().map(Name::jid);
        let wish = InviteWish {
            host: host.clone(),
            contact: jid.as_deref().and_then(|jid| Jid::parse(jid).ok()),
            localpart: localpart.clone(),
            uses,
            expires_in_ms: expires.as_ms(),
            registers,
        };
        let invited = self.accounts.invite(&wish, self.now);
        let invited = invited.map_err(|error| match &contact {
            Some(contact) => contact.failed(&error),
            None => error.to_string(),
        })?;
        (self.audit)(AuditEvent::InvitationMade {
            host: Arc::from(host.as_str()),
            contact: jid.as_deref().map(Arc::from),
            uses,
            by: By::Operator,
        });
        let token = String::from_utf8_lossy(invited.token.expose()).into_owned();
        Ok(invitation_lines(
            &host,
            &wish,
            &token,
            invited.expires_wall_ms,
        ))
    }

    /// Those that are open, without their tokens.
    fn invitations(&self, host: Option<&str>) -> Result<Vec<String>, String> {
        let host = host.map(|host| self.host(host)).transpose()?;
        let mut lines = Vec::new();
        let mut after: Option<KnownInvitation> = None;
        loop {
            self.look_whether_to_go_on()?;
            let page = self.accounts.invitations(after.as_ref());
            let (mut page, more) = page.map_err(|error| error.to_string())?;
            let shown = page.iter().filter(|known| {
                let is_on_host = host
                    .as_ref()
                    .is_none_or(|host| *host == known.invitation.host);
                // The others are the server's own, for somebody who has registered.
                let is_given = known.invitation.registers || known.invitation.localpart.is_none();
                is_on_host && is_given && known.invitation.is_open(self.now)
            });
            lines.extend(shown.map(invitation_line));
            match page.pop() {
                Some(last) if more => after = Some(last),
                _ => return Ok(lines),
            }
        }
    }

    fn withdraw(&self, named: &str) -> Result<Vec<String>, String> {
        let withdrawn = self.accounts.withdraw(named).map_err(|error| match error {
            AccountError::Unknown => "there is no such invitation".to_owned(),
            error => error.to_string(),
        })?;
        let invitation = &withdrawn.invitation;
        (self.audit)(AuditEvent::InvitationWithdrawn {
            host: Arc::from(invitation.host.as_str()),
            contact: invitation.contact.as_ref().map(|jid| jid.as_str().into()),
            by: By::Operator,
        });
        Ok(vec![format!("{} is withdrawn", withdrawn.id())])
    }

    fn list(&self, host: Option<&str>, which: Which) -> Result<Vec<String>, String> {
        let hosts: Vec<String> = match host {
            Some(host) => vec![self.host(host)?],
            None => self
                .config
                .hosts
                .iter()
                .map(|host| host.name.to_string())
                .collect(),
        };
        let mut lines = Vec::new();
        for host in hosts {
            let mut after: Option<String> = None;
            loop {
                self.look_whether_to_go_on()?;
                let page = self.accounts.list(&host, after.as_deref(), LIST_PAGE_COUNT);
                let (page, more) = page.map_err(|error| error.to_string())?;
                for account in &page {
                    if which == Which::Waiting {
                        if account.state == AccountState::Waiting {
                            lines.push(format!("{}@{host}", account.localpart));
                            let said = self.accounts.registration(account.account.id);
                            let said = said.map_err(|error| error.to_string())?;
                            lines.extend(said.iter().map(|line| format!("  {line}")));
                        }
                        continue;
                    }
                    let state = match account.state {
                        AccountState::Enabled => "",
                        AccountState::Disabled => " disabled",
                        AccountState::Waiting => " waiting",
                    };
                    lines.push(format!("{}@{host}{state}", account.localpart));
                }
                // A page whose rows cannot be read has no last name to go on from.
                match page.last() {
                    Some(last) if more => after = Some(last.localpart.clone()),
                    _ => break,
                }
            }
        }
        Ok(lines)
    }

    /// The same of an account whose password this server keeps.
    fn kept_here(&self, jid: &str) -> Result<Name, String> {
        let name = self.name(jid)?;
        let host = self.config.host(&name.host);
        match host.and_then(|host| host.directory.as_ref()) {
            None => Ok(name),
            Some(_) => Err(format!(
                "{}: users of {} and their passwords are kept in its directory; change them there",
                name.jid(),
                name.host
            )),
        }
    }

    fn name(&self, jid: &str) -> Result<Name, String> {
        let Some((localpart, host)) = jid.split_once('@') else {
            return Err(format!("`{jid}` is no account: write NAME@HOST"));
        };
        let localpart =
            prepare_localpart(localpart).map_err(|error| format!("`{jid}`: {error}"))?;
        Ok(Name {
            host: self.host(host)?,
            localpart: localpart.into_owned(),
        })
    }

    fn host(&self, host: &str) -> Result<String, String> {
        let host = prepare_domainpart(host).map_err(|error| format!("`{host}`: {error}"))?;
        match self.config.host(&host) {
            Some(_) => Ok(host.into_owned()),
            None => Err(format!(
                "{host} is not served here; the hosts are in the configuration file"
            )),
        }
    }

    fn done(&self, name: &Name, what: &str, event: fn(Arc<str>, By) -> AuditEvent) -> Vec<String> {
        let jid = name.jid();
        (self.audit)(event(Arc::from(jid.as_str()), By::Operator));
        vec![format!("{jid} {what}")]
    }
}

impl Name {
    fn jid(&self) -> String {
        format!("{}@{}", self.localpart, self.host)
    }

    fn failed(&self, error: &AccountError) -> String {
        format!("{}: {error}", self.jid())
    }
}

/// XEP-0401 sections 5.1 and 5.4, XEP-0445 section 2: the addresses of an invitation.
fn invitation_lines(
    host: &str,
    wish: &InviteWish,
    token: &str,
    expires_wall_ms: u64,
) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(contact) = &wish.contact {
        lines.push(contact_uri(contact, token, wish.registers));
    }
    if wish.registers {
        lines.push(registration_uri(host, wish.localpart.as_deref(), token));
    }
    lines.push(format!("good until {}", stamp(expires_wall_ms)));
    lines
}

/// What an operator hears of an invitation.
fn invitation_line(known: &KnownInvitation) -> String {
    let invitation = &known.invitation;
    let name = invitation.localpart.as_ref();
    let name = name.map_or_else(String::new, |name| format!("{name}@"));
    let contact = invitation.contact.as_ref();
    let contact = contact.map_or_else(String::new, |jid| format!(", contact of {jid}"));
    let purpose = match invitation.registers {
        true => "registers on",
        false => "for users of",
    };
    format!(
        "{} {purpose} {name}{}{contact}, uses {}, good until {}",
        known.id(),
        invitation.host,
        invitation.uses,
        stamp(invitation.expires_wall_ms)
    )
}

/// Which accounts are named.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    All,
    /// Those that nobody has let in yet, with what they said of themselves.
    Waiting,
}

/// Accounts read from the store at a time.
const LIST_PAGE_COUNT: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::AuthSettings;
    use crate::base::{HashSeed, Rng};
    use crate::server::command::Answer;
    use crate::server::rows::{TABLES, account_rows};
    use crate::server::settings::read_config;
    use crate::store::Store;
    use std::sync::Mutex;

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    /// Runs the commands on one store. Returns what each answered, whose sessions were ended, and how many
    /// accounts were purged.
    fn run(commands: Vec<UserCommand>) -> (Vec<Answer>, Vec<String>, usize) {
        run_on(Ok(()), commands)
    }

    /// The same, with what comes of each purge.
    fn run_on(
        purge_outcome: Result<(), StoreError>,
        commands: Vec<UserCommand>,
    ) -> (Vec<Answer>, Vec<String>, usize) {
        let store = Store::in_memory(TABLES, Vec::new());
        let settings = AuthSettings {
            iterations: [(Arc::from("localhost"), 1)].into(),
            ..AuthSettings::default()
        };
        let rng = Rng::from_seed([7; 32]);
        let accounts = Accounts::new(
            account_rows(&store),
            settings,
            secret(&"s".repeat(32)),
            HashSeed(1, 2),
            rng,
        );
        let config = read_config(None).expect("defaults are valid");
        let (ended, purged) = (Mutex::new(Vec::new()), Mutex::new(0));
        let desk = AccountDesk {
            accounts: &accounts,
            config: &config,
            now: Now::default(),
            goes_on: &|| true,
            disconnect: &|jid, _| ended.lock().expect("no panic").push(jid.to_owned()),
            purge: &|_| {
                *purged.lock().expect("no panic") += 1;
                purge_outcome
            },
            audit: &|_| {},
        };
        let answers = commands
            .into_iter()
            .map(|command| desk.run(command))
            .collect();
        let ended = ended.lock().expect("no panic").clone();
        let purged = *purged.lock().expect("no panic");
        (answers, ended, purged)
    }

    fn add(jid: &str) -> UserCommand {
        UserCommand::Add {
            accounts: vec![(jid.to_owned(), secret("pass"))],
        }
    }

    #[test]
    fn sessions_end_with_the_password_the_right_and_the_account() {
        let jid = || "Romeo@localhost".to_owned();
        let (answers, ended, purged) = run(vec![
            add("romeo@localhost"),
            UserCommand::Enable { jid: jid() },
            UserCommand::Passwd {
                jid: jid(),
                password: secret("new"),
            },
            UserCommand::Disable { jid: jid() },
            UserCommand::Remove { jid: jid() },
        ]);
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        assert_eq!(ended, ["romeo@localhost"; 3]);
        assert_eq!(purged, 1);
    }

    #[test]
    fn a_purge_that_failed_is_no_success_and_says_what_became_of_the_account() {
        let remove = UserCommand::Remove {
            jid: "romeo@localhost".to_owned(),
        };
        let list = UserCommand::List { host: None };
        let commands = vec![add("romeo@localhost"), remove, list];
        let (answers, ..) = run_on(Err(StoreError::Broken), commands);
        let error = answers[1].as_ref().expect_err("not all is gone");
        assert!(error.starts_with("romeo@localhost is removed"), "{error}");
        assert!(error.contains("the next start"), "{error}");
        assert_eq!(answers[2], Ok(Vec::new()));
    }

    #[test]
    fn what_was_refused_ends_nobodys_sessions() {
        let jid = || "romeo@localhost".to_owned();
        let (answers, ended, purged) = run(vec![
            UserCommand::Remove { jid: jid() },
            UserCommand::Disable { jid: jid() },
            UserCommand::Passwd {
                jid: jid(),
                password: secret(""),
            },
            UserCommand::Remove {
                jid: "localhost".to_owned(),
            },
            UserCommand::Remove {
                jid: "romeo@elsewhere.example".to_owned(),
            },
        ]);
        assert!(answers.iter().all(Result::is_err), "{answers:?}");
        assert_eq!((ended.len(), purged), (0, 0));
    }

    #[test]
    fn of_many_accounts_those_that_can_be_made_are_made() {
        let many = ["a@localhost", "b c@localhost", "d@localhost", "a@localhost"];
        let accounts = many
            .iter()
            .map(|jid| ((*jid).to_owned(), secret("pass")))
            .collect();
        let (answers, ..) = run(vec![
            UserCommand::Add { accounts },
            UserCommand::List { host: None },
        ]);
        let error = answers[0].as_ref().expect_err("two cannot be made");
        assert!(
            error.starts_with("2 of 4 accounts were not added"),
            "{error}"
        );
        assert_eq!(
            answers[1],
            Ok(vec!["a@localhost".to_owned(), "d@localhost".to_owned()])
        );
    }
}
